"""Which way imports run, and that importing does nothing.

The source of the installed package is read, not run, so a forbidden import is found even where
no test walks through it.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streaks

ROOT = Path(streaks.__file__).parent

#: docs/architecture.md: a room imports only from the rows above its own.
ROWS = (
    {"geometry", "disk", "expressions", "lazy", "least_squares", "sbpy_import", "special"},
    {"frame", "tables", "config", "arrow"},
    {"transforms", "noise", "trail", "sky"},
    {
        "detection",
        "cutouts",
        "matching",
        "tracklets",
        "completeness",
        "references",
        "palette",
        "lightcurves",
    },
    {"classification", "features", "verdict"},
    {"readers", "known", "satellites", "labelling", "reporting", "plotting"},
    {"search"},
    {"night_folder", "compiling"},
    {"night", "store", "streams", "vetting"},
)
#: What only the command line stands above.
HIGHEST = {"search", "night_folder", "night", "store", "streams", "vetting", "cli"}
#: `errors` lies under all of them: one tree for what any room may raise.
ROW = {room: number for number, rooms in enumerate(ROWS) for room in rooms} | {"errors": -1}
#: Rooms beside the rows, and what they must never import.
BESIDE = {
    "synth": {"detection", "trail", "transforms", "noise", "models", *HIGHEST},
    "models": {"detection", "synth", *HIGHEST, *ROWS[5]},
    "cli": set[str](),
}
FRAMEWORKS = {"sklearn", "tensorflow", "keras", "onnxruntime", "onnx", "skops", "torch", "tf2onnx"}
#: Libraries that wait for the function that needs them.
WAITING = (
    "tensorflow", "keras", "onnxruntime", "skops", "sklearn", "skimage", "cv2", "photutils",
    "sbpy", "jplephem", "matplotlib", "dask", "panoptes_client", "pyarrow", "fastavro", "regions",
    "pandas", "fastapi", "starlette", "uvicorn", "confluent_kafka",
)  # fmt: skip


#: The file that imports each library which only an extra brings; it says so where it is missing.
OF_EXTRAS = {
    "confluent_kafka": "streams.kafka",
    "dask": "night.workers.dask_cluster",
    "dask_jobqueue": "night.workers.dask_cluster",
    "digest2": "reporting.orbit_class",
    "distributed": "night.workers.dask_cluster",
    "fastapi": "vetting.server",
    "keras": "models.network",
    "onnx": "models.onnx_graph",
    "panoptes_client": "labelling.zooniverse",
    "requests": "labelling.zooniverse",
    "starlette": "vetting.server",
    "tensorflow": "models.network",
    "uvicorn": "vetting.server",
}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Parsed sources by dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("streaks", *path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room_of(name: str) -> str:
    """``streaks.night.workers.pool`` lies in ``night``; ``streaks`` itself in no room."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(name: str, tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports anywhere, in functions and by `import_module` too."""
    is_package = (ROOT.parent / Path(*name.split("."))).is_dir()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = name.split(".")[: len(name.split(".")) - node.level + is_package]
                base = ".".join([*up, base] if base else up)
            # `from streaks import readers` imports the room, `from x import y` the module x.
            yield from (f"{base}.{a.name}" for a in node.names) if base == "streaks" else (base,)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (
                a.value
                for a in node.args
                if isinstance(a, ast.Constant) and isinstance(a.value, str)
            )


def room_imports() -> Iterator[tuple[str, str, str]]:
    """Module, its room, and each other room it imports from."""
    rooms = {room_of(name) for name in modules()}
    for name, tree in modules().items():
        for imported in imports(name, tree):
            to = room_of(imported)
            if imported.startswith("streaks.") and to in rooms and to != room_of(name):
                yield name, room_of(name), to


def test_every_room_has_its_row() -> None:
    rooms = {room_of(name) for name in modules()} - {"", "__main__"}
    unplaced = rooms - set(ROW) - set(BESIDE)
    assert not unplaced, f"give these a row here and in docs/architecture.md: {sorted(unplaced)}"


def test_a_room_imports_only_from_the_rows_above_its_own() -> None:
    wrong = [
        f"{name} imports {to}"
        for name, room, to in room_imports()
        if room in ROW and not ROW.get(to, len(ROWS)) < ROW[room]
    ]
    assert wrong == []


def test_no_two_files_import_each_other_in_a_circle() -> None:
    """Imports inside functions count too: a file is read with those that it leans on."""
    names = set(modules())
    graph: dict[str, set[str]] = {}
    for name, tree in modules().items():
        wanted = {i for i in imports(name, tree) if i.startswith("streaks.")}
        # `from streaks.a import b` is of the file b where there is one.
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & names
                wanted = (wanted - {node.module} if inner else wanted) | inner
        graph[name] = (wanted & names) - {name}
    order = graphlib.TopologicalSorter(graph)
    try:
        order.prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_beside_the_rows_keep_to_what_they_may_know() -> None:
    wrong = [
        f"{name} imports {to}" for name, room, to in room_imports() if to in BESIDE.get(room, ())
    ]
    assert wrong == []


def test_nobody_imports_the_command_line() -> None:
    assert [name for name, _, to in room_imports() if to == "cli"] == []


def test_the_package_itself_imports_no_room() -> None:
    assert [i for i in imports("streaks", modules()["streaks"]) if i.startswith("streaks")] == []


