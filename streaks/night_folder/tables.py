"""The parts of a night as its tables: what was found, where, and what belongs together."""

from __future__ import annotations

import functools
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import Settings, TrackletConfig
from streaks.errors import TableError
from streaks.lightcurves import zero_point_offsets
from streaks.night_folder.frame_results import PART_ERRORS, opened_part, read_record
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import DONE, Entry
from streaks.reporting import AdesContext, split_submittable, write_table
from streaks.search.judging import judge_linked
from streaks.tables import StreakFlag, empty_streaks, order_columns
from streaks.tracklets import chip_name, find_repeats
from streaks.verdict import VerdictModel, count_candidates

__all__ = [
    "NightCounts",
    "PartReader",
    "frames_table",
    "searched_streaks",
    "write_night_tables",
]

if TYPE_CHECKING:
    import pyarrow

_log = logging.getLogger(__name__)

#: Of one frame's table; a frame has some thousand streaks at most, and a hundred columns.
_MAX_ROWS, _MAX_COLUMNS = 1_000_000, 2000

#: What stands with each frame: what its header told, and what did it.
_TEXTS = (
    "time", "band", "observatory", "field", "ccd", "quadrant", "profile",
    "fwhm_source", "classifier", "set_aside", "colour_index",
)  # fmt: skip
_NUMBERS = {
    "exposure_s": u.s,
    "fwhm_px": u.pix,
    "zero_point_mag": u.mag,
    "zero_point_err": u.mag,
    "colour_term": None,
    "colour_term_err": None,
    "masked": None,
    "n_negated": None,
    "one_false_score": None,
    "nx": u.pix,
    "ny": u.pix,
}


@dataclass(frozen=True)
class NightCounts:
    """How much a night's tables hold: streaks, streaks of each label, objects of several.

    Parameters
    ----------
    n_streaks
        Rows of the night's table.
    by_class
        How many of them have each label; the empty label where they were not classified.
    n_tracklets
        Objects of several streaks.
    n_candidates
        Streaks that are probably real moving bodies.
    expected_false
        How many of these are expected not to be; NaN where nothing was weighed.
    """

    n_streaks: int
    by_class: Mapping[str, int]
    n_tracklets: int
    n_candidates: int = 0
    expected_false: float = math.nan


class PartReader:
    """The tables of single frames; each is read from disk once, and again when it is done anew.

    Parameters
    ----------
    folder
        The night's.
    """

    def __init__(self, folder: NightFolder) -> None:
        self.folder = folder
        self._read: dict[str, tuple[str, pyarrow.Table]] = {}

    def load(self, done: Sequence[Entry]) -> dict[str, str]:
        """Read those not read yet.

        Parameters
        ----------
        done
            Of the ledger: frames that are done.

        Returns
        -------
        dict
            Image and reason of each table that cannot be read: missing or damaged.
        """
        damaged = {}
        kept = self._read
        self._read = {}
        for entry in done:
            if entry.image in kept and kept[entry.image][0] == entry.updated:
                self._read[entry.image] = kept[entry.image]
                continue
            try:
                part = _read_part(self.folder.part(entry.image), entry.image)
            except PART_ERRORS as error:
                damaged[entry.image] = " ".join(str(error).split())[:200]
                continue
            self._read[entry.image] = (entry.updated, part)
        return damaged

    def streaks(self, images: Sequence[str]) -> QTable:
        """The streaks of these frames as one table, in this order.

        Parameters
        ----------
        images
            Names of frames that `load` has read.

        Returns
        -------
        QTable
            Of no rows, with all columns, for no frames. Where a frame lacks a column that another
            has, it holds NaN, empty text, 0 or False.
        """
        import pyarrow as pa

        from streaks.arrow import arrow_to_table

        if not images:
            return empty_streaks()
        parts = [self._read[image][1] for image in images]
        # Frames that another version did may lack columns.
        return arrow_to_table(pa.concat_tables(parts, promote_options="default"))


