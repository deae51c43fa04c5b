"""Questions to a store: rows of many nights, with no more of its files read than may hold any."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.arrow import arrow_to_table
from streaks.errors import ConfigError, ReadError
from streaks.expressions import parse_expression
from streaks.known.names import normalise_name
from streaks.sky import separation_and_angle
from streaks.store.healpix import cone_ranges
from streaks.store.layout import Manifest, StoreFile, StoreFolder
from streaks.store.reading import NIGHT, PIXEL, read_file
from streaks.tables import empty_streaks

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Answer", "Cone", "Question", "ask", "picked_nights", "read_nights"]

_SPAN = re.compile(r"(.+?)\.\.(.+)")


@dataclass(frozen=True)
class Cone:
    """A circle on the sky.

    Parameters
    ----------
    ra_deg, dec_deg
        Its centre, ICRS.
    radius_deg
        Of midpoints within it.
    """

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.ra_deg <= 360.0 and -90.0 <= self.dec_deg <= 90.0):
            raise ConfigError(
                f"a cone at {self.ra_deg}, {self.dec_deg}: expected a right ascension from 0 to "
                "360 and a declination from -90 to 90 degrees"
            )
        if not 0.0 < self.radius_deg <= 180.0:
            raise ConfigError(f"a cone of {self.radius_deg} degrees; expected 0 to 180")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked; all of it must hold.

    Parameters
    ----------
    where
        Condition on named columns.
    cone
        Where on the sky.
    nights
        Names, beginnings of names (``2018-01``), or spans ``2018-01-01..2018-02-15`` of both ends;
        all where empty.
    object_name
        Of a known object in any spelling, a satellite (name or NORAD number) or a tracklet.
    chip
        Its name, or the beginning of it (``4/2``).
    streaks
        Images and streaks, as a campaign names them; all where None.
    columns
        That are wanted, in this order; all where empty.
    """

    where: str = ""
    cone: Cone | None = None
    nights: tuple[str, ...] = ()
    object_name: str = ""
    chip: str = ""
    streaks: frozenset[tuple[str, str]] | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """What a store answered.

    Parameters
    ----------
    rows
        ``night`` and the columns asked for, by night, time and name.
    nights
        That were looked into.
    files_read, files
        Files of their streaks that were opened, and all there are.
    damaged
        What could not be read, each with the reason.
    """

    rows: QTable
    nights: tuple[str, ...] = ()
    files_read: int = 0
    files: int = 0
    damaged: tuple[str, ...] = field(default=())


def ask(store: str | os.PathLike[str], question: Question) -> Answer:
    """The streaks of all nights that a question is about.

    Parameters
    ----------
    store
        Made by `streaks.store.add_night`.
    question
        What is asked.

    Returns
    -------
    Answer
        Nights and files that cannot be read are told; the others answer.

    Raises
    ------
    ReadError
        If this is no store, or one of a newer version.
    ConfigError
        If the question asks for nights or columns that there are not.
    """
    folder = StoreFolder(Path(store))
    manifests, damaged = read_nights(folder, question.nights)
    kinds = _kinds(manifests)
    search = _Search(folder, question, kinds)
    parts: list[pyarrow.Table] = []
    n_read = 0
    for manifest in manifests:
        found = search.of_night(manifest)
        parts += found.tables
        damaged += found.damaged
        n_read += found.n_read
    rows = _rows(parts or search.nothing(manifests), question)
    n_files = sum(len(manifest.streaks) for manifest in manifests)
    return Answer(rows, tuple(m.night for m in manifests), n_read, n_files, tuple(damaged))


def read_nights(
    folder: StoreFolder, picked: Sequence[str] = ()
) -> tuple[list[Manifest], list[str]]:
    """Manifests of the nights that are asked for.

    Parameters
    ----------
    folder
        Of the store.
    picked
        As `Question.nights`.

    Returns
    -------
    manifests : list of Manifest
    damaged : list of str
        Reasons of those that cannot be read.

    Raises
    ------
    ReadError
        If this is no store, or one of a newer version.
    ConfigError
        If there are no such nights.
    """
    manifests, damaged = [], []
    for night in picked_nights(folder.nights(), picked):
        try:
            manifests.append(folder.manifest(night))
        except ReadError as error:
            damaged.append(str(error))
    return manifests, damaged


