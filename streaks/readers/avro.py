"""Avro files, one packet after another, checked before a decoder believes them.

A decoder written for speed trusts its file: a schema that contains itself overflows the stack, an
array of 2**40 values that take no bytes never ends, and a block of a few kilobytes unpacks to
gigabytes. Container, blocks and schema are therefore read here, in plain code and within limits;
the packets themselves by fastavro, from bytes of a known size. A schema is taken apart once, not
once a file: a night has a hundred thousand files of one schema.

References
----------
Apache Avro 1.11 specification, "Object Container Files" and "Binary Encoding".
"""

from __future__ import annotations

import bz2
import functools
import io
import lzma
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from streaks.disk import Limits, parse_json
from streaks.errors import ReadError

__all__ = [
    "AVRO_MAGIC",
    "AvroBlock",
    "AvroRecord",
    "avro_blocks",
    "avro_message",
    "avro_packets",
    "avro_records",
    "block_records",
]

AVRO_MAGIC = b"Obj\x01"
#: Real schemas have 10 to 30 kB.
_MAX_SCHEMA_BYTES = 1 << 22
#: A block unpacked; writers begin a new one after 16 kB to some megabytes.
_MAX_BLOCK_BYTES = 1 << 26
#: Stamps are packed already, so that whole packets shrink to a third at best.
_LIMITS = Limits(max_bytes=1 << 40, max_ratio=20.0)
#: Python objects that one packet may turn into: 100 bytes each.
_MAX_OBJECTS = 8_000_000
#: Types within types, by name or by bracket: a decoder goes down as many calls.
_MAX_TYPE_DEPTH = 64
#: In one packet; tables turned into packets have none or a few.
_MAX_EMPTY_ITEMS = 10_000
_SCHEMAS_KEPT = 32
_SYNC_BYTES = 16

#: Bytes that a value takes at least (a length or a zigzag number takes one).
_LEAST_BYTES = {
    "null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1,
}  # fmt: skip


def avro_packets(stream: IO[bytes], name: str, *, size: int | None = None) -> Iterator[Any]:
    """The packets of an Avro container file.

    Parameters
    ----------
    stream
        At the file's start; it is read forwards only.
    name
        What errors call it.
    size
        Bytes of the file, where they are known: blocks that promise more are refused.

    Yields
    ------
    dict or other value of the schema

    Raises
    ------
    ReadError
        If the file is damaged, its schema contains itself or describes values without bytes, or
        it unpacks to more than alerts do.
    """
    for record in avro_records(stream, name, size=size):
        yield record.value


@dataclass(frozen=True, eq=False)
class AvroRecord:
    """A packet as decoded, and as it was written.

    Parameters
    ----------
    value
        Of the schema.
    raw
        Its bytes without schema or container.
    schema
        The text of the schema they were written with.
    schema_name
        Of the schema, with its namespace; empty where it has none.
    """

    value: Any
    raw: bytes
    schema: bytes
    schema_name: str


def avro_message(content: bytes, schema: bytes, name: str) -> AvroRecord:
    """A packet that stands alone, without its schema.

    Parameters
    ----------
    content
        The packet's bytes and nothing else.
    schema
        The text of its schema.
    name
        What errors call it.

    Returns
    -------
    AvroRecord

    Raises
    ------
    ReadError
        If the schema is none, or the bytes are not one packet of it.
    """
    if len(content) > _MAX_BLOCK_BYTES:
        raise ReadError(f"{name} has more than {_MAX_BLOCK_BYTES >> 20} MB; no alert has")
    read = _schema(schema)
    if read.least_bytes > len(content):
        raise ReadError(f"{name} has {len(content)} bytes, its schema's packets more")
    ((value, raw),) = _packets(content, 1, read, name)
    if len(raw) != len(content):
        raise ReadError(
            f"{name} has {len(content) - len(raw)} bytes more than a packet of its schema: it is "
            "of another schema"
        )
    return AvroRecord(value, raw, schema, read.name)


