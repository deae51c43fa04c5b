"""Packets out of whatever holds them: Avro files, messages, Parquet, archives and folders."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from streaks.disk import GZIP_MAGIC, Limits, open_regular
from streaks.errors import AccessError, ReadError
from streaks.readers.alerts.alert import Failure
from streaks.readers.alerts.schemas import WIRE_HEADER_BYTES, SchemaSource, wire_schema_id
from streaks.readers.avro import (
    AVRO_MAGIC,
    AvroBlock,
    avro_blocks,
    avro_message,
    block_records,
)

__all__ = [
    "Lump",
    "Packet",
    "PacketFailure",
    "alert_files",
    "file_lumps",
    "file_packets",
    "lump_packets",
    "message_packet",
]

PARQUET_MAGIC = b"PAR1"
#: Alerts shrink to a third when packed, their archives no further.
_ARCHIVE_LIMITS = Limits(max_bytes=1 << 42, max_ratio=20.0, max_seconds=math.inf)
_UNPACKERS = {GZIP_MAGIC: gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
#: Rows of a broker's table that are held at once: a hundred kilobytes each, with stamps.
_ROWS_AT_ONCE = 128
#: Columns of a broker's table, those within columns counted.
_MAX_COLUMNS = 4000
#: A row group, unpacked.
_MAX_ROW_GROUP_BYTES = 1 << 32
_MAX_MEMBER_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class Packet:
    """One packet, decoded, with the bytes that it came as.

    Parameters
    ----------
    where
        Its file; of an archive's member, the archive's path and the member's name.
    record
        As decoded.
    raw
        Avro's bytes of the record alone; empty where it came as a row of a table.
    schema
        The text of its schema; empty as above.
    schema_name
        Of the schema, with its namespace.
    """

    where: Path
    record: Any
    raw: bytes = b""
    schema: bytes = b""
    schema_name: str = ""


@dataclass(frozen=True)
class PacketFailure(Failure):
    """A packet, or what should hold packets, that cannot be read.

    Parameters
    ----------
    path, reason
        As of `Failure`.
    content
        Its bytes, where it is one packet; what is set aside.
    """

    content: bytes = b""


@dataclass(frozen=True, eq=False)
class Lump:
    """Packets that lie together, not decoded yet: what can be sent to another process.

    Parameters
    ----------
    where
        As of `Packet`.
    kind
        ``block`` of an Avro file, ``message``, ``rows`` of a table, ``failure``.
    n
        Packets in it.
    payload
        A block's bytes, a message, rows as an Arrow stream.
    schema
        The text of a block's schema; the name of that of rows.
    first
        Number of its first packet in the file, from 1.
    reason
        Of a failure.
    """

    where: Path
    kind: str
    n: int
    payload: bytes = b""
    schema: bytes = b""
    first: int = 1
    reason: str = ""


def alert_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """The files that may hold packets: those given, and those of folders given.

    Parameters
    ----------
    paths
        Files, and folders, which are searched through all their depth.

    Yields
    ------
    Path
        Those of one folder in the order of their names.
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and _looks_right(p.name))
        else:
            yield path


def _looks_right(name: str) -> bool:
    return name.endswith((".avro", ".tgz", ".parquet")) or ".tar" in name or name.startswith("tar.")


def file_packets(
    path: Path, schemas: SchemaSource | None = None
) -> Iterator[Packet | PacketFailure]:
    """The packets of one file or archive, with where each lies.

    Parameters
    ----------
    path
        An Avro file, one message in Confluent's wire format, a Parquet table, or a tar archive
        of Avro files and messages (packed or not).
    schemas
        For messages; LSST's own package, where it is installed, when not given.

    Yields
    ------
    Packet or PacketFailure
        In the file's order, the same each time.
    """
    schemas = SchemaSource() if schemas is None else schemas
    for lump in file_lumps(path):
        yield from lump_packets(lump, schemas)


