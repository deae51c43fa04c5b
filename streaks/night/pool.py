"""Worker processes that survive what a frame does to them.

Each worker is warm (models and catalogues loaded once), has one thread, holds one task at a time
and is known by it: when a worker dies or takes too long, the task that did it is named, another
worker (`streaks.night.nursery`) takes its place and the rest goes on. `concurrent.futures` breaks
the whole pool instead and does not tell which task broke it.
"""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from streaks import errors
from streaks.errors import StreaksError
from streaks.night.nursery import BLOATED, SETUP_FAILED, Nursery

__all__ = [
    "Outcome",
    "as_streaks_error",
    "attempt",
    "one_line",
    "run_tasks",
    "settle",
]

_log = logging.getLogger(__name__)

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_READY, _DONE, _FAILED = "ready", "done", "failed"


@dataclass(frozen=True, eq=False)
class Outcome(Generic[Task, Answer]):
    """What became of one task: an answer, or the kind and reason of a failure."""

    task: Task
    answer: Answer | None = None
    kind: str = ""
    reason: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.kind)


def run_tasks(
    tasks: Iterable[Task],
    setup: Callable[[], Callable[[Task], Answer]],
    *,
    workers: int,
    time_limit_s: float = 600.0,
    memory_limit_mb: int = 0,
    ahead: Callable[[], object] | None = None,
) -> Iterator[Outcome[Task, Answer]]:
    """Outcomes of tasks, as they come.

    Parameters
    ----------
    tasks
        Picklable.
    setup
        Called once in each worker; gives the function that does a task. Picklable.
    workers
        Number of processes; 0 works in this process, without protection or time limit.
    time_limit_s
        A task that takes longer is stopped and named.
    memory_limit_mb
        A task for which its process would need more fails with a `MemoryError` and is named; 0
        for no limit. It counts memory of a process's own, asked for or used, not files it maps.
    ahead
        Loads what every worker needs; called once for all, in the process that they are forked
        from, and leaves no threads there. Picklable.

    Raises
    ------
    StreaksError
        When a worker cannot be set up; no task can be done then.
    """
    if workers == 0:
        yield from _run_here(tasks, setup)
        return
    bounded = functools.partial(_bounded, setup, memory_limit_mb) if memory_limit_mb else setup
    nursery = Nursery(functools.partial(_work, bounded), functools.partial(_prepare, ahead))
    pool: _Pool[Task, Answer] = _Pool(deque(tasks), nursery, time_limit_s)
    try:
        yield from pool.run(workers)
    finally:
        pool.stop()


def _bounded(
    setup: Callable[[], Callable[[Task], Answer]], memory_limit_mb: int
) -> Callable[[Task], Answer]:
    """The function that `setup` gives, in a process that may not grow beyond a limit."""
    import resource

    work = setup()
    size = memory_limit_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))

    def guarded(task: Task) -> Answer:
        try:
            return work(task)
        except MemoryError as error:
            text = " ".join(str(error).split())
            raise MemoryError(
                f"needs more than the {memory_limit_mb} MiB that a worker may hold"
                + (f" ({text})" if text else "")
            ) from None

    return guarded


def _run_here(
    tasks: Iterable[Task], setup: Callable[[], Callable[[Task], Answer]]
) -> Iterator[Outcome[Task, Answer]]:
    work = setup()
    for task in tasks:
        message, *rest = attempt(work, task)
        if message == _DONE:
            yield Outcome(task, answer=rest[0])
        else:
            yield Outcome(task, kind=rest[0], reason=rest[1])


@dataclass(eq=False)
class _Worker(Generic[Task]):
    pid: int
    pipe: connection.Connection
    task: Task | None = None
    ready: bool = False
    since: float = 0.0
    bloated: bool = False


