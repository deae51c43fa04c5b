"""The sample night that comes with the package, and `streaks sample`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streaks.cli import main
from streaks.errors import OutputError
from streaks.known import read_orbits
from streaks.readers import find_frames, read_alerts, read_frame, read_table
from streaks.synth import write_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "night"
    write_sample(folder)
    return folder


def test_it_is_under_two_megabytes(sample: Path) -> None:
    assert sum(path.stat().st_size for path in sample.iterdir()) < 2_000_000


def test_each_exposure_has_its_mask_science_image_and_reference(sample: Path) -> None:
    frames = find_frames(sample)
    assert len(frames) == 3
    for files in frames:
        assert None not in (files.mask, files.science, files.reference)


def test_an_exposure_is_read_with_all_that_a_search_needs(sample: Path) -> None:
    frame = read_frame(find_frames(sample)[0].image)
    assert frame.data.shape == (460, 512)
    assert 0 < np.mean(frame.mask) < 0.05
    assert frame.science is not None
    assert frame.reference is not None
    assert frame.exposure_s == 30.0
    assert frame.observatory == "I41"


def test_half_of_its_asteroids_are_in_the_orbits(sample: Path) -> None:
    truth = read_table(sample / "truth.ecsv")
    asteroids = truth[truth["label"] == "asteroid"]
    known = {str(name) for name in asteroids["name"]} - {""}
    assert len(read_orbits(sample / "orbits.dat")) == len(known) == 2
    assert len(set(asteroids["mover"])) == 4


def test_its_alerts_are_read_and_lie_in_its_images(sample: Path) -> None:
    alerts, failures = read_alerts([sample / "alerts.avro"])
    assert failures == []
    assert len(alerts) == 18
    images = {files.name for files in find_frames(sample)}
    assert {alert.image.removesuffix(".fits") for alert in alerts} == images


def test_the_command_writes_it_and_says_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "night"
    assert main(["sample", "-o", str(out)]) == 0
    assert f"next: streaks night {out}" in capsys.readouterr().out
    assert len(list(out.iterdir())) == 14


def test_a_folder_with_other_things_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["sample", "-o", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(OutputError, match="is not empty"):
        write_sample(tmp_path)
