"""Files that no survey should have written: each is named with its reason."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from streaks.errors import FrameError, ReadError
from streaks.readers import read_frame
from tests.frame_files import SHAPE, noise_image, write_ztf_frame


def _truncated(path: Path) -> None:
    fits.PrimaryHDU(noise_image()).writeto(path)
    path.write_bytes(path.read_bytes()[: SHAPE[0] * SHAPE[1] * 2])


def _cut_in_the_header(path: Path) -> None:
    fits.PrimaryHDU(noise_image()).writeto(path)
    path.write_bytes(path.read_bytes()[:200])


def _truncated_rice(path: Path) -> None:
    whole = write_ztf_frame(path.parent / "whole")
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def _text(path: Path) -> None:
    path.write_text("this is no FITS file\n" * 200)


def _one_axis(path: Path) -> None:
    fits.PrimaryHDU(np.arange(100.0)).writeto(path)


def _three_axes(path: Path) -> None:
    fits.PrimaryHDU(np.zeros((3, 40, 50), np.float32)).writeto(path)


def _table_only(path: Path) -> None:
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.zeros(3))]).writeto(path)


def _all_nan(path: Path) -> None:
    fits.PrimaryHDU(np.full(SHAPE, np.nan, np.float32)).writeto(path)


def _gzip_twice(path: Path) -> None:
    fits.PrimaryHDU(noise_image()).writeto(path)
    path.write_bytes(gzip.compress(gzip.compress(path.read_bytes())))


def _gzip_cut(path: Path) -> None:
    fits.PrimaryHDU(noise_image()).writeto(path)
    path.write_bytes(gzip.compress(path.read_bytes())[:50_000])


def _huge(path: Path) -> None:
    fits.PrimaryHDU(np.zeros((50, 60), np.float32)).writeto(path)
    content = path.read_bytes()
    for word in (b"NAXIS1", b"NAXIS2"):
        at = content.index(word)
        content = content[: at + 10] + b"%20d" % 160_000 + content[at + 30 :]
    path.write_bytes(content)


def _negative_axis(path: Path) -> None:
    fits.PrimaryHDU(np.zeros((50, 60), np.float32)).writeto(path)
    path.write_bytes(
        path.read_bytes().replace(b"NAXIS1  =                   60", b"NAXIS1  =" + b"-9".rjust(21))
    )


def _endless_axes(path: Path) -> None:
    fits.PrimaryHDU(np.zeros((50, 60), np.float32)).writeto(path)
    axes = b"NAXIS   = " + b"99999999999".rjust(20)
    path.write_bytes(path.read_bytes().replace(b"NAXIS   =                    2", axes))


def _huge_gzipped(path: Path) -> None:
    _huge(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def _huge_rice(path: Path) -> None:
    content = write_ztf_frame(path.parent / "whole").read_bytes()
    for word in (b"ZNAXIS1", b"ZNAXIS2"):
        at = content.index(word)
        content = content[: at + 10] + b"%20d" % 160_000 + content[at + 30 :]
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda path: path.write_bytes(b""), ReadError, r"is empty \(0 bytes\)"),
        (lambda path: None, ReadError, "does not exist"),
        (lambda path: path.mkdir(), ReadError, "is a folder"),
        (_truncated, ReadError, "it is cut short or damaged"),
        (_cut_in_the_header, ReadError, "is damaged|cut short"),
        (_truncated_rice, ReadError, "it is cut short or damaged"),
        (_text, ReadError, "is not a FITS file: it begins with b'this is"),
        (_one_axis, ReadError, "holds no 2-D image; its HDUs are 0 1-D"),
        (_three_axes, ReadError, "is a colour image of 3 planes: choose one"),
        (_table_only, ReadError, "0 without data, 1 a table"),
        (_all_nan, FrameError, "has no usable pixel"),
        (_gzip_twice, ReadError, "is gzip inside gzip"),
        (_gzip_cut, ReadError, "is cut short or damaged"),
        (_huge, ReadError, "promises 160000 x 160000 pixels"),
        (_negative_axis, ReadError, r"NAXIS1 is b'-9'"),
        (_endless_axes, ReadError, r"NAXIS is b'99999999999'"),
        (_huge_gzipped, ReadError, "promises 160000 x 160000 pixels"),
        (_huge_rice, ReadError, "promises 160000 x 160000 pixels"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_bad_file_is_named_with_its_reason(tmp_path, damage, error, words) -> None:
    path = tmp_path / "bad.fits"
    damage(path)
    with pytest.raises(error, match=words) as caught:
        read_frame(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_promise_of_100_gb_allocates_nothing_of_the_sort(tmp_path: Path) -> None:
    path = tmp_path / "huge.fits"
    _huge(path)
    tracemalloc.start()
    try:
        with pytest.raises(ReadError):
            read_frame(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = write_ztf_frame(tmp_path, mask=np.zeros((SHAPE[0] + 1, SHAPE[1]), np.int16))
    with pytest.raises(FrameError, match=r"the mask of .* is \(302, 412\), its image \(301, 412\)"):
        read_frame(path)


def test_a_mask_of_fractions_is_refused(tmp_path: Path) -> None:
    path = write_ztf_frame(tmp_path)
    fits.PrimaryHDU(np.full(SHAPE, 0.5, np.float32)).writeto(tmp_path / "mask.fits")
    with pytest.raises(FrameError, match="holds fractions"):
        read_frame(path, mask=tmp_path / "mask.fits")


def test_a_variance_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = write_ztf_frame(tmp_path)
    fits.PrimaryHDU(np.ones((5, 6), np.float32)).writeto(tmp_path / "variance.fits")
    with pytest.raises(FrameError, match="the variance of"):
        read_frame(path, variance=tmp_path / "variance.fits")


def test_a_science_image_of_another_shape_needs_coordinates(tmp_path: Path) -> None:
    path = write_ztf_frame(tmp_path)
    fits.PrimaryHDU(np.ones((5, 6), np.float32)).writeto(tmp_path / "science.fits")
    with pytest.raises(FrameError, match="no WCS in both"):
        read_frame(path, science=tmp_path / "science.fits")
