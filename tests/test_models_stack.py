"""Boosted trees that hear several classifiers together."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest

from streaks.classification import OUTPUTS
from streaks.cli.labelled_sets import synthetic_parts, training_set
from streaks.errors import ModelError
from streaks.features import FEATURE_NAMES
from streaks.models import (
    StackedClassifier,
    load_classifier,
    save_model,
    train_forest,
    train_stack,
)
from streaks.models.calibration import Calibration
from streaks.models.onnx_graph import boosted_to_onnx
from streaks.models.stacking import stack_input
from streaks.models.store import read_card, weights_folder
from tests.toy_cutouts import labelled_set, stack

# Toy models are written, which needs ONNX.
pytestmark = pytest.mark.train

N_OUTPUTS = len(OUTPUTS)
#: Rounding of sums of some hundred leaves in single precision.
SINGLE = 1e-5


def _run(data, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"input": x})[0]


class Confused:
    """Knows every output from the others, but takes satellites for asteroids; novelty is 0.5."""

    name = "confused"

    def __init__(self, forest):
        self.forest = forest

    def predict_proba(self, cutouts):
        p = self.forest.predict_proba(cutouts).copy()
        asteroid, satellite = OUTPUTS.index("asteroid"), OUTPUTS.index("satellite")
        p[:, asteroid] += p[:, satellite]
        p[:, satellite] = 0.0
        return p

    def predict_with_novelty(self, cutouts):
        return self.predict_proba(cutouts), np.full(len(cutouts), 0.5)


@pytest.fixture(scope="module")
def toy():
    return labelled_set(70, seed=1)


@pytest.fixture(scope="module")
def weights(toy, tmp_path_factory):
    """A forest, and a stack that hears it alone, in folders side by side."""
    root = tmp_path_factory.mktemp("weights")
    trained = train_forest(*labelled_set(15, seed=2), seed=3, n_trees=8)
    save_model(trained, root / "one", name="one", recipe="", created="", limits=[])
    model = train_stack([load_classifier(root / "one")], [toy], seed=4)
    save_model(model, root / "both", name="both", recipe="", created="", limits=[])
    return root


@pytest.fixture
def folder(weights, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(weights, tmp_path / "weights")
    return tmp_path / "weights" / "both"


def _change_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))


@pytest.mark.parametrize("known", [(0, 3, 7), (1, 4)])
def test_the_onnx_trees_answer_as_scikit_learns_do(known):
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(5)
    x = rng.normal(size=(900, 6)).astype(np.float32)
    truth = np.array(known)[(x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int) * (len(known) - 1)]
    truth[:50] = known[len(known) // 2]
    trees = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(x, truth)
    plain = Calibration(1.0, (0.0,) * N_OUTPUTS)
    data = boosted_to_onnx(trees, N_OUTPUTS, n_features=6, absent=-30.0, calibration=plain)
    expected = np.zeros((len(x), N_OUTPUTS))
    expected[:, list(known)] = trees.predict_proba(x)
    np.testing.assert_allclose(_run(data, x), expected, atol=SINGLE)


def test_a_calibration_is_applied_within_the_file():
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = np.random.default_rng(6).normal(size=(400, 3)).astype(np.float32)
    truth = np.digitize(x[:, 0], np.linspace(-1, 1, N_OUTPUTS - 1))
    trees = HistGradientBoostingClassifier(max_iter=5, random_state=1).fit(x, truth)
    calibration = Calibration(1.6, tuple(np.linspace(-0.4, 0.4, N_OUTPUTS)))
    data = boosted_to_onnx(trees, N_OUTPUTS, n_features=3, absent=-30.0, calibration=calibration)
    expected = calibration.apply(trees.decision_function(x))
    np.testing.assert_allclose(_run(data, x), expected, atol=SINGLE)


def test_the_trees_see_each_members_logarithms_and_then_the_features(weights):
    forest = load_classifier(weights / "one")
    cutouts, _ = labelled_set(2, seed=7)
    x, novelty = stack_input([Confused(forest), forest], cutouts)
    assert x.shape == (len(cutouts), 2 * N_OUTPUTS + len(FEATURE_NAMES))
    own = x[:, N_OUTPUTS : 2 * N_OUTPUTS]
    np.testing.assert_allclose(np.exp(own), forest.predict_proba(cutouts), atol=SINGLE)
    # What a member holds for impossible is 1e-9, so that its logarithm is a number.
    satellite = x[:, OUTPUTS.index("satellite")]
    np.testing.assert_allclose(satellite, np.log(1e-9), rtol=1e-6)
    np.testing.assert_array_equal(novelty, 0.5)


def test_a_stack_is_saved_and_opened_again_beside_its_members(weights):
    card = read_card(weights / "both")
    assert card["kind"] == "stack"
    assert card["members"] == [{"name": "one", "sha256": read_card(weights / "one")["sha256"]}]
    cutouts, labels = labelled_set(6, seed=8)
    both = load_classifier(weights / "both")
    p = both.predict_proba(cutouts)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.mean(np.array(OUTPUTS)[p.argmax(axis=1)] == labels) > 0.9
    assert both.name == "both"


def test_a_stacks_card_tells_its_sets_and_figures(weights):
    card = read_card(weights / "both")
    n_kept = card["training"]["calibrated_on"]["n"]
    # A fifth of each of four outputs with 70 examples.
    assert n_kept == 56
    assert card["training"]["n"] == 280 - 56
    assert card["figures"]["n"] == n_kept - n_kept // 2
    assert card["figures"]["accuracy"] > 0.9


def test_a_stack_goes_to_another_process_and_says_the_same(weights):
    both = load_classifier(weights / "both")
    again = pickle.loads(pickle.dumps(both))
    cutouts, _ = labelled_set(2, seed=9)
    np.testing.assert_array_equal(again.predict_proba(cutouts), both.predict_proba(cutouts))
    assert (again.name, again.rule) == (both.name, both.rule)


def test_no_cutouts_give_no_rows(weights):
    p, novelty = load_classifier(weights / "both").predict_with_novelty(
        stack(np.zeros((0, 128, 128)))
    )
    assert p.shape == (0, N_OUTPUTS)
    assert novelty.shape == (0,)


def test_a_plug_in_member_is_heard_and_its_habit_learnt(toy, weights):
    confused = Confused(load_classifier(weights / "one"))
    model = train_stack([confused], [toy], seed=1)
    assert model.pool == {"members": [{"name": "confused"}]}
    mine = StackedClassifier([confused], model.onnx, rule=model.rule)
    cutouts, labels = labelled_set(10, seed=11)
    p, novelty = mine.predict_with_novelty(cutouts)
    names = np.array(OUTPUTS)[p.argmax(axis=1)]
    # No weight of the member's own answer could tell the two apart.
    streaks = np.isin(labels, ["asteroid", "satellite"])
    assert np.mean(names[streaks] == np.array(labels)[streaks]) > 0.9
    assert mine.name == "confused"
    np.testing.assert_array_equal(novelty, 0.5)


def test_cutouts_in_parts_give_the_same_trees_as_all_at_once(toy, weights):
    cutouts, labels = toy
    members = [load_classifier(weights / "one")]
    doubtful = labelled_set(20, seed=12)
    halves = [(cutouts.select(slice(0, 100)), labels[:100])]
    halves += [(cutouts.select(slice(100, 280)), labels[100:])]
    whole = train_stack(members, [toy], seed=1, doubtful=[doubtful])
    parts = train_stack(members, halves, seed=1, doubtful=[doubtful])
    assert parts.onnx == whole.onnx
    assert whole.training["calibrated_on"]["n"] == 80


def test_an_altered_stack_is_refused(folder):
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"SHA-256 .* its card says .* altered or cut short"):
        load_classifier(folder)


def test_another_member_than_the_trees_heard_is_refused(folder):
    other = train_forest(*labelled_set(15, seed=2), seed=99, n_trees=8)
    save_model(other, folder.parent / "one", name="one", recipe="", created="", limits=[])
    with pytest.raises(ModelError, match=r"one is not the model that .*both was fitted with"):
        load_classifier(folder)


@pytest.mark.parametrize("members", [None, [{"name": "one"}], ["one"]])
def test_a_stack_whose_card_does_not_bind_its_members_is_refused(folder, members):
    _change_card(folder, members=members)
    with pytest.raises(ModelError, match="a stack's card lists members, each with name and sha256"):
        load_classifier(folder)


def test_a_stack_of_other_features_is_refused(folder):
    _change_card(folder, input={"members": "other", "features": ["length"]})
    with pytest.raises(ModelError, match="the model's input differ"):
        load_classifier(folder)


def test_a_stack_for_another_number_of_members_is_refused(weights):
    one = load_classifier(weights / "one")
    data = (weights / "both" / "model.onnx").read_bytes()
    with pytest.raises(ModelError, match=r"takes \d+ numbers; 2 members and the features"):
        StackedClassifier([one, one], data)


def test_trees_that_do_not_survive_their_export_are_refused(toy, weights, monkeypatch):
    from streaks.models import boosting

    def off(trees, n_outputs, *, calibration, **options):
        spoilt = Calibration(calibration.temperature * 3.0, calibration.bias)
        return boosted_to_onnx(trees, n_outputs, calibration=spoilt, **options)

    monkeypatch.setattr(boosting, "boosted_to_onnx", off)
    with pytest.raises(ModelError, match="exported trees differ from the fitted ones by"):
        train_stack([load_classifier(weights / "one")], [toy], seed=1)


def test_the_default_hears_the_shipped_network_and_forest():
    card = read_card(weights_folder("default"))
    assert card["kind"] == "stack"
    assert [m["name"] for m in card["members"]] == ["cnn", "forest"]
    assert card["recipe"].startswith("streaks train ensemble")
    assert card["training"]["n"] >= 10000


def test_a_set_made_in_parts_is_the_set_made_at_once():
    whole, labels, _ = training_set(None, 40, 5, 6.0, 1, True, doubtful=True)
    (parts, names), *more = synthetic_parts(40, 5, 6.0, 1, True, doubtful=True)
    assert more == []
    assert names == labels
    np.testing.assert_array_equal(parts.difference, whole.difference)
    np.testing.assert_array_equal(parts.mask, whole.mask)
