"""Cutouts of other PSFs: brought to the usual FWHM, and how long their source is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from streaks.classification import OUTPUTS, classify_cutouts
from streaks.cutouts import (
    USUAL_FWHM_PX,
    Cutouts,
    brought_to_usual_fwhm,
    measure_elongation,
    resolved_probability,
    stack_cutouts,
)
from streaks.errors import FrameError, ReadError
from streaks.readers import FrameOverrides, read_cutouts, read_frame
from streaks.readers.psf_images import psf_image_fwhm
from tests.frame_files import noise_image, real_data, write_ztf_frame
from tests.rendering import add_trail, flux_for_snr
from tests.thinning import some_pairs

_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_SIZE = 64


def _drawn(
    fwhm_px: float, lengths: float, snr: float, n: int, *, seed: int = 0, size: int = _SIZE
) -> Cutouts:
    """Trails of a length in FWHM through the middle, in white noise."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.0, 1.0, (n, size, size))
    for image in images:
        x, y = size // 2 + rng.uniform(-1.0, 1.0, 2)
        turn, half = rng.uniform(0.0, math.pi), max(0.5 * lengths * fwhm_px, 0.01)
        dx, dy = half * math.cos(turn), half * math.sin(turn)
        ends = (x - dx, y - dy, x + dx, y + dy)
        sigma_px = fwhm_px / _SIGMA
        flux = flux_for_snr(ends, snr, sigma_px=sigma_px, noise=1.0)
        add_trail(image, ends, flux, sigma_px)
    return _cutouts(images, fwhm_px)


def _cutouts(images: NDArray[np.float64], fwhm_px: float | None) -> Cutouts:
    names = tuple(f"c{i}" for i in range(len(images)))
    widths = None if fwhm_px is None else np.full(len(images), fwhm_px)
    return Cutouts(images.astype(np.float32), np.zeros(images.shape, bool), names, fwhm_px=widths)


def _share_resolved(cutouts: Cutouts) -> float:
    return float((resolved_probability(measure_elongation(cutouts)) > 0.5).mean())


@pytest.mark.parametrize("fwhm_px", [1.8, 2.5, 3.4])
@pytest.mark.parametrize(("lengths", "snr"), [(5.0, 8.0), (2.5, 12.0), (1.75, 20.0), (1.5, 30.0)])
def test_trails_clearly_longer_than_the_psf_are_resolved(
    fwhm_px: float, lengths: float, snr: float
) -> None:
    assert _share_resolved(_drawn(fwhm_px, lengths, snr, 40)) >= 0.95


@pytest.mark.parametrize(("fwhm_px", "snr"), some_pairs([1.8, 2.5, 3.4], [8.0, 20.0, 100.0]))
def test_points_are_not(fwhm_px: float, snr: float) -> None:
    assert _share_resolved(_drawn(fwhm_px, 0.0, snr, 200)) <= 0.03


def test_the_length_is_that_of_the_trail() -> None:
    found = measure_elongation(_drawn(2.5, 4.0, 30.0, 20))
    assert np.median(found.length_px) == pytest.approx(10.0, abs=0.5)
    np.testing.assert_allclose(found.fwhm_px, 2.5)


def test_a_wide_round_source_is_not_long() -> None:
    wide = _drawn(4.5, 0.0, 30.0, 40)
    told = _cutouts(wide.difference.astype(float), 2.5)
    assert _share_resolved(told) <= 0.05


def test_where_there_is_nothing_nothing_is_told() -> None:
    noise = np.random.default_rng(1).normal(size=(20, _SIZE, _SIZE))
    assert np.isnan(resolved_probability(measure_elongation(_cutouts(noise, 2.5)))).mean() > 0.8
    empty = _cutouts(np.zeros((0, _SIZE, _SIZE)), 2.5)
    assert len(resolved_probability(measure_elongation(empty))) == 0


