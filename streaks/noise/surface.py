"""What a whole image shows beside its sources: a slope of the sky, and rows that differ.

Meshes follow it between the centres of boxes, and are constant beyond the outermost. Half a box of
a steep gradient is then a bright rim, and a rim is a streak. So a smooth surface goes first, where
an image shows one; surveys' difference images do not. Rows that differ, as amplifiers leave them,
would each be a line from edge to edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from streaks.noise.meshes import MAD_TO_STD, clipped_medians

__all__ = ["is_pattern", "row_pattern", "smooth_surface"]

#: Boxes along the shorter side, whose medians are the points of the surface, and pixels that are
#: asked along the side of each.
_BOXES, _SAMPLES = 16, 16
#: A smaller image has no surface that a mesh does not follow as well, px.
_LEAST_PX = 384
#: A box of fewer usable pixels than this share tells nothing.
_LEAST_SHARE = 0.3
#: Degree of the polynomial: cos**4 of an angle and a tilt are none higher, to a part in a thousand.
_DEGREE = 6
#: Boxes off by so many times the scatter are of sources or reflections; so many looks at them.
_CLIP, _ROUNDS = 5.0, 4
#: What changes less over the image, in its pixels' noise, is left to the mesh.
_LEAST_RANGE = 1.0
#: The surface takes at least this share of the boxes' scatter, or it is not what they show.
_LEAST_TAKEN = 0.5
#: Rows or columns that scatter by so many times their error are a detector's pattern; so are
#: straps, of which more than this share, and number, stand out by so many errors.
_SCATTERS, _STANDS_OUT, _MANY, _FEW = 1.5, 8.0, 0.03, 40
#: Fewer rows or columns tell nothing.
_LEAST_KNOWN = 16
#: Of a row so many pixels are asked first, and rows are held against so many around.
_ROW_SAMPLES, _ROWS_AROUND = 128, 65
#: Pixels so far apart share no noise.
_APART_PX = 4
#: A median's error is so many times a mean's; pixels count up to so many sigma for their row.
_OF_MEDIAN, _ROW_CLIP = 1.2533, 3.0


def smooth_surface(
    data: NDArray[np.float32], unusable: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """A polynomial through medians of boxes, where an image has such a slope.

    Parameters
    ----------
    data : (ny, nx) float32, counts
    unusable : (ny, nx) bool
        True where a pixel must not be used.

    Returns
    -------
    (ny, nx) float32, counts, or None
        To be taken off; None where there is nothing of the kind.
    """
    ny, nx = data.shape
    if min(ny, nx) < _LEAST_PX:
        return None
    boxes = _boxes(data, unusable)
    degree = min(_DEGREE, min(boxes.median.shape) - 1)
    known = np.isfinite(boxes.median)
    if np.count_nonzero(known) < 2 * (degree + 1) ** 2:
        return None
    x, y = (v[known] for v in np.meshgrid(boxes.x, boxes.y))
    values = boxes.median[known]
    terms = _terms(x, y, degree)
    fitted: NDArray[Any] = values
    coefficients: NDArray[Any] = np.zeros(terms.shape[1])
    kept = np.ones(len(values), bool)
    for _ in range(_ROUNDS):
        coefficients = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        fitted = terms @ coefficients
        off = np.abs(values - fitted)
        kept = off <= max(_CLIP * MAD_TO_STD * float(np.median(off)), 1e-6 * float(np.ptp(values)))
    if np.ptp(fitted[kept]) < _LEAST_RANGE * boxes.sigma:
        return None
    if np.std((values - fitted)[kept]) > (1.0 - _LEAST_TAKEN) * np.std(values[kept]):
        return None
    return _evaluated(coefficients, degree, (ny, nx))


def row_pattern(
    data: NDArray[np.float32], unusable: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """What each row has more than those around it, where an image has such a pattern.

    Parameters
    ----------
    data : (ny, nx) float32, counts
    unusable : (ny, nx) bool
        True where a pixel must not be used.

    Returns
    -------
    (ny,) float32, counts, or None
        To be taken off; None where rows differ by noise only. A trail along one row is no pattern.
    """
    if min(data.shape) < _LEAST_PX:
        return None
    step = max(_APART_PX, data.shape[1] // _ROW_SAMPLES)
    sample = np.where(unusable[:, ::step], np.float32(np.nan), data[:, ::step])
    median, scatter = _medians(sample, 0.5)
    known = np.isfinite(median)
    if np.count_nonzero(known) < _LEAST_KNOWN:
        return None
    sigma = MAD_TO_STD * float(np.median(scatter[np.isfinite(scatter)]))
    error = _OF_MEDIAN * sigma / np.sqrt(sample.shape[1])
    if not error > 0 or not is_pattern(_against_others(median, known)[known], error):
        return None
    # A line along a row sums the error of what was taken off: all its pixels make it small.
    mean = median.copy()
    for row in np.flatnonzero(known):
        values = data[row][~unusable[row]]
        clipped = np.clip(values, *(median[row] + np.array([-1.0, 1.0]) * _ROW_CLIP * sigma))
        mean[row] = clipped.mean()
    return _against_others(mean, known).astype(np.float32)


def _against_others(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each row's value less the median of those around it; 0 where it is not known."""
    there = np.flatnonzero(known)
    whole = np.interp(np.arange(len(values)), there, values[there])
    # Beyond the ends rows are mirrored.
    around = sliding_window_view(
        np.pad(whole, _ROWS_AROUND // 2, mode="symmetric"), _ROWS_AROUND
    )  # fmt: skip
    return np.where(known, whole - np.median(around, axis=1), 0.0)


def is_pattern(means: NDArray[np.float64], error: float) -> bool:
    """Whether rows or columns scatter more than noise lets them, or many of them stand out.

    Parameters
    ----------
    means : (n,)
        Of each row or column.
    error
        Of each mean, by noise alone.

    Returns
    -------
    bool
        False for fewer than 16.
    """
    if len(means) < _LEAST_KNOWN:
        return False
    off = np.abs(means - np.median(means))
    many = np.count_nonzero(off > _STANDS_OUT * error) > max(_MANY * len(means), _FEW)
    return bool(MAD_TO_STD * float(np.median(off)) > _SCATTERS * error or many)


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Medians of boxes, where they lie (-1 to 1), and the noise of a pixel."""

    median: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    sigma: float


def _boxes(data: NDArray[np.float32], unusable: NDArray[np.bool_]) -> _Boxes:
    step = max(1, min(data.shape) // (_BOXES * _SAMPLES))
    sample = np.where(unusable[::step, ::step], np.float32(np.nan), data[::step, ::step])
    side = min(sample.shape) // _BOXES
    rows, columns = (n // side for n in sample.shape)
    # What is left over at the last rows and columns is less than a box: the surface goes on there.
    boxes = sample[: rows * side, : columns * side].reshape(rows, side, columns, side)
    values = boxes.swapaxes(1, 2).reshape(rows * columns, side * side)
    median, scatter = _medians(values, _LEAST_SHARE)
    known = scatter[np.isfinite(scatter)]
    sigma = float(MAD_TO_STD) * float(np.median(known)) if len(known) else 0.0
    x, y = (
        _scaled(step * (side * (np.arange(k) + 0.5) - 0.5), n)
        for k, n in ((columns, data.shape[1]), (rows, data.shape[0]))
    )
    return _Boxes(median.reshape(rows, columns), x, y, sigma)


def _medians(
    values: NDArray[np.float32], least_share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each row's finite values, and of their distances from it; NaN where that is too little."""
    finite = np.where(np.isfinite(values), values, np.float32(np.nan))
    _, counts, median, away = clipped_medians(np.sort(finite, axis=-1), np.inf, 0)
    enough = counts > least_share * values.shape[-1]
    middle = np.where(enough, median.astype(np.float64), np.nan)
    return middle, np.where(enough, 0.5 * away[:, 0] + 0.5 * away[:, 1], np.nan)


def _scaled(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.asarray(2.0 * pixels / (n - 1) - 1.0)


def _powers(degree: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]


def _terms(x: NDArray[np.float64], y: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    return np.stack([x**i * y**j for i, j in _powers(degree)], axis=1)


def _evaluated(
    coefficients: NDArray[np.float64], degree: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """The polynomial at every pixel, as a product of matrices."""
    table = np.zeros((degree + 1, degree + 1))
    for (i, j), value in zip(_powers(degree), coefficients, strict=True):
        table[j, i] = value
    x, y = (_scaled(np.arange(n, dtype=float), n) for n in (shape[1], shape[0]))
    columns = np.vander(x, degree + 1, increasing=True).astype(np.float32)
    rows = (np.vander(y, degree + 1, increasing=True) @ table).astype(np.float32)
    return np.asarray(rows @ columns.T)
