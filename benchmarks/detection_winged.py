"""A second way to draw clutter, for the detector's benchmark: two exposures of a field of stars.

What is left of a star here is the difference of two pictures of it: the new exposure has it
shifted, of another width and brightness; both have photon noise. Its PSF has Moffat's wings.
Saturated stars are masked where their own light is too much, with bleeds and four spikes; halos
have an edge. Nothing is shared with `benchmarks.detection_frames`, so that one way can be looked at
while a finder is made, and the other only read.

Amplitudes are in units of the sky's noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["add_winged_clutter"]

Floats = NDArray[np.float64]

BETA = 3.5
#: Photoelectrons that one sigma of the sky's noise is worth: those of a sky of 5200.
ELECTRONS = 72.0
#: Of a frame of 2048 x 2048 px.
FIELD_STARS, VARIABLES, SATURATED, HALOS, RAYS = 1500, 100, 12, 2, 40
#: Peaks: of field stars (a power law), of what varies, of saturated stars.
FIELD_PEAKS, VARIABLE_PEAKS, SATURATED_PEAKS = (20.0, 3000.0), (5.0, 300.0), (5e3, 2e5)
_SLOPE = 0.6
#: Light that saturates.
SATURATION = 2500.0
#: Errors of a subtraction: shift (of the field, and of one star), width, brightness.
_FIELD_SHIFT_PX, _STAR_SHIFT_PX, _WIDTH, _BRIGHTNESS = 0.12, 0.03, 0.015, 0.01
_REACH_PX = 24
#: Spikes hold as much of a star's light as the vanes hide of the mirror (Babinet's principle); each
#: arm of the two exposures differs by so much of itself, and falls to a quarter over so many FWHM.
_SPIKE_LIGHT, _SPIKE_ERROR, _SPIKE_FWHM = 0.01, 0.1, 4.0
_BLEED_PX_A_PEAK = 0.004
#: Surveys widen the masks of saturated stars, px.
_GROWN_PX = 1
_DIFFUSION_PX = 0.35
_FINE = 8


def add_winged_clutter(
    light: Floats, mask: NDArray[np.bool_], fwhm_px: float, rng: np.random.Generator
) -> None:
    """Adds what two exposures of a field of stars leave, in place.

    Parameters
    ----------
    light : (ny, nx)
        Of a frame whose noise is 1.
    mask : (ny, nx) bool
        True where a star saturates or bleeds.
    fwhm_px
        Of the PSF.
    rng
        That decides.
    """
    share = light.size / 2048**2
    turn = rng.uniform(0, 2 * math.pi)
    shift = _FIELD_SHIFT_PX * np.array([math.cos(turn), math.sin(turn)])
    # Cosmic rays are of one exposure only; halos lie under the stars.
    steps: tuple[tuple[int, Callable[[], None]], ...] = (
        (HALOS, lambda: _halo(light, rng)),
        (FIELD_STARS, lambda: _field_star(light, fwhm_px, shift, rng)),
        (VARIABLES, lambda: _variable(light, fwhm_px, rng)),
        (SATURATED, lambda: _saturated_star(light, mask, fwhm_px, shift, rng)),
        (RAYS, lambda: _cosmic_ray(light, rng)),
    )
    for count, add in steps:
        for _ in range(round(count * share)):
            add()


def _place(light: Floats, rng: np.random.Generator) -> tuple[float, float]:
    ny, nx = light.shape
    return rng.uniform(0, nx - 1), rng.uniform(0, ny - 1)


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _power_law(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    """Numbers above a peak fall as its power."""
    low, high = bounds[0] ** -_SLOPE, bounds[1] ** -_SLOPE
    return float((low + rng.random() * (high - low)) ** (-1.0 / _SLOPE))


def _around(light: Floats, x: float, y: float, reach: int) -> tuple[slice, slice]:
    ny, nx = light.shape
    ix, iy = round(x), round(y)
    return (
        slice(max(0, iy - reach), min(ny, iy + reach + 1)),
        slice(max(0, ix - reach), min(nx, ix + reach + 1)),
    )


def _moffat(box: tuple[slice, slice], x: float, y: float, fwhm_px: float) -> Floats:
    """Of peak 1."""
    rows, columns = box
    dy = np.arange(rows.start, rows.stop)[:, None] - y
    dx = np.arange(columns.start, columns.stop)[None, :] - x
    core = 0.5 * fwhm_px / math.sqrt(2.0 ** (1.0 / BETA) - 1.0)
    return np.asarray((1.0 + (dx**2 + dy**2) / core**2) ** -BETA)


def _left_over(
    box: tuple[slice, slice],
    place: tuple[float, float],
    peak: float,
    fwhm_px: float,
    shift: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Of a star in the difference of two exposures, with its photons' noise in both."""
    x, y = place
    old = peak * _moffat(box, x, y, fwhm_px)
    dx, dy = shift + rng.normal(0.0, _STAR_SHIFT_PX, 2)
    width = 1.0 + rng.normal(0.0, _WIDTH)
    brighter = (1.0 + rng.normal(0.0, _BRIGHTNESS)) / width**2
    new = brighter * peak * _moffat(box, x + dx, y + dy, fwhm_px * width)
    photons = np.sqrt((old + new) / ELECTRONS)
    return np.asarray(new - old + photons * rng.normal(size=old.shape))


def _field_star(light: Floats, fwhm_px: float, shift: Floats, rng: np.random.Generator) -> None:
    place = _place(light, rng)
    box = _around(light, *place, _REACH_PX)
    light[box] += _left_over(box, place, _power_law(FIELD_PEAKS, rng), fwhm_px, shift, rng)


