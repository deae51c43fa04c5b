"""One motion from streaks of several exposures; satellites in pieces; places that repeat."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from streaks.config import TrackletConfig
from streaks.errors import ConfigError
from streaks.tables import CLASS_COLUMNS, STREAK_COLUMNS, StreakFlag, build_table, check_table
from streaks.tracklets import TRACKLET_COLUMNS, find_repeats, link_streaks

START = Time("2019-10-19T05:00:00", scale="utc")
SCALE = 1.01
EXPOSURE_S = 30.0


def trail(
    time_s: float,
    ra: float,
    dec: float,
    rate: float,
    pa: float,
    *,
    image: str = "",
    label: str = "asteroid",
    flags: int = 0,
    mag: float = 18.0,
) -> dict:
    """A streak of an object here, now, with this motion; ends in a table's order, not in time's."""
    middle = SkyCoord(ra, dec, unit="deg")
    half = 0.5 * rate * EXPOSURE_S * u.arcsec
    ends = [middle.directional_offset_by(pa * u.deg, sign * half) for sign in (-1, 1)]
    if int(time_s) % 2:
        ends.reverse()
    length = rate * EXPOSURE_S / SCALE
    row: dict = {spec.name: 0.0 for spec in STREAK_COLUMNS if spec.dtype is np.float64}
    row |= {
        "image": image or f"frame{time_s:.0f}",
        "time": (START + time_s * u.s).isot,
        "ra": ra % 360, "dec": dec,
        "ra0": ends[0].ra.deg, "dec0": ends[0].dec.deg,
        "ra1": ends[1].ra.deg, "dec1": ends[1].dec.deg,
        "pa": pa % 180, "rate": rate, "length": length,
        "along0_err": 0.3, "along1_err": 0.3, "across_err": 0.05,
        "length_err": 0.4, "theta_err": float(np.degrees(0.4 / length)),
        "snr": 20.0, "mag": mag, "mag_err": 0.05, "label": label, "flags": flags,
    }  # fmt: skip
    return row


def table_of(rows: list[dict]) -> QTable:
    columns = [*STREAK_COLUMNS, CLASS_COLUMNS[0]]
    rows = [{**row, "streak_id": f"{row['image']}-{k:04d}"} for k, row in enumerate(rows)]
    blank = {str: "", np.int64: 0, np.float64: 0.0}
    return build_table(
        columns, {c.name: [row.get(c.name, blank.get(c.dtype, 0)) for row in rows] for c in columns}
    )


def moving(times: list[float], rate: float, pa: float, ra: float = 30.0, dec: float = 12.0) -> list:
    """One object in uniform motion on a great circle, from its place at the first time."""
    first = SkyCoord(ra, dec, unit="deg")
    rows = []
    for t in times:
        here = first.directional_offset_by(pa * u.deg, rate * t * u.arcsec)
        on = here.directional_offset_by(
            here.position_angle(first) + 180 * u.deg if t else pa * u.deg, 1 * u.arcsec
        )
        rows.append(
            trail(t, here.ra.deg, here.dec.deg, rate, here.position_angle(on).to_value("deg"))
        )
    return rows


@settings(max_examples=30, deadline=None)
@given(
    rate=st.floats(0.25, 4.0),
    pa=st.floats(0, 359.9),
    ra=st.floats(0, 359.9),
    dec=st.floats(-80, 80),
)
def test_three_exposures_of_one_object_are_one_tracklet_with_its_motion(
    rate: float, pa: float, ra: float, dec: float
) -> None:
    links = link_streaks(table_of(moving([0, 180, 361], rate, pa, ra, dec)))
    (row,) = links.tracklets
    assert (row["kind"], row["n"]) == ("motion", 3)
    assert set(links.names) == {str(row["tracklet"])}
    assert row["rate"].to_value("arcsec/s") == pytest.approx(rate, rel=0.01)
    middle = SkyCoord(row["ra"], row["dec"])
    start = SkyCoord(ra, dec, unit="deg")
    # The direction at the middle of the arc, on the great circle from the start.
    expected = middle.position_angle(start).deg + 180
    assert abs((row["pa"].to_value("deg") - expected + 180) % 360 - 180) < 0.5


def test_the_direction_is_resolved_by_the_pair_whatever_the_order_of_the_ends() -> None:
    for pa in (100.0, 280.0):
        (row,) = link_streaks(table_of(moving([0, 181], 0.5, pa))).tracklets
        assert row["pa"].to_value("deg") == pytest.approx(pa, abs=0.5)
        assert row["arc"].to_value("s") == pytest.approx(181)
        assert np.isnan(row["rms"].value)


def test_names_depend_on_the_streaks_not_on_their_order() -> None:
    streaks = table_of(moving([0, 180, 361], 0.5, 70) + moving([0, 180], 1.1, 20, ra=30.2))
    names = dict(zip(streaks["streak_id"], link_streaks(streaks).names, strict=True))
    turned = streaks[::-1]
    assert dict(zip(turned["streak_id"], link_streaks(turned).names, strict=True)) == names
    assert len(set(names.values())) == 2
    assert all(len(name) == 8 for name in names.values())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"pa": 110.0}, "its direction is 40 degrees off"),
        ({"rate": 1.0, "length": 29.7, "length_err": 0.4}, "its rate is double"),
        ({"mag": 22.0}, "it is four magnitudes fainter"),
        ({"flags": int(StreakFlag.SPIKE)}, "it is a spike"),
        ({"flags": int(StreakFlag.NEGATIVE)}, "it is negative"),
        ({"time": ""}, "its time is unknown"),
        ({"ra": float("nan")}, "its place is unknown"),
        ({"rate": 0.0}, "it has no rate"),
        ({"rate": float("inf")}, "its rate is absurd"),
    ],
)
def test_what_does_not_agree_is_not_linked(change: dict, why: str) -> None:
    first, second = moving([0, 180], 0.5, 70)
    links = link_streaks(table_of([first, {**second, **change}]))
    assert len(links.tracklets) == 0, why
    assert list(links.names) == ["", ""]


def test_a_place_off_the_line_is_not_linked() -> None:
    first, second = moving([0, 180], 0.5, 70)
    aside = SkyCoord(second["ra"], second["dec"], unit="deg").directional_offset_by(
        160 * u.deg, 30 * u.arcsec
    )
    second = trail(180, aside.ra.deg, aside.dec.deg, 0.5, 70)
    assert len(link_streaks(table_of([first, second])).tracklets) == 0


def test_what_stands_still_on_the_sky_is_no_motion() -> None:
    rows = [trail(t, 30.0, 12.0, 0.5, 70) for t in (0, 180, 360)]
    assert len(link_streaks(table_of(rows)).tracklets) == 0


def test_two_streaks_of_one_exposure_are_no_motion() -> None:
    assert len(link_streaks(table_of(moving([0, 15], 0.5, 70))).tracklets) == 0


def test_artifacts_alone_make_no_asteroid_but_one_misnamed_visit_does_not_matter() -> None:
    rows = moving([0, 180, 360], 0.5, 70)
    ghosts = [{**row, "label": "ghost"} for row in rows]
    assert len(link_streaks(table_of(ghosts)).tracklets) == 0
    assert link_streaks(table_of([rows[0], *ghosts[1:]])).tracklets["n"][0] == 3


def test_a_trail_cut_by_a_mask_joins_by_its_direction() -> None:
    rows = moving([0, 180, 360], 0.8, 70)
    half = {"rate": 0.5, "length": 0.5 * EXPOSURE_S / SCALE, "flags": int(StreakFlag.MASKED_1)}
    rows[1] |= half
    assert link_streaks(table_of(rows)).tracklets["n"][0] == 3


def test_a_motion_that_bends_like_a_close_passer_is_one_tracklet() -> None:
    # 2 % an hour of its rate across the track, over half an hour.
    rows = []
    for t in (0.0, 900.0, 1800.0):
        bend = 0.5 * (0.02 / 3600) * t * t * 0.5
        rows.append(
            trail(t, 30 + (0.5 * t) / 3600 / np.cos(np.radians(12)), 12 + bend / 3600, 0.5, 90)
        )
    assert link_streaks(table_of(rows)).tracklets["n"][0] == 3


def test_two_objects_that_cross_stay_two() -> None:
    one = moving([0, 180, 360], 0.5, 90, ra=30.0)
    two = moving([0, 180, 360], 0.5, 0, ra=30.0 + 90 / 3600, dec=12.0 - 90 / 3600)
    links = link_streaks(table_of([*one, *two]))
    assert sorted(links.tracklets["n"]) == [3, 3]
    assert len(set(links.names[:3])) == len(set(links.names[3:])) == 1


def test_chance_makes_few_tracklets_in_a_crowded_night() -> None:
    # 40 streaks a quadrant of 0.75 square degrees in three visits, all called asteroids.
    rng = np.random.default_rng(5)
    rows = [
        trail(
            t,
            30 + rng.uniform(-0.43, 0.43),
            rng.uniform(-0.43, 0.43),
            rng.uniform(0.25, 1.5),
            rng.uniform(0, 180),
            mag=rng.uniform(17, 20.5),
        )
        for t in (0, 1800, 3600)
        for _ in range(40)
    ]
    links = link_streaks(table_of(rows))
    assert len(links.tracklets) <= 12
    assert (links.tracklets["n"] > 2).sum() == 0


def test_no_streaks_give_a_table_of_no_rows_with_all_columns() -> None:
    links = link_streaks(table_of([]))
    check_table(links.tracklets, TRACKLET_COLUMNS)
    assert len(links.tracklets) == len(links.names) == 0


def test_a_satellite_through_three_quadrants_is_one_object_with_its_pieces() -> None:
    cut = int(StreakFlag.EDGE_0 | StreakFlag.EDGE_1)
    start = SkyCoord(200.0, 40.0, unit="deg")
    rows = []
    for k, image in enumerate(("q1", "q2", "q3")):
        middle = start.directional_offset_by(63 * u.deg, k * 3300 * u.arcsec)
        pa = middle.position_angle(start).deg + 180 if k else 63.0
        row = trail(7, middle.ra.deg, middle.dec.deg, 100.0, pa, image=image, label="satellite")
        rows.append({**row, "flags": cut})
    aside = trail(7, 201.5, 40.2, 100.0, 63.0, image="q2", label="satellite", flags=cut)
    links = link_streaks(table_of([*rows, aside]))
    (row,) = links.tracklets
    assert (row["kind"], row["n"]) == ("satellite", 3)
    assert list(links.names) == [str(row["tracklet"])] * 3 + [""]
    assert np.isnan(row["rate"].value)


def test_pieces_of_other_exposures_or_with_free_ends_are_not_joined() -> None:
    cut = int(StreakFlag.EDGE_0)
    start = SkyCoord(200.0, 40.0, unit="deg")
    on = start.directional_offset_by(63 * u.deg, 3300 * u.arcsec)
    one = trail(7, 200.0, 40.0, 100.0, 63.0, image="q1", label="satellite", flags=cut)
    for time_s, flags in ((60, cut), (7, 0)):
        two = trail(
            time_s, on.ra.deg, on.dec.deg, 100.0, 63.5, image="q2", label="satellite", flags=flags
        )
        assert len(link_streaks(table_of([one, two])).tracklets) == 0


def on_chip(image: str, x: float, y: float, theta: float = 40.0, length: float = 30.0) -> dict:
    row = trail(0, 30, 12, 1.0, 50, image=image)
    return {**row, "x": x, "y": y, "theta": theta, "length": length}


def test_the_same_place_in_three_images_of_a_chip_repeats() -> None:
    rows = [
        on_chip("a", 500, 700),
        on_chip("b", 503, 698, theta=42),
        on_chip("c", 498, 703, theta=38),
        on_chip("c", 900, 100),
        on_chip("d", 500, 700, theta=120),
    ]
    repeats = find_repeats(table_of(rows), ["4/2"] * 5)
    assert list(repeats) == [True, True, True, False, False]


def test_angles_wrap_and_chips_are_apart() -> None:
    rows = [on_chip(image, 500, 700, theta) for image, theta in (("a", 179), ("b", 1), ("c", 0))]
    assert find_repeats(table_of(rows), ["4/2"] * 3).all()
    assert not find_repeats(table_of(rows), ["4/2", "4/2", "4/3"]).any()
    assert not find_repeats(table_of(rows), [""] * 3).any()


def test_three_in_one_image_do_not_repeat() -> None:
    rows = [on_chip("a", 500 + k, 700) for k in range(3)]
    assert not find_repeats(table_of(rows), ["4/2"] * 3).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_gap_s": 0.0}, "tracklet setting max_gap_s is 0.0; it must be > 0"),
        ({"repeat_images": 2}, "repeat_images is 2; at least 3"),
    ],
)
def test_settings_out_of_range_are_named(change: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrackletConfig(**change)
