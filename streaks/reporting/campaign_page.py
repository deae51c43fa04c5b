"""A campaign's page: one HTML file that needs nothing beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from streaks.disk import written_whole
from streaks.palette import class_colour

__all__ = ["write_campaign_page"]


def write_campaign_page(
    path: str | os.PathLike[str], status: Mapping[str, Any], *, title: str
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path
        A file name.
    status
        As `streaks.labelling.campaign_status` gives.
    title
        Of the campaign, for instance the export's name.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("streaks.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": _words, "percent": _percent, "fixed": _fixed}
    text = environment.get_template("campaign.html.jinja").render(
        status=status,
        title=title,
        colours={name: class_colour(name) for name in status["outputs"]},
        most_day=max((day["votes"] for day in status["days"]), default=1) or 1,
        most_pile=max(
            (pile["subjects"] for pile in status["retirement"]["subjects_by_votes"]), default=1
        )
        or 1,
    )
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}".replace("%", " %")


def _fixed(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
