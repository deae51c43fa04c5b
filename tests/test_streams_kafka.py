"""Alerts from and to Kafka, on librdkafka's own mock broker (which keeps all in memory)."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest

from streaks.errors import AccessError, ConfigError
from streaks.streams import AlertFilter, run_filter
from tests.made_alerts import ZTF_SCHEMA, image_with, message, write_avro, ztf_record

kafka = pytest.importorskip("confluent_kafka", reason="needs the extra streams")

from streaks.streams.kafka import KafkaSink, KafkaSource  # noqa: E402

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


class Mock:
    """A broker of librdkafka's, alive as long as the client that made it."""

    def __init__(self) -> None:
        self.producer = kafka.Producer({
            "bootstrap.servers": "none", "test.mock.num.brokers": "1", "log_level": 0,
        })  # fmt: skip
        (broker,) = self.producer.list_topics(timeout=10).brokers.values()
        self.servers = f"{broker.host}:{broker.port}"

    def send(self, topic: str, values: list[bytes]) -> None:
        for value in values:
            self.producer.produce(topic, value)
        assert self.producer.flush(10) == 0

    def received(self, topic: str) -> list[Any]:
        """All messages of a topic."""
        consumer = kafka.Consumer({
            "bootstrap.servers": self.servers, "group.id": f"test-{random.random()}",
            "auto.offset.reset": "earliest", "log_level": 0,
        })  # fmt: skip
        listed = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        found, total = [], 0
        for p in listed:
            low, high = consumer.get_watermark_offsets(kafka.TopicPartition(topic, p), timeout=10)
            total += high - low
        consumer.assign([kafka.TopicPartition(topic, p, kafka.OFFSET_BEGINNING) for p in listed])
        until = time.monotonic() + 30
        while len(found) < total and time.monotonic() < until:
            found += [m for m in consumer.consume(500, timeout=0.2) if m.error() is None]
        consumer.close()
        assert len(found) == total
        return found


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    broker = Mock()
    yield broker
    broker.producer.flush(5)


@pytest.fixture
def schemas(tmp_path: Path) -> str:
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / "5.avsc").write_text(json.dumps(ZTF_SCHEMA))
    return str(folder)


def _messages(n: int) -> list[bytes]:
    record = ztf_record(0, image_with(0.0, 20.0, side=21))
    return [message({**record, "candid": k}, 5) for k in range(1, n + 1)]


def _candids(path: Path) -> list[int]:
    with path.open("rb") as stream:
        return [r["candid"] for r in fastavro.reader(stream) if isinstance(r, dict)]


def test_a_topic_is_read_to_its_end_and_poison_is_set_aside(
    mock: Mock, schemas: str, tmp_path: Path
) -> None:
    mock.send("in-one", [*_messages(50), b"no packet at all", b"\0\0\0\0\6abc"])
    plan = AlertFilter(check=False, schemas=schemas)
    url = f"kafka://{mock.servers}/in-one"
    counts = run_filter(plan, KafkaSource(url, idle_s=1.5), tmp_path / "out.avro")
    assert (counts.alerts, counts.kept, counts.poison) == (50, 50, 2)
    assert sorted(_candids(tmp_path / "out.avro")) == list(range(1, 51))
    kept = list((tmp_path / "out.avro.work" / "poison").glob("*.avro"))
    assert {p.read_bytes() for p in kept} == {b"no packet at all", b"\0\0\0\0\6abc"}
    # What came since is all that a second run reads.
    mock.send("in-one", _messages(52)[50:])
    counts = run_filter(plan, KafkaSource(url, idle_s=1.5), tmp_path / "out.avro")
    assert (counts.alerts, counts.kept, counts.repeats) == (52, 52, 0)


def test_offsets_are_told_to_the_broker_after_the_ledger(
    mock: Mock, schemas: str, tmp_path: Path
) -> None:
    mock.send("in-two", _messages(30))
    plan = AlertFilter(check=False, schemas=schemas)
    source = KafkaSource(f"kafka://{mock.servers}/in-two", {"group.id": "us"}, idle_s=1.5)
    run_filter(plan, source, tmp_path / "out.csv")
    consumer = kafka.Consumer({"bootstrap.servers": mock.servers, "group.id": "us"})
    partitions = consumer.list_topics("in-two", timeout=10).topics["in-two"].partitions
    told = consumer.committed([kafka.TopicPartition("in-two", p) for p in partitions], timeout=10)
    consumer.close()
    assert sum(max(p.offset, 0) for p in told) == 30


