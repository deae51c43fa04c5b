"""A line among its parallels: how unusual its light is where the noise has a structure.

Rows and columns of a detector, straps, and what a flat field leaves, are correlated over hundreds
of pixels: a sum along a line scatters more than the noise of its pixels says, and only in some
directions. So each line is compared with others of its length and direction beside it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from streaks.detection.profiles import sample
from streaks.detection.search import Filtered
from streaks.geometry import Segment

__all__ = ["parallel_lines", "share_above_parallels"]

#: The nearest parallel lies beyond a trail's own light, the next ones as far apart as filtered
#: noise is correlated; so many on each side. In widths of the PSF.
_FIRST_WIDTHS, _NEXT_WIDTHS, _EACH_SIDE = 4.5, 2.5, 40
#: Samples of one line at most, and share of them that must be seen.
_MOST_SAMPLES, _LEAST_SEEN = 256, 0.5
#: Fewer parallels tell nothing.
_LEAST_LINES = 16
#: Of 80 lines in white noise the spread seems so much larger, and the level so much higher, once
#: in a hundred times.
_SPREAD_BY_CHANCE, _LEVEL_BY_CHANCE = 1.25, 0.4
_TINY = 1e-6


def parallel_lines(
    filtered: Filtered, segment: Segment, sigma_px: float
) -> tuple[float, float, float]:
    """S/N along a line, and the level and spread of the S/N of those beside it.

    Parameters
    ----------
    filtered
        The image.
    segment
        The line.
    sigma_px
        Width of the PSF.

    Returns
    -------
    snr, level, spread : float
        In units of the noise that the pixels say; the last two are 0 and 1 where too few parallels
        can be seen.
    """
    n = max(3, min(math.ceil(segment.length_px) + 1, _MOST_SAMPLES))
    step = segment.length_px / (n - 1)
    lags = step * np.arange(1, n)
    alike = np.exp(-((lags / (2.0 * filtered.noise_sigma_px)) ** 2))
    variance = (1.0 + 2.0 * (alike * (1.0 - np.arange(1, n) / n)).sum()) / n
    ends = np.array([segment.x0, segment.y0, segment.x1, segment.y1])
    means = _means(filtered.snr, filtered.cover, ends, n, sigma_px) / math.sqrt(variance)
    beside = means[1:][np.isfinite(means[1:])]
    if len(beside) < _LEAST_LINES or not np.isfinite(means[0]):
        return float(means[0]), 0.0, 1.0
    level = float(np.median(beside))
    # By the darker half: other streaks and stars are bright, a pattern of the image is both.
    darker = np.minimum(beside - level, 0.0)
    return float(means[0]), level, math.sqrt(2.0 * float((darker**2).mean()))


def share_above_parallels(snr: float, level: float, spread: float) -> float:
    """Share of a line's S/N that is left when it is held against its parallels.

    Parameters
    ----------
    snr, level, spread
        As `parallel_lines` gives them.

    Returns
    -------
    float
        1 where the parallels are as white noise leaves them.
    """
    if not snr > 0:
        return 1.0
    above = max(snr - max(level - _LEVEL_BY_CHANCE, 0.0), 0.0)
    return min(above / snr / max(spread / _SPREAD_BY_CHANCE, 1.0), 1.0)


@njit(cache=True, nogil=True)
def _means(snr, cover, ends, n, sigma_px):  # type: ignore[no-untyped-def]
    """Mean of samples along a line and along its parallels; NaN where too little is seen."""
    x0, y0, x1, y1 = ends
    length = max(math.hypot(x1 - x0, y1 - y0), _TINY)
    ux, uy = (y0 - y1) / length * sigma_px, (x1 - x0) / length * sigma_px
    means = np.full(2 * _EACH_SIDE + 1, np.nan)
    for k in range(2 * _EACH_SIDE + 1):
        away = 0.0
        if k > 0:
            away = _FIRST_WIDTHS + _NEXT_WIDTHS * ((k - 1) // 2)
            if k % 2 == 0:
                away = -away
        u, v = away * ux, away * uy
        values = sample(snr, cover, x0 + u, y0 + v, x1 + u, y1 + v, n)
        total, seen = 0.0, 0
        for i in range(n):
            if not np.isnan(values[i]):
                total += values[i]
                seen += 1
        if seen >= _LEAST_SEEN * n:
            # Fewer samples scatter more: the mean of those is brought to the noise of all.
            means[k] = total / seen * math.sqrt(seen / n)
    return means
