"""The small inputs that once went wrong, each as its README says is right."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time

from streaks.cli import main
from streaks.detection import find_streaks
from streaks.errors import ReadError
from streaks.frame import Frame
from streaks.readers import find_frames, read_frame, read_table

#: Of every trail in them.
ENDS = (60.0, 60.0, 140.0, 110.0)


def case(*parts: str) -> Path:
    """A file of the shared cases, beside the real data; skipped where there is none."""
    root = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("STREAKS_REAL_DATA", root.parent / "shared" / "data"))
    path = (data.parent / "cases").joinpath(*parts)
    if not path.exists():
        pytest.skip(f"shared case missing: {'/'.join(parts)} (set STREAKS_REAL_DATA)")
    return path


def searched(*parts: str) -> tuple[Frame, QTable]:
    frame = read_frame(case(*parts))
    return frame, find_streaks(frame)


def check_trail(streaks: QTable, atol: float = 1.0) -> None:
    assert len(streaks) == 1
    ends = [float(streaks[0][name].value) for name in ("x0", "y0", "x1", "y1")]
    np.testing.assert_allclose(ends, ENDS, atol=atol)


def check_place(streaks: QTable, ra: float = 150.0, dec: float = 20.0) -> None:
    assert float(streaks[0]["ra"].value) == pytest.approx(ra, abs=0.3 / 3600)
    assert float(streaks[0]["dec"].value) == pytest.approx(dec, abs=0.3 / 3600)


def check_time(frame: Frame) -> None:
    assert frame.time is not None
    late = frame.time - Time("2024-06-15T08:00:15", scale="utc")
    assert abs(float(late.to_value("s"))) < 0.1


@pytest.mark.parametrize("name", ["icrs", "fk5_of_date", "dec_first"])
def test_one_sky_in_any_system_has_one_asteroid(name: str, tmp_path: Path) -> None:
    image, orbits = case("frame_of_wcs", f"{name}.fits"), case("frame_of_wcs", "orbits.dat")
    table = tmp_path / "t.ecsv"
    words = ["detect", image, "-o", table, "--orbits", orbits, "--observatory", "I41"]
    assert main([*map(str, words), "--no-classify"]) == 0
    row = read_table(table)[0]
    assert str(row["ssnamenr"]).replace(" ", "") == "2025AB"
    assert row["ssdistnr"].value < 1.0


@pytest.mark.parametrize("name", ["crval_text", "tpv_text"])
def test_numbers_in_quotes(name: str) -> None:
    frame, streaks = searched("quoted_wcs_numbers", f"{name}.fits")
    check_place(streaks)
    assert float(streaks[0]["rate"].value) == pytest.approx(3.17, abs=0.05)
    assert any("in quotes" in note for note in frame.notes)


@pytest.mark.parametrize("name", ["mjd_integer", "mjd_two_digits", "tdb_with_Z"])
def test_times_that_were_wrong(name: str) -> None:
    check_time(read_frame(case("time_wrong", f"{name}.fits")))


@pytest.mark.parametrize("name", ["offset", "underscore", "unquoted"])
def test_times_that_were_not_read(name: str) -> None:
    check_time(read_frame(case("time_not_read", f"{name}.fits")))


@pytest.mark.parametrize("name", ["days", "minutes"])
def test_exposures_in_other_units(name: str) -> None:
    frame, streaks = searched("exposure_units", f"{name}.fits")
    check_time(frame)
    assert frame.exposure_s == pytest.approx(30.0)
    assert float(streaks[0]["rate"].value) == pytest.approx(3.17, abs=0.05)


def test_a_tnx_distortion() -> None:
    _, streaks = searched("tnx", "tnx.fits")
    check_place(streaks, 150.00085, 20.00160)


def test_a_file_of_two_chips() -> None:
    frames = find_frames([case("which_image", "two_chips.fits")])
    assert [f.image.name for f in frames] == ["two_chips.fits[SCI,1]", "two_chips.fits[SCI,2]"]
    tables = [find_streaks(read_frame(f.image)) for f in frames]
    assert len(tables[0]) == 0
    check_trail(tables[1])


def test_an_axis_of_one_pixel() -> None:
    _, streaks = searched("which_image", "naxis3_is_1.fits")
    check_trail(streaks)
    check_place(streaks)


def test_a_colour_image() -> None:
    with pytest.raises(ReadError, match="colour image of 3 planes"):
        read_frame(case("which_image", "rgb.fits"))
    check_trail(find_streaks(read_frame(case("which_image", "rgb.fits"), plane="luminance")))


def test_zero_fill_beside_a_sky() -> None:
    frame, streaks = searched("zero_fill", "strip_zero_sky1000.fits")
    check_trail(streaks)
    assert streaks[0]["snr"] == pytest.approx(48.0, rel=0.05)
    assert frame.mask.mean() == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["GAPPT", "fk5"])
def test_an_unknown_radesys(name: str) -> None:
    frame, streaks = searched("radesys_unknown", f"radesys_{name}.fits")
    check_place(streaks)
    assert any(f"RADESYS {name!r}" in note for note in frame.notes)


@pytest.mark.parametrize("name", ["cunit_degree", "sip_and_pv"])
def test_headers_that_astropy_repairs(name: str) -> None:
    check_place(searched("wcs_naxis2", f"{name}.fits")[1])


@pytest.mark.parametrize("fwhm", ["1.3", "7.0"])
def test_an_unknown_fwhm(fwhm: str) -> None:
    _, streaks = searched("fwhm_unknown", f"psf_{fwhm}_px.fits")
    check_trail(streaks)
    assert float(streaks[0]["width"].value) == pytest.approx(float(fwhm), rel=0.15)


def test_coarse_counts() -> None:
    _, streaks = searched("coarse_counts", "sigma_0p45_adu.fits")
    check_trail(streaks)
    assert streaks[0]["snr"] == pytest.approx(40.0, rel=0.15)


def test_a_bayer_mosaic() -> None:
    assert len(searched("bayer", "bayer_nothing.fits")[1]) == 0
    check_trail(searched("bayer", "bayer_trail.fits")[1])
