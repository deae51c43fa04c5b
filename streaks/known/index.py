"""A whole night's known objects, followed once and asked often.

The engine brings every orbit to the middle of the night once. From there a straight line in space
tells coarsely who can be near a field; only those few get an exact place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import CatalogueError
from streaks.frame import Frame
from streaks.known.engine import Engine, TwoBodyEngine
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2, propagate_state
from streaks.known.observatories import Observatory
from streaks.known.orbits import Orbits
from streaks.known.places import (
    as_observatory,
    near,
    predictions_from_states,
    single_jd_tdb,
    unit_vector,
)
from streaks.known.solar_system import BuiltinEphemeris, Ephemeris

__all__ = ["KnownObjects", "prepare_night"]

Floats = NDArray[np.float64]

#: Two-body motion from an integrated state holds to 0.0002 arcsec within 6 h and some 0.001
#: within 12; beyond, ask for an index of that night.
_REACH_DAYS = 0.5
#: Radius of the Earth, au, with some room: where on it the observer stands is not in the index.
_EARTH_AU = 4.4e-5
#: Nearer than this everything is looked at exactly.
_CLOSE_AU = 0.02


@dataclass(frozen=True, eq=False)
class KnownObjects:
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

    def near(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_arcsec: float,
        time: Time,
        *,
        exposure_s: float = 0.0,
        observatory: str | Observatory | None = None,
    ) -> QTable:
        """What is within a radius of a place at a time, nearest first.

        Parameters
        ----------
        time
            MID-exposure.
        observatory
            Where from; the night's own by default.

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
        few = self._candidates(unit_vector(ra_deg, dec_deg), radius_arcsec, jd_tdb)
        return near(self._predict(few, jd_tdb, site, exposure_s), ra_deg, dec_deg, radius_arcsec)

    def place_of(self, name: str, time: Time, *, exposure_s: float = 0.0) -> QTable:
        """Where one object is at a time, by its name in any spelling; no rows for none."""
        few = self.orbits.find(name)
        return self._predict(few, self._reachable_jd(time), self.observatory, exposure_s)

    def near_frame(self, frame: Frame, *, margin_arcsec: float = 60.0) -> QTable:
        """What is within the circle around an image at its mid-exposure.

        Returns
        -------
        QTable
            As of `near`, with ``sep`` from the image's centre; no rows for an image that does
            not say where or when it was taken.
        """
        if frame.wcs is None or frame.time is None:
            return self.near(0.0, 0.0, -1.0, Time(self.jd_tdb, format="jd", scale="tdb"))
        ra_deg, dec_deg, radius_arcsec = _circle_around(frame)
        return self.near(
            ra_deg,
            dec_deg,
            radius_arcsec + margin_arcsec,
            frame.time,
            exposure_s=frame.exposure_s if math.isfinite(frame.exposure_s) else 0.0,
            observatory=frame.observatory or None,
        )

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
        dt = jd_tdb - self.jd_tdb
        return predictions_from_states(
            self.orbits.select(rows),
            *propagate_state(self.position[rows], self.velocity[rows], dt),
            jd_tdb,
            site,
            exposure_s=exposure_s,
            error_arcsec=self.error_arcsec[rows],
            ephemeris=self.ephemeris,
        )

    def _candidates(self, towards: Floats, radius_arcsec: float, jd_tdb: float) -> NDArray[np.intp]:
        """Rows that may lie within a radius: all that do, and few others."""
        dt = jd_tdb - self.jd_tdb
        if radius_arcsec < 0:
            return np.zeros(0, np.intp)
        line = self.line + dt * self.drift
        distance = np.linalg.norm(line, axis=-1)
        r = np.linalg.norm(self.position, axis=-1)
        bend = 0.5 * GM_SUN_AU3_PER_DAY2 * (1.0 + r**-2.0) * dt**2
        travel = np.linalg.norm(self.velocity, axis=-1) * distance / 173.0  # light-time
        slack = (_EARTH_AU + bend + travel) / np.maximum(distance, 1e-6)
        reach = np.radians(radius_arcsec / 3600.0) + slack
        cosine = line @ towards / np.maximum(distance, 1e-12)
        hit = (reach > np.pi) | (cosine >= np.cos(np.minimum(reach, np.pi)))
        return np.flatnonzero(hit | (distance < _CLOSE_AU))


def prepare_night(
    orbits: Orbits,
    time: Time,
    observatory: str | Observatory = "I41",
    *,
    engine: Engine | None = None,
    ephemeris: Ephemeris | None = None,
) -> KnownObjects:
    """Follow every orbit of a catalogue to a night.

    Parameters
    ----------
    orbits
        The catalogue.
    time
        The middle of the night; the index answers for half a day on either side.
    observatory
        Where frames that do not say were taken.
    engine
        Dynamics; two-body by default.
    ephemeris
        Where Sun and Earth are; the built-in series by default.

    Returns
    -------
    KnownObjects
        Orbits that cannot be followed are left out.
    """
    engine = TwoBodyEngine() if engine is None else engine
    ephemeris = BuiltinEphemeris() if ephemeris is None else ephemeris
    jd_tdb = single_jd_tdb(time)
    position, velocity = engine.states(orbits, jd_tdb)
    good = np.isfinite(position).all(axis=-1) & np.isfinite(velocity).all(axis=-1)
    orbits = orbits.select(np.flatnonzero(good))
    position, velocity = position[good], velocity[good]
    sun, sun_velocity = ephemeris.state("sun", jd_tdb)
    earth, earth_velocity = ephemeris.state("earth", jd_tdb)
    return KnownObjects(
        orbits,
        jd_tdb,
        position,
        velocity,
        engine.error_arcsec(orbits, jd_tdb),
        position + (sun - earth),
        velocity + (sun_velocity - earth_velocity),
        as_observatory(observatory),
        ephemeris,
    )


def _circle_around(frame: Frame) -> tuple[float, float, float]:
    """Centre (deg) and radius (arcsec) of the circle through an image's farthest corner."""
    from streaks.matching import separation_arcsec

    assert frame.wcs is not None
    ny, nx = frame.shape
    x = np.array([(nx - 1) / 2, -0.5, nx - 0.5, -0.5, nx - 0.5])
    y = np.array([(ny - 1) / 2, -0.5, -0.5, ny - 0.5, ny - 0.5])
    ra, dec = (np.asarray(axis, dtype=float) for axis in frame.wcs.pixel_to_world_values(x, y))
    distance = separation_arcsec(ra[1:], dec[1:], ra[0], dec[0])
    return float(ra[0]), float(dec[0]), float(distance.max())
