"""One recipe a class: what to put into a small sky so that a finder would trigger at its middle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment, clip_to_box
from streaks.synth.cutout_sets.rendering import Rendering
from streaks.synth.drawing.artifacts import draw_cosmic_ray, draw_ghost, draw_gradient
from streaks.synth.drawing.bright_stars import draw_bright_star, paint_bright_star
from streaks.synth.drawing.populations import Trail, draw_asteroid, draw_satellite, log_uniform
from streaks.synth.drawing.psf import Psf, add_points, add_trail, trail_points
from streaks.synth.drawing.scene import (
    Conditions,
    Stars,
    add_noise,
    draw_conditions,
    draw_stars,
    pass_object,
    render_stars,
    subtract,
)
from streaks.tables import SKIP

__all__ = ["RECIPES", "Sky", "expose", "render", "render_light"]

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(eq=False)
class Sky:
    """A small sky under construction; recipes add to it.

    Coordinates are those of the scene, which is larger than the cutout by `margin_px` all round.

    Parameters
    ----------
    rng
        Of this sky alone.
    size_px
        Side of the cutout.
    margin_px
        How far the scene goes on beyond the cutout on each side.
    label
        Class of the subject.
    rendering
        How the cutout is stored and shown.
    conditions
        Of the exposure and its reference.
    subject : (ny, nx), optional
        Light of the subject alone, counts.
    segment
        The subject's line in the scene, 0-based px; None for no line.
    flux
        Of the subject, counts; NaN for no line.
    width_px
        Of a cosmic ray's track, sigma; NaN for anything else.
    placed
        ``(x, y, flux)`` of the stars put in one by one; px and counts.
    """

    rng: np.random.Generator
    size_px: int
    margin_px: int
    label: str
    rendering: Rendering
    conditions: Conditions
    stars: Stars = field(init=False)
    added: Float = field(init=False)
    background: Float = field(init=False)  # the part of `added` that is no thing
    mask: Mask = field(init=False)
    subject: Float | None = None
    segment: Segment | None = None
    flux: float = math.nan
    width_px: float = math.nan
    placed: list[tuple[float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stars = Stars(np.zeros(0), np.zeros(0), np.zeros(0))
        self.added, self.background = np.zeros((2, *self.shape), np.float32)
        self.mask = np.zeros(self.shape, bool)

    @property
    def shape(self) -> tuple[int, int]:
        side = self.size_px + 2 * self.margin_px
        return side, side

    @property
    def middle(self) -> float:
        """Where a cutout's trigger falls, on both axes."""
        return float(self.margin_px + self.size_px // 2)

    @property
    def sigma(self) -> float:
        return self.conditions.sigma

    def usable(self) -> Mask:
        """Pixels of the cutout that a reader gets to see.

        Returns
        -------
        (ny, nx) bool
            In the scene's shape: True inside the window and the chip, where nothing is masked.
        """
        left, right, bottom, top = self.rendering.edge
        half = self.rendering.window_px // 2
        low, high = self.margin_px, self.margin_px + self.size_px
        seen = np.zeros(self.shape, bool)
        centre = int(self.middle)
        seen[
            max(low + bottom, centre - half) : min(high - top, centre + half + 1),
            max(low + left, centre - half) : min(high - right, centre + half + 1),
        ] = True
        return seen & ~self.mask

    def tilt(self, background: Float) -> None:
        self.added += background
        self.background += background

    def near_middle(self, spread_px: float) -> tuple[float, float]:
        """A place off the middle by about as much as finders are off.

        Parameters
        ----------
        spread_px
            Standard deviation along each axis.

        Returns
        -------
        x, y : float
            Scene pixels, 0-based.
        """
        x, y = self.middle + self.rng.normal(0, spread_px, 2)
        return float(x), float(y)

    def off_middle(self, nearest_px: float) -> tuple[float, float]:
        """A place at least this far from the middle, inside the scene.

        Parameters
        ----------
        nearest_px
            Least distance from the middle.

        Returns
        -------
        x, y : float
            Scene pixels, 0-based; equally likely anywhere on the ring.
        """
        angle = self.rng.uniform(0, 2 * math.pi)
        farthest = max(nearest_px + 1.0, 0.72 * self.size_px)
        r = math.sqrt(self.rng.uniform(nearest_px**2, farthest**2))
        return self.middle + r * math.cos(angle), self.middle + r * math.sin(angle)

    def visible(self, segment: Segment) -> Segment | None:
        low = self.margin_px - 0.5
        return clip_to_box(segment, low, low, low + self.size_px, low + self.size_px)


def render_light(shape: tuple[int, int], trail: Trail, psf: Psf) -> Float:
    """A trail of unit flux, in pieces and out of focus where it is so.

    Parameters
    ----------
    shape : (ny, nx)
        Of the image.
    trail
        What is drawn.
    psf
        Of the image, before pixels blur it.

    Returns
    -------
    (ny, nx) float32
        Light that falls outside is lost.
    """
    wide = replace(psf, fwhm_px=psf.fwhm_px * trail.fwhm_factor)
    image = np.zeros(shape, np.float32)
    pieces = trail.pieces or ((trail.segment, 1.0),)
    for piece, share in pieces:
        inside = clip_to_box(piece, -40.0, -40.0, shape[1] + 39.0, shape[0] + 39.0)
        if inside is None:
            continue
        # What lies outside takes its share of the light along.
        share = share * (inside.length_px / piece.length_px if piece.length_px > 0 else 1.0)
        if trail.wobble_px:
            _add_wobbling(image, inside, share, wide, trail)
        else:
            add_trail(image, inside, share, wide, profile=trail.profile)
    return image


def _add_wobbling(image: Float, segment: Segment, flux: float, psf: Psf, trail: Trail) -> None:
    x, y = trail_points(segment, psf)
    s = np.linspace(0, segment.length_px, x.size)
    swing = trail.wobble_px * np.sin(2 * math.pi * s / trail.wobble_period_px)
    normal = math.radians(segment.theta_deg + 90)
    weights = np.interp(
        np.linspace(0, 1, x.size), np.linspace(0, 1, trail.profile.size), trail.profile
    )
    add_points(
        image,
        x + swing * math.cos(normal),
        y + swing * math.sin(normal),
        flux * weights / weights.sum(),
        psf,
    )


# ---------------------------------------------------------------------------------------------
# What stands around


def _sprinkle_stars(
    sky: Sky, *, median: float = 16.0, spread: float = 0.8, faintest: float = 900.0
) -> None:
    n = int(min(sky.rng.lognormal(math.log(median), spread), 150))
    stars = draw_stars(sky.rng, sky.shape, n, faintest=faintest)
    sky.stars = sky.stars.joined(list(stars.x), list(stars.y), list(stars.flux))


def _add_clutter(sky: Sky, *, probability: float = 0.4, nearest_px: float = 30.0) -> None:
    """Things of other classes, away from the middle."""
    rng = sky.rng
    if rng.random() < 0.25:
        sky.tilt(draw_gradient(rng, sky.shape, sky.sigma))
    if rng.random() < 0.1:
        sky.mask |= _draw_slab(rng, sky.shape, sky.off_middle(nearest_px))
    if rng.random() > probability:
        return
    kinds = rng.choice(["block", "bright", "ray", "ghost", "new", "negative"], rng.integers(1, 3))
    for kind in kinds:
        place = sky.off_middle(nearest_px)
        if kind == "block":
            sky.mask |= _draw_block(rng, sky.shape, place)
        elif kind == "bright":
            # The spikes and fans of a bright star reach far: keep the block itself outside.
            _add_bright_star(sky, sky.off_middle(nearest_px + 10))
        elif kind == "ray":
            ray = draw_cosmic_ray(rng, place, longest_px=20.0)
            sky.added += ray.render(sky.shape) * np.float32(ray.peak_sigma * sky.sigma)
        elif kind == "ghost":
            sky.added += draw_ghost(rng, sky.shape, place) * np.float32(
                log_uniform(rng, 0.2, 1.0) * sky.sigma
            )
        else:
            sign = 1.0 if kind == "new" else -1.0
            flux = sign * log_uniform(rng, 10, 200) * sky.sigma * 4
            add_points(sky.added, *place, flux, sky.conditions.science_psf)


def _add_bright_star(sky: Sky, place: tuple[float, float], *, naked: bool = False) -> None:
    star = draw_bright_star(sky.rng, place, naked=naked)
    added, mask = paint_bright_star(sky.shape, star, sky.sigma)
    sky.added += added
    sky.mask |= mask


def _draw_block(
    rng: np.random.Generator, shape: tuple[int, int], place: tuple[float, float]
) -> Mask:
    """A flat masked area: a rectangle, a column, or a slab."""
    ny, nx = shape
    x, y = np.arange(nx)[None, :] - place[0], np.arange(ny)[:, None] - place[1]
    kind = rng.choice(["rectangle", "column", "slab"], p=[0.5, 0.2, 0.3])
    if kind == "rectangle":
        return np.asarray((np.abs(x) < rng.uniform(2, 9)) & (np.abs(y) < rng.uniform(2, 9)))
    if kind == "column":
        half = rng.uniform(1, 9)
        return np.asarray((np.abs(x) < half) & (y * rng.choice([-1, 1]) > rng.uniform(-40, 20)))
    return _draw_slab(rng, shape, place)


def _draw_slab(
    rng: np.random.Generator, shape: tuple[int, int], place: tuple[float, float]
) -> Mask:
    """All that lies beyond a jagged or curved rim through a place, seen from the middle."""
    ny, nx = shape
    x, y = np.arange(nx)[None, :] - place[0], np.arange(ny)[:, None] - place[1]
    far_x, far_y = place[0] - nx / 2, place[1] - ny / 2
    if rng.random() < 0.6:
        teeth = np.repeat(rng.integers(0, 8, nx // 6 + 1), 6)[:nx]
        along_y = abs(far_y) > abs(far_x)
        depth, sign = (y, np.sign(far_y)) if along_y else (x, np.sign(far_x))
        comb = teeth[None, :] if along_y else teeth[:ny, None]
        return np.broadcast_to(depth * sign > comb, shape)
    radius = rng.uniform(60, 600)
    distance = max(math.hypot(far_x, far_y), 1.0)
    reach = np.hypot(x - radius * far_x / distance, y - radius * far_y / distance)
    result: Mask = reach < radius
    return result


# ---------------------------------------------------------------------------------------------
# The classes


def _asteroid(sky: Sky) -> None:
    _sprinkle_stars(sky)
    _add_clutter(sky)
    longest = min(110.0, 0.85 * sky.rendering.window_px)
    shortest = max(3.0, sky.conditions.science_psf.fwhm_px)
    trail = draw_asteroid(sky.rng, sky.near_middle(1.5), shortest_px=shortest, longest_px=longest)
    _add_trails(sky, [trail])


def _satellite(sky: Sky) -> None:
    _sprinkle_stars(sky)
    _add_clutter(sky)
    reach = 0.75 * sky.size_px + sky.margin_px
    trails = draw_satellite(
        sky.rng, sky.near_middle(3.0), reach_px=reach, seen_px=float(sky.rendering.window_px)
    )
    _add_trails(sky, trails)


def _add_trails(sky: Sky, trails: list[Trail]) -> None:
    """Trails scaled to their S/N over what can be seen; the first is the subject."""
    for k, trail in enumerate(trails):
        light = pass_object(
            render_light(sky.shape, trail, sky.conditions.science_psf), sky.conditions
        )
        norm = float(np.sqrt(np.sum(light[sky.usable()] ** 2, dtype=np.float64)))
        flux = trail.snr * sky.sigma / max(norm, 1e-6)
        light *= np.float32(flux)
        sky.added += light
        sky.subject = light if sky.subject is None else sky.subject + light
        if k == 0:
            sky.segment = sky.visible(trail.segment)
            sky.flux = flux * _share_within(trail.segment, sky)


def _share_within(segment: Segment, sky: Sky) -> float:
    """Share of a trail's length inside the cutout, to which the truth's flux refers."""
    inside = sky.visible(segment)
    if inside is None or segment.length_px == 0:
        return 1.0
    return inside.length_px / segment.length_px


def _cosmic_ray(sky: Sky) -> None:
    _sprinkle_stars(sky)
    _add_clutter(sky, probability=0.3)
    longest = min(70.0, 0.8 * sky.rendering.window_px)
    ray = draw_cosmic_ray(sky.rng, sky.near_middle(1.5), longest_px=longest)
    light = ray.render(sky.shape) * np.float32(ray.peak_sigma * sky.sigma)
    sky.added += light
    sky.subject, sky.segment, sky.flux = light, sky.visible(ray.segment), float(light.sum())
    sky.width_px = ray.width_px
    if sky.rng.random() < 0.25:
        # Showers and pairs: several tracks of one particle.
        other = draw_cosmic_ray(sky.rng, sky.near_middle(20.0), longest_px=30.0)
        light = other.render(sky.shape) * np.float32(other.peak_sigma * sky.sigma)
        sky.added += light
        sky.subject = sky.subject + light


def _ghost(sky: Sky) -> None:
    _sprinkle_stars(sky, median=6.0)
    _add_clutter(sky, probability=0.25)
    peak = log_uniform(sky.rng, 1.5, 7.0) if sky.rng.random() < 0.8 else log_uniform(sky.rng, 4, 15)
    light = draw_ghost(sky.rng, sky.shape, sky.near_middle(4.0)) * np.float32(peak * sky.sigma)
    sky.added += light
    sky.subject = light


def _masked_star(sky: Sky) -> None:
    rng = sky.rng
    naked = rng.random() < 0.08
    if naked:
        sky.conditions = _naked_conditions(rng, sky.conditions)
        _sprinkle_stars(sky, median=14.0)
    else:
        _sprinkle_stars(sky, median=20.0)
    _add_clutter(sky, probability=0.15, nearest_px=40.0)
    # Finders trigger on the rim, a fan or a spike: the block itself stands beside the middle.
    star = draw_bright_star(rng, (0.0, 0.0), naked=naked)
    angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(1, 28)
    away = math.hypot(star.half_width * math.cos(angle), star.half_height * math.sin(angle))
    if rng.random() < 0.1:
        away = distance = 0.0
    star = replace(
        star,
        x=sky.middle + (away + distance) * math.cos(angle),
        y=sky.middle + (away + distance) * math.sin(angle),
    )
    added, mask = paint_bright_star(sky.shape, star, sky.sigma)
    sky.added += added
    sky.mask |= mask
    sky.subject = added


def _naked_conditions(rng: np.random.Generator, conditions: Conditions) -> Conditions:
    """A subtraction that failed for all stars of a field, though they are in register."""
    sx, sy = conditions.shift_px
    conditions = replace(conditions, shift_px=(0.3 * sx, 0.3 * sy))
    kind = rng.choice(["haze", "soft", "missing", "standing"], p=[0.7, 0.1, 0.08, 0.12])
    if kind == "haze":
        # Light scattered out of the core: light cores in broad dark halos, a little lopsided.
        angle, shift = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2.5)
        return replace(
            conditions,
            halo=log_uniform(rng, 0.05, 0.4),
            halo_fwhm_px=float(rng.uniform(6, 18)),
            halo_shift_px=(shift * math.cos(angle), shift * math.sin(angle)),
            flux_ratio=float(np.exp(-abs(rng.normal(0, 0.02)))),
        )
    if kind == "soft":
        # The science image is softer, seldom sharper, than its model: cores with rings.
        softer = float(rng.uniform(1.12, 1.6)) ** (1 if rng.random() < 0.85 else -1)
        psf = conditions.science_psf
        science = replace(psf, fwhm_px=_softened(psf.fwhm_px, softer))
        scale = float(np.exp(rng.normal(0, 0.06)))
        return replace(conditions, science_psf=science, science_model=psf, flux_ratio=scale)
    ratio = rng.uniform(0.0, 0.8) if kind == "missing" else rng.uniform(1.2, 3.0)
    return replace(conditions, flux_ratio=float(ratio), flux_scatter=0.1)


def _naked_star(sky: Sky) -> None:
    rng = sky.rng
    if rng.random() < 0.9:
        sky.conditions = _naked_conditions(rng, sky.conditions)
        _sprinkle_stars(sky, median=32.0, spread=0.5, faintest=log_uniform(rng, 1000, 5000))
        _add_clutter(sky, probability=0.15)
        if rng.random() < 0.15:
            _add_bright_star(sky, sky.off_middle(25.0), naked=True)
        _put_star(sky, sky.near_middle(1.0), log_uniform(rng, 14, 300))
        if rng.random() < 0.5:
            _put_star(sky, sky.near_middle(6.0), log_uniform(rng, 8, 200))
        return
    # One new or vanished star.
    _sprinkle_stars(sky, median=7.0)
    _add_clutter(sky, probability=0.3)
    light = np.zeros(sky.shape, np.float32)
    add_points(light, *sky.near_middle(1.0), 1.0, sky.conditions.science_psf)
    light = pass_object(light, sky.conditions)
    light *= np.float32(log_uniform(rng, 6, 300) * sky.sigma * rng.choice([1, -1]) / light.max())
    sky.added += light
    sky.subject = light


def _put_star(sky: Sky, place: tuple[float, float], peak_sigma: float) -> None:
    """A star bright enough that its residual peaks at about this many sigma."""
    peak = peak_sigma * sky.sigma
    flux = peak / max(_residual_peak(sky.conditions), 1e-6)
    flux = float(np.clip(flux, 800.0, 1.2e6))
    sky.stars = sky.stars.joined([place[0]], [place[1]], [flux])
    sky.placed.append((*place, flux))


def _residual_peak(conditions: Conditions) -> float:
    """Largest residual of a star of unit flux, alone and unsaturated, counts."""
    star = Stars(np.array([20.3]), np.array([19.8]), np.array([1.0]))
    rng = np.random.default_rng(0)
    science, reference = render_stars((40, 40), star, conditions, rng)
    return float(np.abs(subtract(science, reference, conditions)).max())


def _yin_yang(sky: Sky) -> None:
    rng = sky.rng
    _sprinkle_stars(sky, median=40.0, spread=0.6, faintest=log_uniform(rng, 700, 2500))
    _add_clutter(sky, probability=0.35)
    x, y = sky.near_middle(1.5)
    brightest = log_uniform(rng, 18, 200)
    if rng.random() < 0.22:
        _put_star(sky, (x, y), brightest)
        return
    # A few close together, in a row more often than by chance: that is what finders trigger on.
    # Lobes of one sign line up where the stars stand across the shift between the images.
    shift_x, shift_y = sky.conditions.shift_px
    angle = math.atan2(shift_y, shift_x) + 0.5 * math.pi + rng.normal(0, 0.5)
    if rng.random() < 0.3:
        angle = rng.uniform(0, math.pi)
    apart = log_uniform(rng, 2.2, 6.0)
    n = int(rng.choice([2, 3, 4], p=[0.5, 0.35, 0.15]))
    for k in range(n):
        s = apart * (k - (n - 1) / 2 + rng.normal(0, 0.25))
        t = rng.normal(0, 0.8)
        place = (
            x + s * math.cos(angle) - t * math.sin(angle),
            y + s * math.sin(angle) + t * math.cos(angle),
        )
        _put_star(sky, place, brightest * rng.uniform(0.6, 1.0))


def _skip(sky: Sky) -> None:
    rng = sky.rng
    _sprinkle_stars(sky, median=2.0, spread=0.9)
    # Only faint stars: blank means that nothing stands at the trigger.
    keep = np.hypot(sky.stars.x - sky.middle, sky.stars.y - sky.middle) > 25
    sky.stars = Stars(sky.stars.x[keep], sky.stars.y[keep], sky.stars.flux[keep])
    if rng.random() < 0.9:
        sky.tilt(draw_gradient(rng, sky.shape, 1.6 * sky.sigma))
    if rng.random() < 0.3:
        sky.mask |= _draw_block(rng, sky.shape, sky.off_middle(25.0))
    if rng.random() < 0.06:
        ghost = draw_ghost(rng, sky.shape, sky.off_middle(20.0))
        sky.added += ghost * np.float32(rng.uniform(0.1, 0.35) * sky.sigma)


RECIPES: Mapping[str, Callable[[Sky], None]] = {
    "asteroid": _asteroid,
    "satellite": _satellite,
    "masked_star": _masked_star,
    "ghost": _ghost,
    "cosmic_ray": _cosmic_ray,
    "naked_star": _naked_star,
    "yin_yang": _yin_yang,
    SKIP: _skip,
}


def render(sky: Sky) -> tuple[Float, Float, Float]:
    """Stars of a sky in science image and reference, and what subtraction leaves; no noise yet.

    Parameters
    ----------
    sky
        With its class's recipe carried out.

    Returns
    -------
    science, reference : (ny, nx) float32
        Counts of the science image.
    residual : (ny, nx) float32
        What subtraction leaves of the stars, counts.
    """
    science, reference = render_stars(sky.shape, sky.stars, sky.conditions, sky.rng)
    return science, reference, subtract(science, reference, sky.conditions)


def expose(sky: Sky, science: Float, reference: Float, residual: Float) -> Float:
    """The difference image of a rendered sky with its noise, in counts.

    Parameters
    ----------
    sky
        With its class's recipe carried out.
    science, reference, residual : (ny, nx), counts
        As `render` gives them, in the scene's shape.

    Returns
    -------
    (ny, nx) float32, counts
    """
    photons = science + np.maximum(sky.added, 0)
    return add_noise(residual + sky.added, photons, reference, sky.conditions, sky.rng)


def conditions_for(
    rng: np.random.Generator, label: str, fwhm_px: tuple[float, float] | None = None
) -> Conditions:
    """Exposure conditions under which a class occurs.

    Parameters
    ----------
    rng
        Source of randomness.
    label
        The class.
    fwhm_px
        Range of the PSF's FWHM, as `streaks.synth.drawing.scene.draw_conditions` takes it.

    Returns
    -------
    Conditions
    """
    if label != "yin_yang":
        return draw_conditions(
            rng,
            mismatch=log_uniform(rng, 0.5, 3.0),
            misregistration=log_uniform(rng, 0.7, 7.0),
            fwhm_px=fwhm_px,
        )
    conditions = draw_conditions(
        rng,
        mismatch=log_uniform(rng, 0.3, 3.0),
        misregistration=log_uniform(rng, 1.2, 10.0),
        fwhm_px=fwhm_px,
    )
    # All stars of a field are out of register alike; fields differ in how much they ring.
    gain = 0.15 if rng.random() < 0.25 else log_uniform(rng, 1.5, 8.0)
    ringing = conditions.ringing
    ringing = replace(
        ringing,
        sharpening=gain * ringing.sharpening,
        vertical=ringing.vertical * log_uniform(rng, 0.7, 2.5),
    )
    conditions = replace(conditions, ringing=ringing)
    if rng.random() < 0.55:
        # A science image softer than its model turns dipoles into dark crescents round light cores.
        psf = conditions.science_psf
        softer = _softened(psf.fwhm_px, 1.0 + abs(float(rng.normal(0, 0.1))))
        conditions = replace(
            conditions, science_psf=replace(psf, fwhm_px=softer), science_model=psf
        )
    return _with_haze(rng, conditions)


def _softened(fwhm_px: float, factor: float) -> float:
    """A FWHM changed by a factor, within what the conditions of its kind have."""
    return min(max(factor * fwhm_px, min(1.4, fwhm_px)), max(5.0, 1.1 * fwhm_px))


def _with_haze(rng: np.random.Generator, conditions: Conditions) -> Conditions:
    """Now and then a little of the stars' light is scattered beside them."""
    if rng.random() > 0.25:
        return conditions
    angle, shift = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2.0)
    return replace(
        conditions,
        halo=log_uniform(rng, 0.005, 0.05),
        halo_fwhm_px=float(rng.uniform(6, 18)),
        halo_shift_px=(shift * math.cos(angle), shift * math.sin(angle)),
    )
