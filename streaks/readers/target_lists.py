"""Lists of things that should be there: other surveys' tables, TNS, ADES, the MPC's 80 columns.

Columns are recognised by name, whatever their case and punctuation; `COLUMN_NAMES` says which. A
list without a header (80 columns) is recognised by its form.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.disk import Limits, read_bytes
from streaks.errors import ConfigError, ReadError
from streaks.readers.tables import read_table
from streaks.readers.times import parse_instant

__all__ = ["COLUMN_NAMES", "parse_mapping", "read_targets"]

_log = logging.getLogger(__name__)

#: Names that columns go by, without case and punctuation; the first that is there is taken.
COLUMN_NAMES: Mapping[str, Sequence[str]] = {
    "entry": ("entry", "streakid", "candid", "obsid", "id", "objid", "objectid", "strid"),
    "name": (
        "name", "designation", "permid", "provid", "trksub", "object", "obj", "objname", "target",
        "desig", "ssnamenr", "mover",
    ),
    "image": ("image", "frame", "filename", "img", "file"),
    "ra": ("ra", "radeg", "raj2000", "alpha", "rightascension", "discoveryra", "meanra", "rafinal"),
    "dec": (
        "dec", "decdeg", "decl", "dej2000", "decj2000", "delta2000", "declination", "discoverydec",
        "meandec", "decfinal",
    ),
    "time": (
        "time", "obstime", "dateobs", "datetime", "discoverydateut", "discoverydate", "obsdate",
        "date", "utc", "isot", "epoch",
    ),
    "mjd": ("mjd", "obsmjd", "midmjd", "mjdmid"),
    "jd": ("jd", "obsjd", "midjd", "jdmid"),
    "mag": (
        "mag", "magnitude", "vmag", "vm", "v", "magpsf", "discoverymag", "discoverymagflux",
        "apmag", "magap", "peakmag",
    ),
    "snr": ("snr", "sn", "signaltonoise"),
    "rate": ("rate", "ratearcsecs", "ratearcsecpers", "motion"),
    "rate_min": ("ratearcsecmin", "ratearcsecpermin", "rateamin"),
    "rate_hour": ("ratearcsech", "ratearcsechr", "ratearcsecperhour", "ratearcsechour"),
    "rate_day": ("ratedegday", "ratedegperday", "degperday"),
    "pa": ("motionpa", "pa", "posang", "positionangle", "motionangle"),
    "x": ("x", "xpos", "xpix", "xcentroid"),
    "y": ("y", "ypos", "ypix", "ycentroid"),
    "x0": ("x0", "xstart"), "y0": ("y0", "ystart"), "x1": ("x1", "xend"), "y1": ("y1", "yend"),
    "ra0": ("ra0", "rastart", "predrastart"), "dec0": ("dec0", "decstart", "preddecstart"),
    "ra1": ("ra1", "raend", "predraend"), "dec1": ("dec1", "decend", "preddecend"),
    "pos_err": ("poserr", "poserrarcsec", "unc", "uncarcsec"),
    "label": ("label", "class"),
}  # fmt: skip

_NUMBERS = (
    "ra", "dec", "x", "y", "mjd", "mag", "snr", "rate", "pa", "x0", "y0", "x1", "y1",
    "ra0", "dec0", "ra1", "dec1", "pos_err",
)  # fmt: skip
#: To arcsec a second.
_RATE_UNITS = {"rate": 1.0, "rate_min": 1 / 60, "rate_hour": 1 / 3600, "rate_day": 3600 / 86_400}
_UNITS = {
    "ra": "deg", "dec": "deg", "ra0": "deg", "dec0": "deg", "ra1": "deg", "dec1": "deg",
    "pa": "deg", "rate": "arcsec/s", "pos_err": "arcsec", "mag": "mag",
}  # fmt: skip
_TEXT_LIMITS = Limits(max_bytes=1 << 28)
#: The MPC's 80 columns: a date, places in hours and degrees, an observatory.
_MPC80 = re.compile(
    r"^.{14}.(?P<date>\d{4} \d\d \d\d\.\d+ *)(?P<ra>\d\d \d\d [\d. ]{6})"
    r"(?P<dec>[+-]\d\d \d\d [\d. ]{5}).{9}(?P<mag>[\d. ]{5})"
)
_SEXAGESIMAL = re.compile(r"^\s*([+-]?)(\d{1,3})[:\s hd°]+(\d{1,2})[:\s m'′]+(\d{1,2}(?:\.\d*)?)")


def parse_mapping(text: str) -> dict[str, str]:
    """What `--columns` says: ``ra=RA_OBJ,dec=DE_OBJ``.

    Parameters
    ----------
    text
        Our names and the list's, parted by commas; empty for none.

    Returns
    -------
    dict
        The list's name by ours.

    Raises
    ------
    ConfigError
        If it has another form, or one of our names is unknown.
    """
    mapping = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, theirs = word.partition("=")
        if not equals or ours.strip() not in COLUMN_NAMES:
            known = " ".join(COLUMN_NAMES)
            raise ConfigError(f"--columns has {word!r}; give OURS=THEIRS with one of ours: {known}")
        mapping[ours.strip()] = theirs.strip()
    return mapping


def read_targets(
    path: str | os.PathLike[str], columns: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The entries of a list, in bare arrays by our names.

    Parameters
    ----------
    path
        ``.ecsv .csv .parquet .vot .fits``, ADES ``.psv``, or text in the MPC's 80 columns.
    columns
        The list's names by ours, where `COLUMN_NAMES` does not know them.

    Returns
    -------
    dict
        ``entry, name, image`` (n texts; entries are unique) and the numbers of
        `streaks.completeness.ENTRY_COLUMNS`: degrees, arcsec/s, UTC days, magnitudes; NaN where
        the list tells nothing. Rows that another class than asteroid labels are left out, with a
        word in the log.

    Raises
    ------
    ReadError
        If it cannot be read, or tells no places.
    ConfigError
        If a column that is named is not there.
    """
    path = Path(path)
    raw = _raw_columns(path)
    named = _recognised(list(raw), columns or {}, path)
    n = len(next(iter(raw.values()))) if raw else 0
    values: dict[str, Any] = {name: np.full(n, np.nan) for name in _NUMBERS}
    for name, theirs in named.items():
        if name in values:
            values[name] = _numbers(raw[theirs[0]], name)
    for name, factor in _RATE_UNITS.items():
        if name in named and not np.isfinite(values["rate"]).any():
            values["rate"] = factor * _numbers(raw[named[name][0]], "rate")
    _fill_times(values, raw, named)
    for name in ("name", "image", "entry"):
        values[name] = _first_texts(raw, named.get(name, ()), n)
    values["image"] = np.array([_image_name(text) for text in values["image"]], dtype=str)
    if "label" in named:
        labels = _first_texts(raw, named["label"], n)
        keep = np.isin(labels, ("", "asteroid"))
        if not keep.all():
            _log.warning("%s: %d rows of other classes are left out", path, int((~keep).sum()))
        values = {name: column[keep] for name, column in values.items()}
    if not _placed(values).any() and len(values["ra"]):
        raise ReadError(
            f"{path} tells no places: of its columns {', '.join(list(raw)[:30])} none is known as "
            "ra and dec, or image with x and y; name them with --columns ra=...,dec=..."
        )
    values["entry"] = _unique(values["entry"], values["name"])
    return values


