"""What light lies at a place, and how much should: the frame's own noise and PSF decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.noise import NoiseMap, estimate_noise, filtered_correlation, standardise
from streaks.trail import FWHM_PER_SIGMA, REACH_SIGMA, pixels_near, trail_template

__all__ = ["Forced", "Scene", "look_at", "measure_place"]

#: PSF of a frame that does not tell, FWHM px.
_USUAL_FWHM_PX = 2.5
#: A pixel is of other light where it deviates by so many sigma, and so many times the trail's own
#: brightest pixel, from what the trail leaves.
_FOREIGN_SIGMA, _FOREIGN_PEAKS = 5.0, 2.0
#: Reference pixels above so many of its sigma are sources.
_SOURCE_SIGMA = 5.0


@dataclass(frozen=True, eq=False)
class Scene:
    """A frame, ready to be measured at places.

    Parameters
    ----------
    frame
        As it was read.
    noise
        Background and noise of its difference.
    sigma_px
        Width of the PSF.
    noise_factor
        Variance of PSF-filtered noise over that of white noise.
    sources : (ny, nx) bool or None
        Where the reference has sources.
    sharp : (ny, nx) bool or None
        Pixels that the detector hid as sharper than the PSF.
    clean_sigma
        Typical noise of the frame, counts: what it would be where subtraction has not failed.
    """

    frame: Frame
    noise: NoiseMap
    sigma_px: float
    noise_factor: float
    sources: NDArray[np.bool_] | None = None
    sharp: NDArray[np.bool_] | None = None
    clean_sigma: float = math.nan


@dataclass(frozen=True)
class Forced:
    """A measurement at a place that is given.

    Parameters
    ----------
    expected_snr
        Of a trail of the magnitude given; NaN without magnitude or zero point.
    point_snr
        The same light without motion.
    measured_snr
        Matched-filter S/N of what lies there; NaN where nothing is usable.
    masked_share
        Of the track, with what lies off the chip; 0 to 1.
    foreign_share
        Of the trail's weight, on pixels that hold other light.
    reference_share
        Of the trail's weight, on sources of the reference; NaN without one.
    clean_snr
        Expected, were the noise here that of the frame's usual sky.
    sharp_share
        Of the trail's weight, on pixels that were hidden as sharper than the PSF.
    """

    expected_snr: float
    point_snr: float
    measured_snr: float
    masked_share: float
    foreign_share: float
    reference_share: float
    clean_snr: float = math.nan
    sharp_share: float = 0.0


def look_at(
    frame: Frame,
    find_sharp: Callable[[NDArray[np.float32], NDArray[np.bool_], float], NDArray[Any]]
    | None = None,
) -> Scene:
    """Measure a frame's noise, once for all places.

    Parameters
    ----------
    frame
        As it was read.
    find_sharp
        Of a standardised image, its usable pixels and the PSF's width: pixels (n, 2), y and x,
        that the detector hides as sharper than the PSF.

    Returns
    -------
    Scene
    """
    fwhm = frame.fwhm_px if frame.fwhm_px > 0 else _USUAL_FWHM_PX
    sigma = fwhm / FWHM_PER_SIGMA
    noise = estimate_noise(frame.data, frame.mask, frame.variance)
    factor = filtered_correlation(noise.correlation, sigma, 1)[1]
    sharp = None
    if find_sharp is not None:
        sharp = np.zeros(frame.shape, bool)
        rows, columns = find_sharp(standardise(frame.data, noise), ~noise.unusable, sigma).T
        sharp[rows, columns] = True
    return Scene(frame, noise, sigma, float(factor), _sources(frame), sharp, noise.typical_sigma())


def measure_place(scene: Scene, segment: Segment, mag: float = math.nan) -> Forced:
    """What lies at a place.

    Parameters
    ----------
    scene
        Of `look_at`.
    segment
        0-based px; of no length for a point.
    mag
        What should lie there; NaN where unknown.

    Returns
    -------
    Forced
    """
    frame = scene.frame
    flux = 10 ** (0.4 * (frame.zero_point_mag - mag))
    shape, z, sigma, at = _under(scene, segment)
    masked = _masked_share(frame, segment)
    if not len(shape):
        return Forced(math.nan, math.nan, math.nan, masked, math.nan, math.nan)
    template = shape / sigma
    power = float(template @ template)
    root = math.sqrt(power * scene.noise_factor)
    measured = float(template @ z) / root
    # Light that is there decides what is foreign, but no more of it than is expected.
    amplitude = max(float(template @ z) / power, 0.0)
    amplitude = min(amplitude, flux) if math.isfinite(flux) else amplitude
    return Forced(
        expected_snr=flux * power / root,
        point_snr=_point_snr(scene, segment, flux),
        measured_snr=measured,
        masked_share=masked,
        foreign_share=_foreign_share(template, z, amplitude, flux),
        reference_share=math.nan
        if scene.sources is None
        else float((template**2)[scene.sources[at]].sum()) / power,
        clean_snr=flux / scene.clean_sigma * math.sqrt(float(shape @ shape) / scene.noise_factor),
        sharp_share=0.0
        if scene.sharp is None
        else float((template**2)[scene.sharp[at]].sum()) / power,
    )


def _under(
    scene: Scene, segment: Segment
) -> tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    tuple[NDArray[np.int64], NDArray[np.int64]],
]:
    """Unit trail, standardised values and noise of the usable pixels under it, and where."""
    frame = scene.frame
    x, y, counts = pixels_near(
        frame.data, ~scene.noise.unusable, segment, REACH_SIGMA * scene.sigma_px + 1.0
    )
    column, line = x.astype(np.int64), y.astype(np.int64)
    if not len(x):
        nothing = np.zeros(0)
        return nothing, nothing, nothing, (line, column)
    background, sigma = (a.astype(float) for a in scene.noise.at(column, line))
    shape = trail_template(x, y, segment, scene.sigma_px)
    return shape, (counts - background) / sigma, sigma, (line, column)


def _point_snr(scene: Scene, segment: Segment, flux: float) -> float:
    """S/N of the same light as one point at the middle of the track."""
    if not math.isfinite(flux):
        return math.nan
    x, y = segment.midpoint
    shape, _, sigma, _ = _under(scene, Segment(x, y, x, y))
    if not len(shape):
        return math.nan
    return flux * math.sqrt(float(((shape / sigma) ** 2).sum()) / scene.noise_factor)


def _foreign_share(
    template: NDArray[np.float64], z: NDArray[np.float64], amplitude: float, flux: float
) -> float:
    peak = (flux if math.isfinite(flux) else amplitude) * float(template.max())
    other = np.abs(z - amplitude * template) > max(_FOREIGN_SIGMA, _FOREIGN_PEAKS * peak)
    return float((template**2)[other].sum() / (template**2).sum())


def _masked_share(frame: Frame, segment: Segment) -> float:
    n = max(2, math.ceil(segment.length_px) + 1)
    x = np.rint(np.linspace(segment.x0, segment.x1, n)).astype(int)
    y = np.rint(np.linspace(segment.y0, segment.y1, n)).astype(int)
    ny, nx = frame.shape
    on = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    lost = np.ones(n, bool)
    lost[on] = frame.mask[y[on], x[on]]
    return float(lost.mean())


def _sources(frame: Frame) -> NDArray[np.bool_] | None:
    """Where the reference has sources, by the level and scatter of its own sky."""
    if frame.reference is None:
        return None
    image = np.asarray(frame.reference, np.float32)
    good = image[np.isfinite(image)]
    if not len(good):
        return None
    level = float(np.median(good))
    # The lower half is sky: sources are on the other side.
    low = level - good[good < level]
    scatter = 1.4826 * float(np.median(low)) if len(low) else 0.0
    return np.asarray(np.nan_to_num(image, nan=level) > level + _SOURCE_SIGMA * scatter)
