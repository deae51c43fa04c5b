"""Folders that appear whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streaks.errors import InputError

__all__ = ["staged_folder", "write_json"]


@contextmanager
def staged_folder(out_dir: str | Path) -> Iterator[Path]:
    """A folder to write into, renamed to its own name once all is written.

    Raises
    ------
    InputError
        If the folder exists and holds something, or cannot be written.
    """
    out = Path(out_dir)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty; give a new folder or empty it first")
    stage: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        yield stage
        # mkdtemp's folders are for the owner only; a set is for whoever may read its parent.
        stage.chmod(0o755)
        if out.exists():
            out.rmdir()
        stage.replace(out)
    except OSError as error:
        raise InputError(
            f"cannot write {out}: {error.strerror or error}; nothing was left there, "
            "give a folder with room that may be written to"
        ) from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Plain values as indented JSON."""
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
