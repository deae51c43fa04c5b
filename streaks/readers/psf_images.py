"""The width of the PSF from a picture of it: an extension of the image's file, or a file beside it.

ZTF gives each difference image its PSF (``diffimgpsf``), Rubin each image and stamp.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ReadError
from streaks.readers.images import FitsFile

__all__ = ["PSF_EXTENSIONS", "psf_extension_fwhm", "psf_extension_image", "psf_image_fwhm"]

#: Names of extensions that hold a PSF.
PSF_EXTENSIONS = ("PSFIMAGE", "PSF", "DIFFIMGPSF")
_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
#: A PSF image is small, and not that small, px.
_SIDES_PX = (5, 512)
#: Widths that a PSF may have, px of sigma.
_NARROWEST, _WIDEST = 0.35, 12.0
#: Pixels above this share of the peak tell where the middle is.
_BRIGHT = 0.2


def psf_image_fwhm(image: NDArray[np.floating]) -> float:
    """FWHM of the round Gaussian that fits a PSF best, px.

    Parameters
    ----------
    image : (ny, nx)
        The PSF, its middle anywhere; pixels that are not finite count as dark.

    Returns
    -------
    float
        NaN where it is no picture of a PSF: dark, flat, too small or too large.
    """
    if image.ndim != 2 or not _SIDES_PX[0] <= min(image.shape) <= max(image.shape) <= _SIDES_PX[1]:
        return math.nan
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    if not values.max() > 0:
        return math.nan
    return _fitted_fwhm(values / values.max())


def _fitted_fwhm(values: NDArray[np.float64]) -> float:
    """FWHM of the round Gaussian that fits best, px; NaN where it is none."""
    from scipy.optimize import least_squares

    y, x = np.indices(values.shape)
    bright = np.where(values > _BRIGHT, values, 0.0)
    total = bright.sum()
    middle = (bright * x).sum() / total, (bright * y).sum() / total
    # A disc of so many pixels above half the peak.
    half = max(math.sqrt((values > 0.5).sum() / math.pi), _NARROWEST)

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        r2 = (x - p[0]) ** 2 + (y - p[1]) ** 2
        return np.asarray(p[3] * np.exp(-r2 / (2.0 * p[2] ** 2)) - values).ravel()

    start = [*middle, 2.0 * half / _FWHM_PER_SIGMA, 1.0]
    low = [-0.5, -0.5, 0.1, 0.0]
    high = [values.shape[1] - 0.5, values.shape[0] - 0.5, float(max(values.shape)), 10.0]
    sigma = least_squares(residual, np.clip(start, low, high), bounds=(low, high)).x[2]
    return float(sigma * _FWHM_PER_SIGMA) if _NARROWEST < sigma < _WIDEST else math.nan


def psf_extension_fwhm(opened: FitsFile) -> tuple[float, str]:
    """FWHM by the PSF that lies in an image's own file, px, and the name of its extension.

    Parameters
    ----------
    opened
        The file.

    Returns
    -------
    fwhm_px : float
        NaN where there is none.
    label : str
        Empty where there is none.
    """
    found = _psf_extension(opened)
    return (math.nan, "") if found is None else (found[1], found[2])


def psf_extension_image(opened: FitsFile) -> NDArray[np.float32] | None:
    """The picture of the PSF that lies in an image's own file.

    Parameters
    ----------
    opened
        The file.

    Returns
    -------
    (ny, nx) float32 or None
        None where there is none.
    """
    found = _psf_extension(opened)
    return None if found is None else found[0]


def _psf_extension(opened: FitsFile) -> tuple[NDArray[np.float32], float, str] | None:
    """Picture, FWHM and name of the first extension that shows a PSF."""
    for hdu in opened.listing():
        if hdu.name.upper() not in PSF_EXTENSIONS:
            continue
        try:
            picture = opened.read(hdu).data
        except ReadError:
            continue
        fwhm_px = psf_image_fwhm(picture)
        if fwhm_px > 0:
            return np.asarray(picture, dtype=np.float32), fwhm_px, hdu.label
    return None
