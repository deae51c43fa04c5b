"""Satellites' elements from files: two-line elements, and OMM in CSV, JSON, XML or KEY = VALUE.

CelesTrak gives satellites numbered above 99,999 as OMM only (Orbit Mean-Elements Messages), and
calls all of these forms GP data. A file is known by its content, not by its name. Whatever is
wrong with a line or an entry is that one's own failure; the others are used.

References
----------
https://celestrak.org/NORAD/documentation/gp-data-formats.php; CCSDS 502.0-B-3 (OMM);
https://celestrak.org/columns/v04n03/ (two-line elements).
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaks.disk import TooLargeError, bounded_gzip
from streaks.errors import CatalogueError

__all__ = ["BadElements", "Satellites", "read_satellites"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

#: Unpacked. All satellites of a day are 5 MB as lines and 20 MB as JSON or XML.
_MAX_BYTES = 256 << 20
#: A file with so many failures and no satellite is none of ours.
_MAX_BAD_FIRST = 100_000
#: Larger numbers the library cannot hold; they are kept apart from what it makes.
_LARGEST_IN_SGP4 = 339_999
_MINUTES_PER_DAY = 1440.0
#: What SGP4 counts its epoch from.
_SGP4_EPOCH = datetime(1949, 12, 31, tzinfo=UTC)
_HINT = "give GP data of CelesTrak or Space-Track: two-line elements, or OMM as CSV, JSON or XML"

#: Columns of numbers, 0-based: plain ones, those with an assumed decimal point, and those with a
#: power of ten behind.
_COLUMNS_1 = {"epoch": (18, 32), "change": (33, 43), "second change": (44, 52), "drag": (53, 61)}
_COLUMNS_2 = {
    "inclination": (8, 16), "node": (17, 25), "eccentricity": (26, 33), "perigee": (34, 42),
    "anomaly": (43, 51), "motion": (52, 63),
}  # fmt: skip
_SPACES_1, _SPACES_2 = (1, 8, 17, 32, 43, 52, 61, 63), (1, 7, 16, 25, 33, 42, 51)
_WITH_POWER = re.compile(r"[-+ ]?[ \d]{4}\d[-+ ]\d")
_DIGITS = re.compile(r"[ \d]*\d")
_NUMBER = re.compile(r"[ \dA-HJ-NP-Z][ \d]{3}\d")
_OMM_FIELDS = (
    "NORAD_CAT_ID", "EPOCH", "MEAN_MOTION", "ECCENTRICITY", "INCLINATION", "RA_OF_ASC_NODE",
    "ARG_OF_PERICENTER", "MEAN_ANOMALY", "BSTAR",
)  # fmt: skip


@dataclass(frozen=True)
class BadElements:
    """A line or an entry of a file that is no part of a set of elements.

    Parameters
    ----------
    number
        Of the line, or of the entry, from 1.
    reason
        Why it is none.
    """

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Satellites:
    """Elements of n satellites.

    Parameters
    ----------
    norad : (n,) int
        Catalogue numbers.
    name : (n,) str
        Empty where the file gives none.
    epoch_jd : (n,)
        UTC.
    elements
        What the sgp4 library made of them.
    failures
        Lines that could not be used.
    """

    norad: NDArray[np.int64]
    name: NDArray[np.str_]
    epoch_jd: Floats
    elements: Any
    failures: tuple[BadElements, ...] = ()

    def __len__(self) -> int:
        return len(self.norad)


class _Set(NamedTuple):
    """One set of elements."""

    norad: int
    name: str
    record: Any


def read_satellites(path: str | Path) -> Satellites:
    """Satellites of a file of elements, gzipped or not.

    Of several sets of one satellite all are kept; `satellites_in_sky` takes the nearest in time.

    Parameters
    ----------
    path
        Two-line elements with or without name lines, checksums or indentation; or OMM in CSV,
        JSON, XML or KEY = VALUE. As text in UTF-8 or UTF-16, with or without its mark.

    Returns
    -------
    Satellites
        In the file's order; what could not be used is in its ``failures``.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or holds no elements.
    """
    from sgp4.api import SatrecArray

    path = Path(path)
    try:
        content, damage = bounded_gzip(path, max_bytes=_MAX_BYTES)
    except (OSError, TooLargeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CatalogueError(f"cannot read the satellites {path}: {reason}; {_HINT}") from None
    if damage:
        raise CatalogueError(f"cannot read the satellites {path}: {damage}; {_HINT}")
    sets, failures = _read_text(_decode(content))
    if not sets:
        why = f" ({failures[0]})" if failures else ""
        raise CatalogueError(f"{path} holds no elements of satellites{why}; {_HINT}")
    if failures:
        _log.warning("%s: %d lines are no elements", path.name, len(failures))
    records = [one.record for one in sets]
    return Satellites(
        norad=np.array([one.norad for one in sets], dtype=np.int64),
        name=np.array([one.name for one in sets], dtype=str),
        epoch_jd=np.array([r.jdsatepoch + r.jdsatepochF for r in records]),
        elements=SatrecArray(records),
        failures=tuple(failures),
    )


def _decode(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def _read_text(text: str) -> tuple[list[_Set], list[BadElements]]:
    """Sets of elements, and what is none, of a text of any form."""
    start = text[:4096].lstrip()
    if start[:1] in ("[", "{"):
        return _collect(_json_entries(text), _from_omm)
    if start[:1] == "<":
        return _collect(_xml_entries(text), _from_omm)
    if "CCSDS_OMM_VERS" in start.split("\n")[0] and "=" in start.split("\n")[0]:
        return _collect(_key_value_entries(text), _from_omm)
    if "MEAN_MOTION" in start.split("\n")[0].upper():
        rows = csv.DictReader(io.StringIO(text.lstrip(), newline=""), skipinitialspace=True)
        return _collect(rows, _from_omm, first_number=2)
    return _from_lines(text)


def _collect(
    entries: Iterable[Any], read: Callable[[Any], _Set], *, first_number: int = 1
) -> tuple[list[_Set], list[BadElements]]:
    """What single entries give, and those that give nothing."""
    sets: list[_Set] = []
    failures: list[BadElements] = []
    number = first_number - 1
    try:
        for number, entry in enumerate(entries, first_number):
            try:
                sets.append(read(entry))
            except Exception as error:  # whatever a damaged entry may cause
                failures.append(BadElements(number, _reason(error)))
            if not sets and len(failures) > _MAX_BAD_FIRST:
                break
    except (ValueError, csv.Error, RecursionError, SyntaxError) as error:
        # The file's own form is broken: what is behind it cannot be told apart.
        failures.append(BadElements(number + 1, f"the file is broken here ({error})"))
    return sets, failures


def _reason(error: Exception) -> str:
    """In words, without characters that would steer a terminal."""
    text = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    return _printable(text[:200]) or type(error).__name__


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


# --- two lines ---------------------------------------------------------------------------------


def _from_lines(text: str) -> tuple[list[_Set], list[BadElements]]:
    lines = [
        (number, line.strip())
        for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1)
        if line.strip()
    ]
    sets: list[_Set] = []
    failures: list[BadElements] = []
    name = ""
    i = 0
    while i < len(lines):
        number, line = lines[i]
        i += 1
        if not line.startswith(("1 ", "2 ")):
            name = _printable(line.removeprefix("0 ").strip())
            continue
        second = lines[i][1] if i < len(lines) else ""
        try:
            sets.append(_from_two_lines(line, second, name))
            i += 1
        except Exception as error:  # whatever a damaged line may cause
            failures.append(BadElements(number, _reason(error)))
            if not sets and len(failures) > _MAX_BAD_FIRST:
                break
        name = ""
    return sets, failures


def _from_two_lines(first: str, second: str, name: str) -> _Set:
    """One set of elements; `ValueError` says why there is none."""
    from sgp4.api import Satrec

    if not first.startswith("1 "):
        raise ValueError("a second line without its first")
    if not second.startswith("2 "):
        raise ValueError("a first line without its second")
    if first[2:7] != second[2:7]:
        raise ValueError("the two lines are of two satellites")
    if not _NUMBER.fullmatch(first[2:7]):
        raise ValueError("its number is none")
    for line, columns, spaces in ((first, _COLUMNS_1, _SPACES_1), (second, _COLUMNS_2, _SPACES_2)):
        _check_line(line, columns, spaces)
    record = Satrec.twoline2rv(first[:69], second[:69])
    return _checked(_Set(int(record.satnum), name, record))


def _check_line(line: str, columns: Mapping[str, tuple[int, int]], spaces: Iterable[int]) -> None:
    """Its length, its sum (69th column, where there is one) and its columns."""
    if len(line) < 68:
        raise ValueError("it is shorter than 68 columns")
    if not (line[:69].isascii() and line[:69].isprintable()):
        raise ValueError("it holds characters that are none of two-line elements")
    if line[68:69].strip():
        total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
        if line[68] != str(total % 10):
            raise ValueError("its checksum is wrong")
    if any(line[i] != " " for i in spaces):
        raise ValueError("its columns are shifted")
    for name, (start, stop) in columns.items():
        if not _is_number(name, line[start:stop]):
            raise ValueError(f"its {name} is no number: {line[start:stop].strip()!r}")


def _is_number(name: str, text: str) -> bool:
    if name in ("second change", "drag"):
        return _WITH_POWER.fullmatch(text) is not None
    if name == "eccentricity":
        return _DIGITS.fullmatch(text) is not None
    try:
        return math.isfinite(float(text.replace(" ", "0") if name == "epoch" else text))
    except ValueError:
        return False


# --- OMM ---------------------------------------------------------------------------------------


def _json_entries(text: str) -> Iterator[Any]:
    answer = json.loads(text)
    if isinstance(answer, dict):  # one satellite alone
        answer = [answer]
    yield from answer


def _xml_entries(text: str) -> Iterator[Mapping[str, Any]]:
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("an OMM in XML declares no types or entities")
    root = ElementTree.fromstring(text.encode())
    messages = [root] if _tag(root) == "omm" else [e for e in root.iter() if _tag(e) == "omm"]
    for message in messages:
        yield {_tag(field): (field.text or "").strip() for field in message.iter()}


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _key_value_entries(text: str) -> Iterator[Mapping[str, str]]:
    entry: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if key == "CCSDS_OMM_VERS" and entry:
            yield entry
            entry = {}
        if equals:
            entry[key] = value
    if entry:
        yield entry


def _from_omm(entry: Any) -> _Set:
    """One set of elements; an exception says why there is none."""
    from sgp4.api import WGS72, Satrec

    if not isinstance(entry, Mapping):
        raise ValueError("it is no entry of names and values")
    fields = {str(key).strip().upper(): value for key, value in entry.items()}
    missing = [name for name in _OMM_FIELDS if fields.get(name) in (None, "")]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    for name, expected in (
        ("MEAN_ELEMENT_THEORY", ("SGP4", "SGP/SGP4")),
        ("CENTER_NAME", ("EARTH",)),
        ("REF_FRAME", ("TEME",)),
        ("TIME_SYSTEM", ("UTC",)),
        ("EPHEMERIS_TYPE", ("0", "2", "3")),
    ):
        found = str(fields.get(name) or expected[0]).strip().upper()
        if found not in expected:
            raise ValueError(f"its {name} is {found}, expected {expected[0]}")
    text = str(fields["NORAD_CAT_ID"]).strip().removesuffix(".0")
    try:
        norad = int(text)
    except ValueError:
        raise ValueError(f"its NORAD_CAT_ID is {text[:24]!r}, no whole number") from None
    if not 0 <= norad < 10**9:
        raise ValueError(f"its number is {norad}")
    turn = 2.0 * math.pi
    record = Satrec()
    record.sgp4init(
        WGS72,
        "i",
        norad if norad <= _LARGEST_IN_SGP4 else 0,
        _sgp4_days(str(fields["EPOCH"])),
        _real(fields, "BSTAR"),
        # The rates are in the file, but SGP4 does not use them.
        _real(fields, "MEAN_MOTION_DOT", 0.0) * turn / _MINUTES_PER_DAY**2,
        _real(fields, "MEAN_MOTION_DDOT", 0.0) * turn / _MINUTES_PER_DAY**3,
        _real(fields, "ECCENTRICITY"),
        math.radians(_real(fields, "ARG_OF_PERICENTER")),
        math.radians(_real(fields, "INCLINATION")),
        math.radians(_real(fields, "MEAN_ANOMALY")),
        _real(fields, "MEAN_MOTION") * turn / _MINUTES_PER_DAY,
        math.radians(_real(fields, "RA_OF_ASC_NODE")),
    )
    name = _printable(str(fields.get("OBJECT_NAME") or "").strip())
    return _checked(_Set(norad, name, record))


def _real(fields: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = fields.get(name)
    if default is not None and value in (None, ""):
        return default
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"its {name} is no number")
    return number


def _sgp4_days(text: str) -> float:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"its EPOCH is {text.strip()[:40]!r}, no date") from None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return (when - _SGP4_EPOCH).total_seconds() / 86_400.0


def _checked(one: _Set) -> _Set:
    """Refuse what is no orbit about the Earth."""
    record = one.record
    if not (record.no_kozai > 0.0 and 0.0 <= record.ecco < 1.0):
        raise ValueError("its mean motion or eccentricity is no orbit about the Earth")
    if not 0.0 <= record.inclo <= math.pi:
        raise ValueError("its inclination is not in 0 to 180 degrees")
    if not math.isfinite(record.jdsatepoch + record.jdsatepochF + record.bstar):
        raise ValueError("its epoch or drag is no number")
    return one
