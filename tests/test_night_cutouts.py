"""A night's cutouts, read back in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streaks.errors import ConfigError, ReadError
from streaks.night import Night, read_cutouts, read_night
from tests.test_night_faults import even
from tests.test_night_run import write_frames

N_FRAMES = 5


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Five frames of one streak each."""
    root = tmp_path_factory.mktemp("cutouts")
    write_frames(root / "in", N_FRAMES)
    even(root / "in", root / "out")
    found = read_night(root / "out")
    assert len(found.streaks) == N_FRAMES
    return found


@pytest.mark.parametrize(("batch", "sizes"), [(2, [2, 2, 1]), (5, [5]), (100, [5]), (1, [1] * 5)])
def test_batches_hold_every_streak_once_and_in_order(night: Night, batch, sizes) -> None:
    found = list(read_cutouts(night, batch=batch))
    assert [len(cutouts) for _, cutouts in found] == sizes
    names = [name for _, cutouts in found for name in cutouts.names]
    assert names == [str(name) for name in night.streaks["streak_id"]]
    for rows, cutouts in found:
        assert [str(name) for name in rows["streak_id"]] == list(cutouts.names)


def test_a_cutout_is_the_one_that_was_written(night: Night) -> None:
    ((_, cutouts),) = read_cutouts(night.folder.root)
    for i, image in enumerate(night.streaks["image"]):
        np.testing.assert_array_equal(
            cutouts.difference[i], night.cutouts(str(image)).difference[0]
        )


def test_only_the_rows_asked_for_and_only_their_files_are_read(night: Night, monkeypatch) -> None:
    opened = []
    real = Night.cutouts
    monkeypatch.setattr(
        Night, "cutouts", lambda self, image: opened.append(image) or real(self, image)
    )
    wanted = np.array([False, True, False, False, True])
    ((rows, cutouts),) = read_cutouts(night, rows=wanted)
    assert list(rows["image"]) == ["frame_1", "frame_4"]
    assert len(cutouts) == 2
    assert opened == ["frame_1", "frame_4"]


def test_files_are_opened_as_batches_are_asked_for(night: Night, monkeypatch) -> None:
    opened = []
    real = Night.cutouts
    monkeypatch.setattr(
        Night, "cutouts", lambda self, image: opened.append(image) or real(self, image)
    )
    batches = read_cutouts(night, batch=2)
    assert opened == []
    next(batches)
    assert opened == ["frame_0", "frame_1"]


def test_no_rows_no_batches(night: Night) -> None:
    assert list(read_cutouts(night, rows=np.zeros(N_FRAMES, bool))) == []


def test_wrong_words_are_named(night: Night) -> None:
    with pytest.raises(ConfigError, match="a batch of 0 cutouts holds none"):
        read_cutouts(night, batch=0)
    with pytest.raises(ConfigError, match=r"rows is \(2,\), the night has 5 streaks"):
        read_cutouts(night, rows=np.ones(2, bool))


def test_cutouts_that_are_not_those_of_the_table_are_named(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    even(tmp_path / "in", tmp_path / "out")
    night = read_night(tmp_path / "out")
    night.folder.cutouts("frame_0").write_bytes(night.folder.cutouts("frame_1").read_bytes())
    with pytest.raises(ReadError, match=r"frame_0.npz lacks frame_0_\d+ and 0 more"):
        list(read_cutouts(night))
