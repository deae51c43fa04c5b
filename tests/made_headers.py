"""Headers of every kind that real files have, drawn at random with a known trail in the image.

Nothing of `streaks` is used: pixels go to the sky by the formulas of Calabretta & Greisen (2002)
and of each distortion's own paper, between systems by astropy, and the trail is the integral of a
moving Gaussian. A kind that no reader can get right names the quantity and what a reader should say
of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import (
    FK4,
    FK5,
    ICRS,
    BarycentricMeanEcliptic,
    Galactic,
    SkyCoord,
)
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray
from scipy.special import erf

__all__ = ["Drawn", "draw_header"]

#: One odd, one even.
SHAPE = (131, 180)
NOISE = 10.0
FWHM_PX = 2.2
_SKY = 1000.0


@dataclass
class Drawn:
    """A file's cards and pixels, and the truth.

    `excused` names what cannot be had (``place``, ``time``, ``rate``) and a pattern of the note
    that must say so.
    """

    cards: list[fits.Card] = field(default_factory=list)
    data: NDArray[Any] = field(default_factory=lambda: np.zeros(SHAPE))
    kinds: list[str] = field(default_factory=list)
    excused: dict[str, str] = field(default_factory=dict)
    ra: float = 0.0
    dec: float = 0.0
    rate: float = 0.0
    mid: Time | None = None
    ends: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    form: str = "primary"

    def add(self, word: str, value: Any, comment: str = "") -> None:
        self.cards.append(fits.Card(word, value, comment))

    def raw(self, text: str) -> None:
        """A card as it stands, whether the standard allows it or not."""
        self.cards.append(fits.Card.fromstring(text))

    def write(self, path: Path) -> None:
        header = fits.Header(self.cards)
        if self.form == "primary":
            hdus = [fits.PrimaryHDU(self.data, header)]
        elif self.form == "extension":
            hdus = [fits.PrimaryHDU(), fits.ImageHDU(self.data, header, name="SCI")]
            hdus.append(fits.ImageHDU(np.zeros(SHAPE, np.int16), name="DQ"))
        else:
            hdus = [fits.PrimaryHDU(self.data[None], header)]
        fits.HDUList(hdus).writeto(path, output_verify="ignore")


def draw_header(rng: np.random.Generator) -> Drawn:
    """One file."""
    drawn = Drawn()
    exposure_s = float(np.round(rng.uniform(10.0, 120.0), 1))
    start = Time(rng.uniform(57800.0, 61000.0), format="mjd", scale="utc")
    start = Time(start.isot, format="isot", scale="utc")  # whole milliseconds
    _draw_pixels(rng, drawn)
    _draw_sky(rng, drawn, start, exposure_s)
    pair = _draw_time(rng, drawn, start, exposure_s)
    _draw_exposure(rng, drawn, exposure_s, pair)
    kind = str(rng.choice(["pix", "arcsec", "unit word"]))
    if kind == "pix":
        drawn.add("FWHM", FWHM_PX, "[pix]")
    elif kind == "arcsec":
        drawn.add("SEEING", round(FWHM_PX * _scale(drawn), 4), "arcsec")
    else:
        drawn.add("FWHM", round(FWHM_PX * _scale(drawn), 4))
        drawn.add("FWHMUNIT", "arcsec")
    if "place" in drawn.excused and kind != "pix":
        drawn.cards = [c for c in drawn.cards if c.keyword not in ("FWHM", "FWHMUNIT", "SEEING")]
        drawn.add("FWHM", FWHM_PX, "[pix]")
    return drawn


# -------------------------------------------------------------------------------------- pixels


def _draw_pixels(rng: np.random.Generator, drawn: Drawn) -> None:
    ny, nx = SHAPE
    image = rng.normal(0.0, NOISE, SHAPE)
    length, angle = rng.uniform(60.0, 85.0), rng.uniform(0.0, np.pi)
    x = rng.uniform(85.0, nx - 60.0) if abs(np.cos(angle)) < 0.5 else rng.uniform(70.0, nx - 75.0)
    y = ny / 2 + rng.uniform(-8.0, 8.0)
    dx, dy = 0.5 * length * np.cos(angle), 0.5 * length * np.sin(angle)
    drawn.ends = (x - dx, y - dy, x + dx, y + dy)
    sigma = FWHM_PX / 2.3548
    # S/N about 150 for a trail of this length in this noise.
    flux = 150.0 * NOISE * np.sqrt(2.0 * np.sqrt(np.pi) * sigma * length)
    iy, ix = np.indices(SHAPE)
    # A Gaussian that moves evenly from end to end: across it, and its integral along.
    along = (ix - x) * np.cos(angle) + (iy - y) * np.sin(angle)
    across = (iy - y) * np.cos(angle) - (ix - x) * np.sin(angle)
    root = np.sqrt(2.0) * sigma
    lit = 0.5 * (erf((along + length / 2) / root) - erf((along - length / 2) / root))
    image += (
        flux / length * lit * np.exp(-0.5 * (across / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    )
    kind = str(rng.choice(["float", "int16", "uint16", "filled", "blank", "sky"]))
    drawn.kinds.append(kind)
    if kind in ("uint16", "filled", "blank", "sky"):
        image += _SKY
    if kind == "filled":
        image[:, :8] = 0.0
        image[-3:] = 0.0
    if kind == "blank":
        image[:, :8] = 65535.0
        drawn.add("BLANK", 32767)
    dtype = {"float": ">f4", "sky": ">f8", "int16": ">i2", "filled": "f4"}.get(kind, "uint16")
    if np.dtype(dtype).kind in "iu":
        image = np.round(np.clip(image, -30000, 65535))
    drawn.data = image.astype(dtype)


# ----------------------------------------------------------------------------------------- sky

_SYSTEMS = ("ICRS", "FK5", "FK5 of date", "FK4", "Galactic", "ecliptic", "none", "odd word")


def _scale(drawn: Drawn) -> float:
    return float(next(k.split()[1] for k in drawn.kinds if k.startswith("scale ")))


def _draw_sky(rng: np.random.Generator, drawn: Drawn, start: Time, exposure_s: float) -> None:
    scale, turn = float(rng.uniform(0.3, 3.0)), float(rng.uniform(0.0, 2.0 * np.pi))
    drawn.kinds.append(f"scale {scale:.17g}")
    lon0, lat0 = float(rng.uniform(0.0, 360.0)), float(rng.uniform(-75.0, 75.0))
    crpix = np.array([rng.uniform(1.0, SHAPE[1]), rng.uniform(1.0, SHAPE[0])])
    flip = np.diag([-1.0, 1.0])
    cosine, sine = np.cos(turn), np.sin(turn)
    cd = scale / 3600.0 * np.array([[cosine, -sine], [sine, cosine]]) @ flip
    system = str(rng.choice(_SYSTEMS))
    distortion = str(
        rng.choice(
            ["none", "none", "SIP", "TPV", "SCAMP", "TNX", "ZPX", "SIP+PV", "SIP, no suffix"]
        )
    )
    order = (
        "lon first" if distortion in ("TNX", "ZPX") else str(rng.choice(["lon first", "lat first"]))
    )
    broken = str(rng.choice(["", "unknown distortion", "no number", "TAB", "polynomial CPDIS"],
                            p=[0.92, 0.02, 0.02, 0.02, 0.02]))  # fmt: skip
    if broken:
        distortion = "none"
    drawn.kinds += [system, distortion, order, broken]
    names = {"Galactic": ("GLON", "GLAT"), "ecliptic": ("ELON", "ELAT")}.get(
        system, ("RA--", "DEC-")
    )
    code, words, plane = _distortion(rng, distortion, cd, crpix, order)
    if broken == "unknown distortion":
        code = "TAN-XYZ"
    if broken == "TAB":
        code = "TAB"
    ctype = [f"{name}-{code}" for name in names]
    crval = [lon0, lat0]
    matrix = cd
    if order == "lat first":
        ctype, crval, matrix = ctype[::-1], crval[::-1], cd[::-1]
    unit = str(rng.choice(["", "deg", "degree", "arcsec"]))
    factor = 3600.0 if unit == "arcsec" and distortion == "none" else 1.0
    unit = "deg" if unit == "arcsec" and factor == 1.0 else unit
    quoted = bool(rng.random() < 0.2)
    numbers: dict[str, float] = {"CRPIX1": crpix[0], "CRPIX2": crpix[1]}
    numbers |= {f"CRVAL{i + 1}": crval[i] * factor for i in (0, 1)}
    form = str(rng.choice(["CD", "PC"]))
    for i in (0, 1):
        for j in (0, 1):
            if form == "CD":
                numbers[f"CD{i + 1}_{j + 1}"] = matrix[i, j] * factor
            else:
                numbers[f"PC{i + 1}_{j + 1}"] = matrix[i, j] / (scale / 3600.0)
        if form == "PC":
            numbers[f"CDELT{i + 1}"] = scale / 3600.0 * factor
    numbers |= {word: value for word, value in words.items() if not isinstance(value, str)}
    for i in (0, 1):
        drawn.add(f"CTYPE{i + 1}", ctype[i])
        if unit:
            drawn.add(f"CUNIT{i + 1}", unit)
    for word, value in numbers.items():
        value = int(value) if word.endswith("ORDER") else float(value)
        drawn.add(word, f"{value!r}" if quoted and rng.random() < 0.7 else value)
    for word, value in words.items():
        if isinstance(value, str):
            drawn.add(word, value)
    if broken == "no number":
        drawn.cards = [c for c in drawn.cards if c.keyword != "CRVAL1"]
        drawn.add("CRVAL1", str(rng.choice(["10:00:00", "unknown", "150,0"])))
    if broken == "polynomial CPDIS":
        drawn.add("CPDIS1", "Polynomial")
    if broken:
        drawn.excused["place"] = {
            "unknown distortion": "TAN-XYZ", "no number": "CRVAL1", "TAB": "TAB",
            "polynomial CPDIS": "CPDIS1",
        }[broken]  # fmt: skip
        drawn.excused["rate"] = drawn.excused["place"]
    if rng.random() < 0.15:
        drawn.form = "degenerate"
        drawn.add("CTYPE3", "FREQ")
        drawn.add("CRVAL3", 1.4e9)
    elif rng.random() < 0.3:
        drawn.form = "extension"
    frame = _system(rng, drawn, system, start)
    x0, y0, x1, y1 = drawn.ends
    x, y = np.array([0.5 * (x0 + x1), x0, x1]), np.array([0.5 * (y0 + y1), y0, y1])
    lon, lat = _projected(*plane(x + 1.0, y + 1.0), lon0, lat0, radial=distortion == "ZPX")
    sky = SkyCoord(lon, lat, unit="deg", frame=frame).transform_to(ICRS())
    drawn.ra, drawn.dec = float(sky[0].ra.deg), float(sky[0].dec.deg)
    drawn.rate = float(sky[1].separation(sky[2]).arcsec) / exposure_s


def _system(rng: np.random.Generator, drawn: Drawn, system: str, start: Time) -> Any:
    word = str(rng.choice(["RADESYS", "RADESYS", "RADECSYS"]))
    if system == "ICRS":
        drawn.add(word, "ICRS")
    elif system == "FK5":
        drawn.add(word, str(rng.choice(["FK5", "fk5", "J2000"])))
        if rng.random() < 0.5:
            drawn.add("EQUINOX", rng.choice(["2000.0", "J2000"]) if rng.random() < 0.3 else 2000.0)
        return FK5(equinox="J2000")
    elif system == "FK5 of date":
        year = round(start.jyear, 1)
        if rng.random() < 0.7:
            drawn.add(word, "FK5")
        drawn.add(str(rng.choice(["EQUINOX", "EPOCH"])), year)
        return FK5(equinox=Time(year, format="jyear"))
    elif system == "FK4":
        if rng.random() < 0.5:
            drawn.add(word, str(rng.choice(["FK4", "B1950"])))
        drawn.add("EQUINOX", 1950.0)
        # An epoch that is not read in time moves FK4 by 0.2 arcsec.
        return FK4(equinox="B1950", obstime=start)
    elif system == "Galactic":
        return Galactic()
    elif system == "ecliptic":
        drawn.add("EQUINOX", 2000.0)
        return BarycentricMeanEcliptic(equinox="J2000")
    elif system == "odd word":
        drawn.add(word, str(rng.choice(["GAPPT", "ICRF", "GEOCENTRIC"])))
    return ICRS()


def _projected(
    xi: NDArray[Any], eta: NDArray[Any], lon0: float, lat0: float, *, radial: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """From the plane to the sphere: gnomonic, or ZPX's radius r = z + 30 z**3."""
    r = np.radians(np.hypot(xi, eta))
    if radial:
        z = r.copy()
        for _ in range(50):
            z -= (z + 30.0 * z**3 - r) / (1.0 + 90.0 * z**2)
    else:
        z = np.arctan(r)
    phi = np.arctan2(eta, xi)  # from east to north
    lat0 = np.radians(lat0)
    lat = np.arcsin(np.cos(z) * np.sin(lat0) + np.sin(z) * np.cos(lat0) * np.sin(phi))
    east = np.sin(z) * np.cos(phi)
    north = np.cos(z) * np.cos(lat0) - np.sin(z) * np.sin(lat0) * np.sin(phi)
    return (lon0 + np.degrees(np.arctan2(east, north))) % 360.0, np.degrees(lat)


