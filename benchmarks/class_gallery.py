"""Pictures of the classes for docs/gallery.md, and of an exposure for the first page.

    python -m benchmarks.class_gallery [-o docs/images]

Simulated cutouts of each class (`streaks.synth.make_subjects`), masked pixels tinted, and for
*unresolved* points drawn with `streaks.synth.render_trail`. The exposure is the sample night's
second, with what `streaks detect` finds in it. Fixed seeds: the same pictures each time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from streaks.cli import main as streaks
from streaks.cutouts import Cutouts
from streaks.geometry import Segment
from streaks.plotting import cutout_picture
from streaks.synth import Psf, make_subjects, render_trail, write_sample
from streaks.tables import CLASSES, SKIP

SEED = 41
DRAWN, EACH = 24, 4
PANEL_PX = 144
SIZE_PX = 128
IMAGES = "*_scimrefdiffimg.fits.fz"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder) / "sky")
        second = sorted((Path(folder) / "sky").glob(IMAGES))[1]
        frame_picture(second, given.output / "one_file.jpg")
    for label in (*CLASSES, SKIP):
        draw(given.output / f"class_{label}.png", clear_ones(label))
    draw(given.output / "class_unresolved.png", points())
    return 0


def frame_picture(image: Path, path: Path) -> None:
    """An exposure with what `streaks detect` finds and says of it."""
    with tempfile.TemporaryDirectory() as folder:
        plot = Path(folder) / "plot.png"
        words = [
            "detect",
            str(image),
            "-o",
            str(plot.with_suffix(".csv")),
            "--plot",
            str(plot),
            "-q",
        ]
        if streaks(words):
            raise SystemExit(f"{image} was not searched")
        Image.open(plot).convert("RGB").save(path, quality=85)


def clear_ones(label: str) -> Cutouts:
    """Cutouts of a class that show it: of lines those of S/N 20 to 60 and 14 px or more."""
    cutouts, truth = make_subjects(DRAWN, seed=SEED, mix={label: 1.0})
    snr = np.asarray(truth["snr"], float)
    length = np.asarray(truth["length"], float)
    unclear = (snr < 20) | (snr > 60) | (length < 14)
    # What is no line has neither.
    rows = np.flatnonzero(~unclear)
    return cutouts.select(rows[:EACH] if len(rows) >= EACH else slice(EACH))


def draw(path: Path, cutouts: Cutouts) -> None:
    """Difference images side by side, in few levels of grey: noise does not pack well."""
    panels = [
        np.pad(cutout_picture(image, mask, panel_px=PANEL_PX), ((0, 0), (0, 4), (0, 0)))
        for image, mask in zip(cutouts.difference, cutouts.mask, strict=True)
    ]
    colours = Image.fromarray(np.hstack(panels)[:, :-4])
    colours.quantize(24, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


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
