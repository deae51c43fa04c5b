"""How deep and how well the finder sees, on frames of an independent renderer.

    python -m benchmarks.detection [--frames 24] [--kind clean clutter correlated crossing winged]
        [--seed N] [--psf gaussian] [--peers] [--cache DIR] [-o out.json] [--docs docs/detection.md]

Frames of 2048 x 2048 px from GalSim (`benchmarks.detection_frames`; ``pip install '.[bench]'``).
Each is searched twice: with the finder's own settings, and with lower thresholds, whose detections
are cut at the score that leaves one false detection a frame. With ``--peers`` other finders search
the same frames (`benchmarks.detection_peers`). Each figure stands beside its target. Always ends
with exit code 0: it measures, it does not judge.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.detection_figures import (
    edge_ends,
    failures,
    kind_lines,
    markdown,
    rewrite_block,
    together_lines,
)
from benchmarks.detection_frames import KINDS, PSFS, Recipe
from benchmarks.detection_run import Finder, Searched, find_ours, search_all

#: Not among the small numbers that the finder was tuned with.
DEFAULT_SEED = 90210
#: `winged` is the second way to draw clutter, and stands by itself in the documentation.
_USUAL_KINDS = tuple(kind for kind in KINDS if kind != "winged")
#: Settings that let more than one false line through in a frame, so that the cut is by score. Not
#: a min_score of 0: with it the finder looks for artifacts too, and works in another way.
OPEN = {"threshold_snr": 5.4, "min_score": 1.0, "max_streaks": 5000}


def main(argv: Sequence[str] | None = None) -> int:
    given = _arguments(argv)
    header = _header(given)
    print(header, flush=True)
    with ProcessPoolExecutor(given.workers) as pool:
        parts, report = _run(given, pool)
    if given.output:
        given.output.write_text(json.dumps(_plain(report), indent=1) + "\n")
    if given.docs:
        # The other way of drawing clutter is read by itself.
        name = "benchmarks.detection" + (" --kind winged" if given.kind == ["winged"] else "")
        rewrite_block(given.docs, name, "\n\n".join([header, *parts]))
    return 0


def _run(given: argparse.Namespace, pool: Executor) -> tuple[list[str], dict[str, Any]]:
    from streaks.config import DetectionConfig

    min_score = DetectionConfig().min_score
    finders: dict[str, Finder] = {
        "open": partial(find_ours, settings=OPEN),
        "usual": partial(find_ours, settings={}),
    }
    parts, report = [], _settings(given)
    searched: dict[str, dict[str, list[Searched]]] = {}
    # The correlated frames are compared with the clean ones, which therefore come first.
    for kind in sorted(given.kind, key=KINDS.index):
        recipes = [_recipe(given, kind, i) for i in range(given.frames)]
        both = searched[kind] = search_all(recipes, finders, given.cache, pool)
        white = searched["clean"]["open"] if kind == "correlated" and "clean" in searched else None
        lines = kind_lines(kind, both["open"], both["usual"], min_score, white)
        parts.append(markdown(kind, lines))
        print("\n" + parts[-1], flush=True)
        report["kinds"][kind] = {
            "lines": [asdict(line) for line in lines],
            "usual": failures(both["usual"], missed_above=9.0),
        }
        if kind == "crossing":
            report["kinds"][kind]["ends"] = edge_ends(both["usual"])
    whole = [kind for kind in searched if kind != "crossing"]
    if len(whole) > 1:
        lines = together_lines([f for kind in whole for f in searched[kind]["usual"]], min_score)
        parts.append(markdown(", ".join(whole) + " together, at the defaults", lines))
        print("\n" + parts[-1], flush=True)
        report["together"] = [asdict(line) for line in lines]
    if given.peers:
        from benchmarks.detection_peers import compare

        table, report["peers"] = compare(searched, given, pool)
        parts.append(table)
        print("\n" + table, flush=True)
    return parts, report


def _plain(value: Any) -> Any:
    """As JSON knows it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _recipe(given: argparse.Namespace, kind: str, index: int) -> Recipe:
    # Trails among stars with wings have them too.
    psf = "moffat" if kind == "winged" else given.psf
    return Recipe(kind, given.seed, index, psf=psf, fwhm_px=given.fwhm)


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "frames": given.frames, "seed": given.seed, "psf": given.psf, "fwhm_px": given.fwhm,
        "open": OPEN, "kinds": {},
    }  # fmt: skip


def _header(given: argparse.Namespace) -> str:
    psf = "moffat" if given.kind == ["winged"] else given.psf
    return (
        f"{given.frames} frames of each kind, seed {given.seed}, PSF {psf}, "
        f"FWHM {given.fwhm:g} px. Intervals hold 68 %."
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=24, help="of each kind")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(_USUAL_KINDS))
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--psf", choices=PSFS, default="gaussian")
    parser.add_argument("--fwhm", type=float, default=2.0, help="of the PSF, px")
    parser.add_argument("--peers", action="store_true", help="other finders on the same frames")
    parser.add_argument("--cache", type=Path, help="folder that keeps frames for the next run")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("-o", "--output", type=Path, help="figures and failures as JSON")
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
