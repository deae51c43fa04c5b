"""Cutouts and triplets, and what a volunteer sees."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from astropy.table import Row
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.frame import Image
from streaks.geometry import Segment
from streaks.palette import class_rgb
from streaks.plotting.drawing import (
    INK,
    PAPER,
    Picture,
    cv2_module,
    directions,
    draw_line,
    draw_text,
    encode_png,
)
from streaks.plotting.grey import stretch, tinted
from streaks.plotting.rows import bare, segment_of

__all__ = [
    "STRETCHES",
    "cutout_picture",
    "cutout_segment",
    "cutout_strip",
    "sky_picture",
    "subject_png",
    "triplet_panel",
]


def cutout_picture(
    difference: Image,
    mask: NDArray[np.bool_],
    *,
    panel_px: int | None = None,
    ends: Segment | None = None,
) -> Picture:
    """One cutout, robustly stretched, masked pixels tinted.

    Parameters
    ----------
    difference, mask : (size, size)
        As `streaks.cutouts.Cutouts` holds them.
    panel_px
        Side of the picture; native pixels where not given. Enlarged pixels stay square blocks.
    ends
        Ends to mark, in the cutout's own 0-based pixels, with a tick beyond either end.

    Returns
    -------
    (h, w, 3) uint8
    """
    panel = tinted(stretch(difference, mask, high=15.0), mask | ~np.isfinite(difference))
    size = panel.shape[0]
    panel = _resized(np.ascontiguousarray(panel[::-1]), panel_px or size)
    if ends is not None:
        _mark_ends(panel, ends, size)
    return panel


def sky_picture(image: Image, *, panel_px: int) -> Picture:
    """A science or reference cutout, stretched for itself, places without data tinted.

    Parameters
    ----------
    image : (size, size)
        Counts; NaN where there is nothing.
    panel_px
        Side of the picture, screen px.

    Returns
    -------
    (panel_px, panel_px, 3) uint8
    """
    nothing = ~np.isfinite(image)
    grey = tinted(stretch(image, nothing, low=-3.0, high=60.0), nothing)
    return _resized(np.ascontiguousarray(grey[::-1]), panel_px)


def triplet_panel(
    science: Image | None,
    reference: Image | None,
    difference: Image,
    mask: NDArray[np.bool_],
    *,
    panel_px: int = 256,
    ends: Segment | None = None,
    titles: bool = True,
) -> Picture:
    """Science, reference and difference side by side; those that are None are left out.

    Science and reference share no scale (their sky and depth differ): each is stretched for
    itself. Ends are marked on the difference only, so that one can look without them.

    Parameters
    ----------
    science, reference : (size, size) or None
        Counts.
    difference : (size, size)
        Counts, background near zero.
    mask : (size, size) bool
        True where there are no data; tinted.
    panel_px
        Side of each picture, screen px.
    ends
        A streak to mark, in the cutout's pixels.
    titles
        Whether each picture has its name below.

    Returns
    -------
    (h, w, 3) uint8
    """
    panels, names = [], []
    for name, image in (("science", science), ("reference", reference)):
        if image is not None:
            panels.append(sky_picture(image, panel_px=panel_px))
            names.append(name)
    panels.append(cutout_picture(difference, mask, panel_px=panel_px, ends=ends))
    names.append("difference")
    if titles:
        for panel, name in zip(panels, names, strict=True):
            draw_text(panel, name, (6, panel_px - 8), INK, scale=max(0.4, panel_px / 700))
    gap = np.full((panel_px, max(4, panel_px // 64), 3), PAPER, np.uint8)
    row = [panels[0]]
    for panel in panels[1:]:
        row += [gap, panel]
    return np.hstack(row)


#: Lower and upper limit of a stretch, robust sigmas: science and reference, then the difference.
STRETCHES: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = MappingProxyType({
    "normal": ((-3.0, 60.0), (-4.0, 15.0)),
    "faint": ((-2.0, 12.0), (-2.0, 6.0)),
    "bright": ((-5.0, 600.0), (-8.0, 120.0)),
})  # fmt: skip


def cutout_strip(
    science: Image | None,
    reference: Image | None,
    difference: Image,
    mask: NDArray[np.bool_],
    *,
    how: str = "normal",
) -> Picture:
    """Science, reference and difference in native pixels, side by side without a gap.

    For a page that enlarges and blinks them itself: nothing is drawn over the data.

    Parameters
    ----------
    science, reference : (size, size) or None
        Counts; a dark panel stands for one that is None.
    difference : (size, size)
        Counts, background near zero.
    mask : (size, size) bool
        True where there are no data; tinted.
    how
        One of `STRETCHES`.

    Returns
    -------
    (size, 3 * size, 3) uint8
    """
    sky, sub = STRETCHES[how]
    panels = []
    for image in (science, reference):
        if image is None:
            panels.append(np.full((*difference.shape, 3), PAPER, np.uint8))
        else:
            nothing = ~np.isfinite(image)
            panels.append(tinted(stretch(image, nothing, low=sky[0], high=sky[1]), nothing))
    grey = stretch(difference, mask, low=sub[0], high=sub[1])
    panels.append(tinted(grey, mask | ~np.isfinite(difference)))
    return np.ascontiguousarray(np.hstack(panels)[::-1])


def subject_png(cutouts: Cutouts, panel_px: int) -> bytes:
    """PNG of the first cutout of a stack, as a volunteer sees it: nothing drawn over the data.

    Parameters
    ----------
    cutouts
        A stack of one or more.
    panel_px
        Side of each picture, screen px.

    Returns
    -------
    bytes
    """
    science, reference = (
        None if stack is None else stack[0] for stack in (cutouts.science, cutouts.reference)
    )
    panel = triplet_panel(
        science, reference, cutouts.difference[0], cutouts.mask[0], panel_px=panel_px
    )
    return encode_png(panel, compression=6)


def cutout_segment(row: Row, size_px: int) -> Segment:
    """A streak's ends in the pixels of its own cutout (`streaks.cutouts.extract_cutouts`).

    Parameters
    ----------
    row
        Of a table of streaks.
    size_px
        Side of the cutout.

    Returns
    -------
    Segment
    """
    x, y = (float(bare(row[name])) for name in ("x", "y"))
    return segment_of(row).shifted(
        size_px // 2 - np.floor(x + 0.5),
        size_px // 2 - np.floor(y + 0.5),
    )


def _resized(picture: Picture, side_px: int) -> Picture:
    cv2 = cv2_module()
    size = picture.shape[0]
    if side_px == size:
        return picture
    # Whole multiples by blocks: interpolation between would invent structure.
    whole = max(1, side_px // size)
    if whole > 1 or side_px > size:
        picture = np.repeat(np.repeat(picture, whole, axis=0), whole, axis=1)
    how = cv2.INTER_AREA if side_px < picture.shape[0] else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=how))


def _mark_ends(panel: Picture, ends: Segment, size: int) -> None:
    """Ticks that begin a little beyond either end and point away from it."""
    scale = panel.shape[0] / size
    start, end = (
        np.array([(x + 0.5) * scale - 0.5, panel.shape[0] - 1 - ((y + 0.5) * scale - 0.5)])
        for x, y in ((ends.x0, ends.y0), (ends.x1, ends.y1))
    )
    along, _ = directions(start, end)
    rgb = class_rgb("asteroid")
    for point, away in ((start, -along), (end, along)):
        draw_line(panel, point + away * 5 * scale, point + away * 11 * scale, rgb)
