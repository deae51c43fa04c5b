"""Numbers of a period search that tell whether to believe it; what weighs them is handed in."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streaks.lightcurves.periods import PeriodFit

__all__ = ["RELIABILITY_NUMBERS", "numbers_of"]

#: In the order of `numbers_of`.
RELIABILITY_NUMBERS = (
    "contrast",
    "log_likelihood",
    "over_next",
    "over_half_double",
    "over_day_alias",
    "n_epochs",
    "amplitude",
    "scatter",
    "amplitude_over_scatter",
    "explained",
    "first_over_second",
    "third_over_second",
    "fourth_over_second",
    "log_period",
    "from_half_turns_a_day",
    "widest_gap",
    "outlier_share",
)
#: Turns a day at which nights see the same side again.
_HALF_TURN = 0.5


def numbers_of(fit: PeriodFit) -> NDArray[np.float64]:
    """What a forest weighs.

    Parameters
    ----------
    fit
        Of `find_period`.

    Returns
    -------
    (len(RELIABILITY_NUMBERS),)
        NaN where unknown.
    """
    best = fit.candidates[0]
    first, second, third, fourth = best.amplitudes_mag[:4] if len(best.amplitudes_mag) > 3 else (
        *best.amplitudes_mag, *[0.0] * (4 - len(best.amplitudes_mag))
    )  # fmt: skip
    strength = max(second, 1e-6)
    scatter = max(fit.scatter_mag, 1e-6)
    rate = 24.0 / best.period_h
    return np.array([
        fit.contrast,
        best.log_likelihood,
        _over(fit, lambda alias: True),
        _over(fit, lambda alias: alias in ("half", "double")),
        _over(fit, lambda alias: "alias" in alias),
        fit.n_epochs,
        fit.amplitude_mag,
        fit.scatter_mag,
        fit.amplitude_mag / scatter,
        fit.scatter_mag / max(fit.raw_scatter_mag, 1e-6),
        first / strength,
        third / strength,
        fourth / strength,
        math.log(best.period_h),
        abs(rate / _HALF_TURN - round(rate / _HALF_TURN)),
        _widest_gap(fit.turn),
        float(fit.outliers.mean()),
    ])  # fmt: skip


def _over(fit: PeriodFit, wanted) -> float:  # type: ignore[no-untyped-def]
    """By how much the best is likelier than the best of some others; NaN for none."""
    best = fit.candidates[0].log_likelihood
    others = [c.log_likelihood for c in fit.candidates[1:] if wanted(c.alias)]
    return best - max(others) if others else math.nan


def _widest_gap(turn: NDArray[np.float64]) -> float:
    """The longest part of a turn that nobody saw."""
    ordered = np.sort(turn)
    return float(np.diff(np.append(ordered, ordered[0] + 1.0)).max())
