"""Tables as plain columns: asking an astropy table for each cell costs a survey's set minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

__all__ = ["Columns", "joined_columns", "length_of", "numbers", "plain_columns", "texts"]

#: Plain values by column: text, or numbers in the columns' own units; NaN and "" for unknown.
Columns = Mapping[str, NDArray[Any]]


def plain_columns(table: QTable | Columns) -> dict[str, NDArray[Any]]:
    """A table's columns without units and masks.

    Parameters
    ----------
    table
        Any table, or columns that are plain already.

    Returns
    -------
    dict
        Columns of more than one value a row are left out.
    """
    if not isinstance(table, QTable):
        return dict(table)
    plain: dict[str, NDArray[Any]] = {}
    for name in table.colnames:
        column = getattr(table[name], "value", table[name])
        mask = np.ma.getmaskarray(np.ma.asarray(column))
        values = np.asarray(np.ma.getdata(np.ma.asarray(column)))
        if values.ndim == 1:
            plain[str(name)] = _filled(values, mask)
    return plain


def _filled(values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    if values.dtype.kind == "O":
        texts_ = ["" if out or v is None else str(v) for v, out in zip(values, mask, strict=True)]
        return np.array(texts_, dtype=str)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if not mask.any():
        return values
    if values.dtype.kind == "U":
        return np.where(mask, "", values)
    return np.where(mask, np.nan, values.astype(float))


def joined_columns(parts: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    """The rows of several tables under one another.

    Parameters
    ----------
    parts
        What one lacks is unknown there.

    Returns
    -------
    dict
    """
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _joined(parts, name) for name in names}


def _joined(parts: Sequence[Columns], name: str) -> NDArray[Any]:
    is_text = any(name in part and part[name].dtype.kind == "U" for part in parts)
    filled = []
    for part in parts:
        if name in part:
            column = part[name]
            filled.append(_in_utf8(column.astype(str)) if is_text else column)
        else:
            n = length_of(part)
            filled.append(np.full(n, "", dtype=str) if is_text else np.full(n, np.nan))
    return np.concatenate(filled)


def length_of(columns: Columns) -> int:
    """How many rows there are.

    Parameters
    ----------
    columns
        Of equal length.

    Returns
    -------
    int
        0 where there is no column.
    """
    return next((len(column) for column in columns.values()), 0)


def numbers(columns: Columns, name: str, n: int) -> NDArray[np.float64]:
    """A column of numbers.

    Parameters
    ----------
    columns
        Any.
    name
        Of the column; text that is a number counts as one.
    n
        Rows.

    Returns
    -------
    (n,) float
        NaN where unknown, and all NaN for a column that is not there.
    """
    if name not in columns:
        return np.full(n, np.nan)
    column = columns[name]
    if column.dtype.kind != "U":
        return column.astype(float)
    return np.array([_number(text) for text in column], dtype=float)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _in_utf8(texts: NDArray[np.str_]) -> NDArray[np.str_]:
    """Texts as tables write them: a byte of a file's name that is no UTF-8 becomes ``\\udcff``."""
    try:
        "".join(texts.tolist()).encode()
    except UnicodeEncodeError:
        told = [text.encode("utf-8", "backslashreplace").decode() for text in texts.tolist()]
        return np.array(told, dtype=str)
    return texts


def texts(columns: Columns, name: str, n: int) -> NDArray[np.str_]:
    """A column of text.

    Parameters
    ----------
    columns
        Any.
    name
        Of the column.
    n
        Rows.

    Returns
    -------
    (n,) str
        Empty for a column that is not there.
    """
    if name not in columns:
        return np.full(n, "", dtype=str)
    return columns[name].astype(str)
