"""How good a classifier is: numbers from probabilities and the truth.

Pure functions of arrays; `streaks.models.evaluation_page` draws them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import (
    OUTPUTS,
    Classifier,
    LabelRule,
    labels_from_probabilities,
)
from streaks.cutouts import Cutouts
from streaks.errors import InputError
from streaks.models.evaluation_detail import (
    EDGES,
    bootstrap_interval,
    breakdown,
    kept_by_object,
    recall_by_measure,
    set_figures,
    threshold_at_fpr,
)
from streaks.tables import SKIP

__all__ = [
    "Evaluation",
    "area_under_curve",
    "calibration_error",
    "confusion_matrix",
    "evaluate_classifier",
    "evaluate_probabilities",
    "f1_scores",
    "reliability",
    "roc_curve",
    "tpr_at_fpr",
]

_ASTEROID = OUTPUTS.index("asteroid")
#: False-positive rates at which the asteroids kept are quoted.
FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured; every number comes from the probabilities and the truth.

    Parameters
    ----------
    model
        Name of the classifier.
    n, n_labelled
        Cutouts in all, and those with a label.
    accuracy
        Share of labelled cutouts that got their own label; NaN without any.
    macro_f1
        Mean F1 over ``scored_classes``, those with at least ``min_count`` examples.
    scored_classes
        Names of the outputs in `macro_f1`.
    min_count
        Least number of examples that makes a class one of them.
    f1
        F1 of each class; NaN for one that is neither there nor said.
    n_positive, n_negative
        Asteroids, and what is taken for none, behind the ROC figures.
    asteroid_tpr
        By false-positive rate: share of asteroids scored above all but that share of negatives.
    auc
        Area under the ROC curve of the asteroid probability.
    class_auc
        The same for each class among the labelled cutouts; NaN where one side is empty.
    calibration_error
        Expected calibration error of the highest probability, labelled cutouts only.
    reliability
        ``(mean probability, share right, count)`` of each bin behind it.
    roc
        The ROC curve of asteroids, ``(false-positive rate, true-positive rate)``.
    confusion : (8, 8)
        Rows are the truth, columns what the classifier said, in the order of `OUTPUTS`;
        cutouts without a label are not in it.
    named
        Share of labelled cutouts with a class that were given one, right or wrong.
    sets
        Of the classifier's own rule (`set_figures`, with names of outputs); empty without one.
    intervals
        95 % intervals by objects drawn again; empty when no objects were given.
    object_tpr
        By false-positive rate: mean over objects of the share of their cutouts kept.
    objects
        Cutouts of each object kept at 1 %, and how many there are.
    nights
        Rows of `breakdown`.
    recall
        By measure (S/N, length): rows of `recall_by_measure` at 1 %.
    """

    model: str
    n: int
    n_labelled: int
    accuracy: float
    macro_f1: float
    scored_classes: tuple[str, ...]
    min_count: int
    f1: dict[str, float]
    n_positive: int
    n_negative: int
    asteroid_tpr: dict[str, float]
    auc: float
    class_auc: dict[str, float]
    calibration_error: float
    reliability: tuple[tuple[float, float, int], ...]
    roc: tuple[tuple[float, float], ...]
    confusion: NDArray[np.int64]
    named: float = float("nan")
    sets: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    object_tpr: dict[str, float] = field(default_factory=dict)
    objects: dict[str, tuple[int, int]] = field(default_factory=dict)
    nights: list[dict[str, Any]] = field(default_factory=list)
    recall: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: unknown numbers are None, and the ROC curve is left out.

        Returns
        -------
        dict
            By field name, with ``outputs`` added: the names behind the rows of ``confusion``.
        """
        values = asdict(self)
        values["confusion"] = self.confusion.tolist()
        values["outputs"] = list(OUTPUTS)
        del values["roc"]
        return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6) if np.isfinite(value) else None
    return value


def confusion_matrix(truth: Sequence[str], said: Sequence[str]) -> NDArray[np.int64]:
    """(8, 8) counts: rows the truth, columns what was said, in the order of `OUTPUTS`.

    Parameters
    ----------
    truth, said : (n,)
        Names among `OUTPUTS`.

    Returns
    -------
    (8, 8) int64
    """
    index = {name: i for i, name in enumerate(OUTPUTS)}
    matrix = np.zeros((len(OUTPUTS), len(OUTPUTS)), np.int64)
    for true, answer in zip(truth, said, strict=True):
        matrix[index[str(true)], index[str(answer)]] += 1
    return matrix


def f1_scores(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each class; NaN for one that is neither there nor said.

    Parameters
    ----------
    confusion : (n, n)
        Counts: rows the truth, columns what was said.

    Returns
    -------
    (n,) float64
        0 to 1.
    """
    right = np.diag(confusion).astype(float)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    result: NDArray[np.float64] = np.divide(
        2 * right, total, out=np.full(len(right), np.nan), where=total > 0
    )
    return result


