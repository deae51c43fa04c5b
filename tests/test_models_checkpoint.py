"""A training that was killed goes on where it was."""

from __future__ import annotations

import numpy as np
import pytest

from streaks.errors import ModelError
from streaks.models import train_cnn
from streaks.models.checkpoint import Checkpoint
from streaks.models.inputs import image_input
from tests.toy_cutouts import labelled_set


def test_a_checkpoint_gives_back_what_was_kept_last(tmp_path):
    kept = Checkpoint(tmp_path / "new" / "c.npz", "plan")
    assert kept.read() is None
    kept.write(1, [np.zeros(2)])
    arrays = [np.arange(6.0).reshape(2, 3), np.array(7)]
    kept.write(2, arrays)
    done, found = kept.read()
    assert done == 2
    for one, other in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [p.name for p in kept.path.parent.iterdir()] == ["c.npz"]


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    Checkpoint(tmp_path / "c.npz", "seed 1").write(1, [np.zeros(2)])
    with pytest.raises(ModelError, match=r"checkpoint of another training \(seed 1; this one is"):
        Checkpoint(tmp_path / "c.npz", "seed 2").read()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"c\.npz is no checkpoint of a training"):
        Checkpoint(tmp_path / "c.npz", "plan").read()


@pytest.mark.slow
@pytest.mark.train
def test_a_killed_training_ends_as_one_that_was_not(tmp_path):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    cutouts, labels = labelled_set(20, seed=1)
    options = {"seed": 1, "epochs": 2, "batch": 16}

    def killed(epoch, loss):
        if epoch == 1:
            raise KeyboardInterrupt

    path = tmp_path / "c.npz"
    with pytest.raises(KeyboardInterrupt):
        train_cnn(cutouts, labels, **options, checkpoint=path, progress=killed)
    seen = []
    later = train_cnn(
        cutouts, labels, **options, checkpoint=path, progress=lambda epoch, _: seen.append(epoch)
    )
    at_once = train_cnn(cutouts, labels, **options)
    assert seen == [2]
    x = image_input(cutouts)
    # Sums in another order of threads: single precision, not the same bits.
    np.testing.assert_allclose(_answers(later.onnx, x), _answers(at_once.onnx, x), atol=0.02)


@pytest.mark.slow
@pytest.mark.train
def test_a_network_taken_up_again_answers_as_before(tmp_path):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    cutouts, labels = labelled_set(40, seed=1)
    first = train_cnn(cutouts, labels, seed=1, epochs=3, batch=16)
    again = train_cnn(
        cutouts, labels, seed=1, epochs=1, batch=16, learning_rate=1e-6, start=first.onnx
    )
    before, after = (_answers(m.onnx, image_input(cutouts)) for m in (first, again))
    # Its normalisation was folded into its kernels and is taken out again.
    assert np.mean(before.argmax(axis=1) == after.argmax(axis=1)) > 0.9


def _answers(data, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"input": x})[0]
