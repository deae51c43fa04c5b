"""Volunteers' answers back: exports read, votes pooled, nobody named."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from astropy.table import Table

from streaks.cli import main
from streaks.errors import InputError, ReadError, TableError
from streaks.labelling import consensus_labels, pool_votes, pooled_labels, read_answers
from streaks.tables import CLASSES, SKIP
from tests.frame_files import real_data, shared_case

OUTPUTS = (*CLASSES, SKIP)
COLUMNS = (
    *("classification_id", "user_name", "user_id", "user_ip", "workflow_id", "workflow_name"),
    *("workflow_version", "created_at", "gold_standard", "expert", "metadata", "annotations"),
    *("subject_data", "subject_ids"),
)
WORDS = {
    "asteroid": "Asteroid (short streak)",
    "satellite": "Satellite (long streak, could be partially masked)",
    "yin_yang": "Yin-Yang (multiple badly subtracted stars)",
    "skip": 'Skip (includes "not sure" and seemingly blank images)',
}


def _row(user, subject, label, **about):
    about = {"filename": f"{subject}.png", "#streak_id": f"streak-{subject}"} | about
    return {
        "user_name": user,
        "user_ip": "0123abcd",
        "workflow_id": "7",
        "annotations": json.dumps([{"task": "T0", "value": WORDS.get(label, label)}]),
        "subject_data": json.dumps({str(subject): about}),
        "subject_ids": str(subject),
    }


@pytest.fixture
def export(tmp_path):
    def write(rows):
        path = tmp_path / "export.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def _simulated(n_subjects, n_votes, seed, right=0.65):
    """Volunteers of unequal skill (as MEERCRAB's are) who confuse each class their own way."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(8, n_subjects, p=[0.02, 0.05, 0.4, 0.1, 0.03, 0.1, 0.18, 0.12])
    tables = []
    for skill in np.clip(rng.normal(right, 0.2, 40), 0.2, 0.98):
        wrong = rng.dirichlet(np.full(8, 0.3), 8)
        tables.append(skill * np.eye(8) + (1 - skill) * wrong)
    subject = np.repeat(np.arange(n_subjects), n_votes)
    volunteer = np.concatenate([rng.choice(40, n_votes, replace=False) for _ in range(n_subjects)])
    answer = np.array(
        [rng.choice(8, p=tables[v][truth[s]]) for s, v in zip(subject, volunteer, strict=True)]
    )
    return truth, subject, volunteer, answer


def _majority(subject, answer, n):
    votes = np.zeros((n, 8))
    np.add.at(votes, (subject, answer), 1)
    return votes.argmax(axis=1)


@pytest.mark.parametrize("n_votes", [3, 5, 9])
def test_pooled_votes_are_right_more_often_than_the_majority(n_votes):
    truth, subject, volunteer, answer = _simulated(800, n_votes, seed=n_votes)
    p = pool_votes(subject, volunteer, answer, n_subjects=800, n_classes=8)
    pooled = np.mean(p.argmax(axis=1) == truth)
    assert pooled > np.mean(_majority(subject, answer, 800) == truth) + 0.01


def test_known_subjects_stay_as_they_are_and_teach_who_errs():
    truth, subject, volunteer, answer = _simulated(600, 3, seed=1, right=0.45)
    gold = {i: int(truth[i]) for i in range(200)}
    blind = pool_votes(subject, volunteer, answer, n_subjects=600, n_classes=8)
    taught = pool_votes(subject, volunteer, answer, n_subjects=600, n_classes=8, gold=gold)
    assert (taught[:200].argmax(axis=1) == truth[:200]).all()
    rest = slice(200, None)
    assert np.mean(taught[rest].argmax(axis=1) == truth[rest]) > np.mean(
        blind[rest].argmax(axis=1) == truth[rest]
    )


def test_probabilities_sum_to_one_also_without_votes():
    p = pool_votes(np.array([0]), np.array([0]), np.array([3]), n_subjects=3, n_classes=8)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert p[0].argmax() == 3


def test_no_votes_at_all_are_refused():
    none = np.zeros(0, dtype=int)
    with pytest.raises(InputError, match="no answers to pool; give an export with answers"):
        pool_votes(none, none, none, n_subjects=2, n_classes=8)


def test_answers_become_labels_under_the_names_of_the_manifest(export):
    rows = [_row(user, 11, "asteroid") for user in "abc"]
    rows += [_row(user, 12, "yin_yang") for user in "abc"]
    table = pooled_labels(read_answers(export(rows)))
    assert table["name"].tolist() == ["streak-11", "streak-12"]
    assert table["label"].tolist() == ["asteroid", "yin_yang"]
    assert table["n_votes"].tolist() == [3, 3]
    assert table["agreement"].tolist() == [1.0, 1.0]
    assert (table["p_asteroid"][0], table["p_yin_yang"][1]) > (0.9, 0.9)


def test_a_volunteer_counts_once_a_subject(export):
    rows = [_row("a", 11, "asteroid"), _row("a", 11, "satellite"), _row("a", 11, "satellite")]
    answers = read_answers(export(rows))
    assert [OUTPUTS[k] for k in answers.answer] == ["asteroid"]


def test_several_answers_to_one_subject_share_one_vote(export):
    row = _row("a", 11, "asteroid")
    row["annotations"] = json.dumps([{"value": [WORDS["asteroid"], WORDS["satellite"]]}])
    np.testing.assert_allclose(read_answers(export([row])).weight, [0.5, 0.5])


def test_subjects_of_few_answers_are_left_out_but_for_known_ones(export):
    rows = [_row("a", 11, "asteroid"), _row("a", 12, "skip", **{"#feedback_1_answer": "7"})]
    table = pooled_labels(read_answers(export(rows)), min_votes=2)
    assert table["name"].tolist() == ["streak-12"]
    assert table["label"].tolist() == ["skip"]


def test_an_unsure_subject_has_no_label(export):
    rows = [_row("a", 11, "asteroid"), _row("b", 11, "satellite")]
    table = pooled_labels(read_answers(export(rows)), min_votes=1, min_probability=0.9)
    assert table["label"].tolist() == [""]


def test_other_texts_are_counted_not_guessed(export):
    rows = [_row("a", 11, "asteroid"), _row("b", 11, "A pony")]
    answers = read_answers(export(rows))
    assert answers.not_understood == {"A pony": 1}
    assert len(answers.answer) == 1


def test_only_the_workflow_asked_for_is_read(export):
    rows = [_row("a", 11, "asteroid"), _row("b", 12, "skip") | {"workflow_id": "8"}]
    assert read_answers(export(rows), workflow=8).names == ("streak-12",)


def test_a_file_that_is_no_export_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="has no column user_name, annotations"):
        read_answers(path)


