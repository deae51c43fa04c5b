"""Pictures for people: whole frames with their streaks marked, cutouts, and triplets.

Everything is drawn with OpenCV, so that a server needs no plotting library. Images come out as
``(h, w, 3)`` uint8 in RGB with **y upwards**, as DS9 shows them: row 0 of a picture is the top of
the frame.

Difference images have two signs: zero is a dark grey, brighter now is white, fainter now black.
Pixels that must not be used are tinted, never drawn as if they held data.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable, Row
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.errors import FrameError, StreaksError
from streaks.frame import Frame, Image
from streaks.geometry import Segment, clip_segment
from streaks.palette import class_rgb
from streaks.tables import CLASSES, SKIP

__all__ = [
    "Picture",
    "cutout_picture",
    "cutout_segment",
    "decode_picture",
    "encode_jpeg",
    "encode_png",
    "frame_overview",
    "mark_truth",
    "shrink_picture",
    "stretch",
    "subject_png",
    "triplet_panel",
]

#: ``(h, w, 3)`` uint8, RGB.
Picture = NDArray[np.uint8]

#: Blue-grey that no stretch produces: data are always neutral grey.
_MASK_RGB = (52, 66, 104)
_INK, _PAPER, _TRUTH = (232, 232, 236), (24, 25, 30), (255, 255, 255)
#: Marks stand this far beside a streak, screen px, so that they never hide it.
_ASIDE = 7.0
#: More streaks than this get numbers only where they may be real light.
_NUMBERED = 80
_LEGEND_PX = 46
_SHIFT = 4  # OpenCV draws to 1/16 px


def stretch(
    data: Image, mask: NDArray[np.bool_] | None = None, *, low: float = -4.0, high: float = 30.0
) -> NDArray[np.uint8]:
    """Grey levels of an image: asinh of its robust signal-to-noise.

    Parameters
    ----------
    data : (ny, nx)
        Any units. NaN counts as masked.
    mask : (ny, nx) bool, optional
        True where a pixel must not be used.
    low, high
        Black and white, in robust sigmas from the median; `high` shrinks to the brightest
        hundredth of a percent when nothing is that bright, but not below 8.

    Returns
    -------
    (ny, nx) uint8
        Masked pixels are 0; an image of no spread or no pixels is even grey.
    """
    good = np.isfinite(data) if mask is None else np.isfinite(data) & ~mask
    values = data[good]
    grey = np.zeros(data.shape, np.uint8)
    if values.size == 0:
        return grey
    # A sample is enough for median and spread, and large frames are many.
    sample = values[:: max(1, values.size // 200_000)].astype(float)
    centre = float(np.median(sample))
    sigma = 1.4826 * float(np.median(np.abs(sample - centre)))
    if not sigma > 0:
        sigma = float(sample.std()) or 1.0
    top = float(np.clip((np.percentile(sample, 99.99) - centre) / sigma, 8.0, high))
    z = np.clip((data[good].astype(np.float32) - centre) / sigma, low, top)
    floor, ceiling = np.arcsinh(low / 2.0), np.arcsinh(top / 2.0)
    grey[good] = (255.0 * (np.arcsinh(z / 2.0) - floor) / (ceiling - floor)).astype(np.uint8)
    return grey


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
    for row, label in zip(streaks, labels, strict=True):
        segment = clip_segment(_ends(row), frame.shape, margin_px=20.0)
        if segment is None:
            continue
        _mark_streak(picture, view, segment, class_rgb(label))
        if numbered or label in ("asteroid", "satellite"):
            _number_streak(picture, view, segment, str(row["streak_id"]), class_rgb(label))
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
    """
    marked = overview.copy()
    sky = marked[: marked.shape[0] - _LEGEND_PX]
    view = _View(*shape, *sky.shape[:2])
    segments = _true_segments(truth)
    for segment in segments:
        _mark_truth(sky, view, segment)
    name = f"truth {len(segments)}"
    x = marked.shape[1] - _text_width(name, 0.42) - 12
    _diamond(marked, np.array([x - 12.0, marked.shape[0] - 34.0]), 6)
    _text(marked, name, (x, marked.shape[0] - 29), _INK, scale=0.42)
    return marked


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
    """
    panel = _tinted(stretch(difference, mask), mask | ~np.isfinite(difference))
    size = panel.shape[0]
    panel = _resized(np.ascontiguousarray(panel[::-1]), panel_px or size)
    if ends is not None:
        _mark_ends(panel, ends, size)
    return panel


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
    """
    panels, names = [], []
    for name, image in (("science", science), ("reference", reference)):
        if image is not None:
            nothing = ~np.isfinite(image)
            grey = _tinted(stretch(image, nothing, low=-3.0, high=60.0), nothing)
            panels.append(_resized(np.ascontiguousarray(grey[::-1]), panel_px))
            names.append(name)
    panels.append(cutout_picture(difference, mask, panel_px=panel_px, ends=ends))
    names.append("difference")
    if titles:
        for panel, name in zip(panels, names, strict=True):
            _text(panel, name, (6, panel_px - 8), _INK, scale=max(0.4, panel_px / 700))
    gap = np.full((panel_px, max(4, panel_px // 64), 3), _PAPER, np.uint8)
    row = [panels[0]]
    for panel in panels[1:]:
        row += [gap, panel]
    return np.hstack(row)


def subject_png(cutouts: Cutouts, panel_px: int) -> bytes:
    """PNG of the first cutout of a stack, as a volunteer sees it: nothing drawn over the data."""
    science, reference = (
        None if stack is None else stack[0] for stack in (cutouts.science, cutouts.reference)
    )
    panel = triplet_panel(
        science, reference, cutouts.difference[0], cutouts.mask[0], panel_px=panel_px
    )
    return encode_png(panel, compression=6)


def cutout_segment(row: Row, size_px: int) -> Segment:
    """A streak's ends in the pixels of its own cutout (`streaks.cutouts.extract_cutouts`)."""
    x, y = (float(_bare(row[name])) for name in ("x", "y"))
    return _ends(row).shifted(
        size_px // 2 - np.floor(x + 0.5),
        size_px // 2 - np.floor(y + 0.5),
    )


def encode_png(picture: Picture | NDArray[np.uint8], *, compression: int = 1) -> bytes:
    """PNG bytes of an RGB or grey picture.

    Parameters
    ----------
    picture
        RGB, or (h, w).
    compression
        1 is fast and right for noise; 6 makes enlarged cutouts six times smaller.
    """
    cv2 = _cv2()
    return _encode(picture, ".png", [cv2.IMWRITE_PNG_COMPRESSION, compression])


def encode_jpeg(picture: Picture | NDArray[np.uint8], *, quality: int = 85) -> bytes:
    """JPEG bytes, a fifth of a PNG's for noisy images: for pages that hold hundreds."""
    cv2 = _cv2()
    return _encode(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def decode_picture(encoded: bytes) -> Picture:
    """An RGB picture from PNG or JPEG bytes.

    Raises
    ------
    FrameError
        When the bytes are no picture.
    """
    cv2 = _cv2()
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    if bgr is None:
        raise FrameError(f"{len(encoded)} bytes are no PNG or JPEG picture; make it again")
    return np.ascontiguousarray(bgr[..., ::-1])


def shrink_picture(picture: Picture, max_px: int) -> Picture:
    """The picture, its longest side at most `max_px`."""
    cv2 = _cv2()
    height, width = picture.shape[:2]
    scale = max_px / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


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
    cv2 = _cv2()
    unusable = frame.mask | ~np.isfinite(frame.data)
    valid = np.where(unusable, 0.0, 1.0).astype(np.float32)
    filled = np.where(unusable, 0.0, frame.data).astype(np.float32)
    how = cv2.INTER_AREA if view.width < view.nx else cv2.INTER_NEAREST
    size = (view.width, view.height)
    weight = cv2.resize(valid, size, interpolation=how)
    total = cv2.resize(filled, size, interpolation=how)
    # Less than half of the pixels beneath: what is left says more of the mask than of the sky.
    masked = weight < 0.5
    # Smoothed by the PSF as it is on the screen, as a matched filter would: what a finder sees.
    fwhm_px = frame.fwhm_px if np.isfinite(frame.fwhm_px) else 2.5
    sigma = float(np.clip(fwhm_px / 2.355 * view.width / view.nx, 0.3, 3.0))
    weight, total = (cv2.GaussianBlur(image, (0, 0), sigma) for image in (weight, total))
    mean = total / np.maximum(weight, 1e-6)
    flat = mean - _background(mean, masked)
    return np.ascontiguousarray(_tinted(stretch(flat, masked), masked)[::-1])


def _background(image: NDArray[np.float32], masked: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Medians of a coarse mesh, smoothly between: takes gradients out, leaves streaks in."""
    cv2 = _cv2()
    ny, nx = image.shape
    box = 48
    mesh = np.zeros((max(1, ny // box), max(1, nx // box)), np.float32)
    for j in range(mesh.shape[0]):
        for i in range(mesh.shape[1]):
            cell = np.s_[j * box : (j + 1) * box, i * box : (i + 1) * box]
            values = image[cell][~masked[cell]]
            mesh[j, i] = np.median(values) if values.size else 0.0
    return cv2.resize(mesh, (nx, ny), interpolation=cv2.INTER_LINEAR)


def _tinted(grey: NDArray[np.uint8], masked: NDArray[np.bool_]) -> Picture:
    picture = np.repeat(grey[..., None], 3, axis=2)
    picture[masked] = _MASK_RGB
    return picture


def _resized(picture: Picture, side_px: int) -> Picture:
    cv2 = _cv2()
    size = picture.shape[0]
    if side_px == size:
        return picture
    # Whole multiples by blocks: interpolation between would invent structure.
    whole = max(1, side_px // size)
    if whole > 1 or side_px > size:
        picture = np.repeat(np.repeat(picture, whole, axis=0), whole, axis=1)
    how = cv2.INTER_AREA if side_px < picture.shape[0] else cv2.INTER_NEAREST
    return cv2.resize(picture, (side_px, side_px), interpolation=how)


def _mark_streak(
    picture: Picture, view: _View, segment: Segment, rgb: tuple[int, int, int]
) -> None:
    """A line on either side of the track, and not shorter than one can see."""
    start, end = view.point(segment.x0, segment.y0), view.point(segment.x1, segment.y1)
    along, across = _directions(start, end)
    length = float(np.hypot(*(end - start)))
    extra = along * max(3.0, (16.0 - length) / 2)
    for side in (-_ASIDE, _ASIDE):
        _line(picture, start - extra + side * across, end + extra + side * across, rgb)


def _number_streak(
    picture: Picture, view: _View, segment: Segment, name: str, rgb: tuple[int, int, int]
) -> None:
    start, end = view.point(segment.x0, segment.y0), view.point(segment.x1, segment.y1)
    found = re.search(r"(\d+)\D*$", name)
    text = (found.group(1).lstrip("0") or "0") if found else name[-6:]
    height, width = picture.shape[:2]
    at = (start + end) / 2 if np.hypot(*(end - start)) > 200 else end
    x = int(np.clip(at[0] + 10, 2, width - 9 * len(text) - 4))
    y = int(np.clip(at[1] - 9, 14, height - 4))
    _text(picture, text, (x, y), rgb, scale=0.45)


def _mark_truth(picture: Picture, view: _View, segment: Segment) -> None:
    """A diamond at either end, or one around a streak too short for two."""
    start, end = view.point(segment.x0, segment.y0), view.point(segment.x1, segment.y1)
    if np.hypot(*(end - start)) < 30:
        _diamond(picture, (start + end) / 2, 17)
        return
    for centre in (start, end):
        _diamond(picture, centre, 6)


def _mark_ends(panel: Picture, ends: Segment, size: int) -> None:
    """Ticks that begin a little beyond either end and point away from it."""
    scale = panel.shape[0] / size
    start, end = (
        np.array([(x + 0.5) * scale - 0.5, panel.shape[0] - 1 - ((y + 0.5) * scale - 0.5)])
        for x, y in ((ends.x0, ends.y0), (ends.x1, ends.y1))
    )
    along, _ = _directions(start, end)
    rgb = class_rgb("asteroid")
    for point, away in ((start, -along), (end, along)):
        _line(panel, point + away * 5 * scale, point + away * 11 * scale, rgb)


def _directions(
    start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along and across; to the right for a point."""
    step = end - start
    length = float(np.hypot(*step))
    along = step / length if length > 0 else np.array([1.0, 0.0])
    return along, np.array([-along[1], along[0]])


def _diamond(picture: Picture, centre: NDArray[np.float64], radius: float) -> None:
    cv2 = _cv2()
    corners = centre + radius * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    fixed = np.round(corners * 2**_SHIFT).astype(np.int32)
    for colour, width in (((0, 0, 0), 3), (_TRUTH, 1)):
        cv2.polylines(picture, [fixed], True, colour, width, cv2.LINE_AA, _SHIFT)


def _draw_compass(picture: Picture, view: _View, frame: Frame) -> None:
    """North and east in a corner, where the frame knows them."""
    if frame.wcs is None:
        return
    axes = _sky_axes(frame)
    if axes is None:
        return
    origin = np.array([picture.shape[1] - 46.0, picture.shape[0] - 46.0])
    for name, (dx, dy) in zip("NE", axes, strict=True):
        tip = origin + 26 * np.array([dx, -dy])
        _line(picture, origin, tip, _INK)
        place = origin + 36 * np.array([dx, -dy]) + (-5, 5)
        _text(picture, name, (int(place[0]), int(place[1])), _INK, scale=0.45)


def _sky_axes(frame: Frame) -> list[NDArray[np.float64]] | None:
    """Unit vectors of north and east in pixels at the frame's centre; None without a solution."""
    assert frame.wcs is not None
    ny, nx = frame.shape
    x, y = (nx - 1) / 2, (ny - 1) / 2
    try:
        ra, dec = (float(v) for v in frame.wcs.all_pix2world(x, y, 0))
        step = 0.005
        shifted = [(ra, dec + step), (ra + step / max(np.cos(np.radians(dec)), 1e-6), dec)]
        ends = [np.array(frame.wcs.all_world2pix(*place, 0), dtype=float) for place in shifted]
    except Exception:  # a broken solution raises whatever its projection raises
        return None
    axes = [end - (x, y) for end in ends]
    if not all(np.isfinite(axis).all() and np.hypot(*axis) > 0 for axis in axes):
        return None
    return [axis / np.hypot(*axis) for axis in axes]


def _legend(frame: Frame, labels: list[str], width: int) -> Picture:
    """Two lines below a frame: what it is, and how many of each class."""
    strip = np.full((_LEGEND_PX, width, 3), _PAPER, np.uint8)
    time = "" if frame.time is None else f"   {frame.time.utc.isot[:19]} UTC mid-exposure"
    _text(strip, f"{frame.name}{time}", (8, 17), _INK, scale=0.42)
    x = 8
    counts = Counter(labels)
    for label in (*CLASSES, SKIP, ""):
        if counts[label] and x < width - 60:
            name = f"{label or 'streaks'} {counts[label]}"
            strip[30:39, x : x + 9] = class_rgb(label)
            _text(strip, name, (x + 14, 39), _INK, scale=0.42)
            x += 30 + _text_width(name, 0.42)
    if not labels:
        _text(strip, "no streaks", (x, 39), _INK, scale=0.42)
    return strip


def _labels(streaks: QTable) -> list[str]:
    if "label" not in streaks.colnames:
        return [""] * len(streaks)
    return [str(label) for label in streaks["label"]]


def _true_segments(truth: QTable) -> list[Segment]:
    segments = [_ends(row) for row in truth]
    return [s for s in segments if np.isfinite([s.x0, s.y0, s.x1, s.y1]).all()]


def _ends(row: Row) -> Segment:
    return Segment(*(float(_bare(row[name])) for name in ("x0", "y0", "x1", "y1")))


def _bare(value: Any) -> Any:
    return getattr(value, "value", value)


def _line(
    picture: Picture,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    rgb: tuple[int, int, int],
) -> None:
    cv2 = _cv2()
    (x0, y0), (x1, y1) = (tuple(round(float(v) * 2**_SHIFT) for v in p) for p in (start, end))
    cv2.line(picture, (x0, y0), (x1, y1), rgb, 2, cv2.LINE_AA, _SHIFT)


def _text(
    picture: Picture, text: str, at: tuple[int, int], rgb: tuple[int, int, int], *, scale: float
) -> None:
    """Text on a dark plate, its lower left corner at a place."""
    cv2 = _cv2()
    # OpenCV's fonts know ASCII only.
    plain = text.encode("ascii", "replace").decode()
    x, y = at
    height = round(24 * scale)
    plate = picture[
        max(0, y - height - 2) : y + 5, max(0, x - 3) : x + _text_width(plain, scale) + 3
    ]
    plate[:] = plate // 4 + np.array(_PAPER, np.uint8) // 4 * 3
    cv2.putText(picture, plain, at, cv2.FONT_HERSHEY_SIMPLEX, scale, rgb, 1, cv2.LINE_AA)


def _text_width(text: str, scale: float) -> int:
    cv2 = _cv2()
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])


def _encode(picture: NDArray[np.uint8], suffix: str, options: list[int]) -> bytes:
    cv2 = _cv2()
    bgr = picture[..., ::-1] if picture.ndim == 3 else picture
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(bgr), options)
    if not done:
        raise FrameError(f"a picture of shape {picture.shape} cannot be written as {suffix}")
    return encoded.tobytes()


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise StreaksError(
            f"drawing needs OpenCV, whose import failed ({error}); "
            "install it with: pip install opencv-python-headless"
        ) from error
    return cv2
