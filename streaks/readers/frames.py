"""A FITS file and what lies beside it, read to one `Frame`."""

from __future__ import annotations

import functools
import logging
import math
import os
import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.errors import ConfigError, FrameError, ReadError
from streaks.frame import Frame, Image
from streaks.readers import headers
from streaks.readers.alignment import aligned
from streaks.readers.files import companions
from streaks.readers.images import FitsImage, has_extensions, read_image
from streaks.readers.masks import read_mask_bits, resolve_bits
from streaks.readers.profile import Profile, builtin_profiles, load_profile, stem_of
from streaks.readers.times import mid_exposure, parse_instant

__all__ = ["FrameOverrides", "read_frame"]

_log = logging.getLogger(__name__)

#: Smallest and largest believable size of a pixel on the sky.
_SCALE_RANGE_ARCSEC = (1e-3, 1e3)
_WCS_WORD = re.compile(
    r"WCSAXES|NAXIS[12]?|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PV[12]_\d+"
    r"|(A|B|AP|BP)_(ORDER|DMAX|\d_\d)|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX"
)
_WCS_NUMBER = re.compile(r"(CRPIX|CRVAL|CDELT)[12]|(CD|PC)[12]_[12]")


#: What a user may say of an image, ends included; of some, 0 excluded.
_ABOVE_0 = ("fwhm_px", "gain", "exposure_s", "saturation")
_RANGES = {
    "fwhm_px": (0.0, 100.0),
    "gain": (0.0, 1e6),
    "exposure_s": (0.0, 1e7),
    "saturation": (0.0, 1e12),
    "zero_point_mag": (-50.0, 100.0),
    "read_noise_e": (0.0, 1e6),
}


@dataclass(frozen=True, kw_only=True)
class FrameOverrides:
    """What the user knows better than the header; None leaves the header's word.

    Parameters
    ----------
    time
        MID-exposure, UTC: a `Time`, or ISO 8601 text, or a Julian date.
    fwhm_px, zero_point_mag, gain, exposure_s, read_noise_e, saturation, band, observatory
        As in `Frame`.
    """

    fwhm_px: float | None = None
    zero_point_mag: float | None = None
    gain: float | None = None
    exposure_s: float | None = None
    read_noise_e: float | None = None
    saturation: float | None = None
    band: str | None = None
    observatory: str | None = None
    time: Time | str | float | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            given = getattr(self, name)
            if given is not None and name in _ABOVE_0 and not given > 0:
                raise ConfigError(f"{name} is {given}; it must be greater than 0")
            if given is not None and not low <= given <= high:
                raise ConfigError(f"{name} is {given}; it must be {low:g} to {high:g}")
        if self.time is not None and self._mid() is None:
            raise ConfigError(
                f"time is {self.time!r}; expected mid-exposure in UTC as 2018-06-07T04:12:33"
            )

    def _mid(self) -> Time | None:
        return self.time if isinstance(self.time, Time) else parse_instant(self.time)

    def apply(self, frame: Frame) -> Frame:
        """The frame with what is given here."""
        names = (
            "fwhm_px", "zero_point_mag", "gain", "exposure_s", "read_noise_e", "saturation",
            "band", "observatory",
        )  # fmt: skip
        given: dict[str, Any] = {
            name: getattr(self, name) for name in names if getattr(self, name) is not None
        }
        if self.time is not None:
            given["time"] = self._mid()
        return replace(frame, **given)


def read_frame(
    path: str | os.PathLike[str],
    *,
    mask: str | os.PathLike[str] | None = None,
    science: str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    variance: str | os.PathLike[str] | None = None,
    profile: Profile | str | os.PathLike[str] | None = None,
    overrides: FrameOverrides | None = None,
) -> Frame:
    """One image with everything its files tell.

    Parameters
    ----------
    path
        A FITS file (plain, gzipped or tile-compressed) with a 2-D image in any HDU.
    mask, science, reference, variance
        Files beside it; those not given are looked for by the survey's names and extensions.
    profile
        A survey's conventions: a name, a TOML file, or None to tell from the file.
    overrides
        What the user knows better than the header.

    Returns
    -------
    Frame
        float32, native byte order; not finite or at the survey's floor is masked. Numbers that
        nothing tells are NaN. A broken or absent WCS gives a frame without one, and is logged.

    Raises
    ------
    ReadError
        If a file is missing, empty, cut short or no FITS image.
    FrameError
        If the mask or variance does not fit the image, or no pixel is usable.
    ConfigError
        For an unknown profile.
    """
    path, overrides = Path(path), overrides or FrameOverrides()
    survey = _choose_profile(path, profile)
    image = read_image(path, survey.extensions.get("image", ""))
    beside = companions(path, survey)
    given = {"mask": mask, "science": science, "reference": reference, "variance": variance}
    explicit = {what: Path(file) for what, file in given.items() if file is not None}
    frame = _bare_frame(path, image, survey, overrides)
    frame = _with_mask(frame, survey, {**beside, **explicit}.get("mask"))
    frame = _with_variance(frame, survey, {**beside, **explicit}.get("variance"))
    if frame.mask.all():
        raise FrameError(f"{path} has no usable pixel: all are masked, not finite or at the floor")
    for what in ("science", "reference"):
        if what in explicit:
            frame = _with_context(frame, what, explicit[what])
        elif what in beside:
            frame = _with_context_if_any(frame, what, beside[what])
    return frame


