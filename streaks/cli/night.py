"""``streaks night``: a whole night's frames, resumable."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streaks.config import Settings
    from streaks.night import NightRun, Progress

__all__ = ["night", "progress_shown", "read_settings", "worker_count"]

#: Plain lines are for logs: not one a frame on nights of thousands.
_LINES = 50


def night(
    inputs: Annotated[
        list[Path], typer.Argument(help="Folders, lists of files (.txt, .csv), or images.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the night.")],
    orbits: Annotated[
        Path | None, typer.Option(help="Orbit catalogue in MPCORB columns to match with.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an earlier run did here.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings, a TOML file.")] = None,
    classifier: Annotated[
        str,
        typer.Option("--model", "-m", help="default, forest, cnn, a folder, or none."),
    ] = "default",
    profile: Annotated[
        str,
        typer.Option(help="Survey profile: a name or a TOML file; by default told by the file."),
    ] = "",
    truth: Annotated[
        Path | None, typer.Option(help="Table of true streaks, shown beside what was found.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only failures.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
) -> int:
    """Search all frames of a night; started again, it does what is missing.

    The folder gets streaks.parquet, frames.parquet, report.html, cutouts and overviews. A frame
    that fails is named with its reason, and the night goes on.
    """
    from streaks.night import read_night, run_night, write_night_report
    from streaks.readers import read_table

    settings = read_settings(config)
    known_truth = None if truth is None else read_table(truth)
    with progress_shown(quiet or as_json) as tell:
        run = run_night(
            inputs,
            output,
            settings,
            load_classifier=classifier_loader(classifier),
            classifier_name=classifier_name(classifier),
            orbits=orbits,
            workers=worker_count(workers),
            restart=restart,
            profile=profile,
            progress=tell,
        )
    command = "streaks " + " ".join(shlex.quote(word) for word in sys.argv[1:])
    page = write_night_report(
        read_night(output), truth=known_truth, seconds=run.seconds, command=command
    )
    _say(run, page, quiet=quiet, as_json=as_json)
    if run.n_done == 0:
        return 2
    return 1 if run.failures else 0


def worker_count(asked: int) -> int:
    """What 0 stands for: one process a core that this process may use."""
    return asked or len(os.sched_getaffinity(0))


def read_settings(path: Path | None) -> Settings:
    """Settings from a TOML file, or the defaults.

    Raises
    ------
    ConfigError
        If the file is missing, no TOML, or has unknown names or values out of range.
    """
    import tomllib

    from streaks.config import Settings, settings_from_mapping
    from streaks.errors import ConfigError

    if path is None:
        return Settings()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; --config needs a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None
    return settings_from_mapping(values)


def classifier_loader(name: str) -> Callable[[], Any] | None:
    """What each worker calls; None for ``none``."""
    if name == "none":
        return None
    from streaks.models import load_classifier

    return functools.partial(load_classifier, name)


def classifier_name(name: str) -> str:
    """The classifier's name with a hash of its card: other weights are another run.

    Raises
    ------
    ModelError
        If there is no such classifier.
    """
    if name == "none":
        return ""
    from streaks.models import load_classifier
    from streaks.models.store import weights_folder
    from streaks.night.identity import file_digest

    load_classifier(name)
    return f"{name} {file_digest(weights_folder(name) / 'card.json')[:8]}"


@contextmanager
def progress_shown(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, plain lines otherwise."""
    if not quiet and sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield functools.partial(_plain_line, quiet=quiet)


def _plain_line(state: Progress, *, quiet: bool) -> None:
    finished = state.done + state.failed
    step = max(1, state.total // _LINES)
    if not quiet and state.image and (finished % step == 0 or finished == state.total):
        print(
            f"{finished}/{state.total} frames, {state.failed} failed, "
            f"{state.n_streaks} streaks: {state.image}",
            file=sys.stderr,
        )


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[found]}"),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("frames", total=None, found="")

        def tell(state: Progress) -> None:
            found = f"{state.n_streaks} streaks, {state.failed} failed"
            bar.update(task, total=state.total, completed=state.done + state.failed, found=found)

        yield tell


def _say(run: NightRun, page: Path, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_values(run, page)))
        return
    if not quiet:
        again = f" ({run.n_skipped} by an earlier run)" if run.n_skipped else ""
        print(
            f"{run.n_done} of {run.n_frames} frames done{again}, {len(run.failures)} failed, "
            f"{run.n_streaks} streaks, {run.seconds:.1f} s"
        )
        print(f"report: {page}")
    for path, reason in run.failures:
        print(f"failed: {path}: {reason}", file=sys.stderr)


def _as_values(run: NightRun, page: Path) -> dict[str, Any]:
    return {
        "frames": run.n_frames,
        "done": run.n_done,
        "done_earlier": run.n_skipped,
        "failed": [{"path": path, "reason": reason} for path, reason in run.failures],
        "streaks": run.n_streaks,
        "seconds": round(run.seconds, 3),
        "folder": str(run.folder.root),
        "report": str(page),
    }
