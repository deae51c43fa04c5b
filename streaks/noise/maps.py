"""Background, noise, and how noise is correlated: what every later S/N stands on."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.config import NoiseConfig
from streaks.errors import FrameError
from streaks.frame import Image
from streaks.noise._rows import SkyBands, cell_means, images_at, noise_at, standardised
from streaks.noise.meshes import Meshes, mesh_bands, refine_meshes, sky_meshes
from streaks.noise.surface import is_pattern

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
#: Pixels whose products tell the correlation: each of its values to 0.002.
_LAG_SAMPLES = 400_000
#: Beyond this many sigma are sources. A cut at 3 would take 3 % of noise's correlation, and false
#: lines grow as the tail of a Gaussian: by a half for each per cent of noise.
_SOURCE_SIGMA = np.float32(4.0)
#: Smooth light below this many sigma a pixel is left in: thrice the error of its measure.
_GLOW_NOISE = 0.09
#: Side of the cells in which smooth light is looked for, px, and up to where a pixel counts, sigma.
_CELL_PX, _CELL_CLIP = 8, np.float32(4.0)
#: A cell's mean is known to 0.125 sigma; brighter by this than those around, it holds a source.
_LIT_CELL = 0.35
#: Side of the neighbourhood in which negative pixels tell of a bad subtraction, px.
_ACTIVITY_PX = 16
_ACTIVITY_CELL_PX = 4
#: Twice the mean square of negative pixels is 1 in noise and scatters by 0.15 over such a
#: neighbourhood; below this it says nothing.
_ACTIVITY_FLOOR = 1.6

#: Up to so many sigma a pixel counts for its column; rows looked at together; rows so far apart
#: share no noise.
_COLUMN_CLIP, _ROWS_AT_ONCE, _ROWS_APART = 3.0, 256, 4


@dataclass(frozen=True, eq=False)
class NoiseMap:
    """What an image is without its sources.

    Parameters
    ----------
    sky
        Background and noise on meshes.
    unusable : (ny, nx) bool
        True where there is no data.
    correlation : (5, 5) float
        Correlation of pixel noise at lags (dy, dx) of -2 to 2; its centre is 1.
    shape : (ny, nx) float32 or None
        What background and noise of `sky` are in units of: the root of the survey's variance.
    """

    sky: SkyBands
    unusable: NDArray[np.bool_]
    correlation: NDArray[np.float64]
    shape: NDArray[np.float32] | None = None

    @property
    def background(self) -> NDArray[np.float32]:
        """Background of every pixel, (ny, nx), counts."""
        return self._images[0]

    @property
    def sigma(self) -> NDArray[np.float32]:
        """Noise of every pixel, (ny, nx), counts; inf where there is no data.

        It is larger than the sky's where subtraction has failed.
        """
        return self._images[1]

    @functools.cached_property
    def _images(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        background, sigma = images_at(self.sky, np.arange(len(self.unusable)))
        if self.shape is not None:
            background, sigma = background * self.shape, sigma * self.shape
        sigma[self.unusable] = np.inf
        return background, sigma

    def at(
        self, x: NDArray[np.integer], y: NDArray[np.integer]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Background and noise of single usable pixels, (n,) each, counts.

        Parameters
        ----------
        x, y : (n,) int
            Pixels, 0-based, inside the image. Whether they are usable is not asked: sigma is finite
            even where `sigma` is inf.

        Returns
        -------
        background, sigma : (n,) float32
            Counts.
        """
        background, sigma = noise_at(self.sky, x, y)
        if self.shape is not None:
            scale = self.shape[y, x]
            background, sigma = background * scale, sigma * scale
        return background, sigma

    def typical_sigma(self) -> float:
        """Median noise of the usable pixels, counts.

        Returns
        -------
        float, counts
            Of every 8th pixel of every 8th row, or of all where those are all unusable.
        """
        step = 8 if not self.unusable[::8, ::8].all() else 1
        rows = np.arange(0, len(self.unusable), step)
        sigma = images_at(self.sky, rows)[1][:, ::step]
        if self.shape is not None:
            sigma = sigma * self.shape[::step, ::step]
        return float(np.median(sigma[~self.unusable[::step, ::step]]))


