"""The width of the PSF, where the header does not say."""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEFAULT_FWHM_PX", "measure_fwhm"]

_log = logging.getLogger(__name__)

#: Where too few stars stand in an image: the median of ZTF difference stamps is 2.55 px.
DEFAULT_FWHM_PX = 2.5
_MIN_STARS, _MAX_STARS = 5, 60
#: Filters that stars are looked for with, px, and how much narrower and wider they may then be.
_SCALES_PX = (2.5, 5.0, 9.0)
_NARROWEST, _WIDEST = 0.4, 1.9
#: FWHM of the Gaussian with a pixel's variance, 1/12 px**2.
_PIXEL_FWHM_PX = 2.3548 / math.sqrt(12.0)


def measure_fwhm(z: NDArray[np.float32], usable: NDArray[np.bool_]) -> float:
    """FWHM of the round, isolated, unsaturated point sources of an image, px.

    Stars come from photutils' DAOStarFinder, widths from its Gaussian fits; the answer is their
    median. NaN when there are fewer than five.

    Parameters
    ----------
    z : (ny, nx) float32
        Standardised image.
    usable : (ny, nx) bool
    """
    for scale_px in _SCALES_PX:
        fwhm = _measured_at(z, usable, scale_px)
        # A wide star has peaks of noise on its top, and a narrow one is lost in a wide filter.
        if _NARROWEST * scale_px <= fwhm <= _WIDEST * scale_px:
            # photutils fits a Gaussian that is integrated over pixels; filter and trail are
            # sampled at their centres, and so see the pixel's own width as well.
            return math.hypot(fwhm, _PIXEL_FWHM_PX)
    return math.nan


def _measured_at(z: NDArray[np.float32], usable: NDArray[np.bool_], scale_px: float) -> float:
    """Median width of stars that are found with a filter of some FWHM, px; NaN for too few."""
    x, y, peak = _stars(z, usable, scale_px)
    if len(x) < _MIN_STARS:
        return math.nan
    # The brightest may be saturated or bent; the faintest are noise.
    bright = np.argsort(-peak)[int(0.05 * len(peak)) : int(0.05 * len(peak)) + _MAX_STARS]
    side = 2 * math.ceil(2.2 * scale_px) - 1
    widths = _fitted_widths(z, usable, x[bright], y[bright], side)
    widths = widths[(widths > 0.8) & (widths < 14.0)]
    return float(np.median(widths)) if len(widths) >= _MIN_STARS else math.nan


def _stars(
    z: NDArray[np.float32], usable: NDArray[np.bool_], scale_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    import warnings

    from photutils.detection import DAOStarFinder
    from photutils.utils.exceptions import NoDetectionsWarning

    none = np.zeros(0)
    if min(z.shape) < 16:
        return none, none, none
    finder = DAOStarFinder(threshold=15.0, fwhm=scale_px, roundness_range=(-0.5, 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        table = finder(z, mask=~usable)
    if table is None:
        return none, none, none
    x = np.asarray(table["x_centroid"], dtype=float)
    y = np.asarray(table["y_centroid"], dtype=float)
    peak = np.asarray(table["peak"], dtype=float)
    rim = 3.2 * scale_px
    lone = _isolated(x, y, 4.8 * scale_px)
    lone &= (x > rim) & (y > rim)
    lone &= (x < z.shape[1] - 1 - rim) & (y < z.shape[0] - 1 - rim)
    return x[lone], y[lone], peak[lone]


def _isolated(x: NDArray[np.float64], y: NDArray[np.float64], px: float) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree

    points = np.stack([x, y], axis=1)
    if len(points) < 2:
        return np.ones(len(points), bool)
    distance, _ = cKDTree(points).query(points, k=2)
    return np.asarray(distance[:, 1] > px)


def _fitted_widths(
    z: NDArray[np.float32],
    usable: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    side_px: int,
) -> NDArray[np.float64]:
    import warnings

    from photutils.psf import fit_fwhm

    with warnings.catch_warnings():
        # Some of many stars never converge; the median does not mind.
        warnings.simplefilter("ignore")
        return np.asarray(
            fit_fwhm(
                z.astype(float), xypos=np.stack([x, y], axis=1), fit_shape=side_px, mask=~usable
            )
        )
