"""Other finders on the frames of the detector's benchmark.

All get the same: the level taken off, counts over the true noise, masked pixels at zero, and the
true PSF where they filter. Settings are chosen by the benchmark itself on frames of other seeds,
for most streaks at one false detection a frame. A peer has no calibrated score: its detections
are ranked by what it says itself (length, S/N, false-alarm number), of those that lie on each
other one is kept, and what runs along a mask is left out for it. A peer that cannot be imported is
reported as not installed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import logging
import math
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection_figures import (
    complete_above,
    depth_of,
    false_per_frame,
    snr_text,
)
from benchmarks.detection_frames import LEVEL, SIGMA, Recipe, Simulated
from benchmarks.detection_run import Finder, Found, Searched, search_all
from benchmarks.detection_scoring import one_each, score_cut

__all__ = ["PEERS", "Peer", "Prepared", "along_a_mask", "compare"]

#: Frames for tuning are of another seed, so far off that no run's own seed comes there.
_TUNING_SEED, _TUNING_FRAMES = 1_000_003, 4
_KINDS = ("clean", "clutter")

Setting = Mapping[str, Any]
Detections = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What every peer is given.

    Parameters
    ----------
    z : (ny, nx) float32
        Counts over noise, 0 where masked.
    filtered : (ny, nx) float32
        The same through the PSF, with noise 1 again.
    mask : (ny, nx) bool
    sigma_px
        Of the PSF.
    """

    z: NDArray[np.float32]
    filtered: NDArray[np.float32]
    mask: NDArray[np.bool_]
    sigma_px: float


@dataclass(frozen=True)
class Peer:
    """Another finder: its package, the settings to try, and how it is called."""

    name: str
    package: str
    grid: Mapping[str, Sequence[Any]]
    find: Callable[..., Detections]
    tuning_frames: int = _TUNING_FRAMES
    max_frames: int = 1_000_000

    @property
    def missing(self) -> bool:
        return importlib.util.find_spec(self.package) is None

    @property
    def settings(self) -> list[dict[str, Any]]:
        return [
            dict(zip(self.grid, values, strict=True))
            for values in itertools.product(*self.grid.values())
        ]


# The peers


def hough_skimage(
    image: Prepared, *, level: float, votes: int, length: int, gap: int
) -> Detections:
    from streaks.detection.hough import hough_segments

    return _by_length(
        hough_segments(image.filtered > level, votes=votes, length_px=length, gap_px=gap)
    )


def hough_detector(image: Prepared, *, level: float, length: int, stretch: float) -> Detections:
    """The package's own reference: the same after regions of other shapes are dropped, ranked by
    S/N and by how much of the line is lit."""
    from streaks.config import DetectionConfig, HoughConfig
    from streaks.detection import find_streaks
    from streaks.frame import Frame
    from streaks.trail import FWHM_PER_SIGMA

    hough = HoughConfig(level_sigma=level, min_line_px=length, min_elongation=stretch)
    config = DetectionConfig(
        detector="hough", hough=hough, threshold_snr=3.0, min_score=0.1, max_streaks=5000
    )
    frame = Frame(image.z, image.mask, fwhm_px=image.sigma_px * FWHM_PER_SIGMA)
    table = find_streaks(frame, config)
    ends = np.column_stack([table[name].value for name in ("x0", "y0", "x1", "y1")])
    return ends.reshape(-1, 4), np.asarray(table["score"], float)


def hough_opencv(image: Prepared, *, level: float, votes: int, length: int, gap: int) -> Detections:
    import cv2

    cv2.setRNGSeed(1)
    lines = cv2.HoughLinesP(
        (image.filtered > level).astype(np.uint8), 1.0, np.pi / 180.0, votes,
        minLineLength=length, maxLineGap=gap,
    )  # fmt: skip
    return _by_length(np.zeros((0, 4)) if lines is None else lines.reshape(-1, 4).astype(float))


