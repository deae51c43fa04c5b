"""Sky coordinates, rates and magnitudes of found streaks."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Row
from astropy.time import Time
from astropy.wcs import WCS

from streaks.detection import find_streaks
from streaks.detection.sky import magnitudes, sky_columns
from streaks.frame import Frame
from tests.detected import NOISE, SHAPE, SIGMA_PX, frame_of, row_of, sky_with
from tests.rendering import Ends, flux_for_snr

TRAIL: Ends = (120.0, 90.0, 165.0, 118.0)
SCALE_ARCSEC = 1.01


def tan_wcs(
    ra: float = 150.0, dec: float = 40.0, turn_deg: float = 25.0, system: str = "RA/DEC"
) -> WCS:
    """A turned tangent plane around the middle of the image; east is left where not turned."""
    ny, nx = SHAPE
    first, second = ("GLON-TAN", "GLAT-TAN") if system == "galactic" else ("RA---TAN", "DEC--TAN")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [first, second]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [(nx + 1) / 2, (ny + 1) / 2]
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    step = SCALE_ARCSEC / 3600
    wcs.wcs.cd = step * np.array([[-c, s], [s, c]])
    wcs.wcs.set()
    return wcs


def streak_on(wcs: WCS | None, **values: object) -> Row:
    settings = {"exposure_s": 30.0, "zero_point_mag": 26.3, "gain": 6.2, **values}
    frame: Frame = frame_of(sky_with([TRAIL]), wcs=wcs, **settings)
    return row_of(find_streaks(frame), TRAIL)


@pytest.mark.parametrize("ra", [150.0, 0.0])
@pytest.mark.parametrize("dec", [-30.0, 89.95])
def test_ends_and_midpoint_are_where_the_wcs_puts_them(ra: float, dec: float) -> None:
    wcs = tan_wcs(ra, dec)
    row = streak_on(wcs)
    for end in ("", "0", "1"):
        expected = SkyCoord.from_pixel(row["x" + end].value, row["y" + end].value, wcs, origin=0)
        found = SkyCoord(row["ra" + end], row["dec" + end])
        assert found.separation(expected) < 0.001 * u.arcsec
        assert 0 <= row["ra" + end].value < 360


def test_a_streak_lies_within_an_arcsecond_of_where_it_was_put() -> None:
    wcs = tan_wcs()
    row = streak_on(wcs)
    truth = SkyCoord.from_pixel(142.5, 104.0, wcs, origin=0)
    assert SkyCoord(row["ra"], row["dec"]).separation(truth) < 1 * u.arcsec


@pytest.mark.parametrize("turn_deg", [0.0, 25.0, 100.0, 200.0])
@pytest.mark.parametrize("ra", [150.0, 0.0])
def test_position_angle_is_east_of_north(turn_deg: float, ra: float) -> None:
    row = streak_on(tan_wcs(ra, 40.0, turn_deg))
    first, second = SkyCoord(row["ra0"], row["dec0"]), SkyCoord(row["ra1"], row["dec1"])
    expected = first.position_angle(second).deg % 180
    assert row["pa"].value == pytest.approx(expected, abs=1e-6)
    assert 0 <= row["pa"].value < 180


def test_a_line_towards_north_has_position_angle_zero() -> None:
    # Unturned, y runs north: a line along y has a position angle of 0 = 180.
    pixels = {k: np.array([v]) for k, v in zip(
        ("x", "y", "x0", "y0", "x1", "y1"), (200.0, 150.0, 200.0, 140.0, 200.0, 160.0), strict=True
    )}  # fmt: skip
    columns = sky_columns(pixels, tan_wcs(turn_deg=0.0), 30.0)
    assert min(columns["pa"][0], 180 - columns["pa"][0]) < 0.1


def test_a_line_towards_east_has_position_angle_ninety() -> None:
    pixels = {k: np.array([v]) for k, v in zip(
        ("x", "y", "x0", "y0", "x1", "y1"), (205.0, 150.0, 195.0, 150.0, 215.0, 150.0), strict=True
    )}  # fmt: skip
    assert sky_columns(pixels, tan_wcs(turn_deg=0.0), 30.0)["pa"][0] == pytest.approx(90, abs=0.1)


def test_rate_is_length_on_the_sky_over_exposure() -> None:
    row = streak_on(tan_wcs())
    ends = SkyCoord(row["ra0"], row["dec0"]), SkyCoord(row["ra1"], row["dec1"])
    assert row["rate"].to_value("arcsec/s") == pytest.approx(
        ends[0].separation(ends[1]).arcsec / 30, rel=1e-6
    )
    assert row["rate"].value == pytest.approx(53.0 * SCALE_ARCSEC / 30, rel=0.03)


def test_galactic_images_give_icrs_coordinates() -> None:
    wcs = tan_wcs(120.0, 30.0, system="galactic")
    row = streak_on(wcs)
    expected = wcs.pixel_to_world(row["x"].value, row["y"].value).icrs
    assert SkyCoord(row["ra"], row["dec"]).separation(expected) < 0.001 * u.arcsec


def test_without_wcs_the_sky_is_unknown() -> None:
    row = streak_on(None)
    for name in ("ra", "dec", "ra0", "dec0", "ra1", "dec1", "pa", "rate"):
        assert np.isnan(row[name].value)
    assert np.isfinite(row["mag"].value)


def test_without_exposure_the_rate_is_unknown() -> None:
    row = streak_on(tan_wcs(), exposure_s=float("nan"))
    assert np.isnan(row["rate"].value)
    assert np.isfinite(row["pa"].value)


def test_magnitude_is_that_of_the_flux() -> None:
    flux = flux_for_snr(TRAIL, 40.0, sigma_px=SIGMA_PX, noise=NOISE)
    row = streak_on(tan_wcs())
    # S/N 40 is 0.027 mag.
    assert row["mag"].value == pytest.approx(26.3 - 2.5 * np.log10(flux), abs=0.1)
    assert row["mag_err"].value == pytest.approx(1.0857 / 40, rel=0.35)


def test_without_zero_point_the_magnitude_is_unknown() -> None:
    row = streak_on(tan_wcs(), zero_point_mag=float("nan"))
    assert np.isnan(row["mag"].value)


def test_no_light_has_no_magnitude() -> None:
    mag, error = magnitudes(np.array([-5.0, 0.0, 100.0]), np.array([1.0, 1.0, 10.0]), 25.0)
    assert np.isnan(mag[:2]).all()
    assert np.isnan(error[:2]).all()
    assert mag[2] == pytest.approx(20.0)
    # d(2.5 log10 f) = 1.0857 df / f.
    assert error[2] == pytest.approx(0.10857, rel=1e-4)


def test_time_is_the_frames_own_as_text() -> None:
    time = Time("2018-06-07T04:46:52.500", scale="utc")
    assert streak_on(None, time=time)["time"] == "2018-06-07T04:46:52.500"
    assert streak_on(None, time=time.tai)["time"] == "2018-06-07T04:46:52.500"
    assert streak_on(None)["time"] == ""


def test_a_time_in_the_future_of_the_earths_rotation_is_quiet() -> None:
    # A time beyond the tables of leap seconds warns once; it must not fail.
    assert streak_on(None, time=Time(61000.0, format="mjd", scale="utc"))["time"] != ""


def test_the_mid_exposure_sets_no_coordinates() -> None:
    first = streak_on(tan_wcs(), time=Time("2018-06-07T04:46:52", scale="utc"))
    second = streak_on(tan_wcs(), time=Time("2019-06-07T04:46:52", scale="utc"))
    assert first["ra"] == second["ra"]


@pytest.mark.parametrize("mask_it", [False, True])
def test_satellite_tracks_of_the_survey_are_flagged_not_blanked(mask_it: bool) -> None:
    from streaks.frame import MaskPlane
    from streaks.tables import StreakFlag

    planes = np.zeros(SHAPE, np.uint8)
    if mask_it:
        planes[85:124, 115:170] = int(MaskPlane.TRACK)
    row = streak_on(None, planes=planes)
    assert (StreakFlag.TRACK in StreakFlag(int(row["flags"]))) == mask_it
