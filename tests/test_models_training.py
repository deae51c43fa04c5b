"""Training, calibration and export, on toy cutouts."""

from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest

from streaks.classification import OUTPUTS
from streaks.cli.learning import network_library
from streaks.errors import ConfigError, InputError, MissingExtraError, ModelError
from streaks.models import (
    load_classifier,
    recalibrate_network,
    save_model,
    train_cnn,
    train_ensemble,
    train_forest,
)
from streaks.models.ahead import mapped_ahead
from streaks.models.augmentation import augment, turn
from streaks.models.calibration import Calibration, fit_calibration, softmax
from streaks.models.inputs import feature_input, image_input
from streaks.models.network import _batches, _keras, read_network
from streaks.models.onnx_graph import forest_to_onnx, read_constants
from streaks.models.pooling import fit_powers
from streaks.models.store import read_card, read_weights, weights_folder
from tests.toy_cutouts import labelled_set, stack


def _run(data, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"input": x})[0]


@pytest.fixture(scope="module")
def toy():
    return labelled_set(30, seed=1)


def test_a_temperature_and_shifts_are_recovered():
    rng = np.random.default_rng(1)
    true_scores = rng.normal(size=(20000, 4)) * 2
    truth = np.array([rng.choice(4, p=p) for p in softmax(true_scores)])
    shifts = np.array([0.5, -0.5, 0.0, 0.0])
    found = fit_calibration(3.0 * (true_scores - shifts), truth)
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    np.testing.assert_allclose(np.array(found.bias) - np.mean(found.bias), shifts, atol=0.1)


def test_powers_of_independent_members_are_recovered():
    rng = np.random.default_rng(2)
    log_p = np.log(softmax(rng.normal(size=(2 * 20000, 4)) * 2)).reshape(2, 20000, 4)
    combined = softmax(1.5 * log_p[0] + 0.4 * log_p[1])
    truth = np.array([rng.choice(4, p=p) for p in combined])
    np.testing.assert_allclose(fit_powers(log_p, truth), [1.5, 0.4], rtol=0.08)


@pytest.mark.train
def test_an_ensemble_is_saved_with_its_weights_and_opened_again(toy, tmp_path):
    cutouts, labels = toy
    for name, seed in (("one", 1), ("two", 2)):
        trained = train_forest(cutouts, labels, seed=seed, n_trees=8)
        save_model(trained, tmp_path / name, name=name, recipe="", created="", limits=[])
    members = [load_classifier(tmp_path / name) for name in ("one", "two")]
    trained = train_ensemble(members, *labelled_set(20, seed=3), seed=4)
    save_model(trained, tmp_path / "both", name="both", recipe="", created="", limits=[])
    assert [p.name for p in (tmp_path / "both").iterdir()] == ["card.json"]
    both = load_classifier(tmp_path / "both")
    assert both.weights == tuple(m["weight"] for m in trained.pool["members"])
    assert sum(both.weights) == pytest.approx(1.0, abs=1e-3)
    assert trained.figures["accuracy"] > 0.9


