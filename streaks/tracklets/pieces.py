"""One satellite through several images of one exposure: its pieces lie on one great circle."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from streaks.config import TrackletConfig
from streaks.geometry import angle_difference_deg
from streaks.tracklets.sightings import ARCSEC_PER_RAD, Sightings

__all__ = ["link_pieces"]


def link_pieces(seen: Sightings, config: TrackletConfig) -> list[tuple[int, ...]]:
    """Groups of rows, two or more of different images and one exposure.

    A piece is a trail that an edge or a mask cuts: what ends inside an image does not go on in
    the next one. Mosaics turn and bend from chip to chip, so directions are compared on the sky.

    Parameters
    ----------
    seen
        Sightings of the night.
    config
        How well pieces of one trail must lie on one line.

    Returns
    -------
    list of tuple of int
        Rows of `seen` in each group, in increasing order.
    """
    groups: list[set[int]] = []
    for rows in _exposures(seen):
        for i, j in combinations(rows, 2):
            if seen.image[i] != seen.image[j] and _on_one_line(seen, i, j, config):
                _join(groups, i, j)
    return [tuple(sorted(group)) for group in groups]


def _exposures(seen: Sightings) -> list[list[int]]:
    """Cut trails by time of exposure, whole seconds."""
    keep = np.flatnonzero(seen.cut & np.isfinite(seen.time_s) & np.isfinite(seen.pa))
    by_time: dict[int, list[int]] = {}
    for row in keep:
        by_time.setdefault(round(float(seen.time_s[row])), []).append(int(row))
    return [rows for rows in by_time.values() if len(rows) > 1]


def _on_one_line(seen: Sightings, i: int, j: int, config: TrackletConfig) -> bool:
    from astropy.coordinates import angular_separation, position_angle

    places = seen.ra[i], seen.dec[i], seen.ra[j], seen.dec[j]
    distance = float(angular_separation(*places)) * ARCSEC_PER_RAD
    shorter = min(seen.length_arcsec[i], seen.length_arcsec[j])
    gap = distance - 0.5 * (seen.length_arcsec[i] + seen.length_arcsec[j])
    # Past the gaps of a mosaic, or many times its own length, a line's direction tells nothing.
    if not -0.5 * shorter < gap < config.max_piece_gap_arcsec:
        return False
    leaving = float(position_angle(*places).to_value("rad"))
    arriving = float(position_angle(*places[2:], *places[:2]).to_value("rad"))
    return all(
        abs(float(angle_difference_deg(np.degrees(angle), np.degrees(seen.pa[row]))))
        <= _tolerance_deg(seen, row, distance, config)
        for row, angle in ((i, leaving), (j, arriving))
    )


def _tolerance_deg(seen: Sightings, row: int, distance: float, config: TrackletConfig) -> float:
    """Of the direction to the other piece: its own error, and the astrometry between chips."""
    across = np.degrees(config.piece_offset_arcsec / max(distance, 1.0))
    return float(config.piece_angle_deg + 4.0 * np.degrees(seen.pa_err[row]) + across)


def _join(groups: list[set[int]], i: int, j: int) -> None:
    touched = [group for group in groups if i in group or j in group]
    merged = {i, j}.union(*touched)
    groups[:] = [group for group in groups if group not in touched] + [merged]


def longest(seen: Sightings, rows: tuple[int, ...]) -> int:
    """The piece that knows the direction best."""
    lengths: NDArray[np.float64] = seen.length_arcsec[list(rows)]
    return rows[int(np.argmax(lengths))]
