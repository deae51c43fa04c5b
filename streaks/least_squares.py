"""Least squares of a few parameters within bounds, without SciPy's optimisers.

Importing those takes longer than a search's few fits: of four parameters to some hundred values.
The method is that of Levenberg and Marquardt; parameters at a bound stay there while the sum of
squares falls beyond it.

References
----------
Marquardt 1963, J. SIAM 11, 431; Moré 1978, Lecture Notes in Mathematics 630, 105.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fitted", "fit_within"]

Floats = NDArray[np.float64]

#: Of a parameter's scale: step of a derivative, about the cube root of a double's precision.
_STEP = 1e-5
#: First damping, and what a failed and a good step make of it.
_DAMPING, _MORE, _LESS = 1e-3, 4.0, 0.2
#: Damping at which no step helps any more.
_NO_HELP = 1e12
#: Fall of the sum of squares, of itself, below which the fit is done.
_DONE = 1e-12


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit found.

    Parameters
    ----------
    x : (n,)
        The parameters.
    cost
        Half the sum of squares there.
    success
        Whether it came to an end.
    """

    x: Floats
    cost: float
    success: bool


def fit_within(
    residual: Callable[[Floats], Floats],
    start: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    scale: Sequence[float],
    *,
    max_steps: int = 200,
) -> Fitted:
    """Parameters that make the sum of squares least.

    Parameters
    ----------
    residual
        Of the (n,) parameters: what is to be small, (m,), finite within the bounds.
    start : (n,)
        Within the bounds.
    low, high : (n,)
        Bounds; infinite for none.
    scale : (n,)
        What is a large change of each parameter; above 0.
    max_steps
        Steps at most, failed ones too.

    Returns
    -------
    Fitted
    """
    lower, upper, unit = (np.asarray(values, float) for values in (low, high, scale))
    x = np.clip(np.asarray(start, float), lower, upper)
    values = residual(x)
    cost, damping = 0.5 * float(values @ values), _DAMPING
    slopes = _slopes(residual, x, lower, upper, unit)
    for _ in range(max_steps):
        tried = np.clip(x + _step(slopes, values, x, lower, upper, damping) * unit, lower, upper)
        new = residual(tried)
        new_cost = 0.5 * float(new @ new)
        if not new_cost < cost:
            damping *= _MORE
            if damping > _NO_HELP:
                return Fitted(x, cost, True)
            continue
        fell = cost - new_cost
        x, values, cost, damping = tried, new, new_cost, damping * _LESS
        if fell <= _DONE * cost:
            return Fitted(x, cost, True)
        slopes = _slopes(residual, x, lower, upper, unit)
    return Fitted(x, cost, False)


def _slopes(
    residual: Callable[[Floats], Floats], x: Floats, lower: Floats, upper: Floats, unit: Floats
) -> Floats:
    """Change of the residuals, (m, n), a scale of each parameter."""
    columns = []
    for k in range(len(x)):
        ahead, behind = x.copy(), x.copy()
        ahead[k] = min(x[k] + _STEP * unit[k], upper[k])
        behind[k] = max(x[k] - _STEP * unit[k], lower[k])
        columns.append((residual(ahead) - residual(behind)) * (unit[k] / (ahead[k] - behind[k])))
    return np.stack(columns, axis=1)


def _step(
    slopes: Floats, values: Floats, x: Floats, lower: Floats, upper: Floats, damping: float
) -> Floats:
    """A damped step, in scales; 0 for parameters whose bound holds them back."""
    falls = -(slopes.T @ values)
    free = ~((x <= lower) & (falls < 0.0) | (x >= upper) & (falls > 0.0))
    normal = (slopes.T @ slopes)[np.ix_(free, free)]
    # A parameter that changes nothing has no curvature to be damped by.
    curvature = np.maximum(np.diag(normal), np.finfo(float).tiny)
    step = np.zeros(len(x))
    step[free] = np.linalg.lstsq(
        normal + damping * np.diag(curvature), falls[free], rcond=None
    )[0]  # fmt: skip
    return step
