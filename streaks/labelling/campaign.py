"""What a campaign has shown to volunteers: no thing twice, whatever dies in between.

A campaign is a folder with a SQLite database, in which each exported set is entered with the
places of all streaks of its things. A set is entered as `writing` before its folder takes its name
and as `done` after: where a kill falls between the two, the folder itself tells which it was.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaks.disk import Limits, parse_json, read_bytes
from streaks.errors import OutputError, ReadError
from streaks.labelling.columns import Columns, length_of, texts
from streaks.labelling.ledgers import LedgerKind, held_ledger
from streaks.labelling.things import Places, near_pairs, rows_of_images

__all__ = ["SET_FILE", "Campaign", "Shown", "open_campaign", "set_at"]

#: Says of a set's folder what it is.
SET_FILE = "set.json"
_DATABASE, _LOCK = "campaign.sqlite", ".lock"
#: "camp" and a version, so that no other program's database is written to.
_APPLICATION, _VERSION = 0x63616D70, 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sets (
    set_id TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    workflow TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('writing', 'done')),
    made TEXT NOT NULL,
    instead_of TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS subjects (
    key TEXT NOT NULL,
    set_id TEXT NOT NULL REFERENCES sets (set_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    truth TEXT NOT NULL,
    UNIQUE (set_id, key)
);
CREATE TABLE IF NOT EXISTS places (
    set_id TEXT NOT NULL REFERENCES sets (set_id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    image TEXT NOT NULL,
    name TEXT NOT NULL,
    pixels TEXT NOT NULL,
    x REAL, y REAL, x0 REAL, y0 REAL, x1 REAL, y1 REAL
);
CREATE INDEX IF NOT EXISTS by_image ON places (image);
CREATE INDEX IF NOT EXISTS by_pixels ON places (pixels);
CREATE INDEX IF NOT EXISTS by_set ON places (set_id);
"""
_PLACE = ("x", "y", "x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class Shown:
    """A subject of a set, and all rows that are of the same thing.

    Parameters
    ----------
    key
        What tells it from all others.
    name
        ``streak_id`` of what is drawn.
    rows
        Of the table: all streaks of the thing.
    truth
        Class of a subject of known truth, which has no rows; else empty.
    """

    key: str
    name: str
    rows: tuple[int, ...] = ()
    truth: str = ""


class Campaign:
    """An open campaign; made by `open_campaign`.

    Parameters
    ----------
    folder
        Of the campaign.
    database
        Its database.
    """

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._database = database

    @property
    def n_sets(self) -> int:
        """Sets that were begun, also those that were given up."""
        found = self._database.execute("SELECT COUNT(*) FROM sets").fetchone()
        return int(found[0])

    @property
    def n_subjects(self) -> int:
        """Subjects of all sets."""
        found = self._database.execute("SELECT COUNT(*) FROM subjects").fetchone()
        return int(found[0])

    def shown(self, columns: Columns, near_px: float, *, but_of: str = "") -> NDArray[np.bool_]:
        """Which rows are of a thing that was exported before.

        Parameters
        ----------
        columns
            Of a table: ``image``, places as far as known, ``streak_id``, and ``pixels`` (a hash)
            of those without a place.
        near_px
            Midpoints in one image within this are one thing.
        but_of
            A set that does not count: the one that is about to be replaced.

        Returns
        -------
        (n,) bool
        """
        n = length_of(columns)
        found = np.zeros(n, bool)
        images, names = texts(columns, "image", n), texts(columns, "streak_id", n)
        for image, rows in rows_of_images(images):
            if not image:
                continue
            held = self._database.execute(
                f"SELECT name, {', '.join(_PLACE)} FROM places WHERE image = ? AND set_id != ?",
                (image, but_of),
            ).fetchall()
            if not held:
                continue
            known = {row[0] for row in held}
            numbers = np.array([row[1:] for row in held], dtype=float).T
            near = near_pairs(Places.of(columns, rows), Places(*numbers), near_px).any(axis=1)
            found[rows] = near | np.array([str(names[row]) in known for row in rows], dtype=bool)
        for row, pixels in enumerate(texts(columns, "pixels", n).tolist()):
            if pixels and not found[row]:
                found[row] = self._has_pixels(pixels, but_of)
        return found

    def streaks(self) -> frozenset[tuple[str, str]]:
        """Image and ``streak_id`` of all streaks of things that were shown.

        Returns
        -------
        frozenset of (str, str)
        """
        rows = self._database.execute(
            "SELECT DISTINCT image, name FROM places JOIN sets USING (set_id) WHERE state = 'done'"
        )
        return frozenset((str(image), str(name)) for image, name in rows)

    def _has_pixels(self, pixels: str, but_of: str) -> bool:
        asked = "SELECT 1 FROM places WHERE pixels = ? AND set_id != ? LIMIT 1"
        return self._database.execute(asked, (pixels, but_of)).fetchone() is not None

    def begin(
        self,
        set_id: str,
        path: Path,
        workflow: str,
        subjects: Sequence[Shown],
        columns: Columns,
        *,
        instead_of: str = "",
    ) -> None:
        """Enter a set that is written but has not its name yet.

        Parameters
        ----------
        set_id
            Of the set, as in its `SET_FILE`.
        path
            The name that it is about to take.
        workflow
            Its question.
        subjects
            All of them.
        columns
            Of the table that their rows are of.
        instead_of
            The set that lies there and is about to be replaced: its things are free again once
            this set is finished (`finish`).
        """
        n = length_of(columns)
        images, names = texts(columns, "image", n), texts(columns, "streak_id", n)
        pixels = texts(columns, "pixels", n)
        places = Places.of(columns)
        with self._database:
            self._database.execute(
                "INSERT INTO sets VALUES (?, ?, ?, 'writing', ?, ?)",
                (set_id, str(path.absolute()), workflow, _now(), instead_of),
            )
            self._database.executemany(
                "INSERT INTO subjects VALUES (?, ?, ?, ?)",
                [(one.key, set_id, one.name, one.truth) for one in subjects],
            )
            self._database.executemany(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        set_id,
                        one.key,
                        str(images[row]),
                        str(names[row]),
                        str(pixels[row]),
                        *(_plain(getattr(places, name)[row]) for name in _PLACE),
                    )
                    for one in subjects
                    for row in one.rows
                ],
            )

    def finish(self, set_id: str) -> None:
        """A set has its name now.

        Parameters
        ----------
        set_id
            Of `begin`.
        """
        with self._database:
            self._database.execute(
                "DELETE FROM sets WHERE set_id IN (SELECT instead_of FROM sets WHERE set_id = ?)",
                (set_id,),
            )
            self._database.execute("UPDATE sets SET state = 'done' WHERE set_id = ?", (set_id,))

    def settle(self) -> list[str]:
        """Decide on sets whose export was cut off: done where their folder is there, else free.

        Returns
        -------
        list of str
            Ids of sets that were given up.
        """
        asked = "SELECT set_id, path FROM sets WHERE state = 'writing'"
        lost = []
        for set_id, path in self._database.execute(asked).fetchall():
            if set_at(Path(path)) == set_id:
                self.finish(set_id)
            else:
                lost.append(str(set_id))
                with self._database:
                    self._database.execute("DELETE FROM sets WHERE set_id = ?", (set_id,))
        return lost


