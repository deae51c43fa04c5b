"""UT1 - UTC: as astropy has it, at a tenth of the price."""

from __future__ import annotations

import pytest
from astropy.time import Time
from astropy.utils import iers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streaks.known.earth_rotation import ut1_minus_utc_s


@settings(deadline=None)  # astropy takes half a second to read its tables
@given(mjd=st.floats(41684.0, 61000.0))
@example(mjd=57753.6)  # the day that ended in the leap second of 2016
@example(mjd=57754.0)
def test_ut1_is_that_of_the_tables_of_astropy(mjd: float) -> None:
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        table = iers.earth_orientation_table.get()
        expected = table.ut1_utc(Time(mjd, format="mjd", scale="utc"))
    # 0.1 ms is 5 cm on the Earth: rapid values of the last weeks are given anew by that much.
    assert ut1_minus_utc_s(mjd) == pytest.approx(expected.to_value("s"), abs=1e-4)


def test_ut1_is_measured_from_1962_on() -> None:
    # The first line of IERS 20 C04.
    assert ut1_minus_utc_s(37665.0) == pytest.approx(0.0326338)


@pytest.mark.parametrize("mjd", [30000.0, 90000.0])
def test_ut1_is_utc_where_no_table_reaches(mjd: float) -> None:
    assert ut1_minus_utc_s(mjd) == 0.0
