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
from streaks.readers.profile import FITS_SUFFIXES, split_choice
from streaks.readers.structure import check_structure

__all__ = [
    "FitsFile",
    "FitsImage",
    "Hdu",
    "image_choices",
    "is_picture",
    "open_images",
    "read_image",
    "read_picture_image",
]

#: More pixels than any detector or mosaic tile searched in one piece: 4 GB as float32.
_MAX_PIXELS = 2**30
#: A picture with more is no photograph of the sky, and is not decoded.
_MAX_PICTURE_PIXELS = 2**27
#: A gzipped file that unpacks to more is to be unpacked on disk, not in memory.
_UNPACKED = Limits(max_bytes=2**30)
#: No tile compression does better: gzip's limit is 1032, Rice's about 230.
_MAX_RATIO = 2048
_PICTURE_FORMATS = ("PNG", "JPEG", "TIFF")
_PICTURE_MAGICS = (b"\x89PNG", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
_BLOCK = 2880
#: Errors of a disk, a network or a permission, rather than of what a file holds.
_PASSING = frozenset({
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE,
    errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH,
})  # fmt: skip
#: What an HDU of a name is, first match wins. A number at its end does not matter.
_KINDS = (
    ("mask", r"DQ|DQF|MASK|BPM|BADPIX\w*|FLAGS?|MSK\w*|DATA_?QUALITY|QUALITY|PIXMASK"),
    ("variance", r"VAR|VARIANCE"),
    ("error", r"ERR|ERRORS?|UNCERT\w*|UNC|SIGMA|RMS|STD|STDDEV|NOISE"),
    ("weight", r"WHT|WGT|WT|WEIGHTS?|IVM|IVAR|INVVAR"),
    (
        "other",
        r"PSF\w*|BKG|BACKGROUND|BACK|SKY|AREA|EXPMAP|EXPOSURE|CTX|CON|SAMP|TIME|SEG\w*|REF|"
        r"REFERENCE|TEMPLATE|WCS\w*|D2IMARR|KERNEL|THUMB\w*|PREVIEW|COV\w*|VAR_\w+|"
        r"DETECTION|OVERSCAN|FLAT|DARK|BIAS",
    ),
    ("science", r"SCI|SCIENCE|IMAGE|DATA|FLUX"),
)
#: What astropy's NDData writes with an uncertainty, in UTYPE.
_UTYPES = {"STDDEV": "error", "VARIANCE": "variance", "INVERSEVARIANCE": "weight"}
#: An unnamed image smaller than the largest by this is a preview.
_PREVIEW = 0.25


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


@dataclass(frozen=True)
class Hdu:
    """What one HDU of a file is.

    Parameters
    ----------
    index
        In the file, the primary one is 0.
    label
        How a user names it: ``SCI,2``, ``CCD4``, or its index.
    name
        EXTNAME; empty or ``PRIMARY`` where it has none.
    kind
        ``science``, ``mask``, ``variance``, ``error``, ``weight``, ``other``; ``image`` for one
        whose name says nothing; ``cube`` for one of more than two axes; empty for no image.
    shape
        Without axes of one pixel.
    axes
        Numbers of the header's axes of the last two of these: x, y.
    version
        EXTVER; 1 where it has none.
    whole
        Whether its pixels are plain integers, as masks' are.
    """

    index: int
    label: str
    name: str
    kind: str
    shape: tuple[int, ...] = ()
    axes: tuple[int, int] = (1, 2)
    version: int = 1
    whole: bool = False


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
            found = list(_listing(self.hdus))
            self._known.extend(replace(hdu, label=_label(hdu, found)) for hdu in found)
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
        found = _listing(self.hdus)
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
        seen = ", ".join(f"{i} {_described(hdu, kinds[i])}" for i, hdu in enumerate(self.hdus))
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
            axes = _axes(stored.shape, drop_last=last)
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


def searched(listing: Sequence[Hdu]) -> tuple[list[Hdu], list[Hdu]]:
    """The images of a file that are searched, and those that are left out and should be said.

    Images named SCI, IMAGE and the like; without those, all whose names say nothing. Cubes only
    where there is no plain image.

    Parameters
    ----------
    listing
        What each HDU of the file is.
    """
    named = [hdu for hdu in listing if hdu.kind == "science"]
    if named:
        return named, [hdu for hdu in listing if hdu.kind == "image"]
    plain = [hdu for hdu in listing if hdu.kind == "image"]
    if not plain:
        return [hdu for hdu in listing if hdu.kind == "cube"], []
    largest = max(math.prod(hdu.shape) for hdu in plain)
    whole = all(hdu.whole for hdu in plain)
    good = [
        hdu for hdu in plain
        if math.prod(hdu.shape) >= _PREVIEW * largest and (whole or not hdu.whole)
    ]  # fmt: skip
    return good, [hdu for hdu in plain if hdu not in good]


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


def is_picture(path: Path) -> bool:
    """Whether a file is a PNG, JPEG or TIFF, by its first bytes.

    Parameters
    ----------
    path
        Of any file.

    Returns
    -------
    bool
        False also for one that cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(4).startswith(_PICTURE_MAGICS)
    except (OSError, ReadError):
        return False


def read_picture_image(path: Path, plane: str = "") -> FitsImage:
    """A grey picture of the sky, its last row first: y grows upwards.

    Parameters
    ----------
    path
        PNG, JPEG or TIFF.
    plane
        For a colour picture: ``luminance``, or the number of a plane from 1.

    Returns
    -------
    FitsImage
        Grey levels; its header has only the size.

    Raises
    ------
    ReadError
        If it is damaged, too large, or in colour and no plane was chosen.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size: that is checked below
            with Image.open(path, formats=_PICTURE_FORMATS) as picture:
                if math.prod(picture.size) > _MAX_PICTURE_PIXELS:
                    raise ReadError(
                        f"{path} is {picture.size[0]} x {picture.size[1]} px: too large a picture; "
                        "store it as FITS"
                    )
                note = _other_pages(picture)
                transparent = _transparent(picture)
                data = _grey_values(picture, path, plane)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ReadError(f"{path} cannot be read as a picture: {error}") from None
    unusable = None if transparent is None else np.ascontiguousarray(transparent[::-1])
    header = fits.Header([("NAXIS", 2), ("NAXIS1", data.shape[1]), ("NAXIS2", data.shape[0])])
    return FitsImage(np.ascontiguousarray(data[::-1]), header, unusable, note=note)


def _other_pages(picture: Any) -> str:
    """What to say of a picture of several pages; they are not counted, which may take hours."""
    try:
        picture.seek(1)
    except (EOFError, OSError, ValueError, SyntaxError):
        return ""  # no other, or a damaged one
    finally:
        picture.seek(0)
    return "the first of several pages is searched; store the others as files"


def _transparent(picture: Any) -> NDArray[np.bool_] | None:
    if "A" in picture.getbands() or "transparency" in picture.info:
        return np.asarray(np.asarray(picture.convert("RGBA"))[..., 3] == 0)
    return None


def _grey_values(picture: Any, path: Path, plane: str) -> NDArray[Any]:
    if picture.mode[0] in "IF" or picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L") if picture.mode in ("1", "LA") else picture)
    colours = np.asarray(picture.convert("RGB"))
    if not plane and (colours == colours[..., :1]).all():
        return colours[..., 0]
    if not plane:
        raise ReadError(
            f"{path} is a colour picture: search its light with --plane luminance; a cutout is "
            f"named with: streaks classify {path.name}"
        )
    return chosen_plane(colours, plane, str(path))


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


def _listing(hdus: fits.HDUList) -> Iterator[Hdu]:
    """What each HDU is, but for its label; one by one, as they are read from the file."""
    for index, hdu in enumerate(hdus):
        if not hdu.is_image or not hdu.shape or 0 in hdu.shape:
            yield Hdu(index, str(index), hdu.name, "")
            continue
        shape = tuple(int(n) for n in hdu.shape if n > 1)
        if len(shape) < 2:
            # One row or column of pixels is no image, but is one of two axes all the same.
            shape = tuple(int(n) for n in hdu.shape) if len(hdu.shape) == 2 else shape
        kind = "" if len(shape) < 2 else _kind(hdu, len(shape))
        words = hdu.header
        scaled = words.get("BZERO", 0) not in (0, None) or words.get("BSCALE", 1) not in (1, None)
        whole = int(words["BITPIX"]) > 0 and not scaled
        axes = _axes(hdu.shape, drop_last=False) if len(shape) >= 2 else (1, 2)
        version = int(getattr(hdu, "ver", 1) or 1)
        yield Hdu(index, str(index), hdu.name, kind, shape, axes, version, whole)


def _kind(hdu: Any, n_axes: int) -> str:
    kind = _named_kind(hdu)
    if n_axes > 2:
        return "cube" if kind in ("science", "image") else "other"
    return kind


def _named_kind(hdu: Any) -> str:
    utype = str(hdu.header.get("UTYPE", "")).upper().removesuffix("UNCERTAINTY")
    if utype in _UTYPES and hdu.name.startswith("UNC"):
        return _UTYPES[utype]
    name = re.sub(r"[_.-]?\d+$", "", hdu.name.upper())
    return next((kind for kind, names in _KINDS if re.fullmatch(names, name)), "image")


def _label(hdu: Hdu, all_hdus: Sequence[Hdu]) -> str:
    if not hdu.name or hdu.name in ("PRIMARY", "COMPRESSED_IMAGE"):
        return str(hdu.index)
    twins = [other for other in all_hdus if other.name == hdu.name]
    if len(twins) == 1:
        return hdu.name
    if len({twin.version for twin in twins}) == len(twins):
        return f"{hdu.name},{hdu.version}"
    return f"{hdu.name},{[twin.index for twin in twins].index(hdu.index) + 1}"


def _axes(shape: Sequence[int], *, drop_last: bool) -> tuple[int, int]:
    """Numbers of the header's axes that are x and y once axes of one pixel are dropped."""
    n = len(shape)
    # numpy counts axes from the slowest, FITS from the fastest.
    kept = [n - i for i, length in enumerate(shape) if length > 1] or [2, 1]
    if len(kept) < 2:
        return (1, 2)
    if drop_last:
        kept = kept[:-1]
    return (kept[-1], kept[-2])


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


def _described(hdu: Any, known: Hdu) -> str:
    if not hdu.is_image:
        return "a table"
    if not hdu.shape:
        return "without data"
    kind = "" if known.kind in ("", "image", "science") else f" ({known.name or known.kind})"
    return f"{len(hdu.shape)}-D{kind}"


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
