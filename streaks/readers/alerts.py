"""ZTF alert packets: Avro files, folders and tar archives of them.

Only the alert itself is read (identifiers, ``candidate``, three stamps), not its history. Real
collections hold packets that do not decode (about 2 %): each is named and counted, none is fatal.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import AlertError, ReadError

__all__ = ["Alert", "Failure", "is_positive", "read_alerts"]

Stamp = NDArray[np.float32]

_AVRO_MAGIC = b"Obj\x01"
_GZIP_MAGIC = b"\x1f\x8b"
_STAMPS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
#: The standard form of the card that ZTF's stamps begin with in a form of their own.
_SIMPLE_CARD = b"SIMPLE  =                    T".ljust(80)
_NO_NAMES = frozenset({"", "null", "none", "nan"})


@dataclass(frozen=True)
class Failure:
    """A file, or a packet in one, that could not be read."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Alert:
    """One alert.

    Parameters
    ----------
    candid, object_id
        The survey's identifiers; 0 and empty where missing.
    jd
        START of the exposure, UTC.
    ra, dec
        Of the detection, deg, ICRS.
    is_positive
        False where the source is fainter than in the reference; None where the packet does not
        say.
    ssdistnr, ssmagnr
        Distance (arcsec, rounded to 1; 0.0 is a real value) and magnitude of the nearest known
        object by the survey's word; NaN for none (-999 or null in the packet).
    ssnamenr
        Its name as spelled in the packet; empty for none.
    candidate
        All fields of the packet's ``candidate``, as they are.
    science, template, difference : (ny, nx) float32, counts, or None
        Stamps, 63 px but smaller at a chip's edge, NaN where there is no data. The difference is
        AS STORED: for negative detections ZTF flips its sign, so that the source is bright
        (`true_difference` undoes it). None where the packet has none, or not as FITS.
    path
        File it came from.
    """

    candid: int
    object_id: str
    jd: float
    ra: float
    dec: float
    is_positive: bool | None
    ssdistnr: float = math.nan
    ssmagnr: float = math.nan
    ssnamenr: str = ""
    candidate: Mapping[str, Any] = field(default_factory=_nothing)
    science: Stamp | None = None
    template: Stamp | None = None
    difference: Stamp | None = None
    path: str = ""

    @property
    def name(self) -> str:
        """Object and candidate, for tables: ``ZTF19acmbvwi_1034530232615015004``."""
        return f"{self.object_id}_{self.candid}".strip("_")

    @property
    def true_difference(self) -> Stamp | None:
        """The difference stamp as the sky was: negative where the source faded."""
        if self.difference is not None and self.is_positive is False:
            return -self.difference
        return self.difference

    def mid_jd(self, exposure_s: float = 30.0) -> float:
        """Middle of the exposure, UTC. Packets do not hold its length: ZTF's is 30 s."""
        return self.jd + 0.5 * exposure_s / 86_400.0


