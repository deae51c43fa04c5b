"""When two frames are the same frame, and two runs the same run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streaks.config import Settings
from streaks.readers import FrameFiles

__all__ = ["content_digest", "file_digest", "run_identity", "signature"]

#: Small enough to stay in a processor's cache, between being read and being hashed.
_CHUNK = 1 << 18


def signature(files: FrameFiles) -> str:
    """Names, sizes and modification times of a frame's files; those missing have size -1."""
    seen = []
    for path in files.paths:
        try:
            status = path.stat()
            seen.append([path.name, status.st_size, status.st_mtime_ns])
        except OSError:
            seen.append([path.name, -1, 0])
    return json.dumps(seen)


def content_digest(files: FrameFiles) -> str:
    """Hash of the content of image and mask, and the sizes of what lies beside.

    SHA-256, which processors have built in: two thirds of the time of BLAKE2.

    Science and reference images only go along with the results; hashing them too would read
    three times as much as the search itself does.
    """
    digest = hashlib.sha256()
    for path in files.paths:
        if path in (files.file, files.mask, files.variance):
            _feed(digest, path)
        else:
            digest.update(f"{path.name} {path.stat().st_size}".encode(errors="replace"))
    return digest.hexdigest()[:32]


def file_digest(path: str | os.PathLike[str]) -> str:
    """Hash of one file's content."""
    digest = hashlib.sha256()
    _feed(digest, Path(path))
    return digest.hexdigest()[:32]


def _feed(digest: Any, path: Path) -> None:
    chunk = bytearray(_CHUNK)
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(chunk):
            digest.update(memoryview(chunk)[:n])


def run_identity(settings: Settings, **parts: str) -> dict[str, Any]:
    """What decides a frame's results, as plain values.

    Parameters
    ----------
    settings
        Of detection, cutouts and matching; those of labels and tracklets change no frame.
    parts
        Names of classifier, catalogue and so on.
    """
    values = dataclasses.asdict(settings)
    for name in ("labels", "tracklets"):
        values.pop(name, None)
    return {"settings": _plain(values), **parts}


def _plain(value: Any) -> Any:
    """NaN is no JSON, and unequal to itself: it becomes None."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
