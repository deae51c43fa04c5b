"""What somebody who has just installed the package tries, and what is said to that."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streaks.cli import main
from streaks.errors import ConfigError, OutputError
from streaks.frame import as_frame
from streaks.labelling.manifest import altered_names
from streaks.models.verdict_store import load_verdict
from streaks.night.workers.dask_cluster import dask_engine
from streaks.readers import read_cutouts, read_frame
from streaks.streams.targets import check_target
from streaks.tables import counted
from streaks.verdict.judging import judge_streaks
from tests.made_nights import make_night
from tests.test_night_run import write_frame


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.mark.parametrize("words", [[], ["known"], ["labels"], ["store"], ["alerts"], ["train"]])
def test_a_command_without_words_shows_its_help_line_by_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith(f"Usage: {' '.join(['streaks', *words])}")
    assert "Commands:" in lines


@pytest.mark.parametrize("words", [[], ["known"], ["labels"], ["synth"], ["train"]])
def test_every_command_of_an_overview_has_a_whole_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--help") == 0
    lines = capsys.readouterr().out.splitlines()[1:]  # the first ends in ARGS...
    assert [line for line in lines if line.endswith("...")] == []


def test_detect_without_an_output_shows_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_frame(tmp_path / "one.fits", seed=1)
    before = sorted(tmp_path.iterdir())
    assert run("detect", image, "--no-classify", "--threshold", 9) == 0
    said = capsys.readouterr().out
    # The number is that of the picture, and the end of the streak_id.
    assert re.search(r"^  #0 \(\d+\.\d, ", said, re.MULTILINE)
    assert said.endswith("1 streak in 1 image: not kept; -o TABLE keeps them\n")
    assert sorted(tmp_path.iterdir()) == before


def test_an_image_without_coordinates_is_told_so(tmp_path: Path) -> None:
    frame = read_frame(write_frame(tmp_path / "one.fits", seed=1))
    assert any(note.startswith("no WCS in the header") for note in frame.notes)


def test_a_frame_prints_on_one_line() -> None:
    text = repr(as_frame(np.zeros((40, 50), np.float32)))
    assert "50 x 40 px" in text
    assert "\n" not in text
    assert len(text) < 200


def test_the_label_of_a_judged_table_says_what_it_is() -> None:
    from streaks.tables import CLASS_COLUMNS, STREAK_COLUMNS, empty_table

    table = empty_table((*STREAK_COLUMNS, *CLASS_COLUMNS))
    judged = judge_streaks(table, load_verdict())
    assert judged["label"].info.description == CLASS_COLUMNS[0].description


def test_a_part_is_no_report_and_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("streaks.cli.night.worker_count", lambda asked: 0)
    write_frame(tmp_path / "in" / "one.fits", seed=1)
    night = tmp_path / "a night"
    words = ["--model", "none", "--workers", 1]
    assert run("night", tmp_path / "in", "-o", night, "--part", "1/1", *words) == 0
    said = capsys.readouterr().out
    assert "report:" not in said
    assert f"streaks night -o '{night}' --merge" in said


def test_a_cluster_whose_commands_are_not_there_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match="slurm is asked for with sbatch, which this machine"):
        dask_engine(cluster="slurm")


def test_completeness_of_a_night_needs_something_to_look_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_night(tmp_path / "night")
    assert run("completeness", tmp_path / "night", "-o", tmp_path / "depth") == 2
    assert "there is nothing to look for" in capsys.readouterr().err
    assert not (tmp_path / "depth").exists()


def test_overviews_of_a_night_are_no_cutouts(tmp_path: Path) -> None:
    night = make_night(tmp_path / "night")
    (night / "overviews").mkdir(exist_ok=True)
    Image.new("L", (80, 80)).save(night / "overviews" / "frame.png")
    with_them = sum(len(stack) for stack in read_cutouts(night).cutouts)
    assert with_them == sum(len(stack) for stack in read_cutouts(night / "cutouts").cutouts) > 0


def test_a_mistyped_output_of_a_filter_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alerts.avro").write_bytes(b"")
    assert run("alerts", "filter", tmp_path / "alerts.avro", "-o", tmp_path / "out.csvv") == 2
    assert "out.csvv ends in .csvv" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.avro"]
    with pytest.raises(OutputError, match=r"ends in \.txt"):
        check_target(tmp_path / "out.txt")


def test_a_filter_of_an_empty_folder_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run("alerts", "filter", tmp_path / "empty", "-o", tmp_path / "out.csv") == 2
    assert "empty holds no alerts" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_streaks_are_injected_into_the_frames_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frame(tmp_path / "in" / "one.fits", seed=1)
    words = ["--psf-fwhm", 2.5, "--gain", 2.0]
    assert run("synth", "inject", tmp_path / "in", "-o", tmp_path / "out", *words) == 0
    assert (tmp_path / "out" / "one.fits").is_file()
    assert "1 image with streaks" in capsys.readouterr().out


def test_names_that_a_manifest_alters_are_told() -> None:
    columns = {"streak_id": np.array(["plain_0001", "two\nlines", "=sum(1)"])}
    assert altered_names(columns, [0, 1, 2]) == ["two\nlines", "=sum(1)"]
    assert altered_names(columns, [0]) == []
    assert altered_names({}, [0]) == []


def test_labels_status_says_what_it_needs_instead_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "said.json").write_text('{"a.jpg": ["Satellite"]}')
    assert run("labels", "status", tmp_path / "said.json", "--json") == 2
    assert "neither votes nor volunteers" in capsys.readouterr().err


def test_logs_of_librdkafka_are_shown_with_debug_alone(caplog: pytest.LogCaptureFixture) -> None:
    from streaks.streams.kafka import _quiet_log

    for level, expected in ((logging.WARNING, 0), (logging.DEBUG, 1)):
        caplog.clear()
        with caplog.at_level(level):
            _quiet_log().error("Connect to ipv4#127.0.0.1:1 failed")
        assert len(caplog.records) == expected


@pytest.mark.parametrize(("n", "words"), [(0, "0 frames"), (1, "1 frame"), (12, "12 frames")])
def test_counts_in_words(n: int, words: str) -> None:
    assert counted(n, "frame") == words
