"""Several fits of one object: the same light twice, trails behind masks, flashing satellites."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.geometry import Segment, angle_difference_deg

__all__ = ["group_pieces", "hidden_share", "pixels_on", "spanning_segment", "unexplained"]

#: Alignments that chance makes in more than one image of fifty are not believed.
_MAX_CHANCE = 0.02
#: Directions agree within three errors and half a degree; lines pass each other within three
#: errors; pieces that touch or overlap, within so many widths of the PSF.
_SIGMAS, _ANGLE_ROOM_DEG, _TOUCHING_WIDTHS = 3.0, 0.5, 2.0
#: A piece is longer than so many widths of the PSF, the longer of two than so many px: of shorter
#: ones the direction is not known.
_LEAST_WIDTHS, _LEAST_LONGER_PX = 3.0, 8.0
#: The place of a piece across its line is known to this share of the PSF's width at least.
_ACROSS_WIDTHS = 0.5
#: A gap counts as hidden where this share of it is.
_HIDDEN_GAP = 0.8
#: Directions that two lines can have, deg either way.
_QUARTER_TURN_DEG = 90.0
#: Errors of direction that are believed, deg, and what stands for an unknown one.
_MOST_ERROR_DEG, _UNKNOWN_ERROR_DEG = 5.0, 1.0
#: A trail brighter by this factor has wings that a faint fit may sit in, px per its own width: at
#: 3.5 sigma a Gaussian is spent, real light is not. Of two alike, one is the other only where
#: they lie upon each other.
_MUCH_BRIGHTER, _WING_CONTRAST, _WINGS, _ALIKE = 3.0, 20.0, 4.0, 2.0
_TINY, _TINIER = 1e-9, 1e-12
#: What different ways to compute a distance may differ by.
_ROUNDING_PX = 1e-6
#: Both ends and the midpoint of a segment.
_PLACES = 3
#: Numbers of a segment: x0, y0, x1, y1.
_ENDS = 4


def unexplained(
    segments: Sequence[Segment], sigma_px: NDArray[np.float64], snr: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Indices of the segments that do not lie wholly in the light of a kept one before them.

    Parameters
    ----------
    segments
        The brightest first.
    sigma_px, snr : (n,)
        Their widths and S/N.

    Returns
    -------
    (m,) int
        In rising order.
    """
    ends = np.array([(s.x0, s.y0, s.x1, s.y1) for s in segments]).reshape(-1, _ENDS)
    return np.flatnonzero(_unexplained(ends, sigma_px, snr))


def group_pieces(
    segments: Sequence[Segment],
    angle_errors_deg: Sequence[float],
    *,
    sigma_px: float,
    usable: NDArray[np.bool_],
) -> list[list[int]]:
    """Indices of segments that lie on one line, grouped; lone ones in groups of one.

    Two pieces belong together when one points at the other within its error, the gap between
    them is hidden by masks or not longer than the two together, and as good an alignment is not
    to be expected by chance among so many pieces in such an image.

    Parameters
    ----------
    segments
        The pieces.
    angle_errors_deg
        Errors of their directions; NaN where unknown.
    sigma_px
        Width of the PSF.
    usable : (ny, nx) bool

    Returns
    -------
    list of list of int
        Every index once.
    """
    n = len(segments)
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in _nearly_in_line(segments, angle_errors_deg, sigma_px):
        errors = angle_errors_deg[i], angle_errors_deg[j]
        if _belong(segments[i], segments[j], errors, sigma_px, usable, n):
            parent[root(j)] = root(i)
    groups: dict[int, list[int]] = {}
    for i in range(n):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def spanning_segment(pieces: Sequence[Segment]) -> Segment:
    """From the outermost end to the outermost end of pieces on one line.

    Parameters
    ----------
    pieces
        At least one.

    Returns
    -------
    Segment
    """
    ends = np.array([(s.x0, s.y0) for s in pieces] + [(s.x1, s.y1) for s in pieces])
    longest = max(pieces, key=lambda s: s.length_px)
    direction = np.array([longest.x1 - longest.x0, longest.y1 - longest.y0])
    along = ends @ (direction / max(np.hypot(*direction), _TINY))
    first, last = ends[along.argmin()], ends[along.argmax()]
    return Segment(*first, *last).ordered()


