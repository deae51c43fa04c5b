"""Background, noise, and how noise is correlated: what every later S/N stands on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.config import NoiseConfig
from streaks.errors import FrameError
from streaks.frame import Image
from streaks.meshes import Meshes, enlarge, refine_meshes, sky_meshes

__all__ = [
    "NoiseMap",
    "estimate_noise",
    "filtered_correlation",
    "gaussian_correlation",
    "noise_correlation",
    "standardise",
]

#: Lags at which the correlation of pixel noise is measured; resampling kernels reach 2 px.
_MAX_LAG = 2
#: Smooth light below this many sigma a pixel is left in: thrice the error of its measure.
_GLOW_NOISE = 0.09
#: Side of the cells in which smooth light is looked for, px.
_CELL_PX = 8
#: A cell's mean is known to 0.125 sigma; brighter by this than those around, it holds a source.
_LIT_CELL = 0.35
#: Side of the neighbourhood in which negative pixels tell of a bad subtraction, px.
_ACTIVITY_PX = 16
_ACTIVITY_CELL_PX = 4
#: Twice the mean square of negative pixels is 1 in noise and scatters by 0.15 over such a
#: neighbourhood; below this it says nothing.
_ACTIVITY_FLOOR = 1.6
#: Its square, and the sum of a million such, is still a number of 32 bits.
_LARGEST_Z = np.float32(1e6)


@dataclass(frozen=True, eq=False)
class NoiseMap:
    """What an image is without its sources.

    Parameters
    ----------
    background : (ny, nx) float32, counts
    sigma : (ny, nx) float32, counts
        Noise of a pixel; larger than the sky's where subtraction has failed. inf where there is
        no data.
    correlation : (5, 5) float
        Correlation of pixel noise at lags (dy, dx) of -2 to 2; its centre is 1.
    """

    background: NDArray[np.float32]
    sigma: NDArray[np.float32]
    correlation: NDArray[np.float64]


def estimate_noise(
    data: Image,
    mask: NDArray[np.bool_],
    variance: Image | None = None,
    config: NoiseConfig | None = None,
) -> NoiseMap:
    """Background and noise of an image, dipoles and rims of masked stars included.

    The sky's noise comes from sigma-clipped meshes (photutils). On top of it, wherever the mean
    square of negative pixels in a neighbourhood exceeds the sky's, sigma is raised to it: bad
    subtractions always have a negative side, positive streaks never.

    Parameters
    ----------
    data : (ny, nx), counts
    mask : (ny, nx) bool
        True where a pixel must not be used.
    variance : (ny, nx) or None, counts**2
        The survey's own; its local shape is kept, its scale is measured.
    config
        Mesh size and no-data floor.

    Raises
    ------
    FrameError
        If no pixel is usable, or all have one value.
    """
    config = NoiseConfig() if config is None else config
    unusable = mask | ~np.isfinite(data)
    if not math.isnan(config.floor):
        unusable = unusable | (data <= config.floor)
    if variance is not None:
        unusable = unusable | ~(np.isfinite(variance) & (variance > 0))
    if unusable.all():
        raise FrameError("no usable pixel: all are masked, not finite or below the floor")
    data = np.asarray(data, dtype=np.float32)
    shape_of_noise = None
    if variance is not None:
        shape_of_noise = np.sqrt(np.where(unusable, 1.0, variance)).astype(np.float32)
        data = data / shape_of_noise
    meshes = sky_meshes(data, unusable, config.box_px)
    stripes = _stripes(data, meshes, unusable)
    meshes = refine_meshes(meshes, data, stripes, unusable)
    background, sigma = meshes.images(data.shape)
    if stripes.any():
        background += stripes
    z = _divide(data, background, sigma, unusable)
    level = _glow(z, unusable)
    _take_off(z, level, unusable)
    factor = _activity(z, unusable)
    correlation = noise_correlation(z, unusable)
    _finish(background, sigma, level, factor, unusable)
    if shape_of_noise is not None:
        background, sigma = background * shape_of_noise, sigma * shape_of_noise
    return NoiseMap(background, sigma, correlation)


def standardise(data: Image, noise: NoiseMap) -> NDArray[np.float32]:
    """``(data - background) / sigma``, 0 where there is no data. Shape (ny, nx) float32."""
    data = np.asarray(data, dtype=np.float32)
    return np.asarray(_over_sigma(data, noise.background, noise.sigma))


def noise_correlation(
    z: NDArray[np.float32], unusable: NDArray[np.bool_], *, max_samples: int = 400_000
) -> NDArray[np.float64]:
    """Correlation of standardised noise at small lags, sources left out.

    Parameters
    ----------
    z : (ny, nx) float32
        Zero mean, unit variance.
    unusable : (ny, nx) bool

    Returns
    -------
    (5, 5) float
        For lags (dy, dx) of -2 to 2; lags within three times their error of zero are zero.
    """
    lags, ny, nx = _MAX_LAG, *z.shape
    correlation = np.zeros((2 * lags + 1, 2 * lags + 1))
    correlation[lags, lags] = 1.0
    if ny <= 4 * lags or nx <= 4 * lags:
        return correlation
    # A contiguous run of columns in every k-th row: few cache misses, all offsets available.
    step = max(1, int(ny * nx // max_samples))
    rows = np.arange(lags, ny - lags, step)
    # Beyond 4 sigma are sources. A cut at 3 would take 3 % of noise's correlation, and false lines
    # grow as the tail of a Gaussian: by a half for each per cent of noise.
    usable = (~unusable[rows, lags : nx - lags]) & (np.abs(z[rows, lags : nx - lags]) < 4.0)
    centre = np.where(usable, z[rows, lags : nx - lags], 0.0)
    power = float((centre * centre).sum())
    count = int(usable.sum())
    if power <= 0.0 or count < 500:
        return correlation
    error = 1.0 / math.sqrt(count)
    for dy in range(lags + 1):
        for dx in range(-lags, lags + 1):
            if dy == 0 and dx <= 0:
                continue
            shifted = z[rows + dy, lags + dx : nx - lags + dx]
            both = (
                usable & (np.abs(shifted) < 4.0) & ~unusable[rows + dy, lags + dx : nx - lags + dx]
            )
            n = int(both.sum())
            if n == 0:
                continue
            value = float((centre * shifted)[both].sum()) / n / (power / count)
            if abs(value) > max(3.0 * error, 0.004):
                correlation[lags + dy, lags + dx] = correlation[lags - dy, lags - dx] = value
    return correlation


def gaussian_correlation(sigma_px: float, radius: int, step_px: float = 1.0) -> NDArray[np.float64]:
    """Correlation of white noise after a Gaussian filter, (2 radius + 1, 2 radius + 1)."""
    lag = np.arange(-radius, radius + 1) * step_px
    return np.exp(-(lag[:, None] ** 2 + lag[None, :] ** 2) / (4.0 * sigma_px**2))


def filtered_correlation(
    correlation: NDArray[Any], sigma_px: float, radius: int
) -> tuple[NDArray[np.float64], float]:
    """Correlation of noise after a Gaussian filter, and the variance that the filter leaves.

    Parameters
    ----------
    correlation : (5, 5)
        Of the noise that is filtered.
    sigma_px
        Of the filter, whose squares sum to 1: white noise of variance 1 keeps it.
    radius
        Of the correlation returned.

    Returns
    -------
    correlation : (2 radius + 1, 2 radius + 1)
    variance
        Above 1 for positively correlated noise.
    """
    from scipy.signal import convolve2d

    own = gaussian_correlation(sigma_px, radius + _MAX_LAG)
    both = convolve2d(own, correlation, mode="same")[
        _MAX_LAG : -_MAX_LAG or None, _MAX_LAG : -_MAX_LAG or None
    ]
    variance = float(both[radius, radius])
    if not variance > 0.05:
        # Noise so anticorrelated that smoothing removes it is no noise model; call it white.
        return gaussian_correlation(sigma_px, radius), 1.0
    return both / variance, variance


def _glow(z: NDArray[np.float32], unusable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Smooth light on scales of 40 px (halos, ghosts, wings), in units of sigma; mostly zero.

    The median of 5 x 5 cells of 8 px is known to 0.03 sigma and does not see a streak, which
    crosses a third of the cells at most. Only what exceeds noise is taken out.
    """
    import cv2

    cells, share = _clipped_means(z, unusable, 4.0)
    if min(cells.shape) < 5:
        return np.zeros_like(z)
    seen = share > 0.4
    cells = _filled((cells / np.maximum(share, 0.4)).astype(np.float32), seen)
    middle = cv2.medianBlur(cells, 5)
    # A streak along the cells lights two rows of five and moves the median by the noise of one.
    lit = cells - middle > np.maximum(_LIT_CELL, 0.5 * middle)
    glow = cv2.medianBlur(_filled(cells, seen & ~lit), 5)
    glow = np.sign(glow) * np.maximum(np.abs(glow) - _GLOW_NOISE, 0.0)
    if not glow.any():
        return np.zeros_like(z)
    return enlarge(glow.astype(np.float32), z.shape, (_CELL_PX, _CELL_PX))


