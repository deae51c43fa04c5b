"""Zero points and colour terms: what a survey says of each exposure, and whether to believe it.

A survey calibrates each exposure on stars,

    m = -2.5 log10(counts) + ZP + c * colour,

and publishes magnitudes without the last term, as of a source of colour 0. An asteroid's colour is
known well enough (0.1 mag) to put it in. Zero points of one field and filter differ by airmass and
moonlight; one that is far off tells of clouds, which are not the same over a field.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streaks.tables import ColumnSpec

__all__ = [
    "CALIBRATION_COLUMNS",
    "CALIBRATION_INPUTS",
    "COLOURS",
    "colour_of_band",
    "zero_point_offsets",
]

Floats = NDArray[np.float64]

#: What may come in beside a measurement.
CALIBRATION_INPUTS = (
    ColumnSpec("field", str, None, "field and chip that share a zero point; empty where unknown"),
    ColumnSpec("zero_point", float, "mag", "of the exposure, in `mag` already; NaN where unknown"),
    ColumnSpec("zero_point_err", float, "mag", "as its survey states it"),
    ColumnSpec("colour_term", float, None, "mag a mag of colour, not in `mag`; NaN where unknown"),
    ColumnSpec("colour_index", str, None, "colour that it is for, as g-r; empty: by the band"),
)
#: What goes out beside a light curve.
CALIBRATION_COLUMNS = (
    ColumnSpec("colour_index", str, None, "colour of which a term was added; empty for none"),
    ColumnSpec("colour", float, "mag", "that was taken for the asteroid's; NaN for no term"),
    ColumnSpec("colour_term", float, None, "mag a mag of colour, as the survey has it"),
    ColumnSpec("colour_corr", float, "mag", "colour_term * colour: added to get `reduced`"),
    ColumnSpec("zero_point", float, "mag", "that `mag` stands on; NaN where not told"),
    ColumnSpec("zero_point_err", float, "mag", "as the survey states it; not in mag_err"),
    ColumnSpec(
        "zero_point_offset", float, "mag",
        "from the median of its field and filter; below 0: clouds; NaN for fewer than 3 exposures",
    ),
    ColumnSpec("zero_point_flag", int, None, "1 where that is more than the limit"),
)  # fmt: skip

#: Colour of an asteroid, mag: the Sun's is g-r 0.44, r-i 0.11 (Ivezic et al. 2001, AJ 122, 2749);
#: C and S types lie about 0.05 and 0.2 above in g-r.
COLOURS: Mapping[str, float] = {"g-r": 0.55, "r-i": 0.17}
#: Colours that ZTF calibrates each of its filters with.
_OF_BAND: Mapping[str, str] = {"g": "g-r", "r": "g-r", "i": "r-i"}
#: Exposures that a median needs.
_LEAST_EXPOSURES = 3


def colour_of_band(band: str) -> str:
    """The colour of a band's colour term where a survey does not name it.

    Parameters
    ----------
    band
        Filter: ``g``, ``r``, ``i``.

    Returns
    -------
    str
        ``g-r`` or ``r-i``, as ZTF has it; empty for another filter.
    """
    return _OF_BAND.get(band, "")


def zero_point_offsets(
    zero_point: Floats, group: NDArray[np.str_], exposure: NDArray[np.generic]
) -> Floats:
    """By how much zero points differ from the median of their group.

    Parameters
    ----------
    zero_point : (n,)
        Mag; NaN where unknown.
    group : (n,) str
        What shares a zero point: field, chip and filter. An empty name is no group.
    exposure : (n,)
        Which exposure each is of: one that is there several times counts once.

    Returns
    -------
    (n,)
        Mag; NaN where unknown, and in groups of fewer than three exposures with a zero point.
    """
    offsets = np.full(len(zero_point), np.nan)
    for name in np.unique(group):
        own = np.flatnonzero((group == name) & np.isfinite(zero_point))
        once = own[np.unique(exposure[own], return_index=True)[1]]
        if name and len(once) >= _LEAST_EXPOSURES:
            offsets[own] = zero_point[own] - np.median(zero_point[once])
    return offsets
