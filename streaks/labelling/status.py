"""How a campaign stands: its votes, its volunteers, its subjects, in plain values.

Volunteers appear as salted hashes only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import InputError
from streaks.labelling.agreement import agreement_of, fleiss_kappa
from streaks.labelling.answers import Answers
from streaks.labelling.consensus import (
    ConsensusRules,
    Counts,
    count_votes,
    fit_answers,
    model_outputs,
)
from streaks.labelling.dawid_skene import PooledVotes
from streaks.labelling.questions import REAL
from streaks.tables import UNRESOLVED

__all__ = ["campaign_status"]

_DAY_S = 86400.0
#: Days that are listed one by one; of longer campaigns the last ones.
_MOST_DAYS = 366
#: Volunteers that are listed, those of most votes, and among whom pairs are compared.
_LISTED, _COMPARED, _MOST_PAIRS = 50, 20, 20
#: Pairs that judged fewer subjects together say nothing.
_LEAST_SHARED = 10
#: Days by which the pace is measured.
_PACE_DAYS = 7
#: Of a normal distribution: 95 %.
_Z = 1.959964


def campaign_status(answers: Answers, rules: ConsensusRules | None = None) -> dict[str, Any]:
    """The figures of a campaign.

    Parameters
    ----------
    answers
        Of an export, read with a salt.
    rules
        When votes agree and a subject is done; the usual ones when not given.

    Returns
    -------
    dict
        Plain values for JSON; unknown numbers are None. No name of a volunteer is in it.

    Raises
    ------
    InputError
        If there are no answers, or they were read without a salt.
    """
    if not answers.hashes:
        raise InputError("volunteers are told as hashes only: read the answers with a salt")
    rules = ConsensusRules() if rules is None else rules
    counts = count_votes(answers, rules)
    fitted = fit_answers(answers)
    firsts = _first_answers(answers)
    return {
        "question": answers.question,
        "outputs": list(answers.outputs),
        "rules": {
            "min_votes": rules.min_votes,
            "min_share": rules.min_share,
            "max_votes": rules.max_votes,
        },
        "subjects": len(answers.names),
        "votes": len(firsts),
        "volunteers": len({int(v) for v in answers.volunteer}),
        "unresolved_is_skip": answers.question == "kind" and UNRESOLVED not in answers.outputs,
        "days": _days(answers, firsts),
        "retirement": _retirement(answers, counts, rules, firsts),
        "agreement": _agreement(answers, firsts),
        "classes": _classes(answers, counts, fitted),
        "gold": _gold(answers, firsts),
        "people": _people(answers, fitted, firsts),
        "model": _model(answers, fitted),
        "not_understood": dict(Counter(answers.not_understood).most_common(20)),
        "bad_rows": len(answers.bad_rows),
    }


def _first_answers(answers: Answers) -> NDArray[np.int64]:
    """Rows of the votes, one for each volunteer and subject: the first of several answers."""
    pairs = np.stack([answers.subject, answers.volunteer])
    _, first = np.unique(pairs, axis=1, return_index=True)
    return np.sort(first).astype(np.int64)


def _days(answers: Answers, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Votes and volunteers a day (UTC), with the days without any between them."""
    known = rows[np.isfinite(answers.time_s[rows])]
    if not len(known):
        return []
    day = np.floor(answers.time_s[known] / _DAY_S).astype(np.int64)
    last = int(day.max())
    found = []
    for number in range(max(int(day.min()), last - _MOST_DAYS + 1), last + 1):
        of_day = known[day == number]
        date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)
        found.append(
            {
                "date": date.date().isoformat(),
                "votes": len(of_day),
                "volunteers": len(np.unique(answers.volunteer[of_day])),
            }
        )
    return found


def _retirement(
    answers: Answers, counts: Counts, rules: ConsensusRules, rows: NDArray[np.int64]
) -> dict[str, Any]:
    asked = ~np.isin(np.arange(len(answers.names)), list(answers.gold))
    going = asked & ~counts.retired
    # At most so many: some agree before.
    left = int((rules.max_votes - counts.n[going]).sum())
    pace = _votes_a_day(answers, rows)
    n = Counter(counts.n[asked].tolist())
    return {
        "asked": int(asked.sum()),
        "gold": int((~asked).sum()),
        "agreed": int((counts.agreed & asked).sum()),
        "without_consensus": int((counts.retired & ~counts.agreed).sum()),
        "going_on": int(going.sum()),
        "share_retired": _ratio(int(counts.retired.sum()), int(asked.sum())),
        "votes_left_at_most": left,
        "votes_a_day": pace,
        "days_left_at_most": None if not pace else round(left / pace, 1),
        "subjects_by_votes": [{"votes": k, "subjects": n[k]} for k in sorted(n)],
    }


def _votes_a_day(answers: Answers, rows: NDArray[np.int64]) -> float | None:
    """Of the campaign's last days."""
    times = answers.time_s[rows]
    times = times[np.isfinite(times)]
    if not len(times):
        return None
    span = min(max(float(times.max() - times.min()) / _DAY_S, 1.0), float(_PACE_DAYS))
    return round(float((times > times.max() - span * _DAY_S).sum()) / span, 2)


