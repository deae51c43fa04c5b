"""The trailed point source: its model, and its fit with errors."""

from streaks.trail.fit import (
    FWHM_PER_SIGMA,
    REACH_SIGMA,
    TrailFit,
    fit_trail,
    line_noise,
    pixels_near,
    trail_model,
    trail_template,
    with_correlated_noise,
)

__all__ = [
    "FWHM_PER_SIGMA",
    "REACH_SIGMA",
    "TrailFit",
    "fit_trail",
    "line_noise",
    "pixels_near",
    "trail_model",
    "trail_template",
    "with_correlated_noise",
]
