"""How much of a known truth was found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.geometry import Segment, angle_difference_deg, distance_to_segment

__all__ = [
    "SNR_EDGES",
    "completeness_by_snr",
    "is_resolved",
    "least_resolved_fwhm",
    "match_points",
    "match_truth",
    "true_and_false",
    "wilson_interval",
]

#: Bins of S/N: fine where a finder's limit lies (5 to 10), coarse above.
SNR_EDGES = (0.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 30.0, 100.0, np.inf)

#: Length in FWHM at which a trail can be told from a point (4.5 sigma), by S/N.
_RESOLVED = ((8.0, 15.0, 20.0, 30.0), (2.5, 1.5, 1.25, 1.0))
#: A streak this near to a true one's line, px, may be of its light.
_OF_A_LINE_PX = 5.0
#: A trail shorter than this has no direction worth comparing, px.
_DIRECTED_PX = 8.0


def is_resolved(snr: NDArray[Any], length_px: NDArray[Any], fwhm_px: Any) -> NDArray[np.bool_]:
    """Which trails can be told from points.

    Parameters
    ----------
    snr : (n,)
        Matched-filter S/N.
    length_px : (n,)
    fwhm_px : float or (n,)
        Of the PSF.

    Returns
    -------
    (n,) bool
        False below S/N 8.
    """
    snr = np.asarray(snr, float)
    least = least_resolved_fwhm(snr) * fwhm_px
    return np.asarray((snr >= _RESOLVED[0][0]) & (np.asarray(length_px, float) >= least))


def least_resolved_fwhm(snr: NDArray[Any] | float) -> NDArray[np.float64]:
    """Length from which on a trail can be told from a point.

    Parameters
    ----------
    snr
        Matched-filter S/N.

    Returns
    -------
    float64, of its shape
        In FWHM of the PSF.
    """
    return np.asarray(np.interp(snr, *_RESOLVED))


def true_and_false(
    streaks: QTable, asteroids: QTable, fwhm_px: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Which streaks are true asteroids, which are none, and which are neither.

    Parameters
    ----------
    streaks
        That were found.
    asteroids : n
        All that are really there, with ``snr`` and ``length``.
    fwhm_px : (n,)
        Of the PSF of each one's image.

    Returns
    -------
    kind : (n_streaks,) int
        1 for the best match of an asteroid that can be told from a point, 0 for what lies on no
        asteroid's line, -1 for what nobody can say of: the best match of one that cannot, and
        whatever else lies on a true one's line.
    found : (n,) int
        Row in `streaks` of each asteroid, -1 for missed.
    resolved : (n,) bool
        Which asteroids can be told from points.
    """
    length = asteroids["length"].to_value("pix")
    resolved = is_resolved(np.asarray(asteroids["snr"]), length, fwhm_px)
    found = match_truth(streaks, asteroids)
    kind = np.zeros(len(streaks), np.int64)
    x, y = (streaks[name].to_value("pix") for name in ("x", "y"))
    images = np.asarray(streaks["image"]).astype(str)
    for row in asteroids:
        own = np.flatnonzero(images == str(row["image"]))
        kind[own[distance_to_segment(x[own], y[own], _ends(row)) < _OF_A_LINE_PX]] = -1
    for i, told in zip(found, resolved, strict=True):
        if i >= 0:
            kind[i] = 1 if told else -1
    return kind, found, resolved


def match_truth(
    streaks: QTable, truth: QTable, *, tolerance_px: float | NDArray[Any] = 5.0
) -> NDArray[np.int64]:
    """The row of the streak that found each true one, -1 for missed.

    A streak finds a true one of the same image when its midpoint lies within `tolerance_px` (and
    a tenth of the true length) of the true segment, their directions agree within 15 deg where
    both have one, and some of the shorter lies along the longer. Of several, the one that lies
    along it most and closest; a long trail found in pieces is found.

    Parameters
    ----------
    streaks, truth
        Tables with ``image``, and the ends ``x0, y0, x1, y1`` in 0-based pixels.
    tolerance_px : float or (n_truth,)
        Largest distance between the two, px.

    Returns
    -------
    (n_truth,) int
        Row in `streaks`. Rows whose true ends are NaN (not a line) come out as -1.
    """
    by_image: dict[str, list[int]] = {}
    for i, image in enumerate(streaks["image"]):
        by_image.setdefault(str(image), []).append(i)
    found = np.full(len(truth), -1, dtype=np.int64)
    tolerances = np.broadcast_to(np.asarray(tolerance_px, float), len(truth))
    for j, row in enumerate(truth):
        true, tolerance = _ends(row), float(tolerances[j])
        if not np.isfinite([true.x0, true.y0, true.x1, true.y1]).all():
            continue
        best = 0.0
        for i in by_image.get(str(row["image"]), []):
            overlap = _overlap(_ends(streaks[i]), true, tolerance)
            if overlap > best:
                found[j], best = i, overlap
    return found


