"""A model kept as ONNX, with the face of every classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.models.inputs import ModelInputs
from streaks.models.novelty import novelty_of
from streaks.models.store import read_card, read_weights, rule_of_card

__all__ = ["Answer", "OnnxClassifier", "answer_in_batches", "open_session"]

#: Probabilities, (n, 8), and novelty, (n,).
Answer = tuple[NDArray[np.float64], NDArray[np.float64]]

_INPUTS: dict[str, Callable[[ModelInputs], NDArray[np.float32]]] = {
    "forest": lambda inputs: inputs.features,
    "network": lambda inputs: inputs.images,
}
#: Cutouts answered at a time: more is no faster, and holds 3 MB each in the network.
_BATCH = 32


def answer_in_batches(answer: Callable[[ModelInputs], Answer], cutouts: Cutouts) -> Answer:
    """What a classifier answers of cutouts, asked of few at a time."""
    parts, novelty = [np.zeros((0, len(OUTPUTS)))], [np.zeros(0)]
    for batch in cutouts.batches(_BATCH):
        p, found = answer(ModelInputs(batch))
        parts.append(p)
        novelty.append(found)
    return np.concatenate(parts), np.concatenate(novelty)


class OnnxClassifier:
    """A forest or a network from a folder of weights.

    Handed to another process it takes its folder along and loads there anew.

    Parameters
    ----------
    folder
        With ``card.json`` and ``model.onnx``.
    threads
        Of ONNX Runtime; 1 because frames are already spread over processes.

    Raises
    ------
    ModelError
        If the folder's files are not a model of this version, or were altered.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.folder, self.threads = Path(folder), threads
        self.card = read_card(self.folder)
        if self.card["kind"] not in _INPUTS:
            raise ModelError(
                f"{folder} is a model of kind {self.card['kind']}; open it with load_classifier"
            )
        self.name = str(self.card["name"])
        self.rule = rule_of_card(self.folder, self.card)
        self._shown = _INPUTS[self.card["kind"]]
        self._session = open_session(read_weights(self.folder, self.card), folder, threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder, self.threads)

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        """Probabilities, (n, 8) in the order of `OUTPUTS`, rows summing to 1."""
        return self.predict_with_novelty(cutouts)[0]

    def predict_with_novelty(self, cutouts: Cutouts) -> Answer:
        """Probabilities, and how unlike the training set each cutout is (NaN: not known)."""
        return answer_in_batches(self.answer, cutouts)

    def answer(self, inputs: ModelInputs) -> Answer:
        """`predict_with_novelty` of a few cutouts, all at once."""
        scale = self.card.get("novelty")
        wanted = ["probabilities", "distance"] if scale else ["probabilities"]
        found = self._session.run(wanted, {"input": self._shown(inputs)})
        p = found[0].astype(np.float64)
        novelty = novelty_of(found[1], scale) if scale else np.full(len(p), np.nan)
        return p / p.sum(axis=1, keepdims=True), novelty


def _reopen(folder: Path, threads: int) -> OnnxClassifier:
    return OnnxClassifier(folder, threads=threads)


def open_session(data: bytes, folder: Path | str, threads: int) -> Any:
    """ONNX Runtime's session of a model's checked bytes; ``folder`` is what errors call it.

    Raises
    ------
    ModelError
        If the bytes are no model, or one of other inputs and outputs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Warnings of the runtime about its own graph are no news for an astronomer.
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own errors have no common public base
        raise ModelError(f"{folder} is not a model that ONNX Runtime can run: {error}") from None
    inputs = [i.name for i in session.get_inputs()]
    outputs = [o.name for o in session.get_outputs()]
    if inputs != ["input"] or "probabilities" not in outputs:
        raise ModelError(
            f"{folder}: the model takes {inputs} and gives {outputs}; expected ['input'] and "
            f"['probabilities']"
        )
    return session
