"""Who does the work: this process, a pool of processes on this machine, or a Dask cluster.

An engine takes tasks and a setup and gives outcomes as they come; what a task writes does not
depend on who does it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from streaks.night.pool import Outcome, run_tasks

__all__ = ["Engine", "local_engine"]


class Engine(Protocol):
    """Does tasks and yields what became of each."""

    def __call__(
        self, tasks: Sequence[Any], setup: Callable[[], Callable[[Any], Any]]
    ) -> Iterator[Outcome[Any, Any]]:
        """Outcomes in the order in which they come."""
        ...


def local_engine(
    workers: int = 1,
    *,
    time_limit_s: float = 600.0,
    memory_limit_mb: int = 0,
    ahead: Callable[[], object] | None = None,
) -> Engine:
    """Processes of this machine.

    Parameters
    ----------
    workers
        Processes, one thread each; 0 works in this process, without limits.
    time_limit_s
        A frame that takes longer is given up.
    memory_limit_mb
        A frame that makes its worker need more is given up; 0 for no limit.
    ahead
        Loads what all workers need, once for all of them.
    """
    return functools.partial(
        run_tasks,
        workers=workers,
        time_limit_s=time_limit_s,
        memory_limit_mb=memory_limit_mb,
        ahead=ahead,
    )
