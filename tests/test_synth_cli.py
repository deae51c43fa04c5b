"""`streaks synth`: what it writes, what it says, how it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaks.cli import main
from streaks.synth import load_set


def test_cutouts_are_written_as_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    words = ["--n", "6", "--seed", "2", "--mix", "asteroid=1,skip=1", "-o", str(out)]
    assert main(["synth", "cutouts", *words]) == 0
    cutouts, truth = load_set(out)
    assert len(cutouts) == 6
    assert sorted(truth["label"].tolist()) == ["asteroid"] * 3 + ["skip"] * 3
    captured = capsys.readouterr()
    assert captured.out == f"6 cutouts in {out}\n"
    assert "cutouts: 6 of 6" in captured.err


def test_quiet_shows_no_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "cutouts", "--n", "2", "-q", "-o", str(tmp_path / "set")]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cutouts", "--n", "0"], "n is 0; ask for at least one cutout"),
        (["cutouts", "--mix", "comet=1"], "mix names comet; the classes are asteroid"),
        (["night", "--frames", "0"], "frames is 0; a night needs at least one"),
        (["night", "--shape", "40", "50"], "shape is 40 x 50"),
        (["inject", "gone.fits"], "gone.fits"),
        (["inject", "gone.fits", "--snr", "9", "2"], "snr is 9 to 2"),
        (["inject", "gone.fits", "--snr", "2", "9", "--mag", "17", "18"], "snr, mag"),
    ],
)
def test_refusals_are_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["synth", *words, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_night_can_be_injected_with_streaks_by_magnitude_and_rate(tmp_path: Path) -> None:
    night = tmp_path / "night"
    shape = ["--shape", "200", "230"]
    assert main(["synth", "night", "--frames", "1", *shape, "-q", "-o", str(night)]) == 0
    image = next(night.glob("*_scimrefdiffimg.fits.fz"))
    out = tmp_path / "with"
    words = ["--mag", "16.5", "18", "--rate", "0.3", "1", "--n", "3", "-o", str(out)]
    assert main(["synth", "inject", str(image), *words]) == 0
    assert (out / image.name).is_file()
    assert (out / "truth.ecsv").is_file()


def test_one_bad_image_of_two_is_named_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    from astropy.io import fits

    good, bad = tmp_path / "good.fits", tmp_path / "bad.fits"
    noise = np.random.default_rng(0).normal(0, 5, (120, 141)).astype(np.float32)
    fits.PrimaryHDU(noise).writeto(good)
    bad.write_text("no image")
    words = [str(good), str(bad), "--psf-fwhm", "2.5", "--gain", "2", "--n", "2"]
    assert main(["synth", "inject", *words, "-o", str(tmp_path / "out")]) == 1
    assert f"{bad}: " in capsys.readouterr().err


def test_a_montage_is_made_from_a_set(tmp_path: Path) -> None:
    out, page = tmp_path / "set", tmp_path / "page.png"
    assert main(["synth", "cutouts", "--n", "8", "-q", "-o", str(out)]) == 0
    assert main(["synth", "montage", "--source", str(out), "-o", str(page)]) == 0
    assert page.read_bytes().startswith(b"\x89PNG")
