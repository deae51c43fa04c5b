"""Trained models as ONNX graphs, written node by node.

A small converter of our own, because two kinds of node per model do not need a library with its
own limits on versions, and because calibration belongs inside the file whose checksum is kept.
Every graph takes ``input`` and gives ``probabilities``, (n, n_outputs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import MissingExtraError
from streaks.models.calibration import Calibration
from streaks.models.novelty import LEAST_LENGTH, NoveltySpace

__all__ = [
    "boosted_to_onnx",
    "features_and_probabilities",
    "forest_to_onnx",
    "network_to_onnx",
    "padded_channels",
    "read_constants",
]

#: Versions of the operator sets: old enough for every ONNX Runtime that we allow.
_OPSET, _OPSET_ML, _IR = 17, 3, 8

#: ONNX Runtime convolves so many channels at once, and between layers of other widths it puts all
#: pixels in another order; channels of zeros cost less.
_CHANNELS_AT_ONCE = 16


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "train", "writing a trained model") from None
    return onnx


def _calibration_nodes(
    onnx: Any, calibration: Calibration, scores: str
) -> tuple[list[Any], list[Any]]:
    """Nodes and constants of softmax(scores / temperature + bias)."""
    make = onnx.helper.make_node
    constants = {
        "scale": np.array([1.0 / calibration.temperature], np.float32),
        "bias": np.array(calibration.bias, np.float32),
    }
    nodes = [
        make("Mul", [scores, "scale"], ["scaled"]),
        make("Add", ["scaled", "bias"], ["shifted"]),
        make("Softmax", ["shifted"], ["probabilities"], axis=1),
    ]
    return nodes, [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()]


def _finish(
    onnx: Any,
    nodes: list[Any],
    constants: list[Any],
    shape: Sequence[Any],
    n_outputs: int,
    name: str,
    more_outputs: Sequence[str] = (),
) -> bytes:
    """The checked bytes of a model with these nodes."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", float32, ["n", *shape])],
        [
            helper.make_tensor_value_info("probabilities", float32, ["n", n_outputs]),
            *(helper.make_tensor_value_info(more, float32, ["n"]) for more in more_outputs),
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _OPSET_ML)]
    model = helper.make_model(graph, producer_name="streaks", opset_imports=opsets, ir_version=_IR)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def forest_to_onnx(forest: Any, n_outputs: int, *, floor: float, calibration: Calibration) -> bytes:
    """A scikit-learn forest of classification trees, with its calibration.

    Parameters
    ----------
    forest
        Fitted; its ``classes_`` are indices of outputs.
    n_outputs
        Number of outputs; those that the forest does not know get no votes.
    floor
        Added to each share of votes before its logarithm.
    calibration
        Applied to the logarithms.

    Returns
    -------
    bytes
        An ONNX file: input (n, n_features), output ``probabilities`` (n, n_outputs).
    """
    onnx = _onnx()
    trees = [estimator.tree_ for estimator in forest.estimators_]
    attributes = _tree_attributes(trees, forest.classes_.astype(np.int64))
    nodes = [
        onnx.helper.make_node(
            "TreeEnsembleClassifier",
            ["input"],
            ["label", "votes"],
            domain="ai.onnx.ml",
            post_transform="NONE",
            classlabels_int64s=list(range(n_outputs)),
            **attributes,
        ),
        onnx.helper.make_node("Add", ["votes", "floor"], ["floored"]),
        onnx.helper.make_node("Log", ["floored"], ["scores"]),
    ]
    tail, constants = _calibration_nodes(onnx, calibration, "scores")
    constants.append(onnx.numpy_helper.from_array(np.array([floor], np.float32), "floor"))
    n_features = int(forest.n_features_in_)
    return _finish(onnx, nodes + tail, constants, [n_features], n_outputs, "forest")


def boosted_to_onnx(
    boosted: Any, n_outputs: int, *, n_features: int, absent: float, calibration: Calibration
) -> bytes:
    """scikit-learn's histogram-boosted trees, with their calibration.

    Parameters
    ----------
    boosted
        Fitted; its ``classes_`` are indices of outputs. Values must not be missing: which way a
        tree sends them is not kept.
    n_outputs, n_features
        Widths of answer and input.
    absent
        Score of outputs that it does not know.
    calibration
        Applied to the sums of leaves.

    Returns
    -------
    bytes
        An ONNX file: input (n, n_features), output ``probabilities`` (n, n_outputs).
    """
    onnx = _onnx()
    # Two classes have one row of trees between them: the sum is of the second.
    per_round = len(boosted._predictors[0])
    outputs = boosted.classes_ if per_round > 1 else boosted.classes_[1:]
    base = np.full(n_outputs, absent)
    base[boosted.classes_] = 0.0
    base[outputs] += boosted._baseline_prediction.ravel()
    trees = [
        (tree.nodes, int(output))
        for trees_of_round in boosted._predictors
        for tree, output in zip(trees_of_round, outputs, strict=True)
    ]
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor",
        ["input"],
        ["sums"],
        domain="ai.onnx.ml",
        n_targets=n_outputs,
        aggregate_function="SUM",
        post_transform="NONE",
        **_boosted_attributes(trees),
    )
    # ONNX Runtime leaves the operator's own base values out where an output has no tree.
    add = onnx.helper.make_node("Add", ["sums", "base"], ["scores"])
    tail, constants = _calibration_nodes(onnx, calibration, "scores")
    constants.append(onnx.numpy_helper.from_array(base.astype(np.float32), "base"))
    return _finish(onnx, [node, add, *tail], constants, [n_features], n_outputs, "boosted")


