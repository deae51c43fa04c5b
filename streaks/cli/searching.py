"""The options of a search, the same for every command, and the one value made of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streaks.config import Settings
    from streaks.search import Search
    from streaks.verdict import VerdictModel

__all__ = [
    "AsJson",
    "Config",
    "Detector",
    "DryRun",
    "Ephemeris",
    "Exposure",
    "Gain",
    "Hdu",
    "MinScore",
    "Mix",
    "Model",
    "Observatory",
    "Orbits",
    "Plane",
    "Profile",
    "PsfFwhm",
    "Quiet",
    "Threshold",
    "Tle",
    "Verdict",
    "ZeroPoint",
    "build_search",
    "named_classifier",
    "read_settings",
    "read_toml",
    "verdict_loader",
    "worker_count",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]
Config = Annotated[Path | None, typer.Option(help="Settings, a TOML file.")]
Ephemeris = Annotated[
    Path | None,
    typer.Option(
        envvar="STREAKS_EPHEMERIS",
        help="JPL kernel, or a folder of them, for orbits far from their epoch.",
    ),
]
Exposure = Annotated[float | None, typer.Option(help="Exposure time, s.")]
Gain = Annotated[float | None, typer.Option(help="Electrons a count.")]
MinScore = Annotated[
    float | None, typer.Option(help="Lowest score to report; 0 reports every line.")
]
Mix = Annotated[
    str,
    typer.Option(
        help="How the classes are mixed on this sky: balanced (as in training), astreaks, "
        "or class=share,..."
    ),
]
Model = Annotated[
    str,
    typer.Option("--model", "-m", help="Classifier: default, forest, cnn, a folder, or none."),
]
Observatory = Annotated[str | None, typer.Option(help="MPC code, as I41.")]
Orbits = Annotated[
    Path | None, typer.Option(help="Orbit catalogue in MPCORB columns to match with.")
]
Profile = Annotated[
    str,
    typer.Option(help="Survey profile: a name or a TOML file; by default told by the file."),
]
PsfFwhm = Annotated[float | None, typer.Option(help="FWHM of the PSF, px.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only failures.")]
Threshold = Annotated[float | None, typer.Option(help="Matched-filter S/N of the final cut.")]
Tle = Annotated[Path | None, typer.Option(help="Two-line elements or OMM, to name satellites by.")]
Hdu = Annotated[
    str, typer.Option(help="Image of the file: a name as SCI,2 or an index; default all.")
]
Plane = Annotated[str, typer.Option(help="Plane of a cube, from 1; or luminance, superpixel, raw.")]
Detector = Annotated[
    str, typer.Option(help="radon (our own), or hough: scikit-image's, to compare with.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be read, from which words; no search.")
]
Verdict = Annotated[
    str,
    typer.Option(
        help="What weighs all evidence into p_real: default, a folder of `streaks train verdict`, "
        "or none."
    ),
]
ZeroPoint = Annotated[
    float | None, typer.Option(help="AB magnitude of one count in the whole exposure.")
]


def build_search(
    *,
    config: Path | None = None,
    threshold: float | None = None,
    min_score: float | None = None,
    detector: str = "",
    mix: str = "",
    model: str = "default",
    verdict: str = "default",
    profile: str = "",
    orbits: Path | None = None,
    ephemeris: Path | None = None,
    tle: Path | None = None,
    **overrides: Any,
) -> Search:
    """What every frame is searched with.

    Parameters
    ----------
    config
        TOML file of settings; options go before it.
    threshold, min_score, detector, mix
        Of the settings; None and empty leave them.
    model
        A classifier's name or folder, or ``none``.
    verdict
        A verdict's name or folder, or ``none``; without a classifier there is none.
    profile, orbits, ephemeris, tle
        As in `streaks.search.Search`.
    **overrides
        As in `streaks.readers.FrameOverrides`.

    Returns
    -------
    Search

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    ModelError
        If there is no such classifier.
    InputError
        If a file does not exist.
    """
    from streaks.known import check_code
    from streaks.readers import FrameOverrides
    from streaks.readers.profile import load_profile
    from streaks.search import Search

    settings = read_settings(config)
    of_detection = {
        "threshold_snr": threshold, "min_score": min_score, "detector": detector or None
    }  # fmt: skip
    given: dict[str, Any] = {k: value for k, value in of_detection.items() if value is not None}
    settings = replace(settings, detection=replace(settings.detection, **given))
    if mix:
        settings = replace(settings, naming=replace(settings.naming, mix=mix))
    if profile:
        load_profile(profile)
    if overrides.get("observatory") is not None:
        # It goes into reports to the MPC.
        overrides["observatory"] = check_code(overrides["observatory"])
    loader, name = named_classifier(model)
    return Search(
        settings=settings,
        overrides=FrameOverrides(**overrides),
        profile=profile,
        load_classifier=loader,
        classifier=name,
        load_verdict=None if loader is None else verdict_loader(verdict),
        orbits=orbits,
        ephemeris=ephemeris,
        tle=tle,
    )


def named_classifier(name: str) -> tuple[Callable[[], Any] | None, str]:
    """What each process calls, and the name with a hash of the card: other weights, other run.

    Parameters
    ----------
    name
        Of a classifier, or its folder; ``none`` for none.

    Returns
    -------
    loader : callable or None
        Picklable.
    name : str
        Empty for none.

    Raises
    ------
    ModelError
        If there is no such classifier.
    """
    if name == "none":
        return None, ""
    from streaks.models import load_classifier
    from streaks.models.store import read_card, weights_folder
    from streaks.search.identity import file_digest

    # Its card tells whether there is such a model; the model itself is loaded where it is needed.
    read_card(weights_folder(name))
    digest = file_digest(weights_folder(name) / "card.json")
    return functools.partial(load_classifier, name), f"{name} {digest[:8]}"


def verdict_loader(name: str) -> Callable[[], VerdictModel] | None:
    """What loads a verdict where it is needed.

    Parameters
    ----------
    name
        Of a verdict, its folder, or ``none``.

    Returns
    -------
    callable or None

    Raises
    ------
    ModelError
        If there is no such verdict.
    """
    if name == "none":
        return None
    from streaks.models.verdict_store import load_verdict, verdict_digest

    verdict_digest(name)
    return functools.partial(load_verdict, name)


def read_settings(path: Path | None) -> Settings:
    """Settings from a TOML file, or the defaults.

    Parameters
    ----------
    path
        The file; None for the defaults.

    Returns
    -------
    Settings

    Raises
    ------
    ConfigError
        If the file is missing, no TOML, or has unknown names or values out of range.
    """
    from streaks.config import Settings, settings_from_mapping

    return Settings() if path is None else settings_from_mapping(read_toml(path, "--config"))


def read_toml(path: Path, option: str) -> dict[str, Any]:
    """A TOML file's values.

    Parameters
    ----------
    path
        The file.
    option
        The command line's option that names it, for the error.

    Returns
    -------
    dict
        Nested plain values.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML; the option is named.
    """
    from streaks.disk import read_toml as read
    from streaks.errors import ConfigError, ReadError

    if not path.exists():
        raise ConfigError(f"{path} does not exist; {option} needs a TOML file")
    try:
        return read(path)
    except ReadError as error:
        raise ConfigError(str(error)) from None


def worker_count(asked: int) -> int:
    """What 0 stands for: one process a core that this process may use.

    Parameters
    ----------
    asked
        Processes; 0 for one a core.

    Returns
    -------
    int
    """
    return asked or len(os.sched_getaffinity(0))
