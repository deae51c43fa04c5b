"""Frames out of files: what surveys write, and what no survey should have written."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time

from streaks.errors import ConfigError, ReadError
from streaks.frame import MaskPlane
from streaks.readers import FrameOverrides, read_frame
from tests.frame_files import (
    SHAPE,
    ZTF_STEM,
    noise_image,
    real_data,
    write_rubin_frame,
    write_ztf_frame,
    ztf_header,
)


def seconds_between(first: Time, second: Time) -> float:
    return abs(float((first - second).to_value("s")))


# ------------------------------------------------------------------------------------------ ZTF


def test_ztf_header_words_are_read(tmp_path: Path) -> None:
    frame = read_frame(write_ztf_frame(tmp_path))
    assert frame.shape == SHAPE
    assert frame.name == f"{ZTF_STEM}_scimrefdiffimg"
    assert (frame.exposure_s, frame.gain, frame.read_noise_e) == (30.0, 6.2, 10.3)
    assert (frame.zero_point_mag, frame.saturation, frame.fwhm_px) == (26.3, 45000.0, 2.1)
    assert (frame.band, frame.observatory) == ("r", "I41")
    assert (frame.header["field"], frame.header["ccd"], frame.header["quadrant"]) == (663, 4, 2)
    assert frame.pixel_scale_arcsec == pytest.approx(1.01, rel=1e-3)


def test_data_are_native_float32_in_c_order(tmp_path: Path) -> None:
    path = tmp_path / "plain.fits"
    fits.PrimaryHDU(noise_image().astype(">f8")).writeto(path)
    data = read_frame(path).data
    assert data.dtype == np.float32
    assert data.dtype.isnative
    assert data.flags.c_contiguous


def test_ztf_obsjd_is_the_start_of_the_exposure(tmp_path: Path) -> None:
    # FIELD.md: 8-10 mas of residual with half an exposure added, 63-71 mas without.
    frame = read_frame(write_ztf_frame(tmp_path))
    assert frame.time is not None
    assert frame.time.scale == "utc"
    start = Time(2458276.6991782, format="jd", scale="utc")
    assert float((frame.time - start).to_value("s")) == pytest.approx(15.0, abs=1e-3)


def test_shutter_times_go_before_obsjd(tmp_path: Path) -> None:
    path = write_ztf_frame(
        tmp_path, SHUTOPEN="2018-06-07T04:46:49.000", SHUTCLSD="2018-06-07T04:47:19.400"
    )
    frame = read_frame(path)
    assert frame.time is not None
    assert seconds_between(frame.time, Time("2018-06-07T04:47:04.200", scale="utc")) < 1e-3


def test_ztf_mask_keeps_sources_and_tracks_usable(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.int16)
    for bit in range(13):
        mask[10, bit] = 1 << bit
    frame = read_frame(write_ztf_frame(tmp_path, mask=mask))
    # FIELD.md: bad is mask & 6141, less bit 0, which marks a satellite that someone found.
    expected = [bool((1 << bit) & 6141) and bit != 0 for bit in range(13)]
    assert frame.mask[10, :13].tolist() == expected
    assert frame.mask.sum() == sum(expected)
    assert frame.planes is not None
    planes = [MaskPlane(int(p)) for p in frame.planes[10, :13]]
    assert planes[0] == MaskPlane.TRACK
    assert planes[1] == planes[11] == MaskPlane.SOURCE
    assert planes[5] == planes[6] == MaskPlane.GHOST
    assert (planes[7], planes[8], planes[12]) == (
        MaskPlane.SPIKE,
        MaskPlane.SATURATED,
        MaskPlane.HALO,
    )


def test_no_data_is_masked_at_the_surveys_floor_and_where_not_finite(tmp_path: Path) -> None:
    data = noise_image()
    data[5, 6], data[7, 8], data[9, 10] = -500.0, np.nan, -499.0
    path = tmp_path / f"{ZTF_STEM}_scimrefdiffimg.fits"
    fits.PrimaryHDU(data, ztf_header()).writeto(path)
    mask = read_frame(path).mask
    assert mask[5, 6]
    assert mask[7, 8]
    assert not mask[9, 10]
    assert mask.sum() == 2


def test_science_and_reference_are_found_beside(tmp_path: Path) -> None:
    data = noise_image()
    frame = read_frame(write_ztf_frame(tmp_path, data, context=True))
    assert frame.science is not None
    assert frame.reference is not None
    np.testing.assert_allclose(frame.science, data + 100, atol=1e-3)
    np.testing.assert_allclose(frame.reference, data + 200, atol=1e-3)


def test_a_shifted_reference_comes_onto_the_frames_pixels(tmp_path: Path) -> None:
    path = write_ztf_frame(tmp_path, noise_image())
    sky = np.zeros((320, 430), np.float32)
    sky[160, 220] = 1000.0
    # The reference's pixel (220, 160) is the frame's (200, 150).
    header = ztf_header(CRPIX1=220.5, CRPIX2=160.0)
    fits.PrimaryHDU(sky, header).writeto(tmp_path / "ztf_000663_zr_c04_q2_refimg.fits")
    reference = read_frame(path).reference
    assert reference is not None
    assert reference.shape == SHAPE
    assert np.unravel_index(np.nanargmax(reference), SHAPE) == (150, 200)


def test_a_damaged_reference_found_beside_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_ztf_frame(tmp_path)
    (tmp_path / "ztf_000663_zr_c04_q2_refimg.fits").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        frame = read_frame(path)
    assert frame.reference is None
    assert "reference image left out" in caplog.text


def test_a_damaged_reference_given_by_the_user_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "reference.fits"
    empty.write_bytes(b"")
    with pytest.raises(ReadError, match="is empty"):
        read_frame(write_ztf_frame(tmp_path), reference=empty)


# ---------------------------------------------------------------------------------------- Rubin


def test_rubin_extensions_planes_units_and_time(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.int32)
    mask[3, 4], mask[5, 6], mask[7, 8], mask[9, 10] = 1 << 3, 1 << 0, 1 << 7, 1 << 9
    frame = read_frame(write_rubin_frame(tmp_path / "visit.fits", noise_image(), mask))
    assert frame.mask[3, 4]
    assert frame.mask[5, 6]
    assert frame.mask.sum() == 2
    assert frame.planes is not None
    assert frame.planes[5, 6] == MaskPlane.SATURATED
    assert frame.planes[7, 8] == MaskPlane.SOURCE
    assert frame.planes[9, 10] == MaskPlane.TRACK
    assert frame.variance is not None
    assert (frame.variance == 144.0).all()
    # AB magnitude of 1 nJy: -2.5 log10(1e-9 / 3631).
    assert frame.zero_point_mag == pytest.approx(31.4, abs=0.001)
    # DATE-AVG is the middle, in TAI, 37 s ahead of UTC since 2017 (IERS Bulletin C 52).
    assert frame.time is not None
    assert seconds_between(frame.time, Time("2024-11-10T05:00:00", scale="utc")) < 1e-3
    assert (frame.band, frame.observatory, frame.exposure_s) == ("i", "X05", 30.0)


# ------------------------------------------------------------------------------------- any FITS


@pytest.mark.parametrize("suffix", [".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"])
def test_any_suffix_of_fits_is_read(tmp_path: Path, suffix: str) -> None:
    data = noise_image()
    path = tmp_path / f"night{suffix}"
    if suffix.endswith(".fz"):
        hdu = fits.CompImageHDU(data, compression_type="GZIP_1", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    else:
        fits.PrimaryHDU(data).writeto(path)
    frame = read_frame(path)
    assert frame.name == "night"
    np.testing.assert_array_equal(frame.data, data)


def test_the_first_two_dimensional_image_is_taken_wherever_it_is(tmp_path: Path) -> None:
    data = noise_image()
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.zeros(3))])
    cube = fits.ImageHDU(np.zeros((2, 4, 5), np.float32))
    path = tmp_path / "many.fits"
    fits.HDUList([fits.PrimaryHDU(), table, cube, fits.ImageHDU(data)]).writeto(path)
    np.testing.assert_array_equal(read_frame(path).data, data)


def test_words_of_the_primary_header_count_where_the_image_lacks_them(tmp_path: Path) -> None:
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"], primary.header["GAIN"] = 60.0, 1.0
    image = fits.ImageHDU(noise_image())
    image.header["GAIN"] = 2.5
    path = tmp_path / "inherit.fits"
    fits.HDUList([primary, image]).writeto(path)
    frame = read_frame(path)
    assert (frame.exposure_s, frame.gain) == (60.0, 2.5)


def test_blank_integers_are_masked(tmp_path: Path) -> None:
    data = np.ones(SHAPE, np.int16)
    data[4, 5] = -32768
    hdu = fits.PrimaryHDU(data)
    hdu.header["BLANK"] = -32768
    path = tmp_path / "blank.fits"
    hdu.writeto(path)
    mask = read_frame(path).mask
    assert mask[4, 5]
    assert mask.sum() == 1


def test_unsigned_integers_of_a_raw_camera_are_read(tmp_path: Path) -> None:
    # Stored as signed 16 bits with BZERO = 32768 (FITS Standard 4.0, table 11).
    data = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint32).reshape(SHAPE) % 65536
    path = tmp_path / "raw.fits"
    fits.PrimaryHDU(data.astype(np.uint16)).writeto(path)
    np.testing.assert_array_equal(read_frame(path).data, data.astype(np.float32))


def test_what_no_word_tells_is_nan(tmp_path: Path) -> None:
    path = tmp_path / "bare.fits"
    fits.PrimaryHDU(noise_image()).writeto(path)
    frame = read_frame(path)
    unknown = (frame.exposure_s, frame.fwhm_px, frame.zero_point_mag, frame.gain)
    assert np.isnan(unknown).all()
    assert frame.wcs is None
    assert frame.time is None
    assert frame.observatory == ""
    assert np.isnan(frame.pixel_scale_arcsec)


@pytest.mark.parametrize(
    "words",
    [
        {"CRVAL1": 1e300, "CRVAL2": 999.0},
        {"CD1_1": 0.0, "CD2_2": 0.0},
        {"CTYPE1": "NONSENSE", "CTYPE2": "MORE"},
        {"CRPIX1": "text"},
    ],
)
def test_a_broken_wcs_gives_a_frame_without_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: dict[str, object]
) -> None:
    path = tmp_path / "broken.fits"
    fits.PrimaryHDU(noise_image(), ztf_header(**words)).writeto(path)
    with caplog.at_level(logging.WARNING):
        frame = read_frame(path)
    assert frame.wcs is None
    assert "WCS ignored" in caplog.text


def test_tpv_coordinates_follow_the_distortion(tmp_path: Path) -> None:
    frame = read_frame(write_ztf_frame(tmp_path, PV1_1=1.001))
    assert frame.wcs is not None
    ra, dec = frame.wcs.pixel_to_world_values(199.5, 149.0)
    assert (float(ra), float(dec)) == pytest.approx((250.0, 20.0), abs=1e-9)
    # 100 px west: PV1_1 stretches the x axis by a thousandth (Calabretta et al., TPV registry).
    ra, dec = frame.wcs.pixel_to_world_values(99.5, 149.0)
    offset_arcsec = (float(ra) - 250.0) * 3600 * np.cos(np.radians(20.0))
    assert offset_arcsec == pytest.approx(101.0 * 1.001, abs=0.02)


def test_the_coordinates_of_a_frame_are_its_own_to_change(tmp_path: Path) -> None:
    path = write_ztf_frame(tmp_path)
    first = read_frame(path)
    assert first.wcs is not None
    first.wcs.wcs.crval = [1.0, 2.0]
    second = read_frame(path)
    assert second.wcs is not None
    assert second.wcs.wcs.crval[0] == pytest.approx(ztf_header()["CRVAL1"])


def test_another_last_digit_makes_other_coordinates(tmp_path: Path) -> None:
    paths = [write_ztf_frame(tmp_path / name, noise_image(SHAPE)) for name in "ab"]
    read_frame(paths[0])
    with fits.open(paths[1], mode="update", disable_image_compression=True) as hdus:
        header = hdus[-1].header
        header["CRVAL1"] = float(np.nextafter(header["CRVAL1"], 1e3))
        moved = header["CRVAL1"]
    second = read_frame(paths[1])
    assert second.wcs is not None
    assert second.wcs.wcs.crval[0] == moved


def test_a_mask_of_nameless_values_blanks_all_but_zero(tmp_path: Path) -> None:
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(noise_image()).writeto(path)
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 2], mask[3, 4] = 1, 7
    fits.PrimaryHDU(mask).writeto(tmp_path / "image_mask.fits")
    frame = read_frame(path)
    assert frame.mask.sum() == 2


def test_bit_cards_of_an_unknown_survey_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(noise_image()).writeto(path)
    hdu = fits.PrimaryHDU(np.zeros(SHAPE, np.int16))
    hdu.data[1, :4] = [1, 2, 4, 8]
    for word, value in {"BIT00": "dead pixel", "BIT01": "satellite trail"}.items():
        hdu.header[word] = value
    hdu.header["BIT02"] = (2, "detected source")
    hdu.header["BIT03"] = (3, "saturated")
    hdu.writeto(tmp_path / "bits.fits")
    frame = read_frame(path, mask=tmp_path / "bits.fits")
    assert frame.mask[1, :4].tolist() == [True, False, False, True]
    assert frame.planes is not None
    assert frame.planes[1, :4].tolist() == [
        MaskPlane.BAD,
        MaskPlane.TRACK,
        MaskPlane.SOURCE,
        MaskPlane.SATURATED,
    ]


# ------------------------------------------------------------------------------------ overrides


def test_overrides_go_before_the_header(tmp_path: Path) -> None:
    overrides = FrameOverrides(
        fwhm_px=3.5, zero_point_mag=25.0, gain=1.5, observatory="W84", time="2020-01-02T03:04:05"
    )
    frame = read_frame(write_ztf_frame(tmp_path), overrides=overrides)
    assert (frame.fwhm_px, frame.zero_point_mag, frame.gain) == (3.5, 25.0, 1.5)
    assert frame.observatory == "W84"
    assert frame.time is not None
    assert seconds_between(frame.time, Time("2020-01-02T03:04:05", scale="utc")) < 1e-6
    assert frame.exposure_s == 30.0


def test_an_exposure_given_moves_the_middle(tmp_path: Path) -> None:
    frame = read_frame(write_ztf_frame(tmp_path), overrides=FrameOverrides(exposure_s=60.0))
    assert frame.time is not None
    start = Time(2458276.6991782, format="jd", scale="utc")
    assert float((frame.time - start).to_value("s")) == pytest.approx(30.0, abs=1e-3)


def test_an_impossible_override_is_refused() -> None:
    with pytest.raises(ConfigError, match="fwhm_px is -1"):
        FrameOverrides(fwhm_px=-1.0)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected mid-exposure in UTC"):
        FrameOverrides(time="last night")


# ---------------------------------------------------------------------------------- real frames


def test_the_real_ystar_frame_says_its_time_is_the_end() -> None:
    frame = read_frame(real_data("images", "astride_long.fits"))
    # JD 2452482.31709 "Time at end of exposure" of 60 s; DATE-OBS is '26/07/102'.
    end = Time(2452482.31709, format="jd", scale="utc")
    assert frame.time is not None
    # DATE-OBS with TIME-OBS says the same instant, 19:36:37, to a second; JD to 0.9 s.
    assert float((end - frame.time).to_value("s")) == pytest.approx(30.0, abs=0.5)
    assert frame.shape == (512, 512)
    # FWHMH 3.4918 and FWHMV 4.5719, pixels.
    assert frame.fwhm_px == pytest.approx(4.03, abs=0.01)
    assert frame.band == "R"


def test_a_real_decam_frame_has_tpv_coordinates() -> None:
    frame = read_frame(real_data("images", "decam", "DEC-OBS18b.mini.fits"))
    # DECam: 0.263 arcsec a pixel (Flaugher et al. 2015, AJ 150, 150).
    assert frame.pixel_scale_arcsec == pytest.approx(0.263, abs=0.002)
    assert frame.band == "i"
    assert frame.time is not None
    # DATE-OBS 2018-08-04T09:23:31.598 is the start of 330 s.
    assert seconds_between(frame.time, Time("2018-08-04T09:26:16.598", scale="utc")) < 0.01
