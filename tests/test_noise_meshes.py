"""Background and noise of boxes, from a sample and from all pixels."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from astropy.stats import SigmaClip, mad_std
from numpy.typing import NDArray

from streaks.errors import FrameError
from streaks.noise._rows import images_at
from streaks.noise.maps import sky_bands
from streaks.noise.meshes import (
    Meshes,
    _clipped_boxes,
    clipped_medians,
    refine_meshes,
    sky_meshes,
)
from tests.rendering import add_trail

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (320, 448)
BOX = 64


def look(data: NDArray[np.float64], unusable: NDArray[np.bool_] | None = None) -> Meshes:
    image = data.astype(np.float32)
    hidden = np.zeros(image.shape, bool) if unusable is None else unusable
    first = sky_meshes(image, hidden, BOX)
    return refine_meshes(first, image, np.zeros(image.shape[1], np.float32), hidden)


def images(
    meshes: Meshes, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Background and noise at every pixel."""
    background, sigma = images_at(sky_bands(meshes, shape[1]), np.arange(shape[0]))
    return background, sigma


def sky(seed: int, sigma: float = 5.0, level: float = 20.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(level, sigma, SHAPE)


def test_a_box_is_known_as_well_as_its_pixels_allow() -> None:
    meshes = [look(sky(seed)) for seed in range(4)]
    low = np.concatenate([m.background.ravel() for m in meshes])
    sigma = np.concatenate([m.sigma.ravel() for m in meshes])
    # The median of nine means of 4096 pixels: 1.25 / (64 * 3) = 0.0065; boxes beyond the edge and
    # interpolation of the first look leave a little more.
    assert np.std(low - 20.0) < 0.012 * 5.0
    assert np.mean(low) == pytest.approx(20.0, abs=0.005 * 5.0)
    assert np.std(sigma / 5.0) < 0.012
    assert np.mean(sigma) == pytest.approx(5.0, rel=0.005)


def test_a_steep_gradient_is_no_noise() -> None:
    # 0.04 sigma a pixel spreads a box's values by 24 % more than noise does.
    x = np.arange(SHAPE[1])[None, :]
    meshes = look(sky(7) + 0.04 * 5.0 * x)
    assert np.median(meshes.sigma) == pytest.approx(5.0, rel=0.02)


def test_a_bright_streak_moves_neither() -> None:
    data = sky(8)
    without = look(data)
    add_trail(data, (30.0, 40.0, 400.0, 290.0), 450 * 8 * 5.0, 0.9)
    with_it = look(data)
    assert np.abs(with_it.background - without.background).max() < 0.1 * 5.0
    assert np.abs(with_it.sigma / without.sigma - 1.0).max() < 0.1


def test_hidden_pixels_do_not_count() -> None:
    data, hidden = sky(9), np.zeros(SHAPE, bool)
    hidden[64:128, 100:300] = True
    data[hidden] = 1e5
    meshes = look(data, hidden)
    assert np.abs(meshes.background - 20.0).max() < 0.1 * 5.0


def test_one_value_everywhere_is_no_noise() -> None:
    with pytest.raises(FrameError, match="one value"):
        sky_meshes(np.full((64, 80), 3.0, np.float32), np.zeros((64, 80), bool), BOX)


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (9, 7), (65, 200)])
def test_odd_shapes_have_meshes(shape: tuple[int, int]) -> None:
    data = np.random.default_rng(3).normal(0.0, 2.0, shape).astype(np.float32)
    background, sigma = images(sky_meshes(data, np.zeros(shape, bool), BOX), shape)
    assert background.shape == sigma.shape == shape
    assert np.isfinite(background).all()
    assert (sigma > 0).all()


def test_a_meshs_values_stand_at_the_centres_of_their_boxes() -> None:
    mesh = np.array([[0.0, 8.0, 16.0, 24.0]], np.float32).repeat(3, axis=0)
    image, _ = images(Meshes(mesh, np.ones_like(mesh), (4, 4)), (12, 16))
    assert image[5, 5:7].mean() == pytest.approx(8.0)
    assert image[5, 9:11].mean() == pytest.approx(16.0)


def test_a_corner_box_without_a_usable_pixel_is_passed_over() -> None:
    # 65 px are one box of 64 and a corner of one pixel, which is masked.
    hidden = np.zeros((65, 65), bool)
    hidden[64, 64] = True
    data = np.random.default_rng(4).normal(50.0, 3.0, (65, 65))
    meshes = look(data, hidden)
    assert np.isfinite(meshes.background).all()
    assert meshes.sigma == pytest.approx(3.0, rel=0.2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # boxes without a usable pixel
@pytest.mark.parametrize(("hidden_share", "least"), [(0.02, 0.1), (0.995, 0.001)])
def test_boxes_are_those_of_photutils(hidden_share: float, least: float) -> None:
    background = pytest.importorskip("photutils.background")
    shape, box = (103, 117), (16, 15)
    rng = np.random.default_rng(8)
    image = rng.normal(100.0, 5.0, shape).astype(np.float32)
    image[20:30, 60:90] += 500.0
    hidden = rng.random(shape) < hidden_share
    hidden[30:70, 20:60] = True
    peer = background.Background2D(
        image, box, mask=hidden, exclude_percentile=100.0 * (1.0 - least), filter_size=1,
        sigma_clip=SigmaClip(sigma=3.0, maxiters=5), bkg_estimator=np.nanmedian,
        bkg_rms_estimator=partial(mad_std, ignore_nan=True),
    )  # fmt: skip
    low, rms = _clipped_boxes(image, hidden, box, least)
    np.testing.assert_allclose(low, peer.background_mesh, rtol=1e-5)
    np.testing.assert_allclose(rms, peer.background_rms_mesh, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a row without values
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize("n", [1, 2, 30, 31])
def test_clipped_medians_of_rows_are_those_of_astropy(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(20.0, 2.0, (40, n)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] += 50.0
    values[rng.random(values.shape) < 0.2] = np.nan
    values[7] = np.nan
    kept = SigmaClip(sigma=3.0, maxiters=5)(values, axis=1, masked=False)
    bounds, counts, median, away = clipped_medians(np.sort(values, axis=1), 3.0, 5)
    inside = (values >= bounds[:, :1]) & (values <= bounds[:, 1:])
    np.testing.assert_array_equal(np.where(inside, values, np.float32(np.nan)), kept)
    np.testing.assert_array_equal(counts, np.count_nonzero(~np.isnan(kept), axis=1))
    middle = np.nanmedian(kept, axis=1)
    np.testing.assert_allclose(median, middle, rtol=1e-6)
    deviation = np.nanmedian(np.abs(kept - middle[:, None]), axis=1)
    np.testing.assert_allclose(away.mean(axis=1), deviation, rtol=1e-4, atol=1e-6)


def test_without_clipping_all_values_count() -> None:
    row = np.array([[1.0, 2.0, 4.0, 90.0, np.nan]], np.float32)
    _, counts, median, away = clipped_medians(row, np.inf, 0)
    assert (counts[0], median[0], away[0].tolist()) == (4, 3.0, [1.0, 2.0])


def test_a_box_of_mostly_one_count_has_the_scatter_of_its_pixels() -> None:
    sample = np.zeros((8, 8), np.float32)
    sample[::3, ::3] = 1.0
    _, rms = _clipped_boxes(sample, np.zeros((8, 8), bool), (8, 8), 0.1)
    assert rms[0, 0] == pytest.approx(sample.std(), rel=1e-5)
