"""The transform detector: passes over one list of lines, in the order of docs/detection.md.

Each pass is a function from list to list; what it does with one line is a step of
`streaks.detection.line_steps`. What it measures stays with the line by name
(`streaks.detection.records`); a line that is no streak is set aside with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streaks.config import DetectionConfig
from streaks.detection.blends import blends, failed_beside, lines_beside
from streaks.detection.image import SearchImage, prepare_image, psf_sigma
from streaks.detection.light import psf_shape
from streaks.detection.line_steps import (
    against_parallels,
    alike_pieces,
    fit_line,
    is_point,
    is_wanted,
    join_pieces,
    judge_line,
    measure_flux,
    measure_line,
    reason_against,
    screen_line,
)
from streaks.detection.pieces import group_pieces, unexplained
from streaks.detection.quality import crowding, point_length
from streaks.detection.records import Line, SetAside
from streaks.detection.search import refined_lines, rough_lines
from streaks.detection.wide_trails import without_doubles
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.noise import NoiseMap, estimate_noise, standardise

__all__ = ["TransformDetector", "search_image"]

_log = logging.getLogger(__name__)

#: Bright points fitted all the same, to learn how long a point looks in this image.
_POINTS_FITTED = 30
#: What has less than this share of the least score is not looked at further, not even as a piece.
_HOPELESS = 0.25


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
            screen.append(line)
        elif is_point(line, image, config):
            points += 1
            too_many = points > _POINTS_FITTED
            screen.append(line.updated(set_aside=SetAside.POINT) if too_many else line)
        else:
            screen.append(screen_line(line, image, config))
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
    return [line if line.set_aside else fit_line(line, image) for line in lines]


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
    return replace(image, point_shape=shape, crowding=crowded)


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
    return [line if line.fit is None else measure_line(line, image, least_score) for line in lines]


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
    return [line if line.fit is None else judge_line(line, image, config) for line in lines]


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
    more = [line for line in more if is_wanted(line, image, config)]
    if not more:
        return list(lines)
    good = [line for line in lines if line.promising]
    new = {id(line) for line in more}
    more = [line for line in _parted(distinct([*good, *more]))[0] if id(line) in new]
    # What failed in their light would explain them.
    explained = failed_beside(lines, more, image.sigma_px).tolist()
    rest = [
        line.updated(set_aside=line.factors.worst) if line.set_aside is None and failed else line
        for line, failed in zip(lines, explained, strict=True)
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
    promising = [line for line in alive if line.promising]
    rest = [line for line in alive if not line.promising]
    groups = group_pieces(
        [line.segment for line in promising],
        [line.fitted.theta_err_deg for line in promising],
        sigma_px=image.sigma_px,
        usable=image.usable,
    )
    whole: list[Line] = []
    for group in groups:
        pieces, strangers = alike_pieces([promising[i] for i in group])
        rest += strangers
        if len(pieces) == 1:
            whole.append(pieces[0])
            continue
        whole.append(join_pieces(pieces, image, config))
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
        against_parallels(line, image)
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
        reason = reason_against(line, image, config)
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
    return [
        line if line.set_aside else measure_flux(line, image, frame, noise, psf) for line in lines
    ]


def _parted(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Lines that are still in play, and those set aside."""
    alive = [line for line in lines if line.set_aside is None]
    return alive, [line for line in lines if line.set_aside is not None]
