"""Seeded fuzzers: a good file of each kind, made bad, is read in a process of its own.

``python -m tests.fuzzing READER FIRST COUNT FOLDER`` reads the inputs of these seeds one after
another, and says each seed before it begins: the last one said is the one that crashed or hung. The
process may use little memory and time, open no network, start no program, and write in its folder
only (an audit hook holds that). Whatever a reader raises must be a `StreaksError`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from streaks.errors import StreaksError
from tests import damage

__all__ = ["READERS", "Run", "read_all"]

#: One input may take so much processor time, and so much of the clock on a busy machine, s.
TIME_S, CLOCK_S = 10.0, 60.0
#: Resident at the end; and what may be asked for at all (libraries reserve gigabytes unused).
MEMORY_MB, ADDRESS_SPACE_MB = 2048, 12_288

Reader = Callable[[Path], Any]
Good = Callable[[Path], list[bytes]]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Parameters
    ----------
    suffix
        Of its name.
    good
        Writes good files in a folder it is given; gives their bytes.
    read
        What reads it.
    tokens
        Pieces that mean something in it; they are put where they do not belong.
    own
        Ways of harm that only this kind knows.
    """

    suffix: str
    good: Good
    read: Reader
    tokens: tuple[bytes, ...] = ()
    own: tuple[Callable[[random.Random, bytes], bytes], ...] = ()


# Harm of any kind of file


_NUMBERS = (b"0", b"-1", b"1", b"255", b"65536", b"2147483647", b"2147483648", b"4294967295",
            b"9223372036854775807", b"-9223372036854775808", b"1e308", b"1e400", b"-1e400", b"nan",
            b"inf", b"9" * 400, b"", b"0x41", b"1_0", "\u00b2".encode(), b"-0")  # fmt: skip
_TEXTS = (b"\0", b"\xff\xfe", b"\x1b[2J", b"\r\n", b'"', b"'", b"{", b"[" * 200, b"]", b"}" * 200,
          b"null", b"true", b"../../etc/passwd", b"\xe2\x80\xae", b"%s%n", b"{0.__class__}",
          b"=cmd|' /C calc'!A0", b"<script>alert(1)</script>", b"A" * 5000)  # fmt: skip
_WORDS32 = (0, 1, 0x7F, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0x10000)