def _boosted_attributes(trees: Sequence[tuple[NDArray[Any], int]]) -> dict[str, list[Any]]:
    """The attributes of ONNX's TreeEnsembleRegressor, of nodes and the output they add to."""
    fields = _no_nodes()
    leaves: dict[str, list[Any]] = {
        f"target_{what}": [] for what in ("treeids", "nodeids", "ids", "weights")
    }
    for k, (nodes, output) in enumerate(trees):
        leaf = nodes["is_leaf"].astype(bool)
        _add_tree(
            fields,
            k,
            leaf,
            nodes["feature_idx"],
            nodes["num_threshold"],
            nodes["left"],
            nodes["right"],
        )
        at = np.flatnonzero(leaf)
        leaves["target_treeids"] += [k] * len(at)
        leaves["target_nodeids"] += at.tolist()
        leaves["target_ids"] += [output] * len(at)
        leaves["target_weights"] += nodes["value"][at].tolist()
    return fields | leaves


def features_and_probabilities(
    data: bytes,
) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], NDArray[Any]]]:
    """What runs a network up to its last layer's input, and to its end.

    Parameters
    ----------
    data
        An ONNX file that `network_to_onnx` made.

    Returns
    -------
    callable
        Of images, (n, channels, size_px, size_px) float32; gives the last layer's input, (n,
        n_features), and probabilities, (n, n_outputs).
    """
    import onnxruntime

    onnx = _onnx()
    model = onnx.load_model_from_string(data)
    feature = onnx.helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, None)
    model.graph.output.append(feature)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def run(x: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        features, probabilities = session.run(["flat", "probabilities"], {"input": x})
        return features, probabilities

    return run


def read_constants(data: bytes) -> dict[str, NDArray[Any]]:
    """The named arrays of a graph: weights to start from.

    Parameters
    ----------
    data
        An ONNX file.

    Returns
    -------
    dict
        Arrays by name.
    """
    onnx = _onnx()
    graph = onnx.load_model_from_string(data).graph
    return {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}


def _tree_attributes(trees: Sequence[Any], classes: NDArray[np.int64]) -> dict[str, list[Any]]:
    """The attributes of ONNX's TreeEnsembleClassifier."""
    fields = _no_nodes()
    leaves: dict[str, list[Any]] = {
        f"class_{what}": [] for what in ("treeids", "nodeids", "ids", "weights")
    }
    for k, tree in enumerate(trees):
        leaf = tree.children_left < 0
        _add_tree(
            fields, k, leaf, tree.feature, tree.threshold, tree.children_left, tree.children_right
        )
        votes = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True) / len(trees)
        for node, output in np.argwhere((votes > 0) & leaf[:, None]):
            leaves["class_treeids"].append(k)
            leaves["class_nodeids"].append(int(node))
            leaves["class_ids"].append(int(classes[output]))
            leaves["class_weights"].append(float(votes[node, output]))
    return fields | leaves


def _no_nodes() -> dict[str, list[Any]]:
    """The lists that both kinds of tree fill."""
    return {
        f"nodes_{what}": []
        for what in (
            *("treeids", "nodeids", "featureids", "values", "modes"),
            *("truenodeids", "falsenodeids"),
        )
    }


def _add_tree(
    fields: dict[str, list[Any]],
    number: int,
    leaf: NDArray[np.bool_],
    feature: NDArray[Any],
    threshold: NDArray[Any],
    left: NDArray[Any],
    right: NDArray[Any],
) -> None:
    """Write one tree's nodes to the lists: left where a feature is not above its threshold."""
    fields["nodes_treeids"] += [number] * len(leaf)
    fields["nodes_nodeids"] += list(range(len(leaf)))
    fields["nodes_featureids"] += np.where(leaf, 0, feature).tolist()
    fields["nodes_values"] += np.where(leaf, 0.0, _round_down(threshold)).tolist()
    fields["nodes_modes"] += np.where(leaf, "LEAF", "BRANCH_LEQ").tolist()
    fields["nodes_truenodeids"] += np.where(leaf, 0, left).tolist()
    fields["nodes_falsenodeids"] += np.where(leaf, 0, right).tolist()


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each: `x <= t` then holds for the same float32 values x."""
    rounded = thresholds.astype(np.float32)
    lower = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded > thresholds, lower, rounded).astype(np.float32)


def padded_channels(channels: int) -> int:
    """Width at which a layer between others is kept; those added are always 0.

    Parameters
    ----------
    channels
        That the layer was trained with.

    Returns
    -------
    int
        The next multiple of what a processor takes at once.
    """
    return -(-channels // _CHANNELS_AT_ONCE) * _CHANNELS_AT_ONCE


def _padded(
    kernel: NDArray[np.float32], bias: NDArray[np.float32], n_in: int, n_out: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias with zeros for channels that were added before and after."""
    more_in, more_out = n_in - kernel.shape[1], n_out - kernel.shape[0]
    wider = np.pad(kernel, ((0, more_out), (0, more_in), (0, 0), (0, 0)))
    return wider, np.pad(bias, (0, more_out))


