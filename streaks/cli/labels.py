"""``streaks labels``: subject sets for volunteers, and their answers back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streaks.cli import labels_import, labels_status

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.cutouts import Cutouts
    from streaks.labelling import SubjectSummary
    from streaks.night import Night

__all__ = ["app"]

app = typer.Typer(help="Sets of pictures for volunteers on Zooniverse.", no_args_is_help=True)

app.command("import")(labels_import.import_answers)
app.command("status")(labels_status.status)


@app.command("export")
def export(
    night: Annotated[Path, typer.Argument(help="Folder that `streaks night` wrote.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="New folder for the set.")],
    min_rb: Annotated[float, typer.Option(help="Least real/bogus score, 0 to 1.")] = 0.0,
    max_rb: Annotated[float, typer.Option(help="Largest real/bogus score, 0 to 1.")] = 1.0,
    label: Annotated[
        list[str] | None, typer.Option(help="Take this class only; may be given again.")
    ] = None,
    ccd: Annotated[
        list[int] | None, typer.Option(help="Take this CCD only; may be given again.")
    ] = None,
    include_negative: Annotated[
        bool, typer.Option(help="Take negative subtractions too (fainter than the reference).")
    ] = False,
    limit: Annotated[int, typer.Option(help="Most subjects, by score; 0 for all.")] = 0,
    panel_px: Annotated[int, typer.Option(help="Side of a panel, screen px.")] = 384,
    overwrite: Annotated[bool, typer.Option(help="Replace a set that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="Say nothing but errors.")] = False,
) -> None:
    """Write a Zooniverse subject set from a night, for the AStreaks question.

    One PNG a streak, manifest.csv without an empty cell, the question and a tutorial. Positive
    subtractions only, unless asked otherwise.
    """
    from streaks.config import LabelConfig
    from streaks.labelling import export_subjects
    from streaks.night import read_night
    from streaks.plotting import subject_png

    config = LabelConfig(
        include_negative=include_negative,
        min_rb=min_rb,
        max_rb=max_rb,
        labels=tuple(label or ()),
        ccds=tuple(ccd or ()),
        limit=limit,
        panel_px=panel_px,
    )
    archive = read_night(night)
    summary = export_subjects(
        _with_ccds(archive), _stacks(archive), out, config, draw=subject_png, overwrite=overwrite
    )
    if as_json:
        print(json.dumps(_plain(summary), sort_keys=True))
    elif not quiet:
        _say(summary)


def _with_ccds(night: Night) -> QTable:
    """The night's streaks, with the CCD of each where the frames' headers told it."""
    streaks, frames = night.streaks, night.frames
    if "ccd" not in frames.colnames or "ccd" in streaks.colnames:
        return streaks
    ccds = {str(row["image"]): _ccd(row["ccd"]) for row in frames}
    if not any(ccd >= 0 for ccd in ccds.values()):
        return streaks
    joined = streaks.copy()
    joined["ccd"] = [ccds.get(str(image), -1) for image in streaks["image"]]
    return joined


def _ccd(value: object) -> int:
    """A CCD number; -1 where the header had none."""
    try:
        return int(float(str(value)))
    except ValueError:
        return -1


def _stacks(night: Night) -> Iterator[Cutouts]:
    """The cutouts of one frame after another, so that a night need not fit in memory."""
    for image in dict.fromkeys(str(image) for image in night.streaks["image"]):
        yield night.cutouts(image)


def _plain(summary: SubjectSummary) -> dict[str, object]:
    return {
        "path": str(summary.path),
        "subjects": summary.n_subjects,
        "by_label": dict(summary.by_label),
        "left_out": dict(summary.left_out),
        "largest_bytes": summary.largest_bytes,
    }


def _say(summary: SubjectSummary) -> None:
    classes = ", ".join(f"{n} {name}" for name, n in sorted(summary.by_label.items()))
    print(f"{summary.n_subjects} subjects in {summary.path} ({classes})")
    for reason, n in summary.left_out.items():
        print(f"left out: {n} {reason}")
    print(f"largest picture {summary.largest_bytes / 1000:.0f} kB; next: {summary.path}/README.md")
