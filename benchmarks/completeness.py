"""Completeness as it is measured against completeness as it is.

    python -m benchmarks.completeness --work DIR [--nights 40] [--seed 9000] [--inject N]
        [-o out.json] [--real ../shared/data] [--docs docs/completeness.md] [--pictures docs]

Simulated nights (six small frames: three fields, visited three times, twice and once) with
asteroids of S/N 4 to 40. `streaks completeness` injects into their frames; its curves then say how
many of the night's own asteroids, of which it knows nothing, should be found at each stage. That
count has a 95 % interval: in how many nights does it hold what was found? Beside it a frame a night
is filled with things whose fate is known, each in one way only, and the outcome is compared. Nights
that are in DIR already are taken from there.

On the real cutouts: predictions of known near-Earth asteroids (nea_predictions.csv) against the
survey's own pipeline, by rate and V; and what our detector and classifier make of the cutouts of
those that it found.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.completeness import STAGES, count_interval, fit_curve, wilson_interval
from streaks.geometry import Segment

__all__ = ["main"]

FRAMES, SHAPE = 6, (640, 650)
#: What may be said of each case; the first is the cause.
CASES = {
    "masked": ("masked",),
    "too faint": ("too faint",),
    "trailing loss": ("trailing loss",),
    "set aside": ("set aside",),
    "blended": ("blended",),
    "reference contaminated": ("reference contaminated",),
    "no light": ("no light",),
    "too slow": ("too slow",),
    "off chip": ("off chip",),
    "in a gap": ("in a gap",),
    "not observed": ("not observed",),
}
#: A prediction is found by the survey's pipeline when one of its streaks is this near, arcsec.
FOUND_ARCSEC = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.completeness", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for nights' figures")
    parser.add_argument("--nights", type=int, default=40)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--inject", type=int, default=0, help="a frame; 0 for the usual density")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no night after this")
    parser.add_argument("--real", type=Path, help="folder of the real data")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    parser.add_argument("--pictures", type=Path, help="folder for the document's pictures")
    given = parser.parse_args(argv)
    given.work.mkdir(parents=True, exist_ok=True)
    nights, begun = [], time.monotonic()
    for seed in range(given.seed, given.seed + given.nights):
        path = given.work / f"night_{seed}.json"
        if not path.is_file():
            if time.monotonic() - begun > 60 * given.minutes:
                break
            path.write_text(
                json.dumps(one_night(given.work / f"sky_{seed}", seed, given.inject)) + "\n"
            )
        night = json.loads(path.read_text())
        # What was found is kept; curves are fitted anew.
        night["stages"] = {stage: counted(night, stage) for stage in STAGES}
        nights.append(night)
        held = {s: sum(n["stages"][s]["holds"] for n in nights) for s in STAGES}
        print(f"{len(nights)} nights, intervals hold in {held}", flush=True)
    figures = {**gathered(nights), "seed": given.seed}
    if given.real is not None:
        figures["real"] = real_cutouts(given.real / "real-cutouts")
    text = told(figures)
    print(text)
    if given.output:
        given.output.write_text(json.dumps(figures, indent=1) + "\n")
    if given.pictures:
        draw(figures, nights, given.pictures)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.completeness", text)
    return 0


def one_night(folder: Path, seed: int, inject: int = 0) -> dict[str, Any]:
    """Make a night, measure its completeness, and hold it against its own asteroids."""
    from streaks.cli.completeness import _read_lists, _Run
    from streaks.cli.completeness_inject import InjectorConfig
    from streaks.cli.completeness_run import settle
    from streaks.cli.searching import build_search
    from streaks.synth import NightConfig, make_night

    config = NightConfig(asteroids=(9, 13), asteroid_snr=(4.0, 40.0), known_share=0.0)
    if folder.exists():
        shutil.rmtree(folder)
    make_night(folder, frames=FRAMES, seed=seed, shape=SHAPE, config=config)
    injected = InjectorConfig(n=inject, seed=seed, snr=(3.0, 45.0))
    run = _Run(build_search(), _read_lists([folder / "truth.ecsv"], ""), injected, 30.0, True, True)
    run.look_at_frames([folder], inject=True)
    assert run.spiked is not None
    assert run.plain is not None
    inside, own = settle(run.injections, run.spiked), settle(run.tally.bags[0], run.plain)
    cases = known_causes(folder, run, seed)
    shutil.rmtree(folder)
    return {
        "seed": seed,
        "injected": rows_of(inside),
        "own": rows_of(own),
        "cases": cases,
        "outcomes": dict(Counter(str(o) for o in own["outcome"])),
    }


def rows_of(results: QTable) -> list[list[Any]]:
    """Magnitude, S/N, length, mover and the three stages of each."""
    return [
        [
            round(float(row["mag"].value), 3), round(float(row["snr"]), 2),
            round(float(row["length"].value), 1), str(row["name"]),
            *(int(row[stage]) for stage in STAGES),
        ]
        for row in results
    ]  # fmt: skip


def counted(night: dict[str, Any], stage: str) -> dict[str, Any]:
    """Whether the interval of the count expected of a night's own asteroids holds."""
    inside, own = (list(zip(*night[which], strict=True)) for which in ("injected", "own"))
    covariates = [_covariates(columns) for columns in (inside, own)]
    column = 4 + STAGES.index(stage)
    hit, movers = np.array(inside[column], bool), np.array(inside[3])
    curve = fit_curve(covariates[0], hit, movers)
    expected, low, high = count_interval(curve, covariates[1], np.array(own[3]))
    found = int(np.array(own[column], bool).sum())
    alone = fit_curve(covariates[0][:1], hit, movers)
    return {
        "n": len(own[0]), "found": found, "expected": expected, "low": low, "high": high,
        "holds": bool(low <= found <= high), "depth50": alone.depth(0.5), "effect": curve.effect,
    }  # fmt: skip


