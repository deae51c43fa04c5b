"""Do the tests see a changed line? Seeded mutants of the rooms whose faults would be silent.

    python -m benchmarks.mutants [--rooms matching known ...] [--per-room 20] [--seed 1 2]
        [--own] [-o benchmark-work/mutants.json] [--docs docs/architecture.md]

One operator, number, comparison or condition of a room is changed in a copy of the checkout, and
tests run there until one fails: those of the changed file, then others of its room, the quickest
first. A mutant that no test sees is printed with its line: a test is missing, or the change makes
no difference. The latter stand in mutants_equal.toml with the reason of each, and are counted both
ways. With ``--own`` only the tests that `TESTS` names for a file run: far quicker, and what is seen
is then a lower bound. With ``-o`` what was found is kept: the next call runs only what is missing
and what was not seen.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import fnmatch
import functools
import hashlib
import json
import math
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mutations import Mutant, mutants_of

__all__ = ["EQUAL", "ROOMS", "TESTS", "Equal", "drawn", "equal_mutants", "files_of", "main"]

ROOT = Path(__file__).resolve().parents[1]
#: Mutants that make no difference, with reasons.
EQUAL = Path(__file__).with_name("mutants_equal.toml")


@dataclass(frozen=True)
class Room:
    """What is changed, and what should see it.

    Parameters
    ----------
    modules
        Files without their suffix, or folders of files, from the root.
    tests
        Patterns of test files.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "matching": Room(("streaks/matching",), ("tests/test_matching*.py",)),
    "known": Room(("streaks/known",), ("tests/test_known*.py",)),
    "satellites": Room(("streaks/satellites",), ("tests/test_satellite*.py",)),
    "classification": Room(
        ("streaks/classification",),
        ("tests/test_classification*.py", "tests/test_cutouts_sampling.py"),
    ),
    "detection": Room(
        ("streaks/detection",),
        ("tests/test_detection*.py", "tests/test_photometry*.py", "tests/test_point_sources.py"),
    ),
    "night": Room(
        ("streaks/night", "streaks/night_folder", "streaks/search"),
        ("tests/test_night*.py", "tests/test_reporting_night.py"),
    ),
}
#: Tests of single modules, the quickest to tell, run before those of their room.
TESTS = {
    "streaks/known/spk": ("tests/test_known_kernels.py",),
    "streaks/known/shipped": ("tests/test_known_kernels.py",),
    "streaks/known/multi_night": ("tests/test_known_multi_night.py", "tests/test_known_check.py"),
    "streaks/known/mpcorb": ("tests/test_known_orbits.py", "tests/test_known_catalogues.py"),
    "streaks/known/packed": ("tests/test_known_orbits.py",),
    "streaks/known/names": ("tests/test_known_orbits.py", "tests/test_known_catalogues.py"),
    "streaks/known/orbits": ("tests/test_known_orbits.py", "tests/test_known_catalogues.py"),
    "streaks/known/observatories": ("tests/test_known_orbits.py",),
    "streaks/known/catalogues": ("tests/test_known_catalogues.py",),
    "streaks/known/update": ("tests/test_known_catalogues.py",),
    "streaks/known/cache": ("tests/test_known_catalogues.py",),
    "streaks/known/check": ("tests/test_known_check.py",),
    "streaks/known/claims": ("tests/test_known_check.py",),
    "streaks/known/verdicts": ("tests/test_known_check.py",),
    "streaks/known/stale": ("tests/test_known_check.py",),
    "streaks/known/kepler": (
        "tests/test_known_orbits.py",
        "tests/test_known_places.py",
    ),
    "streaks/known/_motion": (
        "tests/test_known_places.py",
        "tests/test_known_orbits.py",
    ),
    "streaks/known/_radau": (
        "tests/test_known_places.py",
        "tests/test_known_kernels.py",
    ),
    "streaks/known/nbody": (
        "tests/test_known_places.py",
        "tests/test_known_kernels.py",
    ),
    "streaks/known/dynamics": ("tests/test_known_places.py",),
    "streaks/known/index": (
        "tests/test_known_places.py",
        "tests/test_known_check.py",
    ),
    "streaks/known/places": (
        "tests/test_known_places.py",
        "tests/test_known_check.py",
    ),
    "streaks/known/solar_system": (
        "tests/test_known_kernels.py",
        "tests/test_known_places.py",
    ),
    "streaks/known/synthesis": (
        "tests/test_known_orbits.py",
        "tests/test_known_places.py",
    ),
    "streaks/known/checker": ("tests/test_known_check.py",),
    "streaks/satellites/elements": ("tests/test_satellite_elements.py",),
    "streaks/satellites/sky": ("tests/test_satellites.py",),
    "streaks/satellites/candidates": ("tests/test_satellites.py",),
    "streaks/detection/ends": ("tests/test_detection_ends.py", "tests/test_detection_kernels.py"),
    "streaks/detection/evidence": (
        "tests/test_detection_kernels.py",
        "tests/test_detection_records.py",
    ),
    "streaks/detection/hough": (
        "tests/test_detection_kernels.py",
        "tests/test_detection_records.py",
    ),
    "streaks/detection/photometry": (
        "tests/test_detection_kernels.py",
        "tests/test_photometry_shapes.py",
    ),
    "streaks/detection/point_sources": (
        "tests/test_point_sources.py",
        "tests/test_detection_kernels.py",
    ),
    "streaks/detection/profiles": (
        "tests/test_detection_kernels.py",
        "tests/test_detection_judgement.py",
    ),
    "streaks/detection/quality": (
        "tests/test_detection_judgement.py",
        "tests/test_detection_kernels.py",
    ),
    "streaks/detection/records": (
        "tests/test_detection_records.py",
        "tests/test_detection_kernels.py",
    ),
    "streaks/detection/refinement": (
        "tests/test_detection_kernels.py",
        "tests/test_detection_search.py",
    ),
    "streaks/detection/search": (
        "tests/test_detection_search.py",
        "tests/test_detection_kernels.py",
    ),
    "streaks/detection/self_check": (
        "tests/test_detection_self_check.py",
        "tests/test_detection_kernels.py",
    ),
    "streaks/detection/sky": ("tests/test_detection_sky.py", "tests/test_detection_kernels.py"),
    "streaks/detection/spikes": ("tests/test_detection_ends.py", "tests/test_detection_kernels.py"),
    "streaks/detection/width": ("tests/test_detection_width.py", "tests/test_detection_kernels.py"),
    "streaks/detection/light": (
        "tests/test_photometry_shapes.py",
        "tests/test_detection_kernels.py",
    ),
    "streaks/night/run": (
        "tests/test_night_values.py",
        "tests/test_night_run.py",
    ),
    "streaks/night/work": (
        "tests/test_night_values.py",
        "tests/test_night_run.py",
    ),
    "streaks/night/planning": (
        "tests/test_night_values.py",
        "tests/test_night_run.py",
        "tests/test_night_rounds.py",
    ),
    "streaks/night/merging": (
        "tests/test_night_values.py",
        "tests/test_night_rounds.py",
    ),
    "streaks/night/watching": ("tests/test_night_outputs.py",),
    "streaks/night/workers/pool": (
        "tests/test_night_values.py",
        "tests/test_night_pool.py",
    ),
    "streaks/night/workers/dask_cluster": (
        "tests/test_night_values.py",
        "tests/test_night_cluster.py",
    ),
    "streaks/night/workers/engine": ("tests/test_night_pool.py",),
    "streaks/night/workers/forkserver": ("tests/test_night_pool.py",),
    "streaks/night_folder/ledger": (
        "tests/test_night_values.py",
        "tests/test_night_ledger.py",
        "tests/test_night_folders.py",
    ),
    "streaks/night_folder/layout": (
        "tests/test_night_values.py",
        "tests/test_night_folders.py",
    ),
    "streaks/night_folder/claim": (
        "tests/test_night_values.py",
        "tests/test_night_folders.py",
    ),
    "streaks/night_folder/lock": (
        "tests/test_night_folders.py",
        "tests/test_night_run.py",
    ),
    "streaks/night_folder/frame_results": (
        "tests/test_night_values.py",
        "tests/test_night_cutouts.py",
        "tests/test_night_folders.py",
    ),
    "streaks/night_folder/reading": (
        "tests/test_night_cutouts.py",
        "tests/test_night_run.py",
    ),
    "streaks/night_folder/tables": (
        "tests/test_night_outputs.py",
        "tests/test_night_run.py",
    ),
    "streaks/search/identity": ("tests/test_night_identity.py",),
    "streaks/search/catalogues": (
        "tests/test_night_values.py",
        "tests/test_night_run.py",
    ),
    "streaks/search/judging": ("tests/test_night_run.py",),
    "streaks/search/plan": (
        "tests/test_night_values.py",
        "tests/test_night_run.py",
    ),
    "streaks/search/searcher": (
        "tests/test_night_frames.py",
        "tests/test_night_run.py",
    ),
    "streaks/search/warm_up": ("tests/test_night_frames.py",),
}
#: Files that only draw, tell or start things: a changed number there is a matter of taste.
LEFT_OUT = ("__init__.py", "page.py", "run_log.py")
#: A mutant may loop for ever: then the tests have seen it. Seconds, besides three times what the
#: room's tests take.
PATIENCE_S = 120.0
#: Tests that read the code, not what it does: they would see any other number.
_OF_THE_CODE = ("tests/test_detection_records.py::test_numbers_of_the_detector_have_names",)
_PYTEST = (
    "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider",
    *(word for test in _OF_THE_CODE for word in ("--deselect", test)),
)  # fmt: skip


