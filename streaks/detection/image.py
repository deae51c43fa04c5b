"""The image that lines are looked for in: standardised, filtered, without what is no line."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streaks.config import SHORT_TRAIL_PX, DetectionConfig
from streaks.detection.point_sources import bright_points, hide_points, sharp_pixels
from streaks.detection.psf import DEFAULT_FWHM_PX, MIN_FWHM_PX
from streaks.detection.quality import PointLength, chance_of_rows
from streaks.detection.search import Filtered, filter_image
from streaks.detection.spikes import MaskedStars, masked_stars
from streaks.frame import Frame
from streaks.noise import NoiseMap
from streaks.trail import FWHM_PER_SIGMA

__all__ = ["SearchImage", "prepare_image", "psf_sigma", "shortest_px"]

_log = logging.getLogger(__name__)

#: Columns of `SearchImage.points`.
_POINT_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class SearchImage:
    """A standardised image and all that the passes ask of it.

    Parameters
    ----------
    z : (ny, nx) float32
        Counts less background, over noise; 0 where hidden.
    usable : (ny, nx) bool
        Without what was hidden as sharp, or as a bright point source.
    seen : (ny, nx) bool
        The same with it: False only where the frame has no data.
    filtered
        After the PSF's matched filter.
    sigma_px
        Width of the PSF.
    stars
        Masked ones.
    points : (n, 3)
        x, y and S/N of bright point sources that are hidden.
    source_variance
        Variance that a unit of a trail's own light adds; 0 where the gain is unknown.
    negative
        The image was turned over: what is found is dark.
    point_shape
        How long point sources are.
    crowding
        How much wider than noise the bright side of the image is.
    """

    z: NDArray[np.float32]
    usable: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    filtered: Filtered
    sigma_px: float
    stars: MaskedStars
    points: NDArray[np.float64]
    source_variance: float = 0.0
    negative: bool = False
    point_shape: PointLength = field(default_factory=PointLength)
    crowding: float = 1.0

    @property
    def row_chance(self) -> float:
        """How much better a trail must be than a row of points, in chi-square."""
        return chance_of_rows(self.point_shape.density)


def prepare_image(
    z: NDArray[np.float32],
    frame: Frame,
    noise: NoiseMap,
    sigma_px: float,
    config: DetectionConfig,
    *,
    negative: bool,
) -> SearchImage:
    """The image as lines are looked for in it; `z` is changed in place.

    With a `min_score` of 0 artifacts are wanted too, and all stay.

    Parameters
    ----------
    z : (ny, nx) float32
        Standardised image, turned over where dark streaks are looked for.
    frame
        Where it is from.
    noise
        Of the frame.
    sigma_px
        Width of the PSF.
    config
        Thresholds.
    negative
        Whether `z` is turned over.

    Returns
    -------
    SearchImage
    """
    seen = ~noise.unusable
    clear, points = seen, np.zeros((0, _POINT_COLUMNS))
    if config.min_score > 0:
        rows, columns = sharp_pixels(z, seen, sigma_px).T
        clear = seen.copy()
        z[rows, columns], clear[rows, columns] = 0.0, False
    filtered = filter_image(z, clear, noise.correlation, sigma_px)
    if config.min_score > 0:
        points = bright_points(filtered.snr, sigma_px, shortest_px(sigma_px, config))
        hide_points(filtered.snr, filtered.cover, clear, points, sigma_px)
    return SearchImage(
        z=z,
        usable=clear,
        seen=seen,
        filtered=filtered,
        sigma_px=sigma_px,
        stars=masked_stars(seen),
        points=points,
        source_variance=1.0 / (frame.gain * noise.typical_sigma()) if frame.gain > 0 else 0.0,
        negative=negative,
    )


def shortest_px(sigma_px: float, config: DetectionConfig) -> float:
    """Length of the shortest trail looked for, px: that of the settings where it is long.

    Else the PSF's FWHM: whether a trail can be told from a point depends on it, not on pixels.

    Parameters
    ----------
    sigma_px
        Width of the PSF.
    config
        With the most that it may be.

    Returns
    -------
    float
        px.
    """
    asked = config.min_length_px
    return asked if asked > SHORT_TRAIL_PX else min(asked, FWHM_PER_SIGMA * sigma_px)


def psf_sigma(frame: Frame) -> float:
    """Width of the frame's PSF, px; never less than what pixels can sample.

    Parameters
    ----------
    frame
        With its `fwhm_px` (`streaks.detection.width.with_fwhm`); NaN is taken for ZTF's median.

    Returns
    -------
    float
    """
    fwhm_px = frame.fwhm_px if frame.fwhm_px > 0 else DEFAULT_FWHM_PX
    return max(fwhm_px, MIN_FWHM_PX) / FWHM_PER_SIGMA