def _covariates(columns: Sequence[Sequence[Any]]) -> list[NDArray[np.float64]]:
    """Magnitude, and the logarithm of length: long trails of one magnitude are fainter."""
    return [np.array(columns[0], float), np.log10(np.maximum(np.array(columns[2], float), 1.0))]


def known_causes(folder: Path, run: Any, seed: int) -> list[list[str]]:
    """Cause and outcome of things put into one frame of the night, each lost in one way."""
    from streaks.cli.completeness_run import Bag, lazy_scene, settle, view_of
    from streaks.completeness import ENTRY_COLUMNS, unplaced_outcome
    from streaks.readers import find_frames, read_table
    from streaks.tables import empty_table

    files = find_frames([folder])[0]
    frame = run._read(files)
    rng = np.random.default_rng([seed, 77])
    taken = _occupied(read_table(folder / "truth.ecsv"), frame.name)
    taken += _occupied(read_table(folder / "clutter.ecsv"), frame.name)
    frame, placed = _with_cases(frame, rng, taken)
    bag = Bag("cases", empty_table(ENTRY_COLUMNS))
    scene = lazy_scene(frame)()
    for row, (cause, segment, mag) in enumerate(placed):
        bag.add(_target(cause, row, frame, segment, mag), scene, frame.fwhm_px)
    judged = run._judged([run.searcher.search_frame(frame, draw=False)])
    outcomes = [[str(r["name"]), str(r["outcome"]), str(r["detail"])] for r in settle(bag, judged)]
    corners = view_of(frame).corners()
    width = corners[1, 0] - corners[0, 0]
    beside = corners + np.array([1.15 * width, 0.0])
    middle = corners.mean(axis=0)
    for cause, place, frames in (
        ("off chip", middle + np.array([0.0, 1.0]), [corners, beside]),
        ("in a gap", middle + np.array([0.575 * width, 0.0]), [corners, beside]),
        ("not observed", middle, []),
    ):
        outcomes.append([cause, unplaced_outcome(place[0], place[1], frames), ""])
    return outcomes


