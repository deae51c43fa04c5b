"""Trails beside a brighter source: the source is hidden, and what is left is searched again.

A line through a trail and a star that touches it is fitted by neither, and is set aside. Bright
points that fall off in every direction are hidden before the search
(`streaks.detection.point_sources`). One with a trail at its side does not fall off there, so it is
hidden once the line through both has failed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streaks.config import DetectionConfig
from streaks.detection.image import SearchImage
from streaks.detection.point_sources import LEAST_BRIGHT_SNR, hidden_radius, hide_points
from streaks.detection.records import Line, SetAside
from streaks.detection.search import refined_lines, rough_lines
from streaks.geometry import Segment, distance_to_segment

__all__ = ["Blend", "blends", "failed_as_blend", "failed_beside", "lines_beside"]

#: What a line through a trail and its neighbour is set aside for. One that was found twice is one
#: only where it was longer than so many widths of the PSF: its fit ran into the neighbour.
_BLENDED = frozenset({SetAside.ILL_FITTED, SetAside.UNEVEN, SetAside.POINTS})
_RAN_IN_WIDTHS = 6.0
#: A peak lies on a line's track within so many widths of the PSF.
_TRACK_WIDTHS = 2.5
#: At most so many peaks of an image: around a saturated star each knot of the wings is one.
_MOST = 200
#: Half the side of the window that is searched around a peak, px; longer lines than its side are
#: no star's neighbours.
_WINDOW_PX = 48
#: A trail that was hidden by a peak comes within so many widths of the PSF of the peak's rim.
_BESIDE_WIDTHS = 4.0
#: A line that failed is of a blend with a streak within so many widths of the PSF of it.
_BLEND_WIDTHS = 4.0


@dataclass(frozen=True)
class Blend:
    """A source to be hidden, and the line that failed for it.

    Parameters
    ----------
    x, y
        Px.
    snr
        Of the source.
    line
        As the search found it.
    """

    x: float
    y: float
    snr: float
    line: Segment


def blends(lines: Sequence[Line], image: SearchImage) -> list[Blend]:
    """The brightest source on the track of each line that failed as a blend does.

    Parameters
    ----------
    lines
        Judged.
    image
        They were found in.

    Returns
    -------
    list of Blend
        The brightest first.
    """
    width = _TRACK_WIDTHS * image.sigma_px
    good = [line.segment for line in lines if line.promising]
    found = [
        _blend(line, image.filtered.snr, width)
        for line in lines
        if failed_as_blend(line, image.sigma_px)
    ]
    bright = [one for one in found if one.snr >= LEAST_BRIGHT_SNR]
    places = np.array([(one.x, one.y) for one in bright]).reshape(-1, 2)
    taken = _near_any(places, good, width)
    free = [one for one, other in zip(bright, taken.tolist(), strict=True) if not other]
    return sorted(free, key=lambda one: -one.snr)[:_MOST]


def _near_any(
    places: NDArray[np.float64], segments: Sequence[Segment], within_px: float | NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which places (n, 2) lie nearer than so many px (or each its own number) to a segment."""
    near = np.zeros(len(places), bool)
    for segment in segments:
        near |= distance_to_segment(places[:, 0], places[:, 1], segment) < within_px
    return near


def _blend(line: Line, snr: NDArray[np.float32], width: float) -> Blend:
    """The highest pixel on the track, or the point that a fit ran into."""
    x, y, peak = _brightest(snr, line.start, width)
    fit = line.fit
    if fit is not None and fit.converged and fit.snr > peak and fit.segment.length_px < width:
        return Blend(*fit.segment.midpoint, fit.snr, line.start)
    return Blend(x, y, peak, line.start)


def failed_as_blend(line: Line, sigma_px: float) -> bool:
    """Whether a line was set aside, or will be, as one of a trail and a neighbour is.

    Parameters
    ----------
    line
        Judged.
    sigma_px
        Width of the PSF.

    Returns
    -------
    bool
    """
    if line.bright_point or line.promising:
        return False
    if line.start.length_px > 2 * _WINDOW_PX:
        return False
    reason = line.set_aside or line.factors.worst
    if reason is SetAside.REPEATED:
        return line.start.length_px > _RAN_IN_WIDTHS * sigma_px
    return reason in _BLENDED


