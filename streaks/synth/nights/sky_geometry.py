"""Pointings, world coordinates and straight motion on the sky."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from streaks.geometry import Segment, image_centre
from streaks.sky import to_icrs, to_pixels

__all__ = ["ends_on_sky", "moved", "pointing_header", "segment_of_motion"]


def pointing_header(
    ra_deg: float,
    dec_deg: float,
    shape: tuple[int, int],
    *,
    scale_arcsec: float,
    rotation_deg: float = 0.0,
    distortion: float = 0.0,
) -> fits.Header:
    """Cards of a TPV projection with East left and North up, as ZTF's quadrants have it.

    Parameters
    ----------
    ra_deg, dec_deg
        Of the image's centre.
    shape : (ny, nx)
        Of the image.
    scale_arcsec
        Size of a pixel.
    rotation_deg
        Of North from +y towards East.
    distortion
        Cubic term of the camera's radial distortion, per square degree.

    Returns
    -------
    astropy.io.fits.Header
    """
    x, y = image_centre(shape)
    scale = scale_arcsec / 3600.0
    c, s = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    header = fits.Header()
    cards: list[tuple[str, str | float | int]] = [
        ("WCSAXES", 2),
        ("CTYPE1", "RA---TPV"),
        ("CTYPE2", "DEC--TPV"),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("CRVAL1", ra_deg),
        ("CRVAL2", dec_deg),
        ("CRPIX1", x + 1.0),
        ("CRPIX2", y + 1.0),
        ("CD1_1", -scale * c),
        ("CD1_2", scale * s),
        ("CD2_1", scale * s),
        ("CD2_2", scale * c),
        ("RADESYS", "ICRS"),
        ("EQUINOX", 2000.0),
    ]
    for axis in (1, 2):
        # xi' = xi + d xi (xi^2 + eta^2): terms 1, 7 and 9 of the TPV convention.
        cards += [
            (f"PV{axis}_0", 0.0),
            (f"PV{axis}_1", 1.0),
            (f"PV{axis}_2", 0.0),
            (f"PV{axis}_7", distortion),
            (f"PV{axis}_9", distortion),
        ]
    header.extend(cards)
    return header


def moved(
    ra_deg: float, dec_deg: float, pa_deg: float, distance_arcsec: float
) -> tuple[float, float]:
    """The place at this position angle and distance, deg.

    Parameters
    ----------
    ra_deg, dec_deg
        Where it starts, ICRS.
    pa_deg
        Direction of the great circle there, east of north.
    distance_arcsec
        Along that circle.

    Returns
    -------
    ra, dec : float, deg
    """
    start = SkyCoord(ra_deg, dec_deg, unit="deg")
    end = start.directional_offset_by(pa_deg * u.deg, distance_arcsec * u.arcsec)
    return float(end.ra.deg), float(end.dec.deg)


def segment_of_motion(
    wcs: WCS,
    ra_deg: float,
    dec_deg: float,
    rate_arcsec_per_s: float,
    pa_deg: float,
    exposure_s: float,
) -> Segment:
    """Pixels that a mover crosses in an exposure, given where it is at mid-exposure.

    Ends are in order of time.

    Parameters
    ----------
    wcs
        Of the image.
    ra_deg, dec_deg
        ICRS place at mid-exposure.
    rate_arcsec_per_s, pa_deg
        Speed, and direction of motion east of north.
    exposure_s
        Exposure time.

    Returns
    -------
    Segment
        0-based px, which may lie outside the image; NaN where the place is not on its plane.
    """
    half = 0.5 * rate_arcsec_per_s * exposure_s
    first = moved(ra_deg, dec_deg, pa_deg + 180.0, half)
    last = moved(ra_deg, dec_deg, pa_deg, half)
    x, y = to_pixels(wcs, [first[0], last[0]], [first[1], last[1]])
    return Segment(float(x[0]), float(y[0]), float(x[1]), float(y[1]))


def ends_on_sky(wcs: WCS, segment: Segment) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Right ascension and declination of midpoint and both ends, separation and angle.

    Parameters
    ----------
    wcs
        Of the image.
    segment
        Ends in 0-based px.

    Returns
    -------
    ra, dec : (3,), deg
        Midpoint, first end, second end.
    separation : float, arcsec
        Of the ends.
    pa : float, deg
        From the first end to the second, east of north, in [0, 360).
    """
    xm, ym = segment.midpoint
    ra, dec = to_icrs(wcs, [xm, segment.x0, segment.x1], [ym, segment.y0, segment.y1])
    sky = SkyCoord(ra, dec, unit="deg")
    return (
        np.asarray(ra),
        np.asarray(dec),
        float(sky[1].separation(sky[2]).arcsec),
        float(sky[1].position_angle(sky[2]).deg % 360.0),
    )
