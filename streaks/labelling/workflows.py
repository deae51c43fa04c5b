"""The two questions that volunteers are asked, and what a project's builder needs of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from streaks.errors import ConfigError
from streaks.tables import CLASSES, SKIP, UNRESOLVED

__all__ = [
    "BOGUS",
    "REAL",
    "WORKFLOWS",
    "Answer",
    "Workflow",
    "builder_json",
    "builder_page",
    "question_json",
    "workflow_of",
]

REAL, BOGUS = "real", "bogus"
#: Classes that are light of the sky's own moving things.
_REAL_CLASSES = ("asteroid", "satellite")
#: A subject leaves when so many volunteers have answered; sooner where this share of them agrees.
_VOTES, _AGREEING, _AGREEING_VOTES = 10, 0.8, 5


@dataclass(frozen=True)
class Answer:
    """One answer to a question.

    Parameters
    ----------
    text
        As volunteers read it.
    label
        What it stands for.
    """

    text: str
    label: str


@dataclass(frozen=True)
class Workflow:
    """A question with its answers.

    Parameters
    ----------
    name
        Of the workflow, as options and settings spell it.
    title
        As volunteers read it.
    question, help
        Of the task, in Markdown.
    answers
        In the order in which they are shown; feedback counts them from 0.
    rule
        Id of the feedback rule. Those of the two workflows differ, so that a subject that is in
        both gets the right one.
    """

    name: str
    title: str
    question: str
    help: str
    answers: tuple[Answer, ...]
    rule: str

    def index_of(self, label: str) -> int:
        """Which answer is right for a class.

        Parameters
        ----------
        label
            One of `streaks.tables.LABELS`, or an answer's own label.

        Returns
        -------
        int
            From 0; -1 where no answer stands for it.
        """
        labels = [answer.label for answer in self.answers]
        if label in labels:
            return labels.index(label)
        if REAL in labels and label in (*CLASSES, UNRESOLVED):
            return labels.index(REAL if label in _REAL_CLASSES else BOGUS)
        return -1

    def without_skip(self) -> Workflow:
        """The same question for a campaign that has no answer "skip".

        Returns
        -------
        Workflow
        """
        return replace(self, answers=tuple(a for a in self.answers if a.label != SKIP))


def _class_answers() -> tuple[Answer, ...]:
    """The words of the AStreaks project, from the file that answers are read by."""
    text = (resources.files("streaks.labelling") / "texts" / "question.json").read_text("utf-8")
    words = {answer["label"]: answer["text"] for answer in json.loads(text)["answers"]}
    return tuple(Answer(str(words[name]), name) for name in CLASSES)


_HELP = (
    "Judge what the ticks in the difference image point at, not what lies beside it. White is "
    "brighter than before, black is fainter, blue-grey is no data."
)
_UNRESOLVED = Answer("Unresolved (a dot, no longer than a star)", UNRESOLVED)
_SKIP = Answer('Skip (includes "not sure" and seemingly blank images)', SKIP)


def _workflows() -> Mapping[str, Workflow]:
    return {
        "kind": Workflow(
            "kind",
            "What kind of streak?",
            "What kind of streak do you see?",
            _HELP,
            (*_class_answers(), _UNRESOLVED, _SKIP),
            "1",
        ),
        "real-or-bogus": Workflow(
            "real-or-bogus",
            "Real or bogus?",
            "Is the marked streak real or bogus?",
            _HELP + " Real is light of something that moved while the shutter was open: an "
            "asteroid or a satellite. Bogus is everything that telescope, detector or subtraction "
            "made.",
            (
                Answer("Real (an asteroid or a satellite)", REAL),
                Answer("Bogus (anything else)", BOGUS),
                Answer('Skip (includes "not sure")', SKIP),
            ),
            "2",
        ),
    }


WORKFLOWS = ("kind", "real-or-bogus")


def workflow_of(name: str, *, skip: bool = True) -> Workflow:
    """A workflow by its name.

    Parameters
    ----------
    name
        One of `WORKFLOWS`.
    skip
        Whether it has the answer "skip".

    Returns
    -------
    Workflow

    Raises
    ------
    ConfigError
        For another name.
    """
    found = _workflows().get(name)
    if found is None:
        raise ConfigError(f"no workflow {name!r}; there are {', '.join(WORKFLOWS)}")
    return found if skip else found.without_skip()


def question_json(workflow: Workflow) -> dict[str, Any]:
    """The question for programs: its words, and what each answer stands for.

    Parameters
    ----------
    workflow
        Which.

    Returns
    -------
    dict
    """
    return {
        "workflow": workflow.name,
        "question": workflow.question,
        "answers": [{"text": a.text, "label": a.label} for a in workflow.answers],
        "multiple": False,
    }


def builder_json(workflow: Workflow) -> dict[str, Any]:
    """A workflow as Zooniverse keeps it: tasks, feedback rules, retirement.

    Parameters
    ----------
    workflow
        Which.

    Returns
    -------
    dict
        ``tasks`` and ``retirement`` in the API's own form; ``caesar`` says in words' stead when
        agreement may retire a subject sooner.
    """
    return {
        "display_name": workflow.title,
        "primary_language": "en",
        "first_task": "T0",
        "tasks": {
            "T0": {
                "type": "single",
                "question": workflow.question,
                "help": workflow.help,
                "required": True,
                "answers": [{"label": answer.text} for answer in workflow.answers],
                "feedback": {
                    "enabled": True,
                    "rules": [
                        {
                            "id": workflow.rule,
                            "strategy": "singleAnswerQuestion",
                            "successEnabled": True,
                            "defaultSuccessMessage": "Well seen: that is what we put there.",
                            "failureEnabled": True,
                            "defaultFailureMessage": "Not this time. The field guide shows more.",
                        }
                    ],
                },
            }
        },
        "retirement": {"criteria": "classification_count", "options": {"count": _VOTES}},
        "caesar": {
            "extractor": {"type": "question", "task_key": "T0"},
            "reducer": {"type": "consensus"},
            "retire_when": {"votes_at_least": _AGREEING_VOTES, "agreement_at_least": _AGREEING},
        },
    }


def builder_page(workflow: Workflow) -> str:
    """The same for a person at the project builder, in Markdown.

    Parameters
    ----------
    workflow
        Which.

    Returns
    -------
    str
    """
    answers = "\n".join(f"{i}. {answer.text}" for i, answer in enumerate(workflow.answers, 1))
    return f"""# {workflow.title}

`workflow.json` holds the same for programs.

## Task

A single-answer question task, required:

**{workflow.question}**

{answers}

Help text: *{workflow.help}*

## Feedback

On the workflow's page, under the question, create a feedback rule:

| what | value |
|---|---|
| Feedback rule id | `{workflow.rule}` |
| Strategy | Single Answer Question |
| Positive and negative feedback | both on; subjects bring messages of their own |

Subjects of known truth carry `#feedback_1_id` = `{workflow.rule}`, and in `#feedback_1_answer` the
number of the right answer **counted from 0**. Keep the answers in the order above. Where training
subjects are to be shown more often at first, ask the Zooniverse team to switch on the `designator`
for the workflow, with this set's training subjects in a set of their own.

## Retirement

{_VOTES} classifications a subject. With Caesar: a question extractor on T0, a consensus reducer,
and a rule that retires a subject once at least {_AGREEING_VOTES} volunteers answered and
{_AGREEING:.0%} of them agree. Never retire training subjects: exclude those whose
`#training_subject` is `true`.
"""
