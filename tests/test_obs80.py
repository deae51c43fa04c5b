"""The MPC's 80 columns, and digest2's scores of tracklets."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time

from streaks.errors import MissingExtraError, TableError
from streaks.reporting.obs80 import lines_by_name, obs80_lines, tracklet_80_name
from streaks.reporting.orbit_class import digest2_scores

PALOMAR = {"I41": (243.140213, 0.836325, 0.546877)}


def streaks(**changes: object) -> QTable:
    table = QTable({
        "streak_id": ["a_0000"], "ra": [83.633083] * u.deg, "dec": [-0.01447] * u.deg,
        "time": ["2017-11-29T08:15:30.000"], "mag": [18.236] * u.mag, "tracklet": ["T12ab"],
        "band": ["ZTF_r"], "observatory": ["I41"],
    })  # fmt: skip
    for name, value in changes.items():
        table[name] = value
    return table


def test_a_line_is_what_the_format_says() -> None:
    (line,) = obs80_lines(streaks())
    # RA 83.633083 deg is 5 h 34 m 31.940 s, Dec -0.01447 deg is -0 deg 0' 52.09"; 8:15:30 is
    # 0.344097 of a day.
    assert line == (
        "     T12ab    C2017 11 29.34409705 34 31.940-00 00 52.09         18.24r      I41"
    )
    assert len(line) == 80


def test_seconds_do_not_reach_sixty_nor_days_twenty_four_hours() -> None:
    table = streaks(
        ra=[359.999999999] * u.deg, dec=[59.9999999999] * u.deg, time=["2016-12-30T23:59:59.999999"]
    )
    (line,) = obs80_lines(table)
    assert line[15:32] == "2016 12 31.000000"
    assert line[32:44] == "00 00 00.000"
    assert line[44:56] == "+60 00 00.00"


def test_magnitude_is_blank_where_unknown_and_bands_are_the_mpcs() -> None:
    (line,) = obs80_lines(streaks(mag=[np.nan] * u.mag))
    assert line[65:71] == " " * 6
    (line,) = obs80_lines(streaks(band=["nonsense"]))
    assert line[65:71] == "18.24 "


def test_long_names_become_seven_characters_that_stay_the_same() -> None:
    one = tracklet_80_name("night_20171129_000123")
    assert one == tracklet_80_name("night_20171129_000123")
    assert len(one) == 7
    assert one != tracklet_80_name("night_20171129_000124")
    assert tracklet_80_name("S123456") == "S123456"


def test_lines_are_grouped_by_name_in_order_of_time() -> None:
    late, early = (obs80_lines(streaks(time=[t]))[0] for t in ("2017-11-30", "2017-11-29"))
    (other,) = obs80_lines(streaks(tracklet=["T9"]))
    found = lines_by_name([late, other, early])
    assert found == {"T12ab": [early, late], "T9": [other]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"ra": [np.nan] * u.deg}, "no place or no time"), ({"time": [""]}, "no place or no time"),
     ({"observatory": [""]}, "expected an MPC code of three characters")],
)  # fmt: skip
def test_what_a_line_lacks_is_told(changes: dict[str, object], words: str) -> None:
    with pytest.raises(TableError, match=words):
        obs80_lines(streaks(**changes))


def test_without_digest2_the_words_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "digest2", None)
    with pytest.raises(MissingExtraError, match="needs digest2, which is not installed"):
        digest2_scores(obs80_lines(streaks()), PALOMAR)


def moving(name: str, rate_arcsec_per_s: float, start_ra: float = 60.0) -> list[str]:
    """Four observations in ninety minutes of what moves to the west at opposition."""
    lines = []
    start = Time("2017-11-22T07:00:00", scale="utc")
    for k in range(4):
        seconds = 1800.0 * k
        ra = start_ra - rate_arcsec_per_s * seconds / 3600 / math.cos(math.radians(20.0))
        table = streaks(
            ra=[ra] * u.deg, dec=[20.0] * u.deg, time=[(start + seconds * u.s).isot],
            tracklet=[name],
        )  # fmt: skip
        lines += obs80_lines(table)
    return lines


def test_digest2_tells_what_is_near_from_the_main_belt() -> None:
    pytest.importorskip("digest2", reason="digest2 is not installed: pip install digest2")
    # At opposition the main belt moves 0.25 deg/day (0.01 arcsec/s), what is near many times that.
    lines = moving("MAINB", 0.0105) + moving("NEAR", 0.15) + moving("ONE", 0.01)[:1]
    scores = digest2_scores(lines, PALOMAR)
    assert scores["NEAR"] > 90
    assert scores["MAINB"] < 40
    assert math.isnan(scores["ONE"])


def test_the_command_writes_lines_and_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from typer.testing import CliRunner

    from streaks import night as night_module
    from streaks.cli.application import build_app
    from streaks.tables import build_table
    from streaks.tracklets import TRACKLET_COLUMNS

    row = {
        spec.name: [0.0 if spec.dtype in (float, np.float64) else 0] for spec in TRACKLET_COLUMNS
    }
    row |= {"tracklet": ["T12ab"], "kind": ["motion"], "n": [1], "time": [""], "streak_ids": [""]}
    told = SimpleNamespace(
        streaks=streaks(image=["i"]), tracklets=build_table(TRACKLET_COLUMNS, row),
        frames=QTable({"image": ["i"], "observatory": ["I41"], "band": ["r"]}),
    )  # fmt: skip
    monkeypatch.setattr(night_module, "read_night", lambda path: told)
    out, text = tmp_path / "t.csv", tmp_path / "obs.txt"
    result = CliRunner().invoke(
        build_app(), ["tracklets", str(tmp_path), "-o", str(out), "--obs80", str(text)]
    )
    assert result.exit_code == 0, result.output
    assert "1 tracklets" in result.output
    assert text.read_text().splitlines() == obs80_lines(streaks(band=["r"]))
    assert "T12ab" in out.read_text()
