"""Orbit catalogues in all forms in circulation, and a compact one of our own.

The Minor Planet Center's MPCORB.DAT, NEA.txt (`streaks.known.mpcorb`), mpcorb_extended.json and
CometEls.txt or AllCometEls.txt, tables of JPL's Small-Body Database (JSON of its query service, or
CSV), each gzipped or not; and ours (``.npz``: plain arrays, no code), which a program reads in a
moment. `read_orbits` tells them apart by their content.

References
----------
https://minorplanetcenter.net/Extended_Files/Extended_MPCORB_Data_Format_Manual.pdf;
https://www.minorplanetcenter.net/iau/info/CometOrbitFormat.html;
https://ssd-api.jpl.nasa.gov/doc/sbdb_query.html
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from streaks.disk import open_regular, written_whole
from streaks.errors import CatalogueError, OutputError, ReadError
from streaks.known import mpcorb
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.names import normalise_name
from streaks.known.orbits import BadLine, Orbits, stack_orbits

__all__ = ["catalogue_notes", "read_orbits", "write_catalogue"]

_FORMAT = "streaks orbits 1"
#: Entries held as single values at once.
_CHUNK = 50_000
#: So many entries more that are no orbits than orbits, and the rest of a file is not looked at.
_MAX_BAD_FIRST = 50_000
_TEXT_WIDTH = {"designation": 24, "name": 48}
#: An object of mpcorb_extended.json; objects in it hold lists, but no objects.
_JSON_OBJECT = re.compile(rb"\{[^{}]*\}")
#: What a damaged compact catalogue may raise.
_DAMAGED = (
    OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, MemoryError,
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, RecursionError,
    CatalogueError,
)  # fmt: skip
#: Of its members to the file.
_MAX_COMPACT_RATIO = 4
_COMET_LINE = re.compile(r"^.{14}[ -]?\d{3,4} [ \d]\d [ \d]\d\.\d")


def read_orbits(path: str | Path) -> Orbits:
    """Orbits of a catalogue in any of the known forms.

    Parameters
    ----------
    path
        A file, gzipped or not.

    Returns
    -------
    Orbits
        In the file's order; entries that are no orbits are in its ``failures``.

    Raises
    ------
    CatalogueError
        If the file cannot be read, or most of it is no orbits.
    """
    path = Path(path)
    start = _first_bytes(path)
    if start[:4] == b"PK\x03\x04":
        return _read_compact(path)
    if start.lstrip()[:1] in (b"{", b"["):
        content, cut_short = mpcorb.read_bytes(path)
        return _whole(path, *_from_json(content), cut_short)
    first_line = start.split(b"\n")[0].decode("ascii", "replace")
    if _is_csv_heading(first_line):
        content, cut_short = mpcorb.read_bytes(path)
        text = io.TextIOWrapper(io.BytesIO(content), "utf-8", "replace", newline="")
        return _whole(path, *_collect(csv.DictReader(text), _from_sbdb, first_number=2), cut_short)
    if _COMET_LINE.match(first_line):
        content, cut_short = mpcorb.read_bytes(path)
        lines = content.decode("ascii", "replace").splitlines()
        entries = ({"line": line} for line in lines)
        return _whole(path, *_collect(entries, _from_comet_line), cut_short)
    return mpcorb.read_orbits(path)


def _first_bytes(path: Path) -> bytes:
    """The first bytes of what a file holds, unpacked."""
    try:
        with open_regular(path) as stream:
            start = stream.read(4096)
        if start[:2] == b"\x1f\x8b":
            return zlib.decompressobj(wbits=31).decompress(start, 4096)
    except zlib.error:
        return b""
    except (OSError, ReadError) as error:
        raise CatalogueError(
            f"cannot read the orbit catalogue {path}: {error}; give a file in "
            "MPCORB columns, or one written by `streaks known update`"
        ) from None
    return start


def _is_csv_heading(line: str) -> bool:
    names = {name.strip().strip('"') for name in line.split(",")}
    return {"e", "i", "q"} <= names or {"e", "i", "a"} <= names


def _whole(path: Path, orbits: Orbits | None, failures: list[BadLine], cut_short: str) -> Orbits:
    """The catalogue of what was read, or an error where most of it is none."""
    if cut_short:
        failures.append(BadLine(0 if orbits is None else len(orbits), "", cut_short))
    if orbits is None or len(orbits) <= len(failures):
        found = 0 if orbits is None else len(orbits)
        why = f" ({failures[0]})" if failures else ""
        raise CatalogueError(
            f"{path} is no orbit catalogue: {found} of its entries are orbits, {len(failures)} "
            f"are none{why}; give a file of the Minor Planet Center or of JPL's Small-Body Database"
        )
    return replace(orbits, failures=tuple(failures))


def _collect(
    entries: Iterable[Mapping[str, Any]],
    read: Callable[[Mapping[str, Any]], dict[str, Any]],
    *,
    first_number: int = 1,
) -> tuple[Orbits | None, list[BadLine]]:
    """Orbits of single entries, and those that are none."""
    rows: list[dict[str, Any]] = []
    parts: list[Orbits] = []
    failures: list[BadLine] = []
    found = 0
    numbered = enumerate(entries, first_number)
    while True:
        try:
            number, entry = next(numbered)
        except StopIteration:
            break
        except (csv.Error, ValueError) as error:  # what is behind it cannot be told apart
            failures.append(BadLine(first_number + found + len(failures), "", str(error)))
            break
        try:
            row = read(entry)
            _check(row)
        except Exception as error:  # whatever a damaged entry may cause
            failures.append(BadLine(number, _label(entry), _reason(error)))
            if len(failures) > found + _MAX_BAD_FIRST:
                break  # no catalogue: its failures would fill the memory
        else:
            rows.append(row)
            found += 1
        if len(rows) == _CHUNK:
            parts.append(_as_orbits(rows))
            rows = []
    if rows:
        parts.append(_as_orbits(rows))
    return (stack_orbits(parts) if parts else None), failures


def _label(entry: Any) -> str:
    """How an entry begins."""
    first = next(iter(entry.values()), "") if isinstance(entry, Mapping) else entry
    return first[:24] if isinstance(first, str) else type(first).__name__


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, TypeError):
        return "a number is missing, or of another kind"
    return str(error) or type(error).__name__


def _as_orbits(rows: list[dict[str, Any]]) -> Orbits:
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Orbits(**columns)


def _check(row: Mapping[str, Any]) -> None:
    """Refuse what is no orbit about the Sun."""
    for name in ("q_au", "e", "incl_rad", "node_rad", "argperi_rad", "tp_jd", "epoch_jd"):
        if not math.isfinite(row[name]):
            raise ValueError(f"{name} is missing or no number")
    if not (row["q_au"] > 0 and 0 <= row["e"] <= 50 and 0 <= row["incl_rad"] <= math.pi):
        raise ValueError("distance, eccentricity or inclination is no orbit about the Sun")


def _row(
    name: str,
    *,
    q: float,
    e: float,
    angles_deg: tuple[float, float, float],
    tp_jd: float,
    epoch_jd: float,
    h: float = math.nan,
    g: float = math.nan,
    u: float = math.nan,
    key: str = "",
) -> dict[str, Any]:
    incl, node, argperi = (math.radians(angle) for angle in angles_deg)
    return {
        "designation": key or normalise_name(name), "name": name, "h_mag": h, "g_slope": g,
        "epoch_jd": epoch_jd, "q_au": q, "e": e, "incl_rad": incl, "node_rad": node,
        "argperi_rad": argperi, "tp_jd": tp_jd, "uncertainty": u,
    }  # fmt: skip


def _perihelion_jd(anomaly_deg: float, a_au: float, e: float, epoch_jd: float) -> float:
    if not (a_au != 0 and e != 1.0):
        raise ValueError("a mean anomaly tells no time of perihelion of a parabola")
    motion = math.sqrt(GM_SUN_AU3_PER_DAY2 / abs(a_au) ** 3)
    anomaly = math.radians(anomaly_deg)
    if e < 1.0:
        anomaly = math.remainder(anomaly, 2.0 * math.pi)
    return epoch_jd - anomaly / motion


def _number(value: Any) -> float:
    """A number; NaN for none of any spelling."""
    if value is None or str(value).strip() in ("", "null", "None", "nan"):
        return math.nan
    return float(value)


def _from_json(content: bytes) -> tuple[Orbits | None, list[BadLine]]:
    if b'"fields"' in content[:4096] or b'"data"' in content[:4096]:
        return _from_sbdb_json(content)
    # One object after the other: the whole file as one value would take ten times its size.
    return _collect(_json_objects(content), _from_extended)


def _json_objects(content: bytes) -> Iterator[Mapping[str, Any]]:
    for match in _JSON_OBJECT.finditer(content):
        try:
            yield json.loads(match.group())
        except (ValueError, RecursionError):  # no JSON, or an integer of thousands of digits
            yield {"text": match.group()[:24].decode("ascii", "replace")}


def _from_extended(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of mpcorb_extended.json."""
    epoch, e = float(entry["Epoch"]), float(entry["e"])
    q = _number(entry.get("Perihelion_dist"))
    a = _number(entry.get("a"))
    q = q if math.isfinite(q) else a * (1.0 - e)
    # The anomaly and the axis have more digits than the time of perihelion has use for.
    tp = (
        _perihelion_jd(float(entry["M"]), a, e, epoch)
        if math.isfinite(a) and "M" in entry
        else float(entry["Tp"])
    )
    number = str(entry.get("Number", "")).strip("() ")
    called = str(entry.get("Name") or entry.get("Principal_desig") or "")
    name = f"({number}) {called}".strip() if number else called
    u = str(entry.get("U", ""))
    row = _row(
        name, q=q, e=e, tp_jd=tp, epoch_jd=epoch, key=number or normalise_name(called),
        angles_deg=(float(entry["i"]), float(entry["Node"]), float(entry["Peri"])),
        h=_number(entry.get("H")), g=_number(entry.get("G")),
        u=float(u) if u.isdigit() else math.nan,
    )  # fmt: skip
    if not row["designation"]:
        raise ValueError("it has neither number nor designation")
    return row


