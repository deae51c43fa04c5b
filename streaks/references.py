"""Bad references: what is wrong at one place in all exposures that share a reference.

A difference image takes its faults from two images. Those of the science image change from one
exposure to the next; those of the reference come back, always at one place of the sky. Frames are
looked at one by one; only what was seen is kept of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.frame import Frame
from streaks.noise import estimate_noise, filtered_correlation, standardise
from streaks.sky import to_icrs, to_pixels
from streaks.trail import FWHM_PER_SIGMA

__all__ = [
    "FAULTS",
    "Fault",
    "ReferenceClues",
    "ReferenceReport",
    "judge_references",
    "reference_clues",
]

#: Kinds of faults with their meaning.
FAULTS = {
    "missing in science": "a source of the reference that no science image shows: something that "
    "moved, a transient, or an artifact of the reference",
    "ringed source": "a source with a ring of the other sign: the reference's PSF is of another "
    "width, or it is saturated there",
    "negative source": "negative in the exposures: brighter in the reference; a variable star, or "
    "the reference's flux is wrong there",
    "gradient": "the reference's sky is not flat",
}
#: A source of the difference, in sigma of PSF-filtered noise, and a ring's mean.
_SOURCE_SIGMA, _RING_SIGMA = 7.0, 4.0
#: A lobe beside a source of this share of its depth, on one side only, is a dipole: out of
#: register, which is no fault of the reference alone.
_LOBE, _SECTORS, _LIT_SECTORS = 0.4, 8, 6
#: Sources in reference and science image, in sigma.
_IN_REFERENCE, _IN_SCIENCE = 8.0, 4.0
#: Exposures that must share a fault: at least, and of those that see the place.
_LEAST_EPOCHS, _SHARE = 3, 0.7
#: Two sightings are of one place within this, px.
_NEAR_PX = 2.0
#: Range of a smooth surface through the reference's sky, in sigma of its pixels.
_GRADIENT_SIGMA = 1.5
_MESH, _LEAST_MESHES = 12, 30
#: Sources kept of a frame, the deepest; faults told of a reference; side of a stamp, px.
_MOST_PLACES, _MOST_FAULTS, _STAMP_PX = 60, 40, 41
#: Close-ups of a frame that are kept, for a night of thousands.
_MOST_STAMPS = 12
_THUMB_PX = 420


@dataclass(frozen=True, eq=False)
class _Sighting:
    """A suspicious place of one exposure."""

    kind: str
    ra: float
    dec: float
    x: float
    y: float
    snr: float
    stamps: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class ReferenceClues:
    """What one exposure tells of its reference.

    Parameters
    ----------
    name
        Of the reference.
    image
        Of the exposure.
    sightings
        Suspicious places.
    gradient_sigma
        Range of a smooth surface through the reference's sky, in sigma of its pixels.
    thumbnail : (h, w) float32
        The reference, small.
    shape : (ny, nx)
        Of the frame.
    wcs
        Of the frame, or None.
    seen
        Usable pixels, every so many of them.
    """

    name: str
    image: str
    sightings: tuple[_Sighting, ...]
    gradient_sigma: float
    thumbnail: NDArray[np.float32]
    shape: tuple[int, int]
    wcs: Any
    seen: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Fault:
    """One fault of a reference.

    Parameters
    ----------
    kind
        Of `FAULTS`.
    epochs, of_epochs
        Exposures that show it, and that see the place.
    ra, dec
        deg; NaN without coordinates, and for a gradient.
    x, y
        In the first exposure, 0-based px.
    snr
        Median over the exposures, of the difference; for a gradient its range in sigma.
    stamps
        Reference, science and difference about it, each (n, n); empty for a gradient.
    """

    kind: str
    epochs: int
    of_epochs: int
    ra: float
    dec: float
    x: float
    y: float
    snr: float
    stamps: tuple[NDArray[np.float32], ...] = ()


@dataclass(frozen=True, eq=False)
class ReferenceReport:
    """What all exposures tell of one reference.

    Parameters
    ----------
    name
        Of the reference.
    epochs
        Exposures looked at.
    faults
        The worst first; none for a sound one, or one of fewer than three exposures.
    thumbnail, shape
        The reference, small, and the size of the frame that it covers.
    """

    name: str
    epochs: int
    faults: tuple[Fault, ...]
    thumbnail: NDArray[np.float32]
    shape: tuple[int, int]

    @property
    def summary(self) -> str:
        """How many faults of which kind."""
        counts = {kind: sum(f.kind == kind for f in self.faults) for kind in FAULTS}
        return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "no fault found"

    def plain(self) -> dict[str, Any]:
        """As plain values, without pictures.

        Returns
        -------
        dict
            ``name, epochs, enough`` (exposures to tell), ``summary`` and ``faults``.
        """
        return {
            "name": self.name,
            "epochs": self.epochs,
            "enough": self.epochs >= _LEAST_EPOCHS,
            "summary": self.summary,
            "faults": [
                {
                    "kind": f.kind, "meaning": FAULTS[f.kind], "epochs": f.epochs,
                    "of_epochs": f.of_epochs, "ra": _finite(f.ra), "dec": _finite(f.dec),
                    "x": _finite(f.x), "y": _finite(f.y), "snr": _finite(f.snr),
                }
                for f in self.faults
            ],
        }  # fmt: skip


def reference_clues(frame: Frame, name: str) -> ReferenceClues:
    """What one exposure tells of its reference.

    Parameters
    ----------
    frame
        With a reference; with a science image sources can be told that it lacks.
    name
        Of the reference.

    Returns
    -------
    ReferenceClues
    """
    assert frame.reference is not None
    fwhm = frame.fwhm_px if frame.fwhm_px > 0 else 2.5
    sigma = fwhm / FWHM_PER_SIGMA
    noise = estimate_noise(frame.data, frame.mask, frame.variance)
    z = standardise(frame.data, noise)
    factor = math.sqrt(filtered_correlation(noise.correlation, sigma, 1)[1])
    filtered = _filtered(z, sigma) / factor
    places = _sources(filtered, noise.unusable, fwhm)
    # Noise counts as larger where subtraction failed: a ring would drown in that of its own core.
    clean = np.where(noise.unusable, 0.0, frame.data - noise.background) / noise.typical_sigma()
    in_reference = _significance(frame.reference, frame.mask, sigma)
    in_science = None if frame.science is None else _significance(frame.science, frame.mask, sigma)
    sightings: list[_Sighting] = []
    beside = [one for one in (frame.reference, frame.science, frame.data) if one is not None]
    for y, x in places:
        kind = _kind(clean, filtered, in_reference, in_science, int(x), int(y), fwhm)
        if kind:
            images = beside if len(sightings) < _MOST_STAMPS else []
            sightings.append(_sighting(frame, kind, int(x), int(y), float(filtered[y, x]), images))
    ny, nx = frame.shape
    step = max(1, math.ceil(max(ny, nx) / 512))
    return ReferenceClues(
        name,
        frame.name,
        tuple(sightings),
        _gradient(frame.reference, frame.mask),
        _thumbnail(frame.reference),
        frame.shape,
        frame.wcs,
        ~frame.mask[::step, ::step],
    )


def judge_references(clues: Sequence[ReferenceClues]) -> list[ReferenceReport]:
    """The faults of each reference that its exposures agree on.

    Parameters
    ----------
    clues
        Of all exposures, in any order.

    Returns
    -------
    list of ReferenceReport
        By name; those with most faults first.
    """
    by_name: dict[str, list[ReferenceClues]] = {}
    for clue in clues:
        by_name.setdefault(clue.name, []).append(clue)
    reports = [_report(name, group) for name, group in sorted(by_name.items())]
    return sorted(reports, key=lambda report: -len(report.faults))


def _report(name: str, group: Sequence[ReferenceClues]) -> ReferenceReport:
    faults: list[Fault] = []
    if len(group) >= _LEAST_EPOCHS:
        faults = _recurring(group)
        gradient = float(np.median([clue.gradient_sigma for clue in group]))
        if gradient > _GRADIENT_SIGMA:
            nan = math.nan
            faults.append(Fault("gradient", len(group), len(group), nan, nan, nan, nan, gradient))
    first = group[0]
    return ReferenceReport(
        name, len(group), tuple(faults[:_MOST_FAULTS]), first.thumbnail, first.shape
    )


def _recurring(group: Sequence[ReferenceClues]) -> list[Fault]:
    """Places that most exposures which see them call suspicious; in pixels of the first."""
    first = group[0]
    epoch, places, sightings = [], [], []
    for k, clue in enumerate(group):
        for one in clue.sightings:
            epoch.append(k)
            sightings.append(one)
            places.append(_in_pixels(first.wcs, one))
    if not places:
        return []
    at, epochs = np.array(places), np.array(epoch)
    free = np.isfinite(at).all(axis=1)
    faults = []
    for i in np.argsort([-abs(s.snr) for s in sightings], kind="stable"):
        if not free[i]:
            continue
        near = np.flatnonzero(free & (np.hypot(*(at - at[i]).T) <= _NEAR_PX))
        free[near] = False
        shown = len(set(epochs[near].tolist()))
        of_epochs = max(shown, sum(_sees(clue, sightings[i]) for clue in group))
        if shown < max(_LEAST_EPOCHS, _SHARE * of_epochs):
            continue
        own = [sightings[k] for k in near]
        kinds = [s.kind for s in own]
        kind = max(FAULTS, key=kinds.count)
        best = max((s for s in own if s.kind == kind), key=lambda s: len(s.stamps))
        faults.append(
            Fault(
                kind, shown, of_epochs, best.ra, best.dec, float(at[i][0]), float(at[i][1]),
                float(np.median([s.snr for s in own])), best.stamps,
            )
        )  # fmt: skip
    return sorted(faults, key=lambda f: (list(FAULTS).index(f.kind), -abs(f.snr)))


def _in_pixels(wcs: Any, one: _Sighting) -> tuple[float, float]:
    if wcs is None or not math.isfinite(one.ra):
        return one.x, one.y
    x, y = to_pixels(wcs, [one.ra], [one.dec])
    return float(x[0]), float(y[0])


def _sees(clue: ReferenceClues, one: _Sighting) -> bool:
    x, y = _in_pixels(clue.wcs, one)
    ny, nx = clue.shape
    if not (0 <= x <= nx - 1 and 0 <= y <= ny - 1):
        return False
    my, mx = clue.seen.shape
    return bool(clue.seen[min(int(y * my / ny), my - 1), min(int(x * mx / nx), mx - 1)])


def _filtered(z: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """PSF-filtered, of unit variance where the noise is white."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(z, sigma) * (2.0 * math.sqrt(math.pi) * sigma))


