"""The line transform against plain sums along every digital line."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaks.transforms import LineCandidates, line_candidates, line_path, path_noise

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

WHITE = np.ones((1, 1))
SHAPE = (37, 53)


def correlated(rho: float, radius: int = 4) -> NDArray[np.float64]:
    lag = np.abs(np.arange(-radius, radius + 1))
    return (rho ** lag[:, None]) * (rho ** lag[None, :])


def sums_by_hand(image: NDArray[np.float64], level: int) -> dict[tuple[int, int, int], float]:
    """Sum over the path of each (first row, first column, slope), zeros outside the image."""
    ny, nx = image.shape
    h = 2**level
    sums = {}
    for y, slope in itertools.product(range(0, ny, max(h // 2, 1)), range(-(h - 1), h)):
        path = line_path(slope, level)
        for x in range(-h, nx + h):
            columns = x + path
            rows = y + np.arange(h)
            inside = (rows < ny) & (columns >= 0) & (columns < nx)
            sums[y, x, slope] = float(image[rows[inside], columns[inside]].sum())
    return sums


def noise_in_steps(seed: int) -> NDArray[np.float64]:
    """Noise in steps of 1/16, which 16-bit sums of 64 rows hold without rounding."""
    noise = np.random.default_rng(seed).normal(size=SHAPE).clip(-4, 4)
    return np.round(noise * 16) / 16


def all_hits(image: NDArray[np.float64], level: int, threshold: float) -> LineCandidates:
    """One level alone, one cell a column: the best slope of every start."""
    return line_candidates(
        image.astype(np.float32),
        correlation=WHITE,
        threshold_snr=threshold,
        levels=(level, level),
        cell_px=1,
    )


def _columns(hits: LineCandidates) -> tuple[NDArray[np.float64], ...]:
    return hits.x0, hits.y0, hits.x1, hits.y1, hits.snr


@given(st.integers(0, 6), st.data())
def test_a_path_starts_at_its_column_and_ends_its_slope_away(
    level: int, data: st.DataObject
) -> None:
    h = 2**level
    slope = data.draw(st.integers(-(h - 1), h - 1))
    path = line_path(slope, level)
    assert len(path) == h
    assert (path[0], path[-1]) == (0, slope)
    assert (np.abs(np.diff(path)) <= 1).all()
    assert (np.diff(path) * np.sign(slope) >= 0).all()


@given(st.integers(1, 7), st.data())
def test_a_path_stays_near_its_straight_line(level: int, data: st.DataObject) -> None:
    # Goetz & Druckmueller 1996: the digital line leaves the straight one by at most log2(h) / 6;
    # half a pixel more is rounding.
    h = 2**level
    slope = data.draw(st.integers(-(h - 1), h - 1))
    straight = slope * np.arange(h) / (h - 1)
    assert np.abs(line_path(slope, level) - straight).max() <= level / 6 + 0.5


def test_paths_of_opposite_slopes_mirror_each_other() -> None:
    for slope in range(16):
        assert (line_path(-slope, 4) == -line_path(slope, 4)).all()


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_best_sum_of_every_start_is_the_brute_force_one(level: int, transposed: bool) -> None:
    image = noise_in_steps(level)
    if transposed:
        image = np.ascontiguousarray(image.T)
    h = 2**level
    best: dict[tuple[int, int], float] = {}
    for (y, x, _), value in sums_by_hand(image, level).items():
        best[y, x] = max(best.get((y, x), -np.inf), value / np.sqrt(h))
    threshold = 0.8
    hits = all_hits(image, level, threshold)
    # Lines at 45 degrees are found from row to row and from column to column alike.
    steep = np.abs(hits.y1 - hits.y0) == h - 1
    diagonal = steep & (np.abs(hits.x1 - hits.x0) == h - 1)
    found: dict[tuple[int, int], list[float]] = {}
    for x0, y0, snr in zip(hits.x0[steep], hits.y0[steep], hits.snr[steep], strict=True):
        found.setdefault((int(y0), int(x0)), []).append(float(snr))
    expected = {key: value for key, value in best.items() if value > threshold}
    assert len(expected) > 20
    for key, value in expected.items():
        assert any(abs(value - snr) < 1e-4 for snr in found.get(key, ())), key
    own = steep & ~diagonal
    for x0, y0, snr in zip(hits.x0[own], hits.y0[own], hits.snr[own], strict=True):
        assert best[int(y0), int(x0)] == pytest.approx(float(snr), abs=1e-4)


def test_reported_ends_are_those_of_the_path_that_was_summed() -> None:
    image = noise_in_steps(3)
    level, h = 4, 16
    hits = all_hits(image, level, 2.0)
    assert len(hits) > 50
    for x0, y0, x1, y1, snr in zip(hits.x0, hits.y0, hits.x1, hits.y1, hits.snr, strict=True):
        plane, start, slope, row = (
            (image, int(x0), int(x1 - x0), int(y0))
            if abs(y1 - y0) == h - 1 and abs(x1 - x0) < h - 1
            else (image.T, int(y0), int(y1 - y0), int(x0))
        )
        if abs(x1 - x0) == abs(y1 - y0):
            continue
        columns, rows = start + line_path(slope, level), row + np.arange(h)
        inside = (rows < plane.shape[0]) & (columns >= 0) & (columns < plane.shape[1])
        total = plane[rows[inside], columns[inside]].sum() / np.sqrt(h)
        assert snr == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("theta_deg", [0, 10, 30, 44, 60, 80, 90, 100, 120, 136, 150, 175])
def test_a_line_of_any_direction_is_found_where_it_lies(theta_deg: float) -> None:
    image = np.zeros((97, 130))
    c, s = np.cos(np.radians(theta_deg)), np.sin(np.radians(theta_deg))
    for t in np.linspace(-20, 20, 200):
        image[round(48 + t * s), round(64 + t * c)] = 1.0
    hits = line_candidates(
        image.astype(np.float32), correlation=WHITE, threshold_snr=2.0, levels=(2, 5)
    )
    best = int(hits.snr.argmax())
    middle = 0.5 * (hits.x0[best] + hits.x1[best]) - 64, 0.5 * (hits.y0[best] + hits.y1[best]) - 48
    assert abs(-middle[0] * s + middle[1] * c) < 1.5
    dx, dy = hits.x1[best] - hits.x0[best], hits.y1[best] - hits.y0[best]
    turn = (np.degrees(np.arctan2(dy, dx)) - theta_deg + 90) % 180 - 90
    assert abs(turn) < 4.0


def test_half_overlapping_blocks_lose_little_of_a_short_line_anywhere() -> None:
    # Blocks that start at every multiple of h / 2 hold at least 12 of a line's 16 rows whatever
    # its place, so its S/N stays above 12 / sqrt(16); plain dyadic blocks fall to 8 / sqrt(16).
    for y in range(8, 40):
        image = np.zeros((64, 45), np.float32)
        image[y : y + 16, 20] = 1.0
        hits = line_candidates(image, correlation=WHITE, threshold_snr=0.5, levels=(4, 4))
        assert hits.snr.max() >= 12 / 4 - 1e-6


def test_wide_images_are_the_same_across_tiles() -> None:
    # Tiles are 4096 columns wide, the first from 32 before the image; a line over their seam is
    # found as well as one inside.
    seen = []
    for x in (300, 4057, 4064, 4071, 5000):
        image = np.zeros((40, 5100), np.float32)
        image[8:24, x] = image[4, x - 40 : x + 24] = 1.0
        hits = line_candidates(image, correlation=WHITE, threshold_snr=1.0, levels=(2, 5))
        seen.append(round(float(hits.snr.max()), 4))
    assert len(set(seen)) == 1


@pytest.mark.parametrize("level", [2, 4, 6])
def test_rounding_to_sixteen_bits_is_lost_in_the_noise(level: int) -> None:
    # Steps are 2**-8 or finer here: 64 of them add 0.01 of a pixel's noise to a sum of noise 8.
    image = np.random.default_rng(level).normal(size=SHAPE)
    sums = sums_by_hand(image, level)
    for x0, y0, x1, y1, snr in zip(*_columns(all_hits(image, level, 1.5)), strict=True):
        if y1 - y0 == 2**level - 1 and abs(x1 - x0) < y1 - y0:
            by_hand = sums[int(y0), int(x0), int(x1 - x0)] / 2 ** (level / 2)
            assert snr == pytest.approx(by_hand, abs=0.01)


def test_values_count_up_to_the_clip() -> None:
    image = np.zeros(SHAPE, np.float32)
    image[4:20, 30], image[9, 30] = 1.0, 1000.0
    hits = line_candidates(image, correlation=WHITE, threshold_snr=1.0, levels=(4, 4), clip=3.0)
    assert hits.snr.max() == pytest.approx((11 + 3) / 4, abs=0.01)


def test_an_empty_image_has_no_lines() -> None:
    hits = line_candidates(
        np.zeros(SHAPE, np.float32), correlation=WHITE, threshold_snr=1.0, levels=(2, 5)
    )
    assert len(hits) == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (3, 200), (2, 2)])
def test_thin_images_do_no_harm(shape: tuple[int, int]) -> None:
    hits = line_candidates(
        np.ones(shape, np.float32), correlation=WHITE, threshold_snr=1.0, levels=(2, 5)
    )
    assert np.isfinite(hits.snr).all()


@pytest.mark.parametrize("level", [0, 1, 3, 5])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_path_noise_is_the_sum_over_all_pairs_of_pixels(level: int, rho: float) -> None:
    correlation, radius = correlated(rho), 4
    noise = path_noise(level, correlation)
    h = 2**level
    assert len(noise) == 2 * h - 1
    for slope in range(-(h - 1), h):
        path = line_path(slope, level)
        variance = 0.0
        for i, j in itertools.product(range(h), repeat=2):
            dy, dx = j - i, int(path[j] - path[i])
            if abs(dy) <= radius and abs(dx) <= radius:
                variance += correlation[radius + dy, radius + dx]
        assert noise[slope + h - 1] == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_path_noise_of_white_noise_is_the_root_of_its_length() -> None:
    assert path_noise(4, WHITE) == pytest.approx(4.0)


def test_lines_in_noise_have_unit_scatter() -> None:
    # The transform's S/N of one fixed path over many images: mean 0, width 1.
    rng = np.random.default_rng(5)
    values = []
    for _ in range(12):
        image = rng.normal(size=(64, 300))
        sums = [image[y : y + 32, x].sum() for y in (0, 16, 32) for x in range(0, 300, 3)]
        values.extend(np.array(sums) / path_noise(5, WHITE)[31])
    assert np.std(values) == pytest.approx(1.0, abs=0.05)
