"""Cutouts of any sampling, brought to the FWHM that classifiers are trained at.

A classifier knows trails, points and cosmic rays by their size in pixels. An image whose PSF is
far wider or sharper is shown to it larger or smaller: areas are averaged where it shrinks, so that
noise goes down as in a larger pixel; where it grows, Lanczos' window goes between the pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts.stacks import Cutouts

__all__ = ["KNOWN_FWHM_PX", "USUAL_FWHM_PX", "brought_to_usual_fwhm", "with_fwhm"]

#: FWHM that trained classifiers know well, px: of nine tenths of their training.
KNOWN_FWHM_PX = (2.2, 3.7)
#: What others are brought to: the median of their training, and of ZTF's difference images.
USUAL_FWHM_PX = 2.5
#: Sharp ones are brought to somewhat more: enlarged, they look rounder than a PSF that was sampled
#: so. Least and largest FWHM between which that grows, and what they are brought to, px; where the
#: most trails of frames of FWHM 1.2 to 1.8 px (`benchmarks.psf_range`, seeds 7701 and 7702) are
#: called so.
_SHARP_FWHM_PX, _ENLARGED_TO_PX = (1.2, 1.5), (2.5, 3.0)
#: At least so much of a new pixel must have been usable.
_LEAST_SHARE = 0.5


def with_fwhm(cutouts: Cutouts, fwhm_px: float) -> Cutouts:
    """The same cutouts; those that do not know the FWHM of their PSF are given one.

    Parameters
    ----------
    cutouts
        n of any size.
    fwhm_px
        In their own pixels.

    Returns
    -------
    Cutouts
        With ``fwhm_px`` finite wherever it was, and wherever it was not.
    """
    told = np.full(len(cutouts), np.nan) if cutouts.fwhm_px is None else cutouts.fwhm_px
    return replace(cutouts, fwhm_px=np.where(np.isfinite(told), told, fwhm_px))


def brought_to_usual_fwhm(cutouts: Cutouts) -> Cutouts:
    """The same cutouts; those of a PSF that classifiers do not know are resampled.

    Parameters
    ----------
    cutouts
        Of any size; where ``fwhm_px`` is NaN or within `KNOWN_FWHM_PX` nothing changes.

    Returns
    -------
    Cutouts
        Of the same size, about the same middle; what lies outside the old ones is masked. Of the
        images only the difference is resampled: science and reference are left out.
    """
    if cutouts.fwhm_px is None or not len(cutouts):
        return cutouts
    low, high = KNOWN_FWHM_PX
    with np.errstate(invalid="ignore"):
        other = (cutouts.fwhm_px < low) | (cutouts.fwhm_px > high)
    if not other.any():
        return cutouts
    difference, mask = cutouts.difference.copy(), cutouts.mask.copy()
    enlarged = np.interp(cutouts.fwhm_px, _SHARP_FWHM_PX, _ENLARGED_TO_PX)
    usual = np.where(cutouts.fwhm_px < low, enlarged, USUAL_FWHM_PX)
    for i in np.flatnonzero(other):
        factor = float(usual[i] / cutouts.fwhm_px[i])
        difference[i], mask[i] = _resampled(difference[i], mask[i], factor)
    fwhm_px = np.where(other, usual, cutouts.fwhm_px)
    return replace(
        cutouts, difference=difference, mask=mask, science=None, reference=None, fwhm_px=fwhm_px
    )


def _resampled(
    data: NDArray[np.float32], mask: NDArray[np.bool_], factor: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One cutout larger (factor above 1) or smaller, its middle pixel still in the middle."""
    good = (~mask & np.isfinite(data)).astype(np.float32)
    values = np.where(good > 0, data, 0.0).astype(np.float32)
    change = _shrunk if factor < 1.0 else _grown
    light, share = change(values, factor), change(good, factor)
    unusable = share < _LEAST_SHARE
    means = light / np.where(unusable, 1.0, share)
    return np.where(unusable, 0.0, means).astype(np.float32), unusable


def _shrunk(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Means over squares of 1 / factor px about the middle; 0 where they lie outside."""
    n = len(image)
    middle, step = n // 2, 1.0 / factor
    # Integrals up to each edge between new pixels, linear between those of old ones.
    edges = middle + (np.arange(n + 1) - middle - 0.5) * step + 0.5
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = image.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    at = np.clip(edges, 0.0, n)
    first = np.minimum(at.astype(int), n - 1)
    rest = at - first
    rows = sums[first] * (1.0 - rest)[:, None] + sums[first + 1] * rest[:, None]
    both = rows[:, first] * (1.0 - rest) + rows[:, first + 1] * rest
    means: NDArray[np.float32] = np.diff(np.diff(both, axis=0), axis=1).astype(np.float32)
    return means * np.float32(factor**2)


def _grown(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Lanczos' interpolation about the middle; nothing where that lies outside."""
    import cv2

    n = len(image)
    middle = n // 2
    shift = middle - middle * factor
    matrix = np.array([[factor, 0.0, shift], [0.0, factor, shift]])
    return np.asarray(
        cv2.warpAffine(image, matrix, (n, n), flags=cv2.INTER_LANCZOS4, borderValue=0.0), np.float32
    )
