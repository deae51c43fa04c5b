"""Bright stars by their masks, and the lines that point at them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment

__all__ = ["MaskedStars", "masked_stars", "star_behind"]

#: Cells in which masks are looked at: bleed columns, narrower than half a cell, drop out.
_CELL = 4
#: An image of fewer cells across holds no masked star.
_LEAST_CELLS = 4
#: A cell counts as masked where this share of it is; in 255ths.
_MASKED_CELL = 0.7 * 255
#: Bleeds are one or two cells wide; opening by so many cuts them from the star they start in.
_OPENING_CELLS = 2
_EIGHT_NEIGHBOURS = 8
#: A star's mask is at least so wide, px.
_MIN_STAR_PX = 10.0
#: Chip edges and dead columns are long; stars are less than so many times wider than high, and
#: smaller than this share of the image.
_MOST_ELONGATED, _LARGEST_SHARE = 6.0, 0.3
#: A spike's line passes the star's centre within so many px and this share of its radius.
_AIM_PX, _AIM_SHARE = 2.0, 0.35
#: Spikes fade outwards: what is found of one begins within so many px of the star's mask and this
#: share of its own length, of which no more counts than so many radii.
_GAP_PX, _GAP_SHARE, _GAP_RADII = 6.0, 0.6, 6.0
#: A trail that goes on by so many radii beyond the star on both sides merely passes it.
_PASSES_RADII = 4.0
#: Answers of `star_behind`.
_NO_STAR, _ON_THE_LINE = -1, 2


@dataclass(frozen=True, eq=False)
class MaskedStars:
    """Compact masked areas.

    Parameters
    ----------
    x, y : (n,)
        Centres, 0-based px.
    radius : (n,)
        px.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]


def masked_stars(usable: NDArray[np.bool_]) -> MaskedStars:
    """Compact masked areas that a saturated star may hide behind.

    Parameters
    ----------
    usable : (ny, nx) bool

    Returns
    -------
    MaskedStars
    """
    import cv2

    ny, nx = usable.shape
    none = MaskedStars(np.zeros(0), np.zeros(0), np.zeros(0))
    if usable.all() or min(ny, nx) < _LEAST_CELLS * _CELL:
        return none
    size = (nx // _CELL, ny // _CELL)
    # 255 where hidden: bytes are resized in a quarter of the time of numbers.
    hidden = np.subtract(usable.view(np.uint8), 1)
    share = cv2.resize(hidden, size, interpolation=cv2.INTER_AREA)
    cells = (share > _MASKED_CELL).astype(np.uint8)
    opening = np.ones((_OPENING_CELLS, _OPENING_CELLS), np.uint8)
    cells = np.asarray(cv2.morphologyEx(cells, cv2.MORPH_OPEN, opening), np.uint8)
    n, _, stats, centres = cv2.connectedComponentsWithStats(cells, connectivity=_EIGHT_NEIGHBOURS)
    if n < 2:
        return none
    width = stats[1:, cv2.CC_STAT_WIDTH] * float(_CELL)
    height = stats[1:, cv2.CC_STAT_HEIGHT] * float(_CELL)
    area = stats[1:, cv2.CC_STAT_AREA] * float(_CELL**2)
    radius = np.sqrt(area / math.pi)
    longer, shorter = np.maximum(width, height), np.minimum(width, height)
    compact = (longer < _MOST_ELONGATED * shorter) & (2.0 * radius >= _MIN_STAR_PX)
    compact &= longer < _LARGEST_SHARE * max(ny, nx)
    scale_x, scale_y = nx / size[0], ny / size[1]
    x = (centres[1:, 0] + 0.5) * scale_x - 0.5
    y = (centres[1:, 1] + 0.5) * scale_y - 0.5
    return MaskedStars(x[compact], y[compact], radius[compact])


def star_behind(segment: Segment, stars: MaskedStars) -> int:
    """At which end a line starts near a masked star and points at its centre, as spikes do.

    Parameters
    ----------
    segment
        The line.
    stars
        Of the image.

    Returns
    -------
    int
        0 for the first end, 1 for the second, 2 where the star lies on the line, -1 for none.
    """
    if len(stars.x) == 0:
        return _NO_STAR
    theta = math.radians(segment.theta_deg)
    c, s = math.cos(theta), math.sin(theta)
    xm, ym = segment.midpoint
    dx, dy = stars.x - xm, stars.y - ym
    along = dx * c + dy * s
    if (segment.x1 - segment.x0) * c + (segment.y1 - segment.y0) * s < 0:
        along = -along
    across = np.abs(-dx * s + dy * c)
    half = 0.5 * segment.length_px
    gap = np.abs(along) - half - stars.radius
    aims = across < _AIM_PX + _AIM_SHARE * stars.radius
    near = gap < _GAP_PX + _GAP_SHARE * np.minimum(segment.length_px, _GAP_RADII * stars.radius)
    passes = half - np.abs(along) > _PASSES_RADII * stars.radius
    hit = np.flatnonzero(aims & near & ~passes)
    if len(hit) == 0:
        return _NO_STAR
    nearest = hit[gap[hit].argmin()]
    if abs(along[nearest]) < half:
        return _ON_THE_LINE
    return 0 if along[nearest] < 0 else 1
