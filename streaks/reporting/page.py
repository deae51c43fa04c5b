"""The night's page: one HTML file that needs nothing beside it.

What an astronomer wants first comes first: how many frames were searched and which failed, then
asteroid candidates that no known object explains, then the known ones, then everything else.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.disk import written_whole
from streaks.palette import CLASS_COLOURS, class_colour
from streaks.reporting.night_figures import focal_plane, frame_trends, sky_map
from streaks.reporting.rows import bare_columns, finite, frame_row, number, streak_row, text
from streaks.reporting.truth import truth_section
from streaks.tables import (
    CLASSES,
    LABELS,
    PROBABILITY_COLUMNS,
    SKIP,
    UNRESOLVED,
    bare_column,
    text_column,
)
from streaks.verdict import LINES_AT, candidates_in_words, count_candidates, expected_false

__all__ = ["NightSummary", "PagePictures", "select_rows", "write_report"]


#: Rows that stand in the page as markup, and how many are shown at a time; the others are data
#: from which the page makes them.
_PAGE_ROWS, _MARKUP_ROWS = 200, 2000
#: Bytes of pictures, in all and for the large ones of candidates and of frames: with the data of
#: 10,000 streaks the page stays under 15 MB.
_PICTURE_BYTES, _PANEL_BYTES, _OVERVIEW_BYTES = 8_500_000, 3_500_000, 2_500_000
#: Of a night whose table does not say from which probability on there are candidates.
_USUAL_P_REAL = 0.5


@dataclass(frozen=True, kw_only=True)
class NightSummary:
    """What a run says of itself.

    Parameters
    ----------
    title
        Name of the night, for instance its folder's.
    started
        UTC, ISO 8601; empty where unknown.
    seconds
        Wall-clock time of the run; NaN where unknown.
    classifier
        Name of the classifier; empty when nothing was classified.
    orbits
        The catalogue that streaks were checked against, in words; empty when they were not
        checked, which the page then says instead of "unknown object".
    settings
        Nested plain values.
    versions
        Of this program and of libraries that decide results.
    command
        How to make the same again.
    """

    title: str
    started: str = ""
    seconds: float = float("nan")
    classifier: str = ""
    orbits: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class PagePictures:
    """Encoded PNG or JPEG bytes, by name; what is missing is shown as missing.

    Mappings may make their pictures when asked: only those that the page shows are looked up.

    Parameters
    ----------
    cutouts
        By ``streak_id``; small ones for the long table.
    panels
        By ``streak_id``; larger ones for asteroid candidates. A cutout takes their place.
    overviews
        By image name.
    missed
        By the ``streak_id`` of the truth; true streaks that were not found.
    """

    cutouts: Mapping[str, bytes] = field(default_factory=dict)
    panels: Mapping[str, bytes] = field(default_factory=dict)
    overviews: Mapping[str, bytes] = field(default_factory=dict)
    missed: Mapping[str, bytes] = field(default_factory=dict)


def write_report(
    path: str | os.PathLike[str],
    summary: NightSummary,
    streaks: QTable,
    frames: QTable,
    *,
    pictures: PagePictures | None = None,
    tracklets: QTable | None = None,
    truth: QTable | None = None,
    found: Sequence[int] | NDArray[np.int64] | None = None,
    max_cards: int = 100,
    max_rows: int = 20_000,
    max_overviews: int = 100,
) -> None:
    """Write the page, whole or not at all.

    Everything that came from headers, names or catalogues is escaped; the page loads nothing
    and a content policy keeps it so. What a cap leaves out is said on the page.

    Parameters
    ----------
    path
        ``report.html``, as a rule.
    summary
        About the run.
    streaks
        All streaks of the night, with class and match columns where there are any.
    frames
        One row a frame: ``image, state`` (``done`` or ``failed``), and where there are any
        ``reason, seconds``.
    pictures
        By name.
    tracklets
        Objects of several streaks (`streaks.tracklets`); their streaks stand together.
    truth, found
        True streaks, and for each the row of `streaks` that found it or -1
        (`streaks.completeness.match_truth`).
    max_cards, max_rows, max_overviews
        Most candidates shown large, rows of the table, and overviews.
    """
    pictures = PagePictures() if pictures is None else pictures
    view = _view(
        summary, streaks, frames, pictures, truth, found, max_cards, max_rows, max_overviews
    )
    about = _tracklet_lines(tracklets)
    for section in ("unknown", "known"):
        view[section] = _grouped(view[section], about)
    view["n_tracklets"] = sum(line["kind"] == "motion" for line in about.values())
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        # Piece by piece: a page with its pictures in one text would be in memory three times.
        for piece in _template().generate(view):
            file.write(piece)


def select_rows(streaks: QTable, max_rows: int) -> list[int]:
    """Rows that the page shows: one a thing, and when not all fit the surest ones.

    Parameters
    ----------
    streaks
        Of a night.
    max_rows
        That the page shows.

    Returns
    -------
    list of int
        By falling probability, then asteroids before others, then by score. Of the lines of one
        group, which a verdict makes, only the surest.
    """
    labels = text_column(streaks, "label").tolist()
    score = np.nan_to_num(bare_column(streaks, "score"), nan=-np.inf)
    sure = np.nan_to_num(bare_column(streaks, "p_real"), nan=0.0)
    order = sorted(
        range(len(streaks)), key=lambda i: (-sure[i], labels[i] != "asteroid", -score[i])
    )
    if "group" not in streaks.colnames:
        return order[:max_rows]
    # A dict keeps the first of each group.
    first: dict[str, int] = {}
    for i, group in zip(order, text_column(streaks[order], "group").tolist(), strict=True):
        first.setdefault(group or str(streaks["streak_id"][i]), i)
    return list(first.values())[:max_rows]


def _view(
    summary: NightSummary,
    streaks: QTable,
    frames: QTable,
    pictures: PagePictures,
    truth: QTable | None,
    found: Sequence[int] | NDArray[np.int64] | None,
    max_cards: int,
    max_rows: int,
    max_overviews: int,
) -> dict[str, Any]:
    labels = text_column(streaks, "label").tolist()
    unknown, known = _candidates(streaks, labels)
    checked = bool(summary.orbits)
    held = _Held(pictures)
    pictures = held.pictures
    chosen = select_rows(streaks, max_rows)
    frame_rows = _frame_rows(frames, streaks, labels)
    view_of_unknown = _cards(streaks, unknown[:max_cards], pictures)
    view_of_known = _cards(streaks, known[: max(0, max_cards - len(unknown))], pictures)
    overviews = _overviews(frame_rows, pictures, max_overviews)
    rows = _table_rows(streaks, chosen, pictures)
    n_markup = len(rows) if len(rows) <= _MARKUP_ROWS else _PAGE_ROWS
    return {
        "summary": summary,
        "settings": json.dumps(_plain(summary.settings), indent=2, sort_keys=True),
        "checked": checked,
        "shorts": short_names([row["image"] for row in frame_rows]),
        "counts": _class_counts(labels),
        "n_streaks": len(streaks),
        "weighed": candidates_in_words(*_n_candidates(streaks), len(frame_rows)),
        "unknown": view_of_unknown,
        "known": view_of_known,
        "sky": _markup(sky_map(streaks, unknown + known)),
        "chips": _markup(focal_plane(streaks, frames, unknown + known)),
        "trends": [
            {"title": one["title"], "svg": _markup(one["svg"])}
            for one in frame_trends(frames, streaks)
        ],
        "n_unknown": len(unknown),
        "n_known": len(known),
        "n_cards_left_out": max(0, len(unknown) + len(known) - max_cards),
        "frames": frame_rows,
        "n_done": sum(row["state"] == "done" for row in frame_rows),
        "failed": [row for row in frame_rows if row["state"] != "done"],
        "overviews": overviews,
        "n_overviews_left_out": len(frame_rows) - len(overviews),
        "rows": rows[:n_markup],
        "rest": [_as_data(row) for row in rows[n_markup:]],
        "page_rows": _PAGE_ROWS,
        "n_rows": len(rows),
        "n_things": _n_things(streaks),
        "n_rows_left_out": _n_things(streaks) - len(chosen),
        "n_pictures_left_out": held.n_left_out,
        "images": sorted({str(streaks["image"][i]) for i in chosen}) if len(streaks) else [],
        "classes": list(LABELS),
        "colours": dict(CLASS_COLOURS),
        "truth": _truth(streaks, truth, found, pictures, unknown + known),
    }


class _Held:
    """Pictures up to so many bytes, those that are asked for first; others count as left out."""

    def __init__(self, pictures: PagePictures) -> None:
        self.n_left_out, self._left = 0, _PICTURE_BYTES
        self.pictures = PagePictures(
            cutouts=_Budgeted(self, pictures.cutouts, _PICTURE_BYTES),
            panels=_Budgeted(self, pictures.panels, _PANEL_BYTES),
            overviews=_Budgeted(self, pictures.overviews, _OVERVIEW_BYTES),
            missed=_Budgeted(self, pictures.missed, _PICTURE_BYTES),
        )

    @property
    def full(self) -> bool:
        return self._left <= 0

    def take(self, n_bytes: int) -> bool:
        if n_bytes > self._left:
            self._left = 0
            return False
        self._left -= n_bytes
        return True


class _Budgeted(Mapping[str, bytes]):
    """Pictures by name; none any more once its own bytes or those of the page are used up."""

    def __init__(self, held: _Held, pictures: Mapping[str, bytes], n_bytes: int) -> None:
        self._held, self._pictures, self._left = held, pictures, n_bytes
        self._given: set[str] = set()

    def __getitem__(self, name: str) -> bytes:
        if self._left <= 0 or self._held.full:
            if name not in self._pictures:
                raise KeyError(name)
            self._held.n_left_out += 1
            return b""
        picture = self._pictures.get(name) or b""
        # In base 64 three bytes are four letters.
        n_bytes = len(picture) * 4 // 3
        if n_bytes > self._left or not self._held.take(n_bytes):
            self._left = 0
            self._held.n_left_out += 1
            return b""
        self._left -= n_bytes
        return picture

    def __iter__(self) -> Iterator[str]:
        return iter(self._pictures)

    def __len__(self) -> int:
        return len(self._pictures)

    def __contains__(self, name: object) -> bool:
        return name in self._pictures


def short_names(images: Sequence[str]) -> dict[str, str]:
    """Names of frames without the words that all of them have.

    Parameters
    ----------
    images
        Names whose words are parted by ``_``.

    Returns
    -------
    dict
        Short by long, all different; the names themselves where there is one only, or where they
        have not as many words each.
    """
    words = [image.split("_") for image in images]
    if len(set(images)) < 2 or len({len(one) for one in words}) > 1:
        return {image: image for image in images}
    telling = [k for k, column in enumerate(zip(*words, strict=True)) if len(set(column)) > 1]
    return {
        image: "_".join(one[k] for k in telling) for image, one in zip(images, words, strict=True)
    }


def _shortened(name: str, shorts: Mapping[str, str]) -> str:
    """A frame's name, or a streak's that begins with it, in short."""
    if name in shorts:
        return shorts[name]
    image, line, number = name.rpartition("_")
    if image not in shorts:
        image, line, number = name.rpartition("-")
    return f"{shorts[image]}{line}{number}" if image in shorts else name


def _as_data(row: Mapping[str, Any]) -> list[Any]:
    """A row of the long table as the page's script takes it: texts and rounded numbers."""
    flags = ", ".join(filter(None, [row["flags"], f"{row['n_lines']} lines"])) if (
        row["n_lines"] > 1
    ) else row["flags"]  # fmt: skip
    return [
        row["streak_id"], row["label"], _cut(row["p_real"], 8), row["reasons"],
        _cut(row["p_asteroid"], 6), _cut(row["snr"], 4), _cut(row["score"], 6),
        _cut(row["length"], 4), row["length_text"], _cut(row["theta"], 4), _cut(row["mag"], 4),
        row["mag_text"], _cut(row["rate"], 6), _cut(row["ra"], 6), row["radec"],
        _cut(row["x"], 3), _cut(row["y"], 3), row["known"], flags, row["image"], row["picture"],
    ]  # fmt: skip


