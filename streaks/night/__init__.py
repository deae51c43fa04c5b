"""One frame's path, and a whole night of them: planned, worked off, resumed, gathered."""

from streaks.night.archive import Night, read_cutouts, read_night
from streaks.night.folder import NightFolder
from streaks.night.frame_path import FrameResult, process_frame, search_frame
from streaks.night.page import write_night_report
from streaks.night.run import NightRun, Progress, run_night
from streaks.night.sky import KnownSky, SatelliteSky, load_satellites, load_sky

__all__ = [
    "FrameResult",
    "KnownSky",
    "Night",
    "NightFolder",
    "NightRun",
    "Progress",
    "SatelliteSky",
    "load_satellites",
    "load_sky",
    "process_frame",
    "read_cutouts",
    "read_night",
    "run_night",
    "search_frame",
    "write_night_report",
]
