"""A science image, a reference and their difference, made the way a survey makes them.

Stars are drawn in both images through PSFs that the subtraction knows only roughly, a little out
of register, and clipped where they saturate. The difference is formed by proper subtraction, whose
kernels boost the frequencies that the sharper PSF has and the other lacks: dipoles, speckles,
fringes and rims come out by themselves. Noise stays white in such a difference, so it is added
last, with the stars' own photon noise and a slight correlation.

References
----------
Zackay, Ofek & Gal-Yam 2016, ApJ 830, 27 (equation 13: the proper difference image).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from streaks.synth.drawing.psf import Psf, add_points

__all__ = [
    "Conditions",
    "Ringing",
    "Stars",
    "add_noise",
    "correlate_noise",
    "draw_conditions",
    "draw_stars",
    "pass_object",
    "render_stars",
    "subtract",
    "subtract_exposures",
]

Float = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Ringing:
    """Fringes at the pixel frequency that resampling and subtraction leave round sharp edges.

    Amplitudes are relative to what rings; decay lengths are in px. ``vertical`` alternates from
    row to row, ``horizontal`` from column to column, ``checker`` in both. ``sharpening`` is an
    extra gain that grows with the square of the frequency.

    Parameters
    ----------
    vertical, horizontal, checker
        Amplitudes from row to row, from column to column, and in both.
    decay_px
        Length over which the fringes fade.
    sharpening
        Extra gain at high frequencies.
    """

    vertical: float = 0.0
    horizontal: float = 0.0
    checker: float = 0.0
    decay_px: float = 4.0
    sharpening: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What one exposure, its reference and their subtraction were like.

    Parameters
    ----------
    science_psf, reference_psf
        What the sky really looked like.
    science_model, reference_model
        What the subtraction took them for.
    sigma
        Noise of the difference, counts.
    reference_noise
        Noise of the reference over that of the science image.
    gain
        Electrons a count.
    saturation, reference_saturation
        Peak where a star is clipped, counts.
    shift_px, shift_scatter_px
        Registration error: common, and from star to star.
    flux_ratio, flux_scatter
        Flux scale left in the science image (1 = perfect), and its scatter from star to star.
    halo, halo_fwhm_px, halo_shift_px
        Share of a star's light that haze or guiding spread over a wide Gaussian in the science
        image alone, its width, and its shift.
    correlation
        Correlation of the noise at lag 1.
    ringing
        Fringes round sharp edges.
    """

    science_psf: Psf
    reference_psf: Psf
    science_model: Psf
    reference_model: Psf
    sigma: float = 12.0
    reference_noise: float = 0.35
    gain: float = 6.2
    saturation: float = 5.0e4
    reference_saturation: float = 5.0e4
    shift_px: tuple[float, float] = (0.0, 0.0)
    shift_scatter_px: float = 0.02
    flux_ratio: float = 1.0
    flux_scatter: float = 0.01
    halo: float = 0.0
    halo_fwhm_px: float = 10.0
    halo_shift_px: tuple[float, float] = (0.0, 0.0)
    correlation: float = 0.06
    ringing: Ringing = Ringing()


