"""Whose a folder is: marks, older nights, parts, watches, and what is never a frame."""

from __future__ import annotations

import os
import shutil
import sqlite3
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streaks.errors import ReadError
from streaks.night.watching import arriving_frames
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import open_ledger
from streaks.night_folder.lock import held_folder
from streaks.readers import NIGHT_MARK, NIGHT_PLACES, find_frames, read_table
from tests.test_night_hostile import BOTH, night, streaks_of, write_frame


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with frames `in`, their finished night `out`, and the same in two parts, `parts`."""
    base = tmp_path_factory.mktemp("made")
    for seed in (1, 2):
        write_frame(base / "in" / f"frame{seed}.fits", seed)
    assert night(base / "in", base / "out") == 0
    for part in (1, 2):
        assert night(base / "in", base / "parts", "--part", f"{part}/2") == 0
    return base


@pytest.fixture
def done(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "out", tmp_path / "night")
    return tmp_path / "night"


@pytest.fixture
def parts(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "parts", tmp_path / "night")
    return tmp_path / "night"


def merge(out: Path) -> int:
    from streaks.cli import main

    return main(["night", "-o", str(out), "--merge", "--quiet"])


def done_again(out: Path) -> int:
    """Frames that the last run did."""
    log = (out / "log.jsonl").read_text().splitlines()
    last = max(i for i, line in enumerate(log) if '"event": "start"' in line)
    return sum('"event": "frame"' in line for line in log[last:])


# The mark


def test_a_night_says_that_it_is_one(done: Path) -> None:
    assert "night of Streaks" in (done / NIGHT_MARK).read_text()


def test_places_are_those_of_the_layout(tmp_path: Path) -> None:
    folder = NightFolder(tmp_path, streak_masks=True)
    assert {path.parent for path in folder.outputs("x")} == {tmp_path / n for n in NIGHT_PLACES}


@pytest.mark.parametrize("lost", [(), ("ledger.sqlite",), ("settings.json",)])
def test_an_older_night_without_a_mark_is_known_and_marked(
    made: Path, done: Path, lost: tuple[str, ...]
) -> None:
    for name in (NIGHT_MARK, *lost):
        (done / name).unlink()
    assert night(made / "in", done) == 0
    assert (done / NIGHT_MARK).is_file()
    assert done_again(done) == 0


def test_a_mark_that_is_no_file_is_none(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "foreign"
    (out / NIGHT_MARK).mkdir(parents=True)
    (out / "report.html").write_text("mine")
    assert night(made / "in", out, "--restart") == 2
    assert (out / "report.html").read_text() == "mine"


@pytest.mark.parametrize("name", ["log.jsonl", "metrics.prom", "notified.txt", "tracklets.parquet",
                                  "ades_candidates.psv", "ledger.sqlite"])  # fmt: skip
def test_files_that_a_night_adds_to_are_foreign_too(
    made: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / name).write_text("mine")
    assert night(made / "in", tmp_path / "foreign", "--restart") == 2
    assert [path.name for path in (tmp_path / "foreign").iterdir()] == [name]
    assert (tmp_path / "foreign" / name).read_text() == "mine"
    said = capsys.readouterr().err
    assert name in said
    assert "choose another folder" in said


def test_a_foreign_database_of_the_ledgers_name_stays(made: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    path = tmp_path / "foreign" / "ledger.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE accounts (name TEXT)")
    before = path.read_bytes()
    assert night(made / "in", path.parent, "--restart") == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", " "])
def test_no_folder_has_an_empty_name(
    made: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((), ("--watch",), ("--part", "1/2")):
        assert night(made / "in", name, *words) == 2
        assert "empty name" in capsys.readouterr().err


# What lies in the night's own places


@pytest.mark.parametrize("name", ["cutouts", "parts", "overviews", "masks"])
def test_a_file_in_place_of_a_folder_is_put_aside(made: Path, done: Path, name: str) -> None:
    shutil.rmtree(done / name, ignore_errors=True)
    (done / name).write_text("mine")
    assert night(made / "in", done) == 0
    (kept,) = done.glob(f"{name}-aside-*")
    assert kept.read_text() == "mine"
    assert streaks_of(done) == BOTH


@pytest.mark.parametrize("name", ["log.jsonl", "metrics.prom", ".lock", "ledger.sqlite",
                                  "tracklets.parquet", "ades_candidates.psv"])  # fmt: skip
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_folder_or_pipe_in_place_of_a_file_is_put_aside(
    made: Path, done: Path, name: str, kind: str
) -> None:
    (done / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(done / name)
    else:
        (done / name).mkdir()
        (done / name / "mine").write_text("mine")
    assert night(made / "in", done) == 0
    (kept,) = done.glob(f"{Path(name).stem}-aside-*")
    assert kind == "pipe" or (kept / "mine").read_text() == "mine"
    assert streaks_of(done) == BOTH


def test_the_lock_may_be_a_link_and_harms_nothing(made: Path, done: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (done / ".lock").unlink()
    (done / ".lock").symlink_to(tmp_path / "mine")
    assert night(made / "in", done) == 0
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_pipe_in_place_of_a_frames_table_is_done_again(made: Path, done: Path) -> None:
    (done / "parts" / "frame1.parquet").unlink()
    os.mkfifo(done / "parts" / "frame1.parquet")
    assert night(made / "in", done) == 0
    assert streaks_of(done) == BOTH


def test_the_table_of_another_frame_is_made_again(made: Path, done: Path) -> None:
    shutil.copyfile(done / "parts" / "frame2.parquet", done / "parts" / "frame1.parquet")
    assert night(made / "in", done) == 0
    assert streaks_of(done) == BOTH
    assert done_again(done) == 1


def test_a_table_of_another_kind_is_made_again(made: Path, done: Path) -> None:
    shutil.copyfile(done / "frames.parquet", done / "parts" / "frame1.parquet")
    assert night(made / "in", done) == 0
    assert streaks_of(done) == BOTH


def test_a_table_of_other_units_is_made_again(made: Path, done: Path) -> None:
    """The second of two: the first one's are known by then."""
    path = done / "parts" / "frame2.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("x0")
    field = table.schema.field(at)
    (unit,) = (key for key, value in field.metadata.items() if value == b"pix")
    other = field.with_metadata({**field.metadata, unit: b"arcsec"})
    pq.write_table(table.cast(table.schema.set(at, other)), path)
    assert pq.read_schema(path).field("x0").metadata[unit] == b"arcsec"
    assert night(made / "in", done) == 0
    assert done_again(done) == 1
    assert streaks_of(done) == BOTH


