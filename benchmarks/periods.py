"""Rotation periods: how many are right, on simulated asteroids and on real ones.

    python -m benchmarks.periods --data DIR --work DIR [--test 120] [--train 240]
        [--save FOLDER] [--docs docs/periods.md]

DIR holds alerts.csv (real detections of asteroids), orbits.dat and periods.csv (published periods).
Simulated asteroids are convex bodies (`streaks.synth.rotation`) with the real epochs, distances and
directions of one of them, 200 epochs drawn at random. Light curves that were searched already are
in the work folder, one line each, and are not searched again. With --save the reliability is
trained anew on the training light curves and kept; figures are always those of the test set.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["main"]

Floats = NDArray[np.float64]

RIGHT = 0.01
EPOCHS, LEAST_AMPLITUDE_MAG = 200, 0.15
#: Of the training set: fewer and more epochs, and flatter curves.
TRAIN_EPOCHS, TRAIN_AMPLITUDES = (60, 320), (0.05, 0.1, 0.15)
#: How much brighter and fainter than the real asteroid, and g - r.
SHIFT_MAG, COLOUR_MAG = (-0.5, 1.5), 0.6
STATED = 0.9
TEST_SEED, TRAIN_SEED = 77, 99


class Cadence(NamedTuple):
    """Epochs of one real asteroid, each (n, ...)."""

    name: str
    days: Floats
    band: NDArray[np.int64]
    v_mag: Floats
    phase_deg: Floats
    to_sun: Floats
    to_observer: Floats
    bisector_deg: Floats
    apparition: NDArray[np.int64]


class Drawn(NamedTuple):
    """A simulated light curve and its truth."""

    series: Any
    period_h: float
    amplitude_mag: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.periods", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--test", type=int, default=120)
    parser.add_argument("--train", type=int, default=240)
    parser.add_argument("--save", type=Path, help="folder of the reliability's model")
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    given.work.mkdir(parents=True, exist_ok=True)
    places = cadence_table(given.data, given.work)
    cadences = cadences_of(places)
    train = searched(given.work / "train.jsonl", given.train, TRAIN_SEED, cadences, wide=True)
    test = searched(given.work / "test.jsonl", given.test, TEST_SEED, cadences, wide=False)
    if given.save:
        save_model(train, given.save)
    figures = measure(train, test)
    fits, seconds = real_fits(places, given.work)
    text = as_text(figures, fits, published(given.data), seconds)
    print(text)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.periods", text)
        write_picture(fits, published(given.data), given.docs.with_suffix(".png"))
    return 0


def cadence_table(data: Path, work: Path) -> Any:
    """Measurements and predictions of the real asteroids; made once a work folder."""
    from astropy.table import QTable, hstack

    path = work / "places.ecsv"
    if path.is_file():
        return QTable.read(path)
    from streaks.cli.lightcurve import measurements_of, places_of
    from streaks.known import NBody, find_observatory, read_orbits

    orbits = read_orbits(data / "orbits.dat")
    measured, _ = measurements_of([data / "alerts.csv"])
    rows = {str(d): k for k, d in enumerate(orbits.designation)}
    places = places_of(measured, orbits, rows, find_observatory("I41"), NBody())
    kept = places["ra", "dec", "rate", "r", "delta", "phase", "vmag"]
    kept.meta.clear()
    table = hstack([measured, kept], table_names=["seen", "predicted"])
    table.write(path, overwrite=True)
    return table


def halves(places: Any) -> tuple[Any, Any]:
    """Measurements and predictions, each with its own names of columns."""
    from astropy.table import QTable

    from streaks.lightcurves import MEASUREMENT_COLUMNS

    names = [spec.name for spec in MEASUREMENT_COLUMNS]
    measured = QTable({
        name: places[f"{name}_seen" if name in ("ra", "dec") else name] for name in names
    })  # fmt: skip
    predicted = QTable({
        name: places[f"{name}_predicted" if name in ("ra", "dec") else name]
        for name in ("ra", "dec", "rate", "r", "delta", "phase")
    })  # fmt: skip
    return measured, predicted


def cadences_of(places: Any) -> list[Cadence]:
    """The epochs of each asteroid."""
    from streaks.lightcurves import apparitions, viewing
    from streaks.lightcurves.geometry import LIGHT_AU_PER_DAY

    found = []
    names = np.asarray(places["name"]).astype(str)
    for name in sorted(set(names.tolist()), key=int):
        own = places[names == name]
        jd, delta = own["jd"].to_value("d"), own["delta"].to_value("AU")
        seen = viewing(
            own["ra_predicted"].to_value("deg"), own["dec_predicted"].to_value("deg"), delta, jd
        )
        found.append(
            Cadence(
                name,
                jd - delta / LIGHT_AU_PER_DAY,
                (np.asarray(own["band"]).astype(str) == "r").astype(np.int64),
                own["vmag"].to_value("mag"),
                own["phase"].to_value("deg"),
                seen.to_sun,
                seen.to_observer,
                seen.bisector_deg,
                apparitions(jd),
            )
        )
    return found


def draw(seed: Sequence[int], cadences: Sequence[Cadence], *, wide: bool) -> Drawn:
    """A simulated light curve."""
    from streaks.lightcurves import Series
    from streaks.synth.rotation import brightness_mag, draw_body, full_amplitudes, observed

    rng = np.random.default_rng(seed)
    n_epochs = int(rng.integers(*TRAIN_EPOCHS)) if wide else EPOCHS
    least = float(rng.choice(TRAIN_AMPLITUDES)) if wide else LEAST_AMPLITUDE_MAG
    while True:
        cadence = cadences[rng.integers(len(cadences))]
        body = draw_body(rng)
        n = min(n_epochs, len(cadence.days))
        rows = np.sort(rng.choice(len(cadence.days), n, replace=False))
        sun, observer, apparition = (
            cadence.to_sun[rows], cadence.to_observer[rows], cadence.apparition[rows],
        )  # fmt: skip
        weights = np.unique(apparition, return_counts=True)[1]
        amplitude = float(
            np.average(full_amplitudes(body, sun, observer, apparition), weights=weights)
        )
        if amplitude > least:
            break
    mag = brightness_mag(body, cadence.days[rows] - cadence.days[0], sun, observer)
    mag = mag - mag.mean() - COLOUR_MAG * cadence.band[rows]
    apparent = cadence.v_mag[rows] + rng.uniform(*SHIFT_MAG)
    measured, error = observed(mag, apparent, rng)
    series = Series(
        "-".join(map(str, seed)), cadence.days[rows], measured, error, cadence.phase_deg[rows],
        cadence.bisector_deg[rows], cadence.band[rows], apparition,
    )  # fmt: skip
    return Drawn(series, body.period_h, amplitude)


def searched(
    path: Path, n: int, seed: int, cadences: Sequence[Cadence], *, wide: bool
) -> list[dict[str, Any]]:
    """What was found of n light curves; those in the file are not searched again."""
    from threadpoolctl import threadpool_limits

    from streaks.lightcurves import PeriodConfig, alias_name, find_period, numbers_of

    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    config = PeriodConfig(permutations=0)
    with threadpool_limits(1, user_api="blas"), path.open("a") as out:
        for k in range(len(rows), n):
            drawn = draw((seed, k), cadences, wide=wide)
            began = time.process_time()
            fit = find_period(drawn.series, config)
            rows.append({
                "true": drawn.period_h,
                "found": fit.period_h,
                "amplitude": drawn.amplitude_mag,
                "epochs": len(drawn.series),
                "numbers": numbers_of(fit).tolist(),
                "alias": alias_name(fit.period_h, drawn.period_h, 0.005),
                "seconds": time.process_time() - began,
            })  # fmt: skip
            out.write(json.dumps(rows[-1]) + "\n")
            out.flush()
    return rows[:n]


def is_right(rows: Sequence[dict[str, Any]]) -> NDArray[np.bool_]:
    return np.array([abs(row["found"] / row["true"] - 1.0) < RIGHT for row in rows])


def numbers(rows: Sequence[dict[str, Any]]) -> Floats:
    return np.array([row["numbers"] for row in rows], dtype=float)


def save_model(train: Sequence[dict[str, Any]], folder: Path) -> None:
    """Train the reliability and keep it with its card."""
    from streaks.models.period_store import save_reliability
    from streaks.models.period_training import train_reliability

    model, figures, _ = train_reliability(numbers(train), is_right(train), seed=1)
    about = {
        "what": "probability that a rotation period of `streaks periods` is right within 1 %",
        "trained_on": f"{len(train)} simulated light curves (streaks.synth.rotation) with the real "
        "epochs of 9 ZTF asteroids, 60 to 320 epochs, amplitudes above 0.05 mag",
        "command": "python -m benchmarks.periods --save streaks/models/weights/periods",
        "figures": dict(figures),
        "limits": "cadence of ZTF over two to three apparitions; convex single bodies with one "
        "period; no tumblers, no binaries, no comets",
    }
    save_reliability(model, folder, about=about)


def measure(train: Sequence[dict[str, Any]], test: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All figures of the simulated asteroids."""
    from sklearn.linear_model import LogisticRegression

    from streaks.completeness import wilson_interval
    from streaks.lightcurves import RELIABILITY_NUMBERS
    from streaks.models.period_store import load_reliability
    from streaks.models.period_training import ranking_figure, train_reliability

    right = is_right(test)
    forest = load_reliability().probability(numbers(test))
    column = RELIABILITY_NUMBERS.index("contrast")

    def contrast(rows: Sequence[dict[str, Any]]) -> Floats:
        return np.log1p(np.maximum(numbers(rows)[:, [column]], 0.0))

    one = LogisticRegression().fit(contrast(train), is_right(train))
    alone = one.predict_proba(contrast(test))[:, 1]
    _, unseen, _ = train_reliability(numbers(train), is_right(train), seed=1)
    wrong: dict[str, int] = {}
    for row, good in zip(test, right, strict=True):
        if not good:
            what = row["alias"] or "no alias"
            wrong[what] = wrong.get(what, 0) + 1
    return {
        "test": len(test),
        "train": len(train),
        "right": int(right.sum()),
        "interval": wilson_interval(int(right.sum()), len(test), 1.96),
        "wrong": wrong,
        "forest": _stated(forest, right),
        "contrast": _stated(alone, right),
        "auc_forest": ranking_figure(forest, right),
        "auc_contrast": ranking_figure(alone, right),
        "unseen": dict(unseen),
        "seconds": float(np.median([row["seconds"] for row in test])),
    }