def _read_part(path: Path, image: str) -> pyarrow.Table:
    """The table of one frame.

    Raises
    ------
    Exception
        One of `PART_ERRORS`, if it is missing, damaged, or another table than a night wrote there.
    """
    with opened_part(path) as held:
        about = held.metadata
        if about.num_rows > _MAX_ROWS or about.num_columns > _MAX_COLUMNS:
            raise TableError(f"it has {about.num_rows} rows of {about.num_columns} columns")
        # Of its frame's own words nothing is needed here, and they would be joined.
        part = held.read(use_threads=False).replace_schema_metadata(None)
    part.validate(full=True)
    # As bytes: two schemas are equal to Arrow, whatever their units.
    _check_schema(part.schema.serialize().to_pybytes())
    if set(part.column("image").to_pylist()) - {image}:
        raise TableError("it is of another frame")
    return part


@functools.lru_cache(maxsize=16)
def _check_schema(serialized: bytes) -> None:
    """Parts are joined: their columns must be of kinds and units that fit."""
    import pyarrow as pa

    from streaks.arrow import arrow_to_table, table_to_arrow

    schema = pa.ipc.read_schema(pa.py_buffer(serialized))
    expected = table_to_arrow(empty_streaks()).schema
    pa.unify_schemas([expected, schema], promote_options="default")
    table, known = arrow_to_table(schema.empty_table()), empty_streaks()
    if not {"streak_id", "image"} <= set(table.colnames):
        raise TableError("it is no table of streaks")
    for name in set(table.colnames) & set(known.colnames):
        units = [getattr(one[name], "unit", None) for one in (table, known)]
        if units[0] != units[1]:
            raise TableError(f"its column {name} is in {units[0]}, not {units[1]}")


def write_night_tables(
    parts: PartReader,
    entries: Sequence[Entry],
    settings: Settings | None = None,
    *,
    verdict: VerdictModel | None = None,
    provenance: Mapping[str, Any] | None = None,
    ades: AdesContext | None = None,
) -> NightCounts:
    """Write the tables of a night and its ADES files.

    Parameters
    ----------
    parts
        The tables of its frames, loaded.
    entries
        Of the ledger, in its order.
    settings
        What belongs together, and what is a candidate.
    verdict
        What weighs the streaks; None leaves them unweighed.
    provenance
        Plain values that go into each table: what decided it.
    ades
        What the ADES files say of observer and telescope.

    Returns
    -------
    NightCounts
        Of what was written.
    """
    folder = parts.folder
    done = [entry for entry in entries if entry.state == DONE]
    streaks = parts.streaks([entry.image for entry in done])
    settings = Settings() if settings is None else settings
    streaks = _repeats_flagged(streaks, done, settings.tracklets)
    abouts = {entry.image: entry.about for entry in done}
    streaks, tracklets = judge_linked(streaks, abouts, verdict, settings)
    decided = {"provenance": dict(provenance or {})}
    if verdict is not None:
        decided["verdict"] = {
            "name": verdict.name,
            "asteroid_share": float(f"{streaks.meta['asteroid_share']:.6g}"),
            "min_p_real": settings.verdict.min_p_real,
        }
    streaks = order_columns(streaks)
    frames = frames_table(entries)
    for table, path in (
        (streaks, folder.streaks),
        (tracklets, folder.tracklets),
        (frames, folder.frames),
    ):
        table.meta = decided
        write_table(table, path)
    _write_ades(folder, streaks, done, ades, settings.verdict.min_p_real)
    labels = streaks["label"] if "label" in streaks.colnames else [""] * len(streaks)
    n_candidates, expected = count_candidates(streaks, settings.verdict.min_p_real)
    return NightCounts(
        n_streaks=len(streaks),
        by_class=dict(Counter(str(label) for label in labels)),
        n_tracklets=len(tracklets),
        n_candidates=n_candidates,
        expected_false=expected,
    )


def searched_streaks(folder: NightFolder) -> tuple[QTable, dict[str, dict[str, Any]]]:
    """The streaks of a night's finished frames as the search left them, with their evidence.

    Parameters
    ----------
    folder
        Of a night; it is only read.

    Returns
    -------
    streaks : QTable
        Of all frames whose results can be read, by name of frame.
    abouts : dict
        Plain values of each of these frames.
    """
    import pyarrow as pa

    from streaks.arrow import arrow_to_table

    parts, abouts = [], {}
    for path in sorted(folder.part("*").parent.glob("*.parquet")):
        image = path.name.removesuffix(".parquet")
        try:
            parts.append(_read_part(path, image))
        except PART_ERRORS as error:
            _log.warning("%s is left out: %s", path.name, " ".join(str(error).split())[:200])
            continue
        abouts[image] = read_record(path).get("about", {})
    if not parts:
        return empty_streaks(), {}
    return arrow_to_table(pa.concat_tables(parts, promote_options="default")), abouts


