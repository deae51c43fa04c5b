"""Where injections lie and what they are, so that few frames tell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

__all__ = ["stratified", "stratified_places"]


def stratified(n: int, dimensions: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A Latin hypercube: in each dimension one value in every n-th of the range.

    Parameters
    ----------
    n
        Sources.
    dimensions
        Brightness, rate, angle and whatever else is varied.
    rng
        Source of randomness.

    Returns
    -------
    (n, dimensions)
        Each in [0, 1).
    """
    return np.asarray(qmc.LatinHypercube(dimensions, seed=rng).random(n), dtype=np.float64)


def stratified_places(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Places in the unit square, at most one in each cell of a grid, the cells in random order.

    Parameters
    ----------
    n
        Places.
    rng
        Source of randomness.

    Returns
    -------
    (n, 2)
        x and y, each in [0, 1).
    """
    side = math.ceil(math.sqrt(n))
    cells = rng.permutation(side * side)[:n]
    at = np.stack([cells % side, cells // side], axis=1)
    return np.asarray((at + rng.random((n, 2))) / side, dtype=np.float64)
