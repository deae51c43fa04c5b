"""Subject sets for volunteers."""

import csv
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import vstack
from hypothesis import given
from hypothesis import strategies as st

from streaks.config import LabelConfig
from streaks.cutouts import Cutouts
from streaks.errors import ConfigError, InputError, TableError
from streaks.geometry import Segment
from streaks.labelling import (
    HIDDEN_COLUMNS,
    VISIBLE_COLUMNS,
    ccd_of_image,
    export_subjects,
    select_subjects,
)
from streaks.labelling.manifest import centre_counts
from streaks.labelling.subjects import subject_filename
from streaks.plotting import decode_picture, subject_pictures
from streaks.tables import CLASSES, SKIP, UNRESOLVED, StreakFlag, empty_streaks
from tests.made_streaks import SEGMENTS, made_night, made_streaks

#: What issue and project ask volunteers to see, by name.
ASKED = ["magpsf", "sigmapsf", "classtar", "ssdistnr", "ssmagnr", "ssnamenr", "sgscore", "nneg",
         "nbad", "rb", "S/N"]  # fmt: skip


@pytest.fixture(scope="module")
def night():
    _, streaks, cutouts = made_night()
    return streaks, cutouts


def pictures_of(picture: bytes):
    """A `Draw` that draws nothing."""
    return lambda cutouts, panel_px, ends: {"filename": picture}


def export(night, out, config=None, **options):
    streaks, cutouts = night
    return export_subjects(streaks, cutouts, out, config, draw=subject_pictures, **options)


def manifest(folder):
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def blank(n: int, names: tuple[str, ...]) -> Cutouts:
    zeros = np.zeros((n, 32, 32), np.float32)
    return Cutouts(zeros, zeros.astype(bool), names)


def test_each_streak_becomes_a_picture_and_a_line(night, tmp_path):
    summary = export(night, tmp_path / "set")
    rows = manifest(tmp_path / "set")
    assert summary.n_subjects == len(rows) == len(SEGMENTS)
    for row in rows:
        assert (tmp_path / "set" / row["filename"]).read_bytes().startswith(b"\x89PNG")


def test_no_cell_is_ever_empty(night, tmp_path):
    streaks, cutouts = night
    bare = streaks[["streak_id", "image", "x", "y"]]
    bare["image"] = [""] * len(bare)
    for name, table in (("full", streaks), ("bare", bare)):
        export((table, cutouts), tmp_path / name)
        for row in manifest(tmp_path / name):
            assert all(cell.strip() for cell in row.values()), row


def test_unknown_values_follow_ztfs_conventions(night, tmp_path):
    streaks = night[0].copy()
    streaks["mag"][0] = np.nan * streaks["mag"].unit
    export((streaks, night[1]), tmp_path / "set")
    row = manifest(tmp_path / "set")[0]
    assert (row["magpsf"], row["classtar"], row["sgscore"]) == ("-999", "-999", "-999")
    assert manifest(tmp_path / "set")[1]["ssnamenr"] == "null"


def test_a_distance_of_zero_stays_zero(night, tmp_path):
    export(night, tmp_path / "set")
    row = manifest(tmp_path / "set")[0]
    assert (row["ssdistnr"], row["ssnamenr"]) == ("0.0", "(24421) Djorgovski")


def test_volunteers_see_what_was_asked_and_no_more(night, tmp_path):
    export(night, tmp_path / "set")
    headings = list(manifest(tmp_path / "set")[0])
    assert [h for h in headings if not h.startswith("#")] == ["filename", *ASKED]
    assert "#streaks_key" in headings
    assert tuple(ASKED) == VISIBLE_COLUMNS
    assert all(heading.startswith("#") for heading in HIDDEN_COLUMNS)


def test_hidden_columns_lead_back_to_the_streak(night, tmp_path):
    export(night, tmp_path / "set")
    rows = manifest(tmp_path / "set")
    streaks = night[0]
    assert [row["#streak_id"] for row in rows] == list(streaks["streak_id"])
    assert [row["#label"] for row in rows] == list(streaks["label"])
    assert float(rows[3]["#ra"]) == pytest.approx(streaks["ra"][3].value, abs=1e-6)
    assert float(rows[3]["#x"]) == pytest.approx(streaks["x"][3].value, abs=0.01)


def test_files_are_small_and_their_names_safe(night, tmp_path):
    summary = export(night, tmp_path / "set")
    sizes = [path.stat().st_size for path in (tmp_path / "set").iterdir()]
    assert max(sizes) <= 1_000_000
    assert summary.largest_bytes <= 1_000_000
    for name in os.listdir(tmp_path / "set"):
        assert not set(name) & set("/\\:,")


