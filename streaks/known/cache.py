"""What was followed once is kept on disk: a night's states of a whole catalogue.

A file is named by everything its content depends on (orbits, instant, dynamics, version), so that
nothing stale is ever taken for fresh; it is written beside and renamed.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaks.disk import written_whole
from streaks.errors import OutputError
from streaks.known.dynamics import Dynamics
from streaks.known.orbits import Orbits

__all__ = ["cache_folder", "catalogue_digest", "states_of_night"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

#: Of what is kept; another dynamics or layout counts it up.
_VERSION = 1
#: Nights kept in a folder; of a full catalogue each is 70 MB.
_MAX_NIGHTS = 20
#: Smaller catalogues are followed faster than they are looked up.
_WORTH_KEEPING = 5000


def cache_folder() -> Path:
    """Where to keep things: ``STREAKS_CACHE``, else the user's own cache folder.

    Returns
    -------
    Path
    """
    if own := os.environ.get("STREAKS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streaks"


def catalogue_digest(orbits: Orbits) -> str:
    """A hash of all that moves the orbits, and of their names.

    Parameters
    ----------
    orbits
        n orbits.

    Returns
    -------
    str
        Hexadecimal.
    """
    digest = hashlib.blake2b(digest_size=16)
    for column in (orbits.epoch_jd, *orbits.elements):
        digest.update(np.ascontiguousarray(column).tobytes())
    digest.update("\n".join(orbits.designation).encode())
    return digest.hexdigest()


def states_of_night(
    dynamics: Dynamics, orbits: Orbits, jd_tdb: float, folder: Path | None
) -> tuple[Floats, Floats]:
    """A model's states, from the folder where they are there, and put there where not.

    A folder that cannot be written costs a warning and no more.

    Parameters
    ----------
    dynamics
        The model of motion.
    orbits
        n orbits.
    jd_tdb
        Julian date, TDB.
    folder
        Where nights are kept; None keeps nothing.

    Returns
    -------
    position, velocity : (n, 3), au and au/day
        Heliocentric, ICRS axes.
    """
    if folder is None or len(orbits) < _WORTH_KEEPING:
        return dynamics.states(orbits, jd_tdb)
    key = f"{_VERSION} {dynamics.name} {jd_tdb!r} {catalogue_digest(orbits)}"
    path = folder / "nights" / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.npy"
    kept = _read(path, len(orbits))
    if kept is None:
        kept = np.hstack(dynamics.states(orbits, jd_tdb))
        _write(path, kept)
    return kept[:, :3], kept[:, 3:]


def _read(path: Path, n: int) -> Floats | None:
    try:
        states = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if states.shape != (n, 6) or states.dtype != np.float64:
        return None
    with suppress(OSError):  # a cache of others may be read
        os.utime(path)  # used now: the oldest go first
    return np.asarray(states)


def _write(path: Path, states: Floats) -> None:
    try:
        with written_whole(path) as part:
            np.save(part, states)
        nights = sorted(path.parent.glob("*.npy"), key=lambda p: p.stat().st_mtime)
        for old in nights[:-_MAX_NIGHTS]:
            old.unlink(missing_ok=True)
    except (OSError, OutputError) as error:
        _log.warning("the night's orbits are not kept in %s: %s", path.parent, error)
