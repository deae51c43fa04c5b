"""Square cutouts around streaks: made, brought to one size and sampling, and looked at."""

from streaks.cutouts.elongation import Elongation, measure_elongation, resolved_probability
from streaks.cutouts.resampling import (
    KNOWN_FWHM_PX,
    USUAL_FWHM_PX,
    brought_to_usual_fwhm,
    with_fwhm,
)
from streaks.cutouts.shapes import Shapes, measure_shapes, psf_moments
from streaks.cutouts.stacks import (
    Cutouts,
    extract_cutouts,
    fit_to_size,
    scale_cutouts,
    stack_cutouts,
)

__all__ = [
    "KNOWN_FWHM_PX",
    "USUAL_FWHM_PX",
    "Cutouts",
    "Elongation",
    "Shapes",
    "brought_to_usual_fwhm",
    "extract_cutouts",
    "fit_to_size",
    "measure_elongation",
    "measure_shapes",
    "psf_moments",
    "resolved_probability",
    "scale_cutouts",
    "stack_cutouts",
    "with_fwhm",
]
