"""Files made to harm: each is refused by name, and costs no more than itself."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cramjam
import fastavro
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from streaks.errors import ReadError
from streaks.readers import avro, read_alerts, read_cutouts
from streaks.readers.alerts import reading as alerts_module
from streaks.readers.images import read_image
from streaks.readers.pictures import read_picture
from tests.frame_files import shared_case
from tests.test_alerts import SCHEMA, _record, _write


def trail_picture(path: Path, kind: str = "PNG") -> Path:
    values = np.random.default_rng(1).normal(120, 10, (63, 63)).clip(0, 255).astype(np.uint8)
    Image.fromarray(values).save(path, kind)
    return path


# Pictures


def test_a_postscript_file_is_not_run_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)  # Ghostscript would be started by it
    path = tmp_path / "evil.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n"
        b"(pwned) (w) file closefile\n%%EOF\n"
    )
    with pytest.raises(ReadError, match=r"neither PNG nor JPEG, whatever its name says \(it begin"):
        read_picture(path)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "WEBP", "PPM", "PCX"])
def test_pictures_of_other_kinds_are_refused_by_content(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ReadError, match="neither PNG nor JPEG"):
        read_picture(trail_picture(tmp_path / "x.png", kind))


def _png(width: int, height: int) -> bytes:
    """Of which only the beginning is there: its size is told before."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress(bytes((1 + width) * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5000, 12_000, 30_000])
def test_one_picture_bomb_costs_one_file(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(_png(side, side))
    trail_picture(tmp_path / "good.png")
    found = read_cutouts(tmp_path)
    assert [name for stack in found.cutouts for name in stack.names] == ["good.png"]
    ((name, reason),) = found.failures
    assert name.endswith("bomb.png")
    assert "no cutout, which has at most 4096 px a side" in reason


def test_a_pipe_named_like_a_picture_does_not_wait(tmp_path: Path) -> None:
    for name in ("pipe.png", "pipe.fits", "pipe.npz", "pipe.avro"):
        os.mkfifo(tmp_path / name)
    trail_picture(tmp_path / "good.png")
    found = read_cutouts(tmp_path)
    assert len(found) == 1
    assert {reason.split(" is ")[-1] for _, reason in found.failures} == {
        "a pipe or a device; expected a file"
    }


def test_what_nobody_foresaw_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail_picture(tmp_path / "a.png")
    trail_picture(tmp_path / "b.png")

    def odd(path: Path) -> Any:
        if path.name == "a.png":
            raise MemoryError("no room")
        return read_picture(path)

    monkeypatch.setattr("streaks.readers.cutouts.read_picture", odd)
    found = read_cutouts(tmp_path)
    assert len(found) == 1
    assert found.failures == [(str(tmp_path / "a.png"), "cannot be read (MemoryError: no room)")]


# Stacks


def test_a_stack_that_unpacks_to_more_than_data_do_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", difference=np.zeros((1100, 128, 128), np.float32))
    ((_, reason),) = read_cutouts(tmp_path / "bomb.npz").failures
    assert "unpacks to more than 100 times its size" in reason


def test_a_stack_of_endless_empty_cutouts_is_refused_at_once(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 0, 0)}"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.ljust(117) + b"\n"
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("difference.npy", content)
    ((_, reason),) = read_cutouts(tmp_path / "x.npz").failures
    assert "0 x 0 px; expected a longer side" in reason


def test_masks_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    difference = np.zeros((2, 63, 63), np.float32)
    np.savez(tmp_path / "x.npz", difference=difference, mask=np.full((2, 63, 63), "no"))
    ((_, reason),) = read_cutouts(tmp_path / "x.npz").failures
    assert "mask is of <U2; expected numbers" in reason


# Avro


def zigzag(n: int) -> bytes:
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def container(schema: Any, block: bytes, count: int = 1, codec: str = "null") -> bytes:
    """An Avro file of one block, as no writer would write it."""
    meta = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    head = b"Obj\x01" + zigzag(len(meta))
    for key, value in meta.items():
        head += zigzag(len(key)) + key.encode() + zigzag(len(value)) + value
    sync = bytes(range(16))
    return head + b"\0" + sync + zigzag(count) + zigzag(len(block)) + block + sync


