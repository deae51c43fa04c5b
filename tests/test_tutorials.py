"""The tutorials do what they say: every block of every page is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running_pages import missing_line, run_page, steps_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("one_file", "night", "training", "zooniverse", "asteroids", "alerts")


@pytest.mark.tree
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.train] if n == "training" else []) for n in PAGES],
)
def test_a_tutorial_runs_as_printed(name: str, tmp_path: Path) -> None:
    page = DOCS / "tutorials" / f"{name}.md"
    if not page.exists():
        pytest.skip("the documentation is not beside these tests")
    run_page(page, tmp_path)


def test_every_tutorial_is_run() -> None:
    folder = DOCS / "tutorials"
    if not folder.exists():
        pytest.skip("the documentation is not beside these tests")
    assert {path.stem for path in folder.glob("*.md")} - {"index"} == set(PAGES)


def test_commands_and_what_they_print_are_told_apart() -> None:
    page = "```console\n$ ls \\\n    a\nfirst\n$ pwd\n```\n<!-- not run: no network -->\n"
    page += "```console\n$ curl\n```\n```python\nprint(1)\n```\n```text\n1\n```\n"
    found = [(step.command, step.expected) for step in steps_of(page)]
    assert found == [("ls a", ("first",)), ("pwd", ()), ("print(1)\n", ("1",))]


def test_hidden_set_up_and_exit_codes_are_read() -> None:
    page = "<!-- set-up: touch x -->\n<!-- exit 2 -->\n```console\n$ false\n```\n"
    assert [(step.command, step.code) for step in steps_of(page)] == [("touch x", 0), ("false", 2)]


def test_a_line_that_is_not_printed_is_named() -> None:
    assert missing_line(("3 frames in ... s",), "hello\n3 frames in 1.2 s\n") is None
    assert missing_line(("b", "a"), "a\nb\n") == "a"
    assert missing_line(("4 frames",), "14 frames\n") == "4 frames"


def test_a_command_that_fails_fails_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ exit 3\n```\n")
    with pytest.raises(AssertionError, match="exit code 3"):
        run_page(page, tmp_path)
