"""Rotation periods: of curves made by an independent renderer of turning bodies."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import QTable
from numpy.typing import NDArray
from typer.testing import CliRunner

from streaks.errors import ConfigError, ModelError, TableError
from streaks.lightcurves import (
    LIGHTCURVE_COLUMNS,
    RELIABILITY_NUMBERS,
    PeriodConfig,
    PeriodFit,
    Series,
    alias_name,
    find_period,
    numbers_of,
    period_table,
)
from streaks.lightcurves._kernels import scan
from streaks.synth.rotation import brightness_mag, draw_body, full_amplitudes
from streaks.tables import build_table

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

FAST = PeriodConfig(shortest_h=4.0, longest_h=30.0, permutations=4)


def series(
    period_h: float = 9.37, n: int = 150, noise: float = 0.03, seed: int = 2, odd: float = 0.03
) -> Series:
    """Two bands, two apparitions, a phase slope, two maxima a turn of unequal height."""
    rng = np.random.default_rng(seed)
    night = np.floor(np.concatenate([150 * rng.random(n // 2), 400 + 150 * rng.random(n - n // 2)]))
    days = np.sort(night + 0.3 * rng.random(n)) + 2459000.0
    band, apparition = rng.integers(0, 2, n), (days > 2459300).astype(np.int64)
    phase = 5.0 + 15.0 * rng.random(n)
    turn = 2 * math.pi * days * 24 / period_h
    mag = 0.15 * np.cos(2 * turn + 0.4) + odd * np.cos(turn) + 0.02 * np.cos(3 * turn)
    mag += 0.6 * (band == 0) + 0.2 * apparition + 0.03 * phase + noise * rng.normal(size=n)
    return Series(
        "made", days, mag, np.full(n, noise), phase, np.zeros(n), band.astype(np.int64), apparition
    )


@pytest.fixture(scope="module")
def found() -> PeriodFit:
    return find_period(series(), FAST)


def test_the_period_is_found_with_bands_apparitions_and_slope(found: PeriodFit) -> None:
    assert found.period_h == pytest.approx(9.37, abs=0.002)
    assert abs(found.period_h - 9.37) < 5 * found.period_err_h
    assert found.scatter_mag == pytest.approx(0.03, rel=0.25)
    assert found.amplitude_mag == pytest.approx(0.34, abs=0.05)


def test_half_and_double_and_one_day_aliases_are_named(found: PeriodFit) -> None:
    names = {c.alias for c in found.candidates}
    assert "double" in names or "half" in names
    assert any("alias" in name for name in names)
    assert found.candidates[0].alias == ""
    likelihoods = [c.log_likelihood for c in found.candidates]
    assert likelihoods == sorted(likelihoods, reverse=True)


def test_two_maxima_a_turn_are_preferred_where_the_data_do_not_tell() -> None:
    fit = find_period(series(odd=0.0), FAST)
    assert fit.period_h == pytest.approx(9.37, abs=0.01)


def test_noise_alone_is_a_false_alarm_and_a_period_is_none(found: PeriodFit) -> None:
    rng = np.random.default_rng(5)
    plain = series()
    noise = Series(
        "noise", plain.days, 0.03 * rng.normal(size=len(plain)), plain.error, plain.phase_deg,
        plain.bisector_deg, plain.band, plain.apparition,
    )  # fmt: skip
    assert find_period(noise, FAST).false_alarm > 0.01
    assert found.false_alarm < 1e-6


def test_false_alarms_of_noise_are_spread_evenly() -> None:
    plain = series(n=60)
    rng = np.random.default_rng(8)
    config = PeriodConfig(shortest_h=10.0, longest_h=20.0, permutations=12, n_harmonics=2)
    alarms = []
    for _ in range(40):
        noise = Series(
            "noise", plain.days, 0.03 * rng.normal(size=60), plain.error, plain.phase_deg,
            plain.bisector_deg, plain.band, plain.apparition,
        )  # fmt: skip
        alarms.append(find_period(noise, config).false_alarm)
    # 40 draws: 5 % are expected below 0.05, and 8 or more of 40 would be one in a thousand.
    assert np.count_nonzero(np.array(alarms) < 0.05) < 8
    assert np.count_nonzero(np.array(alarms) > 0.5) > 8


def test_outliers_are_flagged_and_left_out() -> None:
    spoilt = series()
    spoilt.mag[[3, 40, 77]] += np.array([1.0, -0.8, 0.9])
    fit = find_period(spoilt, FAST)
    assert fit.period_h == pytest.approx(9.37, abs=0.002)
    assert fit.outliers[[3, 40, 77]].all()
    assert fit.outliers.sum() < 8


def test_turning_the_magnitudes_over_time_keeps_the_answer(found: PeriodFit) -> None:
    plain = series()
    shifted = Series(
        "later", plain.days + 1234.0, plain.mag + 5.0, plain.error, plain.phase_deg,
        plain.bisector_deg, plain.band, plain.apparition,
    )  # fmt: skip
    assert find_period(shifted, FAST).period_h == pytest.approx(found.period_h, rel=1e-6)


def test_a_scan_is_the_least_squares_fit_at_each_frequency() -> None:
    rng = np.random.default_rng(1)
    t, w = np.sort(50 * rng.random(40)), 1 / (0.5 + rng.random(40))
    basis, _ = np.linalg.qr(np.stack([np.ones(40), t], axis=1) * w[:, None])
    y = rng.normal(size=40)
    y -= basis @ (basis.T @ y)
    offset = 0.3 * rng.random(40)
    fall = scan(t, offset, w, basis, y[:, None], 0.5, 0.01, 37, 3)[:, 0]
    for k in (0, 20, 36):
        angle = 2 * math.pi * (0.5 + 0.01 * k) * t + offset
        columns = [f(h * angle) * w for h in (1, 2, 3) for f in (np.cos, np.sin)]
        whole = np.concatenate([basis, np.stack(columns, axis=1)], axis=1)
        left = y - whole @ np.linalg.lstsq(whole, y, rcond=None)[0]
        assert fall[k] == pytest.approx(float(y @ y - left @ left), rel=1e-4)


@pytest.mark.parametrize(
    ("period_h", "name"),
    [(4.685, "half"), (18.74, "double"), (24 / (24 / 9.37 + 0.5), "one-day alias"),
     (24 / (24 / 9.37 - 0.5), "one-day alias"),
     (24 / (24 / 9.37 + 1), "one-day alias of a whole turn"),
     (7.7, "")],
)  # fmt: skip
def test_aliases_have_names(period_h: float, name: str) -> None:
    assert alias_name(period_h, 9.37, 0.002) == name


def test_too_few_epochs_are_told() -> None:
    with pytest.raises(TableError, match="a period needs"):
        find_period(series(n=18), FAST)


@pytest.mark.parametrize(
    ("what", "words"),
    [({"mag": np.full(30, np.nan)}, "mag of made has values that are not finite"),
     ({"error": np.zeros(30)}, "errors of made must be above 0"),
     ({"mag": np.zeros(3)}, r"mag of made is \(3,\), expected \(30,\)")],
)  # fmt: skip
def test_series_that_cannot_be_fitted_are_refused(what: dict[str, Any], words: str) -> None:
    plain = series(n=30)
    with pytest.raises(TableError, match=words):
        replace(plain, **what)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"shortest_h": 9.0, "longest_h": 3.0}, "shortest"), ({"n_harmonics": 1}, "2 to 8"),
     ({"oversampling": 1.0}, "out of range"), ({"permutations": -1}, "0 or more")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(given: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PeriodConfig(**given)  # type: ignore[arg-type]


def test_numbers_of_a_search_have_their_names(found: PeriodFit) -> None:
    numbers = numbers_of(found)
    assert numbers.shape == (len(RELIABILITY_NUMBERS),)
    assert np.isfinite(numbers[:4]).all()
    assert numbers[RELIABILITY_NUMBERS.index("n_epochs")] == found.n_epochs


# Bodies


def direction(longitude_deg: float) -> NDArray[np.float64]:
    angle = math.radians(longitude_deg)
    return np.array([math.cos(angle), math.sin(angle), 0.0])


def test_a_body_looks_the_same_after_a_whole_turn() -> None:
    body = draw_body(np.random.default_rng(2), period_h=7.0)
    days = np.array([0.1, 0.1 + 7.0 / 24, 0.1 + 70.0 / 24])
    mag = brightness_mag(body, days, np.tile(direction(3), (3, 1)), np.tile(direction(9), (3, 1)))
    assert np.ptp(mag) < 1e-9


def test_surfaces_of_bodies_are_closed() -> None:
    for seed in range(5):
        body = draw_body(np.random.default_rng(seed))
        assert np.abs(body.areas @ body.normals).max() < 1e-8
        assert (body.areas > 0).all()


def test_a_body_seen_on_its_pole_does_not_vary() -> None:
    body = draw_body(np.random.default_rng(4), period_h=5.0)
    towards = np.tile(body.pole, (10, 1))
    mag = brightness_mag(body, np.linspace(0, 0.2, 10), towards, towards)
    assert np.ptp(mag) < 1e-9
    same = np.zeros(10, np.int64)
    assert full_amplitudes(body, towards, towards, same) == pytest.approx([0.0], abs=1e-9)


@pytest.mark.slow
def test_turning_bodies_are_found_by_a_search_that_knows_nothing_of_them() -> None:
    right = 0
    for seed in range(6):
        rng = np.random.default_rng([5, seed])
        plain = series(n=200, seed=seed)
        lit = np.array([direction(0.25 * (day - 2459000)) for day in plain.days])
        seen = np.array([direction(0.25 * (day - 2459000) + 8) for day in plain.days])
        while True:
            body = draw_body(rng, period_h=float(rng.uniform(5, 25)))
            if full_amplitudes(body, lit, seen, plain.apparition).mean() > 0.25:
                break
        mag = brightness_mag(body, plain.days, lit, seen) + 0.03 * rng.normal(size=200)
        longitude = (0.25 * (plain.days - 2459000) + 184) % 360
        made = Series("body", plain.days, mag, plain.error, np.full(200, 8.0), longitude,
                      plain.band, plain.apparition)  # fmt: skip
        fit = find_period(made, PeriodConfig(shortest_h=3.0, longest_h=60.0, permutations=0))
        right += abs(fit.period_h / body.period_h - 1) < 0.01
    assert right >= 5


# The model and the command


def test_the_model_of_the_package_believes_what_is_clear(found: PeriodFit) -> None:
    from streaks.models.period_store import load_reliability

    rng = np.random.default_rng(5)
    plain = series()
    noise = Series(
        "noise", plain.days, 0.03 * rng.normal(size=len(plain)), plain.error, plain.phase_deg,
        plain.bisector_deg, plain.band, plain.apparition,
    )  # fmt: skip
    numbers = np.array([numbers_of(found), numbers_of(find_period(noise, FAST))])
    clear, doubtful = load_reliability().probability(numbers).tolist()
    assert clear > 0.8
    assert doubtful < 0.5


def test_a_trained_model_survives_the_disk_and_not_a_change(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from streaks.models.period_store import load_reliability, save_reliability
    from streaks.models.period_training import train_reliability

    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, len(RELIABILITY_NUMBERS)))
    right = x[:, 2] + 0.5 * rng.normal(size=300) > 0
    model, figures, unseen = train_reliability(x, right, seed=1)
    assert figures["auc_forest"] > 0.8
    assert abs(unseen.mean() - right.mean()) < 0.05
    save_reliability(model, tmp_path / "m", about={"what": "a test"})
    again = load_reliability(tmp_path / "m")
    np.testing.assert_allclose(again.probability(x), model.probability(x))
    card = json.loads((tmp_path / "m" / "periods.json").read_text())
    card["baseline"] = "nothing"
    (tmp_path / "m" / "periods.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="no model of this version"):
        load_reliability(tmp_path / "m")
    card["sha256"] = "0"
    (tmp_path / "m" / "periods.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="altered"):
        load_reliability(tmp_path / "m")
    (tmp_path / "m" / "other.txt").write_text("mine")
    with pytest.raises(ModelError, match="other files"):
        save_reliability(model, tmp_path / "m", about={})
    with pytest.raises(ModelError, match="no model"):
        load_reliability(tmp_path / "none")
    with pytest.raises(ModelError, match="25 of each"):
        train_reliability(x[:30], right[:30], seed=1)


def light_curve_table(made: Series) -> QTable:
    n = len(made)
    zero = np.zeros(n)
    return build_table(LIGHTCURVE_COLUMNS, {
        "name": ["77"] * n, "time": [""] * n, "jd": made.days,
        "band": np.where(made.band == 0, "g", "r"), "mag": made.mag, "mag_err": made.error,
        "r": zero + 2, "delta": zero + 1, "phase": made.phase_deg, "bisector": made.bisector_deg,
        "apparition": made.apparition, "loss": zero, "reduced": made.mag, "residual": made.mag,
        "sep": zero, "outlier": np.zeros(n, np.int64), "source": [""] * n,
    })  # fmt: skip


def test_the_command_writes_a_table_and_a_picture(tmp_path: Path) -> None:
    from streaks.cli.application import build_app
    from streaks.plotting.drawing import decode_picture

    source, out, picture = tmp_path / "light.ecsv", tmp_path / "periods.csv", tmp_path / "p.png"
    light_curve_table(series()).write(source)
    result = CliRunner().invoke(build_app(), [
        "periods", str(source), "-o", str(out), "--shortest", "6", "--longest", "20",
        "--permutations", "3", "--plot", str(picture), "--json",
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["period"] == pytest.approx(9.37, abs=0.005)
    assert 0 <= row["reliability"] <= 1
    assert "double" in row["aliases"] or "alias" in row["aliases"]
    assert "9.37" in out.read_text()
    drawn = decode_picture(picture.read_bytes())
    assert (drawn != 255).any(axis=2).mean() > 0.02


def test_a_short_light_curve_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    from streaks.cli.application import build_app

    source = tmp_path / "light.ecsv"
    whole = light_curve_table(series())
    short = light_curve_table(series(n=15))
    short["name"] = ["88"] * 15
    from astropy.table import vstack

    vstack([whole, short]).write(source)
    result = CliRunner().invoke(build_app(), [
        "periods", str(source), "-o", str(tmp_path / "p.csv"), "--shortest", "8", "--longest", "12",
        "--permutations", "0",
    ])  # fmt: skip
    assert result.exit_code == 1
    assert "88 has 15 epochs" in result.output
    assert "77: 9.37" in result.output


def test_no_periods_are_a_table_of_no_rows() -> None:
    assert len(period_table([], [])) == 0
