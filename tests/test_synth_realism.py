"""Real cutouts beside synthetic ones: what is measured, who can tell, what the command writes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable, Table

from streaks.cli import main
from streaks.cutouts import Cutouts
from streaks.errors import InputError
from streaks.readers import read_cutouts
from streaks.synth import write_pictures
from streaks.synth.realism.comparison import (
    STATISTICS,
    STATISTICS_COLUMNS,
    LabelledCutouts,
    compare,
    cutout_statistics,
    tell_apart,
)
from streaks.synth.realism.page import realism_page
from streaks.tables import check_table

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

NAMES = ("one", "two", "three")


def noise_cutouts(n: int, *, fwhm_px: float = 0.0, seed: int = 0) -> Cutouts:
    """Unit noise; with a FWHM, a grid of Gaussian stars with a peak of 6.5 sigma."""
    rng = np.random.default_rng(seed)
    images = rng.normal(100.0, 10.0, (n, 128, 128)).astype(np.float32)
    if fwhm_px:
        y, x = np.mgrid[:128, :128]
        near = ((x % 16 - 8) ** 2 + (y % 16 - 8) ** 2) / (2 * (fwhm_px / 2.3548) ** 2)
        images += (65.0 * np.exp(-near)).astype(np.float32)
    return Cutouts(images.astype(np.float32), np.zeros(images.shape, bool), tuple("abcdefgh"[:n]))


def column(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, list(STATISTICS).index(name)]


def labelled(cutouts: Cutouts, label: str = "skip", night: str = "") -> LabelledCutouts:
    n = len(cutouts)
    return LabelledCutouts(cutouts, np.full(n, label), np.full(n, night))


def test_white_noise_has_its_sigma_and_level_and_no_correlation() -> None:
    measured = cutout_statistics(noise_cutouts(3))
    # 16384 pixels know a robust sigma to 1 % and a correlation to 0.01.
    np.testing.assert_allclose(column(measured, "noise_levels"), 10.0, rtol=0.05)
    np.testing.assert_allclose(column(measured, "level"), 100.0, atol=0.5)
    np.testing.assert_allclose(column(measured, "lag1_x"), 0.0, atol=0.04)
    np.testing.assert_allclose(column(measured, "lag1_y"), 0.0, atol=0.04)


def test_the_width_of_peaks_is_measured() -> None:
    for fwhm_px in (2.2, 3.2):
        cutouts = noise_cutouts(4, fwhm_px=fwhm_px)
        measured = column(cutout_statistics(cutouts), "fwhm_px")
        # Neighbours of what is chosen as a peak are low by chance: 10 % wide at 3 px.
        assert measured.mean() == pytest.approx(fwhm_px, rel=0.12)


def test_the_share_of_masked_and_clipped_pixels_is_measured() -> None:
    cutouts = noise_cutouts(1)
    clipped = np.clip(cutouts.difference, 80.0, 130.0)
    mask = np.zeros(clipped.shape, bool)
    mask[:, :32] = True
    measured = cutout_statistics(Cutouts(clipped, mask, cutouts.names))
    # A Gaussian has 2.28 % below -2 sigma and 0.135 % above 3 sigma.
    assert column(measured, "mask_share")[0] == pytest.approx(0.25)
    assert column(measured, "white_share")[0] == pytest.approx(0.0228, abs=0.005)
    assert column(measured, "black_share")[0] == pytest.approx(0.00135, abs=0.001)


def test_a_cutout_of_no_spread_has_no_statistics_of_noise() -> None:
    flat = Cutouts(np.ones((1, 64, 64), np.float32), np.zeros((1, 64, 64), bool), ("flat",))
    assert math.isnan(column(cutout_statistics(flat), "noise_levels")[0])


def test_what_differs_is_told_apart_and_named() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(0, 1, (60, 3)), rng.normal(0, 1, (60, 3))
    made[:, 1] += 4.0
    nights = [f"n{k % 6}" for k in range(60)]
    tell = tell_apart("ghost", real, made, nights, NAMES)
    assert tell.auc > 0.95
    assert tell.auc_mixed > 0.95
    assert tell.features[0][0] == "two"
    assert (tell.n_real, tell.n_groups, tell.n_synthetic) == (60, 6, 60)


def test_what_is_alike_is_not_told_apart() -> None:
    rng = np.random.default_rng(1)
    real, made = rng.normal(0, 1, (80, 3)), rng.normal(0, 1, (80, 3))
    tell = tell_apart("ghost", real, made, [f"n{k % 8}" for k in range(80)], NAMES)
    # Of 80 against 80 an AUC of chance scatters by 0.045.
    assert tell.auc == pytest.approx(0.5, abs=0.15)


def test_knowing_a_night_does_not_help_on_other_nights() -> None:
    rng = np.random.default_rng(2)
    # Each night has a scene of its own; synthetic ones are spread over all of them.
    scene = np.repeat(np.arange(8.0), 10)
    real = np.column_stack([10 * scene, rng.normal(0, 1, (80, 2))])
    made = np.column_stack([10 * rng.uniform(0, 8, 200), rng.normal(0, 1, (200, 2))])
    tell = tell_apart("ghost", real, made, [f"n{k:.0f}" for k in scene], NAMES)
    assert tell.auc < tell.auc_mixed - 0.1


def test_too_few_real_ones_give_no_figure() -> None:
    rng = np.random.default_rng(0)
    tell = tell_apart("ghost", rng.normal(0, 1, (4, 3)), rng.normal(0, 1, (9, 3)), "abcd", NAMES)
    assert math.isnan(tell.auc)
    assert math.isnan(tell.auc_mixed)


def test_real_cutouts_without_groups_are_refused() -> None:
    with pytest.raises(InputError, match="2 real cutouts, 1 groups"):
        tell_apart("ghost", np.zeros((2, 3)), np.zeros((2, 3)), ["a"], NAMES)


def test_labels_must_be_as_many_as_cutouts() -> None:
    with pytest.raises(InputError, match="3 cutouts have 2 labels"):
        LabelledCutouts(noise_cutouts(3), np.array(["a", "b"]), np.array(["", "", ""]))


def test_sets_without_a_class_in_common_are_refused() -> None:
    one = labelled(noise_cutouts(2), "ghost")
    with pytest.raises(InputError, match="real cutouts are skip, synthetic ones ghost"):
        compare(labelled(noise_cutouts(2)), one)


def test_a_comparison_has_a_row_for_each_class_and_statistic() -> None:
    found = compare(labelled(noise_cutouts(3), night="n1"), labelled(noise_cutouts(4, seed=1)))
    check_table(found.statistics, STATISTICS_COLUMNS)
    assert found.statistics["statistic"].tolist() == list(STATISTICS)
    level = found.statistics[1]
    assert level["real_p50"] == pytest.approx(100.0, abs=0.5)
    assert 0 <= level["distance"] <= 1


def test_the_page_shows_both_kinds_and_the_figures() -> None:
    real, made = labelled(noise_cutouts(3), night="n1"), labelled(noise_cutouts(4, seed=1))
    page = realism_page(compare(real, made), real, made, about={"real": "<mine>"}, per_class=2)
    assert page.count("<figure>") == 2
    assert "data:image/jpeg;base64," in page
    assert "&lt;mine&gt;" in page
    assert "lag1_x" in page


def test_pictures_are_read_back_with_the_level_and_stretch_of_ztf(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set", 8, seed=3, mix={"skip": 1.0})
    found = read_cutouts([folder / "jpg"], polarity="dark")
    truth = QTable.read(folder / "truth.ecsv", format="ascii.ecsv")
    names = sorted(name for stack in found.cutouts for name in stack.names)
    assert names == sorted(truth["streak_id"])
    measured = np.vstack([cutout_statistics(stack) for stack in found.cutouts])
    # Real ones: sky at 204 of 255, dark for positive, a robust sigma of 19.3 to 20.8 levels.
    np.testing.assert_allclose(column(measured, "level"), 255 - 204, atol=3)
    np.testing.assert_allclose(column(measured, "noise_levels"), 20.2, atol=1.6)


@pytest.fixture(scope="module")
def real_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that stand for real ones, with classes, confidence and nights."""
    folder = write_pictures(
        tmp_path_factory.mktemp("real") / "set", 16, seed=9, mix="skip=1,ghost=1", size_px=157
    )
    truth = QTable.read(folder / "truth.ecsv", format="ascii.ecsv")
    table = Table(
        {
            "name": truth["streak_id"],
            "label": truth["label"],
            "sure": [3.0] * 15 + [1.0],
            "night": [f"2018010{1 + k % 4}" for k in range(16)],
        }
    )
    table.write(folder / "table.csv")
    return folder


