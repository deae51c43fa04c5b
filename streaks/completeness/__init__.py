"""How much of what is really there was found, and why the rest was not.

The modules inside:

- ``truth``: which true streaks were found; shares with intervals;
- ``logistic``: completeness curves with intervals, depth, how many should be found;
- ``design``: where and how bright injections are, stratified;
- ``targets``: entries of a list placed in frames; ``forced``: what light lies at a place;
- ``outcomes``: exactly one outcome an entry; ``summary``: curves, maps and trends of all of them.

Nothing here opens a file, searches a frame or draws a streak.
"""

from __future__ import annotations

import importlib
from typing import Any

_FACE = {
    "Curve": "logistic",
    "ENTRY_COLUMNS": "targets",
    "Forced": "forced",
    "FrameView": "targets",
    "OUTCOMES": "outcomes",
    "Outcome": "outcomes",
    "SNR_EDGES": "truth",
    "Scene": "forced",
    "STAGES": "outcomes",
    "TARGET_COLUMNS": "targets",
    "completeness_by_snr": "truth",
    "count_interval": "logistic",
    "fit_curve": "logistic",
    "is_resolved": "truth",
    "least_resolved_fwhm": "truth",
    "look_at": "forced",
    "match_points": "truth",
    "match_targets": "outcomes",
    "match_truth": "truth",
    "measure_place": "forced",
    "place_entries": "targets",
    "settle_outcomes": "outcomes",
    "stage_flags": "outcomes",
    "stratified": "design",
    "summarise": "summary",
    "true_and_false": "truth",
    "unplaced_outcome": "targets",
    "wilson_interval": "truth",
}

__all__ = sorted(_FACE)


def __getattr__(name: str) -> Any:
    if name in _FACE:
        return getattr(importlib.import_module(f"streaks.completeness.{_FACE[name]}"), name)
    raise AttributeError(f"module 'streaks.completeness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})