def test_the_walls_are_the_ones_in_the_documentation() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
    if not page.exists():
        pytest.skip("the documentation is not beside these tests")
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line[:3] == "| 0"]
    assert rows, "docs/architecture.md has lost its table of rows"
    text = page.read_text(encoding="utf-8")
    built = {room_of(name) for name in modules()} - {"", "__main__"}
    for number, rooms in enumerate(ROWS):
        row = next(line for line in text.splitlines() if line.startswith(f"| {number} |"))
        missing = [room for room in rooms & built if f"`{room}`" not in row]
        assert missing == [], f"row {number} lacks {missing}"


@pytest.mark.parametrize("room", ["geometry", "errors", "disk"])
def test_the_ground_floor_knows_no_astropy(room: str) -> None:
    name = f"streaks.{room}"
    assert [i for i in imports(name, modules()[name]) if i.startswith("astropy")] == []


@pytest.mark.parametrize("room", ["transforms", "noise", "trail"])
def test_rooms_of_bare_arrays_know_no_tables_and_no_wcs(room: str) -> None:
    name = f"streaks.{room}"
    forbidden = ("streaks.tables", "astropy.wcs", "astropy.table")
    assert [i for i in imports(name, modules()[name]) if i.startswith(forbidden)] == []


def test_combining_classifiers_needs_no_learning_framework() -> None:
    found = {i.split(".")[0] for i in imports("", modules()["streaks.classification"])}
    assert found & FRAMEWORKS == set()


def test_tensorflow_is_imported_by_functions_of_models_alone() -> None:
    for name, tree in modules().items():
        if any(i.split(".")[0] in ("tensorflow", "keras", "tf2onnx") for i in imports(name, tree)):
            assert room_of(name) == "models", f"{name} imports tensorflow"
        top = ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        assert not {i.split(".")[0] for i in imports(name, top)} & {"tensorflow", "keras"}, name


def test_libraries_of_extras_are_imported_where_the_extra_is_named_alone() -> None:
    # The wheel is tested without extras, but not by every test: elsewhere such an import would be
    # seen by the first user who lacks the library.
    users: dict[str, set[str]] = {}
    for name, tree in modules().items():
        for imported in imports(name, tree):
            library = imported.split(".")[0]
            if library in OF_EXTRAS:
                users.setdefault(library, set()).add(name.removeprefix("streaks."))
    assert users == {library: {user} for library, user in OF_EXTRAS.items()}


def test_only_the_command_line_prints_and_exits() -> None:
    wrong = []
    for name, tree in modules().items():
        if room_of(name) in ("cli", "__main__"):
            continue
        for node in ast.walk(tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "sys.exit", "exit", "quit", "SystemExit"):
                wrong.append(f"{name}:{getattr(node, 'lineno', 0)} calls {called}")
    assert wrong == []


def test_every_module_says_what_is_public() -> None:
    def has_all(tree: ast.Module) -> bool:
        return any(
            isinstance(n, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(n)
            for n in tree.body
        )

    private = ("__main__",)
    without = [
        name
        for name, tree in modules().items()
        if not has_all(tree)
        and name.rsplit(".", 1)[-1] not in private
        and not all(isinstance(n, ast.Expr) for n in tree.body)  # a docstring alone
    ]
    assert without == []


def run_python(script: str) -> Any:
    """What a script prints last, as JSON, from a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = run_python("import json, sys, streaks; print(json.dumps(sorted(sys.modules)))")
    heavy = {"numpy", "scipy", "astropy", "numba", *WAITING}
    assert sorted(heavy & set(loaded)) == []


IMPORT_EVERYTHING = """
import importlib, json, logging, os, pkgutil, random, socket, sys, warnings

def refused(*args, **kwargs):
    raise AssertionError("a socket was opened at import")

import numpy as np
import astropy.table, astropy.wcs, astropy.time, typer, numba
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
def handlers():
    # Null handlers are what libraries are told to have; they say nothing.
    names = ["", *logging.root.manager.loggerDict]
    return [
        (name, repr(handler))
        for name in names
        for handler in logging.getLogger(name).handlers
        if not isinstance(handler, logging.NullHandler)
    ]
def state():
    return {
        "handlers": handlers(),
        "level": logging.root.level,
        "environment": dict(os.environ),
        "errors": np.geterr(),
        "random": [random.getstate()[1][:8], np.random.get_state()[1][:8].tolist()],
        "folder": os.getcwd(),
        "threads": __import__("threading").active_count(),
    }
before = state()
import streaks
names = [m.name for m in pkgutil.walk_packages(streaks.__path__, "streaks.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
after = state()
changed = [key for key in before if before[key] != after[key]]
print(json.dumps({"names": names, "changed": changed, "loaded": sorted(sys.modules)}))
"""


def test_importing_every_module_changes_nothing_and_reaches_nobody() -> None:
    seen = run_python(IMPORT_EVERYTHING)
    assert {"streaks.detection.finder", "streaks.synth", "streaks.models"} <= set(seen["names"])
    assert seen["changed"] == []
    assert sorted(set(WAITING) & set(seen["loaded"])) == []


def test_the_public_face_gives_what_it_names() -> None:
    for name in streaks.__all__:
        assert getattr(streaks, name) is not None
    assert set(streaks.__all__) <= set(dir(streaks))


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'streaks' has no attribute 'strikes'"):
        _ = streaks.strikes  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["synth", "models"])
def test_a_link_of_the_checkout_is_no_second_copy(name: str) -> None:
    top = ROOT.parent / name
    if not top.exists():
        pytest.skip("this is no checkout: it has no links at its top")
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=ROOT.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{name} is a link to streaks.{name}; write: import streaks.{name}" in done.stderr
