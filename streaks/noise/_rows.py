"""Noise at every pixel from what is known of it on meshes, a row at a time.

An image of background and one of sigma would take longer to write and to read again than to make:
the meshes stay in a processor's cache, and each pass over the data makes of them what it needs.

Large arrays that kernels fill are made by NumPy, outside of them: it asks for large pages of
memory, which are there in a fifth of the time of the small ones that a kernel gets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["SkyBands", "between", "cell_means", "images_at", "noise_at", "standardised"]

#: Its square, and the sum of a million such, is still a number of 32 bits.
_LARGEST_Z = np.float32(1e6)


class SkyBands(NamedTuple):
    """Meshes at every column: (rows of boxes, nx) float32 each.

    Parameters
    ----------
    low, rms
        Background and noise of the sky, counts.
    height
        Rows of the image in a box of these.
    stripes : (nx,) float32
        What a column has more than the background, counts.
    level, level_height
        Smooth light on top, in units of `rms`; of no rows where there is none.
    factor, factor_height
        By how much noise exceeds the sky's; of no rows where it does not.
    """

    low: NDArray[np.float32]
    rms: NDArray[np.float32]
    height: int
    stripes: NDArray[np.float32]
    level: NDArray[np.float32]
    level_height: int
    factor: NDArray[np.float32]
    factor_height: int


@njit(cache=True, nogil=True)
def between(y, height, rows):  # type: ignore[no-untyped-def]
    """The rows of a mesh above and below a row of the image, and the lower one's share.

    Parameters
    ----------
    y
        Row of the image, 0-based.
    height
        Rows of the image in a box of the mesh.
    rows
        Rows of the mesh.

    Returns
    -------
    above, below
        Rows of the mesh, 0-based; the same one at the image's lower edge.
    share
        Weight of the second in a linear interpolation between centres of boxes, in [0, 1].
    """
    place = (y + 0.5) / height - 0.5
    above = min(max(np.int64(np.floor(place)), 0), rows - 1)
    return above, min(above + 1, rows - 1), np.float32(min(max(place - above, 0.0), 1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def _sky_row(sky, y, background, sigma):  # type: ignore[no-untyped-def]
    """Background and noise of one row, (nx,) each, to `background` and `sigma`."""
    nx = len(background)
    above, below, t = between(y, sky.height, len(sky.low))
    low_a, low_b = sky.low[above], sky.low[below]
    rms_a, rms_b = sky.rms[above], sky.rms[below]
    for x in range(nx):
        background[x] = low_a[x] + t * (low_b[x] - low_a[x]) + sky.stripes[x]
        sigma[x] = rms_a[x] + t * (rms_b[x] - rms_a[x])
    if len(sky.level):
        above, below, t = between(y, sky.level_height, len(sky.level))
        a, b = sky.level[above], sky.level[below]
        for x in range(nx):
            background[x] += (a[x] + t * (b[x] - a[x])) * sigma[x]
    if len(sky.factor):
        above, below, t = between(y, sky.factor_height, len(sky.factor))
        a, b = sky.factor[above], sky.factor[below]
        for x in range(nx):
            sigma[x] *= a[x] + t * (b[x] - a[x])


@njit(cache=True, nogil=True, error_model="numpy")
def _standard_row(values, hidden, background, sigma, out):  # type: ignore[no-untyped-def]
    """``(values - background) / sigma``, 0 where hidden, within what float32 can square."""
    for x in range(len(values)):
        z = (values[x] - background[x]) / sigma[x]
        z = min(max(z, -_LARGEST_Z), _LARGEST_Z)
        out[x] = np.float32(0) if hidden[x] else z


def standardised(
    data: NDArray[np.float32], hidden: NDArray[np.bool_], sky: SkyBands, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Some rows of an image over its noise, (len(rows), nx) float32, 0 where hidden.

    Parameters
    ----------
    data : (ny, nx) float32
        Image, in the units of the meshes.
    hidden : (ny, nx) bool
        True where there is no data.
    sky
        Background and noise, as bands.
    rows : (m,) int
        Which rows, 0-based.

    Returns
    -------
    (m, nx) float32
        In sigma, cut at a million of either sign.
    """
    z = np.empty((len(rows), data.shape[1]), np.float32)
    _standardise(data, hidden, sky, rows, z)
    return z


