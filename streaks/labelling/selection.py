"""Which streaks become subjects, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import LabelConfig
from streaks.errors import ConfigError, TableError
from streaks.expressions import parse_expression
from streaks.labelling.columns import Columns, length_of, numbers, plain_columns, texts
from streaks.tables import LABELS, PROBABILITY_COLUMNS, StreakFlag

__all__ = [
    "active_score",
    "ccd_of_image",
    "field_of_image",
    "model_disagreement",
    "parse_band",
    "parse_shares",
    "ranked",
    "select_rows",
    "select_subjects",
    "shared_out",
]

_CCD = re.compile(r"_c(\d{1,3})(?:_|$)")
_FIELD = re.compile(r"ztf_\d{14}_(\d{6})_")
_BY_CLASS = (*PROBABILITY_COLUMNS, "p_unresolved")


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


def field_of_image(image: str) -> int | None:
    """Field number in a ZTF image name (``ztf_20180607123456_000530_...``); None without one.

    Parameters
    ----------
    image
        Name, without folder.

    Returns
    -------
    int or None
    """
    found = _FIELD.match(image)
    return int(found.group(1)) if found else None


def parse_band(text: str) -> tuple[float, float]:
    """A range from its text.

    Parameters
    ----------
    text
        ``0.3:0.6``; either end may be left out (``8:``).

    Returns
    -------
    low, high : float
        Infinite where left out.

    Raises
    ------
    ConfigError
        For anything else.
    """
    low, colon, high = text.partition(":")
    try:
        ends = float(low) if low.strip() else -np.inf, float(high) if high.strip() else np.inf
        if colon and not np.isnan(ends).any() and ends[0] <= ends[1]:
            return ends
    except ValueError:
        pass
    raise ConfigError(f"{text!r} is no range; expected LOW:HIGH, such as 0.3:0.6 or 8:")


def parse_shares(text: str) -> dict[str, float]:
    """Shares of the classes from their text.

    Parameters
    ----------
    text
        ``asteroid=0.3,satellite=0.2``; shares that do not sum to 1 are brought to it.

    Returns
    -------
    dict
        By class, of those named.

    Raises
    ------
    ConfigError
        For an unknown class, or a share that is none.
    """
    shares: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, share = (part.strip() for part in item.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not name or not equals or not 0 <= value < np.inf:
            raise ConfigError(f"mix has {item!r}; expected class=share,class=share")
        _check_labels([name])
        if name in shares:
            raise ConfigError(f"mix {text!r} has {name} twice; give each class one share")
        shares[name] = value
    total = sum(shares.values())
    if not total > 0:
        raise ConfigError(f"mix {text!r} has no share above 0; expected class=share,class=share")
    return {name: value / total for name, value in shares.items()}


def select_subjects(
    streaks: QTable | Columns, config: LabelConfig
) -> tuple[NDArray[np.int64], Mapping[str, int]]:
    """Rows that become subjects, and how many others were left out for which reason.

    As `select_rows`, then those of the mix and the limit. Nothing is grouped here.

    Parameters
    ----------
    streaks
        A night's streaks, or their plain columns.
    config
        What to take.

    Returns
    -------
    rows : (n,) int
        In the table's order.
    left_out
        Each streak is counted once, under the first reason that holds.

    Raises
    ------
    TableError
        When rb, classes, CCDs or others are asked for and the table does not have them.
    ConfigError
        For a class that does not exist, or a condition that cannot be used.
    """
    columns = plain_columns(streaks)
    rows, left_out = select_rows(columns, config)
    chosen = shared_out(columns, ranked(columns, rows, config), config)
    more = {"beyond the mix or the limit" if config.mix else "beyond the limit": 0}
    more = {reason: len(rows) - len(chosen) for reason in more if len(rows) > len(chosen)}
    return np.sort(chosen), {**left_out, **more}


def select_rows(columns: Columns, config: LabelConfig) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Rows that fulfil all conditions, and how many others do not, by the first that fails.

    Parameters
    ----------
    columns
        Negative subtractions are those with `StreakFlag.NEGATIVE`. CCD and field come from columns
        of these names where there are such, else from the image's name; the number of detections
        and the minutes they span from ``ndet`` and ``delta_t``.
    config
        What to take.

    Returns
    -------
    rows : (n,) int
        In the table's order.
    left_out
        By reason; reasons that hold for none are not named.

    Raises
    ------
    TableError
        When something is asked for that the table does not have.
    ConfigError
        For a class that does not exist, or a condition that cannot be used.
    """
    _check_labels([*config.labels, *config.mix])
    n = length_of(columns)
    keep = np.ones(n, bool)
    left_out: dict[str, int] = {}
    for reason, out in _reasons(columns, config, n):
        left_out[reason] = int((keep & out).sum())
        keep &= ~out
    return np.flatnonzero(keep), {reason: k for reason, k in left_out.items() if k}


