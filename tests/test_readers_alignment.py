"""Companions brought onto a frame's pixels by their coordinates."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from streaks.readers.alignment import aligned
from tests.frame_files import ztf_header

SHAPE = (60, 81)


def bent(amount: float) -> WCS:
    """Coordinates with a distortion of so many pixels at 40 px from the middle."""
    header = fits.Header(ztf_header(), copy=True)
    for word in [word for word in header if word.startswith("PV")]:
        del header[word]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["CRPIX1"], header["CRPIX2"] = 41.0, 30.0
    header["A_ORDER"] = header["B_ORDER"] = 2
    header["A_2_0"] = amount / 40.0**2
    return WCS(header, naxis=2)


def image() -> np.ndarray:
    return np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)


def test_an_image_of_the_same_coordinates_is_given_back() -> None:
    data = image()
    assert aligned(data, bent(2.0), SHAPE, bent(2.0), "it") is data


def test_another_distortion_moves_the_image() -> None:
    data = np.zeros(SHAPE, np.float32)
    data[29, 75] = 100.0
    moved = aligned(data, bent(0.0), SHAPE, bent(2.0), "it")
    # 34 px from the middle the distortion is 2 (34 / 40)**2 = 1.4 px.
    row, column = np.unravel_index(np.nanargmax(moved), SHAPE)
    assert (row, column) in ((29, 73), (29, 74))
