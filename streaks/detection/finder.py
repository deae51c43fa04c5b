"""The transform detector: passes over one list of lines, in the order of docs/detection.md.

Each pass is a function from list to list. What it measures stays with the line by name
(`streaks.detection.records`); a line that is no streak is set aside with the reason.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streaks.config import DetectionConfig
from streaks.detection.aperture import aperture_flux
from streaks.detection.blends import blends, failed_as_blend, lines_beside
from streaks.detection.ends import on_the_edge, out_of_masks
from streaks.detection.evidence import final_evidence, line_flags
from streaks.detection.image import SearchImage, prepare_image, psf_sigma, shortest_px
from streaks.detection.light import psf_shape, shape_of_trail
from streaks.detection.parallels import parallel_lines, share_above_parallels
from streaks.detection.photometry import power_of_points, sky_beside, trail_flux
from streaks.detection.pieces import group_pieces, hidden_share, spanning_segment, unexplained
from streaks.detection.profiles import (
    clear_share,
    dashed,
    fades,
    fades_from,
    steady_share,
    track_profile,
)
from streaks.detection.quality import (
    along_a_mask,
    beside_masks,
    chance_of_rows,
    crowding,
    evidence_of_fit,
    factors_of_fit,
    factors_of_profile,
    not_a_row_of_points,
    point_length,
    pointlike,
    resolved_length,
    sureness,
    worth,
)
from streaks.detection.records import Line, SetAside
from streaks.detection.search import refined_lines, rough_lines
from streaks.detection.spikes import masked_core, star_behind
from streaks.detection.wide_trails import without_doubles
from streaks.frame import Frame
from streaks.geometry import Segment, distance_to_segment
from streaks.noise import NoiseMap, estimate_noise, standardise
from streaks.tables import StreakFlag
from streaks.trail import FWHM_PER_SIGMA, PsfShape, fit_trail, with_correlated_noise

__all__ = ["TransformDetector", "search_image"]

_log = logging.getLogger(__name__)

#: Bright points fitted all the same, to learn how long a point looks in this image.
_POINTS_FITTED = 30
#: What a fit can add to a line's worth: S/N that was clipped, and a better place.
_WORTH_FITTING = 0.8
#: What has less than this share of the least score is not looked at further, not even as a piece.
_HOPELESS = 0.25
#: Half a chance: what cannot be fitted is seldom a streak, but long trails across broken ground
#: are.
_UNFITTED_FACTOR = 0.5
#: Light of both sides of a bleed makes one wide line; the mask is in its middle. Of a line wider
#: than the PSF by this factor masks are looked for in a narrower profile.
_WIDE_RATIO = 1.3
#: Longer rows of two or three stars show in how evenly the track is lit, in widths of the line.
#: In an image full of points that is asked of longer ones too.
_ROW_WIDTHS, _LONG_ROW_WIDTHS = 14.0, 25.0
#: Lines of a score above this may be pieces of one streak.
_PROMISING = 2.0
#: A uniform trail explains pieces if it has this share of their S/N together.
_EXPLAINS = 0.95
#: Pieces that light less than this share of what can be seen of their span are dashes.
_DASHED_SHARE = 0.8
#: A line that failed is of a blend with a streak within so many widths of the PSF of it.
_BLEND_WIDTHS = 4.0


class TransformDetector:
    """Our own: partial Radon transform, matched filter, trail fit, judgement."""

    name = "radon"

    def find(self, frame: Frame, config: DetectionConfig) -> list[Line]:
        """All lines of a frame: streaks measured, the others set aside with their reason.

        Parameters
        ----------
        frame
            Its data are float32.
        config
            Thresholds.

        Returns
        -------
        list of Line
        """
        noise = estimate_noise(frame.data, frame.mask, frame.variance, config.noise)
        z = standardise(frame.data, noise)
        sigma_px = psf_sigma(frame)
        turned = -z if config.negative else None
        image = prepare_image(z, frame, noise, sigma_px, config, negative=False)
        lines = search_image(image, frame, noise, config)
        if turned is not None:
            image = prepare_image(turned, frame, noise, sigma_px, config, negative=True)
            lines += search_image(image, frame, noise, config)
        return lines


def search_image(
    image: SearchImage, frame: Frame, noise: NoiseMap, config: DetectionConfig
) -> list[Line]:
    """All passes, from an image to its lines.

    Parameters
    ----------
    image
        As prepared.
    frame
        It is of, in counts.
    noise
        Of the frame.
    config
        Thresholds.

    Returns
    -------
    list of Line
        All that was found, those that were set aside among them.
    """
    lines = found_lines(image, config, frame.name)
    lines = screened(lines, image, config)
    lines = fitted(lines, image)
    image = calibrated(image, lines, config)
    lines = measured(lines, image, _HOPELESS * config.min_score)
    lines = judged(lines, image, config)
    lines = distinct(lines)
    lines = deblended(lines, image, config)
    lines = joined(lines, image, config)
    lines = distinct(lines)
    lines = compared(lines, image, config)
    lines = wanted(lines, image, config)
    lines = without_doubles(lines, image.z, image.seen, image.sigma_px)
    return finished(lines, image, frame, noise)


# The passes


def found_lines(image: SearchImage, config: DetectionConfig, name: str = "image") -> list[Line]:
    """Bright point sources, then the transform's lines, refined one by one, the strongest first.

    Parameters
    ----------
    image
        To be searched.
    config
        Thresholds.
    name
        Of the image, for a warning.
    """
    sigma = image.sigma_px
    lines = [
        Line(Segment(x - sigma, y, x + sigma, y), float(snr), bright_point=True)
        for x, y, snr in image.points[:_POINTS_FITTED]
    ]
    rough = rough_lines(image.filtered, config.threshold_snr)
    table = refined_lines(
        rough, image.filtered, sigma_px=sigma, threshold_snr=config.threshold_snr,
        limit=config.max_lines,
    )  # fmt: skip
    if len(table) == config.max_lines:
        _log.warning("%s: stopped at %d lines; is this a difference image?", name, len(table))
    return lines + [Line(Segment(*ends), snr) for *ends, snr in table.tolist()]


def screened(lines: Sequence[Line], image: SearchImage, config: DetectionConfig) -> list[Line]:
    """Sets aside what no fit can save; of plain points a few stay, which tell of the PSF.

    Parameters
    ----------
    lines
        Not fitted yet.
    image
        They were found in.
    config
        Thresholds.
    """
    points = sum(line.bright_point for line in lines)
    screen: list[Line] = []
    for line in lines:
        if line.bright_point:
            pass
        elif pointlike(image.filtered, line.start, sigma_px=image.sigma_px,
                       min_length_px=shortest_px(image.sigma_px, config)):  # fmt: skip
            points += 1
            if points > _POINTS_FITTED:
                line = line.updated(set_aside=SetAside.POINT)
        else:
            profile = track_profile(image.filtered, line.start, image.sigma_px)
            factors = worth(profile, line.start)
            if line.start_snr * factors.product < _WORTH_FITTING * config.min_score:
                line = line.updated(factors=factors, set_aside=factors.worst)
        screen.append(line)
    return screen


def fitted(lines: Sequence[Line], image: SearchImage) -> list[Line]:
    """Each line that is not set aside with its fit.

    Parameters
    ----------
    lines
        Screened.
    image
        They were found in.
    """
    return [line if line.set_aside else _with_fit(line, image) for line in lines]


def calibrated(image: SearchImage, lines: Sequence[Line], config: DetectionConfig) -> SearchImage:
    """The image with what all its lines tell: how long points look, how crowded it is.

    Parameters
    ----------
    image
        As prepared.
    lines
        Fitted.
    config
        Most crowding that counts.
    """
    fits = [line.fit for line in lines if line.fit is not None]
    crowded = min(crowding(image.filtered), config.max_crowding)
    plain = sum(line.set_aside is SetAside.POINT for line in lines)
    hidden = max(len(image.points) - _POINTS_FITTED, 0)
    shape = point_length(
        fits, image.sigma_px,
        others=plain + hidden, usable_px=int(np.count_nonzero(image.seen)),
    )  # fmt: skip
    return replace(
        image, point_shape=shape, crowding=crowded, row_chance=chance_of_rows(shape.density)
    )


def measured(lines: Sequence[Line], image: SearchImage, least_score: float = 0.0) -> list[Line]:
    """Each fitted line with evidence and factors; of what cannot reach a score only the fit's.

    Parameters
    ----------
    lines
        Fitted.
    image
        Calibrated.
    least_score
        What its fit alone puts below this is measured no further.
    """
    return [line if line.fit is None else _measured(line, image, least_score) for line in lines]


def judged(lines: Sequence[Line], image: SearchImage, config: DetectionConfig) -> list[Line]:
    """Each measured line with its score, and the flags that stand for what was measured.

    Parameters
    ----------
    lines
        Measured.
    image
        Calibrated.
    config
        What a spike is worth.
    """
    return [line if line.fit is None else _judged(line, image, config) for line in lines]


def distinct(lines: Sequence[Line]) -> list[Line]:
    """Sets aside the fits that ran into the place, or sit in the wings, of a better one.

    Parameters
    ----------
    lines
        Judged; whatever their score, they explain light.

    Returns
    -------
    list of Line
        Those kept first, by falling S/N.
    """
    alive, gone = _parted(lines)
    ranked = sorted(alive, key=lambda line: -line.fitted.snr)
    kept = unexplained(
        [line.segment for line in ranked],
        np.array([line.fitted.sigma_px for line in ranked]),
        np.array([line.fitted.snr for line in ranked]),
    )
    stay = set(kept.tolist())
    repeated = [
        line.updated(set_aside=SetAside.REPEATED) for i, line in enumerate(ranked) if i not in stay
    ]
    return [*(ranked[i] for i in kept), *repeated, *gone]


def deblended(lines: Sequence[Line], image: SearchImage, config: DetectionConfig) -> list[Line]:
    """With streaks that were found once a brighter source beside them was hidden.

    Parameters
    ----------
    lines
        Distinct.
    image
        Calibrated; what is bright on the track of a line that failed is hidden in it, in place.
    config
        Thresholds. With a `min_score` of 0 all lines are wanted as they are.
    """
    if config.min_score == 0:
        return list(lines)
    more = screened(lines_beside(blends(lines, image), image, config), image, config)
    more = judged(measured(fitted(more, image), image, _HOPELESS * config.min_score), image, config)
    more = [line for line in more if _is_wanted(line, image, config)]
    if not more:
        return list(lines)
    good = [line for line in lines if line.set_aside is None and line.score > _PROMISING]
    new = {id(line) for line in more}
    more = [line for line in _parted(distinct([*good, *more]))[0] if id(line) in new]
    # What failed in their light would explain them.
    rest = [
        line.updated(set_aside=line.factors.worst)
        if line.set_aside is None
        and failed_as_blend(line, image.sigma_px)
        and _starts_on(line, more, image.sigma_px)
        else line
        for line in lines
    ]
    return [*rest, *more]


def joined(lines: Sequence[Line], image: SearchImage, config: DetectionConfig) -> list[Line]:
    """Collinear pieces as one streak, refitted where a uniform trail explains them.

    Parameters
    ----------
    lines
        Distinct.
    image
        Calibrated.
    config
        As of `judged`.
    """
    alive, gone = _parted(lines)
    promising = [line for line in alive if line.score > _PROMISING]
    rest = [line for line in alive if not line.score > _PROMISING]
    groups = group_pieces(
        [line.segment for line in promising],
        [line.fitted.theta_err_deg for line in promising],
        sigma_px=image.sigma_px,
        usable=image.usable,
    )
    whole: list[Line] = []
    for group in groups:
        pieces = [promising[i] for i in group]
        if len(pieces) == 1:
            whole.append(pieces[0])
            continue
        whole.append(_joined(pieces, image, config))
        gone += [piece.updated(set_aside=SetAside.JOINED) for piece in pieces]
    return [*whole, *rest, *gone]


def compared(lines: Sequence[Line], image: SearchImage, config: DetectionConfig) -> list[Line]:
    """Each line that would be wanted with its parallels, and a score that knows them.

    Parameters
    ----------
    lines
        Joined.
    image
        They were found in.
    config
        Thresholds: fainter lines stay as they are.
    """
    return [
        _compared(line, image)
        if line.set_aside is None and line.score >= config.min_score
        else line
        for line in lines
    ]


def wanted(lines: Sequence[Line], image: SearchImage, config: DetectionConfig) -> list[Line]:
    """Sets aside what is below the thresholds; the best first.

    Parameters
    ----------
    lines
        Judged.
    image
        They were found in.
    config
        Thresholds.
    """
    alive, gone = _parted(lines)
    kept: list[Line] = []
    for line in alive:
        reason = _reason(line, config, image.sigma_px)
        if reason is None:
            kept.append(line)
        else:
            gone.append(line.updated(set_aside=reason))
    kept.sort(key=lambda line: -line.score)
    # Two searches of one frame may give more together: `streaks.detection.detector` cuts again.
    most = config.max_streaks
    gone += [line.updated(set_aside=SetAside.EXCESS) for line in kept[most:]]
    return [*kept[:most], *gone]


def finished(
    lines: Sequence[Line], image: SearchImage, frame: Frame, noise: NoiseMap
) -> list[Line]:
    """Each streak with its flux, its flags, and errors that know how noise is correlated.

    Parameters
    ----------
    lines
        Those set aside stay as they are.
    image
        Calibrated.
    frame
        In counts.
    noise
        Of the frame.
    """
    alive, _ = _parted(lines)
    psf = psf_shape(frame, image, alive) if alive else None
    return [line if line.set_aside else _finished(line, image, frame, noise, psf) for line in lines]


# What the passes do with one line


def _parted(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Lines that are still in play, and those set aside."""
    alive = [line for line in lines if line.set_aside is None]
    return alive, [line for line in lines if line.set_aside is not None]


