"""A night's folder, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.table import QTable

from streaks.cutouts import Cutouts
from streaks.errors import ReadError
from streaks.night.folder import NightFolder
from streaks.night.outputs import load_cutouts
from streaks.readers import read_table
from streaks.tables import empty_table
from streaks.tracklets import TRACKLET_COLUMNS

__all__ = ["Night", "read_night"]


@dataclass(frozen=True, eq=False)
class Night:
    """What a night left.

    Parameters
    ----------
    folder
        Where it lies.
    streaks
        All streaks, sorted by image.
    frames
        One row a frame: ``image, path, state, reason, ...``.
    run
        What decided the results (settings, classifier, catalogue, version) and when it began.
    tracklets
        One row for each object of several streaks; of no rows for a night of an older version.
    """

    folder: NightFolder
    streaks: QTable
    frames: QTable
    run: Mapping[str, Any]
    tracklets: QTable = field(default_factory=lambda: empty_table(TRACKLET_COLUMNS))

    @property
    def name(self) -> str:
        return self.folder.root.name

    def cutouts(self, image: str) -> Cutouts:
        """Cutouts of one frame's streaks, in the table's order."""
        return load_cutouts(self.folder.cutouts(image))

    def overview(self, image: str) -> bytes | None:
        """The picture (JPEG) of one frame, or None when there is none."""
        path = self.folder.overview(image)
        return path.read_bytes() if path.is_file() else None


def read_night(path: str | os.PathLike[str]) -> Night:
    """A night's tables and where its pictures are.

    Raises
    ------
    ReadError
        If the folder is no night, or a night that was not finished.
    """
    folder = NightFolder(Path(path))
    if not folder.root.is_dir():
        raise ReadError(f"{path} is no folder; give the one that `streaks night -o` wrote")
    if not folder.streaks.is_file() or not folder.frames.is_file():
        state = "was not finished; run it again" if folder.ledger.is_file() else "is no night"
        raise ReadError(f"{path} {state}: it has no {folder.streaks.name}, {folder.frames.name}")
    tables = read_table(folder.streaks), read_table(folder.frames), _run(folder)
    if not folder.tracklets.is_file():
        return Night(folder, *tables)
    return Night(folder, *tables, read_table(folder.tracklets))


def _run(folder: NightFolder) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(folder.settings.read_text(encoding="utf-8"))
        return values
    except (OSError, ValueError) as error:
        raise ReadError(f"{folder.settings} cannot be read: {error}; run the night again") from None
