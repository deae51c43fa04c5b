"""Streaks that come back at one place of the chip: hot columns, reflections, flaws of a flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import TrackletConfig
from streaks.geometry import angle_difference_deg

__all__ = ["chip_name", "find_repeats", "repeat_groups"]


def chip_name(ccd: str, quadrant: str, nx: object, ny: object) -> str:
    """What tells a CCD, its amplifier and its binning from all others.

    Parameters
    ----------
    ccd, quadrant
        As a header tells them.
    nx, ny
        Shape of its images, px.

    Returns
    -------
    str
        Empty where the header tells no CCD.
    """
    return f"{ccd}/{quadrant} {nx}x{ny}" if ccd else ""


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
    images = np.asarray(streaks["image"]).astype(str)
    for rows in _by_chip(chips, images, config):
        near = _alike(streaks[rows], config)
        found[rows] = _often(near, images[rows], config)
    return found


def repeat_groups(
    streaks: QTable,
    chips: Sequence[str],
    config: TrackletConfig | None = None,
    *,
    occasions: Any = None,
) -> NDArray[np.int64]:
    """Which streaks that repeat are of the same place.

    Parameters
    ----------
    streaks
        With ``image, x, y, theta, length``.
    chips
        For each streak, what tells its CCD and amplifier; an empty text takes no part.
    config
        How near, and on how many occasions.
    occasions : (n,) text
        What counts instead of images: nights, for instance.

    Returns
    -------
    (n,) int64
        Number of its place, from 0; -1 where it does not repeat.
    """
    config = TrackletConfig() if config is None else config
    seen = np.asarray(streaks["image"] if occasions is None else occasions).astype(str)
    found = np.full(len(streaks), -1, dtype=np.int64)
    n_places = 0
    for rows in _by_chip(chips, seen, config):
        near = _alike(streaks[rows], config)
        often = _often(near, seen[rows], config)
        pairs = [(i, j) for i, others in enumerate(near) if often[i] for j in others if often[j]]
        if not pairs:
            continue
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        i, j = np.array(pairs).T
        shape = (len(rows), len(rows))
        _, labels = connected_components(coo_matrix((np.ones(len(i)), (i, j)), shape), False)
        _, places = np.unique(labels[often], return_inverse=True)
        found[rows[often]] = n_places + places
        n_places += int(places.max()) + 1
    return found


def _by_chip(
    chips: Sequence[str], occasions: NDArray[np.str_], config: TrackletConfig
) -> list[NDArray[np.intp]]:
    """Rows of each chip that has a name and was seen often enough for something to repeat."""
    names = np.asarray(chips, dtype=str)
    chosen = [np.flatnonzero(names == chip) for chip in sorted({str(n) for n in names} - {""})]
    return [rows for rows in chosen if len(np.unique(occasions[rows])) >= config.repeat_images]


def _often(
    near: list[NDArray[np.intp]], occasions: NDArray[np.str_], config: TrackletConfig
) -> NDArray[np.bool_]:
    counts = [len(set(occasions[rows].tolist())) for rows in near]
    return np.array([n >= config.repeat_images for n in counts], dtype=bool)


def _alike(streaks: QTable, config: TrackletConfig) -> list[NDArray[np.intp]]:
    """For each streak of a chip those at its place, of its direction and length; itself too."""
    x, y, theta, length = (
        np.asarray(streaks[name].value, dtype=float) for name in ("x", "y", "theta", "length")
    )
    nobody = np.zeros(0, dtype=np.intp)
    places = np.stack([x, y], axis=1)
    if len(streaks) < config.repeat_images or not np.isfinite(places).all():
        return [nobody] * len(streaks)
    from scipy.spatial import cKDTree

    found = []
    for i, near in enumerate(cKDTree(places).query_ball_point(places, config.repeat_px)):
        rows = np.array(near)
        turned = np.abs(angle_difference_deg(theta[rows], theta[i]))
        alike = (turned <= config.repeat_angle_deg) & (
            np.abs(length[rows] - length[i]) <= 0.5 * np.maximum(length[rows], length[i])
        )
        found.append(rows[alike])
    return found
