"""How long a store of nights takes to add to and to ask.

    python -m benchmarks.store [--nights 20] [--streaks 100000] [--docs docs/store.md]

Nights are made from nothing: streaks all over three quarters of the sky, in a night's folder
without pictures. Prints, and writes into the page's marked block, CPU seconds of an add and of
questions, with all files in the system's cache, and bytes a streak.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from streaks.night_folder import NightFolder
from streaks.reporting import write_table
from streaks.store import Cone, Question, add_night, ask, night_trends, repeats_of_chips
from streaks.tables import (
    CLASS_COLUMNS,
    CLASSES,
    MATCH_COLUMNS,
    NIGHT_COLUMNS,
    STREAK_COLUMNS,
    VERDICT_COLUMNS,
    build_table,
)
from streaks.tracklets import TRACKLET_COLUMNS

__all__ = ["main"]

_FRAMES = 2000


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--streaks", type=int, default=100_000)
    parser.add_argument("--docs", type=Path)
    given = parser.parse_args(argv)
    rng = np.random.default_rng(18)
    with tempfile.TemporaryDirectory() as name:
        store, spent = Path(name) / "store", []
        for k in range(given.nights):
            folder = made_night(Path(name) / "night", k, given.streaks, rng)
            start = time.process_time()
            add_night(store, folder, name=f"night-{k:04d}")
            spent.append(time.process_time() - start)
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        text = _text(store, given.nights, given.streaks, spent)
    print(text)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.store", text)
    return 0


def made_night(folder: Path, number: int, n: int, rng: np.random.Generator) -> Path:
    """A finished night's folder of n streaks in 2000 frames of 64 chips."""
    night = NightFolder(folder)
    folder.mkdir()
    frame = rng.integers(0, _FRAMES, n)
    specs = (*STREAK_COLUMNS, *CLASS_COLUMNS, *VERDICT_COLUMNS, *MATCH_COLUMNS, *NIGHT_COLUMNS)
    values: dict[str, Any] = {
        spec.name: rng.normal(0.0, 1.0, n) if spec.dtype is float
        else np.zeros(n, np.int64) if spec.dtype is not str else np.full(n, "")
        for spec in specs
    }  # fmt: skip
    images = np.array([f"ztf_{number:04d}_{k:05d}" for k in range(_FRAMES)])
    labels = np.array(CLASSES)[rng.integers(0, len(CLASSES), n)]
    known = rng.random(n) < 0.01
    values |= {
        "streak_id": [f"{images[f]}_{k:06d}" for k, f in enumerate(frame)],
        "image": images[frame], "ra": rng.uniform(0, 360, n),
        "dec": np.degrees(np.arcsin(rng.uniform(-0.5, 1.0, n))),
        "x": rng.uniform(0, 3072, n), "y": rng.uniform(0, 3080, n),
        "length": rng.uniform(5, 60, n), "theta": rng.uniform(0, 180, n), "label": labels,
        "p_real": rng.random(n) ** 20, "mag": rng.uniform(15, 21, n),
        "snr": rng.uniform(5, 60, n),
        "ssnamenr": np.where(known, rng.integers(1, 20_000, n).astype(str), "null"),
        "time": np.full(n, "2024-03-01T04:00:00"),
        "reasons": np.full(n, "evenly lit; no light in the reference"),
    }  # fmt: skip
    write_table(build_table(specs, values), night.streaks)
    frames = QTable({
        "image": images, "state": np.full(_FRAMES, "done"),
        "fwhm_px": np.full(_FRAMES, 2.2) * u.pix,
        "time": np.full(_FRAMES, "2024-03-01T04:00:00"), "observatory": np.full(_FRAMES, "I41"),
        "ccd": (np.arange(_FRAMES) % 16 + 1).astype(str), "nx": np.full(_FRAMES, 3072.0) * u.pix,
        "quadrant": (np.arange(_FRAMES) // 16 % 4 + 1).astype(str),
        "ny": np.full(_FRAMES, 3080.0) * u.pix,
    })  # fmt: skip
    write_table(frames, night.frames)
    none = {spec.name: [] for spec in TRACKLET_COLUMNS}
    write_table(build_table(TRACKLET_COLUMNS, none), night.tracklets)
    night.settings.write_text(json.dumps({"settings": {}}))
    return folder


def _text(store: Path, nights: int, n: int, spent: list[float]) -> str:
    size = sum(path.stat().st_size for path in store.rglob("*.parquet"))
    total = nights * n
    columns = ("ra", "dec", "mag", "p_real")
    night = "night-0003..night-0003"
    asked: list[tuple[str, Callable[[], Any]]] = [
        ("`--at 150 20 0.1` (all columns)", lambda: ask(store, Question(cone=Cone(150, 20, 0.1)))),
        ("`--at 150 20 5`", lambda: ask(store, Question(cone=Cone(150, 20, 5.0)))),
        ('`"p_real > 0.9" --columns ra,dec,mag,p_real`',
         lambda: ask(store, Question(where="p_real > 0.9", columns=columns))),
        ("`--object 4711`", lambda: ask(store, Question(object_name="4711", columns=columns))),
        ("one night, all columns", lambda: ask(store, Question(nights=(night,)))),
    ]  # fmt: skip
    rows = [
        f"| {nights} nights of {n:,} streaks | CPU s | rows | files read |",
        "|---|---|---|---|",
        f"| add a night (median) | {np.median(spent):.1f} | {n:,} | |",
        f"| add the last one | {spent[-1]:.1f} | {n:,} | |",
    ]
    for what, call in asked:
        start = time.process_time()
        answer = call()
        took = time.process_time() - start
        rows.append(f"| query {what} | {took:.2f} | {len(answer.rows):,} | "
                    f"{answer.files_read} of {answer.files} |")  # fmt: skip
    start = time.process_time()
    places, answer = repeats_of_chips(store, Question(chip="4/2"))
    took = time.process_time() - start
    rows.append(f"| repeats of one chip | {took:.2f} | {len(places):,} | {answer.files_read} of "
                f"{answer.files} |")  # fmt: skip
    start = time.process_time()
    trends, _ = night_trends(store)
    rows.append(f"| trends | {time.process_time() - start:.2f} | {len(trends)} | |")
    rows.append(f"| bytes a streak on disk | | {size / total:.0f} | |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
