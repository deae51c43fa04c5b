"""Every figure of the documents, measured again, and what changed.

    python -m benchmarks.refresh [--only NAME ...] [--work DIR] [--data ../shared/data] [--list]

Each block between ``<!-- benchmarks.NAME: begin -->`` and ``end`` in docs/ is written anew by its
command; what it said before and says now is printed. Peers that are installed (scikit-image,
OpenCV, acstools, ASTRiDE) run beside ours in `benchmarks.detection`. All of it takes many hours of
two cores; what fails is named, and the rest goes on.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FIGURES", "Figures", "block_of", "changes", "main"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figures:
    """A block of a document, and the command that writes it.

    Parameters
    ----------
    name
        As the marks have it, after ``benchmarks.``.
    document
        In docs/.
    arguments
        Of the module, besides ``--docs``; ``{work}`` and ``{data}`` stand for folders.
    needs_data
        A folder in the real data without which it cannot be measured.
    """

    name: str
    document: str
    arguments: tuple[str, ...] = ()
    needs_data: str = ""

    @property
    def module(self) -> str:
        """Its module in benchmarks/."""
        return self.name.split()[0]


FIGURES = (
    Figures("noise_kinds", "detection.md"),
    Figures("psf_range", "detection.md"),
    Figures("detection", "detection.md", ("--peers", "-o", "{work}/detection.json")),
    Figures("detection --kind winged", "detection.md", ("--kind", "winged")),
    Figures("detection_cost", "detection.md"),
    Figures("detection_cost --light", "detection.md", ("--light",)),
    Figures("start_time", "detection.md"),
    Figures("detectors", "detection.md"),
    Figures("photometry", "detection.md", ("--trails", "16")),
    Figures(
        "photometry --stamps",
        "detection.md",
        ("--trails", "8", "--stamps", "{data}/real-frames/rubin/stamps"),
        "real-frames",
    ),
    Figures("labels", "labels_import.md"),
    Figures(
        "periods",
        "periods.md",
        ("--data", "{data}/asteroid-alerts", "--work", "{work}/periods"),
        "asteroid-alerts",
    ),
    Figures("watch_delay", "night.md"),
    Figures("scale", "scale.md"),
    Figures("store", "store.md"),
    Figures(
        "completeness",
        "completeness.md",
        ("--work", "{work}/completeness", "--real", "{data}", "--pictures", "docs"),
        "real-cutouts",
    ),
    Figures("references", "completeness.md"),
    Figures(
        "mutants",
        "architecture.md",
        (
            *("--own", "--rooms", "matching", "detection"),
            *("--per-room", "14", "--seed", "1", "-o", "{work}/mutants.json"),
        ),
    ),
    Figures("purity", "verdict.md", ("--work", "{work}/purity")),
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.refresh", description=(__doc__ or "").splitlines()[0]
    )
    names = [figures.name for figures in FIGURES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--list", action="store_true", help="print the commands and end")
    given = parser.parse_args(argv)
    chosen = [f for f in FIGURES if given.only is None or f.name in given.only]
    failed = []
    for figures in chosen:
        words = _command(figures, given.work, given.data)
        print("$", "python", *words[1:], flush=True)
        if given.list:
            continue
        if figures.needs_data and not (given.data / figures.needs_data).is_dir():
            print(f"  left out: {given.data / figures.needs_data} is not there; give --data")
            continue
        if not _refreshed(figures, words, given.work):
            failed.append(figures.name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _command(figures: Figures, work: Path, data: Path) -> list[str]:
    filled = [one.format(work=work, data=data) for one in figures.arguments]
    document = f"docs/{figures.document}"
    return [sys.executable, "-m", f"benchmarks.{figures.module}", *filled, "--docs", document]


def _refreshed(figures: Figures, words: list[str], work: Path) -> bool:
    """Run one command; whether it ended well. Prints what it changed."""
    work.mkdir(parents=True, exist_ok=True)
    document = ROOT / "docs" / figures.document
    before, started = block_of(document.read_text(), figures.name), time.monotonic()
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    minutes = (time.monotonic() - started) / 60.0
    if run.returncode:
        print(f"  failed after {minutes:.1f} min: {(run.stderr or run.stdout).strip()[-2000:]}")
        return False
    changed = changes(before, block_of(document.read_text(), figures.name))
    print(f"  {minutes:.1f} min, {len(changed)} lines changed", *changed, sep="\n  ", flush=True)
    return True


def block_of(text: str, name: str) -> str:
    """What stands between the marks of a name.

    Parameters
    ----------
    text
        Of a document.
    name
        After ``benchmarks.`` in its marks.

    Returns
    -------
    str

    Raises
    ------
    SystemExit
        If the marks are not there once each.
    """
    mark = re.escape(f"benchmarks.{name}")
    found = re.findall(rf"<!-- {mark}: begin -->\n(.*?)<!-- {mark}: end -->", text, re.DOTALL)
    if len(found) != 1:
        raise SystemExit(f"the marks of benchmarks.{name} are there {len(found)} times; expected 1")
    return str(found[0])


def changes(before: str, after: str) -> list[str]:
    """Lines that went and lines that came.

    Parameters
    ----------
    before, after
        Two states of a block.

    Returns
    -------
    list of str
        With ``-`` or ``+`` in front.
    """
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:1] in "+-" and not line.startswith(("---", "+++"))]


if __name__ == "__main__":
    sys.exit(main())
