"""The questions that volunteers answer, as the answers are read: which words mean what."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from streaks.tables import CLASSES, SKIP, UNRESOLVED

__all__ = ["BOGUS", "KIND", "QUESTIONS", "REAL", "REAL_OR_BOGUS", "Question", "numbered_text"]

REAL, BOGUS = "real", "bogus"
#: Letters of a text that are looked at; answers are short.
_MAX_TEXT = 2000
#: Answers of the AStreaks project that are not worded as in our own question.
_OTHER_WORDS = {
    "satellite flashes": "satellite",
    "dementor or ghost": "ghost",
    "plausible asteroid": "asteroid",
    "point source": UNRESOLVED,
    "not sure": SKIP,
}
_NUMBERED = re.compile(r"answer number (\d{1,3})")


@dataclass(frozen=True, eq=False)
class Question:
    """One question.

    Parameters
    ----------
    name
        As options spell it.
    wording
        How it is asked, in `compact` letters; one of them in a task's label tells the task.
    outputs
        What answers stand for, in the order of an answer's index.
    words
        Index of the output by compact text.
    full
        Compact texts that only this question's answers have: one of them tells the task.
    orders
        Lists of outputs in the order in which volunteers see the answers, the usual one first, the
        one of campaigns with an answer for unresolved last.
    """

    name: str
    wording: tuple[str, ...]
    outputs: tuple[str, ...]
    words: Mapping[str, int]
    full: frozenset[str]
    orders: tuple[tuple[str, ...], ...]

    def output(self, text: str, *, with_unresolved: bool = True) -> int | None:
        """The output that a text names.

        Parameters
        ----------
        text
            Of an answer, or of `numbered_text`.
        with_unresolved
            Whether the campaign has that answer: answers after it have other numbers then.

        Returns
        -------
        int or None
            None for a text that names none.
        """
        numbered = _NUMBERED.fullmatch(text)
        if numbered:
            return self.numbered(int(numbered.group(1)), with_unresolved=with_unresolved)
        found = self.words.get(compact(text))
        return self.words.get(compact(plain(text))) if found is None else found

    def numbered(self, number: int, *, with_unresolved: bool) -> int | None:
        """The output of an answer told by its place in the list, from 0.

        Parameters
        ----------
        number
            Its place.
        with_unresolved
            Whether the campaign has an answer for unresolved.

        Returns
        -------
        int or None
            None where the list is shorter.
        """
        order = self.orders[-1 if with_unresolved else 0]
        return self.outputs.index(order[number]) if number < len(order) else None

    def of_class(self, label: str) -> int | None:
        """The output that is right for a class of `streaks.tables.LABELS`.

        Parameters
        ----------
        label
            A class's name, or an output's.

        Returns
        -------
        int or None
            None where there is none.
        """
        if label in self.outputs:
            return self.outputs.index(label)
        if REAL in self.outputs and label in (*CLASSES, UNRESOLVED):
            return self.outputs.index(REAL if label in ("asteroid", "satellite") else BOGUS)
        return None


def numbered_text(number: int) -> str:
    """What stands for an answer of which an export tells only the place in the list.

    Parameters
    ----------
    number
        From 0.

    Returns
    -------
    str
        `Question.output` understands it.
    """
    return f"answer number {number}"


def plain(text: str) -> str:
    """Without brackets, pictures or markup: wordings drift.

    Parameters
    ----------
    text
        Any.

    Returns
    -------
    str
    """
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text[:_MAX_TEXT])
    return re.sub(r"\([^)]*\)?", "", text)


def compact(text: str) -> str:
    """Small letters and digits only, as surveys write their choices (in capitals).

    Parameters
    ----------
    text
        Any.

    Returns
    -------
    str
    """
    return re.sub(r"[^a-z0-9]+", "", text[:_MAX_TEXT].lower())


def _kind() -> Question:
    held = _question_file()
    outputs = (*CLASSES, SKIP, UNRESOLVED)
    words = {name.replace("_", " "): name for name in outputs} | _OTHER_WORDS
    for answer in held["answers"]:
        words[answer["text"]] = words[plain(answer["text"])] = answer["label"]
    usual = tuple(str(a["label"]) for a in held["answers"] if a["label"] != UNRESOLVED)
    full = {compact(a["text"]) for a in held["answers"] if a["label"] != SKIP}
    return _question(
        "kind",
        [held["question"]],
        outputs,
        words,
        full,
        (usual, (*usual[:-1], UNRESOLVED, *usual[-1:])),
    )


def _real_or_bogus() -> Question:
    outputs = (REAL, BOGUS, SKIP)
    return _question(
        "real-or-bogus",
        ["real or bogus"],
        outputs,
        {name: name for name in outputs} | {"not sure": SKIP},
        {REAL, BOGUS},
        (outputs,),
    )


def _question(
    name: str,
    wording: Sequence[str],
    outputs: tuple[str, ...],
    words: Mapping[str, str],
    full: set[str],
    orders: tuple[tuple[str, ...], ...],
) -> Question:
    index = {compact(text): outputs.index(label) for text, label in words.items()}
    asked = tuple(compact(text) for text in wording)
    return Question(name, asked, outputs, index, frozenset(full), orders)


@functools.cache
def _question_file() -> Any:
    text = (resources.files("streaks.labelling") / "texts" / "question.json").read_text("utf-8")
    return json.loads(text)


KIND, REAL_OR_BOGUS = "kind", "real-or-bogus"
#: By name. The question file is read when one is asked for.
QUESTIONS = {KIND: functools.cache(_kind), REAL_OR_BOGUS: functools.cache(_real_or_bogus)}
