"""Rice-compressed float images, unpacked at the speed of the memory.

Astropy reads the same files, tile by tile in Python; this does the one common kind (whole rows,
quantised floats) in one call, and leaves all others to it.

References
----------
FITS Standard 4.0, section 10: tiled images (10.1), quantised floats with subtractive dither (10.2)
and its random numbers (appendix I), Rice coding (10.4.1).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np
from astropy.io import fits
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["HeapPlace", "heap_place", "read_rice_floats", "table_columns"]

_DITHERS = {"NO_DITHER": 0, "SUBTRACTIVE_DITHER_1": 1, "SUBTRACTIVE_DITHER_2": 2}
#: With the second dither this integer stands for exactly 0 (section 10.2.1).
_EXACT_ZERO = -2147483646
_N_RANDOM = 10000
#: A code of 25 or more says that differences are stored as they are, 32 bits each.
_PLAIN = 25
#: Bytes of the letters that tell a column's kind (section 7.3.1); P and Q say where things lie.
_KINDS = {
    "L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8",
    "P": ">2i4", "Q": ">2i8",
}  # fmt: skip
#: Of 64 bits that begin within a byte, so many are there in any case.
_WINDOW = 57
#: Codes read at once: of `_SMALL` lower bits and less so many fit into a window, nearly always.
_MANY, _SMALL, _FEW = 6, 5, 4
#: The heap is followed by so many zeros: where a tile ends is seen only after a block of pixels,
#: each of which takes `_WINDOW` bits at most.
_MAX_BLOCK_PX = 64
_AHEAD = 8 * _MAX_BLOCK_PX + 16


@dataclass(frozen=True)
class _Layout:
    """Where a file keeps a compressed image, and how."""

    shape: tuple[int, int]
    rows_per_tile: int
    block_px: int
    dither: int
    seed: int
    blank: int | None
    rows: np.dtype[Any]
    n_tiles: int
    heap_at: int
    heap_bytes: int


def read_rice_floats(
    file: IO[bytes], header_at: int, data_at: int, max_bytes: int
) -> NDArray[np.float32] | None:
    """A float image out of its compressed table; None for what this cannot read.

    Parameters
    ----------
    file
        Open for reading.
    header_at, data_at
        Where the table's header and data begin, bytes.
    max_bytes
        Of the file.

    Returns
    -------
    (ny, nx) float32 or None
        None where the image is of another kind or damaged: astropy reads it, or says why not.
    """
    file.seek(header_at)
    try:
        layout = _layout(fits.Header.fromstring(file.read(data_at - header_at)))
    except (ValueError, TypeError, KeyError, OverflowError, fits.VerifyError):
        return None
    if layout is None or data_at + layout.heap_at + layout.heap_bytes > max_bytes:
        return None
    file.seek(data_at)
    stored = np.zeros(layout.heap_at + layout.heap_bytes + _AHEAD, np.uint8)
    whole: Any = stored[:-_AHEAD]
    if file.readinto(whole) != len(whole):  # type: ignore[attr-defined]
        return None
    table = stored[: layout.n_tiles * layout.rows.itemsize].view(layout.rows)
    return _unpacked(table, stored[layout.heap_at :], layout)


def _layout(header: fits.Header) -> _Layout | None:
    columns = table_columns(header)
    ny, nx = (int(header.get(word, 0)) for word in ("ZNAXIS2", "ZNAXIS1"))
    rows_per_tile = int(header.get("ZTILE2", 1))
    coding = {header.get(f"ZNAME{k}"): header.get(f"ZVAL{k}") for k in (1, 2)}
    dither = _DITHERS.get(str(header.get("ZQUANTIZ", "NO_DITHER")).strip())
    sound = (
        str(header.get("ZCMPTYPE", "")).strip() in ("RICE_1", "RICE_ONE")
        and header.get("ZNAXIS") == 2
        and header.get("ZBITPIX") == -32
        and min(nx, ny, rows_per_tile) > 0
        and header.get("ZTILE1", nx) == nx
        and coding.get("BYTEPIX", 4) == 4
        and 1 <= int(coding.get("BLOCKSIZE", 32)) <= _MAX_BLOCK_PX
        and dither is not None
        and "ZMASKCMP" not in header
        # What the image's own header does to the stored values is astropy's to know.
        and header.get("BSCALE", 1) == 1
        and header.get("BZERO", 0) == 0
        and {"COMPRESSED_DATA", "ZSCALE", "ZZERO"} <= set(columns)
        and "BLANK" not in header
        and not {"ZBLANK", "NULL_PIXEL_MASK"} & set(columns)
    )
    if not sound:
        return None
    place = heap_place(header, columns)
    if place is None or place.n_tiles != -(-ny // rows_per_tile):
        return None
    blank = header.get("ZBLANK")
    return _Layout(
        shape=(ny, nx),
        rows_per_tile=rows_per_tile,
        block_px=int(coding.get("BLOCKSIZE", 32)),
        dither=int(dither or 0),
        seed=int(header.get("ZDITHER0", 1)),
        blank=None if blank is None else int(blank),
        rows=place.rows,
        n_tiles=place.n_tiles,
        heap_at=place.heap_at,
        heap_bytes=place.heap_bytes,
    )


class HeapPlace(NamedTuple):
    """Where a binary table keeps its rows, and behind them the tiles that these point at.

    Parameters
    ----------
    rows
        NumPy's kind of a row.
    n_tiles
        Rows of the table.
    heap_at, heap_bytes
        Where the tiles begin, from the table's first byte, and how long they are.
    """

    rows: np.dtype[Any]
    n_tiles: int
    heap_at: int
    heap_bytes: int


def heap_place(header: fits.Header, columns: dict[str, tuple[Any, int]]) -> HeapPlace | None:
    """What a table's header says of its rows and its heap.

    Parameters
    ----------
    header
        Of a binary table.
    columns
        As `table_columns` gives them.

    Returns
    -------
    HeapPlace or None
        None where the header contradicts itself.
    """
    rows = np.dtype(
        {
            "names": list(columns),
            "formats": [kind for kind, _ in columns.values()],
            "offsets": [at for _, at in columns.values()],
            "itemsize": int(header["NAXIS1"]),
        }
    )
    n_tiles = int(header["NAXIS2"])
    table_bytes = rows.itemsize * n_tiles
    heap_at = int(header.get("THEAP", table_bytes))
    heap_bytes = table_bytes + int(header["PCOUNT"]) - heap_at
    columns_bytes = max(at + kind.itemsize for kind, at in columns.values())
    if heap_at < table_bytes or heap_bytes < 0 or columns_bytes > rows.itemsize:
        return None
    return HeapPlace(rows, n_tiles, heap_at, heap_bytes)


def table_columns(header: fits.Header) -> dict[str, tuple[Any, int]]:
    """Kind and place of each column of a table, by name.

    Parameters
    ----------
    header
        Of a binary table.

    Returns
    -------
    dict
        NumPy's kind and the first byte in a row; empty where a column is not known here.
    """
    found, at = {}, 0
    for k in range(1, int(header["TFIELDS"]) + 1):
        form = re.match(r"\s*(\d*)([LBIJKEDPQ])", str(header[f"TFORM{k}"]))
        if form is None:
            return {}
        kind = np.dtype((_KINDS[form[2]], int(form[1] or 1)))
        found[str(header.get(f"TTYPE{k}", k)).strip().upper()] = (kind, at)
        at += kind.itemsize
    return found


def _unpacked(
    table: NDArray[Any], heap: NDArray[np.uint8], layout: _Layout
) -> NDArray[np.float32] | None:
    where = np.ascontiguousarray(table["COMPRESSED_DATA"].reshape(-1, 2), dtype=np.int64)
    lengths, starts = where[:, 0], where[:, 1]
    # Tiles of no length are kept in another column, not quantised.
    if lengths.min() < 4 or lengths.max() > layout.heap_bytes or starts.min() < 0:
        return None
    # What is left is compared, and no sum made: two numbers of 64 bits wrap around.
    if (starts > layout.heap_bytes - lengths).any():
        return None
    scale, zero = (table[name].reshape(-1).astype(np.float64) for name in ("ZSCALE", "ZZERO"))
    if len(scale) != layout.n_tiles or len(zero) != layout.n_tiles:
        return None
    ny, nx = layout.shape
    image = np.empty(ny * nx, np.float32)
    tile_px = nx * layout.rows_per_tile
    integers = np.empty(tile_px, np.int32)
    random = _random_numbers()
    blank = 0 if layout.blank is None else layout.blank
    whole = _unpack_tiles(
        heap, starts, lengths, scale, zero, layout.block_px, layout.dither, layout.seed,
        layout.blank is not None, blank, random, integers, image,
    )  # fmt: skip
    return image.reshape(ny, nx) if whole else None


@functools.cache
def _random_numbers() -> NDArray[np.float32]:
    """The standard's random numbers (appendix I), float32 as all readers hold them."""
    values, seed = np.empty(_N_RANDOM), 1
    for k in range(_N_RANDOM):
        seed = 16807 * seed % 2147483647
        values[k] = seed / 2147483647
    return values.astype(np.float32)