def roc_curve(
    positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False- and true-positive rate at every distinct score, from (0, 0) to (1, 1).

    Parameters
    ----------
    positive : (n_positive,)
        Scores of what should score high.
    negative : (n_negative,)
        Scores of what should score low.

    Returns
    -------
    fpr, tpr : (m,) float64
        Share of negatives and of positives with at least that score; 0 throughout for an empty
        side.
    """
    scores = np.concatenate([positive, negative])
    is_positive = np.arange(len(scores)) < len(positive)
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0, True) if len(scores) else np.zeros(0)
    kept = np.flatnonzero(last_of_score)
    tpr = np.cumsum(is_positive[order])[kept] / max(len(positive), 1)
    fpr = np.cumsum(~is_positive[order])[kept] / max(len(negative), 1)
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])


def tpr_at_fpr(positive: NDArray[np.float64], negative: NDArray[np.float64], fpr: float) -> float:
    """Share of positives scored above all but at most a share ``fpr`` of the negatives.

    NaN where either is empty. Equal scores count as not above.

    Parameters
    ----------
    positive : (n_positive,)
        Scores of what should score high.
    negative : (n_negative,)
        Scores of what should score low.
    fpr
        False-positive rate, 0 to 1.

    Returns
    -------
    float
        True-positive rate, 0 to 1.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    return float(np.mean(positive > threshold_at_fpr(negative, fpr)))


def area_under_curve(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Probability that a positive scores above a negative (ties half); NaN where one is empty.

    Parameters
    ----------
    positive : (n_positive,)
        Scores of what should score high.
    negative : (n_negative,)
        Scores of what should score low.

    Returns
    -------
    float
        0 to 1; 0.5 where scores tell nothing.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    fpr, tpr = roc_curve(positive, negative)
    return float(np.trapezoid(tpr, fpr))


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], n_bins: int = 15
) -> tuple[tuple[float, float, int], ...]:
    """``(mean probability, share right, count)`` in bins of equal width; empty bins left out.

    Parameters
    ----------
    confidence : (n,)
        Highest probability of each cutout, 0 to 1.
    right : (n,) bool
        Whether its output was the true one.
    n_bins
        Number of bins from 0 to 1.

    Returns
    -------
    tuple of (float, float, int)
        One for each bin that holds something, in order of probability.
    """
    index = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    bins = (index == k for k in range(n_bins))
    return tuple(
        (float(confidence[b].mean()), float(right[b].mean()), int(b.sum())) for b in bins if b.any()
    )


def calibration_error(bins: Sequence[tuple[float, float, int]]) -> float:
    """Expected calibration error; NaN without any cutout.

    Parameters
    ----------
    bins
        ``(mean probability, share right, count)`` of each, as `reliability` gives them.

    Returns
    -------
    float
        Mean distance of probability and share, weighted by count, 0 to 1.

    References
    ----------
    Guo et al. 2017, ICML, PMLR 70, 1321, equation 3.
    """
    total = sum(count for _, _, count in bins)
    if total == 0:
        return float("nan")
    return sum(abs(p - share) * count for p, share, count in bins) / total


