"""What is measured of a streak once it is sure of its row: flags, ends, sharpness, sides."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streaks.detection.image import SearchImage
from streaks.detection.pieces import hidden_share, pixels_on
from streaks.detection.profiles import Profile, track_profile
from streaks.detection.records import Evidence
from streaks.frame import Frame, MaskPlane
from streaks.geometry import Segment, segment_distances
from streaks.tables import StreakFlag
from streaks.trail import TrailFit, pixels_near, trail_template

__all__ = ["blended", "final_evidence", "line_flags"]

#: An end this near to the edge or to a mask, in widths of the PSF and px, is a lower limit.
_REACH_WIDTHS, _REACH_PX = 2.0, 1.0
#: Share of that stretch that must be masked; and of a track, to be partly masked.
_HIDDEN_BEYOND, _PARTLY_MASKED = 0.4, 0.02
#: Wider than the PSF by this factor and so many errors is flagged wide.
_WIDE_RATIO, _WIDE_SIGMAS = 1.4, 3.0
#: Share of a track on the survey's own plane of tracks, or of spikes and saturated stars.
_PLANE_SHARE = 0.3
#: Light within so many of its widths is a trail's own: streaks nearer than both of theirs touch.
_TOUCHING_WIDTHS = 2.0
#: The image is looked at from so many widths inside an end to so many beyond it.
_END_WIDTHS = 3.0
#: Pixels within so many widths of a track are on it.
_ON_WIDTHS = 1.5
#: Samples a pixel apart are correlated over about four.
_CORRELATED = 4.0
_QUARTER_TURN_DEG, _EIGHTH_TURN_DEG = 90.0, 45.0
_TINY = 1e-6


def line_flags(image: SearchImage, frame: Frame, fit: TrailFit) -> StreakFlag:
    """Flags of where a streak lies: edges, masks, the survey's planes; and of its width.

    Parameters
    ----------
    image
        It was found in.
    frame
        With the survey's planes, where it gives any.
    fit
        Of the streak.

    Returns
    -------
    StreakFlag
    """
    segment, flags = fit.segment, StreakFlag(0)
    ny, nx = image.z.shape
    reach = _REACH_WIDTHS * image.sigma_px + _REACH_PX
    ends = (
        (segment.x0, segment.y0, StreakFlag.EDGE_0, StreakFlag.MASKED_0),
        (segment.x1, segment.y1, StreakFlag.EDGE_1, StreakFlag.MASKED_1),
    )
    xm, ym = segment.midpoint
    for x, y, at_edge, at_mask in ends:
        if min(x + 0.5, y + 0.5, nx - 0.5 - x, ny - 0.5 - y) < reach:
            flags |= at_edge
            continue
        away = max(math.hypot(x - xm, y - ym), _TINY)
        beyond = Segment(x, y, x + (x - xm) / away * reach, y + (y - ym) / away * reach)
        if hidden_share(beyond, image.seen) > _HIDDEN_BEYOND:
            flags |= at_mask
    if hidden_share(segment, image.seen) > _PARTLY_MASKED:
        flags |= StreakFlag.PARTLY_MASKED
    wider = fit.sigma_px - image.sigma_px
    if fit.sigma_px > _WIDE_RATIO * image.sigma_px and wider > _WIDE_SIGMAS * fit.sigma_err:
        flags |= StreakFlag.WIDE
    if frame.planes is not None:
        if _plane_share(segment, frame.planes, MaskPlane.TRACK) > _PLANE_SHARE:
            flags |= StreakFlag.TRACK
        if (
            _plane_share(segment, frame.planes, MaskPlane.SPIKE | MaskPlane.SATURATED)
            > _PLANE_SHARE
        ):
            flags |= StreakFlag.SPIKE
    if image.negative:
        flags |= StreakFlag.NEGATIVE
    return flags


def final_evidence(evidence: Evidence, fit: TrailFit, image: SearchImage) -> Evidence:
    """The evidence with what is asked of streaks in the table only.

    Parameters
    ----------
    evidence
        So far.
    fit
        Of the streak.
    image
        It was found in.

    Returns
    -------
    Evidence
    """
    segment = fit.segment
    profile = track_profile(image.filtered, segment, fit.sigma_px)
    first, last = _end_contrasts(profile, segment, image)
    off_axis = math.fmod(segment.theta_deg, _QUARTER_TURN_DEG)
    return evidence.updated(
        end_contrast_0=first,
        end_contrast_1=last,
        sharpness=_sharpness(fit, image),
        asymmetry_sigmas=_asymmetry(profile),
        masked_share=hidden_share(segment, image.seen),
        axis_deg=_EIGHTH_TURN_DEG - abs(off_axis - _EIGHTH_TURN_DEG),
    )


def blended(ends: NDArray[np.float64], sigma_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which streaks cross or touch another: light of one lies in the other's.

    Parameters
    ----------
    ends : (n, 4)
        x0, y0, x1, y1, px.
    sigma_px : (n,)
        Their widths.

    Returns
    -------
    (n,) bool
    """
    if len(ends) < 2:
        return np.zeros(len(ends), bool)
    near = segment_distances(ends) < _TOUCHING_WIDTHS * (sigma_px[:, None] + sigma_px[None, :])
    np.fill_diagonal(near, False)
    return np.asarray(near.any(axis=1))


