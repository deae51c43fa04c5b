"""Skies whose picture cannot tell their class are known as such, and never made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streaks.errors import ConfigError
from streaks.geometry import Segment
from streaks.synth import make_cutouts
from streaks.synth.cutout_sets import making as cutout_sets
from streaks.synth.cutout_sets.recipes import Sky, _add_trails, _put_star, render
from streaks.synth.cutout_sets.rendering import Rendering
from streaks.synth.cutout_sets.separability import doubt, seen_snr
from streaks.synth.drawing.populations import Trail
from streaks.synth.drawing.psf import Psf
from streaks.synth.drawing.scene import Conditions

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

PSF = Psf(2.5)
CONDITIONS = Conditions(
    science_psf=PSF, reference_psf=PSF, science_model=PSF, reference_model=PSF, sigma=12.0
)


def sky_of(label: str, conditions: Conditions = CONDITIONS, **rendering: object) -> Sky:
    rng = np.random.default_rng(0)
    return Sky(rng, 128, 16, label, Rendering(window_px=128, **rendering), conditions)  # type: ignore[arg-type]


def trail_sky(label: str, length: float, snr: float, theta: float = 30.0, **options: object) -> Sky:
    sky = sky_of(label, **options)  # type: ignore[arg-type]
    segment = Segment.from_midpoint(sky.middle, sky.middle, length, theta)
    _add_trails(sky, [Trail(segment, snr)])
    return sky


def star_sky(label: str, shift_px: float, ratio: float = 1.0) -> Sky:
    conditions = replace(CONDITIONS, shift_px=(shift_px, 0.0), flux_ratio=ratio)
    sky = sky_of(label, conditions)
    _put_star(sky, (sky.middle, sky.middle), 40.0)
    return sky


def why(sky: Sky) -> str:
    return doubt(sky, render(sky)[-1])


@pytest.mark.parametrize(("length", "snr"), [(3.0, 60.0), (10.0, 12.0), (60.0, 8.0), (105.0, 12.0)])
def test_asteroids_of_the_whole_range_of_lengths_can_be_told(length: float, snr: float) -> None:
    assert why(trail_sky("asteroid", length, snr)) == ""


def test_a_faint_asteroid_as_long_as_the_psf_is_wide_may_be_a_star() -> None:
    assert why(trail_sky("asteroid", 3.0, 10.0)) == "round"


def test_an_asteroid_at_the_sharpest_psf_may_be_a_cosmic_ray() -> None:
    sharp = Psf(1.6)
    conditions = replace(
        CONDITIONS, science_psf=sharp, reference_psf=sharp, science_model=sharp,
        reference_model=sharp,
    )  # fmt: skip
    assert why(trail_sky("asteroid", 15.0, 8.0, conditions=conditions)).startswith("as sharp")


def test_an_asteroid_that_edges_cut_at_both_ends_may_be_a_satellite() -> None:
    cut = trail_sky("asteroid", 100.0, 100.0, theta=0.0, edge=(40, 40, 0, 0))
    assert why(cut) == "no end in sight"


def test_an_asteroid_that_an_edge_cuts_at_one_end_can_be_told() -> None:
    assert why(trail_sky("asteroid", 100.0, 100.0, theta=0.0, edge=(40, 0, 0, 0))) == ""


def test_an_asteroid_beside_a_brighter_star_is_not_what_a_finder_found() -> None:
    sky = trail_sky("asteroid", 20.0, 15.0)
    sky.conditions = replace(sky.conditions, flux_ratio=1.5)
    _put_star(sky, (sky.middle + 5, sky.middle - 5), 100.0)
    assert why(sky) == "outshone"


def test_a_bright_star_in_the_corner_leaves_an_asteroid_what_it_is() -> None:
    sky = trail_sky("asteroid", 20.0, 15.0)
    sky.conditions = replace(sky.conditions, flux_ratio=1.5)
    _put_star(sky, (sky.middle + 40, sky.middle - 40), 100.0)
    assert why(sky) == ""


def test_a_slope_of_the_background_outshines_nothing() -> None:
    sky = trail_sky("asteroid", 20.0, 15.0)
    sky.tilt(np.full(sky.shape, 12.0, np.float32))
    assert why(sky) == ""


def test_a_satellite_that_crosses_can_be_told() -> None:
    assert why(trail_sky("satellite", 400.0, 20.0)) == ""


def test_a_satellite_of_one_short_flash_may_be_an_asteroid() -> None:
    assert why(trail_sky("satellite", 30.0, 40.0)) == "one piece with both ends"


def test_a_ghost_that_shows_one_straight_line_may_be_a_satellite() -> None:
    sky = trail_sky("satellite", 400.0, 40.0)
    sky.label = "ghost"
    assert why(sky) == "one straight line"


def test_a_ghost_of_two_straight_lines_can_be_told() -> None:
    sky = trail_sky("satellite", 400.0, 40.0)
    sky.label, line = "ghost", sky.subject
    assert line is not None
    sky.subject = line + np.roll(line, 30, axis=0)
    assert why(sky) == ""


def test_two_lobes_are_a_yin_yang_and_no_naked_star() -> None:
    assert why(star_sky("yin_yang", 0.5)) == ""
    assert why(star_sky("naked_star", 0.5)) == "lobes"


def test_a_star_in_register_is_a_naked_star_and_no_yin_yang() -> None:
    assert why(star_sky("naked_star", 0.0, 1.5)) == ""
    assert why(star_sky("yin_yang", 0.0, 1.5)) == "no lobes"


def test_light_beside_the_subject_counts_as_noise() -> None:
    sky = trail_sky("asteroid", 20.0, 30.0)
    alone = seen_snr(sky, np.zeros(sky.shape, np.float32))
    assert alone == pytest.approx(30.0, rel=1e-3)  # what the trail was scaled to
    crowded = np.zeros(sky.shape, np.float32)
    crowded[:, : int(sky.middle)] = 1e4
    # Half of the trail is drowned: its S/N is that of the other half.
    assert seen_snr(sky, crowded) == pytest.approx(30.0 / np.sqrt(2), rel=0.06)


def test_blanks_have_no_snr_and_are_never_in_doubt() -> None:
    sky = sky_of("skip")
    nothing = np.zeros(sky.shape, np.float32)
    assert np.isnan(seen_snr(sky, nothing))
    assert doubt(sky, nothing) == ""


def test_a_class_that_cannot_be_told_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutout_sets, "doubt", lambda *_: "always")
    monkeypatch.setattr(cutout_sets, "_MOST_DRAWS", 3)
    with pytest.raises(ConfigError, match=r"no ghost that can be told .* in 3 draws of 128 px"):
        make_cutouts(1, seed=1, mix={"ghost": 1.0})


def test_doubtful_cutouts_come_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutout_sets, "doubt", lambda *_: "always")
    cutouts, truth = make_cutouts(2, seed=1, mix={"ghost": 1.0}, doubtful=True)
    assert len(cutouts) == len(truth) == 2
