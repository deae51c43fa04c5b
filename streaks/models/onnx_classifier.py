"""A model kept as ONNX, with the face of every classifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.models.inputs import ModelInputs
from streaks.models.novelty import novelty_of
from streaks.models.onnx_check import check_onnx
from streaks.models.small_stamps import STAMP_PX, small_session
from streaks.models.store import (
    read_card,
    read_weights,
    rule_of_card,
    shipped_root,
)

__all__ = [
    "Answer",
    "OnnxClassifier",
    "answer_in_batches",
    "open_session",
    "run_session",
]

#: Probabilities, (n, 8), and novelty, (n,).
Answer = tuple[NDArray[np.float64], NDArray[np.float64]]

_INPUTS: dict[str, Callable[[ModelInputs], NDArray[np.float32]]] = {
    "forest": lambda inputs: inputs.features,
    "network": lambda inputs: inputs.images,
}
#: Cutouts answered at a time: more is no faster, and holds 3 MB each in the network.
_BATCH = 32


def answer_in_batches(answer: Callable[[ModelInputs], Answer], cutouts: Cutouts) -> Answer:
    """What a classifier answers of cutouts, asked of few at a time.

    Parameters
    ----------
    answer
        Of a few cutouts.
    cutouts
        Any number.

    Returns
    -------
    probabilities, novelty
        (n, 8) and (n,).
    """
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
        data = read_weights(self.folder, self.card)
        self._session = open_session(data, folder, threads)
        # Of a network, for stamps that leave most of its input empty; made when one comes.
        self._data = data if self.card["kind"] == "network" else b""

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder, self.threads)

    @cached_property
    def _small(self) -> Any:
        """A session for small stamps; None where this network has none."""
        return small_session(self._data, self._session, lambda d: _opened(d, self.threads))

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        """Probabilities, (n, 8) in the order of `OUTPUTS`, rows summing to 1.

        Parameters
        ----------
        cutouts
            Of one size.

        Returns
        -------
        (n, 8) float
        """
        return self.predict_with_novelty(cutouts)[0]

    def predict_with_novelty(self, cutouts: Cutouts) -> Answer:
        """Probabilities, and how unlike the training set each cutout is (NaN: not known).

        Parameters
        ----------
        cutouts
            Of one size.

        Returns
        -------
        probabilities, novelty
            (n, 8) and (n,).
        """
        return answer_in_batches(self.answer, cutouts)

    def answer(self, inputs: ModelInputs) -> Answer:
        """`predict_with_novelty` of a few cutouts, all at once.

        Parameters
        ----------
        inputs
            Of a few cutouts.

        Returns
        -------
        probabilities, novelty
            (n, 8) and (n,).
        """
        scale = self.card.get("novelty")
        wanted = ["probabilities", "distance"] if scale else ["probabilities"]
        session = self._session
        if self._data and inputs.are_within(*STAMP_PX):
            session = self._small or session
        found = run_session(session, wanted, self._shown(inputs), str(self.folder))
        novelty = novelty_of(found[1], scale) if scale else np.full(len(found[0]), np.nan)
        return found[0], novelty


def _reopen(folder: Path, threads: int) -> OnnxClassifier:
    return OnnxClassifier(folder, threads=threads)


def open_session(data: bytes, folder: Path | str, threads: int) -> Any:
    """ONNX Runtime's session of a model's checked bytes; ``folder`` is what errors call it.

    Parameters
    ----------
    data
        The file.
    folder
        What errors call it.
    threads
        That one call may use.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    ModelError
        If the bytes are no model, or one of other inputs and outputs.
    """
    # What came with the package is its own code as much as this line is; walking through the
    # shipped trees' four million numbers took 4 s.
    if Path(folder).resolve().parent != shipped_root():
        check_onnx(data, str(folder))
    try:
        session = _opened(data, threads)
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


def _opened(data: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Warnings of the runtime about its own graph are no news for an astronomer.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_session(
    session: Any, wanted: list[str], shown: NDArray[np.float32], name: str
) -> list[NDArray[np.float64]]:
    """What a model answers: probabilities that sum to 1, and one number each of what else it gives.

    Parameters
    ----------
    session
        Of ONNX Runtime.
    wanted
        Names of outputs, ``probabilities`` first.
    shown : (n, ...)
        Its input.
    name
        What an error calls the model.

    Returns
    -------
    list of arrays
        (n, n_outputs), and (n,) each.

    Raises
    ------
    ModelError
        If it cannot answer, or answers something else than probabilities.
    """
    try:
        p, *more = (np.asarray(one, float) for one in session.run(wanted, {"input": shown}))
    except Exception as error:  # the runtime's own errors have no common public base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} cannot answer ({reason}); train it again") from None
    shapes = [p.shape, *(one.shape for one in more)]
    expected = [(len(shown), len(OUTPUTS)), *((len(shown),) for _ in more)]
    if shapes != expected:
        raise ModelError(f"{name} answers in arrays of {shapes}, expected {expected}")
    total = p.sum(axis=1, keepdims=True)
    if not (np.isfinite(p).all() and (p >= 0).all() and (total > 0).all()):
        raise ModelError(f"{name} answers what is no probability; train it again")
    return [p / total, *more]
