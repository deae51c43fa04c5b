"""What the command line reads of itself before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaks.cli.application import _paths, build_app


@pytest.mark.parametrize(("words", "mounted"), [(["detect", "-h"], 1), (["--help"], 18), ([], 18)])
def test_only_the_command_that_is_called_is_mounted(words: list[str], mounted: int) -> None:
    app = build_app(words)
    assert len(app.registered_commands) + len(app.registered_groups) == mounted


def test_a_command_that_does_not_exist_is_looked_for_among_all() -> None:
    app = build_app(["detct"])
    assert "detect" in {command.name for command in app.registered_commands}


def test_an_empty_option_is_no_path() -> None:
    assert list(_paths(["", "a", Path("b")])) == [Path("a"), Path("b")]
