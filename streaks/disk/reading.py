"""Regular files, gzipped ones and archives of arrays, read within limits."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Collection
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk.limits import GZIP_MAGIC, Limits, unpack_gzip
from streaks.errors import AccessError, ReadError

__all__ = ["load_arrays", "open_regular", "read_bytes"]

#: Members of an archive of arrays; ours have fewer than twenty.
_MAX_MEMBERS = 4096


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """A regular file, open for reading; pipes and devices, which may never end, are refused.

    Parameters
    ----------
    path
        Links are followed.

    Returns
    -------
    binary file

    Raises
    ------
    ReadError
        If there is no such file, it is a folder, a pipe or a device, or may not be read.
    """
    try:
        # Without the flag, opening a pipe waits for somebody who writes.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise AccessError(f"{os.fspath(path)} does not exist; check the name") from None
    except OSError as error:
        reason = error.strerror or error
        raise AccessError(f"{os.fspath(path)} cannot be opened: {reason}") from None
    except ValueError as error:
        raise ReadError(f"{os.fspath(path)} cannot be opened: {error}") from None
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
        raise ReadError(f"{os.fspath(path)} is {what}; expected a file")
    return os.fdopen(handle, "rb")


def read_bytes(path: str | os.PathLike[str], limits: Limits | None = None) -> bytes:
    """A file's content, unpacked where it is gzipped.

    Parameters
    ----------
    path
        A regular file.
    limits
        Of the content; `Limits()` when not given.

    Returns
    -------
    bytes

    Raises
    ------
    ReadError
        If it cannot be read, is cut short, or holds more than the limits allow.
    """
    limits = Limits() if limits is None else limits
    name = os.fspath(path)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(2) == GZIP_MAGIC:
            file.seek(0)
            return unpack_gzip(file, limits, name=name, packed=size)
        limits.check(size, size, name)
        file.seek(0)
        try:
            return file.read(limits.max_bytes + 1)
        except OSError as error:
            raise AccessError(f"{name} cannot be read: {error.strerror or error}") from None


def load_arrays(
    path: str | os.PathLike[str],
    names: Collection[str] | None = None,
    limits: Limits | None = None,
) -> dict[str, NDArray[Any]]:
    """Arrays of an ``.npz`` file; Python objects in it are never loaded.

    Parameters
    ----------
    path
        A regular file.
    names
        The arrays to load, those of them that are there; all where None.
    limits
        Of all arrays together; `Limits()` when not given.

    Returns
    -------
    dict
        Arrays by name.

    Raises
    ------
    ReadError
        If it is no such file, is damaged, or an array promises more than there is or than the
        limits allow.
    """
    limits = Limits() if limits is None else limits
    name = os.fspath(path)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            with zipfile.ZipFile(file) as archive:
                _check_members(archive, name, size, limits)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                chosen = [n for n in arrays.files if names is None or n in names]
                return {one: arrays[one] for one in chosen}
    except ReadError:
        raise
    except Exception as error:
        # zipfile, zlib and numpy raise many kinds for a damaged archive.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ReadError(f"{name} cannot be read as an npz stack: {reason}") from None


def _check_members(archive: zipfile.ZipFile, name: str, size: int, limits: Limits) -> None:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise ReadError(f"{name} has {len(members)} members; expected at most {_MAX_MEMBERS}")
    limits.check(sum(info.file_size for info in members), size, name)
    for info in members:
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(member)
        if dtype.hasobject:
            raise ReadError(f"{name}: {info.filename} holds Python objects; these are never loaded")
        promised = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
        if not 0 <= promised <= info.file_size or min(shape, default=0) < 0:
            raise ReadError(
                f"{name}: {info.filename} promises {promised} bytes and has {info.file_size}"
            )
