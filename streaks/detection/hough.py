"""The classical reference: a threshold, shapes of regions, a probabilistic Hough transform.

What many would build first from scikit-image: the image through the PSF, lit pixels above a
threshold, regions that are too small or too round dropped, line segments by the probabilistic
Hough transform (Matas, Galambos & Kittler 2000, CVIU 78, 119), and sums of counts over a box along
each. It knows nothing of masks beside a line, of dipoles or of errors; it is here to be compared
with, and for images on which `streaks.detection.finder` fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaks.config import DetectionConfig, HoughConfig
from streaks.detection.aperture import aperture_flux
from streaks.detection.image import psf_sigma
from streaks.detection.pieces import pixels_on, unexplained
from streaks.detection.records import Line, SetAside
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.noise import NoiseMap, estimate_noise, standardise
from streaks.tables import StreakFlag
from streaks.trail import FWHM_PER_SIGMA, TrailFit, pixels_near

__all__ = ["HoughDetector", "elongated_regions", "hough_segments"]

#: The transform picks pixels at random; the same image gives the same lines.
_SEED = 1
#: Reach of the box along a line in which counts are summed, in widths of the PSF.
_BOX_WIDTHS = 3.0
#: An eight-connected region.
_DIAGONALS_TOUCH = 2
_ENDS = 4


class HoughDetector:
    """scikit-image's probabilistic Hough transform, and sums of counts along its lines."""

    name = "hough"

    def find(self, frame: Frame, config: DetectionConfig) -> list[Line]:
        """All lines of a frame: streaks measured, the others set aside with their reason.

        Parameters
        ----------
        frame
            Its data are float32.
        config
            Thresholds, and those of `HoughConfig`.

        Returns
        -------
        list of Line
            Their errors of place are NaN: nothing tells.
        """
        noise = estimate_noise(frame.data, frame.mask, frame.variance, config.noise)
        z, usable = standardise(frame.data, noise), ~noise.unusable
        sigma_px = psf_sigma(frame)
        lines = _search(z, usable, sigma_px, noise, config, negative=False)
        if config.negative:
            lines += _search(-z, usable, sigma_px, noise, config, negative=True)
        return [
            line if line.set_aside else _with_aperture(line, frame, noise, usable) for line in lines
        ]


def hough_segments(
    lit: NDArray[np.bool_], *, votes: int, length_px: int, gap_px: int
) -> NDArray[np.float64]:
    """Line segments of a picture of lit pixels, by the probabilistic Hough transform.

    Parameters
    ----------
    lit : (ny, nx) bool
    votes
        Lit pixels on a line, at least.
    length_px
        Its least length.
    gap_px
        Its largest gap.

    Returns
    -------
    (n, 4)
        x0, y0, x1, y1 in 0-based pixels; one streak may give several.
    """
    from skimage.transform import probabilistic_hough_line

    found = probabilistic_hough_line(
        lit, threshold=votes, line_length=length_px, line_gap=gap_px, rng=_SEED
    )
    return np.array(found, float).reshape(-1, _ENDS)


def elongated_regions(
    lit: NDArray[np.bool_], *, min_area_px: int, min_elongation: float
) -> NDArray[np.bool_]:
    """Lit pixels whose region is neither small nor round.

    Parameters
    ----------
    lit : (ny, nx) bool
    min_area_px
        Regions of fewer pixels are dropped.
    min_elongation
        And those less than so many times as long as wide, by their second moments.

    Returns
    -------
    (ny, nx) bool
    """
    from skimage.measure import label, regionprops
    from skimage.morphology import remove_small_objects

    labels = label(lit, connectivity=_DIAGONALS_TOUCH)
    labels = remove_small_objects(labels, max_size=min_area_px - 1)
    keep = np.zeros(int(labels.max(initial=0)) + 1, bool)
    for region in regionprops(labels):
        keep[region.label] = region.axis_major_length >= min_elongation * region.axis_minor_length
    return np.asarray(keep[labels])


def _search(
    z: NDArray[np.float32],
    usable: NDArray[np.bool_],
    sigma_px: float,
    noise: NoiseMap,
    config: DetectionConfig,
    *,
    negative: bool,
) -> list[Line]:
    lit = _lit(z, sigma_px, config.hough)
    ends = hough_segments(
        lit, votes=config.hough.min_votes, length_px=config.hough.min_line_px,
        gap_px=config.hough.max_gap_px,
    )  # fmt: skip
    flags = StreakFlag.NEGATIVE if negative else StreakFlag(0)
    # The longest first: of lines on one streak the others are its repeats.
    order = np.argsort(-np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1]), kind="stable")
    segments = [Segment(*map(float, row)).ordered() for row in ends[order]]
    lines = [_measured(s, z, usable, lit, sigma_px, noise, flags) for s in segments]
    return _sorted_out(lines, config)


