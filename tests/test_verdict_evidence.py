"""What a frame's pixels tell of its streaks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection import Detection, detect_lines
from streaks.frame import Frame, MaskPlane
from streaks.geometry import Segment
from streaks.trail import trail_template
from streaks.verdict import EVIDENCE_COLUMNS, frame_evidence
from streaks.verdict.lines import Lines
from streaks.verdict.strips import SAMPLES, boxes_around, read_pixels, strips_along

SHAPE = (300, 320)
SEGMENT = Segment(100.0, 80.0, 140.0, 110.0)


def drawn(flux: float = 4000.0, segment: Segment = SEGMENT) -> NDArray[np.float64]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return flux * trail_template(x.ravel(), y.ravel(), segment, 1.1).reshape(SHAPE)


@pytest.fixture
def frame_with() -> Callable[..., Frame]:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 5, SHAPE)

    def make(**values: object) -> Frame:
        given = {"mask": np.zeros(SHAPE, bool), "fwhm_px": 2.6, **values}
        return Frame(data=(drawn() + noise).astype(np.float32), **given)

    return make


def found_in(frame: Frame) -> tuple[Detection, dict[str, float]]:
    """The streak that was drawn, and its evidence by name."""
    found = detect_lines(frame)
    table = frame_evidence(frame, found)
    assert list(table["streak_id"]) == list(found.table["streak_id"])
    off = np.hypot(found.table["x"].value - 120, found.table["y"].value - 95)
    row = table[int(off.argmin())]
    assert off.min() < 2
    return found, {spec.name[3:]: float(row[spec.name]) for spec in EVIDENCE_COLUMNS}


def test_a_frame_without_streaks_has_evidence_of_none() -> None:
    frame = Frame(
        data=np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32),
        mask=np.zeros(SHAPE, bool), fwhm_px=2.5,
    )  # fmt: skip
    found = detect_lines(frame)
    assert len(found.table) == 0
    table = frame_evidence(frame, found)
    assert len(table) == 0
    assert table.colnames == ["streak_id", *(spec.name for spec in EVIDENCE_COLUMNS)]


def test_a_moving_body_is_in_the_science_image_and_not_in_the_reference(
    frame_with: Callable[..., Frame],
) -> None:
    rng = np.random.default_rng(4)
    sky = rng.normal(200, 6, SHAPE)
    _, moving = found_in(frame_with(science=sky + drawn(), reference=rng.normal(100, 2, SHAPE)))
    assert moving["science_share"] == pytest.approx(1.0, abs=0.15)
    assert abs(moving["reference_share"]) < 0.1
    assert moving["reference_peak"] < 5
    _, star = found_in(frame_with(science=sky + drawn(9000), reference=sky + drawn(5000)))
    assert star["reference_share"] == pytest.approx(5000 / 4000, rel=0.15)
    assert star["reference_peak"] > 8


def test_images_that_are_not_there_tell_nothing(frame_with: Callable[..., Frame]) -> None:
    _, told = found_in(frame_with())
    for name in ("science_share", "reference_peak", "on_ghost", "near_source", "star_gap_px"):
        assert np.isnan(told[name]), name
    assert told["near_unusable"] == 0
    assert told["trail_sigmas"] > 20
    assert told["fwhm_px"] == pytest.approx(2.6)


def test_planes_of_the_mask_under_and_around_a_trail(frame_with: Callable[..., Frame]) -> None:
    planes = np.zeros(SHAPE, np.uint8)
    planes[:, 120:] = int(MaskPlane.GHOST)
    planes[80:111, 100:141] |= int(MaskPlane.SOURCE)
    _, told = found_in(frame_with(planes=planes))
    assert told["on_ghost"] == pytest.approx(0.5, abs=0.06)
    assert told["near_ghost"] == pytest.approx(0.5, abs=0.05)
    assert told["on_source"] == pytest.approx(1.0, abs=0.05)
    assert told["on_track"] == 0


def test_a_saturated_star_that_a_line_points_at(frame_with: Callable[..., Frame]) -> None:
    mask = np.zeros(SHAPE, bool)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    # On the line's own, 80 px beyond its end.
    mask[np.hypot(x - 204, y - 158) < 15] = True
    _, told = found_in(frame_with(mask=mask))
    assert told["star_offset"] < 1
    assert told["star_gap_px"] == pytest.approx(80 - 15, abs=8)
    assert told["star_radius_px"] == pytest.approx(15, rel=0.15)
    mask = np.zeros(SHAPE, bool)
    mask[np.hypot(x - 204, y - 60) < 15] = True
    _, aside = found_in(frame_with(mask=mask))
    assert np.isnan(aside["star_gap_px"])
    assert aside["star_nearest_px"] > 40


def test_strips_follow_a_line_and_end_at_the_image() -> None:
    image = np.arange(100 * 90, dtype=float).reshape(100, 90)
    places, offsets = strips_along(Lines.of([Segment(10, 20, 58, 20)]), 2)
    values = read_pixels(image, places, np.nan)
    assert values.shape == (1, SAMPLES, 5)
    assert offsets.tolist() == [-2, -1, 0, 1, 2]
    # Rows below and above, columns from one end to the other.
    assert values[0, 0].tolist() == [image[20 + k, 10] for k in offsets]
    assert values[0, -1, 2] == image[20, 58] or values[0, -1, 2] == image[20, 57]
    places, _ = strips_along(Lines.of([Segment(-5, 0, 5, 0)]), 1)
    outside = read_pixels(image, places, np.nan)
    assert np.isnan(outside[0, 0]).all()
    assert np.isnan(outside[0, :, 0]).all()
    assert outside[0, -1, 1] == image[0, 5]


@pytest.mark.parametrize("fwhm_px", [0.4, 1.0, 1.2, 7.0, 300.0])
def test_a_psf_of_any_width_has_pixels_on_the_trail_and_beside_it(
    frame_with: Callable[..., Frame], fwhm_px: float
) -> None:
    found = detect_lines(frame_with())
    table = frame_evidence(frame_with(fwhm_px=fwhm_px), found)
    assert np.isfinite(table["ev_trail_sigmas"]).all()
    assert np.isfinite(table["ev_beside_low"]).all()


def test_boxes_have_the_midpoint_in_the_middle() -> None:
    columns, rows = boxes_around(Lines.of([Segment(40, 30, 60, 30)]), 60)
    assert columns.shape == (1, 31, 31)
    assert (columns.mean(), rows.mean()) == (50, 30)
    assert (columns.min(), columns.max()) == (-10, 110)
