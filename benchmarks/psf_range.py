"""Asteroids and points on whole frames of every sampling: what is found, and what it is called.

    python -m benchmarks.psf_range [--frames 6] [--seed 7700] [-o out.json] [--docs docs/psf.md]

Frames are drawn by GalSim (`benchmarks.detection_frames`), which shares no code with the detector
or with what classifiers are trained on. Trails are those that are resolved: longer than 2.5 FWHM
at S/N 8, 1.5 at 15, 1.25 at 20, 1.0 at 30 and above, up to 12 FWHM. Points have the same S/N. The
frame knows its FWHM, as from a header.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection_frames import LEVEL, SIGMA, Recipe, line_template
from streaks.completeness import least_resolved_fwhm

__all__ = ["main"]

FWHMS_PX = (1.2, 1.8, 2.5, 4.0, 7.0)
SHAPE = (2048, 2048)
#: Of each kind on a frame; far enough apart that none is in another's cutout's middle.
TRAILS, POINTS = 40, 40
SNRS = (8.0, 60.0)
_LONGEST = 12.0
#: A streak is the one drawn if its midpoint lies so near, in FWHM and px.
_NEAR_FWHM, _NEAR_PX = 1.5, 3.0


@dataclass(frozen=True)
class Drawn:
    """What was put at a place."""

    kind: str
    x: float
    y: float
    snr: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.psf_range", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=6, help="at each FWHM")
    parser.add_argument("--seed", type=int, default=7700)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    rows = [_measured(fwhm_px, given.frames, given.seed) for fwhm_px in FWHMS_PX]
    text = _text(rows, given.frames, given.seed)
    print(text)
    if given.output:
        given.output.write_text(json.dumps(rows, indent=1) + "\n")
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.psf_range", text)
    return 0


def _measured(fwhm_px: float, frames: int, seed: int) -> dict[str, Any]:
    from streaks.classification import classify_cutouts
    from streaks.cutouts import extract_cutouts
    from streaks.detection import find_streaks
    from streaks.frame import Frame
    from streaks.models import load_classifier

    classifier = load_classifier()
    counts = {
        "trails": 0,
        "found": 0,
        "called": 0,
        "points": 0,
        "points_found": 0,
        "points_called": 0,
        "other": 0,
    }
    wrong: dict[str, int] = {}
    for index in range(frames):
        data, drawn = _draw(fwhm_px, np.random.default_rng([seed, index, round(10 * fwhm_px)]))
        frame = Frame(data=data, mask=np.zeros(SHAPE, bool), name="x", fwhm_px=fwhm_px)
        streaks = find_streaks(frame)
        lengths = streaks["length"].to_value("pix")
        cutouts = extract_cutouts(frame, streaks)
        labels = classify_cutouts(classifier, cutouts, lengths_px=lengths)["label"].tolist()
        x, y = (np.asarray(streaks[c].to_value("pix")) for c in ("x", "y"))
        taken: set[int] = set()
        for one in drawn:
            near = np.hypot(x - one.x, y - one.y) < max(_NEAR_FWHM * fwhm_px, _NEAR_PX)
            said = [labels[i] for i in np.flatnonzero(near)]
            taken |= set(np.flatnonzero(near).tolist())
            called = "asteroid" in said
            if one.kind == "trail":
                counts["trails"] += 1
                counts["found"] += bool(said)
                counts["called"] += called
                if said and not called:
                    wrong[said[0]] = wrong.get(said[0], 0) + 1
            else:
                counts["points"] += 1
                counts["points_found"] += bool(said)
                counts["points_called"] += called
        counts["other"] += len(streaks) - len(taken)
    return {"fwhm_px": fwhm_px, **counts, "called_instead": wrong}


def _draw(fwhm_px: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], list[Drawn]]:
    light, drawn = np.zeros(SHAPE), []
    places = _places(TRAILS + POINTS, rng)
    recipe = Recipe("clean", 0, 0, fwhm_px=fwhm_px, shape=SHAPE)
    for k, (x, y) in enumerate(places):
        snr = float(np.exp(rng.uniform(*np.log(SNRS))))
        kind = "trail" if k < TRAILS else "point"
        length = 1e-2
        if kind == "trail":
            least = float(least_resolved_fwhm(snr))
            length = fwhm_px * math.exp(rng.uniform(math.log(least), math.log(_LONGEST)))
        turn = rng.uniform(0.0, math.pi)
        dx, dy = 0.5 * length * math.cos(turn), 0.5 * length * math.sin(turn)
        ends = np.array([x - dx, y - dy, x + dx, y + dy])
        template, box = line_template(ends, recipe, beyond_px=0.0)
        light[box] += snr / math.sqrt(float((template**2).sum())) * template
        drawn.append(Drawn(kind, x, y, snr))
    data = ((rng.normal(size=SHAPE) + light) * SIGMA + LEVEL).astype(np.float32)
    return data, drawn


def _places(n: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Of a grid of cells, n at random, and a place in the middle of each."""
    side = math.ceil(math.sqrt(n))
    cell = SHAPE[0] / side
    chosen = rng.permutation(side * side)[:n]
    shift = rng.uniform(-0.2, 0.2, (n, 2)) * cell
    return [
        ((c % side + 0.5) * cell + shift[i, 0], (c // side + 0.5) * cell + shift[i, 1])
        for i, c in enumerate(chosen.tolist())
    ]


def _text(rows: Sequence[dict[str, Any]], frames: int, seed: int) -> str:
    lines = [
        f"{frames} frames of 2048 x 2048 px at each FWHM, seed {seed}; S/N 8 to 60.",
        "",
        "| FWHM, px | trails | found (>= 97 %) | called asteroid (>= 95 %) | points | reported "
        "| called asteroid (<= 2 %) | other streaks a frame | called instead |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        instead = ", ".join(f"{n} {name}" for name, n in sorted(row["called_instead"].items()))
        lines.append(
            f"| {row['fwhm_px']:g} | {row['trails']} | {row['found'] / row['trails']:.1%} "
            f"| {row['called'] / row['trails']:.1%} | {row['points']} "
            f"| {row['points_found'] / row['points']:.1%} "
            f"| {row['points_called'] / row['points']:.1%} | {row['other'] / frames:.2f} "
            f"| {instead or '-'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
