"""Frames with known streaks for the detector's benchmark, drawn by GalSim.

Nothing of `streaks` is used: the truth must not come from the code under test. A streak is a thin
`galsim.Box` convolved with the PSF, drawn in pieces that join without a seam (a convolution is
linear). The PSF is that of the pixels' values (``no_pixel``): its FWHM is what one would measure
in the image.

A streak's S/N is ``flux * sqrt(sum(template**2)) / sigma``, the limit of any linear filter in white
noise. In correlated noise that limit is ``flux * sqrt(t' C^-1 t)``, C the noise's covariance; both
are kept there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection_winged import add_winged_clutter

__all__ = [
    "KINDS",
    "PSFS",
    "SIGMA",
    "Recipe",
    "Simulated",
    "artefact_frame",
    "line_template",
    "make_frame",
    "noise_power",
]

KINDS = ("clean", "clutter", "correlated", "crossing", "winged")
PSFS = ("gaussian", "moffat")

#: Noise and level of a frame, counts: a finder that takes them for known fails.
SIGMA, LEVEL = 12.0, 3.0
#: Correlation of noise between neighbours in a row or a column (kind `correlated`).
LAG_ONE = 0.3
#: Streaks of a frame of 2048 x 2048 px.
STREAKS, CROSSING = 24, 6
LENGTHS_PX, SNRS = (6.0, 400.0), (4.0, 30.0)
CROSSING_SNRS = (10.0, 30.0)
#: Clutter of a frame of 2048 x 2048 px.
DIPOLES, STARS, COSMIC_RAYS, POINTS = 300, 12, 40, 100

_PIECE_PX = 256.0
_REACH_PX = {"gaussian": 8.0, "moffat": 24.0}
#: Raised where a change makes other frames of the same seed: a cache must not mix them.
_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """What a frame is made from; the same recipe gives the same bytes.

    Parameters
    ----------
    kind
        One of `KINDS`.
    seed, index
        Of the run and of the frame in it.
    psf
        One of `PSFS`; ``moffat`` has beta 3.5.
    fwhm_px
        Of the PSF as sampled by the pixels.
    shape
        ``(ny, nx)``; counts of streaks and clutter grow with the area.
    streaks
        None for the usual number.
    """

    kind: str
    seed: int
    index: int
    psf: str = "gaussian"
    fwhm_px: float = 2.0
    shape: tuple[int, int] = (2048, 2048)
    streaks: int | None = None

    @property
    def name(self) -> str:
        ny, nx = self.shape
        return (
            f"{self.kind}-{self.psf}-{self.fwhm_px:g}-{nx}x{ny}-{self.streaks}-"
            f"{self.seed}-{self.index:03d}-v{_VERSION}"
        )

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(
            [self.seed, self.index, KINDS.index(self.kind), PSFS.index(self.psf)]
        )


@dataclass(frozen=True, eq=False)
class Simulated:
    """A frame and its truth.

    Parameters
    ----------
    data : (ny, nx) float32, counts
        NaN where masked.
    mask : (ny, nx) bool
    ends : (n, 4) float
        ``x0, y0, x1, y1`` of each streak, px; of a crossing trail, where it meets the border.
    flux : (n,) counts
        On the frame.
    snr : (n,)
        Matched-filter S/N, with the noise's own covariance.
    snr_white : (n,)
        The same as if the noise were white: another number in kind `correlated` only.
    visible : (n,)
        Share of the S/N (squared) on pixels that are not masked.
    fwhm_px
    name
    """

    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    ends: NDArray[np.float64]
    flux: NDArray[np.float64]
    snr: NDArray[np.float64]
    snr_white: NDArray[np.float64]
    visible: NDArray[np.float64]
    fwhm_px: float
    name: str


def make_frame(recipe: Recipe, cache: Path | None = None) -> Simulated:
    """Draw a frame, or read it from a folder where an earlier run has kept it."""
    if cache is None:
        return _draw(recipe)
    path = cache / f"{recipe.name}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        frame = _draw(recipe)
        beside = path.with_name(f"{path.stem}.part.npz")
        np.savez(beside, **{**vars(frame), "mask": np.packbits(frame.mask)})
        beside.replace(path)
        return frame
    with np.load(path) as kept:
        values: dict[str, Any] = {name: kept[name] for name in kept.files}
    ny, nx = recipe.shape
    values["mask"] = np.unpackbits(values["mask"], count=ny * nx).reshape(ny, nx).astype(bool)
    values.update(fwhm_px=float(values["fwhm_px"]), name=str(values["name"]))
    return Simulated(**values)


def _draw(recipe: Recipe) -> Simulated:
    rng = recipe.rng()
    correlated = recipe.kind == "correlated"
    noise = _noise(recipe.shape, rng, LAG_ONE if correlated else 0.0)
    light = np.zeros(recipe.shape)
    mask = np.zeros(recipe.shape, bool)
    if recipe.kind == "clutter":
        _add_clutter(light, mask, recipe, rng)
    if recipe.kind == "winged":
        add_winged_clutter(light, mask, recipe.fwhm_px, rng)
    per_area = recipe.shape[0] * recipe.shape[1] / 2048**2
    place = _cross_frame if recipe.kind == "crossing" else _place_inside
    usual = CROSSING if recipe.kind == "crossing" else STREAKS
    wanted = recipe.streaks if recipe.streaks is not None else max(1, round(usual * per_area))
    snrs = CROSSING_SNRS if recipe.kind == "crossing" else SNRS
    rows = []
    for _ in range(wanted):
        line = place(recipe.shape, rng)
        wanted_snr = _log_uniform(rng, snrs)
        rows.append((line, *_add_streak(light, mask, line, wanted_snr, recipe, correlated)))
    data = ((noise + light) * SIGMA + LEVEL).astype(np.float32)
    data[mask] = np.nan
    ends, flux, own, white, visible = (np.array(c) for c in zip(*rows, strict=True))
    return Simulated(
        data, mask, ends, flux * SIGMA, own, white, visible, recipe.fwhm_px, recipe.name
    )


def artefact_frame(count: int, seed: int, shape: tuple[int, int]) -> Simulated:
    """A frame with so many things that look like streaks, in equal shares: true short trails,
    cosmic rays, dipoles, and rows of two or three stars."""
    rng = np.random.default_rng([seed, count])
    recipe = Recipe("clutter", seed, 0, shape=shape)
    light, mask = np.zeros(shape), np.zeros(shape, bool)
    rows = []
    for k in range(count):
        if k % 4 == 0:
            line = _place_inside(shape, rng, lengths=(6.0, 60.0))
            snr = _log_uniform(rng, (8.0, 60.0))
            rows.append((line, *_add_streak(light, mask, line, snr, recipe, False)))
        elif k % 4 == 3:
            _add_row_of_stars(light, recipe, rng)
        else:
            (_add_cosmic_ray if k % 4 == 1 else _add_dipole)(light, recipe, rng)
    data = ((rng.normal(size=shape) + light) * SIGMA + LEVEL).astype(np.float32)
    rows = rows or [(np.zeros(4), 0.0, 0.0, 0.0, 0.0)]
    ends, flux, own, white, visible = (np.array(c) for c in zip(*rows, strict=True))
    return Simulated(
        data, mask, ends, flux * SIGMA, own, white, visible, recipe.fwhm_px, f"artefacts-{count}"
    )


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _noise(shape: tuple[int, int], rng: np.random.Generator, lag_one: float) -> NDArray[np.float64]:
    """Gaussian noise of sigma 1, correlated as a resampling with three taps an axis leaves it."""
    if lag_one == 0.0:
        return rng.normal(size=shape)
    ny, nx = shape
    side = _side_tap(lag_one)
    white = rng.normal(size=(ny + 2, nx + 2))
    rows = white[1:-1] + side * (white[:-2] + white[2:])
    both = rows[:, 1:-1] + side * (rows[:, :-2] + rows[:, 2:])
    return both / (1.0 + 2.0 * side**2)


def _side_tap(lag_one: float) -> float:
    """The tap a of (a, 1, a) with this correlation at lag 1: 2 a / (1 + 2 a**2)."""
    return (1.0 - np.sqrt(1.0 - 2.0 * lag_one**2)) / (2.0 * lag_one)


def noise_power(shape: tuple[int, int], lag_one: float) -> NDArray[np.float64]:
    """Power spectrum (mean 1) of `_noise`, for arrays as `numpy.fft.fft2` gives them."""
    side = _side_tap(lag_one)
    along = [
        (1.0 + 2.0 * side * np.cos(2.0 * np.pi * np.fft.fftfreq(n))) ** 2 / (1.0 + 2.0 * side**2)
        for n in shape
    ]
    return along[0][:, None] * along[1][None, :]


# Streaks


def _place_inside(
    shape: tuple[int, int], rng: np.random.Generator, lengths: tuple[float, float] = LENGTHS_PX
) -> NDArray[np.float64]:
    ny, nx = shape
    margin = 8.0
    while True:
        half = 0.5 * _log_uniform(rng, lengths)
        x, y, theta = rng.uniform(0, nx - 1), rng.uniform(0, ny - 1), rng.uniform(0, np.pi)
        dx, dy = half * np.cos(theta), half * np.sin(theta)
        room = (x - abs(dx), nx - 1 - x - abs(dx), y - dy, ny - 1 - y - dy)
        if min(room) >= margin:
            return np.array([x - dx, y - dy, x + dx, y + dy])


def _cross_frame(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Where a random line meets the border; lines that cut but a corner are left out."""
    ny, nx = shape
    while True:
        theta = rng.uniform(0, np.pi)
        u = np.array([np.cos(theta), np.sin(theta)])
        offset = rng.uniform(-0.5, 0.5) * float(np.hypot(nx, ny))
        middle = np.array([(nx - 1) / 2, (ny - 1) / 2]) + offset * np.array([-u[1], u[0]])
        first, last = -np.inf, np.inf
        for axis, n in ((0, nx), (1, ny)):
            if abs(u[axis]) < 1e-9:
                inside = -0.5 <= middle[axis] <= n - 0.5
                low, high = (-np.inf, np.inf) if inside else (np.inf, -np.inf)
            else:
                low, high = sorted((b - middle[axis]) / u[axis] for b in (-0.5, n - 0.5))
            first, last = max(first, low), min(last, high)
        if last - first >= 0.5 * min(nx, ny):
            return np.concatenate([middle + first * u, middle + last * u])


