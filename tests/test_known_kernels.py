"""JPL kernels: what is in them, which segment counts, and files that are damaged or mean harm."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time

from streaks.errors import CatalogueError, ConfigError
from streaks.known import (
    NBody,
    SeriesEphemeris,
    ShippedEphemeris,
    TwoBody,
    default_ephemeris,
    open_ephemeris,
    orbit_through,
    predict,
)
from streaks.known.solar_system import AU_KM, ephemeris_between

_J2000 = 2451545.0
_DAY_S = 86_400.0
_RECORD = 1024
SHIPPED = Path(str(files("streaks.known").joinpath("kernels", "de440_2012_2035.bsp")))

#: Target, centre, first and last day from J2000, and the body's place (km) and its change a day.
Line = tuple[int, int, float, float, float, float]


def _kernel(path: Path, lines: list[Line], *, order: str = "<", per_record: int = 25) -> Path:
    """A kernel made by hand from the rules of DAF and SPK: bodies that move evenly along x."""
    arrays, summaries = [], []
    n_records = -(-len(lines) // per_record)
    word = (1 + 2 * n_records) * 128 + 1
    for target, centre, start, end, km, km_per_day in lines:
        half = 0.5 * (end - start)
        # One record: its middle, its half length, then two coefficients each of x, y, z.
        record = [0.5 * (start + end) * _DAY_S, half * _DAY_S]
        record += [km + km_per_day * 0.5 * (start + end), km_per_day * half, 0.0, 0.0, 0.0, 0.0]
        array = [*record, start * _DAY_S, (end - start) * _DAY_S, len(record), 1.0]
        first, word = word, word + len(array)
        summaries.append(
            struct.pack(f"{order}2d6i", start * _DAY_S, end * _DAY_S, target, centre, 1, 2,
                        first, word - 1)
        )  # fmt: skip
        arrays += array
    kind = b"LTL-IEEE" if order == "<" else b"BIG-IEEE"
    ftp = b"FTPSTR:\r:\n:\r\n:\r\x00:\x81:\x10\xce:ENDFTP"
    head = struct.pack(f"{order}8sii60siii8s", b"DAF/SPK ", 2, 6, b"made in a test".ljust(60),
                       2, 2 * n_records, word, kind)  # fmt: skip
    content = head.ljust(699, b"\0") + ftp
    content = content.ljust(_RECORD, b"\0")
    for k in range(n_records):
        some = summaries[k * per_record : (k + 1) * per_record]
        following = 2 + 2 * (k + 1) if k + 1 < n_records else 0
        control = struct.pack(f"{order}3d", following, 2 * k if k else 0, len(some))
        content += (control + b"".join(some)).ljust(_RECORD, b"\0") + b" " * _RECORD
    path.write_bytes(content + struct.pack(f"{order}{len(arrays)}d", *arrays))
    return path


#: The Sun stands still at the barycentre, the Earth moves away from it.
_SUN: Line = (10, 0, 0.0, 100.0, 0.0, 0.0)
_EARTH: Line = (399, 10, 0.0, 100.0, 1.5e8, 2.5e6)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_kernel_gives_the_place_and_motion_that_stand_in_it(tmp_path: Path, order: str) -> None:
    kernel = open_ephemeris(_kernel(tmp_path / "k.bsp", [_SUN, _EARTH], order=order))
    position, velocity = kernel.state("earth", [_J2000 + 10.0, _J2000 + 90.0])
    np.testing.assert_allclose(position[:, 0], [1.75e8 / AU_KM, 3.75e8 / AU_KM], rtol=1e-12)
    np.testing.assert_allclose(velocity[:, 0], 2.5e6 / AU_KM, rtol=1e-12)
    assert kernel.span_jd == (_J2000, _J2000 + 100.0)
    one, _ = kernel.state("earth", _J2000 + 10.0)
    assert one.shape == (3,)


def test_a_segment_counts_for_its_own_years_only(tmp_path: Path) -> None:
    # The later years stand first in the file: "the last one wins" would lose them.
    later: Line = (399, 10, 50.0, 100.0, 9e8, 0.0)
    earlier: Line = (399, 10, 0.0, 50.0, 1e8, 0.0)
    kernel = open_ephemeris(_kernel(tmp_path / "k.bsp", [_SUN, later, earlier]))
    x = kernel.state("earth", [_J2000 + 25.0, _J2000 + 75.0])[0][:, 0] * AU_KM
    np.testing.assert_allclose(x, [1e8, 9e8])


def test_where_two_segments_hold_a_date_the_last_of_the_last_file_counts(tmp_path: Path) -> None:
    first: Line = (399, 10, 0.0, 100.0, 1e8, 0.0)
    second: Line = (399, 10, 40.0, 60.0, 2e8, 0.0)
    third: Line = (399, 10, 45.0, 55.0, 3e8, 0.0)
    _kernel(tmp_path / "a.bsp", [_SUN, first, second])
    _kernel(tmp_path / "b.bsp", [third])
    kernel = open_ephemeris(tmp_path)
    x = kernel.state("earth", _J2000 + np.array([10.0, 42.0, 50.0, 58.0, 90.0]))[0][:, 0] * AU_KM
    np.testing.assert_allclose(x, [1e8, 2e8, 3e8, 2e8, 1e8])


def test_a_gap_between_segments_is_named(tmp_path: Path) -> None:
    parts: list[Line] = [(399, 10, 0.0, 40.0, 1e8, 0.0), (399, 10, 60.0, 100.0, 1e8, 0.0)]
    kernel = open_ephemeris(_kernel(tmp_path / "k.bsp", [_SUN, *parts]))
    with pytest.raises(
        CatalogueError, match=r"does not hold body 399 at JD 2451595.0: it has a gap"
    ):
        kernel.state("earth", _J2000 + 50.0)


def test_bodies_that_lead_nowhere_or_round_in_a_circle_are_none(tmp_path: Path) -> None:
    circle: list[Line] = [(5, 6, 0.0, 100.0, 1.0, 0.0), (6, 5, 0.0, 100.0, 1.0, 0.0)]
    lost: Line = (4, 77, 0.0, 100.0, 1.0, 0.0)
    kernel = open_ephemeris(_kernel(tmp_path / "k.bsp", [_SUN, _EARTH, *circle, lost]))
    for body in ("jupiter", "saturn", "mars"):
        with pytest.raises(CatalogueError, match=f"does not hold {body}"):
            kernel.state(body, _J2000 + 1.0)


def test_summaries_of_several_records_are_all_read(tmp_path: Path) -> None:
    days: list[Line] = [(399, 10, float(d), d + 1.0, d * 1e6, 0.0) for d in range(100)]
    kernel = open_ephemeris(_kernel(tmp_path / "k.bsp", [_SUN, *days], per_record=7))
    x = kernel.state("earth", _J2000 + np.arange(100) + 0.5)[0][:, 0] * AU_KM
    np.testing.assert_allclose(x, np.arange(100) * 1e6, atol=1e-3)


def _damaged(path: Path, change: Callable[[bytearray], Any]) -> Path:
    content = bytearray(_kernel(path, [_SUN, _EARTH]).read_bytes())
    change(content)
    path.write_bytes(content)
    return path


def _control(at: int, value: float) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into("<d", content, _RECORD + 8 * at, value)


def _summary(field: int, value: int) -> Callable[[bytearray], None]:
    """Of the Earth, the second one."""
    place = _RECORD + 24 + 40 + 16 + 4 * field
    return lambda content: struct.pack_into("<i", content, place, value)


def _tail(at: int, value: float) -> Callable[[bytearray], None]:
    """Of the Earth: epoch, interval, size and count of its records."""
    return lambda content: struct.pack_into("<d", content, len(content) - 32 + 8 * at, value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_control(0, 2.0), "lead back to record 2"),
        (_control(0, 1e9), "outside the file"),
        (_control(0, -3.0), "outside the file"),
        (_control(0, float("inf")), "leads to record inf"),
        (_control(0, float("nan")), "leads to record nan"),
        (_control(0, 1e300), r"leads to record 1e\+300"),
        (_control(2, float("inf")), "counts inf summaries"),
        (_control(2, -1.0), "counts -1.0 summaries"),
        (_control(2, 26.0), "counts 26.0 summaries"),
        (_control(2, 1.5), "counts 1.5 summaries"),
        (_summary(4, 2**31 - 1), "lie outside the file"),
        (_summary(4, -5), "lie outside the file"),
        (_summary(5, 2**31 - 1), "lie outside the file"),
        (_summary(5, 1), "lie outside the file"),
        (_tail(1, 0.0), "intervals of body 399 are none"),
        (_tail(1, float("nan")), "intervals of body 399 are none"),
        (_tail(2, 1e12), "do not fill their place"),
        (_tail(3, float("inf")), "do not fill their place"),
        (_tail(3, 0.0), "do not fill their place"),
        (_tail(0, 1e9), "do not cover its dates"),
        (lambda c: struct.pack_into("<i", c, 76, 2**31 - 1), "outside the file"),
        (lambda c: struct.pack_into("<i", c, 84, 2**31 - 1), "cut short"),
        (lambda c: struct.pack_into("<ii", c, 8, 124, 250), "another size"),
        (lambda c: c.__setitem__(slice(88, 96), b"VAX-GFLT"), "byte order"),
        (lambda c: c.__delitem__(slice(1500, None)), "cut short"),
        (lambda c: c.__delitem__(slice(-8, None)), "cut short"),
        (lambda c: c.__delitem__(slice(100, None)), "does not begin with DAF/SPK"),
        (lambda c: c.__delitem__(slice(0, None)), "does not begin with DAF/SPK"),
    ],
)
def test_damaged_contents_are_named_before_the_file_is_used(
    tmp_path: Path, change: Callable[[bytearray], Any], reason: str
) -> None:
    with pytest.raises(CatalogueError, match=rf"k\.bsp is no whole DAF/SPK kernel \(.*{reason}"):
        open_ephemeris(_damaged(tmp_path / "k.bsp", change))


def test_the_shared_loop_is_refused(real_data: Callable[..., Path], tmp_path: Path) -> None:
    # cases/bsp-loop: the record of summaries of a real kernel names itself as the next.
    content = bytearray(real_data("kernels", "de440_1985_2040.bsp").read_bytes())
    record = struct.unpack_from("<i", content, 76)[0]
    struct.pack_into("<d", content, (record - 1) * _RECORD, float(record))
    (tmp_path / "loop.bsp").write_bytes(content)
    with pytest.raises(CatalogueError, match=f"lead back to record {record}"):
        open_ephemeris(tmp_path / "loop.bsp")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bsp")
    with pytest.raises(CatalogueError, match="is no regular file"):
        open_ephemeris(tmp_path / "pipe.bsp")


def test_a_kernel_takes_no_more_memory_than_is_looked_at(real_data: Callable[..., Path]) -> None:
    path = real_data("kernels", "de440_1985_2040.bsp")
    open_ephemeris(SHIPPED)  # imports
    tracemalloc.start()
    kernel = open_ephemeris(path)
    kernel.state("earth", 2458000.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * path.stat().st_size


def _earth_x(kernel: Any, jd: float) -> float:
    return float(kernel.state("earth", jd)[0][0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_see_the_same_kernel(method: str) -> None:
    kernel = open_ephemeris(SHIPPED)
    dates = [2456000.5 + 100 * k for k in range(16)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(_earth_x, [(kernel, jd) for jd in dates], chunksize=1)
    assert found == [_earth_x(kernel, jd) for jd in dates]


def test_the_package_holds_the_numbers_of_the_whole_kernels(real_data: Callable[..., Path]) -> None:
    whole, ours = open_ephemeris(real_data("kernels")), default_ephemeris()
    low, high = ours.kernel_span_jd
    assert (low, high) == (Time("2012-01-01", scale="tdb").jd, Time("2036-01-01", scale="tdb").jd)
    assert set(ours.gm) == set(whole.gm)
    assert len(ours.gm) == 26  # nine planets with Pluto, the Moon, 16 asteroids
    jd = np.linspace(low, high, 301)
    for body in ("sun", *ours.gm):
        for mine, theirs in zip(ours.state(body, jd), whole.state(body, jd), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)  # 1.5 cm


def test_outside_its_years_the_series_are_taken_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours = ShippedEphemeris()
    low, high = ours.kernel_span_jd
    for jd in (low, high, 0.5 * (low + high)):
        assert not isinstance(ours.between(jd, jd), SeriesEphemeris)
    assert caplog.text == ""
    for start, end in ((low - 1, low - 1), (high + 1, low + 1), (low + 1, high + 1)):
        assert isinstance(ours.between(start, end), SeriesEphemeris)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert "(2012 to 2035)" in said.message
    assert np.array_equal(
        ours.state("earth", low - 100)[0], SeriesEphemeris().state("earth", low - 100)[0]
    )
    # Dates on both sides are one question, and get one source.
    both = [low - 1.0, low + 1.0]
    for dates in (both, both[::-1], [high - 1.0, high + 1.0]):
        assert np.array_equal(
            ours.state("earth", dates)[0], SeriesEphemeris().state("earth", dates)[0]
        )
    with pytest.raises(CatalogueError, match="series do not hold 4; give a JPL kernel"):
        ours.state("4", low - 100)
    with pytest.raises(CatalogueError, match="1900 to 2100"):
        ours.state("earth", 2600000.5)
    assert pickle.loads(pickle.dumps(default_ephemeris())) is default_ephemeris()
    assert ephemeris_between(SeriesEphemeris(), 0.0, 1.0).name == "built-in series"


def test_a_place_does_not_jump_where_kernels_give_way_to_series() -> None:
    # Sun and Earth of one moment always come from one source: their barycentres differ by 1e-6 au.
    _, high = default_ephemeris().kernel_span_jd
    orbit = orbit_through(30.0, 10.0, 0.02, 280.0, Time(high - 3, format="jd", scale="tdb"), 1.0)
    place = [
        predict(orbit, Time(high + seconds / _DAY_S, format="jd", scale="tdb"), "I41",
                exposure_s=30.0, dynamics="two-body")[0]
        for seconds in (-86_420.0, -86_380.0, -20.0, 20.0)
    ]  # fmt: skip
    for before, after in ((0, 1), (2, 3)):
        dec, pa = (place[before][name].to_value("rad") for name in ("dec", "pa"))
        moved = (place[after]["ra"] - place[before]["ra"]).to_value("arcsec") * np.cos(dec)
        expected = 40.0 * place[before]["rate"].to_value("arcsec/s") * np.sin(pa)
        assert moved == pytest.approx(expected, abs=0.05)


def test_states_from_the_series_start_nothing_within_the_kernels_years() -> None:
    when = Time("2020-03-01", scale="tdb")
    orbit = orbit_through(30.0, 10.0, 0.02, 280.0, when, 1.0)
    astray, straight = NBody(), NBody()
    astray.states(orbit, 2455000.5)  # 2009: by the series
    by_way = astray.states(orbit, 2458500.5)[0]
    assert np.array_equal(by_way, straight.states(orbit, 2458500.5)[0])


def test_dynamics_are_asked_for_by_name() -> None:
    when = Time("2020-03-01", scale="tdb")
    orbit = orbit_through(30.0, 10.0, 0.02, 280.0, when, 1.0)
    later = Time("2022-03-01", scale="tdb")
    full = predict(orbit, later, "I41")
    assert full["ra"][0] == predict(orbit, later, "I41", dynamics="n-body")["ra"][0]
    two = predict(orbit, later, "I41", dynamics="two-body")
    assert two["ra"][0] == predict(orbit, later, "I41", dynamics=TwoBody())["ra"][0]
    # Planets move an asteroid by arc minutes in two years, and the models say how sure they are.
    assert abs((two["ra"] - full["ra"]).to_value("arcsec")[0]) > 5.0
    assert two["pos_err"][0].value > 100 * full["pos_err"][0].value
    with pytest.raises(ConfigError, match="dynamics is 'kepler'; expected 'n-body' or 'two-body'"):
        predict(orbit, when, "I41", dynamics="kepler")
