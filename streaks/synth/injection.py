"""Streaks and artifacts put into real images, with the image's own PSF, noise and zero point."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable, vstack
from numpy.typing import NDArray

from streaks.disk import folder_written_whole
from streaks.errors import ConfigError, FrameError, ReadError, StreaksError
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.sky import to_icrs
from streaks.synth.drawing.artifact import draw_artifact
from streaks.synth.drawing.populations import log_uniform
from streaks.synth.drawing.psf import PIXEL_FWHM_PX, Psf, render_trail
from streaks.synth.nights.sky_geometry import segment_of_motion
from streaks.synth.nights.truth import STREAK_TRUTH_COLUMNS, streak_row, table_of
from streaks.synth.provenance import write_json
from streaks.tables import CLASSES

__all__ = ["Placed", "Population", "inject", "inject_files", "inject_placed"]

Range = tuple[float, float]

_TRIES = 200
_EDGE_PX = 4.0


@dataclass(frozen=True, kw_only=True)
class Population:
    """Streaks to inject; each range is sampled uniformly in the logarithm (magnitudes: uniformly).

    Exactly one of `snr`, `flux`, `mag` and one of `length_px`, `rate_arcsec_per_s` is given. They
    are those of the asteroids; things of other classes have their own shapes, and `artifact_snr`.

    Parameters
    ----------
    n
        Streaks in an image.
    snr
        Matched-filter signal-to-noise.
    flux
        Counts in the whole trail.
    mag
        In the image's zero point.
    length_px
        Distance of the ends.
    rate_arcsec_per_s
        Motion, which with the exposure gives the length.
    beta
        Moffat exponent of the PSF; infinite for a Gaussian of the image's FWHM.
    mix
        Shares of the classes, as ``streaks.classification.parse_mix`` gives them; asteroids alone
        if absent.
    artifact_snr
        Matched-filter signal-to-noise of what is no asteroid.
    photon_noise
        Add the streak's own photon noise (needs the gain).
    """

    n: int = 10
    snr: Range | None = None
    flux: Range | None = None
    mag: Range | None = None
    length_px: Range | None = None
    rate_arcsec_per_s: Range | None = None
    beta: float = math.inf
    mix: Mapping[str, float] = field(default_factory=lambda: {"asteroid": 1.0})
    artifact_snr: Range = (15.0, 150.0)
    photon_noise: bool = True

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n is {self.n}; inject at least one streak")
        self._need_one("brightness", "snr", "flux", "mag")
        self._need_one("size", "length_px", "rate_arcsec_per_s")
        unknown = sorted(set(self.mix) - set(CLASSES))
        if unknown or not sum(self.mix.values()) > 0:
            raise ConfigError(
                f"mix is {dict(self.mix)}; give shares above 0 of {', '.join(CLASSES)}"
            )
        _check_range("artifact_snr", self.artifact_snr, positive=True)
        for name in ("snr", "flux", "mag", "length_px", "rate_arcsec_per_s"):
            given = getattr(self, name)
            if given is not None:
                _check_range(name, given, positive=name != "mag")

    def _need_one(self, what: str, *names: str) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"{what} is given by {', '.join(given) or 'nothing'}; give exactly one of "
                f"{', '.join(names)}"
            )


def _check_range(name: str, given: Range, *, positive: bool) -> None:
    low, high = given
    fine = math.isfinite(low) and math.isfinite(high) and low <= high
    if not fine or (positive and low <= 0) or (not positive and not -5 <= low <= high <= 40):
        kind = "above 0" if positive else "magnitudes between -5 and 40"
        raise ConfigError(f"{name} is {low:g} to {high:g}; give two numbers, smaller first, {kind}")


def inject(frame: Frame, population: Population, *, seed: int) -> tuple[Frame, QTable]:
    """Put streaks of light, and things of other classes, into an image.

    Parameters
    ----------
    frame
        A difference or science image with its FWHM; zero point, exposure, gain and WCS where the
        population needs them.
    population
        What to inject.
    seed
        Each image's generator derives from this and the image's name.

    Returns
    -------
    frame : Frame
        A copy with the streaks in its data (and its science image, where it has one); masked
        stars are in its mask, and NaN in its data.
    truth : QTable
        `STREAK_TRUTH_COLUMNS`; S/N refers to the image's own noise about the streak.

    Raises
    ------
    FrameError
        If the image lacks what the population needs, or has no room for a streak.
    ConfigError
        If streaks are longer than the image.
    """
    _check_frame(frame, population)
    rng = np.random.default_rng([seed, *frame.name.encode()])
    psf = Psf(_bare_fwhm_px(frame.fwhm_px), population.beta)
    light, mask = np.zeros(frame.shape, np.float64), np.zeros(frame.shape, bool)
    names = sorted(population.mix)
    shares = np.array([population.mix[name] for name in names], float)
    labels = rng.choice(names, population.n, p=shares / shares.sum()) if len(names) > 1 else names
    rows: list[dict[str, Any]] = []
    for number in range(population.n):
        label = str(labels[number % len(labels)])
        if label == "asteroid":
            row = _add_asteroid(rng, frame, population, psf, light)
        else:
            row = _add_artifact(rng, frame, population, label, psf, light, mask)
        rows.append({**row, "streak_id": f"i{number:05d}"})
    if population.photon_noise:
        light += rng.standard_normal(frame.shape) * np.sqrt(np.maximum(light, 0) / frame.gain)
    return _with_light(frame, light, mask), table_of(rows, STREAK_TRUTH_COLUMNS)


@dataclass(frozen=True)
class Placed:
    """A trail whose place and brightness are given.

    Parameters
    ----------
    segment
        0-based px; it may reach over the image's edge.
    snr
        Matched-filter S/N, which sets the light where `flux` is NaN.
    flux
        Counts; NaN where `snr` sets it.
    mover
        The same for one asteroid in several frames; or empty.
    """

    segment: Segment
    snr: float = math.nan
    flux: float = math.nan
    mover: str = ""


def inject_placed(
    frame: Frame,
    trails: Sequence[Placed],
    *,
    seed: int,
    beta: float = math.inf,
    photon_noise: bool = True,
) -> tuple[Frame, QTable]:
    """Put asteroids' trails at given places of an image, masked or not.

    Parameters
    ----------
    frame
        With its FWHM, and its gain where there is photon noise.
    trails
        What to put in.
    seed
        Of the photon noise; each image's generator derives from this and its name.
    beta
        Moffat exponent of the PSF.
    photon_noise
        Add the trails' own.

    Returns
    -------
    frame : Frame
        A copy with the trails in its data (and science image, where it has one).
    truth : QTable
        `STREAK_TRUTH_COLUMNS`, a row a trail in its order.

    Raises
    ------
    FrameError
        If the image lacks FWHM or gain.
    """
    needs = {"fwhm_px": "the FWHM of the PSF (--psf-fwhm)"}
    if photon_noise:
        needs["gain"] = "the gain (--gain)"
    lacking = [text for name, text in needs.items() if not getattr(frame, name) > 0]
    if lacking:
        raise FrameError(f"{frame.name} lacks {' and '.join(lacking)}, needed to inject streaks")
    psf = Psf(_bare_fwhm_px(frame.fwhm_px), beta)
    light = np.zeros(frame.shape, np.float64)
    rows = []
    for number, one in enumerate(trails):
        box, trail = _render(frame, one.segment, psf)
        norm = math.sqrt(float(np.sum(trail.astype(np.float64) ** 2)))
        # Within a large mask there is no noise to go by but the image's own.
        masked = frame.mask[box].all()
        sigma = _local_sigma(frame, (slice(0, 1 << 30), slice(0, 1 << 30)) if masked else box)
        flux = one.flux if math.isfinite(one.flux) else one.snr * sigma / norm if norm else 0.0
        light[box] += flux * trail
        row = _row(frame, one.segment.ordered(), "asteroid", flux, flux * norm / sigma)
        rows.append({**row, "streak_id": f"i{number:05d}", "mover": one.mover})
    if photon_noise:
        rng = np.random.default_rng([seed, *frame.name.encode()])
        light += rng.standard_normal(frame.shape) * np.sqrt(np.maximum(light, 0) / frame.gain)
    nothing = np.zeros(frame.shape, bool)
    return _with_light(frame, light, nothing), table_of(rows, STREAK_TRUTH_COLUMNS)


def _add_asteroid(
    rng: np.random.Generator,
    frame: Frame,
    population: Population,
    psf: Psf,
    light: NDArray[np.float64],
) -> dict[str, Any]:
    """Adds one trail to the light; its row of truth."""
    segment, pa_deg = _draw_segment(rng, frame, population)
    box, trail = _render(frame, segment, psf)
    flux, snr = _draw_flux(rng, frame, population, box, trail)
    light[box] += flux * trail
    return _row(frame, segment, "asteroid", flux, snr, pa_deg)


def _row(
    frame: Frame, segment: Segment, label: str, flux: float, snr: float, pa_deg: float = math.nan
) -> dict[str, Any]:
    return streak_row(
        segment,
        image=frame.name,
        label=label,
        flux=flux,
        snr=snr,
        wcs=frame.wcs,
        exposure_s=frame.exposure_s,
        zero_point_mag=frame.zero_point_mag,
        time="" if frame.time is None else str(frame.time.utc.isot),
        motion_pa_deg=pa_deg,
    )


def _add_artifact(
    rng: np.random.Generator,
    frame: Frame,
    population: Population,
    label: str,
    psf: Psf,
    light: NDArray[np.float64],
    mask: NDArray[np.bool_],
) -> dict[str, Any]:
    """Adds one thing of another class to the light and the mask; its row of truth."""
    for _ in range(_TRIES):
        thing = draw_artifact(rng, frame.shape, label, psf)
        usable = ~frame.mask[thing.box]
        if thing.mask is not None:
            usable &= ~thing.mask
        norm = math.sqrt(float(np.sum(thing.light[usable].astype(np.float64) ** 2)))
        if norm > 0 and not frame.mask[round(thing.y), round(thing.x)]:
            break
    else:
        raise FrameError(
            f"{frame.name} has no room for a {label} after {_TRIES} tries: too much is masked"
        )
    snr = log_uniform(rng, *population.artifact_snr)
    scaled = thing.light * np.float32(snr * _local_sigma(frame, thing.box) / norm)
    light[thing.box] += scaled
    if thing.mask is not None:
        mask[thing.box] |= thing.mask
    if thing.segment is not None:
        return _row(frame, thing.segment.ordered(), label, float(scaled.sum()), snr)
    point = Segment(thing.x, thing.y, thing.x, thing.y)
    row = _row(frame, point, label, float(scaled.sum()), snr)
    # Of what is no line only the middle is known; a magnitude needs light of one sign.
    unknown = ["x0", "y0", "x1", "y1", "length", "theta", "ra0", "dec0", "ra1", "dec1"]
    unknown += ["pa", "rate", *(() if label == "naked_star" else ("flux", "mag"))]
    return row | dict.fromkeys(unknown, math.nan)


def _check_frame(frame: Frame, population: Population) -> None:
    needs = {"fwhm_px": "the FWHM of the PSF (SEEING, --psf-fwhm)"}
    if population.photon_noise:
        needs["gain"] = "the gain (GAIN, --gain; or photon_noise=False)"
    if population.mag is not None:
        needs["zero_point_mag"] = "the zero point (MAGZP)"
    if population.rate_arcsec_per_s is not None:
        needs["exposure_s"] = "the exposure time (EXPTIME)"
    lacking = [text for name, text in needs.items() if not getattr(frame, name) > 0]
    if population.rate_arcsec_per_s is not None and frame.wcs is None:
        lacking.append("a WCS")
    if lacking:
        raise FrameError(f"{frame.name} lacks {' and '.join(lacking)}, needed to inject streaks")
    longest = _longest_px(frame, population)
    if longest + 2 * _EDGE_PX > min(frame.shape):
        raise ConfigError(
            f"streaks of up to {longest:.0f} px do not fit in {frame.name}, which is "
            f"{frame.shape[1]} x {frame.shape[0]} px; give shorter or slower ones"
        )


def _longest_px(frame: Frame, population: Population) -> float:
    if population.length_px is not None:
        return population.length_px[1]
    assert population.rate_arcsec_per_s is not None  # Population holds exactly one of the two
    return population.rate_arcsec_per_s[1] * frame.exposure_s / frame.pixel_scale_arcsec


def _bare_fwhm_px(measured_px: float) -> float:
    """FWHM before the pixel's own blur, which the renderer puts in again."""
    return math.sqrt(max(measured_px**2 - PIXEL_FWHM_PX**2, 0.25 * measured_px**2))


