"""The whole way of a campaign: pictures, volunteers, labels, training, and what it gained."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from astropy.table import Table

from streaks.cli import main
from streaks.errors import InputError
from streaks.models import save_model, train_forest
from streaks.models.gain import measure_gain
from tests.campaigns import simulated_rows, write_export
from tests.toy_cutouts import dipole, labelled_set, noise, trail

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

_made = pytest.importorskip("benchmarks.labels", reason="benchmarks are not beside")
NAMES = _made.NAMES
simulate = _made.simulate

NIGHTS = ("20260301", "20260302", "20260303", "20260304")


def _run(*words):
    return main([str(word) for word in words])


def _strange_sky(rng, label, size=128):
    """Out of focus: every trail is two lines, every dipole two rings; stripes over all.

    A classifier that learnt plain trails takes these asteroids for something else.
    """
    stripes = 2.0 * np.sin(np.arange(size) * 2 * np.pi / 4)[:, None]
    theta = rng.uniform(0, 180)
    image = noise(rng, size) + stripes
    normal = np.radians(theta + 90)
    for side in (-4.0, 4.0):
        middle = (size - 1) / 2 + side * np.array([np.cos(normal), np.sin(normal)])
        centre = tuple(middle)
        if label == "asteroid":
            length = rng.uniform(8, 16)
            image += trail(size, length=length, theta_deg=theta, peak=7.0, centre=centre)
        elif label == "satellite":
            image += trail(size, length=400, theta_deg=theta, peak=4.0, centre=centre)
    if label == "yin_yang":
        image += dipole(size, peak=9.0, separation=7.0)
    return image


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A forest that learnt plain toys."""
    folder = tmp_path_factory.mktemp("start") / "plain"
    cutouts, labels = labelled_set(40, seed=11)
    model = train_forest(cutouts, labels, seed=1, n_trees=30)
    save_model(model, folder, name="plain", recipe="toys", created="2026-03-01", limits=[])
    return folder


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Four nights of cutouts of a strange sky, and an export of volunteers' answers to them."""
    top = tmp_path_factory.mktemp("campaign")
    rng = np.random.default_rng(3)
    kinds = ("asteroid", "satellite", "yin_yang", "skip")
    names, truth = [], []
    for night in NIGHTS:
        images, own = [], []
        for frame in range(10):
            for label in kinds:
                images.append(_strange_sky(rng, label))
                own.append(f"ztf_{night}{frame:06d}_zr_c01_{len(own):04d}")
                truth.append(label)
        (top / night).mkdir()
        stack = np.array(images, np.float32)
        np.savez(
            top / night / "cutouts.npz",
            difference=stack,
            mask=np.zeros(stack.shape, bool),
            names=np.array(own),
        )
        names += own
    made = simulate(len(names), 5, seed=31, n_volunteers=40)
    index = np.array([NAMES.index(label) for label in truth])
    drawn = np.random.default_rng(32).random(len(made.subject))[:, None]
    table = made.tables[made.volunteer, index[made.subject]].cumsum(axis=1)
    answer = np.minimum((table < drawn).sum(axis=1), len(NAMES) - 1)
    told = type(made)(
        index, made.subject, made.volunteer, answer, made.tables,
        {row: int(index[row]) for row in made.gold},
    )  # fmt: skip
    export = write_export(top / "export.csv", simulated_rows(told, NAMES, streak_ids=names))
    Table({"name": names, "label": truth}).write(top / "truth.csv")
    return top, export, dict(zip(names, truth, strict=True))


@pytest.fixture(scope="module")
def labels(campaign):
    top, export, _ = campaign
    assert _run("labels", "import", export, "-o", top / "labels.csv", "-q") == 0
    return top / "labels.csv"


def test_pooled_labels_of_the_campaign_are_mostly_right(campaign, labels):
    truth = campaign[2]
    said = {str(row["name"]): str(row["label"]) for row in Table.read(labels)}
    assert np.mean([said[name] == label for name, label in truth.items()]) > 0.9


