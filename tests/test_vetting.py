"""What stands behind the page to judge on: order, journal, agreement, export, the gate."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from streaks.cli import main
from streaks.errors import ConfigError, InputError, MissingExtraError, OutputError, ReadError
from streaks.labelling.agreement import cohen_kappa, fleiss_kappa
from streaks.night_folder import NightFolder, read_night
from streaks.plotting import decode_picture
from streaks.readers import read_table
from streaks.tables import StreakFlag
from streaks.vetting import (
    Journal,
    Judgement,
    accepted_ades,
    agreement_of,
    is_loopback,
    labels_table,
    make_gate,
    open_journal,
    read_candidates,
    standing_of,
)
from streaks.vetting.journal import judgement_of
from streaks.vetting.pictures import Pictures
from tests.made_nights import SIDE, make_night

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_night(tmp_path / "night")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with open_journal(tmp_path / "judgements.sqlite") as opened:
        yield opened


def said(number: int, person: str, streak: str, label: str, **more: Any) -> Judgement:
    told = {"kind": "label", "value": label, **more}
    return Judgement(id=f"judgement{number:04d}", person=person, streak_id=streak, **told)


# ---- order and what is told of candidates


def test_candidates_come_by_p_real_where_the_night_has_it(tmp_path: Path) -> None:
    p_real = np.linspace(0.1, 0.9, 12)
    night = read_night(make_night(tmp_path / "night", more={"p_real": p_real}))
    candidates = read_candidates(night)
    assert candidates.by == "p_real"
    assert list(candidates.order) == list(range(11, -1, -1))


def test_candidates_come_by_p_asteroid_else(folder: Path) -> None:
    candidates = read_candidates(read_night(folder))
    assert candidates.by == "p_asteroid"
    assert list(candidates.order) == list(range(12))


def test_members_of_a_group_stand_together_at_the_place_of_the_surest(tmp_path: Path) -> None:
    group = ["", "g", "", "", "", "", "", "g", "", "", "", "g"]
    night = read_night(make_night(tmp_path / "night", more={"group": group}))
    assert list(read_candidates(night).order)[:5] == [0, 1, 7, 11, 2]


def test_streaks_of_a_tracklet_stand_together_where_there_is_no_group(tmp_path: Path) -> None:
    tracklet = ["", "", "T1", "", "", "", "", "", "", "T1", "", ""]
    night = read_night(make_night(tmp_path / "night", more={"tracklet": tracklet}))
    assert list(read_candidates(night).order)[:5] == [0, 1, 2, 9, 3]


def test_unknown_probabilities_come_last(tmp_path: Path) -> None:
    p = [np.nan, 0.2, 0.9, np.nan]
    more = {"p_asteroid": p, "score": [np.nan, 1.0, 1.0, 5.0]}
    night = read_night(make_night(tmp_path / "night", n_frames=1, more=more))
    assert list(read_candidates(night).order) == [2, 1, 3, 0]


def test_a_list_tells_what_a_page_sorts_and_filters_by(tmp_path: Path) -> None:
    more = {
        "ssdistnr": [1.0] + [-999.0] * 11, "sat_name": ["", "ISS"] + [""] * 10,
        "label_cnn": ["ghost"] * 12, "label_forest": ["ghost", "asteroid"] * 6,
    }  # fmt: skip
    listed = read_candidates(read_night(make_night(tmp_path / "night", more=more))).listed(0, 3)
    columns = listed["columns"]
    assert (listed["n"], listed["offset"]) == (12, 0)
    assert {len(values) for values in columns.values()} == {3}
    assert columns["known"] == [1, 1, 0]
    assert columns["disagree"] == [0.0, 1.0, 0.0]
    assert columns["ccd"] == [1, 1, 1]
    # Midpoint on the middle pixel: ends are 6 px to either side of it, and 3 px up and down.
    assert columns["ends"][0] == [-6.0, -3.0, 6.0, 3.0]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"disagreement": np.linspace(0, 1, 12)}, 1.0),
        ({"p_asteroid_cnn": np.full(12, 0.9), "p_asteroid_forest": np.full(12, 0.2)}, 0.7),
    ],
)
def test_disagreement_comes_from_the_columns_that_tell_it(
    tmp_path: Path, more: dict[str, Any], expected: float
) -> None:
    columns = read_candidates(read_night(make_night(tmp_path / "n", more=more))).listed(0, 12)
    assert columns["columns"]["disagree"][-1] == pytest.approx(expected)


def test_without_such_columns_disagreement_is_unknown(folder: Path) -> None:
    listed = read_candidates(read_night(folder)).listed(0, 12)
    assert listed["columns"]["disagree"] == [None] * 12


def test_details_tell_why(tmp_path: Path) -> None:
    more = {
        "reasons": ["fits a trail; seen twice"] + [""] * 11,
        "flags": [int(StreakFlag.SPIKE | StreakFlag.BLENDED)] + [0] * 11,
        "ssdistnr": [1.5] + [-999.0] * 11, "ssnamenr": ["2024 AB"] + ["null"] * 11,
        "sat_name": ["", "STARLINK-1"] + [""] * 10,
    }  # fmt: skip
    candidates = read_candidates(read_night(make_night(tmp_path / "night", more=more)))
    about = candidates.details(0)
    assert about["reasons"] == ["fits a trail", "seen twice"]
    assert about["flags"] == "along a star's spike or bleed, crosses or touches another"
    assert about["known"].startswith("2024 AB, 1.5")
    assert candidates.details(1)["satellite"] == "STARLINK-1"
    assert about["bars"][0] == {"name": "asteroid", "p": 0.99, "colour": "#ee8866"}


def test_a_lone_streak_is_expected_on_either_side_and_found_there(tmp_path: Path) -> None:
    # 0.3 arcsec/s for 180 s due east: 54 arcsec, which is row 4's place.
    ra = np.full(12, 151.0)
    ra[0], ra[4] = 150.0, 150.0 + 54.0 / 3600 / np.cos(np.radians(2.0))
    more = {"ra": ra, "pa": np.full(12, 90.0)}
    again = read_candidates(read_night(make_night(tmp_path / "n", more=more))).details(0)["again"]
    assert [one["minutes"] for one in again] == [3.0, 6.0]
    assert len(again[0]["places"]) == 2
    assert again[0]["found"] == "ztf_night_c02_0000"
    assert again[0]["off"] == pytest.approx(0.0, abs=0.1)
    assert (again[1]["found"], again[1]["off"]) == ("", None)


def test_links_ask_about_the_place_and_time(folder: Path) -> None:
    links = {
        one["name"]: one["to"] for one in read_candidates(read_night(folder)).details(1)["links"]
    }
    mpc = parse_qs(urlsplit(links["MPChecker"]).query)
    assert (mpc["year"], mpc["month"], mpc["day"]) == (["2024"], ["03"], ["01.16667"])
    assert (mpc["ra"], mpc["decl"], mpc["oc"]) == (["10 00 04.00"], ["+02 00 00.0"], ["I41"])
    skybot = parse_qs(urlsplit(links["SkyBoT"]).query)
    assert skybot["-ep"] == ["2024-03-01T04:00:00.000"]
    assert float(skybot["-ra"][0]) == pytest.approx(150.016667)
    assert parse_qs(urlsplit(links["Aladin Lite"]).query)["target"] == ["150.016667 +2.000000"]
    assert all(link.startswith("https://") for link in links.values())


def test_without_a_place_there_are_no_links(tmp_path: Path) -> None:
    more = {"ra": np.full(12, np.nan)}
    candidates = read_candidates(read_night(make_night(tmp_path / "night", more=more)))
    assert candidates.details(0)["links"] == []
    assert candidates.details(0)["again"] == []


# ---- pictures


def test_a_strip_shows_three_squares_with_up_above(folder: Path) -> None:
    strip = decode_picture(Pictures(read_candidates(read_night(folder))).strip(0, "normal"))
    assert strip.shape == (SIDE, 3 * SIDE, 3)
    science = strip[:, :SIDE, 0].astype(int)
    assert np.unravel_index(science.argmax(), science.shape) == (
        SIDE - 1 - SIDE // 2 - 8,
        SIDE // 2,
    )


def test_stretches_differ_and_their_tags_too(folder: Path) -> None:
    pictures = Pictures(read_candidates(read_night(folder)))
    made = {pictures.strip(0, how) for how in ("normal", "faint", "bright")}
    tags = {pictures.tag(0, how) for how in ("normal", "faint", "bright")}
    assert (len(made), len(tags)) == (3, 3)


def test_a_frame_that_was_searched_again_shows_no_other_streak_under_a_name(folder: Path) -> None:
    pictures = Pictures(read_candidates(read_night(folder)))
    pictures.strip(0, "normal")
    before = pictures.tag(0, "normal")
    path = NightFolder(folder).cutouts("ztf_night_c01")
    os.utime(path, ns=(1, 1))
    assert pictures.tag(0, "normal") != before
    with pytest.raises(ReadError, match="searched again"):
        pictures.strip(0, "normal")
    pictures.strip(4, "normal")  # of another frame


def test_missing_cutouts_are_said(tmp_path: Path) -> None:
    pictures = Pictures(read_candidates(read_night(make_night(tmp_path / "n", cutouts=False))))
    with pytest.raises(ReadError, match="does not exist"):
        pictures.strip(0, "normal")


def test_other_exposures_are_shown_by_streaks_near_where_their_files_are_gone(folder: Path) -> None:
    pictures = Pictures(read_candidates(read_night(folder)))
    others = pictures.others(0)
    assert [one["minutes"] for one in others] == [3.0, 6.0]
    assert decode_picture(pictures.other(0, others[0]["frame"], "normal")).shape[:2] == (SIDE, SIDE)


def test_other_exposures_are_cut_from_their_files_where_these_are_there(tmp_path: Path) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [161.0, 101.0]
    wcs.wcs.cdelt = [-1 / 3600, 1 / 3600]
    data = np.random.default_rng(1).normal(0, 1, (201, 320)).astype(np.float32)
    data[110, 160] = 300.0  # 10 px north of the place
    paths = [str(tmp_path / f"{i}.fits") for i in range(3)]
    for path in paths:
        fits.writeto(path, data, wcs.to_header())
    night = read_night(make_night(tmp_path / "night", paths=paths))
    shown = decode_picture(Pictures(read_candidates(night)).other(0, 1, "normal"))[..., 0]
    assert shown.shape == (128, 128)
    assert np.unravel_index(shown.argmax(), shown.shape) == (128 - 1 - 64 - 10, 64)


def test_a_place_outside_an_exposure_is_said(tmp_path: Path) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150.0, 2.1], [30, 20], [-1 / 3600, 1 / 3600]
    path = str(tmp_path / "away.fits")
    fits.writeto(path, np.zeros((40, 61), np.float32), wcs.to_header())
    night = read_night(make_night(tmp_path / "night", paths=[path] * 3))
    with pytest.raises(ReadError, match="outside"):
        Pictures(read_candidates(night)).other(0, 1, "normal")


# ---- the journal


def test_what_is_recorded_comes_back_in_order(journal: Journal) -> None:
    assert journal.record([said(1, "Vera", "a", "ghost"), said(2, "Jan", "b", "skip")]) == {}
    found = journal.after()
    assert [(one.seq, one.person, one.value) for one in found] == [
        (1, "Vera", "ghost"), (2, "Jan", "skip"),
    ]  # fmt: skip
    assert [one.person for one in journal.after(1)] == ["Jan"]
    assert found[0].received.endswith("+00:00")


def test_one_that_is_sent_twice_is_kept_once(journal: Journal) -> None:
    one = said(1, "Vera", "a", "ghost")
    assert journal.record([one, one]) == {}
    assert journal.record([one]) == {}
    assert len(journal.after()) == 1


def test_an_id_of_another_judgement_is_refused(journal: Journal) -> None:
    journal.record([said(1, "Vera", "a", "ghost")])
    assert journal.record([said(1, "Vera", "b", "ghost")]) == {
        "judgement0001": "this id is another judgement's"
    }
    assert [one.streak_id for one in journal.after()] == ["a"]


def test_a_damaged_journal_is_said_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "judgements.sqlite"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    before = path.read_bytes()
    with pytest.raises(ReadError, match="damaged"), open_journal(path):
        pass
    assert path.read_bytes() == before


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "judgements.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (x)")
    before = path.read_bytes()
    with pytest.raises(ReadError, match="another program's"), open_journal(path):
        pass
    assert path.read_bytes() == before


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judgements.sqlite"
    with open_journal(path):
        pass
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(ReadError, match="newer version"), open_journal(path):
        pass


def test_a_folder_in_the_journals_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "judgements.sqlite").mkdir()
    with pytest.raises(ReadError, match="no file"), open_journal(tmp_path / "judgements.sqlite"):
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="cannot write"),
        open_journal(tmp_path / "none" / "judgements.sqlite"),
    ):
        pass


def test_two_processes_write_to_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "judgements.sqlite"
    script = (
        "import sys; from pathlib import Path; from streaks.vetting.journal import *\n"
        "with open_journal(Path(sys.argv[1])) as journal:\n"
        "    for i in range(60):\n"
        "        journal.record([Judgement(id=f'{sys.argv[2]}-{i:08d}', person=sys.argv[2],"
        " streak_id='a', kind='label', value='ghost')])\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in ("ann", "bob")
    ]
    assert [run.wait(timeout=60) for run in runs] == [0, 0]
    with open_journal(path) as journal:
        assert len(journal.after()) == 120


def test_threads_share_a_journal(journal: Journal) -> None:
    def write(base: int) -> None:
        for i in range(50):
            journal.record([said(base + i, "Vera", "a", "ghost")])

    threads = [threading.Thread(target=write, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.after()) == 200


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    """Killed while it writes, again and again: all that it said is kept is there."""
    path = tmp_path / "judgements.sqlite"
    script = (
        "import sys; from pathlib import Path; from streaks.vetting.journal import *\n"
        "with open_journal(Path(sys.argv[1])) as journal:\n"
        "    for i in range(100000):\n"
        "        name = f'{sys.argv[2]}-{i:08d}'\n"
        "        journal.record([Judgement(id=name, person='v', streak_id='a', kind='label',"
        " value='ghost')])\n"
        "        print(name, flush=True)\n"
    )
    acknowledged: list[str] = []
    for turn in range(4):
        run = subprocess.Popen(
            [sys.executable, "-c", script, str(path), f"turn{turn}"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert run.stdout is not None
        acknowledged.append(run.stdout.readline().strip())
        time.sleep(0.03 * turn)
        run.send_signal(signal.SIGKILL)
        acknowledged += run.stdout.read().split("\n")[:-1]
        run.wait()
    with open_journal(path) as journal:
        kept = {one.id for one in journal.after()}
    assert len(acknowledged) >= 4
    assert set(acknowledged) <= kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "x"}, "8 to 64"),
        ({"id": "<script>alert(1)</script>"}, "8 to 64"),
        ({"person": "  \n "}, "1 to 60"),
        ({"person": "x" * 61}, "1 to 60"),
        ({"person": 7}, "is text"),
        ({"value": "planet"}, "no class"),
        ({"kind": "drop"}, "no kind"),
        ({"kind": "undo", "value": "?"}, "by its id"),
        ({"kind": "bad_reference", "value": "yes"}, "0 or 1"),
        ({"kind": "comment", "value": "x" * 2001}, "2000"),
        ({"streak_id": "x" * 401}, "400"),
        ({"streak_id": "\ud800"}, "half a letter"),
        ({"made": "x" * 41}, "40"),
        ({"image": "x" * 401}, "400"),
        ({"x": "3"}, "place in pixels"),
        ({"y": True}, "place in pixels"),
        ({"x": float("inf")}, "place in pixels"),
        ({"x": 10**400}, "place in pixels"),
    ],
)
def test_what_is_no_judgement_is_refused(change: dict[str, Any], message: str) -> None:
    sound = {"id": "a" * 16, "person": "Vera", "streak_id": "s", "kind": "label", "value": "ghost"}
    assert judgement_of(sound).value == "ghost"
    with pytest.raises(InputError, match=message):
        judgement_of({**sound, **change})


@pytest.mark.parametrize("raw", [None, [], "x", 3])
def test_what_is_no_object_is_refused(raw: Any) -> None:
    with pytest.raises(InputError, match="JSON object"):
        judgement_of(raw)


def test_names_stay_on_one_line() -> None:
    raw = {"id": "a" * 16, "streak_id": "s", "kind": "label", "value": "ghost"}
    assert judgement_of({**raw, "person": " Vera\n\u202e  R. "}).person == "Vera R."


# ---- what stands


def test_the_last_label_of_a_person_stands(folder: Path) -> None:
    night = read_night(folder)
    first = str(night.streaks["streak_id"][0])
    standing = standing_of([said(1, "V", first, "ghost"), said(2, "V", first, "asteroid")], night)
    assert standing.labels == {"V": {first: "asteroid"}}


def test_what_is_undone_does_not_stand_and_what_was_before_does(folder: Path) -> None:
    night = read_night(folder)
    first = str(night.streaks["streak_id"][0])
    told = [said(1, "V", first, "ghost"), said(2, "V", first, "asteroid")]
    undo = said(3, "V", first, "judgement0002", kind="undo")
    assert standing_of([*told, undo], night).labels == {"V": {first: "ghost"}}
    undo = said(4, "V", first, "judgement0001", kind="undo")
    assert standing_of([told[0], undo], night).labels == {}


def test_nobody_undoes_what_another_said(folder: Path) -> None:
    night = read_night(folder)
    first = str(night.streaks["streak_id"][0])
    undo = said(2, "W", first, "judgement0001", kind="undo")
    standing = standing_of([said(1, "V", first, "ghost"), undo], night)
    assert standing.labels == {"V": {first: "ghost"}}


def test_flags_and_comments_stand_until_taken_back(folder: Path) -> None:
    night = read_night(folder)
    first, second = (str(name) for name in night.streaks["streak_id"][:2])
    told = [
        said(1, "V", first, "1", kind="bad_reference"),
        said(2, "V", second, "1", kind="bad_reference"),
        said(3, "V", second, "0", kind="bad_reference"),
        said(4, "V", first, "odd", kind="comment"),
        said(5, "W", second, "gone", kind="comment"), said(6, "W", second, "", kind="comment"),
    ]  # fmt: skip
    standing = standing_of(told, night)
    assert standing.bad_references == {first: frozenset({"V"})}
    assert standing.comments == {first: {"V": "odd"}}


def test_a_judgement_follows_its_place_when_the_night_was_run_again(tmp_path: Path) -> None:
    """Numbers moved on by one: what was 0000 is 0001 now, and 0000 is something new."""
    night = read_night(make_night(tmp_path / "night"))
    name = "ztf_night_c01_0000"
    there = {"image": "ztf_night_c01", "x": 150.4, "y": 229.5}
    standing = standing_of([said(1, "V", name, "ghost", **there)], night)
    assert standing.labels == {"V": {"ztf_night_c01_0001": "ghost"}}
    gone = {"image": "ztf_night_c01", "x": 700.0, "y": 229.5}
    standing = standing_of([said(1, "V", name, "ghost", **gone)], night)
    assert (standing.labels, standing.lost) == ({}, frozenset({name}))


# ---- agreement


def test_cohens_kappa_of_a_worked_example() -> None:
    """Fifty proposals: both yes 20, both no 15, 5 and 10 of two minds.

    Worked by hand: same 0.70, chance 0.5 * 0.6 + 0.5 * 0.4 = 0.50, kappa 0.40.
    """
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.40)


def test_fleiss_kappa_of_a_worked_example() -> None:
    """Three people, four subjects, classes a and b: aaa, aab, abb, bbb.

    Worked by hand: same = mean of 1, 1/3, 1/3, 1 = 2/3; shares 1/2 each, chance 1/2; kappa 1/3.
    """
    counts = np.array([[3, 0], [2, 1], [1, 2], [0, 3]])
    assert fleiss_kappa(counts) == pytest.approx(1 / 3)


def test_fleiss_kappa_of_the_table_of_ten_subjects_and_fourteen_people() -> None:
    """A much copied example (kappa 0.210), worked again: same 0.378, chance 0.213."""
    counts = np.array([
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ])  # fmt: skip
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


def test_kappa_says_nothing_where_there_is_nothing_to_say() -> None:
    assert np.isnan(cohen_kappa([], []))
    assert np.isnan(cohen_kappa(["a", "a"], ["a", "a"]))
    assert np.isnan(fleiss_kappa(np.array([[1, 0], [0, 1]])))
    assert np.isnan(fleiss_kappa(np.zeros((0, 0))))


def test_agreement_compares_what_both_judged() -> None:
    found = agreement_of({
        "V": {"a": "ghost", "b": "skip", "c": "ghost"},
        "W": {"a": "ghost", "b": "ghost", "d": "skip"},
        "X": {},
    })  # fmt: skip
    assert found.n_by_person == {"V": 3, "W": 3, "X": 0}
    pair = found.pairs[0]
    assert (pair.first, pair.second, pair.n, pair.same) == ("V", "W", 2, 0.5)
    # a and b: same 1/2; chance (2 * 1 + 0 * 1) / 4 = 1/2.
    assert pair.kappa == pytest.approx(0.0)
    assert (found.n_several, found.n_all) == (2, 0)


# ---- export


def judged(night: Any) -> list[Judgement]:
    a, b, c, d = (str(name) for name in night.streaks["streak_id"][:4])
    return [
        said(1, "V", a, "asteroid"), said(2, "W", a, "asteroid"), said(3, "X", a, "ghost"),
        said(4, "V", b, "unresolved"), said(5, "V", c, "ghost"), said(6, "W", c, "skip"),
        said(7, "V", d, "asteroid"), said(8, "V", a, "=HYPERLINK(1)", kind="comment"),
        said(9, "W", a, "1", kind="bad_reference"),
    ]  # fmt: skip


def test_labels_have_the_form_of_an_import(folder: Path) -> None:
    night = read_night(folder)
    table = labels_table(standing_of(judged(night), night), night)
    assert table.colnames[:12] == [
        "name", "label", "p_asteroid", "p_satellite", "p_masked_star", "p_ghost", "p_cosmic_ray",
        "p_naked_star", "p_yin_yang", "n_votes", "agreement", "verdict",
    ]  # fmt: skip
    assert list(table["label"]) == ["asteroid", "skip", "", "asteroid"]
    assert list(table["verdict"]) == ["asteroid", "unresolved", "", "asteroid"]
    assert table["p_asteroid"][0] == pytest.approx(2 / 3, abs=1e-6)
    assert list(table["n_votes"]) == [3, 1, 2, 1]
    assert table["agreement"][0] == pytest.approx(0.6667)
    assert list(table["n_bad_reference"]) == [1, 0, 0, 0]


def test_what_is_accepted_goes_out_as_ades_but_for_what_is_cut(tmp_path: Path) -> None:
    flags = [0, 0, 0, int(StreakFlag.EDGE_0)] + [0] * 8
    night = read_night(make_night(tmp_path / "night", more={"flags": flags}))
    text, n, left_out = accepted_ades(standing_of(judged(night), night), night)
    assert n == 1
    assert left_out == ["ztf_night_c01_0003"]
    rows = [line for line in text.splitlines() if line and line[0] not in "#!"]
    heading, row = (dict(enumerate(cell.strip() for cell in line.split("|"))) for line in rows)
    record = {heading[i]: row[i] for i in row}
    assert (record["stn"], record["obsTime"]) == ("I41", "2024-03-01T04:00:00.000Z")
    assert float(record["ra"]) == pytest.approx(150.0)
    assert "ztf_night_c01_0000" in record["remarks"]


def test_nothing_accepted_is_a_file_without_observations(folder: Path) -> None:
    night = read_night(folder)
    text, n, left_out = accepted_ades(standing_of([], night), night)
    assert (n, list(left_out)) == (0, [])
    assert text.startswith("# version=2022")


def record(folder: Path) -> None:
    night = read_night(folder)
    with open_journal(night.folder.judgements) as journal:
        journal.record(judged(night))


def test_the_command_exports(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(folder)
    out, ades = tmp_path / "labels.csv", tmp_path / "accepted.psv"
    code = main(["vet", str(folder), "--export", str(out), "--ades", str(ades), "--agreement"])
    printed = capsys.readouterr().out
    assert code == 0
    assert "4 candidates (1 undecided, 2 asteroid, 1 unresolved)" in printed
    assert "V and W: 2 by both, 50 % alike" in printed
    table = read_table(out)
    assert str(table["name"][0]) == "ztf_night_c01_0000"
    # A spreadsheet must not run a comment.
    assert str(table["comment"][0]).startswith("'=")
    assert "2 observations written" in printed


def test_ades_says_who_observed(folder: Path, tmp_path: Path) -> None:
    record(folder)
    about = tmp_path / "about.toml"
    about.write_text('submitter = "V. Rubin"\nobservers = ["V. Rubin"]\n')
    out = tmp_path / "accepted.psv"
    words = ["--ades", str(out), "--ades-context", str(about), "-q"]
    assert main(["vet", str(folder), *words]) == 0
    assert "! name V. Rubin" in out.read_text()


def test_exported_labels_are_read_as_training_labels(folder: Path, tmp_path: Path) -> None:
    from streaks.cli.labelled_sets import read_labelled
    from streaks.models.labels import label_indices

    record(folder)
    assert main(["vet", str(folder), "--export", str(tmp_path / "labels.csv"), "-q"]) == 0
    cutouts, labels = read_labelled([folder / "cutouts"], tmp_path / "labels.csv")
    assert dict(zip(cutouts.names, labels, strict=True)) == {
        "ztf_night_c01_0000": "asteroid",
        "ztf_night_c01_0001": "skip",
        "ztf_night_c01_0003": "asteroid",
    }
    # Each is a name that a model knows; too few to train with.
    with pytest.raises(InputError, match="needs at least two classes"):
        label_indices(labels)


def test_agreement_is_json_where_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(folder)
    assert main(["vet", str(folder), "--agreement", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["agreement"]
    assert told["judged"] == {"V": 4, "W": 2, "X": 1}
    assert told["n_by_all"] == 1
    assert {tuple(pair["people"]) for pair in told["pairs"]} == {("V", "W"), ("V", "X"), ("W", "X")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--agreement"], "nothing was judged yet"),
        (["--ades", "x.csv"], "ends in .psv"),
        (["--ades-context", "x.toml"], "give both"),
        (["--token", "short"], "8 to 200"),
        (["--host", "192.0.2.1"], "cannot listen"),
    ],
)
def test_wrong_wishes_are_said(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] in ("--token", "--host"):
        pytest.importorskip("fastapi", reason="the extra `web` is not installed")
        pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
    assert main(["vet", str(folder), "--port", "0", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "judgements.sqlite").exists()


def test_a_port_that_is_taken_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    pytest.importorskip("fastapi", reason="the extra `web` is not installed")
    pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["vet", str(folder), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another with --port" in capsys.readouterr().err


def test_a_missing_library_is_named_with_its_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["vet", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "-m pip install" in told
    assert "extra 'web'" in told
    assert not (folder / "judgements.sqlite").exists()
    record(folder)
    assert main(["vet", str(folder), "--agreement", "-q"]) == 0
    assert issubclass(MissingExtraError, ImportError)


# ---- the gate


def heads(**values: str) -> dict[str, list[str]]:
    return {name.replace("_", "-"): [value] for name, value in values.items()}


@pytest.mark.parametrize(
    ("host", "there"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True),
     ("0.0.0.0", False), ("192.168.1.4", False), ("example.org", False), ("::", False)],
)  # fmt: skip
def test_loopback_is_told(host: str, there: bool) -> None:
    assert is_loopback(host) is there


@pytest.mark.parametrize("host", ["localhost:8377", "127.0.0.1:9000", "[::1]:8377", "LOCALHOST"])
def test_own_names_are_served_at_any_port(host: str) -> None:
    assert make_gate("127.0.0.1").refusal("GET", "/", heads(host=host)) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8377", "127.0.0.1.evil.example", "localhost.evil.example",
     "192.168.1.4", "", "localhost:8377@evil", "a b", "localhost\x00"],
)  # fmt: skip
def test_other_names_are_not_served(host: str) -> None:
    refusal = make_gate("127.0.0.1").refusal("GET", "/", heads(host=host))
    assert refusal is not None
    assert refusal.status == 421


def test_no_host_or_two_are_not_served() -> None:
    gate = make_gate("127.0.0.1")
    assert gate.refusal("GET", "/", {}) is not None
    assert gate.refusal("GET", "/", {"host": ["localhost", "localhost"]}) is not None


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:9999", "null", "", "http://localhost:8377.evil.example",
     "file://"],
)  # fmt: skip
def test_other_origins_are_not_served(origin: str) -> None:
    headers = heads(host="localhost:8377", origin=origin)
    for method, path in (("POST", "/api/judgements"), ("GET", "/"), ("GET", "/api/night")):
        refusal = make_gate("127.0.0.1").refusal(method, path, headers)
        assert refusal is not None
        assert refusal.status == 403


def test_the_own_origin_is_served() -> None:
    headers = heads(host="localhost:8377", origin="http://localhost:8377")
    assert make_gate("127.0.0.1").refusal("POST", "/api/judgements", headers) is None


@pytest.mark.parametrize(
    ("path", "mode", "dest", "served"),
    [
        ("/", "navigate", "document", True),  # a person followed a link
        ("/", "navigate", "iframe", False),
        ("/api/night", "navigate", "document", False),
        ("/api/picture/0", "no-cors", "image", False),
        ("/static/vet.js", "no-cors", "script", False),
    ],
)
def test_what_other_sites_embed_is_not_served(
    path: str, mode: str, dest: str, served: bool
) -> None:
    headers = heads(
        host="localhost:8377", sec_fetch_site="cross-site", sec_fetch_mode=mode, sec_fetch_dest=dest
    )
    assert (make_gate("127.0.0.1").refusal("GET", path, headers) is None) is served


def test_a_token_is_made_where_others_can_reach_the_page() -> None:
    assert make_gate("127.0.0.1").token == ""
    one, other = make_gate("0.0.0.0"), make_gate("0.0.0.0")
    assert len(one.token) >= 32
    assert one.token != other.token
    assert make_gate("127.0.0.1", token="chosen-by-me").token == "chosen-by-me"


@pytest.mark.parametrize("token", ["short", "with space", "x" * 201, "semi;colon-long"])
def test_a_token_that_no_address_can_bear_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="8 to 200"):
        make_gate("127.0.0.1", token=token)


def test_with_a_token_only_its_bearers_are_served() -> None:
    gate = make_gate("0.0.0.0", token="t" * 20)
    assert gate.refusal("GET", "/", heads(host="10.0.0.7:8377")).status == 401  # type: ignore[union-attr]
    for more in (
        {"cookie": f"a=b; streaks_vet={'t' * 20}"}, {"authorization": f"Bearer {'t' * 20}"}
    ):  # fmt: skip
        assert gate.refusal("GET", "/", heads(host="10.0.0.7:8377", **more)) is None
    for more in (
        {"cookie": "streaks_vet=wrong"},
        {"authorization": "Bearer é"},
        {"cookie": "\x00="},
    ):
        assert gate.refusal("GET", "/", heads(host="10.0.0.7:8377", **more)) is not None


def test_further_names_are_served_where_they_were_given() -> None:
    gate = make_gate("0.0.0.0", token="t" * 20, names=("Vet.Observatory.org",))
    bearer = {"authorization": f"Bearer {'t' * 20}"}
    assert gate.refusal("GET", "/", heads(host="vet.observatory.org", **bearer)) is None
    assert gate.refusal("GET", "/", heads(host="evil.example", **bearer)).status == 421  # type: ignore[union-attr]


# ---- one cutout of a stack


def test_one_cutout_is_that_of_the_stack(folder: Path) -> None:
    night = read_night(folder)
    whole = night.cutouts("ztf_night_c02")
    for i, name in enumerate(whole.names):
        one = night.cutout("ztf_night_c02", name)
        assert one.names == (name,)
        np.testing.assert_array_equal(one.difference[0], whole.difference[i])
        np.testing.assert_array_equal(one.mask[0], whole.mask[i])
        assert one.science is not None
        assert whole.science is not None
        np.testing.assert_array_equal(one.science[0], whole.science[i])


def test_one_cutout_of_a_packed_stack_is_the_same(folder: Path) -> None:
    night = read_night(folder)
    whole = night.cutouts("ztf_night_c01")
    with np.load(night.folder.cutouts("ztf_night_c01")) as file:
        arrays = dict(file)
    np.savez_compressed(night.folder.cutouts("ztf_night_c01"), **arrays)
    one = night.cutout("ztf_night_c01", whole.names[2])
    np.testing.assert_array_equal(one.difference[0], whole.difference[2])


def test_a_cutout_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(ReadError, match="lacks another"):
        read_night(folder).cutout("ztf_night_c01", "another")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_stack_that_is_cut_short_is_damaged(folder: Path, share: float) -> None:
    night = read_night(folder)
    path = night.folder.cutouts("ztf_night_c01")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ReadError, match="is damaged"):
        night.cutout("ztf_night_c01", "ztf_night_c01_0003")


def test_arrays_of_another_shape_are_damage(folder: Path) -> None:
    night = read_night(folder)
    path = night.folder.cutouts("ztf_night_c01")
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "mask": arrays["mask"][:2]})
    with pytest.raises(ReadError, match="expected 4 cutouts"):
        night.cutout("ztf_night_c01", "ztf_night_c01_0003")
