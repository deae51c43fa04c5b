"""One frame's path: read, find, cut out, classify, match, draw.

Pure composition of the other rooms; nothing is written here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.classification import Classifier, classify_cutouts
from streaks.config import Settings
from streaks.cutouts import Cutouts, extract_cutouts
from streaks.errors import TableError
from streaks.frame import Frame
from streaks.readers import FrameFiles, FrameOverrides, fetch_ahead, read_frame
from streaks.tables import order_columns

__all__ = [
    "FrameResult",
    "KnownObjects",
    "SatelliteNames",
    "Stopwatch",
    "join_columns",
    "process_frame",
    "search_frame",
]


class KnownObjects(Protocol):
    """What tells where known objects are in a frame."""

    def near_frame(self, frame: Frame) -> QTable:
        """Predictions in and around a frame at its mid-exposure."""
        ...


class SatelliteNames(Protocol):
    """What tells which satellite a streak may be."""

    def name_streaks(self, frame: Frame, streaks: QTable) -> QTable:
        """``streak_id, sat_name, sat_norad`` and more, a row a streak in its order."""
        ...


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What one frame gave.

    Parameters
    ----------
    name
        Of the image.
    streaks
        With class and match columns, where these were asked for.
    cutouts
        One a streak, in the table's order.
    overview : (h, w, 3) uint8 or None
        The whole frame with its streaks marked.
    about
        Plain values of the frame: time, exposure, shape and so on.
    seconds, cpu_seconds
        Wall-clock and CPU time of each stage.
    wcs
        Of the frame, where it has one.
    """

    name: str
    streaks: QTable
    cutouts: Cutouts
    overview: NDArray[np.uint8] | None
    about: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    wcs: WCS | None = None


def process_frame(
    files: FrameFiles,
    settings: Settings,
    classifier: Classifier | None = None,
    known: KnownObjects | None = None,
    *,
    satellites: SatelliteNames | None = None,
    overrides: FrameOverrides | None = None,
    draw: bool = True,
    overview_px: int = 1000,
) -> FrameResult:
    """Search one frame, from its files to its tables and its picture.

    Parameters
    ----------
    files
        The image and what lies beside it.
    settings
        Of all stages.
    classifier
        None leaves the class columns out.
    known
        None leaves the match columns out.
    satellites
        None leaves the satellite columns out.
    overrides
        What the user knows better than the header.
    draw
        Make the overview.
    overview_px
        Its longest side.

    Raises
    ------
    ReadError, FrameError
        If the frame cannot be read or searched.
    """
    watch = Stopwatch()
    with watch("read"):
        frame = read_frame(
            files.image,
            mask=files.mask,
            science=files.science,
            reference=files.reference,
            variance=files.variance,
            profile=files.profile or None,
            overrides=overrides,
        )
        frame = replace(frame, name=files.name)
        # Looked at after the search, here and there: each place would be waited for.
        fetch_ahead(files.science, files.reference)
    return search_frame(
        frame,
        settings,
        classifier,
        known,
        satellites=satellites,
        draw=draw,
        overview_px=overview_px,
        watch=watch,
    )


def search_frame(
    frame: Frame,
    settings: Settings,
    classifier: Classifier | None = None,
    known: KnownObjects | None = None,
    *,
    satellites: SatelliteNames | None = None,
    draw: bool = True,
    overview_px: int = 1000,
    watch: Stopwatch | None = None,
) -> FrameResult:
    """As `process_frame`, for a frame in memory."""
    from streaks.detection import find_streaks, with_fwhm
    from streaks.plotting import frame_overview

    watch = watch or Stopwatch()
    with watch("find"):
        frame = with_fwhm(frame, settings.detection)
        streaks = find_streaks(frame, settings.detection)
    with watch("cutouts"):
        cutouts = extract_cutouts(frame, streaks, settings.cutouts)
    if classifier is not None:
        with watch("classify"):
            streaks = join_columns(streaks, classify_cutouts(classifier, cutouts))
    if known is not None:
        with watch("match"):
            streaks = join_columns(streaks, _match(frame, streaks, known, settings))
    if satellites is not None:
        with watch("satellites"):
            streaks = join_columns(streaks, satellites.name_streaks(frame, streaks))
    overview = None
    if draw:
        with watch("draw"):
            overview = frame_overview(frame, streaks, max_px=overview_px)
    return FrameResult(
        frame.name,
        order_columns(streaks),
        cutouts,
        overview,
        _about(frame),
        watch.seconds,
        watch.cpu_seconds,
        frame.wcs,
    )


def join_columns(streaks: QTable, more: QTable) -> QTable:
    """The streaks with the columns of another table of the same rows.

    Raises
    ------
    TableError
        If the two do not have the same ``streak_id`` in the same order.
    """
    if list(streaks["streak_id"]) != list(more["streak_id"]):
        raise TableError(
            f"tables of {len(streaks)} and {len(more)} rows do not hold the same streaks in the "
            "same order; join them on streak_id"
        )
    joined = streaks.copy(copy_data=False)
    for name in more.colnames:
        if name != "streak_id":
            joined[name] = more[name]
    return joined


def _match(frame: Frame, streaks: QTable, known: KnownObjects, settings: Settings) -> QTable:
    from streaks.matching import match_known

    return match_known(streaks, known.near_frame(frame), settings.match)


def _about(frame: Frame) -> dict[str, Any]:
    ny, nx = frame.shape
    return {
        "path": frame.path,
        "nx": nx,
        "ny": ny,
        "time": "" if frame.time is None else str(frame.time.isot),
        "exposure_s": frame.exposure_s,
        "fwhm_px": frame.fwhm_px,
        "fwhm_source": frame.fwhm_source,
        "zero_point_mag": frame.zero_point_mag,
        "band": frame.band,
        "observatory": frame.observatory,
        "masked": np.count_nonzero(frame.mask) / frame.mask.size,
        **{
            name: frame.header[name]
            for name in ("field", "ccd", "quadrant")
            if name in frame.header
        },
    }


class Stopwatch:
    """Wall-clock and CPU seconds by stage; on a busy machine the two are far apart."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - start
            self.cpu_seconds[stage] = time.process_time() - cpu
