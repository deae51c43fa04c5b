"""False candidates a quadrant against the share of true asteroids that is kept.

    python -m benchmarks.purity --work DIR [--fields 80] [--seed 7000] [--workers 2]
        [-o out.json] [--docs docs/purity.md]

Whole simulated quadrants (3080 x 3072 px), three visits of each field, of seeds that no verdict was
trained on; no orbits and no satellites' elements are given. Kept is the share of all asteroids put
in that have S/N 8 or more and can be told from points (2.5 FWHM long at S/N 8, 1.5 at 15, 1.25 at
20, 1.0 at 30). Everything else that was found is false, satellites too; what lies on a true
asteroid's line and is not its best match counts as neither. Fields that are in DIR already are used
again; images are deleted once they are searched.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, vstack
from numpy.typing import NDArray

__all__ = ["main"]

VISITS = 3
KEPT = (0.8, 0.9, 0.95)
SNR_EDGES = (8.0, 10.0, 15.0, 30.0, 1000.0)
#: A streak is of an artifact whose centre is this near, px; ghosts are larger.
GHOST_PX = 120.0
DECADES = ((0.9, 1.0), (0.1, 0.9), (0.01, 0.1), (0.001, 0.01))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.purity", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for fields")
    parser.add_argument("--fields", type=int, default=80)
    parser.add_argument("--seed", type=int, default=7000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verdict", default="default")
    parser.add_argument("--only-make", action="store_true", help="make and search the fields")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    from streaks.cli.verdict_training import simulated_night

    nights = []
    for k in range(given.fields):
        nights.append(
            simulated_night(given.work, given.seed + k, frames=VISITS, workers=given.workers)
        )
        print(f"field {k + 1} of {given.fields}", flush=True)
    if given.only_make:
        return 0
    figures = measure(nights, given.verdict)
    text = _text(figures, given.fields, given.seed)
    print(text)
    if given.output:
        given.output.write_text(json.dumps(figures, indent=1) + "\n")
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.purity", text)
    return 0


def measure(nights: Sequence[Path], verdict: str = "default") -> dict[str, Any]:
    """All figures of some searched fields."""
    from streaks.models.verdict_store import load_verdict
    from streaks.search.judging import judge_linked

    model = load_verdict(verdict)
    streaks, abouts, truth, clutter = _read(nights)
    one = _judged_apart(streaks, abouts, model)
    # Fields are minutes apart in no real order: each is linked by itself, all are weighed as one.
    three, _ = judge_linked(streaks, abouts, model)
    asteroids = truth[np.asarray(truth["label"]).astype(str) == "asteroid"]
    kind, found, resolved = _matched(streaks, abouts, asteroids)
    n_frames = len(abouts)
    return {
        "verdict": model.name,
        "quadrants": n_frames,
        "asteroids": int(resolved.sum()),
        "found": int((found[resolved] >= 0).sum()),
        "one_exposure": _curve(one, kind, found, resolved, asteroids, n_frames),
        "three_visits": _curve(three, kind, found, resolved, asteroids, n_frames),
        "calibration_one": _calibration(one, kind),
        "calibration_three": _calibration(three, kind),
        "labels": _labels(three, found, resolved, truth, streaks, abouts),
        "groups": _groups(three, clutter),
        "candidates": _candidates(three, kind),
        "evidence_share": _evidence_share(nights),
    }


def _read(nights: Sequence[Path]) -> tuple[QTable, dict[str, Any], QTable, QTable]:
    from streaks.night_folder import NightFolder
    from streaks.night_folder.tables import searched_streaks
    from streaks.readers import read_table

    tables, abouts, truths, clutters = [], {}, [], []
    for night in nights:
        streaks, about = searched_streaks(NightFolder(night))
        tables.append(streaks)
        abouts.update(about)
        for name, parts in (("truth.ecsv", truths), ("clutter.ecsv", clutters)):
            table = read_table(night / name)
            table.meta.clear()
            parts.append(table)
    join = {"metadata_conflicts": "silent"}
    return vstack(tables, **join), abouts, vstack(truths, **join), vstack(clutters, **join)


def _judged_apart(streaks: QTable, abouts: dict[str, Any], model: Any) -> QTable:
    """As if no image knew of another: no tracklets, no other exposures."""
    from streaks.verdict import judge_streaks

    return judge_streaks(streaks, model)


def _matched(
    streaks: QTable, abouts: dict[str, Any], asteroids: QTable
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Kind of each row (1 true, 0 false, -1 neither), row of each asteroid, and which count."""
    from streaks.completeness import true_and_false

    fwhm = np.array([float(abouts[str(i)]["fwhm_px"]) for i in asteroids["image"]])
    return true_and_false(streaks, asteroids, fwhm)


