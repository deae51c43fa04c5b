"""The pixels along lines and beside them, straightened; and in boxes around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.verdict.lines import Lines

__all__ = ["SAMPLES", "Places", "boxes_around", "read_pixels", "strips_along"]

#: Samples along a line, evenly spread from end to end; of a short one pixels are read twice.
SAMPLES = 48
#: Pixels in a box are read this far apart.
_STEP_PX = 4

#: Columns and rows of pixels.
Places = tuple[NDArray[np.int64], NDArray[np.int64]]


def strips_along(lines: Lines, reach_px: int) -> tuple[Places, NDArray[np.int64]]:
    """Nearest pixels along lines, at whole distances from them.

    Parameters
    ----------
    lines : n
    reach_px
        How far to both sides.

    Returns
    -------
    places : (n, SAMPLES, 2 reach_px + 1) each
        Columns and rows; some may lie outside the image.
    offsets : (2 reach_px + 1,) int
        Distance from the line, px.
    """
    offsets = np.arange(-reach_px, reach_px + 1)
    along = ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5)[None, :, None]
    theta, length = np.radians(lines.theta)[:, None, None], lines.length[:, None, None]
    c, s = np.cos(theta), np.sin(theta)
    x = lines.x[:, None, None] + along * length * c - offsets * s
    y = lines.y[:, None, None] + along * length * s + offsets * c
    return (np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)), offsets


def boxes_around(lines: Lines, half_px: int) -> Places:
    """Some of the pixels in squares around the midpoints of lines.

    Parameters
    ----------
    lines : n
    half_px
        Half the side of a square.

    Returns
    -------
    places : (n, k, k) each
        Columns and rows; some may lie outside the image.
    """
    steps = np.arange(-half_px, half_px + 1, _STEP_PX)
    x = np.rint(lines.x).astype(np.int64)[:, None, None] + steps[None, None, :]
    y = np.rint(lines.y).astype(np.int64)[:, None, None] + steps[None, :, None]
    shape = (len(lines), len(steps), len(steps))
    return np.broadcast_to(x, shape), np.broadcast_to(y, shape)


def read_pixels(image: Any, places: Places, outside: Any) -> NDArray[Any]:
    """Values of an image at some pixels.

    Parameters
    ----------
    image : (ny, nx)
        Only these pixels of it are read.
    places : of any shape
        Columns and rows.
    outside
        What stands for pixels outside the image.

    Returns
    -------
    of the places' shape
    """
    ny, nx = image.shape
    column, row = places
    inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    values = image[np.where(inside, row, 0), np.where(inside, column, 0)]
    return np.asarray(np.where(inside, values, outside))