def _draw_segment(
    rng: np.random.Generator, frame: Frame, population: Population
) -> tuple[Segment, float]:
    """A trail inside the image, mostly on usable pixels, and its direction on the sky."""
    for _ in range(_TRIES):
        segment, pa_deg = _draw_any_segment(rng, frame, population)
        if _fits(segment, frame.shape) and _masked_share(segment, frame.mask) < 0.3:
            return segment.ordered(), pa_deg
    raise FrameError(
        f"{frame.name} has no room for a streak after {_TRIES} tries: too many pixels are masked, "
        "or streaks are too long"
    )


def _draw_any_segment(
    rng: np.random.Generator, frame: Frame, population: Population
) -> tuple[Segment, float]:
    ny, nx = frame.shape
    x, y = rng.uniform(0, nx - 1), rng.uniform(0, ny - 1)
    if population.length_px is not None:
        length = log_uniform(rng, *population.length_px)
        return Segment.from_midpoint(x, y, length, rng.uniform(0, 180)), math.nan
    assert population.rate_arcsec_per_s is not None  # Population holds exactly one of the two
    assert frame.wcs is not None  # as _check_frame has seen
    pa_deg = float(rng.uniform(0, 360))
    ra, dec = (float(v) for v in to_icrs(frame.wcs, x, y))
    rate = log_uniform(rng, *population.rate_arcsec_per_s)
    return segment_of_motion(frame.wcs, ra, dec, rate, pa_deg, frame.exposure_s), pa_deg


