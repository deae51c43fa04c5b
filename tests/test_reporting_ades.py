"""ADES files and DS9 regions."""

import logging
import math
import re

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import vstack
from regions import LinePixelRegion, LineSkyRegion, Regions

from streaks.errors import ConfigError, TableError
from streaks.geometry import Segment
from streaks.reporting import (
    AdesContext,
    ades_context,
    ades_psv,
    ds9_regions,
    split_submittable,
    with_station,
    write_table,
)
from streaks.reporting.ades import tracklet_name
from streaks.reporting.bands import MPC_BANDS, mpc_band
from streaks.tables import StreakFlag, empty_streaks
from tests.ades_schema import problems
from tests.frame_files import shared_case
from tests.made_streaks import SEGMENTS, made_streaks

I41 = AdesContext(observatory="I41", band="r")

#: Patterns of the IAU-ADES schema's simple types for an optical observation.
SCHEMA = {
    "trkSub": r"[A-Za-z0-9_]{1,8}",
    "mode": r"[A-Z]{3}",
    "stn": r"[A-Za-z0-9]{3,4}",
    "obsTime": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z",
    "rmsTime": r"\d+(\.\d+)?",
    "ra": r"\d{1,3}\.\d+",
    "dec": r"[+-]\d{1,2}\.\d+",
    "rmsRA": r"\d+\.\d+",
    "rmsDec": r"\d+\.\d+",
    "rmsCorr": r"-?[01]\.\d+",
    "astCat": r"\w{1,8}",
    "mag": r"-?\d+\.\d+",
    "rmsMag": r"\d+\.\d+",
    "band": r"\w{1,3}",
    "logSNR": r"-?\d+\.\d+",
    "exp": r"\d+\.\d+",
    "notes": r"\w{1,6}",
    "remarks": r"[^|]{1,200}",
}
#: The order of the schema's sequence.
ORDER = list(SCHEMA)


def observations(text: str) -> list[dict[str, str]]:
    names: list[str] = []
    records = []
    for line in text.splitlines():
        if line.startswith(("#", "!")):
            names = []
        elif not names:
            names = [name.strip() for name in line.split("|")]
        else:
            cells = (cell.strip() for cell in line.split("|"))
            records.append(dict(zip(names, cells, strict=True)))
    return records


def one_asteroid(segment: Segment = SEGMENTS[0]):
    return made_streaks([segment], ["asteroid"])


def test_every_cell_follows_the_schema_in_the_schemas_order():
    records = observations(ades_psv(made_streaks(SEGMENTS), I41))
    assert len(records) == 2
    for record in records:
        assert list(record) == [name for name in ORDER if name in record]
        for name, cell in record.items():
            assert re.fullmatch(SCHEMA[name], cell), (name, cell)


def test_the_file_says_its_version_first_and_its_observatory():
    lines = ades_psv(one_asteroid(), I41).splitlines()
    assert lines[:3] == ["# version=2022", "# observatory", "! mpcCode I41"]


def test_the_midpoint_is_reported_at_mid_exposure_as_trailed():
    streaks = one_asteroid()
    (record,) = observations(ades_psv(streaks, I41))
    assert float(record["ra"]) == pytest.approx(streaks["ra"][0].value, abs=1e-6)
    assert float(record["dec"]) == pytest.approx(streaks["dec"][0].value, abs=1e-6)
    assert record["obsTime"] == "2018-04-12T07:31:22.500Z"
    assert record["notes"][0] == "t"
    assert float(record["logSNR"]) == pytest.approx(math.log10(streaks["snr"][0]), abs=1e-3)


def test_exposure_is_the_trail_over_its_rate():
    (record,) = observations(ades_psv(one_asteroid(), I41))
    assert float(record["exp"]) == pytest.approx(30.0, abs=0.1)