def evaluate_probabilities(
    probabilities: NDArray[np.float64],
    truth: Sequence[str],
    *,
    model: str,
    positive: NDArray[np.bool_] | None = None,
    negative: NDArray[np.bool_] | None = None,
    min_count: int = 1,
    rule: LabelRule | None = None,
    objects: Sequence[str] | None = None,
    nights: Sequence[str] | None = None,
    measures: Mapping[str, NDArray[np.float64]] | None = None,
) -> Evaluation:
    """All figures of one classifier on one set.

    Parameters
    ----------
    probabilities : (n, 8)
        In the order of `OUTPUTS`.
    truth : (n,)
        Names among `OUTPUTS`; empty where unlabelled.
    model
        Name of the classifier.
    positive, negative : (n,), optional
        Which cutouts are asteroids and which are taken for none in the ROC figures; by the
        labels when not given.
    min_count
        Classes with fewer examples do not enter the macro-F1.
    rule
        The classifier's own, by which its labels are given.
    objects : (n,), optional
        What each cutout shows: the asteroid's name; any other text, such as the image's name,
        for what is none. Intervals draw objects, not cutouts.
    nights : (n,), optional
        For a breakdown.
    measures
        ``snr`` and ``length`` of each cutout's streak; NaN where it has none.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If a label is not among `OUTPUTS`, or nothing is labelled.
    """
    labels = np.asarray(truth, dtype=str)
    unknown = sorted(set(labels.tolist()) - {*OUTPUTS, ""})
    if unknown:
        raise InputError(
            f"labels {', '.join(unknown)} are unknown; expected {', '.join(OUTPUTS)}, or empty"
        )
    labelled = labels != ""
    if positive is None:
        positive = labels == "asteroid"
    if negative is None:
        negative = labelled & ~positive
    if not labelled.any() and not (positive.any() and negative.any()):
        raise InputError("no cutout has a label and there are no known asteroids: nothing to judge")
    said = labels_from_probabilities(probabilities) if rule is None else rule.labels(probabilities)
    judged = _Judged(probabilities, labels, said, np.asarray(positive), np.asarray(negative))
    details = _details(judged, min_count, rule, objects, nights, measures)
    return replace(_figures(judged, model, min_count), **details)


@dataclass(frozen=True, eq=False)
class _Judged:
    p: NDArray[np.float64]
    labels: NDArray[np.str_]
    said: NDArray[np.str_]
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]

    @property
    def score(self) -> NDArray[np.float64]:
        return self.p[:, _ASTEROID]


def _details(
    judged: _Judged,
    min_count: int,
    rule: LabelRule | None,
    objects: Sequence[str] | None,
    nights: Sequence[str] | None,
    measures: Mapping[str, NDArray[np.float64]] | None,
) -> dict[str, Any]:
    """The fields of an evaluation that need more than labels."""
    j, details = judged, dict[str, Any]()
    kept = j.score > threshold_at_fpr(j.score[j.negative], 0.01)
    labelled = j.labels != ""
    if rule is not None:
        truth = np.array([OUTPUTS.index(label) for label in j.labels[labelled]], dtype=int)
        sets = set_figures(rule, j.p[labelled], truth)
        sets["by_output"] = {OUTPUTS[k]: share for k, share in sets["by_output"].items()}
        details["sets"] = sets
    if objects is not None:
        names = np.asarray(objects, dtype=str)
        details |= _by_objects(j, names, min_count)
        details["objects"] = kept_by_object(kept[j.positive], names[j.positive].tolist())
    if nights is not None:
        details["nights"] = breakdown(
            nights,
            score=j.score,
            positive=j.positive,
            negative=j.negative,
            labels=j.labels,
            said=j.said,
        )
    if measures is not None:
        details["recall"] = {
            name: recall_by_measure(
                np.asarray(values)[j.positive],
                EDGES[name],
                kept=kept[j.positive],
                named=(j.said == "asteroid")[j.positive],
            )
            for name, values in measures.items()
        }
    return details


