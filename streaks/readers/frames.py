"""A FITS file and what lies beside it, read to one `Frame`."""

from __future__ import annotations

import logging
import math
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import ConfigError, FrameError, ReadError
from streaks.frame import Frame, Image
from streaks.readers import colour, headers
from streaks.readers.alignment import aligned
from streaks.readers.coordinates import Solution, read_solution
from streaks.readers.files import companions
from streaks.readers.fill import constant_fill
from streaks.readers.hdus import Hdu, searched
from streaks.readers.images import FitsFile, FitsImage, open_images, read_image
from streaks.readers.masks import read_mask_bits, resolve_bits
from streaks.readers.picture_images import is_picture, read_picture_image
from streaks.readers.profile import (
    Profile,
    builtin_profiles,
    load_profile,
    split_choice,
    stem_of,
)
from streaks.readers.psf_images import (
    psf_extension_fwhm,
    psf_extension_image,
    psf_image_fwhm,
)
from streaks.readers.times import find_exposure, parse_instant

__all__ = ["FrameOverrides", "read_frame", "with_header"]

_log = logging.getLogger(__name__)

#: Pixel scales that differ by more than this share are said.
_SAME_SCALE = 0.1
#: An exposure and the time from its start to its end that differ by more are said.
_SAME_LENGTH, _LENGTH_SLACK_S = 0.1, 2.0
_SIGMA_TO_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))


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
        """The frame with what is given here.

        Parameters
        ----------
        frame
            As its header tells it.

        Returns
        -------
        Frame
        """
        names = (
            "fwhm_px", "zero_point_mag", "gain", "exposure_s", "read_noise_e", "saturation",
            "band", "observatory",
        )  # fmt: skip
        given: dict[str, Any] = {
            name: getattr(self, name) for name in names if getattr(self, name) is not None
        }
        if self.time is not None:
            given["time"] = self._mid()
        if self.fwhm_px is not None:
            given["fwhm_source"] = "given"
        return replace(frame, **given)


@dataclass
class _Account:
    """What was read from which words, and what the user should know."""

    told: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, found: headers.Found) -> float:
        """The number found, entered under its name."""
        if found.told:
            self.told[name] = found.told
        self.note(*found.notes)
        return found.value

    def note(self, *notes: str) -> None:
        self.notes.extend(note for note in notes if note not in self.notes)


