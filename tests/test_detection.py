"""What the detector finds, and what it must not care about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streaks.detection import find_streaks
from streaks.geometry import Segment, angle_difference_deg, clip_segment
from streaks.tables import StreakFlag
from tests.detected import (
    FWHM_PX,
    NOISE,
    SHAPE,
    SIGMA_PX,
    detect,
    end_errors,
    frame_of,
    row_of,
    sky_with,
)
from tests.rendering import Ends, add_star, add_trail, flux_for_snr

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

TRAIL: Ends = (120.0, 90.0, 165.0, 118.0)
#: Three of different length and steepness, far apart.
THREE: tuple[Ends, ...] = (
    (60.2, 50.7, 84.9, 62.3),
    (250.5, 200.1, 262.0, 255.4),
    (300.0, 60.0, 370.0, 60.5),
)


def flags_of(row: Any) -> StreakFlag:
    return StreakFlag(int(row["flags"]))


# ------------------------------------------------------------------------------ what is found


@pytest.mark.parametrize("ends", THREE)
def test_a_streak_is_found_alone_with_ends_and_flux(ends: Ends) -> None:
    table = detect(frame_of(sky_with([ends])))
    row = row_of(table, ends, within_px=1.5)
    assert len(table) == 1
    flux = flux_for_snr(ends, 40.0, sigma_px=SIGMA_PX, noise=NOISE)
    assert row["flux"].value == pytest.approx(flux, rel=0.1)
    assert row["snr"] == pytest.approx(40.0, rel=0.1)
    assert row["width"].value == pytest.approx(FWHM_PX, rel=0.15)
    assert flags_of(row) == StreakFlag(0)


def test_noise_alone_gives_one_false_streak_a_quadrant() -> None:
    # Half of 3072 x 3080 px: 0.5 expected, more than 3 once in 500 times.
    shape = (1501, 1600)
    frames = [frame_of(sky_with([], seed=seed, shape=shape)) for seed in (1001, 1002)]
    assert sum(len(find_streaks(frame)) for frame in frames) <= 3


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_holds_nothing_that_is_surely_a_streak(seed: int) -> None:
    assert len(detect(frame_of(sky_with([], seed=seed)))) == 0


def test_noise_with_neighbours_that_agree_holds_no_streak() -> None:
    raw = np.random.default_rng(2).normal(0, NOISE, (SHAPE[0] + 1, SHAPE[1] + 1))
    data = raw[1:, 1:] + 0.4 * raw[:-1, 1:] + 0.4 * raw[1:, :-1] + 0.16 * raw[:-1, :-1]
    assert len(detect(frame_of(data))) == 0


def test_point_sources_are_no_streaks() -> None:
    data = sky_with([])
    rng = np.random.default_rng(3)
    for _ in range(40):
        add_star(data, rng.uniform(10, 400), rng.uniform(10, 290), rng.uniform(3e2, 2e4), SIGMA_PX)
    assert len(detect(frame_of(data))) == 0


def test_dipoles_are_no_streaks() -> None:
    data = sky_with([])
    rng = np.random.default_rng(4)
    for _ in range(20):
        x, y, turn = rng.uniform(20, 390), rng.uniform(20, 280), rng.uniform(0, 2 * np.pi)
        flux = rng.uniform(1e3, 1e4)
        add_star(data, x, y, flux, SIGMA_PX)
        add_star(data, x + 1.5 * np.cos(turn), y + 1.5 * np.sin(turn), -flux, SIGMA_PX)
    assert len(detect(frame_of(data))) == 0


def test_cosmic_rays_are_no_streaks() -> None:
    # Straight and one pixel wide: no PSF has blurred them.
    data, rng = sky_with([]), np.random.default_rng(5)
    for _ in range(20):
        iy, ix = int(rng.integers(5, 295)), int(rng.integers(5, 380))
        data[iy, ix : ix + int(rng.integers(4, 22))] += rng.uniform(20, 80) * NOISE
    assert len(detect(frame_of(data))) == 0


def test_a_short_faint_streak_is_found() -> None:
    ends: Ends = (200.0, 150.0, 208.0, 153.0)
    table = detect(frame_of(sky_with([ends], snr=15.0)))
    assert len(table) == 1
    assert row_of(table, ends, within_px=4.0)["snr"] == pytest.approx(15.0, abs=4.0)


def test_most_long_streaks_too_faint_to_see_are_found() -> None:
    # S/N 9 over 100 px: 0.6 sigma at the peak of a pixel.
    ends: Ends = (150.0, 100.0, 236.6, 150.0)
    tables = [detect(frame_of(sky_with([ends], snr=9.0, seed=seed))) for seed in range(6)]
    found = [len(t) > 0 and end_errors(t, ends).min() < 15.0 for t in tables]
    assert sum(found) >= 5


def test_two_crossing_streaks_are_both_found() -> None:
    trails: list[Ends] = [(120.0, 100.0, 200.0, 160.0), (130.0, 165.0, 190.0, 95.0)]
    table = detect(frame_of(sky_with(trails)))
    for ends in trails:
        row_of(table, ends, within_px=3.0)
    assert len(table) == 2


def test_two_parallel_streaks_8_px_apart_are_both_found() -> None:
    trails: list[Ends] = [(120.0, 100.0, 200.0, 120.0), (118.0, 107.8, 198.0, 127.8)]
    table = detect(frame_of(sky_with(trails)))
    for ends in trails:
        row_of(table, ends, within_px=2.0)
    assert len(table) == 2


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(np.s_[:, 160:172], id="band"),
        pytest.param(
            np.s_[100:150, 160:190],
            id="star",
        ),
    ],
)
def test_a_streak_behind_a_mask_is_one_streak(block: Any) -> None:
    ends: Ends = (100.0, 80.0, 250.0, 170.0)
    data, mask = sky_with([ends], snr=60.0), np.zeros(SHAPE, bool)
    mask[block], data[block] = True, 1e5
    table = detect(frame_of(data, mask))
    assert len(table) == 1
    row = row_of(table, ends, within_px=2.0)
    assert StreakFlag.PARTLY_MASKED in flags_of(row)
    flux = flux_for_snr(ends, 60.0, sigma_px=SIGMA_PX, noise=NOISE)
    assert row["flux"].value == pytest.approx(flux, rel=0.1)


def dashes(
    start: tuple[float, float], theta_deg: float, n: int, gap_px: float = 20.0
) -> list[Ends]:
    """Dashes of 25 px on one line."""
    c, s = np.cos(np.radians(theta_deg)), np.sin(np.radians(theta_deg))
    return [
        (start[0] + a * c, start[1] + a * s, start[0] + (a + 25) * c, start[1] + (a + 25) * s)
        for a in (25.0 + gap_px) * np.arange(n)
    ]


def test_a_dashed_trail_is_one_object() -> None:
    pieces = dashes((90.0, 60.0), 31.0, 5)
    table = detect(frame_of(sky_with(pieces, snr=30.0)))
    assert len(table) == 1
    row = row_of(table, (*pieces[0][:2], *pieces[-1][2:]), within_px=3.0)
    flux = sum(flux_for_snr(p, 30.0, sigma_px=SIGMA_PX, noise=NOISE) for p in pieces)
    assert row["flux"].value == pytest.approx(flux, rel=0.25)


def test_a_trail_of_dashes_with_long_gaps_is_one_flagged_object() -> None:
    pieces = dashes((60.0, 50.0), 31.0, 4, gap_px=40.0)
    table = detect(frame_of(sky_with(pieces, snr=30.0)))
    assert len(table) == 1
    row = row_of(table, (*pieces[0][:2], *pieces[-1][2:]), within_px=3.0)
    assert StreakFlag.DASHED in flags_of(row)


def test_a_dashed_trail_is_flagged() -> None:
    (row,) = detect(frame_of(sky_with(dashes((90.0, 60.0), 31.0, 5), snr=30.0)))
    assert StreakFlag.DASHED in flags_of(row)


@pytest.mark.parametrize(
    ("theta_deg", "peak_sigma"),
    [
        # 0.8 sigma at the peak is invisible by eye, S/N about 20.
        (0.0, 0.8), (12.0, 0.8), (45.0, 0.8), (77.0, 0.8),
        (90.0, 0.8), (120.0, 0.8), (163.0, 0.8), (45.0, 3.0), (88.0, 3.0),
        (12.0, 3.0), (90.0, 3.0),
    ],
)  # fmt: skip
def test_a_trail_across_the_frame_ends_on_its_edge(theta_deg: float, peak_sigma: float) -> None:
    whole = Segment.from_midpoint(215.3, 148.2, 900.0, theta_deg)
    data = sky_with([])
    flux_a_px = peak_sigma * NOISE * np.sqrt(2 * np.pi) * SIGMA_PX
    add_trail(data, (whole.x0, whole.y0, whole.x1, whole.y1), 900.0 * flux_a_px, SIGMA_PX)
    table = detect(frame_of(data))
    seen = clip_segment(whole, SHAPE)
    assert seen is not None
    row = row_of(table, (seen.x0, seen.y0, seen.x1, seen.y1), within_px=3.0)
    assert {StreakFlag.EDGE_0, StreakFlag.EDGE_1} <= set(flags_of(row))
    assert abs(angle_difference_deg(row["theta"].value, theta_deg)) < 0.3
    assert len(table) == 1


def test_trails_across_the_frame_are_found_at_any_angle() -> None:
    missed = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        theta_deg, x, y = rng.uniform(0, 180), rng.uniform(155, 275), rng.uniform(110, 190)
        whole = Segment.from_midpoint(x, y, 900.0, theta_deg)
        data = sky_with([], seed=200 + seed)
        flux_a_px = 1.5 * NOISE * np.sqrt(2 * np.pi) * SIGMA_PX  # S/N about 40
        add_trail(data, (whole.x0, whole.y0, whole.x1, whole.y1), 900.0 * flux_a_px, SIGMA_PX)
        table = detect(frame_of(data))
        seen = clip_segment(whole, SHAPE)
        assert seen is not None
        ends = (seen.x0, seen.y0, seen.x1, seen.y1)
        if len(table) == 0 or end_errors(table, ends).min() > 3.0:
            missed.append(round(theta_deg))
    assert missed == []


@pytest.mark.parametrize(
    ("ends", "flag"),
    [
        ((-20.0, 90.0, 25.0, 118.0), StreakFlag.EDGE_0),
        ((380.0, 90.0, 440.0, 118.0), StreakFlag.EDGE_1),
        ((200.0, 270.0, 230.0, 330.0), StreakFlag.EDGE_1),
        ((200.0, -30.0, 230.0, 40.0), StreakFlag.EDGE_0),
    ],
)
def test_an_end_at_the_edge_is_a_lower_limit(ends: Ends, flag: StreakFlag) -> None:
    (row,) = detect(frame_of(sky_with([ends], snr=60.0)))
    assert flags_of(row) == flag


def test_an_end_at_a_mask_is_a_lower_limit() -> None:
    ends: Ends = (100.0, 80.0, 200.0, 140.0)
    data, mask = sky_with([ends], snr=60.0), np.zeros(SHAPE, bool)
    mask[100:180, 165:215] = True
    (row,) = detect(frame_of(data, mask), min_score=6.0)
    assert row["x1"].value == pytest.approx(165.0, abs=4.0)
    assert StreakFlag.MASKED_1 in flags_of(row)
    assert StreakFlag.MASKED_0 not in flags_of(row)


def test_a_wide_streak_is_flagged() -> None:
    data = sky_with([])
    add_trail(data, (60.0, 60.0, 300.0, 200.0), 4e5, 2.2 * SIGMA_PX)
    (row,) = detect(frame_of(data))
    assert StreakFlag.WIDE in flags_of(row)
    assert row["width"].value == pytest.approx(2.2 * FWHM_PX, rel=0.1)


def test_a_streak_in_striped_columns_is_found() -> None:
    stripes = np.random.default_rng(5).normal(0, 2 * NOISE, SHAPE[1])
    table = detect(frame_of(sky_with([TRAIL]) + stripes[None, :]))
    row_of(table, TRAIL, within_px=2.0)
    assert len(table) == 1


def test_a_streak_on_a_slope_of_the_sky_is_found() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    table = detect(frame_of(sky_with([TRAIL]) + 0.1 * x - 0.2 * y + 300.0))
    row_of(table, TRAIL, within_px=2.0)
    assert len(table) == 1


def test_negative_streaks_are_found_only_when_asked() -> None:
    data = -sky_with([TRAIL])
    assert len(detect(frame_of(data))) == 0
    (row,) = detect(frame_of(data), negative=True)
    assert StreakFlag.NEGATIVE in flags_of(row)
    assert row["flux"].value < 0
    assert end_errors(find_streaks(frame_of(-data)), TRAIL)[0] < 2.0


def test_positive_and_negative_streaks_are_found_together() -> None:
    other: Ends = (250.0, 200.0, 290.0, 230.0)
    data = sky_with([TRAIL])
    add_trail(data, other, -flux_for_snr(other, 40.0, sigma_px=SIGMA_PX, noise=NOISE), SIGMA_PX)
    table = detect(frame_of(data), negative=True)
    assert StreakFlag.NEGATIVE not in flags_of(row_of(table, TRAIL))
    assert StreakFlag.NEGATIVE in flags_of(row_of(table, other))