@given(st.text(max_size=300))
def test_any_name_becomes_a_safe_file_name(name):
    made = subject_filename(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.png", made)
    assert len(made) <= 120


def test_different_names_never_become_one_file():
    names = ["a/b", "a b", "a:b", "a-b", "a,b", "a\\b", "a--b", "x" * 150, "x" * 151]
    assert len({subject_filename(name) for name in names}) == len(names)


def test_science_and_reference_stand_beside_the_difference(night, tmp_path):
    export(night, tmp_path / "three")
    streaks, cutouts = night
    export((streaks, replace(cutouts, science=None, reference=None)), tmp_path / "one")
    widths = [
        decode_picture(
            (tmp_path / which / manifest(tmp_path / which)[0]["filename"]).read_bytes()
        ).shape[1]
        for which in ("three", "one")
    ]
    assert widths[0] > 3 * widths[1]
    assert widths[1] == LabelConfig().panel_px


def test_negative_subtractions_stay_out_unless_asked_for(night, tmp_path):
    streaks = night[0].copy()
    streaks["flags"][2] = int(StreakFlag.NEGATIVE)
    summary = export((streaks, night[1]), tmp_path / "positive")
    assert summary.left_out == {"negative subtraction": 1}
    everything = LabelConfig(include_negative=True)
    export((streaks, night[1]), tmp_path / "all", everything)
    assert [row["#isdiffpos"] for row in manifest(tmp_path / "all")].count("f") == 1


def test_subjects_are_chosen_by_rb(night):
    streaks = night[0]
    rows, left_out = select_subjects(streaks, LabelConfig(min_rb=0.5, max_rb=0.9))
    rb = np.asarray(streaks["rb"])
    np.testing.assert_array_equal(rows, np.flatnonzero((rb >= 0.5) & (rb <= 0.9)))
    assert left_out["rb outside the band"] == len(streaks) - len(rows)


def test_an_unknown_rb_is_in_no_band():
    streaks = made_streaks(SEGMENTS)
    streaks["rb"] = np.full(len(streaks), np.nan)
    assert len(select_subjects(streaks, LabelConfig(max_rb=0.99))[0]) == 0


def test_subjects_are_chosen_by_class(night):
    streaks = night[0]
    rows, _ = select_subjects(streaks, LabelConfig(labels=("asteroid", "ghost")))
    assert {str(streaks["label"][row]) for row in rows} == {"asteroid", "ghost"}


def test_subjects_are_chosen_by_ccd_of_the_images_name():
    name = "ztf_20180607123456_000530_zr_c{:02d}_o_q2_scimrefdiffimg"
    streaks = vstack([made_streaks(SEGMENTS, image=name.format(ccd)) for ccd in (3, 7, 12)])
    rows, left_out = select_subjects(streaks, LabelConfig(ccds=(7, 12)))
    assert {ccd_of_image(str(streaks["image"][row])) for row in rows} == {7, 12}
    assert left_out == {"another CCD": len(SEGMENTS)}


def test_a_column_of_ccds_goes_before_the_name(night):
    streaks = night[0].copy()
    streaks["ccd"] = [5] * 3 + [6] * 5
    assert len(select_subjects(streaks, LabelConfig(ccds=(5,)))[0]) == 3


def test_a_limit_keeps_the_highest_scores_in_their_order(night):
    streaks = night[0]
    rows, left_out = select_subjects(streaks, LabelConfig(limit=3))
    assert list(rows) == sorted(np.argsort(-np.asarray(streaks["score"]))[:3])
    assert left_out == {"beyond the limit": len(streaks) - 3}


def test_cutouts_may_come_frame_by_frame(night, tmp_path):
    streaks, cutouts = night
    pieces = (cutouts.select(np.array([i])) for i in reversed(range(len(cutouts))))
    summary = export((streaks, pieces), tmp_path / "set")
    assert summary.n_subjects == len(streaks)
    assert [row["#streak_id"] for row in manifest(tmp_path / "set")] == list(streaks["streak_id"])


def test_a_streak_without_cutout_is_counted(night, tmp_path):
    streaks, cutouts = night
    summary = export((streaks, cutouts.select(slice(0, 5))), tmp_path / "set")
    assert (summary.n_subjects, summary.left_out) == (5, {"no cutout": 3})


def test_bad_and_negative_pixels_are_counted_in_the_middle_five_by_five():
    difference = np.ones((128, 128))
    mask = np.zeros((128, 128), bool)
    difference[62:64, 62:67] = -3.0  # ten of the 25 about pixel 64
    difference[0:10] = -3.0
    mask[62, 62] = True
    difference[66, 66] = np.nan
    assert centre_counts(difference, mask) == (9, 2)


def test_the_set_holds_the_question_with_every_class(night, tmp_path):
    export(night, tmp_path / "set")
    question = json.loads((tmp_path / "set" / "question.json").read_text())
    assert question["question"] == "What kind of streak do you see?"
    assert [answer["label"] for answer in question["answers"]] == [*CLASSES, UNRESOLVED, SKIP]
    words = (tmp_path / "set" / "project_builder.md").read_text()
    assert all(answer["text"] in words for answer in question["answers"])
    assert "Step 6" in (tmp_path / "set" / "tutorial.md").read_text()


def test_a_picture_over_a_megabyte_is_drawn_smaller(tmp_path):
    asked = []

    def draw(cutouts: Cutouts, panel_px: int, ends: Segment | None) -> dict[str, bytes]:
        asked.append(panel_px)
        return {"filename": b"x" * (panel_px**2 * 10)}

    streaks = made_streaks(SEGMENTS[:1])
    export_subjects(streaks, blank(1, ("made_frame-0001",)), tmp_path / "set", draw=draw)
    assert asked == [384, 192]


def test_a_picture_that_never_fits_is_an_error_and_leaves_nothing(tmp_path):
    streaks = made_streaks(SEGMENTS[:1])
    with pytest.raises(InputError, match="made_frame-0001 cannot be drawn within 1000 kB"):
        export_subjects(
            streaks,
            blank(1, ("made_frame-0001",)),
            tmp_path / "set",
            draw=pictures_of(b"x" * 2_000_000),
        )
    assert not list(tmp_path.iterdir())


def test_an_existing_set_is_kept(night, tmp_path):
    export(night, tmp_path / "set")
    before = (tmp_path / "set" / "manifest.csv").read_bytes()
    with pytest.raises(InputError, match="holds a subject set; give a new folder, or --overwrite"):
        export(night, tmp_path / "set", LabelConfig(limit=2))
    assert (tmp_path / "set" / "manifest.csv").read_bytes() == before


def test_overwriting_replaces_the_whole_set(night, tmp_path):
    export(night, tmp_path / "set")
    export(night, tmp_path / "set", LabelConfig(limit=2), overwrite=True)
    assert len(list((tmp_path / "set").glob("*.png"))) == 2
    assert os.listdir(tmp_path) == ["set"]


def test_a_folder_that_is_no_set_is_never_replaced(night, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something that is no subject set"):
        export(night, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_the_way_is_named(night, tmp_path):
    (tmp_path / "set").write_text("in the way")
    with pytest.raises(InputError, match="is a file; give a folder"):
        export(night, tmp_path / "set")


def test_an_empty_night_has_no_subjects(tmp_path):
    with pytest.raises(InputError, match="the night has no streaks"):
        export((empty_streaks(), blank(0, ())), tmp_path / "set")


def test_a_selection_of_nothing_says_why(night, tmp_path):
    with pytest.raises(InputError, match=r"none of 8 streaks is left to export \(8 another class"):
        export(night, tmp_path / "set", LabelConfig(labels=("skip",)))


def test_cutouts_of_another_night_are_an_error(night, tmp_path):
    with pytest.raises(InputError, match="none of the 8 selected streaks has a cutout"):
        export((night[0], blank(1, ("other",))), tmp_path / "set")


def test_an_unknown_class_is_named_with_those_there_are(night):
    with pytest.raises(ConfigError, match="no class comet; there are asteroid, satellite"):
        select_subjects(night[0], LabelConfig(labels=("comet",)))


def test_unclassified_streaks_cannot_be_chosen_by_class_or_rb(night):
    bare = night[0][["streak_id", "image"]]
    with pytest.raises(TableError, match="have no label: they were not classified"):
        select_subjects(bare, LabelConfig(labels=("ghost",)))
    with pytest.raises(TableError, match="have no rb: they were not classified"):
        select_subjects(bare, LabelConfig(min_rb=0.5))


def test_images_without_ccd_cannot_be_chosen_by_ccd(night):
    with pytest.raises(TableError, match="image names such as made_frame hold no CCD"):
        select_subjects(night[0], LabelConfig(ccds=(3,)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_rb": 0.9, "max_rb": 0.1}, "rb range is 0.9 to 0.1"),
        ({"panel_px": 20}, "panel_px is 20; it must be 128 to 1024"),
        ({"limit": -1}, "limit is -1; it must be 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LabelConfig(**settings)
