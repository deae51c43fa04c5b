"""Some cutouts of a frame's stack, read alone: a page shows ten of fifty."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.errors import ReadError

__all__ = ["load_chosen"]

#: Of a file in a zip archive, before its name: where the lengths of name and extra field stand
#: (APPNOTE 6.3.10, 4.3.7).
_LOCAL_HEADER, _LENGTHS_AT = 30, 26


def load_chosen(path: Path, names: Collection[str], *, beside: bool = True) -> Cutouts:
    """Those cutouts of a stack (`streaks.night.outputs.save_cutouts`) that have these names.

    Only their pixels are read, so that the archive's checksums, which are of all, are not
    compared; sizes are.

    Parameters
    ----------
    path
        Of the file.
    names
        Those wanted; what the stack does not have is left out.
    beside
        With science and reference, where it has them.

    Raises
    ------
    ReadError
        If the file is missing or damaged.
    """
    try:
        stacks = _mapped(path)
        place = {str(name): i for i, name in enumerate(stacks.pop("names").tolist())}
        chosen = [i for name, i in place.items() if name in names]
        wanted = [n for n in stacks if beside or n not in ("science", "reference")]
        picked = {name: np.array(stacks[name][chosen]) for name in wanted}
        return Cutouts(names=tuple(name for name in place if name in names), **picked)
    except FileNotFoundError:
        raise ReadError(f"{path} does not exist; run the night again to make it") from None
    except Exception as error:
        raise ReadError(f"{path} is damaged ({error}); run the night again to make it") from None


def _mapped(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an archive that is not compressed, each where it lies in the file."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        return {
            info.filename.removesuffix(".npy"): _member(path, file, info)
            for info in archive.infolist()
        }


def _member(path: Path, file: Any, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    file.seek(info.header_offset + _LENGTHS_AT)
    lengths = np.frombuffer(file.read(_LOCAL_HEADER - _LENGTHS_AT), "<u2")
    file.seek(int(lengths.sum()), 1)
    start = file.tell()
    header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, by_columns, kind = header[npy.read_magic(file)](file)
    size = file.tell() - start + int(np.prod(shape, dtype=object)) * kind.itemsize
    if by_columns or kind.hasobject or size != info.file_size:
        raise ValueError(f"{info.filename} is not as long as its header says")
    if 0 in shape:
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", offset=file.tell(), shape=shape)
