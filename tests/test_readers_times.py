"""Mid-exposure out of words that mean start, middle or end."""

from __future__ import annotations

import logging
import math

import pytest
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from streaks.readers.profile import TimeWords, builtin_profiles
from streaks.readers.times import Exposure, find_exposure, mid_exposure, parse_instant

NOON = Time("2018-06-07T12:00:00", scale="utc")
START = (TimeWords(start="T-START"),)


def header(**words: object) -> fits.Header:
    made = fits.Header()
    for word, value in words.items():
        made[word.replace("_", "-")] = value
    return made


def seconds_after_noon(time: Time | None) -> float:
    assert time is not None
    assert time.scale == "utc"
    return float((time - NOON).to_value("s"))


@pytest.mark.parametrize(
    "found",
    [
        "2018-06-07T12:00:00.000",
        "2018-06-07 12:00:00",
        "2018-06-07T12:00:00Z",
        2458277.0,
        58276.5,
        "58276.5",
    ],
)
def test_instants_in_all_their_forms(found: object) -> None:
    assert abs(seconds_after_noon(parse_instant(found))) < 1e-3


@pytest.mark.parametrize(("found", "year"), [("07/06/98", 1998), ("07/06/118", 2018)])
def test_old_dates_count_years_from_1900(found: str, year: int) -> None:
    # The FITS standard before 1998: DD/MM/YY; some cameras went on with 3 digits after 1999.
    time = parse_instant(found, clock="12:00:00")
    assert time is not None
    assert time.isot == f"{year}-06-07T12:00:00.000"


def test_a_short_year_before_all_images_is_not_read() -> None:
    # 1924 by the standard, 2024 by whoever wrote it, or the 15th of June.
    assert parse_instant("15/06/24", clock="08:00:00") is None


@pytest.mark.parametrize(
    "found",
    ["2018-06-07", "", "yesterday", math.nan, math.inf, 12.5, 9e99, True, None, "1600-01-01T00:00"],
)
def test_what_is_no_time_of_an_exposure_is_none(found: object) -> None:
    assert parse_instant(found) is None


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    time = parse_instant(text)
    assert time is None or 1899 < time.datetime.year < 2151


@pytest.mark.parametrize(("moment", "shift"), [("start", 15.0), ("mid", 0.0), ("end", -15.0)])
def test_the_words_meaning_decides_the_shift(moment: str, shift: float) -> None:
    words = (TimeWords(**{moment: "T"}),)
    time = mid_exposure(header(T="2018-06-07T12:00:00"), words, 30.0)
    assert seconds_after_noon(time) == pytest.approx(shift, abs=1e-6)


@pytest.mark.parametrize(
    ("comment", "shift"),
    [
        ("Time at end of exposure", -15.0),
        ("start of exposure (UTC)", 15.0),
        ("[UTC] exposure midpoint", 0.0),
        ("UTC observation date", 15.0),
        ("start and end of exposure", 15.0),
        ("[UTC] end of exp.", -15.0),
        ("UTC at the end of the frame", -15.0),
        ("Start of readout", -15.0),
        ("midpoint of the exp", 0.0),
        ("UTC midexposure", 0.0),
        ("UT at mid-time", 0.0),
        ("UTC, end of night", 15.0),
    ],
)
def test_a_comment_that_says_the_moment_decides(comment: str, shift: float) -> None:
    made = header(T_START="2018-06-07T12:00:00")
    made.comments["T-START"] = comment
    assert seconds_after_noon(mid_exposure(made, START, 30.0)) == pytest.approx(shift, abs=1e-6)


def test_a_word_that_says_its_moment_goes_before_one_that_does_not() -> None:
    made = header(DATE="2018-06-07T12:00:00", JD=2458277.0)
    made.comments["JD"] = "end of exposure"
    words = (TimeWords(start="DATE"), TimeWords(start="JD"))
    assert seconds_after_noon(mid_exposure(made, words, 30.0)) == pytest.approx(-15.0, abs=1e-3)


def test_start_and_end_give_the_middle_whatever_the_exposure() -> None:
    made = header(A="2018-06-07T11:59:50", B="2018-06-07T12:00:20")
    words = (TimeWords(start="A", end="B"),)
    assert seconds_after_noon(mid_exposure(made, words, math.nan)) == pytest.approx(5.0, abs=1e-6)


def test_an_end_before_the_start_is_passed_over() -> None:
    made = header(A="2018-06-07T12:00:20", B="2018-06-07T11:59:50", C="2018-06-07T12:00:00")
    words = (TimeWords(start="A", end="B"), TimeWords(mid="C"))
    assert seconds_after_noon(mid_exposure(made, words, 30.0)) == pytest.approx(0.0, abs=1e-6)


