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


def _match_at(
    east: float, north: float, *, pa: float = 40.0, rate: float = 0.5, predicted_rate: float = 0.5,
    predicted_pa: float | None = None, dec: float = 30.0, config: MatchConfig | None = None,
    **columns: float,
) -> QTable.Row:  # fmt: skip
    """The match of a streak with one prediction so far east and north of it."""
    streaks = _seen_trail(_trails(("0", 0, 0, rate, pa, 18.0)))
    known = _trails(("7", east, north, predicted_rate, predicted_pa or pa, 18.0))
    for name, value in columns.items():
        known[name] = build_table([ColumnSpec(name, float, "arcsec", "")], {name: [value]})[name]
    return match_known(streaks, known, config)[0]


def _along_and_across(along: float, across: float, pa: float) -> tuple[float, float]:
    """East and north of a place so far along the direction and to the left of it."""
    angle = math.radians(pa)
    return (
        along * math.sin(angle) - across * math.cos(angle),
        along * math.cos(angle) + across * math.sin(angle),
    )


@pytest.mark.parametrize("pa", [20.0, 40.0, 75.0, 110.0, 160.0])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_an_error_along_the_streak_counts_less_than_one_across_it(pa: float, side: float) -> None:
    # A stale orbit errs along its own way, and a streak's ends are less sure than its track. A
    # bearing with its east and west exchanged takes the one for the other wherever the streak
    # runs north-east or north-west.
    along = _match_at(*_along_and_across(6.0 * side, 0.0, pa), pa=pa)["match_chi2"]
    across = _match_at(*_along_and_across(0.0, 6.0 * side, pa), pa=pa)["match_chi2"]
    assert across > 2.0 * along


@pytest.mark.parametrize("ra", [0.0005, 359.9995, 0.0, 180.0])
@pytest.mark.parametrize("east", [-4.0, 4.0])
def test_the_bearing_points_from_the_streak_to_the_object_across_0_h(
    ra: float, east: float
) -> None:
    # Five arcsec from a streak that runs towards the object: along it, not across.
    pa = math.degrees(math.atan2(east, 3.0)) % 180.0
    streak = _streaks(pa=pa, ra=ra, dec=0.0)
    known = _predictions(("7", 0, 0, 0.5, pa, 18.0))
    known["ra"] = [(ra + east / 3600.0) % 360.0] * known["ra"].unit
    known["dec"] = [3.0 / 3600.0] * known["dec"].unit
    expected = (5.0 / (0.7 * MatchConfig().end_error_arcsec)) ** 2
    assert match_known(streak, known)["match_chi2"][0] == pytest.approx(expected, rel=0.03)


def test_places_on_opposite_sides_of_the_sky_are_half_a_turn_apart() -> None:
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, 10_000), rng.uniform(-90, 90, 10_000)
    apart = separation_arcsec(ra, dec, ra + 180.0, -dec)
    np.testing.assert_allclose(apart, 180.0 * 3600.0, rtol=1e-6)


def test_the_terms_of_chi_square_follow_from_the_errors_of_two_ends() -> None:
    # Two ends, each wrong by sigma on its own: their mean by sigma / sqrt 2, their difference by
    # sigma * sqrt 2; the direction by the latter over the length.
    config = MatchConfig(end_error_arcsec=2.0, across_error_arcsec=0.5)
    length, pa = 15.0, 40.0
    end = math.hypot(2.0, 0.05 * length)  # the ends' own, and 5 % of the length
    midpoint = _match_at(*_along_and_across(4.0, 0.0, pa), config=config)["match_chi2"]
    assert midpoint == pytest.approx((4.0 / (end / math.sqrt(2))) ** 2, rel=0.03)
    sideways = _match_at(*_along_and_across(0.0, 1.0, pa), config=config)["match_chi2"]
    assert sideways == pytest.approx((1.0 / 0.5) ** 2, rel=0.03)
    longer = _match_at(0.0, 0.0, predicted_rate=0.6, config=config)["match_chi2"]
    assert longer == pytest.approx((3.0 / (end * math.sqrt(2))) ** 2, rel=0.03)
    shorter = _match_at(0.0, 0.0, predicted_rate=0.4, config=config)["match_chi2"]
    assert shorter == pytest.approx(longer, rel=0.01)
    turned = _match_at(0.0, 0.0, predicted_pa=46.0, config=config)["match_chi2"]
    # Half a degree is what a short arc of the sky itself may turn.
    turn_error = math.hypot(math.degrees(0.5 * math.sqrt(2) / length), 0.5)
    assert turned == pytest.approx((6.0 / turn_error) ** 2, rel=0.05)


