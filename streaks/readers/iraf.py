"""IRAF's distortions (TNX, ZPX) out of the WAT words of a header, turned to TPV and ZPN.

wcslib reads these words too, but a damaged one makes it write beyond its memory, which ends the
process. Here they are parsed and checked, and given to it as distortions of the FITS standard.

References
----------
The TNX and ZPX World Coordinate Systems, F. Valdes, NOAO (2008).
Shupe et al. 2012, SPIE 8451, 84511M: the terms of TPV.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

__all__ = ["IrafAxis", "read_wat", "tpv_terms"]

#: Powers (along, across) of TPV's terms by number; None is a power of the radius.
_TPV_POWERS: tuple[tuple[int, int] | None, ...] = (
    (0, 0), (1, 0), (0, 1), None, (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3), None,
    (4, 0), (3, 1), (2, 2), (1, 3), (0, 4), (5, 0), (4, 1), (3, 2), (2, 3), (1, 4), (0, 5), None,
    (6, 0), (5, 1), (4, 2), (3, 3), (2, 4), (1, 5), (0, 6), (7, 0), (6, 1), (5, 2), (4, 3), (3, 4),
    (2, 5), (1, 6), (0, 7), None,
)  # fmt: skip
_CHEBYSHEV, _LEGENDRE, _POWERS = 1, 2, 3
_MOST_ORDERS = 12


@dataclass(frozen=True, eq=False)
class IrafAxis:
    """What the WAT words say of one axis.

    Parameters
    ----------
    correction : (n, m) or None, deg
        Coefficients of ``xi**i * eta**j``, xi and eta in deg, that are added to the axis'
        coordinate; None where there are none.
    projection
        Coefficients of the radial polynomial, by power.
    """

    correction: NDArray[np.float64] | None = None
    projection: Mapping[int, float] = field(default_factory=dict)


def read_wat(text: str) -> IrafAxis:
    """What the joined WAT words of one axis say.

    Parameters
    ----------
    text
        Values of ``WATj_001, WATj_002...`` one after the other, blanks at their ends included.

    Returns
    -------
    IrafAxis

    Raises
    ------
    ValueError
        If a correction is there and is not understood; the message says why.
    """
    projection = {}
    for power, number in re.findall(r"projp(\d+)\s*=\s*\"?\s*([-+.\dEeDd]+)", text):
        projection[int(power)] = _number(number)
    match = re.search(r"(?:lngcor|latcor)\s*=\s*\"([^\"]*)\"?", text)
    if match is None:
        if re.search(r"lngcor|latcor", text):
            raise ValueError("its correction is not in quotes")
        return IrafAxis(projection=projection)
    numbers = tuple(_number(word) for word in match[1].split())
    return IrafAxis(_as_powers(numbers), projection)


def _number(word: str) -> float:
    try:
        value = float(word.upper().replace("D", "E"))
    except ValueError:
        raise ValueError(f"{word!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{word!r} is no number")
    return value


def _as_powers(numbers: tuple[float, ...]) -> NDArray[np.float64]:
    """The surface as coefficients of powers of xi and eta."""
    if len(numbers) < 9:
        raise ValueError(f"its correction has {len(numbers)} numbers")
    kind, n, m, cross = (int(v) for v in numbers[:4])
    x_low, x_high, y_low, y_high = numbers[4:8]
    if kind not in (_CHEBYSHEV, _LEGENDRE, _POWERS) or cross not in (0, 1, 2):
        raise ValueError(f"its correction is of kind {kind} with cross terms {cross}")
    if not (1 <= n <= _MOST_ORDERS and 1 <= m <= _MOST_ORDERS):
        raise ValueError(f"its correction has {n} x {m} orders")
    places = _places(n, m, cross)
    values = numbers[8:]
    if len(values) != len(places):
        raise ValueError(f"its correction has {len(values)} coefficients, expected {len(places)}")
    surface = np.zeros((n, m))
    for (i, j), value in zip(places, values, strict=True):
        surface[i, j] = value
    if kind == _POWERS:
        return surface
    if not (x_high > x_low and y_high > y_low):
        raise ValueError("the range of its correction is empty")
    to_powers = chebyshev.cheb2poly if kind == _CHEBYSHEV else legendre.leg2poly
    first = _in_powers(to_powers, n, x_low, x_high)
    second = _in_powers(to_powers, m, y_low, y_high)
    return np.asarray(first.T @ surface @ second)


def _places(n: int, m: int, cross: int) -> list[tuple[int, int]]:
    """Powers of the coefficients in the order of the header."""
    if cross == 0:
        return [(i, 0) for i in range(n)] + [(0, j) for j in range(1, m)]
    most = n + m if cross == 1 else max(n, m)
    return [(i, j) for j in range(m) for i in range(n) if i + j < most]


def _in_powers(
    to_powers: Callable[[list[float]], Any], n: int, low: float, high: float
) -> NDArray[np.float64]:
    """Polynomials 0 to n - 1 of the scaled variable as powers of the variable itself, (n, n)."""
    scaled = np.polynomial.Polynomial([-(high + low) / (high - low), 2.0 / (high - low)])
    table = np.zeros((n, n))
    for k in range(n):
        powers = np.polynomial.Polynomial(to_powers([0.0] * k + [1.0]))(scaled)
        table[k, : len(powers.coef)] = powers.coef
    return table


def tpv_terms(axis: IrafAxis, number: int) -> dict[int, float]:
    """``PVnumber_k`` of TPV that do what the correction of an axis does.

    Parameters
    ----------
    axis
        Of longitude (number 1) or latitude (number 2).
    number
        1 or 2: TPV counts an axis' own coordinate first.

    Returns
    -------
    dict
        Coefficient by k; those that are 0 are left out, but for k = 1.

    Raises
    ------
    ValueError
        If the correction is of a higher degree than TPV's 7.
    """
    terms = {1: 1.0}
    if axis.correction is None:
        return terms
    for (i, j), value in np.ndenumerate(axis.correction):
        if value == 0.0:
            continue
        powers = (int(i), int(j)) if number == 1 else (int(j), int(i))
        if powers not in _TPV_POWERS:
            raise ValueError(f"its correction has a term of degree {i + j}, TPV ends at 7")
        k = _TPV_POWERS.index(powers)
        terms[k] = terms.get(k, 0.0) + float(value)
    return terms
