"""The candidates of a night in the order in which they are judged, as a page asks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from streaks.labelling import ccd_of_image, model_disagreement, plain_columns
from streaks.night_folder import Night
from streaks.palette import class_colour
from streaks.reporting.rows import (
    Columns,
    bare_columns,
    finite,
    number,
    sexagesimal,
    streak_row,
    text,
)
from streaks.tables import CLASSES, SKIP, UNRESOLVED
from streaks.vetting.sightings import Sightings

__all__ = ["Candidates", "read_candidates"]

#: What a table holds for "of no group".
_NO_GROUP = frozenset({"", "-1", "nan", "None", "null", "--"})
#: Largest distance from the place that a query form asks for, arcmin.
_RADIUS_ARCMIN = 5


@dataclass(frozen=True, eq=False)
class Candidates:
    """A night's streaks, in order.

    Parameters
    ----------
    night
        Of `streaks.night_folder.read_night`.
    columns
        Its table as plain values.
    order
        Row numbers of the table, the surest candidate first, groups together.
    by
        Column that the order is by; empty where the night has no probability.
    row_of
        Row number by ``streak_id``.
    ccds
        CCD of each row; -1 where unknown.
    disagreement
        How far the models differ, by row; NaN where no column tells it.
    sightings
        Where each should be seen again.
    motions
        What is known of each tracklet, by its name.
    """

    night: Night
    columns: Columns
    order: Sequence[int]
    by: str
    row_of: Mapping[str, int]
    ccds: Sequence[int]
    disagreement: Sequence[float]
    sightings: Sightings
    motions: Mapping[str, Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.order)

    def listed(self, offset: int, limit: int) -> dict[str, Any]:
        """What a page sorts and filters by, a part at a time.

        Parameters
        ----------
        offset, limit
            Places in `order`.

        Returns
        -------
        dict
            ``n`` of all, ``offset``, ``images``, and ``columns``: lists of equal length, unknown
            numbers None, where ``image`` is a place in ``images``.
        """
        rows = self.order[offset : offset + limit]
        columns = self.columns
        images: dict[str, int] = {}
        for i in rows:
            images.setdefault(text(columns, i, "image"), len(images))
        return {
            "n": len(self.order),
            "offset": offset,
            "images": list(images),
            "columns": {
                "image": [images[text(columns, i, "image")] for i in rows],
                "row": list(rows),
                "id": [text(columns, i, "streak_id") for i in rows],
                "label": [text(columns, i, "label") for i in rows],
                "p": [_rounded(number(columns, i, self.by), 4) for i in rows],
                "rb": [_rounded(number(columns, i, "rb"), 3) for i in rows],
                "snr": [_rounded(number(columns, i, "snr"), 1) for i in rows],
                "rate": [_rounded(number(columns, i, "rate"), 4) for i in rows],
                "ccd": [self.ccds[i] for i in rows],
                "x": [_rounded(number(columns, i, "x"), 1) for i in rows],
                "y": [_rounded(number(columns, i, "y"), 1) for i in rows],
                "known": [int(self._is_known(i)) for i in rows],
                "tracklet": [text(columns, i, "tracklet") for i in rows],
                "group": [_group(columns, i) for i in rows],
                "disagree": [_rounded(self.disagreement[i], 3) for i in rows],
                "ends": [self._ends(i) for i in rows],
            },
        }

    def details(self, row: int) -> dict[str, Any]:
        """Why one candidate is one, in words and numbers; nothing in it is markup.

        Parameters
        ----------
        row
            Number in the night's table.

        Returns
        -------
        dict
        """
        about = streak_row(self.columns, row)
        about |= {
            "row": row,
            "p_real": finite(number(self.columns, row, "p_real")),
            "reasons": _reasons(text(self.columns, row, "reasons")),
            "group": text(self.columns, row, "group"),
            "width": finite(number(self.columns, row, "width")),
            "novelty": finite(number(self.columns, row, "novelty")),
            "candidates": text(self.columns, row, "candidates").replace("_", " "),
            "bars": self._bars(row),
            "checked": bool(self.night.run.get("orbits")),
            "motion": self.motions.get(about["tracklet"]),
            "again": self.sightings.expected(row),
            "links": self._links(row),
            "ccd": self.ccds[row],
        }
        return about

    def _bars(self, row: int) -> list[dict[str, Any]]:
        """Probabilities, largest first; what all lack to 1 is `skip`."""
        named = {name: number(self.columns, row, f"p_{name}") for name in (*CLASSES, UNRESOLVED)}
        told = {name: p for name, p in named.items() if math.isfinite(p)}
        if not told:
            return []
        told[SKIP] = max(0.0, 1.0 - sum(told.values()))
        return [
            {"name": name, "p": round(p, 4), "colour": class_colour(name)}
            for name, p in sorted(told.items(), key=lambda item: -item[1])
            if p >= 0.005
        ]

    def _is_known(self, row: int) -> bool:
        near = number(self.columns, row, "ssdistnr") >= 0
        return near or bool(text(self.columns, row, "sat_name"))

    def _ends(self, row: int) -> list[float | None]:
        """Ends from the middle pixel of the cutout, px."""
        x, y = (number(self.columns, row, axis) for axis in "xy")
        middle = {"x": math.floor(x + 0.5), "y": math.floor(y + 0.5)} if _both(x, y) else {}
        return [
            _rounded(number(self.columns, row, name) - middle.get(name[0], math.nan), 2)
            for name in ("x0", "y0", "x1", "y1")
        ]

    def _links(self, row: int) -> list[dict[str, str]]:
        """Other services' answers about the place; nothing is asked unless a person follows one."""
        ra, dec = (number(self.columns, row, name) for name in ("ra", "dec"))
        if not _both(ra, dec):
            return []
        links = []
        when = text(self.columns, row, "time")
        station = self.sightings.station(row)
        if when:
            links.append({"name": "MPChecker", "to": _mpchecker(ra, dec, when, station)})
            links.append({"name": "SkyBoT", "to": _skybot(ra, dec, when, station)})
        target = quote(f"{ra:.6f} {dec:+.6f}")
        aladin = f"https://aladin.cds.unistra.fr/AladinLite/?target={target}&fov=0.05"
        return [*links, {"name": "Aladin Lite", "to": aladin}]