def _add_streak(
    light: NDArray[np.float64],
    mask: NDArray[np.bool_],
    ends: NDArray[np.float64],
    snr: float,
    recipe: Recipe,
    correlated: bool,
) -> tuple[float, float, float, float]:
    """Flux, S/N, S/N as in white noise, and visible share (noise is 1)."""
    crossing = recipe.kind == "crossing"
    template, box = line_template(ends, recipe, beyond_px=30.0 if crossing else 0.0)
    power = float(np.sum(template**2))
    own = _whitened_power(template, LAG_ONE) if correlated else power
    flux = snr / np.sqrt(own)
    light[box] += flux * template
    seen = float(np.sum(template[~mask[box]] ** 2))
    on_frame = float(template.sum())
    return flux * on_frame, snr, flux * np.sqrt(power), seen / power


def _whitened_power(template: NDArray[np.float64], lag_one: float) -> float:
    """``t' C^-1 t``: sum of |T(k)|**2 / P(k), on a grid with room for the inverse filter."""
    shape = tuple(n + 32 for n in template.shape)
    spectrum = np.fft.fft2(template, shape)
    return float(np.sum(np.abs(spectrum) ** 2 / noise_power(shape, lag_one)) / spectrum.size)


def line_template(
    ends: NDArray[np.float64], recipe: Recipe, beyond_px: float
) -> tuple[NDArray[np.float64], tuple[slice, slice]]:
    """Light of a trail of flux 1 (a crossing trail goes on beyond the frame), and its place."""
    import galsim

    ny, nx = recipe.shape
    reach = _REACH_PX[recipe.psf]
    start, stop = ends[:2], ends[2:]
    length = float(np.hypot(*(stop - start)))
    u = (stop - start) / length
    start, length = start - beyond_px * u, length + 2.0 * beyond_px
    pieces = max(1, int(np.ceil(length / _PIECE_PX)))
    angle = np.arctan2(u[1], u[0]) * galsim.radians
    shape = _piece(recipe.psf, recipe.fwhm_px, length / pieces).rotate(angle)
    box = _box(np.concatenate([start, start + length * u]), reach, nx, ny)
    image = galsim.ImageD(box, init_value=0.0)
    for k in range(pieces):
        middle = start + (k + 0.5) * length / pieces * u
        half = 0.5 * length / pieces * u
        part = _box(np.concatenate([middle - half, middle + half]), reach, nx, ny)
        if not part.isDefined():
            continue
        shape.withFlux(1.0 / pieces).drawImage(
            image[part],
            center=galsim.PositionD(*middle),
            scale=1.0,
            method="no_pixel",
            add_to_image=True,
        )
    return image.array, (slice(box.ymin, box.ymax + 1), slice(box.xmin, box.xmax + 1))


