"""A simulated night, searched: asteroids of several visits are tracklets with their true motion."""

from __future__ import annotations

import numpy as np
import pytest

from streaks.completeness import match_truth
from streaks.night import Night, read_night, run_night
from streaks.readers import read_table
from streaks.synth import NightConfig, make_night

CONFIG = NightConfig(asteroids=(4, 4), asteroid_snr=(25.0, 60.0), satellites=0.0, ghosts=0.0)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Night, object]:
    """One field in three visits."""
    root = tmp_path_factory.mktemp("sky")
    make_night(root / "sky", frames=3, seed=11, shape=(800, 901), config=CONFIG)
    run_night(root / "sky", root / "night", workers=0)
    return read_night(root / "night"), read_table(root / "sky" / "truth.ecsv")


def test_an_asteroid_of_three_frames_is_one_tracklet_with_its_rate_within_one_percent(
    searched: tuple[Night, object],
) -> None:
    night, truth = searched
    found = match_truth(night.streaks, truth)
    n_checked = 0
    for mover in sorted(set(truth["mover"]) - {""}):
        rows = np.flatnonzero(truth["mover"] == mover)
        if len(rows) < 3 or (found[rows] < 0).any():
            continue
        (name,) = {str(night.streaks["tracklet"][k]) for k in found[rows]}
        (tracklet,) = night.tracklets[night.tracklets["tracklet"] == name]
        assert tracklet["n"] == 3
        ratio = (tracklet["rate"] / truth["rate"][rows[1]]).to_value("")
        assert ratio == pytest.approx(1.0, abs=0.01)
        off = (tracklet["pa"] - truth["motion_pa"][rows[1]]).to_value("deg")
        assert abs((off + 180) % 360 - 180) < 1.0
        n_checked += 1
    assert n_checked >= 2


def test_no_other_tracklet_of_three_appears(searched: tuple[Night, object]) -> None:
    night, truth = searched
    found = match_truth(night.streaks, truth)
    true = {str(night.streaks["streak_id"][k]) for k in found if k >= 0}
    for row in night.tracklets[night.tracklets["n"] >= 3]:
        assert set(str(row["streak_ids"]).split()) & true