def _check_labels(labels: Sequence[str]) -> None:
    unknown = sorted(set(labels) - set(LABELS))
    if unknown:
        raise ConfigError(f"no class {', '.join(unknown)}; there are {', '.join(LABELS)}")


def _reasons(columns: Columns, config: LabelConfig, n: int) -> list[tuple[str, NDArray[np.bool_]]]:
    """Each condition that is asked for: its name, and the rows that fail it. NaN fails all."""
    reasons: list[tuple[str, NDArray[np.bool_]]] = []
    sign = "any" if config.include_negative else config.isdiffpos
    if sign == "t":
        reasons.append(("negative subtraction", _negative(columns, n)))
    elif sign == "f":
        reasons.append(("positive subtraction", ~_negative(columns, n)))
    if config.labels:
        reasons.append(("another class", ~np.isin(_labels(columns, n), config.labels)))
    if config.mix:
        wanted = [name for name, share in config.mix.items() if share > 0]
        reasons.append(("of no class of the mix", ~np.isin(_labels(columns, n), wanted)))
    if config.ccds:
        reasons.append(("another CCD", ~np.isin(_ccds(columns, n), config.ccds)))
    if config.fields:
        reasons.append(("another field", ~np.isin(_fields(columns, n), config.fields)))
    bands = config.rb_bands
    if config.min_rb > 0 or config.max_rb < 1:
        bands = (*bands, (config.min_rb, config.max_rb))
    if bands:
        reasons.append(("rb outside the band", ~_within(_told(columns, "rb", n), bands)))
    if config.snr_bands:
        snr = _told(columns, "snr", n)
        reasons.append(("S/N outside the band", ~_within(snr, config.snr_bands)))
    for axis, limits in (("x", config.x_range), ("y", config.y_range)):
        if limits is not None:
            place = _told(columns, axis, n)
            reasons.append((f"{axis} outside the range", ~_within(place, (limits,))))
    if config.min_detections > 1:
        few = ~(_told(columns, "ndet", n) >= config.min_detections)
        reasons.append(("too few detections", few))
    if config.min_minutes > 0:
        short = ~(_told(columns, "delta_t", n) > config.min_minutes)
        reasons.append(("detections too close in time", short))
    if config.where:
        holds = parse_expression(config.where, columns).evaluate(columns, n)
        reasons.append(("by the condition", ~holds))
    return reasons


def ranked(columns: Columns, rows: NDArray[np.int64], config: LabelConfig) -> NDArray[np.int64]:
    """Rows in the order in which they are wanted.

    Parameters
    ----------
    columns
        Of the table.
    rows
        Some of its rows.
    config
        With ``active``: what the models know least about first; else by falling score.

    Returns
    -------
    (n,) int
        The same rows. Unknown scores come last, ties in the table's order.

    Raises
    ------
    TableError
        When the table has nothing to rank by as asked.
    """
    n = length_of(columns)
    how = config.active
    score = active_score(columns, how) if how else numbers(columns, "score", n)
    order = np.argsort(-np.nan_to_num(score[rows], nan=-np.inf), kind="stable")
    return rows[order]


def shared_out(columns: Columns, rows: NDArray[np.int64], config: LabelConfig) -> NDArray[np.int64]:
    """The first of the rows, as many as the limit allows, each class by its share.

    Parameters
    ----------
    columns
        Of the table.
    rows
        Its rows as `ranked` gives them.
    config
        With ``mix`` and ``limit``. A class with fewer rows than its share gives what it has; with a
        mix and no limit the set is as large as all shares can be held.

    Returns
    -------
    (m,) int
        In the order of `rows`.
    """
    if not config.mix:
        return rows[: config.limit] if config.limit else rows
    labels = _labels(columns, length_of(columns))[rows]
    total = sum(config.mix.values())
    shares = {name: share / total for name, share in config.mix.items() if share > 0}
    there = {name: int((labels == name).sum()) for name in shares}
    most = min(int(there[name] / share + 1e-9) for name, share in shares.items())
    wanted = config.limit or most
    keep = np.zeros(len(rows), bool)
    for name, count in _counts(shares, wanted).items():
        keep[np.flatnonzero(labels == name)[:count]] = True
    return rows[keep]


def _counts(shares: Mapping[str, float], n: int) -> dict[str, int]:
    """Whole numbers of these shares that sum to n."""
    exact = {name: share * n for name, share in shares.items()}
    counts = {name: int(value + 1e-9) for name, value in exact.items()}
    by_rest = sorted(shares, key=lambda name: counts[name] - exact[name])
    for name in by_rest[: n - sum(counts.values())]:
        counts[name] += 1
    return counts


