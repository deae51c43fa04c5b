"""Bright stars by their masks, and the lines that point at them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment

__all__ = ["MaskedCore", "MaskedStars", "masked_core", "masked_stars", "star_behind"]

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
#: A saturated core that is no wider than its own bleeds by much: its radius, px, and how many times
#: that of the bleed it lies on.
_CORE_PX, _CORE_OF_BLEED = (2.5, 10.0), 1.25
#: A core is looked for within so many px of a masked pixel on the line.
_PATCH_PX = 12
#: The line passes its centre within so many px and the share of its radius that counts for stars.
_CORE_AIM_PX = 1.5
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
    if not cells.any():
        return none
    n, labels = cv2.connectedComponents(cells, connectivity=_EIGHT_NEIGHBOURS)
    centre_x, centre_y, width, height, n_cells = _components(np.asarray(labels), n)
    width, height, area = width * float(_CELL), height * float(_CELL), n_cells * float(_CELL**2)
    radius = np.sqrt(area / math.pi)
    longer, shorter = np.maximum(width, height), np.minimum(width, height)
    compact = (longer < _MOST_ELONGATED * shorter) & (2.0 * radius >= _MIN_STAR_PX)
    compact &= longer < _LARGEST_SHARE * max(ny, nx)
    scale_x, scale_y = nx / size[0], ny / size[1]
    x = (centre_x + 0.5) * scale_x - 0.5
    y = (centre_y + 0.5) * scale_y - 0.5
    return MaskedStars(x[compact], y[compact], radius[compact])


def _components(labels: NDArray[np.int32], n: int) -> NDArray[np.float64]:
    """Centre x and y, width, height and number of cells of each component but the background.

    Few cells are masked: OpenCV's own statistics look at all.
    """
    import cv2

    columns, rows = np.asarray(cv2.findNonZero(labels), np.int64).reshape(-1, 2).T
    label = labels[rows, columns]
    count = np.bincount(label, minlength=n)
    centres = [np.bincount(label, where, minlength=n)[1:] / count[1:] for where in (columns, rows)]
    sides = []
    for where in (columns, rows):
        first, last = np.full(n, where.max()), np.zeros(n, where.dtype)
        np.minimum.at(first, label, where)
        np.maximum.at(last, label, where)
        sides.append((last - first + 1)[1:])
    return np.array([*centres, *sides, count[1:]], np.float64)


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


@dataclass(frozen=True)
class MaskedCore:
    """A small saturated core that a line points at.

    Parameters
    ----------
    along_px
        Where it lies along the line, from the first end; negative before it.
    radius_px
        Of its mask.
    """

    along_px: float
    radius_px: float


def masked_core(segment: Segment, usable: NDArray[np.bool_]) -> MaskedCore | None:
    """A saturated core too small for `masked_stars`, on a line or beyond its ends.

    Parameters
    ----------
    segment
        The line.
    usable : (ny, nx) bool
        False where masked.

    Returns
    -------
    MaskedCore or None
        The widest, where there are several. Spikes fade away from it, trails do not
        (`streaks.detection.profiles.fades_from`).
    """
    length = max(segment.length_px, 1.0)
    c, s = (segment.x1 - segment.x0) / length, (segment.y1 - segment.y0) / length
    gap = _GAP_PX + _GAP_SHARE * min(length, _GAP_RADII * _CORE_PX[1])
    t = np.arange(-gap, length + gap + 1.0)
    x, y = np.rint(segment.x0 + t * c).astype(int), np.rint(segment.y0 + t * s).astype(int)
    ny, nx = usable.shape
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    masked = np.flatnonzero(inside)[~usable[y[inside], x[inside]]]
    best: MaskedCore | None = None
    while len(masked):
        first = masked[0]
        core = _core_near(int(x[first]), int(y[first]), usable)
        # What is left lies beyond this patch.
        masked = masked[t[masked] > t[first] + _PATCH_PX]
        if core is None:
            continue
        core_x, core_y, radius = core
        dx, dy = core_x - segment.x0, core_y - segment.y0
        aims = abs(dy * c - dx * s) < _CORE_AIM_PX + _AIM_SHARE * radius
        if aims and (best is None or radius > best.radius_px):
            best = MaskedCore(dx * c + dy * s, radius)
    return best


def _core_near(x: int, y: int, usable: NDArray[np.bool_]) -> tuple[float, float, float] | None:
    """Centre and radius of the widest masked place near by, if it is wider than a bleed."""
    import cv2

    left, bottom = max(0, x - _PATCH_PX), max(0, y - _PATCH_PX)
    patch = usable[bottom : y + _PATCH_PX + 1, left : x + _PATCH_PX + 1]
    inner = cv2.distanceTransform((~patch).astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    radius = float(inner[row, column])
    if not _CORE_PX[0] <= radius <= _CORE_PX[1]:
        return None
    for axis, place in ((1, row), (0, column)):
        widest = inner.max(axis=axis)
        off = np.abs(np.arange(len(widest)) - place) > radius + 1.0
        if off.any() and radius < _CORE_OF_BLEED * float(np.median(widest[off])):
            return None
    return left + float(column), bottom + float(row), radius
