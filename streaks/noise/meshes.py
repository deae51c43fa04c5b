"""Background and noise of the sky on a mesh of boxes, and meshes as images.

Clipped statistics of a sample of pixels come first; then all pixels of each box, once, against what
was found. Lines sum what is below the notice of any pixel: a background 0.03 sigma too
low adds a whole sigma to a line of 300 px.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning
from numba import njit
from numpy.typing import NDArray

from streaks.errors import FrameError
from streaks.noise._rows import between
from streaks.special import erf

__all__ = ["MAD_TO_STD", "Meshes", "median_of", "mesh_bands", "refine_meshes", "sky_meshes"]

#: Pixels that the first look takes of each box; 256 give sigma to 7 %.
_SAMPLES_A_BOX = 256
#: Boxes of no more than this share of usable pixels are filled from others; where most of the
#: image is hidden, those of none.
_LEAST_SAMPLED, _LEAST_OF_FEW = 0.1, 0.001
#: Others that such a box is filled from.
_NEIGHBOURS = 10
#: Of a Gaussian, standard deviation over median absolute deviation.
MAD_TO_STD = np.float32(1.482602218505602)
#: Residuals count up to this many sigma in the second look: streaks weigh little.
_CLIP_MEAN, _CLIP_SQUARE = 2.5, 1.5
#: A box of fewer usable pixels than this share keeps what it had.
_LEAST_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class Meshes:
    """Background and noise of the sky in each box of a mesh.

    Parameters
    ----------
    background, sigma : (rows, columns) float32, counts
        Of each box; sigma is above 0.
    box_px
        Height and width of a box, px. The last ones of a side may reach over the image's edge.
    coarse
        Whether more than half of the pixels have one value, as few counts have: sigma is then no
        Gaussian's and is not refined.
    """

    background: NDArray[np.float32]
    sigma: NDArray[np.float32]
    box_px: tuple[int, int]
    coarse: bool = False


def sky_meshes(data: NDArray[np.float32], unusable: NDArray[np.bool_], box_px: int) -> Meshes:
    """Sigma-clipped medians and scatter of a sample of each box's pixels.

    Parameters
    ----------
    data : (ny, nx) float32, counts
    unusable : (ny, nx) bool
    box_px
        Side of a box.

    Returns
    -------
    Meshes
        Smoothed by a median of 3 x 3 boxes. A box without usable pixels has the mean of the
        nearest others, by inverse distance.

    Raises
    ------
    FrameError
        If all usable pixels have one value.
    """
    ny, nx = data.shape
    # Every k-th pixel is enough for a first look, and the cost falls with k squared.
    step = max(1, int(box_px / math.sqrt(_SAMPLES_A_BOX)))
    step = max(1, min(step, ny // 8, nx // 8))
    if unusable[::step, ::step].all():
        step = 1
    box = (min(box_px // step, -(-ny // step)), min(box_px // step, -(-nx // step)))
    hidden = unusable[::step, ::step]
    least = _LEAST_SAMPLED if hidden.mean() < 0.5 else _LEAST_OF_FEW
    low, rms = _clipped_boxes(data[::step, ::step], hidden, box, least)
    positive = rms[np.isfinite(rms) & (rms > 0)]
    if positive.size == 0:
        # Few photons are all clipped as outliers; their scatter is what they have.
        sample = data[::step, ::step][~hidden]
        scatter = float(np.std(sample, dtype=np.float64)) if sample.size else 0.0
        if not scatter > 0:
            raise FrameError("no noise: all usable pixels of the image have one value")
        positive = np.array([scatter], np.float32)
    rms = np.where(np.isfinite(rms) & (rms > 0), rms, np.median(positive)).astype(np.float32)
    return Meshes(
        _smooth(low), _smooth(rms), (box[0] * step, box[1] * step), _is_coarse(data, hidden, step)
    )


def _clipped_boxes(
    sample: NDArray[np.float32], hidden: NDArray[np.bool_], box: tuple[int, int], least: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median and scatter of each box's pixels that stay after clipping at 3 sigma.

    As photutils' `Background2D` has them. That is not asked: `import photutils` reads what every
    installed package says of itself, a second and a half of work for this one table.
    """
    from astropy.stats import SigmaClip

    (ny, nx), (height, width) = sample.shape, box
    rows, columns = -(-ny // height), -(-nx // width)
    values = np.full((rows * height, columns * width), np.nan, np.float32)
    values[:ny, :nx] = np.where(hidden | ~np.isfinite(sample), np.float32(np.nan), sample)
    boxes = values.reshape(rows, height, columns, width).swapaxes(1, 2).reshape(rows, columns, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # NaN is what we leave out
        kept = SigmaClip(sigma=3.0, maxiters=5)(boxes, axis=-1, masked=False, copy=False)
    few = np.count_nonzero(~np.isnan(kept), axis=-1) <= least * height * width
    low, rms = (np.asarray(of(kept, axis=-1), np.float32) for of in (median_of, _mad_std))
    return _with_neighbours(low, few), _with_neighbours(rms, few)


def _with_neighbours(mesh: NDArray[np.float32], few: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A mesh with, in boxes of few pixels, the mean of the nearest others, by inverse distance."""
    known = ~few & np.isfinite(mesh)
    if known.all() or not known.any():
        return mesh
    from scipy.spatial import cKDTree

    nearest = np.arange(1, min(_NEIGHBOURS, int(np.count_nonzero(known))) + 1)
    distance, which = cKDTree(np.argwhere(known), leafsize=10).query(np.argwhere(~known), nearest)
    filled = mesh.copy()
    filled[~known] = np.average(mesh[known][which], axis=1, weights=1.0 / distance)
    return filled


def _is_coarse(data: NDArray[np.float32], hidden: NDArray[np.bool_], step: int) -> bool:
    """Whether more than half of the pixels share one value; a few thousand of them tell."""
    every = max(1, int(math.sqrt(hidden.size / 8000)))
    some = data[:: step * every, :: step * every][~hidden[::every, ::every]]
    return bool(some.size) and float(_mad_of(some)) == 0.0


def _mad_of(values: NDArray[np.float32]) -> float:
    return float(np.median(np.abs(values - np.median(values))))


def median_of(values: NDArray[np.float32], axis: int | None = None) -> Any:
    """Median of what is not NaN; NaN where there is nothing.

    Parameters
    ----------
    values
        Of any shape.
    axis
        Along which; None for all.

    Returns
    -------
    float32
        Of one axis less.
    """
    if axis is None:
        values, axis = values.ravel(), 0
    if values.shape[axis] == 0:
        return values.sum(axis=axis) * np.nan
    # NaN comes last.
    ranked = np.sort(values, axis=axis)
    n = np.count_nonzero(~np.isnan(ranked), axis=axis, keepdims=True)
    low = np.take_along_axis(ranked, np.maximum(n - 1, 0) // 2, axis)
    high = np.take_along_axis(ranked, n // 2, axis)
    return np.squeeze(np.float32(0.5) * low + np.float32(0.5) * high, axis=axis)


def _mad_std(values: NDArray[np.float32], axis: int | None = None) -> Any:
    """Standard deviation from the median absolute deviation, as `median_of`.

    Counts so coarse that one value has half of the pixels have no such deviation, or a whole
    count; there it is what it is by definition.
    """
    middle = median_of(values, axis)
    if axis is not None:
        middle = np.expand_dims(middle, axis)
    away = np.abs(values - middle)
    rms = np.asarray(MAD_TO_STD * median_of(away, axis))
    coarse = rms == 0
    if coarse.any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # boxes without a usable pixel
            rms = np.where(coarse, np.nanstd(values, axis=axis), rms).astype(np.float32)
    return rms


def refine_meshes(
    meshes: Meshes,
    data: NDArray[np.float32],
    stripes: NDArray[np.float32],
    unusable: NDArray[np.bool_],
) -> Meshes:
    """The same from all pixels: background to 0.008 sigma, sigma to 1 %.

    Parameters
    ----------
    meshes
        First values.
    data : (ny, nx) float32, counts
        The image.
    stripes : (nx,) float32, counts
        What a column has more than the background.
    unusable : (ny, nx) bool

    Returns
    -------
    Meshes
        Of the same boxes. One with fewer than 30 % usable pixels keeps its first values, but for
        the median of 3 x 3 boxes that all go through.
    """
    nx = data.shape[1]
    mean, square, share = _box_moments(
        data, mesh_bands(meshes.background, nx, meshes.box_px[1]),
        mesh_bands(meshes.sigma, nx, meshes.box_px[1]), stripes, unusable,
        *meshes.box_px, meshes.background.shape[1], np.float32(_CLIP_MEAN),
        np.float32(_CLIP_SQUARE),
    )  # fmt: skip
    known = share > _LEAST_SHARE
    shift = np.where(known, mean, 0.0)
    scale = np.where(known & ~np.bool_(meshes.coarse), _scale_of(square), 1.0)
    low = meshes.background + (shift * meshes.sigma).astype(np.float32)
    rms = meshes.sigma * scale.astype(np.float32)
    return Meshes(_smooth(low), _smooth(rms), meshes.box_px, meshes.coarse)


def mesh_bands(mesh: NDArray[np.float32], nx: int, width: int) -> NDArray[np.float32]:
    """A mesh at every column, (rows, nx).

    Parameters
    ----------
    mesh : (rows, columns) float32
        A value a box.
    nx
        Columns of the image.
    width
        Columns of the image in a box.

    Returns
    -------
    (rows, nx) float32
        Linear between the centres of boxes, constant outside the outermost.
    """
    import cv2

    rows, columns = mesh.shape
    if columns == 1:
        return np.repeat(mesh, nx, axis=1)
    wide = cv2.resize(mesh, (max(columns * width, nx), rows), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(wide.reshape(rows, -1)[:, :nx])


def _smooth(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of 3 x 3 boxes: a streak through three of them does not move it."""
    import cv2

    return np.asarray(cv2.medianBlur(mesh, 3), np.float32) if min(mesh.shape) >= 3 else mesh


def _scale_of(mean_square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sigma of a Gaussian whose squares, clipped as in `refine_meshes`, have this mean."""
    scales = np.linspace(0.4, 2.5, 400)
    c = _CLIP_SQUARE / scales
    inside = erf(c / math.sqrt(2.0)) - c * math.sqrt(2.0 / math.pi) * np.exp(-0.5 * c * c)
    expected = scales**2 * (inside + c * c * (1.0 - erf(c / math.sqrt(2.0))))
    return np.interp(mean_square, expected, scales)


@njit(cache=True, nogil=True, error_model="numpy")
def _box_moments(  # type: ignore[no-untyped-def]
    data, background, sigma, stripes, unusable, height, width, columns, clip_mean, clip_square
):
    """Mean of clipped residuals and of clipped squares in each box, and its usable share.

    Background and sigma are bands: their images are not needed for it. Each column of a box is
    summed before its columns are: a processor works on many at once.
    """
    ny, nx = data.shape
    rows = len(sigma)
    mean, square = np.zeros((rows, columns)), np.zeros((rows, columns))
    share = np.zeros((rows, columns))
    for j in range(rows):
        sums, squares = np.zeros(nx, np.float32), np.zeros(nx, np.float32)
        seen = np.zeros(nx, np.float32)
        stop = ny if j == rows - 1 else min((j + 1) * height, ny)
        for y in range(j * height, stop):
            above, below, t = between(y, height, rows)
            low_a, low_b = background[above], background[below]
            rms_a, rms_b = sigma[above], sigma[below]
            values, hidden = data[y], unusable[y]
            for x in range(nx):
                low = low_a[x] + t * (low_b[x] - low_a[x]) + stripes[x]
                z = (values[x] - low) / (rms_a[x] + t * (rms_b[x] - rms_a[x]))
                near = min(max(z, -clip_mean), clip_mean)
                nearer = min(max(z, -clip_square), clip_square)
                sums[x] += np.float32(0) if hidden[x] else near
                squares[x] += np.float32(0) if hidden[x] else nearer * nearer
                seen[x] += np.float32(0) if hidden[x] else np.float32(1)
        for i in range(columns):
            first, last = i * width, nx if i == columns - 1 else min((i + 1) * width, nx)
            total, total_square, count = np.float32(0), np.float32(0), np.float32(0)
            for x in range(first, last):
                total += sums[x]
                total_square += squares[x]
                count += seen[x]
            seen_here = max(float(count), 1.0)
            mean[j, i] = total / seen_here
            square[j, i] = total_square / seen_here
            share[j, i] = count / max((stop - j * height) * (last - first), 1)
    return mean, square, share
