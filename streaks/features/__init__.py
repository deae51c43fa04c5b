"""What a cutout looks like, in numbers: the input of the random forest.

Which kinds of numbers tell streaks from artifacts is taken from Waszczak et al. 2017, PASP 129,
034402 (section 4: line fit, widths along and across, brightest quarter, negative pixels) and
Ye et al. 2019, PASP 131, 078002 (section 3); the definitions are our own. All are measured on
the cutout in units of its own robust noise, so that neither the scale nor the zero of the counts
matters, and all are the same when a cutout is flipped or turned by 90 degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts, fit_to_size, scale_cutouts

__all__ = ["FEATURE_NAMES", "SIZE_PX", "measure_features"]

#: Cutouts of other sizes are cropped or padded to this.
SIZE_PX = 128

#: Names of each kernel's numbers, in the order in which it writes them.
_GROUPS: dict[str, tuple[str, ...]] = {
    "noise": (
        *("mask_share", "mask_share_centre", "flat_share", "flat_share_centre"),
        *("n_bright_smooth", "n_bright_6", "n_bright_15"),
        *("n_dark_smooth", "n_dark_6", "n_dark_15"),
        *("variance", "skewness", "kurtosis"),
        *("lag1_low", "lag1_high", "lag2_low", "lag2_high"),
        *("bright_lag1_low", "bright_lag1_high", "bright_lag2_low", "bright_lag2_high"),
        "bright_lag3_high",
    ),
    "block": (
        *("block_power", "block_highest", "block_lowest", "block_share"),
        *("block_smoothness", "stripes_low", "stripes_high"),
    ),
    "peak": (
        *("n_peaks", "n_dips", "paired_share", "paired_depth"),
        *("peak_sharpness", "peak_ring", "dip_sharpness", "dip_ring"),
    ),
    "ring": (
        *(f"ring_{k}" for k in range(7)),
        *(f"ring_scatter_{k}" for k in range(3)),
        *("point_symmetry", "highest", "lowest", "dipole_separation", "dipole_axis"),
    ),
    "blob": (
        *("blob_area", "blob_major", "blob_minor", "blob_axis_ratio"),
        *("blob_offset", "blob_border", "blob_filling", "blob_peakedness"),
    ),
    "segment": (
        *("segment_snr", "segment_length", "segment_shift", "segment_offset", "segment_axis"),
        *("along_mean", "along_scatter", "along_least", "along_most", "brightest_quarter"),
        *("along_asymmetry", "along_median", "along_positive", "along_masked"),
        *("along_roughness", "beyond_high", "beyond_low", "room_beyond"),
        *("across_width", "across_area", "across_shoulder_1", "across_shoulder_2"),
        *("across_dark", "across_asymmetry", "across_other", "across_flanks"),
        *("bend_scatter", "bend_curvature", "width_scatter"),
        *("segment_share", "dark_beside", "segment_sharpness"),
    ),
    "frame_line": (
        *("line_snr", "dark_line_snr", "crossing_line_snr", "parallel_line_snr", "n_lines"),
        *("line_concentration", "line_axis", "line_offset"),
        *("line_coverage", "line_scatter", "line_least"),
    ),
}

#: Column names of `measure_features`.
FEATURE_NAMES: tuple[str, ...] = tuple(name for group in _GROUPS.values() for name in group)

#: Cutouts scaled at a time: bounds memory to some 15 MB whatever the stack's length.
_BATCH = 64


def measure_features(cutouts: Cutouts) -> NDArray[np.float64]:
    """Features of each cutout.

    Parameters
    ----------
    cutouts
        Of any size; they are cropped or padded to 128 px about the centre.

    Returns
    -------
    (n, len(FEATURE_NAMES)) float64
        Always finite. A cutout without a usable pixel, or without any spread, gives zeros
        but for its masked share.

    References
    ----------
    Waszczak et al. 2017, PASP 129, 034402; Ye et al. 2019, PASP 131, 078002.
    """
    features = np.zeros((len(cutouts), len(FEATURE_NAMES)))
    start = 0
    for batch in cutouts.batches(_BATCH):
        fitted = fit_to_size(batch, SIZE_PX)
        good = ~fitted.mask & np.isfinite(fitted.difference)
        for image, usable in zip(scale_cutouts(fitted), good, strict=True):
            _measure_one(image.astype(np.float64), usable, features[start])
            start += 1
    return features


def _measure_one(
    image: NDArray[np.float64], good: NDArray[np.bool_], out: NDArray[np.float64]
) -> None:
    """Fills one row."""
    if not image.any():
        out[0] = 1.0 - good.mean()
        return
    from streaks.features import _lines, _pixels

    smoothed = _pixels.smooth(image, good)
    parts = {}
    start = 0
    for name, group in _GROUPS.items():
        parts[name] = out[start : start + len(group)]
        start += len(group)
    _pixels.noise_features(image, smoothed, good, parts["noise"])
    _pixels.block_features(image, good, parts["block"])
    _pixels.peak_features(image, smoothed, good, parts["peak"])
    _pixels.ring_features(image, smoothed, good, parts["ring"])
    _pixels.blob_features(image, smoothed, good, parts["blob"])
    _lines.segment_features(image, smoothed, good, parts["segment"])
    _lines.frame_line_features(image, good, parts["frame_line"])
