"""A simulated night: frames under ZTF's file names, their orbits, and the truth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.wcs import WCS

from streaks.disk import folder_written_whole
from streaks.errors import ConfigError
from streaks.synth.nights.frames import FramePlan, FrameTruth, NightConfig, Streak, render_frame
from streaks.synth.nights.movers import (
    EDGE_PX,
    Mover,
    follow_orbits,
    invent_movers,
    is_inside,
    where,
)
from streaks.synth.nights.sky_geometry import segment_of_motion
from streaks.synth.nights.survey_files import write_frame
from streaks.synth.nights.truth import CLUTTER_COLUMNS, STREAK_TRUTH_COLUMNS, streak_row, table_of
from streaks.synth.nights.visits import (
    Visit,
    header_of,
    image_name,
    middle_of,
    plan_visits,
    seed_of,
)
from streaks.synth.provenance import write_json

if TYPE_CHECKING:
    from streaks.known import Orbits

__all__ = ["make_night"]


@dataclass(frozen=True, eq=False)
class _Exposure:
    """All that a worker needs to make and write one frame."""

    plan: FramePlan
    visit: Visit
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
    with folder_written_whole(out_dir) as stage:
        visits = plan_visits(rng, frames)
        if orbits is None:
            movers, known = invent_movers(rng, visits, shape, config)
        else:
            visits, movers = follow_orbits(rng, visits, orbits, config)
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
    smallest = int(config.asteroid_length_px[1] + 4 * EDGE_PX)
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


def _write_orbits(orbits: Orbits | None, path: Path) -> Orbits | None:
    """The orbits as their file holds them: rounding included, so that truth and file agree."""
    if orbits is None:
        return None
    from streaks.known import read_orbits, write_mpcorb

    write_mpcorb(orbits, path)
    return read_orbits(path)


def _plan_exposure(
    visit: Visit,
    movers: Sequence[Mover],
    known: Orbits | None,
    seed: int,
    shape: tuple[int, int],
    config: NightConfig,
    folder: Path,
    with_reference: bool,
) -> _Exposure:
    wcs = WCS(header_of(visit, shape, config))
    streaks, names, designations, directions = [], [], [], []
    for index, mover in enumerate(movers):
        if mover.field != visit.field:
            continue
        place = where(mover, visit, known, config)
        segment = segment_of_motion(wcs, *place, config.exposure_s)
        if not is_inside(segment, shape):
            continue
        streaks.append(Streak(segment.ordered(), flux=mover.flux))
        names.append(f"m{index:04d}")
        designations.append(mover.designation)
        directions.append(place[3])
    plan = FramePlan(
        name=visit.name,
        shape=shape,
        seed=seed_of(seed, visit.name),
        conditions=visit.conditions,
        asteroids=tuple(streaks),
        config=config,
        field_seed=seed_of(seed, "field", str(visit.field)),
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
    write_frame(
        exposure.folder,
        exposure.visit,
        exposure.plan,
        frame,
        with_reference=exposure.with_reference,
    )
    config, visit = exposure.plan.config, exposure.visit
    wcs = WCS(header_of(visit, exposure.plan.shape, config))
    lines = [t for t in frame.truth if t.label in ("asteroid", "satellite")]
    rest = [t for t in frame.truth if t.label not in ("asteroid", "satellite")]
    image = image_name(visit)
    return (
        [_truth_row(exposure, truth, wcs) for truth in lines],
        [{"image": image, "label": t.label, "x": t.x, "y": t.y, "flux": t.flux} for t in rest],
    )


def _truth_row(exposure: _Exposure, truth: FrameTruth, wcs: WCS) -> dict[str, Any]:
    config, visit = exposure.plan.config, exposure.visit
    assert truth.segment is not None  # lines have ends by construction
    mover = truth.index >= 0
    return streak_row(
        truth.segment,
        image=image_name(visit),
        label=truth.label,
        flux=truth.flux,
        snr=truth.snr,
        wcs=wcs,
        exposure_s=config.exposure_s,
        zero_point_mag=config.zero_point_mag,
        time=middle_of(visit, config).isot,
        name=exposure.designations[truth.index] if mover else "",
        mover=exposure.movers[truth.index] if mover else "",
        motion_pa_deg=exposure.directions[truth.index] if mover else math.nan,
    )
