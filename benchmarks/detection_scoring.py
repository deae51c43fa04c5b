"""The arithmetic of the detector's benchmark: which truth was found, how deep, how well.

Bare arrays in, numbers out; a segment is a row ``x0, y0, x1, y1`` in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Depth",
    "Pairs",
    "depth",
    "ends_in_order",
    "fit_depth",
    "half_width",
    "median_and_error",
    "one_each",
    "pair_streaks",
    "robust_width",
    "score_cut",
    "wilson",
]

Floats = NDArray[np.float64]

#: A detection lies on a streak if its midpoint is this near to it and both of its ends are this
#: near to its line (2.5 FWHM: what the eye would call the same thing). Its length does not matter,
#: so that peers that report pieces of a trail are not called blind.
REACH_PX = 5.0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which detection is which streak.

    Parameters
    ----------
    found : (n,) int
        For each streak its detection, -1 for none.
    repeat : (m,) bool
        Detections on streaks that a better detection has taken: pieces and doubles.
    false : (m,) bool
        Detections on nothing.
    """

    found: NDArray[np.intp]
    repeat: NDArray[np.bool_]
    false: NDArray[np.bool_]


def pair_streaks(detected: ArrayLike, scores: ArrayLike, true: ArrayLike) -> Pairs:
    """Give each streak at most one detection, the surest detection choosing first.

    A detection takes, of the streaks it lies on that are still free, the one whose ends are
    nearest. A cut in score leaves the pairs of the detections above it as they are.
    """
    detected = np.asarray(detected, float).reshape(-1, 4)
    true = np.asarray(true, float).reshape(-1, 4)
    lies_on = _lies_on(detected, true)
    apart = _end_distance(detected, true)
    found = np.full(len(true), -1, dtype=np.intp)
    taken = np.zeros(len(detected), bool)
    for d in np.argsort(-np.asarray(scores, float), kind="stable"):
        free = np.flatnonzero(lies_on[d] & (found < 0))
        if len(free):
            found[free[np.argmin(apart[d, free])]] = d
            taken[d] = True
    touches = np.asarray(lies_on.any(axis=1))
    return Pairs(found, touches & ~taken, ~touches)


def one_each(ends: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Segments without those that lie on one of higher score, by falling score."""
    ends = np.asarray(ends, float).reshape(-1, 4)
    scores = np.asarray(scores, float)
    order = np.argsort(-scores, kind="stable")
    ends, scores = ends[order], scores[order]
    kept: list[int] = []
    for i in range(len(ends)):
        if not _lies_on(ends[i : i + 1], ends[kept]).any():
            kept.append(i)
    return ends[kept], scores[kept]


def _lies_on(detected: Floats, true: Floats) -> NDArray[np.bool_]:
    """(m, n): whether a detection lies on a streak."""
    start, step = true[:, :2], true[:, 2:] - true[:, :2]
    length = np.maximum(np.hypot(*step.T), 1e-9)
    u = step / length[:, None]

    normal = np.stack([-u[:, 1], u[:, 0]], axis=1)

    def along_and_across(points: Floats) -> tuple[Floats, Floats]:
        d = points[:, None, :] - start[None]
        return np.einsum("mnk,nk->mn", d, u), np.einsum("mnk,nk->mn", d, normal)

    along, across = along_and_across(0.5 * (detected[:, :2] + detected[:, 2:]))
    beyond = np.maximum(np.maximum(-along, along - length), 0.0)
    ends = [np.abs(along_and_across(detected[:, k : k + 2])[1]) for k in (0, 2)]
    return (np.hypot(beyond, across) <= REACH_PX) & (np.maximum(*ends) <= REACH_PX)


def _end_distance(detected: Floats, true: Floats) -> Floats:
    """(m, n): sum of the distances of both ends, px, for the better of the two orders."""

    def total(swapped: Floats) -> Floats:
        d = swapped[:, None, :] - true[None]
        return np.hypot(d[..., 0], d[..., 1]) + np.hypot(d[..., 2], d[..., 3])

    return np.minimum(total(detected), total(detected[:, [2, 3, 0, 1]]))


def ends_in_order(detected: ArrayLike, true: ArrayLike) -> Floats:
    """Detections whose ends are in the order of the true streaks', row by row."""
    detected, true = (np.asarray(a, float).reshape(-1, 4) for a in (detected, true))
    swapped = detected[:, [2, 3, 0, 1]]
    nearer = np.sum((swapped - true) ** 2, axis=1) < np.sum((detected - true) ** 2, axis=1)
    return np.where(nearer[:, None], swapped, detected)


def score_cut(false_scores: ArrayLike, frames: int, *, per_frame: float = 1.0) -> float:
    """The score that leaves this many false detections a frame, or fewer.

    Detections count from this score on. Minus infinity where there are no more than that at all.
    """
    ranked = np.sort(np.asarray(false_scores, float))[::-1]
    allowed = math.floor(per_frame * frames + 1e-9)
    if len(ranked) <= allowed:
        return -math.inf
    return float(np.nextafter(ranked[allowed], math.inf))


@dataclass(frozen=True)
class Depth:
    """Completeness against S/N: ``ceiling / (1 + (s / middle)**(-1 / width))``.

    Parameters
    ----------
    s50
        S/N where completeness is a half; infinite where it never is.
    low, high
        Interval that holds 68 % of the bootstrap's values, resampled by frame.
    """

    s50: float
    low: float = math.nan
    high: float = math.nan


def fit_depth(snr: ArrayLike, found: ArrayLike) -> float:
    """S/N of 50 % completeness: a logistic in log S/N with a ceiling, by maximum likelihood.

    Infinite where the fitted completeness stays under a half, or reaches it beyond twice the
    highest S/N there is.
    """
    from scipy.optimize import minimize

    x, y = np.log(np.asarray(snr, float)), np.asarray(found, bool)
    if not y.any():
        return math.inf
    if y.all():
        return -math.inf

    def badness(p: Floats) -> float:
        share = _completeness(x, p)
        return -float(np.sum(np.log(np.where(y, share, 1.0 - share))))

    starts = [np.quantile(x, q) for q in (0.2, 0.6)]
    fits = [
        minimize(badness, (start, math.log(0.06), 3.0), method="Nelder-Mead",
                 options={"maxiter": 600, "xatol": 1e-3, "fatol": 1e-3})
        for start in starts
    ]  # fmt: skip
    middle, log_width, ceiling = min(fits, key=lambda fit: fit.fun).x
    top = _logistic(np.clip(ceiling, -8, 8))
    if top <= 0.5:
        return math.inf
    width = math.exp(np.clip(log_width, -5, 1))
    log_s50 = middle - width * math.log(2.0 * top - 1.0)
    return math.exp(log_s50) if log_s50 <= x.max() + math.log(2.0) else math.inf


def _completeness(x: Floats, p: Floats) -> Floats:
    top = _logistic(np.clip(p[2], -8, 8))
    rise = _logistic((x - p[0]) / math.exp(np.clip(p[1], -5, 1)))
    return np.clip(top * rise, 1e-6, 1.0 - 1e-6)


def _logistic(x: ArrayLike) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, float)))


