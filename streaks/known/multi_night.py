"""Alerts of years against a catalogue: only bodies that can be near any are followed to the night.

All orbits walk through the years in strides of some days with full dynamics. Between these, two
bodies and a generous margin tell who may be near the places asked for; those few are followed to
the night itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streaks.known.dynamics import Dynamics
from streaks.known.index import NightIndex, index_of_states
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.nbody import NBody
from streaks.known.observatories import Observatory
from streaks.known.orbits import Orbits
from streaks.known.solar_system import Ephemeris

__all__ = ["MultiNightIndex"]

Floats = NDArray[np.float64]

#: Days between the dates to which everything is followed.
_STRIDE_DAYS = 16.0
#: How far two bodies may err in half a stride, au: the planets' pull on a body that is not close
#: to one. At 0.3 au from the Earth or 1 au from Jupiter it is 4e-6 and 9e-6.
_DRIFT_AU = 5e-5
#: Nearer to the Earth than this a body is always followed: its pull bends the way.
_CLOSE_AU = 0.3
#: Room for parallax (9 arcsec at 1 au, within `_DRIFT_AU`), light-time and the night's motion.
_ROOM_DAYS = 0.6


class MultiNightIndex:
    """A catalogue that is asked for many nights, best in order of their distance from its epoch.

    Parameters
    ----------
    orbits, dynamics, observatory, ephemeris
        As of `streaks.known.prepare_night`.
    """

    def __init__(
        self, orbits: Orbits, dynamics: Dynamics, observatory: Observatory, ephemeris: Ephemeris
    ) -> None:
        self._orbits = orbits
        self._dynamics = dynamics
        self._observatory = observatory
        self._ephemeris = ephemeris
        self._stride: tuple[float, tuple[Floats, Floats]] | None = None

    def night(
        self,
        jd_tdb: float,
        places: Floats,
        radius_arcsec: float,
        named: NDArray[np.intp],
    ) -> NightIndex:
        """An index of a night, good near some places only.

        Parameters
        ----------
        jd_tdb
            The middle of the night.
        places : (m, 3)
            Unit vectors that will be asked for.
        radius_arcsec
            About each.
        named
            Rows to follow wherever they are.

        Returns
        -------
        NightIndex
            Of those who may be near, and those named.
        """
        if not isinstance(self._dynamics, NBody):
            states = self._dynamics.states(self._orbits, jd_tdb)
            rows = self._who(states, jd_tdb, places, radius_arcsec, named)
            few = states[0][rows], states[1][rows]
        else:
            start, coarse = self._from(jd_tdb)
            rows = self._who(
                _two_body(coarse, jd_tdb - start), jd_tdb, places, radius_arcsec, named
            )
            few = self._dynamics.follow(
                self._orbits.select(rows), (coarse[0][rows], coarse[1][rows]), start, jd_tdb
            )
        return index_of_states(
            self._orbits.select(rows),
            few,
            jd_tdb,
            self._observatory,
            dynamics=self._dynamics,
            ephemeris=self._ephemeris,
        )

    def _from(self, jd_tdb: float) -> tuple[float, tuple[Floats, Floats]]:
        """States at the nearest date of the grid."""
        date = round(jd_tdb / _STRIDE_DAYS) * _STRIDE_DAYS
        # A kernel may end between the night and the date.
        low, high = self._ephemeris.span_jd
        date = min(max(date, low), high)
        if self._stride is None or self._stride[0] != date:
            self._stride = date, self._dynamics.states(self._orbits, date)
        return self._stride

    def _who(
        self,
        states: tuple[Floats, Floats],
        jd_tdb: float,
        places: Floats,
        radius_arcsec: float,
        named: NDArray[np.intp],
    ) -> NDArray[np.intp]:
        """Rows that may come near any of the places."""
        position, velocity = states
        line = position + (
            self._ephemeris.state("sun", jd_tdb)[0] - self._ephemeris.state("earth", jd_tdb)[0]
        )
        motion = velocity - self._ephemeris.state("earth", jd_tdb)[1]
        distance = np.linalg.norm(line, axis=-1)
        travel = np.linalg.norm(velocity, axis=-1) * distance / 173.0
        way = _DRIFT_AU + travel + np.linalg.norm(motion, axis=-1) * _ROOM_DAYS
        with np.errstate(invalid="ignore", divide="ignore"):
            reach = np.radians(radius_arcsec / 3600.0) + 1.5 * way / distance
            nearest = _nearest_cosine(line / distance[:, None], places)
            may = (nearest >= np.cos(np.minimum(reach, np.pi))) | (distance < _CLOSE_AU)
        may[named] = True
        return np.flatnonzero(may & np.isfinite(distance))


def _two_body(states: tuple[Floats, Floats], days: float) -> tuple[Floats, Floats]:
    from streaks.known._motion import propagate

    position, velocity = propagate(*states, days, GM_SUN_AU3_PER_DAY2)
    return position, velocity


def _nearest_cosine(towards: Floats, places: Floats) -> Floats:
    """Of each direction, the cosine of the angle to the nearest place."""
    from scipy.spatial import cKDTree

    good = np.isfinite(towards).all(axis=-1)
    cosine = np.full(len(towards), np.nan)
    if len(places) and good.any():
        chord, _ = cKDTree(places).query(towards[good])
        cosine[good] = 1.0 - 0.5 * chord**2
    return cosine
