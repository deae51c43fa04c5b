"""Where telescopes stand: the MPC's observatory codes and parallax constants.

A small table of surveys and large observatories comes with the package; any other site is read
from the user's own copy of the MPC's list.

References
----------
https://www.minorplanetcenter.net/iau/lists/ObsCodesF.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from streaks.errors import CatalogueError

__all__ = ["Observatory", "find_observatory", "read_observatories", "shipped_observatories"]

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
def shipped_observatories() -> Mapping[str, Observatory]:
    """The sites that come with the package, by code."""
    text = files("streaks.known").joinpath("observatories.json").read_text(encoding="utf-8")
    return {code: Observatory(code, *values) for code, values in json.loads(text).items()}


def read_observatories(path: str | Path) -> dict[str, Observatory]:
    """Sites of the MPC's list: ``obscodes_extended.json`` or the text of ``ObsCodes.html``.

    Spacecraft and roving observers have no fixed place and are left out.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or holds no site.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CatalogueError(
            f"cannot read the observatory codes {path}: {error.strerror or error}; give the "
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
    except json.JSONDecodeError:
        return {}
    return {
        code: Observatory(
            code,
            str(entry.get("Name", "")),
            float(entry["Longitude"]),
            float(entry["cos"]),
            float(entry["sin"]),
        )
        for code, entry in entries.items()
        if _has_place(entry)
    }


def _has_place(entry: Any) -> bool:
    return isinstance(entry, dict) and {"Longitude", "cos", "sin"} <= set(entry)


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

    Raises
    ------
    CatalogueError
        For a code that is in neither.
    """
    own = {} if sites is None else sites
    site = own.get(code) or shipped_observatories().get(code)
    if site is None:
        raise CatalogueError(
            f"observatory code {code!r} is unknown; give one of "
            f"{', '.join(sorted({*own, *shipped_observatories()})[:60])}, or the MPC's list of "
            "all codes (obscodes_extended.json)"
        )
    return site
