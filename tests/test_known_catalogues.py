"""Orbit catalogues of every form, the compact one, and what is kept on disk."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time
from typer.testing import CliRunner

from streaks.cli import main
from streaks.cli.known import app
from streaks.errors import CatalogueError
from streaks.known import (
    NBody,
    Orbits,
    TwoBody,
    catalogue_age,
    catalogue_notes,
    download,
    make_catalogue,
    mpcorb,
    near,
    predict,
    prepare_night,
    read_orbits,
    write_catalogue,
    write_mpcorb,
)
from streaks.known import cache as cache_module
from streaks.known import update as update_module
from streaks.known.cache import states_of_night
from streaks.known.dynamics import catalogue_error_arcsec
from tests.frame_files import write_ztf_frame

#: (1) Ceres of MPCORB, epoch 2025-11-21, and the same orbit as the other files have it.
_FRONT = (
    "00001    3.35  0.15 K25BL 231.53975   73.29974   80.24963   10.58789  0.0795763  0.21429712"
    "   2.7656157  0 E2025-V47  7369 126 1801-2025 0.69 M-v 30k MPCLINUX   4000"
)
CERES = f"{_FRONT:<166}{'(1) Ceres':<28}20251101"
CERES_JSON = {
    "Number": "(1)", "Name": "Ceres", "Principal_desig": "A801 AA", "H": 3.35, "G": 0.15,
    "Epoch": 2461000.5, "M": 231.53975, "Peri": 73.29974, "Node": 80.24963, "i": 10.58789,
    "e": 0.0795763, "n": 0.21429712, "a": 2.7656157, "U": "0", "Other_desigs": ["1943 XB"],
    "Perihelion_dist": 2.5455385, "Tp": 2461599.9,
}  # fmt: skip
CERES_SBDB = {
    "full_name": "     1 Ceres (A801 AA)", "pdes": "1", "epoch": "2461000.5", "e": "0.0795763",
    "a": "2.7656157", "q": "", "i": "10.58789", "om": "80.24963", "w": "73.29974",
    "ma": "231.53975", "tp": "", "H": "3.35", "G": "0.15", "condition_code": "0",
}  # fmt: skip
#: C/1995 O1 in the columns of the MPC's CometOrbitFormat page.
HALE_BOPP = (
    "    CJ95O010  1997 03 29.6333  0.931111  0.994929  130.3923  282.8914   89.1142  20251121"
    "  -2.0  4.0  C/1995 O1 (Hale-Bopp)                                    MPEC 2022-S20"
)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        content = text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def _same_orbit(one: Orbits, other: Orbits) -> None:
    when = Time(2461100.5, format="jd", scale="tdb")
    places = [predict(orbits, when, "500") for orbits in (one, other)]
    away = near(places[0], places[1]["ra"][0].value, places[1]["dec"][0].value, 3600.0)
    assert away["sep"][0].to_value("arcsec") < 0.2  # rounding of the elements
    assert one.h_mag[0] == other.h_mag[0]


def _csv(*rows: dict[str, str]) -> str:
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n"


def test_ceres_is_one_orbit_in_every_form(file: Callable[..., Path]) -> None:
    reference = read_orbits(file("MPCORB.DAT.gz", CERES + "\n"))
    sbdb = {"fields": list(CERES_SBDB), "count": 1, "data": [list(CERES_SBDB.values())]}
    for path in (
        file("mpcorb_extended.json.gz", json.dumps([CERES_JSON], indent=0)),
        file("sbdb.json", json.dumps({"signature": {"source": "JPL"}, **sbdb})),
        file("sbdb.csv", _csv(CERES_SBDB)),
    ):
        orbits = read_orbits(path)
        assert orbits.designation.tolist() == ["1"]
        assert orbits.name[0].startswith("(1) Ceres")
        assert orbits.failures == ()
        _same_orbit(orbits, reference)


def test_comets_come_with_their_names_and_no_magnitude(file: Callable[..., Path]) -> None:
    comets = read_orbits(file("CometEls.txt", HALE_BOPP + "\n"))
    assert comets.designation.tolist() == ["C/1995 O1"]
    assert comets.q_au[0] == 0.931111
    assert comets.e[0] == 0.994929
    assert comets.tp_jd[0] == pytest.approx(2450537.1333, abs=1e-6)  # 1997-03-29.6333
    assert np.isnan(comets.h_mag[0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"e": "-1"}, "no orbit about the Sun"),
        ({"e": "900"}, "no orbit about the Sun"),
        ({"a": "nan", "q": "nan"}, "q_au is missing or no number"),
        ({"i": "elsewhere"}, "could not convert"),
        ({"om": ""}, "could not convert"),
    ],
)
def test_an_absurd_entry_is_named_and_the_others_are_kept(
    file: Callable[..., Path], change: dict[str, str], reason: str
) -> None:
    orbits = read_orbits(
        file("t.csv", _csv(CERES_SBDB, {**CERES_SBDB, **change}, {**CERES_SBDB, "pdes": "2"}))
    )
    assert len(orbits) == 2
    (bad,) = orbits.failures
    assert bad.number == 3
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.json", "[{}, {}]"),
        ("half.json", '{"fields": ["e", "i", "q"], "data": [["0.1", '),
        ("empty.csv", "full_name,e,i,q\n"),
        ("nothing.dat", ""),
        ("zip.npz", "PK\x03\x04 and no more"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(
    file: Callable[..., Path], name: str, text: str
) -> None:
    with pytest.raises(CatalogueError, match=name):
        read_orbits(file(name, text))


def test_an_extended_list_cut_in_half_keeps_its_whole_entries(file: Callable[..., Path]) -> None:
    whole = json.dumps([{**CERES_JSON, "Number": f"({n})"} for n in range(1, 9)])
    half = whole[: len(whole) // 2]
    orbits = read_orbits(file("mpcorb_extended.json", half))
    assert orbits.designation.tolist() == [str(n + 1) for n in range(half.count("}"))]


def test_a_compact_catalogue_comes_back_as_it_was(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    orbits = read_orbits(file("MPCORB.DAT", CERES + "\n"))
    write_catalogue(orbits, tmp_path / "own.npz", {"made": "2026-01-02T03:04:05+00:00"})
    again = read_orbits(tmp_path / "own.npz")
    for name in ("designation", "name", "h_mag", "tp_jd", "q_au", "arc_start_jd", "arc_end_jd"):
        assert getattr(again, name)[0] == getattr(orbits, name)[0]
    assert catalogue_notes(tmp_path / "own.npz")["orbits"] == 1
    age = catalogue_age(tmp_path / "own.npz", again)
    assert age is not None
    assert age.is_stale == (age.made_days > 30)
    assert catalogue_age(file("MPCORB.DAT", CERES + "\n"), again) is None


def test_a_catalogue_cut_short_is_refused(file: Callable[..., Path], tmp_path: Path) -> None:
    write_catalogue(read_orbits(file("m.dat", CERES + "\n")), tmp_path / "own.npz", {})
    whole = (tmp_path / "own.npz").read_bytes()
    (tmp_path / "own.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CatalogueError, match="no whole catalogue of `streaks known update`"):
        read_orbits(tmp_path / "own.npz")


def test_of_one_object_the_last_files_orbit_counts(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    newer = file("newer.csv", _csv({**CERES_SBDB, "H": "3.2"}))
    orbits = make_catalogue(
        [file("a.dat", CERES + "\n"), newer, file("c.txt", HALE_BOPP + "\n")], tmp_path / "own.npz"
    )
    assert sorted(orbits.designation) == ["1", "C/1995 O1"]
    assert orbits.h_mag[orbits.designation == "1"][0] == 3.2
    assert catalogue_notes(tmp_path / "own.npz")["sources"] == ["a.dat", "newer.csv", "c.txt"]
    with pytest.raises(CatalogueError, match="no file of orbits was given"):
        make_catalogue([], tmp_path / "own.npz")


def test_what_cannot_be_downloaded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAKS_CACHE", str(tmp_path))
    with pytest.raises(
        CatalogueError, match=r"cannot download file:///nowhere.*must begin with https://"
    ):
        download("file:///nowhere/MPCORB.DAT")


def test_an_updated_catalogue_is_found_by_itself_and_its_age_is_told(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    environment = {"STREAKS_CACHE": str(tmp_path / "cache"), "STREAKS_ORBITS": ""}
    source = file("a.csv", _csv(CERES_SBDB, {**CERES_SBDB, "e": "?", "pdes": "2"},
                                {**CERES_SBDB, "pdes": "3"}))  # fmt: skip
    result = CliRunner().invoke(app, ["update", str(source)], env=environment)
    assert result.exit_code == 0, result.output
    assert "2 orbits, 1 bad lines" in result.output
    assert "line 3" in result.output
    own = tmp_path / "cache" / "orbits.npz"
    write_catalogue(read_orbits(own), own, {"made": "2020-01-01T00:00:00+00:00"})
    ask = ["query", "10", "20", "--time", "2025-11-21", "--two-body"]
    result = CliRunner().invoke(app, ask, env=environment)
    assert result.exit_code == 0, result.output
    assert "it is stale" in result.output


def test_a_night_followed_once_is_read_from_disk(
    file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_WORTH_KEEPING", 1)
    orbits = read_orbits(file("m.dat", CERES + "\n"))

    class Counting(TwoBody):
        calls = 0

        def states(self, orbits: Orbits, jd_tdb: float):  # type: ignore[no-untyped-def]
            Counting.calls += 1
            return super().states(orbits, jd_tdb)

    first = states_of_night(Counting(), orbits, 2461010.5, tmp_path)
    again = states_of_night(Counting(), orbits, 2461010.5, tmp_path)
    assert Counting.calls == 1
    assert np.array_equal(first[0], again[0])
    states_of_night(Counting(), orbits, 2461011.5, tmp_path)
    states_of_night(Counting(), replace(orbits, e=orbits.e + 1e-9), 2461010.5, tmp_path)
    assert Counting.calls == 3
    for kept in (tmp_path / "nights").glob("*.npy"):
        kept.write_bytes(kept.read_bytes()[:100])
    assert np.array_equal(states_of_night(Counting(), orbits, 2461010.5, tmp_path)[0], first[0])
    assert Counting.calls == 4


def test_a_cache_that_cannot_be_written_costs_no_answer(
    file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cache_module, "_WORTH_KEEPING", 1)
    orbits = read_orbits(file("m.dat", CERES + "\n"))
    (tmp_path / "taken").write_text("a file, no folder")
    states = states_of_night(TwoBody(), orbits, 2461010.5, tmp_path / "taken")
    assert np.isfinite(states[0]).all()
    assert "not kept in" in caplog.text


def test_only_so_many_nights_are_kept(
    file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_WORTH_KEEPING", 1)
    monkeypatch.setattr(cache_module, "_MAX_NIGHTS", 2)
    orbits = read_orbits(file("m.dat", CERES + "\n"))
    for night in range(4):
        states_of_night(TwoBody(), orbits, 2461010.5 + night, tmp_path)
        for kept in (tmp_path / "nights").glob("*.npy"):
            os.utime(kept, (time.time() - 100 + night, time.time() - 100 + night))
    assert len(list((tmp_path / "nights").glob("*.npy"))) == 2


def test_an_orbit_is_sure_where_it_was_observed(file: Callable[..., Path]) -> None:
    orbits = replace(read_orbits(file("m.dat", CERES + "\n")), uncertainty=np.array([5.0]))
    inside, after = (float(catalogue_error_arcsec(orbits, jd)[0]) for jd in (2440000.5, 2462000.5))
    assert inside == pytest.approx(0.05)
    # U = 5: exp(1.49 * 4.5) arcsec in ten years (MPC's definition), here 1019.5 days from the arc.
    assert after == pytest.approx(0.05 + np.exp(1.49 * 4.5) * 1019.5 / 3652.5, rel=0.01)


def test_a_close_flyby_keeps_its_place_through_the_night(real_data: Callable[..., Path]) -> None:
    # 2018 CB passed the Earth at 0.0005 au on 2018-02-09: two bodies from midnight would be lost.
    from streaks.known import open_ephemeris

    everything = read_orbits(real_data("orbits", "NEA_K1972_20060.txt.gz"))
    orbits = everything.select(everything.find("2018 CB"))
    ephemeris = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp").parent)
    middle = Time("2018-02-09T12:00:00", scale="tdb")
    night = prepare_night(orbits, middle, "I41", dynamics=NBody(ephemeris), ephemeris=ephemeris)
    for hours in (-11.3, -3.7, 5.2, 11.9):
        when = Time(middle.jd + hours / 24.0, format="jd", scale="tdb")
        exact = predict(orbits, when, "I41", dynamics=NBody(ephemeris), ephemeris=ephemeris)
        found = night.near(exact["ra"][0].value, exact["dec"][0].value, 60.0, when)
        # It moves up to 20 arcsec a second.
        assert found["sep"][0].to_value("arcsec") < 0.3


def _line(a: float, e: float, number: int = 9, **changes: str) -> str:
    """A line of MPCORB.DAT with what `a` and `e` give; the mean motion by Kepler's third law."""
    motion = 0.9856076686 / a**1.5  # Gauss's constant in degrees
    axis = f"{a:.9f}"[:11]
    front = (
        f"{number:05d}   16.20  0.15 {changes.get('epoch', 'K25BL')}   1.00000   20.00000"
        f"   30.00000   15.00000  {e:9.7f} {motion:11.8f} {axis}  2 MPO000000   100  10"
        " 2014-2025 0.50"
    )
    return f"{front:<166}{'':<28}{changes.get('last', '20251101')}"