def _cut(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _markup(svg: str) -> Any:
    """Markup of our own making; its words are escaped where it is made."""
    from markupsafe import Markup

    return Markup(svg)


def _candidates(streaks: QTable, labels: list[str]) -> tuple[list[int], list[int]]:
    """Asteroids without and with a known object near, the surest first.

    Where there is a verdict, it says what is a candidate; else the class does.
    """
    p_real = bare_column(streaks, "p_real")
    weighed = bool(np.isfinite(p_real).any())
    p = np.nan_to_num(p_real if weighed else bare_column(streaks, "p_asteroid"), nan=0.0)
    score = np.nan_to_num(bare_column(streaks, "score"), nan=0.0)
    distance = bare_column(streaks, "ssdistnr")
    asteroids = [i for i, label in enumerate(labels) if label == "asteroid"]
    if weighed:
        asteroids = np.flatnonzero(p >= _least_p_real(streaks)).tolist()
    asteroids.sort(key=lambda i: (-p[i], -score[i]))
    return (
        [i for i in asteroids if not distance[i] >= 0],
        [i for i in asteroids if distance[i] >= 0],
    )


def _least_p_real(streaks: QTable) -> float:
    """From which probability on the run called a streak a candidate."""
    told = streaks.meta.get("verdict", {})
    least = told.get("min_p_real") if isinstance(told, Mapping) else None
    return float(least) if isinstance(least, int | float) else _USUAL_P_REAL


def _n_candidates(streaks: QTable) -> tuple[int, float]:
    if not np.isfinite(bare_column(streaks, "p_real")).any():
        return 0, float("nan")
    return count_candidates(streaks, _least_p_real(streaks))


def _n_things(streaks: QTable) -> int:
    if "group" not in streaks.colnames:
        return len(streaks)
    ids, groups = text_column(streaks, "streak_id").tolist(), text_column(streaks, "group").tolist()
    return len({group or name for group, name in zip(groups, ids, strict=True)})


def _with_lines(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Says before which card so many false candidates are expected among those above."""
    before = 0.0
    for card in cards:
        expected = card["expected_false"]
        card["line"] = 0
        if expected is None:
            continue
        passed = [n for n in LINES_AT if before <= n < expected]
        card["line"] = max(passed, default=0)
        before = max(before, expected)
    return cards


def _cards(streaks: QTable, rows: list[int], pictures: PagePictures) -> list[dict[str, Any]]:
    cards = []
    columns = bare_columns(streaks)
    expected = expected_false(bare_column(streaks, "p_real"))
    for i in rows:
        card = streak_row(columns, i)
        card["expected_false"] = finite(float(expected[i]))
        name = card["streak_id"]
        card["picture"] = data_uri(pictures.panels.get(name) or pictures.cutouts.get(name))
        card["bars"] = _bars(streaks, i)
        cards.append(card)
    return _with_lines(cards)


def _tracklet_lines(tracklets: QTable | None) -> dict[str, dict[str, Any]]:
    """What a heading says of each tracklet, by its name."""
    if tracklets is None:
        return {}
    columns = bare_columns(tracklets)
    names = ("n", "arc", "rate", "rate_err", "pa", "pa_err", "rms")
    return {
        text(columns, i, "tracklet"): {
            "name": text(columns, i, "tracklet"),
            "kind": text(columns, i, "kind"),
            **{name: finite(number(columns, i, name)) for name in names},
        }
        for i in range(len(tracklets))
    }


def _grouped(
    cards: list[dict[str, Any]], about: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Cards of one tracklet together and in order of time, at the place of its surest one."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for card in cards:
        name = card["tracklet"] if card["tracklet"] in about else ""
        groups.setdefault(name or card["streak_id"], []).append(card)
    return [
        {"tracklet": about.get(name), "cards": sorted(members, key=lambda card: card["time"])}
        for name, members in groups.items()
    ]


def _bars(streaks: QTable, row: int) -> list[dict[str, Any]]:
    """Probabilities, largest first; what all lack to 1 is `skip`."""
    if not all(name in streaks.colnames for name in PROBABILITY_COLUMNS):
        return []
    p = {name: float(streaks[f"p_{name}"][row]) for name in CLASSES}
    if "p_unresolved" in streaks.colnames:
        p[UNRESOLVED] = float(streaks["p_unresolved"][row])
    p[SKIP] = max(0.0, 1.0 - sum(p.values()))
    ordered = sorted(p.items(), key=lambda item: -item[1])
    return [
        {"name": name, "percent": 100 * value, "colour": class_colour(name)}
        for name, value in ordered
        if value >= 0.005
    ]


def _table_rows(streaks: QTable, rows: list[int], pictures: PagePictures) -> list[dict[str, Any]]:
    made = []
    columns = bare_columns(streaks)
    in_group = Counter(text_column(streaks, "group").tolist())
    for i in rows:
        row = streak_row(columns, i)
        row["n_lines"] = in_group[row["group"]] if row["group"] else 1
        row["picture"] = data_uri(pictures.cutouts.get(row["streak_id"]))
        made.append(row)
    return made


def _frame_rows(frames: QTable, streaks: QTable, labels: list[str]) -> list[dict[str, Any]]:
    images = text_column(streaks, "image").tolist()
    n_streaks = Counter(images)
    n_asteroids = Counter(
        image for image, label in zip(images, labels, strict=True) if label == "asteroid"
    )
    columns = bare_columns(frames)
    rows = [frame_row(columns, i) for i in range(len(frames))]
    for row in rows:
        row["n_streaks"] = n_streaks[row["image"]]
        row["n_asteroids"] = n_asteroids[row["image"]]
    return sorted(rows, key=lambda row: (row["state"] == "done", row["image"]))


def _overviews(
    frame_rows: list[dict[str, Any]], pictures: PagePictures, max_overviews: int
) -> list[dict[str, Any]]:
    """Frames that have a picture, those with candidates first when not all fit."""
    there = [row for row in frame_rows if row["image"] in pictures.overviews]
    kept = sorted(there, key=lambda row: -row["n_asteroids"])[:max_overviews]
    return [
        {**row, "picture": data_uri(pictures.overviews.get(row["image"]))}
        for row in sorted(kept, key=lambda row: row["image"])
    ]


def _truth(
    streaks: QTable,
    truth: QTable | None,
    found: Sequence[int] | NDArray[np.int64] | None,
    pictures: PagePictures,
    candidates: Sequence[int],
) -> dict[str, Any] | None:
    if truth is None or found is None:
        return None
    section = truth_section(streaks, truth, np.asarray(found, dtype=np.int64), candidates)
    for row in section["missed"]:
        row["picture"] = data_uri(pictures.missed.get(row["streak_id"]))
    for row in section["found"]:
        row["picture"] = data_uri(pictures.cutouts.get(row["found_id"]))
    return section


def _class_counts(labels: list[str]) -> list[dict[str, Any]]:
    counts = Counter(labels)
    names = [name for name in LABELS if counts[name]]
    made = [{"name": n, "n": counts[n], "colour": class_colour(n)} for n in names]
    if counts[""]:
        made.append({"name": "not classified", "n": counts[""], "colour": class_colour("")})
    return made


def data_uri(encoded: bytes | None) -> str:
    """A picture as an address that holds it; empty for none.

    Parameters
    ----------
    encoded
        Bytes of a PNG or JPEG; None for no picture.

    Returns
    -------
    str
    """
    if not encoded:
        return ""
    kind = "jpeg" if encoded[:2] == b"\xff\xd8" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


def _plain(value: Any) -> Any:
    """Settings as JSON can say them; NaN as text, which JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("streaks.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["num"] = _fixed
    environment.globals["shortened"] = _shortened
    return environment.get_template("report.html.jinja")


def _fixed(value: float | None, digits: int) -> str:
    """A number with so many digits, empty for none; asked for 30,000 times a page."""
    from markupsafe import Markup

    # Safe as it is: digits only.
    return Markup("" if value is None else f"{value:.{digits}f}")
