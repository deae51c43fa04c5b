"""What searching a frame costs: CPU time and memory of the whole `streaks detect`.

    python -m benchmarks.detection_cost [--repeats 7] [--light] [-o out.json]
        [--docs docs/detection.md]

Each measurement is made in a process of its own, on one thread, by ``time.process_time``: after one
call that loads and compiles, the median of the repeats. Other programs on the machine slow a
process down even in CPU time (shared caches and memory), so every figure stands beside two limits
measured in the same process: reading the Rice-compressed pixels, and one separable 9 x 9 filter.

With ``--light`` only the cost of photometry is measured: the CPU time within the PSF's shape
(`streaks.detection.light`) and within the aperture, over that of the search that they were part of.
A difference of two searches would be lost in what other programs do to both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["main", "write_compressed"]

#: A ZTF quadrant.
SHAPE = (3080, 3072)
SEED = 90210
SIDES = (512, 1024, 2048, 3072, 4096)
ARTEFACTS = (0, 250, 500, 1000, 2000)
#: What may tell the shape of a PSF; the share of a search that it may take; stars of a quadrant.
_TELLING = {
    "trails": "the image's own trails",
    "stars": "stars of the science image",
    "picture": "a picture of the PSF",
}
_MOST_SHARE, _STARS = 0.03, 4000
_ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
}


def main(argv: Sequence[str] | None = None) -> int:
    given = _arguments(argv)
    if given.measure:
        print(json.dumps(_MEASURES[given.measure[0]](given.repeats, *given.measure[1:])))
        return 0
    parts: list[str] = []
    report: dict[str, Any] = {}
    tables = _LIGHT_TABLES if given.light else _TABLES
    for name, make in tables:
        report[name], text = make(given.repeats)
        parts.append(text)
        print("\n" + text, flush=True)
    if given.output:
        given.output.write_text(json.dumps(report, indent=1) + "\n")
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        block = "benchmarks.detection_cost" + (" --light" if given.light else "")
        rewrite_block(given.docs, block, "\n\n".join(parts))
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection_cost", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    parser.add_argument("--light", action="store_true", help="only what photometry costs")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _in_own_process(repeats: int, *measure: object) -> Any:
    command = [sys.executable, "-m", "benchmarks.detection_cost", "--repeats", str(repeats)]
    command += ["--measure", *map(str, measure)]
    done = subprocess.run(
        command, env={**os.environ, **_ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


# The three tables


def _whole_text(repeats: int) -> tuple[Any, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_compressed(Path(folder))
        m = _in_own_process(repeats, "whole", path)
    limit = m["rice_s"] + m["filter_s"]
    rows = [
        "| 3072 x 3080 px of clutter, Rice-compressed; warm | CPU s | in units of the limits | "
        "target | |",
        "|---|---|---|---|---|",
    ]
    for what, key, target in (
        ("`streaks detect --no-classify`: read, find, write the table", "detect_s", 0.7),
        ("the same with classes (loads the model each time)", "named_s", None),
        ("of it: `read_frame`", "read_s", None),
        ("of it: `find_streaks`", "find_s", None),
        ("limit: Rice pixels alone (astropy)", "rice_s", None),
        ("limit: one separable 9 x 9 filter (OpenCV)", "filter_s", None),
    ):
        met = "" if target is None else ("met" if m[key] <= target else "**not met**")
        wanted = "" if target is None else f"<= {target}"
        rows.append(f"| {what} | {m[key]:.3f} | {m[key] / limit:.1f} | {wanted} | {met} |")
    met = "met" if m["peak_mb"] < 700 else "**not met**"
    rows.append(f"| peak memory of the process, MB | {m['peak_mb']:.0f} | | < 700 | {met} |")
    rows.append(f"| streaks reported | {m['streaks']} | | | |")
    return m, "\n".join(rows)


def _sizes_text(repeats: int) -> tuple[Any, str]:
    values = [_in_own_process(repeats, "size", side) for side in SIDES]
    rows = ["| clutter, px | CPU s of `find_streaks` | microseconds a pixel |", "|---|---|---|"]
    for side, m in zip(SIDES, values, strict=True):
        rows.append(f"| {side} x {side} | {m['find_s']:.3f} | {1e6 * m['find_s'] / side**2:.3f} |")
    a_pixel = [m["find_s"] / side**2 for side, m in zip(SIDES, values, strict=True)]
    growth = a_pixel[-1] / a_pixel[SIDES.index(1024)]
    met = "met" if growth <= 1.25 else "**not met**"
    rows.append(f"| cost a pixel, 4096 against 1024 | {growth:.2f} | linear: <= 1.25, {met} |")
    return dict(zip(map(str, SIDES), values, strict=True)), "\n".join(rows)


def _counts_text(repeats: int) -> tuple[Any, str]:
    values = {n: _in_own_process(max(3, repeats // 2), "count", n) for n in ARTEFACTS}
    rows = [
        "| streak-like artefacts in 3072 x 3080 px | CPU s of `find_streaks` | reported | target "
        "| |",
        "|---|---|---|---|---|",
    ]
    for n, m in values.items():
        met = ("met" if m["find_s"] < 3 else "**not met**") if n == ARTEFACTS[-1] else ""
        wanted = "< 3" if n == ARTEFACTS[-1] else ""
        rows.append(f"| {n} | {m['find_s']:.2f} | {m['streaks']} | {wanted} | {met} |")
    return {str(n): m for n, m in values.items()}, "\n".join(rows)


def _light_text(repeats: int) -> tuple[Any, str]:
    rows = [
        "| 3072 x 3080 px, what tells the PSF | CPU s of `find_streaks` | streaks | "
        "share of the PSF's shape | share of the aperture | <= 3 % each |",
        "|---|---|---|---|---|---|",
    ]
    values = {kind: _in_own_process(repeats, "light", kind) for kind in _TELLING}
    for kind, m in values.items():
        met = "met" if max(m["shape_share"], m["aperture_share"]) <= _MOST_SHARE else "**not met**"
        rows.append(
            f"| {_TELLING[kind]} | {m['find_s']:.3f} | {m['streaks']} | {m['shape_share']:.1%} | "
            f"{m['aperture_share']:.1%} | {met} |"
        )
    return values, "\n".join(rows)


_TABLES: tuple[tuple[str, Callable[[int], tuple[Any, str]]], ...] = (
    ("whole", _whole_text), ("sizes", _sizes_text), ("counts", _counts_text),
)  # fmt: skip
_LIGHT_TABLES = (("light", _light_text),)


# What is measured, each in a process of its own


def _measure_whole(repeats: int, path: str) -> dict[str, float]:
    import cv2

    from streaks.cli.detect import detect
    from streaks.detection import find_streaks
    from streaks.readers import read_frame

    cv2.setNumThreads(1)
    image = Path(path)
    table = image.with_name("table.ecsv")

    def whole(*, classify: bool) -> None:
        # Called as a function, a command's options are what stands here: none is left to typer.
        detect(
            [image], table, mask=None, science=None, reference=None, psf_fwhm=None,
            threshold=None, classify=classify, model="default", orbits=None, ephemeris=None,
            tle=None, plot=None, profile="", zero_point=None, gain=None, exposure=None, time=None,
            observatory=None, config=None, as_json=False, quiet=True, min_score=None, mix="",
        )  # fmt: skip

    detect_s = _median_cpu(lambda: whole(classify=False), repeats)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    frame = read_frame(image)
    return {
        "detect_s": detect_s,
        "peak_mb": peak_mb,
        "read_s": _median_cpu(lambda: read_frame(image), repeats),
        "find_s": _median_cpu(lambda: find_streaks(frame), repeats),
        "rice_s": _median_cpu(lambda: _read_pixels(image), repeats),
        "filter_s": _filter_s(repeats),
        "named_s": _median_cpu(lambda: whole(classify=True), max(3, repeats // 2)),
        "streaks": sum(1 for line in table.read_text().splitlines() if line[:1] not in "#") - 1,
    }


def _read_pixels(path: Path) -> Any:
    from astropy.io import fits

    with fits.open(path) as hdus:
        return hdus[1].data.sum()


def _filter_s(repeats: int) -> float:
    import cv2
    import numpy as np

    image = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    taps = cv2.getGaussianKernel(9, 1.0)
    return _median_cpu(lambda: cv2.sepFilter2D(image, cv2.CV_32F, taps, taps), max(15, repeats))


def _measure_size(repeats: int, side: str) -> dict[str, float]:
    from benchmarks.detection_frames import Recipe, make_frame

    # Streaks as dense as in the benchmark of depth, but at least one.
    return _find_cost(make_frame(Recipe("clutter", SEED, 1, shape=(int(side),) * 2)), repeats)


def _measure_count(repeats: int, count: str) -> dict[str, float]:
    from benchmarks.detection_frames import artefact_frame

    return _find_cost(artefact_frame(int(count), SEED, SHAPE), repeats)


def _find_cost(simulated: Any, repeats: int) -> dict[str, float]:
    import cv2

    from streaks.detection import find_streaks
    from streaks.frame import Frame

    cv2.setNumThreads(1)
    frame = Frame(simulated.data, simulated.mask, fwhm_px=simulated.fwhm_px)
    streaks = len(find_streaks(frame))
    return {"find_s": _median_cpu(lambda: find_streaks(frame), repeats), "streaks": streaks}


def _measure_light(repeats: int, kind: str) -> dict[str, float]:
    """Shares of a search that its photometry takes, from pairs of runs."""
    from dataclasses import replace

    import cv2
    import numpy as np

    import streaks.detection.finder as finder
    import streaks.detection.line_steps as line_steps
    from benchmarks.detection_frames import Recipe, make_frame
    from benchmarks.photometry import moffat
    from streaks.detection import find_streaks
    from streaks.frame import Frame

    cv2.setNumThreads(1)
    made = make_frame(Recipe("clutter", SEED, 0, shape=SHAPE))
    frame = Frame(made.data, made.mask, fwhm_px=made.fwhm_px)
    draw = moffat(made.fwhm_px, 3.0)
    if kind == "picture":
        y, x = np.indices((41, 41), dtype=float)
        frame = replace(frame, psf=draw(x - 20.0, y - 20.0))
    elif kind == "stars":
        frame = replace(frame, science=_science(draw))
    spent = {"psf_shape": 0.0, "shape_of_trail": 0.0, "aperture_flux": 0.0}

    def timed(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return ours(*given, **named)
            finally:
                spent[name] += time.process_time() - start

        return call

    for name in spent:
        room = finder if hasattr(finder, name) else line_steps
        setattr(room, name, timed(name, getattr(room, name)))
    streaks = len(find_streaks(frame))
    whole, shape, aperture = [], [], []
    for _ in range(repeats):
        spent.update(dict.fromkeys(spent, 0.0))
        whole.append(_cpu_s(lambda: find_streaks(frame)))
        shape.append((spent["psf_shape"] + spent["shape_of_trail"]) / whole[-1])
        aperture.append(spent["aperture_flux"] / whole[-1])
    return {
        "find_s": statistics.median(whole), "streaks": streaks,
        "shape_share": statistics.median(shape), "aperture_share": statistics.median(aperture),
    }  # fmt: skip


def _science(draw: Any) -> Any:
    """Sky and stars as bright as tell a PSF, as many a square degree as ZTF sees off the plane."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    image = rng.normal(500.0, 10.0, SHAPE).astype(np.float32)
    y, x = np.indices((81, 81), dtype=float) - 40.0
    for _ in range(_STARS):
        row, column = (int(rng.integers(41, side - 41)) for side in SHAPE)
        light = 2e3 * rng.random() ** -0.8
        part = image[row - 40 : row + 41, column - 40 : column + 41]
        part += (light * draw(x - rng.random(), y - rng.random())).astype(np.float32)
    return image


def _cpu_s(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


_MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "whole": _measure_whole,
    "size": _measure_size,
    "count": _measure_count,
    "light": _measure_light,
}


def _median_cpu(call: Callable[[], Any], repeats: int) -> float:
    """Median CPU seconds, after one call that warms up."""
    call()
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return sorted(spent)[len(spent) // 2]


def write_compressed(folder: Path) -> Path:
    """The frame as a survey stores it: a Rice-compressed image with a few header words.

    Parameters
    ----------
    folder
        Where to.

    Returns
    -------
    Path
        The file.
    """
    from astropy.io import fits

    from benchmarks.detection_frames import Recipe, make_frame

    frame = make_frame(Recipe("clutter", SEED, 0, shape=SHAPE))
    image = fits.CompImageHDU(frame.data, compression_type="RICE_1", quantize_level=4.0)
    image.header.update({
        "PSF_FWHM": frame.fwhm_px, "EXPTIME": 30.0, "GAIN": 6.2, "MAGZP": 26.3,
        "DATE-OBS": "2018-06-07T08:00:00",
    })  # fmt: skip
    path = folder / "clutter.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
