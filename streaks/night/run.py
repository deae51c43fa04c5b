"""A whole night: plan, work, gather. It can be stopped at any moment and started again."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streaks import __version__
from streaks.classification import Classifier
from streaks.config import Settings
from streaks.errors import InputError, LedgerError
from streaks.night.folder import NightFolder
from streaks.night.gathering import write_night_tables
from streaks.night.identity import content_digest, file_digest, run_identity, signature
from streaks.night.ledger import DONE, FAILED, Entry, Ledger, open_ledger
from streaks.night.pool import Outcome, run_tasks
from streaks.night.work import FrameWork, WorkDone, prepare_work
from streaks.readers import FrameFiles, find_frames
from streaks.reporting.files import written_whole

__all__ = ["NightRun", "Progress", "run_night"]

_log = logging.getLogger(__name__)

#: Errors of the frame itself: the same file fails again, and is not tried again.
_LASTING = frozenset({"ReadError", "FrameError"})


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
    """

    total: int
    done: int
    failed: int
    n_streaks: int = 0
    image: str = ""
    reason: str = ""


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
    """

    folder: NightFolder
    n_frames: int
    n_done: int
    n_skipped: int
    n_streaks: int
    failures: tuple[tuple[str, str], ...]
    seconds: float


def run_night(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    load_classifier: Callable[[], Classifier] | None = None,
    classifier_name: str = "",
    orbits: str | os.PathLike[str] | None = None,
    workers: int = 1,
    restart: bool = False,
    profile: str = "",
    time_limit_s: float = 600.0,
    progress: Callable[[Progress], None] | None = None,
) -> NightRun:
    """Search all frames of a night; started again, it does what is missing.

    Parameters
    ----------
    inputs
        Folders, lists, globs or files, as `find_frames` takes them.
    out_dir
        The night's folder; see `NightFolder` for what goes where.
    load_classifier
        Called once in each worker, so it must be picklable; None leaves streaks unnamed.
    classifier_name
        What the classifier is called; another name is another run.
    orbits
        A catalogue in MPCORB columns; None leaves streaks unmatched.
    workers
        Processes, one thread each; 0 works in this process.
    restart
        Forget what an earlier run did here.
    time_limit_s
        A frame that takes longer is given up.
    progress
        Called after each frame.

    Raises
    ------
    ReadError
        If the inputs hold no frame.
    LedgerError
        If an earlier run here had other settings, another run is at work here, or the ledger
        is damaged.
    """
    start = time.monotonic()
    settings = settings or Settings()
    frames = find_frames(inputs, profile=profile)
    folder = NightFolder(Path(out_dir))
    identity = run_identity(
        settings,
        classifier=classifier_name,
        orbits=_catalogue_name(orbits),
    )
    setup = functools.partial(
        prepare_work,
        folder,
        settings,
        load_classifier,
        None if orbits is None else Path(orbits).absolute(),
    )
    with _locked(folder), _opened_ledger(folder, restart) as ledger:
        fingerprint = _agree_on_settings(folder, ledger, identity)
        _sweep(folder)
        plan = _plan(frames, ledger, folder, fingerprint)
        counter = _Counter(plan, progress)
        for outcome in run_tasks(plan.todo, setup, workers=workers, time_limit_s=time_limit_s):
            entry = _entry(outcome, fingerprint)
            ledger.record(entry)
            counter.count(entry)
        entries = ledger.entries()
        n_streaks = write_night_tables(folder, entries, settings.tracklets)
    given = {str(files.image.absolute()) for files in frames}
    failures = tuple((e.path, e.reason) for e in entries if e.state == FAILED and e.path in given)
    return NightRun(
        folder=folder,
        n_frames=len(frames),
        n_done=len(frames) - len(failures),
        n_skipped=plan.n_done,
        n_streaks=n_streaks,
        failures=failures,
        seconds=time.monotonic() - start,
    )


def _catalogue_name(path: str | os.PathLike[str] | None) -> str:
    """Name and content of an orbit file: another file, or the same one updated, is another run."""
    if path is None:
        return ""
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist; give a file of orbits in MPCORB columns")
    return f"{Path(path).name} {file_digest(path)[:12]}"


@contextmanager
def _locked(folder: NightFolder) -> Iterator[None]:
    """Keeps a second run out; the lock goes with the process, however that ends."""
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        handle = folder.lock.open("w")
    except OSError as error:
        raise InputError(f"cannot write to {folder.root}: {error.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(
                f"another run is at work on {folder.root}; wait for it, or choose another folder"
            ) from None
        yield


@contextmanager
def _opened_ledger(folder: NightFolder, restart: bool) -> Iterator[Ledger]:
    if restart:
        for suffix in ("", "-wal", "-shm"):
            folder.ledger.with_name(folder.ledger.name + suffix).unlink(missing_ok=True)
        folder.settings.unlink(missing_ok=True)
        for place in {path.parent for path in folder.outputs("any")}:
            shutil.rmtree(place, ignore_errors=True)
    with open_ledger(folder.ledger) as ledger:
        yield ledger


def _sweep(folder: NightFolder) -> None:
    """Remove half-written files that a killed run left; only under the lock."""
    for place in {path.parent for path in folder.outputs("any")}:
        for leftover in place.glob(".*"):
            leftover.unlink(missing_ok=True)
    for path in folder.night_files:
        for leftover in folder.root.glob(f".{path.stem}-*{path.suffix}"):
            leftover.unlink(missing_ok=True)


def _agree_on_settings(folder: NightFolder, ledger: Ledger, identity: dict[str, Any]) -> str:
    """The run's fingerprint, once it is sure that an earlier run here had the same."""
    text = json.dumps(identity, sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
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
    return fingerprint


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


@dataclass(frozen=True)
class _Plan:
    """What is to do, and what earlier runs have done of the frames that are given."""

    todo: list[FrameWork]
    n_done: int
    n_failed: int


def _plan(
    frames: Sequence[FrameFiles], ledger: Ledger, folder: NightFolder, fingerprint: str
) -> _Plan:
    entries = ledger.entries()
    by_path = {entry.path: entry for entry in entries}
    names = {entry.image: entry.path for entry in entries}
    todo, n_done, n_failed = [], 0, 0
    for files in frames:
        path, sign = str(files.image.absolute()), signature(files)
        entry = by_path.get(path) or _moved(files, sign, entries, ledger)
        if entry is None and names.get(files.name, path) != path:
            # An earlier run gave this name to another file.
            clash = hashlib.sha256(path.encode(errors="replace")).hexdigest()[:8]
            files = replace(files, name=f"{files.name}-{clash}")
        elif entry is not None:
            files = replace(files, name=entry.image)
        if entry is None or entry.signature != sign or entry.settings != fingerprint:
            todo.append(FrameWork(files, sign))
        elif entry.state == DONE and all(p.is_file() for p in folder.outputs(entry.image)):
            n_done += 1
        elif entry.state == FAILED and entry.kind in _LASTING:
            n_failed += 1
        else:
            todo.append(FrameWork(files, sign))
    return _Plan(todo, n_done, n_failed)


def _moved(files: FrameFiles, sign: str, entries: Sequence[Entry], ledger: Ledger) -> Entry | None:
    """The entry of a frame that lay elsewhere: the same content, and the old place is empty."""
    size = json.loads(sign)[0][1]
    for entry in entries:
        same_size = entry.digest and json.loads(entry.signature)[0][1] == size
        if same_size and not Path(entry.path).exists() and content_digest(files) == entry.digest:
            moved = replace(entry, path=str(files.image.absolute()), signature=sign)
            ledger.record(moved)
            return moved
    return None


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

    def __init__(self, plan: _Plan, progress: Callable[[Progress], None] | None) -> None:
        total = len(plan.todo) + plan.n_done + plan.n_failed
        self._state = Progress(total, plan.n_done, plan.n_failed)
        self._tell = progress or (lambda _: None)
        self._tell(self._state)

    def count(self, entry: Entry) -> None:
        failed = entry.state == FAILED
        if failed:
            _log.info("%s: %s", entry.image, entry.reason)
        self._state = replace(
            self._state,
            done=self._state.done + (not failed),
            failed=self._state.failed + failed,
            n_streaks=self._state.n_streaks + entry.n_streaks,
            image=entry.image,
            reason=entry.reason,
        )
        self._tell(self._state)
