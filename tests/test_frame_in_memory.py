"""Images in memory: arrays, masked arrays, NDData and CCDData."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS

from streaks.detection import find_streaks
from streaks.errors import FrameError
from streaks.frame import Frame, as_frame
from streaks.readers import with_header
from tests.detected import FWHM_PX, SHAPE, sky_with
from tests.test_readers_coordinates import header as wcs_header

TRAIL = (120.0, 90.0, 165.0, 118.0)


def images() -> dict[str, Any]:
    data = sky_with([TRAIL])
    return {
        "array": data,
        "big-endian": data.astype(">f8"),
        "integers": np.round(data).astype(np.int32),
        "masked array": np.ma.array(data, mask=np.zeros(SHAPE, bool)),
        "quantity": data * u.adu,
        "degenerate": data[None],
        "NDData": NDData(data),
        "CCDData": CCDData(data, unit="adu", wcs=WCS(wcs_header())),
        "Frame": Frame(data=data, mask=np.zeros(SHAPE, bool)),
    }


@pytest.mark.parametrize("kind", images())
def test_every_kind_of_image_is_searched(kind: str) -> None:
    streaks = find_streaks(as_frame(images()[kind], fwhm_px=FWHM_PX))
    assert len(streaks) == 1
    ends = [float(streaks[0][name].value) for name in ("x0", "y0", "x1", "y1")]
    np.testing.assert_allclose(ends, TRAIL, atol=1.5)


def test_an_array_is_searched_as_it_is() -> None:
    assert len(find_streaks(sky_with([TRAIL]))) == 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [(StdDevUncertainty, 12.0), (VarianceUncertainty, 144.0), (InverseVariance, 1 / 144)],
)
def test_each_kind_of_uncertainty_is_the_variance(kind: Any, values: float) -> None:
    ndd = NDData(np.zeros(SHAPE), uncertainty=kind(np.full(SHAPE, values)))
    frame = as_frame(ndd)
    assert frame.variance is not None
    np.testing.assert_allclose(frame.variance, 144.0, rtol=1e-6)


def test_masks_and_numbers_that_are_none_are_masked() -> None:
    data = np.zeros(SHAPE)
    data[1, 2], data[3, 4] = np.nan, np.inf
    mask = np.zeros(SHAPE, bool)
    mask[5, 6] = True
    for image in (np.ma.array(data, mask=mask), NDData(data, mask=mask)):
        found = as_frame(image).mask
        assert found[1, 2] and found[3, 4] and found[5, 6]  # noqa: PT018
        assert found.sum() == 3


def test_it_says_what_else_it_would_know(caplog: pytest.LogCaptureFixture) -> None:
    as_frame(np.zeros(SHAPE))
    assert "without wcs, fwhm_px, exposure_s, time" in caplog.text
    caplog.clear()
    as_frame(CCDData(np.zeros(SHAPE), unit="adu", wcs=WCS(wcs_header())), fwhm_px=2.0)
    assert "without exposure_s, time" in caplog.text


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((3, 5, 6)), r"shape \(3, 5, 6\)"),
        (np.array([["a", "b"]]), "expected numbers"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        as_frame(image)


def test_an_uncertainty_of_another_shape_is_refused() -> None:
    ndd = NDData(np.zeros(SHAPE))
    ndd._uncertainty = StdDevUncertainty(np.ones((2, 3)))  # NDData itself does not check
    with pytest.raises(FrameError, match="variance of image"):
        as_frame(ndd)


def test_other_kinds_of_coordinates_are_left_out_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Image:
        data, mask, uncertainty = np.zeros(SHAPE), None, None
        wcs = object()

    assert as_frame(Image()).wcs is None
    assert "coordinates of kind object are left out" in caplog.text


def test_the_words_of_a_header_come_with_it() -> None:
    header = fits.Header({"EXPTIME": 30.0, "DATE-OBS": "2024-06-15T08:00:00", "FWHM": 2.5})
    ccd = CCDData(sky_with([TRAIL]), unit="adu", meta=header, wcs=WCS(wcs_header()))
    frame = with_header(as_frame(ccd), ccd.header)
    assert (frame.exposure_s, frame.fwhm_px) == (30.0, 2.5)
    assert frame.time is not None
    assert frame.time.isot == "2024-06-15T08:00:15.000"
    assert frame.wcs is not None
    assert frame.data.shape == SHAPE


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(FrameError, match=r"its mask has the shape \(2, 3\), the image"):
        as_frame(NDData(np.zeros(SHAPE), mask=np.zeros((2, 3), bool)))
