"""Bad references: what comes back in all exposures is told, what does not is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streaks.frame import Frame
from streaks.plotting import decode_picture
from streaks.plotting.references import FAULT_COLOURS, reference_picture
from streaks.references import FAULTS, judge_references, reference_clues
from tests.made_streaks import made_wcs
from tests.rendering import add_star

SHAPE, SIGMA = (251, 280), 2.5 / 2.3548
STARS = [(60.0, 70.0), (150.0, 60.0), (200.0, 180.0), (90.0, 190.0)]


def sky(seed: int, level: float, noise: float) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(level, noise, SHAPE)


def exposure(
    seed: int, change=None, *, reference_change=None, shift: tuple[int, int] = (0, 0)
) -> Frame:
    """An exposure of four stars, pointed a few pixels aside; `change` adds to the difference."""
    difference, reference, science = sky(seed, 0, 10), sky(99, 300, 3), sky(seed + 50, 500, 9)
    for x, y in STARS:
        for image in (reference, science):
            add_star(image, x + shift[0], y + shift[1], 2e4, SIGMA)
    if change is not None:
        change(difference, shift)
    if reference_change is not None:
        reference_change(reference, shift)
    wcs = made_wcs(SHAPE)
    wcs.wcs.crpix = np.array(wcs.wcs.crpix) + shift
    return Frame(
        data=difference.astype(np.float32), mask=np.zeros(SHAPE, bool), name=f"e{seed}", wcs=wcs,
        fwhm_px=2.5, exposure_s=30.0, science=science.astype(np.float32),
        reference=reference.astype(np.float32),
    )  # fmt: skip


def report(*changes, **more):
    shifts = [(0, 0), (3, -2), (-4, 5), (1, 1)]
    frames = [exposure(k, change, shift=shifts[k], **more) for k, change in enumerate(changes)]
    (made,) = judge_references([reference_clues(frame, "ref.fits") for frame in frames])
    return made


def ghost_source(image, shift):
    add_star(image, 120.0 + shift[0], 120.0 + shift[1], -4e3, SIGMA)


def in_reference(image, shift):
    add_star(image, 120.0 + shift[0], 120.0 + shift[1], 2e4, SIGMA)


def too_bright(image, shift):
    add_star(image, STARS[0][0] + shift[0], STARS[0][1] + shift[1], -4e3, SIGMA)


def ringed(image, shift):
    x, y = STARS[1][0] + shift[0], STARS[1][1] + shift[1]
    add_star(image, x, y, -1.2e4, SIGMA)
    add_star(image, x, y, 1.2e4, 1.7 * SIGMA)


def dipole(image, shift):
    add_star(image, STARS[2][0] + shift[0] - 1, STARS[2][1] + shift[1], -4e3, SIGMA)
    add_star(image, STARS[2][0] + shift[0] + 1, STARS[2][1] + shift[1], 4e3, SIGMA)


def test_a_sound_reference_has_no_fault():
    made = report(None, None, None, None)
    assert made.faults == ()
    assert made.summary == "no fault found"
    assert made.plain()["enough"]


@pytest.mark.parametrize(
    ("change", "more", "kind", "place"),
    [
        (ghost_source, {"reference_change": in_reference}, "missing in science", (120, 120)),
        (too_bright, {}, "negative source", STARS[0]),
        (ringed, {}, "ringed source", STARS[1]),
    ],
)
def test_what_comes_back_in_all_exposures_is_a_fault(change, more, kind, place):
    made = report(change, change, change, **more)
    (fault,) = made.faults
    assert fault.kind == kind
    assert (fault.epochs, fault.of_epochs) == (3, 3)
    assert np.hypot(fault.x - place[0], fault.y - place[1]) < 1.5
    assert made.summary == f"1 {kind}"


def test_what_one_exposure_shows_is_no_fault_of_the_reference():
    assert report(too_bright, None, None, None).faults == ()


def test_two_exposures_tell_nothing():
    made = report(too_bright, too_bright)
    assert made.faults == ()
    assert not made.plain()["enough"]


def test_stars_out_of_register_are_no_fault_of_the_reference():
    assert report(dipole, dipole, dipole).faults == ()


def test_a_gradient_of_the_reference_s_sky():
    def tilt(image, shift):
        image += np.linspace(0, 12, image.shape[1])[None, :]

    made = report(None, None, None, reference_change=tilt)
    (fault,) = made.faults
    assert fault.kind == "gradient"
    # 12 counts over noise of 3, widened a little by the tilt itself.
    assert 2.0 < fault.snr < 4.5


def test_references_are_kept_apart():
    frames = [exposure(k, too_bright) for k in range(4)]
    names = ["a", "a", "b", "b"]
    reports = judge_references(
        [reference_clues(frame, name) for frame, name in zip(frames, names, strict=True)]
    )
    assert [(r.name, r.epochs, r.faults) for r in reports] == [("a", 2, ()), ("b", 2, ())]


def test_a_picture_shows_the_reference_and_its_faults():
    made = report(ringed, ringed, ringed)
    picture = decode_picture(reference_picture(made))
    assert picture.shape[2] == 3
    assert picture.shape[1] > 460  # close-ups stand beside the whole
    (colour,) = {FAULT_COLOURS[fault.kind] for fault in made.faults}
    assert (np.abs(picture.astype(int) - colour).max(axis=2) < 12).any()


def test_each_kind_of_fault_has_a_colour():
    assert set(FAULT_COLOURS) == set(FAULTS)
