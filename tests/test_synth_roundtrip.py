"""What is injected by magnitude and rate comes back from the detector without bias."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.time import Time
from astropy.wcs import WCS

from streaks.detection import find_streaks
from streaks.frame import Frame
from streaks.synth import Population, inject
from streaks.synth.nights.sky_geometry import pointing_header

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (600, 701)
SCALE = 1.01


def blank(seed: int) -> Frame:
    """A blank difference image such as ZTF's: 10 counts of noise, FWHM 2.5 px, 30 s."""
    return Frame(
        data=np.random.default_rng(seed).normal(0, 10, SHAPE).astype(np.float32),
        mask=np.zeros(SHAPE, bool),
        name=f"image{seed}",
        wcs=WCS(pointing_header(150.0, 20.0, SHAPE, scale_arcsec=SCALE)),
        time=Time("2020-01-01T06:00:15", scale="utc"),
        exposure_s=30.0,
        fwhm_px=2.5,
        zero_point_mag=26.3,
        gain=6.2,
    )


@pytest.fixture(scope="module")
def found() -> dict[str, np.ndarray]:
    """Found minus injected, of 32 streaks of S/N 40 to 120."""
    population = Population(n=8, snr=(40.0, 120.0), rate_arcsec_per_s=(0.4, 2.0))
    rows = []
    for seed in range(4):
        frame, truth = inject(blank(seed), population, seed=1)
        streaks = find_streaks(frame)
        for row in truth:
            apart = np.hypot(
                streaks["x"].value - row["x"].value, streaks["y"].value - row["y"].value
            )
            nearest = int(np.argmin(apart))
            if apart[nearest] < 5:
                rows.append((streaks[nearest], row))
    return {
        "n": np.array([len(rows)]),
        "mag": np.array([a["mag"].value - b["mag"].value for a, b in rows]),
        "rate": np.array([a["rate"].value / b["rate"].value for a, b in rows]),
        "x": np.array([a["x"].value - b["x"].value for a, b in rows]),
        "y": np.array([a["y"].value - b["y"].value for a, b in rows]),
        "ra": np.array([(a["ra"] - b["ra"]).to_value("arcsec") for a, b in rows]),
    }


def test_all_bright_streaks_are_found_again(found: dict[str, np.ndarray]) -> None:
    assert found["n"][0] >= 31


def test_magnitudes_come_back_without_bias(found: dict[str, np.ndarray]) -> None:
    # S/N 40 to 120 scatters by 0.02 mag each; the mean of 32 is known to 0.004.
    assert np.mean(found["mag"]) == pytest.approx(0.0, abs=0.015)


def test_rates_come_back_without_bias(found: dict[str, np.ndarray]) -> None:
    assert np.median(found["rate"]) == pytest.approx(1.0, abs=0.01)


def test_places_come_back_without_bias(found: dict[str, np.ndarray]) -> None:
    assert np.mean(found["x"]) == pytest.approx(0.0, abs=0.1)
    assert np.mean(found["y"]) == pytest.approx(0.0, abs=0.1)
    assert np.median(found["ra"]) == pytest.approx(0.0, abs=0.1)
