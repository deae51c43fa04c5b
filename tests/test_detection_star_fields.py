"""Images that are no differences: stars in rows by chance, and stars that optics make long."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection import detect_lines, find_streaks
from streaks.detection.quality import chance_of_rows, not_a_row_of_points
from streaks.detection.records import SetAside
from streaks.frame import Frame
from tests.rendering import add_star, add_trail, flux_for_snr

pytestmark = pytest.mark.tree

SHAPE = (700, 800)
NOISE, FWHM_PX = 10.0, 1.8
SIGMA_PX = FWHM_PX / 2.3548
TRAIL = (300.0, 300.0, 311.0, 305.0)


def star_field(n: int, seed: int, *, long_px: float = 0.0) -> NDArray[np.float64]:
    """Stars, most of them faint; in the corners optics make them `long_px` long."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0.0, NOISE, SHAPE)
    point = NOISE * 2.0 * np.sqrt(np.pi) * SIGMA_PX
    for _ in range(n):
        x, y = rng.uniform(5, SHAPE[1] - 5), rng.uniform(5, SHAPE[0] - 5)
        flux = point * 4.0 * min(rng.uniform() ** -0.8, 60.0)
        half = 0.5 * long_px * (np.hypot(x / SHAPE[1] - 0.5, y / SHAPE[0] - 0.5) / 0.7)
        turn = rng.normal(1.5, 0.3)
        dx, dy = half * np.cos(turn), half * np.sin(turn)
        if long_px > 0:
            add_trail(image, (x - dx, y - dy, x + dx, y + dy), flux, SIGMA_PX)
        else:
            add_star(image, x, y, flux, SIGMA_PX)
    return image


def frame_of(data: NDArray[np.float64]) -> Frame:
    return Frame(data=data, mask=np.zeros(SHAPE, bool), fwhm_px=FWHM_PX)


def test_a_survey_difference_has_rows_of_points_as_rarely_as_ever() -> None:
    assert chance_of_rows(0.0) == chance_of_rows(5e-5) == 0.0
    # Three points in a row: twice as many points, eight times as many rows.
    assert chance_of_rows(2.4e-4) - chance_of_rows(1.2e-4) == pytest.approx(2 * np.log(8.0))


def test_where_points_are_many_a_trail_must_explain_the_light_better() -> None:
    # Light that three points explain as well as a trail does.
    assert not_a_row_of_points(60.0, 62.0, 1.0) == 1.0
    assert not_a_row_of_points(60.0, 62.0, 1.0, chance_of_rows(5e-4)) < 0.1
    # A trail that nothing else explains stays one.
    assert not_a_row_of_points(150.0, 130.0, 1.0, chance_of_rows(5e-4)) == 1.0


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_stars_in_rows_are_no_streaks_and_a_trail_among_them_is(seed: int) -> None:
    image = star_field(1400, seed)
    short = [row for row in find_streaks(frame_of(image)) if row["length"].value < 16.0]
    assert not short
    add_trail(image, TRAIL, flux_for_snr(TRAIL, 18.0, sigma_px=SIGMA_PX, noise=NOISE), SIGMA_PX)
    found = detect_lines(frame_of(image))
    assert sum(line.factors.worst is SetAside.POINTS for line in found.set_aside) >= 3
    middles = [line.segment.midpoint for line in found.streaks]
    assert any(abs(x - 305.5) < 2.0 and abs(y - 302.5) < 2.0 for x, y in middles)


@pytest.mark.parametrize("seed", [3, 5])
def test_stars_that_optics_make_long_are_no_streaks(seed: int) -> None:
    image = star_field(150, seed, long_px=3.0)
    assert len(find_streaks(frame_of(image))) <= 1
