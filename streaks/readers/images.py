"""Two-dimensional images out of FITS files, damaged ones refused with a reason.

Sizes are checked before anything is allocated: a header may promise 100 GB.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from streaks.disk import GZIP_MAGIC, Limits, open_regular, read_bytes
from streaks.errors import ReadError, StreaksError
from streaks.readers.structure import check_structure

__all__ = ["FitsImage", "has_extensions", "read_image"]

#: More pixels than any detector or mosaic tile searched in one piece: 4 GB as float32.
_MAX_PIXELS = 2**30
#: A gzipped file that unpacks to more is to be unpacked on disk, not in memory.
_UNPACKED = Limits(max_bytes=2**30)
#: No tile compression does better: gzip's limit is 1032, Rice's about 230.
_MAX_RATIO = 2048
_BLOCK = 2880


@dataclass(frozen=True, eq=False)
class FitsImage:
    """One image of a file.

    Parameters
    ----------
    data : (ny, nx)
        As stored and scaled; it may be mapped from the file, and of foreign byte order.
    header
        Its own cards, then those of the primary header that it lacks.
    """

    data: NDArray[Any]
    header: fits.Header


def read_image(
    path: str | os.PathLike[str], extension: str = "", *, max_pixels: int = _MAX_PIXELS
) -> FitsImage:
    """The first 2-D image of a FITS file, or that of a named extension.

    Parameters
    ----------
    path
        Plain, gzipped or tile-compressed.
    extension
        Its name; empty for the first image.
    max_pixels
        Larger images are refused before anything is allocated.

    Returns
    -------
    FitsImage

    Raises
    ------
    ReadError
        If the file is missing, empty, cut short, no FITS file, or holds no such image.
    """
    path = Path(path)
    with _opened(path) as (hdus, size, unpacked):
        index = _find_image(hdus, path, extension, size)
        _check_size(hdus[index], path, size, max_pixels)
        return FitsImage(_data_of(hdus[index], path, size, unpacked), _joined_header(hdus, index))


def has_extensions(path: str | os.PathLike[str], names: tuple[str, ...]) -> bool:
    """Whether a FITS file has extensions of all these names.

    Raises
    ------
    ReadError
        If the file cannot be read.
    """
    with _opened(Path(path)) as (hdus, _, _):
        return set(names) <= {hdu.name for hdu in hdus}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[fits.HDUList, int, bytes]]:
    """The file's HDUs, not yet read, its size in bytes, and its bytes where it was packed.

    Any trouble is a `ReadError`.
    """
    try:
        with warnings.catch_warnings():
            # What astropy only warns of (odd cards, a short file) is harmless or found below.
            warnings.simplefilter("ignore")
            with (
                _stream(path) as (stream, size, unpacked),
                fits.open(stream, lazy_load_hdus=True) as hdus,
            ):
                yield hdus, size, unpacked
    except StreaksError:
        raise
    except MemoryError:
        raise ReadError(f"{path} does not fit in memory; cut it into tiles") from None
    except Exception as error:
        # Damaged files make astropy raise nearly anything (OSError, KeyError, TypeError, ...).
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ReadError(f"{path} is damaged ({reason}); fetch it again") from None


@contextmanager
def _stream(path: Path) -> Iterator[tuple[str | IO[bytes], int, bytes]]:
    """What astropy shall open: the path itself, or unpacked bytes of a gzipped file."""
    size, magic = _size_and_magic(path)
    if not magic.startswith(GZIP_MAGIC):
        _check_magic(path, magic)
        with path.open("rb") as file:
            check_structure(file, str(path))
        yield str(path), size, b""
        return
    unpacked = read_bytes(path, _UNPACKED)
    if unpacked.startswith(GZIP_MAGIC):
        raise ReadError(f"{path} is gzip inside gzip; unpack it once")
    _check_magic(path, unpacked[:16])
    check_structure(io.BytesIO(unpacked), str(path))
    yield io.BytesIO(unpacked), len(unpacked), unpacked


def _size_and_magic(path: Path) -> tuple[int, bytes]:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        magic = file.read(16)
    if size == 0:
        raise ReadError(f"{path} is empty (0 bytes); fetch it again")
    return size, magic


def _check_magic(path: Path, magic: bytes) -> None:
    # Some alert stamps and simulators write "SIMPLE" without the blanks the standard wants.
    if not magic.startswith(b"SIMPLE"):
        raise ReadError(f"{path} is not a FITS file: it begins with {magic!r}, expected 'SIMPLE'")


def _data_of(hdu: Any, path: Path, size: int, unpacked: bytes) -> NDArray[Any]:
    """An HDU's pixels: by the short way where its compression is the common one."""
    info = hdu.fileinfo()
    if isinstance(hdu, fits.CompImageHDU) and info:
        from streaks.readers.compressed import check_compressed
        from streaks.readers.rice import read_rice_floats

        with io.BytesIO(unpacked) if unpacked else path.open("rb") as file:
            check_compressed(file, info["hdrLoc"], info["datLoc"], size, str(path))
            data = read_rice_floats(file, info["hdrLoc"], info["datLoc"], size)
        if data is not None:
            return data
    return np.asanyarray(hdu.data)


def _find_image(hdus: fits.HDUList, path: Path, extension: str, size: int) -> int:
    seen = []
    for index, hdu in enumerate(hdus):
        if hdu.is_image and len(hdu.shape) == 2 and extension in ("", hdu.name):
            return index
        seen.append(f"{index} {_described(hdu)}")
    if _ends_beyond(hdu, size) or size % _BLOCK:
        raise ReadError(f"{path} is cut short at {size} bytes, before any image; fetch it again")
    wanted = f"2-D image named {extension}" if extension else "2-D image"
    raise ReadError(f"{path} holds no {wanted}; its HDUs are {', '.join(seen)}")


def _described(hdu: Any) -> str:
    if not hdu.is_image:
        return "a table"
    return f"{len(hdu.shape)}-D" if hdu.shape else "without data"


def _check_size(hdu: Any, path: Path, size: int, max_pixels: int) -> None:
    """Refuse what the file cannot hold, before it is allocated."""
    promised = math.prod(hdu.shape) * abs(int(hdu.header["BITPIX"])) // 8
    text = (
        f"{path}: its header promises {hdu.shape[1]} x {hdu.shape[0]} pixels ({promised:.3g} bytes)"
    )
    compressed = isinstance(hdu, fits.CompImageHDU)
    if _ends_beyond(hdu, size) or (compressed and promised > _MAX_RATIO * size):
        raise ReadError(f"{text}, the file has {size} bytes: it is cut short or damaged")
    if math.prod(hdu.shape) > max_pixels:
        raise ReadError(f"{text}; the most that is read in one piece is {max_pixels} pixels")


def _ends_beyond(hdu: Any, size: int) -> bool:
    info = hdu.fileinfo()
    # The padding of the last block is often left out, and nobody minds.
    return bool(info and info["datLoc"] + info["datSpan"] - (_BLOCK - 1) > size)


def _joined_header(hdus: fits.HDUList, index: int) -> fits.Header:
    header = hdus[index].header.copy()
    if index > 0:
        with_primary = fits.Header(hdus[0].header, copy=True)
        header.extend(with_primary, strip=True, unique=True)
    return header
