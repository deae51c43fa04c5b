"""A whole night: bad frames named, stopped and started again, settings kept."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from streaks.errors import InputError, LedgerError, ReadError
from streaks.night import NightFolder, Progress, read_night, run_night
from streaks.night_folder.ledger import open_ledger
from streaks.search import Search
from streaks.tables import CLASS_COLUMNS, STREAK_COLUMNS, StreakFlag, check_table
from tests.ades_schema import problems
from tests.frame_files import add_trail, noise_image, write_ztf_frame
from tests.night_fakes import (
    SURE,
    DeadlyClassifier,
    EvenClassifier,
    SlowClassifier,
    no_classifier,
    sure,
)

SMALL = (161, 200)


def write_frame(path: Path, seed: int, shape: tuple[int, int] = SMALL) -> Path:
    data = noise_image(shape, seed)
    add_trail(data, (60.0, 40.0, 90.0 + seed, 70.0), flux=12000.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(data).writeto(path)
    return path


def write_frames(folder: Path, n: int) -> None:
    for i in range(n):
        write_frame(folder / f"frame_{i}.fits", seed=i + 1)


def write_mixed_folder(folder: Path) -> tuple[set[str], set[str]]:
    """Good frames and bad ones, as issue-worthy nights hold them: names of both."""
    good = write_ztf_frame(folder, noise_image(SMALL))
    fits.PrimaryHDU(noise_image(SMALL)).writeto(folder / "no_wcs.fits")
    write_frame(folder / "odd.fits", 5, (801, 1203))
    (folder / "truncated.fits.fz").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "empty.fits").write_bytes(b"")
    (folder / "text.fits").write_text("this is a text file")
    fits.PrimaryHDU(np.full(SMALL, np.nan, np.float32)).writeto(folder / "all_nan.fits")
    fits.PrimaryHDU(np.arange(50.0)).writeto(folder / "one_axis.fits")
    bad = {"truncated.fits.fz", "empty.fits", "text.fits", "all_nan.fits", "one_axis.fits"}
    return {good.name, "no_wcs.fits", "odd.fits"}, bad


def states(night_dir: Path) -> dict[str, str]:
    return {Path(str(r["path"])).name: str(r["state"]) for r in read_night(night_dir).frames}


def test_good_frames_are_done_and_bad_ones_named(tmp_path: Path) -> None:
    good, bad = write_mixed_folder(tmp_path / "in")
    run = run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    assert (run.n_frames, run.n_done) == (len(good | bad), len(good))
    assert states(tmp_path / "out") == dict.fromkeys(good, "done") | dict.fromkeys(bad, "failed")
    reasons = {Path(path).name: reason for path, reason in run.failures}
    assert "cut short" in reasons["truncated.fits.fz"]
    assert "is empty (0 bytes)" in reasons["empty.fits"]
    assert "not a FITS file" in reasons["text.fits"]
    assert "no usable pixel" in reasons["all_nan.fits"]
    assert "holds no 2-D image" in reasons["one_axis.fits"]


def test_a_night_is_read_back_whole(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    run = run_night(
        tmp_path / "in",
        tmp_path / "out",
        sure(EvenClassifier, "even"),
        workers=0,
    )
    night = read_night(tmp_path / "out")
    check_table(night.streaks, [*STREAK_COLUMNS, *CLASS_COLUMNS])
    assert len(night.streaks) == run.n_streaks >= 2
    assert [str(image) for image in night.frames["image"]] == ["frame_0", "frame_1"]
    assert night.frames["ny"].to_value("pix").tolist() == [161, 161]
    for image in ("frame_0", "frame_1"):
        mine = night.streaks[night.streaks["image"] == image]
        assert night.cutouts(image).names == tuple(str(name) for name in mine["streak_id"])
        assert (night.overview(image) or b"").startswith(b"\xff\xd8")
    assert night.run["classifier"] == "even"
    assert night.run["settings"]["detection"]["threshold_snr"] == 9.0


def write_moving(folder: Path, times_s: tuple[float, ...], step_px: float = 60.0) -> None:
    """One object in several exposures of one field: a trail of 30 px in 30 s, moved on in each."""
    for k, time_s in enumerate(times_s):
        data = noise_image((301, 412), seed=20 + k)
        x = 60.0 + step_px * k
        add_trail(data, (x, 120.0, x + 30.0, 120.0), flux=12000.0)
        stem = f"ztf_2018060719917{k}_000663_zr_c04_o_q2"
        write_ztf_frame(folder, data, stem=stem, OBSJD=2458276.6991782 + time_s / 86400)


def test_an_object_of_three_exposures_is_one_tracklet_in_all_tables(tmp_path: Path) -> None:
    write_moving(tmp_path / "in", (0.0, 60.0, 120.0))
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    night = read_night(tmp_path / "out")
    (row,) = night.tracklets
    assert row["n"] == 3
    # 60 px of 1.01 arcsec in 60 s.
    assert row["rate"].to_value("arcsec/s") == pytest.approx(1.01, rel=0.01)
    # East is at smaller x, and the object moves towards larger x.
    assert row["pa"].to_value("deg") == pytest.approx(270.0, abs=0.5)
    assert set(night.streaks["tracklet"]) == {str(row["tracklet"])}
    told = night.folder.submittable.read_text(encoding="utf-8")
    assert problems(told, complete=False) == []
    assert told.count(str(row["tracklet"])) == 3
    assert not night.folder.candidates.exists()


def test_what_stays_at_one_place_of_the_chip_is_flagged_and_no_tracklet(tmp_path: Path) -> None:
    for k in range(3):
        data = noise_image((301, 412), seed=20 + k)
        add_trail(data, (60.0, 120.0, 90.0, 120.0), flux=12000.0)
        stem = f"ztf_2018060719917{k}_00066{k}_zr_c04_o_q2"
        write_ztf_frame(
            tmp_path / "in", data, stem=stem, OBSJD=2458276.7 + k / 1440, CRVAL1=250.0 + k
        )
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    night = read_night(tmp_path / "out")
    assert [int(flags) & StreakFlag.REPEAT for flags in night.streaks["flags"]] == [4096] * 3
    assert len(night.tracklets) == 0


def test_a_night_of_bad_frames_only_has_tables_of_no_rows(tmp_path: Path) -> None:
    (tmp_path / "bad.fits").write_bytes(b"")
    run = run_night(tmp_path / "bad.fits", tmp_path / "out", workers=0)
    assert run.n_done == 0
    night = read_night(tmp_path / "out")
    check_table(night.streaks, STREAK_COLUMNS)
    assert len(night.streaks) == 0
    assert len(night.frames) == 1


def test_warnings_on_the_way_are_kept_with_the_frame(tmp_path: Path) -> None:
    write_ztf_frame(tmp_path / "in", noise_image(SMALL), CD1_1=0.0, CD2_2=0.0)
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    assert "WCS ignored" in str(read_night(tmp_path / "out").frames["notes"][0])


def test_started_again_nothing_is_done_twice(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    (tmp_path / "in" / "bad.fits").write_bytes(b"")
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    folder = NightFolder(tmp_path / "out")
    before = folder.streaks.read_bytes()
    stamps = [path.stat().st_mtime_ns for path in folder.outputs("frame_0")]
    seen: list[Progress] = []
    again = run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0, progress=seen.append)
    assert (again.n_done, again.n_skipped, len(again.failures)) == (2, 2, 1)
    assert [(p.done, p.failed, p.image) for p in seen] == [(2, 1, "")]
    assert [path.stat().st_mtime_ns for path in folder.outputs("frame_0")] == stamps
    assert folder.streaks.read_bytes() == before


def test_only_what_is_missing_or_changed_is_done(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 3)
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    NightFolder(tmp_path / "out").overview("frame_0").unlink()
    (tmp_path / "in" / "frame_1.fits").unlink()
    write_frame(tmp_path / "in" / "frame_1.fits", seed=44)
    write_frame(tmp_path / "in" / "new.fits", seed=45)
    seen: list[Progress] = []
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0, progress=seen.append)
    assert {p.image for p in seen if p.image} == {"frame_0", "frame_1", "new"}


def test_a_moved_folder_is_known_by_its_content(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    again = run_night(tmp_path / "elsewhere", tmp_path / "out", SURE, workers=0)
    assert again.n_skipped == 2
    assert len(read_night(tmp_path / "out").frames) == 2


def test_other_settings_are_refused_with_what_changed(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 1)
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    with pytest.raises(
        LedgerError, match=r"1 frames .* other settings \(detection.threshold_snr: 9.0, now"
    ):
        run_night(tmp_path / "in", tmp_path / "out", workers=0)
    run = run_night(tmp_path / "in", tmp_path / "out", workers=0, restart=True)
    assert (run.n_done, run.n_skipped) == (1, 0)


def test_a_frame_that_kills_its_worker_is_named_and_the_night_goes_on(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    write_frame(tmp_path / "in" / "killer.fits", seed=9)
    run = run_night(
        tmp_path / "in",
        tmp_path / "out",
        sure(DeadlyClassifier, "deadly"),
        workers=1,
    )
    ((path, reason),) = run.failures
    assert path.endswith("killer.fits")
    assert "killed by SIGKILL" in reason
    assert run.n_done == 2


def test_a_classifier_that_cannot_be_loaded_stops_the_night(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 1)
    with pytest.raises(Exception, match="no such model here"):
        run_night(tmp_path / "in", tmp_path / "out", sure(no_classifier, "none"))


def test_a_second_run_in_one_folder_is_kept_out(tmp_path: Path) -> None:
    import fcntl

    write_frames(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    with NightFolder(tmp_path / "out").lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match="another run is at work"):
            run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)


def test_a_missing_catalogue_is_named_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; give a file of orbits"):
        Search(orbits=tmp_path / "none.dat")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_what_is_no_night_is_not_read(tmp_path: Path, make) -> None:
    make(tmp_path / "x")
    with pytest.raises(ReadError, match=r"is no folder|is no night"):
        read_night(tmp_path / "x")


def test_an_unfinished_night_says_so(tmp_path: Path) -> None:
    with open_ledger(NightFolder(tmp_path).ledger):
        pass
    with pytest.raises(ReadError, match="was not finished; run it again"):
        read_night(tmp_path)


# ------------------------------------------------------------------------- killed and resumed

_SCRIPT = """
import functools, sys
from streaks.night import run_night
from tests.night_fakes import SlowClassifier
from tests.night_fakes import sure
if __name__ == "__main__":
    slow = functools.partial(SlowClassifier, sys.argv[3])
    run_night(sys.argv[1], sys.argv[2], sure(slow, "slow"), workers=2)
