"""`benchmarks.refresh`: which figures there are, and what it says of a change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not beside these tests")
from benchmarks import refresh


def test_figures_are_found_by_their_marks(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("<!-- benchmarks.one: begin -->\n<!-- benchmarks.one: end -->\n")
    (tmp_path / "b.md").write_text("no figures\n")
    assert refresh.figures(tmp_path) == {"one": tmp_path / "a.md"}


def test_every_figure_of_the_documentation_has_a_benchmark() -> None:
    docs = Path(refresh.__file__).parents[1] / "docs"
    if not docs.exists():
        pytest.skip("the documentation is not beside these tests")
    found = refresh.figures(docs)
    assert {"detection", "purity", "labels"} <= set(found)
    for name in found:
        source = Path(refresh.__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        assert '"--docs"' in source, name
        for option in (word for word in refresh.OPTIONS.get(name, ()) if word.startswith("--")):
            assert f'"{option}"' in source, f"{name} has no {option}"


def test_lines_that_changed_are_shown() -> None:
    assert refresh.changed_lines(["a", "1", "b"], ["a", "2", "b"]) == ["-1", "+2"]
    assert refresh.changed_lines(["a"], ["a"]) == []


@pytest.mark.parametrize(("script", "ended_well"), [("", True), ("raise SystemExit(3)", False)])
def test_a_benchmark_that_fails_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str,
    ended_well: bool,
) -> None:
    page = tmp_path / "page.md"
    page.write_text("S/N 6.1\n")
    change = f"import pathlib; pathlib.Path({str(page)!r}).write_text('S/N 6.0\\n'); {script}"
    monkeypatch.setattr(refresh, "words_of", lambda *_: [sys.executable, "-c", change])
    assert refresh.refresh("one", page, tmp_path) is ended_well
    assert "-S/N 6.1\n+S/N 6.0\n" in capsys.readouterr().out


def test_a_name_without_figures_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        refresh.main(["--only", "nothing"])
    assert "no page has figures of nothing" in capsys.readouterr().err