def _with_fit(line: Line, image: SearchImage) -> Line:
    # A bright point was hidden, and is fitted in the image with it.
    usable = image.seen if line.bright_point else image.usable
    fit = fit_trail(
        image.z,
        usable,
        line.start,
        sigma_px=image.sigma_px,
        noise_factor=image.filtered.trail_noise_factor(line.start.length_px, image.sigma_px),
        source_variance=image.source_variance,
    )
    segment = on_the_edge(fit.segment, image.filtered, image.sigma_px)
    segment = out_of_masks(segment, image.seen, image.sigma_px)
    snr = fit.snr if fit.converged else line.start_snr
    return line.updated(fit=replace(fit, segment=segment, snr=snr))


def _measured(line: Line, image: SearchImage, least_score: float) -> Line:
    fit = line.fitted
    if not fit.converged:
        profile = track_profile(image.filtered, fit.segment, image.sigma_px)
        clear = clear_share(profile, line.start_snr)
        factors = worth(profile, fit.segment)
        factors = factors.updated(
            mask=factors.mask * beside_masks(profile.hidden_share, clear),
            unfitted=_UNFITTED_FACTOR,
        )
        return line.updated(factors=factors, flags=StreakFlag.FIT_FAILED)
    evidence = evidence_of_fit(fit, sigma_px=image.sigma_px, points=image.point_shape)
    factors = factors_of_fit(fit, evidence)
    if sureness(fit.snr, factors.of_fit) / image.crowding < least_score:
        return line.updated(evidence=evidence, factors=factors)
    return _with_profile(line.updated(evidence=evidence, factors=factors), image)


