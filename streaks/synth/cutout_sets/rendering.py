"""The ways a cutout reaches a classifier: raw counts, 8-bit pictures, small stamps, chip edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RENDERINGS",
    "Rendering",
    "apply_rendering",
    "crop_to_rendering",
    "draw_picture_rendering",
    "draw_rendering",
    "encode_picture",
    "shift_of_rendering",
    "to_levels",
]

#: How a set's cutouts are rendered: spread over formats as users' are, or all as ZTF's pictures.
RENDERINGS = ("mixed", "picture")
#: ZTF's streak pictures clip a fifth of the range below the median and four above, in units of
#: about the deviation of what a clipping at 3 sigma keeps: 2.5 and 10 of it would leave blank sky
#: with 20.4 grey levels of noise, its stored cutouts have 20.0 to 20.2 (docs/synth.md).
_PICTURE_SIGMAS = (2.5, 10.0)
_PICTURE_WIDER = (1.005, 1.03)

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """How one cutout is stored and shown.

    Parameters
    ----------
    window_px
        Side of the central area that holds anything; the rest is masked (63 for alert stamps).
    edge
        Pixels lost beyond a chip's edge at left, right, bottom, top.
    recentred
        Stored pictures are cropped at a chip's edge and later padded about their own middle, so
        that the streak is no longer central.
    eight_bit
        Stretched to 8 bits and back.
    measured
        Whether the stretch is about the picture's own median, in units of its own clipped
        deviation, clutter included; otherwise about 0 in units of the noise.
    low_sigma, high_sigma
        Where the stretch clips, in those units.
    jpeg_quality
        0 for none.
    mask_known
        Whether masked areas are named in the mask; otherwise they are only flat.
    flat_level_sigma
        Value of masked areas that are not named.
    """

    window_px: int
    edge: tuple[int, int, int, int] = (0, 0, 0, 0)
    recentred: bool = False
    eight_bit: bool = False
    measured: bool = False
    low_sigma: float = 2.5
    high_sigma: float = 10.0
    jpeg_quality: int = 0
    mask_known: bool = True
    flat_level_sigma: float = 0.0


def draw_rendering(
    rng: np.random.Generator, size_px: int, *, edge_probability: float = 0.15
) -> Rendering:
    """A rendering as users' cutouts spread over them.

    Parameters
    ----------
    rng
        Source of randomness.
    size_px
        Side of the cutout.
    edge_probability
        How often the chip's edge lies in the cutout.

    Returns
    -------
    Rendering
    """
    window = size_px
    if rng.random() < 0.2:
        window = 63 if rng.random() < 0.6 else int(rng.integers(31, 111))
    edge = [0, 0, 0, 0]
    if rng.random() < edge_probability:
        edge[rng.integers(4)] = int(rng.integers(4, max(5, int(0.42 * size_px))))
        if rng.random() < 0.1:
            edge[rng.integers(4)] = int(rng.integers(4, max(5, int(0.3 * size_px))))
    eight_bit = rng.random() < 0.5
    measured, low, high = _draw_stretch(rng)
    return Rendering(
        window_px=min(window, size_px),
        edge=(edge[0], edge[1], edge[2], edge[3]),
        recentred=bool(eight_bit and rng.random() < 0.7),
        eight_bit=bool(eight_bit),
        measured=measured,
        low_sigma=low,
        high_sigma=high,
        jpeg_quality=_draw_quality(rng),
        mask_known=bool(rng.random() < (0.7 if eight_bit else 0.9)),
        flat_level_sigma=_draw_flat_level(rng),
    )


def draw_picture_rendering(rng: np.random.Generator, size_px: int) -> Rendering:
    """The rendering of ZTF's stored streak pictures: JPEG, dark for positive, cut at chip edges.

    Parameters
    ----------
    rng
        Source of randomness.
    size_px
        Side of the cutout.

    Returns
    -------
    Rendering
    """
    edge = [0, 0, 0, 0]
    if rng.random() < 0.12:
        edge[rng.integers(4)] = int(rng.integers(4, max(5, int(0.45 * size_px))))
    low, high = _draw_picture_sigmas(rng)
    return Rendering(
        window_px=size_px,
        edge=(edge[0], edge[1], edge[2], edge[3]),
        recentred=True,
        eight_bit=True,
        measured=True,
        low_sigma=low,
        high_sigma=high,
        jpeg_quality=100,
        mask_known=False,
        flat_level_sigma=_draw_flat_level(rng),
    )


def _draw_flat_level(rng: np.random.Generator) -> float:
    """Masked areas are filled with the background's level, or nearly."""
    return float(rng.normal(0, 0.15) if rng.random() < 0.75 else rng.normal(-0.4, 0.6))


def _draw_quality(rng: np.random.Generator) -> int:
    """ZTF's own cutouts are of quality 100; copies that went through a web site are not."""
    kind = rng.random()
    return 0 if kind < 0.25 else 100 if kind < 0.65 else int(rng.integers(75, 100))


def _draw_stretch(rng: np.random.Generator) -> tuple[bool, float, float]:
    """Whether the stretch is measured on the picture, and where it clips."""
    kind = rng.random()
    if kind < 0.65:
        return True, *_draw_picture_sigmas(rng)
    if kind < 0.85:
        return False, float(rng.uniform(1.0, 6.0)), float(rng.uniform(2.5, 40.0))
    return False, float(rng.uniform(5.0, 25.0)), float(rng.uniform(20.0, 80.0))  # nearly all


