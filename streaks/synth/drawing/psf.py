"""Point spread functions as sums of Gaussians, and light laid down through them.

A Moffat profile is a mixture of Gaussians whose inverse variances follow a gamma distribution, so
a few nodes of generalised Gauss-Laguerre quadrature give a profile that is separable, has a closed
Fourier transform and keeps its total flux. Everything here is drawn as points: a trail is a row of
closely spaced points, which leaves room for flashes, bends and jitter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, roots_genlaguerre

from streaks.errors import ConfigError
from streaks.geometry import Segment

__all__ = ["PIXEL_FWHM_PX", "Psf", "add_points", "add_trail", "render_trail", "trail_points"]

_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
#: Variance of a pixel's own box, px**2: what a pixel adds to a PSF.
_PIXEL_VARIANCE = 1.0 / 12.0
#: The same as a FWHM, in quadrature, px: a measured FWHM holds it, what is drawn gets it.
PIXEL_FWHM_PX = _FWHM_PER_SIGMA * math.sqrt(_PIXEL_VARIANCE)
#: Narrower Gaussians are integrated over each pixel; for wider ones, sampling a Gaussian widened
#: by the pixel's own variance keeps flux to 1e-4 (Poisson summation: 2 exp(-2 pi**2 sigma**2)).
_SAMPLED_SIGMA_PX = 0.65
#: How far a Gaussian is drawn, in sigma: 6e-7 of the flux lies beyond.
_REACH_SIGMA = 5.0
_LAGUERRE_NODES = 3


@dataclass(frozen=True)
class Psf:
    """A Gaussian or Moffat-like profile, round or stretched along the image's axes.

    Parameters
    ----------
    fwhm_px
        Full width at half maximum before pixels blur it, px; the geometric mean of both axes.
    beta
        Moffat's exponent, above 2; infinite for a Gaussian. Atmospheric seeing has 2.5 to 4.8.
    axis_ratio
        Width along y over width along x.

    Raises
    ------
    ConfigError
        If a width, exponent or ratio is not positive and finite.

    References
    ----------
    Moffat 1969, A&A 3, 455. Trujillo et al. 2001, MNRAS 328, 977 (beta of turbulence: 4.765).
    """

    fwhm_px: float
    beta: float = math.inf
    axis_ratio: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fwhm_px) and self.fwhm_px > 0):
            raise ConfigError(f"PSF FWHM is {self.fwhm_px} px; it must be positive and finite")
        if not self.beta > 2:
            raise ConfigError(f"Moffat beta is {self.beta}; it must exceed 2")
        if not (math.isfinite(self.axis_ratio) and self.axis_ratio > 0):
            raise ConfigError(f"PSF axis ratio is {self.axis_ratio}; it must be positive")

    @property
    def components(self) -> tuple[tuple[float, float, float], ...]:
        """``(share of flux, sigma_x, sigma_y)`` of each Gaussian, px."""
        root = math.sqrt(self.axis_ratio)
        return tuple(
            (share, width * self.fwhm_px / root, width * self.fwhm_px * root)
            for share, width in _unit_mixture(round(self.beta, 2))
        )

    @property
    def reach_px(self) -> int:
        """Half of the box that holds a point's image."""
        widest = max(max(sx, sy) for _, sx, sy in self.components)
        return math.ceil(_REACH_SIGMA * math.hypot(widest, 0.29)) + 1

    def transfer(self, ky: NDArray[Any], kx: NDArray[Any]) -> NDArray[np.float32]:
        """Fourier transform of the pixel-integrated PSF at frequencies in cycles a pixel.

        Parameters
        ----------
        ky, kx
            Frequencies along y and x, cycles a pixel, of shapes that broadcast.

        Returns
        -------
        float32 of that shape
            1 at frequency 0.
        """
        total = np.zeros(np.broadcast_shapes(ky.shape, kx.shape), np.float32)
        for share, sx, sy in self.components:
            along_x = np.exp(-2 * (math.pi * sx * kx) ** 2) * np.sinc(kx)
            along_y = np.exp(-2 * (math.pi * sy * ky) ** 2) * np.sinc(ky)
            total += (share * along_y * along_x).astype(np.float32)
        return total


@lru_cache(maxsize=4096)
def _unit_mixture(beta: float) -> tuple[tuple[float, float], ...]:
    """Shares and sigmas of the Gaussians that make a profile of FWHM 1."""
    if math.isinf(beta):
        return ((1.0, 1.0 / _FWHM_PER_SIGMA),)
    # (1 + r^2/a^2)^-beta = int t^(beta-1) e^-t exp(-t r^2/a^2) dt / Gamma(beta); each Gaussian
    # carries flux pi a^2 / t, which leaves the weight t^(beta-2) e^-t for the shares of flux.
    nodes, weights = roots_genlaguerre(_LAGUERRE_NODES, beta - 2.0)
    shares = weights / weights.sum()
    sigmas = 1.0 / np.sqrt(2.0 * nodes)
    sigmas /= _mixture_fwhm(shares, sigmas)
    return tuple((float(w), float(s)) for w, s in zip(shares, sigmas, strict=True))


def _mixture_fwhm(shares: NDArray[Any], sigmas: NDArray[Any]) -> float:
    peak = shares / sigmas**2
    low, high = 0.0, 5.0 * float(sigmas.max())
    for _ in range(60):
        r = 0.5 * (low + high)
        above = np.sum(peak * np.exp(-0.5 * (r / sigmas) ** 2)) > 0.5 * peak.sum()
        low, high = (r, high) if above else (low, r)
    return 2.0 * low


