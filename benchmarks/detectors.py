"""The two detectors that come with the package, side by side at their defaults.

    python -m benchmarks.detectors [--frames 12] [--docs docs/detection.md]

`--detector radon` (ours) and `--detector hough` (the classical reference) search the frames of
`benchmarks.detection`. Other finders than these, tuned on frames of their own, are that benchmark's
peers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.detection_figures import (
    complete_above,
    depth_of,
    false_per_frame,
    repeats_per_frame,
    snr_text,
)
from benchmarks.detection_frames import Recipe
from benchmarks.detection_run import Finder, Searched, find_ours, search_all

__all__ = ["main"]

SEED = 90210
_DETECTORS, _KINDS = ("radon", "hough"), ("clean", "clutter")
#: S/N above which streaks are counted.
_BRIGHT_SNR = 10.0
_HEAD = (
    "detector", "frames", "S/N of 50 % at its defaults", "found above S/N 10", "false a frame",
    "pieces a frame", "S/N of 50 % at one false a frame", "CPU s a frame",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detectors", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=12, help="of each kind")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    rows = ["| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
    finders: dict[str, Finder] = {
        name: partial(find_ours, settings={"detector": name}) for name in _DETECTORS
    }
    with ProcessPoolExecutor(given.workers) as pool:
        for kind in _KINDS:
            recipes = [Recipe(kind, SEED, index) for index in range(given.frames)]
            searched = search_all(recipes, finders, None, pool)
            rows += [_row(name, kind, searched[name]) for name in _DETECTORS]
    text = "\n".join([*rows, "", f"{given.frames} frames of each kind, 2048 x 2048 px."])
    print(text)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.detectors", text)
    return 0


def _row(name: str, kind: str, frames: Sequence[Searched]) -> str:
    found, of = complete_above(frames, _BRIGHT_SNR)
    own, _ = depth_of(frames, cut=-np.inf)
    at_one, _ = depth_of(frames)
    cells = [
        f"`{name}`", kind, snr_text(own.s50), f"{found} of {of}", f"{false_per_frame(frames):.2f}",
        f"{repeats_per_frame(frames):.2f}", snr_text(at_one.s50),
        f"{np.median([frame.found.cpu_s for frame in frames]):.2f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