@pytest.mark.parametrize("a", [2.4, 600.0, 730.0, 1100.0, 3000.0, 5000.0, 12345.6, 99999.0])
def test_far_orbits_are_orbits(file: Callable[..., Path], tmp_path: Path, a: float) -> None:
    # Beyond 700 au the mean motion's eight decimals are coarser than any tolerance by share.
    orbits = read_orbits(file("far.dat", _line(a, 1.0 - min(20.0, 0.8 * a) / a) + "\n"))
    assert orbits.failures == ()
    assert orbits.a_au[0] == pytest.approx(a, rel=1e-6)
    write_mpcorb(orbits, tmp_path / "again.dat")
    again = read_orbits(tmp_path / "again.dat")
    assert again.failures == ()
    assert again.a_au[0] == pytest.approx(a, rel=1e-6)


def test_a_damaged_axis_of_a_far_orbit_still_shows(file: Callable[..., Path]) -> None:
    right = _line(600.0, 0.96)
    wrong = right.replace("600.0000000", "650.0000000")
    orbits = read_orbits(file("far.dat", f"{right}\n{wrong}\n{right}\n"))
    assert len(orbits) == 2
    assert "mean motion does not fit" in orbits.failures[0].reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"last": "20190631"}, "last observation is no date"),
        ({"last": "20190229"}, "last observation is no date"),
        ({"last": "00000101"}, "last observation is no date"),
        ({"last": "20191301"}, "last observation is no date"),
        ({"last": "20190000"}, "last observation is no date"),
        ({"epoch": "K192U"}, "epoch is no packed date"),  # the 30th of February
        ({"epoch": "K196V"}, "epoch is no packed date"),  # the 31st of June
        ({"epoch": "K19D1"}, "epoch is no packed date"),  # a thirteenth month
    ],
)
def test_an_impossible_date_costs_one_named_line(
    file: Callable[..., Path], changes: dict[str, str], reason: str
) -> None:
    lines = [_line(2.4, 0.1, 1), _line(2.4, 0.1, 2, **changes), _line(2.4, 0.1, 3)]
    orbits = read_orbits(file("dates.dat", "\n".join(lines) + "\n"))
    assert orbits.designation.tolist() == ["1", "3"]
    (bad,) = orbits.failures
    assert bad.number == 2
    assert reason in bad.reason
    # They go all the way to a place on the sky.
    assert np.isfinite(predict(orbits, Time("2025-11-21"), "I41", dynamics="two-body")["ra"]).all()


