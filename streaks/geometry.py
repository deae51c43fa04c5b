"""Segments, lines and angles in the pixel plane.

Points are ``(x, y)``, 0-based, integers at pixel centres: the first pixel spans -0.5 to 0.5 and
an image of shape ``(ny, nx)`` covers ``-0.5 <= x <= nx - 0.5``. ``theta_deg`` is the direction of
a streak itself, counter-clockwise from +x towards +y, in [0, 180).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Segment",
    "angle_difference_deg",
    "clip_segment",
    "clip_to_box",
    "distance_to_segment",
    "image_centre",
    "mean_angle_deg",
    "segment_distances",
    "shares_inside",
    "wrap_angle_deg",
]

#: Segments are divided by no less than this length squared, px.
_LEAST_SQUARED_PX = 1e-6
_HALF_TURN_DEG = 180.0


@dataclass(frozen=True)
class Segment:
    """A straight piece of line between two points, in 0-based pixels.

    Parameters
    ----------
    x0, y0, x1, y1
        The two ends, in 0-based pixels, whole numbers at pixel centres. They may lie outside the
        image and be in either order; `ordered` puts the smaller x first.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def from_midpoint(cls, x: float, y: float, length_px: float, theta_deg: float) -> Segment:
        """The segment of this length and direction around a midpoint, smaller x first.

        Parameters
        ----------
        x, y
            Midpoint, in 0-based pixels.
        length_px
            Distance between the ends, px.
        theta_deg
            Direction from +x towards +y, deg. Any angle; those 180 degrees apart give one segment.

        Returns
        -------
        Segment
            Its ends are in order, the smaller x first.
        """
        half_x = 0.5 * length_px * math.cos(math.radians(theta_deg))
        half_y = 0.5 * length_px * math.sin(math.radians(theta_deg))
        return cls(x - half_x, y - half_y, x + half_x, y + half_y).ordered()

    @property
    def length_px(self) -> float:
        return math.hypot(self.x1 - self.x0, self.y1 - self.y0)

    @property
    def theta_deg(self) -> float:
        """Direction in [0, 180); 0 for a point."""
        theta = math.degrees(math.atan2(self.y1 - self.y0, self.x1 - self.x0)) % _HALF_TURN_DEG
        # A tiny negative angle rounds up to the period itself.
        return 0.0 if theta >= _HALF_TURN_DEG else theta

    @property
    def midpoint(self) -> tuple[float, float]:
        return 0.5 * (self.x0 + self.x1), 0.5 * (self.y0 + self.y1)

    def ordered(self) -> Segment:
        """The same segment with the end of smaller x (then smaller y) first.

        Returns
        -------
        Segment
            This one itself where its ends are in order already.
        """
        if (self.x1, self.y1) < (self.x0, self.y0):
            return Segment(self.x1, self.y1, self.x0, self.y0)
        return self

    def shifted(self, dx_px: float, dy_px: float) -> Segment:
        """The segment moved by so many pixels along x and y.

        Parameters
        ----------
        dx_px, dy_px
            Added to the x and to the y of both ends, px.

        Returns
        -------
        Segment
            Of the same length, direction and order of ends.
        """
        return Segment(self.x0 + dx_px, self.y0 + dy_px, self.x1 + dx_px, self.y1 + dy_px)


def wrap_angle_deg(angle_deg: ArrayLike, period_deg: float = 180.0) -> NDArray[np.float64]:
    """Angles brought into [0, period).

    Parameters
    ----------
    angle_deg : (...)
        Angles, deg.
    period_deg
        What angles are equal by, deg: 180 for lines, 360 for motions.

    Returns
    -------
    (...), deg
        At least 0 and always below the period; NaN stays NaN.
    """
    wrapped = np.mod(np.asarray(angle_deg, dtype=float), period_deg)
    # A tiny negative angle rounds up to the period itself.
    return np.where(wrapped >= period_deg, 0.0, wrapped)


def angle_difference_deg(
    first_deg: ArrayLike, second_deg: ArrayLike, period_deg: float = 180.0
) -> NDArray[np.float64]:
    """Signed smallest ``first - second``, in [-period / 2, period / 2).

    Parameters
    ----------
    first_deg, second_deg : (...)
        Angles, deg; of one shape, or such as numpy broadcasts.
    period_deg
        What angles are equal by, deg: 180 for lines, 360 for motions.

    Returns
    -------
    (...), deg
        Positive where the first is ahead of the second; NaN where either is NaN.
    """
    half = 0.5 * period_deg
    difference = np.asarray(first_deg, dtype=float) - np.asarray(second_deg, dtype=float)
    return np.asarray(np.mod(difference + half, period_deg) - half)


def mean_angle_deg(
    angles_deg: ArrayLike, weights: ArrayLike | None = None, period_deg: float = 180.0
) -> float:
    """Circular mean in [0, period); NaN when the angles cancel or there are none.

    Parameters
    ----------
    angles_deg : (n,)
        Angles, deg. A NaN among them makes the mean NaN.
    weights : (n,)
        Of the angles; only their ratios matter. All are equal where it is None.
    period_deg
        What angles are equal by, deg: 180 for lines, 360 for motions.

    Returns
    -------
    float, deg
        Direction of the weighted sum of unit vectors, with the period stretched to a whole turn:
        the mean of the lines at 179 and 1 degrees is 0, not 90.
    """
    angles = np.asarray(angles_deg, dtype=float)
    w = np.ones_like(angles) if weights is None else np.asarray(weights, dtype=float)
    vector = np.sum(w * np.exp(2j * np.pi * angles / period_deg))
    if not abs(vector) > 1e-12 * max(float(np.sum(np.abs(w))), 1e-300):
        return math.nan
    return float(wrap_angle_deg(np.angle(vector) * period_deg / (2 * np.pi), period_deg))


