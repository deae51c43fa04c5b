"""Figures of a completeness page as SVG: curves, shares by rate and angle, chip, night.

Nothing but numbers and fixed words goes into them; colours are the page's own classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = [
    "SHORT_STAGE_WORDS",
    "STAGE_WORDS",
    "chip_map",
    "completeness_curves",
    "night_trend",
    "outcome_bars",
]

#: Stages in the page's words.
STAGE_WORDS = {
    "detected": "after detection",
    "named": "after naming",
    "kept": "after the verdict",
}
#: The same, for narrow columns.
SHORT_STAGE_WORDS = {"detected": "detected", "named": "named", "kept": "kept"}
_WIDTH, _HEIGHT = 720, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 44
_MAP_PX = 200

Point = Mapping[str, Any]


def completeness_curves(stages: Sequence[Point], variable: str) -> str:
    """Share found against brightness, a curve with its band a stage, and counts in bins.

    Parameters
    ----------
    stages
        As `streaks.completeness.summarise` gives them.
    variable
        ``mag`` or ``snr``.

    Returns
    -------
    str
        SVG; empty where no curve was fitted, or all were found or none.
    """
    drawn = [stage for stage in stages if stage["curve"]]
    if all(stage["found"] in (0, stage["n"]) for stage in drawn):
        return ""
    if not drawn:
        return ""
    logarithm = variable == "snr"
    xs = [point["x"] for stage in drawn for point in stage["curve"]]
    x_at = _axis(min(xs), max(xs), logarithm)
    parts = [_open("completeness against " + ("magnitude" if variable == "mag" else "S/N"))]
    parts += _frame(_ticks(min(xs), max(xs), logarithm), x_at,
                    "magnitude" if variable == "mag" else "expected S/N")  # fmt: skip
    for stage in drawn:
        name = stage["name"]
        upper = [f"{x_at(p['x']):.1f} {_y(p['high']):.1f}" for p in stage["curve"]]
        lower = [f"{x_at(p['x']):.1f} {_y(p['low']):.1f}" for p in reversed(stage["curve"])]
        parts.append(f'<path d="M{"L".join(upper + lower)}Z" class="band {name}"/>')
    for k, stage in enumerate(drawn):
        name = stage["name"]
        middle = [f"{x_at(p['x']):.1f} {_y(p['share']):.1f}" for p in stage["curve"]]
        parts.append(f'<path d="M{"L".join(middle)}" class="curve {name}"/>')
        parts += [_bin(one, x_at, name, 4.0 * (k - 1), logarithm) for one in stage["bins"]]
    return "".join([*parts, "</svg>"])


def _bin(
    one: Point, x_at: Callable[[float], float], name: str, shift: float, logarithm: bool
) -> str:
    middle = math.sqrt(one["from"] * one["to"]) if logarithm else 0.5 * (one["from"] + one["to"])
    x = x_at(middle) + shift
    return (
        f'<path d="M{x:.1f} {_y(one["low"]):.1f}V{_y(one["high"]):.1f}" class="bar {name}"/>'
        f'<circle cx="{x:.1f}" cy="{_y(one["share"]):.1f}" r="3" class="dot {name}">'
        f"<title>{one['found']} of {one['n']}</title></circle>"
    )


def night_trend(trend: Sequence[Point]) -> str:
    """Share found over the night over what the whole night's curve expects of the same sources.

    Parameters
    ----------
    trend
        As `streaks.completeness.summarise` gives it.

    Returns
    -------
    str
        SVG; empty for fewer than two times.
    """
    if len(trend) < 2:
        return ""
    first = trend[0]["mjd"]
    hours = [24.0 * (one["mjd"] - first) for one in trend]
    unit = "hours"
    if max(hours) < 2.0:
        hours, unit = [60.0 * value for value in hours], "minutes"
    x_at = _axis(0.0, max(max(hours), 1e-6), False)
    parts = [_open("share found over the night")]
    parts += _frame(_ticks(0.0, max(hours), False), x_at, f"{unit} since the first exposure")
    names = list(trend[0]["stages"])
    for k, name in enumerate(names):
        expected = []
        for hour, one in zip(hours, trend, strict=True):
            value = one["stages"][name]
            if value["share"] is None:
                continue
            x = x_at(hour) + 4.0 * (k - 1)
            parts.append(
                f'<path d="M{x:.1f} {_y(value["low"]):.1f}V{_y(value["high"]):.1f}" '
                f'class="bar {name}"/><circle cx="{x:.1f}" cy="{_y(value["share"]):.1f}" r="3" '
                f'class="dot {name}"><title>{value["found"]} of {value["n"]}</title></circle>'
            )
            if value["expected"] is not None:
                expected.append(f"{x_at(hour):.1f} {_y(value['expected']):.1f}")
        if len(expected) > 1:
            parts.append(f'<path d="M{"L".join(expected)}" class="expected {name}"/>')
    return "".join([*parts, "</svg>"])


def chip_map(cells: Sequence[Point], stage: str) -> str:
    """Share found over the chip, y upwards; the number of sources in each cell.

    Parameters
    ----------
    cells
        As `streaks.completeness.summarise` gives its map.
    stage
        Whose share is shown.

    Returns
    -------
    str
        SVG; empty without cells.
    """
    if not cells:
        return ""
    n = 1 + max(cell["column"] for cell in cells)
    side = _MAP_PX / n
    parts = [
        f'<svg viewBox="0 0 {_MAP_PX} {_MAP_PX}" role="img" class="figure chipmap" '
        f'aria-label="share found over the chip, {STAGE_WORDS[stage]}">'
    ]
    for cell in cells:
        value = cell["stages"][stage]
        x, y = cell["column"] * side, _MAP_PX - (cell["line"] + 1) * side
        share = value["share"]
        shade = 0.0 if share is None else 0.08 + 0.62 * share
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}" '
            f'class="cell {stage}" fill-opacity="{shade:.2f}"/>'
        )
        words = "–" if share is None else f"{100 * share:.0f} %"
        middle = x + side / 2
        parts.append(
            f'<text x="{middle:.1f}" y="{y + side / 2:.1f}" text-anchor="middle">{words}</text>'
            f'<text x="{middle:.1f}" y="{y + side / 2 + 13:.1f}" text-anchor="middle" '
            f'class="small">of {value["n"]}</text>'
        )
    return "".join([*parts, "</svg>"])


def outcome_bars(outcomes: Sequence[Point]) -> list[dict[str, Any]]:
    """Widths of bars, for the page's own boxes.

    Parameters
    ----------
    outcomes
        As `streaks.completeness.summarise` gives them.

    Returns
    -------
    list of dict
        ``kind, meaning, n, width`` (per cent of the longest).
    """
    most = max((one["n"] for one in outcomes), default=1) or 1
    return [{**one, "width": round(100.0 * one["n"] / most, 1)} for one in outcomes]


def _axis(low: float, high: float, logarithm: bool) -> Callable[[float], float]:
    scale = math.log10 if logarithm else float
    a, b = scale(low), scale(high)
    wide = (b - a) or 1.0
    return lambda x: _LEFT + (scale(x) - a) / wide * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _TOP + (1.0 - min(max(share, 0.0), 1.0)) * (_HEIGHT - _TOP - _BOTTOM)


def _open(words: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="figure" aria-label="{words}">'


def _frame(ticks: Sequence[float], x_at: Callable[[float], float], words: str) -> list[str]:
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0):
        y = _y(share)
        kind = "grid-line strong" if share in (0.5, 0.9) else "grid-line"
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" class="{kind}"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>'
        )
    for value in ticks:
        x = x_at(value)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" class="grid-line"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{value:g}</text>'
        )
    middle = 0.5 * (_LEFT + _WIDTH - _RIGHT)
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{words}</text>')
    return parts


def _ticks(low: float, high: float, logarithm: bool) -> list[float]:
    if logarithm:
        steps = [m * 10.0**k for k in range(-2, 5) for m in (1, 2, 3, 5, 7)]
        return [value for value in steps if low <= value <= high]
    wide = high - low
    if not wide > 0:
        return [low]
    steps = [m * 10.0**k for k in range(-5, 4) for m in (1, 2, 2.5, 5)]
    step = next((s for s in steps if wide / s <= 9), wide)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 8) for k in range(first, math.floor(high / step + 1e-9) + 1)]
