"""Labelled sets of synthetic cutouts: the same seed gives the same bytes for any worker count."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.classification import parse_mix
from streaks.cutouts import Cutouts
from streaks.errors import ConfigError
from streaks.synth.cutout_sets.recipes import RECIPES, Sky, conditions_for, expose, render
from streaks.synth.cutout_sets.rendering import (
    RENDERINGS,
    Rendering,
    apply_rendering,
    draw_picture_rendering,
    draw_rendering,
    encode_picture,
    shift_of_rendering,
)
from streaks.synth.cutout_sets.separability import doubt, seen_snr
from streaks.tables import ColumnSpec, build_table

__all__ = [
    "TRUTH_COLUMNS",
    "check_set",
    "clean_sky",
    "draw_labels",
    "iter_cutouts",
    "iter_pictures",
    "make_cutouts",
    "truth_of_sky",
    "truth_table",
]

#: Beyond the cutout the scene goes on by this much, so that kernels and trails do not end at it.
_MARGIN_PX = 16
#: The largest PSF misses the cutout's far side from here on.
_SIZES_PX = (31, 512)
_CHUNK = 32
#: FWHM that PSFs may be asked to have.
_FWHM_PX = (0.8, 16.0)
#: A third of the naked stars is drawn again, of other classes less
#: (`streaks.synth.cutout_sets.separability`).
_MOST_DRAWS = 200

TRUTH_COLUMNS = (
    ColumnSpec("streak_id", str, None, "name of the cutout"),
    ColumnSpec("label", str, None, "class, or `skip` for nothing to name"),
    ColumnSpec("x0", float, "pix", "first end in the cutout, 0-based; NaN where it is no line"),
    ColumnSpec("y0", float, "pix", "first end"),
    ColumnSpec("x1", float, "pix", "second end"),
    ColumnSpec("y1", float, "pix", "second end"),
    ColumnSpec("length", float, "pix", "distance of the ends inside the cutout"),
    ColumnSpec("theta", float, "deg", "direction from +x towards +y, in [0, 180)"),
    ColumnSpec("flux", float, "ct", "counts of the line inside the cutout; NaN where no line"),
    ColumnSpec(
        "snr",
        float,
        None,
        "matched-filter S/N of the subject where it is seen, other light as noise",
    ),
    ColumnSpec("fwhm_px", float, "pix", "FWHM of the science image's PSF"),
    ColumnSpec("sigma", float, "ct", "noise of the difference"),
    ColumnSpec("seed", np.int64, None, "seed of the set"),
)


Rendered = NDArray[np.float32]
Made = TypeVar("Made")
Row = dict[str, float | str | int]


@dataclass(frozen=True, eq=False)
class _One:
    difference: NDArray[np.float32]
    mask: NDArray[np.bool_]
    truth: Row


@dataclass(frozen=True)
class _Job:
    """A run of cutouts that one process makes."""

    seed: int
    size_px: int
    start: int
    labels: tuple[str, ...]
    rendering: str
    doubtful: bool = False
    fwhm_px: tuple[float, float] | None = None


def make_cutouts(
    n: int,
    *,
    seed: int,
    mix: str | Mapping[str, float] | None = None,
    size_px: int = 128,
    rendering: str = "mixed",
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    doubtful: bool = False,
    fwhm_px: tuple[float, float] | None = None,
) -> tuple[Cutouts, QTable]:
    """Synthetic labelled cutouts.

    Parameters
    ----------
    n
        How many.
    seed
        The same seed gives the same bytes, whatever the number of workers.
    mix
        Shares of the classes and ``skip``: a mapping, ``"balanced"`` (the default),
        ``"astreaks"``, or a text like ``"asteroid=0.5,ghost=0.5"``.
    size_px
        Side of a cutout, native pixels.
    rendering
        ``"mixed"``: counts, pictures, alert stamps and chip edges as users' cutouts spread over
        them; ``"picture"``: all quantised, clipped and compressed as ZTF's stored pictures.
    workers
        Processes.
    progress
        Called with the number of cutouts made so far.
    doubtful
        Leave in what no picture can tell (`streaks.synth.cutout_sets.separability`), as a sky
        does: to fit how sure a classifier may be, not to train or judge one.
    fwhm_px
        Least and largest FWHM of the PSF, for images of another sampling than ZTF's.

    Returns
    -------
    cutouts : Cutouts
        Counts; 0 where masked.
    truth : QTable
        `TRUTH_COLUMNS`, in the order of the cutouts.

    Raises
    ------
    ConfigError
        If n, size, rendering, workers or mix cannot be used.
    """
    parts = list(
        iter_cutouts(
            n,
            seed=seed,
            mix=mix,
            size_px=size_px,
            rendering=rendering,
            workers=workers,
            progress=progress,
            doubtful=doubtful,
            fwhm_px=fwhm_px,
        )
    )
    difference = np.stack([one.difference for one in parts])
    mask = np.stack([one.mask for one in parts])
    names = tuple(str(one.truth["streak_id"]) for one in parts)
    return Cutouts(difference, mask, names), truth_table(one.truth for one in parts)


def truth_table(rows: Iterable[Mapping[str, float | str | int]]) -> QTable:
    """Rows of truth as a checked table.

    Parameters
    ----------
    rows
        Values of `TRUTH_COLUMNS` by name, bare numbers in the columns' units.

    Returns
    -------
    QTable
        `TRUTH_COLUMNS`, a row for each of `rows`.
    """
    rows = list(rows)
    return build_table(
        TRUTH_COLUMNS, {c.name: [row[c.name] for row in rows] for c in TRUTH_COLUMNS}
    )


def iter_cutouts(
    n: int,
    *,
    seed: int,
    mix: str | Mapping[str, float] | None = None,
    size_px: int = 128,
    rendering: str = "mixed",
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    doubtful: bool = False,
    fwhm_px: tuple[float, float] | None = None,
) -> Iterator[_One]:
    """The cutouts of `make_cutouts` one by one, in order, in flat memory.

    Parameters
    ----------
    n, seed, mix, size_px, rendering, workers, progress, doubtful, fwhm_px
        As `make_cutouts` takes them.

    Yields
    ------
    object
        With ``difference``, (size_px, size_px) float32, counts; ``mask``, bool of the same shape,
        True where a pixel must not be used; and ``truth``, values of `TRUTH_COLUMNS` by name.

    Raises
    ------
    ConfigError
        If n, size, rendering, workers, mix or FWHM cannot be used.
    """
    if fwhm_px is not None and not _FWHM_PX[0] <= fwhm_px[0] <= fwhm_px[1] <= _FWHM_PX[1]:
        raise ConfigError(
            f"fwhm_px is {fwhm_px}; expected two numbers in order, {_FWHM_PX[0]} to {_FWHM_PX[1]}"
        )
    jobs = _plan(n, seed, mix, size_px, rendering, workers, doubtful, fwhm_px)
    yield from _run(_make_chunk, jobs, workers, progress)


def iter_pictures(
    n: int,
    *,
    seed: int,
    mix: str | Mapping[str, float] | None = None,
    size_px: int = 157,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    doubtful: bool = False,
) -> Iterator[tuple[bytes, Row]]:
    """Synthetic cutouts as ZTF stores them: JPEG files, dark for positive, with their truth.

    Those at a chip's edge are cropped and so not square; the truth refers to the cutout as
    `streaks.readers.read_cutouts` pads it.

    Parameters
    ----------
    n, seed, mix, size_px, workers, progress, doubtful
        As `make_cutouts` takes them.

    Yields
    ------
    picture : bytes
        A JPEG file.
    truth : dict
        Values of `TRUTH_COLUMNS` by name, in the columns' units.

    Raises
    ------
    ConfigError
        If n, size, workers or mix cannot be used.
    """
    jobs = _plan(n, seed, mix, size_px, "picture", workers, doubtful)
    yield from _run(_draw_chunk, jobs, workers, progress)


def _plan(
    n: int,
    seed: int,
    mix: str | Mapping[str, float] | None,
    size_px: int,
    rendering: str,
    workers: int,
    doubtful: bool = False,
    fwhm_px: tuple[float, float] | None = None,
) -> list[_Job]:
    check_set(n, seed, size_px, rendering, workers)
    labels = draw_labels(n, parse_mix(mix), seed)
    return [
        _Job(seed, size_px, k, tuple(labels[k : k + _CHUNK]), rendering, doubtful, fwhm_px)
        for k in range(0, n, _CHUNK)
    ]


def check_set(n: int, seed: int, size_px: int, rendering: str, workers: int) -> None:
    """Raise for a set that cannot be made.

    Parameters
    ----------
    n, seed, size_px, rendering, workers
        As `make_cutouts` takes them.

    Raises
    ------
    ConfigError
        With what may be.
    """
    if n < 1:
        raise ConfigError(f"n is {n}; ask for at least one cutout")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more")
    if not _SIZES_PX[0] <= size_px <= _SIZES_PX[1]:
        raise ConfigError(f"size is {size_px} px; it must be {_SIZES_PX[0]} to {_SIZES_PX[1]}")
    if rendering not in RENDERINGS:
        raise ConfigError(f"rendering is {rendering!r}; expected one of {', '.join(RENDERINGS)}")
    if workers < 1:
        raise ConfigError(f"workers is {workers}; at least 1")


def draw_labels(n: int, mix: Mapping[str, float], seed: int) -> list[str]:
    """Each class by its share, to the nearest whole number, in random order.

    Parameters
    ----------
    n
        How many.
    mix
        Shares that sum to 1.
    seed
        Of the set.

    Returns
    -------
    list of str
    """
    names = sorted(mix)
    shares = np.array([mix[name] for name in names]) * n
    counts = np.floor(shares).astype(int)
    order = np.argsort(-(shares - counts), kind="stable")
    counts[order[: n - counts.sum()]] += 1
    labels = np.repeat(np.array(names), counts)
    # Key 0 is the set's own generator, key 1 those of the cutouts.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    return [str(name) for name in rng.permutation(labels)]


def _run(
    make: Callable[[_Job], list[Made]],
    jobs: list[_Job],
    workers: int,
    progress: Callable[[int], None] | None,
) -> Iterator[Made]:
    done = 0
    for part in _parts(make, jobs, workers):
        yield from part
        done += len(part)
        if progress is not None:
            progress(done)


def _parts(
    make: Callable[[_Job], list[Made]], jobs: list[_Job], workers: int
) -> Iterator[list[Made]]:
    if workers == 1 or len(jobs) == 1:
        yield from map(make, jobs)
        return
    workers = min(workers, len(jobs), 2 * (os.cpu_count() or 1))
    with ProcessPoolExecutor(workers) as pool:
        # A few jobs ahead of the reader, not all: memory stays flat however slow the disk.
        waiting = deque(pool.submit(make, job) for job in jobs[: 2 * workers])
        for job in jobs[2 * workers :]:
            yield waiting.popleft().result()
            waiting.append(pool.submit(make, job))
        while waiting:
            yield waiting.popleft().result()


def _make_chunk(job: _Job) -> list[_One]:
    return [_make_one(job, *made) for made in _skies(job)]


def _draw_chunk(job: _Job) -> list[tuple[bytes, Row]]:
    inner = _inner(job.size_px)
    drawn = []
    for index, sky, image, snr in _skies(job):
        row = truth_of_sky(sky, job.seed, index, snr)
        row["streak_id"] = f"{row['streak_id']}.jpg"  # its file's name, by which readers call it
        coded = encode_picture(image[inner], sky.mask[inner], sky.sigma, sky.rendering)
        drawn.append((coded, row))
    return drawn


def _skies(job: _Job) -> Iterator[tuple[int, Sky, NDArray[np.float32], float]]:
    """Index, contents, image and S/N of each; the image is larger by the margin."""
    from threadpoolctl import threadpool_limits

    # One thread: sums of matrix products depend on how they are split, bytes must not.
    with threadpool_limits(1):
        for index, label in enumerate(job.labels, job.start):
            rng = np.random.default_rng(np.random.SeedSequence(job.seed, spawn_key=(1, index)))
            yield index, *_draw_sky(rng, label, job)


def _draw_sky(
    rng: np.random.Generator, label: str, job: _Job
) -> tuple[Sky, NDArray[np.float32], float]:
    """A sky whose picture can tell its class (or any), its image and the subject's S/N."""
    size_px, draw = (
        job.size_px,
        draw_rendering if job.rendering == "mixed" else draw_picture_rendering,
    )
    sky, rendered, snr = clean_sky(
        rng,
        label,
        size_px,
        lambda: draw(rng, size_px),
        doubtful=job.doubtful,
        fwhm_px=job.fwhm_px,
    )
    return sky, expose(sky, *rendered), snr


