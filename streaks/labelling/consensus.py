"""One plain row a subject: what people agree it is, how sure that is, and whether it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.disk import Limits, parse_json, read_bytes
from streaks.errors import ConfigError, InputError, ReadError
from streaks.labelling.answers import Answers
from streaks.labelling.dawid_skene import PooledVotes, fit_votes
from streaks.labelling.questions import BOGUS, KIND, QUESTIONS, REAL
from streaks.tables import CLASSES, PROBABILITY_COLUMNS, SKIP, UNRESOLVED

__all__ = [
    "RULES",
    "ConsensusRules",
    "Counts",
    "consensus_labels",
    "count_votes",
    "fit_answers",
    "pooled_labels",
]

#: How a subject's label is found: by Dawid and Skene's method, or by counting as Caesar does.
RULES = ("dawid-skene", "votes")
_OUTPUTS = (*CLASSES, SKIP)
_LIMITS = Limits(max_bytes=1 << 28)
#: Shares of votes are sums of thirds: 0.8 of five may fall short by rounding alone.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ConsensusRules:
    """When votes agree, and when a subject has had enough of them, as a Caesar rule says it.

    Parameters
    ----------
    min_votes
        Fewer are no consensus.
    min_share
        Of the votes for the leading answer.
    max_votes
        A subject with so many is retired, agreed or not.
    """

    min_votes: int = 5
    min_share: float = 0.8
    max_votes: int = 10

    def __post_init__(self) -> None:
        if not (1 <= self.min_votes <= self.max_votes and 0.5 < self.min_share <= 1):
            raise ConfigError(
                f"a consensus by {self.min_votes} votes and a share of {self.min_share}, the end "
                f"at {self.max_votes} votes; expected 1 vote or more, at most as many as end it, "
                "and a share above 0.5 and up to 1"
            )


@dataclass(frozen=True, eq=False)
class Counts:
    """Votes a subject, and what a counting rule makes of them.

    Parameters
    ----------
    votes : (n_subjects, n_outputs)
        Shares of one where a volunteer gave several answers.
    n : (n_subjects,) int
        Volunteers.
    leading : (n_subjects,) int
        Output of most votes.
    share : (n_subjects,)
        Of the votes for it; 0 without votes.
    agreed, retired : (n_subjects,) bool
        By the rules.
    """

    votes: NDArray[np.float64]
    n: NDArray[np.int64]
    leading: NDArray[np.int64]
    share: NDArray[np.float64]
    agreed: NDArray[np.bool_]
    retired: NDArray[np.bool_]


def count_votes(answers: Answers, rules: ConsensusRules | None = None) -> Counts:
    """Votes by answer, the leading one, and whether that is a consensus.

    Parameters
    ----------
    answers
        Of an export.
    rules
        The usual ones when not given.

    Returns
    -------
    Counts
        Subjects of known truth are never retired: volunteers are to see them.
    """
    rules = ConsensusRules() if rules is None else rules
    votes = np.zeros((len(answers.names), len(answers.outputs)))
    np.add.at(votes, (answers.subject, answers.answer), answers.weight)
    n = np.rint(votes.sum(axis=1)).astype(np.int64)
    share = votes.max(axis=1, initial=0.0) / np.maximum(n, 1)
    agreed = (n >= rules.min_votes) & (share >= rules.min_share - _ROUNDING)
    retired = (agreed | (n >= rules.max_votes)) & ~_known(answers)
    return Counts(votes, n, votes.argmax(axis=1), share, agreed, retired)


def fit_answers(answers: Answers, *, with_model: bool = False) -> PooledVotes:
    """Dawid and Skene's method on an export's answers.

    Parameters
    ----------
    answers
        Of an export.
    with_model
        Let the classifier's label vote too, as one more volunteer whose habits are learnt.

    Returns
    -------
    PooledVotes
        The model, where it votes, is the last of the volunteers.

    Raises
    ------
    InputError
        If there are no votes, or the model is to vote and the manifest did not tell its labels.
    """
    subject, volunteer, answer = answers.subject, answers.volunteer, answers.answer
    weight = answers.weight
    if with_model:
        said = model_outputs(answers)
        if not said:
            raise InputError(
                "the export does not tell what the model said (#label in the manifest); leave "
                "--with-model out"
            )
        one_more = int(volunteer.max(initial=-1)) + 1
        subject = np.concatenate([subject, np.array(list(said), dtype=np.int64)])
        volunteer = np.concatenate([volunteer, np.full(len(said), one_more)])
        answer = np.concatenate([answer, np.array(list(said.values()), dtype=np.int64)])
        weight = np.concatenate([weight, np.ones(len(said))])
    return fit_votes(
        subject,
        volunteer,
        answer,
        n_subjects=len(answers.names),
        n_classes=len(answers.outputs),
        weight=weight,
        gold=answers.gold,
    )


def model_outputs(answers: Answers) -> dict[int, int]:
    """The classifier's label as an answer of the question, by subject.

    Parameters
    ----------
    answers
        Of an export.

    Returns
    -------
    dict
        Unresolved is skip where the campaign has no answer for it.
    """
    question = QUESTIONS[answers.question]()
    found: dict[int, int] = {}
    for row, said in answers.model.items():
        output = question.of_class(said.label)
        if output is not None:
            found[row] = output if output < len(answers.outputs) else answers.outputs.index(SKIP)
    return found


def pooled_labels(
    answers: Answers,
    *,
    min_votes: int = 3,
    min_probability: float = 0.5,
    rule: str = "dawid-skene",
    rules: ConsensusRules | None = None,
    with_model: bool = False,
) -> QTable:
    """One row a subject: its likeliest class, and how sure that is.

    Parameters
    ----------
    answers
        Of an export.
    min_votes
        Subjects with fewer volunteers are left out, but for those of known truth.
    min_probability
        A subject whose best class is less probable has an empty label.
    rule
        One of `RULES`. By ``votes`` a label needs a consensus, and probabilities are shares of
        votes.
    rules
        When votes agree and a subject is done; the usual ones when not given.
    with_model
        As `fit_answers` takes it.

    Returns
    -------
    QTable
        ``name, label, p_*, n_votes, agreement``; ``agreement`` is the share of votes for the
        label. Behind stand ``verdict`` (the label, where ``unresolved`` is a word of its own:
        ``label`` has skip for it, as no model learns it), ``subject_id`` (Zooniverse's),
        ``p_skip`` and ``p_unresolved``, ``consensus`` (the counting rule's answer, empty where
        there is none), ``share`` (of the leading answer), ``entropy`` (of the probabilities,
        bits), ``gold`` (whether the truth was
        known), ``retire`` and ``advice`` in words. Of real or bogus: ``rb`` is the probability of
        real, beside ``p_bogus`` and ``p_skip``. Nothing about volunteers.

    Raises
    ------
    ConfigError
        For an unknown rule.
    InputError
        As `fit_answers`.
    """
    if rule not in RULES:
        raise ConfigError(f"no rule {rule!r}; there are {', '.join(RULES)}")
    rules = ConsensusRules() if rules is None else rules
    counts = count_votes(answers, rules)
    names = np.array(answers.outputs)
    consensus = np.where(counts.agreed, names[counts.leading], "")
    known = _known(answers)
    if rule == "votes":
        p = _vote_shares(answers, counts)
        best = p.argmax(axis=1)
        verdict = np.where(known, names[best], consensus)
    else:
        p = fit_answers(answers, with_model=with_model).probabilities
        best = p.argmax(axis=1)
        verdict = np.where(p.max(axis=1) >= min_probability, names[best], "")
    agreement = counts.votes[np.arange(len(p)), best] / np.maximum(counts.n, 1)
    table = _labels(answers.names, verdict, p, counts.n, agreement, answers.outputs)
    table["verdict"] = verdict
    table["subject_id"] = np.array(answers.subject_ids, dtype=str)
    table["p_skip"] = np.round(p[:, answers.outputs.index(SKIP)], 6)
    if UNRESOLVED in answers.outputs:
        table["p_unresolved"] = np.round(p[:, answers.outputs.index(UNRESOLVED)], 6)
    table["consensus"] = consensus
    table["share"] = np.round(counts.share, 4)
    table["entropy"] = np.round(_entropy(p), 4)
    table["gold"] = known
    table["retire"] = counts.retired
    table["advice"] = _advice(counts, known, rules)
    return table[(counts.n >= min_votes) | known]


def _known(answers: Answers) -> NDArray[np.bool_]:
    return np.isin(np.arange(len(answers.names)), list(answers.gold))


def _vote_shares(answers: Answers, counts: Counts) -> NDArray[np.float64]:
    p = counts.votes / np.maximum(counts.n, 1)[:, None]
    for row, output in answers.gold.items():
        p[row] = 0.0
        p[row, output] = 1.0
    return p


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = -(p * np.log2(np.clip(p, 1e-12, 1.0))).sum(axis=1)
    return np.abs(result)


def _advice(counts: Counts, known: NDArray[np.bool_], rules: ConsensusRules) -> NDArray[np.str_]:
    words = []
    for n, share, agreed, gold in zip(counts.n, counts.share, counts.agreed, known, strict=True):
        if gold:
            words.append("keep: its truth is known, it trains volunteers")
        elif agreed:
            words.append(f"retire: {share:.0%} of {n} agree")
        elif n >= rules.max_votes:
            words.append(f"retire: {n} votes and no consensus")
        elif n < rules.min_votes:
            words.append(f"go on: {n} of {rules.min_votes} votes")
        else:
            words.append(f"go on: {share:.0%} of {n} agree, {rules.min_share:.0%} are asked for")
    return np.array(words, dtype=str)


def consensus_labels(
    path: Path, *, min_probability: float = 0.5
) -> tuple[QTable, Mapping[str, int]]:
    """Labels of a JSON object that names each picture's classes, as the AStreaks project kept them.

    Parameters
    ----------
    path
        ``{"picture.jpg": ["Masked bright star"], ...}``; several classes of one picture share it.
    min_probability
        A picture whose best class has a smaller share, or that has two best ones, gets an empty
        label.

    Returns
    -------
    labels : QTable
        As `pooled_labels`: ``name, label, p_*, n_votes, agreement``, with one vote each.
    not_understood
        How often each text came that is no answer of the question.

    Raises
    ------
    ReadError
        If it cannot be read as such an object.
    InputError
        If none of its texts is an answer of the question; they are named.
    """
    held = parse_json(read_bytes(path, _LIMITS), str(path))
    if not isinstance(held, dict):
        raise ReadError(f"{path} is no object of pictures and their classes; export it again")
    names: list[str] = []
    shares: list[NDArray[np.float64]] = []
    unknown: Counter[str] = Counter()
    for name, value in held.items():
        texts = [t for t in (value if isinstance(value, list) else [value]) if isinstance(t, str)]
        meant = [_class_output(text) for text in texts]
        found = sorted({k for k in meant if k is not None})
        unknown.update(text for text, k in zip(texts, meant, strict=True) if k is None)
        if found:
            share = np.zeros(len(_OUTPUTS))
            share[found] = 1.0 / len(found)
            names.append(name)
            shares.append(share)
    if not names:
        said = ", ".join(f"{text!r}" for text, _ in unknown.most_common(5))
        raise InputError(f"{path} names no class that is known here; it says {said or 'nothing'}")
    p = np.array(shares)
    decided = (p == p.max(axis=1, keepdims=True)).sum(axis=1) == 1
    label = np.array(_OUTPUTS)[p.argmax(axis=1)]
    decided &= p.max(axis=1) >= min_probability
    count = np.ones(len(p), int)
    table = _labels(names, np.where(decided, label, ""), p, count, p.max(axis=1), _OUTPUTS)
    return table, dict(unknown)


def _class_output(text: str) -> int | None:
    """Index in classes and skip; unresolved is skip."""
    question = QUESTIONS[KIND]()
    found = question.output(text)
    return None if found is None else min(found, _OUTPUTS.index(SKIP))


def _labels(
    names: Sequence[str],
    verdict: NDArray[Any],
    p: NDArray[np.float64],
    count: NDArray[np.integer],
    agreement: NDArray[np.float64],
    outputs: Sequence[str],
) -> QTable:
    table = QTable()
    table["name"] = np.array(names, dtype=str)
    table["label"] = np.where(verdict == UNRESOLVED, SKIP, verdict)
    if REAL in outputs:
        table["rb"] = np.round(p[:, outputs.index(REAL)], 6)
        table["p_bogus"] = np.round(p[:, outputs.index(BOGUS)], 6)
    else:
        for column in PROBABILITY_COLUMNS:
            table[column] = np.round(p[:, outputs.index(column.removeprefix("p_"))], 6)
    table["n_votes"] = count.astype(np.int64)
    table["agreement"] = np.round(agreement, 4)
    return table
