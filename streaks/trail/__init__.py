"""The trailed point source: its model, and its fit with errors."""

from streaks.trail._kernels import correlated, fit_near, shares_inside
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
from streaks.trail.shapes import PsfShape, moffat_shape, picture_shape

__all__ = [
    "FWHM_PER_SIGMA",
    "REACH_SIGMA",
    "PsfShape",
    "TrailFit",
    "correlated",
    "fit_near",
    "fit_trail",
    "line_noise",
    "moffat_shape",
    "picture_shape",
    "pixels_near",
    "shares_inside",
    "trail_model",
    "trail_template",
    "with_correlated_noise",
]
