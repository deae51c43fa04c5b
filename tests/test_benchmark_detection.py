"""The benchmark's own arithmetic: who is found, how deep, at which cut."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip(
    "benchmarks.detection_scoring", reason="benchmarks/ is in the clone, not in the wheel"
)

from benchmarks.detection_figures import rewrite_block
from benchmarks.detection_frames import Recipe, make_frame, noise_power
from benchmarks.detection_peers import PEERS, Prepared, along_a_mask
from benchmarks.detection_scoring import (
    depth,
    ends_in_order,
    fit_depth,
    half_width,
    median_and_error,
    one_each,
    pair_streaks,
    robust_width,
    score_cut,
    wilson,
)

TRUE = [100.0, 100.0, 140.0, 110.0]


def shifted(ends, dx, dy):
    x0, y0, x1, y1 = ends
    return [x0 + dx, y0 + dy, x1 + dx, y1 + dy]


def test_a_streak_is_found_by_itself_in_either_order():
    for ends in (TRUE, TRUE[2:] + TRUE[:2]):
        pairs = pair_streaks([ends], [7.0], [TRUE])
        assert pairs.found.tolist() == [0]
        assert not pairs.false.any()


def test_a_line_beside_a_streak_is_false():
    pairs = pair_streaks([shifted(TRUE, 0.0, 8.0)], [7.0], [TRUE])
    assert pairs.found.tolist() == [-1]
    assert pairs.false.tolist() == [True]


def test_a_line_across_a_streak_is_false():
    assert pair_streaks([[120.0, 85.0, 120.0, 125.0]], [7.0], [TRUE]).false.tolist() == [True]


def test_a_line_beyond_the_end_of_a_streak_is_false():
    assert pair_streaks([shifted(TRUE, 40.0, 10.0)], [7.0], [TRUE]).false.tolist() == [True]


def test_pieces_of_one_streak_are_one_find_and_a_repeat():
    pieces = [[100.0, 100.0, 115.0, 103.75], [120.0, 105.0, 140.0, 110.0]]
    pairs = pair_streaks(pieces, [6.0, 7.0], [TRUE])
    assert pairs.found.tolist() == [1]
    assert pairs.repeat.tolist() == [True, False]
    assert not pairs.false.any()


def test_of_two_parallel_streaks_each_takes_its_own_detection():
    other = shifted(TRUE, 0.0, 4.0)
    pairs = pair_streaks([other, TRUE], [9.0, 8.0], [TRUE, other])
    assert pairs.found.tolist() == [1, 0]


def test_a_double_does_not_find_the_neighbour():
    far = shifted(TRUE, 0.0, 30.0)
    pairs = pair_streaks([TRUE, shifted(TRUE, 0.5, 0.0)], [9.0, 8.0], [TRUE, far])
    assert pairs.found.tolist() == [0, -1]
    assert pairs.repeat.tolist() == [False, True]


def test_nothing_detected_and_nothing_true_are_no_error():
    assert pair_streaks(np.zeros((0, 4)), [], [TRUE]).found.tolist() == [-1]
    assert pair_streaks([TRUE], [7.0], np.zeros((0, 4))).false.tolist() == [True]


def test_ends_are_turned_to_the_order_of_the_truth():
    turned = ends_in_order([TRUE[2:] + TRUE[:2]], [TRUE])
    np.testing.assert_array_equal(turned, [TRUE])


def test_of_segments_on_each_other_the_best_is_kept():
    ends, scores = one_each([TRUE, shifted(TRUE, 1.0, 0.0), shifted(TRUE, 0.0, 50.0)], [1, 3, 2])
    np.testing.assert_array_equal(scores, [3, 2])
    np.testing.assert_array_equal(ends[0], shifted(TRUE, 1.0, 0.0))


def test_the_cut_leaves_one_false_detection_a_frame():
    scores = np.array([9.0, 8.0, 7.0, 6.0, 5.0])
    assert np.sum(scores >= score_cut(scores, 2)) == 2


def test_no_cut_is_needed_where_false_detections_are_few():
    assert score_cut([9.0, 8.0], 2) == -math.inf


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 20))
def test_the_cut_never_leaves_more(scores, frames):
    assert np.sum(np.asarray(scores) >= score_cut(scores, frames)) <= frames


def test_s50_of_a_known_logistic_is_recovered():
    # Drawn from completeness 1 / (1 + (s / 6)**-12): a half at 6.
    rng = np.random.default_rng(5)
    snr = np.exp(rng.uniform(*np.log((4.0, 30.0)), 4000))
    found = rng.random(4000) < 1.0 / (1.0 + (snr / 6.0) ** -12.0)
    assert fit_depth(snr, found) == pytest.approx(6.0, abs=0.15)


def test_a_few_bright_misses_do_not_move_s50():
    rng = np.random.default_rng(6)
    snr = np.exp(rng.uniform(*np.log((4.0, 30.0)), 4000))
    seen = rng.random(4000) < 0.95
    found = seen & (rng.random(4000) < 1.0 / (1.0 + (snr / 6.0) ** -12.0))
    assert fit_depth(snr, found) == pytest.approx(6.0, abs=0.25)


def test_what_never_reaches_a_half_has_no_s50():
    rng = np.random.default_rng(7)
    snr = np.exp(rng.uniform(*np.log((4.0, 30.0)), 1000))
    assert fit_depth(snr, rng.random(1000) < 0.3) == math.inf
    assert fit_depth(snr, np.zeros(1000, bool)) == math.inf


def test_the_interval_holds_the_value():
    rng = np.random.default_rng(8)
    snr = [np.exp(rng.uniform(*np.log((4.0, 30.0)), 24)) for _ in range(12)]
    score = [s + rng.normal(0, 0.5, 24) for s in snr]
    false = [rng.normal(4.0, 0.8, 6) for _ in snr]
    found, cut = depth(snr, score, false, resamples=40)
    assert found.low <= found.s50 <= found.high
    # At this cut a streak of that S/N scores as much, half of the time.
    assert found.s50 == pytest.approx(cut, abs=0.3)


def test_a_fixed_cut_is_kept():
    assert depth([np.array([5.0, 9.0])], [np.array([5.0, 9.0])], [np.zeros(9)], cut=6.5,
                 resamples=0)[1] == 6.5  # fmt: skip


def test_robust_width_is_that_of_a_gaussian_with_outliers():
    values = np.append(np.random.default_rng(9).normal(2.0, 3.0, 20_000), np.full(200, 1e6))
    assert robust_width(values) == pytest.approx(3.0, rel=0.04)


def test_half_width_of_a_gaussian_is_its_sigma_and_the_error_that_of_repeated_draws():
    rng = np.random.default_rng(11)
    widths, errors = np.array([half_width(rng.normal(5.0, 3.0, 300)) for _ in range(1000)]).T
    assert np.mean(widths) == pytest.approx(3.0, rel=0.01)
    assert np.mean(errors) == pytest.approx(np.std(widths), rel=0.1)


def test_the_error_of_a_median_is_that_of_repeated_draws():
    rng = np.random.default_rng(10)
    medians = [np.median(rng.normal(0, 1, 101)) for _ in range(2000)]
    errors = [median_and_error(rng.normal(0, 1, 101))[1] for _ in range(200)]
    assert np.mean(errors) == pytest.approx(np.std(medians), rel=0.1)


def test_a_share_of_one_has_an_interval():
    # Wilson's interval at z for n of n reaches down to n / (n + z**2).
    low, high = wilson(9, 9)
    assert (low, high) == pytest.approx((0.9, 1.0))


def test_a_marked_block_is_rewritten_and_the_rest_kept(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- it: begin -->\nold\n<!-- it: end -->\nafter\n")
    rewrite_block(page, "it", "new")
    rewrite_block(page, "it", "new")
    expected = "before\n<!-- it: begin -->\nnew\n<!-- it: end -->\nafter\n"
    assert page.read_text() == expected


def test_a_page_without_the_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(SystemExit, match="needs the lines"):
        rewrite_block(page, "it", "new")


def test_the_power_of_correlated_noise_is_one_on_average_and_has_the_lag():
    power = noise_power((64, 48), 0.3)
    correlation = np.fft.ifft2(power).real
    assert correlation[0, 0] == pytest.approx(1.0)
    assert correlation[0, 1] == pytest.approx(0.3)
    assert correlation[1, 0] == pytest.approx(0.3)


@pytest.fixture
def small_frame():
    pytest.importorskip("galsim", reason="frames are drawn by GalSim: pip install '.[bench]'")
    return make_frame(Recipe("clutter", 77, 0, shape=(300, 417), streaks=3))


def test_the_same_recipe_gives_the_same_frame_also_from_the_cache(small_frame, tmp_path):
    recipe = Recipe("clutter", 77, 0, shape=(300, 417), streaks=3)
    for frame in (make_frame(recipe, tmp_path), make_frame(recipe, tmp_path)):
        np.testing.assert_array_equal(frame.data, small_frame.data)
        np.testing.assert_array_equal(frame.mask, small_frame.mask)
        np.testing.assert_array_equal(frame.ends, small_frame.ends)


def test_a_drawn_streak_has_its_snr():
    pytest.importorskip("galsim", reason="frames are drawn by GalSim: pip install '.[bench]'")
    from benchmarks.detection_frames import line_template

    template, _ = line_template(np.array([60.3, 80.1, 110.7, 120.9]), Recipe("clean", 1, 0), 0.0)
    # Across a Gaussian line of length l and width s, sum(t**2) is
    # (l - 2 s / sqrt(pi)) / (2 sqrt(pi) s l**2) for l >> s.
    length, s = math.hypot(50.4, 40.8), 2.0 / math.sqrt(8 * math.log(2))
    expected = (length - 2 * s / math.sqrt(math.pi)) / (2 * math.sqrt(math.pi) * s * length**2)
    assert template.sum() == pytest.approx(1.0, abs=1e-4)
    assert np.sum(template**2) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    "peer", [p for p in PEERS if p.package != "acstools"], ids=lambda p: p.name
)
def test_a_peer_sees_a_bright_streak_where_it_is(peer):
    if peer.missing:
        pytest.skip(f"{peer.package} is not installed: pip install '.[bench]'")
    # A line of peak S/N 20 a pixel, from (60, 50) to (200, 120), in noise.
    y, x = np.mgrid[:181, :260]
    along = np.clip((140 * (x - 60) + 70 * (y - 50)) / (140**2 + 70**2), 0, 1)
    away = np.hypot(x - 60 - 140 * along, y - 50 - 70 * along)
    z = np.random.default_rng(12).normal(size=x.shape) + 20 * np.exp(-0.5 * (away / 0.85) ** 2)
    image = Prepared(z.astype(np.float32), z.astype(np.float32), np.zeros(z.shape, bool), 0.85)
    found = [peer.find(image, **setting) for setting in peer.settings[::4]]
    truth = [[60.0, 50.0, 200.0, 120.0]]
    hits = [pair_streaks(ends, scores, truth).found[0] >= 0 for ends, scores in found]
    assert np.mean(hits) > 0.5


def test_what_runs_along_a_mask_is_told_from_what_crosses_it():
    mask = np.zeros((100, 120), bool)
    mask[20:80, 59:62] = True
    ends = np.array([[64.0, 30.0, 64.0, 70.0], [30.0, 50.0, 95.0, 52.0]])
    np.testing.assert_array_equal(along_a_mask(ends, mask), [True, False])
    assert along_a_mask(np.zeros((0, 4)), mask).shape == (0,)


@pytest.fixture
def winged():
    from benchmarks.detection_winged import add_winged_clutter

    def draw(seed, shape=(400, 380)):
        light, mask = np.zeros(shape), np.zeros(shape, bool)
        add_winged_clutter(light, mask, 2.2, np.random.default_rng(seed))
        return light, mask

    return draw


def test_the_second_clutter_is_the_same_for_a_seed_and_another_for_another(winged):
    (first, mask), (again, mask_again), (other, _) = winged(3), winged(3), winged(4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(mask, mask_again)
    assert not np.array_equal(first, other)


def test_subtracted_stars_leave_as_much_dark_as_bright(winged):
    # A shift moves light and makes none; what varies and cosmic rays add some.
    light = np.concatenate([winged(seed)[0].ravel() for seed in range(4)])
    dark, bright = -light[light < 0].sum(), light[light > 0].sum()
    assert 0.1 * bright < dark < bright


def test_saturated_stars_are_masked_and_bleed_along_columns(winged):
    _, mask = winged(11, (1500, 1400))
    assert 1e-4 < mask.mean() < 0.05
    longest = mask.sum(axis=0).max(), mask.sum(axis=1).max()
    assert longest[0] > longest[1]
