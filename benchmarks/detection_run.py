"""Searching simulated frames: finders, what they found, and how it goes with the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection_frames import Recipe, Simulated, make_frame
from benchmarks.detection_scoring import Pairs, pair_streaks

__all__ = ["Finder", "Found", "Searched", "find_ours", "search_all", "search_frame"]

_MEASURED = (
    "flux", "flux_err", "snr", "along0_err", "along1_err", "across_err", "length_err",
    "theta_err", "flags",
)  # fmt: skip
#: Of the small frame that first calls are made on; no frame of a run has it.
_WARM_UP = (90210, 999_999)


@dataclass(frozen=True, eq=False)
class Found:
    """What a finder says of one frame, and what that cost."""

    ends: NDArray[np.float64]
    score: NDArray[np.float64]
    cpu_s: float
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Searched:
    """One frame's truth (without its pixels), what was found, and how the two go together."""

    truth: Simulated
    found: Found
    pairs: Pairs

    @property
    def score(self) -> NDArray[np.float64]:
        """Of each true streak; minus infinity where it was not found."""
        return np.append(self.found.score, -math.inf)[self.pairs.found]


def find_ours(frame: Simulated, settings: dict[str, float | str]) -> Found:
    from streaks.config import DetectionConfig
    from streaks.detection import find_streaks
    from streaks.frame import Frame

    given = Frame(frame.data, frame.mask, fwhm_px=frame.fwhm_px, name=frame.name)
    config = DetectionConfig(**settings)  # type: ignore[arg-type]
    start = time.process_time()
    table = find_streaks(given, config)
    spent = time.process_time() - start
    plain = {name: np.asarray(getattr(table[name], "value", table[name]), float)
             for name in ("x0", "y0", "x1", "y1", "score", *_MEASURED)}  # fmt: skip
    ends = np.column_stack([plain.pop(name) for name in ("x0", "y0", "x1", "y1")])
    return Found(ends.reshape(-1, 4), plain.pop("score"), spent, plain)


Finder = Callable[[Simulated], Found]


def search_frame(
    recipe: Recipe, finders: dict[str, Finder], cache: Path | None
) -> dict[str, Searched]:
    """One frame, searched by each finder."""
    _keep_to_one_thread()
    frame = make_frame(recipe, cache)
    _warm_up(finders)
    # The pixels have done their work, and are too much to send between processes.
    truth = Simulated(**{**vars(frame), "data": np.zeros((0, 0), np.float32),
                         "mask": np.zeros((0, 0), bool)})  # fmt: skip
    results = {}
    for name, finder in finders.items():
        found = finder(frame)
        pairs = pair_streaks(found.ends, found.score, frame.ends)
        results[name] = Searched(truth, found, pairs)
    return results


def _keep_to_one_thread() -> None:
    """CPU time is measured: threads that wait for each other would count."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)


_warm: set[str] = set()


def _warm_up(finders: dict[str, Finder]) -> None:
    """First calls load and compile: no part of the cost of a frame."""
    cold = [name for name in finders if name not in _warm]
    if not cold:
        return
    small = make_frame(Recipe("clutter", *_WARM_UP, shape=(512, 500)))
    for name in cold:
        finders[name](small)
        _warm.add(name)


def search_all(
    recipes: Sequence[Recipe], finders: dict[str, Finder], cache: Path | None, pool: Executor
) -> dict[str, list[Searched]]:
    """Every frame by every finder: a list by frame for each finder."""
    frames = list(pool.map(partial(search_frame, finders=finders, cache=cache), recipes))
    return {name: [frame[name] for frame in frames] for name in finders}