def network_to_onnx(
    convolutions: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], int, bool]],
    dense: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    size_px: int,
    calibration: Calibration,
    novelty: NoveltySpace | None = None,
) -> bytes:
    """Convolutions, rectifiers and poolings, then mean and maximum over the image, then a layer.

    Parameters
    ----------
    convolutions
        Kernel (out, in, height, width), bias, stride, and whether 2 x 2 pooling follows.
    dense
        Weights (2 * channels, n_outputs) and bias of the last layer.
    size_px
        Side of the images.
    calibration
        Applied to the last layer's output.
    novelty
        Of the last layer's input; adds the output ``distance``, (n,).

    Returns
    -------
    bytes
        An ONNX file: input (n, channels, size_px, size_px), output ``probabilities`` (n,
        n_outputs).
    """
    onnx = _onnx()
    make, nodes, arrays, last = onnx.helper.make_node, [], {}, "input"
    width = int(convolutions[0][0].shape[1])
    for k, (kernel, bias, stride, pooled) in enumerate(convolutions):
        at_end = k == len(convolutions) - 1
        wider = len(bias) if at_end else padded_channels(len(bias))
        arrays[f"kernel_{k}"], arrays[f"bias_{k}"] = _padded(kernel, bias, width, wider)
        width = wider
        # As TensorFlow's "same": with an even image and stride 2 the far side gets more.
        total = kernel.shape[2] - stride
        near, far = total // 2, total - total // 2
        nodes.append(
            make(
                "Conv",
                [last, f"kernel_{k}", f"bias_{k}"],
                [f"conv_{k}"],
                strides=[stride, stride],
                pads=[near, near, far, far],
            )
        )
        nodes.append(make("Relu", [f"conv_{k}"], [f"relu_{k}"]))
        last = f"relu_{k}"
        if pooled:
            pooling = {"kernel_shape": [2, 2], "strides": [2, 2]}
            nodes.append(make("MaxPool", [last], [f"pool_{k}"], **pooling))
            last = f"pool_{k}"
    arrays["dense"], arrays["dense_bias"] = dense
    nodes += [
        make("GlobalAveragePool", [last], ["mean_4d"]),
        make("GlobalMaxPool", [last], ["max_4d"]),
        make("Concat", ["mean_4d", "max_4d"], ["both"], axis=1),
        make("Flatten", ["both"], ["flat"], axis=1),
        make("Gemm", ["flat", "dense", "dense_bias"], ["scores"]),
    ]
    tail, constants = _calibration_nodes(onnx, calibration, "scores")
    outputs: tuple[str, ...] = ()
    if novelty is not None:
        outputs = ("distance",)
        more_nodes, more_constants = _distance_nodes(onnx, novelty, "flat")
        tail, constants = tail + more_nodes, constants + more_constants
    for key, value in arrays.items():
        contiguous = np.ascontiguousarray(value, dtype=np.float32)
        constants.append(onnx.numpy_helper.from_array(contiguous, key))
    shape = [int(convolutions[0][0].shape[1]), size_px, size_px]
    return _finish(onnx, nodes + tail, constants, shape, len(dense[1]), "network", outputs)


def _distance_nodes(onnx: Any, novelty: NoveltySpace, features: str) -> tuple[list[Any], list[Any]]:
    """Nodes and constants of the squared distance to the nearest class."""
    make = onnx.helper.make_node
    constants = {
        "whitening": novelty.whitening,
        "centres": novelty.centres[None],
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
        "least_length": np.array([LEAST_LENGTH], np.float32),
    }
    nodes = [
        make("ReduceL2", [features], ["length"], axes=[1], keepdims=1),
        make("Max", ["length", "least_length"], ["some_length"]),
        make("Div", [features, "some_length"], ["unit"]),
        make("MatMul", ["unit", "whitening"], ["white"]),
        make("Unsqueeze", ["white", "axis_1"], ["white_3d"]),
        make("Sub", ["white_3d", "centres"], ["offsets"]),
        make("Mul", ["offsets", "offsets"], ["squares"]),
        make("ReduceSum", ["squares", "axis_2"], ["distances"], keepdims=0),
        make("ReduceMin", ["distances"], ["distance"], axes=[1], keepdims=0),
    ]
    return nodes, [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()]
