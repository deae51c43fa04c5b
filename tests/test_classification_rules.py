"""Candidates and labels with a stated coverage, and sky with another mix of classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaks.classification import (
    OUTPUTS,
    Ensemble,
    LabelRule,
    classify_cutouts,
    correct_mix,
    estimate_mix,
    parse_mix,
    predict,
)
from streaks.errors import ConfigError
from tests.toy_cutouts import stack


class Told:
    """Says what it was told, cutout by cutout; novelty too when told."""

    name = "told"

    def __init__(self, p, novelty=None, rule=None):
        self.p, self.rule = np.asarray(p, dtype=float), rule
        if novelty is not None:
            self.predict_with_novelty = lambda cutouts: (self.p, np.asarray(novelty, dtype=float))

    def predict_proba(self, cutouts):
        return self.p


def _drawn(n, seed, sharpness=2.0):
    """Calibrated probabilities, and truths drawn from them."""
    rng = np.random.default_rng(seed)
    p = np.exp(sharpness * rng.normal(size=(n, len(OUTPUTS))))
    p /= p.sum(axis=1, keepdims=True)
    return p, np.array([rng.choice(len(OUTPUTS), p=row) for row in p])


def _rule(**least):
    return LabelRule(0.95, tuple(least.get(name, 0.1) for name in OUTPUTS))


def _p(**shares):
    rest = (1 - sum(shares.values())) / (len(OUTPUTS) - len(shares))
    return [shares.get(name, rest) for name in OUTPUTS]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_each_class_is_a_candidate_where_it_is_true_as_often_as_promised(coverage):
    rule = LabelRule.fit(*_drawn(8000, seed=1), coverage)
    p, truth = _drawn(8000, seed=2)
    inside = rule.candidates(p)[np.arange(len(truth)), truth]
    for output in range(len(OUTPUTS)):
        # 1000 of each class: 1.3 points of spread at 80 %.
        assert inside[truth == output].mean() == pytest.approx(coverage, abs=0.05)
    assert inside.mean() == pytest.approx(coverage, abs=0.02)


def test_the_promise_holds_though_probabilities_are_wrong():
    p, truth = _drawn(8000, seed=3)
    overconfident = p**3 / (p**3).sum(axis=1, keepdims=True)
    rule = LabelRule.fit(overconfident[:4000], truth[:4000])
    inside = rule.candidates(overconfident[4000:])[np.arange(4000), truth[4000:]]
    assert inside.mean() == pytest.approx(0.95, abs=0.02)


@given(st.integers(0, 1000))
def test_what_has_more_than_half_is_always_a_candidate(seed):
    p, truth = _drawn(60, seed, sharpness=4.0)
    rule = LabelRule.fit(p, truth)
    present = np.isin(np.arange(len(OUTPUTS)), truth)
    assert rule.candidates(p)[(p >= 0.5) & present].all()


def test_a_class_without_examples_is_no_candidate():
    p, truth = _drawn(500, seed=4)
    kept = truth != 3
    assert not LabelRule.fit(p[kept], truth[kept]).candidates(p)[:, 3].any()


def test_two_candidates_are_named_and_three_are_not():
    p = np.array([_p(naked_star=0.5, yin_yang=0.4), _p(naked_star=0.4, yin_yang=0.3, ghost=0.25)])
    assert _rule().labels(p).tolist() == ["naked_star", "skip"]


def test_no_candidate_is_skip():
    rule = _rule(**dict.fromkeys(OUTPUTS, 0.4))
    assert rule.labels(np.array([_p(ghost=0.35)])).tolist() == ["skip"]


@pytest.mark.parametrize("coverage", [0.2, 1.0])
def test_an_impossible_coverage_is_refused(coverage):
    with pytest.raises(ConfigError, match=r"coverage is .*; it must lie between 0.5 and 1"):
        LabelRule(coverage, (0.5,) * len(OUTPUTS))


def test_thresholds_must_be_one_an_output():
    with pytest.raises(ConfigError, match="expected 8 between 0 and 1"):
        LabelRule(0.9, (0.5, 0.5))


def test_classify_follows_the_classifiers_own_rule():
    p = [_p(asteroid=0.45, satellite=0.35, ghost=0.15)]
    free, ruled = Told(p), Told(p, rule=_rule())
    blank = stack(np.zeros((1, 16, 16)))
    assert classify_cutouts(free, blank)["label"][0] == "asteroid"
    assert classify_cutouts(ruled, blank)["label"][0] == "skip"


def test_details_list_candidates_likeliest_first_and_novelty():
    p = [_p(yin_yang=0.3, naked_star=0.6)]
    table = classify_cutouts(
        Told(p, novelty=[0.97], rule=_rule()), stack(np.zeros((1, 16, 16))), details=True
    )
    assert table["candidates"][0] == "naked_star yin_yang"
    assert table["novelty"][0] == pytest.approx(0.97)


def test_a_classifier_that_knows_no_novelty_says_nan():
    assert np.isnan(predict(Told([_p(ghost=0.5)]), stack(np.zeros((1, 16, 16))))[1]).all()


def test_an_ensembles_novelty_is_the_largest_known():
    p = [_p(ghost=0.5)]
    both = Ensemble([Told(p, novelty=[0.3]), Told(p), Told(p, novelty=[0.8])])
    assert both.predict_with_novelty(stack(np.zeros((1, 16, 16))))[1] == pytest.approx([0.8])


def test_another_mix_weighs_probabilities_by_bayes_rule():
    p = np.array([_p(asteroid=0.5, yin_yang=0.5)])
    corrected = correct_mix(p, {"asteroid": 0.01, "yin_yang": 0.99})
    assert corrected[0, OUTPUTS.index("asteroid")] == pytest.approx(0.01)


def test_the_mix_of_training_changes_nothing():
    p, _ = _drawn(20, seed=5)
    np.testing.assert_allclose(correct_mix(p, dict.fromkeys(OUTPUTS, 0.125)), p)


def test_probabilities_are_calibrated_again_after_a_change_of_mix():
    rng = np.random.default_rng(6)
    mix = np.array([0.02, 0.03, 0.4, 0.1, 0.05, 0.1, 0.2, 0.1])
    truth = rng.choice(len(OUTPUTS), 20000, p=mix)
    centres = 1.2 * np.eye(len(OUTPUTS))
    x = centres[truth] + rng.normal(size=(20000, len(OUTPUTS)))
    # Bayes' posterior of unit Gaussians for a balanced mix.
    balanced = np.exp(x @ centres.T)
    balanced /= balanced.sum(axis=1, keepdims=True)
    corrected = correct_mix(balanced, dict(zip(OUTPUTS, mix, strict=True)))
    # Means of calibrated probabilities are the shares: 20,000 draws spread by 0.003.
    np.testing.assert_allclose(corrected.mean(axis=0), mix, atol=0.01)
    found = estimate_mix(balanced)
    np.testing.assert_allclose([found[name] for name in OUTPUTS], mix, atol=0.02)


def test_a_corrected_score_changes_but_the_label_keeps_its_promise():
    p = [_p(asteroid=0.6, yin_yang=0.35)]
    told, blank = Told(p, rule=_rule()), stack(np.zeros((1, 16, 16)))
    plain = classify_cutouts(told, blank)
    rare = classify_cutouts(told, blank, mix={"asteroid": 0.01, "yin_yang": 0.99})
    assert rare["rb"][0] < 0.05 < plain["rb"][0]
    assert rare["label"][0] == plain["label"][0] == "asteroid"


@pytest.mark.parametrize(
    "mix", [{"asteroid": -1.0}, {"asteroid": -1.0, "ghost": 3.0}, {"asteroid": 0.0}, {"comet": 1.0}]
)
def test_an_impossible_mix_is_refused(mix):
    with pytest.raises(ConfigError, match=r"mix is .*; expected shares of 0 or more"):
        correct_mix(np.array([_p(ghost=0.5)]), mix)


def _rule_of(own):
    """The rule fitted on one class's probabilities alone."""
    p = np.zeros((len(own), len(OUTPUTS)))
    p[:, 0], p[:, 1] = own, 1.0 - np.asarray(own)
    return LabelRule.fit(p, np.zeros(len(own), int), 0.95)


