"""What one `streaks detect` takes, from the command to its table, libraries and models loaded anew.

    python -m benchmarks.start_time [--repeats 7] [--docs docs/detection.md]

Each run is a process of its own, as a user starts it; kernels are compiled and bytecode is written
by a first run that does not count. In each round a process only imports ``astropy.io.fits``: on a
busy machine all are slow, and the ratio of their CPU times is what can be compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["main"]

#: Wall-clock seconds on an idle machine.
TARGET_S = 1.8
SEED = 3
_FITS = "import of `astropy.io.fits` alone"


@dataclass(frozen=True)
class _Run:
    """One process, from its start to its end."""

    wall_s: float
    cpu_s: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.start_time", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        runs = _measured(_commands(Path(folder)), given.repeats)
    text = _text(runs, load)
    print(text)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.start_time", text)
    return 0


def _commands(folder: Path) -> dict[str, list[str]]:
    """What is run, by what it is called; the import comes last."""
    from benchmarks.detection_cost import write_compressed

    night = folder / "night"
    streaks = [sys.executable, "-c", "import streaks.cli; streaks.cli.main()"]
    _run([*streaks, "synth", "night", "--frames", "1", "--seed", str(SEED), "-o", str(night)])
    _run([*streaks, "sample", "-o", str(folder / "sample")])
    frames = {
        "a frame of the sample night": _difference_image(folder / "sample"),
        "3072 x 3080 px of clutter, as below": write_compressed(folder),
        "a frame of `streaks synth night`": _difference_image(night),
    }
    output = ["-o", str(folder / "streaks.ecsv"), "--quiet"]
    commands = {name: [*streaks, "detect", str(path), *output] for name, path in frames.items()}
    return commands | {_FITS: [sys.executable, "-c", "import astropy.io.fits"]}


def _difference_image(folder: Path) -> Path:
    return sorted(folder.rglob("*_scimrefdiffimg.fits*"))[0]


def _measured(commands: Mapping[str, Sequence[str]], repeats: int) -> dict[str, _Run]:
    """The least of several runs of each, in turn, after one that compiles."""
    runs: dict[str, list[_Run]] = {name: [] for name in commands}
    for command in commands.values():
        _run(command)
    for _ in range(repeats):
        for name, command in commands.items():
            runs[name].append(_run(command))
    return {
        name: _Run(min(run.wall_s for run in some), min(run.cpu_s for run in some))
        for name, some in runs.items()
    }


def _run(command: Sequence[str]) -> _Run:
    """One process; its bytecode is written, as that of an installed package is.

    Raises
    ------
    SystemExit
        If it fails.
    """
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=kept, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return _Run(time.perf_counter() - started, used.ru_utime + used.ru_stime)


def _text(runs: Mapping[str, _Run], load: float) -> str:
    unit = runs[_FITS].cpu_s
    rows = [
        "| one process, everything loaded anew; the least of its runs | wall s | CPU s | CPU time, "
        "in imports of `astropy.io.fits` |",
        "|---|---|---|---|",
    ]
    for name, run in runs.items():
        rows.append(f"| {name} | {run.wall_s:.2f} | {run.cpu_s:.2f} | {run.cpu_s / unit:.1f} |")
    idle = "" if load < 0.5 else "; wall-clock times are of a busy machine and tell little"
    return "\n".join([
        *rows,
        "",
        f"The aim is {TARGET_S} s of wall-clock time on an idle machine. Before this measurement "
        f"{load:.1f} processes ran on {os.cpu_count()} cores{idle}.",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
