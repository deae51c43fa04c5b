"""Values of packets, whatever their writers put in place of none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from streaks.errors import AlertError
from streaks.readers.alerts.stamps import Planes, StampBudget

__all__ = [
    "ALL_STAMPS",
    "ab_magnitude",
    "magnitude_error",
    "name_or_empty",
    "number_or_nan",
    "required_number",
    "scalars",
    "stamp_fields",
    "text_or_empty",
    "whole_number",
]

#: What to decode: names of `Alert`'s stamps.
ALL_STAMPS = ("science", "template", "difference")
_NO_NAMES = frozenset({"", "null", "none", "nan"})
#: AB magnitude of one nJy.
_NJY_ZERO_POINT = 31.4
_ERROR_FACTOR = 2.5 / math.log(10.0)


def scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are single values: what lists there are is history.

    Parameters
    ----------
    values
        A record of a packet.

    Returns
    -------
    dict
    """
    return {str(key): v for key, v in values.items() if not isinstance(v, dict | list | bytes)}


def whole_number(value: Any, name: str) -> int:
    """An identifier; 0 for none.

    Parameters
    ----------
    value, name
        Of the packet's field.

    Returns
    -------
    int

    Raises
    ------
    AlertError
        For anything else.
    """
    if value is None:
        return 0
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise AlertError(f"its {name} is {str(value)[:40]!r}; expected a whole number") from None


def required_number(values: Mapping[str, Any], *names: str) -> float:
    """The first of some fields that is a number.

    Parameters
    ----------
    values
        A record of a packet.
    *names
        Of its fields: a schema's versions call one thing by several.

    Returns
    -------
    float

    Raises
    ------
    AlertError
        Where none is.
    """
    for name in names:
        value = values.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    value = next((values[name] for name in names if name in values), None)
    raise AlertError(f"its {names[0]} is {str(value)[:40]}; expected a number")


def number_or_nan(value: Any, *, least: float = -math.inf) -> float:
    """A number; NaN for null, for none, and for what lies at or below some limit.

    Parameters
    ----------
    value
        Of the packet's field.
    least
        A value that stands for none, as -99 does for distances and magnitudes.

    Returns
    -------
    float
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    if not math.isfinite(value) or value <= least:
        return math.nan
    return float(value)


def name_or_empty(value: Any) -> str:
    """An object's name; empty for ``null`` and the like.

    Parameters
    ----------
    value
        Of the packet's field.

    Returns
    -------
    str
    """
    text = text_or_empty(value)
    return "" if text.lower() in _NO_NAMES else text


def text_or_empty(value: Any) -> str:
    """A text without outer spaces; empty for null.

    Parameters
    ----------
    value
        Of the packet's field.

    Returns
    -------
    str
    """
    return "" if value is None else str(value).strip()


def ab_magnitude(flux_njy: float) -> float:
    """AB magnitude of a flux of either sign: differences fade, too.

    Parameters
    ----------
    flux_njy
        nJy.

    Returns
    -------
    float
        NaN for 0 and NaN.
    """
    size = abs(flux_njy)
    return _NJY_ZERO_POINT - 2.5 * math.log10(size) if size > 0 else math.nan


def magnitude_error(flux: float, flux_err: float) -> float:
    """1-sigma error of a magnitude.

    Parameters
    ----------
    flux, flux_err
        In one unit.

    Returns
    -------
    float
        NaN where either is none.
    """
    return _ERROR_FACTOR * flux_err / abs(flux) if flux else math.nan


def stamp_fields(
    record: Mapping[str, Any],
    budget: StampBudget | None,
    wanted: tuple[str, ...],
    *,
    spelling: str = "cutout{}",
) -> dict[str, Any]:
    """The stamps of a packet, and what lies with the difference, as fields of an `Alert`.

    Parameters
    ----------
    record
        The packet.
    budget
        None decodes nothing.
    wanted
        Which of `ALL_STAMPS`; each is unpacked only where it is.
    spelling
        Of the packet's fields, with the name (capitalised) for the braces.

    Returns
    -------
    dict
        ``science, template, difference, variance, psf, sky``, those that there are.

    Raises
    ------
    ReadError
        Where all stamps of the file together unpack to too much.
    """
    found: dict[str, Any] = {}
    if budget is None:
        return found
    for name in wanted:
        shown = name.capitalize() if spelling.startswith("cutout{") else name
        planes: Planes = budget.planes(record.get(spelling.format(shown)))
        if "" in planes:
            found[name] = planes[""]
        if name == "difference":
            found |= {key: planes[key] for key in ("variance", "psf", "sky") if key in planes}
    return found
