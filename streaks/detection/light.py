"""The shape of an image's PSF, wings and all, for the light of its trails.

A picture of the PSF tells it best; else the stars of the science image; else the trails and bright
points of the image themselves, where they are bright enough to tell Moffat's profile from a
Gaussian. Where nothing tells, a trail's light is that of its Gaussian fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streaks.detection.image import SearchImage
from streaks.detection.photometry import level_beside
from streaks.detection.records import Line
from streaks.frame import Frame, Image
from streaks.geometry import Segment
from streaks.least_squares import fit_within
from streaks.trail import (
    FWHM_PER_SIGMA,
    REACH_SIGMA,
    PsfShape,
    TrailFit,
    fit_trail,
    moffat_shape,
    picture_shape,
    pixels_near,
)

__all__ = ["psf_shape", "shape_of_trail"]

Floats = NDArray[np.float64]

#: Of a science image so many pixels a side are enough for its stars.
_SIDE_PX = 512
#: Stars: so many sigma bright, as many at least and at most, so far from each other and from what
#: is not finite (FWHM).
_STAR_SIGMA, _FEW_STARS, _MANY_STARS, _APART = 40.0, 5, 14, 6.0
#: Beyond this radius a star's sky begins, FWHM.
_SKY = 5.0
#: Turns of the centring.
_CENTRINGS = 4
#: Rings: fine ones to this radius, then coarse ones, FWHM; pixels that a median needs.
_FINE_TO, _FINE, _COARSE, _FEW_PIXELS = 1.5, 0.1, 0.25, 5
#: Share of a science image that must hold data; and what makes a deviation a standard one.
_LEAST_FINITE, _ROBUST = 0.1, 1.4826
#: Widths that a profile may have, px; size of the sky beside its peak; an exponent as near to the
#: largest allowed is a Gaussian's.
_NARROW_PX, _WIDE_PX, _SKY_SHARE, _AT_THE_END = 0.3, 200.0, 0.01, 0.98
_TINY = 1e-9
#: OpenCV's number for pixels that touch by a side, not by a corner.
_BY_SIDES = 4
#: Brightest share that is left out: they may be saturated.
_BRIGHTEST = 0.1
#: Trails that tell: this S/N, this length in widths, and as wide as the PSF within this factor.
_TELLING_SNR, _TELLING_WIDTHS, _TELLING_RATIO = 15.0, 8.0, 1.3
#: Ends of a trail that are left out, in widths; and how far across one is looked at.
_ENDS_WIDTHS, _ACROSS_WIDTHS = 2.0, 8.0
#: Width of what is averaged, px; and the part of a long trail that is looked at, px. So many
#: trails tell enough.
_BIN_PX, _MOST_TRAIL_PX, _MANY_TRAILS = 0.05, 150.0, 8
#: Fall of chi-square from a Gaussian to Moffat's profile that is believed.
_BELIEVED = 4.0
#: Exponents that are looked for.
_BETAS = (2.1, 12.0)
#: What the atmosphere gives: faint trails tell little of their wings (Trujillo et al. 2001, MNRAS
#: 328, 977, has 4.765 for turbulence alone, 2.5 for what many telescopes make of it).
_BETA_USUAL, _BETA_SPREAD = 3.5, 0.8
#: By how much the width of a PSF varies over an image; what is wrong with a fitted width, of a
#: Gaussian on a background that is fitted too; and at how many sigma a trail is another width's
#: (a satellite out of focus).
_WIDTH_VARIES, _WIDTH_SYSTEMATIC, _FAR = 0.02, 0.015, 4.0
#: The twin of a long trail need not be as long, px; pixels about it.
_TWIN_PX, _TWIN_ROOM_PX = 24.0, 4


def psf_shape(frame: Frame, image: SearchImage, lines: Sequence[Line]) -> PsfShape | None:
    """The shape of a frame's PSF, from what tells it best.

    Parameters
    ----------
    frame
        With its `psf` or `science`, or without.
    image
        That was searched.
    lines
        Its trails, fitted.

    Returns
    -------
    PsfShape or None
        None where a Gaussian must do.
    """
    if frame.psf is not None:
        shape = picture_shape(frame.psf, "a picture of the PSF")
        if shape is not None:
            return shape
    fwhm_px = FWHM_PER_SIGMA * image.sigma_px
    rings = None if frame.science is None else _star_rings(frame.science, fwhm_px)
    if rings is not None:
        # Stars that look like Gaussians are an answer too.
        return _moffat_of(*rings, np.ones(len(rings[0])), fwhm_px, 0.0, "stars")
    return _of_trails(image, lines)


def shape_of_trail(shape: PsfShape, fit: TrailFit, sigma_px: float) -> PsfShape:
    """The PSF's shape as wide as a trail is.

    Seeing changes over an image, and a satellite may be out of focus. How wide the Gaussian of a
    trail of this shape, length and light would be is told by fitting one without noise.

    Parameters
    ----------
    shape
        Of the image.
    fit
        Of the trail.
    sigma_px
        Width of the PSF, as the fit was given it.

    Returns
    -------
    PsfShape
    """
    seg = fit.segment
    length = min(seg.length_px, _TWIN_PX)
    theta = math.radians(seg.theta_deg)
    half_x, half_y = 0.5 * length * math.cos(theta), 0.5 * length * math.sin(theta)
    room = _TWIN_ROOM_PX + math.ceil(2.0 * REACH_SIGMA * max(fit.sigma_px, sigma_px))
    ny, nx = (2 * (room + math.ceil(abs(half))) + 1 for half in (half_y, half_x))
    xm, ym = (nx - 1) / 2 + seg.midpoint[0] % 1.0, (ny - 1) / 2 + seg.midpoint[1] % 1.0
    twin = Segment(xm - half_x, ym - half_y, xm + half_x, ym + half_y)
    y, x = np.indices((ny, nx), dtype=float)
    light = fit.flux * length / max(seg.length_px, length)
    z = light * shape.trail(x.ravel(), y.ravel(), twin).reshape(ny, nx)
    again = fit_trail(z.astype(np.float32), np.ones((ny, nx), bool), twin, sigma_px=sigma_px)
    if not (again.converged and again.sigma_px > 0):
        return shape
    return shape.scaled(_believed_scale(fit, math.log(fit.sigma_px / again.sigma_px)))


def _believed_scale(fit: TrailFit, log_scale: float) -> float:
    """How much wider a trail is than the PSF: what its fit says, drawn to 1 by what is usual."""
    error = math.hypot(_WIDTH_SYSTEMATIC, fit.sigma_err / fit.sigma_px)
    if not math.isfinite(error):
        return 1.0
    usual = _WIDTH_VARIES**2 / (_WIDTH_VARIES**2 + error**2)
    far = abs(log_scale) > _FAR * math.hypot(_WIDTH_VARIES, error)
    return math.exp(log_scale if far else usual * log_scale)


def _star_rings(science: Image, fwhm_px: float) -> tuple[Floats, Floats] | None:
    """Radii and light of the stars in the middle of a science image; None for too few."""
    ny, nx = science.shape
    y0, x0 = max(0, (ny - _SIDE_PX) // 2), max(0, (nx - _SIDE_PX) // 2)
    data = np.asarray(science[y0 : y0 + _SIDE_PX, x0 : x0 + _SIDE_PX], dtype=np.float32)
    radius = math.ceil(_APART * fwhm_px)
    places = _lone_stars(data, radius)
    if len(places) < _FEW_STARS:
        return None
    dy, dx = np.indices((2 * radius + 1, 2 * radius + 1)) - radius
    radii, values = [], []
    for y, x in places:
        stamp = data[y - radius : y + radius + 1, x - radius : x + radius + 1].astype(float)
        found = _normalised(stamp, dx, dy, fwhm_px)
        if found is not None:
            radii.append(found[0])
            values.append(found[1])
    if len(radii) < _FEW_STARS:
        return None
    return _median_profile(np.concatenate(radii), np.concatenate(values), fwhm_px)


def _lone_stars(data: NDArray[np.float32], radius: int) -> list[tuple[int, int]]:
    """Bright peaks, far from brighter ones, from edges and from what is not finite: (y, x)."""
    import cv2

    finite = np.isfinite(data)
    if finite.mean() < _LEAST_FINITE:
        return []
    sample = data[::4, ::4][finite[::4, ::4]]
    sky = float(np.median(sample))
    spread = _ROBUST * float(np.median(np.abs(sample - sky)))
    filled = np.where(finite, data, np.float32(np.inf))
    peaks = (data > sky + _STAR_SIGMA * spread) & finite
    ys, xs = np.nonzero(peaks & (filled == cv2.dilate(filled, np.ones((3, 3), np.uint8))))
    order = np.argsort(-data[ys, xs])
    order = order[int(_BRIGHTEST * len(order)) :]
    ny, nx = data.shape
    chosen: list[tuple[int, int]] = []
    for y, x in zip(ys[order].tolist(), xs[order].tolist(), strict=True):
        if not (radius <= y < ny - radius and radius <= x < nx - radius):
            continue
        box = filled[y - radius : y + radius + 1, x - radius : x + radius + 1]
        near = peaks[y - radius : y + radius + 1, x - radius : x + radius + 1]
        # Another bright peak or a hole within reach: its light would be counted as wings.
        if box.max() > data[y, x] or _others(near, box, radius):
            continue
        chosen.append((y, x))
        if len(chosen) == _MANY_STARS:
            break
    return chosen


def _others(bright: NDArray[np.bool_], box: NDArray[np.float32], radius: int) -> bool:
    """Whether bright pixels of a stamp are not all of its middle."""
    import cv2

    _, named = cv2.connectedComponents(bright.astype(np.uint8), connectivity=_BY_SIDES)
    return bool((bright & (named != named[radius, radius])).any())


def _normalised(
    stamp: Floats, dx: NDArray[np.int64], dy: NDArray[np.int64], fwhm_px: float
) -> tuple[Floats, Floats] | None:
    """Radii and values of a star's pixels, its sky taken off, over the light of its core."""
    r = np.hypot(dx, dy)
    sky = float(np.median(stamp[r > _SKY * fwhm_px]))
    light = stamp - sky
    x = y = 0.0
    for _ in range(_CENTRINGS):
        # Under a window of the star's own width the middle seems half as far as it is.
        squared = (dx - x) ** 2 + (dy - y) ** 2
        weight = light * np.exp(-0.5 * squared * (FWHM_PER_SIGMA / fwhm_px) ** 2)
        total = float(weight.sum())
        if not total > 0:
            return None
        x += 2.0 * float((weight * (dx - x)).sum()) / total
        y += 2.0 * float((weight * (dy - y)).sum()) / total
    if math.hypot(x, y) > fwhm_px:
        return None
    r = np.hypot(dx - x, dy - y)
    # A hard edge would count another number of pixels for each place of the middle.
    core = float((light * np.exp(-0.5 * (r * FWHM_PER_SIGMA / fwhm_px) ** 2)).sum())
    return (r.ravel(), light.ravel() / core) if core > 0 else None


