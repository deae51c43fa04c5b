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

_UNIT, _DESCRIPTION = b"unit", b"description"
_META, _VERSION = b"streaks.meta", b"streaks.schema"


def table_to_arrow(table: QTable) -> pyarrow.Table:
    """An Arrow table of the same columns.

    NaN stays NaN and empty text stays empty; masked values become nulls. ``meta`` is kept as far
    as JSON can say it.

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
    metadata = {
        _META: json.dumps(dict(table.meta), default=str).encode(),
        _VERSION: str(SCHEMA_VERSION).encode(),
    }
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))


def arrow_to_table(arrow: pyarrow.Table) -> QTable:
    """The table that an Arrow table holds; nulls become NaN, empty text, 0 or False.

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
    if plain.dtype.kind in "US":
        return pa.array([str(v) for v in plain.astype(str)], type=pa.string(), mask=mask)
    # Big-endian columns come from FITS files; Arrow has only the native order.
    return pa.array(plain.astype(plain.dtype.newbyteorder("=")), mask=mask)


def _to_numpy(column: pyarrow.ChunkedArray, kind: pyarrow.DataType) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return np.array([v or "" for v in column.to_pylist()], dtype=str)
    if column.null_count:
        fill = np.nan if pa.types.is_floating(kind) else False if pa.types.is_boolean(kind) else 0
        column = column.fill_null(fill)
    values = column.to_numpy()
    if values.dtype.kind not in "biuf":
        raise TableError(f"an Arrow column of {kind} is neither number nor text")
    return np.array(values)  # a copy: Arrow's own memory is read-only


def _unit(text: str, name: str) -> u.UnitBase:
    try:
        return u.Unit(text)
    except ValueError:
        raise TableError(
            f"column {name} has the unit {text!r}, which astropy does not know"
        ) from None
