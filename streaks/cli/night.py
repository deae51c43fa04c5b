"""``streaks night``: a whole night's frames, resumable."""

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.progress import progress_shown

if TYPE_CHECKING:
    from streaks.config import Settings
    from streaks.night import Night, NightRun
    from streaks.night.engine import Engine

__all__ = ["night", "progress_shown", "read_settings", "worker_count"]


def night(
    inputs: Annotated[
        list[Path], typer.Argument(help="Folders, lists of files (.txt, .csv), or images.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the night.")],
    orbits: Annotated[
        Path | None, typer.Option(help="Orbit catalogue in MPCORB columns to match with.")
    ] = None,
    ephemeris: Annotated[
        Path | None,
        typer.Option(
            envvar="STREAKS_EPHEMERIS",
            help="JPL kernel, or a folder of them, for orbits far from their epoch.",
        ),
    ] = None,
    tle: Annotated[
        Path | None, typer.Option(help="Two-line elements, to name satellites by.")
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
    summary: Annotated[
        bool, typer.Option("--summary", help="Print one line in all, for cron.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait for more frames until stopped by Ctrl-C.")
    ] = False,
    poll: Annotated[
        float, typer.Option(help="With --watch: time between looks, s.", min=0.1)
    ] = 10.0,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Streaks in one more format, as .vot or .sqlite; may be repeated."),
    ] = None,
    streak_masks: Annotated[
        bool, typer.Option("--streak-masks", help="A FITS mask of each frame's streaks.")
    ] = False,
    ades: Annotated[
        Path | None,
        typer.Option(help="Who observed, with what, for the ADES files: a TOML file."),
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="Address of a Dask scheduler whose workers do the work.")
    ] = "",
    cluster: Annotated[
        str, typer.Option(help="Start a Dask cluster: slurm, htcondor, or local.")
    ] = "",
    time_limit: Annotated[
        float, typer.Option(help="A frame that takes longer is given up, s.", min=1)
    ] = 600.0,
    memory_limit: Annotated[
        int,
        typer.Option(help="MiB a worker may hold; 0 for its share of this machine's.", min=0),
    ] = 0,
) -> int:
    """Search all frames of a night; started again, it does what is missing.

    The folder gets streaks.parquet, tracklets.parquet, frames.parquet, report.html, cutouts,
    overviews, ADES files of what was found, log.jsonl and metrics.prom. A frame that fails is
    named with its reason, and the night goes on. Ctrl-C stops it; the same command goes on.
    """
    from streaks.night import run_night
    from streaks.readers import read_table
    from streaks.reporting import ades_context, table_suffix

    more = [table_suffix(f"streaks{suffix}") for suffix in also or ()]
    known_truth = None if truth is None else read_table(truth)
    n_workers = worker_count(workers)
    search = functools.partial(
        run_night,
        out_dir=output,
        settings=read_settings(config),
        load_classifier=classifier_loader(classifier),
        classifier_name=classifier_name(classifier),
        orbits=orbits,
        ephemeris=ephemeris,
        tle=tle,
        workers=n_workers,
        profile=profile,
        time_limit_s=time_limit,
        memory_limit_mb=memory_limit or _share_of_memory_mb(n_workers),
        engine=_engine(scheduler, cluster, n_workers, time_limit),
        streak_masks=streak_masks,
        ades=None if ades is None else ades_context(_toml(ades, "--ades")),
    )
    say = functools.partial(_say, quiet=quiet, as_json=as_json, summary=summary)
    code = 2
    try:
        with _stopped_by_signals():
            for frames in _rounds(inputs, watch, profile, poll):
                with progress_shown(quiet or as_json or summary) as tell:
                    run = search(frames, restart=restart, progress=tell)
                restart = False
                say(run, _finish(run, known_truth, more))
                code = 2 if run.n_done == 0 else 1 if run.failures else 0
    except KeyboardInterrupt:
        print(
            f"streaks: stopped; what is done is kept in {output}, and the same command goes on "
            "from there",
            file=sys.stderr,
        )
        return 130
    return code


def _rounds(
    inputs: Sequence[Path], watch: bool, profile: str, poll_s: float
) -> Iterator[Sequence[Any]]:
    """What to search: once, or each time that frames have arrived."""
    if not watch:
        return iter([inputs])
    from streaks.night.watching import arriving_frames

    return arriving_frames(inputs, profile=profile, poll_s=poll_s)


def _finish(run: NightRun, truth: Any, also: Sequence[str]) -> Path:
    """What is made of a night's tables: other formats, and the page."""
    from streaks.night import read_night, write_night_report

    night = read_night(run.folder.root)
    for suffix in also:
        _write_also(night, suffix)
    command = "streaks " + " ".join(shlex.quote(word) for word in sys.argv[1:])
    return write_night_report(night, truth=truth, seconds=run.seconds, command=command)


def _write_also(night: Night, suffix: str) -> None:
    from streaks.errors import TableError
    from streaks.reporting import write_table

    try:
        write_table(night.streaks, night.folder.streaks.with_suffix(suffix))
    except TableError as error:
        # The night itself is whole; a format that cannot hold it is no reason to fail.
        print(f"streaks{suffix} not written: {error}", file=sys.stderr)


def _engine(scheduler: str, cluster: str, workers: int, time_limit_s: float) -> Engine | None:
    """Dask where it is asked for; None for processes of this machine."""
    if not scheduler and not cluster:
        return None
    from streaks.night.cluster import dask_engine

    return dask_engine(
        scheduler=scheduler, cluster=cluster, workers=workers, time_limit_s=time_limit_s
    )


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A batch system's SIGTERM stops a night as cleanly as Ctrl-C."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, which alone receives signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _share_of_memory_mb(workers: int) -> int:
    """Most of this machine's memory, shared among workers; never less than a frame needs."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return max(3072, int(0.8 * total / max(workers, 1)))


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
    from streaks.config import Settings, settings_from_mapping

    return Settings() if path is None else settings_from_mapping(_toml(path, "--config"))


def _toml(path: Path, option: str) -> dict[str, Any]:
    from streaks.disk import read_toml
    from streaks.errors import ConfigError, ReadError

    if not path.exists():
        raise ConfigError(f"{path} does not exist; {option} needs a TOML file")
    try:
        return read_toml(path)
    except ReadError as error:
        raise ConfigError(str(error)) from None


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


def _say(run: NightRun, page: Path, *, quiet: bool, as_json: bool, summary: bool) -> None:
    if as_json:
        print(json.dumps(_as_values(run, page)), flush=True)
        return
    if summary:
        counts = " ".join(f"{name}={value}" for name, value in run.totals.items())
        print(f"{run.folder.root}: {counts} report={page}", flush=True)
        return
    if not quiet:
        again = f" ({run.n_skipped} by an earlier run)" if run.n_skipped else ""
        print(
            f"{run.n_done} of {run.n_frames} frames done{again}, {len(run.failures)} failed, "
            f"{run.n_streaks} streaks, {run.n_tracklets} tracklets, {run.seconds:.1f} s"
        )
        print(f"report: {page}")
    for path, reason in run.failures:
        print(f"failed: {path}: {reason}", file=sys.stderr)


def _as_values(run: NightRun, page: Path) -> dict[str, Any]:
    return {
        **run.totals,
        "failed": [{"path": path, "reason": reason} for path, reason in run.failures],
        "folder": str(run.folder.root),
        "report": str(page),
    }
