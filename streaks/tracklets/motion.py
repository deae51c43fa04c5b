"""Streaks of several exposures that one motion explains.

A trail's ends come in either order, so one streak tells its motion but for the sign; the place
of a second one tells the sign too. Two streaks agree when the motion from one midpoint to the
other has the direction and the rate of both trails. More join when they agree with all, and one
straight motion passes through every midpoint.

References
----------
Kubica et al. 2007, Icarus 189, 151 (linking by predicted position and velocity, on which this is
patterned; trails make each sighting's own velocity known, so pairs suffice).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streaks.config import TrackletConfig
from streaks.geometry import angle_difference_deg
from streaks.tables import StreakFlag
from streaks.tracklets.sightings import ARCSEC_PER_RAD, Sightings

__all__ = ["Motion", "fit_motion", "link_motions"]

Floats = NDArray[np.float64]

#: A line along a spike or a negative one is no moving object.
_NEVER = int(StreakFlag.SPIKE | StreakFlag.NEGATIVE | StreakFlag.REPEAT)
_N_SIGMA = 4.0
#: A cut trail may have been this many times longer.
_MAX_CUT = 4.0


@dataclass(frozen=True, eq=False)
class Motion:
    """A straight, uniform motion through some sightings.

    Parameters
    ----------
    members
        Rows, in order of time.
    time_s
        The middle of the arc, seconds since the first sighting of the night.
    ra_deg, dec_deg
        ICRS place at `time_s`.
    rate, rate_err
        Speed on the sky and its 1-sigma error, arcsec/s.
    pa_deg
        Direction of motion, east of north, in [0, 360).
    pa_err_deg
        Its 1-sigma error; NaN for no motion.
    rms_arcsec
        Of the midpoints about the motion; NaN for two of them.
    cost
        Squared residuals over their errors, per sighting.
    """

    members: tuple[int, ...]
    time_s: float
    ra_deg: float
    dec_deg: float
    rate: float
    rate_err: float
    pa_deg: float
    pa_err_deg: float
    rms_arcsec: float
    cost: float


def link_motions(seen: Sightings, config: TrackletConfig) -> list[Motion]:
    """Motions of two or more sightings each; no sighting is in two.

    Motions of more sightings go before those of fewer, among equals the better fit.

    Parameters
    ----------
    seen
        Sightings of the night.
    config
        How far apart in time, place and rate sightings of one object may be.

    Returns
    -------
    list of Motion
        Empty where nothing fits together.
    """
    usable = _usable(seen, config)
    cost = _pair_costs(seen, usable, config)
    partners: dict[int, set[int]] = {}
    for i, j in cost:
        partners.setdefault(i, set()).add(j)
        partners.setdefault(j, set()).add(i)
    grown = [
        _grow(seen, pair, cost, partners, config) for pair in sorted(cost, key=cost.__getitem__)
    ]
    chosen, taken = [], set[int]()
    for motion in sorted(grown, key=lambda m: (-len(m.members), m.cost, m.members)):
        if taken.isdisjoint(motion.members) and _is_credible(seen, motion):
            chosen.append(motion)
            taken.update(motion.members)
    return chosen


def fit_motion(seen: Sightings, members: Sequence[int]) -> Motion:
    """The straight motion that passes nearest to some midpoints, by least squares.

    Parameters
    ----------
    seen
        Sightings of the night.
    members
        Rows of two sightings or more, at different times; in any order.

    Returns
    -------
    Motion
        By its midpoints alone: lengths and directions of the trails do not enter.
    """
    rows = np.array(sorted(members, key=lambda row: seen.time_s[row]))
    t = seen.time_s[rows]
    middle = 0.5 * (t[0] + t[-1])
    east, north, centre = _tangent_plane(seen.xyz[rows])
    sigma = np.hypot(0.1, np.hypot(seen.along_arcsec[rows], seen.across_arcsec[rows]))
    (x, vx), (y, vy) = (_line(t - middle, v, 1 / sigma**2) for v in (east, north))
    rate = float(np.hypot(vx, vy))
    residual = np.hypot(east - x - vx * (t - middle), north - y - vy * (t - middle))
    spread = float(np.sqrt(np.sum(((t - np.average(t)) / sigma) ** 2)))
    ra, dec = _from_plane(x, y, centre)
    return Motion(
        members=tuple(int(row) for row in rows),
        time_s=float(middle),
        ra_deg=ra,
        dec_deg=dec,
        rate=rate,
        rate_err=1.0 / spread,
        pa_deg=float(np.degrees(np.arctan2(vx, vy)) % 360.0),
        pa_err_deg=float(np.degrees(1.0 / spread / rate)) if rate > 0 else np.nan,
        rms_arcsec=float(np.sqrt(np.mean(residual**2))) if len(rows) > 2 else np.nan,
        cost=float(np.mean((residual / sigma) ** 2)),
    )


def _usable(seen: Sightings, config: TrackletConfig) -> NDArray[np.int64]:
    numbers = np.stack([seen.time_s, seen.ra, seen.dec, seen.pa, seen.rate])
    keep = np.isfinite(numbers).all(axis=0) & ((seen.flags & _NEVER) == 0)
    keep &= (seen.rate > 0) & (seen.rate <= config.max_rate_arcsec_per_s)
    return np.flatnonzero(keep)


def _is_credible(seen: Sightings, motion: Motion) -> bool:
    """Where streaks have classes, artifacts alone make no asteroid."""
    labels = {str(seen.label[row]) for row in motion.members}
    return "asteroid" in labels or labels == {""}


def _pair_costs(
    seen: Sightings, usable: NDArray[np.int64], config: TrackletConfig
) -> dict[tuple[int, int], float]:
    """Pairs that agree, the earlier first, and how well."""
    costs = {}
    for i, others in _neighbours(seen, usable, config):
        cost = _disagreement(seen, i, others, config)
        for j, value in zip(others[np.isfinite(cost)], cost[np.isfinite(cost)], strict=True):
            costs[i, int(j)] = float(value)
    return costs


def _neighbours(
    seen: Sightings, usable: NDArray[np.int64], config: TrackletConfig
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each sighting, the later ones that it could reach."""
    # Of one exposure none is later than another.
    if len(usable) < 2 or not np.ptp(seen.time_s[usable]) > 0:
        return
    from scipy.spatial import cKDTree

    fastest = (1 + config.rate_tolerance) * seen.rate + _N_SIGMA * seen.rate_err
    fastest = np.where(seen.cut, _MAX_CUT * seen.rate, fastest)
    reach = np.minimum(fastest * config.max_gap_s, config.max_distance_arcsec) / ARCSEC_PER_RAD
    tree = cKDTree(seen.xyz[usable])
    chords = 2 * np.sin(0.5 * reach[usable])
    found = tree.query_ball_point(seen.xyz[usable], chords)
    for i, near in zip(usable, found, strict=True):
        others = usable[np.array(sorted(near), dtype=np.int64)]
        gap = seen.time_s[others] - seen.time_s[i]
        # Exposures that overlap in time show one object once.
        apart = gap > np.maximum(seen.exposure_s[others], seen.exposure_s[i])
        yield int(i), others[apart & (gap <= config.max_gap_s)]


