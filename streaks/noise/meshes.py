"""Background and noise of the sky on a mesh of boxes, and meshes as images.

Clipped statistics of a sample of pixels come first; then all pixels of each box, once, against what
was found. Lines sum what is below the notice of any pixel: a background 0.03 sigma too
low adds a whole sigma to a line of 300 px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streaks.errors import FrameError
from streaks.noise._rows import between
from streaks.special import erf

__all__ = ["MAD_TO_STD", "Meshes", "clipped_medians", "mesh_bands", "refine_meshes", "sky_meshes"]

#: Pixels that the first look takes of each box; 256 give sigma to 7 %.
_SAMPLES_A_BOX = 256
#: They are clipped so many sigma from their median, so many times.
_CLIP_SAMPLE, _CLIP_ROUNDS = 3.0, 5
_HALF = np.float32(0.5)
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
    installed package says of itself, a second and a half of work for this one table. Nor is
    astropy's `SigmaClip`: of pixels in rising order both medians are known without a search.
    """
    (ny, nx), (height, width) = sample.shape, box
    rows, columns = -(-ny // height), -(-nx // width)
    values = np.full((rows * height, columns * width), np.nan, np.float32)
    values[:ny, :nx] = np.where(hidden | ~np.isfinite(sample), np.float32(np.nan), sample)
    blocks = values.reshape(rows, height, columns, width).swapaxes(1, 2)
    boxes = blocks.reshape(rows * columns, height * width)
    bounds, counts, low, away = clipped_medians(np.sort(boxes, axis=-1), _CLIP_SAMPLE, _CLIP_ROUNDS)
    rms = MAD_TO_STD * (
        _HALF * away[:, 0].astype(np.float32) + _HALF * away[:, 1].astype(np.float32)
    )
    # Counts so coarse that one value has half of the pixels have no such deviation, or a whole
    # count; there it is what it is by definition.
    for k in np.flatnonzero(rms == 0):
        inside = (boxes[k] >= bounds[k, 0]) & (boxes[k] <= bounds[k, 1])
        rms[k] = np.nanstd(np.where(inside, boxes[k], np.float32(np.nan)))
    few = (counts <= least * height * width).reshape(rows, columns)
    meshes = low.reshape(rows, columns), rms.reshape(rows, columns)
    return _with_neighbours(meshes[0], few), _with_neighbours(meshes[1], few)


@njit(cache=True, nogil=True)
def clipped_medians(ranked, sigmas, rounds):  # type: ignore[no-untyped-def]
    """Medians of rows of values, and of distances from them, after clipping.

    Parameters
    ----------
    ranked : (n, m) float32
        Rows in rising order, NaN last.
    sigmas
        Values farther than so many standard deviations from the median are left out; inf for none.
    rounds
        So often.

    Returns
    -------
    bounds : (n, 2)
        Values within were kept.
    counts : (n,) int
        How many they are.
    median : (n,) float32
    away : (n, 2)
        The two middle distances from the median; one and the same for an odd number of values.
        NaN, all but the counts, for a row without values.
    """
    n_rows = len(ranked)
    bounds, counts = np.full((n_rows, 2), np.nan), np.zeros(n_rows, np.int64)
    median, away = np.full(n_rows, np.float32(np.nan)), np.full((n_rows, 2), np.nan)
    for i in range(n_rows):
        row, n = ranked[i], len(ranked[i])
        while n > 0 and np.isnan(row[n - 1]):
            n -= 1
        if n == 0:
            continue
        low, high = _clip_bounds(row, n, sigmas, rounds)
        first, last = 0, n
        while row[first] < low:
            first += 1
        while row[last - 1] > high:
            last -= 1
        bounds[i, 0], bounds[i, 1], counts[i] = low, high, last - first
        median[i], away[i, 0], away[i, 1] = _medians(row, first, last)
    return bounds, counts, median, away


@njit(cache=True, nogil=True)
def _clip_bounds(row, n, sigmas, rounds):  # type: ignore[no-untyped-def]
    """Median less and plus so many standard deviations of what lies within the bounds before."""
    first, last = 0, n
    low, high = -np.inf, np.inf
    for _ in range(rounds if sigmas < np.inf else 0):
        total = 0.0
        for k in range(first, last):
            total += row[k]
        mean, squares = total / (last - first), 0.0
        for k in range(first, last):
            squares += (row[k] - mean) ** 2
        away = sigmas * math.sqrt(squares / (last - first))
        middle = 0.5 * (
            np.float64(row[(first + last - 1) // 2]) + np.float64(row[(first + last) // 2])
        )
        low, high = middle - away, middle + away
        before = last - first
        while row[first] < low:
            first += 1
        while row[last - 1] > high:
            last -= 1
        if last - first == before:
            break
    return low, high


@njit(cache=True, nogil=True)
def _medians(row, first, last):  # type: ignore[no-untyped-def]
    """Median of values in rising order, and the two middle distances from it, which may be one.

    The nearest come first: nothing is ranked anew.
    """
    middle = _HALF * row[(first + last - 1) // 2] + _HALF * row[(first + last) // 2]
    n, centre = last - first, np.float64(middle)
    right = first
    while right < last and row[right] < middle:
        right += 1
    left = right - 1
    before = now = 0.0
    for _ in range(n // 2 + 1):
        before = now
        if right == last or (left >= first and centre - row[left] <= row[right] - centre):
            now = centre - row[left]
            left -= 1
        else:
            now = row[right] - centre
            right += 1
    if n % 2 == 1:
        before = now
    return middle, before, now


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
