"""What a night leaves for people and machines: log, counts, formats, masks; frames as they come."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from streaks.cli import main
from streaks.geometry import Segment
from streaks.night import run_night
from streaks.night.run import Progress
from streaks.night.run_log import metrics_text
from streaks.night.watching import arriving_frames
from streaks.readers import read_table
from streaks.reporting import streak_plane
from tests.frame_files import add_trail, noise_image, write_ztf_frame
from tests.made_streaks import made_streaks
from tests.test_night_faults import ROOT, even
from tests.test_night_run import SMALL, write_frame, write_frames

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module", autouse=True)
def _in_this_process() -> Iterator[None]:
    """No worker processes, each of which takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streaks.cli.night.worker_count", lambda asked: 0)
        yield


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night of two good frames and a bad one, with all that can be asked for."""
    root = tmp_path_factory.mktemp("all")
    data = noise_image(SMALL)
    add_trail(data, (60.0, 40.0, 95.0, 70.0), flux=12000.0)
    write_ztf_frame(root / "in", data)
    write_frame(root / "in" / "plain.fits", seed=3)
    (root / "in" / "bad.fits").write_bytes(b"")
    words = ["night", root / "in", "-o", root / "out", "--model", "none", "--workers", 1, "-q"]
    more = [word for s in (".vot", ".sqlite", ".ecsv", ".reg") for word in ("--also", s)]
    assert run(*words, *more, "--streak-masks") == 1
    return root / "out"


def test_the_log_has_a_json_object_a_line_from_start_to_end(night: Path) -> None:
    lines = [json.loads(line) for line in (night / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "frame", "frame", "frame", "end"]
    assert (lines[0]["frames"], lines[0]["todo"]) == (3, 3)
    by_image = {line["image"]: line for line in lines[1:4]}
    assert by_image["bad"]["state"] == "failed"
    assert "is empty" in by_image["bad"]["reason"]
    assert by_image["plain"]["stages"]["find"] > 0
    assert by_image["plain"]["memory_mb"] > 10
    assert (lines[-1]["done"], lines[-1]["failed"]) == (2, 1)


def test_the_counts_are_in_prometheus_text_format(night: Path) -> None:
    lines = (night / "metrics.prom").read_text().splitlines()
    assert 'streaks_night_frames{night="out",state="done"} 2' in lines
    assert 'streaks_night_frames{night="out",state="failed"} 1' in lines
    assert 'streaks_night_finished{night="out"} 1' in lines
    for line in lines:
        # Prometheus's exposition format 0.0.4.
        assert line.startswith("# TYPE ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_labels_of_counts_are_escaped() -> None:
    text = metrics_text({"frames": {"done": 1.0}}, 'a"b\\c\nd')
    assert r'streaks_night_frames{night="a\"b\\c\nd",state="done"} 1' in text


def test_parquet_tells_its_schema_and_what_decided_it(night: Path) -> None:
    metadata = pq.read_schema(night / "streaks.parquet").metadata
    assert metadata[b"streaks.schema"] == b"1"
    provenance = read_table(night / "streaks.parquet").meta["provenance"]
    assert provenance["settings"]["detection"]["max_streaks"] == 500
    assert provenance["version"]


def test_other_formats_hold_the_same_streaks(night: Path) -> None:
    streaks = read_table(night / "streaks.parquet")
    assert len(streaks) >= 2
    assert list(read_table(night / "streaks.ecsv")["streak_id"]) == list(streaks["streak_id"])
    assert (night / "streaks.vot").is_file()
    with sqlite3.connect(night / "streaks.sqlite") as database:
        rows = database.execute("SELECT streak_id, x0, ra FROM rows").fetchall()
        units = dict(database.execute("SELECT name, unit FROM columns"))
    assert [row[0] for row in rows] == list(streaks["streak_id"])
    np.testing.assert_allclose([row[1] for row in rows], streaks["x0"].value)
    # Unknown is NULL: a frame without WCS.
    assert any(row[2] is None for row in rows)
    assert (units["ra"], units["x0"]) == ("deg", "pix")


def test_a_format_that_cannot_hold_the_night_is_named_and_left_out(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One frame has no WCS: its streaks cannot share a region file with others.
    assert not (night / "streaks.reg").exists()
    words = ["night", night.parent / "in", "-o", night, "--model", "none", "--workers", 1]
    assert run(*words, "--streak-masks", "--also", ".reg", "-q") == 1
    assert "streaks.reg not written: streaks of 2 images" in capsys.readouterr().err


def test_the_mask_has_a_streak_plane_under_the_streaks_and_the_frames_wcs(night: Path) -> None:
    (path,) = (night / "masks").glob("ztf*.fits")
    with fits.open(path) as file:
        mask, header = file["MASK"].data, file["MASK"].header
    assert mask.shape == SMALL
    bit = 1 << header["MP_STREAK"]
    assert mask[55, 77] & bit  # the middle of the trail
    assert not mask[20, 20] & bit
    # 46 px long and some 12 px wide.
    assert 300 < np.count_nonzero(mask & bit) < 1200
    place = WCS(header).pixel_to_world_values(199.5, 149.0)
    np.testing.assert_allclose(place, [250.0, 20.0], atol=2e-4)


def test_a_plane_of_no_streaks_is_empty_and_ends_outside_are_cut() -> None:
    assert not streak_plane(made_streaks([]), (50, 61)).any()
    plane = streak_plane(made_streaks([Segment(-20.0, 10.0, 200.0, 10.0)]), (50, 61))
    assert plane[10].all()
    assert not plane[20:].any()


def test_a_summary_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "in", 1)
    (tmp_path / "in" / "bad.fits").write_bytes(b"")
    words = ["night", tmp_path / "in", "-o", tmp_path / "out", "--model", "none", "--summary"]
    assert run(*words, "--workers", 1) == 1
    said = capsys.readouterr()
    (line,) = said.out.strip().splitlines()
    assert "frames=2 done=1 done_earlier=0 failed=1 streaks=1" in line
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--also", ".docx"], "names no table format"),
        (["--cluster", "pbs"], "expected one of slurm, htcondor, local"),
        (["--scheduler", "tcp://a:1", "--cluster", "slurm"], "not both"),
    ],
)
def test_wrong_words_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    write_frames(tmp_path / "in", 1)
    assert run("night", tmp_path / "in", "-o", tmp_path / "out", "--model", "none", *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_progress_tells_rate_and_time_left() -> None:
    state = Progress(total=100, done=18, failed=2, n_now=10, seconds=5.0)
    assert state.rate == pytest.approx(2.0)
    assert state.seconds_left == pytest.approx(40.0)
    assert np.isnan(Progress(total=10, done=0, failed=0).rate)


def test_plain_progress_is_a_line_with_rate_and_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frames(tmp_path / "in", 1)
    run("night", tmp_path / "in", "-o", tmp_path / "out", "--model", "none", "--workers", 1)
    said = capsys.readouterr().err
    assert "1/1 frames, 0 failed, " in said
    assert "frames/s, 0:00:00 left: frame_0" in said


# -------------------------------------------------------------------------------------- watching


def test_frames_are_taken_when_they_are_wholly_there(tmp_path: Path) -> None:
    """Each look is followed by what the sky sends meanwhile."""
    folder = tmp_path / "in"
    folder.mkdir()
    growing = folder / "a.fits"
    events = iter(
        [
            lambda: growing.write_bytes(b"half"),
            lambda: growing.write_bytes(b"half and half"),
            lambda: None,
            lambda: (folder / "b.fits").write_bytes(b"whole"),
            lambda: None,
            lambda: None,
        ]
    )
    looks: list[list[str]] = []

    class Over(Exception):
        pass

    def sleep(_: float) -> None:
        try:
            next(events)()
        except StopIteration:
            raise Over from None

    def look() -> None:
        for frames in arriving_frames([folder], sleep=sleep):
            looks.append([files.name for files in frames])
            assert growing.stat().st_size == len(b"half and half")

    with pytest.raises(Over):
        look()
    assert looks == [["a"], ["a", "b"]]


def test_frames_themselves_can_be_given(tmp_path: Path) -> None:
    from streaks.readers import find_frames

    write_frames(tmp_path / "in", 2)
    run = even(find_frames(tmp_path / "in")[:1], tmp_path / "out")
    assert run.n_frames == 1


def test_a_watched_night_takes_frames_as_they_arrive_and_stops_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    words = ["night", "in", "-o", "out", "--model", "none", "--watch", "--poll", "0.2", "--summary"]
    script = "import sys; from streaks.cli import main, night; night.worker_count = lambda n: 0"
    script += f"; sys.exit(main({words!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        for n in (1, 2):
            write_frame(tmp_path / "in" / f"frame_{n}.fits", seed=n)
            assert f"frames={n} done={n}" in process.stdout.readline()
    finally:
        process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped; what is done is kept in out, and the same command goes on" in error


def test_ctrl_c_stops_a_night_with_a_word_and_it_goes_on_from_there(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 15)
    words = ["night", "in", "-o", "out", "--model", "none", "--workers", "1"]
    # Where the tests run in the background, Ctrl-C is ignored by all that they start.
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"from streaks.cli import main; sys.exit(main({words!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    parts = tmp_path / "out" / "parts"
    deadline = time.monotonic() + 60
    while not (parts.is_dir() and any(parts.glob("frame*"))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from there" in error
    n_before = len(list(parts.glob("frame*.parquet")))
    again = run_night(tmp_path / "in", tmp_path / "out", workers=0)
    assert again.n_skipped == n_before < 15
    assert again.n_done == 15


def test_a_command_is_told_of_each_new_candidate_once(tmp_path: Path) -> None:
    import astropy.units as u
    from astropy.table import QTable

    from streaks.night.watching import Notifier

    heard = tmp_path / "heard.txt"
    command = [
        sys.executable,
        "-c",
        f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read() + '\\n')",
    ]
    streaks = QTable(
        {
            "streak_id": ["a", "b", "c"],
            "p_asteroid": [0.95, 0.5, 0.99],
            "ra": [10.0, 11.0, 12.0] * u.deg,
            "mag": [18.0, 19.0, float("nan")] * u.mag,
            "ssnamenr": ["null", "null", "8467"],
        }
    )
    told = tmp_path / "told.txt"
    assert Notifier(command, 0.9, told).tell(streaks) == 1
    (line,) = heard.read_text().splitlines()
    assert json.loads(line) == {
        "streak_id": "a", "p_asteroid": 0.95, "ra": 10.0, "mag": 18.0, "ssnamenr": "null"
    }  # fmt: skip
    # Another process of the same night tells of nothing twice.
    assert Notifier(command, 0.9, told).tell(streaks) == 0
    assert Notifier(command, 0.4, told).tell(streaks) == 1


def test_a_command_that_fails_is_named_and_the_watch_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from astropy.table import QTable

    from streaks.night.watching import Notifier

    streaks = QTable({"streak_id": ["a"], "p_asteroid": [0.95]})
    Notifier([str(tmp_path / "nothing")], 0.9, tmp_path / "told").tell(streaks)
    assert "a: not told of by" in caplog.text
    Notifier([sys.executable, "-c", "raise SystemExit(3)"], 0.9, tmp_path / "told2").tell(streaks)
    assert "ended with code 3" in caplog.text
