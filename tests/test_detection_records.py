"""What the detector keeps of lines: records, reasons, counts, and detectors by name."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest

import streaks.detection
from streaks.config import DETECTORS, DetectionConfig, settings_from_mapping
from streaks.detection import Line, SetAside, detect_lines, load_detector
from streaks.errors import ConfigError
from streaks.geometry import Segment
from streaks.tables import STREAK_COLUMNS, StreakFlag, check_table
from tests.detected import NOISE, SIGMA_PX, detect, end_errors, frame_of, row_of, sky_with
from tests.rendering import Ends, add_star, add_trail, flux_for_snr

TRAIL: Ends = (100.0, 80.0, 160.0, 120.0)
CONFIG = DetectionConfig(min_score=8.0)


def test_the_record_of_a_streak_says_what_was_measured() -> None:
    (line,) = detect_lines(frame_of(sky_with([TRAIL], snr=400.0)), CONFIG).streaks
    evidence = line.evidence
    assert evidence.width_ratio == pytest.approx(1.0, abs=0.1)
    assert evidence.length_ratio > 10
    assert evidence.even_share > 0.8
    assert evidence.lobe_depth < 0.2
    assert evidence.masked_share == 0.0
    # Both ends stop; the brightest pixel is the trail's own; both sides are empty sky.
    assert min(evidence.end_contrast_0, evidence.end_contrast_1) > 0.5
    assert evidence.sharpness == pytest.approx(1.0, abs=0.2)
    assert abs(evidence.asymmetry_sigmas) < 4.0
    # atan(40 / 60) is 33.7 degrees from the row.
    assert evidence.axis_deg == pytest.approx(33.7, abs=0.5)
    assert line.factors.product > 0.9
    assert line.set_aside is None


def test_a_short_trail_is_explained_by_a_trail_and_less_by_points() -> None:
    (line,) = detect_lines(
        frame_of(sky_with([(100.0, 80.0, 110.0, 84.0)], snr=60.0)), CONFIG
    ).streaks
    # What a trail explains is its S/N squared; points in a row explain less of it, not nothing.
    assert line.evidence.trail_power == pytest.approx(60.0**2, rel=0.15)
    assert -0.9 * 60.0**2 < line.evidence.points_excess < -0.02 * 60.0**2


def test_a_trail_that_goes_on_behind_its_end_has_no_contrast_there() -> None:
    data = sky_with([(100.0, 80.0, 411.0, 80.0)], snr=80.0)
    (line,) = detect_lines(frame_of(data), CONFIG).streaks
    # The first end stops, the second is at the edge of the image.
    assert line.evidence.end_contrast_0 > 0.5
    assert not line.evidence.end_contrast_1 > 0.5


def test_a_hot_pixel_on_a_trail_is_sharp() -> None:
    data = sky_with([TRAIL])
    data[100, 130] += 40 * NOISE
    plain = detect_lines(frame_of(sky_with([TRAIL])), DetectionConfig(min_score=0.0))
    hot = detect_lines(frame_of(data), DetectionConfig(min_score=0.0))
    sharpness = [max(s.evidence.sharpness for s in d.streaks) for d in (plain, hot)]
    assert sharpness[1] > 2 * sharpness[0]


def test_dipoles_are_set_aside_as_such_and_counted() -> None:
    data = sky_with([TRAIL])
    for x in (60.0, 200.0, 300.0):
        add_trail(data, (x, 200.0, x + 20, 200.0), 4000.0, SIGMA_PX)
        add_trail(data, (x, 202.5, x + 20, 202.5), -4000.0, SIGMA_PX)
    found = detect_lines(frame_of(data), CONFIG)
    counts = found.table.meta["set_aside"]
    assert len(found.table) == 1
    assert counts.get("dipole", 0) >= 1
    assert sum(counts.values()) == len(found.set_aside)
    assert all(line.set_aside is not None for line in found.set_aside)
    reasons = [line.set_aside for line in found.set_aside if 190 < line.segment.midpoint[1] < 215]
    assert SetAside.DIPOLE in reasons


def test_stars_are_set_aside_as_points() -> None:
    data = sky_with([])
    for k in range(12):
        add_star(data, 30.3 + 30 * k, 150.4, 4000.0, SIGMA_PX)
    found = detect_lines(frame_of(data), CONFIG)
    assert len(found.table) == 0
    assert found.table.meta["set_aside"].get("point source", 0) >= 10


def test_a_frame_of_nothing_sets_nothing_bright_aside() -> None:
    found = detect_lines(frame_of(sky_with([])), CONFIG)
    assert found.streaks == ()
    assert set(found.table.meta["set_aside"]) <= {str(reason) for reason in SetAside}


def test_streaks_beyond_the_most_are_set_aside() -> None:
    trails: list[Ends] = [(40.0, 40.0 + 60 * k, 120.0, 50.0 + 60 * k) for k in range(4)]
    found = detect_lines(frame_of(sky_with(trails)), DetectionConfig(min_score=8.0, max_streaks=2))
    assert len(found.table) == 2
    assert found.table.meta["set_aside"]["beyond max_streaks"] == 2
    least = min(line.score for line in found.streaks)
    assert all(s.score <= least for s in found.set_aside if s.set_aside is SetAside.EXCESS)


def test_pieces_of_one_streak_are_kept_as_joined() -> None:
    data = sky_with([])
    for x in (60.0, 115.0, 170.0):
        ends = (x, 100.0, x + 40.0, 100.0)
        add_trail(data, ends, flux_for_snr(ends, 25.0, sigma_px=SIGMA_PX, noise=NOISE), SIGMA_PX)
    found = detect_lines(frame_of(data), CONFIG)
    assert len(found.table) == 1
    joined = [line for line in found.set_aside if line.set_aside is SetAside.JOINED]
    assert len(joined) >= 2 or found.streaks[0].flags & StreakFlag.DASHED


def test_a_line_without_a_fit_says_so() -> None:
    line = Line(Segment(0.0, 0.0, 5.0, 5.0), 7.0)
    assert line.segment == line.start
    with pytest.raises(ValueError, match="not been fitted"):
        _ = line.fitted


def test_crossing_streaks_are_flagged_blended_and_lone_ones_are_not() -> None:
    cross: list[Ends] = [(100.0, 80.0, 200.0, 140.0), (110.0, 150.0, 190.0, 70.0)]
    lone: Ends = (300.0, 200.0, 360.0, 260.0)
    table = detect(frame_of(sky_with([*cross, lone])))
    for ends in cross:
        assert StreakFlag(int(row_of(table, ends)["flags"])) & StreakFlag.BLENDED
    assert not StreakFlag(int(row_of(table, lone)["flags"])) & StreakFlag.BLENDED


# Detectors


def test_the_hough_detector_finds_a_bright_trail_with_all_columns() -> None:
    table = detect(frame_of(sky_with([TRAIL], snr=60.0)), detector="hough")
    check_table(table, STREAK_COLUMNS)
    assert end_errors(table, TRAIL).min() < 4.0
    row = table[int(end_errors(table, TRAIL).argmin())]
    true = flux_for_snr(TRAIL, 60.0, sigma_px=SIGMA_PX, noise=NOISE)
    assert float(row["flux"].value) == pytest.approx(true, rel=0.1)
    assert math.isnan(float(row["along0_err"].value))


def test_the_hough_detector_finds_nothing_in_noise_or_stars() -> None:
    data = sky_with([])
    for k in range(12):
        add_star(data, 30.3 + 30 * k, 150.4, 4000.0, SIGMA_PX)
    assert len(detect(frame_of(data), detector="hough")) == 0


def test_the_hough_detector_finds_dark_trails_when_asked() -> None:
    data = -sky_with([TRAIL], snr=60.0)
    assert len(detect(frame_of(data), detector="hough")) == 0
    table = detect(frame_of(data), detector="hough", negative=True)
    assert StreakFlag(int(table["flags"][0])) & StreakFlag.NEGATIVE
    assert table["flux"][0].value < 0


def test_detectors_go_by_their_names() -> None:
    assert [load_detector(name).name for name in DETECTORS] == list(DETECTORS)
    with pytest.raises(ConfigError, match="no detector 'sieve'; choose one of radon, hough"):
        load_detector("sieve")
    with pytest.raises(ConfigError, match="must be one of radon, hough"):
        DetectionConfig(detector="sieve")


def test_a_detector_is_chosen_in_a_settings_file() -> None:
    settings = settings_from_mapping(
        {"detection": {"detector": "hough", "hough": {"min_votes": 8}}}
    )
    assert settings.detection.detector == "hough"
    assert settings.detection.hough.min_votes == 8


def test_a_detector_of_ones_own_may_be_given() -> None:
    class Nothing:
        name = "nothing"

        def find(self, frame: object, config: object) -> list[Line]:
            return []

    assert len(detect_lines(frame_of(np.zeros((9, 9))), CONFIG, Nothing()).table) == 0


# Numbers

#: Numbers that need no name: counts, halves, ends of a list.
_PLAIN = {0, 1, 2, 3, 0.5}


def bare_numbers(path: Path) -> list[str]:
    """Numbers in function bodies that are neither plain nor an index."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        indices = {
            id(part)
            for node in ast.walk(function)
            if isinstance(node, ast.Subscript)
            for part in ast.walk(node.slice)
        }
        for node in (n for statement in function.body for n in ast.walk(statement)):
            if (
                isinstance(node, ast.Constant)
                and type(node.value) in (int, float)
                and node.value not in _PLAIN
                and id(node) not in indices
            ):
                found.append(f"{path.name}:{node.lineno}: {node.value}")
    return found


def test_numbers_of_the_detector_have_names() -> None:
    files = sorted(Path(streaks.detection.__file__).parent.glob("*.py"))
    assert len(files) > 10
    assert [number for path in files for number in bare_numbers(path)] == []


def test_a_bare_number_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("LIMIT = 7.0\ndef f(x):\n    return x[5] + 2 * x[0] > 0.7\n")
    assert bare_numbers(path) == ["one.py:3: 0.7"]
