"""Asteroids that cross several frames of one's own: where each frame shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.synth.nights.sky_geometry import moved, segment_of_motion

__all__ = ["Moving", "moving_in_frame"]

_S_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Moving:
    """An asteroid that moves evenly along a great circle.

    Parameters
    ----------
    name
        Unique.
    mjd
        UTC, when it is at the place given.
    ra_deg, dec_deg
        ICRS.
    rate_arcsec_per_s, pa_deg
        Speed and direction, east of north.
    mag
        AB; NaN where frames have no zero point.
    flux
        Counts in an exposure, where there is no magnitude.
    """

    name: str
    mjd: float
    ra_deg: float
    dec_deg: float
    rate_arcsec_per_s: float
    pa_deg: float
    mag: float = math.nan
    flux: float = math.nan

    def counts(self, frame: Frame) -> float:
        """Light in a frame, counts.

        Parameters
        ----------
        frame
            With its zero point.

        Returns
        -------
        float
            NaN where neither magnitude nor flux tells.
        """
        if math.isfinite(self.mag) and math.isfinite(frame.zero_point_mag):
            return float(10 ** (0.4 * (frame.zero_point_mag - self.mag)))
        return self.flux


def moving_in_frame(
    frame: Frame, movers: Sequence[Moving], *, margin_px: float = 4.0
) -> list[tuple[Moving, Segment]]:
    """The asteroids whose whole trail lies in a frame.

    Parameters
    ----------
    frame
        With coordinates, time and exposure; one without shows none.
    movers
        To look for.
    margin_px
        Room between a trail and the edge.

    Returns
    -------
    list of (Moving, Segment)
        Ends in order of time, 0-based px.
    """
    if frame.wcs is None or frame.time is None or not frame.exposure_s > 0:
        return []
    ny, nx = frame.shape
    mjd = float(frame.time.utc.mjd)
    found = []
    for one in movers:
        way = one.rate_arcsec_per_s * (mjd - one.mjd) * _S_PER_DAY
        ra, dec = moved(one.ra_deg, one.dec_deg, one.pa_deg, way)
        segment = segment_of_motion(
            frame.wcs, ra, dec, one.rate_arcsec_per_s, one.pa_deg, frame.exposure_s
        )
        xs, ys = (segment.x0, segment.x1), (segment.y0, segment.y1)
        if (
            min(xs) >= margin_px
            and max(xs) <= nx - 1 - margin_px
            and min(ys) >= margin_px
            and max(ys) <= ny - 1 - margin_px
        ):
            found.append((one, segment))
    return found
