"""Where a long training stands, on disk: a kill costs one epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import Limits, load_arrays, written_whole
from streaks.errors import ModelError, ReadError

__all__ = ["Checkpoint"]

#: Weights and the optimiser's moments of the largest network that was trained here take 20 MB.
_LIMITS = Limits(max_bytes=1 << 30)


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
        """Keep arrays after ``done`` epochs, in place of what was kept before.

        Parameters
        ----------
        done
            Epochs.
        arrays
            All that the training needs to go on.
        """
        named: dict[str, Any] = {f"a{k:04d}": array for k, array in enumerate(arrays)}
        with written_whole(self.path) as part, part.open("wb") as stream:
            np.savez(stream, plan=np.array(self.plan), done=np.array(done), **named)

    def read(self) -> tuple[int, list[NDArray[Any]]] | None:
        """Epochs done and arrays; None where nothing was kept yet.

        Returns
        -------
        done, arrays, or None

        Raises
        ------
        ModelError
            If the file is none of this training's.
        """
        if not self.path.exists():
            return None
        try:
            held = load_arrays(self.path, limits=_LIMITS)
            plan, done = str(held["plan"]), int(held["done"])
            arrays = [held[name] for name in sorted(held) if name.startswith("a")]
        except (ReadError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{self.path} is no checkpoint of a training: {error}") from None
        if plan != self.plan:
            raise ModelError(
                f"{self.path} is the checkpoint of another training ({plan}; this one is "
                f"{self.plan}); name another file, or delete it"
            )
        return done, arrays
