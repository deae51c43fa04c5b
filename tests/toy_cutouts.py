"""Toy cutouts for tests: drawn plainly here, so that no test's truth comes from the package."""

from __future__ import annotations

import numpy as np

from streaks.cutouts import Cutouts


def stack(images, masks=None):
    images = np.asarray(images, dtype=np.float32)
    masks = np.zeros(images.shape, bool) if masks is None else np.asarray(masks, dtype=bool)
    return Cutouts(images, masks, tuple(f"toy{i}" for i in range(len(images))))


def noise(rng, size=128):
    return rng.normal(size=(size, size))


def trail(size=128, *, length, theta_deg, peak, sigma_px=1.2, centre=None):
    """A straight segment blurred by a Gaussian across it and beyond its ends."""
    y, x = np.mgrid[:size, :size].astype(float)
    cx, cy = centre if centre is not None else ((size - 1) / 2, (size - 1) / 2)
    cos, sin = np.cos(np.radians(theta_deg)), np.sin(np.radians(theta_deg))
    along, across = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
    beyond = np.maximum(np.abs(along) - length / 2, 0.0)
    return peak * np.exp(-0.5 * (across**2 + beyond**2) / sigma_px**2)


def dipole(size=128, *, peak, separation=3.0):
    return trail(
        size, length=0, theta_deg=0, peak=peak, centre=(size / 2 - separation, size / 2)
    ) - trail(size, length=0, theta_deg=0, peak=peak, centre=(size / 2 + separation, size / 2))


def labelled_set(n_each, seed, size=128):
    """Asteroids, satellites, dipoles and blanks: four outputs that are easy to tell."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for _ in range(n_each):
        theta = rng.uniform(0, 180)
        shapes = {
            "asteroid": trail(size, length=rng.uniform(10, 40), theta_deg=theta, peak=9.0),
            "satellite": trail(size, length=400, theta_deg=theta, peak=6.0),
            "yin_yang": dipole(size, peak=25.0),
            "skip": 0.0,
        }
        for label, shape in shapes.items():
            images.append(noise(rng, size) + shape)
            labels.append(label)
    return stack(images), labels
