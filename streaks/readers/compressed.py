"""Tile-compressed images, checked before a decoder in C believes them.

Such an image is a table: each row says how long a tile's bytes are and where in the heap they lie.
Decoders go where they are told, outside the heap too, and trust sizes within the codes. All counts
and places are checked here, in numbers that cannot wrap around.

References
----------
FITS Standard 4.0, sections 7.3.5 (variable-length arrays) and 10 (tiled images).
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from streaks.errors import ReadError

__all__ = ["check_compressed", "check_table_layout"]

#: Bytes of one value of a table's column, by its letter (section 7.3.1).
_WIDTHS = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "C": 8, "M": 16}
_ITEM = r"[LBAIJKEDCMX]"
_FORM = re.compile(rf"\s*(\d{{0,9}})(?:([PQ])({_ITEM})|({_ITEM}))")
_ALGORITHMS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS")
_BITPIX = (8, 16, 32, 64, -32, -64)
#: What settings of the coders may be; all that is written has 16 or 32 pixels in a block.
_SETTINGS = {
    "BLOCKSIZE": (1, 1024), "BYTEPIX": (1, 4), "SCALE": (0, 2**31 - 1), "SMOOTH": (0, 1),
}  # fmt: skip
#: The random numbers of dithering are so many (appendix I).
_N_RANDOM = 10_000
#: Gzipped tiles that cannot unpack to more are not unpacked to see (deflate's most is 1032).
_HARMLESS_BYTES, _GZIP_RATIO = 1 << 26, 1032
#: A tile, in pixels: as large as an image may be.
_MAX_TILE = 1 << 30
#: Least bytes of a tile's code: a first value, or a header.
_LEAST_HCOMPRESS, _LEAST_PLIO = 14, 14


def check_compressed(file: IO[bytes], header_at: int, data_at: int, size: int, name: str) -> None:
    """Refuse a compressed image whose table points outside its heap, or whose sizes are absurd.

    Parameters
    ----------
    file
        Open for reading.
    header_at, data_at
        Where the table's header and data begin, bytes.
    size
        Of the file, bytes.
    name
        What an error calls it.

    Raises
    ------
    ReadError
        Names the word or the tile.
    """
    file.seek(header_at)
    header = fits.Header.fromstring(file.read(max(data_at - header_at, 0)))
    table = _table(header, name)
    _check_words(header, name)
    tile_px = _tile_px(header, name)
    end = data_at + table.heap_at + table.heap_bytes
    if table.heap_bytes and end > size:
        raise _damaged(name, f"its heap ends at {end}, the file at {size}")
    file.seek(data_at)
    rows = np.frombuffer(file.read(table.row_bytes * table.n_rows), np.uint8)
    if len(rows) != table.row_bytes * table.n_rows:
        raise _damaged(name, "its table of tiles is cut short")
    kind = str(header.get("ZCMPTYPE", "")).strip()
    for column in table.pointers:
        lengths, starts = _descriptors(rows.reshape(table.n_rows, -1), column)
        _check_places(lengths, starts, column, table.heap_bytes, name)
        heap = _Heap(file, data_at + table.heap_at)
        if column.name == "GZIP_COMPRESSED_DATA" or kind.startswith("GZIP"):
            _check_gzip(heap, lengths, starts, tile_px * 8, name)
        elif column.name == "COMPRESSED_DATA" and kind.startswith("RICE"):
            if lengths.size and int(lengths[lengths > 0].min(initial=8)) < 4:
                raise _damaged(name, "a tile of fewer than 4 bytes")
        elif column.name == "COMPRESSED_DATA" and kind in ("HCOMPRESS_1", "PLIO_1"):
            _check_codes(heap, lengths * column.item_bytes, starts, kind, tile_px, name)


def check_table_layout(header: fits.Header, name: str) -> None:
    """Refuse a table whose columns do not fit its rows, or whose cells lie in a heap.

    Parameters
    ----------
    header
        Of a binary table.
    name
        What an error calls it.

    Raises
    ------
    ReadError
        Names the word.
    """
    table = _table(header, name)
    if table.pointers:
        raise ReadError(
            f"{name} has cells of varying length ({table.pointers[0].name}), which are not read"
        )


@dataclass(frozen=True)
class _Pointers:
    """A column of lengths and places in the heap."""

    name: str
    offset: int
    wide: bool
    item_bytes: int


@dataclass(frozen=True)
class _Table:
    """Where a table's rows and heap lie, bytes from its data's beginning."""

    n_rows: int
    row_bytes: int
    heap_at: int
    heap_bytes: int
    pointers: tuple[_Pointers, ...]


@dataclass(frozen=True)
class _Heap:
    """The file behind a table's rows."""

    file: IO[bytes]
    at: int

    def read(self, start: int, n: int) -> bytes:
        """Bytes of the heap."""
        self.file.seek(self.at + start)
        return self.file.read(n)


