"""The trees that hear several classifiers together, fitted on labelled cutouts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS, Classifier, LabelRule
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.models.ahead import mapped_ahead
from streaks.models.calibration import fit_calibration
from streaks.models.evaluation import evaluate_probabilities
from streaks.models.labels import class_counts, label_indices
from streaks.models.onnx_graph import boosted_to_onnx
from streaks.models.stacking import stack_input
from streaks.models.store import TrainedModel

__all__ = ["train_stack"]

Labelled = tuple[Cutouts, Sequence[str]]

#: Trees an output, their leaves, and how gently they are fitted: chosen on synthetic cutouts kept
#: for that, by likelihood.
_TREES = {
    "max_iter": 200,
    "max_leaf_nodes": 12,
    "learning_rate": 0.06,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "max_features": 0.3,
}
#: Promised by the rule for labels. Below the share of right answers on easy cutouts no promise can
#: be kept closely: the likeliest output is a candidate as soon as it has half of the probability.
_COVERAGE = 0.97
#: Score of outputs of which there was no example.
_NEVER = -30.0
#: Share kept back for probabilities and rule when no cutouts are given for them.
_KEPT_BACK = 0.2


def train_stack(
    members: Sequence[Classifier],
    parts: Iterable[Labelled],
    *,
    seed: int,
    doubtful: Iterable[Labelled] | None = None,
    workers: int = 1,
) -> TrainedModel:
    """Boosted trees that hear members' probabilities and see the features.

    Parameters
    ----------
    members
        Trained classifiers; they stay as they are.
    parts
        Cutouts with labels on which no member was trained, in as many parts as memory likes;
        some thousands at least, or `train_ensemble` is the better choice.
    seed
        Of the trees and of halves.
    doubtful
        Cutouts as the sky has them, among them those that no picture can tell: probabilities and
        the rule are fitted on them, and figures are of one half, fitted on the other. Without
        them a fifth of ``parts`` is kept back for that.
    workers
        Threads that ask the members; the trees are the same for any number.

    Returns
    -------
    TrainedModel
        Of kind ``stack``; its members are named in it, not contained.

    Raises
    ------
    ModelError
        If the exported trees do not answer as the fitted ones do.

    References
    ----------
    Friedman 2001, Annals of Statistics 29, 1189 (boosted trees); Wolpert 1992, Neural Networks
    5, 241 (stacking).
    """
    x, truth = _heard(members, parts, workers)
    if doubtful is None:
        kept = _kept_back(truth, seed)
        x_judged, judged = x[kept], truth[kept]
        x, truth = np.delete(x, kept, axis=0), np.delete(truth, kept)
    else:
        x_judged, judged = _heard(members, doubtful, workers)
    trees = _fit_trees(x, truth, seed)
    scores = _scores(trees, x_judged)
    figures = _figures_of_half(scores, judged, seed)
    calibration = fit_calibration(scores, judged)
    p = calibration.apply(scores)
    data = boosted_to_onnx(
        trees, len(OUTPUTS), n_features=x.shape[1], absent=_NEVER, calibration=calibration
    )
    _check_export(data, x_judged[:1000], p[:1000])
    return TrainedModel(
        kind="stack",
        onnx=data,
        training={
            "n": len(truth),
            "classes": class_counts(_names(truth)),
            "seed": seed,
            "calibrated_on": {"n": len(judged), "classes": class_counts(_names(judged))},
            "trees": dict(_TREES),
            "temperature": calibration.temperature,
        },
        figures=figures,
        pool={"members": [_entry(member) for member in members]},
        rule=LabelRule.fit(p, judged, _COVERAGE),
    )


def _heard(
    members: Sequence[Classifier], parts: Iterable[Labelled], workers: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What the trees are shown of all parts, and the true outputs."""
    labels: list[str] = []

    def batches() -> Iterator[Cutouts]:
        for cutouts, names in parts:
            labels.extend(names)
            yield from cutouts.batches(256)

    rows = list(mapped_ahead(lambda batch: stack_input(members, batch)[0], batches(), workers))
    return np.concatenate(rows), label_indices(labels)


def _kept_back(truth: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Indices of the same share of each output, two of each at least."""
    rng = np.random.default_rng(seed)
    kept = []
    for output in np.unique(truth):
        index = rng.permutation(np.flatnonzero(truth == output))
        kept.append(index[: max(round(_KEPT_BACK * len(index)), 2)])
    return rng.permutation(np.concatenate(kept))


def _names(truth: NDArray[np.int64]) -> list[str]:
    result: list[str] = np.array(OUTPUTS)[truth].tolist()
    return result


def _fit_trees(x: NDArray[np.float32], truth: NDArray[np.int64], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **_TREES)
    return trees.fit(x, truth)


def _scores(trees: Any, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of all outputs, (n, 8), before the softmax; also of those without an example."""
    known = trees.decision_function(x)
    if known.ndim == 1:
        known = np.stack([np.zeros(len(known)), known], axis=1)
    scores = np.full((len(x), len(OUTPUTS)), _NEVER)
    scores[:, trees.classes_] = known
    return scores


def _figures_of_half(
    scores: NDArray[np.float64], truth: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    order = np.random.default_rng(seed).permutation(len(truth))
    fitted, judged = order[: len(order) // 2], order[len(order) // 2 :]
    calibration = fit_calibration(scores[fitted], truth[fitted])
    rule = LabelRule.fit(calibration.apply(scores[fitted]), truth[fitted], _COVERAGE)
    p = calibration.apply(scores[judged])
    figures = evaluate_probabilities(p, _names(truth[judged]), model="stack", rule=rule)
    return {
        "measured_on": f"one half of the set of calibration ({len(judged)} cutouts)",
        **figures.to_dict(),
    }


def _entry(member: Classifier) -> dict[str, str]:
    """A member on the card; one that is no file cannot be opened from there."""
    sha256 = getattr(member, "card", {}).get("sha256")
    return {"name": member.name, **({"sha256": str(sha256)} if sha256 else {})}


def _check_export(data: bytes, x: NDArray[np.float32], expected: NDArray[np.float64]) -> None:
    """The ONNX file must answer as the fitted trees do."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"input": x})[0]
    worst = float(np.abs(found - expected).max(initial=0.0))
    if not worst < 1e-3:
        raise ModelError(
            f"the exported trees differ from the fitted ones by {worst:.2g} in probability; "
            f"expected less than 0.001; report this with your versions of scikit-learn and ONNX"
        )
