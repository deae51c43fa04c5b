"""Files written whole, and files read within limits: for every room that opens files.

Writing. What is written appears under its name when it is complete, and not before: it goes to a
temporary neighbour, is flushed to the disk, and is renamed. A kill or a power cut leaves the old
content or the new one.

Reading. A file of a few megabytes may unpack to hundreds of gigabytes, name itself as its own part,
or never end. What is unpacked is therefore limited here, in one place: in bytes, in the ratio of
unpacked to packed, in depth, and in time. The limits lie far above what surveys write; what is
beyond them is refused with a `ReadError` that says the limit.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from streaks.errors import AccessError, OutputError, ReadError

__all__ = [
    "GZIP_MAGIC",
    "MAX_DEPTH",
    "Limits",
    "TooLargeError",
    "bounded_gzip",
    "check_depth",
    "folder_written_whole",
    "json_integer",
    "load_arrays",
    "open_regular",
    "parse_json",
    "read_bytes",
    "read_toml",
    "unpack_gzip",
    "written_whole",
]

GZIP_MAGIC = b"\x1f\x8b"
#: Brackets within brackets of a JSON text (model cards, Avro schemas, exports): real ones have
#: fewer than ten.
MAX_DEPTH = 64
#: Longer integers are no number of anything, and from 309 digits on no float.
_MOST_DIGITS = 100
#: A bomb that is still small does no harm, and short texts of one letter do compress so well.
_HARMLESS_BYTES = 1 << 26
#: Packed bytes handed to the decoder at once, and unpacked ones taken from it.
_FED, _PIECE = 1 << 14, 1 << 20
#: What is counted at once where a ratio is asked of each piece...
_BOUNDED_PIECE = 1 << 18
#: ...but not of the first bytes: a short file of equal lines packs very well.
_FREE_BYTES = 8 << 20
#: Members of an archive of arrays; ours have fewer than twenty.
_MAX_MEMBERS = 4096


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may come out of one file.

    Parameters
    ----------
    max_bytes
        Unpacked. The default holds any image that is searched in one piece.
    max_ratio
        Unpacked over packed, asked from 64 MB on. The default is what deflate reaches at most
        (zlib's documentation: 1032), so that it refuses nothing: masks of zeros are real.
    max_seconds
        Of processor time spent on unpacking.
    """

    max_bytes: int = 1 << 30
    max_ratio: float = 1040.0
    max_seconds: float = 60.0

    def check(self, unpacked: int, packed: int, name: str) -> None:
        """Refuse what is too large, or too much for what it was packed in.

        Parameters
        ----------
        unpacked, packed
            Bytes.
        name
            What an error calls the file.

        Raises
        ------
        ReadError
            With the limit that was passed.
        """
        if unpacked > self.max_bytes:
            raise ReadError(
                f"{name} unpacks to more than {_megabytes(self.max_bytes)}; unpack it on disk, or "
                "split it"
            )
        if unpacked > _HARMLESS_BYTES and unpacked > self.max_ratio * max(packed, 1):
            raise ReadError(
                f"{name} unpacks to more than {self.max_ratio:.0f} times its size: this is no data "
                "of a survey; unpack it on disk if you know better"
            )


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A neighbour of `path` to write to, renamed to it when all went well.

    The temporary name keeps the suffix, because many writers go by it. Folders above are made.
    The content is on disk before the name is, so that a power cut leaves no empty file.

    Parameters
    ----------
    path
        What is there is replaced, or stays as it is where anything fails.

    Yields
    ------
    Path
        An empty file in the same folder.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to, or is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        suffix = target.suffix if len(target.suffix) <= 16 else ""
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:40]}-", suffix=suffix, dir=target.parent
        )
    except (OSError, ValueError) as error:
        raise _not_writable(target, error) from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        # mkstemp makes files that only their owner reads; results are for everyone.
        part.chmod(0o666 & ~_umask())
        _to_disk(part)
        os.replace(part, target)
    except OSError as error:
        raise _not_writable(target, error) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A folder to write into, which takes the name `path` when all went well.

    Parameters
    ----------
    path
        A folder that is not there or is empty; folders above are made.
    replace
        Take the place of a folder that holds something. Whether it is one that may go is for
        the caller to check.

    Yields
    ------
    Path
        An empty folder of the same parent.

    Raises
    ------
    OutputError
        When the folder holds something and may not be replaced, is a file, or cannot be written.
    """
    target = Path(path)
    try:
        if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not replace)):
            raise OutputError(
                f"{target} exists and is not empty; give a new folder or empty it first"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(
            tempfile.mkdtemp(prefix=f".{target.name[:40]}-", suffix=".part", dir=target.parent)
        )
    except (OSError, ValueError) as error:
        raise _not_writable(target, error) from None
    old = part.with_suffix(".old")
    try:
        yield part
        # mkdtemp's folders are for the owner only; results are for everyone.
        part.chmod(0o777 & ~_umask())
        for file in part.rglob("*"):
            if file.is_file():
                _to_disk(file)
        if target.exists():
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise _not_writable(target, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def _not_writable(target: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or error
    return OutputError(
        f"cannot write {target}: {reason}; nothing was left there, make room or choose another "
        "place"
    )


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


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


def unpack_gzip(
    source: bytes | IO[bytes], limits: Limits | None = None, *, name: str, packed: int | None = None
) -> bytes:
    """What a gzip stream holds, all its members, within limits.

    Parameters
    ----------
    source
        The packed bytes, or a file at their start.
    limits
        `Limits()` when not given.
    name
        What an error calls the source.
    packed
        Bytes in `source`, where it is a file.

    Returns
    -------
    bytes

    Raises
    ------
    ReadError
        If it is cut short, damaged, or holds more than the limits allow.
    """
    limits = Limits() if limits is None else limits
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    size = len(source) if isinstance(source, bytes) else packed or 0
    pieces: list[bytes] = []
    total, began = 0, time.thread_time()
    decoder, ended = zlib.decompressobj(wbits=31), True
    try:
        rest = stream.read(_FED)
        while rest:
            piece = decoder.decompress(rest, _PIECE)
            ended = False
            total += len(piece)
            pieces.append(piece)
            limits.check(total, size or total, name)
            if time.thread_time() - began > limits.max_seconds:
                raise ReadError(f"{name} takes more than {limits.max_seconds:.0f} s to unpack")
            rest = decoder.unconsumed_tail
            if decoder.eof:
                # Members may follow one another; what else follows is padding.
                rest = (decoder.unused_data or stream.read(_FED)).lstrip(b"\0")
                decoder, ended = zlib.decompressobj(wbits=31), True
                if not rest.startswith(GZIP_MAGIC):
                    break
            elif not rest:
                rest = stream.read(_FED)
        # All input is taken; what the decoder still holds comes out now.
        while not ended and (piece := decoder.decompress(b"", _PIECE)):
            total += len(piece)
            pieces.append(piece)
            limits.check(total, size or total, name)
            ended = decoder.eof
    except (OSError, zlib.error) as error:
        raise ReadError(f"{name} is cut short or damaged ({error}); fetch it again") from None
    if not ended:
        raise ReadError(
            f"{name} is cut short or damaged (its compressed data ends early); fetch it again"
        )
    return b"".join(pieces)


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


def parse_json(text: str | bytes, name: str) -> Any:
    """The value of a JSON text, nested no deeper than `MAX_DEPTH`.

    Parameters
    ----------
    text
        Bytes are UTF-8.
    name
        What an error calls it.

    Returns
    -------
    dict, list, str, int, float, bool or None

    Raises
    ------
    ReadError
        If it is no JSON, or nested too deeply.
    """
    check_depth(text, name)
    try:
        return json.loads(text, parse_int=json_integer)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{name} is not JSON ({str(error)[:160]}); fetch it again") from None


def json_integer(digits: str) -> int:
    """For `json.loads`: an integer that can be made a float of.

    Parameters
    ----------
    digits
        As they stand in the text.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there are more than a hundred digits.
    """
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a TOML file: settings, profiles.

    Parameters
    ----------
    path
        A regular file of at most 1 MB.

    Returns
    -------
    dict

    Raises
    ------
    ReadError
        If it cannot be read, or is no TOML.
    """
    import tomllib

    content = read_bytes(path, Limits(max_bytes=1 << 20))
    check_depth(content, os.fspath(path))
    # Python's parser takes quadratic time for a.a.a.a...
    names = (re.split(rb"[=#]", line, maxsplit=1)[0] for line in content.split(b"\n"))
    if max(name.count(b".") for name in names) > MAX_DEPTH:
        raise ReadError(
            f"{os.fspath(path)} has a name of more than {MAX_DEPTH} parts; expected two or three"
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ReadError(f"{os.fspath(path)} cannot be read as TOML: {reason}") from None


def check_depth(text: str | bytes, name: str) -> None:
    """Refuse text with brackets within brackets, deeper than any reader needs.

    Brackets in quotes count too, so that the check needs no parser.

    Parameters
    ----------
    text
        JSON, or what looks like it.
    name
        What an error calls it.

    Raises
    ------
    ReadError
        If it is nested more deeply than `MAX_DEPTH`.
    """
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    steps = np.zeros(256, np.int8)
    steps[[ord("["), ord("{")]], steps[[ord("]"), ord("}")]] = 1, -1
    depth = 0
    for at in range(0, len(raw), _PIECE):
        values = np.frombuffer(raw, np.uint8, min(_PIECE, len(raw) - at), at)
        depths = depth + np.cumsum(steps[values], dtype=np.int64)
        if depths.max() > MAX_DEPTH:
            raise ReadError(
                f"{name} is nested more than {MAX_DEPTH} deep; this is no survey's file"
            )
        depth = int(depths[-1])


def _megabytes(n: int) -> str:
    return f"{n >> 20} MB" if n >= 1 << 20 else f"{n} bytes"


class TooLargeError(ValueError):
    """A file holds more than a file of its kind does."""


def bounded_gzip(path: Path, *, max_bytes: int, max_ratio: float = 50.0) -> tuple[bytes, str]:
    """A file's content, unpacked where it is gzip.

    Parameters
    ----------
    path
        A regular file, plain or gzip (of several members, too).
    max_bytes
        The most that it may hold, unpacked.
    max_ratio
        Unpacked bytes per packed byte; catalogues in text have 3 to 12.

    Returns
    -------
    content : bytes
        What a damaged file holds before the damage.
    damage : str
        What is wrong with its end; empty for nothing.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    TooLargeError
        If it holds more than that.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is no regular file")
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP_MAGIC
        stream.seek(0)
        if packed:
            return _unpack_bounded(stream, max_bytes, max_ratio)
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise TooLargeError(f"it is larger than {max_bytes / 1e6:,.0f} MB")
    return content, ""


def _unpack_bounded(stream: BinaryIO, max_bytes: int, max_ratio: float) -> tuple[bytes, str]:
    pieces: list[bytes] = []
    taken = given = 0
    decoder = zlib.decompressobj(wbits=31)
    rest = b""
    while True:
        if not rest:
            rest = stream.read(_BOUNDED_PIECE)
            taken += len(rest)
            if not rest:
                whole = decoder.eof
                return b"".join(pieces), "" if whole else "the file is cut short here"
        try:
            if decoder.eof:
                rest = rest.lstrip(b"\0")  # padding behind a member
                if not rest:
                    continue
                decoder = zlib.decompressobj(wbits=31)
            piece = decoder.decompress(rest, _BOUNDED_PIECE)
        except zlib.error as error:
            return b"".join(pieces), f"the file is damaged here ({error})"
        rest = decoder.unconsumed_tail or decoder.unused_data
        pieces.append(piece)
        given += len(piece)
        if given > max_bytes:
            raise TooLargeError(f"unpacked it is larger than {max_bytes / 1e6:,.0f} MB")
        if given > max(_FREE_BYTES, max_ratio * taken):
            raise TooLargeError(f"it unpacks to more than {max_ratio:g} times its size")
