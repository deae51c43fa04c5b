"""Whole frames with their streaks marked."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.errors import FrameError
from streaks.frame import Frame
from streaks.geometry import Segment, clip_segment
from streaks.palette import class_rgb
from streaks.plotting.drawing import (
    INK,
    PAPER,
    Picture,
    cv2_module,
    directions,
    draw_diamond,
    draw_line,
    draw_text,
    text_width,
)
from streaks.plotting.grey import stretch, tinted
from streaks.plotting.rows import segments_of
from streaks.sky import compass
from streaks.tables import LABELS

__all__ = ["frame_overview", "mark_truth"]

#: Marks stand this far beside a streak, screen px, so that they never hide it.
_ASIDE = 7.0
#: More streaks than this get numbers only where they may be real light.
_NUMBERED = 80
_LEGEND_PX = 46
#: Cells of the background, screen px: wider than any streak with its PSF.
_MESH_PX = 48
#: Places along either side of a cell whose median stands for it.
_SAMPLE = 12


def frame_overview(
    frame: Frame, streaks: QTable, truth: QTable | None = None, *, max_px: int = 1000
) -> Picture:
    """A whole frame with its streaks marked beside their track, and a legend.

    Each streak has a thin line of its class's colour on either side, and the last number of its
    ``streak_id``; true streaks have white diamonds at their ends.

    Parameters
    ----------
    frame
        Drawn by local means, which keeps a faint streak visible at any reduction.
    streaks
        With ``streak_id, x0, y0, x1, y1`` and, where there is one, ``label``; only rows of this
        frame.
    truth
        With ``x0, y0, x1, y1``; rows whose ends are NaN are not drawn.
    max_px
        Longest side of the image, screen px; the legend comes below it.

    Returns
    -------
    (h, w, 3) uint8

    Raises
    ------
    FrameError
        When `max_px` is below 100.
    """
    if max_px < 100:
        raise FrameError(f"an overview of {max_px} px shows nothing; give at least 100")
    view = _View.of(frame.shape, max_px)
    picture = _grey_frame(frame, view)
    labels = _labels(streaks)
    numbered = len(streaks) <= _NUMBERED
    names = [str(name) for name in streaks["streak_id"]]
    for whole, label, name in zip(segments_of(streaks), labels, names, strict=True):
        segment = clip_segment(whole, frame.shape, margin_px=20.0)
        if segment is None:
            continue
        _mark_streak(picture, view, segment, class_rgb(label))
        if numbered or label in ("asteroid", "satellite"):
            _number_streak(picture, view, segment, name, class_rgb(label))
    _draw_compass(picture, view, frame)
    overview = np.vstack([picture, _legend(frame, labels, picture.shape[1])])
    return overview if truth is None else mark_truth(overview, truth, frame.shape)


def mark_truth(overview: Picture, truth: QTable, shape: tuple[int, int]) -> Picture:
    """An overview with true streaks marked: white diamonds at their ends.

    Parameters
    ----------
    overview
        Of `frame_overview`.
    truth
        With ``x0, y0, x1, y1``; rows whose ends are NaN are not drawn.
    shape
        ``(ny, nx)`` of the frame.

    Returns
    -------
    (h, w, 3) uint8
    """
    marked = overview.copy()
    sky = marked[: marked.shape[0] - _LEGEND_PX]
    view = _View(*shape, *sky.shape[:2])
    segments = _true_segments(truth)
    for segment in segments:
        _mark_truth(sky, view, segment)
    name = f"truth {len(segments)}"
    x = marked.shape[1] - text_width(name, 0.42) - 12
    draw_diamond(marked, np.array([x - 12.0, marked.shape[0] - 34.0]), 6)
    draw_text(marked, name, (x, marked.shape[0] - 29), INK, scale=0.42)
    return marked


@dataclass(frozen=True)
class _View:
    """How a frame's pixels lie on the screen."""

    ny: int
    nx: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, int], max_px: int) -> _View:
        ny, nx = shape
        scale = max_px / max(ny, nx)
        if scale > 1:
            # Whole multiples keep pixels square and even; more than three adds nothing.
            scale = min(int(scale), 3)
        return cls(ny, nx, max(1, round(ny * scale)), max(1, round(nx * scale)))

    def point(self, x: float, y: float) -> NDArray[np.float64]:
        """Screen place of a frame's pixel place, y turned upwards."""
        return np.array(
            [
                (x + 0.5) * self.width / self.nx - 0.5,
                self.height - 1 - ((y + 0.5) * self.height / self.ny - 0.5),
            ]
        )


