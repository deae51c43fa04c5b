"""Segments from tables and their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import QTable, Row

from streaks.geometry import Segment

__all__ = ["bare", "segment_of", "segments_of"]


def segment_of(row: Row) -> Segment:
    """The ends of a row's streak.

    Parameters
    ----------
    row
        Of a table of streaks.

    Returns
    -------
    Segment
    """
    return Segment(*(float(bare(row[name])) for name in ("x0", "y0", "x1", "y1")))


def segments_of(table: QTable) -> list[Segment]:
    """As `segment_of` for each row, without making the rows.

    Parameters
    ----------
    table
        Streaks.

    Returns
    -------
    list of Segment
    """
    ends = (np.asarray(bare(table[name]), float).tolist() for name in ("x0", "y0", "x1", "y1"))
    return [Segment(*row) for row in zip(*ends, strict=True)]


def bare(value: Any) -> Any:
    """A value without its unit.

    Parameters
    ----------
    value
        A quantity, or a plain value.

    Returns
    -------
    plain value
    """
    return getattr(value, "value", value)
