"""Bright stars by their masks, and the lines that point at them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment

__all__ = ["MaskedStars", "masked_stars", "points_at_a_star"]

#: Cells in which masks are looked at: bleed columns, narrower than half a cell, drop out.
_CELL = 4
#: A star's mask is at least so wide, px.
_MIN_STAR_PX = 6.0


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
    hidden = (~usable).astype(np.float32)
    size = (nx // _CELL, ny // _CELL)
    cells = (cv2.resize(hidden, size, interpolation=cv2.INTER_AREA) > 0.7).astype(np.uint8)
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


def points_at_a_star(segment: Segment, stars: MaskedStars) -> bool:
    """Whether a line starts near a masked star and points at its centre, as its spikes do."""
    if len(stars.x) == 0:
        return False
    theta = math.radians(segment.theta_deg)
    xm, ym = segment.midpoint
    dx, dy = stars.x - xm, stars.y - ym
    across = np.abs(-dx * math.sin(theta) + dy * math.cos(theta))
    along = np.abs(dx * math.cos(theta) + dy * math.sin(theta))
    gap = along - 0.5 * segment.length_px - stars.radius
    aims = across < 2.0 + 0.35 * stars.radius
    # Spikes fade outwards: what is found of one begins within its own length of the star.
    near = gap < 6.0 + 0.6 * np.minimum(segment.length_px, 6.0 * stars.radius)
    # A trail that goes on far beyond the star on both sides merely passes it.
    passes = 0.5 * segment.length_px - along > 8.0 * stars.radius
    return bool((aims & near & ~passes).any())
