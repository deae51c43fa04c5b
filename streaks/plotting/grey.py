"""From counts to grey levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streaks.frame import Image
from streaks.plotting.drawing import Picture

__all__ = ["stretch", "tinted"]

#: Blue-grey that no stretch produces: data are always neutral grey.
_MASK_RGB = (52, 66, 104)


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
    from streaks.plotting.kernels import grey_levels

    good = np.isfinite(data) if mask is None else np.isfinite(data) & ~mask
    values = data[good]
    if values.size == 0:
        return np.zeros(data.shape, np.uint8)
    # A sample is enough for median and spread, and large frames are many.
    sample = np.sort(values[:: max(1, values.size // 60_000)].astype(np.float32))
    centre = _middle(sample)
    sigma = 1.4826 * _middle(np.sort(np.abs(sample - np.float32(centre))))
    if not sigma > 0:
        sigma = float(sample.std(dtype=float)) or 1.0
    brightest = float(sample[round(0.9999 * (sample.size - 1))])
    top = float(np.clip((brightest - centre) / sigma, 8.0, high))
    return grey_levels((data - centre) / sigma, good, low, top, 2.0)


def _middle(ordered: NDArray[np.float32]) -> float:
    """The median; numpy's sorts are several times faster than its medians."""
    n = ordered.size
    return (float(ordered[(n - 1) // 2]) + float(ordered[n // 2])) / 2


def tinted(grey: NDArray[np.uint8], masked: NDArray[np.bool_]) -> Picture:
    picture = np.repeat(grey[..., None], 3, axis=2)
    picture[masked] = _MASK_RGB
    return picture