def record(name: str, **kinds: Any) -> dict[str, Any]:
    fields = [{"name": key, "type": kind} for key, kind in kinds.items()]
    return {"type": "record", "name": name, "fields": fields}


def chain(n: int) -> list[Any]:
    """Each record holds the one before twice: 2**n values that take no bytes."""
    kinds: list[Any] = [record("a0", x="null")]
    kinds += [record(f"a{k}", x=f"a{k - 1}", y=f"a{k - 1}") for k in range(1, n)]
    return kinds


NOTHING = record("empty")
HOSTILE = {
    "a schema that contains itself": (
        container(record("a", a="a"), b"\0" * 100), "contains itself"),
    "a schema that contains itself by a list": (
        container(record("a", n="int", a={"type": "array", "items": "a"}), b"\0\2" * 100),
        "contains itself"),
    "a list of 2**40 nulls": (
        container(record("a", x={"type": "array", "items": "null"}), zigzag(2**40) + b"\0"),
        "lists of more than 10000 values without any content"),
    "a list of 2**60 records of nothing": (
        container(record("a", x={"type": "array", "items": NOTHING}), zigzag(2**60) + b"\0"),
        "lists of more than 10000 values"),
    "lists of nothing within lists": (
        container(
            record("a", x={"type": "array", "items": {"type": "array", "items": "null"}}),
            zigzag(2**40) + (zigzag(9000) + b"\0") * 1000),
        "lists of more than 10000 values"),
    "2**60 packets of nothing": (container(NOTHING, b"", 2**60), "packets without any content"),
    "2**40 packets in 10 bytes": (
        container(record("a", x="int"), b"\0" * 10, 2**40), "packets in 10 bytes: damaged"),
    "2**40 values that take no bytes": (
        container(record("top", n="int", x=[*chain(40)]), b"\0" + zigzag(39)),
        "values a packet"),
    "types nested by name": (
        container(
            record("top", n="int", x=[record("a0", x="int"),
                   *(record(f"a{k}", x=f"a{k - 1}") for k in range(1, 200))]),
            b"\0\0"),
        "nested more than 64 deep"),
    "a schema nested by brackets": (
        container(json.loads('{"type":' * 80 + '"int"' + "}" * 80), b"\0"),
        "nested more than 64 deep"),
    "a text of 2**60 bytes": (
        container(record("a", x="string"), zigzag(2**60) + b"abc"), "does not decode"),
    "a fixed of 2**40 bytes": (
        container(record("a", x={"type": "fixed", "name": "f", "size": 2**40}), b"abc"),
        "packets in 3 bytes"),
    "a fixed of less than nothing": (
        container(record("a", n="int", x={"type": "fixed", "name": "f", "size": -5}), b"abc"),
        "-5 bytes"),
    "a block of less than nothing": (
        container(record("a", x="int"), b"\0").replace(b"\2\2\0", b"\2\1\0"), "damaged"),
    "a choice between nothing": (container(record("a", x=[]), b"\0"), "choice between nothing"),
    "a codec that is not read": (
        container(record("a", x="int"), b"\0", codec="lz4"), "packed with 'lz4'"),
    "a schema that is none": (container({"type": "recrod"}, b"\0"), "the packet's schema"),
    "a decimal of a million digits": (
        container(
            record("a", x={"type": "bytes", "logicalType": "decimal", "precision": 10**9}),
            zigzag(10**6) + b"\x7f" * 10**6),
        "no `candidate`"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_avro_is_named_at_once(tmp_path: Path, what: str) -> None:
    content, reason = HOSTILE[what]
    (tmp_path / "x.avro").write_bytes(content)
    alerts, (failure,) = read_alerts(tmp_path)
    assert alerts == []
    assert reason in failure.reason


def test_a_list_of_many_values_that_take_bytes_is_read() -> None:
    """Lists end where their bytes end: a long one is no bomb."""
    content = zigzag(5000) + b"\2" * 5000 + b"\0"
    stream = io.BytesIO(container(record("a", x={"type": "array", "items": "int"}), content))
    (packet,) = avro.avro_packets(stream, "x")
    assert packet == {"x": [1] * 5000}


def test_tables_turned_into_packets_have_lists_of_nothing(tmp_path: Path) -> None:
    schema = record("a", x={"type": "array", "items": "null"}, y="int")
    stream = io.BytesIO()
    fastavro.writer(stream, schema, [{"x": [], "y": 3}, {"x": [None] * 5, "y": 4}])
    stream.seek(0)
    assert [p["y"] for p in avro.avro_packets(stream, "x")] == [3, 4]


def packed(codec: str, rows: list[dict[str, Any]]) -> bytes:
    """An Avro file of one block."""
    schema = record("a", x="bytes")
    if codec != "zstandard":  # which fastavro writes with a package that is not here
        stream = io.BytesIO()
        fastavro.writer(stream, schema, rows, codec=codec, sync_interval=1 << 30)
        return stream.getvalue()
    plain = b"".join(zigzag(len(row["x"])) + row["x"] for row in rows)
    return container(schema, bytes(cramjam.zstd.compress(plain)), len(rows), codec)


@pytest.mark.parametrize("codec", ["deflate", "bzip2", "xz", "snappy", "zstandard"])
def test_a_block_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setattr(avro, "_MAX_BLOCK_BYTES", 1 << 16)
    (tmp_path / "x.avro").write_bytes(packed(codec, [{"x": bytes(1 << 20)}]))
    _, (failure,) = read_alerts(tmp_path)
    assert "packet 1 does not decode: the file" in failure.reason


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz", "snappy", "zstandard"])
def test_packets_of_every_codec_come_back(codec: str) -> None:
    rows = [{"x": np.random.default_rng(k).bytes(k)} for k in range(200)]
    assert list(avro.avro_packets(io.BytesIO(packed(codec, rows)), "x")) == rows


def test_packets_longer_than_a_window_of_the_block_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(avro, "_MAX_OBJECTS", 1000)
    avro._schema.cache_clear()
    stream = io.BytesIO()
    schema = record("a", x={"type": "array", "items": "int"})
    fastavro.writer(stream, schema, [{"x": [1] * 900}, {"x": [1] * 5000}])
    stream.seek(0)
    packets = avro.avro_packets(stream, "x")
    assert next(packets) == {"x": [1] * 900}
    with pytest.raises(ReadError, match="cut short, damaged, or larger than any alert"):
        next(packets)
    avro._schema.cache_clear()


def test_more_values_than_memory_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts_module, "_MAX_VALUES", 20)
    _write(tmp_path / "a.avro", *(_record(k) for k in range(10)))
    alerts, (failure,) = read_alerts(tmp_path)
    assert len(alerts) == 2  # of 7 values each
    assert "more than 20 values at once" in failure.reason


def test_stamps_that_are_bombs_are_left_out(tmp_path: Path) -> None:
    one = _record(1, image=np.ones((63, 63), np.float32))
    one["cutoutDifference"] = {"fileName": "x", "stampData": gzip.compress(bytes(1 << 25))}
    (alert,), _ = read_alerts(_write(tmp_path / "a.avro", one))
    assert alert.difference is None
    assert alert.science is not None


def test_stamps_whose_header_promises_more_than_it_has_are_left_out(tmp_path: Path) -> None:
    one = _record(1, image=np.ones((63, 63), np.float32))
    content = gzip.decompress(one["cutoutDifference"]["stampData"])
    for wrong in (b"9999999999", b"        -1", b"         x"):
        damaged = content.replace(b"NAXIS1  =           ", b"NAXIS1  = " + wrong)
        one["cutoutDifference"] = {"fileName": "x", "stampData": gzip.compress(damaged)}
        (alert,), _ = read_alerts(_write(tmp_path / "a.avro", one))
        assert alert.difference is None, wrong


def _tar(path: Path, mode: Any, **members: bytes) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{name}.avro")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def avro_bytes(*rows: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, SCHEMA, rows)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives_of_every_packing_are_read(tmp_path: Path, mode: str) -> None:
    path = _tar(tmp_path / "x.tar", mode, a=avro_bytes(_record(1)), b=avro_bytes(_record(2)))
    alerts, failures = read_alerts(path)
    assert [alert.candid for alert in alerts] == [1, 2]
    assert failures == []


def test_an_archive_with_one_huge_member_is_refused_on_the_way(tmp_path: Path) -> None:
    good = avro_bytes(_record(1))
    path = _tar(tmp_path / "x.tar.gz", "w:gz", a=good, b=bytes(100_000_000), c=good)
    alerts, failures = read_alerts(path)
    assert len(alerts) == 1
    assert "no Avro file" in failures[0].reason
    assert "unpacks to more than 20 times its size" in failures[1].reason


def test_a_rubin_packet_is_read(tmp_path: Path) -> None:
    """Middle of the exposure, TAI, and stamps of plain FITS; nothing is flipped."""
    image = np.arange(30 * 30, dtype=np.float32).reshape(30, 30)
    stream = io.BytesIO()
    fits.PrimaryHDU(image).writeto(stream)
    source = record("src", diaSourceId="long", midpointMjdTai="double", ra="double", dec="double",
                    isNegative="boolean")  # fmt: skip
    known = record("known", designation="string", ephOffset="double")
    schema = record("alert", diaSource=source, ssSource=known, cutoutDifference="bytes")
    row = {
        "diaSource": {"diaSourceId": 7, "midpointMjdTai": 60900.1, "ra": 150.0, "dec": 20.0,
                      "isNegative": True},
        "ssSource": {"designation": "2000 AE144", "ephOffset": 0.02},
        "cutoutDifference": stream.getvalue(),
    }  # fmt: skip
    with (tmp_path / "x.avro").open("wb") as file:
        fastavro.writer(file, schema, [row])
    (alert,), failures = read_alerts(tmp_path)
    assert failures == []
    # TAI is ahead of UTC by 37 s since 2017 (IERS Bulletin C).
    assert alert.mid_jd() == pytest.approx(2460900.6 - 37 / 86400, abs=1e-8)
    assert alert.mid_jd() - alert.jd == pytest.approx(15 / 86400, abs=1e-8)
    assert (alert.candid, alert.ssnamenr, alert.ssdistnr) == (7, "2000 AE144", 0.02)
    assert alert.true_difference is not None
    np.testing.assert_array_equal(alert.true_difference, image)
    assert len(read_cutouts(tmp_path)) == 1


# Compressed images


def rice(path: Path, wide: bool = False) -> tuple[Path, int, int]:
    """A Rice image with P or Q descriptors; where its table begins, and a row's bytes."""
    image = np.random.default_rng(3).normal(0, 5, (64, 80)).astype(np.float32)
    stream = io.BytesIO()
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type="RICE_1", quantize_level=16)]
    ).writeto(stream)
    if wide:
        stream.seek(0)
        table = fits.open(stream, disable_image_compression=True)[1]
        columns = [
            fits.Column(c.name, c.format.replace("1P", "Q"), array=_tiles(table.data[c.name]))
            if "P" in c.format
            else fits.Column(c.name, c.format, array=table.data[c.name])
            for c in table.columns
        ]
        new = fits.BinTableHDU.from_columns(columns)
        new.header.extend([card for card in table.header.cards if card.keyword.startswith("Z")])
        stream = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), new]).writeto(stream)
    path.write_bytes(stream.getvalue())
    with fits.open(path, disable_image_compression=True) as hdus:
        return path, hdus[1].fileinfo()["datLoc"], hdus[1].header["NAXIS1"]