@dataclass(frozen=True)
class Equal:
    """A mutant that makes no difference.

    Parameters
    ----------
    path
        From the root.
    line
        The line of code where it begins, without the blanks around it.
    change
        As it is printed: ``was -> is``.
    reason
        Why nothing can differ.
    """

    path: str
    line: str
    change: str
    reason: str


def equal_mutants() -> list[Equal]:
    """Mutants of which it is known that they make no difference.

    Returns
    -------
    list of Equal
    """
    with EQUAL.open("rb") as file:
        return [Equal(**one) for one in tomllib.load(file).get("equal", [])]


def files_of(room: str) -> tuple[list[str], list[str]]:
    """Files that are changed, and test files.

    Parameters
    ----------
    room
        Of `ROOMS`.

    Returns
    -------
    sources, tests : list of str
        From the root.

    Raises
    ------
    SystemExit
        If a module or a pattern names no file: it was moved, and would be measured no more.
    """
    sources = [file for module in ROOMS[room].modules for file in _module_files(module)]
    tests = [file for pattern in ROOMS[room].tests for file in _found(pattern)]
    return [file for file in sources if Path(file).name not in LEFT_OUT], list(dict.fromkeys(tests))


def _module_files(module: str) -> list[str]:
    folder = ROOT / module
    return _found(f"{module}/**/*.py" if folder.is_dir() else f"{module}.py")


