"""A whole night: plan, work, tables. It can be stopped at any moment and started again."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from streaks import __version__
from streaks.disk import written_whole
from streaks.errors import ConfigError, LedgerError, OutputError, ReadError
from streaks.night.planning import Plan, make_plan, path_text
from streaks.night.run_log import RunLog, opened_log, write_metrics
from streaks.night.work import FrameWork, WorkDone, prepare_work
from streaks.night.workers.engine import Engine, LocalEngine
from streaks.night.workers.pool import Outcome
from streaks.night_folder.claim import discard
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import DONE, FAILED, Entry, Ledger
from streaks.night_folder.lock import FolderWatch, held_folder
from streaks.night_folder.reading import read_settings_file
from streaks.night_folder.tables import NightCounts, PartReader, write_night_tables
from streaks.readers import FrameFiles, find_frames
from streaks.reporting import AdesContext
from streaks.search import Search
from streaks.search.warm_up import PRELOADED
from streaks.verdict import VerdictModel

__all__ = ["NightRun", "NightRunner", "Progress", "run_night"]

_log = logging.getLogger(__name__)

#: Counts for Prometheus are written this often while a night runs, s.
_METRICS_EVERY_S = 15.0
#: A night whose finished frames turn out damaged does these again, and looks once more.
_MAX_ROUNDS = 3
#: What `fingerprint` gives.
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")

Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Sequence[FrameFiles]


@dataclass(frozen=True)
class Progress:
    """Where a night stands, told after each frame.

    Parameters
    ----------
    total, done, failed
        Frames of this night; those of earlier runs count as done or failed.
    n_streaks
        Found so far in this run.
    image, reason
        The frame just finished; the reason is empty when it went well.
    n_asteroids
        Of these, called so.
    n_now, seconds
        Frames finished by this run, and how long it has been at them.
    """

    total: int
    done: int
    failed: int
    n_streaks: int = 0
    image: str = ""
    reason: str = ""
    n_asteroids: int = 0
    n_now: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Frames a second of this run; NaN before the first."""
        return self.n_now / self.seconds if self.n_now and self.seconds > 0 else math.nan

    @property
    def seconds_left(self) -> float:
        """At this rate; NaN before the first frame."""
        return (self.total - self.done - self.failed) / self.rate


@dataclass(frozen=True)
class NightRun:
    """What a run of a night came to.

    Parameters
    ----------
    folder
        Where everything lies.
    n_frames, n_done, n_skipped
        Frames given; done in all; of these, done by an earlier run.
    n_streaks
        In the night's table.
    failures
        Path and reason of each frame that failed.
    seconds
        Wall-clock time of this run.
    by_class
        Number of streaks of each label; an empty label where nothing was classified.
    n_tracklets
        Objects of several streaks.
    n_candidates
        Streaks that are probably real moving bodies.
    expected_false
        How many of these are expected not to be; NaN where nothing was weighed.
    """

    folder: NightFolder
    n_frames: int
    n_done: int
    n_skipped: int
    n_streaks: int
    failures: tuple[tuple[str, str], ...]
    seconds: float
    by_class: Mapping[str, int] = field(default_factory=dict)
    n_tracklets: int = 0
    n_candidates: int = 0
    expected_false: float = math.nan

    @property
    def totals(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "frames": self.n_frames,
            "done": self.n_done,
            "done_earlier": self.n_skipped,
            "failed": len(self.failures),
            "streaks": self.n_streaks,
            "asteroids": self.by_class.get("asteroid", 0),
            "tracklets": self.n_tracklets,
            "candidates": self.n_candidates,
            "expected_false": None
            if math.isnan(self.expected_false)
            else float(f"{self.expected_false:.3g}"),
            "seconds": round(self.seconds, 3),
        }


