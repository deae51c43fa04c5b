"""How much each member of an ensemble counts, fitted on labelled cutouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import Classifier, LabelRule
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.models.calibration import softmax
from streaks.models.evaluation import evaluate_probabilities
from streaks.models.inputs import LEAST_PROBABILITY
from streaks.models.labels import class_counts, label_indices
from streaks.models.store import TrainedModel

__all__ = ["fit_powers", "train_ensemble"]

#: Promised by the rule for labels, and what is added for the step from synthetic cutouts to real
#: ones, on which sets hold the truth two points less often (docs/classification.md).
_COVERAGE, _MARGIN = 0.95, 0.01


def train_ensemble(
    members: Sequence[Classifier], cutouts: Cutouts, labels: Sequence[str], *, seed: int
) -> TrainedModel:
    """The weights with which members' probabilities are best multiplied.

    Parameters
    ----------
    members
        Trained classifiers; they stay as they are.
    cutouts, labels
        On which no member was trained. Figures are of one half, fitted on the other; what is
        kept is fitted on both.
    seed
        Of the halves.

    Returns
    -------
    TrainedModel
        Of kind ``ensemble``; its members are named in it, not contained.

    Raises
    ------
    ModelError
        If a member gains no weight: it is of no use beside the others.

    References
    ----------
    Genest & Zidek 1986, Statistical Science 1, 114 (logarithmic opinion pools).
    """
    truth = label_indices(labels)
    log_p = np.stack(
        [
            np.log(np.clip(member.predict_proba(cutouts), LEAST_PROBABILITY, 1.0))
            for member in members
        ]
    )
    order = np.random.default_rng(seed).permutation(len(truth))
    fitted, judged = order[: len(order) // 2], order[len(order) // 2 :]
    powers = fit_powers(log_p[:, fitted], truth[fitted])
    names = [member.name for member in members]
    if not powers.min() > 0:
        raise ModelError(f"of {', '.join(names)} those without use got no weight: {powers}")
    rule = _rule(softmax(np.tensordot(powers, log_p[:, fitted], 1)), truth[fitted])
    p = softmax(np.tensordot(powers, log_p[:, judged], 1))
    names_judged = np.asarray(labels)[judged].tolist()
    figures = evaluate_probabilities(p, names_judged, model="ensemble", rule=rule)
    powers = fit_powers(log_p, truth)
    rule = _rule(softmax(np.tensordot(powers, log_p, 1)), truth)
    total = float(powers.sum())
    return TrainedModel(
        kind="ensemble",
        onnx=b"",
        training={"n": len(truth), "classes": class_counts(labels), "seed": seed},
        figures={
            "measured_on": f"one half of the set ({len(judged)} cutouts), fitted on the other",
            **figures.to_dict(),
        },
        pool={
            "members": [
                {"name": name, "weight": round(float(power) / total, 4)}
                for name, power in zip(names, powers, strict=True)
            ],
            "sharpness": round(total, 4),
        },
        rule=rule,
    )


def _rule(p: NDArray[np.float64], truth: NDArray[np.integer]) -> LabelRule:
    return replace(LabelRule.fit(p, truth, _COVERAGE + _MARGIN), coverage=_COVERAGE)


def fit_powers(log_p: NDArray[Any], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """Powers, none negative, whose product of probabilities is likeliest.

    Parameters
    ----------
    log_p : (n_members, n, n_outputs)
        Logarithms of the members' probabilities.
    truth : (n,)
        Index of the true output of each.

    Returns
    -------
    (n_members,) float64
        0 for a member that adds nothing.
    """
    from scipy.optimize import minimize

    index = np.arange(len(truth))

    def loss(powers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = softmax(np.tensordot(powers, log_p, 1))
        value = -np.log(np.maximum(p[index, truth], 1e-30)).mean()
        p[index, truth] -= 1.0
        return value, (log_p * p).sum(axis=(1, 2)) / len(truth)

    start = np.full(len(log_p), 1.0 / len(log_p))
    bounds = [(0.0, None)] * len(log_p)
    return np.asarray(minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x)
