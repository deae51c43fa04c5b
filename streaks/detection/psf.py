"""The width of the PSF, where the header does not say."""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEFAULT_FWHM_PX", "MIN_FWHM_PX", "measure_fwhm"]

_log = logging.getLogger(__name__)

#: Where too few stars stand in an image: the median of ZTF difference stamps is 2.55 px.
DEFAULT_FWHM_PX = 2.5
_MIN_STARS, _MAX_STARS = 5, 60
#: Share of the brightest stars that is left out: they may be saturated or bent.
_BRIGHTEST_SHARE = 0.05
#: Filters that stars are looked for with, px, and how much narrower and wider they may then be.
_SCALES_PX = (2.5, 5.0, 9.0)
_NARROWEST, _WIDEST = 0.4, 1.9
#: Fitted widths that are no star's, px.
_WIDTHS_PX = (0.8, 14.0)
#: An image must be this large; stars are brighter than so many sigma and round to this.
_LEAST_SIDE_PX, _STAR_SIGMAS, _ROUNDNESS = 16, 15.0, 0.5
#: Farther than this from each other and from the edge, and fitted out to this, in scales.
_APART, _EDGE, _FITTED = 4.8, 3.2, 2.2
#: Below this the PSF is no longer sampled, and a fit has nothing to hold on to, px.
MIN_FWHM_PX = 1.2
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

    Returns
    -------
    float
        NaN when there are fewer than five.
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
    # The faintest are noise.
    first = int(_BRIGHTEST_SHARE * len(peak))
    bright = np.argsort(-peak)[first : first + _MAX_STARS]
    side_px = 2 * math.ceil(_FITTED * scale_px) - 1
    widths = _fitted_widths(z, usable, x[bright], y[bright], side_px)
    widths = widths[(widths > _WIDTHS_PX[0]) & (widths < _WIDTHS_PX[1])]
    return float(np.median(widths)) if len(widths) >= _MIN_STARS else math.nan


def _stars(
    z: NDArray[np.float32], usable: NDArray[np.bool_], scale_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    import warnings

    from photutils.detection import DAOStarFinder
    from photutils.utils.exceptions import NoDetectionsWarning

    none = np.zeros(0)
    if min(z.shape) < _LEAST_SIDE_PX:
        return none, none, none
    finder = DAOStarFinder(
        threshold=_STAR_SIGMAS, fwhm=scale_px, roundness_range=(-_ROUNDNESS, _ROUNDNESS)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        table = finder(z, mask=~usable)
    if table is None:
        return none, none, none
    x = np.asarray(table["x_centroid"], dtype=float)
    y = np.asarray(table["y_centroid"], dtype=float)
    peak = np.asarray(table["peak"], dtype=float)
    ny, nx = z.shape
    rim = _EDGE * scale_px
    inside = (x > rim) & (x < nx - 1 - rim) & (y > rim) & (y < ny - 1 - rim)
    lone = _isolated(x, y, _APART * scale_px) & inside
    return x[lone], y[lone], peak[lone]


def _isolated(x: NDArray[np.float64], y: NDArray[np.float64], px: float) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree

    points = np.stack([x, y], axis=1)
    if len(points) < 2:
        return np.ones(len(points), bool)
    distance, _ = cKDTree(points).query(points, k=2)
    return np.asarray(distance)[:, 1] > px


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
