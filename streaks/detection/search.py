"""The search on bare arrays: filter, transform at three scales, refine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.detection.refinement import distinct_segments
from streaks.noise import filtered_correlation
from streaks.trail import line_noise
from streaks.transforms import line_candidates

__all__ = ["Filtered", "filter_image", "first_cut", "refined_lines", "rough_lines"]

#: (binning, a power of two; first and last level): 4-32 px at full resolution, 64-256 px,
#: 512-2048 px.
_SCALES = ((1, 2, 5), (2, 5, 7), (4, 7, 9))
#: Filtered pixels count up to this in the transform: enough for the shortest paths to pass the
#: first cut, too little for a bright star to light up every long line through it.
_CLIP = 5.0
_CLIP_LONG = 3.0
#: In refinement a bright short trail needs more room.
_CLIP_REFINED = 12.0
#: Digital paths, dyadic lengths and grid positions lose up to a quarter of a streak's S/N.
_FIRST_CUT_SHARE = 0.74
_MIN_FIRST_CUT = 4.2
#: Of that, for the coarsest bins: digital paths of 512 bins leave the straight line by a bin and a
#: half, and there are few of them.
_COARSEST_SHARE = 0.88
#: Reach of the filter's kernel in widths of the PSF, and px at least; of its correlation.
_KERNEL_WIDTHS, _KERNEL_PX = 3.5, 2
_CORRELATION_WIDTHS, _CORRELATION_PX = 4.5, 4
#: The narrowest noise, px; the shortest line whose noise is asked, px.
_LEAST_NOISE_SIGMA_PX, _LEAST_LENGTH_PX = 0.3, 0.1
#: The scale of the noise is measured from pixels of this cover, from so many at least of so many
#: that are asked, between these quantiles, 1.2816 sigma apart (Gaussian), and believed from a tenth
#: less to a quarter more (Student's noise of 4 degrees of freedom has an eighth more).
_WHOLE_COVER, _SCALE_PIXELS, _SCALE_SAMPLE, _SCALE_STEP = 0.99, 5000, 20_000, 7
_SCALE_QUANTILES, _QUANTILE_SIGMAS, _BELIEVED = (0.1, 0.5), 1.2816, (0.9, 1.25)
#: Pixels of a bin of two by two, each a quarter of its mean.
_QUARTER = np.float32(0.25)
_ENDS = 4


@dataclass(frozen=True, eq=False)
class Filtered:
    """An image after the PSF's matched filter.

    Parameters
    ----------
    snr : (ny, nx) float32
        Point-source S/N at every pixel.
    cover : (ny, nx) float32
        Share of the filter on usable pixels, 0 to 1.
    noise_factor
        Variance of filtered noise over that of white noise.
    noise_sigma_px
        Width of the Gaussian filter whose white noise is correlated alike along lines.
    """

    snr: NDArray[np.float32]
    cover: NDArray[np.float32]
    noise_factor: float
    noise_sigma_px: float

    def trail_noise_factor(self, length_px: float, sigma_px: float) -> float:
        """Variance of a trail's matched filter over that in white noise.

        Correlated noise weighs more in a trail than in a point: more pairs of pixels are near.

        Parameters
        ----------
        length_px
            Of the trail.
        sigma_px
            Width of the PSF.

        Returns
        -------
        float
        """
        length = max(length_px, _LEAST_LENGTH_PX)
        longer = line_noise(length, self.noise_sigma_px) / line_noise(length, sigma_px)
        return self.noise_factor * float(longer) ** 2


def filter_image(
    z: NDArray[np.float32],
    usable: NDArray[np.bool_],
    correlation: NDArray[np.float64],
    sigma_px: float,
) -> Filtered:
    """Point-source S/N of a standardised image at every pixel.

    Parameters
    ----------
    z : (ny, nx) float32
        0 where not usable.
    usable : (ny, nx) bool
    correlation : (5, 5)
        Of pixel noise.
    sigma_px
        Width of the PSF.

    Returns
    -------
    Filtered
    """
    import cv2

    side = 2 * max(_KERNEL_PX, math.ceil(_KERNEL_WIDTHS * sigma_px)) + 1
    kernel = np.asarray(cv2.getGaussianKernel(side, sigma_px, cv2.CV_64F), np.float64)
    peak = kernel / math.sqrt(float((kernel**2).sum()))
    radius = max(_CORRELATION_PX, math.ceil(_CORRELATION_WIDTHS * sigma_px))
    rho, factor = filtered_correlation(correlation, sigma_px, radius)
    border = cv2.BORDER_CONSTANT
    less = peak / math.sqrt(factor)
    snr = np.asarray(cv2.sepFilter2D(z, cv2.CV_32F, peak, less, borderType=border), np.float32)
    if usable.all():
        cover = np.ones_like(snr)
    else:
        seen = usable.view(np.uint8)
        blurred = cv2.sepFilter2D(seen, cv2.CV_32F, kernel, kernel, borderType=border)
        cover = np.asarray(blurred, np.float32)
    scale = _measured_scale(snr, cover)
    snr /= np.float32(scale)
    factor *= scale**2
    # A line's noise is the integral of the correlation along it: 2 s sqrt(pi) for a Gaussian.
    along = 0.5 * (rho[radius, :].sum() + rho[:, radius].sum())
    noise_sigma_px = along / (2.0 * math.sqrt(math.pi))
    return Filtered(snr, cover, factor, max(noise_sigma_px, _LEAST_NOISE_SIGMA_PX))


def _measured_scale(snr: NDArray[np.float32], cover: NDArray[np.float32]) -> float:
    """Noise of a filtered image, from its dark side, where it is near the 1 that it should be.

    Errors of sigma and of the correlation add up in the filter, and false lines grow by half for
    each per cent of them.
    """
    step = max(1, min(_SCALE_STEP, int(math.sqrt(snr.size / _SCALE_SAMPLE))))
    sample = snr[::step, ::step][cover[::step, ::step] > _WHOLE_COVER]
    if sample.size < _SCALE_PIXELS:
        return 1.0
    # In rising order quantiles are found at once, and NumPy sorts sooner than it looks for them.
    low, middle = np.quantile(np.sort(sample), _SCALE_QUANTILES)
    scale = float(middle - low) / _QUANTILE_SIGMAS
    lowest, highest = _BELIEVED
    return scale if lowest < scale < highest else 1.0


def first_cut(threshold_snr: float) -> float:
    """S/N that a rough line must have, for a threshold of the refined one.

    Parameters
    ----------
    threshold_snr
        Of the refined line.

    Returns
    -------
    float
    """
    return max(_FIRST_CUT_SHARE * threshold_snr, _MIN_FIRST_CUT)


def rough_lines(filtered: Filtered, threshold_snr: float) -> NDArray[np.float64]:
    """Rough lines at all scales, strongest first; one streak gives many.

    Parameters
    ----------
    filtered
        The image.
    threshold_snr
        That of the refined lines.

    Returns
    -------
    (n, 4)
        x0, y0, x1, y1 in 0-based pixels.
    """
    least = first_cut(threshold_snr)
    ends, strength = [], []
    for binning, image, (first, last) in _scaled(filtered.snr):
        if max(image.shape) < 2**first:
            continue
        unit, correlation = _bin_noise(binning, filtered.noise_sigma_px)
        lines = line_candidates(
            image,
            correlation=correlation,
            # Of bins of unit noise; nothing is gained by dividing them by it.
            threshold_snr=least * unit * (_COARSEST_SHARE if binning == _SCALES[-1][0] else 1.0),
            levels=(first, last),
            clip=_CLIP if binning == 1 else _CLIP_LONG,
        )
        shift = 0.5 * (binning - 1)
        table = np.stack([lines.x0, lines.y0, lines.x1, lines.y1], axis=1)
        ends.append(table * binning + shift)
        strength.append(lines.snr / unit)
    if not ends:
        return np.zeros((0, _ENDS))
    order = np.argsort(-np.concatenate(strength), kind="stable")
    return np.concatenate(ends)[order]


def refined_lines(
    rough: NDArray[np.float64],
    filtered: Filtered,
    *,
    sigma_px: float,
    threshold_snr: float,
    limit: int,
) -> NDArray[np.float64]:
    """Distinct segments above a threshold, from rough lines.

    Parameters
    ----------
    rough : (n, 4)
        From `rough_lines`.
    filtered
        The image.
    sigma_px
        Width of the PSF.
    threshold_snr
        Lines below this are dropped.
    limit
        Stop after so many.

    Returns
    -------
    (m, 5)
        x0, y0, x1, y1 in 0-based pixels and the matched-filter S/N, in the order found.
    """
    return distinct_segments(
        filtered.snr,
        filtered.cover,
        rough,
        sigma_px=sigma_px,
        noise_sigma_px=filtered.noise_sigma_px,
        first_cut=first_cut(threshold_snr),
        threshold_snr=threshold_snr,
        clip=_CLIP_REFINED,
        limit=limit,
    )


def _scaled(
    snr: NDArray[np.float32],
) -> Iterator[tuple[int, NDArray[np.float32], tuple[int, int]]]:
    """Binning, means of so many pixels and levels, for each scale; binned ones are clipped."""
    image, now = snr, 1
    for binning, first, last in _SCALES:
        while now < binning:
            if min(image.shape) < 2:
                return
            # Large arrays are there sooner where NumPy makes them (`streaks.noise._rows`).
            half = np.empty((image.shape[0] // 2, image.shape[1] // 2), np.float32)
            _halve(image, np.float32(_CLIP_LONG), half)
            image, now = half, 2 * now
        yield binning, image, (first, last)


@njit(cache=True, nogil=True)
def _halve(image, clip, out):  # type: ignore[no-untyped-def]
    """Means of 2 x 2 clipped pixels."""
    ny, nx = out.shape
    for y in range(ny):
        top, bottom, row = image[2 * y], image[2 * y + 1], out[y]
        for x in range(nx):
            total = np.float32(0)
            for value in (top[2 * x], top[2 * x + 1], bottom[2 * x], bottom[2 * x + 1]):
                total += min(max(value, -clip), clip)
            row[x] = _QUARTER * total


@lru_cache(maxsize=64)
def _bin_noise(binning: int, noise_sigma_px: float) -> tuple[float, NDArray[np.float64]]:
    """Standard deviation of a bin's mean, and the correlation of bins."""
    s = noise_sigma_px
    radius = max(_CORRELATION_PX, math.ceil(_CORRELATION_WIDTHS * s))
    # Correlation of bin means: that of pixels, averaged over all pairs of pixels of two bins.
    triangle = np.convolve(np.ones(binning), np.ones(binning)) / binning**2
    reach = max(1, radius // binning)
    lag = np.arange(-reach, reach + 1)[:, None] * binning + np.arange(-binning + 1, binning)
    one = np.exp(-(lag**2) / (2.0 * s) ** 2) @ triangle
    bins = one[:, None] * one[None, :]
    variance = float(bins[reach, reach])
    return math.sqrt(variance), bins / variance
