"""Alerts from a topic and to a topic (confluent-kafka).

Offsets are committed after what they stand for is on the disk, and are only told to the broker for
its own sake: where to go on is in the ledger. A producer that was killed may have sent more than
the ledger heard of. At the next start the end of the output topic is read, and what is there is not
sent again: each alert is in the topic once, as long as one filter alone writes to it.
"""

from __future__ import annotations

import logging
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streaks.errors import AccessError, ConfigError, MissingExtraError, OutputError
from streaks.readers.alerts import Lump
from streaks.streams.ledger import StreamLedger
from streaks.streams.sinks import Output, container_of
from streaks.streams.sources import Piece

__all__ = ["KafkaSink", "KafkaSource"]

_log = logging.getLogger(__name__)

_GROUP = "streaks"
#: Messages that are taken at once, and how long for them is waited, s.
_AT_ONCE, _WAIT_S = 500, 0.5
#: How long a broker is waited for, s.
_TIMEOUT_S = 30.0
#: Messages that are sent before the broker's word on them is asked for.
_IN_FLIGHT = 10_000
#: librdkafka's own log: a line for each try to connect, twenty a second. It goes to ours, as
#: debug; what ends the work is raised, and what passes is told by `KafkaSource._judge`.
_rdkafka_log = logging.getLogger(f"{__name__}.librdkafka")


def _library() -> Any:
    try:
        import confluent_kafka
    except ImportError:
        raise MissingExtraError("confluent-kafka", "streams", "reading from Kafka") from None
    return confluent_kafka


def _quiet_log() -> logging.Logger:
    """A logger for librdkafka that shows its lines with --debug alone."""
    if not _rdkafka_log.filters:
        _rdkafka_log.addFilter(_as_debug)
    return _rdkafka_log


def _as_debug(record: logging.LogRecord) -> bool:
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def _address(url: str) -> tuple[str, str]:
    """Servers and topic of ``kafka://HOST:PORT,HOST:PORT/TOPIC``."""
    parts = urllib.parse.urlsplit(url)
    topic = parts.path.strip("/")
    if parts.scheme != "kafka" or not parts.netloc or not topic or "/" in topic:
        raise ConfigError(f"{url} is no topic; expected kafka://HOST:PORT/TOPIC")
    return parts.netloc, topic


class KafkaSource:
    """The messages of a topic, all of its partitions.

    Parameters
    ----------
    url
        ``kafka://HOST:PORT/TOPIC``.
    settings
        Of librdkafka: ``group.id``, ``security.protocol`` and what else a broker asks for.
    idle_s
        End when nothing came for so long, s; 0 waits for ever.

    Raises
    ------
    ConfigError
        If it is no address of a topic, or a setting is none of librdkafka's.
    AccessError
        If no broker answers, or it has no such topic.
    MissingExtraError
        If confluent-kafka is not installed.
    """

    def __init__(
        self, url: str, settings: Mapping[str, str] | None = None, *, idle_s: float = 0.0
    ) -> None:
        kafka = _library()
        servers, self._topic = _address(url)
        self._where = Path(f"{servers}/{self._topic}")
        self._idle_s = idle_s
        self._kafka = kafka
        config = {
            "group.id": _GROUP,
            **dict(settings or {}),
            "bootstrap.servers": servers,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
        }
        try:
            self._consumer = kafka.Consumer(config, logger=_quiet_log())
        except kafka.KafkaException as error:
            raise ConfigError(f"--kafka: {error.args[0].str()}") from None
        self._partitions = self._listed()

    def _listed(self) -> list[int]:
        try:
            found = self._consumer.list_topics(self._topic, timeout=_TIMEOUT_S).topics[self._topic]
        except self._kafka.KafkaException as error:
            self._consumer.close()
            raise AccessError(f"{self._where} cannot be reached: {error.args[0].str()}") from None
        if found.error is not None or not found.partitions:
            self._consumer.close()
            raise AccessError(f"{self._where} has no messages to give: {found.error}")
        return sorted(found.partitions)

    def pieces(self, ledger: StreamLedger) -> Iterator[Piece]:
        """Messages that are not settled yet.

        Parameters
        ----------
        ledger
            Tells from which offset of each partition to go on.

        Yields
        ------
        Piece
            Without a lump where nothing came for a while.

        Raises
        ------
        AccessError
            If the brokers are gone for good.
        """
        start = self._kafka.OFFSET_BEGINNING
        self._consumer.assign([
            self._kafka.TopicPartition(
                self._topic, p, ledger.done(self._source(p)) or start
            )
            for p in self._partitions
        ])  # fmt: skip
        since = time.monotonic()
        while True:
            messages = self._consumer.consume(_AT_ONCE, timeout=_WAIT_S)
            came = False
            for message in messages:
                if message.error() is not None:
                    self._judge(message.error())
                    continue
                came = True
                value = message.value() or b""
                where = self._where / f"{message.partition()}@{message.offset()}"
                yield Piece(
                    Lump(where, "message", 1, value), self._source(message.partition()), "",
                    message.offset() + 1,
                )  # fmt: skip
            if came:
                since = time.monotonic()
                continue
            yield Piece(None)
            if self._idle_s and time.monotonic() - since >= self._idle_s:
                return

    def _source(self, partition: int) -> str:
        return f"{self._where}[{partition}]"

    def _judge(self, error: Any) -> None:
        """Errors pass, librdkafka tries again; but for those that it calls fatal."""
        if error.fatal() or error.code() == self._kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise AccessError(f"{self._where}: {error.str()}")
        _log.warning("%s: %s", self._where, error.str())

    def committed(self, positions: dict[tuple[str, str], int]) -> None:
        """Tell the broker how far was read, for those who watch its lag.

        Parameters
        ----------
        positions
            By source and signature.
        """
        by_source = {self._source(p): p for p in self._partitions}
        offsets = [
            self._kafka.TopicPartition(self._topic, by_source[source], offset)
            for (source, _), offset in positions.items()
            if source in by_source
        ]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except self._kafka.KafkaException as error:
                _log.warning("%s: offsets not committed: %s", self._where, error.args[0].str())

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


