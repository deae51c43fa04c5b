"""Verdicts on what alerts say of known objects, and the commands."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import QTable, vstack
from astropy.time import Time
from typer.testing import CliRunner

from streaks.cli.known import app
from streaks.errors import ConfigError, TableError
from streaks.known import (
    CheckConfig,
    NBody,
    Orbits,
    SeriesEphemeris,
    check_alerts,
    open_ephemeris,
    orbit_through,
    predict,
    read_orbits,
    stack_orbits,
    stale_spells,
    write_mpcorb,
)
from streaks.readers.alerts import read_alerts

START = Time("2018-11-05T08:12:00", scale="utc")
MIDDLE = Time("2018-11-05T08:12:15", scale="utc")


@pytest.fixture(scope="module")
def orbits() -> Orbits:
    places = [(10.0, "2018 VA1"), (10.002, "2018 VB2"), (40.0, "(24421) Djorgovski")]
    return stack_orbits([
        orbit_through(ra, 20.0, 0.02, 280.0, MIDDLE, 1.2, name=name) for ra, name in places
    ])  # fmt: skip


def _claim(
    orbits: Orbits, row: int, *, distance: float = 0.0, name: str | None = None,
    dmag: float = 0.0, shift_arcsec: float = 0.0,
) -> QTable:  # fmt: skip
    place = predict(orbits, MIDDLE, "I41")[row]
    own = str(place["designation"])
    return QTable({
        "jd": [START.jd],
        "ra": [place["ra"].value],
        "dec": [place["dec"].value + shift_arcsec / 3600],
        "ssdistnr": [distance],
        "ssmagnr": [-999.0 if name == "null" else place["vmag"].value + dmag],
        "ssnamenr": [own if name is None else name],
    })  # fmt: skip


def _verdict(orbits: Orbits, claim: QTable) -> tuple[str, str]:
    row = check_alerts(claim, orbits)[0]
    return str(row["verdict"]), str(row["note"])


def test_a_right_claim_agrees_and_a_distance_of_zero_is_real(orbits: Orbits) -> None:
    checked = check_alerts(_claim(orbits, 2), orbits)
    assert checked["verdict"][0] == "agree"
    assert checked["sep"][0].to_value("arcsec") < 0.01
    assert checked["name"][0] == "(24421) Djorgovski"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"name": "(24421)Djorgovski"}, "agree"),
        ({"distance": 12.0}, "wrong_distance"),
        ({"dmag": -3.0}, "wrong_magnitude"),
        ({"shift_arcsec": 40.0}, "not_there"),
        ({"distance": -999.0, "name": "null"}, "missed"),
        ({"name": "2018VA1"}, "wrong_name"),
        ({"name": "99999"}, "wrong_name"),
    ],
)
def test_altered_claims_are_found_out(
    orbits: Orbits, changes: dict[str, object], verdict: str
) -> None:
    assert _verdict(orbits, _claim(orbits, 2, **changes))[0] == verdict


def test_of_two_objects_near_an_alert_the_nearest_counts(orbits: Orbits) -> None:
    assert _verdict(orbits, _claim(orbits, 0))[0] == "agree"
    verdict, note = _verdict(orbits, _claim(orbits, 0, name="2018VB2"))
    assert verdict == "wrong_name"
    assert "2018 VB2 is 6." in note  # 0.002 deg at declination 20


def test_nothing_named_and_nothing_there_is_none(orbits: Orbits) -> None:
    claim = _claim(orbits, 2, distance=-999.0, name="null", shift_arcsec=400.0)
    assert _verdict(orbits, claim) == ("none", "")


def test_the_wrong_half_minute_would_show(orbits: Orbits) -> None:
    # jd is the START: a checker that forgets the 15 s is off by 15 s times 0.02 arcsec/s.
    checked = check_alerts(_claim(orbits, 2), orbits, exposure_s=0.0)
    assert checked["sep"][0].to_value("arcsec") == pytest.approx(0.3, abs=0.02)


def test_an_object_missing_from_the_catalogue_is_not_judged(orbits: Orbits) -> None:
    verdict, note = _verdict(orbits, _claim(orbits, 2, name="777", shift_arcsec=400.0))
    assert verdict == "none"
    assert "777 is not in the catalogue: cannot tell" in note


@pytest.mark.parametrize(
    ("number", "name", "claimed", "verdict"),
    [
        ("612345", "(612345) 2002 MA6", "2002MA06", "agree"),
        ("612345", "(612345) 2002 MA6", "1996YN2", "wrong_name"),
        ("612345", "(612345) Fairhaven", "1996YN2", "agree"),
        # It had its number before the survey began, and would have been called by it.
        ("24421", "(24421) Djorgovski", "1996YN2", "wrong_name"),
    ],
)
def test_a_designation_may_be_a_number_by_now(
    orbits: Orbits, number: str, name: str, claimed: str, verdict: str
) -> None:
    numbered = replace(
        orbits.select(np.array([2])), designation=np.array([number]), name=np.array([name])
    )
    assert _verdict(numbered, _claim(numbered, 0, name=claimed))[0] == verdict


def test_an_orbit_too_far_from_its_epoch_is_not_judged(orbits: Orbits) -> None:
    later = Time(START.jd + 200.0, format="jd", scale="utc")
    place = predict(orbits, later, "I41")[2]
    claim = _claim(orbits, 2)
    claim["jd"], claim["ra"] = [later.jd], [place["ra"].value]
    claim["dec"] = [place["dec"].value + 60.0 / 3600]
    row = check_alerts(claim, orbits, dynamics="two-body")[0]
    assert row["verdict"] == "none"
    assert "too poor or too far from its epoch" in row["note"]
    # Full dynamics are sure of themselves: the asteroid is elsewhere, and the claim wrong.
    assert _verdict(orbits, claim)[0] == "not_there"


def test_what_an_alert_names_counts_however_faint(orbits: Orbits) -> None:
    faint = replace(orbits, h_mag=orbits.h_mag + 8.0)
    assert _verdict(faint, _claim(faint, 2))[0] == "agree"
    assert _verdict(faint, _claim(faint, 2, distance=-999.0, name="null"))[0] == "none"


def _checked(nights: dict[str, list[float]]) -> QTable:
    rows = [(Time(day).jd + 0.3, claim) for day, claims in nights.items() for claim in claims]
    jd, claims = zip(*rows, strict=True)
    return QTable({
        "jd": jd, "ssdistnr": claims, "sep": np.full(len(rows), 0.1),
        "verdict": ["agree" if c < 1.5 else "wrong_distance" for c in claims],
    })  # fmt: skip


def test_a_run_of_wrong_distances_is_a_spell_with_its_dates() -> None:
    quiet = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    spells = stale_spells(_checked({
        "2021-07-30": quiet, "2021-07-31": quiet, "2021-08-01": [1.0, 2.0, 1.0, 0.0, 1.0],
        "2021-08-02": [2.0, 1.0, 5.0], "2021-08-09": [1.0, 1.0, 2.0], "2021-08-10": quiet,
    }))  # fmt: skip
    assert [(s["start"], s["end"], s["alerts"], s["stale"]) for s in spells] == [
        ("2021-08-01", "2021-08-09", 11, 10)
    ]


def test_lone_wrong_distances_are_no_spell() -> None:
    quiet = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    checked = _checked({"2021-07-30": quiet, "2021-07-31": [*quiet, 7.0], "2021-08-01": quiet})
    assert len(stale_spells(checked)) == 0
    assert stale_spells(checked[:0]).colnames[:2] == ["start", "end"]


def test_alerts_of_one_instant_all_over_the_sky_are_looked_at_in_parts(
    orbits: Orbits, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streaks.known.index import NightIndex

    reached = []
    near = NightIndex.near

    def watched(self: NightIndex, ra: float, dec: float, radius: float, *args: Any, **more: Any):
        reached.append(radius)
        return near(self, ra, dec, radius, *args, **more)

    monkeypatch.setattr(NightIndex, "near", watched)
    claims = vstack([_claim(orbits, 2), _claim(orbits, 0), _claim(orbits, 2), _claim(orbits, 2)])
    claims["ra"][2], claims["dec"][3] = 220.0, -70.0
    checked = check_alerts(claims, orbits)
    assert checked["verdict"].tolist() == ["agree", "agree", "not_there", "not_there"]
    assert max(reached) < 7 * 3600


def test_null_and_masked_fields_never_stop_a_check(orbits: Orbits) -> None:
    claim = QTable(_claim(orbits, 2), masked=True, copy=True)
    claim["ssdistnr"].mask = [True]
    claim["ssnamenr"].mask = [True]
    assert _verdict(orbits, claim)[0] == "missed"
    lost = _claim(orbits, 2)
    lost["ra"] = [math.nan]
    assert _verdict(orbits, lost) == ("none", "the alert has no time or place")


@pytest.mark.parametrize("jd", [0.0, 58000.5, 2600000.5, 1e12])
def test_a_date_outside_the_ephemeris_is_named_and_the_others_are_judged(
    orbits: Orbits, jd: float
) -> None:
    claims = vstack([_claim(orbits, 2), _claim(orbits, 2)])
    claims["jd"][0] = jd
    checked = check_alerts(claims, orbits, dynamics=NBody(SeriesEphemeris()))
    assert checked["verdict"].tolist() == ["none", "agree"]
    assert "its date is outside the ephemeris (built-in series)" in checked["note"][0]


def test_orbits_that_cannot_be_followed_spoil_no_others(
    orbits: Orbits, caplog: pytest.LogCaptureFixture
) -> None:
    absurd = replace(
        orbits,
        designation=np.array(["2018 XA1", "2018 XB1", "2018 XC1"]),
        q_au=np.array([1e-7, 1e-3, 1.0]),
        e=np.array([0.1, 30.0, 0.5]),
        epoch_jd=orbits.epoch_jd + np.array([0.0, 0.0, 1e6]),
    )
    everything = stack_orbits([absurd, orbits])
    checked = check_alerts(_claim(orbits, 2), everything, dynamics=NBody())
    assert checked["verdict"][0] == "agree"
    assert "1 orbits are of JD 3458" in caplog.text


@pytest.mark.slow
def test_thousands_of_altered_alerts_get_the_right_verdicts(
    real_data: Callable[..., Path],
) -> None:
    module = pytest.importorskip("benchmarks.known_alerts", reason="benchmarks are not beside")

    catalogue = read_orbits(real_data("orbits", "mpcorb_named_22304_K25BL.dat.gz"))
    ephemeris = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp").parent)
    rng = np.random.default_rng(11)
    claims = module.made_alerts(catalogue, 3000, NBody(ephemeris), rng)
    checked = check_alerts(claims, catalogue, dynamics=NBody(ephemeris), ephemeris=ephemeris)
    right = [module.EXPECTED[str(r["kind"])] == str(r["verdict"]) for r in checked]
    # The rest have another asteroid beside them, are too faint to be missed, or too uncertain.
    assert np.mean(right) > 0.995
    sep = checked["sep"].to_value("arcsec")[checked["kind"] == "untouched"]
    assert np.median(sep) < 0.07
    assert np.percentile(sep, 99) < 0.35


def test_no_alerts_give_a_table_of_no_rows(orbits: Orbits) -> None:
    checked = check_alerts(_claim(orbits, 2)[:0], orbits)
    assert len(checked) == 0
    assert {"sep", "name", "vmag", "verdict"} <= set(checked.colnames)


def test_tables_that_are_no_alerts_are_refused(orbits: Orbits) -> None:
    claim = _claim(orbits, 2)
    with pytest.raises(TableError, match="lacks the columns jd; it needs jd, ra"):
        check_alerts(claim[[c for c in claim.colnames if c != "jd"]], orbits)
    claim["ra"] = ["here"]
    with pytest.raises(TableError, match="column ra of the alerts holds no numbers"):
        check_alerts(claim, orbits)
    with pytest.raises(ConfigError, match="must be above 0"):
        CheckConfig(radius_arcsec=0.0)


def test_real_alerts_get_the_verdicts_their_history_tells(
    real_data: Callable[..., Path],
) -> None:
    # On 2018-02-09 the survey's distances were wrong by 5 to 7 arcsec; later ones are right.
    # Only named asteroids are in the catalogue.
    catalogue = read_orbits(real_data("orbits", "mpcorb_named_22304_K25BL.dat.gz"))
    alerts, failures = read_alerts(real_data("alerts"), stamps=False)
    assert (len(alerts), len(failures)) == (189, 3)
    claimed = [a for a in alerts if a.ssnamenr]
    keep = np.concatenate([catalogue.find(a.ssnamenr) for a in claimed]).astype(int)
    few = catalogue.select(np.unique(np.concatenate([keep, np.arange(0, 22304, 200)])))
    ephemeris = open_ephemeris(real_data("kernels", "de440_1985_2040.bsp").parent)
    claims = QTable({
        "jd": [a.jd for a in alerts], "ra": [a.ra for a in alerts],
        "dec": [a.dec for a in alerts], "ssdistnr": [a.ssdistnr for a in alerts],
        "ssmagnr": [a.ssmagnr for a in alerts], "ssnamenr": [a.ssnamenr for a in alerts],
    })  # fmt: skip
    checked = check_alerts(claims, few, dynamics=NBody(ephemeris), ephemeris=ephemeris)
    verdict = np.array(checked["verdict"])
    sep = checked["sep"].to_value("arcsec")
    old = np.floor(claims["jd"]) == 2458158
    assert sorted(checked["name"][verdict == "wrong_distance"]) == [
        "(15115) Yvonneroe", "(21665) Frege", "(24421) Djorgovski",
    ]  # fmt: skip
    assert np.all(old[verdict == "wrong_distance"])
    assert np.count_nonzero(verdict == "agree") == 5
    assert np.nanmax(sep) < 0.3
    assert set(verdict) == {"agree", "wrong_distance", "none"}
    (spell,) = stale_spells(checked)
    assert (spell["start"], spell["end"], spell["stale"]) == ("2018-02-09", "2018-02-09", 3)


@pytest.fixture
def orbit_file(orbits: Orbits, tmp_path: Path) -> Path:
    path = tmp_path / "orbits.dat"
    write_mpcorb(orbits, path)
    return path


def test_query_shows_what_is_near(orbit_file: Path) -> None:
    arguments = ["query", "40.0", "20.0", "--time", MIDDLE.isot, "--radius", "1arcmin",
                 "--orbits", str(orbit_file), "--two-body"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "(24421) Djorgovski" in result.output
    result = CliRunner().invoke(app, [*arguments, "--json", "--quiet"])
    answer = json.loads(result.stdout)
    assert [row["designation"] for row in answer] == ["24421"]
    assert answer[0]["sep"] < 1.0


def test_query_takes_a_negative_declination_and_hours(orbit_file: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["query", "02:40:00", "-20:00:00", "--time", str(MIDDLE.jd), "--orbits", str(orbit_file),
         "--two-body"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "no known object there" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["10", "20"], "give RA, DEC and --time"),
        (["10", "95", "--time", "2018-11-05"], "DEC is 95 deg"),
        (["ten", "20", "--time", "2018-11-05"], "RA is 'ten'"),
        (["10", "20", "--time", "yesterday"], "time is 'yesterday'"),
        (["10", "20", "--time", "2018-11-05", "--radius", "3kg"], "radius is '3kg'"),
    ],
)
def test_query_names_what_is_wrong(orbit_file: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(
        app, ["query", *arguments, "--orbits", str(orbit_file), "--two-body"]
    )
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_commands_ask_for_a_catalogue() -> None:
    result = CliRunner().invoke(
        app, ["query", "1", "2", "--time", "2018-11-05"], env={"STREAKS_ORBITS": ""}
    )
    assert result.exit_code == 2
    assert "give an orbit catalogue with --orbits" in " ".join(
        result.output.replace("│", " ").split()
    )


def test_check_writes_a_verdict_for_a_table_of_alerts(
    orbits: Orbits, orbit_file: Path, tmp_path: Path
) -> None:
    _claim(orbits, 2).write(tmp_path / "alerts.csv")
    result = CliRunner().invoke(
        app,
        ["check", str(tmp_path / "alerts.csv"), "-o", str(tmp_path / "out.csv"),
         "--orbits", str(orbit_file), "--two-body"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "1 alerts: 1 agree" in result.output
    assert QTable.read(tmp_path / "out.csv")["verdict"][0] == "agree"


def test_check_of_packets_names_those_that_do_not_decode(
    real_data: Callable[..., Path], orbit_file: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        app,
        ["check", str(real_data("alerts", "Ampel-ZTF")), "-o", str(tmp_path / "out.ecsv"),
         "--orbits", str(orbit_file), "--two-body", "--json"],
    )  # fmt: skip
    assert result.exit_code == 1, result.output
    assert "516401801315010009.avro: packet 2 does not decode" in result.output
    assert len(QTable.read(tmp_path / "out.ecsv")) > 100
