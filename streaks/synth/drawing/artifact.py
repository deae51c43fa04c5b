"""One thing of any class as light to be laid into an image, scaled to its signal-to-noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment, clip_segment
from streaks.synth.drawing.artifacts import draw_cosmic_ray, draw_ghost
from streaks.synth.drawing.bright_stars import draw_bright_star, paint_bright_star
from streaks.synth.drawing.populations import draw_satellite, log_uniform
from streaks.synth.drawing.psf import Psf, add_points, add_trail
from streaks.tables import CLASSES

__all__ = ["ARTIFACTS", "Artifact", "draw_artifact"]

Box = tuple[slice, slice]
Float = NDArray[np.float32]

#: All classes but the asteroid, whose light, motion and length `inject` sets.
ARTIFACTS = tuple(label for label in CLASSES if label != "asteroid")
#: Half of the box that a class needs, px.
_HALF_PX = {"ghost": 200, "masked_star": 120, "cosmic_ray": 80, "naked_star": 30, "yin_yang": 40}


@dataclass(frozen=True, eq=False)
class Artifact:
    """Light of some shape, its brightness still to be chosen.

    Parameters
    ----------
    box
        Where in the image.
    light : (ny, nx) of the box, float32
        In any unit; may be of both signs.
    mask : (ny, nx) bool or None
        What a pipeline masks of it.
    segment
        Its line, image px; None where it is none.
    x, y
        Its middle, image px.
    """

    box: Box
    light: Float
    mask: NDArray[np.bool_] | None
    segment: Segment | None
    x: float
    y: float


def draw_artifact(
    rng: np.random.Generator, shape: tuple[int, int], label: str, psf: Psf
) -> Artifact:
    """One artifact or satellite somewhere in an image.

    Parameters
    ----------
    rng
        Source of randomness.
    shape : (ny, nx)
        Of the image.
    label
        One of `ARTIFACTS`.
    psf
        Of the image, before pixels blur it.

    Returns
    -------
    Artifact
        Its light has no set brightness yet.
    """
    ny, nx = shape
    x, y = float(rng.uniform(0, nx - 1)), float(rng.uniform(0, ny - 1))
    if label == "satellite":
        return _satellite(rng, shape, (x, y), psf)
    half = _HALF_PX[label]
    cx, cy = round(x), round(y)
    box = (
        slice(max(cy - half, 0), min(cy + half, ny)),
        slice(max(cx - half, 0), min(cx + half, nx)),
    )
    inside = (x - box[1].start, y - box[0].start)
    size = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    mask, segment = None, None
    if label == "masked_star":
        light, mask = paint_bright_star(size, draw_bright_star(rng, inside), 1.0)
    elif label == "ghost":
        light = draw_ghost(rng, size, inside) * np.minimum(
            _taper(size[0])[:, None], _taper(size[1])[None, :]
        )
    elif label == "cosmic_ray":
        ray = draw_cosmic_ray(rng, inside, longest_px=60.0)
        light, segment = ray.render(size), ray.segment.shifted(box[1].start, box[0].start)
    elif label == "naked_star":
        light = np.zeros(size, np.float32)
        add_points(light, *inside, float(rng.choice([1.0, -1.0], p=[0.6, 0.4])), psf)
    else:
        light = _dipoles(rng, size, inside, psf)
    return Artifact(box, light, mask, segment, x, y)


def _taper(n: int) -> Float:
    """1 in the middle, 0 at the ends: a reflection ends inside its box."""
    t = np.minimum(np.arange(n), np.arange(n)[::-1]) / max(0.2 * n, 1.0)
    return (np.sin(0.5 * math.pi * np.clip(t, 0, 1)) ** 2).astype(np.float32)


def _dipoles(
    rng: np.random.Generator, size: tuple[int, int], place: tuple[float, float], psf: Psf
) -> Float:
    """One to three badly subtracted stars in a row, their lobes across it."""
    light = np.zeros(size, np.float32)
    angle, shift = rng.uniform(0, 2 * math.pi), log_uniform(rng, 0.1, 1.5)
    dx, dy = 0.5 * shift * math.cos(angle), 0.5 * shift * math.sin(angle)
    n, apart = int(rng.integers(1, 4)), log_uniform(rng, 2.5, 8.0)
    for k in range(n):
        s = apart * (k - (n - 1) / 2)
        x, y = place[0] - s * math.sin(angle), place[1] + s * math.cos(angle)
        flux = float(rng.uniform(0.5, 1.0))
        add_points(light, [x + dx, x - dx], [y + dy, y - dy], [flux, -flux], psf)
    return light


def _satellite(
    rng: np.random.Generator, shape: tuple[int, int], place: tuple[float, float], psf: Psf
) -> Artifact:
    """A trail across the image, in pieces where it flashes."""
    ny, nx = shape
    trail = draw_satellite(rng, place, reach_px=float(nx + ny))[0]
    wide = replace(psf, fwhm_px=psf.fwhm_px * trail.fwhm_factor)
    light = np.zeros(shape, np.float32)
    for piece, share in trail.pieces or ((trail.segment, 1.0),):
        inside = clip_segment(piece, shape)
        if inside is not None and inside.length_px > 0:
            part = share * inside.length_px / piece.length_px
            profile = None if trail.pieces else trail.profile
            add_trail(light, inside, part, wide, profile=profile)
    inside = clip_segment(trail.segment, shape)
    x, y = place if inside is None else inside.midpoint
    return Artifact((slice(0, ny), slice(0, nx)), light, None, inside, x, y)
