"""Nights over years: what a store keeps, answers, refuses, and survives."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import QTable

from streaks.cli import main
from streaks.errors import ConfigError, OutputError, ReadError, TableError
from streaks.labelling import open_campaign
from streaks.labelling.campaign import Shown
from streaks.night_folder import NightFolder
from streaks.readers import read_table
from streaks.reporting import write_table
from streaks.store import (
    TREND_COLUMNS,
    Cone,
    Question,
    add_night,
    ask,
    night_trends,
    other_nights,
    repeats_of_chips,
    write_hats,
)
from streaks.store import adding as adding_module
from streaks.store.healpix import DEEPEST, cone_ranges, pixel_centres, pixel_range, pixels_at
from streaks.store.layout import StoreFolder
from streaks.store.partition import cut
from streaks.tables import VERDICT_COLUMNS, build_table
from streaks.tracklets import TRACKLET_COLUMNS
from tests.made_nights import make_night


def night_of(folder: Path, date: str = "2024-03-01", **made: Any) -> Path:
    """A night's folder of a date: 3 frames of one chip, 4 streaks each, unless `made` says."""
    make_night(folder, cutouts=False, **made)
    for path in (NightFolder(folder).streaks, NightFolder(folder).frames):
        change(path, time=lambda old: [str(t).replace("2024-03-01", date) for t in old])
    return folder


def change(path: Path, **columns: Any) -> None:
    """Columns of a table file, each by a function of the old one (None where there is none)."""
    table = read_table(path)
    for name, new in columns.items():
        table[name] = new(table[name] if name in table.colnames else None)
    write_table(table, path)


def placed(folder: Path, ra: Sequence[float], dec: Sequence[float], date: str) -> Path:
    """A night of one frame with streaks at these places."""
    n = len(ra)
    places = {"ra": np.asarray(ra, float), "dec": np.asarray(dec, float)}
    return night_of(folder, date, n_frames=1, n_each=n, more=places)


def years(tmp_path: Path, n: int = 4) -> Path:
    """A store of n nights, 2024-03-01 and on."""
    for k in range(n):
        add_night(tmp_path / "store", night_of(tmp_path / f"n{k}", f"2024-03-{k + 1:02d}"))
    return tmp_path / "store"


def content(store: Path) -> list[tuple[str, str]]:
    """Night and name of all its streaks; fails where anything is damaged."""
    answer = ask(store, Question())
    assert answer.damaged == ()
    return list(zip(answer.rows["night"].tolist(), answer.rows["streak_id"].tolist(), strict=True))


# The sky's pixels


def test_pixels_are_those_of_astropy_healpix() -> None:
    # lonlat_to_healpix(..., order="nested") of astropy-healpix 2.0.1.
    ra = [0.0, 45.0, 90.0, 359.9999999999, 0.0, 0.0, 90.0]
    dec = [0.0, 0.0, 41.8103149, 89.9, 90.0, -90.0, 41.8103149]
    assert pixels_at(ra, dec, 5).tolist() == [4864, 0, 1706, 4095, 1023, 8192, 1706]
    assert pixels_at(ra, dec)[[0, 2, 4, 5]].tolist() == [
        1369094286720630784, 480383960252852906, 288230376151711743, 2305843009213693952,
    ]  # fmt: skip


@pytest.mark.parametrize("order", [0, 1, 7, DEEPEST])
def test_a_pixel_holds_its_own_centre(order: int) -> None:
    n = 12 * 4**order
    pixels = np.unique(np.linspace(0, n - 1, 3000).astype(np.int64))
    pixels = pixels[(pixels >= 0) & (pixels < n)]
    assert (pixels_at(*pixel_centres(pixels, order), order) == pixels).all()


def test_pixels_of_an_order_have_one_area() -> None:
    rng = np.random.default_rng(3)
    z, ra = rng.uniform(-1, 1, 120_000), rng.uniform(0, 360, 120_000)
    counts = np.bincount(pixels_at(ra, np.degrees(np.arcsin(z)), 1), minlength=48)
    assert counts.min() > 2500 - 6 * 50
    assert counts.max() < 2500 + 6 * 50


def test_children_have_their_parents_number() -> None:
    rng = np.random.default_rng(4)
    ra, dec = rng.uniform(0, 360, 500), np.degrees(np.arcsin(rng.uniform(-1, 1, 500)))
    assert (pixels_at(ra, dec, 9) >> 4 == pixels_at(ra, dec, 7)).all()


def test_an_unknown_place_has_no_pixel() -> None:
    assert pixels_at([math.nan, 10.0, 10.0], [1.0, math.nan, 1.0], 2).tolist()[:2] == [-1, -1]