def _tiles(column: Any) -> np.ndarray:
    found = np.empty(len(column), object)
    found[:] = [np.asarray(one) for one in column]
    return found


@pytest.mark.parametrize(
    ("length", "start"),
    [(2**62, 2**63 - 2**20), (2**62, 2**62), (2**63 - 5, 10), (2**60 - 1, 2**63 - 2**59), (-8, 0),
     (8, -8), (100, 10**9)],
)  # fmt: skip
@pytest.mark.parametrize("rows", [[5], range(64)])
def test_descriptors_outside_the_heap_are_named(
    tmp_path: Path, length: int, start: int, rows: Any
) -> None:
    """Their sum may wrap around: it is never made."""
    path, at, width = rice(tmp_path / "x.fits.fz", wide=True)
    assert read_image(path).data.std() == pytest.approx(5, abs=0.3)
    content = bytearray(path.read_bytes())
    for row in rows:
        content[at + row * width : at + row * width + 16] = struct.pack(">qq", length, start)
    path.write_bytes(content)
    with pytest.raises(ReadError, match=rf"row {rows[0] + 1} of COMPRESSED_DATA has {length} item"):
        read_image(path)


def test_tiles_that_lie_upon_one_another_are_named(tmp_path: Path) -> None:
    path, at, width = rice(tmp_path / "x.fits.fz")
    content = bytearray(path.read_bytes())
    for row in range(64):
        content[at + row * width : at + row * width + 8] = struct.pack(">ii", 4000, 0)
    path.write_bytes(content)
    with pytest.raises(ReadError, match="lie upon one another"):
        read_image(path)