@pytest.mark.parametrize(("n", "covered"), [(38, 38), (39, 38), (59, 57), (99, 95), (119, 114)])
def test_the_promise_is_kept_to_the_very_rank(n, covered):
    """Of n + 1 exchangeable cutouts each may be the new one: 95 % must be covered, and no more.

    Vovk, Gammerman & Shafer 2005: with the k-th smallest as threshold, k of n + 1 are missed.
    """
    every = np.arange(1, n + 2) / 1000.0
    inside = [_rule_of(np.delete(every, new)).thresholds[0] <= every[new] for new in range(n + 1)]
    assert sum(inside) == covered
    assert covered / (n + 1) >= 0.95 > (covered - 1) / (n + 1)


@pytest.mark.parametrize("n", [1, 5, 18, 19])
def test_of_few_examples_the_lowest_probability_is_the_threshold(n):
    own = 0.2 + 0.01 * np.arange(n)
    assert _rule_of(own).thresholds[0] == pytest.approx(0.2)


def test_one_candidate_alone_is_named():
    rule = _rule(**dict.fromkeys(OUTPUTS, 0.3))
    assert rule.labels(np.array([_p(ghost=0.45)])).tolist() == ["ghost"]


def test_a_mix_is_read_from_its_name_or_its_shares():
    balanced = dict.fromkeys(OUTPUTS, 1 / len(OUTPUTS))
    assert parse_mix(None) == pytest.approx(balanced)
    assert parse_mix("balanced") == pytest.approx(balanced)
    assert parse_mix("asteroid=1, ghost=3") == {"asteroid": 0.25, "ghost": 0.75}
    assert parse_mix({"skip": 2.0}) == {"skip": 1.0}
    # 2287 answers of AStreaks: 0.2 % asteroids.
    assert parse_mix("astreaks")["asteroid"] == pytest.approx(0.002, rel=0.01)


