"""A network for small stamps: what lies around them is the same for all, and computed once.

A stamp of 64 px in a network's 128 px fills a quarter; the rest is masked. Up to the first pooling
its light reaches 18 of 32 places each way. The network made here convolves a crop of 80 px up to
there and puts what that gives into the places of an empty image's. All sums are the same, so
that answers differ by rounding only.

The graph is changed in its wire format (protocol buffers), for the library that reads ONNX files is
not needed to run them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STAMP_PX", "small_session"]

_log = logging.getLogger(__name__)

#: First row (and column) that a stamp's light may lie in, and that after the last.
STAMP_PX = (32, 96)
#: What is convolved: 8 px more each way, as far as two convolutions and their steps look.
_CROP_PX = (24, 104)
#: Places after the first pooling that are right in the crop, and where they lie in the whole.
_RIGHT, _PLACED, _N_PLACES = (1, 19), (7, 25), 32
#: Where the first pooling lies in graphs of our own (`streaks.models.onnx_graph`).
_INPUT, _POOLED = "input", "pool_1"
#: Answers may differ by so much.
_ROUNDING = 1e-4
# Numbers of fields in onnx.proto.
_GRAPH, _NODE, _CONSTANT, _OUTPUT, _NODE_INPUT, _NODE_OUTPUT, _NODE_KIND = 7, 1, 5, 12, 1, 2, 4
_FLOAT, _INT64 = 1, 7


def small_session(data: bytes, whole: Any, open_session: Callable[[bytes], Any]) -> Any:
    """A session that answers as the whole network does for stamps within `STAMP_PX`.

    Parameters
    ----------
    data
        An ONNX file of a network.
    whole
        Its session.
    open_session
        Opens one of changed bytes.

    Returns
    -------
    onnxruntime.InferenceSession or None
        None where the network is of another build: its answers are compared.
    """
    try:
        shape = whole.get_inputs()[0].shape[1:]
        blank = _stamps(np.zeros((1, 1, 0, 0), np.float32), shape)
        (empty,) = open_session(_with_output(data)).run([_POOLED], {_INPUT: blank})
        if empty.shape[2:] != (_N_PLACES, _N_PLACES):
            return None
        small = open_session(_cropped(data, empty))
        low, high = STAMP_PX
        noise = np.random.default_rng(0).normal(0.0, 3.0, (2, 1, high - low, high - low))
        shown = _stamps(noise.astype(np.float32), shape)
        pairs = zip(whole.run(None, {_INPUT: shown}), small.run(None, {_INPUT: shown}), strict=True)
        same = all(np.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING) for a, b in pairs)
    except Exception as error:  # the runtime's own errors have no common public base
        _log.debug("no network for small stamps: %s", error)
        return None
    return small if same else None


def _stamps(images: NDArray[np.float32], shape: list[int]) -> NDArray[np.float32]:
    """Images in the middle of the network's input, masked around."""
    shown = np.zeros((len(images), *shape), np.float32)
    shown[:, 1] = 1.0
    here = slice(STAMP_PX[0], STAMP_PX[0] + images.shape[-1])
    shown[:, 0, here, here], shown[:, 1, here, here] = images[:, 0], 0.0
    return shown


def _with_output(data: bytes) -> bytes:
    """The model with what comes out of the first pooling as one more output."""
    kind = _piece(2, _piece(1, _number(1, _FLOAT)))
    return _with_graph(data, lambda graph: graph + _piece(_OUTPUT, _text(1, _POOLED) + kind))


def _cropped(data: bytes, empty: NDArray[np.float32]) -> bytes:
    """The model that convolves a crop up to the first pooling."""
    around = empty.copy()
    around[:, :, slice(*_PLACED), slice(*_PLACED)] = 0.0
    (crop_low, crop_high), (low, high) = _CROP_PX, _RIGHT
    before, after = _PLACED[0], _N_PLACES - _PLACED[1]
    ints = {
        "stamp_axes": [2, 3],
        "stamp_low": [crop_low] * 2, "stamp_high": [crop_high] * 2,
        "right_low": [low] * 2, "right_high": [high] * 2,
        "stamp_pads": [0, 0, before, before, 0, 0, after, after],
    }  # fmt: skip
    constants = [_constant(name, np.array(v, np.int64), _INT64) for name, v in ints.items()]
    constants.append(_constant("stamp_around", around.astype(np.float32), _FLOAT))
    first = _node("Slice", [_INPUT, "stamp_low", "stamp_high", "stamp_axes"], "stamp_crop")
    then = [
        _node("Slice", [_POOLED, "right_low", "right_high", "stamp_axes"], "stamp_right"),
        _node("Pad", ["stamp_right", "stamp_pads"], "stamp_padded"),
        _node("Add", ["stamp_padded", "stamp_around"], "stamp_whole"),
    ]

    def change(graph: bytes) -> bytes:
        pieces = [first]
        for number, raw, value in _fields(graph):
            if number != _NODE:
                pieces.append(raw)
                continue
            renamed = _renamed(_renamed(value, _INPUT, "stamp_crop"), _POOLED, "stamp_whole")
            pieces.append(_piece(_NODE, renamed))
            if any(n == _NODE_OUTPUT and v == _POOLED.encode() for n, _, v in _fields(value)):
                pieces += then
        return b"".join([*pieces, *constants])

    return _with_graph(data, change)


def _with_graph(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return b"".join(
        _piece(_GRAPH, change(value)) if number == _GRAPH else raw
        for number, raw, value in _fields(data)
    )


def _renamed(node: bytes, old: str, new: str) -> bytes:
    """A node that takes another input."""
    return b"".join(
        _text(_NODE_INPUT, new) if number == _NODE_INPUT and value == old.encode() else raw
        for number, raw, value in _fields(node)
    )


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    names = b"".join(_text(_NODE_INPUT, name) for name in inputs)
    return _piece(_NODE, names + _text(_NODE_OUTPUT, output) + _text(_NODE_KIND, kind))


def _constant(name: str, values: NDArray[Any], kind: int) -> bytes:
    sides = b"".join(_number(1, side) for side in values.shape)
    content = sides + _number(2, kind) + _text(8, name) + _piece(9, values.tobytes())
    return _piece(_CONSTANT, content)


# Protocol buffers


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number of each field, the field as it is, and its content where that has a length."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _read_number(data, at)
        number, wire = tag >> 3, tag & 7
        value = b""
        if wire == 0:
            _, at = _read_number(data, at)
        elif wire == 2:
            length, at = _read_number(data, at)
            value, at = data[at : at + length], at + length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field of kind {wire}")
        yield number, data[start:at], value


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _piece(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _piece(field, text.encode())
