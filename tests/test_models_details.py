"""Intervals, nights, objects and sets behind the figures; novelty."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streaks.classification import OUTPUTS, LabelRule
from streaks.models.evaluation import evaluate_probabilities
from streaks.models.evaluation_detail import (
    bootstrap_interval,
    breakdown,
    kept_by_object,
    recall_by_measure,
    set_figures,
    threshold_at_fpr,
)
from streaks.models.novelty import fit_novelty, novelty_of, novelty_scale


def test_an_interval_of_a_mean_is_that_of_its_standard_error():
    x = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_interval(lambda rows: float(x[rows].mean()), range(400))
    # 1.96 / sqrt(400) = 0.098 on either side; 300 draws know it to a tenth or so.
    assert high - x.mean() == pytest.approx(0.098, rel=0.25)
    assert x.mean() - low == pytest.approx(0.098, rel=0.25)


def test_pictures_of_one_object_are_not_independent():
    x = np.repeat(np.random.default_rng(2).normal(size=10), 40)
    alone = bootstrap_interval(lambda rows: float(x[rows].mean()), range(400))
    together = bootstrap_interval(lambda rows: float(x[rows].mean()), np.repeat(range(10), 40))
    assert np.ptp(together) > 3 * np.ptp(alone)


def test_an_interval_of_nothing_is_unknown():
    assert np.isnan(bootstrap_interval(lambda rows: float("nan"), range(5))).all()
    assert np.isnan(bootstrap_interval(lambda rows: 1.0, [])).all()


def test_the_threshold_lets_through_no_more_than_its_share():
    negative = np.linspace(0, 1, 200)
    assert np.mean(negative > threshold_at_fpr(negative, 0.01)) == 0.01
    assert threshold_at_fpr(negative[:0], 0.01) == -np.inf


def test_shares_kept_are_counted_by_object():
    kept = np.array([True, False, True])
    assert kept_by_object(kept, ["2018 HU", "2018 HU", "2018 HS"]) == {
        "2018 HS": (1, 1),
        "2018 HU": (1, 2),
    }


def test_nights_are_judged_at_one_threshold_for_all():
    score = np.array([0.9, 0.2, 0.8, 0.1, 0.1])
    positive = np.array([True, False, False, True, False])
    rows = breakdown(
        ["a", "a", "b", "b", "b"],
        score=score,
        positive=positive,
        negative=~positive,
        labels=np.array(["asteroid", "", "ghost", "", "skip"]),
        said=np.array(["asteroid", "skip", "asteroid", "skip", "skip"]),
        fpr=0.34,
    )
    assert [row["group"] for row in rows] == ["a", "b"]
    # One of three others may pass: the one at 0.8, on night b.
    assert [(row["kept"], row["n_positive"], row["false"]) for row in rows] == [
        (1, 1, 0),
        (0, 1, 1),
    ]
    assert [(row["right"], row["n_labelled"]) for row in rows] == [(1, 1), (1, 2)]


def test_recall_is_given_by_bins_and_empty_bins_are_left_out():
    rows = recall_by_measure(
        np.array([5.0, 7.0, 7.5, np.nan]),
        (0, 6, 8, 10),
        kept=np.array([False, True, True, True]),
        named=np.array([False, True, False, True]),
    )
    assert [(row["low"], row["n"], row["kept"], row["named"]) for row in rows] == [
        (0.0, 1, 0.0, 0.0),
        (6.0, 2, 1.0, 0.5),
    ]


def test_sets_are_counted_for_what_they_hold():
    rule = LabelRule(0.9, (0.3,) * len(OUTPUTS))
    p = np.full((3, len(OUTPUTS)), 0.01)
    p[0, 0], p[1, :2], p[2, 5] = 0.9, 0.4, 0.2
    found = set_figures(rule, p, np.array([0, 1, 5]))
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["mean_size"] == pytest.approx(1.0)
    assert found["empty"] == pytest.approx(1 / 3)
    assert found["by_output"] == {0: 1.0, 1: 1.0, 5: 0.0}


def test_an_evaluation_carries_all_details_into_json():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(len(OUTPUTS)), 60)
    names = np.array(OUTPUTS)[rng.integers(len(OUTPUTS), size=60)].tolist()
    found = evaluate_probabilities(
        p,
        names,
        model="toy",
        rule=LabelRule(0.9, (0.1,) * len(OUTPUTS)),
        objects=[f"object {i % 7}" for i in range(60)],
        nights=["n1", "n2"] * 30,
        measures={"snr": np.full(60, 9.0)},
    )
    values = json.loads(json.dumps(found.to_dict()))
    assert set(values["intervals"]) == {"tpr_0.001", "tpr_0.01", "tpr_0.05", "macro_f1"}
    assert len(values["nights"]) == 2
    assert values["recall"]["snr"][0]["n"] == found.n_positive
    assert values["sets"]["promised"] == 0.9
    assert 0 <= values["named"] <= 1


def _blobs(rng, n):
    """Three classes, and a strong feature of all, so that lengths are nearly alike."""
    truth = rng.integers(3, size=n)
    spread = np.array([5.0, 0.2, 1.0, 1.0])
    features = np.eye(3, 4)[truth] * 8 + rng.normal(size=(n, 4)) * spread
    return np.column_stack([features, np.full(n, 300.0)]), truth


def test_ordinary_cutouts_have_every_novelty_alike():
    rng = np.random.default_rng(4)
    space = fit_novelty(*_blobs(rng, 4000))
    scale = novelty_scale(space.distances(_blobs(rng, 4000)[0]))
    novelty = novelty_of(space.distances(_blobs(rng, 4000)[0]), scale)
    # Uniform on 0 to 1: quantiles of 4000 spread by 0.008.
    np.testing.assert_allclose(np.quantile(novelty, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.04)


def test_what_is_of_no_class_is_novel_though_it_is_near_in_plain_distance():
    rng = np.random.default_rng(5)
    features, truth = _blobs(rng, 4000)
    space = fit_novelty(features, truth)
    scale = novelty_scale(space.distances(features))
    # Three units off along a feature whose spread is 0.2, and off along one of spread 5.
    strange, plain = features[0] + [0, 3, 0, 0, 0], features[0] + [3, 0, 0, 0, 0]
    novelty = novelty_of(space.distances(np.stack([strange, plain])), scale)
    assert novelty[0] > 0.999
    assert novelty[1] < 0.99


def test_a_feature_that_never_changes_does_no_harm():
    features, truth = _blobs(np.random.default_rng(6), 500)
    features[:, 3] = 0.0
    assert np.isfinite(fit_novelty(features, truth).distances(features)).all()


def test_novelty_does_not_depend_on_how_strong_all_features_are():
    rng = np.random.default_rng(4)
    features, truth = _blobs(rng, 500)
    space = fit_novelty(features, truth)
    np.testing.assert_allclose(space.distances(7.0 * features), space.distances(features))
    assert np.isfinite(space.distances(np.zeros((1, features.shape[1])))).all()
