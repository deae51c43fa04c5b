"""`streaks detect` and `streaks night`: tables, exit codes, one line a failure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from streaks.cli import main
from streaks.readers import read_table
from tests.frame_files import add_trail, noise_image, real_data, write_ztf_frame
from tests.test_night_run import SMALL, write_frame, write_mixed_folder

UNNAMED = "--no-classify"


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker processes, each of which takes seconds to start."""
    monkeypatch.setattr("streaks.cli.night.worker_count", lambda asked: 0)


# ---------------------------------------------------------------------------------------- detect


def test_detect_writes_a_table_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_frame(tmp_path / "one.fits", seed=1)
    table, plot = tmp_path / "out.ecsv", tmp_path / "out.png"
    assert run("detect", image, "-o", table, UNNAMED, "--threshold", 9, "--plot", plot) == 0
    streaks = read_table(table)
    assert len(streaks) == 1
    assert streaks["x0"][0].to_value("pix") == pytest.approx(60.0, abs=2.0)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert f"1 streak in 1 image: {table}" in capsys.readouterr().out


def test_detect_finds_both_ends_of_the_real_satellite_trail(tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    image = real_data("images", "astride_long.fits")
    assert run("detect", image, "-o", table, UNNAMED, "--quiet") == 0
    streaks = read_table(table)
    best = streaks[int(np.argmax(np.asarray(streaks["snr"])))]
    # README of the real data: ends about (22, 339) and (340, 310).
    assert np.hypot(best["x0"] - 22, best["y0"] - 339) < 5
    assert np.hypot(best["x1"] - 340, best["y1"] - 310) < 5
    assert len(streaks) <= 4


def test_detect_takes_a_mask_and_what_the_user_knows(tmp_path: Path) -> None:
    image = write_frame(tmp_path / "one.fits", seed=1)
    mask = np.zeros(SMALL, np.uint8)
    mask[30:80, 50:100] = 1
    fits.PrimaryHDU(mask).writeto(tmp_path / "blank.fits")
    known = ["--psf-fwhm", 2.8, "--exposure", 30, "--time", "2020-01-02T03:04:05", "--gain", 6]
    both = [UNNAMED, "--threshold", 9, "--quiet", *known]
    table = tmp_path / "out.ecsv"
    assert run("detect", image, "-o", table, *both, "--zero-point", 26.3) == 0
    row = read_table(table)[0]
    assert str(row["time"]).startswith("2020-01-02T03:04:05")
    # 12000 counts at a zero point of 26.3.
    assert row["mag"].to_value("mag") == pytest.approx(26.3 - 2.5 * np.log10(12000), abs=0.1)
    assert run("detect", image, "-o", table, *both, "--mask", tmp_path / "blank.fits") == 0
    assert len(read_table(table)) == 0


def test_detect_names_bad_images_and_does_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_frame(tmp_path / "good.fits", seed=1)
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"")
    table = tmp_path / "out.ecsv"
    assert run("detect", good, bad, "-o", table, UNNAMED, "--json") == 1
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert [frame["image"] for frame in answer["frames"]] == ["good"]
    assert [failed["path"] for failed in answer["failed"]] == [str(bad)]
    assert said.err.strip() == f"failed: {bad} is empty (0 bytes); fetch it again"


def test_detect_of_bad_images_only_writes_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.fits"
    bad.write_text("no image")
    assert run("detect", bad, "-o", tmp_path / "out.ecsv", UNNAMED) == 2
    assert not (tmp_path / "out.ecsv").exists()


def test_detect_of_several_stacks_tables_and_draws_in_a_folder(tmp_path: Path) -> None:
    write_frame(tmp_path / "in" / "one.fits", seed=1)
    fits.PrimaryHDU(noise_image(SMALL)).writeto(tmp_path / "in" / "nothing.fits")
    table, plots = tmp_path / "out.parquet", tmp_path / "plots"
    words = [UNNAMED, "--threshold", 9, "--plot", plots, "--quiet"]
    assert run("detect", tmp_path / "in", "-o", table, *words) == 0
    assert [str(image) for image in read_table(table)["image"]] == ["one"]
    assert sorted(path.name for path in plots.iterdir()) == ["nothing.png", "one.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "out.docx"], "names no table format"),
        (["-o", "out.csv", "--threshold", "1"], "threshold is 1.0"),
        (["-o", "out.csv", "--psf-fwhm", "-2"], "fwhm_px is -2.0"),
        (["-o", "out.csv", "--time", "noon"], "expected mid-exposure in UTC"),
        (["-o", "out.csv", "--profile", "hubble"], "no profile 'hubble'"),
        (["-o", "out.csv", "--config", "none.toml"], "--config needs a TOML file"),
        (["-o", "out.csv", "--orbits", "none.dat"], "none.dat"),
        (["-q"], "no table to write to, and nothing to say; give --output FILE"),
    ],
)
def test_detect_says_wrong_words_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    image = write_frame(tmp_path / "one.fits", seed=1)
    assert run("detect", image, UNNAMED, *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_detect_refuses_one_mask_for_two_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [write_frame(tmp_path / f"{i}.fits", seed=i) for i in (1, 2)]
    assert run("detect", *images, "-o", "out.csv", UNNAMED, "--mask", images[0]) == 2
    assert "--mask belongs to one image, 2 were given" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- night


def test_a_mixed_night_ends_with_1_and_names_every_bad_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = write_mixed_folder(tmp_path / "in")
    words = ["night", tmp_path / "in", "-o", tmp_path / "out", "--model", "none"]
    assert run(*words, "--workers", 1) == 1
    said = capsys.readouterr()
    for name in bad:
        assert f"failed: {tmp_path / 'in' / name}: " in said.err
    assert f"{len(good)} of {len(good | bad)} frames done, {len(bad)} failed" in said.out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(name.split(".")[0] in page for name in good | bad)


@pytest.mark.usefixtures("in_this_process")
def test_a_clean_night_ends_with_0_and_answers_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = noise_image(SMALL)
    add_trail(data, (60.0, 40.0, 95.0, 70.0), flux=12000.0)
    write_ztf_frame(tmp_path / "in", data, context=True)
    (tmp_path / "settings.toml").write_text("[detection]\nthreshold_snr = 9.0\n")
    words = ["night", tmp_path / "in", "-o", tmp_path / "out", "--model", "none", "--json"]
    assert run(*words, "--workers", 1, "--config", tmp_path / "settings.toml") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["frames"], answer["done"], answer["streaks"]) == (1, 1, 1)
    assert Path(answer["report"]).is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none", "-o", "out"], "none does not exist"),
        (["empty", "-o", "out"], "holds no FITS image"),
        (["in", "-o", "out", "--config", "bad.toml"], "settings has no setting colour"),
        (["in", "-o", "out", "--truth", "none.csv"], "does not exist"),
        (["in", "-o", "in/one.fits"], "in/one.fits is a file; a night is a folder"),
        (["in", "-o", "out", "--model", "unheard-of"], "unheard-of"),
    ],
)
def test_night_says_wrong_words_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_frame(tmp_path / "in" / "one.fits", seed=1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.toml").write_text("colour = 'red'")
    extra = [] if "--model" in words else ["--model", "none"]
    assert run("night", *words, *extra, "--workers", 1) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
