"""``streaks night``: a whole night's frames, resumable."""

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli import searching as options
from streaks.cli.account import print_accounts
from streaks.cli.first_run import compile_once
from streaks.cli.progress import progress_shown
from streaks.cli.searching import (
    build_search,
    read_settings,
    read_toml,
    verdict_loader,
    worker_count,
)

if TYPE_CHECKING:
    from streaks.night import Night, NightRun
    from streaks.night.workers.engine import Engine

__all__ = ["night"]

#: While a night is watched, its page is made again when this many times as long has passed as
#: making it took: a large page must not hold up the frames.
_REPORT_PATIENCE = 20.0


def night(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, lists of files (.txt, .csv), or images."),
    ] = None,
    output: Annotated[
        # Not a Path, which is the working folder where it is empty.
        str | None,
        typer.Option("--output", "-o", metavar="DIRECTORY", help="Folder for the night."),
    ] = None,
    orbits: options.Orbits = None,
    ephemeris: options.Ephemeris = None,
    tle: options.Tle = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an earlier run did here.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read the results of finished frames; do damaged ones again."
        ),
    ] = False,
    config: options.Config = None,
    model: options.Model = "default",
    mix: options.Mix = "",
    verdict: options.Verdict = "default",
    threshold: options.Threshold = None,
    min_score: options.MinScore = None,
    detector: options.Detector = "",
    psf_fwhm: options.PsfFwhm = None,
    zero_point: options.ZeroPoint = None,
    gain: options.Gain = None,
    exposure: options.Exposure = None,
    observatory: options.Observatory = None,
    profile: options.Profile = "",
    truth: Annotated[
        Path | None, typer.Option(help="Table of true streaks, shown beside what was found.")
    ] = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print one line in all, for cron.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait for more frames until stopped by Ctrl-C.")
    ] = False,
    poll: Annotated[
        float, typer.Option(help="With --watch: time between looks, s.", min=0.1)
    ] = 0.5,
    notify: Annotated[
        str,
        typer.Option(
            help="With --watch: command to run for each new candidate, which it gets as JSON on "
            "its standard input."
        ),
    ] = "",
    notify_above: Annotated[
        float, typer.Option(help="Least p_real of a candidate for --notify.", min=0, max=1)
    ] = 0.9,
    part: Annotated[
        str, typer.Option(help="Do one part of the night, as 3/16, for a batch system.")
    ] = "",
    merge: Annotated[
        bool, typer.Option("--merge", help="Make one night of the parts in the folder.")
    ] = False,
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

    With --part I/N each of N runs, anywhere, does its share in a folder of its own below the
    night's; --merge then makes the night of them, with the same tables as one run.
    """
    from streaks.errors import ConfigError
    from streaks.night.run import night_at
    from streaks.readers import find_frames, read_table
    from streaks.reporting import ades_context, table_suffix

    if dry_run:
        frames = find_frames(inputs or [], profile=profile, leave_out=output or None)
        return print_accounts(frames, as_json=as_json)
    if output is None:
        raise ConfigError("no folder for the night; give --output DIR")
    out_dir = night_at(output).root
    _require_consistent(inputs, watch=watch, notify=notify, part=part, merge=merge)
    context = None if ades is None else ades_context(read_toml(ades, "--ades"))
    finish = functools.partial(
        _finish,
        truth=None if truth is None else read_table(truth),
        also=[table_suffix(f"streaks{suffix}") for suffix in also or ()],
    )
    say = functools.partial(_say, quiet=quiet, as_json=as_json, summary=summary)
    if merge:
        return _merge(out_dir, config, verdict, streak_masks, context, finish, say)
    n_workers = worker_count(workers)
    run_options = {
        "search": build_search(
            config=config, threshold=threshold, min_score=min_score, detector=detector,
            mix=mix, model=model, verdict=verdict,
            profile=profile, orbits=orbits, ephemeris=ephemeris, tle=tle,
            fwhm_px=psf_fwhm, zero_point_mag=zero_point, gain=gain, exposure_s=exposure,
            observatory=observatory,
        ),
        "workers": n_workers,
        "restart": restart,
        "time_limit_s": time_limit,
        "memory_limit_mb": memory_limit or _share_of_memory_mb(n_workers),
        "engine": _engine(scheduler, cluster, n_workers, time_limit),
        "streak_masks": streak_masks,
        "ades": context,
    }  # fmt: skip
    silent = quiet or as_json or summary
    compile_once(silent)
    try:
        with _stopped_by_signals(), progress_shown(silent) as tell:
            if watch:
                told = _candidates_told(notify, notify_above, out_dir)
                return _watch(
                    inputs or [], out_dir, {**run_options, "progress": tell}, poll, finish, say,
                    told, silent=silent,
                )  # fmt: skip
            return _once(
                inputs or [], out_dir, {**run_options, "progress": tell, "verify": verify},
                part, finish, say,
            )  # fmt: skip
    except KeyboardInterrupt:
        print(
            f"streaks: stopped; what is done is kept in {output}, and the same command goes on "
            "from there",
            file=sys.stderr,
        )
        return 130


def _require_consistent(
    inputs: Sequence[Path] | None, *, watch: bool, notify: str, part: str, merge: bool
) -> None:
    from streaks.errors import ConfigError

    if not inputs and not merge:
        raise ConfigError("no frames given; name folders, lists or images, or use --merge")
    if merge and (inputs or part or watch):
        raise ConfigError(
            "--merge takes the parts in -o; give no inputs, --part or --watch with it"
        )
    if part and watch:
        raise ConfigError("--part is of a night that is whole; --watch waits for more frames")
    if notify and not watch:
        raise ConfigError("--notify tells of candidates as they come; use it with --watch")


def _once(
    inputs: Sequence[Path],
    output: Path,
    run_options: dict[str, Any],
    part: str,
    finish: Callable[..., Path],
    say: Callable[..., None],
) -> int:
    from streaks.night import run_night

    if part:
        run = run_night(inputs, output, part=_part(part), **run_options)
        say(run, None)
    else:
        run = run_night(inputs, output, **run_options)
        say(run, finish(run))
    return _exit_code(run)


def _part(text: str) -> tuple[int, int]:
    from streaks.errors import ConfigError

    number, slash, n_parts = text.partition("/")
    if not (slash and number.isdecimal() and n_parts.isdecimal()):
        raise ConfigError(f"--part is {text!r}; expected a number of a number, as 3/16")
    return int(number), int(n_parts)


def _merge(
    output: Path,
    config: Path | None,
    verdict: str,
    streak_masks: bool,
    ades: Any,
    finish: Callable[..., Path],
    say: Callable[..., None],
) -> int:
    from streaks.night import merge_night

    load = verdict_loader(verdict)
    run = merge_night(
        output,
        read_settings(config),
        verdict=None if load is None else load(),
        streak_masks=streak_masks,
        ades=ades,
    )
    say(run, finish(run))
    return _exit_code(run)


def _watch(
    inputs: Sequence[Path],
    output: Path,
    run_options: dict[str, Any],
    poll_s: float,
    finish: Callable[..., Path],
    say: Callable[..., None],
    tell_candidates: Callable[[NightRun], None],
    *,
    silent: bool,
) -> int:
    """Rounds without end, until Ctrl-C; the page is made again when there is time for it."""
    from streaks.night import watch_night

    def told(text: str) -> None:
        if not silent:
            print(text, file=sys.stderr, flush=True)

    next_report, page, run = 0.0, None, None
    told(f"watching {', '.join(map(str, inputs))}; Ctrl-C stops")
    try:
        for run in watch_night(inputs, output, poll_s=poll_s, **run_options):
            tell_candidates(run)
            page, start = None, time.monotonic()
            if start >= next_report:
                page = finish(run)
                made_s = time.monotonic() - start
                next_report = time.monotonic() + _REPORT_PATIENCE * made_s
            say(run, page or run.folder.report)
            told(f"watching; {run.n_done} frames done")
    finally:
        if run is not None and page is None:
            finish(run)
    return 2 if run is None else _exit_code(run)


def _candidates_told(notify: str, above: float, output: Path) -> Callable[[NightRun], None]:
    """What to do with the candidates of each round."""
    if not notify:
        return lambda run: None
    from streaks.night import NightFolder
    from streaks.night.watching import Notifier
    from streaks.readers import read_table

    notifier = Notifier(shlex.split(notify), above, NightFolder(output).told)

    def tell(run: NightRun) -> None:
        notifier.tell(read_table(run.folder.streaks))

    return tell


def _exit_code(run: NightRun) -> int:
    return 2 if run.n_done == 0 else 1 if run.failures else 0


def _finish(run: NightRun, *, truth: Any, also: Sequence[str]) -> Path:
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
    from streaks.night.workers.dask_cluster import dask_engine

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


def _say(run: NightRun, page: Path | None, *, quiet: bool, as_json: bool, summary: bool) -> None:
    if as_json:
        print(json.dumps(_as_values(run, page)), flush=True)
        return
    if summary:
        counts = " ".join(f"{name}={value}" for name, value in run.totals.items())
        print(f"{run.folder.root}: {counts} report={page or run.folder.root}", flush=True)
        return
    if not quiet:
        from streaks.tables import counted
        from streaks.verdict import candidates_in_words

        again = f" ({run.n_skipped} by an earlier run)" if run.n_skipped else ""
        print(
            f"{run.n_done} of {counted(run.n_frames, 'frame')} done{again}, "
            f"{len(run.failures)} failed, {counted(run.n_streaks, 'streak')}, "
            f"{counted(run.n_tracklets, 'tracklet')}, {run.seconds:.1f} s"
        )
        if words := candidates_in_words(run.n_candidates, run.expected_false, run.n_done):
            print(words)
        if page is None:
            whole = shlex.quote(str(run.folder.root.parent))
            print(f"part: {run.folder.root}; when all are done: streaks night -o {whole} --merge")
        else:
            print(f"report: {page}")
    for path, reason in run.failures:
        print(f"failed: {path}: {reason}", file=sys.stderr)


def _as_values(run: NightRun, page: Path | None) -> dict[str, Any]:
    return {
        **run.totals,
        "failed": [{"path": path, "reason": reason} for path, reason in run.failures],
        "folder": str(run.folder.root),
        "report": str(page or run.folder.root),
    }
