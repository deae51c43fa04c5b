"""From a frame to a table of streaks.

`find_streaks` is the door. `detect_lines` gives with the table what was measured of every line,
and why others are not in it. `Detector` is what a detector must be; `load_detector` has two by
name.
"""

from streaks.detection.detector import Detector, detect_lines, find_streaks, load_detector
from streaks.detection.psf import measure_fwhm
from streaks.detection.records import Detection, Evidence, Line, SetAside
from streaks.detection.streak_table import aside_table
from streaks.detection.width import with_fwhm

__all__ = [
    "Detection",
    "Detector",
    "Evidence",
    "Line",
    "SetAside",
    "aside_table",
    "detect_lines",
    "find_streaks",
    "load_detector",
    "measure_fwhm",
    "with_fwhm",
]
