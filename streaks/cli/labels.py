"""``streaks labels``: subject sets for volunteers, and their answers back."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streaks.cli import labels_export, labels_upload

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["app"]

#: Bad rows and unknown texts of an export that are named one by one.
_NAMED = 10

app = typer.Typer(help="Sets of pictures for volunteers on Zooniverse.", no_args_is_help=True)


app.command("export")(labels_export.export)
app.command("upload")(labels_upload.upload)


@app.command("import")
def import_answers(
    export_file: Annotated[
        Path,
        typer.Argument(
            metavar="EXPORT.csv",
            help="Zooniverse's classification export, or JSON of pictures and their classes.",
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="Table; its suffix is the format.")],
    workflow: Annotated[int | None, typer.Option(help="Take this workflow only.")] = None,
    min_votes: Annotated[
        int, typer.Option(min=1, help="Leave out subjects that fewer volunteers answered.")
    ] = 3,
    min_probability: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Below it a subject's label stays empty.")
    ] = 0.5,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> int:
    """Volunteers' answers as labels: one row a subject, nothing about volunteers.

    Who errs how is estimated with the labels (Dawid and Skene); subjects of known truth
    (#feedback_1_answer in the manifest) teach it. Train with `streaks train cnn --labels`.
    """
    from streaks.errors import InputError
    from streaks.labelling import consensus_labels, pooled_labels, read_answers
    from streaks.reporting import table_suffix, write_table

    table_suffix(out)
    if export_file.suffix.lower() == ".json":
        table, unknown = consensus_labels(export_file, min_probability=min_probability)
        _say_unknown(unknown)
        write_table(table, out)
        if not quiet:
            _say_labels(table, len(table), out)
        return 1 if unknown else 0
    answers = read_answers(export_file, workflow=workflow)
    _say_unknown(answers.not_understood)
    for line, reason in list(answers.bad_rows.items())[:_NAMED]:
        print(f"{export_file}, row {line} is left out: {reason}", file=sys.stderr)
    if len(answers.bad_rows) > _NAMED:
        print(f"... and {len(answers.bad_rows) - _NAMED} more rows", file=sys.stderr)
    for task, n in answers.other_tasks.items():
        if not quiet:
            print(f"{n} texts of task {task} are left out: it does not ask the question")
    if not len(answers.answer):
        raise InputError(
            f"{export_file} holds no answer to the question that `streaks labels export` asks; "
            f"choose the workflow with --workflow"
        )
    table = pooled_labels(answers, min_votes=min_votes, min_probability=min_probability)
    write_table(table, out)
    if not quiet:
        _say_labels(table, len(answers.names), out)
    return 1 if answers.not_understood or answers.bad_rows else 0


def _say_unknown(texts: Mapping[str, int]) -> None:
    for text, n in list(texts.items())[:_NAMED]:
        print(f"not an answer of the question: {text[:200]!r} ({n} times)", file=sys.stderr)
    if len(texts) > _NAMED:
        print(f"... and {len(texts) - _NAMED} more texts", file=sys.stderr)


def _say_labels(table: QTable, n_subjects: int, out: Path) -> None:
    counts = Counter(str(label) or "undecided" for label in table["label"])
    listed = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
    print(f"{len(table)} of {n_subjects} subjects: {listed or 'none with enough votes'}")
    print(f"written to {out}")