"""


def _wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_a_killed_night_started_again_gives_the_same_tables(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 6)
    pids = tmp_path / "pids"
    pids.mkdir()
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    root = Path(__file__).resolve().parents[1]
    arguments = [
        sys.executable,
        str(script),
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        str(pids),
    ]
    run = subprocess.Popen(arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    parts = tmp_path / "out" / "parts"
    _wait_until(lambda: parts.is_dir() and len(list(parts.glob("frame*.parquet"))) >= 2)
    run.send_signal(signal.SIGKILL)
    run.wait()
    _wait_until(lambda: not any(_alive(int(p.name)) for p in pids.iterdir()), 10.0)

    # In this process: what comes out does not depend on who did it.
    again = functools.partial(
        run_night,
        tmp_path / "in",
        search=sure(functools.partial(SlowClassifier, str(pids)), "slow"),
        workers=0,
    )
    resumed = again(out_dir=tmp_path / "out")
    assert 0 < resumed.n_skipped < 6
    again(out_dir=tmp_path / "whole")
    for name in ("streaks.parquet", "cutouts/frame_3.npz", "overviews/frame_5.jpg"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    kept = {".lock", ".streaks-night"}
    leftovers = [p for p in (tmp_path / "out").rglob(".*") if p.name not in kept]
    assert leftovers == []
