"""What a command writes never takes the place of what it reads, nor of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from streaks.cli import main
from streaks.errors import ConfigError
from streaks.reporting import write_table
from tests.frame_files import noise_image
from tests.made_nights import make_night


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(noise_image((40, 51))).writeto(path)
    return path


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("a.fits", ["-o", "a.fits"]),
        ("a.fits", ["-o", "./a.fits"]),
        ("a.fits[0]", ["-o", "a.fits"]),
        ("a.fits", ["-o", "link.fits"]),
        ("a.fits", ["-o", "t.ecsv", "--plot", "a.fits"]),
        ("a.fits", ["-o", "m.fits", "--mask", "m.fits"]),
        ("a.fits", ["-o", "settings.json", "--config", "settings.json"]),
    ],
)
def test_an_input_is_never_written_over(
    image: Path,
    given: str,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(image.parent)
    fits.PrimaryHDU(np.zeros((40, 51), np.uint8)).writeto("m.fits")
    Path("settings.json").write_text("")
    Path("link.fits").symlink_to(image)
    before = {path.name: path.read_bytes() for path in image.parent.iterdir()}
    assert main(["detect", given, *options]) == 2
    assert "is a file to be read; nothing was written" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in image.parent.iterdir()} == before


def test_commands_of_groups_are_as_careful(tmp_path: Path) -> None:
    export = tmp_path / "export.csv"
    export.write_text("user_name,annotations,subject_data,subject_ids\n")
    assert main(["labels", "import", str(export), "-o", str(export)]) == 2
    assert export.read_text().startswith("user_name")


def test_an_export_is_not_replaced_by_its_disagreements(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "export.csv"
    export.write_text("user_name,annotations,subject_data,subject_ids\n")
    words = ["labels", "import", str(export), "-o", str(tmp_path / "l.csv")]
    assert main([*words, "--disagreements", str(export)]) == 2
    assert "--disagreements" in (told := capsys.readouterr().err)
    assert "is a file to be read; nothing was written" in told
    assert main([*words[:4], str(export)]) == 2
    assert "--output" in capsys.readouterr().err
    assert export.read_text().startswith("user_name")


@pytest.mark.parametrize("option", ["--export", "--ades"])
@pytest.mark.parametrize("name", ["streaks.parquet", "frames.parquet", "tracklets.parquet"])
def test_a_night_is_not_replaced_by_what_is_made_of_it(
    tmp_path: Path, option: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    night = make_night(tmp_path / "night", n_frames=1, cutouts=False)
    before = (night / name).read_bytes()
    assert main(["vet", str(night), option, str(night / name)]) == 2
    assert f"{option} {night / name} is a file to be read" in capsys.readouterr().err
    assert (night / name).read_bytes() == before


def test_another_table_in_a_nights_place_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = make_night(tmp_path / "night", n_frames=1, cutouts=False)
    write_table(QTable({"name": ["a"]}), night / "streaks.parquet")
    for words in (["report", str(night)], ["vet", str(night), "--agreement"]):
        assert main(words) == 2
        assert "is no table of a night: it has no column streak_id" in capsys.readouterr().err


def test_no_image_is_written_over_by_a_table(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = image.with_name("other.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(noise_image((40, 51)))]).writeto(other)
    before = other.read_bytes()
    assert main(["detect", str(image), "-o", str(other)]) == 2
    assert "other.fits holds an image, which is not written over" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="holds an image"):
        write_table(QTable({"a": [1]}), other)
    assert other.read_bytes() == before


def test_a_table_of_ours_is_replaced(tmp_path: Path) -> None:
    for value in (1, 2):
        write_table(QTable({"a": [value]}), tmp_path / "t.fits")
    assert QTable.read(tmp_path / "t.fits")["a"][0] == 2


def test_a_table_without_a_name_is_refused(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(image), "-o", ""]) == 2
    assert "the table to write has an empty name" in capsys.readouterr().err
