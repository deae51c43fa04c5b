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

from typing import TYPE_CHECKING

from streaks.lazy import lazy_face

if TYPE_CHECKING:
    from streaks.completeness.design import (
        stratified as stratified,
    )
    from streaks.completeness.forced import (
        Forced as Forced,
    )
    from streaks.completeness.forced import (
        Scene as Scene,
    )
    from streaks.completeness.forced import (
        look_at as look_at,
    )
    from streaks.completeness.forced import (
        measure_place as measure_place,
    )
    from streaks.completeness.logistic import (
        Curve as Curve,
    )
    from streaks.completeness.logistic import (
        count_interval as count_interval,
    )
    from streaks.completeness.logistic import (
        fit_curve as fit_curve,
    )
    from streaks.completeness.outcomes import (
        OUTCOMES as OUTCOMES,
    )
    from streaks.completeness.outcomes import (
        STAGES as STAGES,
    )
    from streaks.completeness.outcomes import (
        Outcome as Outcome,
    )
    from streaks.completeness.outcomes import (
        match_targets as match_targets,
    )
    from streaks.completeness.outcomes import (
        settle_outcomes as settle_outcomes,
    )
    from streaks.completeness.outcomes import (
        stage_flags as stage_flags,
    )
    from streaks.completeness.summary import (
        summarise as summarise,
    )
    from streaks.completeness.targets import (
        ENTRY_COLUMNS as ENTRY_COLUMNS,
    )
    from streaks.completeness.targets import (
        TARGET_COLUMNS as TARGET_COLUMNS,
    )
    from streaks.completeness.targets import (
        FrameView as FrameView,
    )
    from streaks.completeness.targets import (
        place_entries as place_entries,
    )
    from streaks.completeness.targets import (
        unplaced_outcome as unplaced_outcome,
    )
    from streaks.completeness.truth import (
        SNR_EDGES as SNR_EDGES,
    )
    from streaks.completeness.truth import (
        completeness_by_snr as completeness_by_snr,
    )
    from streaks.completeness.truth import (
        is_resolved as is_resolved,
    )
    from streaks.completeness.truth import (
        least_resolved_fwhm as least_resolved_fwhm,
    )
    from streaks.completeness.truth import (
        match_points as match_points,
    )
    from streaks.completeness.truth import (
        match_truth as match_truth,
    )
    from streaks.completeness.truth import (
        true_and_false as true_and_false,
    )
    from streaks.completeness.truth import (
        wilson_interval as wilson_interval,
    )

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

__getattr__, __dir__ = lazy_face(__name__, _FACE)
