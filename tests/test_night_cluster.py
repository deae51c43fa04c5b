"""A night on Dask writes what a night on this machine writes; its workers may die."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streaks.errors import ConfigError, MissingExtraError, ModelError, StreaksError
from streaks.night import run_night
from streaks.night.workers import dask_cluster as cluster
from streaks.night.workers.dask_cluster import dask_engine
from tests import night_fakes
from tests.night_fakes import EvenClassifier, SlowClassifier, sure
from tests.test_night_faults import ROOT, even, failures_of, results
from tests.test_night_run import write_frames

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

dask = pytest.importorskip("dask", reason="needs the `cluster` extra (Dask)")
distributed = pytest.importorskip("distributed", reason="needs the `cluster` extra (Dask)")


def by_task(engine, tasks, setup):
    with engine.opened(setup) as do_tasks:
        return {outcome.task: outcome for outcome in do_tasks(tasks)}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler and two workers, each a process of its own, over TCP."""
    with started_cluster(tmp_path_factory.mktemp("dask"), 2) as address:
        yield address


class started_cluster:
    """`dask scheduler` and `dask worker` as a person starts them."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder, self._n = folder, workers
        self._stack = ExitStack()

    def __enter__(self) -> str:
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        # A worker's nanny imports no more than it must; one that dies is started again.
        environment = {**os.environ, "PYTHONPATH": paths}
        address_file = self._folder / "scheduler.json"
        words = ["scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", address_file]
        self._start(words, environment)
        deadline = time.monotonic() + 60
        while not address_file.exists() or not address_file.read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for _ in range(self._n):
            words = ["worker", "--nthreads", "1", "--no-dashboard", "--scheduler-file"]
            self._start([*words, address_file], environment)
        import json

        return str(json.loads(address_file.read_text())["address"])

    def _start(self, words: list, environment: dict[str, str]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *map(str, words)],
            cwd=self._folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def test_over_tcp_the_night_is_the_same_byte_for_byte(tmp_path: Path, scheduler: str) -> None:
    write_frames(tmp_path / "in", 5)
    (tmp_path / "in" / "bad.fits").write_bytes(b"")
    even(tmp_path / "in", tmp_path / "here")
    run = even(tmp_path / "in", tmp_path / "there", engine=dask_engine(scheduler=scheduler))
    assert (run.n_done, len(run.failures)) == (5, 1)
    assert results(tmp_path / "there") == results(tmp_path / "here")
    assert failures_of(tmp_path / "there") == failures_of(tmp_path / "here")
    log = (tmp_path / "there" / "log.jsonl").read_text()
    # By other processes than this one.
    assert f"-{os.getpid()}" not in log


def test_a_worker_killed_in_mid_night_leaves_its_frames_to_others(
    tmp_path: Path, scheduler: str
) -> None:
    write_frames(tmp_path / "in", 6)
    pids = tmp_path / "pids"
    pids.mkdir()
    killed: list[int] = []

    def kill_one(state) -> None:
        if state.image and not killed:
            killed.append(int(next(iter(sorted(pids.iterdir()))).name))
            os.kill(killed[0], signal.SIGKILL)

    slow = functools.partial(
        run_night,
        tmp_path / "in",
        search=sure(functools.partial(SlowClassifier, str(pids)), "slow"),
    )
    run = slow(
        out_dir=tmp_path / "there", engine=dask_engine(scheduler=scheduler), progress=kill_one
    )
    assert killed
    assert (run.n_done, run.failures) == (6, ())
    slow(out_dir=tmp_path / "here", workers=0)
    assert results(tmp_path / "there") == results(tmp_path / "here")


@pytest.mark.slow
def test_a_task_that_takes_too_long_is_stopped_and_named(scheduler: str) -> None:
    engine = dask_engine(scheduler=scheduler, time_limit_s=3.0)
    found = by_task(engine, [1.0, 60.0, 4.0], night_fakes.square_setup)
    assert [found[x].answer for x in (1.0, 4.0)] == [1.0, 16.0]
    assert found[60.0].reason == "took longer than 3 s and was stopped"


def test_failures_and_broken_setups_are_named(scheduler: str) -> None:
    engine = dask_engine(scheduler=scheduler)
    found = by_task(engine, [1.0, 13.0, 4.0], night_fakes.square_setup)
    assert [found[x].answer for x in (1.0, 4.0)] == [1.0, 16.0]
    assert (found[13.0].kind, found[13.0].reason) == ("ValueError", "thirteen is not squared")
    with pytest.raises(ModelError, match="no such model here"):
        by_task(engine, [1.0], night_fakes.no_classifier)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_a_local_cluster_gives_the_same_night(tmp_path: Path, workers: int) -> None:
    write_frames(tmp_path / "in", 6)
    even(tmp_path / "in", tmp_path / "here")
    run_night(
        tmp_path / "in",
        tmp_path / "there",
        sure(EvenClassifier, "even"),
        engine=dask_engine(cluster="local", workers=workers),
    )
    assert results(tmp_path / "there") == results(tmp_path / "here")


def test_no_scheduler_at_an_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    engine = dask_engine(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(StreaksError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*"):
        by_task(engine, [1.0], night_fakes.square_setup)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "give either a scheduler's address or a kind of cluster"),
        ({"scheduler": "tcp://a:1", "cluster": "slurm"}, "not both"),
        ({"cluster": "pbs"}, "cluster is 'pbs'; expected one of slurm, htcondor, local"),
    ],
)
def test_wrong_words_are_named(words: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        dask_engine(**words)


@pytest.mark.parametrize(("kind", "maker"), [("slurm", "SLURM"), ("htcondor", "HTCondor")])
def test_a_batch_system_is_asked_for_as_many_workers(
    monkeypatch: pytest.MonkeyPatch, kind: str, maker: str
) -> None:
    """The cluster of dask-jobqueue is replaced by a local one that notes what it was asked."""
    asked: dict = {}

    class Batch(distributed.LocalCluster):
        def __init__(self, **words: object) -> None:
            asked.update(words)
            super().__init__(n_workers=0, threads_per_worker=1, processes=False,
                             dashboard_address=None)  # fmt: skip

        def scale(self, n: int = 0, jobs: int = 0) -> None:
            asked.setdefault("jobs", jobs)
            super().scale(jobs or n)

    module = type(sys)("dask_jobqueue")
    setattr(module, f"{maker}Cluster", Batch)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    engine = dask_engine(cluster=kind, workers=2)
    with dask.config.set({f"jobqueue.{kind}.memory": "3GiB"}):
        found = by_task(engine, [2.0, 3.0], night_fakes.square_setup)
    assert [found[x].answer for x in (2.0, 3.0)] == [4.0, 9.0]
    assert (asked["jobs"], asked["cores"], asked["memory"]) == (2, 1, "3GiB")


def test_without_dask_jobqueue_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    engine = dask_engine(cluster="slurm")
    with pytest.raises(MissingExtraError, match=r"a night on slurm needs dask-jobqueue"):
        by_task(engine, [1.0], night_fakes.square_setup)
