"""A night at scale: simulated ZTF quadrants with everything on, at two workers.

Frames of 3072 x 3080 px, Rice-compressed, with mask, science image, reference and clutter, are
made once (`--sky`), matched with a catalogue of 100,000 orbits, classified, drawn and reported.
Prints frames a second of the frames' work and of the whole run, memory of each worker as the
night goes on, and the share of time of each stage; with `--dask`, the same on 1 and 2 processes of
a local Dask cluster.

    python benchmarks/night_scale.py --frames 200 --workers 2 --sky FOLDER --out FOLDER
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import shutil
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from streaks.known import Orbits, read_orbits, stack_orbits, write_mpcorb
from streaks.models import load_classifier
from streaks.night import NightRun, read_night, run_night, write_night_report
from streaks.search import Search
from streaks.synth import make_night

SHAPE = (3080, 3072)


def main() -> None:
    given = _arguments()
    sky = Path(given.sky)
    if not sky.is_dir():
        start = time.perf_counter()
        make_night(sky, frames=given.frames, seed=given.seed, shape=SHAPE, workers=given.workers)
        print(f"{given.frames} frames made in {time.perf_counter() - start:.0f} s")
    catalogue = _catalogue(sky, given.orbits, given.seed)
    images = sorted(sky.glob("*_scimrefdiffimg.fits*"))[: given.frames]
    search = functools.partial(_search, images, catalogue, given.model)
    yardstick, before = _yardstick_s(images[0]), _cpu_s()
    run, report_s = search(Path(given.out), workers=given.workers)
    print_run(run, report_s, given.workers, _cpu_s() - before)
    print(
        "CPU seconds to read this night's first image with astropy, before and after: "
        f"{yardstick:.3f}, {_yardstick_s(images[0]):.3f}"
    )
    if given.dask:
        compare_dask(search, Path(given.out))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--orbits", type=int, default=100_000)
    parser.add_argument("--model", default="default")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--sky", default="night-scale-sky")
    parser.add_argument("--out", default="night-scale-out")
    parser.add_argument("--dask", action="store_true", help="also on a local Dask cluster")
    return parser.parse_args()


def _catalogue(sky: Path, count: int, seed: int) -> Path:
    """The night's own orbits among invented ones of the main belt, as a file."""
    path = sky / f"orbits-{count}.dat"
    if not path.exists():
        own = read_orbits(sky / "orbits.dat")
        write_mpcorb(stack_orbits([own, _main_belt(count - len(own), seed, own)]), path)
    return path


def _main_belt(count: int, seed: int, like: Orbits) -> Orbits:
    rng = np.random.default_rng(seed)
    a, e = rng.uniform(2.1, 3.3, count), rng.rayleigh(0.1, count).clip(0, 0.6)
    epoch = np.full(count, float(like.epoch_jd[0]))
    turns = {name: rng.uniform(0, 2 * np.pi, count) for name in ("node_rad", "argperi_rad")}
    period = 365.25 * a**1.5
    names = np.arange(100_001, 100_001 + count).astype(str)
    return Orbits(
        designation=names,
        name=np.char.add(np.char.add("(", names), ")"),
        h_mag=rng.normal(16.5, 1.2, count),
        g_slope=np.full(count, 0.15),
        epoch_jd=epoch,
        q_au=a * (1 - e),
        e=e,
        incl_rad=rng.rayleigh(0.12, count).clip(0, 1.0),
        tp_jd=epoch + rng.uniform(-0.5, 0.5, count) * period,
        uncertainty=np.zeros(count),
        **turns,
    )


def _search(
    images: list[Path], catalogue: Path, model: str, out: Path, **how: object
) -> tuple[NightRun, float]:
    """The run, and seconds that the report took."""
    shutil.rmtree(out, ignore_errors=True)
    run = run_night(
        images,
        out,
        Search(
            load_classifier=functools.partial(load_classifier, model),
            classifier=model,
            orbits=catalogue,
        ),
        **how,  # type: ignore[arg-type]
    )
    start = time.perf_counter()
    write_night_report(read_night(out), seconds=run.seconds)
    return run, time.perf_counter() - start


