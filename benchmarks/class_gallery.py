"""Pictures of the classes for docs/gallery.md, and of one exposure for the first page.

    python -m benchmarks.class_gallery [-o docs/images]

Simulated cutouts of each class (`streaks.synth.make_subjects`), drawn as volunteers see them, and
for *unresolved* points drawn with `streaks.synth.render_trail`. The exposure is the last one of the
sample night with what is found in it. Fixed seeds: the same pictures each time.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from streaks import classify_cutouts, extract_cutouts, find_streaks, load_classifier, read_frame
from streaks.cutouts import Cutouts
from streaks.geometry import Segment
from streaks.plotting import encode_jpeg, examples_picture, frame_overview
from streaks.synth import Psf, make_subjects, render_trail, write_sample
from streaks.tables import CLASSES, SKIP

SEED = 41
EACH = 4
PANEL_PX = 144
SIZE_PX = 128


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    frame_picture(given.output / "one_file.jpg")
    for label in (*CLASSES, SKIP):
        cutouts, _ = make_subjects(EACH, seed=SEED, mix={label: 1.0})
        draw(given.output / f"class_{label}.png", cutouts)
    draw(given.output / "class_unresolved.png", points())
    return 0


def frame_picture(path: Path) -> None:
    """The sample night's last exposure with its streaks."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_sample(Path(folder) / "sky")
        frame = read_frame([f for f in files if "scimrefdiffimg" in f.name][-1])
        found = find_streaks(frame)
        named = classify_cutouts(load_classifier(), extract_cutouts(frame, found))
    found["label"] = named["label"]
    path.write_bytes(encode_jpeg(frame_overview(frame, found, max_px=760)))


def draw(path: Path, cutouts: Cutouts) -> None:
    """Difference images side by side, in few levels of grey: noise does not pack well."""
    rows = range(len(cutouts))
    png = examples_picture(cutouts, rows, [None] * len(cutouts), panel_px=PANEL_PX)
    grey = Image.open(io.BytesIO(png)).convert("L").quantize(16)
    grey.save(path, optimize=True)


def points() -> Cutouts:
    """Points of several S/N in plain noise."""
    rng = np.random.default_rng(SEED)
    middle = 0.5 * (SIZE_PX - 1)
    images = []
    for flux in (500.0, 1000.0, 2000.0, 4000.0):
        x, y = middle + rng.uniform(-0.5, 0.5, 2)
        point = render_trail((SIZE_PX, SIZE_PX), Segment(x, y, x, y), flux, Psf(fwhm_px=2.3))
        images.append(point + rng.normal(0.0, 12.0, point.shape))
    data = np.array(images, np.float32)
    return Cutouts(difference=data, mask=np.zeros(data.shape, bool), names=tuple("abcd"))


if __name__ == "__main__":
    raise SystemExit(main())
