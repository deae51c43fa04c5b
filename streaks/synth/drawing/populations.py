"""Draws from the populations of moving things: what an asteroid or a satellite is like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment

__all__ = ["Trail", "draw_asteroid", "draw_satellite", "log_uniform"]


@dataclass(frozen=True, eq=False)
class Trail:
    """One or more straight pieces of light in cutout or image pixels.

    Parameters
    ----------
    segment
        The whole line, from the first light to the last.
    snr
        Matched-filter signal-to-noise to be reached, over the pixels that can be used.
    pieces
        Straight pieces and the share of light of each; the whole segment when empty.
    profile : (n,)
        Brightness along each piece.
    fwhm_factor
        Width over that of the PSF; above 1 for near satellites, which are out of focus.
    wobble_px, wobble_period_px
        Side to side motion of the telescope during the exposure.
    """

    segment: Segment
    snr: float
    pieces: tuple[tuple[Segment, float], ...] = ()
    profile: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))
    fwhm_factor: float = 1.0
    wobble_px: float = 0.0
    wobble_period_px: float = 20.0


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One draw, uniform in the logarithm.

    Parameters
    ----------
    rng
        Source of randomness.
    low, high
        Bounds, positive.

    Returns
    -------
    float
    """
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def draw_asteroid(
    rng: np.random.Generator,
    centre: tuple[float, float],
    *,
    shortest_px: float = 3.0,
    longest_px: float = 110.0,
) -> Trail:
    """A short straight trail, uniform or slowly varying, both ends seen.

    Parameters
    ----------
    rng
        Source of randomness.
    centre : (x, y)
        Midpoint of the trail, px.
    shortest_px, longest_px
        Bounds of its length, uniform in the logarithm; the longest is at least 1.2 times the
        shortest.

    Returns
    -------
    Trail
    """
    length = log_uniform(rng, shortest_px, max(longest_px, 1.2 * shortest_px))
    # Most real ones are faint: 5-15 in total; bright ones are needed all the same.
    snr = log_uniform(rng, 4.0, 60.0) if rng.random() < 0.7 else log_uniform(rng, 30.0, 800.0)
    segment = Segment.from_midpoint(*centre, length, rng.uniform(0, 180))
    return Trail(segment, snr, profile=_rotation(rng), wobble_px=0.3 * (rng.random() < 0.1))


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Brightness along the trail of a body that turns slowly, or not at all."""
    if rng.random() < 0.6:
        return np.ones(2)
    t = np.linspace(0, 1, 33)
    depth = rng.uniform(0.05, 0.5)
    return 1 + depth * np.sin(2 * math.pi * (rng.uniform(0.1, 1.5) * t + rng.random()))


def draw_satellite(
    rng: np.random.Generator,
    centre: tuple[float, float],
    *,
    reach_px: float = 128.0,
    seen_px: float = 128.0,
) -> list[Trail]:
    """A trail that crosses the field or leaves it: steady, flashing, glinting, or a pair.

    Parameters
    ----------
    rng
        Source of randomness.
    centre : (x, y)
        A point on the trail, px.
    reach_px
        How far from there the trail surely has left the field.
    seen_px
        Side of what is seen of it: two flashes at least lie inside.

    Returns
    -------
    list of Trail
        One, or two for a pair.
    """
    theta = rng.uniform(0, 180)
    kind = rng.choice(
        ["steady", "varying", "dashed", "glints", "ends"], p=[0.55, 0.15, 0.11, 0.07, 0.12]
    )
    before, after = reach_px * rng.uniform(1.0, 1.5, 2)
    if kind == "ends":
        after = reach_px * rng.uniform(0.05, 0.45)
    segment = _along(centre, theta, -before, after)
    # In terms of the whole line in the field; 6 to 15 is barely seen by eye.
    bright = rng.random()
    snr = log_uniform(rng, 18.0, 90.0)
    if bright < 0.18:
        snr = log_uniform(rng, 60.0, 400.0) if bright > 0.05 else log_uniform(rng, 300.0, 3000.0)
    wide = rng.random() < 0.15
    trail = Trail(
        segment,
        snr,
        pieces=_dashes(rng, centre, theta, before, after, seen_px) if kind == "dashed" else (),
        profile=_light_curve(rng, kind),
        fwhm_factor=float(rng.uniform(1.1, 2.5)) if wide else 1.0,
        wobble_px=float(rng.uniform(0.2, 1.0)) * (rng.random() < 0.15),
        wobble_period_px=float(rng.uniform(6, 40)),
    )
    if rng.random() < 0.07:
        return [trail, _beside(rng, trail, theta)]
    return [trail]


def _along(centre: tuple[float, float], theta_deg: float, low: float, high: float) -> Segment:
    c, s = math.cos(math.radians(theta_deg)), math.sin(math.radians(theta_deg))
    x, y = centre
    return Segment(x + low * c, y + low * s, x + high * c, y + high * s)


def _beside(rng: np.random.Generator, trail: Trail, theta_deg: float) -> Trail:
    """A second satellite on a parallel track."""
    gap = rng.uniform(4, 30) * rng.choice([-1, 1])
    normal = math.radians(theta_deg + 90)
    dx, dy = gap * math.cos(normal), gap * math.sin(normal)
    return Trail(
        trail.segment.shifted(dx, dy),
        trail.snr * rng.uniform(0.4, 1.2),
        pieces=tuple((piece.shifted(dx, dy), share) for piece, share in trail.pieces),
        profile=trail.profile,
        fwhm_factor=trail.fwhm_factor,
    )


def _dashes(
    rng: np.random.Generator,
    centre: tuple[float, float],
    theta_deg: float,
    before: float,
    after: float,
    seen_px: float,
) -> tuple[tuple[Segment, float], ...]:
    """Regular flashes along a line; the trigger sits on one of them."""
    period = log_uniform(rng, 8.0, 0.45 * seen_px)
    on = period * rng.uniform(0.2, 0.9)
    off = period - on
    start = -rng.uniform(0.2, 0.8) * on
    first = start - math.ceil((before + start) / (on + off)) * (on + off)
    pieces = []
    for low in np.arange(first, after, on + off):
        pieces.append((_along(centre, theta_deg, low, low + on), on * rng.uniform(0.6, 1.4)))
    total = sum(share for _, share in pieces)
    return tuple((piece, share / total) for piece, share in pieces)


def _light_curve(rng: np.random.Generator, kind: str) -> NDArray[np.float64]:
    t = np.linspace(0, 1, 129)
    if kind == "varying":
        depth = rng.uniform(0.3, 0.95)
        return 1 + depth * np.sin(2 * math.pi * (rng.uniform(0.3, 9.0) * t + rng.random()))
    if kind == "glints":
        light = np.full(t.size, rng.uniform(0.2, 0.8))
        for _ in range(rng.integers(1, 5)):
            width = log_uniform(rng, 0.005, 0.08)
            light += rng.uniform(0.5, 4.0) * np.exp(-0.5 * ((t - rng.random()) / width) ** 2)
        return light
    return np.ones(2)
