"""The shipped models on real cutouts of ZTF's streak pipeline (none of them used in training)."""

from __future__ import annotations

import json

import pytest

from streaks.cli import main
from tests.frame_files import real_data


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = real_data("real-cutouts", "jpg")
    out = tmp_path_factory.mktemp("figures")
    words = f"""evaluate -m default --cutouts {folder} --truth {folder.parent / "cutouts.csv"}
        --label-column eye_label --confidence-column eye_confidence --min-count 20
        --asteroids known=known_nea -o {out} -q"""
    assert main(words.split()) == 0
    return json.loads((out / "evaluation.json").read_text())["models"][0]


def test_all_real_cutouts_are_read_and_judged(figures):
    assert (figures["n"], figures["n_positive"]) == (1965, 117)


def test_nearly_all_known_asteroids_are_kept(figures):
    # The survey's own random forest keeps 43 % at 1 % (its
    # `prob` column, on the same cutouts).
    assert figures["asteroid_tpr"]["0.01"] >= 0.97
    assert figures["asteroid_tpr"]["0.001"] >= 0.88


def test_artifacts_are_named_as_careful_eyes_name_them(figures):
    assert figures["macro_f1"] >= 0.80
    assert set(figures["scored_classes"]) == {
        *("satellite", "masked_star", "ghost", "naked_star", "yin_yang", "skip")
    }


def test_probabilities_mean_what_they_say_on_real_sky(figures):
    assert figures["calibration_error"] <= 0.05


def test_candidates_hold_what_eyes_see_as_often_as_promised(figures):
    assert figures["sets"]["coverage"] == pytest.approx(figures["sets"]["promised"], abs=0.02)
    assert figures["sets"]["mean_size"] <= 1.3