def avro_records(stream: IO[bytes], name: str, *, size: int | None = None) -> Iterator[AvroRecord]:
    """The packets of an Avro container file with their bytes.

    Parameters
    ----------
    stream, name, size
        As of `avro_packets`.

    Yields
    ------
    AvroRecord

    Raises
    ------
    ReadError
        As `avro_packets` does.
    """
    for block in avro_blocks(stream, name, size=size):
        yield from block_records(block, name)


@dataclass(frozen=True, eq=False)
class AvroBlock:
    """Some packets of a container file, not decoded yet.

    Parameters
    ----------
    count
        How many.
    data
        Their bytes, unpacked.
    schema
        The text of their schema.
    """

    count: int
    data: bytes
    schema: bytes


def avro_blocks(stream: IO[bytes], name: str, *, size: int | None = None) -> Iterator[AvroBlock]:
    """The blocks of an Avro container file, checked and unpacked; nothing is decoded.

    Parameters
    ----------
    stream, name, size
        As of `avro_packets`.

    Yields
    ------
    AvroBlock

    Raises
    ------
    ReadError
        As `avro_packets` does, but for what only decoding finds.
    """
    reader = _Reader(stream, name, size)
    if reader.take(4) != AVRO_MAGIC:
        raise ReadError(f"{name} is no Avro file; it does not begin with 'Obj' and a 1")
    meta = _metadata(reader)
    text = meta.get("avro.schema", b"")
    schema = _schema(text)
    codec = meta.get("avro.codec", b"null").decode("ascii", "replace")
    sync = reader.take(_SYNC_BYTES)
    unpacked = 0
    while not reader.at_end():
        count, length = reader.number(), reader.number()
        if count < 0 or not 0 <= length <= _MAX_BLOCK_BYTES:
            raise ReadError(f"{name} has a block of {count} packets in {length} bytes: damaged")
        block = _unpacked(reader.take(length), codec, name)
        unpacked += len(block)
        _LIMITS.check(unpacked, reader.taken, name)
        if count * schema.least_bytes > len(block):
            raise ReadError(f"{name} has a block of {count} packets in {len(block)} bytes: damaged")
        yield AvroBlock(count, block, text)
        if reader.take(_SYNC_BYTES) != sync:
            raise ReadError(f"{name} is damaged: a block does not end where it should")


def block_records(block: AvroBlock, name: str) -> Iterator[AvroRecord]:
    """The packets of a block.

    Parameters
    ----------
    block
        Of `avro_blocks`.
    name
        What errors call its file.

    Yields
    ------
    AvroRecord

    Raises
    ------
    ReadError
        If it is damaged.
    """
    schema = _schema(block.schema)
    for value, raw in _packets(block.data, block.count, schema, name):
        yield AvroRecord(value, raw, block.schema, schema.name)


