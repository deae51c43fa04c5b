"""Asteroid candidates as ADES observations, for a person to check and submit.

ADES has no trail ends: what is reported is the midpoint at mid-exposure, with errors that are
longer along the trail than across it, and the note ``t``. Nothing is ever submitted from here.

References
----------
Chesley et al. 2022, "ADES: Astrometry Data Exchange Standard", and the schema of the
IAU-ADES group (types and order of the optical observation).
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.errors import ConfigError, TableError
from streaks.reporting.bands import mpc_band
from streaks.tables import StreakFlag

__all__ = [
    "AdesContext",
    "ades_context",
    "ades_psv",
    "split_submittable",
    "tracklet_name",
    "with_station",
]

_log = logging.getLogger(__name__)

#: Ends cut by an edge or a mask: the midpoint is not where the object was at mid-exposure.
_CUT = StreakFlag.EDGE_0 | StreakFlag.EDGE_1 | StreakFlag.MASKED_0 | StreakFlag.MASKED_1

#: Of an object and a night, before the Minor Planet Center takes them.
_MIN_POSITIONS = 3

_NEEDED = ("streak_id", "ra", "dec", "ra0", "dec0", "ra1", "dec1", "time", "length")
_COLUMNS = (
    "permID", "provID", "trkSub", "mode", "stn", "obsTime", "rmsTime", "ra", "dec", "rmsRA",
    "rmsDec", "rmsCorr", "astCat", "mag", "rmsMag", "band", "photCat", "logSNR", "exp", "notes",
    "remarks",
)  # fmt: skip
#: Streaks that one warning names; a night has hundreds.
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class AdesContext:
    """What an ADES file says of who and what observed.

    Parameters
    ----------
    observatory
        MPC code; empty to take each streak's own (column or ``meta`` ``observatory``).
    band
        Magnitude band in the MPC's list; empty to take each streak's own filter, by
        `streaks.reporting.bands.mpc_band`.
    astrometric_catalogue, photometric_catalogue
        In the MPC's list; ``UNK`` when the image does not say.
    astrometric_floor_arcsec
        Added in quadrature to both axes: the plate solution's own error, which a fit to one
        streak cannot see. ZTF's is 0.045 to 0.085 arcsec an axis (Masci et al. 2019, PASP 131,
        018003); the default is rounded up.
    rms_time_s
        Error of the mid-exposure time, s; NaN leaves the field blank.
    submitter, institution, observers, measurers
        Names. The MPC takes no file without them; here they are left out when not given, so
        that a file of candidates cannot go out by mistake.
    telescope
        ``design``, ``aperture`` (m), ``detector``, and what else ADES has of a telescope.
    """

    observatory: str = ""
    band: str = ""
    astrometric_catalogue: str = "UNK"
    photometric_catalogue: str = ""
    astrometric_floor_arcsec: float = 0.1
    rms_time_s: float = math.nan
    submitter: str = ""
    institution: str = ""
    observers: tuple[str, ...] = ()
    measurers: tuple[str, ...] = ()
    telescope: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, text, limit in (
            ("observatory", self.observatory, r"[A-Za-z0-9]{3,4}"),
            ("band", self.band, r"\w{1,3}"),
            ("astrometric_catalogue", self.astrometric_catalogue, r"\w{1,8}"),
            ("photometric_catalogue", self.photometric_catalogue, r"\w{1,8}"),
        ):
            if text and not re.fullmatch(limit, text, flags=re.ASCII):
                raise ConfigError(f"ADES {what} is {text!r}; expected a code of the MPC's lists")
        if not self.astrometric_floor_arcsec >= 0:
            raise ConfigError(
                f"astrometric_floor_arcsec is {self.astrometric_floor_arcsec}; it must be >= 0"
            )


def ades_context(values: Mapping[str, Any]) -> AdesContext:
    """A context from plain values, as a TOML file holds them.

    Parameters
    ----------
    values
        By the names of `AdesContext`.

    Returns
    -------
    AdesContext

    Raises
    ------
    ConfigError
        For an unknown name, naming those that exist, or a value of the wrong kind.
    """
    kinds = {one.name: type(getattr(AdesContext(), one.name)) for one in fields(AdesContext)}
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise ConfigError(
            f"an ADES context has no {', '.join(unknown)}; it has {', '.join(sorted(kinds))}"
        )
    given: dict[str, Any] = {}
    for name, value in values.items():
        kind = kinds[name]
        sound = isinstance(
            value,
            {tuple: list, float: int | float, str: str}.get(kind, Mapping),
        )
        if not sound:
            raise ConfigError(
                f"ADES {name} is {value!r}; expected {_KIND_NAMES.get(kind, 'a table')}"
            )
        given[name] = tuple(map(str, value)) if kind is tuple else value
    if "telescope" in given:
        given["telescope"] = {str(key): str(text) for key, text in given["telescope"].items()}
    return AdesContext(**given)


_KIND_NAMES = {tuple: "a list of names", float: "a number", str: "a text"}


def with_station(streaks: QTable, *, observatory: str, band: str) -> QTable:
    """The streaks of one image with the columns that an ADES file needs and an image knows.

    Parameters
    ----------
    streaks
        Of one image.
    observatory
        MPC code; empty where unknown.
    band
        The filter as the image spells it; empty where unknown.

    Returns
    -------
    QTable
        With ``observatory`` and ``band``.
    """
    told = streaks.copy(copy_data=False)
    told["observatory"] = np.full(
        len(streaks), observatory or "", dtype=f"U{len(observatory) or 1}"
    )
    told["band"] = np.full(len(streaks), band or "", dtype=f"U{len(band) or 1}")
    return told


def tracklet_name(streak_id: str) -> str:
    """A name of eight characters for a streak: ``S`` and seven of its hash, always the same.

    Parameters
    ----------
    streak_id
        Of the streak, or the name of its tracklet.

    Returns
    -------
    str
    """
    digest = hashlib.sha256(streak_id.encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    name = ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        name += digits[digit]
    return "S" + name


def _track_name(table: QTable, row: int) -> str:
    """The tracklet's own name where ADES can hold it; a streak alone has one of its own."""
    name = _text(table, row, "tracklet", "")
    if re.fullmatch(r"[A-Za-z0-9]{1,8}", name):
        return name
    return tracklet_name(name or str(table["streak_id"][row]))


