"""Tables to files, one format a suffix."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, MaskedColumn, QTable

from streaks.disk import open_regular, written_whole
from streaks.errors import ConfigError
from streaks.reporting.ades import AdesContext, ades_psv
from streaks.reporting.regions import ds9_regions
from streaks.reporting.ucds import UCDS
from streaks.tables import order_columns, without_formula

__all__ = ["TABLE_SUFFIXES", "table_suffix", "write_table"]


def table_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix of a table's path, lower case, when it names a format that can be written.

    Commands call this before they begin, so that hours of work do not end at a misspelt name.

    Parameters
    ----------
    path
        Of the table to be.

    Returns
    -------
    str
        As ``.parquet``.

    Raises
    ------
    ConfigError
        For a suffix that names no format (the message lists those that do), no name at all, or
        an image that is there already.
    """
    suffix = Path(path).suffix.lower()
    if not Path(path).name:
        raise ConfigError("the table to write has an empty name; give one, such as streaks.ecsv")
    if suffix not in _WRITERS:
        raise ConfigError(
            f"{Path(path).name}: the suffix {suffix or '(none)'} names no table format; "
            f"use one of {' '.join(TABLE_SUFFIXES)}"
        )
    if suffix == ".fits" and _holds_an_image(Path(path)):
        raise ConfigError(f"{path} holds an image, which is not written over; give another name")
    return suffix


def _holds_an_image(path: Path) -> bool:
    """Whether what is there is a FITS file of pixels, which none of our tables is."""
    from astropy.io import fits

    try:
        with open_regular(path) as file, fits.open(file) as hdus:
            return any(hdu.is_image and bool(hdu.shape) for hdu in hdus)
    except Exception:
        # Nothing there, or nothing that can be read as FITS: as any other file.
        return False


def write_table(
    table: QTable, path: str | os.PathLike[str], *, ades: AdesContext | None = None
) -> None:
    """Write a table in the format of its suffix, whole or not at all.

    Columns go out in the contract's order. Units and descriptions are kept by ``.ecsv``,
    ``.parquet`` (field metadata, and the header that `astropy.table.QTable.read` knows), ``.vot``
    and ``.fits``, the last two with UCDs for TOPCAT and Aladin. ``.csv`` and ``.json`` hold bare
    values in the contract's units, with unknown numbers as ``nan`` and ``null``. In ``.csv`` a text
    that a spreadsheet would run as a formula gets an apostrophe before it. ``.reg`` holds DS9
    regions (see `ds9_regions`), ``.psv`` ADES observations (see `ades_psv`), ``.sqlite`` tables
    ``rows`` and ``columns`` (name, unit, description).

    Parameters
    ----------
    table
        Any table; ``.reg`` and ``.psv`` need a table of streaks.
    path
        An existing file is replaced.
    ades
        What an ADES file says of observer and telescope.

    Raises
    ------
    ConfigError
        For a suffix that names no format.
    TableError
        When the table lacks what ``.reg`` or ``.psv`` need.
    InputError
        When the place cannot be written to.
    """
    suffix = table_suffix(path)
    ordered = _with_plain_texts(order_columns(table))
    text = ades_psv(ordered, ades) if suffix == ".psv" else None
    with written_whole(path) as part:
        if text is not None:
            part.write_text(text, encoding="utf-8")
        else:
            _WRITERS[suffix](ordered, part)


#: No XML may hold these characters, no UTF-8 the last ones.
_UNWRITABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ufffe\\uffff\\ud800-\\udfff]")


def _with_plain_texts(table: QTable) -> QTable:
    """The table with characters that no text file holds written as ``\\\\x1b``."""
    changed: dict[str, list[str]] = {}
    for name in table.colnames:
        if getattr(table[name], "dtype", np.dtype("O")).kind == "U":
            texts = [str(text) for text in np.ma.getdata(np.ma.asarray(table[name]))]
            plain = [_UNWRITABLE.sub(_escaped, text) for text in texts]
            if plain != texts:
                changed[name] = plain
    if not changed:
        return table
    table = table.copy()
    for name, plain in changed.items():
        old = table[name]
        new = Column(plain, description=old.info.description, meta=old.info.meta)
        mask = getattr(old, "mask", None)
        table.replace_column(name, new if mask is None else MaskedColumn(new, mask=mask))
    return table


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _write_ecsv(table: QTable, path: Path) -> None:
    table.write(path, format="ascii.ecsv", overwrite=True)


