"""Background, noise, and how noise is correlated: what every later S/N stands on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.config import NoiseConfig
from streaks.errors import FrameError
from streaks.frame import Image

__all__ = [
    "NoiseMap",
    "estimate_noise",
    "filtered_correlation",
    "gaussian_correlation",
    "noise_correlation",
    "standardise",
]

#: Pixels that a background mesh is measured on; 256 give sigma to 4 %, smoothed to 1.5 %.
_SAMPLES_A_BOX = 256
#: Lags at which the correlation of pixel noise is measured; resampling kernels reach 2 px.
_MAX_LAG = 2
#: Smooth light below this many sigma a pixel is left in: thrice the error of its measure.
_GLOW_NOISE = 0.09
#: Side of the neighbourhood in which negative pixels tell of a bad subtraction, px.
_ACTIVITY_PX = 16
#: Twice the mean square of negative pixels is 1 in noise and scatters by 0.15 over such a
#: neighbourhood; below this it says nothing.
_ACTIVITY_FLOOR = 1.6


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
    clean = np.where(unusable, np.float32(0), data).astype(np.float32, copy=False)
    shape_of_noise = None
    if variance is not None:
        shape_of_noise = np.sqrt(np.where(unusable, 1.0, variance)).astype(np.float32)
        clean = clean / shape_of_noise
    background, sigma = _meshes(clean, unusable, config.box_px)
    background = background + _stripes(clean - background, unusable, sigma)
    z = _divide(clean, background, sigma, unusable)
    rest = _residual_background(z, unusable, config.box_px)
    z = np.where(unusable, np.float32(0), z - rest)
    glow = _glow(z, unusable)
    background = background + (rest + glow) * sigma
    z = np.where(unusable, np.float32(0), z - glow)
    sigma = sigma * _activity(z, unusable)
    correlation = noise_correlation(z, unusable)
    if shape_of_noise is not None:
        background, sigma = background * shape_of_noise, sigma * shape_of_noise
    sigma = np.where(unusable, np.float32(np.inf), sigma)
    return NoiseMap(background, sigma, correlation)


def standardise(data: Image, noise: NoiseMap) -> NDArray[np.float32]:
    """``(data - background) / sigma``, 0 where there is no data. Shape (ny, nx) float32."""
    return _divide(data, noise.background, noise.sigma, ~np.isfinite(noise.sigma))


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
    # Beyond 3 sigma are sources; cutting noise there lowers its variance by 3 %.
    usable = (~unusable[rows, lags : nx - lags]) & (np.abs(z[rows, lags : nx - lags]) < 3.0)
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
                usable & (np.abs(shifted) < 3.0) & ~unusable[rows + dy, lags + dx : nx - lags + dx]
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


def _meshes(
    data: NDArray[np.float32], unusable: NDArray[np.bool_], box_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Background and noise of the sky, smooth, at every pixel."""
    import cv2
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MADStdBackgroundRMS, MedianBackground

    ny, nx = data.shape
    # The mesh is measured on every k-th pixel: its noise stays below that of later steps, and
    # photutils' cost falls with k squared.
    step = max(1, int(box_px / math.sqrt(_SAMPLES_A_BOX)))
    step = max(1, min(step, ny // 8, nx // 8))
    box = (min(box_px // step, -(-ny // step)), min(box_px // step, -(-nx // step)))
    sampled, sampled_mask = data[::step, ::step], unusable[::step, ::step]
    if sampled_mask.all():
        sampled, sampled_mask, box = data, unusable, (min(box_px, ny), min(box_px, nx))
    meshes = Background2D(
        sampled,
        box,
        mask=sampled_mask,
        exclude_percentile=90.0 if sampled_mask.mean() < 0.5 else 99.9,
        filter_size=3 if min(sampled.shape) >= 3 * max(box) else 1,
        sigma_clip=SigmaClip(sigma=3.0, maxiters=5),
        bkg_estimator=MedianBackground(),
        bkg_rms_estimator=MADStdBackgroundRMS(),
    )
    low = np.asarray(meshes.background_mesh, dtype=np.float32)
    rms = np.asarray(meshes.background_rms_mesh, dtype=np.float32)
    positive = rms[np.isfinite(rms) & (rms > 0)]
    if positive.size == 0:
        raise FrameError("no noise: all usable pixels of a neighbourhood have one value")
    rms = np.where(np.isfinite(rms) & (rms > 0), rms, np.median(positive)).astype(np.float32)
    # Clipping at 3 sigma leaves MAD as it is, so no correction is due.
    return _enlarge(low, (ny, nx), box_px), _enlarge(rms, (ny, nx), box_px, cv2.INTER_LINEAR)


def _residual_background(
    z: NDArray[np.float32], unusable: NDArray[np.bool_], box_px: int
) -> NDArray[np.float32]:
    """What the sampled meshes missed, from all pixels, in units of sigma.

    A background 0.03 sigma too low adds a whole sigma to a line of 300 px, since lines sum what
    is below the notice of any pixel. Clipped means of all pixels of a box know it to 0.016; the
    median of 3 x 3 boxes to half of that, and a streak through three of them does not move it.
    """
    import cv2
    from scipy.ndimage import median_filter

    ny, nx = z.shape
    rows, columns = max(1, ny // box_px), max(1, nx // box_px)
    size = (columns, rows)
    clipped = np.clip(z, -2.5, 2.5)
    mesh = cv2.resize(clipped, size, interpolation=cv2.INTER_AREA)
    if unusable.any():
        usable = (~unusable).astype(np.float32)
        share = cv2.resize(usable, size, interpolation=cv2.INTER_AREA)
        mesh = np.where(share > 0.3, mesh / np.maximum(share, 0.3), 0.0).astype(np.float32)
    mesh = median_filter(mesh, size=3, mode="nearest")
    return cv2.resize(mesh, (nx, ny), interpolation=cv2.INTER_LINEAR)


def _glow(z: NDArray[np.float32], unusable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Smooth light on scales of 40 px (halos, ghosts, wings), in units of sigma; mostly zero.

    The median of 5 x 5 cells of 8 px is known to 0.03 sigma and does not see a streak, which
    crosses a third of the cells at most. Only what exceeds noise is taken out.
    """
    import cv2

    ny, nx = z.shape
    size = (max(1, nx // 8), max(1, ny // 8))
    if min(size) < 5:
        return np.zeros_like(z)
    cells = cv2.resize(np.clip(z, -4.0, 4.0), size, interpolation=cv2.INTER_AREA)
    if unusable.any():
        share = cv2.resize((~unusable).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        # A cell that is mostly hidden takes its neighbours' value: the blur fills it.
        filled = cv2.blur(np.where(share > 0.4, cells, 0), (5, 5))
        weight = cv2.blur((share > 0.4).astype(np.float32), (5, 5))
        around = filled / np.maximum(weight, 0.04)
        cells = np.where(share > 0.4, cells / np.maximum(share, 0.4), around).astype(np.float32)
    glow = cv2.medianBlur(cells, 5)
    glow = np.sign(glow) * np.maximum(np.abs(glow) - _GLOW_NOISE, 0.0)
    if not glow.any():
        return np.zeros_like(z)
    return cv2.resize(glow.astype(np.float32), (nx, ny), interpolation=cv2.INTER_LINEAR)


def _enlarge(
    mesh: NDArray[np.float32], shape: tuple[int, int], box_px: int, how: int | None = None
) -> NDArray[np.float32]:
    """A mesh at every pixel, each mesh value at the centre of its box."""
    import cv2

    rows, columns = mesh.shape
    if rows == columns == 1:
        return np.full(shape, mesh[0, 0], np.float32)
    full = cv2.resize(
        mesh,
        (max(columns * box_px, shape[1]), max(rows * box_px, shape[0])),
        interpolation=cv2.INTER_LINEAR if how is None else how,
    )
    return np.ascontiguousarray(full[: shape[0], : shape[1]])


def _stripes(
    residual: NDArray[np.float32], unusable: NDArray[np.bool_], sigma: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Column pattern of the detector, (1, nx); zeros where there is none.

    Only a pattern that shows in the scatter of all columns is taken out: otherwise a trail along
    one column would be mistaken for it.
    """
    ny, nx = residual.shape
    none = np.zeros((1, nx), np.float32)
    if ny < 64 or nx < 16:
        return none
    step = max(1, ny // 512)
    picked, bad = residual[::step], unusable[::step]
    with np.errstate(all="ignore"):
        values = np.where(bad, np.nan, picked)
        count = (~bad).sum(axis=0)
        enough = count > 0.5 * len(values)
        if enough.sum() < 16:
            return none
        columns = np.zeros(nx, np.float32)
        columns[enough] = np.nanmedian(values[:, enough], axis=0)
    expected = 1.2533 * float(np.median(sigma)) / math.sqrt(len(values))
    scatter = 1.4826 * float(np.median(np.abs(columns[enough] - np.median(columns[enough]))))
    if scatter < 1.5 * expected:
        return none
    return (columns - np.float32(np.median(columns[enough])))[None, :]


def _activity(z: NDArray[np.float32], unusable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Factor by which noise exceeds the sky's, from negative pixels; 1 in good places."""
    import cv2

    ny, nx = z.shape
    if min(ny, nx) < 8:
        return np.ones_like(z)
    small = (max(nx // 4, 1), max(ny // 4, 1))
    negative = np.minimum(z, 0)
    np.multiply(negative, negative, out=negative)
    power = cv2.resize(negative, small, interpolation=cv2.INTER_AREA)
    side = _ACTIVITY_PX // 4
    power = cv2.blur(power, (side, side), borderType=cv2.BORDER_REFLECT)
    if unusable.any():
        share = cv2.resize((~unusable).astype(np.float32), small, interpolation=cv2.INTER_AREA)
        share = cv2.blur(share, (side, side), borderType=cv2.BORDER_REFLECT)
        power = power / np.maximum(share, 0.1)
    factor = np.sqrt(np.maximum(2.0 * power / _ACTIVITY_FLOOR, 1.0)).astype(np.float32)
    return cv2.resize(factor, (nx, ny), interpolation=cv2.INTER_LINEAR)


def _divide(
    data: Image,
    background: NDArray[np.float32],
    sigma: NDArray[np.float32],
    unusable: NDArray[np.bool_],
) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):
        z = (data - background) / sigma
    z[unusable] = 0.0
    return z.astype(np.float32, copy=False)
