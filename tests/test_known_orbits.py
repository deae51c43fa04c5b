"""Catalogues, names and two-body motion."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from streaks.errors import CatalogueError
from streaks.known import (
    Orbits,
    check_code,
    find_observatory,
    normalise_name,
    orbit_through,
    read_observatories,
    read_orbits,
    same_object,
    stack_orbits,
    survey_spelling,
    write_mpcorb,
)
from streaks.known.kepler import (
    GM_SUN_AU3_PER_DAY2,
    Elements,
    elements_from_state,
    propagate_state,
    state_from_elements,
)
from streaks.known.observatories import shipped_observatories
from streaks.known.packed import (
    epoch_from_packed,
    pack_designation,
    pack_epoch,
    unpack_designation,
)

#: Two lines as the Minor Planet Center publishes them.
CERES = (
    "00001    3.35  0.15 K25BL 231.53975   73.29974   80.24963   10.58789  0.0795763  "
    "0.21429712   2.7656157  0 E2025-U00  7369 126 1801-2025 0.69 M-v 30k MPCLINUX   "
    "4000      (1) Ceres              20251020"
)
EROS = (
    "00433   11.16  0.46 K1972  84.17190  178.83549  304.30424   10.82858  0.2227385  "
    "0.55973997   1.4581823  0 MPO467611  8406  52 1893-2019 0.69 M-v 38h MPCLINUX   "
    "1804    (433) Eros               20190509"
)


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, name: str = "orbits.dat") -> Path:
        path = tmp_path / name
        text = "".join(f"{line}\n" for line in lines).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return write


def test_a_line_gives_the_elements_that_stand_in_it(catalogue: Callable[..., Path]) -> None:
    orbits = read_orbits(catalogue(CERES))
    assert orbits.designation[0] == "1"
    assert orbits.name[0] == "(1) Ceres"
    assert orbits.epoch_jd[0] == 2461000.5  # 2025-11-21, 0h TT
    assert orbits.h_mag[0] == 3.35
    assert orbits.a_au[0] == pytest.approx(2.7656157, abs=1e-10)
    assert np.degrees(orbits.mean_anomaly_rad[0]) == pytest.approx(231.53975, abs=1e-9)
    assert np.degrees(orbits.node_rad[0]) == pytest.approx(80.24963)
    assert orbits.uncertainty[0] == 0


def test_header_gzip_and_bare_files_read_alike(catalogue: Callable[..., Path]) -> None:
    header = ("MINOR PLANET CENTER ORBIT DATABASE (MPCORB)", "", "Des'n     H     G", "-" * 160)
    bare = read_orbits(catalogue(CERES, EROS))
    full = read_orbits(catalogue(*header, CERES, "", EROS, name="full.dat.gz"))
    short = read_orbits(catalogue("Des'n  AbsMag  G    Epoch", CERES, EROS, name="short.dat"))
    assert list(bare.name) == list(full.name) == list(short.name)
    assert bare.failures == full.failures == short.failures == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s[:80], "shorter than 103 columns"),
        (lambda s: s.replace("K25BL", "K25ZL"), "epoch is no packed date"),
        (lambda s: s.replace("231.53975", "231.5x975"), "missing or no number"),
        (lambda s: s.replace(" 2.7656157", " 2.9656157"), "mean motion does not fit"),
        (lambda s: s.replace("0.0795763", "1.0795763"), "no orbit about the Sun"),
        (lambda s: s.replace(" 10.58789", "210.58789"), "inclination is not in 0 to 180"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_kept(
    catalogue: Callable[..., Path], change: Callable[[str], str], reason: str
) -> None:
    orbits = read_orbits(catalogue(EROS, change(CERES), EROS))
    assert len(orbits) == 2
    (bad,) = orbits.failures
    assert bad.number == 2
    assert reason in bad.reason
    assert "00001" in str(bad)


def test_of_a_few_lines_those_that_are_orbits_count(catalogue: Callable[..., Path]) -> None:
    hyperbola = CERES.replace("0.0795763", "1.0795763")
    orbits = read_orbits(catalogue(hyperbola, EROS, hyperbola))
    assert len(orbits) == 1
    assert [bad.number for bad in orbits.failures] == [1, 3]
    with pytest.raises(
        CatalogueError, match=r"0 of its 1 lines hold an orbit \(line 1: .*no orbit"
    ):
        read_orbits(catalogue(hyperbola))
    with pytest.raises(CatalogueError, match="1 of its 31 lines"):
        read_orbits(catalogue(EROS, *[hyperbola] * 30))


def test_a_file_that_is_no_catalogue_is_refused(catalogue: Callable[..., Path]) -> None:
    with pytest.raises(CatalogueError, match=r"no orbit catalogue in MPCORB columns.*give MPCORB"):
        read_orbits(catalogue("jd,ra,dec", "1,2,3"))
    with pytest.raises(CatalogueError, match=r"cannot read the orbit catalogue .*does not exist"):
        read_orbits(Path("nowhere.dat"))


def test_a_gzipped_catalogue_cut_in_half_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "half.dat.gz"
    rng = np.random.default_rng(1)
    lines = [CERES.replace("231.53975", f"{m:9.5f}") for m in rng.uniform(100, 359, 2000)]
    packed = gzip.compress("\n".join(lines).encode())
    path.write_bytes(packed[: len(packed) // 2])
    orbits = read_orbits(path)
    assert 500 < len(orbits) < 1500
    assert any("cut short" in bad.reason for bad in orbits.failures)


def test_real_catalogues_have_no_bad_lines(real_data: Callable[..., Path]) -> None:
    named = read_orbits(real_data("orbits", "mpcorb_named_22304_K25BL.dat.gz"))
    nea = read_orbits(real_data("orbits", "NEA_K1972_20060.txt.gz"))
    assert (len(named), len(named.failures)) == (22304, 0)
    assert (len(nea), len(nea.failures)) == (20060, 0)
    # In this excerpt names stand ten columns further left than the format says.
    assert named.name[named.find("23895")[0]] == "(23895) Akikonakamura"


def test_written_orbits_come_back_as_they_were(
    real_data: Callable[..., Path], tmp_path: Path
) -> None:
    orbits = read_orbits(real_data("orbits", "NEA_K1972_20060.txt.gz"))
    write_mpcorb(orbits, tmp_path / "again.dat.gz")
    again = read_orbits(tmp_path / "again.dat.gz")
    assert list(again.designation) == list(orbits.designation)
    assert list(again.name) == list(orbits.name)
    for column in ("q_au", "e", "incl_rad", "node_rad", "argperi_rad", "tp_jd", "h_mag"):
        np.testing.assert_allclose(getattr(again, column), getattr(orbits, column), rtol=1e-14)


def test_writing_refuses_what_the_columns_cannot_hold(tmp_path: Path) -> None:
    orbit = _orbit(2461000.75)
    with pytest.raises(CatalogueError, match=r"JD 2461000.75 .* only 0h of a day"):
        write_mpcorb(orbit, tmp_path / "x.dat")
    with pytest.raises(CatalogueError, match=r"cannot write orbits to .*give a path in a folder"):
        write_mpcorb(_orbit(2461000.5), tmp_path / "no" / "x.dat")
    with pytest.raises(CatalogueError, match="no parabola"):
        write_mpcorb(_orbit(2461000.5, e=1.0), tmp_path / "x.dat")


def _orbit(epoch_jd: float, e: float = 0.1, q: float = 2.0) -> Orbits:
    one = np.ones(1)
    return Orbits(
        np.array(["2012 LU23"]), np.array(["2012 LU23"]), 18.0 * one, 0.15 * one,
        epoch_jd * one, q * one, e * one, 0.2 * one, 1.0 * one, 2.0 * one,
        (epoch_jd - 100.0) * one, 0.0 * one,
    )  # fmt: skip


def test_orbits_of_unequal_columns_are_refused() -> None:
    one, two = np.ones(1), np.ones(2)
    text = np.array(["a"])
    with pytest.raises(CatalogueError, match="differ in length"):
        Orbits(text, text, one, one, one, two, one, one, one, one, one, one)
    with pytest.raises(CatalogueError, match="no catalogues to stack"):
        stack_orbits([])


def test_an_orbit_goes_to_sbpy_and_back() -> None:
    orbit = _orbit(2461000.5)
    again = Orbits.from_sbpy(orbit.to_sbpy())
    for column in ("q_au", "e", "incl_rad", "node_rad", "argperi_rad", "tp_jd", "epoch_jd"):
        assert getattr(again, column)[0] == pytest.approx(getattr(orbit, column)[0], rel=1e-12)
    assert again.designation[0] == "2012 LU23"


def test_an_sbpy_orbit_that_lacks_a_column_is_refused() -> None:
    from sbpy.data import Orbit

    with pytest.raises(CatalogueError, match="needs the column"):
        Orbits.from_sbpy(Orbit.from_dict({"targetname": ["x"]}))


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("(24421)Djorgovski", "24421"),
        ("(24421) Djorgovski", "24421"),
        ("8467", "8467"),
        ("2012LU23", "2012 LU23"),
        ("2002MA06", "2002 MA6"),  # zero-padded by ZTF
        ("2010CG48", "2010 CG48"),
        ("2010CG10", "2010 CG10"),  # this zero is none of padding
        ("(12024)1996YN2", "12024"),
        ("(22197)3555P-L", "22197"),
        ("1282T-2", "1282 T-2"),
        ("A904 OA", "1904 OA"),
        ("C/2017K2", "C/2017 K2"),
        ("C/2017 K2 (PANSTARRS)", "C/2017 K2"),
        ("29P", "29P"),
        ("67P/Churyumov-Gerasimenko", "67P"),
        ("433 Eros", "433"),
        ("K12L23U", "2012 LU23"),
        ("Ceres", "Ceres"),
        ("field-77 object", "field-77 object"),  # a label that nobody knows stays as it is
        ("null", ""),
        (None, ""),
    ],
)
def test_every_spelling_becomes_one_key(spelling: str | None, key: str) -> None:
    assert normalise_name(spelling) == key
    assert normalise_name(key) == key


def test_same_object_compares_keys_and_none_is_nobody() -> None:
    assert same_object("(24421)Djorgovski", "24421")
    assert not same_object("24421", "24422")
    assert not same_object("null", "null")
    assert survey_spelling("2012 LU23") == "2012LU23"


_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"


@given(
    st.integers(2000, 2061), st.sampled_from(_LETTERS[:24]), st.sampled_from(_LETTERS),
    st.integers(0, 15000),
)  # fmt: skip
def test_provisional_designations_survive_packing(
    year: int, half: str, letter: str, count: int
) -> None:
    designation = f"{year} {half}{letter}{count or ''}"
    packed = pack_designation(designation)
    assert packed is not None
    assert len(packed) == 7
    assert unpack_designation(packed) == designation


@pytest.mark.parametrize(
    ("packed", "readable"),
    # The examples of the MPC's page on packed designations.
    [
        ("J95X00A", "1995 XA"), ("J95X01L", "1995 XL1"), ("J98SA8Q", "1998 SQ108"),
        ("PLS2040", "2040 P-L"), ("T1S3138", "3138 T-1"), ("_QC0aEM", "2026 CZ6190"),
        ("03202", "3202"), ("A0345", "100345"), ("a0017", "360017"), ("~0000", "620000"),
        ("~AZaz", "3140113"),
    ],
)  # fmt: skip
def test_packed_designations_as_the_mpc_gives_them(packed: str, readable: str) -> None:
    assert unpack_designation(packed) == readable
    assert pack_designation(readable) == packed


@given(st.integers(1, 15_000_000))
def test_numbers_survive_packing(number: int) -> None:
    packed = pack_designation(str(number))
    if packed is not None:
        assert unpack_designation(packed) == str(number)


def test_packed_dates() -> None:
    # Examples of the MPC's page on packed dates.
    assert epoch_from_packed("J9611") == (1996, 1, 1)
    assert epoch_from_packed("K01AM") == (2001, 10, 22)
    assert pack_epoch(2001, 10, 22) == "K01AM"
    assert epoch_from_packed("K01ZM") is None
    assert pack_epoch(1700, 1, 1) is None


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.05, 40.0), st.floats(0.0, 3.0), st.floats(0.0, 3.1), st.floats(0.0, 6.2),
    st.floats(0.0, 6.2), st.floats(-3000.0, 3000.0),
)  # fmt: skip
def test_elements_survive_the_round_trip_through_a_state(
    q: float, e: float, incl: float, node: float, argperi: float, days: float
) -> None:
    jd = 2458000.5
    elements = Elements(*(np.array([x]) for x in (q, e, incl, node, argperi, jd - days)))
    position, velocity = state_from_elements(elements, jd)
    again = elements_from_state(position, velocity, jd)
    back = state_from_elements(again, jd)
    assert np.linalg.norm(back[0] - position) < 1e-8 * np.linalg.norm(position)
    assert again.q_au[0] == pytest.approx(q, rel=1e-6)
    assert again.e[0] == pytest.approx(e, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.1, 5.0), st.floats(0.0, 2.0), st.floats(-2000.0, 2000.0), st.floats(1.0, 900.0))
def test_motion_keeps_energy_and_returns(q: float, e: float, days: float, more: float) -> None:
    elements = Elements(*(np.array([x]) for x in (q, e, 0.3, 1.0, 2.0, 2458000.5)))
    position, velocity = state_from_elements(elements, 2458000.5 + days)
    later = propagate_state(position, velocity, more)
    back = propagate_state(*later, -more)
    assert np.linalg.norm(back[0] - position) < 1e-9 * max(1.0, np.linalg.norm(position))

    def energy(r: np.ndarray, v: np.ndarray) -> float:
        return float(np.sum(v**2) / 2 - GM_SUN_AU3_PER_DAY2 / np.linalg.norm(r))

    assert energy(*later) == pytest.approx(energy(position, velocity), rel=1e-9, abs=1e-15)


def test_a_circle_comes_round_after_its_period() -> None:
    # Kepler's third law: at 1 au, 365.2568983 days (Gaussian year).
    elements = Elements(*(np.array([x]) for x in (1.0, 0.0, 0.0, 0.0, 0.0, 2458000.5)))
    start, _ = state_from_elements(elements, 2458000.5)
    quarter, _ = state_from_elements(elements, 2458000.5 + 365.2568983 / 4)
    full, _ = state_from_elements(elements, 2458000.5 + 365.2568983)
    np.testing.assert_allclose(start, [[1.0, 0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(quarter, [[0.0, 1.0, 0.0]], atol=1e-8)
    np.testing.assert_allclose(full, start, atol=1e-8)


def test_observatories_come_from_the_table_or_the_users_own_list(tmp_path: Path) -> None:
    assert find_observatory("I41").name.startswith("Palomar")
    own = tmp_path / "ObsCodes.html"
    own.write_text(
        "Code  Long.   cos      sin    Name\n"
        "000   0.0000 0.62411 +0.77873 Greenwich\n"
        "250                           Hubble Space Telescope\n"
    )
    sites = read_observatories(own)
    assert list(sites) == ["000"]
    assert find_observatory("000", sites).rho_sin_phi == 0.77873
    with pytest.raises(CatalogueError, match=r"'XYZ' is unknown: the MPC's list has \d+ codes"):
        find_observatory("XYZ", sites)


def test_the_mpcs_extended_list_holds_the_shipped_sites(real_data: Callable[..., Path]) -> None:
    sites = read_observatories(real_data("kernels", "obscodes_extended.json"))
    assert len(sites) > 2000
    assert sites["I41"] == find_observatory("I41")


def test_a_file_without_observatories_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(CatalogueError, match="holds no observatory codes"):
        read_observatories(tmp_path / "empty.json")
    with pytest.raises(CatalogueError, match="cannot read the observatory codes"):
        read_observatories(tmp_path / "none.json")


def test_an_orbit_faster_than_any_bound_one_is_refused() -> None:
    time = Time("2018-11-05T08:00:00")
    with pytest.raises(CatalogueError, match=r"nothing bound to the Sun moves 5 arcsec/s at 0.5"):
        orbit_through(100.0, 10.0, 5.0, 90.0, time, 0.5)
    with pytest.raises(CatalogueError, match=r"distance is -1\.0 au"):
        orbit_through(100.0, 10.0, 5.0, 90.0, time, -1.0)


@pytest.mark.parametrize(
    ("text", "key"),
    [("0024421", "24421"), ("(00433) Eros", "433"), ("  (5)  ", "5"), ("007 P-L", "7 P-L")],
)
def test_padding_of_zeros_is_no_part_of_a_name(text: str, key: str) -> None:
    assert normalise_name(text) == key


@pytest.mark.parametrize(
    ("designation", "packed"),
    [
        ("2018 AA619", "K18Az9A"),
        ("2018 AA620", "_IA0000"),  # the first of the extended form
        ("1999 AA620", None),  # which is of this century only
        ("2062 AA700", None),
        ("2018 AA600000", None),
        ("1799 AA", None),
    ],
)
def test_what_has_no_packed_form_gets_none(designation: str, packed: str | None) -> None:
    assert pack_designation(designation) == packed
    if packed is not None:
        assert unpack_designation(packed) == designation


def test_a_name_further_left_is_read_whole(catalogue: Callable[..., Path]) -> None:
    # Flags and name stand in other columns: what looks like flags where they should be is a name.
    line = f"{CERES[:149]}     4000 (1) Xa Bcdef"
    assert line[161:166] == ") Xa "
    assert read_orbits(catalogue(line)).name[0] == "(1) Xa Bcdef"


@pytest.mark.parametrize(
    ("e", "a_au", "anomaly_deg"), [(0.2, 2.5, 30.0), (0.2, 2.5, 330.0), (1.4, -3.0, 250.0)]
)
def test_axis_and_anomaly_tell_the_time_of_perihelion(
    e: float, a_au: float, anomaly_deg: float
) -> None:
    # Kepler's third law: 365.2568983 days at 1 au (Gauss). Ellipses take the nearer perihelion.
    import astropy.units as u
    from sbpy.data import Orbit

    epoch = Time(2461000.5, format="jd", scale="tt")
    orbit = Orbit.from_dict({
        "targetname": ["2018 AA"], "a": [a_au] * u.au, "e": [e], "i": [10.0] * u.deg,
        "Omega": [20.0] * u.deg, "w": [30.0] * u.deg, "M": [anomaly_deg] * u.deg,
        "epoch": Time([epoch.jd], format="jd", scale="tt"),
    })  # fmt: skip
    ours = Orbits.from_sbpy(orbit)
    period = 365.2568983263 * abs(a_au) ** 1.5
    turn = anomaly_deg / 360.0
    since = period * (turn - 1.0 if e < 1.0 and turn > 0.5 else turn)
    assert ours.tp_jd[0] == pytest.approx(epoch.jd - since, abs=1e-5)
    assert ours.q_au[0] == pytest.approx(a_au * (1.0 - e))
    assert ours.a_au[0] == pytest.approx(a_au)
    expected = 2 * np.pi * turn
    assert ours.mean_anomaly_rad[0] == pytest.approx(expected, abs=1e-6)


def test_the_mpcs_columns_of_observatories_are_read_to_the_last_digit(tmp_path: Path) -> None:
    # Three lines of ObsCodes.html as they stand; columns touch each other.
    (tmp_path / "codes.html").write_text(
        "<pre>\n"
        "Code  Long.   cos      sin    Name\n"
        "309 289.595690.909943-0.414336Cerro Paranal\n"
        "I41 243.140220.836325+0.546877Palomar Mountain--ZTF\n"
        "X05 289.250580.864981-0.500958Simonyi Survey Telescope, Rubin Observatory\n"
        "C51                           WISE\n"
        "no code at all\n"
        "</pre>\n"
    )
    sites = read_observatories(tmp_path / "codes.html")
    assert list(sites) == ["309", "I41", "X05"]
    ztf = sites["I41"]
    assert (ztf.code, ztf.name) == ("I41", "Palomar Mountain--ZTF")
    assert (ztf.longitude_deg, ztf.rho_cos_phi, ztf.rho_sin_phi) == (243.14022, 0.836325, 0.546877)
    assert sites["309"].rho_sin_phi == -0.414336
    # The user's own list goes before the one of the package.
    assert find_observatory("I41", sites) is ztf


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"I41": 5}', '{"I41": {"Longitude": "east", "cos": 1, "sin": 0}}', "[" * 99_999],
)
def test_lists_of_no_observatory_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "codes").write_text(content)
    with pytest.raises(CatalogueError, match="holds no observatory codes"):
        read_observatories(tmp_path / "codes")


def test_every_code_of_the_mpc_is_known_and_others_are_not() -> None:
    # Paranal and Rubin as the MPC's list has them; Hubble has no place on the Earth.
    assert find_observatory("309").longitude_deg == pytest.approx(289.59569, abs=1e-4)
    assert find_observatory("X05").rho_sin_phi < -0.5
    assert len(shipped_observatories()) > 2600
    assert check_code("250") == "250"
    with pytest.raises(
        CatalogueError, match=r"'250' is Hubble Space Telescope, which has no fixed"
    ):
        find_observatory("250")
    for wrong in ("XYZ", "", "i41", "I4", "I411"):
        with pytest.raises(CatalogueError, match=f"'{wrong}' is unknown"):
            check_code(wrong)


def test_the_time_of_perihelion_is_the_nearest(catalogue: Callable[..., Path]) -> None:
    # mpcorb_extended.json has JD 2461599.9 for Ceres, 599 days after the epoch.
    assert read_orbits(catalogue(CERES)).tp_jd[0] == pytest.approx(2461599.9, abs=0.1)


@pytest.mark.parametrize("n", [3, 60])
def test_what_is_made_of_all_orbits_is_made_once_a_file(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for once a line, an array of n axes makes the writing quadratic."""
    epoch, zero = np.full(n, 2460000.5), np.zeros(n)
    orbits = Orbits(
        designation=np.arange(1, n + 1).astype(str), name=np.array([f"({k})" for k in range(n)]),
        h_mag=zero + 15, g_slope=zero + 0.15, epoch_jd=epoch, q_au=zero + 2.0, e=zero + 0.1,
        incl_rad=zero + 0.1, node_rad=zero, argperi_rad=zero, tp_jd=epoch,
        uncertainty=zero,
    )  # fmt: skip
    asked: list[str] = []
    for name in ("a_au", "mean_anomaly_rad", "mean_motion_rad_per_day"):
        made = getattr(Orbits, name).fget
        monkeypatch.setattr(
            Orbits, name, property(lambda self, m=made, k=name: asked.append(k) or m(self))
        )
    write_mpcorb(orbits, tmp_path / "orbits.dat")
    assert len((tmp_path / "orbits.dat").read_text().splitlines()) == n
    # Each is made of others too: a few times a file, whatever its lines.
    assert 1 <= asked.count("a_au") <= 6
    assert len(asked) <= 10
