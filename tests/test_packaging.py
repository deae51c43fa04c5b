"""What a wheel holds, and what a clone's top level is."""

from __future__ import annotations

import ast
import email
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "pyproject.toml").exists() or not (ROOT / "streaks").is_dir():
    pytest.skip("these tests are of a clone, and here is none", allow_module_level=True)

#: pyproject.toml's own need: licence expressions came with setuptools 77.
NEEDED_SETUPTOOLS = 77


def _require_setuptools() -> None:
    found = int(metadata.version("setuptools").split(".")[0])
    if found < NEEDED_SETUPTOOLS:
        pytest.skip(f"setuptools {found} is too old to build with; it needs {NEEDED_SETUPTOOLS}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a copy of the clone: building leaves its traces beside the sources."""
    _require_setuptools()
    copy, out = tmp_path_factory.mktemp("clone") / "streaks", tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(out), str(copy)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (path,) = out.glob("streaks-*.whl")
    return zipfile.ZipFile(path)


def names_of(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_a_wheel_installs_one_name(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0] for name in names_of(wheel)} == {"streaks"}


def test_a_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "streaks").rglob("*.py")}
    assert sources - names_of(wheel) == set()
    assert "streaks/models/forest.py" in sources
    assert "streaks/synth/__init__.py" in sources


def _made_by_tools(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def test_a_wheel_holds_every_file_that_is_not_code(wheel: zipfile.ZipFile) -> None:
    data = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "streaks").rglob("*")
        if path.is_file() and path.suffix != ".py" and not _made_by_tools(path.relative_to(ROOT))
    }
    assert data - names_of(wheel) == set()
    suffixes = {Path(name).suffix for name in data}
    assert {".toml", ".onnx", ".json", ".jinja", ".bsp"} <= suffixes
    assert "streaks/py.typed" in data


def test_a_wheel_needs_tensorflow_only_to_train(wheel: zipfile.ZipFile) -> None:
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    needs = email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist") or []
    heavy = [need for need in needs if need.startswith(("tensorflow", "keras", "torch"))]
    assert heavy
    assert all("extra ==" in need and "train" in need for need in heavy)
    assert any(need.startswith("opencv-python-headless") for need in needs)
    assert not any(need.split(">")[0].strip() == "opencv-python" for need in needs)


def test_a_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    assert "streaks = streaks.cli:main" in wheel.read(name).decode()


@pytest.mark.parametrize("name", ["synth", "models"])
def test_the_top_level_names_are_relative_links(name: str) -> None:
    assert (ROOT / name).is_symlink()
    assert os.readlink(ROOT / name) == f"streaks/{name}"


def test_the_door_of_a_clone_is_a_real_file_of_a_few_lines() -> None:
    door = ROOT / "cli.py"
    assert not door.is_symlink()
    tree = ast.parse(door.read_text(encoding="utf-8"))
    assert "from streaks.cli import main" in ast.unparse(tree)
    assert len(tree.body) <= 4


def test_no_committed_file_names_a_machine_or_an_index() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git clone")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-I", "-l", "-E", "(^|[^A-Za-z0-9_.-])/" + "work/"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert listed.stdout.split() == []


def test_the_lowest_versions_that_are_tested_are_those_that_are_promised() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = dict(line.split(">=") for line in project["dependencies"])
    lines = (ROOT / ".ci" / "lowest.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert set(tested) == set(promised)
    for name, version in promised.items():
        assert f"{tested[name]}.".startswith(f"{version}."), name


def test_the_sdist_holds_what_its_tests_need_and_the_documentation(tmp_path: Path) -> None:
    import tarfile

    _require_setuptools()
    subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "-q", "-o", tmp_path, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(
        ["git", "ls-files", "tests", "docs", "benchmarks", ".ci"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    wanted = {*listed, "CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "Makefile", "cli.py"}
    assert sorted(wanted - held) == []
