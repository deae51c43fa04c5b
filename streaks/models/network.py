"""The convolutional network: cutout and mask in, calibrated probabilities out, kept as ONNX.

TensorFlow is needed here and nowhere else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS, LabelRule
from streaks.cutouts import Cutouts
from streaks.errors import ConfigError, MissingExtraError, ModelError
from streaks.features import SIZE_PX
from streaks.models.ahead import mapped_ahead
from streaks.models.augmentation import augment
from streaks.models.calibration import Calibration, fit_calibration
from streaks.models.checkpoint import Checkpoint
from streaks.models.evaluation import evaluate_probabilities
from streaks.models.inputs import network_image
from streaks.models.labels import class_counts, label_indices
from streaks.models.novelty import NoveltySpace, fit_novelty, novelty_scale
from streaks.models.onnx_graph import network_to_onnx, padded_channels, read_constants
from streaks.models.store import TrainedModel

__all__ = ["read_network", "train_cnn"]

_LOG = logging.getLogger(__name__)

#: Channels, kernel side, stride, and whether 2 x 2 pooling follows: 220,000 weights, 53 million
#: multiplications a cutout. The stride in front keeps most of them off the full resolution, and
#: the widest layers see the smallest images.
_LAYERS = (
    (12, 5, 2, False),
    (20, 3, 1, True),
    (32, 3, 1, False),
    (40, 3, 1, True),
    (64, 3, 1, False),
    (64, 3, 1, True),
    (96, 3, 1, False),
    (96, 3, 1, False),
)
#: What the first layer is shown: the image and the mask.
_N_CHANNELS = 2
#: Keeps the normalisation of a channel that hardly varies finite.
_EPSILON = 1e-3


def train_cnn(
    cutouts: Cutouts,
    labels: Sequence[str],
    *,
    seed: int,
    epochs: int = 10,
    batch: int = 64,
    learning_rate: float = 3e-3,
    held_out: float = 0.1,
    workers: int = 1,
    progress: Callable[[int, float], None] | None = None,
    start: bytes | None = None,
    repeat: NDArray[np.integer] | None = None,
    checkpoint: Path | None = None,
) -> TrainedModel:
    """A network trained on labelled cutouts.

    Parameters
    ----------
    cutouts, labels
        Labels are names among `OUTPUTS`.
    seed
        Of weights, order and augmentation. TensorFlow's own global seed is set to it.
    epochs, batch, learning_rate
        One rise and fall of the learning rate over all epochs, with this as its top
        (Smith & Topin 2017, arXiv:1708.07120).
    held_out
        Share kept back for calibration and figures, a half of it for each.
    workers
        Threads of TensorFlow, and of those that draw batches.
    progress
        Called after each epoch with its number and its mean loss.
    start
        An ONNX file that this function made: training goes on from its weights.
    checkpoint
        Kept after each epoch; where there is one of the same training, it goes on from there.
    repeat : (n,), optional
        How often each cutout is shown in an epoch; once each when not given. Where some are
        shown more often than once, these are the ones that matter, and figures are of those
        kept back among them.

    Returns
    -------
    TrainedModel
        Of kind ``network``, with figures on what was kept back.

    Raises
    ------
    ConfigError
        If `held_out`, `epochs` or `batch` is out of range.
    InputError
        If a label is unknown, or a class has too few examples.
    MissingExtraError
        Without TensorFlow.
    ModelError
        If the exported network does not answer as the trained one does.
    """
    if not 0.0 < held_out < 0.5:
        raise ConfigError(f"held_out is {held_out}; it must lie between 0 and 0.5")
    if epochs < 1 or batch < 2:
        raise ConfigError(f"epochs is {epochs} and batch {batch}; expected at least 1 and 2")
    keras = _keras(seed, workers)
    truth = label_indices(labels)
    # Half precision holds the noise to 0.1 % and halves what 20,000 cutouts take (1 GB).
    scaled, mask = _network_images(cutouts)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    training, kept = _split(truth, held_out, rng)
    precision = _precision()
    # Few cutouts of a user's own would spoil a normalisation by what they happen to hold.
    normalised = repeat is None
    model = _build(keras, precision, normalised=normalised)
    if start is not None and normalised:
        model.set_weights(_unfolded(keras, start, scaled, mask, training[:_N_STATISTICS]))
    elif start is not None:
        model.set_weights(_weights_of(start))
    shown = training if repeat is None else np.repeat(training, np.asarray(repeat)[training])
    steps = max(len(shown) // batch, 1) * epochs
    rise = steps // (5 if start is None else 20)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            _one_cycle(keras, learning_rate, steps, rise), weight_decay=1e-3
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    plan = f"{seed} {epochs} {batch} {learning_rate} {len(shown)} {start is None}"
    saved = None if checkpoint is None else Checkpoint(checkpoint, plan)
    _fit(model, scaled, mask, truth, shown, epochs, batch, seed, workers, progress, saved)
    # What is measured and exported computes in single precision throughout.
    exact = _build(keras, "float32", normalised=normalised)
    exact.set_weights(model.get_weights())
    judged = keras.Model(exact.inputs, [exact.layers[-2].output, exact.output])
    some = rng.permutation(training)[:_N_NOVELTY]
    space = fit_novelty(_answers(judged, scaled, mask, some)[0], truth[some])
    features, logits = _answers(judged, scaled, mask, kept)
    scale = novelty_scale(space.distances(features))
    settings = {
        "seed": seed,
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "precision": precision,
    }
    own = np.ones(len(kept), bool) if repeat is None else np.asarray(repeat)[kept] > 1
    model = _finish(exact, logits, truth, kept, space, own)
    return replace(
        model,
        novelty=scale,
        training={"n": len(truth), "classes": class_counts(labels), **model.training, **settings},
    )


#: Training cutouts that say where classes lie among the features.
_N_NOVELTY = 8000
#: Training cutouts that say how widely a layer's values spread.
_N_STATISTICS = 1024


def _network_images(cutouts: Cutouts) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    scaled = np.zeros((len(cutouts), SIZE_PX, SIZE_PX), np.float16)
    mask = np.zeros(scaled.shape, bool)
    start = 0
    for part in cutouts.batches(512):
        stop = start + len(part)
        scaled[start:stop], mask[start:stop] = network_image(part)
        start = stop
    return scaled, mask


def _keras(seed: int, workers: int) -> Any:
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        return _keras_alone(seed)
    try:
        import tensorflow as tf
        from tensorflow import keras
    except ImportError:
        raise MissingExtraError("tensorflow", "train", "training the network") from None
    try:
        tf.config.threading.set_intra_op_parallelism_threads(workers)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow is already running in this process
        _LOG.info("TensorFlow already runs; its number of threads stays as it is")
    keras.utils.set_random_seed(seed)
    return keras


def _keras_alone(seed: int) -> Any:
    """Keras with JAX or PyTorch beneath it, as its own variable of the environment says.

    On a machine whose graphics card these can use and TensorFlow can not.
    """
    try:
        import keras
    except ImportError:
        raise MissingExtraError("keras", "train", "training the network") from None
    keras.utils.set_random_seed(seed)
    return keras


def _split(
    truth: NDArray[np.int64], held_out: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices for training and of those kept back, the same share of each class."""
    kept = []
    for output in np.unique(truth):
        index = rng.permutation(np.flatnonzero(truth == output))
        kept.append(index[: max(int(held_out * len(index) + 0.5), 2)])
    held = rng.permutation(np.concatenate(kept))
    return np.setdiff1d(np.arange(len(truth)), held), held


