"""Numba kernels: one pass over an image's pixels where numpy needs several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["look_up", "unusable"]

#: Pixels that are looked at together: few enough to lie between two stars.
_RUN = 64
#: Pixels of which two things are asked in turn.
_ROW = 2048
#: Pixels of an image in which a quarter of them tells enough.
_LARGE = 1 << 21


@njit(cache=True)
def unusable(data: Any, floor: float, out: Any) -> int:
    """True where a value is not finite, or at a floor or below.

    Parameters
    ----------
    data : (n,) float
        Values of an image, in a row.
    floor
        Highest value that stands for no data; -inf for none.
    out : (n,) bool
        Filled.

    Returns
    -------
    int
        How many values equal the one before them: of a large image in every fourth run.
    """
    same, k = 0, 0
    start, n = 0, len(data)
    every = 4 if n > _LARGE else 1
    while start < n:
        stop = min(start + _ROW, n)
        # A run at a time, so that both are asked while it lies in the processor's cache.
        values, bad = data[start:stop], out[start:stop]
        for i in range(len(values)):
            bad[i] = not (values[i] > floor and values[i] < np.inf)
        if k % every == 0:
            after = values[1:]
            repeats: Any = np.int32(0)
            for i in range(len(after)):
                repeats += np.int32(values[i] == after[i])
            same += repeats
        k += 1
        start = stop
    return same


@njit(cache=True)
def look_up(
    values: Any, table: Any, unusable: Any, unusable_plane: int, mask: Any, planes: Any
) -> None:
    """The highest bit of the table's byte for each value, and the other seven.

    Where `unusable` is 1 the first is 1 in any case, and the others have that plane too. All but
    the table are flat arrays of one length.

    Parameters
    ----------
    values : (n,)
        Unsigned; each a place in the table.
    table : (n_values,) uint8
        A byte for each value.
    unusable : (n,) uint8
        1 where a pixel must not be used.
    unusable_plane
        Bit that those pixels get.
    mask, planes : (n,) uint8
        Filled.
    """
    plane = np.uint8(unusable_plane)
    # Unsigned, so that no index is asked whether it counts from the end.
    start, n = np.uint64(0), np.uint64(len(values))
    while start < n:
        stop = min(start + np.uint64(_RUN), n)
        some = values[start]
        for i in range(start, stop):
            some |= values[i]
        # Most pixels of most masks are 0, and need no table.
        if some == 0:
            upper, lower = table[0] >> 7, table[0] & 127
            for i in range(start, stop):
                mask[i] = unusable[i] | upper
                planes[i] = lower | (unusable[i] * plane)
        else:
            for i in range(start, stop):
                found = table[values[i]]
                mask[i] = unusable[i] | (found >> 7)
                planes[i] = (found & 127) | (unusable[i] * plane)
        start = stop
