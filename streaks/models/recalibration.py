"""A trained network fitted to other cutouts without training: calibration, rule, novelty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS, LabelRule
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.models.calibration import Calibration, fit_calibration
from streaks.models.evaluation import evaluate_probabilities
from streaks.models.inputs import image_input
from streaks.models.labels import class_counts, label_indices
from streaks.models.network import read_network
from streaks.models.novelty import fit_novelty, novelty_scale
from streaks.models.onnx_graph import features_and_probabilities, network_to_onnx
from streaks.models.store import TrainedModel

__all__ = ["recalibrate_network"]

_BATCH = 64


def recalibrate_network(
    data: bytes,
    card: Mapping[str, Any],
    cutouts: Cutouts,
    labels: Sequence[str],
    *,
    seed: int,
) -> TrainedModel:
    """The same network with probabilities, rule and novelty fitted on labelled cutouts.

    Parameters
    ----------
    data, card
        Of a network, as `streaks.models.store` reads them.
    cutouts, labels
        On which it was not trained. Figures are of one half, fitted on the other; what is kept
        is fitted on both, but for the scale of novelty: its space is of the first half.
    seed
        Of the halves.

    Returns
    -------
    TrainedModel
        Of kind ``network``.

    Raises
    ------
    ModelError
        If the model is no network.
    """
    if card.get("kind") != "network":
        raise ModelError(
            f"{card.get('name')} is a model of kind {card.get('kind')}; only a network can be "
            f"calibrated anew, train others again"
        )
    truth = label_indices(labels)
    features, p = _answers(data, cutouts)
    log_p = np.log(np.clip(p, 1e-30, 1.0))
    order = np.random.default_rng(seed).permutation(len(truth))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    figures = _figures_of_half(log_p, truth, first, second)
    calibration = fit_calibration(log_p, truth)
    space = fit_novelty(features[first], truth[first])
    convolutions, dense, size_px, old = read_network(data)
    onnx = network_to_onnx(
        convolutions,
        dense,
        size_px=size_px,
        calibration=_after(old, calibration),
        novelty=space,
    )
    return TrainedModel(
        kind="network",
        onnx=onnx,
        training={
            **card["training"],
            "calibrated_on": {"n": len(truth), "classes": class_counts(labels), "seed": seed},
        },
        figures={
            "measured_on": f"one half of the set of calibration ({len(second)} cutouts)",
            **figures,
        },
        rule=LabelRule.fit(calibration.apply(log_p), truth),
        novelty=novelty_scale(space.distances(features[second])),
    )


def _answers(data: bytes, cutouts: Cutouts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    run = features_and_probabilities(data)
    parts = [run(image_input(batch)) for batch in cutouts.batches(_BATCH)]
    return (
        np.concatenate([part[0] for part in parts]).astype(float),
        np.concatenate([part[1] for part in parts]).astype(float),
    )


def _figures_of_half(
    log_p: NDArray[np.float64],
    truth: NDArray[np.int64],
    fitted: NDArray[np.int64],
    judged: NDArray[np.int64],
) -> dict[str, Any]:
    calibration = fit_calibration(log_p[fitted], truth[fitted])
    rule = LabelRule.fit(calibration.apply(log_p[fitted]), truth[fitted])
    names = np.array(OUTPUTS)[truth[judged]].tolist()
    p = calibration.apply(log_p[judged])
    return evaluate_probabilities(p, names, model="cnn", rule=rule).to_dict()


def _after(old: Calibration, new: Calibration) -> Calibration:
    """One calibration that does what both do in turn."""
    shifts = np.array(old.bias) / new.temperature + np.array(new.bias)
    return Calibration(old.temperature * new.temperature, tuple(float(b) for b in shifts))
