"""Weights on disk: an ONNX file, and a card that says what it is and what its bytes must be.

Both kinds of model are kept as ONNX. It is data without code (pickles and Keras files run code
when they are loaded), needs neither scikit-learn nor TensorFlow to run, and does not depend on
their versions, as a skops file does on scikit-learn's.

A folder of weights holds ``card.json`` and, unless it is an ensemble, ``model.onnx``. The bytes
that are checked against the card's SHA-256 are the very bytes that are handed to the runtime.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from streaks.classification import OUTPUTS, LabelRule
from streaks.disk import Limits, folder_written_whole, parse_json, read_bytes
from streaks.errors import ConfigError, ModelError, ReadError
from streaks.models.inputs import input_description

__all__ = [
    "KINDS",
    "TrainedModel",
    "check_model_folder",
    "library_versions",
    "member_folder",
    "read_card",
    "read_weights",
    "rule_of_card",
    "save_model",
    "shipped_names",
    "shipped_root",
    "weights_folder",
]

KINDS = ("forest", "network", "ensemble", "stack")
_CARD, _MODEL = "card.json", "model.onnx"
_FORMAT = 1
#: Ours have 10 kB and 6 MB.
_CARD_LIMITS, _MODEL_LIMITS = Limits(max_bytes=1 << 22), Limits(max_bytes=1 << 28)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model as training gives it.

    Parameters
    ----------
    kind
        ``forest``, ``network``, ``ensemble`` or ``stack``.
    onnx
        The bytes of the ONNX file: features, images or members' answers in, probabilities out.
    training
        What it was trained on, for the card: numbers, seeds, settings.
    figures
        What was measured on cutouts kept back from training.
    pool
        Of an ensemble: its members and sharpness, in place of an ONNX file. Of a stack: its
        members, beside the file.
    rule
        When a class is named; none where there was nothing to fit it on.
    novelty
        The scale of the network's distances (`streaks.models.novelty`); empty for others.
    """

    kind: str
    onnx: bytes
    training: Mapping[str, Any]
    figures: Mapping[str, Any]
    pool: Mapping[str, Any] = field(default_factory=dict)
    rule: LabelRule | None = None
    novelty: Mapping[str, Any] = field(default_factory=dict)


def weights_folder(name: str | Path = "default") -> Path:
    """The folder of shipped weights of this name, or the user's own folder.

    Parameters
    ----------
    name
        Of a shipped model, or a folder.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is neither.
    """
    shipped = shipped_root() / str(name)
    if str(name) in shipped_names():
        return shipped
    folder = Path(name)
    if (folder / _CARD).is_file():
        return folder
    raise ModelError(
        f"no model {str(name)!r}: expected one of {', '.join(shipped_names()) or 'none shipped'}, "
        f"or a folder with {_CARD} and {_MODEL} (made by `streaks train`)"
    )


def shipped_names() -> tuple[str, ...]:
    """Names of the models that come with the package.

    Returns
    -------
    tuple of str
    """
    return tuple(sorted(p.parent.name for p in shipped_root().glob(f"*/{_CARD}")))


def shipped_root() -> Path:
    """Where the weights of the package lie.

    Returns
    -------
    Path
    """
    return (Path(__file__).parent / "weights").resolve()


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a folder of weights, checked for form.

    Parameters
    ----------
    folder
        Of weights.

    Returns
    -------
    dict

    Raises
    ------
    ModelError
        If it cannot be read, or is of a kind, format, input or output that this version of
        the package does not know.
    """
    try:
        card = parse_json(read_bytes(folder / _CARD, _CARD_LIMITS), str(folder / _CARD))
    except ReadError as error:
        raise ModelError(f"{folder / _CARD} is not a readable model card: {error}") from None
    if not isinstance(card, dict) or card.get("format") != _FORMAT or card.get("kind") not in KINDS:
        raise ModelError(
            f"{folder / _CARD} is not a card of format {_FORMAT} and of a kind among "
            f"{', '.join(KINDS)}; train the model again with this version of streaks"
        )
    if not isinstance(card.get("name"), str):
        raise ModelError(f"{folder / _CARD} has no name; train the model again")
    if card["kind"] != "ensemble":
        _check_fit(folder, card)
    if "novelty" in card:
        _check_novelty(folder, card["novelty"])
    return card


def member_folder(folder: Path, name: Any) -> Path:
    """The folder of a member of an ensemble or stack, beside the ensemble's own.

    Parameters
    ----------
    folder
        Of the ensemble.
    name
        As its card has it.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If the name leads elsewhere.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][\w.+-]*", name, re.ASCII):
        raise ModelError(
            f"{folder}: its card names a member {name!r:.60}; expected a folder of the same parent"
        )
    return folder.parent / name


