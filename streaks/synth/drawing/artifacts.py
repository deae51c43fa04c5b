"""Light and damage that is no point of light in the sky: cosmic rays, reflections, bright stars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.geometry import Segment
from streaks.synth.drawing.populations import log_uniform
from streaks.synth.drawing.psf import Psf, add_points

__all__ = ["CosmicRay", "draw_cosmic_ray", "draw_ghost", "draw_gradient", "smooth_field"]

Float = NDArray[np.float32]
Grid = tuple[Float, Float]


@dataclass(frozen=True, eq=False)
class CosmicRay:
    """The track of a particle: points that no optics has blurred.

    Parameters
    ----------
    segment
        From the first point to the last, 0-based px.
    x, y : (n,)
        The points, px.
    weight : (n,)
        Charge of each, relative.
    width_px
        How far charge spreads inside the silicon, sigma.
    peak_sigma
        Brightest pixel, in units of the image's noise.
    """

    segment: Segment
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    weight: NDArray[np.float64]
    width_px: float
    peak_sigma: float

    def render(self, shape: tuple[int, int]) -> Float:
        """Its image with a brightest pixel of 1.

        Parameters
        ----------
        shape : (ny, nx)
            Of the image.

        Returns
        -------
        (ny, nx) float32
            All 0 where the track lies outside.
        """
        image = np.zeros(shape, np.float32)
        # Charge diffuses by a third of a pixel or so inside the silicon, whatever the seeing.
        add_points(image, self.x, self.y, self.weight, Psf(2.3548 * self.width_px))
        peak = float(image.max())
        return image / peak if peak > 0 else image


def draw_cosmic_ray(
    rng: np.random.Generator, centre: tuple[float, float], *, longest_px: float = 70.0
) -> CosmicRay:
    """A straight, bent, worm-like or comet-like track.

    Parameters
    ----------
    rng
        Source of randomness.
    centre : (x, y)
        Middle of the line from its first point to its last, px.
    longest_px
        Longest path.

    Returns
    -------
    CosmicRay
    """
    kind = rng.choice(["straight", "bent", "worm", "comet", "hit"], p=[0.5, 0.15, 0.17, 0.1, 0.08])
    length = log_uniform(rng, 3.0, longest_px) if kind != "hit" else rng.uniform(0.5, 3.0)
    if kind == "worm":
        length = min(length, 35.0)
    n = max(6, int(length / 0.2))
    bend = {"bent": 0.05, "worm": 0.35}.get(str(kind), 0.0)
    turn = np.cumsum(rng.normal(0, bend * math.sqrt(0.2), n))
    angle = rng.uniform(0, 2 * math.pi) + turn
    step = length / n
    x, y = np.cumsum(np.cos(angle)) * step, np.cumsum(np.sin(angle)) * step
    x += centre[0] - 0.5 * (x[0] + x[-1])
    y += centre[1] - 0.5 * (y[0] + y[-1])
    weight = np.exp(_random_walk(rng, n, 0.25))
    if kind == "comet":
        weight *= np.linspace(0.05, 1.0, n) ** rng.uniform(1, 3)
    return CosmicRay(
        Segment(x[0], y[0], x[-1], y[-1]),
        x,
        y,
        weight,
        float(rng.uniform(0.15, 0.55)),
        log_uniform(rng, 6.0, 400.0),
    )


def _random_walk(rng: np.random.Generator, n: int, size: float) -> NDArray[np.float64]:
    """Smooth wander around zero of about this size."""
    knots = rng.normal(0, size, max(3, n // 12))
    return np.interp(np.linspace(0, knots.size - 1, n), np.arange(knots.size), knots)


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Float:
    """Random smooth field of unit spread with about this many cells along the longer side.

    Parameters
    ----------
    rng
        Source of randomness.
    shape : (ny, nx)
        Of the image.
    cells
        How many random values along the longer side the field is interpolated from.

    Returns
    -------
    (ny, nx) float32
    """
    import cv2

    ny, nx = shape
    scale = cells / max(shape)
    coarse = (max(3, round(ny * scale) + 2), max(3, round(nx * scale) + 2))
    field = rng.standard_normal(coarse, dtype=np.float32)
    return np.asarray(cv2.resize(field, (nx, ny), interpolation=cv2.INTER_CUBIC), np.float32)


def draw_gradient(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Float:
    """Background left over: a slope, the glow of a star beyond one side, steps or stripes.

    Parameters
    ----------
    rng
        Source of randomness.
    shape : (ny, nx)
        Of the image.
    sigma
        Noise, counts; the gradient is about a tenth of it to all of it.

    Returns
    -------
    (ny, nx) float32, counts
    """
    ny, nx = shape
    x = np.linspace(-1, 1, nx, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, ny, dtype=np.float32)[:, None]
    kind = rng.choice(
        ["slope", "glow", "smooth", "step", "stripes"], p=[0.62, 0.2, 0.1, 0.03, 0.05]
    )
    size = np.float32(sigma * log_uniform(rng, 0.1, 1.0))
    if kind == "slope":
        angle = rng.uniform(0, 2 * math.pi)
        field = (math.cos(angle) * x + math.sin(angle) * y) * size
    elif kind == "glow":
        angle = rng.uniform(0, 2 * math.pi)
        depth = 1.2 - math.cos(angle) * x - math.sin(angle) * y
        sign = rng.choice([-1, 1])
        field = sign * 2 * size * np.exp(-np.maximum(depth, 0) / np.float32(rng.uniform(0.15, 0.8)))
    elif kind == "smooth":
        field = smooth_field(rng, shape, rng.uniform(0.8, 2.0)) * np.float32(0.4) * size
    elif kind == "step":
        field = np.where(x > rng.uniform(-0.9, 0.9), size, 0) + 0 * y
    else:
        stripes = rng.normal(0, 0.5 * size, nx).astype(np.float32) * (rng.random(nx) < 0.15)
        field = stripes[None, :] + 0 * y
        field = field.T if ny == nx and rng.random() < 0.3 else field
    return np.broadcast_to(field, shape).astype(np.float32)


def draw_ghost(
    rng: np.random.Generator, shape: tuple[int, int], centre: tuple[float, float]
) -> Float:
    """A reflection of a bright star, brightest part near 1, of either sign.

    Parameters
    ----------
    rng
        Source of randomness.
    shape : (ny, nx)
        Of the image.
    centre : (x, y)
        About where it lies, px.

    Returns
    -------
    (ny, nx) float32
        Scaled so that all but 0.5 % of the pixels lie within -1 and 1.
    """
    kind = rng.choice(
        ["sheets", "waves", "fan", "caustic", "hook", "disc"], p=[0.22, 0.28, 0.16, 0.14, 0.1, 0.1]
    )
    grid = _grid(shape, centre)
    draw = {
        "sheets": _sheets,
        "waves": _waves,
        "fan": _fan,
        "caustic": _caustic,
        "hook": _hook,
        "disc": _disc,
    }[str(kind)]
    image = draw(rng, grid)
    image = image * _patchiness(rng, shape)
    top = float(np.quantile(np.abs(image), 0.995))
    return (image / top if top > 0 else image).astype(np.float32)


def _grid(shape: tuple[int, int], centre: tuple[float, float]) -> Grid:
    ny, nx = shape
    x = np.arange(nx, dtype=np.float32)[None, :] - np.float32(centre[0])
    y = np.arange(ny, dtype=np.float32)[:, None] - np.float32(centre[1])
    return x + 0 * y, y + 0 * x


def _patchiness(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    result: Float = np.exp(rng.uniform(0.0, 0.6) * smooth_field(rng, shape, rng.uniform(1.5, 5.0)))
    return result


def _turned(grid: Grid, angle: float) -> Grid:
    """Coordinates along and across a direction."""
    x, y = grid
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return c * x + s * y, -s * x + c * y


def _fold(u: NDArray[Any], width: float, plateau: float, reach: float) -> Float:
    """A fold of a sheet: a sharp edge at u = 0, light that fades behind it.

    Behind a fold caustic the intensity falls as 1 / sqrt(distance) (Berry & Upstill 1980,
    Progress in Optics 18, 257).
    """
    behind = np.maximum(u, 0)
    edge = np.exp(-0.5 * (u / np.float32(width)) ** 2)
    sheet = np.exp(-behind / np.float32(reach)) / np.sqrt(1 + behind / np.float32(width))
    return np.where(u < 0, edge, (1 - plateau) * edge + plateau * sheet).astype(np.float32)


def _sheets(rng: np.random.Generator, grid: Grid) -> Float:
    """Several broad, often double-edged lines, nearly parallel, each broken or fading."""
    angle = rng.uniform(0, math.pi)
    total = np.zeros_like(grid[0])
    for k in range(int(rng.integers(2, 8))):
        along, across = _turned(grid, angle + rng.normal(0, 0.05))
        offset = 0.0 if k == 0 else rng.uniform(-70, 70)
        bend = rng.normal(0, 0.0006) * along**2
        u = across - np.float32(offset) - bend
        half, width = rng.uniform(1.5, 9.0), rng.uniform(0.9, 3.0)
        plateau = rng.uniform(0.0, 0.6)
        line = _fold(u + half, width, plateau, 2 * half) + rng.uniform(0.2, 1.0) * _fold(
            half - u, width, plateau, 2 * half
        )
        total += rng.uniform(0.3, 1.0) * line * _stretch_of_line(rng, along, whole=0.35)
    return total


def _stretch_of_line(rng: np.random.Generator, along: Float, *, whole: float) -> Float:
    """1 where a line is lit, fading at its ends."""
    if rng.random() < whole:
        return np.ones_like(along)
    end, soft = rng.uniform(-50, 50), rng.uniform(1.0, 15.0)
    sign = rng.choice([-1, 1])
    lit = 1 / (1 + np.exp(np.clip(sign * (along - end) / soft, -30, 30)))
    if rng.random() < 0.5:
        far = end + rng.uniform(15, 60)
        lit = np.maximum(
            lit, 1 / (1 + np.exp(np.clip(-sign * (along - sign * far) / soft, -30, 30)))
        )
    result: Float = lit.astype(np.float32)
    return result


def _waves(rng: np.random.Generator, grid: Grid) -> Float:
    """Speckled waves: elongated grains that flow along one direction, in bands."""
    import cv2

    shape = grid[0].shape
    side = 2 * max(shape)
    long, short = rng.uniform(6, 16), rng.uniform(1.3, 3.0)
    noise = rng.standard_normal((side, side), dtype=np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigmaX=long, sigmaY=short)
    grains = np.asarray(blurred, np.float32)
    grains /= grains.std()
    grains = np.maximum(grains + rng.uniform(-0.5, 0.8), 0) ** rng.uniform(1.0, 2.0)
    # Turned and sheared by a smooth flow: the grains of one band are not all parallel.
    angle = rng.normal(-0.2, 0.25) if rng.random() < 0.6 else rng.uniform(0, math.pi)
    along, across = _turned(grid, angle)
    bend = smooth_field(rng, shape, 2.5) * np.float32(rng.uniform(0, 6))
    image = cv2.remap(
        grains,
        (along + side / 2).astype(np.float32),
        (across + bend + side / 2).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    bands = np.zeros(shape, np.float32)
    for k in range(int(rng.integers(1, 4))):
        offset = rng.normal(0, 8) if k == 0 else rng.uniform(-70, 70)
        spread = rng.uniform(8, 45)
        bands += rng.uniform(0.3, 1.0) * np.exp(-0.5 * ((across + bend - offset) / spread) ** 2)
    result: Float = image * (bands + np.float32(rng.uniform(0.0, 0.5)))
    return result


def _fan(rng: np.random.Generator, grid: Grid) -> Float:
    """Thin straight lines that spread from a far vertex; often a vertical one among them."""
    total = np.zeros_like(grid[0])
    middle = rng.uniform(0, math.pi)
    for k in range(int(rng.integers(2, 7))):
        angle = middle + rng.normal(0, 0.2)
        if rng.random() < 0.15:
            angle = math.pi / 2
        along, across = _turned(grid, angle)
        offset = rng.normal(0, 2) if k == 0 else rng.uniform(-60, 60)
        width = rng.uniform(0.9, 2.2)
        u = across - np.float32(offset) + rng.normal(0, 2e-4) * along**2
        line = _fold(u, width, rng.uniform(0, 0.35), rng.uniform(4, 25))
        total += log_uniform(rng, 0.25, 1.0) * line * _stretch_of_line(rng, along, whole=0.6)
    return total


def _hook(rng: np.random.Generator, grid: Grid) -> Float:
    """Lines that turn round: arcs, parabolas, and Y shapes where two folds meet."""
    total = np.zeros_like(grid[0])
    angle = rng.uniform(0, 2 * math.pi)
    for _ in range(int(rng.integers(1, 4))):
        along, across = _turned(grid, angle + rng.normal(0, 0.3))
        open_px = log_uniform(rng, 4.0, 80.0)
        tip = rng.uniform(-25, 25)
        f = across**2 / np.float32(open_px) - (along - np.float32(tip))
        slope = np.sqrt(1 + (2 * across / np.float32(open_px)) ** 2)
        u = -f / slope
        line = _fold(u, rng.uniform(1.0, 2.5), rng.uniform(0, 0.5), rng.uniform(3, 20))
        total += log_uniform(rng, 0.3, 1.0) * line * np.exp(-np.abs(across) / rng.uniform(20, 90))
    if rng.random() < 0.5:
        along, across = _turned(grid, angle)
        stem = np.exp(-0.5 * (across / np.float32(rng.uniform(1, 3))) ** 2)
        total += rng.uniform(0.3, 1.2) * stem * _stretch_of_line(rng, along, whole=0.1)
    return total


def _disc(rng: np.random.Generator, grid: Grid) -> Float:
    """Out-of-focus pupils: blobs, donuts, rings; sometimes with a bright and a dark half."""
    x, y = grid
    radius = log_uniform(rng, 8.0, 90.0)
    # The detector triggers on the rim of a large one, on the middle of a small one.
    if radius > 20:
        angle = rng.uniform(0, 2 * math.pi)
        x, y = x - radius * math.cos(angle), y - radius * math.sin(angle)
    squash, turn = rng.uniform(0.75, 1.3), rng.uniform(0, math.pi)
    a, b = _turned((x, y), turn)
    r = np.hypot(a, b * np.float32(squash))
    soft = log_uniform(rng, 1.0, 8.0)
    disc = 1 / (1 + np.exp(np.clip((r - radius) / soft, -30, 30)))
    hole = rng.uniform(0.2, 0.85) * radius
    inner = 1 / (1 + np.exp(np.clip((r - hole) / soft, -30, 30)))
    kind = rng.choice(["donut", "blob", "ring"])
    if kind == "donut":
        image = disc - rng.uniform(0.6, 1.2) * inner
    elif kind == "blob":
        image = np.exp(-0.5 * (r / (0.6 * radius)) ** 2)
        image = image * (a > rng.normal(0, 5)) if rng.random() < 0.3 else image
    else:
        image = np.exp(-0.5 * ((r - radius) / np.float32(soft)) ** 2) + 0.25 * disc
    result: Float = (image * rng.choice([1, 1, 1, -1])).astype(np.float32)
    return result


def _caustic(rng: np.random.Generator, grid: Grid) -> Float:
    """Light of a sheet folded over itself: where a smooth random map crowds the rays."""
    import cv2

    ny, nx = grid[0].shape
    side = 2 * max(nx, ny)
    u = np.linspace(-0.15 * side, 1.15 * side, int(1.6 * side), dtype=np.float32)
    ux, uy = np.meshgrid(u, u)
    # Rays at random, not on a grid, which would beat with the pixels.
    ux += rng.random(ux.shape, dtype=np.float32)
    uy += rng.random(ux.shape, dtype=np.float32)
    cells, strength = rng.uniform(3.0, 8.0), rng.uniform(12, 45)
    angle = rng.uniform(0, math.pi)
    first = smooth_field(rng, ux.shape, cells) * np.float32(strength)
    second = smooth_field(rng, ux.shape, cells) * np.float32(strength * rng.uniform(0.05, 0.6))
    ix = np.rint(ux + first * math.cos(angle) - second * math.sin(angle)).astype(np.int32)
    iy = np.rint(uy + first * math.sin(angle) + second * math.cos(angle)).astype(np.int32)
    inside = (ix >= 0) & (ix < side) & (iy >= 0) & (iy < side)
    counts = np.bincount((iy * side + ix)[inside], minlength=side * side).reshape(side, side)
    image = cv2.GaussianBlur(counts.astype(np.float32), (0, 0), rng.uniform(1.1, 2.2))
    image = np.maximum(image - np.quantile(image[::4, ::4], rng.uniform(0.3, 0.7)), 0)
    # The trigger lies on the brightest fold, not in the middle of nothing.
    zero_x, zero_y = round(-float(grid[0][0, 0])), round(-float(grid[1][0, 0]))
    zero_x, zero_y = min(max(zero_x, 0), nx - 1), min(max(zero_y, 0), ny - 1)
    within = cv2.GaussianBlur(image, (0, 0), 3)[
        zero_y : side - ny + zero_y, zero_x : side - nx + zero_x
    ]
    low_y, low_x = np.unravel_index(int(within.argmax()), within.shape)
    result: Float = image[low_y : low_y + ny, low_x : low_x + nx]
    return result
