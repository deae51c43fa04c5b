"""Rows cut by place: pixels of the sky as coarse as they may be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streaks.store.healpix import NOWHERE, pixel_range

__all__ = ["ROW_GROUP", "cut"]

#: Pixels of the sky are cut in four while they hold more rows than this, down to 0.9 deg.
_MOST_ROWS, _FINEST = 100_000, 6
#: Rows that a reader takes or leaves together.
ROW_GROUP = 10_000


def cut(
    pixels: NDArray[np.int64], most_rows: int = _MOST_ROWS
) -> Iterator[tuple[int, int, NDArray[np.intp]]]:
    """Pixels as coarse as they may be with few enough rows, and their rows by place.

    Parameters
    ----------
    pixels : (n,)
        Of the finest order; negative for a row without a place.
    most_rows
        Of a pixel that is not the finest.

    Yields
    ------
    order, pixel : int
        Both -1 for rows without a place; that comes first, and also where there are no rows at all.
    rows : (k,)
        Which they are.
    """
    order = np.argsort(pixels, kind="stable")
    ordered = pixels[order]
    nowhere = int(np.searchsorted(ordered, 0))
    if nowhere or not len(pixels):
        yield NOWHERE, NOWHERE, order[:nowhere]
    waiting = [(0, pixel) for pixel in range(11, -1, -1)]
    while waiting:
        level, pixel = waiting.pop()
        first, end = np.searchsorted(ordered, np.array(pixel_range(level, pixel), np.int64))
        if end - first > most_rows and level < _FINEST:
            waiting += [(level + 1, 4 * pixel + k) for k in range(3, -1, -1)]
        elif end > first:
            yield level, pixel, order[first:end]
