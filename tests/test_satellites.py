"""Which satellite a trail may be."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time
from astropy.wcs import WCS
from typer.testing import CliRunner

from streaks.cli.known import app
from streaks.config import SatelliteConfig
from streaks.errors import CatalogueError, ConfigError
from streaks.frame import Frame
from streaks.known import find_observatory
from streaks.matching import separation_arcsec
from streaks.satellites import (
    SKY_COLUMNS,
    Satellites,
    best_satellites,
    match_satellites,
    read_satellites,
    satellites_in_sky,
)
from streaks.satellites.candidates import _candidates
from streaks.satellites.sky import _in_shadow
from streaks.search import load_satellites
from streaks.tables import NIGHT_COLUMNS, ColumnSpec, build_table, check_table

#: Vanguard 1, the test case of Vallado et al. 2006.
VANGUARD = (
    "1 00005U 58002B   00179.78495062  .00000023  00000-0  28098-4 0  4753",
    "2 00005  34.2682 348.7242 1859667 331.7664  19.3264 10.82419157413667",
)
PALOMAR = find_observatory("I41")
_PLACES = ("ra", "dec", "ra0", "dec0", "ra1", "dec1", "pa")


def _write(path: Path, *lines: str) -> Path:
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _streaks(rows: list[tuple[float, float, float, float]]) -> QTable:
    """Streaks of these ends, in deg."""
    ra0, dec0, ra1, dec1 = np.array(rows, dtype=float).reshape(-1, 4).T
    dec = (dec0 + dec1) / 2
    pa = np.mod(np.degrees(np.arctan2((ra1 - ra0) * np.cos(np.radians(dec)), dec1 - dec0)), 180.0)
    columns = [ColumnSpec("streak_id", str, None, "")]
    columns += [ColumnSpec(name, float, "deg", "") for name in _PLACES]
    return build_table(columns, {
        "streak_id": [f"s{i}" for i in range(len(rows))], "ra": (ra0 + ra1) / 2, "dec": dec,
        "ra0": ra0, "dec0": dec0, "ra1": ra1, "dec1": dec1, "pa": pa,
    })  # fmt: skip


def test_elements_come_with_and_without_names(tmp_path: Path) -> None:
    named = read_satellites(_write(tmp_path / "a.tle", "0 VANGUARD 1", *VANGUARD))
    bare = read_satellites(_write(tmp_path / "b.txt.gz", *VANGUARD))
    assert (named.name[0], bare.name[0]) == ("VANGUARD 1", "")
    assert named.norad.tolist() == bare.norad.tolist() == [5]
    assert named.epoch_jd[0] == pytest.approx(2451723.28495062, abs=1e-8)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((VANGUARD[0][:-1] + "9", VANGUARD[1]), "its checksum is wrong"),
        ((VANGUARD[0], VANGUARD[1][:60]), "shorter than 68 columns"),
        ((VANGUARD[0], VANGUARD[1].replace("00005", "00006")), "of two satellites"),
        ((VANGUARD[0],), "a first line without its second"),
        ((VANGUARD[1],), "a second line without its first"),
    ],
)
def test_bad_elements_are_named_and_the_others_are_kept(
    tmp_path: Path, lines: tuple[str, ...], reason: str
) -> None:
    satellites = read_satellites(_write(tmp_path / "a.tle", *VANGUARD, *lines, "NAME", *VANGUARD))
    assert len(satellites) == 2
    assert reason in satellites.failures[0].reason
    assert satellites.failures[0].number == 3


def test_files_without_elements_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="holds no elements of satellites"):
        read_satellites(_write(tmp_path / "a.tle", "nothing", "of the kind"))
    with pytest.raises(CatalogueError, match="cannot read the satellites"):
        read_satellites(tmp_path / "missing.tle")
    cut = gzip.compress("\n".join(VANGUARD * 50).encode())
    (tmp_path / "cut.gz").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(CatalogueError, match="cannot read the satellites"):
        read_satellites(tmp_path / "cut.gz")


def test_places_are_those_of_astropys_own_frames(tmp_path: Path) -> None:
    # An independent way from SGP4 to the sky: astropy's TEME, ITRS and a site on the ellipsoid.
    import astropy.units as u
    from astropy.coordinates import (
        GCRS,
        ITRS,
        TEME,
        CartesianDifferential,
        CartesianRepresentation,
    )

    satellites = read_satellites(_write(tmp_path / "a.tle", *VANGUARD))
    time = Time("2000-06-28T06:50:19", scale="utc")
    sky = None
    for minutes in range(0, 600, 10):
        when = time + minutes * u.min
        sky = satellites_in_sky(satellites, when, PALOMAR, exposure_s=30.0)
        if len(sky):
            break
    assert sky is not None
    assert len(sky) == 1
    _, p, v = satellites.elements.sgp4(np.array([when.jd1]), np.array([when.jd2]))
    velocity = CartesianDifferential(*(v[0, 0] * u.km / u.s))
    teme = TEME(CartesianRepresentation(*(p[0, 0] * u.km), differentials=velocity), obstime=when)
    rho = 6378.137 * u.km
    longitude = np.radians(PALOMAR.longitude_deg)
    site = ITRS(
        CartesianRepresentation(
            rho * PALOMAR.rho_cos_phi * np.cos(longitude),
            rho * PALOMAR.rho_cos_phi * np.sin(longitude),
            rho * PALOMAR.rho_sin_phi,
        ),
        obstime=when,
    )
    line = (
        teme.transform_to(GCRS(obstime=when)).cartesian.without_differentials()
        - site.transform_to(GCRS(obstime=when)).cartesian
    )
    lon, lat = np.arctan2(line.y, line.x), np.arctan2(line.z, np.hypot(line.x, line.y))
    away = separation_arcsec(
        sky["ra"][0].value, sky["dec"][0].value, lon.to_value("deg"), lat.to_value("deg")
    )
    # Light-time and the Earth's own motion in it (21 arcsec at most) are not in astropy's line.
    travel_s = sky["range"][0].to_value("km") / 299_792.458
    most = (30.3 + 8.5) * travel_s / sky["range"][0].to_value("km") * 206_265.0
    assert 0.0 < away < most + 1.0
    assert sky["range"][0].to_value("km") == pytest.approx(line.norm().to_value("km"), abs=1.0)


@pytest.fixture(scope="module")
def real_trail() -> tuple[Satellites, QTable, Time, float]:
    """The trail of NORAD 13035 among real cutouts, and the satellites of that month."""
    from tests.frame_files import real_data

    folder = real_data("real-cutouts")
    (match,) = csv.DictReader((folder / "satellite_matches.csv").open())
    (row,) = (
        r
        for r in csv.DictReader((folder / "cutouts.csv").open())
        if r["img"] == match["img"] and float(r["strid"] or "nan") == float(match["strid"])
    )
    ends = tuple(float(row[c]) for c in ("ra1", "dec1", "ra2", "dec2"))
    start, end = float(row["start_mjd"]), float(row["end_mjd"])
    middle = Time(0.5 * (start + end), format="mjd", scale="utc")
    satellites = read_satellites(real_data("tle", "tle.20171129.txt.gz"))
    return satellites, _streaks([ends]), middle, (end - start) * 86_400.0


def test_a_real_trail_gets_its_satellite(
    real_trail: tuple[Satellites, QTable, Time, float],
) -> None:
    satellites, streaks, middle, exposure_s = real_trail
    assert len(satellites) == 16_737
    found = match_satellites(streaks, satellites, middle, PALOMAR, exposure_s=exposure_s)
    assert found["sat_norad"][0] == 13035
    assert found["rank"][0] == 1
    # satellite_matches.csv: 1.603 arcsec across, 0.336 deg, 15.255 arcsec/s, 40210 km.
    assert found["across"][0].to_value("arcsec") == pytest.approx(1.603, abs=0.1)
    assert found["turn"][0].to_value("deg") == pytest.approx(0.336, abs=0.02)
    assert found["rate"][0].to_value("arcsec / s") == pytest.approx(15.2549, rel=1e-3)
    assert found["range"][0].to_value("km") == pytest.approx(40209.5, abs=5.0)
    best = best_satellites(streaks, found)
    check_table(best, [c for c in NIGHT_COLUMNS if c.name in ("sat_name", "sat_norad")])
    assert (best["sat_name"][0], best["sat_norad"][0]) == ("NORAD 13035", 13035)


def test_the_ends_of_a_trail_have_no_order(
    real_trail: tuple[Satellites, QTable, Time, float],
) -> None:
    satellites, streaks, middle, exposure_s = real_trail
    ra0, dec0, ra1, dec1 = (streaks[c][0].value for c in ("ra0", "dec0", "ra1", "dec1"))
    turned = _streaks([(ra1, dec1, ra0, dec0)])
    found = match_satellites(turned, satellites, middle, PALOMAR, exposure_s=exposure_s)
    assert found["sat_norad"][0] == 13035


def test_no_satellite_is_named_beyond_what_elements_allow(
    real_trail: tuple[Satellites, QTable, Time, float],
) -> None:
    satellites, streaks, middle, exposure_s = real_trail
    ra0, dec0, ra1, dec1 = (streaks[c][0].value for c in ("ra0", "dec0", "ra1", "dec1"))
    across = _streaks([(ra0, dec0, ra0, dec0 + 0.01), (ra0, dec0 + 0.3, ra1, dec1 + 0.3)])
    found = match_satellites(across, satellites, middle, PALOMAR, exposure_s=exposure_s)
    assert best_satellites(across, found)["sat_norad"].tolist() == [-1, -1]
    late = Time(middle.jd + 60.0, format="jd", scale="utc")
    assert len(match_satellites(streaks, satellites, late, PALOMAR, exposure_s=exposure_s)) == 0


def test_real_artifacts_get_no_satellite(
    real_trail: tuple[Satellites, QTable, Time, float], real_data: Callable[..., Path]
) -> None:
    # The other streaks of that frame and of four more: none is a satellite's by eye or catalogue.
    satellites = real_trail[0]
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(real_data("real-cutouts", "cutouts.csv").open()):
        if row["night"] <= "20171214" and row["eye_label"] != "satellite":
            rows.setdefault(row["img"], []).append(row)
    named = total = 0
    for some in list(rows.values())[:12]:
        start, end = float(some[0]["start_mjd"]), float(some[0]["end_mjd"])
        middle = Time(0.5 * (start + end), format="mjd", scale="utc")
        ends = [tuple(float(r[c]) for c in ("ra1", "dec1", "ra2", "dec2")) for r in some]
        streaks = _streaks(ends)  # type: ignore[arg-type]
        found = match_satellites(
            streaks, satellites, middle, PALOMAR, exposure_s=(end - start) * 86_400.0
        )
        named += np.count_nonzero(best_satellites(streaks, found)["sat_norad"] > 0)
        total += len(streaks)
    assert total > 12
    assert named == 0


def test_no_streaks_and_unknown_places_give_tables_of_no_candidates(tmp_path: Path) -> None:
    satellites = read_satellites(_write(tmp_path / "a.tle", *VANGUARD))
    time = Time("2000-06-28T06:50:19", scale="utc")
    for streaks in (_streaks([]), _streaks([(np.nan,) * 4])):
        found = match_satellites(streaks, satellites, time, PALOMAR, exposure_s=30.0)
        assert len(found) == 0
        assert len(best_satellites(streaks, found)) == len(streaks)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_candidates is 0; at least 1"):
        SatelliteConfig(max_candidates=0)
    with pytest.raises(ConfigError, match="max_age_days, search_radius_deg"):
        SatelliteConfig(max_age_days=0.0)


def test_candidates_of_a_table_of_streaks(
    real_trail: tuple[Satellites, QTable, Time, float],
    real_data: Callable[..., Path],
    tmp_path: Path,
) -> None:
    _, streaks, middle, _ = real_trail
    streaks["time"] = [str(middle.isot)]
    streaks.write(tmp_path / "streaks.ecsv")
    tle = str(real_data("tle", "tle.20171129.txt.gz"))
    asked = ["satellites", str(tmp_path / "streaks.ecsv"), "-o", str(tmp_path / "c.ecsv"),
             "--tle", tle]  # fmt: skip
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert "1 of 1 streaks may be satellites" in result.output
    assert QTable.read(tmp_path / "c.ecsv")["sat_norad"][0] == 13035
    streaks[["streak_id", "ra"]].write(tmp_path / "streaks.ecsv", overwrite=True)
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 2
    assert "lacks the columns dec, pa, ra0, time" in " ".join(result.output.split())


def _frame(**changes: object) -> Frame:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150.0, 30.0], [50.0, 40.0], [-3e-4, 3e-4]
    values = {
        "data": np.zeros((80, 100), np.float32), "mask": np.zeros((80, 100), bool),
        "name": "f", "wcs": wcs, "exposure_s": 30.0,
        "time": Time("2000-06-28T06:50:19", scale="utc"), "observatory": "I41", **changes,
    }  # fmt: skip
    return Frame(**values)  # type: ignore[arg-type]


def test_a_frame_that_does_not_say_enough_names_no_satellite(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sky = load_satellites(_write(tmp_path / "a.tle", *VANGUARD))
    streaks = _streaks([(150.0, 30.0, 150.1, 30.0)])
    named = sky.name_streaks(_frame(observatory="", wcs=None), streaks)
    assert named["sat_norad"].tolist() == [-1]
    assert "f: not matched with satellites: no sky coordinates, observatory" in caplog.text


def test_elements_of_another_year_are_not_used_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sky = load_satellites(_write(tmp_path / "a.tle", *VANGUARD))
    streaks = _streaks([(150.0, 30.0, 150.1, 30.0)])
    late = _frame(time=Time("2001-06-28T06:50:19", scale="utc"))
    assert sky.name_streaks(late, streaks)["sat_name"].tolist() == [""]
    assert "the youngest elements of satellites are 365 days away" in caplog.text


#: At this range a kilometre across the line of sight is an arcminute.
_RANGE_KM = 648_000.0 / np.pi / 60.0


def _sky(*, age: float = 0.0, sunlit: int = 1, length_deg: float = 0.5, dec: float = 0.0) -> QTable:
    """A satellite that goes east along a parallel near the equator, its middle at 10 h."""
    half = 0.5 * length_deg
    return build_table(SKY_COLUMNS, {
        "sat_name": ["X"], "sat_norad": [7], "ra0": [150.0 - half], "dec0": [dec], "ra": [150.0],
        "dec": [dec], "ra1": [150.0 + half], "dec1": [dec], "rate": [length_deg * 120.0],
        "pa": [90.0], "range": [_RANGE_KM], "sunlit": [sunlit], "age": [age],
    })  # fmt: skip


def _compare(streak: tuple[float, float, float, float], **sky: float) -> dict[str, np.ndarray]:
    config = SatelliteConfig(
        across_km=1.0, across_km_per_day=0.5, along_km=2.0, along_km_per_day=3.0,
        across_error_arcsec=3.0, turn_error_deg=0.5,
    )  # fmt: skip
    return _candidates(_streaks([streak])[0], _sky(**sky), config)  # type: ignore[arg-type]


_ON_TRACK = (149.9, 0.0, 150.1, 0.0)


def test_errors_of_elements_grow_with_their_age_by_the_day() -> None:
    for age in (0.0, 4.0):
        shifted = (149.9, 60.0 / 3600, 150.1, 60.0 / 3600)  # 1 km to the north of the track
        (across,), (error,) = (_compare(shifted, age=age)[n] for n in ("across", "across_err"))
        assert across == pytest.approx(60.0, rel=1e-3)
        assert error == pytest.approx(np.hypot(3.0, 60.0 * (1.0 + 0.5 * age)), rel=1e-6)
        # 0.1 degrees (6 km) behind the end of the track.
        beyond = _compare((150.34, 0.0, 150.36, 0.0), age=age)
        assert beyond["along"][0] == pytest.approx(360.0, rel=1e-3)
        expected = (360.0 / np.hypot(3.0, 60.0 * (2.0 + 3.0 * age))) ** 2
        assert beyond["chi2"][0] == pytest.approx(expected, rel=1e-2)


def test_a_trail_within_the_track_and_shorter_is_no_worse_a_longer_one_is() -> None:
    assert _compare(_ON_TRACK)["chi2"][0] == pytest.approx(0.0, abs=1e-4)
    assert _compare((150.0, 0.0, 150.01, 0.0))["chi2"][0] == pytest.approx(0.0, abs=1e-4)
    longer = _compare((149.6, 0.0, 150.4, 0.0))
    assert longer["along"][0] == 0.0
    # Five per cent and 2 arcsec are what a measured length may be off by.
    assert longer["chi2"][0] == pytest.approx(
        ((2880 - 1.05 * 1800) / (0.05 * 1800 + 2)) ** 2, rel=1e-2
    )
    assert longer["path"][0] == pytest.approx(1800.0, rel=1e-4)


@pytest.mark.parametrize("turned", [False, True])
def test_the_angle_between_trail_and_track_counts_by_its_error(turned: bool) -> None:
    half, slope = 0.1, np.tan(np.radians(1.0))
    ends = (150.0 - half, -half * slope, 150.0 + half, half * slope)
    streak = (*ends[2:], *ends[:2]) if turned else ends
    found = _compare(streak)
    assert found["turn"][0] == pytest.approx(1.0, abs=0.01)
    # The trail's own angle is as good as its ends (2 arcsec in all) over its length of 720.
    error = np.hypot(0.5, np.degrees(2.0 / 720.0))
    assert found["chi2"][0] == pytest.approx(error**-2.0, rel=0.01)


def test_a_satellite_in_the_earths_shadow_is_possible_only_in_the_light() -> None:
    assert _compare(_ON_TRACK)["possible"].tolist() == [1]
    dark = _compare(_ON_TRACK, sunlit=0)
    assert dark["possible"].tolist() == [0]
    assert dark["chi2"][0] == pytest.approx(SatelliteConfig().dark_penalty, abs=1e-3)


def test_the_earths_shadow_lies_behind_it_and_is_as_wide() -> None:
    to_sun = np.array([1.0, 0.0, 0.0])
    places = np.array([
        [-7000.0, 0.0, 0.0], [-7000.0, 6300.0, 0.0], [-7000.0, 0.0, 6450.0],
        [7000.0, 0.0, 0.0], [0.0, 7000.0, 0.0], [-42_164.0, 1000.0, 1000.0],
    ])  # fmt: skip
    assert _in_shadow(places, to_sun).tolist() == [True, True, False, False, False, True]