def _found(pattern: str) -> list[str]:
    found = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))
    if not found:
        raise SystemExit(f"{pattern} names no file; change it in benchmarks/mutants.py")
    return found


def drawn(room: str, per_room: int, seed: int) -> list[Mutant]:
    """Mutants of a room, the same for one seed.

    Parameters
    ----------
    room
        Of `ROOMS`.
    per_room
        How many at most.
    seed
        Of the draw.

    Returns
    -------
    list of Mutant
    """
    every: list[Mutant] = []
    for name in files_of(room)[0]:
        every += mutants_of(name, (ROOT / name).read_text(encoding="utf-8"))
    return random.Random(f"{seed} {room}").sample(every, min(per_room, len(every)))


class Checkout:
    """A copy of the checkout with what Numba compiled for it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkout"
        self._compiled = folder / "numba"
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(ROOT, self.path, symlinks=True, ignore=_left_behind)
        if (ROOT.parent / "shared").is_dir() and not (folder / "shared").exists():
            (folder / "shared").symlink_to(ROOT.parent / "shared")

    def tested(self, tests: Iterable[str], *words: str, limit_s: float | None = None) -> Any:
        """Run pytest here; what came of it."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(self._compiled),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, *_PYTEST, *words, *tests], cwd=self.path, env=environment,
            capture_output=True, text=True, errors="replace", timeout=limit_s, check=False,
        )  # fmt: skip

    @contextmanager
    def with_change(self, mutant: Mutant) -> Iterator[None]:
        """The checkout with this change."""
        path = self.path / mutant.path
        code, status = path.read_text(encoding="utf-8"), path.stat()
        with self._compiled_anew(mutant.path):
            try:
                path.write_text(mutant.source(code), encoding="utf-8")
                yield
            finally:
                path.write_text(code, encoding="utf-8")
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @contextmanager
    def _compiled_anew(self, changed: str) -> Iterator[None]:
        """Without what is compiled of the changed file and of those that import it.

        Numba asks a kernel's own file whether it changed, never the files of kernels that it calls.
        """
        stems = {Path(file).stem for file in importers(changed)}
        aside = Path(tempfile.mkdtemp(dir=self._compiled.parent))
        hidden = []
        for file in self._compiled_of(stems):
            hidden.append((aside / str(len(hidden)), file))
            file.rename(hidden[-1][0])
        try:
            yield
        finally:
            for file in self._compiled_of(stems):
                file.unlink()
            for kept, file in hidden:
                kept.rename(file)
            aside.rmdir()

    def _compiled_of(self, stems: set[str]) -> list[Path]:
        return [p for p in self._compiled.rglob("*.nb[ic]") if p.name.split(".")[0] in stems]


