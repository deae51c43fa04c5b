"""Square cutouts around streaks, and the one scaling that all classifiers see.

A cutout keeps native pixels and raw counts; what lies outside the image or in the frame's mask is
True in the cutout's own mask. Scaling by median and robust sigma comes last, so that difference
images in counts, stamps in microjansky and 8-bit pictures look alike to a classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import CutoutConfig
from streaks.errors import FrameError
from streaks.frame import Frame

__all__ = ["Cutouts", "extract_cutouts", "fit_to_size", "scale_cutouts", "stack_cutouts"]

#: What stands in a cutout where there is no image.
_OUTSIDE = {"difference": 0.0, "mask": True, "science": np.nan, "reference": np.nan}
#: Beyond any light; numbers of 32 bits end not far above it.
_MOST_SIGMA = np.float32(1e30)


@dataclass(frozen=True, eq=False)
class Cutouts:
    """A stack of square cutouts.

    Parameters
    ----------
    difference : (n, size, size) float32
        Counts of the difference image, positive = brighter now; 0 in masked pixels.
    mask : (n, size, size) bool
        True where a pixel must not be used or lies outside the image.
    names
        ``streak_id`` or file name of each.
    science, reference : (n, size, size) float32 or None
        The images the difference was made of; NaN where there is nothing.
    fwhm_px : (n,) float64 or None
        Of the PSF; NaN where it is not known.
    """

    difference: NDArray[np.float32]
    mask: NDArray[np.bool_]
    names: tuple[str, ...]
    science: NDArray[np.float32] | None = None
    reference: NDArray[np.float32] | None = None
    fwhm_px: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.fwhm_px is not None and self.fwhm_px.shape != (n,):
            raise FrameError(f"fwhm_px is {self.fwhm_px.shape}; expected ({n},)")
        for what in ("difference", "mask", "science", "reference"):
            stack = getattr(self, what)
            if stack is None:
                continue
            if stack.ndim != 3 or stack.shape[0] != n or stack.shape[1] != stack.shape[2]:
                raise FrameError(f"{what} is {stack.shape}; expected ({n}, size, size)")
            if stack.shape != self.difference.shape:
                raise FrameError(f"{what} is {stack.shape}, difference {self.difference.shape}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size_px(self) -> int:
        return int(self.difference.shape[1])

    def select(self, index: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Cutouts:
        """Some of the cutouts.

        Parameters
        ----------
        index
            What picks them: a slice, a boolean mask of n, or integers.

        Returns
        -------
        Cutouts
            In the order in which they were picked.
        """
        picked = np.arange(len(self))[index]
        return Cutouts(
            self.difference[picked],
            self.mask[picked],
            tuple(self.names[i] for i in picked),
            None if self.science is None else self.science[picked],
            None if self.reference is None else self.reference[picked],
            None if self.fwhm_px is None else self.fwhm_px[picked],
        )

    def batches(self, n: int) -> Iterator[Cutouts]:
        """The stack in pieces.

        Parameters
        ----------
        n
            Most cutouts in a piece.

        Yields
        ------
        Cutouts
            One piece after the other, in order.
        """
        for start in range(0, len(self), n):
            yield self.select(slice(start, start + n))


def extract_cutouts(frame: Frame, streaks: QTable, config: CutoutConfig | None = None) -> Cutouts:
    """Cutouts centred on the midpoints of streaks.

    Parameters
    ----------
    frame
        The image the streaks were found in.
    streaks
        With the columns ``streak_id, x, y``.
    config
        Size of a cutout.

    Returns
    -------
    Cutouts
        One a row, in the table's order.
    """
    config = CutoutConfig() if config is None else config
    size, n = config.size_px, len(streaks)
    x = np.asarray(streaks["x"].to_value("pix")) if n else np.zeros(0)
    y = np.asarray(streaks["y"].to_value("pix")) if n else np.zeros(0)
    # The midpoint falls on pixel size // 2 of the cutout.
    x_low = np.floor(x + 0.5).astype(int) - size // 2
    y_low = np.floor(y + 0.5).astype(int) - size // 2
    difference, mask = np.empty((n, size, size), np.float32), np.empty((n, size, size), bool)
    beside = {
        what: np.empty((n, size, size), np.float32)
        for what in ("science", "reference")
        if getattr(frame, what) is not None
    }
    stacks: dict[str, NDArray[Any]] = {"difference": difference, "mask": mask, **beside}
    for i in range(n):
        there, here = _overlap(frame.shape, int(x_low[i]), int(y_low[i]), size)
        if here != (slice(0, size), slice(0, size)):
            for what, stack in stacks.items():
                stack[i] = _OUTSIDE[what]
        # Only what the cutouts show is looked at: a frame has hundreds of times more pixels.
        data, unusable = frame.data[there], mask[i][here]
        np.logical_or(frame.mask[there], ~np.isfinite(data), out=unusable)
        difference[i][here] = data
        difference[i][here][unusable] = 0.0
        for what, stack in beside.items():
            stack[i][here] = getattr(frame, what)[there]
    names = tuple(str(name) for name in streaks["streak_id"])
    fwhm_px = np.full(n, frame.fwhm_px if frame.fwhm_px > 0 else np.nan)
    return Cutouts(difference, mask, names, **beside, fwhm_px=fwhm_px)


def stack_cutouts(parts: Sequence[Cutouts]) -> Cutouts:
    """Several stacks of one size as one; science and reference where all have them.

    Parameters
    ----------
    parts
        Stacks; none gives a stack of none.

    Returns
    -------
    Cutouts
        In the order of the parts.

    Raises
    ------
    FrameError
        If they are of different sizes.
    """
    if not parts:
        empty = np.zeros((0, CutoutConfig().size_px, CutoutConfig().size_px), np.float32)
        return Cutouts(empty, empty.astype(bool), ())
    sizes = {part.size_px for part in parts}
    if len(sizes) > 1:
        raise FrameError(f"cutouts of sizes {sorted(sizes)} cannot be stacked; use fit_to_size")
    beside = {}
    for what in ("science", "reference"):
        stacks = [getattr(part, what) for part in parts]
        if all(stack is not None for stack in stacks):
            beside[what] = np.concatenate(stacks)
    widths = [
        np.full(len(part), np.nan) if part.fwhm_px is None else part.fwhm_px for part in parts
    ]
    return Cutouts(
        np.concatenate([part.difference for part in parts]),
        np.concatenate([part.mask for part in parts]),
        tuple(name for part in parts for name in part.names),
        **beside,
        fwhm_px=np.concatenate(widths),
    )


def fit_to_size(cutouts: Cutouts, size_px: int) -> Cutouts:
    """Cropped or padded about the centre; what is padded is masked.

    Parameters
    ----------
    cutouts
        Of any size.
    size_px
        That is wanted.

    Returns
    -------
    Cutouts
        The same stack where it has that size.
    """
    if cutouts.size_px == size_px:
        return cutouts
    offset = cutouts.size_px // 2 - size_px // 2
    there, here = _overlap((cutouts.size_px, cutouts.size_px), offset, offset, size_px)
    shape = (len(cutouts), size_px, size_px)
    changes: dict[str, Any] = {}
    for what, fill in _OUTSIDE.items():
        old = getattr(cutouts, what)
        if old is not None:
            new = np.full(shape, fill, old.dtype)
            new[:, here[0], here[1]] = old[:, there[0], there[1]]
            changes[what] = new
    return replace(cutouts, **changes)


def scale_cutouts(cutouts: Cutouts) -> NDArray[np.float32]:
    """Difference in units of its own robust sigma, median removed, 0 in masked pixels.

    Median and sigma (1.4826 times the median absolute deviation) come from the unmasked pixels
    of each cutout; a cutout of no spread or no pixels comes out as zeros.

    Parameters
    ----------
    cutouts
        n of them.

    Returns
    -------
    (n, size, size) float32
        Finite, within 1e30.
    """
    shape = len(cutouts), cutouts.size_px**2
    images, masks = cutouts.difference.reshape(shape), cutouts.mask.reshape(shape)
    scaled = np.zeros(images.shape, np.float32)
    # One cutout at a time: np.nanmedian over an axis copies the whole stack.
    for image, mask, out in zip(images, masks, scaled, strict=True):
        good = ~mask & np.isfinite(image)
        whole = good.all()
        values = image if whole else image[good]
        if values.size == 0:
            continue
        centred = values - _median(values)
        sigma = np.float32(1.4826) * _median(np.abs(centred))
        if sigma > 0:
            with np.errstate(over="ignore"):
                found = centred / sigma
            out[... if whole else good] = found.clip(-_MOST_SIGMA, _MOST_SIGMA)
    return scaled.reshape(cutouts.difference.shape)


def _median(values: NDArray[np.float32]) -> np.float32:
    """As np.median of finite values, without its checks: a third of the time."""
    middle = len(values) // 2
    ordered = np.partition(values, middle)
    if len(values) % 2:
        return np.float32(ordered[middle])
    return np.float32(0.5) * np.float32(ordered[:middle].max() + ordered[middle])


def _overlap(
    shape: tuple[int, int], x_low: int, y_low: int, size: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a large image and of a cutout that show the same pixels."""
    ny, nx = shape
    there = (
        slice(min(max(y_low, 0), ny), max(min(y_low + size, ny), 0)),
        slice(min(max(x_low, 0), nx), max(min(x_low + size, nx), 0)),
    )
    here = (
        slice(there[0].start - y_low, there[0].stop - y_low),
        slice(there[1].start - x_low, there[1].stop - x_low),
    )
    return there, here