def estimate_noise(
    data: Image,
    mask: NDArray[np.bool_],
    variance: Image | None = None,
    config: NoiseConfig | None = None,
) -> NoiseMap:
    """Background and noise of an image, dipoles and rims of masked stars included.

    The sky's noise comes from sigma-clipped meshes. On top of it, wherever the mean
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

    Returns
    -------
    NoiseMap
        Its ``unusable`` is the mask and whatever is not finite, not above the floor, or of no
        positive variance.

    Raises
    ------
    FrameError
        If no pixel is usable, or all have one value.
    """
    config = NoiseConfig() if config is None else config
    unusable = mask | ~np.isfinite(data)
    if not math.isnan(config.floor):
        unusable |= data <= config.floor
    if variance is not None:
        unusable |= ~(np.isfinite(variance) & (variance > 0))
    if unusable.all():
        raise FrameError("no usable pixel: all are masked, not finite or below the floor")
    data, shape = np.asarray(data, dtype=np.float32), None
    if variance is not None:
        shape = np.sqrt(np.where(unusable, 1.0, variance)).astype(np.float32)
        data = data / shape
    meshes = sky_meshes(data, unusable, config.box_px)
    stripes = _stripes(data, meshes, unusable)
    meshes = refine_meshes(meshes, data, stripes, unusable)
    nx = data.shape[1]
    sky = sky_bands(meshes, nx)._replace(stripes=stripes)
    sky = sky._replace(level=_level(data, unusable, sky))
    sky = sky._replace(factor=_factor(data, unusable, sky))
    return NoiseMap(sky, unusable, _sky_correlation(data, unusable, sky), shape)


def standardise(data: Image, noise: NoiseMap) -> NDArray[np.float32]:
    """``(data - background) / sigma``, 0 where there is no data. Shape (ny, nx) float32.

    Parameters
    ----------
    data : (ny, nx), counts
        The image whose noise was estimated.
    noise
        From `estimate_noise`.

    Returns
    -------
    (ny, nx) float32
        In sigma, of zero mean and unit variance where there are no sources; cut at a million.
    """
    data = np.asarray(data, dtype=np.float32)
    if noise.shape is not None:
        data = data / noise.shape
    return np.asarray(standardised(data, noise.unusable, noise.sky, np.arange(len(data))))


def noise_correlation(
    z: NDArray[np.float32], unusable: NDArray[np.bool_], *, max_samples: int = _LAG_SAMPLES
) -> NDArray[np.float64]:
    """Correlation of standardised noise at small lags, sources left out.

    Parameters
    ----------
    z : (ny, nx) float32
        Zero mean, unit variance.
    unusable : (ny, nx) bool
        Pixels to leave out.
    max_samples
        About how many pixels are held against their neighbours, in whole rows.

    Returns
    -------
    (5, 5) float
        For lags (dy, dx) of -2 to 2; lags within three times their error of zero are zero.
    """
    return _correlation(z, unusable, _lag_rows(z.shape, max_samples))