@pytest.mark.parametrize("radius", [0.0003, 0.2, 9.0, 100.0])
@pytest.mark.parametrize("place", [(10.0, 3.0), (359.99, -41.8), (120.0, 89.95), (77.0, -90.0)])
def test_a_cones_ranges_hold_all_of_it(place: tuple[float, float], radius: float) -> None:
    rng = np.random.default_rng(5)
    # Places within the circle by their distance and angle from its centre.
    way, angle = np.radians(radius) * np.sqrt(rng.random(2000)), rng.uniform(0, 2 * np.pi, 2000)
    ra0, dec0 = np.radians(place)
    sine = np.sin(dec0) * np.cos(way) + np.cos(dec0) * np.sin(way) * np.cos(angle)
    east = np.sin(angle) * np.sin(way) * np.cos(dec0)
    ra = ra0 + np.arctan2(east, np.cos(way) - np.sin(dec0) * sine)
    pixels = pixels_at(np.degrees(ra), np.degrees(np.arcsin(np.clip(sine, -1, 1))))
    ranges = cone_ranges(*place, radius)
    inside = np.zeros(len(pixels), bool)
    for first, end in ranges:
        inside |= (pixels >= first) & (pixels < end)
    assert inside.all()
    assert len(ranges) <= 32
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
    area = sum(end - first for first, end in ranges) / (12 * 4**DEEPEST)
    assert area <= max(8 * (1 - math.cos(math.radians(radius))) / 2, 1e-13) or radius > 60


def test_rows_are_cut_until_pixels_hold_few_enough() -> None:
    rng = np.random.default_rng(6)
    pixels = pixels_at(rng.uniform(10, 12, 4000), rng.uniform(3, 5, 4000))
    pixels[:7] = -1
    parts = list(cut(pixels, 1500))
    assert (parts[0][0], len(parts[0][2])) == (-1, 7)
    assert sum(len(rows) for _, _, rows in parts) == 4000
    for order, pixel, rows in parts[1:]:
        first, end = pixel_range(order, pixel)
        assert ((pixels[rows] >= first) & (pixels[rows] < end)).all()
        assert (np.diff(pixels[rows]) >= 0).all()
        assert len(rows) <= 1500


# What is kept


