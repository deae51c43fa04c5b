"""Where a trail ends when its end is not on the image: at the edge, or behind a mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from streaks.detection.profiles import sample
from streaks.detection.refinement import line_snr
from streaks.detection.search import Filtered
from streaks.geometry import Segment, clip_segment

__all__ = ["on_the_edge", "out_of_masks"]

#: An end no farther from the edge than this share of the trail's length lies on it as well where
#: chi-square does not rise by more than this (three and a half sigma).
_NEAR, _RISE_NEAR = 0.08, 12.0
#: A far one does by this (three sigma), where the trail is long: few such end within an image, and
#: of a faint one often only a part stands out.
_LONG_PX, _RISE_FAR = 300.0, 9.0
#: Steps across in which the direction of a trail drawn out is mended, px at its ends.
_ASIDE_PX = (2.0, 1.0, 0.5)
#: Px by which an end moved aside is drawn out, so that it meets the edge of the image again.
_TO_THE_EDGE_PX = 8.0
#: The PSF of an end reaches so many widths and px.
_REACH_WIDTHS, _REACH_PX = 3.0, 2.0
#: Samples a pixel along which masks are looked for.
_SAMPLES_PER_PX = 2
#: A mask must be so many samples for each px of the PSF's width, to hide an end: two widths.
_MASK_SAMPLES_PER_SIGMA = 4.0
#: Of a trail's filtered light, whose noise is 1, so much above the median may be its own.
_ABOVE_MEDIAN = 4.0
_TINY = 1e-6

#: What a trail explains, from its ends.
Power = Callable[[Segment], float]


def on_the_edge(segment: Segment, filtered: Filtered, sigma_px: float) -> Segment:
    """Ends that reach the edge of the image, or may as well do so, are put on it.

    What lies outside is not known. A long faint trail seldom ends just before the edge; where it
    crosses, noise often makes it end early.

    Parameters
    ----------
    segment
        As fitted.
    filtered
        The image.
    sigma_px
        Width of the PSF.

    Returns
    -------
    Segment
        The end of smaller x first.
    """
    shape = (filtered.snr.shape[0], filtered.snr.shape[1])
    touches, near = _REACH_WIDTHS * sigma_px + _REACH_PX, _NEAR * segment.length_px
    if segment.length_px <= _LONG_PX and _well_inside(segment, shape, max(touches, near)):
        return segment.ordered()
    segment = _touching(segment, shape, touches)
    power = partial(_power, filtered=filtered, clip=_usual_light(segment, filtered))
    near = _NEAR * segment.length_px
    if near > _REACH_WIDTHS * sigma_px:
        for first, last in ((near, 0.0), (0.0, near)):
            seen = clip_segment(_grown(segment, first, last), shape)
            if seen is None or seen.length_px > segment.length_px + near - _TINY:
                continue
            if power(seen) > power(segment) - _RISE_NEAR:
                segment = seen
    if segment.length_px > _LONG_PX:
        segment = _drawn_out(segment, shape, power)
    return segment


def _well_inside(segment: Segment, shape: tuple[int, int], margin_px: float) -> bool:
    low_x, high_x = min(segment.x0, segment.x1), max(segment.x0, segment.x1)
    low_y, high_y = min(segment.y0, segment.y1), max(segment.y0, segment.y1)
    ny, nx = shape
    return (
        low_x > margin_px
        and low_y > margin_px
        and high_x < nx - 1 - margin_px
        and high_y < ny - 1 - margin_px
    )


def _drawn_out(segment: Segment, shape: tuple[int, int], power: Power) -> Segment:
    """The trail as fitted, or drawn out to the edge at one end or both, whichever explains more."""
    far = float(sum(shape))
    best, most = segment, power(segment)
    for first, last in ((far, far), (far, 0.0), (0.0, far)):
        ends = int(first > 0) + int(last > 0)
        seen = clip_segment(_grown(segment, first, last), shape)
        if seen is None or seen.length_px < segment.length_px + 1.0:
            continue
        seen = _turned(seen, shape, power, free=(first > 0, last > 0))
        explained = power(seen) + ends * _RISE_FAR
        if explained > most:
            best, most = seen, explained
    return best


def _turned(
    segment: Segment, shape: tuple[int, int], power: Power, *, free: tuple[bool, bool]
) -> Segment:
    """A trail whose free ends have moved across it, along the edge, to where its light is."""
    most = power(segment)
    for step in _ASIDE_PX:
        moved = True
        while moved:
            moved = False
            for end, sign in ((0, -1), (0, 1), (1, -1), (1, 1)):
                if not free[end]:
                    continue
                trial = _aside(segment, end, sign * step, shape)
                value = power(trial)
                if value > most + _TINY:
                    segment, most, moved = trial, value, True
    return segment


def _aside(segment: Segment, end: int, step_px: float, shape: tuple[int, int]) -> Segment:
    """One end a step across the track, and back on the edge of the image."""
    length = max(segment.length_px, _TINY)
    nx, ny = (segment.y1 - segment.y0) / length, (segment.x0 - segment.x1) / length
    x0, y0, x1, y1 = segment.x0, segment.y0, segment.x1, segment.y1
    if end == 0:
        x0, y0 = x0 + step_px * nx, y0 + step_px * ny
    else:
        x1, y1 = x1 + step_px * nx, y1 + step_px * ny
    first, last = (_TO_THE_EDGE_PX, 0.0) if end == 0 else (0.0, _TO_THE_EDGE_PX)
    grown = _grown(Segment(x0, y0, x1, y1), first, last)
    return clip_segment(grown, shape) or segment


def out_of_masks(segment: Segment, usable: NDArray[np.bool_], sigma_px: float) -> Segment:
    """Ends that lie behind a mask are put where it begins: how far the trail goes is not known.

    Not where the mask is narrower than the PSF: light on both sides tells of the end.

    Parameters
    ----------
    segment
        As fitted.
    usable : (ny, nx) bool
    sigma_px
        Width of the PSF.

    Returns
    -------
    Segment
        The same where no end is hidden, or all of it is.
    """
    n = max(2, _SAMPLES_PER_PX * math.ceil(segment.length_px) + 1)
    first, last = _seen(usable, segment, n)
    if last < 0 or (first == 0 and last == n - 1):
        return segment
    least = _MASK_SAMPLES_PER_SIGMA * sigma_px
    t0 = first / (n - 1) if first > least else 0.0
    t1 = last / (n - 1) if n - 1 - last > least else 1.0
    dx, dy = segment.x1 - segment.x0, segment.y1 - segment.y0
    return Segment(
        segment.x0 + t0 * dx, segment.y0 + t0 * dy, segment.x0 + t1 * dx, segment.y0 + t1 * dy
    )


def _seen(usable: NDArray[np.bool_], segment: Segment, n: int) -> tuple[int, int]:
    """First and last of n samples along a line that are usable; the last is -1 if none is."""
    ny, nx = usable.shape
    ends = ((segment.x0, segment.y0), (segment.x1, segment.y1))
    inside = all(0.0 <= x <= nx - 1 and 0.0 <= y <= ny - 1 for x, y in ends)
    if inside and all(usable[round(y), round(x)] for x, y in ends):
        return 0, n - 1
    t = np.arange(n) / (n - 1)
    x = np.rint(segment.x0 + t * (segment.x1 - segment.x0)).astype(np.intp)
    y = np.rint(segment.y0 + t * (segment.y1 - segment.y0)).astype(np.intp)
    on = usable[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)]
    if not on.any():
        return 0, -1
    return int(on.argmax()), n - 1 - int(on[::-1].argmax())


def _touching(segment: Segment, shape: tuple[int, int], reach_px: float) -> Segment:
    """Ends so near to the edge that the PSF reaches it are put on it."""
    grown = _grown(segment, reach_px, reach_px).ordered()
    clipped = clip_segment(grown, shape)
    if clipped is None or segment.length_px < 2.0 * reach_px:
        return clip_segment(segment, shape) or segment
    first_cut = math.hypot(clipped.x0 - grown.x0, clipped.y0 - grown.y0) > _TINY
    last_cut = math.hypot(clipped.x1 - grown.x1, clipped.y1 - grown.y1) > _TINY
    ends = segment.ordered()
    return Segment(
        *((clipped.x0, clipped.y0) if first_cut else (ends.x0, ends.y0)),
        *((clipped.x1, clipped.y1) if last_cut else (ends.x1, ends.y1)),
    )


def _grown(segment: Segment, first_px: float, last_px: float) -> Segment:
    """A segment made longer at its first and at its last end."""
    length = max(segment.length_px, _TINY)
    ux, uy = (segment.x1 - segment.x0) / length, (segment.y1 - segment.y0) / length
    return Segment(
        segment.x0 - first_px * ux, segment.y0 - first_px * uy,
        segment.x1 + last_px * ux, segment.y1 + last_px * uy,
    )  # fmt: skip


def _usual_light(segment: Segment, filtered: Filtered) -> float:
    """Up to which light on a line may be the trail's own: a star on it is not."""
    n = max(2, math.ceil(segment.length_px) + 1)
    ends = segment.x0, segment.y0, segment.x1, segment.y1
    values = sample(filtered.snr, filtered.cover, *ends, n)
    values = values[np.isfinite(values)]
    return float(np.median(values)) + _ABOVE_MEDIAN if len(values) else math.inf


def _power(segment: Segment, filtered: Filtered, clip: float) -> float:
    """Fall in chi-square that a trail here explains."""
    ends = (segment.x0, segment.y0, segment.x1, segment.y1)
    snr = line_snr(
        filtered.snr, filtered.cover, ends, noise_sigma_px=filtered.noise_sigma_px, clip=clip
    )
    return max(snr, 0.0) ** 2
