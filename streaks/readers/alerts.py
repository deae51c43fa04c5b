"""Alert packets of ZTF and Rubin: Avro files, folders and tar archives of them.

Only the alert itself is read (identifiers, ``candidate`` or ``diaSource``, three stamps), not its
history. Real collections hold packets that do not decode (about 2 %): each is named and counted,
none is fatal. What is unpacked (archives, blocks, stamps) is limited (`streaks.disk`).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from streaks.disk import GZIP_MAGIC, Limits, open_regular, unpack_gzip
from streaks.errors import AlertError, ReadError
from streaks.readers.avro import AVRO_MAGIC, avro_packets
from streaks.readers.psf_images import PSF_EXTENSIONS, psf_image_fwhm
from streaks.readers.structure import check_structure

__all__ = ["Alert", "Failure", "is_positive", "read_alerts"]

Stamp = NDArray[np.float32]

#: Alerts shrink to a third when packed, their archives no further.
_ARCHIVE_LIMITS = Limits(max_bytes=1 << 42, max_ratio=20.0, max_seconds=math.inf)
#: All stamps of a file together: noise hardly shrinks, and a stamp at a chip's edge is small.
_STAMP_LIMITS = Limits(max_bytes=1 << 36, max_ratio=50.0)
#: One stamp: 512 px of 64 bits in three planes are 6 MB.
_ONE_STAMP = Limits(max_bytes=1 << 23)
_MAX_STAMP_SIDE_PX = 1024
#: Values of all candidates that are held at once: a hundred an alert, 100 bytes each.
_MAX_VALUES = 10_000_000
_UNPACKERS = {GZIP_MAGIC: gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_STAMPS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
#: Rubin's visits of one exposure.
_RUBIN_EXPOSURE_S = 30.0
#: The standard form of the card that ZTF's stamps begin with in a form of their own.
_SIMPLE_CARD = b"SIMPLE  =                    T".ljust(80)
_NO_STAMP = None, math.nan
_NO_NAMES = frozenset({"", "null", "none", "nan"})


@dataclass(frozen=True)
class Failure:
    """A file, or a packet in one, that could not be read.

    Parameters
    ----------
    path
        The file.
    reason
        Why, in one line.
    """

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
    midpoint_jd
        Middle of the exposure, UTC, of surveys that tell it (Rubin); NaN where it follows from
        ``jd``.
    flipped
        Whether the survey flips the difference of a negative detection (ZTF does, Rubin not).
    fwhm_px
        Of the PSF that lies with the difference stamp (Rubin's); NaN without one.
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
    midpoint_jd: float = math.nan
    flipped: bool = True
    fwhm_px: float = math.nan

    @property
    def name(self) -> str:
        """Object and candidate, for tables: ``ZTF19acmbvwi_1034530232615015004``."""
        return f"{self.object_id}_{self.candid}".strip("_")

    @property
    def true_difference(self) -> Stamp | None:
        """The difference stamp as the sky was: negative where the source faded."""
        if self.difference is not None and self.flipped and self.is_positive is False:
            return -self.difference
        return self.difference

    def mid_jd(self, exposure_s: float = 30.0) -> float:
        """Middle of the exposure, UTC. Packets do not hold its length: ZTF's is 30 s.

        Parameters
        ----------
        exposure_s
            Length of the exposure, s; not asked where the packet tells the middle.

        Returns
        -------
        float
            Julian date.
        """
        if math.isfinite(self.midpoint_jd):
            return self.midpoint_jd
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
    n_values = 0
    for path in _files(given):
        budget = _StampBudget()
        for packet in _packets(path):
            if isinstance(packet, Failure):
                failures.append(packet)
                continue
            where, record = packet
            try:
                alert = _alert(record, where, budget if stamps else None)
            except (AlertError, ReadError) as error:
                failures.append(Failure(where, str(error)))
                continue
            n_values += len(alert.candidate)
            if n_values > _MAX_VALUES:
                failures.append(
                    Failure(where, f"more than {_MAX_VALUES} values at once; give fewer files")
                )
                return alerts, failures
            alerts.append(alert)
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
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            stream.seek(0)
            if start.startswith(AVRO_MAGIC):
                yield from _avro_records(stream, path, size)
                return
            unpack: Any = next(
                (f for magic, f in _UNPACKERS.items() if start.startswith(magic)), None
            )
            if unpack is not None:
                with unpack(stream) as unpacked:
                    yield from _archive_records(_Limited(unpacked, size, str(path)), path)
            elif _is_tar(stream):
                yield from _archive_records(stream, path)
            else:
                yield Failure(path, "it is neither an Avro file nor a tar archive of them")
    except ReadError as error:
        yield Failure(path, str(error))
    except OSError as error:
        yield Failure(path, error.strerror or str(error))


def _is_tar(stream: IO[bytes]) -> bool:
    """Whether the stream begins with a header of a tar archive; it is at its start again."""
    start = stream.read(tarfile.BLOCKSIZE)
    stream.seek(0)
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


class _Limited:
    """An unpacked stream that ends with an error where it unpacks to more than alerts do."""

    def __init__(self, stream: IO[bytes], packed: int, name: str) -> None:
        self._stream, self._packed, self._name, self._read = stream, packed, name, 0

    def read(self, n: int) -> bytes:
        """At most n bytes more."""
        found = self._stream.read(n)
        self._read += len(found)
        _ARCHIVE_LIMITS.check(self._read, self._packed, self._name)
        return found


def _archive_records(stream: Any, path: Path) -> Iterator[tuple[Path, Any] | Failure]:
    """The packets of a tar archive, member by member; a broken one does not end it."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not member.isreg() or not member.name.endswith(".avro"):
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    yield from _avro_records(content, path / member.name, member.size)
    except ReadError as error:
        yield Failure(path, str(error))
    except Exception as error:
        # tarfile and the unpackers raise many kinds for a damaged archive.
        yield Failure(path, f"the archive is damaged or none: {error}")


