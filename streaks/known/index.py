"""A whole night's known objects, followed once and asked often.

The dynamics brings every orbit to the middle of the night once. There the objects are sorted by
declination and right ascension, so that a field looks at its own part of the sky only; a straight
line in space tells coarsely who can be in it, and only those few get an exact place.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import CatalogueError
from streaks.frame import Frame
from streaks.known.cache import states_of_night
from streaks.known.dynamics import Dynamics, TwoBody
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.names import normalise_name
from streaks.known.nbody import with_ephemeris
from streaks.known.observatories import Observatory
from streaks.known.orbits import Orbits
from streaks.known.places import (
    as_observatory,
    near,
    predictions_from_states,
    single_jd_tdb,
    unit_vector,
)
from streaks.known.shipped import default_ephemeris
from streaks.known.solar_system import Ephemeris
from streaks.sky import circle_around

__all__ = ["NightIndex", "index_of_states", "prepare_night"]

Floats = NDArray[np.float64]

_log = logging.getLogger(__name__)

#: Two-body motion from an integrated state holds to 0.0002 arcsec within 6 h and some 0.001
#: within 12; beyond, ask for an index of that night.
_REACH_DAYS = 0.5
#: Radius of the Earth, au, with some room: where on it the observer stands is not in the index.
_EARTH_AU = 4.4e-5
#: Nearer than this everything is looked at exactly.
_CLOSE_AU = 0.02
#: Nearer than this at any moment of the night, the Earth bends a way visibly: 0.02 arcsec in half a
#: day at 0.1 au, 4 arcsec at 0.02. Such bodies are followed through the night with full dynamics.
_BENT_AU = 0.1
#: Instants of that; between them a cubic through states errs by 0.0005 arcsec at 0.003 au.
_BENT_TIMES = np.linspace(-_REACH_DAYS, _REACH_DAYS, 25)
#: Height of a band of declination.
_BAND_DEG = 2.0
#: What moves farther than this in the reach of the index, or is as uncertain, is looked at for
#: every field. Main-belt asteroids move 0.15 degrees in half a day.
_WANDER_DEG = 0.5
#: Room for what distances change in half a day, and for brightening at opposition.
_MAGNITUDE_ROOM = 0.3


class _Sorted(NamedTuple):
    """Rows of an index by band of declination, and by right ascension in each; wanderers last."""

    row: NDArray[np.int64]  # of the catalogue
    ra_deg: Floats
    band_starts: NDArray[np.int64]  # of each band, then of the wanderers, then the end
    line: Floats
    drift: Floats
    slack: Floats  # au
    growth: Floats  # au/day^2
    brightest: Floats  # mag


@dataclass(frozen=True, eq=False)
class NightIndex:
    """What `prepare_night` makes: n orbits brought to one instant.

    Parameters
    ----------
    orbits
        Those that could be followed.
    jd_tdb
        The instant.
    position, velocity : (n, 3), au and au/day
        Heliocentric states then, ICRS axes.
    error_arcsec : (n,)
        1-sigma errors seen from the Sun.
    line, drift : (n, 3), au and au/day
        From the centre of the Earth to the object, light-time left out, and its rate of change.
    observatory
        Where frames that do not say were taken.
    ephemeris
        Where Sun and Earth are.
    dynamics
        What brought the orbits here; one with full dynamics also follows what passes the Earth.
    """

    orbits: Orbits
    jd_tdb: float
    position: Floats
    velocity: Floats
    error_arcsec: Floats
    line: Floats
    drift: Floats
    observatory: Observatory
    ephemeris: Ephemeris
    dynamics: Dynamics

    def near(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_arcsec: float,
        time: Time,
        *,
        exposure_s: float = 0.0,
        observatory: str | Observatory | None = None,
        limiting_mag: float = math.inf,
    ) -> QTable:
        """What is within a radius of a place at a time, nearest first.

        Parameters
        ----------
        ra_deg, dec_deg
            The place, ICRS.
        radius_arcsec
            About it; below 0 finds nothing.
        time
            MID-exposure.
        exposure_s
            Length of the exposure, over which the predicted trails go.
        observatory
            Where from; the night's own by default.
        limiting_mag
            Fainter objects (V) are left out; those of unknown brightness never are.

        Returns
        -------
        QTable
            ``PREDICTION_COLUMNS`` and ``sep``.

        Raises
        ------
        CatalogueError
            For a time more than half a day from the night's.
        """
        site = self.observatory if observatory is None else as_observatory(observatory)
        jd_tdb = self._reachable_jd(time)
        few = self._candidates(ra_deg, dec_deg, radius_arcsec, jd_tdb, limiting_mag)
        found = near(self._predict(few, jd_tdb, site, exposure_s), ra_deg, dec_deg, radius_arcsec)
        if math.isinf(limiting_mag):
            return found
        return found[~(found["vmag"].to_value("mag") > limiting_mag)]

    def place_of(
        self,
        name: str,
        time: Time,
        *,
        exposure_s: float = 0.0,
        observatory: str | Observatory | None = None,
    ) -> QTable:
        """Where one object is at a time.

        Parameters
        ----------
        name
            In any spelling; a former designation where the catalogue gives it beside the number.
        time
            MID-exposure.
        exposure_s
            Length of the exposure.
        observatory
            Where from; the night's own by default.

        Returns
        -------
        QTable
            ``PREDICTION_COLUMNS``; no rows for an object that is not here.

        Raises
        ------
        CatalogueError
            For a time more than half a day from the night's.
        """
        site = self.observatory if observatory is None else as_observatory(observatory)
        few = self.rows_of(name)
        return self._predict(few, self._reachable_jd(time), site, exposure_s)

    def rows_of(self, name: str) -> NDArray[np.intp]:
        """Rows of the object of a name.

        Parameters
        ----------
        name
            In any spelling.

        Returns
        -------
        (k,) int
            Empty where it is not here.
        """
        key = normalise_name(name)
        row = self._by_designation.get(key)
        if row is None:
            row = self._by_other_name.get(key.casefold())
        return np.array([] if row is None else [row], dtype=np.intp)

    @cached_property
    def _by_designation(self) -> dict[str, int]:
        return {str(key): row for row, key in enumerate(self.orbits.designation.tolist())}

    @cached_property
    def _by_other_name(self) -> dict[str, int]:
        """By what stands behind the number: ``(50159) 2000 AE144``, ``(24421) Djorgovski``."""
        found = {}
        for row, name in enumerate(self.orbits.name.tolist()):
            behind = name.partition(")")[2].strip()
            if behind:
                found[behind.casefold()] = row
        return found

    def near_frame(
        self, frame: Frame, *, margin_arcsec: float = 60.0, limiting_mag: float = math.inf
    ) -> QTable:
        """What is within the circle around an image at its mid-exposure.

        Parameters
        ----------
        frame
            Its WCS, mid-exposure, exposure and observatory are used; the night's own observatory
            where it names none.
        margin_arcsec
            What the radius of the circle around the image is larger by.
        limiting_mag
            As in `near`.

        Returns
        -------
        QTable
            As of `near`, with ``sep`` from the image's centre; no rows for an image that does
            not say where or when it was taken.

        Raises
        ------
        CatalogueError
            For an image taken more than half a day from the night's time.
        """
        if frame.wcs is None or frame.time is None:
            return self.near(0.0, 0.0, -1.0, Time(self.jd_tdb, format="jd", scale="tdb"))
        ra_deg, dec_deg, radius_arcsec = circle_around(frame.wcs, frame.shape)
        reach = radius_arcsec + margin_arcsec
        found = self.near(
            ra_deg,
            dec_deg,
            reach,
            frame.time,
            exposure_s=frame.exposure_s if math.isfinite(frame.exposure_s) else 0.0,
            observatory=frame.observatory or None,
            limiting_mag=limiting_mag,
        )
        found.meta["area_deg2"] = 2.0 * math.pi * (1.0 - math.cos(math.radians(reach / 3600.0)))
        found.meta["area_deg2"] *= math.degrees(1.0) ** 2
        return found

    def _reachable_jd(self, time: Time) -> float:
        jd_tdb = single_jd_tdb(time)
        dt = jd_tdb - self.jd_tdb
        if abs(dt) > _REACH_DAYS:
            raise CatalogueError(
                f"the time asked for is {dt:+.2f} days from the night these objects were "
                f"prepared for; it must be within {_REACH_DAYS}: prepare that night"
            )
        return jd_tdb

    def _predict(
        self, rows: NDArray[np.intp], jd_tdb: float, site: Observatory, exposure_s: float
    ) -> QTable:
        from streaks.known._motion import propagate

        dt = jd_tdb - self.jd_tdb
        position, velocity = propagate(
            self.position[rows], self.velocity[rows], dt, GM_SUN_AU3_PER_DAY2
        )
        self._bend(rows, dt, (position, velocity))
        return predictions_from_states(
            self.orbits.select(rows),
            position,
            velocity,
            jd_tdb,
            site,
            exposure_s=exposure_s,
            error_arcsec=self.error_arcsec[rows],
            ephemeris=self.ephemeris,
        )

    def _candidates(
        self, ra_deg: float, dec_deg: float, radius_arcsec: float, jd_tdb: float, limit: float
    ) -> NDArray[np.int64]:
        """Rows that may lie within a radius: all that do, and few others."""
        from streaks.known._motion import select_near

        if radius_arcsec < 0 or len(self.orbits) == 0:
            return np.zeros(0, np.int64)
        table = self._sorted
        starts, stops = _ranges(table, ra_deg, dec_deg, radius_arcsec / 3600.0 + _WANDER_DEG)
        found = select_near(
            table.line, table.drift, table.slack, table.growth, table.brightest, starts, stops,
            unit_vector(ra_deg, dec_deg), math.radians(radius_arcsec / 3600.0),
            jd_tdb - self.jd_tdb, limit, _CLOSE_AU,
        )  # fmt: skip
        return np.sort(table.row[found])

    def _bend(self, rows: NDArray[np.intp], dt: float, states: tuple[Floats, Floats]) -> None:
        """Put bodies that pass the Earth where full dynamics have them, in place."""
        bent, positions, velocities = self._passing
        at = np.searchsorted(bent, rows)
        hit = np.flatnonzero(bent[np.minimum(at, len(bent) - 1)] == rows) if len(bent) else ()
        if len(hit):
            k = int(np.clip(np.searchsorted(_BENT_TIMES, dt) - 1, 0, len(_BENT_TIMES) - 2))
            which = at[hit]
            states[0][hit], states[1][hit] = _between(
                positions[k : k + 2, which], velocities[k : k + 2, which],
                _BENT_TIMES[k], _BENT_TIMES[k + 1], dt,
            )  # fmt: skip

    @cached_property
    def _passing(self) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Rows of bodies that pass the Earth, and their states (times, rows, 3)."""
        none = np.zeros(0, np.intp), np.zeros((0, 0, 3)), np.zeros((0, 0, 3))
        if isinstance(self.dynamics, TwoBody) or len(self.orbits) == 0:
            return none
        way = np.linalg.norm(self.drift, axis=-1) * _REACH_DAYS
        rows = np.flatnonzero(np.linalg.norm(self.line, axis=-1) - way < _BENT_AU)
        if rows.size == 0:
            return none
        some, here = self.orbits.select(rows), (self.position[rows], self.velocity[rows])
        states = [
            self.dynamics.follow(some, here, self.jd_tdb, self.jd_tdb + dt) for dt in _BENT_TIMES
        ]
        return rows, np.stack([s[0] for s in states]), np.stack([s[1] for s in states])

    @cached_property
    def _sorted(self) -> _Sorted:
        """Made at the first question."""
        distance = np.maximum(np.linalg.norm(self.line, axis=-1), 1e-9)
        r = np.linalg.norm(self.position, axis=-1)
        # Where the observer stands, and the way made during the light's travel.
        slack = _EARTH_AU + np.linalg.norm(self.velocity, axis=-1) * distance / 173.0
        growth = 0.5 * GM_SUN_AU3_PER_DAY2 * (1.0 + r**-2.0)
        ra = np.mod(np.degrees(np.arctan2(self.line[:, 1], self.line[:, 0])), 360.0)
        dec = np.degrees(np.arcsin(np.clip(self.line[:, 2] / distance, -1.0, 1.0)))
        band = ((dec + 90.0) / _BAND_DEG).astype(np.int64)
        last = int(180.0 / _BAND_DEG) + 1
        speed = np.linalg.norm(self.drift, axis=-1)
        way = speed * _REACH_DAYS + slack + growth * _REACH_DAYS**2
        wanders = (way / distance > math.radians(_WANDER_DEG)) | (distance < 3.0 * _CLOSE_AU)
        band[wanders] = last
        order = np.lexsort((ra, band))
        # At full phase, and as near as it gets; for wanderers that is not known beforehand.
        brightest = self.orbits.h_mag + 5.0 * np.log10(r * distance) - _MAGNITUDE_ROOM
        brightest[wanders] = -np.inf
        starts = np.searchsorted(band[order], np.arange(last + 2)).astype(np.int64)
        return _Sorted(
            order, ra[order], starts, self.line[order], self.drift[order],
            slack[order], growth[order], brightest[order],
        )  # fmt: skip