def test_a_broken_line_is_named(export):
    row = _row("a", 11, "asteroid") | {"annotations": "[{"}
    with pytest.raises(ReadError, match=r"row 2: annotations is not JSON.*export it again"):
        read_answers(export([row]))


def test_a_missing_export_is_named(tmp_path):
    with pytest.raises(ReadError, match=r"none\.csv does not exist"):
        read_answers(tmp_path / "none.csv")


def test_import_writes_labels_and_names_nobody(export, tmp_path, capsys):
    people = ("Ada-Lovelace", "not-logged-in-77aa", "Grace")
    path = export([_row(user, 11, "satellite") for user in people])
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "labels.csv")]) == 0
    written = (tmp_path / "labels.csv").read_text() + capsys.readouterr().out
    assert "satellite" in written
    assert not any(word in written for word in (*people, "0123abcd"))
    assert Table.read(tmp_path / "labels.csv")["name"][0] == "streak-11"


def test_import_says_which_answers_it_did_not_understand(export, tmp_path, capsys):
    path = export([_row(user, 11, "satellite") for user in "abc"] + [_row("d", 11, "A pony")])
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "labels.csv")]) == 1
    assert "not an answer of the question: 'A pony' (1 times)" in capsys.readouterr().err


def test_a_real_export_of_another_question_is_refused_with_what_it_says(tmp_path, capsys):
    path = real_data("labels", "zoo_cls_export_anonymised.csv")
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "labels.csv")]) == 2
    said = capsys.readouterr().err
    assert "'No' (6 times)" in said
    assert "holds no answer to the question" in said
    assert "volunteer-001" not in said


def _answered(user, *tasks):
    return _row(user, 11, "asteroid") | {"annotations": json.dumps(tasks)}