@lru_cache(maxsize=512)
def _piece(psf: str, fwhm_px: float, length_px: float) -> Any:
    import galsim

    fine = galsim.GSParams(folding_threshold=1e-3, maxk_threshold=1e-4, kvalue_accuracy=1e-6)
    line = galsim.Box(length_px, 1e-3, gsparams=fine)
    return galsim.Convolve(line, _psf(psf, fwhm_px).withGSParams(fine), gsparams=fine)


@lru_cache(maxsize=512)
def _psf(psf: str, fwhm_px: float) -> Any:
    import galsim

    if psf == "moffat":
        return galsim.Moffat(beta=3.5, fwhm=fwhm_px)
    return galsim.Gaussian(fwhm=fwhm_px)


def _box(points: NDArray[np.float64], reach: float, nx: int, ny: int) -> Any:
    """Pixels within reach of some points ``x0, y0, x1, y1``, inside the frame."""
    import galsim

    x, y = points[0::2], points[1::2]
    return galsim.BoundsI(
        int(np.floor(x.min() - reach)),
        int(np.ceil(x.max() + reach)),
        int(np.floor(y.min() - reach)),
        int(np.ceil(y.max() + reach)),
    ) & galsim.BoundsI(0, nx - 1, 0, ny - 1)


# Clutter: amplitudes are peaks in units of the noise


