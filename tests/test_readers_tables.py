"""Tables from files, whatever wrote them."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from streaks.errors import ReadError
from streaks.readers import read_table
from streaks.reporting import write_table


def table() -> QTable:
    return QTable(
        {
            "name": np.array(["a", "", "c"]),
            "x": np.array([1.5, np.nan, -3.0]) * u.pix,
            "n": np.array([1, 2, 3]),
        }
    )


@pytest.mark.parametrize("suffix", [".ecsv", ".parquet", ".vot", ".fits", ".csv"])
def test_what_was_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    write_table(table(), path)
    back = read_table(path)
    assert [str(name) for name in back["name"]] == ["a", "", "c"]
    assert [int(n) for n in back["n"]] == [1, 2, 3]
    x = back["x"] if suffix == ".csv" else back["x"].to_value("pix")
    np.testing.assert_array_equal(np.asarray(x, dtype=float), [1.5, np.nan, -3.0])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _damaged(path: Path) -> None:
    path.write_bytes(b"PAR1 and then nothing of use")


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("none.csv", None, "does not exist"),
        ("table.docx", _empty, "no table that is known; expected one of .ecsv"),
        ("table.ecsv", _empty, "is empty"),
        ("table.parquet", _damaged, "cannot be read as parquet"),
        ("table.fits", _damaged, "cannot be read as fits"),
        ("table.vot", _damaged, "cannot be read as vot"),
    ],
)
def test_a_bad_table_is_named(tmp_path: Path, name: str, make, words: str) -> None:
    path = tmp_path / name
    if make is not None:
        make(path)
    with pytest.raises(ReadError, match=words):
        read_table(path)
