"""Colour images and raw frames of colour cameras, as one plane of light.

A raw frame of a colour camera is a mosaic: of each 2 x 2 pixels one sees red, two green, one blue.
Searched as it is, its checker pattern is a thousand streaks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, Sip
from numpy.typing import NDArray

from streaks.errors import ReadError
from streaks.readers import headers

__all__ = [
    "LUMINANCE_VARIANCE_PX2",
    "PLANES",
    "chosen_plane",
    "is_mosaic",
    "luminance",
    "mosaic_words",
    "superpixel",
    "superpixel_wcs",
]

#: What `--plane` may be besides a number.
PLANES = ("luminance", "superpixel", "raw")
#: Light is smeared by this much along each axis when colours are evened out: 1 2 1 over 4.
LUMINANCE_VARIANCE_PX2 = 0.5
#: Words that name a mosaic: their values are four letters of R, G, B (or C, M, Y).
_WORDS = ("BAYERPAT", "BAYRPAT", "BAYER", "CFAPAT", "CFA-PAT", "CFA", "COLORTYP", "MOSAICPT")
#: The four kinds of pixel differ at least by this, in units of their noise.
_LEAST_STEP = 0.1
#: Without a word for it only a plain checker pattern is called a mosaic.
_PLAIN_STEP = 1.5


def mosaic_words(header: fits.Header) -> str:
    """The word that says an image is a mosaic, with its value; empty where there is none.

    Parameters
    ----------
    header
        Of the image.

    Returns
    -------
    str
        For instance ``BAYERPAT = RGGB``.
    """
    for word in _WORDS:
        found = headers.text(header, [word]).upper()
        if len(found) == 4 and set(found) <= set("RGBCMYEW"):
            return f"{word} = {found}"
    return ""


def is_mosaic(data: NDArray[Any], *, named: bool) -> bool:
    """Whether the four pixels of each 2 x 2 see the sky at different levels.

    Parameters
    ----------
    data : (ny, nx)
        Of any numbers; those not finite are passed over.
    named
        Whether the header calls it a mosaic: it may have been turned to one colour since.

    Returns
    -------
    bool
    """
    ny, nx = (n - n % 2 for n in data.shape)
    if min(ny, nx) < 16:
        return named
    step = 2 * max(1, int(math.sqrt(ny * nx / 400_000.0)))
    parts = [
        np.asarray(data[j:ny:step, i:nx:step], dtype=np.float64).ravel()
        for j in (0, 1)
        for i in (0, 1)
    ]
    with np.errstate(invalid="ignore"):
        levels = np.array([np.nanmedian(part) for part in parts])
        spreads = [1.4826 * np.nanmedian(np.abs(p - m)) for p, m in zip(parts, levels, strict=True)]
    noise = max(float(np.median(spreads)), 1e-9)
    step_found = float(levels.max() - levels.min()) / noise
    if named:
        return step_found > max(_LEAST_STEP, 5.0 / math.sqrt(len(parts[0])))
    # Stripes of a detector change along one axis only; colours along both.
    across = abs(levels[0] - levels[1]) + abs(levels[2] - levels[3])
    along = abs(levels[0] - levels[2]) + abs(levels[1] - levels[3])
    return bool(min(across, along) / noise > _PLAIN_STEP)


def luminance(data: NDArray[Any]) -> NDArray[np.float32]:
    """A mosaic with each pixel's colour evened out by its neighbours', on the same pixels.

    Weights 1 2 1 along both axes: each of the four kinds of pixel counts for a quarter wherever
    one stands, and nothing is moved. A pixel that is not finite makes its neighbours so.

    Parameters
    ----------
    data : (ny, nx)
        A mosaic of colours in 2 x 2 pixels, counts.

    Returns
    -------
    (ny, nx) float32, counts
    """
    import cv2

    kernel = np.array([0.25, 0.5, 0.25], np.float32)
    return np.asarray(
        cv2.sepFilter2D(
            np.ascontiguousarray(data, dtype=np.float32), -1, kernel, kernel,
            borderType=cv2.BORDER_REFLECT_101,
        )
    )  # fmt: skip


def superpixel(data: NDArray[Any]) -> NDArray[np.float32]:
    """The mean of each 2 x 2 pixels: an image of half the size, without colours.

    Parameters
    ----------
    data : (ny, nx)
        A mosaic, counts. An odd last row or column is left out.

    Returns
    -------
    (ny // 2, nx // 2) float32, counts
        Not finite where one of the four is not.

    Raises
    ------
    ReadError
        If the image is less than 2 px wide or high.
    """
    ny, nx = (n - n % 2 for n in data.shape)
    if min(ny, nx) < 2:
        raise ReadError(f"an image of {data.shape} has no 2 x 2 pixels to make one of")
    parts = np.asarray(data[:ny, :nx], dtype=np.float32).reshape(ny // 2, 2, nx // 2, 2)
    return np.asarray(parts.mean(axis=(1, 3)), dtype=np.float32)


def superpixel_wcs(wcs: WCS) -> WCS:
    """Coordinates of the image that `superpixel` makes.

    Parameters
    ----------
    wcs
        Of the mosaic; it stays as it is.

    Returns
    -------
    WCS
        With its distortion, where it has one.
    """
    small = wcs.deepcopy()
    # FITS pixel p is (p - 0.5) / 2 + 0.5 of the small image.
    small.wcs.crpix = (np.asarray(wcs.wcs.crpix) - 0.5) / 2.0 + 0.5
    if wcs.wcs.has_cd():
        small.wcs.cd = np.asarray(wcs.wcs.cd) * 2.0
    else:
        small.wcs.cdelt = np.asarray(wcs.wcs.cdelt) * 2.0
    if wcs.sip is not None:
        small.sip = _half_sip(wcs.sip)
    small.wcs.set()
    return small


def _half_sip(sip: Sip) -> Sip:
    """The polynomial on pixels of twice the size: terms in u**p v**q times 2**(p + q - 1)."""

    def scaled(terms: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if terms is None:
            return None
        p, q = np.indices(terms.shape)
        return np.asarray(terms * 2.0 ** (p + q - 1))

    crpix = (np.asarray(sip.crpix) - 0.5) / 2.0 + 0.5
    return Sip(scaled(sip.a), scaled(sip.b), scaled(sip.ap), scaled(sip.bp), crpix)


def chosen_plane(data: NDArray[Any], plane: str, what: str) -> NDArray[Any]:
    """One plane of a cube: by number from 1, or the mean of all.

    Parameters
    ----------
    data
        Three axes; the planes lie along the first, or along the last where that has 2 to 4 of
        them and the first has more.
    plane
        Number, or ``luminance``.
    what
        Name of the image, for the error.

    Returns
    -------
    (ny, nx)
        Of the cube's type; float32 for a mean.

    Raises
    ------
    ReadError
        If there is no such plane, or none was chosen.
    """
    last = data.shape[-1] <= 4 < data.shape[0]
    planes = np.moveaxis(data, -1, 0) if last else data
    n = len(planes)
    if plane == "luminance":
        return np.asarray(np.asarray(planes, dtype=np.float32).mean(axis=0))
    if plane.isdigit() and 1 <= int(plane) <= n:
        return np.asarray(planes[int(plane) - 1])
    kind = "a colour image" if n in (3, 4) else "a cube"
    asked = f"; there is no plane {plane!r}" if plane else ""
    raise ReadError(
        f"{what} is {kind} of {n} planes{asked}: choose one with --plane 1 to {n}, or their mean "
        "with --plane luminance"
    )
