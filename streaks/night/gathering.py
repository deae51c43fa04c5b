"""The parts of a night as two tables."""

from __future__ import annotations

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from astropy.table import QTable

from streaks.night.folder import NightFolder
from streaks.night.ledger import DONE, Entry
from streaks.reporting import write_table
from streaks.tables import empty_streaks

__all__ = ["frames_table", "write_night_tables"]

_TEXTS = ("time", "band", "observatory", "field", "ccd", "quadrant")
_NUMBERS = {
    "exposure_s": u.s,
    "fwhm_px": u.pix,
    "zero_point_mag": u.mag,
    "masked": None,
    "nx": u.pix,
    "ny": u.pix,
}


def write_night_tables(folder: NightFolder, entries: Sequence[Entry]) -> int:
    """Write ``streaks.parquet`` and ``frames.parquet``; the number of streaks."""
    done = [entry for entry in entries if entry.state == DONE]
    streaks = _gather(folder, [entry.image for entry in done]) if done else empty_streaks()
    write_table(streaks, folder.streaks)
    write_table(frames_table(entries), folder.frames)
    return len(streaks)


def frames_table(entries: Sequence[Entry]) -> QTable:
    """One row a frame, in the ledger's order.

    Returns
    -------
    QTable
        ``image, path, state, kind, reason, notes, n_streaks, seconds`` and what the header
        told; NaN and empty where it did not, or the frame failed.
    """
    table = QTable()
    for name in ("image", "path", "state", "kind", "reason", "notes"):
        table[name] = np.array([getattr(entry, name) for entry in entries], dtype=str)
    table["n_streaks"] = np.array([entry.n_streaks for entry in entries], dtype=np.int64)
    table["seconds"] = np.array([entry.seconds for entry in entries], dtype=float) * u.s
    for name in _TEXTS:
        values = [str(entry.about.get(name, "")) for entry in entries]
        table[name] = np.array(values, dtype=str)
    for name, unit in _NUMBERS.items():
        numbers = np.array([_number(entry.about.get(name)) for entry in entries], dtype=float)
        table[name] = numbers if unit is None else numbers * unit
    return table


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _gather(folder: NightFolder, images: Sequence[str]) -> QTable:
    """The streaks of these frames as one table, in this order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from streaks.arrow import arrow_to_table

    # Read as single files: a reader of data sets would take folder names for columns.
    parts = [pq.ParquetFile(folder.part(image)).read() for image in images]
    return arrow_to_table(pa.concat_tables(parts))
