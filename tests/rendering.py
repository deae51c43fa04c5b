"""A slow, plain renderer of trails: the truth that detector and fit are held against.

A trail is what a point source leaves that stops at many places on its way; nothing here knows of
error functions, transforms or fits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["add_star", "add_trail", "flux_for_snr", "matched_snr", "render_trail"]

Ends = tuple[float, float, float, float]

#: Stops of a trail that are added together: six pixels of track.
_AT_ONCE = 64


def render_trail(
    shape: tuple[int, int], ends: Ends, flux: float, sigma_px: float
) -> NDArray[np.float64]:
    """A sum of Gaussians, ten a pixel of track, each sampled at pixel centres. Shape (ny, nx)."""
    image = np.zeros(shape)
    add_trail(image, ends, flux, sigma_px)
    return image


def add_trail(image: NDArray[np.float64], ends: Ends, flux: float, sigma_px: float) -> None:
    """Add a trail in place; each stop reaches 6 sigma."""
    x0, y0, x1, y1 = ends
    n = max(1, math.ceil(10 * math.hypot(x1 - x0, y1 - y0)))
    t = (np.arange(n) + 0.5) / n
    # Stops that lie near each other are added together.
    for some in np.array_split(t, math.ceil(n / _AT_ONCE)):
        _add_stars(image, x0 + some * (x1 - x0), y0 + some * (y1 - y0), flux / n, sigma_px)


def add_star(image: NDArray[np.float64], x: float, y: float, flux: float, sigma_px: float) -> None:
    """Add one Gaussian of this total flux in place."""
    _add_stars(image, np.array([x]), np.array([y]), flux, sigma_px)


def _add_stars(
    image: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    flux: float,
    sigma_px: float,
) -> None:
    """Add Gaussians of one flux each, all within one box."""
    ny, nx = image.shape
    columns, across = _profiles(x, nx, sigma_px)
    rows, down = _profiles(y, ny, sigma_px)
    peak = flux / (2 * math.pi * sigma_px**2)
    image[rows, columns] += peak * (down.T @ across)


def _profiles(
    centres: NDArray[np.float64], n_px: int, sigma_px: float
) -> tuple[slice, NDArray[np.float64]]:
    """Pixels of an axis that Gaussians reach, and each one's values there: 0 beyond 6 sigma."""
    reach, nearest = math.ceil(6 * sigma_px), np.rint(centres)
    low = max(0, int(nearest.min()) - reach)
    high = max(low, min(n_px, int(nearest.max()) + reach + 1))
    pixels = np.arange(low, high)
    values = np.exp(-0.5 * ((pixels - centres[:, None]) / sigma_px) ** 2)
    return slice(low, high), np.where(np.abs(pixels - nearest[:, None]) <= reach, values, 0.0)


def matched_snr(template: NDArray[np.float64], noise: float) -> float:
    """S/N of a known shape in white noise: sqrt(sum of squares) over the noise."""
    return float(np.sqrt((template**2).sum())) / noise


def flux_for_snr(ends: Ends, snr: float, *, sigma_px: float, noise: float) -> float:
    """Flux at which a trail has this matched-filter S/N in white noise."""
    x0, y0, x1, y1 = ends
    margin = 8 * sigma_px
    low_x, low_y = min(x0, x1) - margin, min(y0, y1) - margin
    shape = (
        math.ceil(abs(y1 - y0) + 2 * margin) + 1,
        math.ceil(abs(x1 - x0) + 2 * margin) + 1,
    )
    shifted = (x0 - low_x, y0 - low_y, x1 - low_x, y1 - low_y)
    return snr / matched_snr(render_trail(shape, shifted, 1.0, sigma_px), noise)
