"""`streaks classify`, `train` and `evaluate` as one would type them."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from astropy.table import Table

from streaks.cli import main
from streaks.models import save_model, train_forest
from tests.toy_cutouts import labelled_set

# Toy models are written, which needs ONNX.
pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    cutouts, labels = labelled_set(30, seed=1)
    folder = tmp_path_factory.mktemp("models") / "toy"
    save_model(
        train_forest(cutouts, labels, seed=1, n_trees=20),
        folder,
        name="toy",
        recipe="",
        created="",
        limits=[],
    )
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Eight 8-bit pictures, dark = positive as ZTF's streak pipeline draws them, with labels."""
    cutouts, labels = labelled_set(2, seed=2)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, image in zip(cutouts.names, cutouts.difference, strict=True):
        grey = np.clip(140 - 4 * image, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), grey)
    truth = Table({"name": [f"{n}.png" for n in cutouts.names], "label": labels})
    truth["known"] = ["yes" if label == "asteroid" else "" for label in labels]
    truth.write(tmp_path / "truth.csv")
    return folder, tmp_path / "truth.csv", labels


def _run(*words):
    return main([str(word) for word in words])


def test_classify_names_every_picture(pictures, model, tmp_path):
    folder, _, labels = pictures
    assert _run("classify", folder, "-o", tmp_path / "out.csv", "-m", model) == 0
    table = Table.read(tmp_path / "out.csv")
    assert table.colnames[:3] == ["name", "label", "p_asteroid"]
    assert table.colnames[-3:] == ["rb", "candidates", "novelty"]
    assert list(table["label"]) == labels


def test_classify_names_a_bad_file_and_goes_on(pictures, model, tmp_path, capsys):
    folder, _, labels = pictures
    (folder / "broken.png").write_bytes(b"no picture")
    assert _run("classify", folder, "-o", tmp_path / "out.csv", "-m", model) == 1
    assert "broken.png" in capsys.readouterr().err
    assert len(Table.read(tmp_path / "out.csv")) == len(labels)