def _median_profile(r: Floats, values: Floats, fwhm_px: float) -> tuple[Floats, Floats]:
    """Medians of narrow rings, and the mean radius of each."""
    edges = np.concatenate([
        np.arange(0.0, _FINE_TO, _FINE), np.arange(_FINE_TO, _SKY, _COARSE),
    ]) * fwhm_px  # fmt: skip
    ring = np.digitize(r, edges) - 1
    rows = [k for k in range(len(edges) - 1) if np.count_nonzero(ring == k) >= _FEW_PIXELS]
    means = np.array([r[ring == k].mean() for k in rows])
    return means, np.array([np.median(values[ring == k]) for k in rows])


def _of_trails(image: SearchImage, lines: Sequence[Line]) -> PsfShape | None:
    """Moffat's profile of the light across an image's own trails; None where they cannot tell."""
    across, values, weights = [], [], []
    fits = [line.fit for line in lines if line.fit and _tells(line.fit, image.sigma_px)]
    for fit in sorted(fits, key=lambda fit: -fit.snr)[:_MANY_TRAILS]:
        v, z = _middle_part(image, fit)
        # Each is scaled to one and the same light a pixel of track, and weighed by its own.
        per_px = fit.flux / fit.segment.length_px
        across.append(v)
        values.append(z / per_px)
        weights.append(np.full(len(v), per_px**2))
    if not across:
        return None
    v, y, w = _binned(*(np.concatenate(parts) for parts in (across, values, weights)))
    return _moffat_of(v, y, w, FWHM_PER_SIGMA * image.sigma_px, 0.5, "its own trails")


