"""A whole night: planned, worked off, resumed, watched, shared out and merged."""

from streaks.night.merging import merge_night
from streaks.night.run import NightRun, Progress, run_night
from streaks.night.watching import watch_night
from streaks.night_folder import (
    Night,
    NightFolder,
    read_cutouts,
    read_night,
    write_night_report,
)

__all__ = [
    "Night",
    "NightFolder",
    "NightRun",
    "Progress",
    "merge_night",
    "read_cutouts",
    "read_night",
    "run_night",
    "watch_night",
    "write_night_report",
]