def _filled(cells: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Cells with the mean of their good neighbours where they are not good themselves."""
    import cv2

    if good.all():
        return cells
    total = cv2.blur(np.where(good, cells, np.float32(0)), (5, 5))
    weight = cv2.blur(good.astype(np.float32), (5, 5))
    return np.where(good, cells, total / np.maximum(weight, 0.04)).astype(np.float32)


def _clipped_means(
    z: NDArray[np.float32], unusable: NDArray[np.bool_], limit: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean over all pixels of each cell of clipped values, and the cell's usable share."""
    high = np.float32(limit)
    mean, share = _cell_means(z, unusable, -high, high, _CELL_PX, squared=False)
    return mean, share


def _stripes(
    data: NDArray[np.float32], meshes: Meshes, unusable: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Column pattern of the detector, (nx,); zeros where there is none.

    Only a pattern that shows in the scatter of all columns is taken out: otherwise a trail along
    one column would be mistaken for it.
    """
    ny, nx = data.shape
    none = np.zeros(nx, np.float32)
    if ny < 64 or nx < 16:
        return none
    every = max(1, ny // 512)
    data, unusable = data[::every], unusable[::every]
    background, sigma = meshes.images((ny, nx), every=every)
    z = _divide(data, background, sigma, unusable)
    count = (~unusable).sum(axis=0)
    enough = count > 0.5 * len(z)
    if enough.sum() < 16:
        return none
    # Clipped means are quick and know a column better than its median does.
    means = np.clip(z, -3.0, 3.0).sum(axis=0)[enough] / count[enough]
    if _scatter(means) < 1.2 / math.sqrt(len(z)):
        return none
    columns = np.zeros(nx, np.float32)
    counts = np.where(unusable, np.nan, data - background)[:, enough]
    columns[enough] = np.nanmedian(counts, axis=0)
    columns[enough] -= np.float32(np.median(columns[enough]))
    expected = 1.2533 * float(np.median(sigma[:, ::8])) / math.sqrt(len(z))
    if _scatter(columns[enough]) < 1.5 * expected:
        return none
    return columns


def _scatter(values: NDArray[np.float32]) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _activity(z: NDArray[np.float32], unusable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Factor by which noise exceeds the sky's, from negative pixels; 1 in good places."""
    import cv2

    ny, nx = z.shape
    if min(ny, nx) < 8:
        return np.ones_like(z)
    power, share = _cell_means(
        z, unusable, -_LARGEST_Z, np.float32(0), _ACTIVITY_CELL_PX, squared=True
    )
    side = _ACTIVITY_PX // _ACTIVITY_CELL_PX
    power = cv2.blur(power, (side, side), borderType=cv2.BORDER_REFLECT)
    share = cv2.blur(share, (side, side), borderType=cv2.BORDER_REFLECT)
    power = power / np.maximum(share, 0.1)
    factor = np.sqrt(np.maximum(2.0 * power / _ACTIVITY_FLOOR, 1.0)).astype(np.float32)
    return enlarge(factor, (ny, nx), (_ACTIVITY_CELL_PX, _ACTIVITY_CELL_PX))


# One pass over the image each, where NumPy would make a temporary image a term.


@njit(cache=True, nogil=True, error_model="numpy")
def _divide(data, background, sigma, unusable):  # type: ignore[no-untyped-def]
    """``(data - background) / sigma``, 0 where unusable, within what float32 can square."""
    z = np.empty(data.shape, np.float32)
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value = (data[y, x] - background[y, x]) / sigma[y, x]
            value = min(max(value, -_LARGEST_Z), _LARGEST_Z)
            z[y, x] = np.float32(0) if unusable[y, x] else value
    return z


@njit(cache=True, nogil=True, error_model="numpy")
def _over_sigma(data, background, sigma):  # type: ignore[no-untyped-def]
    """The same, 0 where sigma is infinite."""
    z = np.empty(data.shape, np.float32)
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value = (data[y, x] - background[y, x]) / sigma[y, x]
            value = min(max(value, -_LARGEST_Z), _LARGEST_Z)
            z[y, x] = value if sigma[y, x] < np.inf else np.float32(0)
    return z


@njit(cache=True, nogil=True)
def _cell_means(z, unusable, low, high, side, squared):  # type: ignore[no-untyped-def]
    """Mean over all pixels of each cell of values, or their squares, clipped; its usable share.

    Cells that reach over the edge count only what lies inside. Columns are summed before cells
    are: a processor works on many at once.
    """
    ny, nx = z.shape
    rows, columns = -(-ny // side), -(-nx // side)
    mean, usable = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    for j in range(rows):
        sums, seen = np.zeros(nx, np.float32), np.zeros(nx, np.float32)
        stop = min((j + 1) * side, ny)
        for y in range(j * side, stop):
            values, hidden = z[y], unusable[y]
            for x in range(nx):
                value = min(max(values[x], low), high)
                sums[x] += value * value if squared else value
                seen[x] += np.float32(0) if hidden[x] else np.float32(1)
        for i in range(columns):
            first, last = i * side, min((i + 1) * side, nx)
            pixels = np.float32((stop - j * side) * (last - first))
            mean[j, i] = sums[first:last].sum() / pixels
            usable[j, i] = seen[first:last].sum() / pixels
    return mean, usable


@njit(cache=True, nogil=True)
def _take_off(z, level, unusable):  # type: ignore[no-untyped-def]
    """Subtract a level in place, nothing from what is not usable."""
    for y in range(z.shape[0]):
        for x in range(z.shape[1]):
            z[y, x] = np.float32(0) if unusable[y, x] else z[y, x] - level[y, x]


@njit(cache=True, nogil=True)
def _finish(background, sigma, level, factor, unusable):  # type: ignore[no-untyped-def]
    """Level and activity into background and noise, in place; inf where there is no data."""
    for y in range(sigma.shape[0]):
        for x in range(sigma.shape[1]):
            background[y, x] += level[y, x] * sigma[y, x]
            scaled = sigma[y, x] * factor[y, x]
            sigma[y, x] = np.float32(np.inf) if unusable[y, x] else scaled
