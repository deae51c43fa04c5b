"""Whole simulated exposures: science, reference, mask and difference of one quadrant."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from streaks.errors import ConfigError
from streaks.geometry import Segment, clip_segment
from streaks.synth.drawing.artifacts import draw_cosmic_ray, draw_ghost
from streaks.synth.drawing.bright_stars import BrightStar, draw_bright_star, paint_bright_star
from streaks.synth.drawing.populations import Trail, draw_satellite, log_uniform
from streaks.synth.drawing.psf import add_points, add_trail
from streaks.synth.drawing.scene import (
    Conditions,
    Stars,
    correlate_noise,
    draw_conditions,
    draw_stars,
    pass_object,
    subtract_exposures,
)

__all__ = [
    "MASK_BITS",
    "FramePlan",
    "FrameTruth",
    "NightConfig",
    "SimulatedFrame",
    "Streak",
    "draw_frame_conditions",
    "render_frame",
    "trail_flux",
]

Float = NDArray[np.float32]

#: Bits of ZTF's mask images (Masci et al. 2019, PASP 131, 018003, table of mask bits).
MASK_BITS = {
    "track": 1 << 0,
    "source": 1 << 1,
    "ghost": 1 << 5,
    "spike": 1 << 7,
    "saturated": 1 << 8,
    "dead": 1 << 9,
    "nan": 1 << 10,
    "psf_source": 1 << 11,
    "halo": 1 << 12,
}

#: Kernels and trails need room beyond the image's edge.
_MARGIN_PX = 24
_PATCH_PX = 64


@dataclass(frozen=True, kw_only=True)
class NightConfig:
    """What fills a simulated night; densities are per 2048 x 2048 px.

    Parameters
    ----------
    stars
        A mid-latitude ZTF quadrant (3072 x 3080 px) shows about 3000 of them.
    dipoles
        Stars that are out of register and leave dipoles.
    masked_stars
        Saturated stars with bleeds, masked.
    cosmic_rays, ghosts
        Their densities.
    point_sources
        Variable stars and transients, of both signs.
    satellites
        In a frame of any size, in the mean.
    asteroids : (fewest, most)
        In a frame.
    asteroid_snr, asteroid_length_px : (least, largest)
        Matched-filter S/N of asteroids, and the length of their trails.
    known_share
        Share of the asteroids that the orbit file holds, 0 to 1.
    exposure_s, zero_point_mag, pixel_scale_arcsec, read_noise_e
        Of the camera; read noise in electrons, the zero point as in `streaks.frame.Frame`.
    psf_variation
        How much wider the PSF is in the corners than in the middle, in both images, 0 to 1.

    Raises
    ------
    ConfigError
        If a number is out of its range.
    """

    stars: float = 1330.0
    dipoles: float = 300.0
    masked_stars: float = 12.0
    cosmic_rays: float = 40.0
    point_sources: float = 100.0
    ghosts: float = 0.7
    satellites: float = 0.45
    asteroids: tuple[int, int] = (2, 6)
    asteroid_snr: tuple[float, float] = (8.0, 60.0)
    asteroid_length_px: tuple[float, float] = (8.0, 80.0)
    known_share: float = 0.5
    exposure_s: float = 30.0
    zero_point_mag: float = 26.3
    pixel_scale_arcsec: float = 1.01
    read_noise_e: float = 10.0
    psf_variation: float = 0.05

    def __post_init__(self) -> None:
        for name in (
            "stars",
            "dipoles",
            "masked_stars",
            "cosmic_rays",
            "point_sources",
            "ghosts",
            "satellites",
        ):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} is {value}; a density must be 0 or more")
        for name in ("asteroids", "asteroid_snr", "asteroid_length_px"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ConfigError(f"{name} is {low} to {high}; give the smaller first, none < 0")
        if not 0 <= self.known_share <= 1:
            raise ConfigError(f"known_share is {self.known_share}; it must lie in 0 to 1")
        if not 0 <= self.psf_variation <= 1:
            raise ConfigError(f"psf_variation is {self.psf_variation}; it must lie in 0 to 1")
        for name in ("exposure_s", "pixel_scale_arcsec"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")


@dataclass(frozen=True)
class Streak:
    """An asteroid's trail in one frame.

    Parameters
    ----------
    segment
        Where its centre was at shutter open and close, 0-based px.
    snr
        Matched-filter S/N, which sets the light where `flux` is NaN.
    flux
        Counts; NaN where `snr` sets it.
    """

    segment: Segment
    snr: float = math.nan
    flux: float = math.nan


@dataclass(frozen=True, eq=False)
class FramePlan:
    """What one frame will hold; the rest is drawn from its own generator.

    Parameters
    ----------
    name
        Of the image, without suffix.
    shape : (ny, nx)
        Of the image.
    seed
        Of all that is this frame's own.
    conditions
        Of the exposure and its reference.
    asteroids
        Trails of this frame.
    config
        Densities and the camera.
    field_seed
        Of the field's stars: the same in all of its frames.
    """

    name: str
    shape: tuple[int, int]
    seed: int
    conditions: Conditions
    asteroids: tuple[Streak, ...]
    config: NightConfig
    field_seed: int


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """One thing put into a frame.

    Parameters
    ----------
    label
        Class.
    x, y
        Its place, or the midpoint of its line, 0-based px.
    segment
        Its line; None where it is none.
    flux
        Counts; NaN where it has no set flux.
    snr
        Matched-filter S/N in the difference; NaN where it was not worked out.
    index
        Of the asteroid in the plan; -1 for anything else.
    """

    label: str
    x: float
    y: float
    segment: Segment | None
    flux: float
    snr: float
    index: int = -1


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """The images of one exposure, all (ny, nx), and what is in them.

    Parameters
    ----------
    difference, science, reference : (ny, nx) float32
        Counts.
    mask : (ny, nx) int16
        ZTF's own bits.
    truth
        What was put in, asteroids and all else.
    """

    difference: Float
    science: Float
    reference: Float
    mask: NDArray[np.int16]
    truth: tuple[FrameTruth, ...]


def draw_frame_conditions(rng: np.random.Generator) -> Conditions:
    """Conditions of an ordinary exposure: good but not perfect subtraction.

    Parameters
    ----------
    rng
        Source of randomness.

    Returns
    -------
    Conditions
    """
    c = draw_conditions(rng, mismatch=0.35)
    fwhm = float(np.clip(rng.lognormal(math.log(2.4), 0.15), 1.8, 3.6))
    scale = fwhm / c.science_psf.fwhm_px
    return replace(
        c,
        science_psf=replace(c.science_psf, fwhm_px=fwhm, beta=max(c.science_psf.beta, 3.5)),
        science_model=replace(
            c.science_model,
            fwhm_px=c.science_model.fwhm_px * scale,
            beta=max(c.science_psf.beta, 3.5),
        ),
        reference_psf=replace(c.reference_psf, fwhm_px=c.reference_psf.fwhm_px * scale),
        reference_model=replace(c.reference_model, fwhm_px=c.reference_model.fwhm_px * scale),
        correlation=min(c.correlation, 0.1),
        reference_noise=float(rng.uniform(0.15, 0.4)),
        gain=6.2,
    )


class _Canvas:
    """The layers of a frame while things are added to it; margin included."""

    def __init__(self, plan: FramePlan) -> None:
        ny, nx = plan.shape
        self.plan = plan
        self.c = plan.conditions
        full = (fft.next_fast_len(ny + 2 * _MARGIN_PX), fft.next_fast_len(nx + 2 * _MARGIN_PX))
        self.science = np.zeros(full, np.float32)  # stars, which subtraction tries to remove
        self.reference = np.zeros(full, np.float32)
        self.new = np.zeros(full, np.float32)  # light in the science image alone
        self.added = np.zeros(full, np.float32)  # straight into the difference
        self.mask = np.zeros(full, np.int16)
        self.truth: list[FrameTruth] = []
        self.area = ny * nx / 2048.0**2

    def conditions_at(self, x: float, y: float) -> Conditions:
        """The conditions with the PSFs of an image place: optics are sharpest in the middle."""
        ny, nx = self.plan.shape
        off = ((2 * x / nx - 1) ** 2 + (2 * y / ny - 1) ** 2) / 2
        # In steps that nobody sees, so that few profiles are made.
        wider = 1.0 + round(self.plan.config.psf_variation * off, 3)
        if wider == 1.0:
            return self.c
        science, reference = self.c.science_psf, self.c.reference_psf
        return replace(
            self.c,
            science_psf=replace(science, fwhm_px=science.fwhm_px * wider),
            reference_psf=replace(reference, fwhm_px=reference.fwhm_px * wider),
        )

    def count(self, rng: np.random.Generator, density: float) -> int:
        return int(rng.poisson(density * self.area))

    def place(self, rng: np.random.Generator) -> tuple[float, float]:
        ny, nx = self.plan.shape
        return float(rng.uniform(-0.5, nx - 0.5)), float(rng.uniform(-0.5, ny - 0.5))

    def note(self, label: str, x: float, y: float, **more: object) -> None:
        values: dict[str, object] = {"segment": None, "flux": math.nan, "snr": math.nan}
        self.truth.append(FrameTruth(label=label, x=x, y=y, **{**values, **more}))  # type: ignore[arg-type]

    def window(self, x: float, y: float, half: int) -> tuple[tuple[slice, slice], float, float]:
        """Slices about an image place, and the place inside them."""
        cx, cy = round(x) + _MARGIN_PX, round(y) + _MARGIN_PX
        ny, nx = self.science.shape
        x_low, y_low = max(cx - half, 0), max(cy - half, 0)
        box = (slice(y_low, min(cy + half, ny)), slice(x_low, min(cx + half, nx)))
        return box, x + _MARGIN_PX - x_low, y + _MARGIN_PX - y_low


def render_frame(plan: FramePlan) -> SimulatedFrame:
    """All images of one planned exposure.

    Parameters
    ----------
    plan
        Shape, conditions, asteroids and densities.

    Returns
    -------
    SimulatedFrame
        NaN in the difference where saturated cores are masked.
    """
    canvas = _Canvas(plan)
    field = np.random.default_rng(plan.field_seed)
    rng = np.random.default_rng(plan.seed)
    _add_stars(canvas, field, rng)
    _add_bright_stars(canvas, field)
    _add_point_sources(canvas, field, rng)
    _add_cosmic_rays(canvas, rng)
    _add_ghosts(canvas, rng)
    _add_satellites(canvas, rng)
    for index, streak in enumerate(plan.asteroids):
        _add_asteroid(canvas, streak, index)
    return _expose(canvas, rng)


def _add_stars(canvas: _Canvas, field: np.random.Generator, rng: np.random.Generator) -> None:
    """The field's stars; some of them out of register, which leaves dipoles."""
    config, c = canvas.plan.config, canvas.c
    n = round(config.stars * canvas.area)
    stars = draw_stars(field, canvas.science.shape, n, faintest=700.0, brightest=3e5)
    dipoles = round(config.dipoles * canvas.area)
    # Only what is bright leaves a dipole worth the name.
    order = np.argsort(-stars.flux)[: 4 * dipoles]
    wrong = field.permutation(order)[:dipoles] if dipoles else np.zeros(0, int)
    error = np.full(n, 0.0)
    error[wrong] = field.lognormal(math.log(0.15), 0.6, wrong.size)
    turn = field.uniform(0, 2 * math.pi, n)
    jitter = rng.normal(0, c.shift_scatter_px, (2, n))
    dx = c.shift_px[0] + error * np.cos(turn) + jitter[0]
    dy = c.shift_px[1] + error * np.sin(turn) + jitter[1]
    ratio = c.flux_ratio * np.exp(rng.normal(0, c.flux_scatter, n))
    for k in range(n):
        x, y, f = stars.x[k], stars.y[k], stars.flux[k]
        here = canvas.conditions_at(x - _MARGIN_PX, y - _MARGIN_PX)
        add_points(canvas.science, x + dx[k], y + dy[k], f * ratio[k], here.science_psf)
        add_points(canvas.reference, x, y, f, here.reference_psf)
    _mark_sources(canvas, stars)
    for k in wrong:
        canvas.note("yin_yang", stars.x[k] - _MARGIN_PX, stars.y[k] - _MARGIN_PX)


