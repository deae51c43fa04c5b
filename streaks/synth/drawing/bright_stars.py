"""Saturated stars and what subtraction leaves of them: blocks, bleeds, spikes, halos, rims."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.synth.drawing.populations import log_uniform

__all__ = ["BrightStar", "draw_bright_star", "paint_bright_star"]

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class BrightStar:
    """A star whose core the pipeline masks.

    Lengths in px, amplitudes in units of the difference's noise.

    Parameters
    ----------
    x, y
        Its place, 0-based.
    half_width, half_height
        Of the masked block.
    corner
        How far its corners are cut off.
    bleed_half_width, bleed_reach
        Half-width of the masked bleed (0 for none), and how far it goes beyond the block, down
        and up.
    halo, halo_px, round_halo
        Amplitude of the halo and the length over which it fades; whether it is round or follows
        the block.
    spikes
        ``(angle, amplitude, decay)`` of each diffraction spike; angle in rad from +x towards +y.
    rim, rim_px
        Amplitude of the ringing at the block's edges, and the length over which it fades.
    fans
        ``(angle, spread, amplitude, decay)`` of each fan of checkered light; angles in rad.
    arcs
        ``(radius, amplitude)`` of each ring.
    columns
        Amplitude of bright and dark columns above and below the block.
    """

    x: float
    y: float
    half_width: float
    half_height: float
    corner: float
    bleed_half_width: float = 0.0
    bleed_reach: tuple[float, float] = (0.0, 0.0)
    halo: float = 0.0
    halo_px: float = 8.0
    round_halo: bool = False
    spikes: tuple[tuple[float, float, float], ...] = ()
    rim: float = 0.0
    rim_px: float = 4.0
    fans: tuple[tuple[float, float, float, float], ...] = ()
    arcs: tuple[tuple[float, float], ...] = ()
    columns: float = 0.0


def draw_bright_star(
    rng: np.random.Generator, centre: tuple[float, float], *, naked: bool = False
) -> BrightStar:
    """One masked star.

    Parameters
    ----------
    rng
        Source of randomness.
    centre : (x, y)
        Its place, px.
    naked
        Whether the whole field's stars stand in the difference: then it wears a broad halo and a
        plain square block.

    Returns
    -------
    BrightStar
    """
    if naked:
        half = rng.uniform(6, 10)
        return BrightStar(
            x=centre[0],
            y=centre[1],
            half_width=half,
            half_height=half,
            corner=0.0,
            halo=log_uniform(rng, 10, 60) * float(rng.choice([1, 1, 1, -1])),
            halo_px=log_uniform(rng, 3, 9),
            round_halo=True,
        )
    half_width = log_uniform(rng, 4.0, 14.0)
    tall = half_width * rng.uniform(1.0, 2.6)
    bleeding = rng.random() < 0.2
    return BrightStar(
        x=centre[0],
        y=centre[1],
        half_width=half_width,
        half_height=tall,
        corner=rng.uniform(0, 0.7) * half_width,
        bleed_half_width=float(rng.uniform(1, 5)) if bleeding else 0.0,
        bleed_reach=(log_uniform(rng, 5, 120), log_uniform(rng, 5, 120)),
        halo=log_uniform(rng, 0.4, 5) * float(rng.choice([1, -1])) if rng.random() < 0.2 else 0.0,
        halo_px=log_uniform(rng, 5, 40),
        spikes=_draw_spikes(rng),
        rim=log_uniform(rng, 2.0, 40.0) if rng.random() < 0.55 else 0.0,
        rim_px=float(rng.uniform(1.5, 9.0)),
        fans=_draw_fans(rng) if rng.random() < 0.7 else (),
        arcs=tuple((rng.uniform(12, 60), rng.normal(0, 3)) for _ in range(rng.integers(1, 5)))
        if rng.random() < 0.03
        else (),
        columns=log_uniform(rng, 2, 40) if rng.random() < 0.4 else 0.0,
    )


def _draw_spikes(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    spikes = []
    if rng.random() < 0.5:
        for angle in (0.0, 0.5 * math.pi, math.pi, 1.5 * math.pi):
            if rng.random() < 0.6:
                sign = float(rng.choice([1, -1]))
                spikes.append((angle, sign * log_uniform(rng, 1.5, 25), log_uniform(rng, 3, 18)))
    if rng.random() < 0.2:
        for _ in range(rng.integers(1, 4)):
            angle = rng.uniform(0, 2 * math.pi)
            spikes.append((angle, log_uniform(rng, 1.5, 10), log_uniform(rng, 10, 60)))
    return tuple(spikes)


def _draw_fans(rng: np.random.Generator) -> tuple[tuple[float, float, float, float], ...]:
    middle = rng.choice([0.0, 0.5, 1.0, 1.5]) * math.pi + rng.normal(0, 0.3)
    return tuple(
        (
            middle + rng.normal(0, 0.45),
            log_uniform(rng, 0.04, 0.18),
            log_uniform(rng, 3.0, 30.0),
            log_uniform(rng, 4, 20),
        )
        for _ in range(rng.integers(4, 16))
    )


def paint_bright_star(shape: tuple[int, int], star: BrightStar, sigma: float) -> tuple[Float, Mask]:
    """What the star adds to a difference image, and what of it is masked.

    Parameters
    ----------
    shape : (ny, nx)
    star
        What to paint.
    sigma
        Noise of the difference, counts.

    Returns
    -------
    added : (ny, nx) float32
        Counts.
    mask : (ny, nx) bool
        True in the block.
    """
    ny, nx = shape
    x = (np.arange(nx, dtype=np.float32) - np.float32(star.x))[None, :]
    y = (np.arange(ny, dtype=np.float32) - np.float32(star.y))[:, None]
    r = np.hypot(x, y)
    mask = _block(x, y, star)
    beyond = np.maximum(np.maximum(np.abs(x) - star.half_width, np.abs(y) - star.half_height), 0.0)
    added = np.zeros(shape, np.float32)
    if star.halo:
        far = np.maximum(r - star.half_width, 0) if star.round_halo else beyond
        added += star.halo * np.exp(-far / np.float32(star.halo_px))
    if star.rim:
        added += _rim(x, y, beyond, star)
    if star.columns:
        added += _columns(x, y, star)
    for angle, amplitude, decay in star.spikes:
        added += _spike(x, y, beyond, angle, amplitude, decay)
    if star.fans:
        added += _fans(x, y, r, beyond, star)
    for radius, amplitude in star.arcs:
        added += np.float32(amplitude) * np.exp(-0.5 * ((r - np.float32(radius)) / 1.3) ** 2)
    return (added * np.float32(sigma)).astype(np.float32), mask


def _block(x: Float, y: Float, star: BrightStar) -> Mask:
    ax, ay = np.abs(x), np.abs(y)
    block = (ax <= star.half_width) & (ay <= star.half_height)
    block &= ax + ay <= star.half_width + star.half_height - star.corner
    if star.bleed_half_width:
        down, up = star.bleed_reach
        block |= (
            (ax <= star.bleed_half_width)
            & (y >= -star.half_height - down)
            & (y <= star.half_height + up)
        )
    return block


def _checker(x: Float, y: Float, *, rows: bool, columns: bool) -> Float:
    """+1 and -1 by turns along the axes asked for."""
    parity = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.int64)
    if columns:
        parity = parity + np.arange(x.shape[1])[None, :]
    if rows:
        parity = parity + np.arange(y.shape[0])[:, None]
    return (1 - 2 * (parity % 2)).astype(np.float32)


def _rim(x: Float, y: Float, beyond: Float, star: BrightStar) -> Float:
    """Ringing at the block's edges: rows below and above it, columns at its sides."""
    fade = np.exp(-beyond / np.float32(star.rim_px))
    beside = np.abs(y) <= star.half_height
    over = np.abs(x) <= star.half_width
    rows = _checker(x, y, rows=True, columns=False)
    columns = _checker(x, y, rows=False, columns=True)
    result: Float = np.float32(star.rim) * fade * (columns * beside + rows * over)
    return result


