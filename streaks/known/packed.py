"""The Minor Planet Center's packed designations and dates.

A number, a provisional designation or a date shrinks to five or seven characters by writing tens
as letters. Here are both ways, for one text at a time; sbpy's `~sbpy.data.Names` does the same
and serves as the reference in tests, but it is too slow for a whole catalogue.

References
----------
https://www.minorplanetcenter.net/iau/info/PackedDes.html and PackedDates.html.
"""

from __future__ import annotations

import re
import string

__all__ = ["epoch_from_packed", "pack_designation", "pack_epoch", "unpack_designation"]

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_VALUE = {character: value for value, character in enumerate(_DIGITS)}
_CENTURIES = {"I": 18, "J": 19, "K": 20, "L": 21}
_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"  # second letter of a provisional designation: no I
_HALF_MONTHS = "ABCDEFGHJKLMNOPQRSTUVWXY"  # first letter
#: Numbers from here are a tilde and four base-62 digits.
_TILDE_FROM = 620_000
#: Cycle counts from here need the extended form.
_EXTENDED_FROM = 620

_PROVISIONAL = re.compile(rf"(\d{{4}}) ([{_HALF_MONTHS}])([{_LETTERS}])(\d*)")
_SURVEY = re.compile(r"(\d{1,4}) (P-L|T-[123])")
_PACKED_PROVISIONAL = re.compile(
    rf"([IJKL])(\d\d)([{_HALF_MONTHS}])([0-9A-Za-z])(\d)([{_LETTERS}])"
)
_PACKED_EXTENDED = re.compile(rf"_([0-9A-Za-z])([{_HALF_MONTHS}])([0-9A-Za-z]{{4}})")
_PACKED_SURVEY = re.compile(r"(PL|T1|T2|T3)S(\d{4})")


def unpack_designation(packed: str) -> str | None:
    """The readable form of a packed number or provisional designation.

    Parameters
    ----------
    packed
        Such as ``K12L23U``.

    Returns
    -------
    str or None
        ``"24421"`` or ``"2012 LU23"``; None where it is neither (a comet, a survey's own name).
    """
    packed = packed.strip()
    if packed.isdigit():
        return str(int(packed)) if len(packed) == 5 else None
    if len(packed) == 5:
        return _unpack_number(packed)
    if len(packed) == 7:
        return _unpack_provisional(packed)
    return None


def _unpack_number(packed: str) -> str | None:
    if packed[0] == "~" and all(c in _VALUE for c in packed[1:]):
        return str(_TILDE_FROM + _base62(packed[1:]))
    if packed[0] in _VALUE and packed[1:].isdigit():
        return str(_VALUE[packed[0]] * 10_000 + int(packed[1:]))
    return None


def _unpack_provisional(packed: str) -> str | None:
    if match := _PACKED_PROVISIONAL.fullmatch(packed):
        century, year, half, tens, units, letter = match.groups()
        cycle = 10 * _VALUE[tens] + int(units)
        return f"{_CENTURIES[century]}{year} {half}{letter}{cycle or ''}"
    if match := _PACKED_EXTENDED.fullmatch(packed):
        year, half, count = match.groups()
        cycle, letter_index = divmod(_base62(count), len(_LETTERS))
        return f"20{_VALUE[year]:02d} {half}{_LETTERS[letter_index]}{cycle + _EXTENDED_FROM}"
    if match := _PACKED_SURVEY.fullmatch(packed):
        survey, count = match.groups()
        return f"{int(count)} {survey[0]}-{survey[1]}"
    return None


def pack_designation(designation: str) -> str | None:
    """The packed form of a number or provisional designation.

    Parameters
    ----------
    designation
        ``"24421"`` or ``"2012 LU23"``.

    Returns
    -------
    str or None
        None where it has no packed form.
    """
    if designation.isdigit():
        return _pack_number(int(designation))
    if match := _SURVEY.fullmatch(designation):
        count, survey = match.groups()
        return f"{survey[0]}{survey[2]}S{int(count):04d}"
    if match := _PROVISIONAL.fullmatch(designation):
        return _pack_provisional(*match.groups())
    return None


def _pack_number(number: int) -> str | None:
    if number < _TILDE_FROM:
        tens, rest = divmod(number, 10_000)
        return f"{_DIGITS[tens]}{rest:04d}"
    if number < _TILDE_FROM + 62**4:
        return "~" + _to_base62(number - _TILDE_FROM)
    return None


def _pack_provisional(year: str, half: str, letter: str, count: str) -> str | None:
    century = {str(value): key for key, value in _CENTURIES.items()}.get(year[:2])
    if century is None:
        return None
    cycle = int(count or 0)
    if cycle < _EXTENDED_FROM:
        tens, units = divmod(cycle, 10)
        return f"{century}{year[2:]}{half}{_DIGITS[tens]}{units}{letter}"
    extended = (cycle - _EXTENDED_FROM) * len(_LETTERS) + _LETTERS.index(letter)
    if century != "K" or int(year[2:]) >= len(_DIGITS) or extended >= 62**4:
        return None
    return f"_{_DIGITS[int(year[2:])]}{half}{_to_base62(extended)}"


def _base62(text: str) -> int:
    value = 0
    for character in text:
        value = 62 * value + _VALUE[character]
    return value


def _to_base62(value: int) -> str:
    text = ""
    for _ in range(4):
        value, digit = divmod(value, 62)
        text = _DIGITS[digit] + text
    return text


def epoch_from_packed(packed: str) -> tuple[int, int, int] | None:
    """The date of a packed date.

    Parameters
    ----------
    packed
        Such as ``K25BL``.

    Returns
    -------
    (int, int, int) or None
        Year, month and day; None where it is none.
    """
    if len(packed) != 5 or packed[0] not in _CENTURIES or not packed[1:3].isdigit():
        return None
    month, day = _VALUE.get(packed[3], 0), _VALUE.get(packed[4], 0)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return 100 * _CENTURIES[packed[0]] + int(packed[1:3]), month, day


def pack_epoch(year: int, month: int, day: int) -> str | None:
    """A packed date.

    Parameters
    ----------
    year, month, day
        Such as 2025, 11, 21.

    Returns
    -------
    str or None
        ``K25BL``; None outside the years 1800 to 2199.
    """
    century = {value: key for key, value in _CENTURIES.items()}.get(year // 100)
    if century is None:
        return None
    return f"{century}{year % 100:02d}{_DIGITS[month]}{_DIGITS[day]}"