def lsd_opencv(image: Prepared, *, white: float, scale: float, filtered: bool) -> Detections:
    """Line segment detector (von Gioi et al. 2010, IEEE TPAMI 32, 722) on an 8-bit picture."""
    import cv2

    shown = image.filtered if filtered else image.z
    grey = np.clip(shown * (255.0 / white), 0, 255).astype(np.uint8)
    finder = cv2.createLineSegmentDetector(cv2.LSD_REFINE_ADV, scale=scale)
    lines, _, _, alarms = finder.detect(grey)
    if lines is None:
        return _by_length(np.zeros((0, 4)))
    ends = lines.reshape(-1, 4).astype(float)
    return one_each(ends, np.ravel(alarms).astype(float))


def threshold_and_shape(
    image: Prepared, *, level: float, pixels: int, stretch: float, rank: str
) -> Detections:
    """SExtractor's way (Bertin & Arnouts 1996, A&AS 117, 393), by sep: pixels above a threshold
    of the filtered image, and their second moments."""
    import sep

    reach = math.ceil(3.0 * image.sigma_px)
    axis = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / image.sigma_px**2)
    sep.set_extract_pixstack(5_000_000)
    found = sep.extract(
        image.z, level, err=1.0, mask=image.mask, minarea=pixels,
        filter_kernel=kernel, filter_type="matched", deblend_cont=1.0,
    )  # fmt: skip
    a, b = found["a"], np.maximum(found["b"], 0.3)
    found, a, b = (v[a > stretch * b] for v in (found, a, b))
    # An even line of length l has a second moment of l**2 / 12 along itself, the PSF's in both.
    half = 0.5 * np.sqrt(12.0 * np.maximum(a**2 - b**2, 0.0))
    dx, dy = half * np.cos(found["theta"]), half * np.sin(found["theta"])
    x, y = found["x"], found["y"]
    ends = np.column_stack([x - dx, y - dy, x + dx, y + dy])
    snr = found["flux"] / np.sqrt(np.maximum(found["npix"], 1))
    return ends, np.asarray(2.0 * half if rank == "length" else snr, float)


def astride(
    image: Prepared, *, level: float, shape: float, radius: float, filtered: bool
) -> Detections:
    """ASTRiDE: contours and their shape (Kim 2016). Ends are those of the contour's long axis."""
    from astride import Streak

    with tempfile.TemporaryDirectory() as folder:
        path = _as_fits(Path(folder), image.filtered if filtered else image.z, primary=True)
        finder = Streak(str(path), contour_threshold=level, shape_cut=shape, radius_dev_cut=radius)
        finder.detect()
    ends, scores = [], []
    for streak in finder.streaks:
        points = np.column_stack([streak["x"], streak["y"]])
        middle = points.mean(axis=0)
        axis = np.linalg.svd(points - middle, full_matrices=False)[2][0]
        along = (points - middle) @ axis
        ends.append([*(middle + along.min() * axis), *(middle + along.max() * axis)])
        scores.append(float(streak["perimeter"]))
    return np.array(ends).reshape(-1, 4), np.array(scores)


