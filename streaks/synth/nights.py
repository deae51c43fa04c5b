"""A simulated night: frames under ZTF's file names, their orbits, and the truth."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.time import Time, TimeDelta
from astropy.wcs import WCS

from streaks.errors import CatalogueError, ConfigError
from streaks.geometry import Segment
from streaks.synth.frames import (
    FramePlan,
    FrameTruth,
    NightConfig,
    SimulatedFrame,
    Streak,
    draw_frame_conditions,
    render_frame,
    trail_flux,
)
from streaks.synth.populations import log_uniform
from streaks.synth.scene import Conditions
from streaks.synth.sky_geometry import moved, pointing_header, segment_of_motion
from streaks.synth.storage import staged_folder, write_json
from streaks.synth.truth import CLUTTER_COLUMNS, STREAK_TRUTH_COLUMNS, streak_row, table_of

if TYPE_CHECKING:
    from streaks.known import Orbits

__all__ = ["make_night"]

OBSERVATORY = "I41"
#: Visits of one field follow each other by this much: a few minutes, as for tracklets.
_GAP_S = 180.0
_OVERHEAD_S = 10.0  # between ZTF's exposures (Bellm et al. 2019, PASP 131, 018002)
#: V - r of a mean asteroid: what stands between an orbit's V magnitude and counts in r.
_V_MINUS_R = 0.25
#: Frames of one field after the other: three visits, two, one.
_VISITS = (3, 2, 1)
#: Trails keep this far from the edge, px.
_EDGE_PX = 6.0


@dataclass(frozen=True)
class _Visit:
    """One exposure of one field."""

    field: int
    field_id: int
    name: str
    start: Time
    ra_deg: float
    dec_deg: float
    conditions: Conditions


@dataclass(frozen=True)
class _Mover:
    """An asteroid: place at an instant and motion, or an orbit that tells both."""

    field: int
    ra_deg: float
    dec_deg: float
    rate_arcsec_per_s: float
    pa_deg: float
    time: Time
    flux: float
    designation: str = ""


@dataclass(frozen=True, eq=False)
class _Exposure:
    """All that a worker needs to make and write one frame."""

    plan: FramePlan
    visit: _Visit
    movers: tuple[str, ...]
    designations: tuple[str, ...]
    directions: tuple[float, ...]
    folder: Path
    with_reference: bool


def make_night(
    out_dir: str | Path,
    *,
    frames: int,
    seed: int,
    shape: tuple[int, int] = (3080, 3072),
    config: NightConfig | None = None,
    orbits: Orbits | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Simulate a night and write it as a survey would.

    Fields are visited three, two and one times, minutes apart; asteroids that stay inside move by
    one motion from visit to visit. About half of them (`NightConfig.known_share`) follow orbits
    that go into ``orbits.dat``, in MPCORB columns.

    Parameters
    ----------
    out_dir
        New or empty; appears once all is written.
    frames
        How many exposures.
    seed
        The same seed gives the same images and truth, whatever the number of workers.
    shape : (ny, nx)
        Of a frame, px.
    config
        What fills the frames.
    orbits
        A catalogue whose fast movers are to be seen where they are that night, instead of
        invented asteroids; copied to ``orbits.dat``.
    workers
        Processes.
    progress
        Called with the number of frames written so far.

    Returns
    -------
    Path
        The folder: for each frame difference (Rice-compressed, data in HDU 1), mask and science
        image, a reference a field, ``truth.ecsv`` (asteroids and satellites), ``clutter.ecsv``
        (all other things put in), ``orbits.dat`` and ``provenance.json``.

    Raises
    ------
    ConfigError
        If frames, shape, seed or workers cannot be used, or none of `orbits` leaves a streak.
    InputError
        If the folder is in use or cannot be written.
    """
    config = NightConfig() if config is None else config
    _check(frames, seed, shape, workers, config)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    with staged_folder(out_dir) as stage:
        visits = _plan_visits(rng, frames)
        if orbits is None:
            movers, known = _invent_movers(rng, visits, shape, config)
        else:
            visits, movers = _follow_orbits(rng, visits, orbits, config)
            known = orbits
        known = _write_orbits(known, stage / "orbits.dat")
        exposures = [
            _plan_exposure(
                visit,
                movers,
                known,
                seed,
                shape,
                config,
                stage,
                k == 0 or visits[k - 1].field != visit.field,
            )
            for k, visit in enumerate(visits)
        ]
        rows, clutter = _render_all(exposures, workers, progress)
        table_of(rows, STREAK_TRUTH_COLUMNS).write(stage / "truth.ecsv", format="ascii.ecsv")
        table_of(clutter, CLUTTER_COLUMNS).write(stage / "clutter.ecsv", format="ascii.ecsv")
        write_json(stage / "provenance.json", _provenance(frames, seed, shape, config))
    return Path(out_dir)


