"""What was done with each frame of a night, kept so that a run can stop at any moment.

SQLite in WAL mode; only the parent process writes. A frame is entered as done after its outputs
are in place, so what the ledger says is there is there; what it does not say is done again.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streaks.disk import parse_json
from streaks.errors import LedgerError, OutputError, ReadError

__all__ = [
    "DONE",
    "FAILED",
    "Entry",
    "Ledger",
    "is_damaged",
    "is_there",
    "open_ledger",
    "plain_text",
]

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
#: Errors that are none of the file's own.
_PASSING = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
})  # fmt: skip
_NOT_UTF8 = re.compile(r"\\u(dc[89a-f][0-9a-f])")
#: Bytes of a file's name without its suffix; file systems take 255 with it.
_LONGEST_NAME = 250
_TEXTS = (
    "image", "path", "signature", "digest", "settings", "kind", "reason", "notes", "version",
    "updated",
)  # fmt: skip


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
    n_streaks
        Rows of the frame's table; 0 when it failed.
    seconds
        The frame took.
    stages
        Seconds of each stage.
    about
        Plain values of the frame.
    version
        Of the program that did it.
    updated
        When it was entered, UTC, ISO 8601; `Ledger.record` sets it.
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
    """An open ledger; make it with `open_ledger`.

    Parameters
    ----------
    database
        Of `open_ledger`, which also closes it.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def entries(self) -> list[Entry]:
        """All frames, by name.

        Returns
        -------
        list of Entry
            Without damaged rows.
        """
        return [entry for _, _, entry in self._rows() if entry is not None]

    def damaged(self) -> list[str]:
        """What rows call themselves that hold what no run wrote; `entries` leaves them out.

        Returns
        -------
        list of str
            Cut to 100 characters.
        """
        return [name for _, name, entry in self._rows() if entry is None]

    def drop_damaged(self) -> list[str]:
        """Delete such rows; what they called themselves.

        Returns
        -------
        list of str
            As `damaged` gave them before.
        """
        damaged = [(number, name) for number, name, entry in self._rows() if entry is None]
        if damaged:
            with self._database:
                self._database.executemany(
                    "DELETE FROM frames WHERE rowid = ?", [(number,) for number, _ in damaged]
                )
        return [name for _, name in damaged]

    def _rows(self) -> Iterator[tuple[int, str, Entry | None]]:
        """Number, name and entry of each row, by name; no entry where it is damaged."""
        with _readable_errors():
            rows = self._database.execute("SELECT rowid AS number, * FROM frames ORDER BY image")
            found = rows.fetchall()
        for row in found:
            values = dict(row)
            number = values.pop("number")
            yield number, str(values["image"])[:100], _entry(values)

    def record(self, entry: Entry) -> None:
        """Enter a frame, in place of what was there for it.

        Parameters
        ----------
        entry
            Of the frame. Its ``updated`` is set to now, UTC.
        """
        values = {**vars(entry), "updated": datetime.now(UTC).isoformat(timespec="seconds")}
        for name in ("stages", "about"):
            values[name] = json.dumps(dict(values[name]), sort_keys=True, default=str)
        # Reasons and notes quote names, which need not be UTF-8.
        values = {k: plain_text(v) if isinstance(v, str) else v for k, v in values.items()}
        columns = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        with self._database:
            self._database.execute(
                f"INSERT OR REPLACE INTO frames ({columns}) VALUES ({places})", values
            )

    def forget(self, image: str) -> None:
        """Forget a frame: it is done again.

        Parameters
        ----------
        image
            Name of the frame; one that the ledger does not know is no error.
        """
        with self._database:
            self._database.execute("DELETE FROM frames WHERE image = ?", (image,))


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """The ledger of a night, made when it is not there.

    Parameters
    ----------
    path
        Of the file; its folder must be there.

    Yields
    ------
    Ledger
        Open until the block is left. SQLite's errors within the block are raised as below.

    Raises
    ------
    LedgerError
        If the file is no ledger, is damaged, or was written by a newer version.
    OutputError
        If it cannot be written: a full or read-only disk.
    """
    database = None
    try:
        database = _connected(path)
        with _readable_errors():
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