def read_frame(
    path: str | os.PathLike[str],
    *,
    mask: str | os.PathLike[str] | None = None,
    science: str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    variance: str | os.PathLike[str] | None = None,
    psf: str | os.PathLike[str] | None = None,
    profile: Profile | str | os.PathLike[str] | None = None,
    overrides: FrameOverrides | None = None,
    hdu: str | int = "",
    plane: str | int = "",
) -> Frame:
    """One image with everything its files tell.

    Parameters
    ----------
    path
        A FITS file (plain, gzipped or tile-compressed) with a 2-D image in any HDU, or a grey
        picture (PNG, JPEG, TIFF). ``FILE[SCI,2]`` names an image in it, ``FILE[1;luminance]`` a
        plane of that too.
    mask, science, reference, variance, psf
        Files beside it (``psf`` is a picture of the PSF); those not given are looked for by the
        survey's names and extensions, and among the file's own HDUs (DQ, ERR, WHT, PSF...).
    profile
        A survey's conventions: a name, a TOML file, or None to tell from the file.
    overrides
        What the user knows better than the header.
    hdu
        Which image of the file: ``SCI,2``, ``CCD4``, or its index from 0; the first by default.
    plane
        Of a cube its number from 1, or ``luminance`` for the mean of all; of a raw colour frame
        ``luminance`` (the default), ``superpixel`` or ``raw``.

    Returns
    -------
    Frame
        float32, native byte order; not finite, filled up or at the survey's floor is masked.
        Numbers that nothing tells are NaN. A broken or absent WCS gives a frame without one. What
        should be known of the header's words is in `Frame.notes`, and in the log.

    Raises
    ------
    ReadError
        If a file is missing, empty, cut short, no image, or of several planes without a choice.
    FrameError
        If the mask or variance does not fit the image, or no pixel is usable.
    ConfigError
        For an unknown profile.
    """
    file, chosen, chosen_plane = split_choice(path)
    chosen, chosen_plane = str(hdu) or chosen, str(plane) or chosen_plane
    overrides = overrides or FrameOverrides()
    given = {
        "mask": mask, "science": science, "reference": reference, "variance": variance, "psf": psf
    }  # fmt: skip
    explicit = {what: Path(name) for what, name in given.items() if name is not None}
    if is_picture(file):
        survey = _named_profile(profile) or builtin_profiles()["generic"]
        image = read_picture_image(file, chosen_plane)
        frame = _bare_frame(Path(path), image, survey, overrides, chosen_plane)
        beside: dict[str, Path] = {}
    else:
        with open_images(file) as opened:
            frame, survey = _frame_of(opened, chosen, chosen_plane, profile, overrides, path)
            beside = companions(file, survey)
            frame = _with_own(frame, opened, chosen, survey, {**beside, **explicit})
            if overrides.fwhm_px is None:
                frame = _with_width(frame, *psf_extension_fwhm(opened))
            frame = replace(frame, psf=psf_extension_image(opened))
        frame = _with_files(frame, survey, {**beside, **explicit})
    if "psf" in explicit or "psf" in beside:
        with_psf = _with_psf_file(frame, explicit.get("psf"), beside.get("psf"))
        # The user's own width goes first; the picture still tells how far the wings reach.
        told = overrides.fwhm_px is not None
        frame = replace(frame, psf=with_psf.psf) if told else with_psf
    if frame.mask.all():
        raise FrameError(f"{path} has no usable pixel: all are masked, not finite or at the floor")
    for what in ("science", "reference"):
        if what in explicit:
            frame = _with_context(frame, what, explicit[what])
        elif what in beside:
            frame = _with_context_if_any(frame, what, beside[what])
    for note in frame.notes:
        _log.warning("%s: %s", frame.path, note)
    return frame


def with_header(
    frame: Frame,
    header: fits.Header,
    *,
    profile: Profile | str | os.PathLike[str] = "generic",
    overrides: FrameOverrides | None = None,
) -> Frame:
    """A frame made in memory, with what a FITS header tells of it: time, exposure, FWHM and more.

    Parameters
    ----------
    frame
        As `streaks.frame.as_frame` makes it of an array, NDData or CCDData. What it has already
        (coordinates, mask, variance) stays.
    header
        For instance ``ccd.header``.
    profile
        Whose words are read.
    overrides
        What the user knows better.

    Returns
    -------
    Frame
        `frame` stays as it is. Pixels that the profile takes for no data are masked as well.

    Raises
    ------
    ConfigError
        If there is no such profile.
    """
    survey = profile if isinstance(profile, Profile) else load_profile(os.fspath(profile))
    header = header.copy()
    ny, nx = frame.shape
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, nx, ny
    read = _bare_frame(
        Path(frame.name),
        FitsImage(frame.data, header),
        survey,
        overrides or FrameOverrides(),
        "raw",
    )
    return replace(
        read,
        data=frame.data,
        mask=frame.mask | read.mask,
        name=frame.name,
        path=frame.path,
        planes=frame.planes,
        variance=frame.variance,
        wcs=read.wcs if frame.wcs is None else frame.wcs,
        science=frame.science,
        reference=frame.reference,
    )


