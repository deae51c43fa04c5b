"""Cutouts as users have them: pictures, FITS stamps, stacks, alerts."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.disk import Limits, load_arrays
from streaks.errors import ConfigError, ReadError, StreaksError
from streaks.readers.images import open_images
from streaks.readers.pictures import flat_areas, is_dark_positive, read_picture
from streaks.readers.profile import FITS_SUFFIXES
from streaks.readers.psf_images import psf_extension_fwhm

__all__ = ["POLARITIES", "CutoutSet", "read_cutouts"]

_log = logging.getLogger(__name__)

POLARITIES = ("auto", "dark", "light")
_PICTURES = (".png", ".jpg", ".jpeg")
_STACKS = (".npz",)
_ALERTS = (".avro",)
#: Longer side. Rubin's stamps are 30 px, ours 128, ZTF's streaks 157.
_SIZES_PX = (21, 512)
#: An image that is larger is a frame, whose place is `streaks detect`.
_MAX_PIXELS = 4096 * 4096
#: What a stack holds; other arrays of the file are not read.
_ARRAYS = ("difference", "mask", "science", "reference", "names", "fwhm_px")
#: 16,000 cutouts of 128 px. Differences are noise, which hardly shrinks, and masks are small.
_STACK_LIMITS = Limits(max_bytes=1 << 30, max_ratio=100.0)
#: FWHM that a PSF may have, px.
_LEAST_FWHM_PX, _MOST_FWHM_PX = 0.5, 50.0
#: Below this a set's median skewness is noise.
_CLEAR_SKEWNESS = 0.02


@dataclass(frozen=True, eq=False)
class CutoutSet:
    """Cutouts read from files.

    Parameters
    ----------
    cutouts
        One stack a size, smallest first.
    failures
        Files (or their members) that gave no cutout, each with the reason.
    polarity
        ``dark`` or ``light`` for what pictures there were; empty without any.
    """

    cutouts: list[Cutouts]
    failures: list[tuple[str, str]]
    polarity: str = ""

    def __len__(self) -> int:
        return sum(len(stack) for stack in self.cutouts)


@dataclass(frozen=True, eq=False)
class _Stamp:
    """One cutout of any shape; `picture` when its values are grey levels."""

    name: str
    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    beside: Mapping[str, NDArray[np.float32]]
    picture: bool = False
    fwhm_px: float = math.nan


def read_cutouts(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, polarity: str = "auto"
) -> CutoutSet:
    """Cutouts from folders, pictures, FITS stamps, ``.npz`` stacks and Avro alerts.

    Parameters
    ----------
    paths
        Folders are searched with all below them, in sorted order.
    polarity
        Of 8-bit pictures: ``dark`` means that dark is positive (ZTF's streak pipeline), ``light``
        the opposite, ``auto`` decides over the whole set by skewness and says so in the log.

    Returns
    -------
    CutoutSet
        Pictures that are not square (cut at a chip's edge) are padded with masked pixels. Areas
        of exactly one grey value are masked.

    Raises
    ------
    ConfigError
        For an unknown polarity.
    ReadError
        If a path does not exist, or nothing there could be a cutout.
    """
    if polarity not in POLARITIES:
        raise ConfigError(f"polarity is {polarity!r}; expected one of {', '.join(POLARITIES)}")
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = [file for one in given for file in _expand(Path(one))]
    stamps: list[_Stamp] = []
    failures: list[tuple[str, str]] = []
    for file in files:
        _read_file(file, stamps, failures)
    stamps = _uniquely_named(stamps)
    polarity = _decide_polarity(stamps, polarity)
    return CutoutSet(_stacked(stamps, polarity == "dark"), failures, polarity)


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        if (path / "streaks.parquet").is_file() and (path / "cutouts").is_dir():
            path = path / "cutouts"  # a night; its overviews are pictures, and no cutouts
        suffixes = (*_PICTURES, *_STACKS, *_ALERTS, *FITS_SUFFIXES)
        found = sorted(
            file
            for file in path.rglob("*")
            if file.name.lower().endswith(suffixes) and not file.name.startswith(".")
        )
        if not found:
            raise ReadError(f"{path} holds no cutouts; expected {' '.join(suffixes)}")
        return found
    if not path.exists():
        raise ReadError(f"{path} does not exist; check the name")
    return [path]


def _read_file(file: Path, stamps: list[_Stamp], failures: list[tuple[str, str]]) -> None:
    """Adds a file's cutouts, or the reason why there are none."""
    try:
        if file.suffix.lower() in _ALERTS:
            read, failed = _alert_stamps(file)
            failures.extend(failed)
        else:
            read = list(_file_stamps(file))
    except StreaksError as error:
        failures.append((str(file), str(error)))
        return
    except Exception as error:  # one file that nobody foresaw must not cost the others
        reason = " ".join(str(error).split())[:160]
        failures.append((str(file), f"cannot be read ({type(error).__name__}: {reason})"))
        return
    for stamp in read:
        reason = _size_trouble(stamp.data.shape)
        if reason:
            failures.append((f"{file}" if len(read) == 1 else f"{file}: {stamp.name}", reason))
        else:
            stamps.append(stamp)


def _file_stamps(file: Path) -> Iterator[_Stamp]:
    name = file.name.lower()
    if name.endswith(_PICTURES):
        grey, mask = read_picture(file)
        yield _Stamp(file.name, grey, mask | flat_areas(grey), {}, picture=True)
    elif name.endswith(_STACKS):
        yield from _stack_stamps(file)
    elif name.endswith(FITS_SUFFIXES):
        with np.errstate(over="ignore", invalid="ignore"):
            with open_images(file) as opened:
                image = opened.read(opened.first("") or opened.find(), max_pixels=_MAX_PIXELS)
                fwhm_px, _ = psf_extension_fwhm(opened)
            data = np.ascontiguousarray(image.data, dtype=np.float32)
        yield _Stamp(file.name, data, ~np.isfinite(data), {}, fwhm_px=fwhm_px)
    else:
        raise ReadError(f"{file} is no cutout that is known: expected PNG, JPEG, FITS, npz, avro")


def _stack_stamps(file: Path) -> Iterator[_Stamp]:
    arrays = load_arrays(file, _ARRAYS, _STACK_LIMITS)
    if "difference" not in arrays:
        raise ReadError(f"{file} has no array 'difference'; expected (n, ny, nx) of numbers")
    difference = arrays["difference"]
    if difference.ndim != 3 or difference.dtype.kind not in "fiu":
        raise ReadError(f"{file}: difference is {difference.shape}; expected numbers (n, ny, nx)")
    if reason := _size_trouble(difference.shape[1:]):
        raise ReadError(f"{file}: {reason}")
    n = len(difference)
    names = arrays.get("names", np.array([f"{file.stem}_{i:06d}" for i in range(n)], dtype=str))
    for what in ("mask", "science", "reference"):
        if what in arrays and arrays[what].shape != difference.shape:
            raise ReadError(f"{file}: {what} is {arrays[what].shape}, not {difference.shape}")
        if what in arrays and arrays[what].dtype.kind not in "biuf":
            raise ReadError(f"{file}: {what} is of {arrays[what].dtype}; expected numbers")
    widths = arrays.get("fwhm_px", np.full(n, np.nan))
    if names.shape != (n,):
        raise ReadError(f"{file}: names is {names.shape}, expected ({n},)")
    if widths.shape != (n,) or widths.dtype.kind not in "iuf":
        raise ReadError(
            f"{file}: fwhm_px is {widths.shape} of {widths.dtype}; expected ({n},) of numbers"
        )
    for i in range(n):
        data = _as_float32(difference[i])
        mask = ~np.isfinite(data)
        if "mask" in arrays:
            mask |= arrays["mask"][i].astype(bool)
        beside: dict[str, NDArray[np.float32]] = {
            what: _as_float32(arrays[what][i])
            for what in ("science", "reference")
            if what in arrays
        }
        yield _Stamp(str(names[i]), data, mask, beside, fwhm_px=float(widths[i]))


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32, copy=False)


def _alert_stamps(file: Path) -> tuple[list[_Stamp], list[tuple[str, str]]]:
    from streaks.readers.alerts import read_alerts

    alerts, failed = read_alerts([file])
    failures = [(str(failure.path), failure.reason) for failure in failed]
    stamps = []
    for alert in alerts:
        data = alert.true_difference
        if data is None:
            failures.append((f"{file}: {alert.name}", "the alert has no difference stamp"))
            continue
        stamps.append(_Stamp(alert.name, data, ~np.isfinite(data), {}, fwhm_px=alert.fwhm_px))
    return stamps, failures


def _size_trouble(shape: Sequence[int]) -> str:
    low, high = _SIZES_PX
    if not low <= max(shape) <= high:
        return f"{shape[1]} x {shape[0]} px; expected a longer side of {low} to {high} px"
    return ""


def _uniquely_named(stamps: Sequence[_Stamp]) -> list[_Stamp]:
    """Names that come twice are numbered: tables are joined on them."""
    seen: Counter[str] = Counter()
    renamed = []
    for stamp in stamps:
        seen[stamp.name] += 1
        n = seen[stamp.name]
        renamed.append(stamp if n == 1 else replace(stamp, name=f"{stamp.name}#{n}"))
    return renamed


def _decide_polarity(stamps: Sequence[_Stamp], polarity: str) -> str:
    pictures = [stamp.data[~stamp.mask] for stamp in stamps if stamp.picture]
    if not pictures:
        return ""
    if polarity != "auto":
        return polarity
    dark, skewness = is_dark_positive(pictures)
    chosen = "dark" if dark and abs(skewness) >= _CLEAR_SKEWNESS else "light"
    level = logging.INFO if abs(skewness) >= _CLEAR_SKEWNESS else logging.WARNING
    _log.log(
        level,
        "%d pictures: %s is positive (median skewness %.2f); if not, say so with --polarity",
        len(pictures),
        chosen,
        skewness,
    )
    return chosen


def _stacked(stamps: Sequence[_Stamp], dark: bool) -> list[Cutouts]:
    by_size: dict[int, list[_Stamp]] = defaultdict(list)
    for stamp in stamps:
        by_size[max(stamp.data.shape)].append(stamp)
    return [_stack(size, group, dark) for size, group in sorted(by_size.items())]


def _stack(size: int, group: Sequence[_Stamp], dark: bool) -> Cutouts:
    n = len(group)
    difference, mask = np.zeros((n, size, size), np.float32), np.ones((n, size, size), bool)
    whats = [w for w in ("science", "reference") if all(w in stamp.beside for stamp in group)]
    beside = {what: np.full((n, size, size), np.nan, np.float32) for what in whats}
    for i, stamp in enumerate(group):
        ny, nx = stamp.data.shape
        # Which edge of the chip was cut is not told: the middle stays the middle.
        y, x = (size - ny) // 2, (size - nx) // 2
        here = (slice(y, y + ny), slice(x, x + nx))
        data = 255.0 - stamp.data if stamp.picture and dark else stamp.data
        difference[i][here] = np.where(stamp.mask, 0.0, data)
        mask[i][here] = stamp.mask
        for what in whats:
            beside[what][i][here] = stamp.beside[what]
    fwhm_px = np.array([_usable_width(stamp.fwhm_px) for stamp in group])
    names = tuple(stamp.name for stamp in group)
    return Cutouts(difference, mask, names, **beside, fwhm_px=fwhm_px)


def _usable_width(fwhm_px: float) -> float:
    """A FWHM that some PSF may have, px; NaN for others."""
    return fwhm_px if _LEAST_FWHM_PX <= fwhm_px <= _MOST_FWHM_PX else math.nan
