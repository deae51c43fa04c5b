"""Where people and the model say different things: subjects to look at first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from astropy.table import QTable

from streaks.errors import InputError, TableError
from streaks.labelling.answers import Answers, ModelSaid
from streaks.labelling.consensus import model_outputs
from streaks.labelling.questions import REAL
from streaks.tables import CLASSES, LABELS, SKIP, UNRESOLVED

__all__ = ["disagreements", "with_model"]

#: Probabilities of a class that are told as the probability of a real streak of light.
_REAL_CLASSES = ("asteroid", "satellite")


def with_model(answers: Answers, streaks: QTable) -> Answers:
    """The answers, with another model's word on each subject than the manifest's.

    Parameters
    ----------
    answers
        Of an export.
    streaks
        Rows with ``streak_id`` or ``name``, ``label`` and, where they are known, ``p_*``.

    Returns
    -------
    Answers

    Raises
    ------
    TableError
        If it lacks a column.
    InputError
        If no subject is in the table.
    """
    key = next((name for name in ("streak_id", "name") if name in streaks.colnames), None)
    if key is None or "label" not in streaks.colnames:
        raise TableError(
            f"the model's table needs streak_id (or name) and label; it has "
            f"{', '.join(streaks.colnames)}"
        )
    rows = {str(name): i for i, name in enumerate(streaks[key])}
    known = [c for c in (*CLASSES, UNRESOLVED) if f"p_{c}" in streaks.colnames]
    model: dict[int, ModelSaid] = {}
    for subject, name in enumerate(answers.names):
        row = rows.get(name)
        label = "" if row is None else str(streaks["label"][row])
        if row is not None and label in LABELS:
            p = {c: float(streaks[f"p_{c}"][row]) for c in known}
            p = {c: value for c, value in p.items() if np.isfinite(value)}
            if set(CLASSES) <= set(p):
                p[SKIP] = max(1.0 - sum(p.values()), 0.0)
            model[subject] = ModelSaid(label, p)
    if not model:
        raise InputError("no subject of the export is in the model's table; names must agree")
    return replace(answers, model=model)


def disagreements(answers: Answers, labels: QTable) -> QTable:
    """Subjects of which people say one thing and the model another, most surprising first.

    Parameters
    ----------
    answers
        With the model's word (from the manifest, or by `with_model`).
    labels
        As `streaks.labelling.pooled_labels` gives of these answers.

    Returns
    -------
    QTable
        ``name, subject_id, label`` (people's, with unresolved where the campaign has it),
        ``model_label``, ``p_label`` (people's for their label), ``model_p_label`` (the model's
        for people's label; NaN where unknown), ``surprise`` (the first times one minus the
        second), ``n_votes, agreement``. Subjects without a label are left out.
    """
    place = {number: i for i, number in enumerate(answers.subject_ids)}
    said = model_outputs(answers)
    found = []
    for row in labels:
        subject, verdict = place[str(row["subject_id"])], str(row["verdict"])
        if not verdict or subject not in said or answers.outputs[said[subject]] == verdict:
            continue
        column = "rb" if verdict == REAL else f"p_{verdict}"
        p = float(row[column])
        theirs = _model_share(answers.model[subject], verdict, answers.outputs)
        surprise = p * (1.0 - (theirs if np.isfinite(theirs) else 0.0))
        found.append(
            (
                str(row["name"]),
                answers.subject_ids[subject],
                verdict,
                answers.outputs[said[subject]],
                round(p, 4),
                round(theirs, 4),
                round(surprise, 4),
                int(row["n_votes"]),
                float(row["agreement"]),
            )
        )
    found.sort(key=lambda one: (-one[6], one[0]))
    columns = (
        ("name", str), ("subject_id", str), ("label", str), ("model_label", str),
        ("p_label", float), ("model_p_label", float), ("surprise", float), ("n_votes", np.int64),
        ("agreement", float),
    )  # fmt: skip
    table = QTable()
    for k, (name, kind) in enumerate(columns):
        table[name] = np.array([one[k] for one in found], dtype=kind)
    return table


def _model_share(said: ModelSaid, verdict: str, outputs: tuple[str, ...]) -> float:
    """The model's probability for an output of the question; NaN where it is not known."""
    p = said.probabilities
    if REAL in outputs:
        real = [p[name] for name in _REAL_CLASSES if name in p]
        if len(real) < len(_REAL_CLASSES):
            return float("nan")
        skip = p.get(SKIP, 0.0)
        return {REAL: sum(real), SKIP: skip}.get(verdict, max(1.0 - sum(real) - skip, 0.0))
    if verdict == SKIP and UNRESOLVED not in outputs and SKIP in p:
        return p[SKIP] + p.get(UNRESOLVED, 0.0)
    return p.get(verdict, float("nan"))
