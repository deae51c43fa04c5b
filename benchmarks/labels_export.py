"""How long a set of subjects takes to export, and whether it keeps what it promises.

A night's folder is made whose frames hold trails in noise, stars, and near-duplicates (a quarter of
all, as in a real campaign: 24 of 107). `streaks labels export` makes a set of it, in a process of
its own. Wall time and processor time are told, the largest picture, empty cells, and pairs of
subjects that are of one thing.

    python -m benchmarks.labels_export --subjects 5000 --gold 0.05
    python -m benchmarks.labels_export --subjects 5000 --layout frames
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from streaks.cutouts import Cutouts
from streaks.labelling.things import Places, near_pairs
from streaks.night_folder import NightFolder
from streaks.night_folder.frame_results import save_cutouts
from streaks.reporting import write_table
from streaks.tables import (
    CLASS_COLUMNS,
    CLASSES,
    MATCH_COLUMNS,
    NIGHT_COLUMNS,
    STREAK_COLUMNS,
    build_table,
)
from streaks.tracklets import TRACKLET_COLUMNS

__all__ = ["main", "make_night"]

_COMMAND = "from streaks.cli import main; main()"
_SIDE = 128
#: Places on a chip of 3072 x 3080 px, 300 px apart: none is near another.
_GRID = [(200 + 300 * i, 200 + 300 * j) for i in range(9) for j in range(9)]
_DUPLICATES = 0.25


def make_night(folder: Path, n_things: int, seed: int = 1) -> None:
    """A night's folder of so many things, and a quarter more of streaks.

    Parameters
    ----------
    folder
        Made.
    n_things
        Things that volunteers should see once each.
    seed
        Of all.
    """
    rng = np.random.default_rng(seed)
    night = NightFolder(folder)
    folder.mkdir(parents=True)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("streak_id", "image", "x", "y", "length", "theta", "label")
    }
    images: list[str] = []
    made = 0
    while made < n_things:
        image = f"ztf_20240301{len(images):06d}_000700_zr_c{1 + len(images) % 16:02d}_o_q1"
        images.append(image)
        here = []
        for x, y in _GRID[: n_things - made]:
            made += 1
            place = x + rng.uniform(-20, 20), y + rng.uniform(-20, 20)
            line = rng.uniform(8, 50), rng.uniform(0, 180)
            here.append((*place, *line))
            if rng.random() < _DUPLICATES:
                here.append((place[0] + rng.normal(0, 8), place[1] + rng.normal(0, 8), *line))
        for k, (x, y, length, theta) in enumerate(here):
            values = (f"{image}_{k:04d}", image, x, y, length, theta, CLASSES[int(rng.integers(7))])
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
        names = tuple(rows["streak_id"][-len(here) :])
        save_cutouts(night.cutouts(image), _cutouts(rng, names, here))
    write_table(_streaks(rows, rng), night.streaks)
    write_table(_frames(images), night.frames)
    write_table(build_table(TRACKLET_COLUMNS, {s.name: [] for s in TRACKLET_COLUMNS}),
                night.tracklets)  # fmt: skip
    night.settings.write_text(json.dumps({"settings": {}, "version": "0"}))


def _cutouts(
    rng: np.random.Generator, names: tuple[str, ...], here: list[tuple[float, ...]]
) -> Cutouts:
    n = len(names)
    difference, science, reference = (
        rng.normal(0, sigma, (n, _SIDE, _SIDE)).astype(np.float32) for sigma in (12, 18, 5)
    )
    yy, xx = np.mgrid[:_SIDE, :_SIDE] - _SIDE // 2
    for i, (_, _, length, theta) in enumerate(here):
        along = xx * np.cos(np.radians(theta)) + yy * np.sin(np.radians(theta))
        across = yy * np.cos(np.radians(theta)) - xx * np.sin(np.radians(theta))
        beyond = np.maximum(np.abs(along) - length / 2, 0)
        trail = 40 * np.exp(-(across**2 + beyond**2) / (2 * 1.1**2))
        difference[i] += trail
        science[i] += trail
        for _ in range(12):
            x, y = rng.uniform(-60, 60, 2)
            star = rng.uniform(50, 3000) * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 2.4)
            science[i] += star
            reference[i] += star
    mask = np.zeros((n, _SIDE, _SIDE), bool)
    mask[rng.random(n) < 0.13, :, 100:] = True
    difference[mask] = 0
    return Cutouts(difference, mask, names, science, reference)


def _streaks(rows: dict[str, list[Any]], rng: np.random.Generator) -> QTable:
    n = len(rows["x"])
    specs = (*STREAK_COLUMNS, *CLASS_COLUMNS, *MATCH_COLUMNS, *NIGHT_COLUMNS)
    values: dict[str, Any] = {
        spec.name: np.full(n, np.nan) if spec.dtype is float else np.zeros(n, np.int64)
        for spec in specs
    }
    x, y, length, theta = (np.array(rows[k]) for k in ("x", "y", "length", "theta"))
    dx, dy = length * np.cos(np.radians(theta)) / 2, length * np.sin(np.radians(theta)) / 2
    values |= rows | {"x0": x - dx, "x1": x + dx, "y0": y - dy, "y1": y + dy}
    values |= {"score": rng.uniform(6, 30, n), "snr": rng.uniform(6, 60, n)}
    values |= {"rb": rng.random(n), "ssnamenr": ["null"] * n, "time": [""] * n}
    values |= {"sat_name": [""] * n, "tracklet": [""] * n}
    return build_table(specs, values)


def _frames(images: list[str]) -> QTable:
    table = QTable()
    table["image"] = images
    table["state"] = ["done"] * len(images)
    for name, value in {"field": "700", "ccd": "1", "path": "", "time": ""}.items():
        table[name] = [value] * len(images)
    return table


def measure(night: Path, out: Path, options: list[str]) -> dict[str, Any]:
    """Export once, in a process of its own.

    Parameters
    ----------
    night
        Folder of a night.
    out
        New folder for the set.
    options
        More of the command line.

    Returns
    -------
    dict
        Seconds, and what the set holds.
    """
    command = [sys.executable, "-c", _COMMAND, "labels", "export", str(night), "-o", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--json", *options], check=True, capture_output=True, text=True
    )
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads(done.stdout)
    return {
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_mb": after.ru_maxrss // 1024,
        **{name: told[name] for name in ("subjects", "gold", "pictures", "left_out")},
        **look_at(out),
    }


def look_at(folder: Path) -> dict[str, Any]:
    """What a set holds: sizes, empty cells, pairs of one thing.

    Parameters
    ----------
    folder
        Of a set.

    Returns
    -------
    dict
    """
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    by_image: dict[str, list[dict[str, str]]] = {}
    for line in lines:
        if line["#image"] != "unknown":
            by_image.setdefault(line["#image"], []).append(line)
    pairs = 0
    for here in by_image.values():
        numbers = [
            np.array([float(line[f"#{k}"]) for line in here])
            for k in ("x", "y", "x0", "y0", "x1", "y1")
        ]
        places = Places(*numbers)
        distance = np.hypot(*(v[:, None] - v for v in (places.x, places.y)))
        both = near_pairs(places, places, 40.0) | (distance <= 40.0)
        pairs += int((both.sum() - len(here)) // 2)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.suffix == ".png"]
    return {
        "largest_kb": round(max(sizes) / 1000, 1),
        "mean_kb": round(sum(sizes) / len(sizes) / 1000, 1),
        "empty_cells": sum(not (cell or "").strip() for line in lines for cell in line.values()),
        "pairs_of_one_thing": pairs,
        "keys_twice": len(lines) - len({line["#streaks_key"] for line in lines}),
    }


def main() -> None:
    """Make the night, export, print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--subjects", type=int, default=5000)
    parser.add_argument("--gold", type=float, default=0.0)
    parser.add_argument("--layout", default="strip", choices=["strip", "frames"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, help="where the night goes and stays")
    chosen = parser.parse_args()
    n_things = round(chosen.subjects * (1 - chosen.gold))
    with tempfile.TemporaryDirectory() as scratch:
        night = (chosen.work or Path(scratch)) / f"night-{n_things}"
        if not NightFolder(night).settings.is_file():
            make_night(night, n_things)
        options = ["--layout", chosen.layout, "--workers", str(chosen.workers)]
        if chosen.gold:
            options += ["--gold", str(chosen.gold)]
        options += ["--campaign", str(Path(scratch) / "campaign")]
        told = measure(night, Path(scratch) / "set", options)
    load = os.getloadavg()
    print(json.dumps({
        **told, "machine": platform.machine(), "cpus": os.cpu_count(),
        "load": [round(v, 1) for v in load],
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
