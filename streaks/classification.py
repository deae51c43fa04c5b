"""What every classifier promises, and how probabilities become a label.

No machine-learning framework is imported here: anything with `Classifier`'s face fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.cutouts import (
    Cutouts,
    brought_to_usual_fwhm,
    measure_elongation,
    resolved_probability,
)
from streaks.errors import ConfigError, ModelError
from streaks.tables import (
    ASTREAKS_MIX,
    CLASS_COLUMNS,
    CLASSES,
    PROBABILITY_COLUMNS,
    SKIP,
    UNRESOLVED,
    build_table,
    empty_table,
)

__all__ = [
    "BALANCED_MIX",
    "CLASSES",
    "OUTPUTS",
    "Classifier",
    "Ensemble",
    "LabelRule",
    "NoveltyClassifier",
    "classify_cutouts",
    "correct_mix",
    "estimate_mix",
    "labels_from_probabilities",
    "parse_mix",
    "predict",
    "real_bogus",
]

#: Columns of every probability array: the classes, then "nothing there to name".
OUTPUTS = (*CLASSES, SKIP)

#: As many of each class, and as many blanks: what classifiers are trained on.
BALANCED_MIX: Mapping[str, float] = {label: 1.0 / len(OUTPUTS) for label in OUTPUTS}

#: For classifiers without a rule of their own. Below this the best class is a guess: with eight
#: outputs and balanced training, a probability of 0.4 is right less than half of the time.
_MIN_PROBABILITY = 0.4

#: With three candidates or more the name would be a guess; two are often twins (naked star and
#: yin-yang) of which the likelier is worth saying.
_MOST_CANDIDATES = 2
_SURE = 0.5

#: Light in the sky (asteroid, satellite) against what telescope and software make.
_TRAILS = ("asteroid", "satellite")
_REAL = np.array([CLASSES.index(name) for name in _TRAILS])
#: Below this probability of a trail its length changes nothing.
_MAY_BE_TRAIL = 0.05
#: A fitted trail of so many FWHM is no point.
_LONG_WIDTHS = 4.0


@runtime_checkable
class Classifier(Protocol):
    """The face of every classifier."""

    name: str

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        """Probabilities, (n, 8) in the order of `OUTPUTS`, rows summing to 1.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        (n, 8) float64
            In the order of `OUTPUTS`; rows sum to 1.
        """
        ...


@runtime_checkable
class NoveltyClassifier(Protocol):
    """A classifier that can also say how unlike its training set a cutout is."""

    name: str

    def predict_with_novelty(
        self, cutouts: Cutouts
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities, and how unlike the training set each cutout is.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        probabilities : (n, 8)
            As `Classifier.predict_proba` gives them.
        novelty : (n,)
            Share of cutouts like those trained on that lie nearer to a class than this one: 0.5 is
            ordinary, above 0.99 of no known kind. NaN where unknown.
        """
        ...


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
    rule
        How its probabilities become labels; see `LabelRule`.
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        weights: Sequence[float] | None = None,
        *,
        sharpness: float = 1.0,
        rule: LabelRule | None = None,
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
        self.rule = rule
        self.name = "+".join(member.name for member in self.members)

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        return self.predict_with_novelty(cutouts)[0]

    def predict_with_novelty(
        self, cutouts: Cutouts
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Novelty is the largest of those members that know it.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        probabilities : (n, 8)
            In the order of `OUTPUTS`; rows sum to 1.
        novelty : (n,)
            0 to 1; NaN where no member knows it.
        """
        total = sum(self.weights)
        log_p, novelty = np.zeros((len(cutouts), len(OUTPUTS))), np.full(len(cutouts), np.nan)
        for member, weight in zip(self.members, self.weights, strict=True):
            p, found = predict(member, cutouts)
            log_p += self.sharpness * weight / total * np.log(np.clip(p, 1e-9, 1.0))
            novelty = np.fmax(novelty, found)
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True, initial=-np.inf))
        return p / p.sum(axis=1, keepdims=True), novelty


def predict(
    classifier: Classifier, cutouts: Cutouts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities, (n, 8), and novelty, (n,): NaN from a classifier that does not know it.

    Parameters
    ----------
    classifier
        With or without novelty.
    cutouts
        n of them.

    Returns
    -------
    probabilities : (n, 8)
        In the order of `OUTPUTS`.
    novelty : (n,)
        0 to 1; NaN where unknown.
    """
    if isinstance(classifier, NoveltyClassifier):
        return classifier.predict_with_novelty(cutouts)
    return classifier.predict_proba(cutouts), np.full(len(cutouts), np.nan)


def parse_mix(text: str | Mapping[str, float] | None) -> Mapping[str, float]:
    """Shares of the classes from a name, a text like ``asteroid=0.5,ghost=0.5``, or a mapping.

    Parameters
    ----------
    text
        ``balanced`` (as None), ``astreaks``, ``class=share,...``, or shares by class. Classes
        that are not named have no share.

    Returns
    -------
    Mapping
        Shares that sum to 1.

    Raises
    ------
    ConfigError
        For an unknown class, a share that is no number or negative, or shares that are all 0.
    """
    if text is None or text == "balanced":
        return BALANCED_MIX
    if text == "astreaks":
        return _checked_mix(ASTREAKS_MIX)
    if isinstance(text, str):
        return _checked_mix(dict(_parse_share(item) for item in text.split(",") if item.strip()))
    return _checked_mix(text)


def _parse_share(item: str) -> tuple[str, float]:
    name, _, share = item.partition("=")
    try:
        return name.strip(), float(share)
    except ValueError:
        raise ConfigError(
            f"mix has {item.strip()!r}; expected balanced, astreaks, or class=share,class=share"
        ) from None


def _checked_mix(mix: Mapping[str, float]) -> Mapping[str, float]:
    unknown = sorted(set(mix) - set(OUTPUTS))
    if unknown:
        raise ConfigError(
            f"mix names {', '.join(unknown)}; the classes are {', '.join(sorted(OUTPUTS))}"
        )
    bad = [f"{name}={share}" for name, share in mix.items() if not 0 <= share < math.inf]
    total = sum(mix.values())
    if bad or not total > 0:
        raise ConfigError(
            f"shares of a mix must be numbers of 0 or more, not all 0; got {', '.join(bad) or mix}"
        )
    return {name: share / total for name, share in mix.items()}


def correct_mix(
    probabilities: NDArray[Any],
    mix: Mapping[str, float],
    trained: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Probabilities for a sky where the classes are mixed otherwise than in training.

    Parameters
    ----------
    probabilities : (n, 8)
        Of a classifier trained on the mix ``trained``.
    mix, trained
        Share of each output; those not named have none. Training is balanced when not given.

    Returns
    -------
    (n, 8) float64
        Rows sum to 1; a row where no output with a share had any probability is uniform.

    Raises
    ------
    ConfigError
        If a share is negative, all are 0, or a name is no output.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21, section 2.1.
    """
    ratio = _shares(mix) / (1.0 / len(OUTPUTS) if trained is None else _shares(trained))
    p = np.asarray(probabilities, dtype=float) * ratio
    total = p.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = np.divide(
        p, total, out=np.full_like(p, 1.0 / len(OUTPUTS)), where=total > 0
    )
    return result


def _shares(mix: Mapping[str, float]) -> NDArray[np.float64]:
    unknown = sorted(set(mix) - set(OUTPUTS))
    shares = np.array([float(mix.get(name, 0.0)) for name in OUTPUTS])
    if unknown or not (shares >= 0).all() or not shares.sum() > 0:
        raise ConfigError(
            f"mix is {dict(mix)}; expected shares of 0 or more, not all 0, of {', '.join(OUTPUTS)}"
        )
    result: NDArray[np.float64] = shares / shares.sum()
    return result


def estimate_mix(probabilities: NDArray[Any], *, n_steps: int = 100) -> dict[str, float]:
    """The mix of classes under which the probabilities of many cutouts agree with themselves.

    Parameters
    ----------
    probabilities : (n, 8)
        Of a classifier trained on a balanced mix; calibrated, or the answer is worthless.
    n_steps
        Of expectation and maximisation.

    Returns
    -------
    dict
        Share of each of `OUTPUTS`, summing to 1; equal shares where there are no cutouts.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21, section 2.2.
    """
    shares = np.full(len(OUTPUTS), 1.0 / len(OUTPUTS))
    for _ in range(n_steps if len(probabilities) else 0):
        p = correct_mix(probabilities, dict(zip(OUTPUTS, shares.tolist(), strict=True)))
        shares = p.mean(axis=0)
    return dict(zip(OUTPUTS, shares.tolist(), strict=True))


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
        np.asarray(probabilities, dtype=float)[:, _REAL].sum(axis=1), 0.0, 1.0
    )
    return result


def classify_cutouts(
    classifier: Classifier,
    cutouts: Cutouts,
    *,
    batch: int = 256,
    mix: Mapping[str, float] | None = None,
    details: bool = False,
    lengths_px: NDArray[Any] | None = None,
    sure_trails: NDArray[np.bool_] | None = None,
) -> QTable:
    """Label, probabilities and real/bogus score of each cutout.

    Labels follow the classifier's own ``rule`` where it has one (`LabelRule`). Cutouts of a PSF
    that classifiers are not trained at are shown to them resampled. What would be called a trail
    and is no longer than a point is `unresolved`: classifiers have no such output, so the length
    is measured.

    Parameters
    ----------
    classifier
        One that `streaks.models.load_classifier` gives, or any with the same methods.
    cutouts
        n of them; n may be 0.
    batch
        How many are classified at a time; bounds the memory.
    mix
        Share of each output on the sky that the cutouts are of; as in training when not given.
    lengths_px : (n,) or None
        Of the trails, where a finder has fitted them in the whole image: what is longer than a few
        PSFs is not asked again.
    sure_trails : (n,) bool or None
        Which are known to be longer than a point, so that it is not measured again.
    details
        Add ``candidates`` (the outputs that cannot be ruled out, likeliest first; only with a
        rule) and ``novelty``.

    Returns
    -------
    QTable
        ``streak_id`` and the class columns, in the order of the cutouts.

    Raises
    ------
    ModelError
        If the classifier's answer is not (n, 8) finite probabilities.
    """
    shown = [brought_to_usual_fwhm(part) for part in cutouts.batches(batch)]
    answers = [_checked_answer(classifier, part) for part in shown]
    p = np.concatenate([np.zeros((0, len(OUTPUTS))), *(a[0] for a in answers)])
    novelty = np.concatenate([np.zeros(0), *(a[1] for a in answers)])
    rule: LabelRule | None = getattr(classifier, "rule", None)
    # The rule's promise is about probabilities as they were when it was fitted.
    labels = labels_from_probabilities(p) if rule is None else rule.labels(p)
    columns = {"candidates": _candidate_names(rule, p), "novelty": novelty} if details else {}
    if mix is not None:
        p = correct_mix(p, mix)
    sure = np.zeros(len(p), bool) if sure_trails is None else np.asarray(sure_trails, bool).copy()
    if lengths_px is not None and cutouts.fwhm_px is not None:
        sure |= np.asarray(lengths_px) > _LONG_WIDTHS * cutouts.fwhm_px
    trailed = _trailed(shown, p, sure)
    values: dict[str, Any] = _shared_with_points(p, trailed)
    values["label"] = np.where(np.isin(labels, _TRAILS) & (trailed < 0.5), UNRESOLVED, labels)
    table = build_table(CLASS_COLUMNS, values) if len(p) else empty_table(CLASS_COLUMNS)
    table.add_column(np.array(cutouts.names, dtype=str), name="streak_id", index=0)
    for name, column in columns.items():
        table[name] = column
        table[name].info.description = _DETAILS[name]
    return table


#: What the columns beside `CLASS_COLUMNS` hold.
_DETAILS = {
    "candidates": "classes of which one is the truth, as often as the model's card promises",
    "novelty": "share of ordinary cutouts that lie nearer to their class than this one",
}


def _trailed(
    shown: Sequence[Cutouts], p: NDArray[np.float64], sure: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Probability that what may be a trail is longer than a point, (n,); 1 where nothing tells."""
    likely = (p[:, _REAL].sum(axis=1) > _MAY_BE_TRAIL) & ~sure
    trailed, first = np.ones(len(p)), 0
    for part in shown:
        rows = np.flatnonzero(likely[first : first + len(part)])
        if len(rows):
            found = resolved_probability(measure_elongation(part.select(rows)))
            trailed[first + rows] = np.nan_to_num(found, nan=1.0)
        first += len(part)
    return trailed


def _shared_with_points(
    p: NDArray[np.float64], trailed: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Columns of probabilities: what is no trail goes from the trails' classes to the point's."""
    shared = p.copy()
    shared[:, _REAL] *= trailed[:, None]
    points = (p[:, _REAL] - shared[:, _REAL]).sum(axis=1)
    columns = {column: shared[:, i] for i, column in enumerate(PROBABILITY_COLUMNS)}
    return {**columns, "p_unresolved": points, "rb": real_bogus(p)}


def _checked_answer(
    classifier: Classifier, cutouts: Cutouts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    answer, novelty = predict(classifier, cutouts)
    p = np.asarray(answer, dtype=float)
    if p.shape != (len(cutouts), len(OUTPUTS)) or not np.isfinite(p).all():
        raise ModelError(
            f"{classifier.name} answered {p.shape} (finite: {bool(np.isfinite(p).all())}); "
            f"expected finite probabilities of shape ({len(cutouts)}, {len(OUTPUTS)})"
        )
    return p, novelty


def _candidate_names(rule: LabelRule | None, p: NDArray[np.float64]) -> NDArray[np.str_]:
    """Names joined by spaces; empty without a rule."""
    if rule is None:
        return np.full(len(p), "", dtype=str)
    inside, order = rule.candidates(p), np.argsort(-p, axis=1)
    names = (" ".join(OUTPUTS[k] for k in order[i] if inside[i, k]) for i in range(len(p)))
    return np.array(list(names), dtype=str)
