"""A survey's mask bits: one answer in whatever kind of integers they are stored."""

import numpy as np
import pytest

from streaks.errors import FrameError
from streaks.frame import MaskPlane
from streaks.readers.masks import ResolvedBits, read_mask_bits

#: Bit 1 is a source and usable, bit 4 saturated, bit 14 bad.
BITS = ResolvedBits(
    {1: MaskPlane.SOURCE, 4: MaskPlane.SATURATED, 14: MaskPlane.BAD}, frozenset({4, 14})
)
KINDS = ("u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", ">i8", "<f4", ">f4")


@pytest.mark.parametrize("kind", KINDS)
def test_bits_mean_the_same_in_every_kind_of_number(kind):
    values = np.random.default_rng(3).choice([0, 2, 16, 18, 200], (31, 40))
    mask, planes = read_mask_bits(values.astype(kind), BITS, "m")
    np.testing.assert_array_equal(mask, values & 16 > 0)
    source = np.where(values & 2 > 0, MaskPlane.SOURCE, 0)
    saturated = np.where(values & 16 > 0, MaskPlane.SATURATED, 0)
    np.testing.assert_array_equal(planes, source | saturated)
    assert (mask.dtype, planes.dtype) == (bool, np.uint8)


@pytest.mark.parametrize("kind", ["<i2", ">i2", ">i4"])
def test_high_bits_of_signed_numbers_are_seen(kind):
    # ZTF's mask is a 16-bit integer with sign; -32768 is bit 15 alone.
    values = np.array([[0, 1 << 14, -32768, (1 << 14) - 32768]]).astype(kind)
    bits = ResolvedBits({14: MaskPlane.BAD, 15: MaskPlane.GHOST}, frozenset({15}))
    mask, planes = read_mask_bits(values, bits, "m")
    assert mask.tolist() == [[False, False, True, True]]
    assert planes.tolist() == [[0, MaskPlane.BAD, MaskPlane.GHOST, 1 | MaskPlane.GHOST]]


def test_every_plane_and_the_mask_have_room_beside_each_other():
    every = {bit: MaskPlane(1 << bit) for bit in range(7)}
    values = np.array([[127, 0]], np.int16)
    mask, planes = read_mask_bits(values, ResolvedBits(every, frozenset({6})), "m")
    assert mask.tolist() == [[True, False]]
    assert planes.tolist() == [[127, 0]]


def test_bits_beyond_sixteen_are_seen():
    bits = ResolvedBits({20: MaskPlane.GHOST}, frozenset({20}))
    mask, planes = read_mask_bits(np.array([[1 << 20, 3]], np.int32), bits, "m")
    assert mask.tolist() == [[True, False]]
    assert planes.tolist() == [[MaskPlane.GHOST, 0]]


def test_a_mask_of_no_pixels_is_empty():
    mask, planes = read_mask_bits(np.zeros((0, 5), ">i4"), BITS, "m")
    assert mask.shape == planes.shape == (0, 5)


def test_fractions_are_no_bits():
    with pytest.raises(FrameError, match="the mask of m holds fractions"):
        read_mask_bits(np.array([[0.5]]), BITS, "m")


@pytest.mark.parametrize("kind", ["u1", ">i2", "<u2", ">i4", "f4"])
def test_pixels_unusable_in_any_case_are_bad_beside_what_the_mask_says(kind: str) -> None:
    rng = np.random.default_rng(3)
    # Runs of zeros longer and shorter than what is looked at together.
    values = np.where(rng.random((19, 130)) < 0.02, rng.integers(0, 128, (19, 130)), 0)
    unusable = rng.random(values.shape) < 0.1
    mask, planes = read_mask_bits(values.astype(kind), BITS, "m", unusable=unusable)
    alone, planes_alone = read_mask_bits(values.astype(kind), BITS, "m")
    assert (mask == (alone | unusable)).all()
    assert (planes == planes_alone | np.where(unusable, np.uint8(MaskPlane.BAD), 0)).all()