def _sources(
    filtered: NDArray[np.float32], unusable: NDArray[np.bool_], fwhm: float
) -> NDArray[np.intp]:
    """Extremes of either sign, (n, 2) as y, x; away from the mask and the edge, deepest first."""
    from scipy.ndimage import binary_dilation, maximum_filter

    size = 2 * math.ceil(fwhm) + 1
    depth = np.abs(filtered)
    peak = (depth >= _SOURCE_SIGMA) & (depth == maximum_filter(depth, size))
    peak &= ~binary_dilation(unusable, iterations=math.ceil(1.5 * fwhm))
    edge = _STAMP_PX // 2
    inside = np.zeros_like(peak)
    inside[edge:-edge, edge:-edge] = True
    places = np.argwhere(peak & inside)
    order = np.argsort(-depth[tuple(places.T)], kind="stable")
    return places[order][:_MOST_PLACES]


def _kind(
    clean: NDArray[np.floating[Any]],
    filtered: NDArray[np.float32],
    in_reference: NDArray[np.float32],
    in_science: NDArray[np.float32] | None,
    x: int,
    y: int,
    fwhm: float,
) -> str:
    """What a source of the difference may tell of the reference; empty for nothing."""
    depth = float(filtered[y, x])
    sectors = _ring(clean, x, y, fwhm) * -np.sign(depth)
    lit = int((sectors > 1.5).sum())
    if lit >= _LIT_SECTORS and float(sectors.sum()) / math.sqrt(_SECTORS) > _RING_SIGMA:
        return "ringed source"
    if depth > 0:
        return ""  # a transient, a variable: of the science image
    reach = math.ceil(2.0 * fwhm)
    around = filtered[y - reach : y + reach + 1, x - reach : x + reach + 1]
    if float(around.max()) > _LOBE * abs(depth):
        return ""  # a dipole
    size = 1 + math.ceil(0.5 * fwhm)
    here = (slice(y - size, y + size + 1), slice(x - size, x + size + 1))
    if float(in_reference[here].max()) < _IN_REFERENCE:
        return ""  # negative without anything there: of the science image
    if in_science is not None and float(in_science[here].max()) < _IN_SCIENCE:
        return "missing in science"
    return "negative source"


