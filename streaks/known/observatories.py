"""Where telescopes stand: the MPC's observatory codes and parallax constants.

The MPC's whole list comes with the package (``benchmarks/package_data.py`` makes it); a newer site
is read from the user's own copy of the list.

References
----------
https://www.minorplanetcenter.net/iau/lists/ObsCodesF.html
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from streaks.disk import TooLargeError, bounded_gzip
from streaks.errors import CatalogueError

__all__ = [
    "Observatory",
    "check_code",
    "find_observatory",
    "read_observatories",
    "shipped_observatories",
]

#: The whole list is 0.3 MB.
_MAX_BYTES = 20 << 20
_CODE = re.compile(r"[0-9A-Z][0-9A-Za-z]{2} ")


@dataclass(frozen=True)
class Observatory:
    """A site fixed to the Earth.

    Parameters
    ----------
    code, name
        The MPC's.
    longitude_deg
        East.
    rho_cos_phi, rho_sin_phi
        Geocentric distance from the axis and from the equator, equatorial radii (6378.137 km);
        both 0 for the geocentre.
    """

    code: str
    name: str
    longitude_deg: float
    rho_cos_phi: float
    rho_sin_phi: float


@lru_cache(maxsize=1)
def _shipped_codes() -> Mapping[str, list[Any]]:
    """Name and place of each code; the name alone of what has no place on the Earth."""
    text = files("streaks.known").joinpath("observatories.json").read_text(encoding="utf-8")
    codes: dict[str, list[Any]] = json.loads(text)
    return codes


@lru_cache(maxsize=1)
def shipped_observatories() -> Mapping[str, Observatory]:
    """The sites that come with the package.

    Returns
    -------
    mapping of str to Observatory
        By code; spacecraft and roving observers are left out.
    """
    return {
        code: Observatory(code, *values)
        for code, values in _shipped_codes().items()
        if len(values) > 1
    }


def check_code(code: str) -> str:
    """An observatory code as it is, if it is one of the MPC's.

    Parameters
    ----------
    code
        Such as ``I41``; a spacecraft's is one, too.

    Returns
    -------
    str

    Raises
    ------
    CatalogueError
        If it is unknown.
    """
    if code not in _shipped_codes():
        raise CatalogueError(
            f"observatory code {code!r} is unknown: the MPC's list has {len(_shipped_codes())} "
            "codes such as I41 (Palomar, ZTF); see "
            "https://www.minorplanetcenter.net/iau/lists/ObsCodesF.html"
        )
    return code


def read_observatories(path: str | Path) -> dict[str, Observatory]:
    """Sites of the MPC's list: ``obscodes_extended.json`` or the text of ``ObsCodes.html``.

    Spacecraft and roving observers have no fixed place and are left out.

    Parameters
    ----------
    path
        One of the two files.

    Returns
    -------
    dict of str to Observatory
        By code.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or holds no site.
    """
    path = Path(path)
    try:
        content, _ = bounded_gzip(path, max_bytes=_MAX_BYTES)
        text = content.decode("utf-8-sig", "replace")
    except (OSError, TooLargeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CatalogueError(
            f"cannot read the observatory codes {path}: {reason}; give the "
            "MPC's obscodes_extended.json or ObsCodes.html"
        ) from None
    sites = _from_json(text) if text.lstrip().startswith("{") else _from_lines(text)
    if not sites:
        raise CatalogueError(
            f"{path} holds no observatory codes; give the MPC's obscodes_extended.json or "
            "ObsCodes.html"
        )
    return sites


def _from_json(text: str) -> dict[str, Observatory]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    sites = {}
    for code, entry in entries.items():
        try:
            place = [float(entry[name]) for name in ("Longitude", "cos", "sin")]
        except (KeyError, TypeError, ValueError, OverflowError):  # spacecraft have none
            continue
        if all(map(math.isfinite, place)):
            sites[code] = Observatory(code, str(entry.get("Name", "")), *place)
    return sites


def _from_lines(text: str) -> dict[str, Observatory]:
    """Columns: code 1-3, longitude 5-13, cos 14-21, sin 22-30, name from 31."""
    sites = {}
    for line in text.splitlines():
        if not _CODE.match(line):
            continue
        try:
            longitude, cosine, sine = (float(line[a:b]) for a, b in ((4, 13), (13, 21), (21, 30)))
        except ValueError:  # the heading; spacecraft have empty columns
            continue
        sites[line[:3]] = Observatory(line[:3], line[30:].strip(), longitude, cosine, sine)
    return sites


def find_observatory(code: str, sites: Mapping[str, Observatory] | None = None) -> Observatory:
    """The site of an MPC code, in the user's own sites first, then in the shipped ones.

    Parameters
    ----------
    code
        Such as ``I41``.
    sites
        The user's own, by code.

    Returns
    -------
    Observatory

    Raises
    ------
    CatalogueError
        For a code that is in neither, or of what has no place on the Earth.
    """
    site = (sites or {}).get(code) or shipped_observatories().get(code)
    if site is None:
        check_code(code)
        raise CatalogueError(
            f"observatory code {code!r} is {_shipped_codes()[code][0]}, which has no fixed place "
            "on the Earth; give another, or 500 for the geocentre"
        )
    return site
