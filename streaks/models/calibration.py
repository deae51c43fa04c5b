"""Probabilities that mean what they say: one temperature and one shift a class.

Scores ``s`` become ``softmax(s / temperature + bias)``, fitted by maximum likelihood on cutouts
that the model was not trained on (vector scaling with one common scale: Guo et al. 2017, ICML,
PMLR 70, 1321, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "fit_calibration", "softmax"]

#: Strength of the pull of shifts to 0: as much as ten labelled cutouts.
_PRIOR = 10.0


@dataclass(frozen=True)
class Calibration:
    """What is applied to scores before the softmax.

    Parameters
    ----------
    temperature
        Scores are divided by it.
    bias : (n_outputs,)
        Added afterwards.
    """

    temperature: float
    bias: tuple[float, ...]

    def apply(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of scores, (n, n_outputs).

        Parameters
        ----------
        scores : (n, n_outputs)
            Logits, or logarithms of probabilities.

        Returns
        -------
        (n, n_outputs) float64
            Rows sum to 1.
        """
        return softmax(np.asarray(scores, dtype=float) / self.temperature + np.array(self.bias))


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of positive numbers that sum to 1.

    Parameters
    ----------
    scores : (n, n_outputs)
        Logits, or logarithms of probabilities.

    Returns
    -------
    (n, n_outputs) float64
    """
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def fit_calibration(scores: NDArray[Any], truth: NDArray[np.integer]) -> Calibration:
    """The temperature and shifts of highest likelihood.

    Parameters
    ----------
    scores : (n, n_outputs)
        Logits, or logarithms of probabilities.
    truth : (n,)
        Index of the true output of each.

    Returns
    -------
    Calibration
    """
    from scipy.optimize import minimize

    scores = np.asarray(scores, dtype=float)
    n, n_outputs = scores.shape
    hot = np.eye(n_outputs)[truth]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = np.exp(parameters[0]), parameters[1:]
        p = softmax(scores * scale + bias)
        value = -np.log(np.maximum(p[hot > 0], 1e-30)).sum() + 0.5 * _PRIOR * bias @ bias
        slope = p - hot
        gradient = np.concatenate(([(slope * scores).sum() * scale], slope.sum(axis=0)))
        gradient[1:] += _PRIOR * bias
        return value / n, gradient / n

    best = minimize(loss, np.zeros(n_outputs + 1), jac=True, method="L-BFGS-B").x
    return Calibration(float(np.exp(-best[0])), tuple(float(b) for b in best[1:]))
