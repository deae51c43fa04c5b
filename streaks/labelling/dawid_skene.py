"""What volunteers' answers are worth: the likeliest class of each subject."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streaks.errors import InputError

__all__ = ["pool_votes"]

#: A volunteer of whom nothing is known counts as one who answered this often to each class, and
#: was right in this share: about what one answer of AStreaks' question is worth.
_PRIOR_VOTES, _PRIOR_RIGHT = 8.0, 0.75
#: Subjects that the prior for the mix of classes counts as.
_PRIOR_SUBJECTS = 8.0


def pool_votes(
    subject: NDArray[np.integer],
    volunteer: NDArray[np.integer],
    answer: NDArray[np.integer],
    *,
    n_subjects: int,
    n_classes: int,
    weight: NDArray[np.floating] | None = None,
    gold: Mapping[int, int] | None = None,
    n_steps: int = 50,
    tolerance: float = 1e-5,
) -> NDArray[np.float64]:
    """Probability of each class for each subject, by expectation and maximisation.

    Each volunteer has a table of what they say to each class, drawn towards mostly right
    answers by a prior, so that one with few answers counts neither for nothing nor for all.

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
    p /= p.sum(axis=1, keepdims=True)
    prior = _prior_table(n_classes)
    p = _clamped(p, gold)
    for _ in range(n_steps):
        mix = p.sum(axis=0) + _PRIOR_SUBJECTS / n_classes
        # What each volunteer said (last axis) to what each subject probably is.
        said = np.tile(prior, (n_volunteers, 1, 1))
        np.add.at(said.transpose(0, 2, 1), (volunteer, answer), votes[:, None] * p[subject])
        said /= said.sum(axis=2, keepdims=True)
        log_p = np.tile(np.log(mix / mix.sum()), (n_subjects, 1))
        np.add.at(log_p, subject, votes[:, None] * np.log(said[volunteer, :, answer]))
        new = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        new = _clamped(new / new.sum(axis=1, keepdims=True), gold)
        change = float(np.abs(new - p).max())
        p = new
        if change < tolerance:
            break
    return p


def _prior_table(n_classes: int) -> NDArray[np.float64]:
    """(true class, answer) votes before any are seen."""
    wrong = _PRIOR_VOTES * (1 - _PRIOR_RIGHT) / max(n_classes - 1, 1)
    table = np.full((n_classes, n_classes), wrong)
    np.fill_diagonal(table, _PRIOR_VOTES * _PRIOR_RIGHT)
    return table


def _clamped(p: NDArray[np.float64], gold: Mapping[int, int] | None) -> NDArray[np.float64]:
    for row, known in (gold or {}).items():
        p[row] = 0.0
        p[row, known] = 1.0
    return p