def _frame_of(
    opened: FitsFile,
    choice: str,
    plane: str,
    given: Profile | str | os.PathLike[str] | None,
    overrides: FrameOverrides,
    path: str | os.PathLike[str],
) -> tuple[Frame, Profile]:
    """The image of an open file with what its header tells, and whose conventions those are."""
    survey, is_sure = _choose_profile(opened, given)
    hdu = _find(opened, choice, survey)
    image = opened.read(hdu, plane=plane)
    if not is_sure:
        survey = _profile_by_marks(image.header) or survey
    frame = _bare_frame(Path(path), image, survey, overrides, plane, opened.hdus)
    if not choice and not survey.extensions:
        images, left = searched(opened.listing()) if len(opened.hdus) > 1 else ([hdu], [])
        names = [f"[{other.label}]" for other in [*images, *left] if other.index != hdu.index]
        if names:
            more = f"{opened.path.name}[{hdu.label}] is read; {', '.join(names)} left out"
            _log.info("%s: %s", path, more)
            frame = replace(frame, told={**frame.told, "image": more})
    return frame, survey


def _find(opened: FitsFile, choice: str, survey: Profile) -> Hdu:
    extension = survey.extensions.get("image", "")
    if not choice and not extension and survey.name != "generic":
        # A survey's files have one image, wherever it is.
        first = opened.first()
        if first is not None:
            return first
    return opened.find(choice, extension=extension)


def _named_profile(given: Profile | str | os.PathLike[str] | None) -> Profile | None:
    """The profile that a user gave, if any."""
    if given is None or isinstance(given, Profile):
        return given
    return load_profile(os.fspath(given)) if os.fspath(given) else None


def _choose_profile(
    opened: FitsFile, given: Profile | str | os.PathLike[str] | None
) -> tuple[Profile, bool]:
    """Whose conventions a file follows, and whether its header need not be asked."""
    chosen = _named_profile(given)
    if chosen is not None:
        return chosen, True
    *surveys, generic = builtin_profiles().values()
    by_name = (profile for profile in surveys if profile.groups(opened.path) is not None)
    # A name is known without a look at the HDUs.
    named = next(by_name, None)
    if named is not None:
        return named, True
    names = {hdu.name for hdu in opened.hdus}
    for profile in surveys:
        if profile.extensions and set(profile.extensions.values()) <= names:
            return profile, True
    return generic, False


def _profile_by_marks(header: fits.Header) -> Profile | None:
    marked = (profile for profile in builtin_profiles().values() if profile.marks)
    return next((p for p in marked if all(word in header for word in p.marks)), None)


def _bare_frame(
    path: Path,
    image: FitsImage,
    survey: Profile,
    overrides: FrameOverrides,
    plane: str,
    hdus: fits.HDUList | None = None,
) -> Frame:
    """Data and what the header tells, without companions."""
    header, words, account = image.header, survey.words, _Account()
    if image.note:
        account.note(image.note)
    solution = read_solution(
        header,
        axes=image.axes,
        ctype=survey.ctype,
        hdus=hdus,
        epoch=lambda: find_exposure(header, survey.times, 0.0).mid,
    )
    data, mask, smeared = _pixels(image, survey, plane, account)
    wcs = solution.wcs
    if wcs is not None and data.shape != image.data.shape:
        wcs = colour.superpixel_wcs(wcs)
    account.note(*solution.notes)
    if solution.told:
        account.told["wcs"] = solution.told
    if solution.reason:
        account.note(f"WCS ignored, no sky coordinates: {solution.reason}")
    elif wcs is None:
        account.note("no WCS in the header: no places on the sky, and no match with known objects")
    groups = survey.groups(path) or {}
    frame = Frame(
        data=data,
        mask=mask,
        name=stem_of(path),
        wcs=wcs,
        exposure_s=account.add("exposure_s", headers.exposure(header, words.get("exposure_s", ()))),
        zero_point_mag=_zero_point(header, survey, account),
        gain=account.add("gain", headers.gain(header, words.get("gain", ()))),
        read_noise_e=_positive(header, survey, "read_noise_e", account),
        saturation=_positive(header, survey, "saturation", account),
        band=_band(header, survey, groups.get("filter", ""), account),
        observatory=_observatory(header, survey, account),
        path=str(path),
        header=_kept(header, survey, groups),
    )
    frame = replace(frame, scale_arcsec=_scale(header, survey, frame, account))
    scale = frame.pixel_scale_arcsec
    fwhm = account.add("fwhm_px", headers.psf_fwhm(header, survey.fwhm, scale))
    fwhm = math.hypot(fwhm, _SIGMA_TO_FWHM * math.sqrt(smeared))
    source = "header" if fwhm > 0 else ""
    frame = overrides.apply(replace(frame, fwhm_px=fwhm, fwhm_source=source))
    frame = _with_time(frame, header, survey, overrides, account)
    return replace(frame, told=account.told, notes=tuple(account.notes))


