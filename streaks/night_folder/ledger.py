"""What was done with each frame of a night, kept so that a run can stop at any moment.

SQLite in WAL mode; only the parent process writes. A frame is entered as done after its outputs
are in place, so what the ledger says is there is there; what it does not say is done again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streaks.errors import LedgerError, OutputError

__all__ = ["DONE", "FAILED", "Entry", "Ledger", "is_damaged", "open_ledger"]

DONE, FAILED = "done", "failed"

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frames (
    image TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    signature TEXT NOT NULL,
    digest TEXT NOT NULL,
    settings TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    notes TEXT NOT NULL,
    n_streaks INTEGER NOT NULL,
    seconds REAL NOT NULL,
    stages TEXT NOT NULL,
    about TEXT NOT NULL,
    version TEXT NOT NULL,
    updated TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS frames_by_path ON frames (path);
"""


@dataclass(frozen=True)
class Entry:
    """One frame's line.

    Parameters
    ----------
    image
        Name, unique in the night.
    path
        Of the image file, absolute.
    signature
        Names, sizes and modification times of all its files: the quick test of sameness.
    digest
        Hash of their content: the sure one. Empty when the files could not be read.
    settings
        Fingerprint of settings, classifier and catalogue.
    state
        `DONE` or `FAILED`.
    kind, reason
        Class of the error and its message; empty when done.
    notes
        Warnings on the way, one a line.
    stages
        Seconds of each stage.
    about
        Plain values of the frame.
    """

    image: str
    path: str
    signature: str
    settings: str
    state: str
    digest: str = ""
    kind: str = ""
    reason: str = ""
    notes: str = ""
    n_streaks: int = 0
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    updated: str = ""


class Ledger:
    """An open ledger; make it with `open_ledger`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def entries(self) -> list[Entry]:
        """All frames, by name."""
        rows = self._database.execute("SELECT * FROM frames ORDER BY image").fetchall()
        return [_entry(row) for row in rows]

    def record(self, entry: Entry) -> None:
        """Enter a frame, in place of what was there for it."""
        values = {**vars(entry), "updated": datetime.now(UTC).isoformat(timespec="seconds")}
        for name in ("stages", "about"):
            values[name] = json.dumps(dict(values[name]), sort_keys=True, default=str)
        columns = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        with self._database:
            self._database.execute(
                f"INSERT OR REPLACE INTO frames ({columns}) VALUES ({places})", values
            )

    def forget(self, image: str) -> None:
        """Forget a frame: it is done again."""
        with self._database:
            self._database.execute("DELETE FROM frames WHERE image = ?", (image,))


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """The ledger of a night, made when it is not there.

    Raises
    ------
    LedgerError
        If the file is no ledger, is damaged, or was written by a newer version.
    OutputError
        If it cannot be written: a full or read-only disk.
    """
    database = None
    try:
        database = sqlite3.connect(path, timeout=30.0)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode=WAL")
        # A power cut may lose the last entries; their frames are then done again.
        database.execute("PRAGMA synchronous=NORMAL")
        database.executescript(_SCHEMA)
        _check_version(database, path)
        yield Ledger(database)
    except sqlite3.Error as error:
        if _cannot_write(error):
            raise OutputError(
                f"cannot write the ledger {path}: {error}; make room or choose another place, "
                "then start again: frames that are done stay done"
            ) from None
        raise LedgerError(
            f"the ledger {path} cannot be used ({error}); --restart begins a new one"
        ) from None
    finally:
        if database is not None:
            database.close()


def is_damaged(path: Path) -> bool:
    """Whether the file is there and is no sound database."""
    if not path.is_file():
        return False
    database = sqlite3.connect(path, timeout=30.0)
    try:
        return bool(database.execute("PRAGMA quick_check").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        return _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
    finally:
        database.close()


def _code(error: sqlite3.Error) -> int:
    """The primary result code, without what extends it; -1 for errors of Python's own."""
    return int(getattr(error, "sqlite_errorcode", -1)) & 0xFF


def _cannot_write(error: sqlite3.Error) -> bool:
    return _code(error) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    )


def _check_version(database: sqlite3.Connection, path: Path) -> None:
    with database:
        database.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(_SCHEMA_VERSION),))
    found = database.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0]
    if found != str(_SCHEMA_VERSION):
        raise LedgerError(
            f"the ledger {path} has schema {found}, this program knows {_SCHEMA_VERSION}; "
            "--restart begins a new one"
        )


def _entry(row: sqlite3.Row) -> Entry:
    values = dict(row)
    for name in ("stages", "about"):
        values[name] = json.loads(values[name])
    return Entry(**values)
