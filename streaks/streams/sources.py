"""Where alerts come from, with how far each source was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streaks.errors import InputError
from streaks.readers.alerts import Lump, alert_files, file_lumps
from streaks.streams.ledger import StreamLedger

__all__ = ["FileSource", "Piece", "Source"]


@dataclass(frozen=True, eq=False)
class Piece:
    """A lump, and how far its source is read when it is settled.

    Parameters
    ----------
    lump
        Packets; None where the source is merely idle and what was done may be committed.
    source, signature
        As the ledger names it.
    done
        Lumps of a file that are settled with this one; the next offset of a partition.
    """

    lump: Lump | None
    source: str = ""
    signature: str = ""
    done: int = 0


class Source(Protocol):
    """What gives lumps."""

    def pieces(self, ledger: StreamLedger) -> Iterator[Piece]:
        """Lumps that are not settled yet, in the source's order.

        Parameters
        ----------
        ledger
            Tells which are settled.

        Yields
        ------
        Piece
        """
        ...

    def committed(self, positions: dict[tuple[str, str], int]) -> None:
        """What the ledger has heard: it may be told to who serves the packets.

        Parameters
        ----------
        positions
            By source and signature.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FileSource:
    """Files, folders and archives.

    Parameters
    ----------
    paths
        As `streaks.readers.read_alerts` takes them.
    leave_out
        Files of these folders are the filter's own.

    Raises
    ------
    InputError
        If one does not exist.
    """

    def __init__(self, paths: Sequence[Path], leave_out: Iterable[Path] = ()) -> None:
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise InputError(f"{', '.join(missing)} does not exist; give files or folders")
        self._paths = list(paths)
        self._own = [path.absolute() for path in leave_out]

    def pieces(self, ledger: StreamLedger) -> Iterator[Piece]:
        """Lumps that are not settled yet, file by file.

        Parameters
        ----------
        ledger
            Tells which are.

        Yields
        ------
        Piece
        """
        for path in self._files():
            whole = path.absolute()
            source, signature = str(whole), _signature(whole)
            done = ledger.done(source, signature)
            for number, lump in enumerate(file_lumps(path), start=1):
                if number > done:
                    yield Piece(lump, source, signature, number)

    def has_files(self) -> bool:
        """Whether there is any file to read.

        Returns
        -------
        bool
        """
        return next(self._files(), None) is not None

    def _files(self) -> Iterator[Path]:
        for path in alert_files(self._paths):
            whole = path.absolute()
            if not any(whole == own or own in whole.parents for own in self._own):
                yield path

    def committed(self, positions: dict[tuple[str, str], int]) -> None:
        """Nobody is told: files keep.

        Parameters
        ----------
        positions
            By source and signature.
        """

    def close(self) -> None:
        """Nothing is held."""


def _signature(path: Path) -> str:
    """Size and time of a file: another content is another file."""
    try:
        status = path.stat()
    except OSError:
        return "gone"
    return f"{status.st_size} {status.st_mtime_ns}"
