"""Lines of one ghost, star or trail, brought together as one thing."""

from __future__ import annotations

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.geometry import segment_distances
from streaks.verdict.lines import Lines, offsets
from streaks.verdict.numbers import bare_column, rows_by_image

__all__ = ["find_groups"]

Floats = NDArray[np.float64]

#: Lines of one artifact lie nearer to each other than this; those of ghosts, which are large, px.
_NEAR_PX, _GHOST_PX = 12.0, 60.0
#: A line may be of a ghost from this probability on; of a satellite's trail from this one.
_MAY_BE = 0.25
#: Pieces of one trail: turned by less, the shorter one's midpoint off the longer one's line by less
#: than this and this share of their distance, which is what a direction is worth.
_TURN_DEG, _OFFSET_PX, _OFFSET_SHARE = 4.0, 2.5, 0.02
#: Shorter ones have no direction that would tell, px.
_LEAST_PX = 20.0


def find_groups(streaks: QTable, alone: NDArray[np.bool_]) -> NDArray[np.str_]:
    """The thing that each streak is of.

    Parameters
    ----------
    streaks
        Of any number of images, with class columns where there are any.
    alone : (n,) bool
        True for what is taken for a body of its own and joins no group.

    Returns
    -------
    (n,) str
        ``streak_id`` of the first of its group in the table: its own for a streak by itself.
    """
    from scipy.sparse.csgraph import connected_components

    ids = np.asarray(streaks["streak_id"]).astype(str)
    groups = ids.copy()
    for rows in rows_by_image(streaks):
        free = rows[~np.asarray(alone, bool)[rows]]
        if len(free) < 2:
            continue
        _, which = connected_components(_together(streaks[free]), directed=False)
        _, first = np.unique(which, return_index=True)
        groups[free] = ids[free[first[which]]]
    return groups


def _together(streaks: QTable) -> NDArray[np.bool_]:
    """Which pairs of one image's streaks are of one thing."""
    ends = np.column_stack([bare_column(streaks, name) for name in ("x0", "y0", "x1", "y1")])
    apart = segment_distances(ends)
    ghost, trail = (bare_column(streaks, name) > _MAY_BE for name in ("p_ghost", "p_satellite"))
    both_ghosts = ghost[:, None] & ghost[None, :]
    both_trails = trail[:, None] & trail[None, :]
    on_one_line = _on_one_line(ends)
    one = (apart < _NEAR_PX) | (both_ghosts & (apart < _GHOST_PX))
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
