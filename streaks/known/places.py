"""Where known objects appear: astrometric topocentric places, motion and brightness."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from astropy.table import QTable, vstack
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import CatalogueError
from streaks.known.dynamics import Dynamics
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.names import survey_spelling
from streaks.known.nbody import NBody, with_ephemeris
from streaks.known.observatories import Observatory, find_observatory
from streaks.known.orbits import DEFAULT_SLOPE, Orbits
from streaks.known.shipped import default_ephemeris
from streaks.known.solar_system import (
    LIGHT_AU_PER_DAY,
    Ephemeris,
    ephemeris_between,
    observer_state,
)
from streaks.matching import separation_arcsec
from streaks.tables import ColumnSpec, build_table

__all__ = [
    "PREDICTION_COLUMNS",
    "near",
    "predict",
    "predict_epochs",
    "predictions_from_states",
    "tangent_axes",
    "unit_vector",
]

Floats = NDArray[np.float64]

_ARCSEC = np.pi / 648_000.0
_SECOND = 1.0 / 86_400.0
#: No exposure, nor the light's travel from any body that moves, takes longer.
_ROOM_DAYS = 1.0

PREDICTION_COLUMNS = (
    ColumnSpec("name", str, None, "as people write it: (24421) Djorgovski"),
    ColumnSpec("designation", str, None, "as ZTF writes it in ssnamenr: 24421, 2012LU23"),
    ColumnSpec("ra", float, "deg", "at mid-exposure, ICRS, astrometric, topocentric"),
    ColumnSpec("dec", float, "deg", "at mid-exposure"),
    ColumnSpec("ra0", float, "deg", "at the start of the exposure"),
    ColumnSpec("dec0", float, "deg", "at the start"),
    ColumnSpec("ra1", float, "deg", "at the end of the exposure"),
    ColumnSpec("dec1", float, "deg", "at the end"),
    ColumnSpec("rate", float, "arcsec / s", "apparent motion"),
    ColumnSpec("pa", float, "deg", "direction of the motion, east of north, in [0, 360)"),
    ColumnSpec("vmag", float, "mag", "predicted V (HG system); NaN where H is unknown"),
    ColumnSpec("delta", float, "AU", "distance from the observer"),
    ColumnSpec("r", float, "AU", "distance from the Sun"),
    ColumnSpec("phase", float, "deg", "angle between Sun and observer seen from the object"),
    ColumnSpec("pos_err", float, "arcsec", "1-sigma error of the place: model and elements"),
)


class _Apparent(NamedTuple):
    """What an observer sees at one instant; vectors (n, 3), au and au/day."""

    line: Floats  # from the observer to where the light left
    drift: Floats  # its rate of change
    heliocentric: Floats


def predict(
    orbits: Orbits,
    time: Time,
    observatory: str | Observatory,
    *,
    exposure_s: float = 0.0,
    dynamics: str | Dynamics = "n-body",
    ephemeris: Ephemeris | None = None,
) -> QTable:
    """Where everything in a catalogue is at a time, with light-time, seen from a place.

    Parameters
    ----------
    orbits
        n orbits.
    time
        One instant: MID-exposure.
    observatory
        MPC code, or a site of the user's own.
    exposure_s
        Length of the exposure, for its start and end.
    dynamics
        ``"n-body"`` (Sun, planets, Moon, massive asteroids, relativity), ``"two-body"`` (the Sun
        alone, which holds for some weeks about the epoch of the orbits and no longer), or a model
        of the user's own. Of many calls in a row, make one `NBody` and hand it to each: it goes
        on from where it was.
    ephemeris
        Where Sun, Earth and perturbers are; by default that of the model, else the package's own
        (JPL's DE440 from 2012 to 2035, series outside).

    Returns
    -------
    QTable
        `PREDICTION_COLUMNS`, n rows in the order of the orbits; NaN where an orbit could not be
        followed.

    Raises
    ------
    CatalogueError
        For an unknown observatory, more than one time, or a time that the ephemeris does not hold.
    ConfigError
        For dynamics of an unknown name.
    """
    site = as_observatory(observatory)
    model, ephemeris = with_ephemeris(dynamics, ephemeris)
    jd_tdb = single_jd_tdb(time)
    states = model.states(orbits, jd_tdb)
    return predictions_from_states(
        orbits,
        *states,
        jd_tdb,
        site,
        exposure_s=exposure_s,
        error_arcsec=model.error_arcsec(orbits, jd_tdb),
        ephemeris=ephemeris,
    )


def predict_epochs(
    orbits: Orbits,
    which: NDArray[np.integer],
    time: Time,
    observatory: str | Observatory,
    *,
    exposure_s: float = 0.0,
    dynamics: str | Dynamics = "n-body",
    ephemeris: Ephemeris | None = None,
) -> QTable:
    """Where single objects are at many times: one prediction for each object and its time.

    As `predict` one by one, and far cheaper: with ``"n-body"`` the way from an orbit's epoch is
    integrated once for all its times.

    Parameters
    ----------
    orbits
        n orbits.
    which : (m,) int
        Rows of the orbits that are asked for, in any order.
    time : (m,)
        MID-exposures, one for each of them.
    observatory, exposure_s, dynamics, ephemeris
        As of `predict`.

    Returns
    -------
    QTable
        `PREDICTION_COLUMNS`, m rows in the order of the times; NaN where an orbit could not be
        followed.

    Raises
    ------
    CatalogueError
        For an unknown observatory, not as many times as rows, or a time that the ephemeris does
        not hold.
    ConfigError
        For dynamics of an unknown name.
    """
    site = as_observatory(observatory)
    model, ephemeris = with_ephemeris(dynamics, ephemeris)
    which = np.asarray(which, dtype=np.int64)
    if time.shape != which.shape or which.ndim != 1:
        raise CatalogueError(f"{time.size} times for {which.size} objects; expected one each")
    if len(which) == 0:
        return build_table(PREDICTION_COLUMNS, {spec.name: [] for spec in PREDICTION_COLUMNS})
    jd = np.asarray(time.tdb.jd, dtype=float)
    position, velocity = _states_along(model, orbits, which, jd)
    single = {k: orbits.select(np.array([k])) for k in set(which.tolist())}
    errors = [float(model.error_arcsec(single[k], t)[0]) for k, t in zip(which, jd, strict=True)]
    # Where an ephemeris is of several sources, each stretch of time has its own.
    sources = [ephemeris_between(ephemeris, t - _ROOM_DAYS, t + _ROOM_DAYS) for t in jd.tolist()]
    keys = np.array([id(source) for source in sources])
    parts, order = [], []
    for key in np.unique(keys):
        own = np.flatnonzero(keys == key)
        parts.append(
            predictions_from_states(
                orbits.select(which[own]), position[own], velocity[own], jd[own], site,
                exposure_s=exposure_s, error_arcsec=np.array(errors)[own],
                ephemeris=sources[own[0]],
            )
        )  # fmt: skip
        order.append(own)
    if len(parts) == 1:
        return parts[0]
    return vstack(parts, metadata_conflicts="silent")[np.argsort(np.concatenate(order))]


def _states_along(
    model: Dynamics, orbits: Orbits, which: NDArray[np.integer], jd: Floats
) -> tuple[Floats, Floats]:
    if isinstance(model, NBody):
        return model.states_along(orbits, which, jd)
    position, velocity = np.empty((len(jd), 3)), np.empty((len(jd), 3))
    # One orbit after another in order of time: a model that goes on from where it was does.
    for k in np.unique(which):
        own = np.flatnonzero(which == k)
        one = orbits.select(np.array([k]))
        for row in own[np.argsort(jd[own], kind="stable")]:
            states = model.states(one, float(jd[row]))
            position[row], velocity[row] = states[0][0], states[1][0]
    return position, velocity


def single_jd_tdb(time: Time) -> float:
    """The Julian date (TDB) of one instant.

    Parameters
    ----------
    time
        One instant.

    Returns
    -------
    float

    Raises
    ------
    CatalogueError
        For more than one.
    """
    if not time.isscalar:
        raise CatalogueError(f"expected one instant, got {time.size}; predict for one at a time")
    return float(time.tdb.jd)


def as_observatory(observatory: str | Observatory) -> Observatory:
    """A site from its code; a site as it is.

    Parameters
    ----------
    observatory
        MPC code, or a site.

    Returns
    -------
    Observatory

    Raises
    ------
    CatalogueError
        For an unknown code.
    """
    return observatory if isinstance(observatory, Observatory) else find_observatory(observatory)


def predictions_from_states(
    orbits: Orbits,
    position: Floats,
    velocity: Floats,
    jd_tdb: float | Floats,
    observatory: Observatory,
    *,
    exposure_s: float = 0.0,
    error_arcsec: Floats | None = None,
    ephemeris: Ephemeris | None = None,
) -> QTable:
    """`predict`, from heliocentric states (ICRS axes) at the time itself.

    Parameters
    ----------
    orbits
        n orbits, for their names and magnitudes.
    position, velocity : (n, 3), au and au/day
        Heliocentric, ICRS axes.
    jd_tdb : scalar or (n,)
        MID-exposure, TDB: one for all, or one for each.
    observatory
        The site.
    exposure_s
        Length of the exposure.
    error_arcsec : (n,)
        1-sigma errors seen from the Sun; NaN where not given.
    ephemeris
        Where Sun and Earth are; the package's own by default.

    Returns
    -------
    QTable
        `PREDICTION_COLUMNS`, n rows in the order of the orbits.
    """
    ephemeris = default_ephemeris() if ephemeris is None else ephemeris
    first, last = float(np.min(jd_tdb)), float(np.max(jd_tdb))
    ephemeris = ephemeris_between(ephemeris, first - _ROOM_DAYS, last + _ROOM_DAYS)
    half = 0.5 * exposure_s * _SECOND

    def seen(offset_days: float) -> _Apparent:
        return _apparent(position, velocity, jd_tdb, offset_days, observatory, ephemeris)

    middle = seen(0.0)
    start, end = (middle, middle) if half == 0.0 else (seen(-half), seen(half))
    delta = np.linalg.norm(middle.line, axis=-1)
    r = np.linalg.norm(middle.heliocentric, axis=-1)
    phase = _phase_rad(middle)
    rate, pa = _motion(middle, delta)
    errors = np.full(len(orbits), np.nan) if error_arcsec is None else error_arcsec
    ra, dec = _angles(middle.line)
    ra0, dec0 = _angles(start.line)
    ra1, dec1 = _angles(end.line)
    return build_table(
        PREDICTION_COLUMNS,
        {
            "name": orbits.name,
            "designation": [survey_spelling(str(d)) for d in orbits.designation],
            "ra": ra, "dec": dec, "ra0": ra0, "dec0": dec0, "ra1": ra1, "dec1": dec1,
            "rate": rate,
            "pa": pa,
            "vmag": _v_magnitude(orbits, r, delta, phase),
            "delta": delta,
            "r": r,
            "phase": np.degrees(phase),
            "pos_err": errors * r / delta,
        },
    )  # fmt: skip


def _apparent(
    position: Floats,
    velocity: Floats,
    jd_tdb: float | Floats,
    offset_days: float,
    observatory: Observatory,
    ephemeris: Ephemeris,
) -> _Apparent:
    """Lines of sight some moments from the time of the states.

    Between the emission of light and the states lie minutes to hours, in which the motion is
    position, velocity and the Sun's pull: the next term is below 1e-9 au.
    """
    r = np.linalg.norm(position, axis=-1)[:, None]
    pull = -GM_SUN_AU3_PER_DAY2 * position / r**3
    here, moving = observer_state(observatory, jd_tdb + offset_days, ephemeris)
    sun, sun_velocity = ephemeris.state("sun", jd_tdb)
    travel = np.zeros_like(r)
    for _ in range(3):  # each turn gains a factor v / c = 1e-4
        dt = offset_days - travel
        heliocentric = position + dt * velocity + 0.5 * dt**2 * pull
        line = heliocentric + sun + dt * sun_velocity - here
        travel = np.linalg.norm(line, axis=-1)[:, None] / LIGHT_AU_PER_DAY
    away = line / np.linalg.norm(line, axis=-1)[:, None]
    emitter = velocity + dt * pull + sun_velocity
    # The light-time changes too: d(travel)/dt = u.(v_emitter - v_observer) / (c + u.v_emitter).
    along = np.sum(away * emitter, axis=-1)[:, None]
    slowing = (along - np.sum(away * moving, axis=-1)[:, None]) / (LIGHT_AU_PER_DAY + along)
    return _Apparent(line, emitter * (1.0 - slowing) - moving, heliocentric)


def _angles(line: Floats) -> tuple[Floats, Floats]:
    """Right ascension in [0, 360) and declination, deg."""
    ra = np.mod(np.degrees(np.arctan2(line[:, 1], line[:, 0])), 360.0)
    return ra, np.degrees(np.arctan2(line[:, 2], np.hypot(line[:, 0], line[:, 1])))


def _motion(seen: _Apparent, delta: Floats) -> tuple[Floats, Floats]:
    """Rate (arcsec/s) and position angle (deg) of the motion."""
    east, north = tangent_axes(seen.line / delta[:, None])
    to_east = np.sum(seen.drift * east, axis=-1) / delta
    to_north = np.sum(seen.drift * north, axis=-1) / delta
    rate = np.hypot(to_east, to_north) * _SECOND / _ARCSEC
    return rate, np.mod(np.degrees(np.arctan2(to_east, to_north)), 360.0)


def tangent_axes(unit: Floats) -> tuple[Floats, Floats]:
    """Unit vectors to the east and to the north.

    Parameters
    ----------
    unit : (n, 3)
        Directions on the sky.

    Returns
    -------
    east, north : (n, 3)
    """
    zero = np.zeros(len(unit))
    east = np.stack([-unit[:, 1], unit[:, 0], zero], axis=-1)
    size = np.linalg.norm(east, axis=-1)[:, None]
    east = np.where(size > 0, east / np.where(size > 0, size, 1.0), [0.0, 1.0, 0.0])  # at a pole
    return east, np.cross(unit, east)


def unit_vector(ra_deg: float, dec_deg: float) -> Floats:
    """Direction of a place on the sky.

    Parameters
    ----------
    ra_deg, dec_deg
        The place, ICRS.

    Returns
    -------
    (3,)
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _phase_rad(seen: _Apparent) -> Floats:
    across = np.linalg.norm(np.cross(seen.heliocentric, seen.line), axis=-1)
    return np.asarray(np.arctan2(across, np.sum(seen.heliocentric * seen.line, axis=-1)))


def _v_magnitude(orbits: Orbits, r: Floats, delta: Floats, phase_rad: Floats) -> Floats:
    """V in the HG system, through sbpy's model (Bowell et al. 1989)."""
    from streaks.sbpy_import import import_sbpy

    hg = import_sbpy("photometry").HG
    slope = np.where(np.isfinite(orbits.g_slope), orbits.g_slope, DEFAULT_SLOPE)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        reduced = hg.evaluate(phase_rad, orbits.h_mag, slope)
        magnitude = np.asarray(reduced + 5.0 * np.log10(r * delta), dtype=float)
    return np.where(np.isfinite(magnitude), magnitude, np.nan)


def near(predictions: QTable, ra_deg: float, dec_deg: float, radius_arcsec: float) -> QTable:
    """Predictions within a radius of a place, nearest first.

    Parameters
    ----------
    predictions
        With ``ra`` and ``dec``.
    ra_deg, dec_deg
        The place, ICRS.
    radius_arcsec
        About it.

    Returns
    -------
    QTable
        The rows within, with their distance in a column ``sep`` (arcsec).
    """
    sep = separation_arcsec(
        predictions["ra"].to_value("deg"), predictions["dec"].to_value("deg"), ra_deg, dec_deg
    )
    order = np.argsort(sep, kind="stable")
    chosen = order[sep[order] <= radius_arcsec]
    found = predictions[chosen]
    spec = ColumnSpec("sep", float, "arcsec", "distance from the place asked for")
    found["sep"] = build_table([spec], {"sep": sep[chosen]})["sep"]
    return found
