"""Segments from tables and their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import QTable, Row

from streaks.geometry import Segment

__all__ = ["bare", "segment_of", "segments_of"]


def segment_of(row: Row) -> Segment:
    return Segment(*(float(bare(row[name])) for name in ("x0", "y0", "x1", "y1")))


def segments_of(table: QTable) -> list[Segment]:
    """As `segment_of` for each row, without making the rows."""
    ends = (np.asarray(bare(table[name]), float).tolist() for name in ("x0", "y0", "x1", "y1"))
    return [Segment(*row) for row in zip(*ends, strict=True)]


def bare(value: Any) -> Any:
    return getattr(value, "value", value)
