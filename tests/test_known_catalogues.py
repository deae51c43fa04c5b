"""Orbit catalogues of every form, the compact one, and what is kept on disk."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.time import Time
from typer.testing import CliRunner

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
    near,
    predict,
    prepare_night,
    read_orbits,
    write_catalogue,
)
from streaks.known import cache as cache_module
from streaks.known.cache import states_of_night
from streaks.known.dynamics import catalogue_error_arcsec

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
    with pytest.raises(CatalogueError, match="cannot download file:///nowhere"):
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
