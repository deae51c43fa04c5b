"""Where alerts go: an Avro file, a table, a night's folder.

A sink writes, makes sure that it is on the disk, and tells how far it came. `restore` brings it
back to what the ledger last heard.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from streaks.disk import written_whole
from streaks.errors import OutputError
from streaks.streams.words import WORD_COLUMNS, Words, words_table
from streaks.streams.work import StampBytes

__all__ = [
    "TABLE_SUFFIXES",
    "AvroSink",
    "Output",
    "Sink",
    "TableSink",
    "container_of",
    "plain_json",
    "spool_parts",
]

#: Formats of tables that are written.
TABLE_SUFFIXES = (".parquet", ".csv", ".ecsv", ".vot", ".fits", ".json")
#: A table of another format than Parquet is written in one piece.
_MAX_ROWS_IN_MEMORY = 2_000_000


class Output:
    """Alerts to be written together.

    Parameters
    ----------
    words
        Of k alerts.
    avro
        Schema's hash and bytes of each, where the sink wants them.
    schemas
        By hash.
    stamps
        Of each, where the sink wants them.
    """

    def __init__(
        self,
        words: Words,
        avro: Sequence[tuple[str, bytes]] = (),
        schemas: Mapping[str, str] | None = None,
        stamps: Sequence[StampBytes | None] = (),
    ) -> None:
        self.words, self.avro, self.stamps = words, tuple(avro), tuple(stamps)
        self.schemas = dict(schemas or {})

    def __len__(self) -> int:
        return len(self.words["alert_id"])


class Sink(Protocol):
    """What alerts are written to."""

    #: ``avro`` and ``stamps``, where it needs them.
    wants: frozenset[str]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what was committed last; what lies beyond it is cut off.

        Parameters
        ----------
        state
            Of the ledger; empty at the very first start.
        """
        ...

    def write(self, output: Output) -> dict[str, Any]:
        """Write; it is on the disk when this returns how far it came.

        Parameters
        ----------
        output
            Alerts to be written together.

        Returns
        -------
        dict
            Plain values, for `restore`.
        """
        ...

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Make what is made at the end, of all that was written.

        Parameters
        ----------
        provenance
            Plain values that tell how.
        """
        ...


class AvroSink:
    """Avro files, one for each schema: an Avro file has one, and surveys change theirs.

    Parameters
    ----------
    target
        Of the first schema; others have their hash in the name.
    run_id
        The sync marker of all of them.
    """

    wants = frozenset({"avro"})

    def __init__(self, target: Path, run_id: bytes) -> None:
        self._target, self._sync = target, run_id
        self._lengths: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Cut each file to the length that was committed.

        Parameters
        ----------
        state
            Of the ledger.

        Raises
        ------
        OutputError
            If a file is gone, shorter than was said, or another's.
        """
        self._names = dict(state.get("names", {}))
        self._lengths = {name: int(n) for name, n in dict(state.get("lengths", {})).items()}
        for name, length in self._lengths.items():
            path = self._target.with_name(name)
            if not path.is_file() or path.stat().st_size < length:
                raise OutputError(
                    f"{path} is gone or was cut since it was written; give another output"
                )
            with path.open("r+b") as file:
                file.truncate(length)
                os.fsync(file.fileno())

    def write(self, output: Output) -> dict[str, Any]:
        """Append the packets, a block for each schema.

        Parameters
        ----------
        output
            With packets.

        Returns
        -------
        dict

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        by_schema: dict[str, list[bytes]] = {}
        for digest, packet in output.avro:
            by_schema.setdefault(digest, []).append(packet)
        for digest, packets in by_schema.items():
            self._append(digest, output.schemas[digest], packets)
        return {"names": self._names, "lengths": self._lengths}

    def _append(self, digest: str, schema: str, packets: Sequence[bytes]) -> None:
        name = self._name(digest)
        path = self._target.with_name(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if name not in self._lengths:
                self._check_not_foreign(path)
            with path.open("r+b" if name in self._lengths else "wb") as file:
                file.seek(self._lengths.get(name, 0))
                if name not in self._lengths:
                    file.write(_container_header(schema, self._sync))
                file.write(_block(packets, self._sync))
                file.flush()
                os.fsync(file.fileno())
                self._lengths[name] = file.tell()
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from None

    def _name(self, digest: str) -> str:
        if digest not in self._names:
            first = not self._names
            stem, suffix = self._target.stem, self._target.suffix
            self._names[digest] = self._target.name if first else f"{stem}.{digest[:8]}{suffix}"
        return self._names[digest]

    def _check_not_foreign(self, path: Path) -> None:
        """A file that a killed run of this very filter began carries its mark."""
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                start = file.read(1 << 20)
            if self._sync not in start:
                raise OutputError(f"{path} exists and is none of this filter; give another name")

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Nothing is left to do; where nothing came out there is no file, for there is no schema.

        Parameters
        ----------
        provenance
            Not needed: packets carry no more than our word.
        """


