"""The shape of a PSF beyond a Gaussian, and what a moving source of that shape leaves.

A Gaussian that is fitted to a star misses the light of its wings: 3 % for Moffat's exponent 5,
7 % and more for 2.5. A round profile is kept as it is; drawn along a track it becomes the
difference of two integrals along the track, which one table a shape holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.geometry import Segment
from streaks.trail._kernels import MIN_LENGTH_PX

__all__ = ["PsfShape", "moffat_shape", "picture_shape"]

Floats = NDArray[np.float64]

#: Steps of the table a FWHM, and how far it reaches along and across, FWHM.
_STEPS, _REACH = 24.0, 9.0
#: Knots of a picture's radial profile: fine in the core, coarse in the wings, px.
_CORE_KNOT_PX, _CORE_PX, _WING_GROWTH = 0.75, 6.0, 1.25
#: A picture is small, and not that small, px.
_LEAST_SIDE_PX, _MOST_SIDE_PX = 9, 512
#: A PSF has fallen to this share of its peak at the rim of its picture.
_RIM = 0.1
#: Of a picture's peak: brighter pixels tell where the middle is.
_BRIGHT = 0.3


@dataclass(frozen=True, eq=False)
class PsfShape:
    """A round PSF of unit light.

    Parameters
    ----------
    step_px
        Of the table.
    integrals : (n_along, n_across)
        Of the profile along a line that passes the centre at a distance, from the place nearest to
        it outward: ``integrals[i, j]`` reaches to ``i * step_px`` at the distance ``j * step_px``.
        Beyond the table nothing is added.
    scale
        By which the shape is widened.
    source
        Where it is from, in words.
    """

    step_px: float
    integrals: Floats
    scale: float = 1.0
    source: str = ""

    def scaled(self, scale: float) -> PsfShape:
        """The same shape, wider or narrower.

        Parameters
        ----------
        scale
            Factor on all its widths.

        Returns
        -------
        PsfShape
        """
        return replace(self, scale=self.scale * scale)

    def trail(self, x: Floats, y: Floats, segment: Segment) -> Floats:
        """A trail of unit flux at given places.

        Parameters
        ----------
        x, y : (n,)
            0-based px.
        segment
            Its ends.

        Returns
        -------
        (n,)
            Per square pixel.
        """
        length = max(segment.length_px, MIN_LENGTH_PX)
        theta = math.atan2(segment.y1 - segment.y0, segment.x1 - segment.x0)
        xm, ym = segment.midpoint
        per_step = 1.0 / (self.step_px * self.scale)
        both = _between(self.integrals, x, y, xm, ym, theta, length, per_step)
        return np.asarray(both / (length * self.scale))


@njit(cache=True, nogil=True)
def _between(table, x, y, xm, ym, theta, length, per_step):  # type: ignore[no-untyped-def]
    """The profile's integral from one end of a track to the other, of each place."""
    c, s = math.cos(theta), math.sin(theta)
    out = np.empty(len(x))
    for i in range(len(x)):
        u = (x[i] - xm) * c + (y[i] - ym) * s
        j = abs((y[i] - ym) * c - (x[i] - xm) * s) * per_step
        out[i] = _reached(table, (u + 0.5 * length) * per_step, j) - _reached(
            table, (u - 0.5 * length) * per_step, j
        )
    return out


@njit(cache=True, nogil=True)
def _reached(table, along, j):  # type: ignore[no-untyped-def]
    """The integral from the place nearest to the centre, of its sign; 0 beyond the table."""
    rows, columns = table.shape
    i = min(abs(along), rows - 1.0)
    if j > columns - 1.0:
        return 0.0
    row, column = min(int(i), rows - 2), min(int(j), columns - 2)
    p, q = i - row, j - column
    value = (1.0 - p) * ((1.0 - q) * table[row, column] + q * table[row, column + 1]) + p * (
        (1.0 - q) * table[row + 1, column] + q * table[row + 1, column + 1]
    )
    return value if along >= 0 else -value