def _disagreement(
    seen: Sightings, i: int, others: NDArray[np.int64], config: TrackletConfig
) -> Floats:
    """Squared misfits of rate, direction and magnitude, in tolerances; inf where one fails."""
    if len(others) == 0:
        return np.empty(0)
    gap = seen.time_s[others] - seen.time_s[i]
    distance, leaving, arriving = _path(seen, i, others)
    speed = distance / gap
    bend = config.curvature_per_h * gap / 3600.0
    misfit = np.zeros(len(others))
    for rows, direction in ((np.full(len(others), i), leaving), (others, arriving)):
        misfit += _rate_misfit(seen, rows, speed, bend, config)
        misfit += _angle_misfit(seen, rows, direction, bend, config)
    return misfit + _mag_misfit(seen, i, others, config)


def _rate_misfit(
    seen: Sightings, rows: NDArray[np.int64], speed: Floats, bend: Floats, config: TrackletConfig
) -> Floats:
    tolerance = _N_SIGMA * seen.rate_err[rows] + (config.rate_tolerance + bend) * speed
    excess = (speed - seen.rate[rows]) / tolerance
    longer = seen.cut[rows] & (excess > 0) & (speed < _MAX_CUT * seen.rate[rows])
    return _within(np.where(longer, 0.0, excess))


def _angle_misfit(
    seen: Sightings,
    rows: NDArray[np.int64],
    direction: Floats,
    bend: Floats,
    config: TrackletConfig,
) -> Floats:
    tolerance = _N_SIGMA * np.degrees(seen.pa_err[rows]) + config.angle_tolerance_deg
    tolerance = np.minimum(tolerance + np.degrees(bend), config.max_angle_deg)
    off = angle_difference_deg(np.degrees(direction), np.degrees(seen.pa[rows]))
    return _within(off / tolerance)


