"""The short way through usual files: the same image as astropy gives, and no other file taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from streaks.readers.images import read_image
from streaks.readers.structure import check_structure
from streaks.readers.usual import read_usual

SHAPE = (67, 130)
#: Words that astropy writes by itself, and those of the table that a compressed image is in.
_OWN = {"SIMPLE", "XTENSION", "EXTEND", "PCOUNT", "GCOUNT", ""}


def image(kind: str = "f4") -> np.ndarray:
    values = np.random.default_rng(5).normal(20.0, 10.0, SHAPE)
    return np.clip(values, 0, 100).astype(kind)


def header() -> fits.Header:
    words = {"OBSJD": 2458276.75, "FILTER": "ZTF_r", "CRVAL1": 200.25, "QUOTED": "it's / here"}
    made = fits.Header(list(words.items()))
    made["EXPTIME"] = (30.0, "[s] start of exposure")
    return made


def plain(path: Path, kind: str = "f4", **cards: Any) -> Path:
    hdu = fits.PrimaryHDU(image(kind), header())
    hdu.header.update(cards)
    hdu.writeto(path, overwrite=True)
    return path


def compressed(path: Path, **primary: Any) -> Path:
    first = fits.PrimaryHDU()
    first.header.update(primary)
    hdu = fits.CompImageHDU(image(), header(), tile_shape=(1, SHAPE[1]), quantize_method=1)
    fits.HDUList([first, hdu]).writeto(path, overwrite=True)
    return path


def read(path: Path) -> tuple[np.ndarray, fits.Header] | None:
    with path.open("rb") as file:
        return read_usual(file, check_structure(file, str(path)), path.stat().st_size)


def assert_as_astropy(path: Path, hdu: int) -> None:
    found = read(path)
    assert found is not None
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(found[0], hdus[hdu].data)
        expected = {word: hdus[hdu].header[word] for word in hdus[hdu].header if word not in _OWN}
        comments = {word: hdus[hdu].header.comments[word] for word in expected}
    assert {word: found[1][word] for word in found[1] if word not in _OWN} == expected
    assert {word: found[1].comments[word] for word in expected} == comments


@pytest.mark.parametrize("kind", ["u1", ">i2", ">i4", ">i8", ">f4", ">f8"])
def test_a_plain_image_is_that_of_astropy(tmp_path: Path, kind: str) -> None:
    assert_as_astropy(plain(tmp_path / "a.fits", kind), 0)


def test_a_compressed_image_is_that_of_astropy(tmp_path: Path) -> None:
    assert_as_astropy(compressed(tmp_path / "a.fits.fz"), 1)


def test_words_of_the_primary_header_come_behind_the_images_own(tmp_path: Path) -> None:
    found = read(compressed(tmp_path / "a.fits.fz", TELESCOP="P48", FILTER="other"))
    assert found is not None
    assert (found[1]["TELESCOP"], found[1]["FILTER"]) == ("P48", "ZTF_r")


def test_what_is_written_to_an_image_does_not_reach_its_file(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.fits")
    before = path.read_bytes()
    found = read(path)
    assert found is not None
    found[0][:] = 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "cards",
    [{"BZERO": 5.0}, {"BSCALE": 2.0}, {"BLANK": 7}, {"LONGTEXT": "x" * 100}, {"PCOUNT": 0}],
)
def test_what_is_unusual_is_left_to_astropy(tmp_path: Path, cards: dict[str, Any]) -> None:
    path = plain(tmp_path / "a.fits", ">i2")
    fits.setval(path, next(iter(cards)), value=next(iter(cards.values())))
    assert read(path) is None
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(read_image(path).data, hdus[0].data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"BITPIX  =                  -32", b"BITPIX  =                  -33"),
        (b"NAXIS1  =                  130", b"NAXIS1  =             99999999"),
        (b"SIMPLE  =                    T", b"SIMPLE  =                    F"),
        (b"ZTF_r", b"ZTF\xe9r"),
        (b"ZTF_r", b"ZTF\x00r"),
    ],
)
def test_damaged_headers_are_left_to_astropy(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = plain(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes().replace(old, new))
    assert read(path) is None


def test_an_image_cut_short_is_left_to_astropy(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes()[: 2880 * 3])
    assert read(path) is None


def test_a_compressed_promise_of_more_than_can_be_allocates_nothing(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.fits.fz")
    content = path.read_bytes()
    for word, size in ((b"ZNAXIS1", 130), (b"ZTILE1 ", 130)):
        old = word + b" = %20d" % size
        assert old in content
        content = content.replace(old, word + b" = %20d" % 10**9)
    path.write_bytes(content)
    assert read(path) is None
