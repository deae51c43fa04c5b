"""From counts to grey levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streaks.frame import Image
from streaks.plotting.drawing import Picture, cv2_module

__all__ = ["stretch", "tinted"]

#: Blue-grey that no stretch produces: data are always neutral grey.
_MASK_RGB = (52, 66, 104)
#: Steps of the table of grey levels: finer than a level wherever the stretch is steepest.
_STEPS = 4096
#: Robust sigmas below which the stretch is linear.
_SOFT = 2.0
#: Pixels up to which numpy's several passes are no matter.
_SMALL = 1 << 17


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
    return _grey_levels((data - centre) / sigma, good, low, top)


def _grey_levels(
    data: Image, good: NDArray[np.bool_], low: float, high: float
) -> NDArray[np.uint8]:
    """Levels 0 to 255 between two values by the inverse hyperbolic sine; 0 where not good."""
    steps = np.arcsinh(np.linspace(low, high, _STEPS) / _SOFT)
    table = np.rint(255.0 * (steps - steps[0]) / (steps[-1] - steps[0])).astype(np.uint8)
    flat = np.ascontiguousarray(data, dtype=np.float32)
    bottom, scale = np.float32(low), np.float32((_STEPS - 1) / (high - low))
    if data.size > _SMALL:
        from streaks.plotting.kernels import look_up

        return np.asarray(look_up(flat, good, bottom, scale, table))
    # A report draws small pictures only: it need not wait a second for a compiler to load.
    place = np.where(good, flat, bottom).clip(bottom, np.float32(high)) - bottom
    steps_up = (place * scale + np.float32(0.5)).astype(np.intp)
    return np.asarray(table[np.minimum(steps_up, _STEPS - 1)] * good)


def _middle(ordered: NDArray[np.float32]) -> float:
    """The median; numpy's sorts are several times faster than its medians."""
    n = ordered.size
    return (float(ordered[(n - 1) // 2]) + float(ordered[n // 2])) / 2


def tinted(grey: NDArray[np.uint8], masked: NDArray[np.bool_]) -> Picture:
    """A grey picture in colour, with masked pixels tinted.

    Parameters
    ----------
    grey : (ny, nx)
        Grey levels.
    masked : (ny, nx) bool
        Pixels to tint.

    Returns
    -------
    (ny, nx, 3) uint8
    """
    cv2 = cv2_module()
    picture: Picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    picture[masked] = _MASK_RGB
    return picture
