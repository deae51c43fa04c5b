"""Verdicts on thousands of alerts over three years, some of them altered.

Alerts are made of real asteroids at their places seven years before the epoch of the catalogue
(with 0.05 arcsec of noise), 0.1 of each altered in name, position or distance (12 arcsec),
position (40 arcsec), date (1 day) or magnitude (-3), and some with their claims taken away.
Prints what each kind was called, distances, and the time it took.

    python benchmarks/known_alerts.py [--alerts 5000] [--orbits 22304]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
from astropy.table import QTable
from astropy.time import Time

from streaks.known import (
    NBody,
    Orbits,
    check_alerts,
    find_observatory,
    open_ephemeris,
    read_orbits,
)
from streaks.known.places import predictions_from_states

EXPECTED = {
    "untouched": "agree",
    "name": "wrong_name",
    "distance +12": "wrong_distance",
    "position +12": "wrong_distance",
    "position +40": "not_there",
    "date +1": "not_there",
    "magnitude -3": "wrong_magnitude",
    "emptied": "missed",
}


def made_alerts(orbits: Orbits, count: int, engine: NBody, rng: np.random.Generator) -> QTable:
    """Alerts of random asteroids on 25 nights a year, each as the survey would have written it."""
    nights = np.sort(2458300.5 + rng.choice(1100, 75, replace=False))[::-1]
    rows = []
    site = find_observatory("I41")
    for jd in nights:
        start = Time(jd + rng.uniform(0.15, 0.5), format="jd", scale="utc")
        middle = Time(start.jd + 15.0 / 86_400.0, format="jd", scale="utc")
        at = float(middle.tdb.jd)
        few = rng.choice(len(orbits), max(1, count // len(nights)), replace=False)
        states = engine.states(orbits, at)
        some = orbits.select(few)
        seen = predictions_from_states(
            some, states[0][few], states[1][few], at, site, ephemeris=engine.ephemeris
        )
        for k in range(len(few)):
            rows.append(
                (start.jd, seen["ra"][k].value, seen["dec"][k].value, seen["vmag"][k].value,
                 str(seen["designation"][k]))
            )  # fmt: skip
    jd, ra, dec, vmag, name = zip(*rows, strict=True)
    noise = rng.normal(0.0, 0.04, (2, len(rows))) / 3600.0
    kind = rng.choice(list(EXPECTED), len(rows), p=[0.3] + [0.1] * 7)
    dec = np.array(dec) + noise[1]
    ra = np.array(ra) + noise[0] / np.cos(np.radians(dec))
    table = QTable({
        "jd": jd, "ra": ra, "dec": dec, "ssdistnr": np.zeros(len(rows)),
        "ssmagnr": np.round(vmag, 1), "ssnamenr": np.array(name, dtype="U24"), "kind": kind,
    })  # fmt: skip
    return altered(table, rng)


def altered(table: QTable, rng: np.random.Generator) -> QTable:
    kind = table["kind"]
    table["ssnamenr"][kind == "name"] = rng.permutation(table["ssnamenr"])[kind == "name"]
    table["ssdistnr"][kind == "distance +12"] = 12.0
    for what, arcsec in (("position +12", 12.0), ("position +40", 40.0)):
        sign = np.where(table["dec"] > 0, -1.0, 1.0)
        table["dec"][kind == what] += (sign * arcsec / 3600.0)[kind == what]
    table["jd"][kind == "date +1"] += 1.0
    table["ssmagnr"][kind == "magnitude -3"] -= 3.0
    gone = kind == "emptied"
    table["ssdistnr"][gone], table["ssmagnr"][gone], table["ssnamenr"][gone] = (
        -999.0,
        -999.0,
        "null",
    )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alerts", type=int, default=5000)
    parser.add_argument("--orbits", type=int, default=22304)
    parser.add_argument("--seed", type=int, default=6)
    data = Path(os.environ.get("STREAKS_REAL_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    orbits = read_orbits(given.data / "orbits" / "mpcorb_named_22304_K25BL.dat.gz")
    orbits = orbits.select(np.sort(rng.permutation(len(orbits))[: given.orbits]))
    ephemeris = open_ephemeris(given.data / "kernels")
    alerts = made_alerts(orbits, given.alerts, NBody(ephemeris), rng)
    start = time.perf_counter(), time.process_time()
    checked = check_alerts(alerts, orbits, dynamics=NBody(ephemeris), ephemeris=ephemeris)
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    nights = len(set(np.floor(alerts["jd"])))
    print(f"{len(alerts)} alerts on {nights} nights, {len(orbits)} orbits: {spent[0]:.0f} s, "
          f"{spent[1]:.0f} CPU s")  # fmt: skip
    wrong = 0
    for kind, expected in EXPECTED.items():
        verdicts = Counter(checked["verdict"][checked["kind"] == kind])
        wrong += sum(verdicts.values()) - verdicts[expected]
        print(f"  {kind:14} {dict(verdicts)}")
    sep = checked["sep"].to_value("arcsec")[checked["kind"] == "untouched"]
    print(f"distances of the untouched: median {np.median(sep):.3f}, 99 % "
          f"{np.percentile(sep, 99):.3f} arcsec; {wrong} verdicts not as expected")  # fmt: skip
    for row in checked:
        if row["verdict"] != EXPECTED[str(row["kind"])]:
            print("   ", *(row[c] for c in ("kind", "ssnamenr", "name", "sep", "verdict", "note")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
