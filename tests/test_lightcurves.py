"""Reduced light curves: distances, light-time, phase functions, colours, outliers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time
from typer.testing import CliRunner

from streaks.errors import ConfigError, TableError
from streaks.lightcurves import (
    LIGHTCURVE_COLUMNS,
    MEASUREMENT_COLUMNS,
    LightCurveConfig,
    apparitions,
    fit_phase,
    psf_loss_mag,
    reduce_measurements,
    series_of,
    viewing,
)
from streaks.lightcurves.phase import phase_magnitude
from streaks.tables import build_table, check_table, empty_table


def measured_and_places(n: int = 60, seed: int = 3) -> tuple[QTable, QTable]:
    """An asteroid of H_g 10.6 and H_r 10.1 with a slope of its own, over two apparitions."""
    rng = np.random.default_rng(seed)
    jd = np.sort(np.concatenate([
        2459000.5 + 120 * rng.random(n // 2), 2459500.5 + 120 * rng.random(n - n // 2),
    ]))  # fmt: skip
    phase = 2.0 + 20.0 * rng.random(n)
    r, delta = 2.0 + rng.random(n), 1.0 + rng.random(n)
    band = np.where(rng.random(n) < 0.5, "g", "r")
    # HG by its own formula (Bowell et al. 1989).
    half = np.tan(np.radians(phase) / 2)
    phi1, phi2 = np.exp(-3.33 * half**0.63), np.exp(-1.87 * half**1.22)
    mag = np.where(band == "g", 10.6, 10.1) - 2.5 * np.log10(0.75 * phi1 + 0.25 * phi2)
    mag += 5 * np.log10(r * delta) + 0.01 * rng.normal(size=n)
    measured = build_table(MEASUREMENT_COLUMNS, {
        "name": ["77"] * n, "jd": jd, "band": band, "mag": mag, "mag_err": np.full(n, 0.01),
        "ra": np.full(n, 50.0), "dec": np.full(n, 10.0), "exposure": np.full(n, 30.0),
        "fwhm": np.full(n, np.nan), "source": ["made"] * n,
    })  # fmt: skip
    places = QTable({
        "ra": np.full(n, 50.0) * u.deg, "dec": np.full(n, 10.0) * u.deg,
        "rate": np.full(n, 0.01) * u.arcsec / u.s, "r": r * u.au, "delta": delta * u.au,
        "phase": phase * u.deg,
    })  # fmt: skip
    return measured, places


def test_distances_phase_and_colour_are_taken_off() -> None:
    measured, places = measured_and_places()
    table, fits = reduce_measurements(measured, places, LightCurveConfig(phase_model="HG"))
    check_table(table, LIGHTCURVE_COLUMNS)
    fit = fits["77"]
    assert fit.bands == ("g", "r")
    # The short formula above differs from the full one by some hundredths.
    assert fit.h_mag == pytest.approx([10.6, 10.1], abs=0.04)
    assert fit.slopes["G"] == pytest.approx(0.25, abs=0.04)
    colour, error = fit.colour("g", "r")
    assert colour == pytest.approx(0.5, abs=0.015)
    assert 0 < error < 0.02
    assert math.isnan(fit.colour("g", "i")[0])
    assert np.std(table["residual"].to_value("mag")) < 0.015
    assert set(table["apparition"].tolist()) == {0, 1}
    assert not np.asarray(table["outlier"]).any()


def test_the_time_is_when_the_light_left() -> None:
    measured, places = measured_and_places()
    places["delta"] = np.full(len(places), 2.0) * u.au
    table, _ = reduce_measurements(measured, places)
    seen = Time(table["time"].tolist(), scale="utc").jd
    # Light needs 499.005 s an au.
    assert (seen - table["jd"].to_value("d")) * 86400 == pytest.approx(998.01, abs=0.1)


@pytest.mark.parametrize("model", ["HG", "HG12", "HG1G2"])
def test_every_phase_function_finds_its_own_slope(model: str) -> None:
    slopes = {"HG": [0.3], "HG12": [0.4], "HG1G2": [0.5, 0.2]}[model]
    phase = np.linspace(0.5, 25.0, 80)
    mag = 12.0 + phase_magnitude(model, phase, slopes)
    fit = fit_phase(mag, np.full(80, 0.01), phase, np.full(80, "r"), model)
    assert fit.h_mag == pytest.approx([12.0], abs=0.01)
    assert list(fit.slopes.values()) == pytest.approx(slopes, abs=0.03)
    assert fit.magnitude(phase, np.full(80, "r")) == pytest.approx(mag, abs=0.01)


def test_few_angles_leave_the_slope_as_it_is_usual() -> None:
    phase = np.linspace(10.0, 11.0, 20)
    fit = fit_phase(np.full(20, 13.0), np.full(20, 0.1), phase, np.full(20, "g"), "HG")
    assert fit.slopes == {"G": 0.15}
    assert math.isnan(fit.slope_errs["G"])


def test_outliers_and_what_lies_elsewhere_are_flagged_and_do_not_move_the_fit() -> None:
    measured, places = measured_and_places()
    clean, fits = reduce_measurements(measured, places)
    measured["mag"][5] -= 2.0 * u.mag
    measured["ra"][9] += 10.0 * u.arcsec
    measured["mag"][9] += 1.0 * u.mag
    table, changed = reduce_measurements(measured, places)
    assert np.asarray(table["outlier"]).sum() == 2
    assert changed["77"].h_mag == pytest.approx(fits["77"].h_mag, abs=0.02)
    assert len(series_of(table, "77")) == len(clean) - 2
    assert len(series_of(table, "77", with_outliers=True)) == len(clean)


def test_light_missed_of_a_trail_is_given_back() -> None:
    measured, places = measured_and_places()
    still, _ = reduce_measurements(measured, places)
    measured["fwhm"] = np.full(len(measured), 2.0) * u.arcsec
    places["rate"] = np.full(len(places), 0.1) * u.arcsec / u.s
    moving, _ = reduce_measurements(measured, places)
    loss = moving["loss"].to_value("mag")
    assert (still["loss"].to_value("mag") == 0).all()
    assert loss == pytest.approx(loss[0])
    shift = (still["reduced"] - moving["reduced"]).to_value("mag")
    assert shift == pytest.approx(loss)


def test_colour_is_that_of_one_side_where_apparitions_differ() -> None:
    measured, places = measured_and_places()
    late = measured["jd"].to_value("d") > 2459300
    measured["mag"][late] += 0.5 * u.mag
    # Most of the late ones are in g: without levels of their own the colour would be off.
    keep = ~late | (np.asarray(measured["band"]) == "g")
    _, fits = reduce_measurements(measured[keep], places[keep])
    assert fits["77"].colour("g", "r")[0] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 3.0])
def test_trailing_loss_is_that_of_a_drawn_trail(ratio: float) -> None:
    fwhm = 20.0
    sigma = fwhm / 2.3548
    y, x = np.mgrid[-150:151, -150:151].astype(float)
    psf = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    psf /= psf.sum()
    stops = (np.arange(200) + 0.5) / 200 - 0.5
    trail = sum(
        np.exp(-0.5 * ((x - ratio * fwhm * s) ** 2 + y**2) / sigma**2) for s in stops
    ) / (200 * 2 * math.pi * sigma**2)  # fmt: skip
    share = (trail * psf).sum() / (psf * psf).sum()
    expected = -2.5 * math.log10(share)
    assert float(psf_loss_mag(np.array(ratio * fwhm), np.array(fwhm))) == pytest.approx(
        expected, abs=0.003
    )


def test_unknown_widths_and_still_sources_lose_nothing() -> None:
    assert psf_loss_mag(np.array([0.0, 5.0, np.nan]), np.array([2.0, np.nan, 2.0])).tolist() == [
        0.0, 0.0, 0.0,
    ]  # fmt: skip


def test_rows_without_prediction_or_magnitude_are_left_out() -> None:
    measured, places = measured_and_places()
    places["r"][0] = np.nan * u.au
    measured["mag"][1] = np.nan * u.mag
    table, _ = reduce_measurements(measured, places)
    assert len(table) == len(measured) - 2


def test_nothing_in_is_a_table_of_no_rows() -> None:
    _, places = measured_and_places()
    table, fits = reduce_measurements(empty_table(MEASUREMENT_COLUMNS), places[:0])
    check_table(table, LIGHTCURVE_COLUMNS)
    assert len(table) == 0
    assert not fits


def test_errors_say_what_was_expected() -> None:
    measured, places = measured_and_places()
    with pytest.raises(TableError, match="59 predictions for 60 measurements"):
        reduce_measurements(measured, places[1:])
    with pytest.raises(ConfigError, match="expected one of HG, HG12, HG1G2"):
        LightCurveConfig(phase_model="H")
    with pytest.raises(ConfigError, match="max_sep_arcsec is 0"):
        LightCurveConfig(max_sep_arcsec=0)
    with pytest.raises(ConfigError, match="expected one of HG"):
        fit_phase(np.ones(3), np.ones(3), np.ones(3), np.full(3, "g"), "sine")
    with pytest.raises(TableError, match="no measurement"):
        fit_phase(np.ones(0), np.ones(0), np.ones(0), np.zeros(0, "U1"), "HG")


def test_apparitions_are_parted_by_long_gaps_in_any_order() -> None:
    jd = np.array([500.0, 0.0, 90.0, 510.0, 900.0])
    assert apparitions(jd).tolist() == [1, 0, 0, 1, 2]


def test_viewing_agrees_with_the_angle_between_sun_and_observer() -> None:
    # At opposition an asteroid is lit and seen from one side: JPL's place of the Sun on
    # 2020-06-21 is 90 deg of longitude, so that RA 18 h, dec -23.44 deg is opposite to it.
    found = viewing(np.array([270.0]), np.array([-23.44]), np.array([1.5]), np.array([2459021.9]))
    assert float((found.to_sun * found.to_observer).sum()) > math.cos(math.radians(0.5))
    assert found.bisector_deg == pytest.approx([270.0], abs=0.5)


@pytest.fixture
def real_asteroids(real_data: Callable[..., Path]) -> Path:
    """Folder of real detections of asteroids and of their orbits."""
    return real_data("asteroid-alerts", "alerts.csv").parent


def test_real_detections_become_a_light_curve(real_asteroids: Path, tmp_path: Path) -> None:
    import json

    from streaks.cli.application import build_app

    lines = (real_asteroids / "alerts.csv").read_text().splitlines()
    few = [line for line in lines[1:] if line.split(",")[7] == "4209"][:30]
    source = tmp_path / "alerts.csv"
    source.write_text("\n".join([lines[0], *few]) + "\n")
    out = tmp_path / "light.ecsv"
    result = CliRunner().invoke(build_app(), [
        "lightcurve", str(source), "--orbits", str(real_asteroids / "orbits.dat"), "-o", str(out),
        "--object", "(4209)", "--json",
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    (one,) = told["objects"]
    assert one["name"] == "4209"
    assert one["measurements"] == 30
    table = QTable.read(out)
    # Places of numbered asteroids are known to a few tenths of an arcsecond.
    assert np.median(table["sep"].to_value("arcsec")) < 0.3
    assert 11.0 < one["H"]["r"] < 11.8


def test_names_that_nobody_knows_are_told(real_asteroids: Path, tmp_path: Path) -> None:
    from streaks.cli.application import build_app
    from streaks.errors import InputError

    source = tmp_path / "alerts.csv"
    source.write_text("jd,ra,dec,fid,magpsf,ssnamenr\n2459000.7,10,5,1,17.2,99999\n")
    with pytest.raises(InputError, match="none of 1 measurements is of an asteroid"):
        CliRunner().invoke(
            build_app(),
            ["lightcurve", str(source), "--orbits", str(real_asteroids / "orbits.dat"),
             "-o", str(tmp_path / "out.csv")],
            catch_exceptions=False,
        )  # fmt: skip


def test_a_table_without_names_is_refused(tmp_path: Path) -> None:
    from streaks.cli.lightcurve import measurements_of

    source = tmp_path / "alerts.csv"
    source.write_text("jd,ra,dec\n2459000.7,10,5\n")
    with pytest.raises(TableError, match=r"expected jd .* and ssnamenr or name"):
        measurements_of([source])


def test_start_of_the_exposure_becomes_its_middle(tmp_path: Path) -> None:
    from streaks.cli.lightcurve import measurements_of

    source = tmp_path / "alerts.csv"
    source.write_text("jd,ra,dec,fid,magpsf,ssnamenr\n2459000.5,10,5,2,17.2,4209\n")
    table, failures = measurements_of([source], exposure_s=60.0)
    assert not failures
    assert (table["jd"].to_value("d") - 2459000.5) * 86400 == pytest.approx([30.0], abs=0.01)
    assert table["band"].tolist() == ["r"]
    assert table["name"].tolist() == ["4209"]


def test_named_streaks_of_a_night_are_whole_trails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from streaks import night_folder
    from streaks.cli.lightcurve import measurements_of

    night_folder.NightFolder(tmp_path).streaks.touch()
    told = QTable({
        "streak_id": ["a_0000", "a_0001"], "image": ["a", "a"], "ssnamenr": ["4209", "null"],
        "time": ["2020-01-01T00:00:15"] * 2, "mag": [17.5, 18.0] * u.mag,
        "mag_err": [0.02, 0.05] * u.mag, "ra": [10.0, 11.0] * u.deg, "dec": [5.0, 5.0] * u.deg,
    })  # fmt: skip
    frames = QTable({"image": ["a"], "band": ["r"]})
    monkeypatch.setattr(
        night_folder, "read_night", lambda path: SimpleNamespace(streaks=told, frames=frames)
    )
    table, failures = measurements_of([tmp_path])
    assert not failures
    assert table["name"].tolist() == ["4209"]
    assert table["band"].tolist() == ["r"]
    assert table["mag_err"].to_value("mag") == pytest.approx([0.02])
    assert (table["jd"].to_value("d") - 2458849.5) * 86400 == pytest.approx([15.0], abs=0.01)
    # Nothing is missed of a trail's own flux.
    assert np.isnan(table["fwhm"].to_value("arcsec")).all()


def test_alert_packets_of_known_objects_are_measurements(real_data: Callable[..., Path]) -> None:
    from streaks.cli.lightcurve import measurements_of

    table, _ = measurements_of([real_data("alerts")])
    assert len(table) > 20
    assert set(table["band"].tolist()) <= {"g", "r", "i"}
    assert np.isfinite(table["mag"].to_value("mag")).all()
    assert (table["mag_err"].to_value("mag") > 0).all()
    assert (table["fwhm"].to_value("arcsec") > 0.5).all()
