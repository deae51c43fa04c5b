"""What is hidden before lines are looked for: what is sharper than the PSF, and points."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection.point_sources import (
    bright_points,
    hide_points,
    sharp_pixels,
    shortest_shoulder,
)
from streaks.detection.search import filter_image
from tests.rendering import add_star, add_trail

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (90, 121)
SIGMA_PX = 0.85
WHITE = np.zeros((5, 5))
WHITE[2, 2] = 1.0


def noise(seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=SHAPE)


def sharp(z: NDArray[np.float64], sigma_px: float = SIGMA_PX) -> NDArray[np.bool_]:
    return on_an_image(sharp_pixels(z.astype(np.float32), np.ones(SHAPE, bool), sigma_px))


def on_an_image(pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    image = np.zeros(SHAPE, bool)
    image[tuple(pixels.T)] = True
    return image


def peaks(z: NDArray[np.float64]) -> NDArray[np.float64]:
    filtered = filter_image(z.astype(np.float32), np.ones(SHAPE, bool), WHITE, SIGMA_PX)
    return bright_points(filtered.snr, SIGMA_PX, 3.0)


@pytest.mark.parametrize("step", [(0, 1), (1, 0), (1, 1), (-1, 1)])
def test_a_line_one_pixel_wide_is_sharp(step: tuple[int, int]) -> None:
    z = noise()
    on = [(45 + k * step[0], 60 + k * step[1]) for k in range(12)]
    for y, x in on:
        z[y, x] += 80.0
    found = sharp(z)
    assert all(found[y, x] for y, x in on)


@pytest.mark.parametrize("theta_deg", [0.0, 22.0, 45.0, 90.0, 131.0])
def test_light_that_the_psf_has_blurred_is_not_sharp(theta_deg: float) -> None:
    half = 15.0 * np.array([np.cos(np.radians(theta_deg)), np.sin(np.radians(theta_deg))])
    z = noise(2)
    add_trail(z, (60.3 - half[0], 45.6 - half[1], 60.3 + half[0], 45.6 + half[1]), 6000.0, SIGMA_PX)
    add_star(z, 20.4, 21.7, 4000.0, SIGMA_PX)
    assert not sharp(z).any()


def test_noise_alone_is_not_sharp() -> None:
    assert not sharp(noise(3)).any()


def test_nothing_is_sharp_beside_a_mask_or_to_an_undersampled_psf() -> None:
    z, usable = noise(4), np.ones(SHAPE, bool)
    z[45, 60] += 100.0
    usable[45, 61] = False
    assert len(sharp_pixels(z.astype(np.float32), usable, SIGMA_PX)) == 0
    assert not sharp(z, sigma_px=0.6).any()


def test_stars_and_dipoles_are_compact() -> None:
    z = noise(5)
    add_star(z, 30.2, 40.7, 300.0, SIGMA_PX)
    add_star(z, 80.0, 50.0, 500.0, SIGMA_PX)
    add_star(z, 81.4, 50.5, -480.0, SIGMA_PX)
    found = peaks(z)
    assert len(found) == 2
    assert sorted(np.rint(found[:, 0])) == pytest.approx([30, 80], abs=1)


@pytest.mark.parametrize("length", [5.0, 12.0, 60.0])
@pytest.mark.parametrize("theta_deg", [0.0, 17.0, 45.0, 101.0])
def test_a_streak_is_not_compact(length: float, theta_deg: float) -> None:
    half = 0.5 * length * np.array([np.cos(np.radians(theta_deg)), np.sin(np.radians(theta_deg))])
    z = noise(6)
    ends = (60.4 - half[0], 45.1 - half[1], 60.4 + half[0], 45.1 + half[1])
    add_trail(z, ends, 150.0 * np.sqrt(length), SIGMA_PX)
    assert len(peaks(z)) == 0


def test_the_shortest_trails_shoulder_lies_between_a_points_and_a_lines() -> None:
    # A point falls to exp(-d**2 / (4 s**2)) with d = 2.4 s.
    assert shortest_shoulder(1.0, 0.1) == pytest.approx(np.exp(-(2.4**2) / 4), rel=0.01)
    assert shortest_shoulder(1.0, 3.0) > 1.3 * shortest_shoulder(1.0, 0.1)
    assert shortest_shoulder(1.0, 40.0) == pytest.approx(1.0)


def test_a_hidden_star_leaves_no_light_above_the_noise() -> None:
    z = noise(7)
    add_star(z, 60.3, 45.2, 5000.0, SIGMA_PX)
    filtered = filter_image(z.astype(np.float32), np.ones(SHAPE, bool), WHITE, SIGMA_PX)
    found = bright_points(filtered.snr, SIGMA_PX, 3.0)
    usable = np.ones(SHAPE, bool)
    hide_points(filtered.snr, filtered.cover, usable, found, SIGMA_PX)
    assert filtered.snr.max() < 5.0
    assert filtered.cover[45, 60] == 0.0
    assert (usable == (filtered.cover > 0)).all()
    # No more than the disc that its light reaches: 1.2 px * sqrt(2 ln(2 * 1660)) + 6.6 px.
    assert (filtered.cover == 0).sum() < np.pi * 12.5**2