def _precision() -> str:
    """Convolutions in brain floats where the processor multiplies them: 1.5 times as fast.

    Elsewhere they would be emulated, slowly.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def _build(keras: Any, precision: str, *, normalised: bool = True) -> Any:
    """The network; weights are kept in single precision whatever it computes in.

    One that goes on from an exported network has the normalisation in its kernels already.
    """
    layers = keras.layers
    x = inputs = keras.Input((SIZE_PX, SIZE_PX, _N_CHANNELS))
    for channels, side, stride, pooled in _LAYERS:
        x = layers.Conv2D(
            channels, side, stride, padding="same", use_bias=not normalised, dtype=precision
        )(x)
        if normalised:
            x = layers.BatchNormalization(momentum=0.95, epsilon=_EPSILON, dtype=precision)(x)
        x = layers.ReLU(dtype=precision)(x)
        if pooled:
            x = layers.MaxPooling2D(dtype=precision)(x)
    # The mean tells how much of something there is, the maximum that it is there at all.
    mean, most = layers.GlobalAveragePooling2D(), layers.GlobalMaxPooling2D()
    x = layers.Concatenate(dtype="float32")([mean(x), most(x)])
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(len(OUTPUTS))(x))


def _one_cycle(keras: Any, top: float, steps: int, rise: int) -> Any:
    """A learning rate that rises over some steps and falls to nothing as a cosine."""
    rise = max(rise, 1)
    return keras.optimizers.schedules.CosineDecay(
        top / 25,
        decay_steps=max(steps - rise, 1),
        alpha=1e-3,
        warmup_target=top,
        warmup_steps=rise,
    )


def _as_input(scaled: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, ny, nx, 2): TensorFlow's order of axes."""
    return np.stack([np.arcsinh(scaled.astype(np.float32)), mask.astype(np.float32)], axis=-1)


