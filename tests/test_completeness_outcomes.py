"""Exactly one outcome for each thing that should be there, and the right one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.completeness import (
    ENTRY_COLUMNS,
    OUTCOMES,
    TARGET_COLUMNS,
    FrameView,
    look_at,
    match_points,
    match_truth,
    measure_place,
    place_entries,
    settle_outcomes,
    stage_flags,
    unplaced_outcome,
)
from streaks.detection.point_sources import sharp_pixels
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.tables import ASIDE_COLUMNS, build_table, empty_table
from tests.made_streaks import made_streaks, made_wcs
from tests.rendering import add_star, add_trail, flux_for_snr

SHAPE, NOISE, SIGMA, ZERO = (301, 340), 10.0, 2.5 / 2.3548, 26.0
TRAIL = Segment(100.0, 90.0, 130.0, 105.0)
LIMIT = 6.0


def ends(segment: Segment) -> tuple[float, float, float, float]:
    return segment.x0, segment.y0, segment.x1, segment.y1


def sky() -> NDArray[np.float64]:
    return np.random.default_rng(4).normal(0.0, NOISE, SHAPE)


def frame_of(data: NDArray[np.float64], **more: object) -> Frame:
    values: dict[str, object] = {
        "mask": np.zeros(SHAPE, bool), "name": "f", "fwhm_px": 2.5, "zero_point_mag": ZERO,
        "exposure_s": 30.0, "wcs": made_wcs(SHAPE),
    }  # fmt: skip
    return Frame(data=data.astype(np.float32), **{**values, **more})  # type: ignore[arg-type]


def mag_of(segment: Segment, snr: float) -> float:
    flux = flux_for_snr(ends(segment), snr, sigma_px=SIGMA, noise=NOISE)
    return ZERO - 2.5 * math.log10(flux)


def with_trail(segment: Segment, snr: float) -> NDArray[np.float64]:
    data = sky()
    add_trail(
        data, ends(segment), flux_for_snr(ends(segment), snr, sigma_px=SIGMA, noise=NOISE), SIGMA
    )
    return data


def targets_of(segment: Segment, mag: float, length: float | None = None) -> QTable:
    x, y = segment.midpoint
    row: dict[str, object] = {
        "entry": "e", "name": "n", "image": "f", "x": x, "y": y, "mag": mag,
        "x0": segment.x0, "y0": segment.y0, "x1": segment.x1, "y1": segment.y1,
        "length": segment.length_px if length is None else length, "tolerance": 5.0,
    }  # fmt: skip
    return build_table(
        TARGET_COLUMNS, {s.name: [row.get(s.name, math.nan)] for s in TARGET_COLUMNS}
    )


def outcome(
    frame: Frame,
    segment: Segment = TRAIL,
    snr: float = 20.0,
    *,
    streaks: QTable | None = None,
    aside: str = "",
) -> str:
    mag = mag_of(segment, snr) if math.isfinite(snr) else math.nan
    lines = empty_table(ASIDE_COLUMNS)
    if aside:
        values = {
            "image": "f",
            "snr": 10.0,
            "reason": aside,
            **dict(zip(("x0", "y0", "x1", "y1"), ends(segment), strict=True)),
        }
        lines = build_table(ASIDE_COLUMNS, {name: [value] for name, value in values.items()})
    (found,) = settle_outcomes(
        targets_of(segment, mag),
        [measure_place(look_at(frame, sharp_pixels), segment, mag)],
        made_streaks([], image="f") if streaks is None else streaks,
        lines,
        fwhm_px=np.array([2.5]),
        limit_snr=LIMIT,
    )
    assert found.kind in OUTCOMES
    return found.kind


def test_snr_expected_and_measured_are_those_put_in():
    light = measure_place(look_at(frame_of(with_trail(TRAIL, 20.0))), TRAIL, mag_of(TRAIL, 20.0))
    assert light.expected_snr == pytest.approx(20.0, rel=0.05)
    assert light.measured_snr == pytest.approx(20.0, abs=3.0)
    assert light.masked_share == 0.0
    assert light.foreign_share < 0.05


def test_a_point_of_the_same_light_is_brighter_than_its_trail():
    point = Segment(115.0, 97.5, 115.05, 97.5)
    light = measure_place(look_at(frame_of(sky())), TRAIL, mag_of(point, 30.0))
    assert light.point_snr == pytest.approx(30.0, rel=0.05)
    assert light.expected_snr < 15.0


def test_found_at_each_stage():
    streaks = made_streaks([TRAIL], ["asteroid"], image="f")
    frame = frame_of(with_trail(TRAIL, 20.0))
    assert outcome(frame, streaks=streaks) == "found"
    streaks["p_real"] = [0.2]
    assert outcome(frame, streaks=streaks) == "weighed down"
    streaks["label"] = ["satellite"]
    assert outcome(frame, streaks=streaks) == "named otherwise"
    streaks["p_real"] = [0.9]
    assert outcome(frame, streaks=streaks) == "found"


def test_stages_that_were_not_run_are_none():
    streaks = made_streaks([TRAIL], ["asteroid"], image="f")
    flags = stage_flags(streaks, np.array([0, -1]))
    assert flags["kept"] is None
    assert flags["named"] is not None
    assert list(flags["named"]) == [True, False]
    streaks.remove_column("label")
    assert stage_flags(streaks, np.array([0, -1]))["named"] is None


def test_masked():
    mask = np.zeros(SHAPE, bool)
    mask[85:112, 95:135] = True
    data = with_trail(TRAIL, 20.0)
    data[mask] = np.nan
    assert outcome(frame_of(data, mask=mask)) == "masked"


def test_too_slow():
    slow = Segment(115.0, 97.0, 116.0, 97.5)
    assert outcome(frame_of(with_trail(slow, 20.0)), slow) == "too slow"


def test_too_faint_and_trailing_loss():
    assert outcome(frame_of(with_trail(TRAIL, 1.5)), snr=1.5) == "too faint"
    long = Segment(60.0, 90.0, 140.0, 100.0)
    assert outcome(frame_of(with_trail(long, 3.0)), long, 3.0) == "trailing loss"


def test_without_a_magnitude_what_is_there_decides():
    assert outcome(frame_of(sky()), snr=math.nan) == "too faint"
    assert outcome(frame_of(with_trail(TRAIL, 20.0)), snr=math.nan) == "unexplained"


def test_no_light():
    assert outcome(frame_of(sky()), snr=25.0) == "no light"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("sharp", "set aside"), ("dipole", "set aside"), ("found twice", "blended"),
        ("joined", "blended"), ("faint", "unexplained"), ("", "unexplained"),
    ],
)  # fmt: skip
def test_a_line_that_was_set_aside_says_why(reason: str, kind: str):
    assert outcome(frame_of(with_trail(TRAIL, 20.0)), aside=reason) == kind


def test_what_is_sharper_than_the_psf_was_set_aside():
    data = sky()
    for t in np.linspace(0, 1, 60):
        x, y = TRAIL.x0 + t * (TRAIL.x1 - TRAIL.x0), TRAIL.y0 + t * (TRAIL.y1 - TRAIL.y0)
        data[round(y), round(x)] = 40 * NOISE
    assert outcome(frame_of(data), snr=60.0) == "set aside"


def test_blended_with_a_brighter_trail_across():
    short = Segment(112.0, 94.0, 122.0, 100.0)
    data = with_trail(short, 8.0)
    across = Segment.from_midpoint(*short.midpoint, 90.0, short.theta_deg + 30.0)
    add_trail(data, ends(across), 4e5, SIGMA)
    assert outcome(frame_of(data), short, 8.0) == "blended"


def test_reference_contaminated():
    data, reference = with_trail(TRAIL, 15.0), np.random.default_rng(8).normal(300, 3.0, SHAPE)
    for t in (0.1, 0.4, 0.7, 1.0):
        x, y = TRAIL.x0 + t * (TRAIL.x1 - TRAIL.x0), TRAIL.y0 + t * (TRAIL.y1 - TRAIL.y0)
        add_star(reference, x, y, 3e4, SIGMA)
        add_star(data, x, y, -4e3, SIGMA)
    assert outcome(frame_of(data, reference=reference), snr=15.0) == "reference contaminated"


def test_a_frame_that_could_not_be_read():
    (found,) = settle_outcomes(
        targets_of(TRAIL, 18.0), [None], made_streaks([], image="f"), empty_table(ASIDE_COLUMNS),
        fwhm_px=np.array([2.5]), limit_snr=LIMIT,
    )  # fmt: skip
    assert found.kind == "not readable"


def test_a_point_is_matched_with_the_streak_it_lies_on():
    streaks = made_streaks([TRAIL, TRAIL.shifted(0, 8)], image="f")
    x, y = TRAIL.midpoint
    points = QTable({"image": ["f", "f", "other"], "x": [x, x, x], "y": [y + 1, y + 60, y]})
    assert list(match_points(streaks, points)) == [0, -1, -1]


def test_a_tolerance_for_each_true_one():
    far = made_streaks([TRAIL.shifted(-5, 10), TRAIL.shifted(-5, 10)])
    truth = made_streaks([TRAIL, TRAIL])
    assert list(match_truth(far[:1], truth, tolerance_px=np.array([5.0, 30.0]))) == [-1, 0]


# -- entries in frames -----------------------------------------------------------------------


VIEW = FrameView("f", SHAPE, made_wcs(SHAPE), 58000.5, 30.0, 1.01)


def entries(**columns: object) -> QTable:
    n = max(len(column) for column in columns.values())  # type: ignore[arg-type]
    values = {
        s.name: columns.get(s.name, [""] * n if s.dtype is str else [math.nan] * n)
        for s in ENTRY_COLUMNS
    }
    return build_table(ENTRY_COLUMNS, values)


def test_an_entry_of_the_exposure_s_time_is_placed_with_its_motion():
    one = entries(entry=["a"], ra=[150.0], dec=[12.0], mjd=[58000.5], rate=[0.505], pa=[90.0])
    (target,), exposed = place_entries(one, VIEW)
    assert list(exposed) == [0]
    assert target["x"] == pytest.approx((SHAPE[1] - 1) / 2, abs=0.01)
    assert target["y"] == pytest.approx((SHAPE[0] - 1) / 2, abs=0.01)
    assert target["length"] == pytest.approx(15.0, abs=0.05)
    # East is at smaller x.
    assert target["x1"] < target["x0"]
    assert target["angle"] == pytest.approx(0.0, abs=0.5) or target["angle"] > 179.5


def test_an_entry_of_another_time_or_another_image_is_not():
    late = entries(entry=["a"], ra=[150.0], dec=[12.0], mjd=[58000.501])
    assert len(place_entries(late, VIEW)[1]) == 0
    assert len(place_entries(late, VIEW, time_tolerance_s=80.0)[1]) == 1
    other = entries(entry=["a"], image=["g"], x=[50.0], y=[60.0])
    assert len(place_entries(other, VIEW)[1]) == 0
    own = entries(entry=["a"], image=["f"], x=[50.0], y=[60.0])
    (target,), _ = place_entries(own, VIEW)
    assert (target["x"], target["y"]) == (50.0, 60.0)
    assert math.isnan(target["length"])


def test_an_uncertain_place_may_be_farther_off():
    one = entries(entry=["a"], ra=[150.0], dec=[12.0], mjd=[58000.5], pos_err=[10.1])
    (target,), _ = place_entries(one, VIEW)
    assert target["tolerance"] == pytest.approx(30.0)


def test_what_lies_outside_is_exposed_and_not_placed():
    one = entries(entry=["a"], ra=[150.0], dec=[12.5], mjd=[58000.5])
    targets, exposed = place_entries(one, VIEW)
    assert targets == []
    assert list(exposed) == [0]


def test_off_chip_in_a_gap_or_not_observed():
    corners = VIEW.corners()
    width = 340 * 1.01 / 3600 / math.cos(math.radians(12.0))
    beside = corners + np.array([1.2 * width, 0.0])
    middle = corners.mean(axis=0)
    gap = middle + np.array([0.6 * width, 0.0])
    assert unplaced_outcome(*middle, []) == "not observed"
    assert unplaced_outcome(*gap, [corners]) == "off chip"
    assert unplaced_outcome(*gap, [corners, beside]) == "in a gap"
    assert unplaced_outcome(*(middle + np.array([0.0, 1.0])), [corners, beside]) == "off chip"


def test_a_gap_astride_0_h():
    corners = VIEW.corners() - [150.0, 0.0]
    left, right = corners - np.array([0.06, 0.0]), corners + np.array([0.06, 0.0])
    assert (
        unplaced_outcome(0.0, 12.0, [left % [360.0, 360.0], right % [360.0, 360.0]]) == "in a gap"
    )


def test_a_view_without_coordinates_has_no_corners():
    assert np.isnan(replace(VIEW, wcs=None).corners()).all()