@pytest.mark.parametrize(("dx", "dy"), [(30.0, 0.0), (0.0, 30.0)])
def test_errors_are_longer_along_the_trail(dx, dy):
    streaks = one_asteroid(Segment(500.0, 300.0, 500.0 + dx, 300.0 + dy))
    context = AdesContext(observatory="I41", band="r", astrometric_floor_arcsec=0.0)
    (record,) = observations(ades_psv(streaks, context))
    # Ends err by 0.6 and 0.8 px along: their mean by half of 1.0 px. A pixel has 1.01 arcsec.
    along, across = ("rmsRA", "rmsDec") if dx else ("rmsDec", "rmsRA")
    assert float(record[along]) == pytest.approx(0.505, abs=0.002)
    assert float(record[across]) == pytest.approx(0.101, abs=0.002)
    assert abs(float(record["rmsCorr"])) < 0.05


def test_the_correlation_has_the_sign_of_the_track_on_the_sky():
    streaks = one_asteroid(Segment(500.0, 300.0, 530.0, 330.0))
    (record,) = observations(ades_psv(streaks, I41))
    # East is at smaller x in this frame: the track runs from south-east to north-west.
    ends = SkyCoord(
        [streaks["ra0"][0], streaks["ra1"][0]], [streaks["dec0"][0], streaks["dec1"][0]]
    )
    assert (ends.ra[1] - ends.ra[0]) * (ends.dec[1] - ends.dec[0]) < 0
    # At 45 deg, with errors of 0.505 and 0.101 arcsec and a floor of 0.1 on both axes:
    expected = (0.505**2 - 0.101**2) / (0.505**2 + 0.101**2 + 2 * 0.1**2)
    assert float(record["rmsCorr"]) == pytest.approx(-expected, abs=0.005)


def test_the_plate_solutions_error_is_added_to_both_axes():
    floor = AdesContext(observatory="I41", astrometric_floor_arcsec=3.0)
    (record,) = observations(ades_psv(one_asteroid(), floor))
    assert float(record["rmsRA"]) > 3.0
    assert abs(float(record["rmsCorr"])) < 0.1


def test_a_failed_fit_leaves_errors_blank():
    streaks = one_asteroid()
    streaks["along0_err"] = np.nan * u.pix
    (record,) = observations(ades_psv(streaks, I41))
    assert "rmsRA" not in record


def test_a_magnitude_without_band_is_left_out():
    (record,) = observations(ades_psv(one_asteroid(), AdesContext(observatory="I41")))
    assert "mag" not in record
    assert "band" not in record


def test_streaks_cut_by_an_edge_are_left_out_and_said(caplog):
    streaks = made_streaks(SEGMENTS[:2], ["asteroid", "asteroid"])
    streaks["flags"] = [int(StreakFlag.EDGE_1), 0]
    with caplog.at_level(logging.WARNING):
        records = observations(ades_psv(streaks, I41))
    assert len(records) == 1
    assert "left out of the ADES file, cut or negative: made_frame-0001" in caplog.text


def test_of_many_streaks_that_are_left_out_a_few_are_named(caplog):
    streaks = made_streaks([SEGMENTS[0]] * 8, ["asteroid"] * 8)
    streaks["flags"] = [int(StreakFlag.EDGE_1)] * 7 + [0]
    with caplog.at_level(logging.WARNING):
        ades_psv(streaks, I41)
    assert caplog.messages[0].count("made_frame-") == 5
    assert caplog.messages[0].endswith(" and 2 more")


def test_names_are_the_same_each_time_and_differ_between_streaks():
    names = {tracklet_name(f"image-{i:04d}") for i in range(5000)}
    assert len(names) == 5000
    assert all(re.fullmatch(SCHEMA["trkSub"], name) for name in names)
    assert tracklet_name("a") == tracklet_name("a")


def test_streaks_of_one_tracklet_share_their_name():
    streaks = made_streaks(SEGMENTS[:2], ["asteroid", "asteroid"])
    streaks["tracklet"] = ["night-T0001"] * 2
    records = observations(ades_psv(streaks, I41))
    assert records[0]["trkSub"] == records[1]["trkSub"]


