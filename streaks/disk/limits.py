"""How much may be read, and bytes unpacked within that.

A file of a few megabytes may unpack to hundreds of gigabytes or never end. What is unpacked is
therefore limited in one place: in bytes, in the ratio of unpacked to packed, and in time.
"""

from __future__ import annotations

import io
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from streaks.errors import ReadError

__all__ = ["GZIP_MAGIC", "Limits", "TooLargeError", "bounded_gzip", "unpack_gzip"]

GZIP_MAGIC = b"\x1f\x8b"
#: A bomb that is still small does no harm, and short texts of one letter do compress so well.
_HARMLESS_BYTES = 1 << 26
#: Packed bytes handed to the decoder at once, and unpacked ones taken from it.
_FED, _PIECE = 1 << 14, 1 << 20
#: What is counted at once where a ratio is asked of each piece...
_BOUNDED_PIECE = 1 << 18
#: ...but not of the first bytes: a short file of equal lines packs very well.
_FREE_BYTES = 8 << 20


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
