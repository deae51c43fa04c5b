"""Tables from files, whatever wrote them, to one `QTable`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from astropy.table import QTable

from streaks.arrow import arrow_to_table
from streaks.errors import ReadError, StreaksError

__all__ = ["read_table"]

_FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
    ".vot": "votable",
    ".xml": "votable",
    ".fits": "fits",
}


def read_table(path: str | os.PathLike[str]) -> QTable:
    """A table of ``.ecsv .csv .parquet .vot .fits``.

    Units come back from all but CSV, which has none. Missing numbers are NaN, missing text is
    empty.

    Raises
    ------
    ReadError
        If the file is missing, empty, of another kind, or not what its suffix says.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix != ".parquet" and suffix not in _FORMATS:
        known = " ".join([*_FORMATS, ".parquet"])
        raise ReadError(f"{path} is no table that is known; expected one of {known}")
    if not path.is_file():
        raise ReadError(f"{path} does not exist; check the name")
    if path.stat().st_size == 0:
        raise ReadError(f"{path} is empty (0 bytes); make it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read_parquet(path) if suffix == ".parquet" else _read_astropy(path, suffix)
    except StreaksError:
        raise
    except Exception as error:
        # Each format's library raises its own kinds for a damaged file.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ReadError(f"{path} cannot be read as {suffix[1:]}: {reason}") from None


def _read_parquet(path: Path) -> QTable:
    import pyarrow.parquet

    return arrow_to_table(pyarrow.parquet.read_table(path))


def _read_astropy(path: Path, suffix: str) -> QTable:
    table = QTable.read(path, format=_FORMATS[suffix])
    for name in table.colnames:
        column = table[name]
        kind = getattr(getattr(column, "dtype", None), "kind", "")
        if kind == "S":
            table[name] = column.astype(str)
        if hasattr(table[name], "filled"):
            fill = {"f": float("nan"), "U": "", "O": ""}.get(table[name].dtype.kind)
            table[name] = table[name].filled(fill) if fill is not None else table[name].filled()
    return table