_CHILD = """
import sys
from streaks.streams import AlertFilter, run_filter, run
from streaks.streams.kafka import KafkaSource, KafkaSink
from streaks.streams.sources import FileSource
from pathlib import Path
if __name__ == "__main__":
    source, target, schemas, work = sys.argv[1:5]
    run._COMMIT_PACKETS = 64
    plan = AlertFilter(check=False, schemas=schemas)
    came = FileSource([Path(source)]) if Path(source).exists() else KafkaSource(source, idle_s=2.0)
    sink = None
    if target.startswith("kafka"):
        sink = lambda run_id, ledger: KafkaSink(target, {}, ledger)
    run_filter(plan, came, target, work=work, sink=sink, batch=32,
               progress=lambda counts: print(counts.kept, flush=True))
"""


def _killed(arguments: list[str], kills: int) -> int:
    rng, done = random.Random(5), 0
    while True:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *arguments], stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        if done < kills:
            for _ in range(rng.randint(1, 4)):
                if not child.stdout.readline():
                    break
            time.sleep(rng.uniform(0.0, 0.02))
            child.send_signal(signal.SIGKILL)
            child.communicate()
            done += child.returncode == -signal.SIGKILL
            continue
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
        return done


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_on_a_topic_each_alert_is_out_exactly_once(
    mock: Mock, schemas: str, tmp_path: Path, kills: int
) -> None:
    mock.send(f"in-{kills}", _messages(2000))
    arguments = [f"kafka://{mock.servers}/in-{kills}", str(tmp_path / "out.avro"), schemas,
                 str(tmp_path / "work")]  # fmt: skip
    assert _killed(arguments, kills) == kills
    assert sorted(_candids(tmp_path / "out.avro")) == list(range(1, 2001))


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_on_the_way_to_a_topic_each_alert_is_in_it_exactly_once(
    mock: Mock, schemas: str, tmp_path: Path, kills: int
) -> None:
    record = ztf_record(0, image_with(0.0, 20.0, side=21))
    write_avro(tmp_path / "in.avro", [{**record, "candid": k} for k in range(1, 1501)])
    mock.send(f"out-{kills}", [b"somebody else's"])
    arguments = [str(tmp_path / "in.avro"), f"kafka://{mock.servers}/out-{kills}", schemas,
                 str(tmp_path / "work")]  # fmt: skip
    assert _killed(arguments, kills) == kills
    found = [m for m in mock.received(f"out-{kills}") if m.key()]
    assert sorted(m.key().decode() for m in found) == sorted(f"ztf:{k}" for k in range(1, 1501))
    (packet,) = fastavro.reader(io.BytesIO(found[0].value()))
    assert isinstance(packet, dict)
    assert packet["streaks"]["alert_id"] == found[0].key().decode()


@pytest.mark.parametrize("url", ["kafka://", "kafka://host", "kafka://host:1/a/b", "http://a/b"])
def test_addresses_that_are_none_are_named(url: str) -> None:
    with pytest.raises(ConfigError, match="is no topic; expected kafka://HOST:PORT/TOPIC"):
        KafkaSource(url)


def test_settings_that_are_none_of_librdkafkas_are_named(mock: Mock) -> None:
    with pytest.raises(ConfigError, match="--kafka: No such configuration property"):
        KafkaSource(f"kafka://{mock.servers}/x", {"grupe.id": "1"})
    assert KafkaSink.wants == {"avro"}


def test_a_broker_that_is_not_there_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("streaks.streams.kafka._TIMEOUT_S", 1.0)
    with pytest.raises(AccessError, match=r"127\.0\.0\.1:1/x cannot be reached"):
        KafkaSource("kafka://127.0.0.1:1/x")
    # librdkafka writes a line to the terminal for each try, unless it is given a logger.
    said = capfd.readouterr()
    assert said.out + said.err == ""
