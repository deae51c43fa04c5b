"""What a subject's line of the manifest says.

An uploader takes an empty cell for the folder itself and aborts, so that no cell is ever empty:
unknown numbers are -999 and unknown text is ``unknown``; ``ssnamenr`` keeps ZTF's ``null``.
Headings that begin with ``#`` are hidden from volunteers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.labelling.columns import Columns
from streaks.labelling.selection import ccd_of_image, field_of_image
from streaks.labelling.workflows import Workflow
from streaks.tables import PROBABILITY_COLUMNS, StreakFlag, flag_names, without_formula

__all__ = [
    "FILE_COLUMN",
    "HIDDEN_COLUMNS",
    "KEY_COLUMN",
    "TRAINING_COLUMNS",
    "UNKNOWN_NUMBER",
    "UNKNOWN_TEXT",
    "VISIBLE_COLUMNS",
    "altered_names",
    "centre_counts",
    "hidden_cells",
    "training_cells",
    "visible_cells",
]

#: Heading of the picture where there is one a subject.
FILE_COLUMN = "filename"
#: What tells a subject from all others, for all time.
KEY_COLUMN = "#streaks_key"
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
    *((f"#{name}", name, 4) for name in (*PROBABILITY_COLUMNS, "p_unresolved", "p_real")),
    ("#ndet", "ndet", 0), ("#delta_t_min", "delta_t", 1),
)  # fmt: skip
#: What joins an answer to its streak again.
HIDDEN_COLUMNS = (
    KEY_COLUMN, "#workflow", "#streak_id", "#image", "#field", "#ccd", "#time", "#label",
    "#isdiffpos", "#flags",
    *(heading for heading, _, _ in _HIDDEN_NUMBERS),
)  # fmt: skip
#: Of sets that hold subjects of known truth.
TRAINING_COLUMNS = (
    "#training_subject", "#feedback_1_id", "#feedback_1_answer", "#feedback_1_successMessage",
    "#feedback_1_failureMessage", "#truth",
)  # fmt: skip
#: In the lines of all other subjects of such a set: no rule has this id.
_NO_TRAINING = ("false", "none", "none", "none", "none", UNKNOWN_TEXT)

#: A text of a table is a name or a few words.
_MAX_TEXT = 300
_UNPRINTED = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


def visible_cells(columns: Columns, row: int, counts: tuple[int, int]) -> dict[str, str]:
    """What a volunteer sees, by heading.

    ``magpsf`` and ``sigmapsf`` are the magnitude of the whole trail and its error. ``classtar``
    and ``sgscore`` (star or galaxy) are taken from columns of those names where the table has
    them: this program does not measure them.

    Parameters
    ----------
    columns
        Of the table.
    row
        Of the subject.
    counts
        Negative and bad pixels (`centre_counts`).

    Returns
    -------
    dict
        `VISIBLE_COLUMNS`; no cell is empty.
    """
    nneg, nbad = counts
    return {
        "magpsf": _number(columns, row, "mag", 3),
        "sigmapsf": _number(columns, row, "mag_err", 3),
        "classtar": _number(columns, row, "classtar", 3),
        "ssdistnr": _number(columns, row, "ssdistnr", 1),
        "ssmagnr": _number(columns, row, "ssmagnr", 2),
        "ssnamenr": _text(columns, row, "ssnamenr", "null"),
        "sgscore": _number(columns, row, "sgscore", 3),
        "nneg": str(nneg),
        "nbad": str(nbad),
        "rb": _number(columns, row, "rb", 3),
        "S/N": _number(columns, row, "snr", 1),
    }


def hidden_cells(columns: Columns, row: int, key: str, workflow: Workflow) -> dict[str, str]:
    """What leads an answer back to its streak, by heading.

    Parameters
    ----------
    columns
        Of the table.
    row
        Of the subject.
    key
        What tells it from all others.
    workflow
        The question that the set is for.

    Returns
    -------
    dict
        `HIDDEN_COLUMNS`; no cell is empty.
    """
    image = _text(columns, row, "image", UNKNOWN_TEXT)
    flags = _whole(columns, row, "flags")
    return {
        KEY_COLUMN: key,
        "#workflow": workflow.name,
        "#streak_id": _text(columns, row, "streak_id", UNKNOWN_TEXT),
        "#image": image,
        "#field": _of_image(columns, row, "field", field_of_image(image)),
        "#ccd": _of_image(columns, row, "ccd", ccd_of_image(image)),
        "#time": _text(columns, row, "time", UNKNOWN_TEXT),
        "#label": _text(columns, row, "label", UNKNOWN_TEXT),
        "#isdiffpos": "f" if (flags or 0) & int(StreakFlag.NEGATIVE) else "t",
        "#flags": flag_names(flags or 0) or "none",
        **{
            heading: _number(columns, row, name, digits)
            for heading, name, digits in _HIDDEN_NUMBERS
        },
    }


def altered_names(columns: Columns, rows: Sequence[int]) -> list[str]:
    """Names of streaks that a manifest cannot hold as they are.

    Control characters, line feeds among them, become blanks; blanks at the ends go; a name that a
    spreadsheet would run gets a mark before it; a long one is cut.

    Parameters
    ----------
    columns
        Of the table.
    rows
        Of the subjects.

    Returns
    -------
    list of str
        As the table has them.
    """
    if "streak_id" not in columns:
        return []
    names = ((row, str(columns["streak_id"][row])) for row in rows)
    return [
        name
        for row, name in names
        if name and _text(columns, row, "streak_id", UNKNOWN_TEXT) != name
    ]


def training_cells(workflow: Workflow, truth: str = "") -> dict[str, str]:
    """What makes Zooniverse tell a volunteer whether an answer was right.

    Parameters
    ----------
    workflow
        With the feedback rule and the answers.
    truth
        Class of the subject; empty where nobody knows it.

    Returns
    -------
    dict
        `TRAINING_COLUMNS`; no cell is empty.
    """
    if not truth:
        return dict(zip(TRAINING_COLUMNS, _NO_TRAINING, strict=True))
    right = workflow.index_of(truth)
    answer = workflow.answers[right]
    named = truth.replace("_", " ")
    success = f"Right: we put this {named} there to see whether it is found."
    failure = f'This one was made by us: it is "{answer.text}" ({named}). See the field guide.'
    values = ("true", workflow.rule, str(right), success, failure, truth)
    return dict(zip(TRAINING_COLUMNS, values, strict=True))


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


def _value(columns: Columns, row: int, name: str) -> float:
    """A number; NaN where the column is not there, or holds something else."""
    if name not in columns:
        return math.nan
    try:
        return float(columns[name][row])
    except ValueError:
        return math.nan


def _number(columns: Columns, row: int, name: str, digits: int) -> str:
    number = _value(columns, row, name)
    if not math.isfinite(number) or number == float(UNKNOWN_NUMBER):
        return UNKNOWN_NUMBER
    return f"{number:.{digits}f}"


def _whole(columns: Columns, row: int, name: str) -> int | None:
    number = _value(columns, row, name)
    return int(number) if math.isfinite(number) else None


def _of_image(columns: Columns, row: int, name: str, named: int | None) -> str:
    told = _whole(columns, row, name)
    found = told if told is not None else named
    return UNKNOWN_NUMBER if found is None or found < 0 else str(found)


def _text(columns: Columns, row: int, name: str, unknown: str) -> str:
    """Text on one line that a spreadsheet does not run, never empty."""
    if name not in columns:
        return unknown
    text = _UNPRINTED.sub(" ", str(columns[name][row]))
    return without_formula(" ".join(text.split())[:_MAX_TEXT]) or unknown
