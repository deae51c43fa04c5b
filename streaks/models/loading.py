"""A classifier by its name or its folder, whatever its kind."""

from __future__ import annotations

from pathlib import Path

from streaks.classification import Classifier, Ensemble
from streaks.errors import ModelError
from streaks.models.onnx_classifier import OnnxClassifier
from streaks.models.stacking import load_stack
from streaks.models.store import member_folder, read_card, rule_of_card, weights_folder

__all__ = ["load_classifier"]


def load_classifier(name: str | Path = "default", *, threads: int = 1) -> Classifier:
    """A classifier that came with the package, or the user's own.

    Parameters
    ----------
    name
        ``forest`` (features and a random forest), ``cnn`` (a network on the cutout itself),
        ``default`` (both, heard by trees), or a folder written by ``streaks train``.
    threads
        Of ONNX Runtime.

    Returns
    -------
    Classifier

    Raises
    ------
    ModelError
        If there is no such model, or its files are not what its card says.
    """
    folder = weights_folder(name)
    card = read_card(folder)
    if card["kind"] == "stack":
        return load_stack(folder, card, threads)
    if card["kind"] != "ensemble":
        return OnnxClassifier(folder, threads=threads)
    try:
        members = [(member_folder(folder, m["name"]), float(m["weight"])) for m in card["members"]]
        sharpness = float(card["sharpness"])
    except (KeyError, TypeError, ValueError):
        raise ModelError(
            f"{folder}: an ensemble's card lists members, each with name and weight, "
            f"and a sharpness; this does not"
        ) from None
    ensemble = Ensemble(
        [OnnxClassifier(member, threads=threads) for member, _ in members],
        [weight for _, weight in members],
        sharpness=sharpness,
        rule=rule_of_card(folder, card),
    )
    ensemble.name = str(card["name"])
    return ensemble