def test_a_known_object_near_is_named_in_the_remarks():
    (record,) = observations(ades_psv(one_asteroid(), I41))
    assert record["remarks"] == "made_frame-0001; 0.0 arcsec from (24421) Djorgovski"


def test_two_observatories_get_a_block_each():
    streaks = made_streaks(SEGMENTS[:2], ["asteroid", "asteroid"])
    streaks["observatory"] = ["I41", "X05"]
    text = ades_psv(streaks, AdesContext())
    assert [r["stn"] for r in observations(text)] == ["I41", "X05"]
    assert text.count("# observatory") == 2


def test_an_image_tells_its_station_and_band():
    streaks = with_station(one_asteroid(), observatory="I41", band="r")
    (record,) = observations(ades_psv(streaks))
    assert (record["stn"], record["band"]) == ("I41", "r")
    assert len(with_station(empty_streaks(), observatory="", band="")) == 0


def test_separators_and_line_breaks_cannot_get_in():
    streaks = one_asteroid()
    streaks["ssnamenr"] = ["a|b\nc"]
    (record,) = observations(ades_psv(streaks, I41))
    assert record["remarks"].endswith("from a b c")


def test_the_context_fills_the_header():
    context = AdesContext(
        observatory="I41",
        submitter="A. Observer",
        institution="An Institute",
        observers=("A. Observer", "B. Observer"),
        measurers=("C. Measurer",),
        telescope={"design": "Schmidt", "aperture": "1.2", "detector": "CCD"},
    )
    text = ades_psv(one_asteroid(), context)
    for line in ("# submitter", "! institution An Institute", "# measurers", "! aperture 1.2"):
        assert line in text.splitlines()


def test_no_candidates_are_said_so(tmp_path):
    write_table(empty_streaks(), tmp_path / "none.psv")
    assert "no candidates" in (tmp_path / "none.psv").read_text()


def test_missing_sky_coordinates_are_an_error_and_no_file(tmp_path):
    streaks = one_asteroid()
    streaks["ra"] = np.nan * u.deg
    with pytest.raises(TableError, match="made_frame-0001 has no sky coordinates"):
        write_table(streaks, tmp_path / "t.psv", ades=I41)
    assert not list(tmp_path.iterdir())


def test_a_missing_time_is_an_error():
    streaks = one_asteroid()
    streaks["time"] = [""]
    with pytest.raises(TableError, match="has no time, which an ADES file needs"):
        ades_psv(streaks, I41)


def test_a_missing_observatory_is_an_error():
    with pytest.raises(TableError, match="needs an MPC code such as I41"):
        ades_psv(one_asteroid())


def test_a_table_that_is_no_streaks_is_an_error():
    with pytest.raises(TableError, match="an ADES file needs the columns streak_id"):
        ades_psv(empty_streaks()[["x0", "y0"]], I41)


@pytest.mark.parametrize(("setting", "value"), [("observatory", "I4"), ("band", "r band")])
def test_codes_that_no_list_can_hold_are_refused(setting, value):
    with pytest.raises(ConfigError, match=f"ADES {setting} is '{value}'; expected a code"):
        AdesContext(**{setting: value})


def test_a_floor_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="astrometric_floor_arcsec is nan; it must be >= 0"):
        AdesContext(astrometric_floor_arcsec=math.nan)


def test_regions_lie_on_the_sky_where_all_streaks_do():
    streaks = made_streaks(SEGMENTS)
    regions = Regions.parse(ds9_regions(streaks), format="ds9")
    assert len(regions) == len(streaks)
    assert all(isinstance(region, LineSkyRegion) for region in regions)
    assert regions[0].start.ra.deg == pytest.approx(streaks["ra0"][0].value, abs=1e-6)
    assert regions[0].meta["text"].startswith("made_frame-0001 asteroid S/N")


def test_pixel_regions_count_from_one_in_the_file_only():
    streaks = made_streaks(SEGMENTS)
    streaks["ra0"][3] = np.nan * u.deg
    text = ds9_regions(streaks)
    assert re.search(r"line\(101\.0+,91\.0+,131\.0+,106\.0+\)", text)
    regions = Regions.parse(text, format="ds9")
    assert all(isinstance(region, LinePixelRegion) for region in regions)
    assert (regions[0].start.x, regions[0].start.y) == (100.0, 90.0)


