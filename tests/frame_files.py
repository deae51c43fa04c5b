"""FITS files as surveys write them, made for tests. No code is shared with `streaks.synth`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

__all__ = [
    "SHAPE",
    "ZTF_STEM",
    "add_trail",
    "noise_image",
    "real_data",
    "shared_case",
    "write_rubin_frame",
    "write_ztf_frame",
    "ztf_header",
]

#: One odd side, one even.
SHAPE = (301, 412)
ZTF_STEM = "ztf_20180607199178_000663_zr_c04_o_q2"


def real_data(*parts: str) -> Path:
    """A file of the shared real data; the test is skipped where there is none."""
    path = _data_folder().joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data missing: {'/'.join(parts)} (set STREAKS_REAL_DATA)")
    return path


def shared_case(name: str) -> Path:
    """A file or folder of the cases that lie beside the real data; else the test is skipped."""
    path = _data_folder().parent / "cases" / name
    if not path.exists():
        pytest.skip(f"shared case missing: {name} (set STREAKS_REAL_DATA)")
    return path


def _data_folder() -> Path:
    root = Path(__file__).resolve().parents[1]
    return Path(os.environ.get("STREAKS_REAL_DATA", root.parent / "shared" / "data"))


def noise_image(
    shape: tuple[int, int] = SHAPE, seed: int = 1, sigma: float = 12.0
) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


def add_trail(
    image: NDArray[np.float32],
    ends: tuple[float, float, float, float],
    flux: float,
    sigma_px: float = 1.2,
) -> None:
    """Add a trail: a row of close Gaussians, each integrating to its share of the flux."""
    x0, y0, x1, y1 = ends
    n = 1 + 4 * int(np.hypot(x1 - x0, y1 - y0))
    iy, ix = np.indices(image.shape)
    share = flux / n / (2 * np.pi * sigma_px**2)
    for t in (np.arange(n) + 0.5) / n:
        x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        low_x, high_x = max(int(x) - 8, 0), int(x) + 9
        low_y, high_y = max(int(y) - 8, 0), int(y) + 9
        box = (slice(low_y, high_y), slice(low_x, high_x))
        squared = (ix[box] - x) ** 2 + (iy[box] - y) ** 2
        image[box] += (share * np.exp(-0.5 * squared / sigma_px**2)).astype(np.float32)


def ztf_header(**changes: Any) -> fits.Header:
    """Words of a ZTF difference image; those set to None are left out."""
    words = {
        "CTYPE1": "RA---TPV",
        "CTYPE2": "DEC--TPV",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRVAL1": 250.0,
        "CRVAL2": 20.0,
        "CRPIX1": 200.5,
        "CRPIX2": 150.0,
        "CD1_1": -1.01 / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 1.01 / 3600,
        "PV1_1": 1.0,
        "PV1_7": 1e-4,
        "PV2_1": 1.0,
        "OBSJD": 2458276.6991782,
        "EXPTIME": 30.0,
        "MAGZP": 26.3,
        "GAIN": 6.2,
        "READNOI": 10.3,
        "SATURATE": 45000.0,
        "SEEING": 2.1,
        "FILTER": "ZTF_r",
        "FIELDID": 663,
        "CCDID": 4,
        "QID": 2,
        **changes,
    }
    header = fits.Header()
    for word, value in words.items():
        if value is not None:
            header[word] = value
    return header


def write_ztf_frame(
    folder: Path,
    data: NDArray[Any] | None = None,
    *,
    stem: str = ZTF_STEM,
    mask: NDArray[np.int16] | None = None,
    context: bool = False,
    **changes: Any,
) -> Path:
    """A Rice-compressed difference image, with its mask, science and reference beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    data = noise_image() if data is None else data
    header = ztf_header(**changes)
    path = folder / f"{stem}_scimrefdiffimg.fits.fz"
    compressed = fits.CompImageHDU(
        data, header, compression_type="RICE_1", quantize_level=16, quantize_method=2
    )
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(path)
    if mask is not None:
        fits.PrimaryHDU(mask, header).writeto(folder / f"{stem}_mskimg.fits")
    if context:
        _, _, field, band, ccd, _, quadrant = stem.split("_")
        fits.PrimaryHDU(data + 100, header).writeto(folder / f"{stem}_sciimg.fits")
        name = f"ztf_{field}_{band}_{ccd}_{quadrant}_refimg.fits"
        fits.PrimaryHDU(data + 200, header).writeto(folder / name)
    return path


def write_rubin_frame(path: Path, data: NDArray[np.float32], mask: NDArray[np.int32]) -> Path:
    """Image, mask and variance in one file, the plane numbers as the file pleases."""
    primary = fits.PrimaryHDU()
    words = {
        "EXPTIME": 30.0,
        "TIMESYS": "TAI",
        "DATE-AVG": "2024-11-10T05:00:37.000",
        "BAND": "i",
        "VISIT": 2024111000123,
    }
    for word, value in words.items():
        primary.header[word] = value
    image_header = ztf_header(OBSJD=None, EXPTIME=None, MAGZP=None, FILTER=None, SEEING=None)
    image_header["BUNIT"] = "nJy"
    mask_header = fits.Header()
    for plane, bit in {"BAD": 3, "SAT": 0, "DETECTED": 7, "STREAK": 9, "NO_DATA": 4}.items():
        mask_header[f"MP_{plane}"] = bit
    variance = np.full(data.shape, 144.0, np.float32)
    fits.HDUList(
        [
            primary,
            fits.ImageHDU(data, image_header, name="IMAGE"),
            fits.ImageHDU(mask, mask_header, name="MASK"),
            fits.ImageHDU(variance, name="VARIANCE"),
        ]
    ).writeto(path)
    return path
