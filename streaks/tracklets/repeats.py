"""Streaks that come back at one place of the chip: hot columns, reflections, flaws of a flat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import TrackletConfig
from streaks.geometry import angle_difference_deg

__all__ = ["find_repeats"]


def find_repeats(
    streaks: QTable, chips: Sequence[str], config: TrackletConfig | None = None
) -> NDArray[np.bool_]:
    """Which streaks repeat others of the same chip, in pixels, in several images.

    Parameters
    ----------
    streaks
        With ``image, x, y, theta, length``.
    chips
        For each streak, what tells its CCD and amplifier; an empty text takes no part.
    config
        How near, and in how many images.

    Returns
    -------
    (n,) bool
        True for each streak of a place that shows one in at least `repeat_images` images.
    """
    config = TrackletConfig() if config is None else config
    found = np.zeros(len(streaks), dtype=bool)
    names = np.asarray(chips, dtype=str)
    for chip in sorted({str(name) for name in names} - {""}):
        rows = np.flatnonzero(names == chip)
        found[rows] = _repeats_of_chip(streaks[rows], config)
    return found


def _repeats_of_chip(streaks: QTable, config: TrackletConfig) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree

    x, y, theta, length = (
        np.asarray(streaks[name].value, dtype=float) for name in ("x", "y", "theta", "length")
    )
    images = np.asarray(streaks["image"]).astype(str)
    found = np.zeros(len(streaks), dtype=bool)
    places = np.stack([x, y], axis=1)
    if len(streaks) < config.repeat_images or not np.isfinite(places).all():
        return found
    for i, near in enumerate(cKDTree(places).query_ball_point(places, config.repeat_px)):
        rows = np.array(near)
        turned = np.abs(angle_difference_deg(theta[rows], theta[i]))
        alike = (turned <= config.repeat_angle_deg) & (
            np.abs(length[rows] - length[i]) <= 0.5 * np.maximum(length[rows], length[i])
        )
        found[i] = len(set(images[rows[alike]])) >= config.repeat_images
    return found
