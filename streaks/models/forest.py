"""The random forest: features in, calibrated probabilities out, kept as ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS, LabelRule
from streaks.cutouts import Cutouts
from streaks.models.calibration import Calibration, fit_calibration
from streaks.models.evaluation import evaluate_probabilities
from streaks.models.inputs import feature_input
from streaks.models.labels import class_counts, label_indices
from streaks.models.onnx_graph import forest_to_onnx
from streaks.models.store import TrainedModel

__all__ = ["train_forest"]

#: Added to the forest's shares before their logarithm: no tree's vote is not "impossible".
_FLOOR = 1e-3


def train_forest(
    cutouts: Cutouts,
    labels: Sequence[str],
    *,
    seed: int,
    n_trees: int = 120,
    max_leaves: int = 400,
    workers: int = 1,
    weight: NDArray[Any] | None = None,
) -> TrainedModel:
    """A random forest on the features of labelled cutouts.

    Parameters
    ----------
    cutouts, labels
        Labels are names among `OUTPUTS`.
    seed
        Of the forest.
    n_trees, max_leaves
        Their product bounds the size of the file: 120 trees of 400 leaves are about 5 MB.
    workers
        Threads that grow trees; the forest is the same for any number.
    weight : (n,), optional
        Of each cutout; equal when not given.

    Returns
    -------
    TrainedModel
        Its figures are out-of-bag: every cutout is judged by the trees that never saw it. The
        calibration is fitted on the same votes, so its own error is measured by halves.

    References
    ----------
    Breiman 2001, Machine Learning 45, 5.
    """
    return train_forest_on_features(
        feature_input(cutouts),
        labels,
        seed=seed,
        n_trees=n_trees,
        max_leaves=max_leaves,
        workers=workers,
        weight=weight,
    )


def train_forest_on_features(
    features: NDArray[np.float32],
    labels: Sequence[str],
    *,
    seed: int,
    n_trees: int,
    max_leaves: int,
    workers: int,
    weight: NDArray[Any] | None = None,
) -> TrainedModel:
    """`train_forest` on features that were measured before."""
    from sklearn.ensemble import RandomForestClassifier

    truth = label_indices(labels)
    forest = RandomForestClassifier(
        n_trees,
        max_leaf_nodes=max_leaves,
        min_samples_leaf=2,
        class_weight="balanced_subsample",
        oob_score=True,
        random_state=seed,
        n_jobs=workers,
    )
    with warnings.catch_warnings():
        # A cutout that every tree saw has no votes; such are left out below.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        forest.fit(features, truth, sample_weight=weight)
    judged = np.isfinite(forest.oob_decision_function_).all(axis=1)
    votes = _all_outputs(forest.oob_decision_function_[judged], forest.classes_)
    scores = np.log(votes + _FLOOR)
    calibration = fit_calibration(scores, truth[judged])
    p = _cross_calibrated(scores, truth[judged])
    rule = LabelRule.fit(p, truth[judged])
    names = np.array(OUTPUTS)[truth[judged]].tolist()
    figures = evaluate_probabilities(p, names, model="forest", rule=rule)
    return TrainedModel(
        kind="forest",
        onnx=forest_to_onnx(forest, len(OUTPUTS), floor=_FLOOR, calibration=calibration),
        training={
            "n": len(truth),
            "classes": class_counts(labels),
            "seed": seed,
            "n_trees": n_trees,
            "max_leaves": max_leaves,
            "temperature": calibration.temperature,
        },
        figures={"measured_on": "out-of-bag votes of the training set", **figures.to_dict()},
        rule=rule,
    )


def _all_outputs(votes: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.float64]:
    """Votes for all outputs, also for those of which no example was given."""
    full = np.zeros((len(votes), len(OUTPUTS)))
    full[:, classes] = votes
    return full


def _cross_calibrated(
    scores: NDArray[np.float64], truth: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Each half's probabilities by the other half's calibration."""
    p = np.zeros_like(scores)
    for half in (0, 1):
        own = np.arange(len(truth)) % 2 == half
        calibration: Calibration = fit_calibration(scores[~own], truth[~own])
        p[own] = calibration.apply(scores[own])
    return p
