"""Files made bad by a seed: no crash, no hang, nothing outside the folders, all text escaped."""

from __future__ import annotations

import gzip
import io
import resource
import time
from html.parser import HTMLParser
from pathlib import Path

import fastavro
import numpy as np
import pytest
from astropy.io import fits

from streaks.errors import StreaksError
from streaks.night import read_night, run_night, write_night_report
from streaks.readers import read_alerts, read_frame
from tests.damage import AVRO_DAMAGES, FITS_DAMAGES, damaged
from tests.frame_files import add_trail, noise_image, write_rubin_frame, write_ztf_frame
from tests.night_fakes import SURE
from tests.test_night_run import SMALL

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

#: No single file may take longer, s; on any machine that is not broken.
_PATIENCE_S = 30.0
#: A header's promise of 100 GB must not be believed: what a worker may hold, MiB.
_MEMORY_MB = 3000

_STAMP = {"name": "stamp", "type": "record", "fields": [
    {"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}]}  # fmt: skip
_SCHEMA = {"name": "alert", "type": "record", "fields": [
    {"name": "objectId", "type": "string"}, {"name": "candid", "type": "long"},
    {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": [
        {"name": "jd", "type": "double"}, {"name": "ra", "type": "double"},
        {"name": "dec", "type": "double"}, {"name": "isdiffpos", "type": "string"},
        {"name": "fid", "type": "int"}, {"name": "pid", "type": "long"}]}},
    {"name": "cutoutScience", "type": _STAMP},
    {"name": "cutoutTemplate", "type": "stamp"},
    {"name": "cutoutDifference", "type": "stamp"}]}  # fmt: skip


def good_files(folder: Path) -> list[bytes]:
    """A Rice-compressed ZTF difference, a plain image, and one of several extensions."""
    data = noise_image(SMALL)
    add_trail(data, (60.0, 40.0, 95.0, 70.0), flux=12000.0)
    ztf = write_ztf_frame(folder, data)
    fits.PrimaryHDU(data).writeto(folder / "plain.fits")
    mask = np.zeros(SMALL, np.int32)
    rubin = write_rubin_frame(folder / "rubin.fits", data, mask)
    return [path.read_bytes() for path in (ztf, folder / "plain.fits", rubin)]


def good_alert() -> bytes:
    stream = io.BytesIO()
    fits.PrimaryHDU(noise_image((63, 63))).writeto(stream)
    stamp = {"fileName": "a.fits.gz", "stampData": gzip.compress(stream.getvalue())}
    candidate = {"jd": 2458276.7, "ra": 250.0, "dec": 20.0, "isdiffpos": "t", "fid": 2, "pid": 1}
    packet = {"objectId": "ZTF18aaaaaaa", "candid": 1, "candidate": candidate}
    packet |= dict.fromkeys(("cutoutScience", "cutoutTemplate", "cutoutDifference"), stamp)
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(_SCHEMA), [packet])
    return out.getvalue()


def write_damaged(folder: Path, n: int, first_seed: int = 0) -> None:
    folder.mkdir()
    good = good_files(folder.parent / f"{folder.name}-good")
    for seed in range(first_seed, first_seed + n):
        kind = FITS_DAMAGES[seed % len(FITS_DAMAGES)]
        content = damaged(good[seed // len(FITS_DAMAGES) % len(good)], kind, seed)
        (folder / f"{seed:03d}_{kind.__name__}.fits").write_bytes(content)


def check_night(tmp_path: Path, n: int, first_seed: int = 0, workers: int = 1) -> None:
    write_damaged(tmp_path / "in", n, first_seed)
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    start = time.monotonic()
    run = run_night(
        tmp_path / "in",
        tmp_path / "out",
        SURE,
        workers=workers,
        time_limit_s=_PATIENCE_S,
        memory_limit_mb=_MEMORY_MB,
    )
    assert run.n_frames == n == run.n_done + len(run.failures)
    assert time.monotonic() - start < _PATIENCE_S * n
    frames = read_night(tmp_path / "out").frames
    kinds = {str(row["image"]): str(row["kind"]) for row in frames if str(row["kind"])}
    # Each failure is one that the readers foresaw: no hang, no lost worker, no lack of memory.
    unforeseen = {i: kind for i, kind in kinds.items() if kind not in ("ReadError", "FrameError")}
    assert unforeseen == {}
    assert all(reason for _, reason in run.failures)
    after = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    assert after == before
    assert_page_is_harmless(write_night_report(read_night(tmp_path / "out")))


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))


def assert_page_is_harmless(page: Path) -> None:
    """One script, our own; no handlers; nothing loaded from elsewhere."""
    tags = _Tags(page.read_text(encoding="utf-8")).tags
    assert sum(tag == "script" for tag, _ in tags) == 1
    for _, attrs in tags:
        for name, value in attrs:
            assert not name.startswith("on")
            assert (
                name not in ("src", "href") or (value or "").startswith(("data:", "#")) or not value
            )


def test_a_night_of_damaged_files_names_each_and_ends(tmp_path: Path) -> None:
    check_night(tmp_path, len(FITS_DAMAGES), workers=0)


@pytest.mark.slow
def test_a_night_of_240_damaged_files_names_each_and_ends(tmp_path: Path) -> None:
    check_night(tmp_path, 240, first_seed=1000)


@pytest.mark.parametrize("n", [18, pytest.param(60, marks=pytest.mark.slow)])
def test_damaged_alerts_are_named_or_read(tmp_path: Path, n: int) -> None:
    good = good_alert()
    (tmp_path / "good.avro").write_bytes(good)
    for seed in range(n):
        kind = AVRO_DAMAGES[seed % len(AVRO_DAMAGES)]
        (tmp_path / f"{seed:03d}.avro").write_bytes(damaged(good, kind, seed))
    start = time.monotonic()
    alerts, failures = read_alerts([tmp_path])
    assert time.monotonic() - start < _PATIENCE_S
    named = {failure.path.name for failure in failures}
    assert "good.avro" not in named
    assert len(alerts) + len(named) >= n
    assert all(failure.reason for failure in failures)


def test_a_header_that_promises_100_gb_allocates_nothing_of_the_sort(tmp_path: Path) -> None:
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, -32, 2
    header["NAXIS1"], header["NAXIS2"] = 160_000, 160_000
    path = tmp_path / "huge.fits"
    path.write_bytes(header.tostring().encode() + bytes(2880))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StreaksError, match="cut short"):
        read_frame(path)
    # KiB on Linux.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>.fits",
        "line\nbreak.fits",
        "quote\"and'amp&.fits",
        "dots....fits",
        "percent%2e%2e%2f.fits",
        "tab\there.fits",
        "long" * 50 + ".fits",
        "ümläut 流星.fits",
    ],
)
def test_names_of_every_kind_stay_inside_the_folder_and_are_escaped(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data = noise_image(SMALL)
    add_trail(data, (60.0, 40.0, 95.0, 70.0), flux=12000.0)
    header = fits.Header()
    header["FILTER"] = "<script>alert(1)</script>"
    header["CCDID"] = "../../<b>4"
    fits.PrimaryHDU(data, header).writeto(folder / name)
    run = run_night(folder, tmp_path / "out", SURE, workers=0)
    assert run.n_done == 1
    assert_page_is_harmless(write_night_report(read_night(tmp_path / "out")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert [path.name for path in folder.iterdir()] == [name]
