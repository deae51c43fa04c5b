"""Training a verdict, keeping it, and the commands that use it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable

from streaks.cli import main
from streaks.errors import ModelError
from streaks.models.verdict_store import load_verdict, save_verdict, verdict_digest
from streaks.models.verdict_training import VerdictExamples, stack_examples, train_verdict
from streaks.readers import read_table
from streaks.verdict import VerdictModel
from streaks.verdict.exposures import STATES
from streaks.verdict.numbers import NUMBERS

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


def examples(n: int = 600, seed: int = 2, n_fields: int = 10) -> VerdictExamples:
    """One number tells nearly all, the others nothing."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    numbers = rng.normal(size=(n, len(NUMBERS))).astype(np.float32)
    numbers[:, NUMBERS.index("snr")] += 3.0 * truth
    states = np.where(truth & (rng.random(n) < 0.8), "moved_on", "alone")
    fields = np.array([f"f{k % n_fields}" for k in range(n)])
    return VerdictExamples(numbers, truth, states, fields)


@pytest.fixture(scope="module")
def trained() -> VerdictModel:
    return train_verdict(examples(), seed=1, n_boosters=1)[0]


def test_a_verdict_weighs_what_its_examples_told(trained: VerdictModel) -> None:
    unseen = examples(seed=3)
    ratio = trained.log_ratio(unseen.numbers)
    assert np.median(ratio[unseen.is_asteroid]) > 1.0
    assert np.median(ratio[~unseen.is_asteroid]) < -1.0
    # Calibrated: with the share of the examples, probabilities add up to what is true.
    odds = ratio + np.log(0.3 / 0.7)
    expected = (1 / (1 + np.exp(-odds))).sum()
    assert expected == pytest.approx(unseen.is_asteroid.sum(), rel=0.15)
    assert trained.exposures["moved_on"] > 2
    assert trained.exposures["alone"] < 0
    # Nothing was seen of these: what is known of them before stays.
    assert trained.exposures["same_pixels"] == pytest.approx(-3.0, abs=1.5)
    assert set(trained.exposures) == set(STATES)


def test_too_few_examples_fit_no_verdict() -> None:
    with pytest.raises(ModelError, match="50 of each and 5 fields"):
        train_verdict(examples(100), seed=1)
    with pytest.raises(ModelError, match="of 1 fields"):
        train_verdict(examples(600, n_fields=1), seed=1)


def test_examples_of_several_nights_are_stacked() -> None:
    both = stack_examples([examples(20), examples(30)])
    assert len(both) == 50
    assert both.numbers.shape == (50, len(NUMBERS))


def test_a_verdict_that_is_kept_weighs_the_same(trained: VerdictModel, tmp_path: Path) -> None:
    save_verdict(trained, tmp_path / "mine", name="mine", about={"recipe": "a test"})
    again = load_verdict(tmp_path / "mine")
    numbers = examples(seed=4).numbers
    assert np.allclose(again.log_ratio(numbers), trained.log_ratio(numbers), atol=1e-5)
    assert again.name == verdict_digest(tmp_path / "mine")
    assert again.name.startswith("mine ")
    assert again.about["recipe"] == "a test"
    save_verdict(trained, tmp_path / "mine", name="mine", about={})
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="other files"):
        save_verdict(trained, tmp_path / "mine", name="mine", about={})


