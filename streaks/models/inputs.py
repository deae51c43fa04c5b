"""What each kind of model is shown of a cutout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts, fit_to_size, scale_cutouts
from streaks.features import FEATURE_NAMES, SIZE_PX, measure_features

__all__ = [
    "LEAST_PROBABILITY",
    "feature_input",
    "image_input",
    "input_description",
    "network_image",
]

#: As in `streaks.classification.Ensemble`: no member's answer is wholly impossible.
LEAST_PROBABILITY = 1e-9

#: Beyond this a pixel is simply bright; keeps broken images from overflowing half precision.
_MAX_SIGMA = 3e4


def input_description(kind: str) -> dict[str, Any]:
    """What the model's card says of its input, and what must agree when it is loaded."""
    if kind == "forest":
        return {"features": list(FEATURE_NAMES)}
    if kind == "stack":
        return {
            "members": f"log of probabilities, at least {LEAST_PROBABILITY:g}",
            "features": list(FEATURE_NAMES),
        }
    return {"size_px": SIZE_PX, "channels": ["asinh of difference / sigma", "mask"]}


def feature_input(cutouts: Cutouts) -> NDArray[np.float32]:
    """(n, n_features) float32, finite."""
    return np.clip(measure_features(cutouts), -1e30, 1e30).astype(np.float32)


def network_image(cutouts: Cutouts) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Differences in units of sigma and masks, both (n, 128, 128)."""
    fitted = fit_to_size(cutouts, SIZE_PX)
    mask = fitted.mask | ~np.isfinite(fitted.difference)
    return np.clip(scale_cutouts(fitted), -_MAX_SIGMA, _MAX_SIGMA), mask


def image_input(cutouts: Cutouts) -> NDArray[np.float32]:
    """(n, 2, 128, 128) float32: asinh of the scaled difference, and the mask as 0 and 1.

    The inverse hyperbolic sine is linear in the noise and logarithmic above it (Lupton,
    Gunn & Szalay 1999, AJ 118, 1406), so that one stretch shows faint and bright alike.
    """
    scaled, mask = network_image(cutouts)
    return np.stack([np.arcsinh(scaled), mask.astype(np.float32)], axis=1)
