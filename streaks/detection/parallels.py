"""A line among its parallels: how unusual its light is where the noise has a structure.

Rows and columns of a detector, straps, and what a flat field leaves, are correlated over hundreds
of pixels: a sum along a line scatters more than the noise of its pixels says, and only in some
directions. So each line is compared with others of its length and direction beside it. The nearest
of these see the same halo or glow that a line may cross: light that they have too is not its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from streaks.detection.profiles import sample
from streaks.detection.search import Filtered
from streaks.geometry import Segment

__all__ = ["Parallels", "parallel_lines", "share_above_parallels"]

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
#: So many of the nearest on each side, and how many of all must be seen; their median is by chance
#: so high once in a hundred times. Of both sides together: an edge, or a bright trail, on one side
#: says nothing of the line.
_NEAREST, _LEAST_NEAR, _NEAR_BY_CHANCE = 6, 8, 0.85
_TINY = 1e-6


@dataclass(frozen=True)
class Parallels:
    """S/N along a line and along those beside it, in units of the noise that the pixels say.

    Parameters
    ----------
    snr
        Of the line.
    level, spread
        Of those beside it; 0 and 1 where too few can be seen.
    near
        Median of the nearest, of both sides together; 0 where too few can be seen.
    """

    snr: float
    level: float = 0.0
    spread: float = 1.0
    near: float = 0.0


def parallel_lines(
    filtered: Filtered, segment: Segment, sigma_px: float, light_px: float = 0.0
) -> Parallels:
    """S/N along a line and along those beside it.

    Parameters
    ----------
    filtered
        The image.
    segment
        The line.
    sigma_px
        Width of the PSF.
    light_px
        Width of the line's own light, where that is wider.

    Returns
    -------
    Parallels
    """
    n = max(3, min(math.ceil(segment.length_px) + 1, _MOST_SAMPLES))
    step = segment.length_px / (n - 1)
    lags = step * np.arange(1, n)
    alike = np.exp(-((lags / (2.0 * filtered.noise_sigma_px)) ** 2))
    variance = (1.0 + 2.0 * (alike * (1.0 - np.arange(1, n) / n)).sum()) / n
    ends = np.array([segment.x0, segment.y0, segment.x1, segment.y1])
    means = _means(filtered.snr, filtered.cover, ends, n, sigma_px) / math.sqrt(variance)
    snr, beside = float(means[0]), means[1:]
    seen = beside[np.isfinite(beside)]
    if len(seen) < _LEAST_LINES or not math.isfinite(snr):
        return Parallels(snr)
    level = float(np.median(seen))
    # By the darker half: other streaks and stars are bright, a pattern of the image is both.
    darker = np.minimum(seen - level, 0.0)
    spread = math.sqrt(2.0 * float((darker**2).mean()))
    # Two a distance, one on each side, the nearest first.
    first = math.ceil(_FIRST_WIDTHS * max(light_px / sigma_px - 1.0, 0.0) / _NEXT_WIDTHS)
    near = beside[2 * first : 2 * (first + _NEAREST)]
    near = near[np.isfinite(near)]
    return Parallels(
        snr, level, spread, float(np.median(near)) if len(near) >= _LEAST_NEAR else 0.0
    )


def share_above_parallels(found: Parallels) -> float:
    """Share of a line's S/N that is left when it is held against its parallels.

    Parameters
    ----------
    found
        From `parallel_lines`.

    Returns
    -------
    float
        1 where the parallels are as white noise leaves them.
    """
    if not found.snr > 0:
        return 1.0
    theirs = max(found.level - _LEVEL_BY_CHANCE, found.near - _NEAR_BY_CHANCE, 0.0)
    above = max(found.snr - theirs, 0.0)
    return min(above / found.snr / max(found.spread / _SPREAD_BY_CHANCE, 1.0), 1.0)


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
