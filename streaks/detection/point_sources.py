"""Cosmic rays and bright point sources, hidden before lines are looked for.

A line through a streak and a bright point beside it gathers more light than the streak alone, and
what is left when it has been painted out is no streak any more. So what is sharper than the PSF
(cosmic rays), and what falls off in every direction as steeply as a point does, goes first.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "LEAST_BRIGHT_SNR",
    "bright_points",
    "hidden_radius",
    "hide_points",
    "sharp_pixels",
    "shortest_shoulder",
]

#: Pixels fainter than this, in sigma, are not called sharp: noise would decide.
_SHARP_SIGMA = 12.0
#: Where the dark side has so many sharp pixels in a million (Gaussian noise has 0.03), noise has
#: heavy tails: then those above the lower limit are taken for its own.
_SHARP_IN_TAILS, _TAILS_PER_PIXEL = 5.5, 5e-6
#: Fewer than this are chance.
_FEW_DARK = 3
#: So many rows in the middle tell, px.
_TAIL_ROWS = 768
#: A narrower PSF is itself as sharp as a cosmic ray.
_LEAST_SIGMA_PX = 0.7
#: Peaks fainter than this need not be hidden: they add little to a line.
LEAST_BRIGHT_SNR = 10.0
#: Distance at which light beside a peak is looked at, in units of the PSF's width.
_SHOULDER = 2.4
#: Neighbours of a pixel must have this share of what those of a PSF have of its centre.
_OF_THE_PSF = 0.5
#: Neighbours of a sharp pixel brighter than this belong to it, sigma.
_LIT_SIGMA = 3.0
#: Noise of the mean of two samples five sigma apart, and how many times it is believed.
_SHOULDER_NOISE = 2.5 * 0.75
#: Directions in which light must fall off, over half a turn.
_DIRECTIONS = 8
#: Light is hidden down to this share of the noise; stars have wings beyond any Gaussian, in px a
#: unit of S/N, up to this S/N.
_HIDDEN_TO, _WINGS_PX, _WINGS_SNR = 0.5, 0.004, 2000.0
#: The shortest trail looked for is no point, px.
_LEAST_LENGTH_PX = 0.1
_ROOT_2 = math.sqrt(2.0)
_ROOM = 256
#: Columns asked at once whether any of them is bright: most are not, and that is soon known.
_LOOK = 128
#: Pixels of a square of three by three.
_SQUARE = 9


def sharp_pixels(
    z: NDArray[np.float32], usable: NDArray[np.bool_], sigma_px: float
) -> NDArray[np.int64]:
    """Pixels that stand out more sharply than the PSF allows, and lit ones that touch them.

    Parameters
    ----------
    z : (ny, nx) float32
        Standardised image.
    usable : (ny, nx) bool
    sigma_px
        Width of the PSF; nothing is sharp where it is below 0.7.

    Returns
    -------
    (n, 2)
        Row and column of each; some may be named twice.
    """
    if sigma_px < _LEAST_SIGMA_PX:
        return np.zeros((0, 2), dtype=np.int64)
    # Half of what a PSF's neighbours have of its centre, one pixel and a diagonal away.
    beside = _OF_THE_PSF * math.exp(-0.5 / sigma_px**2)
    diagonal = _OF_THE_PSF * math.exp(-1.0 / sigma_px**2)
    shape = np.float32(beside), np.float32(diagonal)
    least = _SHARP_IN_TAILS if _has_tails(z, usable, shape) else _SHARP_SIGMA
    return np.asarray(_sharp(z, usable, *shape, np.float32(least)))


def _has_tails(
    z: NDArray[np.float32], usable: NDArray[np.bool_], shape: tuple[np.float32, np.float32]
) -> bool:
    """Whether single pixels are dark more often than Gaussian noise makes them."""
    first = max(0, (len(z) - _TAIL_ROWS) // 2)
    rows = slice(first, first + _TAIL_ROWS)
    dark, seen = -z[rows], usable[rows]
    (_, columns) = _sharp(dark, seen, *shape, np.float32(_SHARP_IN_TAILS)).T
    # A sharp pixel may be named with the lit ones around it.
    return len(columns) > max(_TAILS_PER_PIXEL * dark.size, _FEW_DARK)


def bright_points(
    snr: NDArray[np.float32], sigma_px: float, min_length_px: float
) -> NDArray[np.float64]:
    """Bright maxima of a filtered image that fall off like a point in every direction.

    Parameters
    ----------
    snr : (ny, nx) float32
        Point-source S/N.
    sigma_px
        Width of the PSF.
    min_length_px
        What is as long as this is none of them.

    Returns
    -------
    (n, 3)
        x, y and S/N.
    """
    ratio = shortest_shoulder(sigma_px, min_length_px)
    return np.asarray(_peaks(snr, _SHOULDER * sigma_px, ratio, np.float32(LEAST_BRIGHT_SNR)))


def hide_points(
    snr: NDArray[np.float32],
    cover: NDArray[np.float32],
    usable: NDArray[np.bool_],
    peaks: NDArray[np.float64],
    sigma_px: float,
) -> None:
    """Hide peaks in a filtered image, its cover and its mask, as far as their light reaches.

    Parameters
    ----------
    snr, cover : (ny, nx) float32
        0 where something is hidden afterwards.
    usable : (ny, nx) bool
        False there.
    peaks : (n, 3)
        From `bright_points`.
    sigma_px
        Width of the PSF.
    """
    _hide(snr, cover, usable, peaks, _ROOT_2 * sigma_px)


def hidden_radius(snr: float, sigma_px: float) -> float:
    """How far from a peak its light is hidden.

    Parameters
    ----------
    snr
        Of the peak.
    sigma_px
        Width of the PSF.

    Returns
    -------
    float
        px.
    """
    return float(_reach(snr, _ROOT_2 * sigma_px))


def shortest_shoulder(sigma_px: float, min_length_px: float) -> float:
    """Light of the shortest trail 2.4 sigma from its middle along it, in units of its peak.

    That of the filtered image: a point's has fallen to 0.24 there.

    Parameters
    ----------
    sigma_px
        Width of the PSF.
    min_length_px
        Of the shortest trail.

    Returns
    -------
    float
    """
    half, d, width = (
        0.5 * max(min_length_px, _LEAST_LENGTH_PX),
        _SHOULDER * sigma_px,
        2.0 * sigma_px,
    )
    return (math.erf((d + half) / width) - math.erf((d - half) / width)) / (
        2.0 * math.erf(half / width)
    )


@njit(cache=True, nogil=True)
def _any_above(row, least):  # type: ignore[no-untyped-def]
    """Whether a value is at least so large; counted, for so a processor asks many at once."""
    n = np.int32(0)
    for x in range(row.size):
        n += np.int32(row[x] >= least)
    return n > 0


@njit(cache=True, nogil=True)
def _bright_places(image, least, margin):  # type: ignore[no-untyped-def]
    """Row and column, (n, 2), of what is at least so large and so far from the image's edge."""
    ny, nx = image.shape
    found, n = np.empty((_ROOM, 2), np.int64), 0
    for y in range(margin, ny - margin):
        for start in range(margin, nx - margin, _LOOK):
            stop = min(start + _LOOK, nx - margin)
            if not _any_above(image[y, start:stop], least):
                continue
            if n + _LOOK > len(found):
                larger = np.empty((2 * len(found), 2), np.int64)
                for i in range(n):
                    larger[i, 0], larger[i, 1] = found[i, 0], found[i, 1]
                found = larger
            for x in range(start, stop):
                if image[y, x] >= least:
                    found[n, 0], found[n, 1] = y, x
                    n += 1
    return found[:n]