def test_all_of_a_night_comes_back_with_its_units(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    added = add_night(tmp_path / "store", folder)
    assert [(a.night, a.streaks, a.frames, a.frames_before) for a in added] == [
        ("2024-03-01_I41", 12, 3, 0)
    ]
    rows, before = ask(tmp_path / "store", Question()).rows, read_table(folder / "streaks.parquet")
    for name in before.colnames:
        if before[name].dtype.kind == "f":
            np.testing.assert_array_equal(rows[name], before[name], err_msg=name)
        else:
            assert rows[name].tolist() == before[name].tolist(), name
        assert getattr(rows[name], "unit", None) == getattr(before[name], "unit", None)
    assert set(rows["chip"].tolist()) == {"1/1 0x0"}
    assert set(rows["field"].tolist()) == {"700"}


def test_the_same_night_added_twice_is_one(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    add_night(tmp_path / "store", folder)
    before = content(tmp_path / "store")
    files = sorted(p.name for p in (tmp_path / "store").rglob("*.parquet"))
    again = add_night(tmp_path / "store", shutil.copytree(folder, tmp_path / "copy"))
    assert [(a.streaks, a.frames_before) for a in again] == [(12, 3)]
    assert content(tmp_path / "store") == before
    assert len(list((tmp_path / "store").rglob("*.parquet"))) == len(files)


def test_a_frame_searched_again_replaces_itself_and_no_other(tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_night(store, night_of(tmp_path / "all"))
    again = night_of(tmp_path / "again", n_frames=1, n_each=2, more={"mag": np.full(2, 15.0)})
    assert add_night(store, again)[0].frames == 3
    rows = ask(store, Question()).rows
    first = np.asarray(rows["image"]).astype(str) == "ztf_night_c01"
    assert (int(first.sum()), len(rows)) == (2, 10)
    assert (rows["mag"][first] == 15.0 * u.mag).all()
    assert (rows["mag"][~first] == 18.0 * u.mag).all()


def test_a_frame_that_fails_later_keeps_what_was_found(tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_night(store, night_of(tmp_path / "first"))
    later = night_of(tmp_path / "later")
    change(later / "frames.parquet", state=lambda old: ["failed", "done", "done"])
    table = read_table(later / "streaks.parquet")
    write_table(table[np.asarray(table["image"]) != "ztf_night_c01"], later / "streaks.parquet")
    add_night(store, later)
    assert len(content(store)) == 12
    assert night_trends(store)[0]["n_failed"].tolist() == [0]


def test_a_folder_of_two_dates_is_two_nights_by_local_midnight(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    # Palomar's noon is 19:47 UTC: the last frame is of the night whose midnight is on the 2nd.
    times = ["2024-02-29T21:00:00", "2024-03-01T19:30:00", "2024-03-01T20:10:00"]
    change(folder / "frames.parquet", time=lambda old: times)
    change(folder / "streaks.parquet", time=lambda old: np.repeat(times, 4))
    nights = [(one.night, one.frames) for one in add_night(tmp_path / "store", folder)]
    assert nights == [("2024-03-01_I41", 2), ("2024-03-02_I41", 1)]


def test_a_night_may_be_given_a_name(tmp_path: Path) -> None:
    added = add_night(tmp_path / "store", night_of(tmp_path / "night"), name="../odd night")
    assert added[0].night == "odd-night"
    assert len(content(tmp_path / "store")) == 12
    assert not (tmp_path / "odd night").exists()


def test_one_folder_is_not_added_under_two_names(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    add_night(tmp_path / "store", folder)
    with pytest.raises(TableError, match=r"3 frames of .* as night 2024-03-01_I41; give --name"):
        add_night(tmp_path / "store", folder, name="other")
    assert len(content(tmp_path / "store")) == 12
    assert add_night(tmp_path / "store", folder, name="2024-03-01_I41")[0].frames_before == 3


def test_two_folders_without_times_are_not_taken_for_one_night(tmp_path: Path) -> None:
    folders = [night_of(tmp_path / place / "night") for place in ("a", "b")]
    for folder in folders:
        change(folder / "frames.parquet", time=lambda old: [""] * 3)
    assert add_night(tmp_path / "store", folders[0])[0].night == "undated-night_I41"
    with pytest.raises(TableError, match=r"undated-night_I41 is in the store, of .*; give it a"):
        add_night(tmp_path / "store", folders[1])
    assert add_night(tmp_path / "store", folders[0])[0].frames_before == 3
    assert add_night(tmp_path / "store", folders[1], name="second")[0].frames_before == 0


def test_frames_without_a_time_are_a_night_too(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    change(folder / "frames.parquet", time=lambda old: [""] * 3)
    assert add_night(tmp_path / "store", folder)[0].night == "undated-night_I41"


def test_a_night_without_any_streak_is_kept(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    write_table(read_table(folder / "streaks.parquet")[:0], folder / "streaks.parquet")
    assert add_night(tmp_path / "store", folder)[0].streaks == 0
    answer = ask(tmp_path / "store", Question(where="mag < 20"))
    assert (len(answer.rows), answer.nights) == (0, ("2024-03-01_I41",))
    assert answer.rows["mag"].unit == "mag"
    assert night_trends(tmp_path / "store")[0]["n_frames"].tolist() == [3]


def test_streaks_without_a_place_are_kept_and_in_no_cone(tmp_path: Path) -> None:
    places = {"ra": [10.0, math.nan], "dec": [5.0, math.nan]}
    folder = night_of(tmp_path / "night", n_frames=1, n_each=2, more=places)
    add_night(tmp_path / "store", folder)
    assert len(ask(tmp_path / "store", Question()).rows) == 2
    assert len(ask(tmp_path / "store", Question(cone=Cone(10.0, 5.0, 180.0))).rows) == 1


def test_alerts_are_nights_of_their_own(tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_night(store, night_of(tmp_path / "images"))
    alerts = night_of(tmp_path / "alerts")
    told = json.loads((alerts / "settings.json").read_text())
    (alerts / "settings.json").write_text(json.dumps({**told, "settings": {"alerts": {}}}))
    add_night(store, alerts)
    assert StoreFolder(store).nights() == ["2024-03-01_I41", "2024-03-01_I41_alerts"]


# Other versions


def test_an_older_night_without_verdicts_is_brought_to_todays_columns(tmp_path: Path) -> None:
    store = tmp_path / "store"
    old = night_of(tmp_path / "old")
    table = read_table(old / "streaks.parquet")
    table.remove_columns(["tracklet", "sat_norad", "p_unresolved", "ssdistnr", "ssnamenr"])
    write_table(table, old / "streaks.parquet")
    (old / "tracklets.parquet").unlink()
    verdict = {"p_real": np.linspace(0.0, 1.0, 12), "reasons": ["long"] * 12, "group": ["g"] * 12}
    new = night_of(tmp_path / "new", "2024-03-02")
    judged = read_table(new / "streaks.parquet")
    for name, column in build_table(VERDICT_COLUMNS, verdict).items():
        judged[name] = column
    write_table(judged, new / "streaks.parquet")
    for folder in (old, new):
        add_night(store, folder)
    rows = ask(store, Question()).rows
    is_old = np.asarray(rows["night"]).astype(str) == "2024-03-01_I41"
    assert np.isnan(rows["p_real"][is_old]).all()
    assert np.isfinite(rows["p_real"][~is_old]).all()
    assert set(rows["sat_norad"][is_old].tolist()) == {-1}
    assert set(rows["ssnamenr"][is_old].tolist()) == {"null"}
    assert len(ask(store, Question(where="p_real > 0.5 and reasons == 'long'")).rows) == 6


def test_a_column_of_a_newer_night_is_unknown_in_the_others(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    new = night_of(tmp_path / "new", "2024-03-05")
    change(new / "streaks.parquet", novelty=lambda old: np.arange(12.0),
           candidates=lambda old: [f"c{k}" for k in range(12)])  # fmt: skip
    add_night(store, new)
    assert len(ask(store, Question(where="novelty >= 0 and contains(candidates, 'c')")).rows) == 12
    rows = ask(store, Question(columns=("novelty", "candidates"))).rows
    assert rows.colnames == ["night", "novelty", "candidates"]
    assert np.isnan(rows["novelty"][:12]).all()
    assert set(rows["candidates"][:12].tolist()) == {""}


def test_another_unit_is_converted_and_a_wrong_one_named(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    change(
        folder / "streaks.parquet",
        rate=lambda old: (0.3 * 60.0) * np.ones(12) * u.Unit("arcsec/min"),
    )
    add_night(tmp_path / "store", folder)
    rate = ask(tmp_path / "store", Question()).rows["rate"]
    np.testing.assert_allclose(rate.to_value("arcsec/s"), 0.3)
    change(folder / "streaks.parquet", rate=lambda old: np.ones(12) * u.kg)
    with pytest.raises(TableError, match=r"night: its column rate is in kg, expected arcsec / s"):
        add_night(tmp_path / "store", folder)


def test_a_newer_night_is_refused_by_name(tmp_path: Path) -> None:
    folder = night_of(tmp_path / "night")
    path = folder / "streaks.parquet"
    table = pq.read_table(path)
    told = {**table.schema.metadata, b"streaks.schema": b"99"}
    pq.write_table(table.replace_schema_metadata(told), path)
    with pytest.raises(TableError, match=r"night: the table has schema 99, .* newer version"):
        add_night(tmp_path / "store", folder)
    assert not (tmp_path / "store").exists()


def test_a_newer_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    (store / "store.json").write_text('{"streaks_store": 7}')
    with pytest.raises(ReadError, match=r"store\.json is of version 7 of the store, .* up to 1"):
        ask(store, Question())
    with pytest.raises(ReadError, match="of version 7"):
        add_night(store, tmp_path / "n0")
    assert (store / "store.json").read_text() == '{"streaks_store": 7}'


def test_a_night_of_a_newer_store_is_told_and_never_replaced(tmp_path: Path) -> None:
    store = years(tmp_path, 2)
    path = store / "nights" / "2024-03-01_I41.json"
    newer = json.dumps({**json.loads(path.read_text()), "streaks_store": 2})
    path.write_text(newer)
    answer = ask(store, Question())
    assert len(answer.rows) == 12
    assert "2024-03-01_I41.json is of version 2" in answer.damaged[0]
    with pytest.raises(ReadError, match="of version 2"):
        add_night(store, tmp_path / "n0")
    assert path.read_text() == newer


# Questions


def test_a_cone_gives_what_lies_in_it_and_reads_no_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding_module, "cut", lambda pixels: cut(pixels, 100))
    rng = np.random.default_rng(8)
    ra, dec = rng.uniform(0, 360, 900), np.degrees(np.arcsin(rng.uniform(-1, 1, 900)))
    store = tmp_path / "store"
    add_night(store, placed(tmp_path / "night", ra, dec, "2024-03-01"))
    cone = Cone(359.0, 40.0, 15.0)
    answer = ask(store, Question(cone=cone, columns=("ra", "dec")))
    a, b = np.radians(dec), np.radians(40.0)
    cosine = np.sin(a) * np.sin(b) + np.cos(a) * np.cos(b) * np.cos(np.radians(ra - 359.0))
    inside = cosine >= np.cos(np.radians(15.0))
    assert 5 < inside.sum() < 50
    np.testing.assert_allclose(np.sort(answer.rows["ra"].value), np.sort(ra[inside]))
    assert answer.files_read < answer.files / 2


def test_conditions_see_columns_and_the_night_itself(tmp_path: Path) -> None:
    store = years(tmp_path, 3)
    question = Question(where="p_asteroid > 0.5 and label == 'ghost' and night < '2024-03-03'")
    rows = ask(store, question).rows
    assert len(rows) == 6
    assert set(rows["night"].tolist()) == {"2024-03-01_I41", "2024-03-02_I41"}


def test_nights_are_named_begun_or_spanned(tmp_path: Path) -> None:
    store = years(tmp_path)
    for picked, days in [
        (("2024-03-02",), [2]),
        (("2024-03",), [1, 2, 3, 4]),
        (("2024-03-02..2024-03-03",), [2, 3]),
        (("2024-03-01_I41", "2024-03-04"), [1, 4]),
        (("2023-01..2023-12",), []),
    ]:
        answer = ask(store, Question(nights=picked))
        assert [int(night[8:10]) for night in answer.nights] == days, picked
        assert len(answer.rows) == 12 * len(days)


def test_a_night_that_there_is_not_is_a_wrong_question(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"called 2031; it has 2024-03-01_I41 to 2024-03-01_I41"):
        ask(years(tmp_path, 1), Question(nights=("2031",)))


def test_a_span_of_nights_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    store = years(tmp_path, 2)
    assert len(ask(store, Question(nights=("2024-03-02..2024-03",))).nights) == 1
    with pytest.raises(ConfigError, match="end before they begin"):
        ask(store, Question(nights=("2024-04..2024-03",)))


def test_an_object_is_found_under_any_spelling_on_all_its_nights(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for k, name in enumerate(["(24421)Djorgovski", "24421", "2012LU23"]):
        more = {"ssnamenr": [name, *["null"] * 11], "sat_name": ["", "STARLINK-1", *[""] * 10],
                "tracklet": ["", "", "T1234567", *[""] * 9]}  # fmt: skip
        more["sat_norad"] = [-1, 44713, *[-1] * 10]  # type: ignore[list-item]
        add_night(store, night_of(tmp_path / f"n{k}", f"2024-03-0{k + 1}", more=more))
    for spelling, n in [("24421", 2), ("2012 LU23", 1), ("STARLINK-1", 3), ("44713", 3),
                        ("T1234567", 3), ("99942", 0), ("²", 0)]:  # fmt: skip
        assert len(ask(store, Question(object_name=spelling)).rows) == n, spelling


def test_chip_and_streaks_of_a_campaign(tmp_path: Path) -> None:
    store = years(tmp_path, 2)
    assert len(ask(store, Question(chip="1/1")).rows) == 24
    assert len(ask(store, Question(chip="2/")).rows) == 0
    shown = frozenset({("ztf_night_c02", "ztf_night_c02_0001"), ("other", "ztf_night_c02_0001")})
    rows = ask(store, Question(streaks=shown, columns=("streak_id",))).rows
    assert rows["streak_id"].tolist() == ["ztf_night_c02_0001"] * 2


def test_the_command_asks_for_what_a_campaign_has_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = years(tmp_path, 1), tmp_path / "campaign"
    folder.mkdir()
    rows = read_table(tmp_path / "n0" / "streaks.parquet")
    columns = {n: np.asarray(getattr(rows[n], "value", rows[n])) for n in rows.colnames}
    with open_campaign(folder) as campaign:
        subject = Shown("key", "ztf_night_c01_0000", (0, 5))
        campaign.begin("set", tmp_path / "set", "kind", [subject], columns)
        assert campaign.streaks() == frozenset()
        campaign.finish("set")
    words = ["store", "query", str(store), "--campaign", str(folder), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2
    assert main([*words[:4], str(tmp_path / "n0")]) == 2
    assert "is no campaign's folder" in capsys.readouterr().err
    assert not (tmp_path / "n0" / "campaign.sqlite").exists()


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (Question(where="nosuch > 1"), r"asks for nosuch; there are across_err"),
        (Question(columns=("ra", "nosuch")), r"has no column nosuch; it has across_err"),
        (Question(where="mag"), r"is a number, not a condition"),
    ],
)
def test_wrong_questions_are_told(tmp_path: Path, question: Question, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ask(years(tmp_path, 1), question)


@pytest.mark.parametrize("cone", [(400.0, 0.0, 1.0), (0.0, 91.0, 1.0), (0.0, 0.0, 0.0),
                                  (0.0, 0.0, math.nan), (math.nan, 0.0, 1.0)])  # fmt: skip
def test_a_cone_must_be_on_the_sky(cone: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="a cone"):
        Cone(*cone)


def test_a_store_of_no_nights_answers_with_no_rows(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    (store / "nights" / "2024-03-01_I41.json").unlink()
    rows = ask(store, Question(where="mag < 20")).rows
    assert (len(rows), rows.colnames[:2]) == (0, ["night", "streak_id"])


# Across nights


def test_places_of_a_chip_that_show_streaks_on_many_nights(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for k in range(4):
        x = np.array([100.0 + k, 900.0 if k < 2 else 300.0 + 40 * k, 50.0 + 130.0 * k])
        more = {"x": x, "y": np.full(3, 500.0)}
        add_night(store, night_of(tmp_path / f"n{k}", f"2024-03-0{k + 1}", n_frames=1, n_each=3,
                                  more=more))  # fmt: skip
    places, answer = repeats_of_chips(store, Question())
    assert len(answer.nights) == 4
    assert [(p["n_nights"], p["n_streaks"], float(p["x"].value)) for p in places] == [(4, 4, 101.5)]
    assert places["first_night"][0] == "2024-03-01_I41"
    assert len(repeats_of_chips(store, Question(nights=("2024-03-01..2024-03-02",)))[0]) == 0
    with pytest.raises(ConfigError, match="at least 3"):
        repeats_of_chips(store, Question(), min_nights=2)


def test_streaks_of_one_night_alone_are_no_repeat_of_nights(tmp_path: Path) -> None:
    add_night(tmp_path / "store", night_of(tmp_path / "n", n_frames=5))
    assert len(repeats_of_chips(tmp_path / "store", Question())[0]) == 0


def test_trends_have_a_row_a_night(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for k, fwhm in enumerate([2.0, 3.5]):
        folder = night_of(tmp_path / f"n{k}", f"2024-03-0{k + 1}")
        change(folder / "frames.parquet", fwhm_px=lambda old, f=fwhm: np.full(3, f) * u.pix,
               state=lambda old: ["done", "done", "failed"])  # fmt: skip
        change(folder / "streaks.parquet", p_real=lambda old: np.repeat([0.9, 0.1], 6),
               snr=lambda old: np.full(12, 100.0))  # fmt: skip
        add_night(store, folder)
    trends, damaged = night_trends(store)
    assert damaged == []
    assert trends.colnames == [spec.name for spec in TREND_COLUMNS]
    assert trends["fwhm"].value.tolist() == [2.0, 3.5]
    assert trends["n_frames"].tolist() == [2, 2]
    assert trends["n_failed"].tolist() == [1, 1]
    np.testing.assert_allclose(trends["depth"].value, 18.0 + 2.5)
    np.testing.assert_allclose(trends["expected_false"], 0.6)
    assert trends["n_candidates"].tolist() == [6, 6]
    assert trends["n_ghost"].tolist() == [6, 6]
    assert np.isnan(trends["zero_point"].value).all()
    assert len(night_trends(store, ["2024-03-02"])[0]) == 1


def test_a_tracklets_body_on_other_nights(tmp_path: Path) -> None:
    """A motion of 0.1 arcsec/s eastward along the equator: 2.4 deg a day."""
    store = tmp_path / "store"
    first = placed(tmp_path / "a", [10.0], [0.0], "2024-03-01")
    change(first / "streaks.parquet", tracklet=lambda old: ["T0000001"],
           pa=lambda old: [90.0] * u.deg, rate=lambda old: [0.1] * u.Unit("arcsec/s"))  # fmt: skip
    motion = {
        **{spec.name: [np.nan] for spec in TRACKLET_COLUMNS}, "tracklet": ["T0000001"],
        "kind": ["motion"], "n": [3], "time": ["2024-03-01T04:00:00"], "ra": [10.0], "dec": [0.0],
        "rate": [0.1], "rate_err": [0.0001], "pa": [90.0], "streak_ids": ["x"],
    }  # fmt: skip
    write_table(build_table(TRACKLET_COLUMNS, motion), first / "tracklets.parquet")
    # Next day: on the way, beside it, on it with another rate, and on it across.
    second = placed(
        tmp_path / "b", [12.41, 12.4, 12.42, 12.40], [0.05, 1.0, 0.0, 0.0], "2024-03-02"
    )
    change(second / "streaks.parquet", pa=lambda old: [88.0, 90.0, 90.0, 10.0] * u.deg,
           rate=lambda old: [0.11, 0.1, 0.4, 0.1] * u.Unit("arcsec/s"))  # fmt: skip
    late = placed(tmp_path / "c", [10.0 + 2.4 * 9], [0.0], "2024-03-10")
    for folder in (first, second, late):
        add_night(store, folder)
    rows, answer = other_nights(store, "T0000001")
    assert rows["streak_id"].tolist() == ["ztf_night_c01_0000"]
    np.testing.assert_allclose(rows["days"].to_value("day"), 1.0, atol=1e-6)
    np.testing.assert_allclose(rows["off_way"].to_value("arcsec"), np.hypot(36.0, 180.0), rtol=0.01)
    assert answer.nights == ("2024-03-01_I41", "2024-03-02_I41")
    with pytest.raises(ConfigError, match="no night of the store has a tracklet T9"):
        other_nights(store, "T9")


def test_a_hats_catalogue_holds_each_row_in_its_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    ra, dec = rng.uniform(0, 360, 60), rng.uniform(-80, 80, 60)
    store = tmp_path / "store"
    add_night(store, placed(tmp_path / "night", ra, dec, "2024-03-01"))
    assert main(["store", "query", str(store), "-o", str(tmp_path / "all.hats"), "-q"]) == 0
    lines = (tmp_path / "all.hats" / "partition_info.csv").read_text().splitlines()
    assert lines[0] == "Norder,Npix"
    n = 0
    for line in lines[1:]:
        order, pixel = map(int, line.split(","))
        path = tmp_path / f"all.hats/dataset/Norder={order}/Dir=0/Npix={pixel}.parquet"
        table = pq.read_table(path, partitioning=None)
        at = pixels_at(table["ra"].to_numpy(), table["dec"].to_numpy())
        assert (table["_healpix_29"].to_numpy() == at).all()
        assert (at >> (2 * (29 - order)) == pixel).all()
        n += table.num_rows
    assert n == 60
    assert "hats_nrows=60\n" in (tmp_path / "all.hats" / "hats.properties").read_text()
    with pytest.raises(OutputError, match="not empty"):
        write_hats(ask(store, Question()).rows, tmp_path / "all.hats")
    with pytest.raises(TableError, match="needs ra, dec"):
        write_hats(QTable({"mag": [1.0]}), tmp_path / "new")


# Damage


def _file(store: Path, night: str, table: str = "streaks") -> Path:
    return next((store / table / f"night={night}").glob("*.parquet"))


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _altered(path: Path) -> None:
    """One bit of a page's values, behind its header."""
    content = bytearray(path.read_bytes())
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(k) for k in range(group.num_columns)]
    place = next(column for column in columns if column.path_in_schema == "mag")
    first = place.dictionary_page_offset or place.data_page_offset
    content[first + place.total_compressed_size - 3] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [_cut_short, _altered, Path.unlink], ids=["cut", "bit", "gone"])
def test_a_damaged_file_is_named_and_the_others_answer(
    tmp_path: Path, harm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    store = years(tmp_path, 2)
    path = _file(store, "2024-03-01_I41")
    harm(path)
    answer = ask(store, Question())
    assert set(answer.rows["night"].tolist()) == {"2024-03-02_I41"}
    assert len(answer.damaged) == 1
    assert str(path) in answer.damaged[0]
    assert main(["store", "query", str(store), "--json"]) == 1
    assert path.name in capsys.readouterr().err
    assert main(["store", "trends", str(store), "--json"]) == 1
    # Added again from its folder it is whole.
    add_night(store, tmp_path / "n0")
    assert len(content(store)) == 24


def test_a_damaged_night_is_not_replaced_by_a_part_of_it(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    _altered(_file(store, "2024-03-01_I41"))
    part = night_of(tmp_path / "part", n_frames=1)
    with pytest.raises(ReadError, match="is damaged"):
        add_night(store, part)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"streaks_store": 1}', '{"streaks_store": 1, "streaks": 5}']
)
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    store = years(tmp_path, 2)
    (store / "nights" / "2024-03-01_I41.json").write_text(text)
    answer = ask(store, Question())
    assert len(answer.rows) == 12
    assert "2024-03-01_I41.json" in answer.damaged[0]


def test_a_manifest_with_an_unknown_kind_of_column_is_damaged(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    path = store / "nights" / "2024-03-01_I41.json"
    told = json.loads(path.read_text())
    told["columns"]["mag"] = "list<item: double>"
    path.write_text(json.dumps(told))
    assert "a column of 'list<item: double>'" in ask(store, Question()).damaged[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("order", 40), ("pixel", 99), ("pixel", -4), ("rows", -1), ("size", "many")],
)
def test_a_manifest_with_absurd_numbers_is_damaged(tmp_path: Path, name: str, value: Any) -> None:
    store = years(tmp_path, 1)
    path = store / "nights" / "2024-03-01_I41.json"
    told = json.loads(path.read_text())
    told["streaks"][0][name] = value
    path.write_text(json.dumps(told))
    assert "is damaged" in ask(store, Question(cone=Cone(1, 2, 3))).damaged[0]


def test_a_night_whose_frames_are_lost_is_replaced_by_its_own_folder_alone(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    _file(store, "2024-03-01_I41", "frames").unlink()
    with pytest.raises(ReadError, match="is missing"):
        add_night(store, night_of(tmp_path / "part", n_frames=1))
    add_night(store, tmp_path / "n0")
    assert len(content(store)) == 12


def test_a_manifest_names_no_file_outside(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    path = store / "nights" / "2024-03-01_I41.json"
    told = json.loads(path.read_text())
    told["streaks"][0]["path"] = "../n0/streaks.parquet"
    path.write_text(json.dumps(told))
    answer = ask(store, Question())
    assert (len(answer.rows), len(answer.damaged)) == (0, 1)
    assert "out of the store" in answer.damaged[0]


def test_what_is_no_store_or_holds_something_else_is_refused(tmp_path: Path) -> None:
    night = night_of(tmp_path / "night")
    with pytest.raises(ReadError, match="is no store"):
        ask(tmp_path / "night", Question())
    with pytest.raises(OutputError, match="is no store and holds"):
        add_night(night, night)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is no folder"):
        add_night(tmp_path / "file", night)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match="is no night"):
        add_night(tmp_path / "store", tmp_path / "empty")
    assert not (tmp_path / "store").exists()


def test_foreign_files_in_a_store_stay(tmp_path: Path) -> None:
    store = years(tmp_path, 1)
    folder = _file(store, "2024-03-01_I41").parent
    mine = [folder / "mine.parquet", folder / "notes.txt", store / "nights" / "notes.md"]
    left = folder / "0-6-0123456789ab.parquet"  # of an add that was killed
    for path in (*mine, left):
        path.write_text("x")
    add_night(store, tmp_path / "n0")
    assert all(path.exists() for path in mine)
    assert not left.exists()
    assert len(content(store)) == 12


# Kills, and two at once

_KILLED = '''
import json, os, sys
from pathlib import Path
from streaks.store import Question, add_night, ask
import pyarrow.dataset, pyarrow.parquet, streaks.known.observatories
store, first, second = map(Path, sys.argv[1:4])
rows = {"n": 0, "at": 0}
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.link", "os.chmod"}

def hook(event, args):
    if rows["at"] and event in EVENTS and str(store) in str(args[0]):
        rows["n"] += 1
        if rows["n"] == rows["at"]:
            os._exit(9)

sys.addaudithook(hook)

def child(at, folder):
    pid = os.fork()
    if pid == 0:
        try:
            rows["at"] = at
            add_night(store, folder)
            os._exit(0)
        except BaseException as error:
            print("add failed:", error, flush=True)
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def counting():
    """Manifests and the files that they name: where these are the same, so is the answer."""
    texts = [path.read_text() for path in sorted(store.glob("nights/[!.]*.json"))]
    named = [one["path"] for text in texts for one in json.loads(text)["streaks"]]
    there = [path for path in named if (store / path).is_file()]
    return (store / "store.json").is_file(), tuple(texts), tuple(there)

seen = {}
def look():
    key = counting()
    if key not in seen:
        seen[key] = asked()
    return seen[key]

def asked():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        if not (store / "store.json").is_file():
            os.write(write, b"none")
        else:
            answer = ask(store, Question(columns=("mag",)))
            told = sorted(set(answer.rows["mag"].value.tolist()))
            os.write(write, f"{len(answer.rows)} {told} {answer.damaged}".encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    return os.read(read, 10000).decode()

# What is loaded at first use is loaded here, once.
add_night(store.with_name("other"), first)
for folder in (first, second):
    step = 1
    while (code := child(step, folder)) == 9:
        print(folder.name, step, look(), flush=True)
        step += 1
    print(folder.name, "end", code, look(), flush=True)
'''


@pytest.mark.tree
def test_an_add_killed_at_any_step_leaves_the_store_as_it_was_or_as_it_is_to_be(
    tmp_path: Path,
) -> None:
    first = night_of(tmp_path / "first")
    second = night_of(tmp_path / "second", more={"mag": np.full(12, 15.0)})
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(store), str(first), str(second)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line.split(" ", 2) for line in done.stdout.splitlines()]
    empty, old, new = "0 [] ()", "12 [18.0] ()", "12 [15.0] ()"
    states = {
        name: [state for one, _, state in told if one == name] for name in ("first", "second")
    }
    assert set(states["first"]) <= {"none", empty, old, f"0 {old}"}
    assert set(states["second"]) <= {old, new, f"0 {new}"}
    # Enough places to die at, before the manifest has its name and after it.
    assert len(states["first"]) > 12
    assert {old, new} <= set(states["second"])
    assert states["first"][-1] == f"0 {old}"
    assert states["second"][-1] == f"0 {new}"
    assert len(list((store / "streaks").rglob("*.parquet"))) == 1


@pytest.mark.tree
def test_two_adds_at_once_wait_for_each_other(tmp_path: Path) -> None:
    folders = [night_of(tmp_path / f"n{k}", more={"mag": np.full(12, 15.0 + k)}) for k in range(2)]
    code = "import sys; from streaks.store import add_night; add_night(*sys.argv[1:3])"
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "store"), str(folder)])
        for folder in folders
    ]
    assert [one.wait(timeout=120) for one in running] == [0, 0]
    assert len(content(tmp_path / "store")) == 12
    # One of the two adds has won, whole.
    assert len(set(ask(tmp_path / "store", Question()).rows["mag"].value)) == 1


def test_a_question_asked_while_a_night_is_replaced_takes_the_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = years(tmp_path, 1)
    manifest = StoreFolder.manifest
    asked: list[str] = []

    def replaced_after(self: StoreFolder, night: str) -> Any:
        found = manifest(self, night)
        asked.append(night)
        if len(asked) == 1:
            monkeypatch.setattr(StoreFolder, "manifest", manifest)
            add_night(store, tmp_path / "n0")
            monkeypatch.setattr(StoreFolder, "manifest", replaced_after)
        return found

    monkeypatch.setattr(StoreFolder, "manifest", replaced_after)
    answer = ask(store, Question())
    assert (len(answer.rows), answer.damaged, len(asked)) == (12, (), 2)


# The command


def test_the_command_adds_asks_and_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [night_of(tmp_path / f"n{k}", f"2024-03-0{k + 1}") for k in range(3)]
    store = str(tmp_path / "store")
    assert main(["store", "add", *map(str, folders), "-o", store, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["night"] for one in told["added"]] == [f"2024-03-0{k}_I41" for k in (1, 2, 3)]
    table = tmp_path / "out.ecsv"
    words = ["store", "query", store, "p_asteroid > 0.9", "--columns", "ra,mag", "-o", str(table)]
    assert main(words) == 0
    assert "6 streaks of 3 nights (3 of 3 files read)" in capsys.readouterr().out
    assert set(read_table(table).colnames) == {"night", "ra", "mag"}
    assert main(["store", "query", store, "--at", "150", "2", "0.01", "--night", "2024-03-02"]) == 0
    said = capsys.readouterr().out
    assert "3 streaks of 1 night (" in said
    assert re.search(r"\d\.\d{6,}", said) is None
    assert main(["store", "repeats", store, "--chip", "1/1"]) == 0
    assert "4 places that show streaks on 3 nights or more" in capsys.readouterr().out
    assert main(["store", "trends", store]) == 0
    assert "2024-03-03_I41" in capsys.readouterr().out


def test_the_command_names_what_it_cannot_add_and_adds_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night_of(tmp_path / "night")
    words = ["store", "add", str(tmp_path / "nowhere"), str(tmp_path / "night")]
    assert main([*words, "-o", str(tmp_path / "store")]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err
    assert len(content(tmp_path / "store")) == 12
    assert main([*words[:3], "-o", str(tmp_path / "store")]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "x.docx"],
        ["--other-nights", "2"],
        ["--other-nights", "2", "--object", "T1", "--chip", "4"],
        ["--at", "1", "2", "0"],
        ["--night", "1999"],
        ["--object", "T1", "--other-nights", "2"],
        ["--columns", ","],
        ["__import__('os')"],
    ],
)
def test_wrong_words_end_with_2(tmp_path: Path, words: list[str]) -> None:
    assert main(["store", "query", str(years(tmp_path, 1)), *words]) == 2


def test_a_table_is_not_written_into_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = years(tmp_path, 1)
    before = content(store)
    for name in ("query", "repeats", "trends"):
        assert main(["store", name, str(store), "-o", str(store / "store.json")]) == 2
        assert "lies in the store itself" in capsys.readouterr().err
    assert content(store) == before


def test_a_night_that_a_filter_of_alerts_made_is_added(tmp_path: Path) -> None:
    from streaks.streams import AlertFilter, run_filter
    from streaks.streams.sources import FileSource
    from tests.made_alerts import image_with, load_sure, write_avro, ztf_record

    records = [ztf_record(k, image_with(12.0 * (k > 4), 30.0, seed=k)) for k in range(1, 7)]
    source = FileSource([write_avro(tmp_path / "alerts.avro", records)])
    run_filter(AlertFilter(check=False, load_classifier=load_sure), source, tmp_path / "night",
               workers=0)  # fmt: skip
    added = add_night(tmp_path / "store", tmp_path / "night")
    assert [(a.night, a.streaks) for a in added] == [("2018-02-09_I41_alerts", 6)]
    rows = ask(tmp_path / "store", Question(where="label == 'asteroid'")).rows
    assert sorted(rows["streak_id"].tolist()) == ["ztf_5", "ztf_6"]
    assert os.path.isdir(tmp_path / "store" / "streaks" / "night=2018-02-09_I41_alerts")