def _mark_sources(canvas: _Canvas, stars: Stars) -> None:
    for x, y, flux in zip(stars.x, stars.y, stars.flux, strict=True):
        half = 2 + int(0.8 * math.log10(flux))
        box, _, _ = canvas.window(x - _MARGIN_PX, y - _MARGIN_PX, half)
        canvas.mask[box] |= MASK_BITS["source"] | MASK_BITS["psf_source"]


def _add_bright_stars(canvas: _Canvas, field: np.random.Generator) -> None:
    """Saturated stars: clipped in both images, masked, with what runs over and rings."""
    c = canvas.c
    for _ in range(canvas.count(field, canvas.plan.config.masked_stars)):
        x, y = canvas.place(field)
        star = draw_bright_star(field, (x, y))
        if field.random() < 0.6 and not star.bleed_half_width:
            down, up = (log_uniform(field, 8, 150) for _ in range(2))
            star = replace(star, bleed_half_width=field.uniform(1, 3), bleed_reach=(down, up))
        flux = log_uniform(field, 8e5, 8e6)
        add_points(
            canvas.science, x + _MARGIN_PX, y + _MARGIN_PX, flux, replace(c.science_psf, beta=2.6)
        )
        add_points(
            canvas.reference,
            x + _MARGIN_PX,
            y + _MARGIN_PX,
            flux,
            replace(c.reference_psf, beta=2.6),
        )
        _paint_block(canvas, star)
        canvas.note("masked_star", x, y)


