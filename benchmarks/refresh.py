"""Make every figure of the documentation again, and say what changed.

    python -m benchmarks.refresh [--only NAME ...] [--list] [--work FOLDER]

Pages hold figures between ``<!-- benchmarks.NAME: begin -->`` and ``end``. Each such benchmark is
run with ``--docs PAGE``, one after the other, and the lines that it changed are shown. All of them
take hours on two cores; ``--list`` says which there are. Peers that are installed (extra `bench`)
are run on the same frames.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DOCS = Path("docs")
#: What a benchmark needs beside --docs; WORK stands for a folder of its own.
OPTIONS: dict[str, tuple[str, ...]] = {
    "completeness": ("--work", "WORK", "--nights", "40"),
    "detection": ("--peers",),
    "photometry": ("--trails", "16"),
    "purity": ("--work", "WORK"),
}
_BLOCK = re.compile(r"<!-- benchmarks\.(\w+): begin -->")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="names of benchmarks; else all")
    parser.add_argument("--list", action="store_true", help="name them and their pages, run none")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"))
    given = parser.parse_args(arguments)
    found = figures(DOCS)
    unknown = sorted(set(given.only) - set(found))
    if unknown:
        parser.error(f"no page has figures of {', '.join(unknown)}; there are {', '.join(found)}")
    chosen = {name: page for name, page in found.items() if not given.only or name in given.only}
    if given.list:
        for name, page in chosen.items():
            print(" ".join(words_of(name, page, given.work)[1:]))
        return 0
    failed = [name for name, page in chosen.items() if not refresh(name, page, given.work)]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def figures(docs: Path) -> dict[str, Path]:
    """Pages with marked figures, by the name of the benchmark that makes them."""
    return {
        name: page
        for page in sorted(docs.glob("*.md"))
        for name in _BLOCK.findall(page.read_text(encoding="utf-8"))
    }


def words_of(name: str, page: Path, work: Path) -> list[str]:
    """The command that makes a page's figures."""
    more = [str(work / name) if word == "WORK" else word for word in OPTIONS.get(name, ())]
    return [sys.executable, "-m", f"benchmarks.{name}", *more, "--docs", str(page)]


def refresh(name: str, page: Path, work: Path) -> bool:
    """Run one, show the lines of its page that changed, and say whether it ended well."""
    before = page.read_text(encoding="utf-8").splitlines()
    print(f"== {name}: {page}", flush=True)
    done = subprocess.run(words_of(name, page, work), stdout=subprocess.DEVNULL, check=False)
    for line in changed_lines(before, page.read_text(encoding="utf-8").splitlines()):
        print(line)
    return done.returncode == 0


def changed_lines(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Lines that went (``-``) and came (``+``), in their order."""
    found = difflib.unified_diff(before, after, n=0, lineterm="")
    return [line for line in found if not line.startswith(("---", "+++", "@@"))]


if __name__ == "__main__":
    raise SystemExit(main())