def failed_beside(
    lines: Sequence[Line], streaks: Sequence[Line], sigma_px: float
) -> NDArray[np.bool_]:
    """Which lines failed as blends do and started on the track of a streak.

    Parameters
    ----------
    lines
        Judged.
    streaks
        That were found since.
    sigma_px
        Width of the PSF.

    Returns
    -------
    (n,) bool
        For each line.
    """
    starts = np.array([line.start.midpoint for line in lines]).reshape(-1, 2)
    length_px = np.array([line.start.length_px for line in lines])
    within_px = _BLEND_WIDTHS * sigma_px + 0.5 * length_px
    near = _near_any(starts, [line.segment for line in streaks], within_px)
    failed = np.array([failed_as_blend(line, sigma_px) for line in lines], bool)
    return np.asarray(near & failed)


def _brightest(snr: NDArray[np.float32], segment: Segment, width: float) -> tuple[int, int, float]:
    """x, y and value of the highest pixel within a distance of a segment."""
    ny, nx = snr.shape
    reach = math.ceil(width)
    x0, x1 = sorted((segment.x0, segment.x1))
    y0, y1 = sorted((segment.y0, segment.y1))
    left, right = max(0, int(x0) - reach), min(nx, int(x1) + reach + 2)
    bottom, top = max(0, int(y0) - reach), min(ny, int(y1) + reach + 2)
    box = snr[bottom:top, left:right]
    y, x = np.ogrid[bottom:top, left:right]
    there = np.where(distance_to_segment(x, y, segment) <= width, box, -np.inf)
    row, column = np.unravel_index(int(there.argmax()), there.shape)
    return left + int(column), bottom + int(row), float(there[row, column])


def lines_beside(found: Sequence[Blend], image: SearchImage, config: DetectionConfig) -> list[Line]:
    """Hides sources, and looks for lines where those lay that failed for them.

    Parameters
    ----------
    found
        Of `blends`. They are hidden in the image's filtered values, cover and usable pixels, in
        place.
    image
        To be searched around them.
    config
        Thresholds.

    Returns
    -------
    list of Line
        As the search found them; one may be found from two sources.
    """
    if not found:
        return []
    filtered = image.filtered
    peaks = np.array([(round(one.x), round(one.y), one.snr) for one in found], float)
    hide_points(filtered.snr, filtered.cover, image.usable, peaks, image.sigma_px)
    return [line for one in found for line in _searched(one, image, config)]


def _searched(blend: Blend, image: SearchImage, config: DetectionConfig) -> list[Line]:
    """Lines of the window around a source that lie on the track of the line that failed."""
    x, y = round(blend.x), round(blend.y)
    left, bottom = max(0, x - _WINDOW_PX), max(0, y - _WINDOW_PX)
    here = slice(bottom, y + _WINDOW_PX), slice(left, x + _WINDOW_PX)
    filtered = image.filtered
    # The search paints out what it finds.
    window = replace(
        filtered,
        snr=np.ascontiguousarray(filtered.snr[here]),
        cover=np.ascontiguousarray(filtered.cover[here]),
    )
    table = refined_lines(
        rough_lines(window, config.threshold_snr), window, sigma_px=image.sigma_px,
        threshold_snr=config.threshold_snr, limit=config.max_lines,
    )  # fmt: skip
    near = hidden_radius(blend.snr, image.sigma_px) + _BESIDE_WIDTHS * image.sigma_px
    lines = []
    for x0, y0, x1, y1, snr in table.tolist():
        segment = Segment(x0 + left, y0 + bottom, x1 + left, y1 + bottom)
        beside = float(distance_to_segment(blend.x, blend.y, segment)) < near
        on_track = (
            distance_to_segment(*segment.midpoint, blend.line) < _TRACK_WIDTHS * image.sigma_px
        )
        if beside or bool(on_track):
            lines.append(Line(segment, snr))
    return lines
