"""Two-dimensional images out of FITS files, damaged ones refused with a reason.

Sizes are checked before anything is allocated: a header may promise 100 GB. Which HDUs of a file
are images to search, and which are masks, errors and weights that belong to them, is told by
their names.
"""

from __future__ import annotations

import errno
import functools
import io
import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from streaks.disk import GZIP_MAGIC, Limits, open_regular, read_bytes
from streaks.errors import AccessError, ReadError, StreaksError
from streaks.readers.colour import chosen_plane
from streaks.readers.hdus import Hdu, described, image_axes, label_of, list_hdus, searched
from streaks.readers.profile import FITS_SUFFIXES, split_choice
from streaks.readers.structure import check_structure

__all__ = ["FitsFile", "FitsImage", "image_choices", "open_images", "read_image"]

#: More pixels than any detector or mosaic tile searched in one piece: 4 GB as float32.
_MAX_PIXELS = 2**30
#: A gzipped file that unpacks to more is to be unpacked on disk, not in memory.
_UNPACKED = Limits(max_bytes=2**30)
#: No tile compression does better: gzip's limit is 1032, Rice's about 230.
_MAX_RATIO = 2048
_BLOCK = 2880
#: Errors of a disk, a network or a permission, rather than of what a file holds.
_PASSING = frozenset({
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE,
    errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH,
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class FitsImage:
    """One image of a file.

    Parameters
    ----------
    data : (ny, nx)
        As stored and scaled; it may be mapped from the file, and of foreign byte order.
    header
        Its own cards, then those of the primary header that it lacks.
    unusable : (ny, nx) bool or None
        True where BLANK of unsigned integers says so, or a picture is transparent.
    axes
        Numbers of the header's axes that are x and y.
    note
        What was left out of a file; empty else.
    """

    data: NDArray[Any]
    header: fits.Header
    unusable: NDArray[np.bool_] | None = None
    axes: tuple[int, int] = (1, 2)
    note: str = ""


@dataclass(frozen=True, eq=False)
class FitsFile:
    """An open file.

    Parameters
    ----------
    path
        Its name, for messages.
    hdus
        As astropy has them, not yet read.
    size
        Bytes, unpacked.
    unpacked
        These bytes, where the file is gzipped; else empty.
    _known
        What `listing` found, once it was asked.
    """

    path: Path
    hdus: fits.HDUList
    size: int
    unpacked: bytes = b""
    _known: list[Hdu] = field(default_factory=list)

    def listing(self) -> Sequence[Hdu]:
        """What each HDU is.

        Returns
        -------
        sequence of Hdu
            In the order of the file.
        """
        if not self._known:
            found = list(list_hdus(self.hdus))
            self._known.extend(replace(hdu, label=label_of(hdu, found)) for hdu in found)
        return self._known

    def find(self, choice: str = "", *, extension: str = "") -> Hdu:
        """The image that a user chose, or the first one to search.

        Parameters
        ----------
        choice
            ``SCI,2``, ``SCI``, or an index from 0; empty for the first.
        extension
            Name that it must have, where nothing was chosen.

        Returns
        -------
        Hdu

        Raises
        ------
        ReadError
            If there is no such image.
        """
        if choice:
            return self._chosen(choice)
        listing = self.listing()
        if extension:
            named = [hdu for hdu in listing if hdu.name == extension and len(hdu.shape) == 2]
            if named:
                return named[0]
        else:
            found = searched(listing)[0]
            if found:
                return found[0]
        raise self._none(extension)

    def first(self, extension: str = "") -> Hdu | None:
        """The first plain image, whatever it is called; those behind it are not looked at.

        Parameters
        ----------
        extension
            Name that it must have, if any.

        Returns
        -------
        Hdu or None
            Its `label` is its index.
        """
        found = list_hdus(self.hdus)
        plain = (hdu for hdu in found if hdu.kind and len(hdu.shape) == 2)
        return next((hdu for hdu in plain if extension in ("", hdu.name)), None)

    def _none(self, extension: str) -> ReadError:
        last = self.hdus[-1]
        if _ends_beyond(last, self.size) or self.size % _BLOCK:
            return ReadError(
                f"{self.path} is cut short at {self.size} bytes, before any image; fetch it again"
            )
        wanted = f"2-D image named {extension}" if extension else "2-D image"
        kinds = {hdu.index: hdu for hdu in self.listing()}
        seen = ", ".join(f"{i} {described(hdu, kinds[i])}" for i, hdu in enumerate(self.hdus))
        aside = any(hdu.kind and len(hdu.shape) == 2 for hdu in kinds.values())
        how = "; --hdu takes one of them all the same" if aside and not extension else ""
        wanted = f"{wanted} to search" if how else wanted
        return ReadError(f"{self.path} holds no {wanted}; its HDUs are {seen}{how}")

    def _chosen(self, choice: str) -> Hdu:
        images = [hdu for hdu in self.listing() if hdu.kind]
        name, _, version = choice.upper().partition(",")
        for hdu in images:
            if choice.isdigit() and hdu.index == int(choice):
                return hdu
            if hdu.label.upper() == choice.upper():
                return hdu
        for hdu in images:
            if hdu.name.upper() == name.strip() and version.strip() in ("", str(hdu.version)):
                return hdu
        labels = ", ".join(hdu.label for hdu in images) or "none"
        raise ReadError(f"{self.path} has no image {choice}; it has {labels}")

    def read(self, hdu: Hdu, *, plane: str = "", max_pixels: int = _MAX_PIXELS) -> FitsImage:
        """The pixels of one image, checked before they are allocated.

        Parameters
        ----------
        hdu
            As `find`, `first` or `listing` gives it.
        plane
            Of a cube: ``luminance``, or the number of a plane from 1.
        max_pixels
            A larger image is refused.

        Returns
        -------
        FitsImage

        Raises
        ------
        ReadError
            If it is cut short, too large, or a cube of which no plane was chosen.
        """
        stored = self.hdus[hdu.index]
        _check_size(stored, self.path, self.size, max_pixels)
        header = _joined_header(self.hdus, hdu.index)
        blank = _blank_value(stored)
        data = _data_of(stored, self.path, self.size, self.unpacked)
        data = data.reshape(hdu.shape)
        unusable = None
        if blank is not None and data.dtype.kind in "iu":
            unusable = np.asarray(data == blank)
        if data.ndim == 3:
            what = f"{self.path}[{hdu.label}]" if len(self.hdus) > 1 else str(self.path)
            last = data.shape[-1] <= 4 < data.shape[0]
            data, unusable = chosen_plane(data, plane, what), None
            axes = image_axes(stored.shape, drop_last=last)
        elif data.ndim != 2:
            raise ReadError(f"{self.path}[{hdu.label}] has {data.ndim} axes; expected 2")
        else:
            axes = hdu.axes
        return FitsImage(data, header, unusable, axes)

    def beside(self, hdu: Hdu) -> dict[str, Hdu]:
        """The mask, variance, error and weight that belong to an image of the file.

        Parameters
        ----------
        hdu
            The image.

        Returns
        -------
        dict
            By ``mask``, ``variance``, ``error`` or ``weight``; only those of the image's shape.
        """
        listing = self.listing()
        chips = [other for other in listing if other.kind == hdu.kind and other.name == hdu.name]
        by_version = len({chip.version for chip in chips}) == len(chips) > 1
        place = [chip.index for chip in chips].index(hdu.index) if hdu in chips else 0
        found = {}
        for kind in ("mask", "variance", "error", "weight"):
            there = [other for other in listing if other.kind == kind]
            if by_version:
                there = [other for other in there if other.version == hdu.version]
            elif len(chips) > 1:
                there = there[place : place + 1]
            fitting = [other for other in there if other.shape == hdu.shape]
            if fitting:
                found[kind] = fitting[0]
        return found


@contextmanager
def open_images(path: str | os.PathLike[str]) -> Iterator[FitsFile]:
    """A FITS file, open to be read; any trouble with it as a `ReadError`.

    Parameters
    ----------
    path
        Plain, gzipped or tile-compressed.

    Yields
    ------
    FitsFile
        Closed afterwards.

    Raises
    ------
    ReadError
        If the file is missing, empty, cut short, or no FITS file.
    """
    path = Path(path)
    with _opened(path) as (hdus, size, unpacked):
        yield FitsFile(path, hdus, size, unpacked)


def read_image(
    path: str | os.PathLike[str], extension: str = "", *, max_pixels: int = _MAX_PIXELS
) -> FitsImage:
    """The first 2-D image of a FITS file, or that of a named extension.

    Parameters
    ----------
    path
        The file; ``FILE[SCI,2]`` names an image in it.
    extension
        Name that the image must have.
    max_pixels
        A larger image is refused.

    Returns
    -------
    FitsImage

    Raises
    ------
    ReadError
        If the file is missing, empty, cut short, no FITS file, or holds no such image.
    """
    file, choice, plane = split_choice(path)
    with open_images(file) as opened:
        hdu = None if choice else opened.first(extension)
        hdu = hdu or opened.find(choice, extension=extension)
        return opened.read(hdu, plane=plane)


@functools.lru_cache(maxsize=4096)
def _choices(path: str, _size: int, _time: int) -> tuple[str, ...]:
    try:
        with open_images(path) as opened:
            images = searched(opened.listing())[0]
    except ReadError:
        return ()
    return tuple(hdu.label for hdu in images) if len(images) > 1 else ()


def image_choices(path: Path) -> tuple[str, ...]:
    """Labels of the images to search in a file of several; nothing for a file of one.

    What cannot be read has none: reading it says why.

    Parameters
    ----------
    path
        A FITS file; kept by its size and time, for a folder that is looked at again and again.

    Returns
    -------
    tuple of str
        As a user writes them in ``FILE[LABEL]``.
    """
    if not path.name.lower().endswith(FITS_SUFFIXES):
        return ()
    try:
        status = path.stat()
        if _is_single(path, status.st_size):
            return ()
    except (OSError, ValueError, ReadError):
        return ()
    return _choices(str(path), status.st_size, status.st_mtime_ns)


def _is_single(path: Path, size: int) -> bool:
    """Whether a plain file has room for one HDU only, by the sizes in its first header."""
    with open_regular(path) as file:
        start = file.read(16 * _BLOCK)
    end = re.search(rb"(?:^|[ /])END {77}", start[: 16 * _BLOCK])
    if not start.startswith(b"SIMPLE") or end is None:
        return False
    cards = [start[i : i + 80] for i in range(0, end.end(), 80)]
    words = {card[:8].strip(): card[10:30].strip() for card in cards}
    try:
        axes = [int(words[b"NAXIS%d" % (i + 1)]) for i in range(int(words[b"NAXIS"]))]
        n_bytes = math.prod(axes) * abs(int(words[b"BITPIX"])) // 8 if axes else 0
    except (KeyError, ValueError):
        return False
    header = -(-end.end() // _BLOCK) * _BLOCK
    return bool(axes) and size <= header + -(-n_bytes // _BLOCK) * _BLOCK


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
        if isinstance(error, OSError) and error.errno in _PASSING:
            raise AccessError(f"{path} cannot be read: {error.strerror}") from None
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
        from streaks.readers.gzip_tiles import read_gzip_tiles
        from streaks.readers.rice import read_rice_floats

        with io.BytesIO(unpacked) if unpacked else path.open("rb") as file:
            check_compressed(file, info["hdrLoc"], info["datLoc"], size, str(path))
            where = info["hdrLoc"], info["datLoc"], size
            data = read_rice_floats(file, *where)
            data = read_gzip_tiles(file, *where) if data is None else data
        if data is not None:
            return data
    return np.asanyarray(hdu.data)


def _blank_value(hdu: Any) -> float | None:
    """The physical value of pixels without data, for integers that astropy leaves as numbers."""
    words = hdu.header
    stored = words.get("BLANK")
    if stored is None:
        stored = getattr(getattr(hdu, "_bintable", None), "header", {}).get("ZBLANK")
    if stored is None or isinstance(stored, bool) or int(words["BITPIX"]) < 0:
        return None
    try:
        return float(stored) * float(words.get("BSCALE", 1)) + float(words.get("BZERO", 0))
    except (TypeError, ValueError):
        return None


def _check_size(hdu: Any, path: Path, size: int, max_pixels: int) -> None:
    """Refuse what the file cannot hold, before it is allocated."""
    promised = math.prod(hdu.shape) * abs(int(hdu.header["BITPIX"])) // 8
    text = (
        f"{path}: its header promises {' x '.join(map(str, hdu.shape[::-1]))} pixels "
        f"({promised:.3g} bytes)"
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
