"""Python's collector of cycles, which would look through all that libraries leave for good."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["collector_paused", "spare_collector"]


@contextmanager
def collector_paused() -> Iterator[Callable[[], None]]:
    """No look for cycles while libraries are loaded; afterwards as before.

    Libraries of a search leave two hundred thousand objects, and while they are loaded the
    collector looks through them again and again: a tenth of the process's work. Cycles that are
    left meanwhile stay in memory, so this is for a first image, not for a night.

    Yields
    ------
    callable
        Ends the pause early; calling it twice does no harm.
    """
    was_enabled = gc.isenabled()

    def resume() -> None:
        if was_enabled:
            gc.enable()

    gc.disable()
    try:
        yield resume
    finally:
        resume()


def spare_collector() -> None:
    """Look for no more cycles among what there is: for a process that ends.

    An interpreter that ends looks through everything once more, a third of a second after a search;
    what is frozen goes with the process.
    """
    gc.freeze()
