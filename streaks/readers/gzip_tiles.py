"""Images of gzipped rows, unpacked without a detour: Rubin's masks, and its lossless images.

Astropy reads the same files with several calls a row in Python, which takes longer than the search
of the pixels; this does whole rows of one kind, and leaves all others to it.

References
----------
FITS Standard 4.0, section 10.4.3: GZIP_1 and GZIP_2 (bytes of a tile's values sorted by weight).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from streaks.readers.rice import heap_place, table_columns

__all__ = ["read_gzip_tiles"]

_GZIP = ("GZIP_1", "GZIP_2")
_KINDS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
#: What an image's own header, or a column beside it, does to values is astropy's to know.
_NOT_HERE = ("BLANK", "ZBLANK", "ZMASKCMP")
_NO_COLUMNS = {"ZSCALE", "ZZERO", "ZBLANK", "UNCOMPRESSED_DATA", "GZIP_COMPRESSED_DATA"}


@dataclass(frozen=True)
class _Layout:
    """Where a file keeps a compressed image, and how."""

    shape: tuple[int, int]
    rows_per_tile: int
    kind: np.dtype[Any]
    is_sorted: bool
    rows: np.dtype[Any]
    n_tiles: int
    heap_at: int
    heap_bytes: int


def read_gzip_tiles(
    file: IO[bytes], header_at: int, data_at: int, max_bytes: int
) -> NDArray[Any] | None:
    """An image out of its compressed table; None for what this cannot read.

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
    (ny, nx) or None
        In the file's own kind, native order; sorted 32-bit integers from 0 to 65535 as 16 bits.
        None where the image is of another kind or damaged:
        astropy reads it, or says why not.
    """
    file.seek(header_at)
    try:
        layout = _layout(fits.Header.fromstring(file.read(data_at - header_at)))
    except (ValueError, TypeError, KeyError, OverflowError, fits.VerifyError):
        return None
    if layout is None or data_at + layout.heap_at + layout.heap_bytes > max_bytes:
        return None
    file.seek(data_at)
    stored = file.read(layout.heap_at + layout.heap_bytes)
    if len(stored) != layout.heap_at + layout.heap_bytes:
        return None
    table = np.frombuffer(stored, layout.rows, layout.n_tiles)
    where = table["COMPRESSED_DATA"].reshape(-1, 2).astype(np.int64)
    lengths, starts = where[:, 0], where[:, 1]
    if lengths.min() < 1 or lengths.max() > layout.heap_bytes or starts.min() < 0:
        return None
    if (starts > layout.heap_bytes - lengths).any():
        return None
    return _unpacked(memoryview(stored)[layout.heap_at :], starts, lengths, layout)


def _layout(header: fits.Header) -> _Layout | None:
    columns = table_columns(header)
    ny, nx = (int(header.get(word, 0)) for word in ("ZNAXIS2", "ZNAXIS1"))
    rows_per_tile = int(header.get("ZTILE2", 1))
    coding = str(header.get("ZCMPTYPE", "")).strip()
    kind = _KINDS.get(header.get("ZBITPIX"))
    sound = (
        coding in _GZIP
        and kind is not None
        and header.get("ZNAXIS") == 2
        and min(nx, ny, rows_per_tile) > 0
        and header.get("ZTILE1", nx) == nx
        and header.get("BSCALE", 1) == 1
        and header.get("BZERO", 0) == 0
        and "COMPRESSED_DATA" in columns
        and not _NO_COLUMNS & set(columns)
        and not any(word in header for word in _NOT_HERE)
    )
    if not sound or kind is None:
        return None
    place = heap_place(header, columns)
    if place is None or place.n_tiles != -(-ny // rows_per_tile):
        return None
    return _Layout((ny, nx), rows_per_tile, np.dtype(kind), coding == "GZIP_2", *place)


def _unpacked(
    heap: memoryview, starts: NDArray[np.int64], lengths: NDArray[np.int64], layout: _Layout
) -> NDArray[Any] | None:
    kind = layout.kind.newbyteorder("=")
    places = list(zip(starts.tolist(), lengths.tolist(), strict=True))
    if layout.is_sorted and kind == np.int32:
        # Masks have few planes: half of their bytes are 0, and need no room.
        small = np.empty(layout.shape, np.uint16)
        if _filled(small, 4, heap, places, layout):
            return small
    image = np.empty(layout.shape, kind)
    return image if _filled(image, kind.itemsize, heap, places, layout) else None


def _filled(
    image: NDArray[Any],
    size: int,
    heap: memoryview,
    places: list[tuple[int, int]],
    layout: _Layout,
) -> bool:
    """Whether all tiles are sound, and their values of `size` bytes fit into the image's kind."""
    import cramjam

    bare = image.reshape(-1).view(f"u{image.itemsize}")
    step = layout.shape[1] * layout.rows_per_tile
    # One byte more than a tile has: what unpacks to more is noticed, and goes no further.
    raw = np.empty(step * size + 1, np.uint8)
    for k, (start, length) in enumerate(places):
        out = bare[k * step : (k + 1) * step]
        try:
            n_bytes = cramjam.gzip.decompress_into(heap[start : start + length], raw.data)
        except (cramjam.DecompressionError, ValueError):
            return False
        if n_bytes != len(out) * size:
            return False
        if not layout.is_sorted:
            out[:] = raw[:n_bytes].view(f">u{size}")
        elif not _joined(raw[:n_bytes].reshape(size, -1), out):
            return False
    return True


def _joined(by_weight: NDArray[np.uint8], out: NDArray[Any]) -> bool:
    """Values of their bytes, the heaviest first, if they fit; of most all but the last are 0."""
    out[:] = by_weight[-1]
    nothing = bytes(len(out))
    for k, part in enumerate(by_weight[:-1]):
        # Texts are compared in no time at all, which `any` is not.
        if part.tobytes() != nothing:
            weight = len(by_weight) - 1 - k
            if weight >= out.itemsize:
                return False
            out |= part.astype(out.dtype) << out.dtype.type(8 * weight)
    return True
