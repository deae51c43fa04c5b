"""What the passes of the detector do with one line (`streaks.detection.finder`).

Each step is a function from a line and the image it was found in to the line with more known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from streaks.config import DetectionConfig
from streaks.detection.aperture import aperture_flux
from streaks.detection.ends import on_the_edge, out_of_masks
from streaks.detection.evidence import final_evidence, line_flags
from streaks.detection.image import SearchImage, shortest_px
from streaks.detection.light import shape_of_trail
from streaks.detection.parallels import parallel_lines, share_above_parallels
from streaks.detection.photometry import power_of_points, sky_beside, trail_flux
from streaks.detection.pieces import hidden_share, spanning_segment
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
    evidence_of_fit,
    factors_of_fit,
    factors_of_profile,
    not_a_row_of_points,
    pointlike,
    resolved_length,
    sureness,
    worth,
)
from streaks.detection.records import Line, SetAside
from streaks.detection.spikes import MaskedCore, masked_core, star_behind
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.noise import NoiseMap
from streaks.tables import StreakFlag
from streaks.trail import FWHM_PER_SIGMA, PsfShape, fit_trail, with_correlated_noise

__all__ = [
    "against_parallels",
    "alike_pieces",
    "fit_line",
    "is_point",
    "is_wanted",
    "join_pieces",
    "judge_line",
    "measure_flux",
    "measure_line",
    "reason_against",
    "screen_line",
]

#: What a fit can add to a line's worth: S/N that was clipped, and a better place.
_WORTH_FITTING = 0.8
#: Half a chance: what cannot be fitted is seldom a streak, but long trails across broken ground
#: are.
_UNFITTED_FACTOR = 0.5
#: Light of both sides of a bleed makes one wide line; the mask is in its middle. Of a line wider
#: than the PSF by this factor masks are looked for in a narrower profile.
_WIDE_RATIO = 1.3
#: Longer rows of two or three stars show in how evenly the track is lit, in widths of the line.
#: In an image full of points that is asked of longer ones too.
_ROW_WIDTHS, _LONG_ROW_WIDTHS = 14.0, 25.0
#: A line that starts on a small saturated core and is shorter than so many of its radii is the
#: star's spike: of trails so short one in a few hundred ends at a core. Noise is taken to be higher
#: near bright stars, so that a spike may seem as bright in its outer part. What crosses a core is
#: so only along a row or a column, where charge bleeds: to this share of its length.
_ARM_RADII, _BLEED_DRIFT = 25.0, 0.03
#: Smaller spots are masked cosmic rays and bad pixels, at which trails end by chance; and an arm
#: begins within so many px of its core.
_LEAST_ARM_CORE_PX, _ARM_GAP_PX = 4.2, 4.0
#: A uniform trail explains pieces if it has this share of their S/N together.
_EXPLAINS = 0.95
#: A piece below this S/N that has less than this share of the brightest one's light a px of length
#: is no piece of it: satellites flash, but what chance adds is faint.
_SURE_PIECE, _BRIGHTNESS_ALIKE = 12.0, 0.25
#: Pieces that light less than this share of what can be seen of their span are dashes.
_DASHED_SHARE = 0.8


def is_point(line: Line, image: SearchImage, config: DetectionConfig) -> bool:
    """Whether a line that is not fitted yet is a bright point source.

    Parameters
    ----------
    line
        As the search found it.
    image
        It was found in.
    config
        Thresholds.

    Returns
    -------
    bool
    """
    return pointlike(
        image.filtered,
        line.start,
        sigma_px=image.sigma_px,
        min_length_px=shortest_px(image.sigma_px, config),
    )


def screen_line(line: Line, image: SearchImage, config: DetectionConfig) -> Line:
    """Set aside if its light along the track says that no fit can save it.

    Parameters
    ----------
    line
        As the search found it.
    image
        It was found in.
    config
        Thresholds.

    Returns
    -------
    Line
    """
    profile = track_profile(image.filtered, line.start, image.sigma_px)
    factors = worth(profile, line.start)
    if line.start_snr * factors.product < _WORTH_FITTING * config.min_score:
        return line.updated(factors=factors, set_aside=factors.worst)
    return line


def fit_line(line: Line, image: SearchImage) -> Line:
    """With a trail fitted to it.

    Parameters
    ----------
    line
        As the search found it.
    image
        It was found in.

    Returns
    -------
    Line
    """
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


def measure_line(line: Line, image: SearchImage, least_score: float = 0.0) -> Line:
    """With evidence and factors.

    Parameters
    ----------
    line
        Fitted.
    image
        Calibrated.
    least_score
        What its fit alone puts below this is measured no further.

    Returns
    -------
    Line
    """
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
        factors = factors.updated(
            points=not_a_row_of_points(trail, points, noise_factor, image.row_chance)
        )
    star = star_behind(fit.segment, image.stars)
    fading = star in (0, 1) and fades(profile, from_first_end=star == 0)
    if star < 0 and factors.product > 0:
        core = masked_core(fit.segment, image.seen)
        fading = core is not None and (
            _is_arm(fit.segment, core) or fades_from(profile, core.along_px, core.radius_px)
        )
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


def _is_arm(segment: Segment, core: MaskedCore) -> bool:
    """Whether a line is an arm or a bleed of the star whose small saturated core it meets."""
    length, radius = segment.length_px, core.radius_px
    if radius < _LEAST_ARM_CORE_PX or length >= _ARM_RADII * radius:
        return False
    beyond = max(-core.along_px, core.along_px - length)
    at_end = -radius <= beyond <= radius + _ARM_GAP_PX
    drift = min(abs(segment.x1 - segment.x0), abs(segment.y1 - segment.y0))
    return at_end or drift < _BLEED_DRIFT * length


def judge_line(line: Line, image: SearchImage, config: DetectionConfig) -> Line:
    """With its score, and the flags that stand for what was measured.

    Parameters
    ----------
    line
        Measured.
    image
        Calibrated.
    config
        What a spike is worth.

    Returns
    -------
    Line
    """
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


def alike_pieces(pieces: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Of pieces on one line those that may be of one trail, and the others.

    A faint line on the line of a far brighter trail is most often chance, or the edge of a glow:
    joined to it, it would give the trail a false end.

    Parameters
    ----------
    pieces
        Judged; one at least.

    Returns
    -------
    alike, others : list of Line
        The brightest is among the first.
    """
    best = max(pieces, key=lambda piece: piece.fitted.snr)
    least = _BRIGHTNESS_ALIKE * _brightness(best)
    alike = [
        piece for piece in pieces if piece.fitted.snr >= _SURE_PIECE or _brightness(piece) >= least
    ]
    kept = {id(piece) for piece in alike}
    return alike, [piece for piece in pieces if id(piece) not in kept]


