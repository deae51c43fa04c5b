"""The width of an image's point sources, however it can be had.

The header's word, or the user's, goes first; then stars of the science image; then stars in the
image itself, then what is left of badly subtracted stars. A difference image without either is
searched for lines at several widths: the trail that is there stands out most at its own. What is
then not known is the median of a survey, and said to be.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streaks.config import DetectionConfig
from streaks.detection.point_sources import sharp_pixels
from streaks.detection.psf import DEFAULT_FWHM_PX, measure_fwhm, measure_residuals
from streaks.detection.search import filter_image, refined_lines, rough_lines
from streaks.errors import FrameError
from streaks.frame import Frame, Image
from streaks.geometry import Segment
from streaks.noise import NoiseMap, estimate_noise, standardise
from streaks.trail import FWHM_PER_SIGMA, fit_trail

__all__ = ["settle_width", "with_fwhm"]

_log = logging.getLogger(__name__)

#: Tried where no star tells, px: at a width that is off by a fifth a trail loses 2 % of its S/N.
_WIDTHS_PX = (1.2, 1.7, 2.5, 3.5, 5.0, 7.0, 9.5, 12.0)
#: A line that tells of the PSF: this S/N beyond what noise has at one of eight widths, and longer
#: than what cosmic rays are.
_LINE_SNR, _LINE_PX, _LINE_WIDTHS = 9.0, 20.0, 3.0
_FEW_LINES = 40
#: What a fit of it may have, px.
_LEAST_PX, _MOST_PX = 0.9, 15.0
#: The middle of a science image is enough for its stars, px a side.
_SIDE_PX = 1536


def with_fwhm(frame: Frame, config: DetectionConfig | None = None) -> Frame:
    """A frame that knows its FWHM and where it has it from; itself where it does already.

    Parameters
    ----------
    frame
        Any.
    config
        Of the search: its noise and threshold.

    Returns
    -------
    Frame
        With `fwhm_px` and `fwhm_source`.

    Raises
    ------
    FrameError
        If no pixel is usable, or all have one value.
    """
    if frame.fwhm_px > 0:
        return frame
    config = DetectionConfig() if config is None else config
    frame = replace(frame, data=np.asarray(frame.data, dtype=np.float32))
    noise = estimate_noise(frame.data, frame.mask, frame.variance, config.noise)
    z, usable = standardise(frame.data, noise), ~noise.unusable
    fwhm_px, source = settle_width(frame, z, usable, noise, config)
    return replace(frame, fwhm_px=fwhm_px, fwhm_source=source)


def settle_width(
    frame: Frame,
    z: NDArray[np.float32],
    usable: NDArray[np.bool_],
    noise: NoiseMap,
    config: DetectionConfig,
) -> tuple[float, str]:
    """FWHM of the PSF, px, and where it is from.

    Parameters
    ----------
    frame
        With its FWHM, or without.
    z : (ny, nx) float32
        Its standardised image.
    usable : (ny, nx) bool
    noise
        That it was standardised with.
    config
        Of the search.

    Returns
    -------
    fwhm_px : float
    source : str
        In a few words.
    """
    if frame.fwhm_px > 0:
        return frame.fwhm_px, frame.fwhm_source or "given"
    name = frame.name
    if frame.science is not None:
        fwhm_px = _of_science(frame.science)
        if fwhm_px > 0:
            return _said(name, fwhm_px, "stars of the science image")
    fwhm_px = measure_fwhm(z, usable)
    if fwhm_px > 0:
        return _said(name, fwhm_px, "stars of the image")
    fwhm_px = measure_residuals(_evenly_scaled(z, usable, noise), usable)
    if fwhm_px > 0:
        return _said(name, fwhm_px, "residuals of stars in the image")
    fwhm_px = _of_lines(z, usable, noise.correlation)
    if fwhm_px > 0:
        return _said(name, fwhm_px, "the sharpest line of the image")
    _log.warning(
        "%s: no FWHM in the header, too few stars to measure it, and no line that tells it; using "
        "%.1f px (give --psf-fwhm to set it)", name, DEFAULT_FWHM_PX,
    )  # fmt: skip
    return DEFAULT_FWHM_PX, "a guess"


def _said(name: str, fwhm_px: float, source: str) -> tuple[float, str]:
    _log.warning(
        "%s: no FWHM in the header; %.2f px from %s (give --psf-fwhm to set it)",
        name, fwhm_px, source,
    )  # fmt: skip
    return fwhm_px, source


def _of_science(science: Image) -> float:
    """FWHM of the stars in the middle of a science image, px; NaN where they do not tell."""
    ny, nx = science.shape
    y, x = max(0, (ny - _SIDE_PX) // 2), max(0, (nx - _SIDE_PX) // 2)
    data = np.ascontiguousarray(science[y : y + _SIDE_PX, x : x + _SIDE_PX], dtype=np.float32)
    try:
        noise = estimate_noise(data, ~np.isfinite(data))
    except FrameError:
        return math.nan
    return measure_fwhm(standardise(data, noise), ~noise.unusable)


def _evenly_scaled(
    z: NDArray[np.float32], usable: NDArray[np.bool_], noise: NoiseMap
) -> NDArray[np.float32]:
    """A standardised image in units of one sigma: a noise map is high where residuals are."""
    if not usable.any():
        return z
    sigma = np.where(usable, noise.sigma, 0.0)
    return np.asarray(z * (sigma / np.median(sigma[usable])), dtype=np.float32)


def _of_lines(
    z: NDArray[np.float32], usable: NDArray[np.bool_], correlation: NDArray[np.float64]
) -> float:
    """FWHM at which the longest clear line stands out most, px; NaN where there is none."""
    best: tuple[float, float, Segment] | None = None
    for fwhm_px in _WIDTHS_PX:
        sigma_px = fwhm_px / FWHM_PER_SIGMA
        image, clear = z.copy(), usable.copy()
        rows, columns = sharp_pixels(image, clear, sigma_px).T
        image[rows, columns], clear[rows, columns] = 0.0, False
        filtered = filter_image(image, clear, correlation, sigma_px)
        lines = refined_lines(
            rough_lines(filtered, _LINE_SNR), filtered,
            sigma_px=sigma_px, threshold_snr=_LINE_SNR, limit=_FEW_LINES,
        )  # fmt: skip
        for line in lines:
            segment, snr = Segment(*line[:4]), float(line[4])
            long = segment.length_px > max(_LINE_PX, _LINE_WIDTHS * fwhm_px)
            if long and (best is None or snr > best[0]):
                best = snr, fwhm_px, segment
    return math.nan if best is None else _refined(z, usable, best[2], best[1])


def _refined(
    z: NDArray[np.float32], usable: NDArray[np.bool_], line: Segment, fwhm_px: float
) -> float:
    """The width of the best fit of a line: the search clips what is bright, the fit does not."""
    best_snr, found = 0.0, fwhm_px
    for start_px in _WIDTHS_PX:
        fit = fit_trail(
            z,
            usable,
            line,
            sigma_px=start_px / FWHM_PER_SIGMA,
            noise_factor=1.0,
            source_variance=0.0,
        )
        fitted = fit.sigma_px * FWHM_PER_SIGMA
        if fit.converged and fit.snr > best_snr and _LEAST_PX <= fitted <= _MOST_PX:
            best_snr, found = fit.snr, fitted
    return found