def _occupied(table: QTable, image: str) -> list[tuple[float, float, float]]:
    """Places and half lengths of all that is in a frame, px."""
    rows = table[np.asarray(table["image"]).astype(str) == image]
    made = []
    for row in rows:
        half = 0.5 * float(row["length"].value) if "length" in rows.colnames else 0.0
        made.append((float(row["x"].value), float(row["y"].value), np.nan_to_num(half, nan=60.0)))
        if half > 100:  # a satellite's whole track
            ends = [float(row[name].value) for name in ("x0", "y0", "x1", "y1")]
            made.pop()
            made += [
                (ends[0] + t * (ends[2] - ends[0]), ends[1] + t * (ends[3] - ends[1]), 20.0)
                for t in np.linspace(0, 1, 40)
            ]
    return made


def _with_cases(
    frame: Any, rng: np.random.Generator, taken: list[tuple[float, float, float]]
) -> tuple[Any, list[tuple[str, Segment, float]]]:
    """The frame with what is lost in known ways, and what each should be: cause, place, mag."""
    from streaks.synth import Psf, render_trail

    ny, nx = frame.shape
    data, reference = frame.data.astype(float).copy(), frame.reference.astype(float).copy()
    mask, psf = frame.mask.copy(), Psf(frame.fwhm_px, 3.5)
    spread = 1.4826 * float(np.nanmedian(np.abs(data - np.nanmedian(data))))
    made: list[tuple[str, Segment, float]] = []

    def place(length: float, room: float = 25.0) -> Segment:
        for _ in range(2000):
            x, y = rng.uniform(45, nx - 46), rng.uniform(45, ny - 46)
            if all(math.hypot(x - a, y - b) > 0.5 * length + h + room for a, b, h in taken):
                taken.append((x, y, 0.5 * length))
                return Segment.from_midpoint(x, y, length, rng.uniform(10, 80))
        raise RuntimeError("no room for a case")

    def trail(segment: Segment, snr: float) -> tuple[NDArray[np.float64], float]:
        shape = render_trail(frame.shape, segment, 1.0, psf).astype(float)
        flux = snr * spread / math.sqrt(float((shape**2).sum()))
        return flux * shape, flux

    def mag(flux: float) -> float:
        return float(frame.zero_point_mag - 2.5 * math.log10(flux))

    for cause, length, snr in (
        ("masked", 20.0, 20.0), ("too faint", 10.0, 2.0), ("trailing loss", 70.0, 3.0),
        ("set aside", 9.0, 60.0), ("blended", 12.0, 8.0), ("reference contaminated", 14.0, 15.0),
        ("no light", 25.0, 25.0), ("too slow", 0.6, 20.0),
    ):  # fmt: skip
        segment = place(length)
        light, flux = trail(segment, snr)
        x, y = (round(v) for v in segment.midpoint)
        if cause == "masked":
            data += light
            mask[y - 25 : y + 26, x - 25 : x + 26] = True
        elif cause == "set aside":
            n = 4 * math.ceil(length)
            columns = np.rint(np.linspace(segment.x0, segment.x1, n)).astype(int)
            lines = np.rint(np.linspace(segment.y0, segment.y1, n)).astype(int)
            track = np.zeros(frame.shape, bool)
            track[lines, columns] = True
            data[track] += flux / track.sum()
        elif cause == "blended":
            other = Segment.from_midpoint(*segment.midpoint, 80.0, segment.theta_deg + 30.0)
            data += light + trail(other, 250.0)[0]
        elif cause == "reference contaminated":
            for t in (0.1, 0.5, 0.9):
                at = (
                    segment.x0 + t * (segment.x1 - segment.x0),
                    segment.y0 + t * (segment.y1 - segment.y0),
                )
                star = trail(Segment(*at, at[0] + 0.05, at[1]), 60.0)[0]
                reference += 4.0 * star
                data -= star
            data += light
        elif cause != "no light":
            data += light
        made.append((cause, segment, mag(flux)))
    data[mask] = np.nan
    return replace(
        frame, data=data.astype(np.float32), reference=reference.astype(np.float32), mask=mask
    ), made