def _check(
    frames: int, seed: int, shape: tuple[int, int], workers: int, config: NightConfig
) -> None:
    if frames < 1:
        raise ConfigError(f"frames is {frames}; a night needs at least one")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more")
    if workers < 1:
        raise ConfigError(f"workers is {workers}; at least 1")
    smallest = int(config.asteroid_length_px[1] + 4 * _EDGE_PX)
    if min(shape) < smallest:
        raise ConfigError(
            f"shape is {shape[0]} x {shape[1]}; trails of {config.asteroid_length_px[1]:g} px need "
            f"at least {smallest} px on both sides"
        )
    if max(shape) > 20000:
        raise ConfigError(f"shape is {shape[0]} x {shape[1]}; at most 20000 px a side")


def _provenance(
    frames: int, seed: int, shape: tuple[int, int], config: NightConfig
) -> dict[str, Any]:
    from streaks import __version__

    return {
        "kind": "streaks synthetic night",
        "version": __version__,
        "frames": frames,
        "seed": seed,
        "shape": list(shape),
        "config": dataclasses.asdict(config),
    }


def _seed_of(seed: int, *names: str) -> int:
    """A seed of its own for a frame or field, from the night's seed and its name."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


# ---------------------------------------------------------------------------------------------
# Planning


def _plan_visits(rng: np.random.Generator, frames: int) -> list[_Visit]:
    """Fields near the point opposite to the Sun, each visited a few times in a row."""
    day = int(rng.integers(58202, 59200))  # MJD; 2018-03-25 to 2020-12-17
    start = Time(day + rng.uniform(4.5, 9.0) / 24.0, format="mjd", scale="utc")
    visits: list[_Visit] = []
    at, field = 0.0, 0
    while len(visits) < frames:
        n = min(_VISITS[field % len(_VISITS)], frames - len(visits))
        field_id = int(rng.integers(245, 1896))
        ra, dec = _draw_pointing(rng, float(start.mjd))
        conditions = draw_frame_conditions(rng)
        for k in range(n):
            time = start + TimeDelta(at + k * _GAP_S, format="sec")
            name = f"ztf_{_stamp(time)}_{field_id:06d}_zr_c{1 + field % 16:02d}_o_q{1 + field % 4}"
            visits.append(_Visit(field, field_id, name, time, ra, dec, conditions))
        at += (n - 1) * _GAP_S + 30.0 + _OVERHEAD_S
        field += 1
    return visits


def _draw_pointing(rng: np.random.Generator, mjd: float) -> tuple[float, float]:
    # The Sun's mean longitude is 280.46 deg at J2000 and gains 0.98565 deg a day: good to 2 deg.
    longitude = math.radians((280.46 + 0.9856474 * (mjd - 51544.5) + 180.0) % 360.0)
    tilt = math.radians(23.44)
    ra = math.degrees(math.atan2(math.cos(tilt) * math.sin(longitude), math.cos(longitude)))
    dec = math.degrees(math.asin(math.sin(tilt) * math.sin(longitude)))
    return (ra + rng.uniform(-35, 35)) % 360.0, float(np.clip(dec + rng.uniform(-15, 35), -25, 60))


def _stamp(time: Time) -> str:
    """YYYYMMDD and the fraction of the day in six digits, as in ZTF's file names."""
    day = math.floor(float(time.mjd))
    date = Time(day, format="mjd", scale="utc").strftime("%Y%m%d")
    return f"{date}{int((float(time.mjd) - day) * 1e6):06d}"


def _header_of(visit: _Visit, shape: tuple[int, int], config: NightConfig) -> fits.Header:
    spin = _seed_of(0, str(visit.field_id)) % 1000 / 1000.0 - 0.5
    return pointing_header(
        visit.ra_deg,
        visit.dec_deg,
        shape,
        scale_arcsec=config.pixel_scale_arcsec,
        rotation_deg=0.6 * spin,
        distortion=5e-5,
    )


