"""What a worker does with one frame: process it, write what it gave, tell the ledger's keeper."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaks.classification import Classifier
from streaks.config import Settings
from streaks.night.folder import NightFolder
from streaks.night.frame_path import process_frame
from streaks.night.identity import content_digest
from streaks.night.outputs import save_result
from streaks.night.sky import load_sky
from streaks.readers import FrameFiles

__all__ = ["FrameWork", "WorkDone", "prepare_work"]


@dataclass(frozen=True)
class FrameWork:
    """A frame to be done, and its files' signature when that was decided."""

    files: FrameFiles
    signature: str


@dataclass(frozen=True)
class WorkDone:
    """What the ledger needs to know of a frame; tables and pictures are on disk by then."""

    digest: str
    n_streaks: int
    stages: Mapping[str, float]
    about: Mapping[str, Any]
    notes: str


def prepare_work(
    folder: NightFolder,
    settings: Settings,
    load_classifier: Callable[[], Classifier] | None,
    orbits: Path | None,
) -> Callable[[FrameWork], WorkDone]:
    """A worker made warm: classifier and catalogue are loaded once."""
    classifier = None if load_classifier is None else load_classifier()
    known = None if orbits is None else load_sky(orbits)

    def work(task: FrameWork) -> WorkDone:
        with _warnings_noted() as notes:
            result = process_frame(task.files, settings, classifier, known)
            save_result(folder, result)
            digest = content_digest(task.files)
        return WorkDone(digest, len(result.streaks), result.seconds, result.about, "\n".join(notes))

    return work


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
