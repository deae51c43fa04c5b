"""The usual kinds of FITS file, read without a detour.

Astropy reads every FITS file there is, and takes longer for the headers of one frame than its
pixels do. Nearly all images come in one of two kinds: plain numbers in the first HDU, or floats
compressed with Rice in the second. Whatever is in any way unlike these is left to astropy.

References
----------
FITS Standard 4.0, sections 4.4.1 (headers) and 10.1 (compressed images).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from streaks.readers.structure import MAX_PIXELS, MAX_RATIO, Part

__all__ = ["read_usual"]

_CARD = 80
_KINDS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
#: How a file and a table in it begin (sections 4.4.1.1 and 7.3.1), and what a compressed image has.
_FIRST = f"{'SIMPLE  =':<29}T"
_BEGIN = ("SIMPLE", "BITPIX", "NAXIS")
_BEGIN_TABLE = ["XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS"]
_NEEDED = frozenset({"ZIMAGE", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZTILE1", "ZTILE2"})
#: Cards that speak of a file's parts, not of the sky: the image has its own, or needs none.
_OF_THE_PART = re.compile(
    r"SIMPLE|XTENSION|EXTEND|EXTNAME|BITPIX|NAXIS\d*|[PG]COUNT|CHECKSUM|DATASUM|END"
)
_OF_THE_TABLE = re.compile(
    r"TFIELDS|THEAP|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|BCOL)\d+|Z(IMAGE|CMPTYPE|MASKCMP"
    r"|QUANTIZ|DITHER0|SIMPLE|TENSION|EXTEND|BLOCKED|[PG]COUNT|HECKSUM|DATASUM|BLANK|SCALE|ZERO)"
    r"|Z(TILE|NAME|VAL)\d+"
)
_OF_THE_IMAGE = re.compile(r"ZBITPIX|ZNAXIS\d*")


def read_usual(
    file: IO[bytes], parts: Sequence[Part], max_bytes: int
) -> tuple[NDArray[Any], fits.Header] | None:
    """Pixels and header of an image of a usual kind; None for any other, and for damaged ones.

    Parameters
    ----------
    file
        Open for reading, a real file.
    parts
        Of `check_structure`.
    max_bytes
        Of the file.

    Returns
    -------
    data : (ny, nx)
        Mapped from the file where it is not compressed.
    header
        The image's own cards, then those of the primary header that it lacks.
    """
    try:
        cards = [_cards(file, part) for part in parts[:2]]
        if not cards[0][0].startswith(_FIRST) or not _begins(cards[0], _BEGIN):
            return None
        header = _header(cards[0])
        if header.get("NAXIS") == 2:
            return _plain(file, header, parts[0].data_at, max_bytes)
        if header.get("NAXIS") == 0 and len(cards) == 2:
            return _compressed(file, cards, parts[1], max_bytes)
    except (
        ValueError, TypeError, LookupError, StopIteration, OSError, MemoryError, fits.VerifyError,
    ):  # fmt: skip
        pass  # astropy says what is wrong, or can live with it
    return None


def _cards(file: IO[bytes], part: Part) -> list[str]:
    """A header's cards as they stand, up to its END; a ValueError where one is unusual."""
    file.seek(part.header_at)
    text = file.read(part.data_at - part.header_at).decode("ascii")
    cards = [text[at : at + _CARD] for at in range(0, len(text), _CARD)]
    cards = cards[: next(i for i, card in enumerate(cards) if card.rstrip() == "END")]
    if not text.isprintable() or any(card.startswith("CONTINUE") for card in cards):
        raise ValueError("control characters, or a text over several cards")
    return cards


def _begins(cards: Sequence[str], words: Sequence[str]) -> bool:
    return [_word(card) for card in cards[: len(words)]] == list(words)


def _word(card: str) -> str:
    return card[:8].rstrip()


def _header(cards: Sequence[str]) -> fits.Header:
    return fits.Header.fromstring("".join(cards))


def _plain(
    file: IO[bytes], header: fits.Header, at: int, max_bytes: int
) -> tuple[NDArray[Any], fits.Header] | None:
    ny, nx = int(header["NAXIS2"]), int(header["NAXIS1"])
    kind = np.dtype(_KINDS[header["BITPIX"]])
    scaled = header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0 or "BLANK" in header
    if scaled or any(word in header for word in ("GROUPS", "PCOUNT", "GCOUNT")):
        return None
    if not 0 < ny * nx <= MAX_PIXELS or at + ny * nx * kind.itemsize > max_bytes:
        return None
    # Private: what is written to the image does not reach the file.
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return np.ndarray((ny, nx), kind, mapped, at), header


def _compressed(
    file: IO[bytes], cards: Sequence[Sequence[str]], part: Part, max_bytes: int
) -> tuple[NDArray[Any], fits.Header] | None:
    from streaks.readers.rice import read_rice_floats

    if not _is_sound(cards[1]):
        return None
    header = _image_header(*cards)
    n_pixels = int(header["NAXIS2"]) * int(header["NAXIS1"])
    if not 0 < n_pixels <= MAX_PIXELS or abs(header["BITPIX"]) // 8 * n_pixels > (
        MAX_RATIO * max_bytes
    ):
        return None
    data = read_rice_floats(file, part.header_at, part.data_at, max_bytes)
    return None if data is None else (data, header)


def _is_sound(table: Sequence[str]) -> bool:
    """Whether a table's header has what a compressed image's must have."""
    words = {_word(card) for card in table}
    names, values = ({w[-1:] for w in words if w.startswith(s)} for s in ("ZNAME", "ZVAL"))
    return (
        _begins(table, _BEGIN_TABLE)
        and table[0][10:].startswith("'BINTABLE'")
        and words >= _NEEDED
        and names == values
    )


def _image_header(primary: Sequence[str], table: Sequence[str]) -> fits.Header:
    """The header of the image that a table holds (section 10.1.2)."""
    sizes = [f"{card[1:8]} {card[8:]}" for card in table if _OF_THE_IMAGE.fullmatch(_word(card))]
    own = [card for card in table if not _is_structure(card)]
    words = {_word(card) for card in own} - {"HIERARCH"}
    lacking = [card for card in primary if not _is_structure(card) and _word(card) not in words]
    return _header([*sizes, *own, *lacking])


def _is_structure(card: str) -> bool:
    word = _word(card)
    return any(p.fullmatch(word) for p in (_OF_THE_PART, _OF_THE_TABLE, _OF_THE_IMAGE))
