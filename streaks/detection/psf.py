"""The width of the PSF, where the header does not say."""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

from streaks.trail import FWHM_PER_SIGMA

__all__ = ["DEFAULT_FWHM_PX", "MIN_FWHM_PX", "measure_fwhm", "measure_residuals"]

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
#: Residuals that tell: peaks above this, in sigma; so many of the brightest are tried, and so many
#: must be told by. A cutout around each reaches so far, px.
_RESIDUAL_SIGMAS, _MOST_RESIDUALS, _LEAST_RESIDUALS, _REACH_PX = 12.0, 200, 8, 30
#: A residual is what hangs together above this share of its peak; what has fewer pixels is a
#: cosmic ray, and what is longer than wide by more a trail or a spike.
_RESIDUAL_LEVEL, _LEAST_PIXELS, _MOST_ELONGATED, _MOST_STEPS = 0.3, 4, 3.0, 60
#: The fitted middle is no farther from the peak, in sigma of the narrower axis; and values scatter
#: about the fit by no more than this share of the peak, and the noise.
_MOST_OFF, _MISFIT = 1.0, 0.08


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


def measure_residuals(z: NDArray[np.float32], usable: NDArray[np.bool_]) -> float:
    """FWHM that the residuals of badly subtracted stars tell, px.

    Of a star that moved a little between two images a pair of lobes is left, in first order the
    derivative of the PSF. Along the axis of the pair a lobe is narrower than the PSF; across it,
    it has the PSF's own profile. So each bright lobe of either sign is fitted with an elliptical
    Gaussian, and the answer is the median of their longer axes. A point is a lobe like any other.

    Parameters
    ----------
    z : (ny, nx) float32
        Difference image without its background, in units of its sky's noise, the same everywhere.
    usable : (ny, nx) bool

    Returns
    -------
    float
        As pixels are sampled; NaN when fewer than eight tell.
    """
    from scipy import ndimage

    # Of nine pixels together: one by itself is a cosmic ray, or cold.
    bright = np.abs(ndimage.uniform_filter(np.where(usable, z, 0.0), 3)) * 3.0
    peaks = (bright > _RESIDUAL_SIGMAS) & (bright == ndimage.maximum_filter(bright, 3)) & usable
    y, x = np.nonzero(peaks)
    order = np.argsort(-bright[y, x])[:_MOST_RESIDUALS]
    told = [
        _longer_axis(z, usable, x_px, y_px)
        for y_px, x_px in zip(y[order].tolist(), x[order].tolist(), strict=True)
    ]
    widths = np.array([width for width in told if _WIDTHS_PX[0] < width < _WIDTHS_PX[1]])
    return float(np.median(widths)) if len(widths) >= _LEAST_RESIDUALS else math.nan


def _longer_axis(z: NDArray[np.float32], usable: NDArray[np.bool_], x: int, y: int) -> float:
    """FWHM of a lobe with its peak at a pixel, along its longer axis, px; NaN where it has none."""
    from scipy import ndimage, optimize

    here = np.s_[
        max(0, y - _REACH_PX) : y + _REACH_PX + 1, max(0, x - _REACH_PX) : x + _REACH_PX + 1
    ]
    row, column = min(y, _REACH_PX), min(x, _REACH_PX)
    near = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    lobe = z[here] * math.copysign(1.0, z[here][near].sum())
    peak = float(lobe[row, column])
    labels, _ = ndimage.label(lobe > _RESIDUAL_LEVEL * peak)
    inside = labels == labels[row, column]
    if not peak > 0 or np.count_nonzero(inside) < _LEAST_PIXELS:
        return math.nan
    # Its rim holds the fit of a narrow one; the other lobe's light is left out.
    fitted = ndimage.binary_dilation(inside) & (lobe > -_RESIDUAL_LEVEL * peak)
    v, u = np.nonzero(fitted)
    if min(v.min(), u.min()) == 0 or v.max() == len(lobe) - 1 or u.max() == lobe.shape[1] - 1:
        return math.nan
    if not usable[here][fitted].all():
        return math.nan
    dx, dy, values = (u - column).astype(float), (v - row).astype(float), lobe[v, u] / peak

    def residuals(shape: NDArray[np.float64]) -> NDArray[np.float64]:
        height, x0, y0, xx, xy, yy = shape
        x_px, y_px = dx - x0, dy - y0
        square = xx * x_px * x_px + 2.0 * xy * x_px * y_px + yy * y_px * y_px
        return np.asarray(height * np.exp(-0.5 * np.clip(square, -1.0, None)) - values)

    width = math.sqrt(np.count_nonzero(inside) / math.pi)
    start = (1.0, 0.0, 0.0, 1.0 / width**2, 0.0, 1.0 / width**2)
    found = optimize.least_squares(residuals, start, max_nfev=_MOST_STEPS)
    _, x0, y0, xx, xy, yy = found.x
    wide, narrow = np.linalg.eigvalsh(np.array([[xx, xy], [xy, yy]]))
    if not wide > 0 or narrow > _MOST_ELONGATED**2 * wide:
        return math.nan
    # Where only the seeing differs, a star leaves a ring about a lobe of the other sign: its peak
    # is not where the fit has it, and no Gaussian fits it.
    off = math.hypot(x0, y0) * math.sqrt(narrow)
    misfit = math.sqrt(2.0 * found.cost / len(values))
    if off > _MOST_OFF or misfit > _MISFIT + 1.0 / peak:
        return math.nan
    return FWHM_PER_SIGMA / math.sqrt(wide)


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
