"""Figures of a set of targets: shares, curves, maps, trends, as plain values."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.table import QTable

from streaks.completeness import summarise
from streaks.reporting.completeness_figures import (
    chip_map,
    completeness_curves,
    night_trend,
    outcome_bars,
)


def results(n: int = 240, seed: int = 1, *, mag: bool = True) -> QTable:
    """Sources whose chance falls with magnitude, less of them kept, on a chip of 100 x 200 px."""
    rng = np.random.default_rng(seed)
    mags = rng.uniform(17, 21, n)
    detected = rng.random(n) < 1 / (1 + np.exp((mags - 19) / 0.3))
    kept = detected & (rng.random(n) < 0.7)
    table = QTable()
    table["name"] = [f"s{k}" for k in range(n)]
    table["image"] = ["a" if k % 2 else "b" for k in range(n)]
    table["outcome"] = ["found" if one else "too faint" for one in kept]
    table["mag"] = mags if mag else np.full(n, np.nan)
    table["expected_snr"] = 10 ** (0.4 * (21.0 - mags))
    table["x"], table["y"] = rng.uniform(0, 199, n), rng.uniform(0, 99, n)
    table["rate"], table["angle"] = rng.uniform(0.2, 2, n), rng.uniform(0, 180, n)
    table["mjd"] = np.where(np.arange(n) % 2, 58000.1, 58000.2)
    table["detected"], table["kept"] = detected, kept
    return table


SHAPES = {"a": (100, 200), "b": (100, 200)}


def test_shares_of_the_stages_that_were_run():
    table = results()
    made = summarise(table, SHAPES)
    assert [stage["name"] for stage in made["stages"]] == ["detected", "kept"]
    for stage in made["stages"]:
        assert stage["found"] == table[stage["name"]].sum()
        assert stage["low"] < stage["share"] < stage["high"]
    assert made["stages"][0]["depth50"]["value"] == pytest.approx(19.0, abs=0.25)
    assert made["stages"][1]["depth90"]["value"] is None  # 70 % of the brightest are kept


def test_without_magnitudes_the_variable_is_snr():
    made = summarise(results(mag=False), SHAPES)
    assert made["variable"] == "snr"
    depth = made["stages"][0]["depth50"]["value"]
    assert depth == pytest.approx(10**0.8, rel=0.25)


def test_what_no_frame_shows_is_counted_and_left_out_of_shares():
    table = results()
    table["outcome"][:40] = ["off chip"] * 40
    made = summarise(table, SHAPES)
    assert (made["n"], made["observed"]) == (240, 200)
    assert made["stages"][0]["n"] == 200
    assert {o["kind"]: o["n"] for o in made["outcomes"]}["off chip"] == 40
    assert sum(o["n"] for o in made["outcomes"]) == 240


def test_every_source_is_in_one_cell_one_rate_one_angle_one_time():
    made = summarise(results(), SHAPES)
    assert sum(cell["stages"]["detected"]["n"] for cell in made["map"]) == 240
    assert len(made["map"]) == 16
    for parts in (made["rates"], made["angles"], made["trend"]):
        assert sum(one["stages"]["detected"]["n"] for one in parts) == 240
    assert [one["mjd"] for one in made["trend"]] == [58000.1, 58000.2]
    for one in made["trend"]:
        stage = one["stages"]["detected"]
        assert stage["expected"] == pytest.approx(stage["share"], abs=0.12)


def test_unnamed_sources_are_each_their_own():
    table = results()
    # As one object, all found, they would share all their luck.
    table["name"] = [
        "" if hit else name for name, hit in zip(table["name"], table["detected"], strict=True)
    ]
    assert summarise(table, SHAPES)["stages"][0]["effect"] == pytest.approx(1.0)


def test_figures_are_json_and_figures_of_the_page_hold_only_numbers():
    made = summarise(results(), SHAPES)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    curves = completeness_curves(made["stages"], made["variable"])
    assert curves.count('class="curve') == 2
    assert night_trend(made["trend"]).count("<circle") == 4
    assert chip_map(made["map"], "kept").count("<rect") == 16
    assert max(bar["width"] for bar in outcome_bars(made["outcomes"])) == 100.0
    for svg in (curves, night_trend(made["trend"]), chip_map(made["map"], "kept")):
        assert "nan" not in svg


def test_nothing_gives_figures_of_nothing():
    made = summarise(results()[:0], SHAPES)
    assert made["n"] == 0
    assert made["stages"][0]["share"] is None
    assert completeness_curves(made["stages"], made["variable"]) == ""
    assert night_trend(made["trend"]) == ""