def _lit(z: NDArray[np.float32], sigma_px: float, config: HoughConfig) -> NDArray[np.bool_]:
    """Pixels of elongated regions above the threshold of the PSF-filtered image."""
    from skimage.filters import gaussian

    # White noise of unit variance through a Gaussian has a scatter of 1 / (2 sqrt(pi) sigma).
    filtered = gaussian(z, sigma_px, mode="constant") * (2.0 * math.sqrt(math.pi) * sigma_px)
    return elongated_regions(
        filtered > config.level_sigma, min_area_px=config.min_area_px,
        min_elongation=config.min_elongation,
    )  # fmt: skip


def _measured(
    segment: Segment,
    z: NDArray[np.float32],
    usable: NDArray[np.bool_],
    lit: NDArray[np.bool_],
    sigma_px: float,
    noise: NoiseMap,
    flags: StreakFlag,
) -> Line:
    """A line with the sum of counts in a box along it, and its width by their second moment."""
    x, y, values = pixels_near(z, usable, segment, _BOX_WIDTHS * sigma_px)
    if len(x) == 0:
        return Line(segment, math.nan, set_aside=SetAside.MASK)
    _, sigma = noise.at(x.astype(np.int64), y.astype(np.int64))
    light, light_err = float(values.sum()), math.sqrt(len(values))
    snr = light / light_err
    on = pixels_on(segment, lit.shape)
    nan = math.nan
    fit = TrailFit(
        segment=segment,
        flux=light,
        flux_err=light_err,
        sigma_px=_width(segment, x, y, values, sigma_px),
        sigma_err=nan,
        along_err=nan,
        across_err=nan,
        length_err=nan,
        theta_err_deg=nan,
        snr=snr,
        chi2=nan,
        n_pixels=len(values),
        converged=True,
    )
    sign = -1.0 if flags & StreakFlag.NEGATIVE else 1.0
    return Line(
        segment,
        snr,
        fit=fit,
        # Sure is what is bright, and lit all along.
        score=snr * float(lit[on].mean()),
        flags=flags,
        flux=sign * float((values * sigma).sum()),
        flux_err=float(np.sqrt((sigma.astype(float) ** 2).sum())),
    )


def _with_aperture(line: Line, frame: Frame, noise: NoiseMap, usable: NDArray[np.bool_]) -> Line:
    flux, flux_err = aperture_flux(
        frame.data, noise, usable, line.fitted,
        width_px=FWHM_PER_SIGMA * psf_sigma(frame), gain=frame.gain,
        negative=bool(line.flags & StreakFlag.NEGATIVE),
    )  # fmt: skip
    return line.updated(flux_aperture=flux, flux_aperture_err=flux_err)


def _width(
    segment: Segment,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    values: NDArray[np.float64],
    sigma_px: float,
) -> float:
    """Root of the mean squared distance from the line, weighted with light; the PSF's if none."""
    theta = math.radians(segment.theta_deg)
    xm, ym = segment.midpoint
    across = (y - ym) * math.cos(theta) - (x - xm) * math.sin(theta)
    total = float(values.sum())
    square = float((values * across**2).sum()) / total if total > 0 else math.nan
    return math.sqrt(square) if square > 0 else sigma_px


def _sorted_out(lines: Sequence[Line], config: DetectionConfig) -> list[Line]:
    """Repeats of a longer line, and what is below the thresholds, set aside."""
    alive = [line for line in lines if line.set_aside is None]
    out = [line for line in lines if line.set_aside is not None]
    kept = set(
        unexplained(
            [line.segment for line in alive],
            np.array([line.fitted.sigma_px for line in alive]),
            np.array([line.fitted.snr for line in alive]),
        ).tolist()
    )
    for i, line in enumerate(alive):
        reason = None
        if i not in kept:
            reason = SetAside.REPEATED
        elif line.fitted.snr < config.threshold_snr or line.score < config.min_score:
            reason = SetAside.FAINT
        elif line.segment.length_px < config.min_length_px:
            reason = SetAside.SHORT
        out.append(line.updated(set_aside=reason))
    return out