def test_a_ledger_with_a_foreign_trigger_is_put_aside(made: Path, done: Path) -> None:
    with sqlite3.connect(done / "ledger.sqlite") as database:
        database.execute("CREATE TRIGGER t AFTER INSERT ON frames BEGIN DELETE FROM frames; END")
    assert night(made / "in", done) == 0
    assert len(list(done.glob("ledger-damaged-*.sqlite"))) == 1
    assert done_again(done) == 0


def test_a_row_that_names_a_file_elsewhere_deletes_nothing(
    made: Path, done: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.parquet").write_text("mine")
    with sqlite3.connect(done / "ledger.sqlite") as database:
        database.execute("UPDATE frames SET image = '../../mine' WHERE image = 'frame1'")
    assert night(made / "in", done, "--restart") == 0
    assert (tmp_path / "mine.parquet").read_text() == "mine"


def test_damaged_rows_are_named(made: Path, done: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(done / "ledger.sqlite") as database:
        database.execute("UPDATE frames SET stages = 'no JSON {' WHERE image = 'frame1'")
    assert night(made / "in", done) == 0
    assert "1 rows of" in caplog.text
    assert "frame1" in caplog.text
    assert done_again(done) == 0


def test_a_name_that_is_no_utf8_keeps_its_entry(tmp_path: Path) -> None:
    """The same frame under a second name is another frame, not the first one moved."""
    write_frame(tmp_path / "in" / "frame.fits", 1)
    odd = os.fsencode(tmp_path / "in") + b"/odd\xff.fits"
    shutil.copyfile(os.fsencode(tmp_path / "in" / "frame.fits"), odd)
    for again in (2, 0):
        assert night(tmp_path / "in", tmp_path / "out") == 0
        assert len(read_table(tmp_path / "out" / "frames.parquet")) == 2
        assert done_again(tmp_path / "out") == again


# Parts


def test_parts_below_the_input_folder_are_no_frames(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_frame(tmp_path / f"frame{seed}.fits", seed)
    for _ in range(2):
        for part in ("1/2", "2/2"):
            assert night(tmp_path, tmp_path, "--streak-masks", "--part", part) == 0
    assert merge(tmp_path) == 0
    assert streaks_of(tmp_path) == BOTH
    assert len(read_table(tmp_path / "frames.parquet")) == 2
    assert len(find_frames(tmp_path)) == 2


def test_a_foreign_folder_of_a_parts_name_is_not_written_in(made: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "part-1-of-2" / "cutouts" / "mine.npz"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert night(made / "in", tmp_path / "out", "--part", "1/2", "--restart") == 2
    assert [path.name for path in mine.parent.parent.iterdir()] == ["cutouts"]


def test_a_merge_writes_over_nothing_foreign(parts: Path) -> None:
    (parts / "streaks.parquet").write_text("mine")
    assert merge(parts) == 2
    assert (parts / "streaks.parquet").read_text() == "mine"


@pytest.mark.parametrize("name", ["part-1-of-999999", "part-1-of-99999999999", "part-x-of-2"])
def test_a_foreign_folder_stops_no_merge(parts: Path, name: str) -> None:
    (parts / name).mkdir()
    (parts / name / "mine").write_text("mine")
    assert merge(parts) == 0
    assert streaks_of(parts) == BOTH


@pytest.mark.parametrize("text", ["[1, 2]", "null", "{", "", "[" * 10_000])
def test_settings_of_another_kind_stop_no_merge(parts: Path, text: str) -> None:
    (parts / "part-1-of-2" / "settings.json").write_text(text)
    assert merge(parts) == 0
    assert streaks_of(parts) == BOTH


def test_a_damaged_part_is_named_each_time_and_the_rest_merged(
    made: Path, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (parts / "part-1-of-2" / "ledger.sqlite").write_bytes(b"no database" * 100)
    for _ in range(2):
        assert merge(parts) == 1
        assert "its ledger is damaged; do this part again" in capsys.readouterr().err
        assert streaks_of(parts) == ["frame2"]
    assert night(made / "in", parts, "--part", "1/2") == 0
    assert merge(parts) == 0
    assert streaks_of(parts) == BOTH


def test_a_damaged_row_of_a_part_is_named_each_time(
    made: Path, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(parts / "part-1-of-2" / "ledger.sqlite") as database:
        database.execute("UPDATE frames SET about = 'no JSON {'")
    for _ in range(2):
        assert merge(parts) == 1
        assert "rows of its ledger are damaged" in capsys.readouterr().err
        assert streaks_of(parts) == ["frame2"]
    assert night(made / "in", parts, "--part", "1/2") == 0
    assert merge(parts) == 0


def test_a_part_without_a_table_is_named(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (parts / "part-1-of-2" / "parts" / "frame1.parquet").write_bytes(b"PAR1")
    assert merge(parts) == 1
    assert "damaged" in capsys.readouterr().err
    assert streaks_of(parts) == ["frame2"]


# What is a frame


def test_a_watch_leaves_out_what_it_writes(tmp_path: Path) -> None:
    write_frame(tmp_path / "in" / "frame1.fits", 1)
    write_frame(tmp_path / "in" / "out" / "masks" / "frame1.fits", 2)
    looks = arriving_frames(
        [tmp_path / "in"], leave_out=tmp_path / "in" / "out", poll_s=0.0, sleep=lambda _: None
    )
    (frames,) = islice(looks, 1)
    assert [files.name for files in frames] == ["frame1"]


def test_the_folder_of_results_is_left_out_by_any_way_to_it(tmp_path: Path) -> None:
    write_frame(tmp_path / "real" / "frame1.fits", 1)
    write_frame(tmp_path / "real" / "out" / "other.fits", 2)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for given in (tmp_path / "link", tmp_path / "real", f"{tmp_path}/real/**/*.fits"):
        for out in ("real/out", "link/out", "link/../real/out"):
            found = find_frames(given, leave_out=tmp_path / out)
            assert [files.image.name for files in found] == ["frame1.fits"]


def test_a_glob_in_the_folder_of_results_finds_its_frames(tmp_path: Path) -> None:
    write_frame(tmp_path / "frame1.fits", 1)
    assert len(find_frames(f"{tmp_path}/*.fits", leave_out=tmp_path)) == 1


@pytest.mark.parametrize("marks", [(NIGHT_MARK,), ("ledger.sqlite", "settings.json")])
def test_other_nights_below_a_folder_lose_no_frame_and_give_no_mask(
    tmp_path: Path, marks: tuple[str, ...]
) -> None:
    write_frame(tmp_path / "n1" / "frame1.fits", 1)
    write_frame(tmp_path / "n1" / "masks" / "frame1.fits", 1)
    (tmp_path / "n1" / "streaks.fits").write_bytes(b"a table")
    for name in marks:
        (tmp_path / "n1" / name).touch()
    for given in (tmp_path, tmp_path / "n1", f"{tmp_path}/n1/f*.fits"):
        assert [f.image.name for f in find_frames(given)] == ["frame1.fits"]
    with pytest.raises(ReadError, match="no FITS image"):
        find_frames(tmp_path / "n1" / "masks")
    with pytest.raises(ReadError, match="matches no image"):
        find_frames(f"{tmp_path}/n1/masks/*.fits")


def test_a_folder_masks_that_is_no_nights_is_searched(tmp_path: Path) -> None:
    write_frame(tmp_path / "masks" / "frame1.fits", 1)
    assert len(find_frames(tmp_path)) == 1


def test_a_list_may_name_files_that_are_no_utf8(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.fits", 1)
    odd = os.fsencode(tmp_path) + b"/odd\xff.fits"
    os.rename(os.fsencode(tmp_path / "a.fits"), odd)
    (tmp_path / "list.txt").write_bytes(odd + b"\n")
    (frame,) = find_frames(tmp_path / "list.txt")
    assert os.fsencode(frame.image) == odd
    assert frame.image.is_file()


def test_a_list_that_is_a_pipe_or_no_text_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ReadError, match="a pipe"):
        find_frames(tmp_path / "pipe.txt")
    (tmp_path / "wide.txt").write_text("a.fits\n", encoding="utf-16")
    with pytest.raises(ReadError, match="no plain text"):
        find_frames(tmp_path / "wide.txt")


def test_hidden_files_of_others_are_not_swept(done: Path) -> None:
    theirs = [done / "parts" / ".DS_Store", done / "parts" / ".mine.parquet"]
    ours = [done / "parts" / ".frame1-abcd_123.parquet", done / ".streaks-abcd_123.parquet"]
    for path in (*theirs, *ours):
        path.write_text("x")
    with held_folder(NightFolder(done)):
        pass
    assert all(path.exists() for path in theirs)
    assert not any(path.exists() for path in ours)


def test_the_ledgers_own_schema_is_not_taken_for_damage(tmp_path: Path) -> None:
    from streaks.night_folder.ledger import is_damaged

    with open_ledger(tmp_path / "ledger.sqlite"):
        pass
    assert not is_damaged(tmp_path / "ledger.sqlite")


def test_a_night_may_lie_in_a_folder_that_is_no_utf8(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff"))
    write_frame(odd / "in" / "frame1.fits", 1)
    write_frame(odd / "in" / "frame2.fits", 2)
    for _ in range(2):
        assert night(odd / "in", odd / "out\udcff", "--streak-masks") == 0
        assert streaks_of(odd / "out\udcff") == BOTH
    assert done_again(odd / "out\udcff") == 0


def test_a_pipe_in_place_of_cutouts_is_no_wait(done: Path) -> None:
    from streaks.night import read_night

    (done / "cutouts" / "frame1.npz").unlink()
    os.mkfifo(done / "cutouts" / "frame1.npz")
    with pytest.raises(ReadError, match="a pipe"):
        read_night(done).cutouts("frame1")
