"""Tables through Arrow and back."""

import json

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Column, MaskedColumn, QTable
from hypothesis import given
from hypothesis import strategies as st

from streaks.arrow import SCHEMA_VERSION, arrow_to_table, table_to_arrow
from streaks.errors import TableError
from streaks.tables import STREAK_COLUMNS, check_table, empty_streaks
from tests.made_streaks import SEGMENTS, made_streaks


def test_a_table_comes_back_as_it_went():
    table = made_streaks(SEGMENTS)
    table.meta["observatory"] = "I41"
    back = arrow_to_table(table_to_arrow(table))
    assert back.colnames == table.colnames
    assert back.meta == {"observatory": "I41"}
    for name in table.colnames:
        assert back[name].unit == table[name].unit
        assert back[name].info.description == table[name].info.description
        np.testing.assert_array_equal(back[name], table[name])


def test_a_table_of_no_rows_keeps_every_column_and_unit():
    back = arrow_to_table(table_to_arrow(empty_streaks()))
    assert len(back) == 0
    check_table(back, STREAK_COLUMNS)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_every_float_survives(values):
    table = QTable({"v": u.Quantity(values, "deg")})
    back = arrow_to_table(table_to_arrow(table))
    np.testing.assert_array_equal(back["v"].value, table["v"].value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_every_text_survives(values):
    table = QTable({"v": Column(np.array(values, dtype=str) if values else np.zeros(0, "U1"))})
    assert [str(v) for v in arrow_to_table(table_to_arrow(table))["v"]] == values


def test_units_are_readable_by_any_parquet_program():
    field = table_to_arrow(made_streaks(SEGMENTS)).schema.field("rate")
    assert field.metadata[b"unit"] == b"arcsec / s"
    assert b"exposure" in field.metadata[b"description"]


def test_big_endian_columns_of_fits_files_are_taken():
    table = QTable({"v": np.array([1.5, 2.5], dtype=">f8")})
    assert list(arrow_to_table(table_to_arrow(table))["v"]) == [1.5, 2.5]


def test_masked_values_become_nulls_and_come_back_unknown():
    table = QTable({"v": MaskedColumn([1.0, 2.0], mask=[False, True])})
    arrow = table_to_arrow(table)
    assert arrow.column("v").null_count == 1
    assert np.isnan(arrow_to_table(arrow)["v"][1])


def test_a_column_of_several_axes_is_refused():
    with pytest.raises(TableError, match=r"column v is float64 of shape \(2, 3\); expected plain"):
        table_to_arrow(QTable({"v": np.zeros((2, 3))}))


def test_a_table_of_a_newer_program_is_refused():
    newer = {b"streaks.schema": str(SCHEMA_VERSION + 1).encode()}
    arrow = pa.table({"v": [1.0]}).replace_schema_metadata(newer)
    with pytest.raises(TableError, match="install a newer version"):
        arrow_to_table(arrow)


def test_an_unknown_unit_is_named():
    schema = pa.schema([pa.field("v", pa.float64(), metadata={b"unit": b"furlong"})])
    with pytest.raises(TableError, match="column v has the unit 'furlong'"):
        arrow_to_table(pa.table({"v": [1.0]}).cast(schema))


def test_a_column_of_lists_is_refused():
    with pytest.raises(TableError, match="neither number nor text"):
        arrow_to_table(pa.table({"v": [[1.0]]}))


def test_meta_that_json_cannot_say_becomes_text():
    table = QTable({"v": [1.0]}, meta={"when": np.float64(3.0), "what": object})
    stored = table_to_arrow(table).schema.metadata[b"streaks.meta"]
    assert json.loads(stored)["what"].startswith("<class")


@pytest.mark.parametrize(
    "kind", ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
)
@pytest.mark.parametrize("n", [0, 3])
def test_every_kind_of_number_keeps_its_kind(kind: str, n: int) -> None:
    values = np.arange(n).astype(kind)
    for chunks in ([pa.array(values)], []):
        column = pa.chunked_array(chunks, type=pa.from_numpy_dtype(np.dtype(kind)))
        back = arrow_to_table(pa.table({"x": column}))["x"]
        assert back.dtype == np.dtype(kind)
        assert back.tolist() == (values.tolist() if chunks else [])
