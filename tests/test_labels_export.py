"""`streaks labels export`: one subject a thing, never twice, from nights, cutouts and alerts."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from astropy.io import fits

from streaks.cli import main
from streaks.config import LabelConfig
from streaks.cutouts import Cutouts
from streaks.errors import ConfigError, LedgerError, TableError
from streaks.geometry import Segment
from streaks.labelling import (
    find_things,
    model_disagreement,
    open_campaign,
    parse_band,
    parse_shares,
    select_subjects,
    workflow_of,
)
from streaks.labelling.campaign import Shown
from streaks.labelling.columns import joined_columns
from streaks.labelling.manifest import training_cells
from streaks.labelling.selection import active_score
from streaks.night_folder import NightFolder
from streaks.plotting import decode_picture, subject_pictures
from streaks.synth import make_subjects
from streaks.tables import CLASSES
from tests.made_nights import make_night
from tests.test_alerts import _record, _write

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


def spread_night(folder: Path, **options: Any) -> Path:
    """As `make_night`, at places that are neither near one another nor on one line."""
    n_frames, n_each = options.get("n_frames", 3), options.get("n_each", 4)
    each = np.tile(np.arange(n_each), n_frames)
    x, y = 200.0 + 300 * each, np.array([200.0, 900.0, 500.0, 1300.0])[each % 4]
    places = {"x": x, "y": y, "x0": x - 6, "x1": x + 6, "y0": y - 3, "y1": y + 3}
    return make_night(folder, **{**options, "more": {**places, **options.get("more", {})}})


PLAIN = ["--no-field-guide", "--quiet", "--panel-px", "128"]


def columns(**values: Any) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in values.items()}


def lines(x: list[float], y: list[float], *, half: float = 5.0, **more: Any) -> dict[str, Any]:
    """Level streaks of one image."""
    n = len(x)
    told = {
        "streak_id": [f"s{i}" for i in range(n)],
        "image": ["image"] * n,
        "x": x,
        "y": y,
        "x0": [v - half for v in x],
        "x1": [v + half for v in x],
        "y0": y,
        "y1": y,
    }
    return columns(**{**told, **more})


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(*words: Any, code: int = 0) -> None:
    assert main(["labels", "export", *map(str, words), *PLAIN]) == code


def names(folder: Path) -> set[str]:
    return {line["#streak_id"] for line in manifest(folder)}


# --- One thing -----------------------------------------------------------------------------------


def test_streaks_within_forty_px_are_one_thing_and_others_are_not() -> None:
    things = find_things(lines([100, 139, 100, 300], [100, 100, 141, 300]), 40.0)
    assert things.tolist() == [0, 0, 2, 3]


def test_neighbours_of_neighbours_are_of_the_same_thing() -> None:
    assert find_things(lines([100, 135, 170], [100, 100, 100]), 40.0).tolist() == [0, 0, 0]


def test_pieces_of_one_line_are_one_thing_however_far_apart() -> None:
    pieces = find_things(lines([100, 300, 300], [100, 100, 160], half=50.0), 40.0)
    assert pieces.tolist() == [0, 0, 2]


def test_short_streaks_far_apart_are_not_pieces_of_one_line() -> None:
    assert find_things(lines([100, 900], [100, 100], half=4.0), 40.0).tolist() == [0, 1]


def test_streaks_of_two_images_are_two_things() -> None:
    told = lines([100, 100], [100, 100], image=["one", "two"])
    assert find_things(told, 40.0).tolist() == [0, 1]


def test_a_column_of_groups_is_used_and_empty_groups_are_none() -> None:
    told = lines([0, 500, 900, 1300], [0, 700, 100, 900], group=["g", "g", "", ""])
    assert find_things(told, 40.0).tolist() == [0, 0, 2, 3]


def test_pictures_that_are_the_same_are_one_thing_under_any_name() -> None:
    told = columns(streak_id=["a", "b", "c"], pixels=["11", "22", "11"])
    assert find_things(told, 40.0).tolist() == [0, 1, 0]


def test_of_a_thing_the_surest_streak_is_shown(tmp_path: Path) -> None:
    # Streaks of a frame are 58 px apart; of eight, each with its neighbour, scores fall.
    night = make_night(tmp_path / "night", n_frames=1, n_each=4)
    run(night, "-o", tmp_path / "set", "--near-px", 60)
    assert names(tmp_path / "set") == {"ztf_night_c01_0000"}
    run(night, "-o", tmp_path / "other", "--near-px", 60, "--where", "score < 18.5")
    assert names(tmp_path / "other") == {"ztf_night_c01_0002"}


# --- Selection -----------------------------------------------------------------------------------


def chosen(told: dict[str, np.ndarray], **settings: Any) -> list[int]:
    return select_subjects(told, LabelConfig(**settings))[0].tolist()


def test_bands_of_rb_and_snr_are_alternatives() -> None:
    told = columns(rb=[0.1, 0.3, 0.5, np.nan], snr=[5.0, 50.0, 9.0, 9.0])
    assert chosen(told, rb_bands=((0.0, 0.2), (0.4, 0.6))) == [0, 2]
    assert chosen(told, snr_bands=((8.0, 10.0),)) == [2, 3]


def test_places_on_the_chip_field_and_ccd() -> None:
    told = columns(
        x=[10.0, 500.0, 500.0], y=[10.0, 10.0, 900.0], field=["700", "700", "701"], ccd=[1, 2, 2]
    )
    assert chosen(told, x_range=(100, 1000)) == [1, 2]
    assert chosen(told, y_range=(0, 100)) == [0, 1]
    assert chosen(told, fields=(701,)) == [2]
    assert chosen(told, ccds=(2,), fields=(700,)) == [1]


def test_field_comes_from_the_images_name_where_no_column_tells_it() -> None:
    name = "ztf_20180607123456_{:06d}_zr_c01_o_q2_scimrefdiffimg"
    told = columns(image=[name.format(530), name.format(531)])
    assert chosen(told, fields=(531,)) == [1]
    with pytest.raises(TableError, match="image names such as x hold no field"):
        chosen(columns(image=["x"]), fields=(1,))


def test_detections_and_the_time_they_span() -> None:
    told = columns(ndet=[1, 2, 3], delta_t=[0.0, 30.0, 45.0])
    assert chosen(told, min_detections=2) == [1, 2]
    assert chosen(told, min_minutes=30.0) == [2]  # more than, as campaigns ask
    with pytest.raises(TableError, match="have no ndet: give a night"):
        chosen(columns(x=[1.0]), min_detections=2)


def test_signs_of_the_subtraction() -> None:
    told = columns(flags=[0, 1024, 0])
    assert chosen(told) == [0, 2]
    assert chosen(told, isdiffpos="f") == [1]
    assert chosen(told, isdiffpos="any") == [0, 1, 2]


def test_a_condition_on_columns() -> None:
    told = columns(snr=[9.0, 9.0, 5.0], rb=[0.5, 0.7, 0.5], label=["ghost", "ghost", "asteroid"])
    assert chosen(told, where="snr > 8 and rb < 0.6") == [0]
    assert chosen(told, where="label == 'asteroid'") == [2]
    with pytest.raises(ConfigError, match="asks for mag; there are label, rb, snr"):
        chosen(told, where="mag < 20")


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('touch pwned')", "().__class__", "open('x')", "[x for x in y]"],
)
def test_a_condition_runs_no_code(tmp_path: Path, text: str, capsys: Any) -> None:
    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set", "--where", text, code=2)
    assert not (tmp_path / "set").exists()
    assert not Path("pwned").exists()


def test_a_mix_holds_its_shares_with_and_without_a_limit() -> None:
    told = columns(label=["asteroid"] * 10 + ["ghost"] * 30, score=np.arange(40.0), snr=np.ones(40))
    rows = chosen(told, mix={"asteroid": 0.25, "ghost": 0.75}, limit=8)
    assert [told["label"][r] for r in rows].count("asteroid") == 2
    assert len(rows) == 8
    assert rows[-1] == 39  # the highest score of its class
    assert len(chosen(told, mix={"asteroid": 0.5, "ghost": 0.5})) == 20
    # What a class lacks is not made up with another.
    assert len(chosen(told, mix={"asteroid": 0.5, "ghost": 0.5}, limit=30)) == 25


@pytest.mark.parametrize("text", ["asteroid", "asteroid=x", "asteroid=-1", "asteroid=0", "", "=1",
                                  "asteroid=1,ghost=1,asteroid=2"])  # fmt: skip
def test_a_mix_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="mix"):
        parse_shares(text)


def test_a_mix_of_an_unknown_class_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no class comet; there are asteroid"):
        parse_shares("comet=1")


def test_bands_are_read_and_refused() -> None:
    assert parse_band("0.3:0.6") == (0.3, 0.6)
    assert parse_band("8:") == (8.0, np.inf)
    for text in ("8", "9:3", "a:b", "nan:1", ""):
        with pytest.raises(ConfigError, match="expected LOW:HIGH"):
            parse_band(text)


def test_active_learning_asks_first_what_models_know_least() -> None:
    told = columns(
        p_asteroid=[0.99, 0.5, 0.8], p_ghost=[0.01, 0.5, 0.2], novelty=[0.2, 0.1, 0.9],
        disagreement=[0.7, 0.0, 0.1], score=[1.0, 2.0, 3.0],
    )  # fmt: skip
    assert chosen(told, active="entropy", limit=1) == [1]
    assert chosen(told, active="novelty", limit=1) == [2]
    assert chosen(told, active="disagreement", limit=1) == [0]
    assert active_score(told, "entropy")[1] == pytest.approx(np.log(2), abs=1e-6)


def test_disagreement_is_told_by_labels_or_probabilities_of_several_models() -> None:
    by_label = columns(label_cnn=["ghost", "ghost"], label_forest=["ghost", "skip"])
    assert model_disagreement(by_label).tolist() == [0.0, 1.0]
    by_p = columns(p_asteroid_cnn=[0.9, 0.2], p_asteroid_forest=[0.4, 0.2])
    assert model_disagreement(by_p) == pytest.approx([0.5, 0.0])
    with pytest.raises(TableError, match="does not tell how far the models differ"):
        active_score(columns(x=[1.0]), "disagreement")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workflow": "colour"}, "workflow is 'colour'; it must be one of kind, real-or-bogus"),
        ({"layout": "cube"}, "layout is 'cube'"),
        ({"active": "luck"}, "active is 'luck'; it must be one of disagreement"),
        ({"isdiffpos": "x"}, "isdiffpos is 'x'"),
        ({"gold": 0.6}, "gold is 0.6; it must be 0 to 0.5"),
        ({"gold": float("nan")}, "gold is nan"),
        ({"near_px": -1}, "near_px is -1"),
        ({"min_detections": 0}, "min_detections is 0"),
        ({"rb_bands": ((0.5, 1.5),)}, "rb band 0.5:1.5"),
        ({"mix": {"ghost": -1.0}}, "shares are numbers from 0 on"),
        ({"x_range": (5.0, 1.0)}, "range 5.0:1.0 is empty"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelConfig(**settings)


def test_options_reach_the_selection(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    options = ["--ccd", 1, "--field", 700, "--x", "250:", "--y", ":1000", "--snr", "0:1000"]
    run(night, "-o", tmp_path / "set", *options, "--rb", "0.5:1", "--label", "ghost")
    told = manifest(tmp_path / "set")
    assert told
    assert {line["#label"] for line in told} == {"ghost"}
    assert {line["#field"] for line in told} == {"700"}
    assert all(float(line["rb"]) >= 0.5 and float(line["#x"]) >= 250 for line in told)


def test_detections_of_a_night_come_from_its_tracklets(tmp_path: Path) -> None:
    from astropy import units as u
    from astropy.table import QTable

    from streaks.reporting import write_table
    from streaks.tracklets import TRACKLET_COLUMNS

    tracklet = ["t1" if i % 4 == 0 else "" for i in range(12)]
    night = spread_night(tmp_path / "night", more={"tracklet": tracklet})
    table = QTable({"tracklet": ["t1"], "n": [3], "arc": [2400.0] * u.s})
    units = {spec.name: spec.unit for spec in TRACKLET_COLUMNS}
    table["arc"] = table["arc"].to(units["arc"])
    write_table(table, NightFolder(night).tracklets)
    run(night, "-o", tmp_path / "set", "--min-detections", 2, "--min-minutes", 30)
    told = manifest(tmp_path / "set")
    assert len(told) == 3
    assert {(line["#ndet"], line["#delta_t_min"]) for line in told} == {("3", "40.0")}
    run(night, "-o", tmp_path / "none", "--min-minutes", 40, code=2)


# --- Never twice ---------------------------------------------------------------------------------


def test_no_thing_is_in_two_sets_of_a_campaign(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    campaign = tmp_path / "campaign"
    run(night, "-o", tmp_path / "one", "--limit", 5, "--campaign", campaign)
    run(night, "-o", tmp_path / "two", "--limit", 5, "--campaign", campaign)
    assert len(names(tmp_path / "one") | names(tmp_path / "two")) == 10
    run(night, "-o", tmp_path / "rest", "--campaign", campaign)
    assert len(names(tmp_path / "rest")) == 2
    run(night, "-o", tmp_path / "none", "--campaign", campaign, code=2)
    assert not (tmp_path / "none").exists()


def test_a_night_that_was_run_again_does_not_bring_its_things_again(tmp_path: Path) -> None:
    campaign = tmp_path / "campaign"
    run(spread_night(tmp_path / "night"), "-o", tmp_path / "one", "--campaign", campaign)
    # Other names, and all places a few px away.
    other = [f"again-{i}" for i in range(12)]
    x = np.array([210.0 + 300 * (i % 4) for i in range(12)])
    again = spread_night(tmp_path / "again", names=other, more={"x": x})
    run(again, "-o", tmp_path / "two", "--campaign", campaign, code=2)


def test_other_members_of_a_thing_are_not_shown_later(tmp_path: Path) -> None:
    night = make_night(tmp_path / "night", n_frames=1, n_each=4)
    campaign = tmp_path / "campaign"
    run(night, "-o", tmp_path / "one", "--near-px", 60, "--campaign", campaign)
    # With a smaller radius they are four things, and volunteers have seen them as one.
    run(night, "-o", tmp_path / "two", "--near-px", 0, "--campaign", campaign, code=2)


def test_a_replaced_set_gives_its_things_free(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    campaign = tmp_path / "campaign"
    run(night, "-o", tmp_path / "set", "--campaign", campaign)
    run(night, "-o", tmp_path / "set", "--limit", 3, "--campaign", campaign, "--overwrite")
    run(night, "-o", tmp_path / "rest", "--campaign", campaign)
    assert (len(names(tmp_path / "set")), len(names(tmp_path / "rest"))) == (3, 9)


def test_an_export_cut_off_before_its_folder_is_there_leaves_its_things_free(
    tmp_path: Path,
) -> None:
    told = lines([100.0], [100.0])
    with open_campaign(tmp_path) as campaign:
        campaign.begin("abc", tmp_path / "never", "kind", [Shown("k", "s0", (0,))], told)
        assert campaign.shown(told, 40.0).tolist() == [True]
    with open_campaign(tmp_path) as campaign:
        assert campaign.shown(told, 40.0).tolist() == [False]


def test_an_export_cut_off_after_its_folder_is_there_counts(tmp_path: Path) -> None:
    told = lines([100.0], [100.0])
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.json").write_text('{"set_id": "abc"}')
    with open_campaign(tmp_path / "campaign") as campaign:
        campaign.begin("abc", tmp_path / "set", "kind", [Shown("k", "s0", (0,))], told)
    with open_campaign(tmp_path / "campaign") as campaign:
        assert campaign.shown(told, 40.0).tolist() == [True]
        assert campaign.settle() == []


def test_kills_at_any_moment_leave_no_thing_in_two_sets_and_none_lost(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night", n_frames=6, n_each=4)
    campaign = tmp_path / "campaign"
    words = [sys.executable, "-c", "from streaks.cli import main; main()", "labels", "export"]
    for turn in range(4):
        out = tmp_path / f"set-{turn}"
        options = ["-o", str(out), "--limit", "4", "--campaign", str(campaign), *PLAIN]
        process = subprocess.Popen([*words, str(night), *options], stderr=subprocess.DEVNULL)
        # From the first file of the set on; later in each turn.
        until = time.monotonic() + 60
        while process.poll() is None and not list(tmp_path.glob(".set-*")):
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(0.01 * turn)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run(night, "-o", tmp_path / "set-rest", "--campaign", campaign)
    found = [line["#streak_id"] for folder in tmp_path.glob("set-*") for line in manifest(folder)]
    assert len(found) == len(set(found)) == 24


def test_what_a_killed_export_left_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night", n_frames=40)
    words = [sys.executable, "-c", "from streaks.cli import main; main()", "labels", "export"]
    process = subprocess.Popen([*words, str(night), "-o", str(tmp_path / "set"), *PLAIN])
    while process.poll() is None and not list(tmp_path.glob(".set-*/*.png")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(tmp_path.glob(".set-*.part"))) == 1
    (tmp_path / ".set-mine.part").mkdir()
    (tmp_path / ".set-mine.part" / "thesis.tex").write_text("years of work")
    run(night, "-o", tmp_path / "set")
    assert len(manifest(tmp_path / "set")) == 160
    assert [path.name for path in tmp_path.glob(".set-*")] == [".set-mine.part"]
    assert not [name for name in os.listdir(tmp_path / "set") if name.startswith(".")]


def test_two_exports_of_a_campaign_do_not_run_at_once(tmp_path: Path) -> None:
    with (
        open_campaign(tmp_path),
        pytest.raises(LedgerError, match="another export is at work"),
        open_campaign(tmp_path),
    ):
        pass


def test_a_foreign_database_is_no_campaign(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "campaign.sqlite")
    database.execute("CREATE TABLE thesis (chapter TEXT)")
    database.commit()
    database.close()
    with pytest.raises(LedgerError, match="is no ledger of a campaign"), open_campaign(tmp_path):
        pass


def test_a_page_of_the_ledger_that_is_damaged_is_named(tmp_path: Path) -> None:
    with open_campaign(tmp_path) as campaign:
        one = {"image": np.array(["a"]), "streak_id": np.array(["a_0"])}
        campaign.begin("set", tmp_path / "set", "kind", [Shown("key", "a_0", (0,))], one)
        campaign.finish("set")
    path = tmp_path / "campaign.sqlite"
    database = sqlite3.connect(path)
    page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'places'").fetchone()
    size = database.execute("PRAGMA page_size").fetchone()[0]
    database.close()
    with path.open("r+b") as file:
        file.seek((page[0] - 1) * size)
        file.write(b"\xff" * 64)
    with (
        pytest.raises(LedgerError, match=r"cannot be used as a campaign's ledger \(.*malformed"),
        open_campaign(tmp_path) as campaign,
    ):
        campaign.streaks()


def test_an_emptied_ledger_is_no_new_campaign(tmp_path: Path) -> None:
    """Else all that was shown would be shown again."""
    with open_campaign(tmp_path):
        pass
    path = tmp_path / "campaign.sqlite"
    assert path.stat().st_size > 0
    path.write_bytes(b"")
    with (
        pytest.raises(LedgerError, match=r"cannot be used .*it is empty"),
        open_campaign(tmp_path),
    ):
        pass
    assert path.stat().st_size == 0


def test_a_campaign_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "campaign.sqlite.new").write_bytes(b"half of a page")
    with open_campaign(tmp_path) as campaign:
        assert campaign.streaks() == frozenset()
    assert not (tmp_path / "campaign.sqlite.new").exists()


# --- Sources -------------------------------------------------------------------------------------


def test_several_nights_are_one_set(tmp_path: Path) -> None:
    one = spread_night(tmp_path / "one", n_frames=1)
    images = [f"x{i}" for i in range(4)]
    moved = {name: np.array([1700.0, 2600, 2000, 2900]) for name in ("y", "y0", "y1")}
    two = spread_night(tmp_path / "two", n_frames=1, names=images, more=moved)
    run(one, two, "-o", tmp_path / "set")
    assert len(manifest(tmp_path / "set")) == 8


def test_cutouts_of_a_folder_are_classified_and_marked_in_the_middle(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    made = rng.normal(0, 10, (3, 64, 64)).astype(np.float32)
    np.savez(tmp_path / "stack.npz", difference=made, names=np.array(["a", "b", "b copy"]))
    run(tmp_path / "stack.npz", "-o", tmp_path / "set", "--model", "forest")
    told = manifest(tmp_path / "set")
    assert len(told) == 3
    assert all(line["#label"] != "unknown" and line["#p_asteroid"] != "-999" for line in told)
    picture = decode_picture((tmp_path / "set" / told[0]["filename"]).read_bytes()).astype(int)
    # Coloured only by ticks, about the middle; the corner of the letters is grey.
    coloured = np.argwhere(np.ptp(picture, axis=2) > 40)
    assert len(coloured) > 0
    assert np.abs(coloured - 64).max() < 32


def test_a_picture_under_two_names_is_one_subject_also_in_a_later_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(0, 10, (64, 64)).astype(np.float32)
    for name in ("a.fits", "b.fits"):
        fits.writeto(tmp_path / name, image)
    options = ["--model", "none", "--campaign", tmp_path / "campaign"]
    run(tmp_path / "a.fits", tmp_path / "b.fits", "-o", tmp_path / "set", *options)
    assert len(manifest(tmp_path / "set")) == 1
    fits.writeto(tmp_path / "c.fits", image)
    run(tmp_path / "c.fits", "-o", tmp_path / "two", *options, code=2)


def test_a_files_name_that_is_no_utf8_goes_out_as_tables_write_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path = os.path.join(os.fsencode(tmp_path), b"a\xff.fits")
    with open(path, "wb") as file:
        fits.PrimaryHDU(rng.normal(0, 10, (64, 64)).astype(np.float32)).writeto(file)
    options = ["--model", "none", "--campaign", tmp_path / "campaign"]
    run(Path(os.fsdecode(path)), "-o", tmp_path / "set", *options)
    assert names(tmp_path / "set") == {r"a\udcff.fits"}
    run(Path(os.fsdecode(path)), "-o", tmp_path / "two", *options, code=2)


def test_alerts_bring_their_own_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stamps = rng.normal(0, 10, (3, 63, 63)).astype(np.float32)
    records = [
        _record(1, stamps[0], ssdistnr=0.0, ssmagnr=18.2, ssnamenr="8467"),
        _record(2, stamps[1], isdiffpos="f"),
        _record(3, stamps[2]),
    ]
    (tmp_path / "alerts").mkdir()
    _write(tmp_path / "alerts" / "a.avro", *records)
    run(tmp_path / "alerts", "-o", tmp_path / "set", "--model", "none", "--isdiffpos", "any")
    told = {line["#streak_id"]: line for line in manifest(tmp_path / "set")}
    assert sorted(told) == ["ZTF18abc_1", "ZTF18abc_2", "ZTF18abc_3"]
    first = told["ZTF18abc_1"]
    assert (first["ssdistnr"], first["ssmagnr"], first["ssnamenr"]) == ("0.0", "18.20", "8467")
    assert told["ZTF18abc_3"]["ssnamenr"] == "null"
    assert told["ZTF18abc_2"]["#isdiffpos"] == "f"
    assert first["#ra"] == "87.4000000"
    run(tmp_path / "alerts", "-o", tmp_path / "positive", "--model", "none")
    assert len(manifest(tmp_path / "positive")) == 2


def test_alerts_tell_detections_place_and_exposure(tmp_path: Path) -> None:
    numbers = ("pid", "rcid", "field", "xpos", "ypos", "ndethist", "jdstarthist", "jdendhist", "rb")
    schema: dict[str, Any] = json.loads(json.dumps(_schema()))
    schema["fields"][2]["type"][1]["fields"] += [
        {"name": name, "type": ["null", "double"]} for name in numbers
    ]
    rng = np.random.default_rng(4)
    told = {"pid": 5.0, "rcid": 9.0, "field": 700.0, "ndethist": 4.0, "rb": 0.7,
            "jdstarthist": 2458158.5, "jdendhist": 2458158.6}  # fmt: skip
    records = [
        _record(k, rng.normal(0, 10, (63, 63)).astype(np.float32), **told, xpos=x, ypos=500.0)
        for k, x in ((1, 100.0), (2, 120.0), (3, 900.0))
    ]
    with (tmp_path / "a.avro").open("wb") as stream:
        fastavro.writer(stream, schema, records)
    options = ["--model", "none", "--min-detections", 2, "--min-minutes", 30, "--rb", "0.6:0.8"]
    run(tmp_path / "a.avro", "-o", tmp_path / "set", *options)
    lines_ = manifest(tmp_path / "set")
    # The first two lie 20 px apart in one exposure.
    assert len(lines_) == 2
    assert {(one["#field"], one["#ccd"], one["#ndet"]) for one in lines_} == {("700", "3", "4")}
    assert lines_[0]["#delta_t_min"] == "144.0"


def _schema() -> dict[str, Any]:
    from tests.test_alerts import SCHEMA

    return SCHEMA


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(2)
    fits.writeto(tmp_path / "a.fits", rng.normal(0, 10, (64, 64)).astype(np.float32))
    (tmp_path / "b.fits").write_bytes(b"no image")
    run(tmp_path / "a.fits", tmp_path / "b.fits", "-o", tmp_path / "set", "--model", "none", code=1)
    assert "b.fits" in capsys.readouterr().err
    assert len(manifest(tmp_path / "set")) == 1


def test_disagreement_is_made_from_the_members_of_a_model(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night", n_frames=1)
    run(night, "-o", tmp_path / "set", "--active", "disagreement", "--limit", 2)
    assert len(manifest(tmp_path / "set")) == 2
    run(night, "-o", tmp_path / "no", "--active", "disagreement", "--model", "forest", code=2)


def test_tables_under_one_another_keep_what_each_has() -> None:
    both = joined_columns([columns(a=[1.0], b=["x"]), columns(a=[2.0], c=[3.0])])
    assert both["a"].tolist() == [1.0, 2.0]
    assert both["b"].tolist() == ["x", ""]
    assert np.isnan(both["c"][0])


# --- Pictures ------------------------------------------------------------------------------------


def one_cutout(size: int = 64, beside: bool = True) -> Cutouts:
    flat = np.zeros((1, size, size), np.float32)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, flat.shape).astype(np.float32)
    other = noise if beside else None
    return Cutouts(noise, flat.astype(bool), ("x",), other, other)


def coloured(png: bytes) -> np.ndarray:
    """Places (x, y up) of pixels that are no grey."""
    picture = decode_picture(png).astype(int)
    rows, cols = np.nonzero(np.ptp(picture, axis=2) > 40)
    return np.column_stack([cols, picture.shape[0] - 1 - rows])


def test_frames_are_one_picture_each_and_only_the_difference_is_marked() -> None:
    ends = Segment(22.0, 32.0, 42.0, 32.0)
    made = subject_pictures(one_cutout(), 256, ends, layout="frames")
    assert list(made) == ["difference", "science", "reference"]
    assert len(coloured(made["difference"])) > 0
    assert len(coloured(made["science"])) == len(coloured(made["reference"])) == 0
    assert {decode_picture(png).shape for png in made.values()} == {(256, 256, 3)}


def test_ticks_point_at_both_ends_along_the_line() -> None:
    # 4 screen px a pixel: ends at 22 and 42 lie at 89.5 and 169.5, and ticks 20 px beyond.
    ends = Segment(22.0, 40.0, 42.0, 40.0)
    places = coloured(subject_pictures(one_cutout(), 256, ends, layout="frames")["difference"])
    left, right = places[places[:, 0] < 128], places[places[:, 0] > 128]
    assert left[:, 0].max() == pytest.approx(69.5, abs=2.5)
    assert right[:, 0].min() == pytest.approx(189.5, abs=2.5)
    assert np.abs(places[:, 1] - 161.5).max() < 3


def test_a_line_that_leaves_the_picture_is_marked_beside_its_middle() -> None:
    ends = Segment(-300.0, 32.0, 400.0, 32.0)
    places = coloured(subject_pictures(one_cutout(), 256, ends, layout="frames")["difference"])
    above, below = places[places[:, 1] > 129.5], places[places[:, 1] < 129.5]
    assert len(above) > 0
    assert len(below) > 0
    assert np.abs(places[:, 0] - 129.5).max() < 4


def test_subjects_without_science_in_a_set_of_frames_get_a_picture_of_nothing(
    tmp_path: Path,
) -> None:
    night = spread_night(tmp_path / "night", n_frames=1, n_each=1)
    rng = np.random.default_rng(2)
    fits.writeto(tmp_path / "a.fits", rng.normal(0, 10, (32, 32)).astype(np.float32))
    run(night, tmp_path / "a.fits", "-o", tmp_path / "set", "--layout", "frames", "--model", "none")
    told = manifest(tmp_path / "set")
    assert list(told[0])[:3] == ["difference", "science", "reference"]
    for line in told:
        assert all(cell.strip() for cell in line.values())
        for name in ("difference", "science", "reference"):
            assert (tmp_path / "set" / line[name]).read_bytes().startswith(b"\x89PNG")


# --- Known truth ---------------------------------------------------------------------------------


def test_subjects_of_known_truth_come_at_the_stated_share_with_feedback(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set", "--gold", 0.25)
    told = manifest(tmp_path / "set")
    gold = [line for line in told if line["#training_subject"] == "true"]
    assert (len(told), len(gold)) == (16, 4)
    question = json.loads((tmp_path / "set" / "question.json").read_text())
    for line in gold:
        right = question["answers"][int(line["#feedback_1_answer"])]
        assert right["label"] == line["#truth"]
        assert right["text"] in line["#feedback_1_failureMessage"]
    for line in told:
        assert all(cell.strip() for cell in line.values())
        if line not in gold:
            assert line["#feedback_1_id"] == line["#feedback_1_answer"] == "none"
            assert line["#training_subject"] == "false"


def test_nothing_that_volunteers_see_tells_known_subjects_from_others(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set", "--gold", 0.4)
    told = manifest(tmp_path / "set")
    gold = {line["#truth"] != "unknown" for line in told[: len(told) // 2]}
    assert gold == {True, False}  # in between, not at the end
    for heading in ("magpsf", "rb", "S/N"):
        others = {line[heading] for line in told if line["#truth"] == "unknown"}
        assert {line[heading] for line in told} == others
    shapes = {decode_picture((tmp_path / "set" / line["filename"]).read_bytes()).shape
              for line in told}  # fmt: skip
    assert len(shapes) == 1
    assert all(len(line["filename"]) == 24 for line in told)


def test_the_same_seed_gives_the_same_set_and_a_campaigns_next_set_other_gold(
    tmp_path: Path,
) -> None:
    night = spread_night(tmp_path / "night")
    for name, campaign in (("a", "c1"), ("b", "c2")):
        options = ["--gold", 0.25, "--limit", 4, "--campaign", tmp_path / campaign]
        run(night, "-o", tmp_path / name, *options)
    one, two = ((tmp_path / name / "manifest.csv").read_bytes() for name in "ab")
    assert one == two
    run(night, "-o", tmp_path / "next", "--gold", 0.25, "--limit", 4, "--campaign", tmp_path / "c1")
    gold = [
        {line["#streaks_key"] for line in manifest(tmp_path / name) if line["#truth"] != "unknown"}
        for name in ("a", "next")
    ]
    assert gold[0]
    assert gold[1]
    assert gold[0].isdisjoint(gold[1])


def test_real_or_bogus_has_its_own_answers_and_rule(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set", "--workflow", "real-or-bogus", "--gold", 0.3)
    question = json.loads((tmp_path / "set" / "question.json").read_text())
    assert [answer["label"] for answer in question["answers"]] == ["real", "bogus", "skip"]
    gold = [line for line in manifest(tmp_path / "set") if line["#truth"] != "unknown"]
    assert {line["#feedback_1_id"] for line in gold} == {"2"}
    for line in gold:
        is_real = line["#truth"] in ("asteroid", "satellite")
        assert line["#feedback_1_answer"] == ("0" if is_real else "1")


def test_a_campaign_without_skip(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set", "--no-skip")
    question = json.loads((tmp_path / "set" / "question.json").read_text())
    assert [a["label"] for a in question["answers"]] == [*CLASSES, "unresolved"]
    run(night, "-o", tmp_path / "no", "--no-skip", "--gold-mix", "skip=1", code=2)


def test_each_class_has_the_feedback_of_its_own_answer() -> None:
    workflow = workflow_of("kind")
    for label in (*CLASSES, "unresolved", "skip"):
        cells = training_cells(workflow, label)
        assert workflow.answers[int(cells["#feedback_1_answer"])].label == label
    with pytest.raises(ConfigError, match="no workflow 'colour'"):
        workflow_of("colour")


def test_the_builder_gets_tasks_rules_and_retirement(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night", n_frames=1)
    run(night, "-o", tmp_path / "set")
    told = json.loads((tmp_path / "set" / "workflow.json").read_text())
    task = told["tasks"]["T0"]
    question = json.loads((tmp_path / "set" / "question.json").read_text())
    assert [a["label"] for a in task["answers"]] == [a["text"] for a in question["answers"]]
    (rule,) = task["feedback"]["rules"]
    assert (rule["id"], rule["strategy"]) == ("1", "singleAnswerQuestion")
    assert told["retirement"] == {"criteria": "classification_count", "options": {"count": 10}}
    page = (tmp_path / "set" / "project_builder.md").read_text()
    assert all(a["text"] in page for a in question["answers"])


def test_the_field_guide_shows_each_class(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night", n_frames=1, n_each=1)
    words = ["labels", "export", str(night), "-o", str(tmp_path / "set"), "--quiet"]
    assert main(words) == 0
    guide = (tmp_path / "set" / "field_guide.md").read_text()
    for name in (*CLASSES, "skip"):
        assert f"(field_guide/{name}.png)" in guide
        picture = tmp_path / "set" / "field_guide" / f"{name}.png"
        assert picture.stat().st_size < 1_000_000
        assert decode_picture(picture.read_bytes()).shape[1] > 4 * 256


def test_science_of_known_subjects_is_the_difference_over_its_stars() -> None:
    cutouts, truth = make_subjects(6, seed=3, mix={"asteroid": 1.0}, size_px=64)
    assert cutouts.science is not None
    assert cutouts.reference is not None
    assert list(truth["label"]) == ["asteroid"] * 6
    again, _ = make_subjects(6, seed=3, mix={"asteroid": 1.0}, size_px=64, workers=2)
    np.testing.assert_array_equal(cutouts.difference, again.difference)
    # Same noise in both: what differs are the stars, which are smooth.
    for i in range(6):
        good = ~cutouts.mask[i]
        a, b = cutouts.difference[i][good], cutouts.science[i][good]
        low = np.abs(cutouts.reference[i][good]) < 40
        assert np.corrcoef(a[low], b[low])[0, 1] > 0.5


# --- Hostile input, and what is there already ----------------------------------------------------


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    hostile = ["=HYPERLINK(1)", "@SUM(1)", "../../etc/passwd", "a,b\n\"c\"", "\x1b[31m", "＋1",
               "<script>", "-2", "x" * 5000, "\u202egnp.exe", "ok", "+1"]  # fmt: skip
    night = spread_night(tmp_path / "night", names=[f"s{i}" for i in range(12)],
                       more={"ssnamenr": hostile})  # fmt: skip
    run(night, "-o", tmp_path / "set")
    before = sorted(path.name for path in tmp_path.iterdir())
    told = manifest(tmp_path / "set")
    assert len(told) == 12
    for line in told:
        text = line["ssnamenr"]
        assert text.strip()
        assert not text.startswith(("=", "+", "-", "@", "\uff0b"))
        assert all(letter.isprintable() for letter in text)
        assert len(text) <= 301
    assert before == ["night", "set"]


def test_names_never_lead_out_of_the_folder(tmp_path: Path) -> None:
    bad = [
        "../../x",
        "/etc/passwd",
        "a\\b",
        "a:b",
        "..",
        "con",
        "a,b",
        "x/y",
        "-rf",
        ".h",
        "~",
        "%",
    ]
    night = spread_night(tmp_path / "night", names=bad)
    run(night, "-o", tmp_path / "deep" / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "night"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["set"]
    for name in os.listdir(tmp_path / "deep" / "set"):
        assert not set(name) & set("/\\:,")


def test_a_foreign_file_in_a_set_is_not_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set")
    (tmp_path / "set" / "notes.txt").write_text("mine")
    run(night, "-o", tmp_path / "set", "--overwrite", code=2)
    assert "notes.txt, which no export wrote" in capsys.readouterr().err
    assert (tmp_path / "set" / "notes.txt").read_text() == "mine"


def test_a_set_that_was_uploaded_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set")
    (tmp_path / "set" / "upload.sqlite").write_bytes(b"")
    run(night, "-o", tmp_path / "set", "--overwrite", code=2)
    assert "were uploaded" in capsys.readouterr().err


def test_a_night_whose_cutouts_are_gone_tells_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = spread_night(tmp_path / "night")
    NightFolder(night).cutouts("ztf_night_c02").unlink()
    words = ["labels", "export", str(night), "-o", str(tmp_path / "set"), "--no-field-guide"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["subjects"], told["left_out"]) == (8, {"no cutout": 4})


def test_the_answer_in_words_names_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = spread_night(tmp_path / "night")
    words = ["labels", "export", str(night), "-o", str(tmp_path / "set"), "--no-field-guide"]
    assert main([*words, "--limit", "5"]) == 0
    told = capsys.readouterr().out
    assert "5 subjects in" in told
    assert "left out: 7 beyond the limit" in told
    assert "README.md" in told


@pytest.mark.parametrize("workflow", ["kind", "real-or-bogus"])
def test_answers_to_an_exported_set_come_back_to_their_streaks(
    tmp_path: Path, workflow: str
) -> None:
    from streaks.labelling import read_answers

    night = spread_night(tmp_path / "night")
    run(night, "-o", tmp_path / "set", "--gold", 0.4, "--workflow", workflow)
    question = json.loads((tmp_path / "set" / "question.json").read_text())
    told = manifest(tmp_path / "set")
    with (tmp_path / "export.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["user_name", "annotations", "subject_data", "subject_ids"])
        for number, line in enumerate(told, start=1):
            # Whoever is shown a subject of known truth is right; of the others all say the third.
            right = line["#feedback_1_answer"]
            answer = question["answers"][2 if right == "none" else int(right)]["text"]
            given = [{"task": "T0", "task_label": question["question"], "value": answer}]
            table.writerow(["someone", json.dumps(given), json.dumps({str(number): line}), number])
    answers = read_answers(tmp_path / "export.csv", question=workflow)
    assert dict(answers.not_understood) == {}
    assert answers.names == tuple(line["#streak_id"] for line in told)
    labels = [answer["label"] for answer in question["answers"]]
    assert len(answers.gold) == 8
    for place, truth in answers.gold.items():
        right = labels[int(told[place]["#feedback_1_answer"])]
        assert answers.outputs[truth] == right
        assert answers.outputs[answers.answer[list(answers.subject).index(place)]] == right


def test_any_number_of_workers_makes_the_same_set(tmp_path: Path) -> None:
    night = spread_night(tmp_path / "night")
    for n in (1, 3):
        run(night, "-o", tmp_path / f"set-{n}", "--gold", 0.2, "--workers", n)
    one, three = (tmp_path / f"set-{n}" for n in (1, 3))
    assert (one / "manifest.csv").read_bytes() == (three / "manifest.csv").read_bytes()
    for line in manifest(one):
        name = line["filename"]
        assert (one / name).read_bytes() == (three / name).read_bytes()
    run(night, "-o", tmp_path / "none", "--workers", 0, code=2)


def test_an_alert_and_a_nights_streak_at_one_place_are_one_thing(tmp_path: Path) -> None:
    image = "ztf_20180607123456_000530_zr_c09_o_q2_scimrefdiffimg"
    schema: dict[str, Any] = json.loads(json.dumps(_schema()))
    schema["fields"][2]["type"][1]["fields"] += [
        {"name": "xpos", "type": "double"},
        {"name": "ypos", "type": "double"},
        {"name": "pdiffimfilename", "type": "string"},
    ]
    stamp = np.random.default_rng(4).normal(0, 10, (63, 63)).astype(np.float32)
    # Of the first streak of the night, and of nothing.
    told = [
        _record(k, stamp + k, xpos=x, ypos=201.0, pdiffimfilename=f"/ztf/{image}.fits.fz")
        for k, x in ((1, 201.0), (2, 2500.0))
    ]
    with (tmp_path / "a.avro").open("wb") as stream:
        fastavro.writer(stream, schema, told)
    night = spread_night(tmp_path / "night", n_frames=1, more={"image": [image] * 4})
    cutouts = NightFolder(night).cutouts("ztf_night_c01")
    cutouts.rename(NightFolder(night).cutouts(image))
    run(night, tmp_path / "a.avro", "-o", tmp_path / "set", "--model", "none")
    assert len(manifest(tmp_path / "set")) == 5


@pytest.mark.parametrize("command", ["export", "upload"])
def test_the_documentation_names_every_option(command: str) -> None:
    import typer

    from streaks.cli.labels import app

    page = Path(__file__).resolve().parents[1] / "docs" / "labels.md"
    if not page.exists():
        pytest.skip("the documentation is not beside these tests")
    text = page.read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    options = [
        max(option.opts, key=len)
        for option in group.commands[command].params  # type: ignore[attr-defined]
        if option.param_type_name == "option" and option.name != "help"
    ]
    assert len(options) > 8
    missing = [option for option in options if not re.search(rf"[` (]{option}\b", text)]
    assert missing == []
