"""Figures of a night's page as SVG: the sky, the focal plane, trends from frame to frame.

Nothing but numbers and escaped words goes into them. Colours are the page's own, by class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.tables import bare_column, text_column

__all__ = ["focal_plane", "frame_trends", "sky_map"]

#: Side of a bin of the sky map's dots, screen px: thousands of streaks must not cost megabytes.
_BIN_PX = 4
_SKY_WIDTH, _SKY_HEIGHT, _MARGIN = 720, 380, 42
#: Bins along each side of one detector's square, and its side, screen px.
_BINS, _SIDE = 12, 72
_MOST_DETECTORS = 64
_TREND_WIDTH, _TREND_HEIGHT = 720, 92
#: Frames drawn one by one; of more the points are thinned.
_MOST_POINTS = 1500
#: Column, words, and whether a logarithm shows it better.
_TRENDS = (
    ("fwhm_px", "seeing (FWHM), px", False),
    ("zero_point_mag", "zero point, mag", False),
    ("depth", "depth: magnitude of a streak of S/N 5", False),
    ("masked", "masked share", False),
    ("n_streaks", "streaks", False),
    ("n_negated", "streaks in the negated image (self-check)", False),
    ("one_false_score", "score above which one false streak is expected", True),
)


def sky_map(streaks: QTable, candidates: Sequence[int]) -> str:
    """Where the night's streaks lie on the sky, east to the left; candidates stand out.

    Parameters
    ----------
    streaks
        With ``ra`` and ``dec``; others give no map.
    candidates
        Rows of asteroid candidates.

    Returns
    -------
    str
        SVG; empty without positions.
    """
    ra, dec = bare_column(streaks, "ra"), bare_column(streaks, "dec")
    known = np.isfinite(ra) & np.isfinite(dec)
    if not known.any():
        return ""
    # A mean of directions: a night may lie astride 0 h.
    middle = math.degrees(math.atan2(*(f(np.radians(ra[known])).mean() for f in (np.sin, np.cos))))
    east = (ra - middle + 180) % 360 - 180
    y_low, y_high = _padded(dec[known])
    x_low, x_high = _padded(east[known])
    wide, high = _SKY_WIDTH - 2 * _MARGIN, _SKY_HEIGHT - 2 * _MARGIN
    x = _MARGIN + (x_high - east) / (x_high - x_low) * wide
    y = _MARGIN + (y_high - dec) / (y_high - y_low) * high
    is_candidate = np.zeros(len(streaks), bool)
    is_candidate[list(candidates)] = True
    parts = [_open(_SKY_WIDTH, _SKY_HEIGHT, "sky map of the night's streaks")]
    for value in _ticks(middle + x_low, middle + x_high):
        at = _MARGIN + (middle + x_high - value) / (x_high - x_low) * wide
        hours = (value % 360) / 15
        parts.append(_grid_line(at, _MARGIN, at, _SKY_HEIGHT - _MARGIN))
        parts.append(_word(at, _SKY_HEIGHT - _MARGIN + 16, _hours(hours), "middle"))
    for value in _ticks(y_low, y_high):
        at = _MARGIN + (y_high - value) / (y_high - y_low) * high
        parts.append(_grid_line(_MARGIN, at, _SKY_WIDTH - _MARGIN, at))
        parts.append(_word(_MARGIN - 5, at + 4, f"{value:+g}°", "end"))
    rest = np.flatnonzero(known & ~is_candidate)
    bins = np.unique(np.stack([x[rest], y[rest]]).round() // _BIN_PX, axis=1)
    dots = "".join(f"M{a * _BIN_PX:.0f} {b * _BIN_PX:.0f}h0" for a, b in bins.T)
    if dots:
        parts.append(f'<path d="{dots}" class="dots"/>')
    for i in np.flatnonzero(known & is_candidate):
        parts.append(f'<circle cx="{x[i]:.1f}" cy="{y[i]:.1f}" r="4" class="hit"/>')
    return "".join([*parts, "</svg>"])


def focal_plane(streaks: QTable, frames: QTable, candidates: Sequence[int]) -> str:
    """Where on the chips artifacts come up: what returns in one place is no thing of the sky.

    Parameters
    ----------
    streaks
        With ``image, x, y``.
    frames
        With ``image, nx, ny`` and, where they are known, ``ccd`` and ``quadrant``.
    candidates
        Rows that are left out.

    Returns
    -------
    str
        SVG, one square a detector; empty without sizes of frames.
    """
    if not {"image", "nx", "ny"} <= set(frames.colnames) or not len(streaks):
        return ""
    detector = {str(row["image"]): _detector(row) for row in frames}
    size = {str(row["image"]): (_number(row["nx"]), _number(row["ny"])) for row in frames}
    x, y = bare_column(streaks, "x"), bare_column(streaks, "y")
    left_out = set(candidates)
    counts: dict[tuple[int, int], NDArray[np.int64]] = {}
    for i, image in enumerate(text_column(streaks, "image").tolist()):
        nx, ny = size.get(image, (math.nan, math.nan))
        if i in left_out or not (nx > 0 and ny > 0 and np.isfinite(x[i]) and np.isfinite(y[i])):
            continue
        grid = counts.setdefault(detector[image], np.zeros((_BINS, _BINS), np.int64))
        column, line = int(_BINS * (x[i] + 0.5) / nx), int(_BINS * (y[i] + 0.5) / ny)
        grid[min(max(line, 0), _BINS - 1), min(max(column, 0), _BINS - 1)] += 1
    if not counts:
        return ""
    shown = sorted(counts)[:_MOST_DETECTORS]
    across = min(8, len(shown))
    step = _SIDE + 18
    height = step * math.ceil(len(shown) / across)
    parts = [_open(across * step, height, "where on each detector artifacts lie", limit=True)]
    most = max(int(counts[name].max()) for name in shown)
    for k, name in enumerate(shown):
        left, top = step * (k % across) + 4, step * (k // across) + 14
        parts.append(_chip(counts[name], most, left, top, name))
    return "".join([*parts, "</svg>"])


def _chip(
    grid: NDArray[np.int64], most: int, left: float, top: float, name: tuple[int, int]
) -> str:
    side = _SIDE / _BINS
    words = (
        "all frames" if name[0] < 0 else f"ccd {name[0]}" + (f" q{name[1]}" if name[1] >= 0 else "")
    )
    parts = [_word(left, top - 3, f"{words}: {int(grid.sum())}", "start")]
    parts.append(f'<rect x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}" class="chip"/>')
    for line, column in zip(*np.nonzero(grid), strict=True):
        # y upwards, as in the overviews.
        at = top + _SIDE - (line + 1) * side
        shade = 0.15 + 0.85 * math.sqrt(grid[line, column] / most)
        parts.append(
            f'<rect x="{left + column * side:.1f}" y="{at:.1f}" width="{side:.1f}" '
            f'height="{side:.1f}" class="heat" fill-opacity="{shade:.2f}"/>'
        )
    return "".join(parts)


def frame_trends(frames: QTable, streaks: QTable) -> list[dict[str, str]]:
    """From frame to frame, in the order of time: seeing, depth, false ones, failures.

    Parameters
    ----------
    frames
        With ``image, state`` and what was measured of each.
    streaks
        Whose magnitudes and S/N tell the depth of each frame.

    Returns
    -------
    list of dict
        ``title`` and ``svg``, one a column that is known of two frames or more.
    """
    if len(frames) < 2:
        return []
    times = text_column(frames, "time").tolist()
    order = sorted(range(len(frames)), key=lambda i: (times[i] == "", times[i], i))
    failed = [state == "failed" for state in text_column(frames, "state").tolist()]
    depth = _depths(frames, streaks)
    found = []
    for name, words, logarithm in _TRENDS:
        values = depth if name == "depth" else bare_column(frames, name)
        values = values[order]
        if logarithm:
            values = np.log10(np.where(values > 0, values, np.nan))
        if np.isfinite(values).sum() >= 2 and (np.nanmax(values) > np.nanmin(values)):
            title = words + (" (logarithm)" if logarithm else "")
            svg = _trend(values, [failed[i] for i in order], title)
            found.append({"title": title, "svg": svg})
    return found


def _depths(frames: QTable, streaks: QTable) -> NDArray[np.float64]:
    """Magnitude at S/N 5, by frame, the median of what its streaks tell; NaN where none does."""
    snr = np.where(bare_column(streaks, "snr") > 0, bare_column(streaks, "snr"), np.nan)
    mags = bare_column(streaks, "mag") + 2.5 * np.log10(snr / 5.0)
    images = np.array(text_column(streaks, "image").tolist(), dtype=str)
    known = np.isfinite(mags)
    by_image: dict[str, list[float]] = {}
    for image, mag in zip(images[known], mags[known], strict=True):
        by_image.setdefault(str(image), []).append(float(mag))
    return np.array(
        [
            float(np.median(by_image.get(name, [math.nan])))
            for name in text_column(frames, "image").tolist()
        ]
    )


def _trend(values: NDArray[np.float64], failed: Sequence[bool], title: str) -> str:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    left, right, top, bottom = 64, _TREND_WIDTH - 10, 8, _TREND_HEIGHT - 14
    x = left + (right - left) * np.arange(len(values)) / max(len(values) - 1, 1)
    y = bottom - (bottom - top) * (values - low) / (high - low)
    every = max(1, len(values) // _MOST_POINTS)
    parts = [_open(_TREND_WIDTH, _TREND_HEIGHT, title)]
    parts.append(_grid_line(left, top, right, top) + _grid_line(left, bottom, right, bottom))
    parts.append(_word(left - 6, top + 5, f"{high:.4g}", "end"))
    parts.append(_word(left - 6, bottom + 4, f"{low:.4g}", "end"))
    dots = [f"M{x[i]:.1f} {y[i]:.1f}h0" for i in range(0, len(x), every) if np.isfinite(y[i])]
    parts.append(f'<path d="{"".join(dots)}" class="points"/>')
    lost = "".join(f"M{x[i]:.1f} {bottom + 3}v8" for i, gone in enumerate(failed) if gone)
    if lost:
        parts.append(f'<path d="{lost}" class="lost"/>')
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, words: str, *, limit: bool = False) -> str:
    style = f' style="max-width:{width:.0f}px"' if limit else ""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" class="figure"{style} '
        f'aria-label="{escape(words)}">'
    )


def _grid_line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" class="grid-line"/>'


def _word(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    """A range with room about it, and never of no width."""
    low, high = float(values.min()), float(values.max())
    room = max(0.06 * (high - low), 0.25)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 90) if (high - low) / s <= 8)
    first = math.ceil(low / step)
    return [round(k * step, 6) for k in range(first, math.floor(high / step) + 1)]


def _hours(hours: float) -> str:
    minutes = round(hours * 60) % 1440
    return f"{minutes // 60} h {minutes % 60:02d}"


def _detector(row: Any) -> tuple[int, int]:
    names = row.colnames
    return tuple(_whole(row[name]) if name in names else -1 for name in ("ccd", "quadrant"))  # type: ignore[return-value]


def _whole(value: Any) -> int:
    """A number of a chip; -1 where it is not told."""
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return -1


def _number(value: Any) -> float:
    try:
        return float(getattr(value, "value", value))
    except (TypeError, ValueError):
        return math.nan
