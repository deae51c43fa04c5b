"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streaks.errors import OutputError

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `path` to write to, renamed to it when all went well.

    The temporary name keeps the suffix, because many writers go by it. Folders above are made.
    The content is on disk before the name is, so that a power cut leaves no empty file.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to, or is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent
        )
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error}; make room or choose another place"
        ) from None
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        # mkstemp makes files that only their owner reads; results are for everyone.
        beside.chmod(0o666 & ~_umask())
        _to_disk(beside)
        os.replace(beside, target)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error}; make room or choose another place"
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