def _distortion(
    rng: np.random.Generator, kind: str, cd: NDArray[Any], crpix: NDArray[Any], order: str
) -> tuple[str, dict[str, Any], Any]:
    """Code of the projection, words, and what they do: FITS pixels to the plane, deg."""

    def linear(x: Any, y: Any) -> Any:
        return cd @ np.stack([x - crpix[0], y - crpix[1]])

    if kind == "none":
        return "TAN", {}, linear
    if kind.startswith("SIP"):
        a, b = rng.uniform(-3e-5, 3e-5, 3), rng.uniform(-3e-5, 3e-5, 3)
        powers = ((2, 0), (1, 1), (0, 2))
        words: dict[str, Any] = {"A_ORDER": 2, "B_ORDER": 2}
        words |= {f"A_{p}_{q}": v for (p, q), v in zip(powers, a, strict=True)}
        words |= {f"B_{p}_{q}": v for (p, q), v in zip(powers, b, strict=True)}

        def sip(x: Any, y: Any) -> Any:
            p, q = x - crpix[0], y - crpix[1]
            terms = np.stack([p * p, p * q, q * q])
            return cd @ np.stack([p + a @ terms, q + b @ terms])

        if kind == "SIP+PV":
            words |= {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_7": 5.0, "PV2_7": 5.0, "PV1_0": 0.01}
        return ("TAN" if kind == "SIP, no suffix" else "TAN-SIP"), words, sip
    powers4 = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]
    tpv = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    sizes = np.array([3e-4, 2e-3, 2e-3, 0.02, 0.02, 0.02, 0.3, 0.3, 0.3, 0.3])
    first, second = rng.uniform(-1, 1, 10) * sizes, rng.uniform(-1, 1, 10) * sizes

    def polynomial(x: Any, y: Any) -> Any:
        xi, eta = linear(x, y)
        more = [sum(c * xi**i * eta**j for c, (i, j) in zip(f, powers4, strict=True))
                for f in (first, second)]  # fmt: skip
        return xi + more[0], eta + more[1]

    if kind in ("TPV", "SCAMP"):
        axes = (1, 2) if order == "lon first" else (2, 1)
        words = {}
        for k, c0, (i, j) in zip(tpv, first, powers4, strict=True):
            words[f"PV{axes[0]}_{k}"] = c0 + (1.0 if k == 1 else 0.0)
            # The latitude's own coordinate is eta: its terms are in eta, xi.
            c1 = second[powers4.index((j, i))]
            words[f"PV{axes[1]}_{k}"] = c1 + (1.0 if k == 1 else 0.0)
        return ("TPV" if kind == "TPV" else "TAN"), words, polynomial
    function = int(rng.choice([1, 2, 3]))
    limit = 0.1
    words = {"WAT0_001": "system=image"}
    scaled = {
        1: [lambda t: t * 0 + 1, lambda t: t, lambda t: 2 * t * t - 1, lambda t: 4 * t**3 - 3 * t],
        2: [lambda t: t * 0 + 1, lambda t: t, lambda t: 1.5 * t * t - 0.5,
            lambda t: 2.5 * t**3 - 1.5 * t],
        3: [lambda t: t * 0 + 1, lambda t: t, lambda t: t**2, lambda t: t**3],
    }[function]  # fmt: skip
    places = [(i, j) for j in range(4) for i in range(4) if i + j < 4]
    norm = 1.0 if function == 3 else 1.0 / limit
    sizes = np.array([3e-4 if function != 3 else 2e-3 * 10.0 ** (i + j - 1) for i, j in places])
    surfaces = [rng.uniform(-1, 1, 10) * sizes for _ in range(2)]
    for axis, name, correction, surface in zip((1, 2), ("ra", "dec"), ("lngcor", "latcor"),
                                               surfaces, strict=True):  # fmt: skip
        text = f"wtype={kind.lower()} axtype={name} "
        if kind == "ZPX":
            text += "projp0=0. projp1=1. projp2=0. projp3=30. "
        head = f"{function}. 4. 4. 2. -{limit} {limit} -{limit} {limit} "
        text += f'{correction} = "{head}{" ".join(f"{v:.14E}" for v in surface)} "'
        for n, at in enumerate(range(0, len(text), 68), 1):
            words[f"WAT{axis}_{n:03d}"] = text[at : at + 68]

    def iraf(x: Any, y: Any) -> Any:
        xi, eta = linear(x, y)
        more = [
            sum(c * scaled[i](xi * norm) * scaled[j](eta * norm)
                for c, (i, j) in zip(surface, places, strict=True))
            for surface in surfaces
        ]  # fmt: skip
        return xi + more[0], eta + more[1]

    return kind, words, iraf