WORDS = {
    "THEAP": (-(2**63), -1, 2**62, 2**63 - 1),
    "ZVAL1": (-1, 0, 2**31 - 1, 2**40),
    "ZVAL2": (-1, 3, 8, 2**31 - 1),
    "ZTILE1": (0, -1, 2**40),
    "ZDITHER0": (-5, 10**6, 2**40),
    "ZBITPIX": (7, 0, 10**6),
    "PCOUNT": (10**12,),
    "TFIELDS": (2, 900),
    "NAXIS1": (1, 8),
}


@pytest.mark.parametrize(("word", "value"), [(w, v) for w, vs in WORDS.items() for v in vs])
def test_absurd_words_of_a_compressed_image_are_named(
    tmp_path: Path, word: str, value: int
) -> None:
    path, _, _ = rice(tmp_path / "x.fits.fz")
    content = path.read_bytes()
    card = f"{word:8}= {value:>20}".ljust(80).encode()
    at = content.find(f"{word:8}=".encode(), 2880)
    if at < 0:  # in place of a comment
        at = content.index(b"EXTNAME ", 2880)
    path.write_bytes(content[:at] + card + content[at + 80 :])
    with pytest.raises(ReadError, match=r"is damaged|is cut short|promises|holds no 2-D"):
        read_image(path)


