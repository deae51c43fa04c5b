"""Numba kernels: one pass over a picture's pixels where numpy needs several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["look_up", "shrink_by_area"]


def shrink_by_area(
    data: NDArray[Any], mask: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Usable pixels of an image, summed over the pixels of a smaller one.

    Parameters
    ----------
    data, mask : (ny, nx)
        Masked pixels and those that are not finite do not count.
    shape
        ``(height, width)`` of the smaller image, neither larger than the image's.

    Returns
    -------
    total, weight : (height, width) float32
        Sum of the pixels under each new one, those on its rim by the part that lies under it, and
        the share of its area that is usable; ``total`` is divided by the whole area.
    """
    native = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
    total, weight = np.empty(shape, np.float32), np.empty(shape, np.float32)
    _shrink(native, np.ascontiguousarray(mask), total, weight)
    return total, weight


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def _shrink(data: Any, mask: Any, total: Any, weight: Any) -> None:
    (ny, nx), (height, width) = data.shape, total.shape
    first, parts = _spans(nx, width)
    # Beyond the last pixel stand zeros.
    most = len(parts)
    rows, usable = np.zeros(nx + most, np.float32), np.zeros(nx + most, np.float32)
    for j in range(height):
        low, high = j * ny / height, (j + 1) * ny / height
        rows[:] = 0.0
        usable[:] = 0.0
        for y in range(int(low), min(int(np.ceil(high)), ny)):
            part = np.float32(min(high, y + 1) - max(low, y))
            _add_row(data[y], mask[y], part, rows, usable)
        share = np.float32(width / nx / (high - low))
        for i in range(width):
            value, good = np.float32(0.0), np.float32(0.0)
            # Unsigned, so that no index is asked whether it counts from the end.
            at = np.uint64(first[i])
            for k in range(most):
                value += parts[k, i] * rows[at + np.uint64(k)]
                good += parts[k, i] * usable[at + np.uint64(k)]
            total[j, i] = value * share
            weight[j, i] = good * share


@njit(cache=True)
def _spans(n: int, count: int) -> Any:
    """The first of n pixels under each of `count` larger ones, and of it and the next the share
    that lies there: (most, count)."""
    first = np.empty(count, np.int64)
    parts = np.zeros((int(np.ceil(n / count)) + 1, count), np.float32)
    for i in range(count):
        left, right = i * n / count, (i + 1) * n / count
        first[i] = int(left)
        for x in range(int(left), min(int(np.ceil(right)), n)):
            parts[x - int(left), i] = np.float32(min(right, x + 1) - max(left, x))
    return first, parts


@njit(cache=True)
def _add_row(data: Any, mask: Any, part: Any, rows: Any, usable: Any) -> None:
    for x in range(len(data)):
        value = np.float32(data[x])
        good = (not mask[x]) and value - value == 0.0
        rows[x] += part * value if good else np.float32(0.0)
        usable[x] += part if good else np.float32(0.0)


def look_up(
    data: NDArray[np.float32],
    good: NDArray[np.bool_],
    low: np.float32,
    scale: np.float32,
    table: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Entries of a table for values, ``(data - low) * scale`` being the place; 0 where not good.

    Parameters
    ----------
    data : (ny, nx)
        Values.
    good : (ny, nx) bool
        False where the entry is 0.
    low, scale
        Place of a value in the table: ``(data - low) * scale``.
    table : (n,) uint8
        Entries; what lies beyond gets the first or last.

    Returns
    -------
    (ny, nx) uint8
    """
    grey = np.empty(data.shape, np.uint8)
    _look_up(data.ravel(), np.ascontiguousarray(good).ravel(), low, scale, table, grey.ravel())
    return grey


@njit(cache=True)
def _look_up(data: Any, good: Any, low: Any, scale: Any, table: Any, out: Any) -> None:
    last = np.float32(len(table) - 1)
    for i in range(len(data)):
        if good[i]:
            place = (data[i] - low) * scale + np.float32(0.5)
            out[i] = table[np.intp(min(max(place, np.float32(0.0)), last))]
        else:
            out[i] = 0