def test_leap_days_are_dates(file: Callable[..., Path]) -> None:
    orbits = read_orbits(file("leap.dat", _line(2.4, 0.1, last="20240229", epoch="K242T") + "\n"))
    assert orbits.epoch_jd[0] == 2460369.5  # 2024-02-29, 0h
    assert orbits.arc_end_jd[0] == 2460369.5


def test_whatever_a_step_throws_is_that_lines_failure(
    file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = mpcorb._names

    def fragile(packed: np.ndarray, readable: np.ndarray) -> object:
        if b"00666" in packed:
            raise RuntimeError("a step that nobody thought of")
        return plain(packed, readable)

    monkeypatch.setattr(mpcorb, "_names", fragile)
    lines = [_line(2.4, 0.1, number) for number in (1, 2, 666, 4, 5, 6, 7)]
    orbits = read_orbits(file("m.dat", "\n".join(lines) + "\n"))
    assert orbits.designation.tolist() == ["1", "2", "4", "5", "6", "7"]
    (bad,) = orbits.failures
    assert bad.number == 3
    assert "RuntimeError: a step that nobody thought of" in bad.reason


def test_a_bad_line_never_steers_a_terminal(file: Callable[..., Path]) -> None:
    orbits = read_orbits(file("m.dat", f"{CERES}\n\x1b[2J\x07 no orbit\n{CERES}\n"))
    (bad,) = orbits.failures
    assert str(bad).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        '{"fields": 5, "data": 7}',
        '{"fields": ["e", "i", "q"], "data": 7}',
        '{"fields": ["e", [], {}], "data": [[1, 2, 3]]}',
        '{"fields": ["e", "i", "q"], "data": [7, null, "text", {"e": 1}]}',
        '{"fields": ["e", "i", "q"], "data": [[' + "9" * 6000 + ", 1, 2]]}",
        '[{"a":' + "9" * 6000 + "}]",
        '[{"Epoch": "later", "e": {}, "a": []}]',
        '{"fields": ' + "[" * 50_000,
        "[" * 100_000,
        '[{"e": 0.1, "Epoch": 2461000.5, "a": 1e999, "M": 1, "i": 1, "Node": 1, "Peri": 1}]',
    ],
)
def test_json_of_another_shape_is_refused_by_name(file: Callable[..., Path], text: str) -> None:
    with pytest.raises(CatalogueError, match=r"t\.json is no orbit catalogue: 0 of its entries"):
        read_orbits(file("t.json", text))