def _invent_movers(
    rng: np.random.Generator, visits: Sequence[_Visit], shape: tuple[int, int], config: NightConfig
) -> tuple[list[_Mover], Orbits | None]:
    """Asteroids for each field; orbits through the places of those that are to be known."""
    movers: list[_Mover] = []
    parts: list[Orbits] = []
    for field in range(1 + max(visit.field for visit in visits)):
        own = [visit for visit in visits if visit.field == field]
        low, high = config.asteroids
        for _ in range(int(rng.integers(low, high + 1))):
            mover = _draw_mover(rng, own, shape, config)
            movers.append(mover)
            if rng.random() < config.known_share or (config.known_share > 0 and not parts):
                orbit = _orbit_of(rng, mover, config, len(parts))
                if orbit is not None:
                    movers[-1] = dataclasses.replace(mover, designation=str(orbit.designation[0]))
                    parts.append(orbit)
    if not parts:
        return movers, None
    from streaks.known.orbits import stack_orbits

    return movers, stack_orbits(parts)


def _draw_mover(
    rng: np.random.Generator, visits: Sequence[_Visit], shape: tuple[int, int], config: NightConfig
) -> _Mover:
    """One asteroid that crosses the field of some visits."""
    wcs = WCS(_header_of(visits[0], shape, config))
    pa = rng.uniform(0, 360)
    length = log_uniform(rng, *config.asteroid_length_px)
    visit = visits[int(rng.integers(len(visits)))]
    if len(visits) > 1 and rng.random() < 0.7:
        # Slow enough to stay for all visits, and in the field's middle halfway through.
        duration = (len(visits) - 1) * _GAP_S / config.exposure_s
        longest = max(0.6 * min(shape) / (duration + 1), config.asteroid_length_px[0])
        length = log_uniform(rng, config.asteroid_length_px[0], max(min(length, longest), 8.1))
        visit = visits[len(visits) // 2]
    margin = 0.5 * length + _EDGE_PX
    if len(visits) > 1:
        margin = min(margin + length * _GAP_S / config.exposure_s, 0.45 * min(shape))
    ny, nx = shape
    x, y = rng.uniform(margin, nx - 1 - margin), rng.uniform(margin, ny - 1 - margin)
    ra, dec = (float(v) for v in wcs.all_pix2world(x, y, 0))
    snr = log_uniform(rng, *config.asteroid_snr)
    theta = rng.uniform(0, 180)
    flux = snr * trail_flux(Segment.from_midpoint(x, y, length, theta), visit.conditions)
    return _Mover(
        field=visit.field,
        ra_deg=ra,
        dec_deg=dec,
        rate_arcsec_per_s=length * config.pixel_scale_arcsec / config.exposure_s,
        pa_deg=pa,
        time=_middle(visit, config),
        flux=flux,
    )


def _middle(visit: _Visit, config: NightConfig) -> Time:
    return visit.start + TimeDelta(0.5 * config.exposure_s, format="sec")


def _orbit_of(
    rng: np.random.Generator, mover: _Mover, config: NightConfig, number: int
) -> Orbits | None:
    """A bound orbit with the mover's place, motion and brightness; None where there is none."""
    from streaks.known import orbit_through, predict

    letters = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
    name = f"{mover.time.datetime.year} {letters[number % 24]}{letters[number // 24 % 25]}"
    name += str(1 + number // 600)
    # Near-Earth asteroids pass at some 10 km/s: so far away, they seem to move like this.
    distance = 0.0138 / mover.rate_arcsec_per_s * rng.uniform(0.5, 1.3)
    for _ in range(6):
        try:
            orbit = orbit_through(
                mover.ra_deg,
                mover.dec_deg,
                mover.rate_arcsec_per_s,
                mover.pa_deg,
                mover.time,
                distance,
                OBSERVATORY,
                name=name,
            )
        except CatalogueError:
            distance *= 0.6
            continue
        seen = float(predict(orbit, mover.time, OBSERVATORY)["vmag"][0].value)
        wanted = config.zero_point_mag - 2.5 * math.log10(mover.flux) + _V_MINUS_R
        return dataclasses.replace(orbit, h_mag=orbit.h_mag + (wanted - seen))
    return None


def _follow_orbits(
    rng: np.random.Generator, visits: Sequence[_Visit], orbits: Orbits, config: NightConfig
) -> tuple[list[_Visit], list[_Mover]]:
    """Fields moved to where the catalogue's fast movers are, and those movers."""
    from streaks.known import predict

    middle = visits[len(visits) // 2].start
    table = predict(orbits, middle, OBSERVATORY)
    rate = table["rate"].to_value("arcsec/s")
    mag = table["vmag"].to_value("mag")
    shortest = config.asteroid_length_px[0] * config.pixel_scale_arcsec / config.exposure_s
    dec = table["dec"].to_value("deg")
    fast = np.flatnonzero((rate >= shortest) & (mag < 21.0) & (dec > -30))
    if fast.size == 0:
        raise ConfigError(
            f"none of the {len(orbits)} orbits leaves a streak of {config.asteroid_length_px[0]:g} "
            f"px above V = 21 on {middle.isot[:10]}; give other orbits or another seed"
        )
    fields = 1 + max(visit.field for visit in visits)
    targets = [int(fast[k % fast.size]) for k in rng.permutation(max(fields, fast.size))[:fields]]
    visits = [
        dataclasses.replace(
            visit,
            ra_deg=float(table["ra"][targets[visit.field]].value),
            dec_deg=float(table["dec"][targets[visit.field]].value),
        )
        for visit in visits
    ]
    movers = [
        _Mover(
            field,
            float(table["ra"][k].value),
            float(table["dec"][k].value),
            float(rate[k]),
            float(table["pa"][k].value),
            middle,
            10 ** (0.4 * (config.zero_point_mag - (float(mag[k]) - _V_MINUS_R))),
            str(orbits.designation[k]),
        )
        for field in range(fields)
        for k in fast
    ]
    return visits, movers


def _write_orbits(orbits: Orbits | None, path: Path) -> Orbits | None:
    """The orbits as their file holds them: rounding included, so that truth and file agree."""
    if orbits is None:
        return None
    from streaks.known import read_orbits, write_mpcorb

    write_mpcorb(orbits, path)
    return read_orbits(path)


def _plan_exposure(
    visit: _Visit,
    movers: Sequence[_Mover],
    known: Orbits | None,
    seed: int,
    shape: tuple[int, int],
    config: NightConfig,
    folder: Path,
    with_reference: bool,
) -> _Exposure:
    wcs = WCS(_header_of(visit, shape, config))
    streaks, names, designations, directions = [], [], [], []
    for index, mover in enumerate(movers):
        if mover.field != visit.field:
            continue
        place = _where(mover, visit, known, config)
        segment = segment_of_motion(wcs, *place, config.exposure_s)
        if not _inside(segment, shape):
            continue
        streaks.append(Streak(segment.ordered(), flux=mover.flux))
        names.append(f"m{index:04d}")
        designations.append(mover.designation)
        directions.append(place[3])
    plan = FramePlan(
        name=visit.name,
        shape=shape,
        seed=_seed_of(seed, visit.name),
        conditions=visit.conditions,
        asteroids=tuple(streaks),
        config=config,
        field_seed=_seed_of(seed, "field", str(visit.field)),
    )
    return _Exposure(
        plan,
        visit,
        tuple(names),
        tuple(designations),
        tuple(directions),
        folder,
        with_reference,
    )


def _where(
    mover: _Mover, visit: _Visit, known: Orbits | None, config: NightConfig
) -> tuple[float, float, float, float]:
    """Place, rate and direction at mid-exposure: ra, dec, rate, pa."""
    time = _middle(visit, config)
    if mover.designation and known is not None:
        from streaks.known import predict

        row = predict(known.select(known.designation == mover.designation), time, OBSERVATORY)
        return (
            float(row["ra"][0].value),
            float(row["dec"][0].value),
            float(row["rate"][0].to_value("arcsec/s")),
            float(row["pa"][0].value),
        )
    gone = mover.rate_arcsec_per_s * float((time - mover.time).sec)
    ra, dec = moved(mover.ra_deg, mover.dec_deg, mover.pa_deg, gone)
    return ra, dec, mover.rate_arcsec_per_s, mover.pa_deg


def _inside(segment: Segment, shape: tuple[int, int]) -> bool:
    ny, nx = shape
    xs, ys = (segment.x0, segment.x1), (segment.y0, segment.y1)
    return (
        min(xs) > _EDGE_PX
        and max(xs) < nx - 1 - _EDGE_PX
        and min(ys) > _EDGE_PX
        and max(ys) < ny - 1 - _EDGE_PX
    )


# ---------------------------------------------------------------------------------------------
# Rendering and writing


def _render_all(
    exposures: Sequence[_Exposure], workers: int, progress: Callable[[int], None] | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    clutter: list[dict[str, Any]] = []
    for done, (found, other) in enumerate(_run(exposures, workers), start=1):
        rows += [{**row, "streak_id": f"t{len(rows) + k:05d}"} for k, row in enumerate(found)]
        clutter += [{**row, "streak_id": f"a{len(clutter) + k:06d}"} for k, row in enumerate(other)]
        if progress is not None:
            progress(done)
    return rows, clutter


def _run(
    exposures: Sequence[_Exposure], workers: int
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    if workers == 1 or len(exposures) == 1:
        yield from map(_make_frame, exposures)
        return
    with ProcessPoolExecutor(min(workers, len(exposures))) as pool:
        yield from pool.map(_make_frame, exposures)


def _make_frame(exposure: _Exposure) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from threadpoolctl import threadpool_limits

    # One thread: the sums of matrix products depend on how they are split, bytes must not.
    with threadpool_limits(1):
        frame = render_frame(exposure.plan)
    _write_frame(exposure, frame)
    config, visit = exposure.plan.config, exposure.visit
    wcs = WCS(_header_of(visit, exposure.plan.shape, config))
    lines = [t for t in frame.truth if t.label in ("asteroid", "satellite")]
    rest = [t for t in frame.truth if t.label not in ("asteroid", "satellite")]
    image = _image_name(visit)
    return (
        [_truth_row(exposure, truth, wcs) for truth in lines],
        [{"image": image, "label": t.label, "x": t.x, "y": t.y, "flux": t.flux} for t in rest],
    )


def _image_name(visit: _Visit) -> str:
    return f"{visit.name}_scimrefdiffimg"


def _truth_row(exposure: _Exposure, truth: FrameTruth, wcs: WCS) -> dict[str, Any]:
    config, visit = exposure.plan.config, exposure.visit
    assert truth.segment is not None  # lines have ends by construction
    mover = truth.index >= 0
    return streak_row(
        truth.segment,
        image=_image_name(visit),
        label=truth.label,
        flux=truth.flux,
        snr=truth.snr,
        wcs=wcs,
        exposure_s=config.exposure_s,
        zero_point_mag=config.zero_point_mag,
        time=_middle(visit, config).isot,
        name=exposure.designations[truth.index] if mover else "",
        mover=exposure.movers[truth.index] if mover else "",
        motion_pa_deg=exposure.directions[truth.index] if mover else math.nan,
    )


def _write_frame(exposure: _Exposure, frame: SimulatedFrame) -> None:
    """Difference, science and mask image; the reference once a field."""
    visit, folder = exposure.visit, exposure.folder
    header = _full_header(exposure)
    difference = fits.CompImageHDU(
        frame.difference,
        header,
        compression_type="RICE_1",
        quantize_level=16,
        quantize_method=1,
        dither_seed=1 + exposure.plan.seed % 10000,
    )
    fits.HDUList([fits.PrimaryHDU(), difference]).writeto(
        folder / f"{visit.name}_scimrefdiffimg.fits.fz"
    )
    fits.PrimaryHDU(frame.science, header).writeto(folder / f"{visit.name}_sciimg.fits")
    fits.PrimaryHDU(frame.mask, header).writeto(folder / f"{visit.name}_mskimg.fits")
    if exposure.with_reference:
        # A frame's name is ztf_{stamp}_{field}_{filter}_{ccd}_o_{quadrant}.
        _, _, field, band, ccd, _, quadrant = visit.name.split("_")
        cards = _header_of(visit, exposure.plan.shape, exposure.plan.config)
        fits.PrimaryHDU(frame.reference, cards).writeto(
            folder / f"ztf_{field}_{band}_{ccd}_{quadrant}_refimg.fits"
        )


def _full_header(exposure: _Exposure) -> fits.Header:
    visit, config, c = exposure.visit, exposure.plan.config, exposure.visit.conditions
    header = _header_of(visit, exposure.plan.shape, config)
    end = visit.start + TimeDelta(config.exposure_s, format="sec")
    # What a star finder measures: the PSF after pixels have blurred it.
    seeing = math.hypot(c.science_psf.fwhm_px, 2.3548 / math.sqrt(12.0))
    words = visit.name.split("_")
    cards: list[tuple[str, Any, str]] = [
        ("ORIGIN", "streaks synth night", "simulated"),
        ("OBSJD", float(visit.start.jd), "start of exposure, UTC"),
        ("OBSMJD", float(visit.start.mjd), "start of exposure, UTC"),
        ("SHUTOPEN", visit.start.isot, "UTC"),
        ("SHUTCLSD", end.isot, "UTC"),
        ("EXPTIME", config.exposure_s, "[s]"),
        ("MAGZP", config.zero_point_mag, "[mag]"),
        ("MAGZPUNC", 0.01, "[mag]"),
        ("GAIN", c.gain, "[e-/DN]"),
        ("READNOI", config.read_noise_e, "[e-]"),
        ("SATURATE", c.saturation, "[DN]"),
        ("SEEING", seeing, "[pixel]"),
        ("FILTER", "ZTF_r", ""),
        ("FIELDID", visit.field_id, ""),
        ("CCDID", int(words[4][1:]), ""),
        ("QID", int(words[6][1:]), ""),
        ("INFOBITS", 0, ""),
    ]
    header.extend(cards)
    return header