def _ring(z: NDArray[np.floating[Any]], x: int, y: int, fwhm: float) -> NDArray[np.float64]:
    """S/N of the eight sectors of a ring from 1 to 2.5 FWHM."""
    reach = math.ceil(2.5 * fwhm)
    part = z[y - reach : y + reach + 1, x - reach : x + reach + 1]
    dy, dx = np.indices(part.shape) - reach
    radius = np.hypot(dx, dy)
    on = (radius >= fwhm) & (radius <= 2.5 * fwhm)
    sector = ((np.arctan2(dy, dx) + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    total = np.bincount(sector[on], part[on], minlength=_SECTORS)
    count = np.bincount(sector[on], minlength=_SECTORS)
    return np.asarray(total / np.sqrt(np.maximum(count, 1)), dtype=np.float64)


def _significance(
    image: NDArray[Any], mask: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """PSF-filtered S/N above the image's sky."""
    values = np.asarray(image, np.float32)
    noise = estimate_noise(values, mask | ~np.isfinite(values))
    return _filtered(standardise(values, noise), sigma)


def _sighting(
    frame: Frame, kind: str, x: int, y: int, snr: float, images: Sequence[NDArray[Any]]
) -> _Sighting:
    ra, dec = math.nan, math.nan
    if frame.wcs is not None:
        ra, dec = (float(v[0]) for v in to_icrs(frame.wcs, [x], [y]))
    half = _STAMP_PX // 2
    stamps = tuple(
        np.array(image[y - half : y + half + 1, x - half : x + half + 1], np.float32)
        for image in images
    )
    return _Sighting(kind, ra, dec, float(x), float(y), snr, stamps)


def _gradient(image: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """Range of a quadratic surface through the sky's meshes, in sigma of the pixels; 0 unknown."""
    values = np.where(mask, np.nan, np.asarray(image, np.float64))
    good = values[np.isfinite(values)]
    if good.size < 1000:
        return 0.0
    level = np.median(good)
    sigma = 1.4826 * float(np.median(level - good[good < level]))
    medians, places = [], []
    for j, rows in enumerate(np.array_split(values, _MESH, axis=0)):
        for i, cell in enumerate(np.array_split(rows, _MESH, axis=1)):
            usable = cell[np.isfinite(cell)]
            if usable.size > 0.3 * cell.size:
                # Sources lie above the sky: a low quantile sees fewer of them than the median.
                medians.append(float(np.quantile(usable, 0.35)))
                places.append((i / (_MESH - 1) - 0.5, j / (_MESH - 1) - 0.5))
    if len(medians) < _LEAST_MESHES or not sigma > 0:
        return 0.0
    x, y = np.array(places).T
    design = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    sky = np.array(medians)
    keep = np.ones(len(sky), bool)
    for _ in range(3):  # cells within a bright galaxy or halo are no sky
        model = design @ np.linalg.lstsq(design[keep], sky[keep], rcond=None)[0]
        away = sky - model
        spread = 1.4826 * float(np.median(np.abs(away[keep])))
        keep = np.abs(away) <= max(3.0 * spread, 1e-12)
    return float(np.ptp(model) / sigma)


def _thumbnail(image: NDArray[Any]) -> NDArray[np.float32]:
    """Means of squares of pixels."""
    values = np.nan_to_num(np.asarray(image, np.float32))
    step = max(1, math.ceil(max(values.shape) / _THUMB_PX))
    ny, nx = (n // step * step for n in values.shape)
    return np.asarray(
        values[:ny, :nx].reshape(ny // step, step, nx // step, step).mean(axis=(1, 3)),
        dtype=np.float32,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