def test_entries_of_another_shape_cost_themselves_only(file: Callable[..., Path]) -> None:
    names = list(CERES_SBDB)
    good = list(CERES_SBDB.values())
    huge = json.loads("9" * 4000)
    odd = [7, None, "row", {"e": 1}, [], [huge] * len(names), [{}] * len(names)]
    text = json.dumps({"fields": names, "data": [good] * 5 + odd + [good] * 5})
    orbits = read_orbits(file("sbdb.json", text))
    assert len(orbits) == 10
    assert [bad.number for bad in orbits.failures] == list(range(6, 6 + len(odd)))
    assert all(len(str(bad)) < 300 for bad in orbits.failures)


@pytest.mark.parametrize("byte", [b"\0", b" ", b"\n", b"x\n"])
def test_a_bomb_of_blanks_is_no_catalogue(tmp_path: Path, byte: bytes) -> None:
    with gzip.open(tmp_path / "bomb.dat.gz", "wb") as stream:
        for _ in range(100):
            stream.write(byte * (1_000_000 // len(byte)))
    with pytest.raises(CatalogueError, match=r"cannot read the orbit catalogue .* times its size"):
        read_orbits(tmp_path / "bomb.dat.gz")


@pytest.mark.parametrize("line", [b"x\n", b"\n", b" " * 300 + b"\n"])
def test_millions_of_lines_of_nothing_are_refused_soon(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "lines.dat").write_bytes(line * (10_000_000 // len(line)))
    with pytest.raises(CatalogueError, match="no orbit catalogue in MPCORB columns") as told:
        read_orbits(tmp_path / "lines.dat")
    looked_at = re.search(r"0 of its (\d+) lines", str(told.value))
    assert looked_at is not None
    assert int(looked_at[1]) <= 100_000


def test_a_compact_catalogue_that_unpacks_to_far_more_is_refused(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    write_catalogue(read_orbits(file("m.dat", CERES + "\n")), tmp_path / "own.npz", {})
    with np.load(tmp_path / "own.npz") as kept:
        columns = dict(kept)
    columns["h_mag"] = np.zeros(20_000_000)
    np.savez_compressed(tmp_path / "bomb.npz", **columns)
    with pytest.raises(CatalogueError, match=r"no whole catalogue .*it unpacks to 160 MB"):
        read_orbits(tmp_path / "bomb.npz")
    columns["h_mag"] = np.array(["x"], dtype="U5")
    np.savez(tmp_path / "texts.npz", **columns)
    with pytest.raises(CatalogueError, match="h_mag is no column of numbers"):
        read_orbits(tmp_path / "texts.npz")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A small server of files; ``/to/ADDRESS`` leads to another address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "www"), **kwargs)  # type: ignore[arg-type, misc]

        def do_GET(self) -> None:
            if self.path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to/"))
                self.end_headers()
            elif self.path.startswith("/endless"):
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(bytes(1 << 16))
            elif self.path.startswith("/short"):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"half")
            else:
                super().do_GET()

        def log_message(self, *args: object) -> None:
            pass

    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "m.dat").write_text(CERES + "\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


def test_a_download_keeps_its_hash_beside_it(server: str, own_cache: Path) -> None:
    content = (CERES + "\n").encode()
    expected = hashlib.sha256(content).hexdigest()
    path = download(f"{server}/m.dat?x=../../y", allow_http=True, sha256=expected.upper())
    assert path == own_cache / "downloads" / "m.dat"
    assert path.read_bytes() == content
    assert (own_cache / "downloads" / "m.dat.sha256").read_text() == f"{expected}  m.dat\n"
    with pytest.raises(CatalogueError, match=f"has the SHA-256 {expected}, expected 00"):
        download(f"{server}/m.dat", allow_http=True, sha256="00" * 32)


@pytest.mark.parametrize(
    ("address", "more", "reason"),
    [
        ("{server}/m.dat", {}, r"must begin with https://; .*--allow-http"),
        ("file:///etc/hostname", {"allow_http": True}, "must begin with https or http://"),
        ("ftp://127.0.0.1/m.dat", {"allow_http": True}, "must begin with https or http://"),
        ("{server}/to/file:///etc/hostname", {"allow_http": True}, "is not allowed"),
        ("{server}/to/ftp://127.0.0.1/x", {"allow_http": True}, "must begin with https or http"),
        ("{server}/endless", {"allow_http": True, "max_bytes": 10**6}, "is larger than 1 MB"),
        ("{server}/short", {"allow_http": True}, "was cut short|cannot download"),
        ("{server}/missing.dat", {"allow_http": True}, "cannot download .*404"),
    ],
)
def test_downloads_that_are_not_taken(
    server: str, own_cache: Path, address: str, more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CatalogueError, match=reason):
        download(address.format(server=server), **more)
    assert [p.name for p in (own_cache / "downloads").rglob("*")] == [] or not own_cache.exists()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://x.org/a/MPCORB.DAT.gz", "MPCORB.DAT.gz"),
        ("https://x.org/a/..", "orbits"),
        ("https://x.org/", "orbits"),
        ("https://x.org/.bashrc", "bashrc"),
        ("https://x.org/a%2F..%2Fb\x1b.dat", "a_2F.._2Fb_.dat"),
    ],
)
def test_an_address_names_a_file_in_the_folder_and_no_other(address: str, name: str) -> None:
    assert update_module._file_name(address) == name