def picked_nights(nights: Sequence[str], picked: Sequence[str]) -> list[str]:
    """Those of some nights that are named.

    Parameters
    ----------
    nights
        Names.
    picked
        Names, beginnings or spans; all where empty.

    Returns
    -------
    list of str
        In the order of `nights`.

    Raises
    ------
    ConfigError
        If one of `picked` names none.
    """
    if not picked:
        return list(nights)
    chosen: set[str] = set()
    for one in picked:
        span = _SPAN.fullmatch(one)
        is_meant = _in_span(*span.groups()) if span else _begins(one)
        found = {night for night in nights if is_meant(night)}
        if not found and not span:
            known = f"{nights[0]} to {nights[-1]}" if nights else "no nights at all"
            raise ConfigError(f"no night of the store is called {one}; it has {known}")
        chosen |= found
    return [night for night in nights if night in chosen]


def _begins(text: str) -> Callable[[str], bool]:
    return lambda night: night.startswith(text)


def _in_span(first: str, last: str) -> Callable[[str], bool]:
    """Both ends are within; ``..2018-02`` ends with that month."""
    if first > last and not first.startswith(last):
        raise ConfigError(f"nights {first}..{last} end before they begin; swap the two")
    return lambda night: night[: len(first)] >= first and night[: len(last)] <= last


def _kinds(manifests: Sequence[Manifest]) -> dict[str, str]:
    """Columns of all nights, with their kinds; the first that tells one decides."""
    found = {NIGHT: "string"}
    for manifest in manifests:
        for name, kind in manifest.columns.items():
            found.setdefault(name, kind)
    return found


_BY_OBJECT = ("ssnamenr", "sat_name", "sat_norad", "tracklet")
#: What rows are put in order by.
_ORDER = ("time", "streak_id")


@dataclass(frozen=True)
class _Found:
    """What some files gave."""

    tables: list[pyarrow.Table]
    damaged: list[str]
    n_read: int


class _Search:
    """A question that was read and found sound, and how the files of a night answer it."""

    def __init__(self, folder: StoreFolder, question: Question, kinds: dict[str, str]) -> None:
        self._folder, self._question, self._kinds = folder, question, kinds
        # A store without nights knows no column, and answers with no rows.
        names = kinds if len(kinds) > 1 else None
        text = question.where.strip()
        self._condition = parse_expression(text, names) if text else None
        unknown = [name for name in question.columns if names and name not in names]
        if unknown:
            raise ConfigError(
                f"the store has no column {', '.join(unknown)}; it has {', '.join(sorted(kinds))}"
            )
        cone = question.cone
        self._ranges: tuple[tuple[int, int], ...] = ()
        if cone is not None:
            self._ranges = tuple(cone_ranges(cone.ra_deg, cone.dec_deg, cone.radius_deg))
        self._asked = self._columns_asked()

    def _columns_asked(self) -> list[str]:
        """Columns that must be there to answer, whether they are shown or not."""
        question = self._question
        names = [*_ORDER, *(self._condition.names if self._condition else ())]
        names += ["ra", "dec"] if question.cone is not None else []
        names += _BY_OBJECT if question.object_name else []
        names += ["chip"] if question.chip else []
        names += ["image"] if question.streaks is not None else []
        return [name for name in dict.fromkeys([*question.columns, *names]) if name != NIGHT]

    def of_night(self, manifest: Manifest) -> _Found:
        """Rows of one night, as tables of its files."""
        found = self._of_files(manifest)
        if found.damaged:
            # Where the night was added again meanwhile, other files are its own now.
            try:
                now = self._folder.manifest(manifest.night)
            except ReadError:
                return found
            if now.streaks != manifest.streaks:
                return self._of_files(now)
        return found

    def _of_files(self, manifest: Manifest) -> _Found:
        found = _Found([], [], 0)
        n_read = 0
        for file in manifest.streaks:
            if self._question.cone is not None and not file.overlaps(self._ranges):
                continue
            n_read += 1
            try:
                table = self._read(file, manifest.night)
            except ReadError as error:
                found.damaged.append(str(error))
                continue
            rows = self._that_hold(table)
            if len(rows) or not found.tables:
                found.tables.append(table.take(rows))
        return _Found(found.tables, found.damaged, n_read)

    def nothing(self, manifests: Sequence[Manifest]) -> list[pyarrow.Table]:
        """No rows, with the columns of some night."""
        for manifest in manifests:
            for file in manifest.streaks:
                try:
                    return [self._read(file, manifest.night).slice(0, 0)]
                except ReadError:
                    continue
        return []

    def _read(self, file: StoreFile, night: str) -> pyarrow.Table:
        import pyarrow as pa

        wanted = self._asked if self._question.columns else None
        table = read_file(self._folder, file, wanted, self._ranges)
        if PIXEL in table.column_names:
            table = table.drop_columns([PIXEL])
        for name in self._asked:
            if name not in table.column_names:  # a night of another version
                kind = pa.type_for_alias(self._kinds.get(name, "double"))
                table = table.append_column(name, pa.nulls(table.num_rows, kind))
        return table.add_column(0, NIGHT, pa.array([night] * table.num_rows, pa.string()))

    def _that_hold(self, table: pyarrow.Table) -> NDArray[np.int64]:
        question, n = self._question, table.num_rows
        holds = np.ones(n, bool)
        if question.cone is not None:
            holds &= _is_within(question.cone, _values(table, "ra"), _values(table, "dec"))
        if question.chip:
            holds &= np.char.startswith(_values(table, "chip").astype(str), question.chip)
        if question.object_name:
            holds &= _is_object(table, question.object_name)
        if question.streaks is not None:
            images, names = _values(table, "image"), _values(table, "streak_id")
            pairs = zip(images.tolist(), names.tolist(), strict=True)
            holds &= np.array([pair in question.streaks for pair in pairs], bool)
        if self._condition is not None:
            columns = {name: _values(table, name) for name in self._condition.names}
            holds &= self._condition.evaluate(columns, n)
        return np.flatnonzero(holds)


