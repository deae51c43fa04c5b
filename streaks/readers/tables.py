"""Tables from files, whatever wrote them, to one `QTable`.

Astropy's readers do more than read a table: they unpack what is packed, fetch what a VOTable's
stream points to, follow entities, and build what a header asks for. What a table of streaks or
alerts never has is refused before they see it.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.table import QTable

from streaks.arrow import arrow_to_table
from streaks.disk import Limits, open_regular
from streaks.errors import ReadError, StreaksError

__all__ = ["read_table"]

_FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
    ".vot": "votable",
    ".xml": "votable",
    ".fits": "fits",
}
#: A full catalogue of alerts of a year takes less; larger files are for databases.
_LIMITS = Limits(max_bytes=1 << 30)
#: Ours have fifty, ZTF's alerts a hundred.
_MAX_COLUMNS = 2000
#: Values of a table that are held at once.
_MAX_VALUES = 200_000_000
#: Letters of one cell's text, as a VOTable's field promises them; room for so many is made.
_MAX_TEXT = 10_000
#: Things within a header's ``meta``, counted along every path: an alias of YAML is one each time.
_MAX_META = 100_000
#: What astropy would unpack on the way, by its first bytes.
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x1f\x9d")


def read_table(path: str | os.PathLike[str]) -> QTable:
    """A table of ``.ecsv .csv .parquet .vot .fits``.

    Units come back from all but CSV, which has none. Missing numbers are NaN, missing text is
    empty.

    Parameters
    ----------
    path
        Its suffix is the format; the file is not packed.

    Returns
    -------
    QTable

    Raises
    ------
    ReadError
        If the file is missing, empty, of another kind, not what its suffix says, or larger than
        any table of ours.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not os.path.lexists(path):
        raise ReadError(f"{path} does not exist; check the name")
    if suffix != ".parquet" and suffix not in _FORMATS:
        known = " ".join([*_FORMATS, ".parquet"])
        raise ReadError(f"{path} is no table that is known; expected one of {known}")
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
    if size == 0:
        raise ReadError(f"{path} is empty (0 bytes); make it again")
    _LIMITS.check(size, size, str(path))
    if start.startswith(_PACKED):
        raise ReadError(f"{path} is packed; unpack it first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = _read_parquet(path) if suffix == ".parquet" else _read_astropy(path, suffix)
    except StreaksError:
        raise
    except Exception as error:
        # Each format's library raises its own kinds for a damaged file.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ReadError(f"{path} cannot be read as {suffix[1:]}: {reason}") from None
    _check_meta(table.meta, path)
    return table


def _read_parquet(path: Path) -> QTable:
    import pyarrow.parquet as pq

    with open_regular(path) as file:
        held = pq.ParquetFile(
            file, thrift_string_size_limit=1 << 26, thrift_container_size_limit=1 << 20
        )
        about = held.metadata
        unpacked = sum(about.row_group(k).total_byte_size for k in range(about.num_row_groups))
        _LIMITS.check(unpacked, unpacked, str(path))
        if about.num_columns > _MAX_COLUMNS or about.num_rows * about.num_columns > _MAX_VALUES:
            raise ReadError(
                f"{path} has {about.num_rows} rows of {about.num_columns} columns; split it"
            )
        return arrow_to_table(held.read(use_threads=False))


def _read_astropy(path: Path, suffix: str) -> QTable:
    check = {"votable": _check_votable, "fits": _check_fits}.get(_FORMATS[suffix], _check_text)
    check(path)
    table = QTable.read(path, format=_FORMATS[suffix])
    for name in table.colnames:
        column = table[name]
        kind = getattr(getattr(column, "dtype", None), "kind", "")
        if kind == "S":
            table[name] = column.astype(str)
        if hasattr(table[name], "filled"):
            fill = {"f": float("nan"), "U": "", "O": ""}.get(table[name].dtype.kind)
            table[name] = table[name].filled(fill) if fill is not None else table[name].filled()
    for word in [w for w in table.meta if re.fullmatch(r"TUCD\d+", str(w))]:
        del table.meta[word]
    return table


def _check_text(path: Path) -> None:
    """Refuse text of more columns than any table has, or with a header that is a book."""
    with open_regular(path) as file:
        header = 0
        while line := file.readline(_MAX_COLUMNS * 256):
            if not line.startswith(b"#") and line.strip():
                break
            header += len(line)
            if header > 1 << 20:
                raise ReadError(f"{path} has a header of more than 1 MB; this is no table of ours")
    if not line.endswith(b"\n") and len(line) >= _MAX_COLUMNS * 256:
        raise ReadError(f"{path} has a first line of more than {len(line)} bytes")
    if len(re.findall(rb"[,\s;|]", line)) > _MAX_COLUMNS:
        raise ReadError(f"{path} has more than {_MAX_COLUMNS} columns; this is no table of ours")


def _check_votable(path: Path) -> None:
    """Refuse a VOTable that points elsewhere, defines entities, or promises endless cells."""
    with open_regular(path) as file:
        content = file.read(_LIMITS.max_bytes)
    if b"\0" in content:
        raise ReadError(f"{path} is no VOTable in UTF-8; write it again in that encoding")
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", content, re.IGNORECASE):
        raise ReadError(f"{path} defines its own document type, which is not read")
    # A stream elsewhere would be fetched, from the network or from any file.
    if re.search(rb"<\s*(\w+:)?STREAM\b[^>]*\bhref", content, re.IGNORECASE):
        raise ReadError(f"{path} keeps its data elsewhere (STREAM href), which is not fetched")
    fields = re.findall(rb"<\s*(?:\w+:)?(?:FIELD|PARAM)\b[^>]*>", content, re.IGNORECASE)
    if len(fields) > _MAX_COLUMNS:
        raise ReadError(f"{path} has more than {_MAX_COLUMNS} fields; this is no table of ours")
    for field in fields:
        sizes = re.search(rb"arraysize\s*=\s*[\"']([^\"']*)", field)
        numbers = re.findall(rb"\d+", sizes[1]) if sizes else []
        total = 1
        for number in numbers:
            total *= min(int(number[:12]), 10**12)
        if total > _MAX_TEXT:
            raise ReadError(f"{path} has cells of {total} values; expected at most {_MAX_TEXT}")


def _check_fits(path: Path) -> None:
    """Refuse a FITS table whose columns do not fit its rows."""
    from astropy.io import fits

    from streaks.readers.compressed import check_table_layout
    from streaks.readers.structure import check_structure

    with open_regular(path) as file:
        check_structure(file, str(path))
        file.seek(0)
        with fits.open(file, disable_image_compression=True) as hdus:
            for hdu in hdus:
                if isinstance(hdu, fits.BinTableHDU):
                    check_table_layout(hdu.header, str(path))


def _check_meta(meta: Mapping[Any, Any], path: Path) -> None:
    """Refuse a ``meta`` that is larger than its file: aliases within aliases."""
    seen = 0
    waiting: list[tuple[Any, int]] = [(meta, 0)]
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > _MAX_META or depth > 64:
            raise ReadError(f"{path} has a header that contains itself, or is endless")
        if isinstance(value, Mapping):
            waiting += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += [(one, depth + 1) for one in value]
