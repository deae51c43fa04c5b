"""How far people agree beyond chance.

References
----------
Cohen 1960, Educational and Psychological Measurement 20, 37 (two people).
Fleiss 1971, Psychological Bulletin 76, 378 (several).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Agreement", "PairAgreement", "agreement_of", "cohen_kappa", "fleiss_kappa"]


@dataclass(frozen=True)
class PairAgreement:
    """Two people.

    Parameters
    ----------
    first, second
        Their names.
    n
        Candidates that both judged.
    same
        Share of them that both judged alike; NaN for none.
    kappa
        Cohen's; NaN where chance alone would make them agree, or for none.
    """

    first: str
    second: str
    n: int
    same: float
    kappa: float


@dataclass(frozen=True)
class Agreement:
    """All people of a night.

    Parameters
    ----------
    n_by_person
        Candidates that each judged.
    pairs
        Each two.
    n_several, n_all
        Candidates that two or more judged, and that all did.
    fleiss
        Kappa over candidates that two or more judged; NaN where it says nothing.
    """

    n_by_person: Mapping[str, int]
    pairs: tuple[PairAgreement, ...]
    n_several: int
    n_all: int
    fleiss: float


def agreement_of(labels: Mapping[str, Mapping[str, str]]) -> Agreement:
    """How far people agree.

    Parameters
    ----------
    labels
        By person, the label of each candidate that they judged.

    Returns
    -------
    Agreement
    """
    people = sorted(labels)
    subjects = sorted({name for theirs in labels.values() for name in theirs})
    classes = sorted({label for theirs in labels.values() for label in theirs.values()})
    counts = np.zeros((len(subjects), len(classes)), dtype=np.int64)
    place = {name: i for i, name in enumerate(subjects)}
    for theirs in labels.values():
        for name, label in theirs.items():
            counts[place[name], classes.index(label)] += 1
    n = counts.sum(axis=1)
    return Agreement(
        n_by_person={person: len(labels[person]) for person in people},
        pairs=tuple(
            _pair(one, other, labels[one], labels[other])
            for one, other in itertools.combinations(people, 2)
        ),
        n_several=int((n >= 2).sum()),
        n_all=int((n == len(people)).sum()) if people else 0,
        fleiss=fleiss_kappa(counts),
    )


def _pair(
    first: str, second: str, ones: Mapping[str, str], others: Mapping[str, str]
) -> PairAgreement:
    both = sorted(ones.keys() & others.keys())
    a, b = [ones[name] for name in both], [others[name] for name in both]
    same = sum(x == y for x, y in zip(a, b, strict=True)) / len(both) if both else math.nan
    return PairAgreement(first, second, len(both), same, cohen_kappa(a, b))


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Cohen's kappa of two people who judged the same subjects.

    Parameters
    ----------
    first, second : (n,)
        Their labels.

    Returns
    -------
    float
        1 for full agreement, 0 for that of chance; NaN for no subject, or where both always said
        the same single label.
    """
    n = len(first)
    if n == 0:
        return math.nan
    same = sum(a == b for a, b in zip(first, second, strict=True)) / n
    classes = {*first, *second}
    chance = sum(first.count(label) * second.count(label) for label in classes) / n**2
    return _beyond(same, chance)


def fleiss_kappa(counts: NDArray[np.int64]) -> float:
    """Fleiss' kappa; subjects that fewer than two people judged are left out.

    Where all subjects have equally many judgements this is Fleiss' formula; else each subject
    weighs alike in the agreement, and each judgement in the shares of the classes.

    Parameters
    ----------
    counts : (n_subjects, n_classes) int
        How many people said what.

    Returns
    -------
    float
        NaN for no such subject, or where only one label was ever said.
    """
    counts = np.asarray(counts, dtype=float)
    n = counts.sum(axis=1)
    counts, n = counts[n >= 2], n[n >= 2]
    if len(counts) == 0:
        return math.nan
    same = ((counts**2).sum(axis=1) - n) / (n * (n - 1))
    share = counts.sum(axis=0) / counts.sum()
    return _beyond(float(same.mean()), float((share**2).sum()))


def _beyond(same: float, chance: float) -> float:
    return (same - chance) / (1 - chance) if chance < 1 - 1e-12 else math.nan
