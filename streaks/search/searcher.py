"""One frame's whole way: read, find, cut out, name, match, draw.

Composition of the other rooms; nothing is written here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.classification import Classifier, classify_cutouts, parse_mix
from streaks.config import Settings
from streaks.cutouts import Cutouts, extract_cutouts
from streaks.errors import TableError
from streaks.frame import Frame
from streaks.readers import FrameFiles, FrameOverrides, fetch_ahead, read_frame
from streaks.sky import to_icrs
from streaks.tables import ASIDE_COLUMNS, empty_table, order_columns

__all__ = [
    "FrameResult",
    "KnownObjects",
    "SatelliteNames",
    "Searcher",
    "Stopwatch",
    "join_columns",
]


class KnownObjects(Protocol):
    """What tells where known objects are in a frame."""

    def near_frame(self, frame: Frame) -> QTable:
        """Predictions in and around a frame at its mid-exposure.

        Parameters
        ----------
        frame
            With coordinates, time and observatory.

        Returns
        -------
        QTable
            As `streaks.known.predict` gives them.
        """
        ...


class SatelliteNames(Protocol):
    """What tells which satellite a streak may be."""

    def name_streaks(self, frame: Frame, streaks: QTable) -> QTable:
        """The satellite that each streak may be.

        Parameters
        ----------
        frame
            That was searched.
        streaks
            Found in it.

        Returns
        -------
        QTable
            ``streak_id, sat_name, sat_norad`` and more, a row a streak in its order.
        """
        ...


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What one frame gave.

    Parameters
    ----------
    name
        Of the image.
    streaks
        With class and match columns, where these were asked for, and evidence for the verdict
        behind them where they were classified.
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
    aside
        Lines that were set aside: ``image, x0, y0, x1, y1, snr, reason``.
    """

    name: str
    streaks: QTable
    cutouts: Cutouts
    overview: NDArray[np.uint8] | None
    about: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    wcs: WCS | None = None
    aside: QTable = field(default_factory=lambda: empty_table(ASIDE_COLUMNS))


@dataclass(frozen=True, eq=False)
class Searcher:
    """What searches frames in this process; `Search.prepare` makes one.

    Parameters
    ----------
    settings
        Of all stages.
    overrides
        What the user knows better than the header.
    profile
        Of frames whose files name none; empty to tell from each file.
    classifier
        Or one that is being loaded; None leaves the class columns out.
    known
        None leaves the match columns out.
    satellites
        None leaves the satellite columns out.
    """

    settings: Settings = field(default_factory=Settings)
    overrides: FrameOverrides = field(default_factory=FrameOverrides)
    profile: str = ""
    classifier: Classifier | Future[Classifier] | None = None
    known: KnownObjects | None = None
    satellites: SatelliteNames | None = None

    def search_files(
        self, files: FrameFiles, *, draw: bool = True, overview_px: int = 1000
    ) -> FrameResult:
        """Search one frame, from its files to its tables and its picture.

        Parameters
        ----------
        files
            The image and what lies beside it.
        draw
            Make the overview.
        overview_px
            Its longest side.

        Returns
        -------
        FrameResult

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
                psf=files.psf,
                profile=files.profile or self.profile or None,
                overrides=self.overrides,
            )
            frame = replace(frame, name=files.name)
            # They are read here and there after the search: each place would be waited for.
            fetch_ahead(files.science, files.reference)
        return self.search_frame(frame, draw=draw, overview_px=overview_px, watch=watch)

    def search_frame(
        self,
        frame: Frame,
        *,
        draw: bool = True,
        overview_px: int = 1000,
        watch: Stopwatch | None = None,
    ) -> FrameResult:
        """As `search_files`, for a frame in memory.

        Parameters
        ----------
        frame
            To be searched.
        draw
            Make the overview.
        overview_px
            Its longest side.
        watch
            That counts the seconds of each stage; by default a new one.

        Returns
        -------
        FrameResult
        """
        from streaks.detection import aside_table, detect_lines, with_fwhm
        from streaks.matching import match_known
        from streaks.plotting import frame_overview
        from streaks.verdict import frame_evidence

        watch = watch or Stopwatch()
        with watch("find"):
            frame = with_fwhm(frame, self.settings.detection)
            found = detect_lines(frame, self.settings.detection)
        streaks = found.table
        told = {
            "set_aside": _counted(streaks.meta.pop("set_aside", {})),
            "n_negated": streaks.meta.pop("n_negated", math.nan),
            "one_false_score": streaks.meta.pop("one_false_score", math.nan),
        }
        with watch("cutouts"):
            cutouts = extract_cutouts(frame, streaks, self.settings.cutouts)
        if self.classifier is not None:
            with watch("classify"):
                streaks = join_columns(streaks, self._named(cutouts, streaks))
            with watch("evidence"):
                evidence = frame_evidence(frame, found)
        if self.known is not None:
            with watch("match"):
                predictions = self.known.near_frame(frame)
                matches = match_known(streaks, predictions, self.settings.match)
                streaks = join_columns(streaks, matches)
        if self.satellites is not None:
            with watch("satellites"):
                streaks = join_columns(streaks, self.satellites.name_streaks(frame, streaks))
        overview = None
        if draw:
            with watch("draw"):
                overview = frame_overview(frame, streaks, max_px=overview_px)
        streaks = order_columns(streaks)
        if self.classifier is not None:
            streaks = join_columns(streaks, evidence)
        return FrameResult(
            frame.name,
            streaks,
            cutouts,
            overview,
            {**_about(frame), **told},
            watch.seconds,
            watch.cpu_seconds,
            frame.wcs,
            aside_table(frame.name, found),
        )

    def _named(self, cutouts: Cutouts, streaks: QTable) -> QTable:
        assert self.classifier is not None
        classifier = self.classifier
        if isinstance(classifier, Future):
            classifier = classifier.result()
        naming = self.settings.naming
        mix = None if naming.mix == "balanced" else parse_mix(naming.mix)
        return classify_cutouts(
            classifier,
            cutouts,
            mix=mix,
            details=naming.details,
            lengths_px=streaks["length"].to_value("pix"),
        )


def join_columns(streaks: QTable, more: QTable) -> QTable:
    """The streaks with the columns of another table of the same rows.

    Parameters
    ----------
    streaks, more
        Tables with ``streak_id``.

    Returns
    -------
    QTable
        The first table's columns, then the other's; both stay as they are.

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
        "profile": frame.header.get("survey", ""),
        "masked": np.count_nonzero(frame.mask) / frame.mask.size,
        "corners": _corners(frame),
        **{
            name: frame.header[name]
            for name in (
                "field",
                "ccd",
                "quadrant",
                "zero_point_err",
                "colour_term",
                "colour_term_err",
                "colour_index",
            )
            if name in frame.header
        },
    }


def _corners(frame: Frame) -> str:
    """Right ascension and declination of the corners, in order, ICRS, deg; empty without WCS."""
    if frame.wcs is None:
        return ""
    ny, nx = frame.shape
    ra, dec = to_icrs(frame.wcs, [0, nx - 1, nx - 1, 0], [0, 0, ny - 1, ny - 1])
    places = zip(ra.tolist(), dec.tolist(), strict=True)
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        return ""
    return " ".join(f"{a:.5f} {d:.5f}" for a, d in places)


def _counted(reasons: Mapping[str, int]) -> str:
    """How many lines are in no table, and why: ``9 sharp, 3 short``."""
    return ", ".join(f"{n} {reason}" for reason, n in reasons.items())


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