def _draw_picture_sigmas(rng: np.random.Generator) -> tuple[float, float]:
    wider = float(rng.uniform(*_PICTURE_WIDER))
    return _PICTURE_SIGMAS[0] * wider, _PICTURE_SIGMAS[1] * wider


def crop_to_rendering(image: NDArray[Any], fill: float, rendering: Rendering) -> NDArray[Any]:
    """An image with everything outside the rendering's window and chip replaced; size stays.

    Parameters
    ----------
    image : (size, size)
        Counts, grey levels or a mask.
    fill
        What stands outside.
    rendering
        Its window, edges, and whether what is inside the chip moves to the middle.

    Returns
    -------
    (size, size), of the image's type
    """
    size = image.shape[0]
    left, right, bottom, top = rendering.edge
    valid = (slice(bottom, size - top), slice(left, size - right))
    framed = np.full(image.shape, fill, image.dtype)
    if rendering.recentred:
        dy, dx = (top - bottom) // 2, (right - left) // 2
        moved = (
            slice(valid[0].start + dy, valid[0].stop + dy),
            slice(valid[1].start + dx, valid[1].stop + dx),
        )
        framed[moved] = image[valid]
    else:
        framed[valid] = image[valid]
    if rendering.window_px < size:
        low = size // 2 - rendering.window_px // 2
        keep = np.zeros(image.shape, bool)
        keep[low : low + rendering.window_px, low : low + rendering.window_px] = True
        framed[~keep] = fill
    return framed


def shift_of_rendering(rendering: Rendering) -> tuple[int, int]:
    """How far a rendering moves things, (dx, dy) px.

    Parameters
    ----------
    rendering
        How a cutout is stored.

    Returns
    -------
    dx, dy : int
        0 for a rendering that does not move the chip's part to the middle.
    """
    if not rendering.recentred:
        return 0, 0
    left, right, bottom, top = rendering.edge
    return (right - left) // 2, (top - bottom) // 2


def apply_rendering(
    difference: Float, mask: Mask, sigma: float, rendering: Rendering
) -> tuple[Float, Mask]:
    """One cutout as it is stored.

    Parameters
    ----------
    difference : (size, size), counts
    mask : (size, size) bool
        Pixels that a survey would mask.
    sigma
        Noise, counts: the unit of the stretch.
    rendering
        What to do.

    Returns
    -------
    difference : (size, size) float32
        Counts (quantised where the rendering is 8-bit), 0 where masked.
    mask : (size, size) bool
        What a reader of the stored file knows of the mask.
    """
    flat = np.float32(rendering.flat_level_sigma * sigma)
    image = np.where(mask, flat, difference).astype(np.float32)
    if rendering.eight_bit:
        image = _through_eight_bits(image, sigma, rendering)
    outside = crop_to_rendering(np.zeros(mask.shape, bool), True, rendering).astype(bool)
    named = crop_to_rendering(
        mask if rendering.mask_known else np.zeros_like(mask), True, rendering
    ).astype(bool)
    image = crop_to_rendering(image, 0.0, rendering).astype(np.float32)
    image[named | outside] = 0.0
    return image, named | outside


def to_levels(
    image: Float, sigma: float, rendering: Rendering
) -> tuple[NDArray[np.uint8], float, float]:
    """Counts as 8-bit grey levels, dark for positive.

    Parameters
    ----------
    image : (ny, nx)
        Counts.
    sigma
        Noise, counts; used where the rendering does not measure it in the image.
    rendering
        Its stretch.

    Returns
    -------
    levels : (ny, nx) uint8
        Before any JPEG compression.
    low, high
        Counts at white (255) and at black (0).
    """
    middle, unit = _clipped_statistics(image) if rendering.measured else (0.0, sigma)
    low, high = middle - rendering.low_sigma * unit, middle + rendering.high_sigma * unit
    scaled = (np.float32(high) - image) * np.float32(255.0 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8), low, high


def encode_picture(difference: Float, mask: Mask, sigma: float, rendering: Rendering) -> bytes:
    """One cutout as the JPEG file that a pipeline would keep, cropped at the chip's edge.

    Parameters
    ----------
    difference : (size, size)
        Counts.
    mask : (size, size) bool
        Pixels that the pipeline filled with a flat level.
    sigma
        Noise, counts.
    rendering
        An 8-bit one.

    Returns
    -------
    bytes
        A JPEG file, dark for positive.
    """
    import cv2

    left, right, bottom, top = rendering.edge
    valid = (slice(bottom, difference.shape[0] - top), slice(left, difference.shape[1] - right))
    flat = np.float32(rendering.flat_level_sigma * sigma)
    levels, _, _ = to_levels(np.where(mask, flat, difference)[valid], sigma, rendering)
    quality = rendering.jpeg_quality or 100
    _, coded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return coded.tobytes()


def _clipped_statistics(image: Float) -> tuple[float, float]:
    """Median and deviation of the pixels within 3 sigma of the median."""
    values = image.ravel()
    middle, deviation = float(np.median(values)), float(values.std())
    for _ in range(5):
        kept = values[np.abs(values - np.float32(middle)) <= np.float32(3 * deviation)]
        if kept.size == values.size or kept.size == 0:
            break
        values = kept
        middle, deviation = float(np.median(values)), float(values.std())
    return middle, max(deviation, 1e-6)


def _through_eight_bits(image: Float, sigma: float, rendering: Rendering) -> Float:
    import cv2

    levels, low, high = to_levels(image, sigma, rendering)
    if rendering.jpeg_quality:
        _, coded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, rendering.jpeg_quality])
        levels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    step = (high - low) / 255.0
    return (np.float32(high) - levels.astype(np.float32) * np.float32(step)).astype(np.float32)
