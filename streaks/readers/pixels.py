"""Numba kernels: one pass over an image's pixels where numpy needs several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["look_up", "unusable"]

#: Pixels that are looked at together: few enough to lie between two stars.
_RUN = 64


@njit(cache=True)
def unusable(data: Any, floor: float, out: Any) -> None:
    """True where a value is not finite, or at a floor or below; flat arrays of one length."""
    for i in range(len(data)):
        out[i] = not (data[i] > floor and data[i] < np.inf)


@njit(cache=True)
def look_up(
    values: Any, table: Any, unusable: Any, unusable_plane: int, mask: Any, planes: Any
) -> None:
    """The highest bit of the table's byte for each value, and the other seven.

    Where `unusable` is True the first is True in any case, and the others have that plane too. All
    but the table are flat arrays of one length.
    """
    for start in range(0, len(values), _RUN):
        # Views, so that indices begin at 0: only then are several pixels done at once.
        given, beside = values[start : start + _RUN], unusable[start : start + _RUN]
        upper, lower = mask[start : start + _RUN], planes[start : start + _RUN]
        some = values[start]
        for i in range(len(given)):
            some |= given[i]
        # Most pixels of most masks are 0, and need no table.
        if some == 0:
            found = table[0]
            for i in range(len(given)):
                upper[i] = beside[i] | (found >> 7)
                lower[i] = (found & 127) | beside[i] * np.uint8(unusable_plane)
        else:
            for i in range(len(given)):
                found = table[given[i]]
                upper[i] = beside[i] | (found >> 7)
                lower[i] = (found & 127) | beside[i] * np.uint8(unusable_plane)
