"""All that is known of each streak of an exposure, as the numbers that a verdict is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.tables import CLASSES, PROBABILITY_COLUMNS, StreakFlag, bare_column
from streaks.verdict.evidence import EVIDENCE_COLUMNS
from streaks.verdict.lines import Lines, collinear, neighbours_of

__all__ = ["NUMBERS", "numbers_of", "rows_by_image"]

Floats = NDArray[np.float64]

#: As measured.
_MEASURED = ("snr", "length", "width", "chi2", "length_err", "theta_err", "across_err", "rate")
_NAMED = (*PROBABILITY_COLUMNS, "p_unresolved", "rb", "novelty")
#: Flags of what lies at the ends or on the track, and of the light; not those of more than one
#: exposure, which are weighed later.
_FLAGS = tuple(flag for flag in StreakFlag if flag is not StreakFlag.REPEAT)
_MADE = ("score_share", "length_fwhm", "width_fwhm", "odds_asteroid", "asteroid_to_satellite")
_AROUND = (
    "others",
    "others_near",
    "others_parallel",
    "others_collinear",
    "others_collinear_px",
    "others_collinear_gap_px",
    "others_longest_px",
    "others_collinear_satellite",
    "others_collinear_snr",
)
#: Classes whose probability is summed over what lies near by.
_SUMMED = ("ghost", "satellite", "masked_star")

#: What a verdict is made of, in this order.
NUMBERS = (
    *_MEASURED,
    *_NAMED,
    *_MADE,
    *(f"flag_{str(flag.name).lower()}" for flag in _FLAGS),
    *_AROUND,
    *(f"near_by_{name}" for name in _SUMMED),
    *(spec.name for spec in EVIDENCE_COLUMNS),
)

#: Keeps logarithms of probabilities within reason.
_LEAST_PROBABILITY = 1e-5
#: Within so many px others' classes are summed.
_SUM_PX = 200.0


def numbers_of(streaks: QTable) -> NDArray[np.float32]:
    """The numbers of each streak.

    Parameters
    ----------
    streaks
        Of any number of images, with class columns and `EVIDENCE_COLUMNS`, where there are any.

    Returns
    -------
    (n, len(NUMBERS)) float32
        NaN where the table does not tell.
    """
    n = len(streaks)
    values = np.full((n, len(NUMBERS)), np.nan)
    place = {name: i for i, name in enumerate(NUMBERS)}
    for name in (*_MEASURED, *_NAMED, *(spec.name for spec in EVIDENCE_COLUMNS)):
        values[:, place[name]] = bare_column(streaks, name)
    flags = np.asarray(streaks["flags"], dtype=np.int64)
    for flag in _FLAGS:
        values[:, place[f"flag_{str(flag.name).lower()}"]] = flags & int(flag) != 0
    for name, column in _made(streaks).items():
        values[:, place[name]] = column
    for rows in rows_by_image(streaks):
        for name, column in _around(streaks[rows]).items():
            values[rows, place[name]] = column
    # A measurement that overflowed tells as little as none.
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32)


def rows_by_image(streaks: QTable) -> Iterator[NDArray[np.intp]]:
    """Row numbers of each image's streaks.

    Parameters
    ----------
    streaks
        With ``image``.

    Yields
    ------
    (k,) int
        In the table's order.
    """
    images = np.asarray(streaks["image"]).astype(str)
    _, first, which = np.unique(images, return_index=True, return_inverse=True)
    for image in np.argsort(first):
        yield np.flatnonzero(which == image)


def _made(streaks: QTable) -> dict[str, Floats]:
    snr, fwhm = bare_column(streaks, "snr"), bare_column(streaks, "ev_fwhm_px")
    asteroid, satellite = bare_column(streaks, "p_asteroid"), bare_column(streaks, "p_satellite")
    tiny = _LEAST_PROBABILITY
    return {
        "score_share": bare_column(streaks, "score") / snr,
        "length_fwhm": bare_column(streaks, "length") / fwhm,
        "width_fwhm": bare_column(streaks, "width") / fwhm,
        "odds_asteroid": np.log((asteroid + tiny) / (1.0 - asteroid + tiny)),
        "asteroid_to_satellite": np.log((asteroid + tiny) / (satellite + tiny)),
    }


def _around(streaks: QTable) -> dict[str, Floats]:
    """What else was found in the same image."""
    n = len(streaks)
    lines = Lines.from_ends(*(bare_column(streaks, name) for name in ("x0", "y0", "x1", "y1")))
    itself = np.eye(n, dtype=bool)
    found = neighbours_of(lines, lines, itself)
    on = collinear(lines, lines) & ~itself
    near = np.hypot(lines.x - lines.x[:, None], lines.y - lines.y[:, None]) < _SUM_PX
    near &= ~itself

    def largest(name: str) -> Floats:
        there = np.nan_to_num(bare_column(streaks, name))
        return np.asarray(np.where(on, there, 0.0).max(axis=1, initial=0.0))

    return {
        "others": np.full(n, n - 1.0),
        "others_near": found.near,
        "others_parallel": found.parallel,
        "others_collinear": found.collinear,
        "others_collinear_px": found.collinear_px,
        "others_collinear_gap_px": found.gap_px,
        "others_longest_px": found.longest_px,
        "others_collinear_satellite": largest("p_satellite"),
        "others_collinear_snr": largest("snr"),
        **{
            f"near_by_{name}": near @ np.nan_to_num(bare_column(streaks, f"p_{name}"))
            for name in _SUMMED
            if name in CLASSES
        },
    }