KINDS = {
    "a question": {"task": "T0", "value": WORDS["satellite"]},
    "several answers": {"task": "T0", "value": [WORDS["satellite"]]},
    "a combination": {
        "task": "T0",
        "value": [{"task": "T1", "value": WORDS["satellite"]}, {"task": "T2", "value": "ok"}],
    },
    "a combination in a combination": {
        "task": "T0",
        "value": [{"task": "T1", "value": [{"task": "T3", "value": WORDS["satellite"]}]}],
    },
    "a drop-down list": {
        "task": "T0",
        "value": [{"select_label": "Kind", "option": True, "value": "9f2", "label": "Satellite"}],
    },
    "a drop-down list without labels": {
        "task": "T0", "value": [{"option": True, "value": "Satellite"}],
    },
    "a survey": {
        "task": "T0",
        "value": [{"choice": "SATELLITELONGSTREAKCOULDBEPARTIALLYMASKED", "answers": {"HOW": "1"}}],
    },
    "an answer by number": {"task": "T0", "taskType": "single", "value": 1},
    "answers by number": {"task": "T0", "taskType": "multiple", "value": [1]},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_found_in_tasks_of_every_kind(export, kind):
    answers = read_answers(export([_answered(user, KINDS[kind]) for user in "abc"]))
    assert [OUTPUTS[k] for k in answers.answer] == ["satellite"] * 3
    assert answers.not_understood == {}


@pytest.mark.parametrize(
    "remark",
    [
        {"task": "T2", "value": "ghost"},
        {"task": "T2", "taskType": "text", "value": WORDS["yin_yang"]},
        {"task": "T2", "value": [{"tool": 0, "tool_label": "ghost", "x": 3.5, "y": 4}]},
    ],
)
def test_a_typed_remark_or_a_drawing_is_no_vote(export, remark):
    first = {"task": "T0", "value": WORDS["asteroid"]}
    answers = read_answers(export([_answered(user, first, remark) for user in "abc"]))
    assert [OUTPUTS[k] for k in answers.answer] == ["asteroid"] * 3
    assert answers.weight.tolist() == [1.0, 1.0, 1.0]


def test_the_task_that_asks_the_question_is_told_by_its_words(export):
    """Though the other one is answered with the names of classes too."""
    label = "**What kind of streak do you see?** Choose one."
    tasks = (
        {"task": "T1", "task_label": "What did your friend say?", "value": "Ghost"},
        {"task": "T5", "task_label": label, "value": "Satellite"},
    )
    answers = read_answers(export([_answered(user, *tasks) for user in "abc"]))
    assert [OUTPUTS[k] for k in answers.answer] == ["satellite"] * 3
    assert answers.other_tasks == {"T1": 3}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0, "the number 0"),
        (0.75, "the number 0.75"),
        ({"selections": [1]}, "a value without a text"),
        ([{"tool": 0, "tool_label": "line", "x1": 1.0}], "a drawing"),
    ],
)
def test_an_answer_without_a_text_is_counted_and_named(export, value, name):
    good = {"task": "T0", "value": WORDS["asteroid"]}
    rows = [_answered("a", good), _answered("b", good), _answered("c", good | {"value": value})]
    answers = read_answers(export(rows))
    assert len(answers.answer) == 2
    assert answers.not_understood == {name: 1}


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_answers_of_one_volunteer_the_earliest_counts_in_any_order(export, turn):
    first = _row("a", 11, "asteroid") | {"created_at": "2024-03-01 10:00:00 UTC"}
    again = _row("a", 11, "skip") | {"created_at": "2024-03-02 10:00:00 UTC"}
    answers = read_answers(export([first, again][::turn]))
    assert [answers.outputs[k] for k in answers.answer] == ["asteroid"]
    assert answers.n_repeated == 1


def test_answers_that_are_left_out_as_repeated_or_nameless_are_told(export, tmp_path, capsys):
    named = [_row(user, 11, "asteroid") for user in "aabc"]
    nameless = [_row("", 11, "asteroid") | {"user_ip": ""} for _ in range(3)]
    path = export([*named, *nameless])
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "l.csv")]) == 0
    told = capsys.readouterr()
    assert "3 answers are left out: their volunteer had answered that subject before" in told.out
    assert "3 rows have neither user_name nor user_ip: they count as one" in told.err


@pytest.mark.parametrize("odd", ["9999-12-31 23:59:59 UTC", "0001-01-01 00:00:00 UTC",
                                 "1970-01-01 00:00:00 UTC", "2024-02-30 10:00:00 UTC"])  # fmt: skip
