"""Rice-compressed floats: the same numbers as astropy gives, and no harm from damage."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from streaks.errors import ReadError
from streaks.readers.images import read_image
from streaks.readers.rice import read_rice_floats

SHAPE = (67, 130)


def noisy(shape=SHAPE, seed=1) -> np.ndarray:
    """Sky noise with a bright star and a flat corner."""
    data = np.random.default_rng(seed).normal(3.0, 10.0, shape).astype(np.float32)
    data[20:30, 40:50] += 5e4
    data[: shape[0] // 4, : shape[1] // 2] = 7.0
    return data


def written(folder: Path, data: np.ndarray, **how) -> Path:
    """Compressed in HDU 1, as surveys do."""
    how = {"compression_type": "RICE_1", "tile_shape": (1, data.shape[1]), **how}
    path = folder / "image.fits.fz"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, **how)])
    hdus.writeto(path, overwrite=True)
    return path


def read_fast(path: Path) -> np.ndarray | None:
    with fits.open(path) as hdus:
        info = hdus[1].fileinfo()
    with path.open("rb") as file:
        return read_rice_floats(file, info["hdrLoc"], info["datLoc"], path.stat().st_size)


def read_astropy(path: Path) -> np.ndarray:
    with fits.open(path) as hdus:
        return np.asarray(hdus[1].data, dtype=np.float32)


@pytest.mark.parametrize("dither", [-1, 1, 2])
@pytest.mark.parametrize("rows_per_tile", [1, 8, SHAPE[0]])
def test_values_are_those_of_astropy_bit_by_bit(tmp_path, dither, rows_per_tile):
    data = noisy()
    data[50, ::7] = 0.0
    path = written(
        tmp_path,
        data,
        quantize_method=dither,
        dither_seed=9990,
        tile_shape=(rows_per_tile, SHAPE[1]),
    )
    found = read_fast(path)
    assert found is not None
    np.testing.assert_array_equal(found, read_astropy(path))


def test_long_rows_run_through_the_random_numbers_more_than_once(tmp_path):
    path = written(tmp_path, noisy((3, 25_000)), quantize_method=1, dither_seed=10_000)
    found = read_fast(path)
    assert found is not None
    np.testing.assert_array_equal(found, read_astropy(path))


@pytest.mark.parametrize("level", [1e-4, 1.0, 500.0])
def test_coarse_and_fine_steps_are_read(tmp_path, level):
    path = written(tmp_path, noisy(), quantize_level=level, quantize_method=1, dither_seed=3)
    found = read_fast(path)
    expected = read_astropy(path)
    if found is None:
        # Astropy stores what it cannot quantise without loss, in another column.
        np.testing.assert_array_equal(read_image(path).data, expected)
    else:
        np.testing.assert_array_equal(found, expected)


def test_blank_integers_become_nan(tmp_path):
    path = written(tmp_path, noisy(), quantize_method=-1)
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        scale, zero = (float(hdus[1].data[name][60]) for name in ("ZSCALE", "ZZERO"))
        value = float(read_astropy(path)[60, 100])
        hdus[1].header["ZBLANK"] = round((value - zero) / scale)
    found = read_fast(path)
    assert found is not None
    assert np.isnan(found[60, 100])
    np.testing.assert_array_equal(found, read_astropy(path))


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (noisy(), {"compression_type": "GZIP_1"}),
        (noisy(), {"tile_shape": (16, 16)}),
        (noisy().astype(np.float64), {}),
        (noisy().astype(np.int16), {}),
        (noisy(), {"quantize_level": 0.0, "compression_type": "GZIP_2"}),
    ],
    ids=["gzip", "square tiles", "doubles", "integers", "lossless"],
)
def test_other_kinds_are_left_to_astropy(tmp_path, data, how):
    path = written(tmp_path, data, **how)
    assert read_fast(path) is None
    np.testing.assert_array_equal(np.asarray(read_image(path).data, np.float32), read_astropy(path))


def test_a_tile_that_points_beyond_the_heap_is_left_to_astropy(tmp_path):
    path = written(tmp_path, noisy())
    with fits.open(path, disable_image_compression=True) as hdus:
        at = hdus[1].fileinfo()["datLoc"]
    stored = bytearray(path.read_bytes())
    stored[at + 4 : at + 8] = (2**31 - 5).to_bytes(4, "big")
    path.write_bytes(stored)
    assert read_fast(path) is None


def test_a_tile_of_too_few_bytes_is_left_to_astropy(tmp_path):
    path = written(tmp_path, noisy())
    with fits.open(path, disable_image_compression=True) as hdus:
        at = hdus[1].fileinfo()["datLoc"]
    stored = bytearray(path.read_bytes())
    stored[at : at + 4] = (9).to_bytes(4, "big")
    path.write_bytes(stored)
    assert read_fast(path) is None


@settings(max_examples=60, deadline=None)
@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=30))
def test_flipped_bytes_end_in_an_image_or_a_reason(tmp_path_factory, flips):
    folder = tmp_path_factory.mktemp("flipped")
    path = written(folder, noisy((20, 40)))
    stored = bytearray(path.read_bytes())
    # Behind the primary header: the table's header, its rows and its heap.
    for place, value in flips:
        stored[2880 + int(place * (len(stored) - 2881))] ^= value
    path.write_bytes(stored)
    try:
        data = read_image(path).data
    except ReadError:
        return
    assert data.ndim == 2
