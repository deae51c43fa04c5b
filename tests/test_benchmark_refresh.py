"""Every figure of the documents has a command that writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

refresh = pytest.importorskip("benchmarks.refresh", reason="benchmarks are not beside")
DOCS = Path(refresh.ROOT) / "docs"


def test_every_block_of_figures_has_its_command_and_every_command_its_block() -> None:
    marked = {
        (name, path.name)
        for path in DOCS.glob("*.md")
        for name in re.findall(r"^<!-- benchmarks\.(.+): begin -->$", path.read_text(), re.M)
    }
    assert marked == {(figures.name, figures.document) for figures in refresh.FIGURES}


@pytest.mark.parametrize("figures", refresh.FIGURES, ids=lambda figures: figures.name)
def test_a_command_has_the_options_that_it_is_given(figures, tmp_path: Path) -> None:
    source = (DOCS.parent / "benchmarks" / f"{figures.module}.py").read_text()
    known = set(re.findall(r'"(--?[a-z][a-z-]*)"', source))
    words = refresh._command(figures, tmp_path, tmp_path)[3:]
    assert {word for word in words if word.startswith("-")} <= known


def test_what_changed_is_told_line_by_line() -> None:
    before = refresh.block_of(
        "a\n<!-- benchmarks.x: begin -->\none\ntwo\n<!-- benchmarks.x: end -->\n", "x"
    )
    assert before == "one\ntwo\n"
    assert refresh.changes(before, "one\nthree\n") == ["-two", "+three"]
    assert refresh.changes(before, before) == []
    with pytest.raises(SystemExit, match="0 times"):
        refresh.block_of("nothing", "x")


def test_a_command_that_fails_is_named_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text(
        "<!-- benchmarks.good: begin -->\n1\n<!-- benchmarks.good: end -->\n"
    )
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("")
    (tmp_path / "benchmarks" / "good.py").write_text(
        "from pathlib import Path; p = Path('docs/a.md'); "
        "p.write_text(p.read_text().replace('1', '2'))"
    )
    figures = (
        refresh.Figures("bad", "a.md"),
        refresh.Figures("good", "a.md"),
        refresh.Figures("real", "a.md", needs_data="nowhere"),
    )
    text = (docs / "a.md").read_text()
    (docs / "a.md").write_text(text + text.replace("good", "bad"))
    monkeypatch.setattr(refresh, "FIGURES", figures)
    monkeypatch.setattr(refresh, "ROOT", tmp_path)
    assert refresh.main(["--work", str(tmp_path / "work"), "--data", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "-1" in said
    assert "+2" in said
    assert "left out" in said
    assert said.endswith("failed: bad\n")
