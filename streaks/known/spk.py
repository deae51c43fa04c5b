"""JPL kernels: where the planets and the massive asteroids are, to the metre.

Kernels are files in SPK format, read with jplephem: Chebyshev polynomials of position (type 2), or
of position and velocity (type 3), mapped into memory and shared between processes. jplephem trusts
a file, so that its table of contents is checked here before it is opened. Nothing is downloaded;
the user names the file, and an excerpt for the years of today's surveys comes with the package
(`streaks.known.shipped`).

References
----------
NAIF, DAF Required Reading and SPK Required Reading (the file's layout, and which of several
segments counts); Park et al. 2021, AJ 161, 105 (DE440 and its GM values).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streaks.errors import CatalogueError
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.solar_system import AU_KM, GM_RATIO, GM_SUN_KM3_PER_S2

__all__ = ["SpkEphemeris", "open_ephemeris"]

Floats = NDArray[np.float64]

_RECORD_BYTES = 1024
_J2000_JD = 2451545.0
_DAY_S = 86_400.0
#: A segment's summary is two doubles and six integers.
_N_DOUBLE, _N_INTEGER = 2, 6
_SUMMARY_BYTES = 40
_SUMMARIES_PER_RECORD = (_RECORD_BYTES - 24) // _SUMMARY_BYTES
#: Polynomials per record of each type of segment: position, or position and velocity.
_COMPONENTS = {2: 3, 3: 6}
#: NAIF numbers of the bodies we ask for, the best first: a planet's own centre where the file has
#: it, else its system's barycentre.
_NAIF: Mapping[str, tuple[int, ...]] = {
    "sun": (10,),
    "mercury": (199, 1),
    "venus": (299, 2),
    "earth": (399,),
    "moon": (301,),
    "mars": (4, 499),
    "jupiter": (5,),
    "saturn": (6,),
    "uranus": (7,),
    "neptune": (8,),
    "pluto": (9,),
}
_ASTEROIDS_FROM = 2_000_000
#: GM of the massive asteroids of sb441-n16, km^3/s^2 (DE440/DE441; NAIF's gm_de440.tpc), and of
#: the Pluto system.
_GM_KM3_PER_S2: Mapping[str, float] = {
    "pluto": 975.5,
    "1": 62.628888644409933,
    "2": 13.665878145967422,
    "3": 1.9205707002025889,
    "4": 17.288232879171513,
    "7": 1.1398723232184107,
    "10": 5.6251476453852289,
    "15": 2.0230209871098284,
    "16": 1.5896582441709424,
    "31": 1.0793714577033560,
    "52": 2.6830359242821795,
    "65": 0.93810575639151328,
    "87": 2.1682320736996910,
    "88": 1.1898077088121908,
    "107": 1.4437384031866001,
    "511": 3.8944831481705644,
    "704": 2.8304096393299849,
}


class SpkEphemeris:
    """An `Ephemeris` from one or more kernels.

    Where several segments hold a body at a time, the last one of the last file counts, as SPICE
    has it; a segment counts for its own years only.

    Parameters
    ----------
    paths
        Kernels that together hold the Sun, the Earth and the planets relative to the barycentre;
        massive asteroids where there are any.

    Attributes
    ----------
    name : str
        The files' names.
    span_jd : (float, float)
        First and last Julian date (TDB) at which every body is there.
    gm : mapping of str to float
        Perturbing bodies and their GM, au^3/day^2.

    Raises
    ------
    CatalogueError
        If a file is no kernel of this kind, or the Sun or the Earth is missing.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self._paths = tuple(Path(path) for path in paths)
        self.name = " + ".join(path.name for path in self._paths)
        self._segments: dict[int, list[Any]] = {}
        for path in self._paths:
            for segment in _open_segments(path):
                self._segments.setdefault(segment.target, []).append(segment)
        spans = self._spans()
        self._bodies = _bodies_among(spans)
        for body in ("sun", "earth"):
            if body not in self._bodies:
                raise CatalogueError(
                    f"{self.name} does not hold the {body.title()}; give a kernel of the planets "
                    "such as de440.bsp"
                )
        held = [spans[naif] for naif in self._bodies.values()]
        self.span_jd = (max(low for low, _ in held), min(high for _, high in held))
        self.gm: Mapping[str, float] = {
            body: _gm(body) for body in self._bodies if body != "sun" and _has_gm(body)
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes open the files anew."""
        return SpkEphemeris, (self._paths,)

    def state(self, body: str, jd_tdb: ArrayLike) -> tuple[Floats, Floats]:
        """Barycentric position and velocity of a body.

        Parameters
        ----------
        body
            ``sun``, a planet, ``moon``, or the number of an asteroid.
        jd_tdb : scalar or (...)
            Julian dates, TDB.

        Returns
        -------
        position : (..., 3), au
            ICRS axes.
        velocity : (..., 3), au/day

        Raises
        ------
        CatalogueError
            For a body or a date that the kernels do not hold.
        """
        jd = np.asarray(jd_tdb, dtype=float)
        low, high = self.span_jd
        if jd.size and not (low <= jd.min() and jd.max() <= high):
            raise CatalogueError(
                f"{self.name} holds JD {low:.1f} to {high:.1f}; asked for JD {jd.min():.1f} to "
                f"{jd.max():.1f}: give a kernel of those years"
            )
        if body not in self._bodies:
            raise CatalogueError(f"{self.name} does not hold {body}; it has {list(self._bodies)}")
        km, km_per_day = self._from_barycentre(self._bodies[body], jd.ravel())
        shape = (*jd.shape, 3)
        return km.T.reshape(shape) / AU_KM, km_per_day.T.reshape(shape) / AU_KM

    def _from_barycentre(self, naif: int, jd: Floats) -> tuple[Floats, Floats]:
        """Position (km) and velocity (km/day), (3, n) each, by the segments of those dates."""
        position, velocity = np.zeros((3, len(jd))), np.zeros((3, len(jd)))
        if naif == 0 or len(jd) == 0:
            return position, velocity
        open_dates = np.ones(len(jd), dtype=bool)
        for segment in reversed(self._segments.get(naif, [])):
            here = open_dates & (segment.start_jd <= jd) & (jd <= segment.end_jd)
            if not here.any():
                continue
            own, speed = _evaluate(segment, jd[here])
            centre, centre_speed = self._from_barycentre(segment.center, jd[here])
            position[:, here], velocity[:, here] = own + centre, speed + centre_speed
            open_dates &= ~here
        if open_dates.any():
            raise CatalogueError(
                f"{self.name} does not hold body {naif} at JD {jd[open_dates][0]:.1f}: it has a "
                "gap there; give a kernel of that date"
            )
        return position, velocity

    def _spans(self) -> dict[int, tuple[float, float]]:
        """First and last date of each body that leads to the barycentre of the solar system."""
        spans = {0: (-math.inf, math.inf)}
        while True:
            more = {
                naif: _common_span(segments, spans)
                for naif, segments in self._segments.items()
                if naif not in spans and all(s.center in spans for s in segments)
            }
            if not more:
                return spans
            spans |= more


def _common_span(
    segments: list[Any], spans: Mapping[int, tuple[float, float]]
) -> tuple[float, float]:
    """From the first to the last date at which a body and what it is relative to are there."""
    return (
        min(max(s.start_jd, spans[s.center][0]) for s in segments),
        max(min(s.end_jd, spans[s.center][1]) for s in segments),
    )


def _bodies_among(known: Iterable[int]) -> dict[str, int]:
    """Our names of the bodies among NAIF numbers."""
    known = set(known)
    bodies = {
        body: next(naif for naif in choices if naif in known)
        for body, choices in _NAIF.items()
        if known & set(choices)
    }
    asteroids = sorted(naif for naif in known if naif > _ASTEROIDS_FROM)
    return bodies | {str(naif - _ASTEROIDS_FROM): naif for naif in asteroids}


def _evaluate(segment: Any, jd: Floats) -> tuple[Floats, Floats]:
    """Position (km) and velocity (km/day), (3, n), relative to the segment's centre."""
    value, slope = segment.compute_and_differentiate(jd)
    if segment.data_type == 3:
        return value[:3], value[3:] * _DAY_S
    return value, slope


def _has_gm(body: str) -> bool:
    return body in GM_RATIO or body in _GM_KM3_PER_S2


def _gm(body: str) -> float:
    ratio = GM_RATIO.get(body)
    if ratio is None:
        ratio = _GM_KM3_PER_S2[body] / GM_SUN_KM3_PER_S2
    return ratio * GM_SUN_AU3_PER_DAY2


def open_ephemeris(path: str | Path) -> SpkEphemeris:
    """The kernels of a file, or all ``.bsp`` files of a folder in the order of their names.

    Parameters
    ----------
    path
        A file or a folder.

    Returns
    -------
    SpkEphemeris

    Raises
    ------
    CatalogueError
        If there are none, they are damaged, or they lack the Sun or the Earth.
    """
    path = Path(path)
    kernels = sorted(path.glob("*.bsp")) if path.is_dir() else [path]
    if not kernels:
        raise CatalogueError(f"{path} holds no kernels (*.bsp); give de440.bsp or an excerpt")
    return SpkEphemeris(kernels)


def _open_segments(path: Path) -> list[Any]:
    """Segments of a kernel that are positions by polynomials, in the file's order."""
    from jplephem.daf import DAF
    from jplephem.spk import SPK

    try:
        if path.exists() and not path.is_file():
            raise CatalogueError(f"{path} is no regular file; give a JPL kernel")
        with path.open("rb") as stream:
            _check_contents(stream, path)
            segments = [s for s in SPK(DAF(stream)).segments if s.data_type in _COMPONENTS]
            for segment in segments:
                # Mapped now, while the file is open: processes that are forked later would share
                # its one read position.
                segment._data  # noqa: B018
        return segments
    except OSError as error:
        raise CatalogueError(
            f"cannot read the ephemeris {path}: {error.strerror or error}; give a JPL kernel"
        ) from None
    except (struct.error, ValueError, IndexError, OverflowError, AssertionError) as error:
        raise CatalogueError(
            f"{path} is no whole DAF/SPK kernel ({error}); give an ephemeris of JPL such as "
            "de440.bsp"
        ) from None


class _Layout(NamedTuple):
    """What the first record of a kernel says."""

    order: str  # of bytes, for `struct`
    first_record: int  # of summaries
    n_records: int
    n_words: int  # doubles


def _check_contents(stream: BinaryIO, path: Path) -> None:
    """Refuse a table of contents that points outside the file, or at itself.

    Raises
    ------
    ValueError
        With the reason.
    """
    layout = _read_layout(stream, path.stat().st_size)
    for summary in _summaries(stream, layout):
        _check_segment(stream, layout, summary)
    stream.seek(0)


def _read_layout(stream: BinaryIO, size: int) -> _Layout:
    head = stream.read(_RECORD_BYTES)
    if len(head) < _RECORD_BYTES or head[:7] != b"DAF/SPK":
        raise ValueError("it does not begin with DAF/SPK")
    order = {b"LTL-IEEE": "<", b"BIG-IEEE": ">"}.get(head[88:96])
    if order is None:
        raise ValueError("its byte order is unknown")
    if struct.unpack_from(order + "ii", head, 8) != (_N_DOUBLE, _N_INTEGER):
        raise ValueError("its summaries are of another size")
    first, _, free = struct.unpack_from(order + "iii", head, 76)
    n_words = size // 8
    if not 1 <= free - 1 <= n_words:
        raise ValueError("it is cut short")
    return _Layout(order, first, size // _RECORD_BYTES, min(n_words, free - 1))


def _summaries(stream: BinaryIO, layout: _Layout) -> Iterator[tuple[Any, ...]]:
    """Summaries of all segments, by the chain of their records."""
    seen: set[int] = set()
    record = layout.first_record
    while record:
        if not 2 <= record <= layout.n_records:
            raise ValueError(f"its summaries lead to record {record}, outside the file")
        if record in seen:
            raise ValueError(f"its summaries lead back to record {record}")
        seen.add(record)
        stream.seek((record - 1) * _RECORD_BYTES)
        content = stream.read(_RECORD_BYTES)
        following, _, count = struct.unpack_from(layout.order + "ddd", content)
        if not (count.is_integer() and 0 <= count <= _SUMMARIES_PER_RECORD):
            raise ValueError(f"record {record} counts {count} summaries")
        if not (following.is_integer() and abs(following) < 2**31):
            raise ValueError(f"record {record} leads to record {following}")
        for i in range(int(count)):
            yield struct.unpack_from(layout.order + "2d6i", content, 24 + i * _SUMMARY_BYTES)
        record = int(following)


def _check_segment(stream: BinaryIO, layout: _Layout, summary: tuple[Any, ...]) -> None:
    start_s, end_s, target, _, _, kind, first, last = summary
    if not (math.isfinite(start_s) and math.isfinite(end_s) and start_s <= end_s):
        raise ValueError(f"the dates of body {target} are none")
    if not 1 <= first <= last <= layout.n_words:
        raise ValueError(f"the numbers of body {target} lie outside the file")
    if kind not in _COMPONENTS:
        return
    if last - first < 4:
        raise ValueError(f"body {target} has no polynomials")
    stream.seek(8 * (last - 4))
    epoch_s, interval_s, size, count = struct.unpack(layout.order + "4d", stream.read(32))
    n = _COMPONENTS[kind]
    if not (math.isfinite(epoch_s) and math.isfinite(interval_s) and interval_s > 0):
        raise ValueError(f"the intervals of body {target} are none")
    whole = size.is_integer() and count.is_integer() and size > 2 and count > 0
    if not whole or (size - 2) % n or size * count != last - first - 3:
        raise ValueError(f"the polynomials of body {target} do not fill their place")
    room_s = 1e-6 * interval_s
    if start_s < epoch_s - room_s or end_s > epoch_s + count * interval_s + room_s:
        raise ValueError(f"the polynomials of body {target} do not cover its dates")
