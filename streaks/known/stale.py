"""Spells in which a survey's own orbits were stale: its distances are wrong night after night.

The detections sit on the asteroids, but the distances that the survey writes beside them do not
fall to zero. One such alert is an accident; a run of them is a spell. Nights are told apart by the
likeliest sequence of two states, fresh and stale (Viterbi 1967, IEEE Trans. Inf. Theory 13, 260).
"""

from __future__ import annotations

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.tables import ColumnSpec, build_table

__all__ = ["SPELL_COLUMNS", "stale_spells"]

Floats = NDArray[np.float64]

SPELL_COLUMNS = (
    ColumnSpec("start", str, None, "first night (UTC date)"),
    ColumnSpec("end", str, None, "last night (UTC date)"),
    ColumnSpec("nights", int, None, "nights with claims that can be judged"),
    ColumnSpec("alerts", int, None, "such claims: an object named, found under that name"),
    ColumnSpec("stale", int, None, "those of a distance that is too large"),
    ColumnSpec("excess", float, "arcsec", "median of the survey's distance less the true one"),
)
#: A claim is suspect where it exceeds the true distance by more than rounding to 1 arcsec (0.5)
#: and the scatter of fresh orbits (0.25), and plainly wrong from 3 arcsec.
_SUSPECT_ARCSEC, _WRONG_ARCSEC = 0.75, 3.0
#: Chances of a claim being right, suspect or wrong. Fresh orbits: 12 % suspect, as real alerts of
#: quiet months have it, and hardly ever wrong; stale ones: 5 % right by luck.
_FRESH = np.log([0.875, 0.12, 0.005])
_STALE = np.log([0.05, 0.60, 0.35])
#: Chance that a night begins or ends a spell.
_CHANGE = np.log(0.01)
_STAY = np.log(0.99)


def stale_spells(checked: QTable) -> QTable:
    """Spells among checked alerts.

    Parameters
    ----------
    checked
        What `streaks.known.check_alerts` gives: with ``jd, ssdistnr, sep, verdict``.

    Returns
    -------
    QTable
        `SPELL_COLUMNS`, a row a spell in order of time; no rows for none.
    """
    jd, excess = _judged(checked)
    days, which = np.unique(np.floor(jd - 0.5) + 0.5, return_inverse=True)
    kind = np.digitize(excess, [_SUSPECT_ARCSEC, _WRONG_ARCSEC])
    scores = np.zeros((len(days), 2))
    np.add.at(scores, which, np.stack([_FRESH[kind], _STALE[kind]], axis=-1))
    spells = [
        _spell(days[first : last + 1], excess[(which >= first) & (which <= last)])
        for first, last in _runs(_likeliest(scores))
    ]
    return build_table(SPELL_COLUMNS, {c.name: [s[c.name] for s in spells] for c in SPELL_COLUMNS})


def _judged(checked: QTable) -> tuple[Floats, Floats]:
    """Times and excess distances (arcsec) of claims about an object that is there."""
    verdict = np.array(checked["verdict"], dtype=str)
    # A wrong magnitude goes with a right distance; other verdicts are not about distance.
    rows = np.isin(verdict, ["agree", "wrong_distance", "wrong_magnitude"])
    jd, claimed, sep = (_plain(checked[rows], name) for name in ("jd", "ssdistnr", "sep"))
    good = np.isfinite(jd) & np.isfinite(claimed) & np.isfinite(sep) & (claimed > -99.0)
    return jd[good], (claimed - sep)[good]


def _plain(table: QTable, name: str) -> Floats:
    column = np.ma.asarray(getattr(table[name], "value", table[name]))
    return np.asarray(np.ma.filled(column.astype(float), np.nan), dtype=float)


def _likeliest(scores: Floats) -> NDArray[np.bool_]:
    """Whether each night is stale, in the likeliest sequence."""
    n = len(scores)
    stale = np.zeros(n, dtype=bool)
    if n == 0:
        return stale
    best = scores[0] + np.array([_STAY, _CHANGE])
    came_from = np.zeros((n, 2), dtype=int)
    step = np.array([[_STAY, _CHANGE], [_CHANGE, _STAY]])
    for night in range(1, n):
        through = best[:, None] + step
        came_from[night] = np.argmax(through, axis=0)
        best = through.max(axis=0) + scores[night]
    state = int(np.argmax(best))
    for night in range(n - 1, -1, -1):
        stale[night] = state == 1
        state = came_from[night, state]
    return stale


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _spell(days: Floats, excess: Floats) -> dict[str, object]:
    return {
        "start": _date(days[0]),
        "end": _date(days[-1]),
        "nights": len(days),
        "alerts": len(excess),
        "stale": int(np.count_nonzero(excess > _SUSPECT_ARCSEC)),
        "excess": float(np.median(excess)),
    }


def _date(jd: float) -> str:
    return str(Time(jd, format="jd", scale="utc").strftime("%Y-%m-%d"))