def hidden_share(segment: Segment, usable: NDArray[np.bool_]) -> float:
    """Share of a segment that lies on unusable pixels, 0 to 1; 1 outside the image.

    Parameters
    ----------
    segment
        In 0-based pixels.
    usable : (ny, nx) bool

    Returns
    -------
    float
    """
    n = max(2, math.ceil(segment.length_px) + 1)
    # Plain floats: for each other kind of number the loop would be compiled anew.
    x0, y0, x1, y1 = map(float, (segment.x0, segment.y0, segment.x1, segment.y1))
    return float(_hidden_share(usable, x0, y0, x1, y1, n))


def pixels_on(
    segment: Segment, shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels along a segment, one a pixel of length, on the image.

    Parameters
    ----------
    segment
        In 0-based pixels.
    shape
        ``(ny, nx)``.

    Returns
    -------
    rows, columns : (n,) int
    """
    ny, nx = shape
    n = max(2, math.ceil(segment.length_px) + 1)
    t = np.linspace(0.0, 1.0, n)
    x = np.rint(segment.x0 + t * (segment.x1 - segment.x0)).astype(np.intp)
    y = np.rint(segment.y0 + t * (segment.y1 - segment.y0)).astype(np.intp)
    inside = (x >= 0) & (y >= 0) & (x < nx) & (y < ny)
    return y[inside], x[inside]


@njit(cache=True, nogil=True)
def _hidden_share(usable, x0, y0, x1, y1, n):  # type: ignore[no-untyped-def]
    """Of the pixels of `pixels_on`: a line is asked several times, and NumPy is slow to begin."""
    ny, nx = usable.shape
    inside, seen = 0, 0
    step = 1.0 / (n - 1)
    for i in range(n):
        t = i * step if i < n - 1 else 1.0
        x, y = np.rint(x0 + t * (x1 - x0)), np.rint(y0 + t * (y1 - y0))
        if 0 <= x < nx and 0 <= y < ny:
            inside += 1
            seen += usable[int(y), int(x)]
    return 1.0 - seen / inside if inside > 0 else 1.0


def _nearly_in_line(
    segments: Sequence[Segment], errors_deg: Sequence[float], sigma_px: float
) -> list[tuple[int, int]]:
    """Pairs that `_belong` must be asked about: those of like direction that pass each other near.

    All pairs at once, and a little more of them than it lets pass.
    """
    if len(segments) < 2:
        return []
    theta = np.array([s.theta_deg for s in segments])
    error = np.array([_known(e) for e in errors_deg])
    apart = np.abs(angle_difference_deg(theta[:, None], theta[None, :]))
    near = apart <= _SIGMAS * np.hypot(error[:, None], error[None, :]) + _ANGLE_ROOM_DEG
    i, j = np.nonzero(np.triu(near, 1))
    x, y = np.array([s.midpoint for s in segments]).T
    length = np.array([s.length_px for s in segments])
    long, short = np.where(length[i] >= length[j], (i, j), (j, i))
    dx, dy, turn = x[short] - x[long], y[short] - y[long], np.radians(theta[long])
    across = np.abs(dy * np.cos(turn) - dx * np.sin(turn))
    error_px = _ACROSS_WIDTHS * sigma_px + np.radians(error[long]) * np.hypot(dx, dy)
    passing = across <= _SIGMAS * error_px + _ROUNDING_PX
    return list(zip(i[passing].tolist(), j[passing].tolist(), strict=True))


def _belong(
    a: Segment,
    b: Segment,
    errors_deg: tuple[float, float],
    sigma_px: float,
    usable: NDArray[np.bool_],
    n_pieces: int,
) -> bool:
    long, short = (a, b) if a.length_px >= b.length_px else (b, a)
    if short.length_px < _LEAST_WIDTHS * sigma_px or long.length_px < _LEAST_LONGER_PX:
        return False
    error_long = _known(errors_deg[0] if long is a else errors_deg[1])
    error = math.hypot(_known(errors_deg[0]), _known(errors_deg[1]))
    turn = abs(float(angle_difference_deg(a.theta_deg, b.theta_deg)))
    across, reach = _offset(long, short)
    # The longer piece's own direction error, carried to the shorter one's place.
    across_error = _ACROSS_WIDTHS * sigma_px + math.radians(error_long) * reach
    if turn > _SIGMAS * error + _ANGLE_ROOM_DEG or across > _SIGMAS * across_error:
        return False
    gap = _gap(long, short)
    if gap is None:
        return across < _TOUCHING_WIDTHS * sigma_px
    hidden = hidden_share(gap, usable) > _HIDDEN_GAP
    if gap.length_px > a.length_px + b.length_px and not hidden:
        return False
    tolerance = max(across, across_error)
    area = 2.0 * tolerance * 2.0 * (reach + short.length_px)
    chance = n_pieces**2 / 2 * max(turn, error) / _QUARTER_TURN_DEG * area / usable.size
    return chance < _MAX_CHANCE


def _offset(long: Segment, short: Segment) -> tuple[float, float]:
    """Distance of the short one's midpoint from the long one's line, and from its midpoint."""
    xm, ym = long.midpoint
    theta = math.radians(long.theta_deg)
    x, y = short.midpoint
    across = abs(-(x - xm) * math.sin(theta) + (y - ym) * math.cos(theta))
    return across, math.hypot(x - xm, y - ym)


def _known(error_deg: float) -> float:
    return min(error_deg, _MOST_ERROR_DEG) if math.isfinite(error_deg) else _UNKNOWN_ERROR_DEG


def _gap(a: Segment, b: Segment) -> Segment | None:
    """The piece between two segments on one line; None where they touch or overlap."""
    if spanning_segment([a, b]).length_px <= a.length_px + b.length_px:
        return None
    pairs = [
        (math.hypot(p[0] - q[0], p[1] - q[1]), p, q)
        for p in ((a.x0, a.y0), (a.x1, a.y1))
        for q in ((b.x0, b.y0), (b.x1, b.y1))
    ]
    _, p, q = min(pairs)
    return Segment(*p, *q)


@njit(cache=True, nogil=True)
def _unexplained(ends, sigma, snr):  # type: ignore[no-untyped-def]
    kept = np.ones(len(ends), np.bool_)
    for i in range(len(ends)):
        for k in range(i):
            if kept[k] and _lies_in(ends[i], ends[k], _reach(sigma[k], snr[k], snr[i])):
                kept[i] = False
                break
    return kept


@njit(cache=True, nogil=True)
def _reach(sigma, bright, faint):  # type: ignore[no-untyped-def]
    """How far the light of a bright trail reaches that a faint fit may have run into."""
    if bright > _MUCH_BRIGHTER * faint:
        contrast = _WING_CONTRAST * bright / max(faint, 1.0)
        return sigma * min(math.sqrt(2.0 * math.log(contrast)), _WINGS)
    return _ALIKE * sigma


@njit(cache=True, nogil=True)
def _lies_in(a, b, reach):  # type: ignore[no-untyped-def]
    """Whether both ends and the midpoint of one segment are within a reach of another."""
    dx, dy = b[2] - b[0], b[3] - b[1]
    squared = max(dx * dx + dy * dy, _TINIER)
    for k in range(_PLACES):
        x, y = a[0] + 0.5 * k * (a[2] - a[0]), a[1] + 0.5 * k * (a[3] - a[1])
        t = min(max(((x - b[0]) * dx + (y - b[1]) * dy) / squared, 0.0), 1.0)
        u, v = x - b[0] - t * dx, y - b[1] - t * dy
        if not u * u + v * v < reach * reach:
            return False
    return True