def test_a_masked_cutout_tells_nothing() -> None:
    cutouts = _drawn(2.5, 3.0, 30.0, 2)
    blind = Cutouts(
        cutouts.difference, np.ones(cutouts.mask.shape, bool), cutouts.names, fwhm_px=None
    )
    assert np.isnan(resolved_probability(measure_elongation(blind))).all()


@pytest.mark.parametrize(("fwhm_px", "size"), [(1.2, 64), (5.0, 64), (7.0, 101), (12.0, 128)])
def test_another_psf_is_brought_to_the_usual_one(fwhm_px: float, size: int) -> None:
    point = _drawn(fwhm_px, 0.0, 1e5, 1, size=size)
    changed = brought_to_usual_fwhm(point)
    assert changed.difference.shape == point.difference.shape
    assert changed.fwhm_px is not None
    assert changed.fwhm_px[0] == USUAL_FWHM_PX
    # The mean over a larger pixel widens what it shows by its own size, a tenth at the most.
    width = psf_image_fwhm(changed.difference[0])
    assert width == pytest.approx(USUAL_FWHM_PX, rel=0.12)


def test_what_shrinks_keeps_its_mean_and_its_middle() -> None:
    images = np.full((1, 61, 61), 7.0)
    images[0, 30, 30] = 107.0
    changed = brought_to_usual_fwhm(_cutouts(images, 5.0))
    assert changed.difference[0, 30, 30] == pytest.approx(7.0 + 100.0 / 4.0)
    inside = ~changed.mask[0]
    assert inside.sum() == pytest.approx(30.5**2, rel=0.05)
    assert np.median(changed.difference[0][inside]) == pytest.approx(7.0)
    assert (changed.difference[0][~inside] == 0).all()


def test_masked_pixels_do_not_leak_into_others() -> None:
    images = np.zeros((1, 61, 61))
    images[0, :, 20:24] = 1e6
    cutouts = _cutouts(images, 5.0)
    cutouts.mask[0, :, 20:24] = True
    changed = brought_to_usual_fwhm(cutouts)
    assert np.abs(changed.difference).max() == 0
    assert (
        changed.mask[0, 30].sum() > brought_to_usual_fwhm(_cutouts(images, 5.0)).mask[0, 30].sum()
    )


def test_a_usual_or_unknown_psf_changes_nothing() -> None:
    for width in (None, 2.3, 3.4, math.nan):
        cutouts = _cutouts(np.zeros((1, 32, 32)), width)
        assert brought_to_usual_fwhm(cutouts) is cutouts


def test_widths_are_carried_along() -> None:
    one, two = _cutouts(np.zeros((2, 32, 32)), 2.0), _cutouts(np.zeros((1, 32, 32)), None)
    widths = stack_cutouts([one.select(np.array([1])), two]).fwhm_px
    assert widths is not None
    assert widths[0] == 2.0
    assert np.isnan(widths[1])
    with pytest.raises(FrameError, match=r"fwhm_px is \(3,\); expected \(2,\)"):
        Cutouts(one.difference, one.mask, one.names, fwhm_px=np.zeros(3))


class _Sure:
    """Says one class, whatever it is shown."""

    name = "sure"

    def __init__(self, output: str) -> None:
        self._output = output

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        p = np.full((len(cutouts), len(OUTPUTS)), 0.01)
        p[:, OUTPUTS.index(self._output)] = 0.93
        return p


@pytest.mark.parametrize("output", ["asteroid", "satellite"])
def test_a_point_that_would_be_called_a_trail_is_unresolved(output: str) -> None:
    table = classify_cutouts(_Sure(output), _drawn(2.5, 0.0, 30.0, 3))
    assert table["label"].tolist() == ["unresolved"] * 3
    assert (table["p_unresolved"] > 0.9).all()
    names = [f"p_{name}" for name in OUTPUTS[:-1]]
    total = sum(np.asarray(table[name]) for name in (*names, "p_unresolved"))
    np.testing.assert_allclose(total, 0.99)
    np.testing.assert_allclose(table["rb"], 0.94)


