"""Volunteers' answers, out of a Zooniverse classification export.

A classification holds the values of one or several tasks: questions, several-answer questions,
drop-down lists, surveys, combinations of tasks within a task, typed remarks, drawings. One of them
asks our question; which one is told by its wording, or by its answers. Only that one counts: a
remark that says "ghost" is no vote.

User names and addresses are read to tell volunteers apart, and go no further: what comes out
holds running numbers only.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.disk import Limits, open_regular, parse_json, read_bytes
from streaks.errors import InputError, ReadError, TableError
from streaks.labelling.dawid_skene import pool_votes
from streaks.tables import CLASSES, PROBABILITY_COLUMNS, SKIP

__all__ = ["Answers", "consensus_labels", "pooled_labels", "read_answers"]

_COLUMNS = ("user_name", "annotations", "subject_data", "subject_ids")
_OUTPUTS = (*CLASSES, SKIP)
#: Answers of the AStreaks project that are not worded as in our own question.
_OTHER_WORDS = {
    "satellite flashes": "satellite",
    "dementor or ghost": "ghost",
    "plausible asteroid": "asteroid",
}
#: Kinds of tasks whose answers are numbers (Zooniverse's newer front end), or typed.
_BY_NUMBER, _TYPED = ("single", "multiple"), ("text", "textFromSubject", "transcription")
#: Combinations within combinations; the project builder makes none.
_MAX_COMBINED = 8
#: Letters of a text that are looked at; answers are short.
_MAX_TEXT = 2000
_LIMITS = Limits(max_bytes=1 << 28)
#: What identifies a subject, in the order of preference; `#` and `!` hide headings.
_NAME_KEYS = ("streak_id", "filename", "file_name", "image_name", "name")


@dataclass(frozen=True, eq=False)
class Answers:
    """Votes on subjects.

    Parameters
    ----------
    names
        Of subjects: ``streak_id`` or file name from the manifest, else Zooniverse's number.
    subject, volunteer, answer : (n_votes,) int
        Indices of subject, volunteer, and output (`streaks.tables.CLASSES`, then skip).
    weight : (n_votes,)
        1, or less where one volunteer gave several answers to one subject.
    gold
        Output of subjects whose truth the manifest told (``#feedback_1_answer``).
    not_understood
        How many answers there were of each text that is no answer of the question.
    other_tasks
        How many texts of tasks that do not ask the question were left out, by task.
    bad_rows
        Rows of the file that could not be used, each with the reason.
    """

    names: tuple[str, ...]
    subject: NDArray[np.int64]
    volunteer: NDArray[np.int64]
    answer: NDArray[np.int64]
    weight: NDArray[np.float64]
    gold: Mapping[int, int]
    not_understood: Mapping[str, int]
    other_tasks: Mapping[str, int] = field(default_factory=dict)
    bad_rows: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Given:
    """What one task of one classification was answered."""

    task: str
    label: str
    kind: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class _Classification:
    """One row of the file: who said what of which subject."""

    subject_id: str
    about: Mapping[str, Any]
    person: str
    given: tuple[_Given, ...]


def read_answers(path: Path, *, workflow: int | None = None) -> Answers:
    """The answers in a classification export.

    Of several classifications of one subject by one volunteer the first counts. Subjects are
    told apart by Zooniverse's number, so that one uploaded twice is two. A row that cannot be
    used is named in ``bad_rows``, and the rest is read.

    Parameters
    ----------
    path
        The CSV file that Zooniverse's project builder exports.
    workflow
        Take this workflow only.

    Returns
    -------
    Answers

    Raises
    ------
    ReadError
        If it cannot be read, or not a single row of it can be used.
    TableError
        If it lacks columns of such an export.
    """
    words = _words()
    rows: list[_Classification] = []
    bad: dict[int, str] = {}
    for line, row in _rows(path):
        if workflow is not None and str(row.get("workflow_id", "")) != str(workflow):
            continue
        try:
            rows.append(_classification(row))
        except ReadError as error:
            bad[line] = str(error)
    if bad and not rows:
        line, reason = next(iter(bad.items()))
        raise ReadError(
            f"{path}, row {line}: {reason}; the file was altered or cut short, export it again"
        )
    return _counted(rows, bad, words)


def _counted(
    rows: list[_Classification], bad: Mapping[int, str], words: Mapping[str, int]
) -> Answers:
    asks = _question_tasks([given for row in rows for given in row.given], words)
    names: dict[str, str] = {}
    index: dict[str, int] = {}
    people: dict[str, int] = {}
    gold: dict[int, int] = {}
    votes: dict[tuple[int, int], list[int]] = {}
    unknown: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for row in rows:
        if row.subject_id not in names:
            index[row.subject_id] = len(names)
            names[row.subject_id] = _name(row.about, row.subject_id)
            known = _gold(row.about, words)
            if known is not None:
                gold[len(names) - 1] = known
        asked = [given for given in row.given if given.task in asks]
        for given in row.given:
            if given not in asked and given.texts:
                others[given.task or "(no name)"] += len(given.texts)
        texts = [text for given in asked for text in given.texts]
        found = sorted({k for text in texts if (k := _output(text, words)) is not None})
        unknown.update(text for text in texts if _output(text, words) is None)
        person = people.setdefault(row.person, len(people))
        key = (index[row.subject_id], person)
        if found and key not in votes:
            votes[key] = found
    flat = [(s, v, a, 1.0 / len(found)) for (s, v), found in votes.items() for a in found]
    return Answers(
        names=tuple(names.values()),
        subject=np.array([vote[0] for vote in flat], dtype=np.int64),
        volunteer=np.array([vote[1] for vote in flat], dtype=np.int64),
        answer=np.array([vote[2] for vote in flat], dtype=np.int64),
        weight=np.array([vote[3] for vote in flat], dtype=float),
        gold=gold,
        not_understood=dict(unknown),
        other_tasks=dict(others),
        bad_rows=dict(bad),
    )


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
    words = _words()
    names: list[str] = []
    shares: list[NDArray[np.float64]] = []
    unknown: Counter[str] = Counter()
    for name, value in held.items():
        texts = [t for t in (value if isinstance(value, list) else [value]) if isinstance(t, str)]
        found = sorted({k for text in texts if (k := _output(text, words)) is not None})
        unknown.update(text for text in texts if _output(text, words) is None)
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
    return _labels(names, np.where(decided, label, ""), p, count, p.max(axis=1)), dict(unknown)


def pooled_labels(answers: Answers, *, min_votes: int = 3, min_probability: float = 0.5) -> QTable:
    """One row a subject: its likeliest class, and how sure that is.

    Parameters
    ----------
    answers
        Of an export.
    min_votes
        Subjects with fewer volunteers are left out, but for those of known truth.
    min_probability
        A subject whose best class is less probable has an empty label.

    Returns
    -------
    QTable
        ``name, label, p_*, n_votes, agreement``; ``agreement`` is the share of votes for the
        label. Nothing about volunteers.
    """
    n = len(answers.names)
    p = pool_votes(
        answers.subject,
        answers.volunteer,
        answers.answer,
        n_subjects=n,
        n_classes=len(_OUTPUTS),
        weight=answers.weight,
        gold=answers.gold,
    )
    shares = np.zeros_like(p)
    np.add.at(shares, (answers.subject, answers.answer), answers.weight)
    count = np.rint(shares.sum(axis=1)).astype(np.int64)
    best = p.argmax(axis=1)
    known = np.isin(np.arange(n), list(answers.gold))
    label = np.where(p.max(axis=1) >= min_probability, np.array(_OUTPUTS)[best], "")
    agreement = shares[np.arange(n), best] / np.maximum(count, 1)
    table = _labels(answers.names, label, p, count, agreement)
    return table[(count >= min_votes) | known]


def _labels(
    names: Sequence[str],
    label: NDArray[Any],
    p: NDArray[np.float64],
    count: NDArray[np.integer],
    agreement: NDArray[np.float64],
) -> QTable:
    table = QTable()
    table["name"] = np.array(names, dtype=str)
    table["label"] = label
    for k, column in enumerate(PROBABILITY_COLUMNS):
        table[column] = np.round(p[:, k], 6)
    table["n_votes"] = count.astype(np.int64)
    table["agreement"] = np.round(agreement, 4)
    return table


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    # Annotations of long drawings are longer than the csv module's cautious limit.
    csv.field_size_limit(10_000_000)
    try:
        with (
            open_regular(path) as stream,
            io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as file,
        ):
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise TableError(
                    f"{path} has no column {', '.join(missing)}; expected a classification export "
                    f"of Zooniverse's project builder"
                )
            yield from enumerate(reader, start=2)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadError(f"{path} cannot be read as CSV: {error}; export it again") from None


def _classification(row: Mapping[str, str | None]) -> _Classification:
    data = parse_json(row["subject_data"] or "", "subject_data")
    subject_id = (row["subject_ids"] or "").split(";")[0].strip()
    if not subject_id:
        raise ReadError("it names no subject")
    about = data.get(subject_id, {}) if isinstance(data, dict) else {}
    tasks = parse_json(row["annotations"] or "", "annotations")
    if not isinstance(tasks, list):
        raise ReadError(f"annotations is no list of tasks ({tasks!s:.40})")
    # Those not logged in have a name made of their address, else only the address.
    person = row.get("user_name") or row.get("user_ip") or "unknown"
    given = tuple(one for task in tasks for one in _given(task, _MAX_COMBINED))
    return _Classification(subject_id, about if isinstance(about, dict) else {}, person, given)


def _given(task: Any, depth: int) -> Iterator[_Given]:
    """What was answered to a task, and to the tasks that it combines."""
    if not isinstance(task, dict) or depth == 0:
        return
    value = task.get("value")
    values = value if isinstance(value, list) else [value]
    combined = [one for one in values if isinstance(one, dict) and "task" in one]
    for one in combined:
        yield from _given(one, depth - 1)
    kind = str(task.get("taskType") or "")
    texts = tuple(text for one in values if one not in combined for text in _texts(one, kind))
    if texts:
        yield _Given(
            str(task.get("task") or ""),
            str(task.get("task_label") or ""),
            kind,
            texts,
        )


def _texts(value: Any, kind: str) -> Iterator[str]:
    """The text of an answer, a choice of a drop-down list, or of a survey.

    What has none is described, so that it is counted and named.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool) and kind in _BY_NUMBER:
        answers = _question()["answers"]
        yield answers[value]["text"] if 0 <= value < len(answers) else f"answer number {value}"
    elif isinstance(value, dict):
        # A list's choice has a text for people and perhaps a hash for machines.
        found = next((value[key] for key in ("choice", "label", "value") if value.get(key)), None)
        if isinstance(found, str) and ("choice" in value or "option" in value):
            yield found
        else:
            yield (
                "a drawing" if "tool" in value or "toolType" in value else "a value without a text"
            )
    elif isinstance(value, int | float):
        yield f"the number {value:g}"
    elif value is not None:
        yield "a value without a text"


