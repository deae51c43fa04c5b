"""Coordinates of headers: mended, converted, or refused by name."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable

from streaks.readers import read_frame
from streaks.readers.coordinates import Solution, read_solution
from streaks.readers.iraf import read_wat
from streaks.sky import to_icrs
from tests.frame_files import noise_image

SHAPE = (131, 180)


def header(**changes: object) -> fits.Header:
    """A plain tangent plane; words set to None are left out."""
    words: dict[str, object] = {
        "NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0],
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 20.0,
        "CRPIX1": 101.0, "CRPIX2": 86.0, "CD1_1": -1 / 3600, "CD1_2": 0.0, "CD2_1": 0.0,
        "CD2_2": 1 / 3600, **changes,
    }  # fmt: skip
    return fits.Header([(word, value) for word, value in words.items() if value is not None])


def place(solution: Solution, x: float = 100.0, y: float = 85.0) -> tuple[float, float]:
    assert solution.wcs is not None, solution.reason
    ra, dec = to_icrs(solution.wcs, x, y)
    return float(ra), float(dec)


NO_CD = {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}


@pytest.mark.parametrize(
    "words",
    [
        {"CUNIT1": "degree", "CUNIT2": "degree"},
        {"CUNIT1": "DEGREES", "CUNIT2": "DEGREES"},
        {"CRVAL1": "150.0", "CRPIX1": "1.01D2"},
        {"EQUINOX": "J2000.0", "RADESYS": "FK5"},
        {"CTYPE1": "ra---tan", "CTYPE2": "dec--tan"},
        {**NO_CD, "CDELT1": -1 / 3600, "CDELT2": 1 / 3600, "CROTA2": 0.0},
        {**NO_CD, "CD001001": -1 / 3600, "CD002002": 1 / 3600},
        {"WCSAXES": 3, "CTYPE3": "STOKES", "CRVAL3": 1.0, "CDELT3": 1.0, "CRPIX3": 1.0},
        {"LONPOLE": "", "CUNIT1": ""},
    ],
)  # fmt: skip
def test_headers_that_astropy_repairs_are_read(words: dict[str, object]) -> None:
    ra, dec = place(read_solution(header(**words)))
    # FK5 and ICRS are 0.02 arcsec apart.
    assert (ra, dec) == pytest.approx((150.0, 20.0), abs=0.05 / 3600)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"CRVAL1": "10:00:00"}, "CRVAL1 is '10:00:00', no number"),
        ({"CRVAL2": "20,0"}, "CRVAL2"),
        ({"PV1_1": "one"}, "PV1_1"),
        ({"CD1_1": True}, "CD1_1"),
        ({"CTYPE1": "RA---TAN-XYZ"}, "TAN-XYZ has a distortion"),
        ({"CTYPE1": "RA---TAB", "CTYPE2": "DEC--TAB"}, "TAB"),
        ({"CPDIS1": "Polynomial"}, "CPDIS1"),
        ({"CPDIS1": "Lookup"}, "table"),
        ({"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}, "HPLN"),
        ({"CTYPE1": "RA---TNX", "CTYPE2": "DEC--TNX", "WAT1_001": 'lngcor = "3. 4. 4. 2. 1'},
         "WAT words of TNX"),
        ({"CTYPE1": None, "CRVAL1": None, **NO_CD, "CTYPE1A": "RA---TAN"}, "CTYPE1A"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(words: dict[str, object], reason: str) -> None:
    solution = read_solution(header(**words))
    assert solution.wcs is None
    assert reason in solution.reason


def test_text_of_every_number_is_read_and_said() -> None:
    made = header(PV1_1=1.0, PV2_1=1.0, PV1_0=0.001, CTYPE1="RA---TPV", CTYPE2="DEC--TPV")
    right = place(read_solution(made))
    for card in made.cards:
        if isinstance(card.value, float):
            made[card.keyword] = repr(card.value)
    solution = read_solution(made)
    assert place(solution) == pytest.approx(right, abs=1e-12)
    assert "in quotes" in solution.notes[0]


def test_tpv_without_its_linear_words_is_the_plain_plane() -> None:
    # PVi_1 is 1 where it is not given (Shupe et al. 2012); wcslib takes 0.
    solution = read_solution(header(CTYPE1="RA---TPV", CTYPE2="DEC--TPV"))
    assert place(solution, 0.0, 0.0) == pytest.approx(place(read_solution(header()), 0.0, 0.0))


def test_low_orders_of_scamp_are_its_polynomial() -> None:
    # Of TAN alone PV1_1 would be the longitude of the native pole.
    solution = read_solution(header(PV1_1=1.01, PV2_1=1.01, PV1_2=0.0, PV2_2=0.0))
    ra, dec = place(solution, 100.0, 185.0)
    assert (ra, dec) == pytest.approx((150.0, 20.0 + 1.01 * 100 / 3600), abs=1e-6)


def test_declination_first_with_a_polynomial() -> None:
    # wcslib takes each polynomial for the other axis.
    words = {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_0": 0.001}
    turned = header(
        CTYPE1="DEC--TPV", CTYPE2="RA---TPV", CRVAL1=20.0, CRVAL2=150.0, CD1_1=0.0,
        CD1_2=1 / 3600, CD2_1=-1 / 3600, CD2_2=0.0, **words,
    )  # fmt: skip
    assert place(read_solution(turned)) == pytest.approx((150.0, 20.001), abs=1e-9)


def test_polynomials_behind_cdelt_are_of_degrees() -> None:
    # wcslib applies them before CDELT.
    words = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV2_1": 1.0, "PV2_0": 0.01}
    made = header(**NO_CD, CDELT1=-1 / 3600, CDELT2=1 / 3600, **words)
    assert place(read_solution(made)) == pytest.approx((150.0, 20.01), abs=1e-9)


def test_polynomial_words_of_latitude_alone_are_applied() -> None:
    solution = read_solution(header(PV2_0=0.001, PV2_1=1.0))
    assert place(solution) == pytest.approx((150.0, 20.001), abs=1e-9)


def test_zeros_for_latitude_are_no_polynomial() -> None:
    # Of TAN alone PV1_1 and PV1_2 are the native place of the reference: here the usual one.
    solution = read_solution(header(PV1_1=0.0, PV1_2=90.0, PV2_1=0.0, PV2_2=0.0))
    assert place(solution) == pytest.approx((150.0, 20.0), abs=1e-9)


@pytest.mark.parametrize("left_out", [("A_ORDER",), ("B_ORDER",), ("A_ORDER", "B_ORDER")])
def test_sip_terms_without_their_order_are_applied(left_out: tuple[str, ...]) -> None:
    types = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    terms = {"A_2_0": 2e-4, "B_0_2": -3e-4, "B_1_1": 1e-4}
    orders = {"A_ORDER": 2, "B_ORDER": 2}
    right = place(read_solution(header(**types, **terms, **orders)), 0.0, 0.0)
    for word in left_out:
        del orders[word]
    solution = read_solution(header(**types, **terms, **orders))
    assert place(solution, 0.0, 0.0) == pytest.approx(right, abs=1e-12)
    assert all(any(word in note for note in solution.notes) for word in left_out)


def test_sip_terms_beyond_their_order_are_said() -> None:
    types = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    solution = read_solution(header(**types, A_ORDER=2, B_ORDER=2, A_3_0=1e-6))
    assert "SIP terms of A beyond A_ORDER are passed over" in solution.notes


def test_sip_goes_before_pv_and_says_so() -> None:
    words = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2}
    terms = {"A_2_0": 2e-4, "B_0_2": -3e-4}
    right = place(read_solution(header(**words, **terms)), 0.0, 0.0)
    solution = read_solution(header(**words, **terms, PV1_1=1.0, PV2_1=1.0, PV1_7=0.5))
    assert place(solution, 0.0, 0.0) == pytest.approx(right, abs=1e-12)
    assert "PV is passed over" in solution.notes[0]


def test_a_plate_of_the_digitised_sky_survey() -> None:
    # Words of the plate alone: a reference point, and as many microns a pixel as arcsec a mm.
    plate = {
        "PLTRAH": 10, "PLTRAM": 0, "PLTRAS": 0.0, "PLTDECSN": "+", "PLTDECD": 20, "PLTDECM": 0,
        "PLTDECS": 0.0, "PLTSCALE": 67.2, "XPIXELSZ": 25.0, "YPIXELSZ": 25.0, "PPO3": 177500.0,
        "PPO6": 177500.0, "CNPIX1": 7000, "CNPIX2": 7000,
    }  # fmt: skip
    terms = {f"AMD{axis}{i}": 67.2 if i == 1 else 0.0 for axis in "XY" for i in range(1, 14)}
    made = fits.Header([("NAXIS", 2), ("NAXIS1", 180), ("NAXIS2", 131)])
    made.update(plate | terms)
    # The plate's centre is at 177500 / 25 = 7100 px, 100 px into this piece; 1.68 arcsec/px.
    ra, dec = place(read_solution(made), 99.5, 99.5)
    assert (ra, dec) == pytest.approx((150.0, 20.0), abs=2 / 3600)
    ra2, _ = place(read_solution(made), 0.0, 99.5)
    assert (ra2 - ra) * np.cos(np.radians(20.0)) * 3600 == pytest.approx(99.5 * 1.68, rel=0.01)


def test_tables_of_distortion_in_the_file_are_applied(tmp_path: Path) -> None:
    wcs = WCS(header())
    for name, px in (("cpdis1", 2.5), ("cpdis2", 0.0)):  # everywhere
        table = np.full((9, 9), px, np.float32)
        setattr(wcs, name, DistortionLookupTable(table, (1.0, 1.0), (1.0, 1.0), (30.0, 30.0)))
    hdus = wcs.to_fits(relax=True)
    image = fits.PrimaryHDU(noise_image(SHAPE), hdus[0].header)
    path = tmp_path / "tables.fits"
    fits.HDUList([image, *hdus[1:]]).writeto(path)
    frame = read_frame(path)
    assert frame.wcs is not None, frame.notes
    ra, _ = to_icrs(frame.wcs, 97.5, 85.0)
    assert float(ra) == pytest.approx(150.0, abs=1e-6)


def test_fk4_takes_the_epoch_from_the_time_of_the_image(tmp_path: Path) -> None:
    places = []
    for word in ("1950-06-15T00:00:00", "2024-06-15T00:00:00"):
        path = tmp_path / f"{word[:4]}.fits"
        made = header(RADESYS="FK4", EQUINOX=1950.0)
        made["DATE-OBS"] = word
        fits.PrimaryHDU(noise_image(SHAPE), made).writeto(path)
        frame = read_frame(path)
        places.append(np.array(to_icrs(frame.wcs, 100.0, 85.0)))
    # FK4's axes turn by 0.085 s a century (Fricke 1982): 0.9 arcsec in 74 years at most.
    moved = np.hypot(*(places[1] - places[0])) * 3600
    assert 0.05 < moved < 1.0


def test_the_stamp_of_a_rubin_alert_is_a_tangent_plane(tmp_path: Path) -> None:
    made = header(CTYPE1=None, CTYPE2=None, CUTMINX=1784, CUTMINY=815, ROTPA=49.9)
    path = tmp_path / "stamp.fits"
    fits.PrimaryHDU(noise_image(SHAPE), made).writeto(path)
    frame = read_frame(path)
    assert frame.wcs is not None
    assert [float(v) for v in to_icrs(frame.wcs, 100.0, 85.0)] == pytest.approx([150.0, 20.0])
    assert frame.observatory == "X05"


def test_without_ctype_any_other_file_has_no_coordinates() -> None:
    assert read_solution(header(CTYPE1=None, CTYPE2=None)).reason == "CTYPE1 is missing"


@pytest.mark.parametrize(
    "text",
    [
        "wtype=zpx axtype=ra projp0=",
        'wtype=zpx axtype=ra projp1 = "',
        'lngcor = "',
        'lngcor = "3. 99999999999. 4. 2. 0 1 0 1 1."',
        'lngcor = "nan nan nan nan 0 1 0 1 1."',
        'lngcor = "3. 4. 4. 2. -0.06 0.06 -0.06 0.06 8.0E-04 1e999 0 0 0 0 0 0 0 0"',
        'lngcor = "1. 2. 2. 1. 0.1 0.1 0.1 0.1 1. 1. 1. 1."',
    ],
)
def test_damaged_words_of_iraf_break_nothing(text: str) -> None:
    # wcslib's own parser wrote beyond its memory on some of these.
    with contextlib.suppress(ValueError, OverflowError):
        read_wat(text)
    made = header(CTYPE1="RA---ZPX", CTYPE2="DEC--ZPX", WAT1_001=text[:68])
    solution = read_solution(made)
    assert solution.wcs is not None or solution.reason
