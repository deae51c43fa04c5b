"""A night's small pieces, each by itself: no frame is searched here."""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import sqlite3
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from streaks.cutouts import Cutouts
from streaks.errors import OutputError, ReadError, StreaksError
from streaks.night import work
from streaks.night.merging import _damage
from streaks.night.planning import Plan
from streaks.night.run import NightRun, Progress, _Counter, _final_counts
from streaks.night.work import _memory_mb
from streaks.night.workers.dask_cluster import _Dispatcher
from streaks.night.workers.pool import _bounded
from streaks.night_folder import NightFolder
from streaks.night_folder.claim import claim_folder
from streaks.night_folder.frame_results import load_cutout, load_cutouts, save_cutouts
from streaks.night_folder.ledger import DONE, FAILED, Entry, is_damaged, is_there, open_ledger
from tests.night_fakes import SURE

# The counts of a run


def run_of(folder: Path, **more: Any) -> NightRun:
    values: dict[str, Any] = {
        "n_frames": 5, "n_done": 4, "n_skipped": 1, "n_streaks": 7,
        "failures": (("/a.fits", "it is empty"),), "seconds": 12.34567,
    }  # fmt: skip
    return NightRun(NightFolder(folder), **{**values, **more})


def test_totals_are_plain_numbers_that_json_holds(tmp_path: Path) -> None:
    run = run_of(tmp_path, by_class={"asteroid": 2, "ghost": 5}, expected_false=0.123456)
    assert json.loads(json.dumps(run.totals)) == {
        "frames": 5, "done": 4, "done_earlier": 1, "failed": 1, "streaks": 7, "asteroids": 2,
        "tracklets": 0, "candidates": 0, "expected_false": 0.123, "seconds": 12.346,
    }  # fmt: skip
    # JSON has no NaN.
    assert run_of(tmp_path).totals["expected_false"] is None
    assert run_of(tmp_path).totals["asteroids"] == 0


def test_streaks_without_a_class_are_counted_as_unnamed(tmp_path: Path) -> None:
    counts = _final_counts(run_of(tmp_path, by_class={"": 3, "ghost": 4}))
    assert counts["streaks"] == {"unnamed": 3, "ghost": 4}
    assert counts["frames"] == {"done": 4, "failed": 1}
    assert counts["finished"] == 1


def entry(image: str = "a", state: str = DONE, **values: Any) -> Entry:
    values = {"settings": "s", **values}
    return Entry(image=image, path=f"/{image}.fits", signature="[]", state=state, **values)


def test_outcomes_are_counted_on_from_those_of_earlier_runs(tmp_path: Path) -> None:
    told: list[Progress] = []
    plan = Plan(todo=[object()] * 3, n_done=4, n_failed=2)  # type: ignore[list-item]
    counter = _Counter(plan, told.append, NightFolder(tmp_path))
    counter.count(entry("a", n_streaks=3), 1)
    counter.count(entry("b", FAILED, reason="it is empty"), 0)
    counter.count(entry("c", n_streaks=2), 2)
    assert [(p.total, p.done, p.failed, p.n_now) for p in told] == [
        (9, 4, 2, 0), (9, 5, 2, 1), (9, 5, 3, 2), (9, 6, 3, 3),
    ]  # fmt: skip
    assert [(p.n_streaks, p.n_asteroids) for p in told] == [(0, 0), (3, 1), (3, 1), (5, 3)]
    assert (told[2].image, told[2].reason) == ("b", "it is empty")
    assert 0.0 <= told[1].seconds <= told[3].seconds < 5.0
    assert counter.counts.n_streaks == 5
    assert counter.counts.by_class == {"asteroid": 3}


def test_counts_are_kept_though_nobody_wants_to_be_told(tmp_path: Path) -> None:
    plan = Plan(todo=[], n_done=0, n_failed=0)
    counter = _Counter(plan, None, NightFolder(tmp_path))
    counter.count(entry(n_streaks=3), 1)
    assert counter.counts.n_streaks == 3


