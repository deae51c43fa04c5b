"""Whether a folder is a night's, and what to do with strange things that lie in its places.

A night writes, overwrites and deletes only in a folder that carries its mark. A folder gets the
mark when it is made, or when nothing lies in it that a night would write over.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from streaks.errors import OutputError, ReadError
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.reading import read_settings_file

__all__ = ["claim_folder", "clear_outputs", "clear_places", "discard", "put_aside"]

_log = logging.getLogger(__name__)

_MARK_TEXT = (
    "This folder is a night of Streaks. A run may write over its results, and --restart deletes\n"
    "them; where this file is missing, nothing is deleted or written over.\n"
)
#: What every settings.json of a night has had.
_OF_SETTINGS = frozenset({"settings", "version", "started"})


def claim_folder(folder: NightFolder) -> None:
    """Make the night's folder, or make sure that it is one; it then carries the mark.

    A night of an older version has no mark: it is known by its ledger or its settings.

    Parameters
    ----------
    folder
        The night's; its parents are made too.

    Raises
    ------
    OutputError
        If the folder was never a night and holds what one would write over, or cannot be written.
    """
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        if folder.mark.is_file():
            return
        strange = _in_the_way(folder)
        # Another run may have marked the folder in between.
        if strange and not folder.mark.is_file() and not _is_unmarked_night(folder):
            listed = ", ".join(path.name for path in strange[:3])
            more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
            raise OutputError(
                f"{folder.root} is no night, and holds {listed}{more}, which a night would write "
                "over; nothing was touched: choose another folder with -o, or move these away"
            )
        folder.mark.write_text(_MARK_TEXT, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write to {folder.root}: {error.strerror}") from None


def clear_places(folder: NightFolder) -> None:
    """Put aside what lies where the night's own files and folders go and is of another kind.

    Parameters
    ----------
    folder
        The night's.

    Raises
    ------
    OutputError
        If a thing cannot be renamed.
    """
    for path in (*folder.night_files, *folder.kept_files):
        _put_aside_unless(path, os.path.isfile(path))
    for place in folder.all_places:
        _put_aside_unless(place, os.path.isdir(place))


def clear_outputs(folder: NightFolder, image: str) -> None:
    """Put aside what lies where a frame's files go and is no file.

    Parameters
    ----------
    folder
        The night's.
    image
        Name of the frame.

    Raises
    ------
    OutputError
        If a thing cannot be renamed.
    """
    for path in folder.outputs(image):
        _put_aside_unless(path, os.path.isfile(path))


def discard(path: Path) -> None:
    """Delete a file of ours that is damaged; what is no file is put aside.

    Parameters
    ----------
    path
        Of the file; nothing happens where there is none.

    Raises
    ------
    OutputError
        If it is no file and cannot be renamed.
    """
    _put_aside_unless(path, os.path.isfile(path))
    # Unlike `unlink`, false for a name that is too long for the file system.
    if os.path.lexists(path):
        path.unlink(missing_ok=True)


def put_aside(path: Path, what: str = "aside") -> Path:
    """Give a thing another name in its folder, by the time, and return that.

    Parameters
    ----------
    path
        Of a file, folder or link.
    what
        Goes into the new name, between the old one and the time.

    Returns
    -------
    Path
        Where it is now: in the same folder, its suffix kept.

    Raises
    ------
    OutputError
        If it cannot be renamed.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = path.with_name(f"{path.stem[:100]}-{what}-{stamp}{path.suffix[:20]}")
    try:
        path.rename(kept)
    except OSError as error:
        raise OutputError(
            f"{path} is in the way and cannot be renamed: {error.strerror}; move it away"
        ) from None
    return kept


def _put_aside_unless(path: Path, right: bool) -> None:
    # A link that leads nowhere is there too.
    if not right and os.path.lexists(path):
        kept = put_aside(path)
        _log.warning("%s is not what a night writes there; it is kept as %s", path, kept.name)


def _in_the_way(folder: NightFolder) -> list[Path]:
    """What a night would write over, or delete."""
    files = [p for p in (*folder.night_files, *folder.kept_files) if os.path.lexists(p)]
    return files + [place for place in folder.all_places if _holds_something(place)]


def _holds_something(place: Path) -> bool:
    if os.path.isdir(place):
        return any(place.iterdir())
    return os.path.lexists(place)


def _is_unmarked_night(folder: NightFolder) -> bool:
    return any(_signs_of_a_night(folder))


def _signs_of_a_night(folder: NightFolder) -> Iterator[bool]:
    with suppress(ReadError):
        yield set(read_settings_file(folder)) >= _OF_SETTINGS
    if folder.ledger.is_file():
        with suppress(sqlite3.Error):
            database = sqlite3.connect(f"{folder.ledger.absolute().as_uri()}?mode=ro", uri=True)
            try:
                rows = database.execute("SELECT name FROM pragma_table_info('frames')")
                yield {"image", "signature", "digest", "settings"} <= {row[0] for row in rows}
            finally:
                database.close()