def _avro_records(
    stream: IO[bytes], where: Path, size: int
) -> Iterator[tuple[Path, Any] | Failure]:
    n = 0
    try:
        for record in avro_packets(stream, "the file", size=size):
            yield where, record
            n += 1
    except ReadError as error:
        yield Failure(where, f"packet {n + 1} does not decode: {error}")


def _alert(record: Any, where: Path, budget: _StampBudget | None) -> Alert:
    if isinstance(record, dict):
        if isinstance(record.get("candidate"), dict):
            return _ztf_alert(record, record["candidate"], where, budget)
        if isinstance(record.get("diaSource"), dict):
            return _rubin_alert(record, record["diaSource"], where, budget)
    raise AlertError("the packet has no `candidate` (ZTF) and no `diaSource` (Rubin)")


def _ztf_alert(
    record: Mapping[str, Any],
    candidate: Mapping[str, Any],
    where: Path,
    budget: _StampBudget | None,
) -> Alert:
    images, fwhm_px = _images(record, budget)
    return Alert(
        candid=_whole(candidate.get("candid") or record.get("candid"), "candid"),
        object_id=str(record.get("objectId") or ""),
        jd=_required(candidate, "jd"),
        ra=_required(candidate, "ra"),
        dec=_required(candidate, "dec"),
        is_positive=is_positive(candidate.get("isdiffpos")),
        ssdistnr=_unless_none(candidate.get("ssdistnr")),
        ssmagnr=_unless_none(candidate.get("ssmagnr")),
        ssnamenr=_name(candidate.get("ssnamenr")),
        candidate=_scalars(candidate),
        science=images[0],
        template=images[1],
        difference=images[2],
        path=str(where),
        fwhm_px=fwhm_px,
    )


