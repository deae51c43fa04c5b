"""Where a trail ends when its end is not on the image: at the edge, or behind a mask."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streaks.detection.refinement import line_snr
from streaks.detection.search import Filtered
from streaks.geometry import Segment, clip_segment

__all__ = ["on_the_edge", "out_of_masks"]

#: (gap to the edge of the image, share of the trail's length; fall in chi-square): an end no
#: farther from the edge lies on it as well where no more than this speaks against it. Three and a
#: half sigma near the edge, two and a half for long trails of which only a part stood out.
_TO_THE_EDGE = ((0.08, 12.0), (0.8, 6.0))
#: Shorter trails are not drawn out to a far edge.
_LONG_PX = 300.0


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
    """
    shape = (filtered.snr.shape[0], filtered.snr.shape[1])
    segment = _touching(segment, shape, 3.0 * sigma_px + 2.0)
    for share, fall in _TO_THE_EDGE:
        reach = share * segment.length_px
        if reach < 3.0 * sigma_px or (share > 0.1 and segment.length_px < _LONG_PX):
            continue
        for first, last in ((reach, 0.0), (0.0, reach)):
            grown = _grown(segment, first, last)
            seen = clip_segment(grown, shape)
            if seen is None or seen.length_px > grown.length_px - 1e-6:
                continue
            if _power(seen, filtered) > _power(segment, filtered) - fall:
                segment = seen
    return segment


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
    """
    ny, nx = usable.shape
    n = max(2, 2 * math.ceil(segment.length_px) + 1)
    t = np.linspace(0.0, 1.0, n)
    x, y = segment.x0 + t * (segment.x1 - segment.x0), segment.y0 + t * (segment.y1 - segment.y0)
    columns = np.clip(np.rint(x).astype(int), 0, nx - 1)
    rows = np.clip(np.rint(y).astype(int), 0, ny - 1)
    seen = np.flatnonzero(usable[rows, columns])
    if len(seen) == 0:
        return segment
    # Two samples a pixel.
    least = 4.0 * sigma_px
    first = seen[0] if seen[0] > least else 0
    last = seen[-1] if n - 1 - seen[-1] > least else n - 1
    return Segment(x[first], y[first], x[last], y[last])


def _touching(segment: Segment, shape: tuple[int, int], reach_px: float) -> Segment:
    """Ends so near to the edge that the PSF reaches it are put on it."""
    grown = _grown(segment, reach_px, reach_px).ordered()
    clipped = clip_segment(grown, shape)
    if clipped is None or segment.length_px < 2.0 * reach_px:
        return clip_segment(segment, shape) or segment
    first_cut = math.hypot(clipped.x0 - grown.x0, clipped.y0 - grown.y0) > 1e-6
    last_cut = math.hypot(clipped.x1 - grown.x1, clipped.y1 - grown.y1) > 1e-6
    ends = segment.ordered()
    return Segment(
        *((clipped.x0, clipped.y0) if first_cut else (ends.x0, ends.y0)),
        *((clipped.x1, clipped.y1) if last_cut else (ends.x1, ends.y1)),
    )


def _grown(segment: Segment, first_px: float, last_px: float) -> Segment:
    """A segment made longer at its first and at its last end."""
    length = max(segment.length_px, 1e-6)
    ux, uy = (segment.x1 - segment.x0) / length, (segment.y1 - segment.y0) / length
    return Segment(
        segment.x0 - first_px * ux, segment.y0 - first_px * uy,
        segment.x1 + last_px * ux, segment.y1 + last_px * uy,
    )  # fmt: skip


def _power(segment: Segment, filtered: Filtered) -> float:
    """Fall in chi-square that a trail here explains."""
    ends = (segment.x0, segment.y0, segment.x1, segment.y1)
    snr = line_snr(filtered.snr, filtered.cover, ends, noise_sigma_px=filtered.noise_sigma_px)
    return max(snr, 0.0) ** 2