@dataclass(frozen=True, eq=False)
class Stars:
    """Places (px, 0-based) and fluxes (counts) of stars.

    Parameters
    ----------
    x, y : (n,)
        Places, 0-based px.
    flux : (n,)
        Counts.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]

    def joined(self, x: list[float], y: list[float], flux: list[float]) -> Stars:
        """These stars and a few more.

        Parameters
        ----------
        x, y
            Places of the others, 0-based px.
        flux
            Their fluxes, counts.

        Returns
        -------
        Stars
        """
        return Stars(np.r_[self.x, x], np.r_[self.y, y], np.r_[self.flux, flux])


def draw_conditions(
    rng: np.random.Generator,
    *,
    mismatch: float = 1.0,
    misregistration: float | None = None,
    fwhm_px: tuple[float, float] | None = None,
) -> Conditions:
    """Conditions as real exposures spread them.

    Parameters
    ----------
    rng
        Source of randomness.
    mismatch
        How much worse than usual the subtraction's knowledge of the PSF is.
    misregistration
        The same for the registration; as `mismatch` if absent.
    fwhm_px
        Least and largest FWHM of the science image's PSF, evenly spread in its logarithm; as
        ZTF's exposures have it if absent, with tails.

    Returns
    -------
    Conditions
    """
    misregistration = mismatch if misregistration is None else misregistration
    if fwhm_px is None:
        # ZTF's difference stamps have a FWHM of 2.55 px in the median; the tails are other cameras.
        fwhm = float(np.clip(rng.lognormal(math.log(2.5), 0.24), 1.6, 4.5))
        limits = (1.5, 4.5)
    else:
        fwhm = float(np.exp(rng.uniform(*np.log(fwhm_px))))
        limits = (0.9 * fwhm_px[0], 1.1 * fwhm_px[1])
    reference_fwhm = float(np.clip(fwhm * rng.lognormal(-0.05, 0.13), *limits))
    beta = float(rng.uniform(2.8, 6.0))
    sag = 0.03 * mismatch
    science = Psf(fwhm, beta, float(np.exp(rng.normal(0, 0.05))))
    reference = Psf(
        reference_fwhm, float(rng.uniform(2.8, 6.0)), float(np.exp(rng.normal(0, 0.04)))
    )
    angle = rng.uniform(0, 2 * math.pi)
    shift = misregistration * rng.lognormal(math.log(0.06), 0.7)
    return Conditions(
        science_psf=science,
        reference_psf=reference,
        science_model=_mistaken(rng, science, sag),
        reference_model=_mistaken(rng, reference, sag),
        sigma=float(rng.uniform(9.5, 16.5)),
        reference_noise=float(rng.uniform(0.12, 0.6)),
        gain=float(rng.uniform(5.5, 6.6)),
        saturation=float(rng.uniform(3.5e4, 6e4)),
        reference_saturation=float(rng.uniform(3e4, 6e4)),
        shift_px=(shift * math.cos(angle), shift * math.sin(angle)),
        shift_scatter_px=0.3 * shift + 0.01,
        flux_ratio=float(np.exp(rng.normal(-0.004, 0.006) * mismatch)),
        flux_scatter=0.008 * mismatch,
        correlation=_draw_correlation(rng),
        ringing=_draw_ringing(rng),
    )


def _mistaken(rng: np.random.Generator, psf: Psf, by: float) -> Psf:
    """A PSF as a pipeline's fit would have it."""
    return Psf(
        psf.fwhm_px * float(np.exp(rng.normal(0, by))),
        max(psf.beta * float(np.exp(rng.normal(0, 2 * by))), 2.3),
        psf.axis_ratio * float(np.exp(rng.normal(0, 0.7 * by))),
    )


def _draw_correlation(rng: np.random.Generator) -> float:
    """Nearly white in ZTF's differences; strongly resampled images beside them."""
    kind = rng.random()
    if kind < 0.03:
        return float(rng.uniform(0.1, 0.3))
    return float(rng.uniform(0.03, 0.1)) if kind < 0.12 else float(rng.uniform(-0.02, 0.02))


def _draw_ringing(rng: np.random.Generator) -> Ringing:
    if rng.random() < 0.15:
        return Ringing()
    return Ringing(
        vertical=float(rng.lognormal(math.log(0.35), 0.8)),
        horizontal=float(rng.lognormal(math.log(0.10), 0.8)),
        checker=float(rng.lognormal(math.log(0.30), 0.8)),
        decay_px=float(rng.uniform(1.5, 7.0)),
        sharpening=float(rng.lognormal(math.log(1.5), 0.9)),
    )