def _variable(light: Floats, fwhm_px: float, rng: np.random.Generator) -> None:
    x, y = _place(light, rng)
    box = _around(light, x, y, _REACH_PX)
    new = _log_uniform(VARIABLE_PEAKS, rng) * _moffat(box, x, y, fwhm_px)
    light[box] += new + np.sqrt(new / ELECTRONS) * rng.normal(size=new.shape)


def _saturated_star(
    light: Floats,
    mask: NDArray[np.bool_],
    fwhm_px: float,
    shift: Floats,
    rng: np.random.Generator,
) -> None:
    """Masked where it saturates; wings, spikes and a bleed are left."""
    place = x, y = _place(light, rng)
    peak = _log_uniform(SATURATED_PEAKS, rng)
    box = _around(light, x, y, 160)
    star = peak * _moffat(box, x, y, fwhm_px)
    light[box] += _left_over(box, place, peak, fwhm_px, shift, rng)
    light[box] += _spikes(box, place, peak, fwhm_px, rng)
    mask[box] |= _grown(star > SATURATION)
    half = min(400.0, _BLEED_PX_A_PEAK * peak * rng.uniform(0.5, 1.0))
    rows = slice(max(0, round(y - half)), max(0, round(y + half)))
    wide = int(rng.integers(1, 3))
    column = round(x)
    mask[rows, max(0, column - wide) : column + wide + 1] = True
    # Charge that spills over fades away from the star, on one side more than on the other.
    length = len(light[rows])
    fade = np.exp(-np.abs(np.arange(length) + rows.start - y) / max(0.5 * half, 1.0))
    for side in (column - wide - 1, column + wide + 1):
        if 0 <= side < light.shape[1]:
            light[rows, side] += fade * rng.uniform(0.0, 6.0) + rng.normal(0, 1, length) * fade


def _grown(there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    square = np.ones((2 * _GROWN_PX + 1,) * 2, bool)
    return np.asarray(binary_dilation(there, square), bool)


def _spikes(
    box: tuple[slice, slice],
    place: tuple[float, float],
    peak: float,
    fwhm_px: float,
    rng: np.random.Generator,
) -> Floats:
    """Four, that the two exposures have in slightly different brightness and direction."""
    x, y = place
    rows, columns = box
    dy = np.arange(rows.start, rows.stop)[:, None] - y
    dx = np.arange(columns.start, columns.stop)[None, :] - x
    width, fade = fwhm_px / 2.3548, _SPIKE_FWHM * fwhm_px
    # Light of an arm of unit brightness at its foot: the integral of (1 + r / fade)**-2 is fade.
    of_an_arm = math.sqrt(2.0 * math.pi) * width * fade
    core = 0.5 * fwhm_px / math.sqrt(2.0 ** (1.0 / BETA) - 1.0)
    of_the_star = peak * math.pi * core**2 / (BETA - 1.0)
    foot = 0.25 * _SPIKE_LIGHT * of_the_star / of_an_arm
    total = np.zeros(np.broadcast_shapes(dx.shape, dy.shape))
    turn = rng.normal(0.0, 0.004)
    for k in range(4):
        left = rng.normal(0.0, _SPIKE_ERROR)
        for sign, theta in ((1.0 + left, 0.0), (-1.0, turn)):
            angle = math.pi / 4 + k * math.pi / 2 + theta
            along = dx * math.cos(angle) + dy * math.sin(angle)
            across = dy * math.cos(angle) - dx * math.sin(angle)
            ahead = along > 0
            falls = (1.0 + np.where(ahead, along, 0.0) / fade) ** -2
            total += sign * ahead * falls * np.exp(-0.5 * (across / width) ** 2)
    return np.asarray(foot * total)


def _halo(light: Floats, rng: np.random.Generator) -> None:
    """Light of a star that the camera's glass throws back: a ring with an edge."""
    x, y = _place(light, rng)
    outer = rng.uniform(60.0, 180.0)
    inner = outer * rng.uniform(0.3, 0.5)
    box = _around(light, x, y, math.ceil(outer) + 4)
    rows, columns = box
    away = np.hypot(
        np.arange(rows.start, rows.stop)[:, None] - y,
        np.arange(columns.start, columns.stop)[None, :] - x,
    )
    edge = 1.0 / (1.0 + np.exp((away - outer) / 1.5)) - 1.0 / (1.0 + np.exp((away - inner) / 1.5))
    light[box] += rng.uniform(0.2, 1.2) * edge


def _cosmic_ray(light: Floats, rng: np.random.Generator) -> None:
    """Charge along a straight track through the silicon, spread before it is collected."""
    x, y = _place(light, rng)
    length = min(40.0, 2.0 + rng.exponential(6.0))
    theta = rng.uniform(0, 2 * math.pi)
    n = math.ceil(_FINE * length)
    along = np.arange(n) * (length / n)
    # Few electrons take much energy: Moyal's shape.
    charge = rng.normal(size=n) ** -2.0
    charge = np.minimum(charge, 20.0) * _log_uniform((10.0, 200.0), rng) / n * length / 2.0
    places_x = x + along * math.cos(theta) + rng.normal(0, _DIFFUSION_PX, n)
    places_y = y + along * math.sin(theta) + rng.normal(0, _DIFFUSION_PX, n)
    columns, rows = np.rint(places_x).astype(int), np.rint(places_y).astype(int)
    ny, nx = light.shape
    inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    np.add.at(light, (rows[inside], columns[inside]), charge[inside])