def _write_csv(table: QTable, path: Path) -> None:
    columns = [_bare(table[name]) for name in table.colnames]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([_csv_cell(name) for name in table.colnames])
        writer.writerows([_csv_cell(value) for value in row] for row in zip(*columns, strict=True))


def _write_parquet(table: QTable, path: Path) -> None:
    import pyarrow.parquet as pq

    from streaks.arrow import table_to_arrow

    # Arrow takes no path that is not UTF-8.
    with path.open("wb") as file:
        pq.write_table(table_to_arrow(table), file, compression="zstd")


def _write_votable(table: QTable, path: Path) -> None:
    plain = _without_meta(table)
    for name in plain.colnames:
        if name in UCDS:
            plain[name].info.meta = {"ucd": UCDS[name]}
    plain.write(path, format="votable", overwrite=True)


def _write_fits(table: QTable, path: Path) -> None:
    plain = _without_meta(table)
    for name in plain.colnames:
        if plain[name].dtype.kind == "U":
            # FITS text is ASCII; what is not stays readable as an escape.
            ascii_text = [str(v).encode("ascii", "backslashreplace").decode() for v in plain[name]]
            plain.replace_column(name, plain[name].__class__(ascii_text, dtype=str))
    plain.write(path, format="fits", overwrite=True)
    _add_ucds(path, plain.colnames)


def _add_ucds(path: Path, names: list[str]) -> None:
    """Cards that TOPCAT reads beside TTYPE and TUNIT; the FITS standard has none for this."""
    from astropy.io import fits

    with fits.open(path, mode="update") as hdus:
        header = hdus[1].header
        for number, name in enumerate(names, start=1):
            if name in UCDS:
                header.set(f"TUCD{number}", UCDS[name], after=f"TFORM{number}")


def _write_regions(table: QTable, path: Path) -> None:
    path.write_text(ds9_regions(table), encoding="utf-8")


def _write_json(table: QTable, path: Path) -> None:
    columns = {name: _bare(table[name]) for name in table.colnames}
    records = [
        {name: _json_value(values[i]) for name, values in columns.items()}
        for i in range(len(table))
    ]
    path.write_text(json.dumps(records, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_sqlite(table: QTable, path: Path) -> None:
    """The rows, and in ``columns`` what each column is; unknown numbers are NULL."""
    import sqlite3

    from streaks.arrow import SCHEMA_VERSION

    kinds = {"f": "REAL", "i": "INTEGER", "u": "INTEGER", "b": "INTEGER"}
    names = ['"' + name.replace('"', '""') + '"' for name in table.colnames]
    columns = [_bare(table[name]) for name in table.colnames]
    declared = ", ".join(
        f"{name} {kinds.get(column.dtype.kind, 'TEXT')}"
        for name, column in zip(names, columns, strict=True)
    )
    about = [
        (name, str(getattr(table[name], "unit", None) or ""), table[name].info.description or "")
        for name in table.colnames
    ]
    rows = ([_json_value(value) for value in row] for row in zip(*columns, strict=True))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE rows ({declared})")
        database.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * len(names))})", rows)
        database.execute("CREATE TABLE columns (name TEXT, unit TEXT, description TEXT)")
        database.executemany("INSERT INTO columns VALUES (?, ?, ?)", about)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _write_nothing(table: QTable, path: Path) -> None:
    raise AssertionError("ADES text is made before the file is opened")


def _without_meta(table: QTable) -> QTable:
    """A copy without ``meta``, which these formats cannot hold or would warn about."""
    plain = table.copy()
    plain.meta.clear()
    return plain


def _bare(column: Any) -> Any:
    """A column's values without its unit."""
    if isinstance(column, u.Quantity):
        return column.value
    return column if isinstance(column, np.ma.MaskedArray) else np.asarray(column)


def _csv_cell(value: Any) -> Any:
    if np.ma.is_masked(value):
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return without_formula(value)
    # repr of numpy's float64 names its type; that of Python's float is the shortest exact text.
    return value.item() if isinstance(value, np.generic) else value


def _json_value(value: Any) -> Any:
    if np.ma.is_masked(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


_WRITERS: Mapping[str, Callable[[QTable, Path], None]] = {
    ".ecsv": _write_ecsv,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".vot": _write_votable,
    ".fits": _write_fits,
    ".reg": _write_regions,
    ".psv": _write_nothing,
    ".json": _write_json,
    ".sqlite": _write_sqlite,
}
#: Every suffix that `write_table` knows.
TABLE_SUFFIXES = tuple(_WRITERS)
