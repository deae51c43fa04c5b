"""What training changed: two classifiers on the same labelled cutouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS
from streaks.errors import InputError
from streaks.models.evaluation import confusion_matrix, f1_scores
from streaks.models.evaluation_detail import bootstrap_interval

__all__ = ["measure_gain"]

#: Classes with fewer examples say nothing of a classifier; as in `evaluate_probabilities`.
_LEAST_EXAMPLES = 5
_N_DRAWS = 1000
#: Keeps the logarithm finite where a class was called impossible.
_FLOOR = 1e-4


def measure_gain(
    truth: Sequence[str],
    before: tuple[Sequence[str], NDArray[np.float64]],
    after: tuple[Sequence[str], NDArray[np.float64]],
    groups: Sequence[str],
) -> dict[str, Any]:
    """Figures of two classifiers, and of their difference, with intervals.

    Parameters
    ----------
    truth : (n,)
        Names among `OUTPUTS`.
    before, after
        Labels, (n,), and probabilities, (n, 8), of each classifier.
    groups : (n,)
        What is drawn again as a whole: streaks of one frame are not independent.

    Returns
    -------
    dict
        ``n, n_groups, classes``, and for ``accuracy``, ``macro_f1`` (over the classes of five
        examples or more) and ``log_score`` (mean logarithm of the probability of the truth):
        ``before, after, gain, low, high``; the last two are the 95 % interval of the gain, None
        where it cannot be known.

    Raises
    ------
    InputError
        If there is nothing to measure on.
    """
    names = np.asarray(truth, dtype=str)
    if not len(names):
        raise InputError("there are no labelled cutouts to measure a gain on")
    counts = {name: int((names == name).sum()) for name in OUTPUTS}
    scored = [i for i, name in enumerate(OUTPUTS) if counts[name] >= _LEAST_EXAMPLES]
    index = np.array([OUTPUTS.index(name) for name in names])
    said = [np.asarray(one[0], dtype=str) for one in (before, after)]
    right = [(one == names).astype(float) for one in said]
    log_p = [
        np.log(np.clip(one[1][np.arange(len(index)), index], _FLOOR, 1)) for one in (before, after)
    ]

    def macro(which: int, rows: NDArray[np.int64]) -> float:
        f1 = f1_scores(confusion_matrix(names[rows].tolist(), said[which][rows].tolist()))[scored]
        return float(np.nanmean(f1)) if np.isfinite(f1).any() else float("nan")

    figures: dict[str, Callable[[int, NDArray[np.int64]], float]] = {
        "accuracy": lambda k, rows: float(right[k][rows].mean()),
        "macro_f1": macro,
        "log_score": lambda k, rows: float(log_p[k][rows].mean()),
    }
    everything = np.arange(len(names))
    found: dict[str, Any] = {
        "n": len(names),
        "n_groups": len(set(groups)),
        "classes": {name: n for name, n in counts.items() if n},
    }
    for name, figure in figures.items():
        old, new = figure(0, everything), figure(1, everything)
        low, high = bootstrap_interval(_gain_of(figure), groups, n_draws=_N_DRAWS)
        # One frame drawn again is the same frame: that is no interval.
        known = len(set(groups)) > 1 and np.isfinite(low)
        found[name] = {
            "before": _rounded(old),
            "after": _rounded(new),
            "gain": _rounded(new - old),
            "low": _rounded(low) if known else None,
            "high": _rounded(high) if known else None,
        }
    return found


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _gain_of(
    figure: Callable[[int, NDArray[np.int64]], float],
) -> Callable[[NDArray[np.int64]], float]:
    """What a figure grows by, on some rows."""
    return lambda rows: figure(1, rows) - figure(0, rows)
