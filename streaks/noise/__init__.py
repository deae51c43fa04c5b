"""Background, noise and how noise is correlated: what every later S/N stands on."""

from streaks.noise.maps import (
    NoiseMap,
    estimate_noise,
    filtered_correlation,
    gaussian_correlation,
    noise_correlation,
    standardise,
)
from streaks.noise.surface import row_pattern, smooth_surface

__all__ = [
    "NoiseMap",
    "estimate_noise",
    "filtered_correlation",
    "gaussian_correlation",
    "noise_correlation",
    "row_pattern",
    "smooth_surface",
    "standardise",
]
