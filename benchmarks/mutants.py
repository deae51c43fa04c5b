"""Change the code at random, one place at a time, and count which changes the tests see.

A change is a sign, a comparison, a number, a minimum for a maximum, a sine for a cosine, an `and`
for an `or`. Each is made in a copy of the package, where the module's own tests run until one
fails. Changes that no test sees are listed: each is a test to write, or a line that nothing needs.

    python benchmarks/mutants.py matching known [--count 60] [--seed 1] [--only known/spk.py]
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Tests of each module, or of a whole room, the quickest to tell first.
TESTS = {
    "matching.py": ("test_matching.py",),
    "satellites/": ("test_satellite_elements.py", "test_satellites.py"),
    "known/spk.py": ("test_known_kernels.py",),
    "known/shipped.py": ("test_known_kernels.py",),
    "known/multi_night.py": ("test_known_multi_night.py", "test_known_check.py"),
    "known/mpcorb.py": ("test_known_orbits.py", "test_known_catalogues.py"),
    "known/packed.py": ("test_known_orbits.py",),
    "known/names.py": ("test_known_orbits.py", "test_known_catalogues.py"),
    "known/orbits.py": ("test_known_orbits.py", "test_known_catalogues.py"),
    "known/observatories.py": ("test_known_orbits.py",),
    "known/catalogues.py": ("test_known_catalogues.py",),
    "known/update.py": ("test_known_catalogues.py",),
    "known/cache.py": ("test_known_catalogues.py",),
    "known/check.py": ("test_known_check.py",),
    "known/stale.py": ("test_known_check.py",),
    "known/": (
        "test_known_places.py", "test_known_multi_night.py", "test_known_catalogues.py",
        "test_known_kernels.py", "test_known_orbits.py", "test_known_check.py",
    ),
}  # fmt: skip
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
    ast.USub: ast.UAdd,
}  # fmt: skip
CALLS = {
    "sin": "cos", "cos": "sin", "min": "max", "max": "min", "minimum": "maximum",
    "maximum": "minimum", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the module, its line, and the whole new source."""

    module: str
    line: int
    what: str
    source: str


def mutants_of(module: str) -> Iterator[Mutant]:
    """All changes that this program knows of a module."""
    text = (ROOT / "streaks" / module).read_text(encoding="utf-8")
    count = len(list(_places(ast.parse(text))))
    for number in range(count):
        tree = ast.parse(text)
        node, change = list(_places(tree))[number]
        before = ast.unparse(node)
        change()
        line = getattr(node, "lineno", 0)
        yield Mutant(module, line, f"{before}  ->  {ast.unparse(node)}", ast.unparse(tree))


def _places(tree: ast.Module):  # type: ignore[no-untyped-def]
    """Nodes that can be changed, with what changes them."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
            skipped.update(id(inner) for inner in ast.walk(node))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log."):
            skipped.update(id(inner) for inner in ast.walk(node))
        if isinstance(node, ast.FunctionDef):
            # The size of a cache changes no answer.
            hints = (node.returns, *(a.annotation for a in node.args.args))
            for part in (*hints, *node.decorator_list):
                skipped.update(id(inner) for inner in (ast.walk(part) if part else ()))
        if isinstance(node, ast.AnnAssign):
            skipped.update(id(inner) for inner in ast.walk(node.annotation))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp) and type(node.op) in SWAPS:
            yield node, lambda node=node: setattr(node, "op", SWAPS[type(node.op)]())
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            yield node, lambda node=node: node.ops.__setitem__(0, SWAPS[type(node.ops[0])]())
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value:
            new = node.value + 1 if isinstance(node.value, int) else node.value * 1.7
            yield node, lambda node=node, new=new: setattr(node, "value", new)
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            yield node, lambda node=node: setattr(node, "attr", CALLS[node.attr])
        elif isinstance(node, ast.Name) and node.id in CALLS and node.id in ("min", "max"):
            yield node, lambda node=node: setattr(node, "id", CALLS[node.id])


def modules_of(rooms: list[str]) -> list[str]:
    found = []
    for room in rooms:
        path = ROOT / "streaks" / room
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        found += [str(file.relative_to(ROOT / "streaks")) for file in files]
    return found


def tests_of(module: str) -> tuple[str, ...]:
    return next(tests for start, tests in TESTS.items() if module.startswith(start))


def judge(mutant: Mutant, copy: Path, limit_s: float) -> str:
    """Whether a test fails with the change, all pass, or they do not come to an end."""
    target = copy / "streaks" / mutant.module
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    tests = [str(copy / "tests" / name) for name in tests_of(mutant.module)]
    try:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider",
             *tests],
            cwd=copy, capture_output=True, text=True, timeout=limit_s, check=False,
        )  # fmt: skip
        if run.returncode not in (0, 1, 2):
            raise SystemExit(run.stdout[-2000:] + run.stderr[-2000:])
        return "seen" if run.returncode else "NOT SEEN"
    except subprocess.TimeoutExpired:
        return "timed out"
    finally:
        target.write_text(original, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="+", help="modules or folders in streaks/")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds a change")
    given = parser.parse_args()
    every = [m for module in modules_of(given.rooms) for m in mutants_of(module)]
    chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
    seen = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for name in ("streaks", "tests", "benchmarks"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "cli.py"):
            shutil.copy(ROOT / name, copy / name)
        os.environ.setdefault("STREAKS_REAL_DATA", str(ROOT.parent / "shared" / "data"))
        for number, mutant in enumerate(chosen, 1):
            word = judge(mutant, copy, given.limit)
            seen += word != "NOT SEEN"
            print(f"{number:3} {word:9} {mutant.module}:{mutant.line}  {mutant.what}", flush=True)
    print(f"{seen} of {len(chosen)} changes are seen ({100 * seen / len(chosen):.0f} %), of "
          f"{len(every)} possible ones, seed {given.seed}")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