class _Reader:
    """Bytes and numbers off a stream, never more than there are."""

    def __init__(self, stream: IO[bytes], name: str, size: int | None) -> None:
        self._stream, self._name, self._size, self.taken = stream, name, size, 0
        self._next = b""

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if self._size is not None and self.taken + n > self._size:
            raise self._cut_short()
        found = self._next[:n]
        self._next = self._next[n:]
        if len(found) < n:
            found += self._stream.read(n - len(found))
        if len(found) < n:
            raise self._cut_short()
        self.taken += n
        return found

    def number(self) -> int:
        """The next zigzag number of at most 64 bits."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
        raise ReadError(f"{self._name} is damaged: a number of more than 64 bits")

    def at_end(self) -> bool:
        """Whether nothing follows."""
        if not self._next:
            self._next = self._stream.read(1)
        return not self._next

    def _cut_short(self) -> ReadError:
        return ReadError(f"{self._name} is cut short or damaged; fetch it again")


def _metadata(reader: _Reader) -> dict[str, bytes]:
    meta: dict[str, bytes] = {}
    room = _MAX_SCHEMA_BYTES + (1 << 16)
    while (count := reader.number()) != 0:
        if count < 0:
            count = -count
            reader.number()  # the bytes of this part, which a reader may skip
        for _ in range(count):
            key, value = (_sized(reader, room) for _ in range(2))
            room -= len(key) + len(value) + 2
            meta[key.decode("utf-8", "replace")] = value
    return meta


def _sized(reader: _Reader, room: int) -> bytes:
    length = reader.number()
    if not 0 <= length <= room:
        raise ReadError(f"a header part of {length} bytes; expected at most {max(room, 0)}")
    return reader.take(length)


def _unpacked(data: bytes, codec: str, name: str) -> bytes:
    try:
        found = _unpack(data, codec)
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
        raise ReadError(f"{name} is damaged: a block does not unpack ({error})") from None
    if found is None:
        raise ReadError(f"{name} is packed with {codec!r}, which is not read; unpack it first")
    if len(found) > _MAX_BLOCK_BYTES:
        raise ReadError(f"{name} has a block of more than {_MAX_BLOCK_BYTES >> 20} MB unpacked")
    return found


def _unpack(data: bytes, codec: str) -> bytes | None:
    """At most a little more than a block may hold; None for a codec that is not read."""
    most = _MAX_BLOCK_BYTES + 1
    if codec == "null":
        return data
    if codec == "deflate":
        return zlib.decompressobj(-15).decompress(data, most)
    if codec == "bzip2":
        return bz2.BZ2Decompressor().decompress(data, most)
    if codec == "xz":
        return lzma.LZMADecompressor(memlimit=1 << 28).decompress(data, most)
    if codec == "snappy":
        return _unsnap(data)
    if codec == "zstandard":
        import cramjam

        room = np.empty(most, np.uint8)
        n = _or_value_error(cramjam.zstd.decompress_into, data, room)
        return room[:n].tobytes()
    return None


def _unsnap(data: bytes) -> bytes:
    """Snappy's raw form, which begins with the length, and a checksum of 4 bytes behind it."""
    import cramjam

    packed, checksum = data[:-4], data[-4:]
    length, shift = 0, 0
    for byte in packed[:5]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if length > _MAX_BLOCK_BYTES:
        raise ValueError(f"it promises {length} bytes")
    found = bytes(_or_value_error(cramjam.snappy.decompress_raw, packed))
    if zlib.crc32(found).to_bytes(4, "big") != checksum:
        raise ValueError("its checksum differs")
    return found


