"""Nights into a store: brought to today's columns, cut by night and sky, and counted at once."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable
from numpy.typing import NDArray

from streaks.arrow import arrow_to_table, table_to_arrow
from streaks.disk import written_whole
from streaks.errors import AccessError, CatalogueError, ReadError, TableError
from streaks.known.observatories import find_observatory
from streaks.matching import NO_DISTANCE, NO_NAME
from streaks.night_folder import Night, read_night
from streaks.store.healpix import pixels_at
from streaks.store.layout import Manifest, NewerStoreError, StoreFile, StoreFolder, held_store
from streaks.store.partition import ROW_GROUP, cut
from streaks.store.reading import NIGHT, PIXEL, read_file
from streaks.tables import (
    CLASS_COLUMNS,
    MATCH_COLUMNS,
    NIGHT_COLUMNS,
    STREAK_COLUMNS,
    VERDICT_COLUMNS,
    ColumnSpec,
)
from streaks.tracklets import TRACKLET_COLUMNS, chip_name

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FRAME_FACTS", "Added", "add_night"]

#: What a streak takes over from its frame.
FRAME_FACTS = (
    ColumnSpec("chip", str, None, "CCD, quadrant and shape of its image; empty where unknown"),
    ColumnSpec("observatory", str, None, "MPC code; empty where unknown"),
    ColumnSpec("band", str, None, "filter"),
    ColumnSpec("field", str, None, "the survey's field"),
)
_SPECS = (
    *STREAK_COLUMNS,
    *CLASS_COLUMNS,
    *VERDICT_COLUMNS,
    *MATCH_COLUMNS,
    *NIGHT_COLUMNS,
    *FRAME_FACTS,
)
#: What older nights lack is told as these tables tell that there is none.
_NONE: Mapping[str, Any] = {
    "ssdistnr": NO_DISTANCE, "ssmagnr": NO_DISTANCE, "ssnamenr": NO_NAME, "sat_norad": -1,
}  # fmt: skip
#: Without these a table is none of streaks.
_NEEDED = ("streak_id", "image", "x", "y", "ra", "dec", "time")
#: Before the folder's name where no frame tells its time.
_UNDATED = "undated-"
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class Added:
    """What an add did with one night.

    Parameters
    ----------
    night
        Its name in the store.
    streaks, frames
        That it has now.
    frames_before
        That it had.
    """

    night: str
    streaks: int
    frames: int
    frames_before: int


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one night."""

    streaks: QTable
    frames: QTable
    tracklets: QTable


def add_night(
    store: str | os.PathLike[str], folder: str | os.PathLike[str], *, name: str = ""
) -> list[Added]:
    """Put what a night's folder holds into a store.

    Frames that are there already are replaced, so that a night added twice is one. Each night is
    added whole or not at all, whatever ends the program on the way. Nothing of the folder changes.

    Parameters
    ----------
    store
        Made where there is none.
    folder
        That `streaks night` or `streaks alerts filter` wrote.
    name
        Of the night; by the dates of its frames and their observatories where not given. A folder
        with frames of several nights is then several.

    Returns
    -------
    list of Added
        One a night.

    Raises
    ------
    ReadError
        If the folder is no finished night, or the store is of a newer version.
    TableError
        If a table of the night is of a newer version, or lacks what each has; if the store has
        its frames under another name, or another folder under the name that this one would get.
    OutputError
        If the store cannot be written to.
    """
    try:
        night = read_night(folder)
        parts = dict(_parts_of(night, name))
    except TableError as error:
        raise TableError(f"{folder}: {error}") from None
    with held_store(store) as held:
        _refuse_twice(held, parts, night.folder.root.absolute(), named=bool(name))
        return [_add(held, key, part, night.folder.root.absolute()) for key, part in parts.items()]


def _add(store: StoreFolder, name: str, part: _Part, source: Path) -> Added:
    before: Manifest | None = None
    sources: tuple[str, ...] = ()
    n_before = 0
    if store.manifest_path(name).exists():
        try:
            before = store.manifest(name)
            old = _stored_part(store, before)
        except (NewerStoreError, AccessError):
            raise
        except ReadError:
            # Damaged: it is replaced by what is added, or the error stays to be told.
            if not _holds_all(store, before, part, str(source)):
                raise
        else:
            n_before = len(old.frames)
            part = _joined(old, part)
            sources = before.sources
    store.sweep(name, () if before is None else before.files)
    manifest = _write(store, name, part, (*(s for s in sources if s != str(source)), str(source)))
    store.write_manifest(manifest)
    store.sweep(name, manifest.files)
    return Added(name, manifest.n_streaks, len(part.frames), n_before)


