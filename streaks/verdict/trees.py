"""Boosted trees as plain numbers: what a forest of any library comes to, once it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ModelError

__all__ = ["Trees"]

#: Deeper trees are no trees of ours: a damaged file must not be walked for ever.
_MOST_DEPTH = 64
#: Rows that go through the trees together: a thousand trees and as many rows stay in the cache.
_ROWS = 128


@dataclass(frozen=True, eq=False)
class Trees:
    """The sum of many regression trees.

    Nodes of all trees lie in one list; a leaf names itself as both of its children.

    Parameters
    ----------
    roots : (n_trees,) int
        Node at which each tree begins.
    feature, left, right : (n_nodes,) int
        Column that is asked, and the node that follows.
    threshold : (n_nodes,) float
        A value no greater goes left.
    missing_left : (n_nodes,) bool
        NaN goes left.
    value : (n_nodes,) float
        Of leaves.
    baseline
        Added to the sum.
    n_features
        Columns that are expected.

    Raises
    ------
    ModelError
        If the arrays are not those of trees.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    baseline: float
    n_features: int

    def __post_init__(self) -> None:
        n = len(self.value)
        arrays = (self.feature, self.left, self.right, self.threshold, self.missing_left)
        if any(a.shape != (n,) for a in arrays) or self.roots.ndim != 1:
            raise ModelError("the arrays of these trees are of unequal length")
        for what, array, most in (
            ("roots", self.roots, n),
            ("children", self.left, n),
            ("children", self.right, n),
            ("features", self.feature, self.n_features),
        ):
            if array.size and not (int(array.min()) >= 0 and int(array.max()) < most):
                raise ModelError(f"{what} of these trees lie outside 0 to {most - 1}")
        if not (np.isfinite(self.value).all() and np.isfinite(self.baseline)):
            raise ModelError("leaves of these trees are not finite")

    def __call__(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of the trees' answers.

        Parameters
        ----------
        features : (n, n_features)
            NaN where unknown.

        Returns
        -------
        (n,) float64

        Raises
        ------
        ModelError
            If there are not as many columns as the trees were trained on.
        """
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.n_features:
            raise ModelError(f"{x.shape} features; expected (n, {self.n_features})")
        parts = [self._sums(x[k : k + _ROWS]) for k in range(0, len(x), _ROWS)]
        return self.baseline + np.concatenate([np.zeros(0), *parts])

    def _sums(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.arange(len(x))[:, None]
        at = np.repeat(self.roots[None, :], len(x), axis=0)
        for _ in range(_MOST_DEPTH):
            asked = x[rows, self.feature[at]]
            goes_left = np.where(
                np.isnan(asked), self.missing_left[at], asked <= self.threshold[at]
            )
            after = np.where(goes_left, self.left[at], self.right[at])
            if np.array_equal(after, at):
                break
            at = after
        return np.asarray(self.value[at].sum(axis=1))
