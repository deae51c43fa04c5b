"""A verdict's numbers on disk: trees in an ``.npz``, and a card that says what they are.

Plain arrays need no library to run, and nothing in them is code: `streaks.verdict.trees` walks
them. What is checked against the card's SHA-256 are the very arrays that are used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import Limits, folder_written_whole, load_arrays, parse_json, read_bytes
from streaks.errors import ModelError, ReadError
from streaks.models.store import library_versions, shipped_root
from streaks.verdict import VerdictModel
from streaks.verdict.exposures import STATES
from streaks.verdict.numbers import NUMBERS
from streaks.verdict.trees import Trees

__all__ = ["TREE_ARRAYS", "arrays_digest", "load_verdict", "save_verdict", "verdict_digest"]

_CARD, _TREES = "verdict.json", "trees.npz"
_FORMAT = 1
#: Of `Trees`, in the order of their digest.
TREE_ARRAYS = ("roots", "feature", "left", "right", "threshold", "missing_left", "value")
_CARD_LIMITS, _TREES_LIMITS = Limits(max_bytes=1 << 22), Limits(max_bytes=1 << 26)
#: Of the package.
_SHIPPED = "verdict"


def load_verdict(name: str | Path = "default") -> VerdictModel:
    """The verdict that comes with the package, or the user's own.

    Parameters
    ----------
    name
        ``default``, or a folder that ``streaks train verdict`` wrote.

    Returns
    -------
    VerdictModel

    Raises
    ------
    ModelError
        If there is none, or its files are not what its card says.
    """
    folder = _folder(name)
    card = _read_card(folder)
    try:
        arrays = load_arrays(folder / _TREES, TREE_ARRAYS, _TREES_LIMITS)
        found = arrays_digest(arrays)
    except (ReadError, KeyError) as error:
        raise ModelError(f"{folder / _TREES} cannot be read ({error})") from None
    if found != card.get("sha256"):
        raise ModelError(
            f"the arrays of {folder / _TREES} have SHA-256 {found}, its card says "
            f"{card.get('sha256')}: the file was altered and is not used; get the verdict again"
        )
    try:
        return VerdictModel(
            Trees(
                **{key: np.asarray(arrays[key]) for key in TREE_ARRAYS},
                baseline=float(card["baseline"]),
                n_features=len(NUMBERS),
            ),
            np.asarray(card["calibration"]["scores"], float),
            np.asarray(card["calibration"]["log_ratios"], float),
            {state: float(card["exposures"][state]) for state in STATES},
            name=f"{card['name']} {found[:12]}",
            about=card,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder} is no verdict of this version: {error}") from None


def verdict_digest(name: str | Path = "default") -> str:
    """What a run calls its verdict: another name is another verdict.

    Parameters
    ----------
    name
        As of `load_verdict`.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        If there is none.
    """
    card = _read_card(_folder(name))
    return f"{card.get('name')} {str(card.get('sha256'))[:12]}"


def save_verdict(model: VerdictModel, folder: Path, *, name: str, about: Mapping[str, Any]) -> None:
    """Write trees and card as a whole folder, replacing one of the same name.

    Parameters
    ----------
    model
        As training gives it.
    folder
        New, or of a verdict.
    name, about
        For the card: what it is called; what it was trained on, by which command, with which
        figures and limits.

    Raises
    ------
    ModelError
        If the folder is there and holds anything but a verdict.
    """
    if folder.exists() and not set(os.listdir(folder)) <= {_CARD, _TREES}:
        raise ModelError(f"{folder} holds other files; give a new folder for the verdict")
    arrays = {key: getattr(model.trees, key) for key in TREE_ARRAYS}
    card = {
        "format": _FORMAT,
        "name": name,
        **about,
        "versions": library_versions(),
        "numbers": list(NUMBERS),
        "calibration": {
            "scores": [round(float(v), 6) for v in model.scores],
            "log_ratios": [round(float(v), 6) for v in model.log_ratios],
        },
        "exposures": {state: round(model.exposures[state], 4) for state in STATES},
        "baseline": model.trees.baseline,
        "sha256": arrays_digest(arrays),
    }
    with folder_written_whole(folder, replace=True) as part:
        # NumPy 2.0 would take `allow_pickle` for the name of an array.
        np.savez_compressed(part / _TREES, **arrays)
        (part / _CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names, kinds, shapes and bytes of all arrays of trees, in their order.

    Parameters
    ----------
    arrays
        By the names of `TREE_ARRAYS`.

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    for key in TREE_ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _folder(name: str | Path) -> Path:
    folder = shipped_root() / _SHIPPED if str(name) == "default" else Path(name)
    if not (folder / _CARD).is_file():
        raise ModelError(
            f"no verdict {str(name)!r}: expected default, or a folder with {_CARD} and {_TREES} "
            "(made by `streaks train verdict`)"
        )
    return folder


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = parse_json(read_bytes(folder / _CARD, _CARD_LIMITS), str(folder / _CARD))
    except ReadError as error:
        raise ModelError(f"{folder / _CARD} is no readable card: {error}") from None
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise ModelError(f"{folder / _CARD} is no card of format {_FORMAT}; train it again")
    if card.get("numbers") != list(NUMBERS):
        raise ModelError(
            f"{folder}: this verdict weighs other numbers than this version of streaks measures; "
            "train it again with `streaks train verdict`"
        )
    return card
