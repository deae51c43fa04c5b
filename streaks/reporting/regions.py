"""Streaks as DS9 regions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from astropy.table import QTable

from streaks.errors import TableError
from streaks.palette import class_colour

__all__ = ["ds9_regions"]

_ENDS = ("x0", "y0", "x1", "y1")
_SKY_ENDS = ("ra0", "dec0", "ra1", "dec1")


def ds9_regions(table: QTable) -> str:
    """DS9 region text: one line a streak, with its name, class and S/N, in its class's colour.

    Lines are on the sky (ICRS) when every streak has both ends there, so that one file serves a
    whole night; else in image coordinates, which needs all streaks to be of one image. The
    `regions` package turns 0-based pixels into DS9's, which count from 1.

    Parameters
    ----------
    table
        Streaks, with the columns that `find_streaks` gives.

    Returns
    -------
    str
        The whole file.

    Raises
    ------
    TableError
        When the table has no ends, or streaks without sky coordinates come from several images.
    """
    missing = [name for name in ("streak_id", *_ENDS) if name not in table.colnames]
    if missing:
        raise TableError(
            f"regions need the columns {', '.join(missing)}; write another kind of table as .ecsv"
        )
    if len(table) == 0:
        return "# Region file format: DS9\n# no streaks\nimage\n"
    if _all_on_sky(table):
        return _serialised(table, _sky_lines(table))
    images = set(table["image"]) if "image" in table.colnames else {""}
    if len(images) > 1:
        raise TableError(
            f"streaks of {len(images)} images, some without sky coordinates, cannot share one "
            ".reg file; write one file an image, or give images with WCS"
        )
    return _serialised(table, _pixel_lines(table))


def _all_on_sky(table: QTable) -> bool:
    return all(
        name in table.colnames and bool(np.isfinite(table[name].value).all()) for name in _SKY_ENDS
    )


def _sky_lines(table: QTable) -> list[Any]:
    from astropy.coordinates import SkyCoord
    from regions import LineSkyRegion

    start = SkyCoord(table["ra0"], table["dec0"], frame="icrs")
    end = SkyCoord(table["ra1"], table["dec1"], frame="icrs")
    return [LineSkyRegion(start[i], end[i]) for i in range(len(table))]


def _pixel_lines(table: QTable) -> list[Any]:
    from regions import LinePixelRegion, PixCoord

    x0, y0, x1, y1 = (table[name].to_value("pix") for name in _ENDS)
    return [
        LinePixelRegion(PixCoord(x0[i], y0[i]), PixCoord(x1[i], y1[i])) for i in range(len(table))
    ]


def _serialised(table: QTable, lines: list[Any]) -> str:
    from regions import Regions

    for i, line in enumerate(lines):
        label = str(table["label"][i]) if "label" in table.colnames else ""
        line.meta["text"] = _label_text(table, i, label)
        line.visual["color"] = class_colour(label)
    return str(Regions(lines).serialize(format="ds9", precision=6)) + "\n"


def _label_text(table: QTable, row: int, label: str) -> str:
    parts = [str(table["streak_id"][row]), label]
    if "snr" in table.colnames and np.isfinite(table["snr"][row]):
        parts.append(f"S/N {float(table['snr'][row]):.1f}")
    # Braces end DS9's text and a line break ends the region.
    return re.sub(r"[{};\x00-\x1f\x7f-\x9f]+", " ", " ".join(part for part in parts if part))
