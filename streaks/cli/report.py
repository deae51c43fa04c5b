"""``streaks report``: a night's page, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    night: Annotated[Path, typer.Argument(help="Folder that `streaks night` wrote.")],
    truth: Annotated[
        Path | None, typer.Option(help="Table of true streaks, to set beside what was found.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; DIR/report.html.")
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Say nothing but errors.")] = False,
) -> None:
    """Write the page of a night: candidates first, then everything else."""
    from streaks.night import read_night, write_night_report
    from streaks.readers import read_table

    true_streaks = None if truth is None else read_table(truth)
    path = write_night_report(read_night(night), truth=true_streaks, path=out)
    if not quiet:
        print(path)