def test_a_forest_learns_from_volunteers_and_gains_on_another_night(
    campaign, labels, start, tmp_path, capsys
):
    """The gain is held against the truth, not against what volunteers said."""
    top = campaign[0]
    words = [word for night in NIGHTS[:3] for word in ("--cutouts", top / night)]
    words += ["--held-out", top / NIGHTS[3], "--held-out-labels", top / "truth.csv"]
    words += ["--labels", labels, "--start", start, "--n", 80, "--trees", 40]
    assert _run("train", "forest", *words, "-o", tmp_path / "mine") == 0
    card = json.loads((tmp_path / "mine" / "card.json").read_text())
    gain = card["training"]["gain"]
    assert gain["nights"] == [NIGHTS[3]]
    assert card["training"]["nights"] == list(NIGHTS[:3])
    assert (gain["n"], gain["n_groups"]) == (40, 10)
    assert gain["accuracy"]["low"] > 0.02
    assert gain["accuracy"]["after"] > 0.7
    said = capsys.readouterr().out
    assert re.search(r"accuracy: 0\.\d+ \(.*plain\), \d\.\d+ after; gain \+0\.\d+ \(\+0\.", said)


def test_a_fifth_of_the_nights_is_kept_back_by_itself(campaign, labels, start, tmp_path):
    words = ("--labels", labels, "--cutouts", campaign[0], "--start", start, "--n", 80)
    for name in ("one", "two"):
        code = _run("train", "forest", *words, "--trees", 10, "-o", tmp_path / name, "-q")
        assert code == 0
    cards = [json.loads((tmp_path / n / "card.json").read_text()) for n in ("one", "two")]
    held = cards[0]["training"]["gain"]["nights"]
    assert len(held) == 1
    assert sorted([*held, *cards[0]["training"]["nights"]]) == list(NIGHTS)
    assert cards[1]["training"]["gain"] == cards[0]["training"]["gain"]


def test_of_one_night_nothing_is_kept_back_and_that_is_said(
    campaign, labels, start, tmp_path, capsys
):
    words = ("--labels", labels, "--cutouts", campaign[0] / NIGHTS[0], "--start", start)
    assert _run("train", "forest", *words, "--n", 80, "-o", tmp_path / "m", "--trees", 10) == 0
    assert "Give another night with --held-out" in capsys.readouterr().out
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert "gain" not in card["training"]


def test_nothing_is_learnt_from_a_night_held_out(campaign, labels, start, tmp_path, capsys):
    """Given twice by mistake, it counts as held out."""
    top = campaign[0]
    words = ("--labels", labels, "--cutouts", top / NIGHTS[0], "--held-out", top / NIGHTS[0])
    assert _run("train", "forest", *words, "--start", start, "-o", tmp_path / "m") == 2
    assert "all labelled cutouts are of nights held out" in capsys.readouterr().err


@pytest.fixture
def no_drawing(monkeypatch):
    """Whoever draws a cutout fails."""

    def drawn(*_, **__):
        raise AssertionError("cutouts were drawn before all was checked")

    monkeypatch.setattr("streaks.cli.learning.read_campaign", drawn)
    monkeypatch.setattr("streaks.cli.training.read_campaign", drawn)
    monkeypatch.setattr("streaks.cli.training.training_set", drawn)
    monkeypatch.setattr("streaks.cli.training_stack.training_set", drawn)


WANTS = ("--cutouts", "x", "--n", 40)


@pytest.mark.parametrize("kind", ["cnn", "forest"])
@pytest.mark.parametrize("own", [True, False])
def test_missing_libraries_are_named_before_anything_is_drawn(
    kind, own, labels, tmp_path, capsys, monkeypatch, no_drawing
):
    gone = {"cnn": "tensorflow", "forest": "onnx"}[kind]
    found = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n == gone else found(n))
    words = ("--labels", labels, *WANTS) if own else ()
    assert _run("train", kind, *words, "-o", tmp_path / "m") == 2
    told = capsys.readouterr().err
    assert f"needs {gone}, which is not installed" in told
    assert "-m pip install" in told
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"name": ["a"], "label": ["pony"]}, "has labels pony; expected asteroid"),
        ({"name": ["a"], "label": [""]}, r"has labels \(none\)"),
        ({"name": ["a", "b"], "label": ["real", "bogus"]}, "--question kind"),
        ({"name": ["a"], "what": ["ghost"]}, "has no column label"),
    ],
)
def test_labels_are_checked_before_anything_is_drawn(rows, told, tmp_path, capsys, no_drawing):
    Table(rows).write(tmp_path / "l.csv")
    assert (
        _run("train", "forest", "--labels", tmp_path / "l.csv", *WANTS, "-o", tmp_path / "m") == 2
    )
    assert re.search(told, capsys.readouterr().err)


