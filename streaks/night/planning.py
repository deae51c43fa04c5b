"""Which frames of a night are still to be done."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streaks import __version__
from streaks.errors import ReadError
from streaks.night.work import FrameWork
from streaks.night_folder.claim import clear_outputs
from streaks.night_folder.frame_results import opened_part, outputs_are_whole, read_record
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import (
    DONE,
    FAILED,
    Entry,
    Ledger,
    is_there,
    plain_text,
)
from streaks.readers import FrameFiles
from streaks.search.identity import content_digest, signature

__all__ = ["Plan", "make_plan", "path_text"]

_log = logging.getLogger(__name__)

#: Errors of the frame itself: the same file fails again, and is not tried again by the same
#: version. Others may pass: a permission, a disk that was away, memory.
_LASTING = frozenset({"ReadError", "FrameError"})


@dataclass(frozen=True)
class Plan:
    """What is to do, and what earlier runs have done of the frames that are given.

    Parameters
    ----------
    todo
        Frames to do, in the order given.
    n_done
        Frames given that need nothing.
    n_failed
        Frames given that failed before and would fail again.
    """

    todo: list[FrameWork]
    n_done: int
    n_failed: int


def make_plan(
    frames: Sequence[FrameFiles],
    ledger: Ledger,
    folder: NightFolder,
    fingerprint: str,
    *,
    verify: bool = False,
) -> Plan:
    """Compare frames with the ledger, and enter there what is found done without being in it.

    A frame is known by its path and its files' sizes and times; where these differ, by its
    content: a touched or moved file is not done again. Whole results that the ledger does not
    know (it was lost, or the run died before it was told) are taken over. A finished frame whose
    results are cut short is done again; with `verify` they are read to the end for that. What lies
    where its results go, and is no file, is put aside.

    Parameters
    ----------
    frames
        All of the night.
    ledger
        Of the night, open.
    folder
        Where results lie.
    fingerprint
        Of all that decides results; frames done with another one are done again.
    verify
        Read results of finished frames to their end.

    Returns
    -------
    Plan
        A frame whose name an earlier run gave to another file has a hash of its path behind its
        name.
    """
    entries = ledger.entries()
    by_path = {entry.path: entry for entry in entries}
    names = {entry.image: entry.path for entry in entries}
    todo, n_done, n_failed = [], 0, 0
    for files in frames:
        path, sign = path_text(files), signature(files)
        entry = by_path.get(path) or _moved(files, sign, entries, ledger)
        if entry is None and names.get(files.name, path) != path:
            # An earlier run gave this name to another file.
            clash = hashlib.sha256(path.encode(errors="replace")).hexdigest()[:8]
            files = replace(files, name=f"{files.name}-{clash}")
        elif entry is not None:
            files = replace(files, name=entry.image)
        entry = _confirmed(files, sign, entry, ledger, folder, fingerprint, verify)
        if entry is None:
            clear_outputs(folder, files.name)
            todo.append(FrameWork(files, sign))
        elif entry.state == DONE:
            n_done += 1
        else:
            n_failed += 1
    return Plan(todo, n_done, n_failed)


def _confirmed(
    files: FrameFiles,
    sign: str,
    entry: Entry | None,
    ledger: Ledger,
    folder: NightFolder,
    fingerprint: str,
    verify: bool,
) -> Entry | None:
    """The entry of a frame that need not be done again; None for one that must."""
    if entry is None or entry.state != DONE or entry.settings != fingerprint:
        if entry is not None and entry.state == FAILED and entry.kind in _LASTING:
            same = entry.signature == sign and entry.settings == fingerprint
            # Another version may read what this one could not.
            return entry if same and entry.version == __version__ else None
        return _taken_over(files, sign, ledger, folder, fingerprint)
    if not outputs_are_whole(folder, entry.image, verify=verify):
        return None
    if entry.signature == sign:
        return entry
    if _digest(files) != entry.digest:
        return None
    touched = replace(entry, signature=sign)
    ledger.record(touched)
    return touched


def _taken_over(
    files: FrameFiles, sign: str, ledger: Ledger, folder: NightFolder, fingerprint: str
) -> Entry | None:
    """An entry made from a frame's whole results, when these are of its content and settings."""
    if not outputs_are_whole(folder, files.name):
        return None
    record = read_record(folder.part(files.name))
    if record.get("settings") != fingerprint or record.get("digest") != _digest(files):
        return None
    entry = Entry(
        image=files.name,
        path=path_text(files),
        signature=sign,
        settings=fingerprint,
        state=DONE,
        digest=str(record["digest"]),
        notes=str(record.get("notes", "")),
        n_streaks=_n_rows(folder.part(files.name)),
        about=dict(record.get("about", {})),
        version=str(record.get("version", "")),
    )
    ledger.record(entry)
    _log.info("%s: results found whole and taken over", files.name)
    return entry


def path_text(files: FrameFiles) -> str:
    """The image's absolute path as ledger and tables have it.

    Parameters
    ----------
    files
        Of the frame.

    Returns
    -------
    str
        Links are not followed; bytes that are no UTF-8 are written out, as `plain_text` does.
    """
    return plain_text(str(files.image.absolute()))


def _size(sign: str) -> object:
    """Of the image's file, by a signature."""
    seen = json.loads(sign)
    return seen[0][1] if seen else None


def _n_rows(part: Path) -> int:
    with opened_part(part) as table:
        return int(table.metadata.num_rows)


def _digest(files: FrameFiles) -> str:
    """Hash of a frame's content; empty where it cannot be read."""
    try:
        return content_digest(files)
    except (OSError, ReadError, ValueError):
        return ""


def _moved(files: FrameFiles, sign: str, entries: Sequence[Entry], ledger: Ledger) -> Entry | None:
    """The entry of a frame that lay elsewhere: the same content, and the old place is empty."""
    size = _size(sign)
    for entry in entries:
        same_size = entry.digest and _size(entry.signature) == size
        if same_size and not is_there(entry.path) and _digest(files) == entry.digest:
            moved = replace(entry, path=path_text(files), signature=sign)
            ledger.record(moved)
            return moved
    return None