def _refuse_twice(
    store: StoreFolder, parts: Mapping[str, _Part], source: Path, *, named: bool
) -> None:
    """Refuse frames of a folder under a second name, and two folders under one made-up name.

    Raises
    ------
    TableError
        If the store has these frames of this folder as another night, or a night of another
        folder has the name that a folder without dates would get.
    """
    for name in store.nights():
        try:
            manifest = store.manifest(name)
            if name in parts:
                if not named and name.startswith(_UNDATED) and str(source) not in manifest.sources:
                    raise TableError(
                        f"{source} tells no times, and {name} is in the store, of "
                        f"{', '.join(manifest.sources)}; give it a name of its own with --name"
                    )
                continue
            if str(source) not in manifest.sources:
                continue
            images = _texts(arrow_to_table(read_file(store, manifest.frames)), "image")
        except ReadError:
            continue  # damaged or newer; told where that night is asked for
        for part in parts.values():
            again = np.isin(_texts(part.frames, "image"), images)
            if again.any():
                raise TableError(
                    f"{int(again.sum())} frames of {source} are in the store already, as night "
                    f"{name}; give --name {name} to replace them"
                )


def _holds_all(store: StoreFolder, before: Manifest | None, part: _Part, source: str) -> bool:
    """Whether what is added is all that a damaged night had, as far as it can be told."""
    if before is None:
        return True
    try:
        frames = arrow_to_table(read_file(store, before.frames))
    except ReadError:
        return set(before.sources) <= {source}
    return set(_texts(frames, "image")) <= set(_texts(part.frames, "image"))


def _stored_part(store: StoreFolder, manifest: Manifest) -> _Part:
    import pyarrow as pa

    files = [read_file(store, file) for file in manifest.streaks]
    streaks = pa.concat_tables(files, promote_options="permissive")
    return _Part(
        arrow_to_table(streaks.drop_columns([PIXEL])),
        arrow_to_table(read_file(store, manifest.frames)),
        arrow_to_table(read_file(store, manifest.tracklets)),
    )


def _joined(old: _Part, new: _Part) -> _Part:
    """Both nights' frames; the new one's of those that both have, if it could be searched."""
    searched = {
        str(image)
        for image, state in zip(new.frames["image"], new.frames["state"], strict=True)
        if str(state) == "done"
    }
    was_done = np.array([str(state) == "done" for state in old.frames["state"]], bool)
    old_images, new_images = _texts(old.frames, "image"), _texts(new.frames, "image")
    stays = ~np.isin(old_images, sorted(searched)) & (was_done | ~np.isin(old_images, new_images))
    kept = set(old_images[stays].tolist())
    fresh = ~np.isin(new_images, sorted(kept))
    streaks = old.streaks[np.isin(_texts(old.streaks, "image"), sorted(kept))]
    more = new.streaks[~np.isin(_texts(new.streaks, "image"), sorted(kept))]
    tracklets = old.tracklets[np.isin(_texts(old.tracklets, "tracklet"), streaks["tracklet"])]
    again = np.isin(_texts(tracklets, "tracklet"), _texts(new.tracklets, "tracklet"))
    return _Part(
        _stacked(streaks, more),
        _stacked(old.frames[stays], new.frames[fresh]),
        _stacked(tracklets[~again], new.tracklets),
    )


def _stacked(first: QTable, second: QTable) -> QTable:
    """By way of Arrow, which fills what one of them lacks with nulls, whatever its kind."""
    import pyarrow as pa

    if not len(first):
        return second
    both = [table_to_arrow(table) for table in (first, second)]
    try:
        return arrow_to_table(pa.concat_tables(both, promote_options="permissive"))
    except pa.ArrowException as error:
        raise TableError(
            f"columns of two versions do not fit: {' '.join(str(error).split())[:200]}"
        ) from None


