"""What a frame leaves in the night's folder, each file whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.errors import ReadError
from streaks.night.folder import NightFolder
from streaks.night.frame_path import FrameResult
from streaks.reporting import write_table
from streaks.reporting.files import written_whole

__all__ = ["load_cutouts", "save_cutouts", "save_result"]


def save_result(folder: NightFolder, result: FrameResult) -> None:
    """Write a frame's cutouts, overview and table, the table last."""
    from streaks.plotting import encode_png

    save_cutouts(folder.cutouts(result.name), result.cutouts)
    if result.overview is not None:
        with written_whole(folder.overview(result.name)) as beside:
            beside.write_bytes(encode_png(result.overview))
    write_table(result.streaks, folder.part(result.name))


def save_cutouts(path: Path, cutouts: Cutouts) -> None:
    """Write an ``.npz`` stack; not compressed, for noise does not compress."""
    arrays: dict[str, NDArray[Any]] = {
        "difference": cutouts.difference,
        "mask": cutouts.mask,
        "names": np.array(cutouts.names, dtype=str),
    }
    for what in ("science", "reference"):
        stack = getattr(cutouts, what)
        if stack is not None:
            arrays[what] = stack
    with written_whole(path) as beside:
        np.savez(beside, allow_pickle=False, **arrays)


def load_cutouts(path: Path) -> Cutouts:
    """A stack that `save_cutouts` wrote.

    Raises
    ------
    ReadError
        If it is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        names = tuple(str(name) for name in arrays.pop("names"))
        return Cutouts(names=names, **arrays)
    except FileNotFoundError:
        raise ReadError(f"{path} does not exist; run the night again to make it") from None
    except Exception as error:
        raise ReadError(f"{path} is damaged ({error}); run the night again to make it") from None