def _cpu_s() -> float:
    """CPU seconds of this process and of its workers that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _yardstick_s(image: Path) -> float:
    """What the pixels of one image alone take here and now: machines are shared and their speed
    varies by half within an hour."""
    from astropy.io import fits

    spent = []
    for _ in range(7):
        start = time.process_time()
        with fits.open(image) as hdus:
            float(hdus[-1].data.sum())
        spent.append(time.process_time() - start)
    return sorted(spent)[len(spent) // 2]


def print_run(run: NightRun, report_s: float, workers: int, cpu_s: float) -> None:
    frames = [line for line in _log(run) if line["event"] == "frame"]
    first, last = (_seconds(frames[i]["time"]) for i in (0, -1))
    pace = (len(frames) - 1) / (last - first) if len(frames) > 1 else float("nan")
    print(f"\n{run.n_done} of {run.n_frames} frames, {workers} workers, {run.n_streaks} streaks, ")
    print(f"{run.n_tracklets} tracklets; {len(run.failures)} failed")
    print(f"frames/s from the first frame to the last: {pace:.3f}")
    print(f"frames/s of the whole run and its report:  {run.n_done / (run.seconds + report_s):.3f}")
    # What the clock cannot tell on a machine that others use.
    each = cpu_s / run.n_done
    print(f"CPU seconds a frame, of all processes from start to report: {each:.3f}")
    print(
        f"frames/s of {workers} cores of one's own: {workers / each:.3f}; report {report_s:.1f} s"
    )
    _print_stages(frames)
    _print_memory(frames)


def _print_stages(frames: list[dict]) -> None:
    """Means over all frames but each worker's first, which loads and prepares."""
    warm = _without_first(frames) or frames
    seconds: dict[str, list[float]] = defaultdict(list)
    for line in warm:
        for stage, value in line["cpu_stages"].items():
            seconds[stage].append(value)
    each = {stage: sum(values) / len(warm) for stage, values in seconds.items()}
    print(f"\n{'stage':10} {'CPU s a frame':>13} {'share':>6}")
    for stage, value in sorted(each.items(), key=lambda item: -item[1]):
        print(f"{stage:10} {value:13.3f} {value / sum(each.values()):6.1%}")
    cpu = [line["cpu_s"] for line in warm]
    print(f"{'all':10} {np.mean(cpu):13.3f}  (median {np.median(cpu):.3f})")


def _without_first(frames: list[dict]) -> list[dict]:
    seen: set[str] = set()
    kept = []
    for line in frames:
        if line.get("worker") in seen:
            kept.append(line)
        seen.add(line.get("worker", ""))
    return [line for line in kept if line.get("cpu_stages")]


def _print_memory(frames: list[dict]) -> None:
    by_worker: dict[str, list[float]] = defaultdict(list)
    for line in frames:
        if line.get("worker"):
            by_worker[line["worker"]].append(line["memory_mb"])
    peak = max((line["peak_mb"] for line in frames if line.get("peak_mb")), default=float("nan"))
    print(f"\nmemory of each worker, MiB, at its frames; peak of any {peak:.0f}")
    for worker, held in sorted(by_worker.items()):
        marks = sorted({*range(0, len(held), max(1, len(held) // 8)), len(held) - 1})
        print(f"{worker}: " + ", ".join(f"{i + 1}: {held[i]:.0f}" for i in marks))


def compare_dask(search: functools.partial, out: Path) -> None:
    from streaks.night.workers.dask_cluster import dask_engine

    rates, cpu = {}, {}
    for workers in (1, 2):
        run, _ = search(
            out.with_name(f"{out.name}-dask{workers}"),
            engine=dask_engine(cluster="local", workers=workers),
        )
        frames = [line for line in _log(run) if line["event"] == "frame"]
        # Without start-up, which a long night does not feel: from each worker's first frame on.
        first, last = (_seconds(frames[i]["time"]) for i in (workers - 1, -1))
        rates[workers] = (len(frames) - workers) / (last - first)
        cpu[workers] = float(np.median([line["cpu_s"] for line in frames][workers:]))
        same = run.folder.streaks.read_bytes() == (out / "streaks.parquet").read_bytes()
        print(
            f"Dask, {workers} processes: {rates[workers]:.3f} frames/s, "
            f"{cpu[workers]:.3f} CPU s a frame; same table: {same}"
        )
    print(f"efficiency at 2 by the clock: {rates[2] / (2 * rates[1]):.2f}")
    # On a machine that others use, the clock tells of them; CPU time tells of us.
    print(f"efficiency at 2 by CPU time:  {cpu[1] / cpu[2]:.2f}")


def _log(run: NightRun) -> list[dict]:
    return [json.loads(line) for line in run.folder.log.read_text().splitlines()]


def _seconds(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp).timestamp()


if __name__ == "__main__":
    main()