def _paint_block(canvas: _Canvas, star: BrightStar) -> None:
    box, x, y = canvas.window(star.x, star.y, 180)
    shape = canvas.added[box].shape
    added, block = paint_bright_star((shape[0], shape[1]), replace(star, x=x, y=y), canvas.c.sigma)
    canvas.added[box] += added
    mask = canvas.mask[box]
    mask[block] |= MASK_BITS["saturated"]
    if star.spikes:
        loud = (np.abs(added) > 8 * canvas.c.sigma) & ~block
        mask[loud] |= MASK_BITS["spike"]


def _add_point_sources(
    canvas: _Canvas, field: np.random.Generator, rng: np.random.Generator
) -> None:
    """Stars in one of the two images only: new ones, and those that the reference alone has."""
    c = canvas.c
    for source, share in ((rng, 0.6), (field, 0.4)):
        layer, sign = (canvas.new, 1.0) if source is rng else (canvas.reference, -1.0)
        for _ in range(canvas.count(source, share * canvas.plan.config.point_sources)):
            x, y = canvas.place(source)
            flux = log_uniform(source, 25, 1500) * c.sigma
            here = canvas.conditions_at(x, y)
            psf = here.science_psf if source is rng else here.reference_psf
            add_points(layer, x + _MARGIN_PX, y + _MARGIN_PX, flux, psf)
            canvas.note("naked_star", x, y, flux=sign * flux)


