"""Pixels to the sky: coordinates, position angle, rate, magnitude."""

from __future__ import annotations

import logging
import math

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.frame import Frame
from streaks.sky import separation_and_angle, sky_system, to_icrs

__all__ = ["magnitudes", "sky_columns", "warn_of_rates"]

_log = logging.getLogger(__name__)

_HALF_TURN_DEG, _ARCSEC_PER_DEG, _HOURS_PER_DAY = 180.0, 3600.0, 24.0
#: Magnitudes a factor of ten in flux (Pogson 1856).
_POGSON = 2.5
_LN_10 = math.log(10.0)
#: No asteroid moves faster than 100 deg/day: in arcsec/s.
_FASTEST_ARCSEC_PER_S = 100.0 * 3600.0 / 86400.0
#: Satellites that end within an image: those of low orbits move a deg/s, and leave it.
_FASTEST_SATELLITE_ARCSEC_PER_S = 3600.0
#: Fewer trails may all be satellites'.
_ENOUGH_TRAILS = 4

Values = dict[str, NDArray[np.float64]]


def sky_columns(
    pixels: Values, wcs: WCS | None, exposure_s: float, scale_arcsec: float = math.nan
) -> Values:
    """Sky columns of the streak table, in their units.

    Parameters
    ----------
    pixels
        ``x, y, x0, y0, x1, y1``, each (n,).
    wcs
        Without one every column is NaN, but for the rate where the scale is known.
    exposure_s
        NaN where unknown: the rate is then NaN.
    scale_arcsec
        Size of a pixel, for rates without a WCS.

    Returns
    -------
    dict
        ``ra, dec, ra0, dec0, ra1, dec1, pa`` in deg, ``rate`` in arcsec/s.
    """
    n = len(pixels["x"])
    names = ("ra", "dec", "ra0", "dec0", "ra1", "dec1", "pa", "rate")
    columns: Values = {name: np.full(n, np.nan) for name in names}
    if n == 0:
        return columns
    separation = np.hypot(pixels["x1"] - pixels["x0"], pixels["y1"] - pixels["y0"])
    separation *= scale_arcsec / _ARCSEC_PER_DEG
    if wcs is not None and _is_usable(wcs):
        for end in ("", "0", "1"):
            columns["ra" + end], columns["dec" + end] = to_icrs(
                wcs, pixels["x" + end], pixels["y" + end]
            )
        first = columns["ra0"], columns["dec0"]
        second = columns["ra1"], columns["dec1"]
        separation, angle = separation_and_angle(*first, *second)
        columns["pa"] = np.mod(angle, _HALF_TURN_DEG)
    if exposure_s > 0:
        columns["rate"] = separation * _ARCSEC_PER_DEG / exposure_s
    return columns


def magnitudes(
    flux: NDArray[np.float64], flux_err: NDArray[np.float64], zero_point_mag: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Magnitude and error; NaN where flux is not positive or the zero point unknown.

    Parameters
    ----------
    flux, flux_err : (n,), counts
        Of streaks, with their errors.
    zero_point_mag
        Magnitude of one count.

    Returns
    -------
    mag, mag_err : (n,) float64
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        good = np.where(flux > 0, flux, np.nan)
        return zero_point_mag - _POGSON * np.log10(good), _POGSON / _LN_10 * flux_err / good


def _is_usable(wcs: WCS) -> bool:
    """Whether coordinates turn to ICRS; the log says why not."""
    system = sky_system(wcs)
    if not system.kind:
        _log.warning("the sky coordinates of this frame are left out: %s", system.note)
    return bool(system.kind)


def warn_of_rates(rates: NDArray[np.float64], at_edge: NDArray[np.bool_], frame: Frame) -> None:
    """Say in the log that trails within the frame move as nothing does.

    Then the exposure or the size of a pixel is in another unit than was thought. One fast trail is
    no reason: satellites end within an image too.

    Parameters
    ----------
    rates : (n,) arcsec/s
    at_edge : (n,) bool
        Streaks that an edge cuts: satellites.
    frame
        They were found in.
    """
    whole = rates[np.isfinite(rates) & ~at_edge]
    if whole.size == 0:
        return
    usual = float(np.median(whole))
    most_are_fast = whole.size >= _ENOUGH_TRAILS and usual > _FASTEST_ARCSEC_PER_S
    if not most_are_fast and float(whole.max()) <= _FASTEST_SATELLITE_ARCSEC_PER_S:
        return
    _log.warning(
        "%s: streaks move up to %.3g deg/day, half of them %.3g or more, faster than any asteroid: "
        "the exposure (%g s%s) or the size of a pixel (%.3g arcsec) is not what its words seem to "
        "say",
        frame.name, float(whole.max()) * _HOURS_PER_DAY, usual * _HOURS_PER_DAY, frame.exposure_s,
        f", {frame.told['exposure_s']}" if "exposure_s" in frame.told else "",
        frame.pixel_scale_arcsec,
    )  # fmt: skip