def test_counts_are_written_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("streaks.night.run.time.monotonic", lambda: now[0])
    plan = Plan(todo=[object()] * 9, n_done=0, n_failed=0)  # type: ignore[list-item]
    folder = NightFolder(tmp_path)
    counter = _Counter(plan, None, folder)
    counter.count(entry("a"), 0)
    assert not folder.metrics.exists()
    now[0] += 3600.0
    counter.count(entry("b", FAILED), 0)
    lines = folder.metrics.read_text().splitlines()
    name = tmp_path.name
    for state, n in (("done", 1), ("failed", 1), ("waiting", 7)):
        assert f'streaks_night_frames{{night="{name}",state="{state}"}} {n}' in lines
    assert f'streaks_night_run_seconds{{night="{name}"}} 3600' in lines
    assert f'streaks_night_finished{{night="{name}"}} 0' in lines
    folder.metrics.unlink()
    counter.count(entry("c"), 0)
    assert not folder.metrics.exists()


# Folders


@pytest.mark.parametrize(("n", "said"), [(1, "holds {0},"), (3, "holds {0}, {1}, {2},"),
                                         (5, "holds {0}, {1}, {2} and 2 more,")])  # fmt: skip
def test_what_lies_in_the_way_is_listed_up_to_three(tmp_path: Path, n: int, said: str) -> None:
    folder = NightFolder(tmp_path)
    for path in folder.night_files[:n]:
        path.write_text("mine")
    with pytest.raises(OutputError) as caught:
        claim_folder(folder)
    listed = str(caught.value).split(" holds ")[1].split(", which")[0]
    assert listed.count(", ") == min(n, 3) - 1
    assert (" and " in listed) == (n > 3)
    if n > 3:
        assert listed.endswith(" and 2 more")
    assert not folder.mark.exists()


def test_a_parts_number_has_as_many_digits_as_their_count(tmp_path: Path) -> None:
    night = NightFolder(tmp_path)
    assert night.part_of_night(2, 9).root.name == "part-2-of-9"
    assert night.part_of_night(2, 10).root.name == "part-02-of-10"
    assert night.part_of_night(2, 250).root.name == "part-002-of-250"


# Cutouts of one frame


def stack(n: int = 4) -> Cutouts:
    rng = np.random.default_rng(7)
    return Cutouts(
        rng.normal(size=(n, 9, 9)).astype(np.float32), rng.random((n, 9, 9)) < 0.1,
        tuple(f"frame_{i:04d}" for i in range(n)), science=rng.normal(size=(n, 9, 9)).astype("f4"),
        fwhm_px=rng.uniform(2, 3, n),
    )  # fmt: skip


def same(one: Cutouts, other: Cutouts, row: int) -> None:
    assert one.names == (other.names[row],)
    for what in ("difference", "mask", "science", "fwhm_px"):
        np.testing.assert_array_equal(getattr(one, what)[0], getattr(other, what)[row])
    assert one.reference is None


@pytest.mark.parametrize("row", [0, 1, 3])
@pytest.mark.parametrize("packed", [False, True])
def test_one_cutout_of_a_stack_is_its_row(tmp_path: Path, row: int, packed: bool) -> None:
    cutouts, path = stack(), tmp_path / "a.npz"
    save_cutouts(path, cutouts)
    if packed:
        with np.load(path) as file:
            np.savez_compressed(path, **{name: file[name] for name in file.files})
    same(load_cutout(path, cutouts.names[row]), cutouts, row)


def test_without_what_is_beside_only_the_difference_is_read(tmp_path: Path) -> None:
    save_cutouts(tmp_path / "a.npz", stack())
    assert load_cutouts(tmp_path / "a.npz").science is not None
    assert load_cutouts(tmp_path / "a.npz", beside=False).science is None


def test_a_cutout_that_is_not_in_the_stack_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_cutouts(path, stack())
    with pytest.raises(ReadError, match="lacks frame_0009; run the night again"):
        load_cutout(path, "frame_0009")
    with pytest.raises(ReadError, match="does not exist"):
        load_cutout(tmp_path / "b.npz", "frame_0000")


def test_a_stack_of_other_lengths_or_cut_short_is_damage(tmp_path: Path) -> None:
    path, cutouts = tmp_path / "a.npz", stack()
    np.savez(path, difference=cutouts.difference[:3], mask=cutouts.mask, names=cutouts.names)
    with pytest.raises(ReadError, match=r"difference.npy is \(3, 9, 9\) of float32; expected 4"):
        load_cutout(path, "frame_0001")
    save_cutouts(path, cutouts)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match="is damaged"):
        load_cutout(path, "frame_0001")


