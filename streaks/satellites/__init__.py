"""Which satellite a trail may be.

``elements`` reads them from files, ``sky`` puts them against the stars, ``candidates`` compares
them with trails.
"""

from __future__ import annotations

from streaks.satellites.candidates import CANDIDATE_COLUMNS, best_satellites, match_satellites
from streaks.satellites.elements import BadElements, Satellites, read_satellites
from streaks.satellites.sky import SKY_COLUMNS, Site, satellites_in_sky

__all__ = [
    "CANDIDATE_COLUMNS",
    "SKY_COLUMNS",
    "BadElements",
    "Satellites",
    "Site",
    "best_satellites",
    "match_satellites",
    "read_satellites",
    "satellites_in_sky",
]
