"""Pixels to the sky: coordinates, position angle, rate, magnitude."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

__all__ = ["magnitudes", "sky_columns"]

_HALF_TURN_DEG, _ARCSEC_PER_DEG = 180.0, 3600.0
#: Magnitudes a factor of ten in flux (Pogson 1856).
_POGSON = 2.5
_LN_10 = math.log(10.0)

Values = dict[str, NDArray[np.float64]]


def sky_columns(pixels: Values, wcs: WCS | None, exposure_s: float) -> Values:
    """Sky columns of the streak table, in their units.

    Parameters
    ----------
    pixels
        ``x, y, x0, y0, x1, y1``, each (n,).
    wcs
        Without one every column is NaN.
    exposure_s
        NaN where unknown: the rate is then NaN.

    Returns
    -------
    dict
        ``ra, dec, ra0, dec0, ra1, dec1, pa`` in deg, ``rate`` in arcsec/s.
    """
    n = len(pixels["x"])
    names = ("ra", "dec", "ra0", "dec0", "ra1", "dec1", "pa", "rate")
    columns: Values = {name: np.full(n, np.nan) for name in names}
    if wcs is None or n == 0:
        return columns
    for end in ("", "0", "1"):
        columns["ra" + end], columns["dec" + end] = _to_sky(
            wcs, pixels["x" + end], pixels["y" + end]
        )
    first = columns["ra0"], columns["dec0"]
    second = columns["ra1"], columns["dec1"]
    separation, angle = _separation_and_angle(*first, *second)
    columns["pa"] = np.mod(angle, _HALF_TURN_DEG)
    if exposure_s > 0:
        columns["rate"] = separation * _ARCSEC_PER_DEG / exposure_s
    return columns


def magnitudes(
    flux: NDArray[np.float64], flux_err: NDArray[np.float64], zero_point_mag: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Magnitudes of fluxes.

    Parameters
    ----------
    flux, flux_err : (n,) counts
    zero_point_mag
        Magnitude of one count; NaN where unknown.

    Returns
    -------
    mag, mag_err : (n,)
        NaN where flux is not positive or the zero point unknown.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        good = np.where(flux > 0, flux, np.nan)
        return zero_point_mag - _POGSON * np.log10(good), _POGSON / _LN_10 * flux_err / good


def _to_sky(wcs: WCS, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS degrees; frames of other systems are turned, once, here."""
    sky = wcs.pixel_to_world(x, y)
    icrs = sky.icrs
    return np.asarray(icrs.ra.deg, dtype=float), np.asarray(icrs.dec.deg, dtype=float)


def _separation_and_angle(
    ra0: NDArray[np.float64],
    dec0: NDArray[np.float64],
    ra1: NDArray[np.float64],
    dec1: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Separation, deg, and position angle from the first to the second, deg east of north."""
    from astropy.coordinates import angular_separation, position_angle

    a0, d0, a1, d1 = (np.radians(v) for v in (ra0, dec0, ra1, dec1))
    separation = np.degrees(angular_separation(a0, d0, a1, d1))
    return separation, np.asarray(position_angle(a0, d0, a1, d1).to_value("deg"))
