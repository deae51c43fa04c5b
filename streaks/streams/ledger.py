"""What a filter has read and written, so that it may be killed at any moment.

Input is read at least once, output written exactly once. One transaction says both: how far each
source was read, which alerts are out, and how long the output was then. What the output has beyond
that was written by a process that was killed before it could say so; it is cut off at the next
start, and written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from streaks.errors import LedgerError, OutputError

__all__ = ["StreamLedger"]

_VERSION = "1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS positions (
    source TEXT PRIMARY KEY, signature TEXT NOT NULL, done INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_COUNTS = ("alerts", "kept", "poison", "repeats")
#: Names in one question to SQLite.
_AT_ONCE = 500


class StreamLedger:
    """An open ledger.

    Parameters
    ----------
    path
        Of the database; made where it is not there.
    identity
        What decides the results, by name.

    Raises
    ------
    LedgerError
        If it was made with other settings, by another version, or another filter is at work.
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"cannot write the ledger {path}: {error}") from None
        self._path = path
        told = self.value("version")
        if told is None:
            self._note("version", _VERSION)
        elif told != _VERSION:
            self._refuse("by another version")
        self._agree(identity)

    def _agree(self, identity: Mapping[str, Any]) -> None:
        """Note the settings, or refuse those that differ, each by name with both values."""
        text = json.dumps(identity, sort_keys=True)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        told = self.value("fingerprint")
        if told is None:
            self._note("fingerprint", fingerprint)
            self._note("identity", text)
        elif told != fingerprint:
            before = json.loads(self.value("identity") or "{}")
            changed = [
                f"{name}: {before[name]!r}, now {value!r}"
                for name, value in identity.items()
                if name in before and before[name] != value
            ]
            self._refuse(f"with other settings ({'; '.join(changed) or 'unknown'})")

    def _note(self, key: str, value: str) -> None:
        self._database.execute("INSERT INTO meta VALUES (?, ?)", (key, value))

    def _refuse(self, how: str) -> NoReturn:
        self.close()
        raise LedgerError(
            f"{self._path.parent} was begun {how}; use the same again, or give another output"
        )

    def forget_settings(self) -> None:
        """Let the next run have other settings: of this one nothing came out."""
        self._database.execute("DELETE FROM meta WHERE key IN ('fingerprint', 'identity')")

    def value(self, key: str) -> str | None:
        """What was noted under a key.

        Parameters
        ----------
        key
            Of the note.

        Returns
        -------
        str or None
        """
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def run_id(self) -> bytes:
        """Sixteen bytes that no other ledger has; they mark what this one wrote.

        Returns
        -------
        bytes
        """
        told = self.value("run")
        if told is None:
            told = os.urandom(16).hex()
            self._database.execute("INSERT INTO meta VALUES ('run', ?)", (told,))
        return bytes.fromhex(told)

    def sink_state(self) -> dict[str, Any]:
        """What the sink said of itself at the last commit.

        Returns
        -------
        dict
            Empty before the first.
        """
        told = self.value("sink")
        return {} if told is None else dict(json.loads(told))

    def counts(self) -> dict[str, int]:
        """Alerts read, kept, set aside and met again, over all runs.

        Returns
        -------
        dict
        """
        return {name: int(self.value(f"n_{name}") or 0) for name in _COUNTS}

    def done(self, source: str, signature: str = "") -> int:
        """How many lumps of a source are settled, or its next offset.

        Parameters
        ----------
        source
            A file's path, or a topic's partition.
        signature
            Of a file's content: of another, nothing is done.

        Returns
        -------
        int
        """
        row = self._database.execute(
            "SELECT done FROM positions WHERE source = ? AND signature = ?", (source, signature)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of some alerts that are out already.

        Parameters
        ----------
        ids
            Of alerts.

        Returns
        -------
        set of str
        """
        found: set[str] = set()
        for start in range(0, len(ids), _AT_ONCE):
            part = list(ids[start : start + _AT_ONCE])
            marks = ",".join("?" * len(part))
            rows = self._database.execute(f"SELECT id FROM alerts WHERE id IN ({marks})", part)
            found.update(str(row[0]) for row in rows)
        return found

    def commit(
        self,
        ids: Iterable[str],
        positions: Mapping[tuple[str, str], int],
        sink_state: Mapping[str, Any],
        counts: Mapping[str, int],
    ) -> None:
        """Say in one step what is out, how far was read, and how long the output is.

        Parameters
        ----------
        ids
            Alerts that are in the output since the last commit.
        positions
            By source and signature.
        sink_state
            Of the sink.
        counts
            To be added to those so far.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        now = self.counts()
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO alerts VALUES (?)", ((i,) for i in ids))
            self._database.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                ((source, signature, n) for (source, signature), n in positions.items()),
            )
            values = {"sink": json.dumps(dict(sink_state))}
            values |= {f"n_{name}": str(now[name] + counts.get(name, 0)) for name in _COUNTS}
            self._database.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items())
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(f"cannot write the ledger {self._path}: {error}") from None

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()
