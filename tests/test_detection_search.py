"""The detector's inner rooms on bare arrays: filter, line S/N, refinement, pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.detection.pieces import group_pieces, hidden_share, pixels_on, spanning_segment
from streaks.detection.refinement import line_snr
from streaks.detection.search import Filtered, filter_image, refined_lines, rough_lines
from streaks.geometry import Segment
from tests.rendering import Ends, add_star, flux_for_snr, render_trail

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (151, 202)
SIGMA_PX = 1.2
WHITE = np.zeros((5, 5))
WHITE[2, 2] = 1.0
USABLE = np.ones(SHAPE, bool)
TRAIL: Ends = (60.0, 50.0, 110.0, 85.0)


def filtered(z: NDArray[np.float64], usable: NDArray[np.bool_] = USABLE) -> Filtered:
    return filter_image(np.where(usable, z, 0).astype(np.float32), usable, WHITE, SIGMA_PX)


def search_lines(
    image: Filtered, *, sigma_px: float, threshold_snr: float, limit: int
) -> NDArray[np.float64]:
    rough = rough_lines(image, threshold_snr)
    return refined_lines(rough, image, sigma_px=sigma_px, threshold_snr=threshold_snr, limit=limit)


def noise(seed: int = 1, shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def test_filtered_noise_has_unit_scatter() -> None:
    z = noise(2, (400, 501))
    snr = filtered(z, np.ones(z.shape, bool)).snr
    assert snr.std() == pytest.approx(1.0, abs=0.03)


def test_the_peak_of_a_filtered_star_is_its_matched_filter_snr() -> None:
    image = np.zeros(SHAPE)
    add_star(image, 100.0, 75.0, 100.0, SIGMA_PX)
    expected = math.sqrt((image**2).sum())
    assert filtered(image).snr[75, 100] == pytest.approx(expected, rel=5e-3)


def test_cover_is_the_share_of_the_psf_on_usable_pixels() -> None:
    usable = USABLE.copy()
    usable[:, 100:] = False
    cover = filtered(noise(), usable).cover
    assert cover[75, 80] == pytest.approx(1.0, abs=1e-3)
    assert cover[75, 120] == pytest.approx(0.0, abs=1e-3)
    # Half a pixel beyond the border hides half of the PSF; 99 is half a pixel inside.
    share = 0.5 * (1 + math.erf(0.5 / SIGMA_PX / math.sqrt(2)))
    assert cover[75, 99] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("theta_deg", [0.0, 20.0, 45.0, 90.0, 130.0])
@pytest.mark.parametrize("length_px", [8.0, 30.0, 90.0])
def test_a_line_over_the_filtered_image_is_the_matched_filter(
    theta_deg: float, length_px: float
) -> None:
    s = Segment.from_midpoint(100.3, 75.2, length_px, theta_deg)
    ends = (s.x0, s.y0, s.x1, s.y1)
    z = render_trail(SHAPE, ends, flux_for_snr(ends, 20.0, sigma_px=SIGMA_PX, noise=1.0), SIGMA_PX)
    sheet = filtered(z)
    found = line_snr(sheet.snr, sheet.cover, ends, noise_sigma_px=sheet.noise_sigma_px)
    # Bilinear samples lie a few per cent below a peak.
    assert found == pytest.approx(20.0, rel=0.06)


def test_line_snr_of_noise_has_unit_scatter() -> None:
    z = noise(3, (600, 701))
    sheet = filtered(z, np.ones(z.shape, bool))
    values = [
        line_snr(
            sheet.snr, sheet.cover, (x, y, x + 30.0, y + 12.0), noise_sigma_px=sheet.noise_sigma_px
        )
        for y in np.arange(20.3, 560, 9)
        for x in np.arange(20.1, 640, 9)
    ]
    assert np.std(values) == pytest.approx(1.0, abs=0.06)


def test_clipping_tames_a_bright_star_on_a_line() -> None:
    image = np.zeros(SHAPE)
    add_star(image, 100.0, 75.0, 1e5, SIGMA_PX)
    sheet = filtered(image)
    line = (60.0, 75.0, 140.0, 75.0)
    free = line_snr(sheet.snr, sheet.cover, line, noise_sigma_px=sheet.noise_sigma_px)
    clipped = line_snr(sheet.snr, sheet.cover, line, noise_sigma_px=sheet.noise_sigma_px, clip=5.0)
    assert clipped < 6 < free


def test_the_search_refines_both_ends() -> None:
    flux = flux_for_snr(TRAIL, 30.0, sigma_px=SIGMA_PX, noise=1.0)
    z = render_trail(SHAPE, TRAIL, flux, SIGMA_PX) + noise(4)
    lines = search_lines(filtered(z), sigma_px=SIGMA_PX, threshold_snr=8.0, limit=10)
    assert len(lines) == 1
    assert lines[0, :4] == pytest.approx(TRAIL, abs=2.5)
    assert lines[0, 4] == pytest.approx(30.0, rel=0.1)


def test_the_search_stops_at_its_limit() -> None:
    z = 3 * noise(5)
    lines = search_lines(filtered(z), sigma_px=SIGMA_PX, threshold_snr=6.0, limit=7)
    assert lines.shape == (7, 5)


def test_the_search_leaves_the_filtered_image_as_it_was() -> None:
    sheet = filtered(render_trail(SHAPE, TRAIL, 500.0, SIGMA_PX) + noise(6))
    before = sheet.snr.copy(), sheet.cover.copy()
    search_lines(sheet, sigma_px=SIGMA_PX, threshold_snr=6.0, limit=10)
    np.testing.assert_array_equal(sheet.snr, before[0])
    np.testing.assert_array_equal(sheet.cover, before[1])


def test_hidden_share_counts_masked_pixels_along_a_segment() -> None:
    usable = USABLE.copy()
    usable[:, 50:60] = False
    assert hidden_share(Segment(40.0, 20.0, 79.0, 20.0), usable) == pytest.approx(0.25)
    assert hidden_share(Segment(70.0, 20.0, 79.0, 30.0), usable) == 0.0


def test_hidden_share_is_that_of_the_pixels_on_a_segment() -> None:
    rng = np.random.default_rng(5)
    usable = rng.random(USABLE.shape) < 0.7
    ny, nx = usable.shape
    for x0, y0, x1, y1 in rng.uniform(-20.0, max(nx, ny) + 20.0, (200, 4)):
        segment = Segment(x0, y0, x1, y1)
        on = pixels_on(segment, usable.shape)
        expected = 1.0 - usable[on].mean() if len(on[0]) else 1.0
        assert hidden_share(segment, usable) == pytest.approx(expected, abs=1e-12)


def test_a_segment_outside_the_image_is_all_hidden() -> None:
    assert hidden_share(Segment(-40.0, -20.0, -20.0, -10.0), USABLE) == 1.0


def on_line(start: float, stop: float, across: float = 0.0) -> Segment:
    """A piece of the line through (20, 30) at 20 degrees."""
    c, s = math.cos(math.radians(20)), math.sin(math.radians(20))
    x, y = 20 - across * s, 30 + across * c
    return Segment(x + start * c, y + start * s, x + stop * c, y + stop * s)


def groups(pieces: list[Segment], usable: NDArray[np.bool_] = USABLE) -> list[list[int]]:
    return sorted(
        sorted(g) for g in group_pieces(pieces, [0.5] * len(pieces), sigma_px=1.2, usable=usable)
    )


def test_pieces_of_one_line_belong_together() -> None:
    assert groups([on_line(0, 30), on_line(45, 80), on_line(95, 130)]) == [[0, 1, 2]]


def test_parallel_pieces_do_not_belong_together() -> None:
    assert groups([on_line(0, 40), on_line(0, 40, across=9.0)]) == [[0], [1]]
    assert groups([on_line(0, 40), on_line(50, 90, across=9.0)]) == [[0], [1]]


def test_pieces_of_other_directions_do_not_belong_together() -> None:
    crossing = Segment.from_midpoint(*on_line(45, 80).midpoint, 35.0, 60.0)
    assert groups([on_line(0, 30), crossing]) == [[0], [1]]


def test_pieces_far_apart_belong_together_only_behind_a_mask() -> None:
    pieces = [on_line(0, 25), on_line(120, 145)]
    assert groups(pieces) == [[0], [1]]
    usable = USABLE.copy()
    usable[:, 46:130] = False
    assert groups(pieces, usable) == [[0, 1]]


def test_no_pieces_make_no_groups() -> None:
    assert groups([]) == []


def test_the_span_reaches_from_the_first_end_to_the_last() -> None:
    whole = spanning_segment([on_line(45, 80), on_line(0, 30), on_line(95, 130)])
    expected = on_line(0, 130)
    assert (whole.x0, whole.y0, whole.x1, whole.y1) == pytest.approx(
        (expected.x0, expected.y0, expected.x1, expected.y1)
    )
