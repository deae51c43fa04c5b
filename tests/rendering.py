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
    for t in (np.arange(n) + 0.5) / n:
        add_star(image, x0 + t * (x1 - x0), y0 + t * (y1 - y0), flux / n, sigma_px)


def add_star(image: NDArray[np.float64], x: float, y: float, flux: float, sigma_px: float) -> None:
    """Add one Gaussian of this total flux in place."""
    ny, nx = image.shape
    reach = math.ceil(6 * sigma_px)
    x_low, x_high = max(0, round(x) - reach), min(nx, round(x) + reach + 1)
    y_low, y_high = max(0, round(y) - reach), min(ny, round(y) + reach + 1)
    if x_low >= x_high or y_low >= y_high:
        return
    across = np.exp(-0.5 * ((np.arange(x_low, x_high) - x) / sigma_px) ** 2)
    down = np.exp(-0.5 * ((np.arange(y_low, y_high) - y) / sigma_px) ** 2)
    peak = flux / (2 * math.pi * sigma_px**2)
    image[y_low:y_high, x_low:x_high] += peak * down[:, None] * across[None, :]


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
