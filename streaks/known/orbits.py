"""A catalogue of orbits in memory, and its two edges to sbpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import CatalogueError
from streaks.known.kepler import GM_SUN_AU3_PER_DAY2, Elements

if TYPE_CHECKING:
    from sbpy.data import Orbit

__all__ = ["BadLine", "Orbits", "stack_orbits"]

Floats = NDArray[np.float64]
Strings = NDArray[np.str_]

#: Slope of the HG system where a catalogue gives none (Bowell et al. 1989).
DEFAULT_SLOPE = 0.15


@dataclass(frozen=True)
class BadLine:
    """A line that is no orbit.

    Parameters
    ----------
    number
        Of the line, or of the entry, from 1.
    text
        Its beginning; characters that would steer a terminal are replaced.
    reason
        Why it is none.
    """

    number: int
    text: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("text", "reason"):
            object.__setattr__(self, name, _printable(getattr(self, name)[:200]))

    def __str__(self) -> str:
        return f"line {self.number} ({self.text.strip()[:24]}): {self.reason}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _no_lines() -> tuple[BadLine, ...]:
    return ()


def _not_given() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Orbits:
    """Heliocentric osculating orbits, ecliptic and equinox of J2000; arrays of one length n.

    Parameters
    ----------
    designation : (n,) str
        Number or provisional designation (``24421``, ``2012 LU23``): the key of an object.
    name : (n,) str
        As people write it: ``(24421) Djorgovski``.
    h_mag : (n,), mag
        Absolute magnitude in V; NaN where unknown.
    g_slope : (n,)
        Slope of the HG system; NaN where unknown.
    epoch_jd : (n,)
        Epoch of osculation, TT.
    q_au, e, incl_rad, node_rad, argperi_rad, tp_jd : (n,)
        Perihelion distance, eccentricity, inclination, ascending node, argument and time (TT)
        of perihelion: the one form that also holds comets.
    uncertainty : (n,)
        The MPC's U parameter, 0 (best) to 9; NaN where unknown.
    arc_start_jd, arc_end_jd : (n,)
        First and last observation the orbit is made from; NaN where unknown, also where not given.
    failures
        Lines of the file that are no orbits.

    Raises
    ------
    CatalogueError
        If the arrays differ in length.
    """

    designation: Strings
    name: Strings
    h_mag: Floats
    g_slope: Floats
    epoch_jd: Floats
    q_au: Floats
    e: Floats
    incl_rad: Floats
    node_rad: Floats
    argperi_rad: Floats
    tp_jd: Floats
    uncertainty: Floats
    failures: tuple[BadLine, ...] = field(default_factory=_no_lines)
    arc_start_jd: Floats = field(default_factory=_not_given)
    arc_end_jd: Floats = field(default_factory=_not_given)

    def __post_init__(self) -> None:
        for name in ("arc_start_jd", "arc_end_jd"):
            if getattr(self, name).size == 0:
                object.__setattr__(self, name, np.full(len(self.designation), np.nan))
        lengths = {f.name: len(getattr(self, f.name)) for f in _array_fields()}
        if len(set(lengths.values())) > 1:
            raise CatalogueError(f"columns of orbits differ in length: {lengths}; give equal ones")

    def __len__(self) -> int:
        return len(self.designation)

    @property
    def elements(self) -> Elements:
        """The six elements; distances in au, angles in rad, time in JD (TT)."""
        return Elements(
            self.q_au, self.e, self.incl_rad, self.node_rad, self.argperi_rad, self.tp_jd
        )

    @property
    def a_au(self) -> Floats:
        """Semi-major axis.

        Returns
        -------
        (n,), au
            Negative for hyperbolas, infinite for parabolas.
        """
        with np.errstate(divide="ignore"):
            return self.q_au / (1.0 - self.e)

    @property
    def mean_motion_rad_per_day(self) -> Floats:
        """Mean motion, (n,), rad/day; 0 for parabolas."""
        return np.sqrt(GM_SUN_AU3_PER_DAY2 / np.abs(self.a_au) ** 3)

    @property
    def mean_anomaly_rad(self) -> Floats:
        """Mean anomaly at the epoch.

        Returns
        -------
        (n,), rad
            In [0, 2 pi) for ellipses.
        """
        anomaly = self.mean_motion_rad_per_day * (self.epoch_jd - self.tp_jd)
        return np.where(self.e < 1.0, np.mod(anomaly, 2.0 * np.pi), anomaly)

    def select(self, index: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Orbits:
        """Some of the orbits.

        Parameters
        ----------
        index
            A slice, a boolean mask (n,) or integers.

        Returns
        -------
        Orbits
            Without failures.
        """
        picked = {f.name: getattr(self, f.name)[index] for f in _array_fields()}
        return replace(self, failures=(), **picked)

    def find(self, designation: str) -> NDArray[np.intp]:
        """Places of the object of a name.

        Parameters
        ----------
        designation
            A name in any spelling.

        Returns
        -------
        (k,) int
            Rows; empty where it is not here.
        """
        from streaks.known.names import normalise_name

        key = normalise_name(designation)
        hits = np.flatnonzero(self.designation == key)
        return hits if hits.size else np.flatnonzero(self.name == designation.strip())

    def to_sbpy(self) -> Orbit:
        """The same orbits as an sbpy table, ready for its queries and models.

        Returns
        -------
        sbpy.data.Orbit
        """
        import astropy.units as u
        from astropy.time import Time

        from streaks.sbpy_import import import_sbpy

        return import_sbpy("data").Orbit.from_dict(
            {
                "targetname": self.name,
                "orbtype": np.full(len(self), "COM"),
                "q": self.q_au * u.au,
                "e": self.e,
                "i": np.degrees(self.incl_rad) * u.deg,
                "Omega": np.degrees(self.node_rad) * u.deg,
                "w": np.degrees(self.argperi_rad) * u.deg,
                "Tp": Time(self.tp_jd, format="jd", scale="tt"),
                "epoch": Time(self.epoch_jd, format="jd", scale="tt"),
                "H": self.h_mag * u.mag,
                "G": self.g_slope,
            }
        )

    @classmethod
    def from_sbpy(cls, orbit: Orbit) -> Orbits:
        """Orbits of an sbpy table, for instance of one of its online look-ups.

        Parameters
        ----------
        orbit
            With ``targetname``, elements of any form, ``epoch``; ``H`` and ``G`` where known.

        Returns
        -------
        Orbits

        Raises
        ------
        CatalogueError
            Where a column that an orbit needs is missing.
        """
        from streaks.known.names import normalise_name

        names = [str(name) for name in np.atleast_1d(_sbpy_column(orbit, "targetname"))]
        return cls(
            designation=np.array([normalise_name(name) for name in names], dtype=str),
            name=np.array(names, dtype=str),
            h_mag=_sbpy_values(orbit, "H", "mag", default=np.nan),
            g_slope=_sbpy_values(orbit, "G", "", default=np.nan),
            epoch_jd=_sbpy_times(orbit, "epoch"),
            uncertainty=np.full(len(names), np.nan),
            **_sbpy_elements(orbit),
        )


def _array_fields() -> list[Any]:
    return [f for f in fields(Orbits) if f.name != "failures"]


def _sbpy_elements(orbit: Orbit) -> dict[str, Any]:
    e = _sbpy_values(orbit, "e", "")
    epoch = _sbpy_times(orbit, "epoch")
    if "q" in orbit:
        q = _sbpy_values(orbit, "q", "au")
    else:
        q = _sbpy_values(orbit, "a", "au") * (1.0 - e)
    if "Tp" in orbit:
        tp = _sbpy_times(orbit, "Tp")
    else:
        motion = np.sqrt(GM_SUN_AU3_PER_DAY2 / np.abs(q / (1.0 - e)) ** 3)
        anomaly = _sbpy_values(orbit, "M", "rad")
        tp = epoch - np.where(e < 1, np.mod(anomaly + np.pi, 2 * np.pi) - np.pi, anomaly) / motion
    return {
        "q_au": q,
        "e": e,
        "incl_rad": _sbpy_values(orbit, "i", "rad"),
        "node_rad": _sbpy_values(orbit, "Omega", "rad"),
        "argperi_rad": _sbpy_values(orbit, "w", "rad"),
        "tp_jd": tp,
    }


def _sbpy_column(orbit: Orbit, name: str) -> Any:
    try:
        return orbit[name]
    except KeyError:
        raise CatalogueError(
            f"an sbpy orbit needs the column {name}; it has {', '.join(orbit.field_names)}"
        ) from None


def _sbpy_values(orbit: Orbit, name: str, unit: str, *, default: float | None = None) -> Floats:
    import astropy.units as u

    if default is not None and name not in orbit:
        return np.full(len(orbit), default)
    return np.atleast_1d(u.Quantity(_sbpy_column(orbit, name), dtype=float).to_value(unit))


def _sbpy_times(orbit: Orbit, name: str) -> Floats:
    return np.atleast_1d(_sbpy_column(orbit, name).tt.jd)


def stack_orbits(parts: Sequence[Orbits]) -> Orbits:
    """Several catalogues as one, failures included.

    Parameters
    ----------
    parts
        At least one.

    Returns
    -------
    Orbits
        One behind the other.

    Raises
    ------
    CatalogueError
        If there is none.
    """
    if not parts:
        raise CatalogueError("no catalogues to stack; give at least one")
    joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in _array_fields()}
    return Orbits(**joined, failures=tuple(bad for part in parts for bad in part.failures))
