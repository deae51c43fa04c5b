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
import hashlib
import hmac
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import open_regular, parse_json
from streaks.errors import ConfigError, ReadError, TableError
from streaks.labelling.questions import (
    KIND,
    QUESTIONS,
    REAL_OR_BOGUS,
    Question,
    compact,
    numbered_text,
)
from streaks.tables import CLASSES, LABELS, SKIP, UNRESOLVED

__all__ = ["Answers", "ModelSaid", "read_answers"]

_COLUMNS = ("user_name", "annotations", "subject_data", "subject_ids")
#: Kinds of tasks whose answers are numbers (Zooniverse's newer front end), or typed.
_BY_NUMBER, _TYPED = ("single", "multiple"), ("text", "textFromSubject", "transcription")
#: Combinations within combinations; the project builder makes none.
_MAX_COMBINED = 8
#: Years of answers: Galaxy Zoo, from which Zooniverse grew, began in 2007.
_FIRST_YEAR, _LAST_YEAR = 2007, 2099
#: Who answered where the export does not say so.
_NOBODY = "unknown"
#: What identifies a subject, in the order of preference; `#` and `!` hide headings.
_NAME_KEYS = ("streak_id", "filename", "file_name", "image_name", "name")


@dataclass(frozen=True)
class ModelSaid:
    """What the classifier said of a subject, as the manifest kept it.

    Parameters
    ----------
    label
        One of `streaks.tables.LABELS`.
    probabilities
        By label, those that are known.
    """

    label: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Answers:
    """Votes on subjects.

    Parameters
    ----------
    names
        Of subjects: ``streak_id`` or file name from the manifest, else Zooniverse's number.
    subject, volunteer, answer : (n_votes,) int
        Indices of subject, volunteer, and output.
    weight : (n_votes,)
        1, or less where one volunteer gave several answers to one subject.
    gold
        Output of subjects whose truth the manifest told (``#truth``, ``#feedback_1_answer``).
    not_understood
        How many answers there were of each text that is no answer of the question.
    other_tasks
        How many texts of tasks that do not ask the question were left out, by task.
    bad_rows
        Rows of the file that could not be used, each with the reason.
    question
        Name of the question (`streaks.labelling.questions`).
    outputs
        What indices of ``answer`` stand for: classes, skip, and unresolved where the campaign has
        that answer; or real, bogus, skip.
    time_s : (n_votes,)
        When each answer was given, seconds since 1970 UTC; NaN where unknown.
    subject_ids
        Zooniverse's numbers, as ``names``.
    model
        What the classifier said, by subject, where the manifest told it.
    hashes
        Of volunteers, as ``volunteer`` counts them; empty without a salt.
    n_unresolved_as_skip
        Subjects of known truth that are unresolved, counted as skip: the campaign has no answer
        for it.
    n_repeated
        Answers left out because their volunteer had answered that subject already.
    n_nameless
        Classifications with nothing that tells whose they are: all count as one volunteer's.
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
    question: str = KIND
    outputs: tuple[str, ...] = (*CLASSES, SKIP)
    time_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    subject_ids: tuple[str, ...] = ()
    model: Mapping[int, ModelSaid] = field(default_factory=dict)
    hashes: tuple[str, ...] = ()
    n_unresolved_as_skip: int = 0
    n_repeated: int = 0
    n_nameless: int = 0


@dataclass(frozen=True)
class _Given:
    """What one task of one classification was answered."""

    task: str
    label: str
    kind: str
    texts: tuple[str, ...]
    workflow: str = ""


@dataclass(frozen=True)
class _Classification:
    """One row of the file: who said what of which subject."""

    subject_id: str
    about: Mapping[str, Any]
    person: str
    given: tuple[_Given, ...]
    time_s: float


def read_answers(
    path: Path,
    *,
    workflow: int | None = None,
    question: str | None = None,
    salt: bytes | None = None,
) -> Answers:
    """The answers in a classification export.

    Of several classifications of one subject by one volunteer the earliest counts, wherever it
    stands in the file; where times are unknown the one that stands first. Subjects are
    told apart by Zooniverse's number, so that one uploaded twice is two. A row that cannot be
    used is named in ``bad_rows``, and the rest is read.

    Parameters
    ----------
    path
        The CSV file that Zooniverse's project builder exports.
    workflow
        Take this workflow only.
    question
        Name of one of `streaks.labelling.questions.QUESTIONS`; when not given, the one that most
        answers are of.
    salt
        With it, volunteers get hashes in ``hashes``, the same for the same salt.

    Returns
    -------
    Answers

    Raises
    ------
    ReadError
        If it cannot be read, or not a single row of it can be used.
    TableError
        If it lacks columns of such an export.
    ConfigError
        For an unknown question.
    """
    if question is not None and question not in QUESTIONS:
        raise ConfigError(f"no question {question!r}; there are {', '.join(QUESTIONS)}")
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
    given = [one for row in rows for one in row.given]
    asked = QUESTIONS[question or _likeliest_question(given)]()
    return _counted(rows, bad, asked, salt)


def _likeliest_question(given: Sequence[_Given]) -> str:
    """The one that most texts are answers to; skip, which all have, says nothing."""
    kinds = {name: make() for name, make in QUESTIONS.items()}
    counts = {
        name: sum(
            question.output(text) not in (None, question.outputs.index(SKIP))
            for one in given
            if one.kind not in _TYPED
            for text in one.texts
        )
        for name, question in kinds.items()
    }
    return REAL_OR_BOGUS if counts[REAL_OR_BOGUS] > counts[KIND] else KIND


def _counted(
    rows: list[_Classification], bad: Mapping[int, str], question: Question, salt: bytes | None
) -> Answers:
    asks = _question_tasks([given for row in rows for given in row.given], question)
    outputs = _outputs_of(rows, asks, question)
    with_unresolved = UNRESOLVED in outputs
    names: dict[str, str] = {}
    index: dict[str, int] = {}
    people: dict[str, int] = {}
    gold: dict[int, int] = {}
    votes: dict[tuple[int, int], tuple[list[int], float]] = {}
    model: dict[int, ModelSaid] = {}
    n_points = n_repeated = 0
    unknown: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for row in rows:
        if row.subject_id not in names:
            index[row.subject_id] = len(names)
            names[row.subject_id] = _name(row.about, row.subject_id)
            known = _gold(row.about, question, with_unresolved)
            if known is not None and known >= len(outputs):
                known, n_points = outputs.index(SKIP), n_points + 1
            if known is not None:
                gold[len(names) - 1] = known
            said = _model_said(row.about)
            if said is not None:
                model[len(names) - 1] = said
        asked = [given for given in row.given if (given.workflow, given.task) in asks]
        for given in row.given:
            if given not in asked and given.texts:
                others[_task_name(given, asks)] += len(given.texts)
        texts = [text for given in asked for text in given.texts]
        meant = [question.output(text, with_unresolved=with_unresolved) for text in texts]
        found = sorted({k for k in meant if k is not None})
        unknown.update(text for text, k in zip(texts, meant, strict=True) if k is None)
        person = people.setdefault(row.person, len(people))
        key = (index[row.subject_id], person)
        n_repeated += bool(found) and key in votes
        if found and (key not in votes or row.time_s < votes[key][1]):
            votes[key] = found, row.time_s
    flat = [
        (s, v, a, 1.0 / len(found), time) for (s, v), (found, time) in votes.items() for a in found
    ]
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
        question=question.name,
        outputs=outputs,
        time_s=np.array([vote[4] for vote in flat], dtype=float),
        subject_ids=tuple(names),
        model=model,
        hashes=() if salt is None else tuple(_hash(person, salt) for person in people),
        n_unresolved_as_skip=n_points,
        n_repeated=n_repeated,
        n_nameless=sum(row.person == _NOBODY for row in rows),
    )


def _outputs_of(
    rows: Sequence[_Classification], asks: frozenset[tuple[str, str]], question: Question
) -> tuple[str, ...]:
    """The question's outputs, without unresolved where nobody could answer so."""
    if UNRESOLVED not in question.outputs:
        return question.outputs
    point = question.outputs.index(UNRESOLVED)
    last = numbered_text(len(question.orders[-1]) - 1)
    texts = {
        text
        for row in rows
        for given in row.given
        if (given.workflow, given.task) in asks
        for text in given.texts
    }
    said = any(
        text == last or question.output(text, with_unresolved=False) == point for text in texts
    )
    return question.outputs if said else question.outputs[:point]


