"""Known objects at full scale: a night of 1000 exposures against 1.45 million orbits.

The orbits are real ones spread by a seed: angles turned at random, sizes and shapes changed by a
percent; among them near-Earth asteroids, and bodies put within 0.02 au of the Earth or moving up
to 40 degrees a day. Prints set-up (CPU s), time an exposure of 47 square degrees, peak memory,
and, on some fields, what a plain look at every orbit finds and the index does not.

    python benchmarks/known_scale.py [--orbits 1450000] [--exposures 1000] [--fields 40]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.time import Time

from streaks.known import (
    NBody,
    Orbits,
    near,
    open_ephemeris,
    orbit_through,
    predict,
    prepare_night,
    read_orbits,
    stack_orbits,
)
from streaks.known.index import NightIndex
from streaks.known.places import predictions_from_states
from streaks.matching import separation_arcsec

#: 47 square degrees, the field of a ZTF exposure, as a circle.
RADIUS_ARCSEC = 3600.0 * np.degrees(np.arccos(1.0 - 47.0 / (2.0 * 180.0 / np.pi * 360.0)))
_NEAR_EARTH = 400
_NAMES = ("mpcorb_named_22304_K25BL.dat.gz", "NEA_K1972_20060.txt.gz")


def spread(real: Orbits, count: int, rng: np.random.Generator) -> Orbits:
    """Orbits like the real ones, as many as asked."""
    row = rng.integers(0, len(real), count)
    turned = {
        name: np.mod(getattr(real, name)[row] + rng.normal(0.0, 0.5, count), 2.0 * np.pi)
        for name in ("node_rad", "argperi_rad")
    }
    e = np.clip(real.e[row] * rng.normal(1.0, 0.01, count), 0.0, 0.97)
    q = real.a_au[row] * rng.normal(1.0, 0.01, count) * (1.0 - e)
    incl = np.clip(real.incl_rad[row] * rng.normal(1.0, 0.02, count), 0.0, np.pi)
    period = 365.25 * np.abs(q / (1.0 - e)) ** 1.5
    names = np.char.add("S", np.arange(count).astype(str))
    return Orbits(
        designation=names,
        name=names,
        h_mag=real.h_mag[row] + rng.exponential(2.0, count),
        g_slope=real.g_slope[row],
        epoch_jd=np.full(count, np.median(real.epoch_jd)),
        q_au=q,
        e=e,
        incl_rad=incl,
        tp_jd=real.tp_jd[row] + rng.random(count) * period,
        uncertainty=np.zeros(count),
        **turned,
    )


def near_earth(when: Time, rng: np.random.Generator) -> Orbits:
    """Bodies within 0.003 to 0.05 au on that night, some at 40 degrees a day."""
    made = []
    while len(made) < _NEAR_EARTH:
        distance = 10.0 ** rng.uniform(np.log10(0.003), np.log10(0.05))
        rate = min(10.0 ** rng.uniform(-1.5, np.log10(1.667)), 0.009 / distance)
        # Not faster than 6.5 km/s across: bound to the Sun, whatever the direction.
        one = orbit_through(
            rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1))), rate,
            rng.uniform(0, 360), when, distance, name="2018 AA", h_mag=22.0,
        )  # fmt: skip
        made.append(replace(one, designation=np.array([f"N{len(made)}"]),
                            name=np.array([f"N{len(made)}"])))  # fmt: skip
    return stack_orbits(made)


def catalogue(folder: Path, count: int, rng: np.random.Generator) -> Orbits:
    main, nea = (read_orbits(folder / "orbits" / name) for name in _NAMES)
    n_nea = max(200, count // 40)
    nea = replace(nea, epoch_jd=np.full(len(nea), np.median(main.epoch_jd)))
    return stack_orbits([spread(main, count - n_nea, rng), spread(nea, n_nea, rng)])


def fields(count: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Places a survey in the north points at."""
    sine = rng.uniform(np.sin(np.radians(-30)), 1.0, count)
    return list(zip(rng.uniform(0, 360, count), np.degrees(np.arcsin(sine)), strict=True))