def _left_behind(folder: str, names: list[str]) -> set[str]:
    """What no copy needs: environments and results at the root, compiled kernels anywhere."""
    patterns = ["*.nbi", "*.nbc"]
    if Path(folder) == ROOT:
        patterns += [".git", ".venv*", ".*_cache", "build", "dist", "demo-night", "benchmark-work*"]
    return {name for pattern in patterns for name in fnmatch.filter(names, pattern)}


def importers(changed: str) -> set[str]:
    """A file with kernels, and all files that import it on whatever way.

    Parameters
    ----------
    changed
        From the root.

    Returns
    -------
    set of str
        None if the file has no kernels.
    """
    if "numba" not in (ROOT / changed).read_text(encoding="utf-8"):
        return set()
    imports = _imports()
    found, waiting = {changed}, [changed]
    while waiting:
        one = waiting.pop()
        new = {file for file, names in imports.items() if one in names} - found
        found |= new
        waiting += new
    return found


@functools.cache
def _imports() -> dict[str, set[str]]:
    """Files of ours that each file imports."""
    files = [str(path.relative_to(ROOT)) for path in ROOT.glob("streaks/**/*.py")]
    of_module = {file.removesuffix(".py").replace("/", "."): file for file in files}
    of_module |= {
        name.removesuffix(".__init__"): file
        for name, file in of_module.items()
        if name.endswith(".__init__")
    }
    return {
        file: {of_module[name] for name in _imported(ROOT / file) if name in of_module}
        for file in files
    }


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def groups_of(
    mutant: Mutant, room: str, own: bool, seconds: dict[str, dict[str, Any]]
) -> list[list[str]]:
    """Test files of a mutant in the groups that run one after the other.

    Parameters
    ----------
    mutant
        Of a file.
    room
        Of `ROOMS`.
    own
        Without the rest of the room, where tests are named for the file.
    seconds
        What files took so far; those that are not known come last.

    Returns
    -------
    list of list of str
        The first of its own, its others, the rest of the room.
    """
    named = TESTS.get(mutant.path.removesuffix(".py"), ())
    first = [file for pattern in named for file in _found(pattern)]
    rest = [file for file in files_of(room)[1] if file not in first]
    rest.sort(key=lambda file: seconds.get(file, {}).get("s", math.inf))
    groups = [first[:1], first[1:], [] if own and first else rest]
    return [group for group in groups if group]


