"""What spans the frames of a night: one motion, one satellite, one flaw of the chip."""

from streaks.tracklets.linking import Links, link_streaks
from streaks.tracklets.repeats import chip_name, find_repeats, repeat_groups
from streaks.tracklets.sightings import TRACKLET_COLUMNS

__all__ = [
    "TRACKLET_COLUMNS",
    "Links",
    "chip_name",
    "find_repeats",
    "link_streaks",
    "repeat_groups",
]
