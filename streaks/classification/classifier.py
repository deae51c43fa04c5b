"""What every classifier promises, and several heard as one.

No machine-learning framework is imported here: anything with `Classifier`'s face fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from streaks.classification.labels import OUTPUTS, LabelRule
from streaks.cutouts import Cutouts
from streaks.errors import ModelError

__all__ = ["Classifier", "Ensemble", "NoveltyClassifier", "predict"]


@runtime_checkable
class Classifier(Protocol):
    """The face of every classifier."""

    name: str

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        """Probabilities, (n, 8) in the order of `OUTPUTS`, rows summing to 1.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        (n, 8) float64
            In the order of `OUTPUTS`; rows sum to 1.
        """
        ...


@runtime_checkable
class NoveltyClassifier(Protocol):
    """A classifier that can also say how unlike its training set a cutout is."""

    name: str

    def predict_with_novelty(
        self, cutouts: Cutouts
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities, and how unlike the training set each cutout is.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        probabilities : (n, 8)
            As `Classifier.predict_proba` gives them.
        novelty : (n,)
            Share of cutouts like those trained on that lie nearer to a class than this one: 0.5 is
            ordinary, above 0.99 of no known kind. NaN where unknown.
        """
        ...


class Ensemble:
    """Weighted geometric mean of several classifiers (a product of experts).

    The geometric mean keeps a confident "no" of one member, which the arithmetic mean drowns.

    Parameters
    ----------
    members
        Classifiers.
    weights
        One a member; equal when not given.
    sharpness
        Power of the mean. Members that err apart are together surer than their mean says; a value
        above 1, fitted on labelled cutouts, puts that right.
    rule
        How its probabilities become labels; see `LabelRule`.
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        weights: Sequence[float] | None = None,
        *,
        sharpness: float = 1.0,
        rule: LabelRule | None = None,
    ):
        if not members:
            raise ModelError("an ensemble needs at least one classifier; it got none")
        self.members = tuple(members)
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(self.members)
        if len(self.weights) != len(self.members) or not min(self.weights) > 0:
            raise ModelError(
                f"an ensemble of {len(self.members)} classifiers needs as many positive weights; "
                f"it got {self.weights}"
            )
        if not 0 < sharpness < np.inf:
            raise ModelError(f"an ensemble's sharpness is {sharpness}; it must be positive")
        self.sharpness = sharpness
        self.rule = rule
        self.name = "+".join(member.name for member in self.members)

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        return self.predict_with_novelty(cutouts)[0]

    def predict_with_novelty(
        self, cutouts: Cutouts
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Novelty is the largest of those members that know it.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        probabilities : (n, 8)
            In the order of `OUTPUTS`; rows sum to 1.
        novelty : (n,)
            0 to 1; NaN where no member knows it.
        """
        total = sum(self.weights)
        log_p, novelty = np.zeros((len(cutouts), len(OUTPUTS))), np.full(len(cutouts), np.nan)
        for member, weight in zip(self.members, self.weights, strict=True):
            p, found = predict(member, cutouts)
            log_p += self.sharpness * weight / total * np.log(np.clip(p, 1e-9, 1.0))
            novelty = np.fmax(novelty, found)
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True, initial=-np.inf))
        return p / p.sum(axis=1, keepdims=True), novelty


def predict(
    classifier: Classifier, cutouts: Cutouts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities, (n, 8), and novelty, (n,): NaN from a classifier that does not know it.

    Parameters
    ----------
    classifier
        With or without novelty.
    cutouts
        n of them.

    Returns
    -------
    probabilities : (n, 8)
        In the order of `OUTPUTS`.
    novelty : (n,)
        0 to 1; NaN where unknown.
    """
    if isinstance(classifier, NoveltyClassifier):
        return classifier.predict_with_novelty(cutouts)
    return classifier.predict_proba(cutouts), np.full(len(cutouts), np.nan)