def test_timesys_goes_before_the_profiles_scale() -> None:
    words = (TimeWords(mid="T", scale="utc"),)
    made = header(T="2018-06-07T12:00:37", TIMESYS="TAI")
    # TAI - UTC = 37 s since 2017 (IERS Bulletin C 52).
    assert seconds_after_noon(mid_exposure(made, words, 30.0)) == pytest.approx(0.0, abs=1e-6)


def test_a_date_takes_the_time_of_day_of_another_word() -> None:
    words = (TimeWords(start="DATE-OBS", clock=("TIME-OBS",)),)
    made = header(DATE_OBS="2018-06-07", TIME_OBS="11:59:45.0")
    assert seconds_after_noon(mid_exposure(made, words, 30.0)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("exposure_s", [-30.0, 1e308, math.inf])
def test_an_absurd_exposure_is_no_exposure(
    exposure_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    found = mid_exposure(header(T_START="2018-06-07T12:00:00"), START, exposure_s, "a.fits")
    assert seconds_after_noon(found) == pytest.approx(0.0, abs=1e-3)
    assert "exposure time unknown or absurd" in caplog.text


def test_an_unknown_exposure_leaves_the_start_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        time = mid_exposure(header(T_START="2018-06-07T12:00:00"), START, math.nan)
    assert seconds_after_noon(time) == pytest.approx(0.0, abs=1e-6)
    assert "the start of the exposure is taken as its middle" in caplog.text


def test_no_word_no_time() -> None:
    assert mid_exposure(header(OTHER=1), START, 30.0) is None


# ----------------------------------------------------------------------- forms of dates, clocks


@pytest.mark.parametrize(
    "found",
    [
        "2018-06-07T12:00:00+00:00",
        "2018-06-07T14:00:00+02:00",
        "2018-06-07T05:00:00-0700",
        "2018-06-07T12:00:00.000 UTC",
        "2018/06/07 12:00:00",
        "2018/06/07T12:00:00",
        "20180607T120000",
        "20180607 12:00:00",
        "2018-06-07T12-00-00",
        "2018-06-07T12:00",
        "2018-158T12:00:00",
        "07-Jun-2018 12:00:00",
        "7 June 2018 12:00:00",
        "Jun 7, 2018 12:00:00",
        "25/06/2018 12:00:00",
        "06/25/2018 12:00:00",
        "2018-06-07T12:00:37 TAI",
        "'2018-06-07T12:00:00'",
    ],
)
def test_dates_in_all_their_forms(found: str) -> None:
    time = parse_instant(found)
    time = None if time is None else time.utc
    day = 18 * 86400 if "25" in found[:5] else 0
    assert seconds_after_noon(time) == pytest.approx(day, abs=1e-3)


@pytest.mark.parametrize(
    "found",
    [
        "06/07/2018 12:00:00",  # June or July
        "2018-13-07T12:00:00",
        "2018-06-07T25:00:00",
        "2018-06-07T12:00:00 PM",
        "2018-06-07T12:00:00+99:00",
        "12:00:00",
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_no_time(found: str) -> None:
    assert parse_instant(found) is None


GENERIC = builtin_profiles()["generic"].times


def found(exposure_s: float = 30.0, **words: object) -> Exposure:
    return find_exposure(header(**words), GENERIC, exposure_s)


@pytest.mark.parametrize(
    "words",
    [
        {"DATE_OBS": "2018-06-07T12:00:00", "MJD_OBS": 58276},
        {"DATE_OBS": "2018-06-07T12:00:00", "MJD_OBS": 58276.5},
        {"DATE_OBS": "2018-06-07T12:00:00", "MJD_OBS": 58276.49},
        {"DATE_OBS": "2018-06-07T12:00:00", "JD": 2458277.0},
        {"DATE_OBS": "2018-06-07T12:00:00Z", "TIMESYS": "TDB"},
        {"DATE_OBS": "2018-06-07T12:01:09.184", "TIMESYS": "TT"},
        {"DATE_OBS": "2018-06-07T12:00:18", "TIMESYS": "GPS"},
        {"DATE_OBS": "2018-06-07", "UT": "12:00:00"},
        {"DATE_OBS": "2018/06/07", "UT_START": "12:00:00"},
        {"DATE_OBS": "2018-06-07T00:00:00", "TIME_OBS": "12:00:00"},
        {"DATE_OBS": "2018-06-07", "UTC": 43200.0},
        {"DATE_OBS": "2018-06-07", "UT": 12.0},
        {"DATE_OBS": "2018-06-07", "TAIHMS": "12:00:37.00", "MJD_OBS": 58276},
        {"DATE_OBS": "2018-06-07", "UT": "12:00:00", "TIMESYS": "TAI"},
        {"DATE": "2018-06-07", "UT": "12:00:00"},
        {"DATE": "2018-06-07", "TIME": "12:00:00"},
        {"TAI": (58276.5 * 86400.0) + 37.0},
        {"DATE_BEG": "2018-06-07T12:00:00"},
        {"DATE_OBS": "2018-06-07T12:00:00", "DATE_END": "2018-06-07T12:00:30"},
    ],
)
def test_a_start_at_noon_in_all_words(words: dict[str, object]) -> None:
    # TAI - UTC = 37 s, TT - TAI = 32.184 s, GPS = TAI - 19 s.
    assert seconds_after_noon(found(**words).mid) == pytest.approx(15.0, abs=1e-3)


def test_the_writing_of_the_file_is_no_time_of_the_exposure() -> None:
    assert found(DATE="2018-06-08T12:00:00", UT="12:00:00").mid is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"DATE_OBS": "last night"}, "DATE-OBS is 'last night', which cannot be read"),
        ({"DATE_OBS": "2018-06-07"}, "DATE-OBS is a date"),
        ({"DATE_OBS": "2018-06-07", "UT": "noon"}, "UT is 'noon'"),
        ({"MJD_OBS": 58276}, "MJD-OBS is a day, no time"),
        ({"DATE_OBS": "2018-06-07T12:00:00", "TIMESYS": "LOCAL"}, "TIMESYS is LOCAL"),
    ],
)
def test_a_time_that_cannot_be_had_is_said_with_its_word(
    words: dict[str, object], said: str
) -> None:
    exposure = found(**words)
    assert exposure.mid is None
    assert any(said in note for note in exposure.notes), exposure.notes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"DATE_OBS": "2018-06-07T12:00:00.00", "MJD_OBS": 58276.50023148}, "s from"),
        ({"MJD_OBS": 58276.51}, "written to 864 s"),
        ({"DATE_OBS": "2018-06-07T12:00:00", "TIMESYS": "XYZ"}, "TIMESYS 'XYZ' is not known"),
        ({"DATE_OBS": "2018-06-07T12:00:00", "TIMEREF": "SOLARSYSTEM"}, "at the Sun"),
        ({"DATE_OBS": "2018-06-07T12:00:00Z", "TIMESYS": "TDB"}, "TIMESYS says TDB"),
    ],
)
def test_what_is_doubtful_is_said(words: dict[str, object], said: str) -> None:
    exposure = found(**words)
    assert exposure.mid is not None
    assert any(said in note for note in exposure.notes), exposure.notes