def clean_sky(
    rng: np.random.Generator,
    label: str,
    size_px: int,
    rendering: Rendering | Callable[[], Rendering],
    *,
    doubtful: bool = False,
    fwhm_px: tuple[float, float] | None = None,
) -> tuple[Sky, tuple[Rendered, Rendered, Rendered], float]:
    """A sky whose picture can tell its class.

    Parameters
    ----------
    rng
        Source of randomness.
    label
        The class.
    size_px
        Side of the cutout, px.
    rendering
        How it is stored, or what draws that anew for each try.
    doubtful
        Whether it may be one whose picture can not.
    fwhm_px
        Range of the PSF's FWHM; as ZTF's exposures have it if absent.

    Returns
    -------
    sky : Sky
        With its class's recipe carried out.
    rendered : tuple of (ny, nx) float32
        As `streaks.synth.cutout_sets.recipes.render` gives them.
    snr : float
        Of the subject where it is seen.

    Raises
    ------
    ConfigError
        When none came up in many tries: the cutout is too small for the class.
    """
    for _ in range(_MOST_DRAWS):
        drawn = rendering if isinstance(rendering, Rendering) else rendering()
        sky = Sky(rng, size_px, _MARGIN_PX, label, drawn, conditions_for(rng, label, fwhm_px))
        RECIPES[label](sky)
        rendered = render(sky)
        if doubtful or not doubt(sky, rendered[-1]):
            return sky, rendered, seen_snr(sky, rendered[-1])
    raise ConfigError(
        f"no {label} that can be told from others came up in {_MOST_DRAWS} draws of {size_px} px; "
        f"ask for larger cutouts"
    )


