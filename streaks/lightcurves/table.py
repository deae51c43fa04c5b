"""Periods as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from astropy.table import QTable

from streaks.lightcurves.periods import PeriodFit
from streaks.tables import ColumnSpec, build_table

__all__ = ["PERIOD_COLUMNS", "period_table"]

PERIOD_COLUMNS = (
    ColumnSpec("name", str, None, "of the asteroid"),
    ColumnSpec("period", float, "h", "of rotation"),
    ColumnSpec("period_err", float, "h", "if it is the right peak"),
    ColumnSpec("reliability", float, None, "probability that it is right within 1 %"),
    ColumnSpec(
        "false_alarm", float, None, "probability of such a peak without period; NaN: unasked"
    ),
    ColumnSpec("amplitude", float, "mag", "peak to peak of the fit"),
    ColumnSpec("scatter", float, "mag", "robust, of what the fit leaves"),
    ColumnSpec("raw_scatter", float, "mag", "the same without rotation"),
    ColumnSpec("contrast", float, None, "log-likelihood over the best that is no alias"),
    ColumnSpec("epochs", int, None, "fitted"),
    ColumnSpec("outliers", int, None, "left out"),
    ColumnSpec(
        "aliases", str, None, "what else may be: period in h, what it is, log-likelihood less"
    ),
)
_NAMED = 6


def period_table(fits: Sequence[PeriodFit], reliability: Sequence[float]) -> QTable:
    """One row an asteroid.

    Parameters
    ----------
    fits
        Of `find_period`.
    reliability
        Of each; NaN where nothing weighed it.

    Returns
    -------
    QTable
        `PERIOD_COLUMNS`.
    """
    return build_table(
        PERIOD_COLUMNS,
        {
            "name": [fit.name for fit in fits],
            "period": [fit.period_h for fit in fits],
            "period_err": [fit.period_err_h for fit in fits],
            "reliability": list(reliability),
            "false_alarm": [fit.false_alarm for fit in fits],
            "amplitude": [fit.amplitude_mag for fit in fits],
            "scatter": [fit.scatter_mag for fit in fits],
            "raw_scatter": [fit.raw_scatter_mag for fit in fits],
            "contrast": [fit.contrast for fit in fits],
            "epochs": [fit.n_epochs for fit in fits],
            "outliers": [int(fit.outliers.sum()) for fit in fits],
            "aliases": [_aliases(fit) for fit in fits],
        },
    )


def _aliases(fit: PeriodFit) -> str:
    best = fit.candidates[0].log_likelihood
    told = []
    for other in fit.candidates[1 : _NAMED + 1]:
        if math.isfinite(other.log_likelihood):
            what = other.alias or "no alias"
            told.append(f"{other.period_h:.4f} ({what}, {other.log_likelihood - best:+.1f})")
    return "; ".join(told)
