"""Tables leave in the format of their suffix, whole or not at all."""

import csv
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.io.votable.ucd import parse_ucd
from astropy.table import MaskedColumn, QTable

from streaks.arrow import arrow_to_table
from streaks.errors import ConfigError, InputError
from streaks.readers import read_table
from streaks.reporting import TABLE_SUFFIXES, table_suffix, write_table
from streaks.reporting.ucds import UCDS
from streaks.tables import STREAK_COLUMNS, empty_streaks, order_columns
from tests.made_streaks import SEGMENTS, made_streaks

ROOT = Path(__file__).resolve().parents[1]
ASTROPY = {".ecsv": "ascii.ecsv", ".vot": "votable", ".fits": "fits"}


@pytest.fixture
def streaks():
    table = made_streaks(SEGMENTS)
    table.meta.update(observatory="I41", band="r")
    return table


@pytest.mark.parametrize("suffix", ASTROPY)
def test_numbers_text_and_units_survive(streaks, tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(streaks, path)
    back = QTable.read(path, format=ASTROPY[suffix])
    assert back.colnames == [c for c in back.colnames if c in streaks.colnames]
    assert len(back.colnames) == len(streaks.colnames)
    for name in ("x0", "pa", "rate", "mag", "flux"):
        assert back[name].unit == streaks[name].unit
        np.testing.assert_array_equal(back[name].value, streaks[name].value)
    assert [_text(v) for v in back["label"]] == [str(v) for v in streaks["label"]]


def test_parquet_comes_back_whole(streaks, tmp_path):
    write_table(streaks, tmp_path / "t.parquet")
    back = arrow_to_table(pq.read_table(tmp_path / "t.parquet"))
    assert back["ra"].unit == u.deg
    assert back["x0"].info.description == streaks["x0"].info.description
    np.testing.assert_array_equal(back["ssdistnr"], streaks["ssdistnr"])


def test_csv_holds_the_shortest_exact_numbers(streaks, tmp_path):
    write_table(streaks, tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [float(row["ra"]) for row in rows] == list(streaks["ra"].value)
    assert rows[0]["time"] == "2018-04-12T07:31:22.500"
    assert rows[0]["ssdistnr"] == "0.0"


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_csv_text_is_never_run_as_a_formula(streaks, tmp_path, start):
    streaks["image"] = [f"{start}cmd|' /C calc'!A0"] * len(streaks)
    write_table(streaks, tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert all(row["image"].startswith("'" + start) for row in rows)
    assert float(rows[1]["ssdistnr"]) == -999


def test_json_has_null_for_unknown_numbers(streaks, tmp_path):
    streaks["mag"][0] = np.nan * u.mag
    streaks["flux"][1] = np.inf * u.ct
    write_table(streaks, tmp_path / "t.json")
    records = json.loads((tmp_path / "t.json").read_text())
    assert records[0]["mag"] is None
    assert records[1]["flux"] is None
    assert records[0]["x0"] == 100.0
    assert records[0]["flags"] == 0


def test_masked_values_are_empty_or_null(tmp_path):
    table = QTable({"a": MaskedColumn([1, 2], mask=[True, False])})
    write_table(table, tmp_path / "t.json")
    write_table(table, tmp_path / "t.csv")
    assert json.loads((tmp_path / "t.json").read_text()) == [{"a": None}, {"a": 2}]
    assert [row["a"] for row in csv.DictReader((tmp_path / "t.csv").open())] == ["", "2"]


def test_columns_leave_in_the_contracts_order_with_others_behind(streaks, tmp_path):
    shuffled = streaks[sorted(streaks.colnames, reverse=True)]
    shuffled["my_own"] = np.arange(len(shuffled))
    write_table(shuffled, tmp_path / "t.csv")
    header = (tmp_path / "t.csv").read_text().split("\n")[0].split(",")
    assert header[:6] == ["streak_id", "image", "x0", "y0", "x1", "y1"]
    assert header.index("label") < header.index("ssdistnr") < header.index("along0_err")
    assert header[-1] == "my_own"


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
def test_nothing_found_is_written_in_every_format(tmp_path, suffix):
    path = tmp_path / f"none{suffix}"
    write_table(empty_streaks(), path)
    assert path.stat().st_size > 0


@pytest.mark.parametrize("suffix", ASTROPY)
def test_nothing_found_keeps_its_columns(tmp_path, suffix):
    write_table(empty_streaks(), tmp_path / f"none{suffix}")
    back = QTable.read(tmp_path / f"none{suffix}", format=ASTROPY[suffix])
    assert back.colnames == [spec.name for spec in STREAK_COLUMNS]


def test_fits_takes_text_that_is_not_ascii(streaks, tmp_path):
    streaks["image"] = ["σ Ori ☄"] * len(streaks)
    write_table(streaks, tmp_path / "t.fits")
    back = QTable.read(tmp_path / "t.fits")
    assert _text(back["image"][0]) == r"\u03c3 Ori \u2604"


def test_the_given_table_is_not_changed(streaks, tmp_path):
    before = streaks.copy()
    for suffix in TABLE_SUFFIXES:
        write_table(streaks, tmp_path / f"t{suffix}")
    assert streaks.meta == before.meta
    assert streaks.colnames == before.colnames
    assert list(streaks["image"]) == list(before["image"])


def test_an_unknown_suffix_is_refused_with_the_known_ones(streaks, tmp_path):
    with pytest.raises(
        ConfigError, match=r"suffix \.xlsx names no table format; use one of \.ecsv"
    ):
        write_table(streaks, tmp_path / "t.xlsx")
    with pytest.raises(ConfigError, match=r"suffix \(none\) names no table format"):
        table_suffix("table")


def test_the_suffix_may_be_in_capitals(streaks, tmp_path):
    write_table(streaks, tmp_path / "T.CSV")
    assert (tmp_path / "T.CSV").read_text().startswith("streak_id,")


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(streaks, tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    path.write_text("old")

    def full_disk(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(InputError, match=r"cannot write .*t\.json: No space left on device"):
        write_table(streaks, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["t.json"]


def test_folders_above_are_made(streaks, tmp_path):
    write_table(streaks, tmp_path / "a" / "b" / "t.csv")
    assert (tmp_path / "a" / "b" / "t.csv").is_file()


def test_a_place_that_cannot_be_written_is_named(streaks, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*choose another place"):
        write_table(streaks, tmp_path / "file" / "t.csv")


def test_results_are_readable_by_others(streaks, tmp_path):
    write_table(streaks, tmp_path / "t.csv")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "t.csv").stat().st_mode & 0o777 == 0o666 & ~mask


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("suffix", [".parquet", ".ecsv", ".vot", ".fits"])
def test_astropy_opens_it_without_being_told_how(streaks, tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(streaks, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = QTable.read(path)
    assert back.colnames == order_columns(streaks).colnames
    for name in ("x0", "pa", "rate", "mag", "flux"):
        assert back[name].unit == streaks[name].unit, name
        np.testing.assert_array_equal(back[name].value, streaks[name].value)
        assert back[name].info.description == streaks[name].info.description
    assert [_text(v) for v in back["label"]] == [str(v) for v in streaks["label"]]


def test_astropy_opens_parquet_of_nothing_found(tmp_path):
    write_table(empty_streaks(), tmp_path / "t.parquet")
    back = QTable.read(tmp_path / "t.parquet")
    assert len(back) == 0
    assert back["rate"].unit == u.arcsec / u.s


def test_parquet_is_written_and_read_without_pandas(tmp_path):
    """Arrow imports it when it is handed other than its own, and half a second goes by."""
    code = f"""
import sys
import numpy as np
from astropy.table import MaskedColumn
from streaks.readers import read_table
from streaks.reporting import write_table
from tests.made_streaks import SEGMENTS, made_streaks
table = made_streaks(SEGMENTS)
table["seen"] = np.arange(len(table)) > 1
table["known"] = MaskedColumn(np.arange(len(table)) > 2, mask=np.arange(len(table)) == 1)
write_table(table, {str(tmp_path / "t.parquet")!r})
back = read_table({str(tmp_path / "t.parquet")!r})
assert back["seen"].tolist() == table["seen"].tolist()
assert back["known"].tolist() == table["known"].filled(False).tolist()
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_votable_and_fits_pass_the_strictest_check(streaks, tmp_path):
    write_table(streaks, tmp_path / "t.vot")
    write_table(streaks, tmp_path / "t.fits")
    votable.parse(tmp_path / "t.vot", verify="exception")
    with fits.open(tmp_path / "t.fits") as hdus:
        hdus.verify("exception")


def test_columns_carry_ucds_for_topcat(streaks, tmp_path):
    write_table(streaks, tmp_path / "t.vot")
    write_table(streaks, tmp_path / "t.fits")
    table = votable.parse_single_table(tmp_path / "t.vot")
    assert {f.name: f.ucd for f in table.fields}["ra"] == "pos.eq.ra;meta.main"
    header = fits.getheader(tmp_path / "t.fits", 1)
    names = {header[f"TTYPE{k}"]: k for k in range(1, header["TFIELDS"] + 1)}
    assert header[f"TUCD{names['rate']}"] == "pos.pm"
    assert header[f"TUNIT{names['rate']}"] == "arcsec s-1"
    assert "TUCD1" not in read_table(tmp_path / "t.fits").meta


@pytest.mark.parametrize("name", UCDS)
def test_ucds_are_words_of_the_vocabulary(name):
    parse_ucd(UCDS[name], check_controlled_vocabulary=True)


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)"])
def test_a_columns_name_is_never_run_as_a_formula(tmp_path, name):
    write_table(QTable({name: [1.0]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().startswith(f"'{name}")


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
@pytest.mark.parametrize("text", ["a\x1b[31mb\x07", "a\udce9b", "a\ufffeb", "a\0b"])
def test_texts_that_no_file_can_hold_are_written_in_words(streaks, tmp_path, suffix, text):
    streaks["ssnamenr"] = np.array([text] * len(streaks))
    streaks["streak_id"] = np.array([f"{text}{k}" for k in range(len(streaks))])
    streaks["more"] = MaskedColumn(
        [text] * len(streaks), mask=[True] + [False] * (len(streaks) - 1)
    )
    path = tmp_path / f"t{suffix}"
    write_table(streaks, path)
    assert not any(byte in path.read_bytes() for byte in (b"\x1b[31m", b"a\0b"))
    if suffix in (".ecsv", ".vot", ".fits", ".parquet"):
        back = QTable.read(path)
        plain = text.encode("ascii", "backslashreplace").decode()
        plain = plain.replace("\x1b", "\\x1b").replace("\x07", "\\x07").replace("\0", "\\x00")
        assert _text(back["ssnamenr"][1]) == plain
    if suffix == ".ecsv":
        assert back["more"].mask.tolist() == [True] + [False] * (len(streaks) - 1)
    assert streaks["ssnamenr"][0] == text