def _binned(v: Floats, values: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Means of what lies at about one distance across: some hundred numbers of many thousand."""
    at = np.floor(np.abs(v) / _BIN_PX).astype(np.int64)
    total = np.bincount(at, weight)
    seen = total > 0
    means = (np.bincount(at, weight * what)[seen] / total[seen] for what in (np.abs(v), values))
    return (*means, total[seen])  # type: ignore[return-value]


def _tells(fit: TrailFit, sigma_px: float) -> bool:
    return (
        fit.converged
        and fit.snr > _TELLING_SNR
        and fit.segment.length_px > _TELLING_WIDTHS * fit.sigma_px
        and fit.sigma_px < _TELLING_RATIO * sigma_px
    )


def _middle_of(segment: Segment, most_px: float) -> Segment:
    """The middle of a segment, so long at most."""
    share = min(most_px / max(segment.length_px, _TINY), 1.0)
    xm, ym = segment.midpoint
    half_x, half_y = (
        0.5 * share * (segment.x1 - segment.x0),
        0.5 * share * (segment.y1 - segment.y0),
    )
    return Segment(xm - half_x, ym - half_y, xm + half_x, ym + half_y)


def _middle_part(image: SearchImage, fit: TrailFit) -> tuple[Floats, Floats]:
    """Distance across and value of the pixels beside a trail's middle, its sky taken off."""
    seg = _middle_of(fit.segment, _MOST_TRAIL_PX)
    x, y, z = pixels_near(image.z, image.usable, seg, _ACROSS_WIDTHS * fit.sigma_px)
    theta = math.atan2(seg.y1 - seg.y0, seg.x1 - seg.x0)
    xm, ym = seg.midpoint
    along = np.abs((x - xm) * math.cos(theta) + (y - ym) * math.sin(theta))
    across = (y - ym) * math.cos(theta) - (x - xm) * math.sin(theta)
    inner = along < 0.5 * seg.length_px - _ENDS_WIDTHS * fit.sigma_px
    level = level_beside(image.z, image.usable, replace(fit, segment=seg))
    return across[inner], np.asarray(z[inner], float) - level


def _moffat_of(
    r: Floats, values: Floats, weight: Floats, fwhm_px: float, integrated: float, source: str
) -> PsfShape | None:
    """Moffat's profile through values at distances, if it is better than a Gaussian.

    Along a line the profile integrates to one of the same width whose exponent is less by a half
    (`integrated`).
    """
    root = np.sqrt(weight)
    start = max(
        float(values[r < 0.5 * fwhm_px].mean()) if (r < 0.5 * fwhm_px).any() else 0.0, _TINY
    )

    def gaussian(p: Floats) -> Floats:
        return np.asarray((p[0] * np.exp(-0.5 * (r / p[1]) ** 2) + p[2] - values) * root)

    # The sky is fitted too: maps of it have taken a little of the wings.
    def moffat(p: Floats) -> Floats:
        wings = (1.0 + (r / p[1]) ** 2) ** (integrated - p[2])
        residual = (p[0] * wings + p[3] - values) * root
        return np.append(residual, noise_sigma * (p[2] - _BETA_USUAL) / _BETA_SPREAD)

    # Stars are many and their noise is not known: their rings tell the exponent without a prior.
    noise_sigma = 1.0 if integrated else 0.0
    sigma = fwhm_px / FWHM_PER_SIGMA
    far = np.inf
    plain = fit_within(
        gaussian, [start, sigma, 0.0], low=[0, _NARROW_PX, -far], high=[far, _WIDE_PX, far],
        scale=[start, sigma, _SKY_SHARE * start],
    )  # fmt: skip
    winged = fit_within(
        moffat, [start, fwhm_px, _BETA_USUAL, 0.0],
        low=[0, _NARROW_PX, _BETAS[0], -far], high=[far, _WIDE_PX, _BETAS[1], far],
        scale=[start, fwhm_px, 1.0, _SKY_SHARE * start],
    )  # fmt: skip
    # The noise of stars is what the profile leaves.
    noise = 1.0 if integrated else max(2.0 * winged.cost / max(len(r) - len(winged.x), 1), _TINY**2)
    believed = 2.0 * (plain.cost - winged.cost) > _BELIEVED * noise
    beta = float(winged.x[2])
    if not (winged.success and believed and beta < _AT_THE_END * _BETAS[1]):
        return None
    width = 2.0 * float(winged.x[1]) * math.sqrt(2.0 ** (1.0 / beta) - 1.0)
    if not 0.5 * fwhm_px < width < 2.0 * fwhm_px:
        return None
    return moffat_shape(width, beta, f"{source}: Moffat's profile of exponent {beta:.2f}")
