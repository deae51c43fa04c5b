"""Where worker processes come from: Python's own fork server, with our libraries loaded ahead.

Half of what a worker does before its first frame is loading libraries, the same in each. The fork
server is a process of one thread that loads them once; its forks begin with them, and share their
memory. There is one fork server a process: where a program has started it before for purposes of
its own, workers load what they need themselves. It loads modules and no more: compiled kernels are
read from their cache by each worker.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["WORKER_ENVIRONMENT", "start_process"]

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
#: Elsewhere the system's own libraries do not bear a fork, or there is no such thing.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"


def start_process(
    target: Callable[..., None], args: Sequence[Any], *, preload: Sequence[str] = ()
) -> Any:
    """A new process, in the workers' environment, that ends with this one.

    Parameters
    ----------
    target, args
        What it runs. Picklable.
    preload
        Modules to be there before it starts; those that cannot be loaded are left out.

    Returns
    -------
    multiprocessing.Process
        Started.
    """
    context: Any = multiprocessing.get_context(_METHOD)
    if _METHOD == "forkserver":
        context.set_forkserver_preload(list(preload))
    process = context.Process(
        target=_run, args=(dict(os.environ), target, tuple(args)), daemon=True
    )
    with _worker_environment():
        process.start()
    return process


def _run(environment: Mapping[str, str], target: Callable[..., None], args: Sequence[Any]) -> None:
    # The fork server has the environment of the moment when it was started.
    os.environ.update({**environment, **WORKER_ENVIRONMENT})
    target(*args)


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
