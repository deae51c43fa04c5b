"""Cutouts of known truth for volunteers: science, reference and difference of one small sky.

Sets for training spread over all formats that users have; these are as a night keeps its cutouts,
in counts and with all that is masked named, so that volunteers cannot tell them from the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.synth.cutout_sets.making import (
    check_set,
    clean_sky,
    draw_labels,
    truth_of_sky,
    truth_table,
)
from streaks.synth.cutout_sets.recipes import expose
from streaks.synth.cutout_sets.rendering import Rendering

__all__ = ["make_subjects"]

_CHUNK = 16


@dataclass(frozen=True, eq=False)
class _One:
    difference: NDArray[np.float32]
    science: NDArray[np.float32]
    reference: NDArray[np.float32]
    mask: NDArray[np.bool_]
    truth: Mapping[str, float | str | int]


def make_subjects(
    n: int, *, seed: int, mix: Mapping[str, float], size_px: int = 128, workers: int = 1
) -> tuple[Cutouts, QTable]:
    """Synthetic cutouts with their science images and references.

    Parameters
    ----------
    n
        How many.
    seed
        The same seed gives the same bytes, whatever the number of workers.
    mix
        Shares of the classes and ``skip``.
    size_px
        Side of a cutout, px.
    workers
        Processes.

    Returns
    -------
    cutouts : Cutouts
        Counts. The science image is the difference over its stars, so that noise and streak are
        the same in both.
    truth : QTable
        `streaks.synth.cutout_sets.making.TRUTH_COLUMNS`, in the order of the cutouts.

    Raises
    ------
    ConfigError
        If n, size, workers or mix cannot be used.
    """
    check_set(n, seed, size_px, "mixed", workers)
    labels = draw_labels(n, mix, seed)
    jobs = [
        (seed, size_px, start, tuple(labels[start : start + _CHUNK]))
        for start in range(0, n, _CHUNK)
    ]
    if workers == 1 or len(jobs) == 1:
        parts = [_make(job) for job in jobs]
    else:
        with ProcessPoolExecutor(min(workers, len(jobs))) as pool:
            parts = list(pool.map(_make, jobs))
    made = [one for part in parts for one in part]
    difference, science, reference, mask = (
        np.stack([getattr(one, name) for one in made])
        for name in ("difference", "science", "reference", "mask")
    )
    truth = truth_table(one.truth for one in made)
    names = tuple(str(name) for name in truth["streak_id"])
    fwhm_px = np.asarray(truth["fwhm_px"].to_value("pix"), dtype=float)
    return Cutouts(difference, mask, names, science, reference, fwhm_px), truth


def _make(job: tuple[int, int, int, tuple[str, ...]]) -> list[_One]:
    from threadpoolctl import threadpool_limits

    seed, size_px, start, labels = job
    # One thread: sums of matrix products depend on how they are split, bytes must not.
    with threadpool_limits(1):
        return [_make_one(seed, size_px, index, label) for index, label in enumerate(labels, start)]


def _make_one(seed: int, size_px: int, index: int, label: str) -> _One:
    # Key 2: key 1 is that of the sets for training, which must not show the same skies.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, index)))
    sky, rendered, snr = clean_sky(rng, label, size_px, Rendering(window_px=size_px))
    difference = expose(sky, *rendered)
    stars, reference, residual = rendered
    science = stars + (difference - residual)
    noise = sky.sigma * sky.conditions.reference_noise
    reference = reference + rng.normal(0.0, noise, reference.shape).astype(np.float32)
    inner = (slice(sky.margin_px, sky.margin_px + size_px),) * 2
    mask = sky.mask[inner].copy()
    shown = (np.where(mask, np.float32(0), difference[inner]), science[inner], reference[inner])
    counts = [image.astype(np.float32) for image in shown]
    return _One(
        difference=counts[0],
        science=counts[1],
        reference=counts[2],
        mask=mask,
        truth=truth_of_sky(sky, seed, index, snr),
    )
