"""Rows of truth for whole images: the streak table's columns, and what it cannot know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from astropy.table import QTable
from astropy.wcs import WCS

from streaks.geometry import Segment
from streaks.synth.nights.sky_geometry import ends_on_sky
from streaks.tables import STREAK_COLUMNS, ColumnSpec, build_table

__all__ = ["CLUTTER_COLUMNS", "STREAK_TRUTH_COLUMNS", "streak_row", "table_of"]

_SPECS = {spec.name: spec for spec in STREAK_COLUMNS}


def _picked(*names: str) -> tuple[ColumnSpec, ...]:
    return tuple(_SPECS[name] for name in names)


STREAK_TRUTH_COLUMNS = (
    *_picked("streak_id", "image", "x0", "y0", "x1", "y1", "x", "y", "length", "theta", "flux"),
    *_picked("snr", "ra", "dec", "ra0", "dec0", "ra1", "dec1", "pa", "rate", "mag", "time"),
    ColumnSpec("label", str, None, "class"),
    ColumnSpec("name", str, None, "designation in the orbit file; empty where not in it"),
    ColumnSpec("mover", str, None, "the same for one asteroid in several frames; or empty"),
    ColumnSpec("motion_pa", float, "deg", "direction of motion, east of north, in [0, 360)"),
)
CLUTTER_COLUMNS = (
    *_picked("streak_id", "image", "x", "y", "flux"),
    ColumnSpec("label", str, None, "class of the artifact"),
)


def streak_row(
    segment: Segment,
    *,
    image: str,
    label: str,
    flux: float,
    snr: float,
    wcs: WCS | None,
    exposure_s: float,
    zero_point_mag: float,
    time: str,
    name: str = "",
    mover: str = "",
    motion_pa_deg: float = math.nan,
) -> dict[str, Any]:
    """One row in bare numbers of the columns' units; NaN where WCS, exposure or zero point lack.

    Parameters
    ----------
    segment
        0-based px.
    image
        Name of the image.
    label
        Class.
    flux, snr
        Counts of the whole trail, and matched-filter S/N; NaN where unknown.
    wcs
        Of the image; None where there is none.
    exposure_s, zero_point_mag
        Of the image; NaN where unknown.
    time
        Mid-exposure, UTC, ISO 8601; empty where unknown.
    name
        Designation in the orbit file; empty where not in it.
    mover
        The same for one asteroid in several frames; or empty.
    motion_pa_deg
        Direction of motion, east of north, in [0, 360); NaN where unknown.

    Returns
    -------
    dict
        By name, the columns of `STREAK_TRUTH_COLUMNS` but ``streak_id``.
    """
    nan = math.nan
    ra, dec, separation, pa = (nan,) * 3, (nan,) * 3, nan, nan
    if wcs is not None:
        places_ra, places_dec, separation, pa = ends_on_sky(wcs, segment)
        ra, dec = tuple(places_ra), tuple(places_dec)
    x, y = segment.midpoint
    return {
        "image": image,
        "x0": segment.x0, "y0": segment.y0, "x1": segment.x1, "y1": segment.y1,
        "x": x, "y": y,
        "length": segment.length_px,
        "theta": segment.theta_deg,
        "flux": flux,
        "snr": snr,
        "ra": ra[0], "dec": dec[0],
        "ra0": ra[1], "dec0": dec[1], "ra1": ra[2], "dec1": dec[2],
        "pa": pa % 180.0,
        "rate": separation / exposure_s,
        "mag": zero_point_mag - 2.5 * math.log10(flux) if flux > 0 else nan,
        "time": time,
        "label": label,
        "name": name,
        "mover": mover,
        "motion_pa": motion_pa_deg,
    }  # fmt: skip


def table_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[ColumnSpec]) -> QTable:
    """Rows as a table; no rows give all columns.

    Parameters
    ----------
    rows
        By column name, bare numbers in the columns' units.
    columns
        Of the table, in order.

    Returns
    -------
    QTable
    """
    return build_table(columns, {c.name: [row[c.name] for row in rows] for c in columns})