def _with_profile(line: Line, image: SearchImage) -> Line:
    """Of light along the track, masks beside it, points in a row and stars at its ends."""
    fit = line.fitted
    profile = narrow = track_profile(image.filtered, fit.segment, fit.sigma_px)
    if fit.sigma_px > _WIDE_RATIO * image.sigma_px:
        narrow = track_profile(image.filtered, fit.segment, image.sigma_px)
    uneven, dipole = factors_of_profile(fit, profile)
    clear = clear_share(narrow, fit.snr)
    factors = line.factors.updated(
        uneven=uneven, dipole=dipole, mask=beside_masks(narrow.hidden_share, clear)
    )
    trail, excess = math.nan, math.nan
    row_widths = _ROW_WIDTHS if image.row_chance == 0 else _LONG_ROW_WIDTHS
    if factors.product > 0 and fit.segment.length_px < row_widths * fit.sigma_px:
        trail, points = power_of_points(image.z, image.usable, fit)
        noise_factor = image.filtered.noise_factor
        excess = points - trail
        factors = factors.updated(points=not_a_row_of_points(trail, points, noise_factor, image.row_chance))
    star = star_behind(fit.segment, image.stars)
    fading = star in (0, 1) and fades(profile, from_first_end=star == 0)
    if star < 0 and factors.product > 0:
        core = masked_core(fit.segment, image.seen)
        fading = core is not None and fades_from(profile, core.along_px, core.radius_px)
    evidence = line.evidence.updated(
        even_share=profile.even_share,
        lit_share=profile.lit_share,
        lobe_depth=profile.lobe_depth,
        steady_share=steady_share(profile),
        hidden_share=narrow.hidden_share,
        clear_share=clear,
        points_excess=excess,
        trail_power=trail,
        star_end=star,
        fades=fading,
        dashed=dashed(profile),
    )
    return line.updated(evidence=evidence, factors=factors)


