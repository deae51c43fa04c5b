"""Names that the streaks of one object share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import TrackletConfig
from streaks.tables import build_table
from streaks.tracklets.motion import Motion, link_motions
from streaks.tracklets.pieces import link_pieces, longest
from streaks.tracklets.sightings import (
    MOTION,
    SATELLITE,
    TRACKLET_COLUMNS,
    Sightings,
    sightings_of,
    tracklet_name,
)

__all__ = ["Links", "link_streaks"]


@dataclass(frozen=True, eq=False)
class Links:
    """What belongs together in a night.

    Parameters
    ----------
    names : (n,) text
        For each streak the name of its tracklet; empty for none.
    tracklets
        One row a tracklet, `TRACKLET_COLUMNS`, motions first, each kind by time.
    """

    names: NDArray[np.str_]
    tracklets: QTable


def link_streaks(streaks: QTable, config: TrackletConfig | None = None) -> Links:
    """Asteroids seen in several exposures, and satellites in several images of one exposure.

    Parameters
    ----------
    streaks
        Of a whole night, with sky coordinates and times; those without are in no tracklet.
        Where there is a ``label``, a motion needs at least one streak called asteroid.
    config
        How far apart and how unlike the streaks of one object may be.

    Returns
    -------
    Links
        The same streaks give the same names, whatever their order in the table.
    """
    config = TrackletConfig() if config is None else config
    seen = sightings_of(streaks)
    rows: list[dict[str, Any]] = []
    names = np.full(len(streaks), "", dtype="U8")
    for motion in link_motions(seen, config):
        row = _motion_row(seen, motion)
        names[list(motion.members)] = row["tracklet"]
        rows.append(row)
    for group in link_pieces(seen, config):
        if not any(names[list(group)]):
            row = _satellite_row(seen, group)
            names[list(group)] = row["tracklet"]
            rows.append(row)
    rows.sort(key=lambda row: (row["kind"], row["time"], row["tracklet"]))
    columns = {spec.name: [row[spec.name] for row in rows] for spec in TRACKLET_COLUMNS}
    return Links(names, build_table(TRACKLET_COLUMNS, columns))


def _motion_row(seen: Sightings, motion: Motion) -> dict[str, Any]:
    arc = seen.time_s[motion.members[-1]] - seen.time_s[motion.members[0]]
    return {
        **_common(seen, motion.members, "T", MOTION),
        "time": _isot(seen, motion.time_s),
        "arc": float(arc),
        "ra": motion.ra_deg,
        "dec": motion.dec_deg,
        "rate": motion.rate,
        "rate_err": motion.rate_err,
        "pa": motion.pa_deg,
        "pa_err": motion.pa_err_deg,
        "rms": motion.rms_arcsec,
    }


def _satellite_row(seen: Sightings, group: tuple[int, ...]) -> dict[str, Any]:
    """The longest piece stands for the whole; pieces tell neither rate nor sense of motion."""
    best = longest(seen, group)
    nan = float("nan")
    return {
        **_common(seen, group, "S", SATELLITE),
        "time": _isot(seen, float(seen.time_s[best])),
        "arc": 0.0,
        "ra": float(np.degrees(seen.ra[best]) % 360.0),
        "dec": float(np.degrees(seen.dec[best])),
        "rate": nan,
        "rate_err": nan,
        "pa": nan,
        "pa_err": nan,
        "rms": nan,
    }


def _common(seen: Sightings, rows: Sequence[int], prefix: str, kind: str) -> dict[str, Any]:
    ids = [str(seen.streak_id[row]) for row in rows]
    mags = seen.mag[list(rows)]
    return {
        "tracklet": tracklet_name(prefix, ids),
        "kind": kind,
        "n": len(ids),
        "mag": float(np.nanmedian(mags)) if np.isfinite(mags).any() else float("nan"),
        "streak_ids": " ".join(ids),
    }


def _isot(seen: Sightings, time_s: float) -> str:
    return str((seen.start + time_s * u.s).isot)
