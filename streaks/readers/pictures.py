"""Cutouts stored as 8-bit pictures: grey values, polarity, and masks that are only seen."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import Limits, read_bytes
from streaks.errors import ReadError

__all__ = ["flat_areas", "is_dark_positive", "read_picture"]

#: A box of this size without noise is a mask, once so many pixels of it hang together.
_BROAD_PX, _MIN_FLAT_PX = 5, 64
#: JPEG leaves this spread in an area of one value.
_JPEG_LEVELS = 2
#: Where a background has hardly any grey levels, flat areas arise by chance; those have holes.
_MIN_SOLID = 0.8
#: Black and white are also where bright things saturate: only broad full boxes are masks.
_MIN_BOX_PX, _MIN_BOX_FILL = 8, 0.9
#: JPEG rings by a few grey levels, within one 8 px block of an edge.
_RING_PX, _RING_LEVELS = 2, 3
#: A decoded picture larger than this is no cutout; its size is known before it is decoded.
_MAX_SIDE_PX = 4096
#: The only decoders that are asked. Others (PostScript, by way of Ghostscript) run programs.
_FORMATS = ("PNG", "JPEG")
#: How a PNG and a JPEG begin.
_MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
#: Larger files hold something else than a cutout: notes, profiles, other pictures.
_LIMITS = Limits(max_bytes=1 << 26)


def read_picture(path: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Grey values and transparent pixels of a PNG or JPEG.

    Parameters
    ----------
    path
        Its content tells what it is, whatever its name says.

    Returns
    -------
    grey : (ny, nx) float32
        Colour is turned to grey (Rec. 601).
    transparent : (ny, nx) bool

    Raises
    ------
    ReadError
        If the file is missing, damaged, no PNG or JPEG, or larger than any cutout.
    """
    from PIL import Image, UnidentifiedImageError

    content = read_bytes(path, _LIMITS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked here
            with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                if max(picture.size) > _MAX_SIDE_PX:
                    raise ReadError(
                        f"{path} is {picture.size[0]} x {picture.size[1]} px: no cutout, which has "
                        f"at most {_MAX_SIDE_PX} px a side"
                    )
                return _grey(picture), _transparent(picture)
    except ReadError:
        raise
    except Image.DecompressionBombError:
        raise ReadError(
            f"{path} has more pixels than Pillow takes: no cutout, which has at most "
            f"{_MAX_SIDE_PX} px a side"
        ) from None
    except UnidentifiedImageError:
        if content.startswith(_MAGICS):
            raise ReadError(
                f"{path} cannot be read as a picture: it begins as one and is damaged; fetch it "
                "again"
            ) from None
        raise ReadError(
            f"{path} cannot be read as a picture: it is neither PNG nor JPEG, whatever its name "
            f"says (it begins with {content[:8]!r})"
        ) from None
    except Exception as error:
        # Damaged pictures make the decoders raise many kinds, and Pillow one for huge sizes.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ReadError(f"{path} cannot be read as a picture: {reason}") from None


def _grey(picture: Any) -> NDArray[np.float32]:
    if picture.mode[0] in "IF":  # 16 or 32 bits a pixel: nothing to convert
        return np.asarray(picture, dtype=np.float32)
    return np.asarray(picture.convert("L"), dtype=np.float32)


def _transparent(picture: Any) -> NDArray[np.bool_]:
    if "A" in picture.getbands() or "transparency" in picture.info:
        return np.asarray(np.asarray(picture.convert("RGBA"))[..., 3] == 0)
    return np.zeros(picture.size[::-1], bool)


def is_dark_positive(pictures: Sequence[NDArray[Any]]) -> tuple[bool, float]:
    """Whether dark means positive in a set of pictures, by the skewness of their pixels.

    Stars and trails, which a difference image has more of than holes, make a long tail on the
    positive side.

    Parameters
    ----------
    pictures
        Grey values of each, without masked pixels.

    Returns
    -------
    dark, skewness
        The median skewness of robustly scaled pixels over the set; negative = dark.
    """
    values = [_skewness(picture) for picture in pictures]
    finite = [value for value in values if np.isfinite(value)]
    median = float(np.median(finite)) if finite else 0.0
    return median < 0, median


def _skewness(picture: NDArray[Any]) -> float:
    if picture.size == 0:
        return float("nan")
    centred = picture.ravel() - np.median(picture)
    sigma = 1.4826 * float(np.median(np.abs(centred)))
    if not sigma > 0:
        return float("nan")
    # Clipped, or one saturated star outweighs everything else in its picture.
    z = np.clip(centred / sigma, -10, 10)
    return float(np.mean(z * z * z))


def flat_areas(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Areas without noise: what a pipeline masked before the picture was drawn.

    Parameters
    ----------
    grey : (ny, nx)
        8-bit values; a picture of more bits has no such areas, and nothing is masked.

    Returns
    -------
    (ny, nx) bool
    """
    import cv2

    mask = np.zeros(grey.shape, np.uint8)
    if not grey.size or grey.max() > 255 or grey.min() < 0:
        return mask.astype(bool)
    levels = grey.astype(np.uint8)
    sigma = _noise_levels(levels)
    if sigma < _JPEG_LEVELS:
        # Noise is lost in the grey levels: what is flat may well be sky.
        return mask.astype(bool)
    tolerance = _JPEG_LEVELS if sigma >= 2 * _JPEG_LEVELS else 0
    box = np.ones((_BROAD_PX, _BROAD_PX), np.uint8)
    spread = cv2.dilate(levels, box) - cv2.erode(levels, box)
    flat = (spread <= tolerance).astype(np.uint8)
    n, labels = cv2.connectedComponents(flat, connectivity=4)
    for i in range(1, n):
        core = (labels == i).astype(np.uint8)
        level = int(np.median(levels[core == 1]))
        area = _with_ringing(np.asarray(cv2.dilate(core, box), np.uint8), levels, level)
        if int(area.sum()) >= _MIN_FLAT_PX and _is_solid(area, level in (0, 255)):
            mask |= area
    return mask.astype(bool)


def _noise_levels(levels: NDArray[np.uint8]) -> float:
    """Robust sigma in grey levels, without the commonest one: that may be the mask's."""
    rest = levels[levels != np.bincount(levels.ravel()).argmax()].astype(float)
    if rest.size == 0:
        return 0.0
    return 1.4826 * float(np.median(np.abs(rest - np.median(rest))))


def _is_solid(area: NDArray[np.uint8], saturated: bool) -> bool:
    import cv2

    _, _, width, height = cv2.boundingRect(area)
    n = int(area.sum())
    if saturated:
        return bool(min(width, height) >= _MIN_BOX_PX and n >= _MIN_BOX_FILL * width * height)
    outlines, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(area), outlines, -1, 1, cv2.FILLED)
    return bool(n >= _MIN_SOLID * int(filled.sum()))


def _with_ringing(
    area: NDArray[np.uint8], levels: NDArray[np.uint8], level: int
) -> NDArray[np.uint8]:
    """The area without what differs from it by more than JPEG's ringing, grown within that."""
    import cv2

    near = (np.abs(levels.astype(int) - level) <= _RING_LEVELS).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    area = area & near
    for _ in range(_RING_PX):
        area = cv2.dilate(area, cross) & near
    return area
