"""A validator of ADES 2022 optical observations in PSV, written from the schema alone.

Rules are those of ``submit.xsd`` of the IAU-ADES group (version 2022): order and need of elements,
simple types with their patterns and bounds, and what a block's context must hold. It shares
nothing with the writer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation

__all__ = ["problems"]

_DECIMAL = r"[+\-]?(0|([1-9][0-9]*))(\.[0-9]*)?"
_POSITIVE = r"(0|([1-9][0-9]*))(\.[0-9]*)?"
_TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z"
_WORD = r"[A-Za-z0-9_]*"
_PERM = r"\d+([IPD](-[A-Z]{1,2})?)?|((Mars|Jupiter|Saturn|Uranus|Neptune) \d{1,3}|\(\d+\) \d{1,3})"
_PROV = (
    r"\d{4} [A-HJ-Y][A-HJ-Z]\d*|\d{4} (P-L|T-[123])|[ADCPX]/\d{4} [A-Z]{1,2}\d*(-[A-Z])?"
    r"|A[89]\d{2} [A-HJ-Y][A-HJ-Z]"
)


def _positive(width: int) -> tuple[tuple[str, ...], float, float]:
    return (_POSITIVE, rf"[0-9.]{{1,{width}}}"), 0.0, 1e5


#: Element: patterns that all must match, and open bounds of its value where it is a number.
_TYPES: dict[str, tuple[tuple[str, ...], float | None, float | None]] = {
    "permID": ((_PERM, r".{1,25}"), None, None),
    "provID": ((_PROV, r".{1,25}"), None, None),
    "trkSub": ((r"[-A-Za-z0-9_]{1,8}",), None, None),
    "mode": ((_WORD, r".{1,3}"), None, None),
    "stn": ((_WORD, r".{3,4}"), None, None),
    "obsTime": ((_TIME,), None, None),
    "rmsTime": _positive(8),
    "ra": ((r"([1-3][0-9]{2}|[1-9]?[0-9])?(\.[0-9]{0,9})?",), -1e-12, 360.0),
    "dec": ((r"[+\-]?([1-9]?[0-9])?(\.[0-9]{0,9})?",), -90.0000001, 90.0000001),
    "rmsRA": _positive(7),
    "rmsDec": _positive(7),
    "rmsCorr": ((r"[+\-]?(0|1)(\.[0-9]{0,11})?",), -1.0, 1.0),
    "astCat": ((r"[.A-Za-z0-9_]{1,8}",), None, None),
    "mag": ((_DECIMAL, r"[+\-]?[0-9.]{1,7}"), -5.0000001, 35.0000001),
    "rmsMag": _positive(6),
    "band": ((_WORD, r".{1,3}"), None, None),
    "photCat": ((r"[.A-Za-z0-9_]{1,8}",), None, None),
    "logSNR": ((_DECIMAL, r"[+\-]?[0-9.]{1,5}"), None, None),
    "seeing": _positive(6),
    "exp": _positive(6),
    "notes": ((_WORD, r".{1,6}"), None, None),
    "remarks": ((r"[^|]*[^|\s][^|]*", r".{1,300}"), None, None),
}
_ORDER = list(_TYPES)
_REQUIRED = ("mode", "stn", "obsTime", "ra", "dec", "astCat")
_CONTEXT = ("observatory", "submitter", "measurers", "telescope")
_TELESCOPE = ("design", "aperture", "detector")


def problems(text: str, *, complete: bool = True) -> list[str]:
    """What the schema would refuse, in words; empty for a valid file.

    Parameters
    ----------
    text
        Of a whole file.
    complete
        Ask for the whole context of a submission: submitter, measurers and telescope.
    """
    lines = text.splitlines()
    found = [] if lines[:1] == ["# version=2022"] else ["the first line is no version"]
    n_records = 0
    for context, records in _blocks(lines[1:]):
        found += _context_problems(context, complete)
        n_records += len(records)
        for record in records:
            found += _record_problems(record)
    return found if n_records else [*found, "no observation"]


def _blocks(lines: list[str]) -> Iterator[tuple[list[tuple[str, str, str]], list[dict[str, str]]]]:
    """Context lines as (group, key, value), and the records under them."""
    context: list[tuple[str, str, str]] = []
    records: list[dict[str, str]] = []
    group, names = "", list[str]()
    for line in lines:
        if line.startswith("#"):
            if records:
                yield context, records
                context, records = [], []
            group, names = line[1:].strip(), []
            context.append((group, "", ""))
        elif line.startswith("!"):
            key, _, value = line[1:].strip().partition(" ")
            context.append((group, key, value))
        elif not names:
            names = [name.strip() for name in line.split("|")]
        else:
            cells = [cell.strip() for cell in line.split("|")]
            cells += [""] * (len(names) - len(cells))
            records.append(dict(zip(names, cells, strict=True)))
    yield context, records


def _context_problems(context: list[tuple[str, str, str]], complete: bool) -> Iterator[str]:
    groups = [group for group, key, _ in context if not key]
    yield from (f"{group} twice" for group in set(groups) if groups.count(group) > 1)
    needed = _CONTEXT if complete else ("observatory",)
    yield from (f"no {group}" for group in needed if group not in groups)
    keys = {(group, key) for group, key, _ in context}
    if ("observatory", "mpcCode") not in keys:
        yield "no mpcCode"
    if "telescope" in groups:
        yield from (f"no telescope {k}" for k in _TELESCOPE if ("telescope", k) not in keys)
    for group, key, value in context:
        if key and (not value.strip() or len(value) > 100 or "|" in value):
            yield f"{group} {key} is {value!r}"


def _record_problems(record: dict[str, str]) -> Iterator[str]:
    unknown = [name for name in record if name not in _ORDER]
    yield from (f"unknown element {name}" for name in unknown)
    known = [name for name in record if name in _ORDER]
    if known != sorted(known, key=_ORDER.index):
        yield f"elements out of order: {known}"
    yield from (f"{name} is missing" for name in _REQUIRED if not record.get(name))
    if not any(record.get(name) for name in ("permID", "provID", "trkSub")):
        yield "no identification"
    photometry = [name for name in ("rmsMag", "photCat") if record.get(name)]
    if bool(record.get("mag")) != bool(record.get("band")) or (
        photometry and not record.get("mag")
    ):
        yield "magnitude and band go together"
    for name in known:
        if record[name] and not _is_valid(name, record[name]):
            yield f"{name} is {record[name]!r}"


def _is_valid(name: str, cell: str) -> bool:
    patterns, low, high = _TYPES[name]
    if not all(re.fullmatch(pattern, cell) for pattern in patterns):
        return False
    if name == "obsTime":
        try:
            datetime.fromisoformat(cell)
        except ValueError:
            return False
    if low is None or high is None:
        return True
    try:
        return low < float(Decimal(cell)) < high
    except InvalidOperation:
        return False
