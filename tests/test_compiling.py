"""The first minute: what is compiled ahead, and how that is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streaks import compiling


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def printing(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let each of the two processes run this instead of the compiler."""

    def start(half: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(compiling, "_start", start)


def test_an_empty_cache_needs_compiling_and_a_full_one_does_not(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compiling.needed()
    printing(monkeypatch, "print('compiled streaks.one')")
    assert compiling.warm_up()
    assert not compiling.needed()


def test_progress_counts_kernels_of_both_processes_up_to_all(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing(monkeypatch, "print('compiled streaks.one\\nnoise\\ncompiled streaks.two')")
    seen: list[tuple[int, int]] = []
    compiling.warm_up(lambda done, total: seen.append((done, total)))
    done, totals = [d for d, _ in seen], {t for _, t in seen}
    assert len(totals) == 1
    assert done == [0, 1, 2, 3, 4, totals.pop()]


def test_a_process_that_fails_leaves_the_cache_unmarked(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    printing(monkeypatch, "raise SystemExit(3)")
    assert not compiling.warm_up()
    assert compiling.needed()
    assert "could not be compiled ahead" in caplog.text


def test_a_kernel_that_changed_needs_compiling_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing(monkeypatch, "pass")
    compiling.warm_up()
    path = cache / "kernel.py"
    path.write_text("x = 1\n")
    files = compiling._kernel_files()
    monkeypatch.setattr(compiling, "_kernel_files", lambda purpose: [*files, path])
    assert compiling.needed()


def test_a_cache_that_cannot_be_written_is_no_failure(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache / "file" / "below"))
    printing(monkeypatch, "pass")
    assert compiling.warm_up()
    assert compiling.needed()


def test_every_file_of_kernels_is_watched() -> None:
    root = Path(compiling.__file__).parent
    watched = set(compiling._kernel_files())
    # Orbits and periods have their own first minute: `detect` without a catalogue calls neither.
    others = {path for path in root.rglob("*.py") if "@njit" in path.read_text(encoding="utf-8")}
    assert {path.parent.name for path in others - watched} <= {"known", "lightcurves", "streaks"}


def test_frames_and_alerts_are_compiled_each_for_its_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing(monkeypatch, "pass")
    assert compiling.warm_up(purpose="alerts")
    assert not compiling.needed("alerts")
    assert compiling.needed("frames")


def test_the_module_compiles_for_all_purposes_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing(monkeypatch, "pass")
    compiling._main([])
    assert not compiling.needed("alerts")
    assert not compiling.needed("frames")
    monkeypatch.setattr(compiling, "_start", lambda half: pytest.fail("compiled again"))
    compiling._main([])


FRAMES = "_compile_lines(); _compile_sky()\n"
#: A batch of alerts as a filter's process takes it: packets, classifier and orbits of their own.
ALERTS = """
import functools, pathlib, sys, tempfile
import numpy as np
from benchmarks.alerts import made_orbits, write_made
from streaks.known.catalogues import write_catalogue
from streaks.models import load_classifier
from streaks.readers.alerts.packets import file_lumps
from streaks.streams import AlertFilter
from streaks.streams.work import process_batch
rng = np.random.default_rng(1)
folder = pathlib.Path(tempfile.mkdtemp())
write_catalogue(made_orbits(40_000, rng), folder / "orbits.npz", {})
write_made(folder, 60, folder / "orbits.npz", rng)
load = functools.partial(load_classifier, "default")
plan = AlertFilter(load_classifier=load, orbits=folder / "orbits.npz")
result = process_batch(plan.prepare(), list(file_lumps(folder / "00000.avro")))
assert result.n_alerts == 60
assert {"stamp", "network"} <= set(result.words["settled"])
assert any(result.words["name"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("purpose", "work"), [("frames", FRAMES), ("alerts", ALERTS)])
def test_after_the_warm_up_nothing_is_compiled(cache: Path, purpose: Any, work: str) -> None:
    assert compiling.warm_up(purpose=purpose)
    script = (
        "from numba.core import event\n"
        "from streaks.compiling import _compile_lines, _compile_sky\n"
        "class Told(event.Listener):\n"
        "    def on_start(self, e): raise AssertionError(e.data['dispatcher'])\n"
        "    def on_end(self, e): pass\n"
        "event.register('numba:compile', Told())\n" + work
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(compiling.__file__).parents[1]),
             "STREAKS_CACHE": str(cache)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