def test_update_shows_and_keeps_the_hash(server: str, own_cache: Path) -> None:
    expected = hashlib.sha256((CERES + "\n").encode()).hexdigest()
    ask = ["update", "--url", f"{server}/m.dat"]
    result = CliRunner().invoke(app, ask)
    assert result.exit_code != 0
    assert "must begin with https://" in str(result.exception)
    result = CliRunner().invoke(app, [*ask, "--allow-http"])
    assert result.exit_code == 0, result.output
    assert f"m.dat: SHA-256 {expected}" in result.output
    notes = catalogue_notes(own_cache / "orbits.npz")
    assert notes["sha256"] == [expected]
    assert notes["urls"] == [f"{server}/m.dat"]
    result = CliRunner().invoke(app, [*ask, "--allow-http", "--max-size", "0.001"])
    assert result.exit_code == 0, result.output  # 203 bytes
    result = CliRunner().invoke(app, [*ask, "--allow-http", "--json"])
    assert json.loads(result.stdout)["sha256"] == {"m.dat": expected}


@pytest.mark.parametrize(
    ("parts", "orbits", "bad"),
    [
        (("mpcorb_far", "far.dat"), 9, 0),
        (("mpcorb-bad-date", "bd.dat"), 49, 1),
    ],
)
def test_shared_catalogues_are_read(
    real_data: Callable[..., Path], parts: tuple[str, str], orbits: int, bad: int
) -> None:
    found = read_orbits(real_data("..", "cases", *parts))
    assert (len(found), len(found.failures)) == (orbits, bad)


