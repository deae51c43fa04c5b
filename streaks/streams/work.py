"""What a process does with a batch of packets: decode, ask, look, answer."""

from __future__ import annotations

import functools
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import AlertError, ReadError
from streaks.expressions import Expression
from streaks.readers.alerts import (
    Alert,
    Lump,
    Packet,
    PacketFailure,
    alert_of_record,
    lump_packets,
    with_difference,
)
from streaks.streams.plan import Prepared
from streaks.streams.words import WORD_COLUMNS, Words, alert_key, packet_words, select_words

__all__ = ["BatchResult", "Poison", "StampBytes", "extended_schema", "process_batch"]

#: What a sink may ask for besides the words.
WANTS = ("avro", "stamps")


@dataclass(frozen=True)
class Poison:
    """A packet that is set aside.

    Parameters
    ----------
    where, reason
        Its file, and why.
    content
        Its bytes, where they are known.
    """

    where: str
    reason: str
    content: bytes = b""


@dataclass(frozen=True)
class StampBytes:
    """A difference stamp for a table's cell.

    Parameters
    ----------
    shape
        (ny, nx).
    data
        Of float32, as the sky was, NaN where there is no data.
    fwhm_px
        Of its PSF; NaN where unknown.
    """

    shape: tuple[int, int]
    data: bytes
    fwhm_px: float


@dataclass(frozen=True, eq=False)
class BatchResult:
    """What a batch of packets gave.

    Parameters
    ----------
    words
        `WORD_COLUMNS` of the k alerts that the condition lets through.
    n_alerts
        Alerts that were read.
    poison
        Packets that were not.
    avro
        Of each of the k: the hash of its schema and its bytes with our word behind; empty unless
        asked for.
    schemas
        Schemas with our field, by their hash.
    stamps
        Of each of the k; empty unless asked for.
    """

    words: Words
    n_alerts: int
    poison: tuple[Poison, ...] = ()
    avro: tuple[tuple[str, bytes], ...] = ()
    schemas: Mapping[str, str] = field(default_factory=dict)
    stamps: tuple[StampBytes | None, ...] = ()


def process_batch(
    prepared: Prepared, lumps: Sequence[Lump], wants: frozenset[str] = frozenset()
) -> BatchResult:
    """Our word on the alerts of some lumps, those that the condition lets through.

    Parameters
    ----------
    prepared
        What works on alerts here.
    lumps
        Packets, not decoded yet.
    wants
        ``avro`` and ``stamps``, where the sink needs them.

    Returns
    -------
    BatchResult

    Raises
    ------
    AccessError
        If a registry of schemas cannot be reached.
    ConfigError
        If the condition asks for what no alert has.
    """
    packets, poison = _decoded(prepared, lumps)
    alerts, kept, more = _alerts(packets)
    poison += more
    n_alerts = len(alerts)
    packets = [packets[i] for i in kept]
    words = packet_words(
        alerts, [alert_key(a, p.raw) for a, p in zip(alerts, packets, strict=True)]
    )
    rows = _where(prepared.first, words, alerts)
    alerts, packets = [alerts[i] for i in rows], [packets[i] for i in rows]
    words = select_words(words, rows)
    alerts = [_with_stamp(a, p) for a, p in zip(alerts, packets, strict=True)]
    words |= prepared.judge.words(alerts)
    rows = _where(prepared.rest, words, alerts)
    words = {spec.name: np.asarray(words[spec.name])[rows] for spec in WORD_COLUMNS}
    alerts, packets = [alerts[i] for i in rows], [packets[i] for i in rows]
    avro, schemas = _avro(packets, words) if "avro" in wants else ((), {})
    stamps = tuple(map(_stamp_bytes, alerts)) if "stamps" in wants else ()
    return BatchResult(words, n_alerts, tuple(poison), avro, schemas, stamps)


def _decoded(prepared: Prepared, lumps: Sequence[Lump]) -> tuple[list[Packet], list[Poison]]:
    packets: list[Packet] = []
    poison: list[Poison] = []
    for lump in lumps:
        for one in lump_packets(lump, prepared.schemas):
            if isinstance(one, PacketFailure):
                poison.append(Poison(str(one.path), one.reason, one.content))
            else:
                packets.append(one)
    return packets, poison


def _alerts(packets: Sequence[Packet]) -> tuple[list[Alert], list[int], list[Poison]]:
    """Alerts without stamps, the packets they are of, and those that are none."""
    alerts: list[Alert] = []
    kept: list[int] = []
    poison: list[Poison] = []
    for i, packet in enumerate(packets):
        try:
            alerts.append(
                alert_of_record(packet.record, packet.where, schema_name=packet.schema_name)
            )
            kept.append(i)
        except (AlertError, ReadError) as error:
            poison.append(Poison(str(packet.where), str(error), packet.raw))
    return alerts, kept, poison