def split_submittable(table: QTable) -> tuple[QTable, QTable]:
    """Streaks to report, as those that the MPC takes and the rest.

    The Minor Planet Center asks for three positions an object and night: submittable are streaks
    of a ``tracklet`` that has at least three times of exposure among them. All streaks of a
    tracklet of several times count as the asteroid that one of them was called.

    Parameters
    ----------
    table
        Streaks of a night.

    Returns
    -------
    submittable, candidates
        Tables of the same columns.
    """
    told = _named_by_tracklet(table)
    keep = _reportable(told)
    names = [_text(table, row, "tracklet", "") for row in range(len(table))]
    times: dict[str, set[str]] = {}
    for row in np.flatnonzero(keep):
        times.setdefault(names[row], set()).add(str(table["time"][row]))
    enough = {name for name, seen in times.items() if name and len(seen) >= _MIN_POSITIONS}
    ready = np.array([name in enough for name in names], dtype=bool)
    return told[keep & ready], told[keep & ~ready]


def _named_by_tracklet(table: QTable) -> QTable:
    """The table with one class a motion: asteroid, where any of its streaks is called so."""
    if "label" not in table.colnames or "tracklet" not in table.colnames:
        return table
    times: dict[str, set[str]] = {}
    for row, name in enumerate(table["tracklet"]):
        times.setdefault(str(name), set()).add(str(table["time"][row]))
    labels = [str(label) for label in table["label"]]
    asteroids = {str(n) for n, label in zip(table["tracklet"], labels, strict=True)
                 if label == "asteroid" and str(n) and len(times[str(n)]) > 1}  # fmt: skip
    told = table.copy(copy_data=False)
    told["label"] = np.array(
        ["asteroid" if str(name) in asteroids else label
         for name, label in zip(table["tracklet"], labels, strict=True)],
        dtype="U16",
    )  # fmt: skip
    return told


def ades_psv(table: QTable, context: AdesContext | None = None) -> str:
    """ADES 2022 observations in pipe-separated values.

    Asteroids only, where the table has classes; without classes, every streak. Left out, and
    said in the log: streaks cut by an edge or a mask (their midpoint is no position at
    mid-exposure) and negative ones. Streaks of one ``tracklet`` share a ``trkSub``.

    Parameters
    ----------
    table
        Streaks, with sky coordinates and times.
    context
        Of the file; one without names when not given.

    Returns
    -------
    str
        A header for each observatory met and its observations.

    Raises
    ------
    TableError
        When a streak to report lacks sky coordinates, time or observatory.
    """
    context = AdesContext() if context is None else context
    missing = [name for name in _NEEDED if name not in table.colnames]
    if missing:
        raise TableError(f"an ADES file needs the columns {', '.join(missing)}")
    rows = [int(row) for row in np.flatnonzero(_reportable(table))]
    _check_rows(table, rows)
    stations = [_text(table, row, "observatory", context.observatory) for row in rows]
    _check_stations(table, rows, stations)
    _say_unknown_bands(table, rows, context)
    blocks = ["# version=2022"]
    for station in sorted(set(stations)):
        records = [
            _record(table, row, station, context)
            for row, its in zip(rows, stations, strict=True)
            if its == station
        ]
        blocks += [*_header(station, context), *_aligned(records)]
    if len(rows) == 0:
        blocks += ["# comment", "! line no candidates"]
    return "\n".join(blocks) + "\n"