def _between(
    position: Floats, velocity: Floats, start: float, end: float, time: float
) -> tuple[Floats, Floats]:
    """The cubic through two states (2, n, 3): position and velocity at a time."""
    h = end - start
    s = (time - start) / h
    p0, p1, m0, m1 = position[0], position[1], h * velocity[0], h * velocity[1]
    place = (
        (2 * s**3 - 3 * s**2 + 1) * p0 + (s**3 - 2 * s**2 + s) * m0
        + (3 * s**2 - 2 * s**3) * p1 + (s**3 - s**2) * m1
    )  # fmt: skip
    slope = (6 * s**2 - 6 * s) * (p0 - p1) + (3 * s**2 - 4 * s + 1) * m0 + (3 * s**2 - 2 * s) * m1
    return place, slope / h


def _ranges(
    table: _Sorted, ra_deg: float, dec_deg: float, radius_deg: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ranges of rows that hold all within a radius of a place, and all wanderers."""
    wanderers = len(table.band_starts) - 2
    low = max(0, int((dec_deg - radius_deg + 90.0) // _BAND_DEG))
    high = min(wanderers - 1, int((dec_deg + radius_deg + 90.0) // _BAND_DEG))
    half = 180.0
    if abs(dec_deg) + radius_deg < 90.0:
        # Meridians that touch the circle.
        sine = math.sin(math.radians(radius_deg)) / math.cos(math.radians(dec_deg))
        half = math.degrees(math.asin(min(1.0, sine)))
    spans = _spans(ra_deg, half)
    starts, stops = [], []
    for band in range(low, high + 1):
        first, end = table.band_starts[band], table.band_starts[band + 1]
        for left, right in spans:
            edges = np.searchsorted(table.ra_deg[first:end], (left, right))
            starts.append(first + edges[0])
            stops.append(first + edges[1])
    starts.append(table.band_starts[wanderers])
    stops.append(table.band_starts[wanderers + 1])
    return np.array(starts, dtype=np.int64), np.array(stops, dtype=np.int64)


def _spans(ra_deg: float, half_deg: float) -> list[tuple[float, float]]:
    """Right ascensions about one, in [0, 360), cut where they come round."""
    if half_deg >= 180.0:
        return [(0.0, 361.0)]
    left, right = (ra_deg - half_deg) % 360.0, (ra_deg + half_deg) % 360.0
    return [(left, right)] if left <= right else [(left, 361.0), (0.0, right)]


def prepare_night(
    orbits: Orbits,
    time: Time,
    observatory: str | Observatory = "I41",
    *,
    dynamics: str | Dynamics = "n-body",
    ephemeris: Ephemeris | None = None,
    cache: Path | None = None,
) -> NightIndex:
    """Follow every orbit of a catalogue to a night.

    Parameters
    ----------
    orbits
        The catalogue.
    time
        The middle of the night; the index answers for half a day on either side.
    observatory
        Where frames that do not say were taken.
    dynamics
        ``"n-body"``, ``"two-body"`` or a model, as of `streaks.known.predict`.
    ephemeris
        Where Sun, Earth and perturbers are, as there.
    cache
        Folder in which the states of the night are kept for the next time (see
        `streaks.known.cache`); not kept by default.

    Returns
    -------
    NightIndex
        Orbits that cannot be followed are left out.
    """
    site = as_observatory(observatory)
    model, ephemeris = with_ephemeris(dynamics, ephemeris)
    jd_tdb = single_jd_tdb(time)
    states = states_of_night(model, orbits, jd_tdb, cache)
    return index_of_states(orbits, states, jd_tdb, site, dynamics=model, ephemeris=ephemeris)


def index_of_states(
    orbits: Orbits,
    states: tuple[Floats, Floats],
    jd_tdb: float,
    observatory: str | Observatory = "I41",
    *,
    dynamics: Dynamics,
    ephemeris: Ephemeris | None = None,
) -> NightIndex:
    """An index of orbits whose states at an instant are known.

    Parameters
    ----------
    orbits
        n orbits.
    states
        Heliocentric position (au) and velocity (au/day) at the instant, ICRS axes, (n, 3) each.
    jd_tdb
        The instant.
    observatory
        Where frames that do not say were taken.
    dynamics
        The model that gave the states.
    ephemeris
        Where Sun and Earth are; the package's own by default.

    Returns
    -------
    NightIndex
        Orbits whose states are NaN are left out.
    """
    ephemeris = default_ephemeris() if ephemeris is None else ephemeris
    position, velocity = states
    good = np.isfinite(position).all(axis=-1) & np.isfinite(velocity).all(axis=-1)
    if not good.all():
        _log.warning("%d orbits cannot be followed to this night", np.count_nonzero(~good))
        orbits = orbits.select(np.flatnonzero(good))
        position, velocity = position[good], velocity[good]
    sun, sun_velocity = ephemeris.state("sun", jd_tdb)
    earth, earth_velocity = ephemeris.state("earth", jd_tdb)
    return NightIndex(
        orbits,
        jd_tdb,
        position,
        velocity,
        dynamics.error_arcsec(orbits, jd_tdb),
        position + (sun - earth),
        velocity + (sun_velocity - earth_velocity),
        as_observatory(observatory),
        ephemeris,
        dynamics,
    )
