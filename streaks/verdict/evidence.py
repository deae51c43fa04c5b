"""What a frame's pixels tell of each streak beyond its row: evidence, as plain numbers.

It is measured while the frame is in memory, a row a streak, and kept with the frame's results, so
that a night's streaks can be weighed again without its images.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.detection import Detection, Line, SetAside
from streaks.detection.records import Evidence
from streaks.frame import Frame, MaskPlane
from streaks.tables import ColumnSpec, build_table, empty_table
from streaks.verdict.bright_stars import bright_stars
from streaks.verdict.lines import Lines, neighbours_of
from streaks.verdict.strips import SAMPLES, boxes_around, read_pixels, strips_along

__all__ = ["EVIDENCE_COLUMNS", "EVIDENCE_PREFIX", "frame_evidence"]

Floats = NDArray[np.float64]

#: Before the name of each column of evidence.
EVIDENCE_PREFIX = "ev_"

#: Values of the detector's record that mean the same whichever way a line is read.
_OF_THE_RECORD = tuple(
    name
    for name in (field.name for field in fields(Evidence))
    if name not in {"star_end", "end_contrast_0", "end_contrast_1", "asymmetry_sigmas"}
)
_OF_THE_ENDS = ("end_contrast_least", "end_contrast_most", "star_on_line", "star_at_end")
_PLANES = ("source", "ghost", "halo", "saturated", "spike", "track")
_OF_THE_PLACE = (
    *(f"on_{plane}" for plane in _PLANES),
    *(f"near_{what}" for what in ("source", "ghost", "halo", "saturated", "unusable")),
    "star_offset",
    "star_gap_px",
    "star_radius_px",
    "star_nearest_px",
)
_OF_IMAGES = (
    "trail_sigmas",
    "trail_peak",
    "trail_low",
    "beside_low",
    "beside_high",
    "science_share",
    "science_peak",
    "reference_share",
    "reference_sigmas",
    "reference_peak",
    "science_sigmas",
)
#: Lines that were set aside are counted where they have this S/N: pieces of a longer trail.
_ASIDE_SNR = 4.0
_OF_LINES_SET_ASIDE = ("aside_near", "aside_parallel", "aside_collinear", "aside_collinear_px")
_NAMES = (
    *_OF_THE_RECORD,
    *_OF_THE_ENDS,
    *_OF_THE_PLACE,
    *_OF_IMAGES,
    *_OF_LINES_SET_ASIDE,
    "fwhm_px",
)

EVIDENCE_COLUMNS = tuple(
    ColumnSpec(EVIDENCE_PREFIX + name, np.float32, None, "evidence for the verdict")
    for name in _NAMES
)

_STREAK_ID = ColumnSpec("streak_id", str, None, "of the streak")
#: Strips are made for PSFs of these widths: of narrower ones the next pixel would be neither on the
#: trail nor beside it, and of wider ones half of the image.
_SIGMAS_PX = (0.5, 12.0)
#: Half the side of the box around a streak's midpoint in which masks are counted, px.
_BOX_PX = 60
#: What lies on a trail is within so many widths and px of it, what lies beside it beyond so many.
_ON_WIDTHS, _ON_PX, _NEAR_WIDTHS, _BESIDE_WIDTHS = 1.2, 0.5, 4.0, 5.0
_FWHM_PER_SIGMA = 2.3548
#: Of a frame that does not know its PSF.
_USUAL_FWHM_PX = 2.5
_MAD_TO_STD = 1.4826
#: Light on the track in another image, in units of that in the difference, counts up to this.
_MOST_SHARE = 50.0


def frame_evidence(frame: Frame, found: Detection) -> QTable:
    """Evidence of each streak of a frame.

    Parameters
    ----------
    frame
        That was searched, with mask planes, science and reference image where it has any.
    found
        In it.

    Returns
    -------
    QTable
        ``streak_id`` and `EVIDENCE_COLUMNS`, a row a streak in the table's order; NaN where the
        frame does not tell.
    """
    if not found.streaks:
        return empty_table((_STREAK_ID, *EVIDENCE_COLUMNS))
    fwhm_px = frame.fwhm_px if frame.fwhm_px > 0 else _USUAL_FWHM_PX
    lines = Lines.of([line.segment for line in found.streaks])
    measured = {
        **_of_records([line.evidence for line in found.streaks]),
        **_of_planes(frame, lines),
        **bright_stars(frame).towards(lines),
        **_of_images(frame, lines, float(np.clip(fwhm_px / _FWHM_PER_SIGMA, *_SIGMAS_PX))),
        **_of_aside(found, lines),
        "fwhm_px": np.full(len(lines), fwhm_px),
    }
    unknown = np.full(len(lines), np.nan)
    values = {EVIDENCE_PREFIX + name: measured.get(name, unknown) for name in _NAMES}
    table = build_table(EVIDENCE_COLUMNS, values)
    table.add_column(np.array(found.table["streak_id"], dtype=str), name="streak_id", index=0)
    return table


def _of_records(records: Sequence[Evidence]) -> dict[str, Floats]:
    """What the detector measured, whichever way a line is read."""
    first, last, star = (
        np.array([getattr(record, name) for record in records], float)
        for name in ("end_contrast_0", "end_contrast_1", "star_end")
    )
    return {
        **{
            name: np.array([getattr(record, name) for record in records], float)
            for name in _OF_THE_RECORD
        },
        "end_contrast_least": np.minimum(first, last),
        "end_contrast_most": np.maximum(first, last),
        "star_on_line": np.asarray(star == 2, float),
        "star_at_end": np.asarray((star == 0) | (star == 1), float),
    }


def _of_planes(frame: Frame, lines: Lines) -> dict[str, Floats]:
    """Shares of the track, and of the box around it, in the planes of the survey's mask."""
    box = boxes_around(lines, _BOX_PX)
    told = {"near_unusable": _shares(read_pixels(frame.mask, box, False))}
    if frame.planes is None:
        return told
    (columns, rows), _ = strips_along(lines, 0)
    for what, places in (("on", (columns, rows)), ("near", box)):
        pixels = read_pixels(frame.planes, places, np.uint8(0))
        for plane in _PLANES:
            bit = np.uint8(MaskPlane[plane.upper()])
            told[f"{what}_{plane}"] = _shares(pixels & bit != 0)
    return told


