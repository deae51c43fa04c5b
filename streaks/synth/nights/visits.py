"""Which fields a simulated night sees, and when."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.time import Time, TimeDelta

from streaks.synth.drawing.scene import Conditions
from streaks.synth.nights.frames import NightConfig, draw_frame_conditions
from streaks.synth.nights.sky_geometry import pointing_header

__all__ = [
    "GAP_S",
    "OBSERVATORY",
    "Visit",
    "header_of",
    "image_name",
    "middle_of",
    "plan_visits",
    "seed_of",
]

OBSERVATORY = "I41"
#: Visits of one field follow each other by this much: a few minutes, as for tracklets.
GAP_S = 180.0
_OVERHEAD_S = 10.0  # between ZTF's exposures (Bellm et al. 2019, PASP 131, 018002)
#: Frames of one field after the other: three visits, two, one.
_VISITS = (3, 2, 1)


@dataclass(frozen=True)
class Visit:
    """One exposure of one field.

    Parameters
    ----------
    field
        Running number of the field in the night, from 0.
    field_id
        ZTF's number of the field.
    name
        ``ztf_{stamp}_{field}_{filter}_{ccd}_o_{quadrant}``, as ZTF names its files.
    start
        Shutter open, UTC.
    ra_deg, dec_deg
        Of the image's centre, ICRS.
    conditions
        Of the exposure.
    """

    field: int
    field_id: int
    name: str
    start: Time
    ra_deg: float
    dec_deg: float
    conditions: Conditions


def seed_of(seed: int, *names: str) -> int:
    """A seed of its own for a frame or field, from the night's seed and its name.

    Parameters
    ----------
    seed
        Of the night.
    *names
        Of the frame or field.

    Returns
    -------
    int
        64 bits.
    """
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def plan_visits(rng: np.random.Generator, frames: int) -> list[Visit]:
    """Fields near the point opposite to the Sun, each visited a few times in a row.

    Parameters
    ----------
    rng
        Source of randomness.
    frames
        Exposures in all.

    Returns
    -------
    list of Visit
        In order of time.
    """
    day = int(rng.integers(58202, 59200))  # MJD; 2018-03-25 to 2020-12-17
    start = Time(day + rng.uniform(4.5, 9.0) / 24.0, format="mjd", scale="utc")
    visits: list[Visit] = []
    at, field = 0.0, 0
    while len(visits) < frames:
        n = min(_VISITS[field % len(_VISITS)], frames - len(visits))
        field_id = int(rng.integers(245, 1896))
        ra, dec = _draw_pointing(rng, float(start.mjd))
        conditions = draw_frame_conditions(rng)
        for k in range(n):
            time = start + TimeDelta(at + k * GAP_S, format="sec")
            name = f"ztf_{_stamp(time)}_{field_id:06d}_zr_c{1 + field % 16:02d}_o_q{1 + field % 4}"
            visits.append(Visit(field, field_id, name, time, ra, dec, conditions))
        at += (n - 1) * GAP_S + 30.0 + _OVERHEAD_S
        field += 1
    return visits


def _draw_pointing(rng: np.random.Generator, mjd: float) -> tuple[float, float]:
    # The Sun's mean longitude is 280.46 deg at J2000 and gains 0.98565 deg a day: good to 2 deg.
    longitude = math.radians((280.46 + 0.9856474 * (mjd - 51544.5) + 180.0) % 360.0)
    tilt = math.radians(23.44)
    ra = math.degrees(math.atan2(math.cos(tilt) * math.sin(longitude), math.cos(longitude)))
    dec = math.degrees(math.asin(math.sin(tilt) * math.sin(longitude)))
    return (ra + rng.uniform(-35, 35)) % 360.0, float(np.clip(dec + rng.uniform(-15, 35), -25, 60))


def _stamp(time: Time) -> str:
    """YYYYMMDD and the fraction of the day in six digits, as in ZTF's file names."""
    day = math.floor(float(time.mjd))
    date = Time(day, format="mjd", scale="utc").strftime("%Y%m%d")
    return f"{date}{int((float(time.mjd) - day) * 1e6):06d}"


def header_of(visit: Visit, shape: tuple[int, int], config: NightConfig) -> fits.Header:
    spin = seed_of(0, str(visit.field_id)) % 1000 / 1000.0 - 0.5
    return pointing_header(
        visit.ra_deg,
        visit.dec_deg,
        shape,
        scale_arcsec=config.pixel_scale_arcsec,
        rotation_deg=0.6 * spin,
        distortion=5e-5,
    )


def middle_of(visit: Visit, config: NightConfig) -> Time:
    return visit.start + TimeDelta(0.5 * config.exposure_s, format="sec")


def image_name(visit: Visit) -> str:
    return f"{visit.name}_scimrefdiffimg"
