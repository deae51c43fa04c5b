"""A completeness page: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import QTable

from streaks.disk import written_whole
from streaks.reporting.completeness_figures import (
    SHORT_STAGE_WORDS,
    STAGE_WORDS,
    chip_map,
    completeness_curves,
    night_trend,
    outcome_bars,
)

__all__ = ["write_completeness_page"]

#: Rows of the table of misses; the rest is in the table beside the page.
_MOST_ROWS = 400
#: Of references whose faults are shown with a picture.
_MOST_PICTURES = 40


def write_completeness_page(
    path: str | os.PathLike[str],
    figures: Mapping[str, Any],
    entries: QTable,
    pictures: Mapping[str, bytes],
    *,
    title: str,
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path
        A file name.
    figures
        What ``completeness.json`` holds: ``frames, sources, references, failed``.
    entries
        One row an entry, with its ``source`` and ``outcome``.
    pictures
        PNG of each reference with faults, by its name.
    title
        Of the page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("streaks.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "depth": _depth, "fixed": _fixed}
    sources = [
        {
            **source,
            "bars": outcome_bars(source["outcomes"]),
            # Of numbers and fixed words only.
            "curves": Markup(completeness_curves(source["stages"], source["variable"])),
            "over_night": Markup(night_trend(source["trend"])),
            "maps": [
                {
                    "words": STAGE_WORDS[stage["name"]],
                    "svg": Markup(chip_map(source["map"], stage["name"])),
                }
                for stage in source["stages"]
                if source["map"]
            ],
            "missed": _missed(entries, source["name"]),
        }
        for source in figures["sources"]
    ]
    bad = [reference for reference in figures["references"] if reference["faults"]]
    text = environment.get_template("completeness.html.jinja").render(
        title=title,
        figures=figures,
        sources=sources,
        stage_words=STAGE_WORDS,
        short_words=SHORT_STAGE_WORDS,
        most_rows=_MOST_ROWS,
        bad_references=bad,
        few=[r for r in figures["references"] if not r["enough"]],
        pictures={
            r["name"]: base64.b64encode(pictures[r["name"]]).decode()
            for r in bad[:_MOST_PICTURES]
            if r["name"] in pictures
        },
    )
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def _missed(entries: QTable, source: str) -> list[dict[str, Any]]:
    """Rows that were not found, brightest first: the losses that one would look at."""
    own = entries[
        (np.asarray(entries["source"]).astype(str) == source)
        & (np.asarray(entries["outcome"]).astype(str) != "found")
    ]
    brightness = np.nan_to_num(np.asarray(own["expected_snr"], float), nan=-1.0)
    rows = []
    for k in np.argsort(-brightness, kind="stable")[:_MOST_ROWS]:
        row = own[int(k)]
        number = {
            name: float(getattr(row[name], "value", row[name]))
            for name in ("x", "y", "mag", "rate", "length", "expected_snr", "measured_snr")
        }
        texts = {n: str(row[n]) for n in ("entry", "name", "image", "outcome", "detail")}
        rows.append({**texts, **number})
    return rows


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _depth(value: Mapping[str, float | None], variable: str) -> str:
    if value["value"] is None:
        return "–"
    digits = 2 if variable == "mag" else 1
    low, high = (
        "…" if value[name] is None else f"{value[name]:.{digits}f}" for name in ("low", "high")
    )
    return f"{value['value']:.{digits}f} ({low} to {high})"


def _fixed(value: float | None, digits: int = 1) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"