def _inner(size_px: int) -> tuple[slice, slice]:
    return (slice(_MARGIN_PX, _MARGIN_PX + size_px),) * 2


def _make_one(job: _Job, index: int, sky: Sky, image: NDArray[np.float32], snr: float) -> _One:
    inner = _inner(job.size_px)
    difference, mask = apply_rendering(image[inner], sky.mask[inner], sky.sigma, sky.rendering)
    return _One(difference, mask, truth_of_sky(sky, job.seed, index, snr))


def truth_of_sky(sky: Sky, seed: int, index: int, snr: float) -> Row:
    """What is true of a sky, by name.

    Parameters
    ----------
    sky
        With its class's recipe carried out.
    seed, index
        Of the set, and of the cutout in it.
    snr
        Of the subject.

    Returns
    -------
    dict
        Values of `TRUTH_COLUMNS`, bare numbers in the columns' units.
    """
    segment = sky.segment
    dx, dy = shift_of_rendering(sky.rendering)
    nan = math.nan
    ends = (nan,) * 4
    if segment is not None:
        s = segment.shifted(dx - _MARGIN_PX, dy - _MARGIN_PX).ordered()
        ends = (s.x0, s.y0, s.x1, s.y1)
    return {
        "streak_id": f"syn{seed}-{index:07d}",
        "label": sky.label,
        "x0": ends[0],
        "y0": ends[1],
        "x1": ends[2],
        "y1": ends[3],
        "length": nan if segment is None else segment.length_px,
        "theta": nan if segment is None else segment.theta_deg,
        "flux": nan if segment is None else sky.flux,
        "snr": snr,
        "fwhm_px": sky.conditions.science_psf.fwhm_px,
        "sigma": sky.sigma,
        "seed": seed,
    }
