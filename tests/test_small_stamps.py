"""The network's short way for small stamps: the same answers, and only where it may be gone."""

from __future__ import annotations

import numpy as np
import pytest

from streaks.cutouts import Cutouts
from streaks.models import load_classifier
from streaks.models.inputs import ModelInputs
from streaks.models.onnx_classifier import OnnxClassifier
from streaks.models.small_stamps import STAMP_PX, small_session


@pytest.fixture(scope="module")
def network() -> OnnxClassifier:
    found = load_classifier("cnn")
    assert isinstance(found, OnnxClassifier)
    return found


def stamps(side: int, n: int = 5) -> Cutouts:
    """Noise, with a trail in each, and some pixels masked."""
    rng = np.random.default_rng(side)
    data = rng.normal(0.0, 10.0, (n, side, side)).astype(np.float32)
    data[:, side // 2, side // 4 : -side // 4] += 80.0
    mask = rng.random(data.shape) < 0.02
    return Cutouts(data, mask, tuple(map(str, range(n))))


@pytest.mark.parametrize("side", [21, 63, 64])
def test_a_small_stamp_is_answered_the_same_by_the_short_way(
    network: OnnxClassifier, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert network._small is not None
    assert ModelInputs(stamps(side)).are_within(*STAMP_PX)
    short = network.predict_with_novelty(stamps(side))
    monkeypatch.setattr(network, "_small", None)
    whole = network.predict_with_novelty(stamps(side))
    for one, other in zip(short, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("side", [66, 128])
def test_a_larger_stamp_goes_the_whole_way(
    network: OnnxClassifier, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise AssertionError("the short way is for small stamps only")

    monkeypatch.setattr(network, "_small", Broken())
    p, _ = network.predict_with_novelty(stamps(side))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    with pytest.raises(Exception, match="small stamps only"):
        network.predict_with_novelty(stamps(63))


def test_stamps_without_a_pixel_are_small_ones(network: OnnxClassifier) -> None:
    empty = Cutouts(np.zeros((2, 63, 63), np.float32), np.ones((2, 63, 63), bool), ("a", "b"))
    assert ModelInputs(empty).are_within(*STAMP_PX)
    assert np.isfinite(network.predict_proba(empty)).all()


def test_a_network_of_another_build_has_no_short_way(network: OnnxClassifier) -> None:
    assert small_session(b"no model", network._session, lambda data: None) is None
    # Weights of another network: the answers differ.
    other = load_classifier("cnn")
    assert isinstance(other, OnnxClassifier)
    changed = bytearray(other._data)
    at = len(changed) // 2
    changed[at : at + 400] = np.full(100, 0.5, np.float32).tobytes()
    from streaks.models.onnx_classifier import _opened

    assert small_session(bytes(changed), network._session, lambda d: _opened(d, 1)) is None