def _question_tasks(given: Sequence[_Given], words: Mapping[str, int]) -> frozenset[str]:
    """The tasks that ask our question.

    By their wording, where the export has it; else those that are answered in the question's own
    full words; else the one with most answers that are names of classes. None where nothing is
    understood: then all are looked at, and what they say is told.
    """
    wording = _compact(_question()["question"])
    asked = {one.task for one in given if wording in _compact(one.label)}
    full = {_compact(answer["text"]) for answer in _question()["answers"]}
    named: Counter[str] = Counter()
    for one in given:
        if one.kind in _TYPED:
            continue
        if any(_compact(text) in full for text in one.texts):
            asked.add(one.task)
        named[one.task] += sum(_output(text, words) is not None for text in one.texts)
    if asked:
        return frozenset(asked)
    if named and max(named.values()) > 0:
        return frozenset(task for task, n in named.most_common(1))
    return frozenset(one.task for one in given)


def _name(about: Mapping[str, Any], subject_id: str) -> str:
    by_key = {re.sub(r"^[#!/]+", "", str(key)).strip().lower(): v for key, v in about.items()}
    return next((str(by_key[key]) for key in _NAME_KEYS if by_key.get(key)), subject_id)


def _gold(about: Mapping[str, Any], words: Mapping[str, int]) -> int | None:
    """The truth of a training subject, as text or as the number of an answer."""
    by_key = {str(key).lstrip("#"): str(value) for key, value in about.items()}
    text = by_key.get("feedback_1_answer", "")
    # In ASCII: "²" is a digit too, and no number.
    if re.fullmatch("[0-9]", text) and int(text) < len(_OUTPUTS):
        return int(text)
    return _output(text, words)


