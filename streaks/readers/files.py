"""Which files of a folder or list are frames, and what lies beside each."""

from __future__ import annotations

import csv
import functools
import glob
import hashlib
import itertools
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streaks.disk import Limits, open_regular, read_bytes
from streaks.errors import ReadError
from streaks.readers.images import image_choices
from streaks.readers.profile import (
    FITS_SUFFIXES,
    Profile,
    builtin_profiles,
    load_profile,
    split_choice,
    stem_of,
)

__all__ = [
    "NIGHT_MARK",
    "NIGHT_PLACES",
    "FrameFiles",
    "companions",
    "fetch_ahead",
    "find_frames",
    "profile_of_name",
]

_log = logging.getLogger(__name__)

#: The file that says of a folder that it is a night's...
NIGHT_MARK = ".streaks-night"
#: ...by which older nights, which have none, are known...
_UNMARKED_NIGHT = frozenset({"ledger.sqlite", "settings.json"})
#: ...and what is no frame there: folders that hold a file a frame, and tables as FITS.
NIGHT_PLACES = ("parts", "cutouts", "overviews", "masks")
_NIGHT_TABLES = ("streaks.fits", "streaks.fits.gz")

_LIST_SUFFIXES = (".txt", ".lst", ".list", ".csv")
#: Letters, digits and what file systems, URLs and Zooniverse all take.
_UNSAFE = re.compile(r"[^\w.+-]", re.ASCII)
_MAX_NAME = 150
#: Linux fetches no more than this at one word, bytes.
_FETCHED_AT_ONCE = 1 << 17
#: Of a list of files: some millions of lines.
_LIST_LIMITS = Limits(max_bytes=1 << 28)
_BESIDE = ("mask", "science", "reference", "variance", "psf")


@dataclass(frozen=True)
class FrameFiles:
    """The files of one frame.

    Parameters
    ----------
    image
        The image to search; ``FILE[SCI,2]`` for one of a file that holds several.
    name
        Of the image, unique in its night.
    mask, science, reference, variance, psf
        What lies beside it, or None.
    profile
        Name or path of a profile; empty lets the reader decide.
    """

    image: Path
    name: str
    mask: Path | None = None
    science: Path | None = None
    reference: Path | None = None
    variance: Path | None = None
    psf: Path | None = None
    profile: str = ""

    @property
    def file(self) -> Path:
        """The file that the image lies in."""
        return split_choice(self.image)[0]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the image's first."""
        beside = (getattr(self, what) for what in _BESIDE)
        return (self.file, *(path for path in beside if path is not None))


def fetch_ahead(*paths: Path | None) -> None:
    """Ask the system to fetch files from disk while other work is done; it may decline.

    Parameters
    ----------
    *paths
        Files; None and what cannot be opened are passed over.
    """
    for path in paths:
        # There may be no such file, or no such system call.
        with suppress(OSError, AttributeError, ReadError), open_regular(path or "") as file:
            for at in range(0, os.fstat(file.fileno()).st_size, _FETCHED_AT_ONCE):
                os.posix_fadvise(file.fileno(), at, _FETCHED_AT_ONCE, os.POSIX_FADV_WILLNEED)


def find_frames(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    profile: str = "",
    hdu: str = "",
    plane: str = "",
    leave_out: str | os.PathLike[str] | None = None,
) -> list[FrameFiles]:
    """The frames in folders, globs, lists and files, sorted, each once.

    A file of several science images is as many frames: ``FILE[SCI,1]``, ``FILE[SCI,2]``.

    A folder is searched with all below it for FITS files; masks, science and reference images
    and hidden files are never frames, nor is what a night wrote in its folder. A list
    (``.txt .lst .list``) names a file a line; a ``.csv`` has a column ``image`` and may have
    ``mask, science, reference, variance``. A file named outright or in a list is always a frame,
    whatever its name; a FITS file that is missing is one too, and reading it says so.

    Parameters
    ----------
    inputs
        Folders, globs, lists and files.
    profile
        Name or path of a survey's profile; by default each file tells.
    hdu
        The image to take of every file, as ``SCI,2`` or an index from 0.
    plane
        The plane to take of every image, as `read_frame` takes it.
    leave_out
        A folder that is not searched, where it lies below one that is given or matched by a glob:
        that of the results.

    Returns
    -------
    list of FrameFiles

    Raises
    ------
    ReadError
        If a folder, list or glob given here does not exist or holds no frame.
    """
    found: dict[Path, dict[str, Path]] = {}
    not_here = "" if leave_out is None else os.path.realpath(leave_out)
    for one in [inputs] if isinstance(inputs, str | os.PathLike) else inputs:
        for image, beside in _expand(os.fspath(one), not_here):
            for part in _images_in(image, hdu, plane, profile):
                found.setdefault(part.absolute(), {}).update(beside)
    chosen = load_profile(profile) if profile else None
    images = sorted(found)
    names = _unique_names(images)
    return [
        _frame_files(image, name, found[image], chosen, profile)
        for image, name in zip(images, names, strict=True)
    ]


