"""Zero points and colour terms of light curves."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable, hstack
from typer.testing import CliRunner

from streaks.cli.lightcurve import measurements_of
from streaks.errors import ConfigError
from streaks.lightcurves import (
    CALIBRATION_COLUMNS,
    CALIBRATION_INPUTS,
    LIGHTCURVE_COLUMNS,
    LightCurveConfig,
    colour_of_band,
    reduce_measurements,
    series_of,
    zero_point_offsets,
)
from streaks.night import read_night, run_night
from streaks.tables import build_table, check_table
from tests.frame_files import noise_image, write_ztf_frame
from tests.test_lightcurves import measured_and_places
from tests.test_night_run import SURE


def told(n: int, **changes: object) -> QTable:
    """Calibration of n measurements, in three exposures' worth of fields."""
    values = {
        "field": ["663"] * n, "zero_point": np.full(n, 26.2), "zero_point_err": np.full(n, 1e-4),
        "colour_term": np.full(n, -0.05), "colour_index": [""] * n,
    }  # fmt: skip
    return build_table(CALIBRATION_INPUTS, values | changes)


def test_a_colour_term_is_taken_for_the_colour_of_an_asteroid() -> None:
    measured, places = measured_and_places()
    plain, _ = reduce_measurements(measured, places)
    band = np.asarray(measured["band"]).astype(str)
    # As published: of a source of colour 0, so what an asteroid of g-r 0.6 loses is known.
    term = np.where(band == "g", -0.05, 0.08)
    published = measured.copy()
    published["mag"] = (measured["mag"].to_value("mag") - 0.6 * term) * measured["mag"].unit
    with_terms = hstack([published, told(len(measured), colour_term=term)])
    table, _ = reduce_measurements(with_terms, places, LightCurveConfig(colour_gr=0.6))
    check_table(table, (*LIGHTCURVE_COLUMNS, *CALIBRATION_COLUMNS))
    np.testing.assert_allclose(table["reduced"].value, plain["reduced"].value, atol=1e-12)
    # What was measured stays, and what was done stands beside it.
    assert (table["mag"] != plain["mag"]).all()
    np.testing.assert_allclose(table["colour"].value, 0.6)
    assert set(table["colour_index"].tolist()) == {"g-r"}
    expected = np.where(np.asarray(table["band"]) == "g", -0.03, 0.048)
    np.testing.assert_allclose(table["colour_corr"].value, expected, atol=1e-12)


def test_without_a_term_or_its_colour_nothing_is_done() -> None:
    measured, places = measured_and_places()
    n = len(measured)
    plain, _ = reduce_measurements(measured, places)
    assert np.isnan(plain["colour_term"]).all()
    unknown = [told(n, colour_term=np.full(n, np.nan)), told(n, colour_index=["u-g"] * n)]
    for one in unknown:
        table, _ = reduce_measurements(hstack([measured, one]), places)
        np.testing.assert_array_equal(table["reduced"].value, plain["reduced"].value)
        assert np.isnan(table["colour"].value).all()
        assert set(table["colour_index"].tolist()) == {""}
        assert (table["colour_corr"].value == 0).all()


def test_a_light_curve_of_before_these_columns_still_gives_a_series() -> None:
    measured, places = measured_and_places()
    table, _ = reduce_measurements(measured, places)
    before = table[[spec.name for spec in LIGHTCURVE_COLUMNS]]
    assert len(series_of(before, "77").days) == len(table)


@pytest.mark.parametrize(("band", "index"), [("g", "g-r"), ("r", "g-r"), ("i", "r-i"), ("z", "")])
def test_each_filter_has_its_colour(band: str, index: str) -> None:
    assert colour_of_band(band) == index


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"colour_gr is 55.0; expected a colour between"):
        LightCurveConfig(colour_gr=55.0)
    with pytest.raises(ConfigError, match="max_zero_point_offset_mag is 0"):
        LightCurveConfig(max_zero_point_offset_mag=0.0)


def test_offsets_are_from_the_median_of_exposures_and_of_one_group() -> None:
    zero_point = np.array([26.2, 26.2, 26.2, 26.25, 25.5, 24.0, 24.1, np.nan, 26.0])
    group = np.array(["a", "a", "a", "a", "a", "b", "b", "a", ""])
    # Three rows of the first are of one exposure, which counts once.
    exposure = np.array([1, 1, 1, 2, 3, 4, 5, 6, 7])
    found = zero_point_offsets(zero_point, group, exposure)
    np.testing.assert_allclose(found[:5], [0.0, 0.0, 0.0, 0.05, -0.7], atol=1e-12)
    # Two exposures, no zero point, no group: nothing to compare with.
    assert np.isnan(found[5:]).all()


