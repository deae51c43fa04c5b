"""A survey's conventions: one small TOML file, read to one frozen value.

Adding a survey is adding a file to ``profiles/``, or passing a path to one. The files there say
by example what can be set; `Profile` says what it means.
"""

from __future__ import annotations

import functools
import os
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaks.disk import read_toml
from streaks.errors import ConfigError, ReadError
from streaks.frame import MaskPlane

__all__ = [
    "FITS_SUFFIXES",
    "FwhmWords",
    "MaskBits",
    "Profile",
    "TimeWords",
    "builtin_profiles",
    "load_profile",
    "split_choice",
    "stem_of",
]

#: What a FITS file may be called, longest first.
FITS_SUFFIXES = (
    ".fits.fz", ".fits.gz", ".fit.gz", ".fts.gz", ".fit.fz", ".fits", ".fit", ".fts",
)  # fmt: skip
_ANY_SUFFIX = (*FITS_SUFFIXES, ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_CHOICE = re.compile(r"(.+)\[([^\[\]/]*)\]")
_GENERIC = "generic"
_FOLDER = Path(__file__).parent / "profiles"


def split_choice(path: str | os.PathLike[str]) -> tuple[Path, str, str]:
    """A file, the image chosen in it, and the plane of that: ``FILE[SCI,2]``, ``FILE[1;mean]``.

    A file that has such a name itself is taken as it is.

    Parameters
    ----------
    path
        As a user wrote it.

    Returns
    -------
    file, image, plane
        The last two empty where none was chosen.
    """
    text = os.fspath(path)
    match = _CHOICE.fullmatch(text)
    if match is None or os.path.exists(text):
        return Path(path), "", ""
    image, _, plane = match[2].partition(";")
    return Path(match[1]), image.strip(), plane.strip()


def stem_of(path: str | os.PathLike[str]) -> str:
    """File name without folder and FITS suffix; the name of an image chosen in it stays.

    Parameters
    ----------
    path
        Of an image, or a choice in one: ``FILE[SCI,2]``.

    Returns
    -------
    str
        For instance ``night1`` or ``night1[SCI,2]``.
    """
    name, chosen = Path(path).name, ""
    match = _CHOICE.fullmatch(name)
    if match is not None and match[1].lower().endswith(_ANY_SUFFIX):
        name, chosen = match[1], f"[{match[2]}]"
    for suffix in FITS_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)] + chosen
    return name + chosen


@dataclass(frozen=True)
class TimeWords:
    """Header words that tell when the image was taken.

    Parameters
    ----------
    start, mid, end
        Words for these moments of the exposure; `start` and `end` together need both.
    clock
        Words with the time of day, where the date's word may have none.
    clock_needed
        Only the date's word with a time of day from `clock` counts.
    date_only
        Only where the word holds a date without a time of day: DATE with one is when the file was
        written.
    scale
        Time scale when the header's TIMESYS does not say.
    """

    start: str = ""
    mid: str = ""
    end: str = ""
    clock: tuple[str, ...] = ()
    clock_needed: bool = False
    date_only: bool = False
    scale: str = "utc"


@dataclass(frozen=True)
class FwhmWords:
    """Header words of the PSF's width; several are averaged.

    Parameters
    ----------
    words
        Of which all must be there.
    unit
        ``pix``, or ``arcsec`` and the like, where the header does not say.
    """

    words: tuple[str, ...]
    unit: str = "pix"


@dataclass(frozen=True)
class MaskBits:
    """What a survey's mask bits mean.

    Parameters
    ----------
    bits
        Bit number to plane.
    planes
        Name of a bit, as ``MP_name`` words give its number, to plane.
    unusable
        Bit numbers or names whose pixels must not be used.
    """

    bits: Mapping[int, MaskPlane] = field(default_factory=dict)
    planes: Mapping[str, MaskPlane] = field(default_factory=dict)
    unusable: frozenset[int | str] = frozenset()