# ---------------------------------------------------------------------------------------- time


def _clock(time: Time) -> str:
    return str(time.isot[11:])


def _draw_time(rng: np.random.Generator, drawn: Drawn, start: Time, exposure_s: float) -> bool:
    """Words of the time; whether they give start and end."""
    drawn.mid = start + 0.5 * exposure_s * u.s
    end = start + exposure_s * u.s
    kind = str(rng.choice(list(_TIMES)))
    drawn.kinds.append(f"time: {kind}")
    _TIMES[kind](rng, drawn, start, end)
    if "FK4" in drawn.kinds and kind in ("unreadable", "unknown TIMESYS"):
        drawn.excused.setdefault("place", "FK4 without")
    return kind in ("pair", "pair of MJD", "TESS")


def _offset(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    hours = int(rng.integers(-11, 13))
    local = start + hours * u.h
    drawn.add("DATE-OBS", f"{local.isot}{'-' if hours < 0 else '+'}{abs(hours):02d}:00")


def _with_clock(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    date = str(start.isot[:10])
    date = str(rng.choice([date, date.replace("-", "/"), f"{date}T00:00:00"]))
    drawn.add(str(rng.choice(["DATE-OBS", "DATE_OBS"])), date)
    drawn.add(str(rng.choice(["TIME-OBS", "UT", "UTC-OBS", "UTSTART", "UT-START"])), _clock(start))


def _in_seconds(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("DATE-OBS", start.isot[:10])
    day = Time(start.isot[:10], scale="utc")
    drawn.add("UTC", round(float((start - day).sec), 3), "[s] since midnight")


def _sdss(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("DATE-OBS", start.tai.isot[:10])
    drawn.add("TAIHMS", _clock(start.tai))
    drawn.add("MJD-OBS", int(start.mjd))
    drawn.add("TIMESYS", "TAI")


def _timesys(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    scale = str(rng.choice(["TAI", "TT", "TDB", "GPS"]))
    shifted = start.tai - 19.0 * u.s if scale == "GPS" else getattr(start, scale.lower())
    drawn.add("TIMESYS", scale)
    drawn.add("DATE-OBS", shifted.isot)


def _unknown_timesys(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    word = str(rng.choice(["LOCAL", "EST", "HST"]))
    drawn.add("TIMESYS", word)
    drawn.add("DATE-OBS", (start - 5 * u.h).isot)
    drawn.excused["time"] = word


def _coarse(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("DATE-OBS", start.isot)
    digits = int(rng.integers(0, 5))
    value = round(start.mjd, digits) if digits else int(start.mjd)
    drawn.add(str(rng.choice(["MJD-OBS", "MJD"])), value)


def _only_coarse(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.raw(f"MJD-OBS = {start.mjd:20.2f}")
    drawn.excused["time"] = "MJD-OBS"


def _only_day(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    if rng.random() < 0.5:
        drawn.add("MJD-OBS", int(start.mjd))
        drawn.excused["time"] = "MJD-OBS"
    else:
        drawn.add("DATE-OBS", start.isot[:10])
        drawn.excused["time"] = "DATE-OBS"


def _disagree(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("DATE-OBS", start.isot)
    drawn.add("MJD-OBS", float((start + rng.choice([-1, 1]) * rng.uniform(5, 1e4) * u.s).mjd))
    drawn.excused["time"] = "MJD-OBS.*DATE-OBS|DATE-OBS.*MJD-OBS"


def _unreadable(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    text = str(
        rng.choice(
            ["06/07/2024 08:00:00", "2024-06-15 08:00:00 PM", "last night", "2024-13-45T99:00:00"]
        )
    )
    drawn.add("DATE-OBS", text)
    drawn.excused["time"] = "DATE-OBS"


def _tess(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("TIMESYS", "TDB")
    drawn.add("DATE-OBS", f"{start.isot}Z")
    drawn.add("DATE-END", f"{end.isot}Z")


def _word(word: str, make: Any, comment: str = "") -> Any:
    def draw(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
        drawn.add(word, make(start, end), comment)

    return draw


def _mid(start: Time, end: Time) -> Time:
    return start + 0.5 * (end - start)


def _seconds_only(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    # A camera that drops the fraction: the instant that it means is the whole second.
    whole = Time(f"{start.isot[:19]}", scale="utc")
    drawn.mid = whole + 0.5 * (end - start)
    drawn.add("DATE-OBS", whole.isot[:19])


def _two(first: str, second: str, make: Any) -> Any:
    def draw(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
        drawn.add(first, make(start))
        drawn.add(second, make(end))

    return draw


def _old_date(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    year, month, day = start.isot[:10].split("-")
    drawn.add("DATE-OBS", f"{day}/{month}/{int(year) - 1900}")
    drawn.add("TIME-OBS", _clock(start))


def _by_name(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("DATE-OBS", f"{start.strftime('%d-%b-%Y')} {_clock(start)}")


def _raw_date(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.raw(f"DATE-OBS= {start.isot} / Time of observation (UTC)")


def _date_and_ut(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("DATE", start.isot[:10])
    drawn.add(str(rng.choice(["UT", "TIME"])), _clock(start))


def _barycentric(rng: Any, drawn: Drawn, start: Time, end: Time) -> None:
    drawn.add("TIMEREF", "SOLARSYSTEM")
    drawn.add("DATE-OBS", (start + 300 * u.s).isot)
    drawn.excused["time"] = "at the Sun"


_TIMES: dict[str, Any] = {
    "iso": _word("DATE-OBS", lambda s, e: s.isot),
    "whole seconds": _seconds_only,
    "Z": _word("DATE-OBS", lambda s, e: f"{s.isot}Z"),
    "blank": _word("DATE-OBS", lambda s, e: s.isot.replace("T", " ")),
    "slashes": _word("DATE-OBS", lambda s, e: s.isot.replace("-", "/")),
    "compact": _word("DATE-OBS", lambda s, e: s.isot.replace("-", "").replace(":", "")),
    "underscore": _word("DATE_OBS", lambda s, e: s.isot),
    "offset": _offset,
    "unquoted": _raw_date,
    "clock": _with_clock,
    "clock in seconds": _in_seconds,
    "SDSS": _sdss,
    "DATE and UT": _date_and_ut,
    "day of month by name": _by_name,
    "old": _old_date,
    "MJD": _word("MJD-OBS", lambda s, e: float(s.mjd)),
    "MJD in quotes": _word("MJD-OBS", lambda s, e: f"{s.mjd:.9f}"),
    "JD": _word("JD", lambda s, e: float(s.jd)),
    "TAI seconds": _word("TAI", lambda s, e: round(float(s.tai.mjd) * 86400.0, 3)),
    "TIMESYS": _timesys,
    "unknown TIMESYS": _unknown_timesys,
    "middle": _word("DATE-AVG", lambda s, e: _mid(s, e).isot),
    "middle in MJD": _word("MJD-MID", lambda s, e: float(_mid(s, e).mjd)),
    "end by comment": _word("DATE-OBS", lambda s, e: e.isot, "UTC at end of exposure"),
    "middle by comment": _word("DATE-OBS", lambda s, e: _mid(s, e).isot, "middle of exposure"),
    "pair": _two("DATE-BEG", "DATE-END", lambda t: t.isot),
    "pair of MJD": _two("EXPSTART", "EXPEND", lambda t: float(t.mjd)),
    "TESS": _tess,
    "coarse beside fine": _coarse,
    "coarse alone": _only_coarse,
    "a day alone": _only_day,
    "words that disagree": _disagree,
    "unreadable": _unreadable,
    "barycentric": _barycentric,
}


# ------------------------------------------------------------------------------------ exposure


def _draw_exposure(rng: np.random.Generator, drawn: Drawn, seconds: float, pair: bool) -> None:
    kinds = ["s", "plain", "[d]", "minutes", "[ms]", "hours", "text", "unit word", "conflict"]
    kind = str(rng.choice([*kinds, "none"]))
    drawn.kinds.append(f"exposure: {kind}")
    word = str(rng.choice(["EXPTIME", "EXPOSURE"]))
    if kind == "s":
        drawn.add(
            word, seconds, str(rng.choice(["[s] exposure", "Exposure time (sec)", "seconds"]))
        )
    elif kind == "plain":
        drawn.add(word, seconds, "total exposure")
    elif kind == "[d]":
        drawn.add(word, seconds / 86400.0, "[d] time on source")
    elif kind == "minutes":
        drawn.add(word, seconds / 60.0, str(rng.choice(["Exposure time minutes", "[min]"])))
    elif kind == "[ms]":
        drawn.add(word, seconds * 1000.0, str(rng.choice(["[ms] shutter", "in milliseconds"])))
    elif kind == "hours":
        drawn.add(word, seconds / 3600.0, "[h] exposure")
    elif kind == "text":
        drawn.add(word, f"{seconds} s")
    elif kind == "unit word":
        drawn.add("EXPOSURE", seconds / 60.0)
        drawn.add(str(rng.choice(["EXPOUNIT", "EXP_UNIT", "EXPUNIT"])), "min")
    elif kind == "conflict":
        drawn.add("EXPTIME", seconds / 60.0)
        drawn.add("EXPOSURE", seconds)
        drawn.excused.setdefault("rate", "EXPTIME")
        drawn.excused.setdefault("time", "EXPTIME")
    elif not pair:
        # Without any word for it there is no rate; a start is then taken for the middle.
        drawn.excused.setdefault("rate", "exposure")
        drawn.excused.setdefault("time", "exposure|time|DATE|MJD")