def _fits(segment: Segment, shape: tuple[int, int]) -> bool:
    ny, nx = shape
    xs, ys = (segment.x0, segment.x1), (segment.y0, segment.y1)
    return (
        min(xs) >= _EDGE_PX
        and max(xs) <= nx - 1 - _EDGE_PX
        and min(ys) >= _EDGE_PX
        and max(ys) <= ny - 1 - _EDGE_PX
    )


def _masked_share(segment: Segment, mask: NDArray[np.bool_]) -> float:
    n = max(2, math.ceil(segment.length_px))
    x = np.rint(np.linspace(segment.x0, segment.x1, n)).astype(int)
    y = np.rint(np.linspace(segment.y0, segment.y1, n)).astype(int)
    return float(mask[y, x].mean())


def _render(
    frame: Frame, segment: Segment, psf: Psf
) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
    """A trail of unit flux in its own box of the image."""
    ny, nx = frame.shape
    pad = psf.reach_px + 1
    x_low, x_high = min(segment.x0, segment.x1), max(segment.x0, segment.x1)
    y_low, y_high = min(segment.y0, segment.y1), max(segment.y0, segment.y1)
    box = (
        slice(max(int(y_low) - pad, 0), min(int(y_high) + pad + 2, ny)),
        slice(max(int(x_low) - pad, 0), min(int(x_high) + pad + 2, nx)),
    )
    shape = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    return box, render_trail(shape, segment.shifted(-box[1].start, -box[0].start), 1.0, psf)