@contextmanager
def _readable_errors() -> Iterator[None]:
    """SQLite's errors that quote a damaged name: Python reads such a message strictly."""
    try:
        yield
    except UnicodeDecodeError:
        raise sqlite3.DatabaseError("a damaged name in its tables") from None


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30.0)
    # What is no UTF-8 is damage of one text, and stops nothing.
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return database


def is_damaged(path: Path) -> bool:
    """Whether the file is there and is no sound database, or has not a ledger's tables.

    Parameters
    ----------
    path
        Of the ledger.

    Returns
    -------
    bool
        False for a missing or empty file, a newer version's, and one that only cannot be read now
        (locked, no permission).
    """
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        start = file.read(20)
    # Its formats to write and to read: SQLite takes others for a file that it may not write.
    if not start.startswith(b"SQLite format 3\0") or not set(start[18:20]) <= {1, 2}:
        return True
    database = _connected(path)
    try:
        with _readable_errors():
            if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return True
            return not _is_newer(database) and not _has_our_tables(database)
    except sqlite3.Error as error:
        return _code(error) not in _PASSING
    finally:
        database.close()


def _has_our_tables(database: sqlite3.Connection) -> bool:
    """Whether tables are as this program makes them, with nothing else; missing ones are made."""
    model = sqlite3.connect(":memory:")
    try:
        model.executescript(_SCHEMA)
        ours, found = _definitions(model), _definitions(database)
    finally:
        model.close()
    return all(ours.get(name) == text for name, text in found.items())


def _definitions(database: sqlite3.Connection) -> dict[str, str]:
    rows = database.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")
    return {str(name): " ".join(str(text).split()) for name, text in rows}


def _is_newer(database: sqlite3.Connection) -> bool:
    """Whether a later version of this program wrote it."""
    if "meta" not in _definitions(database):
        return False
    row = database.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return row is not None and str(row[0]).isdecimal() and int(str(row[0])[:18]) > _SCHEMA_VERSION


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
    if not str(found).isdecimal():
        # No version has written that: the row is damaged, and the rest is looked at row by row.
        with database:
            database.execute(
                "UPDATE meta SET value = ? WHERE key = 'schema'", (str(_SCHEMA_VERSION),)
            )
    elif found != str(_SCHEMA_VERSION):
        raise LedgerError(
            f"the ledger {path} has schema {found}, this program knows {_SCHEMA_VERSION}; "
            "--restart begins a new one"
        )


def plain_text(text: str) -> str:
    """Text that UTF-8 can hold: bytes of a file's name that are none are written ``\\udcff``.

    Parameters
    ----------
    text
        A name as Python reads it from the file system, or words that quote one.

    Returns
    -------
    str
        The same where it was plain already.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_there(path: str) -> bool:
    """Whether a file of a ledger's path is there.

    Parameters
    ----------
    path
        As `plain_text` wrote it: bytes that are no UTF-8 as ``\\udcff``, or as they are.

    Returns
    -------
    bool
        True for a folder too.
    """
    raw = _NOT_UTF8.sub(lambda found: chr(int(found[1], 16)), path)
    return os.path.exists(path) or os.path.exists(raw)


def _entry(values: dict[str, Any]) -> Entry | None:
    """A row's entry; None where it holds what no run wrote."""
    try:
        for name in ("stages", "about"):
            values[name] = parse_json(values[name], name)
        entry = Entry(**values)
        signature = parse_json(entry.signature, "signature")
    except (ReadError, TypeError, AttributeError):
        return None
    texts = (getattr(entry, one) for one in _TEXTS)
    sound = (
        all(isinstance(text, str) for text in texts)
        # It becomes the name of files.
        and Path(entry.image).name == entry.image
        and len(os.fsencode(entry.image)) <= _LONGEST_NAME
        and "\0" not in entry.image + entry.path
        and entry.state in (DONE, FAILED)
        and type(entry.n_streaks) is int
        and type(entry.seconds) in (int, float)
        and isinstance(entry.about, dict)
        and isinstance(entry.stages, dict)
        and all(type(value) in (int, float) for value in entry.stages.values())
        and isinstance(signature, list)
        and all(isinstance(one, list) and len(one) == 3 for one in signature)
    )
    return entry if sound else None
