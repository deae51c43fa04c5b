"""One frame's whole way, from its files to its tables, as one value made once and carried whole."""

from streaks.search.catalogues import KnownSky, SatelliteSky, load_satellites, load_sky
from streaks.search.plan import Search
from streaks.search.searcher import FrameResult, Searcher, Stopwatch, join_columns

__all__ = [
    "FrameResult",
    "KnownSky",
    "SatelliteSky",
    "Search",
    "Searcher",
    "Stopwatch",
    "join_columns",
    "load_satellites",
    "load_sky",
]
