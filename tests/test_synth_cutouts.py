"""Labelled cutouts: repeatable, right about their truth, and refused when asked for nonsense."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from streaks.classification import parse_mix
from streaks.errors import ConfigError, InputError, ReadError
from streaks.synth import load_set, make_cutouts, write_montage, write_set
from streaks.synth.cutout_sets.making import TRUTH_COLUMNS
from streaks.synth.cutout_sets.rendering import Rendering, apply_rendering
from streaks.tables import ASTREAKS_MIX, CLASSES, SKIP, check_table


def fingerprint(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


@pytest.fixture(scope="module")
def some() -> tuple:
    return make_cutouts(80, seed=5)


def test_every_class_comes_in_equal_shares_by_default(some: tuple) -> None:
    _, truth = some
    assert Counter(truth["label"]) == dict.fromkeys((*CLASSES, SKIP), 10)


def test_cutouts_are_finite_zero_where_masked_and_named_after_the_truth(some: tuple) -> None:
    cutouts, truth = some
    assert cutouts.difference.dtype == np.float32
    assert np.isfinite(cutouts.difference).all()
    assert (cutouts.difference[cutouts.mask] == 0).all()
    assert cutouts.names == tuple(truth["streak_id"])
    assert len(set(cutouts.names)) == 80
    check_table(truth, TRUTH_COLUMNS)


def test_no_cutout_is_wholly_masked_or_without_noise(some: tuple) -> None:
    cutouts, _ = some
    for values, mask in zip(cutouts.difference, cutouts.mask, strict=True):
        assert (~mask).sum() > 100
        assert values[~mask].std() > 1.0


def test_only_lines_have_ends(some: tuple) -> None:
    _, truth = some
    lines = np.isin(truth["label"], ["asteroid", "satellite", "cosmic_ray"])
    finite = np.isfinite(truth["x0"].value)
    assert (finite == lines).all()


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_workers() -> None:
    one, truth_one = make_cutouts(70, seed=8, workers=1)
    two, truth_two = make_cutouts(70, seed=8, workers=2)
    assert fingerprint(one.difference, one.mask) == fingerprint(two.difference, two.mask)
    for name in truth_one.colnames:
        np.testing.assert_array_equal(np.asarray(truth_one[name]), np.asarray(truth_two[name]))


def test_another_seed_gives_other_cutouts() -> None:
    one, two = (make_cutouts(3, seed=s)[0].difference for s in (1, 2))
    assert not np.array_equal(one, two)


def test_the_size_is_the_one_asked_for() -> None:
    cutouts, _ = make_cutouts(8, seed=1, size_px=63)
    assert cutouts.difference.shape == (8, 63, 63)


def test_asteroids_are_where_their_truth_says() -> None:
    cutouts, truth = make_cutouts(60, seed=3, mix={"asteroid": 1.0})
    seen = 0
    for i, row in enumerate(truth):
        if row["snr"] < 60:
            continue
        n = 40
        x = np.rint(np.linspace(row["x0"].value, row["x1"].value, n)).astype(int)
        y = np.rint(np.linspace(row["y0"].value, row["y1"].value, n)).astype(int)
        inside = ~cutouts.mask[i][y, x]
        if inside.mean() < 0.5:
            continue
        good = cutouts.difference[i][~cutouts.mask[i]]
        spread = 1.4826 * np.median(np.abs(good - np.median(good)))
        on_line = np.median(cutouts.difference[i][y, x][inside]) - np.median(good)
        # Matched-filter S/N 60 over 110 px and a PSF of 4.5 px is still 2 sigma a pixel.
        assert on_line > 1.5 * spread
        seen += 1
    assert seen >= 10


def test_asteroids_lie_near_the_middle() -> None:
    _, truth = make_cutouts(40, seed=4, mix={"asteroid": 1.0})
    x = 0.5 * (truth["x0"] + truth["x1"]).value
    # Half of them at least: pictures cropped at a chip's edge are padded about their own middle.
    assert np.median(np.abs(x - 64)) < 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": 0}, "workers is 0"),
        ({"size_px": 8}, "size is 8 px"),
        ({"mix": {"meteor": 1.0}}, "mix names meteor; the classes are"),
        ({"mix": {"ghost": -1.0}}, "shares of a mix"),
        ({"mix": {"ghost": 0.0}}, "shares of a mix"),
        ({"mix": "asteroid=lots"}, "mix has 'asteroid=lots'"),
        ({"mix": "ghosts"}, "mix has 'ghosts'"),
    ],
)
def test_nonsense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_cutouts(**{"n": 2, "seed": 1, **options})


def test_psfs_have_the_widths_that_were_asked_for() -> None:
    _, truth = make_cutouts(16, seed=5, fwhm_px=(6.0, 9.0))
    widths = truth["fwhm_px"].to_value("pix")
    assert (widths >= 6.0).all()
    assert (widths <= 9.9).all()
    cutouts, truth = make_cutouts(24, seed=5, mix="naked_star=1", fwhm_px=(1.0, 1.2))
    # Half of the light of a sharp star lies in its brightest few pixels.
    sharp = [np.sort(np.abs(one).ravel())[-1] / np.sort(np.abs(one).ravel())[-4] for one in
             cutouts.difference]  # fmt: skip
    wide, _ = make_cutouts(24, seed=5, mix="naked_star=1", fwhm_px=(6.0, 9.0))
    soft = [np.sort(np.abs(one).ravel())[-1] / np.sort(np.abs(one).ravel())[-4] for one in
            wide.difference]  # fmt: skip
    assert np.median(sharp) > np.median(soft)


@pytest.mark.parametrize("fwhm_px", [(0.1, 2.0), (3.0, 2.0), (2.0, 40.0)])
def test_psfs_that_cannot_be_drawn_are_refused(fwhm_px: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="two numbers in order"):
        make_cutouts(2, seed=1, fwhm_px=fwhm_px)


def test_a_mix_by_text_sums_to_one() -> None:
    assert parse_mix("asteroid=1, ghost=3") == {"asteroid": 0.25, "ghost": 0.75}


def test_the_mix_of_astreaks_is_that_of_the_tables() -> None:
    total = sum(ASTREAKS_MIX.values())
    assert parse_mix("astreaks")["masked_star"] == pytest.approx(
        ASTREAKS_MIX["masked_star"] / total
    )


def test_a_rare_class_gets_its_rounded_share() -> None:
    _, truth = make_cutouts(50, seed=1, mix={"skip": 0.96, "asteroid": 0.04})
    assert Counter(truth["label"]) == {"skip": 48, "asteroid": 2}


def test_an_eight_bit_look_has_at_most_256_levels_and_clips() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(0, 10, (64, 64)).astype(np.float32)
    rendering = Rendering(window_px=64, eight_bit=True, low_sigma=2.5, high_sigma=10.0)
    stored, mask = apply_rendering(image, np.zeros((64, 64), bool), 10.0, rendering)
    assert len(np.unique(stored)) <= 256
    assert stored.min() >= -25.01
    assert not mask.any()


def test_a_small_window_masks_what_lies_around_it() -> None:
    image = np.ones((128, 128), np.float32)
    _, mask = apply_rendering(image, np.zeros((128, 128), bool), 1.0, Rendering(window_px=63))
    assert (~mask).sum() == 63 * 63
    assert not mask[64, 64]


def test_unnamed_masked_areas_are_flat_in_the_data() -> None:
    image = np.random.default_rng(0).normal(0, 1, (64, 64)).astype(np.float32)
    block = np.zeros((64, 64), bool)
    block[10:20, 5:30] = True
    rendering = Rendering(window_px=64, mask_known=False, flat_level_sigma=0.3)
    stored, mask = apply_rendering(image, block, 1.0, rendering)
    assert not mask.any()
    assert np.ptp(stored[block]) == 0


def test_a_set_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 20, seed=6)
    cutouts, truth = load_set(folder)
    made, _ = make_cutouts(20, seed=6)
    assert fingerprint(cutouts.difference, cutouts.mask) == fingerprint(made.difference, made.mask)
    assert cutouts.names == made.names == tuple(truth["streak_id"])
    assert (folder / "provenance.json").is_file()


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        write_set(tmp_path, 4, seed=1)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_set_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path / "set", 8, seed=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(InputError, match="No space left on device; nothing was left there"):
        write_set(tmp_path / "set", 4, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="holds no set of cutouts"):
        load_set(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 4, seed=1)
    shard = folder / "cutouts-00000.npz"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(ReadError, match=r"cutouts-00000\.npz is no shard"):
        load_set(folder)


def test_a_shard_that_is_missing_is_noticed(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 4, seed=1)
    other = write_set(tmp_path / "other", 4, seed=2)
    (other / "cutouts-00000.npz").rename(folder / "cutouts-00001.npz")
    with pytest.raises(ReadError, match="a shard is missing or foreign"):
        load_set(folder)


def test_a_montage_shows_a_row_a_class(tmp_path: Path, some: tuple) -> None:
    import cv2

    write_montage(tmp_path / "page.png", *some, per_class=4)
    assert cv2.imread(str(tmp_path / "page.png")).shape == (8 * 128, 4 * 128, 3)


def test_a_montage_that_is_no_png_is_refused(tmp_path: Path, some: tuple) -> None:
    with pytest.raises(InputError, match=r"ends in \.png"):
        write_montage(tmp_path / "page.jpg", *some)
    with pytest.raises(ConfigError, match="per_class is 0"):
        write_montage(tmp_path / "page.png", *some, per_class=0)
