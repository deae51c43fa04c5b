"""Maps and trends of the night's page: places are right, and what is unknown draws nothing."""

from __future__ import annotations

import re

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from streaks.reporting.night_figures import focal_plane, frame_trends, sky_map
from streaks.reporting.rows import flags_in_words
from streaks.tables import StreakFlag

EVIL = "<script>alert('x')</script>&\"'"


def _streaks(ra, dec, image="f", x=10.0, y=10.0):
    n = len(ra)
    return QTable(
        {
            "ra": u.Quantity(ra, "deg"),
            "dec": u.Quantity(dec, "deg"),
            "image": [image] * n,
            "x": u.Quantity(np.broadcast_to(x, n).astype(float), "pix"),
            "y": u.Quantity(np.broadcast_to(y, n).astype(float), "pix"),
        }
    )


def _hits(svg):
    return [tuple(map(float, m)) for m in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)]


def test_east_is_left_and_north_up_also_astride_zero_hours():
    svg = sky_map(_streaks([359.0, 1.0, 0.0], [10.0, 10.0, 12.0]), [0, 1, 2])
    west, east, north = _hits(svg)
    assert east[0] < north[0] < west[0]
    assert north[1] < west[1]
    assert west[1] == east[1]
    assert "0 h 00" in svg


def test_candidates_stand_out_and_others_are_dots():
    svg = sky_map(_streaks([10.0, 11.0], [5.0, 6.0]), [1])
    assert len(_hits(svg)) == 1
    assert 'class="dots"' in svg


def test_ten_thousand_places_take_few_bytes():
    rng = np.random.default_rng(1)
    streaks = _streaks(rng.uniform(0, 40, 10_000), rng.uniform(-10, 20, 10_000))
    assert len(sky_map(streaks, [])) < 250_000


@pytest.mark.parametrize("ra", [[], [np.nan]])
def test_without_positions_there_is_no_map(ra):
    assert sky_map(_streaks(ra, ra), []) == ""


FRAMES = {"image": ["f"], "nx": [120], "ny": [240], "ccd": ["7"], "quadrant": ["2"]}


def test_an_artifact_lies_in_its_place_of_the_chip_with_y_upwards():
    svg = focal_plane(_streaks([0.0], [0.0], x=119.0, y=0.0), QTable(FRAMES), [])
    ((x, y),) = [
        tuple(map(float, m))
        for m in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" \S+ \S+ class="heat"', svg)
    ]
    left, top, side = map(
        float, re.search(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', svg).groups()
    )
    assert (x, y) == (pytest.approx(left + side * 11 / 12), pytest.approx(top + side * 11 / 12))
    assert "ccd 7 q2: 1" in svg


def test_candidates_are_not_in_the_focal_plane():
    assert focal_plane(_streaks([0.0], [0.0]), QTable(FRAMES), [0]) == ""


def test_a_chip_that_is_not_told_is_no_error():
    frames = QTable(FRAMES | {"ccd": [EVIL], "quadrant": [""]})
    svg = focal_plane(_streaks([0.0], [0.0]), frames, [])
    assert "all frames: 1" in svg
    assert "<script>" not in svg


def test_frames_without_a_size_give_no_focal_plane():
    frames = QTable({"image": ["f"], "nx": [np.nan], "ny": [np.nan]})
    assert focal_plane(_streaks([0.0], [0.0]), frames, []) == ""
    assert focal_plane(_streaks([0.0], [0.0]), QTable({"image": ["f"]}), []) == ""


def _frames(**columns):
    n = len(next(iter(columns.values())))
    return QTable({"image": [f"f{i}" for i in range(n)], "state": ["done"] * n} | columns)


def _points(svg):
    path = re.search(r'<path d="([^"]*)" class="points"', svg).group(1)
    return [tuple(map(float, m)) for m in re.findall(r"M([\d.]+) ([\d.]+)h0", path)]


def test_trends_follow_time_not_the_table():
    frames = _frames(fwhm_px=[3.0, 1.0, 2.0], time=["2026-01-03", "2026-01-01", "2026-01-02"])
    (seeing,) = frame_trends(frames, QTable())
    points = _points(seeing["svg"])
    assert [p[0] for p in points] == sorted(p[0] for p in points)
    # Larger is higher, and y grows downwards.
    assert [p[1] for p in points] == sorted((p[1] for p in points), reverse=True)


def test_what_is_unknown_or_never_changes_is_no_trend():
    frames = _frames(fwhm_px=[np.nan, np.nan], masked=[0.1, 0.1], n_negated=[1, 3])
    titles = [one["title"] for one in frame_trends(frames, QTable())]
    assert titles == ["streaks in the negated image (self-check)"]


def test_depth_is_the_magnitude_at_a_signal_to_noise_of_five():
    frames = _frames(time=["a", "b"])
    streaks = QTable({"image": ["f0", "f1"], "mag": [18.0, 19.0], "snr": [50.0, 5.0]})
    (depth,) = frame_trends(frames, streaks)
    # 18 + 2.5 log10(10) = 20.5, and 19.
    assert ">20.5<" in depth["svg"]
    assert ">19<" in depth["svg"]


def test_one_frame_has_no_trend():
    assert frame_trends(_frames(fwhm_px=[1.0]), QTable()) == []


def test_flags_are_words():
    both = StreakFlag.EDGE_0 | StreakFlag.EDGE_1
    assert flags_in_words(int(both)) == ["leaves the image at both ends"]
    assert flags_in_words(int(StreakFlag.MASKED_1 | StreakFlag.NEGATIVE)) == [
        "ends at a mask", "fainter than the reference",
    ]  # fmt: skip
    assert flags_in_words(0) == []


@pytest.mark.parametrize("flag", list(StreakFlag))
def test_every_flag_has_a_word(flag):
    assert len(flags_in_words(int(flag))) == 1
