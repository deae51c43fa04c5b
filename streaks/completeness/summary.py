"""Curves, maps and trends of what was found of a set of targets, as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.completeness.logistic import Curve, fit_curve
from streaks.completeness.outcomes import OUTCOMES, STAGES
from streaks.completeness.truth import wilson_interval
from streaks.tables import bare_column, text_column

__all__ = ["summarise"]

#: 95 % in standard deviations.
_SIGMA95 = 1.959964
#: No frame shows these: they count in no curve.
UNSEEN = ("in a gap", "off chip", "not observed", "not readable", "too slow")
#: Steps of a curve, bins of brightness at most, of rate, of angle, of each side of the chip.
_STEPS, _BINS, _RATES, _ANGLES, _CELLS = 60, 10, 4, 6, 4
#: Times of a night at most, and sources of a bin at least.
_TIMES, _LEAST = 24, 12


def summarise(results: QTable, shapes: dict[str, tuple[int, int]] | None = None) -> dict[str, Any]:
    """All figures of one set of targets.

    Parameters
    ----------
    results
        ``outcome, image, name, x, y, mag, expected_snr, rate, angle, mjd`` and, for the stages that
        were run, bool columns by the names of `STAGES`; n rows.
    shapes
        (ny, nx) by image, for the map.

    Returns
    -------
    dict
        Plain values, None where nothing is known: ``n, observed, variable, outcomes, stages,
        rates, angles, map, trend``. Intervals are of 95 %.
    """
    outcomes = text_column(results, "outcome")
    seen = ~np.isin(outcomes, UNSEEN)
    rows = results[seen]
    stages = [name for name in STAGES if name in results.colnames]
    variable, x = _brightness(rows)
    return {
        "n": len(results),
        "observed": int(seen.sum()),
        "variable": variable,
        "outcomes": [
            {"kind": kind, "meaning": meaning, "n": int((outcomes == kind).sum())}
            for kind, meaning in OUTCOMES.items()
            if (outcomes == kind).any()
        ],
        "stages": [_stage(name, rows, variable, x) for name in stages],
        "rates": _by_rate(rows, stages, variable, x),
        "angles": _by_bins(
            rows, stages, bare_column(rows, "angle"), np.linspace(0, 180, _ANGLES + 1)
        ),
        "map": _map(rows, stages, shapes or {}),
        "trend": _trend(rows, stages, variable, x),
    }


def _brightness(rows: QTable) -> tuple[str, NDArray[np.float64]]:
    """Magnitude, or S/N (as log10) where most have none."""
    mag = bare_column(rows, "mag")
    if np.isfinite(mag).sum() >= 0.8 * max(len(mag), 1):
        return "mag", mag
    snr = bare_column(rows, "expected_snr")
    snr = np.where(np.isfinite(snr), snr, bare_column(rows, "snr"))
    with np.errstate(invalid="ignore", divide="ignore"):
        return "snr", np.where(snr > 0, np.log10(snr), np.nan)


def _stage(name: str, rows: QTable, variable: str, x: NDArray[np.float64]) -> dict[str, Any]:
    hit = np.asarray(rows[name], bool)
    known = np.isfinite(x)
    curve = fit_curve([x[known]], hit[known], _movers(rows)[known])
    return {
        "name": name,
        **_share(hit),
        "depth50": _depth(curve, 0.5, variable),
        "depth90": _depth(curve, 0.9, variable),
        "ceiling": curve.ceiling if curve.n >= _LEAST else None,
        "effect": curve.effect,
        "curve": _drawn(curve, variable),
        "bins": _bins(x[known], hit[known], variable),
    }


def _depth(curve: Curve, share: float, variable: str) -> dict[str, float | None]:
    values = curve.depth(share)
    if variable == "snr":
        values = tuple(10**value for value in values)  # type: ignore[assignment]
    return dict(zip(("value", "low", "high"), map(_finite, values), strict=True))


def _drawn(curve: Curve, variable: str) -> list[dict[str, float | None]]:
    if curve.n < _LEAST:
        return []
    x = np.linspace(*curve.span, _STEPS)
    share, (low, high) = curve.share(x), curve.interval(x)
    at = 10**x if variable == "snr" else x
    return [
        {"x": _rounded(a), "share": _rounded(s), "low": _rounded(lo), "high": _rounded(hi)}
        for a, s, lo, hi in zip(at, share, low, high, strict=True)
    ]


def _bins(x: NDArray[np.float64], hit: NDArray[np.bool_], variable: str) -> list[dict[str, Any]]:
    if not len(x) or not np.ptp(x) > 0:
        return []
    n = int(np.clip(len(x) // _LEAST, 3, _BINS))
    edges = np.linspace(x.min(), x.max(), n + 1)
    edges[-1] += 1e-9
    made = []
    for low, high in pairwise(edges):
        inside = (x >= low) & (x < high)
        if inside.any():
            bounds = (10**low, 10**high) if variable == "snr" else (low, high)
            made.append({"from": float(bounds[0]), "to": float(bounds[1]), **_share(hit[inside])})
    return made


def _by_rate(
    rows: QTable, stages: Sequence[str], variable: str, x: NDArray[np.float64]
) -> list[dict[str, Any]]:
    rate = bare_column(rows, "rate")
    known = rate[np.isfinite(rate) & (rate > 0)]
    if len(known) < 2 * _LEAST:
        return []
    edges = np.quantile(known, np.linspace(0, 1, _RATES + 1))
    made = _by_bins(rows, stages, rate, edges)
    for one in made:
        inside = (rate >= one["from"]) & (rate <= one["to"]) & np.isfinite(x)
        names = _movers(rows)[inside]
        one["depth50"] = {
            stage: _depth(
                fit_curve([x[inside]], np.asarray(rows[stage], bool)[inside], names), 0.5, variable
            )
            for stage in stages
        }
    return made


def _by_bins(
    rows: QTable, stages: Sequence[str], values: NDArray[np.float64], edges: NDArray[np.float64]
) -> list[dict[str, Any]]:
    made = []
    for k, (low, high) in enumerate(pairwise(edges)):
        inside = (values >= low) & ((values < high) | ((k == len(edges) - 2) & (values <= high)))
        if inside.any():
            shares = {stage: _share(np.asarray(rows[stage], bool)[inside]) for stage in stages}
            made.append({"from": float(low), "to": float(high), "stages": shares})
    return made


def _map(
    rows: QTable, stages: Sequence[str], shapes: dict[str, tuple[int, int]]
) -> list[dict[str, Any]]:
    """Shares on a grid over the chip, y upwards, all frames together."""
    if not shapes or not stages:
        return []
    sizes = np.array([shapes.get(image, (0, 0)) for image in text_column(rows, "image")]).reshape(
        -1, 2
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        column = np.floor(_CELLS * (bare_column(rows, "x") + 0.5) / sizes[:, 1])
        line = np.floor(_CELLS * (bare_column(rows, "y") + 0.5) / sizes[:, 0])
    made = []
    for j in range(_CELLS):
        for i in range(_CELLS):
            inside = (column == i) & (line == j)
            shares = {stage: _share(np.asarray(rows[stage], bool)[inside]) for stage in stages}
            made.append({"column": i, "line": j, "stages": shares})
    return made


def _trend(
    rows: QTable, stages: Sequence[str], variable: str, x: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Shares over the night beside what the whole night's curve expects of the same sources.

    The ratio is what changed with time: a run of faint sources is no worse night.
    """
    mjd = bare_column(rows, "mjd")
    times = np.unique(mjd[np.isfinite(mjd)])
    if len(times) < 2:
        return []
    known = np.isfinite(x)
    names = _movers(rows)
    curves = {
        stage: fit_curve([x[known]], np.asarray(rows[stage], bool)[known], names[known])
        for stage in stages
    }
    made = []
    for group in np.array_split(times, min(len(times), _TIMES)):
        inside = (mjd >= group[0]) & (mjd <= group[-1])
        shares = {}
        for stage in stages:
            part = inside & known
            expected = float(curves[stage].share(x[part]).mean()) if part.any() else math.nan
            shares[stage] = {
                **_share(np.asarray(rows[stage], bool)[inside]), "expected": _finite(expected)
            }  # fmt: skip
        made.append({"mjd": float(group.mean()), "frames": len(group), "stages": shares})
    return made


def _share(hit: NDArray[np.bool_]) -> dict[str, Any]:
    n, found = len(hit), int(hit.sum())
    low, high = wilson_interval(found, n, _SIGMA95)
    return {
        "n": n, "found": found, "share": found / n if n else None, "low": low, "high": high,
    }  # fmt: skip


def _movers(rows: QTable) -> NDArray[np.str_]:
    """Names that are the same for sources of one object; those without are each their own."""
    names = text_column(rows, "name")
    alone = [f" {k}" for k in range(len(names))]
    return np.where(names == "", alone, names) if len(names) else names


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _rounded(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None