def _with_stamp(alert: Alert, packet: Packet) -> Alert:
    """The alert with its difference stamp: only that is looked at, so only that is unpacked."""
    try:
        return with_difference(alert, packet.record)
    except ReadError:
        return alert  # a stamp that unpacks to too much is none


def _where(condition: Expression | None, words: Words, alerts: Sequence[Alert]) -> NDArray[np.intp]:
    n = len(alerts)
    if condition is None or n == 0:
        return np.arange(n)
    columns = dict(words)
    for name in condition.names:
        outer, dot, inner = name.partition(".")
        if dot and outer in ("packet", "candidate", "diaSource"):
            told = [alert.candidate.get(inner) for alert in alerts]
            columns[name] = np.array([*told, None], dtype=object)[:-1]
    return np.flatnonzero(condition.evaluate(columns, n))


def _stamp_bytes(alert: Alert) -> StampBytes | None:
    data = alert.true_difference
    if data is None:
        return None
    fwhm = alert.fwhm_px if alert.psf is not None else math.nan
    ny, nx = data.shape
    return StampBytes((ny, nx), np.ascontiguousarray(data, np.float32).tobytes(), fwhm)


def _avro(
    packets: Sequence[Packet], words: Words
) -> tuple[tuple[tuple[str, bytes], ...], dict[str, str]]:
    """Each packet's own bytes with our word encoded behind: nothing of it is written anew."""
    import fastavro

    encoded: list[tuple[str, bytes]] = []
    schemas: dict[str, str] = {}
    rows = _plain_rows(words)
    for packet, row in zip(packets, rows, strict=True):
        if not packet.raw:
            raise AlertError(
                f"{packet.where} is a table: its rows cannot be written as Avro packets; write "
                ".parquet, .csv or a night's folder"
            )
        digest, text, word_schema = extended_schema(packet.schema)
        schemas[digest] = text
        stream = io.BytesIO()
        stream.write(packet.raw)
        stream.write(b"\x02")  # the second branch of null or word
        fastavro.schemaless_writer(stream, word_schema, row)
        encoded.append((digest, stream.getvalue()))
    return tuple(encoded), schemas


@functools.lru_cache(maxsize=64)
def extended_schema(text: bytes) -> tuple[str, str, Any]:
    """A packet's schema with our word as its last field.

    Parameters
    ----------
    text
        Of the packet's schema.

    Returns
    -------
    digest, text : str
        Of the new schema.
    word_schema
        Of our field's record alone, parsed.

    Raises
    ------
    AlertError
        If the packet is no record.
    """
    import hashlib

    import fastavro

    schema = json.loads(text)
    if not isinstance(schema, dict) or not isinstance(schema.get("fields"), list):
        raise AlertError("the packet's schema is no record; our word cannot be put into it")
    taken = {str(f.get("name")) for f in schema["fields"] if isinstance(f, dict)}
    name, number = "streaks", 1
    while name in taken:  # it went through a filter before
        number += 1
        name = f"streaks_{number}"
    word = _word_schema(f"word_{number}" if number > 1 else "word")
    schema["fields"] = [
        *schema["fields"],
        {"name": name, "type": ["null", word], "default": None, "doc": "What Streaks says."},
    ]
    found = json.dumps(schema)
    digest = hashlib.sha256(found.encode()).hexdigest()[:12]
    return digest, found, fastavro.parse_schema(json.loads(json.dumps(word)))


def _word_schema(name: str) -> dict[str, Any]:
    kinds: dict[type, Any] = {str: "string", float: ["null", "double"], bool: "boolean"}
    return {
        "type": "record", "name": name, "namespace": "streaks",
        "fields": [
            {"name": spec.name, "type": kinds[spec.dtype],
             "doc": f"{spec.description} [{spec.unit or 'none'}]"}
            for spec in WORD_COLUMNS
        ],
    }  # fmt: skip


def _plain_rows(words: Words) -> list[dict[str, Any]]:
    columns: dict[str, list[Any]] = {}
    for spec in WORD_COLUMNS:
        values = np.asarray(words[spec.name]).tolist()
        if spec.dtype is float:
            values = [None if v != v else v for v in values]
        columns[spec.name] = values
    names, n = list(columns), len(columns["alert_id"])
    return [{name: columns[name][i] for name in names} for i in range(n)]