def test_words_that_agree_say_nothing() -> None:
    exposure = found(
        DATE_OBS="2018-06-07T12:00:00.000", MJD_OBS=58276.5, TIMESYS="UTC",
        DATE_AVG="2018-06-07T12:00:15.000", DATE_END="2018-06-07T12:00:30.200",
    )  # fmt: skip
    assert exposure.notes == ()
    assert seconds_after_noon(exposure.mid) == pytest.approx(15.0, abs=1e-3)


def test_digits_of_a_second_word_are_used_where_both_mean_one_instant() -> None:
    made = header(DATE_OBS="2018-06-07T12:00:00", MJD_OBS=58276.50000463)
    made.comments["DATE-OBS"] = "end of exposure"
    exposure = find_exposure(made, GENERIC, 30.0)
    # 0.00000463 d = 0.400 s; what moment it is, DATE-OBS says.
    assert seconds_after_noon(exposure.mid) == pytest.approx(-14.6, abs=1e-3)


def test_start_and_end_tell_the_exposure() -> None:
    exposure = found(math.nan, DATE_BEG="2018-06-07T12:00:00", DATE_END="2018-06-07T12:00:30")
    assert exposure.length_s == pytest.approx(30.0)
    assert exposure.notes == ()


GENERIC = builtin_profiles()["generic"].times


def found_of(*cards: tuple[object, ...]) -> Exposure:
    return find_exposure(fits.Header([fits.Card(*card) for card in cards]), GENERIC, 30.0)


