"""Worker processes that survive what a frame does to them.

Each worker is warm (models and catalogues loaded once), has one thread, holds one task at a time
and is known by it: when a worker dies or takes too long, the task that did it is named, another
worker takes its place and the rest goes on. `concurrent.futures` breaks the whole pool instead and
does not tell which task broke it.
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
from streaks.night.workers.forkserver import start_process

__all__ = [
    "Outcome",
    "WorkerPool",
    "as_streaks_error",
    "attempt",
    "one_line",
    "prepare_process",
]

_log = logging.getLogger(__name__)

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_READY, _DONE, _FAILED, _SETUP_FAILED = "ready", "done", "failed", "setup failed"
#: A worker that is told to end, or whose pipe is closed, is given so long.
_PATIENCE_S = 5.0


@dataclass(frozen=True, eq=False)
class Outcome(Generic[Task, Answer]):
    """What became of one task: an answer, or the kind and reason of a failure.

    Parameters
    ----------
    task
        As it was given.
    answer
        What the task's function gave; None where it failed.
    kind
        Class of the error, or ``WorkerLost`` where the process died or was stopped; empty for none.
    reason
        The error's message, in one line.
    """

    task: Task
    answer: Answer | None = None
    kind: str = ""
    reason: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.kind)


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: connection.Connection
    task: Any = None
    busy: bool = False
    ready: bool = False
    since: float = 0.0


class WorkerPool:
    """Processes of this machine that do tasks; they stay warm from one `run` to the next.

    Parameters
    ----------
    setup
        Called once in each worker; gives the function that does a task. Picklable.
    workers
        Number of processes; 0 works in this process, without protection or time limit.
    time_limit_s
        A task that takes longer is stopped and named.
    memory_limit_mb
        A task for which its process would need more fails with a `MemoryError` and is named; 0
        for no limit. It counts memory of a process's own, asked for or used, not files it maps.
    preload
        Modules that every worker needs: loaded once, in the process that workers are forked from.
    """

    def __init__(
        self,
        setup: Callable[[], Callable[[Any], Any]],
        *,
        workers: int,
        time_limit_s: float = 600.0,
        memory_limit_mb: int = 0,
        preload: Iterable[str] = (),
    ) -> None:
        self._setup = (
            functools.partial(_bounded, setup, memory_limit_mb)
            if memory_limit_mb and workers
            else setup
        )
        self._n_workers = workers
        self._time_limit_s = time_limit_s
        self._preload = tuple(preload)
        self._waiting: deque[Any] = deque()
        self._workers: list[_Worker] = []
        self._here: Callable[[Any], Any] | None = None

    def run(self, tasks: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        """Outcomes of tasks, as they come.

        Parameters
        ----------
        tasks
            Picklable.

        Yields
        ------
        Outcome
            One a task, in the order in which they end.

        Raises
        ------
        StreaksError
            When a worker cannot be set up; no task can be done then.
        """
        if self._n_workers == 0:
            yield from self._run_here(tasks)
            return
        self._waiting = deque(tasks)
        self._workers = [worker for worker in self._workers if self._is_alive(worker)]
        for worker in self._workers:
            if worker.ready:
                self._give(worker)
        self._start_missing()
        while any(worker.busy or not worker.ready for worker in self._workers):
            for worker in self._next_events():
                outcome = self._receive(worker)
                if outcome is not None:
                    yield outcome

    def close(self) -> None:
        """End all workers; one that is at work is stopped."""
        self._waiting.clear()
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            _exit_code(worker, _PATIENCE_S)
            worker.pipe.close()
        self._workers = []

    def _run_here(self, tasks: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        for task in tasks:
            if self._here is None:
                self._here = self._setup()
            message, *rest = attempt(self._here, task)
            if message == _DONE:
                yield Outcome(task, answer=rest[0])
            else:
                yield Outcome(task, kind=rest[0], reason=rest[1])

    def _start_missing(self) -> None:
        """As many workers as there is work for; those that start have not taken theirs yet."""
        starting = sum(not worker.ready for worker in self._workers)
        free = self._n_workers - len(self._workers)
        for _ in range(min(free, len(self._waiting) - starting)):
            ours, theirs = multiprocessing.Pipe()
            process = start_process(_work, (self._setup, theirs), preload=self._preload)
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def _is_alive(self, worker: _Worker) -> bool:
        """Whether a worker of an earlier run is still there; one that died idle is forgotten."""
        if worker.process.is_alive():
            return True
        worker.pipe.close()
        return False

    def _next_events(self) -> list[_Worker]:
        """Workers that have something to say, are dead, or are past their time."""
        by_pipe: dict[Any, _Worker] = {
            worker.pipe: worker for worker in self._workers if worker.busy or not worker.ready
        }
        found = [by_pipe[p] for p in connection.wait(list(by_pipe), timeout=self._seconds_left())]
        late = [worker for worker in self._workers if self._is_late(worker)]
        return found + [worker for worker in late if worker not in found]

    def _is_late(self, worker: _Worker) -> bool:
        return worker.busy and time.monotonic() - worker.since > self._time_limit_s

    def _seconds_left(self) -> float | None:
        starts = [worker.since for worker in self._workers if worker.busy]
        if not starts:
            return None
        return max(0.0, min(starts) + self._time_limit_s - time.monotonic()) + 0.05

    def _receive(self, worker: _Worker) -> Outcome[Any, Any] | None:
        message = _message(worker)
        if message is None:
            return self._replace(worker)
        kind, *rest = message
        if kind == _SETUP_FAILED:
            raise as_streaks_error(*rest)
        worker.ready = True
        task, was_busy, worker.busy = worker.task, worker.busy, False
        self._give(worker)
        if not was_busy:
            return None
        if kind == _DONE:
            return Outcome(task, answer=rest[0])
        return Outcome(task, kind=rest[0], reason=rest[1])

    def _give(self, worker: _Worker) -> None:
        """The next task, if one waits."""
        if self._waiting:
            worker.task, worker.since = self._waiting.popleft(), time.monotonic()
            worker.busy = True
            with suppress(BrokenPipeError, ConnectionResetError):
                # If it died just now, its pipe says so next.
                worker.pipe.send(worker.task)

    def _replace(self, worker: _Worker) -> Outcome[Any, Any] | None:
        """A worker that died, or is stopped for its slowness, makes room for another one."""
        late = self._is_late(worker)
        # One that is dead may take a moment to be gone; one that is slow is given none.
        code = _exit_code(worker, 0.0 if late else _PATIENCE_S)
        worker.pipe.close()
        self._workers.remove(worker)
        if not worker.busy:
            raise StreaksError(
                f"a worker process ended while starting ({_death(code)}); "
                "try fewer workers, or look for what stops it in the system's log"
            )
        self._start_missing()
        if late:
            reason = f"took longer than {self._time_limit_s:g} s and was stopped"
        else:
            reason = f"its worker process ended ({_death(code)}); out of memory, perhaps"
        return Outcome(worker.task, kind="WorkerLost", reason=reason)


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


def _exit_code(worker: _Worker, patience_s: float) -> int | None:
    """The exit code of a worker that ends, or is killed when that takes too long."""
    worker.process.join(patience_s)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    code: int | None = worker.process.exitcode
    return code


def _message(worker: _Worker) -> tuple[Any, ...] | None:
    """What a worker says; None when it is dead or has nothing to say."""
    try:
        if worker.pipe.poll():
            received: tuple[Any, ...] = worker.pipe.recv()
            return received
    except (EOFError, OSError):
        pass
    return None


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
    """An error of this package by the name of its class, as far as there is such a class.

    Parameters
    ----------
    kind
        Name of the error's class.
    reason
        Its message.

    Returns
    -------
    StreaksError
        Not raised. Of that class where `streaks.errors` has it and it takes a message alone; else a
        plain one, with `kind` in its message.
    """
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, StreaksError):
        try:
            return found(reason)
        except TypeError:
            pass
    return StreaksError(f"{kind}: {reason}")


def prepare_process() -> None:
    """What every process that does frames sets before its first: one thread, no chatter."""
    import cv2

    cv2.setNumThreads(1)
    # Libraries' own chatter would come once a worker; ours is kept with each frame.
    logging.getLogger("astropy").setLevel(logging.ERROR)


def _work(setup: Callable[[], Callable[[Any], Any]], pipe: connection.Connection) -> None:
    # Ctrl-C reaches the whole process group; the parent decides what is stopped.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        prepare_process()
        work = setup()
    except Exception as error:
        pipe.send((_SETUP_FAILED, type(error).__name__, one_line(error)))
        return
    pipe.send((_READY,))
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(attempt(work, task))


def _die_with_parent() -> None:
    """A killed run must not leave workers behind that go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def attempt(work: Callable[[Any], Any], task: Any) -> tuple[Any, ...]:
    """``"done"`` and the answer, or ``"failed"`` with the error's kind and message.

    Parameters
    ----------
    work
        Does a task.
    task
        For it.

    Returns
    -------
    tuple
        Of two for an answer, of three for a failure. Nothing that is an `Exception` is raised.
    """
    try:
        return _DONE, work(task)
    except Exception as error:
        # Whatever a frame does, the night goes on and names it.
        if not isinstance(error, StreaksError):
            _log.warning("unexpected error", exc_info=True)
        return _FAILED, type(error).__name__, one_line(error)


def one_line(error: BaseException) -> str:
    """An error's message without line breaks; its class where it has none.

    Parameters
    ----------
    error
        Of any class.

    Returns
    -------
    str
        At most 1000 characters of the message.
    """
    return " ".join(str(error).split())[:1000] or type(error).__name__
