"""Rows of tables as a person reads them: rounded, in words, with what is unknown left blank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from astropy.table import QTable

from streaks.palette import class_colour
from streaks.tables import StreakFlag

__all__ = [
    "Columns",
    "bare_columns",
    "finite",
    "flags_in_words",
    "frame_row",
    "number",
    "sexagesimal",
    "streak_row",
    "text",
]

#: Columns as lists of plain values: asking a table for each cell costs a page seconds.
Columns = Mapping[str, Sequence[Any]]

_ARCSEC_PER_S_IN_DEG_PER_DAY = 86400.0 / 3600.0
_CUT = StreakFlag.EDGE_0 | StreakFlag.EDGE_1 | StreakFlag.MASKED_0 | StreakFlag.MASKED_1


#: What each flag says, for people; in the order of the bits.
_FLAG_WORDS = {
    StreakFlag.PARTLY_MASKED: "partly masked",
    StreakFlag.SPIKE: "along a star's spike or bleed",
    StreakFlag.DASHED: "in pieces on one line",
    StreakFlag.TRACK: "on a track in the survey's mask",
    StreakFlag.WIDE: "wider than the PSF",
    StreakFlag.FIT_FAILED: "no trail fit",
    StreakFlag.NEGATIVE: "fainter than the reference",
    StreakFlag.BLENDED: "crosses or touches another",
    StreakFlag.REPEAT: "comes back in one place of the chip",
}


def flags_in_words(flags: int) -> list[str]:
    """What the flags of a streak say.

    Parameters
    ----------
    flags
        Bits of `StreakFlag`.

    Returns
    -------
    list of str
        Empty where no bit is set; the two ends are told together.
    """
    words = []
    for what, first, second in (
        ("leaves the image", StreakFlag.EDGE_0, StreakFlag.EDGE_1),
        ("ends at a mask", StreakFlag.MASKED_0, StreakFlag.MASKED_1),
    ):
        n = bool(flags & first) + bool(flags & second)
        if n:
            words.append(what + (" at both ends" if n == 2 else ""))
    return words + [said for bit, said in _FLAG_WORDS.items() if flags & bit]


def bare_columns(table: QTable) -> Columns:
    """A table's columns as plain values in their own units.

    Parameters
    ----------
    table
        Any.

    Returns
    -------
    mapping
        Lists of plain values by column.
    """
    return {name: getattr(table[name], "value", table[name]).tolist() for name in table.colnames}


def streak_row(streaks: Columns, row: int) -> dict[str, Any]:
    """One streak: numbers for sorting under their column's name, and text beside them.

    Parameters
    ----------
    streaks
        As `bare_columns` gives them.
    row
        From 0.

    Returns
    -------
    dict
        What the page's template asks for; unknown numbers are None.
    """
    value = {
        name: number(streaks, row, name)
        for name in (
            "x", "y", "length", "theta", "width", "flux", "flux_err", "snr", "score", "ra", "dec",
            "pa", "rate", "mag", "mag_err", "rb", "p_asteroid", "p_real", "ssdistnr", "ssmagnr",
            "length_err", "theta_err",
        )
    }  # fmt: skip
    label = text(streaks, row, "label")
    flags = int(number(streaks, row, "flags", 0.0))
    return {
        **{name: finite(v) for name, v in value.items()},
        "streak_id": text(streaks, row, "streak_id"),
        "image": text(streaks, row, "image"),
        "label": label,
        "colour": class_colour(label),
        "time": text(streaks, row, "time"),
        "tracklet": text(streaks, row, "tracklet"),
        "satellite": text(streaks, row, "sat_name"),
        "reasons": text(streaks, row, "reasons"),
        "group": text(streaks, row, "group"),
        "flags": ", ".join(flags_in_words(flags)),
        "length_text": ("≥ " if flags & int(_CUT) else "")
        + _with_error(value["length"], value["length_err"], 1),
        "mag_text": _with_error(value["mag"], value["mag_err"], 2),
        "radec": sexagesimal(value["ra"], value["dec"]),
        "rate_deg_day": _fixed(value["rate"] * _ARCSEC_PER_S_IN_DEG_PER_DAY, 2),
        "known": _known_text(streaks, row, value["ssdistnr"], value["ssmagnr"]),
    }


def frame_row(frames: Columns, row: int) -> dict[str, Any]:
    """One frame: its name, whether it was done, why not, and how long it took.

    Parameters
    ----------
    frames
        As `bare_columns` gives them.
    row
        From 0.

    Returns
    -------
    dict
    """
    seconds = number(frames, row, "seconds")
    return {
        "image": text(frames, row, "image"),
        "state": text(frames, row, "state") or "done",
        "reason": text(frames, row, "reason"),
        "seconds": finite(seconds),
        "time": text(frames, row, "time"),
    }


def sexagesimal(ra_deg: float, dec_deg: float) -> str:
    """``hh mm ss.ss +dd mm ss.s``; empty where unknown.

    Parameters
    ----------
    ra_deg, dec_deg
        ICRS, deg; NaN where unknown.

    Returns
    -------
    str
    """
    if not (math.isfinite(ra_deg) and math.isfinite(dec_deg)):
        return ""
    # Rounded first and split afterwards: 59.999 must not become 60.0.
    ra = round((ra_deg % 360.0) * 240.0 * 100) % (86400 * 100)
    dec = round(abs(dec_deg) * 3600.0 * 10)
    sign = "-" if dec_deg < 0 else "+"
    return (
        f"{ra // 360000:02d} {ra // 6000 % 60:02d} {ra % 6000 / 100:05.2f} "
        f"{sign}{dec // 36000:02d} {dec // 600 % 60:02d} {dec % 600 / 10:04.1f}"
    )


def _known_text(streaks: Columns, row: int, distance: float, mag: float) -> str:
    if not distance >= 0:
        return ""
    near = f"{text(streaks, row, 'ssnamenr')}, {distance:.1f}″ away"
    return near + (f", V {mag:.1f} predicted" if math.isfinite(mag) and mag > -99 else "")


def _with_error(value: float, error: float, digits: int) -> str:
    if not math.isfinite(value):
        return ""
    shown = f"{value:.{digits}f}"
    return f"{shown} ± {error:.{digits}f}" if math.isfinite(error) and error > 0 else shown


def _fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def finite(value: float) -> float | None:
    """The number, or None for one that is unknown: templates test for None.

    Parameters
    ----------
    value
        Any number.

    Returns
    -------
    float or None
    """
    return value if math.isfinite(value) else None


def number(table: Columns, row: int, name: str, missing: float = math.nan) -> float:
    """A cell as a number; `missing` where there is no such column, or no number in it.

    Parameters
    ----------
    table
        As `bare_columns` gives it.
    row
        From 0.
    name
        Of the column.
    missing
        What is given for no number.

    Returns
    -------
    float
    """
    if name not in table:
        return missing
    try:
        return float(table[name][row])
    except (TypeError, ValueError):
        return missing


def text(table: Columns, row: int, name: str) -> str:
    """A cell as text; empty where there is no such column.

    Parameters
    ----------
    table
        As `bare_columns` gives it.
    row
        From 0.
    name
        Of the column.

    Returns
    -------
    str
    """
    if name not in table:
        return ""
    value = table[name][row]
    if value is None:  # masked
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
