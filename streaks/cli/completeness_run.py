"""Frames and nights against what should be in them: the composition behind the command."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable, vstack

from streaks.completeness import (
    ENTRY_COLUMNS,
    OUTCOMES,
    TARGET_COLUMNS,
    Forced,
    FrameView,
    look_at,
    match_targets,
    measure_place,
    place_entries,
    settle_outcomes,
    stage_flags,
    unplaced_outcome,
)
from streaks.completeness.forced import Scene
from streaks.completeness.outcomes import Outcome
from streaks.errors import StreaksError
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.tables import ASIDE_COLUMNS, ColumnSpec, build_table, empty_table
from streaks.trail import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from streaks.references import ReferenceClues
    from streaks.search.searcher import KnownObjects

__all__ = ["RESULT_COLUMNS", "Bag", "Judged", "Tally", "known_entries", "settle"]

_log = logging.getLogger(__name__)

RESULT_COLUMNS = (
    ColumnSpec("source", str, None, "injected, known, or a list's name"),
    ColumnSpec("entry", str, None, "unique in its source"),
    ColumnSpec("outcome", str, None, "one of: " + ", ".join(OUTCOMES)),
    ColumnSpec("detail", str, None, "more words on it"),
    ColumnSpec("detected", bool, None, "found by the detector"),
    ColumnSpec("named", bool, None, "and called an asteroid"),
    ColumnSpec("kept", bool, None, "p_real high enough"),
    ColumnSpec("streak_id", str, None, "of the streak that found it"),
    *(spec for spec in TARGET_COLUMNS if spec.name != "entry"),
    ColumnSpec("expected_snr", float, None, "by its magnitude, the frame's noise and PSF"),
    ColumnSpec("point_snr", float, None, "the same light without motion"),
    ColumnSpec("measured_snr", float, None, "of what lies there, whatever it is"),
    ColumnSpec("masked", float, None, "share of its track"),
    ColumnSpec("foreign", float, None, "share of it under other light"),
    ColumnSpec("over_reference", float, None, "share of it over the reference's sources"),
)
_S_PER_DAY = 86_400.0


@dataclass(frozen=True, eq=False)
class Judged:
    """A run's streaks, as they stand in the end.

    Parameters
    ----------
    streaks
        Judged.
    aside
        Lines that were set aside, of all frames.
    limit_snr
        Below which no line is reported.
    min_p_real
        From which on a streak is a candidate.
    """

    streaks: QTable
    aside: QTable
    limit_snr: float
    min_p_real: float


@dataclass
class Bag:
    """Targets of one source, gathered frame by frame.

    Parameters
    ----------
    name
        Of the source.
    entries
        All that should be somewhere; those of no frame get an outcome too.
    targets, forced, fwhm_px
        Those in frames, what was measured at each, and the PSF of its frame.
    corners
        Of the frames of each entry's time, by row.
    """

    name: str
    entries: QTable
    targets: list[dict[str, Any]] = field(default_factory=list)
    forced: list[Forced] = field(default_factory=list)
    fwhm_px: list[float] = field(default_factory=list)
    corners: dict[int, list[Any]] = field(default_factory=dict)

    def look(
        self, frame: Frame, view: FrameView, scene: Callable[[], Scene], room_s: float
    ) -> None:
        """Place entries in a frame, and measure what lies there.

        Parameters
        ----------
        frame, view
            The frame, and what of it decides.
        scene
            Makes it ready to be measured, when there is something to measure.
        room_s
            How far an entry's time may be from the exposure.
        """
        placed, exposed = place_entries(self.entries, view, time_tolerance_s=room_s)
        for row in exposed.tolist():
            self.corners.setdefault(row, []).append(view.corners())
        for target in placed:
            self.add(target, scene(), frame.fwhm_px)

    def add(self, target: dict[str, Any], scene: Scene, fwhm_px: float) -> None:
        """One target inside a frame.

        Parameters
        ----------
        target
            By column of `TARGET_COLUMNS`.
        scene
            Where it is measured.
        fwhm_px
            Of the frame.
        """
        segment = Segment(target["x0"], target["y0"], target["x1"], target["y1"])
        self.targets.append(target)
        self.forced.append(measure_place(scene, segment, target["mag"]))
        self.fwhm_px.append(fwhm_px if fwhm_px > 0 else scene.sigma_px * FWHM_PER_SIGMA)


@dataclass
class Tally:
    """What was gathered of all frames.

    Parameters
    ----------
    bags
        Sources that are matched with the streaks of the frames as they are.
    known
        Where known objects are; None leaves them out.
    room_s
        How far an entry's time may be from an exposure.
    shapes
        (ny, nx) by image, of the frames that were read.
    views
        Of these frames.
    clues
        What they tell of their references.
    failures
        Path and reason of each frame that could not be used.
    """

    bags: list[Bag]
    known: KnownObjects | None = None
    room_s: float = 30.0
    shapes: dict[str, tuple[int, int]] = field(default_factory=dict)
    views: list[FrameView] = field(default_factory=list)
    clues: list[ReferenceClues] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    _known: Bag = field(
        default_factory=lambda: Bag("known asteroids", empty_table(ENTRY_COLUMNS)), init=False
    )
    _outside: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict, init=False)
    _inside: set[tuple[str, int]] = field(default_factory=set, init=False)

    def look(self, frame: Frame, scene: Callable[[], Scene]) -> None:
        """All that should be in a frame.

        Parameters
        ----------
        frame
            As it was read.
        scene
            Makes it ready to be measured.
        """
        view = view_of(frame)
        self.shapes[frame.name] = frame.shape
        self.views.append(view)
        for bag in self.bags:
            bag.look(frame, view, scene, self.room_s)
        if self.known is not None and frame.wcs is not None and frame.time is not None:
            self._look_for_known(frame, view, scene)

    def all_bags(self) -> Iterator[Bag]:
        """The sources, with what no frame shows as entries of their own.

        Yields
        ------
        Bag
        """
        if self.known is not None:
            missing = [v for key, v in self._outside.items() if key not in self._inside]
            bag = Bag(
                self._known.name,
                _entry_table([*self._known.targets, *missing]),
                self._known.targets,
                self._known.forced,
                self._known.fwhm_px,
            )
            for row, one in enumerate(self._known.targets):
                one["row"] = row
            for row, one in enumerate(missing, start=len(self._known.targets)):
                bag.corners[row] = [
                    view.corners()
                    for view in self.views
                    if abs(view.mjd - one["mjd"]) * _S_PER_DAY < 1.0
                ]
            yield bag
        yield from self.bags

    def _look_for_known(self, frame: Frame, view: FrameView, scene: Callable[[], Scene]) -> None:
        assert self.known is not None
        entries = known_entries(self.known.near_frame(frame), view)
        placed, _ = place_entries(entries, view)
        second = round(view.mjd * _S_PER_DAY)
        inside = {target["row"] for target in placed}
        for target in placed:
            self._inside.add((target["name"], second))
            self._known.add(target, scene(), frame.fwhm_px)
        for row in set(range(len(entries))) - inside:
            plain = {
                spec.name: str(entries[spec.name][row])
                if spec.dtype is str
                else float(getattr(entries[spec.name][row], "value", entries[spec.name][row]))
                for spec in ENTRY_COLUMNS
            }
            self._outside.setdefault((str(plain["name"]), second), {**plain, "image": ""})


def view_of(frame: Frame) -> FrameView:
    """What of a frame decides which entries it should show.

    Parameters
    ----------
    frame
        As it was read.

    Returns
    -------
    FrameView
    """
    return FrameView(
        frame.name,
        frame.shape,
        frame.wcs,
        math.nan if frame.time is None else float(frame.time.utc.mjd),
        frame.exposure_s,
        frame.pixel_scale_arcsec,
    )


def known_entries(predictions: QTable, view: FrameView) -> QTable:
    """Predictions of a frame as entries.

    Parameters
    ----------
    predictions
        As `streaks.known.predict` gives them.
    view
        Of the frame.

    Returns
    -------
    QTable
        `ENTRY_COLUMNS`.
    """
    column = "designation" if "designation" in predictions.colnames else "name"
    names = [str(name) for name in predictions[column]]
    values: dict[str, Any] = {
        spec.name: [""] * len(names) if spec.dtype is str else np.full(len(names), np.nan)
        for spec in ENTRY_COLUMNS
    }
    units = {"rate": "arcsec / s", "pa": "deg", "pos_err": "arcsec"}
    for name in ("ra", "dec", "ra0", "dec0", "ra1", "dec1", *units):
        if name in predictions.colnames:
            values[name] = predictions[name].to_value(units.get(name, "deg"))
    values |= {
        "entry": [f"{name}@{view.name}" for name in names],
        "name": names,
        "image": [view.name] * len(names),
        "mjd": np.full(len(names), view.mjd),
        "mag": predictions["vmag"].to_value("mag"),
    }
    return build_table(ENTRY_COLUMNS, values)


def settle(bag: Bag, judged: Judged) -> QTable:
    """One row an entry of a source, with its outcome and the stages it passed.

    Parameters
    ----------
    bag
        Gathered.
    judged
        The run's streaks.

    Returns
    -------
    QTable
        `RESULT_COLUMNS`; columns of stages that were not run are left out.
    """
    targets = build_table(
        TARGET_COLUMNS,
        {s.name: [t[s.name] for t in bag.targets] for s in TARGET_COLUMNS},
    )
    outcomes = settle_outcomes(
        targets, bag.forced, judged.streaks, judged.aside,
        fwhm_px=np.array(bag.fwhm_px), limit_snr=judged.limit_snr, min_p_real=judged.min_p_real,
    )  # fmt: skip
    found = match_targets(judged.streaks, targets)
    stages = stage_flags(judged.streaks, found, min_p_real=judged.min_p_real)
    best = _best_of_each(bag.targets, outcomes)
    rows = [
        _row(bag, targets[k], outcomes[k], bag.forced[k], stages, k, judged.streaks) for k in best
    ]
    placed = {bag.targets[k]["row"] for k in best}
    rows += [
        _unplaced(bag, row, bag.corners.get(row, []))
        for row in range(len(bag.entries))
        if row not in placed
    ]
    table = build_table(RESULT_COLUMNS, {s.name: [r[s.name] for r in rows] for s in RESULT_COLUMNS})
    for name, flags in stages.items():
        if flags is None:
            table.remove_column(name)
    return table


def _best_of_each(targets: Sequence[dict[str, Any]], outcomes: Sequence[Outcome]) -> list[int]:
    """Of an entry that several frames show (a list without times), the frame that found it."""
    rank = {kind: k for k, kind in enumerate(OUTCOMES)}
    best: dict[int, int] = {}
    for k, target in enumerate(targets):
        row = int(target["row"])
        if row not in best or rank[outcomes[k].kind] < rank[outcomes[best[row]].kind]:
            best[row] = k
    return [best[row] for row in sorted(best)]


def _row(
    bag: Bag,
    target: Any,
    outcome: Outcome,
    forced: Forced,
    stages: dict[str, Any],
    k: int,
    streaks: QTable,
) -> dict[str, Any]:
    plain = {
        spec.name: str(target[spec.name])
        if spec.dtype is str
        else float(getattr(target[spec.name], "value", target[spec.name]))
        for spec in TARGET_COLUMNS
    }
    return {
        **plain,
        "source": bag.name,
        "outcome": outcome.kind,
        "detail": outcome.detail,
        "streak_id": str(streaks["streak_id"][outcome.streak]) if outcome.streak >= 0 else "",
        "expected_snr": forced.expected_snr,
        "point_snr": forced.point_snr,
        "measured_snr": forced.measured_snr,
        "masked": forced.masked_share,
        "foreign": forced.foreign_share,
        "over_reference": forced.reference_share,
        **{name: bool(flags[k]) if flags is not None else False for name, flags in stages.items()},
    }


def _unplaced(bag: Bag, row: int, corners: Sequence[Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        spec.name: {str: "", bool: False}.get(spec.dtype, math.nan) for spec in RESULT_COLUMNS
    }
    entry = bag.entries[row]
    number = {
        name: float(getattr(entry[name], "value", entry[name]))
        for name in ("ra", "dec", "mag", "rate", "mjd", "snr")
    }
    kind = unplaced_outcome(number["ra"], number["dec"], corners)
    if not _tells_a_place(entry):
        kind = "not readable"
    return {
        **values,
        "source": bag.name,
        "entry": str(entry["entry"]),
        "name": str(entry["name"]),
        "outcome": kind,
        **{name: number[name] for name in ("mag", "rate", "mjd", "snr")},
    }


def _tells_a_place(entry: Any) -> bool:
    """Whether an entry has a place on the sky, or one in an image that it names."""
    number = {
        name: float(getattr(entry[name], "value", entry[name]))
        for name in ("ra", "dec", "ra0", "dec0", "x", "y", "x0", "y0")
    }
    on_sky = math.isfinite(number["ra"] + number["dec"]) or math.isfinite(
        number["ra0"] + number["dec0"]
    )
    in_image = math.isfinite(number["x"] + number["y"]) or math.isfinite(
        number["x0"] + number["y0"]
    )
    return on_sky or (in_image and str(entry["image"]) != "")


def _entry_table(rows: Sequence[dict[str, Any]]) -> QTable:
    values = {
        spec.name: [row.get(spec.name, "" if spec.dtype is str else math.nan) for row in rows]
        for spec in ENTRY_COLUMNS
    }
    return build_table(ENTRY_COLUMNS, values)


def stacked(tables: Sequence[QTable], empty: QTable) -> QTable:
    """Tables below each other; those of no rows have text columns too narrow to widen.

    Parameters
    ----------
    tables
        Of the same columns.
    empty
        What no tables give.

    Returns
    -------
    QTable
    """
    filled = [table for table in tables if len(table)]
    if filled:
        return vstack(filled, metadata_conflicts="silent")
    return tables[0] if tables else empty


def read_one(
    read: Callable[[], Frame], path: Path, failures: list[tuple[str, str]]
) -> Frame | None:
    """A frame, or None and its reason among the failures.

    Parameters
    ----------
    read
        Reads it.
    path
        To name it by.
    failures
        Grows.

    Returns
    -------
    Frame or None
    """
    try:
        return read()
    except StreaksError as error:
        failures.append((str(path), str(error)))
    except Exception as error:
        _log.debug("%s", path, exc_info=True)
        failures.append((str(path), f"unexpected {type(error).__name__}: {error}"))
    return None


def lazy_scene(frame: Frame) -> Callable[[], Scene]:
    """`look_at` a frame when it is first asked for, and once.

    Parameters
    ----------
    frame
        As it was read.

    Returns
    -------
    callable
    """
    held: list[Scene] = []

    def scene() -> Scene:
        from streaks.detection.point_sources import sharp_pixels

        if not held:
            held.append(look_at(frame, sharp_pixels))
        return held[0]

    return scene


def no_lines() -> QTable:
    """No lines set aside.

    Returns
    -------
    QTable
    """
    return empty_table(ASIDE_COLUMNS)
