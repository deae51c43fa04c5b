"""Uploading a set of subjects: each exactly once, whatever fails."""

from __future__ import annotations

import csv
import functools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaks.cli import main
from streaks.config import LabelConfig
from streaks.cutouts import Cutouts
from streaks.errors import AccessError, ConfigError, InputError, LedgerError, ReadError, TableError
from streaks.labelling import Material, export_set
from streaks.labelling.field_guide import KnownSubjects
from streaks.labelling.upload import upload_set
from streaks.labelling.upload_ledger import standing_of_upload
from streaks.labelling.upload_set import read_set
from streaks.labelling.zooniverse import Patience, connect, read_credentials
from streaks.plotting import subject_pictures
from tests.panoptes_standin import PASSWORD, PROJECT, USERNAME, Standin, running_standin

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

QUICK = Patience(tries=12, pause_s=0.01, settle_s=0.05)
pytest.importorskip("panoptes_client", reason="needs the extra zooniverse")


def make_set(folder: Path, n: int = 12, *, layout: str = "strip", gold: float = 0.0) -> Path:
    """An exported set of n small subjects (and gold)."""
    rng = np.random.default_rng(1)
    images = rng.normal(0, 1, (3, n, 16, 16)).astype(np.float32)
    names = tuple(f"streak-{i}" for i in range(n))
    stack = Cutouts(images[0], np.zeros(images[0].shape, bool), names, images[1], images[2])
    columns = {
        "streak_id": np.array(names),
        "image": np.array([f"image-{i}" for i in range(n)]),
        "x": np.full(n, 100.0),
        "y": np.full(n, 100.0),
    }

    def read(rows: Any) -> Iterator[tuple[int, Cutouts]]:
        for row in rows:
            yield int(row), stack.select(np.array([row]))

    def known(k: int, size_px: int, seed: int) -> KnownSubjects:
        rng = np.random.default_rng(seed)
        made = [rng.normal(0, 1, (k, size_px, size_px)).astype(np.float32) for _ in range(3)]
        cutouts = Cutouts(
            made[0], np.zeros(made[0].shape, bool), tuple(map(str, range(k))), made[1], made[2]
        )
        return KnownSubjects(cutouts, ["ghost"] * k, [None] * k)

    export_set(
        Material(columns, read),
        folder,
        LabelConfig(panel_px=128, layout=layout, gold=gold),
        draw=functools.partial(subject_pictures, layout=layout),
        make_known=known,
    )
    return folder


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("PANOPTES_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PANOPTES_USERNAME", USERNAME)
    monkeypatch.setenv("PANOPTES_PASSWORD", PASSWORD)