def file_lumps(path: Path) -> Iterator[Lump]:
    """The packets of one file or archive in lumps, without decoding any.

    Parameters
    ----------
    path
        As of `file_packets`.

    Yields
    ------
    Lump
        In the file's order, the same each time.
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            stream.seek(0)
            if start.startswith(AVRO_MAGIC):
                yield from _avro_lumps(stream, path, size)
                return
            if start.startswith(PARQUET_MAGIC):
                yield from _row_lumps(stream, path)
                return
            unpack: Any = next(
                (f for magic, f in _UNPACKERS.items() if start.startswith(magic)), None
            )
            if unpack is not None:
                with unpack(stream) as unpacked:
                    yield from _archive_lumps(_Limited(unpacked, size, str(path)), path)
            elif _is_tar(stream):
                yield from _archive_lumps(stream, path)
            elif wire_schema_id(start) is not None and size <= _MAX_MEMBER_BYTES:
                yield Lump(path, "message", 1, stream.read())
            else:
                yield _failed(path, "it is neither an Avro file nor a tar archive of them")
    except ReadError as error:
        yield _failed(path, str(error))
    except OSError as error:
        yield _failed(path, error.strerror or str(error))


def _failed(where: Path, reason: str) -> Lump:
    return Lump(where, "failure", 1, reason=reason)


def lump_packets(lump: Lump, schemas: SchemaSource) -> Iterator[Packet | PacketFailure]:
    """The packets of a lump.

    Parameters
    ----------
    lump
        Of `file_lumps`.
    schemas
        For messages.

    Yields
    ------
    Packet or PacketFailure

    Raises
    ------
    AccessError
        If a registry cannot be reached: later it may be, and the packet is none the worse.
    """
    if lump.kind == "failure":
        yield PacketFailure(lump.where, lump.reason, lump.payload)
    elif lump.kind == "message":
        yield message_packet(lump.payload, lump.where, schemas)
    elif lump.kind == "rows":
        yield from _rows(lump)
    else:
        n = 0
        block = AvroBlock(lump.n, lump.payload, lump.schema)
        try:
            for read in block_records(block, "the file"):
                yield Packet(lump.where, read.value, read.raw, read.schema, read.schema_name)
                n += 1
        except ReadError as error:
            reason = f"packet {lump.first + n} does not decode: {error}"
            yield PacketFailure(lump.where, reason, lump.payload if lump.n == 1 else b"")


def message_packet(content: bytes, where: Path, schemas: SchemaSource) -> Packet | PacketFailure:
    """The packet of a message in Confluent's wire format, or of one that is a whole Avro file.

    Parameters
    ----------
    content
        The message.
    where
        What errors call it.
    schemas
        Where its schema may be found.

    Returns
    -------
    Packet or PacketFailure

    Raises
    ------
    AccessError
        If a registry cannot be reached: later it may be, and the packet is none the worse.
    """
    if content.startswith(AVRO_MAGIC):
        lumps = list(_avro_lumps(io.BytesIO(content), where, len(content)))
        found = [one for lump in lumps for one in lump_packets(lump, schemas)]
        if len(found) == 1:
            one = found[0]
            if isinstance(one, PacketFailure):
                return PacketFailure(where, one.reason, content)
            return one
        return PacketFailure(where, f"the message holds {len(found)} packets; expected 1", content)
    number = wire_schema_id(content)
    if number is None:
        return PacketFailure(where, "the message is neither Avro nor in the wire format", content)
    try:
        schema = schemas.schema(number)
        read = avro_message(content[WIRE_HEADER_BYTES:], schema, "the packet")
    except AccessError:
        raise
    except ReadError as error:
        return PacketFailure(where, str(error), content)
    return Packet(where, read.value, read.raw, schema, read.schema_name)


def _is_tar(stream: IO[bytes]) -> bool:
    """Whether the stream begins with a header of a tar archive; it is at its start again."""
    start = stream.read(tarfile.BLOCKSIZE)
    stream.seek(0)
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


class _Limited:
    """An unpacked stream that ends with an error where it unpacks to more than alerts do."""

    def __init__(self, stream: IO[bytes], packed: int, name: str) -> None:
        self._stream, self._packed, self._name, self._read = stream, packed, name, 0

    def read(self, n: int) -> bytes:
        """At most n bytes more."""
        found = self._stream.read(n)
        self._read += len(found)
        _ARCHIVE_LIMITS.check(self._read, self._packed, self._name)
        return found


def _archive_lumps(stream: Any, path: Path) -> Iterator[Lump]:
    """The packets of a tar archive, member by member; a broken one does not end it."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not member.isreg() or not member.name.endswith(".avro"):
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    yield from _member_lumps(content, path / member.name, member.size)
    except ReadError as error:
        yield _failed(path, str(error))
    except Exception as error:
        # tarfile and the unpackers raise many kinds for a damaged archive.
        yield _failed(path, f"the archive is damaged or none: {error}")