def test_free_space_is_checked_before_anything_is_drawn(
    labels, tmp_path, capsys, monkeypatch, no_drawing
):
    full = shutil.disk_usage(tmp_path)._replace(free=5_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    assert _run("train", "forest", "--labels", labels, *WANTS, "-o", tmp_path / "m") == 2
    assert "has 5 MB free; a model needs 200 MB" in capsys.readouterr().err


def test_a_folder_of_other_things_is_refused_before_anything_is_drawn(
    labels, tmp_path, capsys, no_drawing
):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.tex").write_text("all of it")
    assert _run("train", "forest", "--labels", labels, *WANTS, "-o", tmp_path / "m") == 2
    assert "holds other files" in capsys.readouterr().err
    assert (tmp_path / "m" / "thesis.tex").read_text() == "all of it"


def test_a_file_in_the_way_is_named(labels, tmp_path, capsys, no_drawing):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "m"
    assert _run("train", "forest", "--labels", labels, *WANTS, "-o", out) == 2
    assert "is a file; give another place" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--held-out", "x"), ("--labels", "t", "--cutouts", "x", "--held-out-labels", "t")]
)
def test_nights_held_out_need_labels(words, tmp_path, capsys):
    assert _run("train", "forest", *words, "-o", tmp_path / "m") == 2
    assert "--held-out needs --labels" in capsys.readouterr().err


def _answers(labels, sure=0.9):
    p = np.full((len(labels), 8), (1 - sure) / 7)
    p[np.arange(len(labels)), [NAMES.index(label) for label in labels]] = sure
    return labels, p


def test_a_gain_is_the_difference_and_its_interval_by_frames():
    truth = ["ghost", "skip"] * 20
    groups = [f"frame{i // 4}" for i in range(40)]
    wrong = ["skip" if i % 4 == 0 else label for i, label in enumerate(truth)]
    gain = measure_gain(truth, _answers(wrong), _answers(truth), groups)
    accuracy = gain["accuracy"]
    assert (accuracy["before"], accuracy["after"], accuracy["gain"]) == (0.75, 1.0, 0.25)
    # Each frame has one in four wrong: frames drawn again never differ.
    assert (accuracy["low"], accuracy["high"]) == (0.25, 0.25)
    assert gain["log_score"]["after"] == pytest.approx(np.log(0.9), abs=1e-3)
    assert gain["macro_f1"]["gain"] > 0.2


def test_no_interval_of_a_single_frame():
    truth = ["ghost"] * 8
    gain = measure_gain(truth, _answers(["skip"] * 8), _answers(truth), ["one"] * 8)
    assert (gain["accuracy"]["gain"], gain["accuracy"]["low"]) == (1.0, None)


def test_a_gain_on_nothing_is_refused():
    with pytest.raises(InputError, match="no labelled cutouts to measure"):
        measure_gain([], ([], np.zeros((0, 8))), ([], np.zeros((0, 8))), [])


def test_where_nothing_is_gained_the_old_model_is_to_be_kept(
    campaign, labels, start, tmp_path, capsys
):
    """Trained on labels turned round: it must be worse, and that is said."""
    table = Table.read(labels)
    turn = {
        "asteroid": "skip",
        "skip": "asteroid",
        "satellite": "yin_yang",
        "yin_yang": "satellite",
    }
    table["label"] = [turn.get(str(label), str(label)) for label in table["label"]]
    table["name", "label"].write(tmp_path / "wrong.csv")
    top = campaign[0]
    words = ["--labels", tmp_path / "wrong.csv", "--cutouts", top / NIGHTS[0], "--start", start]
    words += ["--held-out", top / NIGHTS[3], "--held-out-labels", top / "truth.csv"]
    assert _run("train", "forest", *words, "--n", 80, "--trees", 20, "-o", tmp_path / "m") == 0
    assert "no gain in accuracy is shown: keep" in capsys.readouterr().out