def _add_cosmic_rays(canvas: _Canvas, rng: np.random.Generator) -> None:
    for _ in range(canvas.count(rng, canvas.plan.config.cosmic_rays)):
        x, y = canvas.place(rng)
        box, cx, cy = canvas.window(x, y, _PATCH_PX)
        ray = draw_cosmic_ray(rng, (cx, cy), longest_px=60.0)
        shape = canvas.new[box].shape
        light = ray.render((shape[0], shape[1])) * np.float32(ray.peak_sigma * canvas.c.sigma)
        canvas.new[box] += light
        if rng.random() < 0.4:
            canvas.mask[box][light > 0.3 * light.max()] |= MASK_BITS["spike"]
        s = ray.segment.shifted(x - cx, y - cy).ordered()
        canvas.note("cosmic_ray", x, y, segment=s, flux=float(light.sum()))


def _add_ghosts(canvas: _Canvas, rng: np.random.Generator) -> None:
    for _ in range(canvas.count(rng, canvas.plan.config.ghosts)):
        x, y = canvas.place(rng)
        box, cx, cy = canvas.window(x, y, 200)
        ny, nx = canvas.new[box].shape
        image = draw_ghost(rng, (ny, nx), (cx, cy))
        # A soft frame: the reflection ends inside its own box.
        taper = np.minimum(_taper(ny)[:, None], _taper(nx)[None, :])
        canvas.new[box] += image * taper * np.float32(log_uniform(rng, 0.6, 5.0) * canvas.c.sigma)
        canvas.note("ghost", x, y)


