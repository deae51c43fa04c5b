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
#: A star's mask is at least so wide, px.
_MIN_STAR_PX = 10.0


@dataclass(frozen=True, eq=False)
class MaskedStars:
    """Centres and radii of compact masked areas, each (n,), px."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]


def masked_stars(usable: NDArray[np.bool_]) -> MaskedStars:
    """Compact masked areas that a saturated star may hide behind.

    Parameters
    ----------
    usable : (ny, nx) bool
    """
    import cv2

    ny, nx = usable.shape
    none = MaskedStars(np.zeros(0), np.zeros(0), np.zeros(0))
    if usable.all() or min(ny, nx) < 4 * _CELL:
        return none
    size = (nx // _CELL, ny // _CELL)
    # 255 where hidden: bytes are resized in a quarter of the time of numbers.
    hidden = np.subtract(usable.view(np.uint8), 1)
    cells = (cv2.resize(hidden, size, interpolation=cv2.INTER_AREA) > 0.7 * 255).astype(np.uint8)
    # Bleeds are one or two cells wide; opening cuts them from the star that they start in.
    cells = cv2.morphologyEx(cells, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    n, _, stats, centres = cv2.connectedComponentsWithStats(cells, connectivity=8)
    if n < 2:
        return none
    width = stats[1:, cv2.CC_STAT_WIDTH] * float(_CELL)
    height = stats[1:, cv2.CC_STAT_HEIGHT] * float(_CELL)
    area = stats[1:, cv2.CC_STAT_AREA] * float(_CELL**2)
    radius = np.sqrt(area / math.pi)
    # Chip edges and dead columns are long; stars are about as wide as they are high.
    compact = (np.maximum(width, height) < 6.0 * np.minimum(width, height)) & (
        2.0 * radius >= _MIN_STAR_PX
    )
    compact &= np.maximum(width, height) < 0.3 * max(ny, nx)
    scale_x, scale_y = nx / size[0], ny / size[1]
    x = (centres[1:, 0] + 0.5) * scale_x - 0.5
    y = (centres[1:, 1] + 0.5) * scale_y - 0.5
    return MaskedStars(x[compact], y[compact], radius[compact])


def star_behind(segment: Segment, stars: MaskedStars) -> int:
    """At which end a line starts near a masked star and points at its centre, as spikes do.

    Returns
    -------
    int
        0 for the first end, 1 for the second, 2 where the star lies on the line, -1 for none.
    """
    if len(stars.x) == 0:
        return -1
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
    aims = across < 2.0 + 0.35 * stars.radius
    # Spikes fade outwards: what is found of one begins within its own length of the star.
    near = gap < 6.0 + 0.6 * np.minimum(segment.length_px, 6.0 * stars.radius)
    # A trail that goes on far beyond the star on both sides merely passes it.
    passes = half - np.abs(along) > 4.0 * stars.radius
    hit = np.flatnonzero(aims & near & ~passes)
    if len(hit) == 0:
        return -1
    nearest = hit[gap[hit].argmin()]
    if abs(along[nearest]) < half:
        return 2
    return 0 if along[nearest] < 0 else 1
