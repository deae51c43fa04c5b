"""Segments from rows of tables."""

from __future__ import annotations

from typing import Any

from astropy.table import Row

from streaks.geometry import Segment

__all__ = ["bare", "segment_of"]


def segment_of(row: Row) -> Segment:
    return Segment(*(float(bare(row[name])) for name in ("x0", "y0", "x1", "y1")))


def bare(value: Any) -> Any:
    return getattr(value, "value", value)