def test_a_trail_keeps_its_class_and_a_star_its_own() -> None:
    trails = classify_cutouts(_Sure("asteroid"), _drawn(2.5, 4.0, 30.0, 3))
    assert trails["label"].tolist() == ["asteroid"] * 3
    assert (trails["p_unresolved"] < 0.01).all()
    stars = classify_cutouts(_Sure("naked_star"), _drawn(2.5, 0.0, 30.0, 3))
    assert stars["label"].tolist() == ["naked_star"] * 3


def _two_points_and_a_trail(fwhm_px: float = 2.5) -> Cutouts:
    point, trail = _drawn(fwhm_px, 0.0, 30.0, 2), _drawn(fwhm_px, 5.0, 30.0, 1, seed=3)
    return stack_cutouts([point, trail])


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_each_cutout_gets_its_own_length_however_many_are_looked_at_at_once(batch: int) -> None:
    order = np.array([2, 0, 2, 1, 2])
    shuffled = _two_points_and_a_trail().select(order)
    labels = classify_cutouts(_Sure("asteroid"), shuffled, batch=batch)["label"]
    assert labels.tolist() == ["asteroid", "unresolved", "asteroid", "unresolved", "asteroid"]


def test_what_is_known_to_be_a_trail_is_not_measured_again() -> None:
    cutouts = _two_points_and_a_trail()
    sure = np.array([True, False, False])
    table = classify_cutouts(_Sure("asteroid"), cutouts, sure_trails=sure)
    assert table["label"].tolist() == ["asteroid", "unresolved", "asteroid"]
    assert table["p_unresolved"][0] == 0.0
    assert sure.tolist() == [True, False, False]


def test_a_fitted_length_of_more_than_four_widths_is_believed() -> None:
    # 10 px are four times a FWHM of 2.5 px.
    lengths_px = np.array([10.2, 9.8, 3.0])
    cutouts = _two_points_and_a_trail()
    table = classify_cutouts(_Sure("asteroid"), cutouts, lengths_px=lengths_px)
    assert table["label"].tolist() == ["asteroid", "unresolved", "asteroid"]
    # Without a width a length in pixels says nothing.
    unknown = Cutouts(cutouts.difference, cutouts.mask, cutouts.names)
    table = classify_cutouts(_Sure("asteroid"), unknown, lengths_px=lengths_px)
    assert table["label"].tolist() == ["unresolved", "unresolved", "asteroid"]


def test_a_light_that_is_hardly_a_trail_is_not_measured() -> None:
    class Hardly:
        name = "hardly"

        def __init__(self, share: float) -> None:
            self._share = share

        def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
            p = np.zeros((len(cutouts), len(OUTPUTS)))
            p[:, 0] = p[:, 1] = 0.5 * self._share
            p[:, 3] = 1.0 - self._share
            return p

    point = _drawn(2.5, 0.0, 30.0, 1)
    assert classify_cutouts(Hardly(0.04), point)["p_unresolved"][0] == 0.0
    assert classify_cutouts(Hardly(0.06), point)["p_unresolved"][0] == pytest.approx(0.06, abs=5e-3)


@pytest.mark.parametrize("fwhm_px", [1.5, 2.5, 6.8, 12.0])
def test_a_picture_of_a_psf_tells_its_width(fwhm_px: float) -> None:
    image = _drawn(fwhm_px, 0.0, 1e6, 1, size=71).difference[0]
    assert psf_image_fwhm(image) == pytest.approx(fwhm_px, rel=0.03)


@pytest.mark.parametrize(
    "image",
    [np.zeros((31, 31)), np.ones((31, 31)), np.ones((3, 3)), np.full((31, 31), np.nan),
     np.ones(31), np.ones((2000, 31))],
)  # fmt: skip
def test_what_is_no_psf_tells_none(image: NDArray[np.float64]) -> None:
    assert math.isnan(psf_image_fwhm(image))


