"""Good files made bad, by a seed: what disks, networks and people do to FITS and Avro files."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable

__all__ = ["AVRO_DAMAGES", "FITS_DAMAGES", "damaged"]

_CARD, _BLOCK = 80, 2880
#: Words that decide sizes, places, times; all that a reader may trip over.
_SIZES = ("NAXIS", "NAXIS1", "NAXIS2", "BITPIX", "PCOUNT", "GCOUNT", "TFIELDS", "ZNAXIS1", "ZNAXIS",
          "ZTILE1", "ZBITPIX", "TFORM1", "THEAP")  # fmt: skip
_PLACES = ("CRVAL1", "CRVAL2", "CRPIX1", "CD1_1", "CD2_2", "CTYPE1", "CUNIT1", "PV1_7", "CDELT1")
_FACTS = ("OBSJD", "EXPTIME", "MAGZP", "GAIN", "READNOI", "SEEING", "SATURATE", "FILTER", "CCDID",
          "FIELDID", "QID", "BZERO", "BSCALE", "BLANK")  # fmt: skip
_ABSURD = ("NaN", "1E308", "-1E308", "0", "-1", "'<script>alert(1)</script>'", "''", "T",
           "'../../../etc/passwd'", "99999999999999999999", "'\x00\x01'", "1D400", "")  # fmt: skip


def damaged(good: bytes, kind: Callable[[random.Random, bytes], bytes], seed: int) -> bytes:
    """The file after one kind of damage; the same seed gives the same."""
    return kind(random.Random(seed), good)


def cut(rng: random.Random, good: bytes) -> bytes:
    return good[: rng.randrange(len(good))]


def flipped_anywhere(rng: random.Random, good: bytes) -> bytes:
    return _flipped(rng, good, 0, len(good), 30)


def flipped_in_headers(rng: random.Random, good: bytes) -> bytes:
    return _flipped(rng, good, 0, min(len(good), 6 * _BLOCK), 4)


def wrong_size(rng: random.Random, good: bytes) -> bytes:
    return _with_card(rng, good, rng.choice(_SIZES), rng.choice(("0", "-5", "3", "17", "1000")))


def huge_size(rng: random.Random, good: bytes) -> bytes:
    """A header that promises 100 GB and more, with nothing behind it."""
    for word in ("NAXIS1", "NAXIS2", "ZNAXIS1", "ZNAXIS2"):
        good = _with_card(rng, good, word, str(rng.choice((200_000, 2**31 - 1, 10**9))))
    return good[: rng.randrange(_BLOCK, len(good))] if rng.random() < 0.5 else good


def absurd_wcs(rng: random.Random, good: bytes) -> bytes:
    for _ in range(rng.randint(1, 3)):
        good = _with_card(rng, good, rng.choice(_PLACES), rng.choice(_ABSURD))
    return good


def absurd_facts(rng: random.Random, good: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        good = _with_card(rng, good, rng.choice(_FACTS), rng.choice(_ABSURD))
    return good


def nested_gzip(rng: random.Random, good: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        good = gzip.compress(good, 1)
    return good


def blocks_lost(rng: random.Random, good: bytes) -> bytes:
    at = rng.randrange(max(1, len(good) // _BLOCK)) * _BLOCK
    return good[:at] + good[at + rng.randint(1, 3) * _BLOCK :]


def blocks_repeated(rng: random.Random, good: bytes) -> bytes:
    at = rng.randrange(max(1, len(good) // _BLOCK)) * _BLOCK
    return good[: at + _BLOCK] + good[at:]


def bytes_inserted(rng: random.Random, good: bytes) -> bytes:
    at = rng.randrange(len(good))
    return good[:at] + rng.randbytes(rng.randint(1, 500)) + good[at:]


def no_end(rng: random.Random, good: bytes) -> bytes:
    return good.replace(b"END".ljust(_CARD), b"COMMENT".ljust(_CARD))


def zeroed(rng: random.Random, good: bytes) -> bytes:
    """A sector that the disk gave back empty."""
    at = rng.randrange(len(good))
    size = min(4096, len(good) - at)
    return good[:at] + bytes(size) + good[at + size :]


FITS_DAMAGES = (
    cut, flipped_anywhere, flipped_in_headers, wrong_size, huge_size, absurd_wcs, absurd_facts,
    nested_gzip, blocks_lost, blocks_repeated, bytes_inserted, no_end, zeroed,
)  # fmt: skip
AVRO_DAMAGES = (cut, flipped_anywhere, bytes_inserted, nested_gzip, zeroed, flipped_in_headers)


def _flipped(rng: random.Random, good: bytes, start: int, stop: int, most: int) -> bytes:
    content = bytearray(good)
    for _ in range(rng.randint(1, most)):
        content[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)
    return bytes(content)


def _with_card(rng: random.Random, good: bytes, word: str, value: str) -> bytes:
    """The file with another value of a word, in one of the headers that have it."""
    places = []
    at = good.find(word.ljust(8).encode())
    while at >= 0:
        if at % _CARD == 0:
            places.append(at)
        at = good.find(word.ljust(8).encode(), at + 1)
    if not places:
        return good
    at = rng.choice(places)
    card = f"{word:8}= {value:>20}".encode("latin-1")[:_CARD].ljust(_CARD)
    return good[:at] + card + good[at + _CARD :]
