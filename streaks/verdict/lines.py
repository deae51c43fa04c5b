"""Lines among lines: which lie near, run parallel, or go on in one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment

__all__ = ["Lines", "Neighbours", "collinear", "neighbours_of", "offsets"]

Floats = NDArray[np.float64]

#: Midpoints, or a long line's nearer end, within so many px are near.
_NEAR_PX = 150.0
#: Lines that differ by less are parallel; a comb's teeth lie within so many px.
_PARALLEL_DEG, _PARALLEL_PX = 8.0, 400.0
#: Collinear: the longer one's line passes the other's midpoint within so many px, and so many more
#: for each px of distance over its own length (what its direction is worth), but never more than
#: the last.
_OFFSET_PX, _OFFSET_PER_LENGTH, _MOST_OFFSET_PX = 2.0, 1.2, 12.0
#: Directions of short pieces are worth little.
_COLLINEAR_DEG = 12.0
_LEAST_LENGTH_PX = 4.0


@dataclass(frozen=True, eq=False)
class Lines:
    """Straight lines of one image as arrays, each (n,).

    Parameters
    ----------
    x, y
        Midpoints, px.
    length
        Px.
    theta
        From +x to +y, deg.
    """

    x: Floats
    y: Floats
    length: Floats
    theta: Floats

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> Lines:
        """Those of segments.

        Parameters
        ----------
        segments
            Any number of them.

        Returns
        -------
        Lines
        """
        ends = np.array([(s.x0, s.y0, s.x1, s.y1) for s in segments], float).reshape(-1, 4)
        return cls.from_ends(*ends.T)

    @classmethod
    def from_ends(cls, x0: Any, y0: Any, x1: Any, y1: Any) -> Lines:
        """Those between ends.

        Parameters
        ----------
        x0, y0, x1, y1 : (n,)
            Ends, px.

        Returns
        -------
        Lines
        """
        x0, y0, x1, y1 = (np.asarray(v, float) for v in (x0, y0, x1, y1))
        theta = np.degrees(np.arctan2(y1 - y0, x1 - x0)) % 180.0
        return cls(0.5 * (x0 + x1), 0.5 * (y0 + y1), np.hypot(x1 - x0, y1 - y0), theta)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What lies around each of n lines, each (n,).

    Parameters
    ----------
    near
        Number of lines near by.
    parallel
        Number that run parallel, not far off.
    collinear
        Number that lie on its line, or on whose line it lies, at any distance.
    collinear_px
        Length of the longest of those; 0 for none.
    gap_px
        To the nearest of those, end to end; NaN for none.
    longest_px
        Length of the longest line near by; 0 for none.
    """

    near: Floats
    parallel: Floats
    collinear: Floats
    collinear_px: Floats
    gap_px: Floats
    longest_px: Floats


def neighbours_of(lines: Lines, others: Lines, same: NDArray[np.bool_] | None = None) -> Neighbours:
    """What lies around each line.

    Parameters
    ----------
    lines : n
        To be asked about.
    others : m
        In the same image.
    same : (n, m) bool, optional
        True where the two are one and the same, which does not count.

    Returns
    -------
    Neighbours
    """
    n = len(lines)
    if not len(others) or not n:
        zero = np.zeros(n)
        return Neighbours(zero, zero, zero, zero, np.full(n, np.nan), zero)
    other = np.ones((n, len(others)), bool) if same is None else ~same
    distance = np.hypot(others.x - lines.x[:, None], others.y - lines.y[:, None])
    length = np.broadcast_to(others.length, distance.shape)
    near = other & (distance - 0.5 * length < _NEAR_PX)
    turn = np.abs((others.theta - lines.theta[:, None] + 90.0) % 180.0 - 90.0)
    parallel = other & (turn < _PARALLEL_DEG) & (distance < _PARALLEL_PX)
    on = other & collinear(lines, others)
    gap = np.where(on, distance - 0.5 * (length + lines.length[:, None]), np.inf).min(axis=1)
    return Neighbours(
        near=near.sum(axis=1).astype(float),
        parallel=parallel.sum(axis=1).astype(float),
        collinear=on.sum(axis=1).astype(float),
        collinear_px=np.where(on, length, 0.0).max(axis=1),
        gap_px=np.where(np.isfinite(gap), gap, np.nan),
        longest_px=np.where(near, length, 0.0).max(axis=1),
    )


def collinear(lines: Lines, others: Lines) -> NDArray[np.bool_]:
    """Which pairs lie on one line, as far as the longer one's direction tells.

    Parameters
    ----------
    lines : n
    others : m

    Returns
    -------
    (n, m) bool
        True also for a line and itself.
    """
    offset, distance, turn = offsets(lines, others)
    length = np.maximum(np.maximum(others.length, lines.length[:, None]), _LEAST_LENGTH_PX)
    allowed = _OFFSET_PX + _OFFSET_PER_LENGTH * distance / length
    result: NDArray[np.bool_] = (offset < np.minimum(allowed, _MOST_OFFSET_PX)) & (
        turn < _COLLINEAR_DEG
    )
    return result


def offsets(lines: Lines, others: Lines) -> tuple[Floats, Floats, Floats]:
    """How pairs of lines lie to each other.

    Parameters
    ----------
    lines : n
    others : m

    Returns
    -------
    offset : (n, m)
        Of the shorter one's midpoint from the longer one's line, px.
    distance : (n, m)
        Of the midpoints, px.
    turn : (n, m)
        Angle between them, 0 to 90 deg.
    """
    dx, dy = others.x - lines.x[:, None], others.y - lines.y[:, None]
    longer = others.length > lines.length[:, None]
    theta = np.radians(np.where(longer, others.theta, lines.theta[:, None]))
    offset = np.abs(dy * np.cos(theta) - dx * np.sin(theta))
    turn = np.abs((others.theta - lines.theta[:, None] + 90.0) % 180.0 - 90.0)
    return offset, np.hypot(dx, dy), turn
