"""Files and folders written whole.

What is written appears under its name when it is complete, and not before: it goes to a temporary
neighbour, is flushed to the disk, and is renamed. A kill or a power cut leaves the old content or
the new one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streaks.errors import OutputError

__all__ = ["folder_written_whole", "written_whole"]


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A neighbour of `path` to write to, renamed to it when all went well.

    The temporary name keeps the suffix, because many writers go by it. Folders above are made.
    The content is on disk before the name is, so that a power cut leaves no empty file.

    Parameters
    ----------
    path
        What is there is replaced, or stays as it is where anything fails.

    Yields
    ------
    Path
        An empty file in the same folder.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to, or is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        suffix = target.suffix if len(target.suffix) <= 16 else ""
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:40]}-", suffix=suffix, dir=target.parent
        )
    except (OSError, ValueError) as error:
        raise _not_writable(target, error) from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        # mkstemp makes files that only their owner reads; results are for everyone.
        part.chmod(0o666 & ~_umask())
        _to_disk(part)
        os.replace(part, target)
    except OSError as error:
        raise _not_writable(target, error) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A folder to write into, which takes the name `path` when all went well.

    Parameters
    ----------
    path
        A folder that is not there or is empty; folders above are made.
    replace
        Take the place of a folder that holds something. Whether it is one that may go is for
        the caller to check.

    Yields
    ------
    Path
        An empty folder of the same parent.

    Raises
    ------
    OutputError
        When the folder holds something and may not be replaced, is a file, or cannot be written.
    """
    target = Path(path)
    try:
        if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not replace)):
            raise OutputError(
                f"{target} exists and is not empty; give a new folder or empty it first"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(
            tempfile.mkdtemp(prefix=f".{target.name[:40]}-", suffix=".part", dir=target.parent)
        )
    except (OSError, ValueError) as error:
        raise _not_writable(target, error) from None
    old = part.with_suffix(".old")
    try:
        yield part
        # mkdtemp's folders are for the owner only; results are for everyone.
        part.chmod(0o777 & ~_umask())
        for file in part.rglob("*"):
            if file.is_file():
                _to_disk(file)
        if target.exists():
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise _not_writable(target, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def _not_writable(target: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or error
    return OutputError(
        f"cannot write {target}: {reason}; nothing was left there, make room or choose another "
        "place"
    )


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