def test_a_magnitude_counts_by_its_own_error() -> None:
    streaks = _seen_trail(_trails(("0", 0, 0, 0.5, 40, 18.0)))
    streaks["mag"] = build_table([ColumnSpec("mag", float, "mag", "")], {"mag": [18.0]})["mag"]
    for vmag in (17.2, 18.8):
        match = match_known(streaks, _trails(("7", 0, 0, 0.5, 40, vmag)))[0]
        assert match["match_chi2"] == pytest.approx((0.8 / MatchConfig().mag_error) ** 2, rel=0.01)


def test_the_error_of_a_prediction_widens_what_it_may_differ_by() -> None:
    pa = 40.0
    for where in ((8.0, 0.0), (0.0, 8.0)):
        sure = _match_at(*_along_and_across(*where, pa), pos_err=0.0)["match_chi2"]
        unsure = _match_at(*_along_and_across(*where, pa), pos_err=8.0)["match_chi2"]
        unknown = _match_at(*_along_and_across(*where, pa), pos_err=math.nan)["match_chi2"]
        assert unsure < 1.1
        assert sure > 5.0 * unsure
        assert unknown == sure


def test_what_is_seen_outside_the_radius_is_no_match_and_at_its_edge_it_is() -> None:
    for away, name in ((29.9, "7"), (30.1, "null")):
        assert match_known(_streaks(), _predictions(("7", away, 0, 0.5, 40, 18.0)))[
            "ssnamenr"
        ].tolist() == [name]
    # Three sigma of the prediction's own error, and no more.
    for sigma, name in ((20.1, "7"), (19.9, "null")):
        assert _match_at(60.0, 0.0, pos_err=sigma)["ssnamenr"] == name


@pytest.mark.parametrize(("rate", "fits"), [(0.76, 0), (0.74, 1), (0.26, 1), (0.24, 0)])
def test_rates_may_differ_by_half_of_the_streaks(rate: float, fits: int) -> None:
    config = MatchConfig(rate_tolerance=0.5)
    (match,) = match_known(_streaks(), _predictions(("7", 3, 0, rate, 40, 18.0)), config)
    assert match["match_fits"] == fits


@pytest.mark.parametrize(
    ("pa", "fits"), [(54.9, 1), (55.1, 0), (25.1, 1), (24.9, 0), (205.1, 1), (234.9, 1), (130.0, 0)]
)
def test_directions_may_differ_by_the_tolerance_either_way(pa: float, fits: int) -> None:
    config = MatchConfig(angle_tolerance_deg=15.0)
    (match,) = match_known(_streaks(), _predictions(("7", 3, 0, 0.5, pa, 18.0)), config)
    assert match["match_fits"] == fits


@pytest.mark.parametrize("magnitude", [22.9, 23.1])
def test_the_faintest_that_counts_is_that_of_the_setting(magnitude: float) -> None:
    found = match_known(
        _streaks(), _predictions(("7", 3, 0, 0.5, 40, magnitude)), MatchConfig(limiting_mag=23.0)
    )
    assert (found["ssnamenr"][0] == "7") == (magnitude < 23.0)


def test_the_ends_differ_by_what_separates_them() -> None:
    # Shifted by 3 arcsec as a whole: both ends by 3. Longer by 6: each end by 3.
    assert _match_at(0.0, 3.0)["match_ends"].to_value("arcsec") == pytest.approx(3.0, abs=0.01)
    assert _match_at(0.0, 0.0, predicted_rate=0.7)["match_ends"].to_value(
        "arcsec"
    ) == pytest.approx(3.0, abs=0.01)
    # Turned about its middle by 90 degrees: each end by the half length times sqrt 2.
    turned = _match_at(0.0, 0.0, predicted_pa=130.0)["match_ends"].to_value("arcsec")
    assert turned == pytest.approx(7.5 * math.sqrt(2), abs=0.02)


