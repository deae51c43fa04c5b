"""Light in an aperture along a trail: a check of the fitted flux that hardly asks for a shape.

The aperture is a stadium: all pixels within a radius of the fitted segment. The sum of their counts
is divided by the share of the trail's light that falls on the pixels that were summed, as the PSF
of the frame has it. This counts what lies outside, and puts the model in the place of masked
pixels, both at once. A fitted flux weighs the core of a trail, this one weighs all pixels alike:
where the two disagree by more than their errors, something else shines beside the trail, it is not
evenly lit, or the PSF is another.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.noise import NoiseMap
from streaks.trail import (
    FWHM_PER_SIGMA,
    PsfShape,
    TrailFit,
    correlated,
    pixels_near,
    trail_template,
)

__all__ = ["APERTURE_FWHM", "LEAST_SEEN", "aperture_flux"]

#: Radius in FWHM of the trail: a Gaussian leaves 0.04 % outside, Moffat's profile of exponent 2.5
#: 6 %; a wider one takes more of the sky's noise.
APERTURE_FWHM = 1.5
#: Less than this share of the aperture's light on usable pixels tells no flux.
LEAST_SEEN = 0.5
#: The rim of the aperture is as wide as a pixel, so that none jumps in or out.
_RIM_PX = 1.0
_TINY = 1e-12


def aperture_flux(
    counts: NDArray[np.float32],
    noise: NoiseMap,
    usable: NDArray[np.bool_],
    fit: TrailFit,
    *,
    width_px: float,
    sky: tuple[float, float] = (0.0, 0.0),
    gain: float = math.nan,
    negative: bool = False,
    psf: PsfShape | None = None,
) -> tuple[float, float]:
    """Flux of a trail in a stadium round it, in counts, and its error.

    Parameters
    ----------
    counts : (ny, nx)
        The image as it is.
    noise
        Its background and noise.
    usable : (ny, nx) bool
        False where there is no data, or what is there must not count.
    fit
        The trail.
    width_px
        FWHM of the frame's PSF; the trail's own counts where it is wider.
    sky
        Level that is left beside the trail and its error, in units of sigma
        (`streaks.detection.photometry.sky_beside`).
    gain
        Electrons a count, for the trail's own photon noise; NaN where unknown.
    negative
        The trail is dark, and was fitted in the image turned over.
    psf
        Shape of the PSF; None for the Gaussian of the fit.

    Returns
    -------
    flux, flux_err
        Negative for a dark trail. NaN where less than half of the light that the aperture should
        hold falls on usable pixels: then the model would be most of what is told.
    """
    segment = fit.segment
    radius = APERTURE_FWHM * max(width_px, FWHM_PER_SIGMA * fit.sigma_px)
    everywhere = np.broadcast_to(np.True_, usable.shape)
    x, y, seen = pixels_near(usable, everywhere, segment, radius + _RIM_PX)
    weight = _inside(x, y, segment.x0, segment.y0, segment.x1, segment.y1, radius)
    model = trail_template(x, y, segment, fit.sigma_px) if psf is None else psf.trail(x, y, segment)
    share = weight * model
    kept = (seen > 0) & (weight > 0)
    held = float(share[kept].sum())
    # Beyond the image there are no pixels; the segment was cut there, and half of its end's light
    # is missing at most.
    if not held > LEAST_SEEN * float(share.sum()) > 0:
        return math.nan, math.nan
    columns, rows = x[kept].astype(np.int64), y[kept].astype(np.int64)
    weight = weight[kept]
    background, sigma = noise.at(columns, rows)
    values = np.asarray(counts[rows, columns], float) - background
    weighed = weight * sigma
    # A dark trail makes noise seem larger where it lies (`estimate_noise`): the sky's is the least.
    ground = float((weight * sigma.min() if negative else weighed).sum())
    level, level_err = sky
    flux = (float((weight * values).sum()) * (-1.0 if negative else 1.0) - level * ground) / held
    variance = _variance(weighed, columns, rows, noise.correlation)
    variance += (level_err * ground) ** 2 * max(float(noise.correlation.sum()), 1.0)
    if gain > 0:
        variance += max(flux, 0.0) * float((weight**2 * model[kept]).sum()) / gain
    return -flux if negative else flux, math.sqrt(variance) / held


@njit(cache=True, nogil=True)
def _inside(x, y, x0, y0, x1, y1, radius):  # type: ignore[no-untyped-def]
    """Share of each pixel that lies within a radius of a segment, its rim taken for straight."""
    dx, dy = x1 - x0, y1 - y0
    squared = max(dx * dx + dy * dy, _TINY)
    out = np.empty(len(x))
    for i in range(len(x)):
        t = min(max(((x[i] - x0) * dx + (y[i] - y0) * dy) / squared, 0.0), 1.0)
        u, v = x[i] - x0 - t * dx, y[i] - y0 - t * dy
        out[i] = min(max((radius - math.sqrt(u * u + v * v)) / _RIM_PX + 0.5, 0.0), 1.0)
    return out


def _variance(
    weighed: NDArray[np.float64],
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    correlation: NDArray[np.float64],
) -> float:
    """Of a sum over pixels whose noise is correlated, each of which adds this noise to it."""
    if np.count_nonzero(correlation) <= 1:
        return float((weighed**2).sum())
    row = np.asarray(weighed, np.float64)[None, :]
    return float((row @ correlated(row, x, y, correlation, correlation.shape[0] // 2).T)[0, 0])