@functools.cache
def _question() -> dict[str, Any]:
    """The question as it is exported: its words, and its answers with the class of each."""
    text = (resources.files("streaks.labelling") / "texts" / "question.json").read_text("utf-8")
    question: dict[str, Any] = json.loads(text)
    return question


def _words() -> dict[str, int]:
    """What an answer's text stands for: whole, without its bracket, and the class's own name."""
    words = {name.replace("_", " "): name for name in _OUTPUTS} | _OTHER_WORDS
    for answer in _question()["answers"]:
        words[answer["text"]] = words[_plain(answer["text"])] = answer["label"]
    return {_compact(key): _OUTPUTS.index(label) for key, label in words.items()}


def _output(text: str, words: Mapping[str, int]) -> int | None:
    """The output that a text names; None for a text that names none."""
    found = words.get(_compact(text))
    return words.get(_compact(_plain(text))) if found is None else found


def _plain(text: str) -> str:
    """Without brackets, pictures or markup: wordings drift."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text[:_MAX_TEXT])
    return re.sub(r"\([^)]*\)?", "", text)


def _compact(text: str) -> str:
    """Small letters and digits only, as surveys write their choices (in capitals)."""
    return re.sub(r"[^a-z0-9]+", "", text[:_MAX_TEXT].lower())
