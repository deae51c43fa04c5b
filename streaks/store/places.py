"""Places of a chip that show a streak on many nights: flaws, ghosts, hot columns."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import TrackletConfig
from streaks.store.asking import Answer, Question, ask
from streaks.tables import ColumnSpec, build_table
from streaks.tracklets import repeat_groups

__all__ = ["PLACE_COLUMNS", "repeats_of_chips"]

_S, _F, _I = str, float, np.int64

#: One row a place of a chip.
PLACE_COLUMNS = (
    ColumnSpec("chip", _S, None, "CCD, quadrant and shape of its images"),
    ColumnSpec("observatory", _S, None, "MPC code; empty where unknown"),
    ColumnSpec("x", _F, "pix", "midpoint, median of all nights, 0-based"),
    ColumnSpec("y", _F, "pix", "midpoint"),
    ColumnSpec("theta", _F, "deg", "direction of the streak of highest S/N"),
    ColumnSpec("length", _F, "pix", "median"),
    ColumnSpec("n_nights", _I, None, "nights that show a streak there"),
    ColumnSpec("n_streaks", _I, None, "streaks of these nights"),
    ColumnSpec("first_night", _S, None, "of them"),
    ColumnSpec("last_night", _S, None, "of them"),
    ColumnSpec("label", _S, None, "most frequent name of its streaks"),
    ColumnSpec("p_real", _F, None, "largest of its streaks: what the verdict did not see"),
)
_READ = ("chip", "observatory", "x", "y", "theta", "length", "snr", "label", "p_real", "image")


def repeats_of_chips(
    store: str | os.PathLike[str], question: Question, *, min_nights: int = 3
) -> tuple[QTable, Answer]:
    """Places of chips where streaks come back night after night.

    Parameters
    ----------
    store
        Made by `streaks.store.add_night`.
    question
        Which streaks are looked at; its columns are not used.
    min_nights
        That show one, at least 3: two may be chance.

    Returns
    -------
    places : QTable
        `PLACE_COLUMNS`, those of most nights first.
    answer : Answer
        What was looked at, and what could not be read.

    Raises
    ------
    ConfigError
        If `min_nights` is below 3, or the question is none.
    ReadError
        If this is no store, or one of a newer version.
    """
    config = TrackletConfig(repeat_images=min_nights)
    answer = ask(store, dataclasses.replace(question, columns=_READ))
    rows = answer.rows
    names = ["" if not chip else f"{site} {chip}" for site, chip in
             zip(rows["observatory"].tolist(), rows["chip"].tolist(), strict=True)]  # fmt: skip
    groups = repeat_groups(rows, names, config, occasions=rows["night"])
    found = [
        _place(rows, np.flatnonzero(groups == k)) for k in range(int(groups.max(initial=-1)) + 1)
    ]
    found.sort(key=lambda one: (-one["n_nights"], -one["n_streaks"], one["chip"], one["x"]))
    columns = {spec.name: [one[spec.name] for one in found] for spec in PLACE_COLUMNS}
    return build_table(PLACE_COLUMNS, columns), answer


def _place(rows: QTable, of: NDArray[np.intp]) -> dict[str, Any]:
    some = rows[of]
    nights = sorted(set(some["night"].tolist()))
    labels, counts = np.unique(np.asarray(some["label"]).astype(str), return_counts=True)
    brightest = int(np.argmax(np.nan_to_num(np.asarray(some["snr"], float), nan=-np.inf)))
    p_real = np.asarray(some["p_real"], float)
    return {
        "chip": str(some["chip"][0]),
        "observatory": str(some["observatory"][0]),
        "x": float(np.median(some["x"].value)),
        "y": float(np.median(some["y"].value)),
        "theta": float(some["theta"].value[brightest]),
        "length": float(np.median(some["length"].value)),
        "n_nights": len(nights),
        "n_streaks": len(some),
        "first_night": nights[0],
        "last_night": nights[-1],
        "label": str(labels[np.argmax(counts)]),
        "p_real": float(np.nanmax(p_real)) if np.isfinite(p_real).any() else float("nan"),
    }
