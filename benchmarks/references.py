"""Bad references: faults put into the references of simulated nights, and what is told of them.

    python -m benchmarks.references [--good 10] [--spoiled 6] [--seed 5200]
        [--docs docs/completeness.md]

Each reference is shared by three exposures of a simulated night (650 x 640 px with stars, dipoles,
masked stars, transients, ghosts, asteroids). GOOD of them stay as they are; SPOILED of each kind
get three faults of S/N 12 to 60 in the differences (a source of the reference too bright, one whose
PSF is wider or narrower than it should be, one that no science image has) or a tilted sky. The
simulator also gives every reference sources of its own that no science image has: those of S/N 12
and more count as faults that are there. What is told within 2 px of a fault is right or called
another kind; all else that is told is false.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["main"]

Floats = NDArray[np.float64]

FRAMES, SHAPE = 3, (640, 650)
KINDS = ("negative source", "ringed source", "missing in science", "gradient")
#: Faults of a spoiled reference; their S/N, and the range of a tilted sky in sigma of its pixels.
FAULTS_EACH, SNR, TILT_SIGMA = 3, (12.0, 60.0), (3.0, 8.0)
#: What is told this near a fault is that fault, px; faults lie so far from each other and the edge.
NEAR_PX, APART_PX, EDGE_PX = 2.0, 25.0, 40
#: A ring is of a PSF wider by this and a star brighter by this; an empty place has nothing above
#: so many sigma in the reference, and a star is above so many.
RING_WIDER, RING_BRIGHTER, EMPTY_SIGMA, STAR_SIGMA = 1.7, 3.0, 3.0, 30.0


@dataclass(frozen=True)
class Known:
    """A fault that is there: its kind and its place in the first exposure."""

    kind: str
    x: float
    y: float
    own: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.references", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--good", type=int, default=10)
    parser.add_argument("--spoiled", type=int, default=6, help="of each kind")
    parser.add_argument("--seed", type=int, default=5200)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    kinds = [""] * given.good + [kind for kind in KINDS for _ in range(given.spoiled)]
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in ("", *KINDS)}
    own: Counter[str] = Counter()
    for k, kind in enumerate(kinds):
        one(kind, given.seed + k, counts[kind], own)
        print(f"{k + 1} of {len(kinds)}: {kind or 'good'}, {dict(counts[kind])}", flush=True)
    text = told(counts, own)
    print(text)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.references", text)
    return 0


def one(kind: str, seed: int, count: Counter[str], own: Counter[str]) -> None:
    """Make a night, spoil its reference, and count what is told of it."""
    from streaks.references import judge_references, reference_clues

    rng = np.random.default_rng((seed, 7))
    with tempfile.TemporaryDirectory() as folder:
        frames, known = night(Path(folder) / "night", seed)
    faults = [] if not kind else spoiled(frames, kind, known, rng)
    (report,) = judge_references([reference_clues(frame, "reference") for frame in frames])
    count["references"] += 1
    count["put in"] += len(faults)
    left = [*faults, *known]
    named_right = False
    for fault in report.faults:
        hit = next((f for f in left if same_place(f, fault)), None)
        if hit is None:
            count["false"] += 1
            continue
        left.remove(hit)
        if hit.own:
            # Fainter ones may be told, and need not.
            if hit.kind:
                own["told" if fault.kind == hit.kind else "told as another kind"] += 1
            continue
        count["right" if fault.kind == hit.kind else "another kind"] += 1
        named_right |= fault.kind == hit.kind
    count["flagged"] += named_right
    strong = [f for f in known if f.kind]
    own["there"] += len(strong)


def same_place(known: Known, fault: Any) -> bool:
    if "gradient" in (known.kind, fault.kind):
        return bool(known.kind == fault.kind)
    return math.hypot(known.x - fault.x, known.y - fault.y) <= NEAR_PX


def night(folder: Path, seed: int) -> tuple[list[Any], list[Known]]:
    """Three exposures of one field, and the faults that the simulator gave their reference."""
    from astropy.table import QTable

    from streaks.readers import read_frame
    from streaks.synth import make_night

    make_night(folder, frames=FRAMES, seed=seed, shape=SHAPE)
    paths = sorted(folder.glob("*_scimrefdiffimg.fits*"))
    frames = [read_frame(path) for path in paths]
    clutter = QTable.read(folder / "clutter.ecsv")
    first = frames[0]
    here = np.asarray(clutter["image"]).astype(str) == first.name
    sources = clutter[here & (np.asarray(clutter["label"]).astype(str) == "naked_star")]
    noise = sigma_of(first.data)
    faults = []
    for row in sources:
        x, y, flux = (float(getattr(row[c], "value", row[c])) for c in ("x", "y", "flux"))
        inside = EDGE_PX < x < SHAPE[1] - EDGE_PX and EDGE_PX < y < SHAPE[0] - EDGE_PX
        strong = flux < -SNR[0] * flux_of_snr(1.0, noise, first.fwhm_px)
        clear = not first.mask[max(round(y) - 6, 0) : round(y) + 7,
                               max(round(x) - 6, 0) : round(x) + 7].any()  # fmt: skip
        if flux < 0:
            kind = "missing in science" if inside and strong and clear else ""
            faults.append(Known(kind, x, y, own=True))
    return frames, faults


def spoiled(
    frames: list[Any], kind: str, known: Sequence[Known], rng: np.random.Generator
) -> list[Known]:
    """Put faults of a kind into the reference of these frames, in place of what they were."""
    first = frames[0]
    if kind == "gradient":
        size = rng.uniform(*TILT_SIGMA) * sigma_of(first.reference)
        angle = rng.uniform(0, 2 * math.pi)
        y, x = np.indices(SHAPE) / max(SHAPE) - 0.5
        tilt = size * (x * math.cos(angle) + y * math.sin(angle))
        for k, frame in enumerate(frames):
            frames[k] = replace(frame, reference=frame.reference + tilt.astype(np.float32))
        return [Known(kind, math.nan, math.nan)]
    places = chosen_places(first, kind, known, rng)
    for k, frame in enumerate(frames):
        data, reference = np.array(frame.data, float), np.array(frame.reference, float)
        noise, ring_turn = sigma_of(first.data), math.sqrt(SNR[0] * SNR[1])
        for fault, snr in places:
            x, y = in_frame(first, frame, fault)
            light = flux_of_snr(snr, noise, first.fwhm_px) * star(x, y, frame.fwhm_px)
            if kind == "ringed source":
                wide = flux_of_snr(snr, noise, first.fwhm_px) * star(
                    x, y, RING_WIDER * frame.fwhm_px
                )
                # As often sharper there as wider; a ring is shallow, so of a brighter star.
                light = RING_BRIGHTER * (light - wide) * (1.0 if snr < ring_turn else -1.0)
            data -= light
            reference += light
        frames[k] = replace(
            frame, data=data.astype(np.float32), reference=reference.astype(np.float32)
        )
    return [fault for fault, _ in places]


def chosen_places(
    frame: Any, kind: str, known: Sequence[Known], rng: np.random.Generator
) -> list[tuple[Known, float]]:
    """Stars, or empty places, far from masks, from each other and from what is there already."""
    from scipy.ndimage import binary_dilation, gaussian_filter, maximum_filter

    sky = np.nanmedian(frame.reference)
    sharp = gaussian_filter(np.nan_to_num(frame.reference - sky), frame.fwhm_px / 2.355)
    level = sigma_of(sharp)
    quiet = ~binary_dilation(frame.mask, iterations=10)
    edge = np.zeros(SHAPE, bool)
    edge[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = True
    # What the simulator left of stars (dipoles) is no clean place.
    calm = maximum_filter(np.abs(np.nan_to_num(frame.data)), 13) < 5.5 * sigma_of(frame.data)
    usable = quiet & edge & calm
    if kind == "missing in science":
        usable &= maximum_filter(sharp, 21) < EMPTY_SIGMA * level
    else:
        usable &= (sharp == maximum_filter(sharp, 9)) & (sharp > STAR_SIGMA * level)
    taken = [(f.x, f.y) for f in known]
    chosen: list[tuple[Known, float]] = []
    for y, x in rng.permutation(np.argwhere(usable)).tolist():
        if len(chosen) == FAULTS_EACH:
            break
        if all(math.hypot(x - a, y - b) > APART_PX for a, b in taken):
            taken.append((x, y))
            snr = math.exp(rng.uniform(*np.log(SNR)))
            at = centre_of(frame.reference - sky, x, y) if kind != "missing in science" else (x, y)
            chosen.append((Known(kind, *at), snr))
    return chosen


def centre_of(image: Any, x: int, y: int) -> tuple[float, float]:
    part = np.maximum(np.nan_to_num(image[y - 2 : y + 3, x - 2 : x + 3]), 0.0)
    dy, dx = np.indices(part.shape) - 2.0
    return x + float((part * dx).sum() / part.sum()), y + float((part * dy).sum() / part.sum())


def in_frame(first: Any, frame: Any, fault: Known) -> tuple[float, float]:
    from streaks.sky import to_icrs, to_pixels

    x, y = to_pixels(frame.wcs, *to_icrs(first.wcs, [fault.x], [fault.y]))
    return float(x[0]), float(y[0])


def star(x: float, y: float, fwhm_px: float) -> Floats:
    """Moffat's profile of exponent 3, of unit light."""
    from benchmarks.photometry import moffat

    rows, columns = np.indices(SHAPE, dtype=float)
    return moffat(fwhm_px, 3.0)(columns - x, rows - y)


def flux_of_snr(snr: float, noise: float, fwhm_px: float) -> float:
    """Flux of a Gaussian star of this S/N in white noise."""
    return snr * noise * 2.0 * math.sqrt(math.pi) * fwhm_px / 2.355


def sigma_of(image: Any) -> float:
    values = np.asarray(image)[np.isfinite(image)]
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def told(counts: dict[str, Counter[str]], own: Counter[str]) -> str:
    lines = [
        "| reference | of them | faults put in | told, of this kind | told as another kind | "
        "references named so | false flags | false a reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, n in counts.items():
        put = f"{n['put in']} | {n['right']} | {n['another kind']} | {n['flagged']}"
        lines.append(
            f"| {kind or 'good'} | {n['references']} | {put if kind else '- | - | - | -'} | "
            f"{n['false']} | {n['false'] / max(n['references'], 1):.2f} |"
        )
    lines += [
        "",
        f"The simulator's own: of {own['there']} sources of S/N {SNR[0]:g} and more that only the "
        f"references have, {own['told']} are told as missing in science, "
        f"{own['told as another kind']} as another kind (fainter ones that are told are no false "
        "flags).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
