"""Images of gzipped rows: the same values as astropy gives, and no harm from damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from streaks.readers.gzip_tiles import read_gzip_tiles
from streaks.readers.images import read_image

SHAPE = (67, 130)
KINDS = ["u1", "i2", "i4", "f4", "f8"]


def values(kind: str) -> NDArray[Any]:
    """All bytes of a value are used somewhere, and in some rows only the lightest."""
    rng = np.random.default_rng(1)
    if kind.startswith("f"):
        data = rng.normal(0.0, 1e4, SHAPE).astype(kind)
        data[3, 4:9] = np.nan
        return data
    limits = np.iinfo(kind)
    data = rng.integers(limits.min, limits.max, SHAPE, endpoint=True).astype(kind)
    data[10:20] = rng.integers(0, 120, (10, SHAPE[1]))
    data[20:25] = 0
    return data


def written(folder: Path, data: NDArray[Any], **how: Any) -> Path:
    words = {"compression_type": "GZIP_2", "tile_shape": (1, data.shape[1]),
             "quantize_level": 0.0, **how}  # fmt: skip
    path = folder / "image.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, **words)]).writeto(
        path, overwrite=True
    )
    return path


def read_fast(path: Path) -> NDArray[Any] | None:
    with fits.open(path) as hdus:
        info = hdus[1].fileinfo()
    with path.open("rb") as file:
        return read_gzip_tiles(file, info["hdrLoc"], info["datLoc"], path.stat().st_size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coding", ["GZIP_1", "GZIP_2"])
@pytest.mark.parametrize("rows", [1, 8, SHAPE[0]])
def test_values_are_those_of_astropy(tmp_path: Path, kind: str, coding: str, rows: int) -> None:
    data = values(kind)
    path = written(tmp_path, data, compression_type=coding, tile_shape=(rows, SHAPE[1]))
    found = read_fast(path)
    assert found is not None
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found, data)
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(found, hdus[1].data)


@pytest.mark.parametrize("most", [255, 65535, 65536])
def test_masks_of_few_planes_take_half_the_room(tmp_path: Path, most: int) -> None:
    data = np.zeros(SHAPE, "i4")
    data[5, 6], data[60, 7] = most, 3
    found = read_fast(written(tmp_path, data))
    assert found is not None
    assert found.dtype == (np.uint16 if most < 65536 else np.int32)
    np.testing.assert_array_equal(found, data)


def test_what_is_read_goes_this_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, values("i4"))
    monkeypatch.setattr(fits.CompImageHDU, "data", property(lambda self: pytest.fail("slow way")))
    np.testing.assert_array_equal(read_image(path).data, values("i4"))


@pytest.mark.parametrize(
    "how",
    [{"tile_shape": (16, 16)}, {"compression_type": "RICE_1"}, {"uint": True}],
    ids=["squares", "rice", "unsigned"],
)
def test_other_kinds_are_left_to_astropy(tmp_path: Path, how: dict[str, Any]) -> None:
    data = values("i2").astype("u2") if how.pop("uint", False) else values("i2")
    path = written(tmp_path, data, **how)
    assert read_fast(path) is None
    np.testing.assert_array_equal(np.asarray(read_image(path).data), data)


def test_quantised_floats_are_left_to_astropy(tmp_path: Path) -> None:
    assert read_fast(written(tmp_path, values("f4"), quantize_level=16.0)) is None


def test_damage_is_no_image_and_never_a_crash(tmp_path: Path) -> None:
    path = written(tmp_path, values("i4"))
    content = path.read_bytes()
    with fits.open(path) as hdus:
        at = hdus[1].fileinfo()["datLoc"]
    rng = np.random.default_rng(7)
    n_none = 0
    for _ in range(60):
        bad = bytearray(content)
        for place in rng.integers(at, len(bad), 3):
            bad[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(bad))
        with path.open("rb") as file:
            found = read_gzip_tiles(file, 2880, at, len(bad))
        # Gzip's own checksum tells; what passes lies in the padding, or in a row's own words.
        n_none += found is None
        assert found is None or found.shape == SHAPE
    assert n_none > 30


def test_a_row_that_unpacks_to_more_is_no_image(tmp_path: Path) -> None:
    wide = written(tmp_path, np.zeros((67, 4000), "i4"))
    with fits.open(wide) as hdus:
        info = hdus[1].fileinfo()
    content = bytearray(wide.read_bytes())
    place = content.index(b"ZNAXIS1 =")
    content[place : place + 30] = f"ZNAXIS1 = {130:20d}".encode()
    place = content.index(b"ZTILE1  =")
    content[place : place + 30] = f"ZTILE1  = {130:20d}".encode()
    wide.write_bytes(bytes(content))
    with wide.open("rb") as file:
        assert read_gzip_tiles(file, info["hdrLoc"], info["datLoc"], len(content)) is None