def _draw_flux(
    rng: np.random.Generator,
    frame: Frame,
    population: Population,
    box: tuple[slice, slice],
    trail: NDArray[np.float32],
) -> tuple[float, float]:
    """Flux in counts and the S/N it has here."""
    usable = ~frame.mask[box]
    norm = math.sqrt(float(np.sum(trail[usable].astype(np.float64) ** 2)))
    sigma = _local_sigma(frame, box)
    if population.snr is not None:
        snr = log_uniform(rng, *population.snr)
        return snr * sigma / norm, snr
    if population.mag is not None:
        mag = float(rng.uniform(*population.mag))
        flux = 10 ** (0.4 * (frame.zero_point_mag - mag))
    else:
        assert population.flux is not None  # Population holds exactly one of the three
        flux = log_uniform(rng, *population.flux)
    return flux, flux * norm / sigma


def _local_sigma(frame: Frame, box: tuple[slice, slice]) -> float:
    """Robust spread of the usable pixels about a streak, counts."""
    ny, nx = frame.shape
    grown = (
        slice(max(box[0].start - 32, 0), min(box[0].stop + 32, ny)),
        slice(max(box[1].start - 32, 0), min(box[1].stop + 32, nx)),
    )
    values = frame.data[grown][~frame.mask[grown]]
    if values.size:
        sigma = 1.4826 * float(np.median(np.abs(values - np.median(values))))
        if sigma > 0:
            return sigma
    raise FrameError(f"{frame.name} has no noise where a streak should go; is it an image?")


