"""A FITS file's skeleton, checked before any library builds on it.

A damaged header may promise a negative size or 99999999999 axes, and a reader that believes it
runs for ever. Only the cards that say how large things are are looked at.
"""

from __future__ import annotations

import math
import os
import re
from typing import IO

from streaks.errors import ReadError

__all__ = ["check_structure"]

_BLOCK = 2880
_CARD = 80
#: The FITS Standard 4.0 (section 4.4.1) allows 999 axes, and as many columns of a table.
_MAX_COUNT = 999
#: 36 cards each: more than any pipeline writes into one header.
_MAX_HEADER_BLOCKS = 5000
_COUNT = re.compile(rb"Z?NAXIS|TFIELDS")
_SIZE = re.compile(rb"Z?NAXIS\d{1,3}|ZTILE\d{1,3}|PCOUNT|GCOUNT|BITPIX")


def check_structure(stream: IO[bytes], name: str) -> None:
    """Walk the headers of all HDUs of a file, without reading their data.

    What follows the last whole HDU is not looked at: that a file is cut short is found when its
    image is.

    Parameters
    ----------
    stream
        Open for reading; its place is changed.
    name
        What an error calls it.

    Raises
    ------
    ReadError
        If a size is negative, no whole number, or beyond reason.
    """
    stream.seek(0, os.SEEK_END)
    size = stream.tell()
    at = 0
    while at < size:
        stream.seek(at)
        cards, length = _header_cards(stream, name)
        if length == 0:
            return
        at += length + _data_length(cards)


def _header_cards(stream: IO[bytes], name: str) -> tuple[dict[bytes, int], int]:
    """The sizes in the header that begins here, and its length; 0 where there is none."""
    cards: dict[bytes, int] = {}
    for n in range(1, _MAX_HEADER_BLOCKS + 1):
        block = stream.read(_BLOCK)
        if n == 1 and not block.startswith((b"SIMPLE", b"XTENSION")):
            return cards, 0
        for start in range(0, len(block), _CARD):
            card = block[start : start + _CARD]
            if card.rstrip() == b"END":
                return cards, n * _BLOCK
            _keep_size(cards, card, name)
        if len(block) < _BLOCK:
            return cards, 0
    raise ReadError(f"{name} is damaged (a header without end); fetch it again")


def _keep_size(cards: dict[bytes, int], card: bytes, name: str) -> None:
    word = card[:8].rstrip()
    is_count = _COUNT.fullmatch(word) is not None
    if not is_count and not _SIZE.fullmatch(word):
        return
    text = card[10:].split(b"/")[0].strip()
    value = int(text) if re.fullmatch(rb"[+-]?\d{1,18}", text) else None
    sound = value is not None and (value >= 0 or word == b"BITPIX")
    if value is None or not sound or (is_count and value > _MAX_COUNT):
        card_name = word.decode("ascii", "replace")
        raise ReadError(f"{name} is damaged ({card_name} is {text[:20]!r}); fetch it again")
    cards.setdefault(word, value)


def _data_length(cards: dict[bytes, int]) -> int:
    """Bytes of data behind a header, whole blocks (FITS Standard 4.0, equation 2)."""
    n = cards.get(b"NAXIS", 0)
    axes = [cards.get(b"NAXIS%d" % i, 0) for i in range(1, n + 1)]
    if n and axes[0] == 0 and b"GCOUNT" in cards:
        axes = axes[1:]  # random groups
    elements = math.prod(axes) if axes else 0
    width = abs(cards.get(b"BITPIX", 0)) // 8
    total = width * max(cards.get(b"GCOUNT", 1), 1) * (cards.get(b"PCOUNT", 0) + elements)
    return -(-total // _BLOCK) * _BLOCK
