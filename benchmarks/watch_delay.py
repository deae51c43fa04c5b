"""How long after a frame's arrival its streaks are rows on disk, while a night is watched.

    python -m benchmarks.watch_delay [--frames 8] [--docs docs/night.md] [--sky FOLDER]

`streaks night --watch` runs in a process of its own, with every default and the night's orbits. The
first two frames wait for it; each later one arrives alone, mask and science image with it, when the
night is at rest. Its delay ends when ``streaks.parquet`` holds rows of it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

#: Seconds from arrival to row, on an idle machine.
TARGET_S = 4.0
SHAPE = (3080, 3072)
SEED = 11
#: Frames that are there when the watch begins.
_FIRST = 2
#: Seconds between two looks at the table, and between a row and the next frame: the page is made
#: again meanwhile.
_LOOK_S, _REST_S = 0.02, 5.0
_GIVE_UP_S = 300.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.watch_delay", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    parser.add_argument("--sky", type=Path, help="folder that keeps the frames for another time")
    given = parser.parse_args(argv)
    if given.frames <= _FIRST:
        parser.error(f"--frames is {given.frames}; expected more than {_FIRST}")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        sky = given.sky or Path(folder) / "sky"
        if not sky.is_dir():
            _make_sky(sky, given.frames)
        delays = _delays(sky, Path(folder), given.frames)
        searched = _searched(Path(folder) / "night" / "log.jsonl")[_FIRST:]
    text = _text(delays, searched, load)
    print(text)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.watch_delay", text)
    return 0


def _make_sky(sky: Path, frames: int) -> None:
    from streaks.synth import make_night

    make_night(sky, frames=frames, seed=SEED, shape=SHAPE)


def _delays(sky: Path, folder: Path, n: int) -> list[float]:
    """Seconds of each frame that arrived while the night was watched."""
    images = sorted(sky.glob("*_scimrefdiffimg.fits*"))[:n]
    watched, night = folder / "watched", folder / "night"
    watched.mkdir()
    for reference in sky.glob("*_refimg.fits*"):
        os.symlink(reference.resolve(), watched / reference.name)
    for image in images[:_FIRST]:
        _arrive(image, watched)
    command = [
        sys.executable, "-c", "import streaks.cli; streaks.cli.main()", "night", str(watched),
        "-o", str(night), "--orbits", str(sky / "orbits.dat"), "--watch", "--quiet",
    ]  # fmt: skip
    # A job in a shell's background inherits an ignored SIGINT; the watch ends by it.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    watch = subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=heard)
    try:
        for image in images[:_FIRST]:
            _wait_for(image, night, watch)
        delays = []
        for image in images[_FIRST:]:
            time.sleep(_REST_S)
            start = time.monotonic()
            _arrive(image, watched)
            _wait_for(image, night, watch)
            delays.append(time.monotonic() - start)
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait()
    return delays


def _arrive(image: Path, watched: Path) -> None:
    """All files of one exposure, the difference image last, each whole at once."""
    stem = image.name.partition("_scimrefdiffimg")[0]
    for path in sorted(image.parent.glob(f"{stem}_*"), key=lambda path: path == image):
        os.symlink(path.resolve(), watched / path.name)


def _wait_for(image: Path, night: Path, watch: subprocess.Popen[bytes]) -> None:
    """Until the night's table has rows of an image.

    Raises
    ------
    SystemExit
        If the watch ends, or the rows do not come.
    """
    table, seen = night / "streaks.parquet", 0
    until = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < until:
        if watch.poll() is not None:
            raise SystemExit(f"the watch ended with {watch.returncode}")
        changed = table.stat().st_mtime_ns if table.is_file() else 0
        if changed != seen:
            seen = changed
            if image.name.partition(".fits")[0] in _images_in(table):
                return
        time.sleep(_LOOK_S)
    raise SystemExit(f"no rows of {image.name} after {_GIVE_UP_S:.0f} s")


def _images_in(table: Path) -> set[str]:
    import pyarrow.parquet as pq

    return set(pq.read_table(table, columns=["image"])["image"].to_pylist())


def _searched(log: Path) -> list[tuple[float, float]]:
    """Wall-clock and CPU seconds of each frame in its worker, in the order in which they came."""
    lines = (json.loads(line) for line in log.read_text().splitlines())
    frames = [line for line in lines if line["event"] == "frame"]
    return [(frame["seconds"], frame["cpu_s"]) for frame in frames]


def _text(delays: Sequence[float], searched: Sequence[tuple[float, float]], load: float) -> str:
    worst, middle = max(delays), statistics.median(delays)
    wall, cpu = (statistics.median(values) for values in zip(*searched, strict=True))
    met = "met" if worst <= TARGET_S else "**not met**"
    return "\n".join([
        f"| {len(delays)} frames of {SHAPE[1]} x {SHAPE[0]} px, one at a time | s |",
        "|---|---|",
        f"| from arrival to rows in `streaks.parquet`, median | {middle:.1f} |",
        f"| of it, the search in its worker, median | {wall:.1f} |",
        f"| CPU time of that search, median | {cpu:.1f} |",
        f"| the longest | {worst:.1f} |",
        f"| aim, on an idle machine: at most {TARGET_S:g} | {met} |",
        "",
        f"Before this measurement {load:.1f} processes ran on {os.cpu_count()} cores.",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