def _say_unknown_bands(table: QTable, rows: list[int], context: AdesContext) -> None:
    names = {_text(table, row, "band", "") for row in rows} if not context.band else set()
    unknown = sorted(name for name in names if name and not mpc_band(name))
    if unknown:
        _log.warning(
            "magnitudes are left out of the ADES file: the MPC's list has no band for the filter "
            "%s; give one with --ades (band = ...)",
            ", ".join(unknown[:_NAMED]),
        )


def _reportable(table: QTable) -> NDArray[np.bool_]:
    keep = np.ones(len(table), dtype=bool)
    if "label" in table.colnames:
        keep &= np.asarray(table["label"]).astype(str) == "asteroid"
    if "flags" in table.colnames:
        flags = np.asarray(table["flags"]).astype(np.int64)
        left_out = keep & ((flags & int(_CUT | StreakFlag.NEGATIVE)) != 0)
        if left_out.any():
            names = [str(name) for name in table["streak_id"][left_out]]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            _log.warning(
                "left out of the ADES file, cut or negative: %s%s", ", ".join(names[:_NAMED]), more
            )
        keep &= ~left_out
    return keep


def _check_rows(table: QTable, rows: list[int]) -> None:
    for row in rows:
        place = (table[name][row].to_value("deg") for name in ("ra", "dec", "ra0", "dec0"))
        if not all(math.isfinite(value) for value in place):
            raise TableError(
                f"{table['streak_id'][row]} has no sky coordinates, which an ADES file needs; "
                "give an image with WCS, or write .ecsv"
            )
        if not str(table["time"][row]):
            raise TableError(
                f"{table['streak_id'][row]} has no time, which an ADES file needs; give --time"
            )


def _check_stations(table: QTable, rows: list[int], stations: list[str]) -> None:
    for row, station in zip(rows, stations, strict=True):
        if not re.fullmatch(r"[A-Za-z0-9]{3,4}", station):
            raise TableError(
                f"{table['streak_id'][row]} has the observatory code {station!r}; an ADES file "
                "needs an MPC code such as I41: give --observatory"
            )


def _header(station: str, context: AdesContext) -> list[str]:
    lines = ["# observatory", f"! mpcCode {station}"]
    if context.submitter:
        lines += ["# submitter", f"! name {_clean(context.submitter)}"]
        if context.institution:
            lines.append(f"! institution {_clean(context.institution)}")
    for what, names in (("observers", context.observers), ("measurers", context.measurers)):
        if names:
            lines += [f"# {what}", *(f"! name {_clean(name)}" for name in names)]
    if context.telescope:
        lines.append("# telescope")
        lines += [f"! {_clean(key)} {_clean(v)}" for key, v in context.telescope.items()]
    lines += [
        "# comment",
        "! line Candidates found in single images: positions of trail midpoints at mid-exposure",
        "! line Not submitted; look at each, and link at least three positions, before you do",
    ]
    return lines


def _record(table: QTable, row: int, station: str, context: AdesContext) -> dict[str, str]:
    rms_ra, rms_dec, rms_corr = _position_errors(table, row, context.astrometric_floor_arcsec)
    snr = _number(table, row, "snr")
    mag = _number(table, row, "mag")
    # What a person gave is taken at its word: the MPC's list grows.
    band = context.band or mpc_band(_text(table, row, "band", ""))
    record = dict.fromkeys(_COLUMNS, "")
    record |= {
        "trkSub": _track_name(table, row),
        "mode": "CCD",
        "stn": station,
        "obsTime": str(table["time"][row]).rstrip("Z") + "Z",
        "rmsTime": _error(context.rms_time_s, 2),
        "ra": _fixed(round(_number(table, row, "ra") % 360.0, 6) % 360.0, 6),
        "dec": f"{_number(table, row, 'dec'):+.6f}",
        "rmsRA": _error(rms_ra, 3),
        "rmsDec": _error(rms_dec, 3),
        "rmsCorr": _fixed(min(max(rms_corr, -0.9999), 0.9999), 4),
        "astCat": context.astrometric_catalogue,
        "logSNR": _fixed(math.log10(snr), 3) if snr > 0 else "",
        "exp": _error(_exposure_s(table, row), 1),
        "notes": "t",
        "remarks": _clean(f"{table['streak_id'][row]}{_known(table, row)}")[:200],
    }
    # The schema allows a magnitude only together with its band.
    if math.isfinite(mag) and band:
        record |= {
            "mag": _fixed(mag, 2),
            "rmsMag": _error(_number(table, row, "mag_err"), 2),
            "band": band,
            "photCat": context.photometric_catalogue,
        }
    return record


