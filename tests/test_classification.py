"""The face of classifiers, and how probabilities become labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streaks.classification import (
    OUTPUTS,
    Classifier,
    Ensemble,
    classify_cutouts,
    labels_from_probabilities,
    real_bogus,
)
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.tables import CLASS_COLUMNS, PROBABILITY_COLUMNS, check_table
from tests.toy_cutouts import stack


class Fixed:
    """Says the same of every cutout."""

    def __init__(self, probabilities, name="fixed"):
        self.name, self.probabilities = name, np.asarray(probabilities, dtype=float)

    def predict_proba(self, cutouts: Cutouts):
        return np.tile(self.probabilities, (len(cutouts), 1))


def _peaked(output, p=0.93):
    rest = (1 - p) / (len(OUTPUTS) - 1)
    return [p if name == output else rest for name in OUTPUTS]


def test_outputs_are_the_seven_classes_and_skip():
    assert (
        *("asteroid", "satellite", "masked_star", "ghost", "cosmic_ray", "naked_star", "yin_yang"),
        "skip",
    ) == OUTPUTS


def test_any_object_with_a_name_and_predict_proba_is_a_classifier():
    assert isinstance(Fixed(_peaked("ghost")), Classifier)


def test_each_cutout_gets_a_row_with_its_name_label_and_probabilities():
    table = classify_cutouts(Fixed(_peaked("ghost")), stack(np.zeros((3, 32, 32))), batch=2)
    check_table(table, CLASS_COLUMNS)
    assert table["streak_id"].tolist() == ["toy0", "toy1", "toy2"]
    assert set(table["label"]) == {"ghost"}
    np.testing.assert_allclose(table["p_ghost"], 0.93)


def test_no_cutouts_give_a_table_of_no_rows_with_all_columns():
    table = classify_cutouts(Fixed(_peaked("ghost")), stack(np.zeros((0, 32, 32))))
    assert len(table) == 0
    assert table.colnames == ["streak_id", *(spec.name for spec in CLASS_COLUMNS)]


@pytest.mark.parametrize("answer", [[0.5, 0.5], [*_peaked("ghost")[:-1], np.nan]])
def test_a_classifier_of_another_shape_or_with_nan_is_refused(answer):
    with pytest.raises(ModelError, match=r"fixed answered .* expected finite probabilities"):
        classify_cutouts(Fixed(answer), stack(np.zeros((2, 32, 32))))


def test_the_seven_probabilities_lack_the_share_of_nothing_there():
    table = classify_cutouts(Fixed(_peaked("skip")), stack(np.zeros((1, 32, 32))))
    assert table["label"][0] == "skip"
    assert sum(table[c][0] for c in PROBABILITY_COLUMNS) == pytest.approx(0.07)


def test_a_best_class_below_the_least_probability_is_skip():
    p = np.array([_peaked("asteroid", 0.39), _peaked("asteroid", 0.41)])
    assert labels_from_probabilities(p).tolist() == ["skip", "asteroid"]
    assert labels_from_probabilities(p, min_probability=0.0).tolist() == ["asteroid", "asteroid"]


def test_real_is_the_sum_of_asteroid_and_satellite():
    p = np.array([_peaked("asteroid", 0.93), _peaked("ghost", 0.93)])
    np.testing.assert_allclose(real_bogus(p), [0.94, 0.02])


@given(
    arrays.arrays(np.float64, (5, len(OUTPUTS)), elements=st.floats(0.01, 1)),
    arrays.arrays(np.float64, (5, len(OUTPUTS)), elements=st.floats(0.01, 1)),
)
def test_an_ensembles_rows_sum_to_one_and_lie_between_its_members(first, second):
    first, second = (p / p.sum(axis=1, keepdims=True) for p in (first, second))

    class Given(Fixed):
        def predict_proba(self, cutouts):
            return self.probabilities

    p = Ensemble([Given(first), Given(second)]).predict_proba(stack(np.zeros((5, 32, 32))))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    both = first.argmax(axis=1)
    agreed = both == second.argmax(axis=1)
    # Where several are the likeliest, rounding may choose among them.
    assert (p[np.arange(5), both] > p.max(axis=1) - 1e-12)[agreed].all()


def test_a_members_confident_no_is_kept():
    said_no = _peaked("asteroid", 0.99)
    doubtful = [1e-6 if name == "asteroid" else (1 - 1e-6) / 7 for name in OUTPUTS]
    p = Ensemble([Fixed(said_no), Fixed(doubtful)]).predict_proba(stack(np.zeros((1, 32, 32))))
    assert p[0, 0] < 0.2


def test_weights_of_an_ensemble_shift_it_to_the_heavier_member():
    members = [Fixed(_peaked("asteroid", 0.6)), Fixed(_peaked("ghost", 0.6))]
    p = Ensemble(members, [3.0, 1.0]).predict_proba(stack(np.zeros((1, 32, 32))))
    assert p[0].argmax() == OUTPUTS.index("asteroid")


def test_sharpness_makes_an_ensemble_surer():
    members = [Fixed(_peaked("asteroid", 0.6)), Fixed(_peaked("asteroid", 0.6))]
    empty = stack(np.zeros((1, 32, 32)))
    plain = Ensemble(members).predict_proba(empty)
    sharp = Ensemble(members, sharpness=2.0).predict_proba(empty)
    assert plain[0, 0] == pytest.approx(0.6)
    # 0.6^2 against seven times (0.4 / 7)^2.
    assert sharp[0, 0] == pytest.approx(0.36 / (0.36 + 7 * (0.4 / 7) ** 2))


@pytest.mark.parametrize("sharpness", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_sharpness_is_refused(sharpness):
    with pytest.raises(ModelError, match=r"sharpness is .* it must be positive"):
        Ensemble([Fixed(_peaked("asteroid"))], sharpness=sharpness)


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(ModelError, match="at least one classifier"):
        Ensemble([])


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -2.0]])
def test_weights_that_do_not_fit_the_members_are_refused(weights):
    members = [Fixed(_peaked("asteroid")), Fixed(_peaked("ghost"))]
    with pytest.raises(ModelError, match="as many positive weights"):
        Ensemble(members, weights)
