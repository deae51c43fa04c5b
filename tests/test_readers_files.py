"""Which files are frames, and what lies beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streaks.errors import ConfigError, ReadError
from streaks.readers import fetch_ahead, find_frames, load_profile
from streaks.readers.profile import builtin_profiles, stem_of

STEM = "ztf_20180607199178_000663_zr_c04_o_q2"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names_of(found: list) -> list[str]:
    return [files.image.name for files in found]


def test_masks_science_and_references_are_no_frames(tmp_path: Path) -> None:
    touch(
        tmp_path,
        f"{STEM}_scimrefdiffimg.fits.fz",
        f"{STEM}_mskimg.fits",
        f"{STEM}_sciimg.fits",
        f"{STEM}_diffimgpsf.fits",
        "ztf_000663_zr_c04_q2_refimg.fits",
        "other.fits",
        "other_mask.fits",
        "notes.txt",
        ".hidden.fits",
    )
    assert names_of(find_frames(tmp_path)) == ["other.fits", f"{STEM}_scimrefdiffimg.fits.fz"]


def test_companions_are_found_by_name_in_any_packing(tmp_path: Path) -> None:
    touch(
        tmp_path,
        f"{STEM}_scimrefdiffimg.fits",
        f"{STEM}_mskimg.fits.fz",
        f"{STEM}_sciimg.fits.gz",
        "ztf_000663_zr_c04_q2_refimg.fits",
        "ztf_000663_zg_c04_q2_refimg.fits",
        "ztf_000663_zr_c04_q1_refimg.fits",
    )
    (files,) = find_frames(tmp_path)
    assert files.mask == tmp_path / f"{STEM}_mskimg.fits.fz"
    assert files.science == tmp_path / f"{STEM}_sciimg.fits.gz"
    assert files.reference == tmp_path / "ztf_000663_zr_c04_q2_refimg.fits"


def test_folders_are_searched_to_the_bottom_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b/two.fits", "a/deep/one.fit", "c.fts", ".git/no.fits")
    assert names_of(find_frames(tmp_path)) == ["one.fit", "two.fits", "c.fts"]


def test_what_is_given_twice_comes_once(tmp_path: Path) -> None:
    touch(tmp_path, "one.fits", "two.fits")
    found = find_frames([tmp_path, tmp_path / "one.fits", tmp_path / "*.fits"])
    assert names_of(found) == ["one.fits", "two.fits"]


def test_files_of_one_name_in_two_folders_have_names_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "a/image.fits", "b/image.fits", "c/other.fits")
    names = [files.name for files in find_frames(tmp_path)]
    assert len(set(names)) == 3
    assert names[2] == "other"
    assert all(name.startswith("image-") for name in names[:2])
    assert names == [files.name for files in find_frames(tmp_path)]


def test_names_are_safe_for_any_file_system(tmp_path: Path) -> None:
    touch(tmp_path, "a b<i>\n,c.fits")
    (files,) = find_frames(tmp_path)
    assert files.name == "a_b_i___c"


def test_a_list_names_files_beside_it_and_may_name_missing_ones(tmp_path: Path) -> None:
    touch(tmp_path, "sub/one.fits")
    (tmp_path / "night.txt").write_text("# a comment\nsub/one.fits\n\nmissing.fits\n")
    found = find_frames(tmp_path / "night.txt")
    assert names_of(found) == ["missing.fits", "one.fits"]


def test_a_csv_list_brings_masks_along(tmp_path: Path) -> None:
    touch(tmp_path, "one.fits", "two.fits", "bad.fits")
    (tmp_path / "night.csv").write_text("image,mask\none.fits,bad.fits\ntwo.fits,\n")
    one, two = find_frames(tmp_path / "night.csv")
    assert one.mask == tmp_path / "bad.fits"
    assert two.mask is None


def test_a_file_named_outright_is_a_frame_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, f"{STEM}_sciimg.fits")
    assert len(find_frames(tmp_path / f"{STEM}_sciimg.fits")) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("empty", "holds no FITS image"),
        ("none*.fits", "matches no image"),
        ("none.txt", "does not exist"),
        ("none", "does not exist"),
        ("blank.txt", "names no image"),
        ("wrong.csv", "needs a column 'image'"),
    ],
)
def test_inputs_without_a_frame_are_named(tmp_path: Path, given: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text("\n# nothing\n")
    (tmp_path / "wrong.csv").write_text("file,mask\na.fits,b.fits\n")
    with pytest.raises(ReadError, match=words):
        find_frames(tmp_path / given)


# ------------------------------------------------------------------------------------- profiles


def test_the_generic_profile_is_asked_last() -> None:
    assert list(builtin_profiles())[-1] == "generic"


def test_a_new_survey_is_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "atlas.toml").write_text(
        "observatory = 'T05'\n[words]\nexposure_s = ['SHUT']\n[[times]]\nend = 'T-END'\n"
        "[mask]\nunusable = [3]\n[mask.bits]\n3 = 'SATURATED'\n"
    )
    profile = load_profile(tmp_path / "atlas.toml")
    assert (profile.name, profile.observatory) == ("atlas", "T05")
    assert profile.times[0].end == "T-END"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not toml [", "cannot be read as TOML"),
        ("unheard_of = 1", "is not understood"),
        ("[mask.bits]\n3 = 'PINK'", "is not understood"),
        ("file_name = '('", "is not understood"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_profile(path)


def test_an_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"neither one of .*ztf.* nor a TOML file"):
        load_profile("hubble")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.fits.fz", "a"),
        ("b.FITS", "b"),
        ("c.d.fit", "c.d"),
        ("e.txt", "e.txt"),
        (".fits", ".fits"),
    ],
)
def test_stems_lose_only_fits_suffixes(name: str, stem: str) -> None:
    assert stem_of(Path("/somewhere") / name) == stem


def test_what_cannot_be_fetched_ahead_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, at, n, how: asked.append((at, n)))
    (tmp_path / "there").write_bytes(bytes(300_000))
    fetch_ahead(None, tmp_path / "not there", tmp_path, tmp_path / "there")
    assert [at for at, _ in asked] == [0, 131_072, 262_144]
    assert asked[-1][0] + asked[-1][1] >= 300_000
