"""Do the tests see a changed line? Seeded mutants of the rooms whose faults would be silent.

    python -m benchmarks.mutants [--rooms matching known ...] [--per-room 20] [--seed 1]

One operator, number, comparison or condition of a room is changed in a copy of the checkout, and
the room's tests run there until one fails. A mutant that no test sees is printed with its line:
either a test is missing, or the change makes no difference.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import functools
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Files of a room, and the tests that should see what is wrong in them.
ROOMS = {
    "matching": (("streaks/matching.py",), ("tests/test_matching*.py",)),
    "known": (("streaks/known/*.py",), ("tests/test_known*.py",)),
    "satellites": (("streaks/satellites/*.py",), ("tests/test_satellite*.py",)),
    "classification": (("streaks/classification/*.py",), ("tests/test_classification*.py",)),
    "detection": (
        ("streaks/detection/*.py",),
        ("tests/test_detection*.py", "tests/test_point_sources.py"),
    ),
    "night": (
        ("streaks/night/*.py", "streaks/night_folder/*.py", "streaks/search/*.py"),
        ("tests/test_night*.py", "tests/test_search*.py", "tests/test_reporting_night.py"),
    ),
}
#: Tests of single files, the quickest to tell first; others run those of their room.
TESTS = {
    "streaks/known/spk.py": ("tests/test_known_kernels.py",),
    "streaks/known/shipped.py": ("tests/test_known_kernels.py",),
    "streaks/known/multi_night.py": (
        "tests/test_known_multi_night.py",
        "tests/test_known_check.py",
    ),
    "streaks/known/mpcorb.py": ("tests/test_known_orbits.py", "tests/test_known_catalogues.py"),
    "streaks/known/packed.py": ("tests/test_known_orbits.py",),
    "streaks/known/names.py": ("tests/test_known_orbits.py", "tests/test_known_catalogues.py"),
    "streaks/known/orbits.py": ("tests/test_known_orbits.py", "tests/test_known_catalogues.py"),
    "streaks/known/observatories.py": ("tests/test_known_orbits.py",),
    "streaks/known/catalogues.py": ("tests/test_known_catalogues.py",),
    "streaks/known/update.py": ("tests/test_known_catalogues.py",),
    "streaks/known/cache.py": ("tests/test_known_catalogues.py",),
    "streaks/known/check.py": ("tests/test_known_check.py",),
    "streaks/known/claims.py": ("tests/test_known_check.py",),
    "streaks/known/verdicts.py": ("tests/test_known_check.py",),
    "streaks/known/stale.py": ("tests/test_known_check.py",),
}
#: Files that only draw, tell or start things: a changed number there is a matter of taste.
LEFT_OUT = ("__init__.py", "page.py", "run_log.py")
#: Calls whose words are for people.
SPOKEN = ("_log.", "logging.", "print")
#: A mutant may loop for ever: then the tests have seen it.
LIMIT_S = 900

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_FUNCTIONS = {
    "sin": "cos", "cos": "sin", "min": "max", "max": "min", "minimum": "maximum",
    "maximum": "minimum", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
}  # fmt: skip
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: where, what it was, what it is."""

    path: str
    line: int
    start: int
    end: int
    text: str

    def source(self, code: str) -> str:
        """The file's code with the change."""
        return code[: self.start] + self.text + code[self.end :]