def moffat_shape(fwhm_px: float, beta: float, source: str = "") -> PsfShape:
    """Moffat's profile.

    Parameters
    ----------
    fwhm_px
        Of the profile.
    beta
        Exponent, above 1; atmospheric seeing has 2.5 to 4.8.
    source
        In words.

    Returns
    -------
    PsfShape
        Its light is counted to infinity.

    References
    ----------
    Moffat 1969, A&A 3, 455.
    """
    squared = 0.25 * fwhm_px**2 / (2.0 ** (1.0 / beta) - 1.0)
    peak = (beta - 1.0) / (math.pi * squared)
    step_px = fwhm_px / _STEPS
    n = int(_STEPS * _REACH) + 1
    return _shape_of(lambda r: peak * (1.0 + r * r / squared) ** -beta, step_px, n, source)


def picture_shape(picture: NDArray[np.floating], source: str = "") -> PsfShape | None:
    """The round profile of a picture of the PSF, its light that of the whole picture.

    Parameters
    ----------
    picture : (ny, nx)
        Background 0; pixels that are not finite count as dark.
    source
        In words.

    Returns
    -------
    PsfShape or None
        None where it is no picture of a PSF.
    """
    if picture.ndim != 2 or not _LEAST_SIDE_PX <= min(picture.shape) <= max(picture.shape) <= (
        _MOST_SIDE_PX
    ):
        return None
    values = np.nan_to_num(np.asarray(picture, np.float64), posinf=0.0, neginf=0.0)
    total, peak = float(values.sum()), float(values.max())
    if not (peak > 0 and total > 0):
        return None
    y, x = np.indices(values.shape)
    bright = np.where(values > _BRIGHT * peak, values, 0.0)
    xm, ym = (bright * x).sum() / bright.sum(), (bright * y).sum() / bright.sum()
    reach = min(xm, ym, values.shape[1] - 1 - xm, values.shape[0] - 1 - ym)
    if not reach >= 3.0:
        return None
    r = np.hypot(x - xm, y - ym).ravel()
    rim = r > 0.85 * reach
    inside = r <= reach
    if not float(np.median(values.ravel()[inside & rim])) < _RIM * peak:
        return None
    profile = _radial(r[inside], values.ravel()[inside] / total, reach)
    step_px = 0.1
    # The corners' light is not in the circle: the shape's own sum is brought to the picture's.
    shape = _shape_of(profile, step_px, int(reach / step_px) + 1, source)
    ring = 2.0 * math.pi * np.arange(0.0, reach, 0.02) * profile(np.arange(0.0, reach, 0.02)) * 0.02
    share = float(values.ravel()[inside].sum() / total)
    factor = share / float(ring.sum()) if ring.sum() > 0 else math.nan
    if not 0.8 < factor < 1.25:
        return None
    return replace(shape, integrals=shape.integrals * factor)


def _radial(r: Floats, values: Floats, reach: float):  # type: ignore[no-untyped-def]
    """A smooth profile through values at radii; 0 beyond what was seen."""
    from scipy.interpolate import make_lsq_spline

    knots = list(np.arange(_CORE_KNOT_PX, min(_CORE_PX, reach - 1.0), _CORE_KNOT_PX))
    width = _CORE_KNOT_PX
    while knots and knots[-1] + width < reach - 1.0:
        knots.append(knots[-1] + width)
        width *= _WING_GROWTH
    # Mirrored, so that the profile is flat at its centre.
    inner = np.array([-k for k in knots[::-1]] + knots)
    both = np.concatenate([-r, r])
    order = np.argsort(both, kind="stable")
    t = np.concatenate([[-reach - 1e-6] * 4, inner, [reach + 1e-6] * 4])
    spline = make_lsq_spline(both[order], np.concatenate([values, values])[order], t, k=3)

    def profile(radius: Floats) -> Floats:
        seen = np.asarray(radius) <= reach
        return np.where(seen, spline(np.minimum(radius, reach)), 0.0)

    return profile


def _shape_of(profile, step_px: float, n: int, source: str) -> PsfShape:  # type: ignore[no-untyped-def]
    """The table of a profile, by Simpson's rule on each step."""
    across = step_px * np.arange(n)
    edges = step_px * np.arange(n)
    middles = edges[:-1] + 0.5 * step_px
    at_edges = profile(np.hypot(edges[:, None], across[None, :]))
    at_middles = profile(np.hypot(middles[:, None], across[None, :]))
    parts = (at_edges[:-1] + 4.0 * at_middles + at_edges[1:]) * (step_px / 6.0)
    integrals = np.concatenate([np.zeros((1, n)), np.cumsum(parts, axis=0)])
    return PsfShape(step_px, integrals, source=source)
