"""Orbit files in the columns of MPCORB.DAT, read and written.

The file's lines are one table of fixed columns, so they are cut as one array of bytes: the full
catalogue of 1.45 million lines takes seconds.

References
----------
https://www.minorplanetcenter.net/iau/info/MPOrbitFormat.html
"""

from __future__ import annotations

import datetime
import gzip
import logging
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import TooLargeError, bounded_gzip
from streaks.errors import CatalogueError
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.orbits import BadLine, Orbits, stack_orbits
from streaks.known.packed import (
    epoch_from_packed,
    pack_designation,
    pack_epoch,
    unpack_designation,
)

__all__ = ["read_bytes", "read_orbits", "write_mpcorb"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

#: 0-based column ranges of the format.
_COLUMNS = {
    "packed": (0, 7),
    "h": (8, 13),
    "g": (14, 19),
    "epoch": (20, 25),
    "anomaly": (26, 35),
    "argperi": (37, 46),
    "node": (48, 57),
    "incl": (59, 68),
    "e": (70, 79),
    "motion": (80, 91),
    "a": (92, 103),
    "u": (105, 106),
    "arc": (127, 136),
    "last": (194, 202),
    "readable": (166, 194),
}
_WIDTH = 202
#: Julian date of day 0 of `datetime.date`.
_JD_OF_DAY_0 = 1_721_424.5
#: Elements end here; a shorter line is no orbit.
_SHORTEST = 103
#: Lines parsed at once, and bytes cut into lines at once: keeps the memory of a full catalogue low.
_CHUNK, _CHUNK_BYTES = 100_000, 20_000_000
#: Header lines of MPCORB.DAT end with a ruler; there are some forty.
_LONGEST_HEADER, _LONGEST_HEADER_BYTES = 200, 100_000
#: Unpacked: MPCORB.DAT has 0.3 GB, mpcorb_extended.json 1.2.
_MAX_BYTES = 4 << 30
#: So many lines more that are no orbits than orbits, and the rest of a file is not looked at.
_MAX_BAD_FIRST = 50_000
_FEW_LINES = 20
#: Mean motion (8 decimals of a degree) and semi-major axis (7 of an au) of one line agree to their
#: rounding; a line that was damaged or shifted does not. Beyond 700 au the decimals of the motion
#: are the coarser ones. The share is for catalogues that round the motion to fewer figures.
_MOTION_TOLERANCE, _MOTION_ROUNDING_DEG = 1e-4, 1e-8
#: Perturbers (``M-v 30k``), four hexadecimal digits of flags, the name.
_NAME_BEHIND_FLAGS = re.compile(rb"[A-Z]-\w +\w{2,3} +[0-9A-F]{4} +(\S.*?)(?: +\d{8})?\s*$")


def read_orbits(path: str | Path) -> Orbits:
    """Orbits of a file in MPCORB columns, plain or gzipped, with or without its header.

    Parameters
    ----------
    path
        MPCORB.DAT, NEA.txt, or an excerpt of them.

    Returns
    -------
    Orbits
        In the file's order; lines that are no orbits are in its ``failures``.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or most of its lines are no orbits (of a few: all).
    """
    path = Path(path)
    content, damage = read_bytes(path)
    parts: list[Orbits] = []
    found = bad = number = 0
    for numbers, lines in _line_chunks(content):
        part = _parse_or_halve(lines, numbers)
        parts.append(part)
        found, bad = found + len(part), bad + len(part.failures)
        number = int(numbers[-1]) + 1
        if bad > found + _MAX_BAD_FIRST:
            break  # no catalogue: its failures would fill the memory
    # Of a few lines that somebody put together those that are orbits count, however few.
    if found <= bad and (found == 0 or found + bad > _FEW_LINES):
        failures = (line for part in parts for line in part.failures)
        first = next((f" (line {line.number}: {line.reason})" for line in failures), "")
        raise CatalogueError(
            f"{path} is no orbit catalogue in MPCORB columns: {found} of its {found + bad} lines "
            f"hold an orbit{first}; give MPCORB.DAT or NEA.txt of the Minor Planet Center (.gz or "
            "not)"
        )
    orbits = stack_orbits(parts)
    if damage:
        orbits = replace(orbits, failures=(*orbits.failures, BadLine(number, "", damage)))
    if orbits.failures:
        _log.warning("%s: %d lines are no orbits", path.name, len(orbits.failures))
    return orbits


def read_bytes(path: Path) -> tuple[bytes, str]:
    """A file's content, unpacked.

    Parameters
    ----------
    path
        Plain or gzip.

    Returns
    -------
    content : bytes
    damage : str
        What is wrong with its end; empty for nothing.

    Raises
    ------
    CatalogueError
        If it cannot be read, or holds more than any catalogue does.
    """
    try:
        return bounded_gzip(path, max_bytes=_MAX_BYTES)
    except (OSError, TooLargeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CatalogueError(
            f"cannot read the orbit catalogue {path}: {reason}; give a file of the Minor Planet "
            "Center, or one written by `streaks known update`"
        ) from None


def _line_chunks(content: bytes) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
    """Lines behind the header that are not empty, some at a time, with their numbers (from 1)."""
    start, number = _header_end(content)
    while start < len(content):
        end = content.find(b"\n", min(start + _CHUNK_BYTES, len(content)))
        end = len(content) if end < 0 else end + 1
        lines = content[start:end].split(b"\n")
        full = np.flatnonzero(np.fromiter((not line.isspace() and line != b"" for line in lines),
                                          bool, len(lines)))  # fmt: skip
        for i in range(0, len(full), _CHUNK):
            some = full[i : i + _CHUNK]
            yield number + some, [lines[k] for k in some.tolist()]
        start, number = end, number + len(lines) - 1


def _header_end(content: bytes) -> tuple[int, int]:
    """Where the header ends, and the number of the line there."""
    lines = content[:_LONGEST_HEADER_BYTES].split(b"\n")[:_LONGEST_HEADER]
    ruler = next((i for i, line in enumerate(lines) if line.startswith(b"----------")), -1)
    if ruler < 0 and lines[0].startswith(b"Des'n"):
        ruler = 0
    return sum(len(line) + 1 for line in lines[: ruler + 1]), ruler + 2


def _parse_or_halve(lines: list[bytes], numbers: NDArray[np.int64]) -> Orbits:
    """Orbits of some lines; where any step refuses them all, the line to blame is sought."""
    try:
        return _parse(lines, numbers)
    except Exception as error:  # whatever a damaged line may cause
        if len(lines) == 1:
            reason = f"it cannot be read ({type(error).__name__}: {error})"
            bad = BadLine(int(numbers[0]), lines[0].decode("ascii", "replace"), reason)
            return replace(_parse([], numbers[:0]), failures=(bad,))
        half = len(lines) // 2
        return stack_orbits([
            _parse_or_halve(lines[:half], numbers[:half]),
            _parse_or_halve(lines[half:], numbers[half:]),
        ])  # fmt: skip


def _parse(lines: list[bytes], numbers: NDArray[np.int64]) -> Orbits:
    """Orbits of some lines; the others among the failures."""
    # A tab or a carriage return would shift no column, but must not end in a name.
    length = np.fromiter((len(line.rstrip()) for line in lines), int, len(lines))
    cut = np.array(lines, dtype=f"S{_WIDTH}") if lines else np.zeros(0, f"S{_WIDTH}")
    table = cut.view(np.uint8).reshape(len(lines), _WIDTH)
    raw = {name: _field(table, name) for name in _COLUMNS}
    values = {name: _numbers(raw[name]) for name in _COLUMNS if name not in _TEXTS}
    epoch_jd = _epochs(raw["epoch"])
    last_jd, last_is_none = _last_observations(raw["last"])
    reasons = _reasons(values, epoch_jd, length, last_is_none)
    good = np.array([not reason for reason in reasons], dtype=bool)
    failures = tuple(
        BadLine(int(numbers[i]), lines[i].decode("ascii", "replace"), reasons[i])
        for i in np.flatnonzero(~good)
    )
    readable = _readable(table, lines)
    designation, name = _names(raw["packed"][good], readable[good])
    kept = {key: column[good] for key, column in values.items()}
    arc_start_jd, arc_end_jd = _arcs(raw["arc"][good], last_jd[good])
    return Orbits(
        designation=designation,
        name=name,
        h_mag=kept["h"],
        g_slope=kept["g"],
        epoch_jd=epoch_jd[good],
        uncertainty=kept["u"],
        failures=failures,
        arc_start_jd=arc_start_jd,
        arc_end_jd=arc_end_jd,
        **_elements(kept, epoch_jd[good]),
    )


_TEXTS = frozenset({"packed", "epoch", "readable", "arc", "last"})


def _field(table: NDArray[np.uint8], name: str) -> NDArray[np.bytes_]:
    start, stop = _COLUMNS[name]
    column = np.ascontiguousarray(table[:, start:stop]).view(f"S{stop - start}").ravel()
    return np.char.strip(column)


def _readable(table: NDArray[np.uint8], lines: list[bytes]) -> NDArray[np.bytes_]:
    """Written names; excerpts in circulation have them behind the flags, but further left."""
    column = _field(table, "readable")
    in_place = np.isin(table[:, 161:165], list(b"0123456789ABCDEF ")).all(axis=1)
    in_place &= table[:, 165] == ord(" ")
    elsewhere = np.flatnonzero(~in_place | (column == b""))
    for i in elsewhere:
        match = _NAME_BEHIND_FLAGS.search(lines[i], _COLUMNS["u"][1])
        column[i] = match.group(1) if match else b""
    return column


def _numbers(column: NDArray[np.bytes_]) -> Floats:
    """Numbers of a column; NaN where it is empty or no number."""
    filled = np.where(column == b"", b"nan", column)
    try:
        return filled.astype(float)
    except ValueError:
        return np.array([_number(text) for text in filled])


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _epochs(column: NDArray[np.bytes_]) -> Floats:
    """Julian dates (TT) of packed dates; NaN where they are none."""
    kinds, which = np.unique(column, return_inverse=True)
    dates = [epoch_from_packed(text.decode("ascii", "replace")) for text in kinds.tolist()]
    return np.array([_jd(date) for date in dates], dtype=float)[which]


def _jd(date: tuple[int, int, int] | None) -> float:
    """Julian date at 0h of a day of the Gregorian calendar; NaN for the 31st of February."""
    try:
        return math.nan if date is None else datetime.date(*date).toordinal() + _JD_OF_DAY_0
    except ValueError:
        return math.nan


def _arcs(arc: NDArray[np.bytes_], last_jd: Floats) -> tuple[Floats, Floats]:
    """First and last observation (JD) from ``1893-2019`` or ``23 days``, and the latter's date."""
    start, end = np.full(len(arc), np.nan), last_jd
    if len(arc) == 0:
        return start, end
    letters = arc.astype("S9").view("S1").reshape(-1, 9)
    years = letters[:, 4] == b"-"
    first_year, last_year = (
        _numbers(np.ascontiguousarray(letters[years][:, cut]).view("S4").ravel())
        for cut in (slice(0, 4), slice(5, 9))
    )
    start[years] = _new_year_jd(first_year)
    end[years] = np.where(np.isfinite(end[years]), end[years], _new_year_jd(last_year + 1.0))
    days = np.flatnonzero(np.char.endswith(arc, b"days"))
    start[days] = end[days] - _numbers(np.array([a[:-4] for a in arc[days].tolist()], dtype="S5"))
    return start, end


def _last_observations(column: NDArray[np.bytes_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Julian dates of ``20190509``, and which are written like dates and are none."""
    kinds, which = np.unique(column, return_inverse=True)
    written = np.array([len(text) == 8 and text.isdigit() for text in kinds.tolist()], dtype=bool)
    jds = np.array(
        [
            _jd((int(text[:4]), int(text[4:6]), int(text[6:]))) if is_date else math.nan
            for text, is_date in zip(kinds.tolist(), written, strict=True)
        ],
        dtype=float,
    )
    return jds[which], (written & np.isnan(jds))[which]


def _new_year_jd(year: Floats) -> Floats:
    return 2451544.5 + 365.25 * (year - 2000.0)


def _reasons(
    values: dict[str, Floats],
    epoch_jd: Floats,
    length: NDArray[np.int_],
    last_is_none: NDArray[np.bool_],
) -> list[str]:
    """Why each line is no orbit; empty where it is one."""
    a, e = values["a"], values["e"]
    reasons = np.full(len(a), "", dtype=object)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.degrees(np.sqrt(GM_SUN_AU3_PER_DAY2 / np.abs(a) ** 3))
        tests = (
            ("its last observation is no date", last_is_none),
            ("its mean motion does not fit its semi-major axis",
             np.abs(values["motion"] - expected)
             > _MOTION_TOLERANCE * expected + _MOTION_ROUNDING_DEG),
            ("its inclination is not in 0 to 180 degrees",
             ~((values["incl"] >= 0) & (values["incl"] <= 180))),
            ("eccentricity and semi-major axis are no orbit about the Sun",
             ~((e >= 0) & ((a > 0) & (e < 1) | (a < 0) & (e > 1)))),
            ("an element is missing or no number",
             ~np.isfinite(values["anomaly"] + values["argperi"] + values["node"]
                          + values["incl"] + e + a)),
            ("its epoch is no packed date", ~np.isfinite(epoch_jd)),
            (f"it is shorter than {_SHORTEST} columns", length < _SHORTEST),
        )  # fmt: skip
        for reason, failed in tests:
            reasons[failed] = reason
    return reasons.tolist()


def _elements(values: dict[str, Floats], epoch_jd: Floats) -> dict[str, Any]:
    """Perihelion elements of the catalogue's own."""
    a, e = values["a"], values["e"]
    anomaly = np.radians(values["anomaly"])
    anomaly = np.where(e < 1, np.mod(anomaly + np.pi, 2 * np.pi) - np.pi, anomaly)
    motion = np.sqrt(GM_SUN_AU3_PER_DAY2 / np.abs(a) ** 3)
    return {
        "q_au": a * (1.0 - e),
        "e": e,
        "incl_rad": np.radians(values["incl"]),
        "node_rad": np.radians(values["node"]),
        "argperi_rad": np.radians(values["argperi"]),
        "tp_jd": epoch_jd - anomaly / motion,
    }


def _names(packed: NDArray[np.bytes_], readable: NDArray[np.bytes_]) -> tuple[Any, Any]:
    """Keys and written names; numbers, most of a catalogue, all at once."""
    if len(packed) == 0:
        return np.zeros(0, dtype=str), np.zeros(0, dtype=str)
    number = _plain_numbers(packed)
    plain = number >= 0
    key = np.zeros(len(packed), dtype="U24")
    name = np.zeros(len(packed), dtype="U40")
    key[plain] = number[plain].astype("U24")
    written = np.char.decode(readable[plain], "ascii", "replace")
    bracketed = np.char.startswith(written, "(")
    number_in_brackets = np.char.add(np.char.add("(", key[plain]), np.where(written, ") ", ")"))
    name[plain] = np.where(bracketed, written, np.char.add(number_in_brackets, written))
    for i in np.flatnonzero(~plain):
        key[i], name[i] = _name(
            packed[i].decode("ascii", "replace"), readable[i].decode("ascii", "replace")
        )
    return _trimmed(key), _trimmed(name)


def _trimmed(texts: NDArray[np.str_]) -> NDArray[np.str_]:
    """No wider than its longest: four bytes a character, a million times."""
    return texts.astype(f"U{max(1, int(np.char.str_len(texts).max()))}")


def _plain_numbers(packed: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Numbers packed as ``24421`` or ``A0000``; -1 for anything else."""
    letters = packed.astype("S7").view(np.uint8).reshape(-1, 7)
    digits = letters[:, 1:5].astype(np.int64) - ord("0")
    head = _HEADS[letters[:, 0]]
    good = (head >= 0) & np.all((digits >= 0) & (digits <= 9), axis=1)
    good &= np.all(letters[:, 5:] == 0, axis=1)
    return np.where(good, head * 10_000 + digits @ np.array([1000, 100, 10, 1]), -1)


#: Values of the first letter of a packed number, by its byte.
_HEADS = np.full(256, -1, dtype=np.int64)
for _value, _letter in enumerate(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"):
    _HEADS[_letter] = _value


def _name(packed: str, readable: str) -> tuple[str, str]:
    key = unpack_designation(packed)
    if key is None:  # a survey's own label: the written name is all there is
        return readable or packed, readable or packed
    if not key.isdigit():
        return key, readable or key
    if not readable:
        return key, f"({key})"
    return key, readable if readable.startswith("(") else f"({key}) {readable}"


def write_mpcorb(orbits: Orbits, path: str | Path) -> None:
    """Write orbits in MPCORB columns, without a header; gzipped where the name ends in ``.gz``.

    Angles keep 5 decimals of a degree and distances 7 of an au, as everywhere in this format:
    0.02 arcsec seen from the Sun.

    Parameters
    ----------
    orbits
        n orbits.
    path
        The file.

    Raises
    ------
    CatalogueError
        For an epoch that is not 0h TT of a day, a parabola, or a number beyond its column, none
        of which the format can hold; or where the file cannot be written.
    """
    text = "".join(f"{line}\n" for line in _format(orbits)).encode("ascii", "replace")
    path = Path(path)
    try:
        path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    except OSError as error:
        raise CatalogueError(
            f"cannot write orbits to {path}: {error.strerror or error}; give a path in a "
            "folder that exists and may be written to"
        ) from None


def _format(orbits: Orbits) -> Iterable[str]:
    epochs = _packed_epochs(orbits.epoch_jd)
    if np.any(orbits.e == 1.0):
        bad = orbits.name[orbits.e == 1.0][0]
        raise CatalogueError(f"MPCORB columns hold no parabola, which {bad} is; leave it out")
    degrees = (
        np.degrees(np.mod(orbits.mean_anomaly_rad, 2 * np.pi)),
        np.degrees(np.mod(orbits.argperi_rad, 2 * np.pi)),
        np.degrees(np.mod(orbits.node_rad, 2 * np.pi)),
        np.degrees(orbits.incl_rad),
    )
    motion = np.degrees(orbits.mean_motion_rad_per_day)
    # Made of all orbits at each asking: once, not once a line.
    axes = orbits.a_au
    for i in range(len(orbits)):
        angles = "  ".join(f"{angle[i]:9.5f}" for angle in degrees)
        line = (
            f"{_packed(orbits.designation[i]):<7} {_optional(orbits.h_mag[i])} "
            f"{_optional(orbits.g_slope[i])} {epochs[i]} {angles}  "
            f"{orbits.e[i]:9.7f} {motion[i]:11.8f} {_axis(axes[i])}  "
            f"{_uncertainty(orbits.uncertainty[i])}"
        )
        if len(line) != _COLUMNS["u"][1]:
            raise CatalogueError(f"elements of {orbits.name[i]} are too large for MPCORB columns")
        yield f"{line:<{_COLUMNS['readable'][0]}}{orbits.name[i][:28]}".rstrip()


def _axis(a_au: float) -> str:
    """With as many decimals as eleven columns hold, seven at most."""
    decimals = max(0, 7 - max(0, len(f"{a_au:.0f}") - 3))
    return f"{a_au:11.{decimals}f}"


def _packed_epochs(epoch_jd: Floats) -> list[str]:
    import erfa

    packed = {}
    for jd in np.unique(epoch_jd):
        year, month, day, fraction = erfa.jd2cal(float(jd), 0.0)
        text = pack_epoch(int(year), int(month), int(day))
        if text is None or fraction != 0.0:
            raise CatalogueError(
                f"an epoch is JD {jd} (TT); MPCORB columns hold only 0h of a day of the years "
                "1800 to 2199: propagate the orbit to such an epoch first"
            )
        packed[jd] = text
    return [packed[jd] for jd in epoch_jd]


def _packed(designation: str) -> str:
    """Packed where it can be; else the survey's own label as it is (7 columns)."""
    return pack_designation(designation) or designation.replace(" ", "")[:7]


def _optional(value: float) -> str:
    return f"{value:5.2f}" if math.isfinite(value) else " " * 5


def _uncertainty(value: float) -> str:
    return f"{int(value):1d}" if math.isfinite(value) else " "
