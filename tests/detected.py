"""Frames for tests of the detector, and what is asked of the table it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import DetectionConfig
from streaks.detection import find_streaks
from streaks.frame import Frame
from streaks.tables import STREAK_COLUMNS, check_table
from tests.rendering import Ends, add_trail, flux_for_snr

__all__ = [
    "FWHM_PX", "NOISE", "SHAPE", "SIGMA_PX", "detect", "end_errors", "frame_of", "in_pixels",
    "row_of", "sky_with",
]  # fmt: skip

#: One odd side, one even.
SHAPE = (301, 412)
NOISE = 12.0
FWHM_PX = 2.5
SIGMA_PX = FWHM_PX / 2.3548
QUIET_SCORE = 8.0


def sky_with(
    trails: Sequence[Ends],
    *,
    snr: float = 40.0,
    seed: int = 1,
    shape: tuple[int, int] = SHAPE,
) -> NDArray[np.float64]:
    """White noise with trails of this matched-filter S/N each."""
    data = np.random.default_rng(seed).normal(0.0, NOISE, shape)
    for ends in trails:
        flux = flux_for_snr(ends, snr, sigma_px=SIGMA_PX, noise=NOISE)
        add_trail(data, ends, flux, SIGMA_PX)
    return data


def frame_of(data: NDArray[Any], mask: NDArray[np.bool_] | None = None, **values: Any) -> Frame:
    """A frame of known PSF, without mask unless given."""
    mask = np.zeros(data.shape, bool) if mask is None else mask
    return Frame(data=data, mask=mask, **{"name": "made", "fwhm_px": FWHM_PX, **values})


def detect(frame: Frame, **config: Any) -> QTable:
    """The detector's table, checked against its schema.

    The cut in score is one that noise does not reach, so that rows can be counted; how often
    noise reaches the default has a test of its own.
    """
    table = find_streaks(frame, DetectionConfig(**{"min_score": QUIET_SCORE, **config}))
    check_table(table, STREAK_COLUMNS)
    assert table.colnames == [spec.name for spec in STREAK_COLUMNS]
    return table


def in_pixels(table: QTable) -> NDArray[np.float64]:
    """Ends, (n, 4)."""
    return np.stack([table[name].to_value("pix") for name in ("x0", "y0", "x1", "y1")], axis=1)


def end_errors(table: QTable, ends: Ends) -> NDArray[np.float64]:
    """For each row the larger distance of its ends from the true ones, whichever way round."""
    found, true = in_pixels(table).reshape(-1, 2, 2), np.reshape(ends, (2, 2))
    straight = np.hypot(*(found - true).transpose(2, 0, 1)).max(axis=1)
    turned = np.hypot(*(found - true[::-1]).transpose(2, 0, 1)).max(axis=1)
    return np.minimum(straight, turned)


def row_of(table: QTable, ends: Ends, within_px: float = 2.0) -> Any:
    """The one row that is this trail."""
    errors = end_errors(table, ends)
    near = np.flatnonzero(errors < within_px)
    assert len(near) == 1, f"{len(near)} rows within {within_px} px of {ends}: {in_pixels(table)}"
    return table[int(near[0])]
