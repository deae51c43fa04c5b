"""Light that changes slowly over a whole image, and columns that differ."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection import find_streaks
from streaks.frame import Frame
from streaks.noise import estimate_noise, row_pattern, smooth_surface, standardise

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (700, 810)
NOISE = 10.0


def noise(seed: int = 1, shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, NOISE, shape)


def tilt(shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    return NOISE * (30.0 * x - 12.0 * y)


def vignetting(shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return 100.0 * NOISE * np.cos(np.arctan(0.5 * np.hypot(x, y))) ** 4


def surface_of(
    data: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float32] | None:
    mask = np.zeros(data.shape, bool) if mask is None else mask
    return smooth_surface(data.astype(np.float32), mask)


@pytest.mark.parametrize("light", [tilt(), vignetting()], ids=["tilt", "vignetting"])
def test_a_slope_is_known_to_a_fraction_of_the_noise_to_the_very_corners(
    light: NDArray[np.float64],
) -> None:
    surface = surface_of(noise() + light)
    assert surface is not None
    assert np.abs(surface - light).max() < 0.75 * NOISE
    assert np.std(surface - light) < 0.2 * NOISE


def test_a_flat_image_has_none_and_is_left_as_it_is() -> None:
    assert surface_of(noise()) is None
    assert surface_of(noise() + 5000.0) is None
    assert surface_of(noise(shape=(300, 900)) + tilt((300, 900))) is None


def test_bright_things_and_masks_do_not_bend_it() -> None:
    data, mask = noise() + tilt(), np.zeros(SHAPE, bool)
    data[100:260, 200:360] += 500.0 * NOISE
    data[400:500, 300:420] = np.nan
    mask[400:500, 300:420] = True
    surface = surface_of(data, mask)
    assert surface is not None
    assert np.abs(surface - tilt()).max() < 1.5 * NOISE


def test_a_glow_in_a_corner_is_no_streak_either() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    glow = 20.0 * NOISE * np.exp(-0.5 * (np.hypot(x - 90, y - 60) / 80.0) ** 2)
    data = (noise() + glow).astype(np.float32)
    frame = Frame(data=data, mask=np.zeros(SHAPE, bool), name="glow", fwhm_px=2.5)
    assert len(find_streaks(frame)) <= 1


@pytest.mark.parametrize("light", [tilt(), vignetting()], ids=["tilt", "vignetting"])
def test_a_rim_of_a_slope_is_no_streak(light: NDArray[np.float64]) -> None:
    counts = []
    for seed in range(3):
        data = (noise(seed) + light).astype(np.float32)
        frame = Frame(data=data, mask=np.zeros(SHAPE, bool), name="slope", fwhm_px=2.5)
        counts.append(len(find_streaks(frame)))
    assert sum(counts) <= 2


def test_pixels_at_the_floor_stay_out_when_a_slope_is_taken_off() -> None:
    from streaks.config import DetectionConfig, NoiseConfig

    data = (noise() + tilt() + 1000.0).astype(np.float32)
    data[300:340, :] = -99999.0
    frame = Frame(data=data, mask=np.zeros(SHAPE, bool), name="floor", fwhm_px=2.5)
    config = DetectionConfig(noise=NoiseConfig(floor=-90000.0))
    assert len(find_streaks(frame, config)) <= 1


def test_a_column_pattern_is_taken_off_with_no_error_of_its_own() -> None:
    columns = np.random.default_rng(5).normal(0.0, 0.3 * NOISE, SHAPE[1])
    data = (noise() + columns).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    means = standardise(data, estimate_noise(data, mask)).mean(axis=0)
    # Noise alone leaves 1 / sqrt(700) = 0.038 a column; most of it goes with the pattern.
    assert np.std(means) < 0.025


def test_rows_that_differ_are_known_and_rows_of_noise_are_not() -> None:
    rows = np.random.default_rng(7).normal(0.0, 0.2 * NOISE, (SHAPE[0], 1))
    mask = np.zeros(SHAPE, bool)
    found = row_pattern((noise() + rows).astype(np.float32), mask)
    assert found is not None
    # A row's own pixels leave 1 / sqrt(810) of the noise open, those around it a fifth of rows.
    assert np.std(found - rows[:, 0]) < 0.08 * NOISE
    assert row_pattern(noise().astype(np.float32), mask) is None


def test_a_trail_along_rows_is_no_pattern_of_them() -> None:
    data = noise()
    data[400:405] += 3.0 * NOISE
    assert row_pattern(data.astype(np.float32), np.zeros(SHAPE, bool)) is None


def test_rows_that_differ_give_no_streaks() -> None:
    rows = np.random.default_rng(8).normal(0.0, 0.3 * NOISE, (SHAPE[0], 1))
    data = (noise() + rows).astype(np.float32)
    frame = Frame(data=data, mask=np.zeros(SHAPE, bool), name="rows", fwhm_px=2.5)
    assert len(find_streaks(frame)) <= 1


def test_straps_are_taken_off_though_most_columns_are_alike() -> None:
    columns = np.zeros(SHAPE[1])
    columns[300:380] = np.random.default_rng(6).normal(0.0, 1.5 * NOISE, 80)
    data = (noise() + columns).astype(np.float32)
    means = standardise(data, estimate_noise(data, np.zeros(SHAPE, bool))).mean(axis=0)
    assert np.std(means[300:380]) < 0.05


def test_a_trail_along_a_column_is_no_pattern() -> None:
    data = noise()
    data[:, 400:404] += 3.0 * NOISE
    means = standardise(data.astype(np.float32), estimate_noise(data, np.zeros(SHAPE, bool)))
    assert means[:, 401].mean() > 2.0
