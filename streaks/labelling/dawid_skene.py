"""What volunteers' answers are worth: the likeliest class of each subject.

Most volunteers give few answers, too few to learn a table of 8 x 8 from. Each table is drawn
towards one that is expected of this volunteer: what the whole crowd says to each class, with the
volunteer's own share of right answers. How far it is drawn, the answers themselves decide. In
`benchmarks/labels.py` this is right at three votes 0.89 of the time, a fixed prior of mostly right
answers 0.87, Bayes' rule with the true tables 0.91.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.errors import InputError
from streaks.special import logistic

__all__ = ["PooledVotes", "fit_votes", "pool_votes"]

#: What the crowd is taken to say to each class before any answer is seen: so many votes, right in
#: this share (about what one answer of AStreaks' question is worth), else evenly wrong.
_CROWD_VOTES, _CROWD_RIGHT = 16.0, 0.75
#: Votes for each wrong answer before any is seen, so that none is impossible.
_WRONG_VOTES = 0.5
#: Subjects that the prior for the mix of classes counts as.
_PRIOR_SUBJECTS = 8.0
#: How many votes a volunteer's expected table may count as; the likeliest of these is taken.
_STRENGTHS = (4.0, 8.0, 16.0, 32.0, 64.0)
#: Variance of volunteers' skill (log odds of a right answer): at the start, and the least.
_SKILL_VARIANCE, _LEAST_VARIANCE = 0.5, 0.05
_SKILL_STEPS, _MOST_SKILL = 5, 4.0


@dataclass(frozen=True, eq=False)
class PooledVotes:
    """What the votes say, of subjects and of those who voted.

    Parameters
    ----------
    probabilities : (n_subjects, n_classes)
        Rows sum to 1.
    tables : (n_volunteers, n_classes, n_classes)
        What each volunteer says (last axis) to each class; rows sum to 1.
    mix : (n_classes,)
        Share of each class among the subjects.
    strength
        How many votes a volunteer's expected table counted as.
    """

    probabilities: NDArray[np.float64]
    tables: NDArray[np.float64]
    mix: NDArray[np.float64]
    strength: float


def pool_votes(
    subject: NDArray[np.integer],
    volunteer: NDArray[np.integer],
    answer: NDArray[np.integer],
    *,
    n_subjects: int,
    n_classes: int,
    weight: NDArray[np.floating] | None = None,
    gold: Mapping[int, int] | None = None,
    n_steps: int = 100,
    tolerance: float = 1e-4,
) -> NDArray[np.float64]:
    """Probability of each class for each subject; `fit_votes` tells of the volunteers too.

    Parameters
    ----------
    subject, volunteer, answer : (n_votes,)
        Indices from 0.
    n_subjects, n_classes
        Subjects without a vote get the mix of classes.
    weight : (n_votes,), optional
        Of each vote; 1 when not given.
    gold
        Class of subjects whose truth is known: they stay as they are and teach who errs.
    n_steps, tolerance
        The most steps, and the change of a probability below which they end.

    Returns
    -------
    (n_subjects, n_classes)
        Rows sum to 1.

    Raises
    ------
    InputError
        If there are no votes.
    """
    return fit_votes(
        subject,
        volunteer,
        answer,
        n_subjects=n_subjects,
        n_classes=n_classes,
        weight=weight,
        gold=gold,
        n_steps=n_steps,
        tolerance=tolerance,
    ).probabilities


def fit_votes(
    subject: NDArray[np.integer],
    volunteer: NDArray[np.integer],
    answer: NDArray[np.integer],
    *,
    n_subjects: int,
    n_classes: int,
    weight: NDArray[np.floating] | None = None,
    gold: Mapping[int, int] | None = None,
    n_steps: int = 100,
    tolerance: float = 1e-4,
) -> PooledVotes:
    """Subjects' classes and volunteers' habits together, by expectation and maximisation.

    Parameters
    ----------
    subject, volunteer, answer : (n_votes,)
        Indices from 0.
    n_subjects, n_classes
        Subjects without a vote get the mix of classes.
    weight : (n_votes,), optional
        Of each vote; 1 when not given.
    gold
        Class of subjects whose truth is known: they stay as they are and teach who errs.
    n_steps, tolerance
        The most steps, and the change of a probability below which they end.

    Returns
    -------
    PooledVotes

    Raises
    ------
    InputError
        If there are no votes.

    References
    ----------
    Dawid & Skene 1979, Applied Statistics 28, 20.
    """
    if not len(subject):
        raise InputError("there are no answers to pool; give an export with answers")
    votes = np.ones(len(subject)) if weight is None else np.asarray(weight, dtype=float)
    n_volunteers = int(volunteer.max()) + 1
    p = np.full((n_subjects, n_classes), 1e-9)
    np.add.at(p, (subject, answer), votes)
    p = _clamped(p / p.sum(axis=1, keepdims=True), gold)
    skill, variance = np.zeros(n_volunteers), _SKILL_VARIANCE
    for _ in range(n_steps):
        mix = p.sum(axis=0) + _PRIOR_SUBJECTS / n_classes
        mix /= mix.sum()
        # What each volunteer said (last axis) to what each subject probably is.
        said = np.zeros((n_volunteers, n_classes, n_classes))
        np.add.at(said.transpose(0, 2, 1), (volunteer, answer), votes[:, None] * p[subject])
        right, wrong = _crowd(said.sum(axis=0))
        skill, variance = _skills(said, right, skill, variance)
        expected = _expected_tables(right, wrong, skill)
        strength = _likeliest_strength(said, expected)
        tables = said + strength * expected
        tables /= tables.sum(axis=2, keepdims=True)
        log_p = np.tile(np.log(mix), (n_subjects, 1))
        np.add.at(log_p, subject, votes[:, None] * np.log(tables[volunteer, :, answer]))
        new = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        new = _clamped(new / new.sum(axis=1, keepdims=True), gold)
        change = float(np.abs(new - p).max())
        p = new
        if change < tolerance:
            break
    return PooledVotes(p, tables, mix, strength)


def _crowd(said: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log odds that an answer is right, by class, and shares of the wrong ones.

    The log odds are (k,); the shares, (k, k), have zeros where true class and answer agree.
    """
    share = (np.diag(said) + _CROWD_VOTES * _CROWD_RIGHT) / (said.sum(axis=1) + _CROWD_VOTES)
    wrong = said + _WRONG_VOTES
    np.fill_diagonal(wrong, 0.0)
    return np.log(share / (1 - share)), wrong / wrong.sum(axis=1, keepdims=True)


