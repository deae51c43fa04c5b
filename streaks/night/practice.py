"""A small frame to practise on: what it loads, no worker has to load again."""

from __future__ import annotations

import logging

import numpy as np

from streaks.config import Settings
from streaks.frame import Frame
from streaks.night.frame_path import search_frame

__all__ = ["load_ahead"]


def load_ahead() -> None:
    """Load the libraries and compiled kernels that a frame's search, cutouts and picture need.

    Not the network's and Parquet's, which start threads as they load: processes are forked from
    this one, and a fork has one thread.
    """
    from streaks.features import measure_features
    from streaks.known._sbpy import import_sbpy

    log = logging.getLogger("streaks")
    level = log.level
    log.setLevel(logging.ERROR)  # a made-up frame lacks much that a real one would be warned of
    try:
        result = search_frame(_practice_frame(), Settings())
        measure_features(result.cutouts)
    finally:
        log.setLevel(level)
    import_sbpy("photometry")


def _practice_frame() -> Frame:
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
    return Frame(data=data, mask=mask, fwhm_px=2.6, exposure_s=30.0, zero_point_mag=26.3, gain=6.0)