def run_night(
    inputs: Inputs,
    out_dir: str | os.PathLike[str],
    search: Search | None = None,
    *,
    workers: int = 1,
    restart: bool = False,
    verify: bool = False,
    part: tuple[int, int] | None = None,
    time_limit_s: float = 600.0,
    memory_limit_mb: int = 0,
    engine: Engine | None = None,
    streak_masks: bool = False,
    ades: AdesContext | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> NightRun:
    """Search all frames of a night; started again, it does what is missing.

    Parameters
    ----------
    inputs
        Folders, lists, globs or files, as `find_frames` takes them, or frames themselves.
    out_dir
        The night's folder; see `NightFolder` for what goes where.
    search
        What every frame is searched with; the default settings, without names, where not given.
    workers
        Processes, one thread each; 0 works in this process.
    restart
        Forget what an earlier run did here.
    verify
        Read all results of finished frames, and do those again that are damaged.
    part
        ``(i, n)``: do the i-th of n parts of the night, 1 to n, in a folder of its own below
        `out_dir`; `streaks.night.merge_night` makes one night of all parts.
    time_limit_s, memory_limit_mb
        A frame that takes longer, or needs more, is given up; 0 MiB for no limit.
    engine
        Who does the work, in place of processes on this machine; it keeps its own limits.
    streak_masks
        Write a FITS mask of each frame's streaks as well.
    ades
        What the ADES files say of observer and telescope.
    progress
        Called after each frame.

    Returns
    -------
    NightRun
        What became of the frames. Frames that failed are named in it and raise nothing.

    Raises
    ------
    ReadError
        If the inputs hold no frame.
    LedgerError
        If an earlier run here had other settings, or another run is at work here.
    OutputError
        If the folder cannot be written to, is full, or is removed meanwhile. What is done stays
        done.
    ConfigError
        If there is no such part, or the folder's name is empty.
    """
    search = search or Search()
    folder = night_at(out_dir, streak_masks)
    frames = _frames(inputs, search.profile, folder.root)
    if part is not None:
        frames, folder = part_of_night(frames, folder, part)
    engine = engine or LocalEngine(workers, time_limit_s, memory_limit_mb, PRELOADED)
    runner = NightRunner(
        folder, search, engine, ades=ades, progress=progress, with_tables=part is None
    )
    with runner.opened(restart=restart):
        return runner.run(frames, verify=verify)


def part_of_night(
    frames: list[FrameFiles], folder: NightFolder, part: tuple[int, int]
) -> tuple[list[FrameFiles], NightFolder]:
    """Every n-th frame, and the folder that this part writes.

    Raises
    ------
    ConfigError
        If there is no such part.
    """
    number, n_parts = part
    if not 1 <= number <= n_parts:
        raise ConfigError(f"part is {number} of {n_parts}; expected 1 to {n_parts}")
    return frames[number - 1 :: n_parts], folder.part_of_night(number, n_parts)


class NightRunner:
    """A night's folder in this process's hands, with workers that stay warm between rounds.

    Parameters
    ----------
    folder
        Where everything goes.
    search
        What every frame is searched with.
    engine
        Who does the work.
    ades
        What the ADES files say of observer and telescope.
    progress
        Called after each frame.
    with_tables
        Write the night's tables after each round; a part of a night has none of its own.
    """

    def __init__(
        self,
        folder: NightFolder,
        search: Search,
        engine: Engine,
        *,
        ades: AdesContext | None = None,
        progress: Callable[[Progress], None] | None = None,
        with_tables: bool = True,
    ) -> None:
        self.folder = folder
        self._search = search
        self._engine = engine
        self._ades = ades
        self._progress = progress
        self._with_tables = with_tables
        self._identity = search.identity()
        self._fingerprint = fingerprint(self._identity)
        self._parts = PartReader(folder)
        self._stack = ExitStack()
        self._restart = False
        self._loaded: VerdictModel | None = None

    def opened(self, *, restart: bool = False) -> NightRunner:
        """Itself, to be entered: it then holds the folder and the workers.

        Parameters
        ----------
        restart
            Delete first what an earlier run did here.

        Returns
        -------
        NightRunner
            Nothing is touched before it is entered.
        """
        self._restart = restart
        return self

    def __enter__(self) -> NightRunner:
        with ExitStack() as stack:
            self._ledger = stack.enter_context(held_folder(self.folder, restart=self._restart))
            agree_on_settings(self.folder, self._ledger, self._identity, self._fingerprint)
            self._log = stack.enter_context(opened_log(self.folder))
            setup = functools.partial(prepare_work, self.folder, self._search, self._fingerprint)
            self._do_tasks = stack.enter_context(self._engine.opened(setup))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def run(self, frames: Sequence[FrameFiles], *, verify: bool = False) -> NightRun:
        """Do what is missing of these frames, then write the night's tables.

        Parameters
        ----------
        frames
            All of the night, those of earlier rounds too.
        verify
            Read all results of finished frames, and do those again that are damaged.

        Returns
        -------
        NightRun
            Its counts of frames are of those given. Its counts of streaks are of the night's
            tables, frames of earlier runs included; of this round alone where no tables are
            written.

        Raises
        ------
        OutputError
            If the folder cannot be written to, is full, is removed meanwhile, or results are
            damaged as soon as they are written.
        StreaksError
            If a worker cannot be set up.
        """
        start = time.monotonic()
        for _ in range(_MAX_ROUNDS):
            plan = make_plan(frames, self._ledger, self.folder, self._fingerprint, verify=verify)
            self._log.tell(
                "start",
                frames=len(frames),
                todo=len(plan.todo),
                version=__version__,
                **self._identity,
            )
            counter = _Counter(plan, self._progress, self.folder)
            _work_off(
                self._do_tasks(plan.todo),
                self.folder,
                self._ledger,
                self._log,
                counter,
                self._fingerprint,
            )
            entries = self._ledger.entries()
            if not self._with_tables:
                counts = counter.counts
                break
            if self._drop_damaged(entries):
                continue
            counts = write_night_tables(
                self._parts,
                entries,
                self._search.settings,
                verdict=self._verdict(),
                provenance=provenance(self._identity, entries),
                ades=self._ades,
            )
            break
        else:
            raise OutputError(
                f"results in {self.folder.root} are damaged as soon as they are written; "
                "look at the disk"
            )
        run = _summary(self.folder, frames, plan, entries, counts, time.monotonic() - start)
        write_metrics(self.folder, _final_counts(run))
        self._log.tell("end", **run.totals)
        return run

    def _verdict(self) -> VerdictModel | None:
        """Loaded with the first tables: workers have no use for it."""
        if self._loaded is None and self._search.load_verdict is not None:
            self._loaded = self._search.load_verdict()
        return self._loaded

    def _drop_damaged(self, entries: Sequence[Entry]) -> bool:
        """Forget finished frames whose table cannot be read; whether there were any."""
        damaged = self._parts.load([entry for entry in entries if entry.state == DONE])
        for image, reason in damaged.items():
            _log.warning("%s: its results are damaged (%s) and are made again", image, reason)
            self._ledger.forget(image)
            discard(self.folder.part(image))
        return bool(damaged)


def provenance(identity: Mapping[str, Any], entries: Sequence[Entry]) -> dict[str, Any]:
    """What decided a night's tables: the run's identity, and each version that did frames."""
    versions = {entry.version for entry in entries if entry.state == DONE and entry.version}
    values = {**identity, "version": " ".join(sorted(versions)) or __version__}
    # In one order, however the night was done.
    ordered: dict[str, Any] = json.loads(json.dumps(values, sort_keys=True))
    return ordered


def night_at(out_dir: str | os.PathLike[str], streak_masks: bool = False) -> NightFolder:
    """The night of a folder.

    Raises
    ------
    ConfigError
        If the folder's name is empty, as a variable that is not set: that is the working folder.
        If it is a file's.
    """
    if not os.fspath(out_dir).strip():
        raise ConfigError("the folder for the night has an empty name; give one, or . for this one")
    if Path(out_dir).is_file():
        raise ConfigError(f"{out_dir} is a file; a night is a folder: give another name")
    return NightFolder(Path(out_dir), streak_masks)


def _frames(inputs: Any, profile: str, out_dir: Path) -> list[FrameFiles]:
    given: list[Any] = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if given and all(isinstance(one, FrameFiles) for one in given):
        return given
    return find_frames(given, profile=profile, leave_out=out_dir)


def _work_off(
    outcomes: Iterator[Outcome[FrameWork, WorkDone]],
    folder: NightFolder,
    ledger: Ledger,
    log: RunLog,
    counter: _Counter,
    fingerprint: str,
) -> None:
    """Enter outcomes as they come; an output folder that fails stops the night."""
    watch = FolderWatch(folder)
    for outcome in outcomes:
        watch.check()
        if outcome.kind == OutputError.__name__:
            raise OutputError(
                f"{outcome.reason}; the night was stopped, frames that are done stay done: "
                "start it again when this is mended"
            )
        entry = _entry(outcome, fingerprint)
        ledger.record(entry)
        done = outcome.answer
        if done is None:
            log.frame(entry)
        else:
            log.frame(
                entry,
                worker=done.worker,
                memory_mb=round(done.memory_mb, 1),
                peak_mb=round(done.peak_mb, 1),
                cpu_s=round(done.cpu_s, 3),
                cpu_stages={name: round(value, 4) for name, value in done.cpu_stages.items()},
            )
        counter.count(entry, 0 if done is None else done.n_asteroids)


def _summary(
    folder: NightFolder,
    frames: Sequence[FrameFiles],
    plan: Plan,
    entries: Sequence[Entry],
    counts: NightCounts,
    seconds: float,
) -> NightRun:
    given = {path_text(files) for files in frames}
    failures = tuple((e.path, e.reason) for e in entries if e.state == FAILED and e.path in given)
    return NightRun(
        folder=folder,
        n_frames=len(frames),
        n_done=len(frames) - len(failures),
        n_skipped=plan.n_done,
        n_streaks=counts.n_streaks,
        failures=failures,
        seconds=seconds,
        by_class=counts.by_class,
        n_tracklets=counts.n_tracklets,
        n_candidates=counts.n_candidates,
        expected_false=counts.expected_false,
    )


def _final_counts(run: NightRun) -> dict[str, float | dict[str, float]]:
    return {
        "frames": {"done": run.n_done, "failed": len(run.failures)},
        "streaks": {name or "unnamed": n for name, n in run.by_class.items()},
        "tracklets": run.n_tracklets,
        "candidates": run.n_candidates,
        "run_seconds": run.seconds,
        "finished": 1,
    }


def fingerprint(identity: Mapping[str, Any]) -> str:
    """A short hash of what decides a frame's results."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def agree_on_settings(
    folder: NightFolder, ledger: Ledger, identity: Mapping[str, Any], fingerprint: str
) -> None:
    """Make sure that an earlier run here had the same settings, and note them.

    Raises
    ------
    LedgerError
        If frames were done here with other settings.
    """
    done = []
    for entry in ledger.entries():
        if entry.state == DONE and _FINGERPRINT.fullmatch(entry.settings):
            done.append(entry)
        elif entry.state == DONE:
            _log.warning("%s: its row of the ledger is damaged and is left out", entry.image)
            ledger.forget(entry.image)
    stale = [entry for entry in done if entry.settings != fingerprint]
    if stale:
        changed = "; ".join(differences(_earlier_identity(folder), identity)) or "unknown"
        raise LedgerError(
            f"{len(stale)} frames in {folder.root} were done with other settings ({changed}); "
            "use those again, choose another folder, or do all again with --restart"
        )
    others = Counter(entry.version for entry in done if entry.version != __version__)
    for version, n in sorted(others.items()):
        _log.warning(
            "%d frames here were done by streaks %s, this is %s; they stay as they are, and "
            "frames.parquet tells which did each: --restart does all again",
            n,
            version or "of unknown version",
            __version__,
        )
    with written_whole(folder.settings) as beside:
        began = datetime.now(UTC).isoformat(timespec="seconds")
        record = {**identity, "version": __version__, "started": began}
        beside.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _earlier_identity(folder: NightFolder) -> dict[str, Any]:
    try:
        return read_identity(folder)
    except ReadError as error:
        _log.warning("%s; it is written anew", error)
        return {}


def read_identity(folder: NightFolder) -> dict[str, Any]:
    """What decided the results of the last run here, by its settings.json.

    Raises
    ------
    ReadError
        If the file is missing, or is no JSON object.
    """
    record = read_settings_file(folder)
    return {key: value for key, value in record.items() if key not in ("version", "started")}


def differences(old: Any, new: Any, between: str = "now", where: str = "") -> Iterator[str]:
    """In which settings two runs differ.

    Parameters
    ----------
    old, new
        What decided the results of each.
    between
        A word between the two values.
    where
        The path of names that leads to them.

    Yields
    ------
    str
        ``NAME: OLD, now NEW``.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            path = f"{where}.{key}" if where else key
            yield from differences(old.get(key), new.get(key), between, path)
    elif old != new:
        name = where.removeprefix("settings.")
        yield f"{name[:200]}: {str(old or 'none')[:200]}, {between} {str(new or 'none')[:200]}"


def _without_path(reason: str, image: Path) -> str:
    """The reason beside the image's name, where its path needs no saying twice."""
    return reason.removeprefix(str(image)).lstrip(": ")


def _entry(outcome: Outcome[FrameWork, WorkDone], fingerprint: str) -> Entry:
    work = outcome.task
    entry = Entry(
        image=work.files.name,
        path=path_text(work.files),
        signature=work.signature,
        settings=fingerprint,
        state=FAILED if outcome.failed else DONE,
        kind=outcome.kind,
        reason=_without_path(outcome.reason, work.files.image),
        version=__version__,
    )
    if outcome.answer is None:
        return entry
    done = outcome.answer
    return replace(
        entry,
        digest=done.digest,
        notes=done.notes,
        n_streaks=done.n_streaks,
        seconds=math.fsum(done.stages.values()),
        stages=done.stages,
        about=done.about,
    )


class _Counter:
    """Counts outcomes and tells who wants to know."""

    def __init__(
        self, plan: Plan, progress: Callable[[Progress], None] | None, folder: NightFolder
    ) -> None:
        total = len(plan.todo) + plan.n_done + plan.n_failed
        self._state = Progress(total, plan.n_done, plan.n_failed)
        self._tell = progress or (lambda _: None)
        self._folder = folder
        self._start = self._written = time.monotonic()
        self._tell(self._state)

    @property
    def counts(self) -> NightCounts:
        """Of this round's frames."""
        return NightCounts(self._state.n_streaks, {"asteroid": self._state.n_asteroids}, 0)

    def count(self, entry: Entry, n_asteroids: int) -> None:
        failed = entry.state == FAILED
        if failed:
            _log.info("%s: %s", entry.image, entry.reason)
        now, before = time.monotonic(), self._state
        self._state = replace(
            before,
            done=before.done + (not failed),
            failed=before.failed + failed,
            n_streaks=before.n_streaks + entry.n_streaks,
            n_asteroids=before.n_asteroids + n_asteroids,
            image=entry.image,
            reason=entry.reason,
            n_now=before.n_now + 1,
            seconds=now - self._start,
        )
        self._tell(self._state)
        if now - self._written > _METRICS_EVERY_S:
            self._written = now
            self._write_metrics()

    def _write_metrics(self) -> None:
        state = self._state
        waiting = state.total - state.done - state.failed
        write_metrics(
            self._folder,
            {
                "frames": {"done": state.done, "failed": state.failed, "waiting": waiting},
                "run_seconds": state.seconds,
                "finished": 0,
            },
        )
