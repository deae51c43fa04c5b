"""From a frame to a table of streaks: noise, search, fit, judgement, sky coordinates.

`find_streaks` is the door; each step is a room of its own on bare arrays.
"""

from streaks.detection.finder import find_streaks
from streaks.detection.psf import measure_fwhm
from streaks.detection.width import with_fwhm

__all__ = ["find_streaks", "measure_fwhm", "with_fwhm"]