def _or_value_error(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:  # cramjam has one kind of its own, made in Rust
        raise ValueError(str(error)[:160]) from None


def _packets(block: bytes, count: int, schema: _Schema, name: str) -> Iterator[tuple[Any, bytes]]:
    """The packets of a block and their bytes, from windows of no more than a packet may be.

    Where a window ends within a packet, the next one begins with it.
    """
    import fastavro

    done, at = 0, 0
    while done < count:
        window = io.BytesIO(block[at : at + schema.window_bytes])
        first, start = done, 0
        while done < count:
            start = window.tell()
            try:
                if schema.has_empty_items:
                    _Skip(window, schema.parsed).packet()
                    window.seek(start)
                packet = fastavro.schemaless_reader(window, schema.parsed, None)
            except EOFError:
                break
            except ReadError:
                raise
            except Exception as error:  # the decoder raises whatever it stumbles on
                raise ReadError(
                    f"{name} is damaged ({type(error).__name__}: "
                    f"{' '.join(str(error).split())[:160]})"
                ) from None
            done += 1
            yield packet, block[at + start : at + window.tell()]
        if done == first:
            raise ReadError(
                f"{name} has a packet that is cut short, damaged, or larger than any alert"
            )
        at += start


@dataclass(frozen=True, eq=False)
class _Schema:
    """A schema that fastavro has read, and what its packets take.

    Parameters
    ----------
    parsed
        As fastavro's readers take it.
    least_bytes
        That a packet takes, at least 1.
    window_bytes
        From which no more than `_MAX_OBJECTS` objects can be made.
    has_empty_items
        Whether it has lists of values that take no bytes. (Tables turned into packets have, where
        a list was empty in all rows.)
    name
        Of the outermost type, with its namespace.
    """

    parsed: Any
    least_bytes: int
    window_bytes: int
    has_empty_items: bool
    name: str


@functools.lru_cache(maxsize=_SCHEMAS_KEPT)
def _schema(text: bytes) -> _Schema:
    import fastavro

    plain = _without_extras(parse_json(text, "the packet's schema"))
    try:
        parsed = fastavro.parse_schema(plain)
    except Exception as error:  # many kinds, and KeyError where a type has no name
        raise ReadError(f"the packet's schema is none ({str(error)[:160]})") from None
    walk = _Walk()
    top = walk.cost(parsed)
    if top.least_bytes == 0:
        raise ReadError("the packet's schema describes packets without any content")
    if top.objects > _MAX_OBJECTS:
        raise ReadError(f"the packet's schema has more than {_MAX_OBJECTS} values a packet")
    return _Schema(
        parsed,
        top.least_bytes,
        max(1, min(_MAX_BLOCK_BYTES, int(_MAX_OBJECTS / max(walk.objects_per_byte, 1e-9)))),
        walk.has_empty_items,
        str(parsed.get("name", "")) if isinstance(parsed, dict) else "",
    )


def _without_extras(schema: Any) -> Any:
    """The schema without what only others need: defaults, documents, and logical types.

    Dates and decimals stay the numbers and bytes that they are stored as: turning a decimal of a
    million digits into one takes for ever.
    """
    if isinstance(schema, list):
        return [_without_extras(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    extras = {"default", "doc", "logicalType", "order", "aliases", "__fastavro_parsed__",
              "__named_schemas"}  # fmt: skip
    return {key: _without_extras(value) for key, value in schema.items() if key not in extras}


class _Skip:
    """Goes over one packet without decoding it, to see how long its lists are.

    Slow (a microsecond a value), and needed for schemas only whose lists may hold values without
    bytes: all other lists end where their bytes end.
    """

    def __init__(self, stream: io.BytesIO, schema: Any) -> None:
        self._stream, self._schema, self._empty_items = stream, schema, 0
        self._named: dict[str, Any] = {}

    def packet(self) -> None:
        """One packet.

        Raises
        ------
        ReadError
            If its lists hold more values without bytes than any table has rows.
        EOFError
            If the stream ends first.
        """
        self._over(self._schema)

    def _over(self, schema: Any) -> None:
        if isinstance(schema, str):
            if schema in _LEAST_BYTES:
                self._over_primitive(schema)
            else:
                self._over(self._named[schema])
        elif isinstance(schema, list):
            branch = self._number()
            if not 0 <= branch < len(schema):
                raise ReadError(f"a choice of number {branch} among {len(schema)}: damaged")
            self._over(schema[branch])
        else:
            self._over_mapping(schema)

    def _over_mapping(self, schema: Mapping[str, Any]) -> None:
        kind = schema["type"]
        if kind in ("record", "error", "enum", "fixed"):
            self._named[str(schema["name"])] = schema
        if kind in ("record", "error"):
            for one in schema["fields"]:
                self._over(one["type"])
        elif kind == "array":
            self._over_items(schema["items"], has_keys=False)
        elif kind == "map":
            self._over_items(schema["values"], has_keys=True)
        elif kind == "enum":
            self._number()
        elif kind == "fixed":
            self._take(int(schema["size"]))
        else:
            self._over(kind)

    def _over_items(self, items: Any, *, has_keys: bool) -> None:
        while (count := self._number()) != 0:
            if count < 0:
                count = -count
                self._number()
            for _ in range(count):
                before = self._stream.tell()
                if has_keys:
                    self._over_primitive("string")
                self._over(items)
                self._empty_items += self._stream.tell() == before
                if self._empty_items > _MAX_EMPTY_ITEMS:
                    raise ReadError(
                        f"the packet has lists of more than {_MAX_EMPTY_ITEMS} values without any "
                        "content"
                    )

    def _over_primitive(self, kind: str) -> None:
        if kind in ("bytes", "string"):
            self._take(self._number())
        elif kind in ("int", "long"):
            self._number()
        else:
            self._take(_LEAST_BYTES[kind])

    def _take(self, n: int) -> bytes:
        found = self._stream.read(n) if n >= 0 else b""
        if len(found) != n:
            raise EOFError
        return found

    def _number(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        return (value >> 1) ^ -(value & 1)


@dataclass(frozen=True)
class _Cost:
    """What a value of a type takes at least in bytes, at most in objects, and its depth.

    Objects are counted without the items of arrays and maps: those take bytes of their own.
    """

    least_bytes: int
    objects: int
    depth: int


class _Walk:
    """Adds up what a schema's types cost."""

    def __init__(self) -> None:
        self.objects_per_byte = 1.0
        #: Whether a list's items may take no bytes: then its length must be looked at.
        self.has_empty_items = False
        self._named: dict[str, _Cost | None] = {}

    def cost(self, schema: Any) -> _Cost:
        """Of one type, with all within it."""
        if isinstance(schema, str):
            if schema in _LEAST_BYTES:
                return _Cost(_LEAST_BYTES[schema], 1, 1)
            return self._of_name(schema)
        if isinstance(schema, list):
            branches = [self.cost(one) for one in schema]
            if not branches:
                raise ReadError("the packet's schema has a choice between nothing")
            return _deeper(
                1 + min(b.least_bytes for b in branches), max(b.objects for b in branches), branches
            )
        if not isinstance(schema, Mapping):
            raise ReadError(f"the packet's schema has a type {schema!r:.40}")
        return self._of_mapping(schema)

    def _of_mapping(self, schema: Mapping[str, Any]) -> _Cost:
        kind = schema.get("type")
        if kind in ("record", "error"):
            return self._of_record(schema)
        if kind == "array":
            items = self.cost(schema.get("items"))
            if items.least_bytes == 0:
                self.has_empty_items = True
            else:
                self._keep(items.objects, items.least_bytes)
            return _deeper(1, 1, [items])
        if kind == "map":
            values = self.cost(schema.get("values"))
            self._keep(values.objects + 1, values.least_bytes + 1)
            return _deeper(1, 1, [values])
        if kind == "enum":
            return self._kept(schema, _Cost(1, 1, 1))
        if kind == "fixed":
            size = schema.get("size")
            if not isinstance(size, int) or size < 0:
                raise ReadError(f"the packet's schema has a value of {size!r} bytes")
            return self._kept(schema, _Cost(size, 1, 1))
        return self.cost(kind)

    def _of_record(self, schema: Mapping[str, Any]) -> _Cost:
        name = str(schema.get("name"))
        self._named[name] = None
        fields = [self.cost(field.get("type")) for field in schema.get("fields", ())]
        cost = _deeper(
            sum(f.least_bytes for f in fields), 1 + sum(f.objects for f in fields), fields
        )
        return self._kept(schema, cost)

    def _kept(self, schema: Mapping[str, Any], cost: _Cost) -> _Cost:
        self._named[str(schema.get("name"))] = cost
        return cost

    def _of_name(self, name: str) -> _Cost:
        if name not in self._named:
            raise ReadError(f"the packet's schema names a type {name[:40]!r} that it lacks")
        cost = self._named[name]
        if cost is None:
            raise ReadError(f"the packet's schema contains itself (by the name {name[:40]!r})")
        return cost

    def _keep(self, objects: int, least_bytes: int) -> None:
        # Whole numbers of any size first: a float of 2**2000 is none.
        per_byte = -(-objects // least_bytes)
        self.objects_per_byte = max(self.objects_per_byte, float(min(per_byte, _MAX_OBJECTS + 1)))


def _deeper(least_bytes: int, objects: int, within: list[_Cost]) -> _Cost:
    depth = 1 + max((cost.depth for cost in within), default=0)
    if depth > _MAX_TYPE_DEPTH:
        raise ReadError(f"the packet's schema is nested more than {_MAX_TYPE_DEPTH} deep")
    return _Cost(least_bytes, objects, depth)