def _choose_profile(path: Path, given: Profile | str | os.PathLike[str] | None) -> Profile:
    if isinstance(given, Profile):
        return given
    if given:
        return load_profile(os.fspath(given))
    *surveys, generic = builtin_profiles().values()
    by_name = (profile for profile in surveys if profile.groups(path) is not None)
    # A name is known without opening the file.
    return next(by_name, None) or next(
        (
            profile
            for profile in surveys
            if profile.extensions and has_extensions(path, tuple(profile.extensions.values()))
        ),
        generic,
    )


def _bare_frame(path: Path, image: FitsImage, survey: Profile, overrides: FrameOverrides) -> Frame:
    """Data and what the header tells, without companions."""
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.ascontiguousarray(image.data, dtype=np.float32)
    header, words = image.header, survey.words
    wcs = _read_wcs(header, str(path))
    groups = survey.groups(path) or {}
    frame = Frame(
        data=data,
        mask=_unusable(data, survey.no_data_floor),
        name=stem_of(path),
        wcs=wcs,
        exposure_s=_positive(headers.number(header, words.get("exposure_s", ()))),
        zero_point_mag=_zero_point(header, survey),
        gain=_positive(headers.number(header, words.get("gain", ()))),
        read_noise_e=_positive(headers.number(header, words.get("read_noise_e", ()))),
        saturation=_positive(headers.number(header, words.get("saturation", ()))),
        band=_band(header, survey, groups.get("filter", "")),
        observatory=_observatory(header, survey),
        path=str(path),
        header=_kept(header, survey, groups),
    )
    scale = survey.pixel_scale_arcsec if wcs is None else frame.pixel_scale_arcsec
    fwhm_px = headers.psf_fwhm_px(header, survey.fwhm, scale)
    frame = overrides.apply(replace(frame, fwhm_px=fwhm_px))
    if overrides.time is not None:
        return frame
    return replace(frame, time=mid_exposure(header, survey.times, frame.exposure_s, str(path)))


def _unusable(data: Image, floor: float) -> NDArray[np.bool_]:
    from streaks.readers.pixels import unusable

    mask = np.empty(data.shape, bool)
    unusable(data.ravel(), floor if math.isfinite(floor) else -math.inf, mask.ravel())
    return mask


def _positive(found: float) -> float:
    return found if found > 0 else math.nan


def _zero_point(header: fits.Header, survey: Profile) -> float:
    found = headers.number(header, survey.words.get("zero_point_mag", ()))
    if not 0 < found < 50:
        unit = headers.text(header, ["BUNIT"])
        return survey.unit_zero_point_mag.get(unit, math.nan)
    return found


def _band(header: fits.Header, survey: Profile, from_name: str) -> str:
    stated = headers.text(header, survey.words.get("band", ())) or from_name
    # "i DECam SDSS c0003 7835.0 1470.0" is i.
    return survey.bands.get(stated, stated.split()[0] if stated else "")


def _observatory(header: fits.Header, survey: Profile) -> str:
    stated = headers.text(header, survey.words.get("observatory", ()))
    return stated if len(stated) == 3 else survey.observatory


def _kept(header: fits.Header, survey: Profile, groups: dict[str, str]) -> dict[str, Any]:
    # "c04" is CCD 4.
    from_name = {
        name: int(re.sub(r"\D", "", groups[name]) or -1)
        for name in ("field", "ccd", "quadrant")
        if groups.get(name)
    }
    return {**from_name, **headers.kept_values(header, survey.keep), "survey": survey.name}


