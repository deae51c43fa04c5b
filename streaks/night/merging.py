"""One night of parts that several runs did, each in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from streaks.config import Settings
from streaks.disk import written_whole
from streaks.errors import LedgerError, ReadError
from streaks.night.run import (
    NightRun,
    agree_on_settings,
    differences,
    fingerprint,
    night_at,
    provenance,
    read_identity,
)
from streaks.night_folder.claim import clear_outputs, discard
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import DONE, FAILED, Entry, Ledger, is_damaged
from streaks.night_folder.lock import held_folder
from streaks.night_folder.tables import PartReader, write_night_tables
from streaks.reporting import AdesContext
from streaks.verdict import VerdictModel

__all__ = ["merge_night"]

#: More parts than that no batch system starts.
_PART = re.compile(r"part-[0-9]{1,6}-of-([1-9][0-9]{0,5})")
_AGAIN = "do this part again"


def merge_night(
    out_dir: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    verdict: VerdictModel | None = None,
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
        What belongs together across frames, and what is a candidate.
    verdict
        What weighs the streaks; None leaves them unweighed.
    streak_masks
        Parts were done with masks of streaks.
    ades
        What the ADES files say of observer and telescope.

    Returns
    -------
    NightRun
        `failures` holds what failed, and parts that are not there or are damaged.

    Raises
    ------
    ReadError
        If there is no part.
    LedgerError
        If the parts are of different nights or settings, one is still being done, or none can be
        used.
    """
    start = time.monotonic()
    folder = night_at(out_dir, streak_masks)
    parts, left_out = _parts(folder)
    identity = _common_identity(parts)
    decided = fingerprint(identity)
    found: list[tuple[NightFolder, list[Entry]]] = []
    for part in parts:
        # Held, so that nobody writes there meanwhile; mended by its own next run, not here.
        with held_folder(part, mend=False) as ledger:
            entries = ledger.entries()
            left_out += _damage(part, ledger, entries, decided)
        found.append((part, [one for one in entries if _fits(one, decided)]))
    _require_once([entry for _, entries in found for entry in entries])
    with held_folder(folder) as ledger:
        agree_on_settings(folder, ledger, identity, decided)
        known = {entry.image: entry for entry in ledger.entries()}
        for part, entries in found:
            for entry in entries:
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
            discard(folder.part(image))
            lost = next(entry for entry in merged if entry.image == image)
            merged[merged.index(lost)] = replace(lost, state=FAILED, reason=f"damaged: {reason}")
        counts = write_night_tables(
            reader,
            merged,
            settings,
            verdict=verdict,
            provenance=provenance(identity, merged),
            ades=ades,
        )
    failures = [(entry.path, entry.reason) for entry in merged if entry.state == FAILED]
    failures += left_out
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
        n_candidates=counts.n_candidates,
        expected_false=counts.expected_false,
    )


def _parts(folder: NightFolder) -> tuple[list[NightFolder], list[tuple[str, str]]]:
    """Folders of parts that can be used; path and reason of those that cannot."""
    named = [
        (path, int(match[1]))
        for path in (folder.root.iterdir() if folder.root.is_dir() else ())
        if (match := _PART.fullmatch(path.name)) and path.is_dir()
    ]
    # A foreign folder may have such a name.
    ours = {n for path, n in named if NightFolder(path).ledger.is_file()}
    found = ours or {n for _, n in named}
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
    there, left_out = [], []
    for part in (folder.part_of_night(i, n_parts) for i in range(1, n_parts + 1)):
        if not part.ledger.is_file():
            left_out.append((str(part.root), "this part of the night was not done"))
        elif is_damaged(part.ledger):
            left_out.append((str(part.root), f"its ledger is damaged; {_AGAIN}"))
        else:
            there.append(part)
    if not there:
        raise LedgerError(f"no part in {folder.root} can be used: {left_out[0][1]}")
    return there, left_out


def _fits(entry: Entry, decided: str) -> bool:
    return entry.state == FAILED or entry.settings == decided


def _damage(
    part: NightFolder, ledger: Ledger, entries: Sequence[Entry], decided: str
) -> list[tuple[str, str]]:
    """What of a part's ledger cannot be used: path and reason."""
    damaged = ledger.damaged()
    reasons = [
        (entry.path, f"done with other settings in {part.root.name}; {_AGAIN}")
        for entry in entries
        if not _fits(entry, decided)
    ]
    if damaged:
        listed = ", ".join(damaged[:3])
        rows = f"{len(damaged)} rows of its ledger are damaged ({listed})"
        reasons.append((str(part.root), f"{rows}; {_AGAIN}"))
    return reasons


def _common_identity(parts: Sequence[NightFolder]) -> dict[str, Any]:
    """What decided the results of all parts.

    A part whose settings.json is damaged is judged by its entries: they hold the fingerprint.
    """
    identities, damaged = {}, []
    for part in parts:
        try:
            identities[part.root.name] = read_identity(part)
        except ReadError as error:
            damaged.append(str(error))
    if not identities:
        raise LedgerError(f"{damaged[0]}; {_AGAIN}")
    first, common = next(iter(identities.items()))
    different = [name for name, identity in identities.items() if identity != common]
    if different:
        other = identities[different[0]]
        changed = "; ".join(differences(common, other, f"in {different[0]}")) or "unknown"
        raise LedgerError(
            f"{', '.join(different)} had other settings than {first} ({changed}); do them again "
            "with the same"
        )
    return common


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
    clear_outputs(folder, entry.image)
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
