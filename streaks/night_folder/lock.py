"""A night's folder in one run's hands: locked, swept, its ledger open, and still there."""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from streaks.errors import LedgerError, OutputError
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import Ledger, is_damaged, open_ledger

__all__ = ["FolderWatch", "held_folder"]

_log = logging.getLogger(__name__)


@contextmanager
def held_folder(folder: NightFolder, *, restart: bool = False) -> Iterator[Ledger]:
    """The ledger of a night that no other run may touch meanwhile.

    A damaged ledger is put aside, with a warning; finished frames are known by their own tables.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to.
    LedgerError
        If another run is at work here, or the ledger is of another version.
    """
    with _locked(folder):
        if restart:
            _forget(folder)
        elif is_damaged(folder.ledger):
            _put_aside(folder)
        _sweep(folder)
        with open_ledger(folder.ledger) as ledger:
            yield ledger
        # Workers killed on the way leave such files too.
        _sweep(folder)


class FolderWatch:
    """Notices when a folder is removed or replaced under a run."""

    def __init__(self, folder: NightFolder) -> None:
        self._folder = folder
        self._known = self._identity()

    def check(self) -> None:
        """Raise `OutputError` unless the ledger is the file that it was."""
        if self._identity() != self._known:
            raise OutputError(
                f"{self._folder.root} was removed or replaced while the night ran; "
                "what was written there is lost: start again"
            )

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._folder.ledger.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


@contextmanager
def _locked(folder: NightFolder) -> Iterator[None]:
    """Keeps a second run out; the lock goes with the process, however that ends."""
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        handle = folder.lock.open("w")
    except OSError as error:
        raise OutputError(f"cannot write to {folder.root}: {error.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(
                f"another run is at work on {folder.root}; wait for it, or choose another folder"
            ) from None
        yield


def _forget(folder: NightFolder) -> None:
    for suffix in ("", "-wal", "-shm"):
        folder.ledger.with_name(folder.ledger.name + suffix).unlink(missing_ok=True)
    folder.settings.unlink(missing_ok=True)
    for place in folder.places:
        shutil.rmtree(place, ignore_errors=True)


def _put_aside(folder: NightFolder) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = folder.ledger.with_name(f"ledger-damaged-{stamp}.sqlite")
    folder.ledger.rename(kept)
    for suffix in ("-wal", "-shm"):
        folder.ledger.with_name(folder.ledger.name + suffix).unlink(missing_ok=True)
    _log.warning(
        "the ledger was damaged; it is kept as %s, and frames whose results are whole are taken "
        "over from them",
        kept,
    )


def _sweep(folder: NightFolder) -> None:
    """Remove half-written files that a killed run left."""
    for place in folder.places:
        for leftover in place.glob(".*"):
            leftover.unlink(missing_ok=True)
    for path in folder.night_files:
        for leftover in folder.root.glob(f".{path.stem}-*{path.suffix}"):
            leftover.unlink(missing_ok=True)
