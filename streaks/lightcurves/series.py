"""One asteroid's light curve as the period search takes it: plain numbers, and what is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.errors import TableError

__all__ = ["Series", "nuisance_columns", "orthonormal"]

Floats = NDArray[np.float64]

_ROBUST = 1.4826
#: Groups of fewer epochs get no level of their own: they would fit themselves.
_LEAST_GROUP = 4


@dataclass(frozen=True, eq=False)
class Series:
    """Reduced magnitudes of one asteroid, each (n,).

    Parameters
    ----------
    name
        Of the asteroid.
    days
        When the light left it, JD.
    mag, error
        Reduced to 1 au from Sun and observer, and its standard error.
    phase_deg
        Angle between Sun and observer.
    bisector_deg
        Longitude of the phase-angle bisector; 0 where unknown.
    band, apparition : (n,) int
        Which filter and which apparition, from 0.
    """

    name: str
    days: Floats
    mag: Floats
    error: Floats
    phase_deg: Floats
    bisector_deg: Floats
    band: NDArray[np.int64]
    apparition: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.days)
        for what in ("mag", "error", "phase_deg", "bisector_deg", "band", "apparition"):
            values = getattr(self, what)
            if np.shape(values) != (n,):
                raise TableError(f"{what} of {self.name} is {np.shape(values)}, expected ({n},)")
            if not np.isfinite(values).all():
                raise TableError(
                    f"{what} of {self.name} has values that are not finite; leave those rows out"
                )
        if not (np.asarray(self.error) > 0).all():
            raise TableError(f"errors of {self.name} must be above 0; give a floor")

    def __len__(self) -> int:
        return len(self.days)

    def chosen(self, rows: NDArray[np.bool_]) -> Series:
        """Some of its epochs.

        Parameters
        ----------
        rows : (n,) bool

        Returns
        -------
        Series
        """
        return Series(
            self.name,
            *(
                getattr(self, what)[rows]
                for what in (
                    "days", "mag", "error", "phase_deg", "bisector_deg", "band", "apparition",
                )
            ),
        )  # fmt: skip


def nuisance_columns(series: Series) -> Floats:
    """What is fitted beside the period: level, colours, apparitions' levels, phase slope.

    Parameters
    ----------
    series
        n epochs.

    Returns
    -------
    (n, k)
        Not weighted. Bands and apparitions of fewer than four epochs share the level of others.
    """
    columns = [np.ones(len(series))]
    for group in (series.band, series.apparition):
        values, counts = np.unique(group, return_counts=True)
        kept = values[counts >= _LEAST_GROUP]
        columns += [(group == value).astype(float) for value in kept[1:]]
    centred = series.phase_deg - series.phase_deg.mean()
    columns += [centred, centred**2]
    return np.stack(columns, axis=-1)


def orthonormal(columns: Floats, weight: Floats) -> Floats:
    """Orthonormal columns that span the weighted ones; dependent ones are left out.

    Parameters
    ----------
    columns : (n, k)
    weight : (n,)
        One over the errors.

    Returns
    -------
    (n, m)
    """
    scaled = columns * weight[:, None]
    scaled = scaled / np.maximum(np.linalg.norm(scaled, axis=0), 1e-300)
    left, size, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.ascontiguousarray(left[:, size > 1e-8 * size[0]])


def robust_spread(values: Floats) -> float:
    """Standard deviation by the median absolute deviation.

    Parameters
    ----------
    values : (n,)

    Returns
    -------
    float
    """
    return float(_ROBUST * np.median(np.abs(values - np.median(values))))
