"""All pairs of two lists, of which the short run takes some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

__all__ = ["some_pairs"]


def some_pairs(firsts: Sequence[Any], seconds: Sequence[Any]) -> list[Any]:
    """Parameters of a test: each of both lists in one pair of the short run, the rest are slow.

    Parameters
    ----------
    firsts, seconds
        Of any length.

    Returns
    -------
    list
        All pairs; those beside the diagonal are marked ``slow``.
    """
    n = min(len(firsts), len(seconds))
    return [
        pytest.param(first, second, marks=() if i % n == k % n else pytest.mark.slow)
        for i, first in enumerate(firsts)
        for k, second in enumerate(seconds)
    ]
