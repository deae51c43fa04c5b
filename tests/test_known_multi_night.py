"""Nights over years: who is followed to a night, and whether anyone near the places is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.time import Time

from streaks.errors import CatalogueError
from streaks.known import (
    NBody,
    Orbits,
    TwoBody,
    default_ephemeris,
    find_observatory,
    orbit_through,
    predict,
    stack_orbits,
)
from streaks.known.multi_night import MultiNightIndex
from streaks.known.places import unit_vector

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

#: Everything is followed to dates 16 days apart; half a stride from one, two bodies are worst.
GRID_JD = 16.0 * 153_700
NIGHT = Time(GRID_JD + 7.6, format="jd", scale="tdb")
NONE = np.zeros(0, dtype=np.intp)


def _index(orbits: Orbits, dynamics: NBody | TwoBody | None = None) -> MultiNightIndex:
    model = NBody() if dynamics is None else dynamics
    return MultiNightIndex(orbits, model, find_observatory("I41"), default_ephemeris())


def _place(orbit: Orbits, when: Time = NIGHT) -> tuple[float, float]:
    seen = predict(orbit, when, "I41")[0]
    return float(seen["ra"].value), float(seen["dec"].value)


def _passing(distance_au: float, rate: float = 0.02, ra: float = 110.0) -> Orbits:
    """A body that is so far from the Earth at the date of the grid, and hardly moves from it."""
    start = Time(GRID_JD + 0.5, format="jd", scale="tdb")
    return orbit_through(ra, 10.0, rate, 100.0, start, distance_au)


@pytest.mark.parametrize("distance_au", [0.003, 0.005])
@pytest.mark.parametrize("ra", [20.0, 110.0, 290.0])
def test_a_body_that_the_earth_holds_for_a_while_is_found(distance_au: float, ra: float) -> None:
    # Such as 2006 RH120 or 2024 PT5: in a week the Earth bends its way by degrees of its sky,
    # and two bodies foretell nothing. It is followed because it is near, wherever they put it.
    orbit = _passing(distance_au, ra=ra)
    place = _place(orbit)
    night = _index(orbit).night(NIGHT.jd, unit_vector(*place)[None], 30.0, NONE)
    found = night.near(*place, 30.0, NIGHT)
    assert len(found) == 1
    assert found["sep"][0].to_value("arcsec") < 0.5


@pytest.mark.parametrize(("distance_au", "followed"), [(0.2, 1), (0.27, 1), (0.37, 0), (0.8, 0)])
def test_what_is_within_a_third_of_an_au_is_followed_wherever_the_places_are(
    distance_au: float, followed: int
) -> None:
    orbit = _passing(distance_au, rate=0.004)
    away = _place(orbit)[0] + 180.0, -10.0
    night = _index(orbit).night(NIGHT.jd, unit_vector(*away)[None], 30.0, NONE)
    assert len(night.orbits) == followed


def _belt(n: int) -> Orbits:
    rng = np.random.default_rng(8)
    places = zip(rng.uniform(0, 360, n), rng.uniform(-25, 25, n), strict=True)
    return stack_orbits([
        orbit_through(ra, dec, 0.008, 280.0, NIGHT, 1.6, name=f"2018 A{chr(65 + i % 8)}{i + 1}")
        for i, (ra, dec) in enumerate(places)
    ])  # fmt: skip


def test_far_from_the_places_nothing_is_followed_and_what_is_named_is() -> None:
    orbits = _belt(30)
    places = predict(orbits, NIGHT, "I41")
    ra, dec = places["ra"].value, places["dec"].value
    index = _index(orbits)
    for row in (3, 17):
        away = np.hypot((ra - ra[row] + 180) % 360 - 180, dec - dec[row])
        night = index.night(NIGHT.jd, unit_vector(ra[row], dec[row])[None], 30.0, NONE)
        assert str(orbits.designation[row]) in night.orbits.designation
        # A belt asteroid moves a fifth of a degree a day: its neighbours alone can be meant.
        assert len(night.orbits) <= np.count_nonzero(away < 3.0)
        named = index.night(
            NIGHT.jd, unit_vector(ra[row], dec[row])[None], 30.0, np.array([5], dtype=np.intp)
        )
        assert str(orbits.designation[5]) in named.orbits.designation
    assert len(index.night(NIGHT.jd, np.zeros((0, 3)), 30.0, NONE).orbits) == 0


@pytest.mark.parametrize("radius_deg", [0.01, 5.0])
def test_a_wider_radius_takes_all_that_is_in_it(radius_deg: float) -> None:
    orbits = _belt(40)
    places = predict(orbits, NIGHT, "I41")
    centre = unit_vector(180.0, 0.0)
    towards = np.stack([unit_vector(p["ra"].value, p["dec"].value) for p in places])
    apart = np.degrees(np.arccos(np.clip(towards @ centre, -1, 1)))
    radius = radius_deg + 10.0
    night = _index(orbits).night(NIGHT.jd, centre[None], radius * 3600.0, NONE)
    there = {str(name) for name in orbits.designation[apart < radius]}
    assert there <= {str(name) for name in night.orbits.designation}
    assert len(night.orbits) < len(orbits)


def test_parallax_loses_no_body_just_beyond_the_rule_of_nearness() -> None:
    # At 0.35 au the observer's place on the Earth shifts it by 25 arcsec, near the radius.
    orbit = _passing(0.36, rate=0.004)
    place = _place(orbit)
    night = _index(orbit).night(NIGHT.jd, unit_vector(*place)[None], 1.0, NONE)
    assert len(night.near(*place, 1.0, NIGHT)) == 1


def test_a_lost_orbit_does_not_hide_the_others() -> None:
    orbits = _belt(4)
    lost = replace(orbits, q_au=np.array([1.0, np.nan, 1.0, 1.0]) * orbits.q_au)
    place = _place(orbits.select(np.array([2])))
    night = _index(lost).night(NIGHT.jd, unit_vector(*place)[None], 30.0, NONE)
    assert len(night.near(*place, 30.0, NIGHT)) == 1


def test_two_bodies_are_followed_to_the_night_itself() -> None:
    orbits = _belt(4)
    where = predict(orbits, NIGHT, "I41", dynamics="two-body")
    place = float(where["ra"][1].value), float(where["dec"][1].value)
    night = _index(orbits, TwoBody()).night(NIGHT.jd, unit_vector(*place)[None], 30.0, NONE)
    assert night.near(*place, 30.0, NIGHT)["sep"][0].to_value("arcsec") < 1e-3


def test_nights_at_the_end_of_an_ephemeris_need_nothing_beyond_it() -> None:
    from streaks.known.shipped import _shipped_kernels

    kernels = _shipped_kernels()
    last = Time(kernels.span_jd[1] - 2.0, format="jd", scale="tdb")
    before = Time(last.jd - 1.0, format="jd", scale="tdb")
    orbit = orbit_through(30.0, 10.0, 0.008, 280.0, before, 1.5)
    index = MultiNightIndex(orbit, NBody(kernels), find_observatory("I41"), kernels)
    place = _place(orbit, last)
    night = index.night(last.jd, unit_vector(*place)[None], 30.0, NONE)
    assert len(night.near(*place, 30.0, last)) == 1
    with pytest.raises(CatalogueError, match="give a kernel of those years"):
        index.night(kernels.span_jd[1] + 20.0, unit_vector(*place)[None], 30.0, NONE)


@pytest.mark.parametrize(("away_deg", "followed"), [(0.05, 1), (0.6, 0)])
def test_the_way_of_a_day_is_that_against_the_earths_own_motion(
    away_deg: float, followed: int
) -> None:
    # At opposition Earth and asteroid move alike: in the 0.6 days of room it goes 0.1 degrees.
    orbit = orbit_through(92.0, 23.0, 0.008, 280.0, NIGHT, 1.6)
    place = unit_vector(92.0, 23.0 + away_deg)[None]
    assert len(_index(orbit).night(NIGHT.jd, place, 30.0, NONE).orbits) == followed
