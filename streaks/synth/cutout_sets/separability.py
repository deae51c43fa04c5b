"""Which skies show what they are: a truth that nothing in the picture tells is not made.

Every test holds the noiseless light against the likest thing of another class and asks by how many
sigma the two differ in the pixels that can be seen, the light of all else counted as noise there.
Less than three, and the sky is drawn again; no classifier has a say in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment
from streaks.synth.cutout_sets.recipes import Sky
from streaks.synth.drawing.psf import add_points
from streaks.synth.drawing.scene import Conditions, Stars, pass_object, render_stars, subtract
from streaks.tables import SKIP

__all__ = ["doubt", "seen_snr"]

Float = NDArray[np.float32]

#: By how much a subject must differ from its likest twin.
_SIGMAS = 3.0
#: Finders are off by a few px: what lies farther from the middle is another matter.
_TRIGGER_PX = 12.0
#: The widest track of a particle (`artifacts.draw_cosmic_ray`), its pixel included.
_RAY_SIGMA_PX = math.hypot(0.55, 0.29)
#: Asteroids are no longer than this, in px and as a share of what is seen (`recipes`).
_LONGEST_PX, _LONGEST_SHARE = 110.0, 0.85
#: Share of odd light (lobes of both signs side by side) up to which a star's residual is a
#: naked star, and from which it is a yin-yang; in between it is both.
_NAKED_ODD, _YIN_YANG_ODD = 0.1, 0.2


@dataclass(frozen=True, eq=False)
class _View:
    """What can be seen of a sky: light of the subject, and weights 1 / (noise**2 + rest**2)."""

    sky: Sky
    light: Float
    rest: Float
    weight: Float

    @property
    def snr(self) -> float:
        return math.sqrt(float(np.sum(self.light**2 * self.weight, dtype=np.float64)))

    @property
    def point_sigma_px(self) -> float:
        return _point_sigma(self.sky.conditions)


def seen_snr(sky: Sky, residual: Float) -> float:
    """Matched-filter S/N of the subject where it can be seen, other light counted as noise.

    Parameters
    ----------
    sky
        With its class's recipe carried out.
    residual : counts
        What subtraction leaves of the sky's stars, in the sky's shape.

    Returns
    -------
    float
        NaN for blanks.
    """
    return math.nan if sky.label == SKIP else _view(sky, residual).snr


def doubt(sky: Sky, residual: Float) -> str:
    """Why the picture cannot tell a sky's class; empty where it can.

    Parameters
    ----------
    sky
        With its class's recipe carried out.
    residual : (ny, nx), counts
        What subtraction leaves of the sky's stars, in the sky's shape.

    Returns
    -------
    str
        The first reason found; always empty for a sky to be skipped.
    """
    if sky.label == SKIP:
        return ""
    view = _view(sky, residual)
    return next((why for why, sigmas in _TESTS[sky.label](view) if not sigmas >= _SIGMAS), "")


def _view(sky: Sky, residual: Float) -> _View:
    everything = residual + sky.added - sky.background
    # The stars of a field are all of one kind: together they are the subject.
    light = residual if sky.subject is None else sky.subject
    rest = everything - light
    weight = sky.usable() / (np.float32(sky.sigma**2) + rest**2)
    return _View(sky, light, rest, weight.astype(np.float32))


Tests = Iterator[tuple[str, float]]


def _asteroid(view: _View) -> Tests:
    point, segment = view.point_sigma_px, view.sky.segment
    if segment is None:
        yield "outside the cutout", 0.0
        return
    yield "outshone", _prominence(view)
    long = math.hypot(point, segment.length_px / math.sqrt(12))
    # Cosine of two elongated and round Gaussians, the round one as wide as fits best.
    yield "round", view.snr * (long - point) / (long + point)
    yield "as sharp as a cosmic ray", view.snr * _width_contrast(point, _RAY_SIGMA_PX, 1)
    yield "no end in sight", max(_sky_beyond(view, segment), _sky_beyond(view, _turned(segment)))


def _satellite(view: _View) -> Tests:
    yield "one piece with both ends", _beyond_one_piece(view)


def _cosmic_ray(view: _View) -> Tests:
    yield "outshone", _prominence(view)
    axes = 2 if view.sky.segment is None or view.sky.segment.length_px < 2 else 1
    contrast = _width_contrast(view.point_sigma_px, math.hypot(view.sky.width_px, 0.29), axes)
    yield "as blurred as a star", view.snr * contrast


def _naked_star(view: _View) -> Tests:
    yield "outshone", _prominence(view)
    if view.sky.placed:
        yield "lobes", math.inf if _odd_share(view.sky) <= _NAKED_ODD else 0.0
    else:
        contrast = _width_contrast(view.point_sigma_px, _RAY_SIGMA_PX, 2)
        yield "as sharp as a cosmic ray", view.snr * contrast


def _yin_yang(view: _View) -> Tests:
    yield "outshone", _prominence(view)
    yield "no lobes", math.inf if _odd_share(view.sky) >= _YIN_YANG_ODD else 0.0


def _ghost(view: _View) -> Tests:
    yield "one straight line", _beyond_one_line(view)


def _masked_star(view: _View) -> Tests:
    yield "nothing of it in sight", view.snr


_TESTS: Mapping[str, Callable[[_View], Tests]] = {
    "asteroid": _asteroid,
    "satellite": _satellite,
    "masked_star": _masked_star,
    "ghost": _ghost,
    "cosmic_ray": _cosmic_ray,
    "naked_star": _naked_star,
    "yin_yang": _yin_yang,
}


def _prominence(view: _View) -> float:
    """At least the limit where nothing else at the trigger is brighter than the subject."""
    sky = view.sky
    axis = np.arange(sky.shape[0], dtype=np.float32) - np.float32(sky.middle)
    near = (np.hypot(axis[None, :], axis[:, None]) < _TRIGGER_PX) & sky.usable()
    other = math.sqrt(float(np.sum(view.rest[near] ** 2, dtype=np.float64))) / sky.sigma
    return view.snr * (1.0 if view.snr >= other else 0.0)


def _width_contrast(one_px: float, other_px: float, axes: int) -> float:
    """Sine of the angle between Gaussians of two widths along one or two axes."""
    cosine = (2 * one_px * other_px / (one_px**2 + other_px**2)) ** (0.5 * axes)
    return math.sqrt(max(1 - cosine**2, 0.0))


def _point_sigma(conditions: Conditions) -> float:
    """Width of the Gaussian that has as many pixels' noise in it as a new point of light."""
    light = np.zeros((40, 40), np.float32)
    add_points(light, 20.3, 19.8, 1.0, conditions.science_psf)
    light = pass_object(light, conditions)
    return 1.0 / math.sqrt(4 * math.pi * float(np.sum(light**2)))


