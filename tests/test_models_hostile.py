"""A model folder is data: it runs nothing, and opens nothing but its own files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.models import load_classifier
from streaks.models.onnx_check import OPERATORS, check_onnx
from streaks.models.store import weights_folder

onnx = pytest.importorskip("onnx", reason="writing hostile models needs the `train` extra")

SHIPPED = ("forest", "cnn", "default")


def copied(name: str, folder: Path) -> Path:
    for one in SHIPPED if name == "default" else (name,):
        shutil.copytree(weights_folder(one), folder / one)
    return folder / name


def change_card(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def change_model(folder: Path, change: Callable[[Any], None]) -> None:
    """Another model, and a card that knows it."""
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    change(model)
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    change_card(folder, lambda card: card.update(sha256=hashlib.sha256(data).hexdigest()))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_we_ship_is_opened(name: str) -> None:
    data = (weights_folder(name) / "model.onnx").read_bytes()
    check_onnx(data, name)
    model = onnx.load_model_from_string(data)
    assert {node.op_type for node in model.graph.node} <= OPERATORS


def _external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "../../../../etc/passwd", "offset": "0"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _external_in_an_attribute(model: Any) -> None:
    attribute = model.graph.node[0].attribute.add()
    attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
    entry = attribute.t.external_data.add()
    entry.key, entry.value = "location", "secret"


def _other_makers(model: Any) -> None:
    model.graph.node[0].domain = "com.microsoft"


def _endless_loop(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", [], ["x"], body=body))


def _graph_in_an_attribute(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", body))


def _huge_constant(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["input"], ["x"]))


def _functions(model: Any) -> None:
    model.functions.append(
        onnx.helper.make_function("", "f", [], [], [], [onnx.helper.make_opsetid("", 17)])
    )


def _doubling(model: Any) -> None:
    name = "input"
    for k in range(30):
        node = onnx.helper.make_node("Concat", [name, name], [f"twice{k}"], axis=1)
        model.graph.node.append(node)
        name = f"twice{k}"


def _wide_window(model: Any) -> None:
    node = onnx.helper.make_node("MaxPool", ["input"], ["x"], kernel_shape=[3, 3], pads=[9999] * 4)
    model.graph.node.append(node)


@pytest.mark.parametrize(("change", "reason"), [
    (_external, "keeps weights in other files"),
    (_external_in_an_attribute, "keeps weights in other files"),
    (_other_makers, "operators of b'com.microsoft'"),
    (_endless_loop, "asks for the operator 'Loop'"),
    (_graph_in_an_attribute, "a graph within a graph"),
    (_huge_constant, "asks for the operator 'ConstantOfShape'"),
    (_functions, "functions of its own"),
    (_doubling, "8 joins"),
    (_wide_window, "a window of 9999 px"),
])  # fmt: skip
def test_a_model_that_is_more_than_weights_is_not_opened(
    tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    folder = copied("cnn", tmp_path)
    change_model(folder, change)
    with pytest.raises(ModelError, match=rf"not a model of `streaks train`: .*{reason}"):
        load_classifier(folder)


@pytest.mark.parametrize("data", [b"", b"\x00", b"ONNX", b"\x3a\xff\xff\xff\xff\x0f", b"\x0b" * 9])
def test_what_is_no_model_is_named(data: bytes) -> None:
    with pytest.raises(ModelError, match="x is not a model that ONNX Runtime can run"):
        check_onnx(data, "x")


@pytest.mark.parametrize("name", ["../forest", "/etc", "..", ".", "", "a/b", 5, None, "a\0b"])
@pytest.mark.parametrize("kind", ["stack", "ensemble"])
def test_members_lie_beside_the_ensemble(tmp_path: Path, name: Any, kind: str) -> None:
    folder = copied("default", tmp_path)

    def change(card: dict[str, Any]) -> None:
        card["kind"] = kind
        card["members"] = [{"name": name, "weight": 1.0, "sha256": "0"}]
        card["sharpness"] = 1.0

    change_card(folder, change)
    with pytest.raises(
        ModelError, match=r"expected a folder of the same parent|input differ|lists"
    ):
        load_classifier(folder)


@pytest.mark.parametrize("novelty", [5, [], {"levels": [1]}, {"levels": [0, 1], "distances": [3]},
                                     {"levels": [0, 1], "distances": ["a", "b"]},
                                     {"levels": [0, 1], "distances": [2, 1]}])  # fmt: skip
def test_a_cards_novelty_is_checked(tmp_path: Path, novelty: Any) -> None:
    folder = copied("cnn", tmp_path)
    change_card(folder, lambda card: card.update(novelty=novelty))
    with pytest.raises(ModelError, match="novelty needs rising levels"):
        load_classifier(folder)


@pytest.mark.parametrize("text", ["[" * 5000, "null", "[]", '{"format": 1, "kind": "forest"}'])
def test_a_card_of_another_kind_is_named(tmp_path: Path, text: str) -> None:
    folder = copied("forest", tmp_path)
    (folder / "card.json").write_text(text)
    with pytest.raises(ModelError, match=r"card\.json|forest"):
        load_classifier(folder)


def test_a_model_that_answers_what_is_no_probability_is_named(tmp_path: Path) -> None:
    folder = copied("forest", tmp_path)

    def change(model: Any) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "bias":
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), "bias"))

    change_model(folder, change)
    stack = Cutouts(np.ones((1, 63, 63), np.float32), np.zeros((1, 63, 63), bool), ("a",))
    with pytest.raises(ModelError, match="answers what is no probability"):
        load_classifier(folder).predict_proba(stack)


@pytest.mark.parametrize("where", ["novelty", "rule"])
def test_a_card_with_an_integer_beyond_any_float_is_refused(tmp_path: Path, where: str) -> None:
    """Python reads integers of any length from JSON, and floats end at 309 digits."""
    shutil.copytree(weights_folder("cnn"), tmp_path / "cnn")
    path = tmp_path / "cnn" / "card.json"
    card = json.loads(path.read_text())
    if where == "novelty":
        card["novelty"]["distances"][-1] = 10**400
    else:
        card["rule"]["thresholds"]["asteroid"] = 10**400
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match="digits"):
        load_classifier(tmp_path / "cnn")
