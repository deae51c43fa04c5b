"""Many times of few objects in one call: the same places as one by one."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.time import Time

from streaks.errors import CatalogueError
from streaks.known import (
    PREDICTION_COLUMNS,
    NBody,
    Observatory,
    Orbits,
    predict,
    predict_epochs,
)
from streaks.known.kepler import Elements

SITE = Observatory("675", "Palomar Mountain", 243.13746, 0.836357, 0.546831)
EPOCH = 2458600.5


def orbits_of(epochs: tuple[float, ...] = (EPOCH, EPOCH, EPOCH + 40.0)) -> Orbits:
    """A main-belt asteroid, one that crosses the Earth's orbit, one of another epoch."""
    elements = Elements(
        q_au=np.array([2.2, 0.6, 1.9]), e=np.array([0.15, 0.55, 0.2]),
        incl_rad=np.array([0.1, 0.05, 0.3]), node_rad=np.array([1.0, 2.0, 3.0]),
        argperi_rad=np.array([0.5, 1.5, 2.5]), tp_jd=np.array([EPOCH - 300.0, EPOCH + 60.0, EPOCH]),
    )  # fmt: skip
    names = np.array(["101", "2018 AA", "103"])
    one = np.ones(3)
    return Orbits(names, names, 15.0 * one, 0.15 * one, np.array(epochs), *elements, 0.0 * one)


#: Before and after the epochs, out of order, one twice, one at the epoch itself.
DAYS = np.array([3.0, -410.0, 3.02, 900.5, 0.0, -5.25, 400.0, 3.0, 31.9, 64.1])
WHICH = np.array([0, 1, 1, 0, 2, 2, 1, 0, 1, 2])


@pytest.mark.parametrize("dynamics", ["n-body", "two-body"])
def test_all_at_once_are_what_each_is_alone(dynamics: str) -> None:
    orbits = orbits_of()
    times = Time(EPOCH + DAYS, format="jd", scale="tdb")
    together = predict_epochs(orbits, WHICH, times, SITE, dynamics=dynamics, exposure_s=60.0)
    assert len(together) == len(DAYS)
    for k, which in enumerate(WHICH):
        alone = predict(
            orbits.select(np.array([which])), times[k], SITE, dynamics=dynamics, exposure_s=60.0
        )
        for spec in PREDICTION_COLUMNS:
            if spec.dtype is str:
                assert together[spec.name][k] == alone[spec.name][0]
            else:
                # Degrees to 1e-9 are 4 microarcsec.
                assert together[spec.name][k].value == pytest.approx(
                    alone[spec.name][0].value, rel=1e-9, abs=1e-9
                )


def test_a_step_that_one_time_ends_does_not_end_those_of_others() -> None:
    # Three copies in one common step, each to its own share of it.
    orbits = orbits_of()
    days = np.array([1.0, 15.0, 31.0])
    position, velocity = NBody().states_along(orbits, np.zeros(3, int), EPOCH + days)
    for k, day in enumerate(days):
        alone = NBody().states(orbits.select(np.array([0])), EPOCH + day)
        np.testing.assert_allclose(position[k], alone[0][0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(velocity[k], alone[1][0], rtol=0, atol=1e-13)


def test_an_epoch_that_no_ephemeris_holds_gives_no_place(caplog) -> None:
    orbits = orbits_of((EPOCH, -1e7, EPOCH))
    times = Time(EPOCH + np.array([1.0, 1.0]), format="jd", scale="tdb")
    with caplog.at_level(logging.WARNING):
        found = predict_epochs(orbits, np.array([0, 1]), times, SITE)
    assert np.isfinite(found["ra"].value).tolist() == [True, False]


def test_none_asked_gives_a_table_of_no_rows() -> None:
    none = predict_epochs(
        orbits_of(), np.zeros(0, int), Time(np.zeros(0), format="jd", scale="tdb"), SITE
    )
    assert len(none) == 0
    assert none.colnames == [spec.name for spec in PREDICTION_COLUMNS]


def test_one_time_for_each_is_asked_for() -> None:
    with pytest.raises(CatalogueError, match="1 times for 2 objects"):
        predict_epochs(orbits_of(), np.array([0, 1]), Time([EPOCH], format="jd"), SITE)
