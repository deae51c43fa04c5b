"""Cutouts as users have them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from streaks.errors import ConfigError, ReadError
from streaks.readers import read_cutouts
from streaks.readers.pictures import flat_areas
from tests.frame_files import add_trail, noise_image, real_data


def trail_image(shape: tuple[int, int] = (64, 64), seed: int = 1) -> NDArray[np.float32]:
    image = noise_image(shape, seed, sigma=1.0)
    ny, nx = shape
    add_trail(image, (nx / 2 - 10, ny / 2 - 5, nx / 2 + 10, ny / 2 + 5), 400.0)
    return image


def write_picture(path: Path, image: NDArray[Any], *, dark: bool = False) -> None:
    from PIL import Image

    grey = np.clip(120 + 8 * image, 0, 255)
    values = (255 - grey if dark else grey).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def brightest(difference: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(np.argmax(difference), difference.shape))


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_polarity_is_told_by_the_whole_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dark: bool, suffix: str
) -> None:
    for seed in range(5):
        write_picture(tmp_path / f"{seed}{suffix}", trail_image(seed=seed), dark=dark)
    with caplog.at_level(logging.INFO):
        found = read_cutouts(tmp_path)
    assert found.polarity == ("dark" if dark else "light")
    assert f"{found.polarity} is positive" in caplog.text
    y, x = brightest(found.cutouts[0].difference[0])
    assert abs((y - 32) - 0.5 * (x - 32)) < 3  # on the trail


def test_polarity_can_be_said(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", trail_image())
    assert read_cutouts(tmp_path, polarity="dark").polarity == "dark"
    with pytest.raises(ConfigError, match="polarity is 'pink'; expected one of auto, dark, light"):
        read_cutouts(tmp_path, polarity="pink")


def test_colour_pictures_become_grey(tmp_path: Path) -> None:
    from PIL import Image

    grey = np.clip(120 + 8 * trail_image(), 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "colour.png")
    write_picture(tmp_path / "grey.png", trail_image())
    colour, plain = read_cutouts(tmp_path).cutouts[0].difference
    np.testing.assert_allclose(colour, plain, atol=1)


def test_transparent_pixels_are_masked(tmp_path: Path) -> None:
    from PIL import Image

    grey = np.clip(120 + 8 * trail_image(), 0, 255).astype(np.uint8)
    alpha = np.full_like(grey, 255)
    alpha[:10] = 0
    Image.fromarray(np.dstack([grey, grey, grey, alpha])).save(tmp_path / "a.png")
    mask = read_cutouts(tmp_path).cutouts[0].mask[0]
    assert mask[:10].all()
    assert not mask[14:].any()


def test_a_flat_block_is_masked_and_noise_is_not() -> None:
    grey = np.round(np.clip(120 + 8 * noise_image((61, 80), sigma=1.0), 0, 255))
    grey[20:40, 30:50] = 200.0
    mask = flat_areas(grey)
    assert mask[20:40, 30:50].all()
    assert mask.sum() < 500


def test_a_saturated_trail_is_not_masked() -> None:
    grey = np.round(np.clip(120 + 8 * noise_image((61, 80), sigma=1.0), 0, 255))
    grey[28:33] = 255.0
    assert not flat_areas(grey).any()


def test_a_picture_of_few_grey_levels_is_not_masked() -> None:
    # One bright star sets the stretch: noise is a tenth of a grey level, with a speck here and
    # there where it crosses one.
    rng = np.random.default_rng(2)
    grey = np.where(rng.random((80, 61)) < 0.04, 101.0, 100.0)
    assert flat_areas(grey).mean() < 0.05


def test_pictures_cut_at_a_chips_edge_are_padded_with_masked_pixels(tmp_path: Path) -> None:
    write_picture(tmp_path / "cut.png", trail_image((60, 40)))
    cutouts = read_cutouts(tmp_path).cutouts[0]
    assert cutouts.size_px == 60
    mask = cutouts.mask[0]
    assert mask[:, :10].all()
    assert mask[:, 50:].all()
    assert not mask[:, 10:50].any()


def test_sizes_are_kept_apart(tmp_path: Path) -> None:
    for size in (63, 31, 63, 512):
        write_picture(
            tmp_path / f"{size}_{len(list(tmp_path.iterdir()))}.png", trail_image((size,) * 2)
        )
    found = read_cutouts(tmp_path)
    assert [(c.size_px, len(c)) for c in found.cutouts] == [(31, 1), (63, 2), (512, 1)]
    assert len(found) == 4


@pytest.mark.parametrize("size", [20, 513])
def test_too_small_or_large_is_a_named_failure(tmp_path: Path, size: int) -> None:
    write_picture(tmp_path / "wrong.png", trail_image((size, size)))
    ((name, reason),) = read_cutouts(tmp_path).failures
    assert name.endswith("wrong.png")
    assert f"{size} x {size} px; expected a longer side of 21 to 512 px" in reason


def test_fits_stamps_mask_what_is_not_finite(tmp_path: Path) -> None:
    data = trail_image((63, 63))
    data[3, 4] = np.nan
    fits.PrimaryHDU(data).writeto(tmp_path / "stamp.fits")
    cutouts = read_cutouts(tmp_path / "stamp.fits").cutouts[0]
    assert cutouts.mask[0].sum() == 1
    assert cutouts.difference[0, 3, 4] == 0
    assert cutouts.names == ("stamp.fits",)


def test_stacks_bring_names_masks_and_context(tmp_path: Path) -> None:
    stack = np.stack([trail_image((41, 41), seed) for seed in (1, 2)])
    mask = np.zeros(stack.shape, bool)
    mask[1, 2, 3] = True
    path = tmp_path / "stack.npz"
    np.savez(path, difference=stack, mask=mask, names=["a", "b"], science=stack, reference=stack)
    cutouts = read_cutouts(path).cutouts[0]
    assert cutouts.names == ("a", "b")
    assert cutouts.mask.sum() == 1
    assert cutouts.difference[1, 2, 3] == 0
    assert cutouts.science is not None
    np.testing.assert_array_equal(cutouts.science, stack)


def test_names_that_come_twice_are_numbered(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "one.png", trail_image())
    write_picture(tmp_path / "b" / "one.png", trail_image())
    assert read_cutouts(tmp_path).cutouts[0].names == ("one.png", "one.png#2")


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, difference=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    ((_, reason),) = read_cutouts(path).failures
    assert "holds Python objects; these are never loaded" in reason


def _no_archive(path: Path) -> None:
    path.write_bytes(b"no archive")


def _no_difference(path: Path) -> None:
    np.savez(path, other=np.zeros(3))


def _flat_difference(path: Path) -> None:
    np.savez(path, difference=np.zeros((40, 40)))


def _other_mask(path: Path) -> None:
    np.savez(path, difference=np.zeros((1, 40, 40)), mask=np.zeros((1, 41, 40)))


def _other_names(path: Path) -> None:
    np.savez(path, difference=np.zeros((2, 40, 40)), names=["a"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_archive, "cannot be read as an npz stack"),
        (_no_difference, "has no array 'difference'; expected"),
        (_flat_difference, "expected numbers"),
        (_other_mask, "mask is"),
        (_other_names, "names is"),
    ],
)
def test_a_bad_stack_is_named(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "stack.npz"
    make(path)
    ((_, reason),) = read_cutouts(path).failures
    assert words in reason


def test_a_damaged_picture_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    write_picture(tmp_path / "good.png", trail_image())
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    found = read_cutouts(tmp_path)
    assert len(found) == 1
    assert [Path(name).name for name, _ in found.failures] == ["cut.png", "text.jpg"]
    assert all("cannot be read as a picture" in reason for _, reason in found.failures)


def test_what_cannot_be_a_cutout_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("x")
    ((_, reason),) = read_cutouts(tmp_path / "a.docx").failures
    assert "expected PNG, JPEG, FITS, npz, avro" in reason


@pytest.mark.parametrize(
    ("given", "words"), [("none", "does not exist"), (".", "holds no cutouts")]
)
def test_nothing_to_read_is_an_error(tmp_path: Path, given: str, words: str) -> None:
    with pytest.raises(ReadError, match=words):
        read_cutouts(tmp_path / given)


def test_real_streak_pipeline_cutouts_are_dark_positive() -> None:
    folder = real_data("real-cutouts", "jpg")
    found = read_cutouts(sorted(folder.glob("*.jpg"))[::20])
    assert found.polarity == "dark"
    assert found.failures == []
    assert found.cutouts[-1].size_px == 157


def test_real_alerts_give_their_difference_stamps() -> None:
    folder = real_data("alerts", "fink-client")
    found = read_cutouts(folder)
    assert len(found) > 0
    assert {c.size_px for c in found.cutouts} <= set(range(31, 64))
