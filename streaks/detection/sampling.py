"""Values of the filtered image along lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.geometry import Segment

__all__ = ["peak_and_shoulder", "sample_line", "sample_track"]


def sample_line(
    snr: NDArray[np.float32], cover: NDArray[np.float32], ends: Any, n: int
) -> NDArray[np.float64]:
    """Bilinear samples at n even steps from end to end, ends included.

    Parameters
    ----------
    snr, cover : (ny, nx) float32
        Of `streaks.detection.search.Filtered`.
    ends
        ``x0, y0, x1, y1``.

    Returns
    -------
    (n,)
        NaN outside the image and where most of the PSF is hidden.
    """
    x0, y0, x1, y1 = (float(v) for v in ends)
    return _sample(snr, cover, x0, y0, x1, y1, n)


def sample_track(
    snr: NDArray[np.float32],
    cover: NDArray[np.float32],
    segment: Segment,
    width_px: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Samples along a segment and on both sides of it, one a pixel, ends included.

    Parameters
    ----------
    snr, cover : (ny, nx) float32
        Of `streaks.detection.search.Filtered`.
    segment
        The track.
    width_px
        Of its light: samples lie 3.2 and 5 of it aside.

    Returns
    -------
    along : (n,)
        NaN as in `sample_line`.
    beside : (n, 2)
        At the smaller distance.
    hidden : (n, 2)
        Where one of the two samples of a side is NaN.
    """
    along, beside, hidden = _track(
        snr, cover, segment.x0, segment.y0, segment.x1, segment.y1, width_px
    )
    return along, beside, hidden


def peak_and_shoulder(
    snr: NDArray[np.float32], cover: NDArray[np.float32], segment: Segment, distance_px: float
) -> tuple[float, float]:
    """Largest value along a segment, and the mean of those at a distance from it on both sides.

    NaN where hidden or outside.
    """
    peak, shoulder = _peak_and_shoulder(
        snr, cover, segment.x0, segment.y0, segment.x1, segment.y1, distance_px
    )
    return float(peak), float(shoulder)


@njit(cache=True, nogil=True)
def _sample(snr, cover, x0, y0, x1, y1, n):  # type: ignore[no-untyped-def]
    ny, nx = snr.shape
    out = np.empty(n)
    for i in range(n):
        t = i / (n - 1)
        x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        ix, iy = int(np.floor(x)), int(np.floor(y))
        if ix < -1 or iy < -1 or ix > nx - 1 or iy > ny - 1:
            out[i] = np.nan
            continue
        fx, fy = x - ix, y - iy
        # Half a pixel outside the outermost centres is still the image.
        left, right = max(ix, 0), min(ix + 1, nx - 1)
        low, high = max(iy, 0), min(iy + 1, ny - 1)
        if cover[iy + 1 if fy > 0.5 and iy + 1 < ny else low, right if fx > 0.5 else left] <= 0.5:
            out[i] = np.nan
            continue
        out[i] = (snr[low, left] * (1 - fx) + snr[low, right] * fx) * (1 - fy) + (
            snr[high, left] * (1 - fx) + snr[high, right] * fx
        ) * fy
    return out


@njit(cache=True, nogil=True)
def _track(snr, cover, x0, y0, x1, y1, width):  # type: ignore[no-untyped-def]
    length = max(np.hypot(x1 - x0, y1 - y0), 1e-6)
    n = max(3, int(np.rint(length)) + 1)
    nx, ny = (y0 - y1) / length * width, (x1 - x0) / length * width
    along = _sample(snr, cover, x0, y0, x1, y1, n)
    beside, hidden = np.empty((n, 2)), np.empty((n, 2), np.bool_)
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        u, v = sign * 3.2 * nx, sign * 3.2 * ny
        near = _sample(snr, cover, x0 + u, y0 + v, x1 + u, y1 + v, n)
        u, v = sign * 5.0 * nx, sign * 5.0 * ny
        far = _sample(snr, cover, x0 + u, y0 + v, x1 + u, y1 + v, n)
        for i in range(n):
            beside[i, side] = near[i]
            hidden[i, side] = np.isnan(near[i]) or np.isnan(far[i])
    return along, beside, hidden


@njit(cache=True, nogil=True)
def _peak_and_shoulder(snr, cover, x0, y0, x1, y1, distance):  # type: ignore[no-untyped-def]
    length = max(np.hypot(x1 - x0, y1 - y0), 1e-6)
    n = max(3, int(4.0 * length) + 1)
    values = _sample(snr, cover, x0, y0, x1, y1, n)
    peak, t = -np.inf, 0.5
    for i in range(n):
        if values[i] > peak:
            peak, t = values[i], i / (n - 1)
    x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
    dx, dy = (x1 - x0) / length * distance, (y1 - y0) / length * distance
    ends = _sample(snr, cover, x - dx, y - dy, x + dx, y + dy, 2)
    return peak, 0.5 * (ends[0] + ends[1])
