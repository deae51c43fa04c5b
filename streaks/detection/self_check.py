"""What an image says of its own noise: the same search where there can be no streak.

Noise is as often dark as bright, and so are the stripes of a detector and the halves of dipoles. A
negated image shows how many lines they make; above what number of these a line can be believed is
the image's own affair (compare target-decoy searches; Elias & Gygi 2007, Nature Methods 4, 207).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from streaks.config import DetectionConfig
from streaks.detection.records import Line, SelfCheck, SetAside
from streaks.errors import FrameError
from streaks.frame import Frame

__all__ = ["check_image", "corrected"]

#: Score at which Gaussian noise gives less than one false line: the check is made there, whatever
#: is reported. As many lines of the negated image, or fewer, are usual.
_LEAST_SCORE, _USUAL = 6.5, 3
#: Noise makes lines that are hardly above that: they lie within the range, most of them low in it
#: (in the lowest third a third or more). Ghosts and dipoles are dark at any score: what they are is
#: for the classifier to say, and no reason to distrust others.
_RANGE, _LOW = 2.5, 1.0 / 3.0
#: The slope is that of the scores' median.
_LN_2 = math.log(2.0)
#: Scores of no image are divided by more.
_MOST = 2.0
#: So many pixels tell of a large image that is as usual; so many lines in them, that it is not.
_ENOUGH_PX, _MUCH = 1_600_000, 2


class Finder(Protocol):
    """A detector, as far as the check needs it."""

    def find(self, frame: Frame, config: DetectionConfig) -> list[Line]:
        """All lines of a frame."""
        ...


def check_image(detector: Finder, frame: Frame, config: DetectionConfig) -> SelfCheck:
    """Search the negative of an image: of a large one the middle first, and all if that shows much.

    Parameters
    ----------
    detector
        That searches the image.
    frame
        The image.
    config
        As for the search. Where dark streaks are wanted too, or every line, nothing is checked.

    Returns
    -------
    SelfCheck
    """
    if config.negative or config.min_score == 0:
        return SelfCheck()
    config = replace(config, min_score=_LEAST_SCORE)
    share = min(1.0, _ENOUGH_PX / frame.data.size)
    scores = _negated_scores(detector, frame, config, share)
    if share < 1.0 and len(scores) >= _MUCH:
        share, scores = 1.0, _negated_scores(detector, frame, config, 1.0)
    return _check(scores, share)


def _negated_scores(
    detector: Finder, frame: Frame, config: DetectionConfig, share: float
) -> list[float]:
    """Scores of streaks of the negative of the middle of an image."""
    middle = _middle(frame, share)
    try:
        lines = detector.find(middle, config)
    except FrameError:  # no pixel there that is usable
        return []
    return [line.score for line in lines if line.set_aside is None]


def _middle(frame: Frame, share: float) -> Frame:
    """The negative of the middle, a share of the area; science and reference are not needed."""
    ny, nx = frame.shape
    side = math.sqrt(share)
    dy, dx = int(0.5 * ny * (1.0 - side)), int(0.5 * nx * (1.0 - side))
    here = slice(dy, ny - dy), slice(dx, nx - dx)
    return replace(
        frame,
        data=-frame.data[here],
        mask=frame.mask[here],
        variance=None if frame.variance is None else frame.variance[here],
        planes=None if frame.planes is None else frame.planes[here],
        science=None,
        reference=None,
        wcs=None,
    )


def _check(scores: Sequence[float], share: float) -> SelfCheck:
    """The check: beyond the lowest score, false lines become fewer exponentially."""
    n = len(scores) / share
    above = np.array([s - _LEAST_SCORE for s in scores if s - _LEAST_SCORE < _RANGE])
    few = len(above) / share <= _USUAL or len(above) < _MUCH
    if few or (above < _LOW * _RANGE).mean() < _LOW:
        return SelfCheck(n, _LEAST_SCORE)
    slope = float(np.median(above)) / _LN_2
    score = min(_LEAST_SCORE + slope * math.log(len(above) / share), _MOST * _LEAST_SCORE)
    return SelfCheck(n, score, score / _LEAST_SCORE)


def corrected(lines: Sequence[Line], check: SelfCheck, min_score: float) -> list[Line]:
    """Lines with scores that mean what they mean in Gaussian noise.

    Parameters
    ----------
    lines
        As found.
    check
        Of their image.
    min_score
        Lowest score that is reported.

    Returns
    -------
    list of Line
        Those that fall below are set aside.
    """
    if not check.failed:
        return list(lines)
    return [_corrected(line, check.divided_by, min_score) for line in lines]


def _corrected(line: Line, divided_by: float, min_score: float) -> Line:
    if line.set_aside is not None:
        return line
    score = line.score / divided_by
    return line.updated(score=score, set_aside=None if score >= min_score else SetAside.NOISE)