@pytest.mark.parametrize("name", ["orb_json_bigint.json", "orb_json_sbdb2.json"])
def test_shared_json_of_another_shape_is_refused(real_data: Callable[..., Path], name: str) -> None:
    with pytest.raises(CatalogueError, match="is no orbit catalogue"):
        read_orbits(real_data("..", "cases", "sbdb-json", name))


@pytest.mark.parametrize("command", ["query", "check", "satellites"])
def test_unknown_observatories_are_refused_before_any_work(tmp_path: Path, command: str) -> None:
    # The other files do not exist: the code is looked at first.
    missing = str(tmp_path / "missing")
    rest = {
        "query": ["10", "20", "--time", "2020-01-01", "--orbits", missing],
        "check": [missing, "-o", str(tmp_path / "o.ecsv"), "--orbits", missing],
        "satellites": [missing, "-o", str(tmp_path / "o.ecsv"), "--tle", missing],
    }
    result = CliRunner().invoke(app, [command, *rest[command], "--observatory", "XYZ"])
    assert result.exit_code != 0
    assert "observatory code 'XYZ' is unknown" in str(result.exception)


@pytest.mark.parametrize(("days", "stale"), [(10.0, False), (29.9, False), (30.1, True)])
def test_a_catalogue_ages_by_the_day(
    file: Callable[..., Path], tmp_path: Path, days: float, stale: bool
) -> None:
    now = datetime.now(UTC)
    orbits = read_orbits(file("m.dat", CERES + "\n"))
    orbits = replace(orbits, epoch_jd=np.array([Time(now).jd + 50.0]))
    path = tmp_path / "own.npz"
    write_catalogue(orbits, path, {"made": (now - timedelta(days=days)).isoformat()})
    age = catalogue_age(path, orbits)
    assert age is not None
    assert age.made_days == pytest.approx(days, abs=0.01)
    assert age.epoch_days == pytest.approx(50.0, abs=0.01)
    assert age.is_stale == stale
    assert ("it is stale" in str(age)) == stale
    for made in ("yesterday", 5, None):
        write_catalogue(orbits, path, {"made": made})
        assert catalogue_age(path, orbits) is None


