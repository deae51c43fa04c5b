"""The ephemeris that comes with the package: JPL's own for 2012 to 2035, series outside.

The files are excerpts of DE440 (Sun, Moon, Earth, barycentres of the planets) and of sb441-n16 (16
massive asteroids), made by ``benchmarks/package_data.py``; their polynomials are JPL's, bit for
bit.

References
----------
Park et al. 2021, AJ 161, 105 (DE440, DE441).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streaks.known.solar_system import Ephemeris, SeriesEphemeris
from streaks.known.spk import SpkEphemeris

__all__ = ["ShippedEphemeris", "default_ephemeris"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

_KERNELS = ("de440_2012_2035.bsp", "sb441-n16_2012_2035.bsp")


class ShippedEphemeris:
    """An `Ephemeris` of kernels within their years, of built-in series outside.

    Source and time must not change within one calculation: the two have barycentres some hundred
    kilometres apart. So what runs over a stretch of time asks `between` once, and then that source
    alone. The first time that dates lie outside the kernels' years, a warning says so.

    Parameters
    ----------
    kernels, series
        The two sources; those of the package by default.

    Attributes
    ----------
    name : str
        What it is, for logs and notes.
    span_jd : (float, float)
        First and last Julian date (TDB) of the series.
    kernel_span_jd : (float, float)
        The same of the kernels.
    gm : mapping of str to float
        Perturbing bodies of the kernels and their GM, au^3/day^2.
    """

    def __init__(
        self, kernels: SpkEphemeris | None = None, series: SeriesEphemeris | None = None
    ) -> None:
        self._is_default = kernels is None and series is None
        self._kernels = _shipped_kernels() if kernels is None else kernels
        self._series = SeriesEphemeris() if series is None else series
        self._warned = False
        self.name = f"{self._kernels.name}, else {self._series.name}"
        self.span_jd = self._series.span_jd
        self.kernel_span_jd = self._kernels.span_jd
        self.gm: Mapping[str, float] = self._kernels.gm

    def __reduce__(self) -> tuple[Any, ...]:
        if self._is_default:  # other machines have the package elsewhere
            return default_ephemeris, ()
        return ShippedEphemeris, (self._kernels, self._series)

    def between(self, start_jd: float, end_jd: float) -> Ephemeris:
        """The one source to use from one date to another.

        Parameters
        ----------
        start_jd, end_jd
            Julian dates (TDB), in either order.

        Returns
        -------
        Ephemeris
            The kernels where they hold both, else the series.
        """
        low, high = self.kernel_span_jd
        if low <= min(start_jd, end_jd) and max(start_jd, end_jd) <= high:
            return self._kernels
        if not self._warned:
            self._warned = True
            _log.warning(
                "JD %.1f to %.1f is not within JD %.1f to %.1f (2012 to 2035), which the kernels "
                "that come with the package hold: planets from built-in series, good to 0.03 "
                "arcsec a year from the orbits' epoch; a kernel of those years is sharper",
                min(start_jd, end_jd),
                max(start_jd, end_jd),
                low,
                high,
            )
        return self._series

    def state(self, body: str, jd_tdb: ArrayLike) -> tuple[Floats, Floats]:
        """Barycentric position and velocity of a body, by one source for all the dates.

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
            For a date outside 1900 to 2100, or a body that the series do not hold.
        """
        jd = np.asarray(jd_tdb, dtype=float)
        if jd.size == 0:
            return self._kernels.state(body, jd)
        return self.between(float(jd.min()), float(jd.max())).state(body, jd)


def _shipped_kernels() -> SpkEphemeris:
    folder = files("streaks.known").joinpath("kernels")
    return SpkEphemeris(Path(str(folder.joinpath(name))) for name in _KERNELS)


@lru_cache(maxsize=1)
def default_ephemeris() -> ShippedEphemeris:
    """The ephemeris of the package, opened once a process.

    Returns
    -------
    ShippedEphemeris
    """
    return ShippedEphemeris()
