"""Known objects: orbits, where they appear, and whether a survey's own word on them is right.

The modules inside:

- catalogues: ``orbits`` (in memory), ``catalogues`` and ``mpcorb`` (files), ``update`` (one's own),
  ``names`` and ``packed`` (spellings);
- motion: ``dynamics`` (the face, and two bodies), ``nbody`` (full dynamics, the default),
  ``kepler``; ``solar_system`` (the face of ephemerides, and series), ``spk`` (JPL's kernels),
  ``shipped`` (those of the package);
- the sky: ``observatories``, ``places`` (where things appear), ``index`` (a whole night, fast),
  ``cache`` (nights kept on disk), ``multi_night`` (alerts of years), ``synthesis`` (an orbit
  through a place);
- judgement: ``claims`` (what alerts say), ``verdicts`` (the rules), ``check`` (all alerts of many
  nights), ``stale`` (spells of wrong claims).
"""

from __future__ import annotations

from streaks.lazy import lazy_face

_FACE = {
    "Dynamics": "dynamics",
    "TwoBody": "dynamics",
    "NBody": "nbody",
    "Observatory": "observatories",
    "check_code": "observatories",
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
    "CheckConfig": "verdicts",
    "VERDICTS": "verdicts",
    "check_alerts": "check",
    "stale_spells": "stale",
    "cache_folder": "cache",
    "NightIndex": "index",
    "prepare_night": "index",
    "normalise_name": "names",
    "same_object": "names",
    "survey_spelling": "names",
    "PREDICTION_COLUMNS": "places",
    "near": "places",
    "predict": "places",
    "predict_epochs": "places",
    "SeriesEphemeris": "solar_system",
    "ShippedEphemeris": "shipped",
    "default_ephemeris": "shipped",
    "SpkEphemeris": "spk",
    "open_ephemeris": "spk",
    "Ephemeris": "solar_system",
    "orbit_through": "synthesis",
}

__all__ = sorted(_FACE)

__getattr__, __dir__ = lazy_face(__name__, _FACE)
