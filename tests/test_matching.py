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


def _trails(
    *rows: tuple[str, float, float, float, float, float], exposure_s: float = 30.0
) -> QTable:
    """As `_predictions`, with the ends of each trail."""
    table = _predictions(*rows)
    for end, sign in (("0", -1.0), ("1", 1.0)):
        half = sign * 0.5 * exposure_s * table["rate"].value / 3600
        pa = np.radians(table["pa"].value)
        dec = table["dec"].value
        table[f"ra{end}"] = (
            table["ra"].value + half * np.sin(pa) / np.cos(np.radians(dec))
        ) * table["ra"].unit
        table[f"dec{end}"] = (dec + half * np.cos(pa)) * table["dec"].unit
    return table


def _seen_trail(predicted: QTable, *, turned: bool = False) -> QTable:
    """A streak where the first prediction is, its ends in either order."""
    streak = predicted[:1][["ra", "dec", "rate", "ra0", "dec0", "ra1", "dec1"]]
    streak["pa"] = np.mod(predicted["pa"][:1].value, 180.0) * predicted["pa"].unit
    if turned:
        for name in ("ra", "dec"):
            streak[f"{name}0"], streak[f"{name}1"] = (
                predicted[f"{name}1"][:1], predicted[f"{name}0"][:1],
            )  # fmt: skip
    streak["streak_id"] = ["f_0001"]
    return streak


@pytest.mark.parametrize("turned", [False, True])
def test_both_ends_are_compared_in_either_order(turned: bool) -> None:
    predicted = _trails(("7", 0, 0, 0.5, 230, 18.0))
    (match,) = match_known(_seen_trail(predicted, turned=turned), predicted)
    assert match["match_fits"] == 1
    assert match["match_ends"].to_value("arcsec") < 0.01
    assert match["match_chi2"] < 0.01


def test_of_two_that_move_alike_the_likelier_wins() -> None:
    near = ("1", 4, 0, 0.62, 52, 18.0)
    likely = ("2", 0, 5, 0.5, 40, 18.0)
    streaks = _seen_trail(_trails(("0", 0, 0, 0.5, 40, 18.0)))
    assert match_known(streaks, _trails(near, likely))["ssnamenr"][0] == "2"


def test_magnitude_tells_between_two_of_one_motion() -> None:
    streaks = _seen_trail(_trails(("0", 0, 0, 0.5, 40, 18.0)))
    streaks["mag"] = build_table([ColumnSpec("mag", float, "mag", "")], {"mag": [18.1]})["mag"]
    both = _trails(("1", 1, 0, 0.5, 40, 21.0), ("2", 0, 2, 0.5, 40, 18.0))
    assert match_known(streaks, both)["ssnamenr"][0] == "2"


def test_an_uncertain_orbit_is_looked_for_farther_away_if_it_moves_like_the_streak() -> None:
    predicted = _trails(("7", 80, 0, 0.5, 40, 18.0), ("8", 81, 0, 0.5, 130, 18.0))
    streaks = _seen_trail(_trails(("0", 0, 0, 0.5, 40, 18.0)))
    assert match_known(streaks, predicted)["ssnamenr"][0] == "null"
    error = ColumnSpec("pos_err", float, "arcsec", "")
    predicted["pos_err"] = build_table([error], {"pos_err": [40.0, 40.0]})["pos_err"]
    assert match_known(streaks, predicted)["ssnamenr"][0] == "7"


def test_chance_grows_with_distance_turn_and_density() -> None:
    def chance(east: float, pa: float, area_deg2: float = 1.0) -> float:
        predicted = _trails(("7", east, 0, 0.5, pa, 18.0))
        predicted.meta["area_deg2"] = area_deg2
        streaks = _seen_trail(_trails(("0", 0, 0, 0.5, 40, 18.0)))
        return float(match_known(streaks, predicted)["match_chance"][0])

    assert chance(2, 40) < chance(8, 40) < chance(8, 50) < chance(8, 50, 0.1)


def test_chance_is_that_of_a_poisson_field() -> None:
    # 4.8 % of random places near the ecliptic have a known body within 30 arcsec: such is the
    # chance of a streak of unknown motion 30 arcsec from the nearest.
    streaks = _streaks(rate=math.nan, pa=math.nan)
    (match,) = match_known(streaks, _predictions(("7", 30.0, 0, 0.01, 40, 18.0)))
    assert match["match_chance"] == pytest.approx(0.048, abs=0.003)


def test_errors_and_densities_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="errors and density of a match must be > 0"):
        MatchConfig(end_error_arcsec=0.0)