def _taper(n: int) -> Float:
    t = np.minimum(np.arange(n), np.arange(n)[::-1]) / max(0.2 * n, 1.0)
    return np.sin(0.5 * math.pi * np.clip(t, 0, 1)).astype(np.float32) ** 2


def _add_satellites(canvas: _Canvas, rng: np.random.Generator) -> None:
    ny, nx = canvas.plan.shape
    for _ in range(int(rng.poisson(canvas.plan.config.satellites))):
        trails = draw_satellite(rng, canvas.place(rng), reach_px=float(nx + ny))
        for trail in trails:
            inside = clip_segment(trail.segment, canvas.plan.shape)
            if inside is None or inside.length_px < 30:
                continue
            # The wanted S/N is that of a cutout's worth of trail, whatever the frame's size.
            snr = trail.snr * math.sqrt(max(inside.length_px / 128.0, 0.1))
            _add_satellite(canvas, replace(trail, snr=snr), inside, rng.random() < 0.5)


def _add_satellite(canvas: _Canvas, trail: Trail, inside: Segment, tracked: bool) -> None:
    c = canvas.c
    psf = replace(c.science_psf, fwhm_px=c.science_psf.fwhm_px * trail.fwhm_factor)
    # Of a Gaussian line of flux f per px, sum(t^2) = f^2 L / (2 sqrt(pi) s).
    width = psf.fwhm_px / 2.3548
    per_px = trail.snr * c.sigma / math.sqrt(inside.length_px / (2 * math.sqrt(math.pi) * width))
    flux = per_px * inside.length_px
    if trail.pieces:
        lit = [
            (clip_segment(s, canvas.plan.shape), share / s.length_px) for s, share in trail.pieces
        ]
        light = sum(d * s.length_px for s, d in lit if s is not None)
        parts = (
            [(s, flux * d * s.length_px / light) for s, d in lit if s is not None] if light else []
        )
    else:
        parts = [(inside, flux)]
    for segment, part in parts:
        shifted = segment.shifted(_MARGIN_PX, _MARGIN_PX)
        profile = None if trail.pieces else trail.profile
        add_trail(canvas.new, shifted, part, psf, profile=profile)
    if tracked:
        _mark_track(canvas, inside)
    x, y = inside.midpoint
    canvas.note("satellite", x, y, segment=inside, flux=flux, snr=trail.snr)


def _mark_track(canvas: _Canvas, segment: Segment) -> None:
    import cv2

    line = np.zeros(canvas.mask.shape, np.uint8)
    ends = [
        (round(x) + _MARGIN_PX, round(y) + _MARGIN_PX)
        for x, y in ((segment.x0, segment.y0), (segment.x1, segment.y1))
    ]
    cv2.line(line, ends[0], ends[1], 1, thickness=11)
    canvas.mask[line > 0] |= MASK_BITS["track"]


