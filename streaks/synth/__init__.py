"""Synthetic skies with their truth: labelled cutouts, streaks in real images, whole nights.

Shares no code with the detector: what is injected and what is found must not come from one hand.
"""

from __future__ import annotations

import importlib
from typing import Any

_FACE = {
    "Population": "injection",
    "Psf": "psf",
    "inject": "injection",
    "inject_files": "injection",
    "NightConfig": "frames",
    "iter_cutouts": "cutout_sets",
    "load_set": "storage",
    "make_cutouts": "cutout_sets",
    "make_night": "nights",
    "render_trail": "psf",
    "write_montage": "montage",
    "write_pictures": "storage",
    "write_set": "storage",
}

__all__ = sorted(_FACE)


def __getattr__(name: str) -> Any:
    if name in _FACE:
        return getattr(importlib.import_module(f"streaks.synth.{_FACE[name]}"), name)
    raise AttributeError(f"module 'streaks.synth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})
