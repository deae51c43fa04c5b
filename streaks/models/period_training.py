"""Training of what weighs the numbers of a period search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ModelError
from streaks.lightcurves.reliability import RELIABILITY_NUMBERS
from streaks.models.period_store import ReliabilityModel
from streaks.models.verdict_training import trees_of

__all__ = ["ranking_figure", "train_reliability", "unseen_by_contrast"]

Floats = NDArray[np.float64]

_TREES = {
    "max_iter": 80, "learning_rate": 0.06, "max_leaf_nodes": 5, "min_samples_leaf": 12,
    "l2_regularization": 4.0, "max_features": 0.4,
}  # fmt: skip
_BOOSTERS, _FOLDS, _LEAST = 4, 5, 25


def train_reliability(
    numbers: NDArray[Any], right: NDArray[np.bool_], *, seed: int
) -> tuple[ReliabilityModel, Mapping[str, Any], Floats]:
    """Boosted trees, and their calibration on light curves that they have not seen.

    Parameters
    ----------
    numbers : (n, len(RELIABILITY_NUMBERS))
    right : (n,) bool
        Within 1 % of the true period.
    seed
        Of folds and trees.

    Returns
    -------
    model : ReliabilityModel
    figures : mapping
        Area under the curve of the trees, and of the contrast alone, on folds kept back.
    unseen : (n,)
        Probability of each by trees that have not seen it.

    Raises
    ------
    ModelError
        If there are fewer than 25 of either kind.
    """
    right = np.asarray(right, bool)
    if min(right.sum(), (~right).sum()) < _LEAST:
        raise ModelError(
            f"{right.sum()} right and {(~right).sum()} wrong periods; {_LEAST} of each are needed"
        )
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    x = np.asarray(numbers, float)
    unseen = np.zeros(len(right))
    for learnt, kept in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(x, right):
        trees = trees_of(_boosters(x[learnt], right[learnt], seed), len(RELIABILITY_NUMBERS))
        unseen[kept] = trees(x[kept])
    platt = LogisticRegression(C=1e3).fit(unseen[:, None], right)
    ends = np.array([unseen.min(), unseen.max()])
    odds = platt.decision_function(ends[:, None])
    if not odds[1] > odds[0]:
        odds = np.full(2, float(np.log(right.mean() / (1.0 - right.mean()))))
    boosters = _boosters(x, right, seed)
    model = ReliabilityModel(trees_of(boosters, len(RELIABILITY_NUMBERS)), ends, odds)
    by_contrast = unseen_by_contrast(x, right, seed)
    figures = {
        "light_curves": len(right),
        "right": int(right.sum()),
        "auc_forest": ranking_figure(unseen, right),
        "auc_contrast": ranking_figure(by_contrast, right),
    }
    return model, figures, 1.0 / (1.0 + np.exp(-np.interp(unseen, ends, odds)))


def _boosters(x: Floats, right: NDArray[np.bool_], seed: int) -> list[Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="openmp"):
        return [
            HistGradientBoostingClassifier(
                **_TREES, early_stopping=False, random_state=seed + k
            ).fit(x, right)
            for k in range(_BOOSTERS)
        ]


def unseen_by_contrast(numbers: Floats, right: NDArray[np.bool_], seed: int) -> Floats:
    """Probability by the peak's contrast alone, on folds kept back.

    Parameters
    ----------
    numbers : (n, len(RELIABILITY_NUMBERS))
    right : (n,) bool
    seed
        Of the folds.

    Returns
    -------
    (n,)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    column = RELIABILITY_NUMBERS.index("contrast")
    one = np.log1p(np.maximum(np.nan_to_num(np.asarray(numbers, float)[:, [column]]), 0.0))
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(LogisticRegression(), one, right, cv=folds, method="predict_proba")
    return np.asarray(found[:, 1])


def ranking_figure(score: Floats, right: NDArray[np.bool_]) -> float:
    """Area under the curve of true against false.

    Parameters
    ----------
    score : (n,)
    right : (n,) bool

    Returns
    -------
    float
        NaN where all are of one kind.
    """
    from scipy.stats import rankdata

    n_right = int(right.sum())
    n_wrong = len(right) - n_right
    if not (n_right and n_wrong):
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[right].sum() - n_right * (n_right + 1) / 2) / (n_right * n_wrong))
