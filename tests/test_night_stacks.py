"""Some cutouts of a stack, read without the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streaks.cutouts import Cutouts
from streaks.errors import ReadError
from streaks.night.outputs import load_cutouts, save_cutouts
from streaks.night.stacks import load_chosen


def _stack(n: int = 7, *, beside: bool = True) -> Cutouts:
    rng = np.random.default_rng(3)
    images = rng.normal(size=(3, n, 12, 12)).astype(np.float32)
    return Cutouts(
        difference=images[0],
        mask=rng.random((n, 12, 12)) > 0.9,
        names=tuple(f"frame_{i:04d}" for i in range(n)),
        science=images[1] if beside else None,
        reference=images[2] if beside else None,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_cutouts(tmp_path / "stack.npz", _stack())
    return tmp_path / "stack.npz"


def test_chosen_cutouts_are_those_of_the_whole_stack_in_its_order(path: Path) -> None:
    chosen = load_chosen(path, {"frame_0004", "frame_0001", "another"})
    expected = load_cutouts(path).select(np.array([1, 4]))
    assert chosen.names == ("frame_0001", "frame_0004") == expected.names
    for what in ("difference", "mask", "science", "reference"):
        np.testing.assert_array_equal(getattr(chosen, what), getattr(expected, what))


def test_science_and_reference_stay_unread_unless_asked_for(path: Path) -> None:
    chosen = load_chosen(path, ["frame_0002"], beside=False)
    assert chosen.science is None
    assert chosen.reference is None


def test_none_chosen_is_a_stack_of_none(path: Path) -> None:
    assert load_chosen(path, []).difference.shape == (0, 12, 12)


def test_a_stack_of_no_streaks_gives_none(tmp_path: Path) -> None:
    save_cutouts(tmp_path / "empty.npz", _stack(0, beside=False))
    assert len(load_chosen(tmp_path / "empty.npz", ["frame_0001"])) == 0


def test_a_missing_stack_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"stack\.npz does not exist; run the night again"):
        load_chosen(tmp_path / "stack.npz", [])


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.95])
def test_a_stack_cut_short_is_named(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ReadError, match="is damaged"):
        load_chosen(path, ["frame_0001"])


def test_a_stack_that_promises_more_than_it_holds_is_named(path: Path) -> None:
    # As long as before, and a hundred times as many cutouts.
    path.write_bytes(path.read_bytes().replace(b"(7, 12, 12), }  ", b"(700, 12, 12), }"))
    with pytest.raises(ReadError, match="is damaged"):
        load_chosen(path, ["frame_0001"])


def test_a_compressed_stack_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "stack.npz", names=np.array(["a"]))
    with pytest.raises(ReadError, match=r"names\.npy is compressed"):
        load_chosen(tmp_path / "stack.npz", ["a"])