def _read_wcs(header: fits.Header, name: str) -> WCS | None:
    """Celestial coordinates; None, with a warning in the log, where they make no sense.

    They are the caller's own, to change as it likes.
    """
    if not any(word in header for word in ("CTYPE1", "CRVAL1", "CD1_1", "CDELT1")):
        return None
    try:
        wcs, reason = _wcs_of(_wcs_words(header))
    except Exception as error:
        # wcslib and astropy raise many kinds for nonsense in a header.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
    if reason:
        _log.warning("%s: WCS ignored, no sky coordinates: %s", name, reason)
        return None
    return wcs.deepcopy()


@dataclass(frozen=True)
class _WcsWords:
    """The words that make coordinates: equal where their values are."""

    values: str
    header: fits.Header = field(compare=False)


def _wcs_words(header: fits.Header) -> _WcsWords:
    """The words that make the coordinates, and no others: a bad one elsewhere spoils nothing."""
    kept: dict[str, fits.Card] = {}
    for card in header.cards:
        if card.keyword not in kept and _WCS_WORD.fullmatch(card.keyword):
            kept[card.keyword] = card
    values = [(word, card.value) for word, card in kept.items()]  # raises where there is none
    # Cards as they are: made again from their values they cost as much as the coordinates.
    return _WcsWords(repr(values), fits.Header(list(kept.values())))


@functools.lru_cache(maxsize=8)
def _wcs_of(words: _WcsWords) -> tuple[WCS, str]:
    """Coordinates, and what is wrong with them.

    Kept, because a science image has those of its difference image, and a reference those that it
    had for the frame before.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(words.header, naxis=2)
        return wcs, _wcs_trouble(wcs, words.header)


def _wcs_trouble(wcs: WCS, header: fits.Header) -> str:
    if not wcs.has_celestial:
        return "it is not celestial"
    # wcslib passes over a word that is no number, and puts the sky elsewhere.
    for word in (w for w in header if _WCS_NUMBER.fullmatch(w)):
        if not math.isfinite(headers.number(header, [word], lowest=-math.inf)):
            return f"{word} is no number"
    nx, ny = float(header["NAXIS1"]), float(header["NAXIS2"])
    corners = wcs.all_pix2world([0, nx - 1, 0, nx - 1], [0, 0, ny - 1, ny - 1], 0)
    if not np.isfinite(corners).all():
        return "a corner of the image has no coordinates"
    scale = float(np.sqrt(wcs.proj_plane_pixel_area().to_value("arcsec2")))
    if not _SCALE_RANGE_ARCSEC[0] < scale < _SCALE_RANGE_ARCSEC[1]:
        return f"a pixel would be {scale:g} arcsec"
    return ""


def _with_mask(frame: Frame, survey: Profile, path: Path | None) -> Frame:
    extension = survey.extensions.get("mask", "")
    if path is None and not extension:
        return frame
    image = read_image(path or frame.path, "" if path else extension)
    if image.data.shape != frame.shape:
        raise FrameError(
            f"the mask of {frame.path} is {image.data.shape}, its image {frame.shape}; "
            "give the mask that belongs to it"
        )
    bits = resolve_bits(survey.mask, image.header)
    mask, planes = read_mask_bits(image.data, bits, frame.name, unusable=frame.mask)
    return replace(frame, mask=mask, planes=planes)


def _with_variance(frame: Frame, survey: Profile, path: Path | None) -> Frame:
    extension = survey.extensions.get("variance", "")
    if path is None and not extension:
        return frame
    image = read_image(path or frame.path, "" if path else extension)
    if image.data.shape != frame.shape:
        raise FrameError(
            f"the variance of {frame.path} is {image.data.shape}, its image {frame.shape}; "
            "give the one that belongs to it"
        )
    return replace(frame, variance=np.ascontiguousarray(image.data, dtype=np.float32))


def _with_context(frame: Frame, what: str, path: Path) -> Frame:
    """The frame with its science or reference image, on the frame's own pixels."""
    image = read_image(path)
    wcs = _read_wcs(image.header, str(path))
    data = aligned(image.data, wcs, frame.shape, frame.wcs, f"{what} of {frame.path}")
    context: dict[str, Any] = {what: data}
    return replace(frame, **context)


def _with_context_if_any(frame: Frame, what: str, path: Path) -> Frame:
    """As `_with_context`, but what was only found beside may be damaged: the frame goes without."""
    try:
        return _with_context(frame, what, path)
    except (ReadError, FrameError) as error:
        _log.warning("%s: %s image left out: %s", frame.name, what, error)
        return frame
