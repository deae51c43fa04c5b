"""Fits of a few parameters within bounds, compared with SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special

from streaks.least_squares import fit_within
from streaks.special import erf, logistic, normal_cdf

Floats = NDArray[np.float64]
_R = np.linspace(0.0, 8.0, 120)
_LOW, _HIGH, _SCALE = [0.0, 0.3, 2.1, -np.inf], [np.inf, 200.0, 12.0, np.inf], [1.0, 2.0, 1.0, 0.01]


def _moffat(p: Floats) -> Floats:
    return np.asarray(p[0] * (1.0 + (_R / p[1]) ** 2) ** -p[2] + p[3])


@pytest.mark.parametrize("seed", range(12))
def test_it_ends_where_scipy_does(seed: int) -> None:
    # Exponents of 9 and noise: now and then the best is at the bound of 12.
    rng = np.random.default_rng(seed)
    truth = np.array([rng.uniform(0.5, 2), rng.uniform(1, 4), rng.uniform(2.2, 9), 0.01])
    seen = _moffat(truth) + rng.normal(0.0, 0.01, len(_R))

    def residual(p: Floats) -> Floats:
        return _moffat(p) - seen

    start = [1.0, 2.5, 3.5, 0.0]
    ours = fit_within(residual, start, _LOW, _HIGH, _SCALE)
    theirs = optimize.least_squares(
        residual, start, bounds=(_LOW, _HIGH), x_scale=_SCALE, xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    assert ours.success
    assert ours.cost == pytest.approx(theirs.cost, rel=1e-5)
    assert ours.cost <= theirs.cost * (1.0 + 1e-9)
    assert _moffat(ours.x) == pytest.approx(_moffat(theirs.x), abs=3e-4)


def test_a_start_that_is_right_is_kept() -> None:
    truth = np.array([1.0, 2.0, 3.0, 0.0])
    fitted = fit_within(lambda p: _moffat(p) - _moffat(truth), truth, _LOW, _HIGH, _SCALE)
    assert fitted.success
    assert fitted.cost == 0.0
    assert fitted.x.tolist() == truth.tolist()


def test_a_bound_that_holds_back_is_reached_and_not_passed() -> None:
    # The least of (x - 3)^2 + (y + 1)^2 within x < 2, y > 0 is at the corner.
    fitted = fit_within(
        lambda p: np.array([p[0] - 3.0, p[1] + 1.0]), [0.5, 0.5], [-9, 0], [2, 9], [1, 1]
    )
    assert fitted.success
    assert fitted.x.tolist() == [2.0, 0.0]


def test_parameters_leave_a_bound_that_does_not_hold_them() -> None:
    fitted = fit_within(
        lambda p: np.array([p[0] - 3.0, p[1] - 1.0]), [0.0, 9.0], [0, 0], [9, 9], [1, 1]
    )
    assert fitted.x == pytest.approx([3.0, 1.0], abs=1e-6)


def test_a_parameter_of_which_nothing_depends_stays() -> None:
    fitted = fit_within(lambda p: np.array([p[0] - 1.0]), [0.0, 5.0], [-9, -9], [9, 9], [1, 1])
    assert fitted.x == pytest.approx([1.0, 5.0], abs=1e-6)


def test_too_few_steps_are_no_success() -> None:
    fitted = fit_within(
        lambda p: _moffat(p) - 1.0, [5.0, 0.5, 9.0, 3.0], _LOW, _HIGH, _SCALE, max_steps=2
    )
    assert not fitted.success


def test_special_functions_are_those_of_scipy() -> None:
    x = np.concatenate([np.linspace(-40.0, 40.0, 801), [np.inf, -np.inf, np.nan, 0.0]])
    # Squares of arguments lose a few digits in the tails.
    near = {"rel": 1e-12, "abs": 1e-300, "nan_ok": True}
    assert erf(x) == pytest.approx(special.erf(x), **near)
    assert normal_cdf(x[x > -30]) == pytest.approx(special.ndtr(x[x > -30]), **near)
    assert logistic(x) == pytest.approx(special.expit(x), **near)
    assert erf([]).shape == (0,)
    assert normal_cdf(np.zeros((2, 3))).tolist() == [[0.5] * 3] * 2