def test_classify_with_nothing_readable_writes_nothing(model, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out.csv"
    assert _run("classify", tmp_path / "broken.png", "-o", out, "-m", model) == 2
    assert "broken.png" in capsys.readouterr().err
    assert not out.exists()


def test_pictures_are_told_the_fwhm_of_their_psf(pictures, tmp_path, capsys):
    folder = pictures[0]
    assert _run("classify", folder, "-o", tmp_path / "as_they_are.csv", "-m", "forest") == 0
    assert "not of 8: taken as they are, as with 2.5 px; give --psf-fwhm" in capsys.readouterr().out
    tables = {}
    for fwhm in ("2.5", "7"):
        out = tmp_path / f"{fwhm}.csv"
        words = ("-m", "forest", "--psf-fwhm", fwhm)
        assert _run("classify", folder, "-o", out, *words) == 0
        assert f"not of 8: given {float(fwhm):g} px" in capsys.readouterr().out
        tables[fwhm] = Table.read(out)
    as_they_are = Table.read(tmp_path / "as_they_are.csv")
    # Within what the training knows nothing is resampled.
    np.testing.assert_allclose(tables["2.5"]["p_ghost"], as_they_are["p_ghost"])
    assert not np.allclose(tables["7"]["p_ghost"], as_they_are["p_ghost"])
    assert _run("classify", folder, "-o", tmp_path / "x.csv", "--psf-fwhm", "0.1") == 2


def test_a_mix_is_estimated_from_what_the_classifier_is_shown(monkeypatch):
    import streaks.cli.models as commands
    from streaks.cutouts import Cutouts

    seen = []

    class Watching:
        def predict_proba(self, cutouts):
            seen.append(cutouts.fwhm_px)
            return np.full((len(cutouts), 8), 1 / 8)

    noise = np.random.default_rng(1).normal(size=(2, 64, 64)).astype(np.float32)
    wide = Cutouts(noise, np.zeros(noise.shape, bool), ("a", "b"), fwhm_px=np.array([7.0, 7.0]))
    commands._estimated_mix(Watching(), [wide], True)
    np.testing.assert_allclose(seen[0], 2.5)


def test_classify_with_an_unknown_model_says_which_there_are(pictures, tmp_path, capsys):
    assert _run("classify", pictures[0], "-o", tmp_path / "out.csv", "-m", "oracle") == 2
    assert "no model 'oracle'" in capsys.readouterr().err


def test_evaluate_names_an_unknown_model_before_it_makes_cutouts(tmp_path, capsys, monkeypatch):
    made = []
    monkeypatch.setattr("streaks.cli.evaluation._synthetic_set", lambda *a, **k: made.append(a))
    assert main(["evaluate", "-m", "nope", "--n", "4000", "-o", str(tmp_path / "out")]) == 2
    assert "no model 'nope'" in capsys.readouterr().err
    assert not made


def test_evaluate_on_pictures_with_a_truth_table(pictures, model, tmp_path):
    folder, truth, labels = pictures
    words = ("--cutouts", folder, "--truth", truth, "--asteroids", "known=yes")
    assert _run("evaluate", "-m", model, *words, "-o", tmp_path / "figures") == 0
    figures = json.loads((tmp_path / "figures" / "evaluation.json").read_text())["models"][0]
    assert figures["n_labelled"] == len(labels)
    assert (figures["n_positive"], figures["n_negative"]) == (2, 6)
    assert figures["asteroid_tpr"]["0.01"] == 1.0
    assert "<svg" in (tmp_path / "figures" / "evaluation.html").read_text()
    scores = Table.read(tmp_path / "figures" / "scores-toy.csv")
    assert list(scores["label"][:2]) == ["asteroid", "asteroid"]


def test_evaluate_leaves_out_what_a_file_names(pictures, model, tmp_path):
    folder, truth, labels = pictures
    (tmp_path / "out.txt").write_text("# looked at\ntoy0.png  # a real one\ntoy1\n")
    words = ("--cutouts", folder, "--truth", truth, "--exclude", tmp_path / "out.txt")
    assert _run("evaluate", "-m", model, *words, "-o", tmp_path / "figures", "-q") == 0
    figures = json.loads((tmp_path / "figures" / "evaluation.json").read_text())["models"][0]
    assert figures["n_labelled"] == len(labels) - 2


def test_evaluate_wants_cutouts_and_truth_together(pictures, model, tmp_path, capsys):
    assert _run("evaluate", "-m", model, "--cutouts", pictures[0], "-o", tmp_path / "f") == 2
    assert "--cutouts and --truth belong together" in capsys.readouterr().err


def test_evaluate_names_the_columns_there_are(pictures, model, tmp_path, capsys):
    folder, truth, _ = pictures
    words = ("--cutouts", folder, "--truth", truth, "--label-column", "kind")
    assert _run("evaluate", "-m", model, *words, "-o", tmp_path / "f") == 2
    assert "has no column kind; it has name, label, known" in capsys.readouterr().err


def test_evaluate_on_synthetic_cutouts_compares_models(model, tmp_path):
    words = ("-m", model, "-m", model, "--n", 16, "--seed", 3)
    assert _run("evaluate", *words, "-o", tmp_path / "figures", "-q") == 0
    report = json.loads((tmp_path / "figures" / "evaluation.json").read_text())
    assert [m["n"] for m in report["models"]] == [16, 16]
    assert report["about"]["seed"] == 3
    scores = sorted(p.name for p in (tmp_path / "figures").glob("scores*"))
    assert scores == ["scores-toy-2.csv", "scores-toy.csv"]


def test_train_forest_on_synthetic_cutouts_writes_a_model_with_its_recipe(tmp_path):
    out = tmp_path / "mine"
    words = ("--n", 160, "--seed", 4, "--trees", 5, "-o", out, "-q")
    assert _run("train", "forest", *words) == 0
    card = json.loads((out / "card.json").read_text())
    options = "--n 160 --min-snr 6 --seed 4 --trees 5 --leaves 400"
    assert card["recipe"] == f"streaks train forest {options} -o DIR"
    # Too faint ones are left out.
    assert 140 < card["training"]["n"] <= card["training"]["n_made"] == 160
    assert len(card["sha256"]) == 64


def _users_set(tmp_path):
    """A folder of 40 cutouts with their truth."""
    cutouts, labels = labelled_set(10, seed=5)
    folder = tmp_path / "set"
    folder.mkdir()
    names = np.array(cutouts.names)
    np.savez(folder / "a.npz", difference=cutouts.difference, mask=cutouts.mask, names=names)
    Table({"streak_id": names, "label": labels}).write(folder / "truth.csv")
    return folder


def test_train_ensemble_stacks_trees_on_models_beside_it(model, tmp_path):
    shutil.copytree(model, tmp_path / "toy")
    words = ("--member", "toy", "--n", 160, "--seed", 4, "-o", tmp_path / "both", "-q")
    assert _run("train", "ensemble", *words) == 0
    card = json.loads((tmp_path / "both" / "card.json").read_text())
    assert (card["kind"], card["training"]["n_made"]) == ("stack", 160)
    # A fifth as many but 160 at least, of the next seed, with what no picture can tell.
    kept = card["training"]["calibration_set"]
    assert (kept["n_made"], kept["seed"], kept["doubtful"]) == (160, 5, True)
    options = "--n 160 --min-snr 6 --seed 4 --member toy"
    assert card["recipe"] == f"streaks train ensemble {options} -o DIR"


@pytest.mark.parametrize(("how", "kind"), [((), "stack"), (("--pool",), "ensemble")])
def test_train_ensemble_on_a_users_own_set(model, tmp_path, how, kind):
    shutil.copytree(model, tmp_path / "toy")
    words = ("--member", "toy", "--data", _users_set(tmp_path), "-o", tmp_path / "both", "-q")
    assert _run("train", "ensemble", *words, *how) == 0
    card = json.loads((tmp_path / "both" / "card.json").read_text())
    assert card["kind"] == kind
    assert card["recipe"].split() == [
        *("streaks", "train", "ensemble", "--data", "set", "--seed", "2", *how),
        *("--member", "toy", "-o", "DIR"),
    ]


def test_train_forest_on_a_users_own_set(tmp_path):
    folder = _users_set(tmp_path)
    out = tmp_path / "mine"
    assert _run("train", "forest", "--data", folder, "--trees", 5, "-o", out, "-q") == 0
    assert json.loads((out / "card.json").read_text())["training"]["n"] == 40


def test_train_on_a_folder_without_truth_says_what_is_missing(tmp_path, capsys):
    assert _run("train", "forest", "--data", tmp_path, "-o", tmp_path / "mine") == 2
    assert "holds no labelled set" in capsys.readouterr().err


def test_train_leaves_out_what_is_too_faint_to_be_found(tmp_path):
    counts = []
    for floor in ("0", "12"):
        out = tmp_path / floor
        words = ("--n", 160, "--min-snr", floor, "--trees", 5, "-o", out, "-q")
        code = _run("train", "forest", *words)
        card = json.loads((out / "card.json").read_text())
        counts.append(card["training"]["classes"])
        assert code == 0
        assert ("--min-snr 12" in card["recipe"]) == (floor == "12")
    assert counts[0]["asteroid"] == 20
    assert 8 <= counts[1]["asteroid"] < 20
    assert counts[1]["ghost"] == 20


@pytest.mark.parametrize(
    "words", [("--labels", "t.csv"), ("--cutouts", "x"), ("--labels", "t.csv", "--data", "d")]
)
def test_own_labels_need_their_cutouts(words, tmp_path, capsys):
    assert _run("train", "cnn", *words, "-o", tmp_path / "new") == 2
    assert "--labels needs --cutouts and no --data" in capsys.readouterr().err


def test_labels_that_fit_no_cutout_are_named(pictures, tmp_path, capsys):
    Table({"name": ["other.png"], "label": ["ghost"]}).write(tmp_path / "labels.csv")
    words = ("--labels", tmp_path / "labels.csv", "--cutouts", pictures[0])
    assert _run("train", "cnn", *words, "-o", tmp_path / "new") == 2
    assert "has a label in labels.csv; names must agree" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.train
def test_a_network_is_fine_tuned_on_own_labels(pictures, tmp_path):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    folder, truth, labels = pictures
    words = ("--labels", truth, "--cutouts", folder, "--n", 400, "--epochs", 1, "-q")
    assert _run("train", "cnn", *words, "-o", tmp_path / "mine") == 0
    card = json.loads((tmp_path / "mine" / "card.json").read_text())
    assert card["training"]["n_own"] == len(labels)
    assert card["recipe"].startswith("streaks train cnn --labels truth.csv --cutouts CUTOUTS")
    assert _run("classify", folder, "-o", tmp_path / "out.csv", "-m", tmp_path / "mine") == 0


@pytest.mark.slow
@pytest.mark.train
def test_one_command_trains_all_three(tmp_path, pictures):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    # So many that the network is of some use: a member without any is refused.
    words = ("--n", 1600, "--n-pool", 300, "--epochs", 6, "--trees", 20, "--leaves", 50)
    assert _run("train", "all", *words, "-o", tmp_path / "w", "-q") == 0
    assert sorted(p.name for p in (tmp_path / "w").iterdir()) == ["cnn", "default", "forest"]
    out = tmp_path / "out.csv"
    assert _run("classify", pictures[0], "-o", out, "-m", tmp_path / "w" / "default") == 0


def test_classify_for_the_sky_where_asteroids_are_rare(pictures, model, tmp_path):
    folder, _, _ = pictures
    for mix in ("balanced", "astreaks", "auto"):
        out = tmp_path / f"{mix}.csv"
        assert _run("classify", folder, "-o", out, "-m", model, "--mix", mix) == 0
    balanced, rare = Table.read(tmp_path / "balanced.csv"), Table.read(tmp_path / "astreaks.csv")
    assert rare["p_asteroid"].sum() < balanced["p_asteroid"].sum()
    assert list(rare["label"]) == list(balanced["label"])


def test_an_unknown_mix_is_refused(pictures, model, tmp_path, capsys):
    words = ("-o", tmp_path / "out.csv", "-m", model, "--mix", "comet=1")
    assert _run("classify", pictures[0], *words) == 2
    assert "mix names comet" in capsys.readouterr().err


def test_evaluate_gives_intervals_by_object_and_a_table_of_nights(pictures, model, tmp_path):
    folder, truth, labels = pictures
    table = Table.read(truth)
    table["object"] = [f"o{i % 3}" for i in range(len(table))]
    table["night"] = ["20180101", "20180102"] * (len(table) // 2)
    table.write(truth, overwrite=True)
    words = ("--cutouts", folder, "--truth", truth, "--asteroids", "known=yes")
    columns = ("--object-column", "object", "--night-column", "night")
    assert _run("evaluate", "-m", model, *words, *columns, "-o", tmp_path / "figures") == 0
    figures = json.loads((tmp_path / "figures" / "evaluation.json").read_text())["models"][0]
    assert len(figures["nights"]) == 2
    assert sum(row["n_labelled"] for row in figures["nights"]) == len(labels)
    assert sum(of for _, of in figures["objects"].values()) == 2
    page = (tmp_path / "figures" / "evaluation.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 8
    assert "http" not in page  # self-contained


def test_evaluate_on_synthetic_cutouts_leaves_out_the_faint(model, tmp_path):
    words = ("--n", 64, "--seed", 9, "--min-snr", 8, "-q")
    assert _run("evaluate", "-m", model, *words, "-o", tmp_path / "figures") == 0
    figures = json.loads((tmp_path / "figures" / "evaluation.json").read_text())["models"][0]
    assert 40 < figures["n"] < 64
    assert all(row["low"] >= 8 for row in figures["recall"]["snr"])
