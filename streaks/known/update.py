"""A local catalogue: made from a file, or from a download that is asked for, with its age kept."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from streaks.errors import CatalogueError
from streaks.known.cache import cache_folder
from streaks.known.catalogues import catalogue_notes, read_orbits, write_catalogue
from streaks.known.orbits import Orbits, stack_orbits

__all__ = ["CatalogueAge", "catalogue_age", "default_catalogue", "download", "make_catalogue"]

_log = logging.getLogger(__name__)

#: New asteroids come by the hundred a week, and near-Earth ones matter first.
STALE_DAYS = 30.0


@dataclass(frozen=True)
class CatalogueAge:
    """How old a catalogue is, in days: since it was made, and since its orbits' epoch."""

    made_days: float
    epoch_days: float

    @property
    def is_stale(self) -> bool:
        return not self.made_days <= STALE_DAYS

    def __str__(self) -> str:
        stale = "; it is stale: `streaks known update`" if self.is_stale else ""
        return (
            f"made {self.made_days:.0f} days ago, its orbits are of {self.epoch_days:+.0f} days "
            f"from today{stale}"
        )


def default_catalogue() -> Path:
    """Where `make_catalogue` puts it, and commands look for it, unless told otherwise."""
    return cache_folder() / "orbits.npz"


def make_catalogue(sources: list[Path], output: Path, *, urls: list[str] | None = None) -> Orbits:
    """A compact catalogue of one or more files; of one object the last file's orbit counts.

    Raises
    ------
    CatalogueError
        If a file is no orbit catalogue, or the output cannot be written.
    """
    if not sources:
        raise CatalogueError("no file of orbits was given; give one, or --url to download one")
    parts = [read_orbits(path) for path in sources]
    orbits = _without_repeats(stack_orbits(parts))
    notes = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "sources": [path.name for path in sources],
        "sha256": [file_sha256(path) for path in sources],
        "urls": urls or [],
        "bad_lines": len(orbits.failures),
    }
    write_catalogue(orbits, output, notes)
    return orbits


def _without_repeats(orbits: Orbits) -> Orbits:
    """Of several orbits of one object, the last."""
    from dataclasses import replace

    reverse = orbits.designation[::-1]
    _, first = np.unique(reverse, return_index=True)
    keep = np.sort(len(orbits) - 1 - first)
    if len(keep) == len(orbits):
        return orbits
    return replace(orbits.select(keep), failures=orbits.failures)


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def download(url: str, *, sha256: str | None = None) -> Path:
    """A file from the network, in the cache folder, with its hash.

    Parameters
    ----------
    sha256
        What it must be; None takes what comes and keeps its hash in the catalogue's notes.

    Raises
    ------
    CatalogueError
        If it cannot be had, or is another file than expected.
    """
    import pooch

    folder = cache_folder() / "downloads"
    name = Path(url).name or "orbits"
    try:
        # An old copy under this name would be taken for the new one.
        (folder / name).unlink(missing_ok=True)
        known_hash = None if sha256 is None else f"sha256:{sha256}"
        found = pooch.retrieve(url, known_hash=known_hash, fname=name, path=folder)
    except Exception as error:  # the network fails in a hundred ways
        raise CatalogueError(
            f"cannot download {url}: {error}; download it by other means and give the file"
        ) from None
    return Path(found)


def catalogue_age(path: str | Path, orbits: Orbits) -> CatalogueAge | None:
    """The age of a compact catalogue; None for a file of another form."""
    made = catalogue_notes(path).get("made")
    if not isinstance(made, str) or len(orbits) == 0:
        return None
    now = datetime.now(UTC)
    days = (now - datetime.fromisoformat(made)).total_seconds() / 86_400.0
    now_jd = now.timestamp() / 86_400.0 + 2_440_587.5
    return CatalogueAge(days, float(np.median(orbits.epoch_jd)) - now_jd)
