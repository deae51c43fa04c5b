"""How far each subject of a set is, kept with the set: an upload goes on where it stopped."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streaks.errors import LedgerError
from streaks.labelling.ledgers import LedgerKind, held_ledger

__all__ = ["Row", "UploadLedger", "open_ledger", "standing_of_upload"]

LEDGER, _LOCK = "upload.sqlite", ".upload.lock"
#: "uplo" and a version, so that no other program's database is written to.
_APPLICATION, _VERSION = 0x75706C6F, 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS subjects (
    key TEXT PRIMARY KEY,
    place INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'new'
        CHECK (state IN ('new', 'creating', 'created', 'stored', 'linked')),
    number TEXT NOT NULL DEFAULT '',
    floor INTEGER NOT NULL DEFAULT 0,
    asked REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_state ON subjects (state, place);
"""


@dataclass(frozen=True)
class Row:
    """One subject in the ledger.

    Parameters
    ----------
    key
        By which it is found again on the service.
    place
        In the set, from 0.
    state
        ``new``, ``creating``, ``created``, ``stored`` or ``linked``.
    number
        That the service gave it; empty before it did.
    floor
        The highest number that was known when it was last asked to be created.
    asked
        When that was, s since 1970.
    """

    key: str
    place: int
    state: str
    number: str
    floor: int
    asked: float


class UploadLedger:
    """How far each subject is. One process at a time; threads do not touch it.

    Parameters
    ----------
    database
        Open for writing, with the ledger's tables.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def about(self, name: str) -> str:
        """What was noted of the upload under a name; empty for nothing.

        Parameters
        ----------
        name
            As given to `note`.

        Returns
        -------
        str
        """
        asked = "SELECT value FROM about WHERE name = ?"
        found = self._database.execute(asked, (name,)).fetchone()
        return "" if found is None else str(found[0])

    def note(self, **values: str) -> None:
        """Note something of the whole upload.

        Parameters
        ----------
        **values
            By name; older ones are replaced.
        """
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO about VALUES (?, ?)",
                list(values.items()),
            )

    def enter(self, keys: Sequence[str]) -> None:
        """Enter subjects as new; those that are known stay as they are.

        Parameters
        ----------
        keys
            In the set's order.
        """
        with self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO subjects (key, place) VALUES (?, ?)",
                [(key, place) for place, key in enumerate(keys)],
            )

    def rows(self, *states: str, limit: int = -1) -> list[Row]:
        """Subjects in some states.

        Parameters
        ----------
        *states
            Any of these.
        limit
            No more than this many; -1 for all.

        Returns
        -------
        list of Row
            In the set's order.
        """
        marks = ", ".join("?" * len(states))
        found = self._database.execute(
            "SELECT key, place, state, number, floor, asked FROM subjects "
            f"WHERE state IN ({marks}) ORDER BY place LIMIT ?",
            (*states, limit),
        )
        return [Row(*row) for row in found.fetchall()]

    def count(self, *states: str) -> int:
        """How many subjects are in some states.

        Parameters
        ----------
        *states
            Any of these.

        Returns
        -------
        int
        """
        marks = ", ".join("?" * len(states))
        asked = f"SELECT COUNT(*) FROM subjects WHERE state IN ({marks})"
        return int(self._database.execute(asked, states).fetchone()[0])

    def highest(self) -> int:
        """The highest number of a subject that is known to be there.

        Returns
        -------
        int
            0 for none.
        """
        asked = "SELECT MAX(CAST(number AS INTEGER)) FROM subjects"
        return max(
            int(self._database.execute(asked).fetchone()[0] or 0), int(self.about("floor") or 0)
        )

    def creating(self, keys: Sequence[str]) -> None:
        """Write down that subjects are about to be created, before anything is sent.

        Parameters
        ----------
        keys
            Of the subjects.
        """
        floor = self.highest()
        with self._database:
            self._database.executemany(
                "UPDATE subjects SET state = 'creating', floor = ?, asked = ? WHERE key = ?",
                [(floor, time.time(), key) for key in keys],
            )

    def put(self, state: str, key: str, number: str = "") -> None:
        """Enter a subject's new state.

        Parameters
        ----------
        state
            That it has now.
        key
            Of the subject.
        number
            That the service gave it; empty to keep the one it has.
        """
        with self._database:
            self._database.execute(
                "UPDATE subjects SET state = ?, number = CASE WHEN ? = '' THEN number ELSE ? END "
                "WHERE key = ?",
                (state, number, number, key),
            )

    def put_all(self, state: str, keys: Sequence[str]) -> None:
        """Enter one new state of many subjects, all or none.

        Parameters
        ----------
        state
            That they have now.
        keys
            Of the subjects.
        """
        with self._database:
            self._database.executemany(
                "UPDATE subjects SET state = ? WHERE key = ?", [(state, key) for key in keys]
            )


_LEDGER = LedgerKind(
    lock=_LOCK,
    database=LEDGER,
    schema=_SCHEMA,
    application=_APPLICATION,
    version=_VERSION,
    pragmas=("journal_mode = WAL", "synchronous = FULL"),
    unwritable="cannot keep a ledger in {folder}: {reason}; make it writable",
    busy="another upload of {folder} is at work; wait until it is done",
    strange="{path} is no ledger of an upload of this version; move it away",
    unusable="{path} cannot be used ({reason}); move it away: what is uploaded is found again",
)


@contextmanager
def open_ledger(folder: Path) -> Iterator[UploadLedger]:
    """The ledger of a set, held by this process alone; made where there is none.

    Parameters
    ----------
    folder
        Of the set.

    Yields
    ------
    UploadLedger

    Raises
    ------
    LedgerError
        If it cannot be written, is damaged, or another upload is at work.
    """
    with held_ledger(folder, _LEDGER) as database:
        yield UploadLedger(database)


def standing_of_upload(folder: str | os.PathLike[str]) -> Mapping[str, int]:
    """How many subjects of a set are how far; nothing is sent or written.

    Parameters
    ----------
    folder
        Of the set.

    Returns
    -------
    mapping
        By state; empty where no upload was begun.

    Raises
    ------
    LedgerError
        If the ledger is damaged.
    """
    path = Path(folder) / LEDGER
    if not path.is_file():
        return {}
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            asked = "SELECT state, COUNT(*) FROM subjects GROUP BY state"
            return {str(state): int(n) for state, n in database.execute(asked).fetchall()}
        finally:
            database.close()
    except sqlite3.Error as error:
        raise LedgerError(
            f"{path} cannot be read ({error}); move it away: what is uploaded is found again"
        ) from None
