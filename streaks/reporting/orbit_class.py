"""How like a near-Earth asteroid a tracklet moves: digest2's scores, where it is installed.

digest2 (the Minor Planet Center's own, public domain) asks with which orbits of a model of the
Solar System a short arc agrees. Objects of 65 and more go to the confirmation page.

References
----------
Keys et al. 2019, PASP 131, 064501.
"""

from __future__ import annotations

import importlib
import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streaks.errors import MissingExtraError
from streaks.reporting.obs80 import lines_by_name

__all__ = ["digest2_scores"]

_log = logging.getLogger(__name__)

_FEWEST = 2


def digest2_scores(
    lines: Sequence[str], sites: Mapping[str, tuple[float, float, float]]
) -> Mapping[str, float]:
    """Score (0 to 100) for a near-Earth orbit of each tracklet.

    Parameters
    ----------
    lines
        Of `streaks.reporting.obs80.obs80_lines`.
    sites
        By MPC code the longitude (deg) and the parallax constants rho cos phi' and rho sin phi'.

    Returns
    -------
    mapping
        By temporary designation; NaN for a tracklet of one observation, or one that digest2
        cannot score.

    Raises
    ------
    MissingExtraError
        Without digest2.
    """
    digest2 = _digest2()
    scores: dict[str, float] = {}
    # digest2 reads sites from a file, and would look for one in the user's folder.
    with tempfile.TemporaryDirectory() as folder:
        codes = Path(folder) / "digest2.obscodes"
        codes.write_text(_site_lines(sites), encoding="ascii")
        engine_of_sites = digest2.Digest2(obscodes_path=str(codes))
    with engine_of_sites as engine:
        for name, own in lines_by_name(list(lines)).items():
            seen = [digest2.parse_mpc80(line) for line in own]
            seen = [observation for observation in seen if observation is not None]
            scores[name] = _score(engine, seen, name)
    return scores


def _site_lines(sites: Mapping[str, tuple[float, float, float]]) -> str:
    """Sites in the columns of the MPC's list."""
    head = "Code  Long.   cos      sin    Name\n"
    return head + "".join(
        f"{code:3} {longitude % 360.0:9.5f}{cosine:8.6f}{sine:+9.6f}{code}\n"
        for code, (longitude, cosine, sine) in sorted(sites.items())
    )


def _score(engine: Any, seen: Sequence[Any], name: str) -> float:
    if len(seen) < _FEWEST:
        return math.nan
    try:
        return float(engine.classify_tracklet(seen).noid.NEO)
    except (RuntimeError, ValueError) as error:
        _log.warning("digest2 gives no score for %s: %s", name, error)
        return math.nan


def _digest2() -> Any:
    try:
        return importlib.import_module("digest2")
    except ImportError:
        raise MissingExtraError(
            "digest2", "digest2", "a score of tracklets (the Minor Planet Center's digest2)"
        ) from None
