"""What a frame leaves in the night's folder, each file whole or not there."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.disk import open_regular, written_whole
from streaks.errors import OutputError, ReadError, StreaksError
from streaks.night_folder.layout import NightFolder
from streaks.reporting import streak_plane, write_streak_mask, write_table
from streaks.search.searcher import FrameResult
from streaks.tables import ASIDE_COLUMNS, build_table, empty_table

__all__ = [
    "PART_ERRORS",
    "load_cutout",
    "load_cutouts",
    "opened_part",
    "outputs_are_whole",
    "read_aside",
    "read_record",
    "save_cutouts",
    "save_result",
]

if TYPE_CHECKING:
    import pyarrow.parquet

#: What a damaged table raises: Arrow's own errors are each of one of these kinds, and what a
#: table's words hold is read as numbers and units.
PART_ERRORS = (
    OSError, ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError, MemoryError,
    AttributeError, RecursionError, StreaksError,
)  # fmt: skip
#: Of a file's own description of itself, bytes and entries: what is beyond is damage.
_PARQUET_LIMITS = {"thrift_string_size_limit": 1 << 26, "thrift_container_size_limit": 1 << 20}
_RECORD, _ASIDE = "frame", "set_aside"
#: Of overviews, of which a page shows a hundred: a quarter of a PNG's bytes, an eighth of its time.
_QUALITY = 75


def save_result(
    folder: NightFolder, result: FrameResult, record: Mapping[str, Any] | None = None
) -> None:
    """Write a frame's cutouts, overview and table, the table last.

    Parameters
    ----------
    folder
        Of the night; it must be there.
    result
        Of `process_frame`.
    record
        Plain values that go into the table, from which a lost ledger can be made again.

    Raises
    ------
    OutputError
        If the folder is gone, or cannot be written to.
    """
    from streaks.plotting import encode_jpeg

    if not folder.root.is_dir():
        raise OutputError(f"{folder.root} is gone: removed while the night ran; start it again")
    save_cutouts(folder.cutouts(result.name), result.cutouts)
    if result.overview is not None:
        with written_whole(folder.overview(result.name)) as beside:
            beside.write_bytes(encode_jpeg(result.overview, quality=_QUALITY))
    if folder.streak_masks:
        shape = int(result.about["ny"]), int(result.about["nx"])
        plane = streak_plane(result.streaks, shape)
        write_streak_mask(folder.streak_mask(result.name), plane, result.wcs)
    table = result.streaks.copy(copy_data=False)
    table.meta = {_RECORD: dict(record or {}), _ASIDE: _as_lists(result.aside)}
    write_table(table, folder.part(result.name))


def outputs_are_whole(folder: NightFolder, image: str, *, verify: bool = False) -> bool:
    """Whether all that a frame left is there and not cut short.

    Parameters
    ----------
    folder, image
        Of the night; of the frame.
    verify
        Read tables and cutouts to their end, rather than only what closes the files.

    Returns
    -------
    bool
        False also where a file is empty, or is of another kind.
    """
    if not all(path.is_file() and path.stat().st_size for path in folder.outputs(image)):
        return False
    try:
        with opened_part(folder.part(image)) as part:
            if verify:
                part.read()
        with zipfile.ZipFile(folder.cutouts(image)) as cutouts:
            sound = not verify or cutouts.testzip() is None
    except (*PART_ERRORS, zipfile.BadZipFile, zlib.error):
        return False
    return sound


@contextmanager
def opened_part(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """A frame's table, not read yet; what is damaged raises one of `PART_ERRORS`.

    As a single file: a reader of data sets would take folder names for columns. Open before, for a
    pipe would be waited for, and Arrow takes no path that is not UTF-8.

    Parameters
    ----------
    path
        Of the table.

    Yields
    ------
    ParquetFile
        Open until the block is left.
    """
    import pyarrow.parquet as pq

    with open_regular(path) as file:
        yield pq.ParquetFile(file, **_PARQUET_LIMITS)


def read_record(path: Path) -> dict[str, Any]:
    """What `save_result` put into a frame's table; empty when that is missing or damaged.

    Parameters
    ----------
    path
        Of the frame's table.

    Returns
    -------
    dict
        ``settings, digest, version, notes`` as the run gave them, and ``about``, a dict of the
        frame's plain values.
    """
    from streaks.arrow import arrow_to_table

    try:
        with opened_part(path) as part:
            schema = part.schema_arrow
        record = dict(arrow_to_table(schema.empty_table()).meta.get(_RECORD, {}))
        return {**record, "about": dict(record.get("about", {}))}
    except PART_ERRORS:
        return {}


def read_aside(path: Path) -> QTable:
    """The lines that a frame's search set aside.

    Parameters
    ----------
    path
        Of the frame's table.

    Returns
    -------
    QTable
        `streaks.tables.ASIDE_COLUMNS`; of no rows where the table is missing, damaged, or of a
        version that did not keep them.
    """
    from streaks.arrow import arrow_to_table

    try:
        with opened_part(path) as part:
            held = arrow_to_table(part.schema_arrow.empty_table()).meta.get(_ASIDE, {})
        return build_table(ASIDE_COLUMNS, {spec.name: held[spec.name] for spec in ASIDE_COLUMNS})
    except PART_ERRORS:
        return empty_table(ASIDE_COLUMNS)


def _as_lists(aside: QTable) -> dict[str, list[Any]]:
    """Ends to a tenth of a pixel: enough to say which line lay there, and short."""
    columns = {}
    for spec in ASIDE_COLUMNS:
        values = np.asarray(getattr(aside[spec.name], "value", aside[spec.name]))
        columns[spec.name] = (values.astype(str) if spec.dtype is str else values.round(1)).tolist()
    return columns


def save_cutouts(path: Path, cutouts: Cutouts) -> None:
    """Write an ``.npz`` stack; not compressed, for noise does not compress.

    Parameters
    ----------
    path
        To write; what was there is replaced when the new file is whole.
    cutouts
        Of n streaks. Science, reference and FWHM are left out where they are None.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or is full.
    """
    arrays: dict[str, NDArray[Any]] = {
        "difference": cutouts.difference,
        "mask": cutouts.mask,
        "names": np.array(cutouts.names, dtype=str),
    }
    for what in ("science", "reference", "fwhm_px"):
        stack = getattr(cutouts, what)
        if stack is not None:
            arrays[what] = stack
    with written_whole(path) as beside:
        # NumPy 2.0 would take `allow_pickle` for the name of an array.
        np.savez(beside, **arrays)  # type: ignore[arg-type]


def load_cutouts(path: Path, *, beside: bool = True) -> Cutouts:
    """A stack that `save_cutouts` wrote.

    Parameters
    ----------
    path
        Of the file.
    beside
        With science and reference, where it has them; they are half of what there is to read.

    Returns
    -------
    Cutouts
        One a streak, in the order of the frame's table.

    Raises
    ------
    ReadError
        If it is missing or damaged.
    """
    if not os.path.lexists(path):
        raise ReadError(f"{path} does not exist; run the night again to make it")
    with _readable(path) as stream, np.load(stream, allow_pickle=False) as file:
        wanted = [n for n in file.files if beside or n not in ("science", "reference")]
        arrays = {name: file[name] for name in wanted}
        names = tuple(str(name) for name in arrays.pop("names"))
        return Cutouts(names=names, **arrays)


def load_cutout(path: Path, name: str) -> Cutouts:
    """One cutout of a stack that `save_cutouts` wrote; no more of the file is read.

    Parameters
    ----------
    path
        Of the file.
    name
        Of the streak.

    Returns
    -------
    Cutouts
        A stack of one.

    Raises
    ------
    ReadError
        If the file is missing or damaged, or has no such streak.
    """
    if not os.path.lexists(path):
        raise ReadError(f"{path} does not exist; run the night again to make it")
    with _readable(path) as stream, np.load(stream, allow_pickle=False) as file:
        names = [str(one) for one in file["names"]]
        if name in names:
            row = names.index(name)
            arrays = {
                what: _one_row(stream, file.zip, f"{what}.npy", row, len(names))
                for what in file.files
                if what != "names"
            }
            return Cutouts(names=(name,), **arrays)
    raise ReadError(f"{path} lacks {name}; run the night again with --restart")


@contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    """A stack's file, open; whatever is wrong with it is damage."""
    try:
        # Opened before: a pipe in its place would be waited for.
        with open_regular(path) as stream:
            yield stream
    except Exception as error:
        raise ReadError(
            f"{path} is damaged ({error}); run the night again with --verify to make it"
        ) from None


