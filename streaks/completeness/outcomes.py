"""Exactly one outcome for each thing that should be there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.completeness.forced import Forced
from streaks.completeness.truth import match_points, match_truth

__all__ = ["OUTCOMES", "STAGES", "Outcome", "match_targets", "settle_outcomes", "stage_flags"]

#: The three curves, in order.
STAGES = ("detected", "named", "kept")

#: Every outcome, with its meaning.
OUTCOMES = {
    "found": "found, and kept by the last stage that was run",
    "named otherwise": "found, but not called an asteroid",
    "weighed down": "found and called an asteroid, but its p_real is too low",
    "set aside": "a line was found there and set aside; the detail says why",
    "masked": "half of its track or more lies on masked pixels",
    "in a gap": "between the chips of an exposure",
    "off chip": "an exposure of its time does not reach it",
    "not observed": "no exposure of its time",
    "too slow": "moves by less than the PSF is wide: no streak",
    "too faint": "below the limit, moving or not",
    "trailing loss": "above the limit were it a point, below it as a trail",
    "blended": "other light, or another line, lies on its track",
    "reference contaminated": "a source of the reference lies under it, or took its light away",
    "no light": "should be bright, but there is no light: place or magnitude are wrong",
    "unexplained": "light is there, nothing speaks against it, and it was missed",
    "not readable": "its frame could not be read, or its list tells no place",
}

#: From this share of the track on it is masked, foreign, or over the reference's sources.
_MASKED, _FOREIGN, _REFERENCE = 0.5, 0.25, 0.3
#: From this share of its weight on it was hidden as sharper than the PSF.
_SHARP = 0.2
#: S/N that should be there, and that is not: then there is no light.
_BRIGHT, _DARK = 3.0, 0.35
#: So much below what is expected, in sigma and as a share, the reference took it.
_TAKEN_SIGMA, _TAKEN_SHARE = 4.0, 0.5
#: Set aside for these, a line says nothing of its own.
_NO_REASON = {"faint", "like those of the negated image", "beyond max_streaks"}
_OF_ANOTHER = {"found twice", "joined"}


@dataclass(frozen=True)
class Outcome:
    """What became of one thing.

    Parameters
    ----------
    kind
        Of `OUTCOMES`.
    detail
        More words, as why a line was set aside, or what it was called.
    streak
        Row of the streak that found it, -1 for none.
    """

    kind: str
    detail: str = ""
    streak: int = -1


def match_targets(streaks: QTable, targets: QTable) -> NDArray[np.int64]:
    """Row of the streak that found each target, -1 for none.

    Parameters
    ----------
    streaks
        With ``image``, ends and, where they were matched with orbits, ``ssnamenr``.
    targets
        `TARGET_COLUMNS`.

    Returns
    -------
    (n,) int
    """
    tolerance = np.asarray(getattr(targets["tolerance"], "value", targets["tolerance"]), float)
    found = match_truth(streaks, targets, tolerance_px=tolerance)
    length = np.asarray(getattr(targets["length"], "value", targets["length"]), float)
    points = np.flatnonzero(~(length > 0) & (found < 0))
    if len(points):
        found[points] = match_points(streaks, targets[points], tolerance_px=tolerance[points])
    return found


def stage_flags(
    streaks: QTable, found: NDArray[np.int64], *, min_p_real: float = 0.5
) -> dict[str, NDArray[np.bool_] | None]:
    """Which targets passed each stage.

    Parameters
    ----------
    streaks
        Judged: with ``label`` and ``p_real`` as far as these were made.
    found : (n,) int
        Row of each target's streak, -1 for missed.
    min_p_real
        From which on a streak is a candidate.

    Returns
    -------
    dict
        By name of `STAGES`: (n,) bool, or None for a stage that was not run.
    """
    hit = found >= 0
    stages: dict[str, NDArray[np.bool_] | None] = {"detected": hit, "named": None, "kept": None}
    if "label" in streaks.colnames:
        stages["named"] = _of_found(np.asarray(streaks["label"]).astype(str) == "asteroid", found)
    if "p_real" in streaks.colnames:
        p_real = np.nan_to_num(np.asarray(streaks["p_real"], float))
        if np.isfinite(np.asarray(streaks["p_real"], float)).any() or not len(streaks):
            stages["kept"] = _of_found(p_real >= min_p_real, found)
    return stages


def settle_outcomes(
    targets: QTable,
    forced: Sequence[Forced | None],
    streaks: QTable,
    aside: QTable,
    *,
    fwhm_px: NDArray[Any],
    limit_snr: float,
    min_p_real: float = 0.5,
) -> list[Outcome]:
    """One outcome for each target.

    Parameters
    ----------
    targets
        `TARGET_COLUMNS`, n rows: each inside its frame.
    forced : n
        Measured at each; None where its frame could not be read.
    streaks
        Judged, of all frames.
    aside
        Lines that were set aside: ``image``, ends, ``snr, reason``.
    fwhm_px : (n,)
        Of each target's frame.
    limit_snr
        Below which no line is reported.
    min_p_real
        From which on a streak is a candidate.

    Returns
    -------
    list of Outcome
    """
    found = match_targets(streaks, targets)
    stages = stage_flags(streaks, found, min_p_real=min_p_real)
    asides = match_targets(aside, targets)
    made = []
    for i, light in enumerate(forced):
        if found[i] >= 0:
            made.append(_found_outcome(streaks, int(found[i]), i, stages))
        elif light is None:
            made.append(Outcome("not readable"))
        else:
            line = aside[int(asides[i])] if asides[i] >= 0 else None
            length = float(getattr(targets["length"][i], "value", targets["length"][i]))
            made.append(_missed(light, length, float(fwhm_px[i]), line, limit_snr))
    return made


def _of_found(passed: NDArray[np.bool_], found: NDArray[np.int64]) -> NDArray[np.bool_]:
    flags = np.zeros(len(found), bool)
    flags[found >= 0] = passed[found[found >= 0]]
    return flags


def _found_outcome(
    streaks: QTable, row: int, i: int, stages: dict[str, NDArray[np.bool_] | None]
) -> Outcome:
    named, kept = stages["named"], stages["kept"]
    last = kept if kept is not None else named
    if last is None or last[i]:
        return Outcome("found", "", row)
    label = str(streaks["label"][row])
    if named is not None and not named[i]:
        return Outcome("named otherwise", label, row)
    return Outcome("weighed down", f"p_real {float(streaks['p_real'][row]):.2g}", row)


def _missed(
    light: Forced, length_px: float, fwhm_px: float, line: Any, limit_snr: float
) -> Outcome:
    if light.masked_share >= _MASKED or not math.isfinite(light.measured_snr):
        return Outcome("masked", f"{light.masked_share:.0%} of the track")
    if length_px < fwhm_px:
        return Outcome("too slow", f"{length_px:.1f} px of motion")
    raised = light.expected_snr < limit_snr <= light.clean_snr
    faint = None if raised else _faint(light, limit_snr)
    if faint is not None:
        return faint
    expected = light.expected_snr
    reason = "" if line is None else str(line["reason"])
    if light.reference_share >= _REFERENCE and (raised or _taken(light)):
        return Outcome("reference contaminated", f"{light.reference_share:.0%} of the light")
    if light.sharp_share >= _SHARP:
        return Outcome("set aside", "sharp: hidden as a cosmic ray")
    if reason in _OF_ANOTHER:
        return Outcome("blended", f"a line there was {reason}")
    if reason and reason not in _NO_REASON:
        return Outcome("set aside", reason)
    if light.foreign_share >= _FOREIGN:
        return Outcome("blended", f"other light on {light.foreign_share:.0%} of it")
    if raised:
        words = f"S/N {light.clean_snr:.1f} elsewhere, {expected:.1f} in the noise here"
        return Outcome("too faint", words)
    if light.measured_snr < max(_BRIGHT, _DARK * np.nan_to_num(expected)):
        return Outcome("no light", f"S/N {light.measured_snr:.1f} measured")
    if light.measured_snr < limit_snr:
        return Outcome("too faint", f"S/N {light.measured_snr:.1f} measured")
    return Outcome("unexplained", f"S/N {light.measured_snr:.1f} measured" + (
        f", line set aside: {reason}" if reason else ""
    ))  # fmt: skip


def _faint(light: Forced, limit_snr: float) -> Outcome | None:
    """Whether it was below the limit, by its magnitude or, without one, by what is there."""
    expected = light.expected_snr
    if not math.isfinite(expected):
        if light.measured_snr < limit_snr and light.foreign_share < _FOREIGN:
            return Outcome("too faint", f"no magnitude; S/N {light.measured_snr:.1f} measured")
        return None
    # A source near the limit is as often below it by its noise.
    near = expected < limit_snr + 2.0 and light.measured_snr < limit_snr
    if expected >= limit_snr and not near:
        return None
    words = f"S/N {expected:.1f} expected, {light.measured_snr:.1f} measured"
    if light.point_snr >= limit_snr + 2.0:
        return Outcome("trailing loss", f"{words}, {light.point_snr:.1f} as a point")
    return Outcome("too faint", words)


def _taken(light: Forced) -> bool:
    """Whether light is lacking, or the sources under it leave more than it can be."""
    expected = light.expected_snr
    if not math.isfinite(expected):
        return True
    lacking = max(_TAKEN_SIGMA, _TAKEN_SHARE * expected)
    return abs(light.measured_snr - expected) > lacking or light.foreign_share >= _FOREIGN
