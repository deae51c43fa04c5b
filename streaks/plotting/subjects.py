"""What a volunteer sees of a subject: one strip, or a picture each of its images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.geometry import Segment
from streaks.palette import class_rgb
from streaks.plotting.cutouts import cutout_picture, sky_picture
from streaks.plotting.drawing import (
    PAPER,
    Picture,
    directions,
    draw_line,
    draw_text,
    encode_png,
)

__all__ = ["LAYOUTS", "examples_picture", "subject_pictures"]

LAYOUTS = ("strip", "frames")
#: Grey, so that a picture of grey levels stays one.
_LETTERS = (234, 234, 234)
#: Ticks begin so far beyond an end, and are so long, px of the cutout.
_GAP_PX, _TICK_PX = 5.0, 6.0


def subject_pictures(
    cutouts: Cutouts, panel_px: int, ends: Segment | None = None, *, layout: str = "strip"
) -> dict[str, bytes]:
    """The pictures of the first cutout of a stack, the streak that is meant marked.

    Ticks stand in the difference image only, so that one can look without them. Where an end lies
    outside the picture, ticks stand on both sides of the line's middle; where no line is known,
    about the cutout's middle.

    Parameters
    ----------
    cutouts
        A stack of one or more; science and reference are left out where there are none.
    panel_px
        Side of each picture, screen px.
    ends
        Of the streak, in the cutout's 0-based pixels.
    layout
        ``strip``: science, reference and difference side by side; ``frames``: a picture each.

    Returns
    -------
    dict
        PNG by heading of the manifest: ``filename`` for a strip; ``difference``, ``science``,
        ``reference`` for frames.
    """
    panels = _panels(cutouts, 0, panel_px, ends)
    for name, panel in panels.items():
        draw_text(panel, name, (6, panel_px - 8), _LETTERS, scale=max(0.4, panel_px / 700))
    if layout == "frames":
        return {name: _png(panel) for name, panel in panels.items()}
    order = [panels[name] for name in ("science", "reference", "difference") if name in panels]
    return {"filename": _png(_side_by_side(order))}


def examples_picture(
    cutouts: Cutouts, rows: Sequence[int], ends: Sequence[Segment | None], *, panel_px: int = 256
) -> bytes:
    """Differences of several cutouts side by side, each with its streak marked.

    Parameters
    ----------
    cutouts
        A stack.
    rows
        Which of it.
    ends
        Of all of the stack, in the cutouts' pixels.
    panel_px
        Side of each picture, screen px.

    Returns
    -------
    bytes
        A PNG picture.
    """
    panels = [_panels(cutouts, row, panel_px, ends[row])["difference"] for row in rows]
    return _png(_side_by_side(panels))


def _png(picture: Picture) -> bytes:
    """As grey levels where nothing is coloured, in half the time."""
    is_grey = bool((picture[..., 0] == picture[..., 1]).all())
    is_grey = is_grey and bool((picture[..., 0] == picture[..., 2]).all())
    return encode_png(picture[..., 0] if is_grey else picture)


def _panels(cutouts: Cutouts, row: int, panel_px: int, ends: Segment | None) -> dict[str, Picture]:
    panels: dict[str, Picture] = {}
    difference = cutout_picture(cutouts.difference[row], cutouts.mask[row], panel_px=panel_px)
    _mark(difference, ends, cutouts.size_px)
    panels["difference"] = difference
    for name, stack in (("science", cutouts.science), ("reference", cutouts.reference)):
        if stack is not None:
            panels[name] = sky_picture(stack[row], panel_px=panel_px)
    return panels


def _side_by_side(panels: Sequence[Picture]) -> Picture:
    side = panels[0].shape[0]
    gap = np.full((side, max(4, side // 64), 3), PAPER, np.uint8)
    row = [panels[0]]
    for panel in panels[1:]:
        row += [gap, panel]
    return np.hstack(row)


def _mark(panel: Picture, ends: Segment | None, size: int) -> None:
    """Ticks that say which streak is meant."""
    side = panel.shape[0]
    scale = side / size
    rgb = class_rgb("asteroid")
    middle = np.array([_on_screen(size // 2, scale), side - 1 - _on_screen(size // 2, scale)])
    if ends is None:
        for angle in np.radians([45, 135, 225, 315]):
            away = np.array([np.cos(angle), np.sin(angle)])
            _tick(panel, middle + away * _GAP_PX * scale, away, scale, rgb)
        return
    start, end = (
        np.array([_on_screen(x, scale), side - 1 - _on_screen(y, scale)])
        for x, y in ((ends.x0, ends.y0), (ends.x1, ends.y1))
    )
    along, across = directions(start, end)
    seen = [_is_inside(start - along * _GAP_PX * scale, side),
            _is_inside(end + along * _GAP_PX * scale, side)]  # fmt: skip
    for point, away, inside in ((start, -along, seen[0]), (end, along, seen[1])):
        if inside:
            _tick(panel, point, away, scale, rgb)
    if not all(seen):
        nearest = start + along * np.clip((middle - start) @ along, 0, np.hypot(*(end - start)))
        for away in (across, -across):
            _tick(panel, nearest, away, scale, rgb)


def _tick(
    panel: Picture,
    point: NDArray[np.float64],
    away: NDArray[np.float64],
    scale: float,
    rgb: tuple[int, int, int],
) -> None:
    first = point + away * _GAP_PX * scale
    draw_line(panel, first, first + away * _TICK_PX * scale, rgb)


def _on_screen(value: float, scale: float) -> float:
    return (value + 0.5) * scale - 0.5


def _is_inside(point: NDArray[np.float64], side: int) -> bool:
    return bool(np.all((point >= 0) & (point < side)))
