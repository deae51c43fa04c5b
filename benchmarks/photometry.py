"""Flux of trails over the truth, for PSFs with wings.

    python -m benchmarks.photometry [--trails 24] [--seeds 3] [--stamps DIR]
        [--docs docs/detection.md]

Beside each fitted flux stands that of an aperture along the trail (`flux_aperture`), and behind all
how far the latter scatters in units of its own error (should be 1). Trails are sums of many stars
in white noise (S/N 30 and 100, 14 and 45 px at FWHM 2.8 px, any direction). DIR holds stamps with a
PSF extension (Rubin's): then it is those PSFs, as measured, drawn by shifting their picture along
the track.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["main"]

Floats = NDArray[np.float64]
Draw = Callable[[Floats, Floats], Floats]

FWHM_PX, NOISE, SHAPE = 2.8, 10.0, (131, 140)
BETAS, SNRS, LENGTHS_FWHM = (2.5, 3.0, 3.5, 5.0), (30.0, 100.0), (5.0, 16.0)
SEED = 3
STAMPS = 3


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.photometry", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--trails", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stamps", type=Path, help="folder of stamps with a PSF extension")
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    lines = [
        "| PSF | S/N | trails | with a picture of the PSF | its aperture | from the image's own "
        "trails | its aperture | Gaussian alone | its aperture | scatter over error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, draw, picture, fwhm_px in psfs(given.stamps):
        for snr in SNRS:
            *found, pulls = ratios(draw, picture, fwhm_px, snr, given.trails, given.seeds)
            cells = " | ".join(
                f"{v.mean():.3f} +- {v.std() / math.sqrt(len(v)):.3f}" for v in found
            )
            lines.append(f"| {name} | {snr:.0f} | {len(pulls)} | {cells} | {pulls.std():.2f} |")
            print(lines[-1], flush=True)
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        block = "benchmarks.photometry --stamps" if given.stamps else "benchmarks.photometry"
        rewrite_block(given.docs, block, "\n".join(lines))
    return 0


def psfs(stamps: Path | None) -> list[tuple[str, Draw, Floats, float]]:
    """Name, how it is drawn about a place, its picture, and its FWHM in px."""
    found: list[tuple[str, Draw, Floats, float]] = []
    y, x = np.indices((41, 43), dtype=float)
    for beta in () if stamps else BETAS:
        draw = moffat(FWHM_PX, beta)
        found.append((f"Moffat {beta:g}", draw, draw(x - 20.7, y - 19.6), FWHM_PX))
    for path in sorted(stamps.glob("*.fits"))[::12][:STAMPS] if stamps else ():
        picture = measured_psf(path)
        if picture is not None:
            found.append((f"measured, {path.stem[:18]}", drawn_picture(picture), picture,
                          width_of(picture)))  # fmt: skip
    return found


def moffat(fwhm_px: float, beta: float) -> Draw:
    squared = 0.25 * fwhm_px**2 / (2 ** (1 / beta) - 1)

    def draw(dx: Floats, dy: Floats) -> Floats:
        profile = (1 + (dx**2 + dy**2) / squared) ** -beta
        return np.asarray((beta - 1) / (math.pi * squared) * profile)

    return draw


def measured_psf(path: Path) -> Floats | None:
    from astropy.io import fits

    with fits.open(path) as hdus:
        for hdu in hdus:
            if hdu.name.upper() in ("PSF", "PSFIMAGE") and hdu.data is not None:
                picture = np.asarray(hdu.data, dtype=float)
                return picture / picture.sum()
    return None


def width_of(picture: Floats) -> float:
    from streaks.readers.psf_images import psf_image_fwhm

    return psf_image_fwhm(picture)


def drawn_picture(picture: Floats) -> Draw:
    """A picture of a PSF at any place, by cubic splines; dark beyond its rim."""
    from scipy.ndimage import map_coordinates, spline_filter

    smooth = spline_filter(picture, order=3)
    y, x = np.indices(picture.shape)
    bright = np.where(picture > 0.3 * picture.max(), picture, 0.0)
    ym, xm = (bright * y).sum() / bright.sum(), (bright * x).sum() / bright.sum()

    def draw(dx: Floats, dy: Floats) -> Floats:
        ny, nx = picture.shape
        light = np.zeros(dx.shape)
        near = (np.abs(dy) < ny) & (np.abs(dx) < nx)
        at = [dy[near] + ym, dx[near] + xm]
        light[near] = map_coordinates(smooth, at, order=3, prefilter=False, mode="constant")
        return light

    return draw


def ratios(
    draw: Draw, picture: Floats, fwhm_px: float, snr: float, trails: int, seeds: int
) -> list[Floats]:
    """Measured over true flux: with the picture, without it, and by the Gaussian alone.

    Of each the fitted flux and that in the aperture; last how far the aperture's with the picture
    is off, in its own errors.
    """
    import streaks.detection.finder as finder
    from streaks.detection import find_streaks
    from streaks.frame import Frame

    rng = np.random.default_rng(SEED)
    told: list[list[float]] = [[] for _ in range(7)]
    shape_of: Any = finder.psf_shape
    for k in range(trails):
        length = LENGTHS_FWHM[k % len(LENGTHS_FWHM)] * fwhm_px
        template = trail(draw, length, rng)
        flux = snr * NOISE / math.sqrt(float((template**2).sum()))
        for _ in range(seeds):
            data = (flux * template + NOISE * rng.normal(size=template.shape)).astype(np.float32)
            frame = Frame(data, np.zeros(data.shape, bool), fwhm_px=fwhm_px)
            tables = [find_streaks(replace(frame, psf=picture)), find_streaks(frame)]
            finder.psf_shape = lambda *_: None
            try:
                tables.append(find_streaks(frame))
            finally:
                finder.psf_shape = shape_of
            if all(len(table) == 1 for table in tables):
                for k_th, table in enumerate(tables):
                    told[2 * k_th].append(float(table["flux"][0].value) / flux)
                    told[2 * k_th + 1].append(float(table["flux_aperture"][0].value) / flux)
                error = float(tables[0]["flux_aperture_err"][0].value)
                told[6].append((told[1][-1] - 1.0) * flux / error)
    return [np.array(values) for values in told]


def trail(draw: Draw, length: float, rng: np.random.Generator) -> Floats:
    """A trail of unit light near the middle of an image: four stars a pixel of track."""
    theta = rng.uniform(0, math.pi)
    room = math.ceil(length / 2) + 40
    shape = (max(SHAPE[0], 2 * room + 1), max(SHAPE[1], 2 * room))
    x0, y0 = shape[1] / 2 + rng.random(), shape[0] / 2 + rng.random()
    y, x = np.indices(shape, dtype=float)
    image = np.zeros(shape)
    n = math.ceil(4 * length)
    for t in (np.arange(n) + 0.5) / n - 0.5:
        image += draw(x - x0 - t * length * math.cos(theta), y - y0 - t * length * math.sin(theta))
    return image / n


if __name__ == "__main__":
    raise SystemExit(main())