def _psf_picture(fwhm_px: float) -> NDArray[np.float32]:
    return _drawn(fwhm_px, 0.0, 1e6, 1, size=41).difference[0]


def test_a_frame_knows_the_psf_that_lies_beside_it(tmp_path: Path) -> None:
    path = write_ztf_frame(tmp_path, noise_image((64, 64)))
    header_says = read_frame(path).fwhm_px
    beside = path.with_name(path.name.replace("scimrefdiffimg", "diffimgpsf"))
    fits.PrimaryHDU(_psf_picture(3.3)).writeto(beside)
    frame = read_frame(path)
    assert frame.fwhm_px == pytest.approx(3.3, rel=0.03)
    assert "diffimgpsf" in frame.fwhm_source
    assert frame.psf is not None
    np.testing.assert_allclose(frame.psf, _psf_picture(3.3))
    told = read_frame(path, overrides=FrameOverrides(fwhm_px=2.0))
    assert told.fwhm_px == 2.0
    assert told.psf is not None
    beside.write_bytes(b"SIMPLE")
    assert read_frame(path).fwhm_px == header_says
    assert read_frame(path).psf is None
    with pytest.raises(ReadError):
        read_frame(path, psf=beside)


def test_a_stamp_knows_the_psf_of_its_own_file(tmp_path: Path) -> None:
    data = fits.PrimaryHDU(np.random.default_rng(0).normal(size=(31, 31)).astype(np.float32))
    psf = fits.ImageHDU(_psf_picture(6.8), name="PSFIMAGE")
    fits.HDUList([data, psf]).writeto(tmp_path / "stamp.fits")
    widths = read_cutouts(tmp_path).cutouts[0].fwhm_px
    assert widths is not None
    assert widths[0] == pytest.approx(6.8, rel=0.03)
    frame = read_frame(tmp_path / "stamp.fits")
    assert frame.fwhm_px == pytest.approx(6.8, rel=0.03)
    assert frame.psf is not None
    assert frame.psf.shape == _psf_picture(6.8).shape


def test_rubins_points_are_no_asteroids_and_its_trail_is_one() -> None:
    """Other PSFs than those of the training: FWHM 5 to 9 px."""
    import csv

    from streaks.models import load_classifier

    folder = real_data("real-frames")
    with (folder / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "cutout"]
    truth = {Path(row["file"]).name: row["truth"] for row in rows}
    classifier = load_classifier()
    said: dict[str, str] = {}
    for stack in read_cutouts(folder / "rubin" / "stamps").cutouts:
        table = classify_cutouts(classifier, stack)
        said |= dict(zip(table["streak_id"].tolist(), table["label"].tolist(), strict=True))
    points = [name for name, what in truth.items() if what == "positive point source"]
    assert len(points) == 37
    assert sum(said[name] == "asteroid" for name in points) <= 2
    assert [said[n] for n, what in truth.items() if what == "asteroid trail"] == ["asteroid"]


@pytest.mark.parametrize(("sigma_px", "x", "y"), [(1.1, 31.3, 29.8), (3.0, 33.0, 31.5)])
def test_a_round_source_is_fitted_with_its_width_and_snr(
    sigma_px: float, x: float, y: float
) -> None:
    from streaks.cutouts._fits import fit_round_source

    rows, columns = np.mgrid[:63, :62].astype(float)
    g = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2.0 * sigma_px**2))
    z, good = (20.0 * g).astype(np.float32), np.ones(g.shape, bool)
    good[:, 28] = False  # A masked column takes its part of the signal away.
    z[:, 28] = 1e6
    snr, width = fit_round_source(z, good, (11, 52), (32.0, 30.0), 6.0, 1.06, (0.45, 4.0))
    assert width == pytest.approx(sigma_px, rel=0.01)
    assert snr == pytest.approx(20.0 * np.sqrt((g * g)[good].sum()), rel=0.01)