def active_score(columns: Columns, how: str) -> NDArray[np.float64]:
    """How much there is to learn from each row.

    Parameters
    ----------
    columns
        Of the table.
    how
        ``disagreement`` of the models (`model_disagreement`), ``entropy`` of the probabilities in
        nats, or ``novelty``.

    Returns
    -------
    (n,) float
        NaN where unknown.

    Raises
    ------
    TableError
        When no column tells it.
    """
    n = length_of(columns)
    if how == "disagreement":
        found = model_disagreement(columns)
        if n and np.isnan(found).all():
            raise TableError(
                "the table does not tell how far the models differ (disagreement, or label_* or "
                "p_asteroid_* by model); use --active entropy, or let the cutouts be classified"
            )
        return found
    if how == "novelty":
        return _told(columns, "novelty", n)
    p = np.array([numbers(columns, name, n) for name in _BY_CLASS])
    if n and np.isnan(p).all():
        raise TableError("the streaks have no p_*: they were not classified; classify them first")
    p = np.nan_to_num(p)
    p = np.vstack([p, np.clip(1.0 - p.sum(axis=0), 0.0, 1.0)])
    entropy = -(p * np.log(np.clip(p, 1e-12, 1.0))).sum(axis=0)
    return np.asarray(entropy)


def model_disagreement(columns: Columns) -> NDArray[np.float64]:
    """How far the models differ, where columns tell it; NaN else.

    Of a column of that name, of labels by model (``label_*``), or of probabilities by model
    (``p_asteroid_*``).

    Parameters
    ----------
    columns
        Of the table.

    Returns
    -------
    (n,) float
        From 0 (all agree) to 1.
    """
    n = length_of(columns)
    if "disagreement" in columns:
        return numbers(columns, "disagreement", n)
    said = [texts(columns, name, n) for name in columns if name.startswith("label_")]
    if len(said) > 1:
        return np.asarray(np.any([one != said[0] for one in said], axis=0), dtype=float)
    given = [numbers(columns, name, n) for name in columns if name.startswith("p_asteroid_")]
    if len(given) > 1 and n:
        return np.asarray(np.ptp(np.array(given), axis=0))
    return np.full(n, np.nan)


def _negative(columns: Columns, n: int) -> NDArray[np.bool_]:
    if "flags" not in columns:
        return np.zeros(n, bool)
    flags = np.nan_to_num(numbers(columns, "flags", n)).astype(np.int64)
    return np.asarray((flags & int(StreakFlag.NEGATIVE)) != 0)


def _labels(columns: Columns, n: int) -> NDArray[np.str_]:
    if "label" not in columns:
        raise TableError("the streaks have no label: they were not classified; classify them first")
    return texts(columns, "label", n)


_UNTOLD = {
    "rb": "they were not classified; classify them first",
    "novelty": "they were not classified; classify them first",
    "ndet": "give a night, whose tracklets tell it, or alerts",
    "delta_t": "give a night, whose tracklets tell it, or alerts",
}


def _told(columns: Columns, name: str, n: int) -> NDArray[np.float64]:
    """A column that must be there."""
    if name not in columns:
        raise TableError(f"the streaks have no {name}: {_UNTOLD.get(name, 'leave it out')}")
    return numbers(columns, name, n)


def _within(values: NDArray[np.float64], bands: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Whether a value lies in one of the bands, ends included. NaN is in no band."""
    return np.asarray(np.any([(values >= low) & (values <= high) for low, high in bands], axis=0))


def _ccds(columns: Columns, n: int) -> NDArray[np.int64]:
    return _of_images(columns, n, "ccd", ccd_of_image, "CCD (_cNN_); leave --ccd out")


def _fields(columns: Columns, n: int) -> NDArray[np.int64]:
    return _of_images(columns, n, "field", field_of_image, "field; leave --field out")


def _of_images(
    columns: Columns, n: int, name: str, named: Callable[[str], int | None], what: str
) -> NDArray[np.int64]:
    """A whole number of each row's image; -1 where unknown."""
    if name in columns:
        return np.nan_to_num(numbers(columns, name, n), nan=-1).astype(np.int64)
    images = texts(columns, "image", n)
    found = {image: named(image) for image in dict.fromkeys(images.tolist())}
    if found and all(value is None for value in found.values()):
        raise TableError(f"image names such as {images[0]} hold no {what}")
    values = [found[image] for image in images.tolist()]
    return np.array([-1 if value is None else value for value in values], dtype=np.int64)