def container_of(schema: str, sync: bytes, packets: Sequence[bytes]) -> bytes:
    """A whole Avro file of some packets.

    Parameters
    ----------
    schema
        Text of their schema.
    sync
        Sixteen bytes behind each block.
    packets
        Encoded.

    Returns
    -------
    bytes
    """
    return _container_header(schema, sync) + _block(packets, sync)


def _block(packets: Sequence[bytes], sync: bytes) -> bytes:
    body = b"".join(packets)
    return _zigzag(len(packets)) + _zigzag(len(body)) + body + sync


def _container_header(schema: str, sync: bytes) -> bytes:
    found = b"Obj\x01" + _zigzag(2)
    for key, value in (("avro.codec", b"null"), ("avro.schema", schema.encode())):
        found += _zigzag(len(key)) + key.encode() + _zigzag(len(value)) + value
    return found + b"\0" + sync


def _zigzag(value: int) -> bytes:
    left, found = value << 1, b""
    while left >= 0x80:
        found += bytes([left & 0x7F | 0x80])
        left >>= 7
    return found + bytes([left])


class TableSink:
    """A table, made at the end from parts that were written on the way.

    Parameters
    ----------
    target
        Its suffix is the format.
    spool
        Folder of the parts.
    """

    wants: frozenset[str] = frozenset()

    def __init__(self, target: Path, spool: Path) -> None:
        self._target, self._spool, self._n = target, spool, 0

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remove parts that were not committed.

        Parameters
        ----------
        state
            Of the ledger.

        Raises
        ------
        OutputError
            If a committed part is gone, or the target exists and this filter is new.
        """
        self._n = int(state.get("parts", 0))
        if not state and self._target.exists():
            raise OutputError(
                f"{self._target} exists and is none of this filter; give another name"
            )
        parts = spool_parts(self._spool)
        for part in parts[self._n :]:
            part.unlink()
        if len(parts) < self._n:
            raise OutputError(f"{self._spool} lacks parts that were written; give another output")

    def write(self, output: Output) -> dict[str, Any]:
        """Write a part.

        Parameters
        ----------
        output
            With words.

        Returns
        -------
        dict

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if len(output):
            _write_part(self._spool / f"{self._n:08d}.parquet", self._arrow(output))
            self._n += 1
        return {"parts": self._n}

    def _arrow(self, output: Output) -> Any:
        from streaks.arrow import table_to_arrow

        return table_to_arrow(words_table(output.words))

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Make the table of all parts.

        Parameters
        ----------
        provenance
            Plain values that go into it.

        Raises
        ------
        OutputError
            If it cannot be written, or is larger than its format takes.
        """
        parts = spool_parts(self._spool)[: self._n]
        if self._target.suffix.lower() == ".parquet":
            _join_parquet(parts, self._target, provenance)
            return
        from astropy.table import vstack

        from streaks.readers import read_table
        from streaks.reporting import write_table
        from streaks.tables import empty_table

        tables = [read_table(part) for part in parts]
        if sum(map(len, tables)) > _MAX_ROWS_IN_MEMORY:
            raise OutputError(
                f"{self._target} would have more than {_MAX_ROWS_IN_MEMORY} rows; write .parquet"
            )
        whole = vstack([empty_table(WORD_COLUMNS), *tables], metadata_conflicts="silent")
        whole.meta = {"provenance": dict(provenance)}
        write_table(whole, self._target)


def spool_parts(spool: Path) -> list[Path]:
    """The parts of a spool, in order.

    Parameters
    ----------
    spool
        The folder; it need not be there.

    Returns
    -------
    list of Path
    """
    return sorted(p for p in spool.glob("*.parquet") if p.stem.isdigit() and len(p.stem) == 8)


def _write_part(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    with written_whole(path) as beside:
        pq.write_table(table, beside, compression="zstd", compression_level=1)


def _join_parquet(parts: Sequence[Path], target: Path, provenance: Mapping[str, Any]) -> None:
    """One file of all parts, a part in memory at a time."""
    import pyarrow.parquet as pq

    from streaks.arrow import table_to_arrow
    from streaks.tables import empty_table

    empty = empty_table(WORD_COLUMNS)
    empty.meta = {"provenance": dict(provenance)}
    schema = table_to_arrow(empty).schema
    with written_whole(target) as beside, pq.ParquetWriter(beside, schema) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part).cast(schema))


def plain_json(value: Any) -> str:
    """JSON with keys in order.

    Parameters
    ----------
    value
        Of plain values.

    Returns
    -------
    str
    """
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
