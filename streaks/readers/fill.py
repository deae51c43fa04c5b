"""Pixels that were never exposed: blocks, borders and columns of one value.

Mosaics and drizzled images are filled up with a constant, mostly 0, whether the sky is 0 or 1000.
A block is fill when noise of the image's own coarseness would not make one as large: counts of a
photon-counting detector are mostly equal, and no fill.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["constant_fill"]

#: Equal neighbours in a whole image that need no further look.
_FEW = 16
#: Side of the smallest block that counts, px: cores of saturated stars are smaller.
_LEAST_SIDE = 6
#: How often an image of noise may show such a block.
_CHANCE = 1e-9
#: More than this share is no fill but an image of one value; it is left to the noise to say so.
_ALL = 0.995
#: Values looked at, the commonest first.
_MOST_VALUES = 16
#: A value that more pixels have by chance hangs together all over the image.
_PERCOLATES = 0.3


def constant_fill(
    data: NDArray[Any], mask: NDArray[np.bool_], repeats: int
) -> NDArray[np.bool_] | None:
    """Pixels of blocks, whole rows and whole columns of one value.

    Parameters
    ----------
    data : (ny, nx) float
        Values that are not finite are passed over.
    mask : (ny, nx) bool
        What is known to be unusable, and not looked at.
    repeats
        How many pixels equal the one before them: noise in floating point has none.

    Returns
    -------
    (ny, nx) bool or None
        None where there are none.
    """
    if min(data.shape) < 8 or (repeats <= _FEW and not _has_column(data)):
        return None
    if not _may_have_block(data) and not _has_row(data) and not _has_column(data):
        return None
    right = np.zeros(data.shape, bool)
    right[:, 1:] = data[:, 1:] == data[:, :-1]
    below = np.zeros(data.shape, bool)
    below[1:] = data[1:] == data[:-1]
    fill = _blocks(right, below)
    found = _grown(data, fill) if fill.any() else fill
    chance = float(right[~found].mean()) if not found.all() else 1.0
    found |= _lines(right[:, 1:], below[1:], chance)
    found &= np.isfinite(data) & ~mask
    share = int(np.count_nonzero(found)) / max(int(np.count_nonzero(~mask)), 1)
    return found if 0 < share < _ALL else None


def _may_have_block(data: NDArray[Any]) -> bool:
    """Whether some block may be of one value, by every second pixel of every second row.

    The least block holds two such pixels side by side and two above each other, each equal to
    its neighbours on the left and below.
    """
    pixels = data[1::2, 1::2]
    ny, nx = pixels.shape
    equal = pixels == data[1::2, ::2][:, :nx]
    equal &= pixels == data[::2, 1::2][:ny]
    equal = equal[1:] & equal[:-1]
    return bool((equal[:, 1:] & equal[:, :-1]).any())


def _blocks(right: NDArray[np.bool_], below: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Blocks larger than chance makes where pixels equal their left and lower neighbours."""
    import cv2

    both = (right & below).view(np.uint8)
    fill = np.zeros(both.shape, np.uint8)
    # What fill there is makes equal neighbours seem common: once more without it.
    for _ in range(2):
        rest = fill == 0
        chance = float(right[rest].mean()) if rest.any() else 1.0
        side = _side(chance, both.size)
        if side > min(both.shape) // 2:
            break
        box = np.ones((side - 1, side - 1), np.uint8)
        # From each box's first pixel to its last and back, whole boxes within the image only.
        core = cv2.erode(both, box, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        fill = np.asarray(cv2.dilate(core, box, anchor=(side - 2, side - 2)), np.uint8)
        # What equals its left neighbour has one.
        fill[:, :-1] |= fill[:, 1:]
        fill[:-1] |= fill[1:]
    return fill.astype(bool)


def _has_row(data: NDArray[Any]) -> bool:
    """Whether some row has one value in a few columns: noise in floating point never has."""
    return _has_column(data.T)


def _has_column(data: NDArray[Any]) -> bool:
    """Whether some column has one value in a few rows: noise in floating point never has."""
    rows = data[:: max(1, len(data) // 7)]
    return bool((rows[1:] == rows[0]).all(axis=0).any())


def _side(chance: float, n_pixels: int) -> int:
    """Side of a block that noise, whose neighbours are equal with some chance, does not make."""
    if chance >= 1.0:
        return n_pixels
    needed = math.log(_CHANCE / n_pixels) / math.log(max(chance, 1e-6))
    return max(_LEAST_SIDE, math.ceil(math.sqrt(needed)) + 1)


def _grown(data: NDArray[Any], seed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All that hangs together with a block and has its value."""
    import cv2

    values, counts = np.unique(data[seed], return_counts=True)
    top = np.nanmax(data)
    found = np.zeros(data.shape, bool)
    for value in values[np.argsort(-counts)][:_MOST_VALUES]:
        same = data == value
        core = seed & same
        if np.count_nonzero(core) < _LEAST_SIDE**2:
            continue  # neighbours of a block
        if value == top and not _at_border(core):
            continue  # a saturated star
        if same[~seed].mean() < _PERCOLATES if not seed.all() else False:
            _, labels = cv2.connectedComponents(same.astype(np.uint8), connectivity=4)
            here = np.unique(labels[core])
            core = np.isin(labels, here[here > 0])
        found |= core
    return found


def _at_border(area: NDArray[np.bool_]) -> bool:
    edges = (area[0], area[-1], area[:, 0], area[:, -1])
    return any(edge.mean() > 0.5 for edge in edges)


def _lines(right: NDArray[np.bool_], below: NDArray[np.bool_], chance: float) -> NDArray[np.bool_]:
    """Whole rows and columns of one value."""
    ny, nx = len(right), below.shape[1]
    found = np.zeros((ny, nx), bool)
    least = math.log(_CHANCE) / math.log(min(max(chance, 1e-6), 1 - 1e-9))
    if nx > least:
        found[right.all(axis=1)] = True
    if ny > least:
        found[:, below.all(axis=0)] = True
    return found
