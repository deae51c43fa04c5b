"""What a Rubin-sized difference costs beside a ZTF quadrant, and what a Rubin night comes to.

    python -m benchmarks.scale [--repeats 5] [--sky FOLDER] [--docs docs/scale.md] [-o out.json]

Frames are made with `streaks.synth` at one density of stars and clutter: ZTF quadrants as that
survey's files (difference, mask, science, reference), and differences of 4072 x 4000 px in Rubin's
form (image, mask with MP_* planes, variance; TAI; nJy). One process on one thread
searches them in turn, ZTF's and Rubin's one after the other, from files to classes and evidence,
so that a busy machine slows both alike; what is told of each stage is the least of its rounds
(other programs lengthen CPU time, and none shortens it), in the mean over its frames; a frame is
the sum of its stages. Memory, bytes in and out are those of the same run. The plan of a night is
computed from these figures, and from `python -m benchmarks.alerts`, which it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

__all__ = ["main"]

ZTF_SHAPE, RUBIN_SHAPE = (3080, 3072), (4000, 4072)
SEED = 1118
FRAMES = 3
#: Of a Rubin night: 1000 visits of 189 science detectors, and alerts.
DETECTORS, ALERTS = 190_000, 10_000_000
NIGHT_H = 9.0
#: Rubin's planes that stand for ZTF's bits, and the numbers that the file gives them.
PLANES = {"track": ("STREAK", 9), "source": ("DETECTED", 5), "spike": ("CR", 3),
          "saturated": ("SAT", 1), "dead": ("BAD", 0), "nan": ("NO_DATA", 8)}  # fmt: skip
_ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sky", type=Path, help="folder of the frames, made where not there")
    parser.add_argument("--alerts", type=int, default=8000, help="alerts of the stream's figure")
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="where the time of Rubin's goes")
    given = parser.parse_args(argv)
    if given.measure:
        print(json.dumps(measure(given.measure, given.repeats, profile=given.profile)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        sky = given.sky or Path(folder) / "sky"
        if not sky.is_dir():
            make_sky(sky)
        found = _in_own_process(sky, given.repeats, profile=given.profile)
    found["alert"] = _alert_cost(given.alerts) if given.alerts else None
    text = _text(found)
    print(text)
    if given.output:
        given.output.write_text(json.dumps(found, indent=1) + "\n")
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.scale", text)
    return 0


# The frames


def make_sky(folder: Path) -> None:
    """Frames of both kinds, one field each, of one seed."""
    from streaks.synth import make_night

    folder.mkdir(parents=True)
    make_night(folder / "ztf", frames=FRAMES, seed=SEED, shape=ZTF_SHAPE)
    make_night(folder / "big", frames=FRAMES, seed=SEED, shape=RUBIN_SHAPE)
    (folder / "rubin").mkdir()
    for k, image in enumerate(sorted((folder / "big").glob("*_scimrefdiffimg.fits.fz"))):
        write_rubin(image, folder / "rubin" / f"difference_{k:03d}.fits.fz", k)


def write_rubin(image: Path, out: Path, number: int) -> None:
    """A frame of ZTF's form in Rubin's: the same light, in nJy, with planes and variance."""
    from streaks.synth.nights.frames import MASK_BITS

    stem = str(image).removesuffix("_scimrefdiffimg.fits.fz")
    with fits.open(image) as hdus, fits.open(f"{stem}_mskimg.fits") as mask_hdus:
        header, data = hdus[1].header, hdus[1].data.astype(np.float32)
        bits = mask_hdus[0].data.astype(np.int64)
    with fits.open(f"{stem}_sciimg.fits") as hdus:
        science = hdus[0].data.astype(np.float32)
    scale = np.float32(10.0 ** (0.4 * (31.4 - header["MAGZP"])))
    mask, mask_header = np.zeros(data.shape, np.int32), fits.Header()
    for name, (plane, bit) in PLANES.items():
        mask |= np.where(bits & MASK_BITS[name], 1 << bit, 0).astype(np.int32)
        mask_header[f"MP_{plane}"] = bit
    variance = (np.maximum(science, 0) / header["GAIN"] + 1.5 * np.nanvar(data)) * scale**2
    primary = fits.PrimaryHDU()
    primary.header.update({
        "EXPTIME": 30.0, "TIMESYS": "TAI", "DATE-AVG": "2026-05-10T05:00:37.000", "BAND": "r",
        "VISIT": 2026051000100 + number, "DETECTOR": 94,
    })  # fmt: skip
    places = {
        word: header[word]
        for word in header
        if re.match(r"(CTYPE|CUNIT|CRVAL|CRPIX|CD\d_|PV\d_|RADESYS|EQUINOX)", word)
    }
    image_header = fits.Header({"BUNIT": "nJy", "PSF_FWHM": header["SEEING"], **places})
    parts = [
        fits.CompImageHDU(data * scale, image_header, "IMAGE", quantize_level=16),
        fits.CompImageHDU(mask, mask_header, "MASK", compression_type="GZIP_2"),
        fits.CompImageHDU(variance.astype(np.float32), None, "VARIANCE", quantize_level=16),
    ]
    fits.HDUList([primary, *parts]).writeto(out)


# The measurement, in a process of its own


def _in_own_process(sky: Path, repeats: int, *, profile: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", "--measure", str(sky)]
    command += ["--repeats", str(repeats), *(["--profile"] if profile else [])]
    done = subprocess.run(
        command, env={**os.environ, **_ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=True
    )
    lines = done.stdout.splitlines()
    if len(lines) > 1:
        print("\n".join(lines[:-1]))
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def measure(sky: Path, repeats: int, *, profile: bool = False) -> dict[str, Any]:
    """CPU a pixel of both kinds in turn, with what each stage takes, memory and bytes."""
    import functools

    import cv2

    from streaks.models import load_classifier
    from streaks.readers import find_frames
    from streaks.search import Search

    cv2.setNumThreads(1)
    searcher = Search(
        load_classifier=functools.partial(load_classifier, "default"), classifier="default"
    ).prepare()
    frames = {
        "ztf": find_frames([sky / "ztf"]),
        "rubin": find_frames([str(p) for p in sorted((sky / "rubin").glob("*.fits.fz"))]),
    }
    found: dict[str, Any] = {}
    peaks = {}
    for kind, shape in (("ztf", ZTF_SHAPE), ("rubin", RUBIN_SHAPE)):
        searcher.search_files(frames[kind][0])  # loads and compiles
        peaks[kind] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found[kind] = {"pixels": shape[0] * shape[1], "stages": defaultdict(list)}
    for _ in range(repeats):
        for number in range(FRAMES):
            for kind, files in frames.items():
                _add_run(found[kind], searcher, files[number], number)
    if profile:
        _print_profile(searcher, frames["rubin"][0])
    return {kind: {**_told(one), "peak_mb": peaks[kind]} for kind, one in found.items()}


def _add_run(one: dict[str, Any], searcher: Any, files: Any, number: int) -> None:
    start = time.process_time()
    result = searcher.search_files(files)
    spent = time.process_time() - start
    stages = {**result.cpu_seconds, "rest": spent - sum(result.cpu_seconds.values())}
    for stage, seconds in stages.items():
        one["stages"][stage].append((number, seconds))
    told = {
        "streaks": len(result.streaks),
        "bytes_in": sum(path.stat().st_size for path in files.paths),
        "bytes_out": _bytes_out(result),
    }
    for name, value in told.items():
        one.setdefault(name, []).append(value)


def _told(one: dict[str, Any]) -> dict[str, Any]:
    stages = {name: _mean_of_least(runs) for name, runs in one["stages"].items()}
    return {
        "pixels": one["pixels"],
        "cpu_s": sum(stages.values()),
        "stages": stages,
        **{name: float(np.mean(one[name])) for name in ("streaks", "bytes_in", "bytes_out")},
    }


def _mean_of_least(runs: list[tuple[int, float]]) -> float:
    """The least of each frame, in the mean over frames."""
    return float(np.mean([min(s for k, s in runs if k == one) for one in {k for k, _ in runs}]))


def _bytes_out(result: Any) -> int:
    """What a night keeps of a frame: its table, cutouts and picture."""
    from streaks.night_folder.frame_results import save_result
    from streaks.night_folder.layout import NightFolder

    with tempfile.TemporaryDirectory() as name:
        folder = NightFolder(Path(name))
        save_result(folder, result, {})
        return sum(path.stat().st_size for path in folder.outputs(result.name))


def _print_profile(searcher: Any, files: Any) -> None:
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(searcher.search_files, files)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def _alert_cost(n: int) -> dict[str, float] | None:
    """CPU ms of an alert, and MB of all processes, as `benchmarks.alerts` prints them."""
    command = [sys.executable, "-m", "benchmarks.alerts", "--n", str(n)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    each = re.search(r"([\d.]+) ms CPU each", done.stdout)
    memory = re.findall(r"(\d+) MB", done.stdout)
    start = re.search(r"with the start: .* ([\d.]+) CPU s", done.stdout)
    if each is None or start is None:
        print(done.stdout)
        return None
    return {"ms": float(each[1]), "mb": max(map(float, memory)), "n": n,
            "start_s": float(start[1]) - n * float(each[1]) / 1e3}  # fmt: skip


# What it comes to


def _text(found: dict[str, Any]) -> str:
    ztf, rubin = found["ztf"], found["rubin"]
    a_pixel = {kind: 1e6 * one["cpu_s"] / one["pixels"] for kind, one in
               (("ztf", ztf), ("rubin", rubin))}  # fmt: skip
    ratio = a_pixel["rubin"] / a_pixel["ztf"]
    rows = [
        "| one frame, files to classes and evidence | ZTF quadrant, 3072 x 3080 px | Rubin "
        "difference, 4072 x 4000 px |",
        "|---|---|---|",
        f"| CPU s | {ztf['cpu_s']:.2f} | {rubin['cpu_s']:.2f} |",
        f"| microseconds a pixel | {a_pixel['ztf']:.3f} | {a_pixel['rubin']:.3f} |",
    ]
    for stage in ("read", "find", "cutouts", "classify", "evidence", "draw"):
        parts = [1e6 * one["stages"].get(stage, 0.0) / one["pixels"] for one in (ztf, rubin)]
        rows.append(f"| of it: {stage} | {parts[0]:.3f} | {parts[1]:.3f} |")
    rows += [
        f"| streaks | {ztf['streaks']:.0f} | {rubin['streaks']:.0f} |",
        f"| peak memory, MB (ZTF's first, then both) | {ztf['peak_mb']:.0f} | "
        f"{rubin['peak_mb']:.0f} |",
        f"| MB read | {ztf['bytes_in'] / 1e6:.0f} | {rubin['bytes_in'] / 1e6:.0f} |",
        f"| MB kept (table, cutouts, picture) | {ztf['bytes_out'] / 1e6:.2f} | "
        f"{rubin['bytes_out'] / 1e6:.2f} |",
        f"| **CPU a pixel, Rubin's against ZTF's** | 1 | **{ratio:.2f}** ("
        f"{'met' if ratio <= 1.0 else 'not met'}: <= 1) |",
    ]
    return "\n".join([*rows, "", *_plan(rubin, found.get("alert"))])


def _plan(rubin: dict[str, Any], alert: dict[str, float] | None) -> list[str]:
    frames_h = DETECTORS * rubin["cpu_s"] / 3600
    within = frames_h / NIGHT_H
    rows = [
        "| a Rubin night | comes to |",
        "|---|---|",
        f"| {DETECTORS:,} differences searched | {frames_h:,.0f} CPU hours: "
        f"{within:,.0f} cores to be done as the night ends ({NIGHT_H:.0f} h), "
        f"{frames_h / 24:,.0f} cores within a day |",
        f"| memory at {within:,.0f} processes of one thread | "
        f"{within * rubin['peak_mb'] / 1024:,.0f} GB ({rubin['peak_mb'] / 1024:.1f} GB each) |",
        f"| read | {DETECTORS * rubin['bytes_in'] / 1e12:.1f} TB, "
        f"{DETECTORS * rubin['bytes_in'] / 1e9 / (NIGHT_H * 3600):.2f} GB a second |",
        f"| kept | {DETECTORS * rubin['bytes_out'] / 1e9:,.0f} GB in "
        f"{3 * DETECTORS:,} files (table, cutouts, picture of each) |",
        f"| streaks, at this clutter | {DETECTORS * rubin['streaks'] / 1e6:.1f} million |",
    ]
    if alert is not None:
        alerts_h = ALERTS * alert["ms"] / 3.6e6
        rows += [
            f"| {ALERTS:,} alerts filtered ({alert['ms']:.2f} ms each, of {alert['n']:.0f}) | "
            f"{alerts_h:,.0f} CPU hours: {alerts_h / NIGHT_H:.1f} cores over the night |",
            f"| memory of a filter with two processes, 200,000 orbits | {alert['mb']:,.0f} MB |",
            f"| start of a filter: loading, compiling, orbits to the night | "
            f"{alert['start_s']:.0f} CPU s |",
        ]
    return rows


if __name__ == "__main__":
    sys.exit(main())
