"""The mutants: what is changed, what is compiled anew, and that a test must see it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

mutants = pytest.importorskip("benchmarks.mutants", reason="benchmarks are not beside")
mutations = pytest.importorskip("benchmarks.mutations", reason="benchmarks are not beside")
ROOT = Path(mutants.ROOT)

CODE = '''\
def area(width: float, height: float = 3.0) -> float:
    """Of 2 sides."""
    ß = "ß"; half = width * height
    if not width < 0 or height is None:
        raise ValueError(1 + 1)
    return max(half, 0.0) if (half > [ß]).any() else 7
'''


def test_each_mutant_changes_one_place_of_the_code_and_stays_code() -> None:
    found = mutations.mutants_of("a.py", CODE)
    assert {one.told(CODE) for one in found} == {
        "width * height -> (width / height)",
        "not width < 0 or height is None -> (not width < 0 and height is None)",
        "not width < 0 -> (width < 0)",
        "width < 0 -> (width >= 0)",
        "height is None -> (height is not None)",
        "0 -> 1",
        "max -> min",
        "half > [ß] -> (half <= [ß])",
        "(half > [ß]).any -> (half > [ß]).all",
        "0.0 -> 1.0",
        "7 -> 8",
    }
    for one in found:
        changed = one.source(CODE)
        ast.parse(changed)
        differing = [a != b for a, b in zip(CODE.split("\n"), changed.split("\n"), strict=True)]
        assert sum(differing) == 1
        assert differing[one.line - 1]


@pytest.mark.parametrize("room", mutants.ROOMS)
def test_every_pattern_of_a_room_names_files(room: str) -> None:
    sources, tests = mutants.files_of(room)
    assert sources
    assert tests


def test_one_seed_draws_the_same_mutants_and_another_others() -> None:
    assert mutants.drawn("matching", 9, 1) == mutants.drawn("matching", 9, 1)
    assert mutants.drawn("matching", 9, 1) != mutants.drawn("matching", 9, 2)


@pytest.mark.parametrize("module", mutants.TESTS)
def test_a_module_with_tests_of_its_own_is_there_and_they_are(module: str) -> None:
    assert (ROOT / f"{module}.py").is_file()
    for pattern in mutants.TESTS[module]:
        assert (ROOT / pattern).is_file()


@pytest.mark.parametrize("test", mutants._OF_THE_CODE)
def test_tests_that_read_the_code_are_left_out_by_their_name(test: str) -> None:
    path, name = test.split("::")
    assert f"def {name}(" in (ROOT / path).read_text()
    assert test in mutants._PYTEST


def test_a_pattern_that_names_no_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = mutants.Room(("streaks/matching",), ("tests/test_of_what_was_moved*.py",))
    monkeypatch.setitem(mutants.ROOMS, "gone", gone)
    with pytest.raises(SystemExit, match=r"test_of_what_was_moved\*\.py names no file; change it"):
        mutants.files_of("gone")


@pytest.mark.parametrize("equal", mutants.equal_mutants(), ids=lambda one: one.change)
def test_what_makes_no_difference_is_a_mutant_of_the_code_as_it_is(equal) -> None:
    code = (ROOT / equal.path).read_text(encoding="utf-8")
    lines = code.splitlines()
    assert any(
        (lines[one.line - 1].strip(), one.told(code)) == (equal.line, equal.change)
        for one in mutations.mutants_of(equal.path, code)
    )
    assert len(equal.reason) > 20


def test_kernels_are_compiled_anew_with_those_that_call_them() -> None:
    # Numba keeps the machine code of a kernel with that of the kernels it calls in other files.
    changed = mutants.importers("streaks/detection/profiles.py")
    assert {"streaks/detection/profiles.py", "streaks/detection/evidence.py"} <= changed
    assert "streaks/transforms.py" not in changed
    assert mutants.importers("streaks/matching.py") == set()


def test_a_copy_lacks_no_code_and_has_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    _toy(root, "True")
    for name in ("streaks/demo.py", ".venv-dev/a", "demo-night/a", "streaks/a.nbi", ".git/a"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
    monkeypatch.setattr(mutants, "ROOT", root)
    copy = mutants.Checkout(tmp_path / "work").path
    assert {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()} == {
        "pyproject.toml", "streaks/__init__.py", "streaks/demo.py", "streaks/toy.py",
        "tests/test_toy.py",
    }  # fmt: skip


def _toy(folder: Path, asserted: str) -> None:
    (folder / "streaks").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "streaks" / "__init__.py").write_text("")
    (folder / "streaks" / "toy.py").write_text("def twice(x: int) -> int:\n    return x * 2\n")
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers = ['slow: x']\n")
    (folder / "tests" / "test_toy.py").write_text(
        f"from streaks.toy import twice\n\ndef test_twice() -> None:\n    assert {asserted}\n"
    )


@pytest.mark.parametrize(
    ("asserted", "seen", "code"), [("twice(3) == 6", 2, 0), ("twice(0) == 0", 0, 1)]
)
def test_a_test_that_asks_for_the_value_sees_the_change_and_a_weak_one_does_not(
    asserted: str,
    seen: int,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _toy(tmp_path / "root", asserted)
    monkeypatch.setattr(mutants, "ROOT", tmp_path / "root")
    room = mutants.Room(("streaks/toy",), ("tests/test_toy*.py",))
    monkeypatch.setattr(mutants, "ROOMS", {"toy": room})
    document = tmp_path / "a.md"
    document.write_text("<!-- benchmarks.mutants: begin -->\n<!-- benchmarks.mutants: end -->\n")
    kept = tmp_path / "kept.json"
    words = ["--jobs", "1", "-o", str(kept), "--docs", str(document)]
    assert mutants.main(words) == code
    assert f"toy, seed 1: {seen} of 2 seen" in capsys.readouterr().out
    assert f"| toy | 1 | 2 | {seen} | 0 | {2 - seen} |" in document.read_text()
    listed = "- `streaks/toy.py`, `x * 2 -> (x / 2)`: unseen" in document.read_text()
    assert listed == (seen == 0)
    # What was seen is not run again.
    assert mutants.main(words) == code
    assert capsys.readouterr().out.count("FAILED") == 0


def test_tests_that_fail_without_a_change_measure_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _toy(tmp_path / "root", "twice(3) == 7")
    monkeypatch.setattr(mutants, "ROOT", tmp_path / "root")
    room = mutants.Room(("streaks/toy",), ("tests/test_toy*.py",))
    monkeypatch.setattr(mutants, "ROOMS", {"toy": room})
    with pytest.raises(SystemExit, match="the tests fail without any change"):
        mutants.main(["--jobs", "1"])
