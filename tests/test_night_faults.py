"""What can befall a night: killed, full, read-only, removed, corrupted, hanging, greedy."""

from __future__ import annotations

import errno
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streaks.disk import writing as written
from streaks.errors import LedgerError, OutputError
from streaks.night import NightFolder, read_night, run_night
from streaks.night_folder.ledger import open_ledger
from streaks.readers import read_table
from tests.night_fakes import (
    BriefClassifier,
    EvenClassifier,
    GreedyClassifier,
    HangingClassifier,
    sure,
)
from tests.test_night_run import write_frame, write_frames

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

ROOT = Path(__file__).resolve().parents[1]

even = functools.partial(run_night, search=sure(EvenClassifier, "even"), workers=0)


def results(folder: Path) -> dict[str, bytes]:
    """Everything that a night leaves and that must not depend on how it was done."""
    found = {}
    for pattern in ("streaks.parquet", "tracklets.parquet", "*.psv", "*/*.npz", "*/*.jpg"):
        for path in folder.glob(pattern):
            found[str(path.relative_to(folder))] = path.read_bytes()
    for path in folder.glob("parts/*.parquet"):
        found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def failures_of(folder: Path) -> dict[str, str]:
    rows = read_table(folder / "frames.parquet")
    return {str(r["image"]): str(r["reason"]) for r in rows if str(r["state"]) == "failed"}


# ------------------------------------------------------------------------------------- killed

_SCRIPT = """
import sys
from streaks.night import run_night
from tests.night_fakes import BriefClassifier
from tests.night_fakes import sure
if __name__ == "__main__":
    run_night(sys.argv[1], sys.argv[2], sure(BriefClassifier, "brief"), workers=int(sys.argv[3]))
"""


def start_night(tmp_path: Path, out: Path, workers: int = 1) -> subprocess.Popen:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    words = [sys.executable, str(script), str(tmp_path / "in"), str(out), str(workers)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, start_new_session=True
    )


def kill_whole_run(run: subprocess.Popen) -> None:
    """The parent only, as the out-of-memory killer would; its workers must follow by themselves."""
    run.send_signal(signal.SIGKILL)
    run.wait()


brief = functools.partial(run_night, search=sure(BriefClassifier, "brief"), workers=0)


def resume(tmp_path: Path, out: Path) -> None:
    """Go on with a killed run, as soon as the last of its workers has noticed."""
    deadline = time.monotonic() + 10
    while True:
        try:
            brief(tmp_path / "in", out)
            return
        except LedgerError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def n_done(out: Path) -> int:
    return len(list(out.glob("parts/[!.]*.parquet")))


def wait_for_frames(out: Path, n: int) -> None:
    deadline = time.monotonic() + 60
    while n_done(out) < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def undisturbed(tmp_path: Path) -> dict[str, bytes]:
    """What a night of six frames and a bad file gives."""
    write_frames(tmp_path / "in", 6)
    (tmp_path / "in" / "bad.fits").write_bytes(b"")
    brief(tmp_path / "in", tmp_path / "whole")
    return results(tmp_path / "whole")