def _mag_misfit(
    seen: Sightings, i: int, others: NDArray[np.int64], config: TrackletConfig
) -> Floats:
    tolerance = _N_SIGMA * np.hypot(seen.mag_err[i], seen.mag_err[others]) + config.mag_tolerance
    off = np.nan_to_num((seen.mag[others] - seen.mag[i]) / tolerance)
    # Of a cut trail a part of the light is missing.
    return _within(np.where(seen.cut[others] | seen.cut[i], 0.0, off))


def _within(ratio: Floats) -> Floats:
    return np.where(np.abs(ratio) <= 1.0, ratio**2, np.inf)


def _path(seen: Sightings, i: int, others: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Distance (arcsec) and the great circle's position angle at its start and at its end."""
    from astropy.coordinates import angular_separation, position_angle

    here = seen.ra[i], seen.dec[i]
    there = seen.ra[others], seen.dec[others]
    distance = angular_separation(*here, *there) * ARCSEC_PER_RAD
    leaving = position_angle(*here, *there).to_value("rad")
    arriving = position_angle(*there, *here).to_value("rad") + np.pi
    return np.asarray(distance), np.asarray(leaving), np.asarray(arriving)


def _grow(
    seen: Sightings,
    pair: tuple[int, int],
    cost: dict[tuple[int, int], float],
    partners: dict[int, set[int]],
    config: TrackletConfig,
) -> Motion:
    """A pair and all that agree with it, with each other, and with one straight motion."""
    members = set(pair)
    motion = fit_motion(seen, pair)
    while True:
        times = {float(seen.time_s[row]) for row in members}
        candidates = set.intersection(*(partners[row] for row in members))
        tried = [
            (fit_motion(seen, [*members, k]), k)
            for k in sorted(candidates)
            if float(seen.time_s[k]) not in times
        ]
        good = [(m, k) for m, k in tried if _is_straight(seen, m, config)]
        if not good:
            mean = np.mean([c for p, c in cost.items() if p in _pairs(members)] or [0.0])
            return replace(motion, cost=motion.cost + float(mean))
        motion, best = min(good, key=lambda pair: pair[0].cost)
        members.add(best)


def _pairs(members: set[int]) -> set[tuple[int, int]]:
    return {(i, j) for i in members for j in members if i != j}


def _is_straight(seen: Sightings, motion: Motion, config: TrackletConfig) -> bool:
    rows = np.array(motion.members)
    arc_h = (seen.time_s[rows[-1]] - seen.time_s[rows[0]]) / 3600.0
    sigma = float(np.max(np.hypot(seen.along_arcsec[rows], seen.across_arcsec[rows])))
    # A change of velocity by this share an hour bends the path by an eighth of it (its sagitta).
    sagitta = 0.125 * config.curvature_per_h * arc_h * (motion.rate * arc_h * 3600.0)
    # The midpoint of a cut trail lies off by up to half of what is missing.
    missing = motion.rate * seen.exposure_s[rows] - seen.length_arcsec[rows]
    lost = float(np.max(np.where(seen.cut[rows], 0.5 * np.clip(missing, 0.0, None), 0.0)))
    result: bool = motion.rms_arcsec <= 3.0 * np.hypot(sigma, 0.3) + sagitta + lost
    return result


def _tangent_plane(xyz: Floats) -> tuple[Floats, Floats, Floats]:
    """East and north of points about their mean direction, arcsec (gnomonic), and that."""
    centre = xyz.mean(axis=0)
    centre = centre / np.linalg.norm(centre)
    to_east = np.cross([0.0, 0.0, 1.0], centre)
    length = np.linalg.norm(to_east)
    to_east = np.array([0.0, 1.0, 0.0]) if length < 1e-12 else to_east / length
    to_north = np.cross(centre, to_east)
    depth = xyz @ centre
    return (
        xyz @ to_east / depth * ARCSEC_PER_RAD,
        xyz @ to_north / depth * ARCSEC_PER_RAD,
        np.stack([to_east, to_north, centre]),
    )


def _from_plane(x: float, y: float, axes: Floats) -> tuple[float, float]:
    point = axes[2] + (x * axes[0] + y * axes[1]) / ARCSEC_PER_RAD
    point = point / np.linalg.norm(point)
    ra = float(np.degrees(np.arctan2(point[1], point[0])) % 360.0)
    return ra, float(np.degrees(np.arcsin(np.clip(point[2], -1.0, 1.0))))


def _line(t: Floats, values: Floats, weights: Floats) -> tuple[float, float]:
    """Weighted least squares: value at t = 0 and slope."""
    mean_t, mean = np.average(t, weights=weights), np.average(values, weights=weights)
    slope = np.sum(weights * (t - mean_t) * (values - mean)) / np.sum(weights * (t - mean_t) ** 2)
    return float(mean - slope * mean_t), float(slope)
