"""A night's folder, read back."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.cutouts import Cutouts, stack_cutouts
from streaks.disk import Limits, parse_json, read_bytes
from streaks.errors import ConfigError, ReadError
from streaks.night_folder.frame_results import load_cutout, load_cutouts
from streaks.night_folder.layout import NightFolder
from streaks.readers import read_table
from streaks.tables import empty_table
from streaks.tracklets import TRACKLET_COLUMNS

__all__ = ["Night", "read_cutouts", "read_night", "read_settings_file"]


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

    def cutouts(self, image: str, *, beside: bool = True) -> Cutouts:
        """Cutouts of one frame's streaks, in the table's order; science and reference if asked.

        Parameters
        ----------
        image
            Name of the frame.
        beside
            With science and reference, where the file has them.

        Returns
        -------
        Cutouts
            One a streak.

        Raises
        ------
        ReadError
            If the file is missing or damaged.
        """
        return load_cutouts(self.folder.cutouts(image), beside=beside)

    def cutout(self, image: str, name: str) -> Cutouts:
        """The cutout of one streak, as a stack of one; no more is read than that.

        Parameters
        ----------
        image
            Name of the frame.
        name
            The streak's ``streak_id``.

        Returns
        -------
        Cutouts
            A stack of one.

        Raises
        ------
        ReadError
            If the file is missing or damaged, or has no such streak.
        """
        return load_cutout(self.folder.cutouts(image), name)

    def overview(self, image: str) -> bytes | None:
        """The picture (JPEG) of one frame, or None when there is none.

        Parameters
        ----------
        image
            Name of the frame.

        Returns
        -------
        bytes or None
            The file's content, not decoded.
        """
        path = self.folder.overview(image)
        return path.read_bytes() if path.is_file() else None


def read_night(path: str | os.PathLike[str]) -> Night:
    """A night's tables and where its pictures are.

    Parameters
    ----------
    path
        Of the folder that ``streaks night -o`` wrote.

    Returns
    -------
    Night
        Tables are in memory; cutouts and pictures stay on disk until they are asked for.

    Raises
    ------
    ReadError
        If the folder is no night, or a night that was not finished, or another table lies where
        one of the night's was.
    """
    folder = NightFolder(Path(path))
    if not folder.root.is_dir():
        raise ReadError(f"{path} is no folder; give the one that `streaks night -o` wrote")
    if not folder.streaks.is_file() or not folder.frames.is_file():
        state = "was not finished; run it again" if folder.ledger.is_file() else "is no night"
        raise ReadError(f"{path} {state}: it has no {folder.streaks.name}, {folder.frames.name}")
    tables = read_table(folder.streaks), read_table(folder.frames), _run(folder)
    for place, table, names in (
        (folder.streaks, tables[0], ("streak_id", "image")),
        (folder.frames, tables[1], ("image",)),
    ):
        missing = [name for name in names if name not in table.colnames]
        if missing:
            raise ReadError(
                f"{place} is no table of a night: it has no column {', '.join(missing)}; run the "
                "night again"
            )
    if not folder.tracklets.is_file():
        return Night(folder, *tables)
    return Night(folder, *tables, read_table(folder.tracklets))


def _run(folder: NightFolder) -> dict[str, Any]:
    try:
        return read_settings_file(folder)
    except ReadError as error:
        raise ReadError(f"{error}; run the night again") from None


def read_settings_file(folder: NightFolder) -> dict[str, Any]:
    """What a run noted of itself: what decided its results, version, and when it began.

    Parameters
    ----------
    folder
        The night's.

    Returns
    -------
    dict
        The object of ``settings.json``.

    Raises
    ------
    ReadError
        If the file is missing, or is no JSON object.
    """
    # A settings.json has a few kilobytes.
    text = read_bytes(folder.settings, Limits(max_bytes=1 << 24))
    record = parse_json(text, str(folder.settings))
    if not isinstance(record, dict):
        raise ReadError(f"{folder.settings} is no JSON object")
    return record


def read_cutouts(
    night: Night | str | os.PathLike[str],
    *,
    rows: NDArray[np.bool_] | None = None,
    batch: int = 256,
) -> Iterator[tuple[QTable, Cutouts]]:
    """Cutouts of a night's streaks with their rows, a batch at a time.

    Files are opened one after the other as the batches are asked for, so that a night of any size
    takes the memory of a batch and of one frame.

    Parameters
    ----------
    night
        Of `read_night`, or its folder.
    rows : (n_streaks,) bool, optional
        True for the streaks that are wanted, for instance ``night.streaks["p_asteroid"] > 0.5``;
        frames without any are not opened.
    batch
        Cutouts a batch; the last may have fewer.

    Returns
    -------
    iterator of (QTable, Cutouts)
        The checks of `batch` and `rows` are made at the call, the reading as batches are asked for.

    Yields
    ------
    streaks : QTable
        Rows of ``night.streaks``, in its order.
    cutouts : Cutouts
        One a row; ``science`` and ``reference`` where all frames of the batch have them.

    Raises
    ------
    ConfigError
        If `batch` is below 1, or `rows` is not as long as the table.
    ReadError
        If the night, or a frame's cutouts, cannot be read.
    """
    night = night if isinstance(night, Night) else read_night(night)
    if batch < 1:
        raise ConfigError(f"a batch of {batch} cutouts holds none; give at least 1")
    wanted = np.ones(len(night.streaks), bool) if rows is None else np.asarray(rows, bool)
    if wanted.shape != (len(night.streaks),):
        raise ConfigError(
            f"rows is {wanted.shape}, the night has {len(night.streaks)} streaks; give one True "
            "or False for each"
        )
    return _batches(night, np.flatnonzero(wanted), batch)


def _batches(
    night: Night, rows: NDArray[np.integer], batch: int
) -> Iterator[tuple[QTable, Cutouts]]:
    at: list[int] = []
    parts: list[Cutouts] = []
    for row_numbers, cutouts in _by_frame(night, rows):
        at += row_numbers
        parts.append(cutouts)
        while len(at) >= batch:
            whole = stack_cutouts(parts)
            yield night.streaks[at[:batch]], whole.select(slice(0, batch))
            at, parts = at[batch:], [whole.select(slice(batch, None))]
    if at:
        yield night.streaks[at], stack_cutouts(parts)


def _by_frame(night: Night, rows: NDArray[np.integer]) -> Iterator[tuple[list[int], Cutouts]]:
    """Row numbers and cutouts of each frame that has wanted streaks, in the table's order."""
    images = night.streaks["image"]
    for image, group in itertools.groupby(rows.tolist(), key=lambda row: str(images[row])):
        numbers = list(group)
        cutouts = night.cutouts(image)
        place = {name: i for i, name in enumerate(cutouts.names)}
        names = [str(night.streaks["streak_id"][row]) for row in numbers]
        missing = [name for name in names if name not in place]
        if missing:
            raise ReadError(
                f"{night.folder.cutouts(image)} lacks {missing[0]} and {len(missing) - 1} more "
                "streaks of the night's table; run the night again with --restart"
            )
        yield numbers, cutouts.select(np.array([place[name] for name in names]))