def _check_novelty(folder: Path, scale: Any) -> None:
    """Levels and distances of equal number, rising."""
    sound = isinstance(scale, dict)
    try:
        if sound and scale:
            levels, distances = (
                np.asarray(scale[key], dtype=float) for key in ("levels", "distances")
            )
            sound = levels.ndim == 1 and levels.shape == distances.shape and len(levels) > 0
            sound &= bool(np.isfinite(levels).all() and (np.diff(distances) >= 0).all())
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise ModelError(
            f"{folder}: the card's novelty needs rising levels and distances; train the model again"
        )


def _check_fit(folder: Path, card: Mapping[str, Any]) -> None:
    for what, expected in (
        ("outputs", list(OUTPUTS)),
        ("input", input_description(str(card["kind"]))),
    ):
        if card.get(what) != expected:
            raise ModelError(
                f"{folder}: the model's {what} differ from this version's of streaks; "
                f"train it again with `streaks train`"
            )


def read_weights(folder: Path, card: Mapping[str, Any]) -> bytes:
    """The model's bytes, once they are those that the card names.

    Parameters
    ----------
    folder
        Of weights.
    card
        As `read_card` gives it.

    Returns
    -------
    bytes

    Raises
    ------
    ModelError
        If the file is missing or its SHA-256 is another one.
    """
    path = folder / _MODEL
    try:
        data = read_bytes(path, _MODEL_LIMITS)
    except ReadError as error:
        raise ModelError(f"{path} cannot be read ({error}); get the model again") from None
    found = hashlib.sha256(data).hexdigest()
    if found != card.get("sha256"):
        raise ModelError(
            f"{path} has SHA-256 {found}, its card says {card.get('sha256')}: the file was "
            f"altered or cut short and is not used; get the model again"
        )
    return data


def check_model_folder(folder: Path) -> None:
    """That a model may be written there.

    Parameters
    ----------
    folder
        New, or of a model.

    Raises
    ------
    ModelError
        If it is a file, or holds anything but a model.
    """
    if folder.exists() and not folder.is_dir():
        raise ModelError(f"{folder} is a file; give a new folder for the model")
    if folder.exists() and not set(os.listdir(folder)) <= {_CARD, _MODEL}:
        raise ModelError(f"{folder} holds other files; give a new folder for the model")


def save_model(
    model: TrainedModel, folder: Path, *, name: str, recipe: str, created: str, limits: list[str]
) -> None:
    """Write weights and card as a whole folder, replacing one of the same name.

    Parameters
    ----------
    model
        As training gives it.
    folder
        New, or of a model.
    name, recipe, created, limits
        For the card: what it is called, the command that made it, when, and what it cannot do.

    Raises
    ------
    ModelError
        If the folder is there and holds anything but a model.
    """
    check_model_folder(folder)
    card = {
        "format": _FORMAT,
        "name": name,
        "kind": model.kind,
        "created": created,
        "recipe": recipe,
        "training": dict(model.training),
        "figures": dict(model.figures),
        "limits": limits,
        "versions": library_versions(),
        "outputs": list(OUTPUTS),
        **_of_rule(model.rule),
        **({"novelty": dict(model.novelty)} if model.novelty else {}),
        **dict(model.pool),
        **(_of_file(model) if model.onnx else {}),
    }
    # A folder of this name is always a whole model.
    with folder_written_whole(folder, replace=True) as part:
        if model.onnx:
            (part / _MODEL).write_bytes(model.onnx)
        (part / _CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _of_rule(rule: LabelRule | None) -> dict[str, Any]:
    if rule is None:
        return {}
    thresholds = dict(zip(OUTPUTS, (round(t, 6) for t in rule.thresholds), strict=True))
    return {"rule": {"coverage": rule.coverage, "thresholds": thresholds}}


def rule_of_card(folder: Path, card: Mapping[str, Any]) -> LabelRule | None:
    """The rule for labels that a card holds; None without one.

    Parameters
    ----------
    folder
        What an error names.
    card
        As `read_card` gives it.

    Returns
    -------
    LabelRule or None

    Raises
    ------
    ModelError
        If it is not one for this version's outputs.
    """
    if "rule" not in card:
        return None
    try:
        thresholds = card["rule"]["thresholds"]
        return LabelRule(
            float(card["rule"]["coverage"]), tuple(float(thresholds[name]) for name in OUTPUTS)
        )
    except (KeyError, TypeError, ValueError, OverflowError, ConfigError) as error:
        raise ModelError(
            f"{folder}: the card's rule needs a coverage and a threshold for each of "
            f"{', '.join(OUTPUTS)} ({error}); train the model again"
        ) from None


def _of_file(model: TrainedModel) -> dict[str, Any]:
    return {
        "sha256": hashlib.sha256(model.onnx).hexdigest(),
        "bytes": len(model.onnx),
        "input": input_description(model.kind),
    }


def library_versions() -> dict[str, str]:
    """Versions of what training and running depend on, those that are installed.

    Returns
    -------
    dict
        Version by name of the distribution.
    """
    versions = {}
    trained_with = ("scikit-learn", "tensorflow", "keras", "jax", "onnx", "onnxruntime")
    for library in ("streaks", "numpy", *trained_with):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
