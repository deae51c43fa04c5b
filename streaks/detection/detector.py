"""The door: a frame goes in, a detector by name searches it, a table comes out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from astropy.table import QTable

from streaks.config import DetectionConfig
from streaks.detection.evidence import blended
from streaks.detection.finder import TransformDetector
from streaks.detection.hough import HoughDetector
from streaks.detection.records import Detection, Line, SetAside, count_set_aside
from streaks.detection.self_check import check_image, corrected
from streaks.detection.streak_table import streak_table
from streaks.detection.width import with_fwhm
from streaks.errors import ConfigError
from streaks.frame import AnyImage, Frame, as_frame
from streaks.noise import row_pattern, smooth_surface
from streaks.tables import StreakFlag

_log = logging.getLogger(__name__)

__all__ = ["Detector", "detect_lines", "find_streaks", "load_detector"]


class Detector(Protocol):
    """What looks for streaks in a frame."""

    #: As in `DetectionConfig.detector`.
    name: str

    def find(self, frame: Frame, config: DetectionConfig) -> list[Line]:
        """All lines of a frame: streaks measured, the others set aside with their reason.

        Parameters
        ----------
        frame
            Its data are float32, of the machine's byte order.
        config
            Thresholds.

        Returns
        -------
        list of Line
            Each with a fit and a score, or with the reason why it was set aside.

        Raises
        ------
        FrameError
            If no pixel is usable, or all have one value.
        """
        ...


def load_detector(name: str) -> Detector:
    """A detector by its name.

    Parameters
    ----------
    name
        One of `streaks.config.DETECTORS`.

    Returns
    -------
    Detector

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    known: tuple[Detector, ...] = (TransformDetector(), HoughDetector())
    for detector in known:
        if detector.name == name:
            return detector
    names = ", ".join(detector.name for detector in known)
    raise ConfigError(f"there is no detector {name!r}; choose one of {names}")


def find_streaks(frame: AnyImage, config: DetectionConfig | None = None) -> QTable:
    """The streaks of one frame, measured.

    Parameters
    ----------
    frame
        A difference image is best; any image will do: a `Frame`, an array, a masked array, an
        NDData or CCDData (see `streaks.frame.as_frame`).
    config
        Thresholds, and which detector.

    Returns
    -------
    QTable
        Columns `streaks.tables.STREAK_COLUMNS`, by falling score; no rows when nothing is found.
        ``meta["set_aside"]`` counts the other lines by reason; ``meta["n_negated"]`` and
        ``meta["one_false_score"]`` are the image's own estimate of false lines
        (`streaks.detection.self_check`), by which scores are corrected where it is high.

    Raises
    ------
    FrameError
        If no pixel is usable, or all have one value.
    """
    return detect_lines(frame, config).table


def detect_lines(
    frame: AnyImage, config: DetectionConfig | None = None, detector: Detector | None = None
) -> Detection:
    """The streaks of one frame, and the lines that are none, with all that was measured of each.

    Parameters
    ----------
    frame
        As for `find_streaks`.
    config
        Thresholds.
    detector
        By default that of `config`.

    Returns
    -------
    Detection

    Raises
    ------
    FrameError
        If no pixel is usable, or all have one value.
    """
    config = DetectionConfig() if config is None else config
    detector = load_detector(config.detector) if detector is None else detector
    # Any number will do in a frame, of any byte order; compiled loops want one kind.
    image = as_frame(frame)
    image = replace(image, data=np.asarray(image.data, dtype=np.float32))
    image, config = _flattened(image, config)
    image = with_fwhm(image, config)
    lines = detector.find(image, config)
    check = check_image(detector, image, config)
    if check.failed:
        _log.warning(
            "%s: %.0f lines in the negated image: its noise is no Gaussian's; scores are divided "
            "by %.2f",
            image.name, check.n_negated, check.divided_by,
        )  # fmt: skip
    lines = corrected(lines, check, config.min_score)
    streaks = [line for line in lines if line.set_aside is None]
    aside = [line for line in lines if line.set_aside is not None]
    streaks.sort(key=lambda line: -line.score)
    aside += [one.updated(set_aside=SetAside.EXCESS) for one in streaks[config.max_streaks :]]
    streaks = _with_blends(streaks[: config.max_streaks])
    table = streak_table(image, streaks)
    table.meta["set_aside"] = count_set_aside(aside)
    table.meta["n_negated"] = check.n_negated
    table.meta["one_false_score"] = check.one_false_score
    return Detection(table, tuple(streaks), tuple(aside), check)


def _flattened(frame: Frame, config: DetectionConfig) -> tuple[Frame, DetectionConfig]:
    """The frame without a slope of its sky and a pattern of its rows, and settings for it.

    Pixels at the floor are masked by it before, for it says nothing of what is left.
    """
    mask, floor = frame.mask | ~np.isfinite(frame.data), config.noise.floor
    if not math.isnan(floor):
        mask |= frame.data <= floor
    data, surface = frame.data, smooth_surface(frame.data, mask)
    if surface is not None:
        data = data - surface
    rows = row_pattern(data, mask)
    if rows is not None:
        data = data - rows[:, None]
    if data is frame.data:
        return frame, config
    noise = replace(config.noise, floor=math.nan)
    return replace(frame, data=data, mask=mask), replace(config, noise=noise)


def _with_blends(streaks: Sequence[Line]) -> list[Line]:
    """Flags on those that cross or touch another: part of their light is the other's."""
    if not streaks:
        return []
    segments = [line.segment for line in streaks]
    ends = np.array([(s.x0, s.y0, s.x1, s.y1) for s in segments])
    touch = blended(ends, np.array([line.fitted.sigma_px for line in streaks]))
    return [
        line.updated(flags=line.flags | StreakFlag.BLENDED) if one else line
        for line, one in zip(streaks, touch.tolist(), strict=True)
    ]