@intrinsic
def _leading_zeros(_: Any, value: Any) -> Any:
    """Of a uint64; 64 for 0."""

    def make(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.ctlz(given[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), make


@njit(cache=True)
def _unpack_tiles(
    heap: Any,
    starts: Any,
    lengths: Any,
    scale: Any,
    zero: Any,
    block_px: int,
    dither: int,
    seed: int,
    has_blank: bool,
    blank: int,
    random: Any,
    integers: Any,
    image: Any,
) -> bool:
    """All tiles to `image`; False where one does not hold what it should."""
    for k in range(len(starts)):
        tile = image[k * len(integers) : (k + 1) * len(integers)]
        stored = heap[starts[k] : starts[k] + lengths[k] + _AHEAD]
        if not _rice_integers(stored, lengths[k], block_px, integers[: len(tile)]):
            return False
        if dither == 0:
            _scale_plain(integers, scale[k], zero[k], tile)
        else:
            _scale_dithered(integers, scale[k], zero[k], (k + seed - 1) % _N_RANDOM, random, tile)
        if dither == 2:
            for i in range(len(tile)):
                if integers[i] == _EXACT_ZERO:
                    tile[i] = 0.0
        if has_blank:
            for i in range(len(tile)):
                if integers[i] == blank:
                    tile[i] = np.nan
    return True


@njit(cache=True)
def _rice_integers(stored: Any, length: int, block_px: int, out: Any) -> bool:
    """One tile's integers (section 10.4.1); False where its bytes end before its pixels.

    `stored` goes on beyond `length` by `_AHEAD` bytes that may hold anything: what is made of
    them is thrown away.
    """
    last = np.uint32(_window(stored, 0) >> np.uint64(32))
    at: Any = 32
    end = 8 * length  # bits
    start: Any
    for start in range(0, len(out), block_px):
        if at >= end:
            return False
        # Unsigned, so that no index is asked whether it counts from the end.
        first, n = np.uint64(start), np.uint64(min(block_px, len(out) - start))
        code = np.int64(_window(stored, at) >> np.uint64(59))
        at += 5
        if code == 0:
            out[start : start + n] = np.int32(last)
        elif code > _PLAIN:
            for k in range(n):
                last = _stepped(last, _window(stored, at) >> np.uint64(32))
                out[first + k] = np.int32(last)
                at += 32
        else:
            split = np.uint64(code - 1)
            i: Any = np.uint64(0)
            many = split <= _SMALL
            while i < n:
                if many and i + np.uint64(_MANY) <= n:
                    used, after = _codes(_window(stored, at), split, out, first + i, last, _MANY)
                    if used <= _WINDOW:
                        at, last, i = at + used, after, i + np.uint64(_MANY)
                        continue
                elif i + np.uint64(_FEW) <= n:
                    used, after = _codes(_window(stored, at), split, out, first + i, last, _FEW)
                    if used <= _WINDOW:
                        at, last, i = at + used, after, i + np.uint64(_FEW)
                        continue
                at, number = _one_code(stored, at, end, split)
                last = _stepped(last, number)
                out[first + i] = np.int32(last)
                i += np.uint64(1)
    return bool(at <= end)


@njit(cache=True, inline="always")
def _codes(bits: Any, split: Any, out: Any, at: Any, last: Any, n: int) -> tuple[Any, Any]:
    """Bits that the next n codes take, and their last integer, of 64 bits that begin with them.

    Where they take more than `_WINDOW` the integers are wrong. Between one code and the next
    stand a count, a shift and an addition, and not the memory.
    """
    used, step = np.uint64(0), split + np.uint64(1)
    low = np.uint64(63) - split
    for i in range(n):
        zeros = _leading_zeros(bits)
        # Shifts by 64 are none; of so many zeros the sum is beyond the window.
        rest = (bits << (zeros & np.uint64(63))) << np.uint64(1)
        last = _stepped(last, (zeros << split) | ((rest >> np.uint64(1)) >> low))
        out[at + np.uint64(i)] = np.int32(last)
        taken = zeros + step
        bits <<= taken & np.uint64(63)
        used += taken
    return np.int64(used), last


@njit(cache=True, inline="always")
def _one_code(stored: Any, at: Any, end: int, split: Any) -> tuple[Any, Any]:
    """Where the next code ends, and its number."""
    bits = _window(stored, at)
    zeros = _leading_zeros(bits)
    if np.int64(zeros + split) < _WINDOW:
        rest = (bits << zeros) << np.uint64(1)
        at += np.int64(zeros) + 1
    else:
        at, zeros = _end_of_zeros(stored, at, end)
        rest = _window(stored, at)
    lower = (rest >> np.uint64(1)) >> (np.uint64(63) - split)
    return at + np.int64(split), (zeros << split) | lower


@njit(cache=True, inline="always")
def _stepped(last: Any, number: Any) -> Any:
    """The next integer; numbers stand for steps 0, -1, 1, -2, ..."""
    step = np.uint32(number >> np.uint64(1))
    return np.uint32(last + (~step if number & np.uint64(1) else step))


@njit(cache=True, inline="always")
def _window(stored: Any, at: int) -> Any:
    """64 bits from bit `at` on, of which the first `_WINDOW` are right."""
    k = np.uint64(at) >> np.uint64(3)
    return (
        (np.uint64(stored[k]) << np.uint64(56))
        | (np.uint64(stored[k + np.uint64(1)]) << np.uint64(48))
        | (np.uint64(stored[k + np.uint64(2)]) << np.uint64(40))
        | (np.uint64(stored[k + np.uint64(3)]) << np.uint64(32))
        | (np.uint64(stored[k + np.uint64(4)]) << np.uint64(24))
        | (np.uint64(stored[k + np.uint64(5)]) << np.uint64(16))
        | (np.uint64(stored[k + np.uint64(6)]) << np.uint64(8))
        | np.uint64(stored[k + np.uint64(7)])
    ) << (np.uint64(at) & np.uint64(7))


@njit(cache=True)
def _end_of_zeros(stored: Any, at: int, end: int) -> tuple[int, Any]:
    """The bit behind a run of zeros and the one that ends it, and how many zeros there were."""
    zeros = 0
    while at < end and not (stored[at >> 3] >> (7 - (at & 7))) & 1:
        at, zeros = at + 1, zeros + 1
    return at + 1, np.uint64(zeros)


@njit(cache=True)
def _scale_plain(integers: Any, scale: float, zero: float, out: Any) -> None:
    for i in range(len(out)):
        out[i] = np.float32(integers[i] * scale + zero)


@njit(cache=True)
def _scale_dithered(
    integers: Any, scale: float, zero: float, row: int, random: Any, out: Any
) -> None:
    """Section 10.2: the random number that was added before rounding is taken off again."""
    at = int(random[row] * np.float32(500.0))
    done = 0
    while done < len(out):
        run = min(len(out) - done, _N_RANDOM - at)
        # Views, so that indices begin at 0: only then are several pixels done at once.
        stored, added, found = integers[done:], random[at:], out[done:]
        for i in range(run):
            value = np.float64(stored[i]) - np.float64(added[i]) + 0.5
            found[i] = np.float32(value * scale + zero)
        done, at = done + run, at + run
        if at == _N_RANDOM:
            row = (row + 1) % _N_RANDOM
            at = int(random[row] * np.float32(500.0))
