"""The match of streaks with predictions: pure tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.table import QTable
from hypothesis import given
from hypothesis import strategies as st

from streaks.config import MatchConfig
from streaks.errors import ConfigError
from streaks.matching import MATCH_QUALITY_COLUMNS, match_known, separation_arcsec
from streaks.tables import MATCH_COLUMNS, ColumnSpec, build_table, check_table, empty_streaks

_PREDICTED = [ColumnSpec("name", str, None, ""), ColumnSpec("designation", str, None, "")] + [
    ColumnSpec(n, float, u, "")
    for n, u in [("ra", "deg"), ("dec", "deg"), ("rate", "arcsec / s"), ("pa", "deg"),
                 ("vmag", "mag")]
]  # fmt: skip
_SEEN = [ColumnSpec("streak_id", str, None, ""), *_PREDICTED[2:6]]


def _predictions(*rows: tuple[str, float, float, float, float, float]) -> QTable:
    """Name, offset east and north of (150, 30) in arcsec, rate, pa, V."""
    names, east, north, rate, pa, vmag = zip(*rows, strict=True)
    return build_table(_PREDICTED, {
        "name": [f"({n})" for n in names], "designation": list(names),
        "ra": 150.0 + np.array(east) / 3600 / math.cos(math.radians(30.0)),
        "dec": 30.0 + np.array(north) / 3600, "rate": rate, "pa": pa, "vmag": vmag,
    })  # fmt: skip


def _streaks(rate: float = 0.5, pa: float = 40.0, ra: float = 150.0, dec: float = 30.0) -> QTable:
    values = {"ra": [ra], "dec": [dec], "rate": [rate], "pa": [pa]}
    return build_table(_SEEN, {"streak_id": ["f_0001"], **values})


def test_the_nearest_within_the_radius_is_named() -> None:
    matches = match_known(
        _streaks(), _predictions(("7", 20, 0, 0.5, 40, 18.0), ("8467", 3, 4, 0.5, 40, 19.5))
    )
    check_table(matches, MATCH_COLUMNS)
    assert matches["streak_id"][0] == "f_0001"
    assert matches["ssnamenr"][0] == "8467"
    assert matches["ssdistnr"][0].to_value("arcsec") == pytest.approx(5.0, abs=0.01)
    assert matches["ssmagnr"][0].to_value("mag") == 19.5


def test_none_is_minus_999_and_null() -> None:
    (match,) = match_known(_streaks(), _predictions(("7", 31, 0, 0.5, 40, 18.0)))
    assert match["ssdistnr"].value == -999.0
    assert match["ssmagnr"].value == -999.0
    assert match["ssnamenr"] == "null"


def test_a_distance_of_zero_is_a_match() -> None:
    (match,) = match_known(_streaks(), _predictions(("7", 0, 0, 0.5, 40, 18.0)))
    assert match["ssdistnr"].value == 0.0
    assert match["ssnamenr"] == "7"


def test_a_streak_without_sky_coordinates_has_no_match() -> None:
    (match,) = match_known(_streaks(ra=math.nan), _predictions(("7", 0, 0, 0.5, 40, 18.0)))
    assert match["ssnamenr"] == "null"


def test_what_is_too_faint_is_no_match_but_an_unknown_magnitude_may_be() -> None:
    faint = _predictions(("7", 0, 0, 0.5, 40, 24.0))
    unknown = _predictions(("8", 5, 0, 0.5, 40, math.nan))
    assert match_known(_streaks(), faint)["ssnamenr"][0] == "null"
    assert match_known(_streaks(), faint, MatchConfig(limiting_mag=25))["ssnamenr"][0] == "7"
    (match,) = match_known(_streaks(), unknown)
    assert match["ssnamenr"] == "8"
    assert match["ssmagnr"].value == -999.0


@pytest.mark.parametrize("turn", [0.0, 180.0])
def test_the_one_that_moves_like_the_streak_goes_before_a_nearer_one(turn: float) -> None:
    slow, fast = ("1", 2, 0, 0.01, 290, 18.0), ("2", 9, 0, 0.55, 40 + turn, 18.0)
    assert match_known(_streaks(), _predictions(slow, fast))["ssnamenr"][0] == "2"
    crossing = ("2", 9, 0, 0.55, 100, 18.0)
    assert match_known(_streaks(), _predictions(slow, crossing))["ssnamenr"][0] == "1"


def test_without_rate_and_angle_the_nearest_wins() -> None:
    slow, fast = ("1", 2, 0, 0.01, 290, 18.0), ("2", 9, 0, 0.55, 40, 18.0)
    streaks = _streaks(rate=math.nan, pa=math.nan)
    assert match_known(streaks, _predictions(slow, fast))["ssnamenr"][0] == "1"
    bare = streaks[["streak_id", "ra", "dec"]]
    assert match_known(bare, _predictions(slow, fast))["ssnamenr"][0] == "1"


def test_nothing_found_and_nothing_known_are_tables() -> None:
    predictions = _predictions(("7", 0, 0, 0.5, 40, 18.0))
    nothing = match_known(empty_streaks(), predictions)
    assert len(nothing) == 0
    columns = (*MATCH_COLUMNS, *MATCH_QUALITY_COLUMNS)
    assert nothing.colnames == ["streak_id", *(spec.name for spec in columns)]
    assert match_known(_streaks(), predictions[:0])["ssnamenr"][0] == "null"


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="rate_tolerance and angle_tolerance_deg must be > 0"):
        MatchConfig(rate_tolerance=0.0)


@given(st.floats(0, 360), st.floats(-89.9, 89.9), st.floats(0, 360), st.floats(-89.9, 89.9))
def test_separations_are_symmetric_and_those_of_vectors(
    ra0: float, dec0: float, ra1: float, dec1: float
) -> None:
    def unit(ra: float, dec: float) -> np.ndarray:
        a, d = math.radians(ra), math.radians(dec)
        return np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])

    sep = separation_arcsec(ra0, dec0, ra1, dec1)
    assert sep == pytest.approx(separation_arcsec(ra1, dec1, ra0, dec0), rel=1e-9, abs=1e-9)
    chord = np.linalg.norm(unit(ra0, dec0) - unit(ra1, dec1))
    assert sep == pytest.approx(math.degrees(2 * math.asin(min(1.0, chord / 2))) * 3600, abs=0.02)
