"""Bright trails wider than any fit: how far their light reaches, and the lines that lie in it.

A satellite out of focus, or one that the telescope shakes under, has no Gaussian across it. Two or
three fits then share its light, along slightly different lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaks.detection.records import Line, SetAside
from streaks.geometry import Segment

__all__ = ["reach_across", "without_doubles"]

#: A trail of which that is asked: so bright, so long, in px and in widths of the PSF.
_BRIGHT_SNR, _LONG_PX, _LONG_WIDTHS = 60.0, 80.0, 40.0
#: Stations along it, and how far to either side is looked, in widths of the PSF and px at least.
_STATIONS, _ASIDE_WIDTHS, _ASIDE_PX = 256, 40.0, 40.0
#: The outer part of the profile is sky; light is what stands above it by so many times its scatter
#: and by this share of the peak.
_OUTER, _SIGMAS, _SHARE = 0.3, 4.0, 0.03
#: Stations that must see an offset; sigma of a Gaussian over its median absolute deviation.
_LEAST_STATIONS, _MAD_TO_SIGMA = 20, 1.4826
#: A line is of that light where it is longer than that is wide, by this factor, and has this share
#: of its places in it: fits of one wide trail cross at a small angle.
_ALONG, _PLACES, _MOST_OF_IT = 2.0, 33, 0.6
_LEAST_SCATTER = 1e-6


def reach_across(
    z: NDArray[np.float32], usable: NDArray[np.bool_], trail: Segment, sigma_px: float
) -> tuple[float, float]:
    """How far the light of a trail reaches to its right and left, px.

    Light at a distance is the median of places along the whole trail, so that stars do not count.

    Parameters
    ----------
    z : (ny, nx) float32
        Standardised image.
    usable : (ny, nx) bool
    trail
        A long one.
    sigma_px
        Width of the PSF.

    Returns
    -------
    right, left : float
        Left is the side of rising y of a trail along x.
    """
    aside = math.ceil(max(_ASIDE_WIDTHS * sigma_px, _ASIDE_PX))
    offsets = np.arange(-aside, aside + 1, dtype=float)
    along = (np.arange(_STATIONS) + 0.5) / _STATIONS
    dx, dy = trail.x1 - trail.x0, trail.y1 - trail.y0
    length = math.hypot(dx, dy)
    x = trail.x0 + along[:, None] * dx - offsets * dy / length
    y = trail.y0 + along[:, None] * dy + offsets * dx / length
    columns, rows = np.rint(x).astype(int), np.rint(y).astype(int)
    ny, nx = z.shape
    inside = (columns >= 0) & (rows >= 0) & (columns < nx) & (rows < ny)
    columns, rows = np.clip(columns, 0, nx - 1), np.clip(rows, 0, ny - 1)
    values = np.where(inside & usable[rows, columns], z[rows, columns], np.nan)
    told = np.isfinite(values).sum(axis=0) >= _LEAST_STATIONS
    profile = np.full(len(offsets), np.nan)
    profile[told] = np.nanmedian(values[:, told], axis=0)
    outer = profile[np.abs(offsets) > (1.0 - _OUTER) * aside]
    outer = outer[np.isfinite(outer)]
    if len(outer) == 0 or not told[aside]:
        return 0.0, 0.0
    sky = float(np.median(outer))
    scatter = max(_MAD_TO_SIGMA * float(np.median(np.abs(outer - sky))), _LEAST_SCATTER)
    near = profile[aside - 1 : aside + 2]
    least = sky + max(_SIGMAS * scatter, _SHARE * (float(np.nanmax(near)) - sky))
    dark = ~(profile > least)
    right = int(np.argmax(np.append(dark[aside::-1], True)))
    left = int(np.argmax(np.append(dark[aside:], True)))
    return float(right), float(left)


def without_doubles(
    lines: Sequence[Line], z: NDArray[np.float32], usable: NDArray[np.bool_], sigma_px: float
) -> list[Line]:
    """Sets aside the lines that share the light of a brighter, wide trail.

    Parameters
    ----------
    lines
        As they would be reported; those set aside stay as they are.
    z, usable
        As for `reach_across`.
    sigma_px
        Width of the PSF.

    Returns
    -------
    list of Line
        In their order.
    """
    alive = sorted(
        (line for line in lines if line.set_aside is None), key=lambda line: -line.fitted.snr
    )
    least_px = max(_LONG_PX, _LONG_WIDTHS * sigma_px)
    doubles: set[int] = set()
    for i, trail in enumerate(alive):
        if trail.fitted.snr < _BRIGHT_SNR:
            break
        if trail.segment.length_px < least_px or id(trail) in doubles:
            continue
        fainter = [line for line in alive[i + 1 :] if id(line) not in doubles]
        if not fainter:
            break
        reach = reach_across(z, usable, trail.segment, sigma_px)
        doubles |= {id(line) for line in fainter if _lies_along(line.segment, trail.segment, reach)}
    return [
        line.updated(set_aside=SetAside.REPEATED) if id(line) in doubles else line for line in lines
    ]


def _lies_along(line: Segment, trail: Segment, reach: tuple[float, float]) -> bool:
    """Whether a line runs along a trail within the reach of its light."""
    right, left = reach
    if line.length_px < _ALONG * (right + left):
        return False
    dx, dy = trail.x1 - trail.x0, trail.y1 - trail.y0
    length, beyond = math.hypot(dx, dy), right + left
    x, y = np.linspace(line.x0, line.x1, _PLACES), np.linspace(line.y0, line.y1, _PLACES)
    along = ((x - trail.x0) * dx + (y - trail.y0) * dy) / length
    aside = ((y - trail.y0) * dx - (x - trail.x0) * dy) / length
    inside = (aside >= -right) & (aside <= left) & (along >= -beyond) & (along <= length + beyond)
    return float(inside.mean()) >= _MOST_OF_IT
