"""The one door between pixels and ICRS."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import (
    FK4,
    FK5,
    BarycentricMeanEcliptic,
    Galactic,
    SkyCoord,
    Supergalactic,
)
from astropy.time import Time
from astropy.wcs import WCS

from streaks.errors import FrameError
from streaks.sky import (
    circle_around,
    compass,
    separation_and_angle,
    sky_system,
    system_of_words,
    to_icrs,
    to_pixels,
)

SHAPE = (131, 180)


def tangent(lon: float = 150.0, lat: float = 20.0, **words: object) -> WCS:
    """A WCS of 1 arcsec pixels, north up, made in memory and never used."""
    wcs = WCS(naxis=2)
    names = words.pop("names", ("RA---TAN", "DEC--TAN"))
    first = words.pop("first", "lon")
    matrix = np.array([[-1.0, 0.0], [0.0, 1.0]]) / 3600.0
    crval = [lon, lat]
    if first == "lat":
        names, crval, matrix = names[::-1], crval[::-1], matrix[::-1]  # type: ignore[index]
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = list(names), crval, [101.0, 86.0]  # type: ignore[call-overload]
    wcs.wcs.cd = matrix
    for word, value in words.items():
        setattr(wcs.wcs, word, value)
    return wcs


FRAMES = {
    "FK5 of date": (tangent(radesys="FK5", equinox=2025.9), FK5(equinox="J2025.9")),
    "FK4": (
        tangent(radesys="FK4", equinox=1950.0, mjdobs=58000.0),
        FK4(equinox="B1950", obstime=Time(58000.0, format="mjd")),
    ),
    "Galactic": (tangent(names=("GLON-TAN", "GLAT-TAN")), Galactic()),
    "supergalactic": (tangent(names=("SLON-TAN", "SLAT-TAN")), Supergalactic()),
    "ecliptic": (tangent(names=("ELON-TAN", "ELAT-TAN")), BarycentricMeanEcliptic()),
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_system_comes_to_icrs_as_astropy_has_it(name: str) -> None:
    wcs, frame = FRAMES[name]
    ra, dec = to_icrs(wcs, 100.0, 85.0)
    true = SkyCoord(150.0, 20.0, unit="deg", frame=frame).icrs
    assert true.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 1e-4


@pytest.mark.parametrize("name", FRAMES)
def test_the_way_back_is_the_same_way(name: str) -> None:
    wcs, _ = FRAMES[name]
    x, y = np.array([0.0, 179.0, 33.3]), np.array([0.0, 130.0, 99.9])
    np.testing.assert_allclose(to_pixels(wcs, *to_icrs(wcs, x, y)), (x, y), atol=1e-4)


def test_declination_may_be_the_first_axis() -> None:
    ra, dec = to_icrs(tangent(first="lat"), [100.0, 0.0], [85.0, 0.0])
    np.testing.assert_allclose((ra[0], dec[0]), (150.0, 20.0), atol=1e-9)
    assert ra[1] > ra[0]  # the first column is east
    np.testing.assert_allclose(
        to_pixels(tangent(first="lat"), ra, dec), ([100.0, 0.0], [85.0, 0.0]), atol=1e-6
    )


def test_one_pixel_is_a_number_and_none_is_none() -> None:
    assert to_icrs(tangent(), 100.0, 85.0)[0].shape == ()
    assert to_icrs(tangent(), [], [])[0].shape == (0,)
    assert to_pixels(tangent(), np.zeros((2, 3)) + 150.0, 20.0)[0].shape == (2, 3)


def test_right_ascension_comes_round_at_360() -> None:
    ra, _ = to_icrs(tangent(lon=0.0), [100.0, 200.0], [85.0, 85.0])
    assert ra[0] == pytest.approx(0.0, abs=1e-9)
    assert 359.9 < ra[1] < 360.0


def test_a_place_behind_the_plane_has_no_pixel() -> None:
    x, y = to_pixels(tangent(), [150.0, 330.0], [20.0, -20.0])
    assert np.isfinite([x[0], y[0]]).all()
    assert np.isnan([x[1], y[1]]).all()


def test_a_distortion_that_cannot_be_inverted_gives_no_pixel() -> None:
    header = tangent().to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    for name in "AB":
        header[f"{name}_ORDER"] = 2
    header["A_2_0"], header["B_0_2"] = 2e-3, 2e-3
    wcs = WCS(header)
    # u + 0.002 u**2 turns round at u = -250 px: nothing lies beyond -125 px of sky.
    ra, dec = to_icrs(tangent(), [-300.0, 110.0], [85.0, 85.0])
    x, _ = to_pixels(wcs, ra, dec)
    assert np.isnan(x[0])
    assert np.isfinite(x[1])


@pytest.mark.parametrize("names", [("HPLN-TAN", "HPLT-TAN"), ("TLON-CAR", "TLAT-CAR")])
def test_what_is_no_sky_is_refused_by_name(names: tuple[str, str]) -> None:
    with pytest.raises(FrameError, match=names[0][:4]):
        to_icrs(tangent(names=names), 0.0, 0.0)


def test_a_linear_wcs_is_refused() -> None:
    assert sky_system(WCS(naxis=2)).kind == ""
    with pytest.raises(FrameError, match="not celestial"):
        to_pixels(WCS(naxis=2), 0.0, 0.0)


@pytest.mark.parametrize(
    ("radesys", "equinox", "kind", "year"),
    [
        ("", np.nan, "icrs", np.nan),
        ("", 2000.0, "fk5", 2000.0),
        ("", 1950.0, "fk4", 1950.0),
        ("", 1983.9, "fk4", 1983.9),
        ("FK5", np.nan, "fk5", 2000.0),
        ("FK4", np.nan, "fk4", 1950.0),
        ("FK4-NO-E", 1950.0, "fk4noeterms", 1950.0),
        ("ICRS", np.nan, "icrs", np.nan),
    ],
)
def test_radesys_and_equinox_mean_what_the_standard_says(
    radesys: str, equinox: float, kind: str, year: float
) -> None:
    # FITS Standard 4.0, table 24 and section 8.3.
    system = system_of_words(radesys, equinox)
    assert system.kind == kind
    np.testing.assert_equal(system.equinox, year)
    assert system.note == ""


@pytest.mark.parametrize(
    ("radesys", "kind"),
    [("fk5", "fk5"), ("J2000", "fk5"), ("ICRF", "icrs"), ("B1950", "fk4"), ("GAPPT", "icrs")],
)
def test_a_word_that_is_none_is_said(radesys: str, kind: str) -> None:
    system = system_of_words(radesys, np.nan)
    assert system.kind == kind
    assert repr(radesys) in system.note


def test_separation_and_angle_are_those_of_the_sphere() -> None:
    first, second = SkyCoord(10.0, 80.0, unit="deg"), SkyCoord(350.0, 81.0, unit="deg")
    separation, angle = separation_and_angle(10.0, 80.0, 350.0, 81.0)
    assert float(separation) == pytest.approx(first.separation(second).deg, rel=1e-12)
    assert float(angle) == pytest.approx(first.position_angle(second).deg % 360, rel=1e-12)


def test_separations_of_milliarcseconds_keep_their_digits() -> None:
    separation, _ = separation_and_angle(10.0, 45.0, 10.0, 45.0 + 1e-3 / 3600)
    assert float(separation) * 3600.0 == pytest.approx(1e-3, rel=1e-5)


def test_the_circle_goes_through_the_farthest_corner() -> None:
    ra, dec, radius = circle_around(tangent(first="lat"), SHAPE)
    # The centre is (89.5, 65) px; half of the diagonal of 180 x 131 px of 1 arcsec.
    assert (
        SkyCoord(ra, dec, unit="deg").separation(SkyCoord(150.0, 20.0, unit="deg")) < 30 * u.arcsec
    )
    assert radius == pytest.approx(0.5 * np.hypot(180.0, 131.0), rel=1e-3)


@pytest.mark.parametrize("first", ["lon", "lat"])
def test_the_compass_points_up_and_left(first: str) -> None:
    axes = compass(tangent(first=first), SHAPE)
    assert axes is not None
    np.testing.assert_allclose(axes[0], (0.0, 1.0), atol=1e-3)
    np.testing.assert_allclose(axes[1], (-1.0, 0.0), atol=1e-3)


def test_the_compass_of_a_galactic_image_points_to_equatorial_north() -> None:
    wcs, _ = FRAMES["Galactic"]
    axes = compass(wcs, SHAPE)
    assert axes is not None
    ra, dec = to_icrs(wcs, 89.5, 65.0)
    there = SkyCoord(float(ra), float(dec) + 0.005, unit="deg").galactic
    here = SkyCoord(float(ra), float(dec), unit="deg").galactic
    angle = here.position_angle(there).deg  # of north, from galactic north to the left
    true = (-np.sin(np.radians(angle)), np.cos(np.radians(angle)))
    np.testing.assert_allclose(axes[0], true, atol=5e-3)