@pytest.mark.parametrize("kind", ["HCOMPRESS_1", "PLIO_1", "GZIP_1", "GZIP_2", "RICE_1"])
def test_compressed_images_of_every_kind_are_read(tmp_path: Path, kind: str) -> None:
    image = np.random.default_rng(1).integers(0, 900, (64, 80)).astype(np.int32)
    how = {"tile_shape": (16, 80)} if kind == "HCOMPRESS_1" else {}
    hdu = fits.CompImageHDU(image, compression_type=kind, **how)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "x.fits")
    np.testing.assert_array_equal(read_image(tmp_path / "x.fits").data, image)


@pytest.mark.parametrize(("kind", "at", "value"), [
    ("HCOMPRESS_1", 2, struct.pack(">ii", 2**20, 2**20)),
    ("HCOMPRESS_1", 2, struct.pack(">ii", -16, -80)),
    ("PLIO_1", 6, struct.pack(">hh", 32767, 32767)),
    ("PLIO_1", 2, struct.pack(">hh", -256, 0)),
])  # fmt: skip
def test_codes_that_state_other_sizes_are_named(
    tmp_path: Path, kind: str, at: int, value: bytes
) -> None:
    image = np.random.default_rng(1).integers(0, 900, (64, 80)).astype(np.int32)
    how = {"tile_shape": (16, 80)} if kind == "HCOMPRESS_1" else {}
    hdu = fits.CompImageHDU(image, compression_type=kind, **how)
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    with fits.open(path, disable_image_compression=True) as hdus:
        heap = hdus[1].fileinfo()["datLoc"] + hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
    content = bytearray(path.read_bytes())
    content[heap + at : heap + at + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(ReadError, match="tile 1 says that it has"):
        read_image(path)


def test_a_gzipped_tile_that_is_a_bomb_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("streaks.readers.compressed._HARMLESS_BYTES", 0)
    path = tmp_path / "x.fits"
    hdu = fits.CompImageHDU(np.ones((4, 5000), np.int32), compression_type="GZIP_1")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    assert read_image(path).data.sum() == 20_000
    with fits.open(path, disable_image_compression=True) as hdus:
        tiles = np.empty(4, object)
        tiles[:] = [np.frombuffer(gzip.compress(bytes(10**6)), np.uint8)] * 4
        new = fits.BinTableHDU.from_columns([fits.Column("COMPRESSED_DATA", "PB()", array=tiles)])
        new.header.extend([c for c in hdus[1].header.cards if c.keyword.startswith("Z")])
        fits.HDUList([fits.PrimaryHDU(), new]).writeto(tmp_path / "y.fits")
    with pytest.raises(ReadError, match="tile 1 unpacks to more than 40000 bytes"):
        read_image(tmp_path / "y.fits")


# What was handed to us


HANDED: tuple[tuple[str, Callable[[Path], Any]], ...] = (
    ("astropy-segv/rice_THEAP_-9223372036854775808.fits", read_image),
    ("astropy-segv/rice_ZVAL2_-1.fits", read_image),
    ("astropy-segv/rice_ZVAL2_2147483647.fits", read_image),
    ("rice-int64-overflow/q_s0.fits", read_image),
    ("rice-int64-overflow/q_t0.fits", read_image),
    ("postscript-as-jpg/evil.jpg", read_picture),
    ("picture-bomb/z.png", read_picture),
)


@pytest.mark.parametrize(("name", "read"), HANDED)
def test_shared_cases_are_refused_by_name(name: str, read: Callable[[Path], Any]) -> None:
    path = shared_case(name)
    with pytest.raises(ReadError, match=path.name.split("_-")[0]):
        read(path)


def test_shared_hostile_avro_is_refused_in_a_second() -> None:
    folder = shared_case("avro-hostile")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_CPU, (20, 20));"
        "from streaks.readers import read_alerts;"
        f"a, f = read_alerts({str(folder)!r}); print(len(a), len(f))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["0", str(len(list(folder.glob("*.avro"))))]


