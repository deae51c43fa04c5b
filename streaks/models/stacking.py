"""Several classifiers heard together by boosted trees, which see the cutout's features beside them.

A product of probabilities (`streaks.classification.Ensemble`) lets every member speak with one
weight everywhere. Trees learn where which member is wrong: that a network's "asteroid" is worth
little where the light is as sharp as a cosmic ray's (stacked generalisation: Wolpert 1992, Neural
Networks 5, 241).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS, Classifier, LabelRule, predict
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.models.inputs import LEAST_PROBABILITY, ModelInputs
from streaks.models.onnx_classifier import (
    Answer,
    OnnxClassifier,
    answer_in_batches,
    open_session,
    run_session,
)
from streaks.models.store import member_folder, read_weights, rule_of_card

__all__ = ["StackedClassifier", "load_stack", "stack_input"]


class StackedClassifier:
    """Members, and the trees that hear them.

    Parameters
    ----------
    members
        Classifiers of any kind, in the order in which the trees were fitted.
    data
        The ONNX file of `streaks.models.train_stack`: `stack_input` in, probabilities out.
    rule
        How its probabilities become labels; see `LabelRule`.
    threads
        Of ONNX Runtime.
    name, origin
        What it is called, and what errors call the file.

    Raises
    ------
    ModelError
        If the file is no such model, or was fitted for another number of members.
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        data: bytes,
        *,
        rule: LabelRule | None = None,
        threads: int = 1,
        name: str = "",
        origin: str = "the stack",
    ) -> None:
        self.members, self.rule, self.threads = tuple(members), rule, threads
        self.name = name or "+".join(member.name for member in self.members)
        self._data, self._origin = data, origin
        self._session = open_session(data, origin, threads)
        width = self._session.get_inputs()[0].shape[-1]
        expected = _width(len(self.members))
        if width != expected:
            raise ModelError(
                f"{origin} takes {width} numbers; {len(self.members)} members and the features "
                f"of this version give {expected}; fit it again with `streaks train ensemble`"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        options = (self.rule, self.threads, self.name, self._origin)
        return _reopen, (self.members, self._data, *options)

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        """Probabilities, (n, 8) in the order of `OUTPUTS`, rows summing to 1.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        (n, 8) float64
            In the order of `OUTPUTS`; rows sum to 1.
        """
        return self.predict_with_novelty(cutouts)[0]

    def predict_with_novelty(self, cutouts: Cutouts) -> Answer:
        """Novelty is the largest of those members that know it.

        Parameters
        ----------
        cutouts
            n of them.

        Returns
        -------
        probabilities : (n, 8)
            In the order of `OUTPUTS`; rows sum to 1.
        novelty : (n,)
            0 to 1; NaN where no member knows it.
        """
        return answer_in_batches(self._answer, cutouts)

    def _answer(self, inputs: ModelInputs) -> Answer:
        x, novelty = _heard_by_all(self.members, inputs)
        (p,) = run_session(self._session, ["probabilities"], x, self._origin)
        return p, novelty


def _reopen(
    members: Sequence[Classifier],
    data: bytes,
    rule: LabelRule | None,
    threads: int,
    name: str,
    origin: str,
) -> StackedClassifier:
    return StackedClassifier(members, data, rule=rule, threads=threads, name=name, origin=origin)


def _width(n_members: int) -> int:
    from streaks.features import FEATURE_NAMES

    return n_members * len(OUTPUTS) + len(FEATURE_NAMES)


def stack_input(
    members: Sequence[Classifier], cutouts: Cutouts
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What the trees are shown, and the members' largest novelty.

    Parameters
    ----------
    members
        Trained classifiers, in the order that the trees were fitted with.
    cutouts
        n of them.

    Returns
    -------
    x : (n, 8 * n_members + n_features) float32
        Logarithms of each member's probabilities, then the features of `streaks.features`.
    novelty : (n,)
        NaN where no member knows it.
    """
    return _heard_by_all(members, ModelInputs(cutouts))


def _heard_by_all(
    members: Sequence[Classifier], inputs: ModelInputs
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """As `stack_input`, of inputs that members of our own kind share."""
    novelty = np.full(len(inputs.cutouts), np.nan)
    columns = []
    for member in members:
        if isinstance(member, OnnxClassifier):
            p, found = member.answer(inputs)
        else:
            p, found = predict(member, inputs.cutouts)
        columns.append(np.log(np.clip(p, LEAST_PROBABILITY, 1.0)))
        novelty = np.fmax(novelty, found)
    return np.concatenate([*columns, inputs.features], axis=1, dtype=np.float32), novelty


def load_stack(folder: Path, card: dict[str, Any], threads: int) -> StackedClassifier:
    """A stack and its members, from the folders beside it.

    Parameters
    ----------
    folder
        Of the stack; its members lie beside it under their own names.
    card
        What its ``card.json`` says.
    threads
        Of each model's session.

    Returns
    -------
    StackedClassifier

    Raises
    ------
    ModelError
        If a file is not what its card says, or a member is not the one that the trees heard.
    """
    try:
        listed = [(m["name"], str(m["sha256"])) for m in card["members"]]
    except (KeyError, TypeError):
        raise ModelError(
            f"{folder}: a stack's card lists members, each with name and sha256; this does not"
        ) from None
    members = [OnnxClassifier(member_folder(folder, name), threads=threads) for name, _ in listed]
    for member, (name, sha256) in zip(members, listed, strict=True):
        if member.card["sha256"] != sha256:
            raise ModelError(
                f"{folder.parent / name} is not the model that {folder} was fitted with (SHA-256 "
                f"{member.card['sha256']}, expected {sha256}); fit it again with "
                f"`streaks train ensemble`"
            )
    return StackedClassifier(
        members,
        read_weights(folder, card),
        rule=rule_of_card(folder, card),
        threads=threads,
        name=str(card["name"]),
        origin=str(folder),
    )
