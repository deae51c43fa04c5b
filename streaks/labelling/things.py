"""Which streaks are of one thing, so that volunteers judge it once.

One thing: midpoints in one image that lie near each other, pieces of one line, and what a column
``group`` says to belong together. Twenty-four of the 107 subjects of one real campaign lay within
40 px of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.labelling.columns import Columns, length_of, numbers, texts
from streaks.verdict.lines import Lines, collinear

__all__ = ["Places", "find_things", "near_pairs", "rows_of_images"]

#: What a table holds for "of no group".
_NO_GROUP = frozenset({"", "-1", "nan", "none", "null", "--"})
#: Shorter pieces have no direction that would tell whose line they lie on, px.
_LEAST_PIECE_PX = 8.0
#: Beyond this from end to end two pieces of one line are taken for two things, in lengths of the
#: longer one: satellites of one train, or chance.
_MOST_GAPS = 8.0


@dataclass(frozen=True, eq=False)
class Places:
    """Where streaks of one image lie, each (n,), px; NaN where unknown.

    Parameters
    ----------
    x, y
        Midpoints.
    x0, y0, x1, y1
        Ends; unknown for those whose line is not known.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    x0: NDArray[np.float64]
    y0: NDArray[np.float64]
    x1: NDArray[np.float64]
    y1: NDArray[np.float64]

    @classmethod
    def of(cls, columns: Columns, rows: NDArray[np.integer] | None = None) -> Places:
        """Those of a table's rows.

        Parameters
        ----------
        columns
            With ``x, y, x0, y0, x1, y1`` as far as known.
        rows
            All where not given.

        Returns
        -------
        Places
        """
        n = length_of(columns)
        picked = np.arange(n) if rows is None else rows
        return cls(*(numbers(columns, name, n)[picked] for name in cls.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.x)


def near_pairs(places: Places, others: Places, near_px: float) -> NDArray[np.bool_]:
    """Which pairs are of one thing by where they lie.

    Parameters
    ----------
    places
        n of one image.
    others
        m of the same image.
    near_px
        Midpoints within this are one thing.

    Returns
    -------
    (n, m) bool
        False where a place is unknown.
    """
    with np.errstate(invalid="ignore"):
        distance = np.hypot(places.x[:, None] - others.x, places.y[:, None] - others.y)
        near = np.asarray(distance <= near_px)
        first, second = (
            Lines.from_ends(one.x0, one.y0, one.x1, one.y1) for one in (places, others)
        )
        longer = np.maximum(first.length[:, None], second.length)
        shorter = np.minimum(first.length[:, None], second.length)
        gap = distance - 0.5 * (first.length[:, None] + second.length)
        pieces = collinear(first, second) & (shorter >= _LEAST_PIECE_PX)
        pieces &= gap <= _MOST_GAPS * longer
    return near | pieces


def rows_of_images(images: NDArray[np.str_]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Row numbers of each image, images in the order of their first row.

    Parameters
    ----------
    images : (n,) str
        Name of each row's image.

    Yields
    ------
    image : str
    rows : (k,) int
        In the table's order.
    """
    if not len(images):
        return
    names, first, which = np.unique(images, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(which))[:-1])
    for i in np.argsort(first, kind="stable"):
        yield str(names[i]), parts[i]


def find_things(columns: Columns, near_px: float) -> NDArray[np.int64]:
    """The thing that each streak is of.

    Parameters
    ----------
    columns
        ``image``, midpoints and ends as far as known, ``group`` where there is one, ``pixels`` (a
        hash) of those without a place. Other rows without an image are things of their own.
    near_px
        Midpoints within this are one thing.

    Returns
    -------
    (n,) int
        Row number of the thing's first row.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = length_of(columns)
    if not n:
        return np.zeros(0, np.int64)
    images = texts(columns, "image", n)
    firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for image, rows in rows_of_images(images):
        if image and len(rows) > 1:
            places = Places.of(columns, rows)
            a, b = np.nonzero(near_pairs(places, places, near_px))
            firsts.append(rows[a])
            seconds.append(rows[b])
    # A group is one of an image's; the same pixels are the same thing under any name.
    nowhere = np.full(n, "", dtype=str)
    for a, b in (
        _grouped(images, texts(columns, "group", n)),
        _grouped(nowhere, texts(columns, "pixels", n)),
    ):
        firsts.append(a)
        seconds.append(b)
    pairs = np.concatenate(firsts), np.concatenate(seconds)
    graph = coo_matrix((np.ones(len(pairs[0]), bool), pairs), shape=(n, n))
    _, which = connected_components(graph, directed=False)
    _, first = np.unique(which, return_index=True)
    return np.asarray(first[which], dtype=np.int64)


def _grouped(
    images: NDArray[np.str_], groups: NDArray[np.str_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of rows that say the same in one image; what says nothing has no partner."""
    first: dict[tuple[str, str], int] = {}
    a, b = [], []
    for row, (image, group) in enumerate(zip(images.tolist(), groups.tolist(), strict=True)):
        if group.strip().lower() not in _NO_GROUP:
            a.append(row)
            b.append(first.setdefault((image, group), row))
    return np.array(a, dtype=np.int64), np.array(b, dtype=np.int64)
