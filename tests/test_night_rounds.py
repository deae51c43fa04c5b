"""What decides whether a frame is done again: faults that pass, damage, versions, profiles."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from streaks.errors import LedgerError
from streaks.night import NightFolder, read_night, run_night
from streaks.night.run import Progress
from streaks.search import Search
from tests.frame_files import add_trail, noise_image, write_ztf_frame
from tests.night_fakes import SURE, EvenClassifier, sure
from tests.test_night_run import SMALL, write_frame, write_frames

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


def done_now(folder: Path, search: Search = SURE, **options: object) -> set[str]:
    """Names of the frames that a run of ``in`` to ``out`` does."""
    seen: list[Progress] = []
    run_night(folder / "in", folder / "out", search, workers=0, progress=seen.append, **options)
    return {state.image for state in seen if state.image}


def test_a_frame_that_could_not_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "in", 2)
    real_open = os.open

    def refused(path: object, *args: int, **words: object) -> int:
        if str(path).endswith("frame_1.fits"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *args, **words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        assert done_now(tmp_path) == {"frame_0", "frame_1"}
    frames = read_night(tmp_path / "out").frames
    assert list(frames["state"]) == ["done", "failed"]
    assert str(frames["kind"][1]) == "AccessError"
    assert done_now(tmp_path) == {"frame_1"}
    assert list(read_night(tmp_path / "out").frames["state"]) == ["done", "done"]


def test_a_file_that_was_away_is_tried_again(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 1)
    gone = tmp_path / "in" / "frame_0.fits"
    gone.rename(tmp_path / "kept")
    listed = tmp_path / "list.txt"
    listed.write_text(f"{gone}\n")
    assert run_night(listed, tmp_path / "out", SURE, workers=0).n_done == 0
    (tmp_path / "kept").rename(gone)
    assert run_night(listed, tmp_path / "out", SURE, workers=0).n_done == 1


def test_a_frame_that_cannot_be_read_is_left_until_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "in", 1)
    (tmp_path / "in" / "bad.fits").write_text("no image")
    assert done_now(tmp_path) == {"frame_0", "bad"}
    assert done_now(tmp_path) == set()
    monkeypatch.setattr("streaks.night.planning.__version__", "99.0")
    monkeypatch.setattr("streaks.night.run.__version__", "99.0")
    assert done_now(tmp_path) == {"bad"}


@pytest.mark.parametrize("what", ["part", "cutouts"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_results_that_were_cut_short_are_made_again(tmp_path: Path, what: str, kept: float) -> None:
    write_frames(tmp_path / "in", 2)
    done_now(tmp_path)
    path = getattr(NightFolder(tmp_path / "out"), what)("frame_1")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert done_now(tmp_path) == {"frame_1"}
    assert path.read_bytes() == whole


def test_a_table_damaged_in_its_middle_is_made_again_in_the_same_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_frames(tmp_path / "in", 2)
    done_now(tmp_path)
    folder = NightFolder(tmp_path / "out")
    before = folder.streaks.read_bytes()
    whole = folder.part("frame_0").read_bytes()
    # Columns stand before what closes the file, and only reading them tells.
    folder.part("frame_0").write_bytes(whole[:4] + bytes(200) + whole[204:])
    assert done_now(tmp_path) == {"frame_0"}
    assert "frame_0: its results are damaged" in caplog.text
    assert folder.part("frame_0").read_bytes() == whole
    assert folder.streaks.read_bytes() == before


def test_a_flipped_bit_of_cutouts_is_found_when_asked_for(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 1)
    done_now(tmp_path)
    path = NightFolder(tmp_path / "out").cutouts("frame_0")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    assert done_now(tmp_path) == set()
    assert done_now(tmp_path, verify=True) == {"frame_0"}
    assert done_now(tmp_path, verify=True) == set()


def test_a_science_image_changed_in_place_is_seen(tmp_path: Path) -> None:
    data = noise_image()
    add_trail(data, (60.0, 40.0, 95.0, 70.0), flux=12000.0)
    image = write_ztf_frame(tmp_path / "in", data, context=True)
    done_now(tmp_path)
    assert done_now(tmp_path) == set()
    (science,) = image.parent.glob("*sciimg.fits")
    with fits.open(science) as file:
        file[0].data = file[0].data + np.float32(1.0)
        file.writeto(science, overwrite=True)
    assert len(done_now(tmp_path)) == 1


def test_each_frame_says_which_version_did_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_frames(tmp_path / "in", 1)
    even = sure(EvenClassifier, "even")
    for module in ("planning", "run", "work"):
        monkeypatch.setattr(f"streaks.night.{module}.__version__", "0.0.9")
    done_now(tmp_path, even)
    for module in ("planning", "run", "work"):
        monkeypatch.setattr(f"streaks.night.{module}.__version__", "0.2.0")
    write_frame(tmp_path / "in" / "later.fits", seed=9)
    assert done_now(tmp_path, even) == {"later"}
    assert "1 frames here were done by streaks 0.0.9, this is 0.2.0" in caplog.text
    night = read_night(tmp_path / "out")
    assert list(night.frames["version"]) == ["0.0.9", "0.2.0"]
    assert list(night.frames["classifier"]) == ["even", "even"]
    assert list(night.frames["profile"]) == ["generic", "generic"]
    assert night.streaks.meta["provenance"]["version"] == "0.0.9 0.2.0"


def test_an_edited_profile_is_another_run(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 1)
    profile = tmp_path / "my.toml"
    profile.write_text('name = "mine"\ntitle = "one"\n')
    search = replace(SURE, profile=str(profile))
    done_now(tmp_path, search)
    assert done_now(tmp_path, search) == set()
    profile.write_text('name = "mine"\ntitle = "two"\n')
    with pytest.raises(LedgerError, match=r"other settings \(profile: my.toml .*, now my.toml"):
        done_now(tmp_path, search)


def test_what_the_user_knows_better_is_of_the_run(tmp_path: Path) -> None:
    from streaks.readers import FrameOverrides

    write_frames(tmp_path / "in", 1)
    done_now(tmp_path)
    other = replace(SURE, overrides=FrameOverrides(gain=2.0))
    with pytest.raises(LedgerError, match=r"overrides"):
        done_now(tmp_path, other)


# ------------------------------------------------------------------------------- parts of a night


def test_parts_of_a_night_merge_to_the_tables_of_one_run(tmp_path: Path) -> None:
    from streaks.night import merge_night

    write_frames(tmp_path / "in", 5)
    (tmp_path / "in" / "bad.fits").write_bytes(b"")
    whole = run_night(tmp_path / "in", tmp_path / "whole", SURE, workers=0)
    for i in (1, 2, 3):
        run_night(tmp_path / "in", tmp_path / "parts", SURE, workers=0, part=(i, 3))
    merged = merge_night(tmp_path / "parts", SURE.settings)
    assert merged.totals | {"seconds": 0} == whole.totals | {"seconds": 0}
    for name in ("streaks.parquet", "tracklets.parquet"):
        one, other = (tmp_path / where / name for where in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes()
    night = read_night(tmp_path / "parts")
    columns = ("image", "path", "state", "reason", "n_streaks", "version")
    for name in columns:
        assert list(night.frames[name]) == list(read_night(tmp_path / "whole").frames[name])
    assert night.cutouts("frame_3").names
    # And once more: nothing is lost, nothing is there twice.
    again = merge_night(tmp_path / "parts", SURE.settings)
    assert again.totals | {"seconds": 0} == merged.totals | {"seconds": 0}


def test_a_part_that_was_not_done_is_named(tmp_path: Path) -> None:
    from streaks.night import merge_night

    write_frames(tmp_path / "in", 4)
    for i in (1, 3):
        run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0, part=(i, 3))
    run = merge_night(tmp_path / "out", SURE.settings)
    assert run.n_done == 3
    ((where, reason),) = run.failures
    assert where.endswith("part-2-of-3")
    assert reason == "this part of the night was not done"


def test_parts_of_other_settings_are_not_merged(tmp_path: Path) -> None:
    from streaks.night import merge_night

    write_frames(tmp_path / "in", 2)
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0, part=(1, 2))
    run_night(tmp_path / "in", tmp_path / "out", workers=0, part=(2, 2))
    changed = r"detection.threshold_snr: 9.0, in part-2-of-2 5.8"
    with pytest.raises(LedgerError, match=rf"than part-1-of-2 \({changed}\)"):
        merge_night(tmp_path / "out")


def test_there_is_no_part_beyond_the_last(tmp_path: Path) -> None:
    from streaks.errors import ConfigError

    write_frames(tmp_path / "in", 1)
    with pytest.raises(ConfigError, match="part is 3 of 2; expected 1 to 2"):
        run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0, part=(3, 2))


def test_frames_as_small_as_these_have_streaks(tmp_path: Path) -> None:
    """What the tests above compare is not empty."""
    write_frame(tmp_path / "a.fits", 1, SMALL)
    assert run_night(tmp_path / "a.fits", tmp_path / "out", SURE, workers=0).n_streaks >= 1


# ------------------------------------------------------------------- which frame is which


def test_after_a_lost_ledger_results_of_another_content_are_not_taken_over(
    tmp_path: Path,
) -> None:
    write_frames(tmp_path / "in", 2)
    done_now(tmp_path)
    size = (tmp_path / "in" / "frame_1.fits").stat().st_size
    (tmp_path / "in" / "frame_1.fits").unlink()
    assert write_frame(tmp_path / "in" / "frame_1.fits", seed=77).stat().st_size == size
    NightFolder(tmp_path / "out").ledger.unlink()
    assert done_now(tmp_path) == {"frame_1"}


def test_a_copy_of_a_frame_whose_old_file_is_still_there_is_a_frame_of_its_own(
    tmp_path: Path,
) -> None:
    write_frames(tmp_path / "in", 1)
    done_now(tmp_path)
    (tmp_path / "copy").mkdir()
    shutil.copy2(tmp_path / "in" / "frame_0.fits", tmp_path / "copy" / "frame_0.fits")
    run = run_night(tmp_path / "copy", tmp_path / "out", SURE, workers=0)
    assert (run.n_done, run.n_skipped) == (1, 0)
    frames = read_night(tmp_path / "out").frames
    assert sorted(Path(str(p)).parent.name for p in frames["path"]) == ["copy", "in"]
    assert len(set(frames["image"])) == 2


def test_a_copy_of_another_name_is_no_move_either(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 1)
    done_now(tmp_path)
    shutil.copy2(tmp_path / "in" / "frame_0.fits", tmp_path / "in" / "twin.fits")
    assert done_now(tmp_path) == {"twin"}
    assert list(read_night(tmp_path / "out").frames["image"]) == ["frame_0", "twin"]