def _rubin_alert(
    record: Mapping[str, Any], source: Mapping[str, Any], where: Path, budget: _StampBudget | None
) -> Alert:
    """Rubin's packet: TAI at mid-exposure, and the association with a known object elsewhere."""
    images, fwhm_px = _images(record, budget)
    midpoint = _utc_jd(_required(source, "midpointMjdTai"))
    known = record.get("ssSource")
    known = known if isinstance(known, dict) else {}
    negative = source.get("isNegative")
    return Alert(
        candid=_whole(source.get("diaSourceId") or record.get("diaSourceId"), "diaSourceId"),
        object_id=str(source.get("diaObjectId") or source.get("ssObjectId") or ""),
        jd=midpoint - 0.5 * _RUBIN_EXPOSURE_S / 86_400.0,
        ra=_required(source, "ra"),
        dec=_required(source, "dec"),
        is_positive=None if negative is None else not is_positive(negative),
        ssdistnr=_unless_none(known.get("ephOffset")),
        ssmagnr=_unless_none(known.get("ephVmag") or None),  # 0 where none was computed
        ssnamenr=_name(known.get("designation")),
        candidate=_scalars(source),
        science=images[0],
        template=images[1],
        difference=images[2],
        path=str(where),
        midpoint_jd=midpoint,
        flipped=False,
        fwhm_px=fwhm_px,
    )


def _images(
    record: Mapping[str, Any], budget: _StampBudget | None
) -> tuple[list[Stamp | None], float]:
    """Science, template and difference stamps, None each where there is none; the PSF's FWHM."""
    if budget is None:
        return [None] * len(_STAMPS), math.nan
    found = [budget.stamp(record.get(name)) for name in _STAMPS]
    return [image for image, _ in found], found[-1][1]


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are single values: what lists there are is history."""
    return {str(key): v for key, v in values.items() if not isinstance(v, dict | list)}


def _whole(value: Any, name: str) -> int:
    if value is None:
        return 0
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise AlertError(f"its {name} is {value!r:.40}; expected a whole number") from None


def _utc_jd(mjd_tai: float) -> float:
    from astropy.time import Time

    try:
        return float(Time(mjd_tai, format="mjd", scale="tai").utc.jd)
    except Exception as error:  # erfa's own kinds, for years that no calendar has
        raise AlertError(f"its midpointMjdTai is {mjd_tai!r}; expected a date ({error})") from None


def _required(candidate: Mapping[str, Any], name: str) -> float:
    value = candidate.get(name)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise AlertError(f"its {name} is {value!r}; expected a number")


def is_positive(value: Any) -> bool | None:
    """Whether ``isdiffpos`` says brighter, in any of its spellings; None where it is null.

    Parameters
    ----------
    value
        Of a packet: text, number or boolean.

    Returns
    -------
    bool or None

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


class _StampBudget:
    """Decodes the stamps of one file, as long as they unpack to no more than stamps do."""

    def __init__(self) -> None:
        self._packed = self._unpacked = 0

    def stamp(self, cutout: Any) -> tuple[Stamp | None, float]:
        """The image of a stamp and the FWHM of the PSF with it, px.

        None where there is no image (or a JPEG, as in the first packets), NaN where no PSF.

        Raises
        ------
        ReadError
            Where all stamps of the file together unpack to too much.
        """
        packed = cutout.get("stampData") if isinstance(cutout, dict) else cutout
        if not isinstance(packed, bytes):
            return _NO_STAMP
        self._packed += len(packed)
        try:
            content = (
                unpack_gzip(packed, _ONE_STAMP, name="a stamp")
                if packed.startswith(GZIP_MAGIC)
                else packed
            )
        except ReadError:
            return _NO_STAMP
        self._unpacked += len(content)
        _STAMP_LIMITS.check(self._unpacked, self._packed, "its stamps")
        return _fits_image(content)


def _fits_image(content: bytes) -> tuple[Stamp | None, float]:
    from astropy.io import fits

    if not content.startswith(b"SIMPLE"):
        return _NO_STAMP
    repaired = _SIMPLE_CARD + content[80:]
    try:
        check_structure(io.BytesIO(repaired), "a stamp")
        with fits.open(io.BytesIO(repaired), memmap=False) as hdus:
            shape = hdus[0].shape
            if len(shape) != 2 or not 0 < max(shape) <= _MAX_STAMP_SIDE_PX:
                return _NO_STAMP
            image = np.array(hdus[0].data, dtype=np.float32)
            psf = next((hdu.data for hdu in hdus[1:] if hdu.name in PSF_EXTENSIONS), None)
            return image, math.nan if psf is None else psf_image_fwhm(psf)
    except Exception:  # damaged stamps make astropy raise nearly anything
        return _NO_STAMP
