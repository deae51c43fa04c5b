"""A local catalogue: made from a file, or from a download that is asked for, with its age kept."""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from streaks.errors import CatalogueError
from streaks.known.cache import cache_folder
from streaks.known.catalogues import catalogue_notes, read_orbits, write_catalogue
from streaks.known.orbits import Orbits, stack_orbits

__all__ = ["CatalogueAge", "catalogue_age", "default_catalogue", "download", "make_catalogue"]

_log = logging.getLogger(__name__)

#: New asteroids come by the hundred a week, and near-Earth ones matter first.
STALE_DAYS = 30.0
#: mpcorb_extended.json.gz, the largest of the catalogues, has 0.2 GB.
MAX_DOWNLOAD_BYTES = 2_000_000_000
#: Without a byte for so long, a download is given up.
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class CatalogueAge:
    """How old a catalogue is, in days: since it was made, and since its orbits' epoch.

    Parameters
    ----------
    made_days
        Since it was made. Above 30 it is stale, as is NaN.
    epoch_days
        From today to the median epoch of its orbits: below 0 for one that is past.
    """

    made_days: float
    epoch_days: float

    @property
    def is_stale(self) -> bool:
        """Whether it was made more than 30 days ago."""
        return not self.made_days <= STALE_DAYS

    def __str__(self) -> str:
        stale = "; it is stale: `streaks known update`" if self.is_stale else ""
        return (
            f"made {self.made_days:.0f} days ago, its orbits are of {self.epoch_days:+.0f} days "
            f"from today{stale}"
        )


def default_catalogue() -> Path:
    """Where commands put the catalogue, and look for it, unless told otherwise.

    Returns
    -------
    Path
    """
    return cache_folder() / "orbits.npz"


def make_catalogue(sources: list[Path], output: Path, *, urls: list[str] | None = None) -> Orbits:
    """A compact catalogue of one or more files; of one object the last file's orbit counts.

    Parameters
    ----------
    sources
        Files of any form that `read_orbits` knows.
    output
        The catalogue to write.
    urls
        Where they came from, for the catalogue's notes.

    Returns
    -------
    Orbits
        What was written; its ``failures`` are those of all files.

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
    """The SHA-256 of a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        Hexadecimal.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def download(
    url: str,
    *,
    sha256: str | None = None,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
    allow_http: bool = False,
) -> Path:
    """A file from the network, in the cache folder.

    Its SHA-256 goes into a file of the same name with ``.sha256`` behind, in the form that
    ``sha256sum --check`` reads.

    Parameters
    ----------
    url
        An address that begins with ``https://``.
    sha256
        What it must be, in hexadecimal; None takes what comes.
    max_bytes
        The most that is taken.
    allow_http
        Whether ``http://`` will do, where anyone on the way can alter the file.

    Returns
    -------
    Path

    Raises
    ------
    CatalogueError
        If it cannot be had, is too large, or is another file than expected.
    """
    schemes = ("https", "http") if allow_http else ("https",)
    _check_scheme(url, schemes)
    folder = cache_folder() / "downloads"
    name = _file_name(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part") as part:
            fetched = Path(part) / "download"
            found = _fetch(url, fetched, max_bytes, schemes)
            if sha256 is not None and found != sha256.strip().lower():
                raise CatalogueError(
                    f"{url} has the SHA-256 {found}, expected {sha256}: it is another file, or was "
                    "altered on the way; nothing of it is kept"
                )
            (folder / f"{name}.sha256").write_text(f"{found}  {name}\n", encoding="utf-8")
            return fetched.replace(folder / name)
    except CatalogueError:
        raise
    except Exception as error:  # the network fails in a hundred ways
        raise CatalogueError(
            f"cannot download {url}: {error}; download it by other means and give the file"
        ) from None


def _file_name(url: str) -> str:
    """The last part of an address, as a name that is safe in a folder."""
    last = PurePosixPath(urllib.parse.urlsplit(url).path).name
    return re.sub(r"[^\w.-]", "_", last, flags=re.ASCII).lstrip(".-")[-100:] or "orbits"


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    if urllib.parse.urlsplit(url).scheme.lower() not in schemes:
        hint = "" if "http" in schemes else ", or --allow-http where http:// is all there is"
        raise CatalogueError(
            f"cannot download {url}: the address must begin with {' or '.join(schemes)}://; give "
            f"such an address, the file itself{hint}"
        )


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to where it might have been asked to go at first."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self._schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """As of its base, but for addresses of other kinds, which raise `CatalogueError`."""
        _check_scheme(newurl, self._schemes)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, target: Path, max_bytes: int, schemes: tuple[str, ...]) -> str:
    """Write what an address gives, and return its SHA-256."""
    opener = urllib.request.build_opener(_SafeRedirects(schemes))
    request = urllib.request.Request(url, headers={"User-Agent": "streaks"})
    digest, size = hashlib.sha256(), 0
    with opener.open(request, timeout=_TIMEOUT_S) as answer, target.open("wb") as stream:
        while piece := answer.read(1 << 18):
            size += len(piece)
            if size > max_bytes:
                raise CatalogueError(
                    f"{url} is larger than {max_bytes / 1e6:,.0f} MB; where that is right, allow "
                    "more with --max-size, or download it by other means and give the file"
                )
            digest.update(piece)
            stream.write(piece)
        promised = answer.headers.get("Content-Length")
    if promised is not None and promised.isdigit() and int(promised) != size:
        raise CatalogueError(f"{url} was cut short: {size} of {promised} bytes came; try again")
    return digest.hexdigest()


def catalogue_age(path: str | Path, orbits: Orbits) -> CatalogueAge | None:
    """The age of a compact catalogue.

    Parameters
    ----------
    path
        The file.
    orbits
        What it holds.

    Returns
    -------
    CatalogueAge or None
        None for a file of another form, or without a date.
    """
    made = catalogue_notes(path).get("made")
    if not isinstance(made, str) or len(orbits) == 0:
        return None
    now = datetime.now(UTC)
    try:
        when = datetime.fromisoformat(made)
    except ValueError:
        return None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    days = (now - when).total_seconds() / 86_400.0
    now_jd = now.timestamp() / 86_400.0 + 2_440_587.5
    return CatalogueAge(days, float(np.median(orbits.epoch_jd)) - now_jd)
