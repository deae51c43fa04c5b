"""The tables of docs/headers.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streaks.readers.profile import TimeWords, builtin_profiles

PAGE = Path(__file__).resolve().parents[1] / "docs" / "headers.md"
GENERIC = builtin_profiles()["generic"]


def table(name: str) -> list[str]:
    """Rows of a marked table of the page, without its head."""
    if not PAGE.exists():
        pytest.skip("the documentation is not beside these tests")
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name}: .*? -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert found, f"docs/headers.md has lost its table of {name}"
    return found[1].strip().splitlines()[2:]


def marked(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def time_row(entry: TimeWords) -> str:
    if entry.start and entry.end:
        return f"| `{entry.start}` to `{entry.end}` | start and end | |"
    word = entry.start or entry.mid or entry.end
    moment = "start" if entry.start else "middle" if entry.mid else "end"
    alone = " (a date alone)" if entry.date_only else ""
    clock = marked(entry.clock) + (" (needed)" if entry.clock_needed else "")
    return f"| `{word}`{alone} | {moment} | {clock} |".replace("|  |", "| |")


def test_words_are_in_the_docs_in_their_order() -> None:
    rows = [f"| `{name}` | {marked(words)} |" for name, words in GENERIC.words.items()]
    fwhm = [f"{' and '.join(f'`{w}`' for w in f.words)} ({f.unit})" for f in GENERIC.fwhm]
    rows.append(f"| `fwhm_px` | {', '.join(fwhm)} |")
    assert table("words") == rows


def test_times_are_in_the_docs_in_their_order() -> None:
    assert table("times") == [time_row(entry) for entry in GENERIC.times]