def _fit(
    model: Any,
    scaled: NDArray[np.float16],
    mask: NDArray[np.bool_],
    truth: NDArray[np.int64],
    training: NDArray[np.int64],
    epochs: int,
    batch: int,
    seed: int,
    workers: int,
    progress: Callable[[int, float], None] | None,
    saved: Checkpoint | None,
) -> None:
    done = _restored(model, saved)
    for epoch in range(done, epochs):
        # Order and augmentation are an epoch's own, so that one taken up again sees the same.
        drawn = np.random.SeedSequence([seed, 2, epoch])
        batches = _batches(scaled, mask, truth, training, batch, drawn, workers)
        loss = float(np.mean([float(model.train_on_batch(x, y)) for x, y in batches]))
        _LOG.info("epoch %d of %d: loss %.4f", epoch + 1, epochs, loss)
        if saved is not None:
            saved.write(epoch + 1, [*model.get_weights(), *_state(model)])
        if progress is not None:
            progress(epoch + 1, loss)


def _state(model: Any) -> list[NDArray[Any]]:
    return [np.asarray(variable) for variable in model.optimizer.variables]


def _restored(model: Any, saved: Checkpoint | None) -> int:
    """Epochs that a checkpoint holds, with weights and the optimizer's memory put back."""
    model.optimizer.build(model.trainable_variables)
    found = None if saved is None else saved.read()
    if found is None:
        return 0
    done, arrays = found
    n = len(model.get_weights())
    model.set_weights(arrays[:n])
    for variable, value in zip(model.optimizer.variables, arrays[n:], strict=True):
        variable.assign(value)
    return done