def test_a_verdict_that_was_altered_is_refused(trained: VerdictModel, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    save_verdict(trained, folder, name="mine", about={})
    good = dict(np.load(folder / "trees.npz"))
    np.savez(folder / "trees.npz", **{**good, "value": good["value"] + 1})
    with pytest.raises(ModelError, match="altered"):
        load_verdict(folder)
    (folder / "trees.npz").write_bytes(b"no archive")
    with pytest.raises(ModelError, match="cannot be read"):
        load_verdict(folder)
    card = json.loads((folder / "verdict.json").read_text())
    (folder / "verdict.json").write_text(json.dumps({**card, "numbers": ["snr"]}))
    with pytest.raises(ModelError, match="other numbers"):
        load_verdict(folder)
    (folder / "verdict.json").write_text("[]")
    with pytest.raises(ModelError, match="card of format"):
        load_verdict(folder)
    with pytest.raises(ModelError, match="no verdict"):
        load_verdict(tmp_path / "none")


def test_the_shipped_verdict_loads_and_says_what_it_was_trained_on() -> None:
    shipped = load_verdict()
    assert shipped.about["figures"]["asteroids"] > 500
    assert shipped.exposures["moved_on_twice"] > shipped.exposures["moved_on"] > 0
    assert shipped.exposures["stands_still"] < 0


@pytest.fixture(scope="module")
def small_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two visits of a small field, searched, with the truth."""
    folder = tmp_path_factory.mktemp("verdict")
    words = ["synth", "night", "--frames", "2", "--seed", "5", "--shape", "900", "900", "-q", "-o"]
    assert main([*words, str(folder / "frames")]) == 0
    assert main(["night", str(folder / "frames"), "-o", str(folder / "night"), "-q",
                 "--workers", "1"]) == 0  # fmt: skip
    return folder


def test_a_night_s_table_has_its_verdict(small_night: Path) -> None:
    streaks = read_table(small_night / "night" / "streaks.parquet")
    names = list(streaks.colnames)
    assert names.index("rb") < names.index("p_real") < names.index("reasons")
    assert not [name for name in names if name.startswith("ev_")]
    assert np.isfinite(streaks["p_real"]).all()
    assert set(streaks["group"]) <= set(streaks["streak_id"])
    assert streaks.meta["verdict"]["name"].startswith("verdict ")
    truth = QTable.read(small_night / "frames" / "truth.ecsv")
    true = truth[(truth["label"] == "asteroid") & (truth["snr"] > 15)]
    sure = streaks[streaks["p_real"] > 0.5]
    for row in true:
        near = np.hypot(sure["x"] - row["x"], sure["y"] - row["y"]).value < 5
        assert (near & (sure["image"] == row["image"])).any(), row["streak_id"]


def test_weighing_anew_searches_nothing_anew(
    small_night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a frame gave does not depend on the verdict: only the tables are written again."""
    night = small_night / "again"
    shutil.copytree(small_night / "night", night)
    words = ["night", str(small_night / "frames"), "-o", str(night), "--workers", "1"]
    assert main([*words, "--verdict", "none"]) == 0
    assert "2 by an earlier run" in capsys.readouterr().out
    assert "p_real" not in read_table(night / "streaks.parquet").colnames
    assert main(words) == 0
    assert "candidates" in capsys.readouterr().out
    whole = small_night / "night" / "streaks.parquet"
    assert (night / "streaks.parquet").read_bytes() == whole.read_bytes()


def test_detect_says_what_it_believes(
    small_night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted(map(str, (small_night / "frames").glob("*_scimrefdiffimg.fits.fz")))
    assert main(["detect", *images, "-o", str(tmp_path / "two.ecsv")]) == 0
    assert "p_real" in capsys.readouterr().out
    two = read_table(tmp_path / "two.ecsv")
    assert "tracklet" in two.colnames
    assert any("seen again at" in text for text in two["reasons"])
    assert main(["detect", images[0], "-o", str(tmp_path / "one.ecsv"), "-q"]) == 0
    one = read_table(tmp_path / "one.ecsv")
    assert "tracklet" not in one.colnames
    assert np.isfinite(one["p_real"]).all()
    assert main(["detect", images[0], "-o", str(tmp_path / "n.ecsv"), "--verdict", "none"]) == 0
    assert "p_real" not in read_table(tmp_path / "n.ecsv").colnames


def test_a_verdict_is_trained_on_nights_with_truth(
    small_night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from streaks.cli.verdict_training import examples_of_night

    truth = small_night / "frames" / "truth.ecsv"
    told = examples_of_night(small_night / "night", QTable.read(truth))
    streaks = read_table(small_night / "night" / "streaks.parquet")
    assert 0 < told.is_asteroid.sum() < len(told) <= len(streaks)
    assert examples_of_night(small_night / "night", None).is_asteroid.sum() == 0
    labels = {str(streaks["streak_id"][0]): "asteroid"}
    assert examples_of_night(small_night / "night", None, labels).is_asteroid.sum() == 1
    # One field is too few, and a night without truth is no night to learn from.
    words = ["train", "verdict", str(small_night / "night"), "-o", str(tmp_path / "mine")]
    assert main([*words, "--truth", str(truth)]) == 2
    assert "a verdict needs" in capsys.readouterr().err
    assert main(words) == 2
    assert "1 nights and 0 --truth" in capsys.readouterr().err
    assert main(["train", "verdict", "--synthetic", "1", "-o", str(tmp_path / "m")]) == 2
    assert "--work" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
