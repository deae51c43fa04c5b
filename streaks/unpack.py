"""Reading a file that may be packed, with a limit on what comes out of it.

A few megabytes of gzip can hold gigabytes of blanks. What is unpacked is counted while it comes,
and the reading stops where it is too much for a file of its kind.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

__all__ = ["TooLargeError", "bounded_gzip"]

_GZIP = b"\x1f\x8b"
_PIECE = 1 << 18
#: No ratio is asked of the first bytes: a short file of equal lines packs very well.
_FREE_BYTES = 8 << 20


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
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        if packed:
            return _unpack(stream, max_bytes, max_ratio)
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise TooLargeError(f"it is larger than {max_bytes / 1e6:,.0f} MB")
    return content, ""


def _unpack(stream: BinaryIO, max_bytes: int, max_ratio: float) -> tuple[bytes, str]:
    pieces: list[bytes] = []
    taken = given = 0
    decoder = zlib.decompressobj(wbits=31)
    rest = b""
    while True:
        if not rest:
            rest = stream.read(_PIECE)
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
            piece = decoder.decompress(rest, _PIECE)
        except zlib.error as error:
            return b"".join(pieces), f"the file is damaged here ({error})"
        rest = decoder.unconsumed_tail or decoder.unused_data
        pieces.append(piece)
        given += len(piece)
        if given > max_bytes:
            raise TooLargeError(f"unpacked it is larger than {max_bytes / 1e6:,.0f} MB")
        if given > max(_FREE_BYTES, max_ratio * taken):
            raise TooLargeError(f"it unpacks to more than {max_ratio:g} times its size")
