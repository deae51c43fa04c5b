"""The sky in equal pixels: nested HEALPix, as far as a store needs it.

A pixel of order k is one of 12 * 4**k; its four children of the next order have numbers that begin
with its own, so that everything in a pixel is one range of numbers of any finer order.

References
----------
Gorski et al. 2005, ApJ 622, 759 (the pixels); Calabretta & Roukema 2007, MNRAS 381, 865, sections
2 and 3 (the plane that they are squares of, which is what is computed here).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEEPEST", "NOWHERE", "cone_ranges", "pixel_centres", "pixel_range", "pixels_at"]

#: The finest order whose numbers fit 64 bits: pixels of 0.4 milliarcsec.
DEEPEST = 29
#: Of a place that is not known.
NOWHERE = -1
#: A cone is made of pixels of about this share of its radius, and of no more ranges than these.
_SHARE, _MOST_RANGES = 0.25, 32

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def pixels_at(ra_deg: Any, dec_deg: Any, order: int = DEEPEST) -> Integers:
    """The pixel that each place lies in.

    Parameters
    ----------
    ra_deg, dec_deg : (n,)
        ICRS.
    order
        Of the pixels, 0 to `DEEPEST`.

    Returns
    -------
    (n,) int64
        `NOWHERE` where a coordinate is NaN.
    """
    ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    known = np.isfinite(ra) & np.isfinite(dec)
    # Places on the plane, in units of 45 degrees: each base pixel is a square on its corner.
    along = np.where(known, ra, 0.0) % 360.0 / 45.0
    z = np.sin(np.radians(np.where(known, dec, 0.0)))
    quarter = np.minimum(along // 2.0, 3.0)
    shrunk = np.sqrt(np.maximum(3.0 * (1.0 - np.abs(z)), 0.0))
    cap = np.abs(z) > 2.0 / 3.0
    u = np.where(cap, 2.0 * quarter + 1.0 + (along - 2.0 * quarter - 1.0) * shrunk, along)
    v = np.where(cap, np.copysign(2.0 - shrunk, z), 1.5 * z)
    # Along the squares' own sides.
    p, q = (v + u) / 2.0, (v - u) / 2.0
    i, j = np.floor(p + 0.5), np.floor(q + 0.5)
    # Rounding must not carry a place of a cap beyond the base pixel of its quarter.
    i = np.where(cap, quarter + (z > 0), i)
    j = np.where(cap, -quarter - (z < 0), j)
    row = np.clip(1.0 - (i + j), 0.0, 2.0)
    column = np.where(row == 0, -j, i) % 4.0
    n_side = 1 << order
    x, y = (
        np.clip((part + 0.5 - whole) * n_side, 0, n_side - 1).astype(np.int64)
        for part, whole in ((p, i), (q, j))
    )
    base = (4 * row + column).astype(np.int64)
    return np.where(known, (base << (2 * order)) | _spread(x) | (_spread(y) << 1), NOWHERE)


def pixel_centres(pixels: Integers, order: int) -> tuple[Floats, Floats]:
    """Where pixels lie.

    Parameters
    ----------
    pixels : (n,) int64
    order
        Of them.

    Returns
    -------
    ra_deg, dec_deg : (n,)
    """
    base = pixels >> (2 * order)
    inner = pixels & ((1 << (2 * order)) - 1)
    row, column = base // 4, base % 4
    n_side = 1 << order
    x, y = (_gathered(inner) + 0.5) / n_side, (_gathered(inner >> 1) + 0.5) / n_side
    p = column + (row == 0) - 0.5 + x
    q = -column - (row == 2) - 0.5 + y
    u, v = p - q, p + q
    shrunk = 2.0 - np.abs(v)
    cap = np.abs(v) > 1.0
    middle = 2.0 * column + 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.where(cap, middle + (u - middle) / shrunk, u)
    z = np.where(cap, np.copysign(1.0 - shrunk**2 / 3.0, v), 2.0 * v / 3.0)
    return along * 45.0 % 360.0, np.degrees(np.arcsin(z))


def pixel_range(order: int, pixel: int) -> tuple[int, int]:
    """The numbers of order `DEEPEST` within a pixel.

    Parameters
    ----------
    order, pixel
        Of the pixel.

    Returns
    -------
    first, end : int
        `end` is the first number beyond.
    """
    shift = 2 * (DEEPEST - order)
    return pixel << shift, (pixel + 1) << shift


def cone_ranges(ra_deg: float, dec_deg: float, radius_deg: float) -> list[tuple[int, int]]:
    """Ranges of numbers of order `DEEPEST` that hold all of a circle on the sky, and some more.

    Parameters
    ----------
    ra_deg, dec_deg, radius_deg
        The circle, ICRS.

    Returns
    -------
    list of (first, end)
        In order, without overlap, at most 32.
    """
    order, pixels = 0, np.arange(12, dtype=np.int64)
    while True:
        ra, dec = pixel_centres(pixels, order)
        near = _separation_deg(ra, dec, ra_deg, dec_deg) <= radius_deg + _reach_deg(order)
        pixels = pixels[near]
        if order == DEEPEST or _reach_deg(order) <= _SHARE * radius_deg:
            break
        order += 1
        pixels = (4 * pixels[:, None] + np.arange(4)).ravel()
    return _merged([pixel_range(order, int(pixel)) for pixel in np.sort(pixels)])


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Few ranges: those that touch become one, and then those with the smallest gaps."""
    gaps = sorted((b[0] - a[1] for a, b in itertools.pairwise(ranges)), reverse=True)
    least = max(gaps[_MOST_RANGES - 2], 0) if len(gaps) >= _MOST_RANGES else 0
    found: list[tuple[int, int]] = []
    for first, end in ranges:
        if found and first - found[-1][1] <= least:
            found[-1] = found[-1][0], end
        else:
            found.append((first, end))
    return found