def _lag_rows(shape: tuple[int, ...], max_samples: int) -> NDArray[np.int64]:
    """Rows whose pixels are held against their neighbours, from this row to `_MAX_LAG` below it."""
    ny, nx = shape
    if ny <= 4 * _MAX_LAG or nx <= 4 * _MAX_LAG:
        return np.zeros(0, np.int64)
    # Whole rows, few of them: all neighbours lie near in memory.
    return np.arange(_MAX_LAG, ny - _MAX_LAG, max(1, ny * nx // max_samples))


def _sky_correlation(
    data: NDArray[np.float32], unusable: NDArray[np.bool_], sky: SkyBands
) -> NDArray[np.float64]:
    """`noise_correlation` of an image that is not standardised but where it is looked at."""
    rows = _lag_rows(data.shape, _LAG_SAMPLES)
    each = np.arange(_MAX_LAG + 1)
    needed = (rows[:, None] + each).ravel()
    # Noise that is larger where subtraction failed has there the sky's correlation no more.
    z = standardised(data, unusable, sky._replace(factor=_none(data.shape[1])), needed)
    return _correlation(z, unusable[needed], len(each) * np.arange(len(rows)))


def _correlation(
    z: NDArray[np.float32], unusable: NDArray[np.bool_], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    lags = _MAX_LAG
    correlation = np.zeros((2 * lags + 1, 2 * lags + 1))
    correlation[lags, lags] = 1.0
    if len(rows) == 0:
        return correlation
    products, pairs = _lag_products(z, unusable, rows, lags, _SOURCE_SIGMA)
    power, count = products[0, lags], pairs[0, lags]
    if power <= 0.0 or count < 500:
        return correlation
    value = products / np.maximum(pairs, 1.0) / (power / count)
    value[np.abs(value) <= max(3.0 / math.sqrt(count), 0.004)] = 0.0
    correlation[: lags + 1] = value[::-1, ::-1]
    correlation[lags:] = value
    correlation[lags, :lags] = correlation[lags, lags + 1 :][::-1]
    correlation[lags, lags] = 1.0
    return correlation


def gaussian_correlation(sigma_px: float, radius: int, step_px: float = 1.0) -> NDArray[np.float64]:
    """Correlation of white noise after a Gaussian filter, (2 radius + 1, 2 radius + 1).

    Parameters
    ----------
    sigma_px
        Width of the filter, above 0.
    radius
        Steps from the centre to the border.
    step_px
        Distance between neighbours of the result, px.

    Returns
    -------
    (2 radius + 1, 2 radius + 1)
        ``exp(-d**2 / (4 sigma**2))`` at distance d: the filter's own autocorrelation. 1 at the
        centre.
    """
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
    own = gaussian_correlation(sigma_px, radius + _MAX_LAG)
    windows = np.lib.stride_tricks.sliding_window_view(own, correlation.shape)
    both = np.einsum("yxab,ab->yx", windows, correlation[::-1, ::-1])
    variance = float(both[radius, radius])
    if not variance > 0.05:
        # Noise so anticorrelated that smoothing removes it is no noise model; call it white.
        return gaussian_correlation(sigma_px, radius), 1.0
    return both / variance, variance


def _none(nx: int) -> NDArray[np.float32]:
    return np.zeros((0, nx), np.float32)


def sky_bands(meshes: Meshes, nx: int) -> SkyBands:
    """Meshes of the sky alone."""
    height, width = meshes.box_px
    low, rms = (mesh_bands(mesh, nx, width) for mesh in (meshes.background, meshes.sigma))
    stripes, none = np.zeros(nx, np.float32), _none(nx)
    return SkyBands(low, rms, height, stripes, none, _CELL_PX, none, _ACTIVITY_CELL_PX)


def _level(
    data: NDArray[np.float32], unusable: NDArray[np.bool_], sky: SkyBands
) -> NDArray[np.float32]:
    """Smooth light on scales of 40 px (halos, ghosts, wings), in units of sigma; mostly zero.

    The median of 5 x 5 cells of 8 px is known to 0.03 sigma and does not see a streak, which
    crosses a third of the cells at most. Only what exceeds noise is taken out. As bands of cells,
    of no rows where there is nothing.
    """
    import cv2

    nx = data.shape[1]
    cells, share = cell_means(data, unusable, sky, -_CELL_CLIP, _CELL_CLIP, _CELL_PX, False)
    if min(cells.shape) < 5:
        return _none(nx)
    seen = share > 0.4
    cells = _filled((cells / np.maximum(share, 0.4)).astype(np.float32), seen)
    middle = cv2.medianBlur(cells, 5)
    # A streak along the cells lights two rows of five and moves the median by the noise of one.
    lit = cells - middle > np.maximum(_LIT_CELL, 0.5 * middle)
    glow = cv2.medianBlur(_filled(cells, seen & ~lit), 5)
    glow = np.sign(glow) * np.maximum(np.abs(glow) - _GLOW_NOISE, 0.0)
    return mesh_bands(glow.astype(np.float32), nx, _CELL_PX) if glow.any() else _none(nx)


def _filled(cells: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Cells with the mean of their good neighbours where they are not good themselves."""
    import cv2

    if good.all():
        return cells
    total = cv2.blur(np.where(good, cells, np.float32(0)), (5, 5))
    weight = cv2.blur(good.astype(np.float32), (5, 5))
    return np.where(good, cells, total / np.maximum(weight, 0.04)).astype(np.float32)


def _stripes(
    data: NDArray[np.float32], meshes: Meshes, unusable: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Column pattern of the detector, (nx,); zeros where there is none.

    Only a pattern that shows in many columns is taken out: otherwise a trail along one column
    would be mistaken for it.
    """
    ny, nx = data.shape
    none = np.zeros(nx, np.float32)
    if ny < 64 or nx < 16:
        return none
    sky = sky_bands(meshes, nx)
    # Rows apart from each other: of neighbours noise may be alike.
    some = _column_means(data, unusable, sky, np.arange(0, ny, max(_ROWS_APART, ny // 512)))
    if not is_pattern(some.mean[some.known], some.error):
        return none
    # A line along a column sums the error of what was taken off: all rows make it small.
    all_rows = _column_means(data, unusable, sky, np.arange(ny), some.mean)
    _, sigma = images_at(sky, np.arange(0, ny, max(1, ny // 64)))
    columns = np.where(all_rows.known, all_rows.mean - np.median(all_rows.mean[all_rows.known]), 0)
    return np.asarray(columns * np.median(sigma, axis=0), np.float32)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Clipped means of columns in units of a pixel's noise, and which are known."""

    mean: NDArray[np.float64]
    known: NDArray[np.bool_]
    error: float


def _column_means(
    data: NDArray[np.float32],
    unusable: NDArray[np.bool_],
    sky: SkyBands,
    rows: NDArray[np.int64],
    about: NDArray[np.float64] | float = 0.0,
) -> _Columns:
    """Means of what is clipped about some value: quicker than medians, and they know a column
    better; what is bright counts little."""
    total, count = np.zeros(data.shape[1]), np.zeros(data.shape[1], np.int64)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[first : first + _ROWS_AT_ONCE]
        z = standardised(data, unusable, sky, part) - about
        z[unusable[part]] = 0.0
        total += np.clip(z, -_COLUMN_CLIP, _COLUMN_CLIP).sum(axis=0, dtype=np.float64)
        count += (~unusable[part]).sum(axis=0)
    known = count > 0.5 * len(rows)
    return _Columns(about + total / np.maximum(count, 1), known, 1.0 / math.sqrt(len(rows)))


def _factor(
    data: NDArray[np.float32], unusable: NDArray[np.bool_], sky: SkyBands
) -> NDArray[np.float32]:
    """Factor by which noise exceeds the sky's, from negative pixels; 1 in good places.

    As bands of cells; of no rows for an image too small to tell.
    """
    import cv2

    if min(data.shape) < 8:
        return _none(data.shape[1])
    lowest, side = np.float32(-np.inf), _ACTIVITY_CELL_PX
    power, share = cell_means(data, unusable, sky, lowest, np.float32(0), side, True)
    near = (_ACTIVITY_PX // side, _ACTIVITY_PX // side)
    power = cv2.blur(power, near, borderType=cv2.BORDER_REFLECT)
    share = cv2.blur(share, near, borderType=cv2.BORDER_REFLECT)
    power = power / np.maximum(share, 0.1)
    factor = np.sqrt(np.maximum(2.0 * power / _ACTIVITY_FLOOR, 1.0)).astype(np.float32)
    return mesh_bands(factor, data.shape[1], side)


@njit(cache=True, nogil=True, fastmath=True)
def _lag_products(z, unusable, rows, lags, limit):  # type: ignore[no-untyped-def]
    """Sums of products of pixels `dy` rows and `dx` columns apart, and how many they are.

    (lags + 1, 2 lags + 1) each, for dy from 0 and dx from -lags; pixels beyond the limit and
    those not usable are left out.
    """
    nx = z.shape[1]
    products = np.zeros((lags + 1, 2 * lags + 1))
    pairs = np.zeros((lags + 1, 2 * lags + 1))
    values = np.empty((lags + 1, nx), np.float32)
    good = np.empty((lags + 1, nx), np.float32)
    n = nx - 2 * lags
    for k in range(len(rows)):
        for dy in range(lags + 1):
            row, hidden = z[rows[k] + dy], unusable[rows[k] + dy]
            for x in range(nx):
                fine = not hidden[x] and abs(row[x]) < limit
                good[dy, x] = np.float32(1) if fine else np.float32(0)
                values[dy, x] = row[x] if fine else np.float32(0)
        for dy in range(lags + 1):
            for dx in range(2 * lags + 1):
                total, count = np.float32(0), np.float32(0)
                centre, other = values[0, lags : lags + n], values[dy, dx : dx + n]
                here, there = good[0, lags : lags + n], good[dy, dx : dx + n]
                for x in range(n):
                    total += centre[x] * other[x]
                    count += here[x] * there[x]
                products[dy, dx] += total
                pairs[dy, dx] += count
    return products, pairs