class _Pool(Generic[Task, Answer]):
    """The workers at hand and the tasks that wait."""

    def __init__(self, waiting: deque[Task], nursery: Nursery, time_limit_s: float) -> None:
        self._waiting = waiting
        self._nursery = nursery
        self._time_limit_s = time_limit_s
        self._workers: list[_Worker[Task]] = []
        self._to_renew = 0

    def run(self, workers: int) -> Iterator[Outcome[Task, Answer]]:
        # Once for each at most: where what is compiled cannot be kept, it would never end.
        self._to_renew = workers
        for _ in range(min(workers, len(self._waiting))):
            self._start_worker()
        while self._workers:
            for worker in self._next_events():
                outcome = self._receive(worker)
                if outcome is not None:
                    yield outcome

    def stop(self) -> None:
        for worker in self._workers:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        for worker in self._workers:
            self._nursery.end(worker.pid, 5.0)
            worker.pipe.close()
        self._workers = []
        self._nursery.close()

    def _start_worker(self) -> None:
        try:
            self._workers.append(_Worker(*self._nursery.worker()))
        except RuntimeError as error:
            raise as_streaks_error(*error.args) from None
        except (EOFError, OSError):
            raise _died_while_starting(None) from None

    def _next_events(self) -> list[_Worker[Task]]:
        """Workers that have something to say, are dead, or are past their time."""
        by_pipe: dict[Any, _Worker[Task]] = {worker.pipe: worker for worker in self._workers}
        found = [by_pipe[p] for p in connection.wait(list(by_pipe), timeout=self._seconds_left())]
        late = [worker for worker in self._workers if self._is_late(worker)]
        return found + [worker for worker in late if worker not in found]

    def _is_late(self, worker: _Worker[Task]) -> bool:
        return worker.task is not None and time.monotonic() - worker.since > self._time_limit_s

    def _seconds_left(self) -> float | None:
        starts = [worker.since for worker in self._workers if worker.task is not None]
        if not starts:
            return None
        return max(0.0, min(starts) + self._time_limit_s - time.monotonic()) + 0.05

    def _receive(self, worker: _Worker[Task]) -> Outcome[Task, Answer] | None:
        message = _message(worker)
        if message is None:
            return self._bury(worker)
        kind, *rest = message
        if kind == SETUP_FAILED:
            raise as_streaks_error(*rest)
        if kind == BLOATED:
            worker.bloated = True
            return None
        worker.ready = True
        task, worker.task = worker.task, None
        self._give(worker)
        if task is None:
            return None
        if kind == _DONE:
            return Outcome(task, answer=rest[0])
        return Outcome(task, kind=rest[0], reason=rest[1])

    def _give(self, worker: _Worker[Task]) -> None:
        """The next task, or leave to go."""
        if self._waiting and worker.bloated and self._to_renew > 0:
            self._to_renew -= 1
            self._start_worker()
        elif self._waiting:
            worker.task, worker.since = self._waiting.popleft(), time.monotonic()
            with suppress(BrokenPipeError, ConnectionResetError):
                # If it died just now, its pipe says so next.
                worker.pipe.send(worker.task)
            return
        self._workers.remove(worker)
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.pipe.send(None)
        worker.pipe.close()
        self._nursery.end(worker.pid, 5.0)

    def _bury(self, worker: _Worker[Task]) -> Outcome[Task, Answer] | None:
        """A worker that died, or shall die for its slowness; another one takes its place."""
        late = self._is_late(worker)
        # One that is dead may take a moment to be gone; one that is slow is given none.
        code = self._nursery.end(worker.pid, 0.0 if late else 5.0)
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.task is None:
            if not worker.ready:
                raise _died_while_starting(code)
        elif late:
            reason = f"took longer than {self._time_limit_s:g} s and was stopped"
        else:
            reason = f"its worker process ended ({_death(code)}); out of memory, perhaps"
        if self._waiting:
            self._start_worker()
        if worker.task is None:
            return None
        return Outcome(worker.task, kind="WorkerLost", reason=reason)


def _message(worker: _Worker[Any]) -> tuple[Any, ...] | None:
    """What a worker says; None when it is dead or has nothing to say."""
    try:
        if worker.pipe.poll():
            received: tuple[Any, ...] = worker.pipe.recv()
            return received
    except (EOFError, OSError):
        pass
    return None


def _died_while_starting(code: int | None) -> StreaksError:
    return StreaksError(
        f"a worker process ended while starting ({_death(code)}); "
        "try fewer workers, or look for what stops it in the system's log"
    )


def _death(code: int | None) -> str:
    if code is None:
        return "exit code unknown"
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"


def as_streaks_error(kind: str, reason: str) -> StreaksError:
    """An error of this package by the name of its class, as far as there is such a class."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, StreaksError):
        try:
            return found(reason)
        except TypeError:
            pass
    return StreaksError(f"{kind}: {reason}")


def _prepare(ahead: Callable[[], object] | None) -> bool:
    """Load what all workers need; whether something had to be compiled for it."""
    settle()
    compiled: list[Any] = []
    _watch_compilation(compiled)
    if ahead is not None:
        ahead()
    return bool(compiled)


def settle() -> None:
    """What every process that does frames sets before its first: one thread, no chatter."""
    import cv2

    cv2.setNumThreads(1)
    # Libraries' own chatter would come once a worker; ours is kept with each frame.
    logging.getLogger("astropy").setLevel(logging.ERROR)


def _work(setup: Callable[[], Callable[[Any], Any]], pipe: connection.Connection) -> None:
    # Ctrl-C reaches the whole process group; the parent decides what is stopped.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    compiled: list[Any] = []
    try:
        settle()
        _watch_compilation(compiled)
        work = setup()
    except Exception as error:
        pipe.send((SETUP_FAILED, type(error).__name__, one_line(error)))
        return
    pipe.send((_READY,))
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        if task is None:
            return
        answer = attempt(work, task)
        if compiled:
            # What was compiled is kept on disk; what compiling took, 300 MB, the process keeps.
            pipe.send((BLOATED,))
            compiled.clear()
        pipe.send(answer)


def _watch_compilation(compiled: list[Any]) -> None:
    """Add to a list whatever numba compiles; what it finds in its cache does not count."""
    from numba.core import event

    class Watch(event.Listener):
        def on_start(self, event: Any) -> None:
            compiled.append(event.data)

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Watch())


def _die_with_parent() -> None:
    """A killed run must not leave workers behind that go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def attempt(work: Callable[[Any], Any], task: Any) -> tuple[Any, ...]:
    """``"done"`` and the answer, or ``"failed"`` with the error's kind and message."""
    try:
        return _DONE, work(task)
    except Exception as error:
        # Whatever a frame does, the night goes on and names it.
        if not isinstance(error, StreaksError):
            _log.warning("unexpected error", exc_info=True)
        return _FAILED, type(error).__name__, one_line(error)


def one_line(error: BaseException) -> str:
    """An error's message without line breaks; its class where it has none."""
    return " ".join(str(error).split())[:1000] or type(error).__name__