def read_candidates(night: Night) -> Candidates:
    """The candidates of a night.

    Parameters
    ----------
    night
        Of `streaks.night_folder.read_night`.

    Returns
    -------
    Candidates
    """
    columns = bare_columns(night.streaks)
    by = next((name for name in ("p_real", "p_asteroid") if _told(columns, name)), "")
    n = len(night.streaks)
    tracklets = bare_columns(night.tracklets)
    return Candidates(
        night=night,
        columns=columns,
        order=_ordered(columns, n, by),
        by=by,
        row_of={text(columns, i, "streak_id"): i for i in range(n)},
        ccds=_ccds(night, columns, n),
        disagreement=model_disagreement(plain_columns(night.streaks)).tolist(),
        sightings=Sightings(night, columns, tracklets),
        motions={
            text(tracklets, i, "tracklet"): {
                name: finite(number(tracklets, i, name))
                for name in ("n", "arc", "rate", "rate_err", "pa", "pa_err", "rms")
            }
            | {"kind": text(tracklets, i, "kind")}
            for i in range(len(night.tracklets))
        },
    )


def _told(columns: Columns, name: str) -> bool:
    return any(math.isfinite(number(columns, i, name)) for i in range(len(columns.get(name, ()))))


def _ordered(columns: Columns, n: int, by: str) -> list[int]:
    """Rows by probability, then score; those of a group or a tracklet at its surest one's place."""
    sure = [
        (_low(number(columns, i, by)) if by else 0.0, _low(number(columns, i, "score")))
        for i in range(n)
    ]
    best: dict[str, tuple[float, float]] = {}
    groups = [_group(columns, i) or f"row {i}" for i in range(n)]
    for group, value in zip(groups, sure, strict=True):
        best[group] = max(best.get(group, value), value)
    first = {group: rank for rank, group in enumerate(sorted(best, key=lambda g: best[g])[::-1])}
    return sorted(range(n), key=lambda i: (first[groups[i]], text(columns, i, "time"), i))


def _low(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _group(columns: Columns, row: int) -> str:
    """Name of what a streak belongs to: its group, else its tracklet; empty for neither."""
    group = text(columns, row, "group")
    return text(columns, row, "tracklet") if group in _NO_GROUP else f"group {group}"


def _ccds(night: Night, columns: Columns, n: int) -> list[int]:
    """CCD of each streak; -1 where unknown."""
    frames = bare_columns(night.frames)
    by_image = {
        text(frames, i, "image"): number(frames, i, "ccd") for i in range(len(night.frames))
    }
    found = []
    for i in range(n):
        image = text(columns, i, "image")
        told = number(columns, i, "ccd", by_image.get(image, math.nan))
        named = ccd_of_image(image)
        found.append(int(told) if math.isfinite(told) else -1 if named is None else named)
    return found


def _reasons(told: str) -> list[str]:
    """The parts of the column ``reasons``, which are set apart by ; or line ends."""
    return [part.strip() for part in told.replace("\n", ";").split(";") if part.strip()]


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def _both(a: float, b: float) -> bool:
    return math.isfinite(a) and math.isfinite(b)


def _mpchecker(ra_deg: float, dec_deg: float, time: str, station: str) -> str:
    where = sexagesimal(ra_deg, dec_deg).split()
    date, _, clock = time.partition("T")
    year, month, day = (*date.split("-"), "", "")[:3]
    query = {
        "year": year,
        "month": month,
        "day": f"{day}{_day_part(clock)}",
        "which": "pos",
        "ra": " ".join(where[:3]),
        "decl": " ".join(where[3:]),
        "TextArea": "",
        "radius": _RADIUS_ARCMIN,
        "limit": "24.0",
        "oc": station or "500",
        "sort": "d",
        "mot": "h",
        "tmot": "s",
        "pdes": "u",
        "needed": "f",
        "ps": "n",
        "type": "p",
    }
    return "https://www.minorplanetcenter.net/cgi-bin/mpcheck.cgi?" + urlencode(query)


def _day_part(clock: str) -> str:
    """``.52`` of ``12:30:00``; empty where it is no time of the day."""
    try:
        h, m, s = (float(part) for part in clock.rstrip("Z").split(":"))
    except ValueError:
        return ""
    return f"{min((h * 3600 + m * 60 + s) / 86400, 0.99999):.5f}"[1:]


def _skybot(ra_deg: float, dec_deg: float, time: str, station: str) -> str:
    query = {
        "-ep": time.rstrip("Z"),
        "-ra": f"{ra_deg:.6f}",
        "-dec": f"{dec_deg:.6f}",
        "-rd": round(_RADIUS_ARCMIN / 60, 4),
        "-mime": "html",
        "-loc": station or "500",
        "-from": "streaks",
    }
    return "https://ssp.imcce.fr/webservices/skybot/api/conesearch.php?" + urlencode(query)