@pytest.mark.parametrize(
    ("comment", "shift"),
    [
        ("UT at end of exposure", -15.0),
        ("UT at middle of exposure", 0.0),
        ("UT", 15.0),
    ],
)
def test_the_comment_of_a_time_of_day_says_the_moment(comment: str, shift: float) -> None:
    found = found_of(("DATE-OBS", "2018-06-07"), ("UT", "12:00:00", comment))
    assert seconds_after_noon(found.mid) == pytest.approx(shift, abs=1e-3)


@pytest.mark.parametrize(
    ("comment", "ahead_s"),
    [
        ("[TT] start of exposure", 69.184),
        ("TAI, start of exposure", 37.0),
        ("GPS time", 18.0),
        ("UTC, not TAI", 0.0),
        ("HST start of exposure", 0.0),
    ],
)
def test_a_comment_names_the_time_scale(comment: str, ahead_s: float) -> None:
    found = found_of(("DATE-OBS", "2018-06-07T12:00:00", comment))
    assert seconds_after_noon(found.mid) == pytest.approx(15.0 - ahead_s, abs=2e-3)


def test_timesys_goes_before_a_comment_that_says_otherwise() -> None:
    found = found_of(("DATE-OBS", "2018-06-07T12:00:00", "[TT]"), ("TIMESYS", "TAI"))
    assert seconds_after_noon(found.mid) == pytest.approx(15.0 - 37.0, abs=1e-3)
    assert found.notes == ("DATE-OBS has TT in its comment, though TIMESYS says TAI",)


@pytest.mark.parametrize(
    "cards",
    [
        [("DATE-OBS", "2018-06-07T14:00:00", "Local time of observation")],
        [("DATE-OBS", "2018-06-07T14:00:00", "[CEST] start")],
        [("DATE-OBS", "2018-06-07"), ("TIME-OBS", "14:00:00", "local time")],
        [("DATE-OBS", "2018-06-07"), ("UT", "14:00:00", "local time")],
        [("DATE-OBS", "2018-06-07T14:00:00"), ("TIMESYS", "CEST")],
    ],
)
def test_a_local_time_is_no_time(cards: list[tuple[object, ...]]) -> None:
    found = found_of(*cards)
    assert found.mid is None
    assert any("cannot be brought to UTC; give --time" in note for note in found.notes)


def test_light_at_the_sun_is_said_from_a_comment() -> None:
    found = found_of(("MJD-OBS", 58276.5000001, "BJD - 2400000.5, start of exposure"))
    assert any("light at the Sun" in note for note in found.notes)


def test_a_shortened_julian_date_is_not_read() -> None:
    # JD - 2400000 and the modified one are half a day apart.
    found = found_of(("JD", 58276.5000001))
    assert found.mid is None
    assert "JD is 58276.5000001, which cannot be read as a time" in found.notes


@pytest.mark.parametrize(("clock", "is_read"), [(80000, False), (28800, True), (8.0, True)])
def test_a_number_of_two_meanings_is_no_time_of_day(clock: float, is_read: bool) -> None:
    # 80000 is 08:00:00 without colons, or 22:13:20 in seconds; no clock shows 02:88:00.
    found = found_of(("DATE-OBS", "2018-06-07"), ("UT", clock))
    assert (found.mid is not None) is is_read
    assert is_read or any("UT is 80000" in note for note in found.notes)


def test_seconds_of_the_day_that_may_be_digits_are_said() -> None:
    found = found_of(("DATE-OBS", "2018-06-07"), ("UTC", 43200.0))
    assert seconds_after_noon(found.mid) == pytest.approx(15.0)
    assert found.notes == ("UTC = 43200.0 is read as seconds since midnight, 12:00:00",)


def test_a_word_that_stands_twice_is_said() -> None:
    found = found_of(("DATE-OBS", "2018-06-07T12:00:00"), ("DATE-OBS", "2018-06-07T13:00:00"))
    assert seconds_after_noon(found.mid) == pytest.approx(15.0)
    assert any("DATE-OBS stands more than once" in note for note in found.notes)


def test_a_leap_second_is_a_second() -> None:
    last = parse_instant("2016-12-31T23:59:60")
    noon = parse_instant("2016-12-31T12:00:00")
    assert last is not None
    assert noon is not None
    assert float((last - noon).to_value("s")) == pytest.approx(43200.0, abs=1e-4)


@pytest.mark.parametrize(
    "found",
    ["2018-06-07T12:00:00z", "2018-06-07t12:00:00", "2.4582770D+06", "2018-06-07 12:00 utc"],
)
def test_spellings_beside_the_standard(found: str) -> None:
    assert abs(seconds_after_noon(parse_instant(found))) < 1e-3