def _parts_of(night: Night, name: str) -> Iterator[tuple[str, _Part]]:
    streaks, frames = _of_today(night.streaks, night.frames), _frames(night.frames)
    tracklets = _with_columns(night.tracklets, TRACKLET_COLUMNS)
    images = _texts(streaks, "image")
    names = _night_names(night, frames, name)
    of_image = dict(zip(_texts(frames, "image").tolist(), names, strict=True))
    lost = sorted(set(images.tolist()) - set(of_image))
    if lost:
        raise TableError(f"streaks are of {lost[0]}, of which the table of frames knows nothing")
    of_row = np.array([of_image[image] for image in images.tolist()], dtype=str)
    for one in sorted(set(names)):
        rows = of_row == one
        named = np.isin(_texts(tracklets, "tracklet"), _texts(streaks, "tracklet")[rows])
        yield one, _Part(streaks[rows], frames[np.array(names) == one], tracklets[named])


def _night_names(night: Night, frames: QTable, name: str) -> list[str]:
    """The name of each frame's night: its date and observatory; alerts are nights of their own."""
    if name:
        safe = _safe(name)
        return [safe] * len(frames)
    settings = night.run.get("settings")
    is_alerts = isinstance(settings, Mapping) and "alerts" in settings
    dates = _dates(frames)
    found = []
    for date, code in zip(dates, _texts(frames, "observatory"), strict=True):
        words = [date or f"{_UNDATED}{night.name}", str(code), "alerts" if is_alerts else ""]
        found.append(_safe("_".join(word for word in words if word)))
    return found


def _safe(text: str) -> str:
    # Two dots are a span in a question.
    return re.sub(r"\.{2,}", ".", _UNSAFE.sub("-", text)).strip("._+-")[:100] or "unknown"


def _dates(frames: QTable) -> list[str]:
    """The UTC date of the middle of each frame's night, by its observatory's longitude."""
    found = []
    longitudes: dict[str, float] = {}
    for text, code in zip(_texts(frames, "time"), _texts(frames, "observatory"), strict=True):
        if code not in longitudes:
            longitudes[code] = _longitude_deg(code)
        try:
            when = datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
        except ValueError:
            found.append("")
            continue
        # Days that begin at the site's noon; the middle of each is its midnight.
        noon = longitudes[code] / 360.0 - 0.5
        day = np.floor(when.timestamp() / 86_400.0 + noon)
        middle = (day + 0.5 - noon) * 86_400.0
        found.append(datetime.fromtimestamp(float(middle), UTC).date().isoformat())
    return found


def _longitude_deg(code: str) -> float:
    """From -180 to 180, east; 0 where the site is not known."""
    try:
        east = find_observatory(code).longitude_deg if code else 0.0
    except CatalogueError:
        return 0.0
    return (east + 180.0) % 360.0 - 180.0


def _of_today(streaks: QTable, frames: QTable) -> QTable:
    """A night's streaks with all columns of this version, and what their frames tell of them."""
    missing = [name for name in _NEEDED if name not in streaks.colnames]
    if missing:
        raise TableError(f"its streaks lack the columns {', '.join(missing)}")
    with_facts = streaks.copy(copy_data=False)
    facts = _facts(frames)
    for spec in FRAME_FACTS:
        known = facts[spec.name]
        with_facts[spec.name] = np.array([known.get(str(i), "") for i in streaks["image"]], str)
    return _with_columns(with_facts, _SPECS)


def _facts(frames: QTable) -> dict[str, dict[str, str]]:
    """Each of `FRAME_FACTS` by image."""
    images = _texts(frames, "image").tolist()
    columns = {
        name: _texts(frames, name) if name in frames.colnames else np.full(len(frames), "")
        for name in ("ccd", "quadrant", "observatory", "band", "field")
    }
    shapes = {
        name: np.nan_to_num(_bare(frames[name])) if name in frames.colnames
        else np.zeros(len(frames))
        for name in ("nx", "ny")
    }  # fmt: skip
    chips = [
        chip_name(str(ccd), str(quadrant), int(nx), int(ny))
        for ccd, quadrant, nx, ny in zip(
            columns["ccd"], columns["quadrant"], shapes["nx"], shapes["ny"], strict=True
        )
    ]
    found = {"chip": dict(zip(images, chips, strict=True))}
    for spec in FRAME_FACTS[1:]:
        found[spec.name] = dict(zip(images, map(str, columns[spec.name]), strict=True))
    return found


