"""Worker processes and where they come from."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from multiprocessing import connection

import pytest

from streaks.errors import ModelError, StreaksError
from streaks.night.nursery import Nursery
from streaks.night.pool import run_tasks
from streaks.night.practice import load_ahead
from tests.night_fakes import square_setup

linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


def say_parent(pipe: connection.Connection) -> None:
    pipe.send((os.getpid(), os.getppid()))
    if pipe.recv() == "hang":
        signal.pause()
    sys.exit(3)


def prepared() -> bool:
    return False


def prepared_but_grown(folder: str) -> bool:
    """Counts how often it is called; grown each time."""
    with open(os.path.join(folder, "calls"), "a", encoding="ascii") as file:
        file.write("x")
    return True


def not_prepared() -> bool:
    raise ModelError("nothing\nthere")


@pytest.fixture
def nursery():
    nursery = Nursery(say_parent, prepared)
    yield nursery
    nursery.close()


@linux
def test_workers_are_forked_from_one_process(nursery: Nursery) -> None:
    workers = [nursery.worker() for _ in range(2)]
    said = [pipe.recv() for _, pipe in workers]
    assert [pid for pid, _ in workers] == [pid for pid, _ in said]
    assert said[0][1] == said[1][1] != os.getpid()


def test_the_end_of_a_worker_is_told_by_its_pipe_and_its_exit_code(nursery: Nursery) -> None:
    pid, pipe = nursery.worker()
    pipe.recv()
    pipe.send("leave")
    with pytest.raises(EOFError):
        pipe.recv()
    assert nursery.end(pid, 5.0) == 3


def test_a_worker_that_does_not_end_is_killed(nursery: Nursery) -> None:
    pid, pipe = nursery.worker()
    pipe.recv()
    pipe.send("hang")
    assert nursery.end(pid, 0.1) == -signal.SIGKILL


@linux
def test_workers_come_from_another_process_when_theirs_has_died(nursery: Nursery) -> None:
    first, pipe = nursery.worker()
    os.kill(pipe.recv()[1], signal.SIGKILL)
    pipe.send("leave")
    assert nursery.end(first, 5.0) is None
    second, pipe = nursery.worker()
    assert pipe.recv()[0] == second


@linux
def test_a_process_that_grew_while_preparing_is_replaced_once(tmp_path) -> None:
    nursery = Nursery(say_parent, functools.partial(prepared_but_grown, str(tmp_path)))
    pid, pipe = nursery.worker()
    pipe.recv()
    pipe.send("leave")
    nursery.end(pid, 5.0)
    nursery.close()
    assert (tmp_path / "calls").read_text() == "xx"


@linux
def test_what_fails_while_preparing_is_an_error_of_its_own_kind() -> None:
    with pytest.raises(ModelError, match="nothing there"):
        list(run_tasks([1.0], square_setup, workers=1, ahead=not_prepared))


@linux
def test_a_process_that_dies_while_preparing_is_an_error() -> None:
    with pytest.raises(StreaksError, match="ended while starting"):
        list(run_tasks([1.0], square_setup, workers=1, ahead=functools.partial(os._exit, 7)))


def leave_a_thread() -> bool:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return False


@linux
def test_where_preparing_leaves_a_thread_each_worker_starts_anew() -> None:
    nursery = Nursery(say_parent, leave_a_thread)
    pid, pipe = nursery.worker()
    assert pipe.recv() == (pid, os.getpid())
    pipe.send("leave")
    assert nursery.end(pid, 5.0) == 3
    nursery.close()


def threads_where_it_came_from(_: float) -> int:
    return len(os.listdir(f"/proc/{os.getppid()}/task"))


def threads_setup():
    return threads_where_it_came_from


@linux
def test_loading_ahead_leaves_no_threads_behind() -> None:
    (found,) = run_tasks([1.0], threads_setup, workers=1, ahead=load_ahead)
    assert found.answer == 1
