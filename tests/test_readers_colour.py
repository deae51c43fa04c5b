"""Raw frames of colour cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.detection import find_streaks
from streaks.readers import read_frame
from streaks.readers.colour import luminance, superpixel, superpixel_wcs
from streaks.sky import to_icrs
from tests.rendering import add_trail, flux_for_snr
from tests.test_readers_coordinates import header as wcs_header

SHAPE = (300, 402)
TRAIL = (60.0, 60.0, 140.0, 110.0)
#: Sky levels and sensitivities of R, G, G, B.
LEVELS, GAINS = (300.0, 500.0, 500.0, 220.0), (0.8, 1.0, 1.0, 0.6)


def mosaic(trail: bool = True, seed: int = 1) -> NDArray[np.uint16]:
    light = np.zeros(SHAPE)
    if trail:
        add_trail(light, TRAIL, flux_for_snr(TRAIL, 150.0, sigma_px=1.1, noise=10.0), 1.1)
    image = np.random.default_rng(seed).normal(0.0, 10.0, SHAPE)
    for i, (level, gain) in enumerate(zip(LEVELS, GAINS, strict=True)):
        part = (slice(i // 2, None, 2), slice(i % 2, None, 2))
        image[part] += level + gain * light[part]
    return np.round(image).astype(np.uint16)


def write(path: Path, data: NDArray[np.generic], **words: object) -> Path:
    hdu = fits.PrimaryHDU(data, wcs_header())
    hdu.header["FWHM"] = 2.6
    hdu.header.update(words)
    hdu.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize(
    ("word", "value"), [("BAYERPAT", "RGGB"), ("COLORTYP", "GRBG"), ("BAYERPAT", "rggb")]
)
def test_a_mosaic_is_evened_out_and_its_trail_found_in_place(
    tmp_path: Path, word: str, value: str
) -> None:
    frame = read_frame(write(tmp_path / "a.fits", mosaic(), **{word: value}))
    assert any("raw colour frame" in note and "superpixel" in note for note in frame.notes)
    streaks = find_streaks(frame)
    assert len(streaks) == 1
    ends = [float(streaks[0][name].value) for name in ("x0", "y0", "x1", "y1")]
    np.testing.assert_allclose(ends, TRAIL, atol=0.6)


def test_a_mosaic_of_nothing_gives_nothing(tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "a.fits", mosaic(trail=False), BAYERPAT="RGGB"))
    assert len(find_streaks(frame)) == 0


def test_a_mosaic_without_a_word_is_suspected(tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "a.fits", mosaic()))
    assert any("--plane luminance" in note for note in frame.notes)


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_of_a_detector_are_no_mosaic(tmp_path: Path, axis: int) -> None:
    data = 500 + np.random.default_rng(1).normal(0.0, 10.0, SHAPE)
    data[
        (slice(None, None, 2), slice(None)) if axis == 0 else (slice(None), slice(None, None, 2))
    ] += 40
    frame = read_frame(write(tmp_path / "a.fits", data.astype(np.uint16)))
    assert not any("plane" in note for note in frame.notes)


def test_a_mosaic_that_was_made_grey_since_is_left_alone(tmp_path: Path) -> None:
    data = (500 + np.random.default_rng(1).normal(0.0, 10.0, SHAPE)).astype(np.uint16)
    frame = read_frame(write(tmp_path / "a.fits", data, BAYERPAT="RGGB"))
    np.testing.assert_array_equal(frame.data, data)
    assert frame.notes[0].startswith("no header word")


def test_raw_leaves_a_mosaic_as_it_is(tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "a.fits", mosaic(), BAYERPAT="RGGB"), plane="raw")
    np.testing.assert_array_equal(frame.data, mosaic())


def test_a_superpixel_halves_the_image_and_keeps_the_sky(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", mosaic(), BAYERPAT="RGGB")
    frame = read_frame(path, plane="superpixel")
    assert frame.shape == (150, 201)
    assert frame.pixel_scale_arcsec == pytest.approx(2.0)
    assert frame.wcs is not None
    # The middle of the first four pixels.
    whole = read_frame(path).wcs
    assert whole is not None
    np.testing.assert_allclose(to_icrs(frame.wcs, 0.0, 0.0), to_icrs(whole, 0.5, 0.5), atol=1e-9)


def test_a_superpixel_halves_a_distortion_too() -> None:
    made = wcs_header(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, B_ORDER=2,
                      A_2_0=2e-4, B_1_1=-3e-4)  # fmt: skip
    whole = WCS(made)
    small = superpixel_wcs(whole)
    x, y = np.array([0.0, 40.0, 80.0]), np.array([60.0, 10.0, 0.0])
    np.testing.assert_allclose(
        to_icrs(small, x, y), to_icrs(whole, 2 * x + 0.5, 2 * y + 0.5), atol=1e-9
    )


def test_luminance_takes_a_plain_mosaic_out_without_a_trace() -> None:
    flat = np.zeros((21, 30))
    for i, level in enumerate(LEVELS):
        flat[i // 2 :: 2, i % 2 :: 2] = level
    np.testing.assert_allclose(luminance(flat), np.mean(LEVELS), rtol=1e-6)
    np.testing.assert_allclose(superpixel(flat), np.mean(LEVELS), rtol=1e-6)


def test_luminance_moves_nothing() -> None:
    point = np.zeros((21, 30))
    point[10, 14] = 16.0
    light = luminance(point)
    assert light.sum() == pytest.approx(16.0)
    assert light[10, 14] == 4.0
    assert light[9, 14] == light[11, 14] == light[10, 13] == light[10, 15] == 2.0
