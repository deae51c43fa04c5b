"""From numbers to one probability: that a streak is a real moving body of the asteroid kind.

Trees weigh what one exposure tells (`streaks.verdict.numbers`) as the ratio of two likelihoods:
how much likelier all of it is for an asteroid than for anything else. What other exposures tell
(`streaks.verdict.exposures`) multiplies that ratio, and Bayes' rule with the share of asteroids
among a run's streaks makes a probability of it. That share is not known beforehand: it is fitted on
the run's own streaks, with what is usual on the sky for a start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.config import VerdictConfig
from streaks.errors import ModelError
from streaks.verdict.numbers import NUMBERS
from streaks.verdict.trees import Trees

__all__ = ["VerdictModel", "expected_false", "fitted_share", "probabilities"]

Floats = NDArray[np.float64]

#: Steps of expectation and maximisation: more change nothing in the fourth digit.
_STEPS = 60
#: Evidence is believed no further: trees have not seen more than some thousand streaks.
_MOST_LOG_RATIO = 12.0


@dataclass(frozen=True, eq=False)
class VerdictModel:
    """What weighs the evidence of one exposure, and what other exposures are worth.

    Parameters
    ----------
    trees
        `NUMBERS` in, an uncalibrated score out.
    scores, log_ratios : (k,) increasing
        Calibration: logarithm of the likelihood ratio at each score, linear between, and constant
        beyond.
    exposures
        Logarithm of the likelihood ratio of what other exposures tell, by its name
        (`streaks.verdict.exposures.STATES`).
    name
        Of the model, and a digest of its numbers.
    about
        Its card: what it was trained on, and figures.

    Raises
    ------
    ModelError
        If the calibration is none.
    """

    trees: Trees
    scores: Floats
    log_ratios: Floats
    exposures: Mapping[str, float]
    name: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trees.n_features != len(NUMBERS):
            raise ModelError(
                f"this verdict weighs {self.trees.n_features} numbers, this version measures "
                f"{len(NUMBERS)}; train it again with `streaks train verdict`"
            )
        both = np.array([self.scores, self.log_ratios], float)
        increasing = both.ndim == 2 and both.shape[1] >= 2 and bool((np.diff(both[0]) > 0).all())
        if not (increasing and np.isfinite(both).all() and (np.diff(both[1]) >= 0).all()):
            raise ModelError("the calibration of this verdict does not increase")
        if not all(map(math.isfinite, self.exposures.values())):
            raise ModelError("what other exposures are worth is not finite")

    def log_ratio(self, numbers: NDArray[Any]) -> Floats:
        """How much likelier an asteroid shows these numbers than anything else does.

        Parameters
        ----------
        numbers : (n, len(NUMBERS))
            Of `streaks.verdict.numbers.numbers_of`.

        Returns
        -------
        (n,) float64
            Natural logarithm of the ratio of likelihoods.
        """
        if not len(numbers):
            return np.zeros(0)
        return np.interp(self.trees(numbers), self.scores, self.log_ratios)


def fitted_share(log_ratio: NDArray[Any], config: VerdictConfig | None = None) -> float:
    """The share of asteroids among a run's streaks under which their probabilities agree with it.

    Parameters
    ----------
    log_ratio : (n,)
        Of each streak; NaN where nothing was weighed.
    config
        What is usual on the sky, and how many streaks that is worth.

    Returns
    -------
    float
        Between 0 and 1.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21, section 2.2, with a prior.
    """
    config = VerdictConfig() if config is None else config
    ratio = np.asarray(log_ratio, float)
    ratio = ratio[np.isfinite(ratio)]
    share = config.asteroid_share
    for _ in range(_STEPS if len(ratio) else 0):
        total = float(probabilities(ratio, share).sum())
        share = (total + config.asteroid_share * config.share_weight) / (
            len(ratio) + config.share_weight
        )
    return share


def probabilities(log_ratio: NDArray[Any], share: float) -> Floats:
    """Bayes' rule.

    Parameters
    ----------
    log_ratio : (n,)
        NaN stays NaN.
    share
        Of asteroids among the streaks.

    Returns
    -------
    (n,) float64
    """
    bounded = np.clip(np.asarray(log_ratio, float), -_MOST_LOG_RATIO, _MOST_LOG_RATIO)
    odds = bounded + math.log(share / (1.0 - share))
    result: Floats = 1.0 / (1.0 + np.exp(-odds))
    return result


def expected_false(p_real: NDArray[Any]) -> Floats:
    """How many false ones are expected among each streak and all that are surer.

    Parameters
    ----------
    p_real : (n,)
        In any order; NaN counts as none.

    Returns
    -------
    (n,) float64
        NaN where `p_real` is.
    """
    p = np.asarray(p_real, float)
    order = np.argsort(-np.nan_to_num(p, nan=-1.0), kind="stable")
    expected = np.full(len(p), np.nan)
    expected[order] = np.cumsum(np.nan_to_num(1.0 - p[order]))
    expected[np.isnan(p)] = np.nan
    return expected