def match_points(
    streaks: QTable, points: QTable, *, tolerance_px: float | NDArray[Any] = 5.0
) -> NDArray[np.int64]:
    """The row of the streak on which each point lies, -1 for none; of several, the nearest.

    Parameters
    ----------
    streaks
        With ``image`` and the ends ``x0, y0, x1, y1``.
    points
        With ``image, x, y``: places of which no motion is known.
    tolerance_px : float or (n_points,)
        Largest distance from the streak's line.

    Returns
    -------
    (n_points,) int
        Row in `streaks`.
    """
    images = np.asarray(streaks["image"]).astype(str)
    tolerances = np.broadcast_to(np.asarray(tolerance_px, float), len(points))
    found = np.full(len(points), -1, dtype=np.int64)
    for j, row in enumerate(points):
        own = np.flatnonzero(images == str(row["image"]))
        x, y = (float(getattr(row[name], "value", row[name])) for name in ("x", "y"))
        away = [float(distance_to_segment(x, y, _ends(streaks[i]))) for i in own]
        if away and min(away) <= tolerances[j]:
            found[j] = own[int(np.argmin(away))]
    return found


def completeness_by_snr(
    snr: NDArray[Any], found: NDArray[np.bool_], edges: Sequence[float] = SNR_EDGES
) -> QTable:
    """Share found in bins of true S/N, with its 68 % interval.

    Parameters
    ----------
    snr : (n_truth,) float
        True S/N of each streak that is really there. NaN falls in no bin.
    found : (n_truth,) bool
        True where the streak was found.
    edges
        Increasing bounds of the bins; a bin holds ``low <= snr < high``.

    Returns
    -------
    QTable
        ``snr_low, snr_high, n, found, completeness, low, high``, a row for each bin that holds
        something. `completeness` is the share found, `low` and `high` bound its 68 % interval.
    """
    rows = []
    for low, high in pairwise(edges):
        inside = (snr >= low) & (snr < high)
        n, k = int(inside.sum()), int((inside & found).sum())
        if n:
            rows.append((low, high, n, k, k / n, *wilson_interval(k, n)))
    names = ("snr_low", "snr_high", "n", "found", "completeness", "low", "high")
    kinds = (float, float, int, int, float, float, float)
    return QTable(rows=rows or None, names=names, dtype=kinds)


def wilson_interval(successes: int, trials: int, sigma: float = 1.0) -> tuple[float, float]:
    """Score interval of a share.

    Parameters
    ----------
    successes, trials
        How often it happened, and how often it could have.
    sigma
        Half-width of the interval in standard deviations; 1 gives 68 %.

    Returns
    -------
    low, high : float
        Bounds of the share, 0 to 1; (0, 1) where `trials` is 0.

    References
    ----------
    Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    if trials == 0:
        return 0.0, 1.0
    p, z2 = successes / trials, sigma * sigma / trials
    half = sigma * np.sqrt(p * (1 - p) / trials + z2 / (4 * trials))
    centre = p + z2 / 2
    return float((centre - half) / (1 + z2)), float((centre + half) / (1 + z2))


def _overlap(streak: Segment, true: Segment, tolerance_px: float) -> float:
    """How much of the shorter segment lies along the longer, and how close; 0 for not at all."""
    reach = tolerance_px + 0.1 * true.length_px
    if float(distance_to_segment(*streak.midpoint, true)) > reach:
        return 0.0
    if min(streak.length_px, true.length_px) > _DIRECTED_PX:
        turn = abs(float(angle_difference_deg(streak.theta_deg, true.theta_deg)))
        if turn > 15.0:
            return 0.0
    elif streak.length_px > 3 * true.length_px + 4 * tolerance_px:
        # A trail that merely crosses a short one has not found it.
        return 0.0
    short, long = sorted((streak, true), key=lambda s: s.length_px)
    t = np.linspace(0.0, 1.0, 21)
    x, y = short.x0 + t * (short.x1 - short.x0), short.y0 + t * (short.y1 - short.y0)
    closeness = 1.0 - distance_to_segment(x, y, long) / tolerance_px
    return float(np.mean(np.clip(closeness, 0.0, None)))


def _ends(row: Any) -> Segment:
    values = (row[name] for name in ("x0", "y0", "x1", "y1"))
    return Segment(*(float(getattr(value, "value", value)) for value in values))
