"""Lines, text and picture files: the few primitives that all pictures share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import FrameError, StreaksError

__all__ = [
    "INK",
    "PAPER",
    "Picture",
    "cv2_module",
    "decode_picture",
    "directions",
    "draw_diamond",
    "draw_line",
    "draw_text",
    "encode_jpeg",
    "encode_png",
    "shrink_picture",
    "text_width",
]

#: ``(h, w, 3)`` uint8, RGB.
Picture = NDArray[np.uint8]

#: Text on dark plates.
INK, PAPER = (232, 232, 236), (24, 25, 30)
_WHITE = (255, 255, 255)
_SHIFT = 4  # OpenCV draws to 1/16 px


def encode_png(picture: Picture | NDArray[np.uint8], *, compression: int = 1) -> bytes:
    """PNG bytes of an RGB or grey picture.

    Parameters
    ----------
    picture
        RGB, or (h, w).
    compression
        1 is fast and right for noise; 6 makes enlarged cutouts six times smaller.

    Returns
    -------
    bytes
    """
    cv2 = cv2_module()
    return _encode(picture, ".png", [cv2.IMWRITE_PNG_COMPRESSION, compression])


def encode_jpeg(picture: Picture | NDArray[np.uint8], *, quality: int = 85) -> bytes:
    """JPEG bytes, a fifth of a PNG's for noisy images: for pages that hold hundreds.

    Parameters
    ----------
    picture
        RGB, or (h, w).
    quality
        1 to 100.

    Returns
    -------
    bytes
    """
    cv2 = cv2_module()
    # Colour at full resolution: thin coloured lines are all that there is of it.
    full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encode(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, *full])


def decode_picture(encoded: bytes) -> Picture:
    """An RGB picture from PNG or JPEG bytes.

    Parameters
    ----------
    encoded
        Of a picture that we wrote.

    Returns
    -------
    (h, w, 3) uint8

    Raises
    ------
    FrameError
        When the bytes are no picture.
    """
    cv2 = cv2_module()
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    if bgr is None:
        raise FrameError(f"{len(encoded)} bytes are no PNG or JPEG picture; make it again")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def shrink_picture(picture: Picture, max_px: int) -> Picture:
    """The picture, its longest side at most `max_px`.

    Parameters
    ----------
    picture
        RGB.
    max_px
        Longest side of what comes out.

    Returns
    -------
    (h, w, 3) uint8
    """
    cv2 = cv2_module()
    height, width = picture.shape[:2]
    scale = max_px / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def directions(
    start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along and across; to the right for a point.

    Parameters
    ----------
    start, end : (2,)
        Places (x, y), px.

    Returns
    -------
    along, across : (2,)
    """
    step = end - start
    length = float(np.hypot(*step))
    along = step / length if length > 0 else np.array([1.0, 0.0])
    return along, np.array([-along[1], along[0]])


def draw_line(
    picture: Picture,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    rgb: tuple[int, int, int],
) -> None:
    """A thin line between two places.

    Parameters
    ----------
    picture
        RGB; drawn into.
    start, end : (2,)
        Places (x, y), px.
    rgb
        Colour.
    """
    cv2 = cv2_module()
    (x0, y0), (x1, y1) = (tuple(round(float(v) * 2**_SHIFT) for v in p) for p in (start, end))
    cv2.line(picture, (x0, y0), (x1, y1), rgb, 2, cv2.LINE_AA, _SHIFT)


def draw_diamond(picture: Picture, centre: NDArray[np.float64], radius: float) -> None:
    """A white diamond about a place.

    Parameters
    ----------
    picture
        RGB; drawn into.
    centre : (2,)
        Place (x, y), px.
    radius
        Half of its diagonal, px.
    """
    cv2 = cv2_module()
    corners = centre + radius * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    fixed = np.round(corners * 2**_SHIFT).astype(np.int32)
    for colour, width in (((0, 0, 0), 3), (_WHITE, 1)):
        cv2.polylines(picture, [fixed], True, colour, width, cv2.LINE_AA, _SHIFT)


def draw_text(
    picture: Picture, text: str, at: tuple[int, int], rgb: tuple[int, int, int], *, scale: float
) -> None:
    """Text on a dark plate, its lower left corner at a place.

    Parameters
    ----------
    picture
        RGB; drawn into.
    text
        One line.
    at
        Lower left corner (x, y), px.
    rgb
        Colour.
    scale
        Of the font; 1 is 22 px high.
    """
    cv2 = cv2_module()
    # OpenCV's fonts know ASCII only.
    plain = text.encode("ascii", "replace").decode()
    x, y = at
    height = round(24 * scale)
    plate = picture[
        max(0, y - height - 2) : y + 5, max(0, x - 3) : x + text_width(plain, scale) + 3
    ]
    plate[:] = plate // 4 + np.array(PAPER, np.uint8) // 4 * 3
    cv2.putText(picture, plain, at, cv2.FONT_HERSHEY_SIMPLEX, scale, rgb, 1, cv2.LINE_AA)


def text_width(text: str, scale: float) -> int:
    """How wide a text is drawn.

    Parameters
    ----------
    text
        One line.
    scale
        Of the font.

    Returns
    -------
    int
        Screen px.
    """
    cv2 = cv2_module()
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])


def _encode(picture: NDArray[np.uint8], suffix: str, options: list[int]) -> bytes:
    cv2 = cv2_module()
    whole = np.ascontiguousarray(picture)
    bgr = cv2.cvtColor(whole, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else whole
    done, encoded = cv2.imencode(suffix, bgr, options)
    if not done:
        raise FrameError(f"a picture of shape {picture.shape} cannot be written as {suffix}")
    return bytes(encoded)


def cv2_module() -> Any:
    """OpenCV, or an error that says which package to install.

    Returns
    -------
    module

    Raises
    ------
    StreaksError
        When it cannot be imported (its twin with windows needs libGL).
    """
    try:
        import cv2
    except ImportError as error:
        raise StreaksError(
            f"drawing needs OpenCV, whose import failed ({error}); "
            "install it with: pip install opencv-python-headless"
        ) from error
    return cv2