def _curve(
    judged: QTable,
    kind: NDArray[np.int64],
    found: NDArray[np.int64],
    resolved: NDArray[np.bool_],
    asteroids: QTable,
    n_frames: int,
) -> list[dict[str, Any]]:
    p = np.nan_to_num(np.asarray(judged["p_real"], float))
    of_truth = np.where(found >= 0, p[np.maximum(found, 0)], -1.0)
    snr = np.asarray(asteroids["snr"], float)
    rows = []
    ranked = np.sort(of_truth[resolved])[::-1]
    for share in KEPT:
        cut = float(ranked[max(math.ceil(share * len(ranked)) - 1, 0)])
        row: dict[str, Any] = {"kept": share, "p_real": cut, "reached": cut >= 0}
        if cut >= 0:
            false = (kind == 0) & (p >= cut)
            row |= {
                "false": int(false.sum()),
                "false_a_quadrant": int(false.sum()) / n_frames,
                "satellites": int((false & (np.asarray(judged["p_satellite"], float) > 0.5)).sum()),
                "by_snr": [
                    {
                        "from": low,
                        "kept": _share(of_truth[resolved & (snr >= low) & (snr < high)] >= cut),
                        "false": int(
                            (
                                false
                                & (np.asarray(judged["snr"]) >= low)
                                & (np.asarray(judged["snr"]) < high)
                            ).sum()
                        ),
                    }
                    for low, high in itertools.pairwise(SNR_EDGES)
                ],
            }
        rows.append(row)
    return rows


def _share(yes: NDArray[np.bool_]) -> float:
    return float(yes.mean()) if len(yes) else math.nan


def _calibration(judged: QTable, kind: NDArray[np.int64]) -> list[dict[str, float]]:
    p = np.nan_to_num(np.asarray(judged["p_real"], float))
    rows = []
    for low, high in DECADES:
        inside = (p >= low) & (p < high if high < 1 else p <= 1) & (kind >= 0)
        rows.append({
            "from": low,
            "to": high,
            "expected_false": float((1.0 - p[inside]).sum()),
            "false": int((kind[inside] == 0).sum()),
            "expected_true": float(p[inside].sum()),
            "true": int((kind[inside] == 1).sum()),
        })  # fmt: skip
    return rows


def _labels(
    judged: QTable,
    found: NDArray[np.int64],
    resolved: NDArray[np.bool_],
    truth: QTable,
    streaks: QTable,
    abouts: dict[str, Any],
) -> dict[str, Any]:
    from streaks.completeness import match_truth

    labels = np.asarray(judged["label"]).astype(str)
    seen = resolved & (found >= 0)
    satellites = truth[np.asarray(truth["label"]).astype(str) == "satellite"]
    bright = satellites[np.asarray(satellites["snr"], float) >= 10.0]
    of_bright = match_truth(streaks, bright)
    known = of_bright[of_bright >= 0]
    return {
        "asteroids_called_so": _share(labels[found[seen]] == "asteroid"),
        "asteroids": int(seen.sum()),
        "satellites_called_so": _share(labels[known] == "satellite"),
        "satellites_called_asteroid": int((labels[known] == "asteroid").sum()),
        "satellites": len(known),
    }


def _groups(judged: QTable, clutter: QTable) -> dict[str, Any]:
    """Into how many groups a ghost falls, and how many groups hold lines of two artifacts."""
    groups = np.asarray(judged["group"]).astype(str)
    images = np.asarray(judged["image"]).astype(str)
    x, y = (judged[name].to_value("pix") for name in ("x", "y"))
    per_ghost = []
    owners: dict[str, set[str]] = {}
    for row in clutter[np.asarray(clutter["label"]).astype(str) == "ghost"]:
        own = np.flatnonzero(images == str(row["image"]))
        px, py = (float(row[name].to_value("pix")) for name in ("x", "y"))
        near = own[np.hypot(x[own] - px, y[own] - py) < GHOST_PX]
        names = set(groups[near].tolist())
        if names:
            per_ghost.append(len(names))
        for name in names:
            owners.setdefault(name, set()).add(str(row["streak_id"]))
    return {
        "rows": len(judged),
        "groups": len(set(groups.tolist())),
        "ghosts": len(per_ghost),
        "most_groups_of_a_ghost": max(per_ghost, default=0),
        "ghosts_of_more_than_three": int(sum(n > 3 for n in per_ghost)),
        "groups_of_two_ghosts": int(sum(len(ids) > 1 for ids in owners.values())),
    }