@njit(cache=True, nogil=True)
def _sharp(z, usable, beside, diagonal, least):  # type: ignore[no-untyped-def]
    bright = _bright_places(z, least, np.int64(1))
    found, n = np.empty((_SQUARE * len(bright), 2), np.int64), 0
    for k in range(len(bright)):
        y, x = bright[k]
        value = z[y, x]
        # Beside a mask a neighbour's light is not known.
        whole = True
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                whole = whole and usable[y + dy, x + dx]
        if not whole:
            continue
        straight = min(z[y, x - 1] + z[y, x + 1], z[y - 1, x] + z[y + 1, x])
        slanted = min(z[y - 1, x - 1] + z[y + 1, x + 1], z[y - 1, x + 1] + z[y + 1, x - 1])
        if 0.5 * straight < beside * value or 0.5 * slanted < diagonal * value:
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    if z[y + dy, x + dx] > _LIT_SIGMA:
                        found[n, 0], found[n, 1] = y + dy, x + dx
                        n += 1
    return found[:n]


@njit(cache=True, nogil=True)
def _peaks(snr, distance, ratio, bright):  # type: ignore[no-untyped-def]
    places = _bright_places(snr, bright, np.int64(math.ceil(distance) + 2))
    found, n = np.empty((len(places), 3)), 0
    for i in range(len(places)):
        y, x = places[i]
        value, highest = snr[y, x], True
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                if snr[y + dy, x + dx] > value:
                    highest = False
        if not highest:
            continue
        limit, compact = ratio * value - _SHOULDER_NOISE, True
        for k in range(_DIRECTIONS):
            dx = distance * math.cos(k * math.pi / _DIRECTIONS)
            dy = distance * math.sin(k * math.pi / _DIRECTIONS)
            if 0.5 * (_at(snr, x + dx, y + dy) + _at(snr, x - dx, y - dy)) > limit:
                compact = False
                break
        if compact:
            found[n, 0], found[n, 1], found[n, 2] = x, y, value
            n += 1
    return found[:n]


@njit(cache=True, nogil=True)
def _at(image, x, y):  # type: ignore[no-untyped-def]
    ix, iy = math.floor(x), math.floor(y)
    fx, fy = x - ix, y - iy
    return (image[iy, ix] * (1 - fx) + image[iy, ix + 1] * fx) * (1 - fy) + (
        image[iy + 1, ix] * (1 - fx) + image[iy + 1, ix + 1] * fx
    ) * fy


@njit(cache=True, nogil=True)
def _reach(peak, sigma):  # type: ignore[no-untyped-def]
    reach = sigma * math.sqrt(2.0 * math.log(peak / _HIDDEN_TO))
    return reach + _WINGS_PX * min(peak, _WINGS_SNR)


@njit(cache=True, nogil=True)
def _hide(snr, cover, usable, peaks, sigma):  # type: ignore[no-untyped-def]
    ny, nx = snr.shape
    for k in range(len(peaks)):
        x, y, peak = int(peaks[k, 0]), int(peaks[k, 1]), peaks[k, 2]
        reach = _reach(peak, sigma)
        r = int(reach) + 1
        for j in range(max(0, y - r), min(ny, y + r + 1)):
            for i in range(max(0, x - r), min(nx, x + r + 1)):
                if (i - x) ** 2 + (j - y) ** 2 <= reach * reach:
                    snr[j, i] = 0.0
                    cover[j, i] = 0.0
                    usable[j, i] = False