def _member_lumps(content: IO[bytes], where: Path, size: int) -> Iterator[Lump]:
    start = content.read(WIRE_HEADER_BYTES + 1)
    if start.startswith(AVRO_MAGIC) or wire_schema_id(start) is None or size > _MAX_MEMBER_BYTES:
        yield from _avro_lumps(_Rejoined(start, content), where, size)
    else:
        yield Lump(where, "message", 1, start + content.read())


class _Rejoined:
    """A stream whose beginning has been read already."""

    def __init__(self, start: bytes, stream: IO[bytes]) -> None:
        self._start, self._rest = start, stream

    def read(self, n: int) -> bytes:
        """At most n bytes more."""
        found, self._start = self._start[:n], self._start[n:]
        return found + self._rest.read(n - len(found)) if len(found) < n else found


def _avro_lumps(stream: Any, where: Path, size: int) -> Iterator[Lump]:
    n = 0
    try:
        for block in avro_blocks(stream, "the file", size=size):
            yield Lump(where, "block", block.count, block.data, block.schema, n + 1)
            n += block.count
    except ReadError as error:
        yield _failed(where, f"packet {n + 1} does not decode: {error}")


def _row_lumps(stream: IO[bytes], path: Path) -> Iterator[Lump]:
    """Rows of a broker's Parquet table, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        held = pq.ParquetFile(
            stream, thrift_string_size_limit=1 << 26, thrift_container_size_limit=1 << 20
        )
        about = held.metadata
        groups = [about.row_group(k).total_byte_size for k in range(about.num_row_groups)]
        if about.num_columns > _MAX_COLUMNS or max(groups, default=0) > _MAX_ROW_GROUP_BYTES:
            reason = (
                f"it has {about.num_columns} columns and row groups of {max(groups, default=0)} "
                "bytes; no broker's table of alerts has"
            )
            yield _failed(path, reason)
            return
        name = (held.schema_arrow.metadata or {}).get(b"avro.schema.name", b"")
        n = 1
        for batch in held.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            content = sink.getvalue().to_pybytes()
            yield Lump(path, "rows", batch.num_rows, content, name, n)
            n += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, MemoryError) as error:
        yield _failed(path, f"it cannot be read as Parquet: {' '.join(str(error).split())[:200]}")


def _rows(lump: Lump) -> Iterator[Packet | PacketFailure]:
    import pyarrow as pa

    name = lump.schema.decode("utf-8", "replace")
    try:
        with pa.ipc.open_stream(lump.payload) as reader:
            records = [record for batch in reader for record in batch.to_pylist()]
    except (pa.ArrowException, ValueError, OverflowError) as error:  # dates that no calendar has
        reason = f"rows from {lump.first} on do not decode: {' '.join(str(error).split())[:160]}"
        yield PacketFailure(lump.where, reason)
        return
    for record in records:
        yield Packet(lump.where, record, schema_name=name)
