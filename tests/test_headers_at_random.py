"""Headers of all kinds at random: right place, time and rate, or a reason in words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable

from streaks.detection import find_streaks
from streaks.frame import Frame
from streaks.readers import read_frame
from tests.made_headers import Drawn, draw_header

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

#: What an observer can live with: a third of a pixel, a tenth of a second, a hundredth.
PLACE_ARCSEC, TIME_S, RATE = 0.3, 0.1, 0.01


def wrong(drawn: Drawn, frame: Frame, streaks: QTable) -> list[str]:
    """What is wrong without a word of it."""
    found = []
    said = " | ".join(frame.notes)

    def judge(what: str, is_right: bool, told: object) -> None:
        if is_right:
            return
        reason = drawn.excused.get(what)
        if reason is None or not re.search(reason, said):
            found.append(f"{what}: {told}")

    if len(streaks) != 1:
        return [f"{len(streaks)} streaks"]
    row = streaks[0]
    ends = np.array([row[name].value for name in ("x0", "y0", "x1", "y1")])
    true = np.array(drawn.ends)
    turned = true[[2, 3, 0, 1]]
    if min(np.abs(ends - true).max(), np.abs(ends - turned).max()) > 1.0:
        found.append(f"ends: {ends}, true {true}")
    ra, dec = row["ra"].value, row["dec"].value
    east = (ra - drawn.ra + 180.0) % 360.0 - 180.0
    away = 3600.0 * np.hypot(east * np.cos(np.radians(drawn.dec)), dec - drawn.dec)
    judge("place", bool(away < PLACE_ARCSEC * max(1.0, frame.pixel_scale_arcsec)), f"{away} arcsec")
    late = np.nan if frame.time is None else float((frame.time - drawn.mid).to_value("s"))
    judge("time", abs(late) < TIME_S, f"{late} s")
    rate = row["rate"].value
    judge("rate", bool(abs(rate / drawn.rate - 1.0) < RATE), f"{rate}, true {drawn.rate}")
    return found


def try_draws(tmp_path: Path, seeds: range) -> dict[str, int]:
    """How often each kind came; fails with all that was wrong."""
    failures, kinds = [], dict[str, int]()
    for seed in seeds:
        drawn = draw_header(np.random.default_rng(seed))
        path = tmp_path / f"{seed}.fits"
        drawn.write(path)
        frame = read_frame(path)
        bad = wrong(drawn, frame, find_streaks(frame))
        path.unlink()
        if bad:
            failures.append(f"seed {seed} {drawn.kinds}: {bad}; said: {frame.notes}")
        for kind in drawn.kinds:
            if not kind.startswith("scale"):
                kinds[kind] = kinds.get(kind, 0) + 1
    assert not failures, f"{len(failures)} of {len(seeds)}:\n" + "\n".join(failures[:20])
    return kinds


@pytest.mark.filterwarnings("ignore")
def test_headers_at_random_are_right_or_say_why(tmp_path: Path) -> None:
    try_draws(tmp_path, range(60))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(4))
def test_two_thousand_headers_are_right_or_say_why(tmp_path: Path, part: int) -> None:
    kinds = try_draws(tmp_path, range(1000 + 500 * part, 1500 + 500 * part))
    assert min(kinds.values()) >= 3, kinds
