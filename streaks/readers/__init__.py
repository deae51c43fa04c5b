"""Files in: frames, cutouts, alerts, tables.

Only this room knows that FITS counts pixels from 1, that surveys mean the start of an exposure
by its time, and that a mask has bits.
"""

from streaks.readers.account import Account, account_of
from streaks.readers.alerts import Alert, read_alerts
from streaks.readers.cutouts import CutoutSet, read_cutouts
from streaks.readers.files import NIGHT_MARK, NIGHT_PLACES, FrameFiles, fetch_ahead, find_frames
from streaks.readers.frames import FrameOverrides, read_frame, with_header
from streaks.readers.profile import Profile, load_profile
from streaks.readers.tables import read_table

__all__ = [
    "NIGHT_MARK",
    "NIGHT_PLACES",
    "Account",
    "Alert",
    "CutoutSet",
    "FrameFiles",
    "FrameOverrides",
    "Profile",
    "account_of",
    "fetch_ahead",
    "find_frames",
    "load_profile",
    "read_alerts",
    "read_cutouts",
    "read_frame",
    "read_table",
    "with_header",
]
