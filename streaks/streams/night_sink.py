"""Alerts as a night's folder, which `streaks vet` and `streaks report` open.

Each image that alerts are of is a frame, each alert a streak with its stamp as cutout.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from streaks import __version__
from streaks.cutouts import Cutouts
from streaks.disk import written_whole
from streaks.errors import OutputError
from streaks.matching import NO_DISTANCE, NO_NAME
from streaks.night_folder.claim import claim_folder
from streaks.night_folder.frame_results import save_result
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import DONE, Entry, open_ledger
from streaks.night_folder.page import write_night_report
from streaks.night_folder.reading import read_night
from streaks.night_folder.tables import PartReader, write_night_tables
from streaks.search import FrameResult
from streaks.streams.sinks import Output, TableSink, plain_json, spool_parts
from streaks.tables import (
    CLASS_COLUMNS,
    MATCH_COLUMNS,
    SKIP,
    STREAK_COLUMNS,
    StreakFlag,
    build_table,
    order_columns,
)

__all__ = ["NightSink"]

#: Stamps' columns in the spool.
_STAMP, _NY, _NX, _FWHM = "stamp", "stamp_ny", "stamp_nx", "stamp_fwhm"
#: Of a cutout where there is no stamp, px.
_NO_STAMP_PX = 31
_UNSAFE = str.maketrans(dict.fromkeys('/\\:,*?"<>| ', "_"))


class NightSink(TableSink):
    """A night's folder, made at the end from parts that were written on the way.

    Parameters
    ----------
    target
        The folder.
    spool
        Folder of the parts.
    """

    wants = frozenset({"stamps"})

    def restore(self, state: Mapping[str, Any]) -> None:
        """As a table does; the folder must be a night's or new.

        Parameters
        ----------
        state
            Of the ledger.

        Raises
        ------
        OutputError
            If the folder is another's, or a part is gone.
        """
        folder = NightFolder(self._target)
        # A run that was killed at its very start has left the mark, and nothing else.
        if not state and self._target.exists() and set(self._target.iterdir()) - {folder.mark}:
            raise OutputError(f"{self._target} holds something already; give a new folder")
        claim_folder(folder)
        super().restore(state or {"parts": 0})

    def _arrow(self, output: Output) -> Any:
        import pyarrow as pa

        table = super()._arrow(output)
        stamps = output.stamps
        cells: dict[str, Any] = {
            _STAMP: pa.array([None if s is None else s.data for s in stamps], pa.binary()),
            _NY: pa.array([0 if s is None else s.shape[0] for s in stamps], pa.int32()),
            _NX: pa.array([0 if s is None else s.shape[1] for s in stamps], pa.int32()),
            _FWHM: pa.array([math.nan if s is None else s.fwhm_px for s in stamps], pa.float64()),
        }
        for name, cell in cells.items():
            table = table.append_column(name, cell)
        return table

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Make the night: its frames, tables and report.

        Parameters
        ----------
        provenance
            Plain values that tell how it was made.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        folder = NightFolder(self._target)
        parts = spool_parts(self._spool)[: self._n]
        began = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"settings": {"alerts": dict(provenance)}, "version": __version__,
                  "started": began, "classifier": str(provenance.get("classifier", "")),
                  "orbits": str(provenance.get("orbits", ""))}  # fmt: skip
        with written_whole(folder.settings) as beside:
            beside.write_text(plain_json(record) + "\n", encoding="utf-8")
        entries: list[Entry] = []
        with open_ledger(folder.ledger) as ledger:
            for image, words, cutouts in _frames(parts):
                result = _frame_result(image, words, cutouts)
                save_result(folder, result, {"about": dict(result.about)})
                entry = Entry(
                    image=image, path=str(result.about["path"]), signature="", settings="alerts",
                    state=DONE, n_streaks=len(words), about=result.about, version=__version__,
                )  # fmt: skip
                ledger.record(entry)
                entries.append(entry)
        reader = PartReader(folder)
        damaged = reader.load(entries)
        if damaged:
            raise OutputError(f"tables of {', '.join(damaged)} in {folder.root} are damaged")
        write_night_tables(reader, entries, provenance={"alerts": dict(provenance)})
        write_night_report(read_night(folder.root), seconds=math.nan)


def _frames(parts: list[Path]) -> Iterator[tuple[str, QTable, Cutouts]]:
    """Alerts of one image after the other, with cutouts: no more than these in memory."""
    import pyarrow.parquet as pq

    images = [pq.read_table(part, columns=["image"]).column(0).to_pylist() for part in parts]
    where: dict[str, list[tuple[int, int]]] = {}
    for k, listed in enumerate(images):
        for row, image in enumerate(listed):
            where.setdefault(image or "unknown", []).append((k, row))
    names = _safe_names(sorted(where))
    for image in sorted(where):
        tables: list[Any] = []
        for k, places in itertools.groupby(where[image], key=lambda place: place[0]):
            tables.append(pq.read_table(parts[k]).take([row for _, row in places]))
        yield names[image], *_rows(tables)


def _safe_names(images: list[str]) -> dict[str, str]:
    """Names that files can have, each once."""
    found: dict[str, str] = {}
    for image in images:
        name = base = image.translate(_UNSAFE).lstrip(".")[:120] or "unknown"
        number = 1
        while name in found.values():
            number += 1
            name = f"{base}_{number}"
        found[image] = name
    return found


def _rows(tables: list[Any]) -> tuple[QTable, Cutouts]:
    import pyarrow as pa

    from streaks.arrow import arrow_to_table

    whole = pa.concat_tables(tables)
    stamps = whole.column(_STAMP).to_pylist()
    shapes = list(zip(whole.column(_NY).to_pylist(), whole.column(_NX).to_pylist(), strict=True))
    fwhm = np.array(whole.column(_FWHM).to_pylist(), dtype=float)
    words = arrow_to_table(whole.drop_columns([_STAMP, _NY, _NX, _FWHM]))
    names = tuple(_streak_id(str(i)) for i in words["alert_id"])
    return words, _cutouts(stamps, shapes, fwhm, names)


def _streak_id(alert_id: str) -> str:
    return alert_id.replace(":", "_")


def _cutouts(
    stamps: list[bytes | None], shapes: list[tuple[int, int]], fwhm: Any, names: tuple[str, ...]
) -> Cutouts:
    side = max([_NO_STAMP_PX, *(max(shape) for shape in shapes)])
    difference = np.zeros((len(stamps), side, side), np.float32)
    mask = np.ones((len(stamps), side, side), bool)
    for i, (stamp, (ny, nx)) in enumerate(zip(stamps, shapes, strict=True)):
        if stamp is None:
            continue
        data = np.frombuffer(stamp, np.float32).reshape(ny, nx)
        y, x = (side - ny) // 2, (side - nx) // 2
        bad = ~np.isfinite(data)
        difference[i, y : y + ny, x : x + nx] = np.where(bad, 0.0, data)
        mask[i, y : y + ny, x : x + nx] = bad
    return Cutouts(difference, mask, names, fwhm_px=fwhm)


def _frame_result(image: str, words: QTable, cutouts: Cutouts) -> FrameResult:
    first = words[0]
    side = cutouts.size_px
    about = {
        "path": image, "nx": side, "ny": side, "time": str(first["time"]),
        "exposure_s": math.nan, "fwhm_px": float(np.nanmedian(words["fwhm"].to_value("pix")))
        if np.isfinite(words["fwhm"].to_value("pix")).any() else math.nan,
        "fwhm_source": "stamps", "zero_point_mag": math.nan, "band": str(first["band"]),
        "observatory": str(first["observatory"]), "profile": str(first["survey"]),
        "masked": float(cutouts.mask.mean()), "set_aside": "",
    }  # fmt: skip
    return FrameResult(image, _streaks(image, words), cutouts, None, about)


def _streaks(image: str, words: QTable) -> QTable:
    n = len(words)
    nan = np.full(n, np.nan)
    values: dict[str, Any] = {
        spec.name: nan if spec.dtype is float else np.full(n, "" if spec.dtype is str else 0)
        for spec in (*STREAK_COLUMNS, *CLASS_COLUMNS, *MATCH_COLUMNS)
    }

    def bare(name: str) -> Any:
        return np.asarray(getattr(words[name], "value", words[name]))

    length, theta = np.nan_to_num(bare("length")), np.radians(np.nan_to_num(bare("theta")))
    dx, dy = 0.5 * length * np.cos(theta), 0.5 * length * np.sin(theta)
    x, y = bare("x"), bare("y")
    pa, half = np.radians(bare("pa")), np.nan_to_num(bare("length_arcsec")) / 7200.0
    north = half * np.cos(pa)
    east = half * np.sin(pa) / np.cos(np.radians(bare("dec")))
    known = np.isfinite(bare("sep"))
    positive = bare("is_positive").astype(bool)
    values |= {
        "streak_id": [_streak_id(str(i)) for i in words["alert_id"]],
        "image": [image] * n,
        "x0": np.minimum(x - dx, x + dx), "x1": np.maximum(x - dx, x + dx),
        "y0": np.where(dx >= 0, y - dy, y + dy), "y1": np.where(dx >= 0, y + dy, y - dy),
        "x": x, "y": y, "length": length, "theta": bare("theta"), "width": bare("fwhm"),
        "snr": bare("snr"), "score": bare("snr"), "ra": bare("ra"), "dec": bare("dec"),
        "pa": bare("pa"), "ra0": bare("ra") - east, "dec0": bare("dec") - north,
        "ra1": bare("ra") + east, "dec1": bare("dec") + north,
        "mag": bare("mag"), "mag_err": bare("mag_err"), "time": bare("time"),
        "flags": np.where(positive, 0, int(StreakFlag.NEGATIVE)),
        "label": [str(label) or SKIP for label in words["label"]],
        "ssdistnr": np.where(known, bare("sep"), NO_DISTANCE),
        "ssmagnr": np.where(np.isfinite(bare("vmag")), bare("vmag"), NO_DISTANCE),
        "ssnamenr": np.where(known, bare("name"), NO_NAME),
        "length_err": bare("length_err"), "chi2": bare("stamp_chi2"),
    }  # fmt: skip
    for spec in CLASS_COLUMNS:
        if spec.dtype is float:
            values[spec.name] = bare(spec.name)
    return order_columns(build_table((*STREAK_COLUMNS, *CLASS_COLUMNS, *MATCH_COLUMNS), values))
