"""False streaks on noise of every kind, against what each image says of itself.

    python -m benchmarks.noise_kinds [--frames 6] [--seed 4100] [--real IMAGE ...]
        [-o out.json] [--docs docs/detection.md]

Nothing is in the frames (2048 x 2048 px): white noise, correlated, with heavy tails (Student, 4
degrees of freedom), striped in rows and in columns, with straps, vignetted, with a gradient. Each
is searched as it is. ``n_negated`` of its own check is what the image expects of false lines before
scores are corrected; the lines that were found before that correction are counted against it. With
``--real`` the pixels of images are shuffled, or all turned over, so that no streak is in them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "main"]

SHAPE = (2048, 2048)
SIGMA, FWHM_PX = 10.0, 2.5
#: From so many expected false lines on a ratio is judged, below that chance is (Poisson, 95 %).
MANY, RATIO, CHANCE = 50.0, 1.5, 0.95

Floats = NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noise_kinds", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=6, help="of each kind")
    parser.add_argument("--seed", type=int, default=4100)
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="images, for shuffling")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    counts = [
        _counted(kind, (draw(given.seed + k) for k in range(given.frames)))
        for kind, draw in KINDS.items()
        if given.frames
    ]
    counts += list(_of_real(given.real, given.seed))
    text = _text(counts, given.frames, given.seed)
    print(text)
    if given.output:
        given.output.write_text(json.dumps([vars(one) for one in counts], indent=1) + "\n")
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.noise_kinds", text)
    return 0


@dataclass(frozen=True)
class Counted:
    """Of all frames of a kind: what is expected, found before the correction, and reported."""

    kind: str
    frames: int
    quadrants: float
    expected: float
    found: int
    reported: int

    @property
    def agrees(self) -> bool:
        """Within a factor where many are expected, within chance elsewhere.

        The expectation is a count itself: of two Poisson counts, the one is binomial in their sum.
        """
        from scipy.stats import binomtest

        if self.expected >= MANY:
            return 1.0 / RATIO <= self.found / self.expected <= RATIO
        total = self.found + round(self.expected)
        return total == 0 or binomtest(self.found, total).pvalue > 1.0 - CHANCE


def _counted(kind: str, images: Iterator[Floats]) -> Counted:
    from streaks.frame import Frame

    frames = [
        Frame(data=data.astype(np.float32), mask=np.zeros(data.shape, bool), name=kind,
              fwhm_px=FWHM_PX)
        for data in images
    ]  # fmt: skip
    return _searched(kind, frames)


def _searched(kind: str, frames: Sequence[Any]) -> Counted:
    from streaks.detection import detect_lines
    from streaks.detection.records import SetAside

    expected, found, reported, pixels = 0.0, 0, 0, 0
    for frame in frames:
        detection = detect_lines(frame)
        corrected = sum(line.set_aside is SetAside.NOISE for line in detection.set_aside)
        expected += detection.check.n_negated
        found += len(detection.streaks) + corrected
        reported += len(detection.streaks)
        pixels += frame.data.size
    return Counted(kind, len(frames), pixels / (3072 * 3080), expected, found, reported)


def _of_real(paths: Sequence[Path], seed: int) -> Iterator[Counted]:
    """Images without what is in them: their usable pixels shuffled; and all turned over."""
    from streaks.readers import read_frame

    for path in paths:
        frame = replace(read_frame(path), science=None, reference=None, variance=None)
        usable = ~frame.mask
        shuffled = frame.data.copy()
        shuffled[usable] = np.random.default_rng(seed).permutation(frame.data[usable])
        yield _searched(f"{path.name}, shuffled", [replace(frame, data=shuffled)])
        yield _searched(f"{path.name}, negated", [replace(frame, data=-frame.data)])


def _white(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(0.0, SIGMA, SHAPE)


def _correlated(seed: int) -> Floats:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 0.6, mode="wrap")
    return np.asarray(SIGMA * smooth / smooth.std())


def _student(seed: int) -> Floats:
    return SIGMA * np.random.default_rng(seed).standard_t(4, SHAPE)


def _rows(seed: int) -> Floats:
    return _white(seed) + np.random.default_rng([seed, 1]).normal(0.0, 0.2 * SIGMA, (SHAPE[0], 1))


def _columns(seed: int) -> Floats:
    return _white(seed) + np.random.default_rng([seed, 1]).normal(0.0, 0.2 * SIGMA, (1, SHAPE[1]))


def _straps(seed: int) -> Floats:
    """Bands of columns that differ, as reflecting straps behind a detector make them."""
    rng = np.random.default_rng([seed, 1])
    columns = np.zeros((1, SHAPE[1]))
    for first in range(100, SHAPE[1], 400):
        columns[0, first : first + 60] = rng.normal(0.0, 0.5 * SIGMA, 60)
    return _white(seed) + columns


def _vignetted(seed: int) -> Floats:
    """Light and noise fall to the corners, and the sky was not taken off."""
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    falls = 1.0 - 0.4 * (x**2 + y**2) / 2.0
    return 100.0 * SIGMA * falls + np.sqrt(falls) * _white(seed)


def _gradient(seed: int) -> Floats:
    y, x = np.mgrid[0 : 1 : SHAPE[0] * 1j, 0 : 1 : SHAPE[1] * 1j]
    return 50.0 * SIGMA * (0.7 * x + 0.3 * y) + _white(seed)


#: Noise by its name.
KINDS: dict[str, Callable[[int], Floats]] = {
    "white": _white,
    "correlated": _correlated,
    "heavy tails": _student,
    "rows": _rows,
    "columns": _columns,
    "straps": _straps,
    "vignetted": _vignetted,
    "gradient": _gradient,
}


def _text(counts: Sequence[Counted], frames: int, seed: int) -> str:
    lines = [
        f"{frames} frames of 2048 x 2048 px of each kind of noise, seed {seed}; nothing is in "
        "them. False lines that an image expects by its negative, found before scores are "
        "corrected, and reported in the end.",
        "",
        "| noise | expected | found | agree | reported | reported a ZTF quadrant |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.kind} | {one.expected:.0f} | {one.found} | {'yes' if one.agrees else '**no**'} | "
        f"{one.reported} | {one.reported / one.quadrants:.2f} |"
        for one in counts
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