def _pixels(
    image: FitsImage, survey: Profile, plane: str, account: _Account
) -> tuple[Image, NDArray[np.bool_], float]:
    """Data, mask, and by how much the light of colours was smeared to even them out, px**2."""
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.ascontiguousarray(image.data, dtype=np.float32)
    mask, repeats = _unusable(data, survey.no_data_floor)
    if image.unusable is not None:
        mask |= image.unusable
    fill = constant_fill(data, mask, repeats)
    if fill is not None:
        account.told["fill"] = f"{np.count_nonzero(fill) / fill.size:.1%} of one value, masked"
        mask |= fill
    mosaic = colour.mosaic_words(image.header)
    if plane == "raw" or (not mosaic and plane not in ("luminance", "superpixel")):
        plain = not mosaic and survey.name == "generic" and image.data.dtype.kind in "iu"
        if plain and plane == "" and colour.is_mosaic(data, named=False):
            account.note(
                "neighbouring pixels see the sky at different levels, as in a raw colour frame; "
                "if it is one, give --plane luminance"
            )
        return data, mask, 0.0
    if plane == "superpixel":
        data = colour.superpixel(np.where(mask, np.float32(np.nan), data))
        account.told["plane"] = f"mean of each 2 x 2 pixels ({mosaic or 'as asked for'})"
        return data, ~np.isfinite(data), 0.0
    if not mosaic or not colour.is_mosaic(data, named=True):
        return data, mask, 0.0
    data = colour.luminance(np.where(mask, np.float32(np.nan), data))
    account.told["plane"] = f"colours evened out ({mosaic})"
    account.note(
        f"a raw colour frame ({mosaic}): its colours are evened out; --plane superpixel makes one "
        "pixel of four, --plane raw leaves it as it is"
    )
    return data, ~np.isfinite(data), colour.LUMINANCE_VARIANCE_PX2


def _scale(header: fits.Header, survey: Profile, frame: Frame, account: _Account) -> float:
    """Stated size of a pixel, arcsec; said where it differs from that of the coordinates."""
    found = headers.pixel_scale(header, survey.words.get("pixel_scale_arcsec", ()))
    solved = frame.pixel_scale_arcsec
    if math.isfinite(found.value) and math.isfinite(solved):
        if abs(found.value / solved - 1.0) > _SAME_SCALE:
            account.note(
                f"{found.told}, but the WCS has {solved:.4g} arcsec/px, which is taken; is it "
                "binned?"
            )
    elif math.isnan(solved):
        for note in found.notes:
            account.note(note)
        if math.isfinite(found.value):
            account.told["scale_arcsec"] = found.told
    return found.value if math.isfinite(found.value) else survey.pixel_scale_arcsec


