"""Known objects: orbits, where they appear, and whether a survey's own word on them is right.

The rooms inside, each replaceable behind its face: ``orbits``, ``mpcorb`` and ``catalogues``,
``kepler`` and ``engine`` (how orbits move), ``solar_system`` and ``observatories`` (from where we
look), ``places`` (where things appear), ``index`` (a whole night, fast) and ``cache`` (kept on
disk), ``check`` (alerts' claims against predictions), ``walk`` (alerts of years), ``stale`` (spells
of wrong claims), ``update`` (a catalogue of one's own), ``names``, ``packed``.
"""

from __future__ import annotations

import importlib
from typing import Any

_FACE = {
    "Engine": "engine",
    "TwoBodyEngine": "engine",
    "NBodyEngine": "nbody",
    "Observatory": "observatories",
    "find_observatory": "observatories",
    "read_observatories": "observatories",
    "BadLine": "orbits",
    "Orbits": "orbits",
    "stack_orbits": "orbits",
    "read_orbits": "catalogues",
    "write_catalogue": "catalogues",
    "catalogue_notes": "catalogues",
    "catalogue_age": "update",
    "default_catalogue": "update",
    "download": "update",
    "make_catalogue": "update",
    "write_mpcorb": "mpcorb",
    "CheckConfig": "check",
    "VERDICTS": "check",
    "check_alerts": "check",
    "stale_spells": "stale",
    "cache_folder": "cache",
    "KnownObjects": "index",
    "prepare_night": "index",
    "normalise_name": "names",
    "same_object": "names",
    "survey_spelling": "names",
    "PREDICTION_COLUMNS": "places",
    "near": "places",
    "predict": "places",
    "BuiltinEphemeris": "solar_system",
    "SpkEphemeris": "spk",
    "open_ephemeris": "spk",
    "Ephemeris": "solar_system",
    "orbit_through": "synthesis",
}

__all__ = sorted(_FACE)


def __getattr__(name: str) -> Any:
    if name in _FACE:
        return getattr(importlib.import_module(f"streaks.known.{_FACE[name]}"), name)
    raise AttributeError(f"module 'streaks.known' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})