def _add_clutter(
    light: NDArray[np.float64],
    mask: NDArray[np.bool_],
    recipe: Recipe,
    rng: np.random.Generator,
) -> None:
    per_area = light.size / 2048**2
    adders: tuple[tuple[int, Callable[..., None]], ...] = (
        (DIPOLES, _add_dipole),
        (POINTS, _add_point_source),
        (COSMIC_RAYS, _add_cosmic_ray),
    )
    for count, add in adders:
        for _ in range(round(count * per_area)):
            add(light, recipe, rng)
    for _ in range(round(STARS * per_area)):
        _add_saturated_star(light, mask, rng)


def _add_psf(
    light: NDArray[np.float64], x: float, y: float, peak: float, fwhm_px: float, psf: str
) -> None:
    import galsim

    ny, nx = light.shape
    box = _box(np.array([x, y]), _REACH_PX[psf], nx, ny)
    if not box.isDefined():
        return
    source = _psf(psf, round(fwhm_px, 3))
    image = galsim.ImageD(box, init_value=0.0)
    source.withFlux(peak / source.xValue(0.0, 0.0)).drawImage(
        image, center=galsim.PositionD(x, y), scale=1.0, method="no_pixel"
    )
    light[box.ymin : box.ymax + 1, box.xmin : box.xmax + 1] += image.array