def read_alerts(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str], *, stamps: bool = True
) -> tuple[list[Alert], list[Failure]]:
    """All alerts of files, folders and archives.

    Parameters
    ----------
    paths
        Avro files with one or many packets, tar archives of such files (gzipped or not), or
        folders, searched for both through all their depth.
    stamps
        Whether to decode the stamps too.

    Returns
    -------
    alerts
        In the order of the paths.
    failures
        Files and packets that could not be read, each with its reason.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    alerts: list[Alert] = []
    failures: list[Failure] = []
    for path in _files(given):
        for packet in _packets(path):
            if isinstance(packet, Failure):
                failures.append(packet)
                continue
            where, record = packet
            try:
                alerts.append(_alert(record, where, stamps=stamps))
            except AlertError as error:
                failures.append(Failure(where, str(error)))
    return alerts, failures


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and _looks_right(p.name))
        else:
            yield path


def _looks_right(name: str) -> bool:
    return name.endswith((".avro", ".tgz")) or ".tar" in name or name.startswith("tar.")


def _packets(path: Path) -> Iterator[tuple[Path, Any] | Failure]:
    """The packets of one file or archive, with where each lies."""
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
            stream.seek(0)
            if start == _AVRO_MAGIC:
                yield from _avro_records(stream, path)
            elif start[:2] == _GZIP_MAGIC or tarfile.is_tarfile(path):
                yield from _archive_records(path)
            else:
                yield Failure(path, "it is neither an Avro file nor a tar archive of them")
    except OSError as error:
        yield Failure(path, error.strerror or str(error))


def _archive_records(path: Path) -> Iterator[tuple[Path, Any] | Failure]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None and member.name.endswith(".avro"):
                    # fastavro needs a whole stream: a broken one must not end the archive.
                    yield from _avro_records(io.BytesIO(stream.read()), path / member.name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        yield Failure(path, f"the archive is damaged or none: {error}")


def _avro_records(stream: IO[bytes], where: Path) -> Iterator[tuple[Path, Any] | Failure]:
    import fastavro

    count = 0
    try:
        for record in fastavro.reader(stream):
            yield where, record
            count += 1
    except GeneratorExit:
        raise
    except Exception as error:  # on damaged packets the decoder raises whatever it stumbles on
        yield Failure(
            where, f"packet {count + 1} does not decode ({type(error).__name__}: {error})"
        )


def _alert(record: Any, where: Path, *, stamps: bool) -> Alert:
    candidate = record.get("candidate") if isinstance(record, dict) else None
    if not isinstance(candidate, dict):
        raise AlertError("the packet has no `candidate`; expected a ZTF alert")
    candid = candidate.get("candid") or record.get("candid") or 0
    images = [_stamp(record.get(name)) if stamps else None for name in _STAMPS]
    return Alert(
        candid=int(candid),
        object_id=str(record.get("objectId") or ""),
        jd=_required(candidate, "jd"),
        ra=_required(candidate, "ra"),
        dec=_required(candidate, "dec"),
        is_positive=is_positive(candidate.get("isdiffpos")),
        ssdistnr=_unless_none(candidate.get("ssdistnr")),
        ssmagnr=_unless_none(candidate.get("ssmagnr")),
        ssnamenr=_name(candidate.get("ssnamenr")),
        candidate=candidate,
        science=images[0],
        template=images[1],
        difference=images[2],
        path=str(where),
    )


def _required(candidate: Mapping[str, Any], name: str) -> float:
    value = candidate.get(name)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise AlertError(f"its {name} is {value!r}; expected a number")


def is_positive(value: Any) -> bool | None:
    """Whether ``isdiffpos`` says brighter, in any of its spellings; None where it is null.

    Raises
    ------
    AlertError
        For anything that is neither yes nor no.
    """
    if value is None:
        return None
    text = str(value).strip().lower()
    if text in {"t", "1", "true", "1.0"}:
        return True
    if text in {"f", "0", "false", "0.0"}:
        return False
    raise AlertError(f"its isdiffpos is {value!r}; expected t, f, 1, 0 or a boolean")


def _unless_none(value: Any) -> float:
    """A number that cannot be so negative; NaN for ZTF's -999 and for null."""
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= -99.0:
        return math.nan
    return float(value)


def _name(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in _NO_NAMES else text


def _stamp(cutout: Any) -> Stamp | None:
    """The image of a stamp, or None where there is none (or a JPEG, as in the first packets)."""
    packed = cutout.get("stampData") if isinstance(cutout, dict) else None
    if not isinstance(packed, bytes) or not packed.startswith(_GZIP_MAGIC):
        return None
    try:
        return _fits_image(gzip.decompress(packed))
    except (OSError, EOFError, zlib.error, ReadError):
        return None


def _fits_image(content: bytes) -> Stamp:
    from astropy.io import fits

    repaired = _SIMPLE_CARD + content[80:]
    with fits.open(io.BytesIO(repaired), memmap=False) as hdus:
        data = hdus[0].data
    if data is None or data.ndim != 2:
        raise ReadError("expected a stamp with a 2-D image")
    return np.array(data, dtype=np.float32)