def _placed(values: Mapping[str, Any]) -> NDArray[np.bool_]:
    sky = np.isfinite(values["ra"]) & np.isfinite(values["dec"])
    sky |= np.isfinite(values["ra0"]) & np.isfinite(values["dec1"])
    pixels = np.isfinite(values["x"]) | np.isfinite(values["x0"])
    return np.asarray(sky | (pixels & (values["image"] != "")))


def _raw_columns(path: Path) -> dict[str, Any]:
    """Columns by the list's own names."""
    if path.suffix.lower() in (".ecsv", ".parquet", ".vot", ".xml", ".fits"):
        return _of_table(read_table(path))
    text = read_bytes(path, _TEXT_LIMITS).decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if any(_MPC80.match(line) for line in lines[:50]):
        return _of_mpc80(lines)
    if path.suffix.lower() == ".psv" or any(line.count("|") >= 3 for line in lines[:50]):
        return _of_psv(lines, path)
    if path.suffix.lower() == ".csv":
        return _of_table(read_table(path))
    raise ReadError(
        f"{path} is no list that is known; expected .csv .ecsv .parquet .vot .fits, ADES .psv or "
        "the MPC's 80 columns"
    )


def _of_table(table: QTable) -> dict[str, Any]:
    columns = {}
    for name in table.colnames:
        column = table[name]
        unit = _UNITS.get(_ours(name))
        if unit is not None and getattr(column, "unit", None) is not None:
            try:
                column = column.to_value(unit)
            except Exception:  # a unit that does not fit says nothing: the numbers stand
                _log.warning("unit %s of %s is not %s; taken as it is", column.unit, name, unit)
        columns[name] = np.asarray(getattr(column, "value", column))
    return columns


def _ours(theirs: str) -> str:
    plain = _plain(theirs)
    return next((name for name, known in COLUMN_NAMES.items() if plain in known), "")


def _of_psv(lines: Sequence[str], path: Path) -> dict[str, Any]:
    """ADES: comments and context begin with # or !; a header goes before the records."""
    header: list[str] = []
    rows: list[dict[str, str]] = []
    for line in lines:
        if line.startswith(("#", "!")):
            header = []  # another block may have other columns
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if not header:
            header = cells
        elif len(cells) != len(header):
            raise ReadError(f"{path} has a row of {len(cells)} cells under {len(header)} columns")
        else:
            rows.append(dict(zip(header, cells, strict=True)))
    names = list(dict.fromkeys(name for row in rows for name in row)) or header
    return {name: np.array([row.get(name, "") for row in rows], dtype=str) for name in names}


