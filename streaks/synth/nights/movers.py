"""Asteroids of a simulated night: invented ones, with orbits through their places, or real ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.time import Time
from astropy.wcs import WCS

from streaks.errors import CatalogueError, ConfigError
from streaks.geometry import Segment
from streaks.sky import to_icrs
from streaks.synth.drawing.populations import log_uniform
from streaks.synth.nights.frames import NightConfig, trail_flux
from streaks.synth.nights.sky_geometry import moved
from streaks.synth.nights.visits import GAP_S, OBSERVATORY, Visit, header_of, middle_of

if TYPE_CHECKING:
    from streaks.known import Orbits

__all__ = ["EDGE_PX", "Mover", "follow_orbits", "invent_movers", "is_inside", "where"]

#: V - r of a mean asteroid: what stands between an orbit's V magnitude and counts in r.
_V_MINUS_R = 0.25
#: Invented orbits are of the very day, and the night's match follows such as two bodies as well.
_INVENTED = "two-body"
_TWO_BODY_DAYS = 3.0
#: Trails keep this far from the edge, px.
EDGE_PX = 6.0


@dataclass(frozen=True)
class Mover:
    """An asteroid: place at an instant and motion, or an orbit that tells both.

    Parameters
    ----------
    field
        Number of the field that it was made for.
    ra_deg, dec_deg
        ICRS place at `time`.
    rate_arcsec_per_s, pa_deg
        Motion there: speed, and direction east of north, in [0, 360).
    time
        The instant that these refer to, UTC.
    flux
        Of its trail in one exposure, counts.
    designation
        Of its orbit, which then tells place and motion; empty for none.
    """

    field: int
    ra_deg: float
    dec_deg: float
    rate_arcsec_per_s: float
    pa_deg: float
    time: Time
    flux: float
    designation: str = ""


def invent_movers(
    rng: np.random.Generator, visits: Sequence[Visit], shape: tuple[int, int], config: NightConfig
) -> tuple[list[Mover], Orbits | None]:
    """Asteroids for each field; orbits through the places of those that are to be known.

    Parameters
    ----------
    rng
        Source of randomness.
    visits
        Of the night, in order of time.
    shape : (ny, nx)
        Of the images.
    config
        Of the night: how many asteroids, how long, and which share is known.

    Returns
    -------
    movers : list of Mover
        Those to be known have the designation of their orbit.
    orbits : Orbits or None
        None where none is to be known.
    """
    movers: list[Mover] = []
    parts: list[Orbits] = []
    for field in range(1 + max(visit.field for visit in visits)):
        own = [visit for visit in visits if visit.field == field]
        low, high = config.asteroids
        for _ in range(int(rng.integers(low, high + 1))):
            mover = _draw_mover(rng, own, shape, config)
            movers.append(mover)
            if rng.random() < config.known_share or (config.known_share > 0 and not parts):
                orbit = _orbit_of(rng, mover, config, len(parts))
                if orbit is not None:
                    movers[-1] = dataclasses.replace(mover, designation=str(orbit.designation[0]))
                    parts.append(orbit)
    if not parts:
        return movers, None
    from streaks.known.orbits import stack_orbits

    return movers, stack_orbits(parts)


def _draw_mover(
    rng: np.random.Generator, visits: Sequence[Visit], shape: tuple[int, int], config: NightConfig
) -> Mover:
    """One asteroid that crosses the field of some visits."""
    wcs = WCS(header_of(visits[0], shape, config))
    pa = rng.uniform(0, 360)
    length = log_uniform(rng, *config.asteroid_length_px)
    visit = visits[int(rng.integers(len(visits)))]
    if len(visits) > 1 and rng.random() < 0.7:
        # Slow enough to stay for all visits, and in the field's middle halfway through.
        duration = (len(visits) - 1) * GAP_S / config.exposure_s
        longest = max(0.6 * min(shape) / (duration + 1), config.asteroid_length_px[0])
        length = log_uniform(rng, config.asteroid_length_px[0], max(min(length, longest), 8.1))
        visit = visits[len(visits) // 2]
    margin = 0.5 * length + EDGE_PX
    if len(visits) > 1:
        margin = min(margin + length * GAP_S / config.exposure_s, 0.45 * min(shape))
    ny, nx = shape
    x, y = rng.uniform(margin, nx - 1 - margin), rng.uniform(margin, ny - 1 - margin)
    ra, dec = (float(v) for v in to_icrs(wcs, x, y))
    snr = log_uniform(rng, *config.asteroid_snr)
    theta = rng.uniform(0, 180)
    flux = snr * trail_flux(Segment.from_midpoint(x, y, length, theta), visit.conditions)
    return Mover(
        field=visit.field,
        ra_deg=ra,
        dec_deg=dec,
        rate_arcsec_per_s=length * config.pixel_scale_arcsec / config.exposure_s,
        pa_deg=pa,
        time=middle_of(visit, config),
        flux=flux,
    )


def _orbit_of(
    rng: np.random.Generator, mover: Mover, config: NightConfig, number: int
) -> Orbits | None:
    """A bound orbit with the mover's place, motion and brightness; None where there is none."""
    from streaks.known import orbit_through, predict

    letters = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
    name = f"{mover.time.datetime.year} {letters[number % 24]}{letters[number // 24 % 25]}"
    name += str(1 + number // 600)
    # Near-Earth asteroids pass at some 10 km/s: so far away, they seem to move like this.
    distance = 0.0138 / mover.rate_arcsec_per_s * rng.uniform(0.5, 1.3)
    for _ in range(6):
        try:
            orbit = orbit_through(
                mover.ra_deg,
                mover.dec_deg,
                mover.rate_arcsec_per_s,
                mover.pa_deg,
                mover.time,
                distance,
                OBSERVATORY,
                name=name,
                dynamics=_INVENTED,
            )
        except CatalogueError:
            distance *= 0.6
            continue
        seen = float(predict(orbit, mover.time, OBSERVATORY, dynamics=_INVENTED)["vmag"][0].value)
        wanted = config.zero_point_mag - 2.5 * math.log10(mover.flux) + _V_MINUS_R
        return dataclasses.replace(orbit, h_mag=orbit.h_mag + (wanted - seen))
    return None


def follow_orbits(
    rng: np.random.Generator, visits: Sequence[Visit], orbits: Orbits, config: NightConfig
) -> tuple[list[Visit], list[Mover]]:
    """Fields moved to where the catalogue's fast movers are, and those movers.

    Parameters
    ----------
    rng
        Chooses the movers that fields are pointed at.
    visits
        Of the night, in order of time.
    orbits
        The catalogue.
    config
        Of the night: pixel scale, exposure, zero point and shortest trail.

    Returns
    -------
    visits : list of Visit
        The same visits at other places of the sky.
    movers : list of Mover
        For each field, every fast mover of the catalogue, brighter than V = 21.

    Raises
    ------
    ConfigError
        If no orbit of the catalogue leaves a bright streak that night.
    """
    from streaks.known import predict

    middle = visits[len(visits) // 2].start
    table = predict(orbits, middle, OBSERVATORY, dynamics=_dynamics_of(orbits, middle))
    rate = table["rate"].to_value("arcsec/s")
    mag = table["vmag"].to_value("mag")
    shortest = config.asteroid_length_px[0] * config.pixel_scale_arcsec / config.exposure_s
    dec = table["dec"].to_value("deg")
    fast = np.flatnonzero((rate >= shortest) & (mag < 21.0) & (dec > -30))
    if fast.size == 0:
        raise ConfigError(
            f"none of the {len(orbits)} orbits leaves a streak of {config.asteroid_length_px[0]:g} "
            f"px above V = 21 on {middle.isot[:10]}; give other orbits or another seed"
        )
    fields = 1 + max(visit.field for visit in visits)
    targets = [int(fast[k % fast.size]) for k in rng.permutation(max(fields, fast.size))[:fields]]
    visits = [
        dataclasses.replace(
            visit,
            ra_deg=float(table["ra"][targets[visit.field]].value),
            dec_deg=float(table["dec"][targets[visit.field]].value),
        )
        for visit in visits
    ]
    movers = [
        Mover(
            field,
            float(table["ra"][k].value),
            float(table["dec"][k].value),
            float(rate[k]),
            float(table["pa"][k].value),
            middle,
            10 ** (0.4 * (config.zero_point_mag - (float(mag[k]) - _V_MINUS_R))),
            str(orbits.designation[k]),
        )
        for field in range(fields)
        for k in fast
    ]
    return visits, movers


def where(
    mover: Mover, visit: Visit, known: Orbits | None, config: NightConfig
) -> tuple[float, float, float, float]:
    """Place, rate and direction at mid-exposure: ra, dec, rate, pa.

    Parameters
    ----------
    mover
        What moves.
    visit
        When.
    known
        Orbits, for a mover with a designation; None where there are none.
    config
        Of the night: exposure time.

    Returns
    -------
    ra, dec : float, deg
        ICRS.
    rate : float, arcsec/s
    pa : float, deg
        Direction of motion, east of north.
    """
    time = middle_of(visit, config)
    if mover.designation and known is not None:
        from streaks.known import predict

        own = known.select(known.designation == mover.designation)
        row = predict(own, time, OBSERVATORY, dynamics=_dynamics_of(known, time))
        return (
            float(row["ra"][0].value),
            float(row["dec"][0].value),
            float(row["rate"][0].to_value("arcsec/s")),
            float(row["pa"][0].value),
        )
    gone = mover.rate_arcsec_per_s * float((time - mover.time).sec)
    ra, dec = moved(mover.ra_deg, mover.dec_deg, mover.pa_deg, gone)
    return ra, dec, mover.rate_arcsec_per_s, mover.pa_deg


def _dynamics_of(orbits: Orbits, time: Time) -> str:
    """What the night's match follows these orbits with."""
    days = np.abs(orbits.epoch_jd - float(time.tdb.jd))
    return _INVENTED if np.all(days <= _TWO_BODY_DAYS) else "n-body"


def is_inside(segment: Segment, shape: tuple[int, int]) -> bool:
    ny, nx = shape
    xs, ys = (segment.x0, segment.x1), (segment.y0, segment.y1)
    return (
        min(xs) > EDGE_PX
        and max(xs) < nx - 1 - EDGE_PX
        and min(ys) > EDGE_PX
        and max(ys) < ny - 1 - EDGE_PX
    )
