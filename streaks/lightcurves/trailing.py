"""Light that a PSF fit misses of a source that moves while the shutter is open."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["psf_loss_mag"]

_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))


def psf_loss_mag(length: NDArray[np.float64], fwhm: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much the magnitude of a PSF fit at the middle of a trail is too faint.

    The fit weighs pixels by the PSF. For a Gaussian of width s and a uniform trail of length L the
    share that it finds is ``2 sqrt(pi) s erf(L / 4 s) / L``.

    Parameters
    ----------
    length
        Of the trail, in any unit of angle.
    fwhm
        Of the PSF, in the same; NaN or 0 where unknown.

    Returns
    -------
    mag
        0 where either is unknown.
    """
    from scipy.special import erf

    length, fwhm = np.broadcast_arrays(np.asarray(length, float), np.asarray(fwhm, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(length) * _FWHM_PER_SIGMA / fwhm
        share = 2.0 * math.sqrt(math.pi) * erf(ratio / 4.0) / ratio
        loss = -2.5 * np.log10(share)
    return np.where(np.isfinite(loss) & (ratio > 1e-3), loss, 0.0)
