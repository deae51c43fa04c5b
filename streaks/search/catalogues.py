"""Known objects and satellites for frames of any night, prepared a night at a time."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import QTable
from astropy.time import Time

from streaks.config import SatelliteConfig
from streaks.errors import CatalogueError
from streaks.frame import Frame
from streaks.tables import empty_table

if TYPE_CHECKING:
    from streaks.known import Dynamics, Ephemeris, NightIndex, Orbits
    from streaks.satellites import Satellites

__all__ = ["KnownSky", "SatelliteSky", "load_satellites", "load_sky"]

_log = logging.getLogger(__name__)

#: Where a frame was taken that does not say: the centre of the Earth.
_GEOCENTRE = "500"
#: Nights kept at once; frames come sorted by name, which is by date in every survey.
_MAX_NIGHTS = 3
#: Orbits of these very days need no planets: two bodies err by 0.003 arcsec after three days.
_TWO_BODY_DAYS = 3.0


class KnownSky:
    """An orbit catalogue, followed to each night that a frame asks for.

    Parameters
    ----------
    orbits
        The catalogue.
    ephemeris
        Of the planets; None for positions that come with the package.
    """

    def __init__(self, orbits: Orbits, ephemeris: Ephemeris | None = None) -> None:
        self._orbits = orbits
        self._ephemeris = ephemeris
        self._nights: dict[float, NightIndex] = {}

    def near_frame(self, frame: Frame) -> QTable:
        """Predictions in and around a frame.

        Parameters
        ----------
        frame
            With coordinates, time and observatory.

        Returns
        -------
        QTable
            As `streaks.known.predict` gives them; no rows without a place and a time.
        """
        if frame.wcs is None or frame.time is None:
            missing = "sky coordinates" if frame.wcs is None else "a time"
            _log.warning("%s: not matched with known objects: no %s", frame.name, missing)
        elif not frame.observatory:
            _log.warning(
                "%s: observatory unknown; known objects as seen from the Earth's centre", frame.name
            )
        return self._night(frame).near_frame(frame)

    def _night(self, frame: Frame) -> NightIndex:
        from streaks.known import prepare_night
        from streaks.known.cache import cache_folder

        # The night depends on the frame alone, never on which frames came before it.
        mjd = 60000.0 if frame.time is None else float(frame.time.tdb.mjd)
        middle = float(np.floor(mjd)) + 0.5
        if middle not in self._nights:
            if len(self._nights) >= _MAX_NIGHTS:
                self._nights.pop(next(iter(self._nights)))
            time = Time(middle, format="mjd", scale="tdb")
            self._nights[middle] = prepare_night(
                self._orbits,
                time,
                _GEOCENTRE,
                dynamics=self._dynamics(float(time.jd)),
                ephemeris=self._ephemeris,
                cache=cache_folder(),
            )
        return self._nights[middle]

    def _dynamics(self, jd_tdb: float) -> Dynamics:
        """Full dynamics, unless all orbits are of these very days."""
        from streaks.known import NBody, TwoBody

        if np.all(np.abs(self._orbits.epoch_jd - jd_tdb) <= _TWO_BODY_DAYS):
            return TwoBody()
        return NBody(self._ephemeris)


def load_sky(
    orbits: str | os.PathLike[str], ephemeris: str | os.PathLike[str] | None = None
) -> KnownSky:
    """The sky of an orbit file.

    Parameters
    ----------
    orbits
        A catalogue.
    ephemeris
        A JPL kernel, or a folder of them; else what ``STREAKS_EPHEMERIS`` names, else that of
        the package.

    Returns
    -------
    KnownSky

    Raises
    ------
    CatalogueError
        If the file is no orbit catalogue, or the kernel no kernel.
    """
    from streaks.known import open_ephemeris, read_orbits

    kernel = ephemeris or os.environ.get("STREAKS_EPHEMERIS")
    return KnownSky(read_orbits(orbits), open_ephemeris(kernel) if kernel else None)


class SatelliteSky:
    """Satellites of a file of two-line elements, for frames of any night.

    Parameters
    ----------
    satellites
        Of the file.
    config
        How far from a prediction a streak may lie.
    """

    def __init__(self, satellites: Satellites, config: SatelliteConfig | None = None) -> None:
        self._satellites = satellites
        self._config = config or SatelliteConfig()

    def name_streaks(self, frame: Frame, streaks: QTable) -> QTable:
        """The satellite that each streak may be.

        Parameters
        ----------
        frame
            That was searched.
        streaks
            Found in it.

        Returns
        -------
        QTable
            ``streak_id, sat_name, sat_norad`` and what stands behind them, a row a streak.
        """
        from streaks.known import find_observatory
        from streaks.satellites import CANDIDATE_COLUMNS, best_satellites, match_satellites

        missing = [
            what
            for what, there in (
                ("sky coordinates", frame.wcs is not None),
                ("time", frame.time is not None),
                ("exposure time", bool(np.isfinite(frame.exposure_s))),
                ("observatory", bool(frame.observatory)),
            )
            if not there
        ]
        if missing or frame.time is None:
            _log.warning("%s: not matched with satellites: no %s", frame.name, ", ".join(missing))
            return best_satellites(streaks, empty_table(CANDIDATE_COLUMNS))
        try:
            site = find_observatory(frame.observatory)
        except CatalogueError as error:
            _log.warning("%s: not matched with satellites: %s", frame.name, error)
            return best_satellites(streaks, empty_table(CANDIDATE_COLUMNS))
        candidates = match_satellites(
            streaks,
            self._satellites,
            frame.time,
            site,
            exposure_s=frame.exposure_s,
            config=self._config,
        )
        age = np.abs(self._satellites.epoch_jd - float(frame.time.utc.jd)).min()
        if age > self._config.max_age_days:
            _log.warning(
                "%s: the youngest elements of satellites are %.0f days away: none is used; give "
                "a file of that night",
                frame.name,
                age,
            )
        return best_satellites(streaks, candidates)


def load_satellites(
    tle: str | os.PathLike[str], config: SatelliteConfig | None = None
) -> SatelliteSky:
    """The satellites of a file of two-line elements.

    Parameters
    ----------
    tle
        The file.
    config
        How far from a prediction a streak may lie.

    Returns
    -------
    SatelliteSky

    Raises
    ------
    CatalogueError
        If the file holds none.
    """
    from streaks.satellites import read_satellites

    return SatelliteSky(read_satellites(Path(tle)), config)
