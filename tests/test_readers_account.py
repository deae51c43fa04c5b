"""What a dry run tells of a frame."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from astropy.io import fits

from streaks.cli import main
from streaks.readers import FrameOverrides, account_of, find_frames
from tests.frame_files import noise_image, write_ztf_frame
from tests.test_readers_coordinates import SHAPE
from tests.test_readers_coordinates import header as wcs_header


def test_every_value_has_its_words(tmp_path: Path) -> None:
    account = account_of(find_frames([write_ztf_frame(tmp_path)])[0])
    lines = {line.what: line for line in account.lines}
    assert lines["time"].value.startswith("2018-06-07T04:47:03")
    assert lines["time"].source == "OBSJD (start)"
    assert lines["exposure"].source == "EXPTIME = 30 s"
    assert lines["FWHM"].source == "SEEING = 2.1 pix"
    assert "RA---TPV" in lines["coordinates"].source
    assert lines["gain"].value == "6.2 electrons a count"
    assert lines["band"].source == "FILTER = ZTF_r"
    assert lines["mask"].source.startswith("not finite")
    assert account.error == ""


def test_what_is_unknown_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "bare.fits"
    fits.PrimaryHDU(noise_image()).writeto(path)
    text = account_of(find_frames([path])[0]).text()
    for what in ("coordinates", "time", "exposure", "FWHM"):
        line = next(line for line in text.splitlines() if line.split()[:1] == [what])
        assert "unknown" in line or "none" in line
    assert "note: no header word says when it was taken" in text


def test_what_the_user_gives_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(noise_image(SHAPE), wcs_header()).writeto(path)
    overrides = FrameOverrides(fwhm_px=3.0, time="2024-06-15T08:00:15")
    lines = {line.what: line for line in account_of(find_frames([path])[0], overrides).lines}
    assert (lines["FWHM"].value, lines["FWHM"].source) == ("3 px", "given")
    assert (lines["time"].value[:19], lines["time"].source) == ("2024-06-15T08:00:15", "given")


@pytest.mark.parametrize("command", ["detect", "night"])
def test_a_dry_run_prints_and_writes_nothing(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ztf_frame(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    assert main([command, str(tmp_path / "in"), "--dry-run"]) == 0
    assert "OBSJD (start)" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_answers_in_json_and_names_what_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ztf_frame(tmp_path / "in")
    (tmp_path / "in" / "bad.fits").write_bytes(b"SIMPLE")
    assert main(["detect", str(tmp_path / "in"), "--dry-run", "--json"]) == 1
    frames = json.loads(capsys.readouterr().out)["frames"]
    assert {bool(frame["error"]) for frame in frames} == {True, False}


def test_a_quiet_detect_without_an_output_says_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", "-q", str(write_ztf_frame(tmp_path))]) == 2
    assert "--output" in capsys.readouterr().err


def test_one_image_of_a_file_is_chosen_at_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hdus = [fits.ImageHDU(noise_image(), name="SCI", ver=i) for i in (1, 2)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "two.fits")
    assert main(["detect", str(tmp_path / "two.fits"), "--dry-run", "--hdu", "SCI,2"]) == 0
    out = capsys.readouterr().out
    assert "two.fits[SCI,2]" in out
    assert "two.fits[SCI,1]" not in out
