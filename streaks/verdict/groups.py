"""Lines of one ghost, star or trail, brought together as one thing."""

from __future__ import annotations

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.geometry import segment_distances
from streaks.tables import bare_column
from streaks.verdict.lines import Lines, offsets
from streaks.verdict.numbers import rows_by_image

__all__ = ["find_groups"]

Floats = NDArray[np.float64]

#: Lines of one artifact lie nearer to each other than this; those of ghosts, which are large, px.
_NEAR_PX, _GHOST_PX = 12.0, 60.0
#: Longer lines are no ghost's, whatever they are taken for: they cross several, px.
_LONGEST_OF_A_GHOST_PX = 500.0
#: What is hardly a body (`p_real` below this), nor surely a trail or a star (probability below
#: that), and lies so near to a ghost's line, px, is of the ghost: its edges look like anything.
#: Chosen on simulated nights of the training.
_HARDLY_REAL, _SURELY, _EDGE_OF_A_GHOST_PX = 0.05, 0.9, 90.0
#: A line may be of a ghost from this probability on; of a satellite's trail from this one.
_MAY_BE = 0.25
#: Pieces of one trail: turned by less, the shorter one's midpoint off the longer one's line by less
#: than this and this share of their distance, which is what a direction is worth.
_TURN_DEG, _OFFSET_PX, _OFFSET_SHARE = 4.0, 2.5, 0.02
#: Shorter ones have no direction that would tell, px.
_LEAST_PX = 20.0


def find_groups(streaks: QTable, p_real: Floats, own_from: float) -> NDArray[np.str_]:
    """The thing that each streak is of.

    Parameters
    ----------
    streaks
        Of any number of images, with class columns where there are any.
    p_real : (n,)
        That each is a body; NaN where that is not known.
    own_from
        From this probability on it is taken for a body of its own, and joins no group.

    Returns
    -------
    (n,) str
        ``streak_id`` of the first of its group in the table: its own for a streak by itself.
    """
    ids = np.asarray(streaks["streak_id"]).astype(str)
    groups = ids.copy()
    for rows in rows_by_image(streaks):
        free = rows[~(p_real[rows] >= own_from)]
        if len(free) < 2:
            continue
        together = _together(streaks[free], p_real[free] < _HARDLY_REAL)
        groups[free] = ids[free[_connected(together)]]
    return groups


def _connected(pairs: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First row of the set that each row is connected with, by the pairs of a symmetric matrix."""
    first = np.full(len(pairs), -1, np.int64)
    for row in range(len(pairs)):
        if first[row] >= 0:
            continue
        new = np.zeros(len(pairs), bool)
        new[row] = True
        while new.any():
            first[new] = row
            new = pairs[new].any(axis=0) & (first < 0)
    return first


def _together(streaks: QTable, hardly_real: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs of one image's streaks are of one thing."""
    ends = np.column_stack([bare_column(streaks, name) for name in ("x0", "y0", "x1", "y1")])
    apart = segment_distances(ends)
    p_ghost, p_trail, p_star = (
        bare_column(streaks, f"p_{name}") for name in ("ghost", "satellite", "masked_star")
    )
    trail = p_trail > _MAY_BE
    short = bare_column(streaks, "length") < _LONGEST_OF_A_GHOST_PX
    ghost = short & (p_ghost > _MAY_BE)
    edge = short & hardly_real & (np.maximum(p_trail, p_star) < _SURELY)
    both_ghosts = ghost[:, None] & ghost[None, :]
    both_trails = trail[:, None] & trail[None, :]
    at_edge = (ghost[:, None] & edge[None, :]) | (edge[:, None] & ghost[None, :])
    on_one_line = _on_one_line(ends)
    one = (apart < _NEAR_PX) | (both_ghosts & (apart < _GHOST_PX))
    one |= at_edge & (apart < _EDGE_OF_A_GHOST_PX)
    # Two trails that cross are two.
    one &= ~(both_trails & ~on_one_line)
    one |= both_trails & on_one_line
    return one


def _on_one_line(ends: Floats) -> NDArray[np.bool_]:
    lines = Lines.from_ends(*ends.T)
    offset, distance, turn = offsets(lines, lines)
    longer = np.maximum(lines.length, lines.length[:, None])
    allowed = _OFFSET_PX + _OFFSET_SHARE * distance
    return (turn < _TURN_DEG) & (offset < allowed) & (longer >= _LEAST_PX)
