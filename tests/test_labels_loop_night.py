"""The whole loop on images: a night, subjects, volunteers, labels, training, and its gain.

The sky is unlike that of the shipped network's training: the detector is a thick one, in which
muons leave straight tracks as broad as a star at one end, because charge spreads on its way down
through the silicon. The shipped network takes many of them for asteroids; volunteers do not.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from streaks.cli import main
from streaks.synth.nights.frames import NightConfig
from streaks.synth.nights.making import make_night
from tests.campaigns import simulated_rows, write_export

_made = pytest.importorskip("benchmarks.labels", reason="benchmarks are not beside")
NAMES = _made.NAMES
simulate = _made.simulate

pytestmark = [pytest.mark.slow, pytest.mark.train]

SHAPE = (768, 800)
#: Dates differ from night to night; the last ones are held out.
SEEDS, N_HELD = (101, 102, 103, 104, 105), 2
FRAMES, MUONS = 4, 12


def _run(*words):
    return main([str(word) for word in words])


def _muon(rng, shape):
    """A track whose width grows from a tenth of a pixel to a star's; its middle and its light."""
    ny, nx = shape
    x, y = rng.uniform(60, nx - 60), rng.uniform(60, ny - 60)
    theta, length = rng.uniform(0, np.pi), rng.uniform(14, 40)
    iy, ix = np.mgrid[:ny, :nx]
    along = (ix - x) * np.cos(theta) + (iy - y) * np.sin(theta)
    across = (iy - y) * np.cos(theta) - (ix - x) * np.sin(theta)
    share = np.clip(along / length + 0.5, 0, 1)
    sigma = 0.35 + 1.1 * share
    inside = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    light = inside * np.exp(-0.5 * (across / sigma) ** 2) / sigma
    return x, y, light / light.max()


def _with_muons(folder, rng):
    """Tracks added to the difference images; where they are, as `clutter.ecsv` tells it."""
    rows = []
    for path in sorted(folder.glob("*scimrefdiffimg.fits.fz")):
        with fits.open(path) as held:
            header, data = held[1].header, held[1].data.astype(np.float32)
        sigma = 1.4826 * np.nanmedian(np.abs(data - np.nanmedian(data)))
        for _ in range(MUONS):
            x, y, light = _muon(rng, data.shape)
            data += (rng.uniform(6, 20) * sigma * light).astype(np.float32)
            rows.append((path.name.removesuffix(".fits.fz"), x, y, "cosmic_ray"))
        hdu = fits.CompImageHDU(data, header, quantize_level=16)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return rows


def _truth_of(streaks, folder, muons):
    """What each found streak is: nearest of what was put in, within 8 px; else blank."""
    put = [*muons]
    for name in ("truth", "clutter"):
        table = QTable.read(folder / f"{name}.ecsv")
        put += [(str(r["image"]), _px(r["x"]), _px(r["y"]), str(r["label"])) for r in table]
    lines = QTable.read(folder / "truth.ecsv")
    found = {}
    for row in streaks:
        x, y, image = _px(row["x"]), _px(row["y"]), str(row["image"])
        near = [(np.hypot(x - px, y - py), label) for im, px, py, label in put if im == image]
        # A long trail's found middle may lie anywhere along it.
        near += [
            (_off_line(x, y, line), str(line["label"]))
            for line in lines
            if str(line["image"]) == image
        ]
        distance, label = min(near, default=(np.inf, "skip"))
        found[str(row["streak_id"])] = label if distance < 8 else "skip"
    return found


def _px(value):
    return float(getattr(value, "value", value))


def _off_line(x, y, line):
    x0, y0, x1, y1 = (_px(line[name]) for name in ("x0", "y0", "x1", "y1"))
    d = np.array([x1 - x0, y1 - y0])
    t = np.clip(((x - x0) * d[0] + (y - y0) * d[1]) / max(d @ d, 1e-9), 0, 1)
    return float(np.hypot(x - x0 - t * d[0], y - y0 - t * d[1]))


def _answered(nights, truth, path):
    """Volunteers' answers to the exported subjects, as Zooniverse gives them back."""
    subjects = []
    for night in nights:
        folder = night.with_name(night.name + "-subjects")
        assert _run("labels", "export", night, "-o", folder) == 0
        with (folder / "manifest.csv").open(newline="") as file:
            subjects += list(csv.DictReader(file))
    names = [row["#streak_id"] for row in subjects]
    index = np.array([NAMES.index(truth[name]) for name in names])
    made = simulate(len(names), 5, seed=77, n_volunteers=40)
    drawn = np.random.default_rng(78).random(len(made.subject))[:, None]
    table = made.tables[made.volunteer, index[made.subject]].cumsum(axis=1)
    answer = np.minimum((table < drawn).sum(axis=1), len(NAMES) - 1)
    gold = {row: int(index[row]) for row in made.gold}
    told = replace(made, truth=index, answer=answer, gold=gold)
    rows = simulated_rows(told, NAMES, streak_ids=names)
    for row, subject in zip(rows, made.subject, strict=True):
        about = json.loads(row["subject_data"])
        (held,) = about.values()
        held |= {k: v for k, v in subjects[subject].items() if k not in held}
        row["subject_data"] = json.dumps(about)
    return write_export(path, rows), len(names)


def test_a_network_learns_a_detectors_muons_from_volunteers(tmp_path):
    pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
    rng, truth, nights = np.random.default_rng(5), {}, []
    config = NightConfig(asteroids=(8, 10), asteroid_length_px=(12.0, 45.0), satellites=0.2)
    for seed in SEEDS:
        images, night = tmp_path / f"images{seed}", tmp_path / f"night{seed}"
        make_night(images, frames=FRAMES, seed=seed, shape=SHAPE, config=config)
        muons = _with_muons(images, rng)
        assert _run("night", images, "-o", night, "-q") == 0
        truth |= _truth_of(QTable.read(night / "streaks.parquet"), images, muons)
        nights.append(night)
    learnt, held = nights[:-N_HELD], nights[-N_HELD:]
    export, n_subjects = _answered(learnt, truth, tmp_path / "export.csv")
    labels = tmp_path / "labels.csv"
    listed = tmp_path / "otherwise.csv"
    assert _run("labels", "import", export, "-o", labels, "--disagreements", listed) == 0
    pooled = Table.read(labels)
    said = {str(r["name"]): str(r["label"]) for r in pooled if str(r["label"]) in NAMES}
    assert len(pooled) == n_subjects
    assert np.mean([truth[name] == label for name, label in said.items()]) > 0.9
    assert "cosmic_ray" in set(Table.read(listed)["label"])
    Table({"name": list(truth), "label": list(truth.values())}).write(tmp_path / "truth.csv")
    words = ["--labels", labels, "--n", 600, "--epochs", 4]
    words += [word for night in learnt for word in ("--cutouts", night)]
    words += [word for night in held for word in ("--held-out", night)]
    words += ["--held-out-labels", tmp_path / "truth.csv", "-o", tmp_path / "mine"]
    assert _run("train", "cnn", *words) == 0
    gain = json.loads((tmp_path / "mine" / "card.json").read_text())["training"]["gain"]
    assert gain["n"] > 60
    assert gain["n_groups"] == FRAMES * N_HELD
    assert gain["accuracy"]["low"] > 0
    assert gain["log_score"]["low"] > 0