def _end_contrasts(profile: Profile, segment: Segment, image: SearchImage) -> tuple[float, float]:
    """Fall of the light at both ends, in units of the mean light of the track."""
    lit = profile.along[np.isfinite(profile.along)]
    mean = float(lit.mean()) if len(lit) else math.nan
    if not mean > 0:
        return math.nan, math.nan
    reach = _END_WIDTHS * image.sigma_px
    length = max(segment.length_px, _TINY)
    ux, uy = (segment.x1 - segment.x0) / length, (segment.y1 - segment.y0) / length
    step = min(reach, 0.5 * length)

    def contrast(x: float, y: float, sign: float) -> float:
        inside = _value(image, x - sign * step * ux, y - sign * step * uy)
        beyond = _value(image, x + sign * reach * ux, y + sign * reach * uy)
        return (inside - beyond) / mean

    return contrast(segment.x0, segment.y0, -1.0), contrast(segment.x1, segment.y1, 1.0)


def _value(image: SearchImage, x: float, y: float) -> float:
    """Point-source S/N at the nearest pixel; NaN outside the image and where the PSF is hidden."""
    ny, nx = image.z.shape
    column, row = round(x), round(y)
    inside = 0 <= column < nx and 0 <= row < ny
    if not inside or image.filtered.cover[row, column] <= 0.5:
        return math.nan
    return float(image.filtered.snr[row, column])


def _sharpness(fit: TrailFit, image: SearchImage) -> float:
    """Brightest pixel on the track over the brightest of the fitted trail there."""
    x, y, values = pixels_near(
        image.z, image.seen, fit.segment, _ON_WIDTHS * max(fit.sigma_px, image.sigma_px)
    )
    if len(x) == 0 or not fit.flux > 0:
        return math.nan
    brightest = fit.flux * float(trail_template(x, y, fit.segment, fit.sigma_px).max())
    return float(values.max()) / brightest if brightest > 0 else math.nan


def _asymmetry(profile: Profile) -> float:
    """Difference of the light on both sides over its noise; NaN where neither can be seen."""
    both = np.isfinite(profile.beside).all(axis=0)
    if not both.any():
        return math.nan
    left, right = profile.beside[:, both]
    noise = math.sqrt(2.0 * _CORRELATED / len(left))
    return float(left.mean() - right.mean()) / noise


def _plane_share(segment: Segment, planes: NDArray[np.uint8], bits: MaskPlane) -> float:
    """Share of a track that lies on any of some planes of the survey's mask."""
    on = pixels_on(segment, planes.shape)
    return float((planes[on] & np.uint8(bits) != 0).mean()) if len(on[0]) else 0.0
