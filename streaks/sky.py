"""Pixels to the sky and back: the one door, always through ICRS.

A header may give its coordinates in any system (ICRS, FK5 or FK4 of any equinox, Galactic,
supergalactic, ecliptic) and name its axes in either order. Everything else in the package asks
here and gets ICRS right ascension and declination in degrees, in that order.

All systems but FK4 differ from ICRS by a rotation, which is found once with astropy and then
applied to unit vectors; FK4 (its E-terms of aberration are no rotation) goes through astropy.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from streaks.errors import FrameError

__all__ = [
    "SkySystem",
    "circle_around",
    "compass",
    "separation_and_angle",
    "sky_system",
    "system_of_words",
    "to_icrs",
    "to_pixels",
]

Floats = NDArray[np.float64]

#: An inverse solution that does not come back to within this of its place is none, deg (0.04").
_INVERSE_DEG = 1e-5
#: Equinoxes before this year are of FK4 where no RADESYS says (FITS Standard 4.0, table 24).
_FIRST_FK5_YEAR = 1984.0
#: What is written for RADESYS besides the standard's own words.
_ALIASES = (
    (r"ICR[SF]\d*|GAIA.*|HIPPARCOS", "ICRS"),
    (r"FK5[\s_-]*\(?J?2000(\.0*)?\)?|J2000(\.0*)?|FK5", "FK5"),
    (r"FK4[\s_-]*\(?B?1950(\.0*)?\)?|B1950(\.0*)?|FK4", "FK4"),
)
_LONGITUDES = {"RA": "", "GLON": "galactic", "SLON": "supergalactic", "ELON": "ecliptic"}


@dataclass(frozen=True)
class SkySystem:
    """The celestial system that a WCS is written in.

    Parameters
    ----------
    kind
        ``icrs``, ``fk5``, ``fk4``, ``fk4noeterms``, ``galactic``, ``supergalactic``,
        ``ecliptic``; empty where the coordinates cannot be turned to ICRS.
    equinox
        Year: Besselian for FK4, Julian else; NaN where the system has none.
    epoch_mjd
        When it was observed, MJD, for FK4, whose axes turn slowly; NaN where unknown.
    note
        What the user should know of the choice; the reason where `kind` is empty.
    """

    kind: str
    equinox: float = math.nan
    epoch_mjd: float = math.nan
    note: str = ""

    def __str__(self) -> str:
        names = {"icrs": "ICRS", "fk5": "FK5", "fk4": "FK4", "fk4noeterms": "FK4-NO-E"}
        year = "" if math.isnan(self.equinox) else f" {self.equinox:g}"
        return names.get(self.kind, self.kind) + year


def system_of_words(radesys: str, equinox: float) -> SkySystem:
    """What RADESYS and EQUINOX mean together, by the FITS standard where it says.

    Parameters
    ----------
    radesys
        As the header has it; empty where it has none.
    equinox
        Year; NaN where unknown.

    Returns
    -------
    SkySystem
        Its `note` says what was taken for granted; empty where nothing was.
    """
    stated = radesys.strip().upper()
    known = {"ICRS": "icrs", "FK5": "fk5", "FK4": "fk4", "FK4-NO-E": "fk4noeterms"}
    note = ""
    kind = known.get(stated, "")
    if stated and (not kind or radesys.strip() != stated):
        meant = next((name for pattern, name in _ALIASES if re.fullmatch(pattern, stated)), "")
        kind = kind or known.get(meant, "")
        if kind:
            note = f"RADESYS {radesys.strip()!r} is no word of the FITS standard; read as {kind}"
    if not kind:
        kind = _default_kind(equinox)
        if stated:
            note = f"RADESYS {radesys.strip()!r} is not known; {kind.upper()} is taken"
    if kind == "icrs":
        if math.isfinite(equinox) and abs(equinox - 2000.0) > 0.01:
            note = note or f"EQUINOX {equinox:g} is passed over: RADESYS says ICRS"
        return SkySystem("icrs", note=note)
    if not math.isfinite(equinox):
        equinox = 2000.0 if kind == "fk5" else 1950.0
    return SkySystem(kind, equinox, note=note)


def _default_kind(equinox: float) -> str:
    if not math.isfinite(equinox):
        return "icrs"
    return "fk4" if equinox < _FIRST_FK5_YEAR else "fk5"


def sky_system(wcs: WCS) -> SkySystem:
    """The celestial system of a WCS; its `kind` is empty, and its `note` says why, for none.

    Parameters
    ----------
    wcs
        Of an image; wcslib fills in what it derives.

    Returns
    -------
    SkySystem
        With its equinox (year) and, for FK4, its epoch (MJD); NaN where they do not matter or
        are unknown.

    Raises
    ------
    FrameError
        If wcslib cannot use the WCS at all.
    """
    _settle(wcs)
    prm = wcs.wcs
    if prm.lng < 0 or prm.lat < 0:
        return SkySystem("", note="it is not celestial")
    name = str(prm.ctype[prm.lng])[:4].strip("-").upper()
    if name not in _LONGITUDES:
        return SkySystem("", note=f"coordinates of {name} cannot be turned to right ascension")
    kind = _LONGITUDES[name]
    if kind in ("galactic", "supergalactic"):
        return SkySystem(kind)
    equatorial = system_of_words(str(prm.radesys), float(prm.equinox))
    if kind == "ecliptic":
        if equatorial.kind.startswith("fk4"):
            return SkySystem("", note="ecliptic coordinates of FK4 are not understood")
        equinox = 2000.0 if math.isnan(equatorial.equinox) else equatorial.equinox
        return SkySystem(kind, equinox, note=equatorial.note)
    if equatorial.kind.startswith("fk4"):
        epoch = float(prm.mjdobs)
        return SkySystem(
            equatorial.kind, equatorial.equinox, epoch if epoch > 0 else math.nan, equatorial.note
        )
    return equatorial


def to_icrs(wcs: WCS, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """ICRS places of pixels.

    Parameters
    ----------
    wcs
        Any celestial WCS; where it has more than two axes, x and y are its first two and the
        others stand at their first pixel.
    x, y
        0-based pixels, of any shape that broadcasts.

    Returns
    -------
    ra, dec : float64 of that shape, deg
        ICRS; `ra` in [0, 360). NaN where a pixel has no place on the sky.

    Raises
    ------
    FrameError
        If the coordinates cannot be turned to ICRS.
    """
    system = _known_system(wcs)
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    pixels = np.zeros((x.size, wcs.naxis))
    pixels[:, 0], pixels[:, 1] = x.ravel(), y.ravel()
    if x.size == 0:
        return np.zeros(x.shape), np.zeros(x.shape)
    world = wcs.all_pix2world(pixels, 0)
    lon, lat = world[:, wcs.wcs.lng], world[:, wcs.wcs.lat]
    ra, dec = _turned(lon, lat, system, inverse=False)
    return ra.reshape(x.shape), dec.reshape(x.shape)


def to_pixels(wcs: WCS, ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
    """Pixels of ICRS places.

    Parameters
    ----------
    wcs
        As `to_icrs` takes it.
    ra, dec
        ICRS, deg, of any shape that broadcasts.

    Returns
    -------
    x, y : float64 of that shape
        0-based pixels; NaN where the place is not on the plane of the image, or where the
        distortion cannot be inverted there.

    Raises
    ------
    FrameError
        If the coordinates cannot be turned to ICRS.
    """
    system = _known_system(wcs)
    ra, dec = np.broadcast_arrays(np.asarray(ra, dtype=float), np.asarray(dec, dtype=float))
    if ra.size == 0:
        return np.zeros(ra.shape), np.zeros(ra.shape)
    lon, lat = _turned(ra.ravel(), dec.ravel(), system, inverse=True)
    world = np.repeat(np.asarray(wcs.wcs.crval, dtype=float)[None, :], ra.size, axis=0)
    world[:, wcs.wcs.lng], world[:, wcs.wcs.lat] = lon, lat
    finite = np.isfinite(lon) & np.isfinite(lat)
    pixels = np.full((ra.size, wcs.naxis), np.nan)
    if finite.any():
        pixels[finite] = wcs.all_world2pix(world[finite], 0, quiet=True)
        finite &= np.isfinite(pixels).all(axis=1)
    if finite.any() and _is_distorted(wcs):
        # An iteration that runs away outside the image ends anywhere.
        back = wcs.all_pix2world(pixels[finite], 0)
        away, _ = separation_and_angle(
            back[:, wcs.wcs.lng], back[:, wcs.wcs.lat], lon[finite], lat[finite]
        )
        pixels[np.flatnonzero(finite)[~(away < _INVERSE_DEG)]] = np.nan
    return pixels[:, 0].reshape(ra.shape), pixels[:, 1].reshape(ra.shape)


def circle_around(wcs: WCS, shape: tuple[int, int]) -> tuple[float, float, float]:
    """The circle on the sky through an image's farthest corner.

    Parameters
    ----------
    wcs
        Of the image.
    shape : (ny, nx)
        Of the image.

    Returns
    -------
    ra, dec : deg, ICRS
        Of the image's centre.
    radius : arcsec
        To its farthest corner.

    Raises
    ------
    FrameError
        If the coordinates cannot be turned to ICRS.
    """
    ny, nx = shape
    x = np.array([(nx - 1) / 2, -0.5, nx - 0.5, -0.5, nx - 0.5])
    y = np.array([(ny - 1) / 2, -0.5, -0.5, ny - 0.5, ny - 0.5])
    ra, dec = to_icrs(wcs, x, y)
    away, _ = separation_and_angle(ra[0], dec[0], ra[1:], dec[1:])
    return float(ra[0]), float(dec[0]), float(np.max(away)) * 3600.0


def compass(wcs: WCS, shape: tuple[int, int]) -> tuple[Floats, Floats] | None:
    """Unit vectors (x, y) of north and east in pixels, at the centre of an image.

    Parameters
    ----------
    wcs
        Of the image.
    shape : (ny, nx)
        Of the image.

    Returns
    -------
    north, east : (2,) each, or None
        None where the solution gives no directions there.
    """
    ny, nx = shape
    here = np.array([(nx - 1) / 2, (ny - 1) / 2])
    try:
        ra, dec = (float(v) for v in to_icrs(wcs, *here))
        step = 0.005 if dec < 89.0 else -0.005
        across = abs(step) / max(math.cos(math.radians(dec)), 1e-6)
        x, y = to_pixels(wcs, [ra, ra + across], [dec + step, dec])
    except Exception:  # a broken solution raises whatever its projection raises
        return None
    north, east = np.stack([x, y], axis=1) - here
    north = north * np.sign(step)
    lengths = np.hypot(*north), np.hypot(*east)
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        return None
    return north / lengths[0], east / lengths[1]


def separation_and_angle(
    ra0: ArrayLike, dec0: ArrayLike, ra1: ArrayLike, dec1: ArrayLike
) -> tuple[Floats, Floats]:
    """Separation, and position angle from the first place to the second.

    Parameters
    ----------
    ra0, dec0, ra1, dec1
        deg.

    Returns
    -------
    separation : deg
    angle : deg
        East of north, in [0, 360).
    """
    a0, d0, a1, d1 = (np.radians(np.asarray(v, dtype=float)) for v in (ra0, dec0, ra1, dec1))
    east = np.cos(d1) * np.sin(a1 - a0)
    north = np.cos(d0) * np.sin(d1) - np.sin(d0) * np.cos(d1) * np.cos(a1 - a0)
    along = np.sin(d0) * np.sin(d1) + np.cos(d0) * np.cos(d1) * np.cos(a1 - a0)
    separation = np.degrees(np.arctan2(np.hypot(east, north), along))
    return separation, np.mod(np.degrees(np.arctan2(east, north)), 360.0)


def _settle(wcs: WCS) -> None:
    """Let wcslib derive what it needs: a WCS made in memory has no axes before."""
    try:
        wcs.wcs.set()
    except Exception as error:
        # wcslib raises many kinds for nonsense.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise FrameError(f"the sky coordinates cannot be used: {reason}") from None


def _known_system(wcs: WCS) -> SkySystem:
    system = sky_system(wcs)
    if not system.kind:
        raise FrameError(f"the sky coordinates cannot be used: {system.note}")
    return system


def _is_distorted(wcs: WCS) -> bool:
    tables = (wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)
    return wcs.sip is not None or any(table is not None for table in tables) or _has_pv(wcs)


def _has_pv(wcs: WCS) -> bool:
    return len(wcs.wcs.get_pv()) > 0


def _turned(lon: Floats, lat: Floats, system: SkySystem, *, inverse: bool) -> tuple[Floats, Floats]:
    """Between a system and ICRS, deg."""
    if system.kind == "icrs":
        return np.mod(lon, 360.0), np.asarray(lat, dtype=float)
    if system.kind.startswith("fk4"):
        return _through_astropy(lon, lat, system, inverse=inverse)
    rotation = _rotation(system.kind, system.equinox)
    a, d = np.radians(lon), np.radians(lat)
    vector = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    x, y, z = (rotation.T if inverse else rotation) @ vector
    return (
        np.mod(np.degrees(np.arctan2(y, x)), 360.0),
        np.degrees(np.arctan2(z, np.hypot(x, y))),
    )


@functools.lru_cache(maxsize=64)
def _rotation(kind: str, equinox: float) -> Floats:
    """The matrix from a system to ICRS, (3, 3)."""
    from astropy.coordinates import SkyCoord

    axes = SkyCoord([0.0, 90.0, 0.0], [0.0, 0.0, 90.0], unit="deg", frame=_frame(kind, equinox))
    return np.asarray(axes.icrs.cartesian.xyz.value, dtype=float)


def _frame(kind: str, equinox: float) -> Any:
    from astropy import coordinates
    from astropy.time import Time

    if kind == "galactic":
        return coordinates.Galactic()
    if kind == "supergalactic":
        return coordinates.Supergalactic()
    if kind == "ecliptic":
        return coordinates.BarycentricMeanEcliptic(equinox=Time(equinox, format="jyear"))
    return coordinates.FK5(equinox=Time(equinox, format="jyear"))


def _through_astropy(
    lon: Floats, lat: Floats, system: SkySystem, *, inverse: bool
) -> tuple[Floats, Floats]:
    from astropy import coordinates
    from astropy.time import Time

    equinox = Time(system.equinox, format="byear")
    known = math.isfinite(system.epoch_mjd)
    # FK4 turns against the stars: its epoch counts (Greisen & Calabretta 2002, A&A 395, 1077).
    epoch = Time(system.epoch_mjd, format="mjd") if known else equinox
    kinds = {"fk4": coordinates.FK4, "fk4noeterms": coordinates.FK4NoETerms}
    frame = kinds[system.kind](equinox=equinox, obstime=epoch)
    given: Any = coordinates.ICRS() if inverse else frame
    wanted: Any = frame if inverse else coordinates.ICRS()
    found = coordinates.SkyCoord(lon, lat, unit="deg", frame=given).transform_to(wanted)
    return np.asarray(found.ra.deg, dtype=float), np.asarray(found.dec.deg, dtype=float)
