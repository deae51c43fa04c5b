"""A companion image brought onto the pixels of the frame it lies beside.

ZTF's reference images share the size of the difference image, but not its pixels: the telescope
points a little differently each time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.errors import FrameError
from streaks.frame import Image
from streaks.sky import to_icrs, to_pixels

__all__ = ["aligned"]

#: Half a pixel cannot be seen in a cutout; below it the image is taken as it lies.
_SAME_PX = 0.5
#: The mapping is computed on a grid of this step and interpolated: distortions change over
#: hundreds of pixels, and 9 million calls of a TPV polynomial take seconds.
_STEP_PX = 64


def aligned(
    data: NDArray[Any], wcs: WCS | None, shape: tuple[int, int], frame_wcs: WCS | None, what: str
) -> Image:
    """An image on the pixels of a frame; NaN where it has none.

    Parameters
    ----------
    data : (ny, nx)
        The companion; given back as it is (perhaps mapped from a file) when it already fits.
    wcs, frame_wcs
        Coordinates of both; without either, equal shapes are taken as equal pixels.
    shape
        Of the frame.
    what
        Name of the companion, for the error.

    Returns
    -------
    (ny, nx) of the frame
        `data` itself where it fits, else interpolated.

    Raises
    ------
    FrameError
        If the shapes differ and the coordinates to bring one onto the other are missing.
    """
    if wcs is None or frame_wcs is None:
        if data.shape != shape:
            raise FrameError(
                f"{what} is {data.shape}, the image {shape}, and there is no WCS in both to "
                "bring one onto the other; give the files that belong together"
            )
        return data
    if data.shape == shape and _same(wcs, frame_wcs):
        return data
    x, y = _mapping(wcs, frame_wcs, shape)
    if data.shape == shape and _is_identity(x, y, shape):
        return data
    return _warped(data, x, y, shape)


def _same(wcs: WCS, other: WCS) -> bool:
    """Whether two solutions are made of the same numbers."""
    sips = [
        [getattr(one.sip, name, None) for name in ("a", "b", "ap", "bp", "crpix")]
        for one in (wcs, other)
    ]
    tables = any(one.cpdis1 is not None or one.det2im1 is not None for one in (wcs, other))
    return bool(wcs.wcs == other.wcs) and not tables and all(map(np.array_equal, *sips))


def _nodes(n: int) -> NDArray[np.float64]:
    """Grid positions along an axis of n pixels, the first and last pixel included."""
    return np.linspace(0, n - 1, max(2, 1 + (n - 1) // _STEP_PX))


def _mapping(
    wcs: WCS, frame_wcs: WCS, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels of the companion under grid nodes of the frame."""
    x, y = np.meshgrid(_nodes(shape[1]), _nodes(shape[0]))
    return to_pixels(wcs, *to_icrs(frame_wcs, x, y))


def _is_identity(x: NDArray[Any], y: NDArray[Any], shape: tuple[int, int]) -> bool:
    here_x, here_y = np.meshgrid(_nodes(shape[1]), _nodes(shape[0]))
    return bool(np.nanmax(np.hypot(x - here_x, y - here_y), initial=0.0) < _SAME_PX)


def _warped(data: NDArray[Any], x: NDArray[Any], y: NDArray[Any], shape: tuple[int, int]) -> Image:
    import cv2

    # Between the nodes by matrices: OpenCV before 5 rounds places to 1/32 of what it samples,
    # which is pixels in an image, but nodes here.
    along, up = (_linear_weights(k, n) for k, n in zip(x.shape[::-1], shape[::-1], strict=True))
    # Outside the companion is -2, never NaN: what cv2 does with NaN coordinates is undefined.
    map_x, map_y = (up @ np.nan_to_num(m, nan=-2.0).astype(np.float32) @ along.T for m in (x, y))
    return np.asarray(
        cv2.remap(
            np.ascontiguousarray(data, dtype=np.float32),
            map_x,
            map_y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=float("nan"),
        )
    )


def _linear_weights(n_nodes: int, n_pixels: int) -> NDArray[np.float32]:
    """Shares of the nodes in each pixel of an axis, (n_pixels, n_nodes)."""
    place = np.linspace(0, n_nodes - 1, n_pixels)
    weights = np.maximum(1.0 - np.abs(place[:, None] - np.arange(n_nodes)[None, :]), 0.0)
    return weights.astype(np.float32)