def _of_mpc80(lines: Sequence[str]) -> dict[str, Any]:
    found = [(line, match) for line in lines if (match := _MPC80.match(line))]
    skipped = len(lines) - len(found)
    if skipped:
        _log.warning("%d lines are no observations in 80 columns; left out", skipped)
    days = []
    for _, match in found:
        date, _, fraction = match["date"].strip().partition(".")
        day = Time(date.replace(" ", "-"), format="iso", scale="utc").mjd
        days.append(float(day) + float(f"0.{fraction}"))
    return {
        "name": np.array([_mpc_name(line) for line, _ in found], dtype=str),
        "mjd": np.array(days),
        "ra": np.array([match["ra"] for _, match in found], dtype=str),
        "dec": np.array([match["dec"] for _, match in found], dtype=str),
        "mag": np.array([match["mag"].strip() for _, match in found], dtype=str),
    }


def _mpc_name(line: str) -> str:
    return " ".join(line[:12].split())


def _recognised(
    names: Sequence[str], mapping: Mapping[str, str], path: Path
) -> dict[str, list[str]]:
    """The list's columns by our names, best first; what the user says goes before."""
    found: dict[str, list[str]] = {}
    by_plain = {_plain(name): name for name in reversed(names)}
    for ours, known in COLUMN_NAMES.items():
        theirs = [by_plain[plain] for plain in known if plain in by_plain]
        if ours in mapping:
            if mapping[ours] not in names:
                raise ConfigError(
                    f"--columns names {mapping[ours]!r}, which {path} does not have; it has "
                    f"{', '.join(names[:40])}"
                )
            theirs = [mapping[ours]]
        if theirs:
            found[ours] = theirs
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _numbers(column: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Numbers of a column; sexagesimal places too, right ascension then in hours."""
    if column.dtype.kind in "fiub":
        return np.asarray(column, dtype=np.float64)
    hours = name.startswith("ra") and name != "rate"
    return np.array([_number(str(text), hours=hours) for text in column], dtype=np.float64)


def _number(text: str, *, hours: bool) -> float:
    sexagesimal = _SEXAGESIMAL.match(text)
    if sexagesimal:
        sign, whole, minutes, seconds = sexagesimal.groups()
        value = float(whole) + float(minutes) / 60 + float(seconds) / 3600
        return (-value if sign == "-" else value) * (15.0 if hours else 1.0)
    try:
        return float(text)
    except ValueError:
        return math.nan


def _fill_times(
    values: dict[str, Any], raw: Mapping[str, Any], named: Mapping[str, Sequence[str]]
) -> None:
    if "jd" in named and not np.isfinite(values["mjd"]).any():
        values["mjd"] = _numbers(raw[named["jd"][0]], "jd") - 2_400_000.5
    if "time" in named and not np.isfinite(values["mjd"]).any():
        values["mjd"] = _days(raw[named["time"][0]])


def _days(column: NDArray[Any]) -> NDArray[np.float64]:
    """UTC days of texts, or of numbers that are JD or MJD."""
    if column.dtype.kind in "fiu":
        numbers = np.asarray(column, float)
        return np.where(numbers > 2_000_000, numbers - 2_400_000.5, numbers)
    texts = [str(text).strip().rstrip("Z") for text in column]
    try:
        return np.asarray(Time([t.replace("T", " ") for t in texts], format="iso").mjd, float)
    except (ValueError, TypeError):
        times = [parse_instant(text) if text else None for text in texts]
        return np.array([math.nan if t is None else float(t.utc.mjd) for t in times])


def _first_texts(raw: Mapping[str, Any], theirs: Sequence[str], n: int) -> NDArray[np.str_]:
    """The first column that is not empty, row by row."""
    texts = np.full(n, "", dtype="U1")
    for name in reversed(list(theirs)):
        column = np.array([str(v).strip() for v in raw[name]], dtype=str)
        texts = np.where((column == "") | (column == "--") | (column == "nan"), texts, column)
    return texts


def _image_name(text: str) -> str:
    """A file's path as the name that frames go by."""
    name = text.rsplit("/", 1)[-1]
    return re.sub(r"\.(fits|fit|fts)(\.(fz|gz))?$", "", name)


def _unique(entries: NDArray[np.str_], names: NDArray[np.str_]) -> NDArray[np.str_]:
    seen: dict[str, int] = {}
    made = []
    for k, (entry, name) in enumerate(zip(entries, names, strict=True), start=1):
        word = str(entry) or str(name) or f"row {k}"
        seen[word] = seen.get(word, 0) + 1
        made.append(word if seen[word] == 1 else f"{word} #{seen[word]}")
    return np.array(made, dtype=str)
