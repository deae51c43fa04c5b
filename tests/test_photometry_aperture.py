"""Light in an aperture along a trail: whole, with an honest error, and NaN where it is hidden."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import DetectionConfig
from streaks.detection import detect_lines, find_streaks
from streaks.detection.aperture import aperture_flux
from streaks.frame import Frame
from streaks.night import NightFolder, read_night, run_night
from streaks.noise import estimate_noise
from streaks.store import add_night
from streaks.tables import StreakFlag
from streaks.trail import moffat_shape
from tests.test_night_run import SURE, write_moving
from tests.test_photometry_shapes import FWHM_PX, NOISE, SHAPE, frame_of, picture, rendered

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

ENDS = (50.3, 48.2, 88.9, 71.4)


def made(snr: float, beta: float, seed: int) -> tuple[NDArray[np.float64], float]:
    """A trail in white noise, and its true flux."""
    shape = rendered(ENDS, FWHM_PX, beta)
    true = snr * NOISE / math.sqrt((shape**2).sum())
    return true * shape + NOISE * np.random.default_rng(seed).normal(size=SHAPE), true


def row_of(frame: Frame, config: DetectionConfig | None = None) -> QTable.Row:
    table = find_streaks(frame, config)
    assert len(table) == 1
    return table[0]


def told(frame: Frame) -> tuple[float, float]:
    row = row_of(frame)
    return float(row["flux_aperture"].value), float(row["flux_aperture_err"].value)


@pytest.mark.parametrize("beta", [2.5, 5.0])
def test_flux_in_the_aperture_is_whole_and_scatters_as_its_error_says(beta: float) -> None:
    ratios, errors = [], []
    for seed in range(24):
        data, true = made(100.0, beta, 1000 + seed)
        flux, error = told(replace(frame_of(data), psf=picture(FWHM_PX, beta)))
        ratios.append(flux / true)
        errors.append(error / true)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)
    # The scatter of 24 numbers is known to 15 %.
    assert np.std(ratios) == pytest.approx(np.mean(errors), rel=0.45)


def test_masked_pixels_are_replaced_by_the_model() -> None:
    ratios, errors, whole = [], [], []
    for seed in range(8):
        data, true = made(200.0, 3.0, seed)
        frame = replace(frame_of(data), psf=picture(FWHM_PX, 3.0))
        whole.append(told(frame)[1])
        mask = np.zeros(SHAPE, bool)
        mask[:, 62:74] = True
        flux, error = told(replace(frame, mask=mask))
        ratios.append(flux / true)
        errors.append(error)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.015)
    # A third of the light is not seen, and the rest tells less.
    assert np.mean(errors) > 1.1 * np.mean(whole)


@pytest.mark.parametrize(("hidden_to", "known"), [(66, True), (74, False)])
def test_a_trail_more_than_half_hidden_has_no_flux_in_the_aperture(
    hidden_to: int, known: bool
) -> None:
    data, true = made(200.0, 3.0, 1)
    frame = frame_of(data)
    fit = detect_lines(frame).streaks[0].fitted
    usable = np.ones(SHAPE, bool)
    usable[:, :hidden_to] = False
    flux, error = aperture_flux(
        frame.data, estimate_noise(frame.data, frame.mask), usable, fit, width_px=FWHM_PX,
        psf=moffat_shape(FWHM_PX, 3.0),
    )  # fmt: skip
    # The trail reaches from x = 50 to 89.
    assert math.isfinite(flux) == math.isfinite(error) == known
    if known:
        assert flux == pytest.approx(true, rel=0.05)


def test_a_dark_trail_has_a_negative_flux_of_the_same_size() -> None:
    data, _ = made(100.0, 3.0, 4)
    config = DetectionConfig(negative=True)
    bright, dark = row_of(frame_of(data), config), row_of(frame_of(-data), config)
    assert dark["flags"] & StreakFlag.NEGATIVE
    # What is dark raises the noise that is measured where it lies, as bad subtractions do.
    assert dark["flux_aperture"].value == pytest.approx(-bright["flux_aperture"].value, rel=0.03)
    assert dark["flux_aperture_err"].value >= 0.95 * bright["flux_aperture_err"].value


def test_light_beside_a_trail_shows_as_a_difference_of_both_fluxes() -> None:
    data, true = made(200.0, 5.0, 3)
    frame = replace(frame_of(data), psf=picture(FWHM_PX, 5.0))
    y, x = np.indices(SHAPE)
    # A smooth blob at the rim of the aperture: 5 px from the track.
    data = data + 0.3 * true / (2 * math.pi * 9.0) * np.exp(
        -((x - 67.0) ** 2 + (y - 65.0) ** 2) / 18.0
    )
    plain, lit = row_of(frame), row_of(replace(frame, data=data.astype(np.float32)))
    by_fit = lit["flux"].value - plain["flux"].value
    by_aperture = lit["flux_aperture"].value - plain["flux_aperture"].value
    assert by_aperture > 1.5 * abs(by_fit)
    assert by_aperture > 5.0 * plain["flux_aperture_err"].value


def test_photons_and_correlated_noise_make_the_error_larger() -> None:
    from scipy.ndimage import gaussian_filter

    data, true = made(100.0, 3.0, 5)
    frame = replace(frame_of(data), psf=picture(FWHM_PX, 3.0))
    plain = told(frame)[1]
    # Two electrons a count: the trail's own light adds a variance of flux / 2.
    with_photons = told(replace(frame, gain=2.0))[1]
    assert with_photons**2 - plain**2 == pytest.approx(true / 2.0, rel=0.15)
    smooth = gaussian_filter(np.random.default_rng(5).normal(size=SHAPE), 0.7)
    noisy = (
        data - NOISE * np.random.default_rng(5).normal(size=SHAPE) + NOISE * smooth / smooth.std()
    )
    # In an aperture far wider than the kernel noise adds up as its sum of correlations.
    factor = 2.0 * math.sqrt(math.pi) * 0.7
    assert told(replace(frame, data=noisy.astype(np.float32)))[1] == pytest.approx(
        factor * plain, rel=0.2
    )


def test_the_other_detector_has_the_columns_too() -> None:
    data, true = made(150.0, 5.0, 6)
    table = find_streaks(frame_of(data), DetectionConfig(detector="hough"))
    assert len(table) >= 1
    assert (table["flux_aperture"].value > 0.5 * true).any()


def test_a_night_of_before_these_columns_still_opens_and_is_finished(tmp_path: Path) -> None:
    write_moving(tmp_path / "in", (0.0, 60.0, 120.0))
    run_night(tmp_path / "in", tmp_path / "out", SURE, workers=0)
    folder = NightFolder(tmp_path / "out")
    new = ["flux_aperture", "flux_aperture_err"]
    old = folder.part(str(read_night(folder.root).frames["image"][0]))
    for path in (folder.streaks, old):
        table = pq.read_table(path)
        assert set(new) <= set(table.column_names)
        pq.write_table(table.drop_columns(new), path)
    assert len(read_night(folder.root).streaks) == 3
    # Gone on with, one part of before lies beside two of today: unknown there, known here.
    assert run_night(tmp_path / "in", folder.root, SURE, workers=0).n_done == 3
    night = read_night(folder.root)
    known = np.isfinite(night.streaks["flux_aperture"].value)
    assert sorted(known.tolist()) == [False, True, True]
    assert len(add_night(tmp_path / "store", folder.root)) == 1