def upload(standin: Standin, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    monkeypatch.setenv("PANOPTES_ENDPOINT", standin.address)
    service = connect(read_credentials(), QUICK)
    return upload_set(read_set(folder), service, project=PROJECT, **options)


def assert_each_once(standin: Standin, folder: Path) -> None:
    """Each subject of the set is a member of its subject set once, with its own pictures."""
    (members,) = standin.members.values()
    assert len(members) == len(set(members))
    by_key = {standin.subjects[one]["metadata"]["#streaks_key"]: one for one in members}
    whole = read_set(folder)
    assert sorted(by_key) == sorted(whole.keys)
    assert len(by_key) == len(members)
    for key, files in zip(whole.keys, whole.pictures, strict=True):
        sent = [(folder / name).read_bytes() for name in files]
        assert standin.pictures_of(by_key[key]) == sent


def test_a_set_goes_up_in_batches_and_each_batch_is_added_at_once(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set")
    with running_standin(Standin()) as standin:
        done = upload(standin, folder, monkeypatch, batch=5, name="first night")
        assert (done.n_subjects, done.n_new, done.n_found, done.surplus) == (12, 12, 0, ())
        assert standin.links == [5, 5, 2]
        assert [one["display_name"] for one in standin.sets.values()] == ["first night"]
        assert_each_once(standin, folder)


def test_a_second_run_creates_nothing(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set")
    with running_standin(Standin()) as standin:
        upload(standin, folder, monkeypatch)
        posted = standin.asked["POST subjects"]
        again = upload(standin, folder, monkeypatch)
        assert (again.n_subjects, again.n_new) == (12, 0)
        assert standin.asked["POST subjects"] == posted


def test_frames_are_pictures_of_one_subject(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 4, layout="frames")
    with running_standin(Standin()) as standin:
        upload(standin, folder, monkeypatch)
        assert {len(one["locations"]) for one in standin.subjects.values()} == {3}
        assert_each_once(standin, folder)


def test_only_training_subjects_carry_feedback(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 8, gold=0.2)
    with running_standin(Standin()) as standin:
        upload(standin, folder, monkeypatch)
        about = [one["metadata"] for one in standin.subjects.values()]
    training = [one for one in about if "#training_subject" in one]
    assert (len(about), len(training)) == (10, 2)
    assert {one["#feedback_1_answer"] for one in training} == {"3"}  # ghost, counted from 0
    assert {one["#feedback_1_id"] for one in training} == {"1"}
    assert not any("#feedback_1_id" in one for one in about if one not in training)


FAILING = {"undone_504": 0.08, "done_504": 0.08, "dropped": 0.08, "forgotten": 0.08}


@pytest.mark.parametrize("sorts", [True, False])
def test_lost_answers_make_no_second_subject(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch, sorts: bool
) -> None:
    folder = make_set(tmp_path / "set", 40)
    failing = Standin(**FAILING, bad_pictures=0.1, expired=0.1, sorts=sorts, seed=3)
    with running_standin(failing) as standin:
        done = upload(standin, folder, monkeypatch, batch=10)
        assert standin.failures["forgotten"] > 0
        assert standin.failures["done_504"] > 0
        assert done.n_found > 0
        assert set(standin.keys().values()) == {1}
        assert_each_once(standin, folder)


def test_each_subject_arrives_once_over_five_kills(tmp_path: Path, credentials: None) -> None:
    folder = make_set(tmp_path / "set", 120)
    failing = Standin(**FAILING, bad_pictures=0.05, expired=0.05, slow_s=0.02, seed=5)
    with running_standin(failing) as standin:
        environment = {**os.environ, "PANOPTES_ENDPOINT": standin.address}
        command = [
            sys.executable, "-c", "from streaks.cli import main; main()", "labels", "upload",
            str(folder), "--project", str(PROJECT), "--batch", "25", "--settle", "0.2",
            "--pause", "0.02", "--tries", "40", "--json",
        ]  # fmt: skip
        rng = random.Random(7)
        kills = 0
        # Each kill falls after some more subjects were created, in the midst of others.
        while kills < 5:
            before = len(standin.subjects)
            run = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            wanted = before + rng.randint(8, 18)
            started = time.monotonic()
            while run.poll() is None and len(standin.subjects) < wanted:
                assert time.monotonic() - started < 120, "the upload does not go forward"
                time.sleep(0.005)
            assert run.poll() is None, (run.stderr and run.stderr.read(), len(standin.subjects))
            run.send_signal(signal.SIGKILL)
            run.communicate()
            kills += 1
        last = subprocess.run(command, env=environment, capture_output=True, timeout=240)
        assert last.returncode == 0, last.stderr
        told = json.loads(last.stdout)
        assert told["subjects"] == 120
        assert told["surplus"] == []
        assert set(standin.keys().values()) == {1}
        assert len(standin.subjects) == 120
        assert len(standin.sets) == 1
        assert_each_once(standin, folder)


def test_a_lost_ledger_is_made_again_from_the_project(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set")
    with running_standin(Standin()) as standin:
        upload(standin, folder, monkeypatch)
        for path in folder.glob("upload.sqlite*"):
            path.unlink()
        again = upload(standin, folder, monkeypatch)
        assert (again.n_new, again.n_found) == (0, 12)
        assert len(standin.sets) == 1
        assert_each_once(standin, folder)


def test_subjects_that_were_linked_late_are_not_linked_again(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set")
    with running_standin(Standin()) as standin:
        upload(standin, folder, monkeypatch)
        database = sqlite3.connect(folder / "upload.sqlite")
        # As a kill between the request and its entry leaves it, for five of the twelve.
        database.execute("UPDATE subjects SET state = 'stored' WHERE place < 5")
        database.commit()
        database.close()
        upload(standin, folder, monkeypatch)
        assert standin.links == [12]
        assert_each_once(standin, folder)


def test_a_subject_that_came_twice_all_the_same_is_named_and_in_no_set(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 3)
    with running_standin(Standin()) as standin:
        upload(standin, folder, monkeypatch)
        first = min(standin.subjects)
        late = standin.number()
        standin.subjects[late] = {**standin.subjects[first], "id": str(late)}
        again = upload(standin, folder, monkeypatch)
        assert again.surplus == (str(late),)
        assert_each_once(standin, folder)


def test_the_quota_is_said_first_and_kept_to(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set")
    told = []
    with running_standin(Standin(most_subjects=10)) as standin:
        with pytest.raises(InputError, match="12 subjects are to be created, and the account may"):
            upload(standin, folder, monkeypatch, say_quota=lambda q, n: told.append((q, n)))
        assert standin.subjects == {}
    assert (told[0][0].most, told[0][0].left, told[0][1]) == (10, 10, 12)


def test_wrong_credentials_are_an_error_that_does_not_tell_them(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOPTES_PASSWORD", "secret-but-wrong")
    folder = make_set(tmp_path / "set", 2)
    with (
        running_standin(Standin()) as standin,
        pytest.raises(AccessError, match="refuses the credentials") as raised,
    ):
        upload(standin, folder, monkeypatch)
    assert "secret-but-wrong" not in str(raised.value)


def test_credentials_are_written_nowhere(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 3)
    with running_standin(Standin()) as standin:
        upload(standin, folder, monkeypatch)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    assert PASSWORD not in repr(read_credentials())


def test_credentials_come_from_the_clients_own_file(
    credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PANOPTES_USERNAME")
    monkeypatch.delenv("PANOPTES_PASSWORD")
    with pytest.raises(AccessError, match="no credentials for Zooniverse: set PANOPTES_USERNAME"):
        read_credentials()
    config = tmp_path / "home" / ".panoptes" / "config.yml"
    config.parent.mkdir(parents=True)
    config.write_text("username: someone\npassword: something\nendpoint: http://here\n")
    found = read_credentials()
    assert (found.username, found.password, found.endpoint) == (
        "someone",
        "something",
        "http://here",
    )
    config.write_text("password: [secret")
    with pytest.raises(AccessError, match="cannot be read") as raised:
        read_credentials()
    assert "secret" not in str(raised.value)


def test_a_service_that_is_gone_is_an_error_and_nothing_is_lost(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set")
    with running_standin(Standin()) as standin:
        monkeypatch.setenv("PANOPTES_ENDPOINT", standin.address)
        service = connect(read_credentials(), Patience(3, 0.01, 0.01))
        standin.undone_504 = 1.0
        with pytest.raises(AccessError, match="3 times in a row; start it again later"):
            upload_set(read_set(folder), service, project=PROJECT)
        standin.undone_504 = 0.0
        upload(standin, folder, monkeypatch)
        assert_each_once(standin, folder)


def test_a_set_goes_to_one_project_and_one_subject_set(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 2)
    with running_standin(Standin()) as standin:
        done = upload(standin, folder, monkeypatch)
        service = connect(read_credentials(), QUICK)
        with pytest.raises(LedgerError, match="with project 77, not 78"):
            upload_set(read_set(folder), service, project=78)
        with pytest.raises(LedgerError, match=f"goes to subject set {done.subject_set}, not 9"):
            upload_set(read_set(folder), service, project=PROJECT, subject_set="9")


def test_a_subject_set_of_another_project_is_refused(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 2)
    with running_standin(Standin()) as standin:
        standin.sets[9] = {"id": "9", "links": {"project": "1"}}
        with pytest.raises(InputError, match="subject set 9 is of project 1, not 77"):
            upload(standin, folder, monkeypatch, subject_set="9")


def test_an_unknown_project_is_told_with_the_services_words(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 2)
    with running_standin(Standin()) as standin:
        monkeypatch.setenv("PANOPTES_ENDPOINT", standin.address)
        service = connect(read_credentials(), QUICK)
        with pytest.raises(InputError, match=r"Could not find project 5 \(status 404\)"):
            upload_set(read_set(folder), service, project=5)


def test_two_uploads_of_one_set_do_not_run_at_once(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    folder = make_set(tmp_path / "set", 2)
    with running_standin(Standin()) as standin, (folder / ".upload.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match=r"another upload of .* is at work"):
            upload(standin, folder, monkeypatch)


def test_a_foreign_database_is_not_written_to(
    tmp_path: Path, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_set(tmp_path / "set", 2)
    database = sqlite3.connect(folder / "upload.sqlite")
    database.execute("CREATE TABLE thesis (chapter TEXT)")
    database.commit()
    database.close()
    with (
        running_standin(Standin()) as standin,
        pytest.raises(LedgerError, match="is no ledger of an upload"),
    ):
        upload(standin, folder, monkeypatch)
    tables = sqlite3.connect(folder / "upload.sqlite").execute("SELECT name FROM sqlite_master")
    assert tables.fetchall() == [("thesis",)]


@pytest.mark.parametrize(
    ("options", "message"), [({"batch": 0}, "batch is 0"), ({"workers": 99}, "workers is 99")]
)
def test_options_out_of_range_are_refused(
    tmp_path: Path,
    credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, int],
    message: str,
) -> None:
    folder = make_set(tmp_path / "set", 2)
    with running_standin(Standin()) as standin, pytest.raises(ConfigError, match=message):
        upload(standin, folder, monkeypatch, **options)


def test_a_dry_run_needs_no_credentials_and_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_set(tmp_path / "set")
    monkeypatch.setenv("PANOPTES_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    before = sorted(os.listdir(folder))
    assert main(["labels", "upload", str(folder), "--dry-run", "--batch", "5"]) == 0
    told = capsys.readouterr().out
    assert "12 subjects with 12 pictures" in told
    assert "would create 12 subjects in 3 batches" in told
    assert "nothing was sent" in told
    assert sorted(os.listdir(folder)) == before


def test_the_command_wants_a_project(
    tmp_path: Path, credentials: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_set(tmp_path / "set", 2)
    assert main(["labels", "upload", str(folder)]) == 2
    assert "--project is missing" in capsys.readouterr().err


def test_the_command_says_quota_and_result(
    tmp_path: Path,
    credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_set(tmp_path / "set", 3)
    with running_standin(Standin(most_subjects=10_000)) as standin:
        monkeypatch.setenv("PANOPTES_ENDPOINT", standin.address)
        assert main(["labels", "upload", str(folder), "--project", str(PROJECT)]) == 0
        told = capsys.readouterr().out
        assert "quota: 0 of 10000 used, 3 to be created now" in told
        assert f"3 subjects are in subject set {next(iter(standin.sets))}, each once" in told
        assert standing_of_upload(folder) == {"linked": 3}
        assert main(["labels", "upload", str(folder), "--dry-run"]) == 0
        assert "3 are up already" in capsys.readouterr().out


def change_manifest(folder: Path, change: Any) -> None:
    with (folder / "manifest.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    change(lines)
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(lines)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a\\b.png", ".hidden.png", ".."])
def test_names_in_a_manifest_never_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = make_set(tmp_path / "set", 2)
    (tmp_path / "secret.png").write_bytes(b"secret")
    change_manifest(folder, lambda lines: lines[0].update(filename=name))
    with pytest.raises(TableError, match="is no file of the set's own folder"):
        read_set(folder)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", 2)
    (tmp_path / "secret.png").write_bytes(b"secret")
    name = read_set(folder).pictures[0][0]
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "secret.png")
    with pytest.raises(TableError, match="is not there"):
        read_set(folder)


def test_an_empty_cell_or_a_key_twice_is_named_by_its_line(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", 3)
    whole = (folder / "manifest.csv").read_bytes()
    change_manifest(folder, lambda lines: lines[1].update(rb=" "))
    with pytest.raises(TableError, match="line 3 has an empty cell"):
        read_set(folder)
    (folder / "manifest.csv").write_bytes(whole)
    change_manifest(
        folder, lambda lines: lines[2].update({"#streaks_key": lines[0]["#streaks_key"]})
    )
    with pytest.raises(TableError, match=r"line 4: the key .* is in line 2 too"):
        read_set(folder)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"filename,#streaks_key\n\xff\xfe,a\n", ReadError, "is no UTF-8"),
        (b"filename,#streaks_key\n" + b"x" * 10_100_000 + b",a\n", ReadError, "is no CSV"),
        (b"picture,key\na,b\n", TableError, "has no column filename, #streaks_key"),
        (b"filename,#streaks_key\n", TableError, "has no line"),
    ],
)
def test_a_manifest_that_is_none_is_an_error(
    tmp_path: Path, content: bytes, error: type[Exception], message: str
) -> None:
    folder = make_set(tmp_path / "set", 2)
    (folder / "manifest.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        read_set(folder)


def test_a_picture_that_is_too_large_is_named(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", 2)
    name = read_set(folder).pictures[1][0]
    (folder / name).write_bytes(b"x" * 1_000_001)
    with pytest.raises(TableError, match=f"line 3: {name} has 1000001 bytes"):
        read_set(folder)


def test_a_folder_that_is_no_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="is no subject set"):
        read_set(tmp_path)


def test_without_the_client_the_extra_is_named(
    credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "panoptes_client", None)
    with pytest.raises(ImportError, match="extra 'zooniverse'"):
        connect(read_credentials(), QUICK)
