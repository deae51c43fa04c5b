"""Pictures of the classes for docs/gallery.md and README.md.

    python -m benchmarks.class_gallery [-o docs/images]

Simulated cutouts of each class (`streaks.synth.make_subjects`: science image, reference and
difference), drawn as volunteers see them, and a plain point source for *unresolved*. Fixed seeds:
the same pictures each time. The frame of the first page is the sample night's last exposure.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streaks import classify_cutouts, extract_cutouts, find_streaks, load_classifier, read_frame
from streaks.cutouts import Cutouts
from streaks.geometry import Segment
from streaks.plotting import encode_png, examples_picture, frame_overview
from streaks.synth import make_subjects, write_sample
from streaks.synth import render_trail  # a trail of no length is a point
from streaks.tables import CLASSES, SKIP, UNRESOLVED

SEED = 41
EACH = 4
PANEL_PX = 150


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    frame_picture(given.output / "one_file.png")
    for label in (*CLASSES, SKIP):
        made = make_subjects(EACH, seed=SEED, mix={label: 1.0})
        draw(given.output / f"class_{label}.png", made)
    return 0
