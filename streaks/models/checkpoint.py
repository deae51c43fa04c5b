"""Where a long training stands, on disk: a kill costs one epoch."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ModelError

__all__ = ["Checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the arrays of a training after so many epochs.

    Parameters
    ----------
    path
        An ``.npz`` file; it appears whole or not at all.
    plan
        What the training does, in words: a file of another plan is refused.
    """

    path: Path
    plan: str

    def write(self, done: int, arrays: Sequence[NDArray[Any]]) -> None:
        """Keep arrays after ``done`` epochs, in place of what was kept before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        named: dict[str, Any] = {f"a{k:04d}": array for k, array in enumerate(arrays)}
        with part.open("wb") as stream:
            np.savez(stream, plan=np.array(self.plan), done=np.array(done), **named)
        os.replace(part, self.path)

    def read(self) -> tuple[int, list[NDArray[Any]]] | None:
        """Epochs done and arrays; None where nothing was kept yet.

        Raises
        ------
        ModelError
            If the file is none of this training's.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as held:
                plan, done = str(held["plan"]), int(held["done"])
                arrays = [held[name] for name in sorted(held.files) if name.startswith("a")]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(f"{self.path} is no checkpoint of a training: {error}") from None
        if plan != self.plan:
            raise ModelError(
                f"{self.path} is the checkpoint of another training ({plan}; this one is "
                f"{self.plan}); name another file, or delete it"
            )
        return done, arrays
