"""Weights on disk and classifiers made of them."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest

from streaks.classification import OUTPUTS, Classifier, classify_cutouts
from streaks.errors import ModelError
from streaks.models import load_classifier, save_model, shipped_names, train_forest
from streaks.models.inputs import image_input
from streaks.models.store import read_card
from tests.toy_cutouts import labelled_set, noise, stack, trail

# Toy models are written, which needs ONNX.
pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def trained():
    cutouts, labels = labelled_set(40, seed=1)
    return train_forest(cutouts, labels, seed=5, n_trees=30)


@pytest.fixture
def folder(trained, tmp_path):
    save_model(
        trained, tmp_path / "mine", name="mine", recipe="toy", created="2026-01-01", limits=[]
    )
    return tmp_path / "mine"


def _change_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))


def test_a_saved_model_names_what_it_was_trained_on(folder):
    cutouts, labels = labelled_set(15, seed=2)
    table = classify_cutouts(load_classifier(folder), cutouts)
    assert np.mean(table["label"] == np.array(labels)) > 0.9


def test_rows_are_probabilities_in_the_order_of_the_outputs(folder):
    rng = np.random.default_rng(3)
    asteroid = noise(rng) + trail(length=25, theta_deg=60, peak=9.0)
    p = load_classifier(folder).predict_proba(stack([asteroid, noise(rng)]))
    assert p.shape == (2, len(OUTPUTS))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert p.argmax(axis=1).tolist() == [OUTPUTS.index("asteroid"), OUTPUTS.index("skip")]


def test_no_cutouts_give_no_rows(folder):
    empty = stack(np.zeros((0, 128, 128)))
    assert load_classifier(folder).predict_proba(empty).shape == (0, len(OUTPUTS))


def test_a_classifier_goes_to_another_process_and_says_the_same(folder):
    classifier = load_classifier(folder)
    cutouts, _ = labelled_set(2, seed=4)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(cutouts), classifier.predict_proba(cutouts))


def test_an_altered_file_is_refused(folder):
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"SHA-256 .* its card says .* altered or cut short"):
        load_classifier(folder)


def test_a_file_cut_short_is_refused(folder):
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="altered or cut short"):
        load_classifier(folder)


def test_a_missing_file_is_named(folder):
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx cannot be read"):
        load_classifier(folder)


def test_a_file_that_is_no_model_is_refused_though_its_checksum_fits(folder):
    import hashlib

    pickled = pickle.dumps({"not": "onnx"})
    (folder / "model.onnx").write_bytes(pickled)
    _change_card(folder, sha256=hashlib.sha256(pickled).hexdigest())
    with pytest.raises(ModelError, match="not a model that ONNX Runtime can run"):
        load_classifier(folder)


def test_an_unreadable_card_is_named(folder):
    (folder / "card.json").write_text("{")
    with pytest.raises(ModelError, match="not a readable model card"):
        load_classifier(folder)


@pytest.mark.parametrize("changes", [{"format": 99}, {"kind": "oracle"}])
def test_a_card_of_another_format_or_kind_is_refused(folder, changes):
    _change_card(folder, **changes)
    with pytest.raises(ModelError, match="is not a card of format"):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("what", "value"), [("outputs", ["asteroid", "other"]), ("input", {"features": ["length"]})]
)
def test_a_model_of_other_features_or_outputs_is_refused(folder, what, value):
    _change_card(folder, **{what: value})
    with pytest.raises(ModelError, match=f"the model's {what} differ"):
        load_classifier(folder)


def test_a_models_rule_is_kept_on_its_card(trained, folder):
    classifier = load_classifier(folder)
    assert classifier.rule.coverage == trained.rule.coverage
    np.testing.assert_allclose(classifier.rule.thresholds, trained.rule.thresholds, atol=1e-6)


@pytest.mark.parametrize(
    "rule", [{"coverage": 0.9, "thresholds": {}}, {"coverage": 2.0, "thresholds": {}}, "none"]
)
def test_a_broken_rule_is_refused(folder, rule):
    _change_card(folder, rule=rule)
    with pytest.raises(ModelError, match=r"rule needs a coverage and a threshold for each of"):
        load_classifier(folder)


def test_a_card_without_a_rule_still_names_classes(folder):
    card = json.loads((folder / "card.json").read_text())
    del card["rule"]
    (folder / "card.json").write_text(json.dumps(card))
    cutouts, labels = labelled_set(4, seed=2)
    assert load_classifier(folder).rule is None
    assert classify_cutouts(load_classifier(folder), cutouts)["label"].tolist() == labels


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(ModelError, match="no model 'oracle': expected one of cnn, default, forest"):
        load_classifier("oracle")


def test_a_folder_with_other_files_is_not_replaced(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="holds other files"):
        save_model(trained, tmp_path, name="x", recipe="", created="", limits=[])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_model_is_replaced_whole_and_leaves_nothing_beside_it(trained, folder):
    save_model(trained, folder, name="newer", recipe="", created="", limits=[])
    assert read_card(folder)["name"] == "newer"
    assert [p.name for p in folder.parent.iterdir()] == ["mine"]


def test_an_ensemble_is_a_card_that_names_its_members(folder):
    shutil.copytree(folder, folder.parent / "other")
    both = folder.parent / "both"
    both.mkdir()
    members = [{"name": "mine", "weight": 1.0}, {"name": "other", "weight": 2.0}]
    card = {"format": 1, "kind": "ensemble", "name": "both", "members": members, "sharpness": 1.0}
    (both / "card.json").write_text(json.dumps(card))
    cutouts, _ = labelled_set(2, seed=5)
    one, pair = load_classifier(folder), load_classifier(both)
    assert pair.name == "both"
    np.testing.assert_allclose(pair.predict_proba(cutouts), one.predict_proba(cutouts), atol=1e-6)


def test_an_ensemble_without_members_is_refused(folder):
    _change_card(folder, kind="ensemble")
    with pytest.raises(
        ModelError, match="lists members, each with name and weight, and a sharpness"
    ):
        load_classifier(folder)


def test_the_networks_image_is_asinh_of_sigmas_and_the_mask():
    image = noise(np.random.default_rng(6), 64)
    image[10, 20] += 1000.0
    x = image_input(stack([image]))
    assert x.shape == (1, 2, 128, 128)
    # asinh(1000 sigma) = 7.6; MAD of 4096 values gives sigma to 2 %.
    assert x[0, 0].max() == pytest.approx(np.arcsinh(1000.0), abs=0.1)
    assert x[0, 1].mean() == pytest.approx(0.75)


# The weights that come with the package.


def test_shipped_models_fit_this_version_and_their_checksums():
    assert shipped_names() == ("cnn", "default", "forest")
    for name in shipped_names():
        assert isinstance(load_classifier(name), Classifier)


def test_shipped_files_stay_under_ten_megabytes():
    from streaks.models.store import weights_folder

    root = weights_folder("default").parent
    assert sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) < 10e6


@pytest.mark.parametrize("name", ["cnn", "forest"])
def test_shipped_cards_tell_where_the_model_comes_from(name):
    from streaks.models.store import weights_folder

    card = read_card(weights_folder(name))
    assert card["recipe"].startswith("streaks train")
    assert card["training"]["n"] >= 10000
    assert card["limits"]
    assert 0 < card["figures"]["accuracy"] <= 1


@pytest.mark.parametrize("name", ["cnn", "default", "forest"])
@pytest.mark.parametrize("theta_deg", [15, 80, 150])
def test_shipped_models_know_a_plain_asteroid_from_a_crossing_satellite(name, theta_deg):
    rng = np.random.default_rng(7)
    asteroid = noise(rng) + trail(length=25, theta_deg=theta_deg, peak=10.0)
    satellite = noise(rng) + trail(length=400, theta_deg=theta_deg, peak=10.0)
    table = classify_cutouts(load_classifier(name), stack([asteroid, satellite]))
    assert table["label"].tolist() == ["asteroid", "satellite"]
    assert (table["rb"] > 0.5).all()


@pytest.mark.parametrize("name", ["cnn", "default", "forest"])
def test_shipped_models_say_skip_to_blank_noise(name):
    blank = noise(np.random.default_rng(8))
    assert classify_cutouts(load_classifier(name), stack([blank]))["label"][0] == "skip"


@pytest.mark.parametrize("name", ["cnn", "default", "forest"])
@pytest.mark.parametrize("size", [31, 63, 157, 300])
def test_shipped_models_take_any_size_and_survive_empty_cutouts(name, size):
    images = np.zeros((3, size, size))
    images[1] = np.nan
    images[2, :, 5] = 1e9
    p = load_classifier(name).predict_proba(stack(images, np.isnan(images)))
    assert np.isfinite(p).all()


def test_shipped_networks_answer_hardly_changes_when_a_cutout_is_turned():
    rng = np.random.default_rng(9)
    image = noise(rng) + trail(length=30, theta_deg=33, peak=8.0)
    turned = [np.rot90(image, k) for k in range(4)]
    p = load_classifier("cnn").predict_proba(stack(turned))
    assert np.ptp(p[:, 0]) < 0.1


def test_the_shipped_network_finds_what_is_of_no_class_novel():
    rng = np.random.default_rng(10)
    y, x = np.mgrid[:128, :128]
    fringes = [noise(rng) + 12 * np.sin(x / 5 + 0.1 * y + k) * np.sin(y / 9) for k in range(6)]
    asteroids = [noise(rng) + trail(length=25, theta_deg=30 * k + 5, peak=10.0) for k in range(6)]
    strange = load_classifier("cnn").predict_with_novelty(stack(fringes))[1]
    plain = load_classifier("cnn").predict_with_novelty(stack(asteroids))[1]
    assert np.median(strange) > 0.99
    assert np.median(plain) < 0.99