def _task_name(given: _Given, asks: frozenset[tuple[str, str]]) -> str:
    """A task's name, with its workflow's where that is another one than the question's."""
    name = given.task or "(no name)"
    if given.workflow in {workflow for workflow, _ in asks}:
        return name
    return f"{name} of workflow {given.workflow}"


def _hash(person: str, salt: bytes) -> str:
    return hmac.new(salt, person.encode(), hashlib.sha256).hexdigest()[:12]


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
    person = row.get("user_name") or row.get("user_ip") or _NOBODY
    workflow = str(row.get("workflow_id") or "")
    given = tuple(one for task in tasks for one in _given(task, _MAX_COMBINED, workflow))
    about = about if isinstance(about, dict) else {}
    return _Classification(subject_id, about, person, given, _seconds(row.get("created_at")))


def _seconds(text: str | None) -> float:
    """Seconds since 1970 of ``2024-02-23 16:17:42 UTC``; NaN for what is no such time.

    So it is for years that a clock gone wrong tells: one vote of 9999 would hide all real days.
    """
    try:
        time = datetime.fromisoformat(str(text or "").replace(" UTC", "+00:00").strip())
    except ValueError:
        return float("nan")
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        return float("nan")
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _given(task: Any, depth: int, workflow: str) -> Iterator[_Given]:
    """What was answered to a task, and to the tasks that it combines."""
    if not isinstance(task, dict) or depth == 0:
        return
    value = task.get("value")
    values = value if isinstance(value, list) else [value]
    combined = [one for one in values if isinstance(one, dict) and "task" in one]
    for one in combined:
        yield from _given(one, depth - 1, workflow)
    kind = str(task.get("taskType") or "")
    texts = tuple(text for one in values if one not in combined for text in _texts(one, kind))
    if texts:
        yield _Given(
            str(task.get("task") or ""),
            str(task.get("task_label") or ""),
            kind,
            texts,
            workflow,
        )


