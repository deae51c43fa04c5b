"""Judgements of people, kept so that no kill at any moment loses one that was acknowledged.

SQLite in WAL mode, each write on the disk before it is acknowledged. Rows are added and never
changed: to undo a judgement is a row of its own. Each row has an id that its sender chose, so that
one sent twice is kept once.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streaks.errors import InputError, OutputError, ReadError
from streaks.tables import LABELS

__all__ = [
    "BAD_REFERENCE",
    "COMMENT",
    "LABEL",
    "UNDO",
    "Journal",
    "Judgement",
    "judgement_of",
    "open_journal",
    "person_name",
]

LABEL, UNDO, BAD_REFERENCE, COMMENT = "label", "undo", "bad_reference", "comment"

#: "vet" and a version, so that no other program's database is written to.
_APPLICATION, _VERSION = 0x766574, 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS judgements (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    person TEXT NOT NULL,
    streak_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'undo', 'bad_reference', 'comment')),
    value TEXT NOT NULL,
    image TEXT NOT NULL,
    x REAL,
    y REAL,
    made TEXT NOT NULL,
    received TEXT NOT NULL
);
"""
_COLUMNS = (
    "id", "person", "streak_id", "kind", "value", "image", "x", "y", "made", "received"
)  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
#: Letters; a comment is a few sentences.
_LONGEST = {"person": 60, "streak_id": 400, "image": 400, "made": 40, "comment": 2000}
#: No image is wider.
_FARTHEST_PX = 1e7
#: Seconds to wait for another process that writes.
_PATIENCE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One thing that a person said of one candidate.

    Parameters
    ----------
    id
        Chosen by its sender, unique for all time.
    person
        Who.
    streak_id
        Of the candidate.
    kind
        `LABEL`, `UNDO`, `BAD_REFERENCE` or `COMMENT`.
    value
        A label of `streaks.tables.LABELS`; the id of the label that is undone; ``1`` or ``0``;
        text, empty to take a comment back.
    made
        When, by the sender's clock, ISO 8601; empty where not told.
    image, x, y
        Where the candidate lay, px: a night that is run again may give its name to another.
    received
        When, by this machine's clock, ISO 8601 UTC.
    seq
        Running number in the journal; 0 for one that is not in it.
    """

    id: str
    person: str
    streak_id: str
    kind: str
    value: str
    made: str = ""
    image: str = ""
    x: float = math.nan
    y: float = math.nan
    received: str = ""
    seq: int = 0


def person_name(text: str) -> str:
    """A person's name on one line.

    Parameters
    ----------
    text
        As it was typed.

    Returns
    -------
    str
        Without control characters, and with single spaces.

    Raises
    ------
    InputError
        If nothing is left, or more than 60 letters.
    """
    name = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", " ", text).split())
    if not 0 < len(name) <= _LONGEST["person"]:
        raise InputError(f"a name has 1 to {_LONGEST['person']} letters; {name[:80]!r} came")
    return name


def judgement_of(raw: Any) -> Judgement:
    """A judgement from what a page sent.

    Parameters
    ----------
    raw
        ``{"id", "person", "streak_id", "kind", "value"}``, all text. May lack: ``made``, and the
        place that was shown, ``image, x, y``.

    Returns
    -------
    Judgement

    Raises
    ------
    InputError
        For anything else, saying which part.
    """
    if not isinstance(raw, Mapping):
        raise InputError("a judgement is a JSON object")
    told = {name: _text(raw, name) for name in ("id", "person", "streak_id", "kind", "value")}
    told |= {name: _text(raw, name) if name in raw else "" for name in ("made", "image")}
    if not _ID.fullmatch(told["id"]):
        raise InputError("a judgement's id has 8 to 64 letters, digits, - and _")
    for name in ("streak_id", "made", "image"):
        if len(told[name]) > _LONGEST[name]:
            raise InputError(f"{name} has {len(told[name])} letters; {_LONGEST[name]} at most")
    told["person"] = person_name(told["person"])
    _check_value(told["kind"], told["value"])
    return Judgement(
        id=told["id"],
        person=told["person"],
        streak_id=told["streak_id"],
        kind=told["kind"],
        value=told["value"],
        made=told["made"],
        image=told["image"],
        x=_place(raw, "x"),
        y=_place(raw, "y"),
    )


def _place(raw: Mapping[str, Any], name: str) -> float:
    value = raw.get(name)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _FARTHEST_PX:
        raise InputError(f"a judgement's {name} is a place in pixels; {str(value)[:40]} came")
    return float(value)


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise InputError(f"a judgement's {name} is text; {type(value).__name__} came")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"a judgement's {name} holds half a letter (a lone surrogate)") from None
    return value


def _check_value(kind: str, value: str) -> None:
    if kind == LABEL and value not in LABELS:
        raise InputError(f"{value[:80]!r} is no class; expected {', '.join(LABELS)}")
    if kind == UNDO and not _ID.fullmatch(value):
        raise InputError("what is undone is named by its id")
    if kind == BAD_REFERENCE and value not in ("0", "1"):
        raise InputError(f"{kind} is 0 or 1; {value[:80]!r} came")
    if kind == COMMENT and len(value) > _LONGEST[COMMENT]:
        raise InputError(f"a comment has {_LONGEST[COMMENT]} letters at most; {len(value)} came")
    if kind not in (LABEL, UNDO, BAD_REFERENCE, COMMENT):
        raise InputError(f"{kind[:80]!r} is no kind of judgement")


class Journal:
    """An open journal; make it with `open_journal`. Threads may share it.

    Parameters
    ----------
    database
        Open, with the journal's table.
    path
        Of the file, for errors.
    """

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database, self._path = database, path
        self._lock = threading.Lock()

    def record(self, judgements: Sequence[Judgement]) -> dict[str, str]:
        """Keep judgements, all in one transaction; they are on the disk when this returns.

        Parameters
        ----------
        judgements
            In the order in which they were made. One whose id is there already is kept once.

        Returns
        -------
        dict
            Ids that were refused, each with the reason: taken by another judgement.

        Raises
        ------
        OutputError
            If they cannot be written; none is kept then.
        """
        refused: dict[str, str] = {}
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock, _said(self._path), self._database:
            for one in judgements:
                if not self._insert(replace(one, received=now)):
                    refused[one.id] = "this id is another judgement's"
        return refused

    def _insert(self, one: Judgement) -> bool:
        """Whether it is kept, by now or from before."""
        values = {name: getattr(one, name) for name in _COLUMNS}
        for name in "xy":
            values[name] = values[name] if math.isfinite(values[name]) else None
        done = self._database.execute(
            f"INSERT OR IGNORE INTO judgements ({', '.join(_COLUMNS)}) "
            f"VALUES ({', '.join(':' + name for name in _COLUMNS)})",
            values,
        )
        if done.rowcount:
            return True
        row = self._database.execute(
            "SELECT person, streak_id, kind, value FROM judgements WHERE id = ?", (one.id,)
        ).fetchone()
        return tuple(row) == (one.person, one.streak_id, one.kind, one.value)

    def after(self, seq: int = 0, limit: int = 1 << 62) -> list[Judgement]:
        """What came after a running number, in order.

        Parameters
        ----------
        seq
            Of the last one that is known; 0 for all.
        limit
            Most that are given.

        Returns
        -------
        list of Judgement

        Raises
        ------
        ReadError
            If the file is damaged.
        """
        with self._lock, _said(self._path):
            rows = self._database.execute(
                f"SELECT seq, {', '.join(_COLUMNS)} FROM judgements "
                "WHERE seq > ? ORDER BY seq LIMIT ?",
                (seq, limit),
            ).fetchall()
        return [_from_row(row) for row in rows]


def _from_row(row: Sequence[Any]) -> Judgement:
    values = dict(zip(("seq", *_COLUMNS), row, strict=True))
    for name in "xy":
        values[name] = math.nan if values[name] is None else float(values[name])
    return Judgement(**values)


@contextmanager
def open_journal(path: Path, *, only_read: bool = False) -> Iterator[Journal]:
    """The journal of a night, made when it is not there.

    Parameters
    ----------
    path
        Of the file.
    only_read
        Make nothing: one that is missing is an error.

    Yields
    ------
    Journal

    Raises
    ------
    ReadError
        If the file is no journal, is damaged, is of a newer version, or is missing when it is
        only to be read.
    OutputError
        If it cannot be written.
    """
    if only_read and not path.is_file():
        raise ReadError(f"nothing was judged yet: there is no {path}; run `streaks vet` first")
    if os.path.lexists(path) and not path.is_file():
        raise ReadError(f"{path} is no file; move it away")
    with _said(path):
        database = sqlite3.connect(path, timeout=_PATIENCE_S, check_same_thread=False)
        try:
            _prepare(database, path)
        except BaseException:
            database.close()
            raise
    try:
        yield Journal(database, path)
    finally:
        database.close()


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    # A file of no tables: just made, or its maker was killed before its first transaction ended.
    if application not in (_APPLICATION, 0) or (application == 0 and tables):
        raise ReadError(f"{path} is another program's database; nothing was touched, move it away")
    if version > _VERSION:
        raise ReadError(f"{path} is of a newer version of streaks ({version}); update this one")
    database.execute("PRAGMA journal_mode=WAL")
    # What was acknowledged outlives a power cut too.
    database.execute("PRAGMA synchronous=FULL")
    if application == 0:
        # In one transaction: a kill leaves all of it or nothing.
        database.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id={_APPLICATION}; "
            f"PRAGMA user_version={_VERSION}; COMMIT;"
        )


#: Errors of the place, not of the file's content.
_OF_THE_PLACE = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY,
})  # fmt: skip


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # Extended codes carry the primary one in their lowest byte.
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        if code in _OF_THE_PLACE:
            raise OutputError(
                f"cannot write judgements to {path}: {error}; make room, or allow writing there"
            ) from None
        raise ReadError(
            f"{path} is damaged ({error}); move it away to begin anew, and keep it: "
            "`sqlite3 FILE .recover` may read it"
        ) from None
