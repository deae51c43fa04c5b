"""What changes from night to night: seeing, depth, candidates and false ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.arrow import arrow_to_table
from streaks.errors import ConfigError, ReadError
from streaks.store.asking import Answer, Question, ask, read_nights
from streaks.store.layout import Manifest, StoreFolder
from streaks.store.reading import read_file
from streaks.tables import CLASSES, ColumnSpec, build_table

__all__ = ["TREND_COLUMNS", "night_trends"]

_S, _F, _I = str, float, np.int64
_DEPTH_SNR = 10.0
#: Of a plain row, as by `streaks night`.
_MIN_P_REAL = 0.5

#: One row a night.
TREND_COLUMNS = (
    ColumnSpec("night", _S, None, "its name in the store"),
    ColumnSpec("observatory", _S, None, "MPC codes of its frames"),
    ColumnSpec("n_frames", _I, None, "frames that were searched"),
    ColumnSpec("n_failed", _I, None, "frames that were not"),
    ColumnSpec("n_streaks", _I, None, "streaks of all classes"),
    ColumnSpec("fwhm", _F, "pix", "of the PSF, median of frames"),
    ColumnSpec("zero_point", _F, "mag", "median of frames"),
    ColumnSpec("masked", _F, None, "share of pixels, median of frames"),
    ColumnSpec("depth", _F, "mag", "of a streak of S/N 10: median of mag + 2.5 log10(snr / 10)"),
    ColumnSpec("one_false_score", _F, None, "score with one false line a frame, median of frames"),
    ColumnSpec("n_negated", _F, None, "lines in a frame's negative, mean of frames"),
    ColumnSpec("n_candidates", _I, None, "streaks of p_real from 0.5"),
    ColumnSpec("expected_false", _F, None, "of these by their own p_real; NaN where not weighed"),
    ColumnSpec("n_known", _I, None, "streaks at a known object"),
    *(ColumnSpec(f"n_{name}", _I, None, f"streaks named {name}") for name in CLASSES),
)
_READ = ("mag", "snr", "p_real", "label", "ssnamenr")


def night_trends(
    store: str | os.PathLike[str], nights: Sequence[str] = (), *, min_p_real: float = _MIN_P_REAL
) -> tuple[QTable, list[str]]:
    """A row a night.

    Parameters
    ----------
    store
        Made by `streaks.store.add_night`.
    nights
        As of `Question.nights`; all where empty.
    min_p_real
        Of a candidate.

    Returns
    -------
    trends : QTable
        `TREND_COLUMNS`, by night. NaN where nothing tells.
    damaged : list of str
        What could not be read, each with the reason; the night then has no row.

    Raises
    ------
    ReadError
        If this is no store, or one of a newer version.
    ConfigError
        If there are no such nights.
    """
    if not 0.0 <= min_p_real <= 1.0:
        raise ConfigError(f"a candidate's p_real from {min_p_real}; expected 0 to 1")
    folder = StoreFolder(Path(store))
    manifests, damaged = read_nights(folder, nights)
    rows: list[dict[str, Any]] = []
    for manifest in manifests:
        try:
            frames = arrow_to_table(read_file(folder, manifest.frames))
            answer = _streaks(folder, manifest)
        except ReadError as error:
            damaged.append(str(error))
            continue
        rows.append(_row(manifest, frames, answer.rows, min_p_real))
    columns = {spec.name: [row[spec.name] for row in rows] for spec in TREND_COLUMNS}
    return build_table(TREND_COLUMNS, columns), damaged


def _streaks(folder: StoreFolder, manifest: Manifest) -> Answer:
    span = f"{manifest.night}..{manifest.night}"
    answer = ask(folder.root, Question(nights=(span,), columns=_READ))
    if answer.damaged:
        raise ReadError(answer.damaged[0])
    return answer


def _row(manifest: Manifest, frames: QTable, streaks: QTable, min_p_real: float) -> dict[str, Any]:
    done = np.asarray(frames["state"]).astype(str) == "done"
    sites = sorted(set(np.asarray(frames["observatory"]).astype(str).tolist()) - {""})
    labels = np.asarray(streaks["label"]).astype(str)
    names = np.asarray(streaks["ssnamenr"]).astype(str)
    p_real = np.asarray(streaks["p_real"], float)
    candidates = p_real[p_real >= min_p_real]
    searched = frames[done]
    return {
        "night": manifest.night,
        "observatory": " ".join(sites),
        "n_frames": int(done.sum()),
        "n_failed": int((~done).sum()),
        "n_streaks": len(streaks),
        "fwhm": _median(_column(searched, "fwhm_px")),
        "zero_point": _median(_column(searched, "zero_point_mag")),
        "masked": _median(_column(searched, "masked")),
        "depth": _depth(streaks),
        "one_false_score": _median(_column(searched, "one_false_score")),
        "n_negated": _mean(_column(searched, "n_negated")),
        "n_candidates": len(candidates),
        "expected_false": float((1.0 - candidates).sum())
        if np.isfinite(p_real).any()
        else float("nan"),
        "n_known": int((~np.isin(names, ["null", ""])).sum()),
        **{f"n_{name}": int((labels == name).sum()) for name in CLASSES},
    }


def _depth(streaks: QTable) -> float:
    mag, snr = np.asarray(streaks["mag"].value, float), np.asarray(streaks["snr"], float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _median(mag + 2.5 * np.log10(np.where(snr > 0, snr, np.nan) / _DEPTH_SNR))


def _column(frames: QTable, name: str) -> NDArray[np.float64]:
    if name not in frames.colnames:
        return np.zeros(0)
    column = frames[name]
    return np.asarray(getattr(column, "value", column), float)


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