def _anywhere(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[float, float]:
    return rng.uniform(0, shape[1] - 1), rng.uniform(0, shape[0] - 1)


def _add_point_source(light: NDArray[np.float64], recipe: Recipe, rng: np.random.Generator) -> None:
    peak = _log_uniform(rng, (5.0, 300.0))
    _add_psf(light, *_anywhere(light.shape, rng), peak, recipe.fwhm_px, recipe.psf)


def _add_dipole(light: NDArray[np.float64], recipe: Recipe, rng: np.random.Generator) -> None:
    """A star subtracted with an error in place, width and flux."""
    x, y = _anywhere(light.shape, rng)
    peak, angle = _log_uniform(rng, (5.0, 200.0)), rng.uniform(0, 2 * np.pi)
    half = rng.uniform(0.17, 0.68) * recipe.fwhm_px
    dx, dy = half * np.cos(angle), half * np.sin(angle)
    for sign, share in ((1.0, 1.0), (-1.0, rng.uniform(0.8, 1.2))):
        width = recipe.fwhm_px * rng.uniform(0.9, 1.1)
        _add_psf(light, x + sign * dx, y + sign * dy, sign * share * peak, width, recipe.psf)


def _add_row_of_stars(light: NDArray[np.float64], recipe: Recipe, rng: np.random.Generator) -> None:
    x, y = _anywhere(light.shape, rng)
    angle, apart = rng.uniform(0, 2 * np.pi), recipe.fwhm_px * rng.uniform(1.0, 3.0)
    for k in range(int(rng.integers(2, 4))):
        place = x + k * apart * np.cos(angle), y + k * apart * np.sin(angle)
        _add_psf(light, *place, _log_uniform(rng, (5.0, 50.0)), recipe.fwhm_px, recipe.psf)


def _add_cosmic_ray(light: NDArray[np.float64], recipe: Recipe, rng: np.random.Generator) -> None:
    """A track a pixel wide, unblurred; three in ten are bent."""
    ny, nx = light.shape
    x, y = _anywhere(light.shape, rng)
    angle, peak = rng.uniform(0, 2 * np.pi), _log_uniform(rng, (10.0, 300.0))
    bend = rng.normal(0.0, 0.05) if rng.random() < 0.3 else 0.0
    for _ in range(int(rng.integers(2, 30))):
        ix, iy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        if 0 <= ix < nx and 0 <= iy < ny:
            light[iy, ix] += peak * rng.uniform(0.5, 1.5)
        x, y, angle = x + np.cos(angle), y + np.sin(angle), angle + bend


def _add_saturated_star(
    light: NDArray[np.float64], mask: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """A masked disc with a rough rim, and a masked bleed with light on both sides."""
    ny, nx = light.shape
    x, y = _anywhere(light.shape, rng)
    radius = rng.uniform(8.0, 25.0)
    iy, ix = np.ogrid[:ny, :nx]
    out = np.hypot(ix - x, iy - y) - radius
    mask |= out < 0
    rim = (out >= 0) & (out < 12)
    fall = np.exp(-out[rim] / 4.0)
    light[rim] += fall * (rng.normal(0.0, 8.0, fall.size) + rng.uniform(-4.0, 4.0))
    half = rng.uniform(50.0, 300.0)
    rows = slice(max(0, int(y - half)), min(ny, int(y + half)))
    column = int(x)
    mask[rows, max(0, column - 1) : column + 2] = True
    for beside in (slice(max(0, column - 3), max(0, column - 1)), slice(column + 2, column + 4)):
        light[rows, beside] += rng.uniform(1.0, 6.0)
