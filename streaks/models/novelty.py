"""How unlike anything of the training set a cutout is.

The squared Mahalanobis distance of a network's last features to the nearest class, with one
covariance for all classes (Lee et al. 2018, NeurIPS 31, section 2), read on a scale of cutouts
that the network was not trained on. Features are scaled to unit length first: their length says how
bright something is, and bright ordinary things would make the scale too wide for strange ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LEAST_LENGTH",
    "NoveltySpace",
    "fit_novelty",
    "novelty_of",
    "novelty_scale",
    "unit_features",
]

#: Levels at which the scale is kept: dense where something is unlike all else.
_LEVELS = (*np.linspace(0.0, 0.95, 20).round(2).tolist(), 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)

#: Share of the mean variance added to each feature's: features that are nearly always 0 would
#: otherwise make anything that moves them infinitely far.
_SHRINKAGE = 0.01
#: Features shorter than this are of nothing at all.
LEAST_LENGTH = 1e-6


@dataclass(frozen=True, eq=False)
class NoveltySpace:
    """Where the classes lie among the features, once these have equal and unrelated spreads.

    Parameters
    ----------
    whitening : (n_features, n_features)
        Features of unit length times this have the identity as their covariance within a class.
    centres : (n_classes, n_features)
        Means of the classes, whitened.
    """

    whitening: NDArray[np.float32]
    centres: NDArray[np.float32]

    def distances(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Squared distance to the nearest centre, (n,).

        Parameters
        ----------
        features : (n, n_features)
            As the space was fitted on.

        Returns
        -------
        (n,) float64
            In units of the spread within classes, squared.
        """
        white = unit_features(features) @ self.whitening
        offsets = white[:, None, :] - self.centres[None, :, :]
        return np.asarray((offsets**2).sum(axis=2).min(axis=1))


def unit_features(features: NDArray[Any]) -> NDArray[np.float64]:
    """Rows scaled to a length of 1; rows of nothing stay.

    Parameters
    ----------
    features : (n, n_features)
        Of any numbers.

    Returns
    -------
    (n, n_features) float64
    """
    values = np.asarray(features, dtype=float)
    result: NDArray[np.float64] = values / np.maximum(
        np.linalg.norm(values, axis=1, keepdims=True), LEAST_LENGTH
    )
    return result


def fit_novelty(features: NDArray[Any], truth: NDArray[np.integer]) -> NoveltySpace:
    """The space of the features of cutouts of known class.

    Parameters
    ----------
    features : (n, n_features)
        Input of a network's last layer.
    truth : (n,)
        Index of the true output of each.

    Returns
    -------
    NoveltySpace
        With a centre for each class that occurs.
    """
    features = unit_features(features)
    classes = np.unique(truth)
    centres = np.stack([features[truth == k].mean(axis=0) for k in classes])
    residuals = features - centres[np.searchsorted(classes, truth)]
    covariance = residuals.T @ residuals / len(residuals)
    covariance += (
        _SHRINKAGE
        * max(float(np.trace(covariance)) / len(covariance), 1e-9)
        * np.eye(len(covariance))
    )
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(values)
    return NoveltySpace(whitening.astype(np.float32), (centres @ whitening).astype(np.float32))


def novelty_scale(distances: NDArray[np.float64]) -> dict[str, list[float]]:
    """Distances of ordinary cutouts at certain shares, for a model's card.

    Parameters
    ----------
    distances : (n,)
        Of ordinary cutouts that the space was not fitted on.

    Returns
    -------
    dict
        ``levels``, shares of the cutouts, and ``distances``, which that share does not exceed.
    """
    found = np.quantile(distances, _LEVELS)
    return {"levels": list(_LEVELS), "distances": [round(float(d), 4) for d in found]}


def novelty_of(distances: NDArray[Any], scale: dict[str, list[float]]) -> NDArray[np.float64]:
    """Share of ordinary cutouts that lie nearer to a class, 0 to 1.

    Parameters
    ----------
    distances : (n,)
        As `NoveltySpace.distances` gives them.
    scale
        As `novelty_scale` gives it.

    Returns
    -------
    (n,) float64
    """
    return np.asarray(np.interp(distances, scale["distances"], scale["levels"]))