def _with_light(frame: Frame, light: NDArray[np.float64], mask: NDArray[np.bool_]) -> Frame:
    data = (frame.data + light).astype(frame.data.dtype)
    if mask.any():
        data[mask] = np.nan
        frame = replace(frame, mask=frame.mask | mask)
    if frame.science is None:
        return replace(frame, data=data)
    science = (frame.science + light).astype(frame.science.dtype)
    return replace(frame, data=data, science=science)


def inject_files(
    paths: Sequence[Path],
    out_dir: str | Path,
    population: Population,
    *,
    seed: int,
    read: Callable[[Path], Frame],
    beside: Callable[[Path], Mapping[str, Path]] = lambda path: {},
) -> tuple[int, list[tuple[Path, str]]]:
    """Copies of FITS images with streaks in them, and one truth table.

    Parameters
    ----------
    paths
        FITS images.
    out_dir
        New or empty; appears once all is written.
    population, seed
        As `inject`.
    read
        Gives the frame of a path (`streaks.readers.read_frame`).
    beside
        Gives the files that belong to an image: its mask, science and reference image. They are
        copied along, the science image with the streaks in it.

    Returns
    -------
    done
        How many were written, under their own names, beside ``truth.ecsv``.
    failures
        Path and reason of those that could not be.

    Raises
    ------
    ConfigError
        If two images have the same name.
    ReadError
        If no image could be used.
    OutputError
        If `out_dir` holds something, or cannot be written.
    """
    names = [Path(path).name for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"several images are called {', '.join(twice)}; inject them apart")
    truths: list[QTable] = []
    failures: list[tuple[Path, str]] = []
    with folder_written_whole(out_dir) as stage:
        for path in map(Path, paths):
            try:
                frame = read(path)
                injected, truth = inject(frame, population, seed=seed)
                # What the file marks as no data stays as it is.
                light = np.where(np.isfinite(frame.data), injected.data - frame.data, 0.0)
                _write_copy(path, stage / path.name, light)
                _copy_beside(beside(path), stage, light)
                truths.append(truth)
            except StreaksError as error:
                failures.append((path, str(error)))
        if not truths:
            first = "; ".join(f"{path}: {reason}" for path, reason in failures[:1])
            raise ReadError(f"no image could be used ({first or 'none given'})")
        table = vstack(truths, metadata_conflicts="silent")
        table["streak_id"] = [f"i{k:05d}" for k in range(len(table))]
        table.write(stage / "truth.ecsv", format="ascii.ecsv")
        write_json(
            stage / "provenance.json",
            {"kind": "streaks injected", "seed": seed, "images": len(truths), "n": population.n},
        )
    return len(truths), failures


def _copy_beside(files: Mapping[str, Path], out_dir: Path, light: NDArray[Any]) -> None:
    for what, file in files.items():
        if (out_dir / file.name).exists():
            continue  # one reference serves several images
        if what == "science":
            _write_copy(file, out_dir / file.name, np.nan_to_num(light))
        else:
            shutil.copyfile(file, out_dir / file.name)


def _write_copy(path: Path, out: Path, light: NDArray[Any]) -> None:
    """The file with light added to its first two-dimensional image, all else as it is."""
    with fits.open(path) as units:
        for unit in units:
            data = unit.data if unit.is_image else None
            if data is not None and data.ndim == 2 and data.shape == light.shape:
                unit.data = (data + light).astype(np.float32)
                break
        else:
            raise ReadError(f"{path} has no image of {light.shape}; nothing was injected")
        units.writeto(out, output_verify="silentfix")
