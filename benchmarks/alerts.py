"""Alerts a second through `streaks alerts filter`, end to end, with a catalogue of many orbits.

Packets are made: ZTF's fields, three gzipped stamps of 63 px each; of ten, eight are points of
S/N 5 to 60, one is a trail, one a dipole. They lie in Avro files of a thousand, from exposures of
one night, and one in ten is at a known object. With --real, the packets of a folder are taken
instead, over and over with other numbers. Nothing is kept but asteroids (the condition).

    python -m benchmarks.alerts [--n 20000] [--orbits 200000] [--workers 2] [--real FOLDER]

Prints alerts a second by the clock and by the processors' time of all processes, and the memory of
all processes on the way.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.time import Time

from streaks.known import Orbits, read_orbits
from streaks.known.catalogues import write_catalogue
from streaks.known.index import prepare_night
from streaks.models import load_classifier
from streaks.readers.alerts import file_packets
from streaks.streams import AlertFilter, FilterCounts, run_filter
from streaks.streams.sources import FileSource
from tests.made_alerts import ZTF_SCHEMA, image_with, stamp_bytes, write_avro, ztf_record

NIGHT_JD = 2461000.5 + 0.3
PER_FILE = 1000


def made_orbits(n: int, rng: np.random.Generator) -> Orbits:
    """A main belt of n random orbits, epoch near the night."""
    a, e = rng.uniform(2.1, 3.3, n), rng.uniform(0.0, 0.25, n)
    names = np.array([str(k + 1) for k in range(n)])
    return Orbits(
        designation=names, name=np.array([f"({k}) Made{k}" for k in names]),
        h_mag=rng.uniform(13.0, 19.0, n), g_slope=np.full(n, 0.15),
        epoch_jd=np.full(n, 2461000.5), q_au=a * (1.0 - e), e=e,
        incl_rad=np.radians(np.abs(rng.normal(0.0, 8.0, n))),
        node_rad=rng.uniform(0.0, 2.0 * np.pi, n), argperi_rad=rng.uniform(0.0, 2.0 * np.pi, n),
        tp_jd=2461000.5 + rng.uniform(-600.0, 600.0, n), uncertainty=np.zeros(n),
    )  # fmt: skip


def made_packets(n: int, catalogue: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Packets of exposures of a night: 400 an exposure, one in ten at a known object."""
    stamps = [made_stamp(k, rng) for k in range(200)]
    beside = stamp_bytes(rng.normal(200.0, 10.0, (63, 63)))
    time_of_night = Time(NIGHT_JD, format="jd", scale="utc")
    night = prepare_night(read_orbits(catalogue), time_of_night, "I41")
    for k in range(n):
        if k % 400 == 0:
            jd = NIGHT_JD - 0.2 + 0.0004 * (k // 400 % 1000)
            ra, dec = rng.uniform(0.0, 360.0), rng.uniform(-20.0, 20.0)
            middle = Time(jd + 15.0 / 86_400.0, format="jd", scale="utc")
            there = night.near(ra, dec, 3600.0 * 1.5, middle)
        place = {"ra": ra + rng.uniform(-1.0, 1.0), "dec": dec + rng.uniform(-1.0, 1.0)}
        if k % 10 == 0 and len(there):
            row = there[int(rng.integers(len(there)))]
            place = {
                "ra": float(row["ra"].value),
                "dec": float(row["dec"].value),
                "ssdistnr": 0.0,
                "ssmagnr": float(row["vmag"].value),
                "ssnamenr": str(row["designation"]),
            }
        record = ztf_record(k + 1, jd=jd, **place)
        cutout = {"fileName": "x", "stampData": stamps[k % len(stamps)]}
        other = {"fileName": "y", "stampData": beside}
        yield {**record, "cutoutDifference": cutout, "cutoutScience": other,
               "cutoutTemplate": other}  # fmt: skip


def made_stamp(k: int, rng: np.random.Generator) -> bytes:
    """Of ten stamps eight points, a trail, a dipole."""
    snr = float(np.clip(5.0 + rng.exponential(10.0), 5.0, 60.0))
    if k % 10 == 8:
        return stamp_bytes(image_with(float(rng.uniform(5.0, 30.0)), 25.0, seed=k))
    image = image_with(0.0, snr, seed=k)
    if k % 10 == 9:
        image -= np.roll(image_with(0.0, snr, seed=k), 2, axis=0)
    return stamp_bytes(image)


def schema_with_all_stamps() -> dict[str, Any]:
    schema = {**ZTF_SCHEMA, "fields": list(ZTF_SCHEMA["fields"])}
    for name in ("cutoutScience", "cutoutTemplate"):
        schema["fields"].append({"name": name, "type": ["null", "cutout"], "default": None})
    return schema


def write_made(folder: Path, n: int, catalogue: Path, rng: np.random.Generator) -> None:
    packets, schema = made_packets(n, catalogue, rng), schema_with_all_stamps()
    for number in range(-(-n // PER_FILE)):
        some = [p for _, p in zip(range(PER_FILE), packets, strict=False)]
        write_avro(folder / f"{number:05d}.avro", some, schema)


def write_real(folder: Path, n: int, source: Path) -> None:
    """Real packets over and over, each time under another number."""
    import json

    found = [p for f in sorted(source.rglob("*.avro")) for p in file_packets(f)]
    packets = [p for p in found if getattr(p, "raw", b"")]
    by_schema: dict[bytes, list[Any]] = {}
    for packet in packets:
        by_schema.setdefault(packet.schema, []).append(packet.record)
    number = 0
    while number < n:
        for k, (schema, records) in enumerate(by_schema.items()):
            renumbered = []
            for record in records:
                number += 1
                # All of one night: packets of years would each wait for their night's orbits.
                jd = NIGHT_JD - 0.2 + 0.0004 * (number // 400 % 1000)
                inner = {**record["candidate"], "candid": number, "jd": jd}
                renumbered.append({**record, "candid": number, "candidate": inner})
            path = folder / f"{number:08d}_{k}.avro"
            write_avro(path, renumbered, json.loads(schema))


def cpu_seconds() -> float:
    """Of this process and its children, those at work included."""
    own, ended = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    ticks = os.sysconf("SC_CLK_TCK")
    return total + sum((int(f[11]) + int(f[12])) / ticks for f in children())


def memory_mb() -> float:
    """Resident memory of this process and its children."""
    pages = sum(int(fields[21]) for fields in children())
    pages += int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def children() -> list[list[str]]:
    """Fields of ``/proc/PID/stat`` from the state on, of each child."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(os.getpid()):
            found.append(fields)
    return found


def main() -> None:
    """Make packets, run the filter, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--orbits", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--where", default="is_positive and label == 'asteroid'")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("STREAKS_CACHE", str(folder / "cache"))
        catalogue = folder / "orbits.npz"
        write_catalogue(made_orbits(options.orbits, rng), catalogue, {})
        (folder / "in").mkdir()
        if options.real is None:
            write_made(folder / "in", options.n, catalogue, rng)
        else:
            write_real(folder / "in", options.n, options.real)
        run(folder, catalogue, options)


def run(folder: Path, catalogue: Path, options: argparse.Namespace) -> None:
    """One filter; figures without and with what is loaded and compiled at the start."""
    seen: list[tuple[int, float, float]] = []

    def note(counts: FilterCounts) -> None:
        seen.append((counts.alerts, time.perf_counter(), cpu_seconds()))
        told = f"{seen[-1][1] - began:7.1f} s {seen[-1][2] - cpu:7.1f} CPU s {memory_mb():6.0f} MB"
        print(f"{counts.alerts:8d} alerts {told}")

    plan = AlertFilter(
        where=options.where, classifier="default", orbits=catalogue,
        load_classifier=functools.partial(load_classifier, "default"),
    )  # fmt: skip
    cpu, began = cpu_seconds(), time.perf_counter()
    counts = run_filter(
        plan, FileSource([folder / "in"]), folder / "out.avro", workers=options.workers,
        progress=note,
    )  # fmt: skip
    wall, total = time.perf_counter() - began, cpu_seconds() - cpu
    print(f"{counts}; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"with the start: {counts.alerts / wall:.0f} alerts/s, {total:.0f} CPU s")
    # Both processes have what they load and compile by their second batch.
    first = next((k for k, one in enumerate(seen) if one[0] >= 1000), 0)
    if len(seen) > first + 1:
        n, seconds, busy = (b - a for a, b in zip(seen[first], seen[-1], strict=True))
        print(
            f"after it: {n / seconds:.0f} alerts/s by the clock, {1e3 * busy / n:.2f} ms CPU each: "
            f"{2.0 * n / busy:.0f} alerts/s on two cores of its own"
        )


if __name__ == "__main__":
    main()
