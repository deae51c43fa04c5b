"""The verdict: lines among lines, other exposures, weighing, groups, and what a table then says."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from streaks.config import VerdictConfig
from streaks.errors import ModelError
from streaks.geometry import Segment, segment_distances
from streaks.tables import CLASS_COLUMNS, STREAK_COLUMNS, VERDICT_COLUMNS, StreakFlag, build_table
from streaks.verdict import (
    EVIDENCE_COLUMNS,
    Exposure,
    VerdictModel,
    expected_false,
    expected_lines,
    judge_streaks,
)
from streaks.verdict.exposures import STATES, look_elsewhere
from streaks.verdict.groups import find_groups
from streaks.verdict.judging import candidates_in_words
from streaks.verdict.lines import Lines, collinear, neighbours_of
from streaks.verdict.numbers import NUMBERS, numbers_of
from streaks.verdict.reasons import reasons_of
from streaks.verdict.trees import Trees
from streaks.verdict.weighing import fitted_share, probabilities

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

START = Time("2019-10-19T05:00:00", scale="utc")


def streak(image: str = "a", **values: object) -> dict:
    """A row of a streak table, nothing in it wrong."""
    row: dict = {spec.name: 0.0 for spec in STREAK_COLUMNS if spec.dtype is float}
    row |= {spec.name: 0.0 for spec in CLASS_COLUMNS if spec.dtype is float}
    row |= {spec.name: 0.0 for spec in EVIDENCE_COLUMNS}
    row |= {
        "image": image, "time": START.isot, "flags": 0, "label": "asteroid", "snr": 20.0,
        "length": 20.0, "x0": 90.0, "y0": 100.0, "x1": 110.0, "y1": 100.0, "x": 100.0, "y": 100.0,
        "p_asteroid": 0.9, "ev_fwhm_px": 2.5, "length_err": 0.2, "ra": 150.0, "dec": 20.0,
        "tracklet": "",
    }  # fmt: skip
    return row | values


def between(x0: float, y0: float, x1: float, y1: float) -> dict:
    segment = Segment(x0, y0, x1, y1)
    x, y = segment.midpoint
    return {
        "x0": x0, "y0": y0, "x1": x1, "y1": y1, "x": x, "y": y,
        "length": segment.length_px, "theta": segment.theta_deg,
    }  # fmt: skip


def table_of(rows: list[dict]) -> QTable:
    rows = [{**row, "streak_id": f"{row['image']}_{k:04d}"} for k, row in enumerate(rows)]
    names = (*STREAK_COLUMNS, *CLASS_COLUMNS, *EVIDENCE_COLUMNS)
    table = build_table(names, {spec.name: [row[spec.name] for row in rows] for spec in names})
    table["tracklet"] = np.array([row["tracklet"] for row in rows], dtype=str)
    return table


def stump(name: str, threshold: float, low: float, high: float) -> Trees:
    """One question, two answers."""
    return Trees(
        roots=np.array([0], np.int32),
        feature=np.array([NUMBERS.index(name), 0, 0], np.int32),
        left=np.array([1, 1, 2], np.int32),
        right=np.array([2, 1, 2], np.int32),
        threshold=np.array([threshold, 0.0, 0.0]),
        missing_left=np.array([True, False, False]),
        value=np.array([0.0, low, high]),
        baseline=0.0,
        n_features=len(NUMBERS),
    )


def model(**exposures: float) -> VerdictModel:
    """Believes `p_asteroid` above a half, and nothing else."""
    worth = dict.fromkeys(STATES, 0.0) | exposures
    points = np.array([-6.0, 6.0])
    return VerdictModel(stump("p_asteroid", 0.5, -6.0, 6.0), points, points, worth, name="stump")


# Lines


def test_pieces_of_one_trail_are_collinear_and_crossing_trails_are_not() -> None:
    lines = Lines.of([
        Segment(0, 0, 100, 50), Segment(200, 100, 230, 115), Segment(0, 50, 100, 0),
        Segment(0, 30, 100, 80),
    ])  # fmt: skip
    on = collinear(lines, lines)
    assert on[0, 1]
    assert on[1, 0]
    assert not on[0, 2]
    assert not on[0, 3]


def test_neighbours_are_counted_without_the_line_itself() -> None:
    lines = Lines.of([
        Segment(0, 0, 40, 0), Segment(0, 20, 40, 20), Segment(100, 0, 130, 0),
        Segment(2000, 2000, 2000, 2040),
    ])  # fmt: skip
    around = neighbours_of(lines, lines, np.eye(4, dtype=bool))
    assert around.near.tolist() == [2, 2, 2, 0]
    assert around.parallel.tolist() == [2, 2, 2, 0]
    assert around.collinear.tolist() == [1, 0, 1, 0]
    assert around.collinear_px[0] == pytest.approx(30)
    assert around.gap_px[0] == pytest.approx(60)
    assert math.isnan(around.gap_px[1])
    assert around.longest_px[3] == 0


def test_distances_of_segments() -> None:
    ends = np.array([[0, 0, 10, 0], [5, -5, 5, 5], [0, 3, 10, 3], [20, 0, 30, 0]], float)
    apart = segment_distances(ends)
    assert apart[0].tolist() == [0, 0, 3, 10]
    assert np.allclose(apart, apart.T)


# Trees and weighing


def test_trees_answer_as_the_booster_that_they_were_made_of() -> None:
    sklearn = pytest.importorskip("sklearn.ensemble")
    from streaks.models.verdict_training import trees_of

    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, len(NUMBERS))).astype(np.float32)
    truth = x[:, 3] + 0.3 * rng.normal(size=400) > 0
    x[rng.random(x.shape) < 0.1] = np.nan
    boosters = [
        sklearn.HistGradientBoostingClassifier(max_iter=20, random_state=k).fit(x, truth)
        for k in range(2)
    ]
    expected = np.mean([booster.decision_function(x) for booster in boosters], axis=0)
    assert np.allclose(trees_of(boosters, x.shape[1])(x), expected, atol=1e-9)


def test_trees_refuse_nodes_that_are_not_there() -> None:
    good = stump("snr", 1.0, 0.0, 1.0)
    with pytest.raises(ModelError, match="children"):
        Trees(**{**good.__dict__, "left": np.array([7, 1, 2], np.int32)})
    with pytest.raises(ModelError, match="unequal"):
        Trees(**{**good.__dict__, "value": np.zeros(2)})
    with pytest.raises(ModelError, match=r"expected \(n, "):
        good(np.zeros((3, 2)))


def test_trees_in_a_circle_end() -> None:
    good = stump("snr", 1.0, 0.0, 1.0)
    round_and_round = Trees(**{**good.__dict__, "left": np.array([1, 0, 2], np.int32)})
    assert np.isfinite(round_and_round(np.zeros((2, len(NUMBERS))))).all()


def test_the_share_of_asteroids_is_the_run_s_own_where_there_is_enough() -> None:
    config = VerdictConfig(asteroid_share=0.002, share_weight=30)
    # 100 of 1000 are asteroids, and the evidence is good: ratios of e**+-6.
    ratio = np.repeat([6.0, -6.0], [100, 900])
    assert fitted_share(ratio, config) == pytest.approx(0.098, abs=0.01)
    assert fitted_share(np.zeros(0), config) == 0.002
    # Without evidence what was thought before stays.
    assert fitted_share(np.zeros(1000), config) == pytest.approx(0.002, rel=0.01)


@given(st.floats(-50, 50), st.floats(1e-6, 0.9))
def test_probabilities_follow_bayes(ratio: float, share: float) -> None:
    (p,) = probabilities(np.array([ratio]), share)
    bounded = math.exp(min(max(ratio, -12), 12))
    assert p == pytest.approx(bounded * share / (bounded * share + 1 - share))


def test_lines_are_drawn_where_false_ones_are_expected() -> None:
    p = np.array([0.5] * 4 + [0.99] * 50 + [0.01] * 60 + [np.nan])
    expected = expected_false(p)
    assert np.isnan(expected[-1])
    assert expected[:4].tolist() == pytest.approx([1.0, 1.5, 2.0, 2.5])
    one, ten = expected_lines(p)
    assert (one.expected_false, one.n_above, one.p_real) == (1, 51, 0.5)
    # 0.5 from the first fifty, 2 from four, and 7 of those at 0.01.
    assert (ten.expected_false, ten.n_above, ten.p_real) == (10, 61, 0.01)


def test_a_calibration_that_falls_is_refused() -> None:
    with pytest.raises(ModelError, match="increase"):
        VerdictModel(stump("snr", 1.0, 0, 1), np.array([0.0, 1.0]), np.array([1.0, 0.0]), {})


# Other exposures


def footprint(ra: float, dec: float, side: float = 0.8) -> list[tuple[float, float]]:
    half, wide = 0.5 * side, 0.5 * side / math.cos(math.radians(dec))
    return [(ra + sx * wide, dec + sy * half) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def exposures(*gaps_s: float, ra: float = 150.0) -> list[Exposure]:
    return [
        Exposure(f"f{k}", (START + gap * u.s).isot, footprint(ra, 20.0))
        for k, gap in enumerate(gaps_s)
    ]


def moving(image: str, **values: object) -> dict:
    return streak(image, **{"rate": 0.5, "pa": 40.0, **values})


def states(rows: list[dict], looked: list[Exposure], **kinds: str) -> list[str]:
    return look_elsewhere(table_of(rows), looked, kinds).state.tolist()


def test_what_should_be_seen_again_and_is_not_is_told() -> None:
    looked = exposures(0, 180, 360)
    assert states([moving("f0")], looked[:1]) == ["alone"]
    assert states([moving("f0")], looked[:2]) == ["not_seen_once"]
    assert states([moving("f0")], looked) == ["not_seen_more"]


def test_what_would_have_left_the_image_is_not_missed() -> None:
    # 0.6 deg in three minutes: out of the footprint in either direction, or in one of them.
    assert states([moving("f0", rate=12.0)], exposures(0, 180)) == ["alone"]
    east = moving("f0", rate=1.0, pa=90.0, ra=150.4)
    assert states([east], exposures(0, 180)) == ["alone"]


def test_what_is_faint_or_of_unknown_motion_is_not_missed() -> None:
    assert states([moving("f0", snr=7.0)], exposures(0, 180)) == ["alone"]
    assert states([moving("f0", rate=math.nan)], exposures(0, 180)) == ["alone"]


def test_images_of_one_exposure_and_of_another_place_are_no_other_look() -> None:
    assert states([moving("f0")], exposures(0, 0.2)) == ["alone"]
    looked = [exposures(0)[0], exposures(0, 180, ra=170.0)[1]]
    assert states([moving("f0")], looked) == ["alone"]
    without = [Exposure("f0"), Exposure("f1", START.isot)]
    assert states([moving("f0")], without) == ["alone"]


def test_tracklets_repeats_and_what_stands_still() -> None:
    twice = [moving("f0", tracklet="T1"), moving("f1", tracklet="T1", ra=150.02)]
    assert states(twice, exposures(0, 180), T1="motion") == ["moved_on"] * 2
    thrice = [*twice, moving("f2", tracklet="T1", ra=150.04)]
    assert states(thrice, exposures(0, 180, 360), T1="motion") == ["moved_on_twice"] * 3
    pieces = [moving("f0", tracklet="S1"), moving("f1", tracklet="S1")]
    assert states(pieces, exposures(0, 0), S1="satellite") == ["piece"] * 2
    stays = [moving("f0"), moving("f1", dec=20.0 + 1 / 3600)]
    assert states(stays, exposures(0, 180)) == ["stands_still"] * 2
    turned = [moving("f0"), moving("f1", pa=90.0)]
    assert states(turned, exposures(0, 180)) == ["not_seen_once"] * 2
    again = [moving("f0", flags=int(StreakFlag.REPEAT))]
    assert states(again, exposures(0, 180)) == ["same_pixels"]


# A table judged


def test_a_judged_table_has_the_contract_s_columns_and_no_evidence() -> None:
    table = table_of([streak(), streak(p_asteroid=0.1, p_ghost=0.8)])
    judged = judge_streaks(table, model())
    assert [name for name in judged.colnames if name.startswith("ev_")] == []
    assert all(spec.name in judged.colnames for spec in VERDICT_COLUMNS)
    assert judged["p_real"][0] > 0.4 > 0.01 > judged["p_real"][1]
    assert "looks like a ghost" in judged["reasons"][1]
    assert list(judged["streak_id"]) == list(table["streak_id"])
    assert 0 < judged.meta["asteroid_share"] < 1
    assert "ev_fwhm_px" in table.colnames
    assert "p_real" not in table.colnames


@pytest.mark.parametrize(
    ("changed", "label"),
    [
        ({}, "satellite"),
        ({"flags": 1}, "ghost"),  # one end is in the image
        ({"flags": 0, **between(0.0, 0.0, 1500.0, 400.0)}, "satellite"),  # ends in masks
        ({"snr": 12.0}, "ghost"),
        ({"flags": 3 | 32}, "ghost"),  # along a spike
        ({"flags": 3 | 4096}, "ghost"),  # the same place in other images
        ({"flags": 3 | 512}, "ghost"),  # no trail fits it: the edge of a glow
        (between(100.0, 0.0, 102.0, 400.0), "ghost"),  # a column
        (between(0.0, 100.0, 120.0, 0.0), "ghost"),  # a corner is soon crossed
        ({"p_asteroid": 0.9}, "asteroid"),  # all evidence speaks for it
    ],
)
def test_a_bright_trail_across_the_image_is_a_satellite_whatever_its_picture_shows(
    changed: dict, label: str
) -> None:
    crossing = {"flags": 3, "snr": 60.0, "label": "ghost", "p_asteroid": 0.1}
    row = streak(**(crossing | between(0.0, 0.0, 400.0, 300.0) | changed))
    assert judge_streaks(table_of([row]), model())["label"].tolist() == [label]


def test_streaks_without_evidence_or_classes_are_not_weighed() -> None:
    known = table_of([streak(), streak(ev_fwhm_px=math.nan), streak(p_asteroid=math.nan)])
    p = judge_streaks(known, model())["p_real"]
    assert np.isfinite(p[0])
    assert np.isnan(p[1:]).all()
    older = known[[name for name in known.colnames if not name.startswith("ev_")]]
    assert np.isnan(judge_streaks(older, model())["p_real"]).all()
    assert "p_real" not in judge_streaks(known, None).colnames


def test_no_streaks_are_judged_too() -> None:
    judged = judge_streaks(table_of([]), model())
    assert len(judged) == 0
    assert "p_real" in judged.colnames
    assert "group" in judged.colnames


def test_sightings_of_one_body_share_one_verdict_and_say_where() -> None:
    rows = [
        moving("f0", tracklet="T1", time=START.isot),
        moving("f1", tracklet="T1", p_asteroid=0.2, time=(START + 180 * u.s).isot),
    ]
    tracklets = QTable({"tracklet": ["T1"], "kind": ["motion"]})
    judged = judge_streaks(
        table_of(rows), model(moved_on=5.0), exposures=exposures(0, 180), tracklets=tracklets
    )
    assert judged["p_real"][0] == judged["p_real"][1]
    assert judged["reasons"][0].startswith("seen again at 05:03:00")


def test_what_is_missing_elsewhere_lowers_the_verdict() -> None:
    table = table_of([moving("f0")])
    weighs = model(not_seen_more=-3.0)
    missing = judge_streaks(table, weighs, exposures=exposures(0, 180, 360))
    alone = judge_streaks(table, weighs, exposures=exposures(0))
    assert missing["p_real"][0] < alone["p_real"][0]
    assert "not seen again where it should be: 2 exposures" in missing["reasons"][0]


def test_a_run_s_images_are_weighed_by_themselves() -> None:
    """Neighbours are of the same image: the order and number of images change no number."""
    one = table_of([streak("a", **between(0, 0, 40, 0)), streak("a", **between(0, 20, 40, 20))])
    both = table_of([
        streak("a", **between(0, 0, 40, 0)), streak("b", **between(0, 20, 40, 20)),
        streak("a", **between(0, 20, 40, 20)),
    ])  # fmt: skip
    assert np.array_equal(numbers_of(one), numbers_of(both)[[0, 2]], equal_nan=True)


# Groups and words


def test_lines_of_one_ghost_are_one_group_and_crossing_trails_two() -> None:
    ghost = [
        streak(p_ghost=0.9, **between(0, 0, 40, 0)), streak(p_ghost=0.9, **between(0, 40, 40, 45)),
    ]  # fmt: skip
    trails = [
        streak(p_satellite=0.9, **between(500, 500, 900, 900)),
        streak(p_satellite=0.9, **between(500, 900, 900, 500)),
        streak(p_satellite=0.9, **between(1000, 1000, 1040, 1040)),
    ]
    alone = streak(**between(5, 2, 30, 2))
    table = table_of([*ghost, *trails, alone])
    p_real = np.array([0.2] * 5 + [0.7])
    ids = [str(i) for i in table["streak_id"]]
    groups = find_groups(table, p_real, 0.5).tolist()
    assert groups == [ids[0], ids[0], ids[2], ids[3], ids[2], ids[5]]
    other = table_of([ghost[0], {**ghost[1], "image": "b"}])
    assert len(set(find_groups(other, np.zeros(2), 0.5))) == 2


def test_what_is_hardly_real_at_a_ghosts_edge_is_of_the_ghost() -> None:
    table = table_of([
        streak(p_ghost=0.9, **between(0, 0, 40, 0)),
        streak(p_asteroid=0.9, **between(0, 70, 40, 70)),  # hardly real by p_real
        streak(p_asteroid=0.9, **between(0, -70, 40, -70)),  # perhaps real
        streak(p_satellite=0.95, **between(60, -60, 60, 60)),  # surely a trail
        streak(p_asteroid=0.9, **between(0, 150, 40, 150)),  # near to an edge, far from the ghost
        streak(p_asteroid=0.9, **between(0, 400, 40, 400)),
    ])  # fmt: skip
    p_real = np.array([0.0, 0.01, 0.2, 0.0, 0.0, np.nan])
    ids = [str(i) for i in table["streak_id"]]
    expected = [ids[0], ids[0], ids[2], ids[3], ids[4], ids[5]]
    assert find_groups(table, p_real, 0.5).tolist() == expected


def test_a_long_line_does_not_make_two_ghosts_one() -> None:
    table = table_of([
        streak(p_ghost=0.9, **between(0, 0, 40, 0)),
        streak(p_ghost=0.6, **between(-500, 50, 1500, 50)),
        streak(p_ghost=0.9, **between(1000, 0, 1040, 0)),
    ])  # fmt: skip
    assert len(set(find_groups(table, np.zeros(3), 0.5))) == 3


def test_reasons_name_what_a_person_can_check() -> None:
    row = np.full((1, len(NUMBERS)), np.nan)
    for name, value in {
        "rate": 11.0, "ev_star_gap_px": 41.2, "ev_star_offset": 0.2, "others_collinear": 3,
    }.items():  # fmt: skip
        row[0, NUMBERS.index(name)] = value
    (text,) = reasons_of(row, np.array([int(StreakFlag.EDGE_0)]), np.array([""]))
    assert text.split("; ") == [
        "moves 264 deg/day",
        "points at a saturated star 41 px away",
        "on the line of 3 other(s)",
        "cut by the edge",
    ]


def test_candidates_in_words() -> None:
    assert candidates_in_words(3, math.nan, 5) == ""
    assert candidates_in_words(0, 0.0, 5) == "no candidates"
    # Of few images a rate for a whole night would be a guess, and looks like a claim.
    assert candidates_in_words(4, 0.5, 10) == "4 candidates, 0.5 expected to be false"
    assert candidates_in_words(1, 0.0241, 1) == "1 candidate, 0.024 expected to be false"
    assert candidates_in_words(400, 50.3, 63) == "400 candidates, 50 expected to be false"
    assert candidates_in_words(4, 0.5, 100) == (
        "4 candidates, 0.5 expected to be false (at that rate 320 in a ZTF night of 64,000 "
        "quadrants)"
    )
