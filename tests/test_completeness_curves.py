"""Completeness curves: what a logistic fit says of shares, depths and counts."""

import math

import numpy as np
import pytest

from streaks.completeness import count_interval, fit_curve, stratified
from streaks.completeness.design import stratified_places

MIDDLE, WIDTH, CEILING = 19.2, 0.3, 0.95
TRUE_50 = MIDDLE + WIDTH * math.log(CEILING / 0.5 - 1.0)


def share(mag):
    return CEILING / (1.0 + np.exp((mag - MIDDLE) / WIDTH))


def sources(seed: int, n: int = 150):
    rng = np.random.default_rng(seed)
    mag = rng.uniform(17, 21, n)
    return mag, rng.random(n) < share(mag), rng


def test_depth_of_many_sources_is_the_true_one():
    mag, found, _ = sources(1, 20_000)
    curve = fit_curve([mag], found)
    assert curve.depth(0.5)[0] == pytest.approx(TRUE_50, abs=0.03)
    assert curve.ceiling == pytest.approx(CEILING, abs=0.01)


def test_intervals_of_depth_and_of_counts_hold_as_often_as_they_say():
    of_depth, of_count = 0, 0
    for seed in range(60):
        mag, found, rng = sources(seed)
        curve = fit_curve([mag], found)
        _, low, high = curve.depth(0.5)
        of_depth += low <= TRUE_50 <= high
        others = rng.uniform(17, 21, 60)
        _, low, high = count_interval(curve, [others], seed=seed)
        of_count += low <= (rng.random(60) < share(others)).sum() <= high
    # 95 % of 60 is 57; fewer than 51 happen once in 200 times.
    assert of_depth >= 51
    assert of_count >= 51


def test_a_curve_falls_within_its_own_interval_and_between_0_and_1():
    mag, found, _ = sources(3)
    curve = fit_curve([mag], found)
    x = np.linspace(17, 21, 30)
    low, high = curve.interval(x)
    middle = curve.share(x)
    assert ((low <= middle) & (middle <= high)).all()
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (np.diff(middle) < 0).all()


def test_sources_of_one_mover_widen_the_intervals():
    rng = np.random.default_rng(5)
    mag = rng.uniform(17, 21, 60)
    found = rng.random(60) < share(mag)
    thrice = [np.repeat(a, 3) for a in (mag, found)]
    apart = fit_curve([thrice[0]], thrice[1])
    together = fit_curve([thrice[0]], thrice[1], np.repeat(np.arange(60), 3))
    assert apart.effect == pytest.approx(1.0)
    assert together.effect > 2.0
    assert together.together > 0.5
    width = [np.subtract(*c.depth(0.5)[:0:-1]) for c in (apart, together)]
    assert width[1] > 1.3 * width[0]


@pytest.mark.parametrize("found", [True, False])
def test_all_found_or_none_tells_no_depth(found):
    curve = fit_curve([np.linspace(17, 20, 40)], np.full(40, found))
    assert all(math.isnan(value) for value in curve.depth(0.5))


def test_a_share_above_the_ceiling_is_reached_nowhere():
    rng = np.random.default_rng(8)
    mag = rng.uniform(17, 21, 5000)
    curve = fit_curve([mag], rng.random(5000) < 0.8 * share(mag))
    assert math.isnan(curve.depth(0.9)[0])


def test_no_sources_give_a_curve_that_knows_nothing():
    curve = fit_curve([np.zeros(0)], np.zeros(0, bool))
    assert curve.n == 0
    assert math.isnan(curve.depth(0.5)[0])


def test_a_second_covariate_tells_its_own_share():
    rng = np.random.default_rng(9)
    mag, length = rng.uniform(17, 21, 4000), rng.uniform(0, 2, 4000)
    found = rng.random(4000) < share(mag + 0.8 * length)
    curve = fit_curve([mag, length], found)
    short, long = curve.share([19.0, 19.0], [0.2, 1.8])
    assert short == pytest.approx(float(share(19.16)), abs=0.05)
    assert long == pytest.approx(float(share(20.44)), abs=0.05)


def test_a_stratified_design_has_one_value_in_each_part_of_each_range():
    drawn = stratified(20, 3, np.random.default_rng(1))
    for column in drawn.T:
        assert sorted((20 * column).astype(int)) == list(range(20))


def test_stratified_places_lie_in_cells_of_their_own():
    places = stratified_places(23, np.random.default_rng(2))
    cells = {tuple(cell) for cell in (places * 5).astype(int)}
    assert len(cells) == 23
    assert (places >= 0).all()
    assert (places < 1).all()


@pytest.mark.parametrize("n", [30, 60])
def test_few_sources_do_not_make_the_expected_count_too_low(n):
    # As in a night of six small frames: most are bright, the fall is steep. A Gaussian about
    # the likelihood's peak has its mean 2 % (of 60) to 3 % (of 30) too low.
    expected, true, held = 0.0, 0.0, 0
    for seed in range(80):
        rng = np.random.default_rng([seed, n])

        def drawn(many, rng=rng):
            mag = 21.0 - 2.5 * np.log10(np.exp(rng.uniform(np.log(3), np.log(45), many)))
            chance = CEILING / (1.0 + np.exp((mag - 18.7) / 0.07))
            return mag, chance, rng.random(many) < chance

        mag, _, found = drawn(n)
        others, chance, luck = drawn(64)
        count, low, high = count_interval(fit_curve([mag], found), [others], seed=seed)
        expected, true = expected + count, true + chance.sum()
        held += low <= luck.sum() <= high
    assert expected / true == pytest.approx(1.0, abs=0.015)
    assert held >= 70


def test_draws_follow_a_skewed_likelihood():
    # Parted at one magnitude: any steep fall will do, and no shallow one.
    mag = np.array([17.0, 17.5, 18.0, 18.5, 19.0, 19.5, 20.0, 20.5])
    curve = fit_curve([mag], mag < 18.7)
    steepness = -curve.draws[:, 1]
    assert np.mean(steepness) > -curve.theta[1]
    assert (steepness > 0).mean() > 0.99
