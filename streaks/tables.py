"""The columns of every table that passes between rooms, and empty tables of them.

Tables are astropy `~astropy.table.QTable`, joined on ``streak_id``, never changed in place.
Nothing found is a table of no rows with all its columns. Unknown numbers are NaN, unknown text is
empty; only ZTF's own ``ss*`` columns keep that survey's -999 and ``null``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from itertools import takewhile
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable
from numpy.typing import NDArray

from streaks.errors import TableError

__all__ = [
    "ASIDE_COLUMNS",
    "ASTREAKS_MIX",
    "CLASSES",
    "CLASS_COLUMNS",
    "LABELS",
    "MATCH_COLUMNS",
    "NIGHT_COLUMNS",
    "PROBABILITY_COLUMNS",
    "SKIP",
    "STREAK_COLUMNS",
    "UNRESOLVED",
    "VERDICT_COLUMNS",
    "ColumnSpec",
    "StreakFlag",
    "bare_column",
    "build_table",
    "check_table",
    "counted",
    "empty_streaks",
    "empty_table",
    "flag_names",
    "order_columns",
    "text_column",
    "without_formula",
]

#: Spreadsheets run a cell that begins with one of these as a formula (also in their wide forms).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

#: What a streak can be, in the order of the ``p_*`` columns and of every classifier's output.
CLASSES = (
    "asteroid",
    "satellite",
    "masked_star",
    "ghost",
    "cosmic_ray",
    "naked_star",
    "yin_yang",
)
#: A source of light that is no longer than a point: a star, a transient, a slow asteroid.
UNRESOLVED = "unresolved"
#: The answer of a classifier that would rather not say.
SKIP = "skip"
#: All that the ``label`` column may hold.
LABELS = (*CLASSES, UNRESOLVED, SKIP)

#: Shares of the classes among 2287 AStreaks subjects (the AStreaks project's own answers);
#: satellites and their flashes together, naked stars counted there with masked stars.
ASTREAKS_MIX: Mapping[str, float] = {
    "asteroid": 0.002,
    "satellite": 0.027,
    "masked_star": 0.40,
    "ghost": 0.076,
    "cosmic_ray": 0.007,
    "naked_star": 0.13,
    "yin_yang": 0.178,
    SKIP: 0.18,
}


class StreakFlag(IntFlag):
    """Bits of the ``flags`` column."""

    EDGE_0 = 1  # the first end lies at the edge of the image: a lower limit
    EDGE_1 = 2
    MASKED_0 = 4  # the first end lies at a masked area: a lower limit
    MASKED_1 = 8
    PARTLY_MASKED = 16  # masked pixels along the streak
    SPIKE = 32  # along a diffraction spike or bleed of a bright star
    DASHED = 64  # several pieces on one line (a flashing satellite, or masks between)
    TRACK = 128  # the survey's own mask has a satellite track here
    WIDE = 256  # wider across than the PSF
    FIT_FAILED = 512  # no trail fit; ends are those of the search
    NEGATIVE = 1024  # fainter than the reference: a negative streak
    BLENDED = 2048  # crosses or touches another streak
    REPEAT = 4096  # the same place of the chip shows one in several images


def flag_names(flags: int) -> str:
    """The names of the bits that are set, lower case, space-separated.

    Parameters
    ----------
    flags
        Bits of `StreakFlag`, as in the ``flags`` column.

    Returns
    -------
    str
        For instance ``edge_0 spike``; empty where no bit is set.
    """
    return " ".join(bit.name.lower() for bit in StreakFlag if bit.name and int(flags) & bit)


@dataclass(frozen=True)
class ColumnSpec:
    """Name, kind, unit and meaning of a column.

    Parameters
    ----------
    name
        Of the column.
    dtype
        What it holds: ``str``, ``float``, ``bool`` or a NumPy type.
    unit
        As astropy spells it; None for a column without one.
    description
        One line on what it means.
    """

    name: str
    dtype: type
    unit: str | None
    description: str


_S, _F, _I = str, float, np.int64

_FOUND = (
    ColumnSpec("streak_id", _S, None, "image name and running number; unique in a night"),
    ColumnSpec("image", _S, None, "name of the image, without folder and suffix"),
    ColumnSpec("x0", _F, "pix", "first end (smaller x), 0-based, at shutter open or close"),
    ColumnSpec("y0", _F, "pix", "first end"),
    ColumnSpec("x1", _F, "pix", "second end"),
    ColumnSpec("y1", _F, "pix", "second end"),
    ColumnSpec("x", _F, "pix", "midpoint"),
    ColumnSpec("y", _F, "pix", "midpoint"),
    ColumnSpec("length", _F, "pix", "distance of the ends: the trail without its PSF"),
    ColumnSpec("theta", _F, "deg", "direction from +x towards +y, in [0, 180)"),
    ColumnSpec("width", _F, "pix", "FWHM across the track"),
    ColumnSpec("flux", _F, "ct", "counts in the whole trail"),
    ColumnSpec("flux_err", _F, "ct", "its 1-sigma error"),
    ColumnSpec("snr", _F, None, "matched-filter signal-to-noise"),
    ColumnSpec("score", _F, None, "larger = surer that this is one real streak"),
    ColumnSpec("ra", _F, "deg", "midpoint, ICRS; NaN without WCS"),
    ColumnSpec("dec", _F, "deg", "midpoint"),
    ColumnSpec("ra0", _F, "deg", "first end"),
    ColumnSpec("dec0", _F, "deg", "first end"),
    ColumnSpec("ra1", _F, "deg", "second end"),
    ColumnSpec("dec1", _F, "deg", "second end"),
    ColumnSpec("pa", _F, "deg", "position angle of the line, east of north, in [0, 180)"),
    ColumnSpec("rate", _F, "arcsec / s", "length over exposure time; NaN without both"),
    ColumnSpec("mag", _F, "mag", "magnitude in the image's own band and zero point"),
    ColumnSpec("mag_err", _F, "mag", "its 1-sigma error"),
    ColumnSpec("time", _S, None, "mid-exposure, UTC, ISO 8601; empty where unknown"),
    ColumnSpec("flags", _I, None, "bits of StreakFlag"),
)
PROBABILITY_COLUMNS = tuple(f"p_{name}" for name in CLASSES)

#: Added by a classifier.
CLASS_COLUMNS = (
    ColumnSpec("label", _S, None, "class of highest probability, `unresolved` or `skip`"),
    *(ColumnSpec(c, _F, None, f"probability of {c[2:]}") for c in PROBABILITY_COLUMNS),
    ColumnSpec(
        "p_unresolved", _F, None, "probability of a point; with nothing there, all p_* sum to 1"
    ),
    ColumnSpec("rb", _F, None, "real (a streak of light in the sky) against bogus, 0 to 1"),
)
#: Added by the verdict.
VERDICT_COLUMNS = (
    ColumnSpec("p_real", _F, None, "probability of a real moving body, at the sky's own mix"),
    ColumnSpec("reasons", _S, None, "what speaks for and against it, in words"),
    ColumnSpec("group", _S, None, "streak_id of the first line of the same thing"),
)
#: Of lines that the detector set aside, with its reason in words.
ASIDE_COLUMNS = (
    ColumnSpec("image", _S, None, "name of the image"),
    ColumnSpec("x0", _F, "pix", "ends of the line"),
    ColumnSpec("y0", _F, "pix", ""),
    ColumnSpec("x1", _F, "pix", ""),
    ColumnSpec("y1", _F, "pix", ""),
    ColumnSpec("snr", _F, None, "matched-filter S/N"),
    ColumnSpec("reason", _S, None, "why it is not in the table"),
)
#: Added by the match with known objects; ZTF's conventions (-999 and `null` for none).
MATCH_COLUMNS = (
    ColumnSpec("ssdistnr", _F, "arcsec", "distance of the nearest known object; -999 for none"),
    ColumnSpec("ssmagnr", _F, "mag", "its predicted V magnitude; -999 for none"),
    ColumnSpec("ssnamenr", _S, None, "its name; `null` for none"),
)
#: Added by satellites and by what spans frames.
NIGHT_COLUMNS = (
    ColumnSpec("sat_name", _S, None, "best satellite; empty for none"),
    ColumnSpec("sat_norad", _I, None, "its NORAD number; -1 for none"),
    ColumnSpec("tracklet", _S, None, "name shared by the streaks of one moving object; or empty"),
)
#: Behind the contract's columns: a check of the flux, and how well a fit knows what it says.
_CHECKS = (
    ColumnSpec(
        "flux_aperture", _F, "ct",
        "counts within 1.5 FWHM of the trail, over the share of the PSF's light that falls there; "
        "NaN where half of it is masked",
    ),
    ColumnSpec("flux_aperture_err", _F, "ct", "its 1-sigma error"),
)  # fmt: skip
_ERRORS = (
    ColumnSpec("along0_err", _F, "pix", "1-sigma error of the first end along the track"),
    ColumnSpec("along1_err", _F, "pix", "1-sigma error of the second end along the track"),
    ColumnSpec("across_err", _F, "pix", "1-sigma error of the midpoint across the track"),
    ColumnSpec("length_err", _F, "pix", "1-sigma error of the length"),
    ColumnSpec("theta_err", _F, "deg", "1-sigma error of the direction"),
    ColumnSpec("chi2", _F, None, "chi-square per pixel of the trail fit"),
)

#: What the detector gives.
STREAK_COLUMNS = (*_FOUND, *_ERRORS, *_CHECKS)

_COLUMNS = (
    *_FOUND, *CLASS_COLUMNS, *VERDICT_COLUMNS, *MATCH_COLUMNS, *NIGHT_COLUMNS, *_ERRORS, *_CHECKS,
)  # fmt: skip
_ORDER = {spec.name: rank for rank, spec in enumerate(_COLUMNS)}


def empty_table(columns: Iterable[ColumnSpec]) -> QTable:
    """A table of no rows with these columns, their units and descriptions.

    Parameters
    ----------
    columns
        Columns of the table, in order.

    Returns
    -------
    QTable
    """
    return build_table(columns, {spec.name: [] for spec in columns})


def empty_streaks() -> QTable:
    """What the detector returns when nothing is found.

    Returns
    -------
    QTable
        No rows, with every column of `STREAK_COLUMNS`.
    """
    return empty_table(STREAK_COLUMNS)


def build_table(columns: Iterable[ColumnSpec], values: Mapping[str, Any]) -> QTable:
    """A table of these columns from bare arrays in the columns' units.

    Parameters
    ----------
    columns
        Columns of the table, in order.
    values
        By column name: n values each, in the column's unit and without one of their own. NaN
        stands for an unknown number. Names that are no column are left out.

    Returns
    -------
    QTable
        n rows; columns with a unit are quantities.

    Raises
    ------
    TableError
        If a column has no values, or the values are of unequal length.
    """
    columns = tuple(columns)
    missing = [spec.name for spec in columns if spec.name not in values]
    if missing:
        raise TableError(f"no values for the columns {', '.join(missing)}")
    lengths = {len(values[spec.name]) for spec in columns}
    if len(lengths) > 1:
        raise TableError(f"columns of unequal length: {sorted(lengths)}")
    table = QTable()
    for spec in columns:
        data: Any = np.asarray(values[spec.name], dtype=spec.dtype)
        if spec.unit is None:
            table[spec.name] = Column(data, description=spec.description)
        else:
            table[spec.name] = u.Quantity(data, unit=spec.unit, copy=False)
            table[spec.name].info.description = spec.description
    return table


def check_table(table: QTable, columns: Sequence[ColumnSpec], what: str = "table") -> None:
    """Raise where a table lacks columns or has them in other units.

    Parameters
    ----------
    table
        To be checked; other columns and the types of values are not looked at.
    columns
        That it must have.
    what
        Name of the table, for the error.

    Raises
    ------
    TableError
        Names each column that is missing or of another unit.
    """
    missing = [spec.name for spec in columns if spec.name not in table.colnames]
    if missing:
        raise TableError(
            f"{what} lacks the columns {', '.join(missing)}; it has {', '.join(table.colnames)}"
        )
    for spec in columns:
        unit = getattr(table[spec.name], "unit", None)
        expected = None if spec.unit is None else u.Unit(spec.unit)
        if unit != expected and not (expected is None and unit == u.dimensionless_unscaled):
            raise TableError(f"{what}: {spec.name} is in {unit}, expected {expected}")


def order_columns(table: QTable) -> QTable:
    """The same rows, with the contract's columns in the contract's order and others behind.

    Other columns that stand before all of the contract's (a cutout's ``name``) stay there.

    Parameters
    ----------
    table
        Any table; it stays as it is.

    Returns
    -------
    QTable
    """
    known = sorted((c for c in table.colnames if c in _ORDER), key=_ORDER.__getitem__)
    leading = list(takewhile(lambda c: c not in _ORDER, table.colnames))
    behind = [c for c in table.colnames if c not in _ORDER and c not in leading]
    return table[leading + known + behind]


def counted(n: int, noun: str) -> str:
    """A count in words: ``1 streak``, ``2 streaks``, ``0 streaks``.

    Parameters
    ----------
    n
        How many.
    noun
        Of one.

    Returns
    -------
    str
    """
    return f"{n:d} {noun}" if n == 1 else f"{n:d} {noun}s"


def without_formula(text: str) -> str:
    """Text for a cell of a CSV file, which no spreadsheet runs as a formula.

    Parameters
    ----------
    text
        Of any origin; numbers are none of this function's business.

    Returns
    -------
    str
        With an apostrophe before a text that would be run.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def bare_column(table: QTable, name: str) -> NDArray[np.float64]:
    """A column's numbers without their unit.

    Parameters
    ----------
    table
        n rows.
    name
        Of the column.

    Returns
    -------
    (n,) float64
        NaN for a column that is not there.
    """
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    column: Any = table[name]
    return np.asarray(getattr(column, "value", column), dtype=np.float64)


def text_column(table: QTable, name: str) -> NDArray[np.str_]:
    """A column as text.

    Parameters
    ----------
    table
        n rows.
    name
        Of the column.

    Returns
    -------
    (n,) str
        Empty for a column that is not there.
    """
    if name not in table.colnames:
        return np.full(len(table), "", dtype=str)
    return np.asarray(table[name]).astype(str)
