"""The streaks of several frames weighed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import Settings
from streaks.tracklets import link_streaks
from streaks.verdict import Exposure, VerdictModel, judge_streaks
from streaks.verdict.exposures import kinds_of, look_elsewhere

__all__ = ["exposure_of", "judge_linked", "states_elsewhere"]


def judge_linked(
    streaks: QTable,
    abouts: Mapping[str, Mapping[str, Any]],
    model: VerdictModel | None,
    settings: Settings | None = None,
) -> tuple[QTable, QTable]:
    """Streaks with names of tracklets and their verdict.

    Parameters
    ----------
    streaks
        Of all frames, with evidence.
    abouts
        Plain values of each frame by its name, as `streaks.search.FrameResult` has them.
    model
        That weighs them; None leaves them unweighed.
    settings
        What belongs together, and what is usual on the sky.

    Returns
    -------
    streaks : QTable
        The same rows in the same order, without evidence.
    tracklets : QTable
        One row a tracklet.
    """
    settings = Settings() if settings is None else settings
    links = link_streaks(streaks, settings.tracklets)
    linked = streaks.copy(copy_data=False)
    linked["tracklet"] = links.names
    judged = judge_streaks(
        linked,
        model,
        exposures=[exposure_of(name, about) for name, about in abouts.items()],
        tracklets=links.tracklets,
        config=settings.verdict,
    )
    return judged, links.tracklets


def states_elsewhere(
    streaks: QTable, abouts: Mapping[str, Mapping[str, Any]], settings: Settings | None = None
) -> NDArray[np.str_]:
    """What other exposures tell of each streak.

    Parameters
    ----------
    streaks, abouts, settings
        As of `judge_linked`.

    Returns
    -------
    (n,) str
        Of `streaks.verdict.exposures.STATES`.
    """
    settings = Settings() if settings is None else settings
    links = link_streaks(streaks, settings.tracklets)
    linked = streaks.copy(copy_data=False)
    linked["tracklet"] = links.names
    exposures = [exposure_of(name, about) for name, about in abouts.items()]
    return look_elsewhere(linked, exposures, kinds_of(links.tracklets)).state


def exposure_of(image: str, about: Mapping[str, Any]) -> Exposure:
    """Where and when a frame looked.

    Parameters
    ----------
    image
        Its name.
    about
        Its plain values; what is missing or damaged is unknown.

    Returns
    -------
    Exposure
    """
    return Exposure(image, str(about.get("time", "")), _corners(str(about.get("corners", ""))))


def _corners(text: str) -> Sequence[tuple[float, float]]:
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        return ()
    return list(zip(values[::2], values[1::2], strict=False))
