"""How far the Earth has turned: UT1 - UTC of the tables that come with astropy.

astropy reads both tables with all their columns, for half a second of each process; here it is the
one column that the place of an observatory needs.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["ut1_minus_utc_s"]

Floats = NDArray[np.float64]


def ut1_minus_utc_s(mjd_utc: float) -> float:
    """UT1 - UTC at an instant, s, between the days of the tables on a straight line.

    Measured where it has been (IERS 20 C04, from 1962), else of the IERS Bulletin A: rapid values
    and a year of predictions. 0 before and after, which is right to 0.9 s. Never from the network.
    """
    mjd, seconds = _series()
    if not mjd[0] <= mjd_utc < mjd[-1]:
        return 0.0
    i = int(np.searchsorted(mjd, mjd_utc, side="right")) - 1
    step = float(seconds[i + 1] - seconds[i])
    # A leap second makes a jump right at the second of the two.
    step -= round(step)
    return float(seconds[i] + (mjd_utc - mjd[i]) / (mjd[i + 1] - mjd[i]) * step)


@lru_cache(maxsize=1)
def _series() -> tuple[Floats, Floats]:
    """Days (MJD, UTC) and UT1 - UTC of both tables, s."""
    from astropy.utils import iers

    measured = _columns(iers.IERS_B_FILE, (16, 26), (50, 62))
    rapid = _columns(iers.IERS_A_FILE, (7, 15), (58, 68))
    later = rapid[0] > measured[0][-1]
    mjd, seconds = (
        np.concatenate([of_b, of_a[later]]) for of_b, of_a in zip(measured, rapid, strict=True)
    )
    return mjd, seconds


def _columns(path: str, *at: tuple[int, int]) -> list[Floats]:
    """Columns of fixed width, from lines that have numbers in all of them."""
    rows = []
    for line in Path(path).read_text(encoding="ascii").splitlines():
        texts = [line[start:end].strip() for start, end in at]
        if all(texts) and not line.startswith("#"):
            rows.append([float(text) for text in texts])
    return list(np.array(rows).T)
