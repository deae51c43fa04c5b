"""JPL kernels: where the planets and the massive asteroids are, to the metre.

Reads what ephemerides of JPL are published in: DAF/SPK files of type 2 segments (Chebyshev
polynomials of position), little- or big-endian. Nothing is downloaded; the user names the file.

References
----------
NAIF, DAF Required Reading and SPK Required Reading (the file's layout); Park et al. 2021,
AJ 161, 105 (DE440 and its GM values).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import CatalogueError
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2
from streaks.known.solar_system import AU_KM, GM_RATIO, GM_SUN_KM3_PER_S2

__all__ = ["SpkEphemeris", "open_ephemeris"]

Floats = NDArray[np.float64]

_RECORD_BYTES = 1024
_J2000_JD = 2451545.0
_DAY_S = 86_400.0
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


@dataclass(frozen=True, eq=False)
class _Segment:
    """One body relative to another, as Chebyshev coefficients."""

    target: int
    centre: int
    start_jd: float
    end_jd: float
    first_s: float  # seconds from J2000 of the first interval
    interval_s: float
    coefficients: Floats  # (n intervals, 3, order), km

    def state(self, jd_tdb: Floats) -> tuple[Floats, Floats]:
        """Position (au) and velocity (au/day), (..., 3)."""
        seconds = (jd_tdb - _J2000_JD) * _DAY_S - self.first_s
        index = np.clip(np.floor(seconds / self.interval_s), 0, len(self.coefficients) - 1)
        x = 2.0 * (seconds - index * self.interval_s) / self.interval_s - 1.0
        c = self.coefficients[index.astype(int)]
        value, slope = _chebyshev(c, x[..., None])
        return value / AU_KM, slope * (2.0 * _DAY_S / self.interval_s) / AU_KM


def _chebyshev(c: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Value and slope of series ``c`` (..., order) at x, by Clenshaw's recurrence."""
    b1 = b2 = d1 = d2 = np.zeros(np.broadcast_shapes(c.shape[:-1], x.shape))
    for k in range(c.shape[-1] - 1, 0, -1):
        d1, d2 = 2.0 * b1 + 2.0 * x * d1 - d2, d1
        b1, b2 = c[..., k] + 2.0 * x * b1 - b2, b1
    return c[..., 0] + x * b1 - b2, b1 + x * d1 - d2


class SpkEphemeris:
    """An `Ephemeris` from one or more kernels.

    Parameters
    ----------
    paths
        Kernels that together hold the Sun, the Earth and the planets relative to the barycentre;
        massive asteroids where there are any.

    Raises
    ------
    CatalogueError
        If a file is no kernel of this kind, or the Sun or the Earth is missing.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        kernels = [Path(path) for path in paths]
        self.name = " + ".join(path.name for path in kernels)
        self._segments = {s.target: s for path in kernels for s in _read_segments(path)}
        self._bodies = self._find_bodies()
        for body in ("sun", "earth"):
            if body not in self._bodies:
                raise CatalogueError(
                    f"{self.name} does not hold the {body.title()}; give a kernel of the planets "
                    "such as de440.bsp"
                )
        used = [self._segments[naif] for naif in self._segments]
        self.span_jd = (max(s.start_jd for s in used), min(s.end_jd for s in used))
        self.gm: Mapping[str, float] = {
            body: _gm(body) for body in self._bodies if body != "sun" and _has_gm(body)
        }

    def state(self, body: str, jd_tdb: Any) -> tuple[Floats, Floats]:
        """Barycentric position and velocity, (..., 3).

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
        position, velocity = np.zeros((*jd.shape, 3)), np.zeros((*jd.shape, 3))
        naif = self._bodies[body]
        while naif != 0:
            segment = self._segments[naif]
            dx, dv = segment.state(jd)
            position, velocity, naif = position + dx, velocity + dv, segment.centre
        return position, velocity

    def _find_bodies(self) -> dict[str, int]:
        bodies = {}
        for body, choices in _NAIF.items():
            for naif in choices:
                if self._reaches_barycentre(naif):
                    bodies[body] = naif
                    break
        for naif in sorted(self._segments):
            if naif > _ASTEROIDS_FROM and self._reaches_barycentre(naif):
                bodies[str(naif - _ASTEROIDS_FROM)] = naif
        return bodies

    def _reaches_barycentre(self, naif: int) -> bool:
        for _ in range(8):
            if naif == 0:
                return True
            if naif not in self._segments:
                return False
            naif = self._segments[naif].centre
        return False


def _has_gm(body: str) -> bool:
    return body in GM_RATIO or body in _GM_KM3_PER_S2


def _gm(body: str) -> float:
    ratio = GM_RATIO.get(body)
    if ratio is None:
        ratio = _GM_KM3_PER_S2[body] / GM_SUN_KM3_PER_S2
    return ratio * GM_SUN_AU3_PER_DAY2


def open_ephemeris(path: str | Path) -> SpkEphemeris:
    """The kernels of a file, or all ``.bsp`` files of a folder.

    Raises
    ------
    CatalogueError
        If there are none, or they lack the Sun or the Earth.
    """
    path = Path(path)
    kernels = sorted(path.glob("*.bsp")) if path.is_dir() else [path]
    if not kernels:
        raise CatalogueError(f"{path} holds no kernels (*.bsp); give de440.bsp or an excerpt")
    return SpkEphemeris(kernels)


def _read_segments(path: Path) -> list[_Segment]:
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise CatalogueError(
            f"cannot read the ephemeris {path}: {error.strerror or error}; give a JPL kernel"
        ) from None
    try:
        return [s for s in _segments_of(content.tobytes()) if s is not None]
    except (struct.error, ValueError, IndexError, ZeroDivisionError):
        raise CatalogueError(
            f"{path} is no whole DAF/SPK kernel; give an ephemeris of JPL such as de440.bsp"
        ) from None


def _segments_of(content: bytes) -> Iterable[_Segment | None]:
    if content[:7] != b"DAF/SPK":
        raise ValueError("not a DAF/SPK file")
    order = "<" if content[88:96] == b"LTL-IEEE" else ">"
    n_double, n_integer = struct.unpack_from(order + "ii", content, 8)
    record = struct.unpack_from(order + "i", content, 76)[0]
    summary_bytes = 8 * (n_double + (n_integer + 1) // 2)
    words = np.frombuffer(content[: len(content) // 8 * 8], dtype=order + "f8")
    while record:
        start = (record - 1) * _RECORD_BYTES
        following, _, count = struct.unpack_from(order + "ddd", content, start)
        for i in range(int(count)):
            summary = struct.unpack_from(
                f"{order}{n_double}d{n_integer}i", content, start + 24 + i * summary_bytes
            )
            yield _segment(words, summary)
        record = int(following)


def _segment(words: NDArray[Any], summary: tuple[Any, ...]) -> _Segment | None:
    """A segment of type 2; None for another type."""
    start_s, end_s, target, centre, _, kind, first, last = summary
    if kind != 2:
        return None
    first_s, interval_s, size, count = words[last - 4 : last]
    size, count = int(size), int(count)
    records = words[first - 1 : first - 1 + size * count].reshape(count, size)
    coefficients = np.array(records[:, 2:], dtype=np.float64).reshape(count, 3, (size - 2) // 3)
    return _Segment(
        target,
        centre,
        _J2000_JD + start_s / _DAY_S,
        _J2000_JD + end_s / _DAY_S,
        float(first_s),
        float(interval_s),
        coefficients,
    )