def add_points(
    image: NDArray[Any],
    x: ArrayLike,
    y: ArrayLike,
    flux: ArrayLike,
    psf: Psf,
) -> None:
    """Add the images of point sources to an image, in place.

    Parameters
    ----------
    image : (ny, nx) float, counts
        Changed in place.
    x, y : (n,) px
        0-based; points outside the image may reach into it.
    flux : (n,) counts
        Total flux of each point.
    psf
        The profile.
    """
    px, py, f = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (x, y, flux))
    f = np.broadcast_to(f, px.shape)
    reach = psf.reach_px
    ny, nx = image.shape
    if px.size == 0:
        return
    x_low, x_high = max(int(px.min()) - reach, 0), min(int(px.max()) + reach + 2, nx)
    y_low, y_high = max(int(py.min()) - reach, 0), min(int(py.max()) + reach + 2, ny)
    if x_low >= x_high or y_low >= y_high:
        return
    window = image[y_low:y_high, x_low:x_high]
    column, row = np.arange(x_low, x_high), np.arange(y_low, y_high)
    for share, sx, sy in psf.components:
        across = _pixel_shares(column, px, sx)
        upward = _pixel_shares(row, py, sy) * (share * f)[:, None].astype(np.float32)
        window += upward.T @ across


def _pixel_shares(pixel: NDArray[Any], centre: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """Share of a one-dimensional Gaussian in each pixel, (n points, n pixels)."""
    offset = pixel[None, :] - centre[:, None]
    if sigma < _SAMPLED_SIGMA_PX:
        shares = ndtr((offset + 0.5) / sigma) - ndtr((offset - 0.5) / sigma)
        return np.asarray(shares, dtype=np.float32)
    variance = sigma**2 + _PIXEL_VARIANCE
    scaled = (offset * (1.0 / math.sqrt(2 * variance))).astype(np.float32)
    height = np.float32(1.0 / math.sqrt(2 * math.pi * variance))
    return np.asarray(np.exp(-scaled * scaled) * height, dtype=np.float32)


def trail_points(
    segment: Segment, psf: Psf, *, step_px: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Midpoints of equal short pieces of a segment, closer than the PSF can tell apart.

    Parameters
    ----------
    segment
        The trail, 0-based px.
    psf
        The point spread function.
    step_px
        Longest piece; half of the PSF's narrowest sigma, 0.5 px at most, when not given.

    Returns
    -------
    x, y : (n,) float64
        px, from the first end to the last; n is at least 1.
    """
    narrowest = min(min(sx, sy) for _, sx, sy in psf.components)
    step = min(0.5, 0.5 * narrowest) if step_px is None else step_px
    n = max(1, math.ceil(segment.length_px / step))
    t = (np.arange(n) + 0.5) / n
    return (
        segment.x0 + t * (segment.x1 - segment.x0),
        segment.y0 + t * (segment.y1 - segment.y0),
    )


def add_trail(
    image: NDArray[Any],
    segment: Segment,
    flux: float,
    psf: Psf,
    *,
    profile: ArrayLike | None = None,
    chunk_px: float = 64.0,
) -> None:
    """Add one trail to an image, in place; see `render_trail`.

    Parameters
    ----------
    image : (ny, nx) float, counts
        Changed in place; light that falls outside is lost.
    segment
        Where the point source's centre was at shutter open and close, 0-based px.
    flux
        Total flux of the whole trail, counts.
    psf
        The point spread function.
    profile : (n,), optional
        Brightness at n equally spaced places from the first end to the last; uniform if absent.
    chunk_px
        The trail is drawn in pieces of about this length; the result is the same.

    Raises
    ------
    ConfigError
        If the profile holds no light.
    """
    x, y = trail_points(segment, psf)
    weights = np.full(x.size, 1.0 / x.size)
    if profile is not None:
        knots = np.asarray(profile, dtype=float)
        t = (np.arange(x.size) + 0.5) / x.size
        weights = np.interp(t, np.linspace(0.0, 1.0, knots.size), knots)
        total = weights.sum()
        if not total > 0:
            raise ConfigError("the brightness profile of a trail has no light; it must be positive")
        weights = weights / total
    # Pieces keep the boxes of a long diagonal trail small.
    pieces = max(1, math.ceil(segment.length_px / chunk_px))
    for part in np.array_split(np.arange(x.size), pieces):
        add_points(image, x[part], y[part], flux * weights[part], psf)


def render_trail(
    shape: tuple[int, int],
    segment: Segment,
    flux: float,
    psf: Psf,
    *,
    profile: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """An image of one trail: a line of light seen through a PSF and pixels.

    Parameters
    ----------
    shape : (ny, nx)
        Of the image; what falls outside is lost.
    segment
        Where the point source's centre was at shutter open and close, 0-based px.
    flux
        Total flux of the whole trail, counts.
    psf
        The point spread function.
    profile : (n,), optional
        Brightness at n equally spaced places from the first end to the last; uniform if absent.

    Returns
    -------
    (ny, nx) float32
        Counts.

    Raises
    ------
    ConfigError
        If the profile holds no light.
    """
    image = np.zeros(shape, np.float32)
    add_trail(image, segment, flux, psf, profile=profile)
    return image
