"""Folders of finished nights made from nothing: no frame is searched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from streaks.cutouts import Cutouts
from streaks.night_folder import NightFolder
from streaks.night_folder.frame_results import save_cutouts
from streaks.reporting import write_table
from streaks.tables import (
    CLASS_COLUMNS,
    CLASSES,
    MATCH_COLUMNS,
    NIGHT_COLUMNS,
    STREAK_COLUMNS,
    build_table,
)
from streaks.tracklets import TRACKLET_COLUMNS

#: Side of the cutouts, px: not of a whole number of halves, so that a shift shows.
SIDE = 32
SCALE_DEG = 1.0 / 3600


def make_night(
    folder: Path,
    *,
    n_frames: int = 3,
    n_each: int = 4,
    names: Sequence[str] = (),
    more: Mapping[str, Sequence[Any]] | None = None,
    paths: Sequence[str] = (),
    cutouts: bool = True,
) -> Path:
    """A night's folder whose candidates come in order of their row: `p_asteroid` falls.

    Parameters
    ----------
    folder
        Made.
    n_frames, n_each
        Frames, 3 minutes apart on one chip, and streaks in each, at the same places in all.
    names
        ``streak_id`` by row; ``image_0000`` and so on where not given.
    more
        Further columns, or others instead of those made here.
    paths
        Of the frames' files; such as are not there where not given.
    cutouts
        Whether there are any.
    """
    night = NightFolder(folder)
    folder.mkdir(parents=True)
    n = n_frames * n_each
    images = [f"ztf_night_c{1 + i:02d}" for i in range(n_frames)]
    times = [f"2024-03-01T04:{3 * i:02d}:00.000" for i in range(n_frames)]
    frame = np.repeat(np.arange(n_frames), n_each)
    each = np.tile(np.arange(n_each), n_frames)
    ids = list(names) or [f"{images[f]}_{k:04d}" for f, k in zip(frame, each, strict=True)]
    x, y = 100.0 + 50 * each, 200.0 + 30 * each
    probability = np.linspace(0.99, 0.02, n)
    values: dict[str, Any] = {
        spec.name: np.full(n, np.nan) if spec.dtype is float else np.zeros(n, np.int64)
        for spec in (*STREAK_COLUMNS, *CLASS_COLUMNS, *MATCH_COLUMNS, *NIGHT_COLUMNS)
    }
    values |= {
        "streak_id": ids, "image": [images[f] for f in frame], "time": [times[f] for f in frame],
        "x": x, "y": y, "x0": x - 6, "x1": x + 6, "y0": y - 3, "y1": y + 3,
        "length": np.full(n, 13.4), "theta": np.full(n, 26.6), "width": np.full(n, 2.5),
        "flux": np.full(n, 900.0), "snr": 10.0 + np.arange(n), "score": 20.0 - np.arange(n),
        "ra": 150.0 + each / 60, "dec": np.full(n, 2.0), "pa": np.full(n, 63.4),
        "ra0": 150.0 + each / 60, "dec0": np.full(n, 2.0), "ra1": 150.001 + each / 60,
        "dec1": np.full(n, 2.001), "rate": np.full(n, 0.3), "mag": np.full(n, 18.0),
        "mag_err": np.full(n, 0.05), "flags": np.zeros(n, np.int64), "rb": probability,
        "label": [("asteroid", "ghost")[k % 2] for k in range(n)],
        "ssdistnr": np.full(n, -999.0), "ssmagnr": np.full(n, -999.0), "ssnamenr": ["null"] * n,
        "sat_name": [""] * n, "sat_norad": np.full(n, -1), "tracklet": [""] * n,
        "along0_err": np.full(n, 0.2), "along1_err": np.full(n, 0.2),
        "across_err": np.full(n, 0.1), "p_unresolved": np.zeros(n),
        **{f"p_{name}": np.zeros(n) for name in CLASSES},
    }  # fmt: skip
    values["p_asteroid"] = probability
    values["p_ghost"] = 1 - probability
    given = dict(more or {})
    values |= {name: given.pop(name) for name in list(given) if name in values}
    streaks = build_table((*STREAK_COLUMNS, *CLASS_COLUMNS, *MATCH_COLUMNS, *NIGHT_COLUMNS), values)
    for name, column in given.items():
        streaks[name] = column
    write_table(streaks, night.streaks)
    write_table(_frames(images, times, paths), night.frames)
    write_table(build_table(TRACKLET_COLUMNS, {s.name: [] for s in TRACKLET_COLUMNS}),
                night.tracklets)  # fmt: skip
    night.settings.write_text(
        json.dumps({"settings": {}, "classifier": "made", "orbits": "made.dat 00", "version": "0"})
    )
    if cutouts:
        for f, image in enumerate(images):
            save_cutouts(
                night.cutouts(image), _cutouts([ids[i] for i in range(n) if frame[i] == f], f)
            )
    return folder


def _frames(images: Sequence[str], times: Sequence[str], paths: Sequence[str]) -> QTable:
    n = len(images)
    table = QTable()
    table["image"] = list(images)
    table["time"] = list(times)
    table["path"] = list(paths) or [f"/nowhere/{image}.fits" for image in images]
    table["state"] = ["done"] * n
    for name, value in {"field": "700", "quadrant": "1", "observatory": "I41", "band": "r"}.items():
        table[name] = [value] * n
    table["ccd"] = ["1"] * n
    table["seconds"] = np.ones(n) * u.s
    return table


def _cutouts(names: Sequence[str], seed: int) -> Cutouts:
    rng = np.random.default_rng(seed)
    noise = [rng.normal(0, 1, (len(names), SIDE, SIDE)).astype(np.float32) for _ in range(3)]
    # One bright pixel in the science image, above the middle: up must stay up.
    noise[1][:, SIDE // 2 + 8, SIDE // 2] = 500.0
    mask = np.zeros((len(names), SIDE, SIDE), bool)
    return Cutouts(noise[0], mask, tuple(names), science=noise[1], reference=noise[2])