def median_radon(image: Prepared, *, threshold: float, length: int) -> Detections:
    """acstools' median Radon transform (Stark et al. 2022, ACS ISR 2022-08)."""
    from acstools.findsat_mrt import TrailFinder

    # Binned by two, as its own front end for ACS does.
    ny, nx = (2 * (n // 2) for n in image.z.shape)
    seen = np.where(image.mask, np.nan, image.z)[:ny, :nx]
    binned = np.nanmean(seen.reshape(ny // 2, 2, nx // 2, 2), axis=(1, 3))
    finder = TrailFinder(
        binned, processes=1, threshold=threshold, min_length=length, check_persistence=False
    )
    finder.run_mrt()
    finder.find_mrt_sources()
    finder.filter_sources(trim_catalog=True)
    rows = finder.source_list
    if rows is None or len(rows) == 0:
        return np.zeros((0, 4)), np.zeros(0)
    ends = 2.0 * np.array([np.ravel(row["endpoints"]) for row in rows], float) + 0.5
    return ends, np.asarray(rows["snr"], float)


def satdet(image: Prepared, *, sigma: float, high: float, length: int, edge: int) -> Detections:
    """acstools' satdet: Canny edges and the probabilistic Hough transform (Borncamp & Lim 2016)."""
    from acstools.satdet import detsat

    with tempfile.TemporaryDirectory() as folder:
        # It takes counts below zero for a fault, and reads FITS extensions.
        path = _as_fits(Path(folder), image.z + np.float32(50.0), primary=False)
        found, errors = detsat(
            str(path), chips=[1], n_processes=1, sigma=sigma, h_thresh=high, line_len=length,
            small_edge=edge, verbose=False,
        )  # fmt: skip
    if errors:
        raise RuntimeError(next(iter(errors.values())))
    return _by_length(np.asarray(next(iter(found.values())), float).reshape(-1, 4))


def _as_fits(folder: Path, image: NDArray[np.float32], *, primary: bool) -> Path:
    from astropy.io import fits

    path = folder / "image.fits"
    if primary:
        fits.PrimaryHDU(image).writeto(path)
    else:
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")]).writeto(path)
    return path


def _by_length(ends: NDArray[np.float64]) -> Detections:
    return one_each(ends, np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1]))


_HOUGH = {
    "level": (1.75, 2.0, 2.25, 2.5, 3.0, 3.5), "votes": (10,), "length": (6, 10, 15, 25),
    "gap": (1, 3),
}  # fmt: skip

PEERS = (
    Peer("probabilistic Hough, scikit-image, after PSF filter", "skimage", _HOUGH, hough_skimage),
    Peer("`--detector hough`: the same with shapes of regions", "skimage",
         {"level": (1.75, 2.0, 2.5, 3.0), "length": (6, 10, 15), "stretch": (1.5, 2.0)},
         hough_detector),
    Peer("probabilistic Hough, OpenCV, after PSF filter", "cv2", _HOUGH, hough_opencv),
    Peer("LSD, OpenCV", "cv2",
         {"white": (5.0, 10.0, 20.0), "scale": (0.4, 0.6, 0.8), "filtered": (False, True)},
         lsd_opencv),
    Peer("threshold and shape, sep", "sep",
         {"level": (1.0, 1.25, 1.5, 2.0, 3.0), "pixels": (5,), "stretch": (2.0, 3.0),
          "rank": ("length", "snr")}, threshold_and_shape),
    Peer("ASTRiDE", "astride",
         {"level": (2.0, 3.0), "shape": (0.4, 0.6, 0.8), "radius": (0.3, 0.5),
          "filtered": (False, True)}, astride, tuning_frames=2),
    Peer("acstools, median Radon transform", "acstools",
         {"threshold": (5.0,), "length": (25,)}, median_radon, max_frames=2),
    Peer("acstools, satdet", "acstools",
         {"sigma": (1.0, 2.0), "high": (0.3,), "length": (50, 200), "edge": (20,)},
         satdet, tuning_frames=2, max_frames=6),
)  # fmt: skip


# Tuning and the run


def find_with(frame: Simulated, peer: Peer, setting: Setting) -> Found:
    start = _cpu_s()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            ends, scores = peer.find(_prepared(frame), **setting)
        finally:
            logging.disable(logging.NOTSET)
    spent = _cpu_s() - start
    free = ~along_a_mask(ends, frame.mask)
    return Found(ends[free], scores[free], spent)


def along_a_mask(ends: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Detections of which a third is near masked pixels: any user would drop these."""
    import cv2

    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    ny, nx = mask.shape
    share = []
    for x0, y0, x1, y1 in ends:
        t = np.linspace(0.0, 1.0, max(2, math.ceil(math.hypot(x1 - x0, y1 - y0))))
        x = np.clip(np.rint(x0 + t * (x1 - x0)), 0, nx - 1).astype(int)
        y = np.clip(np.rint(y0 + t * (y1 - y0)), 0, ny - 1).astype(int)
        share.append(near[y, x].mean())
    return np.array(share) > 1.0 / 3.0


def _cpu_s() -> float:
    """Of this process and of any that a peer starts."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _prepared(frame: Simulated) -> Prepared:
    import cv2

    z = np.where(frame.mask, 0.0, (frame.data - LEVEL) / SIGMA).astype(np.float32)
    sigma = frame.fwhm_px / math.sqrt(8.0 * math.log(2.0))
    taps = cv2.getGaussianKernel(2 * math.ceil(4 * sigma) + 1, sigma)
    # The filter's noise: the root of the sum of squares, once for each axis.
    taps = taps / np.sqrt(np.sum(taps**2))
    return Prepared(z, cv2.sepFilter2D(z, cv2.CV_32F, taps, taps), frame.mask, sigma)


@dataclass(frozen=True, eq=False)
class Tuned:
    """A peer's best setting for a kind of frames, and how it did there."""

    setting: Setting
    frames: list[Searched]


def compare(
    searched: Mapping[str, Mapping[str, list[Searched]]],
    given: argparse.Namespace,
    pool: Executor,
) -> tuple[str, dict[str, Any]]:
    """The table of all finders, ours first, and the same as plain values.

    Parameters
    ----------
    searched
        By kind: our own frames, ``open`` and ``usual``.
    given
        Options of the run: frames, seed, psf, fwhm, cache.
    pool
        Processes to search with.
    """
    kinds = [kind for kind in _KINDS if kind in searched]
    rows = [_our_row(searched, kinds)]
    for peer in PEERS:
        print(f"{peer.name} ...", flush=True)
        rows.append(_kept_row(peer, kinds, given, pool))
    return _table(rows, kinds, given.frames), {"rows": rows}


def _our_row(
    searched: Mapping[str, Mapping[str, list[Searched]]], kinds: Sequence[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {"finder": "**streaks**", "version": "", "note": ""}
    for kind in kinds:
        both = searched[kind]
        row[kind] = _figures(both["open"], both["usual"])
    return row


def _kept_row(
    peer: Peer, kinds: Sequence[str], given: argparse.Namespace, pool: Executor
) -> dict[str, Any]:
    """A peer's row, from the cache where nothing it depends on has changed: ours changes more."""
    if given.cache is None or peer.missing:
        return _peer_row(peer, kinds, given, pool)
    recipe = repr((peer.name, peer.grid, peer.tuning_frames, peer.max_frames, kinds, given.frames,
                   Recipe(kinds[0], given.seed, 0, given.psf, given.fwhm),
                   _version(peer.package)))  # fmt: skip
    sources = [Path(__file__).with_name(f"detection_{part}.py").read_bytes()
               for part in ("peers", "scoring", "frames")]  # fmt: skip
    digest = hashlib.sha256(recipe.encode() + b"".join(sources)).hexdigest()[:16]
    path = given.cache / f"peer-{peer.find.__name__}-{digest}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    row = _peer_row(peer, kinds, given, pool)
    path.write_text(json.dumps(row))
    return row


def _peer_row(
    peer: Peer, kinds: Sequence[str], given: argparse.Namespace, pool: Executor
) -> dict[str, Any]:
    row: dict[str, Any] = {"finder": peer.name, "version": _version(peer.package), "note": ""}
    if peer.missing:
        return {**row, "note": "not installed"}
    try:
        own: Setting | None = None
        for kind in kinds:
            setting = _tune(peer, kind, given, pool)
            best = _search(peer, setting, kind, given, pool)
            # What a user has: settings found on empty sky.
            own = setting if own is None else own
            usual = best if own == setting else _search(peer, own, kind, given, pool)
            row[kind] = {**_figures(best, usual), "setting": dict(setting), "frames": len(best)}
    except Exception as error:  # a peer's fault is a result, not an end of the run
        return {**row, "note": f"failed: {type(error).__name__}: {error}"}
    return row


def _version(package: str) -> str:
    names = importlib.metadata.packages_distributions().get(package, [])
    return f"{names[0]} {importlib.metadata.version(names[0])}" if names else ""


def _tune(peer: Peer, kind: str, given: argparse.Namespace, pool: Executor) -> dict[str, Any]:
    """The setting that finds most streaks at one false detection a frame."""
    settings = peer.settings
    if len(settings) == 1:
        return settings[0]
    recipes = [
        Recipe(kind, given.seed + _TUNING_SEED, i, psf=given.psf, fwhm_px=given.fwhm)
        for i in range(peer.tuning_frames)
    ]
    finders: dict[str, Finder] = {
        f"{peer.name} {i}": partial(find_with, peer=peer, setting=setting)
        for i, setting in enumerate(settings)
    }
    tried = search_all(recipes, finders, given.cache, pool)
    return max(zip(settings, tried.values(), strict=True), key=lambda pair: _merit(pair[1]))[0]


def _merit(frames: Sequence[Searched]) -> tuple[int, float]:
    """Streaks found at one false detection a frame; then, the fewer false without that cut."""
    false = np.concatenate([f.found.score[f.pairs.false] for f in frames])
    cut = score_cut(false, len(frames))
    return sum(int(np.sum(f.score >= max(cut, -sys.float_info.max))) for f in frames), -float(
        len(false)
    )


def _search(
    peer: Peer, setting: Setting, kind: str, given: argparse.Namespace, pool: Executor
) -> list[Searched]:
    count = min(given.frames, peer.max_frames)
    recipes = [Recipe(kind, given.seed, i, psf=given.psf, fwhm_px=given.fwhm) for i in range(count)]
    finder = partial(find_with, peer=peer, setting=setting)
    return search_all(recipes, {peer.name: finder}, given.cache, pool)[peer.name]


def _figures(at_one: Sequence[Searched], usual: Sequence[Searched]) -> dict[str, Any]:
    deep, cut = depth_of(at_one, resamples=0)
    return {
        "s50": deep.s50,
        "above_10": _share(complete_above(at_one, 10.0, cut)),
        "own_above_10": _share(complete_above(usual, 10.0)),
        "own_false_a_frame": float(false_per_frame(usual)),
        "cpu_s": float(np.median([f.found.cpu_s for f in usual])),
    }


def _share(found_of: tuple[int, int]) -> float:
    return found_of[0] / max(found_of[1], 1)


#: Heading and cell of each column, once a kind.
_COLUMNS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("{}: S/N of 50 % at one false a frame", lambda figures: snr_text(figures["s50"])),
    ("{}: complete above S/N 10, so cut", lambda figures: f"{figures['above_10']:.3f}"),
    ("{}: the same at own settings", lambda figures: f"{figures['own_above_10']:.3f}"),
    ("{}: false a frame, own settings", lambda figures: f"{figures['own_false_a_frame']:.2f}"),
    ("{}: CPU s", lambda figures: f"{figures['cpu_s']:.2f}"),
)


def _table(rows: Sequence[Mapping[str, Any]], kinds: Sequence[str], frames: int) -> str:
    head = ["finder"]
    head += [text.format(kind) for text, _ in _COLUMNS for kind in kinds]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        name = row["finder"] + (f" ({row['version']})" if row["version"] else "")
        if row["note"]:
            lines.append(f"| {name} | {row['note']} |" + " |" * (len(head) - 2))
            continue
        used = row[kinds[0]].get("frames", frames)
        cells = [name + (f", {used} frames only" if used < frames else "")]
        cells += [show(row[kind]) for _, show in _COLUMNS for kind in kinds]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
