"""What a worker does with one frame: process it, write what it gave, tell the ledger's keeper."""

from __future__ import annotations

import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.table import QTable

from streaks import __version__
from streaks.night_folder.frame_results import save_result
from streaks.night_folder.layout import NightFolder
from streaks.readers import FrameFiles
from streaks.search import Search, Stopwatch
from streaks.search.identity import content_digest

__all__ = ["FrameWork", "WorkDone", "prepare_work"]

#: As the page shows it, where a hundred of them must not make it too heavy to open; a single
#: file's (`streaks detect --plot`) is larger.
_OVERVIEW_PX = 640


@dataclass(frozen=True)
class FrameWork:
    """A frame to be done, and its files' signature when that was decided.

    Parameters
    ----------
    files
        Of the frame, under the name that it has in the night.
    signature
        Names, sizes and modification times of the files.
    """

    files: FrameFiles
    signature: str


@dataclass(frozen=True)
class WorkDone:
    """What the ledger needs to know of a frame; tables and pictures are on disk by then.

    Parameters
    ----------
    digest
        Hash of the content of the frame's files.
    n_streaks
        Rows of its table.
    stages
        Seconds of each stage, by the clock.
    about
        Plain values of the frame, and which version and classifier did it.
    notes
        Warnings on the way, one a line.
    n_asteroids
        Streaks labelled ``asteroid``; 0 where they were not classified.
    worker
        Host and process that did it.
    memory_mb, peak_mb
        MiB that this process held then, and at most since it began; NaN where unknown.
    cpu_s
        Seconds that it computed: on a busy machine far less than those of its stages.
    cpu_stages
        Those seconds for each stage.
    """

    digest: str
    n_streaks: int
    stages: Mapping[str, float]
    about: Mapping[str, Any]
    notes: str
    n_asteroids: int = 0
    worker: str = ""
    memory_mb: float = float("nan")
    peak_mb: float = float("nan")
    cpu_s: float = float("nan")
    cpu_stages: Mapping[str, float] = field(default_factory=dict)


def prepare_work(
    folder: NightFolder, search: Search, fingerprint: str = ""
) -> Callable[[FrameWork], WorkDone]:
    """What a worker does, with classifier and catalogues loaded once.

    Parameters
    ----------
    folder
        Where results go.
    search
        What every frame is searched with.
    fingerprint
        Of all that decides results; it goes into each frame's table.

    Returns
    -------
    callable
        Does one frame: takes a `FrameWork`, writes what was found, gives a `WorkDone`. It raises
        what the search of that frame raises.
    """
    searcher = search.prepare()
    # What did a frame stands with it, for another run may finish the night.
    did = {"version": __version__, "classifier": search.classifier}

    def work(task: FrameWork) -> WorkDone:
        cpu = time.process_time()
        with _warnings_noted() as notes:
            result = searcher.search_files(task.files, overview_px=_OVERVIEW_PX)
            about = {**result.about, **did}
            watch = Stopwatch()
            with watch("hash"):
                digest = content_digest(task.files)
            told = "\n".join(notes)
            record = {
                "settings": fingerprint,
                "digest": digest,
                "version": __version__,
                "notes": told,
                # Where the file lies decides nothing: the same frame gives the same bytes.
                "about": {key: value for key, value in about.items() if key != "path"},
            }
            with watch("write"):
                save_result(folder, result, record)
        return WorkDone(
            digest=digest,
            n_streaks=len(result.streaks),
            stages={**result.seconds, **watch.seconds},
            cpu_stages={**result.cpu_seconds, **watch.cpu_seconds},
            about=about,
            notes=told,
            n_asteroids=_asteroids(result.streaks),
            worker=f"{socket.gethostname()}-{os.getpid()}",
            memory_mb=_memory_mb(),
            # KiB on Linux.
            peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            cpu_s=time.process_time() - cpu,
        )

    return work


def _asteroids(streaks: QTable) -> int:
    if "label" not in streaks.colnames:
        return 0
    return sum(str(label) == "asteroid" for label in streaks["label"])


def _memory_mb() -> float:
    """What this process holds now; NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, IndexError):
        return float("nan")


class _Noting(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        self._notes.append(record.getMessage())


@contextmanager
def _warnings_noted() -> Iterator[list[str]]:
    """What the rooms warn of while a frame is done."""
    notes: list[str] = []
    handler, logger = _Noting(notes), logging.getLogger("streaks")
    logger.addHandler(handler)
    try:
        yield notes
    finally:
        logger.removeHandler(handler)
