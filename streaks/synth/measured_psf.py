"""How far the wings of a frame's own stars reach, so that injections have the same."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streaks.frame import Frame

__all__ = ["USUAL_BETA", "measured_beta"]

#: Moffat exponent of a frame that does not tell.
USUAL_BETA = 4.0
#: Stars this bright, in sigma, and at most this share of the brightest pixel (saturation).
_BRIGHT_SIGMA, _BELOW_TOP = 60.0, 0.5
#: A neighbour of this share of the star's height spoils it; how many stars are enough.
_NEIGHBOUR, _LEAST, _MOST = 0.05, 8, 200
#: Stars of less than 2.5 px FWHM say little of their wings, and seem steeper than they are: beyond
#: this the S/N of a trail changes by 2 % at most.
_RANGE = (2.5, 6.0)


def measured_beta(frame: Frame) -> float:
    """Moffat exponent of the stars of a frame's science image.

    Parameters
    ----------
    frame
        With a science image and its FWHM.

    Returns
    -------
    float
        2.5 to 6; `USUAL_BETA` without a science image, or where fewer than 8 stars stand free.
    """
    if frame.science is None or not frame.fwhm_px > 0:
        return USUAL_BETA
    radius, height = _profiles(np.asarray(frame.science, np.float64), frame)
    if not len(radius):
        return USUAL_BETA
    from scipy.optimize import curve_fit

    edges = np.linspace(0.0, 3.5 * frame.fwhm_px, 29)
    place = np.digitize(radius, edges)
    rings = [k for k in range(1, len(edges)) if (place == k).sum() >= 3]
    r = np.array([np.median(radius[place == k]) for k in rings])
    value = np.array([np.median(height[place == k]) for k in rings])

    def moffat(
        at: NDArray[np.float64], peak: float, fwhm: float, beta: float, sky: float
    ) -> NDArray[np.float64]:
        scale = fwhm / (2.0 * math.sqrt(2.0 ** (1.0 / beta) - 1.0))
        squared = _within_pixel(at)
        return np.asarray(peak * ((1.0 + squared / scale**2) ** -beta).mean(axis=0) + sky)

    low, high = _RANGE
    start = (1.0, frame.fwhm_px, USUAL_BETA, 0.0)
    bounds = ((0.2, 0.5 * frame.fwhm_px, low, -0.002), (3.0, 2.0 * frame.fwhm_px, high, 0.002))
    try:
        found, _ = curve_fit(moffat, r, value, start, bounds=bounds, maxfev=2000)
    except (RuntimeError, ValueError):
        return USUAL_BETA
    return float(found[2])


def _within_pixel(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances of a pixel's parts, (n_parts, n), at two angles to the pixel's sides.

    A pixel holds the mean of the light over its square, which has steeper wings than the light.
    """
    parts = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
    squares = []
    for angle in (0.2, 0.6):
        x, y = radius * math.cos(angle), radius * math.sin(angle)
        squares += [(x + a) ** 2 + (y + b) ** 2 for a in parts for b in parts]
    return np.array(squares)


def _profiles(
    image: NDArray[np.float64], frame: Frame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from their star's centre and height over its peak, of the pixels of free stars."""
    from scipy.ndimage import maximum_filter

    nothing = np.zeros(0), np.zeros(0)
    usable = np.isfinite(image) & ~frame.mask
    if usable.sum() < 1000:
        return nothing
    level = float(np.median(image[usable]))
    sigma = 1.4826 * float(np.median(np.abs(image[usable] - level)))
    light = np.where(usable, image - level, 0.0)
    half = math.ceil(4.0 * frame.fwhm_px)
    peak = light == maximum_filter(light, 2 * half + 1)
    peak &= (light > _BRIGHT_SIGMA * sigma) & (light < _BELOW_TOP * light.max())
    radii, heights, n = [], [], 0
    dy, dx = np.indices((2 * half + 1, 2 * half + 1)) - half
    near, ring = np.hypot(dx, dy) <= frame.fwhm_px, np.hypot(dx, dy) > 2.5 * frame.fwhm_px
    for y, x in np.argwhere(peak):
        if not (half <= y < light.shape[0] - half and half <= x < light.shape[1] - half):
            continue
        stamp = light[y - half : y + half + 1, x - half : x + half + 1]
        seen = usable[y - half : y + half + 1, x - half : x + half + 1]
        if not seen.all() or stamp[ring].max() > max(_NEIGHBOUR * light[y, x], 5.0 * sigma):
            continue
        weight = np.where(near, np.maximum(stamp, 0.0), 0.0)
        cx, cy = (
            float((weight * dx).sum() / weight.sum()),
            float((weight * dy).sum() / weight.sum()),
        )
        radii.append(np.hypot(dx - cx, dy - cy).ravel())
        heights.append((stamp / light[y, x]).ravel())
        n += 1
        if n == _MOST:
            break
    return (np.concatenate(radii), np.concatenate(heights)) if n >= _LEAST else nothing