def _images_in(image: Path, hdu: str, plane: str, profile: str) -> Iterable[Path]:
    """An image, or those that its file holds."""
    file, chosen, chosen_plane = split_choice(image)
    plane = plane or chosen_plane
    # A survey's file, known by its name, has one; it is not opened.
    by_name = profile_of_name(file)
    survey = load_profile(profile) if profile else by_name
    one = survey is not None and (survey.name != "generic" or bool(survey.extensions))
    if hdu or chosen or one:
        labels: Sequence[str] = [hdu or chosen]
    else:
        labels = image_choices(file) or [""]
    for label in labels:
        choice = f"{label};{plane}" if plane else label
        yield file.with_name(f"{file.name}[{choice}]") if choice else file


def companions(image: Path, profile: Profile) -> dict[str, Path]:
    """Files beside an image that its survey's names tell: mask, science, reference, variance.

    Parameters
    ----------
    image
        Which need not be there.
    profile
        Of the survey.

    Returns
    -------
    dict
        Path by ``mask``, ``science``, ``reference`` or ``variance``; only of files that are there.
    """
    image = split_choice(image)[0]
    groups = profile.groups(image)
    if groups is None:
        return {}
    beside = {}
    for what, patterns in profile.companions.items():
        names = (pattern.format_map(groups) + s for pattern in patterns for s in FITS_SUFFIXES)
        found = next((p for p in map(image.with_name, names) if _is_file(p)), None)
        if found is not None and found != image:
            beside[what] = found
    return beside


def _is_file(path: Path) -> bool:
    # Unlike Path's own, false for a name that is too long for the file system.
    return os.path.isfile(path)


def profile_of_name(path: Path) -> Profile | None:
    """The shipped profile that knows a file by its name; the generic one knows any.

    Parameters
    ----------
    path
        Of an image, which need not be there.

    Returns
    -------
    Profile or None
        None where no shipped profile has a pattern that fits.
    """
    profiles = builtin_profiles().values()
    return next((profile for profile in profiles if profile.groups(path) is not None), None)


def _expand(given: str, not_here: str) -> Iterable[tuple[Path, dict[str, Path]]]:
    path = Path(given)
    if os.path.isdir(path):
        images = sorted(_folder_images(path, not_here))
        if not images:
            raise ReadError(f"{given} holds no FITS image; expected {' '.join(FITS_SUFFIXES)}")
        return [(image, {}) for image in images]
    if path.suffix.lower() in _LIST_SUFFIXES:
        return _list_images(path)
    if os.path.exists(path) or (
        given.lower().endswith(FITS_SUFFIXES) and not glob.has_magic(given)
    ):
        return [(path, {})]
    if _is_file(split_choice(path)[0]):
        return [(path, {})]
    if not glob.has_magic(given):
        raise ReadError(f"{given} does not exist; check the name")
    matched = [Path(name) for name in sorted(glob.glob(given, recursive=True))]
    images = [
        p
        for p in matched
        if _is_file(p) and not (_is_beside(p) or _is_of_a_night(p) or _lies_in(p, not_here, given))
    ]
    if not images:
        raise ReadError(f"{given} matches no image; check the pattern")
    return [(image, {}) for image in images]


