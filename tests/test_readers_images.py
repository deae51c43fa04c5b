"""Which image of a file is searched, which belong to it, and which are left out and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from numpy.typing import NDArray
from PIL import Image

from streaks.errors import ReadError
from streaks.readers import find_frames, read_frame
from tests.frame_files import noise_image, write_ztf_frame

SHAPE = (61, 80)


def image(seed: int = 1) -> NDArray[np.float32]:
    return noise_image(SHAPE, seed)


def hdu(data: NDArray[np.generic], name: str = "", version: int = 1) -> fits.ImageHDU:
    return fits.ImageHDU(data, name=name, ver=version)


def written(path: Path, *hdus: fits.ImageHDU) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def labels(path: Path) -> list[str]:
    return [frame.image.name for frame in find_frames([path])]


# --------------------------------------------------------------------------- images of one file


def test_all_science_images_are_frames_with_their_own_masks(tmp_path: Path) -> None:
    flags = np.zeros(SHAPE, np.int16)
    flags[3, 4] = 1
    path = written(
        tmp_path / "two.fits",
        hdu(image(1), "SCI", 1), hdu(flags * 0, "DQ", 1),
        hdu(image(2), "SCI", 2), hdu(flags, "DQ", 2),
    )  # fmt: skip
    frames = find_frames([path])
    assert [frame.image.name for frame in frames] == ["two.fits[SCI,1]", "two.fits[SCI,2]"]
    assert [frame.name for frame in frames] == ["two_SCI_1", "two_SCI_2"]
    assert all(frame.paths == (path,) for frame in frames)
    first, second = (read_frame(frame.image) for frame in frames)
    np.testing.assert_array_equal(second.data, image(2))
    assert (first.mask.sum(), second.mask.sum()) == (0, 1)
    assert second.mask[3, 4]
    assert second.told["mask"] == "DQ,2 of the file"


def test_images_of_one_version_go_by_their_order(tmp_path: Path) -> None:
    flags = np.zeros(SHAPE, np.int16)
    path = written(
        tmp_path / "two.fits", hdu(image(1), "SCI"), hdu(flags, "DQ"), hdu(image(2), "SCI"),
        hdu(flags + 1, "DQ"),
    )  # fmt: skip
    assert labels(path) == ["two.fits[SCI,1]", "two.fits[SCI,2]"]
    assert read_frame(f"{path}[SCI,1]").mask.sum() == 0
    with pytest.raises(Exception, match="no usable pixel"):
        read_frame(f"{path}[SCI,2]")


def test_chips_by_name_and_by_number(tmp_path: Path) -> None:
    named = written(tmp_path / "named.fits", hdu(image(1), "CCD1"), hdu(image(2), "CCD2"))
    assert labels(named) == ["named.fits[CCD1]", "named.fits[CCD2]"]
    bare = written(tmp_path / "bare.fits", hdu(image(1)), hdu(image(2)))
    assert labels(bare) == ["bare.fits[1]", "bare.fits[2]"]
    np.testing.assert_array_equal(read_frame(f"{bare}[2]").data, image(2))


def test_a_data_quality_plane_in_front_is_no_image(tmp_path: Path) -> None:
    path = written(tmp_path / "a.fits", hdu(np.zeros(SHAPE, np.int16), "DQ"), hdu(image(), "SCI"))
    frame = read_frame(path)
    np.testing.assert_array_equal(frame.data, image())
    assert labels(path) == ["a.fits"]


@pytest.mark.parametrize("name", ["PSF", "BKG", "ERR", "WHT", "DQ", "BPM", "EXPMAP", "MASK_2"])
def test_planes_by_name_are_no_frames(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "a.fits", hdu(image()), hdu(image(2), name))
    assert labels(path) == ["a.fits"]


def test_previews_and_unnamed_masks_are_left_out(tmp_path: Path) -> None:
    small = noise_image((20, 30))
    path = written(tmp_path / "a.fits", hdu(image()), hdu(small), hdu(np.zeros(SHAPE, np.uint8)))
    assert labels(path) == ["a.fits"]
    assert "[2], [3] left out" in read_frame(path).told["image"]


@pytest.mark.parametrize(
    ("name", "make"),
    [("ERR", np.sqrt), ("VAR", lambda v: v), ("IVM", lambda v: 1 / v), ("WEIGHT", lambda v: 1 / v)],
)  # fmt: skip
def test_errors_and_weights_become_the_variance(tmp_path: Path, name: str, make) -> None:  # type: ignore[no-untyped-def]
    variance = np.full(SHAPE, 144.0, np.float32)
    path = written(tmp_path / "a.fits", hdu(image(), "SCI"), hdu(make(variance), name))
    frame = read_frame(path)
    assert frame.variance is not None
    np.testing.assert_allclose(frame.variance, 144.0, rtol=1e-5)


def test_what_ccddata_writes_is_read_with_mask_and_uncertainty(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[5, 6] = True
    ccd = CCDData(
        image(), unit="adu", mask=mask, uncertainty=StdDevUncertainty(np.full(SHAPE, 12.0))
    )
    ccd.write(tmp_path / "ccd.fits")
    frame = read_frame(tmp_path / "ccd.fits")
    assert frame.mask.sum() == 1
    assert frame.mask[5, 6]
    assert frame.variance is not None
    np.testing.assert_allclose(frame.variance, 144.0)


def test_the_users_choice_goes_first(tmp_path: Path) -> None:
    path = written(tmp_path / "a.fits", hdu(image(1), "SCI"), hdu(image(2), "BKG"))
    np.testing.assert_array_equal(read_frame(path, hdu="BKG").data, image(2))
    np.testing.assert_array_equal(read_frame(path, hdu=2).data, image(2))
    assert [f.image.name for f in find_frames([path], hdu="BKG")] == ["a.fits[BKG]"]


def test_an_image_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = written(tmp_path / "a.fits", hdu(image(), "SCI"))
    with pytest.raises(ReadError, match="has no image SCI,3; it has SCI"):
        read_frame(f"{path}[SCI,3]")


def test_a_file_that_is_called_so_is_meant(tmp_path: Path) -> None:
    fits.PrimaryHDU(image()).writeto(tmp_path / "a.fits[1].fits")
    assert read_frame(tmp_path / "a.fits[1].fits").name == "a.fits[1]"


def test_a_surveys_files_are_not_opened_to_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ztf_frame(tmp_path)
    monkeypatch.setattr("streaks.readers.files.image_choices", lambda path: 1 / 0)
    assert len(find_frames([tmp_path])) == 1


def test_a_damaged_file_is_one_frame_and_reading_says_why(tmp_path: Path) -> None:
    path = written(tmp_path / "a.fits", hdu(image(1), "SCI", 1), hdu(image(2), "SCI", 2))
    path.write_bytes(path.read_bytes()[:9000])
    frames = find_frames([path])
    with pytest.raises(ReadError):
        read_frame(frames[-1].image)


# -------------------------------------------------------------------------------- axes and planes


@pytest.mark.parametrize("shape", [(1, *SHAPE), (1, 1, *SHAPE), (*SHAPE, 1)])
def test_axes_of_one_pixel_are_dropped(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.fits"
    made = fits.PrimaryHDU(image().reshape(shape))
    # The sky is on the axes that are long.
    x, y = (1, 2) if shape[-1] > 1 else (2, 3)
    for axis, name, value in ((x, "RA---TAN", 150.0), (y, "DEC--TAN", 20.0)):
        made.header[f"CTYPE{axis}"], made.header[f"CRVAL{axis}"] = name, value
        made.header[f"CRPIX{axis}"], made.header[f"CDELT{axis}"] = 1.0, 1.0 / 3600
    made.writeto(path)
    frame = read_frame(path)
    assert frame.shape == SHAPE
    assert frame.wcs is not None
    assert frame.wcs.naxis == 2
    assert frame.pixel_scale_arcsec == pytest.approx(1.0)


@pytest.mark.parametrize("last", [False, True])
def test_a_colour_image_is_told_as_such_with_what_to_do(tmp_path: Path, last: bool) -> None:
    planes = np.stack([image(1), image(2), image(3)])
    path = tmp_path / "rgb.fits"
    fits.PrimaryHDU(np.moveaxis(planes, 0, -1) if last else planes).writeto(path)
    with pytest.raises(ReadError, match=r"colour image of 3 planes: .*--plane luminance"):
        read_frame(path)
    np.testing.assert_array_equal(read_frame(path, plane=2).data, image(2))
    np.testing.assert_allclose(
        read_frame(path, plane="luminance").data, planes.mean(axis=0), rtol=1e-5, atol=1e-4
    )
    with pytest.raises(ReadError, match="there is no plane '4'"):
        read_frame(path, plane=4)


# ------------------------------------------------------------------------------- integers' BLANK


@pytest.mark.parametrize("compressed", [False, True])
def test_blank_of_unsigned_integers_is_masked(tmp_path: Path, compressed: bool) -> None:
    # Stored as 32767 with BZERO 32768: 65535, which astropy leaves as a number.
    counts = (1000 + image()).astype(np.uint16)
    counts[7, 8] = 65535
    made = fits.CompImageHDU(counts) if compressed else fits.PrimaryHDU(counts)
    made.header["BLANK"] = 32767
    hdus = [fits.PrimaryHDU(), made] if compressed else [made]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    mask = read_frame(tmp_path / "a.fits").mask
    assert mask[7, 8]
    assert mask.sum() == 1


# ------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_grey_picture_is_read_from_its_last_row(tmp_path: Path, suffix: str) -> None:
    grey = np.random.default_rng(1).integers(0, 200, SHAPE).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / f"sky{suffix}")
    frame = read_frame(tmp_path / f"sky{suffix}")
    np.testing.assert_array_equal(frame.data, grey[::-1])
    assert find_frames([tmp_path / f"sky{suffix}"])[0].image.name == f"sky{suffix}"


def test_sixteen_bits_of_a_picture_are_kept(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 60000, SHAPE).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_frame(tmp_path / "deep.png").data, deep[::-1])


def test_three_equal_colours_are_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 200, SHAPE).astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_frame(tmp_path / "grey.png").data, grey[::-1])


def test_a_colour_picture_is_refused_with_the_command_that_takes_it(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 200, (*SHAPE, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "colour.png")
    with pytest.raises(ReadError, match=r"--plane luminance; .*streaks classify colour\.png"):
        read_frame(tmp_path / "colour.png")
    data = read_frame(tmp_path / "colour.png", plane="luminance").data
    np.testing.assert_allclose(data, colours.mean(axis=-1)[::-1], rtol=1e-5)


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(ReadError, match="cannot be read as a picture"):
        read_frame(tmp_path / "bad.png")


@pytest.mark.parametrize("name", ["", "CUBE"])
@pytest.mark.parametrize("kind", ["plain", "compressed"])
def test_a_cube_is_named_and_one_plane_read(tmp_path: Path, kind: str, name: str) -> None:
    planes = np.random.default_rng(5).normal(0, 10, (2, 41, 50)).astype(np.float32)
    make = fits.ImageHDU if kind == "plain" else fits.CompImageHDU
    hdu = make(planes, name=name or None)
    path = tmp_path / "c.fits"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    with pytest.raises(ReadError, match=r"cube of 2 planes: choose one with --plane 1 to 2"):
        read_frame(path)
    np.testing.assert_allclose(read_frame(path, plane="2").data, planes[1], atol=1.5)


def test_a_file_of_masks_alone_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.fits"
    mask = fits.ImageHDU(np.zeros((41, 50), np.int16), name="DQ")
    fits.HDUList([fits.PrimaryHDU(), mask]).writeto(path)
    with pytest.raises(ReadError, match=r"no 2-D image to search; .* 1 2-D \(DQ\); --hdu takes"):
        read_frame(path)


def test_the_pages_of_a_tiff_that_are_not_searched_are_said(tmp_path: Path) -> None:
    from PIL import Image

    grey = np.random.default_rng(5).normal(100, 10, (41, 50)).astype(np.uint8)
    pages = [Image.fromarray(grey) for _ in range(3)]
    pages[0].save(tmp_path / "one.tif")
    pages[0].save(tmp_path / "many.tif", save_all=True, append_images=pages[1:])
    assert not any("page" in note for note in read_frame(tmp_path / "one.tif").notes)
    notes = read_frame(tmp_path / "many.tif").notes
    assert "the first of several pages is searched; store the others as files" in notes
