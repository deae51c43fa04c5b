"""Options that the training commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass

__all__ = [
    "Count",
    "Data",
    "Doubtful",
    "Epochs",
    "HeldLabels",
    "HeldOut",
    "LeastSnr",
    "Leaves",
    "NewFolder",
    "OwnCutouts",
    "OwnLabels",
    "Quiet",
    "Seed",
    "Trees",
    "Workers",
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Data = Annotated[
    Path | None,
    typer.Option(help="A labelled set: a folder of cutouts with truth.parquet, .ecsv or .csv."),
]
Count = Annotated[int, typer.Option("--n", min=1, help="Synthetic cutouts to make.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the synthetic cutouts and of training.")]
Workers = Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes and threads.")]
LeastSnr = Annotated[
    float,
    typer.Option(
        "--min-snr",
        min=0.0,
        help="Leave out synthetic asteroids and satellites below this S/N: no finder would have "
        "cut them out, and they teach that blank sky is an asteroid.",
    ),
]
Doubtful = Annotated[
    bool,
    typer.Option(
        help="Whether synthetic cutouts whose class no picture can tell are among them, as on "
        "the sky: they teach how sure one may be."
    ),
]
NewFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for weights and card.")]
Trees = Annotated[int, typer.Option(min=1, help="Trees of the forest.")]
Leaves = Annotated[int, typer.Option(min=2, help="Most leaves of a tree.")]
OwnLabels = Annotated[
    Path | None,
    typer.Option(
        help="Your own labels (as `streaks labels import` writes them): learn from them, among "
        "some synthetic cutouts, and compare with --start on nights kept back."
    ),
]
OwnCutouts = Annotated[
    list[Path] | None,
    typer.Option(help="The cutouts that --labels are of: a night's folder; repeat."),
]
HeldOut = Annotated[
    list[Path] | None,
    typer.Option(
        help="Cutouts of nights to measure on, not to learn from; repeat. When not given, a fifth "
        "of the nights of --cutouts."
    ),
]
HeldLabels = Annotated[
    Path | None, typer.Option(help="Labels of --held-out, where it is not --labels.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the set.")]