def _brightness(line: Line) -> float:
    """Light a px of length, in units of the noise, but for a factor that all lines share."""
    return line.fitted.snr / math.sqrt(max(line.segment.length_px, line.fitted.sigma_px))


def join_pieces(pieces: Sequence[Line], image: SearchImage, config: DetectionConfig) -> Line:
    """One streak of several pieces: a uniform trail, or else what lies from end to end.

    Parameters
    ----------
    pieces
        Judged; two at least.
    image
        Calibrated.
    config
        As of `judge_line`.

    Returns
    -------
    Line
    """
    span = spanning_segment([piece.segment for piece in pieces])
    best = max(pieces, key=lambda piece: piece.fitted.snr)
    highest = max(piece.score for piece in pieces)
    together = math.sqrt(sum(max(piece.fitted.snr, 0.0) ** 2 for piece in pieces))
    whole = fit_line(Line(span, best.start_snr), image)
    if whole.fitted.converged:
        whole = judge_line(measure_line(whole, image), image, config)
        if whole.fitted.snr > _EXPLAINS * together and whole.score > 0:
            return whole.updated(score=max(whole.score, highest))
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


def is_wanted(line: Line, image: SearchImage, config: DetectionConfig) -> bool:
    """Whether a judged line goes into the table.

    Parameters
    ----------
    line
        Judged.
    image
        It was found in.
    config
        Thresholds.

    Returns
    -------
    bool
    """
    return line.set_aside is None and reason_against(line, image, config) is None


def against_parallels(line: Line, image: SearchImage) -> Line:
    """With what its parallels tell, and a score that knows it.

    Parameters
    ----------
    line
        Judged.
    image
        It was found in.

    Returns
    -------
    Line
    """
    beside = parallel_lines(
        image.filtered, line.segment, image.sigma_px, light_px=line.fitted.sigma_px
    )
    share = share_above_parallels(beside)
    return line.updated(
        evidence=line.evidence.updated(parallel_level=beside.level, parallel_spread=beside.spread),
        factors=line.factors.updated(pattern=share),
        score=line.score * share,
    )


def reason_against(line: Line, image: SearchImage, config: DetectionConfig) -> SetAside | None:
    """Why a judged line does not go into the table.

    Parameters
    ----------
    line
        Judged.
    image
        It was found in.
    config
        Thresholds.

    Returns
    -------
    SetAside or None
        None where it does.
    """
    sigma_px = image.sigma_px
    if line.fitted.snr >= config.threshold_snr and line.score >= config.min_score:
        least_px = shortest_px(sigma_px, config)
        if config.min_length_px > 0:
            least_px = max(least_px, resolved_length(line.fitted.snr, sigma_px))
        return None if line.segment.length_px >= least_px else SetAside.SHORT
    return line.factors.worst


def measure_flux(
    line: Line, image: SearchImage, frame: Frame, noise: NoiseMap, psf: PsfShape | None
) -> Line:
    """With its flux, flags of its place, and errors that know how noise is correlated.

    Parameters
    ----------
    line
        Judged, and wanted.
    image
        Calibrated.
    frame
        In counts.
    noise
        Of the frame.
    psf
        Shape of the PSF, where anything tells it.

    Returns
    -------
    Line
    """
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
