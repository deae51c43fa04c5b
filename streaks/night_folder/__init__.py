"""What a night's folder holds, written and read: frames' results, ledger, tables, page."""

from streaks.night_folder.layout import NightFolder
from streaks.night_folder.page import write_night_report
from streaks.night_folder.reading import Night, read_cutouts, read_night

__all__ = ["Night", "NightFolder", "read_cutouts", "read_night", "write_night_report"]