def missed_by_index(
    night: NightIndex, places: list[tuple[float, float]], middle: Time, rng: np.random.Generator
) -> tuple[int, int, int, float, float]:
    """Objects in fields by a look at every orbit, fast and close among them, and what is missed."""
    total = special = missed = 0
    fastest = worst = 0.0
    for ra, dec in places:
        when = Time(middle.jd + rng.uniform(-0.4, 0.4), format="jd", scale="tdb")
        everything = brute_force(night, when)
        there = near(everything, ra, dec, RADIUS_ARCSEC)
        found = night.near(ra, dec, RADIUS_ARCSEC, when)
        rates = there["rate"].to_value("deg / day")
        close = there["delta"].to_value("AU") < 0.02
        total += len(there)
        special += int(np.count_nonzero((rates > 5.0) | close))
        fastest = max(fastest, float(rates.max(initial=0.0)))
        there.sort("name")
        both = found[np.isin(found["name"], there["name"])]
        both.sort("name")
        if len(both) == len(there):
            away = separation_arcsec(
                *(t[c].to_value("deg") for t in (both, there) for c in ("ra", "dec"))
            )
            worst = max(worst, float(away.max(initial=0.0)))
        missed += len(set(there["name"].tolist()) - set(found["name"].tolist()))
    return total, special, missed, fastest, worst


def brute_force(night: NightIndex, when: Time):  # type: ignore[no-untyped-def]
    """Every orbit's exact place: full dynamics from the middle of the night to the exposure."""
    jd = float(when.tdb.jd)
    dynamics = night.dynamics
    assert isinstance(dynamics, NBody)
    states = dynamics.follow(night.orbits, (night.position, night.velocity), night.jd_tdb, jd)
    return predictions_from_states(
        night.orbits, *states, jd, night.observatory, ephemeris=night.ephemeris
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orbits", type=int, default=1_450_000)
    parser.add_argument("--exposures", type=int, default=1000)
    parser.add_argument("--fields", type=int, default=40, help="of the check by brute force")
    parser.add_argument("--brute-orbits", type=int, default=100_000)
    parser.add_argument("--days", type=float, default=100.0, help="from epoch to night")
    parser.add_argument("--limiting-mag", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=6)
    data = Path(os.environ.get("STREAKS_REAL_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    ephemeris = open_ephemeris(given.data / "kernels")
    orbits = catalogue(given.data, given.orbits, rng)
    middle = Time(np.median(orbits.epoch_jd) - given.days, format="jd", scale="tdb")
    # Compilation is kept on disk and not part of any night.
    small = orbits.select(np.arange(50))
    engine = NBody(ephemeris)
    prepare_night(small, middle, dynamics=engine, ephemeris=ephemeris).near(0, 0, 10.0, middle)

    start = time.process_time()
    night = prepare_night(orbits, middle, dynamics=NBody(ephemeris), ephemeris=ephemeris)
    night.near(0.0, 0.0, 10.0, middle)
    print(f"{len(orbits)} orbits, {given.days:g} days from their epoch: set-up "
          f"{time.process_time() - start:.1f} CPU s")  # fmt: skip
    found = 0
    start = time.process_time()
    for ra, dec in fields(given.exposures, rng):
        when = Time(middle.jd + rng.uniform(-0.2, 0.2), format="jd", scale="tdb")
        found += len(night.near(ra, dec, RADIUS_ARCSEC, when, exposure_s=30.0,
                                limiting_mag=given.limiting_mag))  # fmt: skip
    spent = time.process_time() - start
    print(f"{given.exposures} exposures of 47 square degrees: {1e3 * spent / given.exposures:.1f} "
          f"CPU ms each, {found / given.exposures:.0f} objects in the mean")  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB")
    del night

    part = orbits.select(np.sort(rng.permutation(len(orbits))[: given.brute_orbits]))
    close = near_earth(middle, rng)
    mixed = prepare_night(
        stack_orbits([part, close]), middle, dynamics=NBody(ephemeris), ephemeris=ephemeris
    )
    # Half of the fields where bodies pass the Earth: anywhere else there are hardly any.
    aimed = predict(close, middle, "I41")
    places = fields(given.fields - given.fields // 2, rng)
    fastest_first = np.argsort(-aimed["rate"].value)
    for i in [*fastest_first[: given.fields // 4], *range(given.fields // 2 - given.fields // 4)]:
        places.append((aimed["ra"][i].value, aimed["dec"][i].value))
    total, special, missed, fastest, worst = missed_by_index(mixed, places, middle, rng)
    print(f"{given.fields} fields against brute force: {total} objects, {special} of them faster "
          f"than 5 deg/day or nearer than 0.02 au (fastest {fastest:.0f} deg/day), "
          f"{missed} missed; places agree to {worst:.4f} arcsec")  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
