"""Synthetic skies with their truth: labelled cutouts, streaks in real images, whole nights.

Shares no code with the detector: what is injected and what is found must not come from one hand.
"""

from __future__ import annotations

from streaks.lazy import lazy_face

if __name__ != "streaks.synth":
    # The link in a checkout's top folder leads here too; a second copy of every module would
    # follow.
    raise ImportError(f"{__name__} is a link to streaks.synth; write: import streaks.synth")

_FACE = {
    "Moving": "moving",
    "Placed": "injection",
    "Population": "injection",
    "Psf": "drawing.psf",
    "inject": "injection",
    "inject_files": "injection",
    "inject_placed": "injection",
    "moving_in_frame": "moving",
    "NightConfig": "nights.frames",
    "iter_cutouts": "cutout_sets.making",
    "load_set": "cutout_sets.storage",
    "make_cutouts": "cutout_sets.making",
    "make_night": "nights.making",
    "measured_beta": "measured_psf",
    "make_subjects": "cutout_sets.gold",
    "render_trail": "drawing.psf",
    "write_montage": "cutout_sets.montage",
    "write_pictures": "cutout_sets.storage",
    "write_sample": "sample",
    "write_set": "cutout_sets.storage",
}

__all__ = sorted(_FACE)

__getattr__, __dir__ = lazy_face(__name__, _FACE)