def _with_time(
    frame: Frame,
    header: fits.Header,
    survey: Profile,
    overrides: FrameOverrides,
    account: _Account,
) -> Frame:
    if overrides.time is not None:
        account.told["time"] = "given"
        return frame
    found = find_exposure(header, survey.times, frame.exposure_s)
    notes = found.notes
    if math.isnan(frame.exposure_s) and math.isfinite(found.length_s) and found.length_s > 0:
        frame = replace(frame, exposure_s=found.length_s)
        account.told["exposure_s"] = f"{found.told.split(' (')[0]} = {found.length_s:g} s"
    elif math.isfinite(found.length_s) and abs(found.length_s - frame.exposure_s) > (
        _SAME_LENGTH * frame.exposure_s + _LENGTH_SLACK_S
    ):
        account.note(
            f"{found.told.split(' (')[0]} is {found.length_s:g} s long, the exposure "
            f"{frame.exposure_s:g} s: rates are by the latter"
        )
    account.note(*notes)
    if math.isnan(frame.exposure_s) and not any("xposure" in note for note in account.notes):
        account.note("no header word says how long the exposure was: no rates; give --exposure")
    if found.mid is None:
        if not notes:
            account.note("no header word says when it was taken; give --time")
    else:
        account.told["time"] = found.told
    return replace(frame, time=found.mid)


def _unusable(data: Image, floor: float) -> tuple[NDArray[np.bool_], int]:
    """Pixels without data, and how many pixels equal the one before them."""
    from streaks.readers.pixels import unusable

    mask = np.empty(data.shape, bool)
    repeats = unusable(data.ravel(), floor if math.isfinite(floor) else -math.inf, mask.ravel())
    return mask, int(repeats)


def _positive(header: fits.Header, survey: Profile, name: str, account: _Account) -> float:
    found, word = headers.number_and_word(header, survey.words.get(name, ()))
    if not found > 0:
        return math.nan
    account.told[name] = f"{word} = {found:g}"
    return found


def _zero_point(header: fits.Header, survey: Profile, account: _Account) -> float:
    found, word = headers.number_and_word(header, survey.words.get("zero_point_mag", ()))
    if not 0 < found < 50:
        unit = headers.text(header, ["BUNIT"])
        by_unit = survey.unit_zero_point_mag.get(unit, math.nan)
        if math.isfinite(by_unit):
            account.told["zero_point_mag"] = f"BUNIT = {unit}"
        return by_unit
    account.told["zero_point_mag"] = f"{word} = {found:g}"
    return found


def _band(header: fits.Header, survey: Profile, from_name: str, account: _Account) -> str:
    words = survey.words.get("band", ())
    stated = headers.text(header, words) or from_name
    if stated:
        word = next((word for word in words if headers.text(header, [word])), "file name")
        account.told["band"] = f"{word} = {stated}"
    # "i DECam SDSS c0003 7835.0 1470.0" is i.
    return survey.bands.get(stated, stated.split()[0] if stated else "")


def _observatory(header: fits.Header, survey: Profile, account: _Account) -> str:
    for word in survey.words.get("observatory", ()):
        stated = headers.text(header, [word])
        if len(stated) == 3:
            account.told["observatory"] = f"{word} = {stated}"
            return stated
    if survey.observatory:
        account.told["observatory"] = "the survey's"
    return survey.observatory


def _kept(header: fits.Header, survey: Profile, groups: dict[str, str]) -> dict[str, Any]:
    # "c04" is CCD 4.
    from_name = {
        name: int(re.sub(r"\D", "", groups[name]) or -1)
        for name in ("field", "ccd", "quadrant")
        if groups.get(name)
    }
    return {**from_name, **headers.kept_values(header, survey.keep), "survey": survey.name}


def _with_own(
    frame: Frame, opened: FitsFile, choice: str, survey: Profile, files: dict[str, Path]
) -> Frame:
    """The frame with the mask and variance of its own file, where no file of theirs is there."""
    if len(opened.hdus) < 2:
        return frame
    hdu = _find(opened, choice, survey)
    known = opened.beside(hdu)
    for what in ("mask", "variance"):
        name = survey.extensions.get(what, "")
        if name and what not in files:
            known[what] = opened.find("", extension=name)
    if "mask" in known and "mask" not in files:
        mask = known["mask"]
        frame = _masked(frame, opened.read(mask), survey, f"{mask.label} of the file")
    kinds = [kind for kind in ("variance", "error", "weight") if kind in known]
    if kinds and "variance" not in files:
        image = opened.read(known[kinds[0]])
        label = f"{known[kinds[0]].label} of the file"
        frame = _weighted(frame, image, kinds[0], label)
    return frame