def test_calibrated_probabilities_sum_to_one():
    p = Calibration(2.0, (0.0, 1.0, -1.0)).apply(np.array([[1e3, 0.0, -1e3], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert p[1].argmax() == 1


@pytest.mark.train
def test_the_onnx_forest_answers_as_scikit_learns_does(toy):
    from sklearn.ensemble import RandomForestClassifier

    cutouts, labels = toy
    x = feature_input(cutouts)
    truth = np.array([OUTPUTS.index(label) for label in labels])
    forest = RandomForestClassifier(20, random_state=1).fit(x, truth)
    calibration = Calibration(1.7, tuple(np.linspace(-0.3, 0.3, len(OUTPUTS))))
    data = forest_to_onnx(forest, len(OUTPUTS), floor=1e-3, calibration=calibration)
    votes = np.zeros((len(x), len(OUTPUTS)))
    votes[:, forest.classes_] = forest.predict_proba(x)
    expected = calibration.apply(np.log(votes + 1e-3))
    np.testing.assert_allclose(_run(data, x), expected, atol=1e-5)  # float32


@pytest.mark.train
def test_a_forest_is_the_same_for_one_seed_and_any_number_of_workers(toy):
    first = train_forest(*toy, seed=3, n_trees=8, workers=1)
    second = train_forest(*toy, seed=3, n_trees=8, workers=2)
    other = train_forest(*toy, seed=4, n_trees=8)
    assert first.onnx == second.onnx
    assert first.onnx != other.onnx


@pytest.mark.train
def test_a_forests_figures_are_those_of_cutouts_its_trees_did_not_see(toy):
    cutouts, labels = toy
    shuffled = np.random.default_rng(1).permutation(labels).tolist()
    trained = train_forest(cutouts, shuffled, seed=1, n_trees=30)
    # Labels without meaning cannot be guessed better than one in four.
    assert trained.figures["accuracy"] < 0.45
    assert train_forest(cutouts, labels, seed=1, n_trees=30).figures["accuracy"] > 0.9


@pytest.mark.train
def test_training_records_what_it_was_given(toy):
    trained = train_forest(*toy, seed=3, n_trees=8)
    assert trained.training["classes"] == {
        "asteroid": 30,
        "satellite": 30,
        "yin_yang": 30,
        "skip": 30,
    }
    assert trained.training["seed"] == 3


def test_an_unknown_label_is_refused(toy):
    cutouts, labels = toy
    with pytest.raises(InputError, match="labels comet are unknown"):
        train_forest(cutouts, ["comet", *labels[1:]], seed=1)


def test_one_class_alone_cannot_be_learnt(toy):
    cutouts, labels = toy
    with pytest.raises(InputError, match="at least two classes with 8 examples each"):
        train_forest(cutouts, ["ghost"] * len(labels), seed=1)


@pytest.mark.parametrize("k", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_stack_holds_the_same_pixels(k, mirrored):
    images = np.random.default_rng(1).normal(size=(2, 5, 5))
    turned = turn(images, k, mirrored)
    np.testing.assert_array_equal(np.sort(turned[1].ravel()), np.sort(images[1].ravel()))
    # The centre stays where it is.
    np.testing.assert_array_equal(turned[:, 2, 2], images[:, 2, 2])


def test_augmented_images_keep_their_noise_and_their_originals():
    rng = np.random.default_rng(1)
    scaled = rng.normal(size=(40, 64, 64)).astype(np.float32)
    mask = np.zeros(scaled.shape, bool)
    mask[:, :9] = True
    before = scaled.copy(), mask.copy()
    images, masks = augment(scaled, mask, np.random.default_rng(2))
    np.testing.assert_array_equal(scaled, before[0])
    np.testing.assert_array_equal(mask, before[1])
    assert images.std() == pytest.approx(1.0, abs=0.1)
    assert 0 < masks.any(axis=(1, 2)).mean() < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"held_out": 0.9}, "held_out is 0.9"), ({"epochs": 0}, "epochs is 0 and batch 64")],
)
def test_impossible_settings_of_training_are_refused(toy, options, message):
    with pytest.raises(ConfigError, match=message):
        train_cnn(*toy, seed=1, **options)


def test_without_tensorflow_the_extra_is_named(toy, monkeypatch):
    real_import = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "tensorflow":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"needs tensorflow.*extra 'train'"):
        train_cnn(*toy, seed=1)


@pytest.mark.train
def test_a_network_is_trained_exported_and_answers_as_probabilities(toy):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    cutouts, labels = toy
    epochs = []
    trained = train_cnn(
        *toy, seed=1, epochs=2, batch=16, progress=lambda epoch, loss: epochs.append((epoch, loss))
    )
    assert [epoch for epoch, _ in epochs] == [1, 2]
    assert epochs[1][1] < epochs[0][1]
    assert 200_000 < trained.training["n_weights"] < 230_000
    p = _run(trained.onnx, image_input(cutouts))
    assert p.shape == (len(labels), len(OUTPUTS))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.train
def test_training_goes_on_from_a_network_with_a_users_own(toy):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    first = train_cnn(*toy, seed=1, epochs=3, batch=16)
    repeat = np.where(np.arange(len(toy[1])) % 4 == 0, 3, 1)
    second = train_cnn(
        *toy, seed=2, epochs=1, batch=16, learning_rate=1e-6, start=first.onnx, repeat=repeat
    )
    before, after = (_run(model.onnx, image_input(toy[0])) for model in (first, second))
    # So small a rate changes next to nothing but the calibration: the same order of classes.
    assert np.mean(before.argmax(axis=1) == after.argmax(axis=1)) > 0.9
    assert second.figures["n"] < first.figures["n"]  # of the user's own only


@pytest.mark.train
def test_a_network_of_other_layers_is_no_start(toy):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    forest = train_forest(*toy, seed=1, n_trees=5)
    with pytest.raises(ModelError, match=r"layer 0 of the network to start from is not one of 12"):
        train_cnn(*toy, seed=1, epochs=1, start=forest.onnx)


