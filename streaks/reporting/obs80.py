"""Observations in the MPC's 80 columns, which older programs read; ADES tells more.

The form has no trail ends and no errors: what it holds is the middle of a streak at mid-exposure.
"""

from __future__ import annotations

import math
import re

import numpy as np
from astropy.table import QTable
from astropy.time import Time

from streaks.errors import TableError
from streaks.reporting.ades import tracklet_name
from streaks.reporting.bands import mpc_band

__all__ = ["lines_by_name", "obs80_lines", "obs80_name", "tracklet_80_name"]

_DAY_DIGITS, _RA_DIGITS, _DEC_DIGITS = 6, 3, 2
_NAME_LENGTH = 7


def obs80_lines(table: QTable, *, observatory: str = "", band: str = "") -> list[str]:
    """One line of 80 characters a streak.

    Parameters
    ----------
    table
        Streaks with ``ra, dec, time``; with ``tracklet``, ``mag``, ``band`` and ``observatory``
        where they are known.
    observatory, band
        MPC code and filter, where the table does not tell.

    Returns
    -------
    list of str
        In the order of the table.

    Raises
    ------
    TableError
        For a row without place or time, or an observatory that is no code of three characters.

    References
    ----------
    Minor Planet Center, Format For Optical Astrometric Observations Of Comets, Minor Planets and
    Natural Satellites.
    """
    return [_line(table, row, observatory, band) for row in range(len(table))]


def obs80_name(table: QTable, row: int) -> str:
    """The temporary designation of a streak, seven characters: that of its tracklet.

    Parameters
    ----------
    table
        Streaks.
    row
        Of one.

    Returns
    -------
    str
    """
    name = str(table["tracklet"][row]) if "tracklet" in table.colnames else ""
    return tracklet_80_name(name or str(table["streak_id"][row]))


def tracklet_80_name(name: str) -> str:
    """The temporary designation of a tracklet: its name where seven characters hold it.

    Parameters
    ----------
    name
        Of a tracklet, or of a streak that is in none.

    Returns
    -------
    str
    """
    if re.fullmatch(r"[A-Za-z0-9]{1,7}", name):
        return name
    # Seven characters of a hash are enough for a night.
    return tracklet_name(name)[:_NAME_LENGTH]


def _line(table: QTable, row: int, observatory: str, band: str) -> str:
    ra, dec = (float(table[name][row].to_value("deg")) for name in ("ra", "dec"))
    time = str(table["time"][row])
    if not (math.isfinite(ra) and math.isfinite(dec) and time):
        raise TableError(
            f"{table['streak_id'][row]} has no place or no time, which a line of 80 columns needs; "
            "give images with WCS and time"
        )
    station = _text(table, row, "observatory", observatory)
    if not re.fullmatch(r"[A-Z0-9]{3}", station):
        raise TableError(
            f"observatory {station!r} of {table['streak_id'][row]}: expected an MPC code of three "
            "characters, such as I41; give --observatory"
        )
    mag = float(table["mag"][row].to_value("mag")) if "mag" in table.colnames else math.nan
    letter = mpc_band(_text(table, row, "band", band)) if math.isfinite(mag) else ""
    brightness = f"{mag:5.2f}{(letter or ' ')[-1]}" if -9.0 < mag < 99.0 else " " * 6
    name = obs80_name(table, row)
    line = (
        f"{'':5}{name:<7}  C{_date(time)}{_sexagesimal(ra / 15.0, _RA_DIGITS, 24)}"
        f"{_declination(dec)}{'':9}{brightness}{'':6}{station}"
    )
    assert len(line) == 80, line
    return line


def _date(time: str) -> str:
    """``2017 11 29.123456``."""
    jd = Time(time, scale="utc")
    days = round(float(jd.jd1 - 0.5) + float(jd.jd2), _DAY_DIGITS)
    # Whole microdays, so that no day has 24 hours.
    whole = math.floor(days)
    start = Time(whole + 0.5, format="jd", scale="utc").ymdhms
    return f"{start['year']:04d} {start['month']:02d} {start['day'] + days - whole:09.6f}"


def _sexagesimal(value: float, digits: int, turn: int) -> str:
    """``HH MM SS.ddd``."""
    units = round(value * 3600.0 * 10**digits) % (turn * 3600 * 10**digits)
    seconds, fraction = divmod(units, 10**digits)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d} {minute:02d} {second:02d}.{fraction:0{digits}d}"


def _declination(dec: float) -> str:
    sign = "-" if dec < 0 else "+"
    return sign + _sexagesimal(abs(dec), _DEC_DIGITS, 360)


def _text(table: QTable, row: int, name: str, given: str) -> str:
    if name in table.colnames and str(table[name][row]):
        return str(table[name][row])
    return given or str(table.meta.get(name, ""))


def lines_by_name(lines: list[str]) -> dict[str, list[str]]:
    """Lines by their temporary designation, in the order of time.

    Parameters
    ----------
    lines
        Of `obs80_lines`.

    Returns
    -------
    dict
    """
    found: dict[str, list[str]] = {}
    for line in np.array(sorted(lines, key=lambda line: line[15:32]), dtype=object):
        found.setdefault(str(line[5:12]).strip(), []).append(str(line))
    return found
