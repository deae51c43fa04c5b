"""What naming a cutout costs: time a cutout on one core, and memory.

    python -m benchmarks.classification [--n 1024] [--model default ...]

The cutouts are noise with one line each: what is in them hardly changes the cost.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from streaks.classification import Classifier, classify_cutouts
from streaks.cutouts import Cutouts
from streaks.models import load_classifier, shipped_names


def _cutouts(n: int, seed: int = 1) -> Cutouts:
    rng = np.random.default_rng(seed)
    images = 12 * rng.standard_normal((n, 128, 128), dtype=np.float32)
    t = np.arange(-20, 21)
    for image, theta in zip(images, rng.uniform(0, np.pi, n), strict=True):
        y, x = np.rint(64 + t * np.sin(theta)).astype(int), np.rint(64 + t * np.cos(theta))
        image[y, x.astype(int)] += 60.0
    return Cutouts(images, np.zeros(images.shape, bool), tuple(map(str, range(n))))


def _milliseconds(classifier: Classifier, cutouts: Cutouts, repeats: int = 3) -> float:
    """Best of a few: other programs only ever slow it down."""
    classify_cutouts(classifier, cutouts.select(slice(0, 64)))
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        classify_cutouts(classifier, cutouts)
        spent.append(time.process_time() - start)
    return 1e3 * min(spent) / len(cutouts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1024)
    parser.add_argument("--model", action="append", default=None)
    options = parser.parse_args()
    cutouts = _cutouts(options.n)
    for name in options.model or shipped_names():
        ms = _milliseconds(load_classifier(name), cutouts)
        print(
            f"{name}: {ms:.2f} ms a cutout on one core; 200,000 in {200 * ms / 60 / 2:.1f} minutes "
            f"on two"
        )
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"most memory held: {held:.0f} MB, {cutouts.difference.nbytes / 2**20:.0f} of it cutouts")


if __name__ == "__main__":
    main()
