"""When two frames are the same frame."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from streaks.disk import open_regular
from streaks.readers import FrameFiles

__all__ = ["content_digest", "file_digest", "signature"]

#: Small enough to stay in a processor's cache, between being read and being hashed.
_CHUNK = 1 << 18


def signature(files: FrameFiles) -> str:
    """Names, sizes and modification times of a frame's files; those missing have size -1.

    Parameters
    ----------
    files
        Of the frame.

    Returns
    -------
    str
        A JSON list.
    """
    seen = []
    for path in files.paths:
        try:
            status = path.stat()
            seen.append([path.name, status.st_size, status.st_mtime_ns])
        except (OSError, ValueError):  # a name with a zero byte
            seen.append([path.name, -1, 0])
    return json.dumps(seen)


def content_digest(files: FrameFiles) -> str:
    """Hash of the content of image, mask and variance, and of names, sizes and times of the rest.

    SHA-256, which processors have built in: two thirds of the time of BLAKE2. Hashing science and
    reference images too would read three times as much as the search itself does; one that was
    written anew has another modification time.

    Parameters
    ----------
    files
        Of the frame.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in files.paths:
        if path in (files.file, files.mask, files.variance):
            _feed(digest, path)
        else:
            status = path.stat()
            told = f"{path.name} {status.st_size} {status.st_mtime_ns}"
            digest.update(told.encode(errors="replace"))
    return digest.hexdigest()[:32]


def file_digest(path: str | os.PathLike[str]) -> str:
    """Hash of one file's content.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    str
        32 hexadecimal digits of its SHA-256.
    """
    digest = hashlib.sha256()
    _feed(digest, Path(path))
    return digest.hexdigest()[:32]


def _feed(digest: Any, path: Path) -> None:
    chunk = bytearray(_CHUNK)
    with open_regular(path) as file:
        while n := file.readinto(chunk):  # type: ignore[attr-defined]
            digest.update(memoryview(chunk)[:n])