def _with_files(frame: Frame, survey: Profile, files: dict[str, Path]) -> Frame:
    """The frame with mask and variance of files of their own."""
    if "mask" in files:
        frame = _masked(frame, read_image(files["mask"]), survey, str(files["mask"]))
    if "variance" in files:
        frame = _weighted(frame, read_image(files["variance"]), "variance", str(files["variance"]))
    return frame


def _with_width(frame: Frame, fwhm_px: float, label: str) -> Frame:
    """The frame with the width of a PSF that was looked at, which knows better than a header."""
    if not fwhm_px > 0:
        return frame
    told = {**frame.told, "fwhm_px": label}
    return replace(frame, fwhm_px=fwhm_px, fwhm_source=label, told=told)


def _with_psf_file(frame: Frame, given: Path | None, found: Path | None) -> Frame:
    """The frame with the width of the PSF that a file shows; one that was only found may be bad."""
    path = given or found
    assert path is not None
    try:
        picture = read_image(path).data
        fwhm_px = psf_image_fwhm(picture)
        if not fwhm_px > 0:
            raise ReadError(f"{path} shows no PSF; expected an image of one bright source")
    except ReadError as error:
        if given is not None:
            raise
        _log.warning("%s: not used: %s", path, error)
        return frame
    frame = replace(frame, psf=np.asarray(picture, dtype=np.float32))
    return _with_width(frame, fwhm_px, f"the PSF {path.name}")


def _masked(frame: Frame, image: FitsImage, survey: Profile, told: str) -> Frame:
    if image.data.shape != frame.shape:
        raise FrameError(
            f"the mask of {frame.path} is {image.data.shape}, its image {frame.shape}; "
            "give the mask that belongs to it"
        )
    bits = resolve_bits(survey.mask, image.header)
    mask, planes = read_mask_bits(image.data, bits, frame.name, unusable=frame.mask)
    return replace(frame, mask=mask, planes=planes, told={**frame.told, "mask": told})


def _weighted(frame: Frame, image: FitsImage, kind: str, told: str) -> Frame:
    """The frame with the variance that a variance, an error or a weight tells."""
    if image.data.shape != frame.shape:
        raise FrameError(
            f"the variance of {frame.path} is {image.data.shape}, its image {frame.shape}; "
            "give the one that belongs to it"
        )
    variance = np.ascontiguousarray(image.data, dtype=np.float32)
    if kind == "error":
        variance = variance * variance
    elif kind == "weight":
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(variance > 0, 1.0 / variance, np.nan).astype(np.float32)
    return replace(frame, variance=variance, told={**frame.told, "variance": f"{told} ({kind})"})


def _with_context(frame: Frame, what: str, path: Path) -> Frame:
    """The frame with its science or reference image, on the frame's own pixels."""
    image = read_image(path)
    solution: Solution = read_solution(image.header, axes=image.axes)
    if solution.reason:
        _log.warning("%s: WCS ignored, no sky coordinates: %s", path, solution.reason)
    data = aligned(image.data, solution.wcs, frame.shape, frame.wcs, f"{what} of {frame.path}")
    context: dict[str, Any] = {what: data, "told": {**frame.told, what: str(path)}}
    return replace(frame, **context)


def _with_context_if_any(frame: Frame, what: str, path: Path) -> Frame:
    """As `_with_context`, but what was only found beside may be damaged: the frame goes without."""
    try:
        return _with_context(frame, what, path)
    except (ReadError, FrameError) as error:
        _log.warning("%s: %s image left out: %s", frame.name, what, error)
        return frame