def _folder_images(folder: Path, not_here: str) -> Iterable[Path]:
    if _is_of_a_night(folder):
        return
    top = os.path.realpath(folder)
    for root, folders, files in os.walk(folder, onerror=_not_searched):
        # Links are not followed below the folder: the place is that of its top.
        place = os.path.join(top, os.path.relpath(root, folder))
        ours = _is_night({*files, *folders})
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and os.path.normpath(os.path.join(place, name)) != not_here
            and not (ours and name in NIGHT_PLACES)
        )
        for name in files:
            path = Path(root, name)
            if name.startswith(".") or not name.lower().endswith(FITS_SUFFIXES):
                continue
            if ours and name in _NIGHT_TABLES:
                continue
            if not _is_beside(path):
                yield path


def _not_searched(error: OSError) -> None:
    _name_once(str(error.filename), error.strerror or str(error))


@functools.lru_cache(maxsize=1000)
def _name_once(folder: str, reason: str) -> None:
    """Once, for a watch looks again and again."""
    _log.warning("%s cannot be searched: %s", folder, reason)


def _is_night(names: Collection[str]) -> bool:
    """Whether a folder of these entries is a night's."""
    return NIGHT_MARK in names or set(names) >= _UNMARKED_NIGHT


def _is_of_a_night(path: Path) -> bool:
    """Whether a night wrote this: a folder of results, or something in one."""
    path = path.absolute()
    for above in (path, *path.parents):
        if above.name in NIGHT_PLACES:
            marks = (NIGHT_MARK, *_UNMARKED_NIGHT)
            if _is_night({name for name in marks if os.path.lexists(above.parent / name)}):
                return True
    return False


def _lies_in(path: Path, folder: str, pattern: str) -> bool:
    """Whether a match of a glob lies in a folder that is below the one that the glob names."""
    if not folder:
        return False
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    named = Path(os.path.realpath(Path(*fixed)))
    below = named in Path(folder).parents
    return below and Path(os.path.realpath(path)).is_relative_to(folder)


def _is_beside(path: Path) -> bool:
    return any(profile.is_beside(path) for profile in builtin_profiles().values())


def _list_images(path: Path) -> list[tuple[Path, dict[str, Path]]]:
    raw = read_bytes(path, _LIST_LIMITS)
    if b"\0" in raw:
        raise ReadError(f"{path} cannot be read as a list of files: it is no plain text (UTF-8)")
    # A file's name may hold bytes that are no UTF-8, as it does where Python lists a folder.
    text = raw.decode("utf-8", "surrogateescape")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = (
        _csv_rows(path, lines)
        if path.suffix.lower() == ".csv"
        else [{"image": line.strip()} for line in lines]
    )
    if not rows:
        raise ReadError(f"{path} names no image; expected one file a line")
    found = []
    for row in rows:
        files = {k: _from_list(path, v) for k, v in row.items() if v and k in ("image", *_BESIDE)}
        found.append((files.pop("image"), files))
    return found


def _csv_rows(path: Path, lines: Sequence[str]) -> list[dict[str, str]]:
    rows = list(csv.DictReader(lines))
    if rows and any(not row.get("image") for row in rows):
        raise ReadError(f"{path} needs a column 'image' with a file in every row")
    return rows


def _from_list(path: Path, entry: str) -> Path:
    """A file of a list: beside the list, or below the working folder."""
    beside = path.parent / entry
    return beside if os.path.exists(beside) or not os.path.exists(entry) else Path(entry)


def _unique_names(images: Sequence[Path]) -> list[str]:
    """Names safe as file names; those that would clash carry a hash of their path."""
    names = [_safe_name(image) for image in images]
    twice = {name for name, n in Counter(names).items() if n > 1}
    return [
        f"{name}-{hashlib.sha256(str(image).encode(errors='replace')).hexdigest()[:8]}"
        if name in twice
        else name
        for image, name in zip(images, names, strict=True)
    ]


def _safe_name(image: Path) -> str:
    """``FILE[SCI,2]`` is FILE_SCI_2."""
    stem = stem_of(image).replace("[;", "[")
    return _UNSAFE.sub("_", stem.rstrip("]") if "[" in stem else stem)[:_MAX_NAME]


def _frame_files(
    image: Path, name: str, beside: dict[str, Path], profile: Profile | None, given: str
) -> FrameFiles:
    known = profile or profile_of_name(image)
    found = {} if known is None else companions(image, known)
    return FrameFiles(image, name, profile=given, **{**found, **beside})
