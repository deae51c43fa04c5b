"""Pairs that look alike, one by one, drawn plainly here and shown to the shipped models.

Each is drawn 24 times, at random angles and places; FIELD's descriptions of the classes say
what tells one from the other.
"""

from __future__ import annotations

import numpy as np
import pytest

from streaks.classification import OUTPUTS
from streaks.models import load_classifier
from tests.toy_cutouts import noise, stack, trail

SIZE = 128
N = 24


def _grid():
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    return x - (SIZE - 1) / 2, y - (SIZE - 1) / 2


def _turned(theta_deg):
    """Along and across a direction through the centre."""
    x, y = _grid()
    cos, sin = np.cos(np.radians(theta_deg)), np.sin(np.radians(theta_deg))
    return x * cos + y * sin, y * cos - x * sin


def _place(rng):
    return tuple((SIZE - 1) / 2 + rng.uniform(-1.5, 1.5, 2))


def _short_asteroid(rng, fwhm_px=1.9):
    """A sharp PSF, the sharpest tenth of ZTF's, with the wings that every real one has."""
    along, across = _turned(rng.uniform(0, 180))
    x, y = rng.uniform(-1.5, 1.5, 2)
    beyond = np.maximum(np.abs(along - x) - rng.uniform(7, 14) / 2, 0.0)
    # Moffat's profile of exponent 3 (Moffat 1969, A&A 3, 455) about the segment.
    core = fwhm_px / 2 / np.sqrt(2 ** (1 / 3) - 1)
    return 20.0 * (1 + ((across - y) ** 2 + beyond**2) / core**2) ** -3.0


def _cosmic_ray(rng):
    """As long, as bright, one pixel wide, not blurred."""
    image = np.zeros((SIZE, SIZE))
    theta, length = np.radians(rng.uniform(0, 180)), rng.uniform(7, 14)
    cx, cy = _place(rng)
    t = np.linspace(-length / 2, length / 2, 60)
    rows, columns = np.rint(cy + t * np.sin(theta)), np.rint(cx + t * np.cos(theta))
    image[rows.astype(int), columns.astype(int)] = 60.0
    return image


def _asteroid(rng):
    theta = rng.uniform(0, 180)
    return trail(length=rng.uniform(15, 35), theta_deg=theta, peak=7.0, centre=_place(rng))


def _dashed_satellite(rng):
    """Regular dashes from border to border, one of them in the middle."""
    along, across = _turned(rng.uniform(0, 180))
    period, share = rng.uniform(24, 40), rng.uniform(0.4, 0.6)
    phase = np.abs((along + period / 2) % period - period / 2)
    beyond = np.maximum(phase - share * period / 2, 0.0)
    return 9.0 * np.exp(-0.5 * (across**2 + beyond**2) / 1.2**2)


def _satellite(rng):
    return trail(length=400, theta_deg=rng.uniform(0, 180), peak=8.0, centre=_place(rng))


def _spike(rng):
    """Two spikes at right angles from a masked, saturated star, fading outwards."""
    along, across = _turned(rng.choice([0.0, 90.0]) + rng.uniform(-3, 3))
    image = np.zeros((SIZE, SIZE))
    for run, off in ((along, across), (across, along)):
        image += 60.0 * np.exp(-np.abs(run) / 18.0) * np.exp(-0.5 * (off / 1.3) ** 2)
    r = np.hypot(*_grid())
    return image + 25.0 * np.exp(-r / 8.0), (r < 9) | ((np.abs(_grid()[0]) < 2) & (r < 30))


def _row_of_dipoles(rng):
    """Small sharp pairs of light and dark, in a line, all shifted the same way."""
    theta = np.radians(rng.uniform(0, 180))
    shift = rng.uniform(0, 2 * np.pi)
    dx, dy = 1.3 * np.cos(shift), 1.3 * np.sin(shift)
    image = np.zeros((SIZE, SIZE))
    x, y = _grid()
    for k in range(-2, 3):
        t = 14 * k + rng.uniform(-3, 3)
        cx, cy = t * np.cos(theta), t * np.sin(theta)
        peak = rng.uniform(12, 30)
        for sign in (1, -1):
            r2 = (x - cx - sign * dx) ** 2 + (y - cy - sign * dy) ** 2
            image += sign * peak * np.exp(-0.5 * r2 / 1.1**2)
    return image


def _faint_streak(rng):
    theta = rng.uniform(0, 180)
    return trail(length=rng.uniform(25, 50), theta_deg=theta, peak=3.2, centre=_place(rng))


def _caustic_ghost(rng):
    """A folded sheet: a broad fan with two bright edges that meet outside, and haze between."""
    theta = rng.uniform(0, 180)
    along, across = _turned(theta)
    width = 10.0 + 0.09 * (along + 64.0)
    inside = 1.0 / (1.0 + np.exp((np.abs(across) - width) / 1.5))
    edges = np.exp(-0.5 * ((np.abs(across) - width) / 2.5) ** 2)
    middle = np.exp(-0.5 * ((across - 0.3 * width) / 3.5) ** 2)
    return 2.5 * inside + 7.0 * edges + 3.0 * middle


def _drawn(draw, seed):
    rng = np.random.default_rng(seed)
    images, masks = [], []
    for _ in range(N):
        drawn = draw(rng)
        shape, mask = drawn if isinstance(drawn, tuple) else (drawn, np.zeros((SIZE, SIZE), bool))
        images.append(np.where(mask, 0.0, noise(rng) + shape))
        masks.append(mask)
    return stack(images, masks)


TWINS = [
    ("asteroid", _short_asteroid, "cosmic_ray", _cosmic_ray),
    ("asteroid", _asteroid, "satellite", _dashed_satellite),
    ("satellite", _satellite, "masked_star", _spike),
    ("asteroid", _faint_streak, "yin_yang", _row_of_dipoles),
    ("satellite", _satellite, "ghost", _caustic_ghost),
]


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("default")


@pytest.mark.parametrize(
    ("one", "draw_one", "other", "draw_other"), TWINS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_twins_are_told_apart(classifier, one, draw_one, other, draw_other):
    a, b = OUTPUTS.index(one), OUTPUTS.index(other)
    ones = classifier.predict_proba(_drawn(draw_one, seed=1))
    others = classifier.predict_proba(_drawn(draw_other, seed=2))
    assert np.mean(ones[:, a] > ones[:, b]) >= 0.8
    assert np.mean(others[:, b] > others[:, a]) >= 0.8
