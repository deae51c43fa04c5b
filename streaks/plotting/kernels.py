"""Numba kernels: one pass over a picture's pixels where numpy needs several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["grey_levels", "shrink_by_area"]

#: Steps of the table of grey levels: finer than a level wherever the stretch is steepest.
_STEPS = 4096


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
    rows, usable = np.empty(nx, np.float32), np.empty(nx, np.float32)
    for j in range(height):
        low, high = j * ny / height, (j + 1) * ny / height
        rows[:] = 0.0
        usable[:] = 0.0
        for y in range(int(low), min(int(np.ceil(high)), ny)):
            part = np.float32(min(high, y + 1) - max(low, y))
            _add_row(data[y], mask[y], part, rows, usable)
        share = np.float32(width / nx / (high - low))
        for i in range(width):
            left, right = i * nx / width, (i + 1) * nx / width
            value, good = np.float32(0.0), np.float32(0.0)
            for x in range(int(left), min(int(np.ceil(right)), nx)):
                part = np.float32(min(right, x + 1) - max(left, x))
                value += part * rows[x]
                good += part * usable[x]
            total[j, i] = value * share
            weight[j, i] = good * share


@njit(cache=True)
def _add_row(data: Any, mask: Any, part: Any, rows: Any, usable: Any) -> None:
    for x in range(len(data)):
        value = np.float32(data[x])
        good = (not mask[x]) and value - value == 0.0
        rows[x] += part * value if good else np.float32(0.0)
        usable[x] += part if good else np.float32(0.0)


def grey_levels(
    data: NDArray[Any], good: NDArray[np.bool_], low: float, high: float, soft: float
) -> NDArray[np.uint8]:
    """Grey levels 0 to 255 by the inverse hyperbolic sine; 0 where not good.

    Parameters
    ----------
    data, good
        Of one shape.
    low, high
        Values that become 0 and 255.
    soft
        Value below which the stretch is linear.
    """
    steps = np.linspace(low, high, _STEPS)
    floor, ceiling = np.arcsinh(low / soft), np.arcsinh(high / soft)
    table = np.rint(255.0 * (np.arcsinh(steps / soft) - floor) / (ceiling - floor))
    flat = np.ascontiguousarray(data, dtype=np.float32).ravel()
    grey = np.empty(data.shape, np.uint8)
    _look_up(
        flat,
        np.ascontiguousarray(good).ravel(),
        np.float32(low),
        np.float32((_STEPS - 1) / (high - low)),
        table.astype(np.uint8),
        grey.ravel(),
    )
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