def _stated(probability: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
    above = probability >= STATED
    return {
        "above": int(above.sum()),
        "right": int((above & right).sum()),
        "share_of_right": float((above & right).sum() / max(right.sum(), 1)),
        "error": float(np.mean((probability - right) ** 2)),
    }


def published(data: Path) -> dict[str, float]:
    """Published periods, h; NaN where there is none."""
    import csv

    with (data / "periods.csv").open() as lines:
        return {row["ssnamenr"]: float(row["rot_per_h"] or "nan") for row in csv.DictReader(lines)}


def real_fits(places: Any, work: Path) -> tuple[list[Any], float]:
    """Periods of the real asteroids, and seconds of one core each."""
    from streaks.cli.periods import find_periods
    from streaks.lightcurves import PeriodConfig, reduce_measurements

    measured, predicted = halves(places)
    light, _ = reduce_measurements(measured, predicted)
    light.write(work / "light_curves.ecsv", overwrite=True)
    began = time.process_time()
    fits, _ = find_periods(light, PeriodConfig())
    seconds = (time.process_time() - began) / max(len(fits), 1)
    return sorted(fits, key=lambda fit: int(fit.name)), seconds


def verdict_on(period_h: float, told_h: float) -> str:
    """What a period is to the published one."""
    from streaks.lightcurves import alias_name

    if not math.isfinite(told_h):
        return "none published"
    if abs(period_h / told_h - 1.0) < RIGHT:
        return "agrees"
    return alias_name(period_h, told_h, 0.01) or "differs"


def as_text(
    figures: dict[str, Any], fits: Sequence[Any], told: dict[str, float], seconds: float
) -> str:
    from streaks.cli.periods import table_of

    low, high = figures["interval"]
    wrong = ", ".join(f"{n} {what}" for what, n in sorted(figures["wrong"].items(),
                                                          key=lambda item: -item[1]))  # fmt: skip
    forest, contrast = figures["forest"], figures["contrast"]
    lines = [
        f"Simulated: of {figures['test']} asteroids (200 epochs, amplitude above 0.15 mag) "
        f"{figures['right']} periods are right within 1 % "
        f"({100 * figures['right'] / figures['test']:.0f} %, 95 % interval {100 * low:.0f} to "
        f"{100 * high:.0f} %). The wrong ones: {wrong or 'none'}.",
        "",
        "| by | area under the curve | stated 0.9 or more | right of these | of all right ones |",
        "|---|---|---|---|---|",
        f"| forest | {figures['auc_forest']:.3f} | {forest['above']} | "
        f"{100 * forest['right'] / max(forest['above'], 1):.0f} % | "
        f"{100 * forest['share_of_right']:.0f} % |",
        f"| contrast of the peak alone | {figures['auc_contrast']:.3f} | {contrast['above']} | "
        f"{100 * contrast['right'] / max(contrast['above'], 1):.0f} % | "
        f"{100 * contrast['share_of_right']:.0f} % |",
        "",
        f"The forest was trained on {figures['train']} other simulated light curves (folds kept "
        f"back: area {figures['unseen']['auc_forest']:.3f}, contrast alone "
        f"{figures['unseen']['auc_contrast']:.3f}).",
        "",
        f"Real: ZTF detections of {len(fits)} asteroids. The search takes {figures['seconds']:.1f} "
        f"s of one core in the median of the simulated ones, {seconds:.0f} s a real one with "
        "permutations.",
        "",
        "| asteroid | epochs | period, h | published, h | | reliability | amplitude, mag | "
        "the next candidates |",
        "|---|---|---|---|---|---|---|---|",
    ]
    table = table_of(list(fits))
    for fit, row in zip(fits, table, strict=True):
        published_h = told.get(fit.name, math.nan)
        next_ones = "; ".join(
            f"{c.period_h:.3f} ({c.alias or 'no alias'}, "
            f"{c.log_likelihood - fit.candidates[0].log_likelihood:+.0f})"
            for c in fit.candidates[1:4]
        )
        shown = f"{published_h:g}" if math.isfinite(published_h) else ""
        lines.append(
            f"| {fit.name} | {fit.n_epochs} | {fit.period_h:.4f} | {shown} | "
            f"{verdict_on(fit.period_h, published_h)} | {float(row['reliability']):.2f} | "
            f"{fit.amplitude_mag:.2f} | {next_ones} |"
        )
    return "\n".join(lines)


def write_picture(fits: Sequence[Any], told: dict[str, float], path: Path) -> None:
    """The real light curves, folded."""
    from streaks.cli.periods import folded_curves
    from streaks.disk import written_whole
    from streaks.plotting.drawing import encode_png
    from streaks.plotting.light_curves import folded_picture

    subtitles = []
    for fit in fits:
        value = told.get(fit.name, math.nan)
        told_h = f"published {value:g} h: " if math.isfinite(value) else ""
        subtitles.append(f"{told_h}{verdict_on(fit.period_h, value)}; {fit.n_epochs} epochs")
    picture = folded_picture(folded_curves(list(fits), subtitles))
    with written_whole(path) as part:
        part.write_bytes(encode_png(picture, compression=9))


if __name__ == "__main__":
    raise SystemExit(main())
