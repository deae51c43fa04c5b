"""Batches of packets on several processes, in order, so many at a time and no more.

A packet that kills its process (a decoder's fault) or never ends is found by taking the batch's
lumps one by one, and set aside; the others are none the worse.
"""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from streaks import compiling
from streaks.errors import StreaksError
from streaks.readers.alerts import Lump
from streaks.streams.plan import AlertFilter, Prepared
from streaks.streams.words import WORD_COLUMNS
from streaks.streams.work import BatchResult, Poison, process_batch

__all__ = ["BatchPool"]

_log = logging.getLogger(__name__)

#: Seconds: of a batch, the first with all that is loaded and compiled; of a lump alone.
_BATCH_S, _LUMP_S = 600.0, 120.0
#: Between two looks whether the parent is still there.
_LOOK_S = 1.0

#: What the plan needs, or why it cannot be had.
_PREPARED: Prepared | StreaksError | None = None
_WANTS: frozenset[str] = frozenset()


def _start(plan: AlertFilter, wants: frozenset[str], parent: int) -> None:
    global _PREPARED, _WANTS
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _WANTS = wants
    try:
        _PREPARED = plan.prepare()
    except StreaksError as error:
        # Told with the first batch: a process that ends here would be laid to the packets.
        _PREPARED = error


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: nobody else would."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def _work(lumps: Sequence[Lump]) -> BatchResult:
    if isinstance(_PREPARED, StreaksError):
        raise _PREPARED
    assert _PREPARED is not None
    return process_batch(_PREPARED, lumps, _WANTS)


class BatchPool:
    """Does batches, in their order.

    Parameters
    ----------
    plan
        What is done with each.
    wants
        What the sink needs besides the words.
    workers
        Processes; 0 does all in this one.
    """

    def __init__(self, plan: AlertFilter, wants: frozenset[str], workers: int) -> None:
        self._plan, self._wants, self._workers = plan, wants, workers
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None
        self._own: Prepared | None = None

    def results(
        self, batches: Iterable[tuple[Any, Sequence[Lump]]]
    ) -> Iterator[tuple[Any, BatchResult]]:
        """The results of batches, in order; no more are begun than are being waited for.

        Parameters
        ----------
        batches
            Each with what its result is to be given back with.

        Yields
        ------
        key, BatchResult
        """
        if self._workers == 0:
            if self._own is None:
                self._own = self._plan.prepare()
            for key, lumps in batches:
                yield key, process_batch(self._own, lumps, self._wants)
            return
        waiting: deque[tuple[Any, Sequence[Lump], concurrent.futures.Future[BatchResult]]] = deque()
        for key, lumps in batches:
            waiting.append((key, lumps, self._submit(lumps)))
            if len(waiting) > 2 * self._workers:
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)

    def _submit(self, lumps: Sequence[Lump]) -> concurrent.futures.Future[BatchResult]:
        try:
            return self._executor().submit(_work, lumps)
        except BrokenProcessPool:
            self._abandon()
            return self._executor().submit(_work, lumps)

    def _executor(self) -> concurrent.futures.ProcessPoolExecutor:
        if self._pool is None:
            if self._plan.load_classifier is not None and compiling.needed("alerts"):
                # Once, and shared: each of these processes would compile all of it.
                _log.info("first run: compiling, once")
                compiling.warm_up(purpose="alerts")
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._workers,
                # A copy of a process with threads may hang; these start afresh.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._plan, self._wants, os.getpid()),
            )
        return self._pool

    def _next(self, waiting: deque[Any]) -> tuple[Any, BatchResult]:
        key, lumps, future = waiting.popleft()
        try:
            return key, future.result(timeout=_BATCH_S)
        except (BrokenProcessPool, TimeoutError, concurrent.futures.CancelledError):
            self._abandon()
            result = self._one_by_one(lumps)
            # The others of that pool went with it.
            for i, (other, more, _) in enumerate(waiting):
                waiting[i] = other, more, self._submit(more)
            return key, result

    def _one_by_one(self, lumps: Sequence[Lump]) -> BatchResult:
        if len(lumps) == 1:
            return self._alone(lumps[0])
        return _joined([self._alone(lump) for lump in lumps])

    def _alone(self, lump: Lump) -> BatchResult:
        try:
            return self._submit([lump]).result(timeout=_BATCH_S if self._pool is None else _LUMP_S)
        except (BrokenProcessPool, concurrent.futures.CancelledError):
            reason = "it ended the process that looked at it"
        except TimeoutError:
            reason = f"it takes more than {_LUMP_S:.0f} s"
        self._abandon()
        poison = Poison(str(lump.where), reason, lump.payload)
        return BatchResult({spec.name: [] for spec in WORD_COLUMNS}, 0, (poison,))

    def _abandon(self) -> None:
        """End the processes of this pool, those that hang too."""
        if self._pool is None:
            return
        processes = list(getattr(self._pool, "_processes", {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        self._pool = None

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _joined(results: Sequence[BatchResult]) -> BatchResult:
    import numpy as np

    return BatchResult(
        {
            spec.name: np.concatenate(
                [np.asarray(r.words[spec.name], dtype=spec.dtype) for r in results]
            )
            for spec in WORD_COLUMNS
        },
        sum(r.n_alerts for r in results),
        tuple(p for r in results for p in r.poison),
        tuple(a for r in results for a in r.avro),
        {digest: text for r in results for digest, text in r.schemas.items()},
        tuple(s for r in results for s in r.stamps),
    )
