"""How probabilities become a label, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ConfigError
from streaks.tables import CLASSES, SKIP

__all__ = [
    "OUTPUTS",
    "REAL_OUTPUTS",
    "TRAILS",
    "LabelRule",
    "labels_from_probabilities",
    "real_bogus",
]

#: Columns of every probability array: the classes, then "nothing there to name".
OUTPUTS = (*CLASSES, SKIP)
#: For classifiers without a rule of their own. Below this the best class is a guess: with eight
#: outputs and balanced training, a probability of 0.4 is right less than half of the time.
_MIN_PROBABILITY = 0.4
#: With three candidates or more the name would be a guess; two are often twins (naked star and
#: yin-yang) of which the likelier is worth saying.
_MOST_CANDIDATES = 2
_SURE = 0.5
#: Light in the sky (asteroid, satellite) against what telescope and software make.
TRAILS = ("asteroid", "satellite")
REAL_OUTPUTS = np.array([CLASSES.index(name) for name in TRAILS])


@dataclass(frozen=True)
class LabelRule:
    """When a class is a candidate, and when there are too many to name one.

    Conformal sets by class: on cutouts like those that the rule was fitted on, what is truly of a
    class has it among the candidates in a share ``coverage`` of all cases, whatever the quality
    of the probabilities.

    Parameters
    ----------
    coverage
        The promised share, for each output.
    thresholds : (8,)
        Least probability that makes an output a candidate, in the order of `OUTPUTS`.

    References
    ----------
    Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World, section 4.5 (Mondrian
    conformal predictors); Sadinle, Lei & Wasserman 2019, JASA 114, 223 (least ambiguous sets).
    """

    coverage: float
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0.5 <= self.coverage < 1.0:
            raise ConfigError(f"coverage is {self.coverage}; it must lie between 0.5 and 1")
        if len(self.thresholds) != len(OUTPUTS) or not all(0 <= t <= 1 for t in self.thresholds):
            raise ConfigError(
                f"thresholds are {self.thresholds}; expected {len(OUTPUTS)} between 0 and 1"
            )

    @classmethod
    def fit(
        cls, probabilities: NDArray[Any], truth: NDArray[np.integer], coverage: float = 0.95
    ) -> LabelRule:
        """The highest thresholds that keep the promise.

        Parameters
        ----------
        probabilities : (n, 8)
            Of cutouts that the classifier was not trained on.
        truth : (n,)
            Index of the true output of each. Of an output with fewer than 19 examples (at 95 %)
            the lowest probability seen is the threshold, which promises n / (n + 1); one
            without any example is never a candidate.
        coverage
            Share of cutouts whose true output is to be among the candidates, 0 to 1.

        Returns
        -------
        LabelRule

        Raises
        ------
        ConfigError
            If `coverage` lies outside [0.5, 1).
        """
        thresholds = []
        for output in range(len(OUTPUTS)):
            own = np.sort(probabilities[truth == output, output])
            missed = max(int((len(own) + 1) * (1.0 - coverage) + 1e-9), 1)
            lowest = float(own[missed - 1]) if len(own) else 1.0
            # What has more than half of the probability is a candidate in any case.
            thresholds.append(min(max(lowest, 0.0), _SURE if len(own) else 1.0))
        return cls(coverage, tuple(thresholds))

    def candidates(self, probabilities: NDArray[Any]) -> NDArray[np.bool_]:
        """Which outputs are candidates, (n, 8).

        Parameters
        ----------
        probabilities : (n, 8)
            In the order of `OUTPUTS`.

        Returns
        -------
        (n, 8) bool
            True where an output cannot be ruled out; a row may have none.
        """
        return np.asarray(probabilities >= np.array(self.thresholds))

    def labels(self, probabilities: NDArray[Any]) -> NDArray[np.str_]:
        """Class of highest probability; `skip` with no candidate, or more than two.

        Parameters
        ----------
        probabilities : (n, 8)
            In the order of `OUTPUTS`.

        Returns
        -------
        (n,) str
        """
        count = self.candidates(probabilities).sum(axis=1)
        named = labels_from_probabilities(probabilities, 0.0)
        return np.where((count > 0) & (count <= _MOST_CANDIDATES), named, SKIP)


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

    Returns
    -------
    (n,) str
    """
    names = np.array(OUTPUTS)
    best = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(0, int)
    sure = probabilities.max(axis=1, initial=0.0) >= min_probability
    return np.where(sure, names[best], SKIP)


def real_bogus(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Probability of a real streak of light (asteroid or satellite), 0 to 1.

    Parameters
    ----------
    probabilities : (n, 8)
        In the order of `OUTPUTS`.

    Returns
    -------
    (n,) float64
    """
    result: NDArray[np.float64] = np.clip(
        np.asarray(probabilities, dtype=float)[:, REAL_OUTPUTS].sum(axis=1), 0.0, 1.0
    )
    return result
