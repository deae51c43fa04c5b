"""Workers that survive what tasks do to them."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time

import pytest

from streaks.errors import ModelError, StreaksError
from streaks.night.workers.pool import Outcome, WorkerPool
from tests import night_fakes

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


#: With it the libraries that any task needs.
PRELOAD = ("tests.night_fakes",)


def run_tasks(tasks, setup, preload=PRELOAD, **options):
    """All outcomes of one list of tasks; libraries are loaded once, if this starts the server."""
    pool = WorkerPool(setup, preload=preload, **options)
    try:
        return list(pool.run(tasks))
    finally:
        pool.close()


def by_task(outcomes: list[Outcome]) -> dict[float, Outcome]:
    return {outcome.task: outcome for outcome in outcomes}


@pytest.mark.parametrize("workers", [0, 2])
def test_every_task_has_an_outcome_and_failures_are_named(workers: int) -> None:
    tasks = [1.0, 2.0, 13.0, 4.0, 5.0]
    found = by_task(list(run_tasks(tasks, night_fakes.square_setup, workers=workers)))
    assert sorted(found) == sorted(tasks)
    assert [found[x].answer for x in (1.0, 2.0, 4.0, 5.0)] == [1.0, 4.0, 16.0, 25.0]
    assert found[13.0].failed
    assert (found[13.0].kind, found[13.0].reason) == ("ValueError", "thirteen is not squared")


def test_a_task_that_kills_its_worker_is_named_and_the_rest_is_done() -> None:
    tasks = [1.0, 99.0, 3.0, 4.0]
    found = by_task(list(run_tasks(tasks, night_fakes.square_setup, workers=1)))
    assert found[99.0].kind == "WorkerLost"
    assert "killed by SIGKILL" in found[99.0].reason
    assert [found[x].answer for x in (1.0, 3.0, 4.0)] == [1.0, 9.0, 16.0]


def test_a_task_that_takes_too_long_is_stopped_and_named() -> None:
    found = by_task(
        list(run_tasks([60.0, 2.0], night_fakes.square_setup, workers=1, time_limit_s=1.0))
    )
    assert found[60.0].reason == "took longer than 1 s and was stopped"
    assert found[2.0].answer == 4.0


def test_a_task_that_needs_too_much_memory_is_named_and_the_rest_is_done() -> None:
    found = by_task(
        list(run_tasks([3e9, 2.0], night_fakes.growing_setup, workers=1, memory_limit_mb=1500))
    )
    assert found[3e9].kind == "MemoryError"
    assert found[3e9].reason.startswith("needs more than the 1500 MiB that a worker may hold")
    assert found[2.0].answer == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_setup_that_fails_is_an_error_of_its_own_kind(workers: int) -> None:
    with pytest.raises(ModelError, match="no such model here"):
        list(run_tasks([1.0], night_fakes.no_classifier, workers=workers))


def test_a_worker_that_ends_while_starting_is_an_error() -> None:
    with pytest.raises(StreaksError, match=r"ended while starting \(exit code 3\)"):
        list(run_tasks([1.0], night_fakes.dying_setup, workers=1))


def test_no_tasks_no_outcomes() -> None:
    assert list(run_tasks([], night_fakes.square_setup, workers=2)) == []


def test_workers_have_one_thread_and_this_process_keeps_its_own_settings() -> None:
    before = dict(os.environ)
    (outcome,) = run_tasks(["OMP_NUM_THREADS"], night_fakes.environment_setup, workers=1)
    assert outcome.answer == "1"
    assert dict(os.environ) == before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than GNU's")
def test_workers_keep_the_memory_of_an_image_for_the_next_one() -> None:
    (outcome,) = run_tasks([40_000_000], night_fakes.faults_setup, workers=1)
    # 9,766 pages of 4 KiB where it is given back between.
    assert outcome.answer < 100


def test_workers_stay_warm_from_one_list_of_tasks_to_the_next() -> None:
    pool = WorkerPool(night_fakes.pid_setup, workers=1, preload=PRELOAD)
    first = {outcome.answer for outcome in pool.run([1.0, 2.0, 3.0, 4.0])}
    again = {outcome.answer for outcome in pool.run([5.0, 6.0])}
    pool.close()
    assert again == first
    assert list(pool.run([])) == []


def test_a_worker_that_died_while_it_waited_is_replaced() -> None:
    pool = WorkerPool(night_fakes.pid_setup, workers=1, preload=PRELOAD)
    (first,) = pool.run([1.0])
    os.kill(first.answer, signal.SIGKILL)
    time.sleep(0.2)
    (second,) = pool.run([2.0])
    pool.close()
    assert not second.failed
    assert second.answer != first.answer


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_workers_are_forked_from_one_process_of_one_thread_that_has_loaded_libraries() -> None:
    found = run_tasks(
        [1.0, 2.0], night_fakes.origin_setup, workers=2, preload=["streaks.search.warm_up"]
    )
    ((parent, threads),) = {outcome.answer for outcome in found}
    assert parent != os.getpid()
    assert threads == 1


def test_workers_see_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAKS_TEST_WORD", "now")
    (outcome,) = run_tasks(["STREAKS_TEST_WORD"], night_fakes.environment_setup, workers=1)
    assert outcome.answer == "now"
