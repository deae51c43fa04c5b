"""Glows, arms of stars and strangers on the same line: light that is not a line's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection import detect_lines
from streaks.detection.parallels import parallel_lines, share_above_parallels
from streaks.detection.search import Filtered, filter_image
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.tables import StreakFlag
from tests.rendering import Ends, add_trail, flux_for_snr

pytestmark = pytest.mark.tree

SHAPE = (400, 500)
NOISE, FWHM_PX = 10.0, 2.5
SIGMA_PX = FWHM_PX / 2.3548
ALONG: Ends = (60.0, 200.0, 440.0, 200.0)


def sky(seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, NOISE, SHAPE)


def with_trail(image: NDArray[np.float64], ends: Ends, snr: float) -> NDArray[np.float64]:
    flux = flux_for_snr(ends, snr, sigma_px=SIGMA_PX, noise=NOISE)
    add_trail(image, ends, flux, SIGMA_PX)
    return image


def filtered(image: NDArray[np.float64]) -> Filtered:
    white = np.zeros((5, 5))
    white[2, 2] = 1.0
    z = (image / NOISE).astype(np.float32)
    return filter_image(z, np.ones(SHAPE, bool), white, SIGMA_PX)


def frame_of(data: NDArray[np.float64], mask: NDArray[np.bool_] | None = None) -> Frame:
    hidden = np.zeros(SHAPE, bool) if mask is None else mask
    return Frame(data=data, mask=hidden, fwhm_px=FWHM_PX)


def test_light_that_the_nearest_parallels_have_too_is_not_a_lines_own() -> None:
    line = Segment(*ALONG)
    alone = parallel_lines(filtered(with_trail(sky(), ALONG, 12.0)), line, SIGMA_PX)
    assert share_above_parallels(alone) == 1.0
    # A glow of a third of the noise a pixel, which the line crosses.
    glow = sky()
    glow[170:240] += 0.35 * NOISE
    across = parallel_lines(filtered(glow), line, SIGMA_PX)
    assert across.snr > 4.0
    assert across.near > 4.0
    assert share_above_parallels(across) < 0.5


@pytest.mark.parametrize("away_px", [-10.0, 6.0, 10.0])
def test_a_trail_beside_a_step_is_found(away_px: float) -> None:
    image = sky()
    image[200:] += 1.0 * NOISE
    y = 200.0 + away_px
    found = detect_lines(frame_of(with_trail(image, (200.0, y, 260.0, y), 20.0))).streaks
    assert any(abs(line.segment.midpoint[1] - y) < 1.5 for line in found)


def test_a_short_trail_beside_a_wide_satellite_stays() -> None:
    image = sky()
    for aside in range(-6, 7):
        with_trail(image, (0.0, 200.0 + aside, 500.0, 200.0 + aside), 15.0)
    with_trail(image, (200.0, 222.0, 240.0, 222.0), 18.0)
    found = [line.segment for line in detect_lines(frame_of(image)).streaks]
    assert any(abs(s.midpoint[1] - 222.0) < 1.5 and s.length_px < 60.0 for s in found)


def test_a_wide_trail_keeps_its_own_light() -> None:
    image = sky()
    for aside in range(-18, 19):
        with_trail(image, (60.0, 200.0 + aside, 440.0, 200.0 + aside), 8.0)
    line = Segment(*ALONG)
    narrow = parallel_lines(filtered(image), line, SIGMA_PX)
    wide = parallel_lines(filtered(image), line, SIGMA_PX, light_px=10.0)
    assert share_above_parallels(wide) > 0.97 > share_above_parallels(narrow)


def masked_core(x: float, y: float, radius_px: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot(columns - x, rows - y) <= radius_px)


@pytest.mark.parametrize("side_px", [3, 5, 7])
@pytest.mark.parametrize("gap_px", [0, 12])
def test_a_trail_that_ends_at_masked_pixels_is_no_arm(side_px: int, gap_px: int) -> None:
    # Masked cosmic rays and bad pixels are everywhere; trails end at some of them by chance.
    image = with_trail(sky(), (200.0, 180.0, 230.0, 195.0), 20.0)
    mask = np.zeros(SHAPE, bool)
    x, y = 230 + gap_px, 195 + gap_px // 2
    mask[y - side_px // 2 : y + side_px // 2 + 1, x - side_px // 2 : x + side_px // 2 + 1] = True
    assert len(detect_lines(frame_of(image, mask)).streaks) == 1


@pytest.mark.parametrize("theta_deg", [20.0, 110.0, -50.0])
def test_what_starts_on_a_small_saturated_core_is_its_arm(theta_deg: float) -> None:
    c, s = math.cos(math.radians(theta_deg)), math.sin(math.radians(theta_deg))
    arm = (250 + 6 * c, 200 + 6 * s, 250 + 46 * c, 200 + 46 * s)
    image = with_trail(sky(), arm, 20.0)
    assert len(detect_lines(frame_of(image)).streaks) == 1
    found = detect_lines(frame_of(image, masked_core(250.0, 200.0, 5.0)))
    assert not found.streaks
    assert any(line.flags & StreakFlag.SPIKE for line in found.set_aside)


def test_what_crosses_a_small_core_along_its_column_is_a_bleed_and_a_trail_aslant_stays() -> None:
    core = masked_core(250.0, 200.0, 5.0)
    column = with_trail(sky(), (250.0, 150.0, 251.0, 240.0), 25.0)
    assert not detect_lines(frame_of(column, core)).streaks
    aslant = with_trail(sky(), (220.0, 165.0, 280.0, 235.0), 25.0)
    assert len(detect_lines(frame_of(aslant, core)).streaks) == 1


def test_a_long_trail_across_a_core_stays() -> None:
    image = with_trail(sky(), (50.0, 150.0, 450.0, 250.0), 40.0)
    found = detect_lines(frame_of(image, masked_core(250.0, 200.0, 5.0)))
    assert len(found.streaks) == 1
    assert not found.streaks[0].flags & StreakFlag.SPIKE


@pytest.mark.parametrize("gap_px", [15.0, 25.0])
def test_a_faint_line_on_the_line_of_a_bright_trail_does_not_lengthen_it(gap_px: float) -> None:
    bright: Ends = (320.0, 200.0, 365.0, 200.0)
    image = with_trail(with_trail(sky(), bright, 28.0), (150.0, 200.0, 320.0 - gap_px, 200.0), 10.0)
    found = max(detect_lines(frame_of(image)).streaks, key=lambda line: line.fitted.snr).segment
    assert sorted((found.x0, found.x1)) == pytest.approx([320.0, 365.0], abs=4.0)


def test_a_flash_stays_with_the_rest_of_its_trail() -> None:
    image = with_trail(with_trail(sky(), (320.0, 200.0, 365.0, 200.0), 28.0),
                       (150.0, 200.0, 310.0, 200.0), 25.0)  # fmt: skip
    found = detect_lines(frame_of(image)).streaks
    assert len(found) == 1
    assert found[0].segment.length_px > 200.0