def _target(cause: str, row: int, frame: Any, segment: Segment, mag: float) -> dict[str, Any]:
    x, y = segment.midpoint
    return {
        "row": row, "entry": cause, "name": cause, "image": frame.name, "x0": segment.x0,
        "y0": segment.y0, "x1": segment.x1, "y1": segment.y1, "x": x, "y": y,
        "length": segment.length_px, "mag": mag, "snr": math.nan, "rate": math.nan,
        "angle": segment.theta_deg, "mjd": float(frame.time.utc.mjd), "tolerance": 5.0,
    }  # fmt: skip


def gathered(nights: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of all nights."""
    cases = [case for night in nights for case in night["cases"]]
    return {
        "nights": len(nights),
        "injections": sum(len(night["injected"]) for night in nights),
        "asteroids": sum(len(night["own"]) for night in nights),
        "stages": {
            stage: {
                "holds": sum(night["stages"][stage]["holds"] for night in nights),
                "found": sum(night["stages"][stage]["found"] for night in nights),
                "expected": sum(night["stages"][stage]["expected"] for night in nights),
            }
            for stage in STAGES
        },
        "cases": {
            cause: {
                "n": sum(c[0] == cause for c in cases),
                "right": sum(c[0] == cause and c[1] in allowed for c in cases),
                "else": dict(Counter(c[1] for c in cases if c[0] == cause and c[1] not in allowed)),
            }
            for cause, allowed in CASES.items()
        },
    }


def real_cutouts(folder: Path) -> dict[str, Any]:
    """The survey's pipeline against predictions, and ours on the cutouts of what it found."""
    predictions = QTable.read(folder / "nea_predictions.csv", format="ascii.csv")
    near = np.asarray(predictions["nearest_streak_mid_arcsec"], float)
    found = near <= FOUND_ARCSEC
    v, rate = np.asarray(predictions["vm"], float), np.asarray(predictions["rate"], float)
    good = np.isfinite(v) & np.isfinite(rate)
    names = np.asarray(predictions["obj"]).astype(str)
    curve = fit_curve([v[good]], found[good], names[good])
    return {
        "predictions": len(predictions),
        "objects": len(set(names.tolist())),
        "found": int(found.sum()),
        "depth50": curve.depth(0.5),
        "by_v": _shares(v, found, (0.0, 17.0, 18.0, 19.0, 20.0, 30.0)),
        "by_rate": _shares(rate, found, (0.0, 0.15, 0.25, 0.4, 0.7, 10.0)),
        "points": [[float(a), float(b), int(c)] for a, b, c in zip(v, rate, found, strict=True)],
        "ours": _ours(folder),
    }


def _shares(
    values: NDArray[Any], found: NDArray[np.bool_], edges: Sequence[float]
) -> list[dict[str, Any]]:
    made = []
    for low, high in itertools.pairwise(edges):
        inside = (values >= low) & (values < high)
        n, k = int(inside.sum()), int(found[inside].sum())
        bounds = wilson_interval(k, n, 1.96)
        made.append(
            {"from": low, "to": high, "n": n, "found": k, "low": bounds[0], "high": bounds[1]}
        )
    return made


def _ours(folder: Path) -> dict[str, Any]:
    """Detector and classifier on cutouts of known near-Earth asteroids, by rate and by object."""
    from streaks.classification import classify_cutouts
    from streaks.detection import find_streaks
    from streaks.frame import Frame
    from streaks.models import load_classifier
    from streaks.readers import read_cutouts

    rows = QTable.read(folder / "cutouts.csv", format="ascii.csv")
    rows = rows[np.asarray(rows["known"]).astype(str) == "known_nea"]
    paths = [folder / "jpg" / str(name) for name in rows["name"]]
    detected: dict[str, bool] = {}
    labels: dict[str, str] = {}
    classifier = load_classifier()
    for stack in read_cutouts(paths).cutouts:
        table = classify_cutouts(classifier, stack)
        for k, name in enumerate(stack.names):
            labels[Path(name).stem] = str(table["label"][k])
            data, mask = stack.difference[k], stack.mask[k]
            frame = Frame(data=np.where(mask, 0, data), mask=mask, name=name, fwhm_px=2.2)
            centre = (np.array(data.shape)[::-1] - 1) / 2
            found = find_streaks(frame)
            away = np.hypot(
                found["x"].to_value("pix") - centre[0], found["y"].to_value("pix") - centre[1]
            )
            detected[Path(name).stem] = bool((away < 12.0).any())
    keys = [Path(str(name)).stem for name in rows["name"]]
    hit = np.array([detected.get(key, False) for key in keys])
    named = np.array([labels.get(key, "") == "asteroid" for key in keys])
    exposure_s = 30.0
    rate = np.asarray(rows["length"], float) / exposure_s
    objects = np.asarray(rows["nea"]).astype(str)
    edges = (0.0, 0.15, 0.25, 0.4, 0.7, 10.0)
    return {
        "cutouts": len(rows),
        "objects": len(set(objects.tolist())),
        "detected": int(hit.sum()),
        "named": int(named.sum()),
        "pipeline_above_half": int((np.asarray(rows["prob"], float) >= 0.5).sum()),
        "mean_over_objects": {
            what: float(np.mean([flags[objects == one].mean() for one in np.unique(objects)]))
            for what, flags in (("detected", hit), ("named", named))
        },
        "by_rate": [
            {**a, "named": b["found"]}
            for a, b in zip(_shares(rate, hit, edges), _shares(rate, named, edges), strict=True)
        ],
    }


def told(figures: dict[str, Any]) -> str:
    """The figures as the document's text."""
    words = {"detected": "detection", "named": "naming", "kept": "the verdict"}
    lines = [
        f"{figures['nights']} nights of {FRAMES} frames of {SHAPE[1]} x {SHAPE[0]} px (seeds from "
        f"{figures['seed']}): {figures['injections']} injections, and {figures['asteroids']} "
        "asteroids of the nights' own (S/N 4 to 40) that the curves know nothing of.",
        "",
        "| after | own asteroids found | expected by the injections | 95 % intervals that hold |",
        "|---|---|---|---|",
    ]
    for stage, one in figures["stages"].items():
        lines.append(
            f"| {words[stage]} | {one['found']} | {one['expected']:.0f} | {one['holds']} of "
            f"{figures['nights']} nights |"
        )
    total = sum(c["n"] for c in figures["cases"].values())
    right = sum(c["right"] for c in figures["cases"].values())
    lines += [
        "",
        f"Of {total} things whose fate was set, {right} got the right outcome "
        f"({100 * right / max(total, 1):.1f} %).",
        "",
        "| cause | cases | right | else |",
        "|---|---|---|---|",
    ]
    for cause, one in figures["cases"].items():
        other = ", ".join(f"{n} {kind}" for kind, n in one["else"].items()) or "-"
        lines.append(f"| {cause} | {one['n']} | {one['right']} | {other} |")
    return "\n".join([*lines, *_told_real(figures.get("real"))])


def _told_real(real: dict[str, Any] | None) -> list[str]:
    if real is None:
        return []
    ours = real["ours"]
    lines = [
        "",
        f"Real frames of ZTF: of {real['predictions']} predictions of {real['objects']} near-Earth "
        f"asteroids the survey's own streak pipeline found {real['found']} (a streak within "
        f"{FOUND_ARCSEC:.0f} arcsec).",
        "",
        "| V | predicted | found | share, 95 % |",
        "|---|---|---|---|",
    ]
    lines += [_share_row(one) for one in real["by_v"] if one["n"]]
    lines += ["", "| rate, arcsec/s | predicted | found | share, 95 % |", "|---|---|---|---|"]
    lines += [_share_row(one) for one in real["by_rate"] if one["n"]]
    lines += [
        "",
        f"Its cutouts of those it found: {ours['cutouts']} of {ours['objects']} objects. Our "
        f"detector finds the streak in the middle of {ours['detected']}, our classifier calls "
        f"{ours['named']} asteroid (the pipeline's own forest gives {ours['pipeline_above_half']} "
        "a score of 0.5 and more). Most are one object on one night: in the mean over objects "
        f"{100 * ours['mean_over_objects']['detected']:.0f} % are detected and "
        f"{100 * ours['mean_over_objects']['named']:.0f} % named. What the pipeline missed has no "
        "cutout: these shares are of what it found.",
        "",
        "| rate (fitted length), arcsec/s | cutouts | detected | named asteroid |",
        "|---|---|---|---|",
    ]
    for one in ours["by_rate"]:
        if one["n"]:
            lines.append(
                f"| {one['from']:g} to {one['to']:g} | {one['n']} | {one['found']} | "
                f"{one['named']} |"
            )
    return lines


def _share_row(one: dict[str, Any]) -> str:
    share = 100 * one["found"] / one["n"]
    return (
        f"| {one['from']:g} to {one['to']:g} | {one['n']} | {one['found']} | {share:.0f} % "
        f"({100 * one['low']:.0f} to {100 * one['high']:.0f}) |"
    )


def draw(figures: dict[str, Any], nights: Sequence[dict[str, Any]], folder: Path) -> None:
    """Pictures of the document: found against expected a night, and one night's curves."""
    from streaks.reporting.completeness_figures import completeness_curves

    (folder / "completeness_nights.svg").write_text(_alone(_nights_picture(nights)))
    rows = nights[0]["injected"]
    table = QTable()
    table["mag"] = [row[0] for row in rows]
    for name in ("rate", "angle", "mjd", "x", "y"):
        table[name] = np.full(len(rows), np.nan)
    table["name"] = [row[3] for row in rows]
    table["outcome"] = ["found" if row[4] else "unexplained" for row in rows]
    for k, stage in enumerate(STAGES):
        table[stage] = [bool(row[4 + k]) for row in rows]
    from streaks.completeness import summarise

    summary = summarise(table)
    svg = completeness_curves(summary["stages"], summary["variable"])
    (folder / "completeness_curves.svg").write_text(_alone(svg))


def _nights_picture(nights: Sequence[dict[str, Any]]) -> str:
    """Share of the expected interval: a bar a night and a dot where it was, for each stage."""
    width, high = 720, 330
    most = max(n["stages"]["detected"]["n"] for n in nights)
    parts = [f'<svg viewBox="0 0 {width} {high}" role="img">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = 290 - 270 * share
        parts.append(f'<path d="M52 {y}H706" class="grid-line"/>')
        parts.append(f'<text x="46" y="{y + 4}" text-anchor="end">{most * share:.0f}</text>')
    step = 654 / len(nights)
    for k, night in enumerate(nights):
        for j, stage in enumerate(STAGES):
            one = night["stages"][stage]
            x = 52 + (k + 0.25 + 0.25 * j) * step
            y = [290 - 270 * one[name] / most for name in ("low", "high", "found")]
            parts.append(f'<path d="M{x:.1f} {y[0]:.1f}V{y[1]:.1f}" class="bar {stage}"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{y[2]:.1f}" r="2.4" class="dot {stage}"/>')
    parts.append(
        '<text x="379" y="322" text-anchor="middle">nights; bars: 95 % intervals of the count '
        "expected, dots: found</text></svg>"
    )
    return "".join(parts)


def _alone(svg: str) -> str:
    """A figure with the styles that the page would give it."""
    styles = (
        "text{font:12px sans-serif;fill:#5c6270}.grid-line{stroke:#dcdfe6;fill:none}"
        ".band{fill-opacity:.13}.curve{fill:none;stroke-width:2.2}.bar{stroke-width:1.6}"
        ".detected{fill:#1f6fb2;stroke:#1f6fb2}.named{fill:#b4681d;stroke:#b4681d}"
        ".kept{fill:#2c8a4b;stroke:#2c8a4b}.curve{fill:none}.band{stroke:none}"
    )
    head, _, rest = svg.partition(">")
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg"><style>{styles}</style>'
        f'<rect width="720" height="330" fill="#fff"/>{rest}\n'
    )


if __name__ == "__main__":
    raise SystemExit(main())