def test_the_time_of_a_clock_gone_wrong_is_unknown(export, odd):
    rows = [_row(user, 11, "asteroid") | {"created_at": "2024-03-01 10:00:00 UTC"} for user in "ab"]
    answers = read_answers(export([*rows, _row("c", 11, "asteroid") | {"created_at": odd}]))
    assert np.isfinite(answers.time_s).tolist() == [True, True, False]


BAD = ("", "null", "5", "[{", "[" * 5000, "9" * 5000)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_row_is_counted_and_the_rest_is_read(export, bad):
    rows = [_row(user, 11, "asteroid") for user in "abcd"]
    rows[1]["annotations"] = bad
    answers = read_answers(export(rows))
    assert len(answers.answer) == 3
    assert list(answers.bad_rows) == [3]
    assert "annotations" in answers.bad_rows[3]


@pytest.mark.parametrize(
    ("column", "bad"), [("subject_data", ""), ("subject_ids", ""), ("subject_data", "[[")]
)
def test_a_row_of_no_subject_is_counted(export, column, bad):
    rows = [_row(user, 11, "asteroid") for user in "abcd"]
    rows[1][column] = bad
    assert list(read_answers(export(rows)).bad_rows) == [3]


def test_import_names_the_bad_row_and_writes_the_rest(export, tmp_path, capsys):
    rows = [_row(user, 11, "asteroid") for user in "abcd"]
    rows[1]["annotations"] = ""
    path = export(rows)
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "l.csv")]) == 1
    assert "export.csv, row 3 is left out: annotations is not JSON" in capsys.readouterr().err
    assert Table.read(tmp_path / "l.csv")["n_votes"][0] == 3


@pytest.mark.parametrize("truth", ["²", "٣", "99", "[]", "-1", "1.5"])
def test_a_truth_that_is_no_answer_is_none(export, truth):
    answers = read_answers(export([_row("a", 11, "asteroid", **{"#feedback_1_answer": truth})]))
    assert answers.gold == {}


def test_pictures_and_their_classes_in_json_are_labels(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(
        json.dumps(
            {
                "a.jpg": ["Satellite flashes"],
                "b.jpg": ["Dementors and ghosts", "Masked bright star"],
                "c.jpg": ["Plausible Asteroid (short streak)"],
                "d.jpg": ["A pony"],
            }
        )
    )
    table, unknown = consensus_labels(path)
    assert dict(zip(table["name"], table["label"], strict=True)) == {
        "a.jpg": "satellite", "b.jpg": "", "c.jpg": "asteroid",
    }  # fmt: skip
    assert table["p_ghost"].tolist() == [0.0, 0.5, 0.0]
    assert unknown == {"A pony": 1}


@pytest.mark.parametrize("text", ["[1, 2]", "{}", '{"a": 5}', "{", "[" * 100, "null"])
def test_json_of_another_kind_is_named(tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"labels\.json"):
        consensus_labels(path)


def test_the_real_answers_of_astreaks_import(tmp_path):
    """FIELD: 0.2 % asteroids, 53 % masked stars of 2287; eleven carry two classes."""
    path = real_data("labels", "zooniverse.20180824_010749.json")
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "l.csv")]) == 0
    labels = [str(label) for label in Table.read(tmp_path / "l.csv")["label"].filled("")]
    assert len(labels) == 2287
    assert labels.count("asteroid") == 4
    assert labels.count("") == 11
    assert labels.count("masked_star") == pytest.approx(0.53 * 2287, abs=12)


@pytest.mark.parametrize("name", ["combo", "one_blank_cell", "typed_remark"])
def test_shared_exports_give_the_answer(tmp_path, name):
    path = shared_case(f"votes/{name}.csv")
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "l.csv")]) in (0, 1)
    assert Table.read(tmp_path / "l.csv")["label"].tolist() == ["asteroid"]


@pytest.mark.parametrize("name", ["zoo_annnull", "zoo_annnum", "zoo_gold"])
def test_shared_damaged_exports_are_named(tmp_path, capsys, name):
    path = shared_case(f"zooniverse-export/{name}.csv")
    assert main(["labels", "import", str(path), "-o", str(tmp_path / "l.csv")]) == 2
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert "holds no answer to the question" in said
