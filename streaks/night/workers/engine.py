"""Who does the work: this process, a pool of processes on this machine, or a Dask cluster.

An engine is opened once for a whole night or watch; its workers stay warm from one list of tasks
to the next. What a task writes does not depend on who does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from streaks.night.workers.pool import Outcome, WorkerPool

__all__ = ["DoTasks", "Engine", "LocalEngine"]

#: Does tasks and yields what became of each, in the order in which they come.
DoTasks = Callable[[Sequence[Any]], Iterator[Outcome[Any, Any]]]


class Engine(Protocol):
    """Workers, opened for as long as there may be something to do."""

    def opened(self, setup: Callable[[], Callable[[Any], Any]]) -> AbstractContextManager[DoTasks]:
        """What does tasks.

        Parameters
        ----------
        setup
            Called once in each worker; gives the function that does a task. Picklable.
        """
        ...


@dataclass(frozen=True)
class LocalEngine:
    """Processes of this machine.

    Parameters
    ----------
    workers
        Processes, one thread each; 0 works in this process, without limits.
    time_limit_s
        A frame that takes longer is given up.
    memory_limit_mb
        A frame that makes its worker need more is given up; 0 for no limit.
    preload
        Modules that all workers need, loaded once for all of them.
    """

    workers: int = 1
    time_limit_s: float = 600.0
    memory_limit_mb: int = 0
    preload: Iterable[str] = ()

    @contextmanager
    def opened(self, setup: Callable[[], Callable[[Any], Any]]) -> Iterator[DoTasks]:
        """A pool of processes, which start when there is something to do.

        Parameters
        ----------
        setup
            Called once in each worker; gives the function that does a task. Picklable.

        Yields
        ------
        DoTasks
            Takes tasks and yields outcomes as they come; its workers end when the block is left.
        """
        pool = WorkerPool(
            setup,
            workers=self.workers,
            time_limit_s=self.time_limit_s,
            memory_limit_mb=self.memory_limit_mb,
            preload=self.preload,
        )
        try:
            yield pool.run
        finally:
            pool.close()