def check_unchanged(
    room: str, tests: Sequence[str], checkout: Checkout, known: dict[str, Any]
) -> None:
    """Tests must pass without a change; how long each file takes is kept.

    Parameters
    ----------
    room
        Of `ROOMS`.
    tests
        Files.
    checkout
        Without a change.
    known
        Times that were measured, with the digest of code and test; those are not measured again.

    Raises
    ------
    SystemExit
        If a test fails: every mutant would be seen.
    """
    sources = files_of(room)[0]
    missing = [file for file in tests if known.get(file, {}).get("of") != _digest([*sources, file])]
    if not missing:
        return
    report = checkout.path.parent / "times.xml"
    done = checkout.tested(missing, f"--junitxml={report}")
    if done.returncode:
        raise SystemExit(f"the tests fail without any change:\n{done.stdout[-3000:]}")
    times = dict.fromkeys(missing, 0.0)
    for case in ElementTree.parse(report).iter("testcase"):
        file = "/".join(case.attrib["classname"].split(".")[:2]) + ".py"
        times[file] += float(case.attrib["time"])
    for file, time_s in times.items():
        known[file] = {"of": _digest([*sources, file]), "s": round(time_s, 2)}


def _digest(files: Sequence[str]) -> str:
    return hashlib.sha256(b"\0".join((ROOT / file).read_bytes() for file in files)).hexdigest()[:16]


def seen_by(mutant: Mutant, tests: Sequence[str], limit_s: float, checkout: Checkout) -> str:
    """The test that fails with a change; nothing where none does."""
    with checkout.with_change(mutant):
        try:
            done = checkout.tested(tests, "-x", limit_s=limit_s)
        except subprocess.TimeoutExpired:
            return "no end"
        if not done.returncode:
            return ""
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return failed[0].split(" - ")[0] if failed else f"pytest ended with {done.returncode}"


@dataclass
class Kept:
    """What was found so far, in a file if one is given."""

    path: Path | None
    seconds: dict[str, Any] = dataclasses.field(default_factory=dict)
    seen: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Kept:
        """From its file, if there is one."""
        text = path.read_text(encoding="utf-8") if path and path.is_file() else "{}"
        return cls(path, **json.loads(text))

    def write(self) -> None:
        """Into its file."""
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"seconds": self.seconds, "seen": self.seen}, indent=1)
            self.path.write_text(text + "\n", encoding="utf-8")


def look(mutant: Mutant, room: str, own: bool, kept: Kept, free: Any) -> bool:
    """Whether a mutant is seen, as it was kept or by its tests."""
    code = (ROOT / mutant.path).read_text(encoding="utf-8")
    key = f"{mutant.path} {mutant.start} {mutant.told(code)} {_digest([mutant.path])}"
    if not kept.seen.get(key, {}).get("by"):
        checkout, began, by = free.get(), time.monotonic(), ""
        try:
            for tests in groups_of(mutant, room, own, kept.seconds):
                check_unchanged(room, tests, checkout, kept.seconds)
                limit_s = PATIENCE_S + 3.0 * sum(kept.seconds[file]["s"] for file in tests)
                by = seen_by(mutant, tests, limit_s, checkout)
                if by:
                    break
        finally:
            free.put(checkout)
        kept.seen[key] = {"by": by, "s": round(time.monotonic() - began, 1)}
        kept.write()
        words = by or "unseen" + (": makes no difference" if is_equal(mutant) else "")
        print(f"  {mutant.path}:{mutant.line}: {mutant.told(code)}: {words}", flush=True)
    return bool(kept.seen[key]["by"])


