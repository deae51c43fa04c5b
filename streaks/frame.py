"""One image with everything known about it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.errors import FrameError

__all__ = ["AnyImage", "Frame", "Image", "MaskPlane", "as_frame"]

_log = logging.getLogger(__name__)

#: Two-dimensional float array, indexed ``[iy, ix]``.
Image = NDArray[np.floating[Any]]


class MaskPlane(IntFlag):
    """What a survey's mask says of a pixel, in one numbering for all surveys.

    A survey profile maps its own bits to these. Being in a plane does not make a pixel unusable:
    that is ``Frame.mask``, and which planes make it up is the profile's choice.
    """

    BAD = 1  # dead, noisy, wrong response, no data
    SATURATED = 2
    GHOST = 4
    SPIKE = 8  # diffraction spike, bleed, radiation hit
    HALO = 16
    SOURCE = 32  # a catalogued source; a feature, never a reason to blank
    TRACK = 64  # a satellite or aircraft that the survey's own pipeline found


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Frame:
    """A difference image (or any image) ready to be searched.

    Parameters
    ----------
    data : (ny, nx) float, counts
        Background near zero is best, not needed. Pixels in `mask` may hold anything.
    mask : (ny, nx) bool
        True where a pixel must not be used.
    planes : (ny, nx) uint8 or None
        Bits of `MaskPlane`, where the survey gives a mask.
    variance : (ny, nx) float or None, counts**2
        The survey's own variance, where there is one.
    name
        Name of the image, without folder and suffix; joins tables of a night.
    wcs
        Celestial coordinates of pixels, 0-based.
    time
        MID-exposure, UTC. ZTF's OBSJD is the start: `readers` adds the half.
    exposure_s, fwhm_px, zero_point_mag, gain, read_noise_e, saturation
        NaN where unknown. `gain` is electrons a count; `zero_point_mag` is the AB magnitude of
        one count in the whole exposure; `read_noise_e` is electrons.
    band
        Filter name, for instance ``r``; empty where unknown.
    observatory
        MPC code, for instance ``I41``; empty where unknown.
    science, reference : (ny, nx) float or None, counts
        The images the difference was made of, for features and volunteers.
    path
        Where it came from; empty for one made in memory.
    header
        A few values of the header worth keeping with results (field, CCD, quadrant...).
    scale_arcsec
        Stated size of a pixel, for an image without `wcs`; NaN where unknown.
    fwhm_source
        Where `fwhm_px` comes from: a header word, ``given``, ``stars of the science image``...;
        empty where it is not known yet.
    told
        From which words of the header each value was read, by the name of its field.
    notes
        What the reader wants the user to know: words that disagree or cannot be read, and what
        was taken for granted.
    psf : (my, mx) float or None
        A picture of the PSF, its middle anywhere: of any size, its own sum its whole light.

    Raises
    ------
    FrameError
        If `data` is not 2-D, or an image beside it differs in shape.
    """

    data: Image
    mask: NDArray[np.bool_]
    name: str = "image"
    planes: NDArray[np.uint8] | None = None
    variance: Image | None = None
    wcs: WCS | None = None
    time: Time | None = None
    exposure_s: float = math.nan
    fwhm_px: float = math.nan
    zero_point_mag: float = math.nan
    gain: float = math.nan
    read_noise_e: float = math.nan
    saturation: float = math.nan
    band: str = ""
    observatory: str = ""
    science: Image | None = None
    reference: Image | None = None
    path: str = ""
    header: Mapping[str, Any] = field(default_factory=_nothing)
    scale_arcsec: float = math.nan
    fwhm_source: str = ""
    told: Mapping[str, str] = field(default_factory=_nothing)
    notes: tuple[str, ...] = ()
    psf: Image | None = None

    def __repr__(self) -> str:
        """One line; the dataclass's own would print every array."""
        ny, nx = self.data.shape
        words = [f"Frame {self.name!r}: {nx} x {ny} px"]
        if self.time is not None:
            words.append(f"mid-exposure {self.time.utc.isot} UTC")
        if math.isfinite(self.exposure_s):
            words.append(f"{self.exposure_s:g} s")
        if math.isfinite(self.fwhm_px):
            words.append(f"FWHM {self.fwhm_px:.2f} px")
        images = [w for w in ("science", "reference", "variance") if getattr(self, w) is not None]
        words.append(f"with {', '.join(images)}" if images else "no other images")
        words.append("no sky coordinates" if self.wcs is None else "sky coordinates")
        return f"<{', '.join(words)}>"

    def __post_init__(self) -> None:
        if self.data.ndim != 2:
            raise FrameError(f"an image must have two axes; {self.name} has {self.data.ndim}")
        for what in ("mask", "planes", "variance", "science", "reference"):
            image = getattr(self, what)
            if image is not None and image.shape != self.data.shape:
                raise FrameError(
                    f"{what} of {self.name} is {image.shape}, its data {self.data.shape}; "
                    "they must match: give the files that belong together"
                )

    @property
    def shape(self) -> tuple[int, int]:
        ny, nx = self.data.shape
        return int(ny), int(nx)

    @property
    def pixel_scale_arcsec(self) -> float:
        """Mean size of a pixel, arcsec: by its coordinates, else as stated; NaN for neither."""
        if self.wcs is None or not self.wcs.has_celestial:
            return self.scale_arcsec
        if self.wcs.naxis == 2:
            # As astropy's own `proj_plane_pixel_area`, without a copy of the WCS: 1 ms of a frame.
            self.wcs.wcs.set()  # fills in the units of a WCS that was made in memory
            return 3600.0 * math.sqrt(abs(float(np.linalg.det(self.wcs.pixel_scale_matrix))))
        return float(np.sqrt(self.wcs.celestial.proj_plane_pixel_area().to_value("arcsec2")))


