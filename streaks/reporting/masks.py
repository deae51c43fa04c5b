"""Streaks as a mask plane that a survey's own software can apply."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.disk import written_whole
from streaks.geometry import Segment, distance_to_segment

__all__ = ["STREAK_BIT", "streak_plane", "write_streak_mask"]

#: The plane's number in our files; a reader goes by the header word ``MP_STREAK``.
STREAK_BIT = 0
#: A trail's light beyond its FWHM, px: a Gaussian has 98 % within one FWHM of its middle line.
_MARGIN_PX = 2.0


def streak_plane(
    streaks: QTable, shape: tuple[int, int], *, margin_px: float = _MARGIN_PX
) -> NDArray[np.int32]:
    """Pixels that lie under a streak.

    Parameters
    ----------
    streaks
        Of one image, with ends in pixels and ``width`` (FWHM across; NaN counts as 3 px).
    shape : (ny, nx)
        Of the image.
    margin_px
        Beside one width on each side of the line, and beyond its ends.

    Returns
    -------
    (ny, nx) int32
        Bit `STREAK_BIT` set under a streak, 0 elsewhere.
    """
    plane = np.zeros(shape, dtype=np.int32)
    for row in streaks:
        ends = Segment(*(float(row[name].value) for name in ("x0", "y0", "x1", "y1")))
        width = float(row["width"].value)
        _mark(plane, ends, margin_px + (width if width > 0 else 3.0))
    return plane


def write_streak_mask(
    path: str | os.PathLike[str], plane: NDArray[np.int32], wcs: Any = None
) -> None:
    """Write a plane as FITS, laid out like Rubin's: extension ``MASK``, word ``MP_STREAK``.

    Parameters
    ----------
    path
        Replaced where it exists.
    plane : (ny, nx)
        0, or a bit where a streak lies.
    wcs
        Of the image; None for none.
    """
    from astropy.io import fits

    header = fits.Header() if wcs is None else wcs.to_header(relax=True)
    header["MP_STREAK"] = (STREAK_BIT, "bit of pixels under a streak")
    image = fits.CompImageHDU(plane, header, name="MASK", compression_type="RICE_1")
    with written_whole(path) as beside:
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(beside, overwrite=True)


def _mark(plane: NDArray[np.int32], ends: Segment, reach_px: float) -> None:
    ny, nx = plane.shape
    values = (ends.x0, ends.y0, ends.x1, ends.y1)
    if not all(math.isfinite(value) for value in values):
        return
    low_x, high_x = sorted((ends.x0, ends.x1))
    low_y, high_y = sorted((ends.y0, ends.y1))
    x = np.arange(max(0, math.floor(low_x - reach_px)), min(nx, math.ceil(high_x + reach_px) + 1))
    # A strip at a time: the box of a diagonal satellite is the whole frame.
    start, stop = max(0, math.floor(low_y - reach_px)), min(ny, math.ceil(high_y + reach_px) + 1)
    for low in range(start, stop, 256):
        y = np.arange(low, min(stop, low + 256))
        if len(x) and len(y):
            near = distance_to_segment(x[None, :], y[:, None], ends) <= reach_px
            plane[y[0] : y[-1] + 1, x[0] : x[-1] + 1][near] |= 1 << STREAK_BIT