def test_a_zero_point_far_from_its_field_is_flagged_and_kept() -> None:
    measured, places = measured_and_places(30)
    zero_point = np.full(30, 26.2)
    zero_point[7] = 25.6
    table, _ = reduce_measurements(
        hstack([measured, told(30, zero_point=zero_point, field=["663"] * 30)]), places
    )
    assert len(table) == 30
    cloudy = table["zero_point_flag"] == 1
    assert cloudy.sum() == 1
    assert table["zero_point"][cloudy].value == pytest.approx([25.6])
    assert table["zero_point_offset"][cloudy].value == pytest.approx([-0.6], abs=0.01)


def test_packets_tell_zero_point_and_colour_term(real_data: Callable[..., Path]) -> None:
    table, _ = measurements_of([real_data("alerts")])
    ours = np.isfinite(table["colour_term"])
    assert ours.sum() > 10
    # ZTF's coefficients (Masci et al. 2019): some hundredths, below 0 in g, above in r.
    for band, sign in (("g", -1), ("r", 1)):
        terms = np.asarray(table["colour_term"][ours & (table["band"] == band)])
        assert len(terms) > 2
        assert 0.0 < sign * np.median(terms) < 0.2
    assert (np.abs(table["zero_point"].value[ours] - 26.2) < 1.0).all()
    assert all(str(field) for field in table["field"][ours])


def test_a_plain_table_may_tell_them_and_may_not(tmp_path: Path) -> None:
    source = tmp_path / "alerts.csv"
    source.write_text(
        "jd,ra,dec,fid,magpsf,ssnamenr,magzpsci,clrcoeff,field\n"
        "2459000.5,10,5,2,17.2,4209,26.1,0.1,663\n2459001.5,10,5,2,17.2,4209,-999,-999,663\n"
    )
    table, _ = measurements_of([source])
    assert table["colour_term"].tolist() == pytest.approx([0.1, math.nan], nan_ok=True)
    assert table["zero_point"].value.tolist() == pytest.approx([26.1, math.nan], nan_ok=True)
    assert table["field"].tolist() == ["663", "663"]


def test_a_night_tells_them_and_the_command_says_what_it_did(
    real_data: Callable[..., Path], tmp_path: Path
) -> None:
    from streaks.cli.application import build_app

    data = real_data("asteroid-alerts", "alerts.csv").parent
    row = next(
        line.split(",") for line in (data / "alerts.csv").read_text().splitlines()
        if ",4209," in line
    )  # fmt: skip
    lines = ["jd,ra,dec,fid,magpsf,ssnamenr,magzpsci,clrcoeff,field"]
    for zero_point in (26.2, 26.25, 26.22, 25.2):
        jd = float(row[0]) + 1e-3 * len(lines)
        lines.append(f"{jd},{row[1]},{row[2]},2,{row[4]},4209,{zero_point},0.1,663")
    lines.append(f"{row[0]},{row[1]},{row[2]},2,,4209,,,663")
    (tmp_path / "few.csv").write_text("\n".join(lines) + "\n")
    words = ["lightcurve", str(tmp_path / "few.csv"), "--orbits", str(data / "orbits.dat"), "-o",
             str(tmp_path / "out.ecsv"), "--colour-gr", "0.5"]  # fmt: skip
    result = CliRunner().invoke(build_app(), words)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "colour terms of 4 of 4 exposures, for g-r 0.50: up to 0.050 mag" in said
    assert "1 measurements have no magnitude" in said
    assert "1 measurements have a zero point far from the median" in said
    result = CliRunner().invoke(build_app(), [*words, "--json"])
    (one,) = json.loads(result.stdout)["objects"]
    assert (one["colour_corrected"], one["zero_point_flags"]) == (4, 1)


def test_frames_of_a_night_keep_what_their_headers_tell(tmp_path: Path) -> None:
    for k, zero_point in enumerate((26.3, 26.31, 26.29, 25.1, None)):
        stem = f"ztf_2018060719917{k}_000663_zr_c04_o_q2"
        write_ztf_frame(
            tmp_path / "in", noise_image((101, 112), seed=k), stem=stem,
            OBSJD=2458276.7 + k / 1440, MAGZP=zero_point, CLRCOEFF=0.09, CLRCOUNC=2e-5,
            PCOLOR="g - r",
        )  # fmt: skip
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    frames = read_night(tmp_path / "out").frames
    offset = frames["zero_point_offset"].to_value("mag")
    np.testing.assert_allclose(offset[:4], [0.005, 0.015, -0.005, -1.195], atol=1e-9)
    assert np.isnan(offset[4])
    assert frames["colour_term"].tolist() == pytest.approx([0.09] * 5)
    assert frames["colour_term_err"].tolist() == pytest.approx([2e-5] * 5)
    assert set(frames["colour_index"].astype(str)) == {"g - r"}
    from streaks.cli.lightcurve import _of_frames

    one = _of_frames(frames)[str(frames["image"][3])]
    assert one["zero_point"] == pytest.approx(25.1)
    assert one["colour_index"] == "g-r"
    assert one["field"].split()[0].lstrip("0") == "663"
    assert one["band"] == "r"
