"""Trails beside a brighter source."""

from __future__ import annotations

import math

import pytest

from streaks.detection.blends import failed_as_blend, failed_beside
from streaks.detection.records import Factors, Line, SetAside
from streaks.geometry import Segment
from tests.detected import NOISE, SIGMA_PX, detect, end_errors, frame_of, sky_with
from tests.rendering import Ends, add_star, flux_for_snr

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

MIDDLE = (200.0, 150.0)


def trail_at(theta_deg: float, length_px: float) -> Ends:
    theta = math.radians(theta_deg)
    dx, dy = 0.5 * length_px * math.cos(theta), 0.5 * length_px * math.sin(theta)
    return MIDDLE[0] - dx, MIDDLE[1] - dy, MIDDLE[0] + dx, MIDDLE[1] + dy


def star_beyond_the_end(ends: Ends, gap_px: float, turn_deg: float) -> tuple[float, float]:
    """So far from the last end, in a direction turned from the trail's."""
    x0, y0, x1, y1 = ends
    theta = math.atan2(y1 - y0, x1 - x0) + math.radians(turn_deg)
    return x1 + gap_px * math.cos(theta), y1 + gap_px * math.sin(theta)


def found_beside_a_star(
    ends: Ends, star: tuple[float, float], *, star_snr: float, seed: int, snr: float = 25.0
) -> tuple[bool, int]:
    """Whether the trail is found, and the number of rows."""
    data = sky_with([ends], snr=snr, seed=seed)
    at = (*star, star[0] + 1e-3, star[1])
    flux = flux_for_snr(at, star_snr, sigma_px=SIGMA_PX, noise=NOISE)
    add_star(data, *star, flux, SIGMA_PX)
    table = detect(frame_of(data))
    return bool(len(table) and end_errors(table, ends).min() < 3.0), len(table)


@pytest.mark.parametrize("gap_px", [4.0, 6.0, 10.0])
def test_a_trail_is_found_though_a_brighter_star_lies_near_its_end(gap_px: float) -> None:
    found = []
    for seed, theta in enumerate((10.0, 55.0, 100.0, 145.0)):
        for length in (10.0, 16.0):
            ends = trail_at(theta, length)
            star = star_beyond_the_end(ends, gap_px, turn_deg=15.0)
            found.append(found_beside_a_star(ends, star, star_snr=40.0, seed=seed))
    assert sum(there for there, _ in found) >= 6
    assert max(rows for _, rows in found) == 1


def test_two_stars_hold_no_trail_once_one_is_hidden() -> None:
    rows = 0
    for seed, apart in enumerate((3.0, 5.0, 7.0, 9.0)):
        data = sky_with([], seed=seed)
        for x, snr in ((MIDDLE[0], 40.0), (MIDDLE[0] + apart, 25.0)):
            at = (x, MIDDLE[1], x + 1e-3, MIDDLE[1])
            flux = flux_for_snr(at, snr, sigma_px=SIGMA_PX, noise=NOISE)
            add_star(data, x, MIDDLE[1], flux, SIGMA_PX)
        rows += len(detect(frame_of(data)))
    assert rows == 0


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        (Line(Segment(0, 0, 20, 0), 15.0, set_aside=SetAside.UNEVEN), True),
        (Line(Segment(0, 0, 20, 0), 15.0, score=0.1, factors=Factors(ill_fitted=0.0)), True),
        (Line(Segment(0, 0, 20, 0), 15.0, set_aside=SetAside.REPEATED), True),
        (Line(Segment(0, 0, 5, 0), 15.0, set_aside=SetAside.REPEATED), False),
        (Line(Segment(0, 0, 20, 0), 15.0, score=9.0), False),
        (Line(Segment(0, 0, 20, 0), 15.0, score=0.1, factors=Factors(dipole=0.0)), False),
        (Line(Segment(0, 0, 900, 0), 15.0, score=0.1, factors=Factors(ill_fitted=0.0)), False),
    ],
    ids=["uneven", "ill fitted", "ran into another", "wing of a star", "good", "dipole", "long"],
)
def test_a_line_fails_as_a_blend_for_certain_reasons(line: Line, is_one: bool) -> None:
    assert failed_as_blend(line, SIGMA_PX) is is_one


def test_what_failed_beside_a_streak_is_told_from_what_failed_elsewhere() -> None:
    failed = Line(Segment(0, 0, 20, 0), 15.0, score=0.1, factors=Factors(ill_fitted=0.0))
    away = failed.updated(start=Segment(0, 60, 20, 60))
    other = failed.updated(factors=Factors(dipole=0.0))
    streak = Line(Segment(5, 5, 5, 40), 20.0, score=9.0)
    assert failed_beside([failed, away, other], [streak], SIGMA_PX).tolist() == [True, False, False]
    assert not failed_beside([failed], [], SIGMA_PX).any()


@pytest.mark.parametrize(
    ("score", "set_aside", "is_one"),
    [(2.1, None, True), (2.0, None, False), (math.nan, None, False), (9.0, SetAside.SHORT, False)],
)
def test_a_promising_line_is_in_play_and_has_a_score(
    score: float, set_aside: SetAside | None, is_one: bool
) -> None:
    line = Line(Segment(0, 0, 20, 0), 15.0, score=score, set_aside=set_aside)
    assert line.promising is is_one
