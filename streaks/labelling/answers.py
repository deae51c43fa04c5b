"""Volunteers' answers, out of a Zooniverse classification export.

User names and addresses are read to tell volunteers apart, and go no further: what comes out
holds running numbers only.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.errors import ReadError, TableError
from streaks.labelling.dawid_skene import pool_votes
from streaks.tables import CLASSES, PROBABILITY_COLUMNS, SKIP

__all__ = ["Answers", "pooled_labels", "read_answers"]

_COLUMNS = ("user_name", "annotations", "subject_data", "subject_ids")
_OUTPUTS = (*CLASSES, SKIP)
#: Answers of the AStreaks project that are not worded as in our own question.
_OTHER_WORDS = {"satellite flashes": "satellite", "dementor or ghost": "ghost"}
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
    """

    names: tuple[str, ...]
    subject: NDArray[np.int64]
    volunteer: NDArray[np.int64]
    answer: NDArray[np.int64]
    weight: NDArray[np.float64]
    gold: Mapping[int, int]
    not_understood: Mapping[str, int]


def read_answers(path: Path, *, workflow: int | None = None) -> Answers:
    """The answers in a classification export.

    Of several classifications of one subject by one volunteer the first counts. Subjects are
    told apart by Zooniverse's number, so that one uploaded twice is two.

    Parameters
    ----------
    path
        The CSV file that Zooniverse's project builder exports.
    workflow
        Take this workflow only.

    Raises
    ------
    ReadError
        If it cannot be read, or a line of it is broken.
    TableError
        If it lacks columns of such an export.
    """
    words = _words()
    names: dict[str, str] = {}
    index: dict[str, int] = {}
    people: dict[str, int] = {}
    gold: dict[int, int] = {}
    votes: dict[tuple[int, int], list[int]] = {}
    unknown: Counter[str] = Counter()
    for line, row in _rows(path):
        if workflow is not None and str(row.get("workflow_id", "")) != str(workflow):
            continue
        subject_id, about = _subject(row, path, line)
        if subject_id not in names:
            index[subject_id] = len(names)
            names[subject_id] = _name(about, subject_id)
            known = _gold(about, words)
            if known is not None:
                gold[len(names) - 1] = known
        texts = _texts_answered(row, path, line)
        found = sorted({words[plain] for text in texts if (plain := _plain(text)) in words})
        unknown.update(text for text in texts if _plain(text) not in words)
        person = people.setdefault(_person(row), len(people))
        key = (index[subject_id], person)
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
    )


def pooled_labels(answers: Answers, *, min_votes: int = 3, min_probability: float = 0.5) -> QTable:
    """One row a subject: its likeliest class, and how sure that is.

    Parameters
    ----------
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
    table = QTable()
    table["name"] = np.array(answers.names, dtype=str)
    table["label"] = np.where(p.max(axis=1) >= min_probability, np.array(_OUTPUTS)[best], "")
    for k, column in enumerate(PROBABILITY_COLUMNS):
        table[column] = np.round(p[:, k], 6)
    table["n_votes"] = count
    table["agreement"] = np.round(shares[np.arange(n), best] / np.maximum(count, 1), 4)
    return table[(count >= min_votes) | known]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    # Annotations of long drawings are longer than the csv module's cautious limit.
    csv.field_size_limit(10_000_000)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
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


def _json(text: str | None, what: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        raise ReadError(
            f"{path}, row {line}: {what} is not JSON; the file was altered or cut short, "
            f"export it again"
        ) from None


def _subject(row: Mapping[str, str], path: Path, line: int) -> tuple[str, Mapping[str, Any]]:
    data = _json(row["subject_data"], "subject_data", path, line)
    subject_id = str(row["subject_ids"]).split(";")[0].strip()
    about = data.get(subject_id, {}) if isinstance(data, dict) else {}
    return subject_id, about if isinstance(about, dict) else {}


def _name(about: Mapping[str, Any], subject_id: str) -> str:
    by_key = {re.sub(r"^[#!/]+", "", str(key)).strip().lower(): v for key, v in about.items()}
    return next((str(by_key[key]) for key in _NAME_KEYS if by_key.get(key)), subject_id)


def _gold(about: Mapping[str, Any], words: Mapping[str, int]) -> int | None:
    """The truth of a training subject, as text or as the number of an answer."""
    by_key = {str(key).lstrip("#"): str(value) for key, value in about.items()}
    text = by_key.get("feedback_1_answer", "")
    if text.isdigit() and int(text) < len(_OUTPUTS):
        return int(text)
    return words.get(_plain(text))


def _texts_answered(row: Mapping[str, str], path: Path, line: int) -> list[str]:
    """All texts chosen; drawings and numbers are passed over."""
    tasks = _json(row["annotations"], "annotations", path, line)
    values = [task.get("value") for task in tasks if isinstance(task, dict)]
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [text for text in flat if isinstance(text, str)]


def _person(row: Mapping[str, str]) -> str:
    # Those not logged in have a name made of their address, else only the address.
    return row.get("user_name") or row.get("user_ip") or "unknown"


def _words() -> dict[str, int]:
    """What an answer's text stands for: whole, without its bracket, and the class's own name."""
    text = (resources.files("streaks.labelling") / "texts" / "question.json").read_text("utf-8")
    words = {name.replace("_", " "): name for name in _OUTPUTS} | _OTHER_WORDS
    words |= {name: name for name in _OUTPUTS}
    for answer in json.loads(text)["answers"]:
        words[_plain(answer["text"])] = answer["label"]
    return {key: _OUTPUTS.index(label) for key, label in words.items()}


def _plain(text: str) -> str:
    """Lower case, without brackets, pictures or markup: wordings drift."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\([^)]*\)?", "", text)
    return re.sub(r"[^a-z_\- ]+", "", text.lower()).strip()
