"""What a subject's line of the manifest says.

An uploader takes an empty cell for the folder itself and aborts, so that no cell is ever empty:
unknown numbers are -999 and unknown text is ``unknown``; ``ssnamenr`` keeps ZTF's ``null``.
Headings that begin with ``#`` are hidden from volunteers.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.labelling.selection import ccd_of_image
from streaks.tables import PROBABILITY_COLUMNS, StreakFlag, flag_names

__all__ = [
    "FILE_COLUMN",
    "HIDDEN_COLUMNS",
    "UNKNOWN_NUMBER",
    "UNKNOWN_TEXT",
    "VISIBLE_COLUMNS",
    "centre_counts",
    "manifest_rows",
]

FILE_COLUMN = "filename"
#: What ZTF's own fields say for none.
UNKNOWN_NUMBER, UNKNOWN_TEXT = "-999", "unknown"

#: What a volunteer sees beside the picture, under the names that they know from ZTF.
VISIBLE_COLUMNS = (
    "magpsf", "sigmapsf", "classtar", "ssdistnr", "ssmagnr", "ssnamenr", "sgscore", "nneg", "nbad",
    "rb", "S/N",
)  # fmt: skip

_HIDDEN_NUMBERS = (
    ("#ra", "ra", 7), ("#dec", "dec", 7), ("#ra0", "ra0", 7), ("#dec0", "dec0", 7),
    ("#ra1", "ra1", 7), ("#dec1", "dec1", 7), ("#x", "x", 2), ("#y", "y", 2), ("#x0", "x0", 2),
    ("#y0", "y0", 2), ("#x1", "x1", 2), ("#y1", "y1", 2), ("#length_px", "length", 2),
    ("#theta_deg", "theta", 2), ("#rate_arcsec_per_s", "rate", 5), ("#score", "score", 4),
    *((f"#{name}", name, 4) for name in (*PROBABILITY_COLUMNS, "p_unresolved")),
)  # fmt: skip
#: What joins an answer to its streak again.
HIDDEN_COLUMNS = (
    "#streak_id", "#image", "#ccd", "#time", "#label", "#isdiffpos", "#flags",
    *(heading for heading, _, _ in _HIDDEN_NUMBERS),
)  # fmt: skip


def manifest_rows(
    streaks: QTable, filenames: list[str], nneg: list[int], nbad: list[int]
) -> list[dict[str, str]]:
    """One line a subject, in the columns ``filename``, `VISIBLE_COLUMNS`, `HIDDEN_COLUMNS`.

    ``magpsf`` and ``sigmapsf`` are the magnitude of the whole trail and its error. ``classtar``
    and ``sgscore`` (star or galaxy) are taken from columns of those names where the table has
    them: this program does not measure them.

    Parameters
    ----------
    streaks
        One row a subject.
    filenames, nneg, nbad
        One a row.

    Returns
    -------
    list of dict
        A row's cells by heading; none is empty.
    """
    return [
        {FILE_COLUMN: name} | _visible(streaks, i, nneg[i], nbad[i]) | _hidden(streaks, i)
        for i, name in enumerate(filenames)
    ]


def centre_counts(difference: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Negative and bad pixels among the 5 x 5 at a cutout's centre: ZTF's nneg and nbad.

    Parameters
    ----------
    difference, mask : (size, size)
        The midpoint of the streak lies on pixel ``size // 2``.

    Returns
    -------
    nneg, nbad : int
    """
    middle = difference.shape[0] // 2
    box = np.s_[middle - 2 : middle + 3, middle - 2 : middle + 3]
    bad = mask[box] | ~np.isfinite(difference[box])
    return int((~bad & (difference[box] < 0)).sum()), int(bad.sum())


def _visible(streaks: QTable, row: int, nneg: int, nbad: int) -> dict[str, str]:
    return {
        "magpsf": _number(streaks, row, "mag", 3),
        "sigmapsf": _number(streaks, row, "mag_err", 3),
        "classtar": _number(streaks, row, "classtar", 3),
        "ssdistnr": _number(streaks, row, "ssdistnr", 1),
        "ssmagnr": _number(streaks, row, "ssmagnr", 2),
        "ssnamenr": _text(streaks, row, "ssnamenr", "null"),
        "sgscore": _number(streaks, row, "sgscore", 3),
        "nneg": str(nneg),
        "nbad": str(nbad),
        "rb": _number(streaks, row, "rb", 3),
        "S/N": _number(streaks, row, "snr", 1),
    }


def _hidden(streaks: QTable, row: int) -> dict[str, str]:
    image = _text(streaks, row, "image", UNKNOWN_TEXT)
    ccd = int(streaks["ccd"][row]) if "ccd" in streaks.colnames else ccd_of_image(image)
    flags = int(streaks["flags"][row]) if "flags" in streaks.colnames else 0
    return {
        "#streak_id": _text(streaks, row, "streak_id", UNKNOWN_TEXT),
        "#image": image,
        "#ccd": UNKNOWN_NUMBER if ccd is None or ccd < 0 else str(ccd),
        "#time": _text(streaks, row, "time", UNKNOWN_TEXT),
        "#label": _text(streaks, row, "label", UNKNOWN_TEXT),
        "#isdiffpos": "f" if flags & int(StreakFlag.NEGATIVE) else "t",
        "#flags": flag_names(flags) or "none",
        **{
            heading: _number(streaks, row, name, digits)
            for heading, name, digits in _HIDDEN_NUMBERS
        },
    }


def _number(streaks: QTable, row: int, name: str, digits: int) -> str:
    if name not in streaks.colnames:
        return UNKNOWN_NUMBER
    value = streaks[name][row]
    number = float(getattr(value, "value", value))
    if not math.isfinite(number) or number == float(UNKNOWN_NUMBER):
        return UNKNOWN_NUMBER
    return f"{number:.{digits}f}"


def _text(streaks: QTable, row: int, name: str, unknown: str) -> str:
    """Text on one line that a spreadsheet does not run, never empty."""
    if name not in streaks.colnames:
        return unknown
    text = re.sub(r"\s+", " ", str(streaks[name][row])).strip()
    if text.startswith(("=", "+", "-", "@")):
        text = "'" + text
    return text or unknown
