"""Entries of a list, known asteroids or injections, placed in the frames that should show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.sky import to_icrs, to_pixels
from streaks.tables import ColumnSpec

__all__ = [
    "ENTRY_COLUMNS",
    "TARGET_COLUMNS",
    "FrameView",
    "place_entries",
    "unplaced_outcome",
]

#: What a list may tell of each thing; whatever it does not is NaN or empty.
ENTRY_COLUMNS = (
    ColumnSpec("entry", str, None, "unique name in its list"),
    ColumnSpec("name", str, None, "of the object"),
    ColumnSpec("image", str, None, "frame that should show it; empty for any of its time"),
    ColumnSpec("ra", float, "deg", "ICRS, at the time"),
    ColumnSpec("dec", float, "deg", ""),
    ColumnSpec("x", float, "pix", "0-based, where there is an image"),
    ColumnSpec("y", float, "pix", ""),
    ColumnSpec("mjd", float, None, "UTC"),
    ColumnSpec("mag", float, "mag", ""),
    ColumnSpec("snr", float, None, "as its list says"),
    ColumnSpec("rate", float, "arcsec / s", "apparent motion"),
    ColumnSpec("pa", float, "deg", "direction of the motion, east of north"),
    ColumnSpec("x0", float, "pix", "ends, where the list gives pixels"),
    ColumnSpec("y0", float, "pix", ""),
    ColumnSpec("x1", float, "pix", ""),
    ColumnSpec("y1", float, "pix", ""),
    ColumnSpec("ra0", float, "deg", "ends, where the list gives them"),
    ColumnSpec("dec0", float, "deg", ""),
    ColumnSpec("ra1", float, "deg", ""),
    ColumnSpec("dec1", float, "deg", ""),
    ColumnSpec("pos_err", float, "arcsec", "1-sigma error of the place"),
)

#: An entry in a frame.
TARGET_COLUMNS = (
    ColumnSpec("entry", str, None, "of its list"),
    ColumnSpec("name", str, None, "of the object"),
    ColumnSpec("image", str, None, "the frame"),
    ColumnSpec("x0", float, "pix", "ends; those of one point where no motion is known"),
    ColumnSpec("y0", float, "pix", ""),
    ColumnSpec("x1", float, "pix", ""),
    ColumnSpec("y1", float, "pix", ""),
    ColumnSpec("x", float, "pix", "at mid-exposure"),
    ColumnSpec("y", float, "pix", ""),
    ColumnSpec("length", float, "pix", "NaN where no motion is known"),
    ColumnSpec("mag", float, "mag", ""),
    ColumnSpec("snr", float, None, "as its list says"),
    ColumnSpec("rate", float, "arcsec / s", ""),
    ColumnSpec("angle", float, "deg", "of the line from +x, in [0, 180)"),
    ColumnSpec("mjd", float, None, "mid-exposure of the frame"),
    ColumnSpec("tolerance", float, "pix", "how far from it a streak may lie"),
)

#: Least tolerance, px, and how many errors of a place it holds.
_TOLERANCE_PX, _SIGMAS = 5.0, 3.0
_S_PER_DAY = 86_400.0


@dataclass(frozen=True, eq=False)
class FrameView:
    """What of a frame decides which entries it should show.

    Parameters
    ----------
    name
        Of the image.
    shape : (ny, nx)
    wcs
        None where it has none.
    mjd
        Mid-exposure, UTC; NaN where unknown.
    exposure_s, scale_arcsec
        NaN where unknown.
    """

    name: str
    shape: tuple[int, int]
    wcs: WCS | None = None
    mjd: float = math.nan
    exposure_s: float = math.nan
    scale_arcsec: float = math.nan

    def corners(self) -> NDArray[np.float64]:
        """Right ascension and declination of the corners.

        Returns
        -------
        (4, 2), deg
            NaN without coordinates.
        """
        if self.wcs is None:
            return np.full((4, 2), np.nan)
        ny, nx = self.shape
        ra, dec = to_icrs(self.wcs, [0, nx - 1, nx - 1, 0], [0, 0, ny - 1, ny - 1])
        return np.stack([ra, dec], axis=1)


def place_entries(
    entries: QTable, view: FrameView, *, time_tolerance_s: float = 30.0
) -> tuple[list[dict[str, Any]], NDArray[np.intp]]:
    """The entries that a frame should show.

    Parameters
    ----------
    entries
        `ENTRY_COLUMNS`.
    view
        Of the frame.
    time_tolerance_s
        Beyond half the exposure, an entry's time may be so far from the frame's. The place is not
        moved to the frame's time.

    Returns
    -------
    targets : list of dict
        By column of `TARGET_COLUMNS`, bare numbers: entries inside, each with ``row``.
    exposed : (n,) int
        Rows of entries whose time is this frame's, inside or not.
    """
    value = {
        spec.name: np.asarray(entries[spec.name]).astype(str)
        if spec.dtype is str
        else np.asarray(getattr(entries[spec.name], "value", entries[spec.name]), float)
        for spec in ENTRY_COLUMNS
    }
    exposed = np.flatnonzero(_exposed(value, view, time_tolerance_s))
    if not len(exposed):
        return [], exposed
    ends = _ends_px({name: column[exposed] for name, column in value.items()}, view)
    ny, nx = view.shape
    x, y = 0.5 * (ends[:, 0] + ends[:, 2]), 0.5 * (ends[:, 1] + ends[:, 3])
    inside = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
    return [_target(value, int(exposed[k]), ends[k], view) for k in np.flatnonzero(inside)], exposed


def unplaced_outcome(ra_deg: float, dec_deg: float, corners: Sequence[NDArray[np.float64]]) -> str:
    """What became of an entry that no frame shows.

    Parameters
    ----------
    ra_deg, dec_deg
        Of the entry.
    corners : list of (4, 2), deg
        Of the frames of its time; empty where there is none.

    Returns
    -------
    str
        ``not observed``, ``off chip``, or ``in a gap`` where it lies within the convex hull of
        several chips.
    """
    if not len(corners):
        return "not observed"
    points = np.concatenate(list(corners))
    points = points[np.isfinite(points).all(axis=1)]
    if len(corners) < 2 or len(points) < 3 or not math.isfinite(ra_deg + dec_deg):
        return "off chip"
    from scipy.spatial import Delaunay, QhullError

    # Tangent plane at the entry: good to a few degrees, and blind to 0 h.
    east = (np.mod(points[:, 0] - ra_deg + 180.0, 360.0) - 180.0) * math.cos(math.radians(dec_deg))
    flat = np.stack([east, points[:, 1] - dec_deg], axis=1)
    try:
        hull = Delaunay(flat)
    except QhullError:
        return "off chip"
    return "in a gap" if hull.find_simplex(np.zeros((1, 2)))[0] >= 0 else "off chip"


def _exposed(
    value: dict[str, NDArray[Any]], view: FrameView, time_tolerance_s: float
) -> NDArray[np.bool_]:
    """Entries of this image or, where they name none, of its time; without a time, of any."""
    named = value["image"] != ""
    room = (0.5 * np.nan_to_num(view.exposure_s) + time_tolerance_s) / _S_PER_DAY
    timed = np.isfinite(value["mjd"])
    of_time = ~timed | (np.abs(value["mjd"] - view.mjd) <= room)
    return np.asarray(np.where(named, value["image"] == view.name, of_time), dtype=bool)


def _ends_px(value: dict[str, NDArray[Any]], view: FrameView) -> NDArray[np.float64]:
    """Ends (n, 4) in 0-based px by the best that an entry tells; of no length without motion."""
    ends = np.stack([value[name] for name in ("x0", "y0", "x1", "y1")], axis=1).astype(float)
    if view.wcs is not None:
        for names in (("ra0", "dec0", "ra1", "dec1"), ("ra", "dec", "ra", "dec")):
            if "ra" in names:
                places = _moved(value, view.exposure_s)
            else:
                places = np.stack([value[name] for name in names], axis=1)
            rows = ~np.isfinite(ends).all(axis=1) & np.isfinite(places).all(axis=1)
            if rows.any():
                x, y = to_pixels(view.wcs, places[rows][:, 0::2], places[rows][:, 1::2])
                ends[rows] = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)
    point = ~np.isfinite(ends).all(axis=1)
    ends[point] = np.stack([value[n] for n in ("x", "y", "x", "y")], axis=1)[point]
    return ends


def _moved(value: dict[str, NDArray[Any]], exposure_s: float) -> NDArray[np.float64]:
    """Places at the exposure's start and end, (n, 4) deg; twice the place without motion."""
    half = 0.5 * np.nan_to_num(value["rate"] * exposure_s) / 3600.0
    pa = np.radians(np.nan_to_num(value["pa"]))
    half = np.where(np.isfinite(value["pa"]), half, 0.0)
    dec = value["dec"]
    east = half * np.sin(pa) / np.maximum(np.cos(np.radians(np.nan_to_num(dec))), 1e-6)
    north = half * np.cos(pa)
    return np.stack(
        [value["ra"] - east, dec - north, value["ra"] + east, dec + north], axis=1
    ).astype(float)


