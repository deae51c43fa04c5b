"""One spelling for the many names of one object.

Surveys write ``(24421)Djorgovski``, ``8467``, ``2012LU23``, zero-padded ``2002MA06`` or
``(12024)1996YN2``; sbpy's `~sbpy.data.Names` reads the written forms of the Minor Planet Center,
spaces included. Here spaces are put in and padding out first, then sbpy is asked.
"""

from __future__ import annotations

import re
from functools import lru_cache

from streaks.known.packed import unpack_designation

__all__ = ["normalise_name", "same_object", "survey_spelling"]

_NONE = frozenset({"", "null", "none", "nan", "-999", "-999.0", "-", "--"})

_NUMBER = re.compile(r"\(?\s*0*([1-9]\d*)\s*\)?(?![A-Za-z0-9/-])")
_NUMBERED = re.compile(r"\(\s*0*([1-9]\d*)\s*\)\s*\S.*")
_PROVISIONAL = re.compile(
    r"([CPDXAI]/)?(A\d{3}|\d{4})\s*([A-HJ-Y])([A-HJ-Z]?)\s*(\d*)(-[A-Z]+\d*)?", re.ASCII
)
_SURVEY = re.compile(r"0*([1-9]\d{0,3})\s*(P-?L|T-?[123])")
_NUMBERED_COMET = re.compile(r"0*([1-9]\d*)\s*([PDI])(?:\s*(-[A-Z]+\d*))?(?:/.*)?")


@lru_cache(maxsize=65536)
def normalise_name(text: str | None) -> str:
    """The key of an object: its number, else its designation as the MPC writes it.

    Parameters
    ----------
    text
        A name in any spelling of catalogues and surveys, packed forms included.

    Returns
    -------
    str
        ``"24421"``, ``"2012 LU23"``, ``"3555 P-L"``, ``"C/2017 K2"``, ``"29P"``; a plain name
        (``"Ceres"``) or a survey's own label as it is, without outer spaces; empty for none.
    """
    name = "" if text is None else " ".join(str(text).split())
    if name.lower() in _NONE:
        return ""
    for read in (_number, _survey, _provisional, _numbered_comet):
        if key := read(name):
            return key
    return unpack_designation(name) or _with_sbpy(name) or name


def _number(name: str) -> str | None:
    match = _NUMBERED.fullmatch(name) or _NUMBER.fullmatch(name)
    return match.group(1) if match else None


def _survey(name: str) -> str | None:
    match = _SURVEY.fullmatch(name)
    return f"{match.group(1)} {match.group(2)[0]}-{match.group(2)[-1]}" if match else None


def _provisional(name: str) -> str | None:
    # A comet may carry its discoverer's name behind: C/2017 K2 (PANSTARRS).
    match = _PROVISIONAL.fullmatch(re.sub(r"\s*\(.*\)$", "", name))
    if match is None:
        return None
    prefix, year, half, letter, count, fragment = (part or "" for part in match.groups())
    if not letter and not prefix:
        return None
    year = year.replace("A", "1")  # A904 OA is how 1904 OA was once written
    return f"{prefix}{year} {half}{letter}{count.lstrip('0')}{fragment}"


def _numbered_comet(name: str) -> str | None:
    match = _NUMBERED_COMET.fullmatch(name)
    return f"{match.group(1)}{match.group(2)}{match.group(3) or ''}" if match else None


def _with_sbpy(name: str) -> str | None:
    """What sbpy makes of a written form such as ``24421 Djorgovski``."""
    if not any(character.isdigit() for character in name):
        return None
    from streaks.sbpy_import import import_sbpy

    names = import_sbpy("data.names")
    try:
        parsed = names.Names.parse_asteroid(name)
    except names.TargetNameParseError:
        return None
    if "number" in parsed:
        return str(parsed["number"])
    return str(parsed["desig"]) if "desig" in parsed else None


def survey_spelling(designation: str) -> str:
    """A key as ZTF writes it in ``ssnamenr``: without spaces.

    Parameters
    ----------
    designation
        ``"2012 LU23"``.

    Returns
    -------
    str
        ``"2012LU23"``.
    """
    return designation.replace(" ", "")


def same_object(first: str | None, second: str | None) -> bool:
    """Whether two spellings name one object.

    ``(24421)Djorgovski`` is ``24421``; a bare ``Djorgovski`` is not known to be, as that takes a
    catalogue (`Orbits.find`).

    Parameters
    ----------
    first, second
        Names in any spelling.

    Returns
    -------
    bool
        False where either is none.
    """
    one, other = normalise_name(first), normalise_name(second)
    return bool(one) and one.casefold() == other.casefold()
