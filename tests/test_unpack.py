"""Files read with a limit on what they unpack to."""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
from pathlib import Path

import pytest

from streaks.disk import TooLargeError, bounded_gzip

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

_MB = 1_000_000


def _noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def _bomb(path: Path, *, megabytes: int, byte: bytes = b"\0") -> Path:
    with gzip.open(path, "wb") as stream:
        for _ in range(megabytes):
            stream.write(byte * _MB)
    return path


def test_plain_and_packed_files_of_any_number_of_members_read_alike(tmp_path: Path) -> None:
    content = _noise(3 * _MB)
    half = len(content) // 2
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "one.gz").write_bytes(gzip.compress(content))
    two = gzip.compress(content[:half]) + gzip.compress(content[half:]) + bytes(512)
    (tmp_path / "two.gz").write_bytes(two)
    for name in ("plain", "one.gz", "two.gz"):
        assert bounded_gzip(tmp_path / name, max_bytes=4 * _MB) == (content, "")


def test_what_is_before_the_damage_is_kept(tmp_path: Path) -> None:
    content = _noise(_MB)
    packed = gzip.compress(content)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    found, damage = bounded_gzip(tmp_path / "cut.gz", max_bytes=4 * _MB)
    assert content.startswith(found)
    assert len(found) > 0.45 * len(content)
    assert damage == "the file is cut short here"
    (tmp_path / "more.gz").write_bytes(packed + b"what is no gzip")
    found, damage = bounded_gzip(tmp_path / "more.gz", max_bytes=4 * _MB)
    assert found == content
    assert damage.startswith("the file is damaged here")


@pytest.mark.parametrize("byte", [b"\0", b" ", b"\n"])
def test_a_bomb_is_refused_long_before_it_is_unpacked(tmp_path: Path, byte: bytes) -> None:
    path = _bomb(tmp_path / "bomb.gz", megabytes=300, byte=byte)
    assert path.stat().st_size < 0.5 * _MB
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="unpacks to more than 50 times its size"):
        bounded_gzip(path, max_bytes=4000 * _MB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * _MB


def test_a_bomb_of_many_small_members_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "many.gz").write_bytes(gzip.compress(bytes(_MB)) * 50)
    with pytest.raises(TooLargeError, match="unpacks to more than 50 times its size"):
        bounded_gzip(tmp_path / "many.gz", max_bytes=4000 * _MB)


def test_more_than_a_file_of_its_kind_holds_is_refused(tmp_path: Path) -> None:
    content = _noise(2 * _MB)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(content))
    for name in ("plain", "packed.gz"):
        assert len(bounded_gzip(tmp_path / name, max_bytes=len(content))[0]) == len(content)
        with pytest.raises(TooLargeError, match="larger than 2 MB"):
            bounded_gzip(tmp_path / name, max_bytes=len(content) - 1)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(OSError, match="is no regular file"):
            bounded_gzip(tmp_path / name, max_bytes=1)
    with pytest.raises(FileNotFoundError):
        bounded_gzip(tmp_path / "missing", max_bytes=1)