def _is_within(cone: Cone, ra: NDArray[Any], dec: NDArray[Any]) -> NDArray[np.bool_]:
    known = np.isfinite(ra) & np.isfinite(dec)
    there = np.where(known, ra, 0.0), np.where(known, dec, 0.0)
    apart, _ = separation_and_angle(cone.ra_deg, cone.dec_deg, *there)
    return np.asarray(known & (apart <= cone.radius_deg))


def _is_object(table: pyarrow.Table, name: str) -> NDArray[np.bool_]:
    key = normalise_name(name).casefold()
    known = _values(table, "ssnamenr")
    spelt = [one for one in np.unique(known).tolist() if normalise_name(one).casefold() == key]
    holds = np.isin(known, spelt)
    text = name.strip()
    for column in ("tracklet", "sat_name"):
        holds |= _values(table, column) == text
    # In ASCII: "²" is a digit too, and no number.
    if text.isascii() and text.isdigit():
        # A bare number may be an asteroid's or a satellite's: both are given.
        holds |= _values(table, "sat_norad") == int(text[:18])
    return holds


def _values(table: pyarrow.Table, name: str) -> NDArray[Any]:
    """A column's bare values."""
    column = arrow_to_table(table.select([name]))[name]
    return np.asarray(getattr(column, "value", column))


def _rows(parts: list[pyarrow.Table], question: Question) -> QTable:
    import pyarrow as pa

    if not parts:
        return _empty()
    try:
        rows = arrow_to_table(pa.concat_tables(parts, promote_options="permissive"))
    except pa.ArrowException as error:
        raise ReadError(
            f"nights of two versions hold other kinds of values: {' '.join(str(error).split())}"
        ) from None
    keys = [np.asarray(rows[name]).astype(str) for name in (NIGHT, *_ORDER)]
    rows = rows[np.lexsort(keys[::-1])]
    if question.columns:
        rows = rows[[NIGHT, *(name for name in question.columns if name != NIGHT)]]
    rows.meta = {"question": {name: value for name, value in _told(question).items() if value}}
    return rows


def _told(question: Question) -> dict[str, Any]:
    cone = question.cone
    return {
        "where": question.where, "nights": list(question.nights), "object": question.object_name,
        "chip": question.chip,
        "cone": [] if cone is None else [cone.ra_deg, cone.dec_deg, cone.radius_deg],
    }  # fmt: skip


def _empty() -> QTable:
    """The answer of a store without any night."""
    table = empty_streaks()
    table.add_column(np.zeros(0, "U1"), name=NIGHT, index=0)
    return table