def _agreement(answers: Answers, rows: NDArray[np.int64]) -> dict[str, Any]:
    said = np.zeros((len(answers.names), len(answers.outputs)), dtype=np.int64)
    np.add.at(said, (answers.subject[rows], answers.answer[rows]), 1)
    most = Counter(answers.volunteer[rows].tolist()).most_common(_COMPARED)
    labels: dict[str, dict[str, str]] = {answers.hashes[v]: {} for v, _ in most}
    for row in rows:
        theirs = labels.get(answers.hashes[answers.volunteer[row]])
        if theirs is not None:
            theirs[str(answers.subject[row])] = answers.outputs[answers.answer[row]]
    pairs = [pair for pair in agreement_of(labels).pairs if pair.n >= _LEAST_SHARED]
    pairs.sort(key=lambda pair: (-pair.n, pair.first, pair.second))
    kappas = [(pair.kappa, pair.n) for pair in pairs if math.isfinite(pair.kappa)]
    return {
        "fleiss": _known(fleiss_kappa(said)),
        "subjects_of_several": int((said.sum(axis=1) >= 2).sum()),
        "cohen_mean": _known(
            float(np.average([k for k, _ in kappas], weights=[n for _, n in kappas]))
            if kappas
            else math.nan
        ),
        "compared": len(labels),
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "n": pair.n,
                "same": _known(pair.same),
                "kappa": _known(pair.kappa),
            }
            for pair in pairs[:_MOST_PAIRS]
        ],
    }


def _classes(answers: Answers, counts: Counts, fitted: PooledVotes) -> list[dict[str, Any]]:
    best = fitted.probabilities.argmax(axis=1)
    voted = counts.n > 0
    return [
        {
            "name": name,
            "votes": round(float(counts.votes[:, k].sum()), 1),
            "subjects": int((voted & (best == k)).sum()),
            "agreed": int((counts.agreed & (counts.leading == k)).sum()),
        }
        for k, name in enumerate(answers.outputs)
    ]


def _gold(answers: Answers, rows: NDArray[np.int64]) -> dict[str, Any]:
    """How often single votes are right where the truth is known, and what they say instead."""
    k = len(answers.outputs)
    said = np.zeros((k, k), dtype=np.int64)
    for row in rows:
        truth = answers.gold.get(int(answers.subject[row]))
        if truth is not None:
            said[truth, answers.answer[row]] += 1
    n, right = int(said.sum()), int(np.trace(said))
    return {
        "subjects": len(answers.gold),
        "votes": n,
        "accuracy": _ratio(right, n),
        "interval": _wilson(right, n),
        "confusion": [
            {
                "truth": name,
                "votes": int(said[i].sum()),
                "accuracy": _ratio(int(said[i, i]), int(said[i].sum())),
                "said": said[i].tolist(),
            }
            for i, name in enumerate(answers.outputs)
            if said[i].sum()
        ],
    }


def _people(answers: Answers, fitted: PooledVotes, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Those of most votes: how many, how right, and what they were first or alone to find."""
    rare = answers.outputs.index(REAL if REAL in answers.outputs else "asteroid")
    found = fitted.probabilities.argmax(axis=1) == rare
    order = sorted(rows, key=lambda row: (np.nan_to_num(answers.time_s[row], nan=np.inf), row))
    first: dict[int, int] = {}
    for row in order:
        subject = int(answers.subject[row])
        if answers.answer[row] == rare and found[subject] and subject not in answers.gold:
            first.setdefault(subject, int(answers.volunteer[row]))
    firsts = Counter(first.values())
    of_person: dict[int, list[int]] = {}
    for row in rows:
        of_person.setdefault(int(answers.volunteer[row]), []).append(int(row))
    listed = sorted(of_person.items(), key=lambda item: (-len(item[1]), item[0]))[:_LISTED]
    return [
        _person(answers, fitted, volunteer, np.array(theirs), rare, found, firsts[volunteer])
        for volunteer, theirs in listed
    ]


def _person(
    answers: Answers,
    fitted: PooledVotes,
    volunteer: int,
    rows: NDArray[np.int64],
    rare: int,
    found: NDArray[np.bool_],
    n_first: int,
) -> dict[str, Any]:
    subjects, said = answers.subject[rows], answers.answer[rows]
    told = [(answers.gold[int(s)], int(a)) for s, a in zip(subjects, said, strict=True)
            if int(s) in answers.gold]  # fmt: skip
    right = sum(truth == answer for truth, answer in told)
    table = fitted.tables[volunteer]
    wrong = table * fitted.mix[:, None]
    np.fill_diagonal(wrong, 0.0)
    worst = np.unravel_index(int(wrong.argmax()), wrong.shape)
    days = np.floor(answers.time_s[rows] / _DAY_S)
    return {
        "volunteer": answers.hashes[volunteer],
        "votes": len(rows),
        "days": len(np.unique(days[np.isfinite(days)])),
        "gold_votes": len(told),
        "gold_accuracy": _ratio(right, len(told)),
        "gold_interval": _wilson(right, len(told)),
        "skill": round(float((np.diag(table) * fitted.mix).sum()), 3),
        "usual_mistake": f"{answers.outputs[worst[0]]} called {answers.outputs[worst[1]]}",
        "said_rare": int((said == rare).sum()),
        "found_rare": int(((said == rare) & found[subjects]).sum()),
        "first_to_find": n_first,
    }


def _model(answers: Answers, fitted: PooledVotes) -> dict[str, Any]:
    said: Mapping[int, int] = model_outputs(answers)
    best = fitted.probabilities.argmax(axis=1)
    return {
        "subjects": len(said),
        "otherwise": sum(int(best[row]) != output for row, output in said.items()),
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _wilson(right: int, n: int) -> Sequence[float] | None:
    """Wilson's 95 % interval of a share; None for nothing."""
    if not n:
        return None
    share, z2 = right / n, _Z**2 / n
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2)
    return [round(max(middle - half, 0.0), 4), round(min(middle + half, 1.0), 4)]


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