def test_chance_is_what_a_simulated_field_gives() -> None:
    # Ten thousand fields of random objects: how often is one as near and moving as much alike?
    rng = np.random.default_rng(3)
    density, sep, turn = 200.0, 25.0, 20.0
    rates = rng.uniform(0.2, 1.0, 399)
    others = [(str(i), 900.0 + i, 0.0, r, 40.0, 18.0) for i, r in enumerate(rates)]
    known = _predictions(("7", sep, 0, 0.55, 40.0 + turn, 18.0), *others)
    known.meta["area_deg2"] = len(known) / density
    chance = match_known(_streaks(), known)["match_chance"][0]
    alike = np.mean(np.abs(np.log(rates / 0.5)) <= abs(np.log(0.55 / 0.5)))
    trials = 200_000
    count = rng.poisson(density * (2 * sep) ** 2 / 3600.0**2, trials)
    total = int(count.sum())
    near = np.hypot(*rng.uniform(-sep, sep, (2, total))) <= sep
    like = near & (rng.random(total) < alike) & (np.abs(rng.uniform(-90, 90, total)) <= turn)
    hit = np.bincount(np.repeat(np.arange(trials), count), like, trials) > 0
    assert chance == pytest.approx(hit.mean(), rel=0.15)


def test_agreement_beyond_the_streaks_own_errors_lowers_no_chance() -> None:
    def chance(east: float, pa: float, rate: float) -> float:
        known = _trails(("7", east, 0, rate, pa, 18.0), ("8", 500, 0, 0.5, 40, 18.0))
        streaks = _seen_trail(_trails(("0", 0, 0, 0.5, 40, 18.0)))
        return float(match_known(streaks, known)["match_chance"][0])

    error = MatchConfig().across_error_arcsec
    assert chance(0.0, 40.0, 0.5) == pytest.approx(chance(0.9 * error, 40.9, 0.51))
    assert chance(0.0, 40.0, 0.5) > 0.0
    assert chance(1.5 * error, 40.0, 0.5) > 2.0 * chance(0.0, 40.0, 0.5)
    assert chance(0.0, 42.0, 0.5) == pytest.approx(2.0 * chance(0.0, 41.0, 0.5), rel=1e-3)


def test_a_field_without_an_area_has_the_density_of_the_setting() -> None:
    streaks = _streaks(rate=math.nan, pa=math.nan)
    known = _predictions(("7", 30.0, 0, 0.01, 40, 18.0))
    for density in (100.0, 400.0):
        config = MatchConfig(density_per_deg2=density)
        expected = -math.expm1(-density * math.pi * 30.0**2 / 3600.0**2)
        found = match_known(streaks, known, config)["match_chance"][0]
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("others", "share"), [((), 1.0), ((5.0, 5.0, 5.0), 0.25), ((0.5,), 1.0)])
def test_in_a_field_of_few_the_object_itself_counts_among_the_rates(
    others: tuple[float, ...], share: float
) -> None:
    # With n others and the object itself, n + 1 ranks are equally likely: a rate that none of
    # three others comes near has a share of one in four; a field of one object tells nothing.
    field = [(str(i), 900.0 + i, 0.0, rate, 40.0, 18.0) for i, rate in enumerate(others)]
    known = _predictions(("7", 20.0, 0, 0.5, 40.0, 18.0), *field)
    streaks = _streaks()
    streaks["pa"] = [math.nan] * streaks["pa"].unit
    found = match_known(streaks, known, MatchConfig(density_per_deg2=300.0))["match_chance"][0]
    expected = -math.expm1(-300.0 * math.pi * 20.0**2 / 3600.0**2 * share)
    assert found == pytest.approx(expected, rel=0.01)


def test_the_direction_of_a_streak_without_ends_counts_as_that_of_one_arcsecond() -> None:
    # Nothing tells its length; an arcsecond, and both its ends wrong across by their error.
    config = MatchConfig(across_error_arcsec=0.5, angle_tolerance_deg=80.0)
    known = _predictions(("7", 0.0, 0.0, 0.5, 100.0, 18.0))
    (match,) = match_known(_streaks(pa=40.0), known, config)
    error = math.hypot(math.degrees(0.5 * math.sqrt(2)), 0.5)
    assert match["match_chi2"] == pytest.approx((60.0 / error) ** 2, rel=0.05)
