"""A run's streaks with their verdict: `p_real`, reasons, groups, and an order to read them in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import VerdictConfig
from streaks.tables import (
    CLASS_COLUMNS,
    VERDICT_COLUMNS,
    StreakFlag,
    bare_column,
    build_table,
    counted,
)
from streaks.verdict.evidence import EVIDENCE_PREFIX
from streaks.verdict.exposures import Exposure, Seen, kinds_of, look_elsewhere
from streaks.verdict.groups import find_groups
from streaks.verdict.numbers import numbers_of
from streaks.verdict.reasons import reasons_of
from streaks.verdict.weighing import (
    VerdictModel,
    expected_false,
    fitted_share,
    probabilities,
)

__all__ = [
    "LINES_AT",
    "Line",
    "candidates_in_words",
    "count_candidates",
    "expected_lines",
    "judge_streaks",
    "without_evidence",
]

#: Quadrants that ZTF takes in a night: 1000 exposures of 64.
_QUADRANTS_A_NIGHT = 64_000
#: Images from which on a rate is told for a night of ZTF: as many as one exposure's.
_ENOUGH_IMAGES = 64
#: Lines are drawn in a list where so many false ones are expected.
LINES_AT = (1, 10, 100)
#: A trail across the image: this bright, this long from edge to edge, or so long that no asteroid's
#: is. Of 547 such lines in 58 simulated nights (seeds 5000 and 6000 on) 545 are satellites, and
#: pictures of 128 px had every tenth of them wrong.
_CROSSING_SNR, _EDGE_TO_EDGE_PX, _ENDLESS_PX = 20.0, 250.0, 1500.0
#: Along rows and columns, to this share of its length, such a line is the detector's.
_ALIGNED = 0.01
#: A sum of probabilities is not off by more than this.
_ROUNDING = 1.0 + 1e-9


@dataclass(frozen=True)
class Line:
    """Where a list may be cut.

    Parameters
    ----------
    expected_false
        Among all above the cut.
    n_above
        Streaks above it.
    p_real
        Of the last one above it; NaN where there is none.
    """

    expected_false: int
    n_above: int
    p_real: float


def judge_streaks(
    streaks: QTable,
    model: VerdictModel | None,
    *,
    exposures: Sequence[Exposure] = (),
    tracklets: QTable | None = None,
    config: VerdictConfig | None = None,
) -> QTable:
    """The streaks of a run with what all evidence together comes to.

    Parameters
    ----------
    streaks
        Of all images of the run, with evidence (`streaks.verdict.frame_evidence`), class columns
        and ``tracklet``, where there are any.
    model
        That weighs them; None leaves the table as it is, but for the evidence.
    exposures
        Where and when each image looked.
    tracklets
        With ``tracklet`` and ``kind``, of those that the streaks name.
    config
        What is usual on the sky.

    Returns
    -------
    QTable
        The same rows in the same order, with `VERDICT_COLUMNS` in place of evidence. A candidate's
        ``label`` is ``asteroid``, whatever its picture is taken for. ``p_real`` is
        NaN for a streak without evidence or classes. ``meta["asteroid_share"]`` is the share of
        asteroids that was fitted.
    """
    judged = without_evidence(streaks)
    if model is None:
        return judged
    config = VerdictConfig() if config is None else config
    numbers = numbers_of(streaks)
    seen = _seen(streaks, exposures, tracklets)
    ratio = model.log_ratio(numbers)
    ratio += np.array([model.exposures.get(str(state), 0.0) for state in seen.state])
    ratio[~_weighed(streaks)] = np.nan
    ratio = _of_objects(ratio, streaks, seen)
    share = fitted_share(ratio, config)
    p_real = probabilities(ratio, share)
    flags = np.asarray(streaks["flags"], dtype=np.int64)
    columns = build_table(
        VERDICT_COLUMNS,
        {
            "p_real": p_real,
            "reasons": reasons_of(numbers, flags, _in_words(streaks, seen)),
            "group": find_groups(streaks, p_real, config.min_p_real),
        },
    )
    for name in columns.colnames:
        judged[name] = columns[name]
    if "label" in judged.colnames:
        judged["label"] = _labels(judged, p_real >= config.min_p_real)
        judged["label"].info.description = CLASS_COLUMNS[0].description
    judged.meta["asteroid_share"] = share
    return judged


def without_evidence(streaks: QTable) -> QTable:
    """The table without the columns of evidence, which are for verdicts only.

    Parameters
    ----------
    streaks
        With or without them.

    Returns
    -------
    QTable
        Shares its columns with `streaks`.
    """
    names = [name for name in streaks.colnames if not name.startswith(EVIDENCE_PREFIX)]
    told = QTable(copy=False)
    for name in names:
        told[name] = streaks[name]
    told.meta.update(streaks.meta)
    return told


def expected_lines(p_real: NDArray[Any]) -> tuple[Line, ...]:
    """Where 1, 10 and 100 false ones are expected among what is above.

    Parameters
    ----------
    p_real : (n,)
        In any order.

    Returns
    -------
    tuple of Line
        One for each of `LINES_AT` that fewer than all streaks lie above.
    """
    p = np.asarray(p_real, float)
    p = p[np.isfinite(p)]
    expected, lines = expected_false(p), []
    for most in LINES_AT:
        above = p[expected <= most * _ROUNDING]
        if len(above) < len(p):
            last = float(above.min()) if len(above) else math.nan
            lines.append(Line(most, len(above), last))
    return tuple(lines)


def count_candidates(streaks: QTable, min_p_real: float) -> tuple[int, float]:
    """How many candidates a run has, and how many of them are expected to be false.

    Parameters
    ----------
    streaks
        Of the run.
    min_p_real
        Of a candidate.

    Returns
    -------
    n : int
    expected_false : float
        NaN where nothing was weighed.
    """
    if "p_real" not in streaks.colnames:
        return 0, math.nan
    p_real = np.asarray(streaks["p_real"], float)
    above = p_real[p_real >= min_p_real]
    return len(above), float((1.0 - above).sum())


def candidates_in_words(n: int, expected_false: float, n_images: int) -> str:
    """How many candidates a run has, and how many of them are expected to be false.

    Parameters
    ----------
    n
        Candidates.
    expected_false
        Of these; NaN where nothing was weighed.
    n_images
        That were searched.

    Returns
    -------
    str
        One line; empty where nothing was weighed. What the rate means for a night of ZTF is told
        from `_ENOUGH_IMAGES` images on: of fewer it would be a guess.
    """
    if math.isnan(expected_false):
        return ""
    if n == 0:
        return "no candidates"
    false = f"{expected_false:.2g}" if expected_false < 10 else f"{expected_false:,.0f}"
    text = f"{counted(n, 'candidate')}, {false} expected to be false"
    if n_images >= _ENOUGH_IMAGES:
        a_night = expected_false / n_images * _QUADRANTS_A_NIGHT
        text += f" (at that rate {a_night:,.0f} in a ZTF night of {_QUADRANTS_A_NIGHT:,} quadrants)"
    return text


def _seen(streaks: QTable, exposures: Sequence[Exposure], tracklets: QTable | None) -> Seen:
    n = len(streaks)
    if "tracklet" not in streaks.colnames:
        alone = np.full(n, "alone", dtype="U16")
        return Seen(alone, np.zeros(n, np.int64), np.zeros(n, np.int64))
    kinds = {} if tracklets is None else kinds_of(tracklets)
    return look_elsewhere(streaks, exposures, kinds)


def _weighed(streaks: QTable) -> NDArray[np.bool_]:
    """Which rows have evidence and classes: parts of a night may be of an older version."""
    told = np.ones(len(streaks), bool)
    for name in ("p_asteroid", f"{EVIDENCE_PREFIX}fwhm_px"):
        if name not in streaks.colnames:
            return np.zeros(len(streaks), bool)
        told &= np.isfinite(np.asarray(streaks[name], float))
    return told


def _of_objects(ratio: NDArray[np.float64], streaks: QTable, seen: Seen) -> NDArray[np.float64]:
    """One body is one verdict: the mean of what its sightings tell."""
    moving = np.char.startswith(seen.state, "moved_on")
    if not moving.any():
        return ratio
    names = np.asarray(streaks["tracklet"]).astype(str)
    shared = ratio.copy()
    for name in set(names[moving].tolist()):
        rows = np.flatnonzero(names == name)
        told = ratio[rows][np.isfinite(ratio[rows])]
        if len(told):
            shared[rows] = told.mean()
    return shared


def _labels(streaks: QTable, candidate: NDArray[np.bool_]) -> NDArray[np.str_]:
    """A body that all evidence together calls an asteroid has that class, whatever one picture is
    taken for; so has a satellite, of which a picture shows a small part."""
    labels = np.asarray(streaks["label"]).astype(str)
    return np.where(candidate, "asteroid", np.where(_crossing(streaks), "satellite", labels))


def _crossing(streaks: QTable) -> NDArray[np.bool_]:
    """Bright trails from edge to edge, or nearly."""
    x0, y0, x1, y1, length, snr = (
        bare_column(streaks, name) for name in ("x0", "y0", "x1", "y1", "length", "snr")
    )
    flags = np.asarray(streaks["flags"], dtype=np.int64)
    both = int(StreakFlag.EDGE_0 | StreakFlag.EDGE_1)
    no_trail = StreakFlag.SPIKE | StreakFlag.REPEAT | StreakFlag.NEGATIVE | StreakFlag.FIT_FAILED
    aligned = np.minimum(np.abs(x1 - x0), np.abs(y1 - y0)) < _ALIGNED * length
    ends = (flags & both) == both
    long = (length >= _ENDLESS_PX) | (ends & (length >= _EDGE_TO_EDGE_PX))
    return np.asarray(long & (snr >= _CROSSING_SNR) & ~aligned & ((flags & int(no_trail)) == 0))


def _in_words(streaks: QTable, seen: Seen) -> NDArray[np.str_]:
    n_words = []
    times = _times_of_tracklets(streaks, seen)
    for row, state in enumerate(seen.state.tolist()):
        n = int(seen.n_expected[row])
        n_words.append(
            {
                "moved_on": times[row],
                "moved_on_twice": times[row],
                "not_seen_once": "not seen again where it should be: 1 exposure",
                "not_seen_more": f"not seen again where it should be: {n} exposures",
                "piece": "a piece of a trail in other images of the exposure",
                "stands_still": "a streak stands there at another time",
                "same_pixels": "the same place of the chip shows one in other images",
            }.get(state, "")
        )
    return np.array(n_words, dtype=str) if n_words else np.zeros(0, "U1")


def _times_of_tracklets(streaks: QTable, seen: Seen) -> list[str]:
    moving = np.char.startswith(seen.state, "moved_on")
    words = [""] * len(streaks)
    if not moving.any():
        return words
    names = np.asarray(streaks["tracklet"]).astype(str)
    times = [str(time) for time in streaks["time"]]
    members: dict[str, list[int]] = {}
    for row in np.flatnonzero(moving).tolist():
        members.setdefault(str(names[row]), []).append(row)
    for rows in members.values():
        for row in rows:
            others = sorted(times[i][11:19] for i in rows if i != row)
            words[row] = f"seen again at {', '.join(others)}"
    return words
