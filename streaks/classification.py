"""What every classifier promises, and how probabilities become a label.

No machine-learning framework is imported here: anything with `Classifier`'s face fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.tables import (
    CLASS_COLUMNS,
    CLASSES,
    PROBABILITY_COLUMNS,
    SKIP,
    build_table,
    empty_table,
)

__all__ = [
    "CLASSES",
    "OUTPUTS",
    "Classifier",
    "Ensemble",
    "classify_cutouts",
    "labels_from_probabilities",
    "real_bogus",
]

#: Columns of every probability array: the classes, then "nothing there to name".
OUTPUTS = (*CLASSES, SKIP)

#: Below this the best class is a guess: with eight outputs and balanced training, a probability
#: of 0.4 is right less than half of the time.
_MIN_PROBABILITY = 0.4

#: Light in the sky (asteroid, satellite) against what telescope and software make.
_REAL = np.array([CLASSES.index("asteroid"), CLASSES.index("satellite")])


@runtime_checkable
class Classifier(Protocol):
    """The face of every classifier."""

    name: str

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        """Probabilities, (n, 8) in the order of `OUTPUTS`, rows summing to 1."""
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
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        weights: Sequence[float] | None = None,
        *,
        sharpness: float = 1.0,
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
        self.name = "+".join(member.name for member in self.members)

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        total = sum(self.weights)
        log_p = np.zeros((len(cutouts), len(OUTPUTS)))
        for member, weight in zip(self.members, self.weights, strict=True):
            p = np.clip(member.predict_proba(cutouts), 1e-9, 1.0)
            log_p += self.sharpness * weight / total * np.log(p)
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True, initial=-np.inf))
        return p / p.sum(axis=1, keepdims=True)


def labels_from_probabilities(
    probabilities: NDArray[Any], min_probability: float = _MIN_PROBABILITY
) -> NDArray[np.str_]:
    """Class of highest probability, or `skip` where there is none to name.

    Parameters
    ----------
    probabilities : (n, 8)
        In the order of `OUTPUTS`.
    min_probability
        A best probability below this is `skip`.
    """
    names = np.array(OUTPUTS)
    best = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(0, int)
    sure = probabilities.max(axis=1, initial=0.0) >= min_probability
    return np.where(sure, names[best], SKIP)


def real_bogus(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Probability of a real streak of light (asteroid or satellite), 0 to 1."""
    return np.clip(np.asarray(probabilities, dtype=float)[:, _REAL].sum(axis=1), 0.0, 1.0)


def classify_cutouts(classifier: Classifier, cutouts: Cutouts, *, batch: int = 1024) -> QTable:
    """Label, probabilities and real/bogus score of each cutout.

    Returns
    -------
    QTable
        ``streak_id`` and the class columns, in the order of the cutouts.

    Raises
    ------
    ModelError
        If the classifier's answer is not (n, 8) finite probabilities.
    """
    if len(cutouts) == 0:
        table = empty_table(CLASS_COLUMNS)
        table.add_column(np.zeros(0, dtype="U1"), name="streak_id", index=0)
        return table
    parts = []
    for part in cutouts.batches(batch):
        p = np.asarray(classifier.predict_proba(part), dtype=float)
        if p.shape != (len(part), len(OUTPUTS)) or not np.isfinite(p).all():
            raise ModelError(
                f"{classifier.name} answered {p.shape} (finite: {bool(np.isfinite(p).all())}); "
                f"expected finite probabilities of shape ({len(part)}, {len(OUTPUTS)})"
            )
        parts.append(p)
    p = np.concatenate(parts)
    values: dict[str, Any] = {c: p[:, i] for i, c in enumerate(PROBABILITY_COLUMNS)}
    values["label"] = labels_from_probabilities(p)
    values["rb"] = real_bogus(p)
    table = build_table(CLASS_COLUMNS, values)
    table.add_column(np.array(cutouts.names), name="streak_id", index=0)
    return table
