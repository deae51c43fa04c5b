"""Cutouts named: probabilities, label, and what tells a trail from a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.classification.classifier import Classifier, predict
from streaks.classification.labels import (
    OUTPUTS,
    REAL_OUTPUTS,
    TRAILS,
    LabelRule,
    labels_from_probabilities,
    real_bogus,
)
from streaks.classification.mixes import correct_mix
from streaks.cutouts import (
    Cutouts,
    brought_to_usual_fwhm,
    measure_elongation,
    resolved_probability,
)
from streaks.errors import ModelError
from streaks.tables import CLASS_COLUMNS, PROBABILITY_COLUMNS, UNRESOLVED, build_table, empty_table

__all__ = ["classify_cutouts"]

#: Below this probability of a trail its length changes nothing.
_MAY_BE_TRAIL = 0.05
#: A fitted trail of so many FWHM is no point.
_LONG_WIDTHS = 4.0


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
    values["label"] = np.where(np.isin(labels, TRAILS) & (trailed < 0.5), UNRESOLVED, labels)
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
    likely = (p[:, REAL_OUTPUTS].sum(axis=1) > _MAY_BE_TRAIL) & ~sure
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
    shared[:, REAL_OUTPUTS] *= trailed[:, None]
    points = (p[:, REAL_OUTPUTS] - shared[:, REAL_OUTPUTS]).sum(axis=1)
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
