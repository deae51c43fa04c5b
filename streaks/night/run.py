"""A whole night: plan, work, gather. It can be stopped at any moment and started again."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streaks import __version__
from streaks.classification import Classifier
from streaks.config import Settings
from streaks.disk import written_whole
from streaks.errors import InputError, LedgerError, OutputError
from streaks.night.custody import FolderWatch, held_folder
from streaks.night.engine import Engine, local_engine
from streaks.night.folder import NightFolder
from streaks.night.gathering import NightCounts, write_night_tables
from streaks.night.identity import file_digest, run_identity
from streaks.night.ledger import DONE, FAILED, Entry, Ledger
from streaks.night.planning import Plan, make_plan
from streaks.night.pool import Outcome
from streaks.night.practice import load_ahead
from streaks.night.records import RunLog, opened_log, write_metrics
from streaks.night.work import FrameWork, WorkDone, prepare_work
from streaks.readers import FrameFiles, find_frames
from streaks.reporting import AdesContext

__all__ = ["NightRun", "Progress", "run_night"]

_log = logging.getLogger(__name__)

#: Counts for Prometheus are written this often while a night runs, s.
_METRICS_EVERY_S = 15.0


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
            "seconds": round(self.seconds, 3),
        }


def run_night(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Sequence[FrameFiles],
    out_dir: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    load_classifier: Callable[[], Classifier] | None = None,
    classifier_name: str = "",
    orbits: str | os.PathLike[str] | None = None,
    ephemeris: str | os.PathLike[str] | None = None,
    tle: str | os.PathLike[str] | None = None,
    workers: int = 1,
    restart: bool = False,
    profile: str = "",
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
    load_classifier
        Called once in each worker, so it must be picklable; None leaves streaks unnamed.
    classifier_name
        What the classifier is called; another name is another run.
    orbits
        A catalogue in MPCORB columns; None leaves streaks unmatched.
    ephemeris
        A JPL kernel, or a folder of them, for orbits far from their epoch; else what
        ``STREAKS_EPHEMERIS`` names, else built-in series.
    tle
        A file of two-line elements; None leaves streaks without names of satellites.
    workers
        Processes, one thread each; 0 works in this process.
    restart
        Forget what an earlier run did here.
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

    Raises
    ------
    ReadError
        If the inputs hold no frame.
    LedgerError
        If an earlier run here had other settings, or another run is at work here.
    OutputError
        If the folder cannot be written to, is full, or is removed meanwhile. What is done stays
        done.
    """
    start = time.monotonic()
    settings = settings or Settings()
    frames = _frames(inputs, profile)
    folder = NightFolder(Path(out_dir), streak_masks)
    identity = run_identity(
        settings,
        classifier=classifier_name,
        orbits=_catalogue_name(orbits),
        **_other_sources(ephemeris, tle),
    )
    fingerprint = _fingerprint(identity)
    setup = functools.partial(
        prepare_work,
        folder,
        settings,
        load_classifier,
        None if orbits is None else Path(orbits).absolute(),
        fingerprint,
        ephemeris=None if ephemeris is None else Path(ephemeris).absolute(),
        tle=None if tle is None else Path(tle).absolute(),
    )
    engine = engine or local_engine(
        workers, time_limit_s=time_limit_s, memory_limit_mb=memory_limit_mb, ahead=load_ahead
    )
    with ExitStack() as held:
        ledger = held.enter_context(held_folder(folder, restart=restart))
        _agree_on_settings(folder, ledger, identity, fingerprint)
        log = held.enter_context(opened_log(folder))
        plan = make_plan(frames, ledger, folder, fingerprint)
        log.tell("start", frames=len(frames), todo=len(plan.todo), version=__version__, **identity)
        counter = _Counter(plan, progress, folder)
        outcomes = engine(plan.todo, setup)
        _work_off(outcomes, folder, ledger, log, counter, fingerprint)
        entries = ledger.entries()
        provenance = {**identity, "version": __version__}
        counts = write_night_tables(
            folder, entries, settings.tracklets, provenance=provenance, ades=ades
        )
        run = _summary(folder, frames, plan, entries, counts, time.monotonic() - start)
        write_metrics(folder, _final_counts(run))
        log.tell("end", **run.totals)
    return run


def _frames(inputs: Any, profile: str) -> list[FrameFiles]:
    given: list[Any] = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if given and all(isinstance(one, FrameFiles) for one in given):
        return given
    return find_frames(given, profile=profile)


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
    given = {str(files.image.absolute()) for files in frames}
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
    )


def _final_counts(run: NightRun) -> dict[str, float | dict[str, float]]:
    return {
        "frames": {"done": run.n_done, "failed": len(run.failures)},
        "streaks": {name or "unnamed": n for name, n in run.by_class.items()},
        "tracklets": run.n_tracklets,
        "run_seconds": run.seconds,
        "finished": 1,
    }


def _other_sources(
    ephemeris: str | os.PathLike[str] | None, tle: str | os.PathLike[str] | None
) -> dict[str, str]:
    """What else a run's answers depend on; nothing where nothing is given."""
    names = {}
    if ephemeris is not None:
        names["ephemeris"] = Path(ephemeris).name
    if tle is not None:
        if not Path(tle).is_file():
            raise InputError(f"{tle} does not exist; give a file of two-line elements")
        names["tle"] = f"{Path(tle).name} {file_digest(tle)[:12]}"
    return names


def _catalogue_name(path: str | os.PathLike[str] | None) -> str:
    """Name and content of an orbit file: another file, or the same one updated, is another run."""
    if path is None:
        return ""
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist; give a file of orbits in MPCORB columns")
    return f"{Path(path).name} {file_digest(path)[:12]}"


def _fingerprint(identity: dict[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _agree_on_settings(
    folder: NightFolder, ledger: Ledger, identity: dict[str, Any], fingerprint: str
) -> None:
    """Make sure that an earlier run here had the same settings, and note them."""
    stale = [e for e in ledger.entries() if e.state == DONE and e.settings != fingerprint]
    if stale:
        changed = "; ".join(_differences(_earlier_identity(folder), identity)) or "unknown"
        raise LedgerError(
            f"{len(stale)} frames in {folder.root} were done with other settings ({changed}); "
            "use those again, choose another folder, or do all again with --restart"
        )
    with written_whole(folder.settings) as beside:
        began = datetime.now(UTC).isoformat(timespec="seconds")
        record = {**identity, "version": __version__, "started": began}
        beside.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _earlier_identity(folder: NightFolder) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(folder.settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in record.items() if key not in ("version", "started")}


def _differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where.removeprefix('settings.')}: {old or 'none'}, now {new or 'none'}"


def _without_path(reason: str, image: Path) -> str:
    """The reason beside the image's name, where its path needs no saying twice."""
    return reason.removeprefix(str(image)).lstrip(": ")


def _entry(outcome: Outcome[FrameWork, WorkDone], fingerprint: str) -> Entry:
    work = outcome.task
    entry = Entry(
        image=work.files.name,
        path=str(work.files.image.absolute()),
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
