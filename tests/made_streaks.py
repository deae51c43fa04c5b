"""A small night made by hand, for the rooms that write, draw and export."""

from __future__ import annotations

import numpy as np
from astropy.table import QTable, hstack
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.cutouts import Cutouts, extract_cutouts
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.tables import (
    CLASS_COLUMNS,
    CLASSES,
    MATCH_COLUMNS,
    STREAK_COLUMNS,
    StreakFlag,
    build_table,
)

SHAPE = (801, 1204)  # (ny, nx), one odd and one even


def made_wcs(shape: tuple[int, int] = SHAPE) -> WCS:
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 12.0]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.cdelt = [-1.01 / 3600, 1.01 / 3600]
    wcs.array_shape = shape
    return wcs


def trail_image(segment: Segment, flux: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """A Gaussian trail of FWHM 2.5 px, summed from 400 points along the line."""
    ny, nx = shape
    image = np.zeros(shape)
    yy, xx = np.mgrid[0:ny, 0:nx]
    low_x, high_x = sorted((segment.x0, segment.x1))
    low_y, high_y = sorted((segment.y0, segment.y1))
    box = np.s_[
        max(0, int(low_y) - 12) : int(high_y) + 13, max(0, int(low_x) - 12) : int(high_x) + 13
    ]
    sigma = 2.5 / 2.355
    for t in np.linspace(0, 1, 400):
        x = segment.x0 + t * (segment.x1 - segment.x0)
        y = segment.y0 + t * (segment.y1 - segment.y0)
        r2 = (xx[box] - x) ** 2 + (yy[box] - y) ** 2
        image[box] += np.exp(-r2 / (2 * sigma**2))
    return image * flux / max(float(image.sum()), 1e-9)


def made_frame(
    segments: list[Segment], name: str = "made_frame", *, seed: int = 1, snr_flux: float = 900.0
) -> Frame:
    """A frame with these trails, noise of 12 counts, and a masked star with its bleed column."""
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 12.0, SHAPE)
    for segment in segments:
        data += trail_image(segment, snr_flux * max(segment.length_px, 6.0) ** 0.5, SHAPE)
    mask = np.zeros(SHAPE, bool)
    mask[200:230, 300:330] = True
    mask[100:400, 313:316] = True
    data[mask] = np.nan
    sky = rng.normal(300, 18.0, SHAPE)
    return Frame(
        data=data,
        mask=mask,
        name=name,
        wcs=made_wcs(),
        fwhm_px=2.5,
        exposure_s=30.0,
        band="r",
        observatory="I41",
        science=data + sky,
        reference=rng.normal(300, 5.0, SHAPE),
    )


def made_streaks(
    segments: list[Segment],
    labels: list[str] | None = None,
    image: str = "made_frame",
    *,
    seed: int = 2,
    wcs: WCS | None = None,
) -> QTable:
    """The streak table with class and match columns that a night would hold."""
    n = len(segments)
    rng = np.random.default_rng(seed)
    labels = [CLASSES[i % len(CLASSES)] for i in range(n)] if labels is None else labels
    wcs = made_wcs() if wcs is None else wcs
    values: dict[str, object] = {spec.name: np.zeros(n) for spec in STREAK_COLUMNS}
    values["streak_id"] = [f"{image}-{i + 1:04d}" for i in range(n)]
    values["image"] = [image] * n
    values["time"] = ["2018-04-12T07:31:22.500"] * n
    values["flags"] = [int(StreakFlag.PARTLY_MASKED) if i % 5 == 4 else 0 for i in range(n)]
    for name in ("x0", "y0", "x1", "y1"):
        values[name] = np.array([getattr(s, name) for s in segments], dtype=float)
    values["x"] = [s.midpoint[0] for s in segments]
    values["y"] = [s.midpoint[1] for s in segments]
    values["length"] = length = np.array([s.length_px for s in segments], dtype=float)
    values["theta"] = [s.theta_deg for s in segments]
    for end in ("", "0", "1"):
        ra, dec = wcs.all_pix2world(np.array(values["x" + end]), np.array(values["y" + end]), 0)
        values["ra" + end], values["dec" + end] = ra, dec
    # East is at smaller x: a line at theta from +x has this position angle.
    values["pa"] = np.mod(np.array(values["theta"], dtype=float) + 90.0, 180.0)
    values["rate"] = length * 1.01 / 30.0
    values["width"] = np.full(n, 2.6)
    values["flux"] = rng.uniform(800, 9000, n)
    values["flux_err"] = np.full(n, 90.0)
    values["snr"] = np.array(values["flux"]) / 90.0
    values["score"] = np.array(values["snr"]) / 10
    values["mag"] = 26.3 - 2.5 * np.log10(np.array(values["flux"]))
    values["mag_err"] = np.full(n, 0.1)
    for name, error in (("along0_err", 0.6), ("along1_err", 0.8), ("across_err", 0.1)):
        values[name] = np.full(n, error)
    p = rng.dirichlet(np.full(8, 0.3), n) * 0.3 if n else np.zeros((0, 8))
    for i, label in enumerate(labels):
        p[i, (*CLASSES, "skip").index(label)] += 0.7
    classes: dict[str, object] = {f"p_{name}": p[:, i] for i, name in enumerate(CLASSES)}
    classes["p_unresolved"] = np.zeros(n)
    classes["label"] = labels
    classes["rb"] = p[:, 0] + p[:, 1]
    found = [label == "asteroid" and i % 2 == 0 for i, label in enumerate(labels)]
    matches = {
        "ssdistnr": np.where(found, 0.0, -999.0),
        "ssmagnr": np.where(found, 18.2, -999.0),
        "ssnamenr": np.where(found, "(24421) Djorgovski", "null"),
    }
    return hstack(
        [
            build_table(STREAK_COLUMNS, values),
            build_table(CLASS_COLUMNS, classes),
            build_table(MATCH_COLUMNS, matches),
        ]
    )


SEGMENTS = [
    Segment(100.0, 90.0, 130.0, 105.0),
    Segment(0.0, 700.0, 1203.0, 560.0),
    Segment(298.0, 190.0, 300.0, 240.0),
    Segment(700.0, 100.0, 760.0, 160.0),
    Segment(600.0, 400.0, 604.0, 415.0),
    Segment(900.0, 300.0, 906.0, 303.0),
    Segment(450.0, 650.0, 458.0, 640.0),
    Segment(1000.0, 500.0, 1030.0, 540.0),
]


def made_night() -> tuple[Frame, QTable, Cutouts]:
    """One frame, its streaks (an asteroid first and last) and their cutouts."""
    frame = made_frame(SEGMENTS)
    streaks = made_streaks(SEGMENTS)
    return frame, streaks, extract_cutouts(frame, streaks)


__all__ = ["SEGMENTS", "SHAPE", "made_frame", "made_night", "made_streaks", "made_wcs"]