def another_number(rng: random.Random, good: bytes) -> bytes:
    """A number in the text becomes another."""
    import re

    found = list(re.finditer(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?", good[: 1 << 16]))
    if not found:
        return good
    for match in sorted(
        rng.sample(found, min(len(found), rng.randint(1, 3))), key=lambda m: -m.start()
    ):
        good = good[: match.start()] + rng.choice(_NUMBERS) + good[match.end() :]
    return good


def another_text(rng: random.Random, good: bytes) -> bytes:
    at = rng.randrange(len(good) + 1)
    end = min(len(good), at + rng.choice((0, 0, 1, 8, 40)))
    return good[:at] + rng.choice(_TEXTS) + good[end:]


def another_word(rng: random.Random, good: bytes) -> bytes:
    """Four or eight bytes become a number at the edge of what they hold."""
    content = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        size = rng.choice((2, 4, 8))
        if len(content) <= size:
            break
        at = rng.randrange(len(content) - size)
        value = rng.choice(_WORDS32) & ((1 << 8 * size) - 1)
        content[at : at + size] = value.to_bytes(size, rng.choice(("big", "little")))
    return bytes(content)


def lines_mixed(rng: random.Random, good: bytes) -> bytes:
    lines = good.split(b"\n")
    for _ in range(rng.randint(1, 4)):
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        choice = rng.randrange(4)
        if choice == 0:
            lines[i], lines[j] = lines[j], lines[i]
        elif choice == 1:
            lines[i] = lines[i] * 3
        elif choice == 2:
            lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
        else:
            lines.insert(i, rng.choice(_TEXTS))
    return b"\n".join(lines)


ANY = (damage.cut, damage.flipped_anywhere, damage.bytes_inserted, damage.zeroed, another_number,
       another_text, another_word, lines_mixed, damage.nested_gzip)  # fmt: skip


def harmed(kind: Kind, goods: list[bytes], seed: int) -> bytes:
    """One bad file of a kind; the same seed gives the same."""
    rng = random.Random(f"{kind.suffix} {seed}")
    content = rng.choice(goods)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ways = kind.own if kind.own and rng.random() < 0.6 else ANY
        if kind.tokens and rng.random() < 0.3:
            at = rng.randrange(len(content) + 1)
            content = content[:at] + rng.choice(kind.tokens) + content[at:]
        else:
            with suppress(ValueError, IndexError):  # too little is left for this harm
                content = rng.choice(ways)(rng, content or b"\0")
    return content


# Kinds


def _noise(shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 12, shape).astype(np.float32)


def _fits(folder: Path) -> list[bytes]:
    from astropy.io import fits

    from tests.frame_files import write_rubin_frame, write_ztf_frame

    ztf = write_ztf_frame(folder, _noise())
    fits.PrimaryHDU(_noise()).writeto(folder / "plain.fits")
    rubin = write_rubin_frame(folder / "rubin.fits", _noise(), np.zeros((40, 50), np.int32))
    found = [path.read_bytes() for path in (ztf, folder / "plain.fits", rubin)]
    return [*found, gzip.compress(found[1])]


def _compressed(folder: Path) -> list[bytes]:
    from astropy.io import fits

    found = []
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"):
        for values in (_noise(), np.abs(_noise()).astype(np.int16)):
            if kind in ("PLIO_1",) and values.dtype == np.float32:
                continue
            how: dict[str, Any] = {"tile_shape": (20, 50)} if kind == "HCOMPRESS_1" else {}
            hdu = fits.CompImageHDU(values, compression_type=kind, quantize_level=16, **how)
            stream = io.BytesIO()
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)
            found.append(stream.getvalue())
    return found


def _in_the_table(rng: random.Random, good: bytes) -> bytes:
    """Harm where descriptors and heap lie: behind the second header."""
    at = good.find(b"XTENSION")
    end = good.find(b"END".ljust(80), at)
    start = (end // 2880 + 1) * 2880
    if at < 0 or end < 0 or start >= len(good):
        return good
    size = 600 if rng.random() < 0.7 else len(good) - start
    part = good[start : start + size]
    return good[:start] + another_word(rng, part) + good[start + size :]


def _read_frame(path: Path) -> None:
    from streaks.readers import read_frame

    frame = read_frame(path)
    float(np.nanmean(frame.data))


def _read_image(path: Path) -> None:
    from streaks.readers.images import read_image

    first = np.array(read_image(path).data)
    np.nansum(first, dtype=np.float64)
    # What is in memory by chance must not come out as pixels: another read has other things there.
    litter = [np.full(size, 0xA5, np.uint8) for size in (64, 400, 4000, 16_000, 64_000, 1 << 20)]
    del litter
    again = np.array(read_image(path).data)
    assert first.tobytes() == again.tobytes(), "two reads of one file give different pixels"


def _avro(folder: Path) -> list[bytes]:
    import fastavro

    from tests.test_alerts import SCHEMA, _record

    found = []
    for codec in ("null", "deflate", "snappy"):
        stream = io.BytesIO()
        rows = [_record(k, image=_noise((20, 21))) for k in range(2)]
        fastavro.writer(stream, SCHEMA, rows, codec=codec)
        found.append(stream.getvalue())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("a.avro")
        info.size = len(found[0])
        archive.addfile(info, io.BytesIO(found[0]))
    return [*found, packed.getvalue()]


def _other_schema(rng: random.Random, good: bytes) -> bytes:
    """Types of the schema change places, or become others."""
    from tests.test_readers_hostile import zigzag

    at = good.find(b'{"type": "record"')
    if at < 0:
        return good
    try:
        schema, length = json.JSONDecoder().raw_decode(good[at:].decode("latin-1"))
    except ValueError:
        return good
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in list(items):
            if key in ("type", "items") or isinstance(value, list):
                places.append((value, key))
            if isinstance(one, dict | list):
                walk(one)

    walk(schema)
    for _ in range(rng.randint(1, 3)):
        holder, key = rng.choice(places)
        holder[key] = rng.choice(
            ("null", "long", "string", "bytes", "alert", {"type": "array", "items": "null"},
             {"type": "array", "items": "alert"}, {"type": "map", "values": "int"}, [],
             {"type": "fixed", "name": "f", "size": 2**40}, ["null", "alert"], 5, None,
             {"type": "enum", "name": "e", "symbols": []}, {"type": "record", "name": "r"})
        )  # fmt: skip
    text = json.dumps(schema).encode()
    old = zigzag(length)
    head = good[:at]
    if head.endswith(old):
        head = head[: -len(old)] + zigzag(len(text))
    return head + text + good[at + length :]


def _read_alerts(path: Path) -> None:
    from streaks.readers import read_alerts

    read_alerts(path)


def _read_cutouts(path: Path) -> None:
    from streaks.readers import read_cutouts

    read_cutouts(path)


def _npz(folder: Path) -> list[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        names = np.array(["a", "b"])
        save(stream, difference=np.stack([_noise((31, 31))] * 2), mask=np.zeros((2, 31, 31), bool),
             names=names)  # fmt: skip
        found.append(stream.getvalue())
    return found


def _pictures(kind: str) -> Good:
    def good(folder: Path) -> list[bytes]:
        from PIL import Image

        values = (_noise((63, 61)) + 120).clip(0, 255).astype(np.uint8)
        found = []
        for mode in ("L", "RGB", "P", "1", "I;16", "RGBA", "LA", "CMYK"):
            stream = io.BytesIO()
            try:
                picture = Image.fromarray(values)
                picture = picture.convert("I").convert("I;16") if mode == "I;16" else picture
                (picture if mode == "I;16" else picture.convert(mode)).save(stream, kind)
            except (OSError, ValueError, KeyError):
                continue
            found.append(stream.getvalue())
        return found

    return good


def _tle(folder: Path) -> list[bytes]:
    from tests.test_satellites import VANGUARD

    text = "\n".join(("VANGUARD", *VANGUARD) * 3).encode()
    return [text, gzip.compress(text)]


def _read_tles(path: Path) -> None:
    from streaks.satellites import read_satellites

    read_satellites(path)


_MPCORB = (
    b"00001    3.34  0.15 K25BL 188.70269   73.27343   80.25221   10.58780  0.0794013  0.21424651"
    b"   2.7660512  0 E2024-V47  7330 125 1801-2024 0.80 M-v 30k Pan        0000      (1) Ceres    "
    b"          20241101\n"
)


def _orbits(folder: Path) -> list[bytes]:
    sbdb = {
        "fields": ["pdes", "name", "epoch", "e", "a", "i", "om", "w", "ma", "H", "G"],
        "data": [["1", "Ceres", "2461000.5", "0.0794", "2.7660512", "10.58", "80.25", "73.27",
                  "188.7", "3.34", "0.15"]] * 3,
    }  # fmt: skip
    extended = [
        {"Principal_desig": "2025 AB", "Epoch": 2461000.5, "M": 188.7, "Peri": 73.2, "Node": 80.2,
         "i": 10.5, "e": 0.079, "n": 0.214, "a": 2.766, "H": 3.3}
    ] * 3  # fmt: skip
    table = (
        b"pdes,name,epoch,e,a,i,om,w,ma,H,G\n1,Ceres,2461000.5,0.08,2.77,10.6,80.2,73,188,3.3,.1\n"
    )
    lines = _MPCORB * 4
    return [lines, gzip.compress(lines), json.dumps(sbdb).encode(), json.dumps(extended).encode(),
            table]  # fmt: skip


def _read_orbits(path: Path) -> None:
    from streaks.known import read_orbits

    read_orbits(path)


def _toml(folder: Path) -> list[bytes]:
    return [
        b"[detection]\nthreshold_snr = 6.0\nmin_length_px = 3\n[detection.noise]\nbox_px = 64\n"
        b"[match]\nradius_arcsec = 30.0\n[labels]\nlabels = ['asteroid']\nccds = [1, 2]\n"
    ]


def _read_config(path: Path) -> None:
    from streaks.cli.night import read_settings

    read_settings(path)


def _profiles(folder: Path) -> list[bytes]:
    import streaks

    place = Path(streaks.__file__).parent
    return [path.read_bytes() for path in sorted(place.glob("readers/**/*.toml"))]


def _read_profile(path: Path) -> None:
    from streaks.readers import load_profile
    from streaks.readers.files import companions

    companions(path.with_name("ztf_20180607199178_000663_zr_c04_o_q2_scimrefdiffimg.fits.fz"),
               load_profile(path))  # fmt: skip


def _export(folder: Path) -> list[bytes]:
    tasks = json.dumps([{"task": "T0", "value": "Asteroid (short streak)"},
                        {"task": "T1", "value": [{"choice": "GHOST", "answers": {}}]}])  # fmt: skip
    about = json.dumps({"11": {"filename": "a.png", "#feedback_1_answer": "2"}})
    rows = ["user_name,user_ip,workflow_id,annotations,subject_data,subject_ids"]
    quoted = [text.replace('"', '""') for text in (tasks, about)]
    rows += [f'u{k},x,7,"{quoted[0]}","{quoted[1]}",11' for k in range(4)]
    return ["\n".join(rows).encode(), json.dumps({"a.jpg": ["Masked bright star"]}).encode()]


def _read_export(path: Path) -> None:
    from streaks.labelling import consensus_labels, pooled_labels, read_answers

    if path.read_bytes().lstrip()[:1] in (b"{", b"["):
        consensus_labels(path)
    else:
        pooled_labels(read_answers(path))


def _tables(suffix: str) -> Good:
    def good(folder: Path) -> list[bytes]:
        from streaks.reporting import write_table
        from tests.made_streaks import SEGMENTS, made_streaks

        write_table(made_streaks(SEGMENTS), folder / f"t{suffix}")
        return [(folder / f"t{suffix}").read_bytes()]

    return good


def _read_table(path: Path) -> None:
    from streaks.readers import read_table

    read_table(path)


_ANCHORS = (
    b"# meta: {a: &a [x,x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a], c: &c [*b,*b,*b,*b,*b,*b],"
    b" d: [*c,*c,*c,*c,*c,*c,*c]}\n",
    b"# - !!python/object/apply:os.system ['touch pwned']\n",
    b"# meta: !!omap\n# - __serialized_columns__:\n#     x: {__class__: os.system}\n",
)
_XML = (b'<!DOCTYPE x [<!ENTITY a "aaaa">]>', b'<STREAM href="file:///etc/passwd"/>', b"&a;",
        b'arraysize="999999999"', b'datatype="unicodeChar"', b'nrows="999999999"')  # fmt: skip


def _models(folder: Path) -> list[bytes]:
    """Card and weights in one: what the reader takes apart again."""
    from streaks.models.store import weights_folder

    found = []
    for name in ("forest", "cnn"):
        place = weights_folder(name)
        card = (place / "card.json").read_bytes()
        found.append(len(card).to_bytes(4, "big") + card + (place / "model.onnx").read_bytes())
    return found


def _only_the_card(rng: random.Random, good: bytes) -> bytes:
    size = int.from_bytes(good[:4], "big")
    card = rng.choice((another_number, another_text, lines_mixed))(rng, good[4 : 4 + size])
    return len(card).to_bytes(4, "big") + card + good[4 + size :]


def _only_the_weights(rng: random.Random, good: bytes) -> bytes:
    size = int.from_bytes(good[:4], "big")
    where = good[4 + size :]
    # Where the graph is written, most of the time, and not in the weights.
    at = rng.randrange(len(where)) if rng.random() < 0.3 else rng.randrange(min(3000, len(where)))
    part = rng.choice((another_word, damage.flipped_anywhere))(rng, where[at : at + 200])
    return good[: 4 + size] + where[:at] + part + where[at + 200 :]


def _read_model(path: Path) -> None:
    import hashlib

    from streaks.cutouts import Cutouts
    from streaks.models import load_classifier

    content = path.read_bytes()
    size = min(int.from_bytes(content[:4], "big"), len(content))
    folder = path.parent / "model"
    folder.mkdir(exist_ok=True)
    card, weights = content[4 : 4 + size], content[4 + size :]
    try:
        told = json.loads(card)
        told["sha256"] = hashlib.sha256(weights).hexdigest()
        card = json.dumps(told).encode()
    except (ValueError, TypeError, RecursionError):
        pass
    (folder / "card.json").write_bytes(card)
    (folder / "model.onnx").write_bytes(weights)
    stack = Cutouts(_noise((31, 31))[None], np.zeros((1, 31, 31), bool), ("a",))
    load_classifier(folder).predict_proba(stack)


def _kernel(folder: Path) -> list[bytes]:
    """A kernel of the Sun, the Earth and the Moon, one constant for each coordinate."""
    record = np.array([0.0, 43200.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "<f8")
    array = np.concatenate([record, np.array([-43200.0, 86400.0, 8.0, 1.0], "<f8")])
    bodies = [(10, 0), (3, 0), (399, 3), (301, 3), (5, 0)]
    summary = np.zeros(128, "<f8")
    summary[:3] = 0.0, 0.0, len(bodies)
    for i, (target, centre) in enumerate(bodies):
        first = 385 + i * len(array)
        integers = np.array([target, centre, 1, 2, first, first + len(array) - 1], "<i4")
        summary[3 + 5 * i : 5 + 5 * i] = -43200.0, 43200.0
        summary[5 + 5 * i : 8 + 5 * i] = integers.view("<f8")
    head = bytearray(1024)
    head[:8] = b"DAF/SPK "
    head[8:16] = (2).to_bytes(4, "little") + (6).to_bytes(4, "little")
    head[76:84] = (2).to_bytes(4, "little") * 2
    head[84:88] = (385 + len(bodies) * len(array)).to_bytes(4, "little")  # the first free word
    head[88:96] = b"LTL-IEEE"
    head[699:727] = b"FTPSTR:\r:\n:\r\n:\r\x00:\x81:\x10\xce:ENDFTP"
    content = array.tobytes() * len(bodies)
    return [bytes(head) + summary.tobytes() + b" " * 1024 + content]


def _read_kernel(path: Path) -> None:
    from streaks.known.spk import open_ephemeris

    open_ephemeris(path)


def _observatories(folder: Path) -> list[bytes]:
    lines = (
        b"Code  Long.   cos      sin    Name\n"
        b"I41 243.140220.836325+0.546877Palomar Mountain--ZTF\n"
        b"W84 289.193580.865020-0.500990Cerro Tololo-DECam\n"
    )
    entry = {"Longitude": 243.14, "cos": 0.836, "sin": 0.546, "Name": "ZTF"}
    return [lines, json.dumps({"I41": entry}).encode()]


def _read_observatories(path: Path) -> None:
    from streaks.known import read_observatories

    read_observatories(path)


# A night's own files


def _one_frame_night(folder: Path) -> tuple[Any, Any]:
    """A night of one frame that is done, made without searching, and its frame."""
    from streaks.night.planning import path_text
    from streaks.night.run import agree_on_settings, fingerprint
    from streaks.night_folder.frame_results import save_cutouts
    from streaks.night_folder.layout import NightFolder
    from streaks.night_folder.ledger import DONE, Entry
    from streaks.night_folder.lock import held_folder
    from streaks.readers import FrameFiles
    from streaks.reporting import write_table
    from streaks.search.identity import content_digest, signature
    from tests.made_streaks import made_night

    (folder / "frame.fits").write_bytes(b"SIMPLE" + b" " * 2874)
    files = FrameFiles(folder / "frame.fits", "frame")
    night = NightFolder(folder / "night")
    digest = content_digest(files)
    with held_folder(night) as ledger:
        agree_on_settings(night, ledger, _IDENTITY, fingerprint(_IDENTITY))
        _, streaks, cutouts = made_night()
        streaks["image"] = "frame"
        streaks.meta = {"frame": {"settings": fingerprint(_IDENTITY), "digest": digest,
                                  "version": "1", "notes": "", "about": {"nx": 50}}}  # fmt: skip
        write_table(streaks, night.part("frame"))
        save_cutouts(night.cutouts("frame"), cutouts)
        night.overview("frame").parent.mkdir()
        night.overview("frame").write_bytes(b"\xff\xd8")
        entry = Entry("frame", path_text(files), signature(files), fingerprint(_IDENTITY), DONE,
                      digest=digest, n_streaks=len(streaks), stages={"find": 1.0},
                      about={"nx": 50, "ccd": "3"}, version="1")  # fmt: skip
        ledger.record(entry)
        ledger.record(replace(entry, image="other", path="/none/other.fits", state="failed",
                              kind="ReadError", reason="it is empty"))  # fmt: skip
    return night, files


_IDENTITY = {"classifier": "none", "settings": {"detection": {"threshold_snr": 5.0}}}


def _of_a_night(name: str) -> Good:
    def good(folder: Path) -> list[bytes]:
        night, _ = _one_frame_night(folder)
        return [(night.root / name).read_bytes()]

    return good


def _continue_night(path: Path, name: str) -> None:
    """A night goes on, or is begun anew, where one of its files is bad.

    Only that its frames were done with other settings, or by a newer version, may stop it.
    """
    from streaks.errors import LedgerError
    from streaks.night.planning import make_plan
    from streaks.night.run import agree_on_settings, fingerprint
    from streaks.night_folder.layout import NightFolder
    from streaks.night_folder.ledger import DONE
    from streaks.night_folder.lock import held_folder
    from streaks.night_folder.page import summarise
    from streaks.night_folder.reading import read_night
    from streaks.night_folder.tables import PartReader, write_night_tables
    from streaks.readers import FrameFiles

    good = path.parent / "good"
    here = path.parent / "x.night"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(good / "night", here)
    shutil.copyfile(path, here / name)
    (path.parent / "x.foreign").write_text("mine")
    night, decided = NightFolder(here), fingerprint(_IDENTITY)
    files = FrameFiles(good / "frame.fits", "frame")
    restart = path.stat().st_size % 4 == 0
    try:
        with held_folder(night, restart=restart) as ledger:
            agree_on_settings(night, ledger, _IDENTITY, decided)
            for verify in (False, True):
                plan = make_plan([files], ledger, night, decided, verify=verify)
                assert len(plan.todo) + plan.n_done + plan.n_failed == 1
            entries = ledger.entries()
            reader = PartReader(night)
            damaged = reader.load([entry for entry in entries if entry.state == DONE])
            entries = [entry for entry in entries if entry.image not in damaged]
            write_night_tables(reader, entries)
            for entry in entries:
                ledger.record(entry)
        summarise(read_night(here))
    except LedgerError as error:
        if "with other settings" not in str(error) and "has schema" not in str(error):
            raise AssertionError(f"a night is stopped: {error}") from error
    except StreaksError as error:
        raise AssertionError(f"a night is stopped: {error}") from error
    assert (path.parent / "x.foreign").read_text() == "mine"
    assert (good / "frame.fits").stat().st_size == 2880


def _read_as(name: str) -> Reader:
    return lambda path: _continue_night(path, name)


def _damaged_row(rng: random.Random, good: bytes) -> bytes:
    """A value of the ledger becomes what no run wrote there."""
    import sqlite3
    import tempfile

    # A folder, for SQLite lays files of its own beside a database and may leave them.
    with tempfile.TemporaryDirectory(dir=_FOLDER[0]) as folder:
        path = Path(folder) / "ledger.sqlite"
        path.write_bytes(good)
        database = sqlite3.connect(path)
        with suppress(sqlite3.Error):
            table = rng.choice(("frames", "frames", "frames", "meta"))
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            column = rng.choice(columns)
            value = rng.choice(
                (
                    *_NUMBERS,
                    *_TEXTS,
                    None,
                    10**15,
                    1e300,
                    0,
                    "../../x",
                    "[]",
                    "{}",
                    '[["a", 1]]',
                    "[[1, 2, 3]]",
                    '{"a": "b"}',
                    "0" * 16,
                )
            )
            if isinstance(value, bytes) and rng.random() < 0.7:
                value = value.decode("utf-8", "replace")
            with database:
                database.execute(
                    f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rng.choice((1, 2)))
                )
        database.close()
        return path.read_bytes()


#: Where a way of harm may write: the fuzzer's own folder.
_FOLDER: list[Path] = []

_JSON = (b"[" * 300, b'{"a":' * 300, b"9" * 5000, b'"fields": 5,', b"1e999", b"NaN", b"null")

READERS: dict[str, Kind] = {
    "fits": Kind(".fits", _fits, _read_frame, own=damage.FITS_DAMAGES),
    "compressed": Kind(
        ".fits", _compressed, _read_image, own=(*damage.FITS_DAMAGES, _in_the_table)),
    "rice": Kind(".fits", _compressed, _read_image, own=(_in_the_table,)),
    "avro": Kind(".avro", _avro, _read_alerts, own=(*damage.AVRO_DAMAGES, _other_schema)),
    "npz": Kind(
        ".npz", _npz, _read_cutouts, tokens=(b"PK\x03\x04", b"PK\x01\x02", b"|O", b"<U999")),
    "png": Kind(
        ".png", _pictures("PNG"), _read_cutouts, tokens=(b"IHDR", b"tRNS", b"iCCP", b"zTXt")),
    "jpeg": Kind(
        ".jpg", _pictures("JPEG"), _read_cutouts, tokens=(b"\xff\xc0", b"\xff\xda", b"\xff\xe1")),
    "tle": Kind(".tle", _tle, _read_tles),
    "orbits": Kind(".dat", _orbits, _read_orbits, tokens=_JSON),
    "kernel": Kind(".bsp", _kernel, _read_kernel),
    "observatories": Kind(".txt", _observatories, _read_observatories, tokens=_JSON),
    "config": Kind(".toml", _toml, _read_config, tokens=(b"x = [" * 200, b"[a.b]\n", b"'''")),
    "profile": Kind(".toml", _profiles, _read_profile, tokens=(b"x = [" * 200, b"'../../x'")),
    "export": Kind(".csv", _export, _read_export, tokens=_JSON),
    "ecsv": Kind(".ecsv", _tables(".ecsv"), _read_table, tokens=_ANCHORS),
    "csv": Kind(".csv", _tables(".csv"), _read_table, tokens=(b"," * 3000, b'"')),
    "votable": Kind(".vot", _tables(".vot"), _read_table, tokens=_XML),
    "parquet": Kind(".parquet", _tables(".parquet"), _read_table),
    "fits_table": Kind(".fits", _tables(".fits"), _read_table, own=damage.FITS_DAMAGES),
    "ledger": Kind(
        ".sqlite", _of_a_night("ledger.sqlite"), _read_as("ledger.sqlite"), own=(_damaged_row,)),
    "night_settings": Kind(
        ".json", _of_a_night("settings.json"), _read_as("settings.json"), tokens=_JSON),
    "night_part": Kind(
        ".parquet", _of_a_night("parts/frame.parquet"), _read_as("parts/frame.parquet")),
    "model": Kind(".bin", _models, _read_model, own=(_only_the_card, _only_the_weights)),
}  # fmt: skip


# The process that reads


def _watch(folder: Path) -> None:
    """No program, no network, no writing elsewhere; numba's and fonts' caches are their own."""
    inside = os.fspath(folder.resolve())
    allowed = ("__pycache__", "/dev/null", "/proc/", ".pyc", ".nbi", ".nbc")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.system", "subprocess.Popen", "os.exec", "socket.connect", "os.fork",
                     "os.posix_spawn", "urllib.Request", "socket.getaddrinfo"):  # fmt: skip
            _stop(f"{event} {arguments!r:.200}")
        if event == "open" and isinstance(arguments[0], str):
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            path = os.path.abspath(arguments[0])
            if writes and not path.startswith(inside) and not any(a in path for a in allowed):
                _stop(f"writes {path}")

    sys.addaudithook(hook)


def _tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _stop(what: str) -> None:
    sys.__stdout__.write(f"\nFORBIDDEN {what}\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
    os._exit(3)


def _one(kind: Kind, path: Path) -> str:
    """Empty where all is well, else what was raised."""
    import traceback

    signal.setitimer(signal.ITIMER_PROF, TIME_S)
    signal.setitimer(signal.ITIMER_REAL, CLOCK_S)
    try:
        kind.read(path)
    except StreaksError as error:
        return "" if str(error).strip() else f"{type(error).__name__} without a word"
    except BaseException as error:
        return f"{type(error).__name__}: {error!s:.200}\n{traceback.format_exc()[-1500:]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def main(name: str, first: int, count: int, folder: Path) -> None:
    """Read inputs and say of each what happened, one line of JSON."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    kind = READERS[name]
    made = folder / "good"
    made.mkdir()
    _FOLDER.append(folder)
    goods = kind.good(made)
    path = folder / f"x{kind.suffix}"
    for good in goods:  # all are read whole first, which compiles and imports what there is
        path.write_bytes(good)
        kind.read(path)
    limit = ADDRESS_SPACE_MB << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # The default of both signals ends the process: nothing in C can hold it.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _watch(folder)
    for seed in range(first, first + count):
        path.write_bytes(harmed(kind, goods, seed))
        _tell(seed=seed)
        trouble = _one(kind, path)
        if trouble:
            _tell(seed=seed, trouble=trouble)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    _tell(memory_mb=held)


@dataclass(frozen=True)
class Run:
    """What came of the inputs of one reader.

    Parameters
    ----------
    troubles
        Seeds with what was raised, or how the process ended.
    memory_mb
        The most that was resident.
    left
        Files that lie in the folder and should not.
    """

    troubles: dict[int, str]
    memory_mb: int
    left: list[str]


def read_all(name: str, first: int, count: int, folder: Path) -> Run:
    """Read inputs in processes of their own; a new one goes on behind a crash."""
    troubles: dict[int, str] = {}
    memory, at, stop = 0, first, first + count
    while at < stop:
        place = folder / f"from{at}"
        place.mkdir()
        command = [sys.executable, "-m", "tests.fuzzing", name, str(at), str(stop - at), str(place)]
        environment = {**os.environ, "HOME": str(place), "MPLCONFIGDIR": str(place)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        last = -1
        for line in done.stdout.splitlines():
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            memory = max(memory, told.get("memory_mb", 0))
            last = told.get("seed", last)
            if "trouble" in told:
                troubles[told["seed"]] = told["trouble"]
        if done.returncode == 0:
            break
        if last < 0:
            raise AssertionError(f"the fuzzer of {name} did not begin: {done.stderr[-2000:]}")
        troubles[last] = f"ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}"
        at = last + 1
    expected = {"good", "model"}
    left = [
        str(path.relative_to(folder))
        for place in folder.iterdir()
        for path in place.iterdir()
        # What libraries keep in a home of their own is theirs.
        if path.name not in expected and not path.name.startswith(("x.", "."))
    ]
    shutil.rmtree(folder)
    return Run(troubles, memory, left)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
