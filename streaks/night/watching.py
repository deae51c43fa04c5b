"""A night that is done as its frames arrive: one run, one set of workers, for the whole watch."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from streaks.errors import ReadError
from streaks.night.run import NightRun, NightRunner, Progress, night_at
from streaks.night.workers.engine import Engine, LocalEngine
from streaks.readers import FrameFiles, find_frames
from streaks.reporting import AdesContext
from streaks.search import Search
from streaks.search.identity import signature
from streaks.search.warm_up import PRELOADED

__all__ = ["Notifier", "arriving_frames", "watch_night"]

_log = logging.getLogger(__name__)

#: A look at a folder of many thousand files may take long: no more than this share of the time
#: is spent looking.
_LOOKING_SHARE = 0.2
#: A command that is told of a candidate is given so long.
_NOTIFY_LIMIT_S = 60.0


def watch_night(
    inputs: Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    search: Search | None = None,
    *,
    workers: int = 1,
    restart: bool = False,
    time_limit_s: float = 600.0,
    memory_limit_mb: int = 0,
    engine: Engine | None = None,
    streak_masks: bool = False,
    ades: AdesContext | None = None,
    progress: Callable[[Progress], None] | None = None,
    poll_s: float = 0.5,
    sleep: Callable[[float], Any] = time.sleep,
) -> Iterator[NightRun]:
    """Search frames as they arrive, without end; the night's tables are written after each round.

    Parameters
    ----------
    inputs
        Folders, lists or globs; folders may be empty at first.
    poll_s
        Time between looks, s; more where looking takes long.
    sleep
        What waits.
    out_dir, search, workers, restart, time_limit_s, memory_limit_mb, engine, streak_masks, ades, \
progress
        As in `run_night`.

    Yields
    ------
    NightRun
        After each round.
    """
    search = search or Search()
    folder = night_at(out_dir, streak_masks)
    runner = NightRunner(
        folder,
        search,
        engine or LocalEngine(workers, time_limit_s, memory_limit_mb, PRELOADED),
        ades=ades,
        progress=progress,
    )
    with runner.opened(restart=restart):
        arriving = arriving_frames(
            inputs, profile=search.profile, leave_out=folder.root, poll_s=poll_s, sleep=sleep
        )
        for frames in arriving:
            yield runner.run(frames)


def arriving_frames(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    profile: str = "",
    leave_out: Path | None = None,
    poll_s: float = 0.5,
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
    profile, leave_out
        As there.
    poll_s
        Time between looks, s; more where looking takes long.
    sleep
        What waits.

    Yields
    ------
    list of FrameFiles
        All that are there, those of earlier lists too.
    """
    given = list(inputs)
    before: dict[str, str] = {}
    told: dict[str, str] = {}
    while True:
        start = time.monotonic()
        frames = _look(given, profile, leave_out)
        now = {str(files.image): signature(files) for files in frames}
        looked_s = time.monotonic() - start
        settled = {path: sign for path, sign in now.items() if before.get(path) == sign}
        if any(told.get(path) != sign for path, sign in settled.items()):
            told = settled
            yield [files for files in frames if str(files.image) in settled]
        before = now
        sleep(max(poll_s, looked_s * (1.0 / _LOOKING_SHARE - 1.0)))


def _look(
    inputs: list[str | os.PathLike[str]], profile: str, leave_out: Path | None
) -> list[FrameFiles]:
    try:
        return find_frames(inputs, profile=profile, leave_out=leave_out)
    except ReadError:
        # What is not there yet may come.
        return []


class Notifier:
    """Runs a command for each new candidate, once for each, whatever is stopped in between.

    Parameters
    ----------
    command
        Program and its words, run without a shell; it gets the streak as one JSON object on its
        standard input.
    above
        Least probability of an asteroid.
    told
        File that keeps which have been told, a name a line.
    """

    def __init__(self, command: Sequence[str], above: float, told: Path) -> None:
        self._command, self._above, self._path = list(command), above, told
        self._told = set(_lines(told))

    def tell(self, streaks: QTable) -> int:
        """Tell of what has not been told of; how many these were.

        Parameters
        ----------
        streaks
            Of a night, with ``p_real``, else ``p_asteroid``; those matched with a known object are
            left out.

        Returns
        -------
        int
            How many were told of now; 0 for streaks that were not classified.
        """
        by = next((name for name in ("p_real", "p_asteroid") if name in streaks.colnames), "")
        if not by:
            return 0
        wanted = np.asarray(streaks[by], dtype=float) >= self._above
        if "ssnamenr" in streaks.colnames:
            wanted &= np.asarray(streaks["ssnamenr"]).astype(str) == "null"
        new = [row for row in streaks[wanted] if str(row["streak_id"]) not in self._told]
        for row in new:
            self._run({name: _plain(row[name]) for name in streaks.colnames})
            # Told is told, even where the command failed: it is not for us to insist.
            self._told.add(str(row["streak_id"]))
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{row['streak_id']}\n")
        return len(new)

    def _run(self, candidate: Mapping[str, Any]) -> None:
        try:
            done = subprocess.run(
                self._command,
                input=json.dumps(candidate).encode(),
                timeout=_NOTIFY_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.warning(
                "%s: not told of by %s: %s", candidate["streak_id"], self._command[0], error
            )
            return
        if done.returncode:
            _log.warning(
                "%s: %s ended with code %d",
                candidate["streak_id"],
                self._command[0],
                done.returncode,
            )


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _plain(value: Any) -> Any:
    """A table's value as JSON knows it; what is no number is null."""
    value = getattr(value, "value", value)
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