@pytest.mark.parametrize(
    "text", ["asteroid=x", "asteroid=-1", "asteroid=-1,ghost=3", "comet=1", "asteroid=0", "auto"]
)
def test_a_mix_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"mix"):
        parse_mix(text)


def test_an_estimated_mix_of_no_cutouts_is_even():
    assert estimate_mix(np.zeros((0, len(OUTPUTS)))) == pytest.approx(
        dict.fromkeys(OUTPUTS, 1 / len(OUTPUTS))
    )


def test_shares_that_no_cutout_can_have_are_spread_evenly():
    """All weight on classes that the classifier gives nothing: nothing is known then."""
    p = np.zeros((1, len(OUTPUTS)))
    p[0, 0] = 1.0
    assert correct_mix(p, {"ghost": 1.0})[0] == pytest.approx([1 / len(OUTPUTS)] * len(OUTPUTS))


def test_real_is_asked_of_the_mix_of_the_sky_and_the_label_of_the_classifier():
    p = [_p(asteroid=0.6, ghost=0.3)]
    table = classify_cutouts(
        Told(p), stack(np.zeros((1, 16, 16))), mix={"asteroid": 1, "ghost": 99}
    )
    expected = 0.6 / (0.6 + 0.3 * 99)
    assert table["p_asteroid"][0] == pytest.approx(expected)
    assert table["rb"][0] == pytest.approx(expected)
    assert table["label"][0] == "asteroid"


def test_batches_of_a_stack_come_back_in_its_order():
    class Counting:
        name = "counting"

        def predict_proba(self, cutouts):
            level = cutouts.difference[:, 0, 0].astype(float)
            p = np.full((len(cutouts), len(OUTPUTS)), 0.0)
            p[:, 0], p[:, 1] = level / 100, 1 - level / 100
            return p

    levels = np.arange(11.0)
    images = levels[:, None, None] * np.ones((11, 16, 16))
    table = classify_cutouts(Counting(), stack(images), batch=4)
    np.testing.assert_allclose(table["p_asteroid"], levels / 100)


def test_an_estimated_mix_takes_steps_to_where_probabilities_agree_with_themselves() -> None:
    # Two cutouts of opposite doubt: one step of expectation gives the mean of the balanced
    # probabilities, and no step the mix of training.
    p = np.array([_p(asteroid=0.8), _p(asteroid=0.6)])
    one = estimate_mix(p, n_steps=1)
    assert one["asteroid"] == pytest.approx(0.7)
    assert one["ghost"] == pytest.approx(0.3 / 7)
    assert estimate_mix(p, n_steps=0)["asteroid"] == pytest.approx(1 / 8)
    # What is likelier than its share in every cutout takes all in the end.
    assert estimate_mix(p, n_steps=400)["asteroid"] == pytest.approx(1.0, abs=1e-3)


def test_a_mix_of_training_that_was_not_balanced_is_divided_out() -> None:
    p = np.array([_p(asteroid=0.3, ghost=0.6)])
    trained = dict.fromkeys(OUTPUTS, 1.0) | {"ghost": 4.0}
    corrected = correct_mix(p, {"asteroid": 1.0, "ghost": 1.0}, trained)
    # Bayes: 0.3 / 1 against 0.6 / 4.
    assert corrected[0, OUTPUTS.index("asteroid")] == pytest.approx(0.3 / (0.3 + 0.15))


def test_a_member_that_is_surely_wrong_is_no_nan() -> None:
    never = np.zeros((1, len(OUTPUTS)))
    never[0, 0] = 1.0
    other = np.zeros((1, len(OUTPUTS)))
    other[0, 1] = 1.0
    p = Ensemble([Told(never), Told(other)]).predict_proba(stack(np.zeros((1, 16, 16))))
    # Each says that the other's class cannot be: between the two nothing tells.
    assert p[0, :2] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert p.sum() == pytest.approx(1.0)


def test_candidates_without_a_rule_are_empty_and_details_are_asked_for() -> None:
    blank, told = stack(np.zeros((2, 16, 16))), Told([_p(ghost=0.5)] * 2)
    assert classify_cutouts(told, blank, details=True)["candidates"].tolist() == ["", ""]
    assert not {"candidates", "novelty"} & set(classify_cutouts(told, blank).colnames)


def test_a_very_sharp_ensemble_of_doubtful_members_keeps_its_numbers() -> None:
    # exp(200 log(1/8)) squared is below the smallest number there is.
    even = Ensemble([Told([_p()])], sharpness=200.0).predict_proba(stack(np.zeros((1, 16, 16))))
    assert even[0] == pytest.approx([1 / len(OUTPUTS)] * len(OUTPUTS))