def _position_errors(table: QTable, row: int, floor_arcsec: float) -> tuple[float, float, float]:
    """Errors of the midpoint in RA (times cos dec) and Dec, arcsec, and their correlation.

    The midpoint errs by half of both ends' errors in quadrature along the trail, and by its own
    error across it; both turned by the position angle.
    """
    scale = _trail_arcsec(table, row) / _number(table, row, "length")
    along = 0.5 * math.hypot(_number(table, row, "along0_err"), _number(table, row, "along1_err"))
    across = _number(table, row, "across_err")
    pa = math.radians(_number(table, row, "pa"))
    east2 = (along * math.sin(pa)) ** 2 + (across * math.cos(pa)) ** 2
    north2 = (along * math.cos(pa)) ** 2 + (across * math.sin(pa)) ** 2
    covariance = (along**2 - across**2) * math.sin(pa) * math.cos(pa) * scale**2
    rms_ra = math.sqrt(east2 * scale**2 + floor_arcsec**2)
    rms_dec = math.sqrt(north2 * scale**2 + floor_arcsec**2)
    product = rms_ra * rms_dec
    return rms_ra, rms_dec, covariance / product if product > 0 else math.nan


def _trail_arcsec(table: QTable, row: int) -> float:
    """Angular distance of the two ends, arcsec."""
    ra0, dec0, ra1, dec1 = (
        math.radians(_number(table, row, name)) for name in ("ra0", "dec0", "ra1", "dec1")
    )
    # Haversine: the arc cosine loses arcseconds to rounding.
    h = (
        math.sin((dec1 - dec0) / 2) ** 2
        + math.cos(dec0) * math.cos(dec1) * math.sin((ra1 - ra0) / 2) ** 2
    )
    return math.degrees(2 * math.asin(math.sqrt(h))) * 3600.0


def _exposure_s(table: QTable, row: int) -> float:
    """Trail over rate, which is how the rate was made; NaN without one."""
    rate = _number(table, row, "rate")
    return _trail_arcsec(table, row) / rate if rate > 0 else math.nan


def _known(table: QTable, row: int) -> str:
    distance = _number(table, row, "ssdistnr")
    if not distance >= 0:
        return ""
    return f"; {distance:.1f} arcsec from {table['ssnamenr'][row]}"


def _number(table: QTable, row: int, name: str) -> float:
    """A value without its unit; NaN where the table has no such column."""
    if name not in table.colnames:
        return math.nan
    value = table[name][row]
    return float(getattr(value, "value", value))


def _text(table: QTable, row: int, name: str, given: str) -> str:
    """What was given, else the row's own, else the table's ``meta``."""
    if given:
        return given
    if name in table.colnames and str(table[name][row]):
        return str(table[name][row])
    return str(table.meta.get(name, ""))


def _fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def _error(value: float, digits: int) -> str:
    """A number that must be above 0 in the schema, however it rounds; blank where unknown."""
    return _fixed(max(value, 10.0**-digits), digits) if value >= 0 else ""


def _clean(text: str) -> str:
    """Text without the separator and control characters, and on one line."""
    return re.sub(r"[|\x00-\x1f\x7f-\x9f\ud800-\udfff]+", " ", str(text)).strip()


def _aligned(records: list[dict[str, str]]) -> list[str]:
    """The records under one line of headings, without columns that nobody fills."""
    used = [name for name in _COLUMNS if any(record[name] for record in records)]
    widths = {name: max(len(name), *(len(r[name]) for r in records)) for name in used}
    lines = ["|".join(name.ljust(widths[name]) for name in used)]
    lines += ["|".join(record[name].ljust(widths[name]) for name in used) for record in records]
    return [line.rstrip() for line in lines]
