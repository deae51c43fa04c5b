"""Work done by threads a little ahead of who asks for it, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["mapped_ahead"]

Item = TypeVar("Item")
Made = TypeVar("Made")


def mapped_ahead(
    make: Callable[[Item], Made], items: Iterable[Item], workers: int
) -> Iterator[Made]:
    """What `make` gives for each item, in their order.

    Parameters
    ----------
    make
        Must not depend on which thread runs it, nor on what was made before.
    items
        Taken one by one, no more than twice the number of workers ahead: memory stays flat.
    workers
        Threads; with one, nothing is made before it is asked for.

    Yields
    ------
    object
    """
    if workers == 1:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