def set_at(folder: Path) -> str:
    """The id of the set that a folder holds.

    Parameters
    ----------
    folder
        Any place.

    Returns
    -------
    str
        Empty where it holds none.
    """
    try:
        about = parse_json(
            read_bytes(folder / SET_FILE, Limits(max_bytes=1 << 20)), str(folder / SET_FILE)
        )
    except (ReadError, OSError):
        return ""
    found = about.get("set_id") if isinstance(about, dict) else None
    return found if isinstance(found, str) else ""


_LEDGER = LedgerKind(
    lock=_LOCK,
    database=_DATABASE,
    schema=_SCHEMA,
    application=_APPLICATION,
    version=_VERSION,
    pragmas=("foreign_keys = ON", "synchronous = FULL"),
    unwritable="cannot use {folder} for a campaign: {reason}; give a folder",
    busy="another export is at work with the campaign {folder}; wait until it is done",
    strange="{path} is no ledger of a campaign of this version; give another --campaign",
    unusable="{path} cannot be used as a campaign's ledger ({reason}); give another --campaign",
)


@contextmanager
def open_campaign(folder: str | os.PathLike[str]) -> Iterator[Campaign]:
    """A campaign's ledger, for one export at a time.

    Parameters
    ----------
    folder
        Made where it is not there.

    Yields
    ------
    Campaign
        Sets whose export was cut off are settled.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    LedgerError
        If another export is at work with it, or its database is none.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(_LEDGER.unwritable.format(folder=folder, reason=reason)) from None
    with held_ledger(folder, _LEDGER) as database:
        campaign = Campaign(folder, database)
        campaign.settle()
        yield campaign


def _plain(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
