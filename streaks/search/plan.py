"""What every frame of a run is searched with: made once, carried whole, sent to any process."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaks.classification import Classifier, parse_mix
from streaks.config import Settings
from streaks.errors import InputError
from streaks.readers import FrameOverrides
from streaks.search.ahead import load_ahead
from streaks.search.identity import file_digest
from streaks.search.searcher import Searcher
from streaks.verdict import VerdictModel

__all__ = ["Search"]

#: Settings that change no frame's results: of what is made from them later.
_LATER = ("labels", "tracklets", "verdict")


@dataclass(frozen=True, kw_only=True)
class Search:
    """All that decides what is found in a frame.

    It holds names and plain values only, so that it can be sent to a worker process; `prepare`
    loads what they name, once in each process.

    Parameters
    ----------
    settings
        Of all stages.
    overrides
        What the user knows better than the frames' headers.
    profile
        A survey's conventions: a name or a TOML file; empty to tell from each file.
    load_classifier
        Gives the classifier, picklable; None leaves streaks unnamed.
    classifier
        What the classifier is called, with a digest of its weights: another name is another run.
    load_verdict
        Gives what weighs a run's streaks; None leaves them unweighed. It changes no frame's
        results: what is in them is weighed anew each time that tables are written.
    orbits
        An orbit catalogue; None leaves streaks unmatched.
    ephemeris
        A JPL kernel, or a folder of them; else what ``STREAKS_EPHEMERIS`` names, else built-in
        positions.
    tle
        A file of satellites' elements; None leaves streaks without names of satellites.

    Raises
    ------
    InputError
        If a file that is named does not exist.
    ConfigError
        If the settings' mix of classes is none.
    """

    settings: Settings = field(default_factory=Settings)
    overrides: FrameOverrides = field(default_factory=FrameOverrides)
    profile: str = ""
    load_classifier: Callable[[], Classifier] | None = None
    classifier: str = ""
    load_verdict: Callable[[], VerdictModel] | None = None
    orbits: Path | None = None
    ephemeris: Path | None = None
    tle: Path | None = None

    def __post_init__(self) -> None:
        kernel = self.ephemeris or os.environ.get("STREAKS_EPHEMERIS") or None
        paths = {"orbits": self.orbits, "ephemeris": kernel, "tle": self.tle}
        for name, path in paths.items():
            # Workers may stand in another folder.
            whole = None if path is None else Path(path).absolute()
            object.__setattr__(self, name, whole)
        parse_mix(self.settings.naming.mix)
        _require_file(self.orbits, "a file of orbits in MPCORB columns")
        _require_file(self.tle, "a file of two-line elements")

    def identity(self) -> dict[str, Any]:
        """What decides a frame's results, as plain values: two runs with the same are the same.

        Files count by name and content. The version of this program is not among it: it stands
        with each frame that it did.

        Returns
        -------
        dict
            Nested plain values, as JSON knows them.
        """
        values = dataclasses.asdict(self.settings)
        for name in _LATER:
            values.pop(name)
        given = {
            "profile": _profile_name(self.profile),
            "overrides": _given(self.overrides),
            "ephemeris": _kernel_name(self.ephemeris),
            "tle": _content_name(self.tle),
        }
        return {
            "settings": _plain(values),
            "classifier": self.classifier,
            "orbits": _content_name(self.orbits),
            **{name: value for name, value in given.items() if value},
        }

    def prepare(self, *, ahead: bool = False) -> Searcher:
        """Load classifier and catalogues: what searches frames in this process.

        Parameters
        ----------
        ahead
            Load the classifier by a thread while the first frame is searched: a process that
            searches few frames ends sooner. If it cannot be loaded, the first search says so.

        Returns
        -------
        Searcher

        Raises
        ------
        ModelError
            If the classifier cannot be loaded.
        CatalogueError
            If a catalogue or a kernel cannot be used.
        """
        from streaks.search.catalogues import load_satellites, load_sky

        return Searcher(
            settings=self.settings,
            overrides=self.overrides,
            profile=self.profile,
            classifier=self._classifier(ahead),
            known=None if self.orbits is None else load_sky(self.orbits, self.ephemeris),
            satellites=None
            if self.tle is None
            else load_satellites(self.tle, self.settings.satellites),
        )

    def _classifier(self, ahead: bool) -> Classifier | Future[Classifier] | None:
        if self.load_classifier is None:
            return None
        return load_ahead(self.load_classifier) if ahead else self.load_classifier()


def _require_file(path: Path | None, what: str) -> None:
    if path is not None and not path.is_file():
        raise InputError(f"{path} does not exist; give {what}")


def _content_name(path: Path | None) -> str:
    """Name and content: another file, or the same one updated, is another run."""
    return "" if path is None else f"{path.name} {file_digest(path)[:12]}"


def _profile_name(profile: str) -> str:
    """A shipped profile belongs to the version; a file of the user's own counts by content."""
    path = Path(profile)
    return _content_name(path) if profile and path.is_file() else profile


def _kernel_name(path: Path | None) -> str:
    """Names and sizes: kernels hold gigabytes, and are published once."""
    if path is None:
        return ""
    files = sorted(path.glob("*.bsp")) if path.is_dir() else [path]
    return " ".join(f"{f.name} {f.stat().st_size if f.is_file() else 'missing'}" for f in files)


def _given(overrides: FrameOverrides) -> dict[str, Any]:
    values = {f.name: getattr(overrides, f.name) for f in dataclasses.fields(overrides)}
    return {
        name: value if isinstance(value, str | int | float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def _plain(value: Any) -> Any:
    """NaN is no JSON, and unequal to itself: it becomes None."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
