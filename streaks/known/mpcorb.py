"""Orbit files in the columns of MPCORB.DAT, read and written.

The file's lines are one table of fixed columns, so they are cut as one array of bytes: the full
catalogue of 1.45 million lines takes seconds.

References
----------
https://www.minorplanetcenter.net/iau/info/MPOrbitFormat.html
"""

from __future__ import annotations

import gzip
import logging
import math
import re
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import Limits, open_regular
from streaks.errors import CatalogueError, ReadError
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

#: The full catalogue has 0.3 GB, as JSON 1.4, and packs to a fourth or an eighth of it.
_LIMITS = Limits(max_bytes=1 << 31, max_ratio=50.0)

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
#: Elements end here; a shorter line is no orbit.
_SHORTEST = 103
#: Lines parsed at once: keeps the bytes of a full catalogue out of memory.
_CHUNK = 100_000
#: Header lines of MPCORB.DAT end with a ruler; there are some forty.
_LONGEST_HEADER = 200
#: Mean motion (8 decimals) and semi-major axis (7) of one line agree to their rounding; a line
#: that was damaged or shifted does not.
_MOTION_TOLERANCE = 1e-4
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
        If the file cannot be read, or most of its lines are no orbits.
    """
    path = Path(path)
    content, cut_short = read_bytes(path)
    lines, first_number = _without_header(content.split(b"\n"))
    parts = [_parse(lines[i : i + _CHUNK], first_number + i) for i in range(0, len(lines), _CHUNK)]
    orbits = stack_orbits(parts) if parts else None
    if orbits is None or len(orbits) <= len(orbits.failures):
        found = 0 if orbits is None else len(orbits)
        raise CatalogueError(
            f"{path} is no orbit catalogue in MPCORB columns: {found} of its {len(lines)} lines "
            "hold an orbit; give MPCORB.DAT or NEA.txt of the Minor Planet Center (.gz or not)"
        )
    if cut_short:
        end = BadLine(first_number + len(lines), "", cut_short)
        orbits = replace(orbits, failures=(*orbits.failures, end))
    if orbits.failures:
        _log.warning("%s: %d lines are no orbits", path.name, len(orbits.failures))
    return orbits


def read_bytes(path: Path) -> tuple[bytes, str]:
    """A file's content, unzipped, and what is wrong with its end (empty for nothing)."""
    try:
        with open_regular(path) as stream:
            if stream.read(2) != b"\x1f\x8b":
                stream.seek(0)
                return stream.read(), ""
        return _unzip(path)
    except (OSError, ReadError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CatalogueError(
            f"cannot read the orbit catalogue {path}: {reason}; give a file in MPCORB columns"
        ) from None


def _unzip(path: Path) -> tuple[bytes, str]:
    """What a gzipped file still holds where it was cut."""
    pieces: list[bytes] = []
    total, packed = 0, path.stat().st_size
    with gzip.open(path, "rb") as stream:
        try:
            while piece := stream.read(1 << 24):
                total += len(piece)
                _LIMITS.check(total, packed, str(path))
                pieces.append(piece)
        except (EOFError, zlib.error) as error:
            return b"".join([*pieces, _last_piece(path, sum(map(len, pieces)))]), (
                f"the file is cut short or damaged here ({error})"
            )
    return b"".join(pieces), ""


def _last_piece(path: Path, have: int) -> bytes:
    """What lies between the last whole piece and the damage."""
    with path.open("rb") as stream:
        decoder = zlib.decompressobj(wbits=31)
        pieces = []
        try:
            while packed := stream.read(1 << 16):
                pieces.append(decoder.decompress(packed))
        except zlib.error:
            pass
    return b"".join(pieces)[have:]


def _without_header(lines: list[bytes]) -> tuple[list[bytes], int]:
    """Lines behind the header, and the number (from 1) of the first of them."""
    start = 0
    for i, line in enumerate(lines[:_LONGEST_HEADER]):
        if line.startswith(b"----------"):
            start = i + 1
            break
    else:
        if lines and lines[0].startswith(b"Des'n"):
            start = 1
    return lines[start:], start + 1


def _parse(lines: list[bytes], first_number: int) -> Orbits:
    """Orbits of some lines; the others among the failures."""
    # A tab or a carriage return would shift no column, but must not end in a name.
    length = np.fromiter((len(line.rstrip()) for line in lines), int, len(lines))
    cut = np.array(lines, dtype=f"S{_WIDTH}") if lines else np.zeros(0, f"S{_WIDTH}")
    table = cut.view(np.uint8).reshape(len(lines), _WIDTH)
    raw = {name: _field(table, name) for name in _COLUMNS}
    values = {name: _numbers(raw[name]) for name in _COLUMNS if name not in _TEXTS}
    epoch_jd = _epochs(raw["epoch"])
    reasons = _reasons(values, epoch_jd, length)
    good = np.array([not reason for reason in reasons], dtype=bool)
    failures = tuple(
        BadLine(first_number + int(i), lines[i].decode("ascii", "replace"), reasons[i])
        for i in np.flatnonzero(~good)
        if length[i] > 0  # MPCORB.DAT parts its sections by empty lines
    )
    readable = _readable(table, lines)
    designation, name = _names(raw["packed"][good], readable[good])
    kept = {key: column[good] for key, column in values.items()}
    arc_start_jd, arc_end_jd = _arcs(raw["arc"][good], raw["last"][good])
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
    import erfa

    kinds, which = np.unique(column, return_inverse=True)
    jds = np.full(len(kinds), np.nan)
    for i, text in enumerate(kinds):
        date = epoch_from_packed(text.decode("ascii", "replace"))
        if date is not None:
            try:
                jds[i] = sum(erfa.cal2jd(*date))
            except erfa.ErfaError:  # the 31st of February
                continue
    return jds[which]


def _arcs(arc: NDArray[np.bytes_], last: NDArray[np.bytes_]) -> tuple[Floats, Floats]:
    """First and last observation (JD) from ``1893-2019`` or ``23 days`` and ``20190509``."""
    start, end = np.full(len(arc), np.nan), _last_observations(last)
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


def _last_observations(column: NDArray[np.bytes_]) -> Floats:
    import erfa

    kinds, which = np.unique(column, return_inverse=True)
    jds = np.full(len(kinds), np.nan)
    for i, text in enumerate(kinds.tolist()):
        if len(text) == 8 and text.isdigit():
            try:
                jds[i] = sum(erfa.cal2jd(int(text[:4]), int(text[4:6]), int(text[6:])))
            except erfa.ErfaError:  # the 31st of February
                continue
    return jds[which]


def _new_year_jd(year: Floats) -> Floats:
    return 2451544.5 + 365.25 * (year - 2000.0)


def _reasons(values: dict[str, Floats], epoch_jd: Floats, length: NDArray[np.int_]) -> list[str]:
    """Why each line is no orbit; empty where it is one."""
    a, e = values["a"], values["e"]
    reasons = np.full(len(a), "", dtype=object)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.degrees(np.sqrt(GM_SUN_AU3_PER_DAY2 / np.abs(a) ** 3))
        tests = (
            ("its mean motion does not fit its semi-major axis",
             np.abs(values["motion"] / expected - 1.0) > _MOTION_TOLERANCE),
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
    for i in range(len(orbits)):
        angles = "  ".join(f"{angle[i]:9.5f}" for angle in degrees)
        line = (
            f"{_packed(orbits.designation[i]):<7} {_optional(orbits.h_mag[i])} "
            f"{_optional(orbits.g_slope[i])} {epochs[i]} {angles}  "
            f"{orbits.e[i]:9.7f} {motion[i]:11.8f} {orbits.a_au[i]:11.7f}  "
            f"{_uncertainty(orbits.uncertainty[i])}"
        )
        if len(line) != _COLUMNS["u"][1]:
            raise CatalogueError(f"elements of {orbits.name[i]} are too large for MPCORB columns")
        yield f"{line:<{_COLUMNS['readable'][0]}}{orbits.name[i][:28]}".rstrip()


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