def depth(
    snr: Sequence[Floats],
    score: Sequence[Floats],
    false: Sequence[Floats],
    *,
    cut: float | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> tuple[Depth, float]:
    """S/N of 50 % completeness with its interval, and the score cut that it holds for.

    Parameters
    ----------
    snr, score, false
        One array a frame: S/N of its streaks, the scores that they were found with (minus
        infinity where they were not), scores of its false detections.
    cut
        A fixed score; None for that of one false detection a frame, which each resample of the
        frames then finds anew.
    """
    frames = np.arange(len(snr))

    def s50(chosen: NDArray[np.intp]) -> tuple[float, float]:
        joined = (np.concatenate([part[i] for i in chosen]) for part in (snr, score, false))
        s, sc, f = joined
        used = score_cut(f, len(chosen)) if cut is None else cut
        return fit_depth(s, (sc >= used) & np.isfinite(sc)), used

    value, used = s50(frames)
    rng = np.random.default_rng(seed)
    many = [s50(rng.choice(frames, len(frames)))[0] for _ in range(resamples)]
    low, high = np.quantile(many, (0.16, 0.84), method="nearest") if many else (math.nan,) * 2
    return Depth(value, float(low), float(high)), used


def robust_width(values: ArrayLike) -> float:
    """Standard deviation as the median absolute deviation gives it for a Gaussian."""
    v = np.asarray(values, float)
    return float(1.4826 * np.median(np.abs(v - np.median(v)))) if v.size else math.nan


def half_width(values: ArrayLike) -> tuple[float, float]:
    """Half of the range that holds the middle 68.3 %, and its standard error.

    For a Gaussian it is its sigma, with an error of 0.96 sigma / sqrt(n): from the variance of
    quantiles, p (1 - p) / (n phi**2), at p = 0.159 and 0.841.
    """
    v = np.asarray(values, float)
    if not v.size:
        return math.nan, math.nan
    low, high = np.quantile(v, (0.158655, 0.841345))
    width = float(high - low) / 2.0
    return width, 0.96 * width / math.sqrt(v.size)


def median_and_error(values: ArrayLike) -> tuple[float, float]:
    """Median and its standard error for Gaussian scatter (1.2533 sigma / sqrt(n))."""
    v = np.asarray(values, float)
    if not v.size:
        return math.nan, math.nan
    return float(np.median(v)), 1.2533 * robust_width(v) / math.sqrt(v.size)


def wilson(found: int, of: int, z: float = 1.0) -> tuple[float, float]:
    """Interval of a share at ``z`` sigma (Wilson 1927, JASA 22, 209)."""
    if of == 0:
        return math.nan, math.nan
    p, zz = found / of, z * z
    middle = (p + zz / (2 * of)) / (1 + zz / of)
    half = z * math.sqrt(p * (1 - p) / of + zz / (4 * of * of)) / (1 + zz / of)
    return middle - half, middle + half