@njit(cache=True, nogil=True)
def _standardise(data, hidden, sky, rows, z):  # type: ignore[no-untyped-def]
    nx = data.shape[1]
    background, sigma = np.empty(nx, np.float32), np.empty(nx, np.float32)
    for k in range(len(rows)):
        _sky_row(sky, rows[k], background, sigma)
        _standard_row(data[rows[k]], hidden[rows[k]], background, sigma, z[k])


def images_at(
    sky: SkyBands, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Background and noise at some rows, (len(rows), nx) float32 each, counts.

    Parameters
    ----------
    sky
        Background and noise, as bands.
    rows : (m,) int
        Which rows, 0-based.

    Returns
    -------
    background, sigma : (m, nx) float32
        Counts; sigma where subtraction has failed is raised, and nothing is hidden.
    """
    shape = (len(rows), sky.low.shape[1])
    background, sigma = np.empty(shape, np.float32), np.empty(shape, np.float32)
    _images(sky, rows, background, sigma)
    return background, sigma


@njit(cache=True, nogil=True)
def _images(sky, rows, background, sigma):  # type: ignore[no-untyped-def]
    for k in range(len(rows)):
        _sky_row(sky, rows[k], background[k], sigma[k])


@njit(cache=True, nogil=True)
def _band_at(bands, height, x, y):  # type: ignore[no-untyped-def]
    above, below, t = between(y, height, len(bands))
    return bands[above, x] + t * (bands[below, x] - bands[above, x])


@njit(cache=True, nogil=True)
def noise_at(sky, x, y):  # type: ignore[no-untyped-def]
    """Background and noise at single pixels, (n,) float32 each, counts.

    Parameters
    ----------
    sky
        Background and noise, as bands.
    x, y : (n,) int
        Pixels, 0-based, inside the image.

    Returns
    -------
    background, sigma : (n,) float32
        Counts, as in `images_at`.
    """
    background, sigma = np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    for i in range(len(x)):
        low = _band_at(sky.low, sky.height, x[i], y[i]) + sky.stripes[x[i]]
        rms = _band_at(sky.rms, sky.height, x[i], y[i])
        if len(sky.level):
            low += _band_at(sky.level, sky.level_height, x[i], y[i]) * rms
        if len(sky.factor):
            rms *= _band_at(sky.factor, sky.factor_height, x[i], y[i])
        background[i], sigma[i] = low, rms
    return background, sigma


@njit(cache=True, nogil=True)
def cell_means(data, hidden, sky, low, high, side, squared):  # type: ignore[no-untyped-def]
    """Mean over all pixels of each cell of standardised values, or their squares, clipped.

    And the cell's usable share. Cells that reach over the edge count only what lies inside.
    Columns are summed before cells are: a processor works on many at once.

    Parameters
    ----------
    data : (ny, nx) float32
        Image, in the units of the meshes.
    hidden : (ny, nx) bool
        True where there is no data; such pixels count as 0.
    sky
        Background and noise, as bands.
    low, high
        Standardised values are clipped to this range, sigma.
    side
        Of a cell, px.
    squared
        Whether the mean of squares is asked for.

    Returns
    -------
    mean : (rows, columns) float32
        Over all pixels of a cell, hidden ones included; divide by `usable` for the mean of the
        others.
    usable : (rows, columns) float32
        Share of a cell's pixels that are not hidden, in [0, 1].
    """
    ny, nx = data.shape
    rows, columns = -(-ny // side), -(-nx // side)
    mean, usable = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    background, sigma = np.empty(nx, np.float32), np.empty(nx, np.float32)
    z = np.empty(nx, np.float32)
    for j in range(rows):
        sums, seen = np.zeros(nx, np.float32), np.zeros(nx, np.float32)
        stop = min((j + 1) * side, ny)
        for y in range(j * side, stop):
            _sky_row(sky, y, background, sigma)
            _standard_row(data[y], hidden[y], background, sigma, z)
            hidden_here = hidden[y]
            for x in range(nx):
                value = min(max(z[x], low), high)
                sums[x] += value * value if squared else value
                seen[x] += np.float32(0) if hidden_here[x] else np.float32(1)
        for i in range(columns):
            first, last = i * side, min((i + 1) * side, nx)
            total, n = np.float32(0), np.float32(0)
            for x in range(first, last):
                total += sums[x]
                n += seen[x]
            pixels = np.float32((stop - j * side) * (last - first))
            mean[j, i], usable[j, i] = total / pixels, n / pixels
    return mean, usable