def is_equal(mutant: Mutant) -> bool:
    """Whether a mutant stands among those that make no difference."""
    return _as_equal(mutant) is not None


def _as_equal(mutant: Mutant) -> Equal | None:
    code = (ROOT / mutant.path).read_text(encoding="utf-8")
    line = code.splitlines()[mutant.line - 1].strip()
    named = (mutant.path, line, mutant.told(code))
    return next((e for e in equal_mutants() if (e.path, e.line, e.change) == named), None)


@dataclass(frozen=True)
class Count:
    """Mutants of a room and a seed."""

    room: str
    seed: int
    seen: int
    equal: int
    n: int
    missed: tuple[Mutant, ...] = ()

    @property
    def share(self) -> float:
        """Seen, of those that make a difference."""
        return self.seen / max(self.n - self.equal, 1)


def count_room(room: str, given: argparse.Namespace, kept: Kept, free: Any) -> list[Count]:
    """Look at all mutants of a room; print those that nobody saw."""
    counts = []
    for seed in given.seed:
        mutants = drawn(room, given.per_room, seed)
        with ThreadPoolExecutor(given.jobs) as pool:
            seen = list(pool.map(lambda one: look(one, room, given.own, kept, free), mutants))
        missed = [one for one, was_seen in zip(mutants, seen, strict=True) if not was_seen]
        equal = [one for one in missed if is_equal(one)]
        for one in missed:
            if one not in equal:
                code = (ROOT / one.path).read_text(encoding="utf-8")
                print(f"unseen: {one.path}:{one.line}: {one.told(code)}", flush=True)
        counts.append(Count(room, seed, sum(seen), len(equal), len(mutants), tuple(missed)))
        print(_line(counts[-1]), flush=True)
    return counts


def _line(count: Count) -> str:
    return (
        f"{count.room}, seed {count.seed}: {count.seen} of {count.n} seen; {count.equal} unseen "
        f"ones make no difference: {count.share:.0%} of the others"
    )


def as_text(counts: Sequence[Count]) -> str:
    """A Markdown table, a row a room and a seed, and each mutant that was not seen."""
    missed = dict.fromkeys(one for count in counts for one in count.missed)
    return "\n\n".join([_as_table(counts), "\n".join(map(_as_item, missed))]).strip()


def _as_item(mutant: Mutant) -> str:
    code = (ROOT / mutant.path).read_text(encoding="utf-8")
    equal = _as_equal(mutant)
    reason = f"no difference: {equal.reason}" if equal else "unseen"
    return f"- `{mutant.path}`, `{mutant.told(code)}`: {reason}"


def _as_table(counts: Sequence[Count]) -> str:
    head = (
        "| room | seed | mutants | seen | unseen, no difference | unseen | seen, of all | "
        "seen, of those that differ |\n|---|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(
        f"| {c.room} | {c.seed} | {c.n} | {c.seen} | {c.equal} | {c.n - c.seen - c.equal} | "
        f"{c.seen / c.n:.0%} | {c.share:.0%} |"
        for c in counts
    )


def main(argv: Sequence[str] | None = None) -> int:
    given = _arguments(argv)
    start, kept = time.monotonic(), Kept.read(given.output)
    with contextlib.ExitStack() as stack:
        work = given.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        free: queue.SimpleQueue[Checkout] = queue.SimpleQueue()
        for i in range(given.jobs):
            free.put(Checkout(work.resolve() / str(i)))
        counts = [one for room in given.rooms for one in count_room(room, given, kept, free)]
    print(f"{time.monotonic() - start:.0f} s")
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.mutants", as_text(counts))
    return 0 if all(count.share >= given.least for count in counts) else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutants", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--per-room", type=int, default=20)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--own", action="store_true", help="only the tests of a module's own")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.9, help="share that must be seen")
    parser.add_argument("--work", type=Path, help="folder of the copies, kept for the next call")
    parser.add_argument("-o", "--output", type=Path, help="JSON; goes on from what it holds")
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
