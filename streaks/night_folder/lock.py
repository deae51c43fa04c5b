"""A night's folder in one run's hands: locked, swept, its ledger open, and still there."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from streaks.errors import LedgerError, OutputError, StreaksError
from streaks.night_folder.claim import claim_folder, clear_places, discard, put_aside
from streaks.night_folder.frame_results import read_record
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import Ledger, is_damaged, open_ledger

__all__ = ["FolderWatch", "held_folder"]

_log = logging.getLogger(__name__)


@contextmanager
def held_folder(
    folder: NightFolder, *, restart: bool = False, mend: bool = True
) -> Iterator[Ledger]:
    """The ledger of a night that no other run may touch meanwhile.

    A damaged ledger is put aside, with a warning, as is what lies in the places of the night's own
    files and is of another kind; finished frames are known by their own tables. Without `mend`
    nothing is put aside.

    Parameters
    ----------
    folder
        The night's; it is made where it is not there.
    restart
        Delete first what frames left here, the ledger and the settings; other things stay.
    mend
        Put aside what is damaged or in the way, and drop damaged rows of the ledger.

    Yields
    ------
    Ledger
        Open and locked until the block is left.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, or was never a night and holds what one would
        write over.
    LedgerError
        If another run is at work here, or the ledger is of another version.
    """
    claim_folder(folder)
    with _locked(folder):
        if mend:
            clear_places(folder)
        if restart:
            _forget(folder)
        elif mend and is_damaged(folder.ledger):
            _put_aside_ledger(folder)
        _sweep(folder)
        with open_ledger(folder.ledger) as ledger:
            if mend:
                _drop_damaged_rows(folder, ledger)
            yield ledger
        # Workers killed on the way leave such files too.
        _sweep(folder)


class FolderWatch:
    """Notices when a folder is removed or replaced under a run.

    Parameters
    ----------
    folder
        The night's, its ledger made.
    """

    def __init__(self, folder: NightFolder) -> None:
        self._folder = folder
        self._known = self._identity()

    def check(self) -> None:
        """Raise `OutputError` unless the ledger is the file that it was.

        Raises
        ------
        OutputError
            If the ledger is gone or is another file.
        """
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
        if os.path.lexists(folder.lock) and not folder.lock.is_file():
            put_aside(folder.lock)
        # Nothing is written there: it may be a link to something.
        handle = folder.lock.open("a")
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
    """Delete what frames and night left here; what the night did not write stays."""
    folder = replace(folder, streak_masks=True)
    for image in _images(folder):
        for path in folder.outputs(image):
            discard(path)
    for suffix in ("", "-wal", "-shm"):
        folder.ledger.with_name(folder.ledger.name + suffix).unlink(missing_ok=True)
    folder.settings.unlink(missing_ok=True)


def _images(folder: NightFolder) -> set[str]:
    """Names of frames that left something, by the ledger and by their own tables."""
    images = set()
    with suppress(StreaksError):
        if folder.ledger.is_file() and not is_damaged(folder.ledger):
            with open_ledger(folder.ledger) as ledger:
                images = {entry.image for entry in ledger.entries()}
    for path in folder.part("any").parent.glob("*.parquet"):
        if path.stem not in images and path.is_file() and read_record(path):
            images.add(path.stem)
    return images


def _put_aside_ledger(folder: NightFolder) -> None:
    kept = put_aside(folder.ledger, "damaged")
    for suffix in ("-wal", "-shm"):
        folder.ledger.with_name(folder.ledger.name + suffix).unlink(missing_ok=True)
    _log.warning(
        "the ledger was damaged; it is kept as %s, and frames whose results are whole are taken "
        "over from them",
        kept,
    )


def _drop_damaged_rows(folder: NightFolder, ledger: Ledger) -> None:
    dropped = ledger.drop_damaged()
    if dropped:
        more = f" and {len(dropped) - 3} more" if len(dropped) > 3 else ""
        _log.warning(
            "%d rows of %s were damaged and are left out (%s%s); frames whose results are whole "
            "are taken over from them",
            len(dropped),
            folder.ledger,
            ", ".join(dropped[:3]),
            more,
        )


#: What `written_whole` calls a file until it is whole.
_HALF_WRITTEN = re.compile(r"\..*-[a-z0-9_]{8}")


def _sweep(folder: NightFolder) -> None:
    """Remove half-written files that a killed run left; other hidden files stay."""
    for path in replace(folder, streak_masks=True).outputs("any"):
        if path.parent.is_dir():
            _sweep_place(path.parent, f".*{path.suffix}")
    for path in folder.night_files:
        _sweep_place(folder.root, f".{path.stem}-*{path.suffix}")


def _sweep_place(place: Path, pattern: str) -> None:
    for leftover in place.glob(pattern):
        if _HALF_WRITTEN.fullmatch(leftover.stem) and leftover.is_file():
            leftover.unlink(missing_ok=True)