def trail_flux(segment: Segment, conditions: Conditions) -> float:
    """Flux at which a trail's matched-filter S/N is 1 in the difference, counts.

    The S/N of flux f is ``f sqrt(sum(template**2)) / sigma`` in white noise.

    Parameters
    ----------
    segment
        The trail, px.
    conditions
        Of the exposure: its PSF, noise and subtraction.

    Returns
    -------
    float
    """
    half = int(0.5 * segment.length_px) + 3 * conditions.science_psf.reach_px
    x, y = segment.midpoint
    unit = np.zeros((2 * half, 2 * half), np.float32)
    moved = segment.shifted(half - round(x), half - round(y))
    add_trail(unit, moved, 1.0, conditions.science_psf)
    template = pass_object(unit, conditions)
    return conditions.sigma / math.sqrt(float(np.sum(template.astype(np.float64) ** 2)))


def _add_asteroid(canvas: _Canvas, streak: Streak, index: int) -> None:
    """One trail with the S/N or the flux that the plan wants."""
    x, y = streak.segment.midpoint
    c = canvas.conditions_at(x, y)
    flux_of_one = trail_flux(streak.segment, c)
    flux = streak.flux if math.isfinite(streak.flux) else streak.snr * flux_of_one
    add_trail(canvas.new, streak.segment.shifted(_MARGIN_PX, _MARGIN_PX), flux, c.science_psf)
    canvas.note(
        "asteroid",
        x,
        y,
        segment=streak.segment,
        flux=flux,
        snr=flux / flux_of_one,
        index=index,
    )


def _expose(canvas: _Canvas, rng: np.random.Generator) -> SimulatedFrame:
    """Noise, saturation and subtraction of what has been laid down."""
    c, config = canvas.c, canvas.plan.config
    total = math.hypot(1.0, c.reference_noise)
    noise_sky = c.sigma / total
    # The sky's own photons make up what read noise leaves of the background's variance.
    sky = max(noise_sky**2 - (config.read_noise_e / c.gain) ** 2, 1.0) * c.gain
    np.minimum(canvas.science, c.saturation, out=canvas.science)
    np.minimum(canvas.reference, c.reference_saturation, out=canvas.reference)
    shape = canvas.science.shape
    photons = np.maximum(canvas.science, 0) + np.maximum(canvas.new, 0)
    variance: Float = (noise_sky**2 + photons / c.gain).astype(np.float32)
    noise = np.sqrt(variance)
    noise *= rng.standard_normal(shape, dtype=np.float32)
    # All visits of a field share one reference, noise included.
    plate = np.random.default_rng((canvas.plan.field_seed, 1))
    reference_noise = np.asarray(plate.standard_normal(shape, dtype=np.float32))
    reference_noise *= np.float32(noise_sky * c.reference_noise)
    noise = correlate_noise(noise, c.correlation)
    reference_noise = correlate_noise(reference_noise, c.correlation)
    difference = subtract_exposures(
        canvas.science, canvas.reference, canvas.new + noise, reference_noise, c
    )
    difference += canvas.added
    science = canvas.science + canvas.new + noise + np.float32(sky)
    reference = canvas.reference + reference_noise
    full = (canvas.mask & MASK_BITS["saturated"]) > 0
    science[full], reference[full] = c.saturation + sky, c.reference_saturation
    np.minimum(science, np.float32(c.saturation + sky), out=science)
    ny, nx = canvas.plan.shape
    inner = (slice(_MARGIN_PX, _MARGIN_PX + ny), slice(_MARGIN_PX, _MARGIN_PX + nx))
    mask = canvas.mask[inner].copy()
    difference = difference[inner].copy()
    difference[(mask & MASK_BITS["saturated"]) > 0] = np.nan
    return SimulatedFrame(
        difference, science[inner].copy(), reference[inner].copy(), mask, tuple(canvas.truth)
    )