def test_a_night_from_disk_is_the_night_that_was_put_there(
    file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orbits = read_orbits(file("m.dat", CERES + "\n"))
    plain = TwoBody().states(orbits, 2461010.5)
    # A small catalogue is followed faster than it is looked up, and without a folder none is kept.
    for folder in (tmp_path, None):
        states_of_night(TwoBody(), orbits, 2461010.5, folder)
        assert not (tmp_path / "nights").exists()
    monkeypatch.setattr(cache_module, "_WORTH_KEEPING", 1)
    states_of_night(TwoBody(), orbits, 2461010.5, None)
    assert not (tmp_path / "nights").exists()
    for _ in range(2):
        position, velocity = states_of_night(TwoBody(), orbits, 2461010.5, tmp_path)
        assert np.array_equal(position, plain[0])
        assert np.array_equal(velocity, plain[1])
        assert len(list((tmp_path / "nights").glob("*.npy"))) == 1


def test_things_are_kept_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for name in ("STREAKS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_module.cache_folder() == Path("/home/someone/.cache/streaks")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/x")
    assert cache_module.cache_folder() == Path("/var/x/streaks")
    monkeypatch.setenv("STREAKS_CACHE", "/var/own")
    assert cache_module.cache_folder() == Path("/var/own")


def test_detect_refuses_an_unknown_observatory_before_it_searches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_ztf_frame(tmp_path)
    asked = ["detect", str(image), "-o", str(tmp_path / "s.ecsv"), "--observatory", "XYZ"]
    assert main(asked) == 2
    assert "observatory code 'XYZ' is unknown" in capsys.readouterr().err
    assert not (tmp_path / "s.ecsv").exists()


def test_a_number_that_is_null_is_said_in_words(file: Callable[..., Path]) -> None:
    good = ["1", 2461000.5, 0.08, 2.77, 10.6, 80.2, 73.2, 188.7]
    fields = ["pdes", "epoch", "e", "a", "i", "om", "w", "ma"]
    rows = [good, [*good[:1], None, *good[2:]], good]
    orbits = read_orbits(file("t.json", json.dumps({"fields": fields, "data": rows})))
    assert len(orbits) == 2
    assert orbits.failures[0].reason == "a number is missing, or of another kind"