@pytest.mark.slow
def test_bombs_of_real_size_take_little_memory(tmp_path: Path) -> None:
    """3 GB of blanks in 14 MB, as orbits, satellites, archive and stack: under 1.5 GB and 30 s."""
    blanks, member = b" " * (1 << 20), tarfile.TarInfo("a.avro")
    with gzip.open(tmp_path / "x.gz", "wb", 6) as packed:
        for _ in range(3000):
            packed.write(blanks)
    member.size = 3000 << 20
    with gzip.open(tmp_path / "x.tar.gz", "wb", 6) as packed:
        packed.write(member.tobuf())
        for _ in range(3000):
            packed.write(blanks)
    code = f"""
import resource, sys
from pathlib import Path
from streaks.errors import StreaksError
from streaks.known import read_orbits
from streaks.readers import read_alerts
from streaks.satellites import read_satellites
folder = Path({str(tmp_path)!r})
for read in (read_orbits, read_satellites):
    try:
        read(folder / "x.gz")
    except StreaksError as error:
        print(error)
print(*read_alerts(folder / "x.tar.gz")[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    assert all("unpacks to more than" in line or "no Avro file" in line for line in lines[:3])
    assert int(lines[-1]) < 1500


@pytest.mark.parametrize("content", [_png(0, 0), b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + bytes(99)])
def test_a_damaged_picture_is_not_called_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ReadError, match="it begins as one and is damaged; fetch it again"):
        read_picture(path)
