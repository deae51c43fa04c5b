"""A survey's mask bits, turned into one numbering and one answer: usable or not."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from streaks.errors import FrameError
from streaks.frame import MaskPlane
from streaks.readers import headers
from streaks.readers.profile import MaskBits

__all__ = ["read_mask_bits", "resolve_bits"]

_log = logging.getLogger(__name__)

#: Words in a bit's description that tell its plane, first match wins; the rest is BAD.
_PLANE_WORDS = (
    (r"satellite|aircraft|track|trail", MaskPlane.TRACK),
    (r"source|object|detect", MaskPlane.SOURCE),
    (r"satur", MaskPlane.SATURATED),
    (r"ghost", MaskPlane.GHOST),
    (r"spike|rad|cosmic|bleed", MaskPlane.SPIKE),
    (r"halo", MaskPlane.HALO),
)
_FEATURES = MaskPlane.SOURCE | MaskPlane.TRACK


@dataclass(frozen=True)
class ResolvedBits:
    """Planes by bit number, and the bits whose pixels must not be used."""

    planes: Mapping[int, MaskPlane]
    unusable: frozenset[int]


def resolve_bits(profile: MaskBits, header: fits.Header) -> ResolvedBits | None:
    """What each bit of a mask means; None when neither profile nor header tells.

    The profile's own numbers go first, then ``MP_*`` words (Rubin's), then ``BITnn`` cards.

    Parameters
    ----------
    profile
        What the survey's profile says of its masks.
    header
        Of the mask image.

    Returns
    -------
    ResolvedBits or None
    """
    if profile.bits:
        return ResolvedBits(profile.bits, frozenset(_numbers(profile.unusable)))
    named = {word[3:]: headers.value(header, word) for word in header if word.startswith("MP_")}
    if named:
        return _from_names(named, profile)
    described = _described_bits(header)
    if described:
        planes = {bit: _plane_of(words) for bit, words in described.items()}
        return ResolvedBits(planes, frozenset(b for b, p in planes.items() if not p & _FEATURES))
    return None


def read_mask_bits(
    values: NDArray[Any],
    bits: ResolvedBits | None,
    name: str,
    *,
    unusable: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Unusable pixels and planes of a mask image.

    Parameters
    ----------
    values : (ny, nx) integers
        The survey's own bits.
    bits
        What they mean; None takes every value but 0 as unusable.
    name
        Of the mask, for messages.
    unusable : (ny, nx) bool, optional
        True where a pixel must not be used whatever the mask says: BAD, among its planes.

    Returns
    -------
    mask : (ny, nx) bool
    planes : (ny, nx) uint8
        Bits of `MaskPlane`.

    Raises
    ------
    FrameError
        If the mask does not hold whole numbers.
    """
    whole = _whole_numbers(values, name)
    beside = np.zeros(whole.shape, bool) if unusable is None else unusable
    if bits is None:
        _log.info("%s: mask bits without a meaning; every value but 0 is unusable", name)
        mask = (whole != 0) | beside
        return mask, np.where(mask, np.uint8(MaskPlane.BAD), np.uint8(0))
    if whole.dtype.itemsize > 2:
        if not whole.size or int(whole.min()) < 0 or int(whole.max()) >= 1 << 16:
            mask, planes = _bit_by_bit(whole, bits)
            return mask | beside, planes | beside * np.uint8(MaskPlane.BAD)
        whole = whole.astype(np.uint16)
    return _by_table(whole, bits, beside)


def _by_table(
    whole: NDArray[np.integer], bits: ResolvedBits, unusable: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """As `read_mask_bits`, for one or two bytes a pixel in any order."""
    from streaks.readers.pixels import look_up

    stored = np.ascontiguousarray(whole).view(f"=u{whole.dtype.itemsize}").ravel()
    table = _table(whole.dtype.str, tuple(sorted(bits.planes.items())), bits.unusable)
    mask, planes = np.empty(whole.shape, bool), np.empty(whole.shape, np.uint8)
    beside = np.ascontiguousarray(unusable).view(np.uint8).ravel()
    upper = mask.view(np.uint8).ravel()
    look_up(stored, table, beside, int(MaskPlane.BAD), upper, planes.ravel())
    return mask, planes


@functools.lru_cache(maxsize=4)
def _table(
    kind: str, planes_of_bits: tuple[tuple[int, MaskPlane], ...], unusable: frozenset[int]
) -> NDArray[np.uint8]:
    """For each stored pattern of one or two bytes the planes, and the mask as the highest bit."""
    dtype = np.dtype(kind)
    patterns = np.arange(1 << 8 * dtype.itemsize).astype(f"=u{dtype.itemsize}")
    mask, planes = _bit_by_bit(
        patterns.view(dtype.newbyteorder("=")), ResolvedBits(dict(planes_of_bits), unusable)
    )
    # No plane has the highest bit.
    table = planes | (mask.view(np.uint8) << np.uint8(7))
    return table if dtype.isnative else table[patterns.byteswap()]


def _bit_by_bit(
    whole: NDArray[np.integer], bits: ResolvedBits
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    mask = np.zeros(whole.shape, bool)
    planes = np.zeros(whole.shape, np.uint8)
    for bit in set(bits.planes) | bits.unusable:
        is_set = (whole >> bit) & 1 == 1
        planes[is_set] |= np.uint8(bits.planes.get(bit, MaskPlane.BAD))
        if bit in bits.unusable:
            mask |= is_set
    return mask, planes


def _whole_numbers(values: NDArray[Any], name: str) -> NDArray[np.integer]:
    if values.dtype.kind in "iu":
        if values.dtype.itemsize <= 2:
            return np.asarray(values)
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    filled = np.where(np.isfinite(values), values, 1)
    if not (np.abs(filled) < 2**31).all() or not (filled == np.round(filled)).all():
        raise FrameError(f"the mask of {name} holds fractions; expected bits as whole numbers")
    return filled.astype(np.int64)


def _from_names(named: Mapping[str, Any], profile: MaskBits) -> ResolvedBits:
    numbers = {
        name: int(bit) for name, bit in named.items() if isinstance(bit, int) and 0 <= bit < 63
    }
    planes = {
        bit: profile.planes.get(name, _plane_of(name))
        for name, bit in numbers.items()
        if name in profile.planes
    }
    listed = frozenset(numbers[n] for n in profile.unusable if isinstance(n, str) and n in numbers)
    # A profile without a list of its own: all planes that it knows and that are no features.
    unusable = listed or frozenset(b for b, p in planes.items() if not p & _FEATURES)
    return ResolvedBits(planes, unusable)


def _described_bits(header: fits.Header) -> dict[int, str]:
    """``BITnn`` cards: a description as the value, or a bit number with it as the comment."""
    described = {}
    for word in header:
        match = re.fullmatch(r"BIT(\d{1,2})", word)
        if match:
            value = headers.value(header, word)
            words = value if isinstance(value, str) else headers.comment(header, word)
            described[int(match[1])] = words
    return described


def _plane_of(words: str) -> MaskPlane:
    lower = words.lower()
    return next((p for pattern, p in _PLANE_WORDS if re.search(pattern, lower)), MaskPlane.BAD)


def _numbers(unusable: frozenset[int | str]) -> list[int]:
    return [int(bit) for bit in unusable]
