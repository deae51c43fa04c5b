"""Whether the source in the middle of a cutout is longer than a point.

Three models are fitted to it: a point of the PSF's width, a round source of any width, and a trail
(`streaks.trail`). How much the trail's S/N squared is above the point's is what elongation adds to
the likelihood; it must be above that of a round source too, or a wide one, such as a galaxy badly
subtracted, would be called long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts.stacks import Cutouts, scale_cutouts
from streaks.special import logistic, normal_cdf
from streaks.trail import FWHM_PER_SIGMA

__all__ = ["Elongation", "measure_elongation", "resolved_probability"]

#: How far from the middle the source may lie, px.
_REACH_PX = 6
#: Side of what a round source is fitted to, px.
_SIDE_PX = 41
#: Widths of a round source, px of sigma.
_LEAST_SIGMA_PX, _MOST_SIGMA_PX = 0.45, 4.0
#: The PSF of an image is known to this share.
_PSF_KNOWN = 0.08
#: Where it is not known, a survey's median, px of sigma.
_DEFAULT_SIGMA_PX = 1.06
#: Beyond this nothing more is tried, sigma.
_CLEAR, _CLEARLY_NOT_ROUND = 9.0, 4.0
#: A fainter source tells nothing, S/N.
_LEAST_SNR = 4.5
#: Elongation that one point in a hundred has by noise, sigma.
_SIGNIFICANT = 3.1
#: A round source of any width must be worse by this share of that, within limits, sigma.
_NOT_ROUND, _LEAST_NOT_ROUND, _MOST_NOT_ROUND = 0.25, 1.2, 3.5
#: Real PSFs are elongated themselves: a trail is longer than this share of the FWHM, give or take.
_SHORTEST, _GIVE = 0.9, 0.05


@dataclass(frozen=True, eq=False)
class Elongation:
    """Of the source nearest to the middle of each of n cutouts; zeros where there is none.

    Parameters
    ----------
    point_snr : (n,)
        Of the point that fits best.
    fwhm_px : (n,)
        That lengths are compared with: of the PSF where it is known, else of the trail's width.
    length_px : (n,)
        Of the trail that fits best; NaN where none does.
    significance : (n,)
        Root of what a trail adds to the likelihood of a point, sigma.
    beyond_round : (n,)
        The same for a round source of any width.
    """

    point_snr: NDArray[np.float64]
    fwhm_px: NDArray[np.float64]
    length_px: NDArray[np.float64]
    significance: NDArray[np.float64]
    beyond_round: NDArray[np.float64]


def measure_elongation(cutouts: Cutouts) -> Elongation:
    """How elongated the source in the middle of each cutout is.

    Parameters
    ----------
    cutouts
        n of them; ``fwhm_px`` tells the PSF where it is known.

    Returns
    -------
    Elongation
    """
    from streaks.cutouts._fits import fit_best_trail

    n = len(cutouts)
    if n == 0:
        return Elongation(*np.zeros((5, 0)))
    z = scale_cutouts(cutouts)
    good = ~cutouts.mask & np.isfinite(cutouts.difference)
    psf = np.full(n, np.nan) if cutouts.fwhm_px is None else cutouts.fwhm_px / FWHM_PER_SIGMA
    known = np.isfinite(psf)
    start = np.where(known, psf, _DEFAULT_SIGMA_PX)
    x, y = _brightest(z, start, cutouts.size_px // 2)
    free = np.full(n, _LEAST_SIGMA_PX), np.full(n, _MOST_SIGMA_PX)
    wide, sigma = _round_sources(z, good, x, y, start, free)
    bounds = (
        np.where(known, (1.0 - _PSF_KNOWN) * start, _LEAST_SIGMA_PX),
        np.where(known, (1.0 + _PSF_KNOWN) * start, _MOST_SIGMA_PX),
    )
    point, _ = _round_sources(z, good, x, y, start, bounds)
    found = np.zeros((5, n))
    for i in range(n):
        width = float(start[i] if known[i] else np.clip(sigma[i], 0.6, 2.0))
        enough = max(math.hypot(point[i], _CLEAR), math.hypot(wide[i], _CLEARLY_NOT_ROUND))
        place = float(x[i]), float(y[i])
        trail, length, across = fit_best_trail(z[i], good[i], *place, width, enough)
        found[:, i] = (
            point[i], (width if known[i] else across) * FWHM_PER_SIGMA, length,
            math.sqrt(max(trail**2 - point[i] ** 2, 0.0)),
            math.sqrt(max(trail**2 - wide[i] ** 2, 0.0)),
        )  # fmt: skip
    return Elongation(*found)


def resolved_probability(found: Elongation) -> NDArray[np.float64]:
    """Probability that a source is trailed, and not a point; NaN where nothing tells.

    Parameters
    ----------
    found
        As measured.

    Returns
    -------
    (n,) float64
    """
    longer = logistic((found.length_px / np.maximum(found.fwhm_px, 0.1) - _SHORTEST) / _GIVE)
    share = _NOT_ROUND * found.significance
    least = np.clip(share, _LEAST_NOT_ROUND, _MOST_NOT_ROUND)
    p = (
        longer
        * normal_cdf(found.significance - _SIGNIFICANT)
        * normal_cdf(found.beyond_round - least)
    )
    # Where there is no point to speak of, a trail that is too faint to be told is none either.
    trail_snr = np.hypot(found.point_snr, found.significance)
    tells = (found.point_snr >= _LEAST_SNR) | ((p > 0.5) & (trail_snr >= _LEAST_SNR))
    return np.where(tells, p, np.nan)


def _brightest(
    z: NDArray[np.float32], sigma_px: NDArray[np.float64], middle: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The brightest pixel near the middle of each image, blurred by its PSF."""
    import cv2

    n, reach = len(z), _REACH_PX
    x, y = np.empty(n), np.empty(n)
    near = slice(max(middle - reach, 0), middle + reach + 1)
    for i in range(n):
        blurred = cv2.GaussianBlur(z[i], (0, 0), float(sigma_px[i]))[near, near]
        row, column = np.unravel_index(int(blurred.argmax()), blurred.shape)
        x[i], y[i] = near.start + column, near.start + row
    return x, y


def _round_sources(
    z: NDArray[np.float32],
    good: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sigma_px: NDArray[np.float64],
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """S/N and width of round Gaussians that fit best."""
    from streaks.cutouts._fits import fit_round_source

    n, side, _ = z.shape
    low = max(side // 2 - _SIDE_PX // 2, 0)
    window = low, min(low + _SIDE_PX, side)
    found = np.empty((2, n))
    for i in range(n):
        place, limits = (float(x[i]), float(y[i])), (float(bounds[0][i]), float(bounds[1][i]))
        found[:, i] = fit_round_source(
            z[i], good[i], window, place, float(_REACH_PX), float(sigma_px[i]), limits
        )
    return found[0], found[1]