def _skills(
    said: NDArray[np.float64],
    right: NDArray[np.float64],
    skill: NDArray[np.float64],
    variance: float,
) -> tuple[NDArray[np.float64], float]:
    """How much surer or worse than the crowd each volunteer is, and the variance of that.

    Newton's method, for a normal prior of the given variance.
    """
    hits, n = np.diagonal(said, axis1=1, axis2=2), said.sum(axis=2)
    for _ in range(_SKILL_STEPS):
        q = logistic(right + skill[:, None])
        slope = (hits - n * q).sum(axis=1) - skill / variance
        bend = (n * q * (1 - q)).sum(axis=1) + 1 / variance
        skill = np.clip(skill + np.clip(slope / bend, -1.0, 1.0), -_MOST_SKILL, _MOST_SKILL)
    return skill, max(float(np.mean(skill**2 + 1 / bend)), _LEAST_VARIANCE)


def _expected_tables(
    right: NDArray[np.float64], wrong: NDArray[np.float64], skill: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_volunteers, k, k): the crowd's habits, with each volunteer's share of right answers."""
    q = logistic(right + skill[:, None])[:, :, None]
    return np.where(np.eye(len(right), dtype=bool), q, (1 - q) * wrong)


def _likeliest_strength(said: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """How many votes the expected tables should count as, by Dirichlet-multinomial likelihood."""
    from scipy.special import gammaln

    n = said.sum(axis=2)
    fits = [
        float(
            (gammaln(s) - gammaln(s + n)).sum()
            + (gammaln(said + s * expected) - gammaln(s * expected)).sum()
        )
        for s in _STRENGTHS
    ]
    return _STRENGTHS[int(np.argmax(fits))]


def _clamped(p: NDArray[np.float64], gold: Mapping[int, int] | None) -> NDArray[np.float64]:
    for row, known in (gold or {}).items():
        p[row] = 0.0
        p[row, known] = 1.0
    return p