def _columns(x: Float, y: Float, star: BrightStar) -> Float:
    """Columns of alternating sign in line with the block, as charge runs over."""
    fade = np.exp(-np.maximum(np.abs(y) - star.half_height, 0) / np.float32(3 * star.rim_px))
    narrow = np.exp(-0.5 * (x / np.float32(0.4 * star.half_width)) ** 2)
    broad = np.where(np.abs(x) < 2.0, 1.0, _checker(x, y, rows=False, columns=True))
    result: Float = np.float32(star.columns) * fade * narrow * broad.astype(np.float32)
    return result


def _spike(
    x: Float, y: Float, beyond: Float, angle: float, amplitude: float, decay: float
) -> Float:
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = c * x + s * y, -s * x + c * y
    width = 1.0 + 0.02 * np.maximum(along, 0)
    spike = np.exp(-0.5 * (across / width) ** 2) * np.exp(-beyond / np.float32(decay))
    result: Float = np.float32(amplitude) * spike * (along > 0)
    return result


def _fans(x: Float, y: Float, r: Float, beyond: Float, star: BrightStar) -> Float:
    """Feathers of checkered light round the block."""
    azimuth = np.arctan2(y, x)
    feathers = np.zeros(r.shape, np.float32)
    for angle, spread, amplitude, decay in star.fans:
        turn = np.mod(azimuth - np.float32(angle) + math.pi, 2 * math.pi) - math.pi
        lobe = np.exp(-0.5 * (turn / np.float32(spread)) ** 2)
        feathers += np.float32(amplitude) * lobe * np.exp(-beyond / np.float32(decay))
    checker = _checker(x, y, rows=True, columns=True)
    return feathers * (np.float32(0.1) + checker)
