"""A night's folder becomes a page and a subject set, from the command line."""

import csv
import json
import os

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, vstack

from streaks.cli import main
from streaks.cutouts import extract_cutouts
from streaks.errors import TableError
from streaks.night import NightFolder, read_night, write_night_report
from streaks.night_folder.frame_results import save_cutouts
from streaks.plotting import encode_jpeg, frame_overview
from streaks.reporting import write_table
from tests.made_streaks import SEGMENTS, made_frame, made_streaks

NAME = "ztf_20180607123456_000530_zr_c07_o_q2_scimrefdiffimg"


@pytest.fixture(scope="module")
def night_folder(tmp_path_factory):
    """A night of one searched frame and one that failed, and a truth with one more streak."""
    root = tmp_path_factory.mktemp("made") / "night"
    folder = NightFolder(root)
    frame = made_frame(SEGMENTS, name=NAME)
    image = root.parent / "plain.fits"
    fits.writeto(image, frame.data.astype(np.float32), frame.wcs.to_header())
    found = made_streaks(SEGMENTS[1:], image=NAME)
    folder.overview(NAME).parent.mkdir(parents=True)
    folder.overview(NAME).write_bytes(encode_jpeg(frame_overview(frame, found)))
    save_cutouts(folder.cutouts(NAME), extract_cutouts(frame, found))
    write_table(found, folder.streaks)
    frames = QTable(
        {
            "image": [NAME, "broken"],
            "path": [str(image), "broken.fits"],
            "state": ["done", "failed"],
            "reason": ["", "empty (0 bytes)"],
            "seconds": [2.5, np.nan],
            "ccd": ["7", ""],
            "nx": [1204.0, np.nan],
            "ny": [801.0, np.nan],
        }
    )
    write_table(frames, folder.frames)
    record = {"settings": {}, "classifier": "forest", "orbits": "orbits.dat 12ab", "version": "1"}
    folder.settings.write_text(json.dumps(record))
    truth = made_streaks(SEGMENTS, ["asteroid"] * len(SEGMENTS), image=NAME)
    truth["streak_id"] = [f"t{i}" for i in range(len(truth))]
    write_table(truth, root.parent / "truth.ecsv")
    return root


def test_report_writes_the_nights_page(night_folder, capsys):
    assert main(["report", str(night_folder)]) == 0
    page = night_folder / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    html = page.read_text(encoding="utf-8")
    assert "checked against orbits.dat</div>" in html
    assert "empty (0 bytes)" in html
    # Each of seven streaks in the table, the one asteroid large, and one overview.
    assert html.count('src="data:image/jpeg;base64,') == 7 + 1 + 1


def test_report_sets_found_beside_truth_with_pictures_of_the_missed(night_folder, tmp_path):
    truth, out = night_folder.parent / "truth.ecsv", tmp_path / "page.html"
    assert main(["report", str(night_folder), "--truth", str(truth), "-o", str(out)]) == 0
    html = out.read_text(encoding="utf-8")
    assert "<b>7 of 8</b>" in html
    missed = html[html.index(">Missed ") : html.index(">Found <")]
    assert ">t0<" in missed
    assert 'src="data:image/jpeg;base64,' in missed


def test_pictures_that_are_gone_do_not_stop_a_page(night_folder, tmp_path):
    night = read_night(night_folder)
    gone = vstack([night.streaks, made_streaks(SEGMENTS[:1], image="gone")])
    page = write_night_report(
        type(night)(night.folder, gone, night.frames, night.run), path=tmp_path / "page.html"
    )
    assert "no picture" in page.read_text(encoding="utf-8")


def test_a_truth_without_ends_is_refused(night_folder):
    with pytest.raises(TableError, match="the truth lacks the columns x0, y0, x1, y1"):
        write_night_report(read_night(night_folder), truth=QTable({"streak_id": [], "image": []}))


def test_a_truth_of_the_wrong_kind_is_one_line_on_the_command_line(night_folder, tmp_path, capsys):
    write_table(QTable({"a": [1]}), tmp_path / "t.csv")
    assert main(["report", str(night_folder), "--truth", str(tmp_path / "t.csv")]) == 2
    error = capsys.readouterr().err
    assert "the truth lacks the columns streak_id, image" in error
    assert "Traceback" not in error


def test_labels_export_writes_a_set(night_folder, tmp_path, capsys):
    assert main(["labels", "export", str(night_folder), "-o", str(tmp_path / "set")]) == 0
    assert "7 subjects in" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "set" / "manifest.csv").open()))
    assert all(all(cell for cell in row.values()) for row in rows)
    assert {row["#ccd"] for row in rows} == {"7"}


def test_labels_export_takes_a_selection_and_answers_in_json(night_folder, tmp_path, capsys):
    words = ["labels", "export", str(night_folder), "-o", str(tmp_path / "set"), "--json"]
    assert main([*words, "--label", "asteroid", "--label", "ghost", "--ccd", "7"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["by_label"] == {"asteroid": 1, "ghost": 1}
    assert answer["left_out"] == {"another class": 5}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--min-rb", "2"], "rb range is 2.0 to 1.0; it must lie in 0 to 1"),
        (["--label", "comet"], "no class comet; there are asteroid"),
        (["--ccd", "9"], "none of 7 streaks is left to export (7 another CCD)"),
    ],
)
def test_labels_export_says_in_one_line_what_is_wrong(
    night_folder, tmp_path, capsys, words, message
):
    base = ["labels", "export", str(night_folder), "-o", str(tmp_path / "set")]
    assert main([*base, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_of_nothing_is_named(tmp_path, capsys):
    assert main(["labels", "export", str(tmp_path), "-o", str(tmp_path / "set")]) == 2
    assert "holds no cutouts" in capsys.readouterr().err
