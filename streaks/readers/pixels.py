"""Numba kernels: one pass over an image's pixels where numpy needs several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["look_up", "unusable"]


@njit(cache=True)
def unusable(data: Any, floor: float, out: Any) -> None:
    """True where a value is not finite, or at a floor or below; flat arrays of one length."""
    for i in range(len(data)):
        out[i] = not (data[i] > floor and data[i] < np.inf)


@njit(cache=True)
def look_up(values: Any, table: Any, upper: Any, lower: Any) -> None:
    """The highest bit and the other seven of the table's byte for each value."""
    for i in range(len(values)):
        found = table[values[i]]
        upper[i] = found >> 7
        lower[i] = found & 127
