"""Units, spellings and damaged cards of header words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from streaks.readers import headers, read_frame
from streaks.readers.profile import FwhmWords
from tests.frame_files import noise_image

WORDS = ("EXPTIME", "EXPOSURE", "XPOSURE")


def header(*cards: tuple[str, Any] | tuple[str, Any, str]) -> fits.Header:
    return fits.Header(list(cards))


# ------------------------------------------------------------------------------------ exposure


@pytest.mark.parametrize(
    "card",
    [
        ("EXPTIME", 30.0),
        ("EXPTIME", 30, "[s] shutter open"),
        ("EXPTIME", "30.0"),
        ("EXPTIME", "30 s"),
        ("EXPTIME", "0.5 min"),
        ("EXPOSURE", 30.0 / 86400, "[d] time on source"),
        ("EXPOSURE", 0.5, "Exposure time minutes"),
        ("EXPOSURE", 0.5, "exposure in minutes of time"),
        ("EXPTIME", 30000.0, "[ms] exposure"),
        ("EXPTIME", 30000, "Exposure (msec)"),
        ("EXPTIME", 3e7, "microseconds"),
        ("EXPTIME", 30.0 / 3600, "[h]"),
        ("EXPTIME", 30.0, "Exposure time of the day"),
    ],
)
def test_thirty_seconds_in_every_unit(card: tuple[Any, ...]) -> None:
    found = headers.exposure(header(card), WORDS)  # type: ignore[arg-type]
    assert found.value == pytest.approx(30.0, rel=1e-9)
    assert found.told.startswith(card[0])


@pytest.mark.parametrize("word", ["EXPTUNIT", "EXPUNIT", "EXP_UNIT"])
def test_a_word_for_the_unit_counts(word: str) -> None:
    found = headers.exposure(header(("EXPTIME", 0.5), (word, "min")), WORDS)
    assert found.value == 30.0


def test_timeunit_is_the_unit_of_xposure_unless_that_is_absurd() -> None:
    # FITS Standard 4.0, section 9.3; TIMEUNIT is also that of the time column of a table.
    days = header(("TIMEUNIT", "d"), ("XPOSURE", 30.0 / 86400))
    assert headers.exposure(days, WORDS).value == pytest.approx(30.0)
    absurd = header(("TIMEUNIT", "d"), ("XPOSURE", 30.0))
    assert headers.exposure(absurd, WORDS).value == 30.0


def test_words_that_disagree_are_said_and_a_stated_unit_wins() -> None:
    found = headers.exposure(header(("EXPTIME", 0.5), ("EXPOSURE", 30.0, "[s]")), WORDS)
    assert found.value == 30.0
    assert "EXPTIME says 0.5 s, EXPOSURE 30 s" in found.notes[0]


def test_a_filler_is_no_exposure() -> None:
    found = headers.exposure(header(("EXPTIME", -999.0), ("EXPOSURE", 30.0)), WORDS)
    assert found.value == 30.0
    nothing = headers.exposure(header(("EXPTIME", "n/a")), WORDS)
    assert math.isnan(nothing.value)
    assert "EXPTIME is 'n/a'" in nothing.notes[0]


# ---------------------------------------------------------------------------- scale, FWHM, gain


@pytest.mark.parametrize(
    "cards",
    [
        [("PIXSCALE", 2.0, "arcsec/pixel")],
        [("PIXSCALE", 2.0 / 60, "[arcmin/pix]")],
        [("PIXSCALE", 2.0 / 3600, "[deg]")],
        [("PIXSCALE", 2000.0, "mas per pixel")],
        [("SECPIX", 2.0)],
        # 3.76 um over 388 mm: 206265 x 0.00376 / 388.
        [("XPIXSZ", 3.76, "[um]"), ("FOCALLEN", 387.8, "[mm]")],
    ],
)
def test_two_arcsec_a_pixel_in_every_unit(cards: list[tuple[str, Any, str]]) -> None:
    found = headers.pixel_scale(header(*cards), ("PIXSCALE", "SECPIX"))
    assert found.value == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    "cards",
    [
        [("FWHM", 3.0, "[pix]")],
        [("FWHM", 3.0)],
        [("FWHM", 6.0, "arcsec")],
        [("FWHM", 6.0, "FWHM in arcseconds")],
        [("FWHM", 6.0 / 3600, "[deg]")],
        [("FWHM", 6.0), ("FWHMUNIT", "arcsec")],
        [("FWHM", "6 arcsec")],
        [("FWHM", 3.0, "pixels (2 arcsec/pixel)")],
    ],
)
def test_three_pixels_of_fwhm_in_every_unit(cards: list[tuple[str, Any, str]]) -> None:
    found = headers.psf_fwhm(header(*cards), (FwhmWords(("FWHM",)),), 2.0)
    assert found.value == pytest.approx(3.0)


def test_a_fwhm_that_cannot_be_one_is_said() -> None:
    found = headers.psf_fwhm(header(("FWHM", 500.0)), (FwhmWords(("FWHM",)),), 2.0)
    assert math.isnan(found.value)
    assert "FWHM = 500 pix is no FWHM" in found.notes[0]


@pytest.mark.parametrize(
    ("cards", "electrons"),
    [
        ([("GAIN", 100, "sensor gain setting"), ("EGAIN", 0.25)], 0.25),
        ([("GAIN", 1.5, "electrons/ADU")], 1.5),
        ([("GAIN", 1.5)], 1.5),
        ([("GAIN", 4.0, "[adu/e-]")], 0.25),
        ([("GAIN", 139)], math.nan),
        ([("GAIN", 20, "[0.1 dB]")], math.nan),
        ([("GAIN", 120.0, "[e-/ADU]")], 120.0),
    ],
)
def test_a_setting_is_no_gain(cards: list[tuple[str, Any, str]], electrons: float) -> None:
    found = headers.gain(header(*cards), ("EGAIN", "GAIN"))
    np.testing.assert_equal(found.value, electrons)
    assert bool(found.notes) == math.isnan(electrons)


def test_the_stated_scale_serves_where_there_are_no_coordinates(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(noise_image())
    hdu.header["PIXSCALE"] = (2.0, "arcsec/pixel")
    hdu.header["SEEING"] = (6.0, "arcsec")
    hdu.writeto(tmp_path / "a.fits")
    frame = read_frame(tmp_path / "a.fits")
    assert frame.pixel_scale_arcsec == 2.0
    assert frame.fwhm_px == 3.0
    assert frame.told["scale_arcsec"] == "PIXSCALE = 2 arcsec/px"


def test_a_scale_that_the_coordinates_deny_is_said(tmp_path: Path) -> None:
    from tests.test_readers_coordinates import SHAPE
    from tests.test_readers_coordinates import header as wcs_header

    hdu = fits.PrimaryHDU(noise_image(SHAPE), wcs_header(PIXSCALE=0.5))
    hdu.writeto(tmp_path / "a.fits")
    frame = read_frame(tmp_path / "a.fits")
    assert frame.pixel_scale_arcsec == pytest.approx(1.0)
    assert any("PIXSCALE = 0.5" in note and "binned" in note for note in frame.notes)


# --------------------------------------------------------------------------------- odd spelling


@pytest.mark.parametrize("there", ["DATE-OBS", "DATE_OBS", "DATEOBS"])
def test_a_word_is_found_in_any_spelling(there: str) -> None:
    made = header((there, "2024-06-15"))
    assert headers.spelled(made, "DATE-OBS") == there
    assert headers.value(made, "DATE-OBS") == "2024-06-15"


def test_text_without_quotes_is_text() -> None:
    made = fits.Header()
    made.append(fits.Card.fromstring("DATE-OBS= 2024-06-15T08:00:00.000 / Time (UTC)"))
    assert headers.value(made, "DATE-OBS") == "2024-06-15T08:00:00.000"
    assert headers.comment(made, "DATE-OBS") == "Time (UTC)"


def test_slashes_of_an_unquoted_date_are_no_comment() -> None:
    made = fits.Header()
    made.append(fits.Card.fromstring("DATE-OBS= 2024/06/15 08:00:00 / Time (UTC)"))
    assert headers.value(made, "DATE-OBS") == "2024/06/15 08:00:00"


def seconds(value: float, comment: str, **more: object) -> headers.Found:
    cards = [fits.Card("EXPTIME", value, comment)]
    cards += [fits.Card(word, other) for word, other in more.items()]
    return headers.exposure(fits.Header(cards), ["EXPTIME"])


@pytest.mark.parametrize(
    ("value", "comment"),
    [
        (3000, "exposure in 1/100 s"),
        (3000, "hundredths of seconds"),
        (300, "tenths of a second"),
        (3000, "exposure in units of 10 ms"),
        (300.0, "EXPOSURE TIME/SEC*10"),
    ],
)
def test_counts_of_pieces_of_a_unit(value: float, comment: str) -> None:
    found = seconds(value, comment)
    assert found.value == pytest.approx(30.0)
    assert any(note.startswith("EXPTIME counts ") for note in found.notes)


@pytest.mark.parametrize(
    ("value", "comment"),
    [(0.03, "[ks] exposure"), (0.03, "exposure in ksec"), (3e7, "exposure in microsec")],
)
def test_more_units_of_time(value: float, comment: str) -> None:
    assert seconds(value, comment).value == pytest.approx(30.0)


@pytest.mark.parametrize("comment", ["1/60 s", "[s] exposure, min 1 s", "exposure (s), 10 s read"])
def test_comments_that_count_no_pieces(comment: str) -> None:
    assert seconds(1 / 60, comment).value == pytest.approx(1 / 60)


def test_exposures_added_up_and_words_that_stand_twice_are_said() -> None:
    assert "COADDS is 10: if EXPTIME" in seconds(3.0, "[s]", COADDS=10).notes[0]
    assert seconds(3.0, "[s]", COADDS=1).notes == ()
    twice = fits.Header([fits.Card("EXPTIME", 1.0), fits.Card("EXPTIME", 30.0)])
    assert "EXPTIME stands more than once" in headers.exposure(twice, ["EXPTIME"]).notes[0]


def scale(*cards: tuple[object, ...]) -> headers.Found:
    return headers.pixel_scale(fits.Header([fits.Card(*card) for card in cards]), ["PIXSCALE"])


@pytest.mark.parametrize(
    "cards",
    [
        [("PIXSCALE", 4.848137, "[urad/pix]")],
        [("PIXSCALE", 0.5, "unbinned arcsec/pix"), ("XBINNING", 2)],
        [("XPIXSZ", 9.0), ("FOCALLEN", 1.8564, "m")],
        [("XPIXSZ", 9.0, "microns"), ("FOCALLEN", 185.64, "[cm]")],
        [("XPIXSZ", 0.009, "[mm]"), ("FOCALLEN", 1856.4, "Focal length in mm")],
        [("PIXSCALE", 15.0, "um per pixel"), ("XPIXSZ", 9.0), ("FOCALLEN", 1856.4)],
    ],
)
def test_scales_of_a_pixel_in_other_units(cards: list[tuple[object, ...]]) -> None:
    assert scale(*cards).value == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    ("value", "comment"),
    [
        (67.14, "plate scale (arcsec/mm)"),
        (15.0, "um per pixel"),
        (0.015, "[mm/pixel]"),
        (2.0, "pixels per arcsec"),
        (1 / 3600 / 1e3, "arcsec"),
    ],
)
def test_what_is_no_scale_of_a_pixel_is_said(value: float, comment: str) -> None:
    found = scale(("PIXSCALE", value, comment))
    assert np.isnan(found.value)
    assert "no scale of a pixel" in found.notes[0]


@pytest.mark.parametrize(("value", "is_gain"), [(2, True), (26, False), (26.4, True), (2.4, True)])
def test_a_whole_number_is_a_setting_and_no_gain(value: float, is_gain: bool) -> None:
    found = headers.gain(fits.Header([fits.Card("GAIN", value)]), ["GAIN"])
    assert bool(np.isfinite(found.value)) is is_gain
    assert is_gain or "a camera's setting" in found.notes[0]
    told = fits.Header([fits.Card("GAIN", 26, "electrons per count")])
    assert headers.gain(told, ["GAIN"]).value == 26