class _LikeNDData(Protocol):
    """What astropy's NDData and CCDData have."""

    data: Any
    mask: Any
    uncertainty: Any
    wcs: Any


#: What can be searched.
AnyImage = Frame | NDArray[Any] | _LikeNDData


def as_frame(image: AnyImage, **known: Any) -> Frame:
    """A frame of an image in memory.

    The log says what would help to know besides: coordinates, FWHM, time and exposure. For the
    words of a header (``ccd.header``) there is `streaks.readers.with_header`.

    Parameters
    ----------
    image
        A `Frame`, given back; an array (masked or not) of two axes, others of one pixel dropped;
        or an NDData or CCDData, with its mask, uncertainty (standard deviation, variance or
        inverse variance) and WCS. A Quantity loses its unit.
    **known
        Other fields of `Frame`: ``fwhm_px=2.1, exposure_s=30.0, time=Time(...)``.

    Returns
    -------
    Frame

    Raises
    ------
    FrameError
        If it is no image of numbers on two axes, or its mask or uncertainty does not fit.
    """
    if isinstance(image, Frame):
        return replace(image, **known) if known else image
    data: Any
    if isinstance(image, np.ndarray) or not hasattr(image, "uncertainty"):
        array: Any = image
        data, mask, variance, wcs = array, np.ma.getmaskarray(array), None, None
    else:
        data, mask, wcs = image.data, image.mask, image.wcs
        variance = _variance_of(image.uncertainty)
        mask = np.zeros(np.shape(data), bool) if mask is None else np.asarray(mask) != 0
    values = _numbers(np.ma.getdata(getattr(data, "value", data)), "the image")
    if np.shape(mask) not in ((), np.shape(data)):
        raise FrameError(
            f"its mask has the shape {np.shape(mask)}, the image {np.shape(data)}; they must match"
        )
    mask = np.broadcast_to(np.asarray(mask, dtype=bool), np.shape(data)).reshape(values.shape)
    if variance is not None:
        variance = _numbers(variance, "its uncertainty")
    found: dict[str, Any] = {
        "mask": mask | ~np.isfinite(values),
        "variance": variance,
        "wcs": _fits_wcs(wcs),
        **known,
    }
    frame = Frame(data=values, **found)
    missing = [
        name
        for name, there in (
            ("wcs", frame.wcs is not None),
            ("fwhm_px", frame.fwhm_px > 0),
            ("exposure_s", frame.exposure_s > 0),
            ("time", frame.time is not None),
        )
        if not there
    ]
    if missing:
        _log.warning(
            "%s: an image in memory, without %s; as_frame(image, %s=...) tells them",
            frame.name, ", ".join(missing), missing[-1],
        )  # fmt: skip
    return frame


def _numbers(values: Any, what: str) -> Image:
    """Values as float32 on two axes."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        raise FrameError(f"{what} holds {values.dtype}; expected numbers")
    if values.ndim > 2:
        kept = [n for n in values.shape if n > 1]
        values = values.reshape(kept) if len(kept) == 2 else values
    if values.ndim != 2:
        raise FrameError(f"{what} has the shape {values.shape}; expected two axes, (ny, nx)")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def _variance_of(uncertainty: Any) -> Any:
    """Variance of an NDData's uncertainty, by its kind; None where there is none."""
    if uncertainty is None or getattr(uncertainty, "array", None) is None:
        return None
    array = np.asarray(getattr(uncertainty.array, "value", uncertainty.array), dtype=np.float64)
    kind = str(getattr(uncertainty, "uncertainty_type", ""))
    if kind == "std":
        return array**2
    if kind == "var":
        return array
    if kind == "ivar":
        with np.errstate(divide="ignore"):
            return np.where(array > 0, 1.0 / array, np.nan)
    raise FrameError(
        f"the uncertainty is of kind {kind!r}; expected a standard deviation, a variance or an "
        "inverse variance"
    )


def _fits_wcs(wcs: Any) -> WCS | None:
    """A WCS of FITS out of what NDData holds; None, with a word in the log, for another kind."""
    for one in (wcs, getattr(wcs, "low_level_wcs", None)):
        if isinstance(one, WCS):
            return one.celestial if one.naxis != 2 else one
    if wcs is not None:
        _log.warning(
            "coordinates of kind %s are left out; give an astropy.wcs.WCS", type(wcs).__name__
        )
    return None
