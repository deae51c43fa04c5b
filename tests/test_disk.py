"""Files written whole, and files read within limits."""

from __future__ import annotations

import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from streaks import disk
from streaks.disk import (
    Limits,
    check_depth,
    folder_written_whole,
    load_arrays,
    open_regular,
    parse_json,
    read_bytes,
    read_toml,
    unpack_gzip,
    written_whole,
)
from streaks.errors import OutputError, ReadError

SMALL = Limits(max_bytes=1 << 16)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.csv"
    with written_whole(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == path.parent
        assert part.suffix == ".csv"
    assert path.read_text() == "half"
    assert os.listdir(path.parent) == ["table.csv"]


def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write() -> None:
        with written_whole(path) as part:
            part.write_text("new")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_the_content_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("name"), replace(a, b))[1])
    with written_whole(tmp_path / "x") as part:
        part.write_text("x")
    assert order == ["sync", "name"]


def test_a_file_is_for_everyone_whom_the_umask_allows(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with written_whole(tmp_path / "x") as part:
            part.write_text("x")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_place_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(OutputError, match=r"cannot write .*file/x"),
        written_whole(tmp_path / "file" / "x"),
    ):
        pass


def test_a_suffix_of_any_length_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("a." + "b" * 200)
    with written_whole(path) as part:
        part.write_text("x")
    assert path.read_text() == "x"


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with folder_written_whole(target) as part:
        (part / "sub").mkdir()
        (part / "sub" / "a").write_text("a")
        assert not target.exists()
    assert (target / "sub" / "a").read_text() == "a"
    assert os.listdir(tmp_path) == ["set"]


def test_a_folder_that_holds_something_is_replaced_only_when_asked(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "mine").write_text("x")
    with pytest.raises(OutputError, match="not empty"), folder_written_whole(target):
        pass
    assert (target / "mine").read_text() == "x"
    with folder_written_whole(target, replace=True) as part:
        (part / "new").write_text("x")
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["set"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "mine").write_text("x")
    rename = Path.rename

    def refused(self: Path, to: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refused)
    with (
        pytest.raises(OutputError, match="No space left"),
        folder_written_whole(target, replace=True) as part,
    ):
        (part / "new").write_text("x")
    assert os.listdir(target) == ["mine"]
    assert os.listdir(tmp_path) == ["set"]


def test_gzip_of_several_members_and_padding_is_read_whole() -> None:
    packed = gzip.compress(b"one") + gzip.compress(b"two") + bytes(512)
    assert unpack_gzip(packed, name="x") == b"onetwo"
    assert unpack_gzip(gzip.compress(b""), name="x") == b""


@pytest.mark.parametrize("n", [1, 1000, 3_000_000])
def test_gzip_of_any_length_comes_back(n: int) -> None:
    content = np.random.default_rng(n).integers(0, 4, n, np.uint8).tobytes()
    assert unpack_gzip(gzip.compress(content), name="x") == content


@pytest.mark.parametrize("cut", [3, 12, 500, -9, -4, -1])
def test_gzip_cut_anywhere_is_named(cut: int) -> None:
    content = np.random.default_rng(0).bytes(5000)
    with pytest.raises(ReadError, match=r"x\.gz is cut short or damaged"):
        unpack_gzip(gzip.compress(content)[:cut], name="x.gz")


def test_a_gzip_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(ReadError, match="bomb unpacks to more than 65536 bytes"):
        unpack_gzip(gzip.compress(bytes(10_000_000)), SMALL, name="bomb")


def test_a_ratio_that_no_data_have_is_refused() -> None:
    limits = Limits(max_ratio=100.0)
    with pytest.raises(ReadError, match="more than 100 times its size"):
        unpack_gzip(gzip.compress(bytes(80_000_000), 1), limits, name="bomb")
    # Small things may compress as well as they like.
    assert len(unpack_gzip(gzip.compress(bytes(1_000_000)), limits, name="x")) == 1_000_000


