"""What stands after all that people said and took back, and what they say together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.night_folder import Night
from streaks.reporting import AdesContext, ades_psv
from streaks.tables import CLASSES, LABELS, SKIP, UNRESOLVED, StreakFlag, bare_column
from streaks.vetting.journal import BAD_REFERENCE, COMMENT, LABEL, UNDO, Judgement

__all__ = ["Places", "Standing", "accepted_ades", "labels_table", "standing_of"]

#: A candidate of a night that was run again is the same one within this, px.
_SAME_PX = 3.0


@dataclass(frozen=True)
class Standing:
    """What stands, by person and candidate.

    Parameters
    ----------
    labels
        By person, the label of each candidate (``streak_id``).
    bad_references
        By candidate, those who say that its reference is bad.
    comments
        By candidate, what each person wrote.
    lost
        Candidates that were judged and are no longer in the night.
    """

    labels: Mapping[str, Mapping[str, str]]
    bad_references: Mapping[str, frozenset[str]] = field(default_factory=dict)
    comments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()


def standing_of(judgements: Iterable[Judgement], night: Night) -> Standing:
    """What stands of a journal, for the streaks that a night has now.

    A night that was run again may have given a streak's name to another: each judgement goes to
    the streak at the place that was judged.

    Parameters
    ----------
    judgements
        Of a journal, in its order.
    night
        As it is now.

    Returns
    -------
    Standing
    """
    judgements = list(judgements)
    undone = {(one.person, one.value) for one in judgements if one.kind == UNDO}
    places = Places(night.streaks)
    labels: dict[str, dict[str, str]] = {}
    bad: dict[str, set[str]] = {}
    comments: dict[str, dict[str, str]] = {}
    lost: set[str] = set()
    for one in judgements:
        if one.kind == UNDO or (one.kind == LABEL and (one.person, one.id) in undone):
            continue
        name = places.name_now(one)
        if not name:
            lost.add(one.streak_id)
        elif one.kind == LABEL:
            labels.setdefault(one.person, {})[name] = one.value
        elif one.kind == BAD_REFERENCE:
            say = set.add if one.value == "1" else set.discard
            say(bad.setdefault(name, set()), one.person)
        elif one.kind == COMMENT:
            comments.setdefault(name, {})[one.person] = one.value
    return Standing(
        labels,
        {name: frozenset(people) for name, people in bad.items() if people},
        {name: said for name, by in comments.items() if (said := _said(by))},
        frozenset(lost),
    )


def _said(comments: Mapping[str, str]) -> dict[str, str]:
    return {person: text for person, text in comments.items() if text}


class Places:
    """Where each streak of a night lies, to tell which one was judged.

    Parameters
    ----------
    streaks
        Of the night, as it is now.
    """

    def __init__(self, streaks: QTable) -> None:
        self._names = [str(name) for name in streaks["streak_id"]]
        self._row = {name: i for i, name in enumerate(self._names)}
        self._xy = np.column_stack([bare_column(streaks, axis) for axis in "xy"])
        self._by_image: dict[str, list[int]] = {}
        for i, image in enumerate(streaks["image"]):
            self._by_image.setdefault(str(image), []).append(i)
        self._known: dict[tuple[str, float, float], str] = {}

    def name_now(self, one: Judgement) -> str:
        """The streak that was judged, as it is called now.

        Parameters
        ----------
        one
            Of a journal.

        Returns
        -------
        str
            Empty where it is gone.
        """
        key = (one.streak_id, one.x, one.y)
        if key not in self._known:
            self._known[key] = self._find(one)
        return self._known[key]

    def _find(self, one: Judgement) -> str:
        row = self._row.get(one.streak_id)
        told = math.isfinite(one.x) and math.isfinite(one.y)
        if row is not None and (not told or self._distance([row], one)[0] <= _SAME_PX):
            return one.streak_id
        rows = self._by_image.get(one.image, [])
        if not told or not rows:
            return ""
        distance = self._distance(rows, one)
        nearest = int(np.argmin(distance))
        return self._names[rows[nearest]] if distance[nearest] <= _SAME_PX else ""

    def _distance(self, rows: list[int], one: Judgement) -> NDArray[np.float64]:
        return np.asarray(np.hypot(*(self._xy[rows] - (one.x, one.y)).T))


def labels_table(standing: Standing, night: Night) -> QTable:
    """One row a judged candidate, in the form of `streaks labels import`.

    Parameters
    ----------
    standing
        What stands.
    night
        Of the candidates; its order is kept.

    Returns
    -------
    QTable
        ``name, label, p_*, n_votes, agreement`` as `streaks.labelling.pooled_labels` gives, where
        ``p_*`` are shares of votes; ``label`` is empty where no class has the most votes. What
        people call unresolved is ``skip`` there, as no model learns it; behind stand ``verdict``
        with all nine words, ``p_unresolved``, ``n_bad_reference`` and ``comment``.
    """
    votes: dict[str, Counter[str]] = {}
    for theirs in standing.labels.values():
        for name, label in theirs.items():
            votes.setdefault(name, Counter())[label] += 1
    names = [str(name) for name in night.streaks["streak_id"] if str(name) in votes]
    counts = np.array([[votes[name][label] for label in LABELS] for name in names], dtype=float)
    counts = counts.reshape(len(names), len(LABELS))
    n = counts.sum(axis=1)
    share = counts / np.maximum(n, 1)[:, None]
    verdict = [_winner(votes[name]) for name in names]
    table = QTable()
    table["name"] = np.array(names, dtype=str)
    table["label"] = np.array([SKIP if v == UNRESOLVED else v for v in verdict], dtype="U16")
    for k, label in enumerate(CLASSES):
        table[f"p_{label}"] = np.round(share[:, k], 6)
    table["n_votes"] = n.astype(np.int64)
    table["agreement"] = np.round(share.max(axis=1, initial=0.0), 4)
    table["verdict"] = np.array(verdict, dtype="U16")
    table["p_unresolved"] = np.round(share[:, LABELS.index(UNRESOLVED)], 6)
    table["n_bad_reference"] = np.array(
        [len(standing.bad_references.get(name, ())) for name in names], dtype=np.int64
    )
    comments = [standing.comments.get(name, {}) for name in names]
    table["comment"] = np.array([" | ".join(said.values()) for said in comments], dtype=str)
    return table


def _winner(votes: Counter[str]) -> str:
    """The label of most votes; empty where two have as many."""
    best = votes.most_common(2)
    return "" if len(best) == 2 and best[0][1] == best[1][1] else best[0][0]


def accepted_ades(
    standing: Standing, night: Night, context: AdesContext | None = None
) -> tuple[str, int, Sequence[str]]:
    """ADES observations of what people call an asteroid.

    Parameters
    ----------
    standing
        What stands.
    night
        Of the candidates.
    context
        What the file says of observer and telescope.

    Returns
    -------
    text : str
        The file.
    n : int
        Observations in it.
    left_out : list of str
        Accepted streaks that cannot be told: cut, negative, or without place, time or
        observatory.

    Raises
    ------
    TableError
        If the night's table lacks columns that ADES needs.
    """
    verdicts = labels_table(standing, night)
    accepted = {str(r["name"]) for r in verdicts if str(r["verdict"]) == "asteroid"}
    streaks = night.streaks
    rows = np.array([str(name) in accepted for name in streaks["streak_id"]], dtype=bool)
    told = _with_stations(streaks[rows], night)
    told["label"] = np.full(len(told), "asteroid", dtype="U16")
    can = _can_be_told(told, "" if context is None else context.observatory)
    left_out = [str(name) for name in told["streak_id"][~can]]
    return ades_psv(told[can], context), int(can.sum()), left_out


def _with_stations(streaks: QTable, night: Night) -> QTable:
    told = streaks.copy()
    for name in ("observatory", "band"):
        if name in night.frames.colnames and name not in told.colnames:
            by_image = {
                str(image): str(value)
                for image, value in zip(night.frames["image"], night.frames[name], strict=True)
            }
            told[name] = np.array([by_image.get(str(i), "") for i in told["image"]], dtype="U16")
    return told


def _can_be_told(streaks: QTable, observatory: str) -> NDArray[np.bool_]:
    cut = (
        StreakFlag.EDGE_0 | StreakFlag.EDGE_1 | StreakFlag.MASKED_0 | StreakFlag.MASKED_1
        | StreakFlag.NEGATIVE
    )  # fmt: skip
    flags: NDArray[np.int64] = np.asarray(streaks["flags"]).astype(np.int64)
    keep: NDArray[np.bool_] = (flags & int(cut)) == 0
    for name in ("ra", "dec", "ra0", "dec0"):
        keep &= np.isfinite(bare_column(streaks, name))
    keep &= np.array([bool(str(time)) for time in streaks["time"]], dtype=bool)
    if not observatory:
        has = "observatory" in streaks.colnames
        codes = [str(code) for code in streaks["observatory"]] if has else [""] * len(streaks)
        keep &= np.array([bool(code) for code in codes], dtype=bool)
    return keep