@dataclass(frozen=True)
class Profile:
    """One survey's conventions.

    Parameters
    ----------
    name, title
        What `load_profile` knows it by, and in words.
    observatory
        MPC code, where the header gives none.
    pixel_scale_arcsec
        Where there is no WCS; NaN when unknown.
    no_data_floor
        Values at or below are no data; NaN for none. Counts of the image.
    file_name
        Pattern of a difference image's name, without suffix; its groups fill `companions`.
        Empty when the survey is not known by its names.
    marks
        Header words that tell the survey's files where neither name nor extensions do; all must
        be in the image's header.
    not_frames
        Pattern of names that lie beside and are never searched themselves.
    companions
        For mask, science, reference, variance, psf: names to look for beside the image.
    extensions
        EXTNAME of image, mask, variance, where one file holds them all.
    words
        Header words of each number or text, first that is there wins.
    fwhm
        Header words of the PSF's width, in order of preference.
    ctype
        CTYPE1 and CTYPE2 of files that have none.
    unit_zero_point_mag
        Zero point by BUNIT, when no header word gives one.
    bands
        Short name of each filter, by what the header calls it.
    times
        Header words of the time, in order of preference.
    mask
        What the bits of its masks mean.
    keep
        Header words of values worth keeping with results, by the name under which they are kept.
    """

    name: str
    title: str = ""
    observatory: str = ""
    pixel_scale_arcsec: float = float("nan")
    no_data_floor: float = float("nan")
    file_name: str = ""
    marks: tuple[str, ...] = ()
    not_frames: str = ""
    companions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fwhm: tuple[FwhmWords, ...] = ()
    ctype: tuple[str, ...] = ()
    unit_zero_point_mag: Mapping[str, float] = field(default_factory=dict)
    bands: Mapping[str, str] = field(default_factory=dict)
    times: tuple[TimeWords, ...] = ()
    mask: MaskBits = field(default_factory=MaskBits)
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def groups(self, path: str | Path) -> dict[str, str] | None:
        """What the file's name tells, or None when it is not one of this survey's.

        Parameters
        ----------
        path
            Of an image, which need not be there.

        Returns
        -------
        dict or None
            Text by the names of `file_name`'s groups; empty for a group that is not in the name.
        """
        match = re.match(self.file_name, stem_of(path)) if self.file_name else None
        return None if match is None else match.groupdict(default="")

    def is_beside(self, path: str | Path) -> bool:
        """Whether a file of this name lies beside an image and is none itself.

        Parameters
        ----------
        path
            Of a file, which need not be there.

        Returns
        -------
        bool
        """
        return bool(self.not_frames) and re.search(self.not_frames, stem_of(path)) is not None


def load_profile(name: str | Path) -> Profile:
    """A profile by its name, or from a TOML file.

    Parameters
    ----------
    name
        A shipped profile's name, such as ``ztf``; else the path of a TOML file.

    Returns
    -------
    Profile

    Raises
    ------
    ConfigError
        If there is no such profile, or the file is none.
    """
    shipped = builtin_profiles()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name)
    if not path.is_file():
        raise ConfigError(
            f"no profile {str(name)!r}: it is neither one of {', '.join(shipped)} nor a TOML file"
        )
    return _read_profile(path)


@functools.cache
def builtin_profiles() -> Mapping[str, Profile]:
    """The shipped profiles by name, the generic one last.

    Returns
    -------
    mapping of str to Profile
        Read once in a process.
    """
    profiles = {path.stem: _read_profile(path) for path in sorted(_FOLDER.glob("*.toml"))}
    profiles[_GENERIC] = profiles.pop(_GENERIC)
    return profiles


def _read_profile(path: Path) -> Profile:
    try:
        values = read_toml(path)
    except ReadError as error:
        raise ConfigError(f"profile {path} cannot be read as TOML: {error}") from None
    try:
        return _profile(path.stem, values)
    except (
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
        re.error,
    ) as error:
        raise ConfigError(
            f"profile {path} is not understood: {error}; see the shipped ones"
        ) from None


def _profile(name: str, values: Mapping[str, Any]) -> Profile:
    values = dict(values)
    words = dict(values.pop("words", {}))
    fwhm = tuple(FwhmWords(tuple(w["words"]), w.get("unit", "pix")) for w in words.pop("fwhm", ()))
    for pattern in ("file_name", "not_frames"):
        re.compile(values.get(pattern, ""))
    known = set(re.compile(values.get("file_name", "")).groupindex)
    for names in values.get("companions", {}).values():
        for name_of_companion in names:
            _check_companion(name_of_companion, known)
    return Profile(
        name=values.pop("name", name),
        words=_tuples(words),
        fwhm=fwhm,
        marks=tuple(values.pop("marks", ())),
        ctype=tuple(values.pop("ctype", ())),
        companions=_tuples(values.pop("companions", {})),
        times=tuple(_time_words(entry) for entry in values.pop("times", ())),
        mask=_mask_bits(values.pop("mask", {})),
        keep=_tuples(values.pop("keep", {})),
        **values,
    )


def _check_companion(pattern: str, known: set[str]) -> None:
    """Refuse a neighbour's name that leads elsewhere, or asks for what the file's name has not."""
    if re.search(r"[/\\\0]", pattern) or len(pattern) > 200:
        raise ValueError(f"companion {pattern!r:.60} must be the name of a file beside the image")
    for _, field_name, form, conversion in string.Formatter().parse(pattern):
        if field_name is not None and (field_name not in known or form or conversion):
            raise ValueError(
                f"companion {pattern!r:.60} asks for {{{field_name}}}; file_name has "
                f"{', '.join(sorted(known)) or 'no groups'}"
            )


def _tuples(values: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(words) for key, words in values.items()}


def _time_words(entry: Mapping[str, Any]) -> TimeWords:
    return TimeWords(**{**entry, "clock": tuple(entry.get("clock", ()))})


def _mask_bits(values: Mapping[str, Any]) -> MaskBits:
    return MaskBits(
        bits={int(bit): MaskPlane[plane] for bit, plane in values.get("bits", {}).items()},
        planes={name: MaskPlane[plane] for name, plane in values.get("planes", {}).items()},
        unusable=frozenset(values.get("unusable", ())),
    )
