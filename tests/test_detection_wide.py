"""Trails wider than a Gaussian: one streak each, and never two made one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection import find_streaks
from streaks.detection.wide_trails import reach_across
from streaks.frame import Frame
from streaks.geometry import Segment
from tests.rendering import add_trail

pytestmark = pytest.mark.tree

SHAPE = (700, 800)
NOISE, FWHM_PX = 10.0, 2.0
SIGMA_PX = FWHM_PX / 2.3548
#: Light across, px from the line and share of it: a sharp core that leans to one side.
ACROSS = ((-14, 0.05), (-11, 0.15), (-8, 0.35), (-5, 0.5), (-3, 0.7), (-1, 1.0), (1, 1.0), (3, 0.3),
          (6, 0.1), (9, 0.05))  # fmt: skip


def noise(seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, NOISE, SHAPE)


def frame_of(data: NDArray[np.float64]) -> Frame:
    return Frame(data=data, mask=np.zeros(SHAPE, bool), fwhm_px=FWHM_PX)


def add_wide(image: NDArray[np.float64], level: float, *, shaking_px: float = 0.0) -> None:
    """From edge to edge; with `shaking_px` its light wanders to and fro over the frame."""
    for aside, share in ACROSS:
        for piece in range(8):
            x0, x1 = 100.0 * piece - 1.0, 100.0 * (piece + 1) - 1.0
            y = 300.0 + aside + shaking_px * np.sin(2.0 * np.pi * (piece + 0.5) / 16.0)
            add_trail(image, (x0, y + 0.1 * x0, x1, y + 0.1 * x1),
                      level * share * NOISE * 100.0, SIGMA_PX)  # fmt: skip


@pytest.mark.parametrize("shaking_px", [0.0, 6.0])
def test_a_wide_trail_is_one_streak(shaking_px: float) -> None:
    image = noise()
    add_wide(image, 20.0, shaking_px=shaking_px)
    found = find_streaks(frame_of(image))
    assert len(found) == 1
    assert float(found[0]["length"].value) == pytest.approx(np.hypot(800, 80), abs=15.0)


def test_a_wide_trail_that_opens_like_a_fan_is_one_streak() -> None:
    image = noise()
    shares = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.0, 0.8, 0.3, 0.1)
    for aside, share in zip(np.linspace(-1.0, 1.0, len(shares)), shares, strict=True):
        line = (-1.0, 300.0 + 2.0 * aside, 800.0, 380.0 + 24.0 * aside)
        add_trail(image, line, 10.0 * share * NOISE * 800.0, SIGMA_PX)
    assert len(find_streaks(frame_of(image))) == 1


def test_the_light_of_a_wide_trail_is_followed_to_its_end() -> None:
    image = noise()
    add_wide(image, 20.0)
    z = (image / NOISE).astype(np.float32)
    trail = Segment(0.0, 300.0, 799.0, 379.9)
    right, left = reach_across(z, np.ones(SHAPE, bool), trail, SIGMA_PX)
    assert right == pytest.approx(15.0, abs=2.0)
    assert left == pytest.approx(9.0, abs=2.0)
    # The other way along, the sides are the other way round.
    back = Segment(trail.x1, trail.y1, trail.x0, trail.y0)
    assert reach_across(z, np.ones(SHAPE, bool), back, SIGMA_PX) == (left, right)
    # Where there is no light nothing reaches anywhere.
    dark = Segment(0.0, 100.0, 799.0, 120.0)
    assert max(reach_across(z, np.ones(SHAPE, bool), dark, SIGMA_PX)) <= 1.0
    assert reach_across(z, np.zeros(SHAPE, bool), trail, SIGMA_PX) == (0.0, 0.0)


@pytest.mark.parametrize(
    "other", [(0.0, 330.0, 799.0, 409.9), (0.0, 260.0, 799.0, 420.0), (350.0, 290.0, 390.0, 390.0)]
)
def test_another_trail_beside_or_across_a_wide_one_stays(
    other: tuple[float, float, float, float],
) -> None:
    image = noise()
    add_wide(image, 20.0)
    add_trail(image, other, 12.0 * NOISE * np.hypot(other[2] - other[0], other[3] - other[1]),
              SIGMA_PX)  # fmt: skip
    assert len(find_streaks(frame_of(image))) == 2
