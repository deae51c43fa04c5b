"""Fill of one value is masked; coarse counts are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from streaks.detection import find_streaks
from streaks.frame import Frame
from streaks.readers import read_frame
from tests.rendering import add_trail, flux_for_snr

SHAPE = (301, 402)
TRAIL = (60.0, 60.0, 140.0, 110.0)


def sky(level: float = 1000.0, sigma: float = 10.0, seed: int = 1) -> NDArray[np.float64]:
    """Noise on a sky, with one trail of S/N 48."""
    image = np.random.default_rng(seed).normal(0.0, sigma, SHAPE)
    add_trail(image, TRAIL, flux_for_snr(TRAIL, 48.0, sigma_px=0.94, noise=sigma), 0.94)
    return image + level


def read(tmp_path: Path, data: NDArray[np.generic]) -> Frame:
    hdu = fits.PrimaryHDU(data)
    hdu.header["FWHM"] = 2.2
    hdu.writeto(tmp_path / "a.fits", overwrite=True)
    return read_frame(tmp_path / "a.fits")


def region(name: str) -> NDArray[np.bool_]:
    """Where the fill is."""
    iy, ix = np.indices(SHAPE)
    return {
        "strip": ix < 24,
        "half": ix >= 201,
        "border": (iy < 2) | (ix >= SHAPE[1] - 3),
        "block": (abs(iy - 220) < 20) & (abs(ix - 300) < 30),
        "turned": ix + 0.3 * iy > 420,
        "column": ix == 250,
    }[name]


@pytest.mark.parametrize("kind", [np.float32, np.int16])
@pytest.mark.parametrize("name", ["strip", "half", "border", "block", "turned", "column"])
@pytest.mark.parametrize("value", [0.0, -999.0])
def test_fill_is_masked_and_the_one_streak_found(
    tmp_path: Path, name: str, kind: type[np.generic], value: float
) -> None:
    data, where = sky(), region(name)
    data[where] = value
    frame = read(tmp_path, data.astype(kind))
    np.testing.assert_array_equal(frame.mask, where)
    streaks = find_streaks(frame)
    assert len(streaks) == 1
    assert streaks[0]["snr"] == pytest.approx(48.0, rel=0.15)


def test_zeros_in_a_difference_are_fill_too(tmp_path: Path) -> None:
    data, where = sky(level=0.0), region("block")
    data[where] = 0.0
    np.testing.assert_array_equal(read(tmp_path, data.astype(np.float32)).mask, where)


@pytest.mark.parametrize("sigma", [0.3, 0.45, 0.8, 5.0])
def test_coarse_counts_are_no_fill(tmp_path: Path, sigma: float) -> None:
    data = np.round(np.random.default_rng(2).normal(100.0, sigma, SHAPE)).astype(np.int16)
    assert not read(tmp_path, data).mask.any()


@pytest.mark.parametrize("rate", [0.003, 0.1])
def test_few_photons_are_no_fill(tmp_path: Path, rate: float) -> None:
    data = np.random.default_rng(2).poisson(rate, SHAPE).astype(np.int16)
    assert not read(tmp_path, data).mask.any()


def test_fill_beside_coarse_counts_is_masked(tmp_path: Path) -> None:
    data = np.round(np.random.default_rng(2).normal(100.0, 0.45, SHAPE))
    data[:, :60] = 0.0
    mask = read(tmp_path, data.astype(np.int16)).mask
    assert mask[:, :60].all()
    assert not mask[:, 60:].any()


def test_a_saturated_star_is_no_fill(tmp_path: Path) -> None:
    iy, ix = np.indices(SHAPE)
    data = np.minimum(sky() + 1e6 * np.exp(-0.5 * ((ix - 300) ** 2 + (iy - 200) ** 2) / 16), 65535)
    assert not read(tmp_path, data.astype(np.uint16)).mask.any()


def test_an_image_of_one_value_is_left_to_the_noise(tmp_path: Path) -> None:
    assert not read(tmp_path, np.ones(SHAPE, np.int16)).mask.any()


def test_coarse_counts_have_the_noise_of_their_variance(tmp_path: Path) -> None:
    # Rounded to whole counts: 0.45**2 + 1/12. More than half of the pixels are 100.
    sigma = np.hypot(0.45, np.sqrt(1 / 12))
    image = np.random.default_rng(3).normal(100.0, 0.45, SHAPE)
    flux = flux_for_snr(TRAIL, 40.0, sigma_px=0.94, noise=float(sigma))
    add_trail(image, TRAIL, flux, 0.94)
    streaks = find_streaks(read(tmp_path, np.round(image).astype(np.int16)))
    assert len(streaks) == 1
    assert streaks[0]["snr"] == pytest.approx(40.0, rel=0.15)


def test_few_photons_have_noise(tmp_path: Path) -> None:
    data = np.random.default_rng(2).poisson(0.01, SHAPE).astype(np.int16)
    assert len(find_streaks(read(tmp_path, data))) == 0
