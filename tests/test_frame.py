"""One image with what is known of it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from astropy.wcs import WCS

from streaks.errors import FrameError
from streaks.frame import Frame, MaskPlane

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (37, 54)


def frame_with(**values: object) -> Frame:
    return Frame(data=np.zeros(SHAPE), mask=np.zeros(SHAPE, bool), **values)  # type: ignore[arg-type]


def test_shape_is_rows_then_columns() -> None:
    assert frame_with().shape == (37, 54)


def test_what_is_unknown_is_nan_or_empty() -> None:
    frame = frame_with()
    for name in ("exposure_s", "fwhm_px", "zero_point_mag", "gain", "read_noise_e", "saturation"):
        assert math.isnan(getattr(frame, name))
    assert frame.wcs is None
    assert frame.time is None
    assert (frame.band, frame.observatory, frame.path) == ("", "", "")


def test_a_cube_is_refused() -> None:
    with pytest.raises(FrameError, match="must have two axes; cube has 3"):
        Frame(data=np.zeros((3, 4, 5)), mask=np.zeros((3, 4, 5), bool), name="cube")


@pytest.mark.parametrize("what", ["mask", "planes", "variance", "science", "reference"])
def test_an_image_of_another_shape_is_named(what: str) -> None:
    images = {"data": np.zeros(SHAPE), "mask": np.zeros(SHAPE, bool), what: np.zeros((54, 37))}
    with pytest.raises(FrameError, match=rf"{what} of odd is \(54, 37\), its data \(37, 54\)"):
        Frame(name="odd", **images)  # type: ignore[arg-type]


def test_frames_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame_with().name = "other"  # type: ignore[misc]


def test_headers_are_not_shared_between_frames() -> None:
    with pytest.raises(TypeError):
        frame_with().header["field"] = 1  # type: ignore[index]


def test_pixel_scale_comes_from_the_wcs() -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 30.0], [27.0, 19.0]
    wcs.wcs.cdelt = [-1.01 / 3600, 1.01 / 3600]
    assert frame_with(wcs=wcs).pixel_scale_arcsec == pytest.approx(1.01, rel=1e-6)


def test_pixel_scale_without_wcs_is_nan() -> None:
    assert math.isnan(frame_with().pixel_scale_arcsec)


def test_mask_planes_fit_in_eight_bits_and_do_not_overlap() -> None:
    bits = [int(plane) for plane in MaskPlane]
    assert sum(bits) == np.bitwise_or.reduce(bits)
    assert max(bits) < 256


def test_a_wcs_without_sky_has_no_pixel_scale() -> None:
    assert math.isnan(frame_with(wcs=WCS(naxis=2)).pixel_scale_arcsec)
