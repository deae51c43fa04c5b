"""What weighs the numbers of a period search: trees as plain arrays, and a card beside them.

Nothing in the files is code; what is checked against the card's SHA-256 are the very arrays that
are used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import Limits, folder_written_whole, load_arrays, parse_json, read_bytes
from streaks.errors import ModelError, ReadError
from streaks.lightcurves.reliability import RELIABILITY_NUMBERS
from streaks.models.store import library_versions, shipped_root
from streaks.models.verdict_store import TREE_ARRAYS, arrays_digest
from streaks.verdict.trees import Trees

__all__ = ["ReliabilityModel", "load_reliability", "save_reliability"]

Floats = NDArray[np.float64]

_CARD, _TREES, _SHIPPED, _FORMAT = "periods.json", "trees.npz", "periods", 1
_CARD_LIMITS, _TREES_LIMITS = Limits(max_bytes=1 << 20), Limits(max_bytes=1 << 24)


@dataclass(frozen=True, eq=False)
class ReliabilityModel:
    """Probability that a period is right within 1 %.

    Parameters
    ----------
    trees
        `RELIABILITY_NUMBERS` in, a score out.
    scores, log_odds : (k,) increasing
        Calibration; linear between, constant beyond.
    about
        Its card.

    Raises
    ------
    ModelError
        If trees or calibration are none.
    """

    trees: Trees
    scores: Floats
    log_odds: Floats
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trees.n_features != len(RELIABILITY_NUMBERS):
            raise ModelError(
                f"trees of {self.trees.n_features} numbers; this version measures "
                f"{len(RELIABILITY_NUMBERS)}"
            )
        both = np.array([self.scores, self.log_odds], float)
        if not (
            both.ndim == 2 and both.shape[1] >= 2 and np.isfinite(both).all()
            and (np.diff(both[0]) > 0).all() and (np.diff(both[1]) >= 0).all()
        ):  # fmt: skip
            raise ModelError("the calibration of this reliability does not increase")

    def probability(self, numbers: NDArray[Any]) -> Floats:
        """Of each period, that it is right.

        Parameters
        ----------
        numbers : (n, len(RELIABILITY_NUMBERS))

        Returns
        -------
        (n,)
        """
        odds = np.interp(self.trees(numbers), self.scores, self.log_odds)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def load_reliability(name: str | Path = "default") -> ReliabilityModel:
    """The model that comes with the package, or the user's own.

    Parameters
    ----------
    name
        ``default``, or a folder that `save_reliability` wrote.

    Returns
    -------
    ReliabilityModel

    Raises
    ------
    ModelError
        If there is none, or its files are not what its card says.
    """
    folder = shipped_root() / _SHIPPED if str(name) == "default" else Path(name)
    if not (folder / _CARD).is_file():
        raise ModelError(f"no model {str(name)!r}: expected a folder with {_CARD} and {_TREES}")
    try:
        card = parse_json(read_bytes(folder / _CARD, _CARD_LIMITS), str(folder / _CARD))
        arrays = load_arrays(folder / _TREES, TREE_ARRAYS, _TREES_LIMITS)
        found = arrays_digest(arrays)
    except (ReadError, KeyError) as error:
        raise ModelError(f"{folder} cannot be read ({error})") from None
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise ModelError(f"{folder / _CARD} is no card of format {_FORMAT}")
    if card.get("numbers") != list(RELIABILITY_NUMBERS):
        raise ModelError(f"{folder} weighs other numbers than this version of streaks measures")
    if found != card.get("sha256"):
        raise ModelError(
            f"the arrays of {folder / _TREES} have SHA-256 {found}, its card says "
            f"{card.get('sha256')}: the file was altered and is not used"
        )
    try:
        trees = Trees(
            **{key: np.asarray(arrays[key]) for key in TREE_ARRAYS},
            baseline=float(card["baseline"]),
            n_features=len(RELIABILITY_NUMBERS),
        )
        calibration = card["calibration"]
        scores, odds = (np.asarray(calibration[key], float) for key in ("scores", "log_odds"))
        return ReliabilityModel(trees, scores, odds, card)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder} is no model of this version: {error}") from None


def save_reliability(model: ReliabilityModel, folder: Path, *, about: Mapping[str, Any]) -> None:
    """Write trees and card as a whole folder, replacing one of the same kind.

    Parameters
    ----------
    model
        As trained.
    folder
        New, or of such a model.
    about
        For the card: what it was trained on, by which command, with which figures and limits.

    Raises
    ------
    ModelError
        If the folder is there and holds anything else.
    """
    if folder.exists() and not set(os.listdir(folder)) <= {_CARD, _TREES}:
        raise ModelError(f"{folder} holds other files; give a new folder")
    arrays = {key: getattr(model.trees, key) for key in TREE_ARRAYS}
    card = {
        "format": _FORMAT,
        "name": "periods",
        **about,
        "versions": library_versions(),
        "numbers": list(RELIABILITY_NUMBERS),
        "calibration": {
            "scores": [float(v) for v in model.scores],
            "log_odds": [float(v) for v in model.log_odds],
        },
        "baseline": model.trees.baseline,
        "sha256": arrays_digest(arrays),
    }
    with folder_written_whole(folder, replace=True) as part:
        # NumPy 2.0 would take `allow_pickle` for the name of an array.
        np.savez_compressed(part / _TREES, **arrays)
        (part / _CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