def test_pixel_regions_of_several_images_are_refused():
    streaks = vstack([made_streaks(SEGMENTS), made_streaks(SEGMENTS, image="other")])
    streaks["ra0"] = np.nan * u.deg
    with pytest.raises(TableError, match="streaks of 2 images, some without sky coordinates"):
        ds9_regions(streaks)


def test_a_name_cannot_end_its_region():
    streaks = made_streaks(SEGMENTS[:2], image="a}\nimage; circle(1,2,3) # text={b")
    assert len(Regions.parse(ds9_regions(streaks), format="ds9")) == 2


def test_regions_of_a_table_without_ends_are_refused():
    with pytest.raises(TableError, match="regions need the columns x0, y0, x1, y1"):
        ds9_regions(empty_streaks()[["streak_id"]])


def test_no_streaks_make_an_empty_region_file():
    assert len(Regions.parse(ds9_regions(empty_streaks()), format="ds9")) == 0


# ------------------------------------------------------------------ schema, and what is submittable

FULL = AdesContext(
    observatory="I41",
    band="r",
    rms_time_s=0.0,
    submitter="A. Person",
    institution="An Institute",
    observers=("B. Person",),
    measurers=("A. Person", "C. Person"),
    telescope={"design": "Schmidt", "aperture": "1.2", "detector": "CCD"},
)


def in_tracklets(names: list[str], times: list[str]):
    streaks = made_streaks(SEGMENTS[: len(names)], ["asteroid"] * len(names))
    streaks["tracklet"] = names
    streaks["time"] = times
    return streaks


TIMES = [f"2018-04-12T07:{minute}:22.500" for minute in (31, 34, 37)]


def test_a_file_for_submission_passes_the_schema():
    streaks = in_tracklets(["TABCDEF0"] * 3 + ["", ""], [*TIMES, TIMES[0], TIMES[0]])
    assert problems(ades_psv(streaks, FULL)) == []


def test_values_at_their_limits_pass_the_schema():
    streaks = one_asteroid()
    streaks["mag_err"] = 0.0 * u.mag
    streaks["across_err"] = streaks["along0_err"] = streaks["along1_err"] = 0.0 * u.pix
    streaks["ra"] = 359.9999999 * u.deg
    sharp = AdesContext(**{**vars(FULL), "astrometric_floor_arcsec": 0.0})
    assert problems(ades_psv(streaks, sharp)) == []


def test_a_file_of_candidates_lacks_only_the_names_of_people():
    said = problems(ades_psv(one_asteroid(), I41))
    assert said == ["no submitter", "no measurers", "no telescope"]
    assert problems(ades_psv(one_asteroid(), I41), complete=False) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("|CCD", "|CCCD", "mode is"),
        ("Z|", "|", "obsTime is"),
        ("# version=2022", "", "first line"),
        ("|r   |", "|    |", "magnitude and band go together"),
        ("! mpcCode I41", "! name Palomar", "no mpcCode"),
    ],
)
def test_the_validator_refuses_what_is_wrong(old, new, said):
    text = ades_psv(one_asteroid(), FULL)
    assert old in text
    assert any(said in problem for problem in problems(text.replace(old, new)))


def test_streaks_of_one_tracklet_share_its_name():
    streaks = in_tracklets(["TABCDEF0"] * 3, TIMES)
    records = observations(ades_psv(streaks, I41))
    assert [record["trkSub"] for record in records] == ["TABCDEF0"] * 3


def test_three_positions_are_submittable_two_are_candidates():
    names = ["T3", "T3", "T3", "T2", "T2", ""]
    streaks = in_tracklets(names, [*TIMES, *TIMES[:2], TIMES[0]])
    ready, rest = split_submittable(streaks)
    assert list(ready["tracklet"]) == ["T3"] * 3
    assert sorted(rest["tracklet"]) == ["", "T2", "T2"]


