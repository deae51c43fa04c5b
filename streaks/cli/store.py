"""`streaks store`: nights over years."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.searching import AsJson, Quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Nights over years: add them, ask across them.")

Store = Annotated[Path, typer.Argument(help="Folder that `streaks store add` made.")]
Nights = Annotated[
    list[str] | None,
    typer.Option(
        "--night",
        help="Name of a night, its beginning (2018-01), or a span 2018-01-01..2018-02-15.",
    ),
]
Chip = Annotated[str, typer.Option(help="CCD/QUADRANT, as in 4/2; or the beginning of it.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o",
        help="Table (.parquet .csv .ecsv .vot .fits ...); shown where not given.",
    ),
]  # fmt: skip
#: Shown where no output is named.
_SHOWN_ROWS = 20
_SHOWN = ("night", "streak_id", "time", "ra", "dec", "mag", "label", "p_real", "ssnamenr")
_SHOWN_TRENDS = ("night", "n_frames", "n_failed", "n_streaks", "fwhm", "depth", "n_candidates",
                 "expected_false")  # fmt: skip


@app.command("add")
def add(
    nights: Annotated[
        list[Path],
        typer.Argument(help="Folders of `streaks night` or `streaks alerts filter`."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The store; made where there is none.")
    ],
    name: Annotated[
        str,
        typer.Option(help="Of the night, instead of date and observatory of its frames."),
    ] = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Put finished nights into a store; added again, a night replaces what it was.

    It may be stopped at any moment: a night is in the store whole, or as it was before.
    """
    from streaks.errors import StreaksError
    from streaks.store import add_night

    told: list[dict[str, Any]] = []
    failed = 0
    for folder in nights:
        try:
            added = add_night(output, folder, name=name)
        except StreaksError as error:
            typer.echo(f"{folder}: {error}", err=True)
            failed += 1
            continue
        for one in added:
            told.append({"folder": str(folder), **vars(one)})
            if not quiet and not as_json:
                before = f" ({one.frames_before} before)" if one.frames_before else ""
                typer.echo(f"{one.night}: {one.streaks} streaks, {one.frames} frames{before}")
    if as_json:
        _say_json({"store": str(output), "added": told, "failed": failed})
    return 2 if failed == len(nights) else int(failed > 0)