def test_many_tiny_gzip_members_take_no_long_time() -> None:
    packed = gzip.compress(b"") * 50_000  # 1 MB
    limits = Limits(max_seconds=5.0)
    assert unpack_gzip(packed, limits, name="x") == b""


def test_a_file_that_is_too_large_is_refused_plain_or_packed(tmp_path: Path) -> None:
    for content in (bytes(100_000), gzip.compress(bytes(100_000))):
        path = tmp_path / "x"
        path.write_bytes(content)
        with pytest.raises(ReadError, match="unpacks to more than"):
            read_bytes(path, SMALL)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [(_pipe, "a pipe or a device"), (Path.mkdir, "a folder"), (_link_to_nothing, "does not exist"),
     (_link_to_itself, "cannot be opened")],
)  # fmt: skip
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(tmp_path / "x")
    with pytest.raises(ReadError, match=reason):
        open_regular(tmp_path / "x")


def test_a_name_with_a_null_is_refused() -> None:
    with pytest.raises(ReadError, match="cannot be opened"):
        open_regular("a\0b")


def test_arrays_come_back_and_others_are_left(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(3), b=np.ones(2))
    assert set(load_arrays(tmp_path / "x.npz")) == {"a", "b"}
    assert load_arrays(tmp_path / "x.npz", ("a", "z"))["a"].tolist() == [0, 1, 2]


def _npz(path: Path, header: bytes, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        text = header.ljust(117) + b"\n"
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data
        archive.writestr("a.npy", content)
    return path


@pytest.mark.parametrize(
    ("header", "reason"),
    [(b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999,)}", "promises"),
     (b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "promises"),
     (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "Python objects"),
     (b"__import__('os').system('touch pwned')", "cannot be read")],
)  # fmt: skip
def test_arrays_that_promise_what_is_not_there_are_refused(
    tmp_path: Path, header: bytes, reason: str
) -> None:
    with pytest.raises(ReadError, match=reason):
        load_arrays(_npz(tmp_path / "x.npz", header, bytes(64)))


def test_arrays_beyond_the_limit_are_refused_together(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(6000), b=np.zeros(6000))
    with pytest.raises(ReadError, match="unpacks to more than 65536 bytes"):
        load_arrays(tmp_path / "x.npz", limits=SMALL)


def test_depth_is_counted_across_a_long_text() -> None:
    check_depth(b'{"a": [1, 2]}' * 100_000, "x")
    check_depth(b"[]" * 1_000_000, "x")
    for deep in (b"[" * 65, b'{"a":' * 65, b" " * (1 << 20) + b"[" * 65, b"[" * 1_000_000):
        with pytest.raises(ReadError, match="x is nested more than 64 deep"):
            check_depth(deep, "x")


@pytest.mark.parametrize("text", ["", "{", "nul", "[1, 2", "9" * 5000, "[" * 10_000, b"\xff"])
def test_text_that_is_no_json_is_named(text: str | bytes) -> None:
    with pytest.raises(ReadError, match="card"):
        parse_json(text, "card")


def test_limits_are_those_of_any_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"abc"))
    stream: IO[bytes] = open_regular(path)
    with stream:
        assert unpack_gzip(stream, disk.Limits(), name="x") == b"abc"


def test_a_name_of_very_many_parts_is_refused_at_once(tmp_path: Path) -> None:
    # Python's own parser takes minutes for it.
    (tmp_path / "dots.toml").write_text(".".join(["a"] * 100_000) + " = 1\n")
    with pytest.raises(ReadError, match="name of more than 64 parts"):
        read_toml(tmp_path / "dots.toml")


def test_dots_that_are_no_name_are_read(tmp_path: Path) -> None:
    (tmp_path / "ok.toml").write_text(f"# {'.' * 100}\nx = '{'.' * 100}'\n")
    assert read_toml(tmp_path / "ok.toml") == {"x": "." * 100}
