"""Light that changes slowly over a whole image: a gradient, or vignetting of a sky left in.

Meshes follow it between the centres of boxes, and are constant beyond the outermost. Half a box of
a steep gradient is then a bright rim, and a rim is a streak. So a smooth surface goes first, where
an image shows one; surveys' difference images do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["smooth_surface"]

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
_MAD_TO_STD = 1.4826


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
        kept = off <= max(_CLIP * _MAD_TO_STD * float(np.median(off)), 1e-6 * float(np.ptp(values)))
    if np.ptp(fitted[kept]) < _LEAST_RANGE * boxes.sigma:
        return None
    if np.std((values - fitted)[kept]) > (1.0 - _LEAST_TAKEN) * np.std(values[kept]):
        return None
    return _evaluated(coefficients, degree, (ny, nx))


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Medians of boxes, where they lie (-1 to 1), and the noise of a pixel."""

    median: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    sigma: float


def _boxes(data: NDArray[np.float32], unusable: NDArray[np.bool_]) -> _Boxes:
    step = max(1, min(data.shape) // (_BOXES * _SAMPLES))
    sample = np.where(unusable[::step, ::step], np.nan, data[::step, ::step])
    side = min(data.shape) // (_BOXES * step)
    # The last box of a side takes what is left over.
    tops, lefts = (np.arange(0, n - side + 1, side) for n in sample.shape)
    bottoms, rights = np.append(tops[1:], sample.shape[0]), np.append(lefts[1:], sample.shape[1])
    median = np.full((len(tops), len(lefts)), np.nan)
    scatter = np.full_like(median, np.nan)
    for j, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
        for i, (left, right) in enumerate(zip(lefts, rights, strict=True)):
            values = sample[top:bottom, left:right]
            values = values[np.isfinite(values)]
            if len(values) > _LEAST_SHARE * (bottom - top) * (right - left):
                median[j, i] = np.median(values)
                scatter[j, i] = np.median(np.abs(values - median[j, i]))
    known = scatter[np.isfinite(scatter)]
    sigma = _MAD_TO_STD * float(np.median(known)) if len(known) else 0.0
    x, y = (
        _scaled(step * 0.5 * (first + last - 1), n)
        for first, last, n in ((lefts, rights, data.shape[1]), (tops, bottoms, data.shape[0]))
    )
    return _Boxes(median, x, y, sigma)


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