class KafkaSink:
    """A topic that alerts are sent to with our word, Avro files of one packet each.

    Parameters
    ----------
    url
        ``kafka://HOST:PORT/TOPIC``.
    settings
        Of librdkafka.
    ledger
        Tells which alerts are out.

    Raises
    ------
    ConfigError
        If it is no address of a topic, or a setting is none of librdkafka's.
    MissingExtraError
        If confluent-kafka is not installed.
    """

    wants = frozenset({"avro"})

    def __init__(self, url: str, settings: Mapping[str, str] | None, ledger: StreamLedger) -> None:
        self._kafka = _library()
        self._servers, self._topic = _address(url)
        self._settings = {k: v for k, v in dict(settings or {}).items() if k != "group.id"}
        self._ledger = ledger
        self._sync = ledger.run_id()
        self._sent_already: set[str] = set()
        self._ends: dict[str, int] = {}
        config = {**self._settings, "bootstrap.servers": self._servers, "enable.idempotence": True,
                  "compression.type": "none"}  # fmt: skip
        try:
            self._producer = self._kafka.Producer(config, logger=_quiet_log())
        except self._kafka.KafkaException as error:
            raise ConfigError(f"--kafka: {error.args[0].str()}") from None

    def restore(self, state: Mapping[str, Any]) -> None:
        """Learn what a killed run sent after its last commit.

        Parameters
        ----------
        state
            Ends of the topic's partitions at that commit.

        Raises
        ------
        AccessError
            If the broker cannot be reached.
        """
        self._ends = {str(p): int(n) for p, n in dict(state.get("ends", {})).items()}
        consumer = self._kafka.Consumer({
            **self._settings, "bootstrap.servers": self._servers, "group.id": f"{_GROUP}-restore",
            "enable.auto.commit": False,
        }, logger=_quiet_log())  # fmt: skip
        try:
            for partition, (low, high) in self._marks(consumer).items():
                begin = max(self._ends.get(str(partition), high if not state else low), low)
                if begin < high:
                    self._sent_already |= set(self._keys(consumer, partition, begin, high))
                self._ends[str(partition)] = high
        except self._kafka.KafkaException as error:
            raise AccessError(f"{self._servers} cannot be reached: {error.args[0]}") from None
        finally:
            consumer.close()

    def _marks(self, consumer: Any) -> dict[int, tuple[int, int]]:
        listed = consumer.list_topics(self._topic, timeout=_TIMEOUT_S).topics[self._topic]
        return {
            p: consumer.get_watermark_offsets(
                self._kafka.TopicPartition(self._topic, p), timeout=_TIMEOUT_S
            )
            for p in listed.partitions
        }

    def _keys(self, consumer: Any, partition: int, begin: int, end: int) -> Iterator[str]:
        consumer.assign([self._kafka.TopicPartition(self._topic, partition, begin)])
        at, waited = begin, time.monotonic()
        while at < end:
            for message in consumer.consume(_AT_ONCE, timeout=_WAIT_S):
                if message.error() is None:
                    at, waited = message.offset() + 1, time.monotonic()
                    yield (message.key() or b"").decode("utf-8", "replace")
            if time.monotonic() - waited > _TIMEOUT_S:
                raise AccessError(
                    f"{self._servers}/{self._topic} does not give what is in it, offsets {at} to "
                    f"{end} of partition {partition}; run again when it does"
                )

    def write(self, output: Output) -> dict[str, Any]:
        """Send the packets, and wait until the brokers have them.

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
            If a broker does not take them.
        """
        failed: list[str] = []

        def told(error: Any, message: Any) -> None:
            if error is not None:
                failed.append(error.str())
            else:
                key = str(message.partition())
                self._ends[key] = max(self._ends.get(key, 0), message.offset() + 1)

        ids = [str(i) for i in output.words["alert_id"]]
        for n, (key, (digest, packet)) in enumerate(zip(ids, output.avro, strict=True), start=1):
            if key in self._sent_already:
                continue
            content = container_of(output.schemas[digest], self._sync, [packet])
            self._send(key, content, told)
            if n % _IN_FLIGHT == 0:
                self._producer.flush(_TIMEOUT_S)
        left = self._producer.flush(_TIMEOUT_S)
        if failed or left:
            raise OutputError(
                f"{self._servers}/{self._topic} did not take {len(failed) + left} alerts: "
                f"{failed[0] if failed else 'no answer'}; run again"
            )
        self._sent_already -= set(ids)
        return {"ends": self._ends}

    def _send(self, key: str, content: bytes, told: Any) -> None:
        while True:
            try:
                self._producer.produce(self._topic, content, key=key, on_delivery=told)
                self._producer.poll(0)
                return
            except BufferError:  # the broker is slower than we are: wait for it
                self._producer.poll(_WAIT_S)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Nothing is left to do: all that was sent is there.

        Parameters
        ----------
        provenance
            Not needed: packets carry no more than our word.
        """
