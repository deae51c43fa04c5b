"""The code blocks of a documentation page, run as a reader would type them.

    python -m tests.running_pages docs/tutorials/night.md    # runs a page and shows what it prints

- ```` ```console ````: lines that begin with ``$`` are commands (a backslash goes on with the next
  line); the lines between are what they print. Each such line must be in the output, in this order;
  ``...`` stands for anything.
- ```` ```python ````: a script of its own.
- ```` ```text ````: what the python block before it prints, compared likewise.
- ``<!-- set-up: COMMAND -->`` is run and not shown; ``<!-- not run: REASON -->`` before a block
  leaves it out.

All blocks of a page run in one folder, in their order. A command that does not end with 0 fails,
unless ``<!-- exit 1 -->`` stands before its block.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIECE = re.compile(
    r"^<!-- (?P<mark>set-up: .*?|not run: .*?|exit \d+) -->$"
    r"|^```(?P<kind>console|python|text)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """One thing to run: a shell command or a Python script, and lines that it must print."""

    command: str
    expected: tuple[str, ...] = ()
    script: bool = False
    code: int = 0


def steps_of(page: str) -> list[Step]:
    """What a page says to run, in its order."""
    steps: list[Step] = []
    skip, code = False, 0
    for piece in _PIECE.finditer(page):
        mark, kind, body = piece["mark"] or "", piece["kind"], piece["body"]
        if mark.startswith("set-up: "):
            steps.append(Step(mark.removeprefix("set-up: ")))
        elif mark.startswith("exit "):
            code = int(mark.removeprefix("exit "))
        elif mark:
            skip = True
        else:
            if not skip:
                _add(steps, kind, body, code)
            skip, code = False, 0
    return steps


def _add(steps: list[Step], kind: str, body: str, code: int) -> None:
    if kind == "console":
        steps.extend(_commands(body, code))
    elif kind == "python":
        steps.append(Step(body, script=True, code=code))
    elif steps and steps[-1].script:
        last = steps.pop()
        steps.append(Step(last.command, tuple(body.splitlines()), script=True, code=last.code))


def _commands(body: str, code: int) -> Iterator[Step]:
    command, printed = "", []
    for line in body.splitlines():
        if command.endswith("\\"):
            command = command[:-1] + line.strip()
        elif line.startswith("$ "):
            if command:
                yield Step(command, tuple(printed), code=code)
            command, printed = line.removeprefix("$ "), []
        elif line.strip():
            printed.append(line)
    if command:
        yield Step(command, tuple(printed), code=code)


def missing_line(expected: tuple[str, ...], printed: str) -> str | None:
    """The first expected line that is not printed after those before it; None where all are."""
    lines = iter(printed.splitlines())
    for wanted in expected:
        if not wanted.strip(" ."):
            continue
        pattern = ".*".join(re.escape(part.strip()) for part in wanted.split("..."))
        if not any(re.fullmatch(pattern, line.strip()) for line in lines):
            return wanted
    return None


def run_page(page: Path, folder: Path, *, show: bool = False) -> None:
    """Run a page's blocks in a folder; AssertionError names what went another way."""
    shim = folder / ".bin" / "streaks"
    shim.parent.mkdir(parents=True)
    door = "from streaks.cli import main; main()"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{door}" "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "STREAKS_CACHE": str(folder / ".cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    steps = steps_of(page.read_text(encoding="utf-8"))
    assert steps, f"{page} has nothing to run"
    for step in steps:
        words = [sys.executable, "-c", step.command] if step.script else ["sh", "-c", step.command]
        done = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        missing = missing_line(step.expected, done.stdout + done.stderr)
        if show:
            print(f"$ {step.command}\n{done.stdout}[stderr] {done.stderr}")
            print(f"[code {done.returncode}; of the page's lines not printed: {missing}]\n")
            continue
        told = f"{page.name}: {step.command}\n{done.stdout}{done.stderr}"
        assert done.returncode == step.code, f"{told}\nexit code {done.returncode}"
        assert missing is None, f"{told}\nthe page says that it prints: {missing}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as made:
            run_page(Path(name).absolute(), Path(made), show=True)
