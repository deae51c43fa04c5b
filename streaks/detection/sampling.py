"""Values of the filtered image along lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["sample_line"]


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
