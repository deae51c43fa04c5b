"""From records of lines to the table of streaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.table import QTable

from streaks.detection.records import Detection, Line
from streaks.detection.sky import magnitudes, sky_columns, warn_of_rates
from streaks.frame import Frame
from streaks.tables import (
    ASIDE_COLUMNS,
    STREAK_COLUMNS,
    StreakFlag,
    build_table,
    empty_streaks,
)
from streaks.trail import FWHM_PER_SIGMA

__all__ = ["aside_table", "streak_table"]

#: A frame full of clutter sets thousands of lines aside; those of most light are kept.
_MOST_ASIDE = 1000


def streak_table(frame: Frame, lines: Sequence[Line]) -> QTable:
    """Measured lines as rows, in their order.

    Parameters
    ----------
    frame
        They were found in: its name, coordinates, time and zero point.
    lines
        Fitted, with fluxes.

    Returns
    -------
    QTable
        Columns `streaks.tables.STREAK_COLUMNS`; no rows for no lines.
    """
    if not lines:
        return empty_streaks()
    fits = [line.fitted for line in lines]
    segments = [fit.segment for fit in fits]
    x0, y0, x1, y1 = np.array([(s.x0, s.y0, s.x1, s.y1) for s in segments]).T
    flux = np.array([line.flux for line in lines])
    flux_err = np.array([line.flux_err for line in lines])
    pixels = {
        "x": 0.5 * (x0 + x1), "y": 0.5 * (y0 + y1), "x0": x0, "y0": y0, "x1": x1, "y1": y1,
    }  # fmt: skip
    mag, mag_err = magnitudes(flux, flux_err, frame.zero_point_mag)
    time = "" if frame.time is None else str(frame.time.utc.isot)
    values = {
        "streak_id": [f"{frame.name}_{i:04d}" for i in range(len(lines))],
        "image": [frame.name] * len(lines),
        **pixels,
        "length": [s.length_px for s in segments],
        "theta": [s.theta_deg for s in segments],
        "width": [fit.sigma_px * FWHM_PER_SIGMA for fit in fits],
        "flux": flux,
        "flux_err": flux_err,
        "snr": [fit.snr for fit in fits],
        "score": [line.score for line in lines],
        **sky_columns(pixels, frame.wcs, frame.exposure_s, frame.pixel_scale_arcsec),
        "mag": mag,
        "mag_err": mag_err,
        "time": [time] * len(lines),
        "flags": [int(line.flags) for line in lines],
        "along0_err": [fit.along_err for fit in fits],
        "along1_err": [fit.along_err for fit in fits],
        "across_err": [fit.across_err for fit in fits],
        "length_err": [fit.length_err for fit in fits],
        "theta_err": [fit.theta_err_deg for fit in fits],
        "chi2": [fit.chi2 for fit in fits],
        "flux_aperture": [line.flux_aperture for line in lines],
        "flux_aperture_err": [line.flux_aperture_err for line in lines],
    }
    flags = np.array(values["flags"], dtype=int)
    warn_of_rates(values["rate"], flags & (StreakFlag.EDGE_0 | StreakFlag.EDGE_1) != 0, frame)
    return build_table(STREAK_COLUMNS, values)


def aside_table(image: str, detection: Detection) -> QTable:
    """The lines that are not in the table of streaks, and why.

    Parameters
    ----------
    image
        Name of the image.
    detection
        Of it.

    Returns
    -------
    QTable
        `streaks.tables.ASIDE_COLUMNS`, the brightest lines first, at most a thousand.
    """
    snr = [line.start_snr if line.fit is None else line.fit.snr for line in detection.set_aside]
    order = np.argsort(-np.nan_to_num(np.array(snr, float)), kind="stable")[:_MOST_ASIDE]
    lines = [detection.set_aside[i] for i in order]
    segments = [line.segment for line in lines]
    ends = {name: [getattr(s, name) for s in segments] for name in ("x0", "y0", "x1", "y1")}
    values = {
        "image": [image] * len(lines), **ends,
        "snr": [snr[i] for i in order], "reason": [str(line.set_aside) for line in lines],
    }  # fmt: skip
    return build_table(ASIDE_COLUMNS, values)