def test_image_input_of_turned_cutouts_is_the_turned_input():
    images = np.random.default_rng(1).normal(size=(1, 128, 128))
    turned = np.rot90(images, 1, (1, 2))
    np.testing.assert_array_equal(
        image_input(stack(turned)), np.rot90(image_input(stack(images)), 1, (2, 3))
    )


@pytest.mark.train
def test_a_network_is_calibrated_anew_without_training(toy, tmp_path):
    folder = weights_folder("cnn")
    card = read_card(folder)
    data = read_weights(folder, card)
    fitted = recalibrate_network(data, card, *toy, seed=1)
    x = image_input(toy[0])
    before, after = _run(data, x), _run(fitted.onnx, x)
    truth = np.array([OUTPUTS.index(label) for label in toy[1]])
    rows = np.arange(len(truth))
    # Likelier truths by construction: it is what is fitted.
    assert np.log(after[rows, truth]).mean() >= np.log(before[rows, truth]).mean()
    save_model(fitted, tmp_path / "mine", name="mine", recipe="", created="", limits=[])
    p, novelty = load_classifier(tmp_path / "mine").predict_with_novelty(toy[0])
    np.testing.assert_allclose(p, after, atol=1e-5)
    assert ((novelty >= 0) & (novelty <= 1)).all()


def test_only_a_network_can_be_calibrated_anew(toy):
    card = read_card(weights_folder("forest"))
    with pytest.raises(ModelError, match=r"forest is a model of kind forest; only a network"):
        recalibrate_network(b"", card, *toy, seed=1)


def test_a_member_of_no_use_is_refused_by_name(toy):
    class Guess:
        name = "guess"

        def predict_proba(self, cutouts):
            return np.random.default_rng(1).dirichlet(np.ones(len(OUTPUTS)), len(cutouts))

    class Wrong(Guess):
        name = "wrong"

        def predict_proba(self, cutouts):
            truth = [OUTPUTS.index(label) for label in toy[1]]
            return np.where(np.eye(len(OUTPUTS))[truth] > 0, 1e-4, 1.0)

    with pytest.raises(ModelError, match="of guess, wrong those without use got no weight"):
        train_ensemble([Guess(), Wrong()], *toy, seed=1)


def test_padding_of_a_networks_file_holds_only_zeros_and_is_taken_off_when_read():
    pytest.importorskip("onnx", reason="the extra `train` is not installed")
    data = (weights_folder("cnn") / "model.onnx").read_bytes()
    stored = [read_constants(data)[f"kernel_{k}"] for k in range(8)]
    kernels = [convolution[0] for convolution in read_network(data)[0]]
    assert [len(kernel) for kernel in kernels] == [12, 20, 32, 40, 64, 64, 96, 96]
    for kernel, padded in zip(kernels, stored, strict=True):
        assert len(padded) % 16 == 0
        assert np.count_nonzero(padded) == np.count_nonzero(kernel)


def test_what_threads_make_ahead_comes_in_order_and_not_too_early():
    taken = []

    def items():
        for k in range(40):
            taken.append(k)
            yield k

    made = mapped_ahead(lambda k: k * k, items(), 3)
    assert next(made) == 0
    assert len(taken) <= 8
    assert list(made) == [k * k for k in range(1, 40)]
    assert list(mapped_ahead(str, [1, 2], 1)) == ["1", "2"]


def test_what_fails_in_a_thread_fails_where_it_is_asked_for():
    def fail(k):
        raise ValueError(f"item {k}")

    with pytest.raises(ValueError, match="item 0"):
        list(mapped_ahead(fail, range(5), 2))


def test_batches_are_the_same_for_any_number_of_threads():
    rng = np.random.default_rng(3)
    scaled = rng.normal(size=(50, 16, 16)).astype(np.float16)
    mask, truth = rng.random(scaled.shape) < 0.1, np.arange(50)
    drawn = [
        list(_batches(scaled, mask, truth, np.arange(50), 8, np.random.SeedSequence(7), workers))
        for workers in (1, 4)
    ]
    assert len(drawn[0]) == 6
    for (x, y), (x2, y2) in zip(*drawn, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_keras_alone_trains_where_another_backend_is_asked_for(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert network_library() == "keras"
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtraError, match="keras"):
        _keras(1, 1)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert network_library() == "tensorflow"
