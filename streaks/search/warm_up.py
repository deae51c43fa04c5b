"""What a process does before its first frame, so that the first is as fast as the others."""

from __future__ import annotations

import logging

import numpy as np

from streaks.frame import Frame
from streaks.search.searcher import Searcher

__all__ = ["PRELOADED", "search_small_frame"]

#: Modules that a frame's search, cutouts and picture load when they are first needed. Not the
#: network's and Parquet's, which start threads as they load: processes are forked from one that
#: has loaded these, and a fork has one thread.
PRELOADED = (
    "streaks.search",
    "streaks.detection.finder",
    "streaks.features",
    "streaks.plotting",
    "streaks.night.work",
    "cv2",
    "photutils.background",
    "scipy.ndimage",
    "scipy.optimize",
    "astropy.io.fits",
    "astropy.coordinates",
)


def search_small_frame() -> None:
    """Search a small frame of known content: libraries and compiled kernels are then there."""
    from streaks.features import measure_features

    log = logging.getLogger("streaks")
    level = log.level
    log.setLevel(logging.ERROR)  # a made-up frame lacks much that a real one would be warned of
    try:
        result = Searcher().search_frame(_small_frame())
        measure_features(result.cutouts)
    finally:
        log.setLevel(level)


def _small_frame() -> Frame:
    """Noise, a streak of S/N 50 and a star, in 331 x 320 px."""
    rng = np.random.default_rng(0)
    data = rng.normal(0.0, 10.0, (320, 331)).astype(np.float32)
    y, x = np.indices(data.shape)
    along = np.hypot(np.maximum(np.abs(x - 150.0) - 20.0, 0.0), y - 100.0)
    star = np.hypot(x - 250.0, y - 250.0)
    for distance, peak in ((along, 100.0), (star, 2000.0)):
        data += (peak * np.exp(-((distance / 1.1) ** 2) / 2)).astype(np.float32)
    mask = np.zeros(data.shape, bool)
    mask[200:205, 40:50] = True
    y, x = np.indices((25, 25)) - 12.0
    psf = np.exp(-(x**2 + y**2) / (2.0 * 1.1**2))
    return Frame(
        data=data, mask=mask, fwhm_px=2.6, exposure_s=30.0, zero_point_mag=26.3, gain=6.0, psf=psf
    )