# The ledger


def test_a_missing_an_empty_and_a_sound_ledger_are_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    assert not is_damaged(path)
    path.write_bytes(b"")
    assert not is_damaged(path)
    path.unlink()
    with open_ledger(path) as ledger:
        ledger.record(entry())
    assert not is_damaged(path)


def test_a_file_that_is_no_database_or_of_another_format_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path) as ledger:
        ledger.record(entry())
    sound = path.read_bytes()
    path.write_bytes(b"x" + sound[1:])
    assert is_damaged(path)
    # SQLite's header: the versions to write and to read, 1 or 2, are its bytes 18 and 19.
    for at in (18, 19):
        path.write_bytes(sound[:at] + b"\x03" + sound[at + 1 :])
        assert is_damaged(path)
    path.write_bytes(sound[: len(sound) // 2])
    assert is_damaged(path)


@pytest.mark.parametrize(("schema", "damaged"), [("1", True), ("2", False), ("0", True),
                                                 ("x", True), ("99", False)])  # fmt: skip
def test_other_tables_are_damage_unless_a_newer_version_wrote_them(
    tmp_path: Path, schema: str, damaged: bool
) -> None:
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path) as ledger:
        ledger.record(entry())
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (schema,))
        database.execute("CREATE TABLE others (x TEXT)")
    database.close()
    assert is_damaged(path) == damaged


@pytest.mark.parametrize(("column", "value"), [
    ("image", "../a"), ("image", "x" * 300), ("path", "/a\0b"), ("n_streaks", 1.5),
    ("seconds", "long"), ("stages", "[1]"), ("stages", '{"find": "long"}'), ("about", "[]"),
    ("about", "no JSON"), ("signature", "{}"), ("signature", "[[1, 2]]"), ("signature", '["abc"]'),
    ("notes", b"\x01"),
])  # fmt: skip
def test_a_row_that_no_run_wrote_is_damaged_and_others_are_not(
    tmp_path: Path, column: str, value: Any
) -> None:
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path) as ledger:
        for image in ("a", "b"):
            told = {"signature": '[["a.fits", 2880, 17]]'} if image == "b" else {}
            ledger.record(
                Entry(**{**vars(entry(image, stages={"find": 1}, seconds=2, about={})), **told})
            )
        assert ledger.damaged() == []
    database = sqlite3.connect(path)
    with database:
        database.execute(f"UPDATE frames SET {column} = ? WHERE image = 'a'", (value,))
    database.close()
    with open_ledger(path) as ledger:
        (name,) = ledger.damaged()
        assert name == (str(value)[:100] if column == "image" else "a")
        assert [e.image for e in ledger.entries()] == ["b"]


def test_a_name_that_is_no_utf8_is_found_by_either_way_of_writing_it(tmp_path: Path) -> None:
    path = os.path.join(str(tmp_path), os.fsdecode(b"a\xff.fits"))
    assert not is_there(path)
    Path(path).write_text("")
    assert is_there(path)
    assert is_there(str(tmp_path) + r"/a\udcff.fits")
    assert not is_there(str(tmp_path) + r"/b\udcff.fits")
    assert is_there(str(tmp_path))


@pytest.mark.parametrize(("n", "listed"), [(1, "(a)"), (3, "(a, b, c)"), (5, "(a, b, c)")])
def test_a_part_tells_how_many_rows_are_damaged_and_lists_three(
    tmp_path: Path, n: int, listed: str
) -> None:
    part: Any = NightFolder(tmp_path / "part-1-of-2")
    ledger: Any = SimpleNamespace(damaged=lambda: list("abcde")[:n])
    failed, done, other = entry("x", FAILED), entry("y"), entry("z", settings="t")
    reasons = dict(_damage(part, ledger, [failed, done, other], "s"))
    assert f"{n} rows of its ledger are damaged {listed};" in reasons[str(part.root)]
    # What failed has no results, whatever the settings were.
    assert set(reasons) == {str(part.root), "/z.fits"}
    assert "done with other settings in part-1-of-2" in reasons["/z.fits"]


# Workers


def test_a_workers_memory_is_what_the_system_says() -> None:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    assert _memory_mb() == pytest.approx(int(line.split()[1]) / 1024, rel=0.1)


