"""When two frames count as the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from streaks.readers import FrameFiles
from streaks.search.identity import content_digest, file_digest

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

#: More than one piece, and no whole number of them.
_N = 600_000


@pytest.fixture
def files(tmp_path: Path) -> FrameFiles:
    paths = {name: tmp_path / f"{name}.fits" for name in ("image", "mask", "science")}
    for i, path in enumerate(paths.values()):
        path.write_bytes(bytes(k * (i + 3) % 251 for k in range(_N)))
    return FrameFiles(name="f", **paths)


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["image", "mask"])
@pytest.mark.parametrize("at", [0, 300_000, _N - 1])
def test_one_bit_of_image_or_mask_makes_another_frame(
    files: FrameFiles, what: str, at: int
) -> None:
    before = content_digest(files)
    _flip(getattr(files, what), at)
    assert content_digest(files) != before


def test_image_and_mask_exchanged_are_another_frame(files: FrameFiles) -> None:
    assert files.mask is not None
    exchanged = dataclasses.replace(files, image=files.mask, mask=files.image)
    assert content_digest(exchanged) != content_digest(files)


def test_the_name_and_time_of_an_image_do_not_matter(files: FrameFiles) -> None:
    before = content_digest(files)
    moved = files.image.rename(files.image.with_name("elsewhere.fits"))
    assert content_digest(dataclasses.replace(files, image=moved)) == before


def test_a_science_image_written_anew_makes_another_frame(files: FrameFiles) -> None:
    before = content_digest(files)
    assert files.science is not None
    _flip(files.science, 5)
    assert content_digest(files) != before
    before = content_digest(files)
    files.science.write_bytes(b"short")
    assert content_digest(files) != before


def test_a_file_digest_is_the_beginning_of_its_sha256(tmp_path: Path) -> None:
    # NIST FIPS 180-4, example of "abc".
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223"