def _frames(frames: QTable) -> QTable:
    """Frames with the columns that a store asks for."""
    found = frames.copy(copy_data=False)
    for name in ("state", "time", "observatory", "version"):
        if name not in found.colnames:
            found[name] = np.full(len(found), "", dtype="U1")
    return found


def _with_columns(table: QTable, specs: tuple[ColumnSpec, ...]) -> QTable:
    """The table with these columns first, in their kinds and units; unknown where it lacks them."""
    found = QTable(meta={})
    for spec in specs:
        found[spec.name] = _column(table, spec)
        found[spec.name].info.description = spec.description
    for name in table.colnames:
        if name not in found.colnames:
            found[name] = table[name]
    return found


def _column(table: QTable, spec: ColumnSpec) -> Any:
    unit = None if spec.unit is None else u.Unit(spec.unit)
    if spec.name not in table.colnames:
        unknown = {str: "", float: np.nan, bool: False}.get(spec.dtype, 0)
        # As an array of one first: asked for text of no length, `full` cuts it to a letter.
        values: Any = np.repeat(np.array([_NONE.get(spec.name, unknown)], spec.dtype), len(table))
    else:
        values = _in_unit(table[spec.name], unit, spec.name)
        try:
            values = np.asarray(values, dtype=spec.dtype)
        except (TypeError, ValueError):
            raise TableError(
                f"its column {spec.name} holds {values.dtype}, expected {spec.dtype.__name__}"
            ) from None
    return Column(values) if unit is None else u.Quantity(values, unit, copy=False)


def _in_unit(column: Any, unit: u.UnitBase | None, name: str) -> NDArray[Any]:
    own = getattr(column, "unit", None)
    if own is None or unit is None:
        return _bare(column)
    try:
        return np.asarray(u.Quantity(column).to_value(unit))
    except u.UnitConversionError:
        raise TableError(f"its column {name} is in {own}, expected {unit}") from None


def _bare(column: Any) -> NDArray[Any]:
    return np.asarray(getattr(column, "value", column))


def _texts(table: QTable, name: str) -> NDArray[np.str_]:
    return np.asarray(table[name]).astype(str)


def _write(store: StoreFolder, name: str, part: _Part, sources: tuple[str, ...]) -> Manifest:
    """A night's files, under names that none has yet; they do not count before the manifest."""
    mark = secrets.token_hex(6)
    streaks = table_to_arrow(part.streaks)
    pixels = pixels_at(_bare(part.streaks["ra"]), _bare(part.streaks["dec"]))
    files = []
    for order, pixel, rows in cut(pixels):
        place = "none" if order < 0 else f"{order}-{pixel}"
        path = store.table_folder("streaks", name) / f"{place}-{mark}.parquet"
        files.append(_write_table(store, path, _rows(streaks, pixels, rows), order, pixel))
    others = []
    for table in ("frames", "tracklets"):
        path = store.table_folder(table, name) / f"{mark}.parquet"
        others.append(_write_table(store, path, table_to_arrow(getattr(part, table)), -1, -1))
    return Manifest(
        night=name,
        streaks=tuple(files),
        frames=others[0],
        tracklets=others[1],
        columns={f.name: str(f.type) for f in streaks.schema},
        sources=sources,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
        made_by=tuple(sorted(set(_texts(part.frames, "version").tolist()) - {""})),
    )


def _rows(
    streaks: pyarrow.Table, pixels: NDArray[np.int64], rows: NDArray[np.intp]
) -> pyarrow.Table:
    import pyarrow as pa

    taken = streaks.take(pa.array(rows))
    return taken.add_column(0, PIXEL, pa.array(pixels[rows]))


def _write_table(
    store: StoreFolder, path: Path, table: pyarrow.Table, order: int, pixel: int
) -> StoreFile:
    import pyarrow.parquet as pq

    if NIGHT in table.column_names:
        table = table.drop_columns([NIGHT])
    with written_whole(path) as beside:
        # Checksums tell a page that has changed on the disk.
        pq.write_table(table, beside, row_group_size=ROW_GROUP, write_page_checksum=True)
    inside = path.relative_to(store.root).as_posix()
    return StoreFile(inside, path.stat().st_size, table.num_rows, order, pixel)
