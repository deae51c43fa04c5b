"""The filter itself: packets in, our word on each, those that the condition lets through out."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streaks import __version__
from streaks.disk import written_whole
from streaks.errors import CatalogueError, LedgerError, OutputError
from streaks.readers.alerts import Lump
from streaks.streams.ledger import StreamLedger
from streaks.streams.plan import AlertFilter
from streaks.streams.pool import BatchPool
from streaks.streams.sinks import Output, Sink
from streaks.streams.sources import Piece, Source
from streaks.streams.targets import check_target, open_sink
from streaks.streams.words import WORD_COLUMNS, select_words
from streaks.streams.work import BatchResult, Poison

__all__ = ["FilterCounts", "run_filter", "work_folder"]

#: Packets that are looked at together: the network likes many, a batch's memory few.
_BATCH = 256
#: Bytes of packets in a batch, where they are large.
_BATCH_BYTES = 1 << 26
#: What is done is committed after so many packets, or seconds.
_COMMIT_PACKETS, _COMMIT_S = 4096, 5.0


@dataclass(frozen=True)
class FilterCounts:
    """What a filter has done, over all its runs.

    Parameters
    ----------
    alerts
        That were read.
    kept
        That are out.
    poison
        Packets that were set aside.
    repeats
        Alerts that came again, and were not written again.
    """

    alerts: int
    kept: int
    poison: int
    repeats: int


def work_folder(target: str | os.PathLike[str]) -> Path:
    """Where a filter keeps its ledger, its spool, and what it sets aside.

    Parameters
    ----------
    target
        Its output.

    Returns
    -------
    Path
        Beside the output, with ``.work`` behind its name.
    """
    path = Path(target)
    return path.with_name(f"{path.name}.work")


def run_filter(
    plan: AlertFilter,
    source: Source,
    target: str | os.PathLike[str],
    *,
    work: str | os.PathLike[str] | None = None,
    workers: int = 0,
    sink: Callable[[bytes, StreamLedger], Sink] | None = None,
    progress: Callable[[FilterCounts], None] | None = None,
    stop: Callable[[], bool] | None = None,
    batch: int = _BATCH,
    finish: bool = True,
) -> FilterCounts:
    """Read a source to its end, and write what the condition lets through.

    It may be killed at any moment; the same call goes on where it stopped. Each alert is written
    once, by its identifier, however often it comes.

    Parameters
    ----------
    plan
        What is done with each alert.
    source
        Where they come from.
    target
        The output: ``.avro``, a table, or a folder for a night.
    work
        The filter's own folder; `work_folder` of the target when not given.
    workers
        Processes; 0 for this one.
    sink
        Makes another kind of sink, from the run's mark and the ledger.
    progress
        Is told after each commit.
    stop
        Is asked after each batch whether to end.
    batch
        Packets that are looked at together.
    finish
        Whether to make at the end what a table or a night is made of.

    Returns
    -------
    FilterCounts
        Over all runs.

    Raises
    ------
    OutputError
        If something cannot be written, or the target is another's.
    LedgerError
        If the target was begun with other settings, or another filter is at work on it.
    ConfigError
        If the condition asks for what there is not.
    """
    folder = work_folder(target) if work is None else Path(work)
    if sink is None:
        # First of all, so that a mistyped name leaves nothing behind.
        check_target(Path(target))
    with _locked(folder):
        ledger = StreamLedger(folder / "ledger.sqlite", plan.identity())
        pool = None
        try:
            run_id = ledger.run_id()
            into = open_sink(Path(target), folder, run_id) if sink is None else sink(run_id, ledger)
            state = ledger.sink_state()
            into.restore(state)
            if not state:
                # From now on what lies at the target is ours.
                ledger.commit((), {}, {**into.write(_nothing()), "begun": True}, {})
            pool = BatchPool(plan, into.wants, workers)
            keeper = _Keeper(ledger, into, source, folder / "poison", progress)
            for piece, result in pool.results(_batches(source.pieces(ledger), batch)):
                keeper.take(piece, result)
                if stop is not None and stop():
                    break
            keeper.commit()
            if finish:
                into.finish({**plan.identity(), "version": __version__})
            return FilterCounts(**ledger.counts())
        except CatalogueError:
            # Nothing can come out without the catalogue; the corrected command has other settings.
            if not any(ledger.counts().values()):
                ledger.forget_settings()
            raise
        finally:
            if pool is not None:
                pool.close()
            ledger.close()
            source.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps a second filter out; the lock goes with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LedgerError(f"another filter is at work on {folder}; wait for its end") from None
        yield


def _batches(pieces: Iterator[Piece], size: int) -> Iterator[tuple[list[Piece], Sequence[Lump]]]:
    """Pieces in batches; an idle source ends one."""
    found: list[Piece] = []
    n, n_bytes = 0, 0
    for piece in pieces:
        found.append(piece)
        if piece.lump is not None:
            n += piece.lump.n
            n_bytes += len(piece.lump.payload)
        if piece.lump is None or n >= size or n_bytes >= _BATCH_BYTES:
            yield found, [p.lump for p in found if p.lump is not None]
            found, n, n_bytes = [], 0, 0
    if found:
        yield found, [p.lump for p in found if p.lump is not None]


@dataclass(eq=False)
class _Keeper:
    """Gathers results, and commits them together."""

    ledger: StreamLedger
    sink: Sink
    source: Source
    poison_folder: Path
    progress: Callable[[FilterCounts], None] | None
    _results: list[BatchResult] = field(default_factory=list)
    _positions: dict[tuple[str, str], int] = field(default_factory=dict)
    _n: int = 0
    _since: float = field(default_factory=time.monotonic)

    def take(self, pieces: Sequence[Piece], result: BatchResult) -> None:
        """One batch's result."""
        idle = False
        for piece in pieces:
            if piece.lump is None:
                idle = True
            else:
                self._positions[piece.source, piece.signature] = piece.done
        self._results.append(result)
        self._n += result.n_alerts
        waited = time.monotonic() - self._since
        if self._n >= _COMMIT_PACKETS or waited >= _COMMIT_S or (idle and self._positions):
            self.commit()

    def commit(self) -> None:
        """Poison aside, alerts out, and then the ledger: in this order, each on the disk."""
        results, positions = self._results, self._positions
        self._results, self._positions = [], {}
        poison = [p for r in results for p in r.poison]
        for one in poison:
            _set_aside(self.poison_folder, one)
        outputs, ids, repeats = self._new_ones(results)
        state: dict[str, Any] = {}
        written = self.sink.write(outputs)
        state |= {**written, "begun": True}
        counts = {"alerts": self._n, "kept": len(ids), "poison": len(poison), "repeats": repeats}
        self.ledger.commit(ids, positions, state, counts)
        self.source.committed(positions)
        self._n, self._since = 0, time.monotonic()
        if self.progress is not None:
            self.progress(FilterCounts(**self.ledger.counts()))

    def _new_ones(self, results: Sequence[BatchResult]) -> tuple[Output, list[str], int]:
        """Alerts that are not out yet, each once."""
        words = {
            spec.name: np.concatenate(
                [np.asarray(r.words[spec.name], dtype=spec.dtype) for r in results]
                or [np.zeros(0, dtype=spec.dtype)]
            )
            for spec in WORD_COLUMNS
        }
        ids = [str(i) for i in words["alert_id"]]
        seen = self.ledger.known(ids)
        rows: list[int] = []
        for row, one in enumerate(ids):
            if one not in seen:
                seen.add(one)
                rows.append(row)
        avro = [a for r in results for a in r.avro]
        stamps = [s for r in results for s in r.stamps]
        output = Output(
            select_words(words, np.array(rows, dtype=int)),
            [avro[row] for row in rows] if avro else (),
            {digest: text for r in results for digest, text in r.schemas.items()},
            [stamps[row] for row in rows] if stamps else (),
        )
        return output, [ids[row] for row in rows], len(ids) - len(rows)


def _nothing() -> Output:
    return Output({spec.name: np.zeros(0, dtype=spec.dtype) for spec in WORD_COLUMNS})


def _set_aside(folder: Path, poison: Poison) -> None:
    """Keep a packet that cannot be read, with the reason; the same one again changes nothing."""
    told = poison.content or f"{poison.where}\n{poison.reason}".encode()
    name = hashlib.sha256(told).hexdigest()[:24]
    if (folder / f"{name}.json").exists():
        return
    if poison.content:
        with written_whole(folder / f"{name}.avro") as beside:
            beside.write_bytes(poison.content)
    with written_whole(folder / f"{name}.json") as beside:
        text = json.dumps({"where": poison.where, "reason": poison.reason}, indent=1)
        beside.write_text(text + "\n", encoding="utf-8")