def _shares(there: NDArray[np.bool_]) -> Floats:
    return np.asarray(there.reshape(len(there), -1).mean(axis=1), float)


def _of_images(frame: Frame, lines: Lines, sigma_px: float) -> dict[str, Floats]:
    """Light on the track and beside it, in the difference and in the images that made it.

    A moving body adds to the science image what it adds to the difference, and the reference
    knows nothing of it.
    """
    places, offsets = strips_along(lines, math.ceil(2 * _BESIDE_WIDTHS * sigma_px))
    off = np.abs(offsets)
    on = off <= _ON_WIDTHS * sigma_px + _ON_PX
    beside = off >= _BESIDE_WIDTHS * sigma_px
    near = ~on & (off <= _NEAR_WIDTHS * sigma_px)
    trail = read_pixels(frame.data, places, np.nan).astype(np.float32)
    trail[read_pixels(frame.mask, places, True)] = np.nan
    told: dict[str, Floats] = {}
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # Of what is masked whole nothing is known: NaN, and no word about it.
        warnings.simplefilter("ignore", RuntimeWarning)
        level, noise = _levels(trail[:, :, beside])
        of_track = _flat(trail[:, :, on])
        light = np.nanmean(of_track, axis=1) - level
        told["trail_sigmas"] = light / noise * _root_of_count(of_track, lines)
        told["trail_peak"] = (np.nanmax(of_track, axis=1) - level) / noise
        told["trail_low"] = (np.nanmin(of_track, axis=1) - level) / noise
        told["beside_low"] = (np.nanmin(_flat(trail[:, :, near]), axis=1) - level) / noise
        told["beside_high"] = (np.nanmax(_flat(trail[:, :, beside]), axis=1) - level) / noise
        for name in ("science", "reference"):
            image = getattr(frame, name)
            if image is None:
                continue
            strip = read_pixels(image, places, np.nan).astype(np.float32)
            ground, scatter = _levels(strip[:, :, beside])
            track = _flat(strip[:, :, on])
            excess = np.nanmean(track, axis=1) - ground
            told[f"{name}_share"] = np.clip(excess / light, -_MOST_SHARE, _MOST_SHARE)
            told[f"{name}_peak"] = (np.nanmax(track, axis=1) - ground) / scatter
            told[f"{name}_sigmas"] = excess / scatter * _root_of_count(track, lines)
    return {name: _finite(values) for name, values in told.items()}


def _flat(strips: NDArray[np.float32]) -> NDArray[np.float32]:
    return strips.reshape(len(strips), -1)


def _finite(values: NDArray[Any]) -> Floats:
    return np.asarray(np.where(np.isfinite(values), values, np.nan), np.float64)


def _root_of_count(track: NDArray[np.float32], lines: Lines) -> Floats:
    """Root of the number of pixels that were read, each counted once."""
    once = np.minimum(1.0, np.maximum(lines.length, 1.0) / SAMPLES)
    return np.asarray(np.sqrt(np.isfinite(track).sum(axis=1) * once))


def _levels(strips: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Median and robust standard deviation of each; NaN where there is nothing."""
    values = _flat(strips)
    median = _medians(values)
    return median, _MAD_TO_STD * _medians(np.abs(values - median[:, None]))


def _medians(values: NDArray[Any]) -> Floats:
    """The upper one of two in the middle; NaN are sorted last, and do not count."""
    ordered = np.sort(values, axis=1)
    middle = np.isfinite(values).sum(axis=1) // 2
    return np.asarray(ordered[np.arange(len(values)), middle], float)


def _of_aside(found: Detection, lines: Lines) -> dict[str, Floats]:
    """Lines that are in no table, around each that is, but for what repeats a line of it."""
    aside = [
        line.segment
        for line in found.set_aside
        if line.set_aside not in (SetAside.REPEATED, SetAside.JOINED) and _snr(line) > _ASIDE_SNR
    ]
    around = neighbours_of(lines, Lines.of(aside))
    return {
        "aside_near": around.near,
        "aside_parallel": around.parallel,
        "aside_collinear": around.collinear,
        "aside_collinear_px": around.collinear_px,
    }


def _snr(line: Line) -> float:
    return line.start_snr if line.fit is None else line.fit.snr