def mutants_of(path: str, code: str) -> list[Mutant]:
    """All changes that can be made to a file."""
    lines = code.splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        # Offsets of `ast` count bytes; the sources are ASCII but for a few words in comments.
        offsets.append(offsets[-1] + len(line))
    found = []
    for node in _sensible(ast.parse(code)):
        text = _changed(node)
        if text is None:
            continue
        start = offsets[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = offsets[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        found.append(Mutant(path, node.lineno, start, end, text))  # type: ignore[attr-defined]
    return found


def _sensible(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes inside functions, but annotations, defaults of them and words for people."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        waiting: list[ast.AST] = list(function.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.JoinedStr | ast.Raise | ast.Import):
                continue
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(SPOKEN):
                continue
            if isinstance(node, ast.AnnAssign):
                waiting += [node.value] if node.value else []
                continue
            yield node
            waiting += list(ast.iter_child_nodes(node))


def _changed(node: ast.AST) -> str | None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED and len(node.ops) == 1:
        other = _COMPARED[type(node.ops[0])]()
        return f"({ast.unparse(ast.Compare(node.left, [other], node.comparators))})"
    if isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
        return f"({ast.unparse(ast.BinOp(node.left, _COUNTED[type(node.op)](), node.right))})"
    if isinstance(node, ast.BoolOp):
        other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return f"({ast.unparse(ast.BoolOp(other_op, node.values))})"
    if isinstance(node, ast.Attribute | ast.Name):
        return _other_function(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        return f"({ast.unparse(node.operand)})"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return str(not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        return repr(node.value * 2 if node.value else 1.0)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return repr(node.value + 1)
    return None


def _other_function(node: ast.Attribute | ast.Name) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in _FUNCTIONS:
        return f"{ast.unparse(node.value)}.{_FUNCTIONS[node.attr]}"
    if isinstance(node, ast.Name) and node.id in ("min", "max"):
        return _FUNCTIONS[node.id]
    return None


def drawn(room: str, per_room: int, seed: int) -> list[Mutant]:
    """Mutants of a room, the same for one seed."""
    every = []
    for pattern in ROOMS[room][0]:
        for path in sorted(ROOT.glob(pattern)):
            if path.name not in LEFT_OUT:
                name = str(path.relative_to(ROOT))
                every += mutants_of(name, path.read_text(encoding="utf-8"))
    return random.Random(f"{seed} {room}").sample(every, min(per_room, len(every)))


class Checkouts:
    """Copies of the checkout, one for each that works at once; they keep what is compiled."""

    def __init__(self, folder: Path, n: int) -> None:
        keep = shutil.ignore_patterns(".git", ".venv*", ".mypy_cache", ".pytest_cache", "demo*")
        self._free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for i in range(n):
            copy = folder / f"{i}" / "checkout"
            shutil.copytree(ROOT, copy, symlinks=True, ignore=keep)
            if (ROOT.parent / "shared").is_dir():
                (copy.parent / "shared").symlink_to(ROOT.parent / "shared")
            self._free.put(copy)

    @contextmanager
    def with_change(self, mutant: Mutant) -> Iterator[Path]:
        """A checkout with this change, for as long as it is needed."""
        copy = self._free.get()
        path = copy / mutant.path
        code, status = path.read_text(encoding="utf-8"), path.stat()
        try:
            path.write_text(mutant.source(code), encoding="utf-8")
            yield copy
        finally:
            path.write_text(code, encoding="utf-8")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            self._free.put(copy)


def is_seen(mutant: Mutant, room: str, checkouts: Checkouts) -> bool:
    """Whether a test fails in a copy of the checkout with this change."""
    with checkouts.with_change(mutant) as copy:
        patterns = TESTS.get(mutant.path, ROOMS[room][1])
        tests = [str(p.relative_to(copy)) for g in patterns for p in sorted(copy.glob(g))]
        words = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider"]
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *words, *tests], cwd=copy, env=environment,
                capture_output=True, timeout=LIMIT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--per-room", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.9, help="Share that must be seen.")
    given = parser.parse_args()
    start, n_seen, n_all = time.monotonic(), 0, 0
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    checkouts = Checkouts(folder, given.jobs)
    for room in given.rooms:
        mutants = drawn(room, given.per_room, given.seed)
        look = functools.partial(is_seen, room=room, checkouts=checkouts)
        with ThreadPoolExecutor(given.jobs) as pool:
            seen = list(pool.map(look, mutants))
        for mutant, was_seen in zip(mutants, seen, strict=True):
            if not was_seen:
                code = (ROOT / mutant.path).read_text(encoding="utf-8")
                was = " ".join(code[mutant.start : mutant.end].split())
                print(f"unseen: {mutant.path}:{mutant.line}: {was} -> {mutant.text}", flush=True)
        print(f"{room}: {sum(seen)} of {len(seen)} seen", flush=True)
        n_seen, n_all = n_seen + sum(seen), n_all + len(seen)
    print(f"{n_seen} of {n_all} seen in {time.monotonic() - start:.0f} s (seed {given.seed})")
    return 0 if n_seen >= given.least * n_all else 1


if __name__ == "__main__":
    sys.exit(main())
