"""Names of classes as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS
from streaks.errors import InputError

__all__ = ["class_counts", "label_indices"]

#: Fewer of a class cannot be split into training and validation.
_MIN_EXAMPLES = 8


def label_indices(labels: Sequence[str]) -> NDArray[np.int64]:
    """Index of each label in `OUTPUTS`.

    Parameters
    ----------
    labels : (n,)
        Names among `OUTPUTS`.

    Returns
    -------
    (n,) int64

    Raises
    ------
    InputError
        If a label is unknown, if there are fewer than two classes, or too few of one.
    """
    index = {name: i for i, name in enumerate(OUTPUTS)}
    unknown = sorted({str(label) for label in labels} - set(index))
    if unknown:
        raise InputError(f"labels {', '.join(unknown)} are unknown; expected {', '.join(OUTPUTS)}")
    counts = class_counts(labels)
    if len(counts) < 2 or min(counts.values()) < _MIN_EXAMPLES:
        raise InputError(
            f"training needs at least two classes with {_MIN_EXAMPLES} examples each; "
            f"it got {counts}"
        )
    return np.array([index[str(label)] for label in labels], dtype=np.int64)


def class_counts(labels: Sequence[str]) -> dict[str, int]:
    """How many there are of each class that occurs, in the order of `OUTPUTS`.

    Parameters
    ----------
    labels
        Names; those not among `OUTPUTS` are left out.

    Returns
    -------
    dict
        Counts, all above 0, by name.
    """
    names = np.asarray(labels, dtype=str)
    counts = {name: int(np.sum(names == name)) for name in OUTPUTS}
    return {name: count for name, count in counts.items() if count}
