"""Whether the verdict's trees can weigh alerts: what is left of them with what a stamp tells alone.

    python -m benchmarks.alert_verdict [--sky FOLDER]

Simulated frames (those of `benchmarks.scale`) are searched, and their streaks weighed three times:
with all evidence, with what a difference, a science and a reference stamp tell, and with the
difference stamp alone. Prints how many asteroids are expected by p_real and how many there are. No
alert's p_real is made: the second and third are not calibrated (docs/alerts.md).
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.verdict.numbers import NUMBERS

__all__ = ["main"]

#: What a stamp and its class tell; flags are not known there, nor what else is in the image.
OF_A_STAMP = (
    "snr", "length", "width", "length_err", "p_", "rb", "length_fwhm", "width_fwhm",
    "odds_asteroid", "asteroid_to_satellite", "ev_fwhm_px", "ev_trail_", "ev_beside_",
    "ev_science_", "ev_reference_",
)  # fmt: skip
OF_OTHER_STAMPS = ("ev_science_", "ev_reference_")
BINS = (0.0, 0.01, 0.1, 0.5, 0.9, 1.0001)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sky", type=Path, help="folder that `benchmarks.scale --sky` made")
    given = parser.parse_args(argv)
    from benchmarks.scale import make_sky

    with tempfile.TemporaryDirectory() as name:
        sky = given.sky or Path(name) / "sky"
        if not sky.is_dir():
            make_sky(sky)
        numbers, is_asteroid = _searched([sky / "ztf", sky / "big"])
    print(f"{len(numbers)} streaks, {int(is_asteroid.sum())} of them asteroids")
    weigh("all evidence", numbers, is_asteroid)
    stamp = _lacking(numbers, lambda name: not name.startswith(OF_A_STAMP))
    weigh("three stamps", stamp, is_asteroid)
    alone = _lacking(stamp, lambda name: name.startswith(OF_OTHER_STAMPS))
    weigh("the difference stamp", alone, is_asteroid)
    return 0


def _searched(folders: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Numbers of all streaks of the frames, and which are asteroids."""
    from streaks.completeness import match_truth
    from streaks.models import load_classifier
    from streaks.readers import find_frames, read_table
    from streaks.search import Search
    from streaks.verdict.numbers import numbers_of

    load = functools.partial(load_classifier, "default")
    searcher = Search(load_classifier=load, classifier="default").prepare()
    numbers, truths = [], []
    for folder in folders:
        truth = read_table(folder / "truth.ecsv")
        is_real = np.asarray(truth["label"]).astype(str) == "asteroid"
        for files in find_frames([folder]):
            streaks = searcher.search_files(files, draw=False).streaks
            found = match_truth(streaks, truth)
            hit = np.zeros(len(streaks), bool)
            hit[found[is_real & (found >= 0)]] = True
            numbers.append(numbers_of(streaks))
            truths.append(hit)
    return np.concatenate(numbers), np.concatenate(truths)


def _lacking(numbers: NDArray[np.float32], lacks: Any) -> NDArray[np.float32]:
    changed = numbers.copy()
    for i, name in enumerate(NUMBERS):
        if name.startswith("flag_"):
            changed[:, i] = 0.0
        elif lacks(name):
            changed[:, i] = np.nan
    return changed


def weigh(what: str, numbers: NDArray[np.float32], is_asteroid: NDArray[np.bool_]) -> None:
    """Print how p_real stands to the truth."""
    from streaks.models.verdict_store import load_verdict
    from streaks.verdict.weighing import fitted_share, probabilities

    ratio = load_verdict().log_ratio(numbers)
    p_real = probabilities(ratio, fitted_share(ratio))
    print(f"\n{what}: median log ratio of asteroids {np.median(ratio[is_asteroid]):.2f}, "
          f"99 % of the others below {np.quantile(ratio[~is_asteroid], 0.99):.2f}")  # fmt: skip
    for low, high in itertools.pairwise(BINS):
        there = (p_real >= low) & (p_real < high)
        print(f"  p_real {low:g} to {min(high, 1):g}: {int(there.sum())} streaks, "
              f"{p_real[there].sum():.2f} asteroids expected, "
              f"{int(is_asteroid[there].sum())} there")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