def test_a_worker_may_grow_up_to_its_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: (7, 10**12))
    monkeypatch.setattr(resource, "setrlimit", lambda what, pair: limits.append((what, pair)))

    def greedy(task: str) -> str:
        if task == "large":
            raise MemoryError("of 8 GiB")
        return task

    work = _bounded(lambda: greedy, 300)
    assert limits == [(resource.RLIMIT_DATA, (300 * 2**20, 10**12))]
    assert work("small") == "small"
    with pytest.raises(MemoryError, match=r"more than the 300 MiB .* hold \(of 8 GiB\)"):
        work("large")


class _Client:
    """A Dask client of so many workers, which takes tasks and does none."""

    def __init__(self) -> None:
        self.n_workers = 0
        self.taken: list[Any] = []

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": dict.fromkeys(range(self.n_workers))}

    def submit(self, function: Any, task: Any, *more: Any, pure: bool) -> Any:
        self.taken.append(task)
        return f"task-{task}"


def test_tasks_are_handed_out_as_there_are_workers_and_a_lack_of_them_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = _Client()
    waiting = deque(range(5))
    setup: Any = SimpleNamespace
    dispatcher = _Dispatcher(client, waiting, setup, "token", 10.0)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "streaks"):
        dispatcher._hand_out()
        dispatcher._hand_out()
        assert client.taken == []
        assert len(caplog.records) == 1
        client.n_workers = 2
        dispatcher._hand_out()
        dispatcher._hand_out()
        assert client.taken == [0, 1]
        assert len(caplog.records) == 1
        client.n_workers = 0
        dispatcher._hand_out()
        assert len(caplog.records) == 2
    assert "has no workers; waiting for some" in caplog.text


# Searches


@pytest.mark.parametrize("what", ["orbits", "tle"])
def test_a_catalogue_that_is_not_there_is_named_before_any_work(tmp_path: Path, what: str) -> None:
    from dataclasses import replace

    with pytest.raises(StreaksError, match="nothing_here"):
        replace(SURE, **{what: tmp_path / "nothing_here"}).prepare()


def test_nan_is_no_rate_before_the_first_frame_and_time_is_what_is_left() -> None:
    assert math.isnan(Progress(10, 2, 1, n_now=0, seconds=3.0).rate)
    assert math.isnan(Progress(10, 2, 1, n_now=3, seconds=0.0).rate)
    assert Progress(10, 2, 1, n_now=3, seconds=6.0).rate == pytest.approx(0.5)
    assert Progress(10, 2, 1, n_now=3, seconds=6.0).seconds_left == pytest.approx(14.0)


def test_a_worker_tells_what_a_frame_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Any] = []
    monkeypatch.setattr(work, "content_digest", lambda files: "abc")
    monkeypatch.setattr(work, "save_result", lambda folder, result, record: saved.append(record))
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=3 * 1024))
    streaks = Table({"label": ["asteroid", "ghost", "asteroid"]})

    def search_files(files: Any, overview_px: int) -> Any:
        logging.getLogger("streaks.readers").warning("no zero point")
        about = {"nx": 5, "path": "/a.fits"}
        return SimpleNamespace(
            about=about, streaks=streaks, seconds={"find": 2.0}, cpu_seconds={"find": 1.0}
        )

    search: Any = SimpleNamespace(
        prepare=lambda: SimpleNamespace(search_files=search_files), classifier="none"
    )
    task: Any = SimpleNamespace(files=None, image="a")
    done = work.prepare_work(NightFolder(tmp_path), search, "f")(task)
    # Linux counts in KiB.
    assert done.peak_mb == 3.0
    assert (done.n_streaks, done.n_asteroids, done.digest) == (3, 2, "abc")
    assert done.notes == "no zero point"
    assert done.stages["find"] == 2.0
    assert {"hash", "write"} <= set(done.stages) & set(done.cpu_stages)
    assert done.cpu_s < 5.0
    assert done.about["path"] == "/a.fits"
    # Where the file lies decides nothing and is not kept with the results.
    assert saved[0]["about"].keys() == {"nx", "version", "classifier"}
    assert saved[0]["settings"] == "f"


def test_a_stacks_file_holds_its_arrays_and_nothing_else(tmp_path: Path) -> None:
    save_cutouts(tmp_path / "a.npz", stack())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file.files) == {"difference", "mask", "names", "science", "fwhm_px"}