def _turned(segment: Segment) -> Segment:
    return Segment(segment.x1, segment.y1, segment.x0, segment.y0)


def _along(
    view: _View, segment: Segment, start_px: float, stop_px: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels along a line, one a px, that lie in the sky."""
    s = np.arange(start_px, stop_px)
    x = np.rint(segment.x0 + s * (segment.x1 - segment.x0) / segment.length_px).astype(int)
    y = np.rint(segment.y0 + s * (segment.y1 - segment.y0) / segment.length_px).astype(int)
    ny, nx = view.sky.shape
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    return y[inside], x[inside]


def _sky_beyond(view: _View, segment: Segment) -> float:
    """S/N that a trail would have beyond its second end, if it went on to where sight ends."""
    length = segment.length_px
    own = float(view.weight[_along(view, segment, 0.5, max(length, 1.0))].sum())
    beyond = float(view.weight[_along(view, segment, length, 2.0 * max(view.sky.shape))].sum())
    return view.snr * math.sqrt(beyond / own) if own > 0 else 0.0


def _beyond_one_piece(view: _View) -> float:
    """S/N of a trail's light outside the best piece of it that an asteroid could have left.

    Such a piece is no longer than asteroids are, and sky can be seen beyond both of its ends.
    """
    sky = view.sky
    if sky.segment is None or sky.segment.length_px < 1:
        return 0.0
    reach = 2.0 * max(sky.shape)
    pixels = _along(view, sky.segment, -reach, sky.segment.length_px + reach)
    light, weight = view.light[pixels].astype(float), view.weight[pixels].astype(float)
    power = (weight * light**2)[weight > 0]
    if not power.sum() > 0:
        return 0.0
    blur = math.ceil(sky.conditions.science_psf.fwhm_px)
    longest = math.ceil(min(_LONGEST_PX, _LONGEST_SHARE * sky.rendering.window_px)) + 2 * blur
    size = min(longest, len(power) - 2 * blur)
    if size <= 0:
        return view.snr
    sums = np.concatenate([[0.0], np.cumsum(power)])[blur : len(power) - blur + 1]
    caught = float(np.max(sums[size:] - sums[:-size])) / float(power.sum())
    return view.snr * math.sqrt(max(1.0 - caught, 0.0))


def _beyond_one_line(view: _View) -> float:
    """S/N of what lies farther than two FWHM from the best straight line."""
    power = (view.light**2 * view.weight).astype(float)
    ny, nx = power.shape[0] // 2, power.shape[1] // 2
    power = power[: 2 * ny, : 2 * nx].reshape(ny, 2, nx, 2).sum(axis=(1, 3)).ravel()
    half = max(math.ceil(view.sky.conditions.science_psf.fwhm_px), 1)  # 2 FWHM in bins of 2 px
    bins = _line_bins(ny, nx)
    most = 0.0
    for row in bins:
        across = np.cumsum(np.bincount(row, weights=power))
        padded = np.concatenate([np.zeros(half + 1), across, np.full(half, across[-1])])
        most = max(most, float(np.max(padded[2 * half + 1 :] - padded[: -2 * half - 1])))
    return math.sqrt(max(float(power.sum()) - most, 0.0))


@lru_cache(maxsize=4)
def _line_bins(ny: int, nx: int, n_angles: int = 90) -> NDArray[np.int64]:
    """Distance from the middle of every pixel across lines of many directions, in whole px."""
    y, x = np.indices((ny, nx), dtype=float)
    angles = np.arange(n_angles) * math.pi / n_angles
    across = np.multiply.outer(np.cos(angles), x.ravel() - nx / 2)
    across += np.multiply.outer(np.sin(angles), y.ravel() - ny / 2)
    return np.rint(across).astype(np.int64) + ny + nx


def _odd_share(sky: Sky) -> float:
    """Share of odd light in the residual of the brightest star at the trigger, were it alone.

    0 for a ring, 1 for two equal lobes of both signs.
    """
    conditions = replace(sky.conditions, shift_scatter_px=0.0, flux_scatter=0.0)
    flux = max(flux for _, _, flux in sky.placed)
    star = Stars(np.array([20.0]), np.array([20.0]), np.array([flux]))
    science, reference = render_stars((41, 41), star, conditions, np.random.default_rng(0))
    image = subtract(science, reference, conditions)
    odd = 0.5 * (image - image[::-1, ::-1])
    return float(np.sum(odd**2) / max(float(np.sum(image**2)), 1e-12))