def image_centre(shape: Sequence[int]) -> tuple[float, float]:
    """Centre ``(x, y)`` of an image of shape ``(ny, nx)``.

    Parameters
    ----------
    shape : (ny, nx)
        Rows, then columns, as in ``data.shape``.

    Returns
    -------
    x, y
        In 0-based pixels; half a pixel between centres where a side is even.
    """
    ny, nx = shape
    return (nx - 1) / 2, (ny - 1) / 2


def shares_inside(
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    x_min: float,
    y_min: float,
    x_max: float,
    y_max: float,
) -> tuple[float, float]:
    """Shares of the way from the first end to the last at which a line comes into a box and leaves.

    Written so that Numba compiles it as it stands (`streaks.trail.shares_inside`).

    Parameters
    ----------
    x0, y0, x1, y1
        Ends, in 0-based pixels.
    x_min, y_min, x_max, y_max
        Sides of the box, px; borders are inside.

    Returns
    -------
    enters, leaves : float
        0 and 1 where it lies wholly inside; the first is larger where no part of it does.

    References
    ----------
    Liang & Barsky 1984, ACM Trans. Graph. 3, 1.
    """
    dx, dy = x1 - x0, y1 - y0
    enters, leaves = 0.0, 1.0
    for step, gap in ((-dx, x0 - x_min), (dx, x_max - x0), (-dy, y0 - y_min), (dy, y_max - y0)):
        if step == 0.0:
            if gap < 0.0:
                return 1.0, 0.0
        elif step < 0.0:
            enters = max(enters, gap / step)
        else:
            leaves = min(leaves, gap / step)
    return enters, leaves


def clip_to_box(
    segment: Segment, x_min: float, y_min: float, x_max: float, y_max: float
) -> Segment | None:
    """The part of a segment inside a box (borders included), or None.

    Parameters
    ----------
    segment
        In 0-based pixels.
    x_min, y_min, x_max, y_max
        Sides of the box, px.

    Returns
    -------
    Segment or None
        The smaller x first; a point where the segment only touches the box. None where it is
        outside.
    """
    ends = segment.x0, segment.y0, segment.x1, segment.y1
    t_in, t_out = shares_inside(*ends, x_min, y_min, x_max, y_max)
    if t_in > t_out:
        return None
    dx, dy = segment.x1 - segment.x0, segment.y1 - segment.y0
    return Segment(
        segment.x0 + t_in * dx,
        segment.y0 + t_in * dy,
        segment.x0 + t_out * dx,
        segment.y0 + t_out * dy,
    ).ordered()


def clip_segment(segment: Segment, shape: Sequence[int], margin_px: float = 0.0) -> Segment | None:
    """The part of a segment inside an image of shape ``(ny, nx)`` grown by a margin, or None.

    Parameters
    ----------
    segment
        In 0-based pixels.
    shape : (ny, nx)
        Of the image, which begins and ends half a pixel outside its outer pixels' centres.
    margin_px
        How far the image is grown on each side, px; shrunk where it is negative.

    Returns
    -------
    Segment or None
        The smaller x first; None where no part is inside.
    """
    ny, nx = shape
    low = -0.5 - margin_px
    return clip_to_box(segment, low, low, nx - 0.5 + margin_px, ny - 0.5 + margin_px)


def distance_to_segment(x: ArrayLike, y: ArrayLike, segment: Segment) -> NDArray[np.float64]:
    """Distance of points from the nearest point of a segment, px.

    Parameters
    ----------
    x, y : (...)
        Points, in 0-based pixels.
    segment
        In 0-based pixels; a point is allowed.

    Returns
    -------
    (...), px
        At least 0. Beyond an end it is the distance from that end, not from the line.
    """
    px, py = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    dx, dy = segment.x1 - segment.x0, segment.y1 - segment.y0
    squared = dx * dx + dy * dy
    if squared == 0.0:
        return np.hypot(px - segment.x0, py - segment.y0)
    t = np.clip(((px - segment.x0) * dx + (py - segment.y0) * dy) / squared, 0.0, 1.0)
    return np.hypot(px - (segment.x0 + t * dx), py - (segment.y0 + t * dy))


def segment_distances(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least distance of each segment from each other one.

    Parameters
    ----------
    ends : (n, 4) px
        x0, y0, x1, y1.

    Returns
    -------
    (n, n) px
        0 where they cross, and on the diagonal.
    """
    first, last = ends[:, :2], ends[:, 2:]
    step = last - first
    squared = np.maximum((step**2).sum(axis=1), _LEAST_SQUARED_PX)
    nearest = np.full((len(ends), len(ends)), np.inf)
    # Of two segments that do not cross, the nearest places are an end of one and some place of
    # the other.
    for point in (first, last):
        away = point[:, None, :] - first[None, :, :]
        t = np.clip((away * step).sum(axis=2) / squared, 0.0, 1.0)
        gap = np.hypot(*np.moveaxis(away - t[:, :, None] * step, 2, 0))
        nearest = np.minimum(nearest, np.minimum(gap, gap.T))
    nearest[_cross(first, last)] = 0.0
    return nearest


def _cross(first: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the ends of each segment lie on different sides of each other one, and theirs too."""
    step = last - first

    def side(point: NDArray[np.float64]) -> NDArray[np.float64]:
        away = point[:, None, :] - first[None, :, :]
        return np.asarray(step[None, :, 0] * away[..., 1] - step[None, :, 1] * away[..., 0])

    parted = side(first) * side(last) < 0
    return np.asarray(parted & parted.T)
