"""Streaks finds streaks in difference images, names them and checks them against known objects.

The names below are the public face; each is imported when first used, so that
``import streaks`` touches neither files nor heavy libraries.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_FACE = {
    "Frame": "streaks.frame",
    "Segment": "streaks.geometry",
    "Settings": "streaks.config",
    "DetectionConfig": "streaks.config",
    "NoiseConfig": "streaks.config",
    "CutoutConfig": "streaks.config",
    "MatchConfig": "streaks.config",
    "StreaksError": "streaks.errors",
    "read_frame": "streaks.readers",
    "find_streaks": "streaks.detection",
    "extract_cutouts": "streaks.cutouts",
    "measure_features": "streaks.features",
    "classify_cutouts": "streaks.classification",
    "load_classifier": "streaks.models",
    "match_known": "streaks.matching",
    "run_night": "streaks.night",
}

__all__ = ["__version__", *sorted(_FACE)]


def __getattr__(name: str) -> Any:
    if name in _FACE:
        return getattr(importlib.import_module(_FACE[name]), name)
    raise AttributeError(f"module 'streaks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})