def test_killed_in_mid_night_and_resumed_gives_the_same_night(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path)
    out = tmp_path / "killed"
    run = start_night(tmp_path, out)
    wait_for_frames(out, 2)
    kill_whole_run(run)
    resume(tmp_path, out)
    assert results(out) == expected
    assert failures_of(out) == failures_of(tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_fifty_random_moments_and_resumed_gives_the_same_night(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(7)
    expected = undisturbed(tmp_path)
    start = time.monotonic()
    assert start_night(tmp_path, tmp_path / "timed").wait() == 0
    whole_s = time.monotonic() - start
    assert results(tmp_path / "timed") == expected
    found = []
    for k in range(50):
        out = tmp_path / f"killed{k}"
        run = start_night(tmp_path, out)
        if k % 3 == 0:
            # Any moment, most of them while processes start and load.
            time.sleep(rng.uniform(0.0, whole_s))
        else:
            wait_for_frames(out, rng.randint(1, 5))
            time.sleep(rng.uniform(0.0, 0.3))
        kill_whole_run(run)
        found.append(n_done(out))
        resume(tmp_path, out)
        assert results(out) == expected, f"kill {k}, after {found[-1]} frames"
        assert failures_of(out) == failures_of(tmp_path / "whole")
        shutil.rmtree(out)
    before, after = found.count(0), found.count(6)
    with capsys.disabled():
        sys.stdout.write(
            f"50 kills: {before} before the first frame was done, {50 - before - after} between "
            f"frames, {after} after the last; 50 of 50 nights the same\n"
        )
    # Else the moments missed what this is about.
    assert 50 - before - after >= 20


def test_results_that_the_ledger_was_not_told_of_are_taken_over(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    even(tmp_path / "in", tmp_path / "out")
    before = results(tmp_path / "out")
    with open_ledger(NightFolder(tmp_path / "out").ledger) as ledger:
        for entry in ledger.entries():
            ledger.forget(entry.image)
    again = even(tmp_path / "in", tmp_path / "out")
    assert (again.n_skipped, again.n_done) == (2, 2)
    assert results(tmp_path / "out") == before


def test_a_half_written_result_is_not_taken_over(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    even(tmp_path / "in", tmp_path / "out")
    before = results(tmp_path / "out")
    folder = NightFolder(tmp_path / "out")
    with open_ledger(folder.ledger) as ledger:
        for entry in ledger.entries():
            ledger.forget(entry.image)
    folder.part("frame_0").write_bytes(folder.part("frame_0").read_bytes()[:500])
    assert even(tmp_path / "in", tmp_path / "out").n_skipped == 1
    assert results(tmp_path / "out") == before


def test_a_touched_file_of_the_same_content_is_not_done_again(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 2)
    even(tmp_path / "in", tmp_path / "out")
    # A clock that jumped a day ahead.
    ahead = time.time() + 86400
    os.utime(tmp_path / "in" / "frame_0.fits", (ahead, ahead))
    assert even(tmp_path / "in", tmp_path / "out").n_skipped == 2


def test_a_clock_that_jumps_back_during_a_night_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "in", 3)
    ticks = iter(range(10**6))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600.0 * next(ticks))
    run = even(tmp_path / "in", tmp_path / "out")
    assert run.n_done == 3
    assert run.seconds > 0
    assert even(tmp_path / "in", tmp_path / "out").n_skipped == 3


# ---------------------------------------------------------------------------- the output folder


def fail_writing(monkeypatch: pytest.MonkeyPatch, code: int, after: int) -> None:
    """Files reach the disk a number of times, then no more."""
    left = iter(range(after))
    real = written._to_disk

    def to_disk(path: Path) -> None:
        if next(left, None) is None:
            raise OSError(code, os.strerror(code))
        real(path)

    monkeypatch.setattr(written, "_to_disk", to_disk)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_stops_the_night_with_the_reason_and_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    write_frames(tmp_path / "in", 4)
    with monkeypatch.context() as patch:
        # Settings, and three files of each of two frames.
        fail_writing(patch, code, 1 + 2 * 3)
        with pytest.raises(OutputError, match=f"{os.strerror(code)}.*night was stopped.*start it"):
            even(tmp_path / "in", tmp_path / "out")
    assert even(tmp_path / "in", tmp_path / "out").n_skipped == 2


_SMALL_DISK = """
import sys
from streaks.cli import main, night
if __name__ == "__main__":
    # In this process: what a disk does to a worker's files is told in the same way.
    night.worker_count = lambda asked: 0
    sys.exit(main(["night", "in", "-o", "disk/out", "--model", "none", "-q"]))
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full_stops_the_night_with_the_reason(tmp_path: Path) -> None:
    """On a tmpfs of 1 MiB in a name space of its own, where the system allows that."""
    write_frames(tmp_path / "in", 12)
    (tmp_path / "disk").mkdir()
    (tmp_path / "script.py").write_text(_SMALL_DISK)
    mount = "mount -t tmpfs -o size=1m none disk"
    if (
        not shutil.which("unshare")
        or subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount], cwd=tmp_path, capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("name spaces of one's own are not allowed here")
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && {sys.executable} script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2
    line = ended.stderr.strip().splitlines()[-1]
    assert "No space left on device" in line or "is full" in line
    assert "done stay done" in line or "start again" in line


def test_an_output_folder_that_cannot_be_made_is_named_at_once(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write to .*file/out"):
        even(tmp_path / "in", tmp_path / "file" / "out")


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_output_folder_removed_during_the_run_is_named(tmp_path: Path, workers: int) -> None:
    write_frames(tmp_path / "in", 3)

    def remove(state) -> None:
        if state.image:
            shutil.rmtree(tmp_path / "out", ignore_errors=True)

    with pytest.raises(OutputError, match=r"removed or replaced while the night ran|is gone"):
        even(tmp_path / "in", tmp_path / "out", workers=workers, progress=remove)
    assert even(tmp_path / "in", tmp_path / "out").n_done == 3


# ----------------------------------------------------------------------------------- the ledger


@pytest.mark.parametrize("damage", ["overwritten", "middle", "cut"])
def test_a_damaged_ledger_is_put_aside_and_finished_frames_are_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    write_frames(tmp_path / "in", 3)
    even(tmp_path / "in", tmp_path / "out")
    before = results(tmp_path / "out")
    path = NightFolder(tmp_path / "out").ledger
    content = bytearray(path.read_bytes())
    if damage == "overwritten":
        content = bytearray(b"no database at all" * 50)
    elif damage == "middle":
        content[4096:] = os.urandom(len(content) - 4096)
    else:
        content = content[: len(content) // 2]
    path.write_bytes(bytes(content))
    again = even(tmp_path / "in", tmp_path / "out")
    assert (again.n_skipped, again.n_done) == (3, 3)
    assert "the ledger was damaged; it is kept as" in caplog.text
    assert len(list((tmp_path / "out").glob("ledger-damaged-*.sqlite"))) == 1
    assert results(tmp_path / "out") == before


# ------------------------------------------------------------------------------------ the frames


@pytest.mark.slow
def test_a_frame_that_hangs_and_one_that_eats_memory_are_named_and_the_rest_is_done(
    tmp_path: Path,
) -> None:
    write_frames(tmp_path / "in", 2)
    for name, classifier, said in (
        ("hanging", HangingClassifier, "took longer than 8 s and was stopped"),
        ("greedy", GreedyClassifier, "needs more than the 3000 MiB that a worker may hold"),
    ):
        write_frame(tmp_path / "in" / f"{name}.fits", seed=9)
        run = run_night(
            tmp_path / "in",
            tmp_path / name,
            sure(classifier, name),
            workers=1,
            time_limit_s=8.0,
            memory_limit_mb=3000,
        )
        assert run.n_done == run.n_frames - 1
        ((path, reason),) = run.failures
        assert path.endswith(f"{name}.fits")
        assert said in reason
        # The reason may have gone by tomorrow: it is tried again.
        assert even(tmp_path / "in", tmp_path / name, restart=True).failures == ()
        (tmp_path / "in" / f"{name}.fits").unlink()


@pytest.mark.slow
def test_two_runs_at_once_in_one_folder_leave_one_whole_night(tmp_path: Path) -> None:
    write_frames(tmp_path / "in", 4)
    one, two = (start_night(tmp_path, tmp_path / "out") for _ in range(2))
    assert sorted([one.wait(), two.wait()]) in ([0, 1], [0, 0])
    assert len(read_night(tmp_path / "out").frames) == 4