@app.command("query")
def query(
    store: Store,
    where: Annotated[
        str,
        typer.Argument(metavar="CONDITION", help='"p_real > 0.5 and mag < 20".'),
    ] = "",
    at: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Cone: right ascension, declination, radius, all in degrees."),
    ] = None,
    night: Nights = None,
    object_name: Annotated[
        str,
        typer.Option(
            "--object", help="Known object in any spelling, satellite, NORAD number or tracklet."
        ),
    ] = "",
    other_nights: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="With a tracklet as --object: streaks so many days before and after that may be "
            "the same body, its motion drawn on.",
        ),
    ] = 0.0,
    chip: Chip = "",
    campaign: Annotated[
        Path | None,
        typer.Option(help="Folder of a campaign of `labels export`: what it has shown."),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Names, separated by commas; all where not given.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Table (.parquet .csv .ecsv .vot .fits ...), or NAME.hats: a HATS catalogue.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Streaks of all nights that a question is about: all of it must hold."""
    from streaks.store import Question, ask
    from streaks.store import other_nights as streaks_of_other_nights

    _check_output(output, store)
    _check_columns(columns)
    if other_nights:
        if not object_name or any((where, at, night, chip, campaign)):
            raise typer.BadParameter("--other-nights goes with --object TRACKLET, and no other")
        rows, answer = streaks_of_other_nights(store, object_name, max_days=other_nights)
        rows = rows[["night", *_named(columns, rows.colnames)]] if columns else rows
    else:
        question = Question(
            where=where, cone=_cone(at), nights=tuple(night or ()), object_name=object_name,
            chip=chip, streaks=_of_campaign(campaign), columns=_split(columns),
        )  # fmt: skip
        answer = ask(store, question)
        rows = answer.rows
    _give(rows, output, quiet or as_json)
    if as_json:
        _say_json({
            "rows": len(rows), "nights": len(answer.nights), "files": answer.files,
            "files_read": answer.files_read, "damaged": list(answer.damaged),
            "output": None if output is None else str(output),
        })  # fmt: skip
    elif not quiet:
        typer.echo(
            f"{len(rows)} streaks of {_counted(len(answer.nights), 'night')} "
            f"({answer.files_read} of {answer.files} files read)"
        )
    return _tell_damaged(answer.damaged)


@app.command("repeats")
def repeats(
    store: Store,
    where: Annotated[
        str, typer.Argument(metavar="CONDITION", help="Which streaks are looked at.")
    ] = "",
    night: Nights = None,
    chip: Chip = "",
    min_nights: Annotated[
        int, typer.Option(min=3, help="Nights that show a streak at the place.")
    ] = 3,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Places of chips where streaks come back night after night: flaws, ghosts, hot columns."""
    from streaks.store import Question, repeats_of_chips

    _check_output(output, store)
    question = Question(where=where, nights=tuple(night or ()), chip=chip)
    places, answer = repeats_of_chips(store, question, min_nights=min_nights)
    _give(places, output, quiet or as_json)
    if as_json:
        _say_json({
            "places": len(places), "nights": len(answer.nights), "damaged": list(answer.damaged)
        })  # fmt: skip
    elif not quiet:
        typer.echo(f"{len(places)} places that show streaks on {min_nights} nights or more")
    return _tell_damaged(answer.damaged)


@app.command("trends")
def trends(
    store: Store,
    night: Nights = None,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """A row a night: frames, seeing, zero point, depth, candidates, false ones expected."""
    from streaks.store import night_trends

    _check_output(output, store)
    rows, damaged = night_trends(store, tuple(night or ()))
    _give(rows, output, quiet or as_json, shown=_SHOWN_TRENDS)
    if as_json:
        _say_json({"nights": len(rows), "damaged": damaged})
    return _tell_damaged(damaged)


def _check_output(output: Path | None, store: Path) -> None:
    from streaks.errors import ConfigError
    from streaks.reporting import table_suffix

    if output is not None and output.resolve().is_relative_to(store.resolve()):
        raise ConfigError(f"{output} lies in the store itself; write the table elsewhere")
    if output is not None and output.suffix.lower() != ".hats":
        table_suffix(output)


def _check_columns(columns: str) -> None:
    if columns.strip() and not _split(columns):
        raise typer.BadParameter(f"--columns {columns}: expected names, separated by commas")


def _split(columns: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in columns.split(",") if name.strip()))


def _named(columns: str, known: Sequence[str]) -> list[str]:
    from streaks.errors import ConfigError

    names = [name for name in _split(columns) if name != "night"]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"there is no column {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _cone(at: tuple[float, float, float] | None) -> Any:
    from streaks.store import Cone

    return None if at is None else Cone(*at)


def _of_campaign(folder: Path | None) -> frozenset[tuple[str, str]] | None:
    from streaks.errors import ReadError
    from streaks.labelling import open_campaign

    if folder is None:
        return None
    # Opening makes what is not there: a folder that is no campaign stays as it is.
    if not (folder / "campaign.sqlite").is_file():
        raise ReadError(
            f"{folder} is no campaign's folder; give that of `labels export --campaign`"
        )
    with open_campaign(folder) as campaign:
        return campaign.streaks()


def _give(rows: QTable, output: Path | None, is_quiet: bool, shown: Sequence[str] = _SHOWN) -> None:
    from streaks.reporting import write_table
    from streaks.store import write_hats

    if output is None:
        if not is_quiet and len(rows):
            _show(rows, shown)
    elif output.suffix.lower() == ".hats":
        write_hats(rows, output)
    else:
        write_table(rows, output)


#: Columns of degrees on the sky.
_PLACES = frozenset({"ra", "dec", "ra0", "dec0", "ra1", "dec1"})


def _show(rows: QTable, columns: Sequence[str]) -> None:
    names = [name for name in columns if name in rows.colnames]
    shown = (rows[names] if len(rows.colnames) > 20 else rows)[:_SHOWN_ROWS].copy()
    for name in shown.colnames:
        if shown[name].dtype.kind == "f":
            # For eyes: a hundred-thousandth of a degree is 0.04 arcsec.
            shown[name].info.format = ".5f" if name in _PLACES else ".6g"
    for line in shown.pformat(max_width=-1, max_lines=-1):
        typer.echo(line)
    if len(rows) > _SHOWN_ROWS:
        typer.echo(f"... and {len(rows) - _SHOWN_ROWS} more: write them all with -o TABLE")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _tell_damaged(damaged: Sequence[str]) -> int:
    for reason in damaged:
        typer.echo(reason, err=True)
    return 1 if damaged else 0


def _say_json(told: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(told))
