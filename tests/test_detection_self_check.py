"""Noise that is not white: an image's own estimate of false lines; a line among its parallels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.config import DetectionConfig
from streaks.detection import detect_lines, find_streaks
from streaks.detection.parallels import Parallels, share_above_parallels
from streaks.detection.records import Line, SelfCheck, SetAside
from streaks.detection.self_check import check_image, corrected
from streaks.frame import Frame
from streaks.geometry import Segment
from tests.rendering import add_trail, flux_for_snr

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

_SHAPE = (700, 800)
_FWHM = 2.5
_SIGMA_PX = _FWHM / (2.0 * math.sqrt(2.0 * math.log(2.0)))
_ENDS = (300.0, 300.0, 330.0, 318.0)


def _frame(data: NDArray[np.float64]) -> Frame:
    return Frame(
        data=data.astype(np.float32), mask=np.zeros(data.shape, bool), name="x", fwhm_px=_FWHM
    )


def _white(seed: int = 0, shape: tuple[int, int] = _SHAPE) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 10.0, shape)


def _with_streak(data: NDArray[np.float64], snr: float) -> NDArray[np.float64]:
    data = data.copy()
    add_trail(data, _ENDS, flux_for_snr(_ENDS, snr, sigma_px=_SIGMA_PX, noise=10.0), _SIGMA_PX)
    return data


def _heavy(seed: int) -> NDArray[np.float64]:
    return 10.0 * np.random.default_rng(seed).standard_t(4, _SHAPE)


def _rows(seed: int) -> NDArray[np.float64]:
    """Rows that differ by a fifth of the noise, as a detector's amplifiers leave them."""
    rng = np.random.default_rng(seed)
    return _white(seed) + rng.normal(0.0, 2.0, (_SHAPE[0], 1))


def _straps(seed: int) -> NDArray[np.float64]:
    """A band of columns that differ, and others that do not."""
    rng = np.random.default_rng(seed)
    columns = np.zeros((1, _SHAPE[1]))
    columns[0, 350:550] = rng.normal(0.0, 4.0, 200)
    return _white(seed) + columns


@pytest.mark.parametrize("make", [_white, _heavy, _rows, _straps])
def test_noise_of_every_kind_gives_few_streaks(make) -> None:
    counts = [len(find_streaks(_frame(make(seed)))) for seed in range(4)]
    assert sum(counts) <= 6


@pytest.mark.parametrize("make", [_white, _rows, _straps])
def test_a_streak_in_it_is_found(make) -> None:
    found = detect_lines(_frame(_with_streak(make(5), 20.0)))
    mids = [line.segment.midpoint for line in found.streaks]
    assert any(math.hypot(x - 315.0, y - 309.0) < 3.0 for x, y in mids)


def test_white_noise_passes_the_check_and_keeps_its_scores() -> None:
    frame = _frame(_with_streak(_white(), 12.0))
    found = detect_lines(frame)
    assert found.check.n_negated <= 3
    assert found.check.one_false_score == DetectionConfig().min_score
    assert not found.check.failed
    assert found.streaks[0].score > 10.0
    assert found.table.meta["n_negated"] == found.check.n_negated


class _Scripted:
    """A detector that finds lines of given scores, and remembers what it was shown."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.shown: list[Frame] = []

    def find(self, frame: Frame, config: DetectionConfig) -> list[Line]:
        self.shown.append(frame)
        there = int(frame.data.max()) if frame.data.max() > 0 else len(self.scores)
        segment = Segment(1.0, 1.0, 5.0, 5.0)
        aside = Line(segment, 9.0, score=99.0, set_aside=SetAside.POINT)
        return [aside, *(Line(segment, 9.0, score=s) for s in self.scores[:there])]


def test_the_negated_image_is_searched() -> None:
    detector = _Scripted(9.0, 8.0, 7.5, 7.0, 6.9)
    data = -np.ones((50, 60))
    check = check_image(detector, _frame(data), DetectionConfig())
    (shown,) = detector.shown
    assert shown.shape == (50, 60)
    assert (shown.data == 1).all()
    assert shown.science is None
    assert check.n_negated == 1  # as many as the brightest pixel says


def test_scores_fall_off_as_those_of_the_negated_image() -> None:
    detector = _Scripted(30.0, 8.9, 8.0, 7.5, 7.0, 6.9)
    check = check_image(detector, _frame(np.zeros((50, 60))), DetectionConfig())
    assert check.n_negated == 6
    assert check.failed
    # The median of what is near is 1 above the least score: the slope is 1 / ln 2.
    assert check.one_false_score == pytest.approx(6.5 + math.log(5) / math.log(2))
    lines = [Line(Segment(0, 0, 9, 9), 20.0, score=s) for s in (20.0, 8.0)]
    bright, faint = corrected(lines, check, 6.5)
    assert bright.score == pytest.approx(20.0 * 6.5 / check.one_false_score)
    assert bright.set_aside is None
    assert faint.set_aside is SetAside.NOISE


def test_ghosts_and_dipoles_that_are_dark_correct_nothing() -> None:
    detector = _Scripted(38.0, 29.0, 15.6, 11.2, 8.9, 8.6, 8.5, 8.2, 7.4)
    check = check_image(detector, _frame(np.zeros((50, 60))), DetectionConfig())
    assert check.n_negated == 9
    assert not check.failed


def test_few_lines_correct_nothing() -> None:
    check = check_image(_Scripted(20.0, 9.0, 7.0), _frame(np.zeros((50, 60))), DetectionConfig())
    assert not check.failed
    line = Line(Segment(0, 0, 9, 9), 20.0, score=7.0)
    assert corrected([line], check, 6.5) == [line]


def test_of_a_large_image_the_middle_is_searched_and_all_only_if_that_shows_much() -> None:
    large = _frame(np.zeros((3000, 3200)))
    quiet = _Scripted(7.0)
    check = check_image(quiet, large, DetectionConfig())
    assert len(quiet.shown) == 1
    share = quiet.shown[0].data.size / large.data.size
    assert 0.1 < share < 0.3
    assert check.n_negated == pytest.approx(1 / share, rel=0.02)
    assert not check.failed
    noisy = _Scripted(8.0, 7.0)
    check_image(noisy, large, DetectionConfig())
    assert [frame.data.size for frame in noisy.shown][1] == large.data.size


@pytest.mark.parametrize("config", [DetectionConfig(negative=True), DetectionConfig(min_score=0)])
def test_nobody_looks_where_dark_or_all_lines_are_wanted(config: DetectionConfig) -> None:
    detector = _Scripted(9.0)
    check = check_image(detector, _frame(np.zeros((50, 60))), config)
    assert detector.shown == []
    assert math.isnan(check.n_negated)
    assert check == SelfCheck() or math.isnan(check.one_false_score)


@pytest.mark.parametrize(
    ("found", "share"),
    [(Parallels(10.0, 0.0, 1.0), 1.0), (Parallels(10.0, 0.3, 1.2), 1.0),
     (Parallels(10.0, 2.4, 1.0), 0.8), (Parallels(10.0, 0.0, 2.5), 0.5),
     (Parallels(10.0, 12.0, 1.0), 0.0), (Parallels(-3.0, 0.0, 1.0), 1.0),
     (Parallels(10.0, near=0.8), 1.0), (Parallels(10.0, near=2.85), 0.8),
     (Parallels(10.0, 2.4, 1.0, near=2.85), 0.8)],
)  # fmt: skip
def test_a_line_is_held_against_its_parallels(found: Parallels, share: float) -> None:
    assert share_above_parallels(found) == pytest.approx(share)
