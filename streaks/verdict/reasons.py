"""Why a streak got its verdict, in a few words that a person can check."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.tables import StreakFlag
from streaks.verdict.numbers import NUMBERS

__all__ = ["reasons_of"]

#: Asteroids that pass at the distance of the Moon move by some tens of deg/day; nothing that is
#: bound to the Sun and larger than a boulder was seen to move faster than this.
_FASTEST_DEG_PER_DAY = 60.0
_SECONDS_PER_DAY, _ARCSEC_PER_DEG = 86_400.0, 3600.0
#: What is told from these values on.
_POINTS_AT_STAR_PX, _STAR_SHARE = 150.0, 0.3
_REFERENCE_PEAK, _REFERENCE_SIGMAS = 8.0, 6.0
_LOBE, _SHARP, _WIDE_FWHM, _NARROW_FWHM = 0.5, 1.8, 1.5, 0.75
#: The brightest pixel of a faint long trail is noise: one that is sharp is narrow, too.
_SHARP_FWHM = 0.9
_PARALLEL, _CROWD = 3, 4
_ON_PLANE, _NEAR_PLANE = 0.3, 0.2
_LIKELY = 0.5
_SHORT_FWHM = 1.2

Values = Mapping[str, float]
_COLUMN = {name: i for i, name in enumerate(NUMBERS)}

#: Sentences of what speaks for or against, with the number that they tell.
_CHECKS: tuple[Callable[[Values], str], ...] = (
    lambda v: _above(v, "deg_per_day", _FASTEST_DEG_PER_DAY, "moves {:.0f} deg/day"),
    lambda v: (
        f"points at a saturated star {max(v['ev_star_gap_px'], 0):.0f} px away"
        if v["ev_star_gap_px"] < _POINTS_AT_STAR_PX and v["ev_star_offset"] < 1
        else ""
    ),
    lambda v: (
        _above(v, "ev_reference_peak", _REFERENCE_PEAK, "on a source of the reference")
        if v["ev_reference_sigmas"] > _REFERENCE_SIGMAS
        else ""
    ),
    lambda v: _above(v, "ev_lobe_depth", _LOBE, "a dark lobe beside it"),
    lambda v: (
        _above(v, "ev_sharpness", _SHARP, "sharper than the PSF")
        if v["width_fwhm"] < _SHARP_FWHM
        else ""
    ),
    lambda v: _below(v, "width_fwhm", _NARROW_FWHM, "{:.2f} PSF wide"),
    lambda v: _above(v, "width_fwhm", _WIDE_FWHM, "{:.1f} PSF wide"),
    lambda v: _below(v, "length_fwhm", _SHORT_FWHM, "hardly longer than a point"),
    lambda v: _above(v, "others_collinear", 0.5, "on the line of {:.0f} other(s)"),
    lambda v: _above(v, "others_parallel", _PARALLEL, "{:.0f} parallels near by"),
    lambda v: _above(v, "others_near", _CROWD, "{:.0f} others near by"),
    lambda v: _above(v, "ev_on_ghost", _ON_PLANE, "in a ghost of the mask"),
    lambda v: _above(v, "ev_near_halo", _NEAR_PLANE, "in a halo of the mask"),
    lambda v: _above(v, "ev_on_track", _ON_PLANE, "on a satellite track of the mask"),
)
_OF_FLAGS = (
    (StreakFlag.SPIKE, "along a spike or bleed"),
    (StreakFlag.EDGE_0 | StreakFlag.EDGE_1, "cut by the edge"),
    (StreakFlag.MASKED_0 | StreakFlag.MASKED_1, "cut by a mask"),
    (StreakFlag.NEGATIVE, "negative"),
)
_OF_CLASSES = ("satellite", "masked_star", "ghost", "cosmic_ray", "naked_star", "yin_yang")


def reasons_of(
    numbers: NDArray[Any], flags: NDArray[Any], elsewhere: NDArray[np.str_]
) -> NDArray[np.str_]:
    """What stands in the ``reasons`` column.

    Parameters
    ----------
    numbers : (n, len(NUMBERS))
        Of `streaks.verdict.numbers.numbers_of`.
    flags : (n,) int
        Bits of `StreakFlag`.
    elsewhere : (n,) str
        What other exposures tell, in words; empty for nothing.

    Returns
    -------
    (n,) str
        Reasons joined by semicolons; empty where there is nothing to tell.
    """
    told = []
    for row, bits, other in zip(numbers, flags, elsewhere, strict=True):
        values = {name: float(row[i]) for name, i in _COLUMN.items()}
        values["deg_per_day"] = values["rate"] * _SECONDS_PER_DAY / _ARCSEC_PER_DEG
        told.append("; ".join(_sentences(values, int(bits), str(other))))
    return np.array(told, dtype=str) if told else np.zeros(0, "U1")


def _sentences(values: Values, flags: int, elsewhere: str) -> Iterator[str]:
    if elsewhere:
        yield elsewhere
    for name in _OF_CLASSES:
        if values[f"p_{name}"] > _LIKELY:
            yield f"looks like a {name.replace('_', ' ')}"
    for check in _CHECKS:
        if text := check(values):
            yield text
    for bits, text in _OF_FLAGS:
        if flags & int(bits):
            yield text


def _above(values: Values, name: str, limit: float, text: str) -> str:
    value = values[name]
    return text.format(value) if math.isfinite(value) and value > limit else ""


def _below(values: Values, name: str, limit: float, text: str) -> str:
    value = values[name]
    return text.format(value) if math.isfinite(value) and value < limit else ""
