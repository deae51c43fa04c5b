"""Tables to and from Arrow, in memory; units and descriptions travel as field metadata.

Parquet files are written by `streaks.reporting` and read by `streaks.readers`; what both need is
here, so that a table comes back as it went: columns, kinds, units, descriptions and ``meta``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable

from streaks.errors import TableError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SCHEMA_VERSION", "arrow_to_table", "table_to_arrow"]

#: Grows when a column changes its meaning; a reader may refuse what is newer than itself.
SCHEMA_VERSION = 1

#: Kinds of columns under the names that they have in astropy's headers.
_YAML_KINDS = {"bool": "bool"} | {
    kind: kind
    for kind in (
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float32", "float64"),
    )
}
_UNIT, _DESCRIPTION = b"unit", b"description"
_META, _VERSION = b"streaks.meta", b"streaks.schema"


def table_to_arrow(table: QTable) -> pyarrow.Table:
    """An Arrow table of the same columns.

    NaN stays NaN and empty text stays empty; masked values become nulls. ``meta`` is kept as far
    as JSON can say it.

    Parameters
    ----------
    table
        Of plain columns, one value a row.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    TableError
        For a column of more than one axis, or of objects.
    """
    import pyarrow as pa

    fields, arrays = [], []
    for name in table.colnames:
        array = _to_array(table[name], name)
        metadata = _field_metadata(table[name])
        fields.append(pa.field(name, array.type, metadata=metadata or None))
        arrays.append(array)
    meta = json.dumps(dict(table.meta), default=str)
    metadata = {
        _META: meta.encode(),
        _VERSION: str(SCHEMA_VERSION).encode(),
        **_astropy_metadata(table, meta),
    }
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))


def arrow_to_table(arrow: pyarrow.Table) -> QTable:
    """The table that an Arrow table holds; nulls become NaN, empty text, 0 or False.

    Parameters
    ----------
    arrow
        Of flat columns.

    Returns
    -------
    QTable

    Raises
    ------
    TableError
        When the file was written by a newer schema, or a unit is not known.
    """
    metadata = arrow.schema.metadata or {}
    version = int(metadata.get(_VERSION, b"0"))
    if version > SCHEMA_VERSION:
        raise TableError(
            f"the table has schema {version}, this program knows up to {SCHEMA_VERSION}; "
            "install a newer version of streaks"
        )
    table = QTable(meta=json.loads(metadata.get(_META, b"{}")))
    for field in arrow.schema:
        values = _to_numpy(arrow.column(field.name), field.type)
        described = field.metadata or {}
        unit = described.get(_UNIT, b"").decode()
        column: Any = Column(values) if not unit else u.Quantity(values, _unit(unit, field.name))
        table[field.name] = column
        if _DESCRIPTION in described:
            table[field.name].info.description = described[_DESCRIPTION].decode()
    return table


def _astropy_metadata(table: QTable, meta: str) -> dict[bytes, bytes]:
    """What `astropy.table.QTable.read` looks for: a header in YAML, and lengths of text.

    Written by hand, as JSON, which is YAML too: astropy's own writer takes 20 ms a table.
    """
    columns = []
    lengths: dict[bytes, bytes] = {}
    for name in table.colnames:
        column = table[name]
        about = {"name": name, "datatype": "string" if column.dtype.kind in "US" else "float64"}
        about["datatype"] = _YAML_KINDS.get(column.dtype.name, about["datatype"])
        unit = getattr(column, "unit", None)
        if unit is not None and str(unit):
            about["unit"] = unit.to_string()
        if column.info.description:
            about["description"] = str(column.info.description)
        columns.append(f"- {json.dumps(about)}")
        if column.dtype.kind in "US":
            width = max(1, column.dtype.itemsize // (4 if column.dtype.kind == "U" else 1))
            lengths[f"table::len::{name}".encode()] = str(width).encode()
    header = "\n".join(["datatype:", *columns, f"meta: {meta}"])
    return {b"table_meta_yaml": header.encode(), **lengths}


def _field_metadata(column: Any) -> dict[bytes, bytes]:
    metadata = {}
    unit = getattr(column, "unit", None)
    if unit is not None and str(unit):
        # The generic format writes units that `astropy.units.Unit` reads back.
        metadata[_UNIT] = unit.to_string().encode()
    description = column.info.description
    if description:
        metadata[_DESCRIPTION] = str(description).encode()
    return metadata


def _to_array(column: Any, name: str) -> pyarrow.Array:
    import pyarrow as pa

    values = column.value if isinstance(column, u.Quantity) else column
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    plain = np.ma.getdata(values) if mask is not None else np.asarray(values)
    if plain.ndim != 1 or plain.dtype.kind not in "biufUS":
        raise TableError(
            f"column {name} is {plain.dtype} of shape {plain.shape}; "
            "expected plain numbers or text, one a row"
        )
    known = None if mask is None else _bits(~mask)
    # By their buffers: handed anything else, Arrow imports pandas to see whether it is one of its
    # kinds, which takes half a second.
    if plain.dtype.kind in "US":
        text = [str(value).encode("utf-8", "backslashreplace") for value in plain.astype(str)]
        ends = np.zeros(len(text) + 1, np.int64)
        np.cumsum([len(one) for one in text], out=ends[1:])
        buffers = [known, pa.py_buffer(ends), pa.py_buffer(b"".join(text))]
        return pa.Array.from_buffers(pa.large_string(), len(text), buffers).cast(pa.string())
    if plain.dtype.kind == "b":
        return pa.Array.from_buffers(pa.bool_(), len(plain), [known, _bits(plain)])
    # Big-endian columns come from FITS files; Arrow has only the native order.
    native = np.ascontiguousarray(plain, dtype=plain.dtype.newbyteorder("="))
    kind = pa.from_numpy_dtype(native.dtype)
    return pa.Array.from_buffers(kind, len(native), [known, pa.py_buffer(native)])


def _bits(values: np.ndarray) -> pyarrow.Buffer:
    """Truth values as Arrow packs them."""
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.asarray(values, dtype=bool), bitorder="little"))


def _to_numpy(column: pyarrow.ChunkedArray, kind: pyarrow.DataType) -> np.ndarray:
    import pyarrow as pa

    if (
        pa.types.is_string(kind)
        or pa.types.is_null(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_dictionary(kind)
    ):
        return np.array([v or "" for v in column.to_pylist()], dtype=str)
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TableError(f"an Arrow column of {kind} is neither number nor text")
    parts = [_numbers(chunk, kind) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros(0, _dtype(kind))


def _dtype(kind: pyarrow.DataType) -> np.dtype[Any]:
    """NumPy's name of a kind of numbers; Arrow's own way to it loads pandas in older versions."""
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return np.dtype(bool)
    letter = "f" if pa.types.is_floating(kind) else "i" if pa.types.is_signed_integer(kind) else "u"
    return np.dtype(f"{letter}{kind.bit_width // 8}")


def _numbers(chunk: pyarrow.Array, kind: pyarrow.DataType) -> np.ndarray:
    """A chunk's values off its buffers (`_to_array` says why), with nulls filled."""
    import pyarrow as pa

    known, values = chunk.buffers()
    first, end = chunk.offset, chunk.offset + len(chunk)
    if pa.types.is_boolean(kind):
        found = _truths(values, end)[first:]
        fill: Any = False
    else:
        dtype = _dtype(kind)
        found = np.frombuffer(values, dtype, end) if end else np.zeros(0, dtype)
        found = found[first:]
        fill = np.nan if dtype.kind == "f" else 0
    if known is None or not chunk.null_count:
        return np.array(found)  # a copy: Arrow's own memory is read-only
    return np.where(_truths(known, end)[first:], found, fill).astype(found.dtype)


def _truths(packed: pyarrow.Buffer, n: int) -> np.ndarray:
    bits = np.frombuffer(packed, np.uint8) if n else np.zeros(0, np.uint8)
    return np.unpackbits(bits, count=n, bitorder="little").astype(bool)


def _unit(text: str, name: str) -> u.UnitBase:
    try:
        return u.Unit(text)
    except ValueError:
        raise TableError(
            f"column {name} has the unit {text!r}, which astropy does not know"
        ) from None
