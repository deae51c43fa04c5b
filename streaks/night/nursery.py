"""Where worker processes come from: forked, where that is safe, from one that has loaded ahead.

Half of what a worker does before its first frame is loading libraries and compiled code, the same
in each. A process of one thread does it once; its forks begin with it, and share its memory.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import connection, reduction
from typing import Any, NoReturn

__all__ = ["BLOATED", "SETUP_FAILED", "WORKER_ENVIRONMENT", "Nursery"]

#: What a worker process starts in. Libraries start as many threads as there are cores, unless told
#: before they load. And GNU's allocator gives each image back to the system and asks for it anew,
#: page by page: 86,000 pages and 0.3 CPU seconds a frame of 3072 x 3080 px.
WORKER_ENVIRONMENT: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(2**26),
    "MALLOC_ARENA_MAX": "1",
}
#: Said before an answer: the process has grown, and another one would not.
BLOATED, SETUP_FAILED = "bloated", "setup failed"
_READY, _BORN, _ENDED = "ready", "born", "ended"
_LOOK_AGAIN_S = 0.005
#: Elsewhere the system's own libraries do not bear it, or there is no such thing.
_FORKS = sys.platform == "linux"

Main = Callable[[connection.Connection], None]


class Nursery:
    """Makes worker processes, each with a pipe to it; it is told when one shall end.

    Parameters
    ----------
    main
        What a worker does with its end of the pipe until it ends. Picklable.
    prepare
        What is done before there are workers; it says whether the process has grown by it and
        another one would not. It should leave no threads: a fork has one, and what the others
        held locked stays locked. Where it does, each worker starts anew. Picklable.
    """

    def __init__(self, main: Main, prepare: Callable[[], bool]) -> None:
        self._main, self._prepare = main, prepare
        self._process: Any = None
        self._pipe: Any = None
        self._spawned: dict[int, Any] = {}
        self._forks = _FORKS

    def worker(self) -> tuple[int, connection.Connection]:
        """A new worker's process number, and the pipe to it.

        Raises
        ------
        EOFError
            When the process that workers come from dies while it starts.
        RuntimeError
            When it could not prepare: the class of the error, and its message.
        """
        if self._forks and (self._process is None or not self._process.is_alive()):
            self._start()
        if not self._forks:
            self.close()
            return self._spawn()
        ours, theirs = connection.Pipe()
        with theirs:
            self._pipe.send(None)
            reduction.send_handle(self._pipe, theirs.fileno(), self._process.pid)
        return self._answer(_BORN)[0], ours

    def end(self, pid: int, patience_s: float) -> int | None:
        """Wait for a worker's end, and kill it when that takes too long; its exit code.

        None where that is not known, because the process that it came from is gone.
        """
        if pid in self._spawned:
            return _joined(self._spawned.pop(pid), patience_s)
        try:
            self._pipe.send((pid, patience_s))
            code: int = self._answer(_ENDED)[0]
            return code
        except (OSError, EOFError):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.close()
            return None

    def close(self) -> None:
        """End the process that workers come from, when they have ended."""
        if self._process is None:
            return
        self._pipe.close()
        _joined(self._process, 5.0)
        self._process = None

    def _spawn(self) -> tuple[int, connection.Connection]:
        process, pipe = _spawned(_live, self._main)
        self._spawned[process.pid] = process
        return process.pid, pipe

    def _start(self) -> None:
        # Once more at most: where what is compiled cannot be kept, it would never end.
        for _ in range(2):
            self.close()
            self._process, self._pipe = _spawned(_bring_up, self._main, self._prepare)
            grown, self._forks = self._answer(_READY)
            if not grown:
                return

    def _answer(self, expected: str) -> tuple[Any, ...]:
        kind, *rest = self._pipe.recv()
        if kind == SETUP_FAILED:
            raise RuntimeError(*rest)
        assert kind == expected, (kind, expected)
        return tuple(rest)


def _spawned(target: Callable[..., None], *args: Any) -> tuple[Any, connection.Connection]:
    """A process of its own, and the pipe to it."""
    # Spawned, not forked: this process may have any threads, and locks of theirs.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    with _worker_environment():
        process.start()
    theirs.close()
    return process, ours


def _joined(process: Any, patience_s: float) -> int | None:
    """The exit code of a process that ends, or is killed when that takes too long."""
    process.join(patience_s)
    if process.is_alive():
        process.kill()
        process.join()
    code: int | None = process.exitcode
    return code


@contextmanager
def _worker_environment() -> Iterator[None]:
    """The environment a worker starts in; this process keeps its own."""
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update(WORKER_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _bring_up(pipe: connection.Connection, main: Main, prepare: Callable[[], bool]) -> None:
    """Prepare, then bear workers and bury them, until the pipe is closed."""
    # Ctrl-C reaches the whole process group; the run decides what is stopped.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe.send((_READY, prepare(), _is_alone()))
    except Exception as error:
        pipe.send((SETUP_FAILED, type(error).__name__, " ".join(str(error).split())))
        return
    with suppress(EOFError, OSError):  # the run has ended, in whatever way
        while True:
            order = pipe.recv()
            if order is None:
                pipe.send((_BORN, _bear(pipe, main)))
            else:
                pipe.send((_ENDED, _bury(*order)))


def _is_alone() -> bool:
    """Whether this process has one thread."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _bear(pipe: connection.Connection, main: Main) -> int:
    handle = reduction.recv_handle(pipe)
    pid = os.fork()
    if pid == 0:
        pipe.close()
        _live(connection.Connection(handle), main)
    # A pipe whose other end only the worker holds tells of its death.
    os.close(handle)
    return pid


def _live(pipe: connection.Connection, main: Main) -> NoReturn:
    code = 1
    try:
        main(pipe)
        code = 0
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _bury(pid: int, patience_s: float) -> int:
    until = time.monotonic() + patience_s
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        time.sleep(_LOOK_AGAIN_S)
