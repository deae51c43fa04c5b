"""An ONNX file, looked through before a runtime opens it.

ONNX is data without code, and still more than this package needs: weights may be kept in other
files, which the runtime would open by the path that the model gives; loops may never end; operators
of other makers may do anything. What our own converter writes is a short list of operators with the
weights inside, and nothing else is opened.

References
----------
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (numbers of fields);
https://protobuf.dev/programming-guides/encoding/ (how they are written).
"""

from __future__ import annotations

from collections.abc import Iterator

from streaks.errors import ModelError

__all__ = ["OPERATORS", "check_onnx"]

#: What `streaks.models.onnx_graph` writes.
OPERATORS = frozenset(
    (
        *("Add", "Concat", "Conv", "Div", "Flatten", "Gemm", "GlobalAveragePool", "GlobalMaxPool"),
        *("Log", "MatMul", "Max", "MaxPool", "Mul", "ReduceL2", "ReduceMin", "ReduceSum", "Relu"),
        *("Softmax", "Sub", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "Unsqueeze"),
    )
)
_DOMAINS = (b"", b"ai.onnx", b"ai.onnx.ml")
#: Ours have fifty nodes.
_MAX_NODES = 2000
#: Of a window or its margins, px: cutouts have 128.
_MAX_WINDOW = 128
#: Joined outputs may be joined again, and double each time.
_MAX_JOINS = 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Bytes = memoryview | bytes


def check_onnx(data: bytes, name: str) -> None:
    """Refuse a model that is more than weights and the operators that we write.

    Parameters
    ----------
    data
        The file.
    name
        What an error calls it.

    Raises
    ------
    ModelError
        Names what it holds, or that it is none.
    """
    try:
        n_nodes = _check_model(memoryview(data))
    except _NotWhole:
        raise ModelError(
            f"{name} is not a model that ONNX Runtime can run: it is cut short or no ONNX file; "
            "get it again"
        ) from None
    except ModelError as error:
        raise ModelError(
            f"{name} is not a model of `streaks train`: {error}; it is not opened"
        ) from None
    if n_nodes == 0:
        raise ModelError(f"{name} is not a model that ONNX Runtime can run: it has no nodes")


class _NotWhole(Exception):
    """The bytes are no such message."""


def _fields(message: Bytes) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of a message's fields."""
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(view, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(view, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise _NotWhole
        if length > len(view) - at:
            raise _NotWhole
        yield number, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise _NotWhole
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _NotWhole


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _NotWhole
    return value


def _check_model(model: memoryview) -> int:
    """The number of its nodes."""
    n_nodes = 0
    for number, value in _fields(model):
        if number == 7:
            n_nodes += _check_graph(_message(value))
        elif number in (20, 25):
            raise ModelError("it holds functions of its own, or a training")
    return n_nodes


def _check_graph(graph: memoryview) -> int:
    n_nodes = n_joins = 0
    for number, value in _fields(graph):
        if number == 1:
            n_nodes += 1
            n_joins += _check_node(_message(value)) == "Concat"
            if n_nodes > _MAX_NODES or n_joins > _MAX_JOINS:
                raise ModelError(f"it has more than {_MAX_NODES} nodes or {_MAX_JOINS} joins")
        elif number == 5:
            _check_tensor(_message(value))
        elif number == 15:
            raise ModelError("it holds sparse weights")
    return n_nodes


def _check_node(node: memoryview) -> str:
    """The name of its operator."""
    operator, attributes = "", []
    for number, value in _fields(node):
        if number == 4:
            operator = bytes(_message(value)).decode("utf-8", "replace")
            if operator not in OPERATORS:
                raise ModelError(f"it asks for the operator {operator[:40]!r}")
        elif number == 7 and bytes(_message(value)) not in _DOMAINS:
            raise ModelError(f"it asks for operators of {bytes(_message(value))[:40]!r}")
        elif number == 5:
            attributes.append(_message(value))
    windowed = operator in ("Conv", "MaxPool")
    for attribute in attributes:
        _check_attribute(attribute, windowed=windowed)
    return operator


def _check_attribute(attribute: memoryview, *, windowed: bool) -> None:
    for number, value in _fields(attribute):
        if number in (6, 11):
            raise ModelError("it holds a graph within a graph")
        if number in (22, 23):
            raise ModelError("it holds sparse weights")
        if number in (5, 10):
            _check_tensor(_message(value))
        if number == 8 and windowed:
            for size in [value] if isinstance(value, int) else _packed(value):
                if size > _MAX_WINDOW:
                    raise ModelError(f"it has a window of {size} px")


def _packed(values: memoryview) -> Iterator[int]:
    at = 0
    while at < len(values):
        value, at = _varint(values, at)
        yield value


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == 13 or (number == 14 and value != 0):
            raise ModelError("it keeps weights in other files")
