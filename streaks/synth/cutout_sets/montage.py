"""A page of cutouts, a row or more a class, to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.errors import ConfigError, InputError

__all__ = ["draw_montage", "draw_tile", "write_montage"]

#: Dark on light, clipped a fifth below and four above, as ZTF's stored cutouts are.
_LOW_SIGMA, _HIGH_SIGMA = 2.5, 10.0
_TINT = (255, 205, 165)  # BGR of masked areas
_PER_ROW = 12


def draw_montage(cutouts: Cutouts, truth: QTable, *, per_class: int = 12) -> NDArray[np.uint8]:
    """A picture of the first cutouts of each class.

    Parameters
    ----------
    cutouts, truth
        As `make_cutouts` gives them.
    per_class
        How many of each.

    Returns
    -------
    (ny, nx, 3) uint8
        BGR. Row 0 of each image is at the bottom, as astronomers draw it.

    Raises
    ------
    ConfigError
        If `per_class` is less than 1.
    """
    import cv2

    if per_class < 1:
        raise ConfigError(f"per_class is {per_class}; show at least one")
    labels = np.asarray(truth["label"])
    rows = []
    for label in dict.fromkeys(sorted(labels.tolist())):
        chosen = np.flatnonzero(labels == label)[:per_class]
        tiles = [draw_tile(cutouts.difference[i], cutouts.mask[i]) for i in chosen]
        for start in range(0, per_class, _PER_ROW):
            part = tiles[start : start + _PER_ROW]
            blank = np.full_like(tiles[0], 255)
            row = np.hstack(part + [blank] * (min(_PER_ROW, per_class) - len(part)))
            if start == 0:
                cv2.putText(
                    row, str(label), (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 200), 1
                )
            rows.append(row)
    return np.vstack(rows)


def draw_tile(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """One cutout as BGR, dark on light, masked areas tinted, row 0 at the bottom.

    Parameters
    ----------
    values : (ny, nx)
        Counts. Grey levels are set by the median and spread of what is not masked.
    mask : (ny, nx) bool
        True where a pixel must not be used.

    Returns
    -------
    (ny, nx, 3) uint8
        With a black frame.
    """
    good = values[~mask]
    middle = float(np.median(good)) if good.size else 0.0
    sigma = 1.4826 * float(np.median(np.abs(good - middle))) if good.size else 0.0
    scaled = (values - middle) / (sigma if sigma > 0 else 1.0)
    grey = 255.0 * (_HIGH_SIGMA - scaled) / (_LOW_SIGMA + _HIGH_SIGMA)
    picture = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    picture[mask] = _TINT
    picture[[0, -1]] = 0
    picture[:, [0, -1]] = 0
    return picture[::-1]


def write_montage(
    path: str | Path, cutouts: Cutouts, truth: QTable, *, per_class: int = 12
) -> None:
    """`draw_montage` as a PNG file.

    Parameters
    ----------
    path
        Must end in ``.png``; a file that is there is replaced.
    cutouts, truth
        As `make_cutouts` gives them.
    per_class
        How many of each.

    Raises
    ------
    InputError
        If the file cannot be written, or is to be no PNG.
    """
    import cv2

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} is no PNG; give a name that ends in .png")
    _, coded = cv2.imencode(".png", draw_montage(cutouts, truth, per_class=per_class))
    try:
        path.write_bytes(coded.tobytes())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
