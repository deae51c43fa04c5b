"""Where a classifier's figures come from: intervals, nights, objects, brightness, length.

Pure functions of arrays, beside `streaks.models.evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import LabelRule

__all__ = [
    "bootstrap_interval",
    "breakdown",
    "kept_by_object",
    "recall_by_measure",
    "set_figures",
    "threshold_at_fpr",
]

#: Edges of bins of what usually decides whether a streak is recognised.
EDGES: Mapping[str, tuple[float, ...]] = {
    "snr": (0, 6, 8, 10, 15, 25, 50, np.inf),
    "length": (0, 5, 10, 20, 40, 80, np.inf),
}


def threshold_at_fpr(negative: NDArray[np.float64], fpr: float) -> float:
    """The score that at most a share ``fpr`` of negatives exceeds; -inf without any.

    Parameters
    ----------
    negative : (n,)
        Scores of what should score low.
    fpr
        0 to 1.

    Returns
    -------
    float
        -inf also where all negatives may be exceeded.
    """
    allowed = int(np.floor(fpr * len(negative) + 1e-9))
    ordered = np.sort(negative)[::-1]
    return float(ordered[allowed]) if allowed < len(ordered) else -np.inf


def bootstrap_interval(
    figure: Callable[[NDArray[np.int64]], float],
    groups: Sequence[Any],
    *,
    seed: int = 0,
    n_draws: int = 300,
    share: float = 0.95,
) -> tuple[float, float]:
    """Interval of a figure when whole groups are drawn again with replacement.

    Parameters
    ----------
    figure
        The figure of some rows, given by index; draws for which it is NaN do not count.
    groups : (n,)
        What each row belongs to (an object): pictures of one thing are not independent.
    seed, n_draws, share
        Of the draws, and the share of them inside the interval.

    Returns
    -------
    (float, float)
        NaN where no draw gives a figure.

    References
    ----------
    Davison & Hinkley 1997, Bootstrap Methods and their Application, section 3.8 (clusters).
    """
    rng = np.random.default_rng(seed)
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    drawn = []
    for _ in range(n_draws if len(member) else 0):
        picked = rng.integers(len(rows), size=len(rows))
        drawn.append(figure(np.concatenate([rows[k] for k in picked])))
    known = np.array([value for value in drawn if np.isfinite(value)])
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.5 - share / 2, 0.5 + share / 2])
    return float(low), float(high)


def kept_by_object(kept: NDArray[np.bool_], objects: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Of each object's cutouts, how many were kept, and how many there are.

    Parameters
    ----------
    kept : (n,) bool
        Whether each cutout was kept.
    objects : (n,)
        Name of the object that it shows.

    Returns
    -------
    dict
        ``(kept, there are)`` by name.
    """
    names = np.asarray(objects, dtype=str)
    return {
        str(name): (int(kept[names == name].sum()), int((names == name).sum()))
        for name in np.unique(names)
    }


def breakdown(
    groups: Sequence[str],
    *,
    score: NDArray[np.float64],
    positive: NDArray[np.bool_],
    negative: NDArray[np.bool_],
    labels: NDArray[np.str_],
    said: NDArray[np.str_],
    fpr: float = 0.01,
) -> list[dict[str, Any]]:
    """Figures of each group (a night) at one threshold for all.

    Parameters
    ----------
    groups : (n,)
        Name of each cutout's group.
    score : (n,)
        Asteroid probability.
    positive, negative : (n,) bool
        Which cutouts are asteroids, and which are taken for none.
    labels, said : (n,) str
        Truth (empty where unlabelled), and what the classifier said.
    fpr
        Share of all negatives that may score above the threshold.

    Returns
    -------
    list of dict
        ``group, n, n_positive, kept, n_negative, false, n_labelled, right``: counts, where
        ``kept`` and ``false`` score above the threshold for ``fpr`` over all groups.
    """
    names = np.asarray(groups, dtype=str)
    above = score > threshold_at_fpr(score[negative], fpr)
    rows = []
    for name in np.unique(names):
        own = names == name
        labelled = own & (labels != "")
        rows.append(
            {
                "group": str(name),
                "n": int(own.sum()),
                "n_positive": int((own & positive).sum()),
                "kept": int((own & positive & above).sum()),
                "n_negative": int((own & negative).sum()),
                "false": int((own & negative & above).sum()),
                "n_labelled": int(labelled.sum()),
                "right": int((said == labels)[labelled].sum()),
            }
        )
    return rows


def recall_by_measure(
    values: NDArray[np.float64],
    edges: Sequence[float],
    *,
    kept: NDArray[np.bool_],
    named: NDArray[np.bool_],
) -> list[dict[str, float]]:
    """Share of asteroids kept, and named as such, in bins of a measure; empty bins left out.

    Parameters
    ----------
    values : (n,)
        The measure of each asteroid; NaN falls in no bin.
    edges
        Increasing bounds of the bins; a bin holds ``low <= value < high``.
    kept, named : (n,) bool
        Whether its score was above the threshold, and whether it was called an asteroid.

    Returns
    -------
    list of dict
        ``low, high, n, kept, named``; the last two are shares.
    """
    rows = []
    for low, high in pairwise(edges):
        own = (values >= low) & (values < high)
        if own.any():
            rows.append(
                {
                    "low": float(low),
                    "high": float(high),
                    "n": int(own.sum()),
                    "kept": float(kept[own].mean()),
                    "named": float(named[own].mean()),
                }
            )
    return rows


def set_figures(
    rule: LabelRule, probabilities: NDArray[np.float64], truth: NDArray[np.integer]
) -> dict[str, Any]:
    """How often a rule's sets hold the truth, over all and by output, and how large they are.

    Parameters
    ----------
    rule
        Makes the sets.
    probabilities : (n, 8)
        In the order of `OUTPUTS`.
    truth : (n,)
        Index of the true output of each.

    Returns
    -------
    dict
        ``promised, coverage, mean_size, empty, more_than_two`` and ``by_output``: shares, but
        for the size. NaN without a cutout; outputs without one are left out.
    """
    inside = rule.candidates(probabilities)
    count = inside.sum(axis=1)
    hit = inside[np.arange(len(truth)), truth]

    def mean(values: NDArray[Any]) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return {
        "promised": rule.coverage,
        "coverage": mean(hit),
        "mean_size": mean(count),
        "empty": mean(count == 0),
        "more_than_two": mean(count > 2),
        "by_output": {int(k): mean(hit[truth == k]) for k in np.unique(truth)},
    }
