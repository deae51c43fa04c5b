"""Which streaks of a night become subjects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import LabelConfig
from streaks.errors import ConfigError, TableError
from streaks.tables import LABELS, StreakFlag

__all__ = ["ccd_of_image", "select_subjects"]

_CCD = re.compile(r"_c(\d{1,3})(?:_|$)")


def ccd_of_image(image: str) -> int | None:
    """CCD number in a ZTF image name (``..._c07_o_q2_...``); None where there is none.

    Parameters
    ----------
    image
        Name, without folder.

    Returns
    -------
    int or None
    """
    found = _CCD.search(image)
    return int(found.group(1)) if found else None


def select_subjects(
    streaks: QTable, config: LabelConfig
) -> tuple[NDArray[np.int64], Mapping[str, int]]:
    """Rows that become subjects, and how many others were left out for which reason.

    Parameters
    ----------
    streaks
        A night's streaks. Negative subtractions are those with `StreakFlag.NEGATIVE`.
    config
        What to take. A CCD comes from a column ``ccd`` where there is one, else from the image's
        name.

    Returns
    -------
    rows : (n,) int
        In the table's order.
    left_out
        Each streak is counted once, under the first reason that holds.

    Raises
    ------
    TableError
        When rb, classes or CCDs are asked for and the table does not have them.
    ConfigError
        For a class that does not exist.
    """
    unknown = sorted(set(config.labels) - set(LABELS))
    if unknown:
        raise ConfigError(f"no class {', '.join(unknown)}; there are {', '.join(LABELS)}")
    reasons: list[tuple[str, NDArray[np.bool_]]] = []
    if not config.include_negative:
        reasons.append(("negative subtraction", _negative(streaks)))
    if config.labels:
        reasons.append(("another class", ~np.isin(_labels(streaks), config.labels)))
    if config.ccds:
        reasons.append(("another CCD", ~np.isin(_ccds(streaks), config.ccds)))
    if config.min_rb > 0 or config.max_rb < 1:
        rb = _rb(streaks)
        # NaN is in no band.
        reasons.append(("rb outside the band", ~((rb >= config.min_rb) & (rb <= config.max_rb))))
    keep = np.ones(len(streaks), bool)
    left_out: dict[str, int] = {}
    for reason, out in reasons:
        left_out[reason] = int((keep & out).sum())
        keep &= ~out
    rows = np.flatnonzero(keep)
    if config.limit and len(rows) > config.limit:
        left_out["beyond the limit"] = len(rows) - config.limit
        rows = np.sort(rows[_by_score(streaks, rows)[: config.limit]])
    return rows, {reason: n for reason, n in left_out.items() if n}


def _negative(streaks: QTable) -> NDArray[np.bool_]:
    if "flags" not in streaks.colnames:
        return np.zeros(len(streaks), bool)
    flags = np.asarray(streaks["flags"]).astype(np.int64)
    return np.asarray((flags & int(StreakFlag.NEGATIVE)) != 0)


def _labels(streaks: QTable) -> NDArray[np.str_]:
    if "label" not in streaks.colnames:
        raise TableError("the streaks have no label: they were not classified; classify them first")
    return np.asarray(streaks["label"]).astype(str)


def _rb(streaks: QTable) -> NDArray[np.float64]:
    if "rb" not in streaks.colnames:
        raise TableError("the streaks have no rb: they were not classified; classify them first")
    return _bare(streaks["rb"])


def _ccds(streaks: QTable) -> NDArray[np.int64]:
    if "ccd" in streaks.colnames:
        return np.asarray(streaks["ccd"]).astype(np.int64)
    ccds = [ccd_of_image(str(image)) for image in streaks["image"]]
    if ccds and all(ccd is None for ccd in ccds):
        raise TableError(
            f"image names such as {streaks['image'][0]} hold no CCD (_cNN_); leave --ccd out"
        )
    return np.array([-1 if ccd is None else ccd for ccd in ccds], dtype=np.int64)


def _by_score(streaks: QTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order of falling score (unknown last), ties in the table's order."""
    if "score" not in streaks.colnames:
        return np.arange(len(rows))
    score = np.nan_to_num(_bare(streaks["score"])[rows], nan=-np.inf)
    return np.argsort(-score, kind="stable")


def _bare(column: Any) -> NDArray[np.float64]:
    return np.asarray(getattr(column, "value", column), dtype=float)