def _target(
    value: dict[str, NDArray[Any]], i: int, ends: NDArray[np.float64], view: FrameView
) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(v) for v in ends)
    length = math.hypot(x1 - x0, y1 - y0)
    scale = view.scale_arcsec if view.scale_arcsec > 0 else math.nan
    rate = float(value["rate"][i])
    if not math.isfinite(rate) and length > 0:
        rate = length * scale / view.exposure_s
    error_px = float(np.nan_to_num(value["pos_err"][i] / scale))
    moves = length > 0 or (math.isfinite(rate) and rate * view.exposure_s / scale < 1.0)
    return {
        "row": i,
        "entry": str(value["entry"][i]),
        "name": str(value["name"][i]),
        "image": view.name,
        "x0": x0, "y0": y0, "x1": x1, "y1": y1,
        "x": 0.5 * (x0 + x1), "y": 0.5 * (y0 + y1),
        "length": length if moves else math.nan,
        "mag": float(value["mag"][i]),
        "snr": float(value["snr"][i]),
        "rate": rate,
        "angle": math.degrees(math.atan2(y1 - y0, x1 - x0)) % 180.0 if length > 0 else math.nan,
        "mjd": view.mjd,
        "tolerance": max(_TOLERANCE_PX, _SIGMAS * error_px),
    }  # fmt: skip
