"""Satellites' elements in every form that CelesTrak and Space-Track give them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time, TimeDelta

from streaks.errors import CatalogueError
from streaks.known import find_observatory
from streaks.satellites import Satellites, read_satellites, satellites_in_sky
from tests.frame_files import real_data

#: Vanguard 1, the test case of Vallado et al. 2006.
VANGUARD = (
    "1 00005U 58002B   00179.78495062  .00000023  00000-0  28098-4 0  4753",
    "2 00005  34.2682 348.7242 1859667 331.7664  19.3264 10.82419157413667",
)
#: The same in the words of an Orbit Mean-Elements Message.
OMM: dict[str, Any] = {
    "OBJECT_NAME": "VANGUARD 1", "OBJECT_ID": "1958-002B", "CENTER_NAME": "EARTH",
    "REF_FRAME": "TEME", "TIME_SYSTEM": "UTC", "MEAN_ELEMENT_THEORY": "SGP4",
    "EPOCH": "2000-06-27T18:50:19.733568", "MEAN_MOTION": 10.82419157,
    "ECCENTRICITY": 0.1859667, "INCLINATION": 34.2682, "RA_OF_ASC_NODE": 348.7242,
    "ARG_OF_PERICENTER": 331.7664, "MEAN_ANOMALY": 19.3264, "EPHEMERIS_TYPE": 0,
    "CLASSIFICATION_TYPE": "U", "NORAD_CAT_ID": 5, "ELEMENT_SET_NO": 475,
    "REV_AT_EPOCH": 41366, "BSTAR": 2.8098e-5, "MEAN_MOTION_DOT": 2.3e-7, "MEAN_MOTION_DDOT": 0,
}  # fmt: skip
NEW = {**OMM, "OBJECT_NAME": "NEW", "NORAD_CAT_ID": 100_123}


def _csv(*entries: dict[str, Any]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, list(OMM))
    table.writeheader()
    table.writerows(entries)
    return text.getvalue()


def _xml(*entries: dict[str, Any]) -> str:
    groups = {
        "metadata": list(OMM)[:6], "meanElements": list(OMM)[6:13], "tleParameters": list(OMM)[13:],
    }  # fmt: skip
    parts = []
    for entry in entries:
        told = {
            group: "".join(f"<{n}>{entry[n]}</{n}>" for n in names if n in entry)
            for group, names in groups.items()
        }
        data = f"<meanElements>{told['meanElements']}</meanElements>"
        data += f"<tleParameters>{told['tleParameters']}</tleParameters>"
        parts.append(
            '<omm id="CCSDS_OMM_VERS" version="2.0"><header><ORIGINATOR/></header><body><segment>'
            f"<metadata>{told['metadata']}</metadata><data>{data}</data></segment></body></omm>"
        )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<ndm>{"".join(parts)}</ndm>'


def _key_value(*entries: dict[str, Any]) -> str:
    return "".join(
        "CCSDS_OMM_VERS = 2.0\n" + "".join(f"{k} = {v}\n" for k, v in entry.items())
        for entry in entries
    )


def _json(*entries: dict[str, Any]) -> str:
    return json.dumps(entries)


FORMS: dict[str, Callable[..., str]] = {
    "csv": _csv, "json": _json, "xml": _xml, "kvn": _key_value,
}  # fmt: skip


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str | bytes], Satellites]:
    def read(content: str | bytes) -> Satellites:
        path = tmp_path / "satellites"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_satellites(path)

    return read


def _place(satellites: Satellites, row: int = 0) -> np.ndarray:
    """km, some hours after the epoch."""
    _, position, _ = satellites.elements.sgp4(np.array([2451723.5]), np.array([0.1]))
    return np.asarray(position[row, 0])


@pytest.mark.parametrize("form", FORMS)
def test_an_omm_is_the_satellite_of_the_two_lines(
    read: Callable[..., Satellites], form: str
) -> None:
    lines = read("\n".join(VANGUARD))
    omm = read(FORMS[form](OMM, NEW))
    assert omm.failures == ()
    assert omm.norad.tolist() == [5, 100_123]  # the second has no place in two lines
    assert omm.name.tolist() == ["VANGUARD 1", "NEW"]
    np.testing.assert_allclose(omm.epoch_jd, lines.epoch_jd[0], atol=1e-8)
    for row in (0, 1):
        # Eight decimals of a day (1 ms) at 8 km/s.
        assert np.linalg.norm(_place(omm, row) - _place(lines)) < 0.01


def test_one_omm_alone_and_packed_ones_are_read(
    read: Callable[..., Satellites],
) -> None:
    assert read(json.dumps(OMM)).norad.tolist() == [5]
    assert read(gzip.compress(_csv(OMM).encode())).norad.tolist() == [5]
    assert read(b"\xef\xbb\xbf" + _json(OMM).encode()).norad.tolist() == [5]


def test_numbers_of_nine_digits_keep_their_number(read: Callable[..., Satellites]) -> None:
    analyst = read(_json({**OMM, "NORAD_CAT_ID": "799500123"}))
    assert analyst.norad.tolist() == [799_500_123]
    assert np.isfinite(_place(analyst)).all()


def test_a_number_with_a_decimal_point_is_one(read: Callable[..., Satellites]) -> None:
    assert read(_json({**OMM, "NORAD_CAT_ID": 25544.0})).norad.tolist() == [25544]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"MEAN_MOTION": "fast"}, "its MEAN_MOTION is no number"),
        ({"MEAN_MOTION": "nan"}, "its MEAN_MOTION is no number"),
        ({"MEAN_MOTION": "-3"}, "no orbit about the Earth"),
        ({"ECCENTRICITY": "1.5"}, "no orbit about the Earth"),
        ({"EPOCH": "yesterday"}, "its EPOCH is 'yesterday', no date"),
        ({"EPOCH": ""}, "it lacks EPOCH"),
        ({"NORAD_CAT_ID": "-7"}, "its number is -7"),
        ({"NORAD_CAT_ID": "7.5"}, "its NORAD_CAT_ID is '7.5', no whole number"),
        ({"MEAN_ELEMENT_THEORY": "SGP4-XP"}, "its MEAN_ELEMENT_THEORY is SGP4-XP"),
        ({"EPHEMERIS_TYPE": "4"}, "its EPHEMERIS_TYPE is 4"),
        ({"CENTER_NAME": "MARS"}, "its CENTER_NAME is MARS"),
        ({"INCLINATION": "270"}, "its inclination is not in 0 to 180"),
    ],
)
def test_a_bad_entry_is_named_and_the_others_are_kept(
    read: Callable[..., Satellites], form: str, change: dict[str, str], reason: str
) -> None:
    found = read(FORMS[form](OMM, {**OMM, **change}, NEW))
    assert found.norad.tolist() == [5, 100_123]
    (bad,) = found.failures
    assert bad.number == (3 if form == "csv" else 2)
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("text", "norad"),
    [
        ("\ufeff" + "\n".join(VANGUARD), 5),
        ("\n".join(f"   {line}" for line in VANGUARD), 5),
        ("\n".join(line[:68] for line in VANGUARD), 5),
        ("\r\n".join(VANGUARD) + "\r\n", 5),
        ("\r".join(VANGUARD), 5),
        ("\n\n".join(VANGUARD), 5),
        ("\n".join(line[:2] + "B1234" + line[7:68] for line in VANGUARD), 111_234),
        ("\n".join(f"{line}   " for line in VANGUARD), 5),
    ],
    ids=["mark", "indented", "no checksum", "crlf", "cr", "empty lines", "letter", "trailing"],
)
def test_two_lines_come_in_many_dresses(
    read: Callable[..., Satellites], text: str, norad: int
) -> None:
    found = read(text)
    assert found.norad.tolist() == [norad]
    assert found.failures == ()
    assert np.linalg.norm(_place(found) - _place(read("\n".join(VANGUARD)))) < 1e-6


def test_texts_in_utf_16_are_read(read: Callable[..., Satellites]) -> None:
    assert read("\n".join(VANGUARD).encode("utf-16")).norad.tolist() == [5]


@pytest.mark.parametrize("column", [5, 14, 20, 30, 36, 45, 50, 54, 60])
@pytest.mark.parametrize("character", ["\0", "x", "\x1b", "é"])
def test_a_damaged_character_costs_one_named_set(
    read: Callable[..., Satellites], column: int, character: str
) -> None:
    broken = VANGUARD[0][:column] + character + VANGUARD[0][column + 1 : 68]
    found = read("\n".join([*VANGUARD, broken, VANGUARD[1], *VANGUARD]))
    if column == 14 and character == "x":
        return  # the launch's piece is a letter: nothing is damaged
    assert len(found) == 2
    assert found.failures[0].number == 3
    assert all(str(bad).isprintable() for bad in found.failures)


@pytest.mark.parametrize("column", [8, 15, 17, 24, 26, 32, 34, 41, 43, 50, 52, 62])
def test_a_damaged_digit_of_the_second_line_costs_one_named_set(
    read: Callable[..., Satellites], column: int
) -> None:
    # Both ends of each of its six numbers; without a sum nothing else would tell.
    broken = VANGUARD[1][:column] + "x" + VANGUARD[1][column + 1 : 68]
    found = read("\n".join([*VANGUARD, VANGUARD[0], broken, *VANGUARD]))
    assert len(found) == 2
    assert found.failures[0].number == 3
    assert "is no number" in found.failures[0].reason


def test_numbers_of_more_than_nine_digits_are_refused(read: Callable[..., Satellites]) -> None:
    for number, kept in ((999_999_999, 2), (1_000_000_000, 1)):
        assert len(read(_json(OMM, {**OMM, "NORAD_CAT_ID": number}))) == kept


def test_names_never_steer_a_terminal(read: Callable[..., Satellites]) -> None:
    found = read("\n".join(["\x1b[2JVANGUARD", *VANGUARD]))
    assert found.name[0].isprintable()
    assert found.name[0].endswith("VANGUARD")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[[], 7, null]",
        '{"a": 1',
        "[" * 100_000,
        '[{"NORAD_CAT_ID": ' + "9" * 6000 + "}]",
        "<ndm><omm></ndm>",
        "<ndm/>",
        '<!DOCTYPE x [<!ENTITY a "b">]><ndm><omm><EPOCH>&a;</EPOCH></omm></ndm>',
        "MEAN_MOTION,EPOCH\n1,2\n",
        "CCSDS_OMM_VERS = 2.0\nEPOCH = now\n",
        b"\x00" * 1000,
        b"\xff\xfe\x00",
        gzip.compress(b"", mtime=0),  # no hour in it: two runners collect the same names
    ],
)
def test_files_of_no_satellite_are_refused(
    read: Callable[..., Satellites], content: str | bytes
) -> None:
    with pytest.raises(CatalogueError, match=r"holds no elements of satellites.*give GP data"):
        read(content)


def test_a_list_cut_short_keeps_what_is_whole_in_csv(read: Callable[..., Satellites]) -> None:
    text = _csv(OMM, NEW)
    found = read(text[: len(text) - 60])
    assert found.norad.tolist() == [5]
    assert len(found.failures) == 1


def test_a_bomb_of_blanks_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.tle.gz", "wb") as stream:
        for _ in range(100):
            stream.write(b" " * 1_000_000)
    with pytest.raises(CatalogueError, match=r"cannot read the satellites .* times its size"):
        read_satellites(tmp_path / "bomb.tle.gz")


def test_a_satellite_of_an_omm_is_seen_where_that_of_the_lines_is(
    read: Callable[..., Satellites],
) -> None:
    site = find_observatory("I41")
    both = [read("\n".join(VANGUARD)), read(_json(OMM))]
    for minutes in range(0, 600, 10):
        when = Time("2000-06-28T06:50:19") + TimeDelta(60.0 * minutes, format="sec")
        seen = [satellites_in_sky(some, when, site, exposure_s=30.0) for some in both]
        if len(seen[0]):
            break
    assert len(seen[0]) == 1
    for name in ("ra", "dec", "ra0", "dec1"):
        assert seen[0][name][0].value == pytest.approx(seen[1][name][0].value, abs=1e-5)


@pytest.mark.parametrize(
    "name", ["bom.tle", "gp.csv", "gp.json", "indented.tle", "no_checksum.tle"]
)
def test_the_shared_elements_of_today_are_read(name: str) -> None:
    found = read_satellites(real_data("..", "cases", "elements_of_today", name))
    assert found.norad.tolist() == ([44444, 100123] if name.startswith("gp") else [44444])
    assert found.failures == ()


def test_one_byte_of_nothing_costs_one_set_of_the_shared_file() -> None:
    found = read_satellites(real_data("..", "cases", "tle-nul-byte", "tle_flip0.tle"))
    assert len(found) == 38
    assert len(found.failures) > 1
