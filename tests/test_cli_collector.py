"""No look for cycles while libraries are loaded."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streaks.cli import detect as command
from streaks.cli.collector import collector_paused
from streaks.readers import FrameFiles
from streaks.search import Search


def test_the_collector_rests_and_is_woken() -> None:
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError), collector_paused():
        raise ValueError
    assert gc.isenabled()


def test_a_pause_can_end_early() -> None:
    with collector_paused() as resume:
        resume()
        assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused() as resume:
            resume()
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_only_the_first_image_is_searched_without(monkeypatch: Any, tmp_path: Path) -> None:
    seen = []
    monkeypatch.setattr(command, "_search", lambda *_, **__: seen.append(gc.isenabled()))
    frames = [FrameFiles(name=name, image=tmp_path / name) for name in "abc"]
    with collector_paused() as resume:
        command._search_all(Search(), frames, None, None, resume, as_json=False, quiet=True)
    assert seen == [False, True, True]


def test_a_command_leaves_the_collector_as_it_was() -> None:
    from streaks.cli import main

    assert main(["detect", "no-such-file.fits"]) == 2
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_process_that_ends_looks_for_no_cycles() -> None:
    text = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count()))
import streaks.cli
streaks.cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", text, "sample", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 1000
