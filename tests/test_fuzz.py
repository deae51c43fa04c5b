"""No file of any kind crashes, hangs, fills memory, writes elsewhere, or shows a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzzing import MEMORY_MB, READERS, read_all

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

#: Inputs of a reader: in `make test` a second or two each, in `make test-slow` all.
SHORT, LONG = 40, 5000
#: Those that take a quarter of a second each: a whole night goes on, or a forest is opened.
FEWER = {"model": 15, "ledger": 15, "night_part": 15, "night_settings": 15}


def check(name: str, first: int, count: int, folder: Path) -> None:
    run = read_all(name, first, count, folder)
    shown = "\n".join(f"seed {seed}: {what}" for seed, what in list(run.troubles.items())[:5])
    assert run.troubles == {}, f"{len(run.troubles)} of {count} inputs:\n{shown}"
    assert run.memory_mb < MEMORY_MB
    assert run.left == []


@pytest.mark.parametrize("name", READERS)
def test_some_bad_files_of_every_kind(name: str, tmp_path: Path) -> None:
    check(name, 0, FEWER.get(name, SHORT), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_bad_files_of_every_kind(name: str, tmp_path: Path) -> None:
    check(name, FEWER.get(name, SHORT), LONG, tmp_path)
