"""A set of subjects for Zooniverse: pictures, a manifest, and words for the project."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from astropy.table import QTable

from streaks.config import LabelConfig
from streaks.cutouts import Cutouts
from streaks.disk import folder_written_whole
from streaks.errors import InputError
from streaks.labelling.manifest import (
    FILE_COLUMN,
    HIDDEN_COLUMNS,
    VISIBLE_COLUMNS,
    centre_counts,
    manifest_rows,
)
from streaks.labelling.selection import select_subjects

__all__ = ["Draw", "SubjectSummary", "export_subjects", "subject_filename"]

#: PNG bytes of one cutout (a stack of one) with panels of a given side.
Draw = Callable[[Cutouts, int], bytes]

#: Zooniverse takes no larger file; a megabyte is meant as 10**6, the stricter reading.
_MAX_BYTES = 1_000_000
_MANIFEST, _QUESTION = "manifest.csv", "question.json"
_TEXTS = ("README.md", "question.md", "tutorial.md")


@dataclass(frozen=True)
class SubjectSummary:
    """What an export wrote.

    Parameters
    ----------
    path
        The set's folder.
    n_subjects
        Pictures, and lines of the manifest.
    by_label
        Subjects by the classifier's class (``unknown`` where not classified).
    left_out
        Streaks that did not become subjects, by reason.
    largest_bytes
        Size of the largest picture.
    """

    path: Path
    n_subjects: int
    by_label: Mapping[str, int]
    left_out: Mapping[str, int]
    largest_bytes: int


def export_subjects(
    streaks: QTable,
    cutouts: Cutouts | Iterable[Cutouts],
    out_dir: str | os.PathLike[str],
    config: LabelConfig | None = None,
    *,
    draw: Draw,
    overwrite: bool = False,
) -> SubjectSummary:
    """Write a subject set for the AStreaks question, whole or not at all.

    Parameters
    ----------
    streaks
        A night's streaks with class and match columns.
    cutouts
        One stack, or one a frame; joined by ``streak_id``. Only one is held at a time.
    out_dir
        A new or empty folder. Gets ``manifest.csv``, one PNG a subject, and what the project's
        builder needs: the question, its answers, and a tutorial.
    config
        Which streaks, and how large.
    draw
        Draws one subject (`streaks.plotting.subject_png`); asked again for smaller panels when
        a picture is larger than Zooniverse takes.
    overwrite
        Replace a set that is there. A folder that holds no set is never replaced.

    Returns
    -------
    SubjectSummary

    Raises
    ------
    InputError
        When `out_dir` holds something, nothing was selected, or a selected streak cannot be
        drawn within a megabyte.
    """
    config = LabelConfig() if config is None else config
    target = Path(out_dir)
    _check_target(target, overwrite)
    rows, left_out = select_subjects(streaks, config)
    wanted = {str(streaks["streak_id"][row]): int(row) for row in rows}
    if not wanted:
        raise InputError(_nothing(len(streaks), left_out))
    with folder_written_whole(target, replace=True) as part:
        subjects = _write_pictures(part, cutouts, wanted, config, draw)
        if not subjects:
            raise InputError(
                f"none of the {len(wanted)} selected streaks has a cutout; run the night again"
            )
        chosen = streaks[[subject.row for subject in subjects]]
        _write_manifest(part / _MANIFEST, chosen, subjects)
        _write_texts(part)
    missing = len(wanted) - len(subjects)
    labels = chosen["label"] if "label" in chosen.colnames else ["unknown"] * len(chosen)
    return SubjectSummary(
        path=target,
        n_subjects=len(subjects),
        by_label=dict(Counter(str(label) for label in labels)),
        left_out={**left_out, **({"no cutout": missing} if missing else {})},
        largest_bytes=max(subject.n_bytes for subject in subjects),
    )


def subject_filename(streak_id: str) -> str:
    """A file name that Zooniverse and every file system take.

    Letters, digits, ``._-`` stay; a name that had to change gets some of its hash, so that two
    names never become one.

    Parameters
    ----------
    streak_id
        Any text.

    Returns
    -------
    str
        With the suffix ``.png``.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", streak_id).strip(".-")[:100]
    if safe != streak_id or not safe:
        safe = f"{safe or 'subject'}-{hashlib.sha256(streak_id.encode()).hexdigest()[:8]}"
    return f"{safe}.png"


@dataclass(frozen=True)
class _Subject:
    row: int
    filename: str
    nneg: int
    nbad: int
    n_bytes: int


def _write_pictures(
    folder: Path,
    cutouts: Cutouts | Iterable[Cutouts],
    wanted: Mapping[str, int],
    config: LabelConfig,
    draw: Draw,
) -> list[_Subject]:
    subjects: dict[str, _Subject] = {}
    for stack in [cutouts] if isinstance(cutouts, Cutouts) else cutouts:
        for i, name in enumerate(stack.names):
            if name in wanted and name not in subjects:
                one = stack.select(np.array([i]))
                picture = _drawn(one, config.panel_px, draw)
                filename = subject_filename(name)
                (folder / filename).write_bytes(picture)
                counts = centre_counts(one.difference[0], one.mask[0])
                subjects[name] = _Subject(wanted[name], filename, *counts, len(picture))
    return sorted(subjects.values(), key=lambda subject: subject.row)


def _drawn(one: Cutouts, panel_px: int, draw: Draw) -> bytes:
    while panel_px >= 64:
        picture = draw(one, panel_px)
        if len(picture) <= _MAX_BYTES:
            return picture
        panel_px //= 2
    raise InputError(
        f"{one.names[0]} cannot be drawn within {_MAX_BYTES // 1000} kB; use smaller cutouts"
    )


def _write_manifest(path: Path, streaks: QTable, subjects: list[_Subject]) -> None:
    rows = manifest_rows(
        streaks,
        [subject.filename for subject in subjects],
        [subject.nneg for subject in subjects],
        [subject.nbad for subject in subjects],
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, (FILE_COLUMN, *VISIBLE_COLUMNS, *HIDDEN_COLUMNS), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)


def _write_texts(folder: Path) -> None:
    texts = resources.files("streaks.labelling") / "texts"
    for name in (*_TEXTS, _QUESTION):
        text = (texts / name).read_text(encoding="utf-8")
        if name == _QUESTION:
            json.loads(text)
        (folder / name).write_text(text, encoding="utf-8")


def _nothing(n: int, left_out: Mapping[str, int]) -> str:
    if n == 0:
        return "the night has no streaks, so there are no subjects to export"
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"none of {n} streaks is left to export ({reasons}); widen the selection"


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{target} is a file; give a folder for the subject set")
    if not any(target.iterdir()):
        return
    if not (target / _MANIFEST).is_file() or not (target / _QUESTION).is_file():
        raise InputError(f"{target} holds something that is no subject set; give a new folder")
    if not overwrite:
        raise InputError(f"{target} holds a subject set; give a new folder, or --overwrite")
