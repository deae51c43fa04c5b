"""The finder: reads top to bottom as it is described in docs/detection.md."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import DetectionConfig
from streaks.detection.compact import compact_peaks, hide_peaks, sharp_pixels
from streaks.detection.ends import on_the_edge, out_of_masks
from streaks.detection.photometry import level_beside, power_of_points, trail_flux
from streaks.detection.pieces import (
    group_pieces,
    hidden_share,
    pixels_on,
    spanning_segment,
    unexplained,
)
from streaks.detection.quality import (
    along_a_mask,
    beside_masks,
    crowding,
    dashed,
    fades,
    not_a_row_of_points,
    point_length,
    pointlike,
    quality,
    quality_of_fit,
    steady_share,
    sureness,
    track_profile,
    worth,
)
from streaks.detection.search import Filtered, filter_image, search_lines
from streaks.detection.sky import magnitudes, sky_columns, warn_of_rates
from streaks.detection.spikes import MaskedStars, masked_stars, star_behind
from streaks.detection.width import settle_width
from streaks.frame import AnyImage, Frame, MaskPlane, as_frame
from streaks.geometry import Segment
from streaks.noise import NoiseMap, estimate_noise, standardise
from streaks.tables import STREAK_COLUMNS, StreakFlag, build_table, empty_streaks
from streaks.trail import FWHM_PER_SIGMA, TrailFit, fit_trail, with_correlated_noise

__all__ = ["find_streaks"]

_log = logging.getLogger(__name__)

#: Lines looked at in one frame before the score is known; a frame with more is no subtraction.
_MAX_LINES = 6000
#: Bright points fitted all the same, to learn how long a point looks in this image.
_POINTS_FITTED = 30
#: What a fit can add to a line's worth: S/N that was clipped, and a better place.
_WORTH_FITTING = 0.8
#: What has less than this share of the least score is not looked at further, not even as a piece.
_HOPELESS = 0.25
#: Longer rows of two or three stars show in how evenly the track is lit.
_ROW_SIGMA = 14.0
#: What points at a masked star is its spike, more often than not.
_SPIKE_FACTOR = 0.15
#: A field of stars is searched with twice the caution at most.
_MAX_CROWDING = 2.0


@dataclass(frozen=True, eq=False)
class _Sheet:
    """A standardised image and all that the stages ask of it."""

    z: NDArray[np.float32]
    usable: NDArray[np.bool_]
    seen: NDArray[np.bool_]  # usable but for cosmic rays
    filtered: Filtered
    sigma_px: float
    stars: MaskedStars
    peaks: NDArray[np.float64]  # x, y, S/N of bright points that are hidden
    point_px: float = 0.0  # length that a point source seems to have
    crowding: float = 1.0  # how much wider than noise the bright side of the image is


@dataclass(frozen=True)
class _Streak:
    fit: TrailFit
    score: float
    flags: StreakFlag


def find_streaks(frame: AnyImage, config: DetectionConfig | None = None) -> QTable:
    """The streaks of one frame, measured.

    Parameters
    ----------
    frame
        A difference image is best; any image will do: a `Frame`, an array, a masked array, an
        NDData or CCDData (see `streaks.frame.as_frame`).
    config
        Thresholds.

    Returns
    -------
    QTable
        Columns `streaks.tables.STREAK_COLUMNS`, by falling score; no rows when nothing is found.

    Raises
    ------
    FrameError
        If no pixel is usable, or all have one value.
    """
    config = DetectionConfig() if config is None else config
    frame = as_frame(frame)
    # Any number will do in a frame, of any byte order; compiled loops want one kind.
    frame = replace(frame, data=np.asarray(frame.data, dtype=np.float32))
    noise = estimate_noise(frame.data, frame.mask, frame.variance, config.noise)
    z, usable = standardise(frame.data, noise), ~noise.unusable
    # Below 1.2 px the PSF is no longer sampled and the fit has nothing to hold on to.
    fwhm_px, _ = settle_width(frame, z, usable, noise, config)
    sigma_px = max(fwhm_px, 1.2) / FWHM_PER_SIGMA
    turned = -z if config.negative else None
    rows = _search(_sheet(z, usable, noise, sigma_px, config), frame, noise, config, negative=False)
    if turned is not None:
        sheet = _sheet(turned, usable, noise, sigma_px, config)
        rows += _search(sheet, frame, noise, config, negative=True)
    rows.sort(key=lambda row: -row[0].score)
    return _table(frame, rows[: config.max_streaks])


def _sheet(
    z: NDArray[np.float32],
    usable: NDArray[np.bool_],
    noise: NoiseMap,
    sigma_px: float,
    config: DetectionConfig,
) -> _Sheet:
    """The image as lines are looked for in it: without bright things that are none, in place.

    With a `min_score` of 0 artifacts are wanted too, and all stay.
    """
    clear, peaks = usable, np.zeros((0, 3))
    if config.min_score > 0:
        rows, columns = sharp_pixels(z, usable, sigma_px).T
        clear = usable.copy()
        z[rows, columns], clear[rows, columns] = 0.0, False
    filtered = filter_image(z, clear, noise.correlation, sigma_px)
    if config.min_score > 0:
        peaks = compact_peaks(filtered.snr, sigma_px, config.min_length_px)
        hide_peaks(filtered.snr, filtered.cover, clear, peaks, sigma_px)
    return _Sheet(z, clear, usable, filtered, sigma_px, masked_stars(usable), peaks)


def _search(
    sheet: _Sheet, frame: Frame, noise: NoiseMap, config: DetectionConfig, *, negative: bool
) -> list[tuple[_Streak, float, float]]:
    """Streaks with their flux and its error in counts."""
    lines = search_lines(
        sheet.filtered,
        sigma_px=sheet.sigma_px,
        threshold_snr=config.threshold_snr,
        limit=_MAX_LINES,
    )
    if len(lines) == _MAX_LINES:
        _log.warning("%s: stopped at %d lines; is this a difference image?", frame.name, len(lines))
    source = 1.0 / (frame.gain * noise.typical_sigma()) if frame.gain > 0 else 0.0
    fits, snrs = _fit_all(sheet, lines, source, config)
    sheet = replace(
        sheet,
        point_px=point_length(fits, sheet.sigma_px),
        crowding=min(crowding(sheet.filtered), _MAX_CROWDING),
    )
    least = _HOPELESS * config.min_score
    streaks = [_judge(sheet, fit, snr, least) for fit, snr in zip(fits, snrs, strict=True)]
    streaks = _join_pieces(sheet, _one_each(streaks), source)
    streaks = [s for s in streaks if _wanted(s, config)]
    rows = []
    for streak in streaks:
        fit = with_correlated_noise(
            streak.fit,
            sheet.usable,
            noise.correlation,
            sigma_px=sheet.sigma_px,
            source_variance=source,
        )
        streak = replace(streak, fit=fit)
        flux, error = trail_flux(
            frame.data,
            noise,
            sheet.usable,
            streak.fit,
            level=level_beside(sheet.z, sheet.usable, streak.fit),
            noise_factor=sheet.filtered.trail_noise_factor(
                streak.fit.segment.length_px, sheet.sigma_px
            ),
            gain=frame.gain,
            negative=negative,
        )
        flags = streak.flags | _flags(sheet, frame, streak.fit)
        if negative:
            flags |= StreakFlag.NEGATIVE
        rows.append((replace(streak, flags=flags), flux, error))
    return rows


def _fit_all(
    sheet: _Sheet, lines: NDArray[np.float64], source_variance: float, config: DetectionConfig
) -> tuple[list[TrailFit], list[float]]:
    """Fits of all lines that may pass; of plain points a few, which tell of the PSF."""
    fits, snrs, points = [], [], 0
    whole = replace(sheet, usable=sheet.seen)
    for x, y, peak in sheet.peaks[:_POINTS_FITTED]:
        start = Segment(x - sheet.sigma_px, y, x + sheet.sigma_px, y)
        fits.append(_fit(whole, start, source_variance))
        snrs.append(float(peak))
        points += 1
    for line in lines:
        segment, snr = Segment(*line[:4]), float(line[4])
        if pointlike(sheet.filtered, segment, sigma_px=sheet.sigma_px,
                     min_length_px=config.min_length_px):  # fmt: skip
            points += 1
            if points > _POINTS_FITTED:
                continue
        else:
            profile = track_profile(sheet.filtered, segment, sheet.sigma_px)
            if worth(profile, segment, snr) < _WORTH_FITTING * config.min_score:
                continue
        fits.append(_fit(sheet, segment, source_variance))
        snrs.append(snr)
    return fits, snrs


def _fit(sheet: _Sheet, start: Segment, source_variance: float) -> TrailFit:
    fit = fit_trail(
        sheet.z,
        sheet.usable,
        start,
        sigma_px=sheet.sigma_px,
        noise_factor=sheet.filtered.trail_noise_factor(start.length_px, sheet.sigma_px),
        source_variance=source_variance,
    )
    segment = on_the_edge(fit.segment, sheet.filtered, sheet.sigma_px)
    return replace(fit, segment=out_of_masks(segment, sheet.seen, sheet.sigma_px))


def _judge(sheet: _Sheet, fit: TrailFit, line_snr: float, least: float = 0.0) -> _Streak:
    """Score and flags; of what cannot reach `least` only that it does not."""
    if not fit.converged:
        # Half a chance: what cannot be fitted is seldom a streak, but long trails across
        # broken ground are.
        fit = replace(fit, snr=line_snr)
        profile = track_profile(sheet.filtered, fit.segment, sheet.sigma_px)
        good = 0.5 * worth(profile, fit.segment, line_snr) * beside_masks(profile, line_snr)
        return _Streak(fit, good / sheet.crowding, StreakFlag.FIT_FAILED)
    most = quality_of_fit(fit, sigma_px=sheet.sigma_px, point_px=sheet.point_px)
    if sureness(fit.snr, most) / sheet.crowding < least:
        return _Streak(fit, sureness(fit.snr, most) / sheet.crowding, StreakFlag(0))
    profile = track_profile(sheet.filtered, fit.segment, fit.sigma_px)
    narrow = profile
    if fit.sigma_px > 1.3 * sheet.sigma_px:
        # Light of both sides of a bleed makes one wide line; the mask is in its middle.
        narrow = track_profile(sheet.filtered, fit.segment, sheet.sigma_px)
    good = quality(fit, profile, sigma_px=sheet.sigma_px, point_px=sheet.point_px)
    good *= beside_masks(narrow, fit.snr)
    if good > 0 and fit.segment.length_px < _ROW_SIGMA * fit.sigma_px:
        trail, points = power_of_points(sheet.z, sheet.usable, fit)
        good *= not_a_row_of_points(trail, points, sheet.filtered.noise_factor)
    flags = StreakFlag.SPIKE if along_a_mask(narrow) else StreakFlag(0)
    star = star_behind(fit.segment, sheet.stars)
    if star == 2 or (star >= 0 and fades(profile, from_first_end=star == 0)):
        flags, good = StreakFlag.SPIKE, good * _SPIKE_FACTOR
    if dashed(profile):
        flags |= StreakFlag.DASHED
    return _Streak(fit, sureness(steady_share(profile) * fit.snr, good) / sheet.crowding, flags)


def _one_each(streaks: Sequence[_Streak]) -> list[_Streak]:
    """Without the fits that ran into the place, or sit in the wings, of a better one."""
    ranked = sorted(streaks, key=lambda s: -s.fit.snr)
    kept = unexplained(
        [s.fit.segment for s in ranked],
        np.array([s.fit.sigma_px for s in ranked]),
        np.array([s.fit.snr for s in ranked]),
    )
    return [ranked[i] for i in kept]


def _join_pieces(
    sheet: _Sheet, streaks: Sequence[_Streak], source_variance: float
) -> list[_Streak]:
    """Collinear pieces as one streak, refitted where a uniform trail explains them."""
    promising = [s for s in streaks if s.score > 2.0]
    rest = [s for s in streaks if s.score <= 2.0]
    groups = group_pieces(
        [s.fit.segment for s in promising],
        [s.fit.theta_err_deg for s in promising],
        sigma_px=sheet.sigma_px,
        usable=sheet.usable,
    )
    joined = []
    for group in groups:
        pieces = [promising[i] for i in group]
        joined.append(pieces[0] if len(pieces) == 1 else _joined(sheet, pieces, source_variance))
    return _one_each([*joined, *rest])


def _joined(sheet: _Sheet, pieces: Sequence[_Streak], source_variance: float) -> _Streak:
    span = spanning_segment([p.fit.segment for p in pieces])
    fit = _fit(sheet, span, source_variance)
    whole = _judge(sheet, fit, fit.snr) if fit.converged else None
    together = math.sqrt(sum(max(p.fit.snr, 0.0) ** 2 for p in pieces))
    if whole is not None and whole.fit.snr > 0.95 * together and whole.score > 0:
        return replace(whole, score=max(whole.score, max(p.score for p in pieces)))
    best = max(pieces, key=lambda p: p.fit.snr)
    lit = sum(p.fit.segment.length_px for p in pieces)
    dashed = lit < 0.8 * span.length_px * (1.0 - hidden_share(span, sheet.usable))
    fit = replace(
        best.fit,
        segment=on_the_edge(span, sheet.filtered, sheet.sigma_px),
        flux=sum(p.fit.flux for p in pieces if math.isfinite(p.fit.flux)),
        snr=together,
    )
    flags = StreakFlag.DASHED if dashed else StreakFlag(0)
    return _Streak(fit, max(p.score for p in pieces), flags)


def _wanted(streak: _Streak, config: DetectionConfig) -> bool:
    return (
        streak.fit.snr >= config.threshold_snr
        and streak.score >= config.min_score
        and streak.fit.segment.length_px >= config.min_length_px
    )


def _flags(sheet: _Sheet, frame: Frame, fit: TrailFit) -> StreakFlag:
    segment, flags = fit.segment, StreakFlag(0)
    ny, nx = sheet.z.shape
    reach = 2.0 * sheet.sigma_px + 1.0
    ends = ((segment.x0, segment.y0), (segment.x1, segment.y1))
    edges, masks = (
        (StreakFlag.EDGE_0, StreakFlag.EDGE_1),
        (StreakFlag.MASKED_0, StreakFlag.MASKED_1),
    )
    xm, ym = segment.midpoint
    for (x, y), at_edge, at_mask in zip(ends, edges, masks, strict=True):
        if min(x + 0.5, y + 0.5, nx - 0.5 - x, ny - 0.5 - y) < reach:
            flags |= at_edge
            continue
        away = max(math.hypot(x - xm, y - ym), 1e-6)
        beyond = Segment(x, y, x + (x - xm) / away * reach, y + (y - ym) / away * reach)
        if hidden_share(beyond, sheet.seen) > 0.4:
            flags |= at_mask
    if hidden_share(segment, sheet.seen) > 0.02:
        flags |= StreakFlag.PARTLY_MASKED
    if fit.sigma_px > 1.4 * sheet.sigma_px and fit.sigma_px - sheet.sigma_px > 3.0 * fit.sigma_err:
        flags |= StreakFlag.WIDE
    if frame.planes is not None:
        if _plane_share(segment, frame.planes, MaskPlane.TRACK) > 0.3:
            flags |= StreakFlag.TRACK
        if _plane_share(segment, frame.planes, MaskPlane.SPIKE | MaskPlane.SATURATED) > 0.3:
            flags |= StreakFlag.SPIKE
    return flags


def _plane_share(segment: Segment, planes: NDArray[np.uint8], bits: MaskPlane) -> float:
    on = pixels_on(segment, planes.shape)
    return float((planes[on] & np.uint8(bits) != 0).mean()) if len(on[0]) else 0.0


def _table(frame: Frame, rows: Sequence[tuple[_Streak, float, float]]) -> QTable:
    if not rows:
        return empty_streaks()
    fits = [streak.fit for streak, _, _ in rows]
    segments = [fit.segment for fit in fits]
    ends = np.array([(s.x0, s.y0, s.x1, s.y1) for s in segments])
    flux, flux_err = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    x, y = 0.5 * (ends[:, 0] + ends[:, 2]), 0.5 * (ends[:, 1] + ends[:, 3])
    pixels = {"x": x, "y": y, "x0": ends[:, 0], "y0": ends[:, 1], "x1": ends[:, 2],
              "y1": ends[:, 3]}  # fmt: skip
    mag, mag_err = magnitudes(flux, flux_err, frame.zero_point_mag)
    time = "" if frame.time is None else str(frame.time.utc.isot)
    values = {
        "streak_id": [f"{frame.name}_{i:04d}" for i in range(len(rows))],
        "image": [frame.name] * len(rows),
        **pixels,
        "length": [s.length_px for s in segments],
        "theta": [s.theta_deg for s in segments],
        "width": [fit.sigma_px * FWHM_PER_SIGMA for fit in fits],
        "flux": flux,
        "flux_err": flux_err,
        "snr": [fit.snr for fit in fits],
        "score": [streak.score for streak, _, _ in rows],
        **sky_columns(pixels, frame.wcs, frame.exposure_s, frame.pixel_scale_arcsec),
        "mag": mag,
        "mag_err": mag_err,
        "time": [time] * len(rows),
        "flags": [int(streak.flags) for streak, _, _ in rows],
        "along0_err": [fit.along_err for fit in fits],
        "along1_err": [fit.along_err for fit in fits],
        "across_err": [fit.across_err for fit in fits],
        "length_err": [fit.length_err for fit in fits],
        "theta_err": [fit.theta_err_deg for fit in fits],
        "chi2": [fit.chi2 for fit in fits],
    }
    flags = np.array(values["flags"], dtype=int)
    warn_of_rates(values["rate"], flags & (StreakFlag.EDGE_0 | StreakFlag.EDGE_1) != 0, frame)
    return build_table(STREAK_COLUMNS, values)
