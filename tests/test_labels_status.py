"""A campaign's page: its figures, and that it names nobody."""

from __future__ import annotations

import json
import stat

import pytest

from streaks.cli import main
from streaks.errors import InputError
from streaks.labelling import ConsensusRules, campaign_status, read_answers
from tests.campaigns import simulated_rows, vote, write_export

_made = pytest.importorskip("benchmarks.labels", reason="benchmarks are not beside")
NAMES = _made.NAMES
simulate = _made.simulate

SALT = b"0123456789abcdef"


@pytest.fixture
def export(tmp_path):
    return lambda rows: write_export(tmp_path / "export.csv", rows)


def _status(path, **rules):
    return campaign_status(read_answers(path, salt=SALT), ConsensusRules(**rules))


def test_votes_are_counted_by_day_with_empty_days_between(export):
    rows = [vote("a", 1, "ghost"), vote("b", 1, "ghost", day=0.5), vote("a", 2, "ghost", day=2.1)]
    days = _status(export(rows))["days"]
    assert [(day["date"], day["votes"], day["volunteers"]) for day in days] == [
        ("2026-03-01", 2, 2), ("2026-03-02", 0, 0), ("2026-03-03", 1, 1),
    ]  # fmt: skip


def test_an_export_without_times_has_no_days(export):
    row = vote("a", 1, "ghost") | {"created_at": "yesterday"}
    found = _status(export([row]))
    assert found["days"] == []
    assert found["retirement"]["votes_a_day"] is None


def test_progress_counts_what_is_done_and_what_is_missing(export):
    rows = [vote(f"p{i}", 1, "ghost", day=i / 10) for i in range(5)]
    rows += [vote(f"p{i}", 2, "ghost" if i % 2 else "skip", day=i / 10) for i in range(10)]
    rows += [vote(f"p{i}", 3, "ghost", day=i / 10) for i in range(4)]
    rows += [vote("p0", 4, "ghost", **{"#truth": "ghost"})]
    found = _status(export(rows))["retirement"]
    assert (found["asked"], found["gold"], found["agreed"]) == (3, 1, 1)
    assert (found["without_consensus"], found["going_on"]) == (1, 1)
    assert found["votes_left_at_most"] == 6
    assert found["share_retired"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["subjects_by_votes"] == [
        {"votes": 4, "subjects": 1}, {"votes": 5, "subjects": 1}, {"votes": 10, "subjects": 1},
    ]  # fmt: skip
    # 20 votes within a day.
    assert found["days_left_at_most"] == pytest.approx(6 / 20, abs=0.06)


def test_known_subjects_tell_how_right_votes_are(export):
    rows = [vote(f"p{i}", 1, "asteroid" if i < 3 else "satellite", **{"#truth": "asteroid"})
            for i in range(4)]  # fmt: skip
    gold = _status(export(rows))["gold"]
    assert (gold["votes"], gold["accuracy"]) == (4, 0.75)
    # Wilson's interval of 3 in 4.
    assert gold["interval"] == pytest.approx([0.3006, 0.9544], abs=1e-3)
    assert gold["confusion"][0]["said"][:2] == [3, 1]


def test_agreement_is_fleiss_and_cohens(export):
    """Two people, who part on 2 of 12: worked by hand, 10/12 seen, 1/2 by chance."""
    rows = []
    for i in range(12):
        one = "ghost" if i < 6 else "skip"
        other = {0: "skip", 11: "ghost"}.get(i, one)
        rows += [vote("a", i, one), vote("b", i, other)]
    found = _status(export(rows))["agreement"]
    assert found["pairs"][0]["kappa"] == pytest.approx((10 / 12 - 0.5) / 0.5, abs=1e-3)
    assert found["fleiss"] == pytest.approx(2 / 3, abs=1e-3)


def test_who_finds_what(export):
    rows = [
        vote(user, 1, "asteroid", day=day) for user, day in (("late", 2), ("first", 1), ("c", 3))
    ]
    rows += [vote("first", 2, "asteroid"), vote("b", 2, "ghost"), vote("c", 2, "ghost")]
    rows += [vote("d", 2, "ghost")]
    answers = read_answers(export(rows), salt=SALT)
    found = {one["volunteer"]: one for one in campaign_status(answers)["people"]}
    first = max(found.values(), key=lambda one: one["first_to_find"])
    assert (first["votes"], first["said_rare"], first["found_rare"]) == (2, 2, 1)
    assert sum(one["first_to_find"] for one in found.values()) == 1


def test_hashes_follow_the_salt_only(export):
    path = export([vote("Ada-Lovelace", 1, "ghost")])
    one, same = (read_answers(path, salt=SALT).hashes for _ in range(2))
    assert one == same
    assert one != read_answers(path, salt=SALT[::-1]).hashes
    assert read_answers(path).hashes == ()
    with pytest.raises(InputError, match="read the answers with a salt"):
        campaign_status(read_answers(path))


def test_the_page_and_its_json_name_nobody(export, tmp_path, capsys):
    path = export(simulated_rows(simulate(200, 5, seed=903), NAMES))
    page = tmp_path / "campaign.html"
    assert main(["labels", "status", str(path), "-o", str(page), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    text = page.read_text()
    assert said["votes"] == 1000
    assert said["people"][0]["volunteer"] in text
    for written in (text, json.dumps(said)):
        assert "person-" not in written
        assert "0123abcd" not in written


def test_hostile_text_stays_text(export, tmp_path):
    evil = "<script>alert(1)</script>"
    path = export([vote("a", 1, "ghost"), vote("b", 1, evil)])
    page = tmp_path / "c.html"
    assert main(["labels", "status", str(path), "-o", str(page), "-q"]) == 1
    assert evil not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()
    assert "default-src 'none'" in page.read_text()


def test_a_salt_is_made_once_kept_and_private(export, tmp_path, capsys):
    path, salt = export([vote("a", 1, "ghost")]), tmp_path / "salt"
    command = ["labels", "status", str(path), "--json", "--salt-file", str(salt)]
    found = []
    for _ in range(2):
        assert main(command) == 0
        found.append(json.loads(capsys.readouterr().out)["people"][0]["volunteer"])
    assert found[0] == found[1]
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600


def test_a_foreign_file_is_no_salt(export, tmp_path, capsys):
    path, salt = export([vote("a", 1, "ghost")]), tmp_path / "notes.txt"
    salt.write_text("my notes")
    assert main(["labels", "status", str(path), "--json", "--salt-file", str(salt)]) == 2
    assert "is no salt of ours" in capsys.readouterr().err
    assert salt.read_text() == "my notes"


def test_status_needs_a_page_or_json(export, capsys):
    path = export([vote("a", 1, "ghost")])
    assert main(["labels", "status", str(path)]) == 2
    assert "-o campaign.html" in capsys.readouterr().err
    assert main(["labels", "status", str(path), "-o", "page.pdf"]) == 2
    assert "not .html" in capsys.readouterr().err


def test_real_or_bogus_has_a_page_too(export, tmp_path):
    path = export([vote(f"p{i}", 1, "real") for i in range(5)])
    page = tmp_path / "c.html"
    assert main(["labels", "status", str(path), "-o", str(page), "-q"]) == 0
    assert "Real or bogus" in page.read_text()
