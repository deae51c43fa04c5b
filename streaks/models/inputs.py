"""What each kind of model is shown of a cutout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts, fit_to_size, scale_cutouts
from streaks.features import FEATURE_NAMES, SIZE_PX, measure_scaled

__all__ = [
    "LEAST_PROBABILITY",
    "ModelInputs",
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
    """What the model's card says of its input, and what must agree when it is loaded.

    Parameters
    ----------
    kind
        ``forest``, ``stack``, or anything else for a network.

    Returns
    -------
    dict
        Plain values for JSON.
    """
    if kind == "forest":
        return {"features": list(FEATURE_NAMES)}
    if kind == "stack":
        return {
            "members": f"log of probabilities, at least {LEAST_PROBABILITY:g}",
            "features": list(FEATURE_NAMES),
        }
    return {"size_px": SIZE_PX, "channels": ["asinh of difference / sigma", "mask"]}


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """What models are shown of some cutouts: made when it is first asked for, and once.

    Parameters
    ----------
    cutouts
        n of them, of any size.
    """

    cutouts: Cutouts

    @cached_property
    def scaled(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Differences in units of sigma, and pixels that count, both (n, 128, 128)."""
        fitted = fit_to_size(self.cutouts, SIZE_PX)
        return scale_cutouts(fitted), ~fitted.mask & np.isfinite(fitted.difference)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """As `feature_input` gives them."""
        return np.clip(measure_scaled(*self.scaled), -1e30, 1e30).astype(np.float32)

    @cached_property
    def images(self) -> NDArray[np.float32]:
        """As `image_input` gives them."""
        scaled, good = self.scaled
        shown = np.zeros((len(scaled), 2, SIZE_PX, SIZE_PX), np.float32)
        np.logical_not(good, out=shown[:, 1], casting="unsafe")
        # Around small stamps all is 0.
        rows, columns = self._extent
        clipped = np.clip(scaled[:, rows, columns], -_MAX_SIGMA, _MAX_SIGMA)
        np.arcsinh(clipped, out=shown[:, 0, rows, columns])
        return shown

    @cached_property
    def _extent(self) -> tuple[slice, slice]:
        """Rows and columns beyond which no cutout has a pixel that counts."""
        good = self.scaled[1]
        rows, columns = good.any(axis=(0, 2)), good.any(axis=(0, 1))
        return _extent(np.asarray(rows)), _extent(np.asarray(columns))

    def are_within(self, low: int, high: int) -> bool:
        """Whether all pixels that count lie within a square of the 128 px.

        Parameters
        ----------
        low, high
            First row and column of the square, and those after its last.

        Returns
        -------
        bool
        """
        return all(low <= side.start and side.stop <= high for side in self._extent)


def _extent(filled: NDArray[np.bool_]) -> slice:
    """From the first that is True to the last."""
    where = np.flatnonzero(filled)
    middle = len(filled) // 2
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(middle, middle)


def feature_input(cutouts: Cutouts) -> NDArray[np.float32]:
    """(n, n_features) float32, finite.

    Parameters
    ----------
    cutouts
        n of them.

    Returns
    -------
    (n, n_features) float32
        In the order of `streaks.features.FEATURE_NAMES`.
    """
    return ModelInputs(cutouts).features


def network_image(cutouts: Cutouts) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Differences in units of sigma and masks, both (n, 128, 128).

    Parameters
    ----------
    cutouts
        n of them.

    Returns
    -------
    scaled : (n, 128, 128) float32
        Clipped far above and below the noise.
    mask : (n, 128, 128) bool
        True where a pixel must not be used.
    """
    scaled, good = ModelInputs(cutouts).scaled
    return np.clip(scaled, -_MAX_SIGMA, _MAX_SIGMA), ~good


def image_input(cutouts: Cutouts) -> NDArray[np.float32]:
    """(n, 2, 128, 128) float32: asinh of the scaled difference, and the mask as 0 and 1.

    The inverse hyperbolic sine is linear in the noise and logarithmic above it (Lupton,
    Gunn & Szalay 1999, AJ 118, 1406), so that one stretch shows faint and bright alike.

    Parameters
    ----------
    cutouts
        n of them.

    Returns
    -------
    (n, 2, 128, 128) float32
    """
    return ModelInputs(cutouts).images
