"""What a cutout looks like, in numbers: the input of the random forest.

Which kinds of numbers tell streaks from artifacts is taken from Waszczak et al. 2017, PASP 129,
034402 (section 4: line fit, widths along and across, brightest quarter, negative pixels) and
Ye et al. 2019, PASP 131, 078002 (section 3); the definitions are our own. All are measured on
the cutout in units of its own robust noise, so that neither the scale nor the zero of the counts
matters, and all are the same when a cutout is flipped or turned by 90 degrees.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts, fit_to_size, scale_cutouts

__all__ = ["FEATURE_NAMES", "SIZE_PX", "measure_features", "measure_scaled"]

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
        *(
            "segment_snr",
            "segment_length",
            "segment_shift",
            "segment_offset",
            "segment_axis",
        ),
        *(
            "along_mean",
            "along_scatter",
            "along_least",
            "along_most",
            "brightest_quarter",
        ),
        *("along_asymmetry", "along_median", "along_positive", "along_masked"),
        *("along_roughness", "beyond_high", "beyond_low", "room_beyond"),
        *("across_width", "across_area", "across_shoulder_1", "across_shoulder_2"),
        *("across_dark", "across_asymmetry", "across_other", "across_flanks"),
        *("bend_scatter", "bend_curvature", "width_scatter"),
        *("segment_share", "dark_beside", "segment_sharpness"),
    ),
    "frame_line": (
        *(
            "line_snr",
            "dark_line_snr",
            "crossing_line_snr",
            "parallel_line_snr",
            "n_lines",
        ),
        *("line_concentration", "line_axis", "line_offset"),
        *("line_coverage", "line_scatter", "line_least"),
    ),
}

#: Column names of `measure_features`.
FEATURE_NAMES: tuple[str, ...] = tuple(name for group in _GROUPS.values() for name in group)


def _places() -> dict[str, slice]:
    places, start = {}, 0
    for name, group in _GROUPS.items():
        places[name] = slice(start, start + len(group))
        start += len(group)
    return places


#: Where each group's numbers lie in a row.
_PLACES = _places()


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
    fitted = fit_to_size(cutouts, SIZE_PX)
    good = ~fitted.mask & np.isfinite(fitted.difference)
    return measure_scaled(scale_cutouts(fitted), good)


def measure_scaled(images: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`measure_features` of cutouts that were brought to size and scaled before.

    Parameters
    ----------
    images : (n, 128, 128), robust sigmas
        As `streaks.cutouts.scale_cutouts` gives them, 0 in pixels that are not good.
    good : (n, 128, 128)
        Pixels that count.

    Returns
    -------
    (n, len(FEATURE_NAMES)) float64
        As `measure_features`.
    """
    features = np.zeros((len(images), len(FEATURE_NAMES)))
    for image, usable, row in zip(images, good, features, strict=True):
        _measure_one(image.astype(np.float64), usable, row)
    return features


def _measure_one(
    image: NDArray[np.float64], good: NDArray[np.bool_], out: NDArray[np.float64]
) -> None:
    """Fills one row."""
    from streaks.features import _pixels, _profiles, _searches, _sources

    if _pixels.is_blank(image):
        out[0] = 1.0 - good.mean()
        return
    parts = {name: out[place] for name, place in _PLACES.items()}
    smoothed = _pixels.smooth(image, good)
    _pixels.noise_features(image, smoothed, good, parts["noise"])
    _pixels.block_features(image, good, parts["block"])
    _sources.peak_features(image, smoothed, good, parts["peak"])
    _sources.ring_features(image, smoothed, good, parts["ring"])
    _sources.blob_features(image, smoothed, good, parts["blob"])
    segment = _searches.best_segment(smoothed, good)
    _profiles.segment_features(image, smoothed, good, *segment, parts["segment"])
    sums, missing = _searches.bin_image(image, good)
    variances = _variances(missing.astype(np.uint8).tobytes())
    line = _searches.whole_line_features(sums, variances, parts["frame_line"][:8])
    _profiles.coverage_features(image, good, *line, parts["frame_line"][8:])


# Stamps of a survey miss the same pixels, most of them: what is around the stamp. 36 kB each.
@functools.lru_cache(maxsize=64)
def _variances(missing: bytes) -> NDArray[np.float64]:
    """Variances of whole lines, by how many pixels each square misses (a byte each)."""
    from streaks.features import _searches

    n_bins = SIZE_PX // _searches.BIN_PX
    counts = np.frombuffer(missing, np.uint8).reshape(n_bins, n_bins).astype(float)
    # Most cutouts miss little.
    found = _full_variances() - np.asarray(_searches.line_variances(counts))
    return np.asarray(found)


@functools.cache
def _full_variances() -> NDArray[np.float64]:
    """Those of a cutout of which every pixel is good."""
    from streaks.features import _searches

    n_bins = SIZE_PX // _searches.BIN_PX
    counts = np.full((n_bins, n_bins), float(_searches.BIN_PX**2))
    return np.asarray(_searches.line_variances(counts))
