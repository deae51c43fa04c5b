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
from streaks.errors import ReadError
from streaks.readers.alerts.alert import Failure
from streaks.readers.alerts.schemas import WIRE_HEADER_BYTES, SchemaSource, wire_schema_id
from streaks.readers.avro import AVRO_MAGIC, avro_message, avro_records

__all__ = ["PARQUET_MAGIC", "Packet", "PacketFailure", "alert_files", "file_packets", "message_packet"]

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
    return (
        name.endswith((".avro", ".tgz", ".parquet")) or ".tar" in name or name.startswith("tar.")
    )


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
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            stream.seek(0)
            if start.startswith(AVRO_MAGIC):
                yield from _avro_packets(stream, path, size)
                return
            if start.startswith(PARQUET_MAGIC):
                yield from _rows(stream, path)
                return
            unpack: Any = next(
                (f for magic, f in _UNPACKERS.items() if start.startswith(magic)), None
            )
            if unpack is not None:
                with unpack(stream) as unpacked:
                    limited = _Limited(unpacked, size, str(path))
                    yield from _archive_packets(limited, path, schemas)
            elif _is_tar(stream):
                yield from _archive_packets(stream, path, schemas)
            elif wire_schema_id(start) is not None and size <= _MAX_MEMBER_BYTES:
                yield message_packet(stream.read(), path, schemas)
            else:
                yield PacketFailure(path, "it is neither an Avro file nor a tar archive of them")
    except ReadError as error:
        yield PacketFailure(path, str(error))
    except OSError as error:
        yield PacketFailure(path, error.strerror or str(error))


def message_packet(
    content: bytes, where: Path, schemas: SchemaSource
) -> Packet | PacketFailure:
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
        found = list(_avro_packets(io.BytesIO(content), where, len(content)))
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
    except ReadError as error:
        from streaks.errors import AccessError

        if isinstance(error, AccessError):
            raise
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


def _archive_packets(
    stream: Any, path: Path, schemas: SchemaSource
) -> Iterator[Packet | PacketFailure]:
    """The packets of a tar archive, member by member; a broken one does not end it."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not member.isreg() or not member.name.endswith(".avro"):
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    yield from _member_packets(content, path / member.name, member.size, schemas)
    except ReadError as error:
        yield PacketFailure(path, str(error))
    except Exception as error:
        # tarfile and the unpackers raise many kinds for a damaged archive.
        yield PacketFailure(path, f"the archive is damaged or none: {error}")


def _member_packets(
    content: IO[bytes], where: Path, size: int, schemas: SchemaSource
) -> Iterator[Packet | PacketFailure]:
    start = content.read(WIRE_HEADER_BYTES + 1)
    if start.startswith(AVRO_MAGIC) or wire_schema_id(start) is None or size > _MAX_MEMBER_BYTES:
        yield from _avro_packets(_Rejoined(start, content), where, size)
    else:
        yield message_packet(start + content.read(), where, schemas)


class _Rejoined(io.RawIOBase):
    """A stream whose beginning has been read already."""

    def __init__(self, start: bytes, stream: IO[bytes]) -> None:
        self._start, self._rest = start, stream

    def read(self, n: int = -1) -> bytes:
        """At most n bytes more."""
        if n < 0:
            found, self._start = self._start + self._rest.read(), b""
            return found
        found, self._start = self._start[:n], self._start[n:]
        return found + self._rest.read(n - len(found)) if len(found) < n else found


def _avro_packets(
    stream: Any, where: Path, size: int
) -> Iterator[Packet | PacketFailure]:
    n = 0
    try:
        for read in avro_records(stream, "the file", size=size):
            yield Packet(where, read.value, read.raw, read.schema, read.schema_name)
            n += 1
    except ReadError as error:
        yield PacketFailure(where, f"packet {n + 1} does not decode: {error}")


def _rows(stream: IO[bytes], path: Path) -> Iterator[Packet | PacketFailure]:
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
            yield PacketFailure(
                path,
                f"it has {about.num_columns} columns and row groups of {max(groups, default=0)} "
                "bytes; no broker's table of alerts has",
            )
            return
        name = (held.schema_arrow.metadata or {}).get(b"avro.schema.name", b"")
        for batch in held.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
            for record in batch.to_pylist():
                yield Packet(path, record, schema_name=name.decode("utf-8", "replace"))
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        yield PacketFailure(path, f"it cannot be read as Parquet: {reason}")