def _judged(line: Line, image: SearchImage, config: DetectionConfig) -> Line:
    fit, evidence = line.fitted, line.evidence
    if not fit.converged:
        score = line.start_snr * line.factors.product / image.crowding
        return line.updated(score=score, flags=StreakFlag.FIT_FAILED)
    flags = StreakFlag(0)
    factors = line.factors
    if evidence.fades or evidence.star_end == 2:
        factors = factors.updated(spike=config.spike_factor)
        flags |= StreakFlag.SPIKE
    if along_a_mask(evidence.hidden_share):
        flags |= StreakFlag.SPIKE
    if evidence.dashed:
        flags |= StreakFlag.DASHED
    steady = evidence.steady_share if math.isfinite(evidence.steady_share) else 1.0
    score = sureness(steady * fit.snr, factors.product) / image.crowding
    return line.updated(factors=factors, score=score, flags=flags)


def _joined(pieces: Sequence[Line], image: SearchImage, config: DetectionConfig) -> Line:
    """One streak of several pieces: a uniform trail, or else what lies from end to end."""
    span = spanning_segment([piece.segment for piece in pieces])
    best = max(pieces, key=lambda piece: piece.fitted.snr)
    highest = max(piece.score for piece in pieces)
    together = math.sqrt(sum(max(piece.fitted.snr, 0.0) ** 2 for piece in pieces))
    whole = fitted([Line(span, best.start_snr)], image)
    if whole[0].fitted.converged:
        whole = judged(measured(whole, image), image, config)
        if whole[0].fitted.snr > _EXPLAINS * together and whole[0].score > 0:
            return whole[0].updated(score=max(whole[0].score, highest))
    lit = sum(piece.segment.length_px for piece in pieces)
    seen = span.length_px * (1.0 - hidden_share(span, image.usable))
    fit = replace(
        best.fitted,
        segment=on_the_edge(span, image.filtered, image.sigma_px),
        flux=sum(p.fitted.flux for p in pieces if math.isfinite(p.fitted.flux)),
        snr=together,
    )
    flags = StreakFlag.DASHED if lit < _DASHED_SHARE * seen else StreakFlag(0)
    return best.updated(fit=fit, score=highest, flags=flags)