def test_a_cut_streak_does_not_count_as_a_position():
    streaks = in_tracklets(["T3"] * 3, TIMES)
    streaks["flags"][1] = int(StreakFlag.MASKED_0)
    ready, rest = split_submittable(streaks)
    assert (len(ready), len(rest)) == (0, 2)


def test_three_pieces_of_one_exposure_are_no_three_positions():
    ready, rest = split_submittable(in_tracklets(["S3"] * 3, [TIMES[0]] * 3))
    assert (len(ready), len(rest)) == (0, 3)


def test_a_tracklets_misnamed_visit_counts_as_its_asteroid():
    streaks = in_tracklets(["T3"] * 3, TIMES)
    streaks["label"][2] = "ghost"
    ready, _ = split_submittable(streaks)
    assert list(ready["label"]) == ["asteroid"] * 3
    assert list(streaks["label"]) == ["asteroid", "asteroid", "ghost"]


def test_a_context_comes_from_plain_values():
    values = {
        "submitter": "A. Person",
        "measurers": ["A. Person"],
        "telescope": {"design": "Schmidt", "aperture": 1.2, "detector": "CCD"},
    }
    context = ades_context(values)
    assert context.telescope["aperture"] == "1.2"
    streaks = made_streaks(SEGMENTS[:1], ["asteroid"])
    streaks["observatory"] = ["I41"]
    assert problems(ades_psv(streaks, context)) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"observer": "x"}, "an ADES context has no observer; it has astrometric_catalogue"),
        ({"measurers": "A. Person"}, "ADES measurers is 'A. Person'; expected a list of names"),
        ({"telescope": "big"}, "ADES telescope is 'big'; expected a table"),
        ({"rms_time_s": "1"}, "ADES rms_time_s is '1'; expected a number"),
        ({"submitter": 3}, "ADES submitter is 3; expected a text"),
    ],
)
def test_a_context_of_the_wrong_kind_is_named(values, said):
    with pytest.raises(ConfigError, match=said):
        ades_context(values)


@pytest.mark.parametrize(
    ("name", "band"),
    [("r", "r"), ("Red", "R"), ("RED", "R"), ("ZTF_r", "r"), ("zg", "g"), ("r'", "Sr"),
     ("ip", "Si"), ("SDSS-g", "Sg"), ("Bessell V", "Vj"), ("Cousins R", "Rc"), ("PS1 w", "Pw"),
     ("Clear", "C"), ("Lum", "C"), ("Gaia G", "G"), ("VR", "VR"), ("Lr", "Lr"), (" V ", "V")],
)  # fmt: skip
def test_filters_are_mapped_to_the_mpcs_bands(name, band):
    assert mpc_band(name) == band
    assert band in MPC_BANDS


@pytest.mark.parametrize("name", ["Ha", "Hα", "OIII", "xyz", "v", "b", "Q", "12", "", "_"])
def test_a_filter_that_the_mpc_does_not_know_is_left_out_with_its_magnitude(name, caplog):
    assert mpc_band(name) == ""
    streaks = with_station(one_asteroid(), observatory="I41", band=name)
    (record,) = observations(ades_psv(streaks))
    assert "mag" not in record
    assert "band" not in record
    assert ("the MPC's list has no band for the filter" in caplog.text) == bool(name)


def test_a_band_that_is_given_is_taken_at_its_word():
    """The MPC's list grows."""
    context = AdesContext(observatory="I41", band="Zz")
    (record,) = observations(ades_psv(one_asteroid(), context))
    assert record["band"] == "Zz"


def test_the_shared_frame_of_a_red_filter_is_reported_in_r():
    header = fits.getheader(shared_case("ades_band/filter_Red.fits"))
    streaks = with_station(one_asteroid(), observatory=header["OBSCODE"], band=header["FILTER"])
    (record,) = observations(ades_psv(streaks))
    assert (record["stn"], record["band"]) == ("W84", "R")