def draw_stars(
    rng: np.random.Generator,
    shape: tuple[int, int],
    n: int,
    *,
    faintest: float = 400.0,
    brightest: float = 4e5,
) -> Stars:
    """Stars at random places with N(>F) ~ F**-0.75, about that of mid-latitude star counts.

    Parameters
    ----------
    rng
        Source of randomness.
    shape : (ny, nx)
        Of the image.
    n
        How many.
    faintest, brightest
        Bounds of their flux, counts.

    Returns
    -------
    Stars
    """
    ny, nx = shape
    slope = 0.75
    low, high = faintest**-slope, brightest**-slope
    flux = (low - rng.random(n) * (low - high)) ** (-1.0 / slope)
    return Stars(rng.uniform(-0.5, nx - 0.5, n), rng.uniform(-0.5, ny - 0.5, n), flux)


def render_stars(
    shape: tuple[int, int], stars: Stars, conditions: Conditions, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Science and reference image of stars, without noise, in counts of the science image.

    Parameters
    ----------
    shape : (ny, nx)
        Of the images.
    stars
        In the reference's pixels.
    conditions
        PSFs, shift and flux ratio of both images, and where they saturate.
    rng
        Source of the scatter of places and fluxes from star to star.

    Returns
    -------
    science, reference : (ny, nx) float32
    """
    n, c = stars.x.size, conditions
    scatter = rng.normal(0.0, 1.0, (3, n))
    science = np.zeros(shape, np.float32)
    reference = np.zeros(shape, np.float32)
    dx, dy = (c.shift_px[k] + c.shift_scatter_px * scatter[k] for k in (0, 1))
    ratio = c.flux_ratio * np.exp(c.flux_scatter * scatter[2])
    add_points(science, stars.x + dx, stars.y + dy, stars.flux * ratio, c.science_psf)
    add_points(reference, stars.x, stars.y, stars.flux, c.reference_psf)
    if c.halo:
        science *= np.float32(1 - c.halo)
        hx, hy = stars.x + c.halo_shift_px[0], stars.y + c.halo_shift_px[1]
        add_points(science, hx, hy, c.halo * stars.flux * ratio, Psf(c.halo_fwhm_px))
    np.minimum(science, c.saturation, out=science)
    np.minimum(reference, c.reference_saturation, out=reference)
    return science, reference


def subtract(science: Float, reference: Float, conditions: Conditions) -> Float:
    """Proper difference of two noiseless images, ringing included.

    Parameters
    ----------
    science, reference : (ny, nx), counts
    conditions
        PSF models and noise ratio that the kernels are made of.

    Returns
    -------
    (ny, nx) float32
        Counts; a source in the science image alone keeps its flux.
    """
    ky, kx = _frequencies(science.shape)
    kernel_n, kernel_r = _kernels(conditions, ky, kx)
    difference = fft.rfft2(science) * kernel_n - fft.rfft2(reference) * kernel_r
    difference *= 1.0 + _ringing_transfer(conditions.ringing, ky, kx)
    return fft.irfft2(difference, s=science.shape).astype(np.float32)


def subtract_exposures(
    science: Float, reference: Float, new: Float, reference_noise: Float, conditions: Conditions
) -> Float:
    """Proper difference of two exposures with their noise.

    Parameters
    ----------
    science, reference : (ny, nx), counts
        Stars, noiseless and clipped; what is left of them rings.
    new : (ny, nx), counts
        Noise of the science image and light that it alone has.
    reference_noise : (ny, nx), counts
    conditions
        PSF models and noise ratio that the kernels are made of.

    Returns
    -------
    (ny, nx) float32
        Counts; white noise in both gives white noise here.
    """
    ky, kx = _frequencies(science.shape)
    kernel_n, kernel_r = _kernels(conditions, ky, kx)
    difference = fft.rfft2(science)
    difference *= kernel_n
    difference -= fft.rfft2(reference) * kernel_r
    difference *= 1.0 + _ringing_transfer(conditions.ringing, ky, kx)
    difference += fft.rfft2(new) * kernel_n
    difference -= fft.rfft2(reference_noise) * kernel_r
    return fft.irfft2(difference, s=science.shape).astype(np.float32, copy=False)


def pass_object(image: Float, conditions: Conditions) -> Float:
    """What subtraction makes of light that is in the science image alone; flux stays.

    Parameters
    ----------
    image : (ny, nx), counts
        The light, seen through the science image's PSF.
    conditions
        Of the exposure, its reference and their subtraction.

    Returns
    -------
    (ny, nx) float32, counts
    """
    ky, kx = _frequencies(image.shape)
    kernel_n, _ = _kernels(conditions, ky, kx)
    return fft.irfft2(fft.rfft2(image) * kernel_n, s=image.shape).astype(np.float32)


def _frequencies(shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    ny, nx = shape
    return (
        np.fft.fftfreq(ny).astype(np.float32)[:, None],
        np.fft.rfftfreq(nx).astype(np.float32)[None, :],
    )


def _kernels(
    conditions: Conditions, ky: NDArray[Any], kx: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Equation 13 of Zackay et al. 2016, scaled to unit gain for a new source's total flux."""
    pn = conditions.science_model.transfer(ky, kx)
    pr = conditions.reference_model.transfer(ky, kx)
    noise = conditions.reference_noise
    # Floors at the level of a PSF model's own errors keep 0/0 from the highest frequencies.
    weight = np.sqrt(pr**2 + noise**2 * pn**2 + np.float32(2e-3) ** 2)
    gain = float(pr[0, 0] / weight[0, 0])
    return pr / weight / gain, pn / weight / gain


def _ringing_transfer(ringing: Ringing, ky: NDArray[Any], kx: NDArray[Any]) -> Float:
    """Extra gain near the pixel frequency; a narrow line there is a long fringe in the image."""
    width = np.float32(1.0 / (2 * math.pi * ringing.decay_px))
    near_y = width**2 / (width**2 + (0.5 - np.abs(ky)) ** 2)
    near_x = width**2 / (width**2 + (0.5 - np.abs(kx)) ** 2)
    steep = np.float32(4 * ringing.sharpening) * (ky**2 + kx**2)
    result: Float = steep + (
        ringing.vertical * near_y * (1 - near_x)
        + ringing.horizontal * near_x * (1 - near_y)
        + ringing.checker * near_x * near_y
    ).astype(np.float32) * np.float32(2 * ringing.decay_px)
    return result


def add_noise(
    difference: Float,
    science: Float,
    reference: Float,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Float:
    """The difference with its noise: background, photons of what is bright, correlation.

    Parameters
    ----------
    difference, science, reference : (ny, nx), counts
        Without noise; the difference stays as it is.
    conditions
        Noise of the background, gain, and how strongly neighbours correlate.
    rng
        Source of randomness.

    Returns
    -------
    (ny, nx) float32, counts
    """
    c = conditions
    bright = np.maximum(science, 0) + c.reference_noise**2 * np.maximum(reference, 0)
    sigma = np.sqrt(np.float32(c.sigma**2) + bright * np.float32(1.0 / c.gain))
    noise = rng.standard_normal(difference.shape, dtype=np.float32) * sigma
    return difference + correlate_noise(noise, c.correlation)


def correlate_noise(noise: Float, correlation: float) -> Float:
    """Noise mixed with its four neighbours so that lag 1 has this correlation.

    Parameters
    ----------
    noise : (ny, nx)
        White.
    correlation
        Of neighbours along one axis, at most 0.5; 0 gives the noise back.

    Returns
    -------
    (ny, nx)
        Of the same variance, away from the edges.
    """
    if correlation == 0:
        return noise
    # With neighbours weighted a, lag 1 correlates by 2a / (1 + 4 a^2).
    a = (1.0 - math.sqrt(max(1.0 - 4.0 * correlation**2, 0.0))) / (4.0 * correlation)
    mixed = noise.copy()
    mixed[1:] += a * noise[:-1]
    mixed[:-1] += a * noise[1:]
    mixed[:, 1:] += a * noise[:, :-1]
    mixed[:, :-1] += a * noise[:, 1:]
    return mixed / np.float32(math.sqrt(1.0 + 4.0 * a * a))
