"""Folders that a night meets: foreign ones, damaged ones, and entries that no night may stop at.

Everything here goes through the command line, so that it holds whatever the rooms behind it are.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from streaks.cli import main
from streaks.readers import read_table
from tests.frame_files import add_trail, noise_image
from tests.thinning import some_pairs

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SMALL = (160, 211)
#: One trail, ends in 0-based pixels.
ENDS = (60.0, 40.0, 95.0, 70.0)


def write_frame(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = noise_image(SMALL, seed)
    add_trail(data, ENDS, flux=12000.0)
    fits.PrimaryHDU(data).writeto(path)
    return path


def night(frames: Path, out: Path | str, *words: str) -> int:
    """Exit code of `streaks night`."""
    given = ["night", str(frames), "-o", str(out), "--model", "none", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        # No worker processes, each of which takes seconds to start.
        patch.setattr("streaks.cli.night.worker_count", lambda asked: 0)
        return main([*given, *words])


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    for seed in (1, 2):
        write_frame(tmp_path / "in" / f"frame{seed}.fits", seed)
    return tmp_path / "in"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in` and the finished night `out` of it."""
    base = tmp_path_factory.mktemp("finished")
    for seed in (1, 2):
        write_frame(base / "in" / f"frame{seed}.fits", seed)
    assert night(base / "in", base / "out", "--streak-masks") == 0
    return base


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """The finished night again, to be harmed."""
    shutil.copytree(finished / "out", tmp_path / "night", symlinks=True)
    return tmp_path / "night"


def again(finished: Path, done: Path, *words: str) -> int:
    return night(finished / "in", done, "--streak-masks", *words)


def streaks_of(out: Path) -> list[str]:
    """Images that have streaks."""
    return sorted({str(image) for image in read_table(out / "streaks.parquet")["image"]})


BOTH = ["frame1", "frame2"]


# A folder that never was a night


@pytest.mark.parametrize("entry", ["cutouts/mine.fits", "overviews/mine.png", "parts/mine.parquet",
                                   "masks/mine.fits", "streaks.parquet", "report.html",
                                   "settings.json", "frames.parquet"])  # fmt: skip
@pytest.mark.parametrize("words", [(), ("--restart",), ("--restart", "--streak-masks")])
def test_nothing_is_deleted_or_overwritten_in_a_foreign_folder(
    frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: str,
    words: tuple[str, ...],
) -> None:  # fmt: skip
    out = tmp_path / "foreign"
    (out / entry).parent.mkdir(parents=True)
    (out / entry).write_text("mine")
    code = night(frames, out, *words)
    assert (out / entry).read_text() == "mine"
    if code != 0:
        assert code == 2
        said = capsys.readouterr().err
        assert str(out) in said
        assert "unexpected" not in said
    if entry in ("streaks.parquet", "report.html", "settings.json", "frames.parquet"):
        assert code == 2


