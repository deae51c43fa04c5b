"""A set of pictures as it lies in its folder, read and checked before anything is sent."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streaks.disk import Limits, parse_json, read_bytes
from streaks.errors import ReadError, TableError
from streaks.labelling.campaign import SET_FILE
from streaks.labelling.manifest import KEY_COLUMN, TRAINING_COLUMNS
from streaks.labelling.subjects import MANIFEST

__all__ = ["UPLOAD_KEY", "SetToUpload", "read_set"]

#: Metadata by which a subject is found again; hidden from volunteers.
UPLOAD_KEY = "#streaks_upload"
_MAX_BYTES = 1_000_000
_MOST_SUBJECTS = 1_000_000


@dataclass(frozen=True)
class SetToUpload:
    """An exported set, checked.

    Parameters
    ----------
    folder
        Where it lies.
    set_id
        Of the export.
    workflow
        Its question.
    keys
        One a subject, in the manifest's order.
    pictures
        Files of each subject.
    metadata
        What each subject says, by heading.
    """

    folder: Path
    set_id: str
    workflow: str
    keys: tuple[str, ...]
    pictures: tuple[tuple[str, ...], ...]
    metadata: tuple[Mapping[str, str], ...]

    def __len__(self) -> int:
        return len(self.keys)


def read_set(folder: str | os.PathLike[str]) -> SetToUpload:
    """An exported set, with everything checked that Zooniverse would refuse.

    Parameters
    ----------
    folder
        Of `export_set`.

    Returns
    -------
    SetToUpload

    Raises
    ------
    ReadError
        If it is no set.
    TableError
        If its manifest has an empty cell, a key twice, or a file that is not there, lies
        elsewhere, or is too large; the line is named.
    """
    folder = Path(folder)
    about_path = folder / SET_FILE
    if not folder.is_dir() or not (folder / MANIFEST).is_file() or not about_path.is_file():
        raise ReadError(f"{folder} is no subject set; give the folder of `streaks labels export`")
    about = parse_json(read_bytes(about_path, Limits(max_bytes=1 << 20)), str(about_path))
    told = about if isinstance(about, dict) else {}
    headings = told.get("pictures")
    set_id = told.get("set_id")
    if not isinstance(headings, list) or not headings or not isinstance(set_id, str) or not set_id:
        raise ReadError(f"{about_path} does not say what the set is; export it again")
    keys: dict[str, int] = {}
    pictures, metadata = [], []
    for number, line in _lines(folder / MANIFEST, [*map(str, headings), KEY_COLUMN]):
        where = f"{folder / MANIFEST}, line {number}"
        key = line[KEY_COLUMN]
        if key in keys:
            raise TableError(f"{where}: the key {key} is in line {keys[key]} too; export again")
        keys[key] = number
        files = tuple(line[str(heading)] for heading in headings)
        for name in files:
            _check_picture(folder, name, where)
        pictures.append(files)
        metadata.append(_metadata(line, files, headings, f"{set_id}-{key}"))
    if not keys:
        raise TableError(f"{folder / MANIFEST} has no line; export the set again")
    return SetToUpload(
        folder, set_id, str(told.get("workflow")), tuple(keys), tuple(pictures), tuple(metadata)
    )


def _lines(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = read_bytes(path, Limits(max_bytes=1 << 31)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} is no UTF-8 ({error}); export the set again") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in needed if name not in (reader.fieldnames or ())]
    if missing:
        raise TableError(f"{path} has no column {', '.join(missing)}; export the set again")
    for number, line in enumerate(_whole_lines(reader, path), start=2):
        if None in line or any(not (value or "").strip() for value in line.values()):
            raise TableError(f"{path}, line {number} has an empty cell, or one too many")
        if number > _MOST_SUBJECTS:
            raise TableError(f"{path} has more than {_MOST_SUBJECTS} lines; make smaller sets")
        yield number, line


def _whole_lines(reader: Iterable[dict[str, str]], path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise ReadError(f"{path} is no CSV ({error}); export the set again") from None


def _check_picture(folder: Path, name: str, where: str) -> None:
    """Raise unless a name is that of a small picture in the folder itself."""
    path = folder / name
    if not name or name != os.path.basename(name) or name.startswith(".") or "\\" in name:
        raise TableError(f"{where}: {name[:80]!r} is no file of the set's own folder")
    if path.is_symlink() or not path.is_file():
        raise TableError(f"{where}: {name} is not there; export the set again")
    size = path.stat().st_size
    if not 0 < size <= _MAX_BYTES:
        raise TableError(f"{where}: {name} has {size} bytes; Zooniverse takes 1 to {_MAX_BYTES}")


def _metadata(
    line: Mapping[str, str], files: Sequence[str], headings: Sequence[str], key: str
) -> dict[str, str]:
    """All cells but the pictures'; of training only where the subject is of that kind."""
    left_out = set(headings)
    if line.get(TRAINING_COLUMNS[0]) == "false":
        left_out |= set(TRAINING_COLUMNS)
    return {k: v for k, v in line.items() if k not in left_out} | {UPLOAD_KEY: key}
