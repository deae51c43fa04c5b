"""The verdict's trees, fitted on what the finder returned from whole frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ModelError
from streaks.verdict import VerdictModel
from streaks.verdict.exposures import STATES
from streaks.verdict.numbers import NUMBERS
from streaks.verdict.trees import Trees

__all__ = ["VerdictExamples", "stack_examples", "train_verdict", "trees_of"]

Floats = NDArray[np.float64]

#: Of each of a few boosters whose answers are averaged: chosen by cross-validated likelihood on
#: training fields alone.
_TREES = {
    "max_iter": 250,
    "learning_rate": 0.06,
    "max_leaf_nodes": 10,
    "min_samples_leaf": 60,
    "l2_regularization": 4.0,
    "max_features": 0.3,
}
_FOLDS = 5
#: Fewer examples of either kind fit no probabilities.
_LEAST = 50
#: Places of the calibration, evenly spread over what was seen.
_KNOTS = 12
#: What frames lack: the images that made the difference; with them the mask's planes; with these
#: the rates.
_IMAGES = ("ev_science", "ev_reference")
_PLANES = tuple(
    f"ev_{what}_{plane}"
    for what in ("on", "near")
    for plane in ("source", "ghost", "halo", "saturated", "spike", "track")
)
_LACKING = (_IMAGES, (*_IMAGES, *_PLANES), (*_IMAGES, *_PLANES, "rate"))
#: What other exposures are worth before any example: logarithms of ratios. Simulated nights show no
#: flaw of a chip and no second quadrant, and what is known of these speaks against a moving body.
_BEFORE = {"piece": -3.0, "stands_still": -3.0, "same_pixels": -3.0}
#: That is worth as much as so many examples.
_SMOOTHING = 4.0


@dataclass(frozen=True, eq=False)
class VerdictExamples:
    """Streaks of whole frames with what they truly are, each (n, ...).

    Parameters
    ----------
    numbers : (n, len(NUMBERS))
        Of `streaks.verdict.numbers.numbers_of`.
    is_asteroid : (n,) bool
    state : (n,) str
        What other exposures tell (`streaks.verdict.exposures.STATES`).
    field : (n,) str
        Of the sky: all streaks of one field are on one side of a fold.
    """

    numbers: NDArray[np.float32]
    is_asteroid: NDArray[np.bool_]
    state: NDArray[np.str_]
    field: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.is_asteroid)


def stack_examples(parts: Sequence[VerdictExamples]) -> VerdictExamples:
    """The examples of several nights as one.

    Parameters
    ----------
    parts
        One or more.

    Returns
    -------
    VerdictExamples
    """
    return VerdictExamples(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.is_asteroid for part in parts]),
        np.concatenate([part.state for part in parts]),
        np.concatenate([part.field for part in parts]),
    )


def train_verdict(
    examples: VerdictExamples, *, seed: int, n_boosters: int = 4
) -> tuple[VerdictModel, Mapping[str, Any]]:
    """Boosted trees on the evidence, and their calibration on fields they have not seen.

    Parameters
    ----------
    examples
        Of as many fields as there are.
    seed
        Of the trees.
    n_boosters
        Whose answers are averaged.

    Returns
    -------
    model : VerdictModel
    figures : dict
        Numbers of examples, and what was measured on fields kept back.

    Raises
    ------
    ModelError
        If there are too few examples of either kind, or of one field only.

    References
    ----------
    Friedman 2001, Annals of Statistics 29, 1189.
    """
    truth = np.asarray(examples.is_asteroid, bool)
    n_true, n_false = int(truth.sum()), int((~truth).sum())
    n_fields = len(set(examples.field.tolist()))
    if min(n_true, n_false) < _LEAST or n_fields < _FOLDS:
        raise ModelError(
            f"{n_true} asteroids and {n_false} others of {n_fields} fields; a verdict needs "
            f"{_LEAST} of each and {_FOLDS} fields: give more nights"
        )
    x = np.asarray(examples.numbers, np.float32)
    unseen = _unseen_scores(x, truth, examples.field, seed, n_boosters)
    scores, log_ratios = _calibration(unseen, truth)
    exposures = _worth_of_exposures(examples.state, truth)
    boosters = [_booster(*_with_less(x, truth), seed + k) for k in range(n_boosters)]
    model = VerdictModel(trees_of(boosters, len(NUMBERS)), scores, log_ratios, exposures)
    figures = {
        "asteroids": n_true,
        "others": n_false,
        "fields": n_fields,
        "unseen_fields": _figures(unseen, truth),
    }
    return model, figures


def _with_less(
    x: NDArray[np.float32], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The examples, and copies that lack what many frames lack.

    A difference image alone has no science image, no reference and no planes of a mask; one
    without coordinates or exposure has no rates. Trees that never saw that would send what is
    missing anywhere.
    """
    copies = [x]
    for patterns in _LACKING:
        copy = x.copy()
        lacking = [i for i, name in enumerate(NUMBERS) if name.startswith(patterns)]
        copy[:, lacking] = np.nan
        copies.append(copy)
    return np.concatenate(copies), np.tile(truth, len(copies))