def _is_wanted(line: Line, image: SearchImage, config: DetectionConfig) -> bool:
    return line.set_aside is None and _reason(line, config, image.sigma_px) is None


def _starts_on(line: Line, others: Sequence[Line], sigma_px: float) -> bool:
    """Whether a line starts on the track of one of the others."""
    x, y = line.start.midpoint
    near = _BLEND_WIDTHS * sigma_px + 0.5 * line.start.length_px
    return any(float(distance_to_segment(x, y, other.segment)) < near for other in others)


def _compared(line: Line, image: SearchImage) -> Line:
    snr, level, spread = parallel_lines(image.filtered, line.segment, image.sigma_px)
    share = share_above_parallels(snr, level, spread)
    return line.updated(
        evidence=line.evidence.updated(parallel_level=level, parallel_spread=spread),
        factors=line.factors.updated(pattern=share),
        score=line.score * share,
    )


def _reason(line: Line, config: DetectionConfig, sigma_px: float) -> SetAside | None:
    """Why a judged line does not go into the table; None where it does."""
    if line.fitted.snr >= config.threshold_snr and line.score >= config.min_score:
        least_px = shortest_px(sigma_px, config)
        if config.min_length_px > 0:
            least_px = max(least_px, resolved_length(line.fitted.snr, sigma_px))
        return None if line.segment.length_px >= least_px else SetAside.SHORT
    return line.factors.worst


def _finished(
    line: Line, image: SearchImage, frame: Frame, noise: NoiseMap, psf: PsfShape | None
) -> Line:
    fit = with_correlated_noise(
        line.fitted,
        image.usable,
        noise.correlation,
        sigma_px=image.sigma_px,
        source_variance=image.source_variance,
        z=image.z,
    )
    sky = sky_beside(image.z, image.usable, fit)
    shape = None if psf is None or not fit.converged else shape_of_trail(psf, fit, image.sigma_px)
    flux, flux_err = trail_flux(
        frame.data,
        noise,
        image.usable,
        fit,
        level=sky[0],
        noise_factor=image.filtered.trail_noise_factor(fit.segment.length_px, image.sigma_px),
        gain=frame.gain,
        negative=image.negative,
        psf=shape,
    )
    aperture, aperture_err = aperture_flux(
        frame.data, noise, image.usable, fit, width_px=FWHM_PER_SIGMA * image.sigma_px, sky=sky,
        gain=frame.gain, negative=image.negative, psf=shape,
    )  # fmt: skip
    flags = line.flags | line_flags(image, frame, fit)
    evidence = final_evidence(line.evidence, fit, image)
    return line.updated(
        fit=fit, flux=flux, flux_err=flux_err, flux_aperture=aperture,
        flux_aperture_err=aperture_err, flags=flags, evidence=evidence,
    )  # fmt: skip