def _texts(value: Any, kind: str) -> Iterator[str]:
    """The text of an answer, a choice of a drop-down list, or of a survey.

    What has none is described, so that it is counted and named.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool) and kind in _BY_NUMBER:
        yield numbered_text(value)
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


def _question_tasks(given: Sequence[_Given], question: Question) -> frozenset[tuple[str, str]]:
    """The tasks that ask the question, each with its workflow.

    By their wording, where the export has it; else those that are answered in the question's own
    full words; else the one with most answers that are names of outputs. None where nothing is
    understood: then all are looked at, and what they say is told.
    """
    asked: set[tuple[str, str]] = set()
    named: Counter[tuple[str, str]] = Counter()
    for one in given:
        task = (one.workflow, one.task)
        if any(wording in compact(one.label) for wording in question.wording):
            asked.add(task)
        if one.kind in _TYPED:
            continue
        if any(_is_full(text, question) for text in one.texts):
            asked.add(task)
        named[task] += sum(question.output(text) is not None for text in one.texts)
    if asked:
        return frozenset(asked)
    if named and max(named.values()) > 0:
        return frozenset(task for task, n in named.most_common(1))
    return frozenset((one.workflow, one.task) for one in given)


def _is_full(text: str, question: Question) -> bool:
    """Whether it is one of the question's own answers, word for word or by number."""
    return compact(text) in question.full or (
        text.startswith(numbered_text(0)[:-1]) and question.output(text) is not None
    )


def _name(about: Mapping[str, Any], subject_id: str) -> str:
    by_key = {re.sub(r"^[#!/]+", "", str(key)).strip().lower(): v for key, v in about.items()}
    return next((str(by_key[key]) for key in _NAME_KEYS if by_key.get(key)), subject_id)


def _gold(about: Mapping[str, Any], question: Question, with_unresolved: bool) -> int | None:
    """The truth of a training subject: as a class, as an answer's text, or as its number."""
    by_key = {str(key).lstrip("#"): str(value) for key, value in about.items()}
    told = question.of_class(by_key.get("truth", "").strip())
    if told is not None:
        return told
    text = by_key.get("feedback_1_answer", "")
    # In ASCII: "²" is a digit too, and no number.
    if re.fullmatch("[0-9]{1,2}", text):
        return question.numbered(int(text), with_unresolved=with_unresolved)
    return question.output(text, with_unresolved=with_unresolved)


def _model_said(about: Mapping[str, Any]) -> ModelSaid | None:
    by_key = {str(key).lstrip("#"): str(value).strip() for key, value in about.items()}
    label = by_key.get("label", "")
    if label not in LABELS:
        return None
    known = {name: _share(by_key.get(f"p_{name}", "")) for name in (*CLASSES, UNRESOLVED)}
    p = {name: value for name, value in known.items() if value is not None}
    if set(CLASSES) <= set(p):
        p[SKIP] = max(1.0 - sum(p.values()), 0.0)
    return ModelSaid(label, p)


def _share(text: str) -> float | None:
    """A probability; None for what is none (ZTF's -999)."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