def _booster(x: NDArray[np.float32], truth: NDArray[np.bool_], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    booster = HistGradientBoostingClassifier(**_TREES, early_stopping=False, random_state=seed)
    # Threads of OpenMP wait for each other by spinning: where other processes are at work, two are
    # many times slower than one.
    with threadpool_limits(1, user_api="openmp"):
        return booster.fit(x, truth)


def _unseen_scores(
    x: NDArray[np.float32],
    truth: NDArray[np.bool_],
    field: NDArray[np.str_],
    seed: int,
    n_boosters: int,
) -> Floats:
    """Each example's score by trees that have not seen its field."""
    from sklearn.model_selection import GroupKFold

    scores = np.full(len(truth), np.nan)
    folds = GroupKFold(_FOLDS, shuffle=True, random_state=seed % (1 << 32))
    for learnt, kept in folds.split(x, truth, field):
        answers = [
            _booster(*_with_less(x[learnt], truth[learnt]), seed + k).decision_function(x[kept])
            for k in range(n_boosters)
        ]
        scores[kept] = np.mean(answers, axis=0)
    return scores


def _calibration(scores: Floats, truth: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Logarithm of the likelihood ratio at some scores: logistic regression on a bent line.

    Platt's line in the logarithm of the odds, allowed to bend once in the middle; both slopes are
    positive, or one line is taken.
    """
    from sklearn.linear_model import LogisticRegression

    middle = float(np.median(scores[truth]))
    columns = np.column_stack([scores, np.minimum(scores - middle, 0.0)])
    fitted = LogisticRegression(C=100.0).fit(columns, truth)
    slope, bend = (float(v) for v in fitted.coef_[0])
    if slope <= 0 or slope + bend <= 0:
        fitted = LogisticRegression(C=100.0).fit(columns[:, :1], truth)
        slope, bend = float(fitted.coef_[0, 0]), 0.0
        if slope <= 0:
            raise ModelError("the scores of these examples say nothing of what they are")
    knots = np.unique(np.append(np.linspace(scores.min(), scores.max(), _KNOTS), middle))
    odds = float(fitted.intercept_[0]) + slope * knots + bend * np.minimum(knots - middle, 0.0)
    share = truth.mean()
    return knots, odds - float(np.log(share / (1.0 - share)))


def _worth_of_exposures(state: NDArray[np.str_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Logarithm of the ratio of the shares of asteroids and of others in each state."""
    worth = {}
    for name in STATES:
        usual = 1.0 / len(STATES)
        before = (usual * float(np.exp(_BEFORE.get(name, 0.0))), usual)
        shares = [
            (np.count_nonzero(state[kind] == name) + _SMOOTHING * share)
            / (np.count_nonzero(kind) + _SMOOTHING)
            for kind, share in zip((truth, ~truth), before, strict=True)
        ]
        worth[name] = float(np.log(shares[0] / shares[1]))
    return worth


def trees_of(boosters: Sequence[Any], n_features: int) -> Trees:
    """The mean of scikit-learn's boosters as one sum of trees.

    Parameters
    ----------
    boosters
        Fitted ``HistGradientBoostingClassifier`` of two classes.
    n_features
        That they were fitted on.

    Returns
    -------
    Trees
    """
    parts: dict[str, list[NDArray[Any]]] = {}
    roots, first = [], 0
    for booster in boosters:
        for (tree,) in booster._predictors:
            nodes = tree.nodes
            own = first + np.arange(len(nodes))
            leaf = nodes["is_leaf"].astype(bool)
            values = {
                "feature": np.where(leaf, 0, nodes["feature_idx"]),
                "left": np.where(leaf, own, first + nodes["left"]),
                "right": np.where(leaf, own, first + nodes["right"]),
                "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
                "missing_left": nodes["missing_go_to_left"].astype(bool),
                "value": np.where(leaf, nodes["value"], 0.0) / len(boosters),
            }
            for name, array in values.items():
                parts.setdefault(name, []).append(array)
            roots.append(first)
            first += len(nodes)
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Trees(
        roots=np.array(roots, np.int32),
        feature=whole["feature"].astype(np.int32),
        left=whole["left"].astype(np.int32),
        right=whole["right"].astype(np.int32),
        threshold=whole["threshold"].astype(np.float64),
        missing_left=whole["missing_left"],
        value=whole["value"].astype(np.float64),
        baseline=float(np.mean([float(b._baseline_prediction.ravel()[0]) for b in boosters])),
        n_features=n_features,
    )


def _figures(scores: Floats, truth: NDArray[np.bool_]) -> dict[str, Any]:
    """Others above the score that keeps a share of the asteroids that were found."""
    ranked = np.sort(scores[truth])[::-1]
    told = {}
    for share in (0.8, 0.9, 0.95, 0.98):
        cut = ranked[max(int(np.ceil(share * len(ranked))) - 1, 0)]
        told[f"others_at_{share:g}_kept"] = int(np.count_nonzero(scores[~truth] >= cut))
    return told
