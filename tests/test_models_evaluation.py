"""Figures about classifiers, against numbers worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streaks.classification import OUTPUTS
from streaks.errors import InputError
from streaks.models.evaluation import (
    area_under_curve,
    calibration_error,
    confusion_matrix,
    evaluate_probabilities,
    f1_scores,
    reliability,
    roc_curve,
    tpr_at_fpr,
)
from streaks.models.evaluation_page import evaluation_page


def _probabilities(said, p=0.9):
    rows = np.full((len(said), len(OUTPUTS)), (1 - p) / (len(OUTPUTS) - 1))
    rows[np.arange(len(said)), [OUTPUTS.index(name) for name in said]] = p
    return rows


def test_confusion_has_the_truth_in_rows():
    matrix = confusion_matrix(["ghost", "ghost", "skip"], ["ghost", "asteroid", "skip"])
    ghost, asteroid, skip = (OUTPUTS.index(name) for name in ("ghost", "asteroid", "skip"))
    assert matrix[ghost, ghost] == matrix[ghost, asteroid] == matrix[skip, skip] == 1
    assert matrix.sum() == 3


def test_f1_of_a_class_with_two_of_three_found_and_one_false():
    truth = ["ghost", "ghost", "ghost", "skip"]
    said = ["ghost", "ghost", "skip", "ghost"]
    f1 = f1_scores(confusion_matrix(truth, said))
    # Precision 2/3 and recall 2/3.
    assert f1[OUTPUTS.index("ghost")] == pytest.approx(2 / 3)
    assert math.isnan(f1[OUTPUTS.index("asteroid")])


def test_true_positive_rate_at_a_tenth_false():
    negative = np.arange(10) / 10.0  # the highest is 0.9, the next 0.8
    positive = np.array([0.95, 0.85, 0.8, 0.1])
    # One of ten may pass: the cut lies at 0.8 and an equal score is not above it.
    assert tpr_at_fpr(positive, negative, 0.1) == 0.5
    assert tpr_at_fpr(positive, negative, 0.0) == 0.25
    assert tpr_at_fpr(positive, negative, 1.0) == 1.0


def test_rates_of_an_empty_side_are_unknown():
    assert math.isnan(tpr_at_fpr(np.zeros(0), np.ones(3), 0.1))
    assert math.isnan(area_under_curve(np.ones(3), np.zeros(0)))


def test_area_under_curve_counts_ties_half():
    assert area_under_curve(np.array([1.0, 0.5]), np.array([0.5, 0.0])) == pytest.approx(0.875)


@given(
    arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)),
    arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)),
)
def test_area_under_curve_is_the_share_of_pairs_in_order(positive, negative):
    pairs = np.sign(positive[:, None] - negative[None, :])
    assert area_under_curve(positive, negative) == pytest.approx((pairs + 1).mean() / 2)
    fpr, tpr = roc_curve(positive, negative)
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(tpr) >= 0).all()
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)


def test_calibration_error_is_the_gap_weighted_by_count():
    confidence = np.array([0.9] * 10 + [0.5] * 10)
    right = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    # 0.9 is right in 90 %, 0.5 in 30 %: half of the cutouts are off by 0.2.
    assert calibration_error(reliability(confidence, right)) == pytest.approx(0.1)
    assert math.isnan(calibration_error(()))


def test_unlabelled_cutouts_count_in_rates_but_not_in_the_matrix():
    said = ["asteroid", "asteroid", "skip", "ghost"]
    found = evaluate_probabilities(
        _probabilities(said),
        ["", "", "skip", "ghost"],
        model="toy",
        positive=np.array([True, False, False, False]),
        negative=np.array([False, True, True, True]),
    )
    assert (found.n, found.n_labelled, found.n_positive, found.n_negative) == (4, 2, 1, 3)
    assert found.confusion.sum() == 2
    assert found.accuracy == 1.0
    # The asteroid ties with one false one, so at 1 % false positives it is not kept.
    assert found.asteroid_tpr["0.01"] == 0.0
    assert found.auc == pytest.approx(5 / 6)


def test_rare_classes_do_not_enter_the_macro_f1():
    truth = ["ghost"] * 3 + ["skip"] * 3 + ["asteroid"]
    said = ["ghost"] * 3 + ["skip"] * 3 + ["ghost"]
    found = evaluate_probabilities(_probabilities(said), truth, model="toy", min_count=2)
    assert found.scored_classes == ("ghost", "skip")
    # Ghost: precision 3/4, recall 1, so F1 6/7; skip 1.
    assert found.macro_f1 == pytest.approx((6 / 7 + 1) / 2)


def test_an_unknown_label_is_refused_by_name():
    with pytest.raises(InputError, match="labels comet are unknown; expected asteroid"):
        evaluate_probabilities(_probabilities(["ghost"]), ["comet"], model="toy")


def test_nothing_to_judge_is_refused():
    with pytest.raises(InputError, match="no cutout has a label"):
        evaluate_probabilities(_probabilities(["ghost"]), [""], model="toy")


def test_figures_go_to_json_and_come_back():
    found = evaluate_probabilities(
        _probabilities(["ghost", "skip"]), ["ghost", "ghost"], model="toy"
    )
    values = json.loads(json.dumps(found.to_dict()))
    assert values["f1"]["asteroid"] is None
    assert values["accuracy"] == 0.5
    assert np.array(values["confusion"]).sum() == 2


def test_the_page_holds_its_figures_and_escapes_names():
    said = ["asteroid", "ghost", "ghost"]
    found = evaluate_probabilities(_probabilities(said), said, model="<b>mine</b>")
    page = evaluation_page([found], title="Toy & more", about={"set": "<script>"})
    assert "&lt;b&gt;mine&lt;/b&gt;" in page
    assert "<script>" not in page
    assert "Toy &amp; more" in page
    assert page.count("<svg") == 2
    assert "http" not in page  # self-contained