def test_a_folder_with_other_things_takes_a_night(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "project"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert night(frames, out) == 0
    assert (out / "notes.txt").read_text() == "mine"


def test_an_empty_output_is_refused(
    frames: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert night(frames, "") == 2
    assert "unexpected" not in capsys.readouterr().err
    assert list((tmp_path / "here").iterdir()) == []


def test_an_output_that_is_a_file_is_refused(
    frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert night(frames, tmp_path / "file") == 2
    assert (tmp_path / "file").read_text() == "mine"
    assert "unexpected" not in capsys.readouterr().err


@pytest.mark.parametrize("where", ["", "out", "a/b"])
def test_a_nights_own_outputs_are_never_frames(frames: Path, where: str) -> None:
    out = frames / where
    for _ in range(2):
        assert night(frames, out, "--streak-masks") == 0
        assert streaks_of(out) == BOTH
        assert len(read_table(out / "frames.parquet")) == 2


# A finished night that was harmed


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x89PAR1" + bytes(range(256)) * 4)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "harm"),
    some_pairs(
        ["parts/frame1.parquet", "cutouts/frame1.npz", "overviews/frame1.png", "masks/frame1.fits",
         "streaks.parquet", "frames.parquet", "report.html", "settings.json"],
        [_truncated, _emptied, _garbage, Path.unlink, _folder],
    ),
)  # fmt: skip
def test_a_damaged_output_heals_at_the_next_run(
    finished: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str,
    harm: Callable[[Path], None],
) -> None:  # fmt: skip
    matching = sorted((done / name).parent.glob(f"{Path(name).stem}*"))
    if not matching:
        pytest.skip(f"a night has no {name} any more")
    harm(matching[0])
    code = again(finished, done)
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert code == 0, said
    assert streaks_of(done) == BOTH
    assert main(["labels", "export", str(done), "-o", str(tmp_path / "set"), "--quiet"]) == 0
    assert len(list((tmp_path / "set").glob("*.png"))) >= 2


@pytest.mark.parametrize("text", ["[1, 2]", "null", "5", '"x"', "{", "", "[" * 10_000, "\x00"])
def test_settings_of_another_kind_stop_no_night(
    finished: Path, done: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (done / "settings.json").write_text(text)
    code = again(finished, done)
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert code == 0, said
    assert streaks_of(done) == BOTH


def test_damaged_rows_of_the_ledger_stop_no_night(
    finished: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every column of every row in turn becomes what no row holds; two values a column."""
    (ledger,) = done.glob("*.sqlite")
    whole = ledger.read_bytes()
    with sqlite3.connect(ledger) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master "
                                                     "WHERE type = 'table'")]  # fmt: skip
        columns = [
            (table, row[1])
            for table in tables
            for row in database.execute(f"PRAGMA table_info({table})")
        ]
    values = ("no JSON {", b"\xff\xfe", None, 10**15)
    for k, (table, column) in enumerate(columns):
        for value in values[k % 2 :: 2]:
            ledger.write_bytes(whole)
            with sqlite3.connect(ledger) as database:
                try:
                    database.execute(f"UPDATE {table} SET {column} = ?", (value,))
                except sqlite3.IntegrityError:
                    continue
            code = again(finished, done)
            said = capsys.readouterr().err
            assert "unexpected" not in said, (table, column, value, said)
            assert code in (0, 2), said
            if code == 2:
                assert str(ledger.name) in said or str(done) in said
            else:
                assert streaks_of(done) == BOTH


@pytest.mark.parametrize(
    ("entry", "folder"),
    some_pairs(
        [".ipynb_checkpoints/", ".DS_Store", "Thumbs.db", "notes.txt", "folder.parquet/", "x.npz/"],
        ["cutouts", "parts", "overviews", "masks", "."],
    ),
)
def test_foreign_entries_in_a_nights_folders_stay_and_stop_nothing(
    finished: Path, done: Path, capsys: pytest.CaptureFixture[str], folder: str, entry: str
) -> None:
    place = done / folder
    place.mkdir(exist_ok=True)
    if entry.endswith("/"):
        (place / entry).mkdir()
        (place / entry / "mine").write_text("mine")
        mine = place / entry / "mine"
    else:
        mine = place / entry
        mine.write_text("mine")
    assert again(finished, done) == 0, capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert streaks_of(done) == BOTH


@pytest.mark.parametrize("entry", ["cutouts/notes.txt", "masks/mine.fits", "notes.txt",
                                   "parts/.hidden"])  # fmt: skip
def test_a_restart_deletes_only_what_the_night_wrote(
    finished: Path, done: Path, entry: str
) -> None:
    (done / entry).parent.mkdir(exist_ok=True)
    (done / entry).write_text("mine")
    assert again(finished, done, "--restart") == 0
    assert (done / entry).read_text() == "mine"
    assert streaks_of(done) == BOTH


# Entries in the input folder


def _not_utf8(folder: Path) -> None:
    name = os.fsencode(folder) + b"/bad\xff.fits"
    write_frame(folder / "tmp.fits", 3)
    os.rename(os.fsencode(folder / "tmp.fits"), name)


def _long_name(folder: Path) -> None:
    write_frame(folder / ("a" * 245 + ".fits"), 3)


def _control_characters(folder: Path) -> None:
    write_frame(folder / "a\x1b[31m\n\r.fits", 3)


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.fits")


def _dangling(folder: Path) -> None:
    (folder / "gone.fits").symlink_to(folder / "nothing")


def _loop(folder: Path) -> None:
    (folder / "loop.fits").symlink_to(folder / "loop.fits")


def _folder_loop(folder: Path) -> None:
    (folder / "sub").symlink_to(folder)


def _folder_named_like_a_frame(folder: Path) -> None:
    (folder / "dir.fits").mkdir()


def _empty_file(folder: Path) -> None:
    (folder / "empty.fits").write_bytes(b"")


ODD = (_not_utf8, _long_name, _control_characters, _pipe, _dangling, _loop, _folder_loop,
       _folder_named_like_a_frame, _empty_file)  # fmt: skip


#: Those of the short run: the others are cousins of these.
OFTEN = (_not_utf8, _pipe, _dangling, _loop, _empty_file)


@pytest.mark.parametrize(
    "make", [pytest.param(one, marks=() if one in OFTEN else pytest.mark.slow) for one in ODD]
)
def test_an_odd_entry_stops_no_night(
    frames: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], make: Callable[[Path], None]
) -> None:
    make(frames)
    for _ in range(2):
        code = night(frames, tmp_path / "out")
        said = capfd.readouterr().err
        assert "unexpected" not in said
        assert "Traceback" not in said
        assert "\x1b" not in said
        assert code in (0, 1), said
        assert set(BOTH) <= set(streaks_of(tmp_path / "out"))


@pytest.mark.parametrize("make", [_not_utf8, _long_name, _control_characters])
def test_a_frame_of_an_odd_name_is_searched(
    frames: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """The name is the file system's business: inside it is a frame like any other."""
    make(frames)
    assert night(frames, tmp_path / "out") == 0
    assert len(streaks_of(tmp_path / "out")) == 3


def test_a_passing_fault_is_tried_again(frames: Path, tmp_path: Path) -> None:
    """A frame whose disk was away (a dangling link) is searched when it is back."""
    write_frame(tmp_path / "elsewhere" / "frame3.fits", 3)
    (tmp_path / "elsewhere").rename(tmp_path / "away")
    (frames / "frame3.fits").symlink_to(tmp_path / "elsewhere" / "frame3.fits")
    assert night(frames, tmp_path / "out") == 1
    (tmp_path / "away").rename(tmp_path / "elsewhere")
    assert night(frames, tmp_path / "out") == 0
    assert streaks_of(tmp_path / "out") == [*BOTH, "frame3"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to the superuser")
def test_a_frame_without_permission_is_tried_again_with_it(frames: Path, tmp_path: Path) -> None:
    (frames / "frame1.fits").chmod(0)
    assert night(frames, tmp_path / "out") == 1
    (frames / "frame1.fits").chmod(0o644)
    assert night(frames, tmp_path / "out") == 0
    assert streaks_of(tmp_path / "out") == BOTH


def test_a_list_with_odd_lines_names_them_and_does_the_rest(
    frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "frames.txt"
    lines = [str(frames / "frame1.fits"), "nowhere.fits", "x" * 5000 + ".fits", "a\tb.fits"]
    listed.write_text("\n".join([*lines, str(frames / "frame2.fits")]))
    assert night(listed, tmp_path / "out") == 1
    assert "unexpected" not in capsys.readouterr().err
    assert streaks_of(tmp_path / "out") == BOTH


def test_the_nights_json_is_json_with_any_name(
    frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _control_characters(frames)
    assert night(frames, tmp_path / "out", "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_a_fill_of_frames_is_finite() -> None:
    """The frames of these tests are what they say: a trail in noise."""
    assert np.isfinite(noise_image(SMALL, 1)).all()