def _evidence_share(nights: Sequence[Path]) -> float:
    """Of the CPU time of all stages of all frames, by the nights' own logs."""
    seconds: dict[str, float] = {}
    for night in nights:
        for line in (night / "log.jsonl").read_text().splitlines():
            for stage, cpu_s in (json.loads(line).get("cpu_stages") or {}).items():
                seconds[stage] = seconds.get(stage, 0.0) + cpu_s
    return seconds.get("evidence", 0.0) / sum(seconds.values()) if seconds else math.nan


def _candidates(judged: QTable, kind: NDArray[np.int64]) -> dict[str, int]:
    above = np.nan_to_num(np.asarray(judged["p_real"], float)) >= 0.5
    return {
        "above_half": int(above.sum()),
        "true": int((above & (kind == 1)).sum()),
        "false": int((above & (kind == 0)).sum()),
    }


def _text(figures: dict[str, Any], fields: int, seed: int) -> str:
    lines = [
        f"Of {figures['quadrants']} quadrants ({fields} fields of seeds {seed} to "
        f"{seed + fields - 1}, {VISITS} visits each) with {figures['asteroids']} asteroids that "
        f"count, {figures['found']} were found "
        f"({100 * figures['found'] / max(figures['asteroids'], 1):.1f} %).",
        "",
        "| kept of all put in | p_real above | false | false a quadrant | with other exposures: "
        "p_real above | false | false a quadrant |",
        "|---|---|---|---|---|---|---|",
    ]
    for one, three in zip(figures["one_exposure"], figures["three_visits"], strict=True):
        cells = [f"{100 * one['kept']:.0f} %"]
        for row in (one, three):
            if row["reached"]:
                cells += [
                    f"{row['p_real']:.3g}", str(row["false"]), f"{row['false_a_quadrant']:.4f}",
                ]  # fmt: skip
            else:
                cells += ["not found", "-", "-"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| S/N from | kept, one exposure at 90 % | false | kept, three visits at 95 % | "
              "false |", "|---|---|---|---|---|"]  # fmt: skip
    one, three = figures["one_exposure"][1], figures["three_visits"][2]
    if one["reached"] and three["reached"]:
        for a, b in zip(one["by_snr"], three["by_snr"], strict=True):
            lines.append(
                f"| {a['from']:.0f} | {100 * a['kept']:.1f} % | {a['false']} | "
                f"{100 * b['kept']:.1f} % | {b['false']} |"
            )
    lines += ["", "| p_real | false expected, one exposure | counted | expected, three visits | "
              "counted |", "|---|---|---|---|---|"]  # fmt: skip
    for a, b in zip(figures["calibration_one"], figures["calibration_three"], strict=True):
        lines.append(
            f"| {a['from']:g} to {a['to']:g} | {a['expected_false']:.1f} | {a['false']} | "
            f"{b['expected_false']:.1f} | {b['false']} |"
        )
    labels, groups = figures["labels"], figures["groups"]
    lines += [
        "",
        f"Of {labels['asteroids']} asteroids found {100 * labels['asteroids_called_so']:.1f} % are "
        f"labelled so in the end; of {labels['satellites']} satellites of S/N 10 and more "
        f"{100 * labels['satellites_called_so']:.1f} %, {labels['satellites_called_asteroid']} are "
        "called asteroid.",
        "",
        f"{groups['rows']} rows are {groups['groups']} things. A ghost is at most "
        f"{groups['most_groups_of_a_ghost']} groups ({groups['ghosts_of_more_than_three']} of "
        f"{groups['ghosts']} more than 3); {groups['groups_of_two_ghosts']} groups hold lines of "
        "two ghosts.",
        "",
        f"Evidence takes {100 * figures['evidence_share']:.1f} % of the CPU time of a frame.",
        "",
        f"Verdict: {figures['verdict']}.",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
