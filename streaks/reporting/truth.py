"""Found beside the truth, for the night's page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.completeness import completeness_by_snr
from streaks.geometry import Segment, angle_difference_deg
from streaks.palette import class_colour
from streaks.reporting.rows import Columns, bare_columns, finite, number, text

__all__ = ["truth_section"]

#: What a finder is asked for: light in the sky. Artifacts of the truth are counted out.
_WANTED = ("asteroid", "satellite")


def truth_section(
    streaks: QTable,
    truth: QTable,
    found: NDArray[np.int64],
    candidates: Sequence[int] = (),
) -> dict[str, Any]:
    """Counts, completeness and purity by S/N, and each true streak beside what was measured.

    Parameters
    ----------
    streaks
        What was found.
    truth
        With ``streak_id, image, x0, y0, x1, y1`` and, where there are any, ``label, snr``.
    found
        For each row of `truth` the row of `streaks`, or -1.
    candidates
        Rows of `streaks` that are called asteroids.

    Returns
    -------
    dict
        What the page's template asks for.
    """
    seen, true = bare_columns(streaks), bare_columns(truth)
    labels = [text(true, i, "label") for i in range(len(truth))]
    wanted = [i for i in range(len(truth)) if (not labels[i] or labels[i] in _WANTED)]
    wanted = [i for i in wanted if np.isfinite(_segment(true, i).length_px)]
    snr = np.array([number(true, i, "snr") for i in range(len(truth))])
    hit = found >= 0
    return {
        "n": len(wanted),
        "n_found": sum(bool(hit[i]) for i in wanted),
        "by_class": _by_class(labels, hit, wanted),
        "bins": _bins(snr[wanted], hit[wanted]),
        "purity": _purity(seen, candidates, _asteroids_found(labels, found)),
        "misnamed": _misnamed(seen, labels, found, wanted),
        "found": [_found_row(seen, true, i, int(found[i])) for i in wanted if hit[i]],
        "missed": [_missed_row(true, i) for i in wanted if not hit[i]],
        "others": _others(seen, len(streaks), found),
    }


def _by_class(labels: list[str], hit: NDArray[np.bool_], wanted: list[int]) -> list[dict[str, Any]]:
    total = Counter(labels[i] for i in wanted)
    got = Counter(labels[i] for i in wanted if hit[i])
    return [
        {"name": name or "streak", "n": n, "found": got[name], "colour": class_colour(name)}
        for name, n in sorted(total.items())
    ]


def _bins(snr: NDArray[Any], hit: NDArray[np.bool_]) -> list[dict[str, Any]]:
    made = []
    for row in completeness_by_snr(snr, hit):
        high = float(row["snr_high"])
        made.append(
            {
                "range": f"{row['snr_low']:.0f}–{high:.0f}"
                if math.isfinite(high)
                else f"> {row['snr_low']:.0f}",
                "n": int(row["n"]),
                "found": int(row["found"]),
                "percent": 100 * float(row["completeness"]),
                "low": 100 * float(row["low"]),
                "high": 100 * float(row["high"]),
            }
        )
    return made


def _asteroids_found(labels: list[str], found: NDArray[np.int64]) -> set[int]:
    """Rows that are true asteroids; a truth without classes is of asteroids."""
    return {
        int(j)
        for label, j in zip(labels, found, strict=True)
        if j >= 0 and label in ("", "asteroid")
    }


def _purity(streaks: Columns, candidates: Sequence[int], true: set[int]) -> list[dict[str, Any]]:
    """Of what is called an asteroid, the share that is one, by the measured S/N."""
    snr = np.array([number(streaks, i, "snr") for i in candidates])
    return _bins(snr, np.array([i in true for i in candidates], dtype=bool))


def _misnamed(
    streaks: Columns, labels: list[str], found: NDArray[np.int64], wanted: list[int]
) -> list[dict[str, Any]]:
    """What was found and called something else: how many of which class, called what."""
    pairs = Counter(
        (labels[i], text(streaks, int(found[i]), "label"))
        for i in wanted
        if found[i] >= 0 and labels[i]
    )
    return [
        {
            "true": true,
            "called": called,
            "n": n,
            "true_colour": class_colour(true),
            "called_colour": class_colour(called),
        }
        for (true, called), n in pairs.most_common()
        if called and called != true
    ]


def _found_row(streaks: Columns, truth: Columns, i: int, j: int) -> dict[str, Any]:
    true, seen = _segment(truth, i), _segment(streaks, j)
    (tx, ty), (sx, sy) = true.midpoint, seen.midpoint
    label = text(streaks, j, "label")
    return {
        **_missed_row(truth, i),
        "found_id": text(streaks, j, "streak_id"),
        "found_label": label,
        "found_colour": class_colour(label),
        "found_snr": finite(number(streaks, j, "snr")),
        "off_px": math.hypot(sx - tx, sy - ty),
        "length_found": seen.length_px,
        "turn_deg": float(angle_difference_deg(seen.theta_deg, true.theta_deg)),
        "found_known": text(streaks, j, "ssnamenr") if number(streaks, j, "ssdistnr") >= 0 else "",
    }


def _missed_row(truth: Columns, i: int) -> dict[str, Any]:
    true = _segment(truth, i)
    label = text(truth, i, "label")
    return {
        "streak_id": text(truth, i, "streak_id"),
        "image": text(truth, i, "image"),
        "label": label,
        "colour": class_colour(label),
        "x": true.midpoint[0],
        "y": true.midpoint[1],
        "length": true.length_px,
        "theta": true.theta_deg,
        "snr": finite(number(truth, i, "snr")),
        "name": text(truth, i, "name"),
    }


def _others(streaks: Columns, n: int, found: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Streaks that are no true one, by class: what a person would look at for nothing."""
    matched = {int(j) for j in found if j >= 0}
    counts = Counter(text(streaks, i, "label") for i in range(n) if i not in matched)
    return [
        {"name": name or "not classified", "n": n, "colour": class_colour(name)}
        for name, n in counts.most_common()
    ]


def _segment(table: Columns, row: int) -> Segment:
    return Segment(*(number(table, row, name) for name in ("x0", "y0", "x1", "y1")))
