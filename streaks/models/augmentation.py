"""One labelled cutout as it might also have come: turned, mirrored, stretched to eight bits.

Works on cutouts that are already in units of their noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["augment", "turn"]


def turn(stack: NDArray[Any], k: int, mirrored: bool) -> NDArray[Any]:
    """(n, ny, nx) turned by k quarter turns, then mirrored.

    Parameters
    ----------
    stack : (n, ny, nx)
        Images or masks.
    k
        Quarter turns.
    mirrored
        Whether x is reversed afterwards.

    Returns
    -------
    (n, ny, nx), or (n, nx, ny) for odd k
        A view of the stack where NumPy can give one.
    """
    turned = np.rot90(stack, k, (1, 2))
    return turned[:, :, ::-1] if mirrored else turned


def augment(
    scaled: NDArray[np.float32], mask: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Another version of a batch of cutouts, (n, size, size) each.

    The whole batch is turned the same way (batches are many); stretch and mask are drawn for
    each cutout by itself.

    Parameters
    ----------
    scaled : (n, size, size) float32
        Differences in units of sigma; they stay as they are.
    mask : (n, size, size) bool
        True where a pixel must not be used; it stays as it is.
    rng
        Source of randomness.

    Returns
    -------
    scaled, mask
        Of the same shapes and types.
    """
    k, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    scaled, mask = turn(scaled, k, mirrored).copy(), turn(mask, k, mirrored).copy()
    for i in range(len(scaled)):
        if rng.random() < 0.35:
            scaled[i] = _eight_bits(scaled[i], rng)
        if rng.random() < 0.25 and mask[i].any():
            # Pictures carry no mask: what is masked is a flat patch near the background.
            scaled[i][mask[i]] = rng.uniform(-1.0, 1.5)
            mask[i] = False
    return scaled, mask


def _eight_bits(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Clipped as display stretches clip (real ZTF cutouts: about -2.4 to +10 sigma), 256 levels."""
    low = -rng.uniform(2.0, 6.0)
    high = np.exp(rng.uniform(np.log(5.0), np.log(60.0)))
    step = (high - low) / 255
    result: NDArray[np.float32] = (
        np.round((np.clip(image, low, high) - low) / step) * step + low
    ).astype(np.float32)
    return result