def frames_table(entries: Sequence[Entry]) -> QTable:
    """One row a frame, in the ledger's order.

    Parameters
    ----------
    entries
        Of the ledger, in its order.

    Returns
    -------
    QTable
        ``image, path, state, kind, reason, notes, version, n_streaks, seconds``, what the header
        told, and profile, PSF's source and classifier; NaN and empty where nothing did, or the
        frame failed. ``zero_point_offset`` is how far a zero point is from the median of its field,
        chip and filter in this night: below 0 in clouds; NaN for fewer than three exposures.
    """
    table = QTable()
    for name in ("image", "path", "state", "kind", "reason", "notes", "version"):
        table[name] = np.array([getattr(entry, name) for entry in entries], dtype=str)
    table["n_streaks"] = np.array([entry.n_streaks for entry in entries], dtype=np.int64)
    table["seconds"] = np.array([entry.seconds for entry in entries], dtype=float) * u.s
    for name in _TEXTS:
        values = [str(entry.about.get(name, "")) for entry in entries]
        table[name] = np.array(values, dtype=str)
    for name, unit in _NUMBERS.items():
        numbers = np.array([_number(entry.about.get(name)) for entry in entries], dtype=float)
        table[name] = numbers if unit is None else numbers * unit
    table["zero_point_offset"] = _zero_point_offsets(table) * u.mag
    return table


def _zero_point_offsets(frames: QTable) -> NDArray[np.float64]:
    names = [frames[name].astype(str) for name in ("field", "ccd", "quadrant", "band")]
    group = [" ".join(parts) if parts[0] else "" for parts in zip(*names, strict=True)]
    zero_point = np.asarray(frames["zero_point_mag"].to_value("mag"), dtype=float)
    images = frames["image"].astype(str)
    offsets = zero_point_offsets(zero_point, np.array(group, dtype=str), images)
    return np.asarray(offsets, dtype=np.float64)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _repeats_flagged(
    streaks: QTable, done: Sequence[Entry], config: TrackletConfig | None
) -> QTable:
    """The streaks with a flag on those that come back at one place of their chip."""
    chips = {entry.image: _chip(entry) for entry in done}
    again = find_repeats(streaks, [chips[str(image)] for image in streaks["image"]], config)
    flagged = streaks.copy(copy_data=False)
    flagged["flags"] = streaks["flags"] | np.where(again, int(StreakFlag.REPEAT), 0)
    return flagged


def _chip(entry: Entry) -> str:
    """CCD and quadrant; empty where the header tells no CCD."""
    about = entry.about
    ccd, quadrant = str(about.get("ccd", "")), str(about.get("quadrant", ""))
    return chip_name(ccd, quadrant, about.get("nx"), about.get("ny"))


def _write_ades(
    folder: NightFolder,
    streaks: QTable,
    done: Sequence[Entry],
    ades: AdesContext | None,
    min_p_real: float,
) -> None:
    """The two ADES files; neither is left from an earlier run when there is nothing to tell.

    Of streaks that were weighed, those that are no candidates are left out.
    """
    told = streaks.copy(copy_data=False)
    if "p_real" in told.colnames:
        told = told[~(np.asarray(told["p_real"]) < min_p_real)]
    about = {entry.image: entry.about for entry in done}
    for name in ("observatory", "band"):
        told[name] = np.array([str(about[str(i)].get(name, "")) for i in told["image"]], "U16")
    # Stamps of alerts have no WCS: their streaks have a place, and no ends on the sky.
    can_tell = np.isfinite(told["ra"].value) & np.isfinite(told["ra0"].value)
    can_tell &= np.char.str_len(told["time"].astype(str)) > 0
    can_tell &= np.char.str_len(told["observatory"].astype(str)) > 0
    for path, table in zip(
        (folder.submittable, folder.candidates), split_submittable(told[can_tell]), strict=True
    ):
        path.unlink(missing_ok=True)
        if len(table):
            try:
                write_table(table, path, ades=ades)
            except TableError as error:
                _log.warning("%s not written: %s", path.name, error)
