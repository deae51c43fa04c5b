"""An orbit made to pass through a given place with a given motion, for synthetic nights."""

from __future__ import annotations

import math

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import CatalogueError
from streaks.known.dynamics import Dynamics, elements_of_icrs_state
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.names import normalise_name
from streaks.known.nbody import with_ephemeris
from streaks.known.observatories import Observatory
from streaks.known.orbits import DEFAULT_SLOPE, Orbits
from streaks.known.places import as_observatory, single_jd_tdb, tangent_axes, unit_vector
from streaks.known.solar_system import (
    LIGHT_AU_PER_DAY,
    Ephemeris,
    ephemeris_between,
    observer_state,
)

__all__ = ["orbit_through"]

Floats = NDArray[np.float64]

_ARCSEC_PER_S = math.pi / 648_000.0 * 86_400.0  # rad/day
#: Bound with some room: at 0.97 of the escape speed an orbit reaches a = 17 r.
_FASTEST = 0.97


def orbit_through(
    ra_deg: float,
    dec_deg: float,
    rate_arcsec_per_s: float,
    pa_deg: float,
    time: Time,
    distance_au: float,
    observatory: str | Observatory = "I41",
    *,
    name: str = "2018 AA",
    h_mag: float = 20.0,
    dynamics: str | Dynamics = "n-body",
    ephemeris: Ephemeris | None = None,
) -> Orbits:
    """A bound orbit that appears at a place, moving so, at an instant.

    The motion along the line of sight, which no single look can tell, is chosen so that the
    orbit's semi-major axis is the distance from the Sun, or as near to that as the motion
    across allows.

    Parameters
    ----------
    ra_deg, dec_deg
        Astrometric topocentric place, ICRS.
    rate_arcsec_per_s, pa_deg
        Apparent motion and its direction, east of north in [0, 360).
    time
        Of that place and motion.
    distance_au
        From the observer. Near the Earth, the elements of an orbit change by the hour.
    observatory
        MPC code, or a site of the user's own.
    name
        A provisional designation, so that it can be packed.
    h_mag
        Absolute magnitude.
    dynamics
        What takes the orbit from its epoch to the place, as of `streaks.known.predict`.
    ephemeris
        Where Sun, Earth and perturbers are, as there.

    Returns
    -------
    Orbits
        One orbit, with its epoch at 0h TT of that day.

    Raises
    ------
    CatalogueError
        If no bound orbit moves so fast at that distance.
    """
    if not (distance_au > 0 and math.isfinite(distance_au)):
        raise CatalogueError(f"distance is {distance_au} au; it must be above 0")
    model, ephemeris = with_ephemeris(dynamics, ephemeris)
    jd = single_jd_tdb(time)
    ephemeris = ephemeris_between(ephemeris, jd - 1.0, jd)
    here, moving = observer_state(as_observatory(observatory), jd, ephemeris)
    emitted_jd = jd - distance_au / LIGHT_AU_PER_DAY
    sun, sun_velocity = ephemeris.state("sun", emitted_jd)
    towards = unit_vector(ra_deg, dec_deg)
    position = here + distance_au * towards - sun
    across = distance_au * rate_arcsec_per_s * _ARCSEC_PER_S * _direction(towards, pa_deg)
    # The first pass takes the light-time as constant, the second knows how fast it changes.
    slowing = 0.0
    for _ in range(3):
        sideways = (across + moving) / (1.0 - slowing) - sun_velocity
        velocity = sideways + _radial_speed(position, sideways, towards) * towards
        closing = float(towards @ (velocity + sun_velocity - moving))
        slowing = closing / (LIGHT_AU_PER_DAY + float(towards @ (velocity + sun_velocity)))
        _refuse_unbound(position, velocity, rate_arcsec_per_s, distance_au)
    epoch_jd = math.floor(jd - 0.5) + 0.5
    there = _as_orbit((position[None, :], velocity[None, :]), emitted_jd, name, h_mag)
    states = model.follow(there, (position[None, :], velocity[None, :]), emitted_jd, epoch_jd)
    return _as_orbit(states, epoch_jd, name, h_mag)


def _direction(towards: Floats, pa_deg: float) -> Floats:
    east, north = tangent_axes(towards[None, :])
    pa = math.radians(pa_deg)
    return np.asarray(math.sin(pa) * east[0] + math.cos(pa) * north[0])


def _radial_speed(position: Floats, sideways: Floats, towards: Floats) -> float:
    """Speed along the line of sight that gives the speed of an orbit with a = r, or the least."""
    along = float(sideways @ towards)
    wanted = GM_SUN_AU3_PER_DAY2 / float(np.linalg.norm(position))
    spare = along**2 - float(sideways @ sideways) + wanted
    if spare <= 0.0:
        return -along
    root = math.sqrt(spare)
    return -along + (root if along > 0 else -root)


def _refuse_unbound(position: Floats, velocity: Floats, rate: float, distance_au: float) -> None:
    escape = math.sqrt(2.0 * GM_SUN_AU3_PER_DAY2 / float(np.linalg.norm(position)))
    if float(np.linalg.norm(velocity)) > _FASTEST * escape:
        raise CatalogueError(
            f"nothing bound to the Sun moves {rate:g} arcsec/s at {distance_au:g} au; give a "
            "smaller distance or rate"
        )


def _as_orbit(states: tuple[Floats, Floats], epoch_jd: float, name: str, h_mag: float) -> Orbits:
    """The one orbit of a heliocentric state (1, 3) at its epoch."""
    elements = elements_of_icrs_state(*states, epoch_jd)
    return Orbits(
        designation=np.array([normalise_name(name)]),
        name=np.array([name]),
        h_mag=np.array([float(h_mag)]),
        g_slope=np.array([DEFAULT_SLOPE]),
        epoch_jd=np.array([epoch_jd]),
        uncertainty=np.array([0.0]),
        **elements._asdict(),
    )
