"""Places, dynamics and a night's index, against JPL Horizons and one another."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from streaks.errors import CatalogueError
from streaks.frame import Frame
from streaks.known import (
    Ephemeris,
    NBody,
    Observatory,
    Orbits,
    SeriesEphemeris,
    TwoBody,
    near,
    open_ephemeris,
    orbit_through,
    predict,
    prepare_night,
    read_orbits,
    stack_orbits,
    write_mpcorb,
)
from streaks.known._motion import select_near
from streaks.known.dynamics import ecliptic_to_icrs, elements_of_icrs_state
from streaks.known.index import _between
from streaks.known.kepler import Elements
from streaks.known.places import predictions_from_states
from streaks.matching import separation_arcsec

PALOMAR = Observatory("675", "Palomar Mountain", 243.13746, 0.836357, 0.546831)
GEOCENTRE = Observatory("500", "Geocentric", 0.0, 0.0, 0.0)


def _orbits(elements: Elements, epoch_jd: float, *, designation: str = "2018 AA") -> Orbits:
    one = np.ones(len(elements.e))
    names = np.array([designation] * len(one))
    return Orbits(names, names, 15.0 * one, 0.15 * one, epoch_jd * one, *elements, 0.0 * one)


def _rows(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))[1:]


@pytest.mark.parametrize("number", ["001", "016"])
def test_palomar_places_are_those_of_horizons(real_data: Callable[..., Path], number: str) -> None:
    # From Horizons' own barycentric states: light-time, parallax and axes are ours.
    seen = _rows(real_data("horizons", f"observer-asteroid-{number}-palomar.txt.gz"))
    vectors = _rows(real_data("horizons", f"vectors-daily-asteroid-{number}.txt.gz"))
    ephemeris = SeriesEphemeris()
    for i in range(0, len(seen), 250):
        time = Time(float(seen[i][1]), format="jd", scale="utc")
        jd = float(vectors[i][0])
        position = ecliptic_to_icrs(np.array([[float(x) for x in vectors[i][2:5]]]))
        velocity = ecliptic_to_icrs(np.array([[float(x) for x in vectors[i][5:8]]]))
        sun, sun_velocity = ephemeris.state("sun", jd)
        position, velocity = position - sun, velocity - sun_velocity
        position = position + (time.tdb.jd - jd) * velocity
        orbits = _orbits(elements_of_icrs_state(position, velocity, time.tdb.jd), jd)
        place = predictions_from_states(orbits, position, velocity, time.tdb.jd, PALOMAR)
        ra, dec, delta = (float(seen[i][k]) for k in (4, 5, 8))
        away = separation_arcsec(place["ra"].value, place["dec"].value, ra, dec)
        assert away[0] < 0.01
        assert place["delta"][0].to_value("AU") == pytest.approx(delta, abs=1e-7)


def _horizons_orbit(path: Path, number: str) -> tuple[Orbits, str]:
    text = gzip.decompress(path.read_bytes()).decode()
    head = text[: text.index("$$SOE")]

    def value(name: str) -> float:
        match = re.search(rf"\b{name}=\s*([-\d.E+]+)", head)
        assert match is not None
        return float(match.group(1))

    angles = np.radians([value("IN"), value("OM"), value("W")])
    elements = Elements(*(np.array([x]) for x in (value("QR"), value("EC"), *angles, value("TP"))))
    return _orbits(elements, value("EPOCH"), designation=number), text


@pytest.mark.parametrize("number", ["5", "9"])
def test_full_dynamics_follow_horizons_for_years(
    real_data: Callable[..., Path], number: str
) -> None:
    orbits, text = _horizons_orbit(real_data("horizons", f"vectors-ast_000{number}.txt.gz"), number)
    ephemeris = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp").parent)
    engine = NBody(ephemeris)
    body = text[text.index("$$SOE") + 5 : text.index("$$EOE")].strip().splitlines()
    table = np.array([[float(x) for x in (r.split(",")[0], *r.split(",")[3:6])] for r in body])
    barycentric = ecliptic_to_icrs(table[:, 1:])
    first = int(np.argmin(np.abs(table[:, 0] - orbits.epoch_jd[0])))
    # DE431, which Horizons used, has its barycentre 118 km from that of DE440 (mostly Kuiper
    # belt bodies; Park et al. 2021): the same shift at all dates.
    shift = None
    for row in (first, first + 73, first + 146):  # 0, 1 and 2 years
        position, _ = engine.states(orbits, table[row, 0])
        ours = position[0] + ephemeris.state("sun", table[row, 0])[0]
        shift = barycentric[row] - ours if shift is None else shift
        miss = np.linalg.norm(ours + shift - barycentric[row])
        assert np.degrees(miss / np.linalg.norm(barycentric[row])) * 3600 < 0.01
    assert shift is not None
    assert np.linalg.norm(shift) * 149_597_870.7 < 200.0


def test_geocentric_places_nine_years_from_the_epoch(real_data: Callable[..., Path]) -> None:
    orbits, _ = _horizons_orbit(real_data("horizons", "vectors-ast_0005.txt.gz"), "5")
    ephemeris = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp").parent)
    seen = _rows(real_data("horizons", "observer-asteroid-005-geocenter.txt.gz"))[0]
    place = predict(
        orbits, Time(float(seen[1]), format="jd", scale="utc"), GEOCENTRE,
        dynamics=NBody(ephemeris), ephemeris=ephemeris,
    )  # fmt: skip
    away = separation_arcsec(place["ra"].value, place["dec"].value, float(seen[4]), float(seen[5]))
    assert away[0] < 0.05


def test_two_body_error_is_within_what_it_says(real_data: Callable[..., Path]) -> None:
    orbits = read_orbits(real_data("orbits", "mpcorb_named_22304_K25BL.dat.gz"))
    orbits = orbits.select(slice(0, None, 100))
    engine = NBody()
    for days in (100.0, 200.0):
        jd = float(orbits.epoch_jd[0]) - days
        true, _ = engine.states(orbits, jd)
        simple, _ = TwoBody().states(orbits, jd)
        miss = np.linalg.norm(true - simple, axis=1) / np.linalg.norm(true, axis=1)
        miss_arcsec = np.degrees(miss) * 3600
        claimed = TwoBody().error_arcsec(orbits, jd)
        assert np.mean(miss_arcsec < 3 * claimed) > 0.97
        assert np.median(miss_arcsec) > 0.05 * np.median(claimed)  # nor is it idle caution


def test_full_dynamics_return_to_where_they_began() -> None:
    elements = Elements(
        *(np.array(x) for x in (
            [2.0, 0.3, 0.9], [0.1, 0.85, 0.2], [0.1, 0.4, 0.02],
            [1.0, 2.0, 3.0], [0.5, 1.5, 2.5], [2458000.0, 2458100.0, 2458200.0],
        ))
    )  # fmt: skip
    orbits = _orbits(elements, 2458000.5)
    engine = NBody()
    start, _ = engine.states(orbits, 2458000.5)
    engine.states(orbits, 2458700.5)
    engine._known.pop(2458000.5)
    back, _ = engine.states(orbits, 2458000.5)
    away = np.degrees(np.linalg.norm(back - start, axis=1) / np.linalg.norm(start, axis=1)) * 3600
    assert np.all(away < 0.001)


def test_a_massive_asteroid_does_not_perturb_itself(real_data: Callable[..., Path]) -> None:
    ephemeris = open_ephemeris(real_data("kernels", "sb441-n16_1985_2040.bsp").parent)
    jd = 2458000.5
    position, velocity = (
        body - sun
        for body, sun in zip(ephemeris.state("1", jd), ephemeris.state("sun", jd), strict=True)
    )
    ceres = _orbits(elements_of_icrs_state(position[None], velocity[None], jd), jd, designation="1")
    later, _ = NBody(ephemeris).states(ceres, jd + 365.0)
    expected = ephemeris.state("1", jd + 365.0)[0] - ephemeris.state("sun", jd + 365.0)[0]
    assert np.degrees(np.linalg.norm(later[0] - expected) / 2.7) * 3600 < 0.01


def test_the_builtin_series_are_near_the_kernel(real_data: Callable[..., Path]) -> None:
    kernel = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp"))
    series = SeriesEphemeris()
    jd = np.linspace(2455000.5, 2460000.5, 50)
    for body, tolerance_au in (("earth", 1e-7), ("mercury", 1e-4), ("jupiter", 2e-3)):
        ours = series.state(body, jd)[0] - series.state("sun", jd)[0]
        theirs = kernel.state(body, jd)[0] - kernel.state("sun", jd)[0]
        assert np.abs(ours - theirs).max() < tolerance_au


def test_kernels_refuse_what_they_do_not_hold(
    real_data: Callable[..., Path], tmp_path: Path
) -> None:
    kernel = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp"))
    with pytest.raises(CatalogueError, match=r"holds JD 2446066.5 to .*give a kernel of those"):
        kernel.state("earth", 2400000.5)
    with pytest.raises(CatalogueError, match="does not hold charon"):
        kernel.state("charon", 2458000.5)
    with pytest.raises(CatalogueError, match="does not hold the Sun"):
        open_ephemeris(real_data("kernels", "sb441-n16_1985_2040.bsp"))
    with pytest.raises(CatalogueError, match=r"holds no kernels \(\*\.bsp\)"):
        open_ephemeris(tmp_path)
    with pytest.raises(CatalogueError, match="cannot read the ephemeris"):
        open_ephemeris(tmp_path / "none.bsp")
    (tmp_path / "bad.bsp").write_bytes(b"SIMPLE  = T" * 300)
    with pytest.raises(CatalogueError, match="is no whole DAF/SPK kernel"):
        open_ephemeris(tmp_path / "bad.bsp")


def test_dates_beyond_the_builtin_series_are_refused() -> None:
    with pytest.raises(CatalogueError, match=r"1900 to 2100\); asked for JD 2600000.5"):
        SeriesEphemeris().state("sun", 2600000.5)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.0, 359.9), st.floats(-80.0, 80.0), st.floats(0.05, 0.5), st.floats(0.0, 359.9),
    st.floats(0.005, 0.02),
)  # fmt: skip
def test_an_orbit_passes_where_and_as_it_was_asked_to(
    ra: float, dec: float, rate: float, pa: float, distance_au: float
) -> None:
    time = Time("2018-11-05T08:12:13")
    orbit = orbit_through(ra, dec, rate, pa, time, distance_au)
    place = predict(orbit, time, "I41")[0]
    assert separation_arcsec(place["ra"].value, place["dec"].value, ra, dec) < 1e-3
    assert place["rate"].value == pytest.approx(rate, rel=1e-5)
    assert abs((place["pa"].value - pa + 180) % 360 - 180) < 1e-3
    # 7 m at the nearest.
    assert place["delta"].value == pytest.approx(distance_au, rel=1e-8)
    assert orbit.e[0] < 1


def test_such_an_orbit_survives_the_catalogues_rounding(tmp_path: Path) -> None:
    time = Time("2018-11-05T08:12:13")
    write_mpcorb(
        orbit_through(123.4, -12.3, 0.9, 222.0, time, 0.08, name="2018 VX99"), tmp_path / "o.dat"
    )
    place = predict(read_orbits(tmp_path / "o.dat"), time, "I41", exposure_s=30.0)[0]
    assert place["name"] == "2018 VX99"
    assert place["designation"] == "2018VX99"
    assert separation_arcsec(place["ra"].value, place["dec"].value, 123.4, -12.3) < 1.0


def test_ends_lie_half_an_exposure_of_motion_from_the_middle() -> None:
    time = Time("2018-11-05T08:12:13")
    orbit = orbit_through(123.4, -12.3, 0.9, 222.0, time, 0.08)
    place = predict(orbit, time, "I41", exposure_s=30.0)[0]
    ends = [place[c].value for c in ("ra0", "dec0", "ra1", "dec1")]
    assert separation_arcsec(*ends) == pytest.approx(27.0, abs=0.01)
    before = predict(orbit, time - 15 * u.s, "I41")[0]
    assert separation_arcsec(*ends[:2], before["ra"].value, before["dec"].value) < 0.01


def test_magnitudes_follow_the_hg_system() -> None:
    # At opposition, phase near 0, V = H + 5 log10(r delta) (Bowell et al. 1989).
    orbit = orbit_through(45.0, 16.0, 0.01, 270.0, Time("2018-11-05T08:00:00"), 1.5, h_mag=15.0)
    place = predict(orbit, Time("2018-11-05T08:00:00"), "500")[0]
    distance = 5 * np.log10(place["r"].value * place["delta"].value)
    assert place["phase"].value < 2.0
    assert 0.0 <= place["vmag"].value - 15.0 - distance < 0.25


def test_unknown_observatories_and_many_times_are_refused() -> None:
    orbit = orbit_through(45.0, 16.0, 0.01, 270.0, Time("2018-11-05T08:00:00"), 1.5)
    with pytest.raises(CatalogueError, match="observatory code 'XXX' is unknown"):
        predict(orbit, Time("2018-11-05"), "XXX")
    with pytest.raises(CatalogueError, match="expected one instant, got 2"):
        predict(orbit, Time(["2018-11-05", "2018-11-06"]), "I41")


@pytest.mark.parametrize("n_fields", [4, pytest.param(12, marks=pytest.mark.slow)])
def test_the_index_of_a_night_misses_nothing(real_data: Callable[..., Path], n_fields: int) -> None:
    orbits = stack_orbits([
        read_orbits(real_data("orbits", "mpcorb_named_22304_K25BL.dat.gz")),
        read_orbits(real_data("orbits", "NEA_K1972_20060.txt.gz")),
    ])  # fmt: skip
    middle = Time("2019-07-20T08:00:00")
    dynamics = NBody()
    night = prepare_night(orbits, middle, dynamics=dynamics)
    rng = np.random.default_rng(7)
    for field in range(n_fields):
        time = middle + rng.uniform(-0.45, 0.45) * u.day
        everything = predict(orbits, time, "I41", dynamics=dynamics)
        # A third of the fields on the nearest bodies: the hardest to foretell.
        nearest = np.argsort(everything["delta"].value)[:40]
        target = rng.choice(nearest) if field % 3 == 0 else rng.integers(len(orbits))
        ra, dec = everything["ra"][target].value, everything["dec"][target].value
        ours = night.near(ra, dec, 3 * 3600.0, time)
        theirs = near(everything, ra, dec, 3 * 3600.0)
        assert list(ours["name"]) == list(theirs["name"])
        np.testing.assert_allclose(ours["sep"].value, theirs["sep"].value, atol=0.002)


def _frame(time: Time | None, wcs: WCS | None) -> Frame:
    data = np.zeros((301, 400))
    return Frame(
        data, np.zeros(data.shape, bool), wcs=wcs, time=time, exposure_s=30.0, observatory="I41"
    )


def _wcs(ra: float, dec: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [200.5, 151.0]
    wcs.wcs.cdelt = [-1 / 3600, 1 / 3600]
    return wcs


def test_a_frame_is_told_what_is_in_it() -> None:
    time = Time("2018-11-05T08:12:13")
    orbits = stack_orbits([
        orbit_through(10.0, 20.0, 0.5, 280.0, time, 0.05, name="2018 VA"),
        orbit_through(12.0, 20.0, 0.5, 280.0, time, 0.05, name="2018 VB"),
    ])  # fmt: skip
    night = prepare_night(orbits, time + 0.2 * u.day)
    found = night.near_frame(_frame(time, _wcs(10.01, 20.01)))
    assert list(found["name"]) == ["2018 VA"]
    assert len(night.near_frame(_frame(None, _wcs(10.01, 20.01)))) == 0
    assert len(night.near_frame(_frame(time, None))) == 0
    assert night.near_frame(_frame(time, None)).colnames == found.colnames


def test_an_index_refuses_another_night() -> None:
    time = Time("2018-11-05T08:12:13")
    night = prepare_night(orbit_through(10.0, 20.0, 0.5, 280.0, time, 0.05), time)
    with pytest.raises(CatalogueError, match=r"\+3.00 days from the night .*prepare that night"):
        night.near(10.0, 20.0, 60.0, time + 3 * u.day)


@pytest.mark.parametrize("number", ["5", "9"])
def test_geocentric_motion_is_that_of_horizons(real_data: Callable[..., Path], number: str) -> None:
    # Horizons' own daily places over two years; a spline through them gives their motion.
    from scipy.interpolate import CubicSpline

    orbits, _ = _horizons_orbit(real_data("horizons", f"vectors-ast_000{number}.txt.gz"), number)
    ephemeris = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp").parent)
    seen = _rows(real_data("horizons", f"observer-asteroid-00{number}-geocenter.txt.gz"))
    jd = np.array([float(row[1]) for row in seen])
    two_years = jd < jd[0] + 740.0
    jd = jd[two_years]
    ra, dec = (np.array([float(row[k]) for row in seen])[two_years] for k in (4, 5))
    to_ra, to_dec = (CubicSpline(jd, np.unwrap(x, period=360.0)).derivative() for x in (ra, dec))
    engine = NBody(ephemeris)
    shift = []
    for day in np.arange(5, len(jd) - 5, 29):
        time = Time(jd[day], format="jd", scale="utc")
        place = predict(orbits, time, GEOCENTRE, dynamics=engine, ephemeris=ephemeris)
        shift.append(
            (
                (place["ra"][0].value - ra[day]) * np.cos(np.radians(dec[day])) * 3600,
                (place["dec"][0].value - dec[day]) * 3600,
            )
        )
        east, north = to_ra(jd[day]) * np.cos(np.radians(dec[day])), to_dec(jd[day])
        rate = np.hypot(east, north) * 3600 / 86_400
        turn = np.degrees(np.arctan2(east, north)) - place["pa"][0].value
        # A spline of daily places is good to 1e-5 arcsec/s: more matters near a standstill only.
        assert place["rate"][0].value == pytest.approx(rate, rel=1e-3, abs=1e-5)
        if rate > 0.002:
            assert abs((turn + 180.0) % 360.0 - 180.0) < 0.2
    # Nine to eleven years after the epoch of the elements.
    assert np.hypot(*np.array(shift).T).max() < 0.05


def _barycentre_shift(path: Path, ephemeris: Ephemeris) -> tuple[float, np.ndarray, np.ndarray]:
    """DE431's barycentre against that of DE440: date, au, au/day.

    A body at the epoch of its elements tells. The shift (118 km, 0.6 km a year) is mostly that of
    the Kuiper belt, which only DE440 has.
    """
    orbits, text = _horizons_orbit(path, "5")
    body = text[text.index("$$SOE") + 5 : text.index("$$EOE")].strip().splitlines()
    table = np.array([[float(x) for x in (r.split(",")[0], *r.split(",")[3:9])] for r in body])
    jd, *state = table[np.argmin(np.abs(table[:, 0] - orbits.epoch_jd[0]))]
    ours = NBody(ephemeris).states(orbits, jd)
    sun = ephemeris.state("sun", jd)
    position, velocity = (
        ecliptic_to_icrs(np.array(state[k : k + 3])) - ours[k // 3][0] - sun[k // 3] for k in (0, 3)
    )
    return jd, position, velocity


@pytest.mark.parametrize("number", ["001", "016"])
@pytest.mark.parametrize("first_row", [0, 1200])
def test_palomar_places_stay_those_of_horizons_for_two_years(
    real_data: Callable[..., Path], number: str, first_row: int
) -> None:
    # From 2010 with a kernel that is named, from 2013 with that of the package, without an option.
    whole = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp").parent)
    epoch_jd, shift, drift = _barycentre_shift(
        real_data("horizons", "vectors-ast_0005.txt.gz"), whole
    )
    rows = _rows(real_data("horizons", f"vectors-daily-asteroid-{number}.txt.gz"))
    jd, state = float(rows[first_row][0]), np.array([[float(x) for x in rows[first_row][2:8]]])
    sun, sun_velocity = whole.state("sun", jd)
    position = ecliptic_to_icrs(state[:, :3]) - shift - drift * (jd - epoch_jd) - sun
    velocity = ecliptic_to_icrs(state[:, 3:]) - drift - sun_velocity
    elements = elements_of_icrs_state(position, velocity, jd)
    orbits = _orbits(elements, jd, designation=str(int(number)))
    own: dict[str, Any] = {"ephemeris": whole} if first_row == 0 else {}
    seen = _rows(real_data("horizons", f"observer-asteroid-{number}-palomar.txt.gz"))
    for row in seen[first_row : first_row + 731 : 73]:
        place = predict(orbits, Time(float(row[1]), format="jd", scale="utc"), PALOMAR, **own)
        away = separation_arcsec(
            place["ra"].value, place["dec"].value, float(row[4]), float(row[5])
        )
        assert away[0] < 0.005


def test_the_cubic_between_two_states_is_a_cubic_and_its_slope_its_derivative() -> None:
    # Any motion of third degree in time comes out again, at any time between and beyond.
    rng = np.random.default_rng(3)
    terms = rng.normal(size=(4, 5, 3))

    def place(t: float) -> Any:
        return terms[0] + terms[1] * t + terms[2] * t**2 + terms[3] * t**3

    def velocity(t: float) -> Any:
        return terms[1] + 2.0 * terms[2] * t + 3.0 * terms[3] * t**2

    start, end = 1.5, 4.0
    for time in (1.5, 2.1, 3.9, 4.0, 4.6):
        found = _between(
            np.array([place(start), place(end)]), np.array([velocity(start), velocity(end)]),
            start, end, time,
        )  # fmt: skip
        np.testing.assert_allclose(found[0], place(time), atol=1e-10)
        np.testing.assert_allclose(found[1], velocity(time), atol=1e-10)


def test_rows_near_a_direction_are_all_within_the_radius_and_its_slack() -> None:
    rng = np.random.default_rng(11)
    n, radius, dt = 3000, 0.5, 0.4
    line = rng.normal(size=(n, 3))
    drift = 0.3 * rng.normal(size=(n, 3))
    slack, growth = rng.uniform(0, 0.02, n), rng.uniform(0, 0.2, n)
    brightest = rng.uniform(15, 25, n)
    brightest[::50] = np.nan
    towards = np.array([0.6, -0.48, 0.64])
    # Two ranges of rows: 100 to 1500 and 1700 to 2900.
    starts, stops = np.array([100, 1700]), np.array([1500, 2900])
    found = select_near(
        line, drift, slack, growth, brightest, starts, stops, towards, radius, dt, 21.0, 0.2
    )
    assert len(set(found.tolist())) == len(found)
    now = line + dt * drift
    distance = np.linalg.norm(now, axis=1)
    angle = np.arccos(np.clip(now @ towards / distance, -1, 1))
    rows = np.arange(n)
    asked = ((rows >= 100) & (rows < 1500)) | ((rows >= 1700) & (rows < 2900))
    asked &= ~(brightest > 21.0)
    off = np.arcsin(np.clip((slack + growth * dt**2) / distance, 0, 1))
    must = asked & ((angle <= radius + off) | (distance < 0.2))
    assert set(rows[must]) <= set(found.tolist())
    # And few more: chords are a little shorter than angles, and slack counts half as much again.
    may = asked & (
        (2.0 * np.sin(0.5 * angle) <= radius + 1.6 * (slack + growth * dt**2) / distance)
        | (distance < 0.2)
    )
    assert set(found.tolist()) <= set(rows[may])
    assert 50 < len(found) < 500
