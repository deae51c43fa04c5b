"""A ledger in one SQLite file, held by one command at a time."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streaks.errors import LedgerError, OutputError

__all__ = ["LedgerKind", "held_ledger"]


@dataclass(frozen=True, kw_only=True)
class LedgerKind:
    """What one kind of ledger is.

    Parameters
    ----------
    lock, database
        Names of its files.
    schema
        SQL that makes the tables where they are not there.
    application, version
        What marks the file as of this kind.
    pragmas
        SQLite's settings, each as ``name = value``.
    unwritable, busy, strange, unusable
        Errors: the folder cannot be written to (``{folder}``, ``{reason}``), another command is
        at work (``{folder}``), the file is of another kind or version (``{path}``), or none that
        can be used (``{path}``, ``{reason}``).
    """

    lock: str
    database: str
    schema: str
    application: int
    version: int
    pragmas: tuple[str, ...]
    unwritable: str
    busy: str
    strange: str
    unusable: str


@contextmanager
def held_ledger(folder: Path, kind: LedgerKind) -> Iterator[sqlite3.Connection]:
    """A ledger's database, which nobody else holds meanwhile.

    Parameters
    ----------
    folder
        In which it lies; it must be there.
    kind
        Of the ledger.

    Yields
    ------
    sqlite3.Connection
        With the tables of its kind.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    LedgerError
        If another command holds it, or the file is none of this kind.
    """
    try:
        lock = os.open(folder / kind.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(kind.unwritable.format(folder=folder, reason=reason)) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LedgerError(kind.busy.format(folder=folder)) from None
        database = _connected(folder / kind.database, kind)
        try:
            yield database
        except sqlite3.DatabaseError as error:
            # A page that is damaged is seen only when it is asked for.
            path = folder / kind.database
            raise LedgerError(kind.unusable.format(path=path, reason=error)) from None
        finally:
            database.close()
    finally:
        os.close(lock)


def _connected(path: Path, kind: LedgerKind) -> sqlite3.Connection:
    try:
        if not path.exists():
            _made(path, kind)
        elif path.is_file() and path.stat().st_size == 0:
            # Ours are never empty (see `_made`): something emptied it, and what it held is lost.
            raise LedgerError(kind.unusable.format(path=path, reason="it is empty"))
        database = sqlite3.connect(path, timeout=20.0)
        for pragma in kind.pragmas:
            database.execute(f"PRAGMA {pragma}")
        application = int(database.execute("PRAGMA application_id").fetchone()[0])
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        empty = not database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if not empty and (application, version) != (kind.application, kind.version):
            raise LedgerError(kind.strange.format(path=path))
        _lay_out(database, kind)
    except sqlite3.Error as error:
        raise LedgerError(kind.unusable.format(path=path, reason=error)) from None
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(kind.unwritable.format(folder=path.parent, reason=reason)) from None
    return database


def _made(path: Path, kind: LedgerKind) -> None:
    """A new ledger, which is there whole or not at all: an empty one would be a lost one's like."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    database = sqlite3.connect(beside)
    try:
        _lay_out(database, kind)
    finally:
        database.close()
    os.replace(beside, path)


def _lay_out(database: sqlite3.Connection, kind: LedgerKind) -> None:
    database.executescript(kind.schema)
    database.execute(f"PRAGMA application_id = {kind.application}")
    database.execute(f"PRAGMA user_version = {kind.version}")