def _by_objects(judged: _Judged, objects: NDArray[np.str_], min_count: int) -> dict[str, Any]:
    """Intervals of the main figures, and shares kept averaged over objects."""
    j = judged
    confusion = _confusion(j, np.arange(len(j.p)))
    scored = confusion.sum(axis=1) >= max(min_count, 1)

    def tpr(rate: float) -> Any:
        return lambda rows: tpr_at_fpr(
            j.score[rows][j.positive[rows]], j.score[rows][j.negative[rows]], rate
        )

    def macro_f1(rows: NDArray[np.int64]) -> float:
        return float(np.nanmean(f1_scores(_confusion(j, rows))[scored])) if scored.any() else np.nan

    figures = {f"tpr_{rate:g}": tpr(rate) for rate in FALSE_POSITIVE_RATES}
    figures["macro_f1"] = macro_f1
    names = objects[j.positive].tolist()
    object_tpr = {}
    for rate in FALSE_POSITIVE_RATES:
        kept = j.score[j.positive] > threshold_at_fpr(j.score[j.negative], rate)
        shares = [n / of for n, of in kept_by_object(kept, names).values()]
        object_tpr[f"{rate:g}"] = float(np.mean(shares)) if shares else float("nan")
    return {
        "intervals": {key: bootstrap_interval(f, objects.tolist()) for key, f in figures.items()},
        "object_tpr": object_tpr,
    }


def _confusion(judged: _Judged, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = rows[judged.labels[rows] != ""]
    return confusion_matrix(judged.labels[rows].tolist(), judged.said[rows].tolist())


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _figures(judged: _Judged, model: str, min_count: int) -> Evaluation:
    p, labels, positive, negative = judged.p, judged.labels, judged.positive, judged.negative
    labelled = labels != ""
    said = judged.said[labelled]
    confusion = confusion_matrix(labels[labelled].tolist(), said.tolist())
    f1 = f1_scores(confusion)
    scored = confusion.sum(axis=1) >= max(min_count, 1)
    best = np.array(OUTPUTS)[p.argmax(axis=1)]
    bins = reliability(p.max(axis=1)[labelled], (best == labels)[labelled])
    score = judged.score
    fpr, tpr = roc_curve(score[positive], score[negative])
    return Evaluation(
        model=model,
        n=len(p),
        n_labelled=int(labelled.sum()),
        accuracy=float(np.trace(confusion) / confusion.sum()) if labelled.any() else float("nan"),
        macro_f1=float(np.mean(f1[scored])) if scored.any() else float("nan"),
        scored_classes=tuple(np.array(OUTPUTS)[scored].tolist()),
        min_count=min_count,
        f1=dict(zip(OUTPUTS, f1.tolist(), strict=True)),
        n_positive=int(positive.sum()),
        n_negative=int(negative.sum()),
        asteroid_tpr={
            str(rate): tpr_at_fpr(score[positive], score[negative], rate)
            for rate in FALSE_POSITIVE_RATES
        },
        auc=area_under_curve(score[positive], score[negative]),
        class_auc={
            name: area_under_curve(
                p[labelled & (labels == name), k], p[labelled & (labels != name), k]
            )
            for k, name in enumerate(OUTPUTS)
        },
        calibration_error=calibration_error(bins),
        reliability=bins,
        named=_share(said[labels[labelled] != SKIP] != SKIP),
        roc=tuple(zip(fpr.tolist(), tpr.tolist(), strict=True)),
        confusion=confusion,
    )


def evaluate_classifier(
    classifier: Classifier, cutouts: Cutouts, truth: Sequence[str], **options: Any
) -> Evaluation:
    """`evaluate_probabilities` of what a classifier says about cutouts.

    Parameters
    ----------
    classifier
        Its own ``rule`` gives the labels, where it has one.
    cutouts
        n of them.
    truth : (n,)
        Names among `OUTPUTS`; empty where unlabelled.
    **options
        As `evaluate_probabilities` takes them.

    Returns
    -------
    Evaluation
    """
    p = classifier.predict_proba(cutouts)
    rule = getattr(classifier, "rule", None)
    return evaluate_probabilities(p, truth, model=classifier.name, rule=rule, **options)