def words(folder: Path, out: Path) -> list[str]:
    real, table = str(folder / "jpg"), str(folder / "table.csv")
    return ["synth", "compare", "--real", real, "--truth", table, "-o", str(out), "-q"]


def test_the_command_writes_page_and_tables(
    real_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--n", "4", "--confidence-column", "sure"]
    assert main([*words(real_set, out), *options]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "realism.html",
        "statistics.ecsv",
        "tells.ecsv",
    ]
    tells = QTable.read(out / "tells.ecsv", format="ascii.ecsv")
    assert tells["label"].tolist() == ["ghost", "skip"]
    assert int(np.sum(tells["n_real"])) == 15
    assert "on other nights" in capsys.readouterr().out


def test_half_of_the_nights_can_be_held_out(real_set: Path, tmp_path: Path) -> None:
    assert main([*words(real_set, tmp_path / "out"), "--n", "2", "--half", "odd"]) == 0
    tells = QTable.read(tmp_path / "out" / "tells.ecsv", format="ascii.ecsv")
    assert int(np.sum(tells["n_real"])) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--half", "third"], "--half is 'third'; expected one of all, even, odd"),
        (["--label-column", "kind"], "has no column kind; it has name, label, sure, night"),
        (["--name-column", "night"], "holds none of the"),
        (["--real", "gone"], "--real gone is no folder"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    real_set: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    assert main([*words(real_set, tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