def _reach_deg(order: int) -> float:
    """The farthest corner from its pixel's centre, over all pixels of an order.

    That is the pixel on the border of cap and belt, beside the quarter's middle.
    """
    n_side = 1 << order
    z, phi = 2.0 / 3.0, math.pi / (4 * n_side)
    top = 1.0 - (1.0 - 1.0 / n_side) ** 2 / 3.0
    centre = np.array(
        [math.sqrt(1 - z * z) * math.cos(phi), math.sqrt(1 - z * z) * math.sin(phi), z]
    )
    corner = np.array([math.sqrt(max(1 - top * top, 0.0)), 0.0, top])
    return math.degrees(2.0 * math.asin(min(float(np.linalg.norm(centre - corner)) / 2.0, 1.0)))


def _separation_deg(ra: Floats, dec: Floats, ra_deg: float, dec_deg: float) -> Floats:
    """Great-circle distance, good for small ones too."""
    a, b = np.radians(dec), math.radians(dec_deg)
    half = np.radians(ra - ra_deg) / 2.0
    hav = np.sin((a - b) / 2.0) ** 2 + np.cos(a) * math.cos(b) * np.sin(half) ** 2
    return np.asarray(np.degrees(2.0 * np.arcsin(np.sqrt(np.minimum(hav, 1.0)))), float)


def _spread(value: Integers) -> Integers:
    """A zero bit behind each bit."""
    found = value & 0x1FFFFFFF
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333), (1, 0x5555555555555555),
    ):  # fmt: skip
        found = (found | (found << shift)) & mask
    return np.asarray(found, np.int64)


def _gathered(value: Integers) -> Integers:
    """Every other bit: what `_spread` undoes."""
    found = value & 0x5555555555555555
    for shift, mask in (
        (1, 0x3333333333333333), (2, 0x0F0F0F0F0F0F0F0F), (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF), (16, 0x00000000FFFFFFFF),
    ):  # fmt: skip
        found = (found | (found >> shift)) & mask
    return np.asarray(found, np.int64)
