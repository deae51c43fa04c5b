"""``streaks labels import``: volunteers' answers back as labels."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.labelling import Answers

__all__ = [
    "AgainstModel",
    "Agreement",
    "FewestVotes",
    "MostVotes",
    "QuestionName",
    "WorkflowNumber",
    "export_of",
    "say_left_out",
]

#: Bad rows and unknown texts of an export that are named one by one.
_NAMED = 10

WorkflowNumber = Annotated[int | None, typer.Option(help="Take this workflow only.")]
QuestionName = Annotated[
    str | None,
    typer.Option(
        help="kind (what kind of streak) or real-or-bogus; when not given, the one that most "
        "answers are of."
    ),
]
FewestVotes = Annotated[
    int, typer.Option(min=1, help="Votes that a consensus by counting needs at least.")
]
Agreement = Annotated[
    float,
    typer.Option(
        min=0.5, max=1.0, help="Share of the votes that a consensus by counting needs; above 0.5."
    ),
]
MostVotes = Annotated[
    int, typer.Option(min=1, help="Votes after which a subject is retired, agreed or not.")
]
AgainstModel = Annotated[
    Path | None,
    typer.Option(
        help="A night's folder, or a table with streak_id and label: the model's word, instead of "
        "that in the manifest."
    ),
]


def import_answers(
    export_file: Annotated[
        Path,
        typer.Argument(
            metavar="EXPORT.csv",
            help="Zooniverse's classification export, or JSON of pictures and their classes.",
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="Table; its suffix is the format.")],
    workflow: WorkflowNumber = None,
    question: QuestionName = None,
    rule: Annotated[
        str,
        typer.Option(
            help="What a label rests on: dawid-skene (who errs how is estimated), or votes (as "
            "Caesar counts: a label needs --consensus-votes and --consensus-share)."
        ),
    ] = "dawid-skene",
    min_votes: Annotated[
        int, typer.Option(min=1, help="Leave out subjects that fewer volunteers answered.")
    ] = 3,
    min_probability: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Below it a subject's label stays empty.")
    ] = 0.5,
    consensus_votes: FewestVotes = 5,
    consensus_share: Agreement = 0.8,
    retire_votes: MostVotes = 10,
    with_model: Annotated[
        bool,
        typer.Option(
            "--with-model",
            help="Let the model's label vote too, as one more volunteer whose habits are learnt.",
        ),
    ] = False,
    against: AgainstModel = None,
    disagreements: Annotated[
        Path | None,
        typer.Option(help="Write subjects of which people and the model say different things."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> int:
    """Volunteers' answers as labels: one row a subject, nothing about volunteers.

    Who errs how is estimated with the labels (Dawid and Skene); subjects of known truth
    (#truth or #feedback_1_answer in the manifest) teach it. Beside it stand the consensus by
    counting, entropy, and whether a subject is done. Train with `streaks train cnn --labels`.
    """
    from streaks.errors import ConfigError
    from streaks.labelling import (
        ConsensusRules,
        consensus_labels,
        pooled_labels,
    )
    from streaks.labelling import (
        disagreements as find_disagreements,
    )
    from streaks.labelling import (
        with_model as told_by,
    )
    from streaks.reporting import table_suffix, write_table

    table_suffix(out)
    if disagreements is not None:
        table_suffix(disagreements)
        if disagreements.resolve() == out.resolve():
            raise ConfigError(f"labels and disagreements are both to be {out}; give two names")
    if export_file.suffix.lower() == ".json":
        if disagreements is not None or against is not None:
            raise ConfigError(f"{export_file} tells nothing of the model; give a CSV export")
        table, unknown = consensus_labels(export_file, min_probability=min_probability)
        _say_unknown(unknown)
        write_table(table, out)
        _say_result(table, len(table), out, None, {}, as_json, quiet)
        return 1 if unknown else 0
    rules = ConsensusRules(consensus_votes, consensus_share, retire_votes)
    answers = export_of(export_file, workflow, question, quiet or as_json)
    if against is not None:
        answers = told_by(answers, _model_table(against))
    table = pooled_labels(
        answers,
        min_votes=min_votes,
        min_probability=min_probability,
        rule=rule,
        rules=rules,
        with_model=with_model,
    )
    about: dict[str, Any] = {
        "question": answers.question,
        "rule": rule,
        "retire": int(table["retire"].sum()),
        "unresolved_is_skip": _unresolved_is_skip(answers),
    }
    differing = find_disagreements(answers, table) if answers.model else None
    if differing is not None:
        about["disagreements"] = len(differing)
    if disagreements is not None:
        if differing is None:
            raise ConfigError(
                "the export does not tell what the model said (#label in the manifest); give "
                "--against"
            )
        write_table(differing, disagreements)
        about["disagreements_in"] = str(disagreements)
    write_table(table, out)
    _say_result(table, len(answers.names), out, answers, about, as_json, quiet)
    return 1 if answers.not_understood or answers.bad_rows else 0


def export_of(path: Path, workflow: int | None, question: str | None, quiet: bool) -> Answers:
    """An export's answers, with what of it was left out said.

    Parameters
    ----------
    path, workflow, question
        As `streaks.labelling.read_answers` takes them.
    quiet
        Whether other tasks' texts are left unmentioned.

    Returns
    -------
    Answers
        At least one.

    Raises
    ------
    InputError
        If there is none.
    """
    from streaks.labelling import read_answers

    answers = read_answers(path, workflow=workflow, question=question)
    say_left_out(path, answers, quiet)
    return answers


def say_left_out(path: Path, answers: Answers, quiet: bool) -> None:
    """Which rows and texts of an export were not used.

    Parameters
    ----------
    path
        The export.
    answers
        Of it.
    quiet
        Whether other tasks' texts are left unmentioned.

    Raises
    ------
    InputError
        If there is not one answer.
    """
    from streaks.errors import InputError

    _say_unknown(answers.not_understood)
    for line, reason in list(answers.bad_rows.items())[:_NAMED]:
        print(f"{path}, row {line} is left out: {reason}", file=sys.stderr)
    if len(answers.bad_rows) > _NAMED:
        print(f"... and {len(answers.bad_rows) - _NAMED} more rows", file=sys.stderr)
    for task, n in answers.other_tasks.items():
        if not quiet:
            print(f"{n} texts of task {task} are left out: it does not ask the question")
    if answers.n_repeated and not quiet:
        print(
            f"{answers.n_repeated} answers are left out: their volunteer had answered that subject "
            "before, and the earliest counts"
        )
    if answers.n_nameless:
        print(
            f"{answers.n_nameless} rows have neither user_name nor user_ip: they count as one "
            "volunteer's; export the file again, or put a name that stands for each into user_name",
            file=sys.stderr,
        )
    if not len(answers.answer):
        raise InputError(
            f"{path} holds no answer to the question that `streaks labels export` asks; "
            f"choose the workflow with --workflow"
        )


def _unresolved_is_skip(answers: Answers) -> bool:
    from streaks.labelling.questions import KIND
    from streaks.tables import UNRESOLVED

    return answers.question == KIND and UNRESOLVED not in answers.outputs


def _model_table(path: Path) -> QTable:
    """Streaks of a night's folder, or any table."""
    from streaks.night import read_night
    from streaks.readers import read_table

    return read_night(path).streaks if path.is_dir() else read_table(path)


def _say_unknown(texts: Mapping[str, int]) -> None:
    for text, n in list(texts.items())[:_NAMED]:
        print(f"not an answer of the question: {text[:200]!r} ({n} times)", file=sys.stderr)
    if len(texts) > _NAMED:
        print(f"... and {len(texts) - _NAMED} more texts", file=sys.stderr)


def _say_result(
    table: QTable,
    n_subjects: int,
    out: Path,
    answers: Answers | None,
    about: Mapping[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    counts = Counter(str(label) or "undecided" for label in table["label"])
    if as_json:
        plain = {"path": str(out), "subjects": n_subjects, "rows": len(table), **about}
        print(json.dumps({**plain, "labels": dict(counts)}, sort_keys=True))
        return
    if quiet:
        return
    listed = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
    print(f"{len(table)} of {n_subjects} subjects: {listed or 'none with enough votes'}")
    if answers is not None:
        if about["unresolved_is_skip"]:
            print("the export has no answer for unresolved: what is unresolved goes with skip")
        print(f"{about['retire']} subjects may be retired (column advice says why)")
        if "disagreements" in about:
            where = about.get("disagreements_in", "--disagreements FILE lists them")
            print(f"{about['disagreements']} are called otherwise by the model: {where}")
    print(f"written to {out}")
