"""Frames as they arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streaks.errors import ReadError
from streaks.night.identity import signature
from streaks.readers import FrameFiles, find_frames

__all__ = ["arriving_frames"]


def arriving_frames(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    profile: str = "",
    poll_s: float = 10.0,
    sleep: Callable[[float], Any] = time.sleep,
) -> Iterator[list[FrameFiles]]:
    """All frames that are wholly there, again each time that there are more, without end.

    A frame is wholly there when its files, mask and all, were the same at two looks in a row:
    by size and modification time, so that the machine's clock does not matter. A file that comes
    late beside a frame makes it another frame, to be done again.

    Parameters
    ----------
    inputs
        As `find_frames` takes them; folders may be empty at first.
    profile
        As there.
    poll_s
        Time between looks.
    sleep
        What waits.
    """
    given = list(inputs)
    before: dict[str, str] = {}
    told: dict[str, str] = {}
    while True:
        frames = _look(given, profile)
        now = {str(files.image): signature(files) for files in frames}
        settled = {path: sign for path, sign in now.items() if before.get(path) == sign}
        if any(told.get(path) != sign for path, sign in settled.items()):
            told = settled
            yield [files for files in frames if str(files.image) in settled]
        before = now
        sleep(poll_s)


def _look(inputs: list[str | os.PathLike[str]], profile: str) -> list[FrameFiles]:
    try:
        return find_frames(inputs, profile=profile)
    except ReadError:
        # What is not there yet may come.
        return []
