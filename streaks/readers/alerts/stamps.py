"""Stamps of packets: small FITS images, gzipped or plain, unpacked within limits.

A stream has thousands of them a second. Astropy takes a millisecond to open one; their headers
are plain and are read here, in a fiftieth of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import GZIP_MAGIC, Limits, unpack_gzip
from streaks.errors import ReadError
from streaks.readers.psf_images import PSF_EXTENSIONS

__all__ = ["Planes", "StampBudget", "image_planes"]

#: Images of a stamp's file by the names of their extensions; the first one's is empty.
Planes = dict[str, NDArray[Any]]

#: All stamps of a file together: noise hardly shrinks, and a stamp at a chip's edge is small.
_STAMP_LIMITS = Limits(max_bytes=1 << 36, max_ratio=50.0)
#: One stamp: 512 px of 64 bits in three planes are 6 MB.
_ONE_STAMP = Limits(max_bytes=1 << 23)
_MAX_STAMP_SIDE_PX = 1024
#: Three planes of ZTF's 63 px, or of Rubin's: unpacked in one call.
_USUAL_BYTES = 1 << 16
#: Image, variance and PSF; some have a mask too.
_MAX_PLANES = 6
_BLOCK, _CARD = 2880, 80
#: 36 cards each; a stamp's header has one or two.
_MAX_HEADER_BLOCKS = 40
_KINDS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_WORDS = frozenset(
    (b"BITPIX  ", b"NAXIS   ", b"NAXIS1  ", b"NAXIS2  ", b"PCOUNT  ", b"GCOUNT  ", b"EXTNAME ",
     b"UTYPE   ", b"XTENSION", b"BSCALE  ", b"BZERO   ", b"BLANK   ",
     b"PC1_1   ", b"PC1_2   ", b"PC2_1   ", b"PC2_2   ", b"CDELT1  ", b"CDELT2  ",
     b"CD1_1   ", b"CD1_2   ", b"CD2_1   ", b"CD2_2   ", b"CRVAL1  ")
)  # fmt: skip


class StampBudget:
    """Decodes the stamps of one file, as long as they unpack to no more than stamps do."""

    def __init__(self) -> None:
        self._packed = self._unpacked = 0

    def planes(self, cutout: Any) -> Planes:
        """The images of a stamp: the first under an empty name, ``variance`` and ``psf``.

        Parameters
        ----------
        cutout
            Of the packet: bytes, or a mapping with ``stampData``.

        Returns
        -------
        dict
            Empty where there is no image (or a JPEG, as in ZTF's first packets).

        Raises
        ------
        ReadError
            Where all stamps of the file together unpack to too much.
        """
        packed = cutout.get("stampData") if isinstance(cutout, dict) else cutout
        if not isinstance(packed, bytes):
            return {}
        self._packed += len(packed)
        try:
            content = _unpacked(packed) if packed.startswith(GZIP_MAGIC) else packed
        except ReadError:
            return {}
        self._unpacked += len(content)
        _STAMP_LIMITS.check(self._unpacked, self._packed, "its stamps")
        return image_planes(content)


def _unpacked(packed: bytes) -> bytes:
    """What a gzipped stamp holds, in one call where it is of the usual size."""
    import cramjam

    room = bytearray(_USUAL_BYTES)
    try:
        n_bytes = cramjam.gzip.decompress_into(packed, room)
    except (cramjam.DecompressionError, ValueError):
        # Larger, damaged, or with something behind it: the careful way tells which.
        return unpack_gzip(packed, _ONE_STAMP, name="a stamp")
    _ONE_STAMP.check(n_bytes, len(packed), "a stamp")
    return bytes(room[:n_bytes])


def image_planes(content: bytes) -> Planes:
    """The images of a small FITS file.

    Parameters
    ----------
    content
        Of the file. ZTF's have a SIMPLE card of a form of its own.

    Returns
    -------
    dict
        The first image (float32) under an empty name, ``variance`` (float32), ``psf``, and
        ``sky``, (2, 2): degrees east and north a pixel of x and y, where its header has a WCS.
        Empty where the first is no image of a stamp's size, or damaged. Others that are damaged
        are left out.
    """
    if not content.startswith(b"SIMPLE"):
        return {}
    found: Planes = {}
    at = 0
    for number in range(_MAX_PLANES):
        try:
            cards, at = _header(content, at)
            image, at = _image(content, at, cards)
        except (ValueError, KeyError):
            break
        if number == 0:
            if image is None:
                break
            found[""] = image.astype(np.float32)
            sky = _sky(cards)
            if sky is not None:
                found["sky"] = sky
        elif image is not None:
            _keep(found, image, cards)
        if at >= len(content):
            break
    return found


def _keep(found: Planes, image: NDArray[Any], cards: dict[bytes, bytes]) -> None:
    name = _text(cards, b"EXTNAME ")
    if name in PSF_EXTENSIONS and image.ndim == 2:
        found["psf"] = image
    elif name in ("UNCERT", "VARIANCE", "VAR"):
        is_sigma = _text(cards, b"UTYPE   ").upper().startswith("STDDEV")
        with np.errstate(over="ignore", invalid="ignore"):
            values = image.astype(np.float32)
            found["variance"] = values * values if is_sigma else values


def _sky(cards: dict[bytes, bytes]) -> NDArray[np.float64] | None:
    """Degrees east (along RA, times cos Dec) and north a pixel of x and y; None without a WCS."""
    if b"CRVAL1  " not in cards:
        return None
    try:
        kind, steps = b"CD", (1.0, 1.0)
        if b"CD1_1   " not in cards:
            kind = b"PC"
            steps = _real(cards, b"CDELT1  ", 1.0), _real(cards, b"CDELT2  ", 1.0)
        matrix = np.array([
            [_real(cards, b"%s%d_%d   " % (kind, i, j), float(i == j)) for j in (1, 2)]
            for i in (1, 2)
        ])  # fmt: skip
    except ValueError:
        return None
    found: NDArray[np.float64] = matrix * np.array(steps)[:, None]
    # No stamp has pixels of a quarter degree; a matrix of ones is a header without a scale.
    usable = np.isfinite(found).all() and 0 < abs(np.linalg.det(found)) < 1.0 / 16.0
    return found if usable else None


def _header(content: bytes, start: int) -> tuple[dict[bytes, bytes], int]:
    """The cards that tell of size and kind, and where the data begin."""
    cards: dict[bytes, bytes] = {}
    stop = min(len(content), start + _MAX_HEADER_BLOCKS * _BLOCK)
    for at in range(start, stop, _CARD):
        word = content[at : at + 8]
        if word in _WORDS:
            cards.setdefault(word, content[at + 8 : at + _CARD].lstrip(b"= "))
        elif word.rstrip() == b"END":
            return cards, start + -(-(at + _CARD - start) // _BLOCK) * _BLOCK
    raise ValueError("the header does not end")


def _image(content: bytes, at: int, cards: dict[bytes, bytes]) -> tuple[NDArray[Any] | None, int]:
    """The image whose data begin there, and where the next header does; None for no 2-D image."""
    kind = _KINDS[_number(cards, b"BITPIX  ")]
    n_axes = _number(cards, b"NAXIS   ")
    if n_axes == 0:
        return None, at
    if n_axes != 2 or not _text(cards, b"XTENSION", "IMAGE").startswith("IMAGE"):
        raise ValueError("no image of two axes")
    nx, ny = _number(cards, b"NAXIS1  "), _number(cards, b"NAXIS2  ")
    if not 0 < min(nx, ny) <= max(nx, ny) <= _MAX_STAMP_SIDE_PX:
        raise ValueError("no stamp's size")
    dtype = np.dtype(kind)
    n_bytes = nx * ny * dtype.itemsize
    if at + n_bytes > len(content) or _number(cards, b"PCOUNT  ", 0) != 0:
        raise ValueError("cut short")
    image: NDArray[Any] = np.frombuffer(content, dtype, nx * ny, at).reshape(ny, nx)
    if dtype.kind != "f":
        image = _with_blank(image, cards)
    scale, zero = _real(cards, b"BSCALE  ", 1.0), _real(cards, b"BZERO   ", 0.0)
    if (scale, zero) != (1.0, 0.0):
        image = image * scale + zero
    return image, at + -(-n_bytes // _BLOCK) * _BLOCK


def _with_blank(image: NDArray[Any], cards: dict[bytes, bytes]) -> NDArray[Any]:
    values = image.astype(np.float64)
    if b"BLANK   " in cards:
        values[image == _number(cards, b"BLANK   ")] = np.nan
    return values


def _number(cards: dict[bytes, bytes], word: bytes, default: int | None = None) -> int:
    if word not in cards and default is not None:
        return default
    return int(cards[word].split(b"/")[0])


def _real(cards: dict[bytes, bytes], word: bytes, default: float) -> float:
    return float(cards[word].split(b"/")[0]) if word in cards else default


def _text(cards: dict[bytes, bytes], word: bytes, default: str = "") -> str:
    if word not in cards:
        return default
    return cards[word].split(b"/")[0].strip().strip(b"'").strip().decode("ascii", "replace")