def _grey_frame(frame: Frame, view: _View) -> Picture:
    cv2 = cv2_module()
    total, weight = _on_screen(frame, view)
    # Less than half of the pixels beneath: what is left says more of the mask than of the sky.
    masked = weight < 0.5
    # Smoothed by the PSF as it is on the screen, as a matched filter would: what a finder sees.
    fwhm_px = frame.fwhm_px if np.isfinite(frame.fwhm_px) else 2.5
    sigma = float(np.clip(fwhm_px / 2.355 * view.width / view.nx, 0.3, 3.0))
    weight, total = (cv2.GaussianBlur(image, (0, 0), sigma) for image in (weight, total))
    mean = total / np.maximum(weight, np.float32(1e-6))
    flat = mean - _background(mean, masked)
    return np.ascontiguousarray(tinted(stretch(flat, masked), masked)[::-1])


def _on_screen(frame: Frame, view: _View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Usable counts under each pixel of the screen, and the share of it that is usable."""
    if view.width <= view.nx and view.height <= view.ny:
        from streaks.plotting.kernels import shrink_by_area

        return shrink_by_area(frame.data, frame.mask, (view.height, view.width))
    cv2 = cv2_module()
    unusable = frame.mask | ~np.isfinite(frame.data)
    counts = np.where(unusable, 0.0, frame.data).astype(np.float32)
    total, weight = (
        cv2.resize(image, (view.width, view.height), interpolation=cv2.INTER_NEAREST)
        for image in (counts, 1.0 - unusable.astype(np.float32))
    )
    return total, weight


def _background(image: NDArray[np.float32], masked: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Medians of a coarse mesh, smoothly between: takes gradients out, leaves streaks in."""
    cv2 = cv2_module()
    ny, nx = image.shape
    my, mx = max(1, ny // _MESH_PX), max(1, nx // _MESH_PX)
    mesh = _cell_medians(np.where(masked, np.nan, image), my, mx)
    # One more cell all round, on the line of its neighbours: else gradients stay at the rim.
    mesh = np.pad(mesh, 1, mode="reflect", reflect_type="odd") if min(my, mx) > 1 else mesh
    dy, dx = (round(n / m) if min(my, mx) > 1 else 0 for n, m in ((ny, my), (nx, mx)))
    smooth = cv2.resize(mesh, (nx + 2 * dx, ny + 2 * dy), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth[dy : dy + ny, dx : dx + nx])


def _cell_medians(image: NDArray[np.float32], my: int, mx: int) -> NDArray[np.float32]:
    """Medians over my x mx cells, of a sixteenth of each cell's pixels; 0 for cells all NaN."""
    ny, nx = image.shape
    at_y, at_x = (
        # As many places in each cell, evenly spread: cells become rows of one array.
        ((np.arange(m)[:, None] + (np.arange(_SAMPLE) + 0.5) / _SAMPLE) * n / m).astype(int)
        for n, m in ((ny, my), (nx, mx))
    )
    cells = image[at_y.ravel()][:, at_x.ravel()].reshape(my, _SAMPLE, mx, _SAMPLE)
    # Sorting puts NaN last, so that the middle of the others is known by their number.
    ordered = np.sort(cells.swapaxes(1, 2).reshape(my * mx, -1), axis=1)
    n_good = np.isfinite(ordered).sum(axis=1)
    rows = np.arange(len(ordered))
    low, high = (ordered[rows, np.maximum(k, 0)] for k in ((n_good - 1) // 2, n_good // 2))
    medians = np.where(n_good > 0, (low + high) / 2, 0.0)
    return medians.reshape(my, mx).astype(np.float32)


def _mark_streak(
    picture: Picture, view: _View, segment: Segment, rgb: tuple[int, int, int]
) -> None:
    """A line on either side of the track, and not shorter than one can see."""
    start, end = view.point(segment.x0, segment.y0), view.point(segment.x1, segment.y1)
    along, across = directions(start, end)
    length = float(np.hypot(*(end - start)))
    extra = along * max(3.0, (16.0 - length) / 2)
    for side in (-_ASIDE, _ASIDE):
        draw_line(picture, start - extra + side * across, end + extra + side * across, rgb)


def _number_streak(
    picture: Picture, view: _View, segment: Segment, name: str, rgb: tuple[int, int, int]
) -> None:
    start, end = view.point(segment.x0, segment.y0), view.point(segment.x1, segment.y1)
    found = re.search(r"(\d+)\D*$", name)
    text = (found.group(1).lstrip("0") or "0") if found else name[-6:]
    height, width = picture.shape[:2]
    along, across = directions(start, end)
    half = np.array([text_width(text, 0.45) / 2 + 3, 9.0])
    # Beside the middle of a long streak, beyond the end of a short one: never on it.
    if np.hypot(*(end - start)) > 200:
        at = (start + end) / 2 + across * (_ASIDE + 4 + float(np.abs(across) @ half))
    else:
        at = end + along * (10 + float(np.abs(along) @ half))
    height, width = picture.shape[:2]
    x = int(np.clip(at[0] - half[0] + 3, 2, max(2, width - 2 * half[0])))
    y = int(np.clip(at[1] + 5, 14, max(14, height - 6)))
    draw_text(picture, text, (x, y), rgb, scale=0.45)


def _mark_truth(picture: Picture, view: _View, segment: Segment) -> None:
    """A diamond at either end, or one around a streak too short for two."""
    start, end = view.point(segment.x0, segment.y0), view.point(segment.x1, segment.y1)
    if np.hypot(*(end - start)) < 30:
        draw_diamond(picture, (start + end) / 2, 17)
        return
    for centre in (start, end):
        draw_diamond(picture, centre, 6)


def _draw_compass(picture: Picture, view: _View, frame: Frame) -> None:
    """North and east in a corner, where the frame knows them."""
    if frame.wcs is None:
        return
    axes = compass(frame.wcs, frame.shape)
    if axes is None:
        return
    origin = np.array([picture.shape[1] - 46.0, picture.shape[0] - 46.0])
    for name, (dx, dy) in zip("NE", axes, strict=True):
        tip = origin + 26 * np.array([dx, -dy])
        draw_line(picture, origin, tip, INK)
        place = origin + 36 * np.array([dx, -dy]) + (-5, 5)
        draw_text(picture, name, (int(place[0]), int(place[1])), INK, scale=0.45)


def _legend(frame: Frame, labels: list[str], width: int) -> Picture:
    """Two lines below a frame: what it is, and how many of each class."""
    strip = np.full((_LEGEND_PX, width, 3), PAPER, np.uint8)
    time = "" if frame.time is None else f"   {frame.time.utc.isot[:19]} UTC mid-exposure"
    title = f"{frame.name}{time}"
    # A long name on a small frame is written smaller, so that it is whole.
    scale = 0.42
    while text_width(title, scale) > width - 16 and scale > 0.2:
        scale -= 0.02
    draw_text(strip, title, (8, 17), INK, scale=scale)
    x = 8
    counts = Counter(labels)
    for label in (*LABELS, ""):
        if counts[label] and x < width - 60:
            name = f"{label or 'streaks'} {counts[label]}"
            strip[30:39, x : x + 9] = class_rgb(label)
            draw_text(strip, name, (x + 14, 39), INK, scale=0.42)
            x += 30 + text_width(name, 0.42)
    if not labels:
        draw_text(strip, "no streaks", (x, 39), INK, scale=0.42)
    return strip


def _labels(streaks: QTable) -> list[str]:
    if "label" not in streaks.colnames:
        return [""] * len(streaks)
    return [str(label) for label in streaks["label"]]


def _true_segments(truth: QTable) -> list[Segment]:
    return [s for s in segments_of(truth) if np.isfinite([s.x0, s.y0, s.x1, s.y1]).all()]