def _damaged(name: str, what: str) -> ReadError:
    return ReadError(f"{name} is damaged ({what}); fetch it again")


def _whole(header: fits.Header, word: str, low: int, high: int, name: str, default: Any) -> int:
    value = header.get(word, default)
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not sound or value != int(value) or not low <= value <= high:
        raise _damaged(name, f"{word} is {value!r:.40}, expected {low} to {high}")
    return int(value)


def _table(header: fits.Header, name: str) -> _Table:
    row_bytes = _whole(header, "NAXIS1", 0, 2**40, name, None)
    n_rows = _whole(header, "NAXIS2", 0, 2**40, name, None)
    behind = _whole(header, "PCOUNT", 0, 2**50, name, 0)
    rows_end = row_bytes * n_rows
    heap_at = _whole(header, "THEAP", rows_end, rows_end + behind, name, rows_end)
    at, pointers = 0, []
    for k in range(1, _whole(header, "TFIELDS", 0, 999, name, None) + 1):
        form = _FORM.match(str(header.get(f"TFORM{k}", "")))
        if form is None:
            raise _damaged(name, f"TFORM{k} is {header.get(f'TFORM{k}')!r:.40}")
        count = int(form[1] or 1)
        if form[2]:
            wide = form[2] == "Q"
            if count == 1:
                title = str(header.get(f"TTYPE{k}", "")).strip().upper()
                pointers.append(_Pointers(title, at, wide, _WIDTHS.get(form[3], 1)))
            width = count * (16 if wide else 8)
        elif form[4] == "X":
            width = -(-count // 8)
        else:
            width = count * _WIDTHS[form[4]]
        at += width
    if at > row_bytes:
        raise _damaged(name, f"NAXIS1 is {row_bytes}, its columns take {at} bytes")
    return _Table(n_rows, row_bytes, heap_at, behind - (heap_at - rows_end), tuple(pointers))


def _check_words(header: fits.Header, name: str) -> None:
    kind = str(header.get("ZCMPTYPE", "")).strip()
    if kind not in _ALGORITHMS:
        raise _damaged(name, f"ZCMPTYPE is {kind!r:.40}, expected one of {', '.join(_ALGORITHMS)}")
    if header.get("ZBITPIX") not in _BITPIX:
        raise _damaged(name, f"ZBITPIX is {header.get('ZBITPIX')!r:.40}")
    if "ZDITHER0" in header:
        _whole(header, "ZDITHER0", 0, _N_RANDOM, name, None)
    for k in range(1, 1000):
        if f"ZNAME{k}" not in header:
            break
        limits = _SETTINGS.get(str(header[f"ZNAME{k}"]).strip().upper())
        if limits is not None:
            value = _whole(header, f"ZVAL{k}", *limits, name, None)
            if str(header[f"ZNAME{k}"]).strip().upper() == "BYTEPIX" and value not in (1, 2, 4):
                # Of 8 bytes the decoder gives 4, and as many that lie behind them in memory.
                raise _damaged(name, f"ZVAL{k} is {value}, expected 1, 2 or 4 bytes a pixel")


def _tile_px(header: fits.Header, name: str) -> int:
    """Pixels in a tile, no more than the image has along each axis."""
    shape = []
    for k in range(1, _whole(header, "ZNAXIS", 0, 999, name, None) + 1):
        n = _whole(header, f"ZNAXIS{k}", 0, 2**31 - 1, name, None)
        tile = _whole(header, f"ZTILE{k}", 1, 2**31 - 1, name, n or 1 if k == 1 else 1)
        shape.append(min(n, tile))
    pixels = math.prod(shape)
    if pixels > _MAX_TILE:
        raise _damaged(name, f"a tile has {pixels} pixels, expected at most {_MAX_TILE}")
    return pixels


def _descriptors(
    rows: NDArray[np.uint8], column: _Pointers
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lengths (items) and starts (bytes) of a column."""
    width = 16 if column.wide else 8
    cells = np.ascontiguousarray(rows[:, column.offset : column.offset + width])
    numbers = cells.view(">i8" if column.wide else ">i4").reshape(-1, 2).astype(np.int64)
    return numbers[:, 0], numbers[:, 1]


def _check_places(
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    column: _Pointers,
    heap_bytes: int,
    name: str,
) -> None:
    # Each is compared with what is left, and none added to another: a sum of two may wrap around.
    most = heap_bytes // column.item_bytes
    wrong = (lengths < 0) | (lengths > most)
    room = heap_bytes - np.clip(lengths, 0, most) * column.item_bytes
    wrong |= (lengths > 0) & ((starts < 0) | (starts > room))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise _damaged(
            name,
            f"row {row + 1} of {column.name or 'a column'} has {int(lengths[row])} items at "
            f"{int(starts[row])}, the heap {heap_bytes} bytes",
        )
    if sum(map(int, lengths)) * column.item_bytes > heap_bytes:
        raise _damaged(name, f"tiles of {column.name or 'a column'} lie upon one another")


def _check_gzip(
    heap: _Heap,
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    most: int,
    name: str,
) -> None:
    """Gzipped tiles unpack to no more than a tile holds."""
    for row in np.flatnonzero(lengths * _GZIP_RATIO > max(most, _HARMLESS_BYTES)):
        packed = heap.read(int(starts[row]), int(lengths[row]))
        decoder, found = zlib.decompressobj(wbits=47), 0
        try:
            while packed and not decoder.eof:
                found += len(decoder.decompress(packed, 1 << 20))
                packed = decoder.unconsumed_tail
                if found > most:
                    raise _damaged(name, f"tile {row + 1} unpacks to more than {most} bytes")
        except zlib.error as error:
            raise _damaged(name, f"tile {row + 1}: {error}") from None


def _check_codes(
    heap: _Heap,
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    kind: str,
    tile_px: int,
    name: str,
) -> None:
    """Sizes that codes of two kinds state at their own beginning."""
    for row in np.flatnonzero(lengths > 0):
        n = int(lengths[row])
        begin = heap.read(int(starts[row]), 14)
        if kind == "HCOMPRESS_1":
            ny, nx = (int.from_bytes(begin[k : k + 4], "big", signed=True) for k in (2, 6))
            if n < _LEAST_HCOMPRESS or min(nx, ny) < 1 or nx * ny > tile_px:
                raise _damaged(name, f"tile {row + 1} says that it has {nx} x {ny} pixels")
        else:
            words = [int.from_bytes(begin[k : k + 2], "big", signed=True) for k in range(0, 14, 2)]
            # The third word is the length, or 0 or less where the fourth and fifth are (PLIO).
            stated = words[2] if words[2] > 0 else (words[4] << 15) + words[3]
            first = 3 if words[2] > 0 else words[1]
            if n < _LEAST_PLIO or not 0 < 2 * stated <= n or first < 0:
                raise _damaged(name, f"tile {row + 1} says that it has {stated} words at {first}")
