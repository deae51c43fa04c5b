"""One night of parts that several runs did, each in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from streaks.config import Settings
from streaks.disk import written_whole
from streaks.errors import LedgerError, ReadError
from streaks.night.run import NightRun, agree_on_settings, fingerprint, provenance
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import DONE, FAILED, Entry, open_ledger
from streaks.night_folder.lock import held_folder
from streaks.night_folder.tables import PartReader, write_night_tables
from streaks.reporting import AdesContext

__all__ = ["merge_night"]

_PART = re.compile(r"part-(\d+)-of-(\d+)")
#: Not of the run's identity: when it began, and by which version.
_NOT_IDENTITY = ("version", "started")


def merge_night(
    out_dir: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    streak_masks: bool = False,
    ades: AdesContext | None = None,
) -> NightRun:
    """Make one night of the parts below a folder; its tables are those of one run.

    Parts stay as they are, and share their files with the night where the disk can do that (hard
    links). Started again, it takes over what has been done since.

    Parameters
    ----------
    out_dir
        Of ``run_night(..., part=(i, n))``.
    settings
        What belongs together across frames.
    streak_masks
        Parts were done with masks of streaks.
    ades
        What the ADES files say of observer and telescope.

    Returns
    -------
    NightRun
        `failures` holds what failed, and parts that are not there.

    Raises
    ------
    ReadError
        If there is no part.
    LedgerError
        If the parts are of different nights or settings, or one is still being done.
    """
    start = time.monotonic()
    folder = NightFolder(Path(out_dir), streak_masks)
    parts, missing = _parts(folder)
    identity = _common_identity(parts)
    decided = fingerprint(identity)
    entries: list[Entry] = []
    for part in parts:
        # Held, so that nobody writes there meanwhile.
        with held_folder(part) as ledger:
            entries += ledger.entries()
    _require_once(entries)
    with held_folder(folder) as ledger:
        agree_on_settings(folder, ledger, identity, decided)
        known = {entry.image: entry for entry in ledger.entries()}
        for part in parts:
            with open_ledger(part.ledger) as of_part:
                for entry in of_part.entries():
                    _take_over(entry, part, folder)
                    ledger.record(entry)
                    known.pop(entry.image, None)
        # What a part has forgotten since.
        for image in known:
            ledger.forget(image)
        merged = ledger.entries()
        reader = PartReader(folder)
        damaged = reader.load([entry for entry in merged if entry.state == DONE])
        for image, reason in damaged.items():
            ledger.forget(image)
            folder.part(image).unlink(missing_ok=True)
            lost = next(entry for entry in merged if entry.image == image)
            merged[merged.index(lost)] = replace(lost, state=FAILED, reason=f"damaged: {reason}")
        counts = write_night_tables(
            reader,
            merged,
            (settings or Settings()).tracklets,
            provenance=provenance(identity, merged),
            ades=ades,
        )
    failures = [(entry.path, entry.reason) for entry in merged if entry.state == FAILED]
    failures += [(str(part.root), "this part of the night was not done") for part in missing]
    n_failed = sum(entry.state == FAILED for entry in merged)
    return NightRun(
        folder=folder,
        n_frames=len(merged),
        n_done=len(merged) - n_failed,
        n_skipped=0,
        n_streaks=counts.n_streaks,
        failures=tuple(failures),
        seconds=time.monotonic() - start,
        by_class=counts.by_class,
        n_tracklets=counts.n_tracklets,
    )


def _parts(folder: NightFolder) -> tuple[list[NightFolder], list[NightFolder]]:
    """Folders of parts that are there, and of those that are not."""
    found = {
        int(match[2]): None
        for path in (folder.root.iterdir() if folder.root.is_dir() else ())
        if path.is_dir() and (match := _PART.fullmatch(path.name))
    }
    if not found:
        raise ReadError(
            f"{folder.root} holds no part of a night; make parts with: streaks night ... "
            f"-o {folder.root} --part 1/2, and so on"
        )
    if len(found) > 1:
        listed = " and ".join(f"{n}" for n in sorted(found))
        raise LedgerError(
            f"{folder.root} holds parts of nights cut into {listed}; keep those of one"
        )
    (n_parts,) = found
    every = [folder.part_of_night(i, n_parts) for i in range(1, n_parts + 1)]
    there = [part for part in every if part.ledger.is_file()]
    return there, [part for part in every if part not in there]


def _common_identity(parts: Sequence[NightFolder]) -> dict[str, Any]:
    identities = []
    for part in parts:
        try:
            record = json.loads(part.settings.read_text(encoding="utf-8"))
            identities.append({k: v for k, v in record.items() if k not in _NOT_IDENTITY})
        except (OSError, ValueError, AttributeError) as error:
            raise LedgerError(
                f"{part.settings} cannot be read ({error}); do this part again"
            ) from None
    different = [
        p.root.name for p, own in zip(parts, identities, strict=True) if own != identities[0]
    ]
    if different:
        raise LedgerError(
            f"{', '.join(different)} had other settings than {parts[0].root.name}; "
            "do them again with the same"
        )
    return identities[0]


def _require_once(entries: Sequence[Entry]) -> None:
    """Parts of one list of frames have no frame twice."""
    seen: dict[str, str] = {}
    for entry in entries:
        if seen.setdefault(entry.image, entry.path) != entry.path:
            raise LedgerError(
                f"two parts have a frame {entry.image}: {seen[entry.image]} and {entry.path}; "
                "give all parts the same list of frames"
            )


def _take_over(entry: Entry, part: NightFolder, folder: NightFolder) -> None:
    if entry.state != DONE:
        return
    for source, target in zip(part.outputs(entry.image), folder.outputs(entry.image), strict=True):
        with suppress(OSError):
            if target.samefile(source):
                continue
        if not source.is_file():
            continue
        with written_whole(target) as beside:
            beside.unlink()
            try:
                os.link(source, beside)
            except OSError:  # another disk, or one without links
                shutil.copyfile(source, beside)
