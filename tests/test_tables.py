"""Column schemas and the tables made of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Column, QTable, vstack

from streaks import errors
from streaks.errors import TableError
from streaks.tables import (
    ASTREAKS_MIX,
    CLASS_COLUMNS,
    CLASSES,
    MATCH_COLUMNS,
    NIGHT_COLUMNS,
    STREAK_COLUMNS,
    ColumnSpec,
    StreakFlag,
    build_table,
    check_table,
    empty_streaks,
    empty_table,
    flag_names,
    order_columns,
)

#: The columns that leave the program, in their order: the contract of the design.
CONTRACT = (  # noqa: SIM905 - as the design writes them
    "streak_id, image, x0, y0, x1, y1, x, y, length, theta, width, flux, flux_err, snr, score, "
    "ra, dec, ra0, dec0, ra1, dec1, pa, rate, mag, mag_err, time, flags, label, p_asteroid, "
    "p_satellite, p_masked_star, p_ghost, p_cosmic_ray, p_naked_star, p_yin_yang, "
    "p_unresolved, rb, ssdistnr, ssmagnr, ssnamenr, sat_name, sat_norad, tracklet"
).split(", ")

THREE = (
    ColumnSpec("streak_id", str, None, "a name"),
    ColumnSpec("x", float, "pix", "a place"),
    ColumnSpec("flags", np.int64, None, "bits"),
)
VALUES = {"streak_id": ["a", "b"], "x": [1.5, np.nan], "flags": [0, 5]}


def test_columns_follow_the_contract() -> None:
    every = (*STREAK_COLUMNS, *CLASS_COLUMNS, *MATCH_COLUMNS, *NIGHT_COLUMNS)
    ordered = order_columns(empty_table(every[::-1]))
    assert ordered.colnames[: len(CONTRACT)] == CONTRACT


def test_no_column_name_is_used_twice() -> None:
    names = [s.name for s in (*STREAK_COLUMNS, *CLASS_COLUMNS, *MATCH_COLUMNS, *NIGHT_COLUMNS)]
    assert len(names) == len(set(names))


def test_nothing_found_has_every_column_with_its_unit() -> None:
    table = empty_streaks()
    assert len(table) == 0
    check_table(table, STREAK_COLUMNS)
    assert table["x0"].unit == u.pix
    assert table["rate"].unit == u.arcsec / u.s
    assert table["streak_id"].dtype.kind == "U"


def test_nothing_found_stacks_with_something_found() -> None:
    found = build_table(THREE, VALUES)
    both = vstack([empty_table(THREE), found])
    assert list(both["streak_id"]) == ["a", "b"]
    assert both["x"].unit == u.pix


def test_built_tables_have_kinds_units_and_descriptions() -> None:
    table = build_table(THREE, VALUES)
    assert table["x"].unit == u.pix
    assert table["x"].info.description == "a place"
    assert table["flags"].dtype == np.int64
    assert isinstance(table["streak_id"], Column)


def test_missing_values_are_named() -> None:
    with pytest.raises(TableError, match="no values for the columns x, flags"):
        build_table(THREE, {"streak_id": []})


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(TableError, match=r"columns of unequal length: \[1, 2\]"):
        build_table(THREE, {**VALUES, "x": [1.0]})


def test_a_table_without_a_column_is_named_with_what_it_has() -> None:
    table = QTable({"streak_id": ["a"]})
    with pytest.raises(TableError, match="night lacks the columns x, flags; it has streak_id"):
        check_table(table, THREE, "night")


def test_another_unit_is_refused() -> None:
    table = build_table(THREE, VALUES)
    table["x"] = [1.0, 2.0] * u.arcsec
    with pytest.raises(TableError, match="x is in arcsec, expected pix"):
        check_table(table, THREE)


def test_a_dimensionless_quantity_is_a_bare_number() -> None:
    table = build_table(THREE, VALUES)
    table["flags"] = u.Quantity([0, 1])
    check_table(table, THREE)


def test_ordering_keeps_leading_and_trailing_strangers() -> None:
    table = QTable({"name": ["n"], "flags": [1], "mine": [2], "x": [0.0], "streak_id": ["a"]})
    assert order_columns(table).colnames == ["name", "streak_id", "x", "flags", "mine"]


def test_ordering_does_not_change_the_table_given() -> None:
    table = QTable({"x": [0.0], "streak_id": ["a"]})
    order_columns(table)
    assert table.colnames == ["x", "streak_id"]


def test_flags_have_names() -> None:
    assert flag_names(StreakFlag.EDGE_0 | StreakFlag.DASHED) == "edge_0 dashed"
    assert flag_names(0) == ""


def test_flags_are_distinct_bits() -> None:
    bits = [int(flag) for flag in StreakFlag]
    assert sum(bits) == np.bitwise_or.reduce(bits)


def test_class_shares_cover_all_classes_and_sum_to_one() -> None:
    assert set(ASTREAKS_MIX) == {*CLASSES, "skip"}
    assert sum(ASTREAKS_MIX.values()) == pytest.approx(1.0)


def test_the_error_tree_is_the_one_drawn() -> None:
    import streaks.errors as errors

    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert set(drawn) | {"StreaksError"} == set(errors.__all__)
    for name in ("ReadError", "FrameError", "AlertError", "CatalogueError", "TableError"):
        assert issubclass(getattr(errors, name), errors.InputError)
    for name in drawn:
        assert issubclass(getattr(errors, name), errors.StreaksError)


def test_a_missing_extra_names_a_command_for_the_clone_that_runs() -> None:
    from streaks.errors import MissingExtraError

    error = MissingExtraError("tensorflow", "train", "training a network")
    assert isinstance(error, ImportError)
    told = str(error)
    assert told.startswith("training a network needs tensorflow, which is not installed; ")
    clone = Path(errors.__file__).parents[1]
    if (clone / "pyproject.toml").is_file():
        assert f"{sys.executable} -m pip install -e '{clone}[train]'" in told
    else:
        assert f"{sys.executable} -m pip install 'tensorflow" in told


def test_a_missing_extra_of_an_installed_package_names_its_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`streaks[train]` might be another package at the registry; its libraries are not."""
    from streaks.errors import MissingExtraError

    monkeypatch.setattr(errors, "__file__", str(tmp_path / "streaks" / "errors.py"))
    told = str(MissingExtraError("tensorflow", "train", "training a network"))
    assert re.search(r"-m pip install \S*tensorflow[<>=0-9.,]+\S* \S*onnx>=", told)
    assert "streaks[" not in told
    told = str(MissingExtraError("fastapi", "web", "a page"))
    assert "fastapi" in told
    assert "tensorflow" not in told