def _one_row(
    stream: IO[bytes], archive: zipfile.ZipFile, member: str, row: int, n: int
) -> NDArray[Any]:
    """One row of an array in an archive, as an array of one row.

    What is stored as it is, as `save_cutouts` does, is read where it lies; else all is unpacked.
    """
    with archive.open(member) as packed:
        version = np.lib.format.read_magic(packed)
        if version != (1, 0):
            raise ReadError(f"{member} is of version {version}")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(packed)
        if len(shape) == 0 or shape[0] != n or by_columns or dtype.hasobject:
            raise ReadError(f"{member} is {shape} of {dtype}; expected {n} cutouts")
        n_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        begin = packed.tell() + row * n_bytes
        about = archive.getinfo(member)
        if about.compress_type != zipfile.ZIP_STORED:
            packed.seek(begin)
            raw = packed.read(n_bytes)
        else:
            raw = _stored(stream, about, begin, n_bytes)
    return np.frombuffer(raw, dtype).reshape(1, *shape[1:])


def _stored(stream: IO[bytes], about: zipfile.ZipInfo, begin: int, n_bytes: int) -> bytes:
    """Bytes of a member that is stored as it is, counted from the member's beginning."""
    if begin + n_bytes > about.file_size:
        raise ReadError(f"{about.filename} is cut short")
    stream.seek(about.header_offset)
    # Name and extra field of the local header, which need not be as long as the directory's.
    name, extra = struct.unpack("<26xHH", stream.read(30))
    stream.seek(about.header_offset + 30 + name + extra + begin)
    return stream.read(n_bytes)
