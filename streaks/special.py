"""Special functions of arrays that need no SciPy.

SciPy is a tenth of a second to import, and a search of one image asks it for nothing else. The
values are those of the C library, within its last digit those of SciPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["erf", "logistic", "normal_cdf"]

_erf = np.frompyfunc(math.erf, 1, 1)
_erfc = np.frompyfunc(math.erfc, 1, 1)


def erf(x: Any) -> NDArray[np.float64]:
    """The error function.

    Parameters
    ----------
    x : (...)
        Some thousand values at most: each is computed by itself.

    Returns
    -------
    (...) float64
    """
    return np.asarray(_erf(x), np.float64)


def normal_cdf(x: Any) -> NDArray[np.float64]:
    """Probability that a standard normal deviate is less.

    Parameters
    ----------
    x : (...)
        As many as in `erf`.

    Returns
    -------
    (...) float64
    """
    return np.asarray(0.5 * _erfc(-np.asarray(x, np.float64) / math.sqrt(2.0)), np.float64)


def logistic(x: Any) -> NDArray[np.float64]:
    """``1 / (1 + exp(-x))``, without overflow.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    (...) float64
    """
    value = np.asarray(x, np.float64)
    small = np.exp(-np.abs(value))
    return np.where(value < 0.0, small, 1.0) / (1.0 + small)