def _batches(
    scaled: NDArray[np.float16],
    mask: NDArray[np.bool_],
    truth: NDArray[np.int64],
    training: NDArray[np.int64],
    batch: int,
    drawn: np.random.SeedSequence,
    workers: int,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Augmented batches in random order; a last short one is left out (its statistics are poor).

    Each has a generator of its own, so that any number of threads draws the same.
    """
    order = np.random.default_rng(drawn).permutation(training)
    starts = range(0, max(len(order) - batch + 1, 1), batch)

    def make(
        one: tuple[int, np.random.SeedSequence],
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        index = order[one[0] : one[0] + batch]
        rng = np.random.default_rng(one[1])
        images, masks = augment(scaled[index].astype(np.float32), mask[index], rng)
        return _as_input(images, masks), truth[index]

    yield from mapped_ahead(make, zip(starts, drawn.spawn(len(starts)), strict=True), workers)


def _answers(
    model: Any, scaled: NDArray[np.float16], mask: NDArray[np.bool_], index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features of the last layer, and logits."""
    parts = [
        [np.asarray(x, dtype=float) for x in model(_as_input(scaled[i], mask[i]), training=False)]
        for i in np.array_split(index, max(len(index) // 256, 1))
    ]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _finish(
    model: Any,
    logits: NDArray[np.float64],
    truth: NDArray[np.int64],
    kept: NDArray[np.int64],
    space: NoveltySpace,
    own: NDArray[np.bool_],
) -> TrainedModel:
    """Measure on one half of what was kept back, calibrated on the other; calibrate on both."""
    first = np.arange(len(kept)) < len(kept) // 2
    calibration = fit_calibration(logits[first], truth[kept[first]])
    rule = LabelRule.fit(calibration.apply(logits[first]), truth[kept[first]])
    judged = ~first & own if (~first & own).any() else ~first
    p = calibration.apply(logits[judged])
    names = np.array(OUTPUTS)[truth[kept[judged]]].tolist()
    figures = evaluate_probabilities(p, names, model="cnn", rule=rule)
    calibration = fit_calibration(logits, truth[kept])
    rule = LabelRule.fit(calibration.apply(logits), truth[kept])
    convolutions, dense = _folded(model)
    data = network_to_onnx(
        convolutions, dense, size_px=SIZE_PX, calibration=calibration, novelty=space
    )
    _check_export(model, data, calibration.apply)
    return TrainedModel(
        kind="network",
        onnx=data,
        training={
            "n_held_out": len(kept),
            "n_weights": int(model.count_params()),
            "temperature": calibration.temperature,
        },
        figures={
            "measured_on": f"{len(names)} cutouts of the same set, kept back from training",
            **figures.to_dict(),
        },
        rule=rule,
    )


def _folded(model: Any) -> tuple[list[Any], tuple[NDArray[Any], NDArray[Any]]]:
    """Kernels and biases with the batch normalisation in them, and the last layer."""
    kinds = [(type(layer).__name__, layer) for layer in model.layers]
    convs = [layer for kind, layer in kinds if kind == "Conv2D"]
    norms = [layer for kind, layer in kinds if kind == "BatchNormalization"]
    weights, bias = model.layers[-1].get_weights()
    if not norms:
        plain = [conv.get_weights() for conv in convs]
        convolutions = [
            (kernel.transpose(3, 2, 0, 1), shift, stride, pooled)
            for (kernel, shift), (_, _, stride, pooled) in zip(plain, _LAYERS, strict=True)
        ]
        return convolutions, (weights, bias)
    convolutions = []
    for conv, norm, (_, _, stride, pooled) in zip(convs, norms, _LAYERS, strict=True):
        gamma, beta, mean, variance = norm.get_weights()
        gain = gamma / np.sqrt(variance + norm.epsilon)
        kernel = conv.get_weights()[0].transpose(3, 2, 0, 1) * gain[:, None, None, None]
        convolutions.append((kernel, beta - mean * gain, stride, pooled))
    return convolutions, (weights, bias)


def _weights_of(data: bytes) -> list[NDArray[np.float32]]:
    """Kernels and biases of an exported network, in the order of Keras.

    Raises
    ------
    ModelError
        If it is a network of other layers.
    """
    arrays = read_constants(data)
    weights, before = [], _N_CHANNELS
    for k, (channels, side, _, _) in enumerate(_LAYERS):
        kernel = arrays.get(f"kernel_{k}")
        widths = (channels, padded_channels(channels))
        if kernel is None or kernel.shape[0] not in widths or kernel.shape[2] != side:
            raise ModelError(
                f"layer {k} of the network to start from is not one of {channels} channels and "
                f"{side} px; start from a network that this version trained"
            )
        own = kernel[:channels, :before]
        weights += [own.transpose(2, 3, 1, 0), arrays[f"bias_{k}"][:channels]]
        before = channels
    return [*weights, arrays["dense"], arrays["dense_bias"]]


def _unfolded(
    keras: Any,
    data: bytes,
    scaled: NDArray[np.float16],
    mask: NDArray[np.bool_],
    index: NDArray[np.int64],
) -> list[NDArray[np.float32]]:
    """Weights of a network with normalisation that answers as an exported one without.

    Each layer's shift and gain are those that undo the normalisation of some cutouts' values:
    training then goes on at a rate that kernels alone would not bear.
    """
    weights = _weights_of(data)
    plain = _build(keras, "float32", normalised=False)
    plain.set_weights(weights)
    convolutions = [layer for layer in plain.layers if type(layer).__name__ == "Conv2D"]
    values = keras.Model(plain.input, [layer.output for layer in convolutions])
    parts = np.array_split(index, max(len(index) // 64, 1))
    moments = [
        [_moments(x) for x in values(_as_input(scaled[part], mask[part]), training=False)]
        for part in parts
    ]
    unfolded = []
    for k, (kernel, bias) in enumerate(zip(weights[0:-2:2], weights[1:-2:2], strict=True)):
        mean, square = np.mean([part[k] for part in moments], axis=0)
        variance = np.maximum(square - mean**2, 1e-6)
        unfolded += [kernel, np.sqrt(variance + _EPSILON), mean, mean - bias, variance]
    return [*unfolded, *weights[-2:]]


def _moments(values: Any) -> NDArray[np.float64]:
    """Mean and mean square of each channel."""
    flat = np.asarray(values, dtype=float).reshape(-1, values.shape[-1])
    return np.stack([flat.mean(axis=0), (flat**2).mean(axis=0)])


def read_network(
    data: bytes,
) -> tuple[list[Any], tuple[NDArray[Any], NDArray[Any]], int, Calibration]:
    """Convolutions and last layer as `network_to_onnx` takes them, image side, calibration.

    Parameters
    ----------
    data
        An ONNX file that `network_to_onnx` made.

    Returns
    -------
    convolutions : list
        Kernel (out, in, height, width), bias, stride, and whether pooling follows, of each.
    dense : tuple of arrays
        Weights and bias of the last layer.
    size_px : int
        Side of the images.
    calibration : Calibration
        Applied to the last layer's output.

    Raises
    ------
    ModelError
        If it is a network of other layers.
    """
    weights, arrays = _weights_of(data), read_constants(data)
    kernels = [kernel.transpose(3, 2, 0, 1) for kernel in weights[0:-2:2]]
    convolutions = [
        (kernel, bias, stride, pooled)
        for kernel, bias, (_, _, stride, pooled) in zip(
            kernels, weights[1:-2:2], _LAYERS, strict=True
        )
    ]
    calibration = Calibration(1.0 / float(arrays["scale"][0]), tuple(arrays["bias"].tolist()))
    return convolutions, (weights[-2], weights[-1]), SIZE_PX, calibration


def _check_export(model: Any, data: bytes, calibrate: Any) -> None:
    """The ONNX file must answer as the trained network does."""
    import onnxruntime

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, SIZE_PX, SIZE_PX, 2)).astype(np.float32)
    expected = calibrate(np.asarray(model(x, training=False), dtype=float))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"input": x.transpose(0, 3, 1, 2)})[0]
    worst = float(np.abs(found - expected).max())
    if worst > 1e-3:
        raise ModelError(
            f"the exported network differs from the trained one by {worst:.2g} in probability; "
            f"expected less than 0.001; report this with your versions of TensorFlow and ONNX"
        )