def _from_sbdb_json(content: bytes) -> tuple[Orbits | None, list[BadLine]]:
    try:
        answer = json.loads(content)
        names, data = answer["fields"], answer["data"]
        if not (_is_list_of(names, str) and isinstance(data, list)):
            raise TypeError("its fields or its data are no list")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return None, [BadLine(1, "", f"no whole answer of the Small-Body Database ({error})")]
    return _collect((_entry(names, row) for row in data), _from_sbdb)


def _is_list_of(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _entry(names: list[str], row: Any) -> dict[str, Any]:
    return dict(zip(names, row, strict=False)) if isinstance(row, list) else {"row": row}


def _from_sbdb(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table of JPL's Small-Body Database."""
    full = " ".join(str(entry.get("full_name") or entry.get("pdes") or entry["name"]).split())
    e, epoch = float(entry["e"]), float(entry["epoch"])
    a = _number(entry.get("a"))
    q = _number(entry.get("q"))
    q = q if math.isfinite(q) else a * (1.0 - e)
    tp = _number(entry.get("tp"))
    if not math.isfinite(tp):
        tp = _perihelion_jd(float(entry["ma"]), a if math.isfinite(a) else q / (1 - e), e, epoch)
    key = normalise_name(str(entry.get("pdes") or full))
    number = re.match(r"(\d+) (\S.*)", full)
    return _row(
        f"({number[1]}) {number[2]}" if number else full.strip("()"), q=q, e=e, tp_jd=tp,
        epoch_jd=epoch, key=key,
        angles_deg=(float(entry["i"]), float(entry["om"]), float(entry["w"])),
        h=_number(entry.get("H")), g=_number(entry.get("G")),
        u=_number(entry.get("condition_code")),
    )  # fmt: skip


def _from_comet_line(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A line of CometEls.txt; its H is of the whole comet, brightening with 2.5 log r of its own.

    Such magnitudes are no absolute magnitudes of the HG system: they are left out, so that a
    comet is never too faint.
    """
    import erfa

    line = str(entry["line"])
    if len(line) < 90:
        raise ValueError("it is shorter than 90 columns")
    day = float(line[22:29])
    tp = sum(erfa.cal2jd(int(line[14:18]), int(line[19:21]), int(day))) + day % 1.0
    epoch_text = line[81:89].strip()
    epoch = tp
    if len(epoch_text) == 8 and epoch_text.isdigit():
        epoch = sum(erfa.cal2jd(int(epoch_text[:4]), int(epoch_text[4:6]), int(epoch_text[6:])))
    written = line[102:158].strip() or line[:12].strip()
    return _row(
        written, q=float(line[30:39]), e=float(line[41:49]), tp_jd=tp, epoch_jd=epoch,
        angles_deg=(float(line[71:79]), float(line[61:69]), float(line[51:59])),
    )  # fmt: skip


def write_catalogue(orbits: Orbits, path: str | Path, notes: Mapping[str, Any]) -> None:
    """Keep a catalogue in the compact form, whole or not at all.

    Parameters
    ----------
    orbits
        n orbits.
    path
        The file; its folder is made.
    notes
        Plain values that say where it is from; `catalogue_notes` gives them back.

    Raises
    ------
    CatalogueError
        If the file cannot be written.
    """
    path = Path(path)
    columns: dict[str, Any] = {}
    for field in fields(Orbits):
        if field.name == "failures":
            continue
        values = getattr(orbits, field.name)
        if field.name in _TEXT_WIDTH:
            values = np.char.encode(values, "utf-8")
        columns[field.name] = values
    about = {"format": _FORMAT, "orbits": len(orbits), **notes}
    columns["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    try:
        with written_whole(path) as part, part.open("wb") as stream:
            np.savez(stream, **columns)
    except OutputError as error:
        raise CatalogueError(f"the catalogue is not kept: {error}") from None


def _read_compact(path: Path) -> Orbits:
    try:
        _check_members(path)
        with np.load(path, allow_pickle=False) as kept:
            _about(kept)
            columns = {f.name: kept[f.name] for f in fields(Orbits) if f.name != "failures"}
        for name, values in columns.items():
            kind = "S" if name in _TEXT_WIDTH else "f"
            if values.ndim != 1 or values.dtype.kind != kind:
                raise ValueError(f"{name} is no column of {'texts' if kind == 'S' else 'numbers'}")
        for name in _TEXT_WIDTH:
            columns[name] = np.char.decode(columns[name], "utf-8")
        return Orbits(**columns)
    except _DAMAGED as error:
        raise CatalogueError(
            f"{path} is no whole catalogue of `streaks known update` ({error}); make it again"
        ) from None


def _check_members(path: Path) -> None:
    """Refuse a compact catalogue that unpacks to more than any has; ours are not packed."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > _MAX_COMPACT_RATIO * path.stat().st_size + 1_000_000:
        raise ValueError(f"it unpacks to {size / 1e6:,.0f} MB")


def catalogue_notes(path: str | Path) -> dict[str, Any]:
    """What a compact catalogue says of itself: ``orbits, sources, sha256, made`` and so on.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Empty for a file of another form.
    """
    try:
        _check_members(Path(path))
        with np.load(path, allow_pickle=False) as kept:
            return _about(kept)
    except _DAMAGED:
        return {}


def _about(kept: Any) -> dict[str, Any]:
    about = json.loads(kept["about"].tobytes())
    if about.get("format") != _FORMAT:
        raise ValueError(f"its format is {about.get('format')!r}, expected {_FORMAT!r}")
    return dict(about)
